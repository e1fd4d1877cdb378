package settings

import (
	"fmt"
	"slices"
	"strings"
)

// Follow says what of a session's pull request becomes work for its agent: words separated by commas or blanks. The zero Follow is
// nothing, and so is none.
//
//	ci,review,conflict    failed checks, changes that a reviewer requests, a conflict with the base
//	ci,draft              failed checks, of drafts too
type Follow string

// The words of a Follow. Draft alone follows nothing.
const (
	FollowCI       = "ci"
	FollowReview   = "review"
	FollowConflict = "conflict"
	FollowDraft    = "draft"
)

// UnmarshalText reads the words. The error says how they are written.
func (f *Follow) UnmarshalText(text []byte) error {
	words := strings.FieldsFunc(string(text), func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
	if len(words) == 1 && words[0] == "none" {
		words = nil
	}
	for _, word := range words {
		if !slices.Contains([]string{FollowCI, FollowReview, FollowConflict, FollowDraft}, word) {
			return fmt.Errorf("%.40q is nothing to follow: write none, or some of ci, review, conflict, and draft for drafts too", word)
		}
	}
	if len(words) == 1 && words[0] == FollowDraft {
		return fmt.Errorf("draft alone follows nothing: write ci,draft")
	}
	*f = Follow(strings.Join(words, ","))
	return nil
}

// Has says whether a word is one of them.
func (f Follow) Has(word string) bool { return slices.Contains(strings.Split(string(f), ","), word) }
