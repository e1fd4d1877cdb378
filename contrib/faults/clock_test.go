package faults

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"kugetsu/queue"
	"kugetsu/slots"
)

// The wall clock cannot be set for one process. So these kugetsus are built with another time.Now. Its wall clock is off by the
// seconds in the file clock beside the state folder, and its monotonic clock is right. Commands, runners and their ticks see the
// wall clock step while they run, as they would see a real one. Only the times that the kernel gives to files do not step.
const steppedNow = `func Now() Time {
	t := trueNow()
	home, _ := syscall.Getenv("KUGETSU_DIR")
	text, err := readFile(home + "/../clock")
	if err != nil || len(text) == 0 {
		return t
	}
	sign, off := int64(1), int64(0)
	for _, c := range text {
		if c == '-' {
			sign = -1
		} else if c >= '0' && c <= '9' {
			off = off*10 + int64(c-'0')
		}
	}
	if t.wall&hasMonotonic != 0 {
		t.wall += uint64(sign*off) << nsecShift
	} else {
		t.ext += sign * off
	}
	return t
}

func trueNow() Time {`

// buildStepped builds a kugetsu with that clock into a folder, with other files replaced if there are any.
func buildStepped(t *testing.T, dir string, replace map[string]string) error {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return err
	}
	all := map[string]string{}
	maps.Copy(all, replace)
	for file, changes := range map[string][]string{
		"time.go":  {"func Now() Time {", steppedNow, "import (", "import (\n\t\"syscall\""},
		"sleep.go": {"Now().Add(", "trueNow().Add("}, // in the scheduler, where no file can be read; no test reads what it sends
	} {
		path := filepath.Join(strings.TrimSpace(string(out)), "src", "time", file)
		if all[path], err = change(t, path, changes...); err != nil {
			return err
		}
	}
	return buildChanged(t, dir, all)
}

// needStepped makes the kugetsu under test one whose clock can be stepped, until the test ends.
func needStepped(t *testing.T) {
	t.Helper()
	right, dir := bin, filepath.Join(bin, "stepped") // built once
	if !there(dir) {
		if err := buildStepped(t, dir, nil); err != nil {
			skip(t, clocks, "a kugetsu with a clock of its own cannot be built: "+strings.ReplaceAll(err.Error(), "\n", " "))
		}
	}
	bin = dir
	t.Cleanup(func() { bin = right })
	w := newWorld(t)
	defer w.close()
	for _, off := range []time.Duration{year, -year} {
		w.step(off)
		begin := time.Now()
		_, out := w.kugetsu("delegate", "you/project#1", "work")
		if at := queue.IDTime(strings.TrimSpace(out)).Add(-off); at.Before(begin.Add(-time.Second)) || at.After(time.Now().Add(time.Second)) {
			t.Fatalf("the clock was set %s off, and %q was made at %s", off, out, at)
		}
	}
}

const year = 365 * 24 * time.Hour

// step sets the world's clock off by that much.
func (w *world) step(off time.Duration) {
	path := filepath.Join(w.dir, "clock")
	w.must(os.WriteFile(path+".new", fmt.Appendf(nil, "%d", off/time.Second), 0o600))
	w.must(os.Rename(path+".new", path))
}

// passes makes passes until a condition holds, but no more than that many.
func (w *world) passes(most int, what string, so func() bool) error {
	var said string
	for range most {
		if _, said = w.kugetsu("tick", "--wait"); so() {
			return nil
		}
	}
	return fmt.Errorf("after %d passes it is not so: %s\n%s", most, what, said)
}

// is says whether an item is in a state, after that many runs.
func (w *world) is(id string, state queue.State, runs int) error {
	_, it, err := load(w, id)
	if err == nil && (it.State != state || it.Runs != runs) {
		err = fmt.Errorf("%s is %s after %d runs, not %s after %d", id, it.State, it.Runs, state, runs)
	}
	return err
}

// delegate enqueues an item with the command, under the world's clock.
func (w *world) delegate(n int) error {
	code, out := w.kugetsu("delegate", fmt.Sprintf("you/project#%d", n), "work")
	id := strings.TrimSpace(out)
	if code != 0 || !queue.IsID(id) {
		return fmt.Errorf("delegate: exit code %d: %s", code, out)
	}
	w.ids, w.paid = append(w.ids, id), append(w.paid, 0)
	return nil
}

// failing makes an agent fail unless the world was set free.
const failing = unless + "exit 1\n"

// retryWaits: the clock is stepped while an item waits for its retry.
func retryWaits(w *world, off time.Duration) error {
	w.env = append(w.env, "RETRY_DELAY=1h")
	w.behave(failing)
	_, it := w.item(1)
	w.kugetsu("tick")
	if err := awaited("the first run is settled", func() bool { return w.outcomes(it.ID) == "failed+" }); err != nil {
		return err
	}
	w.free()
	for range 3 {
		w.kugetsu("tick", "--wait")
	}
	if err := w.is(it.ID, queue.Pending, 1); err != nil {
		return fmt.Errorf("the wait of the item is not over: %w", err)
	}
	w.step(off)
	if err := w.passes(3, "it is run again", func() bool { return w.is(it.ID, queue.Pending, 1) != nil }); err != nil {
		return err
	}
	if err := awaited("its second run is settled", func() bool { return w.outcomes(it.ID) != "failed+" }); err != nil {
		return err
	}
	if err := w.wantOutcomes(it.ID, "failed+ ok+"); err != nil { // it would wait for an hour again
		text, _ := os.ReadFile(w.home.LogPath(slots.RunName(it.ID, 2)))
		return fmt.Errorf("%w: %s", err, text)
	}
	if err := w.settle(); err != nil {
		return err
	}
	return errors.Join(w.judge(completed), w.wantOutcomes(it.ID, "failed+ ok+"))
}

// settledOff: a run ends under one clock and is settled under another. Then the clock is right.
func settledOff(w *world, ends, settles time.Duration) error {
	w.env = append(w.env, "RETRY_DELAY=1s")
	w.behave(failing)
	_, it := w.item(1)
	w.step(ends)
	w.kugetsu("tick")
	w.kugetsu("pause") // the run is to be settled, and not run again under that clock
	var lock *slots.Lock
	if err := awaited("tick.lock is free", func() (free bool) {
		var err error
		lock, err = slots.TryLock(filepath.Join(string(w.home), "tick.lock"))
		return err == nil
	}); err != nil {
		return err
	}
	defer lock.Close()
	if err := awaited("the run is over", func() bool {
		return there(filepath.Join(w.home.RunDir(slots.RunName(it.ID, 1)), "end.failed.1"))
	}); err != nil {
		return err
	}
	w.step(settles)
	w.must(lock.Close())
	if err := awaited("the run is settled", func() bool { return w.outcomes(it.ID) == "failed+" }); err != nil {
		return err
	}
	w.step(0)
	w.free()
	w.kugetsu("resume")
	_, now, err := load(w, it.ID)
	if err != nil {
		return err
	}
	if wait := now.NotBefore.Sub(now.History[0].EndedAt); wait > time.Second*5/4 { // spread by a quarter
		return fmt.Errorf("it is to wait for %s, RETRY_DELAY is 1s", wait)
	}
	if err := w.settle(); err != nil {
		return err
	}
	return errors.Join(w.judge(completed), w.wantOutcomes(it.ID, "failed+ ok+"))
}

// publishedOff: items are enqueued under clocks that are a year apart.
func publishedOff(w *world) error {
	w.behave("")
	for n, off := range []time.Duration{year, 0, -year, 0, year, -year} {
		w.step(off)
		if err := w.delegate(n + 1); err != nil {
			return err
		}
	}
	w.step(0)
	if err := w.settle(); err != nil {
		return err
	}
	errs := []error{w.judge(completed)}
	for _, id := range w.ids {
		errs = append(errs, w.wantOutcomes(id, "ok+"))
	}
	return errors.Join(errs...)
}

// told makes an agent note its pid and wait until it is told to go on.
const told = unless + `echo $$ >"$REC.pid.$KUGETSU_RUN.tmp" && mv "$REC.pid.$KUGETSU_RUN.tmp" "$REC.pid.$KUGETSU_RUN"
read x <"$REC.go"
`

// waiting makes the world's agents wait; go on lets that many go on.
func (w *world) waiting() (goOn func(n int), err error) {
	path := w.record() + ".go"
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		return nil, err
	}
	pipe, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	w.t.Cleanup(func() { _ = pipe.Close() })
	w.behave(told)
	return func(n int) {
		_, err := pipe.WriteString(strings.Repeat("\n", n))
		w.must(err)
	}, nil
}

// runsOn: the clock is stepped while agents run, none of which is near its timeout; a runner is killed under that clock.
func runsOn(w *world, off time.Duration) error {
	w.env = append(w.env, "TASK_TIMEOUT=1h")
	goOn, err := w.waiting()
	if err != nil {
		return err
	}
	for n := range limit + 1 {
		w.item(n + 1)
	}
	w.kugetsu("tick")
	for _, id := range w.ids[:limit] {
		if _, err := w.agentOf(id, 1); err != nil {
			return err
		}
	}
	w.step(off)
	for range 3 {
		w.kugetsu("tick", "--wait")
	}
	for _, id := range w.ids[:limit] {
		if err := w.is(id, queue.Notified, 1); err != nil {
			return err
		}
	}
	w.free()
	if err := w.kill9(w.ids[0]); err != nil {
		return err
	}
	goOn(limit) // the agent of the killed runner may have taken one before it died
	if err := w.settle(); err != nil {
		return err
	}
	errs := []error{w.judge(completed), w.wantOutcomes(w.ids[0], "lost+ ok+")}
	for _, id := range w.ids[1:] {
		errs = append(errs, w.wantOutcomes(id, "ok+"))
	}
	return errors.Join(errs...)
}

// timesOut: the clock is stepped while an agent runs that takes too long.
func timesOut(w *world, off time.Duration) error {
	const timeout = 2 * time.Second
	w.env = append(w.env, fmt.Sprintf("TASK_TIMEOUT=%s", timeout))
	w.behave(remain)
	_, it := w.item(1)
	begin := time.Now()
	w.kugetsu("tick")
	if _, err := w.agentOf(it.ID, 1); err != nil {
		return err
	}
	w.step(off)
	w.kugetsu("tick")
	if err := awaited("it has timed out", func() bool { return w.outcomes(it.ID) != "" }); err != nil {
		return err
	}
	if took := time.Since(begin); took < timeout {
		return fmt.Errorf("it was given up after %s, TASK_TIMEOUT is %s", took, timeout)
	}
	if err := w.settle(); err != nil {
		return err
	}
	return errors.Join(w.judge(map[queue.State]bool{queue.Errored: true}), w.wantOutcomes(it.ID, "timeout+"))
}

// pausedFor: the clock is stepped during a pause that has an end, and one that has none.
func pausedFor(w *world, off time.Duration) error {
	w.behave("")
	_, it := w.item(1)
	for _, c := range []struct {
		args  []string
		off   time.Duration
		holds bool
	}{
		{[]string{"pause"}, 0, true},
		{nil, off, true},
		{[]string{"pause", "--for", "1h"}, 0, true},
		{nil, -time.Minute, true},
		{nil, time.Minute, true},
		{nil, off, false},
	} {
		w.step(c.off)
		if c.args != nil {
			if code, out := w.kugetsu(c.args...); code != 0 {
				return fmt.Errorf("%v: %s", c.args, out)
			}
		}
		w.kugetsu("tick", "--wait")
		if held := w.is(it.ID, queue.Pending, 0) == nil; held != c.holds {
			return fmt.Errorf("%s off, after a pause: nothing starts: %t", c.off, held)
		}
	}
	if err := w.settle(); err != nil {
		return err
	}
	return errors.Join(w.judge(completed), w.wantOutcomes(it.ID, "ok+"))
}

// keptOff: the clock is stepped over items in every state. No live item is touched, and no item is deleted for being of the future.
// A year that has passed cannot be told from a clock that was set forward by a year.
func keptOff(w *world, off time.Duration) error {
	w.env = append(w.env, "MAX_CONCURRENT_AGENTS=1")
	goOn, err := w.waiting()
	if err != nil {
		return err
	}
	goOn(1)
	w.item(1)
	if err := w.settle(); err != nil {
		return err
	}
	w.item(2)
	w.kugetsu("tick", "--wait") // the tick that the run before started may have the lock
	if _, err := w.agentOf(w.ids[1], 1); err != nil {
		return err
	}
	w.item(3)
	w.step(off)
	for range 3 {
		w.kugetsu("tick", "--wait")
	}
	errs := []error{w.is(w.ids[1], queue.Notified, 1), w.is(w.ids[2], queue.Pending, 0)}
	if run := w.home.RunDir(slots.RunName(w.ids[1], 1)); !there(filepath.Join(run, "started"), filepath.Join(run, "log")) {
		errs = append(errs, fmt.Errorf("the folder of a run that is under way lacks a file"))
	}
	_, err = w.q.Find(w.ids[0])
	if gone := queue.IsAbsent(err); gone != (off > 0) {
		errs = append(errs, fmt.Errorf("%s off, an item that was completed just now is gone: %t (%w)", off, gone, err))
	} else if gone {
		w.ids, w.paid = w.ids[1:], w.paid[1:]
	}
	goOn(2)
	errs = append(errs, w.settle())
	for _, back := range []time.Duration{0, -off, 0} {
		if back > 0 {
			continue // a year later, their time would be over, too
		}
		w.step(back)
		w.kugetsu("tick", "--wait")
	}
	return errors.Join(append(errs, w.judge(completed))...)
}

// toldOff: NOTIFY_COMMAND takes no event. Then the clock is stepped, and NOTIFY_COMMAND takes all.
func toldOff(w *world, off time.Duration) error {
	script := filepath.Join(w.dir, "told.sh")
	w.must(os.WriteFile(script, []byte("test -e "+w.record()+".open || exit 1\ncat >>"+w.record()+".told\n"), 0o600))
	w.env = append(w.env, "NOTIFY_COMMAND=sh "+script, "NOTIFY_EVENTS=all")
	w.behave("")
	if err := w.delegate(1); err != nil {
		return err
	}
	if err := w.settle(); err != nil {
		return err
	}
	owed := filepath.Join(string(w.home), "notifications", "owed", "*.json")
	if !there(owed) {
		return errors.New("no event is undelivered, although none was taken")
	}
	// A year later the item may be gone. And a try that was refused just before would count as one.
	if err := errors.Join(w.judge(completed), w.cleanedUp()); err != nil {
		return err
	}
	w.step(off)
	w.must(os.WriteFile(w.record()+".open", nil, 0o600))
	if err := awaited("nothing is owed", func() bool { w.kugetsu("tick"); return !there(owed) }); err != nil {
		return err
	}
	data, err := os.ReadFile(w.record() + ".told")
	if err != nil {
		return err
	}
	for _, kind := range []string{"queued", "dequeued", "started", "completed"} {
		if !bytes.Contains(data, []byte(`"type":"task_`+kind+`"`)) {
			return fmt.Errorf("task_%s was never told:\n%s", kind, data)
		}
	}
	return nil
}

// sweptOff: a delegate has written its temp file, and not yet given it its name, when the clock is stepped. Then a pass sweeps the
// files that it takes for leftovers.
func sweptOff(w *world, off time.Duration) error {
	w.behave("")
	type ended struct {
		code int
		out  string
	}
	done := make(chan ended, 1)
	go func() {
		code, out := w.exec("strace", append([]string{"-f", "-o", os.DevNull, "-e", "trace=linkat", "-e", "inject=linkat:delay_enter=3000000",
			filepath.Join(bin, "kugetsu")}, delegate...)...)
		done <- ended{code, out}
	}()
	temp := filepath.Join(w.q.Items, ".*.json.tmp*")
	err := awaited("the temp file is there", func() bool { return there(temp) })
	if err == nil {
		w.step(off)
		w.kugetsu("tick", "--wait")
	}
	end := <-done
	return errors.Join(err, oneLine(end.code, end.out, 0), delegated(w, end.code, end.out), w.settle(), w.judge(completed))
}

// offset is a time with an offset that is not Z, as JSON.
var offset = regexp.MustCompile(`"[0-9T:.-]+[+-][0-9][0-9]:[0-9][0-9]"`)

// zoned: everything is done in a time zone, across the instant at which the zone's clocks are set.
func zoned(w *world, zone string, change time.Time) error {
	utc := slices.Clone(w.env)
	w.env = append(w.env, "TZ="+zone)
	goOn, err := w.waiting()
	if err != nil {
		return err
	}
	w.step(time.Until(change) - 5*time.Second)
	for n := range 2 {
		if err := w.delegate(n + 1); err != nil {
			return err
		}
	}
	w.kugetsu("tick")
	for _, id := range w.ids {
		if _, err := w.agentOf(id, 1); err != nil {
			return err
		}
	}
	if err := w.delegate(3); err != nil {
		return err
	}
	if code, out := w.kugetsu("pause", "--for", "1h"); code != 0 {
		return fmt.Errorf("pause: %s", out)
	}
	w.step(time.Until(change) + 5*time.Second) // local clocks jump; the pause has 59 minutes to go
	w.kugetsu("tick", "--wait")
	errs := []error{w.is(w.ids[0], queue.Notified, 1), w.is(w.ids[1], queue.Notified, 1), w.is(w.ids[2], queue.Pending, 0)}
	look := [][]string{{"queue", "list", "--all", "--json"}, {"queue", "show", w.ids[0], "--json"}, {"status", "--json"}, {"notify", "list", "--json"}}
	for _, args := range look {
		_, here := w.kugetsu(args...)
		there := &world{t: w.t, env: utc}
		_, utc := there.kugetsu(args...)
		here, utc = cutMoment(here), cutMoment(utc)
		if here != utc || offset.MatchString(here) || !strings.Contains(here, `Z"`) {
			errs = append(errs, fmt.Errorf("%v in %s:\n%s\nin UTC:\n%s", args, zone, here, utc))
		}
	}
	location, err := time.LoadLocation(zone)
	if err != nil {
		return err
	}
	want := queue.IDTime(w.ids[0]).In(location).Format("2006-01-02 15:04:05 MST")
	if _, out := w.kugetsu("queue", "show", w.ids[0]); !strings.Contains(out, want) {
		errs = append(errs, fmt.Errorf("for a human the time is local, %s: %s", want, out))
	}
	w.kugetsu("resume")
	goOn(3)
	errs = append(errs, w.settle(), w.judge(completed))
	_ = filepath.WalkDir(string(w.home), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && (strings.HasSuffix(path, ".json") || d.Name() == "paused") {
			if data, err := os.ReadFile(path); err == nil && offset.Match(data) {
				errs = append(errs, fmt.Errorf("%s holds a local time: %s", path, data))
			}
		}
		return nil
	})
	return errors.Join(errs...)
}

// moment matches what differs between two readings of the same state: the words that tell until when nothing is started, the last
// line of an agent, the time of the reading, and the memory and disk that were free then.
var moment = regexp.MustCompile(`(?m)"(why|says|unplanned)": "[^"]*"|,\n +"line": "[^"]*"|^  "at": .*|^ +"(memory|disk)": .*`)

func cutMoment(text string) string { return moment.ReplaceAllString(text, "") }

// either makes two faults of one: the clock is stepped a year forward, and a year back.
func either(one func(w *world, off time.Duration) error) (all []func(*world) error) {
	for _, off := range []time.Duration{year, -year} {
		all = append(all, func(w *world) error { return one(w, off) })
	}
	return all
}

// TestClockIsStepped: nothing ends early and nothing waits for ever, whatever the wall clock does.
func TestClockIsStepped(t *testing.T) {
	needStepped(t)
	off := func(ends, settles time.Duration) func(*world) error {
		return func(w *world) error { return settledOff(w, ends, settles) }
	}
	rows := []inWorld{
		{"by a year, either way, while an item waits for its retry", either(retryWaits)},
		{"by a year between the end of a run and its settling, and back", []func(*world) error{
			off(0, year), off(0, -year), off(year, 0), off(-year, 0)}},
		{"items are enqueued a year ahead, now, and a year behind", []func(*world) error{publishedOff}},
		{"by a year, either way, while agents run", either(runsOn)},
		{"by a year, either way, while an agent takes too long", either(timesOut)},
		{"by a minute and by a year, either way, during a pause", either(pausedFor)},
		{"by a year, either way, over completed, running and waiting items", either(keptOff)},
		{"by a year, either way, while events are owed to NOTIFY_COMMAND", either(toldOff)},
	}
	temp := "by a year, either way, while a delegate has a temp file"
	if _, err := exec.LookPath("strace"); err != nil {
		report(result{group: clocks, name: temp, note: "not run: strace is not installed: it is what holds the delegate up"})
	} else {
		rows = append(rows, inWorld{temp, either(sweptOff)})
	}
	inWorlds(t, clocks, 5, rows)
}

// TestFilesKnowNoTimeZone: files and the output of --json are the same in every time zone.
func TestFilesKnowNoTimeZone(t *testing.T) {
	needStepped(t)
	var rows []inWorld
	for _, zone := range []struct{ name, change string }{
		{"America/New_York", "2026-11-01T06:00:00Z"}, // an hour comes twice
		{"America/New_York", "2027-03-14T07:00:00Z"}, // an hour is left out
		{"Asia/Kathmandu", "2026-11-30T18:15:00Z"},   // no change; 5:45 ahead, and midnight
		{"Pacific/Apia", "2011-12-30T10:00:00Z"},     // a day is left out
	} {
		if _, err := time.LoadLocation(zone.name); err != nil {
			skip(t, clocks, "time zones are not known here: "+err.Error())
		}
		change, err := time.Parse(time.RFC3339, zone.change)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, inWorld{"in " + zone.name + ", across " + zone.change,
			[]func(*world) error{func(w *world) error { return zoned(w, zone.name, change) }}})
	}
	inWorlds(t, clocks, 5, rows)
}

// TestHarnessNoticesATrustedClock: waits that end by the wall clock alone.
func TestHarnessNoticesATrustedClock(t *testing.T) {
	needStepped(t)
	mustNoticeBuilt(t, buildStepped,
		wrongWay{"a wait ends when the clock says so, and not before", "queue/transition.go",
			[]string{"return last != nil && (last.Outcome.Holds() || now.Before(last.EndedAt))", "return last != nil && last.Outcome.Holds()"},
			"it is not so: it is run again", alone(func(w *world) error { return retryWaits(w, -year) })},
		wrongWay{"a wait is counted from when a run was settled", "queue/transition.go",
			[]string{"it.again(r.EndedAt, p.wait(it.Attempts))", "it.again(now, p.wait(it.Attempts))"},
			"it is to wait for", alone(func(w *world) error { return settledOff(w, 0, year) })},
	)
}
