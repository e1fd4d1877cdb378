package tick

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/spool"
	"kugetsu/slots"
)

// View is a snapshot: status, the listings and the dry run show it. Nothing is changed for it.
type View struct {
	Slots    []SlotView `json:"slots"`
	Running  int        `json:"running"`   // slots of dev agents that are occupied
	Limit    int        `json:"limit"`     // MAX_CONCURRENT_AGENTS
	Waiting  []Waiting  `json:"waiting"`   // pending items in run order
	Unread   int        `json:"-"`         // further items that were not read: see Glance
	IDs      []string   `json:"-"`         // of all live items
	Why      string     `json:"why"`       // why nothing starts, "" when something may
	Last     *time.Time `json:"last_tick"` // when the last pass began
	Problem  []string   `json:"problems"`  // what a person should look at
	blocked  Reason     // why nothing starts
	occupied *occupied
	named    map[string]bool        // the items of occupied slots
	busy     bool                   // an agent runs
	alone    bool                   // of the items that wait, one was to be read
	read     map[string]*queue.Item // that the caller has read, by id
}

// SlotView is one slot.
type SlotView struct {
	Slot     string     `json:"slot"`
	Occupied bool       `json:"held"`
	Item     string     `json:"item,omitempty"`
	IssueRef string     `json:"issue_ref,omitempty"`
	Agent    string     `json:"agent,omitempty"`
	Title    string     `json:"title,omitempty"` // the first line of the message
	Run      int        `json:"run,omitempty"`
	Session  string     `json:"session,omitempty"`
	Since    *time.Time `json:"since,omitempty"` // handed to a runner
	Beyond   bool       `json:"beyond_limit,omitempty"`
	Waits    string     `json:"waits,omitempty"` // what its agent waits for within its process: a limit, a server

	Engine  string `json:"engine,omitempty"` // what started it; "" for this machine
	Job     string `json:"job,omitempty"`    // its number on a cluster
	Node    string `json:"node,omitempty"`   // where it runs
	Queued  string `json:"queued,omitempty"` // why the job waits
	jobName string

	Verifying *slots.Verifying `json:"verifying,omitempty"` // what verifies the run; its agent is done then
}

// Waiting is a pending item.
type Waiting struct {
	Item      string     `json:"item"`
	IssueRef  string     `json:"issue_ref"`
	Agent     string     `json:"agent"`            // the one that starts, if the next pass starts it
	Agents    []string   `json:"agents,omitempty"` // where the item names several
	Title     string     `json:"title"`            // the first line of the message
	Lane      queue.Lane `json:"lane"`
	Priority  int        `json:"priority"`
	Since     time.Time  `json:"pending_since"`
	NotBefore *time.Time `json:"not_before"`
	After     []string   `json:"after"`
	Timeout   string     `json:"timeout,omitempty"`
	Kind      Kind       `json:"kind"`  // of the reason why the next pass does not start it, "" if it does
	Why       string     `json:"why"`   // the reason, unless the item only waits for its turn
	Until     *time.Time `json:"until"` // when that ends, if it is known
	Blocked   bool       `json:"held"`  // no tick starts it before a person or something outside ends that
	reason    Reason
}

// Snapshot makes a snapshot. It probes every slot with a shared lock, for an instant, and reads the live items. No lock is needed: the
// snapshot may be outdated when it is shown.
//
// A snapshot asks about the items in the order in which fill meets them, by the same rule. An item that would start takes its slot, its
// memory and its issue from the items behind it.
func (t *Tick) Snapshot() (*View, error) { return t.Glance(-1) }

// Glance is a snapshot in which at most so many waiting items of each lane are read, all if most is negative. The items behind them
// are only counted. The items that were read are shown as in a whole snapshot.
func (t *Tick) Glance(most int) (*View, error) {
	return t.glance(func(lane queue.Lane, el *eligibility, v *View) error { return t.inspectLane(lane, el, v, most, "") })
}

// SnapshotOf is Snapshot for a caller that has read items just now: those are not read again.
func (t *Tick) SnapshotOf(read map[string]*queue.Item) (*View, error) {
	return t.glance(func(lane queue.Lane, el *eligibility, v *View) error {
		v.read = read
		return t.inspectLane(lane, el, v, -1, "")
	})
}

// Until is a snapshot that reads the waiting items up to the item id and no further, for a caller that asks about that item: the items
// behind it cost nothing. If id is "", no item is read.
func (t *Tick) Until(id string) (*View, error) {
	return t.glance(func(lane queue.Lane, el *eligibility, v *View) error {
		if id == "" || len(v.Waiting) > 0 && v.Waiting[len(v.Waiting)-1].Item == id {
			return nil
		}
		return t.inspectLane(lane, el, v, -1, id)
	})
}

// Alone is a snapshot in which one waiting item is read, as if it were the only one.
func (t *Tick) Alone(id string) (*View, error) {
	v, err := t.glance(func(lane queue.Lane, el *eligibility, v *View) error {
		line, err := t.Queue.Ahead(lane, func(each string) bool { return each == id && !v.named[id] })
		if err != nil {
			return err
		}
		for e := range line.Entries {
			t.inspectItem(lane, e, el, v)
		}
		return nil
	})
	if v != nil {
		v.alone = true
	}
	return v, err
}

func (t *Tick) glance(inspectLane func(queue.Lane, *eligibility, *View) error) (*View, error) {
	v := &View{Limit: t.Settings.MaxAgents, occupied: newOccupied(), Slots: []SlotView{}, Waiting: []Waiting{}, Problem: []string{}}
	names, err := t.Home.Names()
	if err != nil {
		return nil, err
	}
	t.heard = hearing{}
	for _, name := range names {
		v.Slots = append(v.Slots, t.inspectSlot(name, v))
	}
	t.tellQueued(context.Background(), v)
	v.Running, v.busy = v.occupied.dev, len(v.occupied.slots) > 0
	el := t.eligibility(v.occupied)
	v.blocked = el.blocked()
	v.Why = v.blocked.Text
	if v.blocked.err != nil {
		v.Problem = append(v.Problem, v.blocked.Text)
	}
	v.named = maps.Clone(v.occupied.items) // before items are planned for slots
	for _, lane := range queue.Lanes {
		if err := inspectLane(lane, el, v); err != nil {
			return nil, err
		}
	}
	last, err := LastPass(t.Home)
	if err != nil {
		return nil, err
	}
	if !last.IsZero() {
		v.Last = &last
	}
	return v, nil
}

// blocked is why not one more dev agent may start, whatever waits.
func (el *eligibility) blocked() Reason {
	if el.closed.Kind != Eligible {
		return el.closed
	}
	if r := el.budgets.full(); r.Kind != Eligible {
		return r
	}
	if r := el.slots.full(queue.Dev); r.Kind != Eligible {
		return r
	}
	if r := (silence{el.t}).of(queue.Dev); r.Kind != Eligible {
		return r
	}
	return el.capacity.full()
}

// SnapshotSlots is a look at the slots alone.
func (t *Tick) SnapshotSlots() ([]SlotView, error) {
	v := &View{occupied: newOccupied()}
	names, err := t.Home.Names()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		v.Slots = append(v.Slots, t.inspectSlot(name, v))
	}
	return v.Slots, nil
}

func (t *Tick) inspectSlot(name string, v *View) SlotView {
	s := SlotView{Slot: name}
	in, err := t.Home.ReadIntent(name)
	if err != nil {
		v.problem("slot %s: %v", name, err)
	}
	newer := errors.Is(err, spool.ErrNewer)
	if s.Occupied, err = slots.Locked(t.Home.SlotLock(name)); err != nil {
		v.problem("slot %s: %v", name, err)
		s.Occupied = true
	}
	s.Occupied = s.Occupied || newer
	if in != nil {
		s.Item, s.Run, s.Session, s.Engine, s.jobName = in.Item, in.Run, in.Session, in.Engine, in.Job
		s.Job, s.Node = t.engineNamed(in.Engine).place(in.RunName())
		if _, it, err := t.itemIn(in); err == nil {
			s.IssueRef, s.Agent, s.Title, s.Since = it.IssueRef, it.Agent, it.Title(), it.NotifiedAt
			t.inspectRunner(&s, it, v)
		}
	}
	if s.Occupied {
		v.occupied.occupy(name, in)
	}
	if s.Occupied && in != nil {
		if s.Verifying, err = t.Home.Verifying(in.RunName()); err == nil && s.Verifying == nil {
			s.Waits, err = t.Home.Waits(in.RunName())
		}
		if err != nil {
			v.problem("slot %s: %v", name, err)
		}
	}
	return s
}

// inspectRunner inspects the runner of a slot's run.
func (t *Tick) inspectRunner(s *SlotView, it *queue.Item, v *View) {
	if it.State != queue.Notified || it.Runs != s.Run {
		return
	}
	if !s.Occupied && t.engineOf(it).looks(it) {
		marker, err := t.Home.ReadMarker(slots.RunName(it.ID, it.Runs))
		s.Occupied = err != nil || marker.Phase != slots.Ended
	}
	if s.Occupied && Beyond(it) {
		s.Beyond = true
		v.problem("slot %s: run %d of %s is beyond its limit of %s: a tick ends it", s.Slot, s.Run, s.Item, slots.Limit(it.Runner.Timeout, it.Runner.Verify))
	}
}

func (t *Tick) inspectLane(lane queue.Lane, el *eligibility, v *View, most int, until string) error {
	line, err := t.Queue.Ahead(lane, func(id string) bool {
		v.IDs = append(v.IDs, id)
		return !v.named[id] // without those that run
	})
	if err != nil {
		return err
	}
	unread := line.All
	for e := range el.holds.lastToTry(line.Entries) {
		if most == 0 {
			break
		}
		unread--
		if t.inspectItem(lane, e, el, v) {
			most--
		}
		if e.ID == until {
			break
		}
	}
	v.Unread += unread
	return nil
}

// inspectItem asks about an item that waits. It returns false for any other.
func (t *Tick) inspectItem(lane queue.Lane, e queue.Entry, el *eligibility, v *View) bool {
	it, err := v.read[e.ID], error(nil)
	if it == nil {
		it, err = t.Queue.Load(e)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		v.problem("%v", err)
	case it.State == queue.Pending:
		v.Waiting = append(v.Waiting, waiting(lane, e, it, el))
		return true
	}
	return false
}

// waiting asks about one item.
func waiting(lane queue.Lane, e queue.Entry, it *queue.Item, el *eligibility) Waiting {
	c := el.candidate(lane, it)
	r := el.why(c)
	if r.Kind == Eligible {
		el.starts(c)
	}
	w := Waiting{Item: it.ID, IssueRef: it.IssueRef, Agent: it.Agent, Agents: it.Agents, Title: it.Title(), Lane: lane, Priority: e.Priority, Since: it.PendingSince,
		NotBefore: it.NotBefore, After: it.After, Timeout: it.Timeout, Kind: r.Kind, Until: r.Until, reason: r}
	if r.Kind == Eligible {
		w.Agent = c.agent
	}
	if rule := kinds[r.Kind]; !rule.turn {
		w.Why, w.Blocked = r.Text, rule.ends == outside
	}
	return w
}

// Busy says whether any agent runs, the PM agent too: its end changes what may start.
func (v *View) Busy() bool { return v.busy }

// Blocked is why nothing starts, whatever waits; the zero Reason if something may.
func (v *View) Blocked() Reason { return v.blocked }

// Barred is why a pass starts no waiting item, if no pass can change that before its time. It is the zero Reason if a pass starts an
// item, or if not all items were read. alone means that the snapshot is about one item only.
func (v *View) Barred() (r Reason, alone bool) {
	if kinds[v.blocked.Kind].ends == outside {
		return v.blocked, false
	}
	for _, w := range v.Waiting {
		switch kind := w.reason.Kind; {
		case kind == Eligible:
			return Reason{}, false
		case r.Kind == Eligible && (kinds[kind].ends == outside || kind == NotBefore):
			r = w.reason
		}
	}
	if v.Unread > 0 {
		return Reason{}, false
	}
	return r, v.alone
}

func (v *View) problem(format string, args ...any) {
	v.Problem = append(v.Problem, fmt.Sprintf(format, args...))
}
