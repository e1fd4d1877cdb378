//go:build linux

package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"kugetsu/contrib/built"
	"kugetsu/queue"
	"kugetsu/slots"
	"kugetsu/slots/proc"
)

// stranger is a world in which another user put files.
type stranger struct {
	*world
	outside string            // a folder of another user's, in which nothing may change
	kept    map[string]string // the content of outside
	user    *syscall.Credential
}

const (
	mostTime   = 30 * time.Second // of a command, on the clock of a busy machine
	mostCPU    = 3 * time.Second
	mostMemory = 100 << 10 // KiB
)

func newStranger(t *testing.T, settings ...string) *stranger {
	s := &stranger{world: newWorld(t)}
	t.Cleanup(s.close)
	s.env = append(s.env, settings...)
	s.outside = filepath.Join(s.dir, "outside")
	s.must(os.MkdirAll(filepath.Join(s.outside, "folder", "tmp"), 0o700))
	for _, name := range []string{"plain", "folder/started", "folder/result.json", "folder/tmp/work"} {
		s.must(os.WriteFile(filepath.Join(s.outside, name), []byte("not yours\n"), 0o600))
	}
	return s
}

func (s *stranger) at(elem ...string) string {
	return filepath.Join(append([]string{string(s.home)}, elem...)...)
}

// keep remembers the content of outside, once all of it is there.
func (s *stranger) keep() { s.kept = s.picture() }

func (s *stranger) picture() map[string]string {
	all := map[string]string{}
	s.must(filepath.WalkDir(s.outside, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text := info.Mode().String()
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += info.ModTime().String() + string(data)
		}
		all[path] = text
		return nil
	}))
	return all
}

// untouched fails if anything outside was changed.
func (s *stranger) untouched() {
	s.t.Helper()
	if now := s.picture(); !maps.Equal(now, s.kept) {
		s.t.Errorf("outside of the state folder there was\n%q\nand there is\n%q", s.kept, now)
	}
}

// said is how a command ended.
type said struct {
	args     []string
	code     int
	out, err string
}

// run runs kugetsu, which must end soon, in little memory, without a panic, and with at most one error line.
func (s *stranger) run(args ...string) said {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), mostTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "kugetsu"), args...)
	var out, errs head
	cmd.Env, cmd.Stdout, cmd.Stderr = s.env, &out, &errs
	cmd.WaitDelay = time.Second
	if s.user != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.user}
	}
	err := cmd.Run()
	if ctx.Err() != nil {
		s.t.Fatalf("%v hangs: %s%s", args, out, errs)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatalf("%v: %v", args, err)
	}
	r := said{args, cmd.ProcessState.ExitCode(), string(out), string(errs)}
	// A process begins with the memory of its parent, which counts for it, too.
	var own syscall.Rusage
	s.must(syscall.Getrusage(syscall.RUSAGE_SELF, &own))
	usage, _ := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if usage == nil || usage.Maxrss > own.Maxrss+mostMemory {
		s.t.Errorf("%v took too much memory: %+v", args, usage)
	}
	if cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(); cpu > mostCPU {
		s.t.Errorf("%v worked for %s", args, cpu)
	}
	if strings.Contains(r.err, "goroutine ") || r.code < 0 || r.code == 2 {
		s.t.Errorf("%v broke: exit code %d: %s", args, r.code, r.err)
	}
	if n := strings.Count(r.err, "kugetsu: error: "); n > 1 || (r.code != 0) != (n == 1) {
		s.t.Errorf("%v: exit code %d with %d error lines: %s", args, r.code, n, r.err)
	}
	return r
}

// head keeps the beginning of what is written to it.
type head []byte

func (h *head) Write(p []byte) (int, error) {
	*h = append(*h, p[:min(len(p), 1<<20-len(*h))]...)
	return len(p), nil
}

func (s *stranger) tick(codes ...int) said {
	s.t.Helper()
	r := s.run("tick")
	if !slices.Contains(codes, r.code) {
		s.t.Fatalf("tick: exit code %d, not %v: %.1500s", r.code, codes, r.err)
	}
	return r
}

// shows are the commands that show something.
func (s *stranger) shows() [][]string {
	list := [][]string{{"status"}, {"status", "--json"}, {"list"}, {"list", "--json"}, {"queue", "list", "--all"},
		{"queue", "list", "--all", "--json"}, {"queue", "stats"}, {"notify", "list"}, {"notify", "list", "--json"}, {"logs"},
		{"tick", "--dry-run"}, {"tick", "--dry-run", "--json"}, {"queue", "wait", "--all", "--timeout", "1ms"}}
	for _, id := range s.ids[:min(len(s.ids), 2)] {
		list = append(list, []string{"queue", "show", id}, []string{"queue", "show", id, "--json"}, []string{"logs", id},
			[]string{"queue", "wait", "--timeout", "1ms", id})
	}
	return list
}

// look runs all of them. run says what must hold of each.
func (s *stranger) look() {
	s.t.Helper()
	s.lookAt(s.shows())
}

// some are a few of these commands, others for every n.
func (s *stranger) some(n int) [][]string {
	list := s.shows()
	if *full {
		return list
	}
	return [][]string{list[n%len(list)], list[(n+3)%len(list)], list[(n+7)%len(list)]}
}

func (s *stranger) lookAt(commands [][]string) {
	s.t.Helper()
	for _, args := range commands {
		if r := s.run(args...); !slices.Contains([]int{0, 1, 75, 78}, r.code) {
			s.t.Errorf("%v: exit code %d: %s", args, r.code, r.err)
		} else {
			safe(s.t, r)
		}
	}
}

// act runs the commands that act on items, over the items that are left when all are settled.
func (s *stranger) act() {
	s.t.Helper()
	for _, args := range [][]string{{"queue", "cancel", s.ids[0]}, {"queue", "retry", s.ids[0]}, {"queue", "cancel", s.ids[0]},
		{"notify", "clear"}, {"queue", "clear", "--older-than", "0"}} {
		if r := s.run(args...); !slices.Contains([]int{0, 1, 75}, r.code) {
			s.t.Errorf("%v: exit code %d: %s", args, r.code, r.err)
		}
	}
}

// rest makes ticks until the good items are filed and none of their processes is left. The exit code of each tick is one of these.
func (s *stranger) rest(codes ...int) {
	s.t.Helper()
	for begin := time.Now(); ; {
		s.tick(codes...)
		if s.filed() {
			break
		}
		if time.Since(begin) > patience {
			s.t.Fatalf("the good items are not settled after %s: %+v", patience, s.run("status"))
		}
		<-time.After(5 * time.Millisecond)
	}
	if err := s.judge(completed); err != nil {
		s.t.Error(err)
	}
}

// filed says whether every item is in finished/ and no process of a run is left.
func (s *stranger) filed() bool {
	for _, id := range s.ids {
		e, err := s.q.Find(id)
		if err != nil || filepath.Dir(e.Path) != s.q.Finished {
			return false
		}
		for n := 1; n < 4; n++ {
			if left, err := proc.Marked(proc.Run{Name: slots.RunName(id, n)}); err != nil || len(left) > 0 {
				return false
			}
		}
	}
	return true
}

// told lists the events about bad files.
func (s *stranger) told() []string {
	list, err := filepath.Glob(s.at("notifications", "new", "file_bad.*.json"))
	s.must(err)
	return list
}

// once fails unless there are events about n bad files, and later passes add none.
func (s *stranger) once(n int) {
	s.t.Helper()
	if told := s.told(); len(told) != n {
		s.t.Errorf("%d bad files were told of, not %d: %q", len(told), n, told)
	}
	for range 2 {
		if r := s.tick(0); r.out+r.err != "" {
			s.t.Errorf("a later pass says: %s%s", r.out, r.err)
		}
	}
	if told := s.told(); len(told) != n {
		s.t.Errorf("after two more passes %d bad files were told of, not %d: %q", len(told), n, told)
	}
}

// aside fails unless n files lie in queue/bad.
func (s *stranger) aside(n int) {
	s.t.Helper()
	if left, err := os.ReadDir(s.q.Bad); err != nil || len(left) != n {
		s.t.Errorf("%d files were quarantined, not %d: %v %v", len(left), n, left, err)
	}
}

// kind is one way in which a file is not what it should be.
type kind struct {
	name  string
	make  func(s *stranger, path string, good, wrong []byte)
	good  bool // it reads as a proper file
	newer bool
	node  bool // it is no file with wrong content, but something else
}

func content(change func(good, wrong []byte) []byte) func(s *stranger, path string, good, wrong []byte) {
	return func(s *stranger, path string, good, wrong []byte) {
		s.must(os.WriteFile(path, change(good, wrong), 0o600))
	}
}

var kinds = []kind{
	{name: "a FIFO", node: true, make: func(s *stranger, path string, _, _ []byte) { s.must(syscall.Mkfifo(path, 0o600)) }},
	{name: "a link to a good file", node: true, make: func(s *stranger, path string, good, _ []byte) {
		s.must(os.Symlink(s.elsewhere(path, good), path))
	}},
	{name: "a link to /dev/zero", node: true, make: func(s *stranger, path string, _, _ []byte) { s.must(os.Symlink("/dev/zero", path)) }},
	{name: "a link to nowhere", node: true, make: func(s *stranger, path string, _, _ []byte) {
		s.must(os.Symlink(filepath.Join(s.outside, "nowhere"), path))
	}},
	{name: "a link to a folder", node: true, make: func(s *stranger, path string, _, _ []byte) {
		s.must(os.Symlink(filepath.Join(s.outside, "folder"), path))
	}},
	{name: "a folder", node: true, make: func(s *stranger, path string, _, _ []byte) {
		s.must(os.MkdirAll(filepath.Join(path, "full"), 0o700))
	}},
	{name: "a socket", node: true, make: func(s *stranger, path string, _, _ []byte) {
		// A socket's path is short, so the file is made elsewhere and moved to its place.
		short := filepath.Join(s.dir, "sock")
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: short})
		s.must(err)
		l.SetUnlinkOnClose(false)
		s.must(l.Close())
		s.must(os.Rename(short, path))
	}},
	{name: "3 GB without a byte", make: func(s *stranger, path string, _, _ []byte) {
		s.must(os.WriteFile(path, nil, 0o600))
		s.must(os.Truncate(path, 3<<30))
	}},
	{name: "a second name of a good file", good: true, make: func(s *stranger, path string, good, _ []byte) {
		s.must(os.Link(s.elsewhere(path, good), path))
	}},
	{name: "zeros", make: content(func(good, _ []byte) []byte { return make([]byte, len(good)) })},
	{name: "cut off", make: content(func(good, _ []byte) []byte { return good[:len(good)/2] })},
	{name: "null", make: content(func(_, _ []byte) []byte { return []byte("null") })},
	{name: "empty", make: content(func(_, _ []byte) []byte { return nil })},
	{name: "with something behind it", make: content(func(good, _ []byte) []byte { return append(slices.Clone(good), "\n{}"...) })},
	{name: "64 KiB of brackets", make: content(func(_, _ []byte) []byte { return []byte(strings.Repeat("[", 64<<10)) })},
	{name: "not UTF-8", make: content(func(good, _ []byte) []byte {
		return []byte(strings.Replace(string(good), `:"`, ":\"\xff\xc3(", 1))
	})},
	{name: "of another name", make: content(func(_, wrong []byte) []byte { return wrong })},
	{name: "of a newer kugetsu", newer: true, make: content(func(good, _ []byte) []byte {
		return []byte(strings.Replace(string(good), `"v":1`, `"v":99`, 1))
	})},
}

// elsewhere makes a file outside with this content.
func (s *stranger) elsewhere(path string, data []byte) string {
	name := filepath.Join(s.outside, strings.ReplaceAll(strings.TrimPrefix(path, s.dir), "/", "_"))
	s.must(os.WriteFile(name, data, 0o600))
	return name
}

func oldID(n int) string { return fmt.Sprintf("q_01arz3ndektsv4rrffq69g5f%02d", n) }

func encode(t testing.TB, v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func goodItem(t testing.TB, id, ref string, state queue.State) []byte {
	return encode(t, &queue.Item{V: 1, ID: id, IssueRef: ref, Agent: "command", Message: "work", Mode: queue.Auto, State: state,
		PendingSince: time.Now().UTC(), After: []string{}, History: []queue.Run{}})
}

// TestHostileItems: whatever lies in a folder of items, the good items run, the bad files are quarantined and told of once, and no
// target of a link is touched.
func TestHostileItems(t *testing.T) {
	t.Parallel()
	for _, lane := range []queue.Lane{queue.Dev, queue.PM} {
		name, ref := "queue/items", "github.com/you/project#%d"
		if lane == queue.PM {
			name, ref = "queue/pm", ""
		}
		try(t, hostile, "in "+name, len(kinds), func(t *testing.T) {
			s := newStranger(t)
			for n, k := range kinds {
				issue := ref
				if issue != "" {
					issue = fmt.Sprintf(ref, 10+n)
				}
				k.make(s, s.at(name, "00-"+oldID(n)+".json"), goodItem(t, oldID(n), issue, queue.Pending), goodItem(t, oldID(99), issue, queue.Pending))
				if k.good {
					s.ids, s.paid = append(s.ids, oldID(n)), append(s.paid, 0)
				}
			}
			s.item(1)
			s.item(2)
			s.keep()
			s.look()
			first := s.tick(75)
			if lane == queue.PM { // it has one slot, so the files behind the item in it are met only when the slot is free again
				s.rest(0, 75)
				s.run("tick", "--wait") // this meets the files behind the last item
			} else {
				s.rest(0)
			}
			if !strings.Contains(first.err, "quarantine ") {
				t.Errorf("the first pass does not say that it quarantined a file: %s", first.err)
			}
			s.aside(len(kinds) - 2)
			s.once(len(kinds) - 1)
			s.look()
			s.act()
			s.untouched()
		})
	}
}

// TestHostileSettledItems: an old item in finished/ is read before it is deleted.
func TestHostileSettledItems(t *testing.T) {
	t.Parallel()
	try(t, hostile, "in queue/finished", len(kinds), func(t *testing.T) {
		s := newStranger(t)
		done := func(id string) []byte {
			at := time.Unix(1e9, 0)
			return encode(t, &queue.Item{V: 1, ID: id, IssueRef: "github.com/you/project#3", State: queue.Completed, CompletedAt: &at,
				After: []string{}, History: []queue.Run{}})
		}
		var deleted string
		for n, k := range kinds {
			path := s.at("queue", "finished", "00-"+oldID(n)+".json")
			k.make(s, path, done(oldID(n)), done(oldID(99)))
			if k.good {
				deleted = path
			}
		}
		s.item(1)
		s.keep()
		s.look()
		s.tick(75)
		s.rest(0)
		s.aside(len(kinds) - 2)
		s.once(len(kinds) - 1)
		if _, err := os.Lstat(deleted); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("an old item that is good was not deleted: %v", err)
		}
		s.look()
		s.act()
		s.untouched()
	})
}

// TestHostileIntents: a slot file that cannot be read is quarantined, and its slot is used. A slot file of a newer kugetsu keeps
// its slot occupied.
func TestHostileIntents(t *testing.T) {
	t.Parallel()
	try(t, hostile, "in slots, instead of k.json", len(kinds), func(t *testing.T) {
		s := newStranger(t)
		var newer string
		for n, k := range kinds {
			in := slots.Intent{V: 1, Item: oldID(n), File: "00-" + oldID(n) + ".json", Run: 1, Session: session(20 + n), Boot: proc.BootID()}
			wrong := in
			wrong.Item = "../../x"
			path := s.at("slots", fmt.Sprint(n+11)+".json")
			k.make(s, path, encode(t, in), encode(t, wrong))
			if k.newer {
				newer = path
			}
		}
		s.item(1)
		s.item(2)
		s.keep()
		before, err := os.ReadFile(newer)
		s.must(err)
		s.look()
		s.tick(0, 75)
		s.rest(0)
		s.aside(len(kinds) - 2)
		s.once(len(kinds) - 1)
		after, err := os.ReadFile(newer)
		if err != nil || string(after) != string(before) {
			t.Errorf("the slot file of a newer kugetsu: %s %v", after, err)
		}
		if r := s.run("status"); !strings.Contains(r.out, "1 of 3 slots occupied") || !strings.Contains(r.out, "version 99: written by a newer kugetsu") {
			t.Errorf("status: %s", r.out)
		}
		s.look()
		s.act()
		s.untouched()
	})
}

// TestHostileLocks: a lock that cannot be locked is reported at every pass, and the thing that it guards counts as locked.
func TestHostileLocks(t *testing.T) {
	t.Parallel()
	closed := func(k kind) bool { return k.node && k.name != "a FIFO" }
	try(t, hostile, "in slots, instead of k.lock", len(kinds), func(t *testing.T) {
		s := newStranger(t)
		n := 0
		for i, k := range kinds {
			k.make(s, s.at("slots", fmt.Sprint(i+11)+".lock"), []byte("{}"), []byte("{}"))
			if closed(k) {
				n++
			}
		}
		s.env = append(s.env, fmt.Sprintf("MAX_CONCURRENT_AGENTS=%d", limit+n))
		s.item(1)
		s.item(2)
		s.keep()
		s.look()
		s.rest(0, 75) // 0 while a runner's own tick has tick.lock
		if r := s.run("status"); !strings.Contains(r.out, fmt.Sprintf("%d of %d slots occupied", n, limit+n)) {
			t.Errorf("status: %s", r.out)
		}
		s.aside(0)
		s.look()
		s.act()
		s.untouched()
	})
	try(t, hostile, "in sessions, instead of a session's lock", len(kinds), func(t *testing.T) {
		s := newStranger(t)
		var waiting []string
		for i, k := range kinds {
			k.make(s, s.home.SessionLock(session(20+i)), []byte("{}"), []byte("{}"))
			_, it := s.item(20 + i)
			if closed(k) {
				waiting = append(waiting, it.ID)
				s.ids, s.paid = s.ids[:len(s.ids)-1], s.paid[:len(s.paid)-1]
			}
		}
		s.item(1)
		s.keep()
		s.look()
		s.rest(0, 75)
		for _, id := range waiting {
			if _, it, err := load(s.world, id); err != nil || it.State != queue.Pending || it.Runs != 0 {
				t.Errorf("%s did not wait: %+v %v", id, it, err)
			}
		}
		s.aside(0)
		s.look()
		s.act()
		s.untouched()
	})
}

// TestHostileSessions: an issue whose session cannot be read does not run. The other issues do.
func TestHostileSessions(t *testing.T) {
	t.Parallel()
	try(t, hostile, "in sessions, instead of a session", len(kinds), func(t *testing.T) {
		s := newStranger(t, "MAX_ATTEMPTS=1")
		var bad []string
		newer := ""
		for n, k := range kinds {
			sess := slots.Session{V: 1, Type: "forked", IssueRef: fmt.Sprintf("github.com/you/project#%d", 20+n), Agent: "command",
				Worktree: s.home.Worktree(session(20 + n)), Branch: fmt.Sprintf("fix/issue-%d", 20+n)}
			wrong := sess
			wrong.IssueRef, wrong.Worktree = "github.com/you/project#1", s.home.Worktree(session(1))
			k.make(s, s.at("sessions", session(20+n)+".json"), encode(t, sess), encode(t, wrong))
			_, it := s.item(20 + n)
			if k.good {
				continue
			}
			s.ids, s.paid = s.ids[:len(s.ids)-1], s.paid[:len(s.paid)-1]
			if k.newer {
				newer = it.ID
			} else {
				bad = append(bad, it.ID)
			}
		}
		s.item(1)
		s.keep()
		s.look()
		s.rest(0)
		for begin := time.Now(); time.Since(begin) < patience; <-time.After(5 * time.Millisecond) {
			if live, err := s.q.Live(queue.Dev); err != nil || len(live) == 1 {
				break
			}
			s.tick(0)
		}
		for _, id := range bad {
			_, it, err := load(s.world, id)
			if err != nil || it.State != queue.Errored || !strings.Contains(*it.Error, "not a state file: ") {
				t.Errorf("%+v %v", it, err)
			}
		}
		if _, it, err := load(s.world, newer); err != nil || it.State != queue.Pending || it.Runs != 0 {
			t.Errorf("the item in a session of a newer kugetsu: %+v %v", it, err)
		}
		if r := s.run("status"); !strings.Contains(r.out, "written by a newer kugetsu") {
			t.Errorf("status does not say why an item waits: %s", r.out)
		}
		if _, err := os.Lstat(s.at("worktrees", session(20))); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("a run began in a session that could not be read: %v", err)
		}
		s.once(1)
		s.look()
		s.act()
		s.untouched()
	})
}

// TestHostileRuns: whatever stands in a run's folder, or in its place, is trusted only as far as its rule says.
func TestHostileRuns(t *testing.T) {
	t.Parallel()
	for _, named := range []bool{true, false} {
		where := "in runs, instead of a run's folder"
		if !named {
			where += " that no slot names"
		}
		try(t, hostile, where, len(kinds), func(t *testing.T) {
			s := newStranger(t)
			for n, k := range kinds {
				e, it := s.item(20 + n)
				in := slots.Intent{Item: it.ID, File: filepath.Base(e.Path), Run: 1, Session: session(20 + n), Boot: proc.BootID()}
				if named {
					s.must(s.home.WriteIntent(fmt.Sprint(11+n), in))
				}
				k.make(s, s.home.RunDir(in.RunName()), []byte("{}"), []byte("{}"))
				s.must(s.q.Notify(e, it, 1, nobody, nil))
			}
			s.item(1)
			s.keep()
			s.look()
			s.rest(0)
			s.aside(0)
			s.once(0)
			s.look()
			s.act()
			s.untouched()
		})
	}
	markers := map[string]int{"exit": 2, "end.ok.0": 1} // the runs that an item has in the end
	if *full {
		markers["started"] = 2
	}
	try(t, hostile, "in runs, instead of the empty marker", len(markers)*len(kinds), func(t *testing.T) {
		s := newStranger(t)
		want := map[string]int{}
		n := 0
		for marker, runs := range markers {
			for _, k := range kinds {
				n++
				e, it := s.item(100 + n)
				s.must(os.Mkdir(s.home.RunDir(slots.RunName(it.ID, 1)), 0o700))
				k.make(s, s.at("runs", slots.RunName(it.ID, 1), marker), []byte("{}"), []byte("{}"))
				s.must(s.q.Notify(e, it, 1, nobody, nil))
				want[it.ID] = runs
				if marker != "exit" {
					s.paid[len(s.paid)-1] = 1
				}
			}
		}
		s.keep()
		s.look()
		s.rest(0)
		for id, runs := range want {
			if _, it, err := load(s.world, id); err != nil || it.Runs != runs {
				t.Errorf("%d runs expected: %+v %v", runs, it, err)
			}
		}
		s.once(0)
		s.act()
		s.untouched()
	})
	try(t, hostile, "in runs, several markers at once: the furthest counts", 3, func(t *testing.T) {
		s := newStranger(t)
		for n, markers := range [][]string{{"exit", "started", "end.ok.0"}, {"end.ok.0", "exit"}, {"started", "end.ok.0"}} {
			e, it := s.item(20 + n)
			s.paid[n] = 1
			for _, marker := range markers {
				s.must(os.MkdirAll(s.home.RunDir(slots.RunName(it.ID, 1)), 0o700))
				s.must(os.WriteFile(s.at("runs", slots.RunName(it.ID, 1), marker), nil, 0o600))
			}
			s.must(s.q.Notify(e, it, 1, nobody, nil))
		}
		s.keep()
		s.rest(0)
		for _, id := range s.ids {
			if _, it, err := load(s.world, id); err != nil || it.Runs != 1 {
				t.Errorf("what had ended was run again: %+v %v", it, err)
			}
		}
	})
	try(t, hostile, "in runs, instead of result.json", len(kinds), func(t *testing.T) {
		s := newStranger(t)
		told := encode(t, slots.Result{V: 1, Outcome: "ok", Summary: "told", EndedAt: time.Now()})
		var good string
		for n, k := range kinds {
			_, it := s.inSlot(fmt.Sprint(11+n), 20+n, "end.ok.0", true)
			k.make(s, s.at("runs", slots.RunName(it.ID, 1), "result.json"), told, encode(t, slots.Result{V: 1, Outcome: "failed"}))
			if k.good {
				good = it.ID
			}
		}
		s.item(1)
		s.keep()
		s.rest(0)
		if _, it, err := load(s.world, good); err != nil || it.History[0].Summary != "told" {
			t.Errorf("a good result was not read: %+v %v", it, err)
		}
		s.once(0)
		s.act()
		s.untouched()
	})
	try(t, hostile, "in runs, instead of a log", len(kinds), func(t *testing.T) {
		s := newStranger(t)
		for n, k := range kinds {
			_, it := s.inSlot(fmt.Sprint(11+n), 20+n, "end.ok.0", true)
			k.make(s, s.home.LogPath(slots.RunName(it.ID, 1)), []byte("a line\n"), []byte("another\n"))
		}
		s.keep()
		for n, k := range kinds {
			for _, args := range [][]string{{"logs", s.ids[n]}, {"logs", "-f", "--raw", "--run", "1", s.ids[n]}} {
				r := s.run(args...)
				if k.node && (r.code == 0 || r.out != "") {
					t.Errorf("%s was shown as a log: exit code %d: %.100s", k.name, r.code, r.out)
				}
				if k.good && r.out != "a line\n" {
					t.Errorf("%s was not shown: exit code %d: %.100s%s", k.name, r.code, r.out, r.err)
				}
			}
		}
		s.rest(0)
		s.act()
		s.untouched()
	})
}

// TestHostileEvents: a file that is no event is counted, and blocks no delivery.
func TestHostileEvents(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"new", "seen", "owed"} {
		try(t, hostile, "in notifications/"+dir, len(kinds), func(t *testing.T) {
			s := newStranger(t, "NOTIFY_COMMAND=sh -c 'cat >>$HOME/delivered'")
			for n, k := range kinds {
				name := fmt.Sprintf("%s.1.task_queued", oldID(n))
				good := fmt.Sprintf(`{"v":1,"name":%q,"type":"task_queued","at":"2026-04-05T10:00:00Z"}`, name)
				k.make(s, s.at("notifications", dir, name+".json"), []byte(good), []byte(strings.Replace(good, "task_queued", "other", 1)))
			}
			s.item(1)
			s.keep()
			s.look()
			s.rest(0, 75)
			for begin := time.Now(); ; <-time.After(5 * time.Millisecond) {
				s.tick(0)
				data, err := os.ReadFile(filepath.Join(s.dir, "delivered"))
				if err == nil && strings.Contains(string(data), "task_completed") {
					break
				}
				if time.Since(begin) > patience {
					t.Fatalf("a good event was not delivered: %s %v", data, err)
				}
			}
			switch dir {
			case "owed":
				s.aside(len(kinds) - 2)
				if told := s.told(); len(told) != len(kinds)-2 {
					t.Errorf("%d bad files were told of: %q", len(told), told)
				}
			default:
				s.aside(0)
			}
			s.look()
			s.act()
			s.untouched()
		})
	}
}

// TestHostileSettings: a file of the user's that cannot be read stops what depends on it, with one line, and makes nothing hang.
func TestHostileSettings(t *testing.T) {
	t.Parallel()
	for _, place := range []struct {
		name, file, good string
		codes            []int // of a tick over the bad file
	}{
		{"instead of config", "config", "MAX_ATTEMPTS=3\n", []int{0, 78}},
		{"instead of repos.json", "repos.json", `{"github.com/you/project":"%s"}`, []int{0, 78}},
		{"instead of paused", "paused", `{"until":"2020-01-01T00:00:00Z","reason":"x"}`, []int{0}},
		{"instead of an agent's hold", "holds/command.json", `{"until":"2020-01-01T00:00:00Z","reason":"x"}`, []int{0}},
		{"instead of tick.lock", "tick.lock", "{}", []int{0, 75}},
	} {
		try(t, hostile, place.name, len(kinds), func(t *testing.T) {
			s := newStranger(t)
			path := s.at(place.file)
			kept, err := os.ReadFile(path)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			s.item(1)
			for n, k := range kinds {
				s.must(os.RemoveAll(path))
				good := strings.ReplaceAll(place.good, "%s", filepath.Join(s.dir, "repo"))
				k.make(s, path, []byte(good), []byte(good))
				s.keep()
				r := s.tick(place.codes...)
				if k.node && k.name != "a link to a good file" && k.name != "a FIFO" && len(place.codes) > 1 && place.file != "config" && r.code == 0 {
					t.Errorf("%s: nothing is said about it", k.name)
				}
				s.lookAt(s.some(n))
				if place.file != "tick.lock" || !k.good { // its time is that of the last pass, under any name
					s.untouched()
				}
				s.must(s.waitIdle())
			}
			s.must(os.RemoveAll(path))
			if kept != nil {
				s.must(os.WriteFile(path, kept, 0o600))
			}
			s.keep()
			s.rest(0)
		})
	}
}

// waitIdle waits until no run is under way, so that the next step meets a world at rest.
func (s *stranger) waitIdle() error {
	for begin := time.Now(); ; <-time.After(5 * time.Millisecond) {
		busy := false
		runs, err := os.ReadDir(s.at("runs"))
		if err != nil {
			return err
		}
		for _, run := range runs {
			left, err := proc.Marked(proc.Run{Name: run.Name()})
			if err != nil {
				return err
			}
			busy = busy || len(left) > 0
		}
		if !busy {
			return nil
		}
		if time.Since(begin) > patience {
			return fmt.Errorf("a run does not end in %s", patience)
		}
	}
}

// awaitFiled waits until the items are filed, without a tick of its own.
func (s *stranger) awaitFiled() {
	s.t.Helper()
	for begin := time.Now(); !s.filed(); <-time.After(5 * time.Millisecond) {
		if time.Since(begin) > patience {
			s.t.Fatalf("not settled after %s: %+v", patience, s.run("status"))
		}
	}
}

// TestHostileTickLog: the tick that a runner starts settles its run, whatever stands in the place of its log.
func TestHostileTickLog(t *testing.T) {
	t.Parallel()
	try(t, hostile, "instead of tick.log", len(kinds), func(t *testing.T) {
		s := newStranger(t)
		for n, k := range kinds {
			s.must(os.RemoveAll(s.at("tick.log")))
			k.make(s, s.at("tick.log"), []byte("a line\n"), []byte("another\n"))
			s.keep()
			s.item(20 + n)
			s.tick(0)
			s.awaitFiled()
			if !k.good { // a log is appended to under any name
				s.untouched()
			}
		}
		if err := s.judge(completed); err != nil {
			t.Error(err)
		}
	})
}

// opencode is an opencode that answers.
const opencode = `#!/bin/sh
case $1 in
--version) echo 1.18.33 ;;
run)
	echo "begin $KUGETSU_RUN" >>"$HOME/record"
	cat >/dev/null
	echo '{"type":"text","sessionID":"ses_1","part":{"type":"text","text":"done"}}'
	echo '{"type":"step_finish","sessionID":"ses_1","part":{"type":"step-finish","reason":"stop"}}' ;;
esac
`

// TestHostileInputsOfARun: if a run needs a file and cannot read it, the run ends with a reason, and nothing hangs. If the file is
// one of the user's own, no run is started, and no attempt is counted.
func TestHostileInputsOfARun(t *testing.T) {
	t.Parallel()
	for _, place := range []struct {
		file, agent, good string
		optional          bool // a run can do without it
		lock              bool // it only needs to be lockable
	}{
		{file: "env/default.env", agent: "command", good: "A=b\n"},
		{file: "env/dev.env", agent: "command", good: "A=b\n"},
		{file: "prompts/dev.md", agent: "opencode", good: "Do it.\n"},
		{file: "agents/opencode.json", agent: "opencode", good: `{"path":"x","major":1}`, optional: true},
		{file: "agents/opencode.lock", agent: "opencode", lock: true},
		{file: "repos/github.com+you+project.git", agent: "command"},
		{file: "repos/github.com+you+project.lock", agent: "command", lock: true},
	} {
		list := kinds
		if place.good == "" { // it has no content that could be wrong
			list = slices.DeleteFunc(slices.Clone(kinds), func(k kind) bool { return !k.node })
		}
		try(t, hostile, "instead of "+place.file, len(list), func(t *testing.T) {
			s := newStranger(t, "MAX_ATTEMPTS=1")
			s.must(os.MkdirAll(filepath.Join(s.dir, "bin"), 0o700))
			s.must(os.WriteFile(filepath.Join(s.dir, "bin", "opencode"), []byte(opencode), 0o700))
			s.env = append(s.env, "PATH="+filepath.Join(s.dir, "bin")+":"+bin+":"+built.WithoutAgents(os.Getenv("PATH")))
			bare := filepath.Join(s.dir, "bare")
			if strings.HasPrefix(place.file, "repos/") { // it is cloned
				if out, err := exec.Command("git", "clone", "-q", "--bare", filepath.Join(s.dir, "repo"), bare).CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				s.must(os.WriteFile(s.at("repos.json"), fmt.Appendf(nil, `{"github.com/you/project":%q}`, bare), 0o600))
			}
			path := s.at(place.file)
			s.must(os.MkdirAll(filepath.Dir(path), 0o700))
			for n, k := range list {
				s.must(os.RemoveAll(path))
				if place.file == "agents/opencode.lock" {
					s.must(os.RemoveAll(s.at("agents", "opencode.json")))
				}
				if strings.HasPrefix(place.file, "repos/") {
					s.must(os.RemoveAll(s.at("repos")))
					s.must(os.MkdirAll(s.at("repos"), 0o700))
				}
				k.make(s, path, []byte(place.good), []byte(place.good))
				s.keep()
				now := time.Now().UTC()
				it := &queue.Item{ID: queue.NewID(now), IssueRef: fmt.Sprintf("github.com/you/project#%d", 20+n), Agent: place.agent, Message: "work",
					Mode: queue.Auto, PendingSince: now, After: []string{}, History: []queue.Run{}}
				_, err := s.q.Publish(it, queue.Dev, queue.DefaultPriority)
				s.must(err)
				s.ids = []string{it.ID}
				yours := strings.HasPrefix(place.file, "env/") || strings.HasPrefix(place.file, "prompts/")
				if !yours {
					s.tick(0)
				} else if r := s.tick(0, 78); r.code == 78 {
					if k.good || k.name == "a link to a good file" || !strings.Contains(r.err, place.file) {
						t.Errorf("%s: %s", k.name, r.err)
					}
					_, waits, err := load(s.world, it.ID)
					s.must(err)
					// The tick of the run before may have read the file when it was still good.
					if waits.State.Settled() || waits.Attempts != 0 {
						t.Errorf("%s: %s, %d attempts", k.name, waits.State, waits.Attempts)
					}
					s.untouched()
					s.must(os.RemoveAll(path)) // corrected
					s.tick(0)
				} else if k.node && k.name != "a link to a good file" {
					t.Errorf("%s: nothing is said about it", k.name)
				}
				s.awaitFiled()
				_, it, err = load(s.world, it.ID)
				s.must(err)
				why := ""
				if it.Error != nil {
					why = *it.Error
				}
				refused := k.node && !yours && !place.optional && !(place.lock && k.name == "a FIFO")
				switch {
				case refused && (it.State != queue.Errored || !strings.Contains(why, "start_failed: ")):
					t.Errorf("%s: the run went on: %s %s", k.name, it.State, why)
				case refused && !strings.Contains(why, filepath.Base(place.file)):
					t.Errorf("%s: it is not said what is wrong: %s", k.name, why)
				case (yours || place.optional || k.good || place.lock && k.name == "a FIFO") && it.State != queue.Completed:
					t.Errorf("%s: %s %s", k.name, it.State, why)
				}
				s.untouched()
			}
		})
	}
}

// TestHostileWorktrees: a run never works in a folder that another user put in place of its worktree.
func TestHostileWorktrees(t *testing.T) {
	t.Parallel()
	nodes := slices.DeleteFunc(slices.Clone(kinds), func(k kind) bool { return !k.node || k.name == "a folder" })
	try(t, hostile, "instead of a worktree", len(nodes)+2, func(t *testing.T) {
		s := newStranger(t, "MAX_ATTEMPTS=1")
		s.item(1)
		s.rest(0)
		s.must(os.WriteFile(s.at("worktrees", session(1), "work"), []byte("precious\n"), 0o600))
		first := s.ids
		var bad []string
		refuse := func(n int) {
			_, it := s.item(n)
			bad = append(bad, it.ID)
		}
		for n, k := range nodes {
			k.make(s, s.at("worktrees", session(20+n)), nil, nil)
			refuse(20 + n)
		}
		s.must(os.MkdirAll(s.at("worktrees", session(40), "full"), 0o700))
		s.must(os.WriteFile(s.at("worktrees", session(40), "full", "work"), []byte("precious\n"), 0o600))
		refuse(40)
		s.must(os.Symlink(s.at("worktrees", session(1)), s.at("worktrees", session(41)))) // another session's
		refuse(41)
		s.keep()
		s.tick(0)
		s.awaitFiled()
		for _, id := range bad {
			if _, it, err := load(s.world, id); err != nil || it.State != queue.Errored || !strings.Contains(*it.Error, "start_failed: prepare: ") {
				t.Errorf("%+v %v", it, err)
			}
		}
		for _, file := range []string{session(1) + "/work", session(40) + "/full/work"} {
			if data, err := os.ReadFile(s.at("worktrees", file)); err != nil || string(data) != "precious\n" {
				t.Errorf("%s: %q %v", file, data, err)
			}
		}
		s.ids, s.paid = first, s.paid[:1]
		if err := s.judge(completed); err != nil {
			t.Error(err)
		}
		s.untouched()
	})
}

// TestHostileFolders: anything in place of a folder is one error, and all is well once the folder is back.
func TestHostileFolders(t *testing.T) {
	t.Parallel()
	// Every pass needs the first of these folders.
	folders := []string{"queue/items", "queue/pm", "queue/finished", "slots", "queue/bad", "runs", "sessions", "notifications/new",
		"notifications/seen", "notifications/owed", "usage"}
	const needed = 4
	nodes := slices.DeleteFunc(slices.Clone(kinds), func(k kind) bool {
		return k.name == "a folder" || k.name == "a link to a folder" || !k.node && k.name != "empty"
	})
	try(t, hostile, "instead of a folder of the state folder", len(folders)*len(nodes), func(t *testing.T) {
		s := newStranger(t)
		for n, folder := range folders {
			for m, k := range nodes {
				s.must(os.Rename(s.at(folder), s.at("away")))
				k.make(s, s.at(folder), nil, nil)
				s.keep()
				if r := s.tick(0, 1, 75); r.code == 0 && n < needed {
					t.Errorf("%s instead of %s: nothing is said about it", k.name, folder)
				}
				s.lookAt(s.some(n + m))
				s.untouched()
				s.must(os.RemoveAll(s.at(folder)))
				s.must(os.Rename(s.at("away"), s.at(folder)))
			}
		}
		s.item(1)
		s.rest(0)
	})
}

// TestHostileConfigOfManyBadLines: a config that is another kind of file is wrong in every line. That is one error line, and
// nothing is done.
func TestHostileConfigOfManyBadLines(t *testing.T) {
	t.Parallel()
	try(t, hostile, "a config of 300000 bad lines", 1, func(t *testing.T) {
		s := newStranger(t)
		s.must(os.WriteFile(s.at("config"), []byte(strings.Repeat("x\n", 300000)), 0o600))
		if r := s.tick(78); len(r.err) > 4<<10 {
			t.Errorf("%d bytes of error", len(r.err))
		}
	})
}

// TestHostilePermissions: a file that cannot be read is left alone and reported at every pass. The good items run.
func TestHostilePermissions(t *testing.T) {
	t.Parallel()
	places := map[string]string{"items": "00-" + oldID(1) + ".json", "pm": "00-" + oldID(2) + ".json", "finished": "00-" + oldID(3) + ".json"}
	try(t, hostile, "files that may not be read", len(places)+1, func(t *testing.T) {
		s := newStranger(t)
		if os.Geteuid() == 0 { // root may read everything, so another user runs it
			s.user = &syscall.Credential{Uid: 65534, Gid: 65534}
			s.must(os.Chmod(bin, 0o755))
		}
		s.item(1)
		var shut []string
		for dir, name := range places {
			path := s.at("queue", dir, name)
			s.must(os.WriteFile(path, goodItem(t, oldID(1), "github.com/you/project#9", queue.Pending), 0o000))
			shut = append(shut, path)
		}
		sess := s.at("sessions", session(8)+".json")
		s.must(os.WriteFile(sess, []byte("{}"), 0o000))
		if s.user != nil {
			s.must(filepath.WalkDir(s.dir, func(path string, _ fs.DirEntry, err error) error {
				if err != nil {
					return err
				}
				return os.Lchown(path, int(s.user.Uid), int(s.user.Gid))
			}))
		}
		s.keep()
		s.look()
		s.rest(0, 75)
		// The tick that the last run started may be at work.
		if r := s.run("tick", "--wait"); r.code != 75 || !strings.Contains(r.err, "permission denied") {
			t.Errorf("exit code %d, or it is not said what is wrong: %s", r.code, r.err)
		}
		for _, path := range append(shut, sess) {
			if _, err := os.Lstat(path); err != nil {
				t.Error(err)
			}
		}
		s.aside(0)
		s.untouched()
	})
}
