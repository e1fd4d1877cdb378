package worktree

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"kugetsu/queue/terminal"
	"kugetsu/slots/git"
)

// examineInside adds to a holding what the worktrees inside hold.
func examineInside(ctx context.Context, p *git.Private, h *Holding) error {
	for _, in := range p.Inside {
		q, err := p.Runner.Open(ctx, in.At)
		if err != nil {
			return err
		}
		st, missed, err := q.Status(ctx)
		q.Done()
		if ctx.Err() != nil || git.OfHost(err) {
			return err
		}
		if err = cmp.Or(err, missed); err != nil {
			h.Bad = cmp.Or(h.Bad, error(git.Refuse("examine", "the worktree %q inside: %v", in.Name, err)))
		}
		h.Dirty += st.Dirty
		if st.Head != "" && !slices.Contains(h.Inside, st.Head) {
			h.Inside = append(h.Inside, st.Head)
		}
	}
	return nil
}

// Holding describes a session's workspace: its commits and files, and how much of that is nowhere else.
type Holding struct {
	There      bool   // something of it is there: a folder, git's record of one, or the branch
	Stands     bool   // a worktree stands at the path
	Branch     string // what is checked out there; empty when HEAD is detached, or nothing stands
	Head       string // the commit checked out
	Tip        string // the commit of the session's own branch; empty when there is none
	Base       string // what the branch is to be merged into; empty when that is not known
	Dirty      int    // files that are uncommitted, or untracked and not ignored
	Ahead      int    // commits that the base has not
	Behind     int    // commits of the base that it has not
	Unpushed   int    // commits on no remote-tracking branch (nor, in a local checkout, on the base)
	Locked     string // the reason, where a user locked the worktree (git worktree lock)
	Submodules bool   // there are repositories inside, whose commits kugetsu cannot keep
	Bad        error  // why the files at the path cannot be judged

	Inside []string // the commits that are checked out in worktrees of the repository inside of it
}

// Examine inspects a workspace and changes nothing: no lock, no clone, no network. "Pushed" is as of the last fetch, so a
// commit of which git does not know it counts as unpushed.
func (g *Git) Examine(ctx context.Context, s Spec) (Holding, error) {
	var h Holding
	r, s, err := g.repository(s)
	if err != nil {
		return h, err
	}
	defer r.close()
	free, err := empty(s.Path)
	if err != nil {
		return h, err
	}
	h.There = !free
	if r == nil {
		if !free {
			h.Bad = git.Refuse("examine", "%s holds files, and the repository they may come from is gone", s.Path)
		}
		return h, nil
	}
	v, err := g.inspect(ctx, s)
	var e *git.Error
	if errors.As(err, &e) && e.Permanent {
		h.Bad = err
		return h, nil
	}
	if err != nil {
		return h, err
	}
	refs, err := r.refs(ctx)
	if err != nil {
		return h, err
	}
	h.Tip, h.Stands = refs.branch.commit, v.stands
	admins, err := r.admins()
	if err != nil {
		return h, &git.Error{Op: "examine", Err: err}
	}
	h.There = h.There || h.Tip != "" || len(admins) > 0
	if v.stands {
		if err := g.examineFiles(ctx, v, &h); err != nil {
			return h, err
		}
	} else if _, err := r.clearable(ctx, admins, v.why); err != nil {
		if !errors.As(err, &e) || !e.Permanent {
			return h, err
		}
		h.Bad = err
		if admin, err := r.movedAdmin(); err == nil && admin != "" {
			h.Bad = git.Refuse("examine", "%s leads to where its repository was: kugetsu continue finds it", s.Path)
		}
	}
	for _, admin := range admins {
		if err := examineRecord(admin, &h); err != nil {
			return h, err
		}
	}
	err = r.count(ctx, refs, &h)
	return h, err
}

// examineFiles adds to a holding what is checked out in the worktree that stands, and the files of it that are uncommitted.
func (g *Git) examineFiles(ctx context.Context, v view, h *Holding) error {
	h.Branch, h.Head = v.made.Branch, cmp.Or(v.made.Head, v.lost)
	p, err := g.Open(ctx, v.at)
	if err != nil {
		return err
	}
	defer p.Done()
	st, missed, err := p.Status(ctx)
	if err != nil {
		return err
	}
	h.Dirty, h.Bad = st.Dirty, missed
	if err := examineInside(ctx, p, h); err != nil {
		return err
	}
	if st.By.Fresh { // files may have been staged, which is not known: that must not count as clean
		h.Dirty = max(h.Dirty, 1)
	}
	return nil
}

// examineRecord adds to a holding what git's record of the worktree says.
func examineRecord(admin string, h *Holding) error {
	reason, err := git.ReadSmall(filepath.Join(admin, "locked"), 64<<10)
	if err == nil && git.OneLine(reason) != "initializing" {
		h.Locked = git.Clean("locked: " + git.OneLine(reason))
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &git.Error{Op: "examine", Err: err}
	}
	if _, err := os.Lstat(filepath.Join(admin, "modules")); err == nil {
		h.Submodules = true
	}
	if !h.Stands && h.Head == "" { // the folder is gone: a detached HEAD hangs by the record alone
		if head, err := git.ReadSmall(filepath.Join(admin, "HEAD"), 1<<10); err == nil && git.IsCommit(git.OneLine(head)) {
			h.Head = git.OneLine(head)
		}
	}
	return nil
}

// Work lists what would be lost with the workspace, and the reasons not to remove it; nil where there is neither.
func (h Holding) Work() []string {
	var work []string
	if h.Dirty > 0 {
		work = append(work, terminal.Count(h.Dirty, "uncommitted or untracked file"))
	}
	if h.Unpushed > 0 {
		work = append(work, terminal.Count(h.Unpushed, "unpushed commit"))
	}
	return append(work, h.Unkeepable()...)
}

// Unkeepable lists the parts of the workspace that no ref of kugetsu's could keep.
func (h Holding) Unkeepable() []string {
	var work []string
	if h.Submodules {
		work = append(work, "submodules, whose own commits are not inspected")
	}
	if h.Locked != "" {
		work = append(work, h.Locked)
	}
	if h.Bad != nil {
		work = append(work, h.Bad.Error())
	}
	return work
}

// count counts the commits that the base and the remotes lack.
func (r *repo) count(ctx context.Context, f refs, h *Holding) error {
	name, base, err := r.target(ctx, f)
	if err != nil {
		return err
	}
	h.Base = name
	var tips []string
	ahead := base == ""
	for _, tip := range append([]string{h.Head, h.Tip}, h.Inside...) {
		if tip != "" {
			tips = append(tips, tip)
			ahead = ahead || tip != base
		}
	}
	if len(tips) == 0 || !ahead { // the base is a remote-tracking branch, or the checkout's own
		return nil
	}
	args := append(append([]string{"rev-list", "--count"}, tips...), "--not", "--remotes", "--glob="+pushedRefs+"*")
	if r.spec.Source.Local != "" && base != "" {
		args = append(args, base)
	}
	out, err := r.git(ctx, args...)
	if err != nil {
		return err
	}
	if h.Unpushed, err = strconv.Atoi(strings.TrimSpace(out)); err != nil || base == "" {
		return err
	}
	h.Ahead, h.Behind, err = r.apart(ctx, tips[0], base)
	return err
}

// target is what the branch is to be merged into, and its commit; each is empty where it is not known.
func (r *repo) target(ctx context.Context, f refs) (name, commit string, err error) {
	name, commit, err = r.base(ctx, f)
	if name == r.spec.Branch { // the owner of the checkout has it out: nothing says that it went anywhere
		commit = ""
	}
	if commit == "" || name == commit {
		name = ""
	}
	return name, commit, err
}

// apart counts the commits that the base lacks, and those of the base that the tip lacks.
func (r *repo) apart(ctx context.Context, tip, base string) (ahead, behind int, err error) {
	if tip == base {
		return 0, 0, nil
	}
	out, err := r.git(ctx, "rev-list", "--left-right", "--count", tip+"..."+base)
	if err == nil {
		_, err = fmt.Sscan(out, &ahead, &behind)
	}
	return ahead, behind, err
}

// Ahead counts the commits of a session's branch that its base lacks, as Examine does, where such a commit is checked out; nil where the
// base is not known.
func (g *Git) Ahead(ctx context.Context, s Spec, head string) (*int, error) {
	if !git.IsCommit(head) {
		return nil, git.Refuse("git rev-list", "not a commit: %q", head)
	}
	r, _, err := g.repository(s)
	if err != nil || r == nil {
		return nil, err
	}
	defer r.close()
	f, err := r.refs(ctx)
	if err != nil {
		return nil, err
	}
	name, base, err := r.target(ctx, f)
	if err != nil || name == "" {
		return nil, err
	}
	ahead, _, err := r.apart(ctx, head, base)
	if err != nil {
		return nil, err
	}
	return &ahead, nil
}
