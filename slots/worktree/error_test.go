package worktree

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"kugetsu/slots/git"
)

func TestFilterThatIsMissingIsNamedAndToldBefore(t *testing.T) {
	w := newWorld(t)
	w.write("author/.gitattributes", "*.bin filter=lfs\n")
	w.write("author/a.bin", "x")
	w.commit("author", "a file for a filter")
	w.push("trunk")
	w.write("home/.gitconfig", w.read("home/.gitconfig")+"[filter \"lfs\"]\n\tprocess = git-lfs-missing filter-process\n\trequired = true\n"+
		"[credential]\n\thelper = nope --option\n\thelper = store\n\thelper = !test -n x\n[core]\n\tsshCommand = nossh -v\n")
	w.contains(w.refused(w.fromRemote(7)).Error(), "git-lfs-missing: not found")
	missing, err := w.newGit().Missing(context.Background())
	w.equal("error", err, nil)
	w.equal("missing", fmt.Sprint(missing), "[git-lfs-missing git-credential-nope nossh]")
}

func TestRecordWhoseLinkCannotBeLookedAtIsNotRefused(t *testing.T) {
	admin := t.TempDir()
	if err := os.WriteFile(filepath.Join(admin, "gitdir"), []byte(admin+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var e *git.Error
	err := leadsBack(admin, filepath.Join(admin, strings.Repeat("n", 300), ".git")) // ENAMETOOLONG
	if !errors.As(err, &e) || e.Permanent || !errors.Is(err, syscall.ENAMETOOLONG) {
		t.Errorf("got %v", err)
	}
	if err := leadsBack(admin, filepath.Join(admin, "gitdir")); !errors.As(err, &e) || !e.Permanent {
		t.Errorf("a record of another worktree: %v", err)
	}
}
