package slots

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kugetsu/queue/issueref"
	"kugetsu/queue/spool"
	"kugetsu/slots/worktree"
)

// Place is an issue's workspace for those who look at it, end it or bring something back into it. Whoever changes
// something holds the session's lock.
type Place struct {
	Name    string
	Session *Session // nil: there is no file of one
	Spec    worktree.Spec
	Git     *worktree.Git
	Holding worktree.Holding // see Examine
	home    Dir
	refs    string // refs/kugetsu/issue-<n>, where what does not belong to one run is kept
}

// Place finds the workspace of an issue. The environment is what a runner gets; git gets env/default.env, too, for it may
// be what admits it to the remote. Lock is the session's, or nil for who only looks.
func (d Dir) Place(ref issueref.Ref, ws Workspace, env []string, lock *Lock) (*Place, error) {
	name := ref.Session()
	vars, err := readEnv(d.EnvFile("default.env"))
	if err != nil {
		return nil, err
	}
	p := &Place{Name: name, home: d, refs: issueRefs(ref),
		Git: &worktree.Git{Env: with(env, vars...), Own: d.git()}}
	if lock != nil { // a git that outlives us still works there
		p.Git.Files = []*os.File{lock.File()}
	}
	if p.Session, err = d.ReadSession(name); err != nil {
		return nil, err
	}
	path := d.Worktree(name)
	if p.Session != nil && p.Session.Branch != "" {
		ws.Branch = p.Session.Branch
	}
	p.Spec = d.spec(path, ws)
	return p, nil
}

// issueRefs is where what does not belong to one run is kept of an issue.
func issueRefs(ref issueref.Ref) string { return fmt.Sprintf("refs/kugetsu/issue-%d", ref.Number) }

// spec is a worktree in the terms of package worktree.
func (d Dir) spec(path string, ws Workspace) worktree.Spec {
	return worktree.Spec{Path: path, Branch: ws.Branch, Base: ws.Base, Source: worktree.Source{
		URL: ws.URL, Local: ws.Local,
		Cache: filepath.Join(d.repos(), ws.Repo+".git"), Lock: filepath.Join(d.repos(), ws.Repo+".lock"),
	}}
}

// outside says whether a session's worktree is in another state folder: this one was copied or moved since the session was
// written. That worktree may be another's, whose lock we do not hold.
func (d Dir) outside(name string, s *Session) bool {
	return filepath.Clean(s.Worktree) != d.Worktree(name) && !spool.SameFolder(filepath.Dir(s.Worktree), d.worktrees())
}

// Examine looks at what the workspace holds.
func (p *Place) Examine(ctx context.Context) (err error) {
	if s := p.Session; s != nil && p.home.outside(p.Name, s) {
		p.Holding.There = true
		p.Holding.Bad = fmt.Errorf("its worktree is outside this state folder, at %s", s.Worktree)
		return nil
	}
	p.Holding, err = p.Git.Examine(ctx, p.Spec)
	return err
}

// Work names what would be lost with the workspace.
func (p *Place) Work() []string {
	work := p.Holding.Work()
	if s := p.Session; s != nil && s.Unkept != "" && p.Holding.Stands {
		work = append(work, "the run "+s.Unkept+", of which nothing was kept yet")
	}
	return work
}

// End removes the workspace: worktree, branch, session. What it holds that nobody else has is kept at refs first, whose
// names are returned; where something cannot be kept it is an error and nothing is removed. The caller holds the session's
// lock and has examined it; where there must be no work it has looked.
//
// The order is that of what can be made again: refs, worktree, branch, and the session's file last. As long as that is
// there, list shows the session, and whoever is told to end it again finds what is left. Every step does nothing where it
// was done before, so a crash between two of them needs no other repair than the same command, or prune.
func (p *Place) End(ctx context.Context, now time.Time) (kept []string, err error) {
	h := p.Holding
	if bad := h.Unkeepable(); len(bad) > 0 {
		return nil, fmt.Errorf("it holds what cannot be kept: %s", strings.Join(bad, "; "))
	}
	if h.Stands && (h.Dirty > 0 || len(h.Inside) > 0) {
		ref := p.refs + "/" + now.UTC().Format("20060102T150405.000000000Z")
		snap, err := p.Git.Snapshot(ctx, p.Spec, ref, keptMessage("uncommitted when its worktree was removed", p.issue()))
		if err != nil { // also beside a ref: it says what is not in it
			return nil, err
		}
		for _, s := range append([]worktree.Snapshot{snap}, snap.Inside...) {
			if s.Ref == "" {
				continue
			}
			kept = append(kept, s.Ref)
			if err := p.home.noteKept(p.Name, s.Ref, s.Commit); err != nil {
				return kept, err
			}
		}
	}
	// Also what was pushed, where no run came to keep it: the branch may be deleted there.
	if h.Unpushed > 0 || p.Session == nil || p.Session.Unkept != "" {
		for _, commit := range slices.Compact([]string{h.Head, h.Tip}) {
			if commit == "" {
				continue
			}
			ref, err := p.Git.Keep(ctx, p.Spec, p.refs, commit)
			if err != nil {
				return kept, err
			}
			kept = append(kept, ref)
			if err := p.home.noteKept(p.Name, ref, commit); err != nil {
				return kept, err
			}
		}
	}
	// In a checkout of the user's a branch that was there before the session is the user's own. In our clone all are ours.
	drop := h.Tip
	if p.Spec.Source.Local != "" && (p.Session == nil || p.Session.Start == "") {
		drop = ""
	}
	if err := p.Git.Remove(ctx, p.Spec, drop); err != nil {
		return kept, err
	}
	if p.Session == nil {
		return kept, nil
	}
	if err := spool.Remove(p.home.session(p.Name).Path); err != nil {
		return kept, err
	}
	// Behind the session: who asks a forge meanwhile writes first and then looks whether the session is there.
	return kept, spool.Unlink(filepath.Join(p.home.Reviews(), p.Name+".json"))
}

func (p *Place) issue() string {
	if p.Session != nil {
		return p.Session.IssueRef
	}
	ref, _ := issueref.FromSession(p.Name) // the name was made of one
	return ref.String()
}

// keptMessage is the message of a snapshot. The issue stands in it, so that what is kept can be found again when the items
// are long forgotten.
func keptMessage(what, issue string) string {
	return "kugetsu: " + what + "\n\n" + issueTrailer + issue
}

const issueTrailer = "Issue: "

// Workspaces lists the sessions of issues that there is anything of: a file, a worktree, a record of one in our clones.
func (d Dir) Workspaces() ([]string, error) {
	names, err := d.Sessions()
	if err != nil {
		return nil, err
	}
	folders, err := spool.List(d.worktrees())
	if err != nil {
		return nil, err
	}
	for _, f := range folders { // also one that was being deleted
		names = append(names, strings.TrimPrefix(f, ".gone-"))
	}
	records, err := filepath.Glob(filepath.Join(d.repos(), "*.git", "worktrees", "*", "gitdir"))
	if err != nil {
		return nil, err
	}
	for _, file := range records {
		link, err := spool.Read(file)
		if err != nil {
			continue // of a git that is at work, or was killed: the next that prepares a worktree there mends it
		}
		names = append(names, filepath.Base(filepath.Dir(strings.TrimSpace(string(link)))))
	}
	slices.Sort(names)
	names = slices.Compact(names)
	return slices.DeleteFunc(names, func(name string) bool {
		_, err := issueref.FromSession(name)
		return !isSession(name) || err != nil
	}), nil
}

// AllRuns lists the folders of runs.
func (d Dir) AllRuns() ([]string, error) {
	names, err := spool.List(d.runs())
	return slices.DeleteFunc(names, func(name string) bool { return !runName.MatchString(name) }), err
}

// Kept is a ref at which work on an issue is kept.
type Kept struct {
	worktree.Kept
	// Recorded says that kugetsu made the ref, and that it still names the same commit. A ref of an older kugetsu is not on
	// record.
	Recorded bool `json:"recorded"`
	// Changed says that kugetsu made the ref, and that it names another commit by now.
	Changed bool `json:"changed,omitempty"`
}

// Kept lists the refs at which work on the issue is kept, the newest first.
func (p *Place) Kept(ctx context.Context) ([]Kept, error) {
	all, err := p.Git.AllKept(ctx, p.Spec)
	if err != nil {
		return nil, err
	}
	rec, err := p.home.readKept(p.Name)
	if err != nil {
		return nil, err
	}
	issue := strings.ToLower(p.issue())
	var list []Kept
	for _, k := range all {
		_, of, _ := strings.Cut(k.Message, "\n"+issueTrailer)
		n := slices.IndexFunc(rec.Kept, func(r keptRef) bool { return r.Ref == k.Ref })
		if n < 0 && !strings.HasPrefix(k.Ref, p.refs+"/") && strings.ToLower(strings.TrimSpace(of)) != issue {
			continue
		}
		same := n >= 0 && rec.Kept[n].Commit == k.Commit
		list = append(list, Kept{Kept: k, Recorded: same, Changed: n >= 0 && !same})
	}
	return list, nil
}

// Restore brings back what is kept at a ref; the worktree and the session are made where they are missing. What a new
// worktree gets besides, from .worktreeinclude and the hook, it gets with the next run: the session says so, before there is
// a worktree that looks ready.
func (p *Place) Restore(ctx context.Context, k Kept, agent string, now time.Time) error {
	if _, err := os.Lstat(filepath.Join(p.Spec.Path, ".git")); err != nil && p.Session != nil {
		p.Session.Unready = true
		if err := p.home.WriteSession(p.Name, p.Session); err != nil {
			return err
		}
	}
	made, err := p.Git.Prepare(ctx, p.Spec)
	if err != nil {
		return err
	}
	if p.Session == nil {
		p.Session = &Session{Type: "forked", IssueRef: p.issue(), Agent: agent, Worktree: p.Spec.Path, Branch: p.Spec.Branch, CreatedAt: now}
	}
	if made.CreatedBranch {
		p.Session.Start = made.Head
	}
	p.Session.Unready = p.Session.Unready || made.CreatedWorktree
	p.Session.LastUsedAt = now
	if err := p.home.WriteSession(p.Name, p.Session); err != nil {
		return err
	}
	return p.Git.Restore(ctx, p.Spec, k.Ref, IsSnapshot(k))
}

// IsSnapshot says that a ref keeps uncommitted work, and not commits alone. A stash has the form of one of our snapshots.
func IsSnapshot(k Kept) bool {
	return strings.HasPrefix(k.Message, "kugetsu: ") || strings.Contains(k.Ref, stashed+"/")
}
