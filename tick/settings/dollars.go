package settings

import (
	"fmt"
	"strconv"

	"kugetsu/queue/pattern"
)

// Dollars is an amount of US dollars, written 25 or 12.50.
type Dollars float64

var dollars = pattern.Lazy(`^\$?(\d{1,7}(\.\d{1,4})?)$`)

// UnmarshalText reads an amount.
func (d *Dollars) UnmarshalText(text []byte) error {
	m := dollars().FindSubmatch(text)
	if m == nil {
		return fmt.Errorf("%.40q is not an amount of US dollars: write 25 or 12.50", text)
	}
	f, err := strconv.ParseFloat(string(m[1]), 64)
	*d = Dollars(f)
	return err
}
