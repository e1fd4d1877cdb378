package terminal

import (
	"math"
	"strconv"
	"strings"
)

// The texts are those of github.com/dustin/go-humanize, which a test compares them with. That library compiles an expression and fills
// tables when a program starts, and every command would wait for it.

// Bytes is an amount of memory or disk, with two digits: 9 B, 1.5 KiB, 600 MiB.
func Bytes(n uint64) string {
	if n < 10 {
		return strconv.FormatUint(n, 10) + " B"
	}
	e := math.Floor(math.Log(float64(n)) / math.Log(1024))
	v := float64(n) / math.Pow(1024, e)
	digits := 0
	if v < 10 {
		digits = 1
	}
	v = math.Floor(v*math.Pow10(digits)+0.5) / math.Pow10(digits)
	if v >= 10 { // it was rounded up to that
		digits = 0
	}
	return strconv.FormatFloat(v, 'f', digits, 64) + " " + []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}[int(e)]
}

// Thousands is a number with commas: 1,234,567.
func Thousands(n int64) string { return grouped(strconv.FormatInt(n, 10)) }

// Cents is an amount of money with commas, cut to two digits behind the point: 1,234.50.
func Cents(v float64) string {
	whole, part, _ := strings.Cut(strconv.FormatFloat(v, 'f', -1, 64), ".")
	return grouped(whole) + "." + (part + "00")[:2]
}

// grouped puts a comma before each three digits.
func grouped(digits string) string {
	var b strings.Builder
	number := strings.TrimPrefix(digits, "-")
	b.WriteString(digits[:len(digits)-len(number)])
	for i := range len(number) {
		if i > 0 && (len(number)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteByte(number[i])
	}
	return b.String()
}

// Rounded is a number that is not negative, with a letter for thousands, millions and so on, cut to one digit behind the point: 950, 1.2k, 3M.
func Rounded(n int64) string {
	if n < 1000 {
		return strconv.FormatInt(n, 10)
	}
	e := math.Floor(math.Floor(math.Log(float64(n))/math.Log(10))/3) * 3
	v := float64(n) / math.Pow(10, e)
	if v == 1000 {
		e += 3
		v = float64(n) / math.Pow(10, e)
	}
	text := strconv.FormatFloat(v, 'f', 6, 64)
	return strings.TrimSuffix(text[:strings.Index(text, ".")+2], ".0") + []string{"", "k", "M", "G", "T", "P", "E"}[int(e/3)]
}
