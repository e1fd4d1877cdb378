package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/event"
	"kugetsu/queue/fault"
	"kugetsu/queue/spool"
	"kugetsu/slots"
	"kugetsu/slots/proc"
	"kugetsu/tick"
)

const (
	undeliveredOld = time.Hour // an event that is undelivered for longer is a finding
	maxNamed       = 3         // how many names a finding lists
)

// noClock is a time that has passed. A clock that shows an earlier time was not set: a machine without a battery starts in 1970.
var noClock = time.Date(2025, time.January, 1, 0, 0, 0, 0, time.UTC)

func (x *Exam) clock() {
	if now := x.Now(); now.Before(noClock) {
		x.add(Error, "the clock says "+now.Format(time.RFC3339), "set it: ids, retries and holds follow it")
	}
}

func (x *Exam) processes() {
	if err := proc.Visible(); err != nil {
		x.add(Error, err.Error()+": nothing is started", "mount a /proc of its own in the sandbox, as unshare --mount-proc does")
	}
}

func (x *Exam) schedule() {
	last, err := tick.LastPass(x.Tick.Home)
	if err != nil {
		x.unknown(err)
		return
	}
	ago := "no tick has run yet"
	if tick.ToCome(x.Now(), last) {
		ago = "the last tick is of " + last.Format(time.RFC3339) + ", which is in the future"
	} else if !last.IsZero() {
		ago = "the last tick was " + x.Now().Sub(last).Round(time.Second).String() + " ago"
	}
	installed, err := x.Ticks(x.Ctx)
	x.scheduler = installed.Kind
	for _, problem := range installed.Problem {
		x.add(Warn, problem, "kugetsu queue-daemon status")
	}
	if len(installed.Program) > 0 && !x.scheduled(installed) {
		return
	}
	switch {
	case err != nil:
		x.unknown(err)
	case installed.Kind == "":
		x.add(Warn, "no schedule is installed; "+ago, "kugetsu queue-daemon start")
	case installed.Overdue:
		x.add(Error, fmt.Sprintf("%s is to run ticks, but does not: %s", installed.Kind, ago), "kugetsu queue-daemon status and logs; kugetsu queue-daemon restart")
	default:
		x.ok(installed.Kind + "; " + ago)
	}
}

// scheduled runs the program of the schedule as the scheduler does. If an upgrade removed it, every tick fails, although this
// kugetsu runs.
func (x *Exam) scheduled(s Installed) bool {
	_, err := x.ask(s.Program[0], append(slices.Clone(s.Program[1:]), "version"))
	if err != nil {
		x.add(Error, fmt.Sprintf("%s cannot run kugetsu as it is installed: %v", s.Kind, err), "kugetsu queue-daemon start")
	}
	return err == nil
}

// home compares HOME in this shell with the home folder of the password file. A scheduler gives agents the latter: they look
// there for their logins, and git for its configuration.
func (x *Exam) home() {
	me, err := user.Current()
	here := os.Getenv("HOME")
	if err != nil || here == "" || spool.SameFolder(here, me.HomeDir) {
		return
	}
	env, err := slots.WithFiles([]string{"HOME=" + me.HomeDir}, x.Tick.Home.EnvFile("default.env"), x.Tick.Home.EnvFile("dev.env"))
	if err != nil || lookup(env, "HOME") != me.HomeDir {
		return // an error of config; or an env file sets HOME for all agents
	}
	if x.scheduler == "" {
		x.ok("HOME is " + here + " here, and " + me.HomeDir + " for what a schedule would start")
		return
	}
	x.add(Warn, fmt.Sprintf("HOME is %s here, but %s starts agents with that of the password file, %s: their logins and git's configuration are sought there",
		here, x.scheduler, me.HomeDir), fmt.Sprintf("log the agents in with HOME=%s, or put HOME=%s into %s", me.HomeDir, here, x.in("env", "default.env")))
}

func (x *Exam) pause() {
	p, err := tick.ReadPause(x.Tick.Home, x.Now())
	if err != nil {
		x.unknown(err)
	} else if p != nil {
		x.add(Warn, p.String()+": nothing is started", "kugetsu resume")
	}
}

func (x *Exam) holds() {
	holds, list, err := tick.Holds(x.Tick.Home)
	if err != nil {
		x.unknown(err)
		return
	}
	for _, target := range list {
		if h := holds[target]; !h.Ended(x.Now()) {
			x.add(Warn, target.Name()+" is on hold"+strings.TrimPrefix(h.Pause.String(), "paused"), h.Remedy(target))
		}
	}
}

func (x *Exam) bad() {
	names, err := spool.List(x.Tick.Queue.Bad)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			x.unknown(err)
		}
		return
	}
	if len(names) > 0 {
		x.add(Warn, fmt.Sprintf("%d files were quarantined in %s: %s", len(names), x.Tick.Queue.Bad, some(names)),
			"inspect each, delegate again what was an item, and delete the file")
	}
}

// some lists the first names of many.
func some(names []string) string {
	if len(names) > maxNamed {
		return strings.Join(names[:maxNamed], ", ") + ", …"
	}
	return strings.Join(names, ", ")
}

// slots checks each slot. A pass may be under way, so a state that a pass repairs is a warning at most.
func (x *Exam) slots() {
	names, err := x.Tick.Home.Names()
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			x.unknown(err)
		}
		return
	}
	for _, name := range names {
		occupied, lockErr := slots.Locked(x.Tick.Home.SlotLock(name))
		in, err := x.Tick.Home.ReadIntent(name)
		if in != nil && !occupied { // it may have been filled between the two questions
			occupied, lockErr = slots.Locked(x.Tick.Home.SlotLock(name))
		}
		switch {
		case errors.Is(err, spool.ErrNewer):
			x.add(Error, err.Error(), "update kugetsu; the slot stays occupied until then")
		case err != nil:
			x.add(Error, err.Error(), "kugetsu tick moves it to bad/")
		case lockErr != nil:
			x.unknown(lockErr)
		case in == nil && occupied:
			x.add(Warn, "slot "+name+" is locked, and names no run", "find the process that has it: fuser -v "+x.Tick.Home.SlotLock(name))
		case in != nil && !occupied && !x.Tick.Lives(in):
			x.add(Warn, fmt.Sprintf("slot %s names %s, which ended and is not settled", name, in.RunName()), "kugetsu tick")
		}
		if in == nil {
			continue
		}
		e, err := x.Tick.Queue.Find(in.Item)
		if queue.IsAbsent(err) {
			x.add(Warn, fmt.Sprintf("slot %s names an item that is gone: %s", name, in.Item), "kugetsu tick")
		}
		if err != nil {
			continue
		}
		if it, err := x.Tick.Queue.Load(e); err == nil && it.Runs == in.Run && tick.Beyond(it) {
			x.add(Error, fmt.Sprintf("slot %s: %s is beyond its limit of %s: its runner, process %d, does not answer",
				name, in.RunName(), slots.Limit(it.Runner.Timeout, it.Runner.Verify), *it.ForkPID), "kugetsu tick ends it, or kugetsu queue cancel "+in.Item)
		}
	}
}

// items finds notified items that no slot names, and items that cannot be read.
func (x *Exam) items() {
	named := map[string]bool{}
	names, _ := x.Tick.Home.Names() // slots has the error
	for _, name := range names {
		if in, err := x.Tick.Home.ReadIntent(name); err == nil && in != nil {
			named[in.Item] = true
		}
	}
	for _, lane := range queue.Lanes {
		entries, err := x.Tick.Queue.Live(lane)
		if err != nil {
			x.unknown(err)
			continue
		}
		for _, e := range entries {
			it, err := x.Tick.Queue.Load(e)
			switch {
			case queue.IsAbsent(err): // filed meanwhile
			case errors.Is(err, queue.ErrNewer):
				x.add(Warn, err.Error(), "update kugetsu; it waits until then")
			case err != nil:
				x.add(Warn, err.Error(), "kugetsu tick moves it to bad/")
			case it.State == queue.Notified && !named[it.ID]:
				x.add(Warn, it.ID+" is notified, but no slot names it", "kugetsu tick settles it")
			case it.State == queue.Pending && x.Tick.MayStart(it) != nil:
				err := x.Tick.MayStart(it)
				x.add(Warn, it.ID+": "+err.Error(), fault.HintOf(err))
			}
		}
		foreign, err := x.Tick.Queue.ForeignFiles(lane)
		if err != nil {
			x.unknown(err)
		}
		for _, path := range foreign {
			x.add(Warn, path+" is not the file of an item", "kugetsu tick moves it to bad/")
		}
	}
}

// sessions finds sessions that cannot be read or whose worktree is gone.
func (x *Exam) sessions() {
	names, err := x.Tick.Home.Sessions()
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			x.unknown(err)
		}
		return
	}
	for _, name := range names {
		s, err := x.Tick.Home.ReadSession(name)
		if err != nil {
			x.add(Error, err.Error(), "move it away; the worktree and the branch stay, the conversation begins anew")
			continue
		}
		if s == nil || s.LastUsedAt.IsZero() { // gone meanwhile, or not used yet
			continue
		}
		switch busy, err := slots.Locked(x.Tick.Home.SessionLock(name)); {
		case err != nil:
			x.unknown(err)
		case busy || x.Tick.Sessions().InUse(name):
			continue // a run works there
		}
		if _, away := s.Shown(); away {
			continue // each run makes one
		}
		if _, err := os.Lstat(s.Worktree); errors.Is(err, fs.ErrNotExist) {
			x.ok("the worktree of " + name + " is gone: the next item on it makes it again, from the branch " + s.Branch)
		} else if err != nil {
			x.unknown(err)
		}
	}
}

// events finds events that NOTIFY_COMMAND did not take, and a digest that it is not told of.
func (x *Exam) events() {
	x.digest()
	names, err := spool.List(x.Tick.Queue.Events.Undelivered)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			x.unknown(err)
		}
		return
	}
	late := 0
	for _, name := range names {
		ev, err := spool.File[event.Event]{Path: filepath.Join(x.Tick.Queue.Events.Undelivered, name)}.Read()
		if !strings.HasSuffix(name, ".json") || ev == nil || err != nil {
			continue
		}
		if x.Now().Sub(ev.At) > undeliveredOld {
			late++
		}
	}
	if late > 0 {
		x.add(Warn, fmt.Sprintf("%d events could not be delivered for more than %s", late, undeliveredOld), "see what NOTIFY_COMMAND says: kugetsu tick")
	}
}

// digest finds a DIGEST_AT whose digest is told by no notification, so that a person finds it only by looking.
func (x *Exam) digest() {
	at := x.Tick.Settings.DigestAt
	switch {
	case at == "":
	case x.Tick.Settings.NotifyCommand == "":
		x.add(Warn, "DIGEST_AT is "+string(at)+", and there is no NOTIFY_COMMAND: the digest comes as an event that only kugetsu notify list shows", "set NOTIFY_COMMAND in "+x.in("config")+", or leave DIGEST_AT out")
	case !x.Tick.Settings.NotifyEvents.Has(event.Digest):
		x.add(Warn, "DIGEST_AT is "+string(at)+", and NOTIFY_EVENTS leaves the event digest out", "add digest to NOTIFY_EVENTS in "+x.in("config")+", or leave DIGEST_AT out")
	default:
		x.ok("the digest of a day is told after " + string(at) + " " + x.Now().Local().Format("MST"))
	}
}
