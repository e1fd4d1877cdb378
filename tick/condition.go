package tick

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kugetsu/queue/event"
	"kugetsu/queue/fault"
	"kugetsu/queue/spool"
	"kugetsu/slots"
)

// condition is a state of the machine that keeps items waiting through many passes: too little memory or disk, an agent that is
// not installed, or a verifying command that cannot be started. There is an event when a condition begins and when it is over, and none
// in between. The condition's file says since when it lasts.
type condition struct {
	path         string
	begins, ends event.Type
	agent        string
	item, ref    string // the only item that the condition is about, and its issue or task; "" if there may be more
	subject      string // the part of the events' names beside the type; "" if there can be one such condition only
	said, over   string // the texts of the events, before the reason
	log          string
}

// lasting is the file of a condition.
type lasting struct {
	V     int       `json:"v"`
	Since time.Time `json:"since"`
	Why   string    `json:"why"`

	Verifier *unverifiable `json:"verifier,omitempty"`
}

func capacityCondition(home slots.Dir) condition {
	return condition{path: filepath.Join(string(home), "room.json"), begins: event.RoomLow, ends: event.RoomBack,
		said: "nothing more is started: ", over: "there is capacity for an agent again; it was: ", log: "nothing more is started"}
}

// missingSuffix ends the name of the file that an agent is missing: agents/<agent>.missing.json.
const missingSuffix = ".missing.json"

// agentsDir is where the runs keep what they learn of the agents' programs, too.
func agentsDir(home slots.Dir) string { return filepath.Join(string(home), "agents") }

func missingCondition(home slots.Dir, name string) condition {
	return condition{path: filepath.Join(agentsDir(home), name+missingSuffix), begins: event.AgentMissing, ends: event.AgentBack, agent: name, subject: name,
		over: "the agent " + name + " is installed again; it was: ", log: "an agent is missing"}
}

func (c condition) file() spool.File[lasting] {
	return spool.File[lasting]{Path: c.path, Version: 1, Layout: spool.Line}
}

// read reads the file of a condition; false if the condition does not last.
func (c condition) read() (l lasting, lasts bool, err error) {
	there, err := c.file().ReadGood()
	if there == nil {
		return lasting{}, false, err
	}
	return *there, true, nil
}

func (c condition) event(kind event.Type, l lasting, text string) event.Event {
	name := fmt.Sprintf("%s.%d", kind, l.Since.Unix())
	if c.subject != "" {
		name = fmt.Sprintf("%s.%s.%d", kind, c.subject, l.Since.Unix())
	}
	return event.Event{Name: name, Type: kind, Agent: c.agent, Item: c.item, IssueRef: c.ref, Text: text + l.Why}
}

// begun is the event that a condition begins.
func (c condition) begun(l lasting) event.Event { return c.event(c.begins, l, c.said) }

// tellConditions tells of the conditions that this pass met, and of those that are over.
func (t *Tick) tellConditions(el *eligibility, report *Report) error {
	var errs []error
	missing := map[string]bool{}
	for _, r := range el.met[NotInstalled] {
		missing[r.agent] = true
		errs = append(errs, t.lasts(missingCondition(t.Home, r.agent), r, report))
	}
	for _, r := range el.met[NoCapacity] {
		errs = append(errs, t.lasts(capacityCondition(t.Home), r, report))
	}
	if len(el.met[NoCapacity]) == 0 {
		errs = append(errs, t.mayBeOver(capacityCondition(t.Home), func() bool { return el.capacity.full().Kind == Eligible }))
	}
	errs = append(errs, t.tellVerifiers(el, report))
	names, err := spool.List(agentsDir(t.Home))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(append(errs, err)...)
	}
	for _, file := range names {
		if name, ok := strings.CutSuffix(file, missingSuffix); ok && !missing[name] {
			errs = append(errs, t.mayBeOver(missingCondition(t.Home, name), func() bool { return t.Installed(name) == nil }))
		}
	}
	return errors.Join(errs...)
}

// lasts makes the event that a condition begins, unless an earlier pass did. The file comes first, since the event's name comes from the
// file: after a crash between the two the next pass makes the event under the same name.
func (t *Tick) lasts(c condition, r Reason, report *Report) error {
	l, known, err := c.read()
	if err != nil {
		return err
	}
	if !known {
		l = lasting{V: 1, Since: t.Now().UTC(), Why: r.Text, Verifier: r.verifier}
		if err := c.file().Write(&l); err != nil {
			return err
		}
		t.Log.Info(c.log, "why", r.Text)
	}
	report.standing, report.standingNew = append(report.standing, r), report.standingNew || !known
	return t.Queue.Events.PutOnce(c.begun(l))
}

// mayBeOver makes the event that a condition is over, if it has lasted until now and over says so. A condition that still lasts stays on
// record even if no item waits for it in this pass. So a queue that only memory limits causes one event, not one for each run.
func (t *Tick) mayBeOver(c condition, over func() bool) error {
	l, lasted, err := c.read()
	if err != nil || !lasted || !over() {
		return err
	}
	ev := c.event(c.ends, l, c.over)
	if err := t.Queue.Events.Put(ev); err != nil {
		return err
	}
	t.Log.Warn(strings.TrimSuffix(c.over, "; it was: "), "was", l.Why)
	return spool.Unlink(c.path)
}

// Standing is the error of the conditions that keep items waiting (exit code 75 or 78), nil if there are none; and whether one of
// them is new.
func (r *Report) Standing() (err error, begins bool) {
	// The configuration first: its exit code asks for a person.
	slices.SortStableFunc(r.standing, func(a, b Reason) int { return b.Code() - a.Code() })
	var errs []error
	for _, one := range r.standing {
		if one.err != nil {
			errs = append(errs, one.err)
		} else {
			errs = append(errs, fault.New(one.Code(), one.Remedy(), "nothing more is started: %s", one.Text))
		}
	}
	return errors.Join(errs...), r.standingNew
}

// CapacityLowSince is since when too little memory or disk keeps items waiting; nil where it does not.
func (t *Tick) CapacityLowSince() *time.Time {
	l, lasts, err := capacityCondition(t.Home).read()
	if err != nil || !lasts {
		return nil
	}
	return &l.Since
}

// MissingAgent is an agent whose program is not there, so that items wait.
type MissingAgent struct {
	Agent string
	Since time.Time
	Why   string
}

// MissingAgents lists them as the last pass found them.
func MissingAgents(home slots.Dir) ([]MissingAgent, error) {
	names, err := spool.List(agentsDir(home))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var list []MissingAgent
	for _, file := range names {
		name, ok := strings.CutSuffix(file, missingSuffix)
		if !ok {
			continue
		}
		l, lasts, err := missingCondition(home, name).read()
		if err != nil {
			return nil, err
		}
		if lasts {
			list = append(list, MissingAgent{Agent: name, Since: l.Since, Why: l.Why})
		}
	}
	return list, err
}
