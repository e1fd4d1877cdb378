package forge

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"time"
)

const (
	// perPage is how many requests are asked for at once: one takes up to 20 kB. A page with fewer is the last one.
	perPage = 30
	// maxPages bounds how many pages are asked for. Only Gitea, which cannot be asked for a branch, has so many.
	maxPages = 5
)

// kind is a kind of forge: everything in which forges differ. The paths are those of their API's documentation.
type kind struct {
	name   string
	word   string   // before the number in a request's URL
	names  []string // what hosts of this kind are often called
	cli    string   // the program that asks where there is no token, "" for none
	scheme string   // of the header Authorization
	base   func(origin string) string
	one    func(r request) string                               // path of a request
	list   func(r request, branch string, per, page int) string // path of those of a branch, or of all
	number func(a answer) int
	from   func(a answer, repo, branch string) bool // whether it is of this branch
}

var github = &kind{
	name: "GitHub", word: "pull", names: []string{"github"}, cli: "gh", scheme: "Bearer",
	base: func(origin string) string {
		if origin == "https://github.com" {
			return "https://api.github.com/"
		}
		if tenant, ok := strings.CutPrefix(origin, "https://"); ok && isTenant(tenant) {
			return "https://api." + tenant + "/"
		}
		return origin + "/api/v3/"
	},
	one: func(r request) string { return fmt.Sprintf("repos/%s/pulls/%d", r.repo, r.number) },
	list: func(r request, branch string, per, page int) string {
		owner, _, _ := strings.Cut(r.repo, "/")
		return fmt.Sprintf("repos/%s/pulls?head=%s&state=all&sort=created&direction=desc&per_page=%d&page=%d", r.repo, url.QueryEscape(owner+":"+branch), per, page)
	},
	number: func(a answer) int { return a.Number },
	from:   headIs,
}

// isTenant says whether a host is one of GitHub's own for a company, whose API has a host of its own.
func isTenant(host string) bool {
	name, ok := strings.CutSuffix(host, ".ghe.com")
	return ok && label().MatchString(name)
}

var gitlab = &kind{
	name: "GitLab", word: "merge_requests", names: []string{"gitlab"}, cli: "glab", scheme: "Bearer",
	base: func(origin string) string { return origin + "/api/v4/" },
	one: func(r request) string {
		return fmt.Sprintf("projects/%s/merge_requests/%d", url.PathEscape(r.repo), r.number)
	},
	list: func(r request, branch string, per, page int) string {
		return fmt.Sprintf("projects/%s/merge_requests?source_branch=%s&state=all&order_by=created_at&sort=desc&per_page=%d&page=%d",
			url.PathEscape(r.repo), url.QueryEscape(branch), per, page)
	},
	number: func(a answer) int { return a.IID },
	from: func(a answer, _, branch string) bool {
		return a.SourceBranch == branch && a.SourceProject != 0 && a.SourceProject == a.TargetProject
	},
}

// gitea is Forgejo, too. There is no program for it. The logins of tea have names and not hosts, so a login for another host would
// answer, and on Debian tea is a text editor.
var gitea = &kind{
	name: "Gitea or Forgejo", word: "pulls", names: []string{"gitea", "forgejo"}, scheme: "token",
	base: func(origin string) string { return origin + "/api/v1/" },
	one:  func(r request) string { return fmt.Sprintf("repos/%s/pulls/%d", r.repo, r.number) },
	list: func(r request, _ string, per, page int) string { // it cannot be asked for a branch
		return fmt.Sprintf("repos/%s/pulls?state=all&sort=recentupdate&limit=%d&page=%d", r.repo, per, page)
	},
	number: func(a answer) int { return a.Number },
	from:   headIs,
}

// answer is the part of a request that is read, of any forge.
type answer struct {
	Number    int       `json:"number"`
	IID       int       `json:"iid"` // GitLab's number
	State     string    `json:"state"`
	Merged    bool      `json:"merged"`
	MergedAt  *string   `json:"merged_at"` // GitHub's lists have no merged
	CreatedAt time.Time `json:"created_at"`
	Head      struct {
		Ref   string `json:"ref"`
		SHA   string `json:"sha"`
		Label string `json:"label"` // on Gitea the branch; on GitHub its owner, too
		Repo  struct {
			FullName string `json:"full_name"`
		} `json:"repo"`
	} `json:"head"`
	SourceBranch  string `json:"source_branch"`
	SourceProject int    `json:"source_project_id"`
	TargetProject int    `json:"target_project_id"`
}

// headIs says whether the head of a request is a branch. If the branch is deleted, Gitea names the ref of the request instead, and only
// the label keeps the branch's name.
func headIs(a answer, repo, branch string) bool {
	own := fmt.Sprintf("refs/pull/%d/head", a.Number)
	return (a.Head.Ref == branch || a.Head.Ref == own && a.Head.Label == branch) && strings.EqualFold(a.Head.Repo.FullName, repo)
}

// status is the state in an answer.
func (a answer) status() (Status, error) {
	switch {
	case a.State == "open", a.State == "opened", a.State == "locked": // GitLab locks what is just being merged
		return Open, nil
	case a.State == "merged", a.State == "closed" && (a.Merged || a.MergedAt != nil):
		return Merged, nil
	case a.State == "closed":
		return Closed, nil
	}
	return Unknown, errors.New("the answer has no state that is known")
}

// readFresh reads an answer of any kind into a value. It clears the value first, since JSON would leave fields that the answer lacks.
func readFresh(body []byte, into any) error {
	reflect.ValueOf(into).Elem().SetZero() // null leaves a value as it is
	if string(bytes.TrimSpace(body)) == "null" || json.Unmarshal(body, into) != nil {
		return errNoJSON
	}
	return nil
}

var errNoJSON = errors.New("the answer is not that of its API")

func readOne(body []byte) (a answer, err error) {
	if json.Unmarshal(body, &a) != nil {
		return a, errNoJSON
	}
	return a, nil
}

func readList(body []byte) (list []answer, err error) {
	if json.Unmarshal(body, &list) != nil || list == nil {
		return nil, errNoJSON
	}
	return list, nil
}
