package queue

import (
	"slices"
	"strings"

	"kugetsu/queue/spool"
)

// leastEnd is how many letters of an id a shortened one has at least.
const leastEnd = 4

// Ends shortens ids to their shortest ends that no other has, as git shortens hashes. Ids differ at their ends: all ids of a minute
// begin alike.
type Ends struct {
	alike map[string][]string // ids by their last letters: only these need to be compared
}

// alikeEnd is how many letters ids have in common that are compared: of 50,000 ids fifty.
const alikeEnd = 2

// NewEnds takes all ids that there are.
func NewEnds(ids []string) Ends {
	e := Ends{alike: map[string][]string{}}
	for _, id := range ids {
		e.Add(id)
	}
	return e
}

// Add adds an id that is new.
func (e Ends) Add(id string) {
	end := id[max(0, len(id)-alikeEnd):]
	e.alike[end] = append(e.alike[end], id)
}

// Short is the end of an id; false where the id is none of those that there are.
func (e Ends) Short(id string) (short string, known bool) {
	n := leastEnd
	for _, other := range e.alike[id[max(0, len(id)-alikeEnd):]] {
		if other == id {
			known = true
		} else {
			n = max(n, sameEnd(id, other)+1)
		}
	}
	return id[max(0, len(id)-n):], known
}

// IDs lists the ids of all items, in any order; one that was moved meanwhile may be there twice, or be missing.
func (q *Queue) IDs() ([]string, error) {
	var ids []string
	for _, dir := range []string{q.Items, q.PM, q.Finished} {
		names, err := spool.Unsorted(dir)
		if err != nil {
			return nil, err
		}
		ids = slices.Grow(ids, len(names))
		for _, name := range names {
			if e, ok := parseName(name); ok {
				ids = append(ids, e.ID)
			}
		}
	}
	return ids, nil
}

// sameEnd is how many letters two ids have in common at their ends.
func sameEnd(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[len(a)-1-n] == b[len(b)-1-n] {
		n++
	}
	return n
}

// endsIn leaves the entries whose ids end in a word of some length, if there are any. A word that was shown as the end of an id
// means that id, even if another id has the word in its middle.
func endsIn(word string, found []Entry) []Entry {
	var ends []Entry
	for _, e := range found {
		if strings.HasSuffix(e.ID, word) {
			ends = append(ends, e)
		}
	}
	if len(word) < leastEnd || len(ends) == 0 {
		return found
	}
	return ends
}
