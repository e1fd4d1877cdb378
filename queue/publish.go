package queue

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"

	"kugetsu/queue/event"
	"kugetsu/queue/spool"
)

// New is an item to be published.
type New struct {
	Item     *Item
	Lane     Lane
	Priority int
}

// PublishAll is Publish for many items, with a few waits for the disk for all of them. It returns how many were published, which are
// the first ones: the error is that of the next one.
//
// The order is that of Publish, for all at once: the content of all, the events, the items. The items get their names one after the
// other, so that a crash leaves the first ones, too: an item may wait for an earlier one.
func (q *Queue) PublishAll(list []New) (published int, err error) {
	var batch spool.Batch
	defer batch.Close()
	events, items := []*event.Draft{}, []*spool.Draft{}
	for _, n := range list {
		data, draftErr := n.Item.encodeNew()
		if draftErr == nil {
			var ev *event.Draft
			var it *spool.Draft
			if ev, draftErr = q.Events.Draft(&batch, about(n.Item, event.TaskQueued, "")); draftErr == nil {
				if it, draftErr = batch.Draft(filepath.Join(q.dir(n.Lane), fileName(n.Priority, n.Item.ID)), data); draftErr == nil {
					events, items = append(events, ev), append(items, it)
				}
			}
		}
		if draftErr != nil {
			err = draftErr
			break
		}
	}
	if len(items) == 0 {
		return 0, err
	}
	if syncErr := batch.Sync(); syncErr != nil {
		return 0, syncErr
	}
	if putErr := q.Events.PutDrafts(events); putErr != nil {
		return 0, errors.Join(putErr, q.retract(list))
	}
	for ; published < len(items); published++ {
		if linkErr := items[published].Publish(); linkErr != nil {
			err = linkErr
			break
		}
	}
	var dirs []string
	for _, n := range list[:published] {
		if dir := q.dir(n.Lane); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	for _, dir := range dirs {
		if syncErr := spool.SyncDir(dir); syncErr != nil {
			return 0, syncErr // the items are there, and may not outlive a power cut
		}
	}
	left := list[published:len(items)]
	if errors.Is(err, fs.ErrExist) {
		left = left[1:] // the event belongs to the item that is there
	}
	return published, errors.Join(err, q.retract(left))
}

// retract removes the events of items that were not published.
func (q *Queue) retract(list []New) error {
	var errs []error
	for _, n := range list {
		errs = append(errs, q.Events.Retract(event.Name(n.Item.ID, n.Item.Runs, event.TaskQueued)))
	}
	return errors.Join(errs...)
}
