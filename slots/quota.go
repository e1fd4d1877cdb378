package slots

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kugetsu/queue/spool"
	"kugetsu/slots/agent"
)

// quotas is quota/<agent>.json: what the runs of an agent were told of the windows of its accounts. It is a hint: if it is lost
// or damaged, the quota is not known, and an unknown quota keeps nothing from starting.
type quotas struct {
	V        int                       `json:"v"`
	Accounts map[string][]agent.Window `json:"accounts"` // by Account
}

// Quotas is the folder of what is known of the agents' quotas.
func (d Dir) Quotas() string { return filepath.Join(string(d), "quota") }

func (d Dir) quotaFile(preset string) spool.File[quotas] {
	return spool.File[quotas]{Path: filepath.Join(d.Quotas(), preset+".json"), Version: 1, Layout: spool.Line}
}

// Account names the account that an agent's program uses in an environment: a digest, since some of the variables are tokens. It is ""
// for an agent that tells nothing of its quota.
func Account(preset string, env []string) string {
	p, err := agent.Lookup(preset)
	if err != nil || p.Accounts == nil {
		return ""
	}
	digest := sha256.New()
	for _, name := range append([]string{"HOME"}, p.Accounts...) {
		_, _ = io.WriteString(digest, name+"="+lookup(env, name)+"\x00")
	}
	return hex.EncodeToString(digest.Sum(nil))[:16]
}

// lookup is the value of a variable, "" where it is not set.
func lookup(env []string, name string) string {
	for _, kv := range slices.Backward(env) {
		if value, ok := strings.CutPrefix(kv, name+"="); ok {
			return value
		}
	}
	return ""
}

// Quota is what is known of the windows of an agent's account.
func (d Dir) Quota(preset, account string, now time.Time) ([]agent.Window, error) {
	q, err := d.quotaFile(preset).ReadGood()
	if q == nil {
		return nil, err
	}
	return agent.Newest(now, q.Accounts[account]...), nil
}

// noteQuota adds the windows that a run was told of. It drops the windows that count no more, of all accounts.
func (d Dir) noteQuota(ctx context.Context, preset, account string, told []agent.Window, now time.Time) error {
	lock, err := spool.Lock(ctx, filepath.Join(d.Quotas(), preset+".lock"), nil)
	if err != nil {
		return err
	}
	defer lock.Close()
	q, err := d.quotaFile(preset).ReadGood()
	if err != nil {
		return err
	}
	if q == nil {
		q = &quotas{}
	}
	known := q.Accounts
	q.V, q.Accounts = 1, map[string][]agent.Window{}
	for name, windows := range known {
		if left := agent.Newest(now, windows...); len(left) > 0 {
			q.Accounts[name] = left
		}
	}
	q.Accounts[account] = agent.Newest(now, append(slices.Clone(known[account]), told...)...)
	return d.quotaFile(preset).WriteSoon(q)
}

const (
	// noteLimit bounds the wait for another run that notes its quota.
	noteLimit = 2 * time.Second
	// recordEvery is how often the program's own file of the conversation is looked at during a run.
	recordEvery = 15 * time.Second
	// recordTail is how much of the end of that file is read, in bytes.
	recordTail = 256 << 10
)

// meter notes, while an agent runs and when it has ended, what its program tells of its account's quota.
type meter struct {
	told   []agent.Window // what was noted last
	record string         // the path of the program's file of the conversation; "" until it is found
	size   int64          // of that file, when it was read
	next   time.Time      // when to look at it again
}

// sayQuota notes what the program told so far. A fault is logged only: the run is not about that.
func (a *agentRun) sayQuota(last bool) {
	a.mu.Lock()
	var told []agent.Window
	if m, ok := a.parser.(agent.Metered); ok {
		told = m.Quota()
	}
	conversation := a.parser.Conversation()
	a.mu.Unlock()
	now := time.Now()
	if r := a.preset.Record; r != nil && (last || !now.Before(a.meter.next)) {
		a.meter.next = now.Add(recordEvery)
		told = append(told[:len(told):len(told)], a.meter.read(r, a.w.agentEnv, conversation, now)...)
	}
	told = agent.Told(now, append(slices.Clone(a.meter.told), told...)...)
	if len(told) == 0 || slices.Equal(told, a.meter.told) {
		return
	}
	a.meter.told = told
	ctx, cancel := context.WithTimeout(context.Background(), noteLimit)
	defer cancel()
	if err := a.r.home.noteQuota(ctx, a.preset.Name, a.r.task.Account, told, now); err != nil {
		a.r.log.say("what is left of the quota was not noted: %v", err)
	}
}

// read reads the end of the program's file of the conversation, if it grew.
func (m *meter) read(r *agent.Record, env []string, conversation string, now time.Time) []agent.Window {
	if conversation == "" {
		return nil
	}
	folder := r.Folder(func(name string) string { return lookup(env, name) })
	if m.record == "" && filepath.IsAbs(folder) {
		found, _ := fs.Glob(os.DirFS(folder), r.Glob(conversation)) // without the folder nothing is found
		if len(found) > 0 {
			m.record = filepath.Join(folder, found[len(found)-1])
		}
	}
	if m.record == "" {
		return nil
	}
	f, err := spool.Open(m.record, os.O_RDONLY)
	if err != nil { // moved to an archive
		m.record = ""
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() == m.size {
		return nil
	}
	m.size = info.Size()
	tail, err := io.ReadAll(io.NewSectionReader(f, max(0, m.size-recordTail), recordTail))
	if err != nil {
		return nil
	}
	return r.Windows(tail, now)
}
