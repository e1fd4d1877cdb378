package tick

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"kugetsu/queue"
	"kugetsu/queue/event"
	"kugetsu/queue/fault"
	"kugetsu/queue/outcome"
	"kugetsu/queue/spool"
	"kugetsu/slots"
	"kugetsu/slots/agent"
	"kugetsu/slots/proc"
)

// verification is the command that verifies the runs of an item, and what names it; "" where they are not verified. The item
// goes before the entry of its repository in repos.json, and that entry before the setting. The PM agent's runs are never verified.
func (t *Tick) verification(it *queue.Item, repos repos) (command, by string) {
	if it.Lane() == queue.PM {
		return "", ""
	}
	for _, says := range []struct {
		queue.Verify
		by string
	}{{it.Verify, ofItem}, {repos[it.Ref().RepoPath()].Verify, "repos.json"}, {queue.Verify{Command: t.Settings.Verify}, "VERIFY_COMMAND"}} {
		switch {
		case says.None:
			return "", ""
		case says.Command != "":
			return says.Command, says.by
		}
	}
	return "", ""
}

// ofItem is what names a command that one item alone has.
const ofItem = "the item"

// A command that cannot be started verifies nothing, so nothing is started that it would have to verify. Where the tick can see
// that, it looks each time. Else a run met it:
//
//	the program lies in the worktree     the runner looks before it starts the agent. That costs nothing, so the item of that run
//	                                     tries again, and the others of the repository wait for it
//	it lies elsewhere, and did not       an agent had worked by then. All wait until the command is another one, or the program is
//	start although it is a program       not the same file any more

// unverifiable is what the file of such a condition holds beside the reason: repos/<repository>.<command>.unverifiable.json.
type unverifiable struct {
	Repo    string `json:"repo"`
	Name    string `json:"name"` // of the repository, in files
	Command string `json:"command"`
	Item    string `json:"item,omitempty"`    // that has the command, or whose run met it
	Alone   bool   `json:"alone,omitempty"`   // the item has the command, and not its repository
	Program string `json:"program,omitempty"` // that a run could not start
	Stamp   string `json:"stamp,omitempty"`   // what it was then
}

const unverifiableSuffix = ".unverifiable.json"

func unverifiableCondition(home slots.Dir, repo, command string) condition {
	subject := fmt.Sprintf("%s.%08x", repo, crc32.ChecksumIEEE([]byte(command)))
	return condition{path: filepath.Join(reposDir(home), subject+unverifiableSuffix), begins: event.VerifierMissing, ends: event.VerifierBack,
		subject: event.SafeName(subject), over: "runs can be verified again; it was: ", log: "runs cannot be verified"}
}

// reposDir is where the clones are, too.
func reposDir(home slots.Dir) string { return filepath.Join(string(home), "repos") }

// verifier looks for the program of a command that verifies runs, as the runner does. A path that is not absolute leads into a
// worktree, and the prefix finds the program behind it: neither is known before a run.
func (t *Tick) verifier(command string) (program string, err error) {
	words, err := agent.Split(command)
	switch {
	case err != nil:
		return "", err
	case len(words) == 0 || words[0] == "":
		return "", errors.New("there is no command")
	case t.Settings.AgentPrefix != "" || strings.Contains(words[0], "/") && !filepath.IsAbs(words[0]):
		return "", nil
	}
	env, err := t.Environ()
	if err == nil {
		env, err = slots.WithFiles(env, t.Home.EnvFile("default.env"))
	}
	if err != nil {
		return "", nil // told elsewhere
	}
	return proc.Program(words[0], env, "/")
}

// Verifier is a command that verifies the runs of a repository, or of all others.
type Verifier struct {
	By      string // what names it
	Name    string // of the program, as the command has it
	Program string // its path; "" where only a worktree or AGENT_PREFIX has it
	Err     error  // why it cannot be started
}

// Verifiers are the commands of VERIFY_COMMAND and repos.json, each looked for as a run looks for it.
func (t *Tick) Verifiers() (list []Verifier, err error) {
	add := func(by string, v queue.Verify) {
		if v.Command == "" {
			return
		}
		one := Verifier{By: by}
		if words, err := agent.Split(v.Command); err == nil && len(words) > 0 {
			one.Name = words[0]
		}
		one.Program, one.Err = t.verifier(v.Command)
		list = append(list, one)
	}
	add("VERIFY_COMMAND", queue.Verify{Command: t.Settings.Verify})
	repos, err := readRepos(t.Home)
	for _, name := range slices.Sorted(maps.Keys(repos)) {
		add("repos.json: "+name, repos[name].Verify)
	}
	return list, err
}

// Verifiable says that the command which verifies the runs of an item cannot be started. The error asks for exit code 78.
func (t *Tick) Verifiable(it *queue.Item) error {
	repos, err := readRepos(t.Home)
	if err != nil {
		return nil // told elsewhere
	}
	return (&verifiers{t: t, repos: repos}).why(&candidate{it: it}).err
}

// verifiers is the policy that the command which is to verify a run can be started.
type verifiers struct {
	t     *Tick
	repos repos
	found map[string]error // by command: why the tick sees that it cannot be started
}

func (p *verifiers) why(c *candidate) Reason {
	command, by := p.t.verification(c.it, p.repos)
	if command == "" {
		return Reason{}
	}
	err, looked := p.found[command]
	if !looked {
		if p.found == nil {
			p.found = map[string]error{}
		}
		_, err = p.t.verifier(command)
		p.found[command] = err
	}
	u := unverifiable{Repo: c.it.Ref().RepoPath(), Name: c.it.Ref().RepoName(), Command: command}
	if by == ofItem {
		u.Item, u.Alone = c.it.ID, true
	}
	if err != nil {
		return u.reason(fmt.Sprintf("runs cannot be verified: %s: %v", by, err))
	}
	l, lasts, err := unverifiableCondition(p.t.Home, c.it.Ref().RepoName(), command).read()
	switch {
	case err != nil:
		return Reason{Kind: Unusable, Text: err.Error(), err: err}
	case !lasts || l.Verifier == nil || l.Verifier.Program == "" && l.Verifier.Item == c.it.ID || !p.t.stillUnverifiable(l.Verifier, p.repos):
		return Reason{}
	}
	return l.Verifier.reason(l.Why)
}

func (*verifiers) starts(*candidate) {}

func (u unverifiable) reason(why string) Reason {
	what := "nothing of " + u.Repo + " is started"
	if u.Alone {
		what = u.Item + " is not started"
	}
	err := fault.New(fault.Config, "correct the command, or install its program; --no-verify, and false in repos.json, do without", "%s: %s", what, why)
	return Reason{Kind: Unverifiable, Text: err.Error(), err: err, verifier: &u}
}

// stillUnverifiable says whether a command that could not be started is still named, and still the same.
func (t *Tick) stillUnverifiable(u *unverifiable, repos repos) bool {
	var it *queue.Item
	if u.Item != "" {
		e, found, err := t.item(u.Item)
		if err != nil && !queue.IsAbsent(err) {
			return true
		}
		if _, live := t.Queue.Lane(e); err == nil && live {
			it = found
		}
	}
	if u.Program != "" {
		return stamp(u.Program) == u.Stamp
	}
	if _, err := t.verifier(u.Command); err != nil {
		named := repos[u.Repo].Verify
		return it != nil || named.Command == u.Command || named == queue.Verify{} && t.Settings.Verify == u.Command
	}
	last := (*queue.Run)(nil)
	if it != nil {
		last = it.Last()
	}
	return last != nil && last.Outcome == outcome.Unverifiable
}

// stamp is what a file is at this instant, as far as a change of it shows.
func stamp(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return "absent"
	}
	return fmt.Sprintf("%d bytes, %s, %d", info.Size(), info.Mode(), info.ModTime().UnixNano())
}

// metUnverifiable notes that a run could not start the command that verifies it. It comes before the run is settled: after a crash
// between the two, the next pass finds it noted.
func (t *Tick) metUnverifiable(it *queue.Item, command, why string) error {
	c := unverifiableCondition(t.Home, it.Ref().RepoName(), command)
	l, lasts, err := c.read()
	if err != nil {
		return err
	}
	if lasts && l.Verifier != nil { // noted by a pass that was killed, or by another run
		l.Why = l.Verifier.reason(l.Why).Text
		return t.Queue.Events.PutOnce(c.event(c.begins, l, c.said))
	}
	u := &unverifiable{Repo: it.Ref().RepoPath(), Name: it.Ref().RepoName(), Command: command, Item: it.ID, Alone: it.Verify.Command == command}
	if program, err := t.verifier(command); err == nil && program != "" {
		u.Program, u.Stamp = program, stamp(program)
	}
	why, _, _ = strings.Cut(why, "\n")
	l = lasting{V: 1, Since: t.Now().UTC(), Why: why, Verifier: u}
	if err := c.file().Write(&l); err != nil {
		return err
	}
	l.Why = u.reason(why).Text
	return t.Queue.Events.PutOnce(c.event(c.begins, l, c.said))
}

// tellVerifiers tells of the commands that this pass could not start, and of those that are over.
func (t *Tick) tellVerifiers(el *eligibility, report *Report) error {
	var errs []error
	met := map[string]bool{}
	for _, r := range el.met[Unverifiable] {
		c := unverifiableCondition(t.Home, r.verifier.Name, r.verifier.Command)
		met[c.path] = true
		errs = append(errs, t.lasts(c, r, report))
	}
	names, err := spool.List(reposDir(t.Home))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(append(errs, err)...)
	}
	for _, file := range names {
		if !strings.HasSuffix(file, unverifiableSuffix) || met[filepath.Join(reposDir(t.Home), file)] {
			continue
		}
		c := condition{path: filepath.Join(reposDir(t.Home), file)}
		l, lasts, err := c.read()
		if err != nil || !lasts || l.Verifier == nil {
			errs = append(errs, err)
			continue
		}
		c = unverifiableCondition(t.Home, l.Verifier.Name, l.Verifier.Command)
		errs = append(errs, t.mayBeOver(c, func() bool { return !t.stillUnverifiable(l.Verifier, el.repos) }))
	}
	return errors.Join(errs...)
}
