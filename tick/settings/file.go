package settings

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"kugetsu/queue/fault"
	"kugetsu/queue/spool"
	"kugetsu/slots/envfile"
)

// Source is where settings come from: the environment and the config file. It is a kong resolver.
//
// kong would read the environment itself, but asks its resolvers afterwards and lets a file win over it; so no flag of
// Settings has an env tag, and Source looks into both, in the right order. A value that does not fit is kept as a
// problem and the default is used: a tick with a bad configuration must still reconcile what died.
type Source struct {
	path     string
	file     map[string]string
	lines    map[string]int // on which line of the file each key has its value
	fatal    error
	problems []string
	known    []string
	flags    map[string]string
}

// Base is what agents, git and hooks are given from the config file alone: cron's PATH is poor, and these must not
// depend on who ran the tick.
var Base = []string{"PATH", "LANG", "SSH_AUTH_SOCK", "XDG_RUNTIME_DIR"}

// removed settings of the first kugetsu, and what to do instead.
var removed = map[string]string{
	"QUEUE_DAEMON_BATCH_SIZE":      "a tick starts as many items as there are free slots: set MAX_CONCURRENT_AGENTS",
	"QUEUE_DAEMON_PID_FILE":        "there is no daemon and no pid file: remove the line",
	"QUEUE_DAEMON_LOCK_FILE":       "the lock is always tick.lock in KUGETSU_DIR: remove the line",
	"QUEUE_DAEMON_LOG_FILE":        "the log is always tick.log in KUGETSU_DIR: remove the line",
	"AGENT_CHECK_INTERVAL_MINUTES": "a runner waits for its agent, nothing is polled: remove the line",
	"SESSIONS_DIR":                 "it is always sessions in KUGETSU_DIR: remove the line",
	"WORKTREES_DIR":                "it is always worktrees in KUGETSU_DIR: remove the line",
	"LOGS_DIR":                     "logs are in runs in KUGETSU_DIR: remove the line",
	"LOCKS_DIR":                    "locks lie beside what they guard: remove the line",
	"CONTEXT_DIR":                  "agents keep their own conversations: remove the line",
	"ENABLE_CONTEXT_DUMP":          "agents keep their own conversations: remove the line",
	"KUGETSU_TEMP_DIR":             "every run has a TMPDIR of its own: remove the line",
	"KUGETSU_VERBOSITY":            "edit prompts/pm.md in KUGETSU_DIR instead",
	"GIT_SERVERS":                  "set DEFAULT_GIT_SERVER and GIT_CLONE_URL, or repos.json in KUGETSU_DIR",
	"GITEA_TOKEN":                  "tokens go into env/default.env in KUGETSU_DIR",
}

// maxProblems bounds the lines of the config file that are told of, each.
const maxProblems = 10

// Open reads the config file of the state folder, where there is one and it may be believed. It never fails: Err tells.
func Open(home string, believed bool) *Source {
	s := &Source{path: filepath.Join(home, "config"), file: map[string]string{}, lines: map[string]int{}}
	if !believed {
		return s
	}
	data, err := spool.ReadUser(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return s
	}
	if err != nil {
		// "Could not read" is never "is not there": defaults might mean another queue.
		code, hint := fault.Temp, "" // a passing reason, EIO or EMFILE, is not the file's fault
		if errors.Is(err, spool.ErrUnusable) {
			code, hint = fault.Config, "correct or remove it"
		}
		s.fatal = fault.New(code, hint, "the configuration cannot be read: %w", err)
		return s
	}
	vars, bad := envfile.Parse(data)
	for n, p := range bad {
		if n == maxProblems {
			s.problem("line %d and %d lines more", p.Line, len(bad)-n-1)
			break
		}
		s.problem("%s", p)
	}
	for _, v := range vars {
		if len(s.problems) <= maxProblems && expands(v) {
			s.problem("line %d: only a shell would expand this: write it out, or put it in single quotes", v.Line)
		}
		s.file[v.Name], s.lines[v.Name] = v.Value, v.Line
	}
	return s
}

// expands says whether a shell would make something of a value: a command, or a home folder at the beginning of a path.
func expands(v envfile.Var) bool {
	return !v.Literal && (strings.HasPrefix(v.Value, "~") || strings.Contains(v.Value, ":~/") || strings.Contains(v.Value, "`"))
}

func (s *Source) problem(format string, args ...any) {
	s.note(s.path + ": " + fmt.Sprintf(format, args...))
}

// note keeps a problem, once: kong asks for a flag's value more than once.
func (s *Source) note(problem string) {
	if !slices.Contains(s.problems, problem) {
		s.problems = append(s.problems, problem)
	}
}

// Load reads the settings as a command without flags would find them in this process's environment. It never fails: Err
// tells, and what it tells is returned beside the settings.
func Load(home string, believed bool) (*Settings, *Source, error) {
	source := Open(home, believed)
	var g struct{ Settings }
	parser, err := kong.New(&g, Options(source)...)
	if err == nil {
		_, err = parser.Parse(nil)
	}
	if err != nil {
		return &g.Settings, source, fault.New(fault.Config, "", "%w", err)
	}
	return &g.Settings, source, source.Err(&g.Settings)
}

// Validate finds the keys of the file that are no settings.
func (s *Source) Validate(app *kong.Application) error {
	s.known = slices.Clone(Base)
	for _, group := range app.AllFlags(false) {
		for _, flag := range group {
			if key := flag.Tag.Get("key"); key != "" {
				s.known = append(s.known, key)
			}
		}
	}
	inOrder := func(a, b string) int { return cmp.Compare(s.lines[a], s.lines[b]) }
	for _, key := range slices.SortedFunc(maps.Keys(s.file), inOrder) {
		switch instead, was := removed[key]; {
		case was:
			s.problem("line %d: %s is no longer a setting: %s", s.lines[key], key, instead)
		case key == "KUGETSU_DIR":
			s.problem("line %d: KUGETSU_DIR cannot be set in the file that lies in it: set it in the environment", s.lines[key])
		case !slices.Contains(s.known, key):
			s.problem("line %d: unknown setting %s%s", s.lines[key], key, didYouMean(nearest(key, s.known)))
		}
	}
	return nil
}

func didYouMean(key string) string {
	if key == "" {
		return ""
	}
	return " (did you mean " + key + "?)"
}

// where is the place of the file that sets a key.
func (s *Source) where(key string) string { return fmt.Sprintf("%s: line %d", s.path, s.lines[key]) }

// Resolve gives kong the value of a setting that no flag set.
func (s *Source) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	key := flag.Tag.Get("key")
	if key == "" {
		return nil, nil
	}
	for _, from := range []struct{ value, where string }{{os.Getenv(key), "the environment"}, {s.file[key], s.where(key)}} {
		if from.value == "" {
			continue
		}
		scratch := reflect.New(flag.Target.Type()).Elem()
		if err := flag.Parse(kong.ScanFromTokens(kong.Token{Type: kong.FlagValueToken, Value: from.value}), scratch); err != nil {
			why := strings.TrimPrefix(err.Error(), "--"+flag.Name+": ") // nobody used the flag
			s.note(fmt.Sprintf("%s: %s: %s", from.where, key, why))
			return nil, nil
		}
		return from.value, nil
	}
	return nil, nil
}

// Unreadable is the error for a config file that is there and cannot be read: then not even the place of the queue is
// known, and nothing may be done at all.
func (s *Source) Unreadable() error { return s.fatal }

// Err is everything that is wrong with the configuration, as one line. It asks for exit code 78.
func (s *Source) Err(set *Settings) error {
	if s.fatal != nil {
		return s.fatal
	}
	problems := slices.Clone(s.problems)
	if err := set.check(); err != nil {
		for problem := range strings.SplitSeq(err.Error(), "\n") {
			problems = append(problems, s.placed(problem))
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return fault.New(fault.Config, "contrib/doc/settings.md lists every setting; nothing is started until this is mended",
		"bad configuration: %s", strings.Join(problems, "; "))
}

// placed puts before a problem, which begins with the key of a setting, the place in which that has its value.
func (s *Source) placed(problem string) string {
	key := problem[:len(problem)-len(strings.TrimLeft(problem, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_"))]
	switch {
	case s.flags[key] != "":
		return problem // whoever typed it sees it
	case os.Getenv(key) != "":
		return "the environment: " + problem
	case s.file[key] != "":
		return s.where(key) + ": " + problem
	}
	return problem
}

// File is the value of a key in the config file alone, "" where it has none.
func (s *Source) File(key string) string { return s.file[key] }

// Flags remembers what was set on the command line: a run goes on under the settings that it was started with, also in
// the tick that its runner makes.
func (s *Source) Flags(kctx *kong.Context) {
	s.flags = map[string]string{}
	for _, p := range kctx.Path {
		if p.Flag != nil && !p.Resolved && p.Flag.Tag.Get("key") != "" {
			s.flags[p.Flag.Tag.Get("key")] = fmt.Sprint(kctx.FlagValue(p.Flag))
		}
	}
}

// Environ is the settings that were set by flags or in the environment, as KEY=value, sorted.
func (s *Source) Environ() []string {
	var env []string
	for _, key := range s.known {
		if v := cmp.Or(s.flags[key], os.Getenv(key)); v != "" && !slices.Contains(Base, key) {
			env = append(env, key+"="+v)
		}
	}
	slices.Sort(env)
	return env
}
