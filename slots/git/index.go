package git

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

	"kugetsu/queue/spool"
)

// Reading says how git is made to read a worktree, where git would not see all files by itself.
type Reading struct {
	hidden string   // the list of the files that it was told not to look at: see private.hidden
	Fresh  bool     // its index cannot be used: what HEAD has takes its place
	raw    bool     // a filter of its configuration fails: files are taken as they are
	Same   []string // files that differ, and are what a checkout writes: see unchanged
}

// Scratch is an index for git to work with in place of a worktree's own: a copy of that, if it can be used. Git
// writes objects into a store of the scratch index, which is removed with it: see install.
type Scratch struct {
	Private *Private
	tmp     string
	config  []string
}

func (p *Private) Scratch(ctx context.Context, by Reading) (Scratch, error) {
	tmp, err := os.MkdirTemp(p.Dir, "scratch-*")
	if err != nil {
		return Scratch{}, &Error{Op: "snapshot", Err: err}
	}
	in := Scratch{Private: p, tmp: tmp}
	if err := in.fill(ctx, by); err != nil {
		in.Remove()
		return Scratch{}, err
	}
	return in, nil
}

func (in *Scratch) fill(ctx context.Context, by Reading) (err error) {
	if err := os.MkdirAll(filepath.Join(in.objects(), "info"), 0o700); err != nil {
		return &Error{Op: "snapshot", Err: err}
	}
	store := filepath.Join(in.Private.Dir, "objects")
	if err := os.WriteFile(filepath.Join(in.objects(), "info", "alternates"), []byte(store+"\n"), 0o600); err != nil {
		return &Error{Op: "snapshot", Err: err}
	}
	if by.raw {
		if err := in.unfilter(); err != nil {
			return err
		}
	}
	if by.Fresh {
		// The index gets the files of HEAD, since some of them may be ignored by now. A branch without a commit has none.
		if _, err := in.Git(ctx, "", "read-tree", "HEAD"); ExitCode(err) == -1 {
			return err
		}
	} else if err := CopyIndex(in.Private.index(), in.Index()); err != nil {
		return &Error{Op: "snapshot", Err: err}
	}
	if by.hidden != "" && !by.Fresh {
		for _, flag := range []string{"--no-assume-unchanged", "--no-skip-worktree"} { // in one call git heeds only one of the two
			if err := in.unflag(ctx, flag, by.hidden); err != nil {
				return err
			}
		}
	}
	if len(by.Same) > 0 {
		_, err = in.Git(ctx, strings.Join(by.Same, "\x00")+"\x00", "update-index", "--assume-unchanged", "-z", "--stdin")
	}
	return err
}

// unflag takes a flag from the files of a list.
func (in Scratch) unflag(ctx context.Context, flag, list string) error {
	names, err := os.Open(list)
	if err != nil {
		return &Error{Op: "snapshot", Err: err}
	}
	defer names.Close()
	_, err = in.run(ctx, Command{input: names, Args: []string{"update-index", flag, "-z", "--stdin"}})
	return err
}

// unfiltered is configuration with which no filter is run on a file that is added. git-lfs is the only one there may be: see
// ofUser.
var unfiltered = []string{"-c", "core.safecrlf=false", "-c", "filter.lfs.clean=", "-c", "filter.lfs.process=", "-c", "filter.lfs.required=false"}

// unfilter has git take files as they are. An encoding that the C library does not know, or that a file is not in, would
// end git as a filter does. No configuration turns encodings off, but attributes of the git directory win over the worktree's.
func (in *Scratch) unfilter() error {
	in.config = unfiltered
	return in.Private.Write("info/attributes", "* !working-tree-encoding")
}

func (in Scratch) Index() string { return filepath.Join(in.tmp, "index") }

func (in Scratch) objects() string { return filepath.Join(in.tmp, "objects") }

func (in Scratch) Remove() { _ = os.RemoveAll(in.tmp) }

func (in Scratch) Git(ctx context.Context, stdin string, args ...string) (string, error) {
	out, err := in.run(ctx, Command{Stdin: stdin, Args: args})
	return strings.TrimSpace(out), err
}

// run runs git with the scratch index and the scratch store.
func (in Scratch) run(ctx context.Context, c Command) (string, error) {
	c.Config, c.Index = slices.Concat(sparse, in.config, c.Config), in.Index()
	c.Env = slices.Concat([]string{"GIT_OBJECT_DIRECTORY=" + in.objects()}, snapshotID, c.Env)
	return in.Private.Run(ctx, c)
}

// All makes a tree of all that stands in the worktree. lost is git's error about files that the tree lacks; nil if it has all.
func (in *Scratch) All(ctx context.Context) (tree string, lost, err error) {
	links, err := in.links(ctx)
	if err != nil {
		return "", nil, err
	}
	// Files outside of a sparse checkout are included. Tracked repositories inside the worktree are not: git would run another git
	// in each of them, to see whether it is modified. That git would believe the configuration that it finds there.
	paths := ":(top)\x00"
	for _, link := range links {
		paths += ":(top,exclude,literal)" + link + "\x00"
	}
	add := func() error {
		_, err := in.Git(ctx, paths, "add", "--all", "--sparse", "--ignore-errors", "--pathspec-from-file=-", "--pathspec-file-nul")
		return err
	}
	if len(links) > 0 { // of a repository only its commit is added, whose id git reads from a file
		if _, err := in.Git(ctx, strings.Join(links, "\x00")+"\x00", "update-index", "--add", "--remove", "-z", "--stdin"); err != nil {
			return "", nil, err
		}
	}
	err = add()
	if ExitCode(err) > 1 && in.config == nil { // a filter or an encoding that fails ends git, even if there is more to add
		in.Private.Runner.Say("added again as it stands, without filters and encodings: %v", err)
		if err := in.unfilter(); err != nil {
			return "", nil, err
		}
		err = add()
	}
	// Exit 1 with --ignore-errors: some files could not be added, and the others were. After any other error there is no index to
	// use.
	if ExitCode(err) == 1 {
		lost = err
	} else if err != nil {
		return "", nil, err
	}
	tree, err = in.Git(ctx, "", "write-tree")
	return tree, lost, err
}

// links lists the repositories inside the worktree of which git tracks the commit.
func (in Scratch) links(ctx context.Context) ([]string, error) {
	var links []string
	read := fields{each: func(line string) {
		if meta, path, ok := strings.Cut(line, "\t"); ok && strings.HasPrefix(meta, "160000 ") && !slices.Contains(links, path) {
			links = append(links, path)
		}
	}}
	_, err := in.Private.Run(ctx, Command{Index: in.Index(), Args: []string{"ls-files", "--stage", "-z"}, Stdout: &read})
	return links, err
}

// maxIndex bounds an index that is copied, in bytes: ten million files take about as much. A file full of holes would fill
// the disk of the state folder.
const maxIndex = 1 << 30

// CopyIndex copies an index together with its time. Without the index git would have to read every file anew. The time matters since git
// reads a file again if the file is not older than the index. An index that seems younger would hide a change of the same length within
// the same second.
func CopyIndex(path, to string) error {
	from, err := OpenRegular(path)
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
	if info.Size() > maxIndex {
		return fmt.Errorf("%s has more than %d bytes: %w", path, int64(maxIndex), ErrTooLong)
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

// snapshotID is the name on a snapshot: no person made that commit, and it must not need a configured name.
var snapshotID = []string{
	"GIT_AUTHOR_NAME=kugetsu", "GIT_AUTHOR_EMAIL=kugetsu@localhost",
	"GIT_COMMITTER_NAME=kugetsu", "GIT_COMMITTER_EMAIL=kugetsu@localhost",
}

// Install brings the objects that a commit or a tree has and head lacks from the scratch store into the repository, in one pack. To
// make the pack git reads every object of it, so a missing object is an error here, before anything is said to be kept.
//
// Loose objects would not do. Until the reference is written they belong to nothing. A git of another session may take them away at
// any instant (git prune --expire=now, git gc --prune=now), even after they were found to be there. So, in this order:
//
//	pack-….keep   first: as long as it is there, no git takes away the pack
//	pack-….pack
//	pack-….idx    from here on git sees the objects
//	the reference by the caller
//	release       removes the .keep: the pack is like any other, and a reference needs it
//
// A crash on the way leaves a pack that nothing needs.
func (in Scratch) Install(ctx context.Context, id, head string) (release func(), err error) {
	present, err := in.Private.present(ctx, head)
	if err != nil {
		return nil, err
	}
	hash, err := in.Git(ctx, id+"\n"+present, "pack-objects", "--revs", "--quiet", "--window=0", filepath.Join(in.tmp, "pack"))
	if err != nil {
		return nil, err
	}
	if !IsCommit(hash) {
		return nil, &Error{Op: "git pack-objects", Last: Clean("unexpected answer: " + hash), Err: fs.ErrInvalid}
	}
	dir := filepath.Join(in.Private.At.Common, "objects", "pack")
	if err := os.Mkdir(dir, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, &Error{Op: "snapshot", Err: err}
	}
	if !IsDir(dir) {
		return nil, Refuse("snapshot", "%s is not a folder", dir)
	}
	name := filepath.Join(dir, "pack-"+hash)
	if err := WriteWhole(name+".keep", "kugetsu"); err != nil {
		return nil, &Error{Op: "snapshot", Err: err}
	}
	release = func() { _ = os.Remove(name + ".keep") }
	for _, ext := range []string{".pack", ".idx"} {
		if err := movePack(filepath.Join(in.tmp, "pack-"+hash+ext), name+ext); err != nil {
			release()
			return nil, &Error{Op: "snapshot", Err: err}
		}
	}
	return release, nil
}

// movePack brings a file of a pack to its place, whole and on the disk.
func movePack(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.CreateTemp(filepath.Dir(to), PackTemp+"*") // not tmp_…, which git prune removes
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	err = errors.Join(err, out.Chmod(0o444), out.Sync(), out.Close())
	if err == nil {
		err = os.Rename(out.Name(), to)
	}
	if err != nil {
		return errors.Join(err, os.Remove(out.Name()))
	}
	return spool.SyncDir(filepath.Dir(to))
}

// PackTemp begins the name of a part of a pack that is being written.
const PackTemp = ".kugetsu-"

// EmptyTree is the tree without any file, which every repository has. Its id depends only on the kind of ids, which is that of
// like.
func EmptyTree(like string) string {
	if len(like) == 64 {
		return "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321"
	}
	return "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
}
