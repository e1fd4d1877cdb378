package settings

import (
	"bytes"
	"fmt"

	"github.com/dustin/go-humanize"
)

// Size is an amount of memory or disk in bytes, written 600M (600 million), 2G, 512MiB (512 × 1024²), or in plain bytes.
type Size int64

// maxSize keeps the sum over all slots within an int64.
const maxSize = 1 << 50

// UnmarshalText reads a size.
func (s *Size) UnmarshalText(text []byte) error {
	n, err := humanize.ParseBytes(string(text))
	// ParseBytes drops commas. 1,5G would be read as 15G by it, ten times as much as was meant.
	if err != nil || n > maxSize || bytes.ContainsRune(text, ',') {
		return fmt.Errorf("%.40q is not a size: 600M, 2G, 512MiB or plain bytes, 1 PiB at most", text)
	}
	*s = Size(n)
	return nil
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
