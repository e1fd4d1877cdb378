package faults

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// wrongs are orders of steps that must not be, each as a change of one file.
var wrongs = []struct {
	name, file, right, wrong string
	points                   func(t *testing.T) []point
	one                      attempt
}{
	{
		name: "the task is sent before the item is notified",
		file: "tick/fill.go",
		right: `if err := t.Queue.Notify(e, it, in.Run, pid); err != nil { // d.
		return stop(run, err)
	}
	task.Run = in.Run
	if err := gate.Send(task); err != nil { // e.
		return stop(run, err)
	}`,
		wrong: `task.Run = in.Run
	if err := gate.Send(task); err != nil {
		return stop(run, err)
	}
	if err := gate.Close(); err != nil {
		return stop(run, err)
	}
	if err := t.Queue.Notify(e, it, in.Run, pid); err != nil {
		return stop(run, err)
	}`,
		points: func(t *testing.T) []point {
			w := newWorld(t)
			defer w.close()
			w.crowd()
			return only(points(t, w, "tick"), "renameat")
		},
		one: killTick,
	},
	{
		name:  "the agent is recorded as started before it is",
		file:  "slots/runner.go",
		right: "run, err := r.start(ctx, ready)",
		wrong: `if err := r.home.setMarker(r.name, r.marker, Marker{Phase: Started}); err != nil {
		return false
	}
	r.marker = Marker{Phase: Started}
	run, err := r.start(ctx, ready)`,
		points: func(t *testing.T) []point { return only(runnerPoints(t), "pipe2", "clone") },
		one:    killRunner,
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
			if err := build(bin, "-overlay", overlay(t, wrong.file, wrong.right, wrong.wrong)); err != nil {
				t.Fatal(err)
			}
			list := wrong.points(t)
			for i, p := range list {
				if err := p.try(t, "signal=KILL", wrong.one); err != nil {
					t.Logf("noticed at %s: %v", p, err)
					report(result{group: broken, name: wrong.name, points: i + 1, note: "noticed, at " + p.String()})
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

// overlay makes a build overlay in which a piece of a file is another.
func overlay(t *testing.T, file, right, wrong string) string {
	path, err := filepath.Abs(filepath.Join("..", "..", file))
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(source), right) != 1 {
		t.Fatalf("%s does not have once what is to be changed:\n%s", file, right)
	}
	changed := filepath.Join(t.TempDir(), "changed.go")
	if err := os.WriteFile(changed, []byte(strings.Replace(string(source), right, wrong, 1)), 0o600); err != nil {
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
