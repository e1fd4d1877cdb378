package worktree

import (
	"cmp"
	"context"
	"io"
	"os"
	"strconv"
	"time"
)

// maxSaid is how many files without their filter the log names.
const maxSaid = 20

// sayLimit bounds how long git is asked for these names. Only the log depends on the answer, and the run waits for it.
const sayLimit = 10 * time.Second

// sayUnfiltered writes into the log which files stand as they are although .gitattributes names a filter for them: kugetsu
// runs git-lfs alone, and that only where the user's own configuration has it (see ofUser). c asks git for the names, of
// which there may be any number; how says what became of the files.
func (p *private) sayUnfiltered(ctx context.Context, c command, lfs bool, how string) {
	ctx, cancel := context.WithTimeout(ctx, sayLimit)
	defer cancel()
	names, err := os.CreateTemp(p.dir, "names-*")
	if err != nil {
		p.g.say("which files have no filter is not known: %v", err)
		return
	}
	defer os.Remove(names.Name())
	defer names.Close()
	c.stdout = names
	if _, err = p.run(ctx, c); err == nil {
		_, err = names.Seek(0, io.SeekStart)
	}
	if err != nil {
		p.g.say("which files have no filter is not known: %v", err)
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
			if off++; off <= maxSaid {
				p.g.say("%s, without the filter %s: %s", how, clean(text), clean(strconv.Quote(path)))
			}
		}
	}}
	_, err = p.run(ctx, command{index: c.index, input: names, stdout: &read, args: []string{"check-attr", "-z", "--stdin", "filter"}})
	if off > maxSaid {
		p.g.say("and %d more", off-maxSaid)
	}
	if err != nil {
		p.g.say("which files have no filter is not known: %v", err)
	}
}

// sayKeptRaw says so of the files of a snapshot that differ from head.
func (in scratch) sayKeptRaw(ctx context.Context, head, tree string) {
	in.p.sayUnfiltered(ctx, command{index: in.index(), env: []string{"GIT_OBJECT_DIRECTORY=" + in.objects()},
		args: []string{"diff-tree", "-r", "-z", "--name-only", "--no-renames", "--no-ext-diff", "--diff-filter=d", cmp.Or(head, emptyTree(tree)), tree}},
		in.p.lfs && in.config == nil, "kept as it stands")
}

// sayMadeRaw says so of the files of a new worktree, whose index is given.
func (p *private) sayMadeRaw(ctx context.Context, index string) {
	p.sayUnfiltered(ctx, command{index: index, args: []string{"ls-files", "-z", "--", ":(exclude,attr:!filter)"}}, p.lfs, "made as git has it")
}
