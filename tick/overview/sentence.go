package overview

import (
	"fmt"
	"strings"

	"kugetsu/queue/terminal"
)

// sentence says in one line whether all is well, and what a person has to do.
func (x *exam) sentence(o *Overview) (healthy bool, text string) {
	healthy = true
	var parts []string
	for _, k := range kinds {
		var of []Need
		for _, n := range o.Needs {
			if n.Kind == k.kind {
				of = append(of, n)
			}
		}
		if len(of) == 0 {
			continue
		}
		healthy = healthy && k.sound
		if len(of) == 1 || k.many == "" {
			parts = append(parts, of[0].What)
		} else {
			parts = append(parts, fmt.Sprintf("%d %s", len(of), k.many))
		}
	}
	switch {
	case len(parts) == 0:
		return true, "all is well: " + x.activity(o)
	case healthy:
		return true, fmt.Sprintf("all is well, and %s: %s", NeedYou(len(o.Needs)), strings.Join(parts, ", "))
	}
	return false, fmt.Sprintf("%s: %s", NeedYou(len(o.Needs)), strings.Join(parts, ", "))
}

// NeedYou says how many things need a person.
func NeedYou(n int) string {
	switch n {
	case 0:
		return "nothing needs you"
	case 1:
		return "1 thing needs you"
	}
	return fmt.Sprintf("%d things need you", n)
}

// activity says what goes on.
func (x *exam) activity(o *Overview) string {
	agents := 0
	for _, r := range o.Running {
		if r.Occupied {
			agents++
		}
	}
	var parts []string
	switch {
	case agents > 0:
		parts = append(parts, terminal.Count(agents, "agent")+" at work")
	default:
		parts = append(parts, "nothing runs")
	}
	if o.Capacity.Waiting == 0 {
		parts = append(parts, "nothing waits")
	} else {
		parts = append(parts, terminal.Count(o.Capacity.Waiting, "task")+" waiting")
	}
	switch n := len(o.Ready); n {
	case 0:
	case 1:
		parts = append(parts, "1 pull request is ready to merge")
	default:
		parts = append(parts, fmt.Sprintf("%d pull requests are ready to merge", n))
	}
	return strings.Join(parts, ", ")
}
