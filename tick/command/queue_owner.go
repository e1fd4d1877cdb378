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

// ownFile tells, in the state folder, that a queue elsewhere was taken for its own. A path is longer than a file's name may
// be.
func (a *App) ownFile(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return filepath.Join(a.queues(), hex.EncodeToString(sum[:8]))
}

func (a *App) queues() string { return filepath.Join(string(a.Home), "queues") }

// owned makes sure that a queue which does not lie in the state folder belongs to this one alone. The locks are in the
// state folder: two that shared a queue would run each item twice, and each end the other's agents. One that is nobody's
// is taken, if that is asked for.
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

// safe makes sure that no other user may write to the folders of the queue, as main has of the state folder: whose item lies
// there is not asked again.
func (a *App) safe() error {
	settings := map[string]string{a.Settings.QueueDir: "QUEUE_DIR", a.Queue.Items: "QUEUE_ITEMS_DIR"}
	for _, dir := range append(a.outside(), a.Queue.Folders()...) {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() { // what needs it says so; the rest goes on
			continue
		}
		if err := spool.CheckRoot(dir, cmp.Or(settings[dir], "QUEUE_DIR")); err != nil {
			return err
		}
	}
	return nil
}

// there makes sure that a queue which was ours is in its place. Where a disk is not mounted, its items would seem to have
// been deleted, and their runs would be ended.
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

// own takes a queue that is nobody's. Its own mark comes first: without it, what we noted would say that the queue is gone.
func (a *App) own(dir string, take bool) error {
	owner, err := spool.Read(ownerFile(dir))
	if errors.Is(err, fs.ErrNotExist) && !take {
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = spool.Publish(ownerFile(dir), []byte(string(a.Home)+"\n"))
		if err == nil || errors.Is(err, fs.ErrExist) { // another may have been faster
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
