package page

import (
	"bytes"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/net/html"

	"kugetsu/queue"
	"kugetsu/queue/ledger"
	"kugetsu/queue/outcome"
	"kugetsu/queue/terminal"
	"kugetsu/tick"
	"kugetsu/tick/overview"
)

var now = time.Date(2026, 11, 29, 8, 0, 0, 0, time.UTC)

func init() { time.Local = time.UTC } // the page shows the local time

// full is a page in which each section has an entry, and each text is the same.
func full(text string) *Page {
	size, cost := int64(1<<30), outcome.Cost{USD: 1.5}
	earlier := now.Add(-time.Hour)
	evidence := outcome.Evidence{Changes: &outcome.Changes{Commits: 2, Dirty: 1, Diff: &outcome.Diff{Files: 3, Insertions: 4, Deletions: 5}}}
	p := &Page{Server: "github.com", Interval: 5 * time.Minute, Refreshed: true, Overview: &overview.Overview{At: now,
		Needs:   []overview.Need{{Since: &earlier}},
		Running: []overview.Running{{SlotView: tick.SlotView{Occupied: true, Since: &earlier, Run: 2}}},
		Waiting: []overview.Waiting{{Waiting: tick.Waiting{Since: earlier}}},
		Review:  []overview.Request{{LastUsed: earlier}}, Ready: []overview.Request{{LastUsed: earlier}},
		Done:     []overview.Done{{At: earlier, Took: time.Minute, Evidence: evidence, Cost: &cost}},
		Capacity: overview.Capacity{Limit: 1, Memory: &size, Disk: &size, Holds: []string{""}, LastTick: &earlier, NextTick: &now}},
		Runs:   []ledger.Run{{NotifiedAt: earlier, EndedAt: now, Cost: &cost}},
		Shades: []Shade{{From: earlier, Until: now}}}
	setTexts(reflect.ValueOf(p).Elem(), text)
	return p
}

// setTexts gives each exported string that can be reached from a value the same text.
func setTexts(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.String:
		if v.CanSet() {
			v.SetString(text)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			setTexts(v.Elem(), text)
		}
	case reflect.Slice:
		for i := range v.Len() {
			setTexts(v.Index(i), text)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				setTexts(v.Field(i), text)
			}
		}
	}
}

// parse makes the file and reads it as a browser does.
func parse(t testing.TB, p *Page) (*html.Node, []byte) {
	t.Helper()
	data, err := p.HTML()
	if err != nil {
		t.Fatal(err)
	}
	root, err := html.Parse(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return root, data
}

// structure is what a page is made of: its elements and the names of their attributes.
func structure(root *html.Node) (list []string) {
	for n := range root.Descendants() {
		if n.Type == html.TextNode {
			continue
		}
		line := fmt.Sprint(n.Type, " ", n.Data)
		for _, a := range n.Attr {
			line += " " + a.Key
		}
		list = append(list, line)
	}
	return list
}

func elements(root *html.Node, name string) (list []*html.Node) {
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && n.Data == name {
			list = append(list, n)
		}
	}
	return list
}

func textOf(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return b.String()
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

var hostile = []string{
	`<script>globalThis.harmed = true</script>`,
	`"><img src=x onerror="globalThis.harmed = true">`,
	`' onmouseover='globalThis.harmed = true' x='`,
	`</title></style></script></svg></code><script>globalThis.harmed = true</script>`,
	`--><script>globalThis.harmed = true</script><!--`,
	`javascript:globalThis.harmed=true`,
	`{{.Policy}} ${1} &lt;script&gt;`,
	"right \u202eto left\u202c \u2066isolated\u2069 \u200b\u200f שלום עולם مرحبا",
	"\x00\x1b[31mred\x07 \xff\xfe",
	strings.Repeat("W", 10000),
	strings.Repeat("<b>", 3000),
}

func TestHostileTextChangesNothingButText(t *testing.T) {
	for _, text := range hostile {
		checkHarmless(t, text)
	}
}

func FuzzHostileText(f *testing.F) {
	for _, text := range hostile {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.TrimSpace(text) == "" || link(text) != "" { // an empty text has no element, and a link has one more
			return
		}
		checkHarmless(t, text)
	})
}

func checkHarmless(t *testing.T, text string) {
	t.Helper()
	root, data := parse(t, full(text))
	plain, _ := parse(t, full("word"))
	if got, want := structure(root), structure(plain); !slices.Equal(got, want) {
		t.Errorf("%.60q changes the structure of the page:\n%s\nis not\n%s", text, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !utf8.Valid(data) {
		t.Errorf("%.60q makes a page that is not UTF-8", text)
	}
	for n := range root.Descendants() {
		values := []string{}
		for _, a := range n.Attr {
			values = append(values, a.Val)
		}
		if n.Type == html.TextNode {
			values = append(values, n.Data)
		}
		for _, v := range values {
			if v = strings.ReplaceAll(v, "\n", ""); terminal.Clean(v) != v {
				t.Errorf("%.60q: a character is in the page that is not to be seen: %.200q", text, v)
			}
			if len(v) > 1500 && n.Parent.Data != "style" && n.Parent.Data != "script" {
				t.Errorf("%.60q: a text of %d bytes", text, len(v))
			}
		}
	}
}

func TestLinksLeadToWebPagesAlone(t *testing.T) {
	for url, want := range map[string]bool{
		"https://github.com/you/shop/pull/1": true, "http://localhost:3000/you/shop/pulls/1": true, `https://example.org/"><script>x</script>`: true,
		"javascript:alert(1)": false, " https://example.org": false, "data:text/html,x": false, "file:///etc/passwd": false, "//example.org": false, "": false,
	} {
		p := full("word")
		p.Ready[0].URL = url
		root, _ := parse(t, p)
		links := elements(root, "a")
		if (len(links) == 1) != want {
			t.Errorf("%q makes %d links", url, len(links))
			continue
		}
		if want && !strings.HasPrefix(attr(links[0], "href"), "http") {
			t.Errorf("%q leads to %q", url, attr(links[0], "href"))
		}
	}
}

// A browser that obeys the policy runs the page's own script, and nothing else.
func TestPolicyAllowsTheOwnStyleAndScriptAlone(t *testing.T) {
	root, _ := parse(t, full("word"))
	policy := ""
	for _, m := range elements(root, "meta") {
		if attr(m, "http-equiv") == "Content-Security-Policy" {
			policy = attr(m, "content")
		}
	}
	style, script := elements(root, "style"), elements(root, "script")
	if len(style) != 1 || len(script) != 1 {
		t.Fatalf("%d styles, %d scripts", len(style), len(script))
	}
	want := "default-src 'none'; style-src " + hash(textOf(style[0])) + "; script-src " + hash(textOf(script[0])) + "; base-uri 'none'; form-action 'none'"
	if policy != want {
		t.Errorf("the policy is\n%s\nnot\n%s", policy, want)
	}
	for n := range root.Descendants() {
		for _, a := range n.Attr {
			if a.Key == "style" || a.Key == "src" || strings.HasPrefix(a.Key, "on") || a.Key == "href" && n.Data != "a" {
				t.Errorf("<%s> has the attribute %s", n.Data, a.Key)
			}
		}
	}
}

func TestPageStaysSmallHoweverMuchThereIs(t *testing.T) {
	p := full(strings.Repeat("月", 4000))
	repeat(&p.Needs, 1000)
	repeat(&p.Running, 999)
	repeat(&p.Waiting, 10000)
	repeat(&p.Review, 1000)
	repeat(&p.Ready, 1000)
	repeat(&p.Done, 10000)
	repeat(&p.Runs, 10000)
	repeat(&p.Shades, 1000)
	repeat(&p.Capacity.Holds, 1000)
	p.Capacity.Limit = 999
	for i := range p.Runs {
		p.Runs[i].Slot = strconv.Itoa(i%999 + 1)
	}
	root, data := parse(t, p)
	if len(data) >= 1e6 {
		t.Errorf("the page has %d bytes", len(data))
	}
	for _, want := range []string{"and 976 more: kugetsu", "and 9,976 more: kugetsu queue list", "and 9,988 more: kugetsu queue list --all", "earlier runs are not listed", "more runs are not drawn"} {
		if !strings.Contains(textOf(root), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

func repeat[T any](list *[]T, n int) {
	for len(*list) < n {
		*list = append(*list, (*list)[0])
	}
}

// The order is that of everything that people look at.
func TestSectionsStandInTheOrderOfTheHouse(t *testing.T) {
	root, _ := parse(t, full("word"))
	var got []string
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && (n.Data == "h1" || n.Data == "h2") {
			got = append(got, textOf(n))
		}
	}
	want := []string{"Word", "Needs you 1", "Working 1", "Waiting 1", "In review 1", "Ready to merge 1", "Done in 24 hours 1", "The last 24 hours", "The last 14 days", "Capacity"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestEmptyPageSaysSo(t *testing.T) {
	root, _ := parse(t, &Page{Overview: &overview.Overview{At: now, Healthy: true, Sentence: "all is well: nothing runs", Capacity: overview.Capacity{Limit: 2}}, Interval: time.Minute})
	text := strings.Join(strings.Fields(textOf(root)), " ")
	for _, want := range []string{"All is well: nothing runs", "Needs you 0 nothing", "Waiting 0 no task", "0 of 2 occupied", "No tick writes it anew", "No run in these hours."} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q:\n%s", want, text)
		}
	}
}

func TestCardsCarryTheirCommand(t *testing.T) {
	p := full("word")
	p.Server = "github.com"
	p.Needs[0].Command, p.Needs[0].ID = "kugetsu retry q_1", "timeout-abcdef"
	p.Running[0].IssueRef, p.Running[0].Item = "github.com/you/shop#1", "q_2"
	p.Waiting[0].IssueRef, p.Waiting[0].Item = "git.example.org/you/shop#2", "q_3"
	p.Done[0].Ref, p.Done[0].Item = "", "q_4" // of the PM agent
	root, _ := parse(t, p)
	var got []string
	for _, n := range elements(root, "p") {
		if strings.HasPrefix(attr(n, "class"), "command") {
			got = append(got, textOf(n))
		}
	}
	want := []string{"kugetsu retry q_1", "or kugetsu dismiss timeout-abcdef", "kugetsu logs -f you/shop#1", "kugetsu show git.example.org/you/shop#2", "kugetsu show word", "kugetsu show word", "kugetsu show q_4"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// Each outcome has a mark, and the legend names it.
func TestOutcomesHaveMarks(t *testing.T) {
	for _, row := range outcome.Rows[1:] {
		o := row.Outcome
		p := full("word")
		p.Runs[0].Outcome = string(o)
		s := p.strip()
		if mark := markOf(string(o)); mark == "completed" || mark == "running" {
			t.Errorf("%s looks like %s", o, mark)
		}
		if !slices.ContainsFunc(s.Legend, func(l span) bool { return l.Mark == markOf(string(o)) }) {
			t.Errorf("the legend does not explain %s", o)
		}
	}
	page := asset("page.html")
	for _, m := range marks {
		if !strings.Contains(page, `id="p-`+m.mark+`"`) {
			t.Errorf("there is no pattern for %s", m.mark)
		}
	}
}

func TestBarsLieWhereTheirRunsWere(t *testing.T) {
	at := func(hours float64) time.Time { return now.Add(-time.Duration(hours * float64(time.Hour))) }
	p := &Page{Overview: &overview.Overview{At: now, Capacity: overview.Capacity{Limit: 2}}, Runs: []ledger.Run{
		{IssueRef: "a/b/c#1", Slot: "1", NotifiedAt: at(30), EndedAt: at(25), Outcome: "ok"}, // over before the 24 hours
		{IssueRef: "a/b/c#2", Slot: "1", NotifiedAt: at(36), EndedAt: at(18), Outcome: "ok"}, // began before them
		{IssueRef: "a/b/c#3", Slot: "pm", NotifiedAt: at(12), EndedAt: at(6), Outcome: "failed"},
	}, Shades: []Shade{{From: at(48), Until: at(12), Says: "closed"}}}
	since := at(3)
	p.Running = []overview.Running{{SlotView: tick.SlotView{Slot: "2", Occupied: true, IssueRef: "a/b/c#4", Since: &since}}}
	s := p.strip()
	var got []string
	for _, b := range s.Bars {
		got = append(got, strings.Join([]string{b.Mark, b.X, b.Width, b.Y}, " "))
	}
	if want := []string{"completed 0.00 25.00 5", "failed 50.00 25.00 49", "running 87.50 12.50 27"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if len(s.Shades) != 1 || s.Shades[0].X != "0.00" || s.Shades[0].Width != "50.00" {
		t.Errorf("%+v", s.Shades)
	}
	if len(s.Table) != 3 || s.Table[0].Ref != "a/b/c#4" || s.Table[0].Slot != "slot 2" {
		t.Errorf("%+v", s.Table)
	}
	if says := s.Bars[1].Says; !strings.Contains(says, "a/b/c#3") || !strings.Contains(says, "failed") || !strings.Contains(says, "(6h)") {
		t.Errorf("%q", says)
	}
}

func TestDaysCountWhatEndedOnThem(t *testing.T) {
	p := &Page{Overview: &overview.Overview{At: now}}
	for i := range 10 {
		p.Runs = append(p.Runs, ledger.Run{NotifiedAt: now.Add(-time.Hour), EndedAt: now, Waited: float64(60 * (i + 1)), State: "completed", Cost: &outcome.Cost{USD: 0.5}})
	}
	p.Runs = append(p.Runs,
		ledger.Run{NotifiedAt: now.AddDate(0, 0, -1), EndedAt: now.AddDate(0, 0, -1), State: "error"},
		ledger.Run{NotifiedAt: now.AddDate(0, 0, -1), EndedAt: now.AddDate(0, 0, -1), State: "pending"},
		ledger.Run{NotifiedAt: now.AddDate(0, 0, -Days), EndedAt: now.AddDate(0, 0, -Days), State: "completed"}) // too old
	c := p.charts()
	if len(c.Table) != Days {
		t.Fatalf("%d days", len(c.Table))
	}
	if got, want := c.Table[0], (dayRow{"Sun 29 Nov", "10", "0", "10", "6m", "9m", "$5.00"}); got != want {
		t.Errorf("%+v", got)
	}
	if got, want := c.Table[1], (dayRow{"Sat 28 Nov", "0", "1", "2", "0s", "0s", "–"}); got != want {
		t.Errorf("%+v", got)
	}
	if now := c.Charts[2].Now; now != "today $5.00; in 14 days $5.00. 2 of 12 runs told none" {
		t.Errorf("%q", now)
	}
	if (&Page{Overview: &overview.Overview{At: now}}).charts() != nil {
		t.Error("there are charts of nothing")
	}
}

// A text has a contrast of 4.5 to what is behind it, and a drawing has one of 3, in both schemes.
func TestColoursContrast(t *testing.T) {
	css := asset("page.css")
	schemes := strings.SplitN(css, "@media (prefers-color-scheme: dark)", 2)
	for i, scheme := range schemes {
		colours := map[string]string{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{3,6})`).FindAllStringSubmatch(scheme, -1) {
			colours[m[1]] = m[2]
		}
		for _, text := range []string{"ink", "soft", "completed", "failed", "ended", "refused", "limited", "running"} {
			for _, behind := range []string{"paper", "card"} {
				if c := contrast(colours[text], colours[behind]); c < 4.5 {
					t.Errorf("scheme %d: %s on %s has a contrast of %.2f", i, text, behind, c)
				}
			}
		}
		for _, pair := range [][2]string{{"ink", "code"}, {"on-bad", "bad"}} {
			if c := contrast(colours[pair[0]], colours[pair[1]]); c < 4.5 {
				t.Errorf("scheme %d: %s has a contrast of %.2f", i, pair, c)
			}
		}
		if c := contrast(colours["void"], colours["paper"]); c < 3 {
			t.Errorf("scheme %d: void has a contrast of %.2f", i, c)
		}
	}
}

// contrast is the contrast of two colours, as #rgb or #rrggbb, by WCAG 2.2.
func contrast(a, b string) float64 {
	light := func(s string) float64 {
		s = strings.TrimPrefix(s, "#")
		if len(s) == 3 {
			s = string([]byte{s[0], s[0], s[1], s[1], s[2], s[2]})
		}
		sum := 0.0
		for i, share := range []float64{0.2126, 0.7152, 0.0722} {
			n, err := strconv.ParseUint(s[2*i:2*i+2], 16, 8)
			if err != nil {
				panic(err)
			}
			c := float64(n) / 255
			if c <= 0.04045 {
				c /= 12.92
			} else {
				c = math.Pow((c+0.055)/1.055, 2.4)
			}
			sum += share * c
		}
		return sum
	}
	x, y := light(a), light(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func TestCancelledTaskIsNoErrorOnThePage(t *testing.T) {
	p := Page{Overview: &overview.Overview{At: now, Done: []overview.Done{{Ref: "github.com/you/shop#1", Item: "q_1", At: now.Add(-time.Hour), State: queue.Errored, Error: "cancelled", Ended: "cancelled", Outcome: "failed"}}}}
	if one := p.done().Cards[0]; one.Tag != "cancelled" || one.Mark != outcome.Idle {
		t.Errorf("%q, %q", one.Tag, one.Mark)
	}
}
