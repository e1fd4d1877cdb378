package slots

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kugetsu/queue/spool"
	"kugetsu/slots/agent"
	"kugetsu/slots/proc"
)

// knownAgent is the record of an agent's program in agents/<preset>.json, so that the program is asked once and not in every run.
type knownAgent struct {
	Path  string    `json:"path"`
	Size  int64     `json:"size"`
	MTime time.Time `json:"mtime"`
	Home  []string  `json:"home"` // the folders of the program's own state
	Major int       `json:"major"`
}

// askLimit bounds each question to an agent's program.
const askLimit = 2 * time.Minute

// major is the major version of a preset's program, where the preset needs it. A new program is also made to set itself up,
// under a lock: where several opencodes start for the first time at once, one of them fails over the creation of the database
// (measured: in one round of four, with three at once).
func (d Dir) major(ctx context.Context, r *Runner, p agent.Preset, env []string) (int, error) {
	if p.Version == nil {
		return 0, nil
	}
	path, err := proc.LookPath(p.Version[0], env, string(d))
	if err != nil {
		return 0, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	now := knownAgent{Path: path, Size: info.Size(), MTime: info.ModTime().UTC(), Home: homes(env)}
	file := d.known(p.Name)
	if known, err := file.ReadGood(); err != nil {
		return 0, err
	} else if known.same(now) {
		return known.Major, nil
	}
	lock, err := spool.Lock(ctx, filepath.Join(d.agents(), p.Name+".lock"), nil)
	if err != nil {
		return 0, err
	}
	defer lock.Close()
	if known, err := file.ReadGood(); err != nil {
		return 0, err
	} else if known.same(now) { // another run asked meanwhile
		return known.Major, nil
	}
	out, err := r.ask(ctx, env, path, p.Version)
	if err != nil {
		return 0, err
	}
	now.Major, _ = agent.Major(out) // without a number it counts as 1.x, which was measured
	if p.SetUp != nil {
		if _, err := r.ask(ctx, env, path, p.SetUp); err != nil {
			r.log.say("%v", err) // a run that needs the set-up will say why it failed
		}
	}
	if err := file.Write(&now); err != nil {
		r.log.say("%v", err) // the next run asks again
	}
	return now.Major, nil
}

func (k *knownAgent) same(o knownAgent) bool {
	return k != nil && k.Path == o.Path && k.Size == o.Size && k.MTime.Equal(o.MTime) && slices.Equal(k.Home, o.Home)
}

func (d Dir) known(preset string) spool.File[knownAgent] {
	return spool.File[knownAgent]{Path: filepath.Join(d.agents(), preset+".json")}
}

func homes(env []string) []string {
	var out []string
	for _, kv := range env {
		if strings.HasPrefix(kv, "HOME=") || strings.HasPrefix(kv, "XDG_DATA_HOME=") {
			out = append(out, kv)
		}
	}
	slices.Sort(out)
	return out
}

// ask runs an agent's program and returns its output.
func (r *Runner) ask(ctx context.Context, env []string, path string, argv []string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, argv[1:]...)
	cmd.Dir, cmd.Env, cmd.Stderr = r.tmp, with(env, "PWD="+r.tmp), r.log
	cmd.ExtraFiles = []*os.File{r.slot, r.session}
	cmd.SysProcAttr = proc.Attach()
	cmd.WaitDelay = killGrace
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", strings.Join(argv, " "), err)
	}
	return string(out), nil
}
