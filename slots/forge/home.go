package forge

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// home is the origin of a forge, and the tokens that go there.
type home struct {
	forge  *kind
	host   string   // the variable that names it, "" for one that is always known
	origin string   // the origin if that variable is not set
	tokens []string // variables, the first that is set counts. They are for this home alone
}

// homes are all known homes. As for gh, GH_TOKEN belongs to github.com, and a company's own server has variables of its own. As for
// glab, GITLAB_TOKEN belongs to the host in GITLAB_HOST; without GITLAB_HOST it belongs to gitlab.com.
func homes() []home {
	return []home{
		{forge: github, origin: "https://github.com", tokens: []string{"GH_TOKEN", "GITHUB_TOKEN"}},
		{forge: github, host: "GH_HOST", tokens: []string{"GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN"}},
		{forge: gitlab, host: "GITLAB_HOST", origin: "https://gitlab.com", tokens: []string{"GITLAB_TOKEN"}},
		{forge: gitlab, origin: "https://gitlab.com"},
		{forge: gitea, host: "GITEA_URL", tokens: []string{"GITEA_TOKEN"}},
		{forge: gitea, host: "FORGEJO_URL", tokens: []string{"FORGEJO_TOKEN"}},
		{forge: gitea, origin: "https://codeberg.org"},
		{forge: gitea, origin: "https://gitea.com"},
	}
}

// at is the origin of a home in an environment, "" where it has none. The error does not repeat the value, which may be a token in
// the wrong variable.
func (h home) at(env []string) (string, error) {
	value := get(env, h.host)
	if h.host == "" || value == "" {
		return h.origin, nil
	}
	scheme, authority, ok := strings.Cut(value, "://")
	if !ok {
		scheme, authority = "https", value
	}
	origin, err := originOf(strings.ToLower(scheme), strings.TrimSuffix(authority, "/"))
	if err != nil {
		return "", fmt.Errorf("%s: want a host, or https:// and a host: %w", h.host, err)
	}
	return origin, nil
}

// errPlain is the reason why a forge is not asked.
var errPlain = errors.New("plain http is spoken beyond loopback only where GH_HOST, GITLAB_HOST, GITEA_URL, FORGEJO_URL or FORGE_API in env/default.env names the host with http://")

// plainly refuses plain http beyond loopback, where others on the way read the token and can write the answer. A person may
// allow it: by a variable that names the origin with http.
func (r request) plainly(env []string) error {
	base := r.base()
	if !strings.HasPrefix(base, "http://") || r.api != "" || isLoopback(r.origin) {
		return nil
	}
	for _, h := range homes() {
		if origin, err := h.at(env); h.host != "" && err == nil && origin == r.origin {
			return nil
		}
	}
	return errPlain
}

// Plain tells which variables of an environment let plain http go beyond loopback, and where to. The error says what is wrong
// with the values of the variables.
func Plain(env []string) (told []string, err error) {
	for _, h := range homes() {
		if h.host == "" {
			continue
		}
		origin, homeErr := h.at(env)
		err = errors.Join(err, homeErr)
		if strings.HasPrefix(origin, "http://") && !isLoopback(origin) {
			told = append(told, h.host+" names "+origin)
		}
	}
	all, apiErr := apis(env)
	for _, a := range all {
		if strings.HasPrefix(a.origin, "http://") && !isLoopback(a.origin) {
			told = append(told, "FORGE_API names "+a.origin)
		}
	}
	return told, errors.Join(err, apiErr)
}

// Scheme is the scheme in which a variable of an environment names a host, which may have a port; "" where none does.
func Scheme(host string, env []string) string {
	for _, h := range homes() {
		scheme, authority, ok := strings.Cut(get(env, h.host), "://")
		if ok && strings.EqualFold(strings.TrimSuffix(authority, "/"), host) {
			return strings.ToLower(scheme)
		}
	}
	all, _ := apis(env)
	for _, a := range slices.Backward(all) { // the last word counts
		if a.host == host && a.own() {
			scheme, _, _ := strings.Cut(a.origin, "://")
			return scheme
		}
	}
	return ""
}

// get is the value of a variable; the last one counts, as it does for exec.
func get(env []string, name string) (value string) {
	for _, kv := range env {
		if k, v, _ := strings.Cut(kv, "="); k == name {
			value = v
		}
	}
	return value
}

// known refuses a request whose URL has the form of another forge than the known one of its host.
func (r request) known(env []string) error {
	for _, h := range homes() {
		if origin, err := h.at(env); err == nil && origin == r.origin && h.forge != r.forge {
			return r.wrap(fmt.Errorf("it is a %s, whose requests have another URL", h.forge.name))
		}
	}
	return nil
}

// at is a repository on the known forge of its host. Where no variable names the host, its name decides: no token is at stake.
func at(host, repo string, env []string) (request, error) {
	e, err := apiOf(host, env)
	if err != nil {
		return request{}, err
	}
	if e.under != "" {
		below, ok := strings.CutPrefix("/"+strings.ToLower(repo), strings.ToLower(e.under)+"/")
		if !ok {
			return request{}, fmt.Errorf("%w: %q is not below the path that FORGE_API gives its host", ErrUnasked, repo)
		}
		repo = repo[len(repo)-len(below):]
	}
	if !isRepo(repo) {
		return request{}, fmt.Errorf("%q is not a repository", repo)
	}
	var errs []error
	var without *request // its home has a port, and the reference has none
	for _, h := range homes() {
		origin, err := h.at(env)
		errs = append(errs, err)
		if err != nil {
			continue
		}
		there := request{forge: h.forge, origin: origin, repo: repo, elsewhere: e}
		if _, authority, _ := strings.Cut(origin, "://"); authority == host {
			return there, nil
		}
		if without == nil && hostname(origin) == host {
			without = &there
		}
	}
	if without != nil {
		return *without, nil
	}
	origin, err := originOf(cmp.Or(Scheme(host, env), "https"), host)
	if err != nil {
		return request{}, fmt.Errorf("%q: %w", host, err)
	}
	if k := kindOf(e.api); k != nil {
		return request{forge: k, origin: origin, repo: repo, elsewhere: e}, nil
	}
	if isTenant(host) {
		return request{forge: github, origin: origin, repo: repo}, nil
	}
	for _, k := range []*kind{github, gitlab, gitea} {
		for _, name := range k.names {
			if strings.HasPrefix(host, name+".") {
				return request{forge: k, origin: origin, repo: repo}, nil
			}
		}
	}
	why := "set GH_HOST, GITLAB_HOST, GITEA_URL or FORGEJO_URL in env/default.env"
	if tokens := Unplaced(env); len(tokens) > 0 {
		why = tokens[0].Why
	}
	return request{}, errors.Join(append(errs, fmt.Errorf("%w: the kind of forge of %s is not known: %s", ErrUnasked, host, why))...)
}

// hostname is the host of an origin, without its port, as an issue reference has it.
func hostname(origin string) string {
	_, host, _ := strings.Cut(origin, "://")
	if i := strings.LastIndex(host, ":"); i > strings.LastIndex(host, "]") {
		host = host[:i]
	}
	return host
}

// able says whether an environment has a login for the forge: a token, or the forge's own program.
func (r request) able(env []string) (bool, error) {
	token, err := r.token(env)
	if err != nil || token.value != "" {
		return token.value != "", err
	}
	_, _, err = r.program(env)
	return err == nil, nil
}

// credential is a token, and the variable that has it; both "" for none.
type credential struct{ name, value string }

// token is the token for a request. It is an error where a variable for a host of this kind of forge cannot be read: it may mean this
// host.
func (r request) token(env []string) (credential, error) {
	for _, h := range homes() {
		if h.forge != r.forge {
			continue
		}
		origin, err := h.at(env)
		if err != nil {
			return credential{}, err
		}
		if origin != r.origin {
			continue
		}
		if name := h.set(env, origin); name != "" {
			return credential{name, get(env, name)}, nil
		}
	}
	return credential{}, nil
}
