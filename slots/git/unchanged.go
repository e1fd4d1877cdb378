package git

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Some files differ from their blob as soon as they are checked out: a blob with CRLF that .gitattributes calls text, a blob with mixed
// line ends that is checked out with CRLF, or a filter that does not undo what it does. Git calls such a file modified or not, depending
// on the second in which it was written. No agent changed it. So a file counts as unchanged here if it is what a checkout of its blob
// would write.

const (
	maxMaybe     = 100_000  // so many files are examined; any more count as changed
	maxMaybeRead = 1 << 30  // so many of their bytes are read
	maxWritten   = 64 << 20 // so many of their bytes git is asked to write out once more
)

// unchanged names the entries of a status whose files are as a checkout would write them. It decides some by reading the files, and
// asks git, in one process, about the rest.
func (p *Private) unchanged(ctx context.Context, maybe []Entry, c Command) (map[string]bool, error) {
	same := map[string]bool{}
	var ask []string
	read, written := int64(maxMaybeRead), int64(maxWritten)
	for _, e := range maybe {
		size, raw, err := rawOrPointer(filepath.Join(p.At.Path, e.Path), e.blob, read)
		if err != nil {
			continue // git will say what is wrong
		}
		read -= size
		if raw {
			same[e.Path] = true
		} else if size <= written {
			written -= size
			ask = append(ask, e.Path)
		}
	}
	if len(ask) == 0 {
		return same, nil
	}
	tmp, err := os.MkdirTemp(p.Dir, "checkout-*")
	if err != nil {
		return nil, &Error{Op: "snapshot", Err: err}
	}
	defer os.RemoveAll(tmp)
	c.Stdin, c.Args = strings.Join(ask, "\x00")+"\x00", []string{"checkout-index", "--quiet", "--prefix=" + tmp + "/", "-z", "--stdin"}
	c.Stdout, c.stderr, c.Env = nil, nil, []string{"GIT_LFS_SKIP_SMUDGE=1"} // what LFS would fetch was compared above
	if _, err := p.Run(ctx, c); err != nil && (ExitCode(err) == -1 || OfHost(err)) {
		return nil, err // a filter that fails is no error here: a file that it did not write counts as changed
	}
	for _, name := range ask {
		if ok, err := equalFiles(filepath.Join(p.At.Path, name), filepath.Join(tmp, name)); err == nil && ok {
			same[name] = true
		}
	}
	return same, nil
}

// rawOrPointer says whether a file has the bytes of a blob, or the bytes to which a blob of git-lfs points. The latter was written
// by a git-lfs that only the repository's configuration names.
func rawOrPointer(path, blob string, most int64) (size int64, is bool, err error) {
	f, err := OpenRegular(path)
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, false, err
	}
	if size = info.Size(); size > most {
		return 0, false, ErrTooLong
	}
	id, content := blobHash(blob, size), sha256.New()
	if _, err := io.Copy(io.MultiWriter(id, content), f); err != nil {
		return 0, false, err
	}
	if hex.EncodeToString(id.Sum(nil)) == blob {
		return size, true, nil
	}
	pointer := fmt.Sprintf("version https://git-lfs.github.com/spec/v1\noid sha256:%x\nsize %d\n", content.Sum(nil), size)
	id = blobHash(blob, int64(len(pointer)))
	_, _ = io.WriteString(id, pointer)
	return size, hex.EncodeToString(id.Sum(nil)) == blob, nil
}

// blobHash begins the id of a blob, of the kind that like is.
func blobHash(like string, size int64) hash.Hash {
	h := sha1.New()
	if len(like) == 2*sha256.Size {
		h = sha256.New()
	}
	_, _ = fmt.Fprintf(h, "blob %d\x00", size)
	return h
}

func equalFiles(a, b string) (bool, error) {
	x, errX := OpenRegular(a)
	y, errY := OpenRegular(b)
	if err := errors.Join(errX, errY); err != nil {
		return false, err
	}
	defer x.Close()
	defer y.Close()
	hx, hy := sha256.New(), sha256.New()
	_, errX = io.Copy(hx, x)
	_, errY = io.Copy(hy, y)
	return bytes.Equal(hx.Sum(nil), hy.Sum(nil)), errors.Join(errX, errY)
}

// settle counts the entries that turned out to be changed, and notes the others in By.
func (st *Status) settle(maybe []Entry, same map[string]bool) {
	for _, e := range maybe {
		if same[e.Path] {
			st.By.Same = append(st.By.Same, e.Path)
			if e.Worktree = '.'; e.staged == '.' {
				continue
			}
		}
		st.Dirty++
		st.Entries = append(st.Entries, e)
	}
	slices.SortFunc(st.Entries, func(a, b Entry) int { return cmp.Compare(a.nth, b.nth) })
	st.Entries = st.Entries[:min(len(st.Entries), MaxFiles)]
}
