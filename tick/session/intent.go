package session

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"kugetsu/queue/pattern"
	"kugetsu/queue/spool"
	"kugetsu/slots"
)

// intent is the file reviews/<session>~<fingerprint>.json: which item is made of a fingerprint. It is written once, and removed with
// its session.
type intent struct {
	V         int        `json:"v"`
	Item      string     `json:"item"`
	Priority  int        `json:"priority"`
	URL       string     `json:"url"`
	Head      string     `json:"head,omitempty"` // of the request, when that was decided; "" in a file of an older kugetsu
	What      string     `json:"what"`
	At        time.Time  `json:"at"`
	Published *time.Time `json:"published"` // nil: a pass may have died before the item was there
}

// besideName matches the files that a session has in reviews/ beside its record.
var besideName = pattern.Lazy(`^([^~]+)~([0-9a-f]{12}|cache)\.json$`)

func intentFile(home slots.Dir, session, fingerprint string) spool.File[intent] {
	return spool.File[intent]{Path: filepath.Join(home.Reviews(), session+"~"+fingerprint+".json"), Version: 1, Layout: spool.Line}
}

// intents are those of one session, by their fingerprints.
type intents map[string]intent

// intents reads the intents of a session. An intent that cannot be read is an error, since its item may exist.
func (k *Keeper) intents(session string) (intents, error) {
	files, err := spool.List(k.Home.Reviews())
	if err != nil {
		return nil, err
	}
	all := intents{}
	for _, file := range files {
		m := besideName().FindStringSubmatch(file)
		if m == nil || m[1] != session || m[2] == "cache" {
			continue
		}
		one, err := intentFile(k.Home, session, m[2]).Read()
		if err != nil {
			return nil, err
		}
		if one != nil {
			all[m[2]] = *one
		}
	}
	return all, nil
}

// has says whether the item of a fingerprint was published.
func (all intents) has(fingerprint string) bool { return all[fingerprint].Published != nil }

// item says whether an item was made of a fingerprint.
func (all intents) item(id string) bool {
	for _, one := range all {
		if one.Item == id {
			return true
		}
	}
	return false
}

// since counts the items that were made of a request after another item.
func (all intents) since(url, item string) (n int) {
	for _, one := range all {
		if one.URL == url && one.Item > item && one.Published != nil { // ids sort by time
			n++
		}
	}
	return n
}

// claim publishes an intent. If the intent exists, claim reads it: of two passes one publishes it, and the other goes on with its item.
func (k *Keeper) claim(session, fingerprint string, mine intent) (intent, error) {
	file := intentFile(k.Home, session, fingerprint)
	err := file.Publish(&mine)
	if !errors.Is(err, fs.ErrExist) {
		return mine, err
	}
	there, err := file.Read()
	if err == nil && there == nil {
		err = fmt.Errorf("%s: %w", file.Path, fs.ErrNotExist)
	}
	if err != nil {
		return mine, err
	}
	return *there, nil
}

// forgetBeside removes the files that sessions which are gone had in reviews/ beside their records.
func (k *Keeper) forgetBeside(files []string) error {
	sessions, err := k.Home.Sessions()
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, name := range sessions {
		there[name] = true
	}
	for _, file := range files {
		if m := besideName().FindStringSubmatch(file); m != nil && !there[m[1]] {
			if err := spool.Unlink(filepath.Join(k.Home.Reviews(), file)); err != nil {
				return err
			}
		}
	}
	return nil
}

// isBeside says whether a file of reviews/ is no record of a session.
func isBeside(file string) bool { return strings.Contains(file, "~") }
