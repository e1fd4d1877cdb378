package tick

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"kugetsu/queue/fault"
	"kugetsu/queue/issueref"
	"kugetsu/queue/spool"
	"kugetsu/slots"
)

// repos is repos.json: where repositories come from. Its keys are in lower case.
type repos map[string]string

// readRepos reads repos.json. The error has exit code 78.
func readRepos(home slots.Dir) (repos, error) {
	path := filepath.Join(string(home), "repos.json")
	var given map[string]string
	err := spool.ReadUserJSON(path, &given)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if errors.Is(err, spool.ErrUnusable) {
		return nil, fault.New(fault.Config, `it maps "host/owner/repo" to a url or the path of a local checkout`, "bad configuration: %w", err)
	}
	if err != nil { // it may pass
		return nil, err
	}
	known := repos{}
	for key, value := range given {
		known[strings.ToLower(key)] = value
	}
	return known, nil
}

// Repos is repos.json with its keys in lower case. The error has exit code 78.
func (t *Tick) Repos() (map[string]string, error) { return readRepos(t.Home) }

// Origin is where the repository of an issue comes from: a URL, or a local checkout.
func (t *Tick) Origin(ref issueref.Ref) (url, local string, err error) {
	repos, err := readRepos(t.Home)
	if err != nil {
		return "", "", err
	}
	url, local = repos.source(ref, func() string { return t.cloneURL(ref) })
	return url, local, nil
}

// source is where a repository comes from: a URL to clone, or a local checkout to use in place.
func (r repos) source(ref issueref.Ref, cloneURL func() string) (url, local string) {
	place := r[ref.RepoPath()]
	if place == "" {
		return cloneURL(), ""
	}
	// A checkout has a .git. A bare repository has none and is cloned like any other remote.
	if filepath.IsAbs(place) {
		if _, err := os.Lstat(filepath.Join(place, ".git")); err == nil {
			return "", place
		}
	}
	return place, ""
}
