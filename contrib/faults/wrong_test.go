package faults

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// wrongWay is a wrong way to do something: a file, and pairs of what is right in it and what is wrong instead. one is the fault
// that shows it, and notice is what the fault then says, since another complaint would show nothing.
type wrongWay struct {
	name, file string
	changes    []string
	notice     string
	one        func(t *testing.T) error
}

// always are the wrong ways that are tried without -full, too: one for each way of trying faults, by kills, storms and power cuts.
var always = map[string]bool{
	"the task is sent before the item is notified": true,
	"one agent more than the limit is let in":      true,
	"the end of a run is not synced":               true,
}

// mustNotice tries faults on kugetsus that do something the wrong way: a check that cannot fail proves nothing. Each of them is built first,
// which takes longer than to try it: without -full a few of them stand for all.
func mustNotice(t *testing.T, list ...wrongWay) { mustNoticeBuilt(t, buildChanged, list...) }

// current makes sure that the sources still have the texts that these wrong ways replace. Only -full builds them.
func current(t *testing.T, list ...wrongWay) {
	for _, wrong := range list {
		if _, err := change(t, filepath.Join("..", "..", wrong.file), wrong.changes...); err != nil {
			t.Error(err)
		}
	}
}

func mustNoticeBuilt(t *testing.T, build func(t *testing.T, dir string, replace map[string]string) error, list ...wrongWay) {
	right := bin
	defer func() { bin = right }()
	if !*full {
		current(t, list...)
		list = slices.DeleteFunc(slices.Clone(list), func(w wrongWay) bool { return !always[w.name] })
		if len(list) == 0 {
			t.Skip("these broken kugetsus are built with -full alone")
		}
	}
	for _, wrong := range list {
		t.Run(strings.ReplaceAll(wrong.name, " ", "_"), func(t *testing.T) {
			path, err := filepath.Abs(filepath.Join("..", "..", wrong.file))
			if err != nil {
				t.Fatal(err)
			}
			changed, err := change(t, path, wrong.changes...)
			if err != nil {
				t.Fatal(err)
			}
			bin = t.TempDir()
			if err := build(t, bin, map[string]string{path: changed}); err != nil {
				t.Fatal(err)
			}
			err = wrong.one(t)
			if err == nil || !strings.Contains(err.Error(), wrong.notice) {
				t.Fatalf("%s: want an error with %q, got: %v", wrong.name, wrong.notice, err)
			}
			t.Logf("noticed: %v", err)
			report(result{group: broken, name: wrong.name, points: 1, note: "noticed: " + wrong.notice})
		})
	}
}

// alone is a fault in a world of its own.
func alone(one func(w *world) error) func(t *testing.T) error {
	return func(t *testing.T) error {
		w := newWorld(t)
		defer w.close()
		return one(w)
	}
}

// atAny kills at one point after the other, until a promise is broken.
func atAny(list func(t *testing.T) []point, one attempt) func(t *testing.T) error {
	return func(t *testing.T) error {
		for _, p := range list(t) {
			if err := p.try(t, "signal=KILL", one); err != nil {
				return fmt.Errorf("at %s: %w", p, err)
			}
		}
		return nil
	}
}

// wrongs are wrong orders of steps.
var wrongs = []wrongWay{
	{
		name: "the task is sent before the item is notified",
		file: "tick/fill.go",
		changes: []string{`if err := t.Queue.Notify(e, it, in.Run, l.pid, l.born); err != nil { // d.
		return stop(run, err)
	}
	if err := l.begin(); err != nil { // e.
		return stop(run, err)
	}`, `if err := l.begin(); err != nil {
		return stop(run, err)
	}
	if err := l.close(); err != nil {
		return stop(run, err)
	}
	if err := t.Queue.Notify(e, it, in.Run, l.pid, l.born); err != nil {
		return stop(run, err)
	}`},
		notice: "ran twice",
		one: atAny(func(t *testing.T) []point {
			w := newWorld(t)
			defer w.close()
			w.orphaned()
			return only(points(t, w, "tick"), "renameat")
		}, killTick),
	},
	{
		name: "the agent is recorded as started before it is",
		file: "slots/runner.go",
		changes: []string{"run, err := r.start(ctx, ready)", `if err := r.home.setMarker(r.name, r.marker, Marker{Phase: Started}); err != nil {
		return false
	}
	r.marker = Marker{Phase: Started}
	run, err := r.start(ctx, ready)`},
		notice: "has 2 attempts, but its agent started 1 times",
		one:    atAny(func(t *testing.T) []point { return only(runnerPoints(t), "pipe2", "clone") }, killRunner),
	},
	{
		name: "the marker is read before the lease is probed",
		file: "tick/reconcile.go",
		changes: []string{`func (t *Tick) reconcileSlot(ctx context.Context, slot string, report *Report) (in *slots.Intent, occupied bool, err error) {
`, `var markers = map[string]slots.Marker{}

func (t *Tick) reconcileSlot(ctx context.Context, slot string, report *Report) (in *slots.Intent, occupied bool, err error) {
	if named, err := t.Home.ReadIntent(slot); err == nil && named != nil {
		if marker, err := t.Home.ReadMarker(named.RunName()); err == nil {
			markers[named.RunName()] = marker
		}
	}
`, `	if marker.Phase != slots.Ended || in == nil {
		// The lease is free`, `	if early, ok := markers[run]; ok {
		marker = early
	}
	if marker.Phase != slots.Ended || in == nil {
		// The lease is free`},
		notice: "it ended well, and was run again",
		one: func(t *testing.T) (err error) {
			for n := 0; n < 5 && err == nil; n++ { // the run may end too late for the tick to meet it
				err = alone(func(w *world) error { return endMeanwhile(w, 2*time.Second) })(t)
			}
			return err
		},
	},
	{
		name: "a run is counted after its item is settled",
		file: "queue/queue.go",
		changes: []string{`if err := q.count(used); err != nil {
		return err
	}
	return q.save(e, it)`, `if err := q.save(e, it); err != nil {
		return err
	}
	return q.count(used)`},
		notice: "the ledger has the runs",
		one: atAny(func(t *testing.T) []point {
			w := newWorld(t)
			defer w.close()
			w.orphaned()
			return only(points(t, w, "tick"), "fsync")
		}, killTick),
	},
}

// TestHarnessNoticesAWrongOrder makes the sweeps with kugetsus whose steps have a wrong order.
func TestHarnessNoticesAWrongOrder(t *testing.T) {
	needStrace(t)
	mustNotice(t, wrongs...)
}

// only keeps the points at which a wrong order shows, so that the test notices it soon.
func only(list []point, calls ...string) []point {
	list = slices.DeleteFunc(list, func(p point) bool { return !slices.Contains(calls, p.call) })
	for i := range list {
		list[i].same = false // the point that leaves the same may be gone
	}
	return list
}

// change makes a copy of a file in which texts are replaced: in changes each right text is followed by a wrong one. It returns the
// path of the copy.
func change(t *testing.T, path string, changes ...string) (string, error) {
	source, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	text := string(source)
	for pair := range slices.Chunk(changes, 2) {
		if strings.Count(text, pair[0]) != 1 {
			return "", fmt.Errorf("%s does not have this text exactly once:\n%s", path, pair[0])
		}
		text = strings.Replace(text, pair[0], pair[1], 1)
	}
	changed := filepath.Join(t.TempDir(), filepath.Base(path))
	return changed, os.WriteFile(changed, []byte(text), 0o600)
}

// buildChanged builds a kugetsu in which these files take the place of others.
func buildChanged(t *testing.T, dir string, replace map[string]string) error {
	list, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		return err
	}
	overlay := filepath.Join(t.TempDir(), "overlay.json")
	if err := os.WriteFile(overlay, list, 0o600); err != nil {
		return err
	}
	return build(dir, "-overlay", overlay)
}
