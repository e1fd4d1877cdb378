package proc

import "os"

// Runs lists the processes that carry the mark of a run, this one left out, by the run's name. They are for reading of: a
// process that is to be signalled is found by Marked.
func Runs() (map[string][]int, error) {
	pids, err := pids()
	if err != nil {
		return nil, err
	}
	runs := map[string][]int{}
	for _, pid := range pids {
		if run := markOf(pid); run != "" && pid != os.Getpid() {
			runs[run] = append(runs[run], pid)
		}
	}
	return runs, nil
}
