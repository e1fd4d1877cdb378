// Package rig is what the tests in contrib share: the kugetsu under test, waiting, and the rule of -short.
package rig

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"kugetsu/contrib/built"
)

// Patience bounds every wait of a test. It is generous: the machine may be busy.
const Patience = 4 * time.Minute

// Poll waits a moment before a condition is checked again.
func Poll() { <-time.After(20 * time.Millisecond) }

// FullOnly ends a package's TestMain with -short, and prints why. Call it first.
func FullOnly(why string) {
	flag.Parse()
	if testing.Short() {
		fmt.Println("left out with -short:", why)
		os.Exit(0)
	}
}

// Until waits for a condition. If it waits in vain, it shows what read returns.
func Until(t testing.TB, what string, holds func() bool, read ...func() string) {
	t.Helper()
	for begin := time.Now(); !holds(); Poll() {
		if time.Since(begin) > Patience {
			for _, text := range read {
				t.Log(text())
			}
			t.Fatalf("waited %s in vain: %s", Patience, what)
		}
	}
}

// Kugetsu is Program for a test.
func Kugetsu(t testing.TB) string {
	t.Helper()
	path, err := Program()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Program and Install are those of package built.
var Program, Install = built.Program, built.Install
