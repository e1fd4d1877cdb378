package command

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"kugetsu/queue"
	"kugetsu/queue/terminal"
	"kugetsu/slots"
	"kugetsu/tick"
	"kugetsu/tick/overview"
	"kugetsu/tick/session"
)

// List shows the sessions.
type List struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Help is its long help.
func (*List) Help() string {
	return longHelp(`
A session is an issue's worktree, branch and conversation. The columns are: issue, whether it runs, branch, commits
ahead of and behind its base, uncommitted or untracked files, commits that were not pushed, size on the disk, agent,
last use, progress (how the last run ended, whether it was verified, how the pull request stands), pull request,
worktree. A ? could not be found out within 5 s.`,
		codes{0: "shown", 1: "a session could not be read"},
		"kugetsu list",
		"kugetsu list --json")
}

// shown is a session as --json shows it.
type shown struct {
	Name string `json:"session"`
	*slots.Session
	Running  bool   `json:"running"`
	Job      string `json:"job,omitempty"`  // of the run, on a cluster
	Node     string `json:"node,omitempty"` // where that is
	Ahead    *int   `json:"ahead"`          // commits that the base lacks; null, like the others, if git did not answer in time
	Behind   *int   `json:"behind"`
	Dirty    *int   `json:"dirty"`    // files that are uncommitted or untracked
	Unpushed *int   `json:"unpushed"` // commits that no remote-tracking branch has
	Size     *int64 `json:"size"`     // bytes on the disk
	Strip    string `json:"strip"`    // how far the work is: agent ok · verified · PR #57 open, CI failing: test
	PR       string `json:"pr_state"` // open, merged, closed or unknown, as it was when it was last asked; "" without one
}

// add adds the state of the worktree.
func (s *shown) add(seen session.Inspected) {
	s.Size = seen.Size
	h := seen.Holding
	if h == nil {
		return
	}
	s.Unpushed = &h.Unpushed
	if h.Base != "" {
		s.Ahead, s.Behind = &h.Ahead, &h.Behind
	}
	if h.Stands {
		s.Dirty = &h.Dirty
	}
}

// Run lists the sessions. Whether one runs is derived from the slots.
func (c *List) Run(a *App) error {
	names, err := a.Home.Sessions()
	if err != nil {
		return err
	}
	views, err := a.Tick.SnapshotSlots()
	if err != nil {
		return err
	}
	running := map[string]tick.SlotView{}
	for _, s := range views {
		if s.Occupied {
			running[s.Session] = s
		}
	}
	locations, err := a.Queue.Locations()
	if err != nil {
		return err
	}
	list := []shown{}
	sessions := map[string]*slots.Session{}
	var errs []error
	for _, name := range names {
		s, err := a.Home.ReadSession(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if s != nil {
			one := shown{Name: name, Session: s, Running: running[name].Occupied, Job: running[name].Job, Node: running[name].Node}
			var review session.Review
			if s.PRURL != "" {
				review, err = a.Tick.Sessions().Shown(name, s)
				errs = append(errs, err)
				one.PR = string(review.State)
			}
			one.Strip = overview.Strip(a.lastRun(locations, s.LastItem), s, review)
			list = append(list, one)
			sessions[name] = s
		}
	}
	slices.SortStableFunc(list, func(x, y shown) int { return compareRefs(x.IssueRef, y.IssueRef) })
	seen := a.Tick.Sessions().Inspect(a.Ctx, sessions)
	for i := range list {
		list[i].add(seen[list[i].Name])
		if err := seen[list[i].Name].Err; err != nil && a.Tick.Config == nil {
			a.Log.Warn("a worktree could not be inspected", "session", list[i].Name, "err", clean(err.Error()))
		}
	}
	if c.JSON {
		return errors.Join(append(errs, a.printJSON(list))...)
	}
	var rows [][]string
	for _, s := range list {
		rows = append(rows, a.sessionRow(s))
	}
	if len(errs) == 0 {
		a.sayEmpty(rows, "no issue has a session; the first run of an issue makes its worktree, its branch and its conversation")
	}
	return errors.Join(append(errs, a.table(a.sessionColumns(), rows))...)
}

// lastRun is the newest run of an item, nil where it is not known.
func (a *App) lastRun(locations map[string]queue.Entry, id string) *queue.Run {
	e, there := locations[id]
	if !there {
		return nil
	}
	it, err := a.Queue.Load(e)
	if err != nil { // the tick reports it
		return nil
	}
	return it.Last()
}

func (a *App) sessionColumns() []terminal.Column {
	return []terminal.Column{a.issueColumn(), {Name: "STATE"}, {Name: "BRANCH", Gives: 3}, {Name: "AHEAD", Drops: true}, {Name: "BEHIND", Drops: true},
		{Name: "DIRTY"}, {Name: "UNPUSHED"}, {Name: "SIZE", Drops: true}, {Name: "AGENT", Drops: true}, {Name: "USED"}, {Name: "PROGRESS", Gives: 4}, {Name: "PR", Gives: 2, Drops: true}, {Name: "WORKTREE", Gives: 1, Drops: true}}
}

// sessionRow is the row of a session below those columns.
func (a *App) sessionRow(s shown) []string {
	state := "idle"
	if s.Running {
		if state = "running"; s.Node != "" {
			state += " on " + s.Node
		}
	}
	worktree, away := s.Shown()
	if away {
		worktree = "on a node: " + worktree
	}
	size := "?"
	if s.Size != nil {
		size = humanize.IBytes(uint64(*s.Size))
	}
	return []string{issueOrPM(s.IssueRef), state, s.Branch, known(s.Ahead), known(s.Behind), known(s.Dirty), known(s.Unpushed),
		size, s.Agent, ago(a.Now(), s.LastUsedAt), cmp.Or(s.Strip, "-"), cmp.Or(s.PRURL, "-"), worktree}
}

// compareRefs orders references by repository and then by number: #9 before #10.
func compareRefs(x, y string) int {
	repoX, nX, _ := strings.Cut(x, "#")
	repoY, nY, _ := strings.Cut(y, "#")
	return cmp.Or(strings.Compare(repoX, repoY), cmp.Compare(len(nX), len(nY)), strings.Compare(nX, nY))
}

// known prints a number, or ? if it is not known.
func known(n *int) string {
	if n == nil {
		return "?"
	}
	return fmt.Sprint(*n)
}
