package issueref

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestFindSeesReferencesThatStandFree(t *testing.T) {
	const or12 = "github.com/owner/repo#12"
	tests := []struct {
		in   string
		want []string
	}{
		{"fix owner/repo#12 please", []string{or12}},
		{"owner/repo#12", []string{or12}},
		{"(owner/repo#12),", []string{or12}},
		{"[owner/repo#12]", []string{or12}},
		{"owner/repo#12.", []string{or12}},
		{"owner/repo#12...", []string{or12}},
		{"owner/repo#12: fix", []string{or12}},
		{"is it owner/repo#12?!", []string{or12}},
		{"owner/repo#12's test", []string{or12}},
		{"owner/repo#12’s test", []string{or12}},
		{`"owner/repo#12" 'owner/repo#13' ` + "`owner/repo#14`", []string{or12, "github.com/owner/repo#13", "github.com/owner/repo#14"}},
		{"**owner/repo#12**", []string{or12}},
		{"| owner/repo#12|x |", []string{or12}},
		{"line\nowner/repo#12\r\n", []string{or12}},
		{"owner/repo#12を直して", []string{or12}},
		{"課題：owner/repo#12、サーバーowner/repo#13。", []string{or12, "github.com/owner/repo#13"}},
		{"owner/repo#12\xff", []string{or12}},
		{"owner/repo#12,owner/repo#13;owner/repo#14", []string{or12, "github.com/owner/repo#13", "github.com/owner/repo#14"}},
		{"gitlab.com/g/sub/p#3 and owner/repo#12", []string{"gitlab.com/g/sub/p#3", or12}},

		{"see https://github.com/owner/repo/issues/12.", []string{or12}},
		{"[text](https://github.com/owner/repo/issues/12)", []string{or12}},
		{"[a](https://github.com/owner/repo/pull/12/files),owner/repo#13", []string{or12, "github.com/owner/repo#13"}},
		{"<https://github.com/owner/repo/issues/12#issuecomment-5>", []string{or12}},
		{"Issue:https://github.com/owner/repo/issues/12", []string{or12}},
		{`<a href=https://github.com/owner/repo/issues/12>`, []string{or12}},
		{"https://github.com/owner/repo/issues/12,https://gitlab.com/g/p/-/issues/3", []string{or12, "gitlab.com/g/p#3"}},
		{"https://github.com/owner/repo/issues/12,owner/repo#13", []string{or12, "github.com/owner/repo#13"}},
		{"https://example.com/x,https://github.com/owner/repo/issues/12", []string{or12}},
		{"https://github.com/owner/repo/issues/12を直して", []string{or12}},

		{"fix gitea:3000/a/b#1 and [x](http://git.example.com:3000/a/b/issues/3)", []string{"gitea:3000/a/b#1", "git.example.com:3000/a/b#3"}},
		{"[[::1]:3000/a/b#1], [x](http://[::1]:3000/a/b/issues/2)", []string{"[::1]:3000/a/b#1", "[::1]:3000/a/b#2"}},
		{"acme/.github#3", []string{"github.com/acme/.github#3"}},
	}
	for _, tt := range tests {
		if got := canonical(Find(tt.in, "github.com")); !slices.Equal(got, tt.want) {
			t.Errorf("Find(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestFindPassesOverWhatIsGluedToSomethingElse(t *testing.T) {
	for _, in := range []string{
		"",
		"owner/repo#deps", // it may be a link to a part of a page
		"nothing here, not even #12",
		"a/b/c#1",
		"/a/b#1",
		"./a/b#1",
		"../b#1",
		".github/x#1",
		"_private/x#1",
		"~user/x#1",
		"@scope/x#1",
		"-a/b#1",
		"éa/b#1",
		`c:\dir\a/b#1`,
		"o'brien/x#1",
		"x/y#12abc",
		"x/y#12_",
		"x/y#12-13",
		"x/y#12.txt",
		"x/y#12/z",
		"x/y#12#13",
		"x/y#12é",
		"x/y#1２",
		"x/y#0",
		"git@github.com:a/b#1",
		"key=a/b#1",
		"o/r!3",

		"https://example.com/a/b#3",
		"https://example.com/?q=a/b#3",
		"https://example.com/x,a/b#3",
		"https://example.com/(x;a/b#3)",
		"https://github.com/o/r/wiki/x#3",
		"https://gitlab.com/g/p/-/merge_requests/3",
		"host:99999/a/b#1",
		"x[::1]:3000/a/b#1",
		"https://github.com/o/r/issues/3abc",
		"https://web.archive.org/web/2020/https://github.com/o/r/issues/3",
		"xhttps://github.com/o/r/issues/3",
		"ftp://example.com/x,a/b#3",
	} {
		if got := Find(in, "github.com"); len(got) != 0 {
			t.Errorf("Find(%q) = %q, want nothing", in, got)
		}
	}
}

func TestFindNamesEachIssueOnceInItsFirstSpelling(t *testing.T) {
	text := "Owner/Repo#1, then github.com/owner/repo#1 and https://github.com/OWNER/repo/issues/1, then a/b#2 and owner/repo#1"
	want := []string{"github.com/Owner/Repo#1", "github.com/a/b#2"}
	if got := canonical(Find(text, "github.com")); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func canonical(refs []Ref) []string {
	var all []string
	for _, r := range refs {
		all = append(all, r.String())
	}
	return all
}

// checkRef checks what holds for every reference that was let in.
func checkRef(t *testing.T, r Ref, defaultHost string) {
	t.Helper()
	host, _, _ := strings.Cut(r.String(), "/")
	plain := r
	plain.HTTP = false // no part of its name
	if got, err := Parse(r.String(), host); err != nil || got != plain {
		t.Errorf("Parse(%q) = %#v, %v, want %#v", r, got, err, plain)
	}
	if got := canonical(Find(r.String(), host)); !slices.Equal(got, []string{r.String()}) {
		t.Errorf("Find(%q) = %q", r, got)
	}
	name := r.Session()
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789.+@_-") != "" {
		t.Errorf("strange characters in the session %q", name)
	}
	if back, err := FromSession(name); err != nil || !strings.EqualFold(back.String(), r.String()) {
		t.Errorf("FromSession(%q) = %s, %v, want %s", name, back, err, r)
	}
	if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "-") || len(name) > 205 {
		t.Errorf("bad name for a file: %q", name)
	}
	if !filepath.IsLocal(name) || filepath.Base(name) != name {
		t.Errorf("not one path element: %q", name)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"owner/repo#12", "GitHub.com/Owner/Repo#1", "a/b/c#1", "localhost/a/b#1", "localhost:80/a/b#1",
		"https://github.com/o/r/pull/3/files?x#y", "https://gitlab.com/g/s/p/-/issues/3", "../..#1", "a/b#1\n",
		"[::1]:3000/a/b#1", "http://[fe80::0:1]/a/.b/issues/1", "gitea:3000/a/-b#1", "http://gitea/a/_b/issues/1", "h:443/a/b#1",
	} {
		f.Add(s, "github.com")
		f.Add(s, "a")
		f.Add(s, "")
	}
	f.Fuzz(func(t *testing.T, s, defaultHost string) {
		r, err := Parse(s, defaultHost)
		if err == nil {
			checkRef(t, r, defaultHost)
			return
		}
		if !r.IsZero() {
			t.Errorf("%#v beside the error %v", r, err)
		}
		if i := strings.IndexFunc(err.Error(), func(r rune) bool { return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 }); i >= 0 {
			t.Errorf("a control character at %d of %q", i, err)
		}
	})
}

func FuzzFind(f *testing.F) {
	for _, s := range []string{
		"(owner/repo#12), A/b#3's; 'a/b#3' a/b/c#1", "[x](https://github.com/o/r/issues/3)", "x/y#12abc",
		"see:https://gitlab.com/g/p/-/work_items/3,https://example.com/x,a/b#1", "課題a/b#1を", "git@h:a/b#1",
	} {
		f.Add(s, "github.com")
		f.Add(s, "a")
		f.Add(s, "")
	}
	f.Fuzz(func(t *testing.T, text, defaultHost string) {
		seen := make(map[string]bool)
		for _, r := range Find(text, defaultHost) {
			checkRef(t, r, defaultHost)
			if seen[r.Session()] {
				t.Errorf("%s is found twice", r)
			}
			seen[r.Session()] = true
		}
	})
}
