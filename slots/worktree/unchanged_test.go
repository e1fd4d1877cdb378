package worktree

import (
	"context"
	"os"
	"slices"
	"testing"
	"time"
)

// touch makes git look at the content of files again.
func (w *world) touch(names ...string) {
	w.Helper()
	for _, name := range names {
		if err := os.Chtimes(w.path(name), time.Time{}, time.Now().Add(time.Hour)); err != nil {
			w.Fatal(err)
		}
	}
}

func TestFileThatDiffersAsCheckedOutIsNoChange(t *testing.T) {
	fullOnly(t, "it takes a second or more")
	for name, c := range map[string]struct{ attributes, text, config string }{
		"CRLF in a text":              {"*.txt text\n", "a\r\nb\r\n", ""},
		"both ends in a CRLF text":    {"*.txt text eol=crlf\n", "a\r\nb\nc\n", ""},
		"both ends, by configuration": {"*.txt text\n", "a\r\nb\nc\n", "[core]\n\teol = crlf\n"},
		"an expanded keyword":         {"*.txt ident\n", "$Id: something old $\nx\n", ""},
		"a text without its encoding": {"*.txt text working-tree-encoding=UTF-16LE-BOM eol=crlf\n", "a\r\nb\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.write("author/odd.txt", c.text)
			w.write("author/dir/odd.txt", c.text)
			w.git("author", "-c", "core.autocrlf=false", "add", ".")
			w.commit("author", "as it is")
			w.write("author/.gitattributes", c.attributes)
			w.git("author", "add", ".gitattributes")
			w.git("author", "commit", "-q", "--no-gpg-sign", "-m", "attributes", ".gitattributes")
			w.push("trunk")
			w.write("home/.gitconfig", w.read("home/.gitconfig")+c.config)
			s := w.fromRemote(7)
			made := w.prepare(s)
			w.touch(s.Path+"/odd.txt", s.Path+"/dir/odd.txt", s.Path+"/a.txt")
			h, err := w.newGit().Examine(context.Background(), s)
			w.equal("examine", err, nil)
			w.equal("dirty", h.Dirty, 0)
			snap, err := w.newGit().Snapshot(context.Background(), s, testRef, "kugetsu: x")
			w.equal("snapshot", err, nil)
			w.equal("ref", snap.Ref, "")

			w.write(s.Path+"/dir/b.txt", "changed\n") // beside it only what was changed is in a snapshot
			w.write(s.Path+"/new", "new\n")
			snap, err = w.newGit().Snapshot(context.Background(), s, testRef, "kugetsu: x")
			w.equal("snapshot", err, nil)
			if !slices.Equal(snap.Files, []string{"dir/b.txt", "new"}) {
				t.Errorf("files %q", snap.Files)
			}
			w.equal("differ", w.git(s.Path, "diff", "--name-only", made.Head, snap.Ref), "dir/b.txt\nnew")
			work, err := w.newGit().Work(context.Background(), s, made.Head, "", snap)
			w.equal("work", err, nil)
			w.equal("files", work.Stat.Files, 2)

			w.write(s.Path+"/odd.txt", w.read(s.Path+"/odd.txt")+"\r\nmore\r\n") // a change all the same
			h, err = w.newGit().Examine(context.Background(), s)
			w.equal("examine", err, nil)
			w.equal("dirty", h.Dirty, 3)
		})
	}
}

// An agent's git runs a git-lfs that the repository's configuration names; kugetsu's git does not.
func TestContentThatAPointerOfGitLFSNamesIsNoChange(t *testing.T) {
	w := newWorld(t)
	w.write("author/big.bin", "version https://git-lfs.github.com/spec/v1\n"+
		"oid sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\nsize 5\n")
	w.write("author/.gitattributes", "*.bin filter=lfs -text\n")
	w.commit("author", "a pointer")
	w.push("trunk")
	s := w.fromRemote(7)
	w.prepare(s)
	w.write(s.Path+"/big.bin", "hello")
	h, err := w.newGit().Examine(context.Background(), s)
	w.equal("examine", err, nil)
	w.equal("dirty", h.Dirty, 0)
	w.write(s.Path+"/big.bin", "hellO")
	h, err = w.newGit().Examine(context.Background(), s)
	w.equal("examine", err, nil)
	w.equal("dirty", h.Dirty, 1)
}
