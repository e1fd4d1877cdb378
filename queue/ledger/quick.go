package ledger

import (
	"strconv"
	"strings"
	"time"

	"kugetsu/queue/outcome"
)

// quick reads a line as this version writes it: the fields in their order, the text without escapes. It returns false for every
// other line. Such a line may be a record all the same, which package json decides. The reason for quick is that package json takes
// ten times as long, while the statistics read a year of runs, and each pass reads a day of them.
func (r *Run) quick(line string) bool {
	c := cursor{rest: line}
	c.word(`{"v":` + strconv.Itoa(Version) + `,"run":"`)
	r.V, r.Name = Version, c.text()
	if c.has(`,"issue_ref":"`) {
		r.IssueRef = c.text()
	}
	c.word(`,"agent":"`)
	r.Agent = c.text()
	if c.has(`,"slot":"`) {
		r.Slot = c.text()
	}
	c.word(`,"notified_at":"`)
	r.NotifiedAt = c.time()
	c.word(`,"ended_at":"`)
	r.EndedAt = c.time()
	c.word(`,"waited_seconds":`)
	r.Waited = c.float()
	if c.has(`,"ran_seconds":`) {
		ran := c.float()
		r.Ran = &ran
	}
	c.word(`,"outcome":"`)
	r.Outcome = c.text()
	c.word(`,"state":"`)
	r.State = c.text()
	if c.has(`,"cost":{`) {
		r.Cost = c.cost()
	}
	if c.has(`,"peak_memory_bytes":`) {
		r.PeakMemory = c.integer()
	}
	c.word("}")
	return !c.failed && c.rest == ""
}

// cursor reads a line from its beginning.
type cursor struct {
	rest   string
	failed bool
}

// has reads a word, if it comes next.
func (c *cursor) has(word string) (there bool) {
	c.rest, there = strings.CutPrefix(c.rest, word)
	return there
}

// word reads a word that must come next.
func (c *cursor) word(word string) {
	if !c.has(word) {
		c.failed = true
	}
}

// text reads a string to its end, and the quote behind it.
func (c *cursor) text() string {
	for i := range len(c.rest) {
		switch b := c.rest[i]; {
		case b == '"':
			text := c.rest[:i]
			c.rest = c.rest[i+1:]
			return text
		case b < ' ' || b > '~' || b == '\\':
			c.failed = true
			return ""
		}
	}
	c.failed = true
	return ""
}

// time reads a time in UTC.
func (c *cursor) time() time.Time {
	text := c.text()
	t, err := time.Parse(time.RFC3339, text)
	if n := len(text); err != nil || n < 20 || n > 20 && text[19] != '.' || text[n-1] != 'Z' || text[10] != 'T' || text[13] != ':' {
		c.failed = true
	}
	return t
}

// digits reads the digits that come next: one at least.
func (c *cursor) digits() string {
	n := 0
	for n < len(c.rest) && c.rest[n] >= '0' && c.rest[n] <= '9' {
		n++
	}
	text := c.rest[:n]
	c.rest = c.rest[n:]
	c.failed = c.failed || n == 0
	return text
}

// whole reads an integer as JSON has it, without a sign.
func (c *cursor) whole() string {
	text := c.digits()
	c.failed = c.failed || len(text) > 1 && text[0] == '0' || len(text) > 18
	return text
}

func (c *cursor) integer() int64 {
	n, err := strconv.ParseInt(c.whole(), 10, 64)
	c.failed = c.failed || err != nil
	return n
}

func (c *cursor) float() float64 {
	all := c.rest
	c.whole()
	if c.has(".") {
		c.digits()
	}
	f, err := strconv.ParseFloat(all[:len(all)-len(c.rest)], 64)
	c.failed = c.failed || err != nil
	return f
}

// cost reads the fields of a cost that are there, and the brace behind them.
func (c *cursor) cost() *outcome.Cost {
	cost := &outcome.Cost{}
	first := true
	field := func(name string) bool {
		if !first {
			name = "," + name
		}
		if !c.has(name) {
			return false
		}
		first = false
		return true
	}
	if field(`"usd":`) {
		cost.USD = c.float()
	}
	for _, f := range []struct {
		name string
		to   *int64
	}{{`"input_tokens":`, &cost.Input}, {`"output_tokens":`, &cost.Output}, {`"reasoning_tokens":`, &cost.Reasoning},
		{`"cache_read_tokens":`, &cost.CacheRead}, {`"cache_write_tokens":`, &cost.CacheWrite}} {
		if field(f.name) {
			*f.to = c.integer()
		}
	}
	c.word("}")
	return cost
}
