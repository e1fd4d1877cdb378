package queue

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestShortenedIDIsItsShortestUniqueEnd(t *testing.T) {
	for _, tt := range []struct{ ids, want []string }{
		{nil, nil},
		{[]string{"q_000aaaa"}, []string{"aaaa"}},
		{[]string{"q_000aaaa", "q_000aaab"}, []string{"aaaa", "aaab"}},
		{[]string{"q_0001aaa", "q_0002aaa", "q_0012aaa"}, []string{"1aaa", "02aaa", "12aaa"}},
		{[]string{"q_000aaaa", "q_000aaaa"}, []string{"aaaa", "aaaa"}},
	} {
		ends := NewEnds(tt.ids)
		for i, id := range tt.ids {
			if short, known := ends.Short(id); !known || short != tt.want[i] {
				t.Errorf("%s of %v is %q, want %q", id, tt.ids, short, tt.want[i])
			}
		}
	}
	if _, known := NewEnds([]string{"q_000aaaa"}).Short("q_001aaaa"); known {
		t.Error("an id that is not there is known")
	}
}

func TestShortenedIDFindsItsItem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ids []string
		for range rapid.IntRange(1, 40).Draw(t, "items") {
			id := NewID(time.UnixMilli(1))
			if rapid.Bool().Draw(t, "alike") { // an end like that of another
				id = id[:20] + strings.Repeat(rapid.StringMatching(`[0-2]`).Draw(t, "letter"), len(id)-20)
			}
			ids = append(ids, id)
		}
		ends := NewEnds(ids)
		for _, id := range ids {
			short, _ := ends.Short(id)
			for _, other := range ids {
				if other != id && strings.HasSuffix(other, short) {
					t.Fatalf("%q is the end of %s and of %s", short, id, other)
				}
			}
			if len(short) < leastEnd || !strings.HasSuffix(id, short) {
				t.Fatalf("%q for %s", short, id)
			}
		}
	})
}
