package settings

import (
	"fmt"
	"strconv"
	"strings"

	"kugetsu/slots/agent"
)

// Reserve is the share of the windows of an account's quota that is left for a person, in percent: one for all of them, or one
// for each. The zero Reserve is none.
//
//	20
//	five_hour=10,seven_day=25
type Reserve string

// UnmarshalText reads a reserve. The error says how one is written.
func (r *Reserve) UnmarshalText(text []byte) error {
	if _, err := parseReserve(string(text)); err != nil {
		return err
	}
	*r = Reserve(strings.TrimSpace(string(text)))
	return nil
}

func parseReserve(text string) (map[string]float64, error) {
	of := map[string]float64{}
	text = strings.TrimSpace(text)
	if text == "" || text == "0" {
		return of, nil
	}
	if all, err := percent(text); err == nil {
		for _, k := range agent.Windows {
			of[k.Name] = all
		}
		return of, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		name, share, _ := strings.Cut(part, "=")
		kind, known := agent.KindOfWindow(strings.TrimSpace(name))
		n, err := percent(strings.TrimSpace(share))
		if !known || err != nil {
			return nil, fmt.Errorf("%.60q is not a reserve: write percents, 20 or five_hour=10,seven_day=25", strings.TrimSpace(part))
		}
		of[kind.Name] = n
	}
	return of, nil
}

func percent(text string) (float64, error) {
	n, err := strconv.Atoi(strings.TrimSuffix(text, "%"))
	if err == nil && (n < 0 || n > 100) {
		err = strconv.ErrRange
	}
	return float64(n), err
}

// Of is what is left of a window, in percent; 0 is nothing.
func (r Reserve) Of(window string) float64 {
	of, _ := parseReserve(string(r)) // UnmarshalText has read it
	return of[window]
}
