package agent

import (
	"math"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"kugetsu/queue/outcome"
)

// Events in short, as opencode writes them.
const (
	said     = `{"type":"text","sessionID":"ses_1","part":{"text":"done"}}` + "\n"
	stopped  = `{"type":"step_finish","sessionID":"ses_1","part":{"reason":"stop"}}` + "\n"
	acted    = `{"type":"tool_use","part":{"tool":"bash","state":{"status":"completed","input":{"command":"make"}}}}` + "\n"
	looked   = `{"type":"tool_use","part":{"tool":"read","state":{"status":"completed"}}}` + "\n"
	stepped  = `{"type":"step_finish","part":{"reason":"tool-calls"}}` + "\n"
	rejected = `The user rejected permission to use this specific tool call.`
	noRead   = `{"type":"tool_use","part":{"tool":"read","state":{"status":"error","input":{"filePath":"/x"},"error":"` + rejected + `"}}}` + "\n"
	noWrite  = `{"type":"tool_use","part":{"tool":"write","state":{"status":"error","input":{"filePath":"/x"},"error":"` + rejected + `"}}}` + "\n"
	noBash2x = `{"type":"tool_use","part":{"tool":"bash","state":{"status":"error","input":{"command":"make"},"error":"Permission denied: bash"}}}` + "\n"
	edited   = `{"type":"tool_use","part":{"tool":"edit","state":{"status":"completed","input":{"filePath":"y"}}}}` + "\n"
	broke    = `{"type":"error","error":{"name":"APIError","data":{"message":"overloaded","statusCode":529}}}` + "\n"
	broke2x  = `{"type":"error","error":{"type":"aborted","message":"Session interrupted"}}` + "\n"
	askedFor = "\x1b[93m\x1b[1m! \x1b[0mpermission requested: bash (git push); auto-rejecting\n"
)

func TestOpencodeRulesEventByEvent(t *testing.T) {
	for _, tt := range []struct {
		name           string
		stdout, stderr string
		outcome        outcome.Outcome
		summary        string
		permission     string
	}{
		{"nothing at all", "", "", outcome.Denied, "ended without an answer", ""},
		{"blank text is no answer", `{"type":"text","part":{"text":" \n"}}` + "\n" + stopped, "", outcome.Denied, "ended without an answer", ""},
		{"a tool call is no answer", said + acted + stepped, "", outcome.Denied, "ended without an answer\ndone", ""},
		{"a failed tool is no refusal", `{"type":"tool_use","part":{"tool":"bash","state":{"status":"error","error":"EACCES: permission denied"}}}` + "\n" + said + stopped, "", outcome.OK, "done", ""},

		{"an edit after a refused one", noWrite + stepped + edited + said + stopped, "", outcome.OK, "done", "write /x"},
		{"a command after a refused edit", noWrite + stepped + acted + said + stopped, "", outcome.Denied, "permission refused: write /x\ndone", "write /x"},
		{"a command after a refused edit and a refused one", noWrite + stepped + noBash2x + stepped + acted + said + stopped, "", outcome.Denied, "permission refused: bash make\ndone", "bash make"},
		{"a command after a refused one", noBash2x + stepped + acted + said + stopped, "", outcome.OK, "done", "bash make"},
		{"work in the step of the refusal", noWrite + acted + said + stopped, "", outcome.Denied, "permission refused: write /x\ndone", "write /x"},
		{"a look after a refused look", noRead + stepped + looked + said + stopped, "", outcome.OK, "done", "read /x"},
		{"a look after refused work", noWrite + stepped + looked + said + stopped, "", outcome.Denied, "permission refused: write /x\ndone", "write /x"},
		{"a look after both", noWrite + stepped + noRead + stepped + looked + said + stopped, "", outcome.Denied, "permission refused: read /x\ndone", "read /x"},
		{"refused again after work", noWrite + stepped + edited + stepped + noWrite + said + stopped, "", outcome.Denied, "permission refused: write /x\ndone", "write /x"},
		{"refused as 2.x says it", noBash2x + stepped + said + stopped, "", outcome.Denied, "permission refused: bash make\ndone", "bash make"},
		{"stderr names the permission", noWrite + stepped + edited + said + stopped, askedFor, outcome.OK, "done", "bash git push"},
		{"only stderr tells of a refusal", acted + stepped + said + stopped, askedFor, outcome.Denied, "permission refused: bash git push\ndone", "bash git push"},
		{"a refusal of nothing", `{"type":"tool_use","part":{"state":{"status":"error","error":"` + rejected + `"}}}`, "", outcome.Denied, "permission refused: unknown", "unknown"},

		{"an error is the end", said + stopped + broke, "", outcome.Outage, "overloaded (status 529)", ""},
		{"an error that 2.x went on after", broke2x + said + stopped, "", outcome.OK, "done", ""},
		{"an error of 2.x", said + stopped + broke2x, "", outcome.Failed, "Session interrupted", ""},
		{"an error without words", said + stopped + `{"type":"error","error":{"message":"\u0007"}}`, "", outcome.Failed, "the agent reported an error", ""},
		{"an error that is no object", said + stopped + `{"type":"error","error":"overloaded"}`, "", outcome.Failed, "the agent reported an error", ""},
		{"an error before a refusal", noWrite + stepped + broke, "", outcome.Outage, "overloaded (status 529)", "write /x"},
	} {
		p := opencode.Parser(time.Now)
		feed(p, tt.stdout, tt.stderr)
		got := p.Report(Exit{})
		checkReport(t, Exit{}, got)
		if got.Outcome != tt.outcome || !tells(got, tt.summary) || got.Refused.Last() != tt.permission {
			t.Errorf("%s:\n got %s %q %q\nwant %s %q %q", tt.name, got.Outcome, got.Summary+"\n"+got.Words, got.Refused.Last(), tt.outcome, tt.summary, tt.permission)
		}
	}
}

func TestStrangeLinesChangeNothing(t *testing.T) {
	good, _ := stream(t, "good")
	denied, _ := stream(t, "rule_gave_up")
	deep := strings.Repeat(`{"part":[`, 20_000) // deeper than encoding/json goes
	for _, line := range []string{
		"", " ", "null", "true", "[]", `"text"`, "12", "{}", "not json", "\xff\xfe", "{", deep,
		`{"type":"step_finish","part":{"reason":"stop","cost":NaN}} x`,
		`{"type":"reasoning","part":{"text":"hm"}}`,
		`{"type":"done","reason":"idle","rejected":[]}`,
		`{"type":7,"part":{"reason":"length"}}`,
		`{"type":["text"],"part":{"text":"other"}}`,
		`{"type":"text","part":{"text":5}}`,
		`{"type":"text","part":"other"}`,
		`{"type":"tool_use","part":{"tool":{},"state":{"status":"completed","metadata":{"exit":1}}}}`,
		`{"type":"text","part":{"text":"` + strings.Repeat("x", MaxLine) + `"}}`,
	} {
		for _, out := range []string{good, denied} {
			plain, strange := opencode.Parser(time.Now), opencode.Parser(time.Now)
			feed(plain, out, "")
			strange.Stdout([]byte(line))
			feed(strange, out, "")
			strange.Stdout([]byte(line))
			if got, want := strange.Report(Exit{}), plain.Report(Exit{}); !reflect.DeepEqual(got, want) {
				t.Errorf("%.60q:\n got %+v\nwant %+v", line, got, want)
			}
			if got, want := strange.Conversation(), plain.Conversation(); got != want {
				t.Errorf("%.60q: conversation %q, want %q", line, got, want)
			}
		}
	}
}

func TestFieldOfAnotherTypeHidesNoneOfTheOthers(t *testing.T) {
	p := opencode.Parser(time.Now)
	feed(p, said+`{"type":"step_finish","timestamp":"now","sessionID":"ses_1","part":{"cost":"much","tokens":[1],"reason":"stop"}}`, "")
	if got := p.Report(Exit{}); !reflect.DeepEqual(got, Report{Outcome: outcome.OK, Summary: "done", Words: "done"}) {
		t.Errorf("%+v", got)
	}
}

func TestIDThatIsAnOptionIsNotBelieved(t *testing.T) {
	for id, want := range map[string]string{
		`"ses_Ab-9"`:                         "ses_Ab-9",
		`"` + strings.Repeat("a", 128) + `"`: strings.Repeat("a", 128),
		`"` + strings.Repeat("a", 129) + `"`: "",
		`"-s"`:                               "",
		`"--share"`:                          "",
		`""`:                                 "",
		`"a b"`:                              "",
		`"a\n"`:                              "",
		`"../x"`:                             "",
		`"séance"`:                           "",
		`7`:                                  "",
		`null`:                               "",
		`{"id":"ses_1"}`:                     "",
	} {
		p := opencode.Parser(time.Now)
		p.Stdout([]byte(`{"type":"step_start","sessionID":` + id + `}`))
		if got := p.Conversation(); got != want {
			t.Errorf("%.40s: %q, want %q", id, got, want)
		}
	}
}

func TestCostsThatCannotBeAreLeftOut(t *testing.T) {
	p := opencode.Parser(time.Now)
	for _, part := range []string{
		`{"cost":0.5,"tokens":{"input":10,"output":1,"reasoning":2,"cache":{"read":3,"write":4}}}`,
		`{"cost":-1,"tokens":{"input":-10,"output":-1}}`,
		`{"cost":1.7e308,"tokens":{"input":9223372036854775807,"cache":{"read":1e30}}}`,
		`{"cost":1.7e308,"tokens":{"input":1.5}}`,
		`{"cost":1e999,"tokens":{"input":99999999999999999999}}`,
		`{"cost":null,"tokens":null}`,
	} {
		p.Stdout([]byte(`{"type":"step_finish","part":` + part + `}`))
	}
	got := p.Report(Exit{}).Cost
	want := outcome.Cost{USD: 1.7e308, Input: 10, Output: 1, Reasoning: 2, CacheRead: 3, CacheWrite: 4}
	if got != want || math.IsInf(got.USD, 0) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func FuzzOpencode(f *testing.F) {
	for _, tt := range captured {
		out, errOut := stream(f, tt.stream)
		f.Add(out, errOut, tt.code, 0)
	}
	for _, line := range []string{said + stopped, noWrite + stepped + acted, broke2x, noBash2x} {
		f.Add(line, askedFor, 0, 9)
	}
	f.Fuzz(func(t *testing.T, stdout, stderr string, code, signal int) {
		p := opencode.Parser(time.Now)
		feed(p, stdout, stderr)
		if id := p.Conversation(); id != "" && !isConversation(id) {
			t.Errorf("conversation %q", id)
		}
		for _, exit := range []Exit{{Code: code, Signal: syscall.Signal(signal)}, {}} {
			r := p.Report(exit)
			checkReport(t, exit, r)
			if again := p.Report(exit); !reflect.DeepEqual(again, r) {
				t.Errorf("asked twice: %+v, then %+v", r, again)
			}
			if r.Outcome == outcome.OK && r.Summary == "" {
				t.Errorf("ok without an answer: %+v", r)
			}
		}
	})
}
