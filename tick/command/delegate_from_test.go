package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"kugetsu/queue/fault"
)

// FuzzFrom: whatever a file holds, it is lines of known fields, each as it was written and with its number, or one error
// that names the line and asks for exit code 80.
func FuzzFrom(f *testing.F) {
	for _, s := range []string{
		"", "\n\n", "{}", "null", "[]", "7", `"x"`, `{"issue_ref":"you/project#1","message":"m"}`,
		`{"issue_ref":"a/b#1","message":"é\u0000\ud800","agent":"command","priority":0,"after":["a/b#1",""],"not_before":"90m","timeout":"1h"}`,
		"{}\r\n{}\n{\"Message\":\"m\"}", `{"message":"m","message":"n"}`, `{"priority":1e99}`, `{"after":[7]}`, `{"after":{}}`,
		`{"message":"` + strings.Repeat("x", 300) + `"`, "{\"\x1b[2J\":1}", "{\"a\":1}{\"b\":2}", "\xff", strings.Repeat("[", 20000),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		lines, err := parseLines(bytes.NewReader(data))
		if err != nil {
			if fault.Code(err) != fault.Usage || !strings.HasPrefix(err.Error(), "line ") || len(err.Error()) > 400 || fault.HintOf(err) == "" {
				t.Fatalf("%q, exit code %d", err, fault.Code(err))
			}
			return
		}
		text := bytes.Split(data, []byte("\n"))
		last := 0
		for _, l := range lines {
			if l.number <= last || l.number > len(text) {
				t.Fatalf("line %d after line %d of %d", l.number, last, len(text))
			}
			last = l.number
			var want map[string]any
			if err := json.Unmarshal(text[l.number-1], &want); err != nil || !utf8.Valid(text[l.number-1]) {
				t.Fatalf("line %d was taken: %v", l.number, err)
			}
			var same struct{ Message string }
			if err := json.Unmarshal(text[l.number-1], &same); err != nil || same.Message != l.Message {
				t.Fatalf("line %d: %q is not %q: %v", l.number, l.Message, same.Message, err)
			}
			for name := range want {
				if !strings.Contains("issue_ref message agent priority after not_before timeout", name) || name == "" {
					t.Fatalf("line %d has %q", l.number, name)
				}
			}
		}
		for n, line := range text {
			if len(bytes.TrimSpace(line)) > 0 && (len(lines) == 0 || n+1 > last) {
				t.Fatalf("line %d is missing", n+1)
			}
		}
	})
}

func TestFileThatCannotBeReadIsNoEmptyFile(t *testing.T) {
	broken := errors.New("the disk is gone")
	if lines, err := parseLines(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("%v, %v", lines, err)
	}
}
