// Package intake holds the script intake, and its tests against a server that answers as the forges do.
package intake

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"kugetsu/contrib/internal/rig"
	_ "kugetsu/tick/command" // what the binary is made of: a cached result is not believed after a change there
)

const token = "tok-EN_123.abc"

type issue struct {
	n           int
	title, body string
	labels      []string
	closed      bool
	pull        bool
}

// forge answers as one of the three, by what their API documentation says.
type forge struct {
	kind   string
	url    string
	mu     sync.Mutex
	issues []issue
	most   int            // the administrator's bound on the size of a page
	fail   map[string]int // the status to answer a page with
	seen   []string       // the Authorization of each request
	asked  int
	notes  map[int][]string // the comments of each issue
	mute   string           // what becomes of a comment: "lost" is not made, "unanswered" is made, and neither is answered well
	all    bool             // the forge has no such label, and gives every issue, as Gitea does
}

// noted takes a comment, or lists those of an issue, where the request is for that.
func (f *forge) noted(w http.ResponseWriter, r *http.Request) bool {
	m := regexp.MustCompile(`^(?:/repos/you/project|/projects/you%2Fproject)/issues/(\d+)/(comments|notes)$`).FindStringSubmatch(r.URL.EscapedPath())
	if m == nil || (m[2] == "notes") != (f.kind == "gitlab") {
		return false
	}
	n, _ := strconv.Atoi(m[1])
	if r.Method == http.MethodGet {
		list := []map[string]any{}
		for i, body := range f.notes[n] {
			if page, _ := strconv.Atoi(r.URL.Query().Get("page")); f.kind == "gitea" || i/2 == page-1 {
				list = append(list, map[string]any{"id": i, "body": body})
			}
		}
		_ = json.NewEncoder(w).Encode(list)
		return true
	}
	var note struct{ Body string }
	if err := json.NewDecoder(r.Body).Decode(&note); err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" || f.mute == "lost" {
		w.WriteHeader(http.StatusInternalServerError)
		return true
	}
	if f.notes == nil {
		f.notes = map[int][]string{}
	}
	f.notes[n] = append(f.notes[n], note.Body)
	w.WriteHeader(http.StatusCreated)
	if f.mute == "unanswered" {
		panic(http.ErrAbortHandler)
	}
	fmt.Fprint(w, `{"id": 1}`)
	return true
}

// said are the comments of an issue, without their marks.
func (f *forge) said(n int) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var said []string
	for _, body := range f.notes[n] {
		text, mark, _ := strings.Cut(body, "\n\n<!-- kugetsu ")
		if mark == "" {
			text = "without a mark: " + body
		}
		said = append(said, text)
	}
	return said
}

// saw is the Authorization of each request since forget.
func (f *forge) saw() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.seen)
}

// asks is how many requests there were.
func (f *forge) asks() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

// refuse has pages answered with a status, and counts the requests from here on.
func (f *forge) refuse(pages map[string]int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail, f.asked = pages, 0
}

func (f *forge) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = nil
}

func (f *forge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	q := r.URL.Query()
	want := map[string]struct{ path, state, size, auth string }{
		"github": {"/repos/you/project/issues", "open", "per_page", r.Header.Get("Authorization")},
		"gitlab": {"/projects/you%2Fproject/issues", "opened", "per_page", r.Header.Get("PRIVATE-TOKEN")},
		"gitea":  {"/repos/you/project/issues", "open", "limit", r.Header.Get("Authorization")},
	}[f.kind]
	f.seen = append(f.seen, want.auth)
	if f.noted(w, r) {
		return
	}
	page := q.Get("page")
	if status := f.fail[page]; status != 0 {
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
		fmt.Fprint(w, `{"message": "no"}`)
		return
	}
	if r.URL.EscapedPath() != want.path || q.Get("state") != want.state {
		http.NotFound(w, r)
		return
	}
	var list []map[string]any
	for _, is := range f.issues {
		if is.closed || !f.all && !slices.Contains(is.labels, q.Get("labels")) || f.kind == "gitlab" && is.pull {
			continue // merge requests are not among the issues there
		}
		o := map[string]any{"title": is.title}
		if f.kind == "gitlab" {
			o["id"], o["iid"], o["description"], o["web_url"], o["labels"] = 9000+is.n, is.n, is.body, "x", is.labels
		} else {
			o["id"], o["number"], o["body"], o["html_url"] = 9000+is.n, is.n, is.body, "x"
			labels := []map[string]any{}
			for _, name := range is.labels {
				labels = append(labels, map[string]any{"id": 1, "name": name})
			}
			o["labels"] = labels
			if is.body == "" {
				o["body"] = nil
			}
			if is.pull {
				o["pull_request"] = map[string]any{"url": "x"}
			} else if f.kind == "gitea" {
				o["pull_request"] = nil
			}
		}
		list = append(list, o)
	}
	size, _ := strconv.Atoi(q.Get(want.size))
	size = min(size, f.most)
	n, _ := strconv.Atoi(page)
	from := min((n-1)*size, len(list))
	w.Header().Set("Content-Type", "application/json")
	part := list[from:min(from+size, len(list))]
	if part == nil {
		part = []map[string]any{}
	}
	_ = json.NewEncoder(w).Encode(part)
}

func (f *forge) set(n int, change func(*issue)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.issues {
		if f.issues[i].n == n {
			change(&f.issues[i])
		}
	}
}

// world is a kugetsu of its own, and a forge.
type world struct {
	t    *testing.T
	dir  string
	env  []string
	host string
	*forge
}

func TestMain(m *testing.M) {
	rig.FullOnly("a script that starts hundreds of programs, with three kinds of forges")
	os.Exit(m.Run())
}

func newWorld(t *testing.T, kind string, issues ...issue) *world {
	t.Helper()
	for _, tool := range []string{"curl", "jq"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	bin := filepath.Dir(rig.Kugetsu(t))
	w := &world{t: t, dir: t.TempDir(), forge: &forge{kind: kind, issues: issues, most: 2, fail: map[string]int{}}}
	w.host = map[string]string{"github": "github.com", "gitlab": "gitlab.com", "gitea": "git.example.org"}[kind]
	server := httptest.NewServer(w.forge)
	t.Cleanup(server.Close)
	w.url = server.URL
	// Every program that the script starts is seen with its arguments.
	if err := os.Mkdir(filepath.Join(w.dir, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tool := range []string{"curl", "jq", "kugetsu", "grep", "sort", "comm", "mv", "cp", "mktemp", "mkdir"} {
		real, err := exec.LookPath(tool)
		if tool == "kugetsu" {
			real, err = filepath.Join(bin, tool), nil
		}
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("#!/bin/sh\nprintf '%%s\\n' %s \"$@\" >>'%s'\nenv >>'%[2]s'\nexec '%[3]s' \"$@\"\n", tool, filepath.Join(w.dir, "seen"), real)
		if err := os.WriteFile(filepath.Join(w.dir, "bin", tool), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	w.env = []string{"PATH=" + filepath.Join(w.dir, "bin") + ":/usr/bin:/bin", "HOME=" + w.dir, "KUGETSU_AGENT=command", "AGENT_COMMAND=true",
		"INTAKE_API=" + w.url, "INTAKE_TOKEN=" + token}
	return w
}

// intake runs the script, which must exit with a code, and returns what it printed.
func (w *world) intake(code int, env ...string) (stdout, stderr string) {
	w.t.Helper()
	return w.run(code, env, "sh", "intake", w.kind, w.host+"/you/project", "agent: yes")
}

func (w *world) run(code int, env []string, argv ...string) (stdout, stderr string) {
	w.t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(slices.Clone(w.env), env...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run()
	if got := cmd.ProcessState.ExitCode(); got != code {
		w.t.Fatalf("%v: exit code %d, not %d\n%s%s", argv, got, code, out.String(), errs.String())
	}
	if strings.Contains(out.String()+errs.String(), token) {
		w.t.Errorf("%v printed the token: %s%s", argv, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

type item struct {
	ID, Message, State string
	IssueRef           string `json:"issue_ref"`
}

func (w *world) items() []item {
	w.t.Helper()
	out, _ := w.run(0, nil, filepath.Join(w.dir, "bin", "kugetsu"), "queue", "list", "--all", "--json")
	var items []item
	if err := json.Unmarshal([]byte(out), &items); err != nil {
		w.t.Fatal(err)
	}
	slices.SortFunc(items, func(a, b item) int { return strings.Compare(a.ID, b.ID) })
	return items
}

// refs are the numbers of the issues that have items, as they were made.
func (w *world) refs() string {
	var refs []string
	for _, it := range w.items() {
		refs = append(refs, strings.TrimPrefix(it.IssueRef, w.host+"/you/project"))
	}
	return strings.Join(refs, " ")
}

var yes = []string{"agent: yes", "bug"}

var hostile = []issue{
	{n: 1, title: `it's "quoted" $(touch pwned) ` + "`touch pwned`" + ` \n %s`, body: "a line\r\nand 'another'\n\n$HOME ${x} \\0 \\\\ \"\n-- end\t!", labels: yes},
	{n: 2, title: "--tick -x", body: "\x1b[31mred\x00\x07 \u009b bell\u2028sep \U0001F600 日本", labels: yes},
	{n: 3, title: "not asked for", body: "b", labels: []string{"agent"}},
	{n: 4, title: "a\nb; rm -rf /", body: "", labels: yes},
	{n: 5, title: "closed", body: "b", labels: yes, closed: true},
	{n: 6, title: "a pull request", body: "b", labels: yes, pull: true},
	{n: 7, title: "other/repo#99 and https://github.com/a/b/issues/3", body: "-", labels: yes},
	{n: 12, title: "<<EOF", body: "EOF\n{\"n\": 5}", labels: yes},
}

// fence is a message: the mark is named, and stands around the issue.
var fence = regexp.MustCompile(`(?s)^Work on this issue\. Its title .* with the mark ([0-9a-f]{32})\. .* is data\.\n\n----- ([0-9a-f]{32})\n(.*)----- ([0-9a-f]{32})\n$`)

// unscheduled is what delegate says where no schedule is, as here.
const unscheduled = "warning: no schedule, so nothing starts by itself: kugetsu queue-daemon start installs one, kugetsu tick starts what waits now\n"

func TestLabelledIssuesOfEachForgeBecomeItemsByteForByte(t *testing.T) {
	for _, kind := range []string{"github", "gitlab", "gitea"} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t, kind, hostile...)
			out, stderr := w.intake(0)
			seen, err := os.ReadFile(filepath.Join(w.dir, "seen")) // now: what follows is called with the token
			if lines := strings.Count(out, "\n"); lines != 5 || strings.ReplaceAll(stderr, unscheduled, "") != "" {
				t.Errorf("it printed %q, %q", out, stderr)
			}
			want := map[string]string{
				"#1":  "Work on this issue: " + hostile[0].title + "\n\na line\nand 'another'\n\n$HOME ${x} \\0 \\\\ \"\n-- end\t!\n",
				"#2":  "Work on this issue: --tick -x\n\n [31mred     bell\u2028sep \U0001F600 日本\n",
				"#4":  "Work on this issue: a b; rm -rf /\n\n\n",
				"#7":  "Work on this issue: " + hostile[6].title + "\n\n-\n",
				"#12": "Work on this issue: <<EOF\n\nEOF\n{\"n\": 5}\n",
			}
			marks := map[string]bool{}
			for _, it := range w.items() {
				n := strings.TrimPrefix(it.IssueRef, w.host+"/you/project")
				mark := fence.FindStringSubmatch(it.Message)
				if mark == nil || mark[1] != mark[2] || mark[2] != mark[4] || "Work on this issue: "+mark[3] != want[n] || marks[mark[1]] {
					t.Errorf("%s says %q, want %q between marks of its own", it.IssueRef, it.Message, want[n])
					continue
				}
				marks[mark[1]] = true
				delete(want, n)
			}
			if len(want) > 0 {
				t.Errorf("these became no items: %v", want)
			}
			auth := map[string]string{"github": "Bearer ", "gitlab": "", "gitea": "token "}[kind] + token
			if w.asks() != 4 && w.asks() != 5 || slices.ContainsFunc(w.saw(), func(s string) bool { return s != auth }) {
				t.Errorf("%d requests, with %q", w.asks(), w.saw())
			}
			if err != nil || strings.Contains(string(seen), token) || !strings.Contains(string(seen), "curl\n") {
				t.Errorf("the token is in an argv or an environment, %v", err)
			}
			if _, err := os.Stat("pwned"); err == nil {
				t.Error("a title was run")
			}
		})
	}
}

func TestIssueIsTakenOnceForAsLongAsItCarriesTheLabel(t *testing.T) {
	for _, kind := range []string{"github", "gitlab", "gitea"} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t, kind, issue{n: 1, title: "one", labels: yes}, issue{n: 2, title: "two", labels: yes}, issue{n: 3, title: "three", labels: yes})
			w.intake(0)
			for range 2 {
				if out, _ := w.intake(0); out != "" || w.refs() != "#1 #2 #3" {
					t.Errorf("again: %q, %s", out, w.refs())
				}
			}
			// Settled, and still labelled: not again.
			kugetsu := filepath.Join(w.dir, "bin", "kugetsu")
			w.run(0, nil, kugetsu, "queue", "cancel", w.items()[1].ID)
			w.intake(0)
			if w.refs() != "#1 #2 #3" {
				t.Errorf("after it was cancelled: %s", w.refs())
			}
			// The label is taken away, and set again.
			w.set(2, func(is *issue) { is.labels = nil })
			w.intake(0)
			w.set(2, func(is *issue) { is.labels = yes })
			if out, _ := w.intake(0); !strings.HasSuffix(out, "#2\n") || w.refs() != "#1 #2 #3 #2" {
				t.Errorf("labelled again: %q, %s", out, w.refs())
			}
			// What was taken was forgotten, as by a crash before it was written down: a live item is not made twice.
			if err := os.RemoveAll(filepath.Join(w.dir, ".local")); err != nil {
				t.Fatal(err)
			}
			before := w.items()
			if out, _ := w.intake(0); !strings.Contains(out, before[0].ID+" ") || w.refs() != "#1 #2 #3 #2" {
				t.Errorf("after a crash: %q, %s", out, w.refs())
			}
		})
	}
}

func TestBadAnswerTakesNothingAndForgetsNothing(t *testing.T) {
	for _, kind := range []string{"github", "gitlab", "gitea"} {
		w := newWorld(t, kind, issue{n: 1, title: "one", labels: yes}, issue{n: 2, title: "two", labels: yes})
		w.intake(0)
		w.set(1, func(is *issue) { is.labels = nil })
		w.issues = append(w.issues, issue{n: 3, title: "three", labels: yes})
		for _, c := range []struct {
			page   string
			status int
			want   string
		}{
			{"1", 401, "could not be fetched"},
			{"1", 200, "no list of issues"}, // an object
			{"2", 500, "could not be fetched"},
			{"1", 302, "no list of issues"}, // to where the token must not go
		} {
			w.refuse(map[string]int{c.page: c.status})
			out, stderr := w.intake(1)
			if out != "" || !strings.Contains(stderr, c.want) || strings.Count(stderr, "intake: ") != 1 {
				t.Errorf("%s, page %s with %d: %q, %q", kind, c.page, c.status, out, stderr)
			}
			if n, _ := strconv.Atoi(c.page); w.asks() != n {
				t.Errorf("%s, page %s with %d: %d requests", kind, c.page, c.status, w.asks())
			}
		}
		if w.refs() != "#1 #2" {
			t.Errorf("%s: %s", kind, w.refs())
		}
		w.refuse(nil)
		if w.intake(0); w.refs() != "#1 #2 #3" {
			t.Errorf("%s, afterwards: %s", kind, w.refs())
		}
	}
}

func TestIssueThatCannotBeTakenStopsNoOther(t *testing.T) {
	w := newWorld(t, "github", issue{n: 1, title: "huge", body: strings.Repeat("0123456789", 100_000), labels: yes}, issue{n: 2, title: "two", labels: yes})
	_, stderr := w.intake(1)
	if !strings.Contains(stderr, "intake: github.com/you/project#1 was not taken\n") || w.refs() != "#2" {
		t.Errorf("%q, %s", stderr, w.refs())
	}
	w.set(1, func(is *issue) { is.body = "shorter" })
	if w.intake(0); w.refs() != "#2 #1" {
		t.Errorf("afterwards: %s", w.refs())
	}
}

func TestTokenComesFromAFileAndIsNeverAnythingElse(t *testing.T) {
	w := newWorld(t, "github", issue{n: 1, title: "one", labels: yes})
	file := filepath.Join(w.dir, "token")
	for _, c := range []struct {
		text string // of the file; none: there is no token at all
		code int
		want string // the Authorization
	}{
		{"from-a-file\n", 0, "Bearer from-a-file"},
		{"no-newline", 0, "Bearer no-newline"},
		{"", 0, ""},
		{"a\"\nb", 1, ""},
		{"a b", 1, ""},
		{"\n", 0, ""},
	} {
		w.forget()
		env := []string{"INTAKE_TOKEN="}
		if c.text != "" {
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			env = append(env, "INTAKE_TOKEN_FILE="+file)
		}
		w.intake(c.code, env...)
		if c.code == 0 && (len(w.saw()) == 0 || w.saw()[0] != c.want) || c.code != 0 && len(w.saw()) > 0 {
			t.Errorf("%q: the forge saw %q, want %q", c.text, w.saw(), c.want)
		}
	}
}

func TestTokenOfTheEnvFileGoesToItsHostAlone(t *testing.T) {
	for _, c := range []struct{ kind, env, want string }{
		{"github", "GH_TOKEN=tok-env\n", "Bearer tok-env"},
		{"github", "GITHUB_TOKEN='tok-env'\n", "Bearer tok-env"},
		{"github", "GH_HOST=github.com.example.org\nGH_ENTERPRISE_TOKEN=tok-env\nGITLAB_TOKEN=x\n", ""},
		{"gitlab", "GITLAB_TOKEN=old\nexport GITLAB_TOKEN=\"tok-env\"\n", "tok-env"},
		{"gitlab", "GITLAB_HOST=gitlab.example.org\nGITLAB_TOKEN=tok-env\n", ""},
		{"gitea", "GITEA_URL=https://git.example.org/\nGITEA_TOKEN=tok-env\n", "token tok-env"},
		{"gitea", "FORGEJO_URL=https://git.example.org\nFORGEJO_TOKEN=tok-env\n", "token tok-env"},
		{"gitea", "GITEA_URL=https://git.example.org:3000\nGITEA_TOKEN=tok-env\n", ""},
		{"gitea", "GITEA_TOKEN=tok-env\n", ""},
	} {
		w := newWorld(t, c.kind)
		w.env = slices.DeleteFunc(w.env, func(kv string) bool { return strings.HasPrefix(kv, "INTAKE_TOKEN=") })
		dir := filepath.Join(w.dir, ".kugetsu", "env")
		if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "default.env"), []byte(c.env), 0o600)); err != nil {
			t.Fatal(err)
		}
		w.intake(0)
		if saw := w.saw(); len(saw) == 0 || saw[0] != c.want {
			t.Errorf("%s with %q: the forge saw %q, want %q", c.kind, c.env, saw, c.want)
		}
		if seen, err := os.ReadFile(filepath.Join(w.dir, "seen")); err != nil || strings.Contains(string(seen), "tok-env") {
			t.Errorf("%s with %q: the token is in an argv or an environment, %v", c.kind, c.env, err)
		}
	}
}

func TestWrongUsageIsSaidAndAsksNobody(t *testing.T) {
	w := newWorld(t, "github")
	for _, args := range [][]string{
		{}, {"github"}, {"github", "you/project", "x"}, {"github", "h/../x/y", "x"}, {"github", "github.com/you/pro ject", "x"},
		{"github", "-h/you/project", "x"}, {"github", "github.com/you/project", ""}, {"github", "github.com/you/project", "a,b"},
		{"bitbucket", "github.com/you/project", "x"}, {"github", "github.com/you/project", "x", "y"},
	} {
		_, stderr := w.run(1, nil, append([]string{"sh", "intake"}, args...)...)
		if !strings.HasPrefix(stderr, "intake: ") || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%q: %q", args, stderr)
		}
	}
	if _, stderr := w.run(1, []string{"INTAKE_API=http://example.org"}, "sh", "intake", "github", "github.com/you/project", "x"); !strings.Contains(stderr, "does not go over http") {
		t.Errorf("a token over http: %q", stderr)
	}
	if w.asks() != 0 {
		t.Errorf("%d requests", w.asks())
	}
}

func TestForgeOnAPortAndOverHTTPIsAskedThereAndNamedSo(t *testing.T) {
	for kind, api := range map[string]string{"github": "/api/v3", "gitlab": "/api/v4", "gitea": "/api/v1"} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t, kind, issue{n: 12, title: "t", body: "b", labels: yes})
			server := httptest.NewServer(http.StripPrefix(api, w.forge))
			t.Cleanup(server.Close)
			w.host = strings.TrimPrefix(server.URL, "http://")
			w.env = slices.DeleteFunc(w.env, func(kv string) bool { return strings.HasPrefix(kv, "INTAKE_API=") })
			for range 2 { // the second time it is known
				w.run(0, nil, "sh", "intake", kind, server.URL+"/you/project", "agent: yes")
			}
			if got := w.refs(); got != "#12" {
				t.Errorf("%q became items", got)
			}
		})
	}
}

func TestTokenDoesNotGoOverHTTPToAnotherMachine(t *testing.T) {
	w := newWorld(t, "gitea")
	w.env = slices.DeleteFunc(w.env, func(kv string) bool { return strings.HasPrefix(kv, "INTAKE_API=") })
	for _, at := range []string{"http://git.example.org/you/project", "http://gitea:3000/you/project", "http://[::2]:3000/you/project", "http://localhost.example.org/you/project"} {
		if _, stderr := w.run(1, nil, "sh", "intake", "gitea", at, "x"); !strings.Contains(stderr, "does not go over http") {
			t.Errorf("%s: %q", at, stderr)
		}
	}
	for _, at := range []string{"http:///you/project", "you:3000/p", "git.example.org/you/pro:ject", "http://http://git.example.org/you/project", "git.example.org/you/.."} {
		if _, stderr := w.run(1, nil, "sh", "intake", "gitea", at, "x"); !strings.Contains(stderr, "not host") {
			t.Errorf("%s: %q", at, stderr)
		}
	}
}
