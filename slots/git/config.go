package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// This file reads git's configuration once, and hands it on to a private git directory key by key. A key that is not listed below
// reaches no git that kugetsu runs.

// Setting is a key of git's configuration and its value.
type Setting struct{ Key, Value string }

// known is what was read before: the configuration of the user, and that of each repository. A Runner reads each once, and not
// again after a run, since the run's agent may have changed it.
type known struct {
	sync.Mutex
	all  []Setting            // of the user, for all repositories: no file of the user's asks which one it is; nil where that is not so
	user map[string][]Setting // by the repository, since the user's file may ask which one it is (includeIf)
	repo map[string]*configFile
}

// configFile is what was read of a file.
type configFile struct {
	all  []Setting
	err  error
	told bool // the error stands in a log
}

// knows is where a Runner looks for what was read before.
func (g *Runner) knows() *known {
	if g.Like != nil && slices.Equal(configVars(g.Like.Env), configVars(g.Env)) {
		return g.Like.knows()
	}
	return &g.known
}

// configVars are the variables of an environment on which it depends what git's configuration is. PATH says which git it is, and where
// that has the file of the system.
func configVars(env []string) []string {
	values := map[string]string{}
	for _, kv := range env {
		name, value, _ := strings.Cut(kv, "=")
		if name == "HOME" || name == "XDG_CONFIG_HOME" || name == "PATH" || strings.HasPrefix(name, "GIT_CONFIG_") {
			values[name] = value // the last one counts
		}
	}
	vars := []string{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		vars = append(vars, name+"="+values[name])
	}
	return vars
}

// ForgetConfig makes the Runner read the configuration of a repository again, since it is another one now.
func (g *Runner) ForgetConfig() {
	k := g.knows()
	k.Lock()
	defer k.Unlock()
	k.user, k.repo = nil, nil
}

// ofUser are the keys that are taken from the user's own files and environment. A name that ends with a dot stands for all
// keys below it. Keys that name a program (credential helpers, ssh, git-lfs) let git run that program: the user chose it, and git may
// need it to reach a remote.
//
// git-lfs is the only filter in the list, although the user may have set others. Many filters run files of the worktree (formatters
// with plugins, scripts by a relative path), and an agent may have put those files there.
var ofUser = []string{
	"credential.", "http.", "https.", "url.", "ssh.", "protocol.", "transfer.", "pack.", "lfs.", "filter.lfs.",
	"user.name", "user.email", "user.useconfigonly", "author.", "committer.", "safe.directory",
	"core.sshcommand", "core.gitproxy", "core.askpass", "core.excludesfile", "core.attributesfile",
	"core.fsync", "core.fsyncmethod", "core.packedgitwindowsize", "core.packedgitlimit", "core.deltabasecachelimit",
	"checkout.workers", "index.threads",
}

// ofRepository are the keys that are taken from the repository's own configuration as well: those that say how bytes in git
// become files, and a name. No value of them names a program or a file.
var ofRepository = []string{
	"core.filemode", "core.symlinks", "core.ignorecase", "core.precomposeunicode", "core.autocrlf", "core.eol", "core.safecrlf",
	"core.trustctime", "core.checkstat", "core.compression", "core.loosecompression", "core.bigfilethreshold",
	"core.sharedrepository",
	"user.name", "user.email", "user.useconfigonly", "author.name", "author.email", "committer.name", "committer.email",
}

// conversions are keys that are taken from the user's own files, too, since the agents' git heeds them there. The repository's
// values win.
var conversions = []string{"core.autocrlf", "core.eol"}

// only are the settings whose keys are in a list.
func only(all []Setting, keys []string) (some []Setting) {
	for _, s := range all {
		if slices.ContainsFunc(keys, func(k string) bool {
			return s.Key == k || strings.HasSuffix(k, ".") && strings.HasPrefix(s.Key, k)
		}) {
			some = append(some, s)
		}
	}
	return some
}

// parseConfig reads what `git config --list -z` prints: a key and, after a newline, the value, each ended by NUL. A key
// without a value is a boolean that is true.
func parseConfig(out string) (all []Setting) {
	for entry := range strings.SplitSeq(out, "\x00") {
		key, value, valued := strings.Cut(entry, "\n")
		if key == "" {
			continue
		}
		if !valued {
			value = "true"
		}
		all = append(all, Setting{key, value})
	}
	return all
}

// configEnv hands settings to git: by the environment, since arguments are visible in ps and may hold a token.
func configEnv(all []Setting) []string {
	env := []string{
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		fmt.Sprintf("GIT_CONFIG_COUNT=%d", len(all)),
	}
	for n, s := range all {
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", n, s.Key), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", n, s.Value))
	}
	return env
}

// userConfig reads all keys from the user's own files and environment. gitDir is the repository's git directory, for the conditions of
// includeIf; "" for none. Git looks at the name and the HEAD of gitDir. It reads no configuration there, since a private directory
// stands in the place of the repository.
func (g *Runner) userConfig(ctx context.Context, gitDir, private string) ([]Setting, error) {
	k := g.knows()
	k.Lock()
	defer k.Unlock()
	if k.all != nil {
		return k.all, nil
	}
	if all, ok := k.user[gitDir]; ok {
		return all, nil
	}
	env := []string{"GIT_DIR=" + private}
	var read []string
	if gitDir != "" && opensHead(gitDir) {
		env, read = []string{"GIT_DIR=" + gitDir, "GIT_COMMON_DIR=" + private}, []string{gitDir}
	}
	out, err := g.exec(ctx, read, Command{dir: private, Env: env, Args: []string{"config", "--list", "-z", "--show-scope"}})
	if err != nil {
		return nil, err
	}
	all := []Setting{}
	fields := strings.Split(out, "\x00") // scope, key and value, in turns
	for n := 0; n+1 < len(fields); n += 2 {
		if scope := fields[n]; scope == "system" || scope == "global" || scope == "command" {
			all = append(all, parseConfig(fields[n+1])...)
		}
	}
	// Git lists the condition of an includeIf also where it does not hold.
	if !slices.ContainsFunc(all, func(s Setting) bool { return strings.HasPrefix(s.Key, "includeif.") }) {
		k.all = all
		return all, nil
	}
	if k.user == nil {
		k.user = map[string][]Setting{}
	}
	k.user[gitDir] = all
	return all, nil
}

// opensHead says whether git can open the HEAD of a git directory without waiting: an agent may have put a FIFO there. If it
// cannot, no condition of includeIf holds for the repository.
func opensHead(gitDir string) bool {
	info, err := os.Stat(filepath.Join(gitDir, "HEAD"))
	return err != nil || info.Mode().IsRegular() // git itself reports a HEAD that is missing
}

// repoConfig reads the configuration file of a repository, without the files that it includes. A file that git cannot read counts as
// empty: an agent may have broken it, and its work must be kept all the same.
func (g *Runner) repoConfig(ctx context.Context, p *Private) ([]Setting, error) {
	file, err := g.repoFile(ctx, p)
	if err != nil {
		return nil, err
	}
	return file.all, nil
}

// repoFile is the configuration file of a repository. The error says that it is not known why it could not be read.
func (g *Runner) repoFile(ctx context.Context, p *Private) (*configFile, error) {
	common := p.At.Common
	k := g.knows()
	k.Lock()
	defer k.Unlock()
	file := k.repo[common]
	if file == nil {
		all, err := g.ReadConfig(ctx, filepath.Join(common, "config"), p)
		if err != nil && (ctx.Err() != nil || OfHost(err)) {
			return nil, err
		}
		if k.repo == nil {
			k.repo = map[string]*configFile{}
		}
		file = &configFile{all: all, err: err}
		k.repo[common] = file
	}
	if file.err != nil && g.Log != nil && !file.told {
		file.told = true
		g.Say("the repository's configuration is not used: %v", file.err)
	}
	return file, nil
}

// maxConfig bounds a file of configuration, in bytes: it is held in memory.
const maxConfig = 16 << 20

// ReadConfig is what a file of configuration says now, without the files that it includes.
func (g *Runner) ReadConfig(ctx context.Context, file string, p *Private) ([]Setting, error) {
	f, err := OpenRegular(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, Unread("config", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, plainMost))
	info, statErr := f.Stat()
	if err = errors.Join(err, statErr, f.Close()); err != nil {
		return nil, Unread("config", err)
	}
	if len(text) < plainMost {
		if all, plain := plainConfig(string(text)); plain {
			return all, nil
		}
	}
	if info.Size() > maxConfig {
		return nil, Refuse("config", "%s has more than %d bytes", file, maxConfig)
	}
	out, err := g.exec(ctx, nil, Command{dir: p.Dir, Env: []string{"GIT_DIR=" + p.Dir},
		Args: []string{"config", "--file", file, "--no-includes", "--list", "-z"}})
	return parseConfig(out), err
}

// value is the last value of a key.
func value(all []Setting, key string) (string, bool) {
	for _, s := range slices.Backward(all) {
		if s.Key == key {
			return s.Value, true
		}
	}
	return "", false
}
