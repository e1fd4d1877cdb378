package queue

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/oklog/ulid/v2"

	"kugetsu/queue/fault"
	"kugetsu/queue/issueref"
	"kugetsu/queue/outcome"
	"kugetsu/queue/spool"
	"kugetsu/queue/terminal"
)

// Version is the newest format of item files that this code writes. A file with a higher version is left alone. Each item is written in
// the oldest format that can hold it, so that an older kugetsu runs it: in format 3 while a run of it is on a cluster, in format 2 if the
// task has no issue or names a branch, else in format 1.
const Version = 3

func (it *Item) version() int {
	if it.Runner != nil && it.Runner.Engine != "" { // an older kugetsu would take the run for ended
		return 3
	}
	if it.Ref().Task != "" || it.Branch != "" || it.OnTop != "" {
		return 2
	}
	return 1
}

// Limits of an item, in bytes. MaxItem bounds a new item. All that an item gets later must fit below spool.MaxFile, too: slack
// is for everything but the history. Of the history, save keeps as many runs as fit.
const (
	MaxMessage = 512 << 10
	MaxItem    = 768 << 10
	slack      = 32 << 10
	keepRuns   = 20
	maxSaid    = 300     // of an agent's last words in an error
	maxText    = 4 << 10 // of a summary or an error; up to six times as much where all of it is escaped
)

// State is where an item is in its life.
type State string

// The states. Notified means: handed to a runner.
const (
	Pending   State = "pending"
	Notified  State = "notified"
	Completed State = "completed"
	Errored   State = "error"
)

// States lists them in the order of an item's life.
var States = []State{Pending, Notified, Completed, Errored}

// Settled says whether an item in this state stays as it is until a person acts.
func (s State) Settled() bool { return s == Completed || s == Errored }

// Word is the state in words for people: a notified item runs.
func (s State) Word() string {
	if s == Notified {
		return "running"
	}
	return string(s)
}

// Mode says whether a run begins or goes on with the issue's session.
type Mode string

// The modes. Auto: continue where the issue has a session, start where it has none.
const (
	Auto     Mode = "auto"
	Start    Mode = "start"
	Continue Mode = "continue"
)

// Item is one task. Names and meanings of the fields are the public format and stay for ever.
type Item struct {
	V             int        `json:"v"`
	ID            string     `json:"id"`
	IssueRef      string     `json:"issue_ref"`            // of an issue, or of a task that has none; "" for an item of the PM agent
	Agent         string     `json:"agent"`                // that runs, or ran last; before the first run the first of Agents
	Agents        []string   `json:"agents,omitempty"`     // where the item names several: the first that may start is chosen for each run
	AgentWhy      string     `json:"agent_why,omitempty"`  // of a choice: why none of those before Agent
	Model         string     `json:"model,omitempty"`      // "": what the settings say
	AgentArgs     string     `json:"agent_args,omitempty"` // in place of the setting AGENT_ARGS; "": what the setting says
	Message       string     `json:"message"`
	Mode          Mode       `json:"mode"`
	State         State      `json:"state"`
	Runs          int        `json:"runs"`     // number of the newest run; only grows
	Attempts      int        `json:"attempts"` // runs that counted as attempts since it was enqueued or retried
	PendingSince  time.Time  `json:"pending_since"`
	NotBefore     *time.Time `json:"not_before"`
	ByHand        bool       `json:"by_hand,omitempty"` // a person set not_before since the last run ended
	NotifiedAt    *time.Time `json:"notified_at"`
	After         []string   `json:"after"`                    // ids of the items that must complete before
	Branch        string     `json:"branch,omitempty"`         // on which a new session works; "": that of its reference
	OnTop         string     `json:"on_top,omitempty"`         // the issue or task at whose branch a new session begins; "": at the base
	Timeout       string     `json:"timeout,omitempty"`        // how long a run may take, as time.ParseDuration reads it; "": the setting's
	ExpectChanges bool       `json:"expect_changes,omitempty"` // a run that leaves neither a commit nor a changed file has failed
	Verify        Verify     `json:"verify,omitzero"`          // the command that verifies its runs; zero: the repository's, or the setting's
	CompletedAt   *time.Time `json:"completed_at"`             // when it was settled, as completed or as an error
	ForkPID       *int       `json:"fork_pid"`                 // of the runner, while notified; null for a job of a cluster
	Runner        *Runner    `json:"runner,omitempty"`         // identifies that process, while notified; nil where that is not known
	Error         *string    `json:"error"`
	History       []Run      `json:"history"`

	ref issueref.Ref // of IssueRef: see Ref
}

// Ref is the item's issue or task; the zero Ref for an item of the PM agent. It was read when the item was.
func (it *Item) Ref() issueref.Ref {
	if it.ref.IsZero() && it.IssueRef != "" { // a new item, made from a Ref
		it.ref, _ = issueref.Canonical(it.IssueRef)
	}
	return it.ref
}

// maxAgents bounds how many agents an item names.
const maxAgents = 10

// Choice lists the agents of which one runs, in the order in which they are asked.
func (it *Item) Choice() []string {
	if len(it.Agents) == 0 {
		return []string{it.Agent}
	}
	return it.Agents
}

// SetAgents gives an item its agents, in the order in which they are asked: one at least.
func (it *Item) SetAgents(names []string) {
	it.Agent, it.Agents, it.AgentWhy = names[0], nil, ""
	if len(names) > 1 {
		it.Agents = names
	}
}

// Choose sets the agent of the next run. It is on record when the item is notified, in the same write: until then each pass chooses
// anew.
func (it *Item) Choose(agent, why string) {
	it.Agent, it.AgentWhy = agent, terminal.Clip(why, maxText/2)
}

// maxTitle bounds a title, in bytes.
const maxTitle = 200

// Title is the first line of the message that is not blank, as it was written: clean it before a terminal gets it.
func (it *Item) Title() string {
	line, _, _ := strings.Cut(strings.TrimSpace(it.Message), "\n")
	return terminal.Clip(strings.TrimSpace(line), maxTitle)
}

// Lane is the lane in which the item is live.
func (it *Item) Lane() Lane {
	if it.IssueRef == "" {
		return PM
	}
	return Dev
}

// Runner identifies the process of a fork_pid, or the job of a cluster, and says how long its run may take.
type Runner struct {
	Birth   string        `json:"birth"`            // from proc.Birth: a pid alone may be given to another process; "" for a job
	Clock   time.Duration `json:"clock"`            // from proc.Clock, when it was started (0 for a job): the age must not depend on a clock that a user sets
	Timeout time.Duration `json:"timeout"`          // of its agent: the setting may have changed since
	Verify  time.Duration `json:"verify,omitempty"` // how long its verification may take; 0: it has none
	Engine  string        `json:"engine,omitempty"` // what started it; "" for this machine
	Job     string        `json:"job,omitempty"`    // name of its job there
}

// Run is one entry of an item's history: a run that ended.
type Run struct {
	Run       int             `json:"run"`
	Agent     string          `json:"agent,omitempty"`     // where the item names several
	AgentWhy  string          `json:"agent_why,omitempty"` // why none of those before it
	StartedAt *time.Time      `json:"started_at"`          // when the agent started; null when it never did
	EndedAt   time.Time       `json:"ended_at"`
	Outcome   outcome.Outcome `json:"outcome"`
	Counted   bool            `json:"charged"`
	ExitCode  *int            `json:"exit_code"` // of the agent; 128 + number after a signal
	Signal    string          `json:"signal,omitempty"`
	Job       string          `json:"job,omitempty"`   // of a cluster, by its number there
	Node      string          `json:"node,omitempty"`  // on which that was
	Summary   string          `json:"summary"`         // the agent's final message, or why the run failed
	Words     string          `json:"words,omitempty"` // the agent's last words, where the summary is why the run failed
	Cost      *outcome.Cost   `json:"cost,omitempty"`
	// PeakMemory is the most memory that the run's processes had together, in bytes; 0 where it was not measured.
	PeakMemory int64 `json:"peak_memory_bytes,omitempty"`
	outcome.Evidence
}

// maxList bounds how many commits, files or permissions of a run are kept. A runner reports fewer.
const maxList = 20

// bounded cuts a run's evidence to what an item keeps. A runner reports less, but its report is a file that others may change.
func bounded(e outcome.Evidence) outcome.Evidence {
	list := func(texts []string) []string {
		var kept []string
		for _, text := range texts[:min(len(texts), maxList)] {
			kept = append(kept, terminal.Clip(text, maxText/maxList))
		}
		return kept
	}
	e.Refused, e.PRURL, e.Ref = list(e.Refused), terminal.Clip(e.PRURL, maxText), terminal.Clip(e.Ref, maxText)
	if e.Changes != nil {
		c := *e.Changes
		c.From, c.To, c.Subjects, c.DirtyFiles = terminal.Clip(c.From, maxText/maxList), terminal.Clip(c.To, maxText/maxList), list(c.Subjects), list(c.DirtyFiles)
		e.Changes = &c
	}
	if e.Verification != nil {
		v := *e.Verification
		v.Command, v.By, v.Why = terminal.Clip(v.Command, maxText/4), terminal.Clip(v.By, maxText/maxList), terminal.Clip(v.Why, maxText/4)
		v.Output = terminal.Clip(v.Output, outcome.MaxOutput)
		e.Verification = &v
	}
	return e
}

// NewID makes an id: it sorts by the time of enqueueing, to the millisecond, also between processes.
func NewID(now time.Time) string {
	return "q_" + strings.ToLower(ulid.MustNew(ulid.Timestamp(now), ulid.DefaultEntropy()).String())
}

// IsID says whether s has the form of an id: q_ and a ULID in small letters, which has neither i, l, o nor u.
func IsID(s string) bool {
	ulid, ok := strings.CutPrefix(s, "q_")
	if !ok || len(ulid) != 26 || ulid[0] > '7' {
		return false
	}
	for _, c := range []byte(ulid) {
		if !idLetters[c] {
			return false
		}
	}
	return true
}

// idLetters are those of a ULID. (A table, since a listing of ten thousand files asks for a quarter of a million letters.)
var idLetters = func() (is [256]bool) {
	for _, c := range "0123456789abcdefghjkmnpqrstvwxyz" {
		is[c] = true
	}
	return is
}()

// IDTime is when an item with this id was enqueued; the zero time where id is not an id.
func IDTime(id string) time.Time {
	u, err := ulid.Parse(strings.ToUpper(strings.TrimPrefix(id, "q_")))
	if err != nil {
		return time.Time{}
	}
	return u.Timestamp()
}

// FirstID sorts before every id that is made at a time or later, and behind those that were made before it.
func FirstID(at time.Time) string {
	id := ulid.ULID{}
	if err := id.SetTime(ulid.Timestamp(at)); err != nil { // beyond the times that an id can have
		return "q_"
	}
	return "q_" + strings.ToLower(id.String())
}

// CheckMessage refuses a message that could not reach the agent byte for byte, or that is too long. The error asks for exit
// code 80.
func CheckMessage(message string) error {
	switch {
	case strings.TrimSpace(message) == "":
		return fault.New(fault.Usage, "say what the agent is to do", "the message is empty")
	case len(message) > MaxMessage:
		return fault.New(fault.Usage, "put most of it into a file of the repository, and name the file",
			"the message has %d bytes, more than %d", len(message), MaxMessage)
	case !utf8.ValidString(message):
		// JSON would replace the bytes in silence.
		return fault.New(fault.Usage, "convert it with iconv, or put it into a file and name the file", "the message is not valid UTF-8")
	}
	return nil
}

// encode makes the file content of an item.
func (it *Item) encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // a message is often code, and each < would take six bytes
	enc.SetIndent("", "  ")
	if err := enc.Encode(it); err != nil {
		return nil, fmt.Errorf("%s: %w", it.ID, err)
	}
	return b.Bytes(), nil
}

// encodeNew is encode for an item that is to be published. The error asks for exit code 80 where the item is too large.
func (it *Item) encodeNew() ([]byte, error) {
	it.V, it.State = it.version(), Pending
	data, err := it.encode()
	if err == nil && len(data) > MaxItem {
		err = fault.New(fault.Usage, "put most of it into a file of the repository, and name the file",
			"the item would have %d bytes, more than %d", len(data), MaxItem)
	}
	return data, err
}

// Fits returns the error with which Publish would refuse a new item.
func (it *Item) Fits() error {
	_, err := it.encodeNew()
	return err
}

// lasts says whether an item that was read from size bytes can be written again, however its runs end. Otherwise no pass
// could record their end.
func (it *Item) lasts(size int) bool {
	if size <= MaxItem/8 { // layout and escapes make it less than eight times as large
		return true
	}
	bare := *it
	bare.History = nil
	data, err := bare.encode()
	return err == nil && len(data) <= MaxItem+slack
}

// ErrNewer is wrapped by the error for an item of a version that this code does not know.
var ErrNewer = spool.ErrNewer

// decode reads an item. The error wraps spool.ErrBad where the data is not an item, and ErrNewer where a newer version wrote
// it.
func decode(id string, data []byte) (*Item, error) {
	var it Item
	if err := spool.DecodeVersion(data, Version, &it, &it.V); err != nil {
		return nil, fmt.Errorf("%s: %w", id, err)
	}
	if it.IssueRef != "" {
		var err error
		if it.ref, err = issueref.Canonical(it.IssueRef); err != nil {
			return nil, fmt.Errorf("%s: %w: %w", id, spool.ErrBad, err)
		}
	}
	if it.Branch != "" {
		if err := it.ref.CheckBranch(it.Branch); err != nil || it.IssueRef == "" {
			return nil, fmt.Errorf("%s: %w: its branch %q", id, spool.ErrBad, terminal.Clip(it.Branch, 60))
		}
	}
	if it.OnTop != "" {
		if under, err := issueref.Canonical(it.OnTop); err != nil || under.RepoName() != it.ref.RepoName() {
			return nil, fmt.Errorf("%s: %w: it is on top of %q", id, spool.ErrBad, terminal.Clip(it.OnTop, 60))
		}
	}
	if why := it.malformed(id); why != "" {
		return nil, fmt.Errorf("%s: %w: %s", id, spool.ErrBad, why)
	}
	if !it.lasts(len(data)) {
		return nil, fmt.Errorf("%s: %w: too large to be kept", id, spool.ErrBad)
	}
	return &it, nil
}

// malformed says why decoded JSON is not an item; "" where it is one.
func (it *Item) malformed(id string) string {
	switch {
	case it.ID != id:
		return fmt.Sprintf("its id is %q", terminal.Clip(it.ID, 60))
	case it.Runs < 0 || it.Attempts < 0 || it.Attempts > it.Runs:
		return fmt.Sprintf("%d runs, %d attempts", it.Runs, it.Attempts)
	case it.State == Notified && it.Runs == 0:
		return "notified without a run"
	case len(it.Agents) > maxAgents:
		return fmt.Sprintf("%d agents", len(it.Agents))
	}
	if why := it.misordered(); why != "" {
		return why
	}
	for _, s := range States {
		if it.State == s {
			return ""
		}
	}
	return fmt.Sprintf("state %q", terminal.Clip(string(it.State), 60))
}
