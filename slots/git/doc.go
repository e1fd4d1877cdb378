// Package git runs git and reads what it prints. It knows repositories and worktrees, not sessions: package worktree, above it,
// decides what is made, kept and removed.
//
// Every git call of kugetsu's goes through it, and a test (room_test.go) shows that. A call has
//
//   - a made environment, in which no GIT_* variable of the caller's leads elsewhere (runner.go);
//   - a private git directory in place of the repository's, since an agent can write there: a filter, a hook, a helper or a
//     remote is a command that a line of text names (private.go);
//   - the configuration that is let through key by key (config.go), as git reads it; files of the plainest form are read here
//     (configfile.go);
//   - an end: it dies with its runner and with its context, its answer may be bounded, and a FIFO that an agent left does not
//     stop it (runner.go, fifo.go).
//
// Files that an agent may have replaced are opened without a link being followed, and read up to a bound (files.go).
package git
