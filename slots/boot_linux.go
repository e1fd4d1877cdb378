package slots

import (
	"os"
	"strings"
)

// BootID tells one start of the machine from another; "" where that is not known.
func BootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
