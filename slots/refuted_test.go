package slots

import (
	"strings"
	"testing"

	"kugetsu/queue/outcome"
)

func TestRefutedSaysWhatIsSoNow(t *testing.T) {
	v := &outcome.Verification{Command: "make test", Why: "exit code 1", Code: 1, Output: "FAIL"}
	for next, again := range map[string]bool{"make test": true, "make other": false, "": false} {
		text := refuted(v, next)
		if strings.Count(text, "exit code 1") != 1 {
			t.Errorf("the exit code is not said once: %s", text)
		}
		if got := strings.Contains(text, "The same command runs again"); got != again {
			t.Errorf("then %q: says that the same command runs again: %v", next, got)
		}
	}
}
