package worktree

import "strings"

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
}

// entry is one path that differs. Untracked is '?', ignored '!', in conflict 'U' in both columns.
type entry struct {
	staged, worktree byte
	path             string
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
