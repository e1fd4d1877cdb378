package forge

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	headSHA  = "6dcb09b5b57875f334f61aebed695e2e4193db5e"
	baseSHA  = "c5b97d5ae6c19d5c5df71a34c7fbeeda2479ccbc"
	otherSHA = "1111111111111111111111111111111111111111"
)

// facts are the answers of a forge in the shape of its documentation, by their paths.
type facts struct {
	t     *testing.T
	kind  string
	by    map[string]json.RawMessage
	codes map[string]int // of paths that are refused
	head  http.Header    // of each answer
}

func factsOf(t *testing.T, kind string) *facts {
	f := &facts{t: t, kind: kind, codes: map[string]int{}, head: http.Header{}}
	if err := json.Unmarshal(file(t, "inspect_"+kind+".json"), &f.by); err != nil {
		t.Fatal(err)
	}
	return f
}

// the is the one path with such an end.
func (f *facts) the(end string) string {
	f.t.Helper()
	var found []string
	for path := range f.by {
		if bare, _, _ := strings.Cut(path, "?"); strings.HasSuffix(bare, end) {
			found = append(found, path)
		}
	}
	if len(found) != 1 {
		f.t.Fatalf("%s: %q", end, found)
	}
	return found[0]
}

// set changes fields of the answer whose path has such an end. The values are JSON.
func (f *facts) set(end string, fields map[string]string) {
	f.t.Helper()
	var object map[string]json.RawMessage
	path := f.the(end)
	if err := json.Unmarshal(f.by[path], &object); err != nil {
		f.t.Fatal(err)
	}
	for name, value := range fields {
		object[name] = json.RawMessage(value)
	}
	data, err := json.Marshal(object)
	if err != nil {
		f.t.Fatal(err)
	}
	f.by[path] = data
}

func (f *facts) put(end, text string) { f.by[f.the(end)] = json.RawMessage(text) }

var apiPath = regexp.MustCompile(`^/api/v[0-9]/`)

func (f *facts) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := apiPath.ReplaceAllString(r.URL.RequestURI(), "")
	body, ok := f.by[path]
	code := f.codes[path]
	if !ok && code == 0 {
		code = http.StatusNotFound
	}
	for name, values := range f.head {
		w.Header()[name] = values
	}
	if code != 0 {
		w.WriteHeader(code)
		return
	}
	if f.kind != "gitea" { // which has none
		sum := fnv.New64()
		_, _ = sum.Write(body)
		etag := fmt.Sprintf(`W/"%x"`, sum.Sum64())
		w.Header().Set("ETag", etag)
		if r.Header.Get("If-None-Match") == etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	_, _ = w.Write(body)
}

var everything = Want{Checks: true, Reviews: true}

// inspected asks a server with these facts.
func (f *facts) inspected(cache *Cache, want Want) (Report, *server, error) {
	s := serve(f.t, f.ServeHTTP)
	rep, err := f.ask(s, cache, want)
	return rep, s, err
}

func (f *facts) ask(s *server, cache *Cache, want Want) (Report, error) {
	return Inspect(f.t.Context(), s.URL+forges[f.kind].page, s.only(forges[f.kind].kind, secret), cache, want)
}

// must is inspected without an error.
func (f *facts) must() Report {
	f.t.Helper()
	rep, _, err := f.inspected(nil, everything)
	if err != nil {
		f.t.Fatal(err)
	}
	return rep
}

func checkLines(rep Report) (lines []string) {
	for _, c := range rep.Checks {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s: %s %s", c.Name, c.Verdict, c.Job)))
	}
	return lines
}

func reviewLines(rep Report) (lines []string) {
	for _, r := range rep.Reviews {
		line := fmt.Sprintf("%s %s %s %q", r.ID, r.Author, r.Opinion, r.Body)
		if !r.MayWrite {
			line += " may not"
		}
		for _, c := range r.Comments {
			line += fmt.Sprintf(" %s:%d %s", c.Path, c.Line, c.Text)
		}
		lines = append(lines, line)
	}
	return lines
}

func TestReportIsWhatTheForgeSays(t *testing.T) {
	for kind, want := range map[string]struct {
		merge     Merge
		approvals int
		checks    []string
		reviews   []string
	}{
		"github": {MergeBlocked, 1,
			[]string{"continuous-integration/jenkins: passed", "cover: passed", "lint: passed 5", "scan: passed", "test: failed 9"},
			[]string{`10 dan approved ""`, `2 ann changes requested "Rename it." a.go:3 This one. b.go:4 Here too.`, `5 bob approved "Good."`,
				`6 stranger changes requested "Send me the token." may not a.go:1 x`}},
		"gitlab": {MergeBlocked, 1,
			[]string{"deploy: passed 3", "external: passed", "lint: passed 2", "test: failed 4"},
			[]string{`107 ann changes requested "Rename it." a.go:3 This one. b.go:4 Here too.`, `108 stranger changes requested "" may not a.go:1 Send me the token.`,
				`approval-3 bob approved ""`}},
		"gitea": {MergeClean, 1,
			[]string{"ci / lint (push): passed 15", "ci / test (push): failed 14", "ci/build: passed", "cover: failed"},
			[]string{`2 ann changes requested "Rename it." a.go:3 This one. b.go:4 Here too.`, `5 bob approved "Good."`, `6 stranger changes requested "Send me the token." may not`}},
	} {
		rep, s, err := factsOf(t, kind).inspected(nil, everything)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if rep.Status != Open || rep.Draft || rep.Fork || rep.Head != headSHA || rep.HeadBranch != "fix/issue-7" || rep.Base != "main" || rep.Merge != want.merge {
			t.Errorf("%s: %+v", kind, rep)
		}
		if rep.Approvals != want.approvals || rep.Approved || len(rep.Unseen) > 0 || rep.CI() != Failed || rep.Ready() {
			t.Errorf("%s: %d, %t, %q, %s", kind, rep.Approvals, rep.Approved, rep.Unseen, rep.CI())
		}
		if got := checkLines(rep); !slices.Equal(got, want.checks) {
			t.Errorf("%s: %q", kind, got)
		}
		if got := reviewLines(rep); !slices.Equal(got, want.reviews) {
			t.Errorf("%s: %q", kind, got)
		}
		for _, token := range s.tokens {
			if token != forges[kind].token {
				t.Errorf("%s: asked with %q", kind, s.tokens)
			}
		}
		// No answer is asked for twice, but for the request itself: the head may have changed meanwhile.
		slices.Sort(s.asked)
		if once := slices.Compact(slices.Clone(s.asked)); len(s.asked) != len(once)+1 {
			t.Errorf("%s: asked %q", kind, s.asked)
		}
	}
}

// quiet has the facts of a request with nothing left to do: green, approved, mergeable.
func quiet(t *testing.T, kind string) *facts {
	f := factsOf(t, kind)
	switch kind {
	case "github":
		f.set("pulls/7", map[string]string{"mergeable_state": `"clean"`})
		f.put("/check-runs", `{"total_count":0,"check_runs":[]}`)
		f.put("/reviews", `[{"id":5,"user":{"login":"bob"},"state":"APPROVED","commit_id":"`+headSHA+`","submitted_at":"2026-05-01T12:30:00Z"}]`)
	case "gitlab":
		f.set("merge_requests/7", map[string]string{"detailed_merge_status": `"mergeable"`, "blocking_discussions_resolved": "true",
			"head_pipeline": `{"sha":"` + headSHA + `","ref":"fix/issue-7","status":"success"}`})
		f.put("/statuses", `[{"id":1,"name":"test","status":"success"}]`)
		f.put("/reviewers", `[]`)
	case "gitea":
		f.put("/status", `{"state":"success","statuses":[{"status":"success","context":"ci/build"}]}`)
		f.put("/reviews", `[{"id":5,"user":{"login":"bob"},"state":"APPROVED","official":true,"commit_id":"`+headSHA+`"}]`)
	}
	return f
}

func TestReportIsReadyWhereNothingIsLeftToDo(t *testing.T) {
	for kind := range forges {
		if rep := quiet(t, kind).must(); !rep.Ready() || rep.Approvals != 1 || rep.CI() != Passed {
			t.Errorf("%s: %+v", kind, rep)
		}
		for name, change := range map[string]func(*facts){
			"a draft": func(f *facts) { f.set(requestEnd(kind), map[string]string{"draft": "true"}) },
			"closed":  func(f *facts) { f.set(requestEnd(kind), map[string]string{"state": `"closed"`}) },
			"no approval": func(f *facts) {
				if kind == "gitlab" {
					f.set("/approvals", map[string]string{"approved": "false"})
					f.set("merge_requests/7", map[string]string{"detailed_merge_status": `"not_approved"`})
					return
				}
				f.put("/reviews", `[]`)
				f.set("pulls/7", map[string]string{"mergeable_state": `"blocked"`})
			},
			"a check that runs": func(f *facts) {
				f.put(map[string]string{"github": "/status", "gitlab": "/statuses", "gitea": "/status"}[kind], map[string]string{
					"github": `{"statuses":[{"context":"x","state":"pending"}]}`, "gitlab": `[{"id":9,"name":"x","status":"running"}]`,
					"gitea": `{"statuses":[{"context":"x","status":"pending"},{"context":"ci/x","status":"success"}]}`}[kind])
			},
			"no right to see the checks": func(f *facts) {
				f.codes[f.the(map[string]string{"github": "/status", "gitlab": "/statuses", "gitea": "/status"}[kind])] = 403
			},
		} {
			f := quiet(t, kind)
			change(f)
			if rep := f.must(); rep.Ready() {
				t.Errorf("%s: %s: %+v", kind, name, rep)
			}
		}
	}
}

func requestEnd(kind string) string {
	if kind == "gitlab" {
		return "/merge_requests/7"
	}
	return "/pulls/7"
}

func TestGitHubsMergeabilityIsRead(t *testing.T) {
	for _, test := range []struct {
		mergeable, state string
		want             Merge
	}{
		{"true", "clean", MergeClean}, {"true", "has_hooks", MergeClean}, {"true", "unstable", MergeClean}, {"false", "dirty", MergeConflict},
		{"true", "behind", MergeBlocked}, {"true", "blocked", MergeBlocked}, {"true", "draft", MergeBlocked}, {"null", "blocked", MergeBlocked},
		{"null", "unknown", MergeUnknown}, {"true", "of the future", MergeUnknown}, {"false", "blocked", MergeConflict}, {"null", "", MergeUnknown},
	} {
		f := quiet(t, "github")
		f.set("pulls/7", map[string]string{"mergeable": test.mergeable, "mergeable_state": `"` + test.state + `"`})
		var cache Cache
		rep, _, err := f.inspected(&cache, Want{})
		if err != nil || rep.Merge != test.want || len(rep.Checks) > 0 || len(rep.Reviews) > 0 {
			t.Errorf("%+v: %+v, %v", test, rep, err)
		}
		if (len(cache.Answers) == 0) != (test.want == MergeUnknown) { // the next question must not get the same one
			t.Errorf("%+v: %+v", test, cache)
		}
	}
}

func TestGitLabsMergeabilityIsRead(t *testing.T) {
	for _, test := range []struct {
		status    string
		conflicts string
		want      Merge
	}{
		{"mergeable", "false", MergeClean}, {"conflict", "true", MergeConflict}, {"not_approved", "true", MergeConflict}, {"unchecked", "true", MergeUnknown},
		{"checking", "false", MergeUnknown}, {"preparing", "false", MergeUnknown}, {"approvals_syncing", "false", MergeUnknown}, {"", "false", MergeUnknown},
		{"need_rebase", "false", MergeBlocked}, {"ci_must_pass", "false", MergeBlocked}, {"of_the_future", "false", MergeBlocked}, {"draft_status", "false", MergeBlocked},
	} {
		f := quiet(t, "gitlab")
		f.set("merge_requests/7", map[string]string{"detailed_merge_status": `"` + test.status + `"`, "has_conflicts": test.conflicts})
		if rep := f.must(); rep.Merge != test.want {
			t.Errorf("%+v: %s", test, rep.Merge)
		}
	}
}

func TestGiteasMergeabilityIsAConflictOnlyWhereItStaysFalse(t *testing.T) {
	clock := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	now = func() time.Time { return clock }
	t.Cleanup(func() { now = time.Now })
	f := quiet(t, "gitea")
	s := serve(t, f.ServeHTTP)
	var cache Cache
	looks := func(mergeable, draft, base string, want Merge) {
		t.Helper()
		f.set("pulls/7", map[string]string{"mergeable": mergeable, "draft": draft, "base": `{"ref":"main","sha":"` + base + `","repo":{"full_name":"you/project"}}`})
		if rep, err := f.ask(s, &cache, Want{}); err != nil || rep.Merge != want {
			t.Errorf("%s, %v, want %s", rep.Merge, err, want)
		}
		stored, err := json.Marshal(cache) // as a caller keeps it
		cache = Cache{}
		if err != nil || json.Unmarshal(stored, &cache) != nil {
			t.Fatal(err)
		}
		clock = clock.Add(giteaStuck / 2)
	}
	looks("false", "false", baseSHA, MergeUnknown)
	looks("false", "false", baseSHA, MergeUnknown)
	looks("false", "false", otherSHA, MergeUnknown) // what was pushed to the base is checked anew
	looks("false", "false", otherSHA, MergeUnknown)
	looks("false", "false", otherSHA, MergeConflict)
	looks("true", "false", otherSHA, MergeClean)
	looks("false", "false", otherSHA, MergeClean) // it is checked again
	looks("false", "false", otherSHA, MergeClean)
	looks("false", "false", otherSHA, MergeConflict)
	looks("false", "true", otherSHA, MergeBlocked)
	looks("true", "false", otherSHA, MergeClean)
	looks("false", "false", baseSHA, MergeUnknown)
}

func TestVerdictIsGreenOnlyWhereItSaysSo(t *testing.T) {
	for _, test := range []struct {
		status, conclusion string
		want               Verdict
	}{
		{"completed", "success", Passed}, {"completed", "neutral", Passed}, {"completed", "skipped", Passed}, {"completed", "failure", Failed},
		{"completed", "timed_out", Failed}, {"completed", "cancelled", Failed}, {"completed", "action_required", Failed}, {"completed", "startup_failure", Failed},
		{"completed", "stale", Pending}, {"completed", "", Pending}, {"queued", "", Pending}, {"in_progress", "success", Pending}, {"waiting", "", Pending}, {"", "", Pending},
	} {
		if got := githubVerdict(test.status, test.conclusion); got != test.want {
			t.Errorf("%+v: %s", test, got)
		}
	}
	for status, want := range map[string][2]Verdict{
		"success": {Passed, Passed}, "failed": {Failed, Passed}, "canceled": {Failed, Passed}, "skipped": {Passed, Passed}, "manual": {Pending, Passed},
		"running": {Pending, Pending}, "waiting_for_resource": {Pending, Pending}, "of_the_future": {Pending, Pending},
	} {
		for i, mayFail := range []bool{false, true} {
			if got := gitlabVerdict(status, mayFail); got != want[i] {
				t.Errorf("%s, %t: %s", status, mayFail, got)
			}
		}
	}
}

func TestHeadWithoutChecksIsNeitherGreenNorRed(t *testing.T) {
	for kind, change := range map[string]func(*facts){
		"github": func(f *facts) { f.put("/status", `{"state":"pending","statuses":[],"total_count":0}`) },
		"gitlab": func(f *facts) {
			f.set("merge_requests/7", map[string]string{"head_pipeline": `null`})
			f.put("/statuses", `[]`)
		},
		"gitea": func(f *facts) {
			f.put("/status", `{"state":"","statuses":null}`)
			f.set("branches/main", map[string]string{"enable_status_check": "false"})
		},
	} {
		f := quiet(t, kind)
		change(f)
		if rep := f.must(); rep.CI() != NoChecks || len(rep.Checks) > 0 {
			t.Errorf("%s: %+v", kind, rep.Checks)
		}
	}
}

func TestPipelineCountsOnlyForItsHead(t *testing.T) {
	const merged = "2222222222222222222222222222222222222222"
	for name, test := range map[string]struct {
		pipeline string
		parents  string
		want     []string
	}{
		"of an older head":     {`{"sha":"` + otherSHA + `","ref":"fix/issue-7","status":"failed"}`, "", []string{"test: passed"}},
		"without a job":        {`{"sha":"` + headSHA + `","ref":"fix/issue-7","status":"failed"}`, "", []string{"pipeline: failed", "test: passed"}},
		"not over":             {`{"sha":"` + headSHA + `","ref":"fix/issue-7","status":"running"}`, "", []string{"pipeline: pending", "test: passed"}},
		"of the merged result": {`{"sha":"` + merged + `","ref":"refs/merge-requests/7/merge","status":"failed"}`, `"` + baseSHA + `","` + headSHA + `"`, []string{"merged: failed 8"}},
		"of an older one":      {`{"sha":"` + merged + `","ref":"refs/merge-requests/7/merge","status":"failed"}`, `"` + baseSHA + `","` + otherSHA + `"`, []string{"test: passed"}},
	} {
		f := quiet(t, "gitlab")
		f.set("merge_requests/7", map[string]string{"head_pipeline": test.pipeline})
		commits := "projects/you%2Fdeep%2Fer%2Fproject/repository/commits/" + merged
		f.by[commits] = json.RawMessage(`{"id":"` + merged + `","parent_ids":[` + test.parents + `]}`)
		f.by[commits+"/statuses?per_page=100&page=1"] = json.RawMessage(`[{"id":8,"name":"merged","status":"failed","target_url":"https://gitlab.com/x/-/jobs/8"}]`)
		if got := checkLines(f.must()); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestTokenWithoutARightToCheckRunsReadsTheJobsOfActions(t *testing.T) {
	for state, ready := range map[string]bool{"clean": true, "unstable": false} {
		f := quiet(t, "github")
		f.set("pulls/7", map[string]string{"mergeable_state": `"` + state + `"`})
		f.codes[f.the("/check-runs")] = 403
		f.by["repos/you/project/actions/runs?head_sha="+headSHA+"&per_page=10"] = json.RawMessage(`{"total_count":1,"workflow_runs":[{"id":30,"head_sha":"` + headSHA + `"}]}`)
		f.by["repos/you/project/actions/runs/30/jobs?filter=latest&per_page=100"] = json.RawMessage(`{"total_count":1,"jobs":[{"id":31,"name":"test","status":"completed","conclusion":"success"}]}`)
		rep := f.must()
		if got := checkLines(rep); !slices.Equal(got, []string{"continuous-integration/jenkins: passed", "test: passed 31"}) || rep.Ready() != ready {
			t.Errorf("%s: %q, %q", state, got, rep.Unseen)
		}
	}
}

func TestHeadThatChangesMeanwhileVoidsTheReport(t *testing.T) {
	for kind := range forges {
		f := factsOf(t, kind)
		asked := 0
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if path, _, _ := strings.Cut(r.URL.RequestURI(), "?"); strings.HasSuffix(path, requestEnd(kind)) {
				if asked++; asked == 2 {
					f.by[f.the(requestEnd(kind))] = json.RawMessage(strings.ReplaceAll(string(f.by[f.the(requestEnd(kind))]), headSHA, otherSHA))
				}
			}
			f.ServeHTTP(w, r)
		})
		if rep, err := f.ask(s, nil, everything); err == nil || !strings.Contains(err.Error(), "its head changed") || rep.Head != "" || rep.Status != Unknown {
			t.Errorf("%s: %+v, %v", kind, rep, err)
		}
	}
}

func TestForkAndDeletedBranchAreTold(t *testing.T) {
	for name, test := range map[string]struct {
		head, branch string
		fork         bool
	}{
		"own":         {`{"ref":"b","label":"b","sha":"` + headSHA + `","repo":{"full_name":"You/project"}}`, "b", false},
		"a fork":      {`{"ref":"b","label":"they:b","sha":"` + headSHA + `","repo":{"full_name":"they/project"}}`, "b", true},
		"a gone fork": {`{"ref":"b","label":"they:b","sha":"` + headSHA + `","repo":null}`, "b", true},
		"deleted":     {`{"ref":"refs/pull/7/head","label":"b","sha":"` + headSHA + `","repo":{"full_name":"you/project"}}`, "b", false},
	} {
		f := quiet(t, "gitea")
		f.set("pulls/7", map[string]string{"head": test.head})
		if rep := f.must(); rep.Fork != test.fork || rep.HeadBranch != test.branch {
			t.Errorf("%s: %+v", name, rep)
		}
	}
	f := quiet(t, "gitlab")
	f.set("merge_requests/7", map[string]string{"source_project_id": "6"})
	if !f.must().Fork {
		t.Error("a head in another project does not count as a fork")
	}
}

func TestAnswerThatHasNotChangedIsNotSentAgain(t *testing.T) {
	for _, kind := range []string{"github", "gitlab"} {
		f := quiet(t, kind)
		same := 0
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("If-None-Match") != "" {
				same++
			}
			f.ServeHTTP(w, r)
		})
		var cache Cache
		first, err := f.ask(s, &cache, everything)
		if err != nil || same != 0 || len(cache.Answers) != len(s.asked) {
			t.Fatal(kind, err, same, len(cache.Answers))
		}
		asked := len(s.asked)
		second, err := f.ask(s, &cache, everything)
		if err != nil || same != asked || fmt.Sprint(first) != fmt.Sprint(second) {
			t.Errorf("%s: %d of %d, %v\n%+v\n%+v", kind, same, asked, err, first, second)
		}
		end := cmp.Or(map[string]string{"gitlab": "/statuses"}[kind], "/status")
		f.put(end, map[string]string{"github": `{"statuses":[{"context":"x","state":"failure"}]}`, "gitlab": `[{"id":9,"name":"x","status":"failed"}]`}[kind])
		if third, err := f.ask(s, &cache, everything); err != nil || third.CI() != Failed || len(third.Checks) != 1 {
			t.Errorf("%s: %+v, %v", kind, third, err)
		}
		another := Cache{URL: "https://example.com/", Answers: cache.Answers, Stuck: "x"}
		if _, err := f.ask(s, &another, Want{}); err != nil || another.URL != s.URL+forges[kind].page || len(another.Answers) != 1 || another.Stuck != "" {
			t.Errorf("%s: %+v, %v", kind, another, err)
		}
	}
}

func TestCacheIsBoundedAndForgetsWhatIsNotAskedAnyMore(t *testing.T) {
	f := quiet(t, "github")
	f.put("/reviews", `[{"id":5,"user":{"login":"bob"},"state":"APPROVED","body":"`+strings.Repeat("x", maxLong)+`"}`+strings.Repeat(`,{"id":5,"user":{"login":"bob"},"state":"APPROVED","body":"`+strings.Repeat("x", maxLong)+`"}`, 30)+`]`)
	cache := Cache{}
	for range 2 {
		if _, _, err := f.inspected(&cache, everything); err != nil {
			t.Fatal(err)
		}
		if data, err := json.Marshal(cache); err != nil || len(data) > maxCache+1000 || len(cache.Answers) != 4 {
			t.Error(len(data), len(cache.Answers), err)
		}
		cache.Answers = append(cache.Answers, Remembered{Path: "repos/you/project/commits/" + otherSHA + "/status", ETag: "x", Body: "{}"})
	}
	// What cannot be read is asked for anew.
	f = quiet(t, "github")
	s := serve(t, f.ServeHTTP)
	damaged := Cache{URL: s.URL + forges["github"].page, Answers: []Remembered{{Path: "repos/you/project/pulls/7", ETag: "x", Body: "{"}}}
	if rep, err := f.ask(s, &damaged, Want{}); err != nil || rep.Head != headSHA {
		t.Error(rep, err)
	}
}

func TestLimitOfAForgeSaysUntilWhenToLeaveItAlone(t *testing.T) {
	clock := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	now = func() time.Time { return clock }
	t.Cleanup(func() { now = time.Now })
	for name, test := range map[string]struct {
		code int
		head map[string]string
		body string
		want time.Duration // 0: no limit
	}{
		"seconds":            {429, map[string]string{"Retry-After": "90"}, "", 90 * time.Second},
		"a date":             {429, map[string]string{"Retry-After": clock.Add(time.Hour).Format(http.TimeFormat)}, "", time.Hour},
		"primary":            {403, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": fmt.Sprint(clock.Add(10 * time.Minute).Unix())}, "", 10 * time.Minute},
		"GitLab":             {429, map[string]string{"RateLimit-Remaining": "0", "RateLimit-Reset": fmt.Sprint(clock.Add(10 * time.Minute).Unix())}, "Retry later", 10 * time.Minute},
		"from now":           {429, map[string]string{"RateLimit-Remaining": "0", "RateLimit-Reset": "120"}, "", 2 * time.Minute},
		"secondary, a word":  {403, nil, `{"message":"You have exceeded a secondary rate limit. ` + secret + `"}`, time.Minute},
		"secondary, a time":  {403, map[string]string{"Retry-After": "60"}, "", time.Minute},
		"no word":            {429, nil, "", time.Minute},
		"for ever":           {429, map[string]string{"Retry-After": "9223372036854775807"}, "", limitMost},
		"the past":           {429, map[string]string{"Retry-After": "-5"}, "", time.Minute},
		"a reset long ago":   {429, map[string]string{"X-RateLimit-Reset": "1600000000"}, "", time.Minute},
		"no number":          {429, map[string]string{"Retry-After": secret, "X-RateLimit-Reset": secret}, "", time.Minute},
		"a right is missing": {403, map[string]string{"X-RateLimit-Remaining": "4000"}, `{"message":"Resource not accessible"}`, 0},
	} {
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			for k, v := range test.head {
				w.Header().Set(k, v)
			}
			w.WriteHeader(test.code)
			_, _ = w.Write([]byte(test.body))
		})
		env := s.only(github, secret)
		rep, err := Inspect(t.Context(), s.URL+"/you/project/pull/7", env, nil, everything)
		var limited *LimitError
		if err == nil || strings.Contains(err.Error(), secret) || errors.As(err, &limited) != (test.want != 0) || len(s.asked) != 1 {
			t.Errorf("%s: %v, asked %q", name, err, s.asked)
		} else if test.want != 0 && (limited.Host != strings.TrimPrefix(s.URL, "http://") || !limited.Until.Equal(clock.Add(test.want)) || !rep.NotBefore.Equal(limited.Until)) {
			t.Errorf("%s: %+v, %+v", name, limited, rep)
		}
		if _, err := State(t.Context(), s.URL+"/you/project/pull/7", env); errors.As(err, &limited) != (test.want != 0) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLastAnswerOfALimitIsUsedAndIsTheLast(t *testing.T) {
	f := quiet(t, "github")
	f.head = http.Header{"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {fmt.Sprint(time.Now().Add(time.Minute * 30).Unix())}}
	rep, s, err := f.inspected(nil, Want{})
	if err != nil || rep.Head != headSHA || rep.NotBefore.Before(time.Now().Add(time.Minute*20)) || len(s.asked) != 1 {
		t.Error(rep, err)
	}
	var limited *LimitError
	var cache Cache
	rep, s, err = f.inspected(&cache, everything)
	if !errors.As(err, &limited) || limited.Until.IsZero() || rep.NotBefore.IsZero() || len(s.asked) != 1 || len(cache.Answers) != 1 {
		t.Error(rep, err, s.asked, cache)
	}
}

func TestRightsThatAreNotToldAreNoRights(t *testing.T) {
	for _, code := range []int{403, 404, 500} {
		f := quiet(t, "github")
		f.codes[f.the("/bob/permission")] = code
		rep := f.must()
		if len(rep.Reviews) != 1 || rep.Reviews[0].MayWrite || rep.Approvals != 0 || len(rep.Unseen) != 1 || rep.Ready() {
			t.Errorf("%d: %+v", code, rep)
		}
		f = factsOf(t, "gitlab")
		f.codes[f.the("/members/all/2")] = code
		if rep := f.must(); rep.Reviews[0].Author != "ann" || rep.Reviews[0].MayWrite || (len(rep.Unseen) == 0) != (code == 404) {
			t.Errorf("%d: %+v", code, rep)
		}
	}
}

func TestStaleApprovalIsNotEnoughOnGitea(t *testing.T) {
	f := quiet(t, "gitea")
	f.put("/reviews", `[{"id":5,"user":{"login":"bob"},"state":"APPROVED","official":true,"stale":true,"commit_id":"`+otherSHA+`"}]`)
	if rep := f.must(); rep.Approved || rep.Approvals != 0 || rep.Reviews[0].Commit != otherSHA {
		t.Errorf("%+v", rep)
	}
	f.set("branches/main", map[string]string{"required_approvals": "0"})
	if rep := f.must(); !rep.Approved {
		t.Errorf("%+v", rep)
	}
}

func TestCheckThatTheBranchAsksForIsPendingUntilItSpeaks(t *testing.T) {
	f := quiet(t, "gitea")
	f.set("branches/main", map[string]string{"status_check_contexts": `["ci/*","other (push)","[a"]`})
	if got := checkLines(f.must()); !slices.Equal(got, []string{"[a: pending", "ci/build: passed", "other (push): pending"}) {
		t.Errorf("%q", got)
	}
}
