package slots

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"

	"kugetsu/queue/pattern"
	"kugetsu/queue/spool"
)

// Dir is the part of a state folder that this package keeps.
type Dir string

// PMSlot is the slot of the PM agent. It does not count among the slots of dev agents.
const PMSlot = "pm"

func (d Dir) slots() string     { return filepath.Join(string(d), "slots") }
func (d Dir) runs() string      { return filepath.Join(string(d), "runs") }
func (d Dir) sessions() string  { return filepath.Join(string(d), "sessions") }
func (d Dir) worktrees() string { return filepath.Join(string(d), "worktrees") }
func (d Dir) agents() string    { return filepath.Join(string(d), "agents") }
func (d Dir) repos() string     { return filepath.Join(string(d), "repos") }
func (d Dir) tmps() string      { return filepath.Join(string(d), "t") }

// kept is the folder of the records of kept refs, a file for each session.
func (d Dir) kept() string { return filepath.Join(string(d), "kept") }

// git is the folder of the private git directories: see package worktree. No agent's sandbox opens it.
func (d Dir) git() string { return filepath.Join(string(d), "git") }

// Holds is the folder of the agents and hosts that are on hold. Package tick keeps it.
func (d Dir) Holds() string { return filepath.Join(string(d), "holds") }

// Reviews is the folder of the states of the sessions' pull requests. Package tick keeps it.
func (d Dir) Reviews() string { return filepath.Join(string(d), "reviews") }

// Usage is the folder of what the runs of each day used. Package ledger keeps it.
func (d Dir) Usage() string { return filepath.Join(string(d), "usage") }

// Folders lists the folders, a parent before its children.
func (d Dir) Folders() []string {
	return []string{string(d), d.agents(), d.Holds(), d.Reviews(), d.Usage(), d.Quotas(), d.slots(), d.runs(), d.tmps(), d.sessions(), d.worktrees(), d.repos(), d.git(), d.kept()}
}

// Make makes the folders.
func (d Dir) Make() error { return spool.MakeDirs(d.Folders()...) }

// SlotLock is the path of a slot's lock.
func (d Dir) SlotLock(slot string) string { return filepath.Join(d.slots(), slot+".lock") }

func (d Dir) intent(slot string) spool.File[Intent] {
	return spool.File[Intent]{Path: filepath.Join(d.slots(), slot+".json"), Version: 2}
}

// Intent says which run a slot is for. It is written before anything of the run exists, and removed when nothing remains to be
// done for the run.
type Intent struct {
	V       int    `json:"v"`
	Item    string `json:"item"`
	Run     int    `json:"run"`
	Session string `json:"session"`
	File    string `json:"file"`             // name of the item's file when the run began: a hint, so that no folder need be listed
	Boot    string `json:"boot"`             // boot id of the kernel that the run began under
	Engine  string `json:"engine,omitempty"` // what starts the run; "" for this machine
	Job     string `json:"job,omitempty"`    // name of the run's job there
}

// RunName is the name of the intent's run folder.
func (i Intent) RunName() string { return RunName(i.Item, i.Run) }

var slotFile = pattern.Lazy(`^([1-9]\d{0,3}|pm)\.(json|lock)$`)

// Names lists every slot that has a file, also beyond the limit of today: the numbers in order, then pm.
func (d Dir) Names() ([]string, error) {
	files, err := spool.List(d.slots())
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range files {
		if m := slotFile().FindStringSubmatch(f); m != nil && !slices.Contains(names, m[1]) {
			names = append(names, m[1])
		}
	}
	slices.SortFunc(names, func(a, b string) int { return slotNumber(a) - slotNumber(b) })
	return names, nil
}

func slotNumber(name string) int {
	n, err := strconv.Atoi(name)
	if err != nil {
		return 1 << 20
	}
	return n
}

// ReadIntent reads a slot's intent; nil where the slot is empty. The error wraps spool.ErrBad for a file that is no intent, and
// spool.ErrNewer for one that a newer kugetsu wrote.
func (d Dir) ReadIntent(slot string) (*Intent, error) {
	in, err := d.intent(slot).Read()
	if in != nil && (!runName().MatchString(in.RunName()) || !isSession(in.Session)) {
		return nil, fmt.Errorf("%s: %w: run %q", d.intent(slot).Path, spool.ErrBad, in.RunName())
	}
	return in, err
}

// WriteIntent writes a slot's intent. The caller has locked the slot and found it empty. An intent is never overwritten: the error
// wraps fs.ErrExist where there is one.
func (d Dir) WriteIntent(slot string, in Intent) error {
	if in.V = 1; in.Engine != "" { // an older kugetsu leaves it alone: it would take the run for ended
		in.V = 2
	}
	return d.intent(slot).Publish(&in)
}

// Empty removes a slot's intent. The caller has locked the slot.
func (d Dir) Empty(slot string) error { return spool.Remove(d.intent(slot).Path) }

// IntentPath is the path of a slot's intent.
func (d Dir) IntentPath(slot string) string { return d.intent(slot).Path }
