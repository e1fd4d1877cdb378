package tick

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kugetsu/queue"
	"kugetsu/queue/event"
	"kugetsu/queue/fault"
	"kugetsu/queue/issueref"
	"kugetsu/queue/outcome"
	"kugetsu/slots"
	"kugetsu/slots/agent"
	"kugetsu/tick/settings"
)

// task is all that a runner must know of an item, since slots knows no items.
func (t *Tick) task(it *queue.Item, session string, repos repos) (slots.Task, error) {
	s := t.Settings
	if err := Runnable(it.Agent, s); err != nil {
		return slots.Task{}, fmt.Errorf("%s: %w", it.ID, err)
	}
	task := slots.Task{
		Item: it.ID, Session: session, IssueRef: it.IssueRef, Message: it.Message,
		Timeout: it.RunLimit(s.Timeout()), Idle: s.IdleTimeout, MaxMemory: int64(s.MaxAgentMemory), ExpectChanges: it.ExpectChanges,
		EnvFiles: t.envFiles(it.Lane()),
		Prompt:   t.Home.PromptFile("dev.md"),
		Agent: slots.AgentTask{Preset: it.Agent, Prefix: s.AgentPrefix, Args: cmp.Or(it.AgentArgs, s.Args(it.Agent)), Model: it.Model,
			Command: s.AgentCommand, ContinueCommand: s.ContinueCommand},
		Events: slots.Events{New: t.Queue.Events.New, Seen: t.Queue.Events.Seen, Undelivered: t.Queue.Events.Undelivered, Tell: t.Queue.Events.Wants(event.TaskStarted)},
	}
	if env, err := t.agentEnviron(it.Lane()); err == nil { // else the run tells it
		task.Account = slots.Account(it.Agent, env)
	}
	task.Previous, task.Said, task.Unverified = previous(it)
	if session == slots.PMSession {
		task.Prompt = t.Home.PromptFile("pm.md")
		return task, nil
	}
	if it.Ref().Task != "" {
		task.Prompt = t.Home.PromptFile("task.md")
	}
	task.Workspace = t.workspace(it.Ref(), repos)
	if command, by := t.verification(it, repos); command != "" {
		task.Verify = slots.VerifyTask{Command: command, By: by, Timeout: s.VerifyTimeout}
	}
	task.Workspace.Branch = cmp.Or(it.Branch, task.Workspace.Branch)
	return task, t.onTop(it, &task.Workspace)
}

// workspaces reads repos.json, and returns the settings of the worktree of an issue.
func (t *Tick) workspaces() (func(ref issueref.Ref) slots.WorkspaceSettings, error) {
	repos, err := readRepos(t.Home)
	return func(ref issueref.Ref) slots.WorkspaceSettings { return t.workspace(ref, repos) }, err
}

// workspace is the settings of the worktree of an issue.
func (t *Tick) workspace(ref issueref.Ref, repos repos) slots.WorkspaceSettings {
	w := slots.WorkspaceSettings{Repo: ref.RepoName(), Branch: ref.Branch(), Base: t.Settings.BaseBranch, Hook: t.Settings.WorktreeHook,
		Identity: t.Settings.Identity}
	own := repos[ref.RepoPath()]
	if own.Base != "" {
		w.Base = own.Base
	}
	if own.Hook != nil {
		w.Hook = *own.Hook
	}
	if w.URL, w.Local = repos.source(ref, func() string { return t.cloneURL(ref) }); w.Local == "" {
		host := remoteHost(w.URL)
		if _, ok := hostTarget(host); ok {
			w.Host = host
		}
	}
	return w
}

// Runnable says which setting an agent lacks. The error has exit code 78, and costs the item no attempt.
func Runnable(preset string, s *settings.Settings) error {
	if _, err := agent.Lookup(preset); err != nil {
		return fault.New(fault.Config, "set KUGETSU_AGENT to one of them", "%w", err)
	}
	if preset == "command" && s.AgentCommand == "" {
		return fault.New(fault.Config, "set AGENT_COMMAND in the file config", "the agent command has no AGENT_COMMAND to run")
	}
	return nil
}

// previous is the outcome of the last run in which an agent began, and its summary, for the next run's prompt; or why that run was
// not verified.
func previous(it *queue.Item) (how, said string, refuted *outcome.Verification) {
	which := "The run before this one"
	for _, last := range slices.Backward(it.History) {
		row, _ := last.Outcome.Row()
		switch {
		case row.Began == outcome.Never, row.Began == outcome.Perhaps && last.StartedAt == nil:
			which = "An earlier run"
		case last.Verification != nil && !last.Verified(): // unverified, or outgrown while it was verified
			return "", "", last.Verification
		case row.Told == "":
			return "", "", nil
		default:
			return which + " " + row.Told, strings.TrimSpace(last.Summary + "\n" + last.Words), nil
		}
	}
	return "", "", nil
}

// CheckFiles reports faults of the user's files beside the config: env files, prompts, repos.json. If only a run found them, they
// would cost each waiting item its attempts. The error has exit code 78.
func CheckFiles(home slots.Dir) error {
	_, err := readRepos(home)
	return errors.Join(home.CheckFiles(), err)
}

// Environ is the environment of a runner.
func (t *Tick) Environ() ([]string, error) {
	base := map[string]string{}
	for _, key := range settings.Base {
		base[key] = t.Source.File(key)
	}
	return t.Home.Environ(base, t.Source.Environ())
}
