package doctor

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"kugetsu/queue/issueref"
	"kugetsu/slots/forge"
	"kugetsu/tick"
)

// shown finds forges that do not show what is followed, and tokens that go nowhere. With an issue it asks each forge that has a token
// whether the token is good, once.
func (x *Exam) shown() {
	for _, d := range forge.Unplaced(x.agents) {
		x.add(Warn, d.Why, d.Remedy(x.in("env", "default.env")))
	}
	names, err := x.Tick.Home.Sessions()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		x.unknown(err)
		return
	}
	works, failed := x.try(names)
	denials, err := x.Tick.Sessions().Denials(names)
	if err != nil {
		x.unknown(err)
	}
	for _, d := range denials {
		what, remedy := d.What()+": "+d.Text()+"; "+tick.Asked(x.Now(), d), d.Remedy(x.in("env", "default.env"))
		switch token := works[d.Host]; {
		case failed[d.Host]:
			continue // the answer that try just got is the newer one
		case token != "" && (d.Changed || d.Unanswered): // here, too, but a good token may lack a right to a part of what is followed
			what, remedy = d.Host+" takes "+token+" now; what is followed there was "+tick.Asked(x.Now(), d), "run kugetsu tick, or wait until it asks again"
		}
		x.add(Warn, what, remedy)
	}
}

// try asks the forges of the issue, of sessions and of repos.json, by one repository each. It returns the tokens that hosts take, and the
// hosts that refuse theirs or do not answer.
func (x *Exam) try(sessions []string) (works map[string]string, failed map[string]bool) {
	works, failed = map[string]string{}, map[string]bool{}
	if x.Issue.IsZero() {
		return works, failed
	}
	repos := []string{x.Issue.RepoPath()}
	for _, name := range sessions {
		if ref, err := issueref.FromSession(name); err == nil {
			repos = append(repos, ref.RepoPath())
		}
	}
	known, _ := x.Tick.Repos() // config has the error
	repos = append(repos, slices.Sorted(maps.Keys(known))...)
	ctx, cancel := context.WithTimeout(x.Ctx, remoteLimit)
	defer cancel()
	asked := map[string]bool{}
	for _, repo := range repos {
		host, _, _ := strings.Cut(repo, "/")
		if asked[host] {
			continue
		}
		asked[host] = true
		token, err := forge.Try(ctx, repo, x.agents)
		var limit *forge.LimitError
		switch d := forge.DenialOf(err); {
		case token == "" && err == nil:
		case err == nil:
			works[host] = token
			x.ok(host + " takes " + token)
		case errors.As(err, &limit):
			x.ok(host + " is not asked now: " + limit.Error())
		default:
			failed[host] = true
			what := d.Text() // an error names the host
			if !d.Unanswered {
				what = repo + ": " + what
			}
			x.add(Warn, what, d.Remedy(x.in("env", "default.env")))
		}
	}
	return works, failed
}
