package command

import (
	"slices"
	"strings"
	"testing"

	"kugetsu/queue/fault"
	"kugetsu/tick/settings"
)

type testGrammar struct {
	Globals
	Status Status `cmd:"" default:"withargs"`
	List   List   `cmd:"" aliases:"ls"`
	Tick   Tick   `cmd:""`
	SetPR  SetPR  `cmd:"" name:"set-pr"`
	Queue  struct {
		List QueueList `cmd:"" aliases:"ls"`
		Show QueueShow `cmd:""`
	} `cmd:""`
	Alias struct {
		Show QueueShow `cmd:"" hidden:""`
	} `embed:""`
	Help    Help    `cmd:""`
	Grammar Grammar `cmd:""`
}

func TestGrammarIsNarrowedToTheCommandThatIsNamed(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string // the command, "" for the whole grammar
	}{
		{[]string{"tick"}, "tick"},
		{[]string{"tick", "--wait"}, "tick"},
		{[]string{"tick", "--max-attempts", "5"}, "tick"},
		{[]string{"set-pr", "owner/repo#12", "x"}, "set-pr"},
		{[]string{"setpr"}, ""},
		{[]string{"Tick"}, ""},
		{[]string{""}, ""},
		{nil, "status"},
		{[]string{"ls"}, "list"},
		{[]string{"show", "x"}, "show"},
		{[]string{"queue", "show", "x"}, "queue show"},
		{[]string{"queue", "ls"}, "queue list"},
		{[]string{"queue"}, ""},
		{[]string{"queue", "tick"}, ""},
		{[]string{"help"}, ""}, // shows all of it
		{[]string{"grammar"}, ""},
		{[]string{"-v", "tick"}, ""},
	} {
		var g testGrammar
		source := settings.Open(t.TempDir(), false)
		parser, settled := narrow(&g, &g.Globals, source, c.args)
		if parser == nil {
			if c.want != "" {
				t.Errorf("%q: the whole grammar", c.args)
			}
			continue
		}
		var found []string
		for at := parser.Model.Node.Children; len(at) > 0; at = at[0].Children {
			for _, child := range at {
				found = append(found, child.Name)
			}
		}
		if got := strings.Join(found, " "); got != c.want {
			t.Errorf("%q: %q, not %q", c.args, got, c.want)
		}
		if want := slices.Contains(c.args, "--max-attempts"); settled != want || (len(parser.Model.Flags) > 10) != want {
			t.Errorf("%q: %d flags", c.args, len(parser.Model.Flags))
		}
		if _, err := parse(&g, &g.Globals, source, c.args); err != nil || g.MaxAttempts != 3 && !settled || g.MaxAttempts != 5 && settled {
			t.Errorf("%q: %d attempts, %v", c.args, g.MaxAttempts, err)
		}
	}
}

func TestErrorOfANarrowedGrammarIsThatOfTheWhole(t *testing.T) {
	source := settings.Open(t.TempDir(), false)
	whole, err := newParser(&testGrammar{}, source)
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"tick", "--drian"}, {"tick", "now"}, {"set-pr"}, {"setpr"}, {"queue", "list", "--jsn"}, {"queue", "lits"}, {"tick", "--max-atempts", "5"},
		{"tick", "--max-attempts", "x"}} {
		_, err := whole.Parse(args)
		want := usage(whole.Model, args, err)
		var g testGrammar
		if _, err := parse(&g, &g.Globals, source, args); err == nil || err.Error() != want.Error() || fault.HintOf(err) != fault.HintOf(want) {
			t.Errorf("%q: %v, not %v", args, err, want)
		}
	}
}
