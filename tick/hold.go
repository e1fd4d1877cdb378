package tick

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/event"
	"kugetsu/queue/spool"
	"kugetsu/slots"
	"kugetsu/slots/agent"
)

// Hold is a file in holds/: while it is in force no item that needs what it names is started, others are. An agent is held
// that met a limit, was refused, or whose model's server does not answer; the host of a remote that does not. When its time
// is up one run, the probe, tries whether it goes on; the others wait for what that meets.
type Hold struct {
	Pause
	Outcome queue.Outcome `json:"outcome,omitempty"` // what was met; "" in what an older kugetsu wrote
	Count   int           `json:"count"`             // how often in a row it was met: where no time was told the wait doubles
	Run     string        `json:"run"`               // the run that met it last
	Probe   string        `json:"probe"`             // the run that tries, or tried; "" for none yet
}

// Held is what a hold is of: an agent by its name, or the host of a remote. It names the file, too.
type Held string

// hostPrefix is before the host in the name of a hold's file: no agent's name has a plus sign.
const hostPrefix = "host+"

// Name is what is held as a person knows it.
func (h Held) Name() string {
	if host, ok := strings.CutPrefix(string(h), hostPrefix); ok {
		return strings.ReplaceAll(host, "+", ":")
	}
	return string(h)
}

func (h Held) isHost() bool { return strings.HasPrefix(string(h), hostPrefix) }

// HeldNamed is what a person means by the name of an agent or of a host; false where it can be neither.
func HeldNamed(name string) (Held, bool) {
	if slices.Contains(agent.Names(), name) {
		return Held(name), true
	}
	return heldHost(name)
}

// heldHost is the hold of a host; false for what is no host: the name becomes that of a file.
func heldHost(host string) (Held, bool) {
	host = strings.ToLower(host)
	odd := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune(".-_:[]", r)
	}
	if host == "" || len(host) > 200 || strings.ContainsFunc(host, odd) {
		return "", false
	}
	return Held(hostPrefix + strings.ReplaceAll(host, ":", "+")), true
}

func holdPath(home slots.Dir, held Held) string {
	return filepath.Join(home.Holds(), string(held)+".json")
}

// Holds are all that there are, also those whose time is up, and what they are of, sorted.
func Holds(home slots.Dir) (map[Held]*Hold, []Held, error) {
	names, err := spool.List(home.Holds())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	holds, list := map[Held]*Hold{}, []Held{}
	for _, file := range names {
		name, ok := strings.CutSuffix(file, ".json")
		held := Held(name)
		if !ok || !held.isHost() && !slices.Contains(agent.Names(), name) {
			continue
		}
		h, err := ReadHold(home, held)
		if err != nil {
			return nil, nil, err
		}
		if h != nil {
			holds[held] = h
			list = append(list, held)
		}
	}
	slices.Sort(list)
	return holds, list, nil
}

// ReadHold is the hold of an agent or a host, nil for none. A file that cannot be understood holds until it is removed: a
// person meant it to.
func ReadHold(home slots.Dir, held Held) (*Hold, error) {
	h := &Hold{}
	switch err := spool.ReadJSON(holdPath(home, held), h); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, spool.ErrBad):
		return &Hold{Pause: Pause{Reason: "the file of its hold cannot be understood"}}, nil
	case err != nil:
		return nil, err
	}
	return h, nil
}

// Over says whether its time is up: it stops nothing any more, and the next run tries.
func (h *Hold) Over(now time.Time) bool { return h.over(now) }

// Remedy is what a person can do about it: a time that will come is waited for.
func (h *Hold) Remedy(held Held) string {
	switch {
	case h.Until != nil:
		return "wait: one run then tries by itself whether it goes on"
	case h.Outcome == queue.Auth:
		return "log in, or mend what it says, then kugetsu resume " + held.Name()
	}
	return "kugetsu resume " + held.Name()
}

// Text says it, for those who wait.
func (h *Hold) Text(held Held) string {
	text := held.Name() + " is held" + h.rest()
	if h.Count > 1 {
		text += fmt.Sprintf(" (%d times in a row)", h.Count)
	}
	if h.Until == nil && h.Outcome == queue.Auth {
		text += "; " + h.Remedy(held)
	}
	return text
}

func (t *Tick) writeHold(held Held, h *Hold) error {
	data, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("hold of %s: %w", held, err)
	}
	return spool.Write(holdPath(t.Home, held), append(data, '\n'))
}

// LiftHold lifts a hold; false when there was none.
func LiftHold(home slots.Dir, held Held) (bool, error) {
	there, err := spool.Exists(holdPath(home, held))
	if err != nil || !there {
		return false, err
	}
	return true, spool.Remove(holdPath(home, held))
}

// readHolds reads all holds, for a pass or a look. One that the probe has got past is lifted.
func (t *Tick) readHolds(k *taken) error {
	holds, list, err := Holds(t.Home)
	if err != nil {
		return err
	}
	k.hosts = false
	for _, held := range list {
		h := holds[held]
		if k.runs[h.Probe] {
			tries, answered, err := t.tries(held, h.Probe)
			if err != nil {
				return err
			}
			if answered {
				delete(holds, held)
				continue
			}
			if !tries {
				h.Probe = "" // here alone: another may try
			}
		}
		k.hosts = k.hosts || held.isHost()
	}
	if k.holds = holds; k.hosts {
		k.repos, err = readRepos(t.Home)
	}
	return err
}

// tries says whether a run still tries what it is the probe of, and whether it had an answer. A run that could go on with
// what was here, and never heard of the remote's host, tells nothing once its agent has begun.
func (t *Tick) tries(held Held, run string) (tries, answered bool, err error) {
	if !held.isHost() {
		answered, err = t.Home.Answered(run)
		return !answered, answered, err
	}
	if answered, err = t.Home.Fetched(run); err != nil || answered {
		return false, answered, err
	}
	marker, err := t.Home.ReadMarker(run)
	return marker.Phase == slots.Exit, false, err
}

// heldFor are the holds that an item is subject to.
func (t *Tick) heldFor(it *queue.Item, k *taken) []Held {
	var list []Held
	if k.holds[Held(it.Agent)] != nil {
		list = append(list, Held(it.Agent))
	}
	if k.hosts {
		if host := t.hostFor(it, k.repos); k.holds[host] != nil {
			list = append(list, host)
		}
	}
	return list
}

// held says why an item is not started now for what is held, or "".
func (t *Tick) held(it *queue.Item, k *taken) string {
	for _, held := range t.heldFor(it, k) {
		switch h := k.holds[held]; {
		case !h.over(t.Now()):
			return h.Text(held)
		case k.runs[h.Probe]:
			return fmt.Sprintf("%s was held: %s tries whether it goes on", held.Name(), h.Probe)
		}
	}
	return ""
}

// lastToTry moves to the end the items that met last what is now to be tried again: a dead server, or refused credentials.
// Where another item is there to try, it tells whether that was the server, or the item.
func (t *Tick) lastToTry(entries []queue.Entry, k *taken) []queue.Entry {
	met := map[string]bool{}
	for _, h := range k.holds {
		if h.Outcome == queue.UsageLimit || !h.over(t.Now()) {
			continue
		}
		if item, _, _ := strings.Cut(h.Run, "."); item != "" {
			met[item] = true
		}
	}
	if len(met) == 0 {
		return entries
	}
	var first, last []queue.Entry
	for _, e := range entries {
		if met[e.ID] {
			last = append(last, e)
		} else {
			first = append(first, e)
		}
	}
	return append(first, last...)
}

// probing records that a run is the probe of what is held, if anything is, and says of what. It comes before the intent: a
// crash between the two leaves a probe that no slot names, and the next item is the probe instead. The other way round two
// could try at once.
func (t *Tick) probing(it *queue.Item, run string, k *taken) (ofAgent, ofHost bool, err error) {
	for _, held := range t.heldFor(it, k) {
		h := k.holds[held]
		h.Probe = run
		if err := t.writeHold(held, h); err != nil {
			return false, false, err
		}
		ofHost = ofHost || held.isHost()
		ofAgent = ofAgent || !held.isHost()
	}
	return ofAgent, ofHost, nil
}

// told is what a runner told beside the run's result.
type told struct {
	reset  time.Time // when a usage limit is lifted; the zero time: nobody said
	worked bool      // the model was heard in the run
	host   string    // of an outage: the remote's host that is down; "" for the model's server
}

// afterRun holds what a run met as closed, and lifts what it was the probe of and got past. It comes before the run is
// settled: a crash between the two makes the next pass do both again, and the same. The other way round the item would be
// pending with nothing to say that it must wait. It fills in until when the item waits, and whether it is alone in that.
func (t *Tick) afterRun(it *queue.Item, run string, r *queue.Result, of told) error {
	var met Held
	if r.Outcome == queue.UsageLimit || r.Outcome == queue.Auth || r.Outcome == queue.Outage {
		host, ok := heldHost(of.host)
		switch {
		case ok:
			met = host
		case slices.Contains(agent.Names(), it.Agent): // else it is of a newer kugetsu: there is nothing to hold
			met = Held(it.Agent)
		}
	}
	holds, list, err := Holds(t.Home)
	if err != nil {
		return err
	}
	for _, held := range list {
		if held == met || holds[held].Probe != run {
			continue
		}
		_, passed, err := t.tries(held, run)
		if err != nil {
			return err
		}
		// Whatever else its end was, an agent that had an answer was let in. One that ended without a word of it tells
		// nothing: the next run is the probe.
		passed = passed || !held.isHost() && slices.Contains([]queue.Outcome{queue.OK, queue.Denied, queue.Failed}, r.Outcome)
		if passed {
			if _, err := LiftHold(t.Home, held); err != nil {
				return err
			}
		}
	}
	if met == "" {
		return nil
	}
	r.Alone = holds[met] == nil
	r.HeldUntil, err = t.hold(it, run, met, holds[met], r, of)
	return err
}

// heldUntil is when what a run met may be tried again; nil until a person says so. Credentials that were refused as the run
// began are a person's to mend. Those of a run that had worked were good a moment ago, and what its stream says may be a
// tool's doing: they are tried again, as a server is.
func (t *Tick) heldUntil(count int, r *queue.Result, of told) *time.Time {
	switch {
	case r.Outcome == queue.UsageLimit && !t.Settings.AutoResume, r.Outcome == queue.Auth && !of.worked:
		return nil
	}
	now := t.Now()
	at := of.reset
	if r.Outcome != queue.UsageLimit || !at.After(now) { // not told, or over already and still in the way
		at = now.Add(queue.Backoff(t.Settings.RetryDelay, count))
	}
	if latest := now.Add(t.Settings.HoldMax); at.After(latest) {
		at = latest
	}
	return &at
}

// hold writes a hold. The event comes first, as with every transition; it is told once, when the hold begins, not of each
// probe that failed.
func (t *Tick) hold(it *queue.Item, run string, held Held, h *Hold, r *queue.Result, of told) (*time.Time, error) {
	switch {
	case h != nil && h.Run == run: // this pass repeats what one did that was killed
		r.Alone = h.Count == 1 && h.Probe == ""
		return h.Until, nil
	case h == nil:
		h = &Hold{}
	}
	if h.Count == 0 || h.Probe == run { // else it began before this was known
		h.Count++
	}
	now := t.Now()
	until := t.heldUntil(h.Count, r, of)
	if h.Run != "" && h.Probe != run && (h.Until == nil || until != nil && h.Until.After(*until)) {
		until = h.Until // runs that ended at about the same time were told different things: the longest holds
	} else {
		h.Outcome, h.Reason = r.Outcome, r.Summary
	}
	begins := h.Run == ""
	h.Until, h.Since, h.Run = until, &now, run
	if begins {
		ev := event.Event{Name: event.Name(it.ID, it.Runs, event.AgentHeld), Type: event.AgentHeld, Item: it.ID, IssueRef: it.IssueRef,
			Agent: it.Agent, Run: it.Runs, Text: h.Text(held)}
		if err := t.Queue.Events.Put(ev); err != nil {
			return nil, err
		}
	}
	t.Log.Warn("held", "what", held.Name(), "run", run, "outcome", string(r.Outcome), "times", h.Count)
	return until, t.writeHold(held, h)
}
