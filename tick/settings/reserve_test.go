package settings

import "testing"

func TestReserveIsReadAsPeopleWriteIt(t *testing.T) {
	for _, tt := range []struct {
		text             string
		five, week, rest float64
		bad              bool
	}{
		{"", 0, 0, 0, false},
		{"0", 0, 0, 0, false},
		{"20", 20, 20, 20, false},
		{" 20% ", 20, 20, 20, false},
		{"100", 100, 100, 100, false},
		{"five_hour=10,seven_day=25", 10, 25, 0, false},
		{"5h = 10, week=25%", 10, 25, 0, false},
		{"month=5", 0, 0, 5, false},
		{text: "101", bad: true},
		{text: "-1", bad: true},
		{text: "2.5", bad: true},
		{text: "NaN", bad: true},
		{text: "five_hour", bad: true},
		{text: "five_hour=", bad: true},
		{text: "day=10", bad: true},
		{text: "five_hour=10,", bad: true},
	} {
		var r Reserve
		err := r.UnmarshalText([]byte(tt.text))
		if (err != nil) != tt.bad {
			t.Errorf("%q: %v", tt.text, err)
		}
		if five, week, month := r.Of("five_hour"), r.Of("seven_day"), r.Of("month"); five != tt.five || week != tt.week || month != tt.rest {
			t.Errorf("%q: %g, %g, %g", tt.text, five, week, month)
		}
	}
}
