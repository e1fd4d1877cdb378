package slots

import (
	"context"
	"errors"

	"kugetsu/slots/forge"
)

// AskRequest asks for the state of the session's pull request. A request that a person set is asked about as it is. Otherwise AskRequest
// searches the request whose head is the session's branch and sets PRURL to it, even if the agent named another one. If the answer is
// Unknown, the error says why; it is nil if there is no request and no forge to ask.
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

// findRequest asks the forge for the request of the session's branch. A request that was over before the session began is not the
// session's.
func (s *Session) findRequest(ctx context.Context, env []string) (*forge.Request, error) {
	ref := s.issue()
	if ref.IsZero() || s.PRSet || s.Branch == "" {
		return nil, forge.ErrUnasked
	}
	return forge.Find(ctx, ref.RepoPath(), s.Branch, s.CreatedAt, env)
}
