// Package metrics writes what Prometheus asks about a queue: one file in its text format, for the textfile collector of
// node_exporter. The state of a moment is derived as package overview derives it. Counters come from the ledger, and never
// shrink.
//
// A time is written as a time and not as an age, which would be wrong as soon as the file is read. Values of labels may be
// strangers' texts: package terminal shows hidden characters as escapes, and what is left is escaped for the format.
package metrics

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/ledger"
	"kugetsu/queue/outcome"
	"kugetsu/queue/spool"
	"kugetsu/queue/terminal"
	"kugetsu/slots/agent"
	"kugetsu/tick"
	"kugetsu/tick/overview"
)

// readMost is how many waiting items are read: enough for the needs that they make, as the first screen finds them.
const readMost = 100

// every is how often the file is written where nothing changes.
const every = time.Minute

// Refresh writes METRICS_FILE if the pass changed something, or if the file is older than a minute. A tick calls it after it has unlocked
// tick.lock.
func Refresh(t *tick.Tick, changed bool) error {
	path := t.Settings.MetricsFile
	if path == "" {
		return nil
	}
	if !changed {
		written, err := spool.Exported(path)
		if err != nil {
			return err
		}
		if age := t.Now().Sub(written); age >= 0 && age < every { // a time in the future: the clock was set back
			return nil
		}
	}
	m, err := Read(t)
	if err != nil {
		return err
	}
	return spool.Export(path, m.Text(), t.Folders()...)
}

// Metrics is what is told.
type Metrics struct {
	*overview.Overview
	Home        string
	Agents      []string   // those that may be named
	OnHold      []Hold     // agents and hosts
	Paused      bool       // kugetsu pause
	Oldest      *time.Time // when the oldest of the waiting items was enqueued
	Undelivered int        // events that NOTIFY_COMMAND has not taken
	Totals      []ledger.Total
}

// Hold is an agent or a host that is on hold.
type Hold struct {
	Name string
	Host bool
}

// Read reads all of it. It takes no lock.
func Read(t *tick.Tick) (*Metrics, error) {
	o, err := overview.Read(t, readMost)
	if err != nil {
		return nil, err
	}
	m := &Metrics{Overview: o, Home: string(t.Home), Agents: agent.Names()}
	if m.Totals, err = t.Queue.Ledger.Totals(); err != nil {
		return nil, err
	}
	holds, targets, err := tick.Holds(t.Home)
	if err != nil {
		return nil, err
	}
	for _, h := range targets {
		if !holds[h].Ended(o.At) {
			m.OnHold = append(m.OnHold, Hold{Name: h.Name(), Host: h.IsHost()})
		}
	}
	pause, err := tick.ReadPause(t.Home, o.At)
	if err != nil {
		return nil, err
	}
	m.Paused = pause != nil
	undelivered, err := spool.List(t.Queue.Events.Undelivered)
	if err != nil {
		return nil, err
	}
	for _, name := range undelivered {
		if strings.HasSuffix(name, ".json") {
			m.Undelivered++
		}
	}
	return m, m.oldest(t.Queue)
}

// oldest finds the oldest waiting item by its id, which has the time of enqueueing: none is read.
func (m *Metrics) oldest(q *queue.Queue) error {
	running := map[string]bool{}
	for _, r := range m.Running {
		running[r.Item] = true
	}
	first := ""
	for _, lane := range queue.Lanes {
		_, err := q.Ahead(lane, func(id string) bool {
			if !running[id] && (first == "" || id < first) {
				first = id
			}
			return false
		})
		if err != nil {
			return err
		}
	}
	if first != "" {
		at := queue.IDTime(first)
		m.Oldest = &at
	}
	return nil
}

// Text is the file.
func (m *Metrics) Text() []byte {
	w := &writer{home: m.Home}
	w.metric("last_tick_timestamp_seconds", gauge, "When the last tick began.")
	if m.Capacity.LastTick != nil {
		w.value(at(*m.Capacity.LastTick))
	}
	w.metric("healthy", gauge, "Whether nothing is broken and nothing failed.")
	w.value(yes(m.Healthy))
	w.metric("paused", gauge, "Whether a person paused the queue.")
	w.value(yes(m.Paused))
	w.metric("slots", gauge, "Dev agents that may run at once.")
	w.value(float64(m.Capacity.Limit))
	w.metric("slots_occupied", gauge, "Slots in which a dev agent runs.")
	w.value(float64(m.Capacity.Occupied))

	w.metric("items", gauge, "Items by state: those that are settled until they are cleared.")
	running := 0
	for _, r := range m.Running {
		if r.Occupied {
			running++
		}
	}
	w.value(float64(m.Capacity.Waiting), "state", "waiting")
	w.value(float64(running), "state", "running")
	w.value(float64(m.Bound.Settled), "state", "settled")
	w.metric("waiting_oldest_timestamp_seconds", gauge, "When the oldest of the waiting items was enqueued; absent where none waits.")
	if m.Oldest != nil {
		w.value(at(*m.Oldest))
	}

	w.metric("on_hold", gauge, "Whether an agent, or the host of a remote, is on hold.")
	for _, name := range m.Agents {
		w.value(yes(slices.Contains(m.OnHold, Hold{Name: name})), "kind", "agent", "name", name)
	}
	for _, h := range m.OnHold {
		if h.Host {
			w.value(1, "kind", "host", "name", h.Name)
		}
	}
	w.metric("needs", gauge, "What needs a person, by kind.")
	for _, kind := range overview.Kinds() {
		n := 0
		for _, need := range m.Needs {
			if need.Kind == kind {
				n++
			}
		}
		w.value(float64(n), "kind", string(kind))
	}
	w.metric("events_undelivered", gauge, "Events that NOTIFY_COMMAND has not taken.")
	w.value(float64(m.Undelivered))
	m.counters(w)
	return w.Bytes()
}

// counters are made of the ledger. The outcomes of a known agent begin with 0, so that the first run with one is an increase.
func (m *Metrics) counters(w *writer) {
	var agents []string
	runs := map[[2]string]int{}
	seconds, costs := map[string]float64{}, map[string]*outcome.Cost{}
	totals := slices.Clone(m.Totals)
	for i := range totals {
		t := &totals[i]
		t.Agent, t.Outcome = label(t.Agent), label(t.Outcome) // two that look the same are one series
		if costs[t.Agent] == nil {
			agents, costs[t.Agent] = append(agents, t.Agent), &outcome.Cost{}
		}
		runs[[2]string{t.Agent, t.Outcome}] += t.Runs
		seconds[t.Agent] += t.Seconds
		costs[t.Agent].Add(t.Cost)
	}
	w.metric("runs_total", counter, "Runs that ended.")
	for _, name := range agents {
		for _, row := range outcome.Rows {
			o := string(row.Outcome)
			w.value(float64(runs[[2]string{name, o}]), "agent", name, "outcome", o)
			delete(runs, [2]string{name, o})
		}
	}
	for _, t := range totals { // an outcome of another version
		if n, left := runs[[2]string{t.Agent, t.Outcome}]; left {
			w.value(float64(n), "agent", t.Agent, "outcome", t.Outcome)
			delete(runs, [2]string{t.Agent, t.Outcome})
		}
	}
	w.metric("run_seconds_total", counter, "Time in which agents worked.")
	for _, name := range agents {
		w.value(seconds[name], "agent", name)
	}
	w.metric("cost_dollars_total", counter, "US dollars that agents said they cost.")
	for _, name := range agents {
		w.value(costs[name].USD, "agent", name)
	}
	w.metric("tokens_total", counter, "Tokens that agents said they used.")
	for _, name := range agents {
		c := costs[name]
		w.value(float64(c.Input), "agent", name, "type", "input")
		w.value(float64(c.Output), "agent", name, "type", "output")
		w.value(float64(c.Reasoning), "agent", name, "type", "reasoning")
		w.value(float64(c.CacheRead), "agent", name, "type", "cache_read")
		w.value(float64(c.CacheWrite), "agent", name, "type", "cache_write")
	}
}

const (
	gauge   = "gauge"
	counter = "counter"
)

// at is a time in seconds.
func at(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func yes(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// writer writes the text format. Each value has the label home, so that the queues of one machine do not clash.
type writer struct {
	bytes.Buffer
	home, name string
}

// metric begins a metric, kugetsu_<name>.
func (w *writer) metric(name, kind, help string) {
	w.name = "kugetsu_" + name
	fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", w.name, help, w.name, kind)
}

// value writes a value with labels: names and values by turns.
func (w *writer) value(v float64, labels ...string) {
	fmt.Fprintf(w, "%s{home=\"%s\"", w.name, escape(w.home))
	for i := 0; i+1 < len(labels); i += 2 {
		fmt.Fprintf(w, ",%s=\"%s\"", labels[i], escape(labels[i+1]))
	}
	fmt.Fprintf(w, "} %s\n", strconv.FormatFloat(v, 'f', -1, 64))
}

// labelMost bounds the value of a label, in bytes.
const labelMost = 200

var escaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func label(text string) string { return terminal.Line(text, labelMost) }

func escape(text string) string { return escaper.Replace(label(text)) }
