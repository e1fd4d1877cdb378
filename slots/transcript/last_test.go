package transcript

import (
	"strings"
	"testing"
)

func TestLastIsWhatTheAgentSaysOrDoesNow(t *testing.T) {
	const (
		says  = `{"type":"assistant","message":{"content":[{"type":"text","text":"First I look.\nThen I write the test."}]}}` + "\n"
		calls = `{"type":"assistant","message":{"content":[{"type":"tool_use","id":"1","name":"Bash","input":{"command":"go test ./..."}}]}}` + "\n"
		done  = `{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"1","is_error":true,"content":"FAIL"}]}}` + "\n"
	)
	for _, c := range []struct {
		what, agent, log string
		cut              bool
		want             string
	}{
		{"nothing", "claude", "", false, ""},
		{"words", "claude", says, false, "Then I write the test."},
		{"a call that goes on", "claude", says + calls, false, "$ go test ./...  …"},
		{"a call that failed", "claude", says + calls + done, false, "$ go test ./...  ✗"},
		{"words after it", "claude", calls + done + says, false, "Then I write the test."},
		{"an event that is being written", "claude", says + strings.TrimSuffix(calls, "}\n"), false, "Then I write the test."},
		{"the end of a log", "claude", calls[20:] + says, true, "Then I write the test."},
		{"an event longer than the end", "claude", calls[20:], true, ""},
		{"a line of kugetsu's", "claude", "kugetsu: cloning\n", false, "kugetsu: cloning"},
		{"an agent without events", "command", "one\ntwo\n\nthr", false, "thr"},
	} {
		if got := Last(c.agent, "", []byte(c.log), c.cut); got != c.want {
			t.Errorf("%s: %q, not %q", c.what, got, c.want)
		}
	}
}
