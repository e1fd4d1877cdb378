package terminal

import (
	"math"
	"strings"
	"testing"

	"github.com/dustin/go-humanize"
	"pgregory.net/rapid"
)

func TestAmountsAreThoseOfHumanize(t *testing.T) {
	same := func(t interface{ Errorf(string, ...any) }, n int64) {
		for _, c := range [][2]string{
			{Bytes(uint64(n)), humanize.IBytes(uint64(n))},
			{Thousands(n), humanize.Comma(n)},
			{Thousands(-n), humanize.Comma(-n)},
			{Cents(float64(n) / 1000), humanize.CommafWithDigits(float64(n)/1000, 2)},
			{Cents(float64(n)), humanize.CommafWithDigits(float64(n), 2)},
			{Rounded(n), strings.ReplaceAll(humanize.SIWithDigits(float64(n), 1, ""), " ", "")},
		} {
			if c[0] != c[1] {
				t.Errorf("%d: %q, not %q", n, c[0], c[1])
			}
		}
	}
	for e := range 63 {
		for d := int64(-2); d <= 2; d++ {
			same(t, max(0, int64(1)<<e+d))
		}
	}
	for n := int64(1); n < math.MaxInt64/10; n *= 10 {
		for _, m := range []int64{1, 2, 5, 9} {
			same(t, m*n)
			same(t, m*n-1)
			same(t, m*n+1)
		}
		same(t, n/100*99+n/1000*6)
	}
	for n := range int64(3000) {
		same(t, n)
	}
	rapid.Check(t, func(t *rapid.T) {
		same(t, rapid.Int64Range(0, math.MaxInt64).Draw(t, "n")>>rapid.IntRange(0, 62).Draw(t, "smaller"))
	})
}
