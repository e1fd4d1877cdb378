package slurm

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAnswerOfSqueueIsReadOrAllOfItIsUnknown(t *testing.T) {
	jobs, err := parse("12|kg-1-q_a-1|RUNNING|None|n1|N/A|/home/you/.kugetsu\n" +
		"13|kg-1-q_b-1|PENDING|(Resources)||N/A|/home/you/with | in it\n" +
		"14|kg-1-q_a-1|CANCELLED by 0|None|n2|2026-11-30T07:56:10|/home/you/.kugetsu\n\n")
	if err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(maps.Keys(jobs)); !slices.Equal(got, []string{"kg-1-q_a-1", "kg-1-q_b-1"}) {
		t.Errorf("the names are %q", got)
	}
	if a := jobs["kg-1-q_a-1"]; len(a) != 2 || a[0].Over() || !a[1].Over() || a[1].Node != "n2" || !a[0].Ended.IsZero() ||
		!a[1].Ended.Equal(time.Date(2026, 11, 30, 7, 56, 10, 0, time.UTC)) {
		t.Errorf("one name is of %+v", a)
	}
	if b := jobs["kg-1-q_b-1"][0]; b.State != "PENDING" || b.Over() || b.Dir != "/home/you/with | in it" || b.Node != "" {
		t.Errorf("%+v", b)
	}
	for _, out := range []string{"slurm_load_jobs error: Unable to contact slurm controller", "12|name|RUNNING", "|name|RUNNING||||/", "12|name|||||/",
		"12|kg|RUNNING|None|n1|/a", "12|kg|RUNNING|None|n1|N/A|/a\nWARNING: maintenance at noon\n"} {
		if jobs, err := parse(out); err == nil {
			t.Errorf("%q is taken for %+v", out, jobs)
		}
	}
}

// The lines are what sacct of Slurm 22.05 printed, but for the folder.
func TestAccountingTellsOfTheLastJobThatIsOver(t *testing.T) {
	const runs, waited, ended = "5|kg-1|RUNNING|None|n1|Unknown|/s\n", "4|kg-1|CANCELLED by 0|BeginTime|None assigned|2026-11-30T11:13:36|/s\n",
		"3|kg-1|NODE_FAIL|None|n2|2026-11-30T11:13:36|/s\n"
	for out, want := range map[string]string{
		ended:                                "3 NODE_FAIL on n2",
		waited:                               "4 CANCELLED on ",
		ended + waited:                       "4 CANCELLED on ",
		ended + waited + runs:                "4 CANCELLED on ",
		runs:                                 "",
		"":                                   "",
		"sacct: error":                       "",
		"6|kg-2|FAILED|None|n1|Unknown|/s\n": "",
	} {
		got := ""
		if j, found := lastOver(out, "kg-1"); found {
			got = j.ID + " " + j.State + " on " + j.Node
		}
		if got != want {
			t.Errorf("of %q it is %q, want %q", out, got, want)
		}
	}
}

func TestStateThatIsNotKnownIsNotOver(t *testing.T) {
	for _, state := range []string{"PENDING", "CONFIGURING", "RUNNING", "SUSPENDED", "COMPLETING", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING",
		"REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT", "A_NEWER_ONE", ""} {
		if (Job{State: state}).Over() {
			t.Errorf("%q is taken for over", state)
		}
	}
	for _, state := range []string{"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "OUT_OF_MEMORY", "DEADLINE"} {
		if !(Job{State: state}).Over() {
			t.Errorf("%q is not taken for over", state)
		}
	}
}

func TestStarsAreNoneOfTheControllers(t *testing.T) {
	got := controllers("Slurmctld(primary) at a is DOWN\nSlurmctld(backup1) at b is DOWN \n*****\n** RESTORE SLURMCTLD DAEMON TO SERVICE **\n*****\n")
	if want := []string{"Slurmctld(primary) at a is DOWN", "Slurmctld(backup1) at b is DOWN"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAnyControllerThatIsUpAnswers(t *testing.T) {
	for out, up := range map[string]bool{
		"Slurmctld(primary) at head is UP\n":                                true,
		"Slurmctld(primary) at a is DOWN\nSlurmctld(backup1) at b is UP\n":  true,
		"Slurmctld(primary) at head is DOWN\n":                              false,
		"*****************************************\n** RESTORE SLURMCTLD\n": false,
		"":                              false,
		"a welcome of the site is UP\n": false,
		"Slurmctld(primary) at a is DOWN\nSlurmctld(backup1) at b is DOWN\n***": false,
	} {
		if isUp(out) != up {
			t.Errorf("%q: up is %v", out, !up)
		}
	}
}

func TestEnvironmentOfTheCommandsHasOnlyTheConfiguration(t *testing.T) {
	got := Environ([]string{"PATH=/bin", "SLURM_CONF=/c", "SBATCH_PARTITION=gpu", "SQUEUE_FORMAT=%i", "SLURM_TIME_FORMAT=x", "SLURMD_NODENAME=n1", "LC_ALL=de_DE", "HOME=/h"})
	if want := []string{"PATH=/bin", "SLURM_CONF=/c", "HOME=/h", "LC_ALL=C"}; !slices.Equal(got, want) {
		t.Errorf("it is %q", got)
	}
}

func TestOptionsThatARunDependsOnStandLast(t *testing.T) {
	argv := Order{Name: "kg-1", Args: []string{"-p", "main", "--time=5", "--export=ALL"}, Log: "/s/100%/log", Time: 90 * time.Second, Memory: 600_000_001, License: "agents",
		Run: []string{"/bin/kugetsu", "/s", "run"}}.argv("/s")
	line := strings.Join(argv, " ")
	for _, part := range []string{"sbatch -n1 --time=2 --mem=573M -p main --time=5 --export=ALL --licenses=agents:1 --parsable --no-requeue --export=NONE --job-name=kg-1 --chdir=/s",
		" --output=/s/100%%/log --open-mode=append /dev/stdin /bin/kugetsu /s run"} {
		if !strings.Contains(line, part) {
			t.Errorf("%s\nlacks %s", line, part)
		}
	}
}
