package command

import (
	"testing"

	"github.com/alecthomas/kong"

	"kugetsu/tick/settings"
)

func TestGrammarIsNarrowedToTheCommandThatIsNamed(t *testing.T) {
	type grammar struct {
		Globals
		Status  Status  `cmd:"" default:"withargs"`
		Tick    Tick    `cmd:""`
		SetPR   SetPR   `cmd:"" name:"set-pr"`
		Help    Help    `cmd:""`
		Grammar Grammar `cmd:""`
	}
	for _, c := range []struct {
		args []string
		want int // commands in the grammar
	}{
		{[]string{"tick"}, 1},
		{[]string{"tick", "--wait"}, 1},
		{[]string{"set-pr", "owner/repo#12", "x"}, 1},
		{nil, 5},
		{[]string{"help"}, 5}, // shows all of it
		{[]string{"grammar"}, 5},
		{[]string{"-v", "tick"}, 5},
	} {
		var options []kong.Option
		if only := narrow(&grammar{}, c.args); only != nil {
			options = append(options, only)
		}
		parser, err := newParser(&grammar{}, settings.Open(t.TempDir(), false), options...)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(parser.Model.Children); got != c.want {
			t.Errorf("%q: %d commands, not %d", c.args, got, c.want)
		}
	}
}

func TestErrorOfANarrowedGrammarIsThatOfTheWhole(t *testing.T) {
	type grammar struct {
		Globals
		Status Status `cmd:"" default:"withargs"`
		Tick   Tick   `cmd:""`
		SetPR  SetPR  `cmd:"" name:"set-pr"`
	}
	source := settings.Open(t.TempDir(), false)
	whole, err := newParser(&grammar{}, source)
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"tick", "--drian"}, {"tick", "now"}, {"set-pr"}, {"setpr"}} {
		_, err := whole.Parse(args)
		want := usage(whole.Model, args, err)
		if _, err := parse(&grammar{}, source, args); err == nil || err.Error() != want.Error() {
			t.Errorf("%q: %v, not %v", args, err, want)
		}
	}
}
