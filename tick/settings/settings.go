// Package settings holds every setting: its name, its default, its sources and its valid values.
//
// A setting is a flag, an environment variable or a line KEY=value in the file config of the state folder; the first of
// these that is set and not empty wins. The same names mean the same in all of them (MAX_CONCURRENT_AGENTS is also
// --max-concurrent-agents).
package settings

import (
	"encoding"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/alecthomas/kong"

	"kugetsu/queue/event"
	"kugetsu/queue/fault"
	"kugetsu/queue/pattern"
	"kugetsu/slots/agent"
	"kugetsu/slots/git"
)

// Settings are kong flags. The key is the name in the environment and in the config file. The help is the only description of a
// setting: the config that init writes, the manual page and the table in contrib/doc/settings.md are made from it.
type Settings struct {
	QueueDir      string `key:"QUEUE_DIR" hidden:"" help:"Folder of the queue, an absolute path (default: queue in the state folder)."`
	QueueItemsDir string `key:"QUEUE_ITEMS_DIR" hidden:"" help:"Folder of the items that wait or run, on the same file system as QUEUE_DIR (default: items in QUEUE_DIR)."`
	CleanupDays   int    `key:"QUEUE_CLEANUP_AGE_DAYS" name:"queue-cleanup-age-days" default:"7" hidden:"" help:"Days after which settled items, their runs, and events are deleted."`

	Interval int `key:"QUEUE_DAEMON_INTERVAL_MINUTES" name:"queue-daemon-interval-minutes" default:"5" hidden:"" help:"Minutes between two ticks of the schedule, 1 to 59. The next kugetsu queue-daemon start installs it."`

	MaxAgents   int `key:"MAX_CONCURRENT_AGENTS" name:"max-concurrent-agents" default:"3" hidden:"" help:"Number of dev agents that may run at once. With 0 no agent starts, and the running ones go on."`
	MaxClaude   int `key:"MAX_CONCURRENT_AGENTS_CLAUDE" name:"max-concurrent-agents-claude" default:"0" hidden:"" help:"How many of these may be claude; 0 is any number."`
	MaxCodex    int `key:"MAX_CONCURRENT_AGENTS_CODEX" name:"max-concurrent-agents-codex" default:"0" hidden:"" help:"How many of these may be codex; 0 is any number."`
	MaxGemini   int `key:"MAX_CONCURRENT_AGENTS_GEMINI" name:"max-concurrent-agents-gemini" default:"0" hidden:"" help:"How many of these may be gemini; 0 is any number."`
	MaxOpencode int `key:"MAX_CONCURRENT_AGENTS_OPENCODE" name:"max-concurrent-agents-opencode" default:"0" hidden:"" help:"How many of these may be opencode; 0 is any number."`
	MaxCommand  int `key:"MAX_CONCURRENT_AGENTS_COMMAND" name:"max-concurrent-agents-command" default:"0" hidden:"" help:"How many of these may be the agent 'command'; 0 is any number."`

	Engine       string        `key:"KUGETSU_ENGINE" name:"kugetsu-engine" default:"local" hidden:"" help:"Where the runs of dev agents are started: local (this machine) or slurm (each is a job of a Slurm cluster that has KUGETSU_DIR, too)."`
	EnginePM     string        `key:"KUGETSU_ENGINE_PM" name:"kugetsu-engine-pm" default:"local" hidden:"" help:"The same for the PM agent."`
	SlurmArgs    string        `key:"SLURM_ARGS" hidden:"" help:"Arguments of sbatch for each run (-p main --account lab)."`
	SlurmLicense string        `key:"SLURM_LICENSE" hidden:"" help:"License of Slurm of which each run takes one, so that the site can bound the runs of all users."`
	SlurmConf    string        `key:"SLURM_CONF" hidden:"" help:"Slurm's configuration, an absolute path, where it is not at its usual place."`
	SlurmTick    bool          `key:"SLURM_TICK" default:"false" negatable:"" hidden:"" help:"Whether the end of a run on Slurm starts a tick on its node. File locks must reach across the nodes for that."`
	SlurmWorkdir string        `key:"SLURM_WORKDIR" hidden:"" help:"Folder on the own disk of each node, an absolute path (/scratch/you): runs on Slurm have their worktrees there, and bring back what they leave (default: worktrees in KUGETSU_DIR)."`
	SlurmFence   time.Duration `key:"SLURM_FENCE" default:"2m" hidden:"" help:"How long a run whose job is gone without an end may live on, with its node out of reach: only then its task is tried again."`

	RunHours      Hours `key:"RUN_HOURS" hidden:"" help:"When something may start, in local time: Mon-Fri 22:00-07:00, Sat-Sun 00:00-24:00 (default: always)."`
	HoursClaude   Hours `key:"RUN_HOURS_CLAUDE" name:"run-hours-claude" hidden:"" help:"When claude may start, beside RUN_HOURS."`
	HoursCodex    Hours `key:"RUN_HOURS_CODEX" name:"run-hours-codex" hidden:"" help:"When codex may start, beside RUN_HOURS."`
	HoursGemini   Hours `key:"RUN_HOURS_GEMINI" name:"run-hours-gemini" hidden:"" help:"When gemini may start, beside RUN_HOURS."`
	HoursOpencode Hours `key:"RUN_HOURS_OPENCODE" name:"run-hours-opencode" hidden:"" help:"When opencode may start, beside RUN_HOURS."`
	HoursCommand  Hours `key:"RUN_HOURS_COMMAND" name:"run-hours-command" hidden:"" help:"When the agent 'command' may start, beside RUN_HOURS."`

	MaxRuns         int     `key:"MAX_RUNS_PER_DAY" name:"max-runs-per-day" default:"0" hidden:"" help:"How many runs may begin within 24 hours; 0 is any number."`
	MaxRunsClaude   int     `key:"MAX_RUNS_PER_DAY_CLAUDE" name:"max-runs-per-day-claude" default:"0" hidden:"" help:"How many of these may be of claude; 0 is any number."`
	MaxRunsCodex    int     `key:"MAX_RUNS_PER_DAY_CODEX" name:"max-runs-per-day-codex" default:"0" hidden:"" help:"How many of these may be of codex; 0 is any number."`
	MaxRunsGemini   int     `key:"MAX_RUNS_PER_DAY_GEMINI" name:"max-runs-per-day-gemini" default:"0" hidden:"" help:"How many of these may be of gemini; 0 is any number."`
	MaxRunsOpencode int     `key:"MAX_RUNS_PER_DAY_OPENCODE" name:"max-runs-per-day-opencode" default:"0" hidden:"" help:"How many of these may be of opencode; 0 is any number."`
	MaxRunsCommand  int     `key:"MAX_RUNS_PER_DAY_COMMAND" name:"max-runs-per-day-command" default:"0" hidden:"" help:"How many of these may be of the agent 'command'; 0 is any number."`
	MaxCost         Dollars `key:"MAX_COST_PER_DAY" name:"max-cost-per-day" default:"0" hidden:"" help:"US dollars after which nothing starts until less was spent within 24 hours (25, 12.50), of the agents that tell dollars; 0 is any amount."`
	MaxCostClaude   Dollars `key:"MAX_COST_PER_DAY_CLAUDE" name:"max-cost-per-day-claude" default:"0" hidden:"" help:"The same for claude alone; 0 is any amount."`
	MaxCostCodex    Dollars `key:"MAX_COST_PER_DAY_CODEX" name:"max-cost-per-day-codex" default:"0" hidden:"" help:"The same for codex alone; 0 is any amount."`
	MaxCostGemini   Dollars `key:"MAX_COST_PER_DAY_GEMINI" name:"max-cost-per-day-gemini" default:"0" hidden:"" help:"The same for gemini alone; 0 is any amount."`
	MaxCostOpencode Dollars `key:"MAX_COST_PER_DAY_OPENCODE" name:"max-cost-per-day-opencode" default:"0" hidden:"" help:"The same for opencode alone; 0 is any amount."`
	MaxCostCommand  Dollars `key:"MAX_COST_PER_DAY_COMMAND" name:"max-cost-per-day-command" default:"0" hidden:"" help:"The same for the agent 'command' alone; 0 is any amount."`

	Reserve Reserve `key:"QUOTA_RESERVE" name:"quota-reserve" hidden:"" help:"Percent of each window of an agent's quota that is left for you (20; five_hour=10,seven_day=25): with less left, nothing new of that agent starts until the window's reset. Of agents that tell it; 0 is off (default)."`

	MaxAttempts int           `key:"MAX_ATTEMPTS" default:"3" hidden:"" help:"Number of attempts that may fail before an item is an error."`
	RetryDelay  time.Duration `key:"RETRY_DELAY" default:"1m" hidden:"" help:"Time before the first retry (30s, 5m). It doubles with each further retry, up to a day."`
	TaskTimeout time.Duration `key:"TASK_TIMEOUT" hidden:"" help:"Time limit of a run (45m, 2h). It wins over TASK_TIMEOUT_HOURS."`
	TaskHours   int           `key:"TASK_TIMEOUT_HOURS" name:"task-timeout-hours" default:"1" hidden:"" help:"Time limit of a run in whole hours, where TASK_TIMEOUT is not set."`

	IdleTimeout time.Duration `key:"IDLE_TIMEOUT" default:"0s" hidden:"" help:"Time without progress after which an agent is ended (20m). 0 turns it off."`
	HoldMax     time.Duration `key:"HOLD_MAX" default:"6h" hidden:"" help:"Longest time that an agent, or the host of a remote, is on hold before one run tries it again (30m, 6h)."`
	AutoResume  bool          `key:"AUTO_RESUME" default:"true" negatable:"" hidden:"" help:"Whether an agent is tried again once its usage limit is over. With false it is on hold until kugetsu resume."`

	AgentMemory    Memory `key:"AGENT_MEMORY" default:"600M" hidden:"" help:"Memory that must be available before an agent starts (600M, 2G, 512MiB), or auto: what nine of ten of its last 20 runs did not exceed. 0 turns the check off. On Slurm it is what a job gets (auto: half as much again), or MAX_AGENT_MEMORY where that is more."`
	MaxAgentMemory Size   `key:"MAX_AGENT_MEMORY" default:"0" hidden:"" help:"Memory that the processes of a run may have together (2G, 1500M); a run that has more is ended. 0 turns the check off."`
	MinFreeDisk    Size   `key:"MIN_FREE_DISK" default:"512M" hidden:"" help:"Disk space that must be free in the state folder before an agent starts (512M, 2G). 0 turns the check off."`
	MaxReview      int    `key:"MAX_AWAITING_REVIEW" name:"max-awaiting-review" default:"0" hidden:"" help:"Number of open pull requests from which on no new work starts. 0 turns the check off."`

	Agent           string `key:"KUGETSU_AGENT" name:"kugetsu-agent" default:"opencode" hidden:"" help:"Agent of new items: opencode, claude, codex, gemini or command. Of several (claude,codex) each run takes the first that may start."`
	AgentArgs       string `key:"AGENT_ARGS" hidden:"" help:"Arguments added to the command line of the agent that KUGETSU_AGENT names, of several the first (-m provider/model)."`
	ArgsClaude      string `key:"AGENT_ARGS_CLAUDE" name:"agent-args-claude" hidden:"" help:"Arguments added to the command line of claude, in place of AGENT_ARGS."`
	ArgsCodex       string `key:"AGENT_ARGS_CODEX" name:"agent-args-codex" hidden:"" help:"Arguments added to the command line of codex, in place of AGENT_ARGS."`
	ArgsGemini      string `key:"AGENT_ARGS_GEMINI" name:"agent-args-gemini" hidden:"" help:"Arguments added to the command line of gemini, in place of AGENT_ARGS."`
	ArgsOpencode    string `key:"AGENT_ARGS_OPENCODE" name:"agent-args-opencode" hidden:"" help:"Arguments added to the command line of opencode, in place of AGENT_ARGS."`
	AgentCommand    string `key:"AGENT_COMMAND" hidden:"" help:"Command line of the agent 'command'. {worktree}, {issue_ref}, {session} and {message_file} are replaced; stdin is the message."`
	ContinueCommand string `key:"AGENT_CONTINUE_COMMAND" name:"agent-continue-command" hidden:"" help:"Command line with which the agent 'command' continues a session (default: AGENT_COMMAND)."`
	AgentPrefix     string `key:"AGENT_PREFIX" hidden:"" help:"Command line put before that of every agent (prlimit, bwrap, systemd-run)."`

	GitServer     string        `key:"DEFAULT_GIT_SERVER" name:"default-git-server" default:"github.com" hidden:"" help:"Host of issue references that name no host."`
	CloneURL      string        `key:"GIT_CLONE_URL" name:"git-clone-url" default:"{scheme}://{host}/{path}.git" hidden:"" help:"URL that a repository is cloned from, unless repos.json names one. {scheme}, {host} and {path} are replaced."`
	BaseBranch    string        `key:"KUGETSU_BASE_BRANCH" name:"kugetsu-base-branch" hidden:"" help:"Branch that new branches start from (default: the default branch of the remote)."`
	WorktreeHook  string        `key:"WORKTREE_HOOK" hidden:"" help:"Command that runs in every new worktree (npm ci). Where it fails, the run fails."`
	Verify        string        `key:"VERIFY_COMMAND" name:"verify-command" hidden:"" help:"Command that verifies a run whose agent is done: it runs in the worktree, and exit 0 means verified (make test). Otherwise the agent is told, and tries again."`
	VerifyTimeout time.Duration `key:"VERIFY_TIMEOUT" name:"verify-timeout" default:"15m" hidden:"" help:"Time limit of VERIFY_COMMAND (90s, 15m)."`

	Follow         Follow        `key:"FOLLOW_PR" name:"follow-pr" hidden:"" help:"What of a session's pull request becomes a task for its agent: some of ci (failed checks), review (requested changes), conflict; draft follows drafts, too (default: nothing, since each task spends money)."`
	FollowInterval time.Duration `key:"FOLLOW_INTERVAL" name:"follow-interval" default:"15m" hidden:"" help:"How often the forge is asked about a pull request that is followed, at most (15m, 1h)."`
	FollowPriority int           `key:"FOLLOW_PRIORITY" name:"follow-priority" default:"40" hidden:"" help:"Priority of the tasks that FOLLOW_PR makes, 0 to 99."`
	FollowMax      int           `key:"FOLLOW_MAX" name:"follow-max" default:"3" hidden:"" help:"Number of tasks that FOLLOW_PR makes of one pull request, 1 to 100. Then it needs a person, and no more are made until a person continues the issue."`

	Identity string `key:"GIT_IDENTITY" name:"git-identity" hidden:"" help:"Author of an agent's commits where git knows none: Name <email> (default: kugetsu <kugetsu@localhost>)."`

	MaxWorktrees int `key:"MAX_WORKTREES" name:"max-worktrees" default:"0" hidden:"" help:"Number of worktrees to keep. Beyond it the oldest ones that hold no work are removed. 0 keeps any number."`
	WorktreeDays int `key:"MAX_WORKTREE_AGE_DAYS" name:"max-worktree-age-days" default:"0" hidden:"" help:"Days without use after which a worktree that holds no work is removed. 0 keeps it for any time."`

	NotifyCommand string       `key:"NOTIFY_COMMAND" hidden:"" help:"Command that runs for each event of NOTIFY_EVENTS, with the event as JSON on stdin."`
	NotifyEvents  event.Choice `key:"NOTIFY_EVENTS" name:"notify-events" hidden:"" help:"Events given to NOTIFY_COMMAND: names of events, all, or default (what a person acts on or waits for); -NAME leaves one out (default task_retry -queue_empty)."`
	DigestAt      Daily        `key:"DIGEST_AT" name:"digest-at" hidden:"" help:"Time of day, in local time, after which the first tick tells the event digest: what was done since the last one (08:00; default: never)."`
	StatusPage    string       `key:"STATUS_PAGE" name:"status-page" hidden:"" help:"File, an absolute path, to which ticks write the page that kugetsu page shows, once a minute at most."`
	MetricsFile   string       `key:"METRICS_FILE" name:"metrics-file" hidden:"" help:"File, an absolute path that ends in .prom, to which ticks write metrics for the textfile collector of Prometheus' node_exporter."`
}

// Options returns the options with which kong reads settings, numbers and durations by our rules. Every grammar uses them.
func Options(source *Source) []kong.Option {
	return append(Mappers(), kong.Resolvers(source))
}

// Mappers returns the options with which kong reads numbers and durations by our rules, for a grammar without settings.
func Mappers() []kong.Option {
	return []kong.Option{kong.KindMapper(reflect.Int, kong.MapperFunc(decimal)),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(duration))}
}

// decode reads the value of a setting as kong reads that of its flag, without the way through JSON that kong takes.
func decode(text string, target reflect.Value) (err error) {
	text = string([]rune(text)) // as JSON does, where it is not UTF-8
	switch v := target.Addr().Interface().(type) {
	case encoding.TextUnmarshaler:
		return v.UnmarshalText([]byte(text))
	case *time.Duration:
		*v, err = parseDuration(text)
	case *int:
		*v, err = ParseInt(text)
	case *string:
		*v = text
	case *bool:
		*v, err = parseBool(text)
	default:
		panic(fmt.Sprintf("no setting is a %T", v))
	}
	return err
}

func parseBool(text string) (bool, error) {
	switch text = strings.ToLower(text); text {
	case "true", "1", "yes":
		return true, nil
	case "false", "0", "no":
		return false, nil
	}
	return false, fmt.Errorf("bool value must be true, 1, yes, false, 0 or no but got %q", text)
}

// decimal reads a whole number in decimal digits. kong itself follows the syntax of a Go program: 010 is 8, 08 is an error, and
// 0x10 and 1_000 are numbers.
func decimal(ctx *kong.DecodeContext, target reflect.Value) error {
	var word string
	if err := ctx.Scan.PopValueInto("number", &word); err != nil {
		return err
	}
	n, err := ParseInt(word)
	if err != nil {
		return err
	}
	target.SetInt(int64(n))
	return nil
}

// duration reads a duration as Go writes it; the error shows how.
func duration(ctx *kong.DecodeContext, target reflect.Value) error {
	var word string
	if err := ctx.Scan.PopValueInto("duration", &word); err != nil {
		return err
	}
	d, err := parseDuration(word)
	if err != nil {
		return err
	}
	target.SetInt(int64(d))
	return nil
}

func parseDuration(word string) (time.Duration, error) {
	d, err := time.ParseDuration(word)
	if err != nil {
		return 0, fmt.Errorf("%.40q is not a duration: write 90s, 15m or 1h30m", word)
	}
	return d, nil
}

// ParseInt reads a whole number in decimal digits. It reads every number that a person writes.
func ParseInt(word string) (int, error) {
	n, err := strconv.Atoi(word)
	if digits := strings.TrimLeft(word, "+-"); err != nil && digits != "" && strings.Trim(digits, "0123456789") == "" {
		return 0, fmt.Errorf("%.40q is too large a number", word)
	}
	if err != nil {
		return 0, fmt.Errorf("%.40q is not a whole number in decimal digits", word)
	}
	return n, nil
}

// Home returns the state folder: $KUGETSU_DIR, or ~/.kugetsu. The error asks for exit code 78.
//
// ~ is $HOME, not the home folder of the password file, so that a test or a container with a HOME of its own never writes into
// the real queue.
func Home() (string, error) {
	dir := os.Getenv("KUGETSU_DIR")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fault.New(fault.Config, "set HOME or KUGETSU_DIR", "there is no place for the state folder: %w", err)
		}
		dir = filepath.Join(home, ".kugetsu")
	}
	if !filepath.IsAbs(dir) {
		return "", fault.New(fault.Config, "write it out from the root: /home/you/.kugetsu", "the state folder %q is not an absolute path", dir)
	}
	if !plainPath(dir) {
		return "", fault.New(fault.Config, "set KUGETSU_DIR to a folder with another name; a link to this one will do",
			"the name of the state folder %q is not UTF-8, or holds control characters", dir)
	}
	return filepath.Clean(dir), nil
}

// plainPath reports whether JSON, git's files and a schedule can hold a path unchanged.
func plainPath(path string) bool {
	return utf8.ValidString(path) && !strings.ContainsFunc(path, unicode.IsControl)
}

// Timeout returns the time limit of a run.
func (s *Settings) Timeout() time.Duration {
	if s.TaskTimeout > 0 {
		return s.TaskTimeout
	}
	return time.Duration(s.TaskHours) * time.Hour
}

// The engines.
const (
	Local = "local"
	Slurm = "slurm"
)

// MinFence is the least of SLURM_FENCE: a runner looks for the fence each second, and its agent gets 5 s to end.
const MinFence = 10 * time.Second

// Agents are the agents that KUGETSU_AGENT names, in their order: one at least.
func (s *Settings) Agents() []string { return SplitAgents(s.Agent) }

// SplitAgents reads agents that are named with commas, each once. It does not know whether there are such agents.
func SplitAgents(text string) []string {
	var names []string
	for name := range strings.SplitSeq(text, ",") {
		if name = strings.TrimSpace(name); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// Args returns the arguments added to a preset's command line: its own, or else AGENT_ARGS. AGENT_ARGS is for the agent that
// KUGETSU_AGENT names; an item of another agent must not get it.
func (s *Settings) Args(preset string) string {
	own := map[string]string{"claude": s.ArgsClaude, "codex": s.ArgsCodex, "gemini": s.ArgsGemini, "opencode": s.ArgsOpencode}[preset]
	if own == "" && preset == s.Agents()[0] {
		return s.AgentArgs
	}
	return own
}

// MaxOf is how many agents of a preset may run at once; 0 is any number.
func (s *Settings) MaxOf(preset string) int {
	return map[string]int{"claude": s.MaxClaude, "codex": s.MaxCodex, "gemini": s.MaxGemini, "opencode": s.MaxOpencode, "command": s.MaxCommand}[preset]
}

// HoursOf is when agents of a preset may start, beside RUN_HOURS.
func (s *Settings) HoursOf(preset string) Hours {
	return map[string]Hours{"claude": s.HoursClaude, "codex": s.HoursCodex, "gemini": s.HoursGemini, "opencode": s.HoursOpencode, "command": s.HoursCommand}[preset]
}

// BudgetOf is how many runs of a preset may begin, and what they may cost, within 24 hours; 0 is any.
func (s *Settings) BudgetOf(preset string) (runs int, cost Dollars) {
	switch preset {
	case "claude":
		return s.MaxRunsClaude, s.MaxCostClaude
	case "codex":
		return s.MaxRunsCodex, s.MaxCostCodex
	case "gemini":
		return s.MaxRunsGemini, s.MaxCostGemini
	case "opencode":
		return s.MaxRunsOpencode, s.MaxCostOpencode
	case "command":
		return s.MaxRunsCommand, s.MaxCostCommand
	}
	return 0, 0
}

// Suffix ends the name of a setting that is for one preset alone.
func Suffix(preset string) string { return "_" + strings.ToUpper(preset) }

// CleanupAge returns how long settled items are kept.
func (s *Settings) CleanupAge() time.Duration { return time.Duration(s.CleanupDays) * 24 * time.Hour }

// check finds values of the right type that are out of bounds, and replaces them by the defaults. A tick with a bad
// configuration still settles runs, and needs some valid values for that.
func (s *Settings) check(home string) error {
	var c checker
	number, duration, folder, words, command, replaced := c.number, c.duration, c.folder, c.words, c.command, c.replaced
	if _, err := git.ParseIdentity(s.Identity); err != nil {
		c.bad("GIT_IDENTITY: %w", err)
		s.Identity = ""
	}
	number(&s.MaxAgents, 0, 999, 3, "MAX_CONCURRENT_AGENTS")
	for preset, most := range map[string]*int{"CLAUDE": &s.MaxClaude, "CODEX": &s.MaxCodex, "GEMINI": &s.MaxGemini, "OPENCODE": &s.MaxOpencode, "COMMAND": &s.MaxCommand} {
		number(most, 0, 999, 0, "MAX_CONCURRENT_AGENTS_"+preset)
	}
	number(&s.MaxRuns, 0, 1000000, 0, "MAX_RUNS_PER_DAY")
	for preset, most := range map[string]*int{"CLAUDE": &s.MaxRunsClaude, "CODEX": &s.MaxRunsCodex, "GEMINI": &s.MaxRunsGemini, "OPENCODE": &s.MaxRunsOpencode, "COMMAND": &s.MaxRunsCommand} {
		number(most, 0, 1000000, 0, "MAX_RUNS_PER_DAY_"+preset)
	}
	number(&s.Interval, 1, 59, 5, "QUEUE_DAEMON_INTERVAL_MINUTES") // cron and systemd count within the hour
	number(&s.MaxAttempts, 1, 1000, 3, "MAX_ATTEMPTS")
	number(&s.MaxWorktrees, 0, 100000, 0, "MAX_WORKTREES")
	number(&s.WorktreeDays, 0, 36500, 0, "MAX_WORKTREE_AGE_DAYS")
	number(&s.TaskHours, 1, 24*365, 1, "TASK_TIMEOUT_HOURS")
	number(&s.MaxReview, 0, 9999, 0, "MAX_AWAITING_REVIEW")
	number(&s.CleanupDays, 1, 36500, 7, "QUEUE_CLEANUP_AGE_DAYS")
	duration(&s.RetryDelay, time.Minute, "RETRY_DELAY")
	duration(&s.TaskTimeout, 0, "TASK_TIMEOUT")
	duration(&s.IdleTimeout, 0, "IDLE_TIMEOUT")
	duration(&s.HoldMax, 6*time.Hour, "HOLD_MAX")
	if s.SlurmFence < MinFence {
		c.bad("SLURM_FENCE must be %s or more", MinFence)
		s.SlurmFence = 2 * time.Minute
	}
	for _, engine := range []struct {
		v   *string
		key string
	}{{&s.Engine, "KUGETSU_ENGINE"}, {&s.EnginePM, "KUGETSU_ENGINE_PM"}} {
		if *engine.v != Local && *engine.v != Slurm {
			c.bad("%s must be %s or %s, not %q", engine.key, Local, Slurm, *engine.v)
			*engine.v = Local
		}
	}
	folder(&s.SlurmConf, "SLURM_CONF")
	folder(&s.SlurmWorkdir, "SLURM_WORKDIR")
	if s.SlurmWorkdir != "" && (s.SlurmWorkdir == home || strings.HasPrefix(filepath.Clean(s.SlurmWorkdir)+"/", filepath.Clean(home)+"/")) {
		c.bad("SLURM_WORKDIR must not be in KUGETSU_DIR, which all nodes share: %s", s.SlurmWorkdir)
		s.SlurmWorkdir = ""
	}
	c.slurm(s)
	for _, d := range []struct {
		v   *time.Duration
		key string
	}{{&s.VerifyTimeout, "VERIFY_TIMEOUT"}, {&s.FollowInterval, "FOLLOW_INTERVAL"}} {
		if *d.v <= 0 {
			c.bad("%s must be more than 0", d.key)
			*d.v = 15 * time.Minute
		}
	}
	number(&s.FollowPriority, 0, 99, 40, "FOLLOW_PRIORITY")
	number(&s.FollowMax, 1, 100, 3, "FOLLOW_MAX")
	folder(&s.QueueDir, "QUEUE_DIR")
	folder(&s.QueueItemsDir, "QUEUE_ITEMS_DIR")
	c.export(&s.StatusPage, "STATUS_PAGE", home, s.QueueDir, s.QueueItemsDir)
	c.export(&s.MetricsFile, "METRICS_FILE", home, s.QueueDir, s.QueueItemsDir)
	words(&s.AgentArgs, "AGENT_ARGS")
	words(&s.ArgsClaude, "AGENT_ARGS_CLAUDE")
	words(&s.ArgsCodex, "AGENT_ARGS_CODEX")
	words(&s.ArgsGemini, "AGENT_ARGS_GEMINI")
	words(&s.ArgsOpencode, "AGENT_ARGS_OPENCODE")
	command(&s.AgentCommand, "AGENT_COMMAND")
	command(&s.ContinueCommand, "AGENT_CONTINUE_COMMAND")
	replaced(s.AgentCommand, "AGENT_COMMAND", agent.Placeholders...)
	replaced(s.ContinueCommand, "AGENT_CONTINUE_COMMAND", agent.Placeholders...)
	replaced(s.CloneURL, "GIT_CLONE_URL", "{scheme}", "{host}", "{path}")
	command(&s.AgentPrefix, "AGENT_PREFIX")
	command(&s.WorktreeHook, "WORKTREE_HOOK")
	command(&s.Verify, "VERIFY_COMMAND")
	command(&s.NotifyCommand, "NOTIFY_COMMAND")
	return errors.Join(c.errs...)
}

// checker collects the errors of check.
type checker struct{ errs []error }

func (c *checker) bad(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(format, args...))
}

func (c *checker) number(v *int, lo, hi, def int, key string) {
	if *v < lo || *v > hi {
		c.bad("%s must be between %d and %d, not %d", key, lo, hi, *v)
		*v = def
	}
}

func (c *checker) duration(v *time.Duration, def time.Duration, key string) {
	if *v < 0 {
		c.bad("%s must not be negative", key)
		*v = def
	}
}

func (c *checker) folder(v *string, key string) {
	if *v != "" && !filepath.IsAbs(*v) {
		c.bad("%s must be an absolute path, not %q", key, *v)
		*v = ""
	}
	if !plainPath(*v) {
		c.bad("%s is not UTF-8, or holds control characters: %q", key, *v)
		*v = ""
	}
}

// ours are the options of sbatch that a run depends on. Those with a value of ours are overridden; with one of these a job would be
// another one than was meant.
var ours = []string{"-J", "--job-name", "-a", "--array", "-W", "--wait", "--wrap", "--test-only", "-M", "--clusters", "--requeue", "-H", "--hold", "-D", "--chdir"}

// slurm refuses arguments of sbatch that would change what a job is.
func (c *checker) slurm(s *Settings) {
	words, err := agent.Split(s.SlurmArgs)
	if err != nil {
		c.bad("SLURM_ARGS: %w%s", err, advice(err))
	}
	for _, word := range words {
		name, _, _ := strings.Cut(word, "=")
		if err = nil; slices.Contains(ours, name) || word == "" || word == "--" {
			err = fmt.Errorf("%q is not for a run of kugetsu", word)
			c.bad("SLURM_ARGS: %w", err)
			break
		}
	}
	if err == nil && len(words) > 0 && !strings.HasPrefix(words[0], "-") {
		err = fmt.Errorf("%q is no option", words[0])
		c.bad("SLURM_ARGS: %w", err)
	}
	if err != nil {
		s.SlurmArgs = ""
	}
	if strings.ContainsFunc(s.SlurmLicense, func(r rune) bool { return r <= ' ' || strings.ContainsRune(":,", r) }) {
		c.bad("SLURM_LICENSE must be the name of one license, not %q", s.SlurmLicense)
		s.SlurmLicense = ""
	}
}

// export refuses a file in a folder of kugetsu's own: it would replace a state file. It goes by the name alone, since the folder of the
// file may not answer; spool.Export looks where the name leads.
func (c *checker) export(v *string, key string, own ...string) {
	c.folder(v, key)
	for _, folder := range own {
		rel, err := filepath.Rel(folder, *v)
		if *v == "" || folder == "" || err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
			continue
		}
		c.bad("%s must not lie in %s, where kugetsu keeps its own files: %s", key, folder, *v)
		*v = ""
	}
}

// advice is the hint of an error as the end of its line: the error of a configuration may have many, and one hint.
func advice(err error) string {
	if hint := fault.HintOf(err); hint != "" {
		return ": " + hint
	}
	return ""
}

func (c *checker) words(v *string, key string) { c.split(v, key, agent.Split) }

func (c *checker) command(v *string, key string) { c.split(v, key, agent.Command) }

func (c *checker) split(v *string, key string, split func(string) ([]string, error)) {
	if _, err := split(*v); err != nil {
		c.bad("%s: %w%s", key, err, advice(err))
		*v = ""
	}
}

// replaced refuses a word in braces that would not be replaced: the program would get it as it is.
func (c *checker) replaced(v, key string, known ...string) {
	for _, word := range placeholder().FindAllString(v, -1) {
		if word[0] != '$' && !slices.Contains(known, word) {
			c.bad("%s: %s is not replaced: there are %s", key, word, strings.Join(known, ", "))
		}
	}
}

// placeholder matches what looks like a word to be replaced; ${word} is for a shell.
var placeholder = pattern.Lazy(`\$?\{[a-z_]+\}`)

// Keys lists the names of all settings that an environment may set.
func Keys() []string {
	t := reflect.TypeFor[Settings]()
	keys := make([]string, t.NumField())
	for i := range keys {
		keys[i] = t.Field(i).Tag.Get("key")
	}
	return keys
}

// IsFlag says whether a word of a command line looks like the flag of a setting.
func IsFlag(word string) bool {
	name, long := strings.CutPrefix(word, "--")
	if !long {
		return false
	}
	name, _, _ = strings.Cut(strings.TrimPrefix(name, "no-"), "=")
	return slices.Contains(Keys(), strings.ToUpper(strings.ReplaceAll(name, "-", "_")))
}
