// Command kugetsu queues work for AI coding agents and runs a bounded number of them, each in its own git worktree,
// without a daemon.
//
// Read on in tick/ (one pass over the queue), queue/ (items and their states) and slots/ (the right to run, and the
// runner that uses it).
package main

import (
	"os"
	"runtime"

	"kugetsu/tick/command"
)

// grammar is the table of contents: every command there is.
type grammar struct {
	command.Globals

	Init     command.Init     `cmd:"" help:"Make the state folder ready: config, env files, prompts."`
	Doctor   command.Doctor   `cmd:"" help:"Check what a scheduled tick depends on, as cron would find it."`
	Delegate command.Delegate `cmd:"" help:"Enqueue a task; prints its id."`
	Tick     command.Tick     `cmd:"" help:"One pass: settle what ended, fill the free slots, exit."`

	Start    command.Start    `cmd:"" help:"Begin an issue now, past the queue, or exit 2."`
	Continue command.Continue `cmd:"" help:"Go on with an issue now, past the queue, or exit 2."`

	Status command.Status `cmd:"" default:"withargs" help:"What runs, what waits and why (also without a command)."`
	List   command.List   `cmd:"" aliases:"ls" help:"The sessions: one per issue."`
	Logs   command.Logs   `cmd:"" aliases:"log" help:"What an agent printed."`
	Digest command.Digest `cmd:"" help:"What was done in the last hours, and what needs you."`
	Page   command.Page   `cmd:"" help:"Write one HTML file that shows all of that."`

	Dismiss command.Dismiss `cmd:"" help:"Take an entry out of what needs you."`
	Path    command.Path    `cmd:"" help:"Print where an issue's worktree is."`
	Destroy command.Destroy `cmd:"" help:"End an issue's session: worktree, branch, conversation. Refused while it holds work."`
	Prune   command.Prune   `cmd:"" help:"Remove sessions that are done; a session that holds work stays."`
	SetPR   command.SetPR   `cmd:"" name:"set-pr" help:"Set the pull request of an issue."`
	Restore command.Restore `cmd:"" help:"Bring uncommitted work that was kept back into the issue's worktree."`
	Forget  command.Forget  `cmd:"" help:"Delete a ref at which work is kept, such as one that holds a secret."`

	Queue struct {
		List     command.QueueList     `cmd:"" aliases:"ls" help:"The items, in run order."`
		Stats    command.QueueStats    `cmd:"" help:"How many items are in which state."`
		Show     command.QueueShow     `cmd:"" help:"All of an item, with its history."`
		Logs     command.Logs          `cmd:"" aliases:"log" help:"What an item's agent printed."`
		Wait     command.QueueWait     `cmd:"" help:"Wait until items are settled: 0 completed, 1 error."`
		Priority command.QueuePriority `cmd:"" help:"Give live items another priority."`
		Edit     command.QueueEdit     `cmd:"" help:"Change an item that waits."`
		Cancel   command.QueueCancel   `cmd:"" help:"End items for good, running ones too."`
		Retry    command.QueueRetry    `cmd:"" help:"Put settled items back into the queue."`
		Clear    command.QueueClear    `cmd:"" help:"Delete old settled items."`
		Enqueue  command.Enqueue       `cmd:"" aliases:"add" help:"Enqueue a task for an issue, from a script."`
	} `cmd:"" help:"Show the items and change them."`

	Pause  command.Pause  `cmd:"" help:"Start nothing; what runs goes on."`
	Resume command.Resume `cmd:"" help:"Lift a pause, or an agent's hold."`
	Notify struct {
		List  command.NotifyList  `cmd:"" help:"The events that were not cleared."`
		Clear command.NotifyClear `cmd:"" help:"Mark the events as seen."`
		Test  command.NotifyTest  `cmd:"" help:"Try NOTIFY_COMMAND with a test event."`
	} `cmd:"" help:"The events: what ended, what is on hold, what is wrong."`

	QueueDaemon struct {
		Start   command.DaemonStart   `cmd:"" help:"Install a schedule: cron, systemd or launchd runs kugetsu tick."`
		Stop    command.DaemonStop    `cmd:"" help:"Remove the schedule."`
		Restart command.DaemonRestart `cmd:"" help:"Remove the schedule and install it again."`
		Status  command.DaemonStatus  `cmd:"" help:"Show the schedule and the last tick; exits 1 if no schedule is installed or ticks are overdue."`
		Logs    command.DaemonLogs    `cmd:"" help:"Show the output of the scheduled ticks."`
	} `cmd:"" name:"queue-daemon" help:"Install, remove and show the schedule that runs kugetsu tick (there is no daemon)."`

	// Alias holds the commands of queue that are typed most, without that word before them.
	Alias struct {
		Show   command.QueueShow   `cmd:"" hidden:"" help:"All of an item, with its history."`
		Edit   command.QueueEdit   `cmd:"" hidden:"" help:"Change an item that waits."`
		Wait   command.QueueWait   `cmd:"" hidden:"" help:"Wait until items are settled: 0 completed, 1 error."`
		Cancel command.QueueCancel `cmd:"" hidden:"" help:"End items for good, running ones too."`
		Retry  command.QueueRetry  `cmd:"" hidden:"" help:"Put settled items back into the queue."`
		Clear  command.QueueClear  `cmd:"" hidden:"" help:"Delete old settled items."`
	} `embed:""`

	Help     command.Help     `cmd:"" hidden:"" help:"Print the help of a command."`
	Version  command.Version  `cmd:"" help:"Print the version."`
	Complete command.Complete `cmd:"" hidden:"" help:"Print what can stand at a place, for completions."`
	Grammar  command.Grammar  `cmd:"" hidden:"" help:"Print this grammar as JSON, for completions and the manual page."`
}

// The main goroutine keeps its thread: the kernel ends an agent when the *thread* that started it ends, and the fault
// tests can follow a command by one thread.
func init() { runtime.LockOSThread() }

func main() {
	var g grammar
	os.Exit(command.Main(&g, &g.Globals, os.Args[1:]))
}
