package digest

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"kugetsu/queue/event"
	"kugetsu/queue/spool"
	"kugetsu/slots"
	"kugetsu/tick"
)

// Send puts the digest of a day as the event digest, if DIGEST_AT has passed since the last digest. A tick calls it after it has unlocked
// tick.lock. If the machine was off at DIGEST_AT, the first tick after that puts the event.
//
// The event comes before the mark, and its name is made of the day. So after a crash between the two, the next tick finds the event
// and writes only the mark. If there is no earlier mark, Send puts no event: it sets the mark, and the next digest begins there.
func Send(t *tick.Tick) error {
	day := t.Settings.DigestAt.Due(t.Now())
	if day == "" || t.Config != nil { // with a bad configuration, nothing is told either
		return nil
	}
	last, err := sent(t.Home).ReadGood()
	if err != nil || last != nil && last.Day == day { // an idle tick ends here
		return err
	}
	if err := spool.MakeDirs(dir(t.Home)); err != nil {
		return err
	}
	lock, err := slots.TryLock(filepath.Join(dir(t.Home), "send.lock"))
	if errors.Is(err, slots.ErrBusy) { // another pass is at it
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	if last, err = sent(t.Home).ReadGood(); err != nil || last != nil && last.Day == day {
		return err
	}
	return send(t, day, last)
}

func send(t *tick.Tick, day string, last *Mark) error {
	since := t.Now()
	if last != nil {
		since = last.Since(since)
		if err := spool.Sweep(dir(t.Home), t.Now(), last.At); err != nil {
			return err
		}
	}
	d, err := Read(t, since, last, MostWaiting)
	if err != nil {
		return err
	}
	at := d.At
	if last != nil {
		if at, err = d.tell(t.Queue.Events, day); err != nil {
			return err
		}
	}
	m := d.mark(at)
	m.Day = day
	return sent(t.Home).Write(&m)
}

// tell puts the event, and returns the time of the digest in it. If the event exists, that is the time of an earlier digest: a tick
// died before it wrote the mark, or the clock was set back to a day that had its digest.
func (d *Digest) tell(box *event.Box, day string) (time.Time, error) {
	name := fmt.Sprintf("%s.%s", event.Digest, day)
	told, err := box.Find(name)
	switch {
	case errors.Is(err, spool.ErrBad): // edited by hand: when it was told is not known
		return d.At, nil
	case err != nil:
		return d.At, err
	case told != nil:
		return told.At, nil
	}
	return d.At, box.Put(event.Event{Name: name, Type: event.Digest, Text: d.Brief(), Markdown: d.Markdown()})
}
