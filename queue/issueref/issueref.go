// Package issueref reads and writes references to issues, such as github.com/user/repo#123.
//
// A reference becomes the name of files, of folders and of a branch, so what gets in is decided
// here, once: every segment starts with a letter or a digit and holds only letters, digits, dots,
// underscores and dashes. Neither "..", nor a separator, nor a control character, nor the "+" and
// "@" that Session puts in place of "/" and "#" can be part of one. That is what keeps Session
// one-to-one and flat: no two issues share a folder, and none lies inside another.
package issueref

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxLen bounds the canonical form, in bytes. With the few bytes that suffixes such as ".json" or
// a temporary file's digits add, a name made from it stays below the 255 that file systems allow.
const maxLen = 200

// maxQuoted bounds how much of a refused text, in bytes, an error repeats.
const maxQuoted = 80

var (
	segment = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	number  = regexp.MustCompile(`^[1-9][0-9]{0,8}$`)
	port    = regexp.MustCompile(`^[^@:]+:[0-9]+$`)
	scheme  = regexp.MustCompile(`^(?i:https?)://`)
	urlText = regexp.MustCompile(`^[!-~]*$`)
)

// Ref names one issue, or pull request, of one repository on one forge. The zero Ref names none.
// Two Refs are the same issue when their Session is the same: forges ignore case in a path.
type Ref struct {
	Host   string // lower case, without a port
	Repo   string // owner[/group...]/repo, the case kept as it was written
	Number int    // 1 to 999999999
}

// Parse reads a text that is wholly a reference: host/owner[/group...]/repo#n, owner/repo#n on
// defaultHost, or the URL of an issue or a pull request, whose query, fragment and further path
// are ignored.
//
// Of three or more segments the first must be a host: it contains a dot, or is "localhost" or
// defaultHost. Anything else is an error that quotes the text, shortened and with its control
// characters escaped.
func Parse(s, defaultHost string) (Ref, error) {
	if prefix := scheme.FindString(s); prefix != "" {
		return parseURL(s, s[len(prefix):], defaultHost)
	}
	path, n, ok := strings.Cut(s, "#")
	parts := strings.Split(path, "/")
	switch {
	case !ok || len(parts) < 2:
		return Ref{}, refuse(s, "want host/owner/repo#number, owner/repo#number or the URL of an issue")
	case len(parts) == 2 && port.MatchString(parts[0]):
		return Ref{}, refusePort(s, parts[0])
	case len(parts) == 2 && defaultHost == "":
		return Ref{}, refuse(s, "it names no host and there is no default one")
	case len(parts) == 2:
		parts = slices.Insert(parts, 0, defaultHost)
	}
	return build(s, parts[0], parts[1:], n, defaultHost)
}

// parseURL reads rest, which is the URL s without its scheme.
func parseURL(s, rest, defaultHost string) (Ref, error) {
	if !urlText.MatchString(rest) {
		return Ref{}, refuse(s, "a URL holds no white space, control or non-ASCII characters")
	}
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		rest = rest[:i]
	}
	parts := strings.Split(rest, "/")
	// GitLab ends the path of a project, however deep, with a segment "-".
	// Elsewhere a repository has exactly two segments.
	end, kinds := 3, []string{"issues", "pull", "pulls"}
	kind := end
	if i := slices.Index(parts, "-"); i > 0 {
		end, kind, kinds = i, i+1, []string{"issues", "work_items"}
	}
	if len(parts) < kind+2 {
		return Ref{}, refuse(s, "the URL is not that of an issue or a pull request")
	}
	if parts[kind] == "merge_requests" {
		return Ref{}, refuse(s, "merge requests are numbered apart from issues: give the issue that it closes")
	}
	if !slices.Contains(kinds, parts[kind]) {
		return Ref{}, refuse(s, "the URL is not that of an issue or a pull request")
	}
	return build(s, parts[0], parts[1:end], parts[kind+1], defaultHost)
}

// build checks the pieces of the reference s and puts them together.
func build(s, host string, repo []string, n, defaultHost string) (Ref, error) {
	switch {
	case port.MatchString(host):
		return Ref{}, refusePort(s, host)
	case !segment.MatchString(host):
		return Ref{}, refuse(s, fmt.Sprintf("%q is no host name", shorten(host)))
	// A host that only the URL form could name would not survive being written and read again,
	// so this holds for URLs too.
	case !strings.Contains(host, ".") && !strings.EqualFold(host, "localhost") && !strings.EqualFold(host, defaultHost):
		return Ref{}, refuse(s, fmt.Sprintf("%q is no host: it has no dot and is not the default one", shorten(host)))
	case len(repo) < 2:
		return Ref{}, refuse(s, "a repository is owner/repo")
	case !number.MatchString(n):
		return Ref{}, refuse(s, fmt.Sprintf("%q is no issue number", shorten(n)))
	}
	for _, part := range repo {
		if !segment.MatchString(part) {
			return Ref{}, refuse(s, fmt.Sprintf("%q is no owner, group or repository", shorten(part)))
		}
	}
	num, err := strconv.Atoi(n)
	if err != nil {
		return Ref{}, refuse(s, fmt.Sprintf("%q is no issue number", shorten(n)))
	}
	r := Ref{Host: strings.ToLower(host), Repo: strings.Join(repo, "/"), Number: num}
	if len(r.String()) > maxLen {
		return Ref{}, refuse(s, fmt.Sprintf("longer than %d bytes", maxLen))
	}
	return r, nil
}

func refuse(s, why string) error {
	return fmt.Errorf("%q is no issue reference: %s", shorten(s), why)
}

func refusePort(s, host string) error {
	return refuse(s, fmt.Sprintf("%q has a port: leave it out and map the repository in repos.json or set GIT_CLONE_URL", shorten(host)))
}

// shorten cuts s, between two characters, to what an error may repeat of it.
func shorten(s string) string {
	if len(s) <= maxQuoted {
		return s
	}
	end := maxQuoted
	for end > maxQuoted-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "..."
}

// String is the canonical form, host/owner/repo#n. Parse reads it back to the same Ref. Of the
// zero Ref it is empty.
func (r Ref) String() string {
	if r.IsZero() {
		return ""
	}
	return r.Host + "/" + r.Repo + "#" + strconv.Itoa(r.Number)
}

// Session names the files and the worktree of the issue: the canonical form in lower case, with
// "+" for "/" and "@" for "#", for instance github.com+user+repo@123. It is one path element, and
// different issues have different ones. There is no "#" in it because build tools break on a path
// with one.
func (r Ref) Session() string {
	return flat.Replace(strings.ToLower(r.String()))
}

// FromSession is the issue that a session's name was made from, in lower case.
func FromSession(name string) (Ref, error) {
	s := strings.NewReplacer("+", "/", "@", "#").Replace(name)
	host, _, _ := strings.Cut(s, "/")
	r, err := Parse(s, host)
	if err == nil && r.Session() != name {
		err = refuse(name, "no session is called that")
	}
	return r, err
}

// RepoPath is host/owner/repo in lower case: the key of the repository in repos.json.
func (r Ref) RepoPath() string {
	if r.IsZero() {
		return ""
	}
	return strings.ToLower(r.Host + "/" + r.Repo)
}

// RepoName is RepoPath as one path element, for instance github.com+user+repo.
func (r Ref) RepoName() string {
	return flat.Replace(r.RepoPath())
}

// IsZero reports whether r names no issue.
func (r Ref) IsZero() bool {
	return r == Ref{}
}

var flat = strings.NewReplacer("/", "+", "#", "@")
