package slots

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzNames: what is believed as the name of a session, a run, a slot or a marker is one element of a path.
func FuzzNames(f *testing.F) {
	for _, name := range []string{"pm-agent", "github.com+you+project@7", "q_01arz3ndektsv4rrffq69g5fav.1", "1", "pm", "1.json", "started", "end.ok.0",
		"..", ".", "", "-x", "a/b", "a\nb", "end.ok.0/..", "q_01arz3ndektsv4rrffq69g5fav.1\n", "end../../x.0", strings.Repeat("a", 221)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		element := func(what, s string) {
			if !filepath.IsLocal(s) || filepath.Base(s) != s || strings.HasPrefix(s, ".") || strings.HasPrefix(s, "-") || len(s)+len(".json") > 255 {
				t.Errorf("%q is a %s", s, what)
			}
			for i := range len(s) {
				if s[i] <= ' ' || s[i] >= 0x7f {
					t.Errorf("%q is a %s", s, what)
				}
			}
		}
		if isSession(name) {
			element("session", name)
		}
		if runName().MatchString(name) {
			element("run", name)
		}
		if slotFile().MatchString(name) {
			element("slot's file", name)
		}
		if m, ok := parseMarker(name); ok {
			element("marker", name)
			if again, ok := parseMarker(m.name()); !ok || again != m {
				t.Errorf("%q is %+v, and that is %+v", name, m, again)
			}
		}
		if s := (Session{IssueRef: name, Worktree: "/x/" + name}); s.belongsTo(name) && name != PMSession {
			element("session", name)
		}
	})
}

// FuzzEnv: an env file becomes variables that can be given to a process, or an error that tells no part of it.
func FuzzEnv(f *testing.F) {
	for _, data := range []string{"A=b\n# c\nexport X='y z'\n", "TOKEN=\"a\\nb\"\n", "xyzzy-without-a-name\n", "=x\n", "A=\x00\n", "A='b\n", "A=\"\\uD800\"",
		"\xef\xbb\xbfA=b", "A=b\r\nB=c\r\n", strings.Repeat("x", 70000), "A=$(touch x)\n"} {
		f.Add([]byte(data))
	}
	path := filepath.Join(f.TempDir(), "x.env")
	f.Fuzz(func(t *testing.T, data []byte) {
		// A secret at the end of each line, of which no error may tell.
		data = append(bytes.ReplaceAll(data, []byte("\n"), []byte("xyzzy\n")), "xyzzy"...)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		env, err := readEnv(path)
		if err != nil {
			if strings.Contains(err.Error(), "xyzzy") || !strings.Contains(err.Error(), path) {
				t.Errorf("%q tells of the text", err)
			}
			return
		}
		for _, kv := range env {
			name, _, ok := strings.Cut(kv, "=")
			if !ok || name == "" || strings.ContainsAny(name, " \t\r\n\x00'\"") {
				t.Errorf("%q is a variable", kv)
			}
		}
	})
}
