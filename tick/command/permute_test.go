package command

import (
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

func TestFlagsMayStandBetweenWords(t *testing.T) {
	var g struct {
		Verbose  bool `short:"v"`
		Delegate struct {
			Agent string
			Tick  bool
			Yes   bool     `negatable:""`
			Args  []string `arg:"" optional:""`
		} `cmd:""`
		Queue struct {
			Wait struct {
				For string   `short:"f"`
				IDs []string `arg:"" optional:""`
			} `cmd:"" aliases:"await"`
		} `cmd:""`
		Status struct{} `cmd:"" default:"withargs"`
	}
	parser, err := kong.New(&g)
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"delegate a#1 fix":                     "delegate -- a#1 fix",
		"delegate a#1 --tick fix":              "delegate --tick -- a#1 fix",
		"delegate a#1 fix --agent x -v":        "delegate --agent x -v -- a#1 fix",
		"-v delegate --agent=x a#1 --no-yes b": "delegate -v --agent=x --no-yes -- a#1 b",
		"delegate a#1 --tick -- --agent -v":    "delegate --tick -- a#1 --agent -v",
		"delegate -- a#1 -v":                   "delegate -- a#1 -v",
		"delegate --agent x -":                 "delegate --agent x -- -",
		"delegate queue wait":                  "delegate -- queue wait",
		"queue await a -f 1s b":                "queue await -f 1s -- a b",
		"queue wait -f1s a":                    "queue wait -f1s -- a",
		// Left to kong: nothing to move, or something wrong.
		"":                       "",
		"delegate --tick":        "delegate --tick",
		"delegate a#1 --agent":   "delegate a#1 --agent",
		"delegate a#1 --agnet x": "delegate a#1 --agnet x",
		"delgate a#1 fix":        "delgate a#1 fix",
		"queue wiat a":           "queue wiat a",
		"status extra":           "status extra",
		"-vv delegate a":         "-vv delegate a",
	} {
		if got := strings.Join(permute(parser.Model.Node, strings.Fields(line)), " "); got != want {
			t.Errorf("%q becomes %q, not %q", line, got, want)
		}
	}
}
