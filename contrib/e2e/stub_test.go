package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A stub is a model server on loopback, in the wire format of OpenAI's chat
// completions. It has no mind: what it answers is written into the prompt, as
// directives that the user's turn carries,
//
//	<<write PATH|CONTENT>>   call the agent's tool for writing a file
//	<<bash COMMAND>>         call the agent's tool for running a command
//	<<say TEXT>>             the words of the final answer
//
// one tool call a turn, in their order, then the final answer ("done." where
// nothing was to be said). COMMAND, CONTENT and TEXT cannot hold ">>".
//
// The model's name chooses a failure: "ok" follows the script, "e400" and
// "e401" answer every request with that HTTP status.
type stub struct {
	server *httptest.Server

	mu       sync.Mutex
	requests []request
}

// A request is what an agent asked for: the whole conversation, oldest turn
// first, as an agent sends it anew for every step.
type request struct {
	Model string
	Turns []turn
	Tools []string // the names of the tools offered; none in a side call, for a title or a summary
}

// A turn is one entry of a conversation.
type turn struct {
	Role string // "system", "user", "assistant" or "tool"
	Text string // of a tool its result; of an assistant's call of a tool nothing
}

// What every answer claims to have used, in tokens; and the price of one step
// that follows from it and from the prices in opencodeHome, in US dollars.
const (
	promptTokens     = 1000
	completionTokens = 10
	stepCost         = (promptTokens*inputPrice + completionTokens*outputPrice) / 1e6
)

// newStub starts a model server that lives as long as the test.
func newStub(t *testing.T) *stub {
	t.Helper()
	s := &stub{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", s.models)
	mux.HandleFunc("POST /v1/chat/completions", s.completions)
	s.server = httptest.NewServer(mux)
	t.Cleanup(s.server.Close)
	return s
}

// URL is the base URL of the interface, as a provider's configuration wants it.
func (s *stub) URL() string { return s.server.URL + "/v1" }

// Requests is what was asked so far, refused requests included, oldest first.
func (s *stub) Requests() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// statuses says what each model answers with.
var statuses = map[string]int{"ok": http.StatusOK, "e400": http.StatusBadRequest, "e401": http.StatusUnauthorized}

func (s *stub) models(w http.ResponseWriter, _ *http.Request) {
	var list []object
	for name := range statuses {
		list = append(list, object{"id": name, "object": "model"})
	}
	reply(w, http.StatusOK, object{"object": "list", "data": list})
}

func (s *stub) completions(w http.ResponseWriter, r *http.Request) {
	var body completionsBody
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		reply(w, http.StatusBadRequest, object{"error": object{"message": "stub: " + err.Error()}})
		return
	}
	q := body.request()
	s.mu.Lock()
	s.requests = append(s.requests, q)
	n := len(s.requests)
	s.mu.Unlock()

	status, known := statuses[q.Model]
	if !known {
		status = http.StatusNotFound
	}
	if status != http.StatusOK {
		reply(w, status, object{"error": object{
			"message": fmt.Sprintf("stub: model %s answers with status %d", q.Model, status),
			"type":    "invalid_request_error",
			"code":    status,
		}})
		return
	}
	decide(q).send(w, q.Model, n, body.Stream)
}

// An answer is one step of a script: a call of a tool, or the final text.
type answer struct {
	tool      string
	arguments object
	text      string
}

var directive = regexp.MustCompile(`(?s)<<(write|bash|say) (.*?)>>`)

// decide plays the script of the last user's turn that holds one. The results
// of tools since that turn tell how much of it is done: the stub itself
// remembers nothing, so that any number of conversations can share it. Where no
// tool is offered, the final answer is all there is to give.
func decide(q request) answer {
	var steps []answer
	done, say := 0, "done."
	for _, t := range q.Turns {
		if t.Role == "tool" {
			done++
		}
		script := directive.FindAllStringSubmatch(t.Text, -1)
		if t.Role != "user" || script == nil {
			continue
		}
		steps, done, say = nil, 0, "done."
		for _, d := range script {
			switch d[1] {
			case "write":
				path, content, _ := strings.Cut(d[2], "|")
				steps = append(steps, answer{tool: "write", arguments: object{"filePath": path, "content": content}})
			case "bash":
				steps = append(steps, answer{tool: "bash", arguments: object{"command": d[2], "description": "as scripted"}})
			case "say":
				say = d[2]
			}
		}
	}
	if done < len(steps) && len(q.Tools) > 0 {
		return steps[done]
	}
	return answer{text: say}
}

// send writes the answer, as server-sent events where a stream was asked for.
func (a answer) send(w http.ResponseWriter, model string, n int, stream bool) {
	message, finish := object{"role": "assistant", "content": a.text}, "stop"
	if a.tool != "" {
		finish = "tool_calls"
		message = object{"role": "assistant", "tool_calls": []object{{
			"index": 0, "id": fmt.Sprintf("call_%d", n), "type": "function",
			"function": object{"name": a.tool, "arguments": string(encode(a.arguments))},
		}}}
	}
	usage := object{
		"prompt_tokens": promptTokens, "completion_tokens": completionTokens,
		"total_tokens": promptTokens + completionTokens,
	}
	head := func(kind string, choices []object) object {
		return object{
			"id": fmt.Sprintf("chatcmpl-%d", n), "object": kind, "model": model,
			"created": time.Now().Unix(), "choices": choices,
		}
	}
	if !stream {
		whole := head("chat.completion", []object{{"index": 0, "message": message, "finish_reason": finish}})
		whole["usage"] = usage
		reply(w, http.StatusOK, whole)
		return
	}

	const kind = "chat.completion.chunk"
	last := head(kind, []object{})
	last["usage"] = usage
	w.Header().Set("Content-Type", "text/event-stream")
	for _, chunk := range []object{
		head(kind, []object{{"index": 0, "delta": message, "finish_reason": nil}}),
		head(kind, []object{{"index": 0, "delta": object{}, "finish_reason": finish}}),
		last,
	} {
		fmt.Fprintf(w, "data: %s\n\n", encode(chunk))
	}
	fmt.Fprint(w, "data: [DONE]\n\n")
}

// completionsBody is the part of a request's body that the stub looks at.
type completionsBody struct {
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

func (b completionsBody) request() request {
	q := request{Model: b.Model}
	for _, m := range b.Messages {
		q.Turns = append(q.Turns, turn{m.Role, string(m.Content)})
	}
	for _, tool := range b.Tools {
		q.Tools = append(q.Tools, tool.Function.Name)
	}
	return q
}

// content is the text of a message, which comes as null, as a string or as a
// list of parts.
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

type object = map[string]any

func reply(w http.ResponseWriter, status int, body object) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(encode(body))
}

// encode panics on what JSON cannot hold: only literals of this package get here.
func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}
