package command

import (
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/mattn/go-isatty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"kugetsu/queue/fault"
	"kugetsu/queue/pattern"
	"kugetsu/queue/terminal"
	"kugetsu/slots"
	"kugetsu/tick/overview"
)

// The screen that refreshes itself. Twice a second it asks for the times of the folders in which every change shows, some twenty
// stat calls. Only where one changed are the files read again. That is the same on every system, needs no watch on ten thousand
// files, and misses no change of a file system that tells of none.
const (
	watchPoll  = 500 * time.Millisecond
	watchWords = time.Second      // how often the last lines of the agents are read
	watchRead  = 10 * time.Second // how often all is read where nothing changed: times pass, too
)

// What a terminal obeys: xterm's alternate screen, and ECMA-48.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // the alternate screen, without a cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	topLeft     = "\x1b[H"
	eraseRight  = "\x1b[K"
	eraseBelow  = "\x1b[J"
)

// colours are the sequences that screen.painted writes. A cleaned text holds none.
var colours = pattern.Lazy(`\x1b\[[0-9;]*m`)

// watch shows the screen until q, ctrl-c or a signal. It leaves the terminal as it was, also while it is stopped by ctrl-z.
func (a *App) watch() error {
	if !a.Terminal {
		return fault.New(fault.Usage, "kugetsu status prints it once", "--watch needs a terminal")
	}
	w := &watcher{app: a, seen: map[string]time.Time{}}
	if isatty.IsTerminal(os.Stdin.Fd()) {
		w.keys = make(chan byte)
		go w.typed()
	}
	if err := w.enter(); err != nil {
		return err
	}
	err := w.loop()
	w.leave()
	return err
}

type watcher struct {
	app    *App
	before *term.State // of the terminal; nil where it is as it was
	keys   chan byte   // nil where stdin is no terminal
	seen   map[string]time.Time
	shown  string // what the terminal shows

	overview    *overview.Overview
	read, words time.Time // when all was read, and when the agents' last lines were
}

func (w *watcher) enter() error {
	if w.keys != nil {
		before, err := term.MakeRaw(int(os.Stdin.Fd())) // a key counts at once, and is not shown
		if err != nil {
			return err
		}
		w.before = before
	}
	w.shown = ""
	_, err := io.WriteString(w.app.Stdout, enterScreen)
	return unprinted(err)
}

func (w *watcher) leave() {
	_, _ = io.WriteString(w.app.Stdout, leaveScreen) // a terminal that is gone needs nothing
	if w.before != nil {
		_ = term.Restore(int(os.Stdin.Fd()), w.before)
		w.before = nil
	}
}

// typed hands on what is typed.
func (w *watcher) typed() {
	var key [1]byte
	for {
		if n, err := os.Stdin.Read(key[:]); n == 0 || err != nil {
			return
		}
		w.keys <- key[0]
	}
}

const (
	ctrlC = 3
	ctrlZ = 26
)

func (w *watcher) loop() error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGWINCH, syscall.SIGTSTP, syscall.SIGHUP)
	defer signal.Stop(signals)
	poll := time.NewTicker(watchPoll)
	defer poll.Stop()
	for {
		if err := w.refresh(); err != nil {
			return err
		}
		select {
		case <-w.app.Ctx.Done(): // SIGINT, SIGTERM
			return nil
		case <-poll.C:
		case key := <-w.keys:
			switch key {
			case 'q', 'Q', ctrlC:
				return nil
			case ctrlZ:
				if err := w.stop(); err != nil {
					return err
				}
			}
		case sig := <-signals:
			switch sig {
			case syscall.SIGHUP:
				return nil
			case syscall.SIGTSTP:
				if err := w.stop(); err != nil {
					return err
				}
			default: // the size changed
				w.shown = ""
			}
		}
	}
}

// stop gives the terminal back and stops this process until a shell lets it go on.
func (w *watcher) stop() error {
	w.leave()
	if err := unix.Kill(0, unix.SIGSTOP); err != nil { // the group, as the terminal would
		return err
	}
	return w.enter()
}

// refresh reads what changed, and draws what differs from what is shown.
func (w *watcher) refresh() error {
	now := w.app.Now()
	if w.changed() || w.overview == nil || now.Sub(w.read).Abs() >= watchRead {
		o, err := w.app.overview()
		if err != nil {
			return err
		}
		w.overview, w.read, w.words = o, now, now
	} else if now.Sub(w.words).Abs() >= watchWords {
		overview.Listen(w.app.Tick, w.overview)
		w.words = now
	}
	width, height, err := term.GetSize(int(os.Stdout.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		width, height = 80, 24
	}
	s := screen{Overview: w.overview, now: now, width: width, refs: w.app.issueColumn(), short: w.app.short, colour: paints()}
	text := filled(s.String(), width, height)
	if text == w.shown {
		return nil
	}
	w.shown = text
	_, err = io.WriteString(w.app.Stdout, topLeft+text+eraseBelow)
	return unprinted(err)
}

// filled fits the screen into so many columns and rows, and says what is missing and how to leave. Each line erases what stood there
// before, so that no row is ever blank in between.
func filled(text string, width, height int) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	var b strings.Builder
	kept, left := 0, height-1 // the last row says how to leave
	for _, line := range lines {
		used := terminal.Width(colours().ReplaceAllString(line, ""))
		if left -= max(1, (used+width-1)/width); left < 0 { // a row more would scroll the first one away
			break
		}
		kept++
		b.WriteString(line)
		if used == 0 || used%width != 0 { // behind the last column many terminals would erase that column
			b.WriteString(eraseRight)
		}
		b.WriteString("\r\n")
	}
	last := "q quits"
	if more := len(lines) - kept; more > 0 {
		last = terminal.Count(more, "more line") + ": kugetsu | less; q quits"
	}
	b.WriteString(terminal.Fit(last, width-1) + eraseRight)
	return b.String()
}

// changed says whether the time of a folder or a file changed in which all that is shown is kept.
func (w *watcher) changed() bool {
	a := w.app
	home := func(names ...string) string { return filepath.Join(append([]string{string(a.Home)}, names...)...) }
	paths := []string{a.Queue.Items, a.Queue.PM, a.Queue.Finished, a.Queue.Bad, a.Queue.Events.Undelivered, a.Home.Holds(), a.Home.Reviews(),
		home(), home("slots"), home("sessions"), home("agents"), home("dismissed"), home("tick.lock"), home("schedule.json"), home("config")}
	if w.overview != nil {
		for _, r := range w.overview.Running {
			if r.Item != "" {
				paths = append(paths, a.Home.RunDir(slots.RunName(r.Item, r.Run))) // its marker, and what it waits for
			}
		}
	}
	changed := false
	for _, path := range paths {
		var at time.Time // of what is not there
		if info, err := os.Stat(path); err == nil {
			at = info.ModTime()
		}
		if before, known := w.seen[path]; !known || !before.Equal(at) {
			w.seen[path], changed = at, true
		}
	}
	return changed
}
