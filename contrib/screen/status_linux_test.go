package screen

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden screens anew")

// printed is what a command prints in the terminal, with the sequences that colour it or without.
func (p *pane) printed(line string, how ...string) string {
	p.t.Helper()
	p.types("clear; " + line + "; echo $? >~/code")
	if code := p.read("code"); code != "0\n" {
		p.t.Fatalf("%s ended with %q\n%s", line, code, p.text())
	}
	p.until("the prompt", func() bool { return strings.HasSuffix(strings.TrimSpace(p.text()), "\n"+prompt) })
	text := p.tmux(append([]string{"capture-pane", "-p"}, how...)...)
	text, _, _ = strings.Cut(text, "\n"+prompt)
	if err := os.Remove(filepath.Join(p.dir, "code")); err != nil {
		p.t.Fatal(err)
	}
	return text + "\n"
}

// TestStatusAtEachWidth compares the screen with what it was when a person last looked at it. Tables are aligned, nothing is cut
// within a character, and no text of an agent or an issue moves the cursor.
func TestStatusAtEachWidth(t *testing.T) {
	for _, width := range []int{60, 80, 200} {
		t.Run(fmt.Sprint(width), func(t *testing.T) {
			t.Parallel()
			p := open(t, width, 60)
			makeState(t, p.state)
			got := p.printed("kugetsu status")
			if joined := p.printed("kugetsu status", "-J"); lines(joined) != lines(got) {
				t.Errorf("a line is wider than the terminal:\n%s", got)
			}
			path := filepath.Join("testdata", fmt.Sprintf("status-%d.golden", width))
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func lines(text string) int { return strings.Count(text, "\n") }

// TestStatusIsColouredForATerminal, and for nothing else: https://no-color.org.
func TestStatusIsColouredForATerminal(t *testing.T) {
	t.Parallel()
	p := open(t, 80, 60)
	makeState(t, p.state)
	plain := p.printed("kugetsu status")
	for _, c := range []struct {
		line     string
		coloured bool
	}{
		{"kugetsu status", true},
		{"NO_COLOR= kugetsu status", true}, // set and empty is not set
		{"NO_COLOR=1 kugetsu status", false},
		{"TERM=dumb kugetsu status", false},
	} {
		got := p.printed(c.line, "-e")
		if strings.Contains(got, "\x1b[") != c.coloured {
			t.Errorf("%s: %q", c.line, got)
		}
		if c.coloured == (got == plain) {
			t.Errorf("%s: %q, and without colours %q", c.line, got, plain)
		}
	}
	p.types("kugetsu status >~/file; kugetsu status | cat >~/pipe; echo >>~/pipe")
	p.read("pipe")
	if file := p.read("file"); strings.Contains(file, "\x1b") || !strings.Contains(file, "그리고 아무 말도 하지 않았다\n") {
		t.Errorf("into a file: %q", file)
	}
	if pipe := p.read("pipe"); strings.Contains(pipe, "\x1b") {
		t.Errorf("into a pipe: %q", pipe)
	}
}
