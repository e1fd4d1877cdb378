package worktree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// how says how git is made to read a worktree, where git would not see all files by itself.
type how struct {
	hidden string   // the list of the files that it was told not to look at: see private.hidden
	fresh  bool     // its index cannot be used: what HEAD has takes its place
	raw    bool     // a filter of its configuration fails: files are taken as they are
	same   []string // files that differ, and are what a checkout writes: see unchanged
}

// scratch is an index for git to work with in place of a worktree's own: a copy of that, if it can be used. What git
// writes goes into an object store of its own, which is gone with it: see install.
type scratch struct {
	p      *private
	tmp    string
	config []string
}

func (p *private) scratch(ctx context.Context, by how) (scratch, error) {
	tmp, err := os.MkdirTemp(p.dir, "scratch-*")
	if err != nil {
		return scratch{}, &Error{Op: "snapshot", Err: err}
	}
	in := scratch{p: p, tmp: tmp}
	if err := in.fill(ctx, by); err != nil {
		in.remove()
		return scratch{}, err
	}
	return in, nil
}

func (in *scratch) fill(ctx context.Context, by how) (err error) {
	if err := os.MkdirAll(filepath.Join(in.objects(), "info"), 0o700); err != nil {
		return &Error{Op: "snapshot", Err: err}
	}
	store := filepath.Join(in.p.dir, "objects")
	if err := os.WriteFile(filepath.Join(in.objects(), "info", "alternates"), []byte(store+"\n"), 0o600); err != nil {
		return &Error{Op: "snapshot", Err: err}
	}
	if by.raw {
		in.config = unfiltered
	}
	if by.fresh {
		// With the files of HEAD, since one of those may be ignored by now. On a branch without a commit there are none.
		if _, err := in.git(ctx, "", "read-tree", "HEAD"); exitCode(err) == -1 {
			return err
		}
	} else if err := copyIndex(in.p.index(), in.index()); err != nil {
		return &Error{Op: "snapshot", Err: err}
	}
	if by.hidden != "" && !by.fresh {
		for _, flag := range []string{"--no-assume-unchanged", "--no-skip-worktree"} { // of the two in one call git heeds one
			if err := in.unflag(ctx, flag, by.hidden); err != nil {
				return err
			}
		}
	}
	if len(by.same) > 0 {
		_, err = in.git(ctx, strings.Join(by.same, "\x00")+"\x00", "update-index", "--assume-unchanged", "-z", "--stdin")
	}
	return err
}

// unflag takes a flag from the files of a list.
func (in scratch) unflag(ctx context.Context, flag, list string) error {
	names, err := os.Open(list)
	if err != nil {
		return &Error{Op: "snapshot", Err: err}
	}
	defer names.Close()
	_, err = in.run(ctx, command{input: names, args: []string{"update-index", flag, "-z", "--stdin"}})
	return err
}

// unfiltered is configuration with which no filter is run on a file that is added. git-lfs is the only one there may be: see
// ofUser.
var unfiltered = []string{"-c", "core.safecrlf=false", "-c", "filter.lfs.clean=", "-c", "filter.lfs.process=", "-c", "filter.lfs.required=false"}

func (in scratch) index() string { return filepath.Join(in.tmp, "index") }

func (in scratch) objects() string { return filepath.Join(in.tmp, "objects") }

func (in scratch) remove() { _ = os.RemoveAll(in.tmp) }

func (in scratch) git(ctx context.Context, stdin string, args ...string) (string, error) {
	out, err := in.run(ctx, command{stdin: stdin, args: args})
	return strings.TrimSpace(out), err
}

// run runs git with the scratch index and the scratch store.
func (in scratch) run(ctx context.Context, c command) (string, error) {
	c.config, c.index = slices.Concat(sparse, in.config, c.config), in.index()
	c.env = slices.Concat([]string{"GIT_OBJECT_DIRECTORY=" + in.objects()}, snapshotID, c.env)
	return in.p.run(ctx, c)
}

// all makes a tree of all that stands in the worktree. lost says what is not in it.
func (in *scratch) all(ctx context.Context) (tree string, lost, err error) {
	links, err := in.links(ctx)
	if err != nil {
		return "", nil, err
	}
	// Also what is outside of a sparse checkout. Not the repositories inside, as far as they are tracked: git would run a
	// git of its own in each, to see whether it is modified, and that one believes the configuration that it finds there.
	paths := ":(top)\x00"
	for _, link := range links {
		paths += ":(top,exclude,literal)" + link + "\x00"
	}
	add := func() error {
		_, err := in.git(ctx, paths, "add", "--all", "--sparse", "--ignore-errors", "--pathspec-from-file=-", "--pathspec-file-nul")
		return err
	}
	if len(links) > 0 { // their commits alone, which are read as files
		if _, err := in.git(ctx, strings.Join(links, "\x00")+"\x00", "update-index", "--add", "--remove", "-z", "--stdin"); err != nil {
			return "", nil, err
		}
	}
	err = add()
	if exitCode(err) > 1 && in.config == nil { // a filter that fails ends git, whatever else there is to add
		in.p.g.say("added again, without filters: %v", err)
		in.config = unfiltered
		err = add()
	}
	// Exit 1 with --ignore-errors: some could not be added, the others were. Anything else left no index to use.
	if exitCode(err) == 1 {
		lost = err
	} else if err != nil {
		return "", nil, err
	}
	tree, err = in.git(ctx, "", "write-tree")
	return tree, lost, err
}

// links are the repositories inside the worktree that are tracked, by their commits.
func (in scratch) links(ctx context.Context) ([]string, error) {
	var links []string
	read := fields{each: func(line string) {
		if meta, path, ok := strings.Cut(line, "\t"); ok && strings.HasPrefix(meta, "160000 ") && !slices.Contains(links, path) {
			links = append(links, path)
		}
	}}
	_, err := in.p.run(ctx, command{index: in.index(), args: []string{"ls-files", "--stage", "-z"}, stdout: &read})
	return links, err
}

// copyIndex copies an index, without which git would have to read every file anew, together with its time. Git reads a file
// again where the file is not older than the index. An index that seemed younger would hide a change of the same length
// within the same second.
func copyIndex(path, to string) error {
	from, err := openRegular(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing was ever added
	}
	if err != nil {
		return err
	}
	defer from.Close()
	info, err := from.Stat()
	if err != nil {
		return err
	}
	file, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, from)
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("copying the index: %w", err)
	}
	return os.Chtimes(to, info.ModTime(), info.ModTime())
}
