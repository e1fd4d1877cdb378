package tick

import (
	"errors"
	"io/fs"
	"net/netip"
	"path"
	"path/filepath"
	"strings"

	"kugetsu/queue/issueref"
	"kugetsu/queue/spool"
	"kugetsu/slots"
	"kugetsu/slots/forge"
)

// cloneURL is the URL of a repository by GIT_CLONE_URL. The port of a host is that of its web pages. Ssh has a port of its own, so
// only a URL of http or https gets this one.
func (t *Tick) cloneURL(ref issueref.Ref) string {
	template, host := t.Settings.CloneURL, ref.Host
	scheme, _, _ := strings.Cut(template, "://")
	if scheme != "{scheme}" && !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
		host = hostname(host)
	}
	return strings.NewReplacer("{scheme}", t.scheme(ref), "{host}", host, "{path}", ref.Repo).Replace(template)
}

// scheme is the scheme for the host of a repository. It is https, except in three cases: a variable of env/default.env names the
// host with http; the repository was first named by a URL with http; or the host has a port, and is on loopback or has no dot, as
// in a network of containers.
func (t *Tick) scheme(ref issueref.Ref) string {
	name := hostname(ref.Host)
	port, dotless := name != ref.Host, !strings.Contains(name, ".")
	if !port && !dotless {
		return "https"
	}
	if scheme := forge.Scheme(ref.Host, t.defaultEnv()); scheme != "" {
		return scheme
	}
	if there, err := spool.Exists(t.plainHTTP(ref)); ref.HTTP || err == nil && there {
		return "http"
	}
	addr, err := netip.ParseAddr(strings.Trim(name, "[]"))
	if port && (dotless && err != nil || err == nil && addr.IsLoopback()) {
		return "http"
	}
	return "https"
}

// defaultEnv is env/default.env. The check of the file itself reports what is wrong with it.
func (t *Tick) defaultEnv() []string {
	env, _ := slots.WithFiles(nil, filepath.Join(string(t.Home), "env", "default.env"))
	return env
}

// Below lists the forges that lie below a path of their host, each as host/path. FORGE_API names such a forge, or repos.json has a
// repository with more path elements than owner and name.
func (t *Tick) Below() []string {
	all := forge.Below(t.defaultEnv())
	known, _ := readRepos(t.Home) // as above
	for repo := range known {
		if forge := path.Dir(path.Dir(repo)); strings.Contains(forge, "/") {
			all = append(all, forge)
		}
	}
	return all
}

// hostname is a host without its port.
func hostname(host string) string {
	if i := strings.LastIndex(host, ":"); i > strings.LastIndex(host, "]") {
		return host[:i]
	}
	return host
}

// plainHTTP is the path of a mark: the first URL that named the repository began with http.
func (t *Tick) plainHTTP(ref issueref.Ref) string {
	return filepath.Join(string(t.Home), "repos", ref.RepoName()+".http")
}

// Remember records that a reference says http, before its item is published. A clone that exists is not moved from https to http by
// a reference.
func (t *Tick) Remember(ref issueref.Ref) error {
	if !ref.HTTP {
		return nil
	}
	cloned, err := spool.Exists(filepath.Join(string(t.Home), "repos", ref.RepoName()+".git"))
	if err != nil || cloned {
		return err
	}
	if err := spool.Create(t.plainHTTP(ref)); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// Knows says whether anything is known of the repository of a reference: an entry in repos.json, a clone or its lock, or the mark
// of Remember.
func (t *Tick) Knows(ref issueref.Ref) bool {
	if known, err := readRepos(t.Home); err == nil {
		if _, named := known[ref.RepoPath()]; named {
			return true
		}
	}
	for _, ending := range []string{".git", ".http", ".lock"} {
		if there, err := spool.Exists(filepath.Join(string(t.Home), "repos", ref.RepoName()+ending)); err == nil && there {
			return true
		}
	}
	return false
}
