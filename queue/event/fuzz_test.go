package event

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzBad: for any name of a file and any reason, the event gets a file of its own in its folder, and is read back.
func FuzzBad(f *testing.F) {
	for _, name := range []string{"50-q_01arz3ndektsv4rrffq69g5fav.json", "what is this.json", "../x", "/", "", "..", "\x1b[2J.json", "\xff", strings.Repeat("月", 200)} {
		f.Add(name, "why", "other")
	}
	f.Add("a b", "\x1b\u202e\xff", "a_b")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, file, why, other string) {
		ev := Bad(file, os.ErrInvalid)
		ev.Text += why
		name := ev.Name + ".json"
		if !filepath.IsLocal(name) || filepath.Base(name) != name || strings.HasPrefix(name, ".") || len(name) > 200 {
			t.Fatalf("%q becomes %q", file, name)
		}
		for i := range name {
			if name[i] <= ' ' || name[i] >= 0x7f {
				t.Fatalf("%q becomes %q", file, name)
			}
		}
		if clash := LeftAlone(other, os.ErrInvalid).Name; file != other && strings.EqualFold(clash, ev.Name) && len(file) < 4 && len(other) < 4 && !strings.EqualFold(file, other) {
			t.Errorf("%q and %q are both told of as %s", file, other, clash)
		}
		ev.V = 1
		data, err := json.Marshal(ev)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil { // as Put does, but for the wait for the disk
			t.Fatal(err)
		}
		got, err := read(dir, ev.Name)
		if err != nil || got == nil || got.Name != ev.Name || got.Type != FileBad {
			t.Errorf("%+v %v", got, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzEvent: a file that is read as an event has the name of that event.
func FuzzEvent(f *testing.F) {
	for _, data := range []string{`{"v":1,"name":"x"}`, `{"v":1,"name":"../x"}`, `{"v":99,"name":"x"}`, `{"v":1}`, "null", "{", `{"v":1,"name":"x"}{}`,
		"{\"v\":1,\"name\":\"x\",\"text\":\"\xff\"}", `{"v":1,"name":"x","at":"9999-12-31T23:59:59Z"}`} {
		f.Add([]byte(data))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(dir, "x.json")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if ev, err := read(dir, "x"); err == nil && (ev.Name != "x" || ev.V != 1) {
			t.Errorf("%+v", ev)
		}
	})
}
