package tick

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/queue/spool"
	"kugetsu/queue/terminal"
	"kugetsu/slots"
)

// One rule says whether an item may start now and, if not, why: eligibility.why. A pass, start and continue, status, the
// listings, the dry run and the drain all use it.
//
// A new reason for waiting is a Kind, a row of the table below, and a policy in a file of its own.

// Kind is the kind of a Reason. Everything that follows from a reason, but its words, follows from its Kind.
type Kind string

// The kinds of reasons.
const (
	Eligible         Kind = ""                  // none: the item may start
	Misconfigured    Kind = "misconfigured"     // the configuration is bad
	Unusable         Kind = "unusable"          // a run could not be started or ended on this machine, or a state file cannot be read
	Paused           Kind = "paused"            // the queue is paused
	NoSlots          Kind = "no_slots"          // MAX_CONCURRENT_AGENTS is 0
	DependencyFailed Kind = "dependency_failed" // the next pass makes it an error
	BadArguments     Kind = "bad_arguments"     // its agent does not take its model or arguments: the next pass makes it an error
	OtherBranch      Kind = "other_branch"      // its session began on another branch than it names: the next pass makes it an error
	Dependency       Kind = "dependency"        // an item that it waits for has not completed
	NewerSession     Kind = "newer_session"     // a newer kugetsu wrote the session of its issue
	OnHold           Kind = "on_hold"           // its agent, or its remote's host, is on hold
	Probing          Kind = "probing"           // one run tries whether a hold is over
	AwaitingReview   Kind = "awaiting_review"   // too many pull requests wait for review
	OutsideHours     Kind = "outside_hours"     // RUN_HOURS is closed
	AgentHours       Kind = "agent_hours"       // the hours of its agent are closed
	AgentCap         Kind = "agent_cap"         // as many of its agent run as may
	RepositoryCap    Kind = "repository_cap"    // as many work on its repository as may
	AgentBudget      Kind = "agent_budget"      // its agent has used up what it may within 24 hours
	DailyBudget      Kind = "daily_budget"      // all that may be used within 24 hours is used up
	QuotaReserve     Kind = "quota_reserve"     // what is left of its agent's quota is a person's
	NotBefore        Kind = "not_before"        // its time has not come
	SessionBusy      Kind = "session_busy"      // another run works on its issue
	Behind           Kind = "behind"            // an item before it takes what it needs
	Unrunnable       Kind = "unrunnable"        // the settings do not say how to run its agent
	NotInstalled     Kind = "not_installed"     // the program of its agent is not there
	Unverifiable     Kind = "unverifiable"      // the command that is to verify its runs cannot be started
	SlotsOccupied    Kind = "slots_occupied"    // all slots of its lane are occupied
	CapacityUnknown  Kind = "capacity_unknown"  // the free memory or disk is not known
	EngineSilent     Kind = "engine_silent"     // the cluster that is to start its run does not answer
	NoCapacity       Kind = "no_capacity"       // too little memory or disk for one more agent
)

// ending says what ends a wait.
type ending int

const (
	itself  ending = iota // time, a run that ends, or the next pass
	outside               // a person, or the world outside: no pass can do more
	never                 // nothing, as long as other items do not change
)

// scope says which other items a reason keeps from starting as well.
type scope int

const (
	one  scope = iota // none: another item may start
	lane              // the items of the same lane
	all               // every item
)

// kinds is all that follows from a Kind.
var kinds = map[Kind]struct {
	turn  bool   // the item only waits for its turn: it is ready itself
	stops scope  // a pass asks no further
	ends  ending // a drain is over when nothing that waits ends by itself
	code  int    // exit code of start and continue, and of a drain that this ends
	says  string // before the text, where nothing could be started
	hint  string // unless the Reason has one
}{
	Eligible:         {},
	Misconfigured:    {turn: true, stops: all, ends: outside, code: fault.Config, says: "nothing is started: "},
	Unusable:         {turn: true, stops: all, ends: outside, code: fault.Temp, says: "nothing is started: "},
	Paused:           {turn: true, stops: all, ends: outside, code: fault.Temp, says: "nothing is started: ", hint: "kugetsu resume lifts a pause"},
	NoSlots:          {turn: true, stops: all, ends: outside, code: fault.Temp, says: "nothing is started: ", hint: "set MAX_CONCURRENT_AGENTS to 1 or more"},
	DependencyFailed: {ends: itself, code: fault.Failed},
	BadArguments:     {ends: itself, code: fault.Failed},
	OtherBranch:      {ends: itself, code: fault.Failed},
	Dependency:       {ends: never, code: fault.Temp},
	NewerSession:     {ends: never, code: fault.Temp},
	OnHold:           {ends: outside, code: fault.Temp},
	Probing:          {ends: outside, code: fault.Temp, hint: "wait for the end of that run"},
	AwaitingReview:   {ends: outside, code: fault.Temp, says: "nothing new is started: ", hint: "review one, or raise MAX_AWAITING_REVIEW"},
	OutsideHours:     {turn: true, stops: all, ends: outside, code: fault.Temp, says: "nothing is started: ", hint: "--now starts it anyway"},
	AgentHours:       {ends: outside, code: fault.Temp, hint: "--now starts it anyway"},
	AgentBudget:      {ends: outside, code: fault.Temp, hint: "--now starts it anyway"},
	DailyBudget:      {turn: true, stops: all, ends: outside, code: fault.Temp, says: "nothing is started: ", hint: "--now starts it anyway"},
	QuotaReserve:     {ends: outside, code: fault.Temp, hint: "--now starts it anyway"},
	AgentCap:         {ends: itself, code: fault.NoSlot},
	RepositoryCap:    {ends: itself, code: fault.NoSlot},
	NotBefore:        {ends: itself, code: fault.Temp},
	SessionBusy:      {ends: itself, code: fault.NoSlot},
	Behind:           {turn: true, ends: itself, code: fault.NoSlot},
	Unrunnable:       {ends: outside, code: fault.Config},
	NotInstalled:     {ends: outside, code: fault.Config},
	Unverifiable:     {ends: outside, code: fault.Config},
	SlotsOccupied:    {turn: true, stops: lane, ends: itself, code: fault.NoSlot},
	EngineSilent:     {turn: true, stops: lane, ends: outside, code: fault.Temp, says: "nothing is started: ", hint: "scontrol ping shows whether a controller is up"},
	CapacityUnknown:  {turn: true, stops: all, ends: outside, code: fault.Temp},
	NoCapacity:       {turn: true, stops: all, ends: outside, code: fault.Temp, says: "nothing is started: "},
}

// Reason is why an item does not start now. The zero Reason means that it may.
type Reason struct {
	Kind     Kind
	Text     string        // one line, for people
	Hint     string        // what to do, if that does not follow from the Kind
	Until    *time.Time    // when it ends, if that is known
	agent    string        // whose reason it is: another agent of the item may start. "": no other agent could
	verifier *unverifiable // of Unverifiable
	err      error         // the error behind it, which a pass returns
}

// Remedy is what to do about it; "" if there is nothing to do but wait.
func (r Reason) Remedy() string {
	if r.Hint != "" {
		return r.Hint
	}
	if hint := fault.HintOf(r.err); hint != "" {
		return hint
	}
	return kinds[r.Kind].hint
}

// Told is the reason and its remedy, in one line.
func (r Reason) Told() string {
	text := strings.ReplaceAll(r.Text, "\n", "; ")
	if remedy := r.Remedy(); remedy != "" && !strings.HasSuffix(text, remedy) { // a hold ends with its own
		text += "; " + remedy
	}
	return text
}

// Code is the exit code of a command that could not go on for this reason.
func (r Reason) Code() int {
	if r.err != nil {
		return fault.Code(r.err)
	}
	return kinds[r.Kind].code
}

// refusal is the error of start and continue. Only a remedy is added that is not enqueueing.
func (r Reason) refusal() error {
	rule, hint := kinds[r.Kind], r.Remedy()
	switch {
	case r.verifier != nil && r.verifier.Alone: // the item is not enqueued
		hint = "name another command with --verify; --no-verify does without"
	case r.Code() == fault.Config: // an item that is enqueued would wait for the same
	case rule.code == fault.NoSlot:
		hint = "kugetsu delegate enqueues it instead"
	case hint == "":
		hint = "kugetsu delegate enqueues"
	default:
		hint += "; kugetsu delegate enqueues"
	}
	if r.err != nil {
		return fault.New(r.Code(), hint, "%w", r.err)
	}
	return fault.New(r.Code(), hint, "%s%s", rule.says, r.Text)
}

// policy is one rule about which items may start. It reads its files once for a pass or a snapshot.
type policy interface {
	// why says why an item must not start now; the zero Reason if this policy has no objection.
	why(c *candidate) Reason
	// starts counts an item that starts, or that would start in a plan: it may be in the way of those behind it.
	starts(c *candidate)
}

// candidate is a pending item that may start.
type candidate struct {
	it      *queue.Item
	agent   string // the one of its agents that is asked about, and then the one that starts
	passed  string // why those before that one do not start, "" for none
	lane    queue.Lane
	name    string         // of its session
	session *slots.Session // nil for none
	err     error          // why that is not known
}

// eligibility says which items may start. It is made for one pass or one snapshot.
type eligibility struct {
	t        *Tick
	occupied *occupied
	repos    repos
	closed   Reason // why nothing may start at all
	after    *dependencies
	holds    *holds
	budgets  *budgets
	capacity *capacity
	slots    *slotLimit
	policies []policy
	met      map[Kind][]Reason // that kept an item from starting, each once
}

// eligibility reads what decides about all items. It is used after reconcile, which may begin and end holds. The order of the
// policies is that of the reasons shown: first those of the item itself, then those of its turn.
func (t *Tick) eligibility(k *occupied) *eligibility {
	el := &eligibility{t: t, occupied: k, met: map[Kind][]Reason{},
		after: &dependencies{t: t, slots: k, known: map[string]*dependency{}}, budgets: &budgets{t: t, slots: k}, capacity: &capacity{t: t, occupied: k}, slots: &slotLimit{t: t, occupied: k}}
	el.closed = t.closed()
	var err error
	if el.repos, err = readRepos(t.Home); err != nil && el.closed.Kind == Eligible {
		el.closed = Reason{Kind: Unusable, Text: err.Error(), err: err}
	}
	el.holds = &holds{t: t, occupied: k, repos: el.repos}
	if err := el.holds.read(); err != nil && el.closed.Kind == Eligible { // an unknown hold is not a lifted one
		el.closed = Reason{Kind: Unusable, Text: err.Error(), err: err}
	}
	el.policies = []policy{el.after, arguments{}, branches{}, newerSessions{}, el.holds, &reviews{t: t}, due{t}, &sessions{occupied: k}, &programs{t: t}, &verifiers{t: t, repos: el.repos},
		agentHours{t}, agentBudgets{el.budgets}, &quotas{t: t}, &caps{t: t, slots: k, repos: el.repos},
		&opening{closed: &el.closed}, el.budgets, el.slots, silence{t}, el.capacity}
	return el
}

// candidate is an item with what is known of its session.
func (el *eligibility) candidate(lane queue.Lane, it *queue.Item) *candidate {
	c := &candidate{it: it, agent: it.Choice()[0], lane: lane, name: sessionOf(it)}
	c.session, c.err = el.t.Home.ReadSession(c.name)
	return c
}

// why is the rule: the reason why an item does not start now, the zero Reason if it does. Of several agents the first that may start
// does: one that is on hold, over its cap, out of its hours, budget or quota, or not there, is passed over.
func (el *eligibility) why(c *candidate) Reason {
	var refused []Reason
	for _, c.agent = range c.it.Choice() {
		c.passed = textOf(refused)
		r := el.ask(c)
		if r.Kind == Eligible || r.agent == "" {
			return r
		}
		refused = append(refused, r)
	}
	if len(refused) == 1 {
		return refused[0]
	}
	r := slices.MinFunc(refused, sooner)
	r.Text = textOf(refused)
	return r
}

// sooner compares two reasons: the first is that which ends by itself, or whose end is known and comes first. The last is that of an agent
// that cannot run: an item that has another one does not wait for it.
func sooner(a, b Reason) int {
	rank := func(r Reason) int {
		switch {
		case kinds[r.Kind].ends == itself:
			return 0
		case r.Until != nil:
			return 1
		case kinds[r.Kind].code == fault.Config:
			return 3
		}
		return 2
	}
	if by := cmp.Compare(rank(a), rank(b)); by != 0 || rank(a) != 1 {
		return by
	}
	return a.Until.Compare(*b.Until)
}

func textOf(reasons []Reason) string {
	texts := make([]string, len(reasons))
	for i, r := range reasons {
		texts[i] = r.Text
	}
	return strings.Join(texts, "; ")
}

// ask is the reason why an item does not start now with one of its agents.
func (el *eligibility) ask(c *candidate) Reason {
	for _, p := range el.policies {
		if r := p.why(c); r.Kind != Eligible {
			return r
		}
	}
	return Reason{}
}

// starts counts an item that starts.
func (el *eligibility) starts(c *candidate) {
	el.occupied.chosen[c.it.ID] = c.agent
	for _, p := range el.policies {
		p.starts(c)
	}
}

// remember notes that a reason kept an item from starting. It is true for the first time.
func (el *eligibility) remember(r Reason) bool {
	for _, known := range el.met[r.Kind] {
		if known.Text == r.Text && (r.verifier == nil || *known.verifier == *r.verifier) { // one command may be missing for many items
			return false
		}
	}
	el.met[r.Kind] = append(el.met[r.Kind], r)
	return true
}

// opening keeps everything from starting while the queue is closed.
type opening struct{ closed *Reason }

func (p *opening) why(*candidate) Reason { return *p.closed }

func (*opening) starts(*candidate) {}

// due keeps an item from starting before its time.
type due struct{ t *Tick }

func (p due) why(c *candidate) Reason {
	if c.it.Ready(p.t.Now()) {
		return Reason{}
	}
	return Reason{Kind: NotBefore, Text: p.text(c.it), Until: c.it.NotBefore}
}

// notBefore says for how long an item waits that was given a time. The day stands there where it is not today.
func notBefore(now, at time.Time) string {
	layout := "2006-01-02 15:04"
	if now.Local().Format(time.DateOnly) == at.Format(time.DateOnly) {
		layout = "15:04"
	}
	return "not before " + at.Format(layout) + ", in " + Duration(at.Sub(now))
}

// text says until when an item waits: of a retry how long, and why it is one.
func (p due) text(it *queue.Item) string {
	if at := it.Waits(); at != nil {
		return notBefore(p.t.Now(), at.Local())
	}
	last, again := it.History[len(it.History)-1], "tried again"
	if last.Counted {
		again = fmt.Sprintf("retry %d of %d", it.Attempts+1, p.t.Settings.MaxAttempts)
	}
	why := terminal.Line(terminal.Title(last.Summary), 200)
	if why == "" {
		why = string(last.Outcome)
	}
	return fmt.Sprintf("%s in %s: %s", again, Duration(it.NotBefore.Sub(p.t.Now())), why)
}

func (due) starts(*candidate) {}

// newerSessions leaves issues alone whose session a newer kugetsu wrote. The run reports any other fault of a session.
type newerSessions struct{}

func (newerSessions) why(c *candidate) Reason {
	if !errors.Is(c.err, spool.ErrNewer) {
		return Reason{}
	}
	return Reason{Kind: NewerSession, Text: c.err.Error(), err: c.err}
}

func (newerSessions) starts(*candidate) {}
