package agent

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"kugetsu/queue/fault"
)

// maxModel bounds the name of a model, in bytes.
const maxModel = 200

// CheckArgs refuses what an item asks for beside its agent: a model that is no name, or arguments that are no words. The error asks
// for exit code 80.
func (p Preset) CheckArgs(model, args string) error {
	if p.Model == nil && model != "" {
		return fault.New(fault.Usage, "name it in AGENT_COMMAND", "the agent %s has no flag for a model", p.Name)
	}
	if p.Model == nil && args != "" {
		return fault.New(fault.Usage, "AGENT_COMMAND is its command line", "the agent %s takes no arguments of an item", p.Name)
	}
	if !isModel(model) && model != "" {
		return fault.New(fault.Usage, "write it as "+p.Name+" does, without its flag", "%.60q is not the name of a model", model)
	}
	if strings.ContainsRune(args, 0) {
		return fault.New(fault.Usage, "leave it out", "the arguments of the agent hold a NUL")
	}
	if _, err := Split(args); err != nil {
		return fault.New(fault.Usage, "quote them as for a shell", "the arguments of the agent: %s", err.Error())
	}
	return nil
}

// isModel says whether a text is the name of a model, and no option, which it would become in an argv.
func isModel(name string) bool {
	odd := func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }
	return name != "" && len(name) <= maxModel && !strings.HasPrefix(name, "-") && !strings.ContainsFunc(name, odd)
}

// prompted checks the fields of a call that all presets with a prompt use, and makes the words that the settings and the item add.
// An item's arguments replace those of the settings. An item's model replaces a model in the arguments, since the agents do not
// take the flag twice.
func prompted(p string, model []string, c Call) (args []string, err error) {
	if c.Conversation != "" && !isConversation(c.Conversation) {
		return nil, fault.New(fault.Config, "", "%q is not the id of a conversation of %s", c.Conversation, p)
	}
	if args, err = Split(c.Args); err != nil {
		return nil, fmt.Errorf("AGENT_ARGS of %s: %w", p, err)
	}
	if c.Model == "" {
		return args, nil
	}
	if !isModel(c.Model) {
		return nil, fault.New(fault.Config, "", "%.60q is not the name of a model of %s", c.Model, p)
	}
	return append(without(args, model), model[0], c.Model), nil
}

// without removes a flag, by any of its names, and its value from words.
func without(words, names []string) []string {
	var left []string
	for i := 0; i < len(words); i++ {
		name, _, joined := strings.Cut(words[i], "=")
		switch {
		case !slices.Contains(names, name):
			left = append(left, words[i])
		case !joined: // the next word is its value
			i++
		}
	}
	return left
}

// ModelOf is the model that a call names, "" where it is left to the program's own settings.
func (p Preset) ModelOf(model, args string) string {
	if model != "" {
		return model
	}
	words, err := Split(args)
	if err != nil {
		return ""
	}
	for i, word := range words {
		name, value, joined := strings.Cut(word, "=")
		switch {
		case !slices.Contains(p.Model, name):
		case joined:
			model = value
		case i+1 < len(words):
			model = words[i+1]
		}
	}
	return model
}
