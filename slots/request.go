package slots

import (
	"context"
	"errors"
	"strings"

	"kugetsu/queue/issueref"
	"kugetsu/slots/forge"
)

// AskRequest asks how the session's pull request stands, and sets PRURL to the one whose head is the session's branch. That one
// counts before what an agent said; what a person set counts before both. The error is the reason where the answer is Unknown;
// it is nil where there is no request and no forge to ask.
func (s *Session) AskRequest(ctx context.Context, env []string) (forge.Status, error) {
	found, err := s.findRequest(ctx, env)
	switch {
	case found != nil:
		s.PRURL = found.URL
		return found.Status, nil
	case s.PRURL != "":
		return forge.State(ctx, s.PRURL, env)
	case errors.Is(err, forge.ErrUnasked):
		err = nil
	}
	return forge.Unknown, err
}

// findRequest asks the forge for the request of the session's branch. One that was over before the session began is not its own.
func (s *Session) findRequest(ctx context.Context, env []string) (*forge.Request, error) {
	host, _, _ := strings.Cut(s.IssueRef, "/")
	ref, err := issueref.Parse(s.IssueRef, host)
	if err != nil || s.PRSet || s.Branch == "" {
		return nil, forge.ErrUnasked
	}
	return forge.Find(ctx, ref.RepoPath(), s.Branch, s.CreatedAt, env)
}
