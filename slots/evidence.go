package slots

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"kugetsu/queue/outcome"
	"kugetsu/queue/terminal"
	"kugetsu/slots/worktree"
)

// keepLimit bounds the snapshot at the end of a run: a FIFO in place of a file of git's would hang it for ever, and the slot with
// it. Work that was not kept in time stays in the worktree, and is kept before the next run.
var keepLimit = 15 * time.Minute

// tellLimit bounds the question what a run changed. Only the report of the run depends on the answer, and the slot waits for it.
var tellLimit = 10 * time.Second

// maxShown bounds a name or a subject in the report of a run, in bytes.
const maxShown = 200

// keepWork keeps the run's work at refs, uncommitted and committed, and notes its changes. Idle says that there are none for
// sure: no commit, and no file that was different when the run began.
func (r *Runner) keepWork(w *ready) (idle bool) {
	if r.task.Workspace.Repo == "" {
		w.session.Unkept = ""
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), keepLimit)
	defer cancel()
	snap, kept := r.git.Snapshot(ctx, r.spec(w), ref(r.name),
		keptMessage("uncommitted at the end of "+r.name, r.task.IssueRef))
	if kept != nil {
		r.log.say("uncommitted work could not be kept: %v", kept)
	}
	r.noteSnapshot(snap)
	r.keepStashes(ctx, w)
	headErr := r.keepEnd(ctx, w, snap, kept)
	if lost := cmp.Or(kept, headErr); lost != nil {
		r.result.Summary = strings.TrimSpace(r.result.Summary + "\n(not all of its work could be kept: " + terminal.Line(lost.Error(), maxShown) + ")")
	}
	if headErr == nil && (kept == nil || snap.Ref != "") {
		w.session.Unkept = ""
	}
	r.noteLeft(w, snap, kept, headErr)
	r.result.Ref = snap.Ref
	if kept != nil && snap.Head == "" && snap.Dirty == 0 {
		return false // the worktree could not be read at all
	}
	ctx, cancel = context.WithTimeout(context.Background(), tellLimit)
	defer cancel()
	if w.atHead && snap.Tree != "" {
		if tree, err := r.git.TreeOf(ctx, r.spec(w), w.made.Head); err != nil {
			r.log.say("the tree of %s is not known: %v", w.made.Head, err)
		} else {
			w.before = tree
		}
	}
	work, err := r.git.Work(ctx, r.spec(w), w.made.Head, w.before, snap)
	if err != nil {
		r.log.say("the run's changes are not known: %v", err)
	}
	if work.Commits < 0 {
		return false
	}
	changes := &outcome.Changes{From: w.made.Head, To: snap.Head, Commits: work.Commits, Subjects: shown(work.Subjects),
		Dirty: snap.Dirty, DirtyFiles: shown(snap.Files)}
	if err == nil && kept == nil { // else a file in the worktree may be missing in it
		changes.Diff = &outcome.Diff{Files: work.Stat.Files, Insertions: work.Stat.Insertions, Deletions: work.Stat.Deletions}
	}
	changes.Ahead = r.ahead(ctx, w, snap.Head)
	r.result.Changes = changes
	return kept == nil && work.Commits == 0 && (snap.Dirty == 0 || snap.Tree == w.before)
}

// ahead counts the commits of the branch, of all its runs; nil where that is not known. Without a commit there is nothing to ask.
func (r *Runner) ahead(ctx context.Context, w *ready, head string) *int {
	if head == "" {
		return nil
	}
	if head == w.session.Start {
		return new(int)
	}
	ahead, err := r.git.Ahead(ctx, r.spec(w), head)
	if err != nil {
		r.log.say("how many commits the branch has is not known: %v", err)
	}
	return ahead
}

// noteSnapshot puts a snapshot on record, and those of the worktrees inside.
func (r *Runner) noteSnapshot(snap worktree.Snapshot) {
	r.note(snap.Ref, snap.Commit)
	for _, in := range snap.Inside {
		r.note(in.Ref, in.Commit)
		r.log.say("the work in a worktree inside the session's is kept at %s", in.Ref)
	}
}

// note puts a ref on record. Without the record the ref is there all the same, and can be named.
func (r *Runner) note(ref, commit string) {
	if ref == "" || r.fenced() { // the record is the next run's to write
		return
	}
	if err := r.home.noteKept(r.task.Session, ref, commit); err != nil {
		r.log.say("%s is not on record: %v", ref, err)
	}
}

// keepStashes keeps the stashes that the run made and left. All sessions of a repository share one stash, and each of them may
// drop an entry of another.
func (r *Runner) keepStashes(ctx context.Context, w *ready) {
	stashes, err := r.git.Stashes(ctx, r.spec(w))
	if err != nil {
		r.log.say("the run's stashes are not known: %v", err)
	}
	for _, commit := range stashes {
		if slices.Contains(w.stashes, commit) {
			continue
		}
		at, err := r.git.Keep(ctx, r.spec(w), ref(r.name)+stashed, commit)
		if err != nil {
			r.log.say("the stash %s could not be kept: %v", commit, err)
			continue
		}
		r.note(at, commit)
		r.log.say("a stash of the run is kept at %s", at)
	}
}

// stashed is in the names of the refs of a run's stashes, before the commit.
const stashed = "-stash"

// keepEnd keeps the commit that is checked out at the end of the run, even if the Snapshot failed before it read that commit. If the
// commit at the end cannot be read, keepEnd keeps the commit at the start.
func (r *Runner) keepEnd(ctx context.Context, w *ready, snap worktree.Snapshot, kept error) error {
	if kept == nil || snap.Head != "" {
		return r.keepHead(ctx, w, snap)
	}
	ctx, cancel := context.WithTimeout(context.Background(), tellLimit) // a new one: the time of the caller's may be over
	defer cancel()
	head, err := r.git.Head(ctx, r.spec(w))
	if err != nil {
		r.log.say("the commit at the end of the run is not known: %v", err)
	}
	return r.keepHead(ctx, w, worktree.Snapshot{Head: cmp.Or(head, w.made.Head)})
}

// keepHead keeps the commit that is checked out, where no snapshot was made on top of it. The next agent may reset it or rebase
// it away. A pushed commit is kept, too: the branch on the remote may be deleted or overwritten. The commit that the session
// began with is not the session's work, but may become unreachable as well. It is kept at a ref of its own, which
// restore --list does not show.
func (r *Runner) keepHead(ctx context.Context, w *ready, snap worktree.Snapshot) error {
	if snap.Ref != "" || snap.Head == "" {
		return nil
	}
	refs := r.task.issue().Kept()
	if snap.Head == w.session.Start {
		refs = r.task.issue().KeptBase()
	}
	at, err := r.git.Keep(ctx, r.spec(w), refs, snap.Head)
	switch {
	case err != nil:
		r.log.say("the commit %s could not be kept: %v", snap.Head, err)
	case snap.Head != w.session.Start:
		r.note(at, snap.Head)
	}
	return err
}

// shown makes the text of an agent safe for a terminal.
func shown(texts []string) []string {
	var list []string
	for _, text := range texts {
		list = append(list, terminal.Line(text, maxShown))
	}
	return list
}
