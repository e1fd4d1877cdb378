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

// opens says that a request was opened, or labels one: "Opened", "PR:", "pull request #12 is at". Mentions is what leads to one that is only
// mentioned; what stands last counts.
var (
	opens    = regexp.MustCompile(`(?i)\b(?:opened|created|raised|submitted|filed|published|proposed|sent|put up|pushed up|updated)\b|\b(?:pr|mr|(?:pull|merge)[ -]request)\b(?:\W*#?\d*\W*)(?:(?:is|was|are)\W+)?(?:(?:now|up|here|at|open|ready|live)\W+)*$`)
	mentions = regexp.MustCompile(`(?i)\b(?:see|saw|looked|style|like|as in|unlike|similar|same|compare|cf|follow(?:s|ed|ing)?|based|from|after|before|since|merged|closed|reverts?|reverted|related|duplicates?|superse\w+|replac\w+|instead|not|no|never|by|existing|old|earlier|previous|other|in)\b`)
	sentence = regexp.MustCompile(`[.!?;]\s|\n\s*\n`)
)

// saysOpened says whether the words before a URL say that it was opened: in the same sentence, with no word between that leads to
// another thing.
func saysOpened(before string) bool {
	if ends := sentence.FindAllStringIndex(before, -1); len(ends) > 0 {
		before = before[ends[len(ends)-1][1]:]
	}
	all := opens.FindAllStringIndex(before, -1)
	if len(all) == 0 {
		return false
	}
	last := all[len(all)-1]
	// A URL between is that which was opened.
	return !mentions.MatchString(before[last[0]:]) && !strings.Contains(before[last[1]:], "://")
}

// points are the words behind which a text ends on its own result: "The parser is fixed; see https://…". Where a text denies
// anything, it may be what it points to that was there before.
var (
	denies = regexp.MustCompile(`(?i)\b(?:nothing|not|no|none|never|already|existing|without|instead)\b|n't\b`)
	points = regexp.MustCompile(`(?i)(?:^|[.;:!(\n]\s*)(?:please\s+)?(?:see|details(?:\s+in)?|link|result)\s*:?\s*$`)
)

// FindPull is the URL of the last pull or merge request of the issue's own repository that a text says was opened, without what
// leads further into it; else the only one that it names and points to; "" where there is none. One that is merely mentioned is
// none. Where the host has no port, any counts.
func FindPull(text string, r Ref) string {
	found, seen := "", 0
	named, pointed := map[string]bool{}, ""
	for chunk := range chunks(text) {
		for piece := range strings.FieldsFuncSeq(chunk, separates) {
			start := seen + strings.Index(text[seen:], piece)
			seen = start + len(piece)
			url := strip(piece)
			prefix := scheme.FindString(url)
			if prefix == "" || CheckURL(url) != nil {
				continue
			}
			host, path, _ := strings.Cut(url[len(prefix):], "/")
			name, _, _ := strings.Cut(host, ":")
			if whole, _, err := hostAndPort(host); err == nil && r.Host == whole {
				name = r.Host
			}
			if !strings.EqualFold(name, r.Host) || len(path) < len(r.Repo) || !strings.EqualFold(path[:len(r.Repo)], r.Repo) {
				continue
			}
			m := pull.FindString(path[len(r.Repo):])
			if m == "" {
				continue
			}
			whole := prefix + host + "/" + path[:len(r.Repo)] + strings.TrimRight(m, "/?#")
			named[whole] = true
			before := text[:start] + piece[:strings.Index(piece, prefix)]
			if saysOpened(before) {
				found = whole
			} else if points.MatchString(before) {
				pointed = whole
			}
		}
	}
	if found == "" && len(named) == 1 && !denies.MatchString(text) {
		return pointed
	}
	return found
}
