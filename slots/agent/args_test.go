package agent

import (
	"slices"
	"strings"
	"testing"

	"kugetsu/queue/fault"
)

func TestModelOfAnItemStandsInPlaceOfThatOfTheSettings(t *testing.T) {
	for _, tt := range []struct {
		preset, args, model string
		want                string // what stands behind all else, in words joined by |
	}{
		{"claude", "", "", ""},
		{"claude", "--verbose", "opus", "--verbose|--model|opus"},
		{"claude", "--model sonnet --verbose", "opus[1m]", "--verbose|--model|opus[1m]"},
		{"claude", "--model=sonnet", "opus", "--model|opus"},
		{"codex", "-m a -c 'b c'", "", "-m|a|-c|b c"},
		{"codex", "-m a -c 'b c'", "d", "-c|b c|-m|d"},
		{"codex", "-c x -m", "d", "-c|x|-m|d"},
		{"gemini", "--model a --sandbox", "b", "--sandbox|-m|b"},
		{"opencode", "--variant high", "openai/gpt-5:x", "--variant|high|-m|openai/gpt-5:x"},
	} {
		p, err := Lookup(tt.preset)
		if err != nil {
			t.Fatal(err)
		}
		argv, err := p.Argv(Call{Worktree: "/w", Writable: []string{"/g"}, Args: tt.args, Model: tt.model})
		if err != nil {
			t.Fatal(err)
		}
		bare, err := p.Argv(Call{Worktree: "/w", Writable: []string{"/g"}})
		if err != nil {
			t.Fatal(err)
		}
		if tt.preset == "codex" { // its last word is the prompt
			argv, bare = argv[:len(argv)-1], bare[:len(bare)-1]
		}
		if got := strings.Join(argv[len(bare):], "|"); got != tt.want || !slices.Equal(argv[:len(bare)], bare) {
			t.Errorf("%s with %q and model %q: %q, want %q", tt.preset, tt.args, tt.model, got, tt.want)
		}
	}
}

func TestModelAndArgumentsOfAnItemAreCheckedBeforeItIsEnqueued(t *testing.T) {
	for _, tt := range []struct {
		preset, model, args string
		ok                  bool
	}{
		{"claude", "", "", true},
		{"claude", "claude-sonnet-4[1m]", "", true},
		{"opencode", "openai/gpt-5", "--variant 'very high'", true},
		{"claude", "-p", "", false},
		{"claude", "two words", "", false},
		{"claude", "a\nb", "", false},
		{"claude", "a\x1b[31m", "", false},
		{"claude", "a\x00", "", false},
		{"claude", strings.Repeat("m", maxModel+1), "", false},
		{"claude", "", "'open", false},
		{"claude", "", "$(rm)", false},
		{"claude", "", "'a\x00b'", false},
		{"command", "", "", true},
		{"command", "m", "", false},
		{"command", "", "-v", false},
	} {
		p, err := Lookup(tt.preset)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.CheckArgs(tt.model, tt.args); (err == nil) != tt.ok || err != nil && fault.Code(err) != fault.Usage {
			t.Errorf("%s, model %q, arguments %q: %v", tt.preset, tt.model, tt.args, err)
		}
	}
}
