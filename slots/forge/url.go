package forge

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"kugetsu/queue/pattern"
)

// request is one pull or merge request, or a repository with number 0.
type request struct {
	forge  *kind
	origin string // https://host or https://host:port, or the same with http; lower case, a default port left out
	repo   string // owner[/group…]/repo
	number int
	elsewhere
}

const (
	// maxURL bounds a URL, in bytes; maxQuoted bounds the part of it that an error repeats.
	maxURL    = 1000
	maxQuoted = 80
)

var (
	// segment is looser than that of an issue reference: it becomes part of a URL and never a file's name.
	segment = pattern.Lazy(`^[A-Za-z0-9._-]+$`)
	digits  = pattern.Lazy(`^[1-9][0-9]*$`)
	label   = pattern.Lazy(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
	numeric = pattern.Lazy(`^(0x[0-9a-f]*|[0-9]+)$`)
)

// parse reads the URL of a request. The part behind its number is ignored, and so is the query.
//
// It is not url.Parse, which accepts more than a browser shows. Nothing is decoded, so the text that is read is the text that is
// sent. A URL that is not plain (with an escape, a user, a backslash, a host in other letters) is refused.
func parse(s string) (request, error) {
	refuse := func(why string) (request, error) {
		if len(s) > maxQuoted {
			s = s[:maxQuoted] + "..."
		}
		return request{}, fmt.Errorf("%q is not a pull or merge request: %s", s, why)
	}
	if len(s) > maxURL {
		return refuse("it is too long")
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return refuse("a URL holds no white space, control or non-ASCII characters")
		}
	}
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return refuse("want its URL")
	}
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		rest = rest[:i]
	}
	parts := strings.Split(rest, "/")
	origin, err := originOf(strings.ToLower(scheme), parts[0])
	if err != nil {
		return refuse(err.Error())
	}
	// GitLab ends the path of a project, of any depth, with a segment "-". On other forges a repository has two segments.
	forge, end, kindAt := (*kind)(nil), 3, 3
	if i := slices.Index(parts, "-"); i > 0 {
		end, kindAt = i, i+1
	}
	if len(parts) < kindAt+2 {
		return refuse("want its URL")
	}
	for _, k := range []*kind{github, gitlab, gitea} {
		if parts[kindAt] == k.word && (k == gitlab) == (end != kindAt) {
			forge = k
		}
	}
	if forge == nil {
		return refuse("want /pull/N, /-/merge_requests/N or /pulls/N behind the repository")
	}
	r := request{forge: forge, origin: origin, repo: strings.Join(parts[1:end], "/")}
	if !isRepo(r.repo) {
		return refuse("it names no repository")
	}
	if r.number, err = strconv.Atoi(parts[kindAt+1]); err != nil || !digits().MatchString(parts[kindAt+1]) || r.number > 1<<30 {
		return refuse("it has no number")
	}
	return r, nil
}

// url is the plain form of a request's URL.
func (r request) url() string {
	between := "/"
	if r.forge == gitlab {
		between = "/-/"
	}
	return r.origin + r.under + "/" + r.repo + between + r.forge.word + "/" + strconv.Itoa(r.number)
}

// isRepo says whether a path is owner[/group…]/repo, and goes nowhere else in a URL.
func isRepo(path string) bool {
	parts := strings.Split(path, "/")
	for _, p := range parts {
		if !segment().MatchString(p) || p == "." || p == ".." || p == "-" {
			return false
		}
	}
	return len(parts) >= 2 && len(parts) <= 20
}

// originOf puts a scheme and the host[:port] of a URL together.
func originOf(scheme, authority string) (string, error) {
	host, port := strings.ToLower(authority), ""
	if i := strings.LastIndex(host, ":"); i > strings.LastIndex(host, "]") {
		host, port = host[:i], host[i+1:]
		if n, err := strconv.Atoi(port); err != nil || !digits().MatchString(port) || n > 65535 {
			return "", errors.New("its port is not 1 to 65535")
		}
	}
	addr, isAddr := address(host)
	switch {
	case isAddr:
		if host = addr.String(); addr.Is6() {
			host = "[" + host + "]"
		}
	case !isName(host):
		return "", errors.New("its host is not a host name")
	}
	switch {
	case scheme == "https" && port == "443", scheme == "http" && port == "80":
		port = ""
	case scheme != "https" && scheme != "http":
		return "", errors.New("its scheme is not https")
	}
	if port != "" {
		host += ":" + port
	}
	return scheme + "://" + host, nil
}

// isLoopback says whether an origin is on this machine. A name other than "localhost" is not, wherever it leads.
func isLoopback(origin string) bool {
	host := hostname(origin)
	addr, isAddr := address(host)
	return host == "localhost" || isAddr && addr.IsLoopback()
}

// address reads a host that is an IP address, one of version 6 in brackets.
func address(host string) (netip.Addr, bool) {
	inner, six := strings.CutPrefix(host, "[")
	if six {
		var closed bool
		if inner, closed = strings.CutSuffix(inner, "]"); !closed {
			return netip.Addr{}, false
		}
	}
	addr, err := netip.ParseAddr(inner)
	return addr, err == nil && addr.Is6() == six && addr.Zone() == "" && !addr.Is4In6()
}

// isName says whether a host is a name: without a dot at its end, and not what a resolver takes for an address (127.1).
func isName(host string) bool {
	labels := strings.Split(host, ".")
	for _, l := range labels {
		if len(l) > 63 || !label().MatchString(l) {
			return false
		}
	}
	return len(host) <= 253 && !numeric().MatchString(labels[len(labels)-1])
}
