package command

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"kugetsu/queue"
	"kugetsu/queue/pattern"
	"kugetsu/slots/agent"
)

// Complete prints the words that may follow in a command line, one on a line, for the completions of the shells. It changes nothing,
// makes no folder, and reads few files, however long the queue is. It leaves out files that it cannot read, without a word.
type Complete struct {
	Kind   string `arg:"" enum:"agent,issue,session,item,waiting,live,settled" help:"agent, issue, session, item, waiting, live, settled"`
	Prefix string `arg:"" optional:"" begins:"" help:"How the word begins."`
}

// mostRead bounds how many items and sessions are read: a person waits for the key that was pressed.
const mostRead = 300

// plainWord matches what a shell can insert as it is.
var plainWord = pattern.Lazy(`^[a-zA-Z0-9][a-zA-Z0-9._/+@:#-]*$`)

// Run prints the words that begin with the prefix.
func (c *Complete) Run(a *App) error {
	var all []string
	switch c.Kind {
	case "agent":
		all = agent.Names()
	case "session":
		all = a.sessionWords(c.Prefix)
	case "issue":
		all = append(a.itemWords(c.Kind, c.Prefix), a.sessionWords(c.Prefix)...)
	default:
		all = a.itemWords(c.Kind, c.Prefix)
	}
	var b strings.Builder
	told := map[string]bool{}
	for _, word := range all {
		if strings.HasPrefix(word, c.Prefix) && plainWord().MatchString(word) && !told[word] {
			told[word] = true
			fmt.Fprintln(&b, word)
		}
	}
	return a.print("%s", b.String())
}

// sessionWords are the issues that have a session.
func (a *App) sessionWords(prefix string) (words []string) {
	if a.Queue == nil { // there is no state folder
		return nil
	}
	names, _ := a.Home.Sessions()
	for _, name := range names[:min(len(names), mostRead)] {
		if s, err := a.Home.ReadSession(name); err == nil && s != nil {
			words = append(words, a.refWord(s.IssueRef, prefix))
		}
	}
	return words
}

// refWord is a reference as it is typed: without the host that goes without saying, unless the prefix has it.
func (a *App) refWord(ref, prefix string) string {
	if short, ok := strings.CutPrefix(ref, a.Settings.GitServer+"/"); ok && (prefix == "" || !strings.HasPrefix(ref, prefix)) {
		return short
	}
	return ref
}

// itemWords are the issues of the items of a kind and, except for the kind issue, their ids. An id is shown by its end, as a terminal
// shows it, or as a whole if the person began to type a whole id.
func (a *App) itemWords(kind, prefix string) (refs []string) {
	if a.Queue == nil {
		return nil
	}
	locations, err := a.Queue.Locations()
	if err != nil {
		return nil
	}
	var entries []queue.Entry
	ids := make([]string, 0, len(locations))
	for id, e := range locations {
		ids = append(ids, id)
		if _, live := a.Queue.Lane(e); live && kind != "settled" || !live && kind != "waiting" && kind != "live" {
			entries = append(entries, e)
		}
	}
	// What is live is asked for more often than what is settled, and what is new more often than what is old.
	rank := func(e queue.Entry) int {
		if _, live := a.Queue.Lane(e); live {
			return 0
		}
		return 1
	}
	slices.SortFunc(entries, func(x, y queue.Entry) int {
		return cmp.Or(cmp.Compare(rank(x), rank(y)), strings.Compare(y.ID, x.ID))
	})
	ends := queue.NewEnds(ids)
	name := func(id string) string {
		if short, _ := ends.Short(id); !strings.HasPrefix(prefix, "q_") {
			return short
		}
		return id
	}
	var named []string
	for n, e := range entries {
		read := n < mostRead
		if read {
			it, err := a.Queue.Load(e)
			if err != nil || kind == "waiting" && it.State != queue.Pending {
				continue
			}
			if it.IssueRef != "" {
				refs = append(refs, a.refWord(it.IssueRef, prefix))
			}
		}
		if kind != "issue" && (read || prefix != "" && kind != "waiting") {
			named = append(named, name(e.ID))
		}
	}
	return append(refs, named...)
}
