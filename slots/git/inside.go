package git

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Agents let subagents work in worktrees of the same repository, inside their own (.claude/worktrees/…), and leave them there,
// often where git ignores them. Such worktrees are no foreign repositories. Their work is kept as the session's own is, each at a
// reference of its own, and their records are removed with the session's. The session's git does not look into them.

// Inner is a linked worktree of the repository inside another.
type Inner struct {
	Name string // its path, as seen from the outer one
	At   Location
}

// inside finds the worktrees inside one. The record of each must lead to the worktree, and the link in the worktree must lead back
// to the record. Any other folder is left to git.
func inside(outer Location) (list []Inner, err error) {
	records, err := Records(outer.Common)
	if err != nil {
		return nil, &Error{Op: "git", Err: err}
	}
	for _, admin := range records {
		name := PathBelow(admin, outer.Path)
		if name == "" || strings.ContainsAny(name, "\n\x00") {
			continue
		}
		path := filepath.Join(outer.Path, name)
		plain, err := PlainWay(outer.Path, filepath.Join(name, ".git"))
		if err != nil || !plain {
			continue // a link on the way: git does not follow it either
		}
		text, err := ReadSmall(filepath.Join(path, ".git"), 64<<10)
		target, ok := strings.CutPrefix(OneLine(text), "gitdir: ")
		if err != nil || !ok {
			continue
		}
		if its, err := Same(Rel(path, target), admin); err != nil || !its {
			continue
		}
		at := outer
		at.GitDir, at.Path = admin, path
		at.Branch = strings.TrimPrefix(NoBranch, "refs/heads/") // where its HEAD cannot be used
		list = append(list, Inner{name, at})
	}
	return list, nil
}

// PathBelow is the path of a record's worktree as seen from dir; empty if the worktree is not in dir, or if the record does not say
// where it is.
func PathBelow(admin, dir string) string {
	text, err := ReadSmall(filepath.Join(admin, "gitdir"), 64<<10)
	if err != nil || len(text) == 0 {
		return ""
	}
	path := filepath.Dir(Rel(admin, OneLine(text)))
	names := []string{dir}
	if parent, err := filepath.EvalSymlinks(filepath.Dir(dir)); err == nil { // git writes where it is, not how it was called
		names = append(names, filepath.Join(parent, filepath.Base(dir)))
	}
	for _, n := range names {
		if name, ok := strings.CutPrefix(path, n+string(filepath.Separator)); ok {
			return name
		}
	}
	return ""
}

// excludes are lines of gitignore(5) for worktrees inside.
func excludes(list []Inner) string {
	var text strings.Builder
	escape := strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`)
	for _, in := range list {
		fmt.Fprintf(&text, "/%s/\n", escape.Replace(in.Name))
	}
	return text.String()
}
