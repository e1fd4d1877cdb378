package tick

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/event"
	"kugetsu/queue/fault"
	"kugetsu/queue/spool"
	"kugetsu/slots"
	"kugetsu/slots/agent"
	"kugetsu/slots/proc"
)

// verification is the command that verifies the runs of an item, and the option, file or setting that names the command; "" if the runs
// are not verified. The item goes before the entry of its repository in repos.json, and that entry before the setting. The PM agent's
// runs are never verified.
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

// ofItem is the option that names a command for one item alone.
const ofItem = "--verify"

// If the command that is to verify runs cannot be started, no item is started whose run it would have to verify. If the program's folder
// is known, each pass looks for the program. Otherwise a run finds out. Then all items with the command wait, that run's item too:
//
//	the program is in the worktree       until another command is named, the settings or repos.json are written, or the item is gone
//	                                     or verified by another command. If only this item has the command: until a person gives it
//	                                     a command again
//	the program is elsewhere, exists,    until another command is named, or the program is another file
//	and did not start

// unverifiable is the part of the condition's file, repos/<repository>.<command>.unverifiable.json, beside the reason.
type unverifiable struct {
	Repo    string `json:"repo"`
	Name    string `json:"name"` // of the repository, in files
	Command string `json:"command"`
	Item    string `json:"item,omitempty"`    // the item that has the command, or whose run could not start it
	Ref     string `json:"ref,omitempty"`     // the item's issue or task
	Run     int    `json:"run,omitempty"`     // the item's run that could not start the command; 0 if a pass found out
	Alone   bool   `json:"alone,omitempty"`   // the item has the command, and not its repository
	Program string `json:"program,omitempty"` // the program that exists and that the run could not start
	Stamp   string `json:"stamp,omitempty"`   // the stamp of the program or, without one, of the files that name commands

	met string // in the reason of other items: the item whose run could not start the command
}

const unverifiableSuffix = ".unverifiable.json"

func (u *unverifiable) condition(home slots.Dir) condition {
	subject := fmt.Sprintf("%s.%08x", u.Name, crc32.ChecksumIEEE([]byte(u.Command)))
	c := condition{path: filepath.Join(reposDir(home), subject+unverifiableSuffix), begins: event.VerifierMissing, ends: event.VerifierBack,
		subject: event.SafeName(subject), over: "runs can be verified again; it was: ", log: "runs cannot be verified"}
	if u.Run > 0 { // only the next run shows whether the cause is gone
		c.over = "it is tried again whether runs can be verified; it was: "
	}
	if u.Alone {
		c.item, c.ref = u.Item, u.Ref
	}
	return c
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
	case t.Settings.AgentPrefix != "" || !t.engineFor(queue.Dev).here() || strings.Contains(words[0], "/") && !filepath.IsAbs(words[0]):
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
	Command string
	Program string // its path; "" where only a worktree or AGENT_PREFIX has it
	Err     error  // why it cannot be started
}

// Verifiers are the commands of VERIFY_COMMAND and repos.json, each looked for as a run looks for it.
func (t *Tick) Verifiers() (list []Verifier, err error) {
	add := func(by string, v queue.Verify) {
		if v.Command == "" {
			return
		}
		one := Verifier{By: by, Command: v.Command}
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

// Verifiable looks for the command that verifies the runs of an item. The error says that it cannot be started, and asks for exit code 78.
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
	found map[string]error // by command: why it cannot be started, as this pass found
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
	u := &unverifiable{Repo: c.it.Ref().RepoPath(), Name: c.it.Ref().RepoName(), Command: command}
	if by == ofItem {
		u.Item, u.Ref, u.Alone = c.it.ID, c.it.IssueRef, true
	}
	if err != nil {
		return p.t.unverifiable(u, p.repos, slots.Unverifiable(by, command, err).Error())
	}
	l, lasts, err := u.condition(p.t.Home).read()
	switch {
	case err != nil:
		return Reason{Kind: Unusable, Text: err.Error(), err: err}
	case !lasts || l.Verifier == nil || !p.t.stillUnverifiable(l.Verifier, p.repos):
		return Reason{}
	}
	u.Run, u.Program, u.met = l.Verifier.Run, l.Verifier.Program, l.Verifier.Item
	return p.t.unverifiable(u, p.repos, l.Why)
}

func (*verifiers) starts(*candidate) {}

// unverifiable is the reason of an item that waits. If the item alone waits, the text has no id, since it is shown beside the item.
func (t *Tick) unverifiable(u *unverifiable, repos repos, why string) Reason {
	what := "nothing of " + u.Repo + " is started: "
	why = strings.TrimPrefix(why, what)
	text, file := what+why, t.namedIn(u, repos)
	hint := "correct the command in " + file + ", or install its program; --no-verify, and false in repos.json, do without"
	switch {
	case u.Alone:
		what, text, hint = u.Item+" is not started: ", why, u.edit(file)+" names another; --no-verify does without"
		if u.Run > 0 && u.Program == "" {
			hint = u.edit(file) + " names another, or the same once the branch has its program; --no-verify does without"
		}
	case u.Program != "":
		hint = "correct the command in " + file + ", or repair " + u.Program + "; --no-verify, and false in repos.json, do without"
	case u.Run > 0:
		hint = "correct the command in " + file + ", or touch that file once the branch has its program; kugetsu queue edit --no-verify " + cmp.Or(u.met, u.Item) + ", whose branch lacks it, lets the others start"
	}
	return Reason{Kind: Unverifiable, Text: text, Hint: hint, err: fault.New(fault.Config, hint, "%s%s", what, why), verifier: u}
}

// namedIn is the file that names the command for more than one item.
func (t *Tick) namedIn(u *unverifiable, repos repos) string {
	if repos[u.Repo].Verify.Command == u.Command {
		return filepath.Join(string(t.Home), "repos.json")
	}
	return filepath.Join(string(t.Home), "config")
}

// edit is what a person types to name another command.
func (u *unverifiable) edit(file string) string {
	if u.Alone {
		return "kugetsu queue edit --verify CMD " + u.Item
	}
	return "${EDITOR:-vi} " + file
}

// named says whether the command is still named for what waits.
func (u *unverifiable) named(t *Tick, it *queue.Item, repos repos) bool {
	if u.Alone {
		return it != nil && it.Verify.Command == u.Command
	}
	named := repos[u.Repo].Verify
	return named.Command == u.Command || named == queue.Verify{} && t.Settings.Verify == u.Command
}

// stillUnverifiable says whether a command that could not be started is still named, and still the same.
func (t *Tick) stillUnverifiable(u *unverifiable, repos repos) bool {
	it, err := t.liveItem(u.Item)
	switch {
	case err != nil: // unknown is not over
		return true
	case !u.named(t, it, repos):
		return false
	case u.Program != "":
		return stamp(u.Program) == u.Stamp
	}
	if _, err := t.verifier(u.Command); err != nil {
		return true
	}
	if u.Run == 0 || it == nil || it.Runs != u.Run {
		return false
	}
	if now, _ := t.verification(it, repos); now != u.Command { // the item was edited: its branch may lack the program
		return false
	}
	return u.Alone || t.stampOfCommands() == u.Stamp
}

// liveItem is an item that is not settled; nil where there is none.
func (t *Tick) liveItem(id string) (*queue.Item, error) {
	if id == "" {
		return nil, nil
	}
	e, it, err := t.item(id)
	if queue.IsAbsent(err) {
		return nil, nil
	}
	if _, live := t.Queue.Lane(e); err != nil || !live {
		return nil, err
	}
	return it, nil
}

// BrokenVerifier is a command that cannot be started to verify runs, so that items wait.
type BrokenVerifier struct {
	Item    string // the only item that waits; "" if all items of Repo wait
	Repo    string
	Command string
	Lacks   string // the program, if no folder of PATH has it
	Why     string
	Hint    string // what to do
	Edit    string // what a person types to name another command
	Since   time.Time
}

func (t *Tick) brokenVerifier(r Reason, repos repos, since time.Time) BrokenVerifier {
	u := r.verifier
	one := BrokenVerifier{Repo: u.Repo, Command: u.Command, Why: r.Text, Hint: r.Hint, Edit: u.edit(t.namedIn(u, repos)), Since: since}
	if u.Alone {
		one.Item = u.Item
	}
	absent := (*proc.NotInPath)(nil)
	if _, err := t.verifier(u.Command); errors.As(err, &absent) {
		one.Lacks = absent.Name
	}
	return one
}

// BrokenVerifiers lists the commands that the last pass noted, whenever their items are due. A command whose fault shows without a run is
// not in the list: Verifiers has it.
func (t *Tick) BrokenVerifiers() (list []BrokenVerifier, err error) {
	repos, err := readRepos(t.Home)
	if err != nil {
		return nil, nil // told elsewhere
	}
	err = t.eachUnverifiable(func(l lasting) error {
		if u := l.Verifier; (u.Alone || u.Run > 0) && t.stillUnverifiable(u, repos) {
			list = append(list, t.brokenVerifier(t.unverifiable(u, repos, l.Why), repos, l.Since))
		}
		return nil
	})
	return list, err
}

// BrokenVerifierOf is the command that keeps an item waiting, nil for none.
func (t *Tick) BrokenVerifierOf(w Waiting) *BrokenVerifier {
	repos, err := readRepos(t.Home)
	if w.reason.verifier == nil || err != nil {
		return nil
	}
	one := t.brokenVerifier(w.reason, repos, w.Since)
	return &one
}

// EditVerifier is what a person types to name another command for an item whose command cannot be started; "" if the command can be
// started. called is the word for the item in that line.
func (t *Tick) EditVerifier(it *queue.Item, called string) string {
	repos, err := readRepos(t.Home)
	if err != nil {
		return ""
	}
	u := (&verifiers{t: t, repos: repos}).why(&candidate{it: it}).verifier
	if u == nil {
		return ""
	}
	u.Item = called
	return u.edit(t.namedIn(u, repos))
}

// Taken is what a person does about an item that ended in an error since its agent took the program away that verifies it: that
// program, as its command names it, and what to type to name another command for an item that is called so; "" elsewhere. Another
// run may bring the program back, too: its agent is told what it lacks.
func Taken(it *queue.Item, called string) (program, command string) {
	last := it.Last()
	if it.State != queue.Errored || it.Cancelled() || it.DependencyFailed() || last == nil || last.Verification == nil || !last.Verification.Taken {
		return "", ""
	}
	words, err := agent.Split(last.Verification.Command)
	if err != nil || len(words) == 0 { // the command is kept cut to a line
		return "", ""
	}
	return words[0], "kugetsu queue retry --verify CMD " + called
}

// eachUnverifiable visits the files of these conditions.
func (t *Tick) eachUnverifiable(visit func(lasting) error) error {
	names, err := spool.List(reposDir(t.Home))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var errs []error
	for _, file := range names {
		if !strings.HasSuffix(file, unverifiableSuffix) {
			continue
		}
		l, lasts, err := condition{path: filepath.Join(reposDir(t.Home), file)}.read()
		if err == nil && lasts && l.Verifier != nil {
			err = visit(l)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// stampOfCommands is the stamp of the files that name commands for more than one item.
func (t *Tick) stampOfCommands() string {
	return stamp(filepath.Join(string(t.Home), "config")) + "; " + stamp(filepath.Join(string(t.Home), "repos.json"))
}

// stamp describes a file by its size, mode and time: another stamp means that the file was changed.
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
	u := &unverifiable{Repo: it.Ref().RepoPath(), Name: it.Ref().RepoName(), Command: command, Item: it.ID, Ref: it.IssueRef, Run: it.Runs, Alone: it.Verify.Command == command}
	if program, err := t.verifier(command); err == nil && program != "" {
		u.Program, u.Stamp = program, stamp(program)
	} else if !u.Alone {
		u.Stamp = t.stampOfCommands()
	}
	c := u.condition(t.Home)
	l, lasts, err := c.read()
	if err != nil {
		return err
	}
	if lasts && l.Verifier != nil {
		known := l.Verifier.condition(t.Home)
		repos, err := readRepos(t.Home)
		if err != nil || t.stillUnverifiable(l.Verifier, repos) { // noted by a pass that was killed, or by another run
			return t.Queue.Events.PutOnce(known.begun(l))
		}
		if err := t.mayBeOver(known, func() bool { return true }); err != nil {
			return err
		}
	}
	why, _, _ = strings.Cut(why, "\n")
	l = lasting{V: 1, Since: t.Now().UTC(), Why: t.unverifiable(u, nil, why).Text, Verifier: u}
	if err := c.file().Write(&l); err != nil {
		return err
	}
	return t.Queue.Events.PutOnce(c.begun(l))
}

// VerifyAgain forgets that a run did not find the program of an item's command: a person gave the item that command again. Only the
// holder of tick.lock may call it.
func (t *Tick) VerifyAgain(it *queue.Item) (was bool, err error) {
	u := &unverifiable{Name: it.Ref().RepoName(), Command: it.Verify.Command}
	l, lasts, err := u.condition(t.Home).read()
	if err != nil || !lasts || l.Verifier == nil || l.Verifier.Run == 0 || l.Verifier.Program != "" {
		return false, err
	}
	return true, t.mayBeOver(l.Verifier.condition(t.Home), func() bool { return true })
}

// tellVerifiers makes the events that commands cannot be started to verify runs, and that they can be started again.
func (t *Tick) tellVerifiers(el *eligibility, report *Report) error {
	var errs []error
	met := map[string]bool{}
	for _, r := range el.met[Unverifiable] {
		c := r.verifier.condition(t.Home)
		met[c.path] = true
		errs = append(errs, t.lasts(c, r, report))
	}
	err := t.eachUnverifiable(func(l lasting) error {
		c := l.Verifier.condition(t.Home)
		if met[c.path] {
			return nil
		}
		return t.mayBeOver(c, func() bool { return !t.stillUnverifiable(l.Verifier, el.repos) })
	})
	return errors.Join(append(errs, err)...)
}
