package faults

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kugetsu/queue"
	"kugetsu/slots"
	"kugetsu/slots/proc"
)

// remain makes an agent note its pid and stay for ever.
const remain = `echo $$ >"$REC.pid.$KUGETSU_RUN.tmp" && mv "$REC.pid.$KUGETSU_RUN.tmp" "$REC.pid.$KUGETSU_RUN"
read x <"$REC.never"
`

// unless makes an agent end at once if the world was set free.
const unless = `test -e "$REC.free" && exit
`

// serve makes an agent stay after it started a server. The server has a session of its own, is deaf to SIGTERM, and has the run's
// mark and lease.
const serve = unless + `setsid sh -c 'trap "" TERM HUP; : >"$REC.server.$KUGETSU_RUN"; read x <"$REC.never"' &
` + remain

// behave gives the world's agent a script to run after it noted that it began. Its stdin, the message, has been read.
func (w *world) behave(script string) {
	w.must(os.WriteFile(filepath.Join(w.dir, "agent"), []byte(agent+script), 0o700))
	if _, err := os.Lstat(w.record() + ".never"); err != nil {
		w.must(syscall.Mkfifo(w.record()+".never", 0o600))
		w.t.Cleanup(w.endStrays)
	}
}

// free lets every agent that is started from now on end.
func (w *world) free() { w.must(os.WriteFile(w.record()+".free", nil, 0o600)) }

// there says whether all of some files exist.
func there(paths ...string) bool {
	for _, path := range paths {
		if found, err := filepath.Glob(path); err != nil || len(found) == 0 {
			return false
		}
	}
	return true
}

// agentOf waits until the agent of a run stays, and returns its pid as the agent itself sees it.
func (w *world) agentOf(id string, n int) (pid int, err error) {
	run := slots.RunName(id, n)
	note := w.record() + ".pid." + run
	err = awaited("the agent of "+run+" is there", func() bool {
		return there(note, filepath.Join(w.home.RunDir(run), "started"))
	})
	if script, readErr := os.ReadFile(filepath.Join(w.dir, "agent")); err == nil && bytes.Contains(script, []byte("REC.server")) && readErr == nil {
		err = awaited("the server of "+run+" is there", func() bool { return there(w.record() + ".server." + run) })
	}
	if err != nil {
		return 0, err
	}
	return readNumber(note)
}

func readNumber(path string) (int, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(data)))
}

// runnerOf is the fork_pid of an item.
func (w *world) runnerOf(id string) (int, error) {
	_, it, err := load(w, id)
	if err != nil {
		return 0, err
	}
	if it.ForkPID == nil {
		return 0, fmt.Errorf("%s is %s and has no fork_pid", id, it.State)
	}
	return *it.ForkPID, nil
}

// outcomes says how the runs of an item ended; a plus marks an attempt.
func (w *world) outcomes(id string) string {
	_, it, err := load(w, id)
	if err != nil {
		return err.Error()
	}
	var list []string
	for _, run := range it.History {
		text := string(run.Outcome)
		if run.Counted {
			text += "+"
		}
		list = append(list, text)
	}
	return strings.Join(list, " ")
}

func (w *world) wantOutcomes(id, want string) error {
	if got := w.outcomes(id); got != want {
		return fmt.Errorf("the runs of %s ended as %q, not %q", id, got, want)
	}
	return nil
}

// strays lists the processes that have to do with the world, by their arguments, environment or folder, also those without a mark.
// Zombies do not count.
func (w *world) strays() ([]string, error) {
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var found []string
	for _, d := range dirs {
		if _, err := strconv.Atoi(d.Name()); err != nil {
			continue
		}
		dir := filepath.Join("/proc", d.Name())
		args, _ := os.ReadFile(filepath.Join(dir, "cmdline")) // it may be gone by now
		env, _ := os.ReadFile(filepath.Join(dir, "environ"))
		cwd, _ := os.Readlink(filepath.Join(dir, "cwd"))
		if bytes.Contains(args, []byte(w.dir)) || bytes.Contains(env, []byte(w.dir)) || strings.HasPrefix(cwd, w.dir) {
			found = append(found, d.Name()+" "+string(bytes.ReplaceAll(args, []byte{0}, []byte(" "))))
		}
	}
	return found, nil
}

// endStrays ends the processes that a broken kugetsu left behind.
func (w *world) endStrays() {
	left, _ := w.strays()
	for _, one := range left {
		pid, _ := strconv.Atoi(strings.Fields(one)[0])
		handle, err := os.FindProcess(pid)
		if err != nil {
			continue
		}
		// The arguments are read after the handle is open: so they are not those of another process that got the pid.
		args, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if bytes.Contains(args, []byte(w.record())) {
			_ = handle.Kill() // it may be gone
		}
		_ = handle.Release()
	}
}

// cleanedUp checks that the servers of agents are gone, and waits until no process has to do with the world any more: the tick that
// the last runner started may still be there.
func (w *world) cleanedUp() error {
	left, err := w.strays()
	if err != nil {
		return err
	}
	for _, one := range left {
		if strings.Contains(one, ".never") {
			return fmt.Errorf("all is settled, and this is left: %s", one)
		}
	}
	err = awaited("no process is left", func() bool {
		var err error
		left, err = w.strays()
		return err == nil && len(left) == 0
	})
	if err != nil {
		return errors.Join(err, fmt.Errorf("left: %s", strings.Join(left, "; ")))
	}
	return nil
}

// kill9 kills a runner of the world, after making sure that it is one.
func (w *world) kill9(id string) error {
	pid, err := w.runnerOf(id)
	if err != nil {
		return err
	}
	_, it, err := load(w, id)
	if err != nil {
		return err
	}
	if !proc.Signal(pid, proc.Run{Name: slots.RunName(id, it.Runs)}, syscall.SIGKILL) {
		return fmt.Errorf("the runner %d of %s is not there", pid, id)
	}
	return nil
}

// deafTree is an agent that is deaf to SIGTERM, as are the processes that it starts, beside and below it. But one process hears
// SIGTERM, and cleans up.
const deafTree = unless + `trap "" TERM HUP INT
setsid sh -c ': >"$REC.deaf.1"; read x <"$REC.never"' &
sh -c '(: >"$REC.deaf.2"; read x <"$REC.never") & : >"$REC.deaf.3"; read x <"$REC.never"' &
setsid perl -e '$SIG{TERM} = sub { open(F, ">", "$ENV{REC}.cleaned") and close(F); exit }; open(F, ">", "$ENV{REC}.deaf.4"); close(F); sleep 1 while 1' &
` + remain

// deaf ends a run whose processes do not end when they are asked to.
func deaf(w *world, how, want string) error {
	const grace = 5 * time.Second // slots.killGrace
	if how == "timeout" {
		w.env = append(w.env, "TASK_TIMEOUT=3s")
	}
	w.behave(deafTree)
	_, it := w.item(1)
	if code, out := w.kugetsu("tick"); code != 0 {
		return fmt.Errorf("tick: %s", out)
	}
	if _, err := w.agentOf(it.ID, 1); err != nil {
		return err
	}
	r := w.record()
	if err := awaited("its tree is there", func() bool { return there(r+".deaf.1", r+".deaf.2", r+".deaf.3", r+".deaf.4") }); err != nil {
		return err
	}
	w.free()
	w.item(1) // on the same issue: if a child of the first agent is left, the second agent finds its locks taken
	if how == "cancel" {
		w.unpaid = 1
		if code, out := w.kugetsu("queue", "cancel", it.ID); code != 0 {
			return fmt.Errorf("queue cancel: exit code %d: %s", code, out)
		}
	}
	if err := w.settle(); err != nil {
		return err
	}
	asked, err := os.Stat(r + ".cleaned")
	if err != nil {
		return fmt.Errorf("the process that would have cleaned up was not asked to end: %w", err)
	}
	_, now, err := load(w, it.ID)
	if err != nil {
		return err
	}
	took := now.History[0].EndedAt.Sub(asked.ModTime())
	if took < grace-time.Second || took > grace+time.Minute {
		err = fmt.Errorf("the deaf processes were left for %s, not for the grace of %s", took, grace)
	}
	return errors.Join(err, w.wantOutcomes(it.ID, want), w.wantOutcomes(w.ids[1], "ok+"), w.cleanedUp(),
		w.judge(map[queue.State]bool{queue.Completed: true, queue.Errored: true}))
}

// servers are the processes that an agent leaves behind, in sessions of their own, forked twice, two of each kind. The kind marked
// has the run's mark, heir has its lease, and both has both.
const servers = `for k in 1 2; do
	(setsid sh -c ': >"$1.both.$2.$3"; read x <"$1.never"' sh "$REC" "$KUGETSU_RUN" $k &)
	(setsid sh -c ': >"$1.marked.$2.$3"; read x <"$1.never"' sh "$REC" "$KUGETSU_RUN" $k 3>&- 4>&- 8>&- 9>&- &)
	(setsid env -i sh -c ': >"$1.heir.$2.$3"; read x <"$1.never"' sh "$REC" "$KUGETSU_RUN" $k &)
done
`

// bare is a server with neither mark nor lease.
const bare = `(setsid env -i sh -c 'echo $$ >"$1.bare.$2"; read x <"$1.never"' sh "$REC" "$KUGETSU_RUN" 3>&- 4>&- 8>&- 9>&- &)
`

func (w *world) serversOf(id string) error {
	r, run := w.record(), slots.RunName(id, 1)
	return awaited("the servers of "+run+" are there", func() bool {
		for _, kind := range []string{"both", "marked", "heir"} {
			if !there(r+"."+kind+"."+run+".1", r+"."+kind+"."+run+".2") {
				return false
			}
		}
		return true
	})
}

// leaving: agents end by themselves, and leave servers of every kind.
func leaving(w *world, items int) error {
	// The agents end once their servers are there: otherwise there would be nothing to find.
	w.behave(servers + bare + `for k in both marked heir; do for n in 1 2; do
	until test -e "$REC.$k.$KUGETSU_RUN.$n"; do :; done
done; done
until test -e "$REC.bare.$KUGETSU_RUN"; do :; done
`)
	for n := range items {
		w.item(n + 1)
	}
	if err := w.settle(); err != nil {
		return err
	}
	errs := []error{w.judge(completed), w.cleanedUp()}
	for _, id := range w.ids {
		errs = append(errs, w.serversOf(id), w.wantOutcomes(id, "ok+"))
	}
	return errors.Join(errs...)
}

// orphaned: agents that gave up their lease and started servers of every kind go on while their runners are there. Then the runners
// are killed.
func orphaned(w *world) error {
	w.behave(unless + servers + "exec 3>&- 4>&-\n" + remain)
	for n := range limit {
		w.item(n + 1)
	}
	w.kugetsu("tick")
	for _, id := range w.ids {
		if _, err := w.agentOf(id, 1); err != nil {
			return err
		}
		if err := w.serversOf(id); err != nil {
			return err
		}
	}
	w.free()
	w.item(limit + 1)
	w.kugetsu("tick")
	if got := w.outcomes(w.ids[0]) + w.outcomes(w.ids[1]) + w.outcomes(w.ids[2]) + w.outcomes(w.ids[3]); got != "" {
		return fmt.Errorf("their runners are there, and something was settled: %s", got)
	}
	if _, it, err := load(w, w.ids[3]); err != nil || it.State != queue.Pending {
		return fmt.Errorf("all slots are occupied, and the fourth item is not pending: %+v %v", it, err)
	}
	for _, id := range w.ids[:limit] {
		if err := w.kill9(id); err != nil {
			return err
		}
	}
	if err := w.settle(); err != nil {
		return err
	}
	errs := []error{w.judge(completed), w.cleanedUp(), w.wantOutcomes(w.ids[limit], "ok+")}
	for _, id := range w.ids[:limit] {
		errs = append(errs, w.wantOutcomes(id, "lost+ ok+"))
	}
	return errors.Join(errs...)
}

// unfindable: a process with neither mark nor lease cannot be found once its runner was killed. It blocks nothing.
func unfindable(w *world) error {
	w.behave(unless + bare + remain)
	_, it := w.item(1)
	w.kugetsu("tick")
	if _, err := w.agentOf(it.ID, 1); err != nil {
		return err
	}
	note := w.record() + ".bare." + slots.RunName(it.ID, 1)
	pid := 0
	if err := awaited("the server is there", func() bool { pid, _ = readNumber(note); return pid > 0 }); err != nil {
		return err
	}
	left, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !bytes.Contains(args, []byte(w.dir)) {
		return fmt.Errorf("process %d is not the server: %q %v", pid, args, err)
	}
	defer func() { _ = left.Kill() }() // as a person would have to
	w.free()
	if err := w.kill9(it.ID); err != nil {
		return err
	}
	if err := w.settle(); err != nil {
		return err
	}
	return errors.Join(w.judge(completed), w.wantOutcomes(it.ID, "lost+ ok+"))
}

// chain is a chain of processes: each starts the next one in a session of its own, and ends. The processes of fast do so in less
// time than it takes to list them.
const chain = unless + `cat >"$REC.link" <<'END'
: >"$REC.chained"
setsid sh "$REC.link" &
END
sh "$REC.link"
` + remain

const fast = unless + `setsid perl -MPOSIX=setsid -e 'while (1) { defined($p = fork) or next; exit if $p; setsid; open(F, ">", "$ENV{REC}.chained") if ++$n == 300 }' &
` + remain

// chained ends a run whose processes are never the same for long.
func chained(w *world, script, how, want string) error {
	w.behave(script)
	_, it := w.item(1)
	w.kugetsu("tick")
	if _, err := w.agentOf(it.ID, 1); err != nil {
		return err
	}
	if err := awaited("the chain runs", func() bool { return there(w.record() + ".chained") }); err != nil {
		return err
	}
	w.free()
	switch how {
	case "cancel":
		w.unpaid = 1
		if code, out := w.kugetsu("queue", "cancel", it.ID); code != 0 {
			return fmt.Errorf("queue cancel: exit code %d: %s", code, out)
		}
	case "kill -9":
		if err := w.kill9(it.ID); err != nil {
			return err
		}
	}
	if err := w.settle(); err != nil {
		return err
	}
	return errors.Join(w.judge(map[queue.State]bool{queue.Completed: true, queue.Errored: true}), w.wantOutcomes(it.ID, want), w.cleanedUp())
}

// flood prints that many bytes to stdout and to stderr at once, in lines and in a single line, and then last words.
const flood = `head -c %d /dev/zero | tr '\0' x >&2 &
yes "a line of many that are never read" | head -c %d
wait
echo; echo "the last words of stdout"
echo >&2; echo "the last words of stderr" >&2
`

// flooded: an agent prints without end, and the size of its run's folder is watched all the while.
func flooded(w *world) error {
	size := 100 << 20
	if *full {
		size = 3 << 30 / 2
	}
	w.behave(fmt.Sprintf(flood, size, size))
	_, it := w.item(1)
	w.kugetsu("tick")
	dir := w.home.RunDir(slots.RunName(it.ID, 1))
	var most, memory int64
	looks := 0
	if err := awaited("the flood is over", func() bool {
		looks++
		most = max(most, diskUse(dir))
		if pid, err := w.runnerOf(it.ID); err == nil {
			memory = max(memory, residentPeak(pid))
		}
		e, err := w.q.Find(it.ID)
		return err == nil && filepath.Dir(e.Path) == w.q.Finished
	}); err != nil {
		return err
	}
	if most > 2*slots.LogCap || most < slots.LogCap/2 || looks < 10 {
		return fmt.Errorf("the run took up to %d bytes of the disk, its log may have %d (looked %d times)", most, slots.LogCap, looks)
	}
	w.t.Logf("at most %d bytes of disk in %d looks, %d of memory", most, looks, memory)
	if memory > 128<<20 {
		return fmt.Errorf("the runner took %d bytes of memory", memory)
	}
	log, err := os.ReadFile(w.home.LogPath(slots.RunName(it.ID, 1)))
	if err != nil {
		return err
	}
	// The two pipes are read side by side, so the bytes of one may come after the last words of the other.
	near, end := log[max(0, len(log)-1<<20):], log[max(0, len(log)-4<<10):]
	for _, last := range []string{"\nthe last words of stdout\n", "\nthe last words of stderr\n"} {
		if !bytes.Contains(near, []byte(last)) {
			return fmt.Errorf("%q is not at the end of the log: %q", last, end)
		}
	}
	if !bytes.Contains(end, []byte("\nthe last words of ")) {
		return fmt.Errorf("the log ends with %q", end)
	}
	if err := w.settle(); err != nil {
		return err
	}
	return errors.Join(w.judge(completed), w.wantOutcomes(it.ID, "ok+"), w.cleanedUp())
}

// diskUse is the size of all files in a folder.
func diskUse(dir string) (sum int64) {
	_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil { // it may be gone by now
				sum += max(info.Size(), info.Sys().(*syscall.Stat_t).Blocks*512)
			}
		}
		return nil
	})
	return sum
}

// residentPeak is the most memory that a process had so far; 0 if it is gone.
func residentPeak(pid int) int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kib << 10
		}
	}
	return 0
}

// TestAgentsThatDoNotBehave: however a run's processes behave, none is left when the run is over, and its end is recorded.
func TestAgentsThatDoNotBehave(t *testing.T) {
	if runtime.GOOS != "linux" {
		skip(t, leftover, "only on Linux a run's processes can be found")
	}
	type fault = func(w *world) error
	inWorlds(t, leftover, 5, []inWorld{
		{"an agent and all below it ignore SIGTERM: TASK_TIMEOUT, queue cancel", []fault{
			func(w *world) error { return deaf(w, "timeout", "timeout+") },
			func(w *world) error { return deaf(w, "cancel", "cancelled") }}},
		{"agents leave servers in sessions of their own, with and without mark and lease", []fault{
			func(w *world) error { return leaving(w, limit+2) }}},
		{"agents that dropped their lease leave such servers, and their runners are killed", []fault{orphaned}},
		{"a server without mark and lease is left by a killed runner, and holds nothing up", []fault{unfindable}},
		{"processes that start the next one and end, on and on: queue cancel, kill -9 of the runner", []fault{
			func(w *world) error { return chained(w, chain, "cancel", "cancelled") },
			func(w *world) error { return chained(w, chain, "kill -9", "lost+ ok+") },
			func(w *world) error { return chained(w, fast, "cancel", "cancelled") },
			func(w *world) error { return chained(w, fast, "kill -9", "lost+ ok+") }}},
		{"an agent floods stdout and stderr", []fault{flooded}},
	})
}

// inWorld is a row of the table: faults that are each tried in a world of their own. An error says which promise was broken.
type inWorld struct {
	name string
	all  []func(w *world) error
}

// inWorlds tries faults, two at once or as many as -parallel says, since they mostly wait. Each fault is tried once, or with -full
// this many times.
func inWorlds(t *testing.T, group string, rounds int, rows []inWorld) {
	t.Helper()
	if !*full {
		rounds = 1
	}
	var wait sync.WaitGroup
	for _, row := range rows {
		wait.Go(func() {
			try(t, group, row.name, rounds*len(row.all), func(t *testing.T) {
				for range rounds {
					for _, one := range row.all {
						beside(t, one)
					}
				}
			})
		})
	}
	wait.Wait()
}

// beside tries a fault in a world of its own, beside the others of its row.
func beside(t *testing.T, one func(w *world) error) {
	t.Helper()
	t.Run("one", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		t.Cleanup(w.close)
		if err := one(w); err != nil {
			t.Error(err)
		}
	})
}

func TestHarnessNoticesARudeEnd(t *testing.T) {
	if runtime.GOOS != "linux" {
		skip(t, leftover, "only on Linux a run's processes can be found")
	}
	mustNotice(t,
		wrongWay{"processes are killed without being asked to end", "slots/runner.go", []string{"killGrace = 5 * time.Second", "killGrace = 0 * time.Second"},
			"was not asked to end", alone(func(w *world) error { return deaf(w, "cancel", "cancelled") })},
		wrongWay{"the log of a run is not cut", "slots/logfile.go", []string{"l.size+int64(len(p)) > l.cap", "l.size < 0"},
			"bytes of the disk", alone(flooded)},
		wrongWay{"a runner is given no orphans", "slots/proc/proc_linux.go", []string{"PR_SET_CHILD_SUBREAPER, 1,", "PR_SET_CHILD_SUBREAPER, 0,"},
			"and this is left", alone(func(w *world) error { return leaving(w, 1) })},
	)
}
