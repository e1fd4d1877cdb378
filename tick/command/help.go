package command

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"kugetsu/queue/fault"
)

// codes are what the exit codes of a command mean.
type codes map[int]string

// common are the exit codes that every command may have.
var common = codes{
	fault.Unsafe: "the state folder, or the queue, is not safely yours",
	fault.Config: "the configuration is bad",
	fault.Usage:  "the command line is wrong, or a reference in it fits several",
}

// longHelp makes the long help of a command: what it does, its exit codes, examples. --help and the manual page show it.
func longHelp(text string, own codes, examples ...string) string {
	all := maps.Clone(common)
	maps.Copy(all, own)
	var b strings.Builder
	b.WriteString(strings.TrimSpace(text) + "\n\nExit codes:\n\n")
	for _, code := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, "  %2d  %s\n", code, all[code])
	}
	b.WriteString("\nExamples:\n\n")
	for _, line := range examples {
		b.WriteString("  " + line + "\n")
	}
	return b.String()
}
