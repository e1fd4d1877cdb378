package agent

import (
	"cmp"
	"encoding/json"
	"strings"
)

// refusal follows the permissions that opencode refused in a run.
//
// The rule: a run in which a permission was refused is never reported as a success, unless the agent has done
// something after it had learned of the refusal. For opencode exits 0 either way, with the reason "stop" and a polite
// text, whether the agent found another way or gave up. In detail:
//
//   - Only a later step counts. A call made in the same step was made before the agent knew.
//   - The call must have completed, a command with exit status 0.
//   - A look around (reading, searching, keeping a list of things to do) makes up for a refused look, never for work.
//   - Refused work is made up for by the same tool or by an edit: a refused edit not by a command, which may be no more
//     than a look around.
//
// The limits of what the stream shows: a tool denied altogether ("bash": "deny") is never offered to the model, so
// nothing is refused; and of what a rule denies within a subagent, only what the subagent says of it comes out.
type refusal struct {
	open   bool
	step   int      // in which it came
	ofWork bool     // something else than a look around was refused
	tool   string   // what was refused last
	named  Refusals // as the events name them
	asked  Refusals // as stderr names them: the permission itself, where the events have only the tool
}

// toolState is how a tool call ended.
type toolState struct {
	Status string `json:"status"` // "completed" or "error"
	Error  string `json:"error"`
	Input  struct {
		FilePath    string `json:"filePath"`
		Path        string `json:"path"`
		Command     string `json:"command"`
		URL         string `json:"url"`
		Pattern     string `json:"pattern"`
		Description string `json:"description"`
	} `json:"input"`
	Metadata struct {
		Exit int `json:"exit"` // of a command
	} `json:"metadata"`
}

// looks are the tools that change nothing outside the conversation. "invalid" stands for a call of a tool that does
// not exist; such a call completes, too.
var looks = map[string]bool{
	"invalid": true, "read": true, "list": true, "glob": true, "grep": true, "lsp": true, "skill": true,
	"webfetch": true, "websearch": true, "codesearch": true, "todoread": true, "todowrite": true,
}

// edits are the tools that change files.
var edits = map[string]bool{"edit": true, "write": true, "patch": true, "multiedit": true, "apply_patch": true}

func (r *refusal) toolUse(step int, tool string, state toolState) {
	switch {
	case state.Status == "error" && isRefusal(state.Error):
		if r.open, r.step = true, step; !looks[tool] || !r.ofWork {
			r.tool, r.ofWork = tool, !looks[tool]
		}
		r.named.add(cmp.Or(deniedBy(state.Error), tool, "unknown") + " " + state.target())
	case state.Status == "completed" && state.Metadata.Exit == 0 && tool != "invalid":
		if step > r.step && (!r.ofWork || tool == r.tool || edits[tool]) {
			r.open, r.ofWork = false, false
		}
	}
}

// isRefusal knows the refusals by their wording: the events have no other mark. The sentences are those of the classes
// RejectedError and DeniedError in 1.x and BlockedError in 2.x; a subagent's refusal has words before it.
func isRefusal(message string) bool {
	return strings.Contains(message, "The user rejected permission to use this specific tool call") ||
		strings.Contains(message, "The user has specified a rule which prevents you from using this") ||
		strings.HasPrefix(message, "Permission denied: ")
}

// deniedBy names the permission in the message of a refusal by rule: "external_directory" where the tool was write.
// The message ends in the rules that were looked at: those of the permission, and wildcards.
func deniedBy(message string) string {
	if name, ok := strings.CutPrefix(message, "Permission denied: "); ok {
		return name
	}
	_, list, _ := strings.Cut(message, "relevant rules ")
	var rules []struct{ Permission, Action string }
	if json.Unmarshal([]byte(list), &rules) != nil {
		return ""
	}
	name := ""
	for _, rule := range rules {
		if rule.Action == "deny" && !strings.ContainsAny(rule.Permission, "*?") {
			name = rule.Permission
		}
	}
	return name
}

// target is what the tool was used on.
func (s toolState) target() string {
	in := s.Input
	return cmp.Or(in.FilePath, in.Command, in.URL, in.Path, in.Pattern, in.Description)
}

// stderr reads "! permission requested: external_directory (/etc/*); auto-rejecting", which a run without --auto prints.
func (r *refusal) stderr(line []byte) {
	_, asked, found := strings.Cut(oneLine(string(line), MaxLine), "permission requested: ")
	asked, rejected := strings.CutSuffix(asked, "; auto-rejecting")
	if !found || !rejected {
		return
	}
	if name, patterns, ok := strings.Cut(asked, " ("); ok {
		asked = name + " " + strings.TrimSuffix(patterns, ")")
	}
	r.asked.add(asked)
}

// stands reports whether a refusal was not made up for. Where only stderr tells of one, nothing can have done so: how
// the two pipes interleave is not known, so nothing is known to have come later.
func (r *refusal) stands() bool { return r.open || len(r.asked) > 0 && len(r.named) == 0 }

// permissions are those that were refused, by their better names where there are any.
func (r *refusal) permissions() Refusals {
	if len(r.asked) > 0 {
		return r.asked
	}
	return r.named
}
