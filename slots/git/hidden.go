package git

import (
	"bufio"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// Hidden lists the files of a worktree that exist although git was told not to look at them (update-index --skip-worktree, or
// --assume-unchanged). Status and add do not notice a change to such a file. Most files with that flag do not exist: they are outside
// of a sparse checkout.
//
// The list is a file of names, each ended by NUL, since an agent may give the flag to any number of files. The path is empty if there
// are no such files.
func (p *Private) Hidden(ctx context.Context) (list string, err error) {
	if _, err := os.Lstat(p.index()); Absent(err) {
		return "", nil // nothing was ever added
	}
	file, err := os.CreateTemp(p.Dir, "hidden-*")
	if err != nil {
		return "", &Error{Op: "snapshot", Err: err}
	}
	names, found := bufio.NewWriter(file), false
	read := fields{each: func(line string) {
		tag, name, _ := strings.Cut(line, " ")
		if tag != "S" && tag == strings.ToUpper(tag) { // S: skip-worktree; a small letter: assume-unchanged
			return
		}
		// A folder that a sparse index has as one entry ends with a slash. If it exists, git itself looks into it.
		if _, err := os.Lstat(filepath.Join(p.At.Path, name)); Absent(err) || strings.HasSuffix(name, "/") {
			return
		}
		found = true
		_, _ = names.WriteString(name + "\x00") // Flush reports the error
	}}
	_, err = p.Run(ctx, Command{Args: []string{"ls-files", "-v", "-z", "--sparse"}, Stdout: &read})
	writeErr := errors.Join(names.Flush(), file.Close())
	if err == nil && writeErr != nil {
		err = &Error{Op: "snapshot", Err: writeErr}
	}
	if err != nil || !found {
		return "", err
	}
	return file.Name(), nil
}

// index is the path of the worktree's index.
func (p *Private) index() string { return filepath.Join(p.At.GitDir, "index") }
