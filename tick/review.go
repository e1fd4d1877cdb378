package tick

import (
	"time"

	"kugetsu/queue/issueref"
	"kugetsu/slots"
	"kugetsu/tick/session"
	"kugetsu/tick/settings"
)

// reviews is the policy that no new issue is started while too many pull requests wait for review. An issue is new without a
// session: comments on an existing request must reach its agent, or the request would never be finished.
type reviews struct {
	t     *Tick
	known *Reason // nil before the first question
}

func (p *reviews) why(c *candidate) Reason {
	if p.t.Settings.MaxReview == 0 || c.name == slots.PMSession {
		return Reason{}
	}
	if c.session != nil || c.err != nil { // the run reports a fault of the session
		return Reason{}
	}
	if p.known == nil { // once per pass
		p.known = &Reason{}
		text, err := p.t.Sessions().TooManyReviews()
		if err != nil { // unknown is not few
			text = "the pull requests are not known: " + err.Error()
		}
		if text != "" {
			*p.known = Reason{Kind: AwaitingReview, Text: text}
		}
	}
	return *p.known
}

func (*reviews) starts(*candidate) {}

// follows says what of the pull requests of an issue's repository becomes work, and whether anything does of any repository.
func (t *Tick) follows() (of func(issueref.Ref) settings.Follow, any bool, err error) {
	known, err := readRepos(t.Home)
	any = t.Settings.Follow != ""
	for _, r := range known {
		any = any || r.Follow != nil && *r.Follow != ""
	}
	return func(ref issueref.Ref) settings.Follow { return known.follow(ref.RepoPath(), t.Settings.Follow) }, any, err
}

// Asked says when a forge was asked for what it does not show, and when it is asked again.
func Asked(now time.Time, d session.Denial) string {
	again := "by the next tick"
	if d.Next.After(now) {
		again = "in " + Duration(d.Next.Sub(now))
	}
	asked := "asked "
	if d.Unanswered {
		asked = "unanswered for " + Duration(now.Sub(d.Since)) + ", asked "
	}
	return asked + Ago(now, d.AskedAt) + ", asked again " + again
}
