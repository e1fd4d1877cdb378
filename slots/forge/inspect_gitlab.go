package forge

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"kugetsu/queue/pattern"
)

// The answers of GitLab are those of version 4 of its REST API (docs.gitlab.com/api: merge_requests, commits, pipelines,
// merge_request_approvals, notes, members), as CE 19.2 gives it. The approvals of CE have fewer fields. Merge trains are left out.

// mergeRequest is a request of GitLab.
type mergeRequest struct {
	answer
	Draft         bool   `json:"draft"`
	SHA           string `json:"sha"`
	TargetBranch  string `json:"target_branch"`
	MergeStatus   string `json:"detailed_merge_status"`
	Conflicts     bool   `json:"has_conflicts"`
	ThreadsClosed *bool  `json:"blocking_discussions_resolved"`
	Author        person `json:"author"`
	Pipeline      *struct {
		SHA    string `json:"sha"`
		Ref    string `json:"ref"`
		Status string `json:"status"`
		WebURL short  `json:"web_url"`
	} `json:"head_pipeline"`
}

// project is the path of the request's repository.
func (r request) project() string { return "projects/" + url.PathEscape(r.repo) }

func (q *inquiry) askGitLab(want Want) error {
	var m mergeRequest
	path := q.forge.one(q.request)
	err := q.get(path, &m)
	if err == nil && m.IID != q.number {
		err = errors.New("the answer is not about this request")
	}
	if err == nil {
		q.rep.Status, err = m.status()
	}
	if err == nil {
		err = q.head(m.SHA)
	}
	if err != nil {
		return err
	}
	q.rep.Draft, q.rep.HeadBranch, q.rep.Base = m.Draft, m.SourceBranch, m.TargetBranch
	q.rep.Fork = m.SourceProject == 0 || m.SourceProject != m.TargetProject
	if q.rep.Status != Open {
		return nil
	}
	q.rep.Merge = gitlabMerge(m)
	if q.rep.Merge == MergeUnknown {
		q.forget(path)
	}
	if want.Checks {
		if err := q.gitlabChecks(m); err != nil {
			return err
		}
	}
	if want.Reviews {
		return q.gitlabReviews(m)
	}
	return nil
}

// gitlabMerge reads detailed_merge_status. It names one blocker of many, and each version of GitLab has new values: an unknown value
// blocks. has_conflicts says whether there is a conflict, unless GitLab is still computing it.
func gitlabMerge(m mergeRequest) Merge {
	switch {
	case m.State == "locked": // it is being merged right now
		return MergeUnknown
	case slices.Contains([]string{"", "unchecked", "checking", "preparing", "approvals_syncing"}, m.MergeStatus):
		return MergeUnknown
	case m.Conflicts, m.MergeStatus == "conflict":
		return MergeConflict
	case m.MergeStatus == "mergeable":
		return MergeClean
	}
	return MergeBlocked
}

// gitlabVerdict is the verdict of a job, of another program's status, or of a pipeline. A manual job waits for a person.
func gitlabVerdict(status string, mayFail bool) Verdict {
	switch status {
	case "success", "skipped":
		return Passed
	case "failed", "canceled", "manual":
		switch {
		case mayFail:
			return Passed
		case status == "manual":
			return Pending
		}
		return Failed
	}
	return Pending
}

var mergedRef = pattern.Lazy(`^refs/merge-requests/[0-9]+/(merge|train)$`)

// pipelineCommit is the commit of the head's pipeline: the head itself, or the result of a merge of the head. It is "" if the pipeline is
// of an older head. That is so for a second after each push, and for ever if a push started no pipeline.
func (q *inquiry) pipelineCommit(m mergeRequest) (string, error) {
	switch {
	case m.Pipeline == nil:
		return "", nil
	case m.Pipeline.SHA == m.SHA:
		return m.SHA, nil
	case !mergedRef().MatchString(m.Pipeline.Ref), !commit().MatchString(m.Pipeline.SHA):
		return "", nil
	}
	var merged struct {
		Parents []string `json:"parent_ids"`
	}
	if err := q.get(q.project()+"/repository/commits/"+m.Pipeline.SHA, &merged); err != nil {
		return "", q.unseen("the merged result", err)
	}
	if slices.Contains(merged.Parents, m.SHA) {
		return m.Pipeline.SHA, nil
	}
	return "", nil
}

// gitlabChecks reads the jobs, and the statuses of other programs, from one list. A pipeline that failed without a job, for example since
// its file is no YAML, is a check itself. So is a pipeline that has not ended although its jobs have.
func (q *inquiry) gitlabChecks(m mergeRequest) error {
	of, err := q.pipelineCommit(m)
	if err != nil {
		return err
	}
	if err := q.gitlabStatuses(cmp.Or(of, m.SHA)); err != nil || of == "" {
		return err
	}
	verdict := gitlabVerdict(m.Pipeline.Status, false)
	if verdict != Passed && verdict != q.rep.CI() && q.rep.CI() != Failed {
		q.rep.Checks = append(q.rep.Checks, Check{Name: "pipeline", Verdict: verdict, URL: string(m.Pipeline.WebURL), Commit: of})
	}
	return nil
}

// gitlabStatuses reads the checks of a commit.
func (q *inquiry) gitlabStatuses(sha string) error {
	type status struct {
		ID          int64  `json:"id"`
		Name        short  `json:"name"`
		Status      string `json:"status"`
		MayFail     bool   `json:"allow_failure"`
		TargetURL   short  `json:"target_url"`
		Description short  `json:"description"`
	}
	keys, ids := map[string]int{}, map[string]int64{}
	err := pages(q, "statuses", fmt.Sprintf("%s/repository/commits/%s/statuses?per_page=100&page=", q.project(), sha), 100, func(s status) {
		name := string(s.Name)
		if s.ID < ids[name] {
			return
		}
		ids[name] = s.ID
		c := Check{Name: name, Verdict: gitlabVerdict(s.Status, s.MayFail), URL: string(s.TargetURL), Summary: string(s.Description), Commit: sha}
		if id := strconv.FormatInt(s.ID, 10); strings.HasSuffix(c.URL, "/-/jobs/"+id) {
			c.Job = id
		}
		q.rep.Checks = newest(q.rep.Checks, keys, name, c)
	})
	if err != nil {
		return q.unseen("statuses", err)
	}
	return nil
}

// gitlabReviews makes reviews of approvals, of reviewers who requested changes, and of threads that are not resolved. Such a thread counts
// as a request for changes of the person who opened it.
func (q *inquiry) gitlabReviews(m mergeRequest) error {
	var approvals struct {
		Approved bool `json:"approved"`
		By       []struct {
			User person    `json:"user"`
			At   time.Time `json:"approved_at"`
		} `json:"approved_by"`
	}
	if err := q.get(q.forge.one(q.request)+"/approvals", &approvals); err != nil {
		if err := q.unseen("approvals", err); err != nil {
			return err
		}
	}
	var o opinions
	ids := map[string]int64{}
	for _, by := range approvals.By {
		if name := by.User.name(); name != "" && by.User.ID != m.Author.ID {
			ids[strings.ToLower(name)] = by.User.ID
			o.add(Review{ID: fmt.Sprint("approval-", by.User.ID), Author: name, Opinion: Approval, At: by.At})
		}
	}
	if err := q.gitlabRequests(m, &o, ids); err != nil {
		return err
	}
	requested, err := q.judge(o.all(), func(r *Review) error { return q.gitlabMayWrite(r, ids[strings.ToLower(r.Author)]) })
	q.rep.Approved = err == nil && !requested && (approvals.Approved || q.rep.Merge == MergeClean)
	return err
}

// gitlabRequests adds the people who request changes. A person's request for changes replaces the same person's approval.
func (q *inquiry) gitlabRequests(m mergeRequest, o *opinions, ids map[string]int64) error {
	var reviewers []struct {
		User  person `json:"user"`
		State string `json:"state"`
	}
	if err := q.get(q.forge.one(q.request)+"/reviewers", &reviewers); err != nil {
		if err := q.unseen("reviewers", err); err != nil {
			return err
		}
	}
	found := map[string]*Review{}
	for _, r := range reviewers {
		if name := r.User.name(); r.State == "requested_changes" && name != "" && r.User.ID != m.Author.ID {
			key := strings.ToLower(name)
			ids[key] = r.User.ID
			found[key] = &Review{ID: fmt.Sprint("requested-", r.User.ID), Author: name, Opinion: ChangesRequested}
		}
	}
	if len(found) > 0 || m.ThreadsClosed != nil && !*m.ThreadsClosed {
		if err := q.gitlabNotes(m, found, ids); err != nil {
			return err
		}
	}
	for _, r := range found {
		slices.Reverse(r.Comments) // they were read newest first
		o.add(*r)
	}
	return nil
}

// gitlabNotes reads the notes, newest first. A review's id is that of the newest note that belongs to it: a thread that is not resolved,
// or the note that GitLab writes itself where a person requests changes.
func (q *inquiry) gitlabNotes(m mergeRequest, found map[string]*Review, ids map[string]int64) error {
	type note struct {
		ID         int64     `json:"id"`
		Body       long      `json:"body"`
		Author     person    `json:"author"`
		At         time.Time `json:"created_at"`
		System     bool      `json:"system"`
		Resolvable bool      `json:"resolvable"`
		Resolved   bool      `json:"resolved"`
		Position   struct {
			Path    short  `json:"new_path"`
			Line    uint32 `json:"new_line"`
			OldLine uint32 `json:"old_line"`
			Head    short  `json:"head_sha"`
		} `json:"position"`
	}
	dated := map[string]bool{}
	path := fmt.Sprintf("%s/notes?sort=desc&order_by=created_at&per_page=100&page=", q.forge.one(q.request))
	err := pages(q, "notes", path, 100, func(n note) {
		name := n.Author.name()
		key := strings.ToLower(name)
		open := !n.System && n.Resolvable && !n.Resolved
		if name == "" || n.Author.ID == m.Author.ID || found[key] == nil && !open {
			return
		}
		if found[key] == nil {
			ids[key] = n.Author.ID
			found[key] = &Review{Author: name, Opinion: ChangesRequested}
		}
		r := found[key]
		if !dated[key] && (open || n.System && n.Body == "requested changes") {
			dated[key] = true
			r.ID, r.At, r.Commit = strconv.FormatInt(n.ID, 10), n.At, string(n.Position.Head)
		}
		switch {
		case open:
			line := n.Position.Line
			if line == 0 {
				line = n.Position.OldLine
			}
			r.remark(Comment{Path: string(n.Position.Path), Line: int(line), Text: string(n.Body)})
		case !n.System && !n.Resolvable && r.Body == "":
			r.Body = string(n.Body)
		}
	})
	if err != nil {
		return q.unseen("notes", err)
	}
	return nil
}

// gitlabMayWrite asks for the access level of a person: a developer, 30, may push. A person who is not a member may not.
func (q *inquiry) gitlabMayWrite(r *Review, id int64) error {
	var member struct {
		Level int `json:"access_level"`
	}
	err := q.get(fmt.Sprintf("%s/members/all/%d", q.project(), id), &member)
	var status *statusError
	if errors.As(err, &status) && status.code == http.StatusNotFound {
		return nil
	}
	if err != nil {
		return q.unseen("the rights of a reviewer", err)
	}
	r.MayWrite = member.Level >= 30
	return nil
}
