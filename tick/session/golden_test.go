package session

import (
	"os"
	"path/filepath"
	"testing"

	"kugetsu/slots"
)

func TestReviewOfAReleasedVersionIsReadAndWrittenByteForByte(t *testing.T) {
	// Part of a state folder that a released version wrote: see package queue's test.
	const golden = slots.Dir("../../queue/testdata/golden")
	const session = "127.0.0.1@8931+you+project@1"
	home := slots.Dir(t.TempDir())
	must(t, home.Make())
	s, err := golden.ReadSession(session)
	must(t, err)
	review, err := ReadReview(golden, session, s.PRURL)
	must(t, err)
	must(t, reviewFile(home, session).Write(&review))
	want, err := os.ReadFile(filepath.Join(golden.Reviews(), session+".json"))
	must(t, err)
	got, err := os.ReadFile(filepath.Join(home.Reviews(), session+".json"))
	must(t, err)
	if string(got) != string(want) {
		t.Errorf("the review was\n%sand is written as\n%s", want, got)
	}
}
