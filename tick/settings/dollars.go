package settings

import (
	"fmt"
	"strconv"
	"strings"
)

// Dollars is an amount of US dollars, written 25 or 12.50.
type Dollars float64

// UnmarshalText reads an amount.
func (d *Dollars) UnmarshalText(text []byte) error {
	amount := strings.TrimPrefix(string(text), "$")
	whole, part, point := strings.Cut(amount, ".")
	if !isDigits(whole, 7) || point && !isDigits(part, 4) {
		return fmt.Errorf("%.40q is not an amount of US dollars: write 25 or 12.50", text)
	}
	f, err := strconv.ParseFloat(amount, 64)
	*d = Dollars(f)
	return err
}

// isDigits says whether a text is made of digits, one at least.
func isDigits(text string, most int) bool {
	return text != "" && len(text) <= most && strings.Trim(text, "0123456789") == ""
}
