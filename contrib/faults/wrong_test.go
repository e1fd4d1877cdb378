package faults

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// wrongs are orders of steps that must not be, each as changes of one file: what is right, what is wrong instead.
var wrongs = []struct {
	name, file string
	changes    []string
	points     func(t *testing.T) []point
	one        attempt
}{
	{
		name: "the task is sent before the item is notified",
		file: "tick/fill.go",
		changes: []string{`if err := t.Queue.Notify(e, it, in.Run, pid); err != nil { // d.
		return stop(run, err)
	}
	task.Run = in.Run
	if err := gate.Send(task); err != nil { // e.
		return stop(run, err)
	}`, `task.Run = in.Run
	if err := gate.Send(task); err != nil {
		return stop(run, err)
	}
	if err := gate.Close(); err != nil {
		return stop(run, err)
	}
	if err := t.Queue.Notify(e, it, in.Run, pid); err != nil {
		return stop(run, err)
	}`},
		points: func(t *testing.T) []point {
			w := newWorld(t)
			defer w.close()
			w.orphaned()
			return only(points(t, w, "tick"), "renameat")
		},
		one: killTick,
	},
	{
		name: "the agent is recorded as started before it is",
		file: "slots/runner.go",
		changes: []string{"run, err := r.start(ctx, ready)", `if err := r.home.setMarker(r.name, r.marker, Marker{Phase: Started}); err != nil {
		return false
	}
	r.marker = Marker{Phase: Started}
	run, err := r.start(ctx, ready)`},
		points: func(t *testing.T) []point { return only(runnerPoints(t), "pipe2", "clone") },
		one:    killRunner,
	},
	{
		name: "the marker is read before the lease is probed",
		file: "tick/reconcile.go",
		changes: []string{`func (t *Tick) reconcileSlot(ctx context.Context, slot string, report *Report) (in *slots.Intent, held bool, err error) {
`, `var markers = map[string]slots.Marker{}

func (t *Tick) reconcileSlot(ctx context.Context, slot string, report *Report) (in *slots.Intent, held bool, err error) {
	if named, err := t.Home.ReadIntent(slot); err == nil && named != nil {
		if marker, err := t.Home.ReadMarker(named.RunName()); err == nil {
			markers[named.RunName()] = marker
		}
	}
`, `	if marker.Phase != slots.Ended {
		// The lease is free`, `	if early, ok := markers[run]; ok {
		marker = early
	}
	if marker.Phase != slots.Ended {
		// The lease is free`},
		points: func(*testing.T) []point { return make([]point, 5) }, // no system call fails: five tries
		one:    func(w *world, _ []string) error { return endMeanwhile(w, 2*time.Second) },
	},
}

// TestTheHarnessNoticesAWrongOrder: a sweep that cannot fail proves nothing, so it is let loose on a kugetsu whose steps
// were put into a wrong order.
func TestTheHarnessNoticesAWrongOrder(t *testing.T) {
	needStrace(t)
	right := bin
	defer func() { bin = right }()
	for _, wrong := range wrongs {
		t.Run(strings.ReplaceAll(wrong.name, " ", "_"), func(t *testing.T) {
			bin = t.TempDir()
			if err := build(bin, "-overlay", overlay(t, wrong.file, wrong.changes...)); err != nil {
				t.Fatal(err)
			}
			list := wrong.points(t)
			for i, p := range list {
				if err := p.try(t, "signal=KILL", wrong.one); err != nil {
					t.Logf("noticed at %s: %v", p, err)
					report(result{group: broken, name: wrong.name, points: i + 1, note: "noticed"})
					return
				}
			}
			t.Fatalf("nothing was noticed at %d points: %s", len(list), wrong.name)
		})
	}
}

// only keeps the points at which a wrong order shows, so that it is noticed soon.
func only(list []point, calls ...string) []point {
	return slices.DeleteFunc(list, func(p point) bool { return !slices.Contains(calls, p.call) })
}

// overlay makes a build overlay in which pieces of a file are others: each right one is followed by a wrong one.
func overlay(t *testing.T, file string, changes ...string) string {
	path, err := filepath.Abs(filepath.Join("..", "..", file))
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(source)
	for pair := range slices.Chunk(changes, 2) {
		if strings.Count(text, pair[0]) != 1 {
			t.Fatalf("%s does not have once what is to be changed:\n%s", file, pair[0])
		}
		text = strings.Replace(text, pair[0], pair[1], 1)
	}
	changed := filepath.Join(t.TempDir(), "changed.go")
	if err := os.WriteFile(changed, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "overlay.json")
	if err := os.WriteFile(name, list, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
