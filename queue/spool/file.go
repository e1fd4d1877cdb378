package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
)

// File is a state file that holds one value as JSON.
type File[T any] struct {
	Path    string
	Version int // the highest value of the field v; 0 for a file without a version
	Layout  Layout
}

// Layout is how the JSON of a file is written.
type Layout int

// The layouts.
const (
	Compact  Layout = iota // on one line, without a newline at its end
	Line                   // on one line
	Indented               // for people to read
)

// Read returns the value, nil where there is no file. The error wraps ErrNewer for a file of a higher version, whatever else
// is in it, and ErrBad for a file that is not of this form.
func (f File[T]) Read() (*T, error) {
	data, err := Read(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	v := new(T)
	if f.Version == 0 {
		err = Decode(data, v)
	} else {
		err = DecodeVersion(data, f.Version, v, nil)
	}
	if err != nil {
		return nil, wrap("read", f.Path, err)
	}
	return v, nil
}

// ReadGood is Read for a file whose loss costs little: a file that is not of this form counts as absent.
func (f File[T]) ReadGood() (*T, error) {
	v, err := f.Read()
	if errors.Is(err, ErrBad) {
		return nil, nil
	}
	return v, err
}

// Write replaces the file or makes it, durably.
func (f File[T]) Write(v *T) error { return f.put(v, Write) }

// WriteSoon is Write without durability.
func (f File[T]) WriteSoon(v *T) error { return f.put(v, WriteSoon) }

// Publish makes the file, durably. The error wraps fs.ErrExist where there is one.
func (f File[T]) Publish(v *T) error { return f.put(v, Publish) }

// Draft writes the value into a batch.
func (f File[T]) Draft(b *Batch, v *T) (d *Draft, err error) {
	err = f.put(v, func(path string, data []byte) error {
		d, err = b.Draft(path, data)
		return err
	})
	return d, err
}

// Remove removes the file, durably; false where there is none.
func (f File[T]) Remove() (bool, error) {
	there, err := Exists(f.Path)
	if err != nil || !there {
		return false, err
	}
	return true, Remove(f.Path)
}

func (f File[T]) put(v *T, write func(path string, data []byte) error) error {
	data, err := json.Marshal(v)
	if f.Layout == Indented {
		data, err = json.MarshalIndent(v, "", "  ")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.Path, err)
	}
	if f.Layout != Compact {
		data = append(data, '\n')
	}
	return write(f.Path, data)
}
