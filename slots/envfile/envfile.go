// Package envfile reads KEY=value files, env files and the file config, by the rules that docker compose documents for
// its env files (https://docs.docker.com/compose/how-tos/environment-variables/variable-interpolation/#env-file-syntax),
// with the library that docker compose itself reads them with.
//
// A value that is cut is worse than one that is refused: a token without its end fails far away from here, and late. So each
// line is checked before the library reads it. It is refused where docker compose would drop a part of it, or change it in a way
// that its rules do not give. Nothing is expanded.
package envfile

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/compose-spec/compose-go/v2/dotenv"

	"kugetsu/queue/pattern"
)

// Var is a variable of a file. A name may come twice: then the last one counts.
type Var struct {
	Name, Value string
	Line        int  // at which it begins, from 1
	Literal     bool // it stands in single quotes
}

// Problem is a line that is refused. Why never quotes the text, which may be a token.
type Problem struct {
	Line int
	Why  string
}

// ErrBad is wrapped by the error of Error.
var ErrBad = errors.New("lines that are refused")

// maxTold bounds the lines that an error names.
const maxTold = 5

// badLines are the lines of a file that are refused.
type badLines []Problem

func (b badLines) Error() string {
	var told []string
	for n, p := range b {
		if n == maxTold {
			told = append(told, fmt.Sprintf("and %d lines more", len(b)-n))
			break
		}
		told = append(told, p.String())
	}
	return strings.Join(told, "; ")
}

func (b badLines) Is(target error) bool { return target == ErrBad }

// Error makes one error of the lines that are refused. It wraps ErrBad.
func Error(bad []Problem) error { return badLines(bad) }

func (p Problem) String() string { return fmt.Sprintf("line %d: %s", p.Line, p.Why) }

// maxVar is how many bytes NAME=value may have: Linux gives no program more in one piece.
const maxVar = 128<<10 - 1

// assignment is the beginning of a line that sets a variable.
var assignment = pattern.Lazy(`^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.-]*)[ \t]*=[ \t]*`)

// nameless is a line that would be read as a variable called export.
var nameless = pattern.Lazy(`^[ \t]*export[ \t]+=`)

// Parse reads a file. A bad line does not make the other lines bad.
func Parse(data []byte) (vars []Var, bad []Problem) {
	text := strings.TrimPrefix(string(data), "\ufeff")
	for line := 1; text != ""; {
		first, _, _ := strings.Cut(text, "\n")
		length := len(first)
		if start := strings.Trim(first, " \t\r"); start != "" && start[0] != '#' {
			v, n, why := read(text)
			v.Line = line
			if why == "" {
				vars, length = append(vars, v), n
			} else { // the next line may be good
				bad = append(bad, Problem{line, why})
			}
		}
		line += 1 + strings.Count(text[:length], "\n")
		text = strings.TrimPrefix(text[length:], "\n")
	}
	return vars, bad
}

// read reads the variable at the beginning of a text. It returns the length up to the end of the variable's last line, or why the
// line is refused.
func read(text string) (v Var, length int, why string) {
	line, _, _ := strings.Cut(text, "\n")
	if !utf8.ValidString(line) {
		return v, 0, "it is not UTF-8"
	}
	m := assignment().FindStringSubmatchIndex(line)
	switch {
	case m == nil && !strings.Contains(line, "="):
		return v, 0, "it has no =, and is not KEY=value"
	case m == nil, nameless().MatchString(line):
		return v, 0, "the name before the = is not made of letters, digits and _, or begins with a digit"
	}
	v.Name = line[m[2]:m[3]]
	value := text[m[1]:]
	if value != "" && (value[0] == '"' || value[0] == '\'') {
		v.Literal = value[0] == '\''
		length, why = quoted(value, v.Name)
	} else {
		length, why = len(line)-m[1], plain(line[m[1]:], line[:m[1]], v.Name)
	}
	if why != "" {
		return v, 0, why
	}
	length += m[1]
	read, err := dotenv.UnmarshalWithLookup(text[m[2]:length], nil)
	value, there := read[v.Name]
	switch {
	case err != nil || !there || len(read) != 1: // the error quotes the text
		return v, 0, "docker compose could not read it"
	case len(v.Name)+len("=")+len(value) > maxVar:
		return v, 0, fmt.Sprintf("it is longer than %d bytes, and no program can be given that", maxVar)
	}
	v.Value = value
	return v, length, ""
}

const inQuotes = "put the value in single quotes"

// dollar says what to do about a $ in the value of a variable.
func dollar(name string) string {
	const why = "only a shell would expand the $: write out what it stands for"
	if IsPath(name) {
		return why
	}
	return why + ", or " + inQuotes
}

// IsPath says whether a variable holds a path, or several. A $ in it is never meant as it stands: in single quotes it would name a
// folder that is not there, and a PATH without the usual folders lets no agent start.
func IsPath(name string) bool {
	switch name {
	case "PATH", "HOME", "STATUS_PAGE", "METRICS_FILE", "SLURM_CONF":
		return true
	}
	return strings.HasSuffix(name, "_DIR") || strings.HasSuffix(name, "_PATH") || strings.HasSuffix(name, "_SOCK")
}

// quoted finds the end of the last line of a value that begins with a quote. In double quotes \n, \r, \t, \\, \" and \$ have their
// meaning in a shell's printf. docker compose decodes more sequences. Its rules do not name those, and they may be meant literally.
func quoted(text, name string) (length int, why string) {
	quote := text[0]
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == 0:
			return 0, "it holds a NUL byte"
		case c == quote:
			line, _, _ := strings.Cut(text[i+1:], "\n")
			if rest := strings.Trim(line, " \t\r"); rest != "" && rest[0] != '#' {
				return 0, "something follows the quote that closes: " + inQuotes + " as a whole"
			}
			if !utf8.ValidString(text[:i]) {
				return 0, "it is not UTF-8"
			}
			return i + 1 + len(line), ""
		case c == '\\' && i+1 < len(text):
			i++
			if quote == '"' && strings.IndexByte("abcfv0", text[i]) >= 0 {
				return 0, fmt.Sprintf(`\%c in double quotes: %s`, text[i], inQuotes)
			}
		case c == '$' && quote == '"':
			why := dollar(name)
			if !IsPath(name) {
				why += `, or write \$`
			}
			return 0, why
		}
	}
	return 0, "the quote that begins the value is never closed"
}

// plain says why a value without quotes, which ends with its line, is refused.
func plain(value, before, name string) string {
	value = strings.TrimRight(value, "\r")
	text, _, remark := strings.Cut(value, " #")
	trimmed := strings.Trim(text, " \t")
	control := func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }
	switch {
	case strings.HasPrefix(value, "#") && strings.TrimRight(before, " \t") != before:
		return "a # begins the value: " + inQuotes + ", or move the remark to a line of its own"
	case strings.IndexByte(text, 0) >= 0:
		return "it holds a NUL byte"
	case strings.ContainsFunc(text, control):
		return "it holds a control character: put the value in quotes"
	case strings.Contains(text, "\t#"):
		return "a tab precedes the #, and only a space begins a remark: use one, or " + inQuotes
	case remark && open(text) != 0 && strings.IndexByte(value[len(text):], open(text)) >= 0:
		return "the # may be a remark or stand in the quotes: " + inQuotes + " as a whole"
	case strings.Contains(text, "$"):
		return dollar(name)
	case strings.TrimFunc(trimmed, unicode.IsSpace) != trimmed:
		return "a space that is not ASCII begins or ends the value: " + inQuotes
	}
	return ""
}

// open is the quote that is open at the end of a text, or 0. A quote behind a letter or digit is an apostrophe.
func open(text string) (quote byte) {
	for i := range len(text) {
		switch c := text[i]; {
		case c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\'') && (i == 0 || !isWord(text[i-1])):
			quote = c
		}
	}
	return quote
}

func isWord(c byte) bool {
	return c >= utf8.RuneSelf || unicode.IsLetter(rune(c)) || unicode.IsDigit(rune(c))
}
