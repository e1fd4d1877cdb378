package worktree

import "testing"

func TestWorkIsNamed(t *testing.T) {
	if work := (Holding{There: true, Stands: true}).Work(); work != nil {
		t.Errorf("a clean worktree has %q", work)
	}
	for _, h := range []Holding{{Dirty: 1}, {Unpushed: 1}, {Locked: "locked: "}, {Submodules: true}, {Bad: refuse("examine", "damaged")}} {
		if len(h.Work()) != 1 {
			t.Errorf("%+v has %q", h, h.Work())
		}
	}
}
