package machine

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"kugetsu/contrib/quick"
	"kugetsu/slots/proc"
)

// The test binary is also the processes that are measured: hog BYTES FILE takes that much memory, maps the file, and
// waits for the end of its stdin; available prints what there is.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "hog" {
		hog(os.Args[2], os.Args[3])
		return
	}
	if len(os.Args) == 2 && os.Args[1] == "available" {
		n, err := Machine{}.Available()
		fmt.Println(n, err)
		return
	}
	os.Exit(quick.InMemory{M: m}.Run())
}

func hog(amount, file string) {
	n, err := strconv.Atoi(amount)
	f, openErr := os.Open(file)
	if err != nil || openErr != nil {
		panic(fmt.Sprint(err, openErr))
	}
	memory := make([]byte, n)
	info, err := f.Stat()
	if err != nil {
		panic(err)
	}
	mapped, err := syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_PRIVATE)
	if err != nil {
		panic(err)
	}
	sum := 0
	for i := 0; i < len(mapped); i += 4096 {
		sum += int(mapped[i])
	}
	for i := 0; i < len(memory); i += 4096 {
		memory[i] = 1
	}
	fmt.Println("ready", sum)
	_, _ = io.Copy(io.Discard, os.Stdin)
	fmt.Println(len(memory), len(mapped)) // still in use
}

// start starts this binary as a hog and returns its pid when it has taken its memory.
func start(t *testing.T, env []string, argv ...string) int {
	t.Helper()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.HasPrefix(line, "ready") {
		t.Fatalf("%q, %v", line, err)
	}
	return cmd.Process.Pid
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// plain is this binary as it is built without the race detector, which takes memory and threads of its own.
func plain(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	if info, ok := debug.ReadBuildInfo(); !ok || !slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		return self
	}
	self = filepath.Join(t.TempDir(), "plain")
	if out, err := exec.Command("go", "test", "-c", "-o", self, ".").CombinedOutput(); err != nil {
		t.Fatalf("go test -c: %v\n%s", err, out)
	}
	return self
}

// file makes a file of 64 MiB with blocks of its own.
func file(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(path, make([]byte, 64*mib), 0o600))
	return path
}

func TestUsedIsWhatAllProcessesOfARunTookAndNotTheFilesTheyMap(t *testing.T) {
	self := plain(t)
	run, other := fmt.Sprintf("one.%d", os.Getpid()), fmt.Sprintf("other.%d", os.Getpid())
	mapped := file(t)
	for _, amount := range []int{60, 40} {
		start(t, []string{proc.Mark + "=" + run}, self, "hog", strconv.Itoa(amount*mib), mapped)
	}
	start(t, []string{proc.Mark + "=" + other}, self, "hog", strconv.Itoa(20*mib), mapped)
	used, err := Used()
	must(t, err)
	const runtime = 20 * mib // of Go, in two processes
	for _, c := range []struct {
		run  string
		want int64
	}{{run, 100 * mib}, {other, 20 * mib}} {
		if got := used[c.run]; got < c.want || got > c.want+runtime {
			t.Errorf("%s uses %d MiB, not %d", c.run, got/mib, c.want/mib)
		}
	}
	if n, there := used[run+"0"]; there {
		t.Errorf("a run without processes uses %d", n)
	}
}

// realGroup makes a control group with a limit on its memory, and one in it.
func realGroup(t *testing.T, limit int) (outer, inner string) {
	t.Helper()
	name := "kugetsu-test-" + strconv.Itoa(os.Getpid())
	for _, file := range []string{"/sys/fs/cgroup/memory/NAME/memory.limit_in_bytes", "/sys/fs/cgroup/NAME/memory.max"} {
		file = strings.Replace(file, "NAME", name, 1)
		outer = filepath.Dir(file)
		if err := os.Mkdir(outer, 0o755); err != nil {
			continue
		}
		t.Cleanup(func() { must(t, os.Remove(outer)) })
		f, err := os.OpenFile(file, os.O_WRONLY, 0) // the file is never made: in a folder that is no group it is missing
		if err != nil {
			continue
		}
		_, err = f.WriteString(strconv.Itoa(limit))
		must(t, err)
		must(t, f.Close())
		inner = filepath.Join(outer, "inner")
		must(t, os.Mkdir(inner, 0o755))
		t.Cleanup(func() { must(t, os.Remove(inner)) })
		return outer, inner
	}
	t.Skip("no control group with a limit on its memory can be made here: it takes root, and the controller in /sys/fs/cgroup")
	return "", ""
}

func TestRealGroupLimitsWhatIsAvailable(t *testing.T) {
	outer, inner := realGroup(t, 256*mib)
	self := plain(t)
	inside := []string{"sh", "-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, inner, self}
	available := func() int64 {
		t.Helper()
		out, err := exec.Command(inside[0], append(inside[1:], "available")...).Output()
		must(t, err)
		text, wrong, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || wrong != "<nil>" {
			t.Fatalf("%q: %v", out, err)
		}
		return n
	}
	empty := available()
	if empty > 256*mib || empty < 200*mib {
		t.Errorf("%d MiB are available in a group of 256 that is empty", empty/mib)
	}
	start(t, nil, append(inside, "hog", strconv.Itoa(100*mib), file(t))...)
	if n := available(); n > empty-100*mib || n < empty-190*mib {
		t.Errorf("%d MiB are available, where there were %d and 100 were taken", n/mib, empty/mib)
	}
	if n, err := (Machine{}).Available(); err != nil || n < empty {
		t.Errorf("outside of %s %d MiB are available: %v", outer, n/mib, err)
	}
}

func TestTakenIsTheMemoryOfAllTheProcessesWithinATenth(t *testing.T) {
	self := plain(t)
	mapped := file(t)
	var pids []int
	for _, amount := range []int{120, 80} {
		pids = append(pids, start(t, nil, self, "hog", strconv.Itoa(amount*mib), mapped))
	}
	// Both map the file of 64 MiB, and so it counts once.
	if n, err := (Machine{}).Taken(pids); err != nil || n < 264*mib*9/10 || n > 264*mib*11/10 {
		t.Errorf("they have %d MiB, not 264: %v", n/mib, err)
	}
	one, err := Machine{}.Taken(pids[:1])
	must(t, err)
	if n, err := (Machine{}).Taken([]int{pids[0], 1 << 30}); err != nil || n > one+mib || n < one-mib {
		t.Errorf("with a process that is gone: %d and not %d, %v", n, one, err)
	}
}

func TestTakenInAControlGroupOfItsOwnIsWhatTheKernelCounts(t *testing.T) {
	_, inner := realGroup(t, 512*mib)
	self := plain(t)
	inside := []string{"sh", "-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, inner, self}
	pid := start(t, nil, append(inside, "hog", strconv.Itoa(100*mib), file(t))...)
	if n, own := (Machine{}).ofOwnGroup([]int{pid}); !own || n < 100*mib || n > 120*mib {
		t.Errorf("%d MiB, own %t", n/mib, own)
	}
	if _, own := (Machine{}).ofOwnGroup([]int{pid, os.Getpid()}); own {
		t.Error("another process is not in it")
	}
	other := start(t, nil, append(inside, "hog", strconv.Itoa(mib), file(t))...)
	if _, own := (Machine{}).ofOwnGroup([]int{pid}); own {
		t.Error("another process is in it, too")
	}
	if _, own := (Machine{}).ofOwnGroup([]int{pid, other}); !own {
		t.Error("all processes in it are known")
	}
}
