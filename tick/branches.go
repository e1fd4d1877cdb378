package tick

import (
	"fmt"

	"kugetsu/queue"
	"kugetsu/slots"
)

// branches is the policy that an item which names a branch works on that branch. delegate refuses a branch that is not the session's.
// But another item may have begun the session since, on another branch, and the item would do its work there without a word.
type branches struct{}

func (branches) why(c *candidate) Reason {
	if why := otherBranch(c.it, c.session); why != "" {
		return Reason{Kind: OtherBranch, Text: why}
	}
	return Reason{}
}

func (branches) starts(*candidate) {}

// otherBranch says that the session of an item began on another branch than the item names, or "".
func otherBranch(it *queue.Item, s *slots.Session) string {
	if it.Branch == "" || s == nil || s.Branch == "" || s.Branch == it.Branch {
		return ""
	}
	return fmt.Sprintf("%s has a session on the branch %s, not on %s: delegate the task without --branch to go on there, or kugetsu destroy %s and retry this",
		it.IssueRef, s.Branch, it.Branch, it.IssueRef)
}

// failBranch makes a pending item an error whose session began on another branch, and returns true then.
func (t *Tick) failBranch(e queue.Entry, it *queue.Item, report *Report) (bool, error) {
	if it.Branch == "" {
		return false, nil
	}
	s, err := t.Home.ReadSession(sessionOf(it))
	if err != nil { // a session of a newer kugetsu is told elsewhere, and the run tells of any other fault
		return false, nil
	}
	return t.failNever(e, it, otherBranch(it, s), report)
}

// failNever makes a pending item an error for that reason, and returns true then; "" is none.
func (t *Tick) failNever(e queue.Entry, it *queue.Item, why string, report *Report) (bool, error) {
	if why == "" {
		return false, nil
	}
	if err := t.Queue.Fail(e, it, why); err != nil {
		return false, err
	}
	return true, t.settledWithoutRun(e, it, why, report)
}
