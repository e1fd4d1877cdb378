package transcript_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kugetsu/slots/transcript"
)

// render is what a person sees of lines, an entry a line.
func render(agent, dir string, lines ...string) string {
	r := transcript.New(agent, dir)
	var shown []transcript.Entry
	for _, line := range lines {
		shown = append(shown, r.Line([]byte(line))...)
	}
	var b strings.Builder
	for _, e := range append(shown, r.End()...) {
		for _, line := range e.Lines() {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

func recorded(t *testing.T, agent, name string) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "agent", "testdata", agent, name+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
}

func TestRecordedStreamsAreReadable(t *testing.T) {
	for _, test := range []struct{ agent, stream, want string }{
		{"claude", "good", "write a.txt +1  ✓\n$ cat a.txt && true  ✓\nI wrote a.txt.\n3009 tokens in, 39 out, $0.02\n"},
		{"codex", "good", "Model metadata for `ok` not found. Defaulting to fallback metadata; this can degrade performance and cause issues.\n" +
			"$ cat > 'a.txt' <<'EOF' …  ✓\n$ git add a.txt && git -c user.name=e -c user.email=e@l commit -qm x && echo committed  ✓\nI committed a.txt.\n3006 tokens in, 36 out\n"},
		{"gemini", "good", "write a.txt +1  ✓ 0.1s\n$ cat a.txt && true  ✓ 0.1s\nI wrote a.txt.\n3006 tokens in, 36 out\n"},
		{"opencode", "good", "I will write it.\nwrite hello.txt +1  ✓ 0.0s\n$ cat hello.txt  ✓ 0.1s\nI wrote hello.txt.\n3000 tokens in, 30 out, $0.0031\n"},
	} {
		if got := render(test.agent, "", recorded(t, test.agent, test.stream)...); got != test.want {
			t.Errorf("%s:\n%s\nwant:\n%s", test.agent, got, test.want)
		}
	}
}

func TestEventsAreShownInALine(t *testing.T) {
	for _, test := range []struct{ name, agent, line, want string }{
		{"a patch tells what an edit changed", "claude",
			`{"type":"assistant","message":{"content":[{"type":"tool_use","id":"1","name":"Edit","input":{"file_path":"/w/x/main.go","old_string":"a\nb","new_string":"c"}}]}}` + "\n" +
				`{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"1","content":"done"}]},"tool_use_result":{"structuredPatch":[{"lines":[" x","-a","+c","+d","+e"]}]}}`,
			"edit main.go +3 −1  ✓\n"},
		{"a failed call shows the end of what it printed", "claude",
			`{"type":"assistant","message":{"content":[{"type":"tool_use","id":"1","name":"Bash","input":{"command":"go test ./..."}}]}}` + "\n" +
				`{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"1","is_error":true,"content":[{"type":"text","text":"one\ntwo\n\nthree\nfour\n"}]}]}}`,
			"$ go test ./...  ✗\n  │ two\n  │ three\n  │ four\n"},
		{"a call without an answer stays open", "claude",
			`{"type":"assistant","message":{"content":[{"type":"tool_use","id":"1","name":"Bash","input":{"command":"sleep 9"}}]}}`, "$ sleep 9  …\n"},
		{"an input of another type hides nothing else", "claude",
			`{"type":"assistant","message":{"content":[{"type":"text","text":"hello"},{"type":"tool_use","id":"1","name":"Read","input":{"file_path":7}}]}}`, "hello\nread  …\n"},
		{"a command that failed, by its exit code", "codex",
			`{"type":"item.completed","item":{"id":"1","type":"command_execution","command":"/bin/bash -lc 'go vet'","aggregated_output":"bad\n","exit_code":2,"status":"failed"}}`,
			"$ go vet  ✗\n  │ bad\n"},
		{"files that codex changed", "codex",
			`{"type":"item.completed","item":{"id":"1","type":"file_change","status":"completed","changes":[{"path":"/w/x/a.go","kind":"update"},{"path":"b.go","kind":"add"},{"path":"c.go","kind":"delete"}]}}`,
			"edit a.go, write b.go, delete c.go  ✓\n"},
		{"an error that is JSON itself", "codex", `{"type":"error","message":"{\"error\":{\"message\":\"bad thing\"}}"}`, "error: bad thing\n"},
		{"opencode counts the lines itself", "opencode",
			`{"type":"tool_use","part":{"tool":"edit","state":{"status":"completed","input":{"filePath":"/w/x/a/m.go","oldString":"a","newString":"b"},"metadata":{"filediff":{"additions":7,"deletions":2}},"time":{"start":1000,"end":2250}}}}`,
			"edit a/m.go +7 −2  ✓ 1.2s\n"},
		{"a tool of another name", "opencode",
			`{"type":"tool_use","part":{"tool":"task","state":{"status":"error","error":"no\n","input":{"description":"look around"}}}}`, "task look around  ✗\n  │ no\n"},
		{"a limit of claude's", "claude", `{"type":"result","is_error":true,"result":"Credit balance is too low"}`, "error: Credit balance is too low\n"},
		{"what is no event is shown as it is", "claude", "npm warn something\n\n{\"half\":", "npm warn something\n{\"half\":\n"},
		{"JSON that is no event is shown as it is", "opencode", `{"level":"warn"}`, "{\"level\":\"warn\"}\n"},
		{"an agent without events", "command", `{"type":"text"}`, "{\"type\":\"text\"}\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := render(test.agent, "/w/x", strings.Split(test.line, "\n")...); got != test.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, test.want)
			}
		})
	}
}

func TestWriterTakesPiecesOfAnySize(t *testing.T) {
	log := strings.Join(recorded(t, "opencode", "good"), "\n") + "\nkugetsu: the last line has no end"
	for _, size := range []int{1, 7, len(log)} {
		var b strings.Builder
		w := transcript.NewWriter(&b, "opencode", "")
		for piece := range slices.Chunk([]byte(log), size) {
			if n, err := w.Write(piece); n != len(piece) || err != nil {
				t.Fatal(n, err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		want := "I will write it.\nwrite hello.txt +1  ✓ 0.0s\n$ cat hello.txt  ✓ 0.1s\nI wrote hello.txt.\nkugetsu: the last line has no end\n3000 tokens in, 30 out, $0.0031\n"
		if b.String() != want {
			t.Errorf("in pieces of %d:\n%s", size, b.String())
		}
	}
}

// FuzzLine: whatever an agent prints, each entry but the words is one line, and blank lines alone show nothing.
func FuzzLine(f *testing.F) {
	for _, agent := range []string{"claude", "codex", "gemini", "opencode"} {
		paths, err := filepath.Glob(filepath.Join("..", "agent", "testdata", agent, "*.jsonl"))
		if err != nil || len(paths) == 0 {
			f.Fatal("no recorded streams: ", err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(agent, data)
		}
	}
	f.Fuzz(func(t *testing.T, agent string, data []byte) {
		r := transcript.New(agent, "/w/x")
		for line := range strings.Lines(string(data)) {
			for _, e := range r.Line([]byte(line)) {
				if strings.TrimSpace(e.Text) == "" || e.Kind != transcript.Words && strings.ContainsRune(e.Text, '\n') {
					t.Errorf("%q gives %#v", line, e)
				}
				if len(e.Lines()) == 0 {
					t.Errorf("%q is not shown", line)
				}
			}
		}
		r.End()
	})
}
