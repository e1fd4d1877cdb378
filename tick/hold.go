package tick

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/event"
	"kugetsu/queue/outcome"
	"kugetsu/queue/spool"
	"kugetsu/slots"
	"kugetsu/slots/agent"
)

// Hold is a file in holds/. While a hold is in force, no item that needs the agent or the host that it names is started; other items are.
// An agent is put on hold if it met a usage limit, if its credentials were refused, or if its model's server does not answer. If the
// program says that only one family of its models has the limit, only that family is put on hold. The host of a remote is put on hold if
// it does not answer. After the hold one run, the probe, tries again; the other items wait for the probe's result.
type Hold struct {
	Pause
	Outcome outcome.Outcome `json:"outcome,omitempty"` // the cause; "" in files of an older kugetsu
	Count   int             `json:"count"`             // how often in a row it was met: without a known end the wait doubles
	Run     string          `json:"run"`               // the run that met it last
	Probe   string          `json:"probe"`             // the run that tries, or tried; "" before the first
	Unpaid  bool            `json:"unpaid,omitempty"`  // a spend cap or missing credits: a person can lift it at once, and no time is known that does
}

// HoldTarget is the subject of a hold: an agent by its name, a family of its models ("claude+opus"), or the host of a remote. It is the name
// of the file, too.
type HoldTarget string

// hostPrefix precedes the host in the name of a hold's file. No agent's name has a plus sign.
const hostPrefix = "host+"

// Name is the subject as people know it.
func (h HoldTarget) Name() string {
	if host, ok := strings.CutPrefix(string(h), hostPrefix); ok {
		return strings.ReplaceAll(host, "+", ":")
	}
	if h.Model() != "" {
		return h.Agent() + " (" + h.Model() + ")"
	}
	return string(h)
}

// Agent is the agent of the subject; "" for a host. Model is the family of its models; "" for all.
func (h HoldTarget) Agent() string {
	if h.IsHost() {
		return ""
	}
	name, _, _ := strings.Cut(string(h), "+")
	return name
}

func (h HoldTarget) Model() string {
	_, model, _ := strings.Cut(string(h), "+")
	if h.IsHost() {
		return ""
	}
	return model
}

// Arg is the word after kugetsu resume that lifts the hold.
func (h HoldTarget) Arg() string {
	if h.IsHost() {
		return h.Name()
	}
	return h.Agent()
}

// known says whether it is a subject of this version.
func (h HoldTarget) known() bool {
	_, limited := modelTarget(h.Agent(), h.Model())
	return h.IsHost() || limited || slices.Contains(agent.Names(), string(h))
}

// modelTarget is the subject for a family of an agent's models. It is false where the agent does not tell of such a limit.
func modelTarget(name, family string) (HoldTarget, bool) {
	p, err := agent.Lookup(name)
	return HoldTarget(name + "+" + family), err == nil && slices.Contains(p.Limited, family)
}

// IsHost says whether it is the host of a remote, and no agent.
func (h HoldTarget) IsHost() bool { return strings.HasPrefix(string(h), hostPrefix) }

// HoldTargetNamed is the subject that a person means by the name of an agent or of a host. It is false for any other word.
func HoldTargetNamed(name string) (HoldTarget, bool) {
	if slices.Contains(agent.Names(), name) {
		return HoldTarget(name), true
	}
	return hostTarget(name)
}

// hostTarget is the subject for a host. It is false for a string that is no host, since the string becomes a file name.
func hostTarget(host string) (HoldTarget, bool) {
	host = strings.ToLower(host)
	odd := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune(".-_:[]", r)
	}
	if host == "" || len(host) > 200 || strings.ContainsFunc(host, odd) {
		return "", false
	}
	return HoldTarget(hostPrefix + strings.ReplaceAll(host, ":", "+")), true
}

func holdFile(home slots.Dir, target HoldTarget) spool.File[Hold] {
	return spool.File[Hold]{Path: filepath.Join(home.Holds(), string(target)+".json"), Layout: spool.Line}
}

// Holds returns all holds, also those that have ended, and their sorted subjects.
func Holds(home slots.Dir) (map[HoldTarget]*Hold, []HoldTarget, error) {
	names, err := spool.List(home.Holds())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	holds, list := map[HoldTarget]*Hold{}, []HoldTarget{}
	for _, file := range names {
		name, ok := strings.CutSuffix(file, ".json")
		target := HoldTarget(name)
		if !ok || !target.known() {
			continue
		}
		h, err := ReadHold(home, target)
		if err != nil {
			return nil, nil, err
		}
		if h != nil {
			holds[target] = h
			list = append(list, target)
		}
	}
	slices.Sort(list)
	return holds, list, nil
}

// ReadHold reads the hold of an agent or a host; nil for none. A file that is bad counts as a hold until it is removed, since a person
// may have written it.
func ReadHold(home slots.Dir, target HoldTarget) (*Hold, error) {
	h, err := holdFile(home, target).Read()
	if errors.Is(err, spool.ErrBad) {
		return &Hold{Pause: Pause{Reason: "the file of the hold is damaged: remove it, or kugetsu resume"}}, nil
	}
	return h, err
}

// Ended says whether the hold has ended. It stops nothing from then on, and the next run is its probe.
func (h *Hold) Ended(now time.Time) bool { return h.ended(now) }

// Remedy is what a person can do about the hold. A hold with an end asks for patience only.
func (h *Hold) Remedy(target HoldTarget) string {
	switch {
	case h.Until != nil && h.Unpaid:
		return "add credits or raise the cap, then kugetsu resume " + target.Arg() + "; else one run tries again by itself"
	case h.Until != nil:
		return "wait: one run then tries again by itself"
	case h.Outcome == outcome.Auth:
		return "log in, or repair what it says, then kugetsu resume " + target.Arg()
	}
	return "kugetsu resume " + target.Arg()
}

// Text is the hold as a reason to wait.
func (h *Hold) Text(target HoldTarget) string {
	text := target.Name() + " is on hold" + h.rest()
	if h.Count > 1 {
		text += fmt.Sprintf(" (%d times in a row)", h.Count)
	}
	if h.Unpaid || h.Until == nil && h.Outcome == outcome.Auth {
		text += "; " + h.Remedy(target)
	}
	return text
}

func (t *Tick) writeHold(target HoldTarget, h *Hold) error { return holdFile(t.Home, target).Write(h) }

// LiftHold removes a hold. It returns false if there was none.
func LiftHold(home slots.Dir, target HoldTarget) (bool, error) {
	return holdFile(home, target).Remove()
}

// LiftHolds removes the hold of an agent and those of its models, or that of a host. It returns false if there was none.
func LiftHolds(home slots.Dir, target HoldTarget) (was bool, err error) {
	_, list, err := Holds(home)
	if err != nil {
		return false, err
	}
	for _, other := range list {
		if other == target || target.Agent() != "" && other.Agent() == target.Agent() {
			lifted, err := LiftHold(home, other)
			if err != nil {
				return was, err
			}
			was = was || lifted
		}
	}
	return was, nil
}

// runnerReport is what a runner reported beside the run's result.
type runnerReport struct {
	reset  time.Time // when a usage limit is lifted; the zero time if that is not known
	unpaid bool      // of a usage limit: money or a higher cap lifts it, and no time is known that does
	worked bool      // the model answered in the run
	model  string    // of a usage limit: the family of models that it is of alone, "" for all
	host   string    // of an outage: the remote's host that is down; "" for the model's server

	unverifiable string // the command that verifies the run, where it could not be started
}

// afterRun puts an agent or a host on hold if the run met its limit or got no answer. It notes a command that could not be started to
// verify the run, and lifts the holds of which the run was a successful probe. It comes before the run is settled: after a crash between
// the two the next pass does both again, with the same result. In the other order the item would be pending without a reason to wait.
// afterRun sets in r until when the item waits, and whether no other item has met the hold.
func (t *Tick) afterRun(it *queue.Item, run string, r *queue.Result, of runnerReport) error {
	if r.Outcome == outcome.Unverifiable && of.unverifiable != "" {
		if err := t.metUnverifiable(it, of.unverifiable, r.Summary); err != nil {
			return err
		}
	}
	var met HoldTarget
	if r.Outcome.Holds() {
		host, ok := hostTarget(of.host)
		model, limited := modelTarget(it.Agent, of.model)
		switch {
		case ok:
			met = host
		case limited && r.Outcome == outcome.UsageLimit:
			met = model
		case slices.Contains(agent.Names(), it.Agent): // an agent of a newer kugetsu cannot be put on hold
			met = HoldTarget(it.Agent)
		}
	}
	holds, list, err := Holds(t.Home)
	if err != nil {
		return err
	}
	row, _ := r.Outcome.Row()
	for _, target := range list {
		if target == met || holds[target].Probe != run {
			continue
		}
		_, passed, err := t.tries(target, run)
		if err != nil {
			return err
		}
		// However the run ended, an agent that had an answer was let in. A run that ended before any answer tells nothing: the next
		// run is the probe.
		passed = passed || !target.IsHost() && row.Answered
		if passed {
			if err := t.lift(it, target, holds[target]); err != nil {
				return err
			}
		}
	}
	if met == "" {
		return nil
	}
	r.Alone = holds[met] == nil
	r.OnHoldUntil, err = t.hold(it, run, met, holds[met], r, of)
	return err
}

// lift removes a hold that the newest run of an item got past. The event comes first, as with every transition.
func (t *Tick) lift(it *queue.Item, target HoldTarget, h *Hold) error {
	text := target.Name() + " is on hold no longer"
	if h.Reason != "" {
		text += "; it was: " + h.Reason
	}
	ev := event.Event{Name: event.Name(it.ID, it.Runs, event.AgentLifted) + "." + event.SafeName(string(target)), Type: event.AgentLifted, Item: it.ID,
		IssueRef: it.IssueRef, Agent: it.Agent, Run: it.Runs, Text: text}
	if err := t.Queue.Events.Put(ev); err != nil {
		return err
	}
	_, err := LiftHold(t.Home, target)
	return err
}

// onHoldUntil is when to try again; nil means when a person says so. Credentials that were refused at the start need a person. If the
// model had answered in the run, its credentials were good a moment ago, and a tool may have written the line about them: such a run is
// tried again, as after an outage.
func (t *Tick) onHoldUntil(count int, r *queue.Result, of runnerReport) *time.Time {
	switch {
	case r.Outcome == outcome.UsageLimit && !t.Settings.AutoResume, r.Outcome == outcome.Auth && !of.worked:
		return nil
	}
	now := t.Now()
	at := of.reset
	if r.Outcome != outcome.UsageLimit || !at.After(now) { // no time is known, or it has passed and the limit is still there
		at = now.Add(queue.Backoff(t.Settings.RetryDelay, count))
	}
	if latest := now.Add(t.Settings.HoldMax); at.After(latest) {
		at = latest
	}
	return &at
}

// hold writes a hold. The event comes first, as with every transition. It is sent once, when the hold begins, and not for each
// failed probe.
func (t *Tick) hold(it *queue.Item, run string, target HoldTarget, h *Hold, r *queue.Result, of runnerReport) (*time.Time, error) {
	switch {
	case h != nil && h.Run == run: // this pass repeats what a killed pass did
		r.Alone = h.Count == 1 && h.Probe == ""
		return h.Until, nil
	case h == nil:
		h = &Hold{}
	}
	if h.Count == 0 || h.Probe == run { // a run that began before the hold does not count
		h.Count++
	}
	now := t.Now()
	until := t.onHoldUntil(h.Count, r, of)
	if h.Run != "" && h.Probe != run && (h.Until == nil || until != nil && h.Until.After(*until)) {
		until = h.Until // runs that ended at about the same time reported different times: the latest counts
	} else {
		h.Outcome, h.Reason, h.Unpaid = r.Outcome, r.Summary, of.unpaid
	}
	begins := h.Run == ""
	h.Until, h.Since, h.Run = until, &now, run
	if begins {
		ev := event.Event{Name: event.Name(it.ID, it.Runs, event.AgentHeld), Type: event.AgentHeld, Item: it.ID, IssueRef: it.IssueRef,
			Agent: it.Agent, Run: it.Runs, Text: h.Text(target)}
		if err := t.Queue.Events.Put(ev); err != nil {
			return nil, err
		}
	}
	t.Log.Warn("on hold", "what", target.Name(), "run", run, "outcome", string(r.Outcome), "times", h.Count)
	return until, t.writeHold(target, h)
}
