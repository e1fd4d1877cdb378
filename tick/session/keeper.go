// Package session ends and looks after sessions: the worktree, the branch and the conversation of an issue. It removes, bounds,
// restores and inspects worktrees, and asks the forges for the pull requests of sessions.
//
// The package follows pull requests: what a forge says of a request becomes an item. Nothing here takes tick.lock, and nothing starts or
// changes an item that exists. A session is changed only under its lock, see Alone.
package session

import (
	"log/slog"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/issueref"
	"kugetsu/slots"
	"kugetsu/tick/settings"
)

// Keeper looks after the sessions of a state folder.
type Keeper struct {
	Home     slots.Dir
	Queue    *queue.Queue // nothing in it is changed, and only items of requests that are followed are added
	Settings *settings.Settings
	Config   error // an error in the configuration: then it is not known where the repositories are
	Now      func() time.Time
	Log      *slog.Logger

	// The pass that made the Keeper knows these.
	Environ    func() ([]string, error)                                            // the environment of a runner
	Workspaces func() (func(ref issueref.Ref) slots.WorkspaceSettings, error)      // the settings of an issue's worktree
	InUse      func(session string) bool                                           // a run works in the session, although its lease is free
	Follow     func() (of func(issueref.Ref) settings.Follow, any bool, err error) // what of the requests of an issue's repository is followed, and whether any are; nil: nothing is
}
