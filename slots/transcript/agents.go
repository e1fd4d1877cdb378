package transcript

import (
	"encoding/json"
	"fmt"
	"kugetsu/queue/terminal"
	"strings"
	"time"
)

// These types are the events of each agent, as far as they are shown. A field that an event lacks or has in another type stays
// zero. Package agent knows what the events mean for the run.

type claudeEvent struct {
	Type    string `json:"type"`
	Subtype string `json:"subtype"`
	Parent  string `json:"parent_tool_use_id"` // of a subagent's event
	Error   string `json:"error"`
	Status  int    `json:"error_status"`
	Message struct {
		Content json.RawMessage `json:"content"`
	} `json:"message"`
	Answer struct {
		Patch []struct {
			Lines []string `json:"lines"`
		} `json:"structuredPatch"`
	} `json:"tool_use_result"`
	RateLimit struct {
		Status   string `json:"status"`
		ResetsAt int64  `json:"resetsAt"`
	} `json:"rate_limit_info"`
	IsError bool    `json:"is_error"`
	Result  string  `json:"result"`
	USD     float64 `json:"total_cost_usd"`
	Usage   struct {
		Input      int64 `json:"input_tokens"`
		Output     int64 `json:"output_tokens"`
		CacheRead  int64 `json:"cache_read_input_tokens"`
		CacheWrite int64 `json:"cache_creation_input_tokens"`
	} `json:"usage"`
}

type claudePart struct {
	Type    string          `json:"type"`
	Text    string          `json:"text"`
	ID      string          `json:"id"`
	Name    string          `json:"name"`
	Input   json.RawMessage `json:"input"`
	Of      string          `json:"tool_use_id"`
	IsError bool            `json:"is_error"`
	Content json.RawMessage `json:"content"`
}

func claude(r *Reader, line []byte) ([]Entry, bool) {
	var e claudeEvent
	if !decode(line, &e) || e.Type == "" {
		return nil, false
	}
	switch e.Type {
	case "assistant", "user":
		return r.claudeMessage(e), true
	case "system":
		if e.Subtype == "api_retry" {
			return fails(fmt.Sprintf("tries again: %s (status %d)", e.Error, e.Status)), true
		}
	case "rate_limit_event":
		if e.RateLimit.Status == "rejected" {
			return fails("usage limit until " + time.Unix(e.RateLimit.ResetsAt, 0).Format("Mon 15:04")), true
		}
	case "result":
		r.usage.In += e.Usage.Input + e.Usage.CacheRead + e.Usage.CacheWrite
		r.usage.Out += e.Usage.Output
		r.usage.USD = max(r.usage.USD, e.USD) // of the whole process
		if e.IsError {
			return fails(e.Result), true
		}
		if r.last.Kind != Words || strings.TrimSpace(e.Result) != strings.TrimSpace(r.last.Text) {
			return say(e.Result), true
		}
	}
	return nil, true
}

func (r *Reader) claudeMessage(e claudeEvent) (entries []Entry) {
	var parts []claudePart
	if json.Unmarshal(e.Message.Content, &parts) != nil {
		return nil // a text: the prompt
	}
	for _, p := range parts {
		switch {
		case p.Type == "text" && e.Type == "assistant" && e.Error != "":
			entries = append(entries, fails(p.Text)...)
		case p.Type == "text" && e.Type == "assistant" && e.Parent == "": // the words of a subagent are for the agent
			entries = append(entries, say(p.Text)...)
		case p.Type == "tool_use":
			r.begins(p.ID, r.call(p.Name, p.Input), time.Time{})
			if p.Name == "Edit" || p.Name == "MultiEdit" {
				var in input
				_ = json.Unmarshal(p.Input, &in) // call has read it
				r.calls[len(r.calls)-1].edits = r.path(string(in.FilePath))
			}
		case p.Type == "tool_result":
			call, known := r.ended(p.Of)
			if !known {
				continue
			}
			if p.IsError {
				call.Entry = call.failed(plain(p.Content))
			} else if call.edits != "" && len(e.Answer.Patch) > 0 {
				// The call names whole lines, and the patch tells which of them changed.
				added, removed := 0, 0
				for _, hunk := range e.Answer.Patch {
					for _, line := range hunk.Lines {
						added += count(line, "+")
						removed += count(line, "-")
					}
				}
				call.Text = "edit " + call.edits + changes(added, removed)
			}
			entries = append(entries, call.Entry)
		}
	}
	return entries
}

func count(line, prefix string) int {
	if strings.HasPrefix(line, prefix) {
		return 1
	}
	return 0
}

// plain is the text of a tool's answer: a string, or parts of which some are text.
func plain(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var parts []claudePart
	_ = json.Unmarshal(raw, &parts) // anything else has no text
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.Text + "\n")
	}
	return b.String()
}

type codexEvent struct {
	Type    string `json:"type"`
	Message string `json:"message"`
	Error   struct {
		Message string `json:"message"`
	} `json:"error"`
	Item struct {
		ID      string `json:"id"`
		Type    string `json:"type"`
		Status  string `json:"status"`
		Text    string `json:"text"`
		Message string `json:"message"`
		Command string `json:"command"`
		Output  string `json:"aggregated_output"`
		Exit    int    `json:"exit_code"`
		Query   string `json:"query"`
		Server  string `json:"server"`
		Tool    string `json:"tool"`
		Changes []struct {
			Path string `json:"path"`
			Kind string `json:"kind"`
		} `json:"changes"`
	} `json:"item"`
	Usage struct {
		Input  int64 `json:"input_tokens"`
		Output int64 `json:"output_tokens"`
	} `json:"usage"`
}

func codex(r *Reader, line []byte) ([]Entry, bool) {
	var e codexEvent
	if !decode(line, &e) || e.Type == "" {
		return nil, false
	}
	switch e.Type {
	case "error":
		return fails(unwrap(e.Message)), true
	case "turn.failed":
		return fails(unwrap(e.Error.Message)), true
	case "turn.completed": // the usage is of the whole conversation, so the last one counts
		r.usage.In, r.usage.Out = e.Usage.Input, e.Usage.Output
	case "item.started":
		if text := r.codexCall(e); text != "" {
			r.begins(e.Item.ID, text, time.Time{})
		}
	case "item.completed":
		switch e.Item.Type {
		case "agent_message":
			return say(e.Item.Text), true
		case "error":
			return []Entry{{Kind: Note, Text: terminal.Title(e.Item.Message)}}, true
		}
		call, known := r.ended(e.Item.ID)
		if !known {
			call.Kind = Call
		}
		if text := r.codexCall(e); text != "" {
			call.Text = text
		}
		switch {
		case call.Text == "": // for instance reasoning
			return nil, true
		case e.Item.Status == "declined":
			call.Entry = call.failed("declined")
		case e.Item.Status == "failed" || e.Item.Exit != 0:
			call.Entry = call.failed(e.Item.Output)
		}
		return []Entry{call.Entry}, true
	}
	return nil, true
}

func (r *Reader) codexCall(e codexEvent) string {
	i := e.Item
	switch i.Type {
	case "command_execution":
		return "$ " + terminal.Title(unshell(i.Command))
	case "file_change":
		var paths []string
		for _, c := range i.Changes {
			verb := "edit"
			switch c.Kind {
			case "add":
				verb = "write"
			case "delete":
				verb = "delete"
			}
			paths = append(paths, verb+" "+r.path(c.Path))
		}
		return strings.Join(paths, ", ")
	case "web_search":
		return join("search the web:", i.Query)
	case "mcp_tool_call":
		return join(i.Server, i.Tool)
	}
	return ""
}

// unshell is the command that codex wraps into a shell, "/bin/bash -lc 'go test ./...'".
func unshell(command string) string {
	_, inner, wrapped := strings.Cut(command, " -lc ")
	if !wrapped || !strings.HasPrefix(command, "/") && !strings.HasPrefix(command, "bash") && !strings.HasPrefix(command, "sh") {
		return command
	}
	if n := len(inner); n >= 2 && (inner[0] == '\'' || inner[0] == '"') && inner[n-1] == inner[0] {
		if quote := inner[:1]; quote == `'` {
			return strings.ReplaceAll(inner[1:n-1], `'\''`, `'`)
		}
		return strings.NewReplacer(`\"`, `"`, `\\`, `\`, `\$`, `$`, "\\`", "`").Replace(inner[1 : n-1])
	}
	return inner
}

// unwrap is the message of an error that is JSON itself.
func unwrap(message string) string {
	var e struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal([]byte(message), &e) == nil && e.Error.Message != "" {
		return e.Error.Message
	}
	return message
}

type geminiEvent struct {
	Type       string          `json:"type"`
	Time       time.Time       `json:"timestamp"`
	Role       string          `json:"role"`
	Content    string          `json:"content"`
	Delta      bool            `json:"delta"`
	ToolName   string          `json:"tool_name"`
	ToolID     string          `json:"tool_id"`
	Parameters json.RawMessage `json:"parameters"`
	Severity   string          `json:"severity"`
	Message    string          `json:"message"`
	Status     string          `json:"status"`
	Output     string          `json:"output"`
	Error      struct {
		Message string `json:"message"`
	} `json:"error"`
	Stats struct {
		Input  int64 `json:"input_tokens"`
		Output int64 `json:"output_tokens"`
	} `json:"stats"`
}

func gemini(r *Reader, line []byte) ([]Entry, bool) {
	var e geminiEvent
	if !decode(line, &e) || e.Type == "" {
		return nil, false
	}
	switch e.Type {
	case "message":
		if e.Role == "assistant" {
			return say(e.Content), true
		}
	case "tool_use":
		r.begins(e.ToolID, r.call(e.ToolName, e.Parameters), e.Time)
	case "tool_result":
		call, known := r.ended(e.ToolID)
		if !known {
			return nil, true
		}
		if took := e.Time.Sub(call.since); !call.since.IsZero() && took > 0 {
			call.Took = took
		}
		if e.Status != "success" {
			output := e.Output
			if e.Error.Message != "" {
				output = e.Error.Message
			}
			call.Entry = call.failed(output)
		}
		return []Entry{call.Entry}, true
	case "error":
		return fails(e.Message), true
	case "result":
		r.usage.In, r.usage.Out = e.Stats.Input, e.Stats.Output
		if e.Status != "success" {
			return fails(e.Error.Message), true
		}
	}
	return nil, true
}

type opencodeEvent struct {
	Type string `json:"type"`
	Part struct {
		Tool   string  `json:"tool"`
		Text   string  `json:"text"`
		Cost   float64 `json:"cost"`
		Tokens struct {
			Input  int64 `json:"input"`
			Output int64 `json:"output"`
			Cache  struct {
				Read  int64 `json:"read"`
				Write int64 `json:"write"`
			} `json:"cache"`
		} `json:"tokens"`
		State struct {
			Status   string          `json:"status"`
			Input    json.RawMessage `json:"input"`
			Output   string          `json:"output"`
			Error    string          `json:"error"`
			Metadata struct {
				Exit int `json:"exit"`
				Diff struct {
					Added   int `json:"additions"`
					Removed int `json:"deletions"`
				} `json:"filediff"`
			} `json:"metadata"`
			Time struct {
				Start, End int64 // milliseconds
			} `json:"time"`
		} `json:"state"`
	} `json:"part"`
	Error struct {
		Name    string `json:"name"`
		Message string `json:"message"`
		Data    struct {
			Message string `json:"message"`
		} `json:"data"`
	} `json:"error"`
}

func opencode(r *Reader, line []byte) ([]Entry, bool) {
	var e opencodeEvent
	if !decode(line, &e) || e.Type == "" {
		return nil, false
	}
	switch e.Type {
	case "text":
		return say(e.Part.Text), true
	case "tool_use":
		s := e.Part.State
		call := Entry{Kind: Call, Text: r.call(e.Part.Tool, s.Input), Took: time.Duration(max(0, s.Time.End-s.Time.Start)) * time.Millisecond}
		if diff := s.Metadata.Diff; e.Part.Tool == "edit" && diff.Added+diff.Removed > 0 {
			var in input
			_ = json.Unmarshal(s.Input, &in) // call has read it
			call.Text = "edit " + r.path(first(in.FileName, in.FilePath)) + changes(diff.Added, diff.Removed)
		}
		switch {
		case s.Status == "error":
			call = call.failed(s.Error)
		case s.Metadata.Exit != 0:
			call = call.failed(s.Output)
		}
		return []Entry{call}, true
	case "step_finish":
		t := e.Part.Tokens
		r.usage.In += t.Input + t.Cache.Read + t.Cache.Write
		r.usage.Out += t.Output
		r.usage.USD += e.Part.Cost
	case "error":
		for _, text := range []string{e.Error.Data.Message, e.Error.Message, e.Error.Name} {
			if strings.TrimSpace(text) != "" {
				return fails(text), true
			}
		}
		return fails(""), true
	}
	return nil, true
}

// decode reads an event. A field of another type than expected stays zero, and the rest counts.
func decode(line []byte, event any) bool {
	err := json.Unmarshal(line, event)
	if _, other := err.(*json.UnmarshalTypeError); other {
		return true
	}
	return err == nil
}
