// Package pattern has regular expressions that cost nothing until they are used. Every command starts the whole program, and
// few commands need more than a few of its expressions: to compile all of them takes as long as a small command.
package pattern

import (
	"regexp"
	"sync"
)

// Lazy is a regular expression that is compiled at its first use.
func Lazy(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}
