package worktree

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Kept is a ref below refs/kugetsu/.
type Kept struct {
	Ref     string `json:"ref"`
	Commit  string `json:"commit"`
	Date    string `json:"date"` // RFC 3339
	Message string `json:"message"`
}

// AllKept lists what is kept in the repository, the newest first; nothing where there is no repository.
func (g *Git) AllKept(ctx context.Context, s Spec) ([]Kept, error) {
	r, _, err := g.find(s)
	if err != nil || r == nil {
		return nil, err
	}
	out, err := r.git(ctx, "for-each-ref", "--sort=-creatordate",
		"--format=%(refname)%00%(objectname)%00%(creatordate:iso-strict)%00%(contents)%00%00", "refs/kugetsu/")
	var list []Kept
	for record := range strings.SplitSeq(out, "\x00\x00\n") {
		if part := strings.Split(record, "\x00"); len(part) == 4 {
			list = append(list, Kept{part[0], part[1], part[2], strings.TrimSpace(part[3])})
		}
	}
	return list, err
}

// Restore brings what is kept at a ref back into the worktree at s.Path, which must stand and be clean. The commits under a
// snapshot come back as well, where the branch can be moved forward to them; where it cannot, the files that the snapshot
// changed are brought into what is checked out. What was staged and then changed is staged again; all else comes back as
// uncommitted. snapshot says that the ref is one, and not commits that were kept.
func (g *Git) Restore(ctx context.Context, s Spec, ref string, snapshot bool) error {
	s, err := s.checked()
	if err != nil {
		return err
	}
	if !strings.HasPrefix(ref, "refs/kugetsu/") || !validRef(ref) {
		return refuse("restore", "not a reference below refs/kugetsu/: %q", ref)
	}
	git := func(stdin string, args ...string) (string, error) {
		return g.run(ctx, command{dir: s.Path, stdin: stdin, env: []string{"GIT_LITERAL_PATHSPECS=1"}, args: args})
	}
	out, err := git("", statusArgs...)
	if err != nil {
		return err
	}
	if n := len(parseStatus(out).entries); n > 0 {
		return refuse("restore", "%s has %d uncommitted or untracked files, which would be overwritten", s.Path, n)
	}
	out, err = git("", "rev-list", "--parents", "--max-count=1", ref)
	if err != nil {
		return err
	}
	line := strings.Fields(out) // the commit, then its parents
	under := line[0]
	if snapshot {
		if len(line) < 2 {
			return refuse("restore", "%s was made where there was no commit: git show it", ref)
		}
		under = line[1]
	}
	if _, err := git("", "merge", "--quiet", "--ff-only", under); err != nil && !snapshot {
		return err // the branch has gone another way: to join the two is not ours
	}
	if !snapshot {
		return nil
	}
	for n, from := range line[2:] { // what was staged
		if n == 0 {
			if err := bring(git, s.Path, under, from, "--staged"); err != nil {
				return err
			}
		}
	}
	return bring(git, s.Path, under, line[0], "--worktree")
}

// bring makes the files that differ between two commits what they are in the second, in the index or in the worktree.
func bring(git func(string, ...string) (string, error), path, from, to, where string) error {
	out, err := git("", "diff", "--name-only", "--no-renames", "--diff-filter=d", "-z", from, to)
	if err != nil {
		return err
	}
	if out != "" {
		if _, err := git(out, "restore", "--quiet", where, "--source="+to, "--pathspec-from-file=-", "--pathspec-file-nul"); err != nil {
			return err
		}
	}
	if out, err = git("", "diff", "--name-only", "--no-renames", "--diff-filter=D", "-z", from, to); err != nil {
		return err
	}
	tracked, err := git("", "ls-files", "-z")
	if err != nil {
		return err
	}
	names := strings.Split(tracked, "\x00")
	for name := range strings.SplitSeq(out, "\x00") {
		if name == "" || !slices.Contains(names, name) { // it is gone already
			continue
		}
		if where == "--staged" {
			_, err = git("", "rm", "--quiet", "--cached", "--", name)
		} else if err = os.Remove(filepath.Join(path, name)); absent(err) {
			err = nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}
