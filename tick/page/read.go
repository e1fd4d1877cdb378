package page

import (
	"time"

	"kugetsu/queue/spool"
	"kugetsu/tick"
	"kugetsu/tick/overview"
)

// Read makes the page of a state folder. It takes no lock.
func Read(t *tick.Tick) (*Page, error) {
	o, err := overview.Read(t, cardsMost)
	if err != nil {
		return nil, err
	}
	runs, err := t.Queue.Ledger.Since(t.Now().AddDate(0, 0, -Days))
	if err != nil {
		return nil, err
	}
	shades, err := shades(t)
	if err != nil {
		return nil, err
	}
	return &Page{Overview: o, Runs: runs, Shades: shades, Server: t.Settings.GitServer, Interval: time.Duration(t.Settings.Interval) * time.Minute}, nil
}

// shades are the times of the last day in which RUN_HOURS was closed, and the times of the pause and the holds that are in force. A
// hold that is over leaves no file, so it has no shade.
func shades(t *tick.Tick) (list []Shade, err error) {
	now := t.Now()
	for _, w := range t.Settings.RunHours.Closed(now.Add(-stripLong), now) {
		list = append(list, Shade{From: w[0], Until: w[1], Says: "outside of RUN_HOURS"})
	}
	stands := func(p tick.Pause, says string) {
		one := Shade{From: now, Until: now, Says: says}
		if p.Since != nil && p.Since.Before(now) {
			one.From = *p.Since
		}
		list = append(list, one)
	}
	pause, err := tick.ReadPause(t.Home, now)
	if err != nil {
		return nil, err
	}
	if pause != nil {
		stands(*pause, pause.String())
	}
	holds, targets, err := tick.Holds(t.Home)
	for _, name := range targets {
		if h := holds[name]; !h.Ended(now) {
			stands(h.Pause, h.Text(name))
		}
	}
	return list, err
}

// Refresh writes the page to STATUS_PAGE, unless it was written within the last minute. A tick calls it after it has unlocked
// tick.lock.
func Refresh(t *tick.Tick) error {
	path := t.Settings.StatusPage
	if path == "" {
		return nil
	}
	written, err := spool.Exported(path)
	if err != nil {
		return err
	}
	if age := t.Now().Sub(written); age >= 0 && age < time.Minute { // a time in the future: the clock was set back
		return nil
	}
	p, err := Read(t)
	if err != nil {
		return err
	}
	p.Refreshed = true
	html, err := p.HTML()
	if err != nil {
		return err
	}
	return spool.Export(path, html, t.Folders()...)
}
