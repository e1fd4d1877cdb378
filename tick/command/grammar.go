package command

import (
	"encoding/json"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"kugetsu/queue/fault"
)

// Grammar prints what the completions and the manual page are generated from: contrib/shell.
type Grammar struct {
	Parse bool `help:"Parse the command lines on stdin, a JSON list of lists of words, and print what is wrong with each."`
}

// Node is a command, or all of kugetsu.
type Node struct {
	Name     string `json:"name"`
	Help     string `json:"help"`
	Detail   string `json:"detail,omitempty"` // the long help
	Args     []Arg  `json:"args,omitempty"`
	Flags    []Flag `json:"flags,omitempty"`
	Commands []Node `json:"commands,omitempty"`
	Alone    bool   `json:"alone,omitempty"` // its last word is enough
}

// Arg is a positional argument.
type Arg struct {
	Usage string `json:"usage"` // "[<issue-ref>]"
	Help  string `json:"help"`
	Kind  string `json:"kind,omitempty"` // what kugetsu complete offers for it
}

// Flag is a flag of a command, or a setting.
type Flag struct {
	Name    string   `json:"name"`
	Short   string   `json:"short,omitempty"`
	Help    string   `json:"help"`
	Value   string   `json:"value,omitempty"` // what stands for its value; "" of a switch
	Values  []string `json:"values,omitempty"`
	Kind    string   `json:"kind,omitempty"` // what kugetsu complete offers for its value
	Default string   `json:"default,omitempty"`
	Key     string   `json:"key,omitempty"` // of a setting, its name in the environment and in the file config
}

// Run prints the grammar.
func (c *Grammar) Run(a *App, ctx *kong.Context) error {
	if c.Parse {
		return a.parseLines(ctx.Kong)
	}
	g := node(ctx.Model.Node)
	for i := range g.Commands {
		for j, c := range g.Commands[i].Commands {
			g.Commands[i].Commands[j].Alone = g.Commands[i].Name == "queue" && slices.ContainsFunc(ctx.Model.Children, func(n *kong.Node) bool { return n.Hidden && n.Name == c.Name })
		}
	}
	return a.printJSON(g)
}

// parseLines parses command lines, and runs none.
func (a *App) parseLines(parser *kong.Kong) error {
	var lines [][]string
	if err := json.NewDecoder(a.Stdin).Decode(&lines); err != nil {
		return fault.New(fault.Usage, `[["queue", "list"]] is one command line`, "%w", err)
	}
	parser.Exit, parser.Stdout, parser.Stderr = func(int) {}, io.Discard, io.Discard // --help prints, and exits
	wrong := make([]string, len(lines))
	for i, words := range lines {
		if _, err := parser.Parse(words); err != nil {
			wrong[i] = err.Error()
		}
	}
	return a.printJSON(wrong)
}

func node(n *kong.Node) Node {
	out := Node{Name: n.Name, Help: n.Help, Detail: n.Detail}
	for _, p := range n.Positional {
		out.Args = append(out.Args, Arg{Usage: p.Summary(), Help: p.Help, Kind: p.Tag.Get("complete")})
	}
	for _, f := range n.Flags {
		if f.Hidden && f.Tag.Get("key") == "" {
			continue
		}
		flag := Flag{Name: f.Name, Help: f.Help, Default: f.Default, Key: f.Tag.Get("key"), Kind: f.Tag.Get("complete")}
		if f.Short != 0 {
			flag.Short = string(f.Short)
		}
		if !f.IsBool() {
			flag.Value = f.FormatPlaceHolder()
		}
		// The tag "values" is for a flag whose command itself refuses other values, with a better message.
		flag.Values = slices.DeleteFunc(append(strings.Split(f.Tag.Get("values"), ","), f.EnumSlice()...),
			func(v string) bool { return v == "" })
		out.Flags = append(out.Flags, flag)
	}
	for _, child := range n.Children {
		if !child.Hidden {
			out.Commands = append(out.Commands, node(child))
		}
	}
	return out
}
