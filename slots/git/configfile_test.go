package git

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// asGit is what git says of a file of configuration; false where it refuses the file.
func asGit(t interface{ Fatal(...any) }, dir, text string) ([]Setting, bool) {
	file := filepath.Join(dir, "config")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("git", "config", "--file", file, "--no-includes", "--list", "-z").Output()
	return parseConfig(string(out)), err == nil
}

func TestPlainConfigurationIsReadAsGitReadsIt(t *testing.T) {
	dir := t.TempDir()
	for text, plain := range map[string]bool{
		"": true,
		"[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n[remote \"origin\"]\n\turl = https://x/y.git\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n": true,
		"[branch \"fix/issue-1\"]\n\tremote = origin\n\tmerge = refs/heads/fix/issue-1":                                                                                          true,
		"# remark\n ; another\n[Core]\n  Bare\n  FileMode=\n\tx = a = b \t\n":                                                                                                    true,
		"[a \"B.c\"]\nk = caf\u00e9 \xff\n":   true,
		"[include]\npath = x\n":               true,
		"[a]\nk = v # remark\n":               false,
		"[a]\nk = v; remark\n":                false,
		"[a]\nk = \"a  b # c;d\"\nw = \"\"\n": true,
		"[a]\nk = \"v\" w\n":                  false,
		"[a]\nk = \"v\" \"w\"\n":              false,
		"[a]\nk = \"v\n":                      false,
		"[a]\nk = \"\n":                       false,
		"[a]\nk = v\"\n":                      false,
		"[a]\nk = \"v\\\\\"\n":                false,
		"[a]\nk = \"v\"\n":                    true,
		"[a]\nk = v\\\nw = x\n":               false,
		"[a]\nk = a\tb\n":                     false,
		"[a]\nk = a  b\n":                     false,
		"[a]\r\nk = v\r\n":                    false,
		"[a] k = v\n":                         false,
		"[a.b]\nk = v\n":                      false,
		"[a  \"b\"]\nk = v\n":                 false,
		"[a \"b\\\"c\"]\nk = v\n":             false,
		"[a \"b\"] [c \"d\"]\nk=v\n":          false,
		"[a \"b\"\nk = v\n":                   false,
		"[a]\n1k = v\n":                       false,
		"[a]\n-k = v\n":                       false,
		"[a]\nk v\n":                          false,
		"[a]\nk_k = v\n":                      false,
		"[a]\n= v\n":                          false,
		"k = v\n":                             false,
		"[]\nk = v\n":                         false,
		"[a\nk = v\n":                         false,
		"\ufeff[a]\nk = v\n":                  false,
		"[a]\nk = v\x00w\n":                   false,
		"[a]\nk = v\x0bw\n":                   false,
	} {
		got, is := plainConfig(text)
		if is != plain {
			t.Errorf("%q is plain: %v", text, is)
		}
		if want, read := asGit(t, dir, text); is && (!read || !slices.Equal(got, want)) {
			t.Errorf("%q: %q, and to git %q", text, got, want)
		}
	}
}

func TestPlainConfigurationOfAnyTextIsGits(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		piece := rapid.SampledFrom([]string{"[", "]", "[a]", "[A-1 \"b\"]", "\"", "\n", "\n", " ", "\t", "=", " = ", "k", "Key", "1", "-", ".", "v", "#", ";", "\\", "\r", "\x01", "\xff", "é", "\ufeff"})
		text := strings.Join(rapid.SliceOfN(piece, 0, 12).Draw(t, "text"), "")
		got, plain := plainConfig(text)
		if !plain {
			return
		}
		if want, read := asGit(t, dir, text); !read || !reflect.DeepEqual(append([]Setting{}, got...), append([]Setting{}, want...)) {
			t.Fatalf("%q: %q, and to git %q, %v", text, got, want, read)
		}
	})
}
