package git

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Identity is whose name is on a commit.
type Identity struct{ Name, Email string }

func (i Identity) String() string { return i.Name + " <" + i.Email + ">" }

// DefaultIdentity is the name under which an agent commits where neither git nor a setting has one.
var DefaultIdentity = Identity{"kugetsu", "kugetsu@localhost"}

// crud has the characters that git strips from the ends of names. A value of such characters alone is no name.
const crud = " .,:;<>\"\\'"

// ParseIdentity reads "Name <email>"; the zero Identity from "".
func ParseIdentity(s string) (Identity, error) {
	if s == "" {
		return Identity{}, nil
	}
	name, email, _ := strings.Cut(s, " <")
	email, closed := strings.CutSuffix(email, ">")
	odd := func(r rune) bool { return r == '<' || r == '>' || unicode.In(r, unicode.C) }
	if !closed || !utf8.ValidString(s) || strings.ContainsFunc(name+email, odd) || strings.ContainsFunc(email, unicode.IsSpace) ||
		strings.Trim(name, crud) == "" || strings.Trim(email, crud) == "" {
		return Identity{}, fmt.Errorf("%q is not of the form Name <email>", Clean(s))
	}
	return Identity{name, email}, nil
}

// Named is what git's configuration says of identities.
type Named struct {
	values     map[string]string // of user, author and committer: name and email
	ConfigOnly bool              // user.useConfigOnly: git is to refuse where none is configured
}

// NamedAt reads it for a repository and a worktree; the zero location stands for none. A Runner that read it before, or one that is like
// it, does not notice what was changed since.
func (g *Runner) NamedAt(ctx context.Context, at Location) (Named, error) {
	p, err := g.Open(ctx, at)
	if err != nil {
		return Named{}, err
	}
	defer p.Done()
	all, err := g.userConfig(ctx, at.GitDir, p.Dir)
	if err != nil || at.Common == "" {
		return namedIn(all), err
	}
	repo, err := g.repoFile(ctx, p)
	if err == nil {
		err = repo.err
	}
	if err != nil {
		return Named{}, err
	}
	all = slices.Concat(all, repo.all)
	if on, _ := value(repo.all, "extensions.worktreeconfig"); at.GitDir != "" && on == "true" {
		own, err := g.ReadConfig(ctx, filepath.Join(at.GitDir, "config.worktree"), p)
		if err != nil {
			return Named{}, err
		}
		all = append(all, own...)
	}
	return namedIn(all), nil
}

// namedIn picks what is said of names.
func namedIn(all []Setting) Named {
	n := Named{values: map[string]string{}}
	for _, s := range all {
		if s.Key == "user.useconfigonly" {
			n.ConfigOnly = !slices.Contains([]string{"", "0", "false", "no", "off"}, strings.ToLower(s.Value))
			continue
		}
		who, what, _ := strings.Cut(s.Key, ".")
		if slices.Contains([]string{"user", "author", "committer"}, who) && slices.Contains([]string{"name", "email"}, what) {
			n.values[s.Key] = s.Value
		}
	}
	return n
}

// part is one value that git puts on a commit: who is "author" or "committer", what is "name" or "email". env is an
// environment, whose GIT_* come first, and whose EMAIL comes last. An empty variable is an answer. An empty value of the
// configuration is not.
func (n Named) part(env []string, who, what string) (value string, known bool) {
	if v, ok := variable(env, "GIT_"+strings.ToUpper(who+"_"+what)); ok {
		return v, true
	}
	if v := cmp.Or(n.values[who+"."+what], n.values["user."+what]); v != "" {
		return v, true
	}
	if what == "email" && !n.ConfigOnly && !n.anyEmail() {
		if v, _ := variable(env, "EMAIL"); v != "" {
			return v, true
		}
	}
	return "", false
}

// anyEmail says whether the configuration has an email, of author, committer or both: then git does not read EMAIL.
func (n Named) anyEmail() bool {
	for _, who := range []string{"user", "author", "committer"} {
		if _, given := n.values[who+".email"]; given {
			return true
		}
	}
	return false
}

// Committer is the name that git would put on a commit in an environment; false where git lacks the name or the email.
func (n Named) Committer(env []string) (Identity, bool) {
	name, ok := n.part(env, "committer", "name")
	email, also := n.part(env, "committer", "email")
	return Identity{Clean(name), Clean(email)}, ok && also
}

// Missing are the variables that an environment needs for git to commit. They have the values of set. A value that git knows
// gets no variable, since a variable would win over any configuration. Where set is empty, DefaultIdentity takes its place,
// except with user.useConfigOnly: there the user wants git to refuse.
func (n Named) Missing(env []string, set Identity) []string {
	if set == (Identity{}) {
		if n.ConfigOnly {
			return nil
		}
		set = DefaultIdentity
	}
	var missing []string
	for _, who := range []string{"author", "committer"} {
		for what, value := range map[string]string{"name": set.Name, "email": set.Email} {
			if _, known := n.part(env, who, what); !known {
				missing = append(missing, "GIT_"+strings.ToUpper(who+"_"+what)+"="+value)
			}
		}
	}
	slices.Sort(missing)
	return missing
}

// variable is the last value that an environment has for a name.
func variable(env []string, name string) (value string, known bool) {
	for _, kv := range slices.Backward(env) {
		if key, v, _ := strings.Cut(kv, "="); key == name {
			return v, true
		}
	}
	return "", false
}
