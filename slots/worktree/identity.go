package worktree

import (
	"context"

	"kugetsu/slots/git"
)

// Named reads the names of authors from git's configuration, as the git of an agent sees it in a session's worktree: from the user's own
// files, the repository's, and the worktree's. The zero Spec stands for no repository. A name that git would guess from the user and the
// host does not count, since no forge knows it.
func (g *Git) Named(ctx context.Context, s Spec) (git.Named, error) {
	at, err := g.configured(s)
	if err != nil {
		return git.Named{}, err
	}
	return g.NamedAt(ctx, at)
}

// configured is the repository of a session, and its worktree as far as it stands; nothing where it is not there.
func (g *Git) configured(s Spec) (git.Location, error) {
	if s.Source == (Source{}) {
		return git.Location{}, nil
	}
	if s.Path != "" {
		if v, err := g.standing(s); err == nil && v.stands {
			return v.at, nil
		}
	}
	common, err := s.repository()
	if err != nil || !git.IsDir(common) {
		return git.Location{}, err
	}
	at := s.at(common)
	if at.Local != "" {
		at.GitDir = common
	}
	return at, nil
}
