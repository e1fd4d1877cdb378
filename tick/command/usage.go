package command

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"kugetsu/queue/fault"
	"kugetsu/tick/settings"
)

// Help prints the help of kugetsu or of a command.
type Help struct {
	Words []string `arg:"" optional:"" name:"command" help:"The command."`
}

// Run prints it.
func (c *Help) Run(_ *App, ctx *kong.Context) error {
	_, err := ctx.Kong.Parse(append(c.Words, "--help")) // kong prints, and exits
	if err != nil {
		if unhelped(ctx.Kong) != nil {
			return unhelped(ctx.Kong)
		}
		return usage(ctx.Model, c.Words, err)
	}
	return nil
}

// otherWords are words that people type for a command of another name, by the command that they stand behind. Below a group they mean
// what the group is about: below kugetsu queue an item, and never a command that takes work away.
var otherWords = map[string]map[string]string{
	"kugetsu": {
		"add": "delegate", "run": "delegate", "new": "delegate", "submit": "delegate",
		"ps": "status", "top": "status", "watch": "status --watch", "info": "show", "kill": "queue cancel", "stop": "pause", "unpause": "resume",
		"daemon": "queue-daemon", "cron": "queue-daemon", "rm": "destroy", "remove": "destroy", "delete": "destroy", "events": "notify list",
		"follow": "logs", "tail": "logs", "restart": "queue retry", "check": "doctor", "setup": "init", "stats": "queue stats",
		"priority": "queue priority", "enqueue": "queue enqueue",
	},
	"queue": {
		"rm": "queue cancel", "remove": "queue cancel", "del": "queue cancel", "delete": "queue cancel", "destroy": "queue cancel",
		"kill": "queue cancel", "stop": "queue cancel", "prune": "queue clear", "purge": "queue clear", "clean": "queue clear", "info": "queue show",
	},
	"queue-daemon": {
		"rm": "queue-daemon stop", "remove": "queue-daemon stop", "delete": "queue-daemon stop", "kill": "queue-daemon stop",
		"uninstall": "queue-daemon stop", "install": "queue-daemon start", "ls": "queue-daemon status", "list": "queue-daemon status",
		"show": "queue-daemon status", "info": "queue-daemon status", "check": "queue-daemon status",
	},
	"notify": {
		"ls": "notify list", "show": "notify list", "info": "notify list", "rm": "notify clear", "remove": "notify clear", "delete": "notify clear",
	},
}

// harmless are the names of commands that only show something.
var harmless = []string{"status", "list", "show", "logs", "stats", "digest"}

// examples stand for the arguments of a command in the example that a hint shows.
var examples = map[string]string{
	"id": "owner/repo#12", "issue-ref": "owner/repo#12", "message": `"what to do"`, "id-and-priority": "owner/repo#12 10",
	"url": "https://github.com/owner/repo/pull/12", "ref": "refs/kugetsu/...",
}

// usage makes an error of exit code 80 of what kong says is wrong with the words of a command line. The hint is what to
// type next.
func usage(root *kong.Application, args []string, err error) error {
	var parse *kong.ParseError
	if !errors.As(err, &parse) {
		return fault.New(fault.Usage, "kugetsu --help", "%w", err)
	}
	at := root.Node
	for _, p := range parse.Context.Path {
		// The default command, which no word chose, is not what was meant.
		if p.Command != nil && (p.Command != root.DefaultCmd || firstWord(args) == p.Command.Name) {
			at = p.Command
		}
	}
	path := words(at)
	help := path + " --help shows what there is"
	text := parse.Error()
	word, unexpected := strings.CutPrefix(text, "unexpected argument ")
	word, _, _ = strings.Cut(word, ", did you mean")
	_, missing := strings.CutPrefix(text, `expected "`)
	switch {
	case unexpected && at.Parent == nil && strings.ContainsAny(word, " #"): // an issue, or what is to be done about one
		help = `kugetsu delegate owner/repo#12 "what to do" enqueues a task, kugetsu show owner/repo#12 shows one`
		return fault.New(fault.Usage, help, "%s has no command %q", path, clip(word))
	case unexpected && len(at.Children) > 0:
		if near := nearest(root.Node, at, word); near != "" {
			help = "did you mean " + near + "?"
		}
		return fault.New(fault.Usage, help, "%s has no command %q", path, clip(word))
	case unexpected:
		return fault.New(fault.Usage, path+" --help; put quotes around what has spaces", "%s takes no argument %q", path, clip(word))
	case strings.HasPrefix(text, "expected one of"):
		var names []string
		for _, child := range at.Children {
			if !child.Hidden {
				names = append(names, child.Name)
			}
		}
		return fault.New(fault.Usage, path+" --help says what they do", "%s needs one of its commands: %s", path, strings.Join(names, ", "))
	case missing:
		example := path
		takesMessage := false
		for _, p := range at.Positional {
			if p.Required {
				example += " " + examples[p.Name]
			}
			takesMessage = takesMessage || p.Name == "message"
		}
		if takesMessage && dashed(args) {
			example += "; put -- before a message that begins with -"
		}
		return fault.New(fault.Usage, example, "%s needs %s", path, strings.NewReplacer(`"`, "", " ...", "...").Replace(strings.TrimPrefix(text, "expected ")))
	}
	if strings.HasPrefix(text, "unknown flag ") {
		if flag := strings.TrimPrefix(text, "unknown flag "); !strings.HasPrefix(flag, "--") {
			text, _, _ = strings.Cut(text, ", did you mean") // of one letter, any other is near
			if name := beginsWith(at, strings.TrimPrefix(text, "unknown flag -")); name != "" {
				text += ", did you mean \"--" + name + "\"?"
			}
		}
		if flag, long := strings.CutPrefix(text, "unknown flag --"); long && !strings.Contains(flag, ", did you mean") {
			if name := settingFlag(at, flag); name != "" {
				text += ", did you mean \"--" + name + "\"?"
			}
		}
		if slices.ContainsFunc(at.Positional, func(p *kong.Positional) bool { return p.Name == "message" }) {
			help += "; put -- before a message that begins with -"
		}
	}
	if flag := flagOf(at, text); flag != nil {
		if strings.HasSuffix(text, `value but got "EOL" (<EOL>)`) {
			text = "--" + flag.Name + " needs a value"
		}
		help = "--" + flag.Name + ": " + strings.TrimSuffix(flag.Help, ".")
	}
	return fault.New(fault.Usage, help, "%s", strings.Replace(text, `must be one of "",`, "must be one of ", 1))
}

// beginsWith is the only flag of a command that begins with a letter, "" where there are none or several.
func beginsWith(at *kong.Node, letter string) (name string) {
	for _, flag := range at.Flags {
		switch {
		case flag.Hidden || !strings.HasPrefix(flag.Name, letter):
		case name != "":
			return ""
		default:
			name = flag.Name
		}
	}
	return name
}

// settingFlag is the flag of the setting that the name of a flag may mean, "" for none. They are found as in the file config.
func settingFlag(at *kong.Node, like string) string {
	key := settings.Nearest(like)
	for _, flags := range at.AllFlags(false) {
		for _, flag := range flags {
			if key != "" && flag.Tag.Get("key") == key {
				return flag.Name
			}
		}
	}
	return ""
}

// flagOf is the flag whose value an error refuses, nil for none.
func flagOf(at *kong.Node, text string) *kong.Flag {
	for _, flags := range at.AllFlags(false) {
		for _, flag := range flags {
			if strings.HasPrefix(text, "--"+flag.Name+": ") {
				return flag
			}
		}
	}
	return nil
}

// words are what to type for a command.
func words(n *kong.Node) string {
	if n.Parent == nil {
		return n.Name
	}
	return words(n.Parent) + " " + n.Name
}

// firstWord is the first word of a command line that is no flag.
func firstWord(args []string) string {
	for _, arg := range args {
		if !strings.HasPrefix(arg, "-") {
			return arg
		}
	}
	return ""
}

// dashed says whether a word begins with a dash.
func dashed(args []string) bool {
	return slices.ContainsFunc(args, func(s string) bool { return strings.HasPrefix(s, "-") })
}

// nearest is the command, with all of its words, that a word may mean that is no command of at; "" when none is near. The
// order is from the surer to the weaker: a word for another command, the beginning of a name, a name that stands elsewhere, a misspelling.
// What is typed behind a group is sought in the group first.
func nearest(root, at *kong.Node, word string) string {
	word = strings.ToLower(word)
	if other := otherWords[at.Name][word]; other != "" {
		return root.Name + " " + other
	}
	if name := completion(at, word); name != "" {
		return name
	}
	if at != root {
		if other := otherWords[root.Name][word]; other != "" {
			return root.Name + " " + other
		}
		if name := completion(root, word); strings.HasSuffix(name, " "+word) {
			return name
		}
		if name := misspelt(at, word); name != "" {
			return name
		}
	}
	return cmp.Or(completion(root, word), misspelt(root, word))
}

// completion is the command below n whose name begins with a word, "" when there is none. Of several it is the shortest that only shows
// something. Where all of them change something, a guess might do what was not meant.
func completion(n *kong.Node, word string) string {
	var found []*kong.Node
	for _, child := range n.Children {
		if !child.Hidden && len(word) > 1 && slices.ContainsFunc(names(child), func(name string) bool { return strings.HasPrefix(name, word) }) {
			found = append(found, child)
		}
	}
	if len(found) > 1 {
		found = slices.DeleteFunc(found, func(n *kong.Node) bool { return !slices.Contains(harmless, n.Name) })
		if len(found) == 0 {
			return ""
		}
	}
	if len(found) > 0 {
		return words(slices.MinFunc(found, func(a, b *kong.Node) int { return len(a.Name) - len(b.Name) }))
	}
	for _, child := range n.Children {
		if name := completion(child, word); name != "" {
			return name
		}
	}
	return ""
}

// misspelt is the command below n that differs in the fewest letters from a word, "" when none is near. A word for a command counts as its
// name does: "unpase" is nearer to unpause than to pause.
func misspelt(n *kong.Node, word string) string {
	best, least := "", 3
	if len(word) < 4 {
		least = 2
	}
	try := func(name, command string) {
		if d := distance(word, name); d < least {
			best, least = command, d
		}
	}
	var walk func(n *kong.Node)
	walk = func(n *kong.Node) {
		for _, child := range n.Children {
			if child.Hidden {
				continue
			}
			for _, name := range names(child) {
				try(name, words(child))
			}
			walk(child)
		}
	}
	walk(n)
	others := otherWords[n.Name]
	for _, other := range slices.Sorted(maps.Keys(others)) {
		try(other, "kugetsu "+others[other])
	}
	return best
}

// names are what a command may be called: its name, its aliases, and what stands behind the dash.
func names(n *kong.Node) []string {
	names := append([]string{n.Name}, n.Aliases...)
	if _, last, dash := strings.Cut(n.Name, "-"); dash {
		names = append(names, last)
	}
	return names
}

// distance is how many letters must be put in, taken out, changed or swapped with the next one to make b of a.
func distance(a, b string) int {
	before, last := []int(nil), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
