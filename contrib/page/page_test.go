package page

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kugetsu/tick/page"
)

var keep = flag.Bool("keep", false, "write the pictures of the page anew")

// visit is one look at a page, and what was seen.
type visit struct {
	File   string    `json:"file"`
	Now    time.Time `json:"now"`
	Scheme string    `json:"scheme"`
	Width  int       `json:"width"`
	Script bool      `json:"script"`
	Shot   string    `json:"shot,omitempty"`

	Sentence string   `json:"sentence"`
	Late     string   `json:"late"`
	Scripts  int      `json:"scripts"`
	Harmed   bool     `json:"harmed"`
	Wider    int      `json:"wider"` // pixels by which the page is wider than the screen
	Commands int      `json:"commands"`
	Selects  bool     `json:"selects"` // a click selects a command
	Columns  []column `json:"columns"`
	Findings []string `json:"findings"` // of the accessibility checker
	Said     []string `json:"said"`     // on the console
	Asked    []string `json:"asked"`    // addresses
}

type column struct {
	Name string `json:"name"`
	Left int    `json:"left"`
}

func (v visit) String() string {
	return fmt.Sprintf("%s, %d pixels, %s, script %v", strings.TrimSuffix(filepath.Base(v.File), ".html"), v.Width, v.Scheme, v.Script)
}

// look makes the visits, in a browser.
func look(t *testing.T, visits []visit) []visit {
	t.Helper()
	modules := os.Getenv("NODE_MODULES")
	browser := os.Getenv("CHROMIUM")
	if browser == "" {
		browser, _ = exec.LookPath("chromium")
	}
	node, err := exec.LookPath("node")
	if modules == "" || browser == "" || err != nil {
		t.Skip("not tried in a browser: that takes node, chromium, and puppeteer-core and axe-core in the folder NODE_MODULES (.ci/run installs them)")
	}
	asked, err := json.Marshal(visits)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), node, "look.mjs")
	cmd.Env = append(os.Environ(), "CHROMIUM="+browser, "NODE_MODULES="+modules, "HOME="+t.TempDir())
	cmd.Stdin, cmd.Stderr = bytes.NewReader(asked), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	d := json.NewDecoder(bytes.NewReader(out))
	for i := range visits {
		if err := d.Decode(&visits[i]); err != nil {
			t.Fatal(err)
		}
	}
	return visits
}

// write writes a page as a file.
func write(t *testing.T, name string, p *page.Page, change func(string) string) string {
	t.Helper()
	html, err := p.HTML()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name+".html")
	if err := os.WriteFile(path, []byte(change(string(html))), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func same(s string) string { return s }

func TestPageInABrowser(t *testing.T) {
	time.Local = time.UTC
	fresh := write(t, "night", night(), same)
	var visits []visit
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int{390, 1400} {
			v := visit{File: fresh, Now: morning.Add(time.Minute), Scheme: scheme, Width: width, Script: true}
			if *keep {
				v.Shot = fmt.Sprintf("night-%d-%s.png", width, scheme)
			}
			visits = append(visits, v)
			v.Script, v.Shot = false, ""
			visits = append(visits, v)
		}
	}
	visits = append(visits, visit{File: fresh, Now: morning.Add(11 * time.Minute), Scheme: "dark", Width: 390, Script: true})
	for i, v := range look(t, visits) {
		v.checkSound(t)
		if v.Commands != 20 || !v.Selects {
			t.Errorf("%v: %d commands can be seen; a click selects one: %v", v, v.Commands, v.Selects)
		}
		if late := i == len(visits)-1; late != (v.Late != "") || late && !strings.Contains(v.Late, "11 minutes old") {
			t.Errorf("%v: it says of its age %q", v, v.Late)
		}
		v.checkColumns(t)
	}
	if *keep {
		args := []string{"--force", "--ext", ".png", "--skip-if-larger", "48"}
		for _, v := range visits {
			if v.Shot != "" {
				args = append(args, v.Shot)
			}
		}
		if out, err := exec.Command("pngquant", args...).CombinedOutput(); err != nil {
			t.Errorf("the pictures are larger than they need be: %v %s", err, out)
		}
	}
}

// checkSound: nothing is loaded, nothing is complained of, nothing is cut off, and the checker finds nothing.
func (v visit) checkSound(t *testing.T) {
	t.Helper()
	if v.Sentence == "" || v.Scripts != 1 || v.Harmed || v.Wider > 0 || len(v.Asked) > 0 || len(v.Said) > 0 {
		t.Errorf("%v: %+v", v, v)
	}
	for _, f := range v.Findings {
		t.Errorf("%v: %s", v, f)
	}
}

// checkColumns: in the order of the house below one another on a small screen, in the order of the work beside one another on a wide
// one.
func (v visit) checkColumns(t *testing.T) {
	t.Helper()
	want := []string{"Needs you", "Working", "Waiting", "In review", "Ready to merge", "Done in 24 hours"}
	if v.Width > 1000 {
		want = []string{"Waiting", "Working", "Needs you", "In review", "Ready to merge", "Done in 24 hours"}
		for i := range v.Columns {
			if slices.IndexFunc(v.Columns, func(c column) bool { return c.Left == v.Columns[i].Left }) != i {
				t.Errorf("%v: two columns begin at %d", v, v.Columns[i].Left)
			}
		}
	}
	slices.SortStableFunc(v.Columns, func(a, b column) int { return a.Left - b.Left })
	var got []string
	for _, c := range v.Columns {
		got = append(got, c.Name)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v: %q", v, got)
	}
}

var hostile = []string{
	`<script>globalThis.harmed = true</script>`,
	`"><img src=x onerror="globalThis.harmed = true"><svg onload="globalThis.harmed = true">`,
	`</title></style></script></svg></code><iframe srcdoc="<script>parent.harmed = true</script>"></iframe>`,
	"right \u202eto left\u202c \u2066isolated שלום עולם مرحبا",
	strings.Repeat("W", 10000),
	strings.Repeat("'\"", 5000),
}

func TestHostileTextInABrowser(t *testing.T) {
	time.Local = time.UTC
	p := night()
	for i, text := range hostile {
		d := &p.Done[i%len(p.Done)]
		d.Message, d.Error, d.Ref, d.Agent, d.PRURL = text, text, text, text, "https://example.org/"+text
		r := &p.Runs[len(p.Runs)-1-i]
		r.IssueRef, r.Agent, r.Outcome = text, text, text
		n := &p.Needs[i%len(p.Needs)]
		n.What, n.Why, n.Command, n.ID = text, text, text, text
		p.Running[i%2].Line, p.Running[i%2].Waits, p.Waiting[i%3].Says, p.Review[i%2].Why, p.Review[i%2].Branch = text, text, text, text, text
	}
	file := write(t, "hostile", p, same)
	for _, v := range look(t, []visit{{File: file, Now: morning, Scheme: "light", Width: 390, Script: true}, {File: file, Now: morning, Scheme: "dark", Width: 1400, Script: true}}) {
		v.checkSound(t)
	}
}

// The checks above can fail: of a page that is broken on purpose the checker finds it, and the policy stops a script that stands in
// it as if the escaping had failed.
func TestBrokenPageIsNoticed(t *testing.T) {
	file := write(t, "broken", night(), func(html string) string {
		html = strings.Replace(html, `<html lang="en">`, `<html>`, 1)
		return strings.Replace(html, `</h1>`, `</h1><script>globalThis.harmed = true</script><img src="x.png" onerror="globalThis.harmed = true">`, 1)
	})
	v := look(t, []visit{{File: file, Now: morning, Scheme: "light", Width: 1400, Script: true}})[0]
	found := strings.Join(v.Findings, " ")
	if !strings.Contains(found, "html-has-lang") || !strings.Contains(found, "image-alt") {
		t.Errorf("the checker finds %q", v.Findings)
	}
	if said := strings.Join(v.Said, " "); v.Harmed || strings.Count(said, "Content Security Policy") < 3 {
		t.Errorf("harmed: %v; the browser says %q", v.Harmed, v.Said)
	}
}
