package command

import (
	"maps"
	"slices"
	"strings"

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
	places, err := a.Queue.Places()
	if err != nil {
		return queue.Entry{}, nil, err
	}
	last := ""
	for id := range places { // an id begins with its time
		last = max(last, id)
	}
	if last == "" {
		return queue.Entry{}, nil, fault.New(fault.Failed, `kugetsu delegate owner/repo#12 "what to do" enqueues one`, "the queue holds no item")
	}
	return a.find(last)
}

// needsID is the error of a command that changes an item and was not told which. None is chosen: the hint names the newest item that
// it could have been.
func (a *App) needsID(command string, may func(it *queue.Item) bool) error {
	example := "owner/repo#12"
	places, err := a.Queue.Places()
	if err != nil {
		return err
	}
	for _, id := range slices.Backward(slices.Sorted(maps.Keys(places))) {
		if it, err := a.Queue.Load(places[id]); err == nil && may(it) {
			example = a.short(id)
			break
		}
	}
	return fault.New(fault.Usage, command+" "+example, "%s needs an id, or an issue", command)
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
	}
	return a.Queue.Resolve(word, isIssue)
}

// parse reads a reference. A host without a dot is accepted if the issue is known already: kugetsu prints such a reference, so
// a person can type it.
func (a *App) parse(s string) (issueref.Ref, error) {
	ref, err := issueref.Parse(s, a.Settings.GitServer, a.Tick.Below()...)
	if err == nil {
		return ref, nil
	}
	host, _, _ := strings.Cut(s, "/")
	if ref, ownErr := issueref.Parse(s, host); ownErr == nil && !ref.IsZero() && a.Tick.Knows(ref) {
		return ref, nil
	}
	return issueref.Ref{}, err
}

// ref reads a reference. The error asks for exit code 80.
func (a *App) ref(s string) (issueref.Ref, error) {
	ref, err := a.parse(s)
	if err != nil {
		return ref, fault.New(fault.Usage, "owner/repo#12, host/owner/repo#12, or the URL of the issue", "%w", err)
	}
	return ref, nil
}
