package doctor

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kugetsu/slots"
	"kugetsu/slots/agent"
	"kugetsu/slots/proc"
	"kugetsu/tick/settings"
)

// Files returns the files that init makes. The config gets the PATH of the calling shell, cleaned by SearchPath.
func Files(shellPath string) []Setup {
	return []Setup{
		{"config", settings.Example(SearchPath(shellPath), firstAgent(shellPath))},
		{"env/default.env", "# KEY=value, for git, the hook and every agent: tokens go here.\n"},
		{"env/dev.env", "# KEY=value, for dev agents.\n"},
		{"env/pm-agent.env", "# KEY=value, for the PM agent.\n"},
		{"prompts/dev.md", slots.DevPrompt},
		{"prompts/task.md", slots.TaskPrompt},
		{"prompts/pm.md", slots.PMPrompt},
	}
}

// usual lists the folders that every PATH gets.
var usual = []string{"/usr/local/bin", "/usr/bin", "/bin"}

// SearchPath returns a PATH without the folders that cron cannot use: relative, missing and repeated ones, and those whose name a
// line of the config cannot hold. The usual folders stand at its end.
func SearchPath(shellPath string) string {
	var dirs []string
	for _, dir := range append(filepath.SplitList(shellPath), usual...) {
		if !filepath.IsAbs(dir) || strings.ContainsAny(dir, "'\n\r") || strings.ContainsFunc(dir, func(r rune) bool { return r < ' ' }) {
			continue
		}
		dir = filepath.Clean(dir)
		if info, err := os.Stat(dir); err == nil && info.IsDir() && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return strings.Join(dirs, string(os.PathListSeparator))
}

// program returns the command that prints the version of an agent, nil for the agent command, which may be any program.
func program(name string) []string {
	p, err := agent.Lookup(name)
	switch {
	case err != nil || !p.Prompted:
		return nil
	case p.Version != nil:
		return p.Version
	}
	return []string{name, "--version"}
}

// Found is an agent's program in a PATH.
type Found struct{ Name, Path string }

// Agents finds the programs of all agents in a PATH.
func Agents(path string) []Found {
	var found []Found
	for _, name := range agent.Names() {
		if argv := program(name); argv != nil {
			if file, err := proc.LookPath(argv[0], []string{"PATH=" + path}, "/"); err == nil {
				found = append(found, Found{name, file})
			}
		}
	}
	return found
}

// firstAgent returns the agent that the config must name: one that was found, if the default one was not; else "".
func firstAgent(path string) string {
	found := Agents(path)
	if len(found) == 0 || slices.ContainsFunc(found, func(f Found) bool { return f.Name == settings.DefaultAgent() }) {
		return ""
	}
	return found[0].Name
}

// Lacking returns the agents that one PATH has and another lacks, and the line of the config that adds them.
func Lacking(has, lacks string) (missing []Found, line string) {
	have := Agents(lacks)
	extra := ""
	for _, f := range Agents(has) {
		if !slices.ContainsFunc(have, func(h Found) bool { return h.Name == f.Name }) {
			missing = append(missing, f)
			extra += string(os.PathListSeparator) + filepath.Dir(f.Path)
		}
	}
	return missing, PathLine(SearchPath(lacks + extra))
}

// PathLine returns the line of the config that sets a PATH.
func PathLine(path string) string { return "PATH='" + path + "'" }
