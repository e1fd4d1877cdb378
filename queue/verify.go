package queue

import (
	"encoding/json"
	"errors"
	"strings"
)

// Verify says by which command the runs of an item, or all runs in a repository, are verified. The zero Verify says nothing. Its
// JSON is the command, or false for none: an empty text is an error, since a command that was lost on the way must not verify by
// its absence.
type Verify struct {
	Command string
	None    bool // they are not verified
}

// MarshalJSON writes the command, or false.
func (v Verify) MarshalJSON() ([]byte, error) {
	if v.None {
		return []byte("false"), nil
	}
	return json.Marshal(v.Command)
}

// UnmarshalJSON reads the command, or false.
func (v *Verify) UnmarshalJSON(data []byte) error {
	*v = Verify{}
	if string(data) == "false" {
		v.None = true
		return nil
	}
	if json.Unmarshal(data, &v.Command) != nil {
		return errors.New("verify is neither a command nor false")
	}
	if strings.TrimSpace(v.Command) == "" {
		return errors.New("verify is empty: write a command, or false for none")
	}
	return nil
}
