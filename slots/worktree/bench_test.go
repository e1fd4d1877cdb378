package worktree

import (
	"context"
	"testing"

	"kugetsu/slots/git"
)

func BenchmarkPrepareStanding(b *testing.B) {
	w := newWorld(b)
	s := w.fromRemote(7)
	w.prepare(s)
	g := &Git{Runner: git.Runner{Env: w.env}}
	for b.Loop() {
		if m, err := g.Prepare(context.Background(), s); err != nil || m.CreatedWorktree {
			b.Fatal(m, err)
		}
	}
}

func BenchmarkSnapshotClean(b *testing.B) {
	w := newWorld(b)
	w.big()
	s := w.fromRemote(7)
	w.prepare(s)
	g := &Git{Runner: git.Runner{Env: w.env, Own: b.TempDir()}}
	for b.Loop() {
		if snap, err := g.Snapshot(context.Background(), w.spec(s.Path), testRef, "m"); err != nil || snap.Ref != "" {
			b.Fatal(snap, err)
		}
	}
}
