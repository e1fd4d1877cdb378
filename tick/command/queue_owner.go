package command

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"kugetsu/queue/fault"
	"kugetsu/queue/spool"
)

// outside is the folders of the queue that do not lie in the state folder.
func (a *App) outside() (dirs []string) {
	for _, dir := range []string{a.Settings.QueueDir, a.Settings.QueueItemsDir} {
		if dir != "" {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// ownerFile tells, in a queue that does not lie in a state folder, to which one it belongs.
func ownerFile(dir string) string { return filepath.Join(dir, ".kugetsu-dir") }

// ownFile is a note in the state folder that a queue elsewhere belongs to it. Its name is a hash, since a path may be too long
// for a file name.
func (a *App) ownFile(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return filepath.Join(a.queues(), hex.EncodeToString(sum[:8]))
}

func (a *App) queues() string { return filepath.Join(string(a.Home), "queues") }

// owned makes sure that a queue which does not lie in the state folder belongs to this one alone. The locks are in the
// state folder: two state folders with one queue would run each item twice, and end each other's agents. With take,
// owned claims a queue without an owner.
func (a *App) owned(take bool) error {
	if err := errors.Join(a.safe(), a.there()); err != nil {
		return err
	}
	for _, dir := range a.outside() {
		if err := a.own(dir, take); err != nil {
			return err
		}
	}
	return nil
}

// safe makes sure that no other user may write to the folders of the queue. Main checks the state folder. The owner of an item
// is not checked again.
func (a *App) safe() error {
	settings := map[string]string{a.Settings.QueueDir: "QUEUE_DIR", a.Queue.Items: "QUEUE_ITEMS_DIR"}
	for _, dir := range append(a.outside(), a.Queue.Folders()...) {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() { // the code that needs the folder reports it
			continue
		}
		if err := spool.CheckRoot(dir, cmp.Or(settings[dir], "QUEUE_DIR")); err != nil {
			return err
		}
	}
	return nil
}

// there makes sure that a queue with a note in the state folder is at its path. If a disk is not mounted, the items seem to be
// deleted, and a tick would end their runs.
func (a *App) there() error {
	for _, dir := range a.outside() {
		own := a.ownFile(dir)
		ours, err := spool.Exists(own)
		if err != nil || !ours {
			if err != nil {
				return err
			}
			continue
		}
		marked, err := spool.Exists(ownerFile(dir))
		if err != nil {
			return err
		}
		if !marked {
			return fault.New(fault.Config, "mount its disk; or, if it was deleted for good, remove "+own,
				"the queue that was in %s is not there", dir)
		}
	}
	return nil
}

// own claims a queue without an owner. The file in the queue is written first, the note in the state folder second: after a
// crash in between, a note without that file would look like a disk that is not mounted.
func (a *App) own(dir string, take bool) error {
	owner, err := spool.Read(ownerFile(dir))
	if errors.Is(err, fs.ErrNotExist) && !take {
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = spool.Publish(ownerFile(dir), []byte(string(a.Home)+"\n"))
		if err == nil || errors.Is(err, fs.ErrExist) { // another process may have been faster
			owner, err = spool.Read(ownerFile(dir))
		}
	}
	if err != nil {
		return err
	}
	if its := strings.TrimSpace(string(owner)); its != string(a.Home) && !spool.SameFolder(its, string(a.Home)) {
		return fault.New(fault.Config, "unset QUEUE_DIR and QUEUE_ITEMS_DIR, or, if the state folder was moved, remove "+ownerFile(dir)+" and "+a.ownFile(dir),
			"the queue in %s belongs to the state folder %s", dir, strings.TrimSpace(string(owner)))
	}
	noted, err := spool.Exists(a.ownFile(dir))
	if err != nil || noted || !take {
		return err
	}
	if err := spool.MakeDirs(a.queues()); err != nil {
		return err
	}
	return spool.Write(a.ownFile(dir), []byte(dir+"\n"))
}
