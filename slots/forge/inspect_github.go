package forge

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// The answers of GitHub are those of version 2022-11-28 of its REST API (docs.github.com/rest: pulls, commits/statuses, checks/runs,
// actions/workflow-jobs, pulls/reviews, collaborators). mergeable_state is not documented; its values are those that gh reads. REST
// does not tell whether threads are resolved, and knows no merge queue, so both are left out.

// pull is a request of GitHub, and of Gitea and Forgejo, which have no mergeable_state.
type pull struct {
	answer
	Draft          bool   `json:"draft"`
	Mergeable      *bool  `json:"mergeable"` // GitHub: null while it is computed
	MergeableState string `json:"mergeable_state"`
	User           person `json:"user"`
	Base           struct {
		Ref  string `json:"ref"`
		SHA  string `json:"sha"`
		Repo struct {
			FullName string `json:"full_name"`
		} `json:"repo"`
	} `json:"base"`
}

// askPull reads the request itself. If the repository of the head is gone, it was a fork.
func (q *inquiry) askPull() (p pull, err error) {
	path := q.forge.one(q.request)
	if err := q.get(path, &p); err != nil {
		return p, err
	}
	if p.Number != q.number {
		return p, errors.New("the answer is not about this request")
	}
	if q.rep.Status, err = p.status(); err != nil {
		return p, err
	}
	q.rep.Draft, q.rep.HeadBranch, q.rep.Base = p.Draft, p.Head.Ref, p.Base.Ref
	if p.Head.Ref == fmt.Sprintf("refs/pull/%d/head", p.Number) {
		q.rep.HeadBranch = p.Head.Label
	}
	q.rep.Fork = p.Head.Repo.FullName == "" || !strings.EqualFold(p.Head.Repo.FullName, p.Base.Repo.FullName)
	return p, q.head(p.Head.SHA)
}

func (q *inquiry) askGitHub(want Want) error {
	p, err := q.askPull()
	if err != nil {
		return err
	}
	if q.rep.Status != Open {
		return nil
	}
	q.rep.Merge = githubMerge(p)
	if q.rep.Merge == MergeUnknown { // the question has made GitHub compute it
		q.forget(q.forge.one(q.request))
	}
	if want.Checks {
		if err := q.githubChecks(p.MergeableState == "clean"); err != nil {
			return err
		}
	}
	if want.Reviews {
		return q.githubReviews(p.User.name())
	}
	return nil
}

// githubMerge reads the state that GitHub's own page shows. Unstable means that a check which is not required is not green; the checks
// show which.
func githubMerge(p pull) Merge {
	switch p.MergeableState {
	case "clean", "has_hooks", "unstable":
		return MergeClean
	case "dirty":
		return MergeConflict
	case "behind", "blocked", "draft":
		if p.Mergeable == nil || *p.Mergeable {
			return MergeBlocked
		}
	}
	if p.Mergeable != nil && !*p.Mergeable {
		return MergeConflict
	}
	return MergeUnknown
}

type githubStatuses struct {
	Statuses []struct { // the newest of each context
		Context     short  `json:"context"`
		State       string `json:"state"`
		TargetURL   short  `json:"target_url"`
		Description short  `json:"description"`
	} `json:"statuses"`
}

type githubRuns struct {
	CheckRuns []struct {
		ID         int64  `json:"id"`
		Name       short  `json:"name"`
		Status     string `json:"status"`
		Conclusion string `json:"conclusion"` // null until it is completed
		HTMLURL    short  `json:"html_url"`
		App        struct {
			Slug short `json:"slug"`
		} `json:"app"`
		Output struct {
			Title short `json:"title"`
		} `json:"output"`
	} `json:"check_runs"`
}

type githubWorkflows struct {
	Runs []struct {
		ID int64 `json:"id"`
	} `json:"workflow_runs"`
}

type githubJobs struct {
	Jobs []struct {
		ID         int64  `json:"id"`
		Name       short  `json:"name"`
		Status     string `json:"status"`
		Conclusion string `json:"conclusion"`
		HTMLURL    short  `json:"html_url"`
	} `json:"jobs"`
}

// githubChecks reads the statuses and the check runs. A fine-grained token may not see the check runs of a private repository. Then the
// jobs of Actions take their place. There may be other checks beside these jobs, unless GitHub says that all is green (clean).
func (q *inquiry) githubChecks(clean bool) error {
	if err := q.githubStatuses(); err != nil {
		return err
	}
	err := q.githubCheckRuns()
	var status *statusError
	if !errors.As(err, &status) || status.code != http.StatusForbidden && status.code != http.StatusNotFound {
		return err
	}
	if !clean {
		denied := q.rep.Denied // a token that may not see the check runs may see the jobs: then no person has to change anything
		if err := q.unseen("check runs", err); err != nil {
			return err
		}
		q.rep.Denied = denied
	}
	return q.githubActions()
}

// The state of all statuses together is not read: it is "pending" where there are none.
func (q *inquiry) githubStatuses() error {
	for page := 1; ; page++ {
		var all githubStatuses
		if err := q.get(fmt.Sprintf("repos/%s/commits/%s/status?per_page=100&page=%d", q.repo, q.rep.Head, page), &all); err != nil {
			return q.unseen("statuses", err)
		}
		for _, s := range all.Statuses {
			verdict := Pending
			switch s.State {
			case "success":
				verdict = Passed
			case "failure", "error":
				verdict = Failed
			}
			q.rep.Checks = append(q.rep.Checks, Check{Name: string(s.Context), Verdict: verdict, URL: string(s.TargetURL), Summary: string(s.Description), Commit: q.rep.Head})
		}
		if len(all.Statuses) < 100 {
			return nil
		}
		if page == inspectPages {
			q.more("statuses")
			return nil
		}
	}
}

// Of the runs of one app with one name the newest counts. filter=latest keeps one run of each check suite, and a commit may have
// several suites of an app.
func (q *inquiry) githubCheckRuns() error {
	keys, ids := map[string]int{}, map[string]int64{}
	var checks []Check
	for page := 1; page <= inspectPages; page++ {
		var all githubRuns
		if err := q.get(fmt.Sprintf("repos/%s/commits/%s/check-runs?filter=latest&per_page=100&page=%d", q.repo, q.rep.Head, page), &all); err != nil {
			return err
		}
		for _, run := range all.CheckRuns {
			key := string(run.App.Slug) + "\x00" + string(run.Name)
			if run.ID < ids[key] {
				continue
			}
			ids[key] = run.ID
			c := Check{Name: string(run.Name), Verdict: githubVerdict(run.Status, run.Conclusion), URL: string(run.HTMLURL), Summary: string(run.Output.Title), Commit: q.rep.Head}
			if run.App.Slug == "github-actions" { // its runs have the ids of their jobs
				c.Job = strconv.FormatInt(run.ID, 10)
			}
			checks = newest(checks, keys, key, c)
		}
		if len(all.CheckRuns) < 100 {
			break
		}
		if page == inspectPages {
			q.more("check runs")
		}
	}
	q.rep.Checks = append(q.rep.Checks, checks...)
	return nil
}

// githubActions reads the jobs of the workflows in place of the check runs.
func (q *inquiry) githubActions() error {
	var all githubWorkflows
	if err := q.get(fmt.Sprintf("repos/%s/actions/runs?head_sha=%s&per_page=%d", q.repo, q.rep.Head, maxRuns), &all); err != nil {
		return q.unseen("workflow runs", err)
	}
	if len(all.Runs) >= maxRuns {
		q.more("workflow runs")
		all.Runs = all.Runs[:maxRuns]
	}
	for _, run := range all.Runs {
		var jobs githubJobs
		if err := q.get(fmt.Sprintf("repos/%s/actions/runs/%d/jobs?filter=latest&per_page=100", q.repo, run.ID), &jobs); err != nil {
			return q.unseen("jobs", err)
		}
		if len(jobs.Jobs) >= 100 {
			q.more("jobs")
		}
		for _, job := range jobs.Jobs {
			q.rep.Checks = append(q.rep.Checks, Check{Name: string(job.Name), Verdict: githubVerdict(job.Status, job.Conclusion), URL: string(job.HTMLURL), Commit: q.rep.Head, Job: strconv.FormatInt(job.ID, 10)})
		}
	}
	return nil
}

// maxRuns bounds the workflow runs whose jobs are asked for.
const maxRuns = 10

// githubVerdict is the verdict of a check run, or of a job. "stale" and conclusions that are not known are Pending.
func githubVerdict(status, conclusion string) Verdict {
	if status != "completed" {
		return Pending
	}
	switch conclusion {
	case "success", "neutral", "skipped":
		return Passed
	case "failure", "timed_out", "cancelled", "action_required", "startup_failure":
		return Failed
	}
	return Pending
}

// pullReview is a review on GitHub, and on Gitea and Forgejo, which alone have Official, Stale and Dismissed.
type pullReview struct {
	ID        int64     `json:"id"`
	User      person    `json:"user"`
	State     string    `json:"state"`
	Body      long      `json:"body"`
	Commit    short     `json:"commit_id"`
	At        time.Time `json:"submitted_at"`
	Official  bool      `json:"official"`
	Stale     bool      `json:"stale"`
	Dismissed bool      `json:"dismissed"`
}

func (p pullReview) review(opinion Opinion) Review {
	return Review{ID: strconv.FormatInt(p.ID, 10), Author: p.User.name(), Opinion: opinion, Body: string(p.Body), Commit: string(p.Commit), At: p.At, MayWrite: p.Official}
}

// githubReviews reads the reviews, which come oldest first. A comment takes no earlier opinion back; a dismissed review is no opinion.
func (q *inquiry) githubReviews(author string) error {
	var o opinions
	err := pages(q, "reviews", fmt.Sprintf("repos/%s/pulls/%d/reviews?per_page=100&page=", q.repo, q.number), 100, func(p pullReview) {
		if p.User.name() == "" || strings.EqualFold(p.User.name(), author) {
			return
		}
		switch p.State {
		case "APPROVED":
			o.add(p.review(Approval))
		case "CHANGES_REQUESTED":
			o.add(p.review(ChangesRequested))
		case "DISMISSED":
			o.add(p.review(""))
		}
	})
	if err != nil {
		return q.unseen("reviews", err)
	}
	requested, err := q.judge(o.all(), q.githubMayWrite)
	if err != nil {
		return err
	}
	// With few rights, only this answer tells which approvals the repository requires.
	q.rep.Approved = !requested && q.rep.Merge == MergeClean
	if !requested {
		return nil
	}
	return q.githubRemarks()
}

// githubMayWrite asks for the right. author_association is no right: it hides private members, and a member may only read.
func (q *inquiry) githubMayWrite(r *Review) error {
	r.MayWrite = false
	var right struct {
		Permission string `json:"permission"` // admin, write, read or none; maintain is write, and triage is read
	}
	if err := q.get(fmt.Sprintf("repos/%s/collaborators/%s/permission", q.repo, url.PathEscape(r.Author)), &right); err != nil {
		return q.unseen("the rights of a reviewer", err)
	}
	r.MayWrite = right.Permission == "admin" || right.Permission == "write"
	return nil
}

// githubRemarks reads the newest comments to lines, and gives them to their reviews.
func (q *inquiry) githubRemarks() error {
	var all []struct {
		Review   int64 `json:"pull_request_review_id"`
		Path     short `json:"path"`
		Line     int   `json:"line"` // null where the code has changed
		Original int   `json:"original_line"`
		Body     long  `json:"body"`
	}
	if err := q.get(fmt.Sprintf("repos/%s/pulls/%d/comments?sort=created&direction=desc&per_page=100", q.repo, q.number), &all); err != nil {
		return q.unseen("comments", err)
	}
	for i := len(all) - 1; i >= 0; i-- {
		for j := range q.rep.Reviews {
			if r := &q.rep.Reviews[j]; r.ID == strconv.FormatInt(all[i].Review, 10) {
				line := all[i].Line
				if line == 0 {
					line = all[i].Original
				}
				r.remark(Comment{Path: string(all[i].Path), Line: max(line, 0), Text: string(all[i].Body)})
			}
		}
	}
	return nil
}
