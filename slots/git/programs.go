package git

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kugetsu/slots/proc"
)

// Missing lists the programs that the user's configuration of git names and that are not installed: credential helpers, the
// filters of git-lfs, an ssh. Git says so only once it needs one.
func (g *Runner) Missing(ctx context.Context) (programs []string, err error) {
	p, err := g.outside(ctx, "")
	if err != nil {
		return nil, err
	}
	defer p.Done()
	user, err := g.userConfig(ctx, "", p.Dir)
	if err != nil {
		return nil, err
	}
	dir, err := p.Run(ctx, Command{Args: []string{"--exec-path"}})
	if err != nil {
		return nil, err
	}
	for _, s := range user {
		if name := named(s); name != "" && !slices.Contains(programs, name) && !g.installed(name, dir) {
			programs = append(programs, name)
		}
	}
	return programs, nil
}

// Lacks says whether git would not find a program that it needs for a remote. For an empty name it is false.
func (g *Runner) Lacks(ctx context.Context, program string) (bool, error) {
	if program == "" {
		return false, nil
	}
	p, err := g.outside(ctx, "")
	if err != nil {
		return false, err
	}
	defer p.Done()
	dir, err := p.Run(ctx, Command{Args: []string{"--exec-path"}})
	return err == nil && !g.installed(program, dir), err
}

// installed says whether git finds a program: in its own folder, which git --exec-path printed, or in the PATH.
func (g *Runner) installed(program, execPath string) bool {
	if _, err := os.Stat(filepath.Join(strings.TrimSpace(execPath), program)); err == nil && !filepath.IsAbs(program) {
		return true
	}
	_, err := proc.LookPath(program, g.Env, "/")
	return err == nil
}

// named is the program that a setting names. It is empty if there is none, or if a line of shell does not plainly say which it is.
func named(s Setting) string {
	words := strings.Fields(s.Value)
	if len(words) == 0 {
		return ""
	}
	name := words[0]
	switch {
	case strings.HasPrefix(s.Key, "credential.") && strings.HasSuffix(s.Key, ".helper"):
		if shell, ok := strings.CutPrefix(name, "!"); ok {
			name = shell
		} else if !filepath.IsAbs(name) {
			name = "git-credential-" + name
		}
	case strings.HasPrefix(s.Key, "filter.lfs.") && s.Key != "filter.lfs.required", s.Key == "core.sshcommand":
	case s.Key == "core.askpass":
		name = s.Value
	default:
		return ""
	}
	if s.Key != "core.askpass" && strings.ContainsAny(name, "$`'\"\\;&|<>()=~*{") {
		return ""
	}
	return name
}
