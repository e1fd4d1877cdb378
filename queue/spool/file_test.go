package spool

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

type thing struct {
	V    int    `json:"v"`
	Name string `json:"name"`
}

func TestFileIsReadAsItWasWrittenInEveryLayout(t *testing.T) {
	for layout, want := range map[Layout]string{
		Compact:  `{"v":2,"name":"x"}`,
		Line:     `{"v":2,"name":"x"}` + "\n",
		Indented: "{\n  \"v\": 2,\n  \"name\": \"x\"\n}\n",
	} {
		f := File[thing]{Path: filepath.Join(t.TempDir(), "thing"), Version: 2, Layout: layout}
		for _, write := range []func(*thing) error{f.Publish, f.Write, f.WriteSoon} {
			if err := write(&thing{2, "x"}); err != nil {
				t.Fatal(err)
			}
			if data, err := os.ReadFile(f.Path); err != nil || string(data) != want {
				t.Errorf("layout %d: %q, %v", layout, data, err)
			}
			if v, err := f.Read(); err != nil || *v != (thing{2, "x"}) {
				t.Errorf("layout %d: %+v, %v", layout, v, err)
			}
		}
		if err := f.Publish(&thing{2, "y"}); !errors.Is(err, fs.ErrExist) {
			t.Errorf("a second file of this name: %v", err)
		}
	}
}

func TestFileThatCannotBeReadSaysWhy(t *testing.T) {
	for _, c := range []struct {
		name, data string
		version    int
		want       error
	}{
		{"an older version", `{"v":1,"name":"x"}`, 2, nil},
		{"the version zero", `{"v":0,"name":"x"}`, 2, ErrBad},
		{"a version below zero", `{"v":-1}`, 2, ErrBad},
		{"a newer version", `{"v":3,"name":7}`, 2, ErrNewer},
		{"no version", `{"name":"x"}`, 2, ErrBad},
		{"a version where there is none", `{"v":3}`, 0, nil},
		{"another type", `{"name":7}`, 0, ErrBad},
		{"no JSON", `touch`, 0, ErrBad},
		{"nothing", ``, 0, ErrBad},
		{"no UTF-8", "{\"name\":\"\xff\"}", 0, ErrBad},
	} {
		f := File[thing]{Path: filepath.Join(t.TempDir(), "thing"), Version: c.version}
		must(t, os.WriteFile(f.Path, []byte(c.data), 0o600))
		v, err := f.Read()
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || (v == nil) != (err != nil) {
			t.Errorf("%s: %+v, %v", c.name, v, err)
		}
		good, goodErr := f.ReadGood()
		if wanted := errors.Is(c.want, ErrBad); wanted && (good != nil || goodErr != nil) || !wanted && !errors.Is(goodErr, c.want) {
			t.Errorf("%s, where it counts as absent: %+v, %v", c.name, good, goodErr)
		}
	}
	f := File[thing]{Path: filepath.Join(t.TempDir(), "thing")}
	if v, err := f.Read(); v != nil || err != nil {
		t.Errorf("no file: %+v, %v", v, err)
	}
}
