package worktree

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"kugetsu/queue/spool"
)

// Snapshot describes the worktree that a run left.
type Snapshot struct {
	Ref    string   // the reference that keeps what was uncommitted; empty when there was nothing
	Commit string   // what is at that reference
	Tree   string   // the tree of what is kept there
	Head   string   // the commit checked out; empty on a branch without any commit
	Branch string   // the branch checked out; empty when HEAD is detached
	Dirty  int      // files that differ from HEAD, or are new
	Files  []string // the first of them in git's order: any bytes but NUL

	Inside []Snapshot // of the worktrees of the repository inside of it, where they have something
}

// maxFiles is how many of the files that differ a Snapshot names.
const maxFiles = 5

// snapshotID is the name on a snapshot: no person made that commit, and it must not need a configured name.
var snapshotID = []string{
	"GIT_AUTHOR_NAME=kugetsu", "GIT_AUTHOR_EMAIL=kugetsu@localhost",
	"GIT_COMMITTER_NAME=kugetsu", "GIT_COMMITTER_EMAIL=kugetsu@localhost",
}

// Snapshot looks at a session's worktree after a run and keeps whatever is uncommitted in it (staged, unstaged, or
// untracked and not ignored) as a commit at ref, which must be new and below refs/kugetsu/. Its first parent is HEAD.
// Where something was staged and then changed again, the staged version is its second parent, as in git-stash(1).
// HEAD, the branches, the stash and the index in the worktree stay as they are. A clean worktree costs one git process.
// What git does not see by itself, or fails at, is kept as well: see status.
//
// The snapshot goes into the session's repository, whatever became of the worktree's .git, and it is there whole, or there is
// an error: see install.
//
// An error beside a Snapshot with a Ref says what could not be kept: a file that cannot be read, or a repository
// inside the worktree, of which git records no more than its commit. The rest is in the snapshot.
func (g *Git) Snapshot(ctx context.Context, s Spec, ref, message string) (Snapshot, error) {
	var snap Snapshot
	if !strings.HasPrefix(ref, "refs/kugetsu/") || !validRef(ref) {
		return snap, refuse("snapshot", "not a reference below refs/kugetsu/: %q", ref)
	}
	p, by, err := g.left(ctx, s)
	if err != nil {
		return snap, err
	}
	defer p.done()
	st, missed, err := p.statusOf(ctx, by)
	if err != nil {
		return snap, err
	}
	if snap.Dirty = st.dirty; st.dirty > 0 {
		snap, err = p.kept(ctx, ref, message, st, missed)
	} else {
		err = missed
	}
	snap.Head, snap.Branch, snap.Dirty = st.head, st.branch, st.dirty
	var lost error
	snap.Inside, lost = p.keepInside(ctx, ref, message, st.head)
	return snap, cmp.Or(err, lost)
}

// kept keeps the files that differ, and describes the snapshot.
func (p *private) kept(ctx context.Context, ref, message string, st status, missed error) (snap Snapshot, err error) {
	for _, e := range st.entries[:min(len(st.entries), maxFiles)] {
		snap.Files = append(snap.Files, e.path)
	}
	kept, lost, err := p.keep(ctx, ref, message, st)
	if err != nil {
		return snap, err
	}
	snap.Ref, snap.Commit, snap.Tree = ref, kept.commit, kept.tree
	return snap, cmp.Or(lost, missed)
}

// left opens the worktree that a run left. Where the link to the repository, or the record of the worktree, is not the
// session's own any more, it opens the files that are there. by says how git is made to read them; nil as it reads by itself.
func (g *Git) left(ctx context.Context, s Spec) (p *private, by *how, err error) {
	if s, err = s.checked(); err != nil {
		return nil, nil, err
	}
	if info, err := os.Lstat(s.Path); err != nil || !info.IsDir() {
		return nil, nil, refuse("snapshot", "there is no worktree to look at: %v", cmp.Or(err, fs.ErrNotExist))
	}
	v, why := g.standing(s)
	if why == nil && v.stands {
		v.at.branch = s.Branch // where its HEAD cannot be used
		p, err = g.newPrivate(ctx, v.at)
		return p, nil, err
	}
	if why == nil {
		why = errors.New(cmp.Or(v.why, "its .git is gone"))
	}
	g.say("not the session's worktree any more (%v): its files are kept in the session's repository all the same", why)
	r, s, err := g.repository(s)
	if err != nil {
		return nil, nil, err
	}
	if r == nil {
		return nil, nil, refuse("snapshot", "the repository %s is gone", s.Source.Cache)
	}
	at := s.at(r.common)
	at.path, at.branch = s.Path, s.Branch
	if admins, err := r.admins(); err == nil {
		for _, admin := range admins {
			if half, err := halfMade(admin); err == nil && !half && at.gitDir == "" {
				at.gitDir = admin
			}
		}
	}
	if at.gitDir == "" {
		by = &how{fresh: true}
	}
	if p, err = g.newPrivate(ctx, at); err != nil {
		return nil, nil, err
	}
	return p, by, nil
}

// keepTries is how often a snapshot is made before it is given up: a git of another session may remove objects that no
// reference names yet (git gc --prune=now).
const keepTries = 5

// keep makes the commit. lost names files that are not in it. err says that there is no commit.
func (p *private) keep(ctx context.Context, ref, message string, st status) (kept kept, lost, err error) {
	if err := plainRef(p.at.common, ref); err != nil {
		return kept, nil, err
	}
	for n := 1; ; n++ {
		kept, lost, err = p.keepOnce(ctx, ref, message, st)
		if err == nil || n == keepTries || exitCode(err) <= 0 && !absent(err) || ctx.Err() != nil || OfHost(err) {
			return kept, lost, err
		}
		p.g.say("the snapshot is made again: %v", err)
	}
}

// kept is a snapshot that was made.
type kept struct{ commit, tree string }

func (p *private) keepOnce(ctx context.Context, ref, message string, st status) (kept kept, lost, err error) {
	in, err := p.scratch(ctx, st.by)
	if err != nil {
		return kept, nil, err
	}
	defer in.remove()
	commit := func(tree, message string, parents ...string) (string, error) {
		args := []string{"commit-tree", "--no-gpg-sign"}
		for _, p := range parents {
			if p != "" {
				args = append(args, "-p", p)
			}
		}
		return in.git(ctx, strings.ReplaceAll(message, "\x00", " ")+"\n", append(args, tree)...)
	}
	staged := ""
	if st.stagedTwice {
		tree, err := in.git(ctx, "", "write-tree")
		if err != nil {
			return kept, nil, err
		}
		if staged, err = commit(tree, "staged: "+message, st.head); err != nil {
			return kept, nil, err
		}
	}
	if kept.tree, lost, err = in.all(ctx); err != nil {
		return kept, nil, err
	}
	for _, e := range st.nested { // git lists files, so this is a repository
		lost = refuse("snapshot", "not in the snapshot: the repository %q inside the worktree", e)
	}
	id, err := commit(kept.tree, message, st.head, staged)
	if err != nil {
		return kept, nil, err
	}
	release, err := in.install(ctx, id, st.head)
	if err != nil {
		return kept, nil, err
	}
	defer release()
	// It must be new: the work that an older one of that name keeps would be lost.
	_, err = p.run(ctx, command{args: []string{"update-ref", "--no-deref", ref, id, strings.Repeat("0", len(id))}})
	kept.commit = id
	if err == nil {
		in.sayKeptRaw(ctx, st.head, kept.tree)
	}
	return kept, lost, err
}

// install brings the objects that a commit has and head lacks from the scratch store into the repository, in one pack. To
// make the pack git reads every object of it, so a missing object is an error here, before anything is said to be kept.
//
// Loose objects would not do. Until the reference is written they belong to nothing, and a git of another session may take
// them away at any instant (git prune --expire=now, git gc --prune=now), also after they were looked at. So, in this order:
//
//	pack-….keep   first: as long as it is there, no git takes away the pack
//	pack-….pack
//	pack-….idx    from here on git sees the objects
//	the reference by the caller
//	release       removes the .keep: the pack is like any other, and a reference needs it
//
// A crash on the way leaves a pack that nothing needs.
func (in scratch) install(ctx context.Context, id, head string) (release func(), err error) {
	present, err := in.p.present(ctx, head)
	if err != nil {
		return nil, err
	}
	hash, err := in.git(ctx, id+"\n"+present, "pack-objects", "--revs", "--quiet", "--window=0", filepath.Join(in.tmp, "pack"))
	if err != nil {
		return nil, err
	}
	if !commitID.MatchString(hash) {
		return nil, &Error{Op: "git pack-objects", Last: clean("unexpected answer: " + hash), Err: fs.ErrInvalid}
	}
	dir := filepath.Join(in.p.at.common, "objects", "pack")
	if err := os.Mkdir(dir, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, &Error{Op: "snapshot", Err: err}
	}
	if !isDir(dir) {
		return nil, refuse("snapshot", "%s is not a folder", dir)
	}
	name := filepath.Join(dir, "pack-"+hash)
	if err := writeWhole(name+".keep", "kugetsu"); err != nil {
		return nil, &Error{Op: "snapshot", Err: err}
	}
	release = func() { _ = os.Remove(name + ".keep") }
	for _, ext := range []string{".pack", ".idx"} {
		if err := movePack(filepath.Join(in.tmp, "pack-"+hash+ext), name+ext); err != nil {
			release()
			return nil, &Error{Op: "snapshot", Err: err}
		}
	}
	return release, nil
}

// movePack brings a file of a pack to its place, whole and on the disk.
func movePack(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.CreateTemp(filepath.Dir(to), packTemp+"*") // not tmp_…, which git prune removes
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	err = errors.Join(err, out.Chmod(0o444), out.Sync(), out.Close())
	if err == nil {
		err = os.Rename(out.Name(), to)
	}
	if err != nil {
		return errors.Join(err, os.Remove(out.Name()))
	}
	return spool.SyncDir(filepath.Dir(to))
}

// packTemp begins the name of a part of a pack that is being written.
const packTemp = ".kugetsu-"

// Head is the commit that is checked out in a session's worktree, for a caller whose Snapshot could not tell it.
func (g *Git) Head(ctx context.Context, s Spec) (string, error) {
	p, _, err := g.left(ctx, s)
	if err != nil {
		return "", err
	}
	defer p.done()
	out, err := p.run(ctx, command{args: []string{"rev-parse", "--verify", "--quiet", "HEAD^{commit}"}})
	return strings.TrimSpace(out), err
}

// Tree is the id of a tree of all that stands in a session's worktree, but what git ignores: where the tree of a later
// Snapshot is the same, nothing was changed between the two.
func (g *Git) Tree(ctx context.Context, s Spec) (string, error) {
	p, by, err := g.left(ctx, s)
	if err != nil {
		return "", err
	}
	defer p.done()
	st, missed, err := p.statusOf(ctx, by)
	if err != nil || missed != nil {
		return "", cmp.Or(err, missed)
	}
	if st.dirty == 0 && st.head == "" {
		return "", nil
	}
	if st.dirty == 0 {
		out, err := p.run(ctx, command{args: []string{"rev-parse", "--verify", "--quiet", st.head + "^{tree}"}})
		return strings.TrimSpace(out), err
	}
	in, err := p.scratch(ctx, st.by)
	if err != nil {
		return "", err
	}
	defer in.remove()
	tree, lost, err := in.all(ctx)
	return tree, cmp.Or(err, lost)
}
