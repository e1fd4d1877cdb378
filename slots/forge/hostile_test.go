package forge

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// Each of these bodies answers every question.
func TestHostileAnswerIsAnErrorThatRepeatsNothing(t *testing.T) {
	for name, body := range map[string]string{
		"no JSON": secret, "null": "null", "empty": "", "a list": `[{}]`, "deep": strings.Repeat(`[`, 100_000), "deep objects": strings.Repeat(`{"head":`, 100_000),
		"wrong types": `{"number":"7","state":7}`, "a path for a head": `{"number":7,"iid":7,"state":"open","head":{"sha":"../../x"},"sha":"../../x"}`,
		"a short head":  `{"number":7,"iid":7,"state":"open","head":{"sha":"6dcb09b"},"sha":"6dcb09b"}`,
		"a huge number": `{"number":1e999}`, "another request": `{"number":8,"iid":8,"state":"open","head":{"sha":"` + headSHA + `"},"sha":"` + headSHA + `"}`,
		"another state": `{"number":7,"iid":7,"state":"` + secret + `","head":{"sha":"` + headSHA + `"},"sha":"` + headSHA + `"}`,
		"cut off":       `{"number":7,"iid":7,"state":"open","head":{"sha":"`,
		"too large":     `{"x":"` + strings.Repeat("x", maxPage) + `"}`,
	} {
		for kind, f := range forges {
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) })
			var cache Cache
			rep, err := Inspect(t.Context(), s.URL+f.page, s.only(f.kind, secret), &cache, everything)
			if err == nil || strings.Contains(err.Error(), secret) || rep.Head != "" || rep.Status != Unknown || len(rep.Checks)+len(rep.Reviews) > 0 || len(s.asked) != 1 {
				t.Errorf("%s, %s: %+v, %v, asked %d", kind, name, rep, err, len(s.asked))
			}
		}
	}
}

func TestListOfAnotherTypeIsAnError(t *testing.T) {
	for kind, end := range map[string]string{"github": "/reviews", "gitlab": "/statuses", "gitea": "/reviews"} {
		for _, body := range []string{`null`, `{}`, `"x"`, `[[]]`, `[{"id":"x"}]`, `[{"submitted_at":"now","name":3}]`} {
			f := quiet(t, kind)
			f.put(end, body)
			if rep, _, err := f.inspected(nil, everything); err == nil || rep.Head != "" {
				t.Errorf("%s, %s: %+v", kind, body, rep)
			}
		}
	}
}

// The texts of strangers are bounded and valid UTF-8, and otherwise as strangers wrote them.
func TestWordsOfStrangersAreBounded(t *testing.T) {
	name := "a\x00b\n\u202e\x1b[31m" + strings.Repeat("é", 1000)
	quoted, err := json.Marshal(name)
	if err != nil {
		t.Fatal(err)
	}
	f := quiet(t, "github")
	f.put("/status", `{"statuses":[{"context":`+string(quoted)+`,"state":"failure","description":`+string(quoted)+`,"target_url":`+string(quoted)+`}]}`)
	f.put("/reviews", `[{"id":5,"user":{"login":"bob"},"state":"CHANGES_REQUESTED","body":"`+strings.Repeat("é", maxLong)+`"},{"id":6,"user":{"login":"../../x?y#z"},"state":"APPROVED"}]`)
	f.put("/comments", `[`+strings.TrimSuffix(strings.Repeat(`{"pull_request_review_id":5,"path":"a","line":-1,"body":"x"},`, 100), ",")+`]`)
	rep, s, err := f.inspected(nil, everything)
	if err != nil {
		t.Fatal(err)
	}
	c, r := rep.Checks[0], rep.Reviews[0]
	if !strings.HasPrefix(c.Name, "a\x00b\n\u202e\x1b[31mé") || len(c.Name) > maxShort || len(c.URL) > maxShort || len(c.Summary) > maxShort || !utf8.ValidString(c.Name) || c.Job != "" {
		t.Errorf("%+v", c)
	}
	if len(r.Body) > maxLong || len(r.Body) < maxLong-2 || !utf8.ValidString(r.Body) || len(r.Comments) != maxComments || r.Comments[0].Line != 0 {
		t.Errorf("%d bytes, %d comments", len(r.Body), len(r.Comments))
	}
	for _, path := range s.asked { // a login is one segment of a path
		if strings.Contains(path, "../x") || strings.Contains(path, "?y") {
			t.Errorf("asked %q", path)
		}
	}
}

func TestListWithoutAnEndIsNotReadToIt(t *testing.T) {
	for kind, page := range map[string]string{
		"github": `{"id":5,"user":{"login":"bob"},"state":"APPROVED"},`,
		"gitea":  `{"id":5,"user":{"login":"bob"},"state":"APPROVED","official":true},`,
	} {
		f := quiet(t, kind)
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/reviews") {
				_, _ = w.Write([]byte("[" + strings.TrimSuffix(strings.Repeat(page, 100), ",") + "]"))
				return
			}
			f.ServeHTTP(w, r)
		})
		rep, err := f.ask(s, nil, everything)
		if err != nil || len(rep.Unseen) != 1 || rep.Ready() || len(s.asked) > 15 {
			t.Errorf("%s: %q, %v, %d asked", kind, rep.Unseen, err, len(s.asked))
		}
	}
}

func TestInspectIsNotWaitedForWithoutEnd(t *testing.T) {
	defer func(one, all time.Duration) { limit, inspectLimit = one, all }(limit, inspectLimit)
	limit, inspectLimit = 50*time.Millisecond, time.Minute
	f := quiet(t, "github")
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/check-runs") {
			<-r.Context().Done()
			return
		}
		f.ServeHTTP(w, r)
	})
	if rep, err := f.ask(s, nil, everything); err == nil || rep.Head != "" || !strings.HasSuffix(err.Error(), "it did not answer in time") {
		t.Error(rep, err)
	}
}

func TestInspectTakesNoTokenToAnotherPlace(t *testing.T) {
	other := serve(t, func(http.ResponseWriter, *http.Request) {})
	for kind := range forges {
		f := factsOf(t, kind)
		f.head = http.Header{"Location": {other.URL + "/" + secret}}
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if path, _, _ := strings.Cut(r.URL.RequestURI(), "?"); !strings.HasSuffix(path, requestEnd(kind)) {
				f.codes[apiPath.ReplaceAllString(r.URL.RequestURI(), "")] = http.StatusFound
			}
			f.ServeHTTP(w, r)
		})
		if rep, err := f.ask(s, nil, everything); err == nil || rep.Head != "" || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %+v, %v", kind, rep, err)
		}
	}
	if len(other.asked) > 0 {
		t.Errorf("asked with %q", other.tokens)
	}
}

// FuzzInspect gives one answer to every question, for every forge.
func FuzzInspect(f *testing.F) {
	for _, seed := range []string{`{"number":7,"iid":7,"state":"open","sha":"` + headSHA + `","head":{"sha":"` + headSHA + `"},"statuses":[{"context":"x","state":"failure","status":"failure","target_url":"/o/r/actions/runs/1/jobs/2"}],"check_runs":[{"id":1,"name":"x"}]}`,
		`[{"id":1,"user":{"login":"x"},"state":"APPROVED","position":{"new_line":3}}]`, `null`, `{`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, r := range []request{{forge: github}, {forge: gitlab}, {forge: gitea}} {
			r.origin, r.repo, r.number = "https://127.0.0.1:1", "o/r", 7
			q := &inquiry{request: r, cache: &Cache{}, answer: func(string, string) (reply, error) { return reply{body: body, etag: "x"}, nil }}
			if q.look(everything) != nil {
				continue
			}
			q.keep(false)
			if data, err := json.Marshal(q.cache); err != nil || len(data) > maxCache+1000 {
				t.Errorf("%d bytes, %v", len(data), err)
			}
			for _, c := range q.rep.Checks {
				if len(c.Name) > maxShort || !utf8.ValidString(c.Name) || c.Job != "" && !jobID().MatchString(c.Job) {
					t.Errorf("%+v", c)
				}
			}
			if !commit().MatchString(q.rep.Head) || q.rep.Ready() && len(q.rep.Unseen) > 0 {
				t.Errorf("%+v", q.rep)
			}
		}
	})
}

func FuzzStrip(f *testing.F) {
	f.Add([]byte("\ufeff2026-05-01T09:00:00.1Z 00O+section_start:1:x\r\x1b[0Kx\r\n"))
	f.Fuzz(func(t *testing.T, log []byte) {
		if got := strip(log); len(got) > logKept || len(got) > len(log) {
			t.Errorf("%d of %d bytes", len(got), len(log))
		}
	})
}
