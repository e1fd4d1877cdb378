package tick

import (
	"fmt"

	"kugetsu/queue"
	"kugetsu/queue/fault"
)

// Plan says, a line each, what a pass would do now.
func (v *View) Plan() []string {
	var plan []string
	for _, s := range v.Slots {
		if s.Item != "" && !s.Occupied {
			plan = append(plan, fmt.Sprintf("would settle run %d of %s %s", s.Run, s.Item, s.IssueRef))
		}
	}
	for _, w := range v.Waiting {
		if w.reason.Kind == Eligible {
			plan = append(plan, fmt.Sprintf("would start %s %s", w.Item, w.IssueRef))
		} else {
			plan = append(plan, fmt.Sprintf("would not start %s %s: %s", w.Item, w.IssueRef, w.reason.Text))
		}
	}
	return plan
}

// WhyNot is what keeps a waiting item from starting with the next tick; "" when that tick starts it.
func (v *View) WhyNot(w Waiting) string { return w.reason.Text }

// When says when an item starts that was just enqueued, if a tick comes; "" when it is not waiting.
func (v *View) When(id string) (starts bool, why string) {
	ahead := map[queue.Lane]int{} // how many may start before it
	for _, w := range v.Waiting {
		ready := w.reason.Kind == Eligible || kinds[w.reason.Kind].turn
		switch {
		case w.Item != id:
			if ready {
				ahead[w.Lane]++
			}
		case w.reason.Kind == Eligible:
			return true, ""
		case ready && ahead[w.Lane] > 0:
			return false, fmt.Sprintf("%s, and %d before it", w.reason.Text, ahead[w.Lane])
		default:
			return false, w.reason.Text
		}
	}
	return false, ""
}

// Rest is why no waiting item will start by itself; the zero Reason if one will. stuck means that the items wait only for each other. A
// pass may be between two steps, so the caller looks a second time before it believes stuck.
func (v *View) Rest() (r Reason, stuck bool) {
	if v.busy || len(v.Waiting) == 0 {
		return Reason{}, false
	}
	if kinds[v.blocked.Kind].ends == outside {
		return v.blocked, false
	}
	for _, s := range v.Slots {
		if s.Item != "" { // a run to be settled
			return Reason{}, false
		}
	}
	for _, w := range v.Waiting {
		switch kinds[w.reason.Kind].ends {
		case itself:
			return Reason{}, false
		case outside:
			if r.Kind == Eligible {
				r = w.reason
			}
		}
	}
	if r.Kind == Eligible {
		return Reason{Kind: Dependency, Text: "they wait for each other, or for an item that a newer kugetsu wrote", Hint: "kugetsu status shows which"}, true
	}
	return r, false
}

// Left is the error of a drain that ends for this reason while n items wait.
func (r Reason) Left(n int) error {
	hint := r.Remedy()
	if hint == "" {
		hint = "kugetsu tick --drain again when that is over"
	}
	if n == 1 {
		return fault.New(r.Code(), hint, "1 item is blocked: %s", r.Text)
	}
	return fault.New(r.Code(), hint, "%d items are blocked: %s", n, r.Text)
}
