package forge

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"kugetsu/queue/terminal"
)

// Denial is why a forge shows less than it is asked for. A refusal lasts until a person does something about it. It may be stored:
// nothing of a token is in it.
type Denial struct {
	Why   string   `json:"why"`             // in one line
	Said  string   `json:"said,omitempty"`  // the forge's own words in one line, cleaned and cut; "" where it has none
	Set   []string `json:"set,omitempty"`   // what the env files lack: GITEA_TOKEN=…
	Token string   `json:"token,omitempty"` // the variable whose token was sent; "" for none
	Right string   `json:"right,omitempty"` // what that token is to be allowed; "" where it is not valid
	// Unanswered says that this is no refusal: there was no answer, or none that could be read. That may pass by itself.
	Unanswered bool `json:"unanswered,omitempty"`
}

// Text is why, with the forge's own words in quotation marks.
func (d Denial) Text() string {
	if d.Said == "" {
		return d.Why
	}
	return d.Why + `; the forge says "` + d.Said + `"`
}

// Remedy is what a person can do. file is the env file with the token.
func (d Denial) Remedy(file string) string {
	switch {
	case d.Unanswered:
		return "see that this machine reaches it, and that " + file + " names it well"
	case len(d.Set) > 0:
		return "put " + strings.Join(d.Set, " and ") + " into " + file
	case d.Right != "":
		return fmt.Sprintf("give the token the right %s for this repository, or put one that has it into %s as %s", d.Right, file, d.Token)
	case d.Token != "":
		return "put a new token into " + file + " as " + d.Token
	}
	return "correct " + file // Why says which variable names another host
}

// DenialOf is the denial in an error of State, Find, Inspect, or Try. It is nil for a limit, which ends at a time that is known.
func DenialOf(err error) *Denial {
	var status *statusError
	var limit *LimitError
	switch {
	case err == nil, errors.As(err, &limit):
		return nil
	case errors.As(err, &status) && (status.denied() || status.code == http.StatusNotFound):
		return status.denial()
	}
	return &Denial{Why: terminal.Line(terminal.Joined(err.Error()), maxWhy), Unanswered: true}
}

// rights are what a forge's documentation asks of a token to show a part of a request. The key "" is the request itself, and any
// part without a key of its own (docs.github.com/rest/authentication/permissions-required-for-fine-grained-personal-access-tokens,
// docs.gitlab.com/user/profile/personal_access_tokens, docs.gitea.com/development/oauth2-provider). GitHub grants "Checks" to apps
// alone, so the right to its jobs is asked for instead.
var rights = map[*kind]map[string]string{
	github: {
		"":              `"Pull requests: read" (of a classic token: repo)`,
		"statuses":      `"Commit statuses: read" (of a classic token: repo)`,
		"check runs":    `"Checks: read" (of a classic token: repo)`,
		"workflow runs": `"Actions: read" (of a classic token: repo)`,
		"jobs":          `"Actions: read" (of a classic token: repo)`,

		"the rights of a reviewer": `"Metadata: read" (of a classic token: repo)`,
	},
	gitlab: {"": "read_api"},
	gitea:  {"": "read:repository"},
}

// statusError is an answer with another status than 200.
type statusError struct {
	code  int
	forge *kind
	part  string // what of a request was asked for; "" for the request itself, or a list of them
	token string // the variable whose token was sent
	lack  lack   // why no token was sent
	said  string

	program string // why the forge's own program did not answer before; "" where it was not asked
}

func (e *statusError) Error() string {
	if e.denied() || e.code == http.StatusNotFound {
		return e.denial().Text()
	}
	text := fmt.Sprintf("status %d: it did not answer", e.code)
	if e.program != "" {
		text += " (" + e.program + ")"
	}
	return text
}

// denied says whether the forge asks for another token. A forge may also answer "not found" for a thing that the token may not see, since
// it does not tell that the thing is there.
func (e *statusError) denied() bool {
	return e.code == http.StatusUnauthorized || e.code == http.StatusForbidden
}

func (e *statusError) denial() *Denial {
	d := &Denial{Said: e.said, Token: e.token}
	right := cmp.Or(rights[e.forge][e.part], rights[e.forge][""])
	why := ""
	switch {
	case e.code == http.StatusNotFound && e.token == "":
		why, d.Set = "there is no such request, or it takes a token to see it: "+e.lack.why, e.lack.set
	case e.code == http.StatusNotFound:
		why, d.Right = fmt.Sprintf("there is no such request, or %s may not see it: it takes %s", e.token, right), right
	case e.token == "":
		why, d.Set = "it wants a token: "+e.lack.why, e.lack.set
	case e.code == http.StatusUnauthorized:
		why = e.token + " is not valid"
	default:
		why, d.Right = fmt.Sprintf("%s is valid, and lacks a right: it takes %s", e.token, right), right
	}
	d.Why = fmt.Sprintf("status %d: %s", e.code, why)
	if e.program != "" {
		d.Why += " (" + e.program + ")"
	}
	if e.part != "" {
		d.Why = e.part + ": " + d.Why
	}
	return d
}

const (
	// maxRefusal bounds what is read of an answer that refuses, maxSaid what is kept of its words, and maxWhy an error, in bytes.
	maxRefusal, maxSaid, maxWhy = 4 << 10, 200, 200
	// tokenPart is how many characters of a token are as good as the token.
	tokenPart = 8
)

// said are a forge's own words in an answer that refuses; "" where it has none. They go to logs and terminals, so they hold no
// control character. Words that repeat a part of the token are left out: an answer may hold all that was sent.
func said(body []byte, token string) string {
	var answer struct {
		Message     any    `json:"message"` // GitLab's may be an object
		Description string `json:"error_description"`
		Error       any    `json:"error"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return ""
	}
	message, _ := answer.Message.(string)
	short, _ := answer.Error.(string)
	words := cmp.Or(message, answer.Description, short)
	for i := range max(1, len(token)-tokenPart+1) {
		if token != "" && strings.Contains(strings.ToLower(words), strings.ToLower(token[i:min(len(token), i+tokenPart)])) {
			return ""
		}
	}
	return strings.ReplaceAll(terminal.Line(terminal.Joined(words), maxSaid), `"`, "'")
}

// lack is why no token goes to a forge, and what the env files lack for that.
type lack struct {
	why string
	set []string
}

// lack finds in the table of homes what is missing. If a home is the forge's already, only the token is missing. Otherwise the
// variable that names the forge is missing, too; lack prefers that of a home whose token is set.
func (r request) lack(env []string) lack {
	const file = " in env/default.env"
	var half, free, taken *home
	for _, h := range homes() {
		origin, err := h.at(env)
		names := h.tokensFor(r.origin)
		switch {
		case err != nil, h.forge != r.forge, len(names) == 0:
		case origin == r.origin:
			return lack{names[0] + " is missing" + file, []string{names[0] + "=…"}}
		case h.host == "":
		case get(env, h.host) != "":
			taken = &h
		case half == nil && h.set(env, r.origin) != "":
			half = &h
		case free == nil:
			free = &h
		}
	}
	switch {
	case half != nil:
		place := half.named(r.origin)
		return lack{fmt.Sprintf("%s is set, and %s is missing%s, which says that it is for this host", half.set(env, r.origin), place, file), []string{place}}
	case free != nil:
		place, token := free.named(r.origin), free.tokensFor(r.origin)[0]
		return lack{fmt.Sprintf("%s and %s are missing%s", place, token, file), []string{place, token + "=…"}}
	case taken != nil:
		return lack{why: fmt.Sprintf("%s%s names another host, and %s goes there alone", taken.host, file, taken.tokensFor(r.origin)[0])}
	}
	return lack{why: "no variable is for its host"}
}

// tokensFor are the variables whose tokens go to an origin that is this home.
func (h home) tokensFor(origin string) []string {
	if h.host == "GH_HOST" && isTenant(hostname(origin)) { // as for gh, but only to the tenant that GH_HOST names
		return slices.Concat(h.tokens, []string{"GH_TOKEN", "GITHUB_TOKEN"})
	}
	return h.tokens
}

// set is the first of these variables that is set; "" for none.
func (h home) set(env []string, origin string) string {
	for _, name := range h.tokensFor(origin) {
		if get(env, name) != "" {
			return name
		}
	}
	return ""
}

// named is the line of an env file that makes an origin this home. gh and glab read their variable as a host alone.
func (h home) named(origin string) string {
	if strings.HasSuffix(h.host, "_HOST") {
		origin = strings.TrimPrefix(origin, "https://")
	}
	return h.host + "=" + origin
}

// Unplaced are the tokens of an environment that go to no host, since the variable that names their host is missing.
func Unplaced(env []string) (list []Denial) {
	for _, h := range homes() {
		if h.host == "" || h.origin != "" || get(env, h.host) != "" {
			continue
		}
		if token := h.set(env, ""); token != "" {
			list = append(list, Denial{Why: fmt.Sprintf("%s is set, and %s is not: the token goes to no host", token, h.host), Set: []string{h.named("https://…")}})
		}
	}
	return list
}
