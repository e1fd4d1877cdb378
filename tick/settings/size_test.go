package settings

import (
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"kugetsu/queue/fault"
)

func TestSizeIsBytesWithOrWithoutAUnit(t *testing.T) {
	unset(t)
	for _, c := range []struct {
		text string
		want Size
	}{
		{"600M", 600_000_000},
		{"2G", 2_000_000_000},
		{"512MiB", 512 << 20},
		{"512Mi", 512 << 20},
		{"1.5 GB", 1_500_000_000},
		{"1500000", 1_500_000},
		{"10k", 10_000},
		{"0", 0},
		{"0M", 0},
		{"1PiB", 1 << 50},
		{"", 600_000_000}, // as if it were not set
	} {
		set, source := read(t, "AGENT_MEMORY='"+c.text+"'")
		if err := source.Err(set); err != nil || Size(set.AgentMemory) != c.want {
			t.Errorf("%q: %d, %v", c.text, set.AgentMemory, err)
		}
	}
	for _, text := range []string{"much", "M", "-1", "-600M", "+1M", "1,5G", "1,000", "1.2.3M", "1e9", "0x10", "600M each", "5 apples", "2PiB",
		"1EB", "99999999999999999999999", "NaN", "Inf", "١M", "٦٠٠M"} {
		set, source := read(t, "AGENT_MEMORY='"+text+"'\nMIN_FREE_DISK='"+text+"'")
		err := source.Err(set)
		if err == nil || fault.Code(err) != fault.Config || set.AgentMemory != 600_000_000 || set.MinFreeDisk != 512_000_000 || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %d, %v", text, set.AgentMemory, err)
			continue
		}
		for _, key := range []string{"AGENT_MEMORY", "MIN_FREE_DISK"} {
			if strings.Count(err.Error(), key+": ") != 1 {
				t.Errorf("%q: %s is not told of once in %v", text, key, err)
			}
		}
	}
}

// A flag reaches the runner's own tick through its environment, in which it must mean the same.
func TestSizeOnTheCommandLineIsPassedOn(t *testing.T) {
	unset(t)
	source := Open(t.TempDir(), true)
	var g struct{ Settings }
	parser, err := kong.New(&g, Options(source)...)
	if err != nil {
		t.Fatal(err)
	}
	kctx, err := parser.Parse([]string{"--agent-memory=1.5G"})
	if err != nil {
		t.Fatal(err)
	}
	source.Flags(kctx)
	for _, kv := range source.Environ() {
		if text, ok := strings.CutPrefix(kv, "AGENT_MEMORY="); ok {
			var s Size
			if err := s.UnmarshalText([]byte(text)); err != nil || s != 1_500_000_000 {
				t.Errorf("%s: %d, %v", kv, s, err)
			}
			return
		}
	}
	t.Errorf("it is not passed on: %q", source.Environ())
}

func TestMemoryOfAnAgentMayBeAutoAndNoOtherSizeMay(t *testing.T) {
	set, source := read(t, "AGENT_MEMORY=auto")
	if err := source.Err(set); err != nil || set.AgentMemory != Auto {
		t.Errorf("%d, %v", set.AgentMemory, err)
	}
	set, source = read(t, "MIN_FREE_DISK=auto\nMAX_AGENT_MEMORY=auto")
	if err := source.Err(set); err == nil || set.MinFreeDisk != 512_000_000 || set.MaxAgentMemory != 0 {
		t.Errorf("%d, %d, %v", set.MinFreeDisk, set.MaxAgentMemory, err)
	}
}
