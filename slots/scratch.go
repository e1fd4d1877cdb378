package slots

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"
	"time"

	"kugetsu/queue/fault"
	"kugetsu/queue/spool"
	"kugetsu/slots/git"
	"kugetsu/slots/worktree"
)

// A run on a cluster may have its worktree on the own disk of its node (SLURM_WORKDIR), where builds and searches do not go over the
// network. The repository is the shared one. So commits, branches and stashes are where all machines see them as soon as they are made, and
// all that has to be brought back is what is uncommitted: the snapshot that each run keeps anyway. The session names it (Session.Left), and the
// next worktree that is made for it, wherever that is, begins with it.
//
// The order at the end of a run is: the snapshot and its record, the verification, the session's file, the worktree's removal, the marker
// end.…. A run that ends in between leaves a session that names the snapshot of the run before, and files on its node's disk. If the next run
// is on that node, it finds them, and goes on with them. If not, it begins with what was brought back last. Where the branch has moved on
// since, that is the branch alone: to bring older files back over newer commits would undo these.
//
// A session's path on the disk is the same on all nodes and for all runs, since agents find a conversation by the folder. The worktree is
// made anew for each run, and its record names that run: see package worktree.
//
// Where a worktree stands in the state folder, a run works there: a person had it restored.

// scratchPath is where a session has its worktree on the disk of a node.
func (d Dir) scratchPath(disk, session string) string {
	return filepath.Join(disk, "kugetsu-"+d.id(), session)
}

// ownScratch says whether a session's path on the disk of a node is of this state folder. This one may be a copy of another, whose runs go
// on there.
func (d Dir) ownScratch(s *Session) bool {
	return s.Scratch != "" && filepath.Base(filepath.Dir(s.Scratch)) == "kugetsu-"+d.id()
}

// makeScratch makes the folder of this state folder on the disk of a node, which others may write to.
func makeScratch(dir string) error {
	hint := "correct SLURM_WORKDIR, or keep jobs off nodes without it, by SLURM_ARGS"
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fault.New(fault.Config, hint, "SLURM_WORKDIR cannot be used on this node: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); !ok || !info.IsDir() || int(stat.Uid) != os.Getuid() || info.Mode().Perm()&0o022 != 0 {
		return fault.New(fault.Config, hint, "SLURM_WORKDIR cannot be used on this node: %s is not a folder of this user's alone", dir)
	}
	return nil
}

// place decides where a run works.
func (r *Runner) place(w *ready) error {
	s := w.session
	w.dir = s.Worktree
	if r.cluster != nil && r.cluster.disk != "" && r.task.Workspace.Repo != "" {
		there, err := spool.Exists(s.Worktree)
		if err != nil {
			return err
		}
		if !there {
			w.dir, w.scratch = r.home.scratchPath(r.cluster.disk, r.task.Session), true
			if err := makeScratch(filepath.Dir(w.dir)); err != nil {
				return err
			}
		}
	}
	if cmp.Or(s.Scratch, s.Worktree) != w.dir { // agents find it by the folder
		s.Conversation = ""
	}
	return nil
}

// leaveScratch gives up a worktree that was made just now on the disk of the node, for one in the state folder. Its repository has
// submodules, whose own commits lie in the record of the worktree, and cannot be kept when that is removed.
func (r *Runner) leaveScratch(ctx context.Context, w *ready) (err error) {
	r.log.say("the repository has submodules: this session's worktree is in the state folder")
	if err := r.git.Discard(ctx, r.spec(w)); err != nil {
		return err
	}
	w.leaveNoFolder()
	if w.made.CreatedBranch {
		w.session.Start = w.made.Head
	}
	w.dir, w.scratch, w.session.Scratch = w.session.Worktree, false, ""
	if w.existed {
		w.session.Conversation = ""
	}
	w.agentEnv, err = r.agentEnvironment(w.dir)
	return err
}

// returning is what brings back to a session the work that a run left on the own disk of a node.
type returning struct {
	home  Dir
	git   *worktree.Git
	s     *Session
	note  func(ref, commit string) // puts it on record
	write func() error             // the session's file
}

// from keeps what lies on this machine's disk at a path, and removes it with its record. ref is new.
func (b returning) from(ctx context.Context, spec worktree.Spec, ref string) error {
	found, err := b.git.Find(spec)
	if err != nil {
		return err
	}
	if found.There && !found.Half {
		if err := b.keep(ctx, spec, found.Run, ref); err != nil {
			return err
		}
	}
	return b.git.Discard(ctx, spec)
}

// keep keeps the files at a path. Those that cannot be kept are taken out of the way.
func (b returning) keep(ctx context.Context, spec worktree.Spec, run, ref string) error {
	who := cmp.Or(run, "an earlier run")
	snap, lost := b.git.Snapshot(ctx, spec, ref, keptMessage("left on the disk of its node by "+who, b.s.IssueRef))
	if ctx.Err() != nil || git.OfHost(lost) {
		return lost
	}
	for _, one := range append([]worktree.Snapshot{snap}, snap.Inside...) {
		if one.Ref != "" {
			b.note(one.Ref, one.Commit)
			b.git.Say("the uncommitted work that %s left on this disk is kept at %s", who, one.Ref)
		}
	}
	if run != "" && run == b.s.Unkept && (lost == nil || snap.Ref != "") { // the last run: the next one goes on with its work
		if snap.Head != "" && snap.Head != b.s.Start {
			at, err := b.git.Keep(ctx, spec, b.s.issue().Kept(), snap.Head)
			if err != nil {
				return err
			}
			b.note(at, snap.Head)
		}
		b.s.leave(snap)
		b.s.Unkept = ""
		if err := b.write(); err != nil {
			return err
		}
	}
	if lost == nil {
		return nil
	}
	to, err := b.git.SetAside(spec)
	if err != nil {
		return errors.Join(lost, err)
	}
	b.git.Say("the work that %s left on this disk could not be kept whole, and is at %s now: %v", who, to, lost)
	return nil
}

// fenced takes what the last run kept after it was fenced, or says that its work is not here.
func (b returning) fenced() error {
	s := b.s
	if s.Scratch == "" || s.Unkept == "" {
		return nil
	}
	left, err := b.home.readLeft(s.Unkept)
	if err != nil {
		return err
	}
	if left == nil {
		node := "another node"
		if claim, err := b.home.ReadClaim(s.Unkept); err == nil && claim != nil && claim.Node != "" {
			node = claim.Node
		}
		b.git.Say("what %s may have left uncommitted on the disk of %s, at %s, was not brought back", s.Unkept, node, s.Scratch)
		return nil
	}
	s.Left, s.LeftCommit, s.Unkept = left.Ref, left.Commit, ""
	if s.Left != "" {
		b.note(s.Left, s.LeftCommit)
	}
	return nil
}

// leave notes what the next worktree of a session begins with: the snapshot or, where an agent worked on another branch and left nothing
// uncommitted, its commits.
func (s *Session) leave(snap worktree.Snapshot) {
	s.Left, s.LeftCommit = snap.Ref, snap.Commit
	if snap.Ref == "" && snap.Branch != s.Branch && snap.Head != "" && snap.Head != s.Start {
		s.Left, s.LeftCommit = s.issue().Kept()+"/"+snap.Head, snap.Head
	}
}

// leftFile is the file left.json of a run: what a runner kept after its run was fenced. The session's file is the next run's by then.
type leftFile struct {
	V      int    `json:"v"`
	Ref    string `json:"ref"` // "" for nothing
	Commit string `json:"commit"`
}

func (d Dir) left(run string) spool.File[leftFile] {
	return spool.File[leftFile]{Path: filepath.Join(d.RunDir(run), "left.json"), Version: 1, Layout: spool.Line}
}

func (d Dir) readLeft(run string) (*leftFile, error) {
	if !runName().MatchString(run) {
		return nil, nil
	}
	return d.left(run).ReadGood()
}

// takeBack brings back to the session what runs left on disks of nodes, before a worktree is made for this one.
func (r *Runner) takeBack(ctx context.Context, w *ready) error {
	s := w.session
	b := returning{home: r.home, git: r.git, s: s, note: r.note, write: func() error { return r.writeSession(s) }}
	var paths []string
	if r.home.ownScratch(s) {
		paths = append(paths, s.Scratch)
	}
	if w.scratch && w.dir != s.Scratch {
		paths = append(paths, w.dir)
	}
	for n, at := range paths {
		if r.fenced() {
			return errFenced
		}
		if err := b.from(ctx, r.home.spec(at, r.task.Workspace), fmt.Sprintf("%s-scratch%d", ref(r.name), n)); err != nil {
			return err
		}
	}
	if err := b.fenced(); err != nil {
		return err
	}
	if s.Scratch = ""; w.scratch {
		s.Scratch = w.dir
	}
	return nil
}

// carry brings the work that the last run left into a worktree that was made just now.
func (r *Runner) carry(ctx context.Context, w *ready, spec worktree.Spec) error {
	s := w.session
	if !w.made.CreatedWorktree { // a person had one restored, with this work or with other
		s.Left, s.LeftCommit = "", ""
	}
	if s.Left == "" {
		return nil
	}
	snapshot := !git.IsCommit(path.Base(s.Left))
	fits, head, err := r.git.Carry(ctx, spec, s.Left, s.LeftCommit, snapshot)
	if err != nil {
		return fmt.Errorf("the work that the last run left, and that is kept at %s, is not brought back: %w", s.Left, err)
	}
	if !fits {
		r.log.say("the work that is kept at %s is not brought back: the branch has moved on since, or the ref has", s.Left)
		return nil
	}
	w.made.Head = head
	r.log.say("the work that is kept at %s is brought back", s.Left)
	return nil
}

// noteLeft notes what a run on the disk of a node leaves.
func (r *Runner) noteLeft(w *ready, snap worktree.Snapshot, kept, head error) {
	if !w.scratch || kept != nil && snap.Ref == "" {
		return
	}
	w.whole = kept == nil && head == nil
	w.session.leave(snap)
}

// pushBack keeps the work of a run that ends without a record of its end, and whose worktree other machines do not see.
func (r *Runner) pushBack(w *ready) {
	if w.scratch {
		r.keepWork(w)
		r.handOver(w)
	}
}

// handOver tells the next run what such a run kept.
func (r *Runner) handOver(w *ready) {
	switch {
	case !w.scratch:
	case !r.fenced():
		if r.saveSession(w) == nil {
			r.dropScratch(w)
		}
	case w.session.Unkept == "":
		err := r.home.left(r.name).WriteSoon(&leftFile{V: 1, Ref: w.session.Left, Commit: w.session.LeftCommit})
		if err == nil && w.whole {
			err = r.git.DiscardFiles(r.spec(w))
		}
		if err != nil {
			r.log.say("%v", err)
		}
		w.leaveNoFolder()
	}
}

// dropLimit bounds the wait for the repository's lock.
const dropLimit = time.Minute

// dropScratch removes the worktree on the disk of the node, if all that is in it is kept.
func (r *Runner) dropScratch(w *ready) {
	if !w.scratch {
		return
	}
	if !w.whole {
		r.log.say("%s stays on the disk of this node: not all of it could be kept", w.dir)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), dropLimit)
	defer cancel()
	if err := r.git.Discard(ctx, r.spec(w)); err != nil {
		r.log.say("%v", err)
	}
	w.leaveNoFolder()
}

// leaveNoFolder removes the folder of this state folder on the disk of a node, where no run is in it.
func (w *ready) leaveNoFolder() {
	if w.scratch {
		_ = os.Remove(filepath.Dir(w.dir)) // not empty: another run's
	}
}

// takeBack is the same for a command that ends the workspace, or brings it into the state folder.
func (p *Workspace) takeBack(ctx context.Context, now time.Time) error {
	s := p.Session
	if s == nil || !p.home.ownScratch(s) {
		return nil
	}
	var noted error
	b := returning{home: p.home, git: p.Git, s: s, write: func() error { return p.home.WriteSession(p.Name, s) },
		note: func(ref, commit string) { noted = errors.Join(noted, p.home.noteKept(p.Name, ref, commit)) }}
	spec := p.Spec
	spec.Path = s.Scratch
	err := b.from(ctx, spec, p.refs+"/"+now.UTC().Format("20060102T150405.000000000Z")+"-scratch")
	if err == nil {
		err = b.fenced()
	}
	return errors.Join(err, noted)
}
