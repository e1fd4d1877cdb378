package tick

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/event"
	"kugetsu/queue/spool"
	"kugetsu/slots"
	"kugetsu/slots/agent"
)

// Hold is the file holds/<agent>.json: while it is in force no item of that agent is started, those of others are. When
// its time is up one run, the probe, tries whether the limit is lifted; the others wait for what it meets.
type Hold struct {
	Pause
	Count int    `json:"count"` // how often in a row the limit was met: where no time was told the wait doubles
	Run   string `json:"run"`   // the run that met it last
	Probe string `json:"probe"` // the run that tries, or tried; "" for none yet
}

func holdPath(home slots.Dir, name string) string { return filepath.Join(home.Holds(), name+".json") }

// ReadHold is the hold of an agent, nil for none. A file that cannot be understood holds until it is removed: somebody
// meant it to.
func ReadHold(home slots.Dir, name string) (*Hold, error) {
	h := &Hold{}
	switch err := spool.ReadJSON(holdPath(home, name), h); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, spool.ErrBad):
		return &Hold{Pause: Pause{Reason: "the file of its hold cannot be understood"}}, nil
	case err != nil:
		return nil, err
	}
	return h, nil
}

func (t *Tick) writeHold(name string, h *Hold) error {
	data, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("hold of %s: %w", name, err)
	}
	return spool.Write(holdPath(t.Home, name), append(data, '\n'))
}

// ResumeAgent lifts an agent's hold; false when there was none.
func ResumeAgent(home slots.Dir, name string) (bool, error) {
	there, err := spool.Exists(holdPath(home, name))
	if err != nil || !there {
		return false, err
	}
	return true, spool.Remove(holdPath(home, name))
}

// readHolds reads the holds of all agents, for a pass or a look. One that the probe has got past is lifted.
func (t *Tick) readHolds(k *taken) error {
	k.holds = map[string]*Hold{}
	for _, name := range agent.Names() {
		h, err := ReadHold(t.Home, name)
		if err != nil {
			return err
		}
		if h == nil {
			continue
		}
		answered := false
		if k.runs[h.Probe] {
			if answered, err = t.Home.Answered(h.Probe); err != nil {
				return err
			}
		}
		if !answered {
			k.holds[name] = h
		}
	}
	return nil
}

// held says why an agent's items are not started now, or "".
func (t *Tick) held(name string, k *taken) string {
	switch h := k.holds[name]; {
	case h == nil:
		return ""
	case !h.over(t.Now()):
		return name + " is held" + h.rest()
	case k.runs[h.Probe]:
		return fmt.Sprintf("%s was held: %s tries whether it goes on", name, h.Probe)
	}
	return ""
}

// probing records that a run is the probe of its agent's hold, if there is one. It comes before the intent: a crash
// between the two leaves a probe that no slot names, and the next item is the probe instead. The other way round two
// could try at once.
func (t *Tick) probing(name, run string, k *taken) (bool, error) {
	h := k.holds[name]
	if h == nil {
		return false, nil
	}
	h.Probe = run
	return true, t.writeHold(name, h)
}

// afterRun holds an agent whose run met a limit, or lifts its hold when the probe got past it. It comes before the run is
// settled: a crash between the two makes the next pass do both again, and the same. The other way round the item would
// be pending with nothing to say that its agent must wait. It returns until when the agent is held.
func (t *Tick) afterRun(it *queue.Item, run string, r queue.Result, reset time.Time) (until *time.Time, err error) {
	if !slices.Contains(agent.Names(), it.Agent) { // of a newer kugetsu, say: there is nothing to hold
		return nil, nil
	}
	h, err := ReadHold(t.Home, it.Agent)
	if err != nil {
		return nil, err
	}
	if r.Outcome == queue.UsageLimit || r.Outcome == queue.Auth {
		return t.hold(it, run, h, r, reset)
	}
	if h == nil || h.Probe != run {
		return nil, nil
	}
	// Whatever else its end was, an agent that had an answer was let in. One that ended without a word of it tells nothing:
	// the next run is the probe.
	passed := slices.Contains([]queue.Outcome{queue.OK, queue.Denied, queue.Failed}, r.Outcome)
	if !passed {
		if passed, err = t.Home.Answered(run); err != nil {
			return nil, err
		}
	}
	if !passed {
		return nil, nil
	}
	_, err = ResumeAgent(t.Home, it.Agent)
	return nil, err
}

// hold writes the hold of an agent. The event comes first, as with every transition; it is told once, when the hold
// begins, not of each probe that failed.
func (t *Tick) hold(it *queue.Item, run string, h *Hold, r queue.Result, reset time.Time) (*time.Time, error) {
	switch {
	case h != nil && h.Run == run: // this pass repeats what one did that was killed
		return h.Until, nil
	case h == nil:
		h = &Hold{}
	}
	if h.Count == 0 || h.Probe == run { // else it began before the limit was known
		h.Count++
	}
	now := t.Now()
	var until *time.Time
	if r.Outcome == queue.UsageLimit && t.Settings.AutoResume {
		at := reset
		if !at.After(now) { // not told, or over already and still in the way
			at = now.Add(queue.Backoff(t.Settings.RetryDelay, h.Count))
		}
		if latest := now.Add(t.Settings.HoldMax); at.After(latest) {
			at = latest
		}
		until = &at
	}
	if h.Run != "" && h.Probe != run && (h.Until == nil || until != nil && h.Until.After(*until)) {
		until = h.Until // runs that ended at about the same time were told different things: the longest holds
	}
	if h.Run == "" {
		ev := event.Event{Name: event.Name(it.ID, it.Runs, event.AgentHeld), Type: event.AgentHeld, Item: it.ID, IssueRef: it.IssueRef,
			Agent: it.Agent, Run: it.Runs, Text: it.Agent + " is held" + (&Pause{Until: until, Reason: r.Summary}).rest()}
		if err := t.Queue.Events.Put(ev); err != nil {
			return nil, err
		}
	}
	h.Pause = Pause{Until: until, Since: &now, Reason: r.Summary}
	h.Run = run
	t.Log.Warn("agent held", "agent", it.Agent, "run", run, "outcome", string(r.Outcome))
	return until, t.writeHold(it.Agent, h)
}
