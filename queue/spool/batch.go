package spool

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/natefinch/atomic"
)

// Batch makes many files with a few waits for the disk, where Write and Publish wait twice for each file. Its caller drafts all
// files, calls Sync, gives the drafts their names in an order of its own, and then calls SyncDir for each folder. Only then are the
// files durable.
type Batch struct {
	dirs   map[string]*os.File // in which there are drafts
	drafts []*Draft
}

// Draft is the content of a file that has no name yet.
type Draft struct {
	path, temp string // temp is "" once it has its name
}

// Draft writes the content of a file.
func (b *Batch) Draft(path string, data []byte) (*Draft, error) {
	// The folder is opened before the file is written: syncAll learns of errors only for what is written after the opening.
	if dir := filepath.Dir(path); b.dirs[dir] == nil {
		f, err := os.Open(dir)
		if err != nil {
			return nil, wrap("create", path, err)
		}
		if b.dirs == nil {
			b.dirs = map[string]*os.File{}
		}
		b.dirs[dir] = f
	}
	temp, err := writeTemp(path, data, false)
	if err != nil {
		return nil, err
	}
	d := &Draft{path: path, temp: temp}
	b.drafts = append(b.drafts, d)
	return d, nil
}

// few is the number of drafts up to which each is synced by itself. To sync their whole disk also waits for what other programs
// wrote.
const few = 16

// Sync makes the content of all drafts durable.
func (b *Batch) Sync() error {
	if len(b.drafts) > few {
		if done, err := syncAll(b.dirs); done {
			return err
		}
	}
	for _, d := range b.drafts {
		f, err := os.OpenFile(d.temp, os.O_WRONLY, 0)
		if err != nil {
			return wrap("sync", d.path, err)
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return wrap("sync", d.path, err)
		}
	}
	return nil
}

// Close removes the drafts that have no name. After an error, Sweep removes what is left of them.
func (b *Batch) Close() {
	for _, d := range b.drafts {
		if d.temp != "" {
			_ = os.Remove(d.temp)
		}
	}
	for _, f := range b.dirs {
		_ = f.Close()
	}
}

// Publish gives a draft its name. The error wraps fs.ErrExist where the name is in use.
func (d *Draft) Publish() error {
	if err := os.Link(d.temp, d.path); err != nil {
		return wrap("create", d.path, err)
	}
	return nil // Close removes the name of the draft
}

// Replace gives a draft its name, and replaces any file of that name.
func (d *Draft) Replace() error {
	if err := atomic.ReplaceFile(d.temp, d.path); err != nil {
		return wrap("rename", d.path, err)
	}
	d.temp = ""
	return nil
}
