package slots

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"kugetsu/queue/outcome"
	"kugetsu/queue/pattern"
	"kugetsu/queue/spool"
)

// RunName is the name of a run: <item>.<n>. It is also the name of the run's folder, and the mark of its processes.
func RunName(item string, n int) string { return item + "." + strconv.Itoa(n) }

var runName = pattern.Lazy(`^q_[0-9a-z]{26}\.[1-9]\d{0,8}$`)

// Phase is how far a run came, as its marker says.
type Phase string

// The phases. Missing: there is no folder or no marker in it.
const (
	Missing Phase = ""
	Exit    Phase = "exit"    // made before the runner: no agent was started yet
	Claimed Phase = "claimed" // on a cluster: the job Marker.Job has it, and no agent was started yet
	Started Phase = "started" // the agent's process exists, or existed
	Fenced  Phase = "fenced"  // on a cluster: the job is gone, and can record nothing. It was Marker.Was
	Ended   Phase = "end"     // the run ended, by Marker.Outcome
)

// far is how far a phase is in the life of a run.
var far = map[Phase]int{Exit: 1, Claimed: 2, Started: 3, Fenced: 4, Ended: 5}

// Marker is a run's one empty file. It is made with the folder and only ever renamed, which needs no disk block: a full
// disk cannot make a run look as if it had not ended.
type Marker struct {
	Phase   Phase
	Outcome outcome.Outcome // of an ended run
	Code    int             // exit code of an ended run's agent

	Job, Token string // of a claim: the job's number, and a word that no other claim has
	Was        Phase  // of a fence
}

func (m Marker) name() string {
	switch m.Phase {
	case Ended:
		return fmt.Sprintf("end.%s.%d", m.Outcome, m.Code)
	case Claimed:
		return fmt.Sprintf("claimed.%s.%s", m.Job, m.Token)
	case Fenced:
		return "fenced." + string(m.Was)
	}
	return string(m.Phase)
}

var (
	endName   = pattern.Lazy(`^end\.([a-z_]{1,30})\.(\d{1,3})$`)
	claimName = pattern.Lazy(`^claimed\.(\d{1,20})\.([0-9a-z]{1,20})$`)
)

func parseMarker(name string) (Marker, bool) {
	switch name {
	case string(Exit), string(Started):
		return Marker{Phase: Phase(name)}, true
	}
	if was, ok := strings.CutPrefix(name, "fenced."); ok && (was == string(Exit) || was == string(Claimed) || was == string(Started)) {
		return Marker{Phase: Fenced, Was: Phase(was)}, true
	}
	if strings.HasPrefix(name, "claimed.") {
		if m := claimName().FindStringSubmatch(name); m != nil {
			return Marker{Phase: Claimed, Job: m[1], Token: m[2]}, true
		}
	}
	m := endName().FindStringSubmatch(name)
	if m == nil {
		return Marker{}, false
	}
	code, _ := strconv.Atoi(m[2])
	return Marker{Phase: Ended, Outcome: outcome.Outcome(m[1]), Code: code}, true
}

// RunDir is a run's folder.
func (d Dir) RunDir(run string) string { return filepath.Join(d.runs(), run) }

// LogPath is the file of all that a run printed.
func (d Dir) LogPath(run string) string { return filepath.Join(d.RunDir(run), "log") }

// ClaimRun makes a run's folder with its bare marker. The error wraps fs.ErrExist when the folder is there: every run
// number has one winner, ever.
func (d Dir) ClaimRun(run string) error {
	if err := spool.Mkdir(d.RunDir(run)); err != nil {
		return err
	}
	return spool.Create(filepath.Join(d.RunDir(run), string(Exit)))
}

// DropRun deletes a run's folder.
func (d Dir) DropRun(run string) error {
	if !runName().MatchString(run) {
		return fmt.Errorf("%q is not a run", run)
	}
	if err := d.DropTmp(run); err != nil && !errors.Is(err, spool.ErrBad) { // it names the folder
		return err
	}
	return spool.RemoveAll(d.RunDir(run))
}

// requireDir makes sure that a run's folder is a folder. A symbolic link in its place would lead what is written and deleted for the
// run to a folder that is not the run's.
func (d Dir) requireDir(run string) error {
	info, err := os.Lstat(d.RunDir(run))
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%w: not a folder", spool.ErrBad)
	}
	if err != nil {
		return &spool.Error{Op: "look at", Path: d.RunDir(run), Err: err}
	}
	return nil
}

// ReadMarker says how far a run came. The lease must have been probed before.
func (d Dir) ReadMarker(run string) (Marker, error) {
	names, err := spool.ListReal(d.RunDir(run))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, spool.ErrBad) {
		return Marker{}, nil
	}
	if err != nil {
		return Marker{}, err
	}
	found := Marker{}
	for _, name := range names {
		// A hand may have added a second marker. The furthest one counts, so that nothing is run again.
		if m, ok := parseMarker(name); ok && far[m.Phase] >= far[found.Phase] {
			found = m
		}
	}
	return found, nil
}

// setMarker renames a run's marker. The error wraps fs.ErrNotExist where the marker is not there under its old name.
func (d Dir) setMarker(run string, from, to Marker) error {
	dir := d.RunDir(run)
	if err := d.requireDir(run); err != nil {
		return err
	}
	return spool.Rename(filepath.Join(dir, from.name()), filepath.Join(dir, to.name()))
}

// Result is the report of a runner on its run. The marker alone says that the run ended, and with which outcome. A Result adds the rest,
// if it names the same outcome. It may be missing after a power cut, or if the disk was full.
type Result struct {
	V            int             `json:"v"`
	Outcome      outcome.Outcome `json:"outcome"`
	ExitCode     *int            `json:"exit_code"` // null: the agent never started
	Signal       string          `json:"signal,omitempty"`
	Summary      string          `json:"summary"`
	Words        string          `json:"words,omitempty"` // the agent's last words, where the summary is why the run did not succeed
	Permanent    bool            `json:"permanent,omitempty"`
	StartedAt    *time.Time      `json:"started_at"`
	EndedAt      time.Time       `json:"ended_at"`
	Conversation string          `json:"conversation,omitempty"`
	Cost         *outcome.Cost   `json:"cost,omitempty"`
	PeakMemory   int64           `json:"peak_memory_bytes,omitempty"` // the most that its processes had together; 0: not measured
	Reset        *time.Time      `json:"reset,omitempty"`             // of a usage limit, when it is lifted
	Model        string          `json:"model,omitempty"`             // of a usage limit: the family of models that it is of alone
	Unpaid       bool            `json:"unpaid,omitempty"`            // of a usage limit: money or a higher cap lifts it, and no time is known that does
	Worked       bool            `json:"worked,omitempty"`            // the model answered
	Unverifiable string          `json:"unverifiable,omitempty"`      // the command that verifies the run, where it cannot be started
	Host         string          `json:"host,omitempty"`              // of an outage: the remote's host that is down; "" for the model's server
	outcome.Evidence
}

// Answered says whether the model answered in a run that was to record it.
func (d Dir) Answered(run string) (bool, error) { return spool.Exists(d.answered(run)) }

func (d Dir) answered(run string) string { return filepath.Join(d.RunDir(run), "answered") }

// setAnswered records that the model answered.
func (d Dir) setAnswered(run string) error {
	if err := d.requireDir(run); err != nil {
		return err
	}
	return spool.Create(d.answered(run))
}

func (d Dir) waitsPath(run string) string { return filepath.Join(d.RunDir(run), "waits") }

// setWaits records the reason why a run's agent waits within its process; "" removes it.
func (d Dir) setWaits(run, what string) error {
	if err := d.requireDir(run); err != nil {
		return err
	}
	if what == "" {
		return spool.Unlink(d.waitsPath(run))
	}
	return spool.WriteSoon(d.waitsPath(run), []byte(what+"\n"))
}

// Waits is the reason why a run's agent waits within its process: a limit, or a server that does not answer. It is "" where the
// agent does not wait.
func (d Dir) Waits(run string) (string, error) {
	data, err := spool.Read(d.waitsPath(run))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(data)), err
}

// Fetched says whether the remote's host answered in a run that was to record it.
func (d Dir) Fetched(run string) (bool, error) { return spool.Exists(d.fetched(run)) }

func (d Dir) fetched(run string) string { return filepath.Join(d.RunDir(run), "fetched") }

// setFetched records that the remote's host answered.
func (d Dir) setFetched(run string) error {
	if err := d.requireDir(run); err != nil {
		return err
	}
	return spool.Create(d.fetched(run))
}

// result is without a version: the marker alone decides, so a report of any kugetsu may be read.
func (d Dir) result(run string) spool.File[Result] {
	return spool.File[Result]{Path: filepath.Join(d.RunDir(run), "result.json")}
}

func (d Dir) writeResult(run string, r Result) error {
	r.V = 1
	if err := d.requireDir(run); err != nil {
		return err
	}
	return d.result(run).WriteSoon(&r)
}

// ReadResult reads the runner's report; nil where there is none.
func (d Dir) ReadResult(run string) (*Result, error) { return d.result(run).Read() }

// The marks of a run, beside its marker. Each is an empty file that is made once.
const (
	cancelMark  = "cancel"  // a person cancelled the run
	overdueMark = "overdue" // the run was beyond its limit, and its runner was ended
	yieldedMark = "yielded" // on a cluster: a runner has ended all it started, and records no end
	keepingMark = "keeping" // the agent's processes are gone, and its runner keeps their work at refs, and verifies it then
)

// MarkCancelled records that a run is cancelled. The mark outlives the runner: unless the run succeeds, it is settled as
// cancelled and not retried.
func (d Dir) MarkCancelled(run string) error { return d.mark(run, cancelMark) }

// Cancelled says whether a run was marked so.
func (d Dir) Cancelled(run string) (bool, error) { return d.marked(run, cancelMark) }

// MarkOverdue records that a run is beyond its limit, before its runner is ended for that. A run without an end of its own is
// then settled as a timeout.
func (d Dir) MarkOverdue(run string) error { return d.mark(run, overdueMark) }

// Overdue says whether a run was marked so.
func (d Dir) Overdue(run string) (bool, error) { return d.marked(run, overdueMark) }

// Keeping says whether the processes of a run's agent are gone, and its runner keeps their work at refs or verifies it.
func (d Dir) Keeping(run string) (bool, error) { return d.marked(run, keepingMark) }

func (d Dir) mark(run, name string) error {
	if err := d.requireDir(run); err != nil {
		return err
	}
	err := spool.Create(filepath.Join(d.RunDir(run), name))
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

func (d Dir) marked(run, name string) (bool, error) {
	if errors.Is(d.requireDir(run), spool.ErrBad) {
		return false, nil // there is no folder for the mark to be in
	}
	return spool.Exists(filepath.Join(d.RunDir(run), name))
}

// Runs lists the run folders of an item, the oldest first, as names.
func (d Dir) Runs(item string) ([]string, error) {
	names, err := spool.List(d.runs())
	if err != nil {
		return nil, err
	}
	var numbers []int
	for _, name := range names {
		if rest, ok := strings.CutPrefix(name, item+"."); ok && runName().MatchString(name) {
			n, _ := strconv.Atoi(rest)
			numbers = append(numbers, n)
		}
	}
	return sortedRuns(item, numbers), nil
}

// NewestRun is the run whose log was written last, "" where there is no run.
func (d Dir) NewestRun() (string, error) {
	names, err := spool.List(d.runs())
	if err != nil {
		return "", err
	}
	newest, at := "", time.Time{}
	for _, name := range names {
		if !runName().MatchString(name) {
			continue
		}
		info, err := os.Lstat(d.LogPath(name))
		if err == nil && info.Mode().IsRegular() && info.ModTime().After(at) {
			newest, at = name, info.ModTime()
		}
	}
	return newest, nil
}

func sortedRuns(item string, numbers []int) []string {
	slices.Sort(numbers)
	runs := make([]string, len(numbers))
	for i, n := range numbers {
		runs[i] = RunName(item, n)
	}
	return runs
}
