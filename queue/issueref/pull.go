package issueref

import (
	"fmt"
	"strings"

	"kugetsu/queue/pattern"
	"kugetsu/queue/terminal"
)

// maxURL bounds the URL of a pull request, in bytes.
const maxURL = 1000

// pull matches the path of a pull request behind that of its repository: GitHub, Gitea and Forgejo, GitLab.
var pull = pattern.Lazy(`^/(?:pull|pulls|-/merge_requests)/[1-9][0-9]{0,8}(?:[/?#]|$)`)

// CheckURL refuses a text that cannot be the URL of a pull request. Any http or https URL can, without white space, control
// characters and credentials.
func CheckURL(s string) error {
	prefix := scheme().FindString(s)
	host, _, _ := strings.Cut(s[len(prefix):], "/")
	switch {
	case prefix == "" || host == "":
		return fmt.Errorf("%q is not an http or https URL", terminal.Clip(s, maxQuoted))
	case len(s) > maxURL:
		return fmt.Errorf("%q is longer than %d bytes", terminal.Clip(s, maxQuoted), maxURL)
	case !urlText().MatchString(s):
		return fmt.Errorf("%q: a URL holds no white space, control or non-ASCII characters", terminal.Clip(s, maxQuoted))
	case strings.Contains(host, "@"): // not quoted: it may hold a token
		return fmt.Errorf("the URL holds credentials")
	}
	return nil
}

// opens matches words which say that a request was opened, or which label one: "Opened", "PR:", "pull request #12 is at".
// mentions matches words before a request that is only mentioned. The last match counts.
var (
	opens    = pattern.Lazy(`(?i)\b(?:opened|created|raised|submitted|filed|published|proposed|sent|put up|pushed up|updated)\b|\b(?:pr|mr|(?:pull|merge)[ -]request)\b(?:\W*#?\d*\W*)(?:(?:is|was|are)\W+)?(?:(?:now|up|here|at|open|ready|live)\W+)*$`)
	mentions = pattern.Lazy(`(?i)\b(?:see|saw|looked|style|like|as in|unlike|similar|same|compare|cf|follow(?:s|ed|ing)?|based|from|after|before|since|merged|closed|reverts?|reverted|related|duplicates?|superse\w+|replac\w+|instead|not|no|never|by|existing|old|earlier|previous|other|in)\b`)
	sentence = pattern.Lazy(`[.!?;]\s|\n\s*\n`)
)

// saysOpened says whether the words before a URL say that it was opened: in the same sentence, and with no word in between that
// only mentions a request.
func saysOpened(before string) bool {
	if ends := sentence().FindAllStringIndex(before, -1); len(ends) > 0 {
		before = before[ends[len(ends)-1][1]:]
	}
	all := opens().FindAllStringIndex(before, -1)
	if len(all) == 0 {
		return false
	}
	last := all[len(all)-1]
	// If another URL stands in between, that other one was opened.
	return !mentions().MatchString(before[last[0]:]) && !strings.Contains(before[last[1]:], "://")
}

// points matches words after which a text names its own result: "The parser is fixed; see https://…". Where a text also denies
// something, the request that it points to may be an earlier one.
var (
	denies = pattern.Lazy(`(?i)\b(?:nothing|not|no|none|never|already|existing|without|instead)\b|n't\b`)
	points = pattern.Lazy(`(?i)(?:^|[.;:!(\n]\s*)(?:please\s+)?(?:see|details(?:\s+in)?|link|result)\s*:?\s*$`)
)

// FindPull finds the URL of the pull or merge request that a text reports. It is the last one of the repository that
// the text says was opened; else the only one that it names, if the text points to it; else "". The URL ends with the number
// of the request. Where the host has no port, any port of that host counts.
func FindPull(text string, r Ref) string {
	found, seen := "", 0
	named, pointed := map[string]bool{}, ""
	for chunk := range chunks(text) {
		for piece := range strings.FieldsFuncSeq(chunk, separates) {
			start := seen + strings.Index(text[seen:], piece)
			seen = start + len(piece)
			url := strip(piece)
			prefix := scheme().FindString(url)
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
			m := pull().FindString(path[len(r.Repo):])
			if m == "" {
				continue
			}
			whole := prefix + host + "/" + path[:len(r.Repo)] + strings.TrimRight(m, "/?#")
			named[whole] = true
			before := text[:start] + piece[:strings.Index(piece, prefix)]
			if saysOpened(before) {
				found = whole
			} else if points().MatchString(before) {
				pointed = whole
			}
		}
	}
	if found == "" && len(named) == 1 && !denies().MatchString(text) {
		return pointed
	}
	return found
}
