package event

import (
	"fmt"
	"slices"
	"strings"
)

// Choice says of which events NOTIFY_COMMAND is told: words separated by blanks or commas, from left to right.
//
//	task_error agent_held     these
//	default task_retry        what a person acts on or waits for, and these
//	-queue_empty              the same without these; so a list begins with default where its first word takes away
//	all -task_started         every event without these
//
// The zero Choice is default.
type Choice string

// UnmarshalText reads a choice. The error says how one is written.
func (c *Choice) UnmarshalText(text []byte) error {
	chosen, err := choose(string(text))
	if err == nil && len(chosen) == 0 {
		err = fmt.Errorf("no event is left; to receive none, leave NOTIFY_COMMAND empty")
	}
	if err != nil {
		return err
	}
	*c = Choice(strings.TrimSpace(string(text)))
	return nil
}

// Has says whether events of a type are chosen.
func (c Choice) Has(kind Type) bool {
	chosen, _ := choose(string(c)) // UnmarshalText read the same text without an error
	return slices.Contains(chosen, kind)
}

func choose(text string) (chosen []Type, err error) {
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' })
	if len(words) == 0 || strings.HasPrefix(words[0], "-") {
		words = append([]string{"default"}, words...)
	}
	for _, word := range words {
		name, without := strings.CutPrefix(word, "-")
		named := meant(name)
		switch {
		case len(named) == 0:
			return nil, fmt.Errorf("%.40q is not an event: write all, default, or some of %s; a - before one leaves it out", name, strings.Trim(fmt.Sprint(All()), "[]"))
		case without:
			chosen = slices.DeleteFunc(chosen, func(t Type) bool { return slices.Contains(named, t) })
		default:
			chosen = append(chosen, named...)
		}
	}
	return chosen, nil
}

// All lists the types that may be chosen.
func All() []Type { return meant("all") }

// meant returns the types that a word stands for.
func meant(word string) (list []Type) {
	for _, t := range types {
		if word == "all" || word == string(t.Type) || word == "default" && t.told {
			list = append(list, t.Type)
		}
	}
	return list
}
