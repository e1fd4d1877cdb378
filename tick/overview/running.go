package overview

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"kugetsu/queue/issueref"
	"kugetsu/queue/spool"
	"kugetsu/slots"
	"kugetsu/slots/transcript"
	"kugetsu/tick"
)

// Doing is what happens in the slot, in a line: the command that verifies the run, else what its agent said or did last.
func (r Running) Doing(now time.Time) string {
	if v := r.Verifying; v != nil {
		return fmt.Sprintf("verifying: %s, %s", line(v.Command), tick.Duration(now.Sub(v.Since)))
	}
	return r.Line
}

// tailMost is how much of the end of a log is read for its last line. An event of an agent can be longer, and then more is read.
var tailMost = []int64{32 << 10, 1 << 20}

func (x *exam) running() []Running {
	list := []Running{}
	for _, s := range x.view.Slots {
		if s.Item != "" { // otherwise the slot is free, or its run is settled and only the runner has not ended yet
			list = append(list, Running{SlotView: s, Line: x.lastLine(s)})
		}
	}
	return list
}

// Listen reads the last lines of the agents again: they change more often than all else.
func Listen(t *tick.Tick, o *Overview) {
	x := &exam{t: t}
	for i, r := range o.Running {
		o.Running[i].Line = x.lastLine(r.SlotView)
	}
}

// lastLine is the last thing that an agent said or did; "" if it said nothing yet, or if its log cannot be read.
func (x *exam) lastLine(s tick.SlotView) string {
	log, err := x.t.Home.OpenLog(slots.RunName(s.Item, s.Run))
	if err != nil { // the run has not begun, or is damaged: the slot itself is shown all the same
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, spool.ErrBad) {
			return line(err.Error())
		}
		return ""
	}
	defer log.Close()
	info, err := log.Stat()
	if err != nil {
		return ""
	}
	dir := "" // without it, paths are shown whole
	if ref, err := issueref.FromSession(s.Session); err == nil {
		dir = x.t.Home.WorksAt(ref.Session())
	}
	for _, most := range tailMost {
		from := max(0, info.Size()-most)
		tail := make([]byte, info.Size()-from)
		n, err := log.ReadAt(tail, from)
		if err != nil && err != io.EOF {
			return ""
		}
		if text := transcript.Last(s.Agent, dir, tail[:n], from > 0); text != "" || from == 0 {
			return line(text)
		}
	}
	return ""
}
