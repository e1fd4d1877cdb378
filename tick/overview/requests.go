package overview

import (
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/terminal"
	"kugetsu/slots"
	"kugetsu/slots/forge"
	"kugetsu/tick"
	"kugetsu/tick/session"
)

// unshown are the forges that do not show requests which are followed. They have one need each, since one token is for all requests
// of a forge. A forge that did not answer is a need only once that has lasted.
func (x *exam) unshown() (list []Need, err error) {
	denials, err := x.t.Sessions().Denials(x.names)
	for _, d := range denials {
		if d.Passing {
			continue
		}
		n := Need{ID: needID(Unshown, d.Host), Kind: Unshown, What: line(d.What()), Why: tick.Asked(x.now, d) + ": " + d.Text(), Since: &d.Since, Cause: d.Why, Command: "kugetsu doctor"}
		if d.Unanswered { // the error may differ each time
			n.Cause, n.Command = d.Since.Format(time.RFC3339Nano), "kugetsu doctor "+d.Ref
		}
		list = append(list, n)
	}
	return list, err
}

// needHuman are the requests that need a person: FOLLOW_MAX tasks were made of them, or the last task did not settle what they ask for.
func (x *exam) needHuman() ([]Need, error) { return x.stuck, nil }

// stuck is the need of a session whose request needs a person; nil if it does not.
func stuck(s *slots.Session, r session.Review) *Need {
	if r.State != forge.Open || r.Followed == nil || r.Followed.Needs == nil {
		return nil
	}
	needs := r.Followed.Needs
	return &Need{ID: needID(NeedsHuman, fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(s.IssueRef)))), Kind: NeedsHuman, What: s.IssueRef + ": " + r.Called() + " needs a person", Why: needs.Text(),
		Since: &needs.At, Command: "kugetsu continue " + s.IssueRef + ` "…"`, Ref: s.IssueRef, Agent: s.Agent, Cause: needs.At.Format(time.RFC3339Nano)}
}

// unpushed are the sessions whose last item completed, whose branch has commits, and for which no pull request is known. The items'
// evidence and the session tell that, and git is not asked. The number of commits is that of the branch, from the newest run that
// knows it. A run that does not know it (an older kugetsu's) counts its own commits.
func (x *exam) unpushed() (list []Need, err error) {
	ahead, seen := map[string]*int{}, map[string]bool{}
	for i, it := range x.settled { // the newest first
		if c := x.done[i].Evidence.Changes; c != nil && ahead[it.IssueRef] == nil {
			ahead[it.IssueRef] = c.Ahead
		}
	}
	for _, own := range []bool{true, false} { // first the newest item that made commits itself, so that a need of it that a person dismissed stays dismissed
		for i, it := range x.settled {
			c := x.done[i].Evidence.Changes
			if it.IssueRef == "" || seen[it.IssueRef] || c == nil || own != (c.Commits > 0) || !own && it.State != queue.Completed {
				continue
			}
			seen[it.IssueRef] = true
			commits := c.Commits
			if n := ahead[it.IssueRef]; n != nil {
				commits = *n
			}
			s := x.sessions[it.IssueRef]
			if s == nil || s.PRURL != "" || it.State != queue.Completed || commits == 0 {
				continue
			}
			review, err := session.ReadReview(x.t.Home, it.Ref().Session(), "")
			if err != nil {
				return nil, err
			}
			what, why := "no pull request is known", append([]string{"kugetsu set-pr " + it.IssueRef + " URL tells of one"}, c.Subjects...)
			if review.Why != "" {
				what, why = "the forge did not say whether there is a pull request", append([]string{review.Why}, why...)
			}
			list = append(list, Need{ID: needID(Unpushed, it.ID), Kind: Unpushed, What: fmt.Sprintf("%s has %s, and %s", it.IssueRef, terminal.Count(commits, "new commit"), what),
				Why: line(strings.Join(why, "; ")), Since: it.CompletedAt, Command: "kugetsu show " + it.ID, Item: it.ID, Ref: it.IssueRef, Agent: it.Agent, Cause: c.To})
		}
	}
	return list, nil
}
