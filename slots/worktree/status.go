package worktree

import (
	"bytes"
	"context"
	"slices"
	"strings"
)

// statusArgs asks for everything Snapshot needs in one process: HEAD, its branch, and every file that differs.
// What the user's configuration might change about the answer is said explicitly.
var statusArgs = []string{
	"status", "--porcelain=v2", "-z", "--branch", "--no-ahead-behind", "--no-renames",
	"--untracked-files=all", "--ignore-submodules=dirty",
}

// sparse makes git read the files outside of a sparse checkout that are there all the same. The index says which those are.
var sparse = []string{"-c", "core.sparseCheckout=true"}

// status is what git-status(1) says in its porcelain format 2.
type status struct {
	head        string   // empty on a branch without any commit
	branch      string   // empty when HEAD is detached
	stagedTwice bool     // something is staged and changed again, and the index can be written as a tree
	dirty       int      // how many paths differ
	entries     []entry  // the first of them
	nested      []string // the first of the repositories inside the worktree
	by          how      // git was made to tell it
}

// entry is one path that differs. Untracked is '?', ignored '!', in conflict 'U' in both columns.
type entry struct {
	staged, worktree byte
	path             string
	nth              int    // in git's order
	blob             string // what is in the index, where nothing but the bytes of a regular file may differ from it
}

// statusOf is statusBy where left said how, and status where it did not.
func (p *private) statusOf(ctx context.Context, by *how) (st status, missed, err error) {
	if by != nil {
		return p.statusBy(ctx, *by)
	}
	return p.status(ctx)
}

// status asks git for all files that differ in a worktree. missed names a folder that git could not read. Files that an
// agent's own git does not show are found as well: those that git was told not to look at, and all of them where the index
// was cut off by a crash, or where a filter fails.
func (p *private) status(ctx context.Context) (st status, missed, err error) {
	hidden, err := p.hidden(ctx)
	if err == nil {
		st, missed, err = p.statusBy(ctx, how{hidden: hidden})
	}
	for _, other := range []how{{hidden: hidden, raw: true}, {fresh: true}, {fresh: true, raw: true}} {
		if err == nil || ctx.Err() != nil || OfHost(err) { // with a full disk, say, the index is as good as ever
			break
		}
		p.g.say("looked at again, in another way: %v", err)
		if again, m, anew := p.statusBy(ctx, other); anew == nil {
			return again, m, nil
		}
	}
	return st, missed, err
}

func (p *private) statusBy(ctx context.Context, by how) (st status, missed, err error) {
	var warned tee
	var maybe []entry
	n := 0
	read := statusReader{each: func(e entry) {
		e.nth, n = n, n+1
		if e.blob != "" && len(maybe) < maxMaybe {
			maybe = append(maybe, e)
		} else {
			st.add(e)
		}
	}}
	c := command{args: statusArgs, config: sparse, stdout: &read, stderr: &warned}
	if by.fresh || by.raw || by.hidden != "" {
		in, err := p.scratch(ctx, by)
		if err != nil {
			return st, nil, err
		}
		defer in.remove()
		c.config, c.index = slices.Concat(sparse, in.config), in.index()
	}
	if _, err := p.run(ctx, c); err != nil {
		return status{}, nil, err
	}
	if text := warned.String(); strings.Contains(text, "could not open directory") { // it is a warning to git, exit 0
		last, _ := diagnose(text)
		missed = &Error{Op: "snapshot", Last: last}
	}
	st.head, st.branch, st.stagedTwice, st.by = read.head, read.branch, read.twice && !read.conflict, by
	if len(maybe) > 0 {
		same, err := p.unchanged(ctx, maybe, c)
		if err != nil {
			return status{}, nil, err
		}
		st.settle(maybe, same)
	}
	return st, missed, nil
}

// maxNested is how many of the repositories inside a worktree a status names.
const maxNested = 100

// add counts an entry and keeps the first ones: there may be any number of them, each with a name of 4 KiB.
func (st *status) add(e entry) {
	st.dirty++
	if len(st.entries) < maxFiles {
		st.entries = append(st.entries, e)
	}
	if e.staged == '?' && strings.HasSuffix(e.path, "/") && len(st.nested) < maxNested {
		st.nested = append(st.nested, e.path)
	}
}

// statusReader reads what git-status(1) prints, as it comes, and keeps none of it.
type statusReader struct {
	each         func(entry)
	head, branch string
	twice        bool // something is staged and changed again
	conflict     bool
	in           fields
}

func (r *statusReader) Write(p []byte) (int, error) {
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
				return 0, errTooLong
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

func (r *statusReader) line(line string) {
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
			e := entry{staged: part[0][0], worktree: part[0][1], path: part[7]}
			if e.worktree == 'M' && part[3] == part[4] && strings.HasPrefix(part[3], "100") {
				e.blob = part[6]
			}
			r.each(e)
			r.twice = r.twice || (e.staged != '.' && e.worktree != '.')
		}
	case "u": // XY sub m1 m2 m3 mW h1 h2 h3 path
		if part := strings.SplitN(rest, " ", 10); len(part) == 10 {
			r.each(entry{staged: 'U', worktree: 'U', path: part[9]})
			r.conflict = true
		}
	case "?":
		r.each(entry{staged: '?', worktree: '?', path: rest})
	case "!":
		r.each(entry{staged: '!', worktree: '!', path: rest})
	}
}
