package faults

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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

// container is a PID namespace with a /proc of its own, on the same files. Its PID 1 ends with the test at the latest, and
// everything in it ends with its PID 1.
type container struct {
	w    *world
	init *exec.Cmd
	hold io.WriteCloser
}

// How PID 1 of a container treats the orphans that it is given.
const (
	reaps   = "exec env --ignore-signal=CHLD cat" // the kernel reaps them
	forgets = "exec cat"                          // they stay zombies
)

// newContainer starts a container; boot is the boot id that it shows, "" for the true one.
func newContainer(w *world, init, boot string) (*container, error) {
	bind := ""
	if boot != "" {
		file := filepath.Join(w.dir, "boot."+boot)
		if err := os.WriteFile(file, []byte(boot+"\n"), 0o600); err != nil {
			return nil, err
		}
		bind = "mount --bind " + file + " /proc/sys/kernel/random/boot_id\n"
	}
	cmd := exec.Command("sh", "-ec", "mount --make-rprivate /\nmount -t proc proc /proc\n"+bind+"echo ready\n"+init)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
	hold, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	said, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var wrong strings.Builder
	cmd.Stderr = &wrong
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if line, _ := bufio.NewReader(said).ReadString('\n'); line != "ready\n" {
		_ = cmd.Wait()
		return nil, fmt.Errorf("a container: %s", wrong.String())
	}
	c := &container{w: w, init: cmd, hold: hold}
	w.t.Cleanup(c.end)
	return c, nil
}

// end kills PID 1, and so all that is in the container, and waits until it is gone.
func (c *container) end() {
	_ = c.init.Process.Kill() // it may be gone
	_ = c.init.Wait()
	_ = c.hold.Close()
}

// exec runs a command in the container.
func (c *container) exec(name string, args ...string) (int, string) {
	return c.w.exec("nsenter", append([]string{"-t", strconv.Itoa(c.init.Process.Pid), "-p", "-m", name}, args...)...)
}

func (c *container) kugetsu(args ...string) (int, string) {
	return c.exec(filepath.Join(bin, "kugetsu"), args...)
}

// ticks makes passes in the container until a condition holds, but no more than that many.
func (c *container) ticks(most int, what string, so func() bool) error {
	var said string
	for range most {
		// --wait: with another pass under way a plain tick does nothing.
		if _, said = c.kugetsu("tick", "--wait"); so() {
			return nil
		}
	}
	return fmt.Errorf("after %d ticks it is not so: %s\n%s", most, what, said)
}

// settle makes passes in the container until the world is at rest.
func (c *container) settle() error {
	return awaited("all is settled", func() bool { c.kugetsu("tick"); return c.w.unsettled() == "" })
}

// kill ends a process of the container, named by its pid there.
func (c *container) kill(pid int) error {
	if code, out := c.exec("sh", "-c", "kill -9 "+strconv.Itoa(pid)); code != 0 {
		return fmt.Errorf("kill %d: %s", pid, out)
	}
	return nil
}

// state is what the container's /proc says of a process: "" for none, Z for a zombie.
func (c *container) state(pid int) string {
	_, out := c.exec("sh", "-c", fmt.Sprintf("cat /proc/%d/status 2>/dev/null", pid))
	return field(out, "State:")
}

// field is the first word behind a name in a status file.
func field(status, name string) string {
	for line := range strings.Lines(status) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			if words := strings.Fields(rest); len(words) > 0 {
				return words[0]
			}
		}
	}
	return ""
}

// innocent is a process that is not kugetsu's. It blocks every signal, so that a signal that was sent to it stays pending and can
// be seen for ever. Only SIGKILL ends it.
type innocent struct {
	c   *container
	pid int
}

// innocent starts an innocent process that has exactly this pid, with a mark unless mark is "".
func (c *container) innocent(pid int, mark string) (*innocent, error) {
	if mark != "" {
		mark = proc.Mark + "=" + mark
	}
	// No other process forks in the container now, so the next pid is ours. But a tick that just ended may still have been there. The
	// shells that ask for it get pids far away.
	const far = 20000
	script := fmt.Sprintf("echo %d >/proc/sys/kernel/ns_last_pid\nenv -u REC --block-signal %s cat %s.never >/dev/null 2>&1 &\necho $!",
		pid-1, mark, c.w.record())
	got := ""
	for range 50 {
		if code, out := c.exec("sh", "-ec", fmt.Sprintf("echo %d >/proc/sys/kernel/ns_last_pid", far)); code != 0 {
			return nil, fmt.Errorf("ns_last_pid: %s", out)
		}
		code, out := c.exec("sh", "-ec", script)
		if code != 0 {
			return nil, fmt.Errorf("ns_last_pid: %s", out)
		}
		if got = strings.TrimSpace(out); got == strconv.Itoa(pid) {
			i := &innocent{c, pid}
			return i, awaited("the innocent blocks signals", func() bool { return strings.HasPrefix(i.status("SigBlk:"), "f") })
		}
		if _, err := strconv.Atoi(got); err != nil {
			return nil, fmt.Errorf("an innocent: %q", got)
		}
		c.exec("sh", "-c", "kill -9 "+got)
	}
	_, who := c.exec("sh", "-c", fmt.Sprintf("cat /proc/%d/status; ls /proc", pid))
	return nil, fmt.Errorf("pid %d could not be had, but %s\n%s", pid, got, who)
}

func (i *innocent) status(name string) string {
	_, out := i.c.exec("sh", "-c", fmt.Sprintf("cat /proc/%d/status 2>/dev/null", i.pid))
	return field(out, name)
}

// unharmed says whether the innocent lives and was never signalled.
func (i *innocent) unharmed() error {
	state, own, shared := i.status("State:"), i.status("SigPnd:"), i.status("ShdPnd:")
	if state == "" || state == "Z" || strings.Trim(own+shared, "0") != "" {
		return fmt.Errorf("a stranger with pid %d was signalled: state %q, pending %s %s", i.pid, state, own, shared)
	}
	return nil
}

func unharmed(all []*innocent) error {
	var errs []error
	for _, i := range all {
		errs = append(errs, i.unharmed())
	}
	return errors.Join(errs...)
}

// needContainers skips a test on a machine that can make none.
func needContainers(t *testing.T) {
	t.Helper()
	w := newWorld(t)
	defer w.close()
	c, err := newContainer(w, reaps, "")
	if err != nil {
		skip(t, identity, "no container can be made here: "+strings.TrimSpace(err.Error()))
	}
	defer c.end()
	w.behave("")
	if code, out := c.exec("true"); code != 0 {
		skip(t, identity, "nsenter: "+strings.TrimSpace(out))
	}
	if _, err := c.innocent(300, ""); err != nil {
		skip(t, identity, "a pid cannot be chosen here: "+strings.TrimSpace(err.Error()))
	}
}

// zombies: PID 1 reaps no process. A runner, an agent, and both are killed, while a server of the agent's keeps the lease.
func zombies(w *world) error {
	c, err := newContainer(w, forgets, "")
	if err != nil {
		return err
	}
	w.behave(serve)
	for n := range limit {
		w.item(n + 1)
	}
	if code, out := c.kugetsu("tick"); code != 0 {
		return fmt.Errorf("tick: %s", out)
	}
	var runners, agents []int
	for _, id := range w.ids {
		agent, err := w.agentOf(id, 1)
		if err != nil {
			return err
		}
		runner, err := w.runnerOf(id)
		if err != nil {
			return err
		}
		runners, agents = append(runners, runner), append(agents, agent)
	}
	w.free()
	c.kugetsu("pause")
	// The second item's agent dies alone. Its runner records that, and then is a zombie as well.
	for _, pid := range []int{runners[0], agents[1], runners[2], agents[2]} {
		if err := c.kill(pid); err != nil && pid != agents[2] { // the last agent goes with its runner
			return err
		}
	}
	for _, pid := range runners {
		if err := awaited(fmt.Sprintf("runner %d is a zombie", pid), func() bool { return c.state(pid) == "Z" }); err != nil {
			return err
		}
	}
	// An agent is a zombie as well, unless its dying runner was just waiting for it.
	for _, pid := range agents {
		if err := awaited(fmt.Sprintf("agent %d is dead", pid), func() bool { return strings.Trim(c.state(pid), "Z") == "" }); err != nil {
			return err
		}
	}
	lost := func() bool { return w.outcomes(w.ids[0]) == "lost+" && w.outcomes(w.ids[2]) == "lost+" }
	if err := c.ticks(5, "what was lost is settled", lost); err != nil {
		return err
	}
	if code, out := c.kugetsu("queue", "cancel", w.ids[2]); code != 0 {
		return fmt.Errorf("queue cancel: exit code %d: %s", code, out)
	}
	c.kugetsu("resume")
	w.item(limit + 1)
	if err := c.settle(); err != nil {
		return err
	}
	return errors.Join(w.judge(map[queue.State]bool{queue.Completed: true, queue.Errored: true}),
		w.wantOutcomes(w.ids[0], "lost+ ok+"), w.wantOutcomes(w.ids[1], "failed+ ok+"),
		w.wantOutcomes(w.ids[2], "lost+"), w.wantOutcomes(w.ids[3], "ok+"))
}

// pidsReused: a runner is killed, and its agent dies with it. Strangers get their pids, one of them with the mark of another run. A
// server that the agent left still has the lease. Then a command is given.
func pidsReused(w *world, command ...string) error {
	c, err := newContainer(w, reaps, "")
	if err != nil {
		return err
	}
	w.behave(serve)
	_, it := w.item(1)
	if code, out := c.kugetsu("tick"); code != 0 {
		return fmt.Errorf("tick: %s", out)
	}
	agent, err := w.agentOf(it.ID, 1)
	if err != nil {
		return err
	}
	runner, err := w.runnerOf(it.ID)
	if err != nil {
		return err
	}
	if err := c.kill(runner); err != nil {
		return err
	}
	if err := awaited("they are gone", func() bool { return c.state(runner)+c.state(agent) == "" }); err != nil {
		return err
	}
	var strangers []*innocent
	for pid, mark := range map[int]string{runner: "", agent: slots.RunName(queue.NewID(time.Now()), 1)} {
		i, err := c.innocent(pid, mark)
		if err != nil {
			return err
		}
		strangers = append(strangers, i)
	}
	w.free()
	want, may := "lost+ ok+", completed
	if command[0] == "queue" {
		want, may = "lost+", map[queue.State]bool{queue.Errored: true}
		command = append(command, it.ID)
	}
	if code, out := c.kugetsu(command...); code != 0 {
		return errors.Join(fmt.Errorf("%v: exit code %d: %s", command, code, out), unharmed(strangers))
	}
	err = c.ticks(5, "the lost run is settled", func() bool { return strings.HasPrefix(w.outcomes(it.ID), "lost+") })
	if err == nil {
		err = c.settle()
	}
	if err == nil {
		err = errors.Join(w.judge(may), w.wantOutcomes(it.ID, want))
	}
	return errors.Join(err, unharmed(strangers))
}

// cancelReused: the lease of a run is locked by a process that this container cannot see, and a stranger has the pid of the runner
// that the item names. The run is cancelled.
func cancelReused(w *world) error {
	c, err := newContainer(w, reaps, "")
	if err != nil {
		return err
	}
	w.behave("")
	stranger, err := c.innocent(300, slots.RunName(queue.NewID(time.Now()), 1))
	if err != nil {
		return err
	}
	e, it := w.item(1)
	in := slots.Intent{Item: it.ID, File: filepath.Base(e.Path), Run: 1, Session: session(1), Boot: proc.BootID()}
	dir := w.home.RunDir(in.RunName())
	w.must(w.home.WriteIntent("1", in))
	w.must(w.home.ClaimRun(in.RunName()))
	w.must(os.Rename(filepath.Join(dir, "exit"), filepath.Join(dir, "started")))
	w.must(w.q.Notify(e, it, 1, stranger.pid, nil))
	w.hold("1", 1)
	said := make(chan string, 1)
	go func() {
		code, out := c.kugetsu("queue", "cancel", it.ID)
		said <- fmt.Sprintf("%d %s", code, out)
	}()
	err = awaited("the run is marked as cancelled", func() bool { return there(filepath.Join(dir, "cancel")) })
	if err == nil { // a whole pass over the run, while the mark is there
		c.kugetsu("tick")
		if _, now, loadErr := load(w, it.ID); loadErr != nil || now.State != queue.Notified {
			err = fmt.Errorf("its lease is locked, and it is not notified any more: %+v %v", now, loadErr)
		}
	}
	w.release()
	if out := <-said; err == nil && !strings.HasPrefix(out, "0 ") {
		err = fmt.Errorf("queue cancel: %s", out)
	}
	if err == nil {
		err = c.settle()
	}
	return errors.Join(err, unharmed([]*innocent{stranger}), w.wantOutcomes(it.ID, "cancelled"),
		w.judge(map[queue.State]bool{queue.Errored: true}))
}

// restarted: everything dies while three agents run and two items wait. The next container has other processes at their
// pids.
func restarted(w *world) error {
	first, err := newContainer(w, forgets, "")
	if err != nil {
		return err
	}
	w.behave(serve)
	for n := range limit + 2 {
		w.item(n + 1)
	}
	first.kugetsu("tick")
	var pids []int
	for _, id := range w.ids[:limit] {
		agent, err := w.agentOf(id, 1)
		if err != nil {
			return err
		}
		runner, err := w.runnerOf(id)
		if err != nil {
			return err
		}
		pids = append(pids, agent, runner)
	}
	first.end()
	w.free()
	second, err := newContainer(w, forgets, "")
	if err != nil {
		return err
	}
	var strangers []*innocent
	slices.Sort(pids)
	for _, pid := range pids {
		i, err := second.innocent(pid, "")
		if err != nil {
			return err
		}
		strangers = append(strangers, i)
	}
	if err := second.ticks(1, "the first tick settles what was lost", func() bool {
		return strings.Count(w.outcomes(w.ids[0])+w.outcomes(w.ids[1])+w.outcomes(w.ids[2]), "lost+") == limit
	}); err != nil {
		return errors.Join(err, unharmed(strangers))
	}
	if err := second.settle(); err != nil {
		return err
	}
	errs := []error{unharmed(strangers), w.judge(completed)}
	for n, id := range w.ids {
		errs = append(errs, w.wantOutcomes(id, []string{"lost+ ok+", "ok+"}[n/limit]))
	}
	return errors.Join(errs...)
}

// restartedAt: everything dies as soon as a file of the first run is there.
func restartedAt(w *world, sign string) error {
	w.unpaid, w.unseen = 1, 1 // not all of the three runs have come equally far
	first, err := newContainer(w, forgets, "")
	if err != nil {
		return err
	}
	w.behave(serve)
	for n := range limit + 2 {
		w.item(n + 1)
	}
	var pass sync.WaitGroup
	pass.Go(func() { first.kugetsu("tick") }) // the pass dies on the way, or after it
	err = awaited(sign, func() bool { return there(filepath.Join(w.dir, sign)) })
	first.end()
	pass.Wait()
	if err != nil {
		return err
	}
	w.free()
	second, err := newContainer(w, forgets, "")
	if err != nil {
		return err
	}
	if err := second.settle(); err != nil {
		return err
	}
	return w.judge(completed)
}

// rebooted: the machine goes down under a run, twice. The first time does not count as an attempt.
func rebooted(w *world) error {
	w.behave(serve)
	_, it := w.item(1)
	for n, boot := range []string{"11111111-0000-4000-8000-000000000001", "22222222-0000-4000-8000-000000000002"} {
		c, err := newContainer(w, forgets, boot)
		if err != nil {
			return err
		}
		if _, seen := c.exec("cat", "/proc/sys/kernel/random/boot_id"); strings.TrimSpace(seen) != boot {
			return fmt.Errorf("the boot id is %q", seen)
		}
		if err := awaited("the run begins", func() bool {
			c.kugetsu("tick")
			return there(filepath.Join(w.home.RunDir(slots.RunName(it.ID, n+1)), "started"))
		}); err != nil {
			return err
		}
		if _, err := w.agentOf(it.ID, n+1); err != nil {
			return err
		}
		c.end()
	}
	w.free()
	c, err := newContainer(w, forgets, "33333333-0000-4000-8000-000000000003")
	if err != nil {
		return err
	}
	if err := c.settle(); err != nil {
		return err
	}
	w.unpaid = 1 // the run that does not count
	_, now, err := load(w, it.ID)
	if err == nil && (now.History[0].Summary != "the machine was restarted" || now.Runs != 3 || now.Attempts != 2) {
		err = fmt.Errorf("%d runs, %d of them counted as attempts: %+v", now.Runs, now.Attempts, now.History)
	}
	return errors.Join(err, w.wantOutcomes(it.ID, "lost lost+ ok+"), w.judge(completed))
}

// shared: two containers work on one state folder at once, and each has strangers at the pids of the other's runners. A
// run of the first is cancelled from the second.
func shared(w *world) error {
	var both [2]*container
	for n := range both {
		c, err := newContainer(w, []string{reaps, forgets}[n], "")
		if err != nil {
			return err
		}
		both[n] = c
	}
	w.behave(`test "${KUGETSU_ISSUE##*#}" -gt 3 && exit
` + unless + remain)
	for n := range limit {
		w.item(n + 1)
	}
	both[0].kugetsu("tick")
	var strangers []*innocent
	for n, id := range w.ids {
		agent, err := w.agentOf(id, 1)
		if err != nil {
			return err
		}
		runner, err := w.runnerOf(id)
		if err != nil {
			return err
		}
		for _, pid := range []int{runner, agent}[:1+n%2] {
			i, err := both[1].innocent(pid, "")
			if err != nil {
				return err
			}
			strangers = append(strangers, i)
		}
	}
	for n := range 5 {
		w.item(limit + n + 1)
	}
	// The first container occupies all slots. The second cannot see its processes, and must not take any of them for dead.
	if code, out := both[1].kugetsu("tick"); code != 0 {
		return fmt.Errorf("tick: exit code %d: %s", code, out)
	}
	for _, id := range w.ids[:limit] {
		if _, it, err := load(w, id); err != nil || it.State != queue.Notified || it.Runs != 1 {
			return fmt.Errorf("%s runs in the other container, and is taken for dead: %+v %v", id, it, err)
		}
	}
	if code, out := both[1].kugetsu("queue", "cancel", w.ids[0]); code != 0 {
		return fmt.Errorf("queue cancel from the other container: exit code %d: %s", code, out)
	}
	w.free()
	// The two runs that are left are killed in their own container, since the other one cannot find their processes.
	for _, id := range w.ids[1:limit] {
		runner, err := w.runnerOf(id)
		if err != nil {
			return err
		}
		if err := both[0].kill(runner); err != nil {
			return err
		}
	}
	var wait sync.WaitGroup
	errs := make([]error, len(both))
	for n, c := range both {
		wait.Go(func() { errs[n] = c.settle() })
	}
	wait.Wait()
	if err := errors.Join(errs...); err != nil {
		return errors.Join(err, unharmed(strangers))
	}
	w.unpaid = 1 // a cancelled run is no attempt
	return errors.Join(unharmed(strangers), w.judge(map[queue.State]bool{queue.Completed: true, queue.Errored: true}),
		w.wantOutcomes(w.ids[0], "cancelled"), w.wantOutcomes(w.ids[1], "lost+ ok+"), w.wantOutcomes(w.ids[2], "lost+ ok+"),
		w.wantOutcomes(w.ids[limit], "ok+"))
}

// foreignProc: a sandbox has PIDs of its own, and no /proc of its own. So /proc shows another process under a pid than the one that
// has the pid.
func foreignProc(w *world) error {
	c, err := newContainer(w, reaps, "")
	if err != nil {
		return err
	}
	w.behave("")
	_, it := w.inSlot("1", 1, "started", true)
	pid, _ := w.holder("1", 1, slots.RunName(it.ID, 1))
	w.item(2)
	stranger, err := c.innocent(pid, "")
	if err != nil {
		return err
	}
	code, out := w.exec("nsenter", "-t", strconv.Itoa(c.init.Process.Pid), "-p", filepath.Join(bin, "kugetsu"), "tick")
	if err := stranger.unharmed(); err != nil {
		return err
	}
	if err := oneLine(code, out, 78); err != nil || !strings.Contains(out, "another PID namespace") {
		return fmt.Errorf("exit code %d: %s %v", code, out, err)
	}
	if n := w.begun(); n > 0 {
		return fmt.Errorf("%d agents were started where none can be ended", n)
	}
	c.end()
	if err := w.settle(); err != nil {
		return err
	}
	return w.judge(completed)
}

// TestLivenessIsKnown: pids can mislead, leases cannot.
func TestLivenessIsKnown(t *testing.T) {
	needContainers(t)
	inWorlds(t, identity, 10, []inWorld{
		{"PID 1 reaps nothing: runner, agent and both are killed and stay zombies", []func(*world) error{zombies}},
		{"strangers get the pids of a killed runner and its agent, before tick, tick --drain and queue cancel", []func(*world) error{
			func(w *world) error { return pidsReused(w, "tick") },
			func(w *world) error { return pidsReused(w, "tick", "--drain") },
			func(w *world) error { return pidsReused(w, "queue", "cancel") }}},
		{"a stranger has the runner's pid while the lease is held, and the run is cancelled", []func(*world) error{cancelReused}},
		{"the container is killed while agents run; strangers get their pids in the next one", []func(*world) error{restarted}},
		{"the container is killed at each step of the hand-over", restarts()},
		{"the machine is restarted under a run, twice", []func(*world) error{rebooted}},
		{"two containers with one state folder, ticking at once", []func(*world) error{shared}},
		{"the process table shows another PID namespace, in which a leftover of a dead runner has a stranger's pid", []func(*world) error{foreignProc}},
	})
}

// restarts is a kill of the whole container at each thing that a hand-over makes.
func restarts() (all []func(*world) error) {
	for _, sign := range []string{"state/slots/1.json", "state/runs/*", "state/runs/*/exit", "state/runs/*/log",
		"state/notifications/new/*.task_dequeued.json", "state/slots/3.json", "state/sessions/*.json", "state/worktrees/*",
		"state/runs/*/started", "record", "record.pid.*", "record.server.*"} {
		all = append(all, func(w *world) error { return restartedAt(w, sign) })
	}
	return all
}

// inProc takes a process for alive if there is any process with its pid.
const inProc = `func() bool { there, _ := spool.Exists(fmt.Sprintf("/proc/%d", *it.ForkPID)); return there }()`

// TestHarnessNoticesATrustedPid: wrong ways to find out which processes live.
func TestHarnessNoticesATrustedPid(t *testing.T) {
	needContainers(t)
	byPid := []string{"isRunner(it)()", inProc}
	mustNotice(t,
		wrongWay{"a pid is signalled without a look at whose it is", "slots/proc/proc_linux.go",
			[]string{"p, ok := open(pid, meant)", "p, ok := open(pid, func() bool { return true })"},
			"was signalled", alone(cancelReused)},
		wrongWay{"a runner counts as alive while another process has its pid", "tick/reconcile.go", byPid,
			"it is not so: the lost run is settled", alone(func(w *world) error { return pidsReused(w, "tick") })},
		wrongWay{"a runner is alive while its pid is a zombie's", "tick/reconcile.go", byPid,
			"it is not so: what was lost is settled", alone(zombies)},
		wrongWay{"a restart of the machine is not noticed", "tick/engine.go",
			[]string{`r.Rebooted = boot != "" && now != "" && boot != now`, `r.Rebooted = boot == "" && now == ""`},
			"3 runs, 3 of them counted as attempts", alone(rebooted)},
	)
}
