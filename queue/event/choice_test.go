package event

import (
	"slices"
	"testing"
)

func TestChoiceIsReadFromLeftToRight(t *testing.T) {
	usual := []Type{TaskCompleted, TaskError, PRReady, NeedsHuman, QueueEmpty, AgentHeld, AgentLifted, RoomLow, RoomBack, AgentMissing, AgentBack, VerifierMissing, VerifierBack, FileBad, Digest}
	every := All()
	less := func(list []Type, gone ...Type) []Type {
		return slices.DeleteFunc(slices.Clone(list), func(t Type) bool { return slices.Contains(gone, t) })
	}
	for _, c := range []struct {
		text string
		want []Type // nil: refused
	}{
		{"", usual},
		{"default", usual},
		{"all", every},
		{"task_error", []Type{TaskError}},
		{"task_error,agent_held", []Type{TaskError, AgentHeld}},
		{" task_error ,\tagent_held\n", []Type{TaskError, AgentHeld}},
		{"default task_retry", append(slices.Clone(usual), TaskRetry)},
		{"-queue_empty", less(usual, QueueEmpty)},
		{"-queue_empty task_queued", append(less(usual, QueueEmpty), TaskQueued)},
		{"all -task_started -file_bad", less(every, TaskStarted, FileBad)},
		{"all -default", less(every, usual...)},
		{"task_error -task_error task_error", []Type{TaskError}},
		{"-all task_error", []Type{TaskError}},
		{"task_error -task_error", nil},
		{"task_errors", nil},
		{"ALL", nil},
		{"-", nil},
		{"test", nil}, // it is asked for, never chosen
	} {
		var choice Choice
		if err := choice.UnmarshalText([]byte(c.text)); (err == nil) != (c.want != nil) {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		for _, kind := range every {
			if c.want != nil && choice.Has(kind) != slices.Contains(c.want, kind) {
				t.Errorf("%q has %s: %t", c.text, kind, choice.Has(kind))
			}
		}
	}
}

func TestEventThatIsNotWantedIsNotOwed(t *testing.T) {
	b := newBox(t)
	b.Wanted = Choice("task_error").Has
	must(t, b.Put(Event{Name: "a", Type: TaskQueued}))
	must(t, b.Put(Event{Name: "b", Type: TaskError}))
	b.want("listed", b.listed(), "a", "b")
	b.want("owed", b.owed(), "b")
}
