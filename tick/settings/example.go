package settings

import (
	"fmt"
	"reflect"
	"strings"
)

// DefaultAgent returns the agent of new items where no setting names one.
func DefaultAgent() string {
	field, _ := reflect.TypeFor[Settings]().FieldByName("Agent")
	return field.Tag.Get("default")
}

// Example returns a config file. It sets the PATH of agents and, if it is not the default one, the agent. Every other setting is
// in it as a comment.
func Example(path, agent string) string {
	var b strings.Builder
	b.WriteString("# kugetsu: KEY=value. Nothing is expanded here: write paths out. The environment wins over this file.\n\n")
	fmt.Fprintf(&b, "# What runners, git, hooks and agents are given. cron's own PATH is poor.\nPATH='%s'\n", strings.ReplaceAll(path, "'", ""))
	for _, key := range Base[1:] {
		fmt.Fprintf(&b, "#%s=\n", key)
	}
	t := reflect.TypeFor[Settings]()
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		fmt.Fprintf(&b, "\n# %s\n", tag.Get("help"))
		if tag.Get("key") == "KUGETSU_AGENT" && agent != "" {
			fmt.Fprintf(&b, "KUGETSU_AGENT=%s\n", agent)
			continue
		}
		fmt.Fprintf(&b, "#%s=%s\n", tag.Get("key"), tag.Get("default"))
	}
	return b.String()
}
