package git

import (
	"cmp"
	"context"
	"io"
	"os"
	"strconv"
	"time"
)

// MaxSaid is how many files without their filter the log names.
const MaxSaid = 20

// sayLimit bounds how long git is asked for these names. Only the log depends on the answer, and the run waits for it.
const sayLimit = 10 * time.Second

// sayUnfiltered writes into the log which files were not filtered although .gitattributes names a filter for them. kugetsu runs no
// filter but git-lfs, and git-lfs only if the user's own configuration has it (see ofUser). c asks git for the names, which may be
// any number; how says what became of the files.
func (p *Private) sayUnfiltered(ctx context.Context, c Command, lfs bool, how string) {
	ctx, cancel := context.WithTimeout(ctx, sayLimit)
	defer cancel()
	names, err := os.CreateTemp(p.Dir, "names-*")
	if err != nil {
		p.Runner.Say("which files have no filter is not known: %v", err)
		return
	}
	defer os.Remove(names.Name())
	defer names.Close()
	c.Stdout = names
	if _, err = p.Run(ctx, c); err == nil {
		var info os.FileInfo
		if info, err = names.Stat(); err == nil && info.Size() == 0 {
			return
		}
		_, err = names.Seek(0, io.SeekStart)
	}
	if err != nil {
		p.Runner.Say("which files have no filter is not known: %v", err)
		return
	}
	field, path, off := 0, "", 0
	read := fields{each: func(text string) { // path, "filter", and its value, in turns
		switch field++; field % 3 {
		case 1:
			path = text
		case 0:
			if text == "unspecified" || text == "unset" || text == "set" || text == "lfs" && lfs {
				return
			}
			if off++; off <= MaxSaid {
				p.Runner.Say("%s, without the filter %s: %s", how, Clean(text), Clean(strconv.Quote(path)))
			}
		}
	}}
	_, err = p.Run(ctx, Command{Index: c.Index, input: names, Stdout: &read, Args: []string{"check-attr", "-z", "--stdin", "filter"}})
	if off > MaxSaid {
		p.Runner.Say("and %d more", off-MaxSaid)
	}
	if err != nil {
		p.Runner.Say("which files have no filter is not known: %v", err)
	}
}

// SayKeptRaw logs which files of a snapshot, of those that differ from head, were kept without their filter.
func (in Scratch) SayKeptRaw(ctx context.Context, head, tree string) {
	in.Private.sayUnfiltered(ctx, Command{Index: in.Index(), Env: []string{"GIT_OBJECT_DIRECTORY=" + in.objects()},
		Args: []string{"diff-tree", "-r", "-z", "--name-only", "--no-renames", "--no-ext-diff", "--diff-filter=d", cmp.Or(head, EmptyTree(tree)), tree}},
		in.Private.lfs && in.config == nil, "kept as it stands")
}

// SayMadeRaw logs which files of a new worktree were made without their filter. index is the worktree's index.
func (p *Private) SayMadeRaw(ctx context.Context, index string) {
	p.sayUnfiltered(ctx, Command{Index: index, Args: []string{"ls-files", "-z", "--", ":(exclude,attr:!filter)"}}, p.lfs, "made as git has it")
}
