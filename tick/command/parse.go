package command

import (
	"cmp"
	"os"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/alecthomas/kong"

	"kugetsu/queue/fault"
	"kugetsu/tick/settings"
)

// parse finds the command that the arguments name, and sets its fields and those of the settings.
func parse(grammar any, globals *Globals, source *settings.Source, args []string) (*kong.Context, error) {
	for n, arg := range args {
		if !utf8.ValidString(arg) { // kong passes words through JSON, which would replace the bytes without an error
			return nil, fault.New(fault.Usage, "convert it with iconv, or put it into a file and name the file", "argument %d is not valid UTF-8", n+1)
		}
	}
	// Building the whole grammar takes longer than most commands do. The whole grammar is needed to say what is wrong with a command line.
	if parser, settled := narrow(grammar, globals, source, args); parser != nil {
		kctx, err := parser.Parse(permute(parser.Model.Node, args))
		if err == nil {
			if !settled {
				source.Fill(&globals.Settings)
			}
			return kctx, emptied(kctx)
		}
		if unhelped(parser) != nil {
			return nil, unhelped(parser)
		}
	}
	parser, err := newParser(grammar, source)
	if err != nil {
		return nil, err
	}
	kctx, err := parser.Parse(permute(parser.Model.Node, args))
	if err != nil {
		return nil, cmp.Or(unhelped(parser), usage(parser.Model, args, err))
	}
	return kctx, emptied(kctx)
}

// emptied refuses a flag or a word of the command that is there and empty. In a script a variable is unset then, and the command would
// do something else than what was meant: begin another task, show another item, write the page elsewhere. The settings are left out: an
// empty one is none, as in the file config. The beginning of a word, for the completions, may be empty, too.
func emptied(kctx *kong.Context) error {
	for _, p := range kctx.Path {
		switch {
		case p.Flag != nil && (p.Flag.Tag.Get("key") == "" || p.Flag.Tag.Get("key") == "AGENT_ARGS" && takes(kctx)) && blank(p.Flag.Target, false):
			return fault.New(fault.Usage, "leave it out, or write --"+p.Flag.Name+" "+p.Flag.FormatPlaceHolder()+"; in a script, is its variable set?", "--%s is empty", p.Flag.Name)
		case p.Positional != nil && !p.Positional.Tag.Has("begins") && blank(p.Positional.Target, p.Positional.Name == "message"):
			return fault.New(fault.Usage, "in a script, is its variable set?", "the %s is empty", p.Positional.Name)
		}
	}
	return nil
}

// takes says whether the command has --agent-args for an item, and not as a setting.
func takes(kctx *kong.Context) bool {
	_, ok := kctx.Selected().Target.Addr().Interface().(interface {
		take(*settings.Source, *settings.Settings)
	})
	return ok
}

// blank says whether a text, or one of several, is blank. Of the words of a message only the first may be a name.
func blank(v reflect.Value, firstOnly bool) bool {
	switch v.Kind() {
	case reflect.Pointer:
		return !v.IsNil() && blank(v.Elem(), firstOnly)
	case reflect.String:
		return strings.TrimSpace(v.String()) == ""
	case reflect.Slice:
		for i := range v.Len() {
			if blank(v.Index(i), firstOnly) && (i == 0 || !firstOnly) {
				return true
			}
		}
	}
	return false
}

// helpOut is where a parser prints help. It keeps the error of a write, such as that of a pipe whose reader has enough: a parser
// takes that for a wrong command line.
type helpOut struct{ err error }

func (h *helpOut) Write(p []byte) (int, error) {
	n, err := os.Stdout.Write(p)
	if err != nil {
		h.err = unprinted(err)
	}
	return n, err
}

// unhelped is the error with which a parser could not print help.
func unhelped(parser *kong.Kong) error {
	if out, ok := parser.Stdout.(*helpOut); ok {
		return out.err
	}
	return nil
}

func newParser(grammar any, source *settings.Source) (*kong.Kong, error) {
	return kong.New(grammar, append(append(settings.Options(source), options()...),
		kong.Description("Queue work for AI coding agents and run a bounded number of them. No daemon: cron runs kugetsu tick.\n\n"+
			"Settings are in the file config of the state folder ($KUGETSU_DIR, ~/.kugetsu); kugetsu init writes one that explains them all. "+
			"Each is also a variable, and a flag of every command: --max-attempts 5.\n\n"+
			"Data goes to stdout, everything else to stderr. Commands that show something take --json, but for logs. An id may be any "+
			"part of an id that fits one item, or an issue: host/owner/repo#12, owner/repo#12, or a URL. A task without an issue is owner/repo#name.\n\n"+
			"Exit codes: 0 done; 1 failed; 2 no free slot (start, continue); 75 left undone for a passing reason; 77 the state folder is "+
			"not safely yours; 78 bad configuration; 80 wrong command line. kugetsu <command> --help has those of a command, and examples."))...)
}

// options are those of each parser.
func options() []kong.Option {
	return []kong.Option{kong.Name("kugetsu"), kong.Writers(&helpOut{}, os.Stderr), kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Vars{"version": "kugetsu " + version()}}
}

// narrow makes a parser of a part of the grammar: the command that the first words name, and the settings where one of them is on the
// command line. What it parses without an error the whole grammar parses in the same way. It is nil where no command is named, or one
// that shows the grammar. settled says whether it sets the settings.
func narrow(grammar any, globals *Globals, source *settings.Source, args []string) (parser *kong.Kong, settled bool) {
	if len(args) == 0 {
		args = []string{"status"}
	}
	field, command := find(reflect.ValueOf(grammar).Elem(), args[0])
	if !command.IsValid() {
		return nil, false
	}
	only := command.Addr().Interface()
	switch only.(type) {
	case *Help, *Grammar:
		return nil, false
	}
	if command.Type().Name() == "" { // a group
		if len(args) == 1 {
			return nil, false
		}
		sub, command := find(command, args[1])
		if !command.IsValid() {
			return nil, false
		}
		only = reflect.New(reflect.StructOf([]reflect.StructField{{Name: sub.Name, Type: sub.Type, Tag: sub.Tag}})).Interface()
	}
	opts := append(options(), kong.DynamicCommand(nameOf(field), field.Tag.Get("help"), "", only, string(field.Tag)))
	var err error
	if settled = slices.ContainsFunc(args, settings.IsFlag); settled {
		parser, err = kong.New(globals, append(opts, settings.Options(source)...)...)
	} else {
		parser, err = kong.New(&globals.Common, append(opts, settings.Mappers()...)...)
	}
	if err != nil {
		return nil, false
	}
	return parser, settled
}

// find returns the command or the group of commands that a word names.
func find(group reflect.Value, word string) (reflect.StructField, reflect.Value) {
	for field, v := range group.Fields() {
		if _, embedded := field.Tag.Lookup("embed"); embedded {
			if field, v := find(v, word); v.IsValid() {
				return field, v
			}
		}
		_, command := field.Tag.Lookup("cmd")
		if command && (word == nameOf(field) || word != "" && slices.Contains(strings.Split(field.Tag.Get("aliases"), ","), word)) {
			return field, v
		}
	}
	return reflect.StructField{}, reflect.Value{}
}

// nameOf is the name of a command, as kong has it for a field of one word.
func nameOf(field reflect.StructField) string {
	return cmp.Or(field.Tag.Get("name"), strings.ToLower(field.Name))
}
