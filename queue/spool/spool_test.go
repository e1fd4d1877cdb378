package spool

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kugetsu/contrib/quick"
	"kugetsu/queue/fault"
)

func TestMain(m *testing.M) { os.Exit(quick.InMemory{M: m}.Run()) }

func TestFileThatIsNoStateFileIsNotRead(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, size int) { must(t, os.WriteFile(at(name), bytes.Repeat([]byte("x"), size), 0o600)) }
	write("empty", 0)
	write("small", 1)
	write("largest", MaxFile)
	write("larger", MaxFile+1)
	must(t, os.Mkdir(at("folder"), 0o700))
	must(t, unix.Mkfifo(at("fifo"), 0o600))
	must(t, os.Symlink(at("small"), at("link")))
	must(t, os.Symlink(at("nowhere"), at("dangling")))
	must(t, os.Symlink("/dev/zero", at("zeros")))
	socket, err := net.Listen("unix", at("s"))
	must(t, err)
	defer socket.Close()
	for _, c := range []struct {
		name string
		size int
		want error
	}{
		{"empty", 0, nil},
		{"small", 1, nil},
		{"largest", MaxFile, nil},
		{"larger", 0, ErrBad},
		{"folder", 0, ErrBad},
		{"fifo", 0, ErrBad},
		{"link", 0, ErrBad},
		{"dangling", 0, ErrBad},
		{"zeros", 0, ErrBad},
		{"s", 0, ErrBad},
		{"missing", 0, fs.ErrNotExist},
		{"small/below", 0, unix.ENOTDIR},
		{"missing/below", 0, fs.ErrNotExist},
	} {
		data, err := Read(at(c.name))
		if !errors.Is(err, c.want) || len(data) != c.size {
			t.Errorf("%s: %d bytes, %v", c.name, len(data), err)
		}
		if err != nil && fault.Code(err) != fault.Temp {
			t.Errorf("%s: exit code %d", c.name, fault.Code(err))
		}
		if err != nil && c.want != ErrBad && errors.Is(err, ErrBad) {
			t.Errorf("%s is taken for a bad file", c.name)
		}
	}
}

func TestDeviceIsNotRead(t *testing.T) {
	if _, err := Read("/dev/zero"); !errors.Is(err, ErrBad) {
		t.Error(err)
	}
}

func TestJSONIsReadWholeOrNotAtAll(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.json")
	for _, c := range []struct {
		data string
		want error
	}{
		{`{"a":1}`, nil},
		{` {"a":1}` + "\n", nil},
		{`{"a":1}{"a":2}`, ErrBad},
		{`{"a":1`, ErrBad},
		{`{"a":"b"}`, ErrBad},
		{"", ErrBad},
		{"\x00\x00", ErrBad},
	} {
		must(t, os.WriteFile(path, []byte(c.data), 0o600))
		var v struct{ A int }
		if err := ReadJSON(path, &v); !errors.Is(err, c.want) {
			t.Errorf("%q: %v", c.data, err)
		}
	}
	if err := ReadJSON(path+"x", new(int)); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrBad) {
		t.Error(err)
	}
}

func TestWriteReplacesAFileAndLeavesNoOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.json")
	for _, text := range []string{"one", "", "three"} {
		must(t, Write(path, []byte(text)))
		if got, err := Read(path); err != nil || string(got) != text {
			t.Errorf("%q, %v", got, err)
		}
	}
	only(t, path, 0o600)

	// A link is replaced, and what it led to is left alone.
	other := filepath.Join(t.TempDir(), "other")
	must(t, os.WriteFile(other, []byte("theirs"), 0o600))
	must(t, os.Remove(path))
	must(t, os.Symlink(other, path))
	must(t, Write(path, []byte("ours")))
	if got, err := os.ReadFile(other); err != nil || string(got) != "theirs" {
		t.Errorf("%q, %v", got, err)
	}
	only(t, path, 0o600)
}

func TestPublishNeverOverwrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "50-q.json")
	must(t, Publish(path, []byte("first")))
	for range 3 {
		if err := Publish(path, []byte("second")); !errors.Is(err, fs.ErrExist) {
			t.Error(err)
		}
	}
	if got, err := Read(path); err != nil || string(got) != "first" {
		t.Errorf("%q, %v", got, err)
	}
	only(t, path, 0o600)
}

func TestPublishersOfOneNameHaveOneWinner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "50-q.json")
	won := make(chan bool)
	for n := range 20 {
		go func() { won <- Publish(path, []byte{byte(n)}) == nil }()
	}
	winners := 0
	for range 20 {
		if <-won {
			winners++
		}
	}
	if winners != 1 {
		t.Errorf("%d winners", winners)
	}
	only(t, path, 0o600)
}

func TestFileMadeOnceIsRefusedTheSecondTime(t *testing.T) {
	dir := t.TempDir()
	for name, create := range map[string]func(string) error{"file": Create, "folder": Mkdir} {
		path := filepath.Join(dir, name)
		must(t, create(path))
		if err := create(path); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRemovingWhatIsGoneIsNoError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gone")
	for name, remove := range map[string]func(string) error{"Remove": Remove, "Unlink": Unlink, "RemoveAll": RemoveAll} {
		if err := remove(path); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Rename(path, path+"2"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestUnknownIsNotAbsent(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	if there, err := Exists(filepath.Join(file, "below")); err == nil || there {
		t.Errorf("%t, %v", there, err)
	}
	if there, err := Exists(file + "x"); err != nil || there {
		t.Errorf("%t, %v", there, err)
	}
	must(t, os.Symlink("/nowhere", file+"y"))
	if there, err := Exists(file + "y"); err != nil || !there {
		t.Errorf("a link that leads nowhere: %t, %v", there, err)
	}
	if names, err := List(filepath.Dir(file) + "x"); err == nil {
		t.Errorf("a folder that is missing has %v", names)
	}
}

func TestSweepRemovesWhatCrashedWritersLeftAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	old := now.Add(-2 * TempAge)
	stay := []string{"50-q_x.json", ".hidden", "x.json.bak", "x.json123", "config.tmp1", "1.lock", "notes.txt", ".x.tmp", ".folder.tmp1", ".new.json.tmp77"}
	swept := []string{".x.json.tmp123", ".50-q_x.json.tmp4711", ".paused.tmp1"}
	for _, name := range append(slices.Clone(stay), swept...) {
		path := filepath.Join(dir, name)
		if name == ".folder.tmp1" {
			must(t, os.Mkdir(path, 0o700))
		} else {
			must(t, os.WriteFile(path, nil, 0o600))
		}
		at := old
		if name == ".new.json.tmp77" {
			at = now
		}
		must(t, os.Chtimes(path, at, at))
	}
	must(t, Sweep(dir, now, now))
	names, err := List(dir)
	must(t, err)
	slices.Sort(stay)
	if !slices.Equal(names, stay) {
		t.Errorf("%v is left, not %v", names, stay)
	}
}

func TestSweepLeavesAFileThatOnlyTheClockMadeOld(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".50-q_x.json.tmp123")
	must(t, os.WriteFile(path, nil, 0o600))
	written := time.Now()
	must(t, os.Chtimes(path, written, written))
	// A minute after the last sweep the file is written, and then the clock is set forward.
	year := written.AddDate(1, 0, 0)
	must(t, Sweep(filepath.Dir(path), year, written.Add(-time.Minute)))
	if there, err := Exists(path); err != nil || !there {
		t.Errorf("the temp file is gone: %v", err)
	}
	// The next sweep removes it.
	must(t, Sweep(filepath.Dir(path), year.Add(time.Hour), year))
	if there, err := Exists(path); err != nil || there {
		t.Errorf("the temp file is left: %v", err)
	}
}

func TestSweepKnowsTheNamesOfTempFiles(t *testing.T) {
	for _, name := range []string{"50-q_01arz3ndektsv4rrffq69g5fav.json", "1.json", "config", "paused", "tick.lock"} {
		tmp, err := writeTemp(filepath.Join(t.TempDir(), name), nil, false)
		must(t, err)
		if !IsTemp(filepath.Base(tmp)) {
			t.Errorf("%s is not known", tmp)
		}
		if IsTemp(name) {
			t.Errorf("%s is taken for a temp file", name)
		}
	}
}

func TestErrorOfAWriteIsTheErrorOfTheSystem(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing", "x")
	folder := filepath.Join(t.TempDir(), "folder")
	must(t, os.MkdirAll(filepath.Join(folder, "full"), 0o700))
	var errno syscall.Errno
	for name, write := range map[string]func(string, []byte) error{"Write": Write, "WriteSoon": WriteSoon, "Publish": Publish} {
		if err := write(missing, nil); !errors.Is(err, syscall.ENOENT) {
			t.Errorf("%s into a folder that is missing: %v", name, err)
		}
		if err := write(folder, nil); !errors.As(err, &errno) {
			t.Errorf("%s over a folder: %v", name, err)
		}
		left, err := List(filepath.Dir(folder))
		must(t, err)
		if len(left) != 1 {
			t.Errorf("%s left %v", name, left)
		}
	}
}

func TestErrorNamesThePathOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing")
	_, err := Read(path)
	if err == nil || strings.Count(err.Error(), path) != 1 || !strings.HasPrefix(err.Error(), "read "+path+": ") {
		t.Error(err)
	}
	err = Publish(filepath.Join(path, "x"), nil)
	if err == nil || strings.Count(err.Error(), path) != 1 {
		t.Error(err)
	}
}

// only fails unless the file is alone in its folder and has this mode.
func only(t *testing.T, path string, mode fs.FileMode) {
	t.Helper()
	names, err := List(filepath.Dir(path))
	if err != nil || !slices.Equal(names, []string{filepath.Base(path)}) {
		t.Errorf("%v, %v", names, err)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != mode {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
