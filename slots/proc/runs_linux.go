package proc

import "os"

// Runs lists the processes that carry the mark of a run, without this one, by the run's name. It is for display: Marked finds
// the processes that are signalled.
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
