package tick

import (
	"testing"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/outcome"
)

func TestNextRunIsToldOfTheLastInWhichAnAgentBegan(t *testing.T) {
	run := func(how outcome.Outcome) queue.Run { return queue.Run{Outcome: how, Summary: "why"} }
	ran := func(how outcome.Outcome) queue.Run {
		return queue.Run{Outcome: how, Summary: "why", StartedAt: &noon}
	}
	cut := ran(outcome.Cancelled)
	for _, tt := range []struct {
		name    string
		history []queue.Run
		want    string
	}{
		{"the first", nil, ""},
		{"after a failure", []queue.Run{run(outcome.Failed)}, "The run before this one did not succeed"},
		{"after a limit", []queue.Run{run(outcome.Failed), run(outcome.UsageLimit)}, "The run before this one was cut off by a usage limit"},
		{"nothing began since", []queue.Run{run(outcome.Lost), run(outcome.Void), run(outcome.StartFailed), run(outcome.Cancelled)}, "An earlier run was cut off"},
		{"after an outage", []queue.Run{run(outcome.Failed), ran(outcome.Outage)}, "The run before this one was cut off: the model's server did not answer"},
		{"a host was down since", []queue.Run{run(outcome.Failed), run(outcome.Outage)}, "An earlier run did not succeed"},
		{"nothing ever began", []queue.Run{run(outcome.Void), run(outcome.StartFailed)}, ""},
		{"what a human cancelled is over", []queue.Run{run(outcome.Failed), cut}, ""},
		{"what a human cancelled is over, though none began since", []queue.Run{run(outcome.Failed), cut, run(outcome.Void)}, ""},
		{"what went well is over", []queue.Run{run(outcome.Failed), run(outcome.OK)}, ""},
	} {
		got, said, refuted := previous(&queue.Item{History: tt.history})
		if refuted != nil {
			t.Errorf("%s: not verified: %+v", tt.name, refuted)
		}
		if got != tt.want || said == "why" != (tt.want != "") {
			t.Errorf("%s: %q, not %q; it said %q", tt.name, got, tt.want, said)
		}
	}
}

func TestNextRunIsToldWhyTheLastWasNotVerified(t *testing.T) {
	judged := &outcome.Verification{Command: "make", Code: 2, Why: "exit code 2"}
	no := queue.Run{Outcome: outcome.Unverified, Summary: "why", StartedAt: &noon, Evidence: outcome.Evidence{Verification: judged}}
	for _, tt := range []struct {
		name    string
		history []queue.Run
		told    bool
	}{
		{"at once", []queue.Run{no}, true},
		{"no agent began since", []queue.Run{no, {Outcome: outcome.Void}, {Outcome: outcome.Unverifiable}}, true},
		{"a newer run failed", []queue.Run{no, {Outcome: outcome.Failed, StartedAt: &noon}}, false},
		{"a newer run went well", []queue.Run{no, {Outcome: outcome.OK, StartedAt: &noon}}, false},
	} {
		how, _, refuted := previous(&queue.Item{History: tt.history})
		if (refuted == judged) != tt.told || tt.told && how != "" {
			t.Errorf("%s: %q, %+v", tt.name, how, refuted)
		}
	}
}

func TestVerificationIsNamedByTheItemTheRepositoryOrTheSetting(t *testing.T) {
	tick := newTick(t, time.Now)
	tick.Settings.Verify = "setting"
	known := repos{"github.com/you/own": {Verify: queue.Verify{Command: "repository"}}, "github.com/you/none": {Verify: queue.Verify{None: true}}}
	for _, tt := range []struct {
		ref, want, by string
		verify        queue.Verify
	}{
		{"github.com/you/other#1", "setting", "VERIFY_COMMAND", queue.Verify{}},
		{"github.com/you/own#1", "repository", "repos.json", queue.Verify{}},
		{"github.com/you/none#1", "", "", queue.Verify{}},
		{"github.com/you/none#1", "item", "--verify", queue.Verify{Command: "item"}},
		{"github.com/you/own#1", "", "", queue.Verify{None: true}},
		{"", "", "", queue.Verify{Command: "item"}},
	} {
		command, by := tick.verification(&queue.Item{IssueRef: tt.ref, Verify: tt.verify}, known)
		if command != tt.want || by != tt.by {
			t.Errorf("%s, %+v: %q by %q", tt.ref, tt.verify, command, by)
		}
	}
}
