package digest

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/event"
	"kugetsu/queue/ledger"
	"kugetsu/queue/outcome"
	"kugetsu/queue/spool"
	"kugetsu/slots"
	"kugetsu/tick"
	"kugetsu/tick/settings"
)

// house is a state folder with a clock that stands still until it is moved.
type house struct {
	*testing.T
	*tick.Tick
	now time.Time
}

func newHouse(t *testing.T) *house {
	t.Helper()
	home := t.TempDir()
	h := &house{T: t, now: morning}
	in := func(names ...string) string { return filepath.Join(append([]string{home}, names...)...) }
	s, source, err := settings.Load(home, true)
	if err != nil {
		t.Fatal(err)
	}
	s.DigestAt = "08:00"
	clock := func() time.Time { return h.now }
	q := &queue.Queue{Dirs: queue.Dirs{Items: in("queue", "items"), PM: in("queue", "pm"), Finished: in("queue", "finished"), Bad: in("queue", "bad")},
		Events: &event.Box{New: in("notifications", "new"), Seen: in("notifications", "seen"), Undelivered: in("notifications", "owed"), Now: clock, Wanted: func(event.Type) bool { return true }},
		Ledger: &ledger.Ledger{Dir: slots.Dir(home).Usage(), Now: clock}, Now: clock}
	h.Tick = &tick.Tick{Home: slots.Dir(home), Queue: q, Settings: s, Source: source, Now: clock, Log: slog.New(slog.DiscardHandler)}
	h.must(h.Home.Make())
	h.must(q.Make())
	return h
}

func (h *house) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// completed files an item that was completed some time ago.
func (h *house) completed(title string, ago time.Duration) {
	h.Helper()
	at := h.now.Add(-ago)
	it := &queue.Item{ID: queue.NewID(at), IssueRef: "github.com/you/shop#1", Agent: "command", Message: title, Mode: queue.Auto, PendingSince: at, After: []string{}, History: []queue.Run{}}
	e, err := h.Queue.Publish(it, queue.Dev, queue.DefaultPriority)
	h.must(err)
	h.must(h.Queue.Notify(e, it, 1, 0, nil))
	h.must(h.Queue.Settle(e, it, queue.Result{Run: queue.Run{Run: 1, Outcome: outcome.OK, EndedAt: at}}, queue.Policy{MaxAttempts: 3}))
	if _, err := h.Queue.File(e); err != nil {
		h.Fatal(err)
	}
	// Settle writes the time of now.
	path := filepath.Join(h.Queue.Finished, filepath.Base(e.Path))
	data, err := os.ReadFile(path)
	h.must(err)
	settled := strings.ReplaceAll(string(data), h.now.Format(time.RFC3339Nano), at.Format(time.RFC3339Nano))
	h.must(os.WriteFile(path, []byte(settled), 0o600))
}

// told sends, and lists the digests that are undelivered.
func (h *house) told() (names []string) {
	h.Helper()
	h.must(Send(h.Tick))
	list, err := h.Queue.Events.ToDeliver(nil)
	h.must(err)
	for _, ev := range list {
		if ev.Type == event.Digest {
			names = append(names, ev.Name)
		}
	}
	return names
}

func (h *house) want(when string, names ...string) {
	h.Helper()
	if got := h.told(); !slices.Equal(got, names) {
		h.Errorf("%s: %q, not %q", when, got, names)
	}
}

func (h *house) text(name string) *event.Event {
	h.Helper()
	ev, err := h.Queue.Events.Find(name)
	h.must(err)
	if ev == nil {
		h.Fatalf("there is no %s", name)
	}
	return ev
}

func TestDigestIsToldOnceADay(t *testing.T) {
	h := newHouse(t)
	h.completed("before all digests", time.Hour)
	h.Settings.DigestAt = ""
	h.want("never")
	if _, err := os.Stat(dir(h.Home)); err == nil {
		t.Error("something is kept although DIGEST_AT is not set")
	}
	h.Settings.DigestAt = "08:00"
	h.want("the first tick")
	h.now = h.now.Add(23*time.Hour + 59*time.Minute)
	h.completed("in the night", 2*time.Hour)
	h.want("a minute before")
	h.now = h.now.Add(time.Minute)
	first := "digest.2026-11-30"
	h.want("at the time", first)
	ev := h.text(first)
	if !strings.HasPrefix(ev.Text, "the only task completed; nothing needs you\nfrom 2026-11-29 08:00 UTC to 2026-11-30 08:00 UTC\n") || !strings.Contains(ev.Markdown, "`in the night`") ||
		strings.Contains(ev.Markdown, "before all") {
		t.Errorf("%q\n%s", ev.Text, ev.Markdown)
	}
	h.must(h.Queue.Events.Delivered(*ev))
	h.want("at the time, again")
	h.now = h.now.Add(time.Hour)
	h.want("an hour later")
	h.Settings.DigestAt = "09:00" // a person changes it: the day has its digest
	h.want("at another time of the same day")

	// The machine was off for two days, and is on again at night.
	h.now = h.now.Add(60 * time.Hour)
	h.want("after two days", "digest.2026-12-02")
	if ev := h.text("digest.2026-12-02"); !strings.HasPrefix(ev.Text, "no task ended; nothing needs you\nfrom 2026-11-30 08:00 UTC to 2026-12-02 21:00 UTC") {
		t.Errorf("%q", ev.Text)
	}

	// The clock was wrong, and is set back.
	h.must(h.Queue.Events.Delivered(*h.text("digest.2026-12-02")))
	h.now = morning.AddDate(0, 0, 1).Add(time.Hour)
	h.want("two days earlier")
	h.now = h.now.AddDate(0, 0, 1)
	h.want("the day that had none", "digest.2026-12-01")
}

// A tick that died between the event and the mark leads to no second event. Tasks that ended between the two are in the next digest.
func TestDigestWhoseMarkWasNotWrittenIsNotToldAgain(t *testing.T) {
	h := newHouse(t)
	h.want("the first tick")
	before, err := os.ReadFile(sent(h.Home).Path)
	h.must(err)
	h.now = h.now.AddDate(0, 0, 1)
	h.completed("in the night", 2*time.Hour)
	name := "digest.2026-11-30"
	h.want("at the time", name)
	h.must(h.Queue.Events.Delivered(*h.text(name)))
	h.must(os.WriteFile(sent(h.Home).Path, before, 0o600))
	if _, err := h.Queue.Events.Clear(); err != nil {
		t.Fatal(err)
	}
	h.now = h.now.Add(10 * time.Minute)
	h.completed("after the event", 5*time.Minute)
	h.want("the next tick")
	h.now = h.now.AddDate(0, 0, 1)
	h.want("the next day", "digest.2026-12-01")
	if text := h.text("digest.2026-12-01").Markdown; !strings.Contains(text, "after the event") || strings.Contains(text, "in the night") {
		t.Error(text)
	}
}

func TestDigestIsToldByOnePassOfSeveral(t *testing.T) {
	h := newHouse(t)
	h.want("the first tick")
	h.now = h.now.AddDate(0, 0, 1)
	lock, err := slots.TryLock(filepath.Join(dir(h.Home), "send.lock"))
	h.must(err)
	h.want("another pass is at it")
	h.must(lock.Close())
	h.want("it died", "digest.2026-11-30")
}

func TestDigestOfADamagedMarkOrABadConfigurationIsNotTold(t *testing.T) {
	h := newHouse(t)
	h.want("the first tick")
	h.now = h.now.AddDate(0, 0, 1)
	h.Config = os.ErrInvalid
	h.want("with a bad configuration")
	h.Config = nil
	h.must(os.WriteFile(sent(h.Home).Path, []byte("{"), 0o600))
	h.want("with a damaged mark")
	h.now = h.now.AddDate(0, 0, 1)
	h.must(os.WriteFile(filepath.Join(h.Queue.Events.New, "digest.2026-12-01.json"), []byte("{"), 0o600))
	h.want("where its file is damaged")
	h.now = h.now.AddDate(0, 0, 1)
	h.want("after all that", "digest.2026-12-02")
	h.must(os.WriteFile(sent(h.Home).Path, []byte(`{"v":2}`), 0o600))
	if err := Send(h.Tick); err == nil || !strings.Contains(err.Error(), spool.ErrNewer.Error()) {
		t.Errorf("a mark of a newer kugetsu: %v", err)
	}
}

func TestBriefFitsIntoOneMessage(t *testing.T) {
	d := of(night(), morning.Add(-12*time.Hour), nil)
	for range 30 {
		d.Needs, d.Done = append(d.Needs, d.Needs[0]), append(d.Done, d.Done[1])
	}
	text := d.Brief()
	if len([]rune(text)) > 1900 || strings.ContainsAny(text, "\x1b\x07\u202e") {
		t.Errorf("%d characters:\n%s", len([]rune(text)), text)
	}
	for _, want := range []string{d.Sentence + "\n", "\n  kugetsu resume claude\n", "\n! and 27 more: kugetsu\n", "\n- github.com/you/shop#1: ok, 2 commits, +40 −2, 3 files, $1.25\n", "\n4 tasks waiting: "} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}
