package git

import "strings"

// plainMost bounds the files that plainConfig reads, in bytes.
const plainMost = 64 << 10

// plainConfig reads a file of git's configuration as `git config --list` does (git-config(1), SYNTAX), where each line of it is of the
// plainest form: a remark, a section, a key, or a key with a value that is in quotes as a whole or has none, and no escapes and remarks. That is what
// git and kugetsu write for most repositories. It returns false for any other file, since git alone is to say what that means.
func plainConfig(text string) (all []Setting, plain bool) {
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r == '\ufeff' }) {
		return nil, false
	}
	section := ""
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.Trim(line, " \t")
		switch {
		case line == "", line[0] == '#', line[0] == ';':
			continue
		case line[0] == '[':
			if section = plainSection(line); section == "" {
				return nil, false
			}
			continue
		}
		name, value, valued := strings.Cut(line, "=")
		name, value = strings.TrimRight(name, " \t"), strings.TrimLeft(value, " \t")
		special := "\"\\\t#;"
		if inner, quoted := strings.CutPrefix(value, `"`); quoted {
			if value, quoted = strings.CutSuffix(inner, `"`); !quoted {
				return nil, false
			}
			special = "\"\\\t"
		} else if strings.Contains(value, "  ") {
			return nil, false
		}
		if section == "" || !isName(name) || name[0] < 'A' || strings.ContainsAny(value, special) {
			return nil, false
		}
		if !valued { // a boolean
			value = "true"
		}
		all = append(all, Setting{section + strings.ToLower(name), value})
	}
	return all, true
}

// plainSection is what the line of a section puts before its keys; empty for a line that is not of the plainest form.
func plainSection(line string) string {
	line, closed := strings.CutSuffix(line[1:], "]")
	name, sub, below := strings.Cut(line, ` "`)
	if !closed || !isName(name) {
		return ""
	}
	if !below {
		return strings.ToLower(name) + "."
	}
	sub, closed = strings.CutSuffix(sub, `"`)
	if !closed || strings.ContainsAny(sub, "\"\\\t") {
		return ""
	}
	return strings.ToLower(name) + "." + sub + "."
}

// isName says whether a text is made of letters, digits and dashes, of ASCII.
func isName(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}
