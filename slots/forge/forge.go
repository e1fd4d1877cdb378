// Package forge asks GitHub, GitLab, and Gitea or Forgejo for the state of a pull or merge request.
//
// A doubt ends no session: every answer that is not clear is Unknown with the reason, and never an error that a caller could take
// for "closed". An answer is clear if it is JSON about this very request, and says that the request is open, merged or closed.
//
// A URL may come from an agent's output, so it is read strictly (see parse). A token goes to the one origin (scheme, host and port)
// that it is for and to no other, not on a redirect either. Plain http is spoken to loopback, and to a host that a variable of the
// env files names with http://. An error repeats of a forge's answer only the message of one that refuses, cleaned and without the
// token that was sent (see said). The caller makes sure that a request belongs to its repository: any host can claim of its own requests
// that they were merged.
package forge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Status is the state of a request.
type Status string

// The states of a request. Closed means closed without a merge.
const (
	Open    Status = "open"
	Merged  Status = "merged"
	Closed  Status = "closed"
	Unknown Status = "unknown"
)

// limit bounds the whole time of one question. (It is a variable only for the tests, which cannot wait that long.)
var limit = 10 * time.Second

// Request is a pull or merge request.
type Request struct {
	URL    string
	Status Status
}

// ErrUnasked is returned where a forge is not asked for the request of a branch.
var ErrUnasked = errors.New("the forge was not asked")

// State asks for the state of a request. The env is that of an agent, NAME=value, with the tokens and hosts (see homes) and PATH.
// The error is the reason where the answer is Unknown, and nil elsewhere.
func State(ctx context.Context, url string, env []string) (Status, error) {
	r, err := parseFor(url, env)
	if err != nil {
		return Unknown, err
	}
	if err := r.known(env); err != nil {
		return Unknown, err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	body, err := r.ask(ctx, r.forge.one(r), env)
	if err != nil {
		return Unknown, r.wrap(err)
	}
	a, err := readOne(body)
	if err == nil && r.forge.number(a) != r.number {
		err = errors.New("the answer is not about this request")
	}
	if err != nil {
		return Unknown, r.wrap(err)
	}
	status, err := a.status()
	return status, r.wrap(err)
}

// Find looks for the request of a branch of a repository (host[:port]/owner/repo): the open request or, if none is open, the newest. It
// returns nil if there is no request. Requests from a fork do not count. A request that was over before since is of an earlier branch
// with the same name, and does not count. The error is ErrUnasked if the host's forge is not known, or if the env has no login for it:
// with such an env no agent can have opened a request.
func Find(ctx context.Context, repo, branch string, since time.Time, env []string) (*Request, error) {
	host, path, _ := strings.Cut(repo, "/")
	r, err := at(strings.ToLower(host), path, env)
	if err != nil {
		return nil, err
	}
	if able, err := r.able(env); err != nil || !able {
		return nil, cmp.Or(err, r.wrap(fmt.Errorf("%w: there is no token for it", ErrUnasked)))
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var found *Request
	newest, seen := 0, 0
	for page := 1; page <= maxPages; page++ {
		body, err := r.ask(ctx, r.forge.list(r, branch, perPage, page), env)
		if err != nil {
			return nil, r.wrap(err)
		}
		all, err := readList(body)
		if err != nil {
			return nil, r.wrap(err)
		}
		seen += len(all)
		for _, a := range all {
			r.number = r.forge.number(a)
			if r.number <= 0 || !r.forge.from(a, r.repo, branch) {
				continue
			}
			status, err := a.status()
			if err != nil {
				return nil, r.wrap(err)
			}
			if status != Open && a.CreatedAt.Before(since.Truncate(time.Second)) {
				continue
			}
			better := found == nil || status == Open && found.Status != Open
			if better || r.number > newest && (status == Open) == (found.Status == Open) {
				found, newest = &Request{URL: r.url(), Status: status}, r.number
			}
		}
		if found != nil && found.Status == Open || len(all) < perPage {
			return found, nil
		}
	}
	if found == nil { // there are more, and one of them may be it
		return nil, r.wrap(fmt.Errorf("none of its %d newest requests is of this branch, and there are more", seen))
	}
	return found, nil
}

// Try asks once for the newest request of a repository (host[:port]/owner/repo), with the token for its host: whether that may be seen.
// It says which variable has the token; "" where there is none, and nothing was asked. The error may be a denial.
func Try(ctx context.Context, repo string, env []string) (variable string, err error) {
	host, path, _ := strings.Cut(repo, "/")
	r, err := at(strings.ToLower(host), path, env)
	if errors.Is(err, ErrUnasked) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	token, err := r.token(env)
	if err != nil || token.value == "" {
		return "", r.wrap(err)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	body, err := r.ask(ctx, r.forge.list(r, "main", 1, 1), env)
	if err == nil {
		_, err = readList(body)
	}
	return token.name, r.wrap(err)
}

// wrap names the host in an error.
func (r request) wrap(err error) error {
	if err == nil {
		return nil
	}
	_, host, _ := strings.Cut(r.origin, "://")
	return fmt.Errorf("%s: %w", host, err)
}
