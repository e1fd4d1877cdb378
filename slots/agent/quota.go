package agent

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"time"
)

// Window is a share of an account's quota that its provider counts by itself, and what the provider told of it.
type Window struct {
	Name  string    `json:"name"`  // one of Windows
	Used  float64   `json:"used"`  // percent, from 0 to 100
	Reset time.Time `json:"reset"` // when the count begins anew: nothing is known of the window from then on
	At    time.Time `json:"at"`    // when it was told
}

// WindowKind is a window that is the same for every model of an account. Providers also tell of other windows, such as that of one
// model or of paid credits. Those say nothing of what the account may do, and are not read.
type WindowKind struct {
	Name   string
	Short  string // as people call it
	length time.Duration
	ahead  time.Duration // how far ahead its reset can be: a later reset is a mistake
}

// Windows are the windows that are known, the shortest first.
var Windows = []WindowKind{
	{"five_hour", "5h", 5 * time.Hour, 6 * time.Hour},
	{"seven_day", "week", 7 * 24 * time.Hour, 8 * 24 * time.Hour},
	{"month", "month", 30 * 24 * time.Hour, 35 * 24 * time.Hour},
}

// KindOfWindow finds a window by its name, or by what people call it.
func KindOfWindow(name string) (WindowKind, bool) {
	i := slices.IndexFunc(Windows, func(k WindowKind) bool { return k.Name == name || k.Short == name })
	if i < 0 {
		return WindowKind{}, false
	}
	return Windows[i], true
}

// clockSlack is by how much two clocks may differ.
const clockSlack = time.Minute

// credible says whether a program may have been told this: the window is known, its share is one, its reset is no further away than
// such a window allows, and it was not told in the future. The text comes from a program, or from a file that others can write.
func (w Window) credible(now time.Time) bool {
	kind, known := KindOfWindow(w.Name)
	return known && kind.Name == w.Name && w.Used >= 0 && w.Used <= 100 && // not NaN
		!w.Reset.After(now.Add(kind.ahead)) && w.Reset.After(now.Add(-kind.ahead)) && !w.At.After(now.Add(clockSlack))
}

// Told joins windows: of each kind the one that was told last, sorted as Windows are. A window whose reset has passed is kept: its
// line may have been read late, and the window still replaces what was told before it.
func Told(now time.Time, windows ...Window) []Window {
	var out []Window
	for _, k := range Windows {
		var last *Window
		for _, w := range windows {
			if w.Name == k.Name && w.credible(now) && (last == nil || !w.At.Before(last.At)) {
				last = &w
			}
		}
		if last != nil {
			out = append(out, *last)
		}
	}
	return out
}

// Newest is Told without the windows whose reset has passed, since nothing is known of those.
func Newest(now time.Time, windows ...Window) []Window {
	return slices.DeleteFunc(Told(now, windows...), func(w Window) bool { return !w.Reset.After(now) })
}

// Metered is a parser whose program tells how much of its account's windows is used.
type Metered interface {
	// Quota is what the program told, in the form that Told returns.
	Quota() []Window
}

// Record is the file that a program writes of a conversation, with what its output lacks.
type Record struct {
	// Folder returns the folder above the files; env looks up the program's environment. Glob returns the pattern, for fs.Glob, of
	// a conversation's file in that folder.
	Folder func(env func(name string) string) string
	Glob   func(conversation string) string
	// Windows reads the end of the file.
	Windows func(tail []byte, now time.Time) []Window
}

// quota is what the program of a run told of its account's windows.
type quota struct{ windows []Window }

// Quota is what the program told.
func (q *quota) Quota() []Window { return q.windows }

// figure is a number of an event. A missing value, a word, or a number that is too large is not known, and no error.
type figure struct {
	is    float64
	known bool
}

func (f *figure) UnmarshalJSON(data []byte) error {
	n, err := strconv.ParseFloat(string(data), 64)
	*f = figure{n, err == nil}
	return nil
}

// note notes a window. A window without a share or a time changes nothing.
func (q *quota) note(name string, percent, reset figure, at, now time.Time) {
	if !percent.known || !reset.known || math.Abs(reset.is) > 1e11 {
		return
	}
	w := Window{Name: name, Used: percent.is, Reset: time.Unix(int64(reset.is), 0).UTC(), At: at.UTC()}
	q.windows = Told(now, append(slices.Clone(q.windows), w)...)
}

// claudeWindow is a window in claude's words: a share from 0 to 1, a whole number or not, and seconds since 1970.
type claudeWindow struct {
	Utilization figure `json:"utilization"`
	ResetsAt    figure `json:"resetsAt"`
}

func (w claudeWindow) percent() figure { return figure{w.Utilization.is * 100, w.Utilization.known} }

// claude reads a rate_limit_event. unifiedWindows has the two windows of every account. Versions without it tell of one window at a
// time, and of its share only from a warning on. No other field counts here: a run that is served from paid credits says
// "rejected", and most healthy runs say that of their credits.
func (q *quota) claude(line []byte, now time.Time) {
	var e struct {
		Info struct {
			claudeWindow
			Type    string                  `json:"rateLimitType"`
			Windows map[string]claudeWindow `json:"unifiedWindows"`
		} `json:"rate_limit_info"`
	}
	if !decode(line, &e) {
		return
	}
	q.note(e.Info.Type, e.Info.percent(), e.Info.ResetsAt, now, now)
	for name, w := range e.Info.Windows {
		q.note(name, w.percent(), w.ResetsAt, now, now)
	}
}

// codexRecord is codex's file of a thread. No version of exec prints its windows.
var codexRecord = &Record{
	Folder: func(env func(string) string) string {
		if home := env("CODEX_HOME"); home != "" {
			return home + "/sessions"
		}
		return env("HOME") + "/.codex/sessions"
	},
	Glob:    func(conversation string) string { return "*/*/*/rollout-*-" + conversation + ".jsonl" },
	Windows: codexWindows,
}

// codexBucket is the name of the windows of an account. Other buckets belong to single models.
const codexBucket = "codex"

// codexWindow is a window in codex's words. Its minutes say which window it is, and not its place: if an account has only the
// longer window, that window stands first.
type codexWindow struct {
	Percent figure `json:"used_percent"`
	Minutes figure `json:"window_minutes"`
	Reset   figure `json:"resets_at"`         // seconds since 1970
	Seconds figure `json:"resets_in_seconds"` // in older versions, after the line's own time
}

// codexWindows reads the newest event token_count.
func codexWindows(tail []byte, now time.Time) []Window {
	lines := bytes.Split(tail, []byte("\n"))
	for _, line := range slices.Backward(lines) {
		if !bytes.Contains(line, []byte(`"rate_limits"`)) {
			continue
		}
		var e struct {
			At      time.Time `json:"timestamp"`
			Payload struct {
				Type   string `json:"type"`
				Limits *struct {
					Bucket    *string      `json:"limit_id"`
					Primary   *codexWindow `json:"primary"`
					Secondary *codexWindow `json:"secondary"`
				} `json:"rate_limits"`
			} `json:"payload"`
		}
		if json.Unmarshal(line, &e) != nil || e.Payload.Type != "token_count" || e.Payload.Limits == nil {
			continue
		}
		limits := *e.Payload.Limits
		if limits.Bucket != nil && *limits.Bucket != codexBucket {
			continue
		}
		var q quota
		for _, w := range []*codexWindow{limits.Primary, limits.Secondary} {
			if w != nil {
				q.codex(*w, e.At, now)
			}
		}
		return q.windows
	}
	return nil
}

func (q *quota) codex(w codexWindow, at, now time.Time) {
	reset := w.Reset
	if !reset.known {
		reset = figure{float64(at.Unix()) + w.Seconds.is, w.Seconds.known}
	}
	for _, k := range Windows {
		minutes := k.length.Minutes()
		if w.Minutes.known && math.Abs(w.Minutes.is-minutes) <= minutes/20 { // 299 and 10079 were seen
			q.note(k.Name, w.Percent, reset, at, now)
		}
	}
}
