package schedule

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"kugetsu/contrib/internal/rig"
)

// TestUnitFilesAreGood lets systemd-analyze read the plain files. It exits 0 even for an unknown key, so the test asks for
// an empty output.
func TestUnitFilesAreGood(t *testing.T) {
	if _, err := lookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	dir := t.TempDir()
	args := []string{"--user", "verify"}
	for _, name := range []string{"kugetsu.service", "kugetsu.timer", "kugetsu.path"} {
		text := strings.Replace(read(t, name), "/usr/local/bin/kugetsu", "/bin/true", 1) // systemd-analyze looks for the program
		write(t, filepath.Join(dir, name), text)
		args = append(args, filepath.Join(dir, name))
		must(t, os.Chmod(filepath.Join(dir, name), 0o644))
	}
	cmd := exec.Command("systemd-analyze", args...)
	cmd.Env = append(os.Environ(), "XDG_RUNTIME_DIR="+dir)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

// agent writes its process id and some files, waits for a file named go, and reports whether its files are still there.
const agent = `n=${KUGETSU_ISSUE##*#}
: >"$TMPDIR/mine" && : >"/tmp/mine.$n" && echo $$ >"$HOME/pid.tmp" && mv "$HOME/pid.tmp" "$HOME/running.$n"
while [ -d "$HOME" ] && [ ! -e "$HOME/go.$n" ]; do sleep 0.02; done
[ -e "$TMPDIR/mine" ] && [ -e "/tmp/mine.$n" ] && [ -e README.md ] || exit 9
grep SigIgn /proc/self/status >"$HOME/signals.$n"
echo all is well
`

// TestSystemdRunsTheTicks waits for the next minute of the clock, and takes a few seconds more.
func TestSystemdRunsTheTicks(t *testing.T) {
	needs(t, "systemd-nspawn", "nsenter", "unshare", "setpriv", "dbus-daemon", "git")
	if found, _ := filepath.Glob("/usr/lib/*/security/pam_systemd.so"); len(found) == 0 {
		t.Skip("libpam-systemd is not installed: no user manager would start")
	}
	t.Parallel()
	s := startSystemd(t)
	s.run("kugetsu", "init")
	config := "KUGETSU_AGENT=command\nAGENT_COMMAND=sh /home/kg/agent\nAGENT_MEMORY=0\nQUEUE_DAEMON_INTERVAL_MINUTES=59\n"
	s.write(".kugetsu/config", config)

	if kind := s.run("kugetsu", "queue-daemon", "start"); kind != "systemd\n" {
		t.Fatalf("start chose %q", kind)
	}
	s.verify("kugetsu")
	s.run("kugetsu", "queue-daemon", "status")

	// An enqueued item starts the service at once.
	begin := time.Now()
	first := s.delegate("you/project#1")
	s.until("the path unit ticks", func() bool { return there(s.home("running.1")) })
	t.Logf("from delegate to the agent: %s", time.Since(begin).Round(time.Millisecond))

	// The agent outlives the tick's service, and keeps its files.
	s.until("the service has ended", func() bool { return s.show("ActiveState") == "inactive" })
	if result := s.show("Result"); result != "success" {
		t.Errorf("the service ended with %s", result)
	}
	pid := strings.TrimSpace(read(t, s.home("running.1")))
	s.run("kill", "-0", pid)
	s.run("kugetsu", "queue-daemon", "restart")
	s.run("kugetsu", "queue-daemon", "stop")
	s.run("kill", "-0", pid)
	if left, err := filepath.Glob(s.home(".config/systemd/user/*")); err != nil || len(s.units(left)) > 0 {
		t.Errorf("left by stop: %q, %v", left, err)
	}
	if loaded := s.systemctl("list-units", "--all", "--plain", "--no-legend", "kugetsu.timer", "kugetsu.path"); loaded != "" {
		t.Errorf("left by stop: %s", loaded)
	}
	s.write("go.1", "")
	s.completes(first)
	if signals := read(t, s.home("signals.1")); signals != "SigIgn:\t0000000000000000\n" {
		t.Errorf("the agent ignores signals: %s", signals)
	}

	// Many enqueued items do not hit a start limit. A tick that exits with 75 is in the journal and is no failure.
	s.run("kugetsu", "queue-daemon", "start")
	s.run("kugetsu", "pause")
	s.run("sh", "-c", "for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do kugetsu delegate you/project#2 $n || exit; done")
	s.systemctl("is-active", "kugetsu.timer", "kugetsu.path")
	s.run("sh", "-c", "kugetsu queue list --json | sed -n 's/.*\"id\": \"\\(.*\\)\".*/\\1/p' | xargs kugetsu queue cancel")
	s.run("kugetsu", "resume")
	n := 0
	s.until("a bad file is met", func() bool { // the end of a tick does not look for a file that is no item
		n++
		s.write(fmt.Sprintf(".kugetsu/queue/items/50-bad%d.json", n), "x")
		return there(s.home(".kugetsu/queue/bad/50-bad1.json"))
	})
	state := "" // asked once: a file that a tick writes may start the next tick
	s.until("the service has ended", func() bool {
		state = s.show("ActiveState")
		return state == "inactive" || state == "failed"
	})
	if state == "failed" {
		t.Error("the service failed")
	}
	s.until("the journal has it", func() bool {
		return strings.Contains(s.root.run("journalctl", "-q", "--no-pager", "_UID=2000"), "quarantine /home/kg/.kugetsu/queue/items/50-bad1.json")
	})

	// Another state folder has units of its own, with any path.
	other := s
	odd := `/home/kg/it's 100% "odd" #1 \%`
	other.env = append(other.env[:len(other.env):len(other.env)], "KUGETSU_DIR="+odd)
	other.run("kugetsu", "init")
	s.write(`it's 100% "odd" #1 \%/config`, config)
	s.write(`it's 100% "odd" #1 \%/repos.json`, read(t, s.home(".kugetsu/repos.json")))
	other.run("kugetsu", "queue-daemon", "start")
	other.verify("kugetsu-*")
	s.write("go.3", "")
	other.completes(other.delegate("you/project#3"))
	other.run("kugetsu", "queue-daemon", "stop")
	s.run("kugetsu", "queue-daemon", "status")

	// The timer alone, with a changed interval.
	s.write(".kugetsu/config", strings.Replace(config, "=59", "=1", 1))
	s.run("kugetsu", "queue-daemon", "start")
	s.systemctl("stop", "kugetsu.path")
	s.write("go.4", "")
	s.completes(s.delegate("you/project#4"))
	s.run("kugetsu", "queue-daemon", "stop")
}

// system is a booted systemd, seen as its user kg.
type system struct {
	world
	dir  string // its root folder
	root world  // the same, seen as root
}

// home returns the path, outside of the container, of a file in the home folder of kg.
func (s system) home(name string) string { return filepath.Join(s.dir, "home/kg", name) }

func (s system) write(name, text string) {
	s.t.Helper()
	write(s.t, s.home(name), text)
	must(s.t, os.Lchown(s.home(name), 2000, 2000))
}

// until waits for a condition.
func (s system) until(what string, holds func() bool) {
	s.t.Helper()
	rig.Until(s.t, what, holds)
}

// manager is the environment that systemctl needs where kg has no login. kugetsu finds it by itself.
const manager = "XDG_RUNTIME_DIR=/run/user/2000"

func (s system) systemctl(args ...string) string {
	s.t.Helper()
	return s.run(append([]string{"env", manager, "systemctl", "--user"}, args...)...)
}

func (s system) show(property string) string {
	s.t.Helper()
	return strings.TrimSpace(s.systemctl("show", "--property="+property, "--value", "kugetsu.service"))
}

func (s system) delegate(issue string) string {
	s.t.Helper()
	return strings.TrimSpace(s.run("kugetsu", "delegate", issue, "do it"))
}

func (s system) completes(id string) {
	s.t.Helper()
	if out, stderr, err := s.try("kugetsu", "queue", "wait", id, "--timeout", patience.String()); err != nil {
		s.t.Fatalf("%v\n%s%s%s", err, out, stderr, s.run("kugetsu", "queue", "show", id))
	}
}

// units removes from a list the units that systemd made itself.
func (s system) units(paths []string) (units []string) {
	for _, path := range paths {
		if names, err := os.ReadDir(path); err != nil || len(names) > 0 { // a file, or a folder that is not empty
			units = append(units, path)
		}
	}
	return units
}

// verify lets systemd read the installed units.
func (s system) verify(name string) {
	s.t.Helper()
	units, err := filepath.Glob(s.home(".config/systemd/user/" + name + ".*"))
	must(s.t, err)
	if len(units) != 3 {
		s.t.Fatalf("the units are %q", units)
	}
	argv := []string{"env", manager, "systemd-analyze", "--user", "verify"}
	for _, unit := range units {
		argv = append(argv, strings.TrimPrefix(unit, s.dir))
	}
	if out, stderr, err := s.try(argv...); err != nil || out+stderr != "" {
		s.t.Errorf("systemd-analyze verify: %v\n%s%s", err, out, stderr)
	}
}

// startSystemd boots a systemd, and ends it with the test.
func startSystemd(t *testing.T) system {
	dir := filepath.Join(t.TempDir(), "root")
	must(t, os.Mkdir(dir, 0o755))
	must(t, os.Chmod(filepath.Dir(dir), 0o755))
	script, err := filepath.Abs("testdata/root.sh")
	must(t, err)
	if out, err := exec.Command("sh", script, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	must(t, rig.Install(filepath.Join(dir, "home/kg/bin/kugetsu")))
	write(t, filepath.Join(dir, "home/kg/agent"), agent)
	repo(t, filepath.Join(dir, "home/kg/project"), filepath.Join(dir, "home/kg/.kugetsu"), "/home/kg/project")
	if out, err := exec.Command("chown", "-R", "2000:2000", filepath.Join(dir, "home/kg")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	log, err := os.Create(filepath.Join(filepath.Dir(dir), "log"))
	must(t, err)
	defer log.Close()
	script, err = filepath.Abs("testdata/boot.sh")
	must(t, err)
	name := fmt.Sprintf("kugetsu%d", os.Getpid())
	cmd := exec.Command("sh", script, dir, name)
	cmd.Env = []string{"PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	must(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // nspawn then powers the container off
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		out, err := exec.Command("find", "/sys/fs/cgroup", "-depth", "-type", "d", "-path", "*/"+name+"*", "-exec", "rmdir", "{}", ";").CombinedOutput()
		if err != nil {
			t.Errorf("the control groups of %s stay: %v\n%s", name, err, out)
		}
	})
	s := system{dir: dir}
	rig.Until(t, "systemd boots", func() bool {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("systemd could not be booted: %v\n%s", err, read(t, log.Name()))
		default:
		}
		pid := strconv.Itoa(cmd.Process.Pid)
		children, err := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
		if err != nil || len(strings.Fields(string(children))) == 0 {
			return false
		}
		inside := []string{"nsenter", "-t", strings.Fields(string(children))[0], "-m", "-p", "-u", "-i", "-n", "-C", "-r", "-w", "--"}
		s.root = world{t, inside, []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}}
		s.world = world{t, append(inside, "setpriv", "--reuid=2000", "--regid=2000", "--clear-groups"),
			[]string{"PATH=/home/kg/bin:/usr/bin:/bin", "HOME=/home/kg", "USER=kg"}}
		_, _, err = s.try("env", manager, "systemctl", "--user", "show", "--property=Version")
		return err == nil
	})
	t.Cleanup(func() {
		if t.Failed() {
			out, _, _ := s.root.try("journalctl", "-q", "--no-pager", "-n", "60", "_UID=2000")
			t.Logf("the journal:\n%s", out)
		}
	})
	return s
}
