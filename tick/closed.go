package tick

import (
	"kugetsu/queue/fault"
	"kugetsu/slots/proc"
)

// closed is why nothing may start at all; the zero Reason if something may.
func (t *Tick) closed() Reason {
	if t.Config != nil {
		return Reason{Kind: Misconfigured, Text: t.Config.Error(), Hint: fault.HintOf(t.Config)} // the caller reports it with its exit code
	}
	unusable := func(err error) Reason { return Reason{Kind: Unusable, Text: err.Error(), err: err} }
	if err := proc.Visible(); err != nil { // a process that cannot be seen cannot be ended
		return unusable(fault.New(fault.Config, "mount a /proc of its own in the sandbox, as unshare --mount-proc does", "nothing is started: %w", err))
	}
	if _, err := t.Environ(); err != nil { // no run could be started: reported once, not for each item
		return unusable(err)
	}
	pause, err := ReadPause(t.Home, t.Now())
	switch {
	case err != nil:
		return unusable(err)
	case pause != nil:
		return Reason{Kind: Paused, Text: pause.String(), Until: pause.Until}
	case t.Settings.MaxAgents == 0:
		return Reason{Kind: NoSlots, Text: "MAX_CONCURRENT_AGENTS is 0: runs continue, nothing is started"}
	}
	return t.outside(OutsideHours, "RUN_HOURS", t.Settings.RunHours)
}
