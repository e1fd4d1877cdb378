package worktree

import (
	"bytes"
	"cmp"
	"context"
	"strconv"
	"strings"

	"kugetsu/slots/git"
)

// Work is what was done between two looks at a worktree.
type Work struct {
	Commits  int      // on the first-parent line: a merge of the base counts once
	Subjects []string // the first lines of the newest of them, newest first: an agent's words
	Stat     Stat     // of all that differs, what is uncommitted too
}

// Stat is how much differs. A file that is binary, or larger than largeFile, counts without its lines.
type Stat struct{ Files, Insertions, Deletions int }

const (
	// maxSubjects is how many commits a Work names, keepSubjects how many bytes of git's answer are kept for that.
	maxSubjects  = 5
	keepSubjects = 16 << 10
	// largeFile bounds what git reads of a file to count its lines: it needs up to sixty times as much memory.
	largeFile = "1m"
)

// Work reports what changed between the begin of a run and a Snapshot of its worktree. since is the commit that was checked out at the
// begin, "" for none; before is the Tree at the begin. If before is "", the tree of the commit counts.
//
// Work takes two git processes at most, and none if nothing can differ. It compares trees, not files: git reads no file of the worktree
// but .gitattributes, and runs no program that a configuration names. Work.Commits is valid beside an error too, unless it is negative.
func (g *Git) Work(ctx context.Context, s Spec, since, before string, snap Snapshot) (w Work, err error) {
	if since != "" && !git.IsCommit(since) {
		return Work{Commits: -1}, git.Refuse("git rev-list", "not a commit: %q", since)
	}
	before = cmp.Or(before, since)
	end := cmp.Or(snap.Tree, snap.Head)
	moved := snap.Head != "" && snap.Head != since
	if end == "" || end == before && !moved {
		return w, nil
	}
	r, _, err := g.repository(s)
	if err == nil && r == nil {
		err = git.Refuse("git rev-list", "there is no repository")
	}
	if err != nil {
		return Work{Commits: -1}, err
	}
	defer r.close()
	p, err := r.private(ctx)
	if err != nil {
		return Work{Commits: -1}, err
	}
	if moved {
		args := []string{"rev-list", "--first-parent", "--no-commit-header", "--format=:%s", snap.Head} // the colon: no line is printed that would be empty
		if since != "" {
			args = append(args, "^"+since)
		}
		var out lines
		if _, err := p.Run(ctx, git.Command{Args: args, Stdout: &out}); err != nil {
			return Work{Commits: -1}, err
		}
		w.Commits = out.n
		for _, line := range out.first(maxSubjects) {
			w.Subjects = append(w.Subjects, strings.TrimPrefix(line, ":"))
		}
	}
	out, err := p.Run(ctx, git.Command{Config: []string{"-c", "core.bigFileThreshold=" + largeFile}, Args: []string{
		"diff-tree", "--shortstat", "--no-ext-diff", "--no-textconv", "--no-renames", cmp.Or(before, git.EmptyTree(end)), end}})
	if err != nil {
		return w, err
	}
	w.Stat = parseStat(out)
	return w, nil
}

// parseStat reads what git prints with --shortstat: nothing where nothing differs, and a part that is 0 not always.
func parseStat(out string) (s Stat) {
	for part := range strings.SplitSeq(strings.TrimSpace(out), ", ") {
		number, what, _ := strings.Cut(part, " ")
		n, err := strconv.ParseUint(number, 10, 31)
		switch {
		case err != nil:
		case strings.HasPrefix(what, "file"):
			s.Files = int(n)
		case strings.HasPrefix(what, "insertion"):
			s.Insertions = int(n)
		case strings.HasPrefix(what, "deletion"):
			s.Deletions = int(n)
		}
	}
	return s
}

// lines counts the lines that are written to it and keeps the first of them: there may be a million, each as long as an
// agent likes.
type lines struct {
	n    int
	kept []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.n += bytes.Count(p, []byte("\n"))
	l.kept = append(l.kept, p[:min(len(p), keepSubjects-len(l.kept))]...)
	return len(p), nil
}

// first is the first few lines, of which the last may be cut.
func (l *lines) first(most int) []string {
	list := strings.Split(strings.TrimSuffix(string(l.kept), "\n"), "\n")
	return list[:min(len(list), l.n, most)]
}
