// Package bench measures what a user waits for, beside the programs that do a part of it: nq, tsp (task-spooler) and parallel, as
// Debian has them, and git. Where one is missing its figures are.
//
//	go test -run - -bench Row -benchtime 5x ./contrib/bench          # every row of the table, five rounds
//	go test -run - -bench 'Row/delegate' -benchtime 5x ./contrib/bench
//	go test ./contrib/bench -run Table -table $PWD/contrib/bench/RESULTS.md -timeout 2h
//
// The last writes RESULTS.md. With -before KUGETSU it measures an earlier kugetsu in the same rounds. With -part TEXT it
// measures only the rows whose names have that text, for a look: such a table is not whole.
//
// Each row proves that the work was done. The machine may be busy, so that each row has the time of the processor, too, of all
// processes that the work needed: see command tree.
package bench

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// BenchmarkRow measures each row of the table: b.N rounds, and the medians.
func BenchmarkRow(b *testing.B) {
	for _, r := range rows {
		b.Run(strings.ReplaceAll(r.work, " ", "-"), func(b *testing.B) {
			x := newBench(b, true)
			sides := r.sides(x, "")
			var taken [][]sample
			for b.Loop() {
				taken = append(taken, round(sides, r.times))
			}
			all := medians(sides, taken)
			for _, m := range all {
				b.ReportMetric(m.cpu, "cpu:"+unit(m.name))
				b.ReportMetric(m.wall, "wall:"+unit(m.name))
			}
			if len(all) > 1 {
				b.ReportMetric(all[0].cpu/all[1].cpu, "x-cpu")
				b.ReportMetric(all[0].wall/all[1].wall, "x-wall")
			}
			b.ReportMetric(0, "ns/op") // all sides together: says nothing here
		})
	}
}

func unit(name string) string { return strings.ReplaceAll(name, " ", "-") }

// sample is what a piece of work took: milliseconds, or megabytes in a row that says so.
type sample struct{ cpu, wall float64 }

// side is one of the programs that are compared. once does the work, once, and proves it.
type side struct {
	name string
	once func() sample
	sample
}

// round lets the sides take turns, so many times.
func round(sides []side, times int) []sample {
	var taken []sample
	for range max(1, times) {
		for _, s := range sides {
			taken = append(taken, s.once())
		}
	}
	return taken
}

// medians are those of all rounds, for each side.
func medians(sides []side, rounds [][]sample) []side {
	var all []sample
	for _, taken := range rounds {
		all = append(all, taken...)
	}
	out := slices.Clone(sides)
	for i := range out {
		var cpu, wall []float64
		for n := i; n < len(all); n += len(sides) {
			cpu, wall = append(cpu, all[n].cpu), append(wall, all[n].wall)
		}
		out[i].sample = sample{median(cpu), median(wall)}
	}
	return out
}

func median(of []float64) float64 {
	if len(of) == 0 {
		return 0
	}
	of = slices.Sorted(slices.Values(of))
	return of[(len(of)-1)/2]
}

// reach is what a row must reach: so many times its peer and so much more, or so much.
type reach struct {
	times float64
	more  float64
	most  float64
}

func (r reach) text(peer, unit string) string {
	switch {
	case r.times == 1 && r.more > 0:
		return fmt.Sprintf("≤ %s + %g %s", peer, r.more, unit)
	case r.times > 0:
		return fmt.Sprintf("≤ %g × %s", r.times, peer)
	case r.most > 0:
		return fmt.Sprintf("≤ %g %s", r.most, unit)
	}
	return "–"
}

// reached judges by the time on the wall, and says where only the processor's time is short enough.
func (r reach) reached(all []side, unit string) string {
	if r == (reach{}) {
		return "–"
	}
	if r.times > 0 && len(all) < 2 {
		return "not measured"
	}
	most := sample{r.most, r.most}
	if r.times > 0 {
		most = sample{r.times*all[1].cpu + r.more, r.times*all[1].wall + r.more}
	}
	switch {
	case all[0].wall <= most.wall:
		return "yes"
	case unit == "ms" && all[0].cpu <= most.cpu:
		return "by CPU alone"
	}
	return "no"
}
