package tick

import "time"

// notice says that a tick waits for tick.lock, so that runs which end meanwhile need no tick of their own (slots.AnnouncePass). It is
// taken back after half of the wait: who saw it has a tick that waits for as long again.
type notice struct {
	tick  *Tick
	until time.Time
	given bool
	take  func() error // takes it back; nil: it is not given
}

func (n *notice) waits() {
	switch {
	case time.Now().After(n.until):
		n.end()
	case !n.given:
		n.given = true
		var err error
		if n.take, err = n.tick.Home.AnnouncePass(); err != nil { // runs that end start ticks of their own
			n.tick.Log.Warn("it could not be said that a tick waits", "err", err)
		}
	}
}

func (n *notice) end() {
	if n.take == nil {
		return
	}
	if err := n.take(); err != nil {
		n.tick.Log.Warn("it could not be taken back that a tick waits", "err", err)
	}
	n.take = nil
}
