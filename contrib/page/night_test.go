package page

import (
	"fmt"
	"time"

	"kugetsu/queue"
	"kugetsu/queue/ledger"
	"kugetsu/queue/outcome"
	"kugetsu/tick"
	"kugetsu/tick/overview"
	"kugetsu/tick/page"
)

// morning is the time at which the page of the fixture is written.
var morning = time.Date(2026, 11, 29, 8, 4, 0, 0, time.UTC)

func before(d time.Duration) *time.Time {
	t := morning.Add(-d)
	return &t
}

func id(n int) string { return queue.NewID(morning.Add(-time.Duration(n) * time.Minute)) }

// night is the page after a night in which much went well, and some did not.
func night() *page.Page {
	memory, disk := int64(5<<30+300<<20), int64(61<<30)
	o := &overview.Overview{
		At: morning, Sentence: "3 things need you: claude is not logged in: log in, then lift the hold, github.com/you/shop#27 timed out, github.com/you/lamp#4 has 2 new commits, and no pull request is known",
		Needs: []overview.Need{
			{ID: "login-claude", Kind: overview.LogIn, What: "claude is not logged in: log in, then lift the hold", Why: "API Error: 401 invalid x-api-key", Since: before(7*time.Hour + 12*time.Minute),
				Command: "kugetsu resume claude", Agent: "claude"},
			{ID: "timeout-cde65e", Kind: "timeout", What: "github.com/you/shop#27 timed out", Why: "the agent did not end within 1h0m0s", Since: before(4 * time.Hour),
				Command: "kugetsu retry q_01m8jp9ytvnq3t3s2spcvde65e", Agent: "opencode"},
			{ID: "unpushed-4f6e70p", Kind: overview.Unpushed, What: "github.com/you/lamp#4 has 2 new commits, and no pull request is known", Why: "Dim in ten steps; Remember the last step",
				Since: before(2*time.Hour + 3*time.Minute), Command: "kugetsu show q_01m8jp9ywpzz6k77hzf4f6e70p", Agent: "codex"},
		},
		Running: []overview.Running{
			{SlotView: tick.SlotView{Slot: "1", Occupied: true, Item: id(41), IssueRef: "github.com/you/shop#31", Agent: "opencode", Run: 1, Since: before(38 * time.Minute)},
				Line: "$ go test ./basket/...  ✓ 12.4s"},
			{SlotView: tick.SlotView{Slot: "3", Occupied: true, Item: id(42), IssueRef: "git.example.org/team/暦#8", Agent: "codex", Run: 2, Since: before(3*time.Minute + 20*time.Second)},
				Line: "祝日の一覧を読みます。 holidays.json has no entry for 2027; I add a test first."},
		},
		Waiting: []overview.Waiting{
			{Waiting: tick.Waiting{Item: id(30), IssueRef: "github.com/you/shop#32", Agent: "opencode", Priority: 20, Since: *before(52 * time.Minute)},
				Says: "waits for github.com/you/shop#31, which runs"},
			{Waiting: tick.Waiting{Item: id(31), IssueRef: "github.com/you/shop#35", Agent: "claude", Priority: 50, Since: *before(7 * time.Hour), Blocked: true},
				Says: "claude is on hold: API Error: 401 invalid x-api-key; log in, then kugetsu resume claude"},
			{Waiting: tick.Waiting{Item: id(32), IssueRef: "github.com/you/lamp#5", Agent: "codex", Priority: 50, Since: *before(44 * time.Minute)}, Says: "the next tick starts it"},
		},
		Review: []overview.Request{
			{Ref: "github.com/you/shop#24", Agent: "opencode", Branch: "fix/issue-24", URL: "https://github.com/you/shop/pull/41", State: "open", LastUsed: *before(9 * time.Hour)},
			{Ref: "github.com/you/lamp#2", Agent: "codex", Branch: "fix/issue-2", URL: "https://github.com/you/lamp/pull/7", State: "unknown", Why: "api.github.com: 403 rate limit exceeded", LastUsed: *before(26 * time.Hour)},
		},
		Ready: []overview.Request{
			{Ref: "github.com/you/shop#19", Agent: "opencode", Branch: "fix/issue-19", URL: "https://github.com/you/shop/pull/39", State: "approved", LastUsed: *before(11 * time.Hour)},
		},
		Capacity: overview.Capacity{Occupied: 2, Limit: 3, Waiting: 3, Memory: &memory, Disk: &disk, Holds: []string{"claude is on hold: API Error: 401 invalid x-api-key"},
			LastTick: before(time.Minute), NextTick: before(-4 * time.Minute)},
	}
	o.Done = done()
	return &page.Page{Overview: o, Runs: runs(o.Done), Server: "github.com", Interval: 5 * time.Minute, Refreshed: true,
		Shades: []page.Shade{{From: *before(19 * time.Hour), Until: *before(14 * time.Hour), Says: "outside of RUN_HOURS"}}}
}

func done() []overview.Done {
	one := func(ref, agent string, ago, took time.Duration, o outcome.Outcome, message string) overview.Done {
		d := overview.Done{Item: id(int(ago.Minutes()) + 60), Ref: "github.com/you/" + ref, Agent: agent, State: queue.Completed, Outcome: o, Ended: string(o), At: *before(ago), Took: took, Runs: 1, Message: message}
		if o != outcome.OK {
			d.State = queue.Errored
		}
		return d
	}
	list := []overview.Done{
		one("lamp#4", "codex", 2*time.Hour+3*time.Minute, 22*time.Minute, outcome.OK, "Dim the lamp in ten steps, and remember the last one."),
		one("shop#30", "opencode", 3*time.Hour, 17*time.Minute, outcome.OK, "The total of the basket is wrong by a cent for some currencies. Find out which, and why."),
		one("shop#27", "opencode", 4*time.Hour, time.Hour, outcome.Timeout, "Move the catalogue to the new search."),
		one("shop#24", "opencode", 9*time.Hour, 34*time.Minute, outcome.OK, "Say what is missing when the address is not complete."),
		one("shop#22", "claude", 7*time.Hour+12*time.Minute, 0, outcome.Auth, "Translate the mails to Portuguese."),
		one("shop#19", "opencode", 11*time.Hour, 48*time.Minute, outcome.OK, "Upgrade the router, and keep the old links alive."),
	}
	evidence := []outcome.Changes{{Commits: 2, Diff: &outcome.Diff{Files: 4, Insertions: 131, Deletions: 12}}, {Commits: 1, Diff: &outcome.Diff{Files: 2, Insertions: 18, Deletions: 5}},
		{Diff: &outcome.Diff{Files: 11, Insertions: 402, Deletions: 377}, Dirty: 11}, {Commits: 3, Diff: &outcome.Diff{Files: 6, Insertions: 88, Deletions: 20}}, {},
		{Commits: 5, Diff: &outcome.Diff{Files: 23, Insertions: 640, Deletions: 512}}}
	costs := []float64{0.42, 0.18, 1.94, 0.61, 0, 1.12}
	for i := range list {
		list[i].Evidence.Changes = &evidence[i]
		if costs[i] > 0 {
			list[i].Cost = &outcome.Cost{USD: costs[i]}
		}
	}
	list[2].Error, list[4].Error = "timeout: the agent did not end within 1h0m0s", "auth: API Error: 401 invalid x-api-key"
	list[3].PRURL, list[5].PRURL = "https://github.com/you/shop/pull/41", "https://github.com/you/shop/pull/39"
	return list
}

// runs are those of two weeks: more on the days of work, and those of the night in which the fixture ends.
func runs(done []overview.Done) (list []ledger.Run) {
	add := func(slot int, ref, agent string, begun time.Time, took time.Duration, waited float64, o, state string, usd float64) {
		r := ledger.Run{Name: fmt.Sprintf("%s.1", queue.NewID(begun)), IssueRef: ref, Agent: agent, Slot: fmt.Sprint(slot), NotifiedAt: begun, EndedAt: begun.Add(took),
			Waited: waited, Outcome: o, State: state}
		if usd > 0 {
			r.Cost = &outcome.Cost{USD: usd}
		}
		list = append(list, r)
	}
	for d := 1; d < page.Days; d++ {
		many := 5 + (d*7)%9
		if d%7 == 0 || d%7 == 1 {
			many = 2
		}
		for n := range many {
			begun := morning.Add(-time.Duration(d)*24*time.Hour - time.Duration(n)*47*time.Minute)
			o, state := "ok", "completed"
			if (d+n)%6 == 0 {
				o, state = "failed", "error"
			}
			add(n%3+1, "github.com/you/shop#1", "opencode", begun, time.Duration(9+n*5)*time.Minute, float64(60*((n*n*7+d*3)%50)), o, state, 0.2+float64((n*13+d*5)%17)/10)
		}
	}
	for i, one := range done {
		usd := 0.0
		if one.Cost != nil {
			usd = one.Cost.USD
		}
		add(i%3+1, one.Ref, one.Agent, one.At.Add(-max(one.Took, 2*time.Minute)), max(one.Took, 2*time.Minute), 240, string(one.Outcome), string(one.State), usd)
	}
	add(2, "github.com/you/shop#28", "opencode", *before(5*time.Hour + 40*time.Minute), 12*time.Minute, 30, "failed", "pending", 0.3)
	add(2, "github.com/you/shop#28", "opencode", *before(5*time.Hour + 20*time.Minute), 14*time.Minute, 90, "failed", "pending", 0.3)
	add(1, "github.com/you/shop#23", "opencode", *before(8*time.Hour + 10*time.Minute), 9*time.Minute, 90, "usage_limit", "pending", 0.1)
	add(2, "github.com/you/shop#23", "opencode", *before(6*time.Hour + 50*time.Minute), 31*time.Minute, 70, "denied", "error", 0.7)
	add(3, "github.com/you/shop#20", "opencode", *before(12 * time.Hour), 3*time.Minute, 70, "cancelled", "error", 0)
	return list
}
