package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"

	"kugetsu/queue/spool"
)

// explain sets the cause of each finding that follows from another one. The cause gets the worse level of the two, since its
// remedy is the remedy of both.
func explain(all []Finding) {
	cause := map[int]int{} // for each finding that follows from another one, the number of that other one
	first := func(i int) int {
		for {
			j, ok := cause[i]
			if !ok {
				return i
			}
			i = j
		}
	}
	for i := range all {
		for j := range all {
			if all[i].bad() && all[j].bad() && first(j) != i && all[j].leadsTo(all[i], j < i) {
				cause[i] = j
				break
			}
		}
	}
	for i := range all {
		root := first(i)
		if root == i {
			continue
		}
		all[i].Cause = all[root].Check
		all[root].follow++
		if all[i].Level == Error {
			all[root].Level = Error
		}
	}
}

func (f Finding) bad() bool { return f.Level == Warn || f.Level == Error }

// leadsTo reports whether another finding follows from this one. Where a folder cannot be used, later checks fail below it with
// the same errno.
func (f Finding) leadsTo(other Finding, earlier bool) bool {
	if f.explains != nil && (earlier || other.explains == nil) && f.explains(other) {
		return true
	}
	path := other.path()
	if !earlier || f.at == "" || path == "" || other.err == nil {
		return false
	}
	return within(path, f.at) && (f.err == nil || number(f.err) != 0 && number(f.err) == number(other.err))
}

// within reports whether a path is the folder or lies below it.
func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// number returns the errno of an error, 0 for none.
func number(err error) syscall.Errno {
	var no syscall.Errno
	errors.As(err, &no)
	return no
}

// path returns the file or folder of a finding, "" where it is not known.
func (f Finding) path() string {
	var state *spool.Error
	var path *fs.PathError
	switch {
	case f.at != "":
		return f.at
	case errors.As(f.err, &state):
		return state.Path
	case errors.As(f.err, &path) && filepath.IsAbs(path.Path):
		return path.Path
	}
	return ""
}

// many is how many findings of one check and level are shown; the rest is only counted.
const many = 3

// Brief returns the findings to act on. It leaves out good findings, and findings that follow from another one. Of many alike
// findings it shows the first ones, and the number of the others. The answer of a remote that was asked stays. If nothing is wrong,
// one finding says so.
func Brief(all []Finding, asked bool) (brief []Finding) {
	type kind struct {
		check string
		level Level
	}
	alike, shown := map[kind]int{}, map[kind]int{}
	checks := map[string]bool{}
	for _, f := range all {
		checks[f.Check] = true
		if f.Cause == "" {
			alike[kind{f.Check, f.Level}]++
		}
	}
	well := true
	for _, f := range all {
		k := kind{f.Check, f.Level}
		if f.Cause != "" || f.Level == OK && !(asked && f.Check == "remote") {
			continue
		}
		well = well && !f.bad()
		shown[k]++
		switch {
		case f.follow == 1:
			f.What += " (with it goes 1 more: kugetsu doctor -v)"
		case f.follow > 1:
			f.What += fmt.Sprintf(" (with it go %d more: kugetsu doctor -v)", f.follow)
		}
		switch {
		case shown[k] <= many || alike[k] == many+1:
			brief = append(brief, f)
		case shown[k] == many+1:
			brief = append(brief, Finding{Level: f.Level, Check: f.Check, What: fmt.Sprintf("%d more of this kind", alike[k]-many), Remedy: "kugetsu doctor -v shows them"})
		}
	}
	if well {
		brief = append(brief, Finding{Level: OK, What: fmt.Sprintf("%d checks, and nothing to do", len(checks))})
	}
	return brief
}
