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
	"kugetsu/slots/git"
	"kugetsu/slots/worktree"
)

// Workspace is an issue's workspace, for the commands that show it, end it or restore work in it. A caller that changes something
// has locked the session.
type Workspace struct {
	Name    string
	Session *Session // nil: the session has no file
	Spec    worktree.Spec
	Git     *worktree.Git
	Holding worktree.Holding // see Examine
	home    Dir
	refs    string // see issueref.Ref.Kept
}

// Workspace finds the workspace of an issue. The environment is that of a runner. Git gets env/default.env as well, which may hold the
// credentials for the remote. Lock is the session's, or nil where nothing is changed.
func (d Dir) Workspace(ref issueref.Ref, ws WorkspaceSettings, env []string, lock *Lock) (*Workspace, error) {
	name := ref.Session()
	vars, err := readEnv(d.EnvFile("default.env"))
	if err != nil {
		return nil, err
	}
	p := &Workspace{Name: name, home: d, refs: ref.Kept(),
		Git: &worktree.Git{Runner: git.Runner{Env: with(env, vars...), Own: d.git()}}}
	if lock != nil { // a git that outlives this process keeps the session locked
		p.Git.Files = []*os.File{lock.File()}
	}
	if p.Session, err = d.ReadSession(name); err != nil {
		return nil, err
	}
	path := d.Worktree(name)
	if p.Session != nil && p.Session.Branch != "" {
		ws.Branch, ws.OnTop = p.Session.Branch, p.Session.OnTop
	}
	p.Spec = d.spec(path, ws)
	return p, nil
}

// spec is a worktree in the terms of package worktree.
func (d Dir) spec(path string, ws WorkspaceSettings) worktree.Spec {
	return worktree.Spec{Path: path, Branch: ws.Branch, OnTop: ws.OnTop, Merged: ws.Merged, Base: ws.Base, Source: worktree.Source{
		URL: ws.URL, Local: ws.Local,
		Cache: filepath.Join(d.repos(), ws.Repo+".git"), Lock: filepath.Join(d.repos(), ws.Repo+".lock"),
	}}
}

// Bases are the branches on which no session of a workspace's repository may work, as far as they are known here.
func (d Dir) Bases(ws WorkspaceSettings) []string { return d.spec("", ws).Bases() }

// outside says whether a session's worktree is in another state folder: this one was copied or moved after the session was
// written. That worktree may belong to a session of the other folder, which is not locked here.
func (d Dir) outside(name string, s *Session) bool {
	return filepath.Clean(s.Worktree) != d.Worktree(name) && !spool.SameFolder(filepath.Dir(s.Worktree), d.worktrees())
}

// Examine looks at what the workspace holds.
func (p *Workspace) Examine(ctx context.Context) (err error) {
	if s := p.Session; s != nil && p.home.outside(p.Name, s) {
		p.Holding.There = true
		p.Holding.Bad = fmt.Errorf("its worktree is outside this state folder, at %s", s.Worktree)
		return nil
	}
	p.Holding, err = p.Git.Examine(ctx, p.Spec)
	return err
}

// Work names the work that would be lost with the workspace.
func (p *Workspace) Work() []string {
	work := p.Holding.Work()
	if s := p.Session; s != nil && s.Unkept != "" && p.Holding.Stands {
		work = append(work, "the run "+s.Unkept+", whose work was not kept yet")
	}
	if s := p.Session; s != nil && s.Scratch != "" && s.Unkept != "" {
		work = append(work, "the run "+s.Unkept+", whose uncommitted work was not brought back from the disk of its node")
	}
	if s := p.Session; s != nil && s.Left != "" && !p.Holding.Stands {
		work = append(work, "work that its next run is to go on with, at "+s.Left)
	}
	return work
}

// End removes the workspace: worktree, branch, session. Work that is only there is kept at refs first, whose names are returned.
// Where some of it cannot be kept, that is an error and nothing is removed. The caller has locked the session and examined it,
// and has made sure that it holds no work where it must hold none.
//
// The order is refs, worktree, branch, and the session's file last: as long as that file is there, list shows the session, and
// the same command ends the rest. Every step does nothing where it was done before. So after a crash between two steps the same
// command, or prune, is the repair.
func (p *Workspace) End(ctx context.Context, now time.Time) (kept []string, err error) {
	h := p.Holding
	if bad := h.Unkeepable(); len(bad) > 0 {
		return nil, fmt.Errorf("some of its work cannot be kept: %s", strings.Join(bad, "; "))
	}
	unkept := p.Session != nil && p.Session.Unkept != ""
	if err := p.takeBack(ctx, now); err != nil { // before the branch, which a record of such a worktree has checked out
		return nil, err
	}
	if h.Stands && (h.Dirty > 0 || len(h.Inside) > 0) {
		ref := p.refs + "/" + now.UTC().Format("20060102T150405.000000000Z")
		snap, err := p.Git.Snapshot(ctx, p.Spec, ref, keptMessage("uncommitted when its worktree was removed", p.issue()))
		if err != nil { // also beside a ref: the error says which work is not in the ref
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
	// Pushed commits too, where no run kept them: the branch on the remote may be deleted.
	if h.Unpushed > 0 || p.Session == nil || unkept {
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
	// In a local checkout a branch that is older than the session is the user's. In a clone all branches are kugetsu's.
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
	// After the session: a tick that asks a forge meanwhile writes its answer first, and looks for the session after that.
	return kept, p.home.DropReview(p.Name)
}

// DropReview removes the files about the pull request of a session that is gone.
func (d Dir) DropReview(session string) error {
	files, err := spool.List(d.Reviews())
	if err != nil {
		return err
	}
	for _, file := range files {
		if file == session+".json" || strings.HasPrefix(file, session+"~") { // no session's name has a ~
			if err := spool.Unlink(filepath.Join(d.Reviews(), file)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *Workspace) issue() string {
	if p.Session != nil {
		return p.Session.IssueRef
	}
	ref, _ := issueref.FromSession(p.Name) // the name was made of one
	return ref.String()
}

// keptMessage is the message of a snapshot. It names the issue, so that the snapshot can be found when the items are gone.
func keptMessage(what, issue string) string {
	return "kugetsu: " + what + "\n\n" + issueTrailer + issue
}

const issueTrailer = "Issue: "

// Workspaces lists the sessions of issues that left anything: a file, a worktree, or a record of a worktree in a clone.
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
			continue // its git is at work, or was killed: Prepare repairs that
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
	return slices.DeleteFunc(names, func(name string) bool { return !runName().MatchString(name) }), err
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
func (p *Workspace) Kept(ctx context.Context) ([]Kept, error) {
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

// Restore brings back the work at a ref. The worktree and the session are made where they are missing. The next run adds to a new
// worktree the files of .worktreeinclude and of the hook. The session says so before the worktree is made, since after that the
// worktree looks ready. Changed is false where all of it was there.
func (p *Workspace) Restore(ctx context.Context, k Kept, agent string, now time.Time) (changed bool, err error) {
	if err := p.takeBack(ctx, now); err != nil {
		return false, err
	}
	if _, err := os.Lstat(filepath.Join(p.Spec.Path, ".git")); err != nil && p.Session != nil {
		p.Session.Unready = true
		if err := p.home.WriteSession(p.Name, p.Session); err != nil {
			return false, err
		}
	}
	made, err := p.Git.Prepare(ctx, p.Spec)
	if err != nil {
		return false, err
	}
	if p.Session == nil {
		p.Session = &Session{Type: "forked", IssueRef: p.issue(), Agent: agent, Worktree: p.Spec.Path, Branch: p.Spec.Branch, CreatedAt: now}
	}
	if made.CreatedBranch {
		p.Session.Start = made.Head
	}
	p.Session.Unready = p.Session.Unready || made.CreatedWorktree
	p.Session.LastUsedAt = now
	if p.Session.Scratch != "" { // from here on its runs work in the state folder, where agents find no conversation of that path
		p.Session.Scratch, p.Session.Left, p.Session.LeftCommit, p.Session.Conversation = "", "", "", ""
	}
	if err := p.home.WriteSession(p.Name, p.Session); err != nil {
		return false, err
	}
	changed, err = p.Git.Restore(ctx, p.Spec, k.Ref, IsSnapshot(k))
	return changed || made.CreatedWorktree, err
}

// IsSnapshot says whether a ref keeps uncommitted work, and not only commits. A stash has the form of a snapshot.
func IsSnapshot(k Kept) bool {
	return strings.HasPrefix(k.Message, "kugetsu: ") || strings.Contains(k.Ref, stashed+"/")
}
