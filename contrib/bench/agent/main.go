// Command agent is the smallest agent there can be: it notes when it began and when it ends, in nanoseconds, in the file
// that its argument names.
package main

import (
	"fmt"
	"os"
	"time"
)

func main() {
	begun := time.Now().UnixNano()
	f, err := os.OpenFile(os.Args[1], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintf(f, "%d %d\n", begun, time.Now().UnixNano())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
