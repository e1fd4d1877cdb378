package forge

import (
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"kugetsu/queue/pattern"
)

// The answers of Gitea are known from the sources of 1.26 (modules/structs, services/convert, models/issues), and were tried on it
// (contrib/gitea). Forgejo has the same routes; those of the jobs' logs it has from 16 on.

// giteaStuck is how long a head must be called not mergeable for it to be a conflict. Gitea says false also while it is checking, which
// takes seconds.
const giteaStuck = time.Minute

func (q *inquiry) askGitea(want Want) error {
	p, err := q.askPull()
	if err != nil {
		return err
	}
	if q.rep.Status != Open {
		return nil
	}
	q.giteaMerge(p)
	var rule giteaRule
	if want.Checks || want.Reviews {
		if err := q.get(fmt.Sprintf("repos/%s/branches/%s", q.repo, segments(q.rep.Base)), &rule); err != nil {
			if err := q.unseen("the base branch", err); err != nil {
				return err
			}
		}
	}
	if want.Checks {
		if err := q.giteaChecks(rule); err != nil {
			return err
		}
	}
	if want.Reviews {
		return q.giteaReviews(p.User.name(), rule)
	}
	return nil
}

// segments escapes a branch for a path.
func segments(branch string) string {
	return strings.ReplaceAll(url.PathEscape(branch), "%2F", "/")
}

// giteaMerge reads mergeable. It is false while Gitea is checking, on a conflict, after an error, and for a draft, and it does not
// include the rules for the branch. If it stays false for one head and base, giteaMerge calls that a conflict. Until then a head and a
// base that were mergeable count as mergeable: Gitea sometimes checks them again, and a ready request must stay ready meanwhile.
func (q *inquiry) giteaMerge(p pull) {
	at := p.Head.SHA + " " + p.Base.SHA
	switch {
	case p.Mergeable != nil && *p.Mergeable:
		q.rep.Merge, q.cache.Clean = MergeClean, at
	case p.Draft:
		q.rep.Merge = MergeBlocked
	case q.cache.Stuck != at || now().Before(q.cache.Since): // the clock was set back
		q.cache.Stuck, q.cache.Since = at, now()
		fallthrough
	case now().Sub(q.cache.Since) < giteaStuck:
		if q.cache.Clean == at {
			q.rep.Merge = MergeClean
		}
		return
	default:
		q.rep.Merge = MergeConflict
		return
	}
	q.cache.Stuck, q.cache.Since = "", time.Time{}
}

// giteaRule is what a branch asks for.
type giteaRule struct {
	Approvals int     `json:"required_approvals"`
	Enabled   bool    `json:"enable_status_check"`
	Contexts  []short `json:"status_check_contexts"`
}

type giteaStatuses struct {
	Statuses []struct { // the newest of each context
		Context     short  `json:"context"`
		Status      string `json:"status"`
		TargetURL   short  `json:"target_url"`
		Description short  `json:"description"`
	} `json:"statuses"`
}

// giteaChecks reads the statuses; the jobs of Actions are statuses, too. The combined state is not read, since it is that of one page
// only. A check that the branch requires and that has not reported yet is pending.
func (q *inquiry) giteaChecks(rule giteaRule) error {
	keys := map[string]int{}
	for page := 1; ; page++ {
		var all giteaStatuses
		if err := q.get(fmt.Sprintf("repos/%s/commits/%s/status?limit=%d&page=%d", q.repo, q.rep.Head, giteaPage, page), &all); err != nil {
			return q.unseen("statuses", err)
		}
		for _, s := range all.Statuses {
			verdict := Pending
			switch s.Status {
			case "success", "skipped":
				verdict = Passed
			case "failure", "error", "warning":
				verdict = Failed
			}
			c := Check{Name: string(s.Context), Verdict: verdict, URL: string(s.TargetURL), Summary: string(s.Description), Commit: q.rep.Head}
			if strings.HasPrefix(c.URL, "/") && !strings.HasPrefix(c.URL, "//") {
				c.Job, c.URL = q.giteaJob(c.URL), q.origin+c.URL
			}
			if _, ok := keys[c.Name]; !ok { // the first is the newest
				q.rep.Checks = newest(q.rep.Checks, keys, c.Name, c)
			}
		}
		if len(all.Statuses) < giteaPage {
			break
		}
		if page == inspectPages {
			q.more("statuses")
			break
		}
	}
	if rule.Enabled {
		q.giteaWanted(rule.Contexts)
	}
	return nil
}

// giteaPage is the most that Gitea gives at once, even if it is asked for more.
const giteaPage = 50

// giteaWanted adds the checks that the branch asks for and that are not there. A context may hold the wildcard "*".
func (q *inquiry) giteaWanted(contexts []short) {
	for _, context := range contexts[:min(len(contexts), 100)] {
		pattern, err := regexp.Compile("(?s)^" + strings.ReplaceAll(regexp.QuoteMeta(string(context)), `\*`, ".*") + "$")
		there := false
		for _, c := range q.rep.Checks {
			there = there || err == nil && pattern.MatchString(c.Name)
		}
		if !there {
			q.rep.Checks = append(q.rep.Checks, Check{Name: string(context), Verdict: Pending, Commit: q.rep.Head})
		}
	}
}

var giteaJobURL = pattern.Lazy(`/actions/runs/[0-9]+/jobs/([0-9]{1,18})$`)

// giteaJob is the id of a job in the URL of its status, which is a path without a host. Before Gitea 1.26 the number is not an id but the
// job's index in its run. So Log makes sure that the job is of the same commit.
func (q *inquiry) giteaJob(path string) string {
	if m := giteaJobURL().FindStringSubmatch(path); m != nil {
		return m[1]
	}
	return ""
}

// giteaReviews reads the reviews, which come oldest first.
func (q *inquiry) giteaReviews(author string, rule giteaRule) error {
	var o opinions
	stale := map[string]bool{}
	err := pages(q, "reviews", fmt.Sprintf("repos/%s/pulls/%d/reviews?limit=%d&page=", q.repo, q.number, giteaPage), giteaPage, func(p pullReview) {
		if p.User.name() == "" || strings.EqualFold(p.User.name(), author) {
			return
		}
		var opinion Opinion
		switch p.State {
		case "APPROVED":
			opinion = Approval
		case "REQUEST_CHANGES":
			opinion = ChangesRequested
		default:
			return
		}
		if p.Dismissed {
			opinion = ""
		}
		r := p.review(opinion)
		stale[r.ID] = p.Stale
		o.add(r)
	})
	if err != nil {
		return q.unseen("reviews", err)
	}
	writers, err := q.giteaWriters(o.all())
	if err != nil {
		return err
	}
	enough := 0
	requested, err := q.judge(o.all(), func(r *Review) error {
		if r.MayWrite && r.Opinion == Approval && !stale[r.ID] {
			enough++
		}
		r.MayWrite = r.MayWrite || writers[strings.ToLower(r.Author)]
		return nil
	})
	q.rep.Approved = err == nil && !requested && enough >= rule.Approvals
	if err != nil || !requested {
		return err
	}
	return q.giteaRemarks()
}

// giteaWriters are the people who may write. They are asked for if a review is not official: only the reviews that count for the branch
// are official, and a rule may limit those to a few people. The right of one person is shown to administrators only; this list is shown
// to every token.
func (q *inquiry) giteaWriters(all []*Review) (map[string]bool, error) {
	writers := map[string]bool{}
	for _, r := range all {
		if r.MayWrite {
			continue
		}
		var list []person
		if err := q.get("repos/"+q.repo+"/assignees", &list); err != nil {
			return writers, q.unseen("who may write", err)
		}
		for _, p := range list {
			writers[strings.ToLower(p.name())] = true
		}
		break
	}
	return writers, nil
}

// giteaRemarks reads the comments of the reviews that request changes.
func (q *inquiry) giteaRemarks() error {
	for i := range q.rep.Reviews {
		r := &q.rep.Reviews[i]
		if r.Opinion != ChangesRequested || !r.MayWrite {
			continue
		}
		var all []struct {
			Path     short  `json:"path"`
			Line     uint32 `json:"position"` // in the file; 0 where the line is of the old file
			Original uint32 `json:"original_position"`
			Body     long   `json:"body"`
		}
		id, _ := strconv.ParseInt(r.ID, 10, 64)
		if err := q.get(fmt.Sprintf("repos/%s/pulls/%d/reviews/%d/comments", q.repo, q.number, id), &all); err != nil {
			return q.unseen("comments", err)
		}
		for _, c := range all {
			line := c.Line
			if line == 0 {
				line = c.Original
			}
			r.remark(Comment{Path: string(c.Path), Line: int(line), Text: string(c.Body)})
		}
	}
	return nil
}
