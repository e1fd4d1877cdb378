package session

import (
	"errors"
	"fmt"
	"strconv"

	"kugetsu/queue"
	"kugetsu/queue/event"
	"kugetsu/queue/issueref"
	"kugetsu/queue/spool"
	"kugetsu/slots/forge"
)

// A request is stuck if an item was made of its news, that item or a later one of the session has ended, nothing was pushed since, and the
// news still stands. No further item is made of the same news, so the request needs a person. The steps are
//
//	read how the last item ended  before the forge is asked, so that the answer is of a time after that end
//	ask the forge                 one answer is not enough: a forge may be slow to show a push
//	first look: write Stood       into the record. After a crash before this write the next pass looks anew
//	second look: put the event    needs_human, under a name that is made of the news, the item and its run, so that it exists once
//	write Needs                   into the record. A crash before this write leaves Stood: the next pass puts the event under the same name
//
// No clock takes part. If a look finds another head, other news or another end, the count of looks begins anew.

// Stood is news that still stands after the last item of its session ended.
type Stood struct {
	Kind event.Type `json:"kind"`
	News string     `json:"news"` // its fingerprint
	End
}

// End is how the last item of a session ended. The zero End means that the item has not ended, or that this is not known.
type End struct {
	Item string `json:"item"`
	Run  int    `json:"run"` // the number of its newest run; 0 if no run is known
	How  How    `json:"how"`
}

// How is how an item ended.
type How string

// The ways to end. An error is a need of its own while the item's file exists. A person who cancels an item has decided.
const (
	completed How = "completed"
	errored   How = "error"
	cancelled How = "cancelled"
	cleared   How = "cleared" // the item's file is gone
)

// vain says whether a request that still stands after this end needs a person.
func (e End) vain() bool { return e.How == completed || e.How == cleared }

// before reads the intents of a request that is followed, and how its last item ended. It is called before the forge is asked.
func (k *Keeper) before(q *question) (err error) {
	if q.made, err = k.intents(q.name); err != nil {
		return err
	}
	q.end, err = k.lastEnd(q)
	return err
}

// lastEnd is how the last item of a session ended: the item of the last run there or, if that is newer, an item of an intent.
func (k *Keeper) lastEnd(q *question) (End, error) {
	id := q.session.LastItem
	for _, one := range q.made {
		if one.Published != nil {
			id = max(id, one.Item) // ids sort by time
		}
	}
	if id == "" {
		return End{}, nil
	}
	var it *queue.Item
	e, err := k.Queue.Find(id)
	if err == nil {
		it, err = k.Queue.Load(e)
	}
	switch {
	case errors.Is(err, spool.ErrNewer):
		return End{}, nil
	case queue.IsAbsent(err), errors.Is(err, spool.ErrBad):
		return q.clearedEnd(id), nil
	case err != nil:
		return End{}, err
	case it.Cancelled():
		return End{id, it.Runs, cancelled}, nil
	case it.State == queue.Errored:
		return End{id, it.Runs, errored}, nil
	case it.State == queue.Completed:
		return End{id, it.Runs, completed}, nil
	}
	return End{}, nil
}

// clearedEnd is the end of an item whose file is gone, perhaps by its age. An item that an earlier look found cancelled stays cancelled.
func (q *question) clearedEnd(id string) End {
	end := End{Item: id, How: cleared}
	if f := q.Followed; f != nil && f.Stood != nil && f.Stood.Item == id {
		end.Run = f.Stood.Run
		if f.Stood.How == cancelled {
			end.How = cancelled
		}
	}
	return end
}

// stands records the first news of a list that still stands after the last item ended, and says whether an earlier look found the same.
func (q *question) stands(rep forge.Report, list []news) (n news, again bool) {
	f := q.Followed
	was := f.Stood
	if q.end.How != "" {
		for _, n := range list {
			one := q.made[n.fingerprint(q.name, q.URL)]
			// The fingerprints of the other kinds have the head. A review stands until the reviewer reviews again.
			if one.Published == nil || n.kind == event.ChangesWanted && one.Head != rep.Head {
				continue
			}
			is := Stood{n.kind, n.fingerprint(q.name, q.URL), q.end}
			if again = was != nil && was.News == is.News && was.Item == is.Item && was.Run == is.Run; !again || !q.end.vain() {
				f.unstuck()
			}
			f.Stood = &is
			return n, again
		}
	}
	// While checks run again, or the forge computes, it is not known whether the news is gone.
	if was == nil || was.End != q.end || !(was.Kind == event.CIFailed && f.Running || was.Kind == event.Conflict && rep.Merge == forge.MergeUnknown) {
		f.unstuck()
	}
	return news{}, false
}

// unstuck forgets the news that stood, and that the request needs a person for it.
func (f *Followed) unstuck() {
	if f.Stood = nil; f.Needs != nil && f.Needs.Item != "" {
		f.Needs = nil
	}
}

// needStuck puts the event that a request needs a person, once: the last item ended, and the news still stands.
func (k *Keeper) needStuck(q *question, n news) error {
	ref, err := issueref.FromSession(q.name)
	if err != nil {
		return err
	}
	// A person may have enqueued something while the forge was asked.
	if _, live, err := k.live(ref); err != nil || len(live) > 0 {
		return err
	}
	why := fmt.Sprintf("%s, and its agent pushed nothing (task %s)", n.still, q.end.Item)
	mark := []string{n.fingerprint(q.name, q.URL), q.end.Item, strconv.Itoa(q.end.Run)}
	return k.needHuman(q, news{what: why, mark: mark}, Needs{Why: why, Item: q.end.Item})
}
