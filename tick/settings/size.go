package settings

import (
	"fmt"
	"strconv"
	"strings"
)

// Size is an amount of memory or disk in bytes, written 600M (600 million), 2G, 512MiB (512 × 1024²), or in plain bytes.
type Size int64

// maxSize keeps the sum over all slots within an int64.
const maxSize = 1 << 50

// UnmarshalText reads a size.
func (s *Size) UnmarshalText(text []byte) error {
	n, err := parseSize(string(text))
	if err != nil || n > maxSize {
		return fmt.Errorf("%.40q is not a size: 600M, 2G, 512MiB or plain bytes, 1 PiB at most", text)
	}
	*s = Size(n)
	return nil
}

// units are what stands behind a number, with how many bytes it is. A B behind all but the first is left out.
var units = []struct {
	name  string
	bytes float64
}{{"", 1}, {"k", 1e3}, {"m", 1e6}, {"g", 1e9}, {"t", 1e12}, {"p", 1e15}, {"e", 1e18},
	{"ki", 1 << 10}, {"mi", 1 << 20}, {"gi", 1 << 30}, {"ti", 1 << 40}, {"pi", 1 << 50}, {"ei", 1 << 60}}

// parseSize reads digits, perhaps a point and digits, and a unit.
func parseSize(text string) (float64, error) {
	number := text[:len(text)-len(strings.TrimLeft(text, "0123456789."))]
	n, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, err
	}
	unit := strings.TrimSuffix(strings.ToLower(strings.TrimSpace(text[len(number):])), "b")
	for _, u := range units {
		if u.name == unit {
			return n * u.bytes, nil
		}
	}
	return 0, strconv.ErrSyntax
}

// Memory is what an agent needs: a Size, or Auto.
type Memory int64

const (
	// Auto is the memory that the last runs of an agent had, written auto.
	Auto Memory = -1
	// UsualMemory is what an agent needs of which too few runs are known, and the default.
	UsualMemory Memory = 600_000_000
)

// UnmarshalText reads a size, or auto.
func (m *Memory) UnmarshalText(text []byte) error {
	if string(text) == "auto" {
		*m = Auto
		return nil
	}
	var s Size
	err := s.UnmarshalText(text)
	if err == nil {
		*m = Memory(s)
	}
	return err
}
