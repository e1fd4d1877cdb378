package worktree

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"kugetsu/queue/pattern"
	"kugetsu/slots/git"
)

var notForRef = pattern.Lazy(`[^A-Za-z0-9_-]+`)

// keepInside keeps the work in the worktrees inside, uncommitted or committed, unless the outer worktree or the remote has it. Each
// reference is named after the outer worktree's reference and the inner worktree.
func keepInside(ctx context.Context, p *git.Private, ref, message, head string) (list []Snapshot, err error) {
	subject, rest, _ := strings.Cut(message, "\n")
	for n, in := range p.Inside {
		slug := notForRef().ReplaceAllString(filepath.Base(in.Name), "-")
		at := fmt.Sprintf("%s-inside%d-%s", ref, n+1, slug[:min(len(slug), 40)])
		snap, keepErr := keepInner(ctx, p, in, at, subject+", in "+strconv.Quote(git.Clean(in.Name))+"\n"+rest, head)
		if keepErr != nil {
			err = cmp.Or(err, error(&git.Error{Op: "snapshot", Last: git.Clean(fmt.Sprintf("of the worktree %q inside: %v", in.Name, keepErr)), Err: keepErr}))
		}
		if snap.Ref != "" {
			list = append(list, snap)
		}
	}
	return list, err
}

func keepInner(ctx context.Context, p *git.Private, in git.Inner, ref, message, head string) (snap Snapshot, err error) {
	q, err := p.Runner.Open(ctx, in.At)
	if err != nil {
		return snap, err
	}
	defer q.Done()
	st, missed, err := q.Status(ctx)
	if err != nil {
		return snap, err
	}
	if st.Dirty == 0 && (st.Head == "" || st.Head == head) {
		return snap, missed
	}
	if st.Dirty == 0 {
		args := []string{"rev-list", "--max-count=1", st.Head, "--not", "--remotes", "--glob=" + pushedRefs + "*"}
		if head != "" {
			args = append(args, head)
		}
		if out, err := q.Run(ctx, git.Command{Args: args}); err != nil || out == "" {
			return snap, cmp.Or(err, missed)
		}
	}
	return describeKept(ctx, q, ref, message, st, missed)
}

// forgetBelow forgets the records of worktrees that were inside the session's, which is gone.
func (r *repo) forgetBelow(ctx context.Context) error {
	records, err := git.Records(r.common)
	if err != nil {
		return &git.Error{Op: "remove", Err: err}
	}
	for _, admin := range records {
		if git.PathBelow(admin, r.spec.Path) == "" {
			continue
		}
		if err := r.forget(ctx, admin); err != nil {
			return err
		}
	}
	return nil
}
