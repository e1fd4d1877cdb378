package tick

import (
	"fmt"
	"slices"

	"kugetsu/queue"
	"kugetsu/slots"
)

// plan says of every item that waits what keeps it from starting with the next pass, in the order in which fill meets them:
// what starts takes a slot, memory and its issue from those behind it. Status, the listings and the dry run show the same.
func (t *Tick) plan(v *View) {
	free := v.Limit - v.Running
	pm := !v.taken.slots[slots.PMSlot]
	room := t.room(v.taken)
	sessions, probed := map[string]bool{}, map[Held]bool{}
	for i := range v.Waiting {
		w := &v.Waiting[i]
		session, _ := sessionOf(w.item)
		holds := t.heldFor(w.item, v.taken)
		tried := slices.IndexFunc(holds, func(held Held) bool { return probed[held] })
		switch {
		case w.Why != "":
			w.next = w.Why
		case v.closed != "":
			w.next = v.closed
		case sessions[session]:
			w.next = "an item before it works on this issue"
		case tried >= 0:
			w.next = "an item before it tries whether " + holds[tried].Name() + " goes on"
		case w.Lane == queue.PM && v.taken.slots[slots.PMSlot]:
			w.next = "the PM agent works on another"
		case w.Lane == queue.Dev && v.Running >= v.Limit:
			w.next = fmt.Sprintf("all %d slots are taken", v.Limit)
		case w.Lane == queue.PM && !pm, w.Lane == queue.Dev && free <= 0:
			w.next = "no free slot"
		default:
			if w.next = room.why(); w.next == "" {
				w.next = t.refused(w.item, session)
			}
		}
		if w.next != "" {
			continue
		}
		sessions[session] = true
		for _, held := range holds {
			probed[held] = true
		}
		room.start()
		if w.Lane == queue.PM {
			pm = false
		} else {
			free--
		}
	}
}

// refused says why no run can be made of an item, though there is room for one: each pass meets that again.
func (t *Tick) refused(it *queue.Item, session string) string {
	repos, err := readRepos(t.Home)
	if err == nil {
		err = t.Installed(it.Agent)
	}
	if err == nil {
		_, err = t.task(it, session, repos)
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// Plan says, a line each, what a pass would do now.
func (v *View) Plan() []string {
	var plan []string
	for _, s := range v.Slots {
		if s.Item != "" && !s.Held {
			plan = append(plan, fmt.Sprintf("would settle run %d of %s %s", s.Run, s.Item, s.IssueRef))
		}
	}
	for _, w := range v.Waiting {
		if w.next == "" {
			plan = append(plan, fmt.Sprintf("would start %s %s", w.Item, w.IssueRef))
		} else {
			plan = append(plan, fmt.Sprintf("would not start %s %s: %s", w.Item, w.IssueRef, w.next))
		}
	}
	return plan
}

// WhyNot says what keeps a waiting item from starting with the next tick; "" when that starts it.
func (v *View) WhyNot(w Waiting) string { return w.next }

// When says when an item starts that was just enqueued, if a tick comes; "" when it is not waiting.
func (v *View) When(id string) (starts bool, why string) {
	ahead := map[queue.Lane]int{} // how many may start before it
	for _, w := range v.Waiting {
		switch {
		case w.Item != id:
			if w.Why == "" {
				ahead[w.Lane]++
			}
		case w.next == "":
			return true, ""
		case w.Why == "" && ahead[w.Lane] > 0:
			return false, fmt.Sprintf("%s, and %d before it", w.next, ahead[w.Lane])
		default:
			return false, w.next
		}
	}
	return false, ""
}
