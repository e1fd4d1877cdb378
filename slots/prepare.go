package slots

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"kugetsu/queue/outcome"
	"kugetsu/queue/spool"
	"kugetsu/slots/agent"
	"kugetsu/slots/forge"
	"kugetsu/slots/git"
	"kugetsu/slots/proc"
	"kugetsu/slots/worktree"
)

// ready is a workspace that is ready for the agent.
type ready struct {
	session  *Session
	dir      string // where the run works: the session's worktree, or one on the own disk of the node
	scratch  bool   // it is on that disk
	whole    bool   // all that is in it is kept in the repository
	existed  bool   // the session stood before this run
	other    string // the agent of the session before this run, where that worked on it and this run has another one; else ""
	left     string // the branch that this one was on top of before this run
	red      bool   // the session's last run was not verified
	made     worktree.Made
	stashes  []string // the stash before the run
	before   string   // the tree of all that stood there; "" where it is not known, or is that of made.Head
	atHead   bool     // it is that of made.Head
	agentEnv []string
	undo     func() // removes what this run made, after a failed start
}

// prepare makes the worktree, or finds it.
func (r *Runner) prepare(ctx context.Context) (*ready, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, prepareLimit, fmt.Errorf("not ready after %s", prepareLimit))
	defer cancel()
	var err error
	if r.tmp, err = r.home.makeTmp(r.name); err != nil {
		return nil, err
	}
	if err := r.environment(); err != nil {
		return nil, err
	}
	w := &ready{undo: func() {}}
	if w.session, err = r.home.ReadSession(r.task.Session); err != nil {
		return nil, err
	}
	w.existed = w.session != nil
	switch ws := &r.task.Workspace; {
	case !w.existed:
		w.session = r.newSession()
	case w.session.Branch != "": // the item may ask for another one, and was enqueued before the session began
		ws.Branch, ws.OnTop, ws.Merged = w.session.Branch, w.session.OnTop, false
	}
	if r.home.outside(r.task.Session, w.session) {
		w.session.Worktree, w.session.Conversation = r.home.Worktree(r.task.Session), "" // agents find it by the folder
	}
	if err := r.place(w); err != nil {
		return nil, err
	}
	if w.agentEnv, err = r.agentEnvironment(w.dir); err != nil {
		return nil, err
	}
	if !w.existed {
		r.task.Workspace.Merged = r.topMerged(ctx, w.agentEnv)
	}
	if r.task.Workspace.Repo == "" {
		if err := os.MkdirAll(w.dir, 0o700); err != nil {
			return nil, err
		}
	} else if err := r.prepareWorktree(ctx, w); err != nil {
		return nil, err
	}
	// Before the agent starts: a runner that is killed leaves the name of its run here. The next run in the workspace, of any
	// item, first keeps the work of that run.
	w.red = w.session.Judged == string(outcome.Unverified)
	w.session.Unkept, w.session.Unready, w.session.Judged, w.session.LastUsedAt = r.name, false, "", time.Now().UTC()
	w.session.LastItem = r.task.Item
	if err := r.writeSession(w.session); err != nil {
		w.undo()
		return nil, err
	}
	return w, nil
}

// topMerged says whether the branch at which a new branch is to begin was merged. It asks the forge: the tick's answer may be a quarter of
// an hour old or missing, and git does not find a squashed branch in the base.
func (r *Runner) topMerged(ctx context.Context, env []string) bool {
	ws := r.task.Workspace
	if ws.Merged || ws.OnTop == "" || ws.TopURL == "" {
		return ws.Merged
	}
	state, err := forge.State(ctx, ws.TopURL, env)
	if err != nil {
		r.log.say("whether %s was merged is not known by its pull request: %v", ws.OnTop, err)
	}
	return state == forge.Merged
}

// spec is the workspace of a run in the terms of package worktree.
func (r *Runner) spec(w *ready) worktree.Spec {
	s := r.home.spec(w.dir, r.task.Workspace)
	if w.scratch {
		s.Scratch = r.name
	}
	return s
}

func (r *Runner) newSession() *Session {
	s := &Session{Type: "forked", IssueRef: r.task.IssueRef, Agent: r.task.Agent.Preset, CreatedAt: time.Now().UTC(),
		Worktree: r.home.Worktree(r.task.Session), Branch: r.task.Workspace.Branch, OnTop: r.task.Workspace.OnTop,
		Began: r.task.Workspace.OnTop}
	if r.task.Session == PMSession {
		s.Type = "pm_agent"
	}
	return s
}

func (r *Runner) prepareWorktree(ctx context.Context, w *ready) error {
	ws := r.task.Workspace
	spec := r.spec(w)
	if err := r.takeBack(ctx, w); err != nil {
		return err
	}
	if _, err := os.Lstat(filepath.Join(spec.Path, ".git")); w.scratch || err != nil && w.existed {
		// Before the worktree is made again: a runner that is killed before the hook is through leaves one that looks ready.
		w.session.Unready = true
		if err := r.writeSession(w.session); err != nil {
			return err
		}
	}
	// At the same time as Prepare: one after the other they would keep the slot waiting. Where a worktree stands, both only read.
	named := r.named(ctx, w.agentEnv, spec, false)
	defer named()
	var err error
	w.made, err = r.git.Begin(ctx, spec)
	if r.task.ProbeHost && r.git.Answered {
		if err := r.home.setFetched(r.name); err != nil {
			r.log.say("%v", err) // the run's end will tell it
		}
	}
	w.undo = func() { r.undo(w, spec) }
	if w.scratch && err == nil {
		if there, lookErr := spool.Exists(filepath.Join(w.dir, ".gitmodules")); lookErr != nil || there {
			if err = cmp.Or(lookErr, r.leaveScratch(ctx, w)); err == nil {
				named()
				return r.prepareWorktree(ctx, w)
			}
		}
	}
	if w.made.CreatedBranch && err == nil {
		w.session.Start = w.made.Head
	}
	if w.session.OnTop != "" && w.made.Base != w.session.OnTop && err == nil {
		w.left, w.session.OnTop = w.session.OnTop, ""
	}
	if err == nil {
		err = r.carry(ctx, w, spec)
	}
	if err == nil {
		err = r.keepBefore(ctx, w)
	}
	// The session is written when the hook is through. Where there is none, an earlier runner may have been killed before that.
	if err == nil && (w.made.CreatedWorktree || !w.existed || w.session.Unready) {
		w.made.Status = nil            // files come
		err = r.git.Include(ctx, spec) // the hook finds what it needs
		if err == nil && ws.Hook != "" {
			err = r.hook(ctx, ws.Hook, spec)
		}
		if err == nil { // the hook may have configured an author
			named = r.named(ctx, w.agentEnv, spec, ws.Hook != "")
		}
	}
	if err != nil {
		w.undo()
		return err
	}
	w.agentEnv = with(w.agentEnv, r.names(ctx, w.agentEnv, spec, named)...)
	// For a sandbox in AGENT_PREFIX: an agent may have changed git's own answer.
	w.agentEnv = with(w.agentEnv, w.opens()...)
	if w.stashes, err = r.git.Stashes(ctx, spec); err != nil {
		r.log.say("the stash is not known: %v", err)
	}
	// After the hook: neither its files nor those that an earlier run left are this run's change. A new worktree without a hook
	// has the files of its commit.
	if r.task.ExpectChanges || ws.Hook != "" || !w.made.CreatedWorktree {
		if w.before, err = r.git.Tree(ctx, spec, w.made); err != nil {
			r.log.say("the state of the worktree before the run is not known: %v", err)
		}
		w.atHead = err == nil && w.before == "" && w.made.Head != ""
	}
	return nil
}

// undo removes what preparing made, for a run whose agent did not start.
func (r *Runner) undo(w *ready, spec worktree.Spec) {
	if r.fenced() { // the next run may have it, and completes what this one left
		return
	}
	// A process that the hook left would go on writing into the folders that are removed here.
	if err := r.endProcesses(); err != nil {
		r.log.say("%v", err)
		return
	}
	// Only what this run created: a worktree that stood before holds work. Prepare may have created a part also where it
	// failed.
	if err := r.git.Undo(context.Background(), spec, w.made); err != nil {
		r.log.say("%v", err)
	}
	w.leaveNoFolder()
	if w.scratch && w.existed && w.session.Unkept == r.name { // nothing of this run is left to be brought back
		w.session.Unkept = ""
		if err := r.writeSession(w.session); err != nil {
			r.log.say("%v", err)
		}
	}
	if !w.existed {
		if err := spool.Remove(r.home.session(r.task.Session).Path); err != nil {
			r.log.say("%v", err)
		}
	}
}

// keepBefore keeps the work in the workspace before the agent can change it, if an earlier run may not have kept it: its runner was
// killed, or the session's file was deleted by hand. If the worktree was deleted, too, the branch still has commits.
func (r *Runner) keepBefore(ctx context.Context, w *ready) error {
	switch {
	case w.existed && w.session.Unkept == "", w.made.CreatedBranch:
		return nil
	case w.made.CreatedWorktree:
		return r.keepHead(ctx, w, worktree.Snapshot{Head: w.made.Head})
	}
	return r.keepLeft(ctx, w)
}

// keepLeft keeps the uncommitted work of an earlier run whose runner was killed before it could do so. The work goes to a ref of this
// run, before this run's agent can change it. If that fails, this run ends, except for files that git cannot store at all.
func (r *Runner) keepLeft(ctx context.Context, w *ready) error {
	if err := w.made.DropLocks(w.session.Branch); err != nil {
		r.log.say("%v", err)
	}
	who, how := w.session.Unkept, ", whose runner was killed"
	if who == "" {
		who, how = "an earlier run", ", whose session is gone"
	}
	at := ref(r.name) + "-before"
	snap, err := r.git.Snapshot(ctx, r.spec(w), at, keptMessage("left by "+who+how, r.task.IssueRef))
	// Where the worktree could not be read at all, any work may be there.
	if err != nil && snap.Ref == "" && (snap.Dirty > 0 || snap.Head == "" || ctx.Err() != nil) {
		return fmt.Errorf("the work that %s left could not be kept: %w", who, err)
	}
	if err != nil {
		r.log.say("some of the work that %s left could not be kept: %v", who, err)
	}
	r.noteSnapshot(snap)
	if snap.Ref != "" {
		r.log.say("the uncommitted work that %s left is kept at %s", who, snap.Ref)
	}
	return r.keepHead(ctx, w, snap)
}

// hook runs WORKTREE_HOOK in a new worktree.
func (r *Runner) hook(ctx context.Context, command string, spec worktree.Spec) error {
	dir := spec.Path
	argv, err := agent.Split(command)
	if err != nil || len(argv) == 0 {
		return fmt.Errorf("WORKTREE_HOOK: %w", errors.Join(err, errors.New("no command")))
	}
	path, err := proc.LookPath(argv[0], r.env, dir)
	if err != nil {
		return fmt.Errorf("WORKTREE_HOOK: %w", err)
	}
	cmd := exec.CommandContext(ctx, path, argv[1:]...)
	cmd.Dir, cmd.Env = dir, with(with(r.env, r.names(ctx, r.env, spec, r.named(ctx, r.env, spec, false))...), r.about(dir)...)
	cmd.Stdout, cmd.Stderr = r.log, r.log
	cmd.ExtraFiles = []*os.File{r.slot, r.session}
	cmd.SysProcAttr = proc.Attach()
	cmd.WaitDelay = killGrace // its background processes may have the pipe open; they are ended with the run
	if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return fmt.Errorf("WORKTREE_HOOK: %w (its output is in the log)", err)
	}
	return nil
}

// environment makes the environment of git and the hook: the runner's own, with env/default.env.
func (r *Runner) environment() error {
	vars, err := readEnv(r.task.EnvFiles[0])
	if err != nil {
		return err
	}
	r.env = r.marked(with(os.Environ(), vars...))
	r.git = &worktree.Git{Runner: git.Runner{Env: r.env, Log: r.log, Files: []*os.File{r.slot, r.session}, Own: r.home.git()}}
	return nil
}

// agentEnvironment adds the variables that only the agent gets. PWD is set since opencode believes it more than the real working
// directory.
func (r *Runner) agentEnvironment(dir string) ([]string, error) {
	env, err := WithFiles(r.env, r.task.EnvFiles...)
	if err != nil {
		return nil, err
	}
	return with(r.marked(env), r.about(dir)...), nil
}

// about is the variables that say where a program runs, and for what.
func (r *Runner) about(dir string) []string {
	return []string{"PWD=" + dir, "KUGETSU_ITEM=" + r.task.Item, "KUGETSU_ISSUE=" + r.task.IssueRef}
}

// opens is the variables that say to a sandbox in AGENT_PREFIX what git needs.
func (w *ready) opens() []string {
	return []string{"KUGETSU_REPOSITORY=" + w.made.Repository, "KUGETSU_WRITABLE=" + strings.Join(w.made.Writable(), ":")}
}

// marked adds the variables that no env file may change: TMPDIR, the mark by which a run's processes are found, and their state
// folder.
func (r *Runner) marked(env []string) []string {
	return with(env, "TMPDIR="+r.tmp, proc.Mark+"="+r.name, proc.Home+"="+string(r.home))
}

// text is the agent's stdin. For a preset that takes a prompt it is the prompt, how the last run failed, and then the message,
// byte for byte. For others it is the message only.
func (r *Runner) text(ctx context.Context, p agent.Preset, w *ready) (string, error) {
	if !p.Prompted {
		return r.task.Message, nil
	}
	prompt, err := r.prompt(w)
	if err != nil {
		return "", err
	}
	prompt += stacked(w)
	if r.task.Previous != "" {
		prompt += "\n" + r.task.Previous + quoted(r.task.Said) + "\nLook at what it left in this worktree and go on from there.\n"
	}
	if r.task.Unverified != nil {
		prompt += "\n" + refuted(r.task.Unverified, r.task.Verify.Command)
	}
	if w.other != "" {
		prompt += r.handover(ctx, w)
	} else if w.existed && w.session.Conversation == "" && w.session.Words != "" && !strings.HasSuffix(r.task.Said, w.session.Words) {
		prompt += "\nThis conversation is new: an earlier one on this issue cannot be continued" + quoted(w.session.Words) +
			"\nLook at what stands in this worktree and go on from there.\n"
	}
	return prompt + "\n" + r.task.Message, nil
}

// writeInput writes a text to a file for the agent to read. It is a file since an open pipe hangs some agents and has to be fed,
// and since ps shows arguments. The file is returned open at its beginning, and never opened by name again: a hook may put a
// FIFO in its place.
func (r *Runner) writeInput(name, text string) (f *os.File, err error) {
	path := filepath.Join(r.tmp, name)
	if err := spool.Unlink(path); err != nil {
		return nil, err
	}
	if f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return nil, err
	}
	if _, err = io.WriteString(f, text); err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
