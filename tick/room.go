package tick

import (
	"errors"
	"fmt"

	"github.com/dustin/go-humanize"

	"kugetsu/queue/fault"
	"kugetsu/slots/machine"
)

// room is the memory and disk for one more agent, as read once. A slot alone does not make an agent fit: three agents that just
// began use little memory, and will use more.
type room struct {
	need      int64 // bytes, AGENT_MEMORY; 0: memory is not checked
	available int64 // bytes
	unknown   error // why the memory, available or used, is not known
	running   int   // runs that occupy a slot, the PM agent's too
	growing   int   // those that use less than they need
	reserved  int64 // bytes that those may still take

	minFree int64 // bytes, MIN_FREE_DISK; 0: the disk is not checked
	free    int64 // bytes
	disk    error // why the free disk is not known
}

// room reads the capacity. For every occupied slot AGENT_MEMORY is reserved, less what its run uses now. A run that began an instant
// ago, or whose use is not known, reserves all of it.
func (t *Tick) room(k *taken) *room {
	r := &room{need: int64(t.Settings.AgentMemory), minFree: int64(t.Settings.MinFreeDisk), running: len(k.slots)}
	if r.minFree > 0 {
		r.free, r.disk = machine.FreeDisk(string(t.Home))
	}
	if r.need == 0 {
		return r
	}
	r.available, r.unknown = t.Machine.Available()
	if errors.Is(r.unknown, errors.ErrUnsupported) { // on this system only the slots limit the agents
		r.need, r.unknown = 0, nil
		return r
	}
	if r.unknown != nil || r.running == 0 {
		return r
	}
	used, err := machine.Used()
	if err != nil {
		r.unknown = err
		return r
	}
	for run := range k.runs {
		r.reserve(used[run])
	}
	for range r.running - len(k.runs) { // slots whose run is not known
		r.reserve(0)
	}
	return r
}

// reserve adds the memory that a run may still take beyond its present use.
func (r *room) reserve(used int64) {
	if left := r.need - used; left > 0 {
		r.growing++
		r.reserved += left
	}
}

// start counts one more run, which uses nothing yet.
func (r *room) start() {
	r.running++
	r.reserve(0)
}

// full says why one more agent must not be started now, or "". The error is for what could not be read: unknown is not enough. The
// first agent may always run: memory does not stop it, known or not.
func (r *room) full() (string, error) {
	switch {
	case r.disk != nil:
		return "", fmt.Errorf("the free disk is not known: %w", r.disk)
	case r.free < r.minFree:
		return fmt.Sprintf("disk: %s free where the state folder is, and MIN_FREE_DISK is %s", size(r.free), size(r.minFree)), nil
	case r.need == 0 || r.running == 0:
		return "", nil
	case r.unknown != nil:
		return "", fmt.Errorf("the available memory is not known: %w", r.unknown)
	case r.available-r.reserved >= r.need:
		return "", nil
	}
	spoken := ""
	if r.growing > 0 {
		agents := "an agent"
		if r.growing > 1 {
			agents = fmt.Sprintf("%d agents", r.growing)
		}
		spoken = fmt.Sprintf("%s of it for %s that may still grow, ", size(r.reserved), agents)
	}
	return fmt.Sprintf("memory: %s available, %sand an agent needs %s", size(r.available), spoken, size(r.need)), nil
}

// why is full for snapshots.
func (r *room) why() string {
	why, err := r.full()
	if err != nil {
		return err.Error()
	}
	return why
}

// lookRoom sets in a view why the machine has no capacity for one more agent.
func (t *Tick) lookRoom(v *View) {
	r := t.room(v.taken)
	why, err := r.full()
	if err != nil {
		why = err.Error()
		v.problem("%v", err)
	}
	if why != "" {
		v.Why, v.Hint = why, r.hint()
	}
}

// hint is what to do about it.
func (r *room) hint() string {
	if r.disk != nil || r.free < r.minFree {
		return "free some space, or lower MIN_FREE_DISK"
	}
	return "an agent that ends makes room; AGENT_MEMORY is what each is taken to need, and 0 counts none"
}

// size prints bytes in the form of a setting.
func size(n int64) string { return humanize.Bytes(uint64(max(n, 0))) }

// errNoRoom is wrapped when the machine has no capacity for one more agent.
var errNoRoom = errors.New("nothing is started")

// admit refuses to start one more agent if the machine has no capacity for it. After that this pass starts nothing more, in no lane:
// the end of a run begins another pass. Unknown capacity is an error (exit code 75).
func (t *Tick) admit(k *taken, report *Report) error {
	if k.noRoom {
		return errNoRoom
	}
	r := t.room(k)
	why, err := r.full()
	if err == nil && why == "" {
		return nil
	}
	k.noRoom = true
	if err != nil {
		report.Why = append(report.Why, err.Error())
		return fault.New(fault.Temp, r.hint(), "%w: %w", errStop, err)
	}
	report.Why = append(report.Why, why)
	k.lack, k.lackHint = why, r.hint()
	return fault.New(fault.Temp, r.hint()+"; kugetsu delegate enqueues", "%w: %s", errNoRoom, why)
}
