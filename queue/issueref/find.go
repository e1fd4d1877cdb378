package issueref

import (
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"

	"kugetsu/queue/pattern"
)

// labelledURL matches a URL right after a word and a colon or an equals sign, as in "Issue:https://…".
// The short form is not split there: git@host:owner/repo#1 would get the wrong host.
var labelledURL = pattern.Lazy(`^[A-Za-z]+[:=]((?i:https?)://.*)$`)

// Find returns the different references in a text, in order of appearance. Two are the same where
// their Session is the same; the first spelling is kept.
//
// A reference must stand free. Brackets, quotes, commas and the punctuation that ends a sentence may touch it; a word or a further
// piece of a path may not. Words that Parse refuses are passed over, and so are tasks, since a#b may mean anything. No reference is
// searched for inside a URL. below is as for Parse.
func Find(text, defaultHost string, below ...string) []Ref {
	var refs []Ref
	seen := make(map[string]bool)
	for chunk := range chunks(text) {
		// A comma may separate two references or belong to a URL. After a URL that is no reference, only another URL counts, until
		// the first one surely ends.
		inURL := false
		for piece := range strings.FieldsFuncSeq(chunk, separates) {
			isURL := strings.Contains(piece, "://")
			if !isURL && (inURL || !strings.Contains(piece, "#")) {
				continue
			}
			ref, err := Parse(strip(piece), defaultHost, below...)
			if err != nil || ref.Task != "" {
				inURL = isURL
				continue
			}
			inURL = false
			if !seen[ref.Session()] {
				seen[ref.Session()] = true
				refs = append(refs, ref)
			}
		}
	}
	return refs
}

// bracketed matches an IPv6 address in the place of a host.
var bracketed = pattern.Lazy(`^\[[0-9A-Fa-f:]*:[0-9A-Fa-f:]*\](?::[0-9]+)?/`)

// chunks splits a text at the characters that end a URL. The brackets of an IPv6 address do not end one.
func chunks(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		from, skip := 0, 0
		for i, r := range text {
			if i < skip || !endsURL(r) {
				continue
			}
			if r == '[' {
				if skip = i + len(bracketed().FindString(text[i:])); skip > i {
					continue
				}
			}
			if i > from && !yield(text[from:i]) {
				return
			}
			from = i + utf8.RuneLen(r)
			if r == utf8.RuneError { // one byte that is not UTF-8, or U+FFFD itself, which has three
				_, size := utf8.DecodeRuneInString(text[i:])
				from = i + size
			}
		}
		if from < len(text) {
			yield(text[from:])
		}
	}
}

// endsURL reports whether r is part of neither a URL nor a word, so that both end before it.
func endsURL(r rune) bool {
	if r <= unicode.MaxASCII {
		return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune("\"`<>[]{})|*", r)
	}
	// Scripts without case (Japanese, Chinese, Thai …) put no space between a reference and the
	// words around it, so their letters end it. Letters with case, and digits, are part of a word.
	return !unicode.IsUpper(r) && !unicode.IsLower(r) && !unicode.IsDigit(r)
}

// separates reports whether r separates two references, although it may stand in a URL.
func separates(r rune) bool {
	return strings.ContainsRune("(,;", r)
}

// strip removes from a piece of text the punctuation that may touch a reference. At the start that
// is only a quote: without its first character .github/x#1 would be another repository.
func strip(piece string) string {
	piece = strings.TrimLeft(piece, "'")
	piece, _, _ = strings.Cut(piece, "'") // a closing quote, or the genitive of owner/repo#1's
	if m := labelledURL().FindStringSubmatch(piece); m != nil {
		piece = m[1]
	}
	return strings.TrimRight(piece, ".:!?")
}
