package tick

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/spool"
	"kugetsu/slots"
)

// View is what can be seen without changing anything: status, the listings and the dry run are made of it.
type View struct {
	Slots   []SlotView `json:"slots"`
	Running int        `json:"running"`   // slots of dev agents that are held
	Limit   int        `json:"limit"`     // MAX_CONCURRENT_AGENTS
	Waiting []Waiting  `json:"waiting"`   // pending items in run order
	Why     string     `json:"why"`       // why nothing starts, "" when something may
	Last    *time.Time `json:"last_tick"` // when the last pass began
	Problem []string   `json:"problems"`  // what somebody should look at
	Hint    string     `json:"-"`         // what may be done about why
	taken   *taken
	closed  string // why nothing may be started at all
}

// SlotView is one slot.
type SlotView struct {
	Slot     string     `json:"slot"`
	Held     bool       `json:"held"`
	Item     string     `json:"item,omitempty"`
	IssueRef string     `json:"issue_ref,omitempty"`
	Agent    string     `json:"agent,omitempty"`
	Run      int        `json:"run,omitempty"`
	Session  string     `json:"session,omitempty"`
	Since    *time.Time `json:"since,omitempty"` // handed to a runner
	Beyond   bool       `json:"beyond_limit,omitempty"`
	Waits    string     `json:"waits,omitempty"` // what its agent waits for within its process: a limit, a server
}

// Waiting is a pending item.
type Waiting struct {
	Item      string     `json:"item"`
	IssueRef  string     `json:"issue_ref"`
	Agent     string     `json:"agent"`
	Lane      queue.Lane `json:"lane"`
	Priority  int        `json:"priority"`
	Since     time.Time  `json:"pending_since"`
	NotBefore *time.Time `json:"not_before"`
	After     []string   `json:"after"`
	Timeout   string     `json:"timeout,omitempty"`
	Why       string     `json:"why"`  // it is not eligible now; "" when it only waits for a slot
	Held      bool       `json:"held"` // because its agent is, or too much waits for review: no tick will start it before somebody or something lifts that
	next      string     // why the next pass does not start it, "" when it does
	item      *queue.Item
	blocked   bool // it waits for what is not a matter of time
}

// Look probes every slot with a shared lock, for an instant, and reads the live items. No lock is needed: what is seen
// may be over by the time it is shown.
func (t *Tick) Look() (*View, error) {
	v := &View{Limit: t.Settings.MaxAgents, taken: newTaken(), Slots: []SlotView{}, Waiting: []Waiting{}, Problem: []string{}}
	names, err := t.Home.Names()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		v.Slots = append(v.Slots, t.lookSlot(name, v))
	}
	v.Running = v.taken.dev
	if err := t.readHolds(v.taken); err != nil {
		return nil, err
	}
	for _, lane := range queue.Lanes {
		if err := t.lookLane(lane, v); err != nil {
			return nil, err
		}
	}
	if v.closed, err = t.closed(); err != nil {
		v.closed = err.Error()
		v.Problem = append(v.Problem, v.closed)
	}
	v.Hint = "kugetsu resume lifts a pause"
	if v.Why = v.closed; v.Why == "" && v.Running >= v.Limit {
		v.Why = fmt.Sprintf("all %d slots are taken", v.Limit)
	}
	if v.Why == "" {
		t.lookRoom(v)
	}
	last, err := LastPass(t.Home)
	if err != nil {
		return nil, err
	}
	if !last.IsZero() {
		v.Last = &last
	}
	t.plan(v)
	return v, nil
}

// LookSlots is a look at the slots alone.
func (t *Tick) LookSlots() ([]SlotView, error) {
	v := &View{taken: newTaken()}
	names, err := t.Home.Names()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		v.Slots = append(v.Slots, t.lookSlot(name, v))
	}
	return v.Slots, nil
}

func (t *Tick) lookSlot(name string, v *View) SlotView {
	s := SlotView{Slot: name}
	in, err := t.Home.ReadIntent(name)
	if err != nil {
		v.problem("slot %s: %v", name, err)
	}
	newer := errors.Is(err, spool.ErrNewer)
	if s.Held, err = slots.Held(t.Home.SlotLock(name)); err != nil {
		v.problem("slot %s: %v", name, err)
		s.Held = true
	}
	s.Held = s.Held || newer
	if in != nil {
		s.Item, s.Run, s.Session = in.Item, in.Run, in.Session
		if _, it, err := t.itemIn(in); err == nil {
			s.IssueRef, s.Agent, s.Since = it.IssueRef, it.Agent, it.NotifiedAt
			t.lookRunner(&s, it, v)
		}
	}
	if s.Held {
		v.taken.hold(name, in)
	}
	if s.Held && in != nil {
		if s.Waits, err = t.Home.Waits(in.RunName()); err != nil {
			v.problem("slot %s: %v", name, err)
		}
	}
	return s
}

// lookRunner looks at the runner of a slot's run.
func (t *Tick) lookRunner(s *SlotView, it *queue.Item, v *View) {
	if it.State != queue.Notified || it.Runs != s.Run {
		return
	}
	if !s.Held && t.unlocked(it) {
		marker, err := t.Home.ReadMarker(slots.RunName(it.ID, it.Runs))
		s.Held = err != nil || marker.Phase != slots.Ended
	}
	if s.Held && Beyond(it) {
		s.Beyond = true
		v.problem("slot %s: run %d of %s is beyond its limit of %s: a tick ends it", s.Slot, s.Run, s.Item, slots.Limit(it.Runner.Timeout))
	}
}

func (t *Tick) lookLane(lane queue.Lane, v *View) error {
	entries, err := t.Queue.Live(lane)
	if err != nil {
		return err
	}
	for _, e := range t.lastToTry(entries, v.taken) {
		it, err := t.Queue.Load(e)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			v.problem("%v", err)
		case it.State == queue.Pending && !v.taken.items[it.ID]:
			why := t.waits(it, v.taken)
			after, inVain := t.awaits(it, v.taken)
			err := t.MayStart(it)
			if why == "" && err != nil {
				why = err.Error()
			}
			v.Waiting = append(v.Waiting, Waiting{Item: it.ID, IssueRef: it.IssueRef, Agent: it.Agent, Lane: lane, Priority: e.Priority,
				Since: it.PendingSince, NotBefore: it.NotBefore, After: it.After, Timeout: it.Timeout, Why: why, item: it,
				Held: t.held(it, v.taken) != "" || t.waitsForReview(it, v.taken), blocked: err != nil || after != "" && !inVain})
		}
	}
	return nil
}

// Busy says whether any agent runs, the PM agent among them: one that ends changes what may start.
func (v *View) Busy() bool { return len(v.taken.slots) > 0 }

func (v *View) problem(format string, args ...any) {
	v.Problem = append(v.Problem, fmt.Sprintf(format, args...))
}

// Held says why all that waits is held, or "" when there is something that a tick will start by itself.
func (v *View) Held() string {
	why := ""
	for _, w := range v.Waiting {
		switch {
		case w.Held:
			why = w.Why
		case !w.blocked: // else it waits for one that is held, or is stuck
			return ""
		}
	}
	return why
}
