package slots

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"kugetsu/queue/spool"
)

// Dir is the part of a state folder that this package keeps.
type Dir string

// PMSlot is the lane of the PM agent: it is never counted among the slots of dev agents.
const PMSlot = "pm"

func (d Dir) slots() string     { return filepath.Join(string(d), "slots") }
func (d Dir) runs() string      { return filepath.Join(string(d), "runs") }
func (d Dir) sessions() string  { return filepath.Join(string(d), "sessions") }
func (d Dir) worktrees() string { return filepath.Join(string(d), "worktrees") }
func (d Dir) agents() string    { return filepath.Join(string(d), "agents") }
func (d Dir) repos() string     { return filepath.Join(string(d), "repos") }
func (d Dir) tmps() string      { return filepath.Join(string(d), "t") }

// kept is the folder of what was kept at refs, a file for each session.
func (d Dir) kept() string { return filepath.Join(string(d), "kept") }

// git is where the private git directories are made: see package worktree. No agent is let in here.
func (d Dir) git() string { return filepath.Join(string(d), "git") }

// Holds is the folder of the agents that are not started; package tick keeps it.
func (d Dir) Holds() string { return filepath.Join(string(d), "holds") }

// Reviews is the folder of what is known of the sessions' pull requests; package tick keeps it.
func (d Dir) Reviews() string { return filepath.Join(string(d), "reviews") }

// Folders lists the folders, a parent before its children.
func (d Dir) Folders() []string {
	return []string{string(d), d.agents(), d.Holds(), d.Reviews(), d.slots(), d.runs(), d.tmps(), d.sessions(), d.worktrees(), d.repos(), d.git(), d.kept()}
}

// Make makes the folders.
func (d Dir) Make() error { return spool.MakeDirs(d.Folders()...) }

// SlotLock is the path of a slot's lock.
func (d Dir) SlotLock(slot string) string { return filepath.Join(d.slots(), slot+".lock") }

func (d Dir) intent(slot string) spool.File[Intent] {
	return spool.File[Intent]{Path: filepath.Join(d.slots(), slot+".json"), Version: 1}
}

// Intent says which run a slot is for. It is written before anything of the run exists and removed when nothing remains
// to be done for it.
type Intent struct {
	V       int    `json:"v"`
	Item    string `json:"item"`
	Run     int    `json:"run"`
	Session string `json:"session"`
	File    string `json:"file"` // name of the item's file when the run began: a hint, so that no folder need be listed
	Boot    string `json:"boot"` // boot id of the kernel that the run began under
}

// RunName is the name of the intent's run folder.
func (i Intent) RunName() string { return RunName(i.Item, i.Run) }

var slotFile = regexp.MustCompile(`^([1-9]\d{0,3}|pm)\.(json|lock)$`)

// Names lists every slot there is a file of, also beyond today's limit: the numbers in order, then pm.
func (d Dir) Names() ([]string, error) {
	files, err := spool.List(d.slots())
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range files {
		if m := slotFile.FindStringSubmatch(f); m != nil && !slices.Contains(names, m[1]) {
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

// ReadIntent reads what a slot is for; nil when it is empty. The error wraps spool.ErrBad for what is no intent,
// spool.ErrNewer for one that is not ours to judge.
func (d Dir) ReadIntent(slot string) (*Intent, error) {
	in, err := d.intent(slot).Read()
	if in != nil && (!runName.MatchString(in.RunName()) || !isSession(in.Session)) {
		return nil, fmt.Errorf("%s: %w: run %q", d.intent(slot).Path, spool.ErrBad, in.RunName())
	}
	return in, err
}

// WriteIntent writes what a slot is for. The caller holds its lock and found it empty: an intent is never overwritten,
// so the error wraps fs.ErrExist where there is one after all.
func (d Dir) WriteIntent(slot string, in Intent) error {
	in.V = 1
	return d.intent(slot).Publish(&in)
}

// Empty removes a slot's intent. The caller holds its lock.
func (d Dir) Empty(slot string) error { return spool.Remove(d.intent(slot).Path) }

// IntentPath is the path of a slot's intent.
func (d Dir) IntentPath(slot string) string { return d.intent(slot).Path }
