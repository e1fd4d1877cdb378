package faults

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/natefinch/atomic"
)

var (
	table = flag.String("table", "", "write the table of results to this file")
	rows  = flag.String("rows", "", "keep the rows in this folder, and put those of earlier parts of the run that are there into the table too")
)

// The groups of the table, in its order.
const (
	killed   = "killed with SIGKILL before each of its system calls"
	refused  = "each system call fails with each error that it can have"
	disks    = "real disks and limits"
	storms   = "many at once"
	hostile  = "hostile files"
	clocks   = "the clock is stepped"
	identity = "who is alive"
	leftover = "agents that do not behave"
	security = "what strangers write"
	random   = "random orders, against a model"
	broken   = "kugetsu is broken on purpose, which must be noticed"
)

var groups = []string{killed, refused, disks, storms, hostile, clocks, identity, leftover, security, random, broken}

// result is a row of the table. points is how many times, or at how many places, the fault was made to happen.
type result struct {
	group, name    string
	points, passed int
	note           string
	sampled        bool   // not every point was tried
	commit         string // of the kugetsu that was tried
}

// part is the rows of one process. Several processes may share the work, each with a -run of its own.
type part struct {
	Sampled bool
	Commit  string
	Rows    [][]string // group, name, points, passed, note
}

// ownRows is the name of this process's file in the folder of rows. A pid would come again.
var ownRows = sync.OnceValue(func() string { return rand.Text() + ".json" })

// keepRows writes the rows that this process has by now. So a run that is ended early keeps what it did.
func keepRows() error {
	mine := part{Sampled: !*full, Commit: commit()}
	for _, r := range results {
		mine.Rows = append(mine.Rows, []string{r.group, r.name, strconv.Itoa(r.points), strconv.Itoa(r.passed), r.note})
	}
	data, err := json.Marshal(mine)
	if err != nil {
		return err
	}
	return atomic.WriteFile(filepath.Join(*rows, ownRows()), bytes.NewReader(data))
}

// share reads the rows that other processes kept.
func share(dir string) error {
	others, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return err
	}
	written := func(path string) time.Time {
		info, err := os.Stat(path)
		if err != nil {
			return time.Time{} // the file is read next, which says why
		}
		return info.ModTime()
	}
	slices.SortFunc(others, func(a, b string) int { return written(b).Compare(written(a)) }) // of two rows of one name the last counts
	for _, path := range others {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var other part
		if err := json.Unmarshal(data, &other); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, r := range other.Rows {
			points, pointsErr := strconv.Atoi(r[2])
			passed, passedErr := strconv.Atoi(r[3])
			if err := errors.Join(pointsErr, passedErr); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			if !slices.ContainsFunc(results, func(have result) bool { return have.group == r[0] && have.name == r[1] }) {
				results = append(results, result{r[0], r[1], points, passed, r[4], other.Sampled, other.Commit})
			}
		}
	}
	return nil
}

var (
	results   []result
	resultsMu sync.Mutex
)

// report adds a row to the table.
func report(r result) {
	r.sampled, r.commit = !*full, commit()
	resultsMu.Lock()
	defer resultsMu.Unlock()
	results = append(results, r)
	if *rows != "" {
		if err := keepRows(); err != nil {
			fmt.Fprintln(os.Stderr, "a row was not kept:", err)
		}
	}
}

// commit is the commit of the sources that are tried.
var commit = sync.OnceValue(func() string { return version("git", "describe", "--always", "--dirty", "--exclude=*") })

func version(name string, args ...string) string {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return name + " unknown"
	}
	return strings.TrimSpace(string(out))
}

// mostly is the commit of most rows.
func mostly() (commit string) {
	rows := map[string]int{}
	for _, r := range results {
		rows[r.commit]++
		if rows[r.commit] > rows[commit] {
			commit = r.commit
		}
	}
	return commit
}

// try reports a fault that is made to happen n times. It passed if the test had not failed when what returned.
func try(t *testing.T, group, name string, n int, what func(t *testing.T)) {
	t.Helper()
	began, skipped := false, false
	r := result{group: group, name: name, points: n}
	if t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
		began = true
		defer func() { skipped = t.Skipped() }()
		what(t)
	}) {
		r.passed = n
	}
	if began && !skipped { // -run may leave it out; skip has reported it
		report(r)
	}
}

// skip skips a test and has the table say why.
func skip(t *testing.T, group, why string) {
	t.Helper()
	report(result{group: group, name: t.Name(), note: "not run: " + why})
	t.Skip(why)
}

// writeTable writes the table.
func writeTable() error {
	if *table == "" {
		return nil
	}
	var b strings.Builder
	if *rows != "" {
		if err := share(*rows); err != nil {
			return err
		}
	}
	of := mostly()
	fmt.Fprintf(&b, "# Faults\n\nWritten by `go test ./contrib/faults -full -table FILE`, not by hand,\nof commit %s, on Linux %s with %s and %s.\n\n"+
		"A point is one system call of the command's main thread, or one time that a fault was made to happen. After each,\n"+
		"plain ticks must bring the state folder to rest: every item there and settled, no run twice, as many attempts\n"+
		"counted as agents were started, never more agents than the limit, never two in one worktree, no process left.\n"+
		"Every point was tried, but where a row says that it is of a sample. Left out are kills that leave the same as the\n"+
		"point before, since the command only read in between, and errors of writing where a call only reads.\n",
		of, version("uname", "-r"), version("git", "--version"), strings.SplitN(version("go", "version"), " linux", 2)[0])
	for _, group := range groups {
		rows := slices.DeleteFunc(slices.Clone(results), func(r result) bool { return r.group != group })
		if len(rows) == 0 {
			continue
		}
		slices.SortStableFunc(rows, func(a, b result) int { return strings.Compare(a.name, b.name) })
		fmt.Fprintf(&b, "\n## %s%s\n\n| fault | points | passed | |\n|---|--:|--:|---|\n", strings.ToUpper(group[:1]), group[1:])
		var points, passed int
		for _, r := range rows {
			note := r.note
			if r.sampled && note == "" {
				note = "a sample"
			}
			if r.commit != of {
				note = strings.TrimPrefix(note+", of commit "+r.commit, ", ")
			}
			fmt.Fprintf(&b, "| %s | %d | %s | %s |\n", r.name, r.points, passedText(r), note)
			points, passed = points+r.points, passed+r.passed
		}
		if group != broken {
			fmt.Fprintf(&b, "| **all** | **%d** | **%d** | |\n", points, passed)
		}
	}
	return os.WriteFile(*table, []byte(b.String()), 0o644)
}

func passedText(r result) string {
	if r.group == broken || strings.HasPrefix(r.note, "not run") {
		return "–"
	}
	return fmt.Sprint(r.passed)
}
