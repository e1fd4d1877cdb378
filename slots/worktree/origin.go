package worktree

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kugetsu/queue/spool"
	"kugetsu/slots/git"
)

// editConfig changes the configuration file of a repository, which is data here: git reads and writes that one file.
func (r *repo) editConfig(ctx context.Context, args ...string) error {
	f, err := git.OpenRegular(filepath.Join(r.common, "config"))
	if err != nil {
		return git.Unread("config", err)
	}
	_ = f.Close()
	_, err = r.git(ctx, append([]string{"config", "--file", filepath.Join(r.common, "config")}, args...)...)
	return err
}

// initClone makes an empty repository.
//
// The key core.bare stands in the file config.worktree, where worktrees do not inherit it. Git reads that file once an agent, or a tool
// of an agent, turns on extensions.worktreeConfig; core.bare in config would then hold for every worktree of every issue. Before that
// git finds no such key and takes the clone for a checkout, and HEAD for a branch that is checked out. So HEAD names a branch that never
// exists.
func (r *repo) initClone(kind string) error {
	version, extensions := "0", ""
	if kind != "" {
		version, extensions = "1", "[extensions]\n\tobjectformat = "+kind+"\n"
	}
	for _, dir := range []string{"objects/info", "objects/pack", "refs/heads", "refs/tags", "info"} {
		if err := os.MkdirAll(filepath.Join(r.common, dir), 0o777); err != nil {
			return err
		}
	}
	for _, f := range [][2]string{
		{"config", "[core]\n\trepositoryformatversion = " + version + "\n\tfilemode = true\n" + extensions + r.originSection()},
		{"config.worktree", "[core]\n\tbare = true\n"},
		{"HEAD", "ref: " + git.NoBranch + "\n"},
	} {
		if err := git.WriteWhole(filepath.Join(r.common, f[0]), f[1]); err != nil {
			return err
		}
	}
	return nil
}

// originSection is the part of a configuration that says where the clone comes from.
func (r *repo) originSection() string {
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`) // control characters were refused
	return "[remote \"origin\"]\n\turl = \"" + quote.Replace(r.spec.Source.URL) + "\"\n\tfetch = " + originRefs + "\n"
}

// originFile is where kugetsu remembers the remote of the clone, without credentials. The file is beside the clone, since an agent may
// write into the clone.
func (r *repo) originFile() string {
	return strings.TrimSuffix(r.spec.Source.Cache, ".git") + ".origin"
}

// writeOrigin makes the clone's own configuration say where it comes from, for the agents' git: kugetsu's is told in each
// call. An agent may change it as in any clone; the next session begins with the remote that the settings name.
func (r *repo) writeOrigin(ctx context.Context) error {
	want := git.WithoutSecret(r.spec.Source.URL)
	have, err := spool.Read(r.originFile())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &git.Error{Op: "prepare", Err: err}
	}
	if was := git.OneLine(have); was != want {
		if was == "" { // a clone from before there was this file
			was = r.oldOrigin()
		}
		if was != "" && was != want {
			// Before it is written, since nothing tells afterwards that it was another.
			if err := r.retryOnce(ctx, func() error { return r.forgetRemote(ctx) }); err != nil {
				return err
			}
		}
		if err := spool.Write(r.originFile(), []byte(want+"\n")); err != nil {
			return &git.Error{Op: "prepare", Err: err}
		}
	}
	return r.resetConfig(ctx)
}

// oldOriginFile was included by the configuration of older clones.
const oldOriginFile = "origin.config"

// oldOrigin is the URL that such a clone had, without credentials.
func (r *repo) oldOrigin() string {
	text, err := git.ReadSmall(filepath.Join(r.common, oldOriginFile), 64<<10)
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(text), "url = \"")
	url, _, _ := strings.Cut(rest, "\"\n")
	return git.WithoutSecret(strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(url))
}

// resetConfig brings the clone's configuration back to what a session begins with, where it says something else.
func (r *repo) resetConfig(ctx context.Context) error {
	p, err := r.private(ctx)
	if err != nil {
		return err
	}
	all, err := r.g.ReadConfig(ctx, filepath.Join(r.common, "config"), p)
	if err != nil && git.ExitCode(err) > 0 {
		r.g.Say("the clone's configuration cannot be read, and stays as it is: %v", err)
		return nil
	}
	if err != nil {
		return err
	}
	r.sayUnknown(all)
	var origin []git.Setting
	var old, bare, worktree bool
	for _, s := range all {
		switch {
		case strings.HasPrefix(s.Key, "remote.origin."):
			origin = append(origin, s)
		case s.Key == "include.path" && s.Value == oldOriginFile:
			old = true
		case s.Key == "core.bare":
			bare = true
		case s.Key == "core.worktree":
			worktree = true
		}
	}
	if bare {
		if err := r.moveBare(ctx); err != nil {
			return err
		}
	}
	if worktree {
		if err := r.editConfig(ctx, "--unset-all", "core.worktree"); err != nil {
			return err
		}
	}
	if !old && slices.Equal(origin, []git.Setting{{Key: "remote.origin.url", Value: r.spec.Source.URL}, {Key: "remote.origin.fetch", Value: originRefs}}) {
		return nil
	}
	if old {
		if err := r.editConfig(ctx, "--unset-all", "include.path", "^origin\\.config$"); err != nil {
			return err
		}
	}
	if len(origin) > 0 {
		if err := r.editConfig(ctx, "--remove-section", "remote.origin"); err != nil {
			return err
		}
	}
	return r.appendConfig(r.originSection())
}

// moveBare moves core.bare to the file that worktrees do not inherit: see initClone. HEAD is changed first, since without the key git
// takes HEAD's branch for checked out.
func (r *repo) moveBare(ctx context.Context) error {
	if err := git.WriteWhole(filepath.Join(r.common, "HEAD"), "ref: "+git.NoBranch+"\n"); err != nil {
		return &git.Error{Op: "prepare", Err: err}
	}
	own := filepath.Join(r.common, "config.worktree")
	if _, err := os.Lstat(own); git.Absent(err) {
		if err := git.WriteWhole(own, "[core]\n\tbare = true\n"); err != nil {
			return &git.Error{Op: "prepare", Err: err}
		}
	}
	return r.editConfig(ctx, "--unset-all", "core.bare")
}

// appendConfig adds to the configuration of the clone under git's own lock for it. The text may hold a token, which would
// be visible in the arguments of `git config`.
func (r *repo) appendConfig(text string) error {
	file := filepath.Join(r.common, "config")
	have, err := git.ReadSmall(file, 16<<20)
	if err != nil {
		return git.Unread("prepare", err)
	}
	lock, err := os.OpenFile(file+".lock", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return &git.Error{Op: "prepare", Err: err} // sweep removes a stale one
	}
	if len(have) > 0 && have[len(have)-1] != '\n' {
		have = append(have, '\n')
	}
	_, err = lock.WriteString(string(have) + text)
	if err = errors.Join(err, lock.Sync(), lock.Close()); err == nil {
		err = os.Rename(file+".lock", file)
	}
	if err != nil {
		return &git.Error{Op: "prepare", Err: errors.Join(err, os.Remove(file+".lock"))}
	}
	return nil
}

// extensions are the keys below extensions. that git 2.39 knows. kugetsu's own git ignores unknown keys; an agent's git refuses the
// repository.
var extensions = []string{"noop", "noop-v1", "objectformat", "partialclone", "preciousobjects", "worktreeconfig"}

// sayUnknown names the extensions that the git of an agent may refuse.
func (r *repo) sayUnknown(all []git.Setting) {
	for _, s := range all {
		name, ok := strings.CutPrefix(s.Key, "extensions.")
		if ok && !slices.Contains(extensions, name) {
			r.g.Say("the configuration of %s has extensions.%s: a git that does not know it refuses to work there", r.common, git.Clean(name))
		}
	}
}
