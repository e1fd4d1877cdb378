package settings

import "testing"

func TestFollowIsReadAsWords(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""}, {"none", ""}, {"ci", "ci"}, {"ci,review,conflict", "ci,review,conflict"}, {" review, ci ", "review,ci"}, {"ci draft", "ci,draft"},
	} {
		var f Follow
		if err := f.UnmarshalText([]byte(c.text)); err != nil || string(f) != c.want {
			t.Errorf("%q: %q, %v", c.text, f, err)
		}
	}
	for _, text := range []string{"all", "ci,none", "CI", "draft", "true"} {
		f := Follow("ci")
		if err := f.UnmarshalText([]byte(text)); err == nil || f != "ci" {
			t.Errorf("%q is read as %q", text, f)
		}
	}
	if f := Follow("ci,draft"); !f.Has("ci") || !f.Has("draft") || f.Has("review") || Follow("").Has("ci") {
		t.Error("words are not found as they are written")
	}
}
