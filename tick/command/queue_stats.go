package command

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"kugetsu/queue"
	"kugetsu/queue/ledger"
	"kugetsu/queue/spool"
	"kugetsu/queue/terminal"
)

// QueueStats counts.
type QueueStats struct {
	Since string `help:"Runs that ended since then: 7d, 12h." default:"7d" placeholder:"AGE"`
	JSON  bool   `name:"json" help:"Print JSON."`
}

// Help is its long help.
func (*QueueStats) Help() string {
	return longHelp(`
The command counts the items that there are in each state: pending, running ("notified" in --json), completed, error,
and apart from errors those that were cancelled. Then it sums up the runs that ended since a time, also those whose
items were cleared: per outcome, agent and repository how many there were, how many of those that ended well or badly
succeeded (a run that was cancelled, or met a limit, is none of them), how long they waited and ran (the median, MED,
and the 90th percentile, P90: nine of ten took no longer), and what they cost. IN and OUT are tokens. An agent that
tells no dollars makes that sum incomplete, and the command says so. Slots used is the share of the time of all slots
in which a run had them.`,
		codes{0: "shown", 75: "shown, but for items that could not be read"},
		"kugetsu queue stats",
		"kugetsu queue stats --since 24h --json")
}

// queueStats is what is printed: the counts of items, and the sums of runs.
type queueStats struct {
	Pending   int       `json:"pending"`
	Notified  int       `json:"notified"`
	Completed int       `json:"completed"`
	Errored   int       `json:"error"`
	Cancelled int       `json:"cancelled"` // none of error
	Bad       int       `json:"bad"`
	Since     time.Time `json:"since"`
	ledger.Sums
}

// Run counts.
func (c *QueueStats) Run(a *App) error {
	age, err := parseAge(c.Since)
	if err != nil {
		return err
	}
	now := a.Now()
	s := queueStats{Since: now.Add(-age).UTC()}
	// The ledger says how settled items ended: 50,000 files need not be read. It is read before the folders are listed, so that an item
	// which is settled meanwhile is not known in it, and is read itself.
	oldest := s.Since
	if kept := now.Add(-a.Settings.CleanupAge()); kept.Before(oldest) {
		oldest = kept
	}
	runs, err := a.Queue.Ledger.Since(oldest)
	if err != nil {
		return err
	}
	under, err := a.countLive(&s)
	if err != nil {
		return err
	}
	skipped, err := a.countSettled(&s, ledger.States(runs))
	if err != nil {
		return err
	}
	bad, err := spool.List(a.Queue.Bad)
	if err != nil {
		return err
	}
	s.Bad = len(bad)
	s.Sums = ledger.SumUp(runs, s.Since, now, a.Settings.MaxAgents, under)
	if c.JSON {
		return errors.Join(a.printJSON(s), skipped)
	}
	return errors.Join(a.printStats(&s, c.Since), skipped)
}

// countLive counts the items that wait and run, by their names and the slots. It returns how long each run has had its slot.
func (a *App) countLive(s *queueStats) (under []time.Duration, err error) {
	for _, lane := range queue.Lanes {
		line, err := a.Queue.Ahead(lane, nil)
		if err != nil {
			return nil, err
		}
		s.Pending += line.All
	}
	views, err := a.Tick.SnapshotSlots()
	if err != nil {
		return nil, err
	}
	for _, v := range views {
		if v.Item == "" || v.Since == nil { // not handed over
			continue
		}
		s.Notified++
		if v.IssueRef != "" {
			under = append(under, a.Now().Sub(*v.Since))
		}
	}
	s.Pending = max(0, s.Pending-s.Notified)
	return under, nil
}

// countSettled counts the settled items. Those that the ledger does not know, because they ended without a run, are read.
func (a *App) countSettled(s *queueStats, stateOf func(item string) string) (skipped, err error) {
	entries, err := a.Queue.SettledUnsorted()
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, e := range entries {
		state := stateOf(e.ID)
		if state == "" || state == string(queue.Pending) {
			it, err := a.Queue.Load(e)
			if queue.IsAbsent(err) {
				continue
			}
			if err != nil {
				errs = append(errs, err)
				continue
			}
			if state = string(it.State); it.Cancelled() {
				state = ledger.Cancelled
			}
		}
		switch state {
		case string(queue.Completed):
			s.Completed++
		case string(queue.Errored):
			s.Errored++
		case ledger.Cancelled:
			s.Cancelled++
		}
	}
	return errors.Join(errs...), nil
}

func (a *App) printStats(s *queueStats, since string) error {
	rows := []struct {
		name string
		n    int
	}{{"pending", s.Pending}, {queue.Notified.Word(), s.Notified}, {"completed", s.Completed}, {"error", s.Errored}, {"cancelled", s.Cancelled}}
	var errs []error
	for _, row := range rows {
		errs = append(errs, a.print("%-9s  %d\n", row.name, row.n))
	}
	if s.Bad > 0 {
		errs = append(errs, a.print("%-9s  %d (see %s)\n", "bad", s.Bad, a.Queue.Bad))
	}
	if s.Total.Runs == 0 {
		return errors.Join(append(errs, a.print("\nno run ended in the last %s\n", since))...)
	}
	errs = append(errs, a.print("\nthe last %s: %s\n", since, headline(&s.Sums)))
	errs = append(errs, a.outcomeTable(s), a.sumTable("AGENT", s.Agents), a.sumTable("REPOSITORY", s.Repositories))
	if s.Total.Untold > 0 {
		errs = append(errs, a.print("the cost is incomplete: the agents of %s told no dollars\n", terminal.Count(s.Total.Untold, "run")))
	}
	return errors.Join(errs...)
}

// headline is the sums in a line.
func headline(s *ledger.Sums) string {
	text := terminal.Count(s.Total.Runs, "run") + ", " + success(&s.Total) + " succeeded"
	if s.SlotUse != nil {
		text += fmt.Sprintf(", slots used %.0f%%", *s.SlotUse*100)
	}
	return text
}

// success is the share of runs that succeeded, "-" where none says so.
func success(s *ledger.Sum) string {
	share, known := s.Success()
	if !known {
		return "-"
	}
	return fmt.Sprintf("%.0f%%", share*100)
}

// barWidth is that of the longest bar.
const barWidth = 20

// outcomeTable shows how many runs had each outcome, the most frequent first, with bars on a terminal.
func (a *App) outcomeTable(s *queueStats) error {
	names := slices.SortedFunc(maps.Keys(s.Outcomes), func(x, y string) int {
		return cmp.Or(s.Outcomes[y]-s.Outcomes[x], strings.Compare(x, y))
	})
	columns := []terminal.Column{{Name: "OUTCOME"}, {Name: "RUNS"}}
	if a.Terminal {
		columns = append(columns, terminal.Column{})
	}
	var rows [][]string
	for _, name := range names {
		row := []string{name, fmt.Sprint(s.Outcomes[name])}
		if a.Terminal {
			row = append(row, strings.Repeat("▇", (s.Outcomes[name]*barWidth+s.Outcomes[names[0]]-1)/s.Outcomes[names[0]]))
		}
		rows = append(rows, row)
	}
	return a.table(columns, rows)
}

// sumTable shows sums by name, those with most runs first.
func (a *App) sumTable(heading string, sums map[string]*ledger.Sum) error {
	names := slices.SortedFunc(maps.Keys(sums), func(x, y string) int {
		return cmp.Or(sums[y].Runs-sums[x].Runs, strings.Compare(x, y))
	})
	name := a.issueColumn()
	name.Name, name.Gives = heading, 2
	columns := []terminal.Column{name, {Name: "RUNS"}, {Name: "OK"}, {Name: "WAITED MED/P90"}, {Name: "RAN MED/P90"}, {Name: "COST"},
		{Name: "IN", Drops: true}, {Name: "OUT", Drops: true}}
	var rows [][]string
	for _, name := range names {
		s := sums[name]
		cost := "-"
		if s.Cost.USD > 0 {
			cost = fmt.Sprintf("$%.2f", s.Cost.USD)
		}
		row := []string{issueOrPM(name), fmt.Sprint(s.Runs), success(s)}
		for _, d := range []*ledger.Spread{s.Waited, s.Ran} {
			if d == nil {
				row = append(row, "-")
			} else {
				row = append(row, seconds(d.Median)+"/"+seconds(d.P90))
			}
		}
		rows = append(rows, append(row, cost, tokens(s.Cost.Input+s.Cost.CacheRead+s.Cost.CacheWrite), tokens(s.Cost.Output+s.Cost.Reasoning)))
	}
	return a.table(columns, rows)
}

func seconds(s float64) string { return duration(time.Duration(s * float64(time.Second))) }

func tokens(n int64) string {
	if n == 0 {
		return "-"
	}
	return strings.ReplaceAll(humanize.SIWithDigits(float64(n), 1, ""), " ", "")
}
