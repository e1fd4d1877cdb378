package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A stub is a model server on loopback, in the wire formats that agents speak (see [wire]). It has no mind: what it
// answers is written into the prompt, as directives that the user's turn carries,
//
//	<<write PATH|CONTENT>>   call the agent's tool for writing a file
//	<<edit PATH|OLD|NEW>>    call the agent's tool for changing a file
//	<<bash COMMAND>>         call the agent's tool for running a command
//	<<say TEXT>>             the words of the final answer
//
// one tool call a turn, in their order, then the final answer ("done." where
// nothing was to be said). COMMAND, CONTENT and TEXT cannot hold ">>".
//
// The model's name chooses a failure: "ok" follows the script, "e400" and "e401" answer every request with that HTTP
// status, "e429" likewise, with a limit that is lifted after limitLength, told as the provider of the format tells it.
//
// After tell every good answer says, in the headers of the format's provider, how much of the account's windows is used.
type stub struct {
	server *httptest.Server

	mu       sync.Mutex
	requests []request
	told     *windows
}

// Windows is what the provider tells of an account: percents, and when the shorter window begins anew.
type windows struct {
	fiveHours, week int
	reset           time.Time
}

// tell lets the answers from now on say how much is used; of the week little is.
func (s *stub) tell(fiveHours int, reset time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = &windows{fiveHours: fiveHours, week: 7, reset: reset}
}

// A request is what an agent asked for: the whole conversation, oldest turn
// first, as an agent sends it anew for every step.
type request struct {
	Model  string
	Stream bool
	Turns  []turn
	Tools  []string // the names of the tools offered; none in a side call, for a title or a summary
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

// limitLength is how long a limit lasts.
const limitLength = 2 * time.Hour

// newStub starts a model server that lives as long as the test.
func newStub(t *testing.T) *stub {
	t.Helper()
	s := &stub{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", s.models)
	for path, wire := range wires {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, wire) })
	}
	s.server = httptest.NewServer(mux)
	t.Cleanup(s.server.Close)
	return s
}

// Root is the URL of the server, URL that of the OpenAI interface, as a provider's configuration wants it.
func (s *stub) Root() string { return s.server.URL }
func (s *stub) URL() string  { return s.server.URL + "/v1" }

// Requests is what was asked so far, refused requests included, oldest first.
func (s *stub) Requests() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Two models of one provider, of which the limit of the first is its own.
const limitedModel, otherModel = "claude-opus-9", "claude-sonnet-9"

// statuses says what each model answers with.
var statuses = map[string]int{
	"ok": http.StatusOK, limitedModel: http.StatusTooManyRequests, otherModel: http.StatusOK, "e400": http.StatusBadRequest, "e401": http.StatusUnauthorized, "e429": http.StatusTooManyRequests,
}

func (s *stub) models(w http.ResponseWriter, _ *http.Request) {
	var list []object
	for name := range statuses {
		list = append(list, object{"id": name, "object": "model"})
	}
	reply(w, http.StatusOK, object{"object": "list", "data": list, "models": []object{}})
}

func (s *stub) serve(w http.ResponseWriter, r *http.Request, wire wire) {
	body, err := io.ReadAll(r.Body)
	var q request
	if err == nil {
		q, err = wire.read(r, body)
	}
	if err != nil {
		reply(w, http.StatusBadRequest, object{"error": object{"message": "stub: " + err.Error()}})
		return
	}
	s.mu.Lock()
	s.requests = append(s.requests, q)
	n, told := len(s.requests), s.told
	s.mu.Unlock()

	status, known := statuses[q.Model]
	if !known {
		status = http.StatusNotFound
	}
	if status == http.StatusTooManyRequests {
		wire.limit(w, q.Model)
		return
	}
	if status != http.StatusOK {
		reply(w, status, wire.failure(status, fmt.Sprintf("stub: model %s answers with status %d", q.Model, status)))
		return
	}
	if told != nil && wire.tell != nil {
		wire.tell(w.Header(), *told)
	}
	wire.send(w, q, decide(q), n)
}

// An answer is one step of a script: a call of a tool, or the final text.
type answer struct {
	tool                   string // "write", "edit", "bash", or "" for the final text
	path, content, command string
	old                    string // of an edit
	text                   string
}

var directive = regexp.MustCompile(`(?s)<<(write|edit|bash|say) (.*?)>>`)

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
				steps = append(steps, answer{tool: "write", path: path, content: content})
			case "edit":
				path, change, _ := strings.Cut(d[2], "|")
				old, content, _ := strings.Cut(change, "|")
				steps = append(steps, answer{tool: "edit", path: path, old: old, content: content})
			case "bash":
				steps = append(steps, answer{tool: "bash", command: d[2]})
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
