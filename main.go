// Command kugetsu queues work for AI coding agents and runs a bounded number of them, each in its own git worktree,
// without a daemon.
//
// Read on in tick/ (one pass over the queue), queue/ (items and their states) and slots/ (the right to run, and the
// runner that uses it).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/alecthomas/kong"
	"github.com/lmittmann/tint"
	"github.com/mattn/go-isatty"

	"kugetsu/queue/fault"
	"kugetsu/queue/spool"
	"kugetsu/queue/terminal"
	"kugetsu/slots"
	"kugetsu/slots/proc"
	"kugetsu/tick/command"
	"kugetsu/tick/settings"
)

// grammar is the table of contents: every command there is.
type grammar struct {
	settings.Settings
	Verbose bool `short:"v" help:"Say more on stderr."`

	Init     command.Init     `cmd:"" help:"Make the state folder ready: config, env files, prompts."`
	Doctor   command.Doctor   `cmd:"" help:"Check all that a tick of cron's depends on, as cron would find it."`
	Delegate command.Delegate `cmd:"" help:"Enqueue what is to be done; prints the id."`
	Tick     command.Tick     `cmd:"" help:"One pass: settle what ended, fill the free slots, exit."`

	Start    command.Start    `cmd:"" help:"Begin an issue now, past the queue, or exit 2."`
	Continue command.Continue `cmd:"" help:"Go on with an issue now, past the queue, or exit 2."`

	Status command.Status `cmd:"" default:"withargs" help:"What runs, what waits and why (also without a command)."`
	List   command.List   `cmd:"" help:"The sessions: one per issue."`
	Logs   command.Logs   `cmd:"" help:"What an agent printed."`

	Destroy command.Destroy `cmd:"" help:"End an issue's session: worktree, branch, conversation. Refused while it holds work."`
	Prune   command.Prune   `cmd:"" help:"Remove what is done with; what holds work stays."`
	SetPR   command.SetPR   `cmd:"" name:"set-pr" help:"Say which pull request is an issue's."`
	Restore command.Restore `cmd:"" help:"Bring uncommitted work that was kept back into the issue's worktree."`
	Forget  command.Forget  `cmd:"" help:"Delete a ref at which work is kept, such as one that holds a secret."`

	Queue struct {
		List     command.QueueList     `cmd:"" help:"The items, in run order."`
		Stats    command.QueueStats    `cmd:"" help:"How many items are in which state."`
		Show     command.QueueShow     `cmd:"" help:"All of an item, with its history."`
		Logs     command.Logs          `cmd:"" help:"What an item's agent printed."`
		Wait     command.QueueWait     `cmd:"" help:"Wait until items are settled: 0 completed, 1 error."`
		Priority command.QueuePriority `cmd:"" help:"Give live items another place."`
		Cancel   command.QueueCancel   `cmd:"" help:"End items for good, running ones too."`
		Retry    command.QueueRetry    `cmd:"" help:"Put settled items back."`
		Clear    command.QueueClear    `cmd:"" help:"Delete old settled items."`
		Enqueue  command.Enqueue       `cmd:"" help:"Delegate by hand."`
	} `cmd:"" help:"Look at the items and act on them."`

	Pause  command.Pause  `cmd:"" help:"Start nothing; what runs goes on."`
	Resume command.Resume `cmd:"" help:"Lift a pause, or an agent's hold."`
	Notify struct {
		List  command.NotifyList  `cmd:"" help:"The events that were not cleared."`
		Clear command.NotifyClear `cmd:"" help:"Mark them as seen."`
	} `cmd:"" help:"What happened."`

	QueueDaemon struct {
		Start   command.DaemonStart   `cmd:"" help:"Let cron, systemd or launchd run kugetsu tick."`
		Stop    command.DaemonStop    `cmd:"" help:"Remove that."`
		Restart command.DaemonRestart `cmd:"" help:"Remove it and install it anew."`
		Status  command.DaemonStatus  `cmd:"" help:"What is installed, when the last tick was; exits 1 when none is to be expected or ticks are overdue."`
		Logs    command.DaemonLogs    `cmd:"" help:"What the ticks said."`
	} `cmd:"" help:"There is no daemon: install, remove and show what runs kugetsu tick."`

	Version command.Version `cmd:"" help:"Print the version."`
	Grammar command.Grammar `cmd:"" hidden:"" help:"Print this grammar as JSON, for completions and the manual page."`
}

// The main goroutine keeps its thread: the kernel ends an agent when the *thread* that started it ends, and the fault
// tests can follow a command by one thread.
func init() { runtime.LockOSThread() }

func main() { os.Exit(run(os.Args[1:])) }

// run is main with an exit code.
func run(args []string) int {
	err := execute(args)
	tell(os.Stderr, err)
	return fault.Code(err)
}

// tell prints an error: one line, whatever it holds, and a second with the hint.
func tell(w io.Writer, err error) {
	if err = fault.Untold(err); err == nil {
		return
	}
	fmt.Fprintf(w, "kugetsu: error: %s\n", terminal.Clean(strings.ReplaceAll(err.Error(), "\n", "; ")))
	if hint := fault.HintOf(err); hint != "" {
		fmt.Fprintf(w, "kugetsu: hint: %s\n", terminal.Clean(hint))
	}
}

func execute(args []string) error {
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
	// A reader that goes away ends no command in the middle of its work: the write fails instead. Not ignored, which what
	// is started here would inherit.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	source := settings.Open(home, homeErr == nil) // what others may write to is not believed

	var g grammar
	parser, err := kong.New(&g, append(settings.Options(source), kong.Name("kugetsu"),
		kong.Description("Queue work for AI coding agents and run a bounded number of them. No daemon: cron runs kugetsu tick.\n\n"+
			"Settings are in the file config of the state folder ($KUGETSU_DIR, ~/.kugetsu); kugetsu init writes one that explains them all."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}))...)
	if err != nil {
		return err
	}
	for n, arg := range args {
		if !utf8.ValidString(arg) { // kong passes words through JSON, which would replace the bytes in silence
			return fault.New(fault.Usage, "convert it with iconv, or put it into a file and name that", "argument %d is not valid UTF-8", n+1)
		}
	}
	kctx, err := parser.Parse(args)
	if err != nil {
		return fault.New(fault.Usage, "kugetsu --help, or kugetsu <command> --help; a message that begins with - goes behind --", "%w", usage(err))
	}
	source.Flags(kctx)
	app := &command.App{
		Ctx: ctx, Home: slots.Dir(home), Settings: &g.Settings, Config: source.Err(&g.Settings),
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Terminal: isatty.IsTerminal(os.Stdout.Fd()), Verbose: g.Verbose,
		// UTC: files and --json hold no time zone but Z, whatever TZ is.
		Now: func() time.Time { return time.Now().UTC() }, Log: logger(g.Verbose, kctx.Command() == "tick" && !g.Tick.Drain && !g.Tick.Scheduled), Version: version(),
	}
	kept := io.Discard // what is told there as well
	// Doctor is to say what is wrong with a folder that no other command goes on with.
	if name, _, _ := strings.Cut(kctx.Command(), " "); name != "version" && name != "doctor" && name != "grammar" {
		if homeErr != nil {
			return homeErr
		}
		if err := proc.CloseOnExec(); err != nil {
			return err
		}
		if err := source.Unreadable(); err != nil {
			return err
		}
		if err := app.Open(source); err != nil {
			return err
		}
		if g.Tick.Scheduled {
			file, err := app.Home.OpenTickLog()
			if err != nil { // nobody reads what the pass says, but the slots are filled all the same
				app.Log.Warn("tick.log cannot be written", "err", err)
			} else {
				defer file.Close()
				kept = file
				app.LogTo(slog.New(slog.NewMultiHandler(handler(file, slog.LevelInfo, false), app.Log.Handler())))
			}
		}
	}
	err = kctx.Run(app)
	tell(kept, err)
	return err
}

// usage keeps of kong's error what it says, not the exit code it would like.
func usage(err error) error {
	var parse *kong.ParseError
	if errors.As(err, &parse) {
		return errors.New(parse.Error())
	}
	return err
}

// logger writes to stderr, coloured on a terminal that can. A tick tells what it did, unless it shows that anyway; other
// commands only tell what is wrong.
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

// version is what the build knows of itself.
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
