package worktree

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"kugetsu/slots/git"
)

// Made is what Prepare found or made.
type Made struct {
	Branch string // what is checked out: Spec.Branch, or what an agent went to since; empty when HEAD is detached
	Base   string // the branch it is based on ("main"); empty when that is not known, a commit id when it has no name
	Head   string // the commit checked out; empty on a branch without any commit

	// Repository is the directory of the repository, and Record what that has on record for the worktree. They are empty
	// beside an error.
	Repository, Record string

	CreatedWorktree bool // by this call, for Undo
	CreatedBranch   bool // likewise

	Status *git.Status // what differs, where Begin looked
}

// Writable lists the folders that an agent's git writes to beside the worktree, for a sandbox: objects, references, their
// logs, and the record. Not among them is what git believes, or runs: config, hooks and info of the repository. So what an
// agent's git cannot do there is to change the configuration, to fetch with --prune, and to collect garbage.
func (m Made) Writable() (folders []string) {
	if m.Repository == "" {
		return nil
	}
	_ = os.Mkdir(filepath.Join(m.Repository, "logs"), 0o777) // git makes it when it is needed; in a sandbox it cannot
	for _, name := range []string{"objects", "refs", "logs", "reftable", "lfs"} {
		if dir := filepath.Join(m.Repository, name); git.IsDir(dir) {
			folders = append(folders, dir)
		}
	}
	return append(folders, m.Record)
}

// Prepare makes s.Path a worktree with s.Branch, or finds that it is one.
//
// A worktree that stands is taken as it is: one git process, no lock, no network. Otherwise the repository is locked, cloned or fetched,
// the rest of a crash is repaired, and the worktree is made. Its branch is
//
//   - the branch of that name in the repository, if there is one, since it holds work;
//   - else a new one from origin's branch of that name, which it tracks;
//   - else a new one from the base, which tracks nothing, so that a plain `git push` cannot push to the base.
//
// Made is also valid beside an error: hand it to Undo. Every error is an *Error.
func (g *Git) Prepare(ctx context.Context, s Spec) (Made, error) { return g.prepare(ctx, s, false) }

// Begin is Prepare for a run that needs Tree, too: in a worktree that stands, the one git process also says what differs.
func (g *Git) Begin(ctx context.Context, s Spec) (Made, error) { return g.prepare(ctx, s, true) }

func (g *Git) prepare(ctx context.Context, s Spec, look bool) (Made, error) {
	s, err := s.checked()
	if err != nil {
		return Made{}, err
	}
	if err := s.noteAlternates(); err != nil {
		return Made{}, err
	}
	v, err := g.inspectAnd(ctx, s, look)
	if err == nil && v.why != "" { // a link that leads nowhere, perhaps
		if repaired, linkErr := g.relink(ctx, s); repaired || linkErr != nil {
			if err = linkErr; err == nil {
				v, err = g.inspectAnd(ctx, s, look)
			}
		}
	}
	if err == nil && v.lost != "" {
		err = g.revive(ctx, s, &v)
	}
	if err == nil && v.stands && v.at.Elsewhere != nil {
		err = g.lead(ctx, s, v.at.Elsewhere)
	}
	if err != nil || v.stands {
		return v.made, err
	}
	r, stale, err := g.fresh(ctx, s, v.why)
	if err != nil {
		return Made{}, err
	}
	defer r.close()
	if stale != nil {
		refs, err := r.refs(ctx)
		if err != nil {
			return Made{}, err
		}
		if ctx.Err() != nil || s.Source.Local == "" && refs.branch.commit == "" {
			return Made{}, stale // a new branch from a stale base would be work against yesterday's code
		}
		// Work goes on with what is here: a branch that exists is not made from the base, and a local checkout is its
		// owner's to keep fresh.
		g.Say("the fetch failed, and the run goes on with what is here: %v", stale)
	}
	return r.add(ctx)
}

// lead removes, from the configuration of a clone that kugetsu made, the keys that lead an agent's git to another folder. In the user's
// own checkout such keys are the user's, and stay.
func (g *Git) lead(ctx context.Context, s Spec, elsewhere error) error {
	if s.Source.Local != "" {
		return elsewhere
	}
	r, _, err := g.open(ctx, s)
	r.close()
	return err
}

// add makes the worktree where there is none.
func (r *repo) add(ctx context.Context) (Made, error) {
	var made Made
	s := r.spec
	if err := os.MkdirAll(filepath.Dir(s.Path), 0o700); err != nil {
		return made, &git.Error{Op: "prepare", Err: err}
	}
	// The second try looks at everything anew: the first may have got as far as making the branch.
	err := r.retryOnce(ctx, func() error {
		if made.CreatedWorktree {
			if v, err := r.g.inspect(ctx, s); err != nil || v.stands { // the first try got to the end, whatever it said
				return err
			}
		}
		if err := r.clear(ctx, ""); err != nil {
			return err
		}
		refs, err := r.refs(ctx)
		if err != nil {
			return err
		}
		at, err := r.occupant(refs)
		if err != nil {
			return err
		}
		if at != "" {
			return git.Refuse("prepare", "branch %s is checked out at %s (if that folder is gone: git worktree prune)", s.Branch, at)
		}
		before := made
		begin, err := r.start(ctx, refs, &made)
		if err != nil {
			return err
		}
		if err := r.made.At.Elsewhere; err != nil && s.Source.Local != "" {
			return err
		}
		made.CreatedWorktree = true
		made.CreatedBranch = refs.branch.commit == "" || (before.CreatedBranch && before.Head == made.Head)
		return r.makeWorktree(ctx, made, begin)
	})
	if err != nil {
		return made, err
	}
	v, err := r.g.inspect(ctx, s)
	if err == nil && !v.stands {
		err = &git.Error{Op: "prepare", Last: git.Clean("git made a worktree that cannot be used: " + v.why)}
	}
	// Git does not wait for the disk. After a power cut the files, and the file that leads to the repository, would be there without
	// content, and an agent would take the empty files for work.
	for _, dir := range []string{s.Path, r.common} {
		if err != nil {
			break
		}
		if syncErr := syncAround(dir); syncErr != nil {
			err = &git.Error{Op: "prepare", Err: syncErr}
		}
	}
	made.Repository, made.Record = v.made.Repository, v.made.Record
	return made, err
}

// beginning says how the branch of a new worktree is made.
type beginning struct {
	make  bool // it is not there
	track bool // it follows origin's branch of its name
}

// start decides what the worktree starts from: made's branch, base and head.
func (r *repo) start(ctx context.Context, f refs, made *Made) (b beginning, err error) {
	s := r.spec
	name, base, err := r.base(ctx, f)
	if err != nil {
		return b, err
	}
	made.Branch, made.Base = s.Branch, name
	if name == s.Branch {
		return b, git.Refuse("prepare", "the branch %s is the base: a session works on a branch of its own", name)
	}
	if s.OnTop != "" && name != s.OnTop && f.branch.commit == "" && f.origin.commit == "" {
		_, there, err := s.top(ctx, r.made, base)
		if err == nil && !there {
			err = r.topless(ctx)
		}
		if err != nil {
			return b, err
		}
		r.g.Say("the branch %s is merged: this one begins at %s", s.OnTop, name)
	}
	switch {
	case f.branch.commit != "":
		made.Head = f.branch.commit
		return b, nil
	case f.origin.commit != "":
		made.Head = f.origin.commit
		return beginning{make: true, track: true}, nil
	case base != "":
		made.Head = base
		return beginning{make: true}, nil
	case s.Base != "":
		return b, git.Refuse("prepare", "the repository has no branch %s (KUGETSU_BASE_BRANCH)", s.Base)
	}
	if out, err := r.git(ctx, "for-each-ref", "--count=1", r.made.At.Tracking(), "refs/heads/"); err != nil {
		return b, err
	} else if out == "" {
		return b, git.Refuse("prepare", "the repository has no commit yet")
	}
	if at := r.made.At; at.Remotes.Name == "" && len(at.Remotes.Names) > 0 {
		return b, at.Remotes.Several(s.Source.Local)
	}
	var e *git.Error
	if errors.As(r.noHead, &e) && !e.Permanent {
		return b, r.noHead // the network went away between two requests
	}
	return b, git.Refuse("prepare", "the default branch of the remote %s is not known: set KUGETSU_BASE_BRANCH", cmp.Or(r.made.At.Remotes.Name, git.Origin))
}

// topless is the error of a new branch that would begin on top of a branch which does not exist.
func (r *repo) topless(ctx context.Context) error {
	s, how := r.spec, "is gone"
	gone, err := s.deleted(ctx, r.made)
	if err != nil {
		return err
	}
	if gone {
		how = "was deleted on the remote"
	}
	return git.Refuse("prepare", "the branch %s, on top of which this one begins, %s, and nothing says that it was merged: "+
		"delegate the task without --on-top, or push that branch again and retry this", s.OnTop, how)
}

// view describes the worktree at Spec.Path.
type view struct {
	stands bool
	made   Made
	at     git.Location
	why    string // it does not: git's own words, if it has any
	lost   string // it does, but its branch was deleted: the commit that was checked out last
}

// inspect is the hot path: a few files say whether a worktree of this repository stands at the path, and one git process what
// is checked out there. It is an error if one of another repository does, since it would be in the way for ever.
func (g *Git) inspect(ctx context.Context, s Spec) (view, error) { return g.inspectAnd(ctx, s, false) }

func (g *Git) inspectAnd(ctx context.Context, s Spec, look bool) (view, error) {
	v, err := g.standing(s)
	if err != nil || !v.stands {
		return v, err
	}
	p, err := g.Open(ctx, v.at)
	if err != nil {
		return view{}, err
	}
	defer p.Done()
	return checkedOut(ctx, p, s, v, look)
}

// checkedOut completes the view of a worktree that stands. To look is to ask for all that differs as well. Where that needs more than one
// question, git is asked for the commit alone.
func checkedOut(ctx context.Context, p *git.Private, s Spec, v view, look bool) (view, error) {
	common := v.at.Common
	v.at.Elsewhere = p.At.Elsewhere
	v.made = Made{Repository: common, Record: v.at.GitDir}
	if look {
		if st, ok := p.Look(ctx); ok {
			v.made.Head, v.made.Branch, v.made.Status = st.Head, st.Branch, &st
		}
	}
	var out string
	var err error
	if v.made.Status == nil {
		out, err = p.Run(ctx, git.Command{Args: []string{"rev-parse", "HEAD^{commit}", "--symbolic-full-name", "HEAD"}})
		if err != nil && git.ExitCode(err) == -1 { // that is no verdict of git's
			return view{}, err
		}
	}
	if v.made.Base, err = baseInFiles(p.At); err != nil {
		return view{}, err
	}
	if s.OnTop != "" {
		base, err := s.known(ctx, p, v.made.Base)
		if err != nil {
			return view{}, err
		}
		switch top, _, err := s.top(ctx, p, base); {
		case err != nil:
			return view{}, err
		case top != "":
			v.made.Base = s.OnTop
		}
	}
	if v.made.Status != nil {
		return v, nil
	}
	line := strings.Split(out, "\n")
	if len(line) > 1 && git.IsCommit(line[0]) {
		v.made.Head = line[0]
		v.made.Branch, _ = strings.CutPrefix(line[1], "refs/heads/")
		if v.made.Branch == "HEAD" {
			v.made.Branch = ""
		}
		return v, nil
	}
	// HEAD names no commit. That is fine on a branch that has no commit yet: an agent may have begun an orphan branch. But if the
	// reference exists and cannot be read (a power cut leaves empty files), the worktree is refused: it is not ours to repair, and an
	// agent would take it for an empty repository.
	if v.made.Branch, err = git.BranchIn(filepath.Join(v.at.GitDir, "HEAD"), "refs/heads/"); err != nil {
		return view{}, err
	}
	_, unborn := p.Run(ctx, git.Command{Args: []string{"rev-parse", "--quiet", "--verify", "HEAD"}})
	if unborn != nil && git.ExitCode(unborn) != 1 {
		return view{}, unborn
	}
	if _, err := os.Lstat(filepath.Join(common, "refs", "heads", v.made.Branch)); unborn == nil || !errors.Is(err, fs.ErrNotExist) {
		return view{}, git.Refuse("prepare", "%s: HEAD names a commit that does not exist; see git reflog and git fsck", s.Path)
	}
	if v.made.Branch == s.Branch { // which was made at a commit: so it was deleted
		if v.lost, err = lastHead(ctx, p); err == nil && v.lost == "" {
			err = git.Refuse("prepare", "%s: branch %s was deleted, and its last commit is not known: make it with git branch %s <commit>", s.Path, s.Branch, s.Branch)
		}
	}
	return v, err
}
