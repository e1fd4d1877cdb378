package queue

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"kugetsu/queue/spool"
)

// FuzzFind: for any text in the place of an id, a part of one, or the name of an item's file, the result is an existing item,
// directly in its folder, or an error that can be shown.
func FuzzFind(f *testing.F) {
	q := newQueue(f, time.Now)
	var ids []string
	for n, lane := range []Lane{Dev, Dev, PM} {
		it := &Item{ID: NewID(time.Unix(int64(n), 0)), IssueRef: "github.com/you/project#1"}
		if _, err := q.Publish(it, lane, 50); err != nil {
			f.Fatal(err)
		}
		ids = append(ids, it.ID)
	}
	// A file of the same name lies where only a path leads.
	outside := filepath.Join(filepath.Dir(q.Items), "outside")
	if err := spool.MakeDirs(outside); err != nil {
		f.Fatal(err)
	}
	if err := spool.Publish(filepath.Join(outside, "50-"+ids[0]+".json"), nil); err != nil {
		f.Fatal(err)
	}
	f.Add(ids[0], "../outside/50-"+ids[0]+".json")
	for _, word := range []string{ids[0], ids[1][20:], "q_", "Q_0", "", ".", "..", "/", "../items", "-x", "*", "\x1b[2J", "50-" + ids[0] + ".json"} {
		f.Add(word, "50-"+ids[0]+".json")
		f.Add(ids[0], word)
		f.Add(word, "../items/50-"+ids[0]+".json")
	}
	check := func(t *testing.T, e Entry) {
		dir, name := filepath.Split(e.Path)
		if !slices.Contains(ids, e.ID) || !slices.Contains([]string{q.Items, q.PM, q.Finished}, filepath.Clean(dir)) ||
			!filepath.IsLocal(name) || name != "50-"+e.ID+".json" {
			t.Errorf("%+v was found", e)
		}
	}
	f.Fuzz(func(t *testing.T, word, file string) {
		e, err := q.Resolve(word, nil)
		if err == nil {
			check(t, e)
			if word == "" || !strings.Contains(e.ID, strings.ToLower(word)) {
				t.Errorf("%q found %s", word, e.ID)
			}
		} else if strings.ContainsFunc(err.Error(), unicode.IsControl) || len(err.Error()) > 600 {
			t.Errorf("%q", err)
		}
		for _, id := range []string{word, ids[0]} {
			if e, err := q.FindHinted(id, file); err == nil {
				check(t, e)
				if e.ID != id {
					t.Errorf("%q and %q found %s", id, file, e.ID)
				}
			}
		}
		if e, ok := parseName(filepath.Join("/items", filepath.Base(word))); ok {
			if name := filepath.Base(e.Path); !IsID(e.ID) || !filepath.IsLocal(name) || len(name) > 60 || strings.HasPrefix(name, "-") || strings.HasPrefix(name, ".") {
				t.Errorf("%q is an item's name: %+v", word, e)
			}
		}
	})
}
