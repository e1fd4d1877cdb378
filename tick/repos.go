package tick

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/queue/issueref"
	"kugetsu/queue/spool"
	"kugetsu/slots"
	"kugetsu/slots/agent"
	"kugetsu/tick/settings"
)

// repos is repos.json: what is known of repositories. Its keys are in lower case.
type repos map[string]repo

// repo is what repos.json says of a repository: an object, or the URL alone. The settings say the rest.
type repo struct {
	URL  string  `json:"url"`  // or the path of a local checkout
	Base string  `json:"base"` // the branch that new ones start from, for KUGETSU_BASE_BRANCH
	Hook *string `json:"hook"` // for WORKTREE_HOOK; "" for none
	Max  *int    `json:"max"`  // how many runs may work on it at once; 0 starts none

	Verify queue.Verify     `json:"verify"` // for VERIFY_COMMAND; false for none
	Follow *settings.Follow `json:"follow"` // for FOLLOW_PR; "none" for nothing
}

// UnmarshalJSON reads a string or an object. An unknown key is an error: a misspelt one would be ignored.
func (r *repo) UnmarshalJSON(data []byte) error {
	*r = repo{}
	if json.Unmarshal(data, &r.URL) == nil {
		return nil
	}
	type object repo // without this method
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	var other *json.UnmarshalTypeError
	switch err := decoder.Decode((*object)(r)); {
	case errors.As(err, &other) && other.Field == "":
		return fmt.Errorf("want a text or an object, found: %s", other.Value)
	case errors.As(err, &other):
		return fmt.Errorf("%s cannot be a %s", other.Field, other.Value)
	case err != nil:
		return err
	}
	if r.Max != nil && *r.Max < 0 {
		return fmt.Errorf("max is %d: want 0 or more", *r.Max)
	}
	if r.Hook != nil {
		if _, err := agent.Command(*r.Hook); err != nil {
			return fmt.Errorf("hook: %w", err)
		}
	}
	if _, err := agent.Command(r.Verify.Command); err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	return nil
}

const reposHint = `correct it: it maps "host/owner/repo" to a url, the path of a local checkout, or {"url": …, "base": …, "hook": …, "verify": …, "follow": …, "max": 1}`

// lineOf says in which line of repos.json a key stands, "" if that is not found.
func lineOf(path, key string) string {
	data, err := spool.ReadUserText(path)
	at := bytes.Index(data, []byte(strconv.Quote(key)))
	if err != nil || at < 0 {
		return ""
	}
	return fmt.Sprintf("line %d: ", 1+bytes.Count(data[:at], []byte("\n")))
}

// readRepos reads repos.json. The error has exit code 78.
func readRepos(home slots.Dir) (repos, error) {
	path := filepath.Join(string(home), "repos.json")
	var given map[string]json.RawMessage
	err := spool.ReadUserJSON(path, &given)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if errors.Is(err, spool.ErrUnusable) {
		return nil, fault.New(fault.Config, reposHint, "bad configuration: %w", err)
	}
	if err != nil { // it may pass
		return nil, err
	}
	known := repos{}
	for _, key := range slices.Sorted(maps.Keys(given)) {
		var r repo
		if err = r.UnmarshalJSON(given[key]); err == nil && strings.Count(key, "/") < 2 {
			err = errors.New("write host/owner/repo") // it would be the key of nothing
		}
		if err != nil {
			return nil, fault.New(fault.Config, cmp.Or(fault.HintOf(err), reposHint), "bad configuration: %s: %s%q: %w", path, lineOf(path, key), key, err)
		}
		known[strings.ToLower(key)] = r
	}
	return known, nil
}

// follow is what of the pull requests of a repository becomes work.
func (r repos) follow(repository string, otherwise settings.Follow) settings.Follow {
	if f := r[repository].Follow; f != nil {
		return *f
	}
	return otherwise
}

// Repos is where the repositories of repos.json come from, by their names in lower case. The error has exit code 78.
func (t *Tick) Repos() (map[string]string, error) {
	known, err := readRepos(t.Home)
	from := map[string]string{}
	for name, r := range known {
		from[name] = r.URL
	}
	return from, err
}

// Hooks are the hooks of repos.json, by repository.
func (t *Tick) Hooks() (map[string]string, error) {
	known, err := readRepos(t.Home)
	hooks := map[string]string{}
	for name, r := range known {
		if r.Hook != nil {
			hooks[name] = *r.Hook
		}
	}
	return hooks, err
}

// max is how many runs may work on a repository at once; false if nothing is said of that.
func (r repos) max(repository string) (most int, limited bool) {
	if m := r[repository].Max; m != nil {
		return *m, true
	}
	return 0, false
}

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
	place := r[ref.RepoPath()].URL
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
