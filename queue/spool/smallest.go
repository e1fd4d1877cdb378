package spool

import (
	"container/heap"
	"iter"
	"slices"
	"sort"
)

// Smallest yields the names in sorted order. The first ones cost little, however many names there are. It reorders the slice, so
// names cannot be used again.
func Smallest(names []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		few := len(names) / 16 // after so many names, to sort the rest is cheaper
		h := &smallest{names}
		heap.Init(h)
		for range few {
			if !yield(heap.Pop(h).(string)) {
				return
			}
		}
		slices.Sort(h.StringSlice)
		for _, name := range h.StringSlice {
			if !yield(name) {
				return
			}
		}
	}
}

// smallest is a heap of names.
type smallest struct{ sort.StringSlice }

func (h *smallest) Push(x any) { h.StringSlice = append(h.StringSlice, x.(string)) }

func (h *smallest) Pop() any {
	last := len(h.StringSlice) - 1
	name := h.StringSlice[last]
	h.StringSlice = h.StringSlice[:last]
	return name
}
