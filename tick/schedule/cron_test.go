package schedule

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kugetsu/queue/fault"
)

// hostile lists paths that a shell or a cron misreads unless they are quoted.
var hostile = []string{
	"/usr/bin/kugetsu", "/a b/c", "/it's/here", `/say "hi"`, "/100%", "/100%%%", "/#1", "/a;b&c|d", "/$HOME/`id`/$(id)", "/~/x",
	`/back\slash`, `/two\\`, `/three\\\x`, `/a\%b`, `/a\\%b`, `/a%\b`, `/'\''%'`, "/月", "/a*?[b]", "/-n", "/x=y", "/!{a,b}", "/it's 100% #1",
}

// takesBackslash treats a command as the crons do that remove the backslash of a percent sign before sh sees it;
// leavesBackslash treats it as the other crons do. Both end the command at a percent sign that has no backslash.
func takesBackslash(command string) string {
	var b strings.Builder
	for i := 0; i < len(command); i++ {
		if c := command[i]; c == '\\' && i+1 < len(command) && strings.IndexByte(`\%`, command[i+1]) >= 0 {
			i++
			b.WriteByte(command[i])
		} else if c == '%' {
			break
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func leavesBackslash(command string) string {
	for i := 0; i < len(command); i++ {
		switch command[i] {
		case '\\':
			i++
		case '%':
			return command[:i]
		}
	}
	return command
}

func TestPathsReachTheCommandThroughCronAndShell(t *testing.T) {
	for _, path := range hostile {
		for name, cron := range map[string]func(string) string{"takes": takesBackslash, "leaves": leavesBackslash} {
			out, err := exec.Command("/bin/sh", "-c", cron(`printf \%s `+quote(path))).Output()
			if err != nil || string(out) != path {
				t.Errorf("%s, with a cron that %s the backslash: %q, %v", path, name, out, err)
			}
		}
	}
}

func FuzzPathThroughCron(f *testing.F) {
	for _, path := range hostile {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if (Job{Binary: path}).check() != nil || path == "" {
			t.Skip("refused before it is quoted")
		}
		for name, cron := range map[string]func(string) string{"takes": takesBackslash, "leaves": leavesBackslash} {
			// The paths above went through a real shell. Here unquote reads the quotes, which is faster.
			if got := unquote(cron(quote(path))); got != path {
				t.Errorf("%q, with a cron that %s the backslash: %q", path, name, got)
			}
		}
	})
}

// unquote reads a word as sh does.
func unquote(word string) string {
	var b strings.Builder
	single := false
	for i := 0; i < len(word); i++ {
		switch c := word[i]; {
		case c == '\'':
			single = !single
		case c == '\\' && !single:
			i++
			b.WriteByte(word[i])
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

func TestLineThatAUserCouldWriteIsWritten(t *testing.T) {
	j := cron{Job{Name: "kugetsu", Binary: "/usr/local/bin/kugetsu", Dir: "/home/you/.kugetsu", Default: true, Minutes: 5}}
	if got, want := j.plainLine(), "*/5 * * * * /usr/local/bin/kugetsu tick --scheduled"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	j.Minutes, j.Default, j.Dir = 1, false, "/srv/50% of it"
	if got, want := j.plainLine(), `* * * * * KUGETSU_DIR='/srv/50'\%' of it' /usr/local/bin/kugetsu tick --scheduled`; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

var crontabs = []string{
	"", "\n", "# nothing\n", "MAILTO=you\n\n0 1 * * * backup\n", "0 1 * * * backup", "# crlf\r\n0 1 * * * backup\r\n", "0 1 * * * date +\\%F %in\n", "\xff\xfe\x00\n",
	"# begin kugetsu-0a1b2c3d: another\n* * * * * x\n# end kugetsu-0a1b2c3d\n", "#begin kugetsu:\n", " # begin kugetsu:\n", "# end kugetsuX\n",
}

func check(t *testing.T, j cron, text string) {
	t.Helper()
	in, err := j.with(text)
	if err != nil {
		t.Errorf("%q: %v", text, err)
		return
	}
	if n := strings.Count(in, j.plainLine()); n != 1 || !strings.HasPrefix(in, text) {
		t.Errorf("%q became %q", text, in)
	}
	if again, err := j.with(in); again != in || err != nil {
		t.Errorf("%q: installed twice it is %q, %v", text, again, err)
	}
	later := j
	later.Minutes = 17
	changed, err := later.with(in)
	if err != nil || changed != strings.Replace(in, j.plainLine(), later.plainLine(), 1) {
		t.Errorf("%q: with another interval it is %q, %v", text, changed, err)
	}
	for _, with := range []string{in, changed, text} {
		if out, err := j.without(with); out != text || err != nil {
			t.Errorf("%q without the block is %q, not %q: %v", with, out, text, err)
		}
	}
	// Lines that an editor adds behind the block stay, too.
	for _, more := range []string{"0 2 * * * later\n", "\r\n0 2 * * * later"} {
		out, err := j.without(in + more)
		want := text + more
		if text != "" && !strings.HasSuffix(text, "\n") {
			want = text + "\n" + more // a newline, or two lines would become one
		}
		if out != want || err != nil {
			t.Errorf("%q + %q without the block is %q, %v", in, more, out, err)
		}
	}
}

var job = cron{Job{Name: "kugetsu", Binary: "/it's/100%/kugetsu", Dir: "/home/you/.kugetsu", Default: true, Minutes: 5}}

func TestOtherBytesOfACrontabStay(t *testing.T) {
	for _, text := range crontabs {
		check(t, job, text)
	}
}

func FuzzCrontab(f *testing.F) {
	for _, text := range crontabs {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if begin, _, _, err := job.locate(text); err != nil || begin >= 0 {
			t.Skip("it has a block, or a part of one")
		}
		if strings.Contains(text, job.plainLine()) {
			t.Skip("it has the line")
		}
		if line, err := job.lineBelow(text); err != nil || line != job.plainLine() {
			t.Skip("it sets a shell, or a folder")
		}
		check(t, job, text)
	})
}

func TestBlockThatIsNotAsItWasWrittenIsRefused(t *testing.T) {
	good := job.plainBlock()
	begin, rest, _ := strings.Cut(good, "\n")
	line, end, _ := strings.Cut(rest, "\n")
	for what, text := range map[string]string{
		"no end":                  begin + "\n" + line + "\n",
		"no begin":                line + "\n" + end,
		"end before begin":        end + line + "\n" + begin + "\n",
		"two blocks":              good + good,
		"two begins":              begin + "\n" + good,
		"two ends":                good + end,
		"nothing in it":           begin + "\n" + end,
		"a line of somebody else": begin + "\n" + line + "\n0 1 * * * backup\n" + end,
		"no end, and others":      begin + "\n" + line + "\n0 1 * * * backup\n",
	} {
		for name, change := range map[string]func(string) (string, error){"with": job.with, "without": job.without} {
			out, err := change("0 0 * * * first\n" + text)
			if err == nil || fault.HintOf(err) == "" {
				t.Errorf("%s, %s: %q, %v", what, name, out, err)
			}
		}
	}
}

func TestBlockIsFoundWhateverAnEditorDidToItsLineEnds(t *testing.T) {
	for _, text := range []string{
		strings.ReplaceAll("# mine\n"+job.plainBlock(), "\n", "\r\n"),
		strings.TrimSuffix("# mine\n"+job.plainBlock(), "\n"),
		strings.ReplaceAll("# mine\n"+job.plainBlock(), "\n", "  \n"),
	} {
		_, _, line, err := job.locate(text)
		want := job.plainLine()
		if strings.Contains(text, "\r") {
			want += "\r" // cron would take it for a part of the command, so the block is not current
		}
		if err != nil || line != want {
			t.Errorf("%q: %q, %v", text, line, err)
		}
		out, err := job.without(text)
		if err != nil || !bytes.HasPrefix([]byte(text), []byte(out)) || strings.TrimSpace(out) != "# mine" {
			t.Errorf("%q without it is %q, %v", text, out, err)
		}
	}
}

func (c cron) plainLine() string {
	line, _ := c.lineBelow("")
	return line
}

func (c cron) plainBlock() string {
	block, _ := c.block("")
	return block
}

func TestLineBelowOthersGoesByItsOwnHomeAndFolder(t *testing.T) {
	there := t.TempDir()
	fish := filepath.Join(there, "fish")
	if err := os.WriteFile(fish, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	own := cron{Job{Name: "kugetsu", Binary: "/opt/bin/kugetsu", Dir: "/home/you/.kugetsu", Default: true, Minutes: 1, Home: "/home/you"}}
	other, spaced := own, own
	other.Dir, other.Default = "/srv/k", false
	spaced.Binary = "/opt/my bin/kugetsu"
	const plain = "/opt/bin/kugetsu tick --scheduled"
	for _, c := range []struct {
		job         cron
		above, want string // "" for refused
	}{
		{own, "", plain},
		{own, "MAILTO=me\nPATH=/x\nCRON_TZ=Asia/Tokyo\nMAX_CONCURRENT_AGENTS=1\n", plain},
		{own, "# HOME=/elsewhere\n0 1 * * * HOME=/elsewhere x\n0 1 * * * x HOME = /y\n", plain},
		{own, "HOME=/home/you\n", plain},
		{own, "HOME=" + there + "\n", "HOME=/home/you " + plain},
		{own, "  HOME = \"" + there + "\"  \n", "HOME=/home/you " + plain},
		{own, "\"HOME\"='" + there + "'\n", "HOME=/home/you " + plain},
		{own, "HOME=/elsewhere\nHOME=/home/you\n", plain},
		{own, "HOME=" + there + "\nKUGETSU_DIR=/other\n", "HOME=/home/you KUGETSU_DIR=/home/you/.kugetsu " + plain},
		{own, "KUGETSU_DIR=", "KUGETSU_DIR=/home/you/.kugetsu " + plain},
		{other, "KUGETSU_DIR=/other\n", "KUGETSU_DIR=/srv/k " + plain},
		{own, "HOME=/no/such/folder\n", ""},
		{own, "HOME=" + there + "\r\n", ""}, // cron has the carriage return in the name
		{own, "SHELL=/bin/sh\n", plain},
		{other, "SHELL=/bin/sh\n", "KUGETSU_DIR=/srv/k " + plain},
		{own, "SHELL=/bin/sh\r\n", ""},
		{own, "SHELL=/bin/false\n", ""},
		{own, "SHELL=/no/such/bash\n", ""},
		{own, "SHELL=" + fish + "\n", plain},
		{other, "SHELL=" + fish + "\n", "/usr/bin/env KUGETSU_DIR=/srv/k " + plain},
		{spaced, "SHELL=" + fish + "\n", ""},
	} {
		line, err := c.job.lineBelow(c.above)
		if c.want == "" {
			if err == nil || fault.HintOf(err) == "" {
				t.Errorf("below %q: %q, %v", c.above, line, err)
			}
			continue
		}
		if want := "* * * * * " + c.want; line != want || err != nil {
			t.Errorf("below %q: %q, %v, want %q", c.above, line, err, want)
		}
		// A block is still found after a line was put above it, and repaired.
		in, err := c.job.with(c.above)
		if err != nil {
			t.Fatal(err)
		}
		begin, _, got, err := c.job.locate(in)
		if err != nil || got != line || !strings.HasPrefix(in, c.above) {
			t.Errorf("below %q: %q, %v", c.above, in, err)
		}
		moved, err := c.job.with("HOME=" + there + "\n" + in[begin:])
		if _, _, got, _ := c.job.locate(moved); err != nil || !strings.Contains(got, "HOME=/home/you ") {
			t.Errorf("with HOME put above it is %q, %v", moved, err)
		}
	}
}
