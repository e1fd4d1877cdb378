package contrib

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kugetsu/contrib/internal/rig"
	"kugetsu/queue/event"
	"kugetsu/slots/agent"
	"kugetsu/tick/command"
	"kugetsu/tick/settings"
)

// pages are README and the pages of contrib/doc, by their paths from here.
func pages(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("doc/*.md")
	if err != nil || len(names) < 8 {
		t.Fatalf("%q, %v", names, err)
	}
	texts := map[string]string{}
	for _, name := range append(names, "../README.md", "SKILL.md") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(text)
	}
	return texts
}

// parse lets the real grammar parse command lines. It returns what is wrong with each, or "".
func parse(t *testing.T, lines [][]string) []string {
	t.Helper()
	in, err := json.Marshal(lines)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(rig.Kugetsu(t), "grammar", "--parse")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	var wrong []string
	if err == nil {
		err = json.Unmarshal(out, &wrong)
	}
	if err != nil || len(wrong) != len(lines) {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return wrong
}

// placeholders are words of a document that stand for others. The command line must parse with an example in their place.
var placeholders = strings.NewReplacer("<id>", "q_1", "<agent>", "claude", "<issue-ref>", "owner/repo#12", "…", "words", " [-f]", " -f")

func TestCommandLinesOfThePagesParse(t *testing.T) {
	var from []string
	var lines [][]string
	for name, text := range pages(t) {
		found := 0
		for _, m := range called.FindAllStringSubmatch(text, -1) {
			line, _, _ := strings.Cut(placeholders.Replace(m[1]), " # ")
			if strings.HasPrefix(line, " <") { // any command, or an email
				continue
			}
			words, err := agent.Split(line)
			if err != nil {
				t.Errorf("%s: kugetsu%s: %v", name, m[1], err)
				continue
			}
			from, lines, found = append(from, name+": kugetsu"+m[1]), append(lines, words), found+1
		}
		if name == "../README.md" && found < 15 || name == "doc/operations.md" && found < 5 {
			t.Errorf("%s: only %d command lines were found", name, found)
		}
	}
	for i, wrong := range parse(t, lines) {
		if wrong != "" && !(lacksArgs.MatchString(wrong) && named.MatchString(strings.Join(lines[i], " "))) {
			t.Errorf("%s: %s", from[i], wrong)
		}
	}
}

// A sentence may name a command without its arguments.
var (
	lacksArgs = regexp.MustCompile(`^(?:expected|missing positional)`)
	named     = regexp.MustCompile(`^[a-z-]+(?: [a-z]+)?$`)
)

var (
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading  = regexp.MustCompile(`(?m)^#+ (.+)$`)
	fileName = regexp.MustCompile("`((?:contrib|queue|slots|tick)/[a-z0-9_./-]+|[.]ci/run|main[.]go)`")
	code     = regexp.MustCompile("(?ms)^```.*?^```\n|^    .*?$|`[^`\n]+`")
)

// anchors are the headings of a page, as links name them.
func anchors(text string) []string {
	var all []string
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		name := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case strings.ContainsRune("`'’,.:;()/", r):
				return -1
			}
			return r
		}, strings.ToLower(m[1]))
		all = append(all, name)
	}
	return all
}

func TestLinksAndFilesOfThePagesExist(t *testing.T) {
	texts := pages(t)
	for name, text := range texts {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			path, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(path, "://") {
				continue
			}
			target := name
			if path != "" {
				target = filepath.Join(filepath.Dir(name), path)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %s: %v", name, m[1], err)
			}
			target, _ = strings.CutPrefix(target, "../contrib/")
			if anchor != "" && !slices.Contains(anchors(texts[target]), anchor) {
				t.Errorf("%s: %s has no heading %q", name, target, anchor)
			}
		}
		for _, m := range fileName.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "/items/") { // of the state folder
				continue
			}
			// queue/ and slots/ are folders of the state folder, too.
			if _, err := os.Stat(filepath.Join("..", m[1])); err != nil && !stateFolder.MatchString(m[1]) {
				t.Errorf("%s: there is no %s", name, m[1])
			}
		}
	}
}

// stateFolder are the paths of the state folder that begin like those of the project.
var stateFolder = regexp.MustCompile(`^(?:queue/(?:items|pm|finished|bad)/?|slots/k[.](?:lock|json))$`)

var upper = regexp.MustCompile("`?\\b([A-Z][A-Z0-9]*_[A-Z0-9_]*[A-Z0-9])\\b")

// others are variables that are no settings: of agents, of forges, of what kugetsu gives.
var others = []string{
	"KUGETSU_DIR", "KUGETSU_ITEM", "KUGETSU_ISSUE", "KUGETSU_RUN", "KUGETSU_REPOSITORY", "KUGETSU_WRITABLE", "KUGETSU_UNVERIFIED",
	"GH_TOKEN", "GITHUB_TOKEN", "GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN", "GH_HOST", "GITLAB_TOKEN", "GITLAB_HOST",
	"GITEA_TOKEN", "GITEA_URL", "FORGEJO_TOKEN", "FORGEJO_URL", "FORGE_API", "IS_SANDBOX",
}

func TestSettingsOfThePagesExist(t *testing.T) {
	known := slices.Concat(settings.Keys(), settings.Base, others)
	for name, text := range pages(t) {
		for _, m := range upper.FindAllStringSubmatch(text, -1) {
			if !slices.Contains(known, m[1]) && !strings.Contains(text, "`"+m[1]+"*`") && !strings.Contains(text, m[1]+"_*") {
				t.Errorf("%s: there is no setting %s", name, m[1])
			}
		}
	}
}

// eventRow is a row of the table of events: types, and whether they are told by default.
var eventRow = regexp.MustCompile("(?m)^\\| ((?:`[a-z_]+`(?:, )?)+) \\| (yes)? ?\\|")

func TestPageOfEventsIsTrue(t *testing.T) {
	page := pages(t)["doc/events.md"]
	var rows []event.Type
	for _, m := range eventRow.FindAllStringSubmatch(page, -1) {
		for name := range strings.SplitSeq(strings.ReplaceAll(m[1], "`", ""), ", ") {
			kind := event.Type(name)
			if kind == event.Test {
				continue
			}
			rows = append(rows, kind)
			if told := event.Choice("").Has(kind); told != (m[2] == "yes") {
				t.Errorf("%s is told by default: %t", kind, told)
			}
		}
	}
	if !slices.Equal(rows, event.All()) {
		t.Errorf("the table has\n%s\nand there are\n%s", rows, event.All())
	}
	_, rest, _ := strings.Cut(page, "```\n{")
	example, _, _ := strings.Cut(rest, "```")
	var ev event.Event
	dec := json.NewDecoder(strings.NewReader("{" + example))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&ev); err != nil {
		t.Fatal(err)
	}
	want, err := json.Marshal(ev)
	var got bytes.Buffer
	if err = errors.Join(err, json.Compact(&got, []byte("{"+example))); err != nil || got.String() != string(want) {
		t.Errorf("the example is\n%s\nand would be\n%s\n%v", got.String(), want, err)
	}
}

// settingRow is a row of README's table: name and default.
var settingRow = regexp.MustCompile("(?m)^\\| `([A-Z_]+)` \\| (?:`([^`]*)`)? ?\\|")

func TestReadmeSettingsHaveTheirDefaults(t *testing.T) {
	g, err := grammar()
	if err != nil {
		t.Fatal(err)
	}
	defaults := map[string]string{}
	for _, f := range g.Flags {
		if f.Key != "" {
			defaults[f.Key] = f.Default
		}
	}
	rows := settingRow.FindAllStringSubmatch(pages(t)["../README.md"], -1)
	if len(rows) != 10 {
		t.Errorf("README names %d settings", len(rows))
	}
	for _, row := range rows {
		if value, ok := defaults[row[1]]; !ok || value != row[2] {
			t.Errorf("the default of %s is %q, not %q", row[1], value, row[2])
		}
	}
}

// readmeMost is the size of README in bytes that a person reads in about three minutes.
const readmeMost = 7400

func TestReadmeIsShort(t *testing.T) {
	if n := len(pages(t)["../README.md"]); n > readmeMost {
		t.Errorf("README has %d bytes, more than %d: contrib/doc is the place for more", n, readmeMost)
	}
}

// riddle are words that hide the subject of a sentence: a sentence says which person, which file.
var riddle = regexp.MustCompile(`\b(?i:nobody|somebody)\b|(?:^|[.!?] |^- |^[0-9]+[.] )(?:What|Who|Whoever|None) `)

func TestPagesSayWho(t *testing.T) {
	for name, text := range pages(t) {
		for n, line := range strings.Split(code.ReplaceAllString(text, ""), "\n") {
			if word := riddle.FindString(line); word != "" {
				t.Errorf("%s: %q in %q", name, word, fmt.Sprintf("%d: %s", n+1, line))
			}
		}
	}
}

func TestCommandsHaveLongHelpWithExitCodesAndExamples(t *testing.T) {
	g, err := grammar()
	if err != nil {
		t.Fatal(err)
	}
	var from []string
	var lines [][]string
	var check func(words string, n command.Node)
	check = func(words string, n command.Node) {
		for _, c := range n.Commands {
			check(strings.TrimSpace(words+" "+c.Name), c)
		}
		if len(n.Commands) > 0 {
			return
		}
		text, rest, _ := strings.Cut(n.Detail, "Exit codes:\n")
		codes, examples, _ := strings.Cut(rest, "Examples:\n")
		if strings.TrimSpace(text) == "" || !strings.Contains(codes, "\n   0  ") {
			t.Errorf("kugetsu %s has no long help with exit codes: %q", words, n.Detail)
		}
		if riddle.MatchString(n.Detail) {
			t.Errorf("kugetsu %s: %q", words, riddle.FindString(n.Detail))
		}
		least := 2
		if len(n.Args) == 0 && len(n.Flags) == 0 {
			least = 1
		}
		found := strings.Split(strings.TrimSpace(examples), "\n")
		if len(found) < least {
			t.Errorf("kugetsu %s has %d examples", words, len(found))
		}
		for _, line := range found {
			line = strings.TrimSpace(line)
			split, err := agent.Split(line)
			if err != nil || len(split) == 0 || split[0] != "kugetsu" || !strings.HasPrefix(line, "kugetsu "+strings.TrimPrefix(words, "queue ")) && !strings.HasPrefix(line, "kugetsu "+words) && words != "status" {
				t.Errorf("kugetsu %s: %q is no example of it: %v", words, line, err)
				continue
			}
			from, lines = append(from, line), append(lines, split[1:])
		}
	}
	check("", g)
	for i, wrong := range parse(t, lines) {
		if wrong != "" {
			t.Errorf("%s: %s", from[i], wrong)
		}
	}
}

// inDesign is what design.md names in the source, by file.
var inDesign = map[string][]string{
	"tick/fill.go":              {"func (t *Tick) hand("},
	"tick/dispatch.go":          {"func (t *Tick) Dispatch("},
	"tick/eligible.go":          {"type Kind ", "var kinds = ", "type policy interface", "eligibility("},
	"tick/closed.go":            {"closed() Reason"},
	"tick/after.go":             {") why(", ") starts("},
	"tick/holding.go":           {") why(", ") starts("},
	"tick/settings/settings.go": {") check("},
	"slots/agent/limit.go":      {"func verdict("},
	"slots/agent/agent.go":      {"var presets = ", "type Preset struct"},
	"queue/transition.go":       {"settle("},
	"slots/agent/reset.go":      {"package agent"},
}

func TestDesignNamesWhatIsThere(t *testing.T) {
	design := pages(t)["doc/design.md"]
	for file, all := range inDesign {
		source, err := os.ReadFile(filepath.Join("..", file))
		if err != nil {
			t.Error(err)
		}
		for _, text := range all {
			if !strings.Contains(string(source), text) {
				t.Errorf("%s has no %q any more: contrib/doc/design.md speaks of it", file, text)
			}
		}
		if base := filepath.Base(file); !strings.Contains(design, base) && !strings.Contains(design, filepath.Dir(file)) {
			t.Errorf("contrib/doc/design.md does not name %s", file)
		}
	}
	for _, floor := range []string{"tick", "slots", "queue"} {
		entries, err := os.ReadDir(filepath.Join("..", floor))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.IsDir() && e.Name() != "testdata" && !strings.Contains(design, "`"+e.Name()+"`") {
				t.Errorf("contrib/doc/design.md does not name the package %s/%s", floor, e.Name())
			}
		}
	}
}

func TestEventsAndOutcomesAreExplained(t *testing.T) {
	page := pages(t)["doc/outcomes.md"] + pages(t)["doc/events.md"]
	constant := regexp.MustCompile(`(?m)^\t[A-Z][A-Za-z]+ +(?:Type|Outcome) = "([a-z_]+)"`)
	top, err := filepath.Glob("../queue/*.go")
	below, err2 := filepath.Glob("../queue/*/*.go")
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	found := 0
	for _, name := range append(top, below...) {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range constant.FindAllStringSubmatch(string(source), -1) {
			if found++; !strings.Contains(page, "`"+m[1]+"`") {
				t.Errorf("neither outcomes.md nor events.md explains %s", m[1])
			}
		}
	}
	if found < 24 {
		t.Errorf("only %d events and outcomes were found in queue/", found)
	}
}
