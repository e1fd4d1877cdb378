package command

import (
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// permute moves the flags of a command line before its other words, as GNU's getopt_long does: kong takes no flag and no -- between
// two words of a message. A command line that it does not understand stays as it is, for kong to say what is wrong with it.
func permute(model *kong.Node, args []string) []string {
	var path, flags, words []string
	node, known := model, model.Flags
	for n := 0; n < len(args); n++ {
		arg := args[n]
		switch {
		case arg == "--":
			words, n = append(words, args[n+1:]...), len(args)
		case len(arg) > 1 && arg[0] == '-':
			flags = append(flags, arg)
			switch value, found := wantsValue(known, arg); {
			case !found, value && n+1 == len(args):
				return args
			case value:
				n++
				flags = append(flags, args[n])
			}
		default:
			child := childOf(node, arg)
			if len(words) > 0 || child == nil {
				words = append(words, arg)
				continue
			}
			node, known, path = child, append(known[:len(known):len(known)], child.Flags...), append(path, arg)
		}
	}
	if len(words) == 0 || len(node.Positional) == 0 {
		return args
	}
	return slices.Concat(path, flags, []string{"--"}, words)
}

// childOf is the command of a name below another, nil if there is none.
func childOf(node *kong.Node, name string) *kong.Node {
	for _, child := range node.Children {
		if child.Name == name || slices.Contains(child.Aliases, name) {
			return child
		}
	}
	return nil
}

// wantsValue says whether the next word is the value of a flag, and whether the flag is known.
func wantsValue(flags []*kong.Flag, arg string) (value, known bool) {
	name, long := strings.CutPrefix(arg, "--")
	name, _, given := strings.Cut(name, "=")
	for _, f := range flags {
		simple := f.IsBool() || f.IsCounter()
		switch {
		case long && (f.Name == name || slices.Contains(f.Aliases, name)):
			return !simple && !given, true
		case long && simple && name == "no-"+f.Name:
			return false, true
		case !long && f.Short != 0 && strings.HasPrefix(arg, "-"+string(f.Short)):
			// -f FILE, -fFILE, -f. kong splits a word with several flags.
			return !simple && len(arg) == len("-")+len(string(f.Short)), !simple || len(arg) == len("-")+len(string(f.Short))
		}
	}
	return false, false
}
