package forge

import (
	"errors"
	"slices"
	"strings"
)

// elsewhere is a forge whose API is not where its host's kind has it, or which lies below a path of its host.
type elsewhere struct {
	api   string // with a slash at its end; "" for the usual place
	under string // the path of the forge on its host, as in "/gitea"
}

// errAPI does not repeat the value, as home.at does not.
var errAPI = errors.New("FORGE_API: want host=https://host/path/of/the/api, more of them behind a space")

// apiOf is what FORGE_API says of a host: words host[:port]=URL. A path before /api on the same host is the forge's own.
func apiOf(authority string, env []string) (e elsewhere, err error) {
	for word := range strings.FieldsSeq(get(env, "FORGE_API")) {
		host, url, ok := strings.Cut(word, "=")
		scheme, rest, isURL := strings.Cut(url, "://")
		at, path, _ := strings.Cut(strings.TrimSuffix(rest, "/"), "/")
		if !ok || !isURL || host == "" {
			return elsewhere{}, errAPI
		}
		origin, err := originOf(strings.ToLower(scheme), at)
		if err != nil {
			return elsewhere{}, errors.Join(errAPI, err)
		}
		parts := strings.Split(path, "/")
		if path != "" && slices.ContainsFunc(parts, func(p string) bool { return !segment.MatchString(p) || p == "." || p == ".." }) {
			return elsewhere{}, errAPI
		}
		if !strings.EqualFold(host, authority) {
			continue
		}
		e.api = origin + "/"
		if path != "" {
			e.api += path + "/"
		}
		if i := slices.Index(parts, "api"); i > 0 && strings.EqualFold(at, authority) {
			e.under = "/" + strings.Join(parts[:i], "/")
		}
	}
	return e, nil
}

// parseFor is parse, for a forge that may lie below a path.
func parseFor(s string, env []string) (request, error) {
	scheme, rest, _ := strings.Cut(s, "://")
	authority, path, _ := strings.Cut(rest, "/")
	e, err := apiOf(authority, env)
	if err != nil {
		return request{}, err
	}
	if e.under != "" {
		below, ok := strings.CutPrefix("/"+path, e.under+"/")
		if !ok {
			return request{}, errors.New("it lies elsewhere than FORGE_API says of its host")
		}
		s = scheme + "://" + authority + "/" + below
	}
	r, err := parse(s)
	r.elsewhere = e
	return r, err
}

// base is where the API's paths begin.
func (r request) base() string {
	if r.api != "" {
		return r.api
	}
	return r.forge.base(r.origin)
}

// kindOf is the forge whose API has such a path.
func kindOf(api string) *kind {
	for ending, k := range map[string]*kind{"/api/v1/": gitea, "/api/v3/": github, "/api/v4/": gitlab} {
		if strings.HasSuffix(api, ending) {
			return k
		}
	}
	return nil
}
