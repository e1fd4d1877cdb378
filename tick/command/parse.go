package command

import (
	"cmp"
	"os"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/alecthomas/kong"

	"kugetsu/queue/fault"
	"kugetsu/tick/settings"
)

// parse finds the command that the arguments name, and sets its fields and those of the settings.
func parse(grammar any, source *settings.Source, args []string) (*kong.Context, error) {
	for n, arg := range args {
		if !utf8.ValidString(arg) { // kong passes words through JSON, which would replace the bytes without an error
			return nil, fault.New(fault.Usage, "convert it with iconv, or put it into a file and name the file", "argument %d is not valid UTF-8", n+1)
		}
	}
	// Building the whole grammar takes longer than most commands do. The whole grammar is needed to say what is wrong with a command line.
	if only := narrow(grammar, args); only != nil {
		if parser, err := newParser(grammar, source, only); err == nil {
			kctx, err := parser.Parse(permute(parser.Model.Node, args))
			if err == nil {
				return kctx, emptied(kctx)
			}
			if unhelped(parser) != nil {
				return nil, unhelped(parser)
			}
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

func newParser(grammar any, source *settings.Source, more ...kong.Option) (*kong.Kong, error) {
	return kong.New(grammar, append(append(settings.Options(source), kong.Name("kugetsu"), kong.Writers(&helpOut{}, os.Stderr),
		kong.Description("Queue work for AI coding agents and run a bounded number of them. No daemon: cron runs kugetsu tick.\n\n"+
			"Settings are in the file config of the state folder ($KUGETSU_DIR, ~/.kugetsu); kugetsu init writes one that explains them all. "+
			"Each is also a variable, and a flag of every command: --max-attempts 5.\n\n"+
			"Data goes to stdout, everything else to stderr. Commands that show something take --json, but for logs. An id may be any "+
			"part of an id that fits one item, or an issue: host/owner/repo#12, owner/repo#12, or a URL. A task without an issue is owner/repo#name.\n\n"+
			"Exit codes: 0 done; 1 failed; 2 no free slot (start, continue); 75 left undone for a passing reason; 77 the state folder is "+
			"not safely yours; 78 bad configuration; 80 wrong command line. kugetsu <command> --help has those of a command, and examples."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}), kong.Vars{"version": "kugetsu " + version()}), more...)...)
}

// narrow leaves all commands out of the grammar but that which the first argument names; nil where it names none, or one that shows the
// grammar. A name is a field's, as kong spells it.
func narrow(grammar any, args []string) kong.Option {
	if len(args) == 0 {
		return nil
	}
	var others []string
	found := false
	root := reflect.TypeOf(grammar).Elem()
	for field := range root.Fields() {
		if _, command := field.Tag.Lookup("cmd"); !command {
			continue
		}
		switch field.Type {
		case reflect.TypeFor[Help](), reflect.TypeFor[Grammar]():
		default:
			if strings.EqualFold(field.Name, strings.ReplaceAll(args[0], "-", "")) {
				found = true
				continue
			}
		}
		others = append(others, field.Name)
	}
	if !found {
		return nil
	}
	return kong.IgnoreFields("^" + root.Name() + `\.(` + strings.Join(others, "|") + ")$")
}
