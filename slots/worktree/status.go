package worktree

import (
	"context"
	"io"
	"strings"
)

// statusArgs asks for everything Snapshot needs in one process: HEAD, its branch, and every file that differs.
// What the user's configuration might change about the answer is said explicitly.
var statusArgs = []string{
	"status", "--porcelain=v2", "-z", "--branch", "--no-ahead-behind", "--no-renames",
	"--untracked-files=all", "--ignore-submodules=dirty",
}

// status is what git-status(1) says in its porcelain format 2.
type status struct {
	head        string // empty on a branch without any commit
	branch      string // empty when HEAD is detached
	stagedTwice bool   // something is staged and changed again, and the index can be written as a tree
	entries     []entry
	by          how // git was made to tell it
}

// entry is one path that differs. Untracked is '?', ignored '!', in conflict 'U' in both columns.
type entry struct {
	staged, worktree byte
	path             string
}

// status asks git for all that differs in a worktree. missed says what git could not look at. What an agent does not see
// itself, its own or the next, is seen here: files that git was told not to look at, and all of them where the index was cut
// off by a crash, or where a filter fails.
func (g *Git) status(ctx context.Context, path string) (st status, missed, err error) {
	hidden, err := g.hidden(ctx, path)
	if err == nil {
		st, missed, err = g.statusBy(ctx, path, how{hidden: hidden})
	}
	for _, other := range []how{{hidden: hidden, raw: true}, {fresh: true}, {fresh: true, raw: true}} {
		if err == nil || ctx.Err() != nil || OfHost(err) { // with a full disk, say, the index is as good as ever
			break
		}
		g.say("looked at again, in another way: %v", err)
		if again, m, anew := g.statusBy(ctx, path, other); anew == nil {
			return again, m, nil
		}
	}
	return st, missed, err
}

func (g *Git) statusBy(ctx context.Context, path string, by how) (st status, missed, err error) {
	var warned tee
	log := io.Writer(io.Discard)
	if g.Log != nil {
		log = g.Log
	}
	c := command{dir: path, args: statusArgs}
	if by.fresh || by.raw || len(by.hidden) > 0 {
		in, err := g.scratch(ctx, path, by)
		if err != nil {
			return st, nil, err
		}
		defer in.remove()
		c.config, c.env = in.config, in.env()
	}
	out, err := (&Git{Env: g.Env, Files: g.Files, Log: io.MultiWriter(&warned, log)}).run(ctx, c)
	if err != nil {
		return st, nil, err
	}
	if text := warned.String(); strings.Contains(text, "could not open directory") { // it is a warning to git, exit 0
		last, _ := diagnose(text)
		missed = &Error{Op: "snapshot", Last: last}
	}
	st = parseStatus(out)
	st.by = by
	return st, missed, nil
}

func parseStatus(out string) status {
	var st status
	conflict := false
	for line := range strings.SplitSeq(out, "\x00") {
		kind, rest, _ := strings.Cut(line, " ")
		switch kind {
		case "#":
			if oid, ok := strings.CutPrefix(rest, "branch.oid "); ok && oid != "(initial)" {
				st.head = oid
			}
			if branch, ok := strings.CutPrefix(rest, "branch.head "); ok && branch != "(detached)" {
				st.branch = branch
			}
		case "1": // XY sub mH mI mW hH hI path
			if part := strings.SplitN(rest, " ", 8); len(part) == 8 && len(part[0]) == 2 {
				e := entry{part[0][0], part[0][1], part[7]}
				st.entries = append(st.entries, e)
				st.stagedTwice = st.stagedTwice || (e.staged != '.' && e.worktree != '.')
			}
		case "u": // XY sub m1 m2 m3 mW h1 h2 h3 path
			if part := strings.SplitN(rest, " ", 10); len(part) == 10 {
				st.entries = append(st.entries, entry{'U', 'U', part[9]})
				conflict = true
			}
		case "?":
			st.entries = append(st.entries, entry{'?', '?', rest})
		case "!":
			st.entries = append(st.entries, entry{'!', '!', rest})
		}
	}
	st.stagedTwice = st.stagedTwice && !conflict
	return st
}
