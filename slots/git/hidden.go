package git

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Hidden lists the files of a worktree that exist although git was told not to look at them (update-index --skip-worktree, or
// --assume-unchanged). Status and add do not notice a change to such a file. Most files with that flag do not exist: they are outside
// of a sparse checkout.
//
// The list is a file of names, each ended by NUL, since an agent may give the flag to any number of files. The path is empty if there
// are no such files.
func (p *Private) Hidden(ctx context.Context) (list string, err error) {
	if _, err := os.Lstat(p.index()); Absent(err) {
		return "", nil // nothing was ever added
	}
	if none, err := noFlags(p.index(), p.idBytes); err == nil && none {
		return "", nil
	}
	file, err := os.CreateTemp(p.Dir, "hidden-*")
	if err != nil {
		return "", &Error{Op: "snapshot", Err: err}
	}
	names, found := bufio.NewWriter(file), false
	read := fields{each: func(line string) {
		tag, name, _ := strings.Cut(line, " ")
		if tag != "S" && tag == strings.ToUpper(tag) { // S: skip-worktree; a small letter: assume-unchanged
			return
		}
		// A folder that a sparse index has as one entry ends with a slash. If it exists, git itself looks into it.
		if _, err := os.Lstat(filepath.Join(p.At.Path, name)); Absent(err) || strings.HasSuffix(name, "/") {
			return
		}
		found = true
		_, _ = names.WriteString(name + "\x00") // Flush reports the error
	}}
	_, err = p.Run(ctx, Command{Args: []string{"ls-files", "-v", "-z", "--sparse"}, Stdout: &read})
	writeErr := errors.Join(names.Flush(), file.Close())
	if err == nil && writeErr != nil {
		err = &Error{Op: "snapshot", Err: writeErr}
	}
	if err != nil || !found {
		return "", err
	}
	return file.Name(), nil
}

// index is the path of the worktree's index.
func (p *Private) index() string { return filepath.Join(p.At.GitDir, "index") }

// noFlags says whether no entry of an index has one of these flags, for sure. Most indexes have none, and a git that lists all files
// takes longer to start than this takes.
func noFlags(index string, idBytes int) (bool, error) {
	f, err := OpenRegular(index)
	if err != nil {
		return false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	return noFlagsIn(bufio.NewReaderSize(f, 64<<10), info.Size(), idBytes)
}

// noFlagsIn reads an index of a size (gitformat-index(5)). One that it does not know, of version 4 or a split one, is for git to read.
func noFlagsIn(in *bufio.Reader, size int64, idBytes int) (bool, error) {
	head := make([]byte, 12)
	if _, err := io.ReadFull(in, head); err != nil {
		return false, err
	}
	version, entries := binary.BigEndian.Uint32(head[4:]), binary.BigEndian.Uint32(head[8:])
	if string(head[:4]) != "DIRC" || version != 2 && version != 3 {
		return false, nil
	}
	const (
		assumeValid, extended, nameLength = 0x8000, 0x4000, 0xfff
		skipWorktree                      = 0x4000 // of the flags behind, where there are some
		stat                              = 40     // bytes before the id
	)
	left := size - int64(len(head))
	fixed := make([]byte, stat+idBytes+2)
	for range entries {
		if _, err := io.ReadFull(in, fixed); err != nil {
			return false, err
		}
		size, flags := len(fixed), binary.BigEndian.Uint16(fixed[len(fixed)-2:])
		if flags&assumeValid != 0 {
			return false, nil
		}
		if flags&extended != 0 {
			if _, err := io.ReadFull(in, fixed[:2]); err != nil {
				return false, err
			}
			if binary.BigEndian.Uint16(fixed)&skipWorktree != 0 {
				return false, nil
			}
			size += 2
		}
		name := int(flags & nameLength)
		if name == nameLength { // it is longer than this tells
			return false, nil
		}
		padded := (size + name + 8) &^ 7 // a NUL at least
		if _, err := in.Discard(padded - size); err != nil {
			return false, err
		}
		left -= int64(padded)
	}
	for left > int64(idBytes) { // extensions, up to the sum of all
		if _, err := io.ReadFull(in, head[:8]); err != nil {
			return false, err
		}
		length := int64(binary.BigEndian.Uint32(head[4:]))
		if left -= 8 + length; left < int64(idBytes) || head[0] < 'A' || head[0] > 'Z' { // git must know one that is no capital: link is a split index
			return false, nil
		}
		if _, err := in.Discard(int(length)); err != nil {
			return false, err
		}
	}
	return left == int64(idBytes), nil
}
