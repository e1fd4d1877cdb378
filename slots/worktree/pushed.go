package worktree

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"kugetsu/slots/git"
)

// pushedRefs are refs in a clone of kugetsu's: the commits that the remote had of the local branches. Forges delete a branch
// when its pull request is merged, and the next fetch forgets the branch. Then its commits would count as not pushed, and its
// workspace would stay for ever. The remote-tracking refs cannot serve: they tell the state of the remote now, and git's own
// pushes rely on that.
const pushedRefs = "refs/kugetsu-pushed/"

// remember notes the commits that a fetch may forget. It drops the notes of branches that are gone from the clone: the next
// branch of that name is another one.
func (r *repo) remember(ctx context.Context) error {
	const tracking, here = "refs/remotes/origin/", "refs/heads/"
	at, err := r.commits(ctx, tracking, here, pushedRefs)
	if err != nil {
		return err
	}
	var drop, note strings.Builder
	for name, commit := range at {
		if branch, ok := strings.CutPrefix(name, pushedRefs); ok && at[here+branch] == "" {
			fmt.Fprintf(&drop, "delete %s\n", name)
		}
		if branch, ok := strings.CutPrefix(name, tracking); ok && at[here+branch] != "" && at[pushedRefs+branch] != commit {
			fmt.Fprintf(&note, "update %s%s %s\n", pushedRefs, branch, commit)
		}
	}
	// One after the other: one name may be in the way of another.
	return cmp.Or(r.updateRefs(ctx, drop.String()), r.updateRefs(ctx, note.String()))
}

// forgetRemote drops all refs of the remote, since the clone has another remote from now on.
func (r *repo) forgetRemote(ctx context.Context) error {
	at, err := r.commits(ctx, "refs/remotes/origin/", pushedRefs)
	if err != nil {
		return err
	}
	var drop strings.Builder
	for name := range at {
		fmt.Fprintf(&drop, "delete %s\n", name)
	}
	return r.updateRefs(ctx, drop.String())
}

// commits lists refs and the commits at them.
func (r *repo) commits(ctx context.Context, below ...string) (map[string]string, error) {
	out, err := r.git(ctx, append([]string{"for-each-ref", "--format=%(refname) %(objectname)"}, below...)...)
	at := map[string]string{}
	for line := range strings.Lines(out) {
		name, commit, _ := strings.Cut(strings.TrimSpace(line), " ")
		at[name] = commit
	}
	return at, err
}

// updateRefs does what git-update-ref(1) reads, all or nothing.
func (r *repo) updateRefs(ctx context.Context, what string) error {
	if what == "" {
		return nil
	}
	p, err := r.private(ctx)
	if err == nil {
		_, err = p.Run(ctx, git.Command{Lock: r.lock, Stdin: what, Args: []string{"update-ref", "--no-deref", "--stdin"}})
	}
	return err
}
