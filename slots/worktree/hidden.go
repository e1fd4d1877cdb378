package worktree

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// maxIndex is how large an index is read here, in bytes: that of two million files. Of a larger one git is asked.
const maxIndex = 256 << 20

// hidden names the files of a worktree that git was told not to look at (update-index --skip-worktree, or
// --assume-unchanged) and that are there all the same: whatever is written into them, status and add say nothing. In a
// sparse checkout most are not there.
//
// What git has written of it is read here, since a look at a clean worktree should cost no second process; git is asked
// where that cannot be told. Nil where nothing can be told at all: then git has no use for the index either.
func (p *private) hidden(ctx context.Context) ([]string, error) {
	var index []byte
	file, err := openRegular(p.index())
	if absent(err) {
		return nil, nil // nothing was ever added
	}
	if err == nil {
		index, err = io.ReadAll(io.LimitReader(file, maxIndex))
		err = errors.Join(err, file.Close())
	}
	names, known := flagged(index)
	if err != nil || !known {
		out, err := p.run(ctx, command{args: []string{"ls-files", "-v", "-z"}})
		if err != nil {
			return nil, err
		}
		for line := range strings.SplitSeq(out, "\x00") {
			if tag, name, _ := strings.Cut(line, " "); tag == "S" || tag != strings.ToUpper(tag) {
				names = append(names, name)
			}
		}
	}
	var there []string
	for _, name := range names {
		// A folder that a sparse index has as one entry ends with a slash; git itself looks into it where it is there.
		if _, err := os.Lstat(filepath.Join(p.at.path, name)); !absent(err) && !strings.HasSuffix(name, "/") {
			there = append(there, name)
		}
	}
	return there, nil
}

// index is the path of the worktree's index.
func (p *private) index() string { return filepath.Join(p.at.gitDir, "index") }

// The bits of an entry's flags in the index: see gitformat-index(5).
const (
	assumeValid  = 1 << 15
	extended     = 1 << 14 // a second word of flags follows
	skipWorktree = 1 << 14 // in that
)

// flagged finds the entries of an index that have one of the two flags. An index does not say how long its object ids
// are, but with the wrong length nothing in it makes sense. known is false for what is not understood: another version, or
// one of which half stands in another file.
func flagged(index []byte) (names []string, known bool) {
	for _, idLen := range []int{20, 32} {
		if names, known = flaggedWith(index, idLen); known {
			return names, true
		}
	}
	return nil, false
}

func flaggedWith(index []byte, idLen int) (names []string, known bool) {
	if len(index) < 12+idLen || string(index[:4]) != "DIRC" {
		return nil, false
	}
	version, n := binary.BigEndian.Uint32(index[4:]), binary.BigEndian.Uint32(index[8:])
	if version < 2 || version > 4 {
		return nil, false
	}
	rest := index[12 : len(index)-idLen] // what follows is a checksum
	var name []byte
	for range n {
		size := 40 + idLen + 2 // times and the like, of which the mode is looked at; the id; flags
		if len(rest) < size+2 {
			return nil, false
		}
		switch mode := binary.BigEndian.Uint32(rest[24:]); mode {
		case 0o100644, 0o100755, 0o120000, 0o160000, 0o040000:
		default:
			return nil, false
		}
		flags := binary.BigEndian.Uint16(rest[size-2:])
		flag := flags&assumeValid != 0
		if flags&extended != 0 {
			flag = flag || binary.BigEndian.Uint16(rest[size:])&skipWorktree != 0
			size += 2
		}
		if version == 4 { // how much of the last name is not in this one, then the rest of it
			drop, ok := 0, false
			for !ok && size < len(rest) && drop <= len(index) {
				b := rest[size]
				drop, ok = drop<<7|int(b&0x7f), b&0x80 == 0
				if !ok {
					drop++
				}
				size++
			}
			if !ok || drop > len(name) {
				return nil, false
			}
			name = name[:len(name)-drop]
		} else {
			name = name[:0]
		}
		end := bytes.IndexByte(rest[size:], 0)
		if end < 0 {
			return nil, false
		}
		name = append(name, rest[size:size+end]...)
		size += end + 1
		if version != 4 { // filled up with NUL
			size = (size + 7) &^ 7
		}
		if size > len(rest) || len(name) == 0 || int(flags&0xfff) != min(len(name), 0xfff) {
			return nil, false
		}
		if flag {
			names = append(names, string(name))
		}
		rest = rest[size:]
	}
	for len(rest) > 0 { // extensions: a name, a length, and what is in it
		if len(rest) < 8 || string(rest[:4]) == "link" {
			return nil, false
		}
		size := uint64(binary.BigEndian.Uint32(rest[4:])) + 8
		if size > uint64(len(rest)) {
			return nil, false
		}
		rest = rest[size:]
	}
	return names, true
}
