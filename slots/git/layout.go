package git

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// RepositoryOf is the repository that a git directory belongs to: itself, unless its file commondir leads elsewhere.
func RepositoryOf(gitDir string) (string, error) {
	info, err := os.Lstat(gitDir)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return "", fmt.Errorf("%s is not a folder", gitDir)
	}
	text, err := ReadSmall(filepath.Join(gitDir, "commondir"), 64<<10)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return gitDir, nil
	case err != nil:
		return "", err
	}
	return Rel(gitDir, OneLine(text)), nil
}

// Records lists git's records of worktrees. It refuses a link in the place of their folder: behind a link kugetsu would remove the
// records of another repository.
func Records(common string) ([]string, error) {
	dir := filepath.Join(common, "worktrees")
	if info, err := os.Lstat(dir); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("%s is not a folder", dir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var records []string
	for _, e := range entries {
		if e.IsDir() {
			records = append(records, filepath.Join(dir, e.Name()))
		}
	}
	return records, nil
}

// CommonDir finds the repository directory that a checkout shares with its linked worktrees, without a process:
// .git itself, or where the file .git and the file commondir behind it lead (gitrepository-layout(5)).
func CommonDir(checkout string) (string, error) {
	dir, err := GitDirOf(checkout)
	if err != nil {
		return "", err
	}
	common, err := ReadSmall(filepath.Join(dir, "commondir"), 64<<10)
	switch {
	case err == nil:
		dir = Rel(dir, OneLine(common))
	case !errors.Is(err, fs.ErrNotExist): // the main checkout has none
		return "", err
	}
	return dir, nil
}

// GitDirOf is the git directory of a checkout: .git, or where the file .git leads.
func GitDirOf(checkout string) (string, error) {
	dir := filepath.Join(checkout, ".git")
	info, err := os.Stat(dir)
	if err != nil || info.IsDir() {
		return dir, err
	}
	link, err := ReadSmall(dir, 64<<10)
	if err != nil {
		return "", err
	}
	return Rel(checkout, strings.TrimPrefix(OneLine(link), "gitdir: ")), nil
}
