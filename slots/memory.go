package slots

import (
	"errors"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"kugetsu/slots/machine"
	"kugetsu/slots/proc"
)

var (
	// firstMeasure is when the memory of a run is measured first: a short run should have a figure, too.
	firstMeasure = 500 * time.Millisecond
	// measureEvery is how often it is measured after that. A process that takes a gigabyte a second passes its ceiling by two.
	measureEvery = 2 * time.Second
	// outgrownGrace is how long a run that has taken too much memory gets between SIGTERM and SIGKILL. It may grow meanwhile.
	outgrownGrace = time.Second
)

// memory follows how much memory the processes of a run have. At most one measurement is under way, in a goroutine beside the runner's
// wait. The kernel makes a reader of smaps_rollup wait for a process that is stuck in a page fault, and the run's timeout must not wait
// for that. The wait of such a reader ends when the process is killed, so no measurement outlives the run's processes.
type memory struct {
	next     *time.Timer
	measured chan taken
	under    bool  // a measurement is under way
	now      int64 // bytes, as measured last
	peak     int64 // bytes
	unknown  bool  // it was told that the memory is not known
}

type taken struct {
	bytes int64
	err   error
}

func (m *memory) begin() {
	m.next, m.measured = time.NewTimer(firstMeasure), make(chan taken, 1)
}

// measure begins a measurement.
func (m *memory) measure(r *Runner) {
	m.under = true
	isRunner := IsRunner(r.lockPath())
	go func() {
		pids, err := proc.Tree(r.name, isRunner)
		if err != nil {
			m.measured <- taken{err: err}
			return
		}
		n, err := machine.Machine{}.Taken(pids)
		m.measured <- taken{n, err}
	}()
}

// note notes a measurement, and when the next one is due. Where memory cannot be measured at all the log says so once; a single
// failure is tried again.
func (m *memory) note(r *Runner, t taken) {
	m.under = false
	if t.err != nil {
		if !m.unknown && r.task.MaxMemory > 0 {
			r.log.say("MAX_AGENT_MEMORY bounds nothing in this run: %v", t.err)
		}
		m.unknown = true
		if errors.Is(t.err, errors.ErrUnsupported) {
			return
		}
	}
	if t.err == nil {
		m.now, m.peak = t.bytes, max(m.peak, t.bytes)
	}
	m.next.Reset(measureEvery)
}

// over says whether the run has more memory than it may.
func (m *memory) over(r *Runner) bool { return r.task.MaxMemory > 0 && m.now > r.task.MaxMemory }

// end waits for a measurement that is under way. The processes of the run are gone.
func (m *memory) end(r *Runner) {
	if m.under {
		m.note(r, <-m.measured)
	}
}

// tooMuch says how much memory the run has taken.
func (m *memory) tooMuch(r *Runner) string {
	return fmt.Sprintf("took %s of memory, more than MAX_AGENT_MEMORY (%s)", humanize.IBytes(uint64(m.peak)), humanize.IBytes(uint64(r.task.MaxMemory)))
}
