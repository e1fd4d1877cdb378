package spool

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestFileSystemThatDoesNotAnswerIsGivenUpOn(t *testing.T) {
	was := answerMost
	t.Cleanup(func() { answerMost = was })
	answerMost = 20 * time.Millisecond
	path := filepath.Join(t.TempDir(), "page")
	hangs, ended := make(chan bool), make(chan bool)
	err := Answered(path, func() error { <-hangs; close(ended); return nil })
	if err == nil || !strings.Contains(err.Error(), path+": its file system did not answer within 20ms") {
		t.Errorf("%v", err)
	}
	answerMost = was
	if err := Export(path, nil); err == nil { // while the first call hangs, no second one begins
		t.Error("a second call is made at the same path")
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the file was written")
	}
	if err := Export(path+"2", nil); err != nil {
		t.Errorf("another path: %v", err)
	}
	close(hangs)
	<-ended
	for begin := time.Now(); ; <-time.After(time.Millisecond) {
		if err = Export(path, nil); err == nil {
			break
		}
		if time.Since(begin) > time.Minute {
			t.Fatalf("the file system answers again, and the path is still refused: %v", err)
		}
	}
	want := errors.New("its own")
	if err := Answered(path, func() error { return want }); err != want {
		t.Errorf("%v", err)
	}
}
