package built

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kugetsu/slots/agent"
)

// WithoutAgents leaves out of a PATH the folders in which this machine has agents; not those in which git is, too. What init and doctor find
// must not depend on that, and they ask each agent for its version: that takes some of them seconds of the processor.
func WithoutAgents(path string) string {
	holds := func(dir string) func(string) bool {
		return func(name string) bool {
			_, err := os.Stat(filepath.Join(dir, name))
			return err == nil
		}
	}
	return strings.Join(slices.DeleteFunc(filepath.SplitList(path), func(dir string) bool {
		return slices.ContainsFunc(agent.Names(), holds(dir)) && !holds(dir)("git")
	}), string(os.PathListSeparator))
}
