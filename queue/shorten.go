package queue

import (
	"slices"
	"strings"
)

// leastEnd is how many letters of an id a shortened one has at least.
const leastEnd = 4

// Shorten maps each id to its shortest end that no other has, as git shortens hashes. Ids differ at their ends: all ids of a
// minute begin alike.
func Shorten(ids []string) map[string]string {
	sorted := slices.Clone(ids)
	slices.SortFunc(sorted, compareEnds)
	sorted = slices.Compact(sorted)
	short := make(map[string]string, len(sorted))
	for i, id := range sorted {
		n := leastEnd
		if i > 0 {
			n = max(n, sameEnd(id, sorted[i-1])+1)
		}
		if i+1 < len(sorted) {
			n = max(n, sameEnd(id, sorted[i+1])+1)
		}
		short[id] = id[max(0, len(id)-n):]
	}
	return short
}

// compareEnds orders by the last letter, then by the one before it.
func compareEnds(a, b string) int {
	for n := 1; n <= min(len(a), len(b)); n++ {
		if x, y := a[len(a)-n], b[len(b)-n]; x != y {
			return int(x) - int(y)
		}
	}
	return len(a) - len(b)
}

// sameEnd is how many letters two ids have in common at their ends.
func sameEnd(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[len(a)-1-n] == b[len(b)-1-n] {
		n++
	}
	return n
}

// endsIn leaves the entries whose ids end in a word of some length, where there are any: what was shown as the end of an id
// means that id, also where it stands in the middle of another.
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
