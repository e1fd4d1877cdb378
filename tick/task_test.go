package tick

import (
	"testing"

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
		got, said := previous(&queue.Item{History: tt.history})
		if got != tt.want || said == "why" != (tt.want != "") {
			t.Errorf("%s: %q, not %q; it said %q", tt.name, got, tt.want, said)
		}
	}
}
