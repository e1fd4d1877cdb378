package command

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/mattn/go-isatty"

	"kugetsu/queue"
	"kugetsu/queue/fault"
	"kugetsu/queue/issueref"
)

// find resolves a word, and reads the item.
func (a *App) find(word string) (queue.Entry, *queue.Item, error) {
	e, err := a.resolve(word)
	if err != nil {
		return e, nil, err
	}
	it, err := a.Queue.Load(e)
	if queue.IsAbsent(err) { // a tick moved it between resolve and Load
		if e, err = a.Queue.Find(e.ID); err == nil {
			it, err = a.Queue.Load(e)
		}
	}
	return e, it, err
}

// findOrLast is find, and without a word the item that was enqueued last. It is for commands that change nothing.
func (a *App) findOrLast(word *string) (queue.Entry, *queue.Item, error) {
	if word != nil {
		return a.find(*word)
	}
	locations, err := a.Queue.Locations()
	if err != nil {
		return queue.Entry{}, nil, err
	}
	last := ""
	for id := range locations { // an id begins with its time
		last = max(last, id)
	}
	if last == "" {
		return queue.Entry{}, nil, fault.New(fault.Failed, `kugetsu delegate owner/repo#12 "what to do" enqueues one`, "the queue holds no item")
	}
	return a.find(last)
}

// newestThat is the newest item that a command may change, for a person at a terminal who names no item. The command says which item it
// was. Without a terminal newestThat returns an error, since a variable that is empty by mistake must not make a script change an item.
// The hint is what to type instead, with the item for thisItem.
func (a *App) newestThat(command, hint string, may func(it *queue.Item) bool) (string, error) {
	example := "owner/repo#12"
	locations, err := a.Queue.Locations()
	if err != nil {
		return "", err
	}
	for _, id := range slices.Backward(slices.Sorted(maps.Keys(locations))) { // an id begins with its time
		if it, err := a.Queue.Load(locations[id]); err == nil && may(it) {
			if a.attended() {
				return id, nil
			}
			example = a.short(id)
			break
		}
	}
	return "", fault.New(fault.Usage, strings.ReplaceAll(hint, thisItem, example), "%s needs an id, or an issue", command)
}

// thisItem stands in a hint for the item that a command may change.
const thisItem = "{item}"

// attended says whether a person types and reads.
func (a *App) attended() bool {
	stdin, ok := a.Stdin.(*os.File)
	return a.Terminal && ok && isatty.IsTerminal(stdin.Fd())
}

// findAll resolves all words before anything is done to one.
func (a *App) findAll(words []string) ([]queue.Entry, error) {
	var entries []queue.Entry
	for _, word := range words {
		e, _, err := a.find(word)
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// resolve finds what a user means by an id, a part of one, or an issue reference.
func (a *App) resolve(word string) (queue.Entry, error) {
	var isIssue func(string) bool
	if ref, err := a.parse(word); err == nil {
		isIssue = issueref.Same(ref.String())
	} else if errors.Is(err, errSeveral) {
		return queue.Entry{}, err
	}
	e, err := a.Queue.Resolve(word, isIssue)
	if lacks := lacking(word); err != nil && isIssue == nil && lacks != "" {
		return e, fault.New(fault.Failed, "an issue is owner/repo#12; kugetsu queue list --all shows every id and issue", "no item: %q %s", clip(word), lacks)
	}
	return e, err
}

// parse reads a reference. A host without a dot is accepted if the issue is known already: kugetsu prints such a reference, so
// a person can type it. A task may be named by its branch, task/deps, where one repository alone has such a task, and any session
// by its name on disk.
func (a *App) parse(s string) (issueref.Ref, error) {
	ref, err := issueref.Parse(s, a.Settings.GitServer, a.Tick.Below()...)
	if err == nil {
		return ref, nil
	}
	host, _, _ := strings.Cut(s, "/")
	if ref, ownErr := issueref.Parse(s, host); ownErr == nil && !ref.IsZero() && a.Tick.Knows(ref) {
		return ref, nil
	}
	if ref, ownErr := issueref.FromSession(s); ownErr == nil {
		return ref, nil
	}
	if name, ok := strings.CutPrefix(s, "task/"); ok && issueref.CheckTask(name) == nil {
		return a.taskCalled(name)
	}
	return issueref.Ref{}, err
}

// ref reads a reference, or the id of an item as the reference of that. The error of a text that is neither asks for exit code 80.
func (a *App) ref(s string) (issueref.Ref, error) {
	ref, err := a.parse(s)
	switch {
	case err == nil:
		return ref, a.known(ref)
	case errors.Is(err, errSeveral):
		return ref, err
	case strings.ContainsAny(s, "/#"):
	case strings.HasPrefix(s, "q_"), len(s) > 2:
		_, it, idErr := a.find(s)
		if idErr == nil && it.Lane() == queue.PM {
			return ref, fault.New(fault.Failed, "kugetsu list shows the sessions", "%s is for the PM agent, which has no issue", a.short(it.ID))
		}
		if idErr == nil {
			return it.Ref(), nil
		}
		if strings.HasPrefix(s, "q_") {
			return ref, idErr
		}
	}
	return ref, fault.New(fault.Usage, "owner/repo#12, host/owner/repo#12, the URL of the issue, or an id", "%w", err)
}

// errSeveral is wrapped where tasks of several repositories have a name.
var errSeveral = errors.New("several repositories have a task of that name")

// taskCalled is the one task of this name that has a session or an item.
func (a *App) taskCalled(name string) (issueref.Ref, error) {
	found := map[string]issueref.Ref{} // by session
	add := func(ref issueref.Ref) {
		if ref.Task == name {
			found[ref.Session()] = ref
		}
	}
	sessions, err := a.Home.Sessions()
	if err != nil {
		return issueref.Ref{}, err
	}
	for _, s := range sessions {
		ref, _ := issueref.FromSession(s) // the PM agent's has none
		add(ref)
	}
	if err := a.Queue.Each(func(it *queue.Item) bool { add(it.Ref()); return true }); err != nil {
		return issueref.Ref{}, err
	}
	if len(found) == 0 {
		return issueref.Ref{}, fmt.Errorf("no task is called task/%s", name)
	}
	var refs []string
	for _, ref := range found {
		refs = append(refs, ref.String())
	}
	slices.Sort(refs)
	if len(refs) > 1 {
		return issueref.Ref{}, fault.New(fault.Usage, "name one: "+strings.Join(refs[:min(len(refs), 4)], " "), "task/%s: %w", name, errSeveral)
	}
	return issueref.Canonical(refs[0])
}

// known refuses the reference of a task that has neither a session nor an item. A new task begins with --repo, so such a reference is
// probably an issue's with a misspelt number.
func (a *App) known(ref issueref.Ref) error {
	if ref.Task == "" {
		return nil
	}
	if s, err := a.Home.ReadSession(ref.Session()); err != nil || s != nil {
		return err
	}
	there, same := false, issueref.Same(ref.String())
	err := a.Queue.Each(func(it *queue.Item) bool { there = same(it.IssueRef); return !there })
	if err != nil || there {
		return err
	}
	return fault.New(fault.Usage, fmt.Sprintf(`an issue is a number; kugetsu delegate --repo %s --key %s "what to do" begins a task`, ref.Repository(), ref.Task),
		"there is no task %s", ref)
}
