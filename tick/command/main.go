package command

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/lmittmann/tint"
	"github.com/mattn/go-isatty"

	"kugetsu/queue/fault"
	"kugetsu/queue/spool"
	"kugetsu/queue/terminal"
	"kugetsu/slots"
	"kugetsu/slots/proc"
	"kugetsu/tick/settings"
)

// Globals are the flags of every command.
type Globals struct {
	settings.Settings
	Common
}

// Common are the flags of every command that are no settings.
type Common struct {
	Verbose bool             `short:"v" help:"Say more on stderr."`
	Quiet   bool             `short:"q" help:"Do not say what was done; ids and errors are printed all the same."`
	Number  kong.VersionFlag `name:"version" hidden:"" help:"Print the version."`
}

// Main parses the arguments by a grammar, which holds the globals, runs the command, and returns the exit code.
func Main(grammar any, globals *Globals, args []string) int {
	err := execute(grammar, globals, args)
	tell(os.Stderr, err)
	return fault.Code(err)
}

// tell prints an error on one line, and its hint on a second.
func tell(w io.Writer, err error) {
	if err = fault.Untold(err); err == nil {
		return
	}
	fmt.Fprintf(w, "kugetsu: error: %s\n", terminal.Clean(strings.ReplaceAll(err.Error(), "\n", "; ")))
	if hint := fault.HintOf(err); hint != "" {
		fmt.Fprintf(w, "kugetsu: hint: %s\n", terminal.Clean(hint))
	}
}

func execute(grammar any, globals *Globals, args []string) error {
	home, homeErr := settings.Home()
	if homeErr == nil {
		homeErr = spool.CheckRoot(home, "KUGETSU_DIR")
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if len(args) == 2 && args[0] == "run" {
		// A runner, forked by a tick. All that it must know comes through its gate: it reads no settings.
		return slots.Run(ctx, slots.Dir(home), args[1])
	}
	if len(args) == 2 && args[0] == "job" { // the same, as a job that a tick submitted
		return slots.RunJob(ctx, slots.Dir(home), args[1])
	}
	// A command ends soon: to collect garbage often costs it more time than it saves memory. The runner, above, lives as long as its agent.
	debug.SetGCPercent(400)
	// A reader of stdout that goes away must not end a command in the middle of its work: the write fails instead. SIGPIPE is
	// caught and not ignored, since child processes would inherit that it is ignored.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	source := settings.Open(home, homeErr == nil) // a config that other users can write to is not used

	kctx, err := parse(grammar, globals, source, args)
	if err != nil {
		return err
	}
	source.Flags(kctx)
	selected := kctx.Selected().Target.Addr().Interface()
	if c, ok := selected.(interface {
		take(*settings.Source, *settings.Settings)
	}); ok {
		c.take(source, &globals.Settings)
	}
	pass, isTick := selected.(*Tick)
	app := newApp(ctx, home, source, globals)
	app.Log = logger(globals.Verbose, isTick && !pass.Drain && !pass.Scheduled)
	kept := io.Discard // where the error is written, too
	// Doctor reports a bad state folder, with which other commands do not go on.
	switch selected.(type) {
	case *Version, *Help, *Doctor, *Grammar:
	case *Complete:
		if homeErr == nil {
			app.setPaths(source)
		}
	default:
		if err := app.start(source, homeErr); err != nil {
			return err
		}
		if isTick && pass.Scheduled {
			if file := app.keepLog(); file != nil {
				defer file.Close()
				kept = file
			}
		}
	}
	err = kctx.Run(app)
	tell(kept, err)
	return err
}

func newApp(ctx context.Context, home string, source *settings.Source, globals *Globals) *App {
	return &App{
		Ctx: ctx, Home: slots.Dir(home), Settings: &globals.Settings, Config: source.Err(&globals.Settings),
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Terminal: isatty.IsTerminal(os.Stdout.Fd()), Width: terminal.Columns(os.Stdout), Verbose: globals.Verbose, Quiet: globals.Quiet,
		// UTC: files and --json hold no time zone but Z, whatever TZ is.
		Now: func() time.Time { return time.Now().UTC() }, Version: version(),
	}
}

// start opens the state folder for a command, after a look at what would make that unsafe.
func (a *App) start(source *settings.Source, homeErr error) error {
	if homeErr != nil {
		return homeErr
	}
	if err := proc.CloseOnExec(); err != nil {
		return err
	}
	if err := source.Unreadable(); err != nil {
		return err
	}
	return a.Open(source)
}

// keepLog sends the log to tick.log, too, and returns that file. It is nil where the file cannot be opened: the slots are filled all
// the same.
func (a *App) keepLog() *os.File {
	file, err := a.Home.OpenTickLog()
	if err != nil {
		a.Log.Warn("tick.log cannot be written", "err", err)
		return nil
	}
	a.LogTo(slog.New(slog.NewMultiHandler(handler(file, slog.LevelInfo, false), a.Log.Handler())))
	return file
}

// logger writes to stderr, in colour on a terminal. A tick by hand logs what it did; other commands log only warnings and
// errors.
func logger(verbose, tells bool) *slog.Logger {
	level := slog.LevelWarn
	if tells {
		level = slog.LevelInfo
	}
	if verbose {
		level = slog.LevelDebug
	}
	colour := isatty.IsTerminal(os.Stderr.Fd()) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return slog.New(handler(os.Stderr, level, colour))
}

func handler(w io.Writer, level slog.Level, colour bool) slog.Handler {
	return tint.NewTextHandler(w, &tint.Options{Level: level, TimeFormat: time.RFC3339, NoColor: !colour})
}

// version is the version that the build recorded.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && (v == "" || v == "(devel)") {
			v = s.Value
		}
	}
	if v == "" {
		v = "(devel)"
	}
	return v
}
