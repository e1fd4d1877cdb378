package command

import (
	"fmt"
	"regexp"
	"time"

	"kugetsu/queue"
	"kugetsu/tick"
	"kugetsu/tick/schedule"
)

// noTick says that no tick is to be expected by itself, and what to type, or "". While something runs its end starts one.
// It reads small files and starts no process.
func (a *App) noTick(view *tick.View) string {
	if view.Busy() {
		return ""
	}
	if text := a.unscheduled(); text != "" {
		return text
	}
	if a.overdue(view.Last) != "" {
		return "no tick comes, though one was to (kugetsu queue-daemon status): kugetsu tick makes one now"
	}
	return ""
}

// unscheduled says that nothing runs ticks, and what to type, or "".
func (a *App) unscheduled() string {
	r, err := schedule.ReadRecord(string(a.Home))
	if r != nil || err != nil || tick.Scheduled(a.Home, a.Now()) {
		return ""
	}
	return "no schedule, so nothing starts by itself: kugetsu queue-daemon start installs one, kugetsu tick starts what waits now"
}

// starts says when an item starts that waits for nothing but a tick.
func (a *App) starts(view *tick.View) string {
	switch {
	case a.noTick(view) != "":
		return "no tick comes by itself: kugetsu tick starts it"
	case a.unscheduled() != "":
		return "the tick at the end of a run starts it"
	}
	return "the next tick starts it"
}

// numbers are what of a reason changes with every look: times, sizes, counts.
var numbers = regexp.MustCompile(`[0-9]+`)

// tellWaiting tells on stderr what an item waits for, now and when that changes.
func (a *App) tellWaiting() func(it *queue.Item) {
	var looked time.Time
	told := ""
	return func(it *queue.Item) {
		if time.Since(looked) < tickEvery {
			return
		}
		looked = time.Now()
		text := "it runs"
		if it.State == queue.Pending {
			view, err := a.Tick.Look()
			if err != nil {
				return // the wait goes on
			}
			starts, why := view.When(it.ID)
			switch none := a.noTick(view); {
			case none != "":
				text = none
			case starts:
				text = a.starts(view)
			case why == "": // it was started meanwhile
				return
			default:
				text = why
			}
		}
		text = clean(text)
		if same := numbers.ReplaceAllString(text, "0"); same != told {
			told = same
			fmt.Fprintf(a.Stderr, "waiting for %s %s: %s\n", it.ID, clean(issueOrPM(it.IssueRef)), text)
		}
	}
}
