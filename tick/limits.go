package tick

import (
	"fmt"
	"strconv"

	"kugetsu/queue"
	"kugetsu/slots"
)

// slotLimit is the policy that the slots of a lane limit what runs.
type slotLimit struct {
	t        *Tick
	occupied *occupied
	begun    map[queue.Lane]bool // an item of this pass got a slot
}

// full is why a lane has no free slot; the zero Reason if it has one.
func (p *slotLimit) full(lane queue.Lane) Reason {
	k, most := p.occupied, p.t.Settings.MaxAgents
	free := k.dev < most
	if lane == queue.PM {
		free = !k.slots[slots.PMSlot]
	}
	r := Reason{Kind: SlotsOccupied}
	switch {
	case free:
		return Reason{}
	case p.begun[lane]:
		r.Text = "no free slot"
	case lane == queue.PM:
		r.Text = "the PM agent works on another"
	case k.dev > most: // the limit was lowered
		r.Text = fmt.Sprintf("%d of %d slots are occupied", k.dev, most)
	case most == 1:
		r.Text = "the only slot is occupied"
	default:
		r.Text = fmt.Sprintf("all %d slots are occupied", most)
	}
	return r
}

func (p *slotLimit) why(c *candidate) Reason { return p.full(c.lane) }

// starts occupies a slot, unless the hand-over has done that.
func (p *slotLimit) starts(c *candidate) {
	if p.begun == nil {
		p.begun = map[queue.Lane]bool{}
	}
	p.begun[c.lane] = true
	if p.occupied.items[c.it.ID] {
		return
	}
	slot := slots.PMSlot
	if c.lane == queue.Dev {
		for n := 1; slot == slots.PMSlot || p.occupied.slots[slot]; n++ {
			slot = strconv.Itoa(n)
		}
	}
	in := &slots.Intent{Item: c.it.ID, Run: c.it.Runs + 1, Session: c.name}
	p.t.engineFor(c.lane).intend(in)
	p.occupied.occupy(slot, in)
}

// sessions is the policy that one run at a time works on an issue.
type sessions struct {
	occupied *occupied
	begun    map[string]bool // an item of this pass works there
}

func (p *sessions) why(c *candidate) Reason {
	switch {
	case p.begun[c.name]:
		return Reason{Kind: Behind, Text: "an item before it works on this issue"}
	case p.occupied.sessions[c.name]:
		return busySession
	}
	return Reason{}
}

func (p *sessions) starts(c *candidate) {
	if p.begun == nil {
		p.begun = map[string]bool{}
	}
	p.begun[c.name] = true
}

var busySession = Reason{Kind: SessionBusy, Text: "another run works on this issue"}
