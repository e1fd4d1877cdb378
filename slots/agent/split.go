package agent

import (
	"strings"

	"kugetsu/queue/fault"
	"kugetsu/queue/pattern"
)

// Split splits a command line into words as a POSIX shell does: quotes and backslashes have their meaning of XCU 2.2, and nothing
// is expanded. Characters with another meaning to a shell are refused and not taken literally, since their author meant them: an
// operator, a $ or ` that is not quoted, a ~ or # that begins a word. Patterns (*, ?, [) stay as they are, as they do in a shell
// where nothing matches.
//
// Errors name the character and its position, never the text, which may hold a secret (exit code 78).
func Split(s string) ([]string, error) {
	words, _, err := split(s)
	return words, err
}

// Command is Split of a command line whose first word is the program. A shell takes NAME=value there for a variable of the program.
func Command(s string) ([]string, error) {
	words, err := Split(s)
	if err == nil && len(words) > 0 && assignment().MatchString(words[0]) {
		err = fault.New(fault.Config, "write env before it: env NAME=value program", "only a shell sets a variable by NAME=value before a program, and no shell reads this")
	}
	return words, err
}

var assignment = pattern.Lazy(`^[A-Za-z_][A-Za-z0-9_]*=`)

// Pattern is the position, from 1, of the first * that is not quoted, 0 for none. Its author may have meant names of files, which
// only a shell puts there.
func Pattern(s string) int {
	_, pattern, _ := split(s)
	return pattern
}

func split(s string) (words []string, pattern int, err error) {
	var word []byte
	inWord := false // a word may be empty: ''
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case strings.IndexByte(" \t\r\n", c) >= 0:
			if inWord {
				words = append(words, string(word))
			}
			word, inWord = nil, false
		case c == '\'':
			end := strings.IndexByte(s[i+1:], '\'')
			if end < 0 {
				return nil, 0, unclosed(c, i)
			}
			word, inWord = append(word, s[i+1:i+1+end]...), true
			i += end + 1
		case c == '"':
			quoted, length, err := doubleQuoted(s, i+1)
			if err != nil {
				return nil, 0, err
			}
			word, inWord = append(word, quoted...), true
			i += length
		case c == '\\':
			i++
			if i == len(s) {
				return nil, 0, fault.New(fault.Config, "", "a backslash ends the line and quotes nothing")
			}
			if s[i] != '\n' { // a newline after it continues the line
				word, inWord = append(word, s[i]), true
			}
		case strings.IndexByte("|&;<>()$`\x00", c) >= 0, !inWord && (c == '#' || c == '~'):
			return nil, 0, needsShell(c, i)
		default:
			if c == '*' && pattern == 0 {
				pattern = i + 1
			}
			word, inWord = append(word, c), true
		}
	}
	if inWord {
		words = append(words, string(word))
	}
	return words, pattern, nil
}

// doubleQuoted reads the text between double quotes, from s[start] on, and returns how many bytes it took, with the closing quote.
// A backslash quotes only a character that has a meaning there.
func doubleQuoted(s string, start int) (text []byte, length int, err error) {
	for i := start; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return text, i + 1 - start, nil
		case c == '$' || c == '`' || c == 0:
			return nil, 0, needsShell(c, i)
		case c == '\\' && i+1 < len(s) && strings.IndexByte("$`\"\\\n", s[i+1]) >= 0:
			i++
			if s[i] != '\n' {
				text = append(text, s[i])
			}
		default:
			text = append(text, c)
		}
	}
	return nil, 0, unclosed('"', start-1)
}

func unclosed(quote byte, at int) error {
	return fault.New(fault.Config, "", "the %c at byte %d is never closed", quote, at+1)
}

func needsShell(c byte, at int) error {
	return fault.New(fault.Config, "put it in single quotes, or write sh -c '…' where a shell is to read it",
		"the %q at byte %d means something only to a shell, and no shell reads this", c, at+1)
}
