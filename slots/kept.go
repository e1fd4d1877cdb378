package slots

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kugetsu/queue/spool"
)

// The refs at which kugetsu kept an issue's work are on record here, outside of the repository. An agent whose sandbox opens the
// repository can make refs of any name and date there, or move one of kugetsu's.
//
// The record is written after the ref, under the session's lock. After a crash between the two the ref is listed and can be
// named, but restore does not take it by itself.

// keptRef is one ref on record.
type keptRef struct {
	Ref    string    `json:"ref"`
	Commit string    `json:"commit"`
	At     time.Time `json:"at"`
}

// maxKept is how many refs the record of one issue names: the newest. Others stay where they are.
const maxKept = 1000

// record is the file of an issue's session. It outlives the session, as the refs do.
type record struct {
	V    int       `json:"v"`
	Kept []keptRef `json:"kept"`
}

func (d Dir) record(session string) spool.File[record] {
	return spool.File[record]{Path: filepath.Join(d.kept(), session+".json"), Version: 1, Layout: spool.Indented}
}

// readKept reads the record of a session.
func (d Dir) readKept(session string) (record, error) {
	rec, err := d.record(session).Read()
	if rec == nil {
		rec = &record{}
	}
	return *rec, err
}

// noteKept puts a ref on record. The caller holds the session's lock.
func (d Dir) noteKept(session, ref, commit string) error {
	rec, err := d.readKept(session)
	if err != nil {
		return err
	}
	same := func(k keptRef) bool { return k.Ref == ref }
	if n := slices.IndexFunc(rec.Kept, same); n >= 0 && rec.Kept[n].Commit == commit {
		return nil
	}
	rec.Kept = append(slices.DeleteFunc(rec.Kept, same), keptRef{ref, commit, time.Now().UTC()})
	rec.Kept = rec.Kept[max(0, len(rec.Kept)-maxKept):]
	return d.writeKept(session, rec)
}

func (d Dir) writeKept(session string, rec record) error {
	rec.V = 1
	return d.record(session).Write(&rec)
}

// KeptBy is the session that has a ref on record, empty for none.
func (d Dir) KeptBy(ref string) (string, error) {
	files, err := spool.List(d.kept())
	if err != nil {
		return "", err
	}
	for _, f := range files {
		session, ok := strings.CutSuffix(f, ".json")
		if !ok || !isSession(session) {
			continue
		}
		rec, err := d.readKept(session)
		if err != nil {
			return "", err
		}
		if slices.ContainsFunc(rec.Kept, func(k keptRef) bool { return k.Ref == ref }) {
			return session, nil
		}
	}
	return "", nil
}

// Forget deletes a ref, and the record of it. It returns false where there is no such ref. The ref goes first: a record without
// its ref does no harm.
func (p *Workspace) Forget(ctx context.Context, ref string) (found bool, err error) {
	if found, err = p.Git.Forget(ctx, p.Spec, ref); err != nil {
		return found, err
	}
	if s := p.Session; s != nil && s.Left == ref { // a person wants the next run to begin without it
		s.Left, s.LeftCommit = "", ""
		if err := p.home.WriteSession(p.Name, s); err != nil {
			return found, err
		}
	}
	rec, err := p.home.readKept(p.Name)
	if err != nil {
		return found, err
	}
	left := slices.DeleteFunc(slices.Clone(rec.Kept), func(k keptRef) bool { return k.Ref == ref })
	if len(left) == len(rec.Kept) {
		return found, nil
	}
	rec.Kept = left
	return found, p.home.writeKept(p.Name, rec)
}
