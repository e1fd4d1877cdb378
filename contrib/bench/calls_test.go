package bench

import (
	"bufio"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// reasons say why a process makes its calls on a path, in the order in which they are asked. ~ is the state folder.
var reasons = []struct {
	process, path *regexp.Regexp
	why           string
}{
	{regexp.MustCompile(`^delegate`), regexp.MustCompile(`^~/notifications/new`), "the event that a task is queued, before the item: content, name, and the name's sync"},
	{regexp.MustCompile(`^delegate`), regexp.MustCompile(`^~/queue/items(/ITEM)?$`), "the item: content, a name by link(2) that overwrites nothing, and the name's sync. Then its id is printed"},
	{regexp.MustCompile(`^delegate`), regexp.MustCompile(`^~/(slots|paused|holds|schedule|tick.lock)`), "the warning that no tick will start it: it looks at slots, pause, holds and schedule"},
	{regexp.MustCompile(`hands over`), regexp.MustCompile(`^~/slots/1.json$|^~/slots$`), "a. the intent, before anything of the run is there. The folder is listed for the slots, too"},
	{regexp.MustCompile(`hands over`), regexp.MustCompile(`^~/runs`), "b. the run's folder and its marker exit: one winner for each number. The log is for the runner"},
	{regexp.MustCompile(`hands over`), regexp.MustCompile(`^~/notifications/new`), "the event that the item is handed over, before d."},
	{regexp.MustCompile(`hands over`), regexp.MustCompile(`^~/queue/items`), "the lane is listed, and the first item read. d. the item becomes notified, with the runner's pid"},
	{regexp.MustCompile(`^runner`), regexp.MustCompile(`^~/sessions`), "the session: written before the agent, so that a runner that is killed leaves its name there, and after the agent, with its conversation"},
	{regexp.MustCompile(`^runner`), regexp.MustCompile(`^~/runs/ITEM$`), "the marker: exit, started, end. Each is a rename and its sync. Three syncs: started, the mark that the work is kept, end"},
	{regexp.MustCompile(`^runner`), regexp.MustCompile(`^~/runs`), "log, result, marks of the run"},
	{regexp.MustCompile(`^runner`), regexp.MustCompile(`^~/notifications/new`), "the event that the agent runs"},
	{regexp.MustCompile(`^runner`), regexp.MustCompile(`^~/t(/|$)`), "TMPDIR of the run: a number of its own, the link to it, the message for the agent's stdin; at the end it is moved away for a later pass"},
	{regexp.MustCompile(`^runner`), regexp.MustCompile(`^~/git`), "a private git directory for each question to git, made and removed: an agent may have changed the configuration of the worktree's own"},
	{regexp.MustCompile(`^runner`), regexp.MustCompile(`^~/(worktrees|repos)|^REPOSITORY`), "is that the session's worktree, and is its repository as it was? Asked before each use of git"},
	{regexp.MustCompile(`^runner`), regexp.MustCompile(`^~/tick.next`), "does a tick wait that will see the end? Then it starts none"},
	{regexp.MustCompile(`^runner`), regexp.MustCompile(`^~/tick.log`), "the output of the tick that it starts"},
	{regexp.MustCompile(`^runner`), regexp.MustCompile(`^~/slots`), "its own lease: by the lock's real path it tells its processes from those of other runners"},
	{regexp.MustCompile(`settles`), regexp.MustCompile(`^~/(slots|sessions)/.*lock$`), "are slot and session free? Then the run is over"},
	{regexp.MustCompile(`settles`), regexp.MustCompile(`^~/slots`), "which run the slot names; it is emptied last, when nothing remains to be done for the run"},
	{regexp.MustCompile(`settles`), regexp.MustCompile(`^~/runs`), "the marker, which says how the run ended, and its report"},
	{regexp.MustCompile(`settles`), regexp.MustCompile(`^~/notifications`), "the events that it completed and that the queue is empty, each before what it tells; was its start told? Expired ones are removed"},
	{regexp.MustCompile(`settles`), regexp.MustCompile(`^~/usage`), "the run's line in the ledger, before the item; was the ledger kept?"},
	{regexp.MustCompile(`settles`), regexp.MustCompile(`^~/queue/(items|finished|pm)`), "the item is settled in one write, and then filed: the new name's folder is synced before the old one's. The lanes are listed for what starts next, and for whether any is left"},
	{regexp.MustCompile(`tick`), regexp.MustCompile(`^~/tick.lock$`), "one pass at a time; its time is that of the last pass"},
	{regexp.MustCompile(`tick`), regexp.MustCompile(`^~/(slots|sessions)/.*lock$`), "the lease: slot, then session. The runner inherits both"},
	{regexp.MustCompile(`tick`), regexp.MustCompile(`^~/sessions`), "the session of the item: may it start?"},
	{regexp.MustCompile(`tick`), regexp.MustCompile(`^~/(queue/(pm|finished)|notifications/(seen|owed)|quota|room.json|repos$|agents|usage)`), "the other lane; what is old and goes; holds, conditions and quotas; the ledger"},
	{regexp.MustCompile(`tick`), regexp.MustCompile(`^~/t/`), "the TMPDIR of runs that ended is removed, without the lock"},
	{regexp.MustCompile(`.`), regexp.MustCompile(`^~/(config|env|prompts|repos.json|queues)`), "settings, environment, prompts, repositories: each is checked by each command, before it acts"},
	{regexp.MustCompile(`.`), regexp.MustCompile(`^~/(paused|holds)`), "is the queue paused, is an agent on hold?"},
	{regexp.MustCompile(`.`), regexp.MustCompile(`^~(/[a-z]+|/queue/[a-z]+|/notifications/[a-z]+)?$`), "do the folders stand, and are they ours?"},
	{regexp.MustCompile(`.`), regexp.MustCompile(`^kernel$`), "/proc, /sys: limits of the container, boot id, the children of a run, process identities"},
	{regexp.MustCompile(`.`), regexp.MustCompile(`^programs$`), "programs on PATH, and shared libraries"},
	{regexp.MustCompile(`.`), regexp.MustCompile(`^host$`), "/etc: the user, the zone"},
	{regexp.MustCompile(`.`), regexp.MustCompile(`^(elsewhere|REPOSITORY)$`), "folders above these, /dev/null, the repository"},
}

// gits say why the runner asks git.
var gits = map[string]string{
	"config":           "what is configured for the repository: the keys of which git reads files or runs programs are answered for it",
	"rev-parse":        "the commit that is checked out, and its tree",
	"ls-files":         "which files git does not look at: skip-worktree, assume-unchanged",
	"status":           "what differs: before the agent, to know its change; after it, to keep it",
	"update-ref":       "the commit at the end stays reachable: the next agent may reset it away",
	"diff-tree":        "how much the run changed; asked also where nothing did, since a tree is compared with a commit",
	"for-each-ref":     "refs of the session",
	"rev-list":         "the commits of the run",
	"worktree":         "the worktree",
	"cat-file":         "objects",
	"var":              "who the author is",
	"symbolic-ref":     "the branch",
	"merge-base":       "what was merged",
	"check-ref-format": "the branch's name",
}

// runtimeCalls are those of Go's runtime and of plain reading and writing, which say nothing of files.
var runtimeCalls = regexp.MustCompile(`^(futex|rt_sig.*|sigaltstack|mmap|munmap|madvise|mprotect|mremap|brk|arch_prctl|sched_.*|getrandom|gettid|getpid|getppid|tgkill|nanosleep|clock_.*|prlimit64|set_.*|fcntl|ioctl|rseq|epoll_.*|eventfd2|close|close_range|read|write|pread64|lseek|exit.*|uname|prctl|getuid|geteuid|getgid|getegid|clone.*|vfork|wait.*|dup.*|getcwd|umask|pipe2|setsid|pidfd.*|restart_syscall|poll|kill|socket|connect|sysinfo|membarrier|getrlimit|setrlimit|getpgrp|setpgid|getsid)$`)

var (
	callLine  = regexp.MustCompile(`^([0-9.]+) ([a-z0-9_]+)\((.*)$`)
	quoted    = regexp.MustCompile(`"((?:[^"\\]|\\.)*)"`)
	onFile    = regexp.MustCompile(`^(?:AT_FDCWD|\d+)<([^>]*)>`)
	childOf   = regexp.MustCompile(`= (\d+)$`)
	itemIn    = regexp.MustCompile(`q_[0-9a-z]{26}(\.\d+)?`)
	tempEnd   = regexp.MustCompile(`\.tmp\d+$`)
	dotTemp   = regexp.MustCompile(`/\.([^/]+)$`)
	privateIn = regexp.MustCompile(`^~/git/.*`)
)

// call is a system call.
type call struct {
	at   float64
	tid  int
	name string
	rest string
}

// process is what a process did.
type process struct {
	name         string
	all, runtime int
	syncs        int
	paths        []string // in the order of the first call
	calls        map[string]map[string]int
}

// callTable traces one item from delegate to the pass that settles it, and lists the calls with their reasons.
func callTable(x *bench) string {
	if !installed("strace") {
		return "## System calls of an item\n\nNot traced: strace is not installed.\n"
	}
	if out, err := exec.Command("strace", "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		return fmt.Sprintf("## System calls of an item\n\nNot traced: strace may not: %v %s\n", err, out)
	}
	program := x.program("")
	s, repo := x.standing(program, 1, 1)
	traces := x.TempDir()
	trace := func(name string, args ...string) []string {
		return append([]string{"-ff", "-ttt", "-y", "-s", "300", "-o", filepath.Join(traces, name)}, append([]string{program}, args...)...)
	}
	env := s.env("MAX_CONCURRENT_AGENTS=1")
	x.once(env, "q_", "strace", trace("delegate", "delegate", "you/shop#1", "nothing")...)
	before := s.completed()
	x.once(env, "", x.tool("tree"), append([]string{"strace"}, trace("tick", "tick")...)...)
	if s.completed() != before+1 {
		x.Fatal("the traced item did not complete")
	}
	list := processes(x, traces, func(path string) string {
		path = strings.ReplaceAll(path, s.home, "~")
		return strings.ReplaceAll(path, repo, "REPOSITORY")
	})
	var b strings.Builder
	fmt.Fprintf(&b, "## System calls of an item\n\nTraced by strace: an item is enqueued, handed over, run (the agent is `true`, its worktree is there) and settled.\n\n"+
		"| process | how many | system calls | of the runtime | on files | fsync |\n|---|--:|--:|--:|--:|--:|\n")
	names, sums := []string{}, map[string]*process{}
	for _, p := range list {
		if sums[p.name] == nil {
			names, sums[p.name] = append(names, p.name), &process{}
		}
		sum := sums[p.name]
		sum.all, sum.runtime, sum.syncs = sum.all+p.all, sum.runtime+p.runtime, sum.syncs+p.syncs
		sum.paths = append(sum.paths, p.name) // one for each process
	}
	var total process
	for _, name := range names {
		p := sums[name]
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d |\n", name, len(p.paths), p.all, p.runtime, p.all-p.runtime, p.syncs)
		total.all, total.runtime, total.syncs = total.all+p.all, total.runtime+p.runtime, total.syncs+p.syncs
	}
	fmt.Fprintf(&b, "| **all** | %d | %d | %d | %d | %d |\n\n", len(list), total.all, total.runtime, total.all-total.runtime, total.syncs)
	b.WriteString("| git | how often | why |\n|---|--:|---|\n")
	for _, name := range names {
		sub, isGit := strings.CutPrefix(name, "git ")
		if !isGit {
			continue
		}
		why := gits[sub]
		if why == "" {
			x.Errorf("no reason is written down for git %s", sub)
		}
		fmt.Fprintf(&b, "| %s | %d | %s |\n", sub, len(sums[name].paths), why)
	}
	for _, p := range list {
		if strings.HasPrefix(p.name, "git ") || p.name == "agent" {
			continue
		}
		fmt.Fprintf(&b, "\n### %s\n\n| on | calls | why |\n|---|---|---|\n", p.name)
		var whys []string
		on, all := map[string][]string{}, map[string]map[string]int{}
		for _, path := range p.paths {
			why := reason(x, p.name, path)
			if all[why] == nil {
				whys, all[why] = append(whys, why), map[string]int{}
			}
			on[why] = append(on[why], "`"+path+"`")
			for name, n := range p.calls[path] {
				all[why][name] += n
			}
		}
		for _, why := range whys {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", strings.Join(on[why], ", "), counts(all[why]), why)
		}
	}
	return b.String()
}

func reason(x *bench, process, path string) string {
	for _, r := range reasons {
		if r.process.MatchString(process) && r.path.MatchString(path) {
			return r.why
		}
	}
	x.Errorf("no reason is written down for the calls of %s on %s", process, path)
	return ""
}

// counts names calls, with syncs first.
func counts(of map[string]int) string {
	var names []string
	for name := range of {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		sync := func(s string) int { return strings.Index("syncfs fsync", s) }
		return cmp.Or(sync(b)-sync(a), cmp.Compare(a, b))
	})
	for i, name := range names {
		text := name
		if of[name] > 1 {
			text = fmt.Sprintf("%d %s", of[name], name)
		}
		if strings.HasSuffix(name, "sync") {
			text = "**" + text + "**"
		}
		names[i] = text
	}
	return strings.Join(names, ", ")
}

// processes reads the traces.
func processes(x *bench, dir string, short func(string) string) []*process {
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	x.must(err)
	var calls []call
	parent, thread := map[int]int{}, map[int]bool{}
	for _, path := range files {
		tid, err := strconv.Atoi(strings.TrimPrefix(filepath.Ext(path), "."))
		x.must(err)
		f, err := os.Open(path)
		x.must(err)
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			m := callLine.FindStringSubmatch(lines.Text())
			if m == nil {
				continue
			}
			at, err := strconv.ParseFloat(m[1], 64)
			x.must(err)
			calls = append(calls, call{at, tid, m[2], m[3]})
			if child := childOf.FindStringSubmatch(m[3]); child != nil && (strings.HasPrefix(m[2], "clone") || m[2] == "vfork") {
				id, err := strconv.Atoi(child[1])
				x.must(err)
				parent[id], thread[id] = tid, strings.Contains(m[3], "CLONE_THREAD")
			}
		}
		x.must(lines.Err(), f.Close())
	}
	slices.SortStableFunc(calls, func(a, b call) int { return cmp.Compare(a.at, b.at) })
	var list []*process
	of := map[int]*process{}
	for _, c := range calls {
		tid := c.tid
		for thread[tid] {
			tid = parent[tid]
		}
		if c.name == "execve" && strings.HasSuffix(c.rest, "= 0") {
			of[tid] = &process{name: processName(c.rest), calls: map[string]map[string]int{}}
			list = append(list, of[tid])
		}
		p := of[tid]
		for up := tid; p == nil && parent[up] != 0; { // before its execve it is a part of what started it
			up = parent[up]
			for thread[up] {
				up = parent[up]
			}
			p = of[up]
		}
		if p == nil {
			continue
		}
		p.all++
		if runtimeCalls.MatchString(c.name) {
			p.runtime++
			continue
		}
		if strings.HasSuffix(c.name, "sync") || c.name == "syncfs" {
			p.syncs++
		}
		path := kindOf(short(pathOf(c)))
		if p.calls[path] == nil {
			p.paths, p.calls[path] = append(p.paths, path), map[string]int{}
		}
		p.calls[path][c.name]++
	}
	return list
}

// processName is what a process is, by its arguments.
func processName(rest string) string {
	var args []string
	for _, m := range quoted.FindAllStringSubmatch(rest, -1) {
		args = append(args, m[1])
	}
	switch program := filepath.Base(args[0]); {
	case program == "kugetsu" && len(args) > 2 && args[2] == "run":
		return "runner"
	case program == "kugetsu" && slices.Contains(args, "--wait"):
		return "tick that settles it"
	case program == "kugetsu" && len(args) > 2 && args[2] == "tick":
		return "tick that hands over"
	case program == "kugetsu":
		return args[2]
	case program == "git":
		for i := 2; i < len(args); i++ {
			if args[i] == "-c" || args[i] == "-C" {
				i++
				continue
			}
			if !strings.HasPrefix(args[i], "-") {
				return "git " + args[i]
			}
		}
	}
	return "agent"
}

// pathOf is the path that a call is about: of two, the second one, which is the new name.
func pathOf(c call) string {
	rest := c.rest
	if strings.HasPrefix(c.name, "rename") || strings.HasPrefix(c.name, "link") {
		if _, second, ok := strings.Cut(rest, `", `); ok {
			rest = second
		}
	}
	dir, path := onFile.FindStringSubmatch(rest), quoted.FindStringSubmatch(rest)
	switch {
	case c.name == "symlinkat" && path != nil:
		_, rest, _ = strings.Cut(rest, `", `)
		return pathOf(call{name: "openat", rest: rest})
	case path != nil && filepath.IsAbs(path[1]):
		return path[1]
	case dir != nil && path != nil:
		return filepath.Join(dir[1], path[1])
	case dir != nil:
		return dir[1]
	case path != nil:
		return path[1]
	}
	return ""
}

// kindOf is a path in which what differs from run to run does not, and one word for what is not a file of kugetsu's.
func kindOf(path string) string {
	path = strings.TrimSuffix(strings.TrimSuffix(path, " (deleted)"), "/")
	if temp := tempEnd.ReplaceAllString(path, ""); temp != path {
		path = dotTemp.ReplaceAllString(temp, "/$1")
	}
	path = privateIn.ReplaceAllString(path, "~/git/PRIVATE")
	path = itemIn.ReplaceAllString(path, "ITEM")
	path = regexp.MustCompile(`^~/queue/(items|finished)/.*ITEM.*`).ReplaceAllString(path, "~/queue/$1/ITEM")
	path = regexp.MustCompile(`^~/notifications/([a-z]+)/ITEM\.(\d+\.)?([a-z_]+).*`).ReplaceAllString(path, "~/notifications/$1/$3")
	path = regexp.MustCompile(`^~/usage/\d.*`).ReplaceAllString(path, "~/usage/DAY")
	path = regexp.MustCompile(`^~/t/.*`).ReplaceAllString(path, "~/t/N")
	path = regexp.MustCompile(`^~/(env|prompts)/.*`).ReplaceAllString(path, "~/$1")
	path = regexp.MustCompile(`^~/worktrees.*`).ReplaceAllString(path, "~/worktrees")
	path = regexp.MustCompile(`^~/repos/.*`).ReplaceAllString(path, "~/repos/")
	path = regexp.MustCompile(`^~/sessions/(.*)\.(json|lock)$`).ReplaceAllString(path, "~/sessions/SESSION.$2")
	path = regexp.MustCompile(`^~/runs/ITEM/(exit|started|end\..*)$`).ReplaceAllString(path, "~/runs/ITEM")
	switch {
	case strings.HasPrefix(path, "REPOSITORY"):
		return "REPOSITORY"
	case strings.HasPrefix(path, "~"):
		return path
	case strings.HasPrefix(path, "/proc"), strings.HasPrefix(path, "/sys"):
		return "kernel"
	case strings.Contains(path, "/bin/"), strings.Contains(path, "/sbin/"), strings.Contains(path, "/lib"), strings.Contains(path, "shims/"), strings.HasSuffix(path, "/kugetsu"), strings.HasPrefix(path, "/etc/ld.so"):
		return "programs"
	case strings.HasPrefix(path, "/etc"), strings.HasPrefix(path, "/usr/share/zoneinfo"), strings.HasPrefix(path, "/var/run"):
		return "host"
	}
	return "elsewhere"
}
