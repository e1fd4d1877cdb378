package tick

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"kugetsu/queue"
	"kugetsu/queue/pattern"
)

// scpURL is a remote as ssh knows it: [user@]host:path.
var scpURL = pattern.Lazy(`^(?:[^/@:]+@)?(\[[0-9A-Fa-f:]+\]|[^/@:]+):[^/]*`)

// remoteHost is the host of a remote's URL, with its port if the URL has one; "" for a URL without a host.
func remoteHost(remote string) string {
	if strings.Contains(remote, "://") {
		u, err := url.Parse(remote)
		if err != nil || u.Scheme == "file" {
			return ""
		}
		return strings.ToLower(u.Host)
	}
	m := scpURL().FindStringSubmatch(remote)
	if m == nil || filepath.IsAbs(remote) {
		return ""
	}
	return strings.ToLower(m[1])
}

// hostFor is the host without which an item cannot begin, "" for none. An item whose worktree exists continues there. A local
// checkout needs no host either.
func (t *Tick) hostFor(it *queue.Item, known repos) HoldTarget {
	ref := it.Ref()
	if ref.IsZero() {
		return "" // items of the PM agent belong to no issue
	}
	w := t.workspace(ref, known)
	if w.Local != "" || w.Host == "" {
		return ""
	}
	if _, err := os.Lstat(filepath.Join(t.Home.Worktree(ref.Session()), ".git")); err == nil {
		return ""
	}
	target, _ := hostTarget(w.Host)
	return target
}
