package forge

import (
	"errors"
	"slices"
	"strings"
)

// elsewhere is a forge whose API is not at the usual place of its kind, or which lies below a path of its host.
type elsewhere struct {
	api   string // with a slash at its end; "" for the usual place
	under string // the path of the forge on its host, as in "/gitea"
}

// errAPI does not repeat the value: see home.at.
var errAPI = errors.New("FORGE_API: want host=https://host/path/of/the/api, several separated by spaces")

// namedAPI is a word of FORGE_API: host[:port]=URL.
type namedAPI struct {
	host   string // as in the references and URLs of its requests
	origin string // of the API
	path   string // of the API, with no slash around it
}

// apis reads FORGE_API.
func apis(env []string) (all []namedAPI, err error) {
	for word := range strings.FieldsSeq(get(env, "FORGE_API")) {
		host, url, ok := strings.Cut(word, "=")
		scheme, rest, isURL := strings.Cut(url, "://")
		at, path, _ := strings.Cut(strings.TrimSuffix(rest, "/"), "/")
		if !ok || !isURL || host == "" {
			return nil, errAPI
		}
		origin, err := originOf(strings.ToLower(scheme), at)
		if err != nil {
			return nil, errors.Join(errAPI, err)
		}
		if path != "" && slices.ContainsFunc(strings.Split(path, "/"), func(p string) bool { return !segment().MatchString(p) || p == "." || p == ".." }) {
			return nil, errAPI
		}
		all = append(all, namedAPI{host: strings.ToLower(host), origin: origin, path: path})
	}
	return all, nil
}

// own says whether the API is on the host of its forge.
func (a namedAPI) own() bool {
	_, authority, _ := strings.Cut(a.origin, "://")
	return authority == a.host
}

// under is the path of the forge on its host: that of an API on the same host, up to its segment "api".
func (a namedAPI) under() string {
	parts := strings.Split(a.path, "/")
	if i := slices.Index(parts, "api"); i > 0 && a.own() {
		return "/" + strings.Join(parts[:i], "/")
	}
	return ""
}

// Below are the forges that an environment names below a path of their host, each as host/path.
func Below(env []string) (all []string) {
	named, _ := apis(env) // an error is reported where the forge is asked, and by doctor
	for _, a := range named {
		if under := a.under(); under != "" {
			all = append(all, a.host+under)
		}
	}
	return all
}

// apiOf is the entry of a host in FORGE_API. The last word that names the host counts.
func apiOf(authority string, env []string) (e elsewhere, err error) {
	all, err := apis(env)
	for _, a := range all {
		if !strings.EqualFold(a.host, authority) {
			continue
		}
		e = elsewhere{api: a.origin + "/", under: a.under()}
		if a.path != "" {
			e.api += a.path + "/"
		}
	}
	return e, err
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
			return request{}, errors.New("it is not below the path that FORGE_API gives its host")
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

// kindOf is the kind of forge whose API has a path with this end.
func kindOf(api string) *kind {
	for ending, k := range map[string]*kind{"/api/v1/": gitea, "/api/v3/": github, "/api/v4/": gitlab} {
		if strings.HasSuffix(api, ending) {
			return k
		}
	}
	return nil
}
