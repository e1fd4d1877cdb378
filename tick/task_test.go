package tick

import (
	"testing"

	"kugetsu/queue"
)

func TestNextRunIsToldOfTheLastInWhichAnAgentBegan(t *testing.T) {
	run := func(outcome queue.Outcome) queue.Run { return queue.Run{Outcome: outcome, Summary: "why"} }
	ran := func(outcome queue.Outcome) queue.Run {
		return queue.Run{Outcome: outcome, Summary: "why", StartedAt: &noon}
	}
	cut := ran(queue.Cancelled)
	for _, tt := range []struct {
		name    string
		history []queue.Run
		want    string
	}{
		{"the first", nil, ""},
		{"after a failure", []queue.Run{run(queue.Failed)}, "The run before this one did not succeed"},
		{"after a limit", []queue.Run{run(queue.Failed), run(queue.UsageLimit)}, "The run before this one was cut off by a usage limit"},
		{"nothing began since", []queue.Run{run(queue.Lost), run(queue.Void), run(queue.StartFailed), run(queue.Cancelled)}, "An earlier run was cut off"},
		{"after an outage", []queue.Run{run(queue.Failed), ran(queue.Outage)}, "The run before this one was cut off: the model's server did not answer"},
		{"a host was down since", []queue.Run{run(queue.Failed), run(queue.Outage)}, "An earlier run did not succeed"},
		{"nothing ever began", []queue.Run{run(queue.Void), run(queue.StartFailed)}, ""},
		{"what a human cancelled is over", []queue.Run{run(queue.Failed), cut}, ""},
		{"what a human cancelled is over, though none began since", []queue.Run{run(queue.Failed), cut, run(queue.Void)}, ""},
		{"what went well is over", []queue.Run{run(queue.Failed), run(queue.OK)}, ""},
	} {
		got, said := previous(&queue.Item{History: tt.history})
		if got != tt.want || said == "why" != (tt.want != "") {
			t.Errorf("%s: %q, not %q; it said %q", tt.name, got, tt.want, said)
		}
	}
}
