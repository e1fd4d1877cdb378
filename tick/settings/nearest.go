package settings

import (
	"slices"
	"strings"
)

// Misspelt returns the setting whose name differs from the given one in two letters at most, "" for none.
func Misspelt(name string) string {
	for _, key := range Keys() {
		if n := edits(name, key); n == 0 || n <= 2 && len(name) > 8 {
			return key
		}
	}
	return ""
}

// Nearest returns the setting that a name may mean, as a key or as a flag, "" for none.
func Nearest(name string) string { return nearest(name, Keys()) }

// nearest returns the key that a name may mean, "" for none: the key that has all its words, else the one that differs in a
// quarter of its letters at most. If two keys are equally near, it is none.
func nearest(name string, keys []string) string {
	name = strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	if slices.Contains(keys, name) {
		return name
	}
	best := func(cost func(key string) (int, bool)) (found string) {
		least := 0
		for _, key := range keys {
			switch n, ok := cost(key); {
			case !ok:
			case found == "" && least == 0 || n < least:
				found, least = key, n
			case n == least:
				found = ""
			}
		}
		return found
	}
	words := strings.Split(name, "_")
	if key := best(func(key string) (int, bool) {
		has := strings.Split(key, "_")
		for _, word := range words {
			if !slices.Contains(has, word) {
				return 0, false
			}
		}
		return len(has) - len(words) + 1, len(words) > 1
	}); key != "" {
		return key
	}
	return best(func(key string) (int, bool) {
		n := edits(name, key)
		return n, n <= max(len(key), len(name))/4
	})
}

// edits counts the letters to insert, delete or change to turn one word into another.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := before
			if a[i] != b[j] {
				change++
			}
			before, row[j+1] = row[j+1], min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
