package worktree

import (
	"context"
	"path/filepath"
	"strings"

	"kugetsu/slots/git"
)

// maxStashLog is how much of what git logs of the stash is read, from its end, in bytes.
const maxStashLog = 1 << 20

// Stashes lists the commits in the stash of the session's repository, which all its worktrees share. Those that were stashed
// on another branch are left out: git names the branch in each message.
func (g *Git) Stashes(ctx context.Context, s Spec) ([]string, error) {
	r, s, err := g.repository(s)
	if err != nil || r == nil {
		return nil, err
	}
	defer r.close()
	var log string
	if git.IsDir(filepath.Join(r.common, "reftable")) {
		log, err = r.git(ctx, "log", "--walk-reflogs", "--format=%H%x09%gs", "--ignore-missing", "refs/stash", "--")
		if git.ExitCode(err) > 0 { // there is none
			return nil, nil
		}
	} else {
		log, err = stashLog(filepath.Join(r.common, "logs", "refs", "stash"))
	}
	if err != nil {
		return nil, err
	}
	var commits []string
	for line := range strings.Lines(log) {
		id, what, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if ok && git.IsCommit(id) && !onAnother(what, s.Branch) {
			commits = append(commits, id)
		}
	}
	return commits, nil
}

// onAnother says whether git wrote a message for a stash of another branch: "WIP on main: 1a2b3c subject", "On main: words".
func onAnother(message, branch string) bool {
	rest, ok := strings.CutPrefix(message, "WIP on ")
	if !ok {
		rest, ok = strings.CutPrefix(message, "On ")
	}
	on, _, named := strings.Cut(rest, ": ")
	return ok && named && on != branch && on != "(no branch)"
}

// stashLog is the log of the stash in a file: a line each of the commit and the message.
func stashLog(file string) (string, error) {
	text, err := git.ReadEnd(file, maxStashLog)
	if git.Absent(err) {
		return "", nil
	}
	if err != nil {
		return "", &git.Error{Op: "stash", Err: err}
	}
	var log strings.Builder
	for line := range strings.Lines(string(text)) { // old, new, by whom and when, a tab, the message
		head, message, _ := strings.Cut(line, "\t")
		if ids := strings.Fields(head); len(ids) > 2 {
			log.WriteString(ids[1] + "\t" + message)
		}
	}
	return log.String(), nil
}
