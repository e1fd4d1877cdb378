package git

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// MaxFiles is how many of the files that differ a Snapshot names.
const MaxFiles = 5

// StatusArgs asks for everything Snapshot needs in one process: HEAD, its branch, and every file that differs. They set every option that
// the user's configuration could change.
var StatusArgs = []string{
	"status", "--porcelain=v2", "-z", "--branch", "--no-ahead-behind", "--no-renames",
	"--untracked-files=all", "--ignore-submodules=dirty",
}

// sparse makes git read the files outside of a sparse checkout that are there all the same. The index says which those are.
var sparse = []string{"-c", "core.sparseCheckout=true"}

// Status is what git-status(1) says in its porcelain format 2.
type Status struct {
	Head        string   // empty on a branch without any commit
	Branch      string   // empty when HEAD is detached
	StagedTwice bool     // something is staged and changed again, and the index can be written as a tree
	Dirty       int      // how many paths differ
	Entries     []Entry  // the first of these paths
	Nested      []string // the first of the repositories inside the worktree
	By          Reading  // how git was made to read the worktree
}

// Entry is one path that differs. Untracked is '?', ignored '!', in conflict 'U' in both columns.
type Entry struct {
	staged, Worktree byte
	Path             string
	nth              int    // its place in git's order
	blob             string // the blob in the index, if only the bytes of a regular file may differ from it
}

// StatusOf is statusBy with the reading that by says, and Status if by is nil.
func (p *Private) StatusOf(ctx context.Context, by *Reading) (st Status, missed, err error) {
	if by != nil {
		return p.statusBy(ctx, *by)
	}
	return p.Status(ctx)
}

// Status asks git for all files that differ in a worktree. missed names a folder that git could not read. Status also finds files that
// plain git status does not show: files that git was told not to look at and, if a crash cut the index or a filter fails, all files.
func (p *Private) Status(ctx context.Context) (st Status, missed, err error) {
	hidden, err := p.Hidden(ctx)
	if err == nil {
		st, missed, err = p.statusBy(ctx, Reading{hidden: hidden})
	}
	for _, other := range []Reading{{hidden: hidden, raw: true}, {Fresh: true}, {Fresh: true, raw: true}} {
		if err == nil || ctx.Err() != nil || OfHost(err) { // with a full disk, for instance, the index is as good as ever
			break
		}
		p.Runner.Say("git status failed and is asked in another way: %v", err)
		if again, m, anew := p.statusBy(ctx, other); anew == nil {
			return again, m, nil
		}
	}
	return st, missed, err
}

// Look is Status where one git process can tell it, and with what is checked out: a commit, and a branch or none. Where it returns false,
// nothing is known.
func (p *Private) Look(ctx context.Context) (st Status, ok bool) {
	if hidden, err := p.Hidden(ctx); err != nil || hidden != "" {
		return st, false
	}
	st, missed, err := p.statusBy(ctx, Reading{})
	if err != nil || missed != nil || !IsCommit(st.Head) {
		return Status{}, false
	}
	if st.Branch == "" { // HEAD is detached; or its branch has the name by which git says that
		head, err := os.ReadFile(filepath.Join(p.Dir, "HEAD"))
		if err != nil || !IsCommit(OneLine(head)) {
			return Status{}, false
		}
	}
	return st, true
}

func (p *Private) statusBy(ctx context.Context, by Reading) (st Status, missed, err error) {
	var warned tee
	var maybe []Entry
	n := 0
	read := StatusReader{Each: func(e Entry) {
		e.nth, n = n, n+1
		if e.blob != "" && len(maybe) < maxMaybe {
			maybe = append(maybe, e)
		} else {
			st.add(e)
		}
	}}
	c := Command{Args: StatusArgs, Config: sparse, Stdout: &read, stderr: &warned}
	if by.Fresh || by.raw || by.hidden != "" {
		in, err := p.Scratch(ctx, by)
		if err != nil {
			return st, nil, err
		}
		defer in.Remove()
		c.Config, c.Index = slices.Concat(sparse, in.config), in.Index()
	}
	if _, err := p.Run(ctx, c); err != nil {
		return Status{}, nil, err
	}
	if text := warned.String(); strings.Contains(text, "could not open directory") { // it is a warning to git, exit 0
		last, _ := diagnose(text)
		missed = &Error{Op: "snapshot", Last: last}
	}
	st.Head, st.Branch, st.StagedTwice, st.By = read.head, read.branch, read.twice && !read.conflict, by
	if len(maybe) > 0 {
		same, err := p.unchanged(ctx, maybe, c)
		if err != nil {
			return Status{}, nil, err
		}
		st.settle(maybe, same)
	}
	return st, missed, nil
}

// maxNested is how many of the repositories inside a worktree a status names.
const maxNested = 100

// add counts an entry and keeps the first ones: there may be any number of them, each with a name of 4 KiB.
func (st *Status) add(e Entry) {
	st.Dirty++
	if len(st.Entries) < MaxFiles {
		st.Entries = append(st.Entries, e)
	}
	if e.staged == '?' && strings.HasSuffix(e.Path, "/") && len(st.Nested) < maxNested {
		st.Nested = append(st.Nested, e.Path)
	}
}

// StatusReader reads what git-status(1) prints, as it comes, and keeps none of it.
type StatusReader struct {
	Each         func(Entry)
	head, branch string
	twice        bool // something is staged and changed again
	conflict     bool
	in           fields
}

func (r *StatusReader) Write(p []byte) (int, error) {
	r.in.each = r.line
	return r.in.Write(p)
}

// fields cuts what is written to it at each NUL.
type fields struct {
	each func(string)
	rest []byte // of a field that is not complete yet
}

// maxLine bounds a line of git's, in bytes: a path of 4 KiB and what stands before it.
const maxLine = 64 << 10

func (f *fields) Write(p []byte) (int, error) {
	n := len(p)
	for {
		line, after, ended := bytes.Cut(p, []byte{0})
		if !ended {
			if f.rest = append(f.rest, p...); len(f.rest) > maxLine {
				return 0, ErrTooLong
			}
			return n, nil
		}
		if len(f.rest) > 0 {
			line = append(f.rest, line...)
		}
		f.each(string(line))
		f.rest, p = f.rest[:0], after
	}
}

func (r *StatusReader) line(line string) {
	kind, rest, _ := strings.Cut(line, " ")
	switch kind {
	case "#":
		if oid, ok := strings.CutPrefix(rest, "branch.oid "); ok && oid != "(initial)" {
			r.head = oid
		}
		if branch, ok := strings.CutPrefix(rest, "branch.head "); ok && branch != "(detached)" {
			r.branch = branch
		}
	case "1": // XY sub mH mI mW hH hI path
		if part := strings.SplitN(rest, " ", 8); len(part) == 8 && len(part[0]) == 2 {
			e := Entry{staged: part[0][0], Worktree: part[0][1], Path: part[7]}
			if e.Worktree == 'M' && part[3] == part[4] && strings.HasPrefix(part[3], "100") {
				e.blob = part[6]
			}
			r.Each(e)
			r.twice = r.twice || (e.staged != '.' && e.Worktree != '.')
		}
	case "u": // XY sub m1 m2 m3 mW h1 h2 h3 path
		if part := strings.SplitN(rest, " ", 10); len(part) == 10 {
			r.Each(Entry{staged: 'U', Worktree: 'U', Path: part[9]})
			r.conflict = true
		}
	case "?":
		r.Each(Entry{staged: '?', Worktree: '?', Path: rest})
	case "!":
		r.Each(Entry{staged: '!', Worktree: '!', Path: rest})
	}
}
