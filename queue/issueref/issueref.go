// Package issueref reads and writes references to issues, such as github.com/user/repo#123, and to tasks that have no issue, such
// as github.com/user/repo#deps.
//
// A reference becomes the name of files, of folders and of a branch, so this package alone decides
// which characters it may hold. Every segment begins with a letter or a digit and holds only letters,
// digits, dots, underscores and dashes. The repository itself, the last segment, may begin with a dot,
// an underscore or a dash as well. A segment is never "..", and never holds a separator, a control
// character, or the "+" and "@" that Session puts in place of "/", "#" and ":". So Session is
// one-to-one and flat: no two issues share a folder, and no folder lies inside another.
//
// The name of a task begins with a letter, and an issue is a number. So no task is ever called as an issue is: not in a reference,
// and not in what is made from it.
package issueref

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"kugetsu/queue/pattern"
	"kugetsu/queue/terminal"
)

// maxLen bounds the canonical form, in bytes. A name that is made from it stays below the 255 bytes
// that file systems allow, also with a suffix such as ".json" and a temporary file's digits.
const maxLen = 200

// maxQuoted bounds how much of a refused text, in bytes, an error repeats.
const maxQuoted = 80

var (
	segment = pattern.Lazy(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	project = pattern.Lazy(`^[A-Za-z0-9._-]+$`)
	number  = pattern.Lazy(`^[1-9][0-9]{0,8}$`)
	task    = pattern.Lazy(`^[a-z][a-z0-9-]{0,39}$`)
	scheme  = pattern.Lazy(`^(?i:https?)://`)
	urlText = pattern.Lazy(`^[!-~]*$`)
)

// Ref names one issue, or pull request, of one repository on one forge; or a task there that has no issue. The zero Ref names none.
// Two Refs are the same issue when their Session is the same: forges ignore case in a path.
type Ref struct {
	Host   string // lower case, with a port that is not the default one; an IPv6 address in brackets
	Repo   string // owner[/group...]/repo, the case as written
	Number int    // 1 to 999999999; 0 of a task
	Task   string // the name of a task that has no issue
	HTTP   bool   // its URL begins with http, and its host has a port or no dot; not part of its name
}

// Parse reads a text that is wholly a reference: host/owner[/group...]/repo#n, owner/repo#n on
// defaultHost, or the URL of an issue or a pull request, whose query, fragment and further path
// are ignored. In place of n may stand the name of a task, but not in a URL.
//
// Of three or more segments the first must be a host: it contains a dot or has a port, or is "localhost",
// an address in brackets or defaultHost. In a URL any name is a host. The ports 80 and 443 mean the same
// as no port. Anything else is an error. It quotes the text, shortened and with its control characters
// escaped, but not where the text may hold a password.
//
// below lists the forges that lie below a path of their host, each as host/path. The URL of an issue there has that path before
// owner/repo, and so has the reference.
func Parse(s, defaultHost string, below ...string) (Ref, error) {
	if prefix := scheme().FindString(s); prefix != "" {
		return parseURL(s, s[len(prefix):], defaultHost, below)
	}
	if _, rest, url := strings.Cut(s, "://"); url {
		if authority, _, _ := strings.Cut(rest, "/"); strings.Contains(authority, "@") { // of another scheme, as ssh
			return Ref{}, errCredentials
		}
	}
	path, n, ok := strings.Cut(s, "#")
	parts := strings.Split(path, "/")
	switch {
	case !ok || len(parts) < 2:
		return Ref{}, refuse(s, "want host/owner/repo#number, owner/repo#number or the URL of an issue")
	case len(parts) == 2 && defaultHost == "":
		return Ref{}, refuse(s, "it names no host and there is no default one")
	case len(parts) == 2:
		parts = slices.Insert(parts, 0, defaultHost)
	}
	r, err := build(parts[0], parts[1:], n, defaultHost, false)
	return r, refused(s, err)
}

// Canonical reads the form that String writes, which names the host. The host may have no dot, since it may once have been the
// default.
func Canonical(s string) (Ref, error) {
	host, _, _ := strings.Cut(s, "/")
	r, err := Parse(s, host)
	if err == nil && r.String() != s {
		return Ref{}, fmt.Errorf("%q does not name its host", terminal.Clip(s, maxQuoted))
	}
	return r, err
}

// Same returns a function that says whether another reference means the same issue.
func Same(ref string) func(string) bool {
	want, err := Canonical(ref)
	return func(other string) bool {
		got, otherErr := Canonical(other)
		return err == nil && otherErr == nil && got.Session() == want.Session()
	}
}

// parseURL reads rest, which is the URL s without its scheme.
func parseURL(s, rest, defaultHost string, below []string) (Ref, error) {
	if authority, _, _ := strings.Cut(rest, "/"); strings.Contains(authority, "@") {
		return Ref{}, errCredentials
	}
	if !urlText().MatchString(rest) {
		return Ref{}, refuse(s, "a URL holds no white space, control or non-ASCII characters")
	}
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		rest = rest[:i]
	}
	parts := strings.Split(rest, "/")
	// GitLab ends the path of a project, of any depth, with a segment "-".
	// On other forges a repository has exactly two segments, behind the path of the forge.
	end, kinds := 3+depth(parts, below), []string{"issues", "pull", "pulls"}
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
	if !number().MatchString(parts[kind+1]) {
		return Ref{}, refuse(s, fmt.Sprintf("%q is not an issue number", terminal.Clip(parts[kind+1], maxQuoted)))
	}
	r, err := build(parts[0], parts[1:end], parts[kind+1], defaultHost, true)
	// Only a host with a port or without a dot keeps http. Any other host is public and speaks https, so a URL with http to it
	// is an old one.
	r.HTTP = err == nil && strings.EqualFold(s[:len("http:")], "http:") && (strings.Contains(parts[0], ":") || !strings.Contains(r.Host, "."))
	return r, refused(s, err)
}

// depth is the number of segments behind the host of a URL that are the path of a forge. The longest path that fits counts.
func depth(parts, below []string) (n int) {
	host, _, err := hostAndPort(parts[0])
	if err != nil {
		return 0
	}
	for _, forge := range below {
		segments := strings.Split(forge, "/")
		if named, _, err := hostAndPort(segments[0]); err != nil || named != host || len(segments) > len(parts) {
			continue
		}
		if strings.EqualFold(strings.Join(segments[1:], "/"), strings.Join(parts[1:len(segments)], "/")) {
			n = max(n, len(segments)-1)
		}
	}
	return n
}

// errCredentials quotes nothing: the text before an @ may be a token.
var errCredentials = errors.New("the reference names a user, or holds credentials: leave out what stands before the @, and write host/owner/repo#number")

// hostAndPort reads a host and returns it as references hold it: in lower case, without a default port.
// sure means that s can only be a host.
func hostAndPort(s string) (host string, sure bool, err error) {
	name, port, found := s, "", false
	if i := strings.LastIndex(s, ":"); i > strings.LastIndex(s, "]") {
		name, port, found = s[:i], s[i+1:], true
	}
	if inner, six := strings.CutPrefix(name, "["); six {
		inner, closed := strings.CutSuffix(inner, "]")
		addr, err := netip.ParseAddr(inner)
		if !closed || err != nil || !addr.Is6() || addr.Zone() != "" || addr.Is4In6() {
			return "", false, fmt.Errorf("%q is not a host name", terminal.Clip(s, maxQuoted))
		}
		name, sure = "["+addr.String()+"]", true
	} else if !segment().MatchString(name) {
		return "", false, fmt.Errorf("%q is not a host name", terminal.Clip(s, maxQuoted))
	}
	if !found {
		return strings.ToLower(name), sure, nil
	}
	n, err := strconv.Atoi(port)
	if port == "" || strings.Trim(port, "0123456789") != "" {
		return "", false, fmt.Errorf("%q is not a host name", terminal.Clip(s, maxQuoted))
	}
	if err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != port {
		return "", false, fmt.Errorf("the port of %q is not a port: want 1 to 65535", terminal.Clip(s, maxQuoted))
	}
	if n != 80 && n != 443 {
		name += ":" + port
	}
	return strings.ToLower(name), true, nil
}

// build checks the pieces of a reference and puts them together. The error says what is wrong, without the text that is refused.
func build(host string, repo []string, n, defaultHost string, isURL bool) (Ref, error) {
	if strings.Contains(host, "@") {
		return Ref{}, errCredentials
	}
	name, sure, err := hostAndPort(host)
	switch {
	case err != nil:
		return Ref{}, err
	// Such a name may be a group on the default server, and must not be taken for a host.
	case !sure && !isURL && !strings.Contains(name, ".") && name != "localhost" && !strings.EqualFold(host, defaultHost):
		return Ref{}, fmt.Errorf("%q is not a host: it has no dot and no port, and is not the default one", terminal.Clip(host, maxQuoted))
	case len(repo) < 2:
		return Ref{}, errors.New("a repository is owner/repo")
	case !number().MatchString(n) && !task().MatchString(n):
		return Ref{}, fmt.Errorf("%q is not an issue number", terminal.Clip(n, maxQuoted))
	}
	for i, part := range repo {
		if last := i == len(repo)-1; !segment().MatchString(part) && !(last && isProject(part)) {
			return Ref{}, fmt.Errorf("%q is not an owner, group or repository", terminal.Clip(part, maxQuoted))
		}
	}
	r := Ref{Host: name, Repo: strings.Join(repo, "/")}
	if r.Number, err = strconv.Atoi(n); err != nil {
		r.Number, r.Task = 0, n
	}
	if max(len(r.String()), len(r.Session())) > maxLen {
		return Ref{}, fmt.Errorf("longer than %d bytes", maxLen)
	}
	return r, nil
}

// isProject says whether name may be that of a repository. A dash alone ends the path of a project in GitLab's URLs, and .git
// is the folder in which git keeps a repository.
func isProject(name string) bool {
	return project().MatchString(name) && !slices.Contains([]string{".", "..", "-", ".git"}, strings.ToLower(name))
}

// refused is the error of a text that build refused; nil where it did not. The text is not quoted where it may hold a password.
func refused(s string, err error) error {
	if err == nil || errors.Is(err, errCredentials) {
		return err
	}
	return refuse(s, err.Error())
}

func refuse(s, why string) error {
	return fmt.Errorf("%q is not an issue reference: %s", terminal.Clip(s, maxQuoted), why)
}

// String is the canonical form, host/owner/repo#n, or #name for a task. Parse reads it back to the same Ref. It is empty
// for the zero Ref.
func (r Ref) String() string {
	if r.IsZero() {
		return ""
	}
	return r.Repository() + "#" + r.name()
}

// name is the name of the issue or the task within its repository.
func (r Ref) name() string {
	if r.Task != "" {
		return r.Task
	}
	return strconv.Itoa(r.Number)
}

// Branch is the branch on which the issue or the task is worked on, unless another one is asked for.
func (r Ref) Branch() string {
	switch {
	case r.IsZero():
		return ""
	case r.Task != "":
		return taskBranch + r.Task
	}
	return issueBranch + strconv.Itoa(r.Number)
}

// Kept is the prefix of the refs that keep work of the issue or the task, and belong to no single run.
func (r Ref) Kept() string {
	if r.Task != "" {
		return "refs/kugetsu/task/" + r.Task
	}
	return "refs/kugetsu/issue-" + r.name()
}

// KeptBase is the prefix of the refs that keep the commit at which the work began.
func (r Ref) KeptBase() string {
	if r.Task != "" {
		return "refs/kugetsu/task-base/" + r.Task
	}
	return r.Kept() + "-base"
}

// Session is the name of the files and the worktree of the issue. It is the canonical form in lower case, with "+" for "/", and "@"
// for "#" and ":", as in github.com+user+repo@123 or gitea@3000+user+repo@123. An IPv6 address is written with all of its eight
// groups. The name is one path element. Different issues have different names: an "@" before the first "+" belongs to the host. The
// name has no "#", since build tools break on such a path, and no ":", since that separates the paths of a list.
func (r Ref) Session() string {
	if r.IsZero() {
		return ""
	}
	return r.RepoName() + "@" + r.name()
}

// FromSession returns the issue or the task that a session's name stands for, in lower case.
func FromSession(name string) (Ref, error) {
	host, rest, _ := strings.Cut(name, "+")
	host = strings.ReplaceAll(host, "@", ":")
	if groups := strings.SplitN(host, ":", 9); len(groups) >= 8 {
		host = "[" + strings.Join(groups[:8], ":") + "]"
		if len(groups) == 9 {
			host += ":" + groups[8]
		}
	}
	r, err := Parse(host+"/"+strings.NewReplacer("+", "/", "@", "#").Replace(rest), host)
	if err == nil && r.Session() != name {
		err = refuse(name, "no session is called that")
	}
	if err != nil {
		return Ref{}, err
	}
	return r, nil
}

// flatHost writes a host as one path element.
func flatHost(host string) string {
	if inner, port, six := strings.Cut(strings.TrimPrefix(host, "["), "]"); six {
		addr, _ := netip.ParseAddr(inner) // it cannot fail: build read the address before
		b := addr.As16()
		groups := make([]string, 8)
		for i := range groups {
			groups[i] = strconv.FormatUint(uint64(b[2*i])<<8|uint64(b[2*i+1]), 16)
		}
		host = strings.Join(groups, ":") + port
	}
	return strings.ReplaceAll(host, ":", "@")
}

// Repository is host/owner/repo, the case as written.
func (r Ref) Repository() string { return r.Host + "/" + r.Repo }

// RepoPath is host/owner/repo in lower case: the key of the repository in repos.json.
func (r Ref) RepoPath() string {
	if r.IsZero() {
		return ""
	}
	return strings.ToLower(r.Repository())
}

// RepoName is RepoPath as one path element, for instance github.com+user+repo.
func (r Ref) RepoName() string {
	if r.IsZero() {
		return ""
	}
	return flatHost(strings.ToLower(r.Host)) + "+" + strings.ReplaceAll(strings.ToLower(r.Repo), "/", "+")
}

// IsZero reports whether r names no issue.
func (r Ref) IsZero() bool {
	return r == Ref{}
}
