package overview

import (
	"cmp"
	"fmt"
	"hash/crc32"
	"os"
	"slices"
	"strings"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/outcome"
	"kugetsu/queue/terminal"
	"kugetsu/slots/machine"
	"kugetsu/tick"
)

// Kind is the kind of a need.
type Kind string

// The kinds of needs.
const (
	BadConfig        Kind = "config"       // the configuration is bad: nothing starts
	DiskLow          Kind = "disk"         // too little disk for an agent, or for the queue itself
	Problem          Kind = "problem"      // a slot or a state file is damaged
	NoSchedule       Kind = "schedule"     // no tick comes by itself, and something waits for one
	LogIn            Kind = "login"        // an agent's credentials were refused
	OnHold           Kind = "hold"         // an agent is on hold until a person lifts that
	Down             Kind = "down"         // a model's server, or a remote's host, does not answer
	Missing          Kind = "missing"      // the program of an agent is not there
	Unrunnable       Kind = "unrunnable"   // waiting items, or KUGETSU_AGENT, name an agent that the settings cannot run
	NoVerifier       Kind = "verifier"     // the command that verifies runs cannot be started
	NotTold          Kind = "notify"       // NOTIFY_COMMAND does not take events
	Quarantined      Kind = "quarantine"   // files in bad/
	Failed           Kind = "failed"       // an item ended in an error; package outcome has more of these kinds, one or none for each outcome
	StartFailed      Kind = "start_failed" // an item ended in an error: the repository is gone, or the hook failed
	DependencyFailed Kind = "dependency"
	Unshown          Kind = "forge"       // a forge does not show pull requests that are followed
	NeedsHuman       Kind = "needs_human" // a pull request asks for more than its agent got done
	Unpushed         Kind = "unpushed"    // commits in a session that no pull request shows
)

// kindRow is all that follows from a kind.
type kindRow struct {
	kind    Kind
	stops   bool   // tasks do not start because of it, all or those of one agent or host
	sound   bool   // nothing is broken: the queue counts as healthy
	one     string // what happened to an item, behind its reference
	many    string // behind a number of them, in the sentence
	command string // behind kugetsu; %s is the item's id, or its reference after a blank
}

// kinds are all kinds. Their order is that of urgency, and of the sections that show needs.
var kinds = slices.Concat([]kindRow{
	{kind: BadConfig, stops: true},
	{kind: DiskLow, stops: true},
	{kind: Problem, stops: true, many: "problems"},
	{kind: NoSchedule, stops: true},
	{kind: LogIn, stops: true, many: "agents are not logged in"},
	{kind: OnHold, stops: true, many: "agents are on hold"},
	{kind: Down, stops: true, many: "servers do not answer"},
	{kind: Missing, stops: true, many: "agents are not installed"},
	{kind: Unrunnable, stops: true, many: "agents cannot be run"},
	{kind: NoVerifier, stops: true, many: "commands that verify runs cannot be started"},
	{kind: NotTold},
	{kind: Quarantined},
}, ofOutcomes(), []kindRow{
	{kind: DependencyFailed, one: "waited for a task that failed", many: "tasks waited for one that failed", command: "retry %s"},
	{kind: Unshown, many: "forges do not show pull requests"},
	{kind: NeedsHuman, many: "pull requests need a person"},
	{kind: Unpushed, sound: true, one: "has commits to look at", many: "tasks have commits to look at"},
})

// ofOutcomes are the kinds of needs of items that ended in an error.
func ofOutcomes() (list []kindRow) {
	for _, r := range outcome.Rows {
		if r.Need != "" && !slices.ContainsFunc(list, func(l kindRow) bool { return l.kind == Kind(r.Need) }) {
			list = append(list, kindRow{kind: Kind(r.Need), one: r.One, many: r.Many, command: r.Command})
		}
	}
	return list
}

// Kinds lists the kinds, the most urgent first.
func Kinds() (list []Kind) {
	for _, k := range kinds {
		list = append(list, k.kind)
	}
	return list
}

// finders find the needs; each finds those of one kind or of several.
var finders = []func(*exam) ([]Need, error){
	(*exam).badConfig, (*exam).diskLow, (*exam).faults, (*exam).noSchedule, (*exam).onHold, (*exam).missing, (*exam).unrunnable, (*exam).unverifiable,
	(*exam).notTold, (*exam).inQuarantine, (*exam).errors, (*exam).unshown, (*exam).needHuman, (*exam).unpushed,
}

// rank is the place of a kind in the table.
func rank(k Kind) int {
	for i := range kinds {
		if kinds[i].kind == k {
			return i
		}
	}
	return len(kinds)
}

// Stops says whether tasks do not start because of a need of this kind.
func (k Kind) Stops() bool {
	i := rank(k)
	return i < len(kinds) && kinds[i].stops
}

// needs are all needs that were not dismissed, the most urgent kind first.
func (x *exam) needs() ([]Need, error) {
	dismissed, err := tick.Dismissed(x.t.Home)
	if err != nil {
		return nil, err
	}
	all := []Need{}
	for _, find := range finders {
		found, err := find(x)
		if err != nil {
			return nil, err
		}
		for _, n := range found {
			if cause, ok := dismissed[n.ID]; !ok || cause != n.Cause {
				n.What, n.Why = line(n.What), line(n.Why)
				all = append(all, n)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Need) int {
		return cmp.Or(rank(a.Kind)-rank(b.Kind), since(b).Compare(since(a)))
	})
	return all, nil
}

func since(n Need) time.Time {
	if n.Since == nil {
		return time.Time{}
	}
	return *n.Since
}

// endMost is how much of an id stands in the id of a need. It is the end, since ids that were made at the same time begin alike.
const endMost = 6

func needID(k Kind, subject string) string {
	if queue.IsID(subject) {
		subject = subject[len(subject)-endMost:]
	}
	if subject == "" {
		return string(k)
	}
	return string(k) + "-" + subject
}

func (x *exam) badConfig() ([]Need, error) {
	if x.t.Config == nil {
		return nil, nil
	}
	why := strings.TrimPrefix(x.t.Config.Error(), "bad configuration: ")
	return []Need{{ID: needID(BadConfig, ""), Kind: BadConfig, What: "the configuration is bad, so nothing is started", Why: why, Cause: why, Command: "kugetsu doctor"}}, nil
}

// spaceOut is how many bytes must be free for the small files of the queue, whatever MIN_FREE_DISK says.
const spaceOut = 100 << 20

func (x *exam) diskLow() ([]Need, error) {
	free, err := machine.FreeDisk(string(x.t.Home))
	if err != nil {
		return nil, nil // the snapshot reports it where it matters
	}
	n := Need{ID: needID(DiskLow, ""), Kind: DiskLow, Command: "kugetsu doctor", Since: x.t.CapacityLowSince()}
	n.Cause = since(n).String()
	n.Why = fmt.Sprintf("%d MiB are free in %s", free>>20, x.t.Home)
	switch least := int64(x.t.Settings.MinFreeDisk); {
	case free < least:
		n.What = "too little disk is free, so nothing is started"
		n.Why += fmt.Sprintf(", and MIN_FREE_DISK is %d MiB", least>>20)
	case free < spaceOut && least == 0:
		n.What = "the disk is nearly full"
	default:
		return nil, nil
	}
	return []Need{n}, nil
}

// faults are the problems of the snapshot.
func (x *exam) faults() (list []Need, err error) {
	for _, text := range x.view.Problem {
		what := "a slot or a state file needs repair"
		if blocked := x.view.Blocked(); text == blocked.Text {
			what = "nothing is started"
		}
		list = append(list, Need{ID: needID(Problem, fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(text)))), Kind: Problem, What: what, Why: text, Cause: text, Command: "kugetsu doctor"})
	}
	return list, nil
}

// noSchedule finds a schedule that was installed and does not run ticks, and no schedule while something waits for a tick.
func (x *exam) noSchedule() ([]Need, error) {
	n := Need{ID: needID(NoSchedule, ""), Kind: NoSchedule, Since: x.view.Last, Command: "kugetsu queue-daemon status"}
	if late := Overdue(x.t.Home, x.now, x.view.Last); late != "" {
		n.What, n.Why, n.Cause = "the schedule runs no ticks", late, "overdue"
		x.problems = append(x.problems, late)
	} else if none := Unscheduled(x.t.Home, x.now, x.view); none != "" && len(x.view.Waiting) > 0 && !x.view.Busy() {
		n.What, n.Why, n.Cause, n.Command = "no schedule, so nothing starts by itself", ByHand(x.view), "none", "kugetsu queue-daemon start"
		x.problems = append(x.problems, none)
	} else {
		return nil, nil
	}
	return []Need{n}, nil
}

// onHold are the holds that a person can end. A usage limit with a known end only needs patience. A hold that has ended still needs a
// person while the item waits that met it last: no run has shown yet that the cause is gone.
func (x *exam) onHold() (list []Need, err error) {
	for _, target := range x.targets {
		h := x.holds[target]
		ended := h.Ended(x.now)
		if ended && !x.waits(h.Run) {
			continue
		}
		n := Need{Why: h.Reason, Since: h.Since, Command: "kugetsu resume " + target.Arg(), Agent: target.Name()}
		switch {
		case h.Outcome == outcome.Auth && h.Until == nil:
			n.Kind, n.What = LogIn, target.Name()+" is not logged in: log in, then lift the hold"
		case h.Until == nil:
			n.Kind, n.What = OnHold, target.Name()+" is on hold until you lift that"
		case h.Unpaid:
			n.Kind, n.What = OnHold, target.Name()+" has no money left: add credits or raise the cap, then lift the hold"
		case h.Outcome == outcome.UsageLimit:
			continue
		case ended:
			n.Kind, n.What, n.Command = Down, what(target, h)+" did not answer; the next tick tries again, or now", "kugetsu tick"
		default:
			n.Kind, n.What = Down, fmt.Sprintf("%s does not answer; it is tried again after %s, or now", what(target, h), h.Until.Local().Format("15:04"))
		}
		n.ID, n.Cause = needID(n.Kind, string(target)), h.Reason
		list = append(list, n)
	}
	return list, nil
}

// waits says whether the item of a run waits to be run again.
func (x *exam) waits(run string) bool {
	return slices.ContainsFunc(x.view.Waiting, func(w tick.Waiting) bool { return strings.HasPrefix(run, w.Item+".") })
}

// what names the thing that is down: the host of a remote, or the server that an agent talks to.
func what(target tick.HoldTarget, h *tick.Hold) string {
	if target.IsHost() {
		return target.Name()
	}
	if h.Outcome == outcome.Auth {
		return "the login server of " + target.Name()
	}
	return "the model's server of " + target.Name()
}

// missing are the agents that the last pass missed, and those that items wait for since then.
func (x *exam) missing() (list []Need, err error) {
	all, err := tick.MissingAgents(x.t.Home)
	for _, w := range x.view.Waiting {
		if w.Kind == tick.NotInstalled && !slices.ContainsFunc(all, func(m tick.MissingAgent) bool { return m.Agent == w.Agent }) {
			all = append(all, tick.MissingAgent{Agent: w.Agent, Since: w.Since, Why: w.Why})
		}
	}
	for _, m := range all {
		first := x.waitsFor(m.Agent)
		if first == nil && x.view.Unread == 0 { // no item asks for the agent any more
			continue
		}
		n := Need{ID: needID(Missing, m.Agent), Kind: Missing, What: m.Agent + " is not installed, so none of its tasks is started", Why: m.Why,
			Since: &m.Since, Cause: m.Why, Command: "kugetsu doctor", Agent: m.Agent}
		if program := x.t.Stands(m.Agent); program != "" && x.t.Installed(m.Agent) != nil { // the settings may have changed since the last pass
			n.What = program + " is not installed, so no task of " + m.Agent + " is started"
		}
		if first != nil {
			n.Command = cmp.Or(x.t.EditAgent(first.Item, choice(*first)), n.Command)
		}
		list = append(list, n)
	}
	return list, err
}

// waitsFor is the first item that waits for an agent; nil for none. An item that can run with another agent does not wait.
func (x *exam) waitsFor(agent string) *tick.Waiting {
	for i, w := range x.view.Waiting {
		if slices.Contains(choice(w), agent) && !x.t.PassedOver(agent, choice(w)) {
			return &x.view.Waiting[i]
		}
	}
	return nil
}

// choice lists the agents that a waiting item names.
func choice(w tick.Waiting) []string {
	if len(w.Agents) == 0 {
		return []string{w.Agent}
	}
	return w.Agents
}

// unrunnable are the agents of waiting items, and of new ones, that the settings cannot run: one need each, however many items wait for
// it.
func (x *exam) unrunnable() (list []Need, err error) {
	of := map[string][]tick.Waiting{}
	var agents []string
	for _, w := range x.view.Waiting {
		if w.Kind != tick.Unrunnable {
			continue
		}
		if of[w.Agent] == nil {
			agents = append(agents, w.Agent)
		}
		of[w.Agent] = append(of[w.Agent], w)
	}
	for _, agent := range agents {
		items := of[agent]
		first := items[0]
		why := strings.TrimPrefix(first.Why, first.Item+": ")
		n := Need{ID: needID(Unrunnable, agent), Kind: Unrunnable, Why: why, Cause: why, Since: &first.Since, Agent: agent}
		switch {
		case len(items) == 1:
			n.What, n.Command, n.Item, n.Ref = name(first.IssueRef)+" cannot be run", "kugetsu cancel "+first.Item, first.Item, first.IssueRef
		case x.view.Unread > 0:
			n.What, n.Command = fmt.Sprintf("at least %d tasks for %s cannot be run", len(items), agent), "kugetsu doctor"
		default:
			n.What, n.Command = fmt.Sprintf("%d tasks for %s cannot be run", len(items), agent), "kugetsu doctor"
		}
		n.Command = cmp.Or(x.t.EditAgent(first.Item, choice(first)), n.Command)
		list = append(list, n)
	}
	if x.t.Config != nil { // the setting may be the bad one
		return list, nil
	}
	for _, agent := range x.t.Settings.Agents() { // one is enough for a new task to be refused
		if err := tick.Runnable(agent, x.t.Settings); err != nil && of[agent] == nil {
			return append(list, Need{ID: needID(Unrunnable, "new"), Kind: Unrunnable, What: "KUGETSU_AGENT names an agent that cannot be run, so new tasks are refused",
				Why: err.Error(), Cause: err.Error(), Command: "kugetsu doctor"}), nil
		}
	}
	return list, nil
}

// unverifiable are the commands that are to verify waiting items and cannot be started: one need each, however many items wait for
// it.
func (x *exam) unverifiable() (list []Need, err error) {
	all, err := x.t.BrokenVerifiers()
	for _, w := range x.view.Waiting {
		u := x.t.BrokenVerifierOf(w)
		if u != nil && !slices.ContainsFunc(all, func(o tick.BrokenVerifier) bool {
			return o.Item == u.Item && o.Repo == u.Repo && o.Command == u.Command
		}) {
			all = append(all, *u)
		}
	}
	for _, u := range all {
		n := Need{ID: needID(NoVerifier, fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(u.Item+u.Repo+u.Command)))), Kind: NoVerifier,
			What: "what waits in " + u.Repo + " cannot be verified, so it is not started", Why: u.Why, Cause: u.Why, Since: &u.Since, Command: u.Edit}
		if u.Item != "" {
			n.What, n.Item = "a task of "+u.Repo+" cannot be verified, so it is not started", u.Item
		}
		if i := slices.IndexFunc(x.view.Waiting, func(w tick.Waiting) bool { return w.Item == u.Item }); i >= 0 {
			n.Ref = x.view.Waiting[i].IssueRef
			n.What = name(n.Ref) + " cannot be verified, so it is not started"
		}
		list = append(list, n)
	}
	return list, err
}

func (x *exam) notTold() ([]Need, error) {
	count, oldest, err := x.undelivered()
	if count == 0 || err != nil {
		return nil, err
	}
	text := fmt.Sprintf("NOTIFY_COMMAND did not take %s, the oldest of %s: kugetsu tick tries again and says why", terminal.Count(count, "event"), tick.Ago(x.now, oldest))
	x.problems = append(x.problems, text)
	return []Need{{ID: needID(NotTold, ""), Kind: NotTold, What: "you are not told of events", Why: text, Since: &oldest, Cause: x.t.Settings.NotifyCommand,
		Command: "kugetsu notify test"}}, nil
}

func (x *exam) inQuarantine() ([]Need, error) {
	names, err := x.quarantined()
	if len(names) == 0 || err != nil {
		return nil, err
	}
	text := terminal.Count(len(names), "file") + " quarantined in " + x.t.Queue.Bad
	x.problems = append(x.problems, text)
	n := Need{ID: needID(Quarantined, ""), Kind: Quarantined, What: text + ": inspect each, and delete it", Why: strings.Join(names[:min(3, len(names))], ", "),
		Cause: strings.Join(names, "/"), Command: "ls -l " + x.t.Queue.Bad}
	if info, err := os.Lstat(x.t.Queue.Bad); err == nil {
		at := info.ModTime().UTC()
		n.Since = &at
	}
	return []Need{n}, nil
}

// errors are the items that ended in an error and were neither retried nor cleared. A cancelled item is no need. Neither is an item after
// which another item of the same issue completed.
func (x *exam) errors() (list []Need, err error) {
	completed := map[string]bool{}
	for _, it := range x.settled { // the newest first
		switch {
		case it.State == queue.Completed:
			completed[it.IssueRef] = it.IssueRef != ""
			continue
		case it.Cancelled(), completed[it.IssueRef]:
			continue
		}
		list = append(list, needOf(it))
	}
	return x.byRoot(list), nil
}

// byRoot makes one need of an item that failed and of the items that waited for it, directly or not: all go on when all are
// retried.
func (x *exam) byRoot(list []Need) (roots []Need) {
	settled := map[string]*queue.Item{}
	for _, it := range x.settled {
		settled[it.ID] = it
	}
	failed := func(id string) (*queue.Item, error) { return settled[id], nil }
	waited := map[string][]string{}
	for _, n := range list {
		root := settled[n.Item]
		if n.Kind == DependencyFailed {
			root, _ = tick.Root(root, failed) // failed has no error
		}
		if root.ID != n.Item {
			waited[root.ID] = append(waited[root.ID], n.Item)
		}
		if !slices.ContainsFunc(roots, func(r Need) bool { return r.Item == root.ID }) {
			roots = append(roots, needOf(root))
		}
	}
	for i, n := range roots {
		ids := waited[n.Item]
		if len(ids) == 0 {
			continue
		}
		slices.Sort(ids) // the oldest first
		roots[i].What += ", and " + terminal.Count(len(ids), "task") + " waited for it"
		roots[i].Command = "kugetsu queue retry " + strings.Join(append([]string{n.Item}, ids[:min(len(ids), 5)]...), " ")
	}
	return roots
}

func needOf(it *queue.Item) Need {
	kind, why := Failed, ""
	if it.Error != nil {
		why = *it.Error
	}
	if last := it.Last(); it.DependencyFailed() {
		kind = DependencyFailed
	} else if last != nil {
		if row, _ := last.Outcome.Row(); row.Need != "" {
			kind = Kind(row.Need)
		}
		why = strings.TrimPrefix(why, string(last.Outcome)+": ")
	}
	row := kinds[rank(kind)]
	arg := it.ID
	if kind == StartFailed && it.IssueRef != "" {
		arg = it.IssueRef
	}
	what, command := name(it.IssueRef)+" "+row.one, "kugetsu "+fmt.Sprintf(row.command, arg)
	if taken, edit := tick.Taken(it, it.ID); taken != "" {
		what, command = line(what+", since its agent took "+taken+" away: bring it back there and retry, or name another command"), edit
	}
	return Need{ID: needID(kind, it.ID), Kind: kind, What: what, Why: why, Since: it.CompletedAt, Command: command,
		Item: it.ID, Ref: it.IssueRef, Agent: it.Agent, Cause: fmt.Sprintf("run %d at %s", it.Runs, it.CompletedAt.Format(time.RFC3339Nano))}
}
