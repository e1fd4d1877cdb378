package slots

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"kugetsu/queue/event"
	"kugetsu/queue/issueref"
	"kugetsu/queue/terminal"
	"kugetsu/slots/worktree"
)

// keepLimit bounds the snapshot of what a run left: a FIFO in place of a file of git's would hang it, and the slot, for
// ever. What was not kept in time is there still, and kept before the next run.
var keepLimit = 15 * time.Minute

// tellLimit bounds the look at what a run did. Nothing depends on that but what is told of the run, and the slot waits.
var tellLimit = 10 * time.Second

// maxShown bounds a name or a subject in what is told of a run, in bytes.
const maxShown = 200

// keepWork keeps what the run left, uncommitted or committed, and notes what the run did. Idle says that this is known to be nothing:
// no commit, and no file that stood there otherwise when the run began.
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
	r.result.Ref = snap.Ref
	if kept != nil && snap.Head == "" && snap.Dirty == 0 {
		return false // nothing was seen at all
	}
	ctx, cancel = context.WithTimeout(context.Background(), tellLimit)
	defer cancel()
	work, err := r.git.Work(ctx, r.spec(w), w.made.Head, w.before, snap)
	if err != nil {
		r.log.say("what the run did is not known: %v", err)
	}
	if work.Commits < 0 {
		return false
	}
	changes := &event.Changes{From: w.made.Head, To: snap.Head, Commits: work.Commits, Subjects: shown(work.Subjects),
		Dirty: snap.Dirty, DirtyFiles: shown(snap.Files)}
	if err == nil && kept == nil { // else something that stands there is not in it
		changes.Diff = &event.Diff{Files: work.Stat.Files, Insertions: work.Stat.Insertions, Deletions: work.Stat.Deletions}
	}
	r.result.Changes = changes
	return kept == nil && work.Commits == 0 && (snap.Dirty == 0 || snap.Tree == w.before)
}

// noteSnapshot puts a snapshot on record, and those of the worktrees inside.
func (r *Runner) noteSnapshot(snap worktree.Snapshot) {
	r.note(snap.Ref, snap.Commit)
	for _, in := range snap.Inside {
		r.note(in.Ref, in.Commit)
		r.log.say("what is in a worktree inside the session's is kept at %s", in.Ref)
	}
}

// note puts a ref on record. Without the record the ref is there all the same, and can be named.
func (r *Runner) note(ref, commit string) {
	if ref == "" {
		return
	}
	if err := r.home.noteKept(r.task.Session, ref, commit); err != nil {
		r.log.say("%s is not on record: %v", ref, err)
	}
}

// keepStashes keeps what the run stashed and never brought back. All sessions of a repository share one stash, and any of
// them may drop it, or take it for its own.
func (r *Runner) keepStashes(ctx context.Context, w *ready) {
	stashes, err := r.git.Stashes(ctx, r.spec(w))
	if err != nil {
		r.log.say("what the run stashed is not known: %v", err)
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
		r.log.say("what the run stashed is kept at %s", at)
	}
}

// stashed ends the names of the refs of what a run stashed, before the commit.
const stashed = "-stash"

// keepEnd keeps the commit that is checked out also where no Snapshot could tell it: where the run ended, or else where it
// began.
func (r *Runner) keepEnd(ctx context.Context, w *ready, snap worktree.Snapshot, kept error) error {
	if kept == nil || snap.Head != "" {
		return r.keepHead(ctx, w, snap)
	}
	ctx, cancel := context.WithTimeout(context.Background(), tellLimit) // the other may be what is over
	defer cancel()
	head, err := r.git.Head(ctx, r.spec(w))
	if err != nil {
		r.log.say("where the run ended is not known: %v", err)
	}
	return r.keepHead(ctx, w, worktree.Snapshot{Head: cmp.Or(head, w.made.Head)})
}

// keepHead keeps the commit that is checked out, where no snapshot was made on top of it. The next agent may reset or rebase
// it away, and even what was pushed is gone as soon as somebody deletes the branch there, or pushes another over it. The
// commit that the session began with is nobody's work, but stood there as well: it is kept under a name that is not shown.
func (r *Runner) keepHead(ctx context.Context, w *ready, snap worktree.Snapshot) error {
	if snap.Ref != "" || snap.Head == "" {
		return nil
	}
	host, _, _ := strings.Cut(r.task.IssueRef, "/")
	issue, err := issueref.Parse(r.task.IssueRef, host)
	if err == nil {
		refs := issueRefs(issue)
		if snap.Head == w.session.Start {
			refs += "-base"
		}
		var at string
		if at, err = r.git.Keep(ctx, r.spec(w), refs, snap.Head); err == nil && snap.Head != w.session.Start {
			r.note(at, snap.Head)
		}
	}
	if err != nil {
		r.log.say("the commit %s could not be kept: %v", snap.Head, err)
	}
	return err
}

// shown makes strangers' words fit for a terminal.
func shown(texts []string) []string {
	var list []string
	for _, text := range texts {
		list = append(list, terminal.Line(text, maxShown))
	}
	return list
}
