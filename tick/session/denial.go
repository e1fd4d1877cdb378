package session

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"kugetsu/queue/event"
	"kugetsu/queue/issueref"
	"kugetsu/queue/spool"
	"kugetsu/slots"
	"kugetsu/slots/forge"
)

// Denial is a host that does not show requests which are followed, or does not answer.
type Denial struct {
	Host         string
	Ref          string // the issue of one of them
	Requests     int
	Passing      bool      // there was no answer, and not for long: that may pass by itself
	Changed      bool      // the env files are other ones now: the reason may be gone
	Since        time.Time // of the first
	AskedAt      time.Time // when one of them was asked about last
	Next         time.Time // when one of them is asked about next, by the first tick after it
	forge.Denial           // of one of them
}

// What says what is not shown.
func (d Denial) What() string {
	which := "a pull request that is followed"
	if d.Requests > 1 {
		which = fmt.Sprintf("%d pull requests that are followed", d.Requests)
	}
	if d.Unanswered {
		return "no answer from " + d.Host + " about " + which
	}
	return d.Host + " does not show all of " + which
}

// changed is the reason that is told where the env files are other ones now.
const changed = "an env file has changed since"

// Text is why.
func (d Denial) Text() string {
	if d.Changed {
		return changed
	}
	return d.Denial.Text()
}

// Remedy is what a person can do. The file is that of a token.
func (d Denial) Remedy(file string) string {
	if d.Changed {
		return "run kugetsu tick, which asks again"
	}
	return d.Denial.Remedy(file) + ", or end with FOLLOW_PR what is not to be followed"
}

// passing says whether there was no answer, and the questions without one are not yet spread over two intervals. The time of the last
// question counts, not the clock: without ticks one error would last.
func (k *Keeper) passing(r Review) bool {
	return r.Denied.Unanswered && r.AskedAt.Sub(r.Denied.Since) < 2*k.Settings.FollowInterval
}

// Denials are those hosts, in the order of the sessions, of which these are looked at.
func (k *Keeper) Denials(sessions []string) (list []Denial, err error) {
	limits, err := readLimits(k.Home)
	if err != nil {
		return nil, err
	}
	with := k.envMark()
	for _, name := range sessions {
		s, err := k.Home.ReadSession(name)
		if err != nil || s == nil {
			continue
		}
		r, err := ReadReview(k.Home, name, s.PRURL)
		if err != nil {
			return nil, err
		}
		if r.Denied == nil || !r.waits() || !k.follows(name) {
			continue
		}
		host := (&question{session: s, Review: r}).host()
		next := r.AskedAt.Add(r.every(k.Settings.FollowInterval))
		outdated := r.outdated(with)
		if outdated {
			next = r.AskedAt
		}
		if until := limits[host]; limits.refuses(host, k.Now()) && until.After(next) {
			next = until
		}
		i := slices.IndexFunc(list, func(d Denial) bool { return d.Host == host })
		if i < 0 {
			i, list = len(list), append(list, Denial{Host: host, Ref: s.IssueRef, Passing: true, Changed: true, Since: r.Denied.Since, Next: next, Denial: r.Denied.Denial})
		}
		d := &list[i]
		d.Requests++
		d.Passing = d.Passing && k.passing(r)
		if d.Unanswered && !r.Denied.Unanswered || d.Changed && !outdated { // what a person has to do something about goes before
			d.Denial = r.Denied.Denial
		}
		d.Changed = d.Changed && outdated
		if r.Denied.Since.Before(d.Since) {
			d.Since = r.Denied.Since
		}
		if r.AskedAt.After(d.AskedAt) {
			d.AskedAt = r.AskedAt
		}
		if next.Before(d.Next) {
			d.Next = next
		}
	}
	return list, nil
}

// deny records that the forge does not show a request that is followed, or not all of it, and why; nil where it does. A refusal is logged
// once for each request. A question for the state alone says nothing of what is followed.
func (k *Keeper) deny(q *question, d *forge.Denial) {
	switch {
	case q.follow == "":
	case d == nil:
		q.Denied = nil
	case q.Denied != nil && q.Denied.Unanswered == d.Unanswered:
		q.Denied.Denial = *d
	case q.Denied != nil && d.Unanswered && !q.outdated(q.with): // the refusal stands until there is an answer to other env files
	default:
		q.Denied = &Denied{Since: k.Now().UTC(), Denial: *d}
		if d.Unanswered { // ask logs it
			return
		}
		k.Log.Warn("the forge does not show all of a pull request that is followed", "session", q.name, "url", q.URL, "err", d.Text())
	}
}

// deniedHost is a host in the file reviews/denials: since when it does not show all, and whether that was told.
type deniedHost struct {
	Since time.Time `json:"since"`
	Told  bool      `json:"told"`
}

func denialsFile(home slots.Dir) spool.File[map[string]deniedHost] {
	return spool.File[map[string]deniedHost]{Path: filepath.Join(home.Reviews(), "denials"), Layout: spool.Line}
}

// tellDenials tells of each host that refuses to show all, once until it does. That a host does not answer is no event. The caller has
// ask.lock. The host is on record before its event, whose name comes from the record: a pass that died between the two is followed by
// one that writes the same event. The mark that it was told comes last, so that an event which was deleted since is not told again. The
// record of a host goes when it shows all: a refusal after that is another one. Denied says that a session has a denial on record, or
// may have one.
func (k *Keeper) tellDenials(denied bool) error {
	read, err := denialsFile(k.Home).ReadGood()
	known := map[string]deniedHost{}
	if read != nil {
		maps.Copy(known, *read)
	}
	if err != nil || !denied && len(known) == 0 {
		return err
	}
	names, err := k.Home.Sessions()
	if err != nil {
		return err
	}
	list, err := k.Denials(names)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(d Denial) bool { return d.Unanswered })
	now := map[string]deniedHost{}
	for _, d := range list {
		one, there := known[d.Host]
		if !there {
			one.Since = k.Now().UTC()
		}
		now[d.Host] = one
	}
	write := func() error { return denialsFile(k.Home).Write(&now) }
	if !maps.Equal(known, now) {
		if err := write(); err != nil {
			return err
		}
	}
	for _, d := range list {
		one := now[d.Host]
		if one.Told {
			continue
		}
		ev := event.Event{Name: fmt.Sprintf("%s.%s.%d", event.NeedsHuman, event.SafeName(d.Host), one.Since.UnixNano()), Type: event.NeedsHuman, Text: d.What() + ": " + d.Text()}
		if err := k.Queue.Events.PutOnce(ev); err != nil {
			return err
		}
		one.Told = true
		now[d.Host] = one
		if err := write(); err != nil {
			return err
		}
	}
	return nil
}

// follows says whether anything of a session's request is followed.
func (k *Keeper) follows(name string) bool {
	of, any, err := k.following()
	if err != nil || !any { // a bad configuration is told where it matters
		return false
	}
	ref, err := issueref.FromSession(name)
	return err == nil && of(ref) != ""
}

// envFiles are those that have the tokens for the forges.
func (k *Keeper) envFiles() []string {
	return []string{k.Home.EnvFile("default.env"), k.Home.EnvFile("dev.env")}
}

// envMark tells versions of the env files apart: by their times, sizes and numbers, so that nothing of a token is written down.
func (k *Keeper) envMark() string {
	sum := sha256.New()
	for _, file := range k.envFiles() {
		info, err := os.Stat(file)
		if err != nil {
			fmt.Fprintln(sum, "none")
			continue
		}
		number := uint64(0)
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			number = stat.Ino
		}
		fmt.Fprintln(sum, info.ModTime().UnixNano(), info.Size(), number)
	}
	return hex.EncodeToString(sum.Sum(nil)[:6])
}
