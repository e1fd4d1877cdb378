package worktree

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Agents let subagents work in worktrees of the same repository, inside their own (.claude/worktrees/…), and leave them there,
// often where git ignores them. They are no foreign repositories: their work is kept as the session's own is, each at a
// reference of its own, and their records go with the session's. The session's git does not look into them.

// inner is a linked worktree of the repository inside another.
type inner struct {
	name string // its path, as seen from the outer one
	at   location
}

// inside finds the worktrees inside one. The record of each must lead to it, and the link in it back: else it is whatever git
// takes it for.
func inside(outer location) (list []inner, err error) {
	records, err := (&repo{common: outer.common}).records()
	if err != nil {
		return nil, &Error{Op: "git", Err: err}
	}
	for _, admin := range records {
		name := below(admin, outer.path)
		if name == "" || strings.ContainsAny(name, "\n\x00") {
			continue
		}
		path := filepath.Join(outer.path, name)
		plain, err := plainWay(outer.path, filepath.Join(name, ".git"))
		if err != nil || !plain {
			continue // a link on the way: git does not follow it either
		}
		text, err := readSmall(filepath.Join(path, ".git"), 64<<10)
		target, ok := strings.CutPrefix(oneLine(text), "gitdir: ")
		if err != nil || !ok {
			continue
		}
		if its, err := same(rel(path, target), admin); err != nil || !its {
			continue
		}
		at := outer
		at.gitDir, at.path = admin, path
		at.branch = strings.TrimPrefix(noBranch, "refs/heads/") // where its HEAD cannot be used
		list = append(list, inner{name, at})
	}
	return list, nil
}

// below is the path of a record's worktree as seen from a folder that it is in; empty where it is not, or the record does not
// say.
func below(admin, dir string) string {
	text, err := readSmall(filepath.Join(admin, "gitdir"), 64<<10)
	if err != nil || len(text) == 0 {
		return ""
	}
	path := filepath.Dir(rel(admin, oneLine(text)))
	names := []string{dir}
	if parent, err := filepath.EvalSymlinks(filepath.Dir(dir)); err == nil { // git writes where it is, not how it was called
		names = append(names, filepath.Join(parent, filepath.Base(dir)))
	}
	for _, n := range names {
		if name, ok := strings.CutPrefix(path, n+string(filepath.Separator)); ok {
			return name
		}
	}
	return ""
}

// excludes are lines of gitignore(5) for worktrees inside.
func excludes(list []inner) string {
	var text strings.Builder
	escape := strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`)
	for _, in := range list {
		fmt.Fprintf(&text, "/%s/\n", escape.Replace(in.name))
	}
	return text.String()
}

var notForRef = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// keepInside keeps what is in the worktrees inside, uncommitted or committed: what the outer one and the remote have is left
// out. Each reference is named after the outer's and its worktree.
func (p *private) keepInside(ctx context.Context, ref, message, head string) (list []Snapshot, err error) {
	subject, rest, _ := strings.Cut(message, "\n")
	for n, in := range p.inside {
		slug := notForRef.ReplaceAllString(filepath.Base(in.name), "-")
		at := fmt.Sprintf("%s-inside%d-%s", ref, n+1, slug[:min(len(slug), 40)])
		snap, keepErr := p.keepInner(ctx, in, at, subject+", in "+strconv.Quote(clean(in.name))+"\n"+rest, head)
		if keepErr != nil {
			err = cmp.Or(err, error(&Error{Op: "snapshot", Last: clean(fmt.Sprintf("of the worktree %q inside: %v", in.name, keepErr)), Err: keepErr}))
		}
		if snap.Ref != "" {
			list = append(list, snap)
		}
	}
	return list, err
}

func (p *private) keepInner(ctx context.Context, in inner, ref, message, head string) (snap Snapshot, err error) {
	q, err := p.g.newPrivate(ctx, in.at)
	if err != nil {
		return snap, err
	}
	defer q.done()
	st, missed, err := q.status(ctx)
	if err != nil {
		return snap, err
	}
	if st.dirty == 0 && (st.head == "" || st.head == head) {
		return snap, missed
	}
	if st.dirty == 0 {
		args := []string{"rev-list", "--max-count=1", st.head, "--not", "--remotes", "--glob=" + pushedRefs + "*"}
		if head != "" {
			args = append(args, head)
		}
		if out, err := q.run(ctx, command{args: args}); err != nil || out == "" {
			return snap, cmp.Or(err, missed)
		}
	}
	return q.kept(ctx, ref, message, st, missed)
}

// examineInside adds to a holding what the worktrees inside hold.
func (p *private) examineInside(ctx context.Context, h *Holding) error {
	for _, in := range p.inside {
		q, err := p.g.newPrivate(ctx, in.at)
		if err != nil {
			return err
		}
		st, missed, err := q.status(ctx)
		q.done()
		if ctx.Err() != nil || OfHost(err) {
			return err
		}
		if err = cmp.Or(err, missed); err != nil {
			h.Bad = cmp.Or(h.Bad, error(refuse("examine", "the worktree %q inside: %v", in.name, err)))
		}
		h.Dirty += st.dirty
		if st.head != "" && !slices.Contains(h.Inside, st.head) {
			h.Inside = append(h.Inside, st.head)
		}
	}
	return nil
}

// forgetBelow forgets the records of worktrees that were inside the session's, which is gone.
func (r *repo) forgetBelow(ctx context.Context) error {
	records, err := r.records()
	if err != nil {
		return &Error{Op: "remove", Err: err}
	}
	for _, admin := range records {
		if below(admin, r.spec.Path) == "" {
			continue
		}
		if err := r.forget(ctx, admin); err != nil {
			return err
		}
	}
	return nil
}
