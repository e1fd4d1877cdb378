package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/queue/spool"
	"kugetsu/slots"
	"kugetsu/slots/agent"
	"kugetsu/slots/envfile"
	"kugetsu/slots/forge"
	"kugetsu/slots/proc"
	"kugetsu/tick/settings"
)

// askLimit bounds the wait for a program that is asked for its version. Some programs start slowly on a small machine.
const askLimit = 30 * time.Second

// maxAnswer bounds the answer, in bytes.
const maxAnswer = 64 << 10

// config adds the errors of the configuration. While there is one, a tick starts nothing.
func (x *Exam) config() {
	for _, err := range parts(x.Tick.Config) {
		x.add(Error, err.Error(), fault.HintOf(err))
	}
	if x.Tick.Settings.MaxAgents == 0 {
		x.add(Warn, "MAX_CONCURRENT_AGENTS is 0: runs continue, nothing is started", "set it in "+x.in("config"))
	}
	x.bounds()
	repos, _ := x.Tick.Repos() // x.Tick.Config has its error
	for _, repo := range slices.Sorted(maps.Keys(repos)) {
		if place := repos[repo]; filepath.IsAbs(place) {
			if _, err := os.Stat(place); err != nil {
				x.add(Error, fmt.Sprintf("repos.json: %s: %v", repo, err), "correct the path, or remove the line")
			}
		}
	}
}

// bounds warns of bounds on what an agent uses if that agent does not tell what it uses: such a bound never keeps the agent from
// starting.
func (x *Exam) bounds() {
	s := x.Tick.Settings
	for _, name := range agent.Names() {
		p, err := agent.Lookup(name)
		if err != nil {
			continue // agents has the error
		}
		mine := slices.Contains(s.Agents(), name)
		instead := "bound its runs: MAX_RUNS_PER_DAY" + settings.Suffix(name) + " in " + x.in("config")
		if _, usd := s.BudgetOf(name); !p.Dollars && usd > 0 {
			x.add(Warn, fmt.Sprintf("MAX_COST_PER_DAY%s bounds nothing: %s tells no dollars", settings.Suffix(name), name), instead)
		}
		if !p.Dollars && s.MaxCost > 0 && mine {
			x.add(Warn, fmt.Sprintf("MAX_COST_PER_DAY does not bound %s, which tells no dollars", name), instead)
		}
		if p.Accounts == nil && s.Reserve != "" && mine {
			x.add(Warn, fmt.Sprintf("QUOTA_RESERVE does not bound %s, which tells no quota", name), instead)
		}
	}
}

// parts returns the single errors in a tree of joined errors.
func parts(err error) (all []error) {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return slices.DeleteFunc([]error{err}, func(err error) bool { return err == nil })
	}
	for _, err := range joined.Unwrap() {
		all = append(all, parts(err)...)
	}
	return all
}

// path checks the PATH of the config, which goes out of date as programs are installed and removed.
func (x *Exam) path() {
	path := x.Tick.Source.File("PATH")
	if path == "" {
		line := PathLine(SearchPath(x.Shell["PATH"]))
		if _, err := os.Readlink(x.in("config")); err == nil { // doctor writes into no file that a link leads to
			x.add(Warn, "the config sets no PATH: agents get cron's, "+os.Getenv("PATH"), "put into what "+x.in("config")+" is a link to: "+line)
			x.last().explains = x.notInPath
			return
		}
		x.repair(Warn, "the config sets no PATH: agents get cron's, "+os.Getenv("PATH"), "put into "+x.in("config")+": "+line,
			func() error { return x.addLine(line) })
		x.last().explains = x.notInPath
		return
	}
	for _, dir := range filepath.SplitList(path) {
		if info, err := os.Stat(dir); forShell(dir) { // environment has the finding
			continue
		} else if !filepath.IsAbs(dir) {
			x.add(Warn, fmt.Sprintf("the folder %q in the PATH of the config is relative and is not searched", dir), "write it out from the root, or remove it")
		} else if err != nil || !info.IsDir() {
			x.add(Warn, fmt.Sprintf("the folder %s in the PATH of the config does not exist", dir), "remove it, or install again what was in it")
		}
	}
	if missing, line := Lacking(x.Shell["PATH"], path); len(missing) > 0 {
		names := make([]string, len(missing))
		for i, f := range missing {
			names[i] = f.Path
		}
		x.add(Warn, "the PATH of the config lacks what this shell finds: "+strings.Join(names, ", "), "put into "+x.in("config")+": "+line)
		x.last().explains = func(f Finding) bool {
			return slices.ContainsFunc(missing, func(m Found) bool { return filepath.Base(m.Path) == f.lacks })
		}
	}
}

// notInPath reports whether a finding is about a missing program that the PATH of the shell has.
func (x *Exam) notInPath(f Finding) bool { return f.lacks != "" && x.inShell(f.lacks) }

// inShell reports whether the PATH of the shell has a program.
func (x *Exam) inShell(program string) bool {
	_, err := proc.LookPath(program, []string{"PATH=" + x.Shell["PATH"]}, "/")
	return err == nil
}

// addLine adds a line to the existing config and keeps the rest.
func (x *Exam) addLine(line string) error {
	path := x.in("config")
	data, err := spool.ReadUser(path)
	if err != nil {
		return err
	}
	if len(data) > 0 && !strings.HasSuffix(string(data), "\n") {
		data = append(data, '\n')
	}
	if err := spool.Write(path, append(data, line+"\n"...)); err != nil {
		return err
	}
	return x.reload()
}

// shell finds the settings that only the environment of this call has: cron does not pass them on.
func (x *Exam) shell() {
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(x.Shell)) {
		if key != "PATH" && x.Tick.Source.File(key) != x.Shell[key] {
			keys = append(keys, key)
		}
	}
	switch len(keys) {
	case 0:
	case 1:
		x.add(Warn, keys[0]+" is set in this shell, where cron does not find it", "put it into "+x.in("config"))
	default:
		x.add(Warn, strings.Join(keys, ", ")+" are set in this shell, where cron does not find them", "put them into "+x.in("config"))
	}
}

// environment makes the environment of agents, and checks that the paths in it exist.
func (x *Exam) environment() {
	env, err := x.Tick.Environ()
	if err != nil {
		x.unknown(err)
		return
	}
	x.env, x.agents = env, env
	if x.env, err = slots.WithFiles(env, x.Tick.Home.EnvFile("default.env")); err == nil {
		x.agents, err = slots.WithFiles(x.env, x.Tick.Home.EnvFile("dev.env"))
	}
	if err != nil { // config has the error
		x.env, x.agents = env, env
	}
	x.forges()
	x.misplaced()
	x.unexpanded()
	for _, key := range []string{"SSH_AUTH_SOCK", "XDG_RUNTIME_DIR"} {
		if path := x.Tick.Source.File(key); path != "" {
			if _, err := os.Stat(path); err != nil {
				x.add(Warn, fmt.Sprintf("%s of the config: %v", key, err), "correct or remove the line; it changes with every login unless it is made to stay")
			}
		}
	}
}

// forges says which variables let plain http go beyond loopback, and what is wrong with those that name a forge.
func (x *Exam) forges() {
	told, err := forge.Plain(x.agents)
	for _, err := range parts(err) {
		x.add(Warn, err.Error(), "correct it in "+x.in("env", "default.env")+" or dev.env")
	}
	for _, what := range told {
		x.ok(what + ": others on the way can read a token that goes there")
	}
}

// misplaced finds settings in the env files. kugetsu reads settings from the config only.
func (x *Exam) misplaced() {
	for _, name := range []string{"default.env", "dev.env", "pm-agent.env"} {
		data, err := spool.ReadUser(x.in("env", name))
		if err != nil {
			continue // missing, or an error of config
		}
		vars, _ := envfile.Parse(data)
		for _, v := range vars {
			place := fmt.Sprintf("%s: line %d: ", x.in("env", name), v.Line)
			switch key := settings.Misspelt(v.Name); key {
			case "":
			case v.Name:
				x.add(Warn, place+key+" is a setting, and has no effect in an env file", "move the line to "+x.in("config"))
			default:
				x.add(Warn, place+v.Name+" is not a setting (did you mean "+key+"?)", "correct it, and move the line to "+x.in("config"))
			}
		}
	}
}

// unexpanded finds paths that only a shell would expand, such as PATH='$PATH:/opt/bin'. In single quotes they are read as they stand.
// Of several files that set a PATH the first one here is that of dev agents, so a program that is not found follows from it.
func (x *Exam) unexpanded() {
	for _, path := range []string{x.in("env", "dev.env"), x.in("env", "default.env"), x.in("env", "pm-agent.env"), x.in("config")} {
		data, err := spool.ReadUser(path)
		if err != nil {
			continue // missing, or an error of config
		}
		vars, _ := envfile.Parse(data)
		for _, v := range vars {
			if envfile.IsPath(v.Name) && slices.ContainsFunc(filepath.SplitList(v.Value), forShell) {
				x.add(Warn, fmt.Sprintf("%s: line %d: only a shell would expand the $ or ~ in %s, and none does", path, v.Line, v.Name), "write out what it stands for")
				if v.Name == "PATH" {
					x.last().explains = x.notInPath
				}
			}
		}
	}
}

// forShell says whether a path is one that only a shell would expand: it has a $ or begins with ~, and nothing of this name is there.
func forShell(path string) bool {
	if !strings.Contains(path, "$") && path != "~" && !strings.HasPrefix(path, "~/") {
		return false
	}
	_, err := os.Lstat(path)
	return !filepath.IsAbs(path) || err != nil
}

// agentPrograms finds the programs of the agents and asks each for its version. The question costs nothing, and the answer
// shows that the program runs in this environment.
func (x *Exam) agentPrograms() {
	needed := x.needed()
	for _, name := range slices.Concat([]string{"command"}, slices.DeleteFunc(agent.Names(), func(n string) bool { return n == "command" })) {
		argv, n := program(name), needed[name]
		if argv == nil {
			x.command(n)
			continue
		}
		path, err := proc.LookPath(argv[0], x.agents, "/")
		if err != nil {
			if n == nil {
				continue // not installed, and no item needs it
			}
			if !x.Tick.Here() {
				continue // slurm asks a node
			}
			if n.passed {
				x.add(Warn, fmt.Sprintf("%s is passed over: %v", name, err), x.whereIs(argv[0], n))
			} else {
				x.add(Error, fmt.Sprintf("%s: %v", name, err), x.whereIs(argv[0], n))
			}
			x.last().lacks = argv[0]
			continue
		}
		level := Warn
		if n != nil {
			level = Error
		}
		out, err := x.ask(path, argv[1:])
		version := first(out)
		_, numbered := agent.Major(out)
		switch {
		case err != nil:
			x.add(level, fmt.Sprintf("%s does not tell its version: %v", path, err), "try it: env -i HOME=\"$HOME\" PATH="+lookup(x.agents, "PATH")+" "+strings.Join(argv, " "))
			x.last().err = err
		case !numbered:
			x.add(Warn, fmt.Sprintf("%s says no version but %q", path, version), "make sure that this is "+name)
		default:
			x.ok(fmt.Sprintf("%s %s (%s)", name, strings.TrimPrefix(version, name+" "), path))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(needed)) {
		if _, err := agent.Lookup(name); err != nil {
			x.add(Error, err.Error(), "an item or KUGETSU_AGENT names it")
		}
	}
}

// command checks the program of AGENT_COMMAND, if that is set.
func (x *Exam) command(n *need) {
	words, level := x.Tick.Settings.AgentCommand, Warn
	if n != nil && !n.passed {
		level = Error
	}
	switch {
	case words != "":
		x.runs("AGENT_COMMAND", words, level)
	case n != nil && n.passed:
		x.add(Warn, "command is passed over: it has no AGENT_COMMAND to run", "set AGENT_COMMAND in "+x.in("config")+n.instead)
	case n != nil:
		x.add(Error, "the agent command has no AGENT_COMMAND to run", "set AGENT_COMMAND in "+x.in("config")+n.instead)
	}
}

// need says what follows if an agent that the settings or a live item name is missing.
type need struct {
	passed  bool   // it is passed over: another agent of the same list can run
	instead string // the end of the remedy: what else helps
}

// needed are the agents of new items and of live items. If several name an agent, the first counts that has no other agent to go on
// with.
func (x *Exam) needed() map[string]*need {
	all := map[string]*need{}
	add := func(choice []string, instead func(passed bool) string) {
		for _, name := range choice {
			if n := all[name]; n == nil || n.passed {
				if passed := x.Tick.PassedOver(name, choice); n == nil || !passed {
					all[name] = &need{passed: passed, instead: instead(passed)}
				}
			}
		}
	}
	add(x.Tick.Settings.Agents(), func(passed bool) string {
		if passed {
			return ", or leave it out of KUGETSU_AGENT"
		}
		return ", or set KUGETSU_AGENT to an agent that is there"
	})
	for _, lane := range queue.Lanes {
		entries, err := x.Tick.Queue.Live(lane)
		if err != nil {
			continue // items has the error
		}
		for _, e := range entries {
			it, err := x.Tick.Queue.Load(e)
			if err != nil {
				continue
			}
			add(it.Choice(), func(passed bool) string {
				there := slices.DeleteFunc(slices.Clone(it.Choice()), func(name string) bool { return !x.Tick.CanRun(name) })
				switch edit := x.Tick.EditAgent(it.ID, it.Choice()); {
				case it.State != queue.Pending: // it runs, and cannot be changed
					return ""
				case passed:
					return ", or kugetsu queue edit --agent " + strings.Join(there, ",") + " " + it.ID
				default:
					return ", or " + cmp.Or(edit, "kugetsu queue edit --agent NAME "+it.ID+" with an agent that is there")
				}
			})
		}
	}
	return all
}

// whereIs returns the remedy for a program that was not found.
func (x *Exam) whereIs(name string, n *need) string {
	if path, err := proc.LookPath(name, []string{"PATH=" + x.Shell["PATH"]}, "/"); err == nil {
		return "put into " + x.in("config") + ": " + PathLine(SearchPath(lookup(x.agents, "PATH")+string(os.PathListSeparator)+filepath.Dir(path)))
	}
	return "install " + name + n.instead
}

// programs checks the other programs that the settings name.
func (x *Exam) programs() {
	s := x.Tick.Settings
	for _, p := range []struct{ key, words string }{
		{"AGENT_CONTINUE_COMMAND", s.ContinueCommand}, {"AGENT_PREFIX", s.AgentPrefix}, {"WORKTREE_HOOK", s.WorktreeHook}, {"NOTIFY_COMMAND", s.NotifyCommand},
	} {
		if p.words != "" {
			x.runs(p.key, p.words, Error)
		}
	}
	hooks, _ := x.Tick.Hooks() // config has the error
	for _, repo := range slices.Sorted(maps.Keys(hooks)) {
		x.runs("repos.json: "+repo+": hook", hooks[repo], Error)
	}
}

// verifiers looks for the programs that verify runs, as a tick does: an item is not started if its program is missing.
func (x *Exam) verifiers() {
	list, _ := x.Tick.Verifiers() // config has the error
	for _, v := range list {
		x.patterns(v.By, v.Command)
		switch {
		case v.Err != nil:
			x.add(Error, v.By+": "+v.Err.Error(), "correct the command in "+x.fileOf(v.By)+", or install its program")
			if v.Program == "" && !strings.Contains(v.Name, "/") {
				x.last().lacks = v.Name
			}
		case v.Program == "":
			x.ok(v.By + " runs " + v.Name + ", which is looked for in each run")
		default:
			x.ok(v.By + " runs " + v.Program)
		}
	}
}

// unverifiable lists the items that wait because the command that verifies them cannot be started, if only a run, or an item, shows
// that.
func (x *Exam) unverifiable() {
	list, err := x.Tick.BrokenVerifiers()
	if err != nil {
		x.unknown(err)
	}
	for _, u := range list {
		what := u.Why
		if u.Item != "" {
			what = u.Item + " is not started: " + what
		}
		x.add(Error, what, u.Hint)
		x.last().lacks = u.Lacks
	}
}

// runs checks that the first word of a command line is a program. A path relative to the worktree cannot be checked.
func (x *Exam) runs(key, words string, level Level) {
	argv, err := agent.Split(words)
	if err != nil || len(argv) == 0 || strings.HasPrefix(argv[0], ".") || strings.Contains(argv[0], "{") {
		return // settings refuse a malformed command line
	}
	x.patterns(key, words)
	path, err := proc.LookPath(argv[0], x.agents, "/")
	if err == nil {
		var info os.FileInfo
		if info, err = os.Stat(path); err == nil && (info.IsDir() || info.Mode()&0o111 == 0) {
			err = fmt.Errorf("%s is not a program (mode %04o)", path, info.Mode().Perm())
		}
	}
	if err != nil {
		x.add(level, key+": "+err.Error(), "write its path out in "+x.fileOf(key))
		if path == "" {
			x.last().lacks = argv[0]
		}
		return
	}
	x.ok(key + " runs " + path)
}

// patterns warns of a pattern that no shell replaces by the names of files. A pattern in quotes is meant for the program.
func (x *Exam) patterns(key, words string) {
	if at := agent.Pattern(words); at > 0 {
		x.add(Warn, fmt.Sprintf("%s: no shell replaces the '*' at byte %d by names of files", key, at),
			"write sh -c '…' around it in "+x.fileOf(key)+", or put it in quotes where the program itself takes a pattern")
	}
}

// fileOf is the file with a command line, by the beginning of its name.
func (x *Exam) fileOf(key string) string {
	if strings.HasPrefix(key, "repos.json: ") {
		return x.in("repos.json")
	}
	return x.in("config")
}

// ask runs a program in the environment of an agent and in a folder of its own, and returns its stdout. It ends every process
// that the program started.
func (x *Exam) ask(path string, args []string) (string, error) {
	tmp, err := os.MkdirTemp("", "kugetsu-doctor-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	ctx, cancel := context.WithTimeoutCause(x.Ctx, askLimit, fmt.Errorf("no answer in %s", askLimit))
	defer cancel()
	out, err := proc.Child{Path: path, Args: append([]string{path}, args...), Dir: tmp, Most: maxAnswer,
		Env: append(slices.Clone(x.agents), "TMPDIR="+tmp, "PWD="+tmp)}.Output(ctx)
	var failure *proc.Failure
	if errors.As(err, &failure) && failure.Said != "" {
		lines := strings.Split(failure.Said, "\n")
		return "", fmt.Errorf("%w: %s", failure.Err, first(lines[len(lines)-1]))
	}
	return out, err
}

// first returns the first line of an output.
func first(out string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(out), "\n")
	if len(line) > 200 {
		line = strings.ToValidUTF8(line[:200], "")
	}
	return line
}

// lookup returns the value of a variable in an environment. The last one counts.
func lookup(env []string, name string) (value string) {
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			value = v
		}
	}
	return value
}
