package agent

import (
	"cmp"
	"encoding/json"
	"strings"
)

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

// opencodeLooks change nothing outside the conversation. "invalid" stands for a call of a tool that does not exist; such a
// call completes, too.
var opencodeLooks = map[string]bool{
	"invalid": true, "read": true, "list": true, "glob": true, "grep": true, "lsp": true, "skill": true,
	"webfetch": true, "websearch": true, "codesearch": true, "todoread": true, "todowrite": true,
}

// opencodeEdits change files.
var opencodeEdits = map[string]bool{"edit": true, "write": true, "patch": true, "multiedit": true, "apply_patch": true}

func opencodeRefusals() refusals {
	return refusals{looks: func(tool string) bool { return opencodeLooks[tool] }, edits: func(tool string) bool { return opencodeEdits[tool] }}
}

// toolUse follows the refusals. Only a call that completed counts, and of a command only one with exit status 0.
//
// The stream does not show all refusals. A tool that is denied altogether ("bash": "deny") is never offered to the model, so it is
// not refused. If a rule refuses something within a subagent, only the subagent's own words tell of that.
func (p *opencodeParser) toolUse(tool string, state toolState) {
	switch {
	case state.Status == "error" && isRefusal(state.Error):
		p.refusals.refuse(tool, p.step, cmp.Or(deniedBy(state.Error), tool, "unknown")+" "+state.target())
	case state.Status == "completed" && state.Metadata.Exit == 0 && tool != "invalid":
		p.refusals.done(tool, p.step)
	}
}

// isRefusal knows the refusals by their words: the events have no other mark. The sentences are those of the classes
// RejectedError and DeniedError in 1.x and BlockedError in 2.x; a subagent's refusal has words before it.
func isRefusal(message string) bool {
	return strings.Contains(message, "The user rejected permission to use this specific tool call") ||
		strings.Contains(message, "The user has specified a rule which prevents you from using this") ||
		strings.HasPrefix(message, "Permission denied: ")
}

// deniedBy names the permission in the message of a refusal by rule: "external_directory" where the tool was write.
// The message ends in the rules that were applied: those of the permission, and wildcards.
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

// target is the argument of the tool: a file, a command, a URL.
func (s toolState) target() string {
	in := s.Input
	return cmp.Or(in.FilePath, in.Command, in.URL, in.Path, in.Pattern, in.Description)
}

// rejecting reads "! permission requested: external_directory (/etc/*); auto-rejecting", which a run without --auto prints.
func (p *opencodeParser) rejecting(line []byte) {
	_, asked, found := strings.Cut(oneLine(string(line), MaxLine), "permission requested: ")
	asked, rejected := strings.CutSuffix(asked, "; auto-rejecting")
	if !found || !rejected {
		return
	}
	if name, patterns, ok := strings.Cut(asked, " ("); ok {
		asked = name + " " + strings.TrimSuffix(patterns, ")")
	}
	p.asked.add(asked)
}
