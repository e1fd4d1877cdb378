package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kugetsu/queue/spool"
)

// Alternates are the folders that a repository names.
func Alternates(common string) (list []string, err error) {
	file, err := filepath.EvalSymlinks(filepath.Join(common, "objects", "info", "alternates"))
	if Absent(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	text, err := ReadSmall(file, 64<<10)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimRight(line, "\n"); line == "" || line[0] == '#' {
			continue
		}
		if line[0] != '"' { // git quotes some names as C does
			line = Rel(filepath.Join(common, "objects"), line)
		}
		list = append(list, line)
	}
	return list, nil
}

// noteStrange finds out which alternates were added since they were noted.
func (p *Private) noteStrange() error {
	if p.At.Noted == "" || p.At.Common == "" {
		return nil
	}
	text, err := spool.Read(p.At.Noted)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // no session of ours began there yet
	}
	if err != nil {
		return &Error{Op: "git", Err: err}
	}
	have, err := Alternates(p.At.Common)
	if err != nil { // an agent may have broken the file, so this counts as added
		have = []string{fmt.Sprintf("what cannot be read (%v)", err)}
	}
	p.noted = slices.DeleteFunc(strings.Split(string(text), "\n"), func(line string) bool { return line == "" })
	for _, dir := range have {
		if !slices.Contains(p.noted, dir) {
			p.AddedAlternates = append(p.AddedAlternates, dir)
		}
	}
	return nil
}

// linkObjects makes git see the objects of the repository and of the alternates that were noted. It makes the links to all folders
// of objects, since a folder that is missing may be made while git reads. Nothing is written through them.
func (p *Private) linkObjects() error {
	dir, store := filepath.Join(p.Dir, "objects"), filepath.Join(p.At.Common, "objects")
	err := os.MkdirAll(filepath.Join(dir, "info"), 0o700)
	names := []string{"pack"}
	for n := range 256 {
		names = append(names, fmt.Sprintf("%02x", n))
	}
	for _, name := range names {
		if err == nil {
			err = os.Symlink(filepath.Join(store, name), filepath.Join(dir, name))
		}
	}
	if err != nil {
		return &Error{Op: "git", Err: err}
	}
	return p.Write("objects/info/alternates", strings.Join(p.noted, "\n"))
}

// present says which objects a pack need not have, as lines for git pack-objects --revs. These are head and all that it reaches,
// which the repository has. If alternates were added, some of these objects may be only there, so present makes sure that they are
// not. If they are, it tries what the remotes have instead. If that fails as well, the pack gets all objects.
func (p *Private) present(ctx context.Context, head string) (revs string, err error) {
	if head != "" {
		revs = "^" + head + "\n"
	}
	if len(p.AddedAlternates) == 0 {
		return revs, nil
	}
	p.Runner.Say("%s names %s, which it did not when kugetsu first worked there: objects from there are copied into what is kept (if you added it, rm %s accepts it)",
		filepath.Join(p.At.Common, "objects", "info", "alternates"), Clean(strings.Join(p.AddedAlternates, ", ")), p.At.Noted)
	at := p.At
	at.strict = true
	q, err := p.Runner.Open(ctx, at)
	if err != nil {
		return "", err
	}
	defer q.Done()
	remotes, err := q.Run(ctx, Command{Args: []string{"for-each-ref", "--format=^%(objectname)", "refs/remotes/"}})
	if err != nil {
		return "", err
	}
	for _, try := range []string{revs, remotes} {
		if try == "" {
			continue
		}
		_, err := q.Run(ctx, Command{Stdin: strings.ReplaceAll(try, "^", ""), Args: []string{"rev-list", "--objects", "--quiet", "--stdin"}})
		if err == nil {
			return try, nil
		}
		if ExitCode(err) <= 0 {
			return "", err
		}
	}
	return "", nil
}
