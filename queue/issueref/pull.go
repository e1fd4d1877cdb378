package issueref

import (
	"fmt"
	"regexp"
	"strings"
)

// maxURL bounds the URL of a pull request, in bytes.
const maxURL = 1000

// pull is the path of a pull request behind that of its repository: GitHub, Gitea and Forgejo, GitLab.
var pull = regexp.MustCompile(`^/(?:pull|pulls|-/merge_requests)/[1-9][0-9]{0,8}(?:[/?#]|$)`)

// CheckURL refuses what is no URL of a pull request: any http or https one is, without white space, control characters
// and credentials.
func CheckURL(s string) error {
	prefix := scheme.FindString(s)
	host, _, _ := strings.Cut(s[len(prefix):], "/")
	switch {
	case prefix == "" || host == "":
		return fmt.Errorf("%q is no http or https URL", shorten(s))
	case len(s) > maxURL:
		return fmt.Errorf("%q is longer than %d bytes", shorten(s), maxURL)
	case !urlText.MatchString(s):
		return fmt.Errorf("%q: a URL holds no white space, control or non-ASCII characters", shorten(s))
	case strings.Contains(host, "@"): // not quoted: it may be a token
		return fmt.Errorf("the URL holds credentials")
	}
	return nil
}

// FindPull is the URL of the last pull or merge request of the issue's own repository that a text names, without what
// leads further into it; "" where there is none. A port is not compared: a Ref has none.
func FindPull(text string, r Ref) string {
	found := ""
	for chunk := range strings.FieldsFuncSeq(text, endsURL) {
		for piece := range strings.FieldsFuncSeq(chunk, separates) {
			url := strip(piece)
			prefix := scheme.FindString(url)
			if prefix == "" || CheckURL(url) != nil {
				continue
			}
			host, path, _ := strings.Cut(url[len(prefix):], "/")
			name, _, _ := strings.Cut(host, ":")
			if !strings.EqualFold(name, r.Host) || len(path) < len(r.Repo) || !strings.EqualFold(path[:len(r.Repo)], r.Repo) {
				continue
			}
			if m := pull.FindString(path[len(r.Repo):]); m != "" {
				found = prefix + host + "/" + path[:len(r.Repo)] + strings.TrimRight(m, "/?#")
			}
		}
	}
	return found
}
