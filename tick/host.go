package tick

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"kugetsu/queue"
)

// scpURL is a remote as ssh knows it: [user@]host:path.
var scpURL = regexp.MustCompile(`^(?:[^/@:]+@)?(\[[0-9A-Fa-f:]+\]|[^/@:]+):[^/]*`)

// remoteHost is the host that a remote's URL leads to, with its port where it names one; "" where it leads to none.
func remoteHost(remote string) string {
	if strings.Contains(remote, "://") {
		u, err := url.Parse(remote)
		if err != nil || u.Scheme == "file" {
			return ""
		}
		return strings.ToLower(u.Host)
	}
	m := scpURL.FindStringSubmatch(remote)
	if m == nil || filepath.IsAbs(remote) {
		return ""
	}
	return strings.ToLower(m[1])
}

// hostFor is the host that an item cannot begin without, "" for none. One whose worktree stands needs none: it goes on there,
// and a local checkout is gone on with as it is.
func (t *Tick) hostFor(it *queue.Item, known repos) Held {
	ref, err := parseRef(it.IssueRef)
	if err != nil {
		return "" // the PM agent's items are about no issue
	}
	w := t.workspace(ref, known)
	if w.Local != "" || w.Host == "" {
		return ""
	}
	if _, err := os.Lstat(filepath.Join(t.Home.Worktree(ref.Session()), ".git")); err == nil {
		return ""
	}
	held, _ := heldHost(w.Host)
	return held
}
