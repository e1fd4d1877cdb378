package schedule

import (
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

// TestCronRunsTheTicks waits for the next minute of the clock, and takes a few seconds more.
func TestCronRunsTheTicks(t *testing.T) {
	needs(t, "cron", "crontab", "unshare", "nsenter", "flock", "git")
	t.Parallel()
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	w := startCron(t, dir)

	// Names with characters that a shell and a cron interpret.
	odd := filepath.Join(dir, `it's 100% "odd" #1 \%`)
	state, kugetsu := filepath.Join(odd, "state"), filepath.Join(odd, "kugetsu")
	must(t, rig.Install(kugetsu))
	repo(t, filepath.Join(dir, "project"), state, filepath.Join(dir, "project"))
	w.env = append(w.env, "KUGETSU_DIR="+state, "GITHUB_TOKEN=secret-token")
	write(t, filepath.Join(dir, "agent"), `cd `+dir+` && env | sort >agent.env && cat >message && : >running
while [ -d `+dir+` ] && [ ! -e overlapped ]; do sleep 0.05; done
echo all is well
`)
	// In the environment of cron: a tick while another one has the lock.
	write(t, filepath.Join(dir, "overlap"), `cd `+dir+` && [ ! -e cron.env ] && env | sort >cron.env || exit 0
while [ -d `+dir+` ] && [ ! -e running ]; do sleep 0.05; done
export KUGETSU_DIR=`+inSh(state)+`
flock "$KUGETSU_DIR/tick.lock" `+inSh(kugetsu)+` tick --scheduled >said 2>&1
echo $? >code
: >overlapped
`)
	must(t, os.WriteFile(filepath.Join(state, "config"), []byte("KUGETSU_AGENT=command\nAGENT_COMMAND=sh "+dir+"/agent\nAGENT_MEMORY=0\nQUEUE_DAEMON_INTERVAL_MINUTES=1\n"), 0o600))
	mine := "# mine\r\nMAILTO=me\n* * * * * echo hello from cron; sh " + dir + "/overlap\n\n0 1 1 1 * echo 100\\% %done\n# the end"
	write(t, filepath.Join(dir, "mine"), mine+"\n")
	w.run("crontab", filepath.Join(dir, "mine"))
	before := w.run("crontab", "-l")

	if kind := w.run(kugetsu, "queue-daemon", "start"); kind != "cron\n" {
		t.Fatalf("start chose %q", kind)
	}
	text := w.run("crontab", "-l")
	if !strings.HasPrefix(text, before) || strings.Count(text, "--scheduled") != 1 || strings.Contains(text, "secret") {
		t.Errorf("the crontab is now\n%s", text)
	}
	id := strings.TrimSpace(w.run(kugetsu, "delegate", "you/project#7", `say "it's 100%"`))
	t.Cleanup(func() {
		if t.Failed() {
			_, _, _ = w.try(kugetsu, "queue", "cancel", id)
		}
	})
	if out, stderr, err := w.try(kugetsu, "queue", "wait", id, "--timeout", patience.String()); err != nil {
		t.Fatalf("%v\n%s%s%s", err, out, stderr, w.run(kugetsu, "status"))
	}
	if got := w.state(kugetsu, id); got != "completed" {
		t.Errorf("the item is %s", got)
	}
	if env := read(t, filepath.Join(dir, "cron.env")); !strings.Contains(env, "PATH=/usr/bin:/bin\n") || strings.Contains(env, "KUGETSU") {
		t.Errorf("that is not cron's poor environment:\n%s", env)
	}
	if message := read(t, filepath.Join(dir, "message")); message != `say "it's 100%"` {
		t.Errorf("the agent got %q", message)
	}
	if said, code := read(t, filepath.Join(dir, "said")), read(t, filepath.Join(dir, "code")); said != "" || code != "0\n" {
		t.Errorf("a tick beside another said %q and exited with %s", said, code)
	}
	if log := w.run(kugetsu, "queue-daemon", "logs"); !strings.Contains(log, "started") || !strings.Contains(log, id) {
		t.Errorf("tick.log has only\n%s", log)
	}
	w.run(kugetsu, "queue-daemon", "status")                                                                 // exits 1 where ticks are overdue
	if found, _, _ := w.try(kugetsu, "doctor", "-v"); !strings.Contains(found, "cron; the last tick was ") { // other findings do not matter
		t.Errorf("doctor does not find the schedule:\n%s", found)
	}

	w.run(kugetsu, "queue-daemon", "stop")
	if after := w.run("crontab", "-l"); after != before {
		t.Errorf("the crontab was %q and is now %q", before, after)
	}
	// The other line shows that mail works. The line of kugetsu printed nothing, so it sent none.
	rig.Until(t, "cron mails", func() bool {
		mails, err := filepath.Glob(filepath.Join(dir, "mail.*"))
		must(t, err)
		all := ""
		for _, mail := range mails {
			text := read(t, mail)
			if strings.Contains(text, "kugetsu") && !strings.Contains(text, "hello from cron\n") {
				t.Errorf("the tick was mailed:\n%s", text)
			}
			all += text
		}
		return strings.Contains(all, "hello from cron\n")
	})
}

// startCron starts a cron with a spool of its own, and ends it with the test.
func startCron(t *testing.T, dir string) world {
	for _, name := range []string{"spool/crontabs", "run", "over"} {
		must(t, os.MkdirAll(filepath.Join(dir, name), 0o755))
	}
	must(t, os.Chmod(filepath.Join(dir, "spool/crontabs"), os.ModeSticky|0o730))
	out, err := os.Create(filepath.Join(dir, "out"))
	must(t, err)
	defer out.Close()
	script, err := filepath.Abs("testdata/cron.sh")
	must(t, err)
	cmd := exec.Command("unshare", "-m", "sh", script, dir)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	must(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // its children end by themselves, since their folder is deleted
		<-ended
	})
	rig.Until(t, "cron starts", func() bool {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("cron could not be started: %v\n%s", err, read(t, filepath.Join(dir, "out")))
		default:
		}
		return there(filepath.Join(dir, "run", "crond.pid"))
	})
	// Cron reads a crontab again when its modification time, in seconds, differs. A change within the second of the first read
	// would never be seen.
	began := time.Now()
	rig.Until(t, "the second is over", func() bool { return time.Since(began) > 2*time.Second })
	return world{t, []string{"nsenter", "-m", "-t", strconv.Itoa(cmd.Process.Pid), "--"}, []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/root"}}
}
