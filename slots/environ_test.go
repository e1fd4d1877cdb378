package slots

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestEnvironmentIsMadeAndNotInherited(t *testing.T) {
	t.Setenv("HOME", "/home/you")
	t.Setenv("PATH", "/poor")
	t.Setenv("LANG", "tlh")
	t.Setenv("CANARY", "1")
	t.Setenv("SSH_AUTH_SOCK", "/leaked")
	for _, c := range []struct {
		name     string
		base     map[string]string
		settings []string
		want     []string // of PATH, LANG and on
	}{
		{"nothing is configured", nil, nil, []string{"PATH=/poor", "LANG=C.UTF-8", "KUGETSU_DIR=/state"}},
		{
			"the configuration wins",
			map[string]string{"PATH": "/rich", "LANG": "en_GB.UTF-8"},
			nil,
			[]string{"PATH=/rich", "LANG=en_GB.UTF-8", "KUGETSU_DIR=/state"},
		},
		{
			"what only the configuration may give",
			map[string]string{"SSH_AUTH_SOCK": "/s", "XDG_RUNTIME_DIR": "/x"},
			[]string{"MAX_ATTEMPTS=5"},
			[]string{"PATH=/poor", "LANG=C.UTF-8", "KUGETSU_DIR=/state", "SSH_AUTH_SOCK=/s", "XDG_RUNTIME_DIR=/x", "MAX_ATTEMPTS=5"},
		},
	} {
		env, err := Dir("/state").Environ(c.base, c.settings)
		must(t, err)
		var rest []string
		for _, kv := range env {
			name, value, _ := strings.Cut(kv, "=")
			switch name {
			case "HOME":
				if value != "/home/you" {
					t.Errorf("%s: %s", c.name, kv)
				}
			case "USER", "LOGNAME", "SHELL":
				if value == "" {
					t.Errorf("%s: %s", c.name, kv)
				}
			default:
				rest = append(rest, kv)
			}
		}
		if !slices.Equal(rest, c.want) || len(env) != len(c.want)+4 {
			t.Errorf("%s: %v", c.name, env)
		}
	}
}

func TestLaterValueWinsAndANameIsThereOnce(t *testing.T) {
	env := []string{"A=1", "AB=2", "B=3"}
	for _, c := range []struct {
		more []string
		want string
	}{
		{nil, "A=1 AB=2 B=3"},
		{[]string{"A=4"}, "AB=2 B=3 A=4"},
		{[]string{"A=4", "A=5", "C=6"}, "AB=2 B=3 A=5 C=6"},
		{[]string{"A="}, "AB=2 B=3 A="},
		{[]string{"A=x=y"}, "AB=2 B=3 A=x=y"},
	} {
		if got := strings.Join(with(env, c.more...), " "); got != c.want {
			t.Errorf("%v: %s", c.more, got)
		}
	}
	if got := strings.Join(without(slices.Clone(env), "A"), " "); got != "AB=2 B=3" {
		t.Errorf("%s", got)
	}
	if got := strings.Join(env, " "); got != "A=1 AB=2 B=3" {
		t.Errorf("the caller's was changed: %s", got)
	}
}

func TestEnvFileIsLinesAndItsErrorsShowNoValue(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "default.env")
	for _, c := range []struct {
		text, want string
		line       string // named by the error
	}{
		{"", "", ""},
		{"# a comment\n\nB=2\nexport A=1 # one\n", "A=1 B=2", ""},
		{"A='s3cret $HOME `x`'\n", "A=s3cret $HOME `x`", ""},
		{"A=s3cret\nA=later\n", "A=later", ""},
		{"s3cret", "", "line 1"},
		{"A=1\ns3cret\n", "", "line 2"},
		{"A='s3cret", "", "line 1"},
		{`A="s3cret`, "", "line 1"},
		{`A="s3cret\q"`, `A=s3cret\q`, ""},
		{"A=s3cret\x00", "", "line 1"},
		{"s3cret key=1", "", "line 1"},
		{"A=" + strings.Repeat("s3cret", 30_000), "", "line 1"}, // longer than a program can be given
	} {
		must(t, os.WriteFile(path, []byte(c.text), 0o600))
		env, err := readEnv(path)
		if got := strings.Join(env, " "); got != c.want || (err != nil) != (c.line != "") {
			t.Errorf("%.40q: %.40q, %v", c.text, got, err)
		}
		if err == nil {
			continue
		}
		if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), c.line) || strings.Contains(err.Error(), "s3cret") || strings.Contains(err.Error(), `"q"`) {
			t.Errorf("%.40q: %v", c.text, err)
		}
	}
	if env, err := readEnv(filepath.Join(dir, "missing")); err != nil || env != nil {
		t.Errorf("%v, %v", env, err)
	}
	fifo := filepath.Join(dir, "fifo")
	must(t, unix.Mkfifo(fifo, 0o600))
	for _, path := range []string{fifo, dir} {
		if _, err := readEnv(path); err == nil {
			t.Errorf("%s was read", path)
		}
	}
}
