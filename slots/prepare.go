package slots

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"kugetsu/queue/spool"
	"kugetsu/slots/agent"
	"kugetsu/slots/proc"
	"kugetsu/slots/worktree"
)

// ready is a workspace in which the agent can be started.
type ready struct {
	session  *Session
	existed  bool // the session stood before this run
	made     worktree.Made
	stashes  []string // what was in the stash before
	before   string   // the tree of all that stood there; "" where it is not known, or is that of made.Head
	agentEnv []string
	undo     func() // takes back what this run made, after a failed start
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
	if !w.existed {
		w.session = r.newSession()
	}
	if r.home.outside(r.task.Session, w.session) {
		w.session.Worktree, w.session.Conversation = r.home.Worktree(r.task.Session), "" // agents find it by the folder
	}
	if w.agentEnv, err = r.agentEnvironment(w.session.Worktree); err != nil {
		return nil, err
	}
	if r.task.Workspace.Repo == "" {
		if err := os.MkdirAll(w.session.Worktree, 0o700); err != nil {
			return nil, err
		}
	} else if err := r.prepareWorktree(ctx, w); err != nil {
		return nil, err
	}
	// Before the agent starts: a runner that is killed leaves its run's name here, and whoever works here next, for
	// whichever item, first keeps what that run left.
	w.session.Unkept, w.session.Unready, w.session.LastUsedAt = r.name, false, time.Now().UTC()
	if err := r.home.WriteSession(r.task.Session, w.session); err != nil {
		w.undo()
		return nil, err
	}
	return w, nil
}

// spec is the workspace of a run in the terms of package worktree.
func (r *Runner) spec(w *ready) worktree.Spec {
	return r.home.spec(w.session.Worktree, r.task.Workspace)
}

func (r *Runner) newSession() *Session {
	s := &Session{Type: "forked", IssueRef: r.task.IssueRef, Agent: r.task.Agent.Preset, CreatedAt: time.Now().UTC(),
		Worktree: r.home.Worktree(r.task.Session), Branch: r.task.Workspace.Branch}
	if r.task.Session == PMSession {
		s.Type = "pm_agent"
	}
	return s
}

func (r *Runner) prepareWorktree(ctx context.Context, w *ready) error {
	ws := r.task.Workspace
	spec := r.spec(w)
	if _, err := os.Lstat(filepath.Join(spec.Path, ".git")); err != nil && w.existed {
		// Before it is made again: a runner that is killed before the hook is through leaves a worktree that looks ready.
		w.session.Unready = true
		if err := r.home.WriteSession(r.task.Session, w.session); err != nil {
			return err
		}
	}
	// Beside Prepare, since both only look where a worktree stands: one after the other they would keep the slot waiting.
	named := r.named(ctx, w.agentEnv, spec)
	defer named()
	var err error
	w.made, err = r.git.Prepare(ctx, spec)
	if r.task.ProbeHost && r.git.Answered {
		if err := r.home.setFetched(r.name); err != nil {
			r.log.say("%v", err) // its end will tell
		}
	}
	w.undo = func() {
		// What a hook left running would go on writing into what is removed here.
		if err := r.endProcesses(); err != nil {
			r.log.say("%v", err)
			return
		}
		// Only what this run created: a worktree that stood before holds work. Also after an error it may have got so far
		// as to create something.
		if err := r.git.Undo(context.Background(), spec, w.made); err != nil {
			r.log.say("%v", err)
		}
		if !w.existed {
			if err := spool.Remove(r.home.session(r.task.Session).Path); err != nil {
				r.log.say("%v", err)
			}
		}
	}
	if w.made.CreatedBranch && err == nil {
		w.session.Start = w.made.Head
	}
	if err == nil {
		err = r.keepBefore(ctx, w)
	}
	// A session is written when the hook is through: without one, a runner may have been killed before that.
	if err == nil && (w.made.CreatedWorktree || !w.existed || w.session.Unready) {
		err = r.git.Include(ctx, spec) // the hook finds what it needs
		if err == nil && ws.Hook != "" {
			err = r.hook(ctx, ws.Hook, spec)
		}
		if err == nil { // what the hook configured is git's own answer now
			named = r.named(ctx, w.agentEnv, spec)
		}
	}
	if err != nil {
		w.undo()
		return err
	}
	w.agentEnv = with(w.agentEnv, r.names(ctx, w.agentEnv, spec, named)...)
	// For a prefix that is a sandbox: what git itself would tell, an agent may have changed.
	w.agentEnv = with(w.agentEnv, "KUGETSU_REPOSITORY="+w.made.Repository, "KUGETSU_WRITABLE="+strings.Join(w.made.Writable(), ":"))
	if w.stashes, err = r.git.Stashes(ctx, spec); err != nil {
		r.log.say("what is in the stash is not known: %v", err)
	}
	// After the hook: neither its files nor those that an earlier run left are this run's change. A new worktree without a hook
	// has the files of its commit.
	if r.task.ExpectChanges || ws.Hook != "" || !w.made.CreatedWorktree {
		if w.before, err = r.git.Tree(ctx, spec); err != nil {
			r.log.say("what stood in the worktree before the run is not known: %v", err)
		}
	}
	return nil
}

// keepBefore keeps what is there before the agent may touch it, where no run is known to have kept it: one was killed, or
// somebody deleted the session's file, which would say so. If the worktree was deleted, too, the branch still has commits.
func (r *Runner) keepBefore(ctx context.Context, w *ready) error {
	switch {
	case w.existed && w.session.Unkept == "", w.made.CreatedBranch:
		return nil
	case w.made.CreatedWorktree:
		return r.keepHead(ctx, w, worktree.Snapshot{Head: w.made.Head})
	}
	return r.keepLeft(ctx, w)
}

// keepLeft keeps what a run left uncommitted whose runner was killed before it could: before the next agent touches it,
// under a name of this run, which no other has. Only what git cannot store at all lets this run go on without.
func (r *Runner) keepLeft(ctx context.Context, w *ready) error {
	r.dropGitLocks(w)
	who, how := w.session.Unkept, ", whose runner was killed"
	if who == "" {
		who, how = "an earlier run", ", whose session is gone"
	}
	at := ref(r.name) + "-before"
	snap, err := r.git.Snapshot(ctx, r.spec(w), at, keptMessage("left by "+who+how, r.task.IssueRef))
	// Where nothing was seen at all there may be anything.
	if err != nil && snap.Ref == "" && (snap.Dirty > 0 || snap.Head == "" || ctx.Err() != nil) {
		return fmt.Errorf("what %s left could not be kept: %w", who, err)
	}
	if err != nil {
		r.log.say("not all of what %s left could be kept: %v", who, err)
	}
	r.noteSnapshot(snap)
	if snap.Ref != "" {
		r.log.say("what %s left uncommitted is kept at %s", who, snap.Ref)
	}
	return r.keepHead(ctx, w, snap)
}

// dropGitLocks removes the locks of a git that was killed with its run: nobody else works in this worktree, so what is
// left is stale, and the next agent's git would refuse to commit for ever.
func (r *Runner) dropGitLocks(w *ready) {
	link, err := spool.Read(filepath.Join(w.session.Worktree, ".git"))
	dir, ok := strings.CutPrefix(strings.TrimSpace(string(link)), "gitdir: ")
	if err != nil || !ok {
		return // Prepare has made sure that it is a worktree; git will say what is wrong
	}
	common := filepath.Dir(filepath.Dir(dir)) // <repository>/worktrees/<name>
	for _, path := range []string{filepath.Join(dir, "index.lock"), filepath.Join(dir, "HEAD.lock"),
		filepath.Join(common, "refs", "heads", w.session.Branch+".lock")} {
		if err := spool.Unlink(path); err != nil {
			r.log.say("%v", err)
		}
	}
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
	cmd.Dir, cmd.Env = dir, with(with(r.env, r.names(ctx, r.env, spec, r.named(ctx, r.env, spec))...), "PWD="+dir, "KUGETSU_ISSUE="+r.task.IssueRef, "KUGETSU_ITEM="+r.task.Item)
	cmd.Stdout, cmd.Stderr = r.log, r.log
	cmd.ExtraFiles = []*os.File{r.slot, r.session}
	cmd.SysProcAttr = proc.Attach()
	cmd.WaitDelay = killGrace // its background processes may hold the pipe; they are ended with the run
	if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return fmt.Errorf("WORKTREE_HOOK: %w (its output is in the log)", err)
	}
	return nil
}

// environment makes what git and the hook get: the runner's own, with env/default.env.
func (r *Runner) environment() error {
	vars, err := readEnv(r.task.EnvFiles[0])
	if err != nil {
		return err
	}
	r.env = r.marked(with(os.Environ(), vars...))
	r.git = &worktree.Git{Env: r.env, Log: r.log, Files: []*os.File{r.slot, r.session}, Own: r.home.git()}
	return nil
}

// agentEnvironment adds what only the agent gets. PWD because opencode believes it over the real working directory.
func (r *Runner) agentEnvironment(dir string) ([]string, error) {
	env, err := WithFiles(r.env, r.task.EnvFiles...)
	if err != nil {
		return nil, err
	}
	return with(r.marked(env), "PWD="+dir, "KUGETSU_ITEM="+r.task.Item, "KUGETSU_ISSUE="+r.task.IssueRef), nil
}

// marked adds what no env file may change: the mark by which a run's processes are found, and where they belong.
func (r *Runner) marked(env []string) []string {
	return with(env, "TMPDIR="+r.tmp, proc.Mark+"="+r.name, proc.Home+"="+string(r.home))
}

// text is what the agent reads on stdin: for a preset that takes one the prompt, what failed before, and then the
// message, byte for byte; for others the message alone.
func (r *Runner) text(p agent.Preset, w *ready) (string, error) {
	if !p.Prompted {
		return r.task.Message, nil
	}
	prompt, err := r.prompt(w)
	if err != nil {
		return "", err
	}
	if r.task.Previous != "" {
		prompt += "\n" + r.task.Previous + quoted(r.task.Said) + "\nLook at what it left in this worktree and go on from there.\n"
	}
	if w.existed && w.session.Conversation == "" && w.session.Words != "" && w.session.Words != r.task.Said {
		prompt += "\nThis conversation is new: an earlier one on this issue cannot be gone on with" + quoted(w.session.Words) +
			"\nLook at what stands in this worktree and go on from there.\n"
	}
	return prompt + "\n" + r.task.Message, nil
}

// writeInput puts a text where the agent can read it: a file, since an open pipe hangs some agents, an argument is
// visible in ps, and a pipe would have to be fed. It is open for reading, from its beginning: whatever has its name by then,
// a FIFO of a hook's, is not opened.
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
