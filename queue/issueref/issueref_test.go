package issueref

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseReadsEveryFormOfAReference(t *testing.T) {
	tests := []struct{ in, want string }{
		{"owner/repo#12", "github.com/owner/repo#12"},
		{"github.com/owner/repo#12", "github.com/owner/repo#12"},
		{"GitHub.COM/Owner/Repo#12", "github.com/Owner/Repo#12"},
		{"gitlab.com/group/sub/deep/repo#3", "gitlab.com/group/sub/deep/repo#3"},
		{"localhost/owner/repo#1", "localhost/owner/repo#1"},
		{"o.w-n_er/r.e-p_o#999999999", "github.com/o.w-n_er/r.e-p_o#999999999"},
		{"0/1#1", "github.com/0/1#1"},
		// Two segments are always owner and repository, even where the first looks like a host.
		{"example.com/repo#1", "github.com/example.com/repo#1"},

		{"https://github.com/owner/repo/issues/12", "github.com/owner/repo#12"},
		{"http://github.com/owner/repo/issues/12/", "github.com/owner/repo#12"},
		{"HTTPS://GitHub.com/Owner/Repo/pull/12", "github.com/Owner/Repo#12"},
		{"https://github.com/owner/repo/pull/12/files", "github.com/owner/repo#12"},
		{"https://github.com/owner/repo/pull/12/commits/0a1b2c", "github.com/owner/repo#12"},
		{"https://github.com/owner/repo/pull/12#issuecomment-5", "github.com/owner/repo#12"},
		{"https://github.com/owner/repo/issues/12?x=y#z", "github.com/owner/repo#12"},
		{"https://github.com/owner/repo/issues/12?from=a/-/b", "github.com/owner/repo#12"},
		{"https://gitlab.com/group/repo/-/issues/3", "gitlab.com/group/repo#3"},
		{"https://gitlab.com/g/sub/p/-/issues/3#note_5", "gitlab.com/g/sub/p#3"},
		{"https://gitlab.com/g/sub/p/-/work_items/3", "gitlab.com/g/sub/p#3"},
		{"https://codeberg.org/owner/repo/issues/3", "codeberg.org/owner/repo#3"},
		{"https://codeberg.org/owner/repo/pulls/3/files", "codeberg.org/owner/repo#3"},
		{"http://localhost/owner/repo/pulls/3", "localhost/owner/repo#3"},

		{"http://git.example.com:3000/a/b/issues/1", "git.example.com:3000/a/b#1"},
		{"Gitea:3000/a/b#1", "gitea:3000/a/b#1"},
		{"http://gitea/a/b/issues/1", "gitea/a/b#1"},
		{"https://intranet/owner/repo/issues/1", "intranet/owner/repo#1"},
		{"localhost:3000/a/b#1", "localhost:3000/a/b#1"},
		{"git.lan:3000/acme/shop#31", "git.lan:3000/acme/shop#31"},
		{"[::1]:3000/a/b#1", "[::1]:3000/a/b#1"},
		{"http://[2001:DB8::0001]/a/b/pulls/1", "[2001:db8::1]/a/b#1"},
		{"http://git.lan:80/a/b/issues/1", "git.lan/a/b#1"},
		{"https://git.lan:443/a/b/issues/1", "git.lan/a/b#1"},
		{"git.lan:443/a/b#1", "git.lan/a/b#1"},
		{"acme/.github#3", "github.com/acme/.github#3"},
		{"https://github.com/acme/_config/issues/3", "github.com/acme/_config#3"},
		{"acme/-dash#3", "github.com/acme/-dash#3"},
	}
	for _, tt := range tests {
		got, err := Parse(tt.in, "github.com")
		if err != nil {
			t.Errorf("Parse(%q): %v", tt.in, err)
		} else if got.String() != tt.want {
			t.Errorf("Parse(%q) = %s, want %s", tt.in, got, tt.want)
		}
	}
}

func TestParseReadsTheURLOfAnIssueBelowThePathOfAForge(t *testing.T) {
	below := []string{"example.com/git", "example.com/git/two", "lan:3000/x"}
	for in, want := range map[string]string{
		"https://example.com/git/owner/repo/issues/3":      "example.com/git/owner/repo#3",
		"https://Example.com:443/Git/owner/repo/pulls/3/x": "example.com/Git/owner/repo#3",
		"https://example.com/git/two/owner/repo/issues/3":  "example.com/git/two/owner/repo#3",
		"http://lan:3000/x/owner/repo/pull/3":              "lan:3000/x/owner/repo#3",
		"https://github.com/git/repo/issues/3":             "github.com/git/repo#3",
		"https://example.com/git/g/repo/-/issues/3":        "example.com/git/g/repo#3",
	} {
		if got, err := Parse(in, "github.com", below...); err != nil || got.String() != want {
			t.Errorf("Parse(%q) = %s, %v, want %s", in, got, err, want)
		}
		if got := canonical(Find("see ("+in+").", "github.com", below...)); !slices.Equal(got, []string{want}) {
			t.Errorf("Find(%q) = %q, want %s", in, got, want)
		}
	}
	for _, in := range []string{"https://example.com/git/owner/repo/x/issues/3", "https://example.com/gitx/owner/repo/issues/3", "https://lan/x/owner/repo/issues/3", "https://example.com/git"} {
		if got, err := Parse(in, "github.com", below...); err == nil {
			t.Errorf("Parse(%q) = %s", in, got)
		}
	}
}

func TestParseSaysWhyItRefuses(t *testing.T) {
	const (
		form   = "want host/owner/repo#number"
		noHost = "is not a host"
		noPart = "is not an owner, group or repository"
		noNum  = "is not an issue number"
		noURL  = "not that of an issue"
		noPort = "want 1 to 65535"
		user   = "holds credentials"
	)
	tests := []struct{ in, want string }{
		{"", form},
		{"#12", form},
		{"repo#12", form},
		{"owner/repo", form},
		{"fix the login", form},
		{"github.com/owner/repo/issues/3", form},

		{"a/b/c#1", noHost},
		{"/owner/repo#1", noHost},
		{"./owner/repo#1", noHost},
		{".example.com/owner/repo#1", noHost},
		{"-example.com/owner/repo#1", noHost},
		{"https://user:secret@github.com/owner/repo/issues/1", user},
		{"user:secret@github.com/owner/repo#1", user},
		{"git@github.com:owner/repo#1", noPart},
		{"github.com:owner/repo#1", noPart},
		{"github.com:owner/group/repo#1", noHost},
		{"ftp://github.com/owner/repo#1", noHost},
		{"localhost:3000/repo#1", noPart}, // an owner is missing, or 3000 is one
		{"localhost:0/owner/repo#1", noPort},
		{"localhost:65536/owner/repo#1", noPort},
		{"localhost:03000/owner/repo#1", noPort},
		{"https://localhost:/owner/repo/issues/1", noHost},
		{"localhost:+80/owner/repo#1", noHost},
		{"[::1/owner/repo#1", noHost},
		{"[::1%eth0]/owner/repo#1", noHost},
		{"[::ffff:127.0.0.1]/owner/repo#1", noHost},
		{"::1/owner/repo#1", noHost},

		{"owner/..#1", noPart},
		{"../repo#1", noPart},
		{"github.com/owner/../repo#1", noPart},
		{"https://github.com/owner/../issues/1", noPart},
		{"owner/.git#1", noPart},
		{"owner/.#1", noPart},
		{"owner/-#1", noPart},
		{".owner/repo#1", noPart},
		{"github.com/owner/.group/repo#1", noPart},
		{"-owner/repo#1", noPart},
		{"_owner/repo#1", noPart},
		{"@owner/repo#1", noPart},
		{"own+er/repo#1", noPart},
		{"own er/repo#1", noPart},
		{" owner/repo#1", noPart},
		{"owner/#1", noPart},
		{"github.com/owner//repo#1", noPart},
		{"owner/répo#1", noPart},
		{"owner/repo\n#1", noPart},

		{"owner/repo#", noNum},
		{"owner/repo#0", noNum},
		{"owner/repo#01", noNum},
		{"owner/repo#-1", noNum},
		{"owner/repo#1234567890", noNum},
		{"owner/repo#12abc", noNum},
		{"owner/repo#1#2", noNum},
		{"owner/repo#1 ", noNum},
		{"owner/repo#1\n", noNum},
		{"owner/repo#1/", noNum},
		{"owner/repo#１", noNum},
		{"https://github.com/owner/repo/issues/new", noNum},

		{"https://", noURL},
		{"https://github.com/owner/repo", noURL},
		{"https://github.com/owner/repo#3", noURL},
		{"https://github.com/owner/repo/issues", noURL},
		{"https://github.com/owner/repo/commit/12", noURL},
		{"https://github.com/a/b/c/issues/3", noURL},
		{"https://api.github.com/repos/owner/repo/issues/3", noURL},
		{"https://gitlab.com/g/p/-/pipelines/3", noURL},
		{"https://gitlab.com/g/p/-/issues", noURL},
		{"https://gitlab.com/g/-/issues/3", "a repository is owner/repo"},
		{"https://gitlab.com/g/p/-/merge_requests/3", "merge requests are numbered apart"},
		{"https://gitlab.com/g/p/merge_requests/3", "merge requests are numbered apart"},
		{"https://github.com/owner/repo/issues/3 and more", "white space"},
		{"https://github.com/owner/repo/issues/3\x1b[2J", "control"},

		{"owner/" + strings.Repeat("r", 200) + "#1", "longer than 200 bytes"},
	}
	for _, tt := range tests {
		got, err := Parse(tt.in, "github.com")
		if err == nil {
			t.Errorf("Parse(%q) = %s, want an error", tt.in, got)
		} else if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Parse(%q): %v, want %q in it", tt.in, err, tt.want)
		}
		if !got.IsZero() {
			t.Errorf("Parse(%q) = %#v beside its error", tt.in, got)
		}
	}
}

func TestDefaultHostNeedsNoDot(t *testing.T) {
	for _, in := range []string{"owner/repo#1", "Gitea/owner/repo#1", "http://gitea/owner/repo/issues/1"} {
		if got, err := Parse(in, "GITEA"); err != nil || got.String() != "gitea/owner/repo#1" {
			t.Errorf("Parse(%q) = %s, %v", in, got, err)
		}
	}
}

func TestBadDefaultHostIsRefusedOnlyWhereItIsUsed(t *testing.T) {
	for host, want := range map[string]string{
		"":               "no default one",
		"gitea:0":        "want 1 to 65535",
		"https://x.org":  "is not a host name",
		"x.org/y":        "is not a host name",
		"..":             "is not a host name",
		"x.org\x1b[2J\n": `\x1b[2J\n`,
	} {
		if _, err := Parse("owner/repo#1", host); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("default host %q: %v, want %q in it", host, err, want)
		}
		if _, err := Parse("github.com/owner/repo#1", host); err != nil {
			t.Errorf("default host %q: %v", host, err)
		}
	}
}

func TestLongestReferenceIsTwoHundredBytes(t *testing.T) {
	repo := strings.Repeat("r", maxLen-len("github.com/owner/#1"))
	if _, err := Parse("owner/"+repo+"#1", "github.com"); err != nil {
		t.Error(err)
	}
	if _, err := Parse("owner/"+repo+"#12", "github.com"); err == nil {
		t.Error("one byte more was accepted")
	}
}

func TestErrorsAreShortAndHoldNoControlCharacters(t *testing.T) {
	for _, in := range []string{
		strings.Repeat("x", 1<<20),
		strings.Repeat("\x1b", 1000) + "/b#1",
		strings.Repeat("月", 1000) + "/b/c#1",
		strings.Repeat("\xff", 1000),
		"a/b#" + strings.Repeat("\u202e", 1000),
		"https://x.org/a/b/issues/" + strings.Repeat("9", 1000),
	} {
		_, err := Parse(in, "github.com")
		if err == nil {
			t.Fatalf("Parse(%.20q…) accepted", in)
		}
		if len(err.Error()) > 1000 {
			t.Errorf("the error has %d bytes: %v", len(err.Error()), err)
		}
		if i := strings.IndexFunc(err.Error(), func(r rune) bool { return r < ' ' || r == '\u202e' }); i >= 0 {
			t.Errorf("a control character at %d of %q", i, err)
		}
	}
	_, err := Parse(strings.Repeat("a", 76)+"月月", "github.com")
	if want := `"` + strings.Repeat("a", 76) + `…" is not an issue reference`; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("a character was cut in two: %v", err)
	}
}

func TestNamesOfAReference(t *testing.T) {
	for ref, session := range map[string]string{
		"git.lan:3000/acme/shop#31": "git.lan@3000+acme+shop@31", "[::1]/a/b#1": "0@0@0@0@0@0@0@1+a+b@1",
		"[::1]:3000/a/.b#1": "0@0@0@0@0@0@0@1@3000+a+.b@1", "gitea:3000/a/b#1": "gitea@3000+a+b@1",
	} {
		r, err := Parse(ref, "")
		if back, backErr := FromSession(session); err != nil || backErr != nil || r.Session() != session || back != r {
			t.Errorf("%s is the session %q, and back %s: %v, %v", ref, r.Session(), back, err, backErr)
		}
	}
	r := Ref{Host: "github.com", Repo: "User/Repo", Number: 123}
	for _, tt := range []struct{ what, got, want string }{
		{"String", r.String(), "github.com/User/Repo#123"},
		{"Session", r.Session(), "github.com+user+repo@123"},
		{"RepoPath", r.RepoPath(), "github.com/user/repo"},
		{"RepoName", r.RepoName(), "github.com+user+repo"},
		{"String of none", Ref{}.String(), ""},
		{"Session of none", Ref{}.Session(), ""},
		{"RepoPath of none", Ref{}.RepoPath(), ""},
		{"RepoName of none", Ref{}.RepoName(), ""},
	} {
		if tt.got != tt.want {
			t.Errorf("%s = %q, want %q", tt.what, tt.got, tt.want)
		}
	}
	if r.IsZero() || !(Ref{}).IsZero() {
		t.Error("IsZero is wrong")
	}
}

// anyRef draws from so few letters that two of them are often almost the same.
func anyRef() *rapid.Generator[Ref] {
	return rapid.Custom(func(t *rapid.T) Ref {
		part := rapid.StringMatching(`[aA1][aA1._-]{0,2}`)
		r := Ref{
			Host: rapid.SampledFrom([]string{"a.a", "a.a.a", "1.a", "localhost", "a", "a:1", "a:11", "a.a:1", "[::1]", "[::1]:1", "[::11]", "[1::1]:1"}).Draw(t, "host"),
			Repo: strings.Join(rapid.SliceOfN(part, 2, 4).Draw(t, "repo"), "/"),
		}
		if rapid.Bool().Draw(t, "task") {
			r.Task = rapid.StringMatching(`[a1]?a[a1-]{0,2}`).Filter(func(s string) bool { return CheckTask(s) == nil }).Draw(t, "name")
		} else {
			r.Number = rapid.OneOf(rapid.IntRange(1, 20), rapid.IntRange(1, 999999999)).Draw(t, "number")
		}
		return r
	})
}

func TestSessionIsOneToOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyRef().Draw(t, "a"), anyRef().Draw(t, "b")
		same := strings.EqualFold(a.String(), b.String())
		if same != (a.Session() == b.Session()) {
			t.Fatalf("%s and %s are sessions %s and %s", a, b, a.Session(), b.Session())
		}
		if a.RepoName() == b.RepoName() && same != (a.Branch() == b.Branch()) || (a.Branch() == b.Branch()) != (a.Kept() == b.Kept()) ||
			(a.Kept() == b.Kept()) != (a.KeptBase() == b.KeptBase()) || strings.HasPrefix(a.KeptBase()+"/", b.Kept()+"/") {
			t.Fatalf("%s and %s are worked on on %s and %s, and kept below %s and %s", a, b, a.Branch(), b.Branch(), a.Kept(), b.Kept())
		}
		if back, err := FromSession(a.Session()); err != nil || back.Session() != a.Session() || back.Task != a.Task {
			t.Fatalf("the session %s is read as %s, %v", a.Session(), back, err)
		}
	})
}

func TestParseReadsBackWhatStringWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyRef().Draw(t, "ref")
		if got, err := Parse(want.String(), "a"); err != nil || got != want {
			t.Fatalf("Parse(%q) = %#v, %v", want, got, err)
		}
	})
}

func TestCanonicalReadsOnlyTheFormThatItemsKeep(t *testing.T) {
	for s, ok := range map[string]bool{
		"github.com/you/project#1": true, "gitea/you/project#1": true, "gitea:3000/you/project#1": true, "[::1]:3000/you/project#1": true,
		"": false, "you/project#1": false, "GitHub.com/you/project#1": false, "https://github.com/you/project/issues/1": false,
		"github.com:443/you/project#1": false,
	} {
		r, err := Canonical(s)
		if (err == nil) != ok || ok && r.String() != s || !ok && !r.IsZero() {
			t.Errorf("%q: %v, %v", s, r, err)
		}
	}
}
