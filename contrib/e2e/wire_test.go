package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A wire is the format in which an agent speaks with its model: what of a request the stub looks at, and how it answers.
type wire struct {
	read    func(r *http.Request, body []byte) (request, error)
	send    func(w http.ResponseWriter, q request, a answer, n int)
	failure func(status int, message string) object
	limit   func(w http.ResponseWriter, model string)
	tell    func(h http.Header, told windows) // nil for a provider that tells nothing before its wall
}

// wires are the formats by the path of their requests.
var wires = map[string]wire{
	"/v1/chat/completions":   {readChat, sendChat, failureChat, limitChat, nil},                          // opencode
	"/v1/messages":           {readMessages, sendMessages, failureMessages, limitMessages, tellMessages}, // claude
	"/v1/responses":          {readResponses, sendResponses, failureChat, limitResponses, tellResponses}, // codex
	"/v1beta/models/{model}": {readGenerate, sendGenerate, failureGenerate, limitGenerate, nil},          // gemini
}

// call is a tool that an agent offers, and the arguments by which it wants to be called for a step of the script.
func (a answer) call(q request) (tool string, arguments object) {
	has := func(names ...string) string {
		for _, name := range names {
			if slices.Contains(q.Tools, name) {
				return name
			}
		}
		return ""
	}
	if a.tool == "write" {
		switch tool = has("write", "Write", "write_file"); tool {
		case "write":
			return tool, object{"filePath": a.path, "content": a.content}
		case "Write", "write_file":
			return tool, object{"file_path": a.path, "content": a.content}
		}
		a.command = fmt.Sprintf("printf %%s '%s' > '%s'", a.content, a.path) // codex has a shell, and that is that
	}
	if a.tool == "edit" {
		switch tool = has("edit", "Edit"); tool {
		case "edit":
			return tool, object{"filePath": a.path, "oldString": a.old, "newString": a.content}
		case "Edit":
			return tool, object{"file_path": a.path, "old_string": a.old, "new_string": a.content}
		}
		// codex takes this command as a call of its tool.
		a.command = fmt.Sprintf("apply_patch <<'EOF'\n*** Begin Patch\n*** Update File: %s\n@@\n-%s\n+%s\n*** End Patch\nEOF", a.path, a.old, a.content)
	}
	switch tool = has("bash", "Bash", "run_shell_command", "exec_command", "shell_command"); tool {
	case "exec_command":
		return tool, object{"cmd": a.command}
	case "shell_command":
		return tool, object{"command": a.command}
	}
	return tool, object{"command": a.command, "description": "as scripted"}
}

// events is a stream of server-sent events.
func events(w http.ResponseWriter, send ...object) {
	w.Header().Set("Content-Type", "text/event-stream")
	for _, data := range send {
		if kind, ok := data["type"].(string); ok {
			fmt.Fprintf(w, "event: %s\n", kind)
		}
		fmt.Fprintf(w, "data: %s\n\n", encode(data))
	}
}

// content is the text of a message, which comes as null, as a string or as a list of parts.
type content string

func (c *content) UnmarshalJSON(data []byte) error {
	if !bytes.HasPrefix(data, []byte("[")) {
		return json.Unmarshal(data, (*string)(c))
	}
	var parts []struct {
		Text string `json:"text"`
	}
	if err := json.Unmarshal(data, &parts); err != nil {
		return err
	}
	texts := make([]string, len(parts))
	for i, p := range parts {
		texts[i] = p.Text
	}
	*c = content(strings.Join(texts, "\n"))
	return nil
}

// OpenAI's chat completions.

func readChat(_ *http.Request, body []byte) (request, error) {
	var b struct {
		Model    string `json:"model"`
		Stream   bool   `json:"stream"`
		Messages []struct {
			Role    string  `json:"role"`
			Content content `json:"content"`
		} `json:"messages"`
		Tools []struct {
			Function struct {
				Name string `json:"name"`
			} `json:"function"`
		} `json:"tools"`
	}
	err := json.Unmarshal(body, &b)
	q := request{Model: b.Model, Stream: b.Stream}
	for _, m := range b.Messages {
		q.Turns = append(q.Turns, turn{m.Role, string(m.Content)})
	}
	for _, tool := range b.Tools {
		q.Tools = append(q.Tools, tool.Function.Name)
	}
	return q, err
}

func sendChat(w http.ResponseWriter, q request, a answer, n int) {
	message, finish := object{"role": "assistant", "content": a.text}, "stop"
	if a.tool != "" {
		tool, arguments := a.call(q)
		finish = "tool_calls"
		message = object{"role": "assistant", "tool_calls": []object{{
			"index": 0, "id": fmt.Sprintf("call_%d", n), "type": "function",
			"function": object{"name": tool, "arguments": string(encode(arguments))},
		}}}
	}
	usage := object{
		"prompt_tokens": promptTokens, "completion_tokens": completionTokens,
		"total_tokens": promptTokens + completionTokens,
	}
	head := func(kind string, choices []object) object {
		return object{
			"id": fmt.Sprintf("chatcmpl-%d", n), "object": kind, "model": q.Model,
			"created": time.Now().Unix(), "choices": choices,
		}
	}
	if !q.Stream {
		whole := head("chat.completion", []object{{"index": 0, "message": message, "finish_reason": finish}})
		whole["usage"] = usage
		reply(w, http.StatusOK, whole)
		return
	}
	const kind = "chat.completion.chunk"
	last := head(kind, []object{})
	last["usage"] = usage
	events(w, head(kind, []object{{"index": 0, "delta": message, "finish_reason": nil}}),
		head(kind, []object{{"index": 0, "delta": object{}, "finish_reason": finish}}), last)
	fmt.Fprint(w, "data: [DONE]\n\n")
}

func failureChat(status int, message string) object {
	return object{"error": object{"message": message, "type": "invalid_request_error", "code": status}}
}

// limitChat tells the time in its words and in the header: opencode passes on only the words while it waits.
func limitChat(w http.ResponseWriter, _ string) {
	w.Header().Set("Retry-After", strconv.Itoa(int(limitLength.Seconds())))
	reply(w, http.StatusTooManyRequests, failureChat(http.StatusTooManyRequests, "Usage limit reached. It will reset in 2 hours."))
}

// OpenAI's responses.

func readResponses(_ *http.Request, body []byte) (request, error) {
	var b struct {
		Model  string `json:"model"`
		Stream bool   `json:"stream"`
		Input  []struct {
			Type    string  `json:"type"`
			Role    string  `json:"role"`
			Content content `json:"content"`
			Output  content `json:"output"`
		} `json:"input"`
		Tools []struct {
			Name string `json:"name"`
		} `json:"tools"`
	}
	err := json.Unmarshal(body, &b)
	q := request{Model: b.Model, Stream: b.Stream}
	for _, i := range b.Input {
		switch {
		case strings.HasSuffix(i.Type, "_call_output"):
			q.Turns = append(q.Turns, turn{"tool", string(i.Output)})
		case i.Type == "message":
			q.Turns = append(q.Turns, turn{i.Role, string(i.Content)})
		}
	}
	for _, tool := range b.Tools {
		q.Tools = append(q.Tools, tool.Name)
	}
	return q, err
}

func sendResponses(w http.ResponseWriter, q request, a answer, n int) {
	item := object{
		"type": "message", "id": fmt.Sprintf("msg_%d", n), "role": "assistant", "status": "completed",
		"content": []object{{"type": "output_text", "text": a.text, "annotations": []object{}}},
	}
	if a.tool != "" {
		tool, arguments := a.call(q)
		item = object{
			"type": "function_call", "id": fmt.Sprintf("fc_%d", n), "call_id": fmt.Sprintf("call_%d", n),
			"name": tool, "arguments": string(encode(arguments)), "status": "completed",
		}
	}
	id := fmt.Sprintf("resp_%d", n)
	events(w, object{"type": "response.created", "response": object{"id": id, "status": "in_progress"}},
		object{"type": "response.output_item.done", "output_index": 0, "item": item},
		object{"type": "response.completed", "response": object{
			"id": id, "status": "completed", "output": []object{item},
			"usage": object{
				"input_tokens": promptTokens, "output_tokens": completionTokens, "total_tokens": promptTokens + completionTokens,
				"input_tokens_details": object{"cached_tokens": 0}, "output_tokens_details": object{"reasoning_tokens": 0},
			},
		}})
}

func limitResponses(w http.ResponseWriter, _ string) {
	reply(w, http.StatusTooManyRequests, object{"error": object{
		"type": "usage_limit_reached", "message": "The usage limit has been reached", "plan_type": "plus",
		"resets_at": time.Now().Add(limitLength).Unix(),
	}})
}

func tellResponses(h http.Header, told windows) {
	for place, w := range map[string]struct {
		percent, minutes int
		reset            time.Time
	}{
		"Primary":   {told.fiveHours, 300, told.reset},
		"Secondary": {told.week, 10080, told.reset.Add(72 * time.Hour)},
	} {
		h.Set("X-Codex-"+place+"-Used-Percent", strconv.Itoa(w.percent))
		h.Set("X-Codex-"+place+"-Window-Minutes", strconv.Itoa(w.minutes))
		h.Set("X-Codex-"+place+"-Reset-At", strconv.FormatInt(w.reset.Unix(), 10))
	}
}

// Anthropic's messages.

func readMessages(_ *http.Request, body []byte) (request, error) {
	var b struct {
		Model    string `json:"model"`
		Stream   bool   `json:"stream"`
		Messages []struct {
			Role    string          `json:"role"`
			Content json.RawMessage `json:"content"`
		} `json:"messages"`
		Tools []struct {
			Name string `json:"name"`
		} `json:"tools"`
	}
	err := json.Unmarshal(body, &b)
	q := request{Model: b.Model, Stream: b.Stream}
	for _, m := range b.Messages {
		var parts []struct {
			Type    string  `json:"type"`
			Text    string  `json:"text"`
			Content content `json:"content"`
		}
		if json.Unmarshal(m.Content, &parts) != nil { // it is a string
			var text content
			if err := json.Unmarshal(m.Content, &text); err != nil {
				return q, err
			}
			q.Turns = append(q.Turns, turn{m.Role, string(text)})
			continue
		}
		for _, p := range parts {
			switch p.Type {
			case "tool_result":
				q.Turns = append(q.Turns, turn{"tool", string(p.Content)})
			case "text":
				q.Turns = append(q.Turns, turn{m.Role, p.Text})
			}
		}
	}
	for _, tool := range b.Tools {
		q.Tools = append(q.Tools, tool.Name)
	}
	return q, err
}

func sendMessages(w http.ResponseWriter, q request, a answer, n int) {
	block, stop := object{"type": "text", "text": a.text}, "end_turn"
	begin, delta := object{"type": "text", "text": ""}, object{"type": "text_delta", "text": a.text}
	if a.tool != "" {
		tool, arguments := a.call(q)
		id := fmt.Sprintf("toolu_%d", n)
		block, stop = object{"type": "tool_use", "id": id, "name": tool, "input": arguments}, "tool_use"
		begin = object{"type": "tool_use", "id": id, "name": tool, "input": object{}}
		delta = object{"type": "input_json_delta", "partial_json": string(encode(arguments))}
	}
	message := object{
		"id": fmt.Sprintf("msg_%d", n), "type": "message", "role": "assistant", "model": q.Model, "stop_sequence": nil,
		"content": []object{}, "stop_reason": nil,
		"usage": object{"input_tokens": promptTokens, "output_tokens": completionTokens},
	}
	if !q.Stream {
		message["content"], message["stop_reason"] = []object{block}, stop
		reply(w, http.StatusOK, message)
		return
	}
	events(w, object{"type": "message_start", "message": message},
		object{"type": "content_block_start", "index": 0, "content_block": begin},
		object{"type": "content_block_delta", "index": 0, "delta": delta},
		object{"type": "content_block_stop", "index": 0},
		object{
			"type": "message_delta", "delta": object{"stop_reason": stop, "stop_sequence": nil},
			"usage": object{"output_tokens": completionTokens},
		},
		object{"type": "message_stop"})
}

func failureMessages(status int, message string) object {
	kind := "invalid_request_error"
	if status == http.StatusUnauthorized {
		kind = "authentication_error"
	}
	return object{"type": "error", "error": object{"type": kind, "message": message}}
}

func limitMessages(w http.ResponseWriter, model string) {
	window := "five_hour"
	if model == limitedModel {
		window = "seven_day_opus"
	}
	w.Header().Set("Retry-After", strconv.Itoa(int(limitLength.Seconds())))
	w.Header().Set("Anthropic-Ratelimit-Unified-Status", "rejected")
	w.Header().Set("Anthropic-Ratelimit-Unified-Representative-Claim", window)
	w.Header().Set("Anthropic-Ratelimit-Unified-Reset", strconv.FormatInt(time.Now().Add(limitLength).Unix(), 10))
	reply(w, http.StatusTooManyRequests, object{"type": "error", "error": object{"type": "rate_limit_error", "message": "no more"}})
}

// tellMessages says that a share of the session was surpassed: only then does claude 2.1.197 tell how much is used.
func tellMessages(h http.Header, told windows) {
	h.Set("Anthropic-Ratelimit-Unified-Status", "allowed_warning")
	h.Set("Anthropic-Ratelimit-Unified-Representative-Claim", "five_hour")
	h.Set("Anthropic-Ratelimit-Unified-Reset", strconv.FormatInt(told.reset.Unix(), 10))
	if told.fiveHours > 75 {
		h.Set("Anthropic-Ratelimit-Unified-5h-Surpassed-Threshold", "0.75")
	}
	for claim, w := range map[string]struct {
		percent int
		reset   time.Time
	}{"5h": {told.fiveHours, told.reset}, "7d": {told.week, told.reset.Add(72 * time.Hour)}} {
		h.Set("Anthropic-Ratelimit-Unified-"+claim+"-Utilization", strconv.FormatFloat(float64(w.percent)/100, 'f', -1, 64))
		h.Set("Anthropic-Ratelimit-Unified-"+claim+"-Reset", strconv.FormatInt(w.reset.Unix(), 10))
	}
}

// Google's generateContent.

func readGenerate(r *http.Request, body []byte) (request, error) {
	model, verb, _ := strings.Cut(r.PathValue("model"), ":")
	var b struct {
		Contents []struct {
			Role  string `json:"role"`
			Parts []struct {
				Text     string `json:"text"`
				Response *struct {
					Response json.RawMessage `json:"response"`
				} `json:"functionResponse"`
			} `json:"parts"`
		} `json:"contents"`
		Tools []struct {
			Functions []struct {
				Name string `json:"name"`
			} `json:"functionDeclarations"`
		} `json:"tools"`
	}
	err := json.Unmarshal(body, &b)
	q := request{Model: model, Stream: verb == "streamGenerateContent"}
	for _, c := range b.Contents {
		role := strings.Replace(c.Role, "model", "assistant", 1)
		for _, p := range c.Parts {
			if p.Response != nil {
				q.Turns = append(q.Turns, turn{"tool", string(p.Response.Response)})
			} else if p.Text != "" {
				q.Turns = append(q.Turns, turn{role, p.Text})
			}
		}
	}
	for _, t := range b.Tools {
		for _, f := range t.Functions {
			q.Tools = append(q.Tools, f.Name)
		}
	}
	return q, err
}

func sendGenerate(w http.ResponseWriter, q request, a answer, _ int) {
	part := object{"text": a.text}
	if a.tool != "" {
		tool, arguments := a.call(q)
		part = object{"functionCall": object{"name": tool, "args": arguments}}
	}
	out := object{
		"candidates": []object{{"index": 0, "finishReason": "STOP", "content": object{"role": "model", "parts": []object{part}}}},
		"usageMetadata": object{
			"promptTokenCount": promptTokens, "candidatesTokenCount": completionTokens, "totalTokenCount": promptTokens + completionTokens,
		},
		"modelVersion": q.Model,
	}
	if !q.Stream {
		reply(w, http.StatusOK, out)
		return
	}
	events(w, out)
}

func failureGenerate(status int, message string) object {
	return object{"error": object{"code": status, "status": strings.ToUpper(http.StatusText(status)), "message": message}}
}

func limitGenerate(w http.ResponseWriter, _ string) {
	failure := failureGenerate(http.StatusTooManyRequests, "Resource exhausted")
	failure["error"].(object)["details"] = []object{{
		"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": fmt.Sprintf("%.0fs", limitLength.Seconds()),
	}}
	reply(w, http.StatusTooManyRequests, failure)
}
