package main

import (
	"fmt"
	"strings"

	"kugetsu/tick/command"
)

// All three find the place by walking over the words before the cursor: a word that leads from one place to another is
// taken, any other is an argument, and nothing is completed behind --.

// walked lists where a word leads, each with the place and the words that lead on from it: those that lead there, and of some only
// the last one.
func walked(g command.Node) (steps [][2]string) {
	for _, p := range places(g)[1:] {
		steps = append(steps, [2]string{spaced(p.words), spaced(p.words)})
		if p.Alone {
			steps = append(steps, [2]string{" " + p.Name, spaced(p.words)})
		}
	}
	return steps
}

// kind is what kugetsu complete offers for the arguments of a place; "" for nothing.
func (p place) kind() string {
	for _, arg := range p.Args {
		if arg.Kind != "" {
			return arg.Kind
		}
	}
	return ""
}

// bash keeps to what bash 3.2 knows, which macOS has: no mapfile.
func bash(g command.Node) string {
	var b strings.Builder
	b.WriteString("# bash completion for kugetsu\n" + generated + `
# What the queue and the sessions hold now. The lines are words as they are: compgen -W would expand them.
_kugetsu_live() {
	local word
	while IFS= read -r word; do
		COMPREPLY+=("$word")
	done < <(kugetsu complete "$1" -- "$cur" 2>/dev/null)
}

_kugetsu() {
	local cur=${COMP_WORDS[COMP_CWORD]} at='' words='' kind='' i
	for ((i = 1; i < COMP_CWORD; i++)); do
		case "$at ${COMP_WORDS[i]}" in
		*' --') return ;;
`)
	for _, step := range walked(g) {
		fmt.Fprintf(&b, "\t\t%s) at=%s ;;\n", quote(step[0]), quote(step[1]))
	}
	b.WriteString("\t\tesac\n\tdone\n\tcase \"$at ${COMP_WORDS[COMP_CWORD - 1]}\" in\n")
	for _, p := range places(g) {
		for _, f := range p.flags(g) {
			if len(f.Values) > 0 {
				fmt.Fprintf(&b, "\t%s)\n\t\tCOMPREPLY=($(compgen -W %s -- \"$cur\"))\n\t\treturn ;;\n",
					quote(spaced(p.words)+" --"+f.Name), quote(strings.Join(f.Values, " ")))
			} else if f.Kind != "" {
				fmt.Fprintf(&b, "\t%s) COMPREPLY=(); _kugetsu_live %s; return ;;\n", quote(spaced(p.words)+" --"+f.Name), f.Kind)
			} else if f.Value != "" {
				fmt.Fprintf(&b, "\t%s) return ;;\n", quote(spaced(p.words)+" --"+f.Name))
			}
		}
	}
	b.WriteString("\tesac\n\tcase \"$at\" in\n")
	for _, p := range places(g) {
		var words []string
		for _, c := range p.Commands {
			words = append(words, c.Name)
		}
		for _, f := range p.flags(g) {
			words = append(words, "--"+f.Name)
		}
		kind := ""
		if p.kind() != "" {
			kind = " kind=" + p.kind()
		}
		fmt.Fprintf(&b, "\t%s) words=%s%s ;;\n", quote(spaced(p.words)), quote(strings.Join(words, " ")), kind)
	}
	b.WriteString("\tesac\n\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n" +
		"\tcase \"$cur\" in -*) ;; *) [ -z \"$kind\" ] || _kugetsu_live \"$kind\" ;; esac\n}\ncomplete -o default -F _kugetsu kugetsu\n")
	return b.String()
}

// spaced puts a space before the words of a place: that is how the walk builds them up.
func spaced(words string) string {
	if words == "" {
		return ""
	}
	return " " + words
}

func zsh(g command.Node) string {
	var b strings.Builder
	b.WriteString("#compdef kugetsu\n" + generated + `
# What the queue and the sessions hold now.
_kugetsu_live() {
	local -a live
	live=("${(@f)$(kugetsu complete $1 -- "$PREFIX" 2>/dev/null)}")
	[[ -n $live[1] ]] && compadd -- $live
}

_kugetsu() {
	local at='' kind='' word
	local -a commands flags
	for word in "${(@)words[2,CURRENT-1]}"; do
		case "$at $word" in
		(*' --') return 1 ;;
`)
	for _, step := range walked(g) {
		fmt.Fprintf(&b, "\t\t(%s) at=%s ;;\n", quote(step[0]), quote(step[1]))
	}
	b.WriteString("\t\tesac\n\tdone\n\tcase \"$at ${words[CURRENT-1]}\" in\n")
	b.WriteString(zshValues(g))
	b.WriteString("\tesac\n\tcase \"$at\" in\n")
	described := func(name, help string) string {
		return quote(strings.ReplaceAll(name, ":", `\:`) + ":" + help)
	}
	for _, p := range places(g) {
		fmt.Fprintf(&b, "\t(%s)\n", quote(spaced(p.words)))
		for _, c := range p.Commands {
			fmt.Fprintf(&b, "\t\tcommands+=(%s)\n", described(c.Name, c.Help))
		}
		for _, f := range p.flags(g) {
			fmt.Fprintf(&b, "\t\tflags+=(%s)\n", described("--"+f.Name, f.Help))
		}
		if p.kind() != "" {
			fmt.Fprintf(&b, "\t\tkind=%s\n", p.kind())
		}
		b.WriteString("\t\t;;\n")
	}
	b.WriteString(`	esac
	[[ -n $kind && $PREFIX != -* ]] && _kugetsu_live $kind
	(( $#commands )) && _describe -t commands command commands
	[[ $PREFIX == -* || $#commands -eq 0 ]] && _describe -o -t flags flag flags
}

if [[ $funcstack[1] == _kugetsu ]]; then
	_kugetsu "$@"
else
	compdef _kugetsu kugetsu
fi
`)
	return b.String()
}

// zshValues completes the values of flags.
func zshValues(g command.Node) string {
	var b strings.Builder
	for _, p := range places(g) {
		for _, f := range p.flags(g) {
			if len(f.Values) > 0 {
				fmt.Fprintf(&b, "\t(%s)\n\t\tcompadd -- %s\n\t\treturn ;;\n", quote(spaced(p.words)+" --"+f.Name), strings.Join(f.Values, " "))
			} else if f.Kind != "" {
				fmt.Fprintf(&b, "\t(%s)\n\t\t_kugetsu_live %s\n\t\treturn ;;\n", quote(spaced(p.words)+" --"+f.Name), f.Kind)
			} else if f.Value != "" {
				fmt.Fprintf(&b, "\t(%s)\n\t\t_files\n\t\treturn ;;\n", quote(spaced(p.words)+" --"+f.Name))
			}
		}
	}
	return b.String()
}

func fish(g command.Node) string {
	var b strings.Builder
	b.WriteString("# fish completion for kugetsu\n" + generated + `
function __kugetsu_live --description 'what the queue and the sessions hold now'
	command -q kugetsu
	and kugetsu complete $argv -- (commandline -ct) 2>/dev/null
end

function __kugetsu_at --description 'whether the words before the cursor lead to a command'
	set -l at
	for word in (commandline -opc)[2..-1]
		switch "$at $word"
			case '* --'
				return 1
`)
	for _, step := range walked(g) {
		fmt.Fprintf(&b, "\t\t\tcase %s\n\t\t\t\tset at %s\n", quote(before(strings.TrimSpace(step[0]))), strings.TrimSpace(step[1]))
	}
	b.WriteString("\t\tend\n\tend\n\ttest \"$at\" = \"$argv\"\nend\n\n")
	for _, p := range places(g) {
		at := quote("__kugetsu_at " + p.words)
		for _, c := range p.Commands {
			fmt.Fprintf(&b, "complete -c kugetsu -f -n %s -a %s -d %s\n", at, c.Name, fishQuote(c.Help))
		}
		for _, f := range p.flags(g) {
			line := fmt.Sprintf("complete -c kugetsu -n %s -l %s", at, f.Name)
			if f.Short != "" {
				line += " -s " + f.Short
			}
			if len(f.Values) > 0 {
				line += " -x -a " + quote(strings.Join(f.Values, " "))
			} else if f.Kind != "" {
				line += " -x -a " + fishLive(f.Kind)
			} else if f.Value != "" {
				line += " -r"
			}
			fmt.Fprintf(&b, "%s -d %s\n", line, fishQuote(f.Help))
		}
		if p.kind() != "" {
			fmt.Fprintf(&b, "complete -c kugetsu -f -n %s -a %s\n", at, fishLive(p.kind()))
		}
	}
	return b.String()
}

// fishLive is the arguments that fish asks kugetsu for when the key is pressed.
func fishLive(kind string) string {
	return quote("(__kugetsu_live " + kind + ")")
}

// before is the words of a place as fish's walk meets them: what is before the last one, a space, the last one.
func before(words string) string {
	i := strings.LastIndexByte(words, ' ')
	return words[:max(i, 0)] + " " + words[i+1:]
}

// fishQuote makes one word for fish, in which a backslash counts between single quotes too.
func fishQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
}
