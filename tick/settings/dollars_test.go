package settings

import "testing"

func TestDollarsAreDecimal(t *testing.T) {
	for text, want := range map[string]Dollars{"0": 0, "25": 25, "12.50": 12.5, "$3": 3, "0.0001": 0.0001} {
		var d Dollars
		if err := d.UnmarshalText([]byte(text)); err != nil || d != want {
			t.Errorf("%q is %v, %v", text, d, err)
		}
	}
	for _, text := range []string{"", "-1", "1,50", "NaN", "Inf", "1e3", "0x10", "12.", ".5", "99999999", "5 EUR"} {
		var d Dollars
		if err := d.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is %v", text, d)
		}
	}
}
