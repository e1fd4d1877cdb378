package worktree

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kugetsu/slots/git"
)

// An encoding that git does not know, or that a file is not in, ends git: the file is kept as it stands, and so are the others.
func TestFileInAnEncodingThatFailsIsKeptAsItStands(t *testing.T) {
	fullOnly(t, "it starts git dozens of times")
	for name, attribute := range map[string]string{
		"unknown": "working-tree-encoding=NONSENSE", "not the file's": "working-tree-encoding=UTF-16", "no name": "working-tree-encoding",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := w.fromRemote(1)
			w.prepare(s)
			w.write(s.Path+"/.gitattributes", "*.txt "+attribute+"\n")
			w.write(s.Path+"/a.txt", "two\n")
			w.write(s.Path+"/new.txt", "precious\n")
			w.write(s.Path+"/other.md", "precious, too\n")
			snap, err := w.newGit().Snapshot(context.Background(), s, "refs/kugetsu/x/1", "left")
			w.equal("error", err, nil)
			for file, text := range map[string]string{"a.txt": "two", "new.txt": "precious", "other.md": "precious, too"} {
				w.equal(file, w.git(s.Source.Cache, "cat-file", "blob", snap.Ref+":"+file), text)
			}
			w.contains(w.log.String(), "encod")
		})
	}
}

// A link among the references leads git's writes to another folder.
func TestReferencesAreNotWrittenThroughALink(t *testing.T) {
	fullOnly(t, "it takes a second or more")
	for _, name := range []string{"refs/remotes/origin", "refs/remotes/origin/deep", "refs/tags", "refs/heads/fix", "refs/kugetsu-pushed"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			one := w.fromRemote(1)
			w.prepare(one)
			link := filepath.Join(one.Source.Cache, name)
			w.equal("removed", os.RemoveAll(link), nil)
			w.equal("home", os.MkdirAll(w.path("home/mine"), 0o700), nil)
			w.equal("folder", os.MkdirAll(filepath.Dir(link), 0o700), nil)
			w.equal("linked", os.Symlink(w.path("home/mine"), link), nil)
			w.git("author", "push", "-q", "origin", "trunk:deep/new")
			w.commit("author", "newer")
			w.git("author", "tag", "v1")
			w.git("author", "push", "-q", "origin", "trunk", "v1")
			e := w.refused(w.fromRemote(2))
			w.contains(e.Error(), link)
			entries, err := os.ReadDir(w.path("home/mine"))
			w.equal("error", err, nil)
			w.equal("files", len(entries), 0)
		})
	}
}

// A FIFO in the place of a temporary file would hang the run that completes a record, under the repository's lock.
func TestFIFOInThePlaceOfATemporaryFileHangsNoSession(t *testing.T) {
	w := newWorld(t)
	w.prepare(w.fromRemote(1))
	record := w.fromRemote(1).Source.Cache + "/worktrees/half/"
	w.write(record+"commondir", "")
	w.equal("fifo", syscall.Mkfifo(record+"commondir.new", 0o600), nil)
	done := make(chan error, 1)
	g := w.newGit()
	go func() { _, err := g.Prepare(context.Background(), w.fromRemote(2)); done <- err }()
	select {
	case err := <-done:
		w.equal("error", err, nil)
	case <-time.After(time.Minute):
		t.Fatal("it hangs")
	}
	w.equal("completed", w.read(record+"commondir"), "../..\n")
}

// A file of git's that is nothing but a hole costs no disk and no memory.
func TestHugeFilesOfGitsAreNotReadWhole(t *testing.T) {
	w := newWorld(t)
	s := w.fromRemote(1)
	w.prepare(s)
	record := w.git(s.Path, "rev-parse", "--absolute-git-dir")
	w.write(s.Path+"/a.txt", "two\n")
	for _, file := range []string{record + "/index", s.Source.Cache + "/config"} {
		w.equal("huge", os.Truncate(file, 1<<40), nil)
	}
	snap, err := w.newGit().Snapshot(context.Background(), s, "refs/kugetsu/x/1", "left")
	w.equal("error", err, nil)
	var e *git.Error
	_, err = w.newGit().Prepare(context.Background(), w.fromRemote(2))
	w.equal("permanent", errors.As(err, &e) && e.Permanent, true)
	w.contains(err.Error(), "config has more than")
	w.equal("config", os.Truncate(s.Source.Cache+"/config", 0), nil)
	w.equal("a.txt", w.git(s.Source.Cache, "cat-file", "blob", snap.Ref+":a.txt"), "two")
}

// The remote of a partial clone may be a repository that an agent made. Git's upload-pack runs there, and must not fetch
// from that one's own remote: it would run what the agent wrote.
func TestLazyFetchEndsAtTheRemote(t *testing.T) {
	w := newWorld(t)
	w.git(w.remote, "config", "uploadpack.allowFilter", "true")
	w.git("", "clone", "-q", "--filter=blob:none", "--no-checkout", "file://"+w.remote, "partial")
	w.git("", "clone", "-q", "--bare", w.author, "evil") // whose objects are loose
	blob := w.git("evil", "rev-parse", "trunk:a.txt")
	w.equal("lost", os.Remove(w.path("evil/objects/"+blob[:2]+"/"+blob[2:])), nil)
	w.write("canary", "#!/bin/sh\n>"+w.path("ran")+"\nexit 1\n")
	w.equal("mode", os.Chmod(w.path("canary"), 0o755), nil)
	for key, value := range map[string]string{
		"core.repositoryFormatVersion": "1", "extensions.partialClone": "up", "remote.up.promisor": "true", "remote.up.url": w.remote,
		"remote.up.partialCloneFilter": "blob:none", "remote.up.uploadpack": w.path("canary"),
		"uploadpack.allowFilter": "true", "uploadpack.allowAnySHA1InWant": "true",
	} {
		w.git("evil", "config", key, value)
	}
	w.git("partial", "config", "remote.origin.url", "file://"+w.path("evil"))
	_, err := w.newGit().Prepare(context.Background(), w.fromLocal(7, "partial"))
	w.equal("failed", err != nil && strings.Contains(err.Error(), "git"), true)
	w.equal("ran", w.exists("ran"), false)
}

// Git opens HEAD by name, and open(2) of a FIFO waits for a writer for ever.
func TestFIFOInThePlaceOfHEADHangsNoSession(t *testing.T) {
	w := newWorld(t)
	s := w.fromRemote(1)
	w.prepare(s)
	record := w.git(s.Path, "rev-parse", "--absolute-git-dir")
	w.write(s.Path+"/a.txt", "two\n")
	for _, dir := range []string{record, s.Source.Cache} {
		w.equal("removed", os.Remove(dir+"/HEAD"), nil)
		w.equal("fifo", syscall.Mkfifo(dir+"/HEAD", 0o600), nil)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	snap, err := w.newGit().Snapshot(ctx, s, "refs/kugetsu/x/1", "left")
	w.equal("kept", err, nil)
	_, err = w.newGit().Prepare(ctx, w.fromRemote(2))
	w.equal("prepared", err, nil)
	w.equal("in time", ctx.Err(), nil)
	w.equal("removed", os.Remove(s.Source.Cache+"/HEAD"), nil) // for the test's own git
	w.write(s.Source.Cache+"/HEAD", "ref: "+git.NoBranch+"\n")
	w.equal("a.txt", w.git(s.Source.Cache, "cat-file", "blob", snap.Ref+":a.txt"), "two")
}
