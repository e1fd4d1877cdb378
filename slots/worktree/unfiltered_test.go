package worktree

import (
	"fmt"
	"strings"
	"testing"

	"kugetsu/slots/git"
)

// said is what the log says of files without their filter, in lines.
func (w *world) said(words string) (lines []string) {
	for line := range strings.Lines(w.log.String()) {
		if strings.Contains(line, words) {
			lines = append(lines, strings.TrimSuffix(line, "\n"))
		}
	}
	return lines
}

func TestFilesWithoutTheirFilterAreNamedInTheLog(t *testing.T) {
	w, wt, _ := prepared(t)
	w.write(wt+"/.gitattributes", "*.bin filter=large.files\n*.off -filter\n*.lfs filter=lfs\n")
	w.write(wt+"/old.bin", "old")
	w.commit(wt, "one")
	w.git(wt, "config", "filter.large.files.clean", "touch "+w.path("ran")+"; cat")
	w.write(wt+"/new.bin", "new")
	w.write(wt+"/x.off", "x")
	w.write(wt+"/pic.lfs", "x")
	w.write(wt+"/good", "good")
	w.kept(wt, 4)
	w.equal("names", strings.Join(w.said("without the filter"), "\n"),
		`kugetsu: kept as it stands, without the filter large.files: "new.bin"`+"\n"+`kugetsu: kept as it stands, without the filter lfs: "pic.lfs"`)
	w.equal("ran", w.exists("ran"), false)
}

func TestLogNamesTheFirstOfManyFilesWithoutTheirFilter(t *testing.T) {
	w, wt, _ := prepared(t)
	w.write(wt+"/.gitattributes", "*.bin filter=x\n")
	for n := range git.MaxSaid + 5 {
		w.write(fmt.Sprintf("%s/%02d.bin", wt, n), "x")
	}
	w.kept(wt, git.MaxSaid+5+1)
	w.equal("named", len(w.said("without the filter x: ")), git.MaxSaid)
	w.equal("and", strings.Join(w.said("more"), ""), "kugetsu: and 5 more")
}

// What the user's own git-lfs filters is not among them.
func TestFilterThatIsRunIsNotNamedInTheLog(t *testing.T) {
	w, wt, _ := prepared(t)
	w.git("", "config", "--global", "filter.lfs.clean", "cat")
	w.write(wt+"/.gitattributes", "*.lfs filter=lfs\n")
	w.write(wt+"/pic.lfs", "x")
	w.kept(wt, 2)
	w.equal("named", len(w.said("without the filter")), 0)
}

func TestNewWorktreeNamesTheFilesWithoutTheirFilterInTheLog(t *testing.T) {
	w := newWorld(t)
	w.write("author/.gitattributes", "dir/* filter=secret\n")
	w.commit("author", "attributes")
	w.push("trunk")
	w.git("author", "config", "filter.secret.smudge", "touch "+w.path("ran")+"; cat")
	w.prepare(w.fromLocal(7, "author"))
	w.equal("named", strings.Join(w.said("without the filter"), "\n"), `kugetsu: made as git has it, without the filter secret: "dir/b.txt"`)
	w.equal("ran", w.exists("ran"), false)
}
