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

// Source reads settings from the environment and the config file. It is a kong resolver.
//
// kong could read the environment itself, but it asks its resolvers afterwards, so a file would win over the environment.
// Therefore no flag of Settings has an env tag, and Source looks into both in the right order. A value that does not fit is
// kept as a problem, and the default is used: a tick with a bad configuration must still settle the runs that ended.
type Source struct {
	path     string
	file     map[string]string
	lines    map[string]int // the line of the file that sets each key
	fatal    error
	problems []problem
	known    []string
	flags    map[string]string
}

// problem is something wrong with the configuration, and where it is to be corrected.
type problem struct {
	line int    // of the file; 0 where it stands elsewhere
	from string // where that is, such as a variable; "" for the command line
	text string // all of it, with its place
}

// Base lists the variables that agents, git and hooks get from the config file alone. cron's PATH is too short for them, and
// their values must not depend on who started the tick.
var Base = []string{"PATH", "LANG", "SSH_AUTH_SOCK", "XDG_RUNTIME_DIR"}

// removed lists the settings of the first kugetsu that are gone, with the replacement of each.
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

// maxProblems is how many wrong lines of the config file are reported one by one.
const maxProblems = 10

// Open reads the config file of the state folder. A missing file is an empty one, and so is one in a folder that is not believed.
// Open never fails: Err has the error.
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
		// An unreadable file is not a missing one: with the defaults the queue might be another one.
		code, hint := fault.Temp, "" // EIO or EMFILE may pass; the file itself may be good
		if errors.Is(err, spool.ErrUnusable) {
			code, hint = fault.Config, "correct or remove it"
		}
		s.fatal = fault.New(code, hint, "the configuration cannot be read: %w", err)
		return s
	}
	vars, bad := envfile.Parse(data)
	for n, p := range bad {
		if n == maxProblems {
			s.problem(p.Line, "it is refused, and so are %d lines more", len(bad)-n-1)
			break
		}
		s.problem(p.Line, "%s", p.Why)
	}
	for _, v := range vars {
		if len(s.problems) <= maxProblems && expands(v) {
			why := "only a shell would expand this: write it out"
			if !envfile.IsPath(v.Name) {
				why += ", or put it in single quotes"
			}
			s.problem(v.Line, "%s", why)
		}
		s.file[v.Name], s.lines[v.Name] = v.Value, v.Line
	}
	return s
}

// expands reports whether a shell would change a value: run a command, or replace a ~ at the beginning of a path.
func expands(v envfile.Var) bool {
	return !v.Literal && (strings.HasPrefix(v.Value, "~") || strings.Contains(v.Value, ":~/") || strings.Contains(v.Value, "`"))
}

func (s *Source) problem(line int, format string, args ...any) {
	s.note(s.inLine(line, fmt.Sprintf(format, args...)))
}

// inLine is a problem of a line of the file.
func (s *Source) inLine(line int, text string) problem {
	return problem{line: line, text: fmt.Sprintf("%s: line %d: %s", s.path, line, text)}
}

// note keeps a problem once. kong asks for the value of a flag several times.
func (s *Source) note(p problem) {
	if !slices.Contains(s.problems, p) {
		s.problems = append(s.problems, p)
	}
}

// Load reads the settings from this process's environment and the config file, without flags. It always returns settings; the
// error is that of Err.
func Load(home string, believed bool) (*Settings, *Source, error) {
	source := Open(home, believed)
	var set Settings
	source.Fill(&set)
	return &set, source, source.Err(&set)
}

// Fill sets the settings from this process's environment and the config file, without flags. It does what kong does with its resolvers,
// and is there since kong takes longer to build their flags than most commands take for their work.
func (s *Source) Fill(set *Settings) {
	*set = Settings{}
	for field, v := range reflect.ValueOf(set).Elem().Fields() {
		if _, ok := s.value(field.Tag.Get("key"), v); ok {
			continue
		}
		if text := field.Tag.Get("default"); text != "" {
			if err := decode(text, v); err != nil {
				panic(err) // it stands in Settings
			}
		}
	}
	s.unknown(Keys())
}

// Validate finds the keys in the file that are no settings, for kong.
func (s *Source) Validate(app *kong.Application) error {
	var keys []string
	for _, group := range app.AllFlags(false) {
		for _, flag := range group {
			if key := flag.Tag.Get("key"); key != "" {
				keys = append(keys, key)
			}
		}
	}
	s.unknown(keys)
	return nil
}

// unknown notes the keys in the file that are no settings.
func (s *Source) unknown(keys []string) {
	s.known = slices.Concat(Base, keys)
	inOrder := func(a, b string) int { return cmp.Compare(s.lines[a], s.lines[b]) }
	for _, key := range slices.SortedFunc(maps.Keys(s.file), inOrder) {
		switch instead, was := removed[key]; {
		case was:
			s.problem(s.lines[key], "%s is no longer a setting: %s", key, instead)
		case key == "KUGETSU_DIR":
			s.problem(s.lines[key], "KUGETSU_DIR cannot be set in the file that lies in it: set it in the environment")
		case !slices.Contains(s.known, key):
			s.problem(s.lines[key], "unknown setting %s%s", key, didYouMean(nearest(key, s.known)))
		}
	}
}

func didYouMean(key string) string {
	if key == "" {
		return ""
	}
	return " (did you mean " + key + "?)"
}

// Resolve returns the value of a setting that no flag sets, for kong.
func (s *Source) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	key := flag.Tag.Get("key")
	if key == "" {
		return nil, nil
	}
	if text, ok := s.value(key, reflect.New(flag.Target.Type()).Elem()); ok {
		return text, nil
	}
	return nil, nil
}

// value decodes what the environment or the file has for a setting into a target, and returns it as it is written. It returns false
// where neither has the setting, and where its value does not fit: then that is noted, and the target is left as it was.
func (s *Source) value(key string, target reflect.Value) (text string, ok bool) {
	text = cmp.Or(os.Getenv(key), s.file[key])
	if text == "" {
		return "", false
	}
	scratch := reflect.New(target.Type()).Elem()
	if err := decode(text, scratch); err != nil {
		s.note(s.placed(key, key+": "+err.Error()))
		return "", false
	}
	target.Set(scratch)
	return text, true
}

// Unreadable returns the error of a config file that exists and cannot be read. No command may go on then: even the place of
// the queue is not known.
func (s *Source) Unreadable() error { return s.fatal }

// Err returns all problems of the configuration as one error of one line. It asks for exit code 78.
func (s *Source) Err(set *Settings) error {
	if s.fatal != nil {
		return s.fatal
	}
	problems := slices.Clone(s.problems)
	if err := set.check(filepath.Dir(s.path)); err != nil {
		for text := range strings.SplitSeq(err.Error(), "\n") {
			key := text[:len(text)-len(strings.TrimLeft(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_"))] // it begins with that of the setting
			if s.flags[key] != "" {
				problems = append(problems, problem{text: text})
			} else {
				problems = append(problems, s.placed(key, text))
			}
		}
	}
	if len(problems) == 0 {
		return nil
	}
	var texts []string
	for _, p := range problems {
		texts = append(texts, p.text)
	}
	return fault.New(fault.Config, s.correct(problems), "bad configuration: %s", strings.Join(texts, "; "))
}

// placed is a problem of the value of a setting that no flag sets.
func (s *Source) placed(key, text string) problem {
	switch {
	case os.Getenv(key) != "":
		return problem{from: key + " in the environment", text: "the environment: " + text}
	case s.file[key] != "":
		return s.inLine(s.lines[key], text)
	}
	return problem{from: key, text: text}
}

// correct says what to do about problems, and where.
func (s *Source) correct(problems []problem) string {
	var lines, places []string
	for _, p := range problems {
		switch at := fmt.Sprint(p.line); {
		case p.line == 0:
			places = append(places, cmp.Or(p.from, "the command line"))
		case !slices.Contains(lines, at):
			lines = append(lines, at)
		}
	}
	slices.SortFunc(lines, func(a, b string) int { return cmp.Or(len(a)-len(b), cmp.Compare(a, b)) })
	switch len(lines) {
	case 0:
	case 1:
		places = append(places, "line "+lines[0]+" of "+s.path)
	default:
		places = append(places, "lines "+strings.Join(lines, ", ")+" of "+s.path)
	}
	return "correct " + strings.Join(places, ", and ") + ": nothing is started before that"
}

// File returns the value of a key in the config file alone, "" for none.
func (s *Source) File(key string) string { return s.file[key] }

// Flags remembers the settings of the command line. A run keeps the settings that it started with, also for the tick that its
// runner makes.
func (s *Source) Flags(kctx *kong.Context) {
	s.flags = map[string]string{}
	for _, p := range kctx.Path {
		if p.Flag != nil && !p.Resolved && p.Flag.Tag.Get("key") != "" {
			s.flags[p.Flag.Tag.Get("key")] = fmt.Sprint(kctx.FlagValue(p.Flag))
		}
	}
}

// Take returns a setting of the command line, "" where it is not there, and its value without that. From then on it is not a
// setting of this command: it is for one item.
func (s *Source) Take(key string) (flag, value string) {
	flag = s.flags[key]
	delete(s.flags, key)
	return flag, cmp.Or(os.Getenv(key), s.file[key])
}

// Environ returns the settings of the command line and the environment as KEY=value, sorted.
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
