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

// Files are those that init makes. The config gets the PATH of the shell that calls, made fit for cron.
func Files(shellPath string) []Setup {
	return []Setup{
		{"config", settings.Example(SearchPath(shellPath), firstAgent(shellPath))},
		{"env/default.env", "# KEY=value, for git, the hook and every agent: tokens go here.\n"},
		{"env/dev.env", "# KEY=value, for dev agents.\n"},
		{"env/pm-agent.env", "# KEY=value, for the PM agent.\n"},
		{"prompts/dev.md", slots.DevPrompt},
		{"prompts/pm.md", slots.PMPrompt},
	}
}

// usual are the folders that a PATH is given where it has none of them.
var usual = []string{"/usr/local/bin", "/usr/bin", "/bin"}

// SearchPath is a PATH without what is of no use to cron: folders that are relative, vanished or there twice, and what a
// line of the config cannot hold. The usual folders are at its end.
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

// program is the argv by which a preset tells its version, nil for the one that is whatever the user says.
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

// Agents finds the programs of the agents there are presets for.
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

// firstAgent is the agent that the config must name: one that was found, where the default one was not. "" otherwise.
func firstAgent(path string) string {
	found := Agents(path)
	if len(found) == 0 || slices.ContainsFunc(found, func(f Found) bool { return f.Name == settings.DefaultAgent() }) {
		return ""
	}
	return found[0].Name
}

// Lacking are the agents that one PATH has and another lacks, and the line of the config that would mend it.
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

// PathLine is the line of the config that sets a PATH.
func PathLine(path string) string { return "PATH='" + path + "'" }
