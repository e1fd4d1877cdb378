// Package transcript turns what an agent prints, a stream of JSON events, into what a person reads: the agent's words as
// text, each call of a tool as one line with how it went, errors, and what the run used.
//
//	I will look at the tests first.
//	$ go test ./...  ✗ 1.2s
//	  │ --- FAIL: TestAdd (0.00s)
//	edit main.go +3 −1  ✓
//	It was a sign. The tests pass now.
//	3010 tokens in, 42 out, $0.02
//
// It only reads: whether a run went well is for package agent to judge. A line that it does not understand is shown as
// it is, so that nothing is hidden. Texts are returned as the agent wrote them: a caller cleans them before a terminal gets them.
package transcript

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"kugetsu/queue/terminal"
	"path/filepath"
	"strings"
	"time"
)

// Kind says how an entry is to be shown.
type Kind int

// The kinds of entries.
const (
	Words Kind = iota // of the model
	Call              // of a tool, with how it went
	Error             // of the agent's program, or of the model's server
	Note              // other messages of the program, kugetsu's own lines, and lines that are no event
	Cost              // what the run used
)

// Entry is one thing that an agent said or did.
type Entry struct {
	Kind Kind
	Text string // one line, but for Words
	// Of a call.
	Open   bool          // it has not ended
	Failed bool          // it ended badly
	Took   time.Duration // 0 where the agent does not tell
	Output []string      // of one that failed: the last lines of what it printed
}

// Reader reads the lines that one run prints, in order.
type Reader struct {
	stream stream
	dir    string
	calls  []pending // the calls that have no answer yet, in order
	usage  usage
	last   Entry // the last words or call
}

// stream reads an event of one agent. known is false for a line that is no event.
type stream func(r *Reader, line []byte) (entries []Entry, known bool)

var streams = map[string]stream{"claude": claude, "codex": codex, "gemini": gemini, "opencode": opencode}

// New makes the reader of a run of an agent. Dir is its worktree, which is left out of the paths that are shown. For an
// agent that prints no events, every line is a Note.
func New(agent, dir string) *Reader { return &Reader{stream: streams[agent], dir: dir} }

// Renders says whether an agent prints events.
func Renders(agent string) bool { return streams[agent] != nil }

// Line reads a line, with or without its newline.
func (r *Reader) Line(line []byte) []Entry {
	line = bytes.TrimRight(line, "\r\n")
	if r.stream != nil && bytes.HasPrefix(bytes.TrimLeft(line, " "), []byte("{")) {
		if entries, known := r.stream(r, line); known {
			for _, e := range entries {
				if e.Kind == Words || e.Kind == Call {
					r.last = e
				}
			}
			return entries
		}
	}
	if len(bytes.TrimSpace(line)) == 0 {
		return nil
	}
	return []Entry{{Kind: Note, Text: string(line)}}
}

// End is what remains to be shown of a run that prints no more: calls that were never answered, and what it used.
func (r *Reader) End() []Entry {
	var entries []Entry
	for _, p := range r.calls {
		p.Open = true
		entries = append(entries, p.Entry)
	}
	r.calls = nil
	if text := r.usage.String(); text != "" {
		entries = append(entries, Entry{Kind: Cost, Text: text})
	}
	return entries
}

// pending is a call that has no answer yet.
type pending struct {
	Entry
	id    string
	edits string // the file that the call edits, "" for another kind of call
	since time.Time
}

// maxCalls bounds the calls that wait for an answer, so that a stream without answers does not fill the memory.
const maxCalls = 1000

// begins notes a call.
func (r *Reader) begins(id, text string, since time.Time) {
	if len(r.calls) == maxCalls {
		r.calls = r.calls[1:]
	}
	r.calls = append(r.calls, pending{Entry: Entry{Kind: Call, Text: text}, id: id, since: since})
}

// ended takes the call of that id out, if there is one.
func (r *Reader) ended(id string) (pending, bool) {
	for i, p := range r.calls {
		if p.id == id {
			r.calls = append(r.calls[:i:i], r.calls[i+1:]...)
			return p, true
		}
	}
	return pending{}, false
}

// say is the entry for words; none for blank ones.
func say(text string) []Entry {
	if text = strings.TrimSpace(text); text == "" {
		return nil
	}
	return []Entry{{Kind: Words, Text: text}}
}

// fails is the entry for an error, in one line.
func fails(text string) []Entry {
	if text = terminal.Title(text); text == "" {
		text = "the agent reported an error"
	}
	return []Entry{{Kind: Error, Text: text}}
}

// tail is how many lines are shown of what a failed call printed.
const tail = 3

// failed adds to a call that it failed, and the end of its output.
func (e Entry) failed(output string) Entry {
	e.Failed = true
	lines := strings.FieldsFunc(output, func(r rune) bool { return r == '\n' || r == '\r' })
	for i := len(lines) - 1; i >= 0 && len(e.Output) < tail; i-- {
		if line := strings.TrimRight(lines[i], " \t"); line != "" {
			e.Output = append([]string{line}, e.Output...)
		}
	}
	return e
}

// input is what agents give to their tools. Each agent has other names for the same thing.
type input struct {
	Command  text `json:"command"`
	FilePath text `json:"file_path"`
	FileName text `json:"filePath"`
	Notebook text `json:"notebook_path"`
	Path     text `json:"path"`
	DirPath  text `json:"dir_path"`
	Pattern  text `json:"pattern"`
	Query    text `json:"query"`
	URL      text `json:"url"`
	Prompt   text `json:"prompt"`
	What     text `json:"description"`
	Content  text `json:"content"`
	Old      text `json:"old_string"`
	New      text `json:"new_string"`
	OldText  text `json:"oldString"`
	NewText  text `json:"newString"`
}

// text is a string of a tool's input; "" if the input has anything else in its place.
type text string

func (t *text) UnmarshalJSON(data []byte) error {
	var s string
	if json.Unmarshal(data, &s) == nil {
		*t = text(s)
	}
	return nil
}

func first(texts ...text) string {
	for _, t := range texts {
		if t != "" {
			return string(t)
		}
	}
	return ""
}

// call describes a call of a tool in one line, which is never empty.
func (r *Reader) call(tool string, raw json.RawMessage) string {
	if text := strings.TrimSpace(r.describe(tool, raw)); text != "" {
		return text
	}
	return "a tool"
}

func (r *Reader) describe(tool string, raw json.RawMessage) string {
	var in input
	_ = json.Unmarshal(raw, &in) // an input that is no object has nothing to show
	path := r.path(first(in.FilePath, in.FileName, in.Notebook))
	switch strings.ToLower(tool) {
	case "bash", "shell", "run_shell_command":
		return "$ " + terminal.Title(string(in.Command))
	case "write", "write_file":
		return "write " + path + changes(lines(string(in.Content)), 0)
	case "edit", "replace", "multiedit", "notebookedit":
		return "edit " + path + changes(lines(first(in.New, in.NewText)), lines(first(in.Old, in.OldText)))
	case "read", "read_file":
		return "read " + path
	case "grep", "glob", "search_file_content", "list", "ls", "list_directory":
		return join("search", first(in.Pattern, in.Query), r.path(first(in.Path, in.DirPath)))
	case "webfetch", "web_fetch", "fetch":
		return join("fetch", first(in.URL, in.Prompt))
	case "websearch", "web_search", "google_web_search":
		return join("search the web:", first(in.Query))
	}
	return join(tool, first(in.What, in.Command, text(path), in.Path, in.Pattern, in.Query, in.URL))
}

func join(words ...string) string {
	kept := words[:0]
	for _, w := range words {
		if w = terminal.Title(w); w != "" {
			kept = append(kept, w)
		}
	}
	return strings.Join(kept, " ")
}

// path is a path as seen from the worktree.
func (r *Reader) path(path string) string {
	if r.dir != "" && filepath.IsAbs(path) {
		if inside, err := filepath.Rel(r.dir, path); err == nil && filepath.IsLocal(inside) {
			return inside
		}
	}
	return terminal.Title(path)
}

// lines counts the lines of a text.
func lines(text string) int {
	if text == "" {
		return 0
	}
	return strings.Count(strings.TrimSuffix(text, "\n"), "\n") + 1
}

// changes says how many lines were added and removed; "" for none.
func changes(added, removed int) string {
	var b strings.Builder
	if added > 0 {
		fmt.Fprintf(&b, " +%d", added)
	}
	if removed > 0 {
		fmt.Fprintf(&b, " −%d", removed)
	}
	return b.String()
}

// usage is what a run used, as its agent tells it.
type usage struct {
	USD     float64
	In, Out int64
}

func (u usage) String() string {
	var parts []string
	if u.In > 0 || u.Out > 0 {
		parts = append(parts, fmt.Sprintf("%d tokens in, %d out", u.In, u.Out))
	}
	switch {
	case u.USD >= 0.01:
		parts = append(parts, fmt.Sprintf("$%.2f", u.USD))
	case u.USD > 0: // $0.00 would say that it cost nothing
		parts = append(parts, fmt.Sprintf("$%.4f", u.USD))
	}
	return strings.Join(parts, ", ")
}

// Lines are what a terminal shows of an entry: a call with its mark, and below a failed one the end of its output. They are not
// cleaned.
func (e Entry) Lines() []string {
	switch e.Kind {
	case Error:
		return []string{"error: " + e.Text}
	case Call:
		mark := "✓"
		switch {
		case e.Open:
			mark = "…"
		case e.Failed:
			mark = "✗"
		}
		line := e.Text + "  " + mark
		if e.Took > 0 {
			line += fmt.Sprintf(" %.1fs", e.Took.Seconds())
		}
		lines := []string{line}
		for _, out := range e.Output {
			lines = append(lines, "  │ "+out)
		}
		return lines
	}
	return strings.Split(e.Text, "\n") // a note says itself whose it is
}

// Writer renders a log that is written to it, in pieces of any size, line by line into out. Close shows what remains; it does not
// close out.
type Writer struct {
	out    io.Writer
	reader *Reader
	line   []byte
}

// NewWriter makes the writer of a run's log. See New for agent and dir.
func NewWriter(out io.Writer, agent, dir string) *Writer {
	return &Writer{out: out, reader: New(agent, dir)}
}

// maxLine bounds what is kept of a line that has not ended, in bytes: no event is longer. The rest of it is shown as lines.
const maxLine = 16 << 20

func (w *Writer) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		piece, after, ended := bytes.Cut(rest, []byte("\n"))
		w.line, rest = append(w.line, piece...), after
		if !ended && len(w.line) < maxLine {
			break
		}
		if err := w.show(w.reader.Line(w.line)); err != nil {
			return 0, err
		}
		w.line = w.line[:0]
	}
	return len(p), nil
}

// Close shows a last line without an end, calls that were never answered, and what the run used.
func (w *Writer) Close() error {
	entries := w.reader.Line(w.line)
	w.line = nil
	return w.show(append(entries, w.reader.End()...))
}

func (w *Writer) show(entries []Entry) error {
	for _, e := range entries {
		for _, line := range e.Lines() {
			if _, err := io.WriteString(w.out, line+"\n"); err != nil {
				return err
			}
		}
	}
	return nil
}
