package slots

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"kugetsu/queue/issueref"
	"kugetsu/queue/pattern"
	"kugetsu/queue/spool"
	"kugetsu/slots/agent"
)

// PMSession is the session of the PM agent.
const PMSession = "pm-agent"

// sessionName is what issueref.Ref.Session makes, and PMSession. (A bound in the pattern would cost every process
// half a millisecond to compile.)
var sessionName = pattern.Lazy(`^[a-z0-9][a-z0-9._+@-]*$`)

func isSession(name string) bool { return len(name) <= 220 && sessionName().MatchString(name) }

// Session is the workspace of one issue, or of one task that has none, over many items. Whether it is running is never stored: it follows from the slots.
type Session struct {
	V            int       `json:"v"`
	Type         string    `json:"type"` // "forked", or "pm_agent"
	IssueRef     string    `json:"issue_ref"`
	Agent        string    `json:"agent"`
	Conversation string    `json:"agent_session_id"`     // the agent's id of its conversation, "" until the agent printed it
	Words        string    `json:"last_words,omitempty"` // the agent's last words, for a conversation that must begin anew
	Worktree     string    `json:"worktree_path"`
	Scratch      string    `json:"scratch_path,omitempty"` // where the last run worked, on the own disk of a node; "" for in Worktree
	Left         string    `json:"left_ref,omitempty"`     // of what that run left uncommitted there, which the next new worktree begins with
	LeftCommit   string    `json:"left_commit,omitempty"`  // at that ref
	Branch       string    `json:"branch_name"`
	OnTop        string    `json:"on_top,omitempty"`       // the branch of another session that this one is on top of, until it is merged
	Began        string    `json:"began_on_top,omitempty"` // the branch of another session, at which this one was to begin; it stays when that is merged
	Start        string    `json:"start_commit,omitempty"` // the commit at which the branch was made for this session; "" for a branch of the user's
	Judged       string    `json:"judged,omitempty"`       // "verified" or "unverified": how a command judged the last run; "" where none did
	LastItem     string    `json:"last_item,omitempty"`    // whose run worked here last
	PRURL        string    `json:"pr_url"`
	PRSet        bool      `json:"pr_set,omitempty"`     // a person set it: no run replaces it
	Unready      bool      `json:"unready,omitempty"`    // its worktree was missing, and the hook may not have run in the new one yet
	Unkept       string    `json:"unkept_run,omitempty"` // the run whose uncommitted work may not be kept at a ref yet
	CreatedAt    time.Time `json:"created_at"`
	LastUsedAt   time.Time `json:"last_used_at"`
}

// Shown is where a session works, for a person. Away says that this is on the disk of a node, where it may be gone by now.
func (s *Session) Shown() (path string, away bool) {
	return cmp.Or(s.Scratch, s.Worktree), s.Scratch != ""
}

// WorksAt is where the runs of a session work.
func (d Dir) WorksAt(session string) string {
	if s, err := d.ReadSession(session); err == nil && s != nil && s.Scratch != "" {
		return s.Scratch
	}
	return d.Worktree(session)
}

// BeganOn says whether the session began on top of a branch of another one. An older kugetsu noted it only until that branch was merged.
func (s *Session) BeganOn(branch string) bool { return cmp.Or(s.Began, s.OnTop) == branch }

func (d Dir) session(name string) spool.File[Session] {
	return spool.File[Session]{Path: filepath.Join(d.sessions(), name+".json"), Version: 2, Layout: spool.Indented}
}

// SessionLock is the path of the lock of the session's worktree. A process locks it before it works there.
func (d Dir) SessionLock(name string) string { return filepath.Join(d.sessions(), name+".lock") }

// Worktree is the path of a session's working directory.
func (d Dir) Worktree(name string) string { return filepath.Join(d.worktrees(), name) }

// ReadSession reads a session; nil where the issue has none. The error wraps spool.ErrBad for a file that is not that of the
// session, and spool.ErrNewer for one that a newer kugetsu wrote.
func (d Dir) ReadSession(name string) (*Session, error) {
	if !isSession(name) {
		return nil, fmt.Errorf("%q is not a session", name)
	}
	s, err := d.session(name).Read()
	if s != nil && !s.belongsTo(name) {
		return nil, fmt.Errorf("%s: %w: it is that of %q in %q", d.session(name).Path, spool.ErrBad, s.IssueRef, s.Worktree)
	}
	return s, err
}

// belongsTo says whether a session is the one of this name. The file of another session would lead a run into a worktree that it has
// not locked. The folder above the worktree is not compared: a state folder can be moved.
func (s *Session) belongsTo(name string) bool {
	if filepath.Base(s.Worktree) != name {
		return false
	}
	if s.IssueRef == "" {
		return name == PMSession
	}
	return s.issue().Session() == name
}

// issue is the session's issue or task; the zero Ref for the PM agent's session.
func (s *Session) issue() issueref.Ref {
	host, _, _ := strings.Cut(s.IssueRef, "/")
	ref, _ := issueref.Parse(s.IssueRef, host) // ReadSession checked it
	return ref
}

// note notes what the next run of the session needs of an agent's report.
func (s *Session) note(report agent.Report) {
	if report.Gone || report.Spent {
		s.Conversation = "" // the next attempt begins a new one, and gets the last words of this one
	}
	if report.Words != "" {
		s.Words = report.Words
	}
}

// WriteSession replaces a session's file. The caller holds the session's lock. An older kugetsu knows no task that has no issue.
func (d Dir) WriteSession(name string, s *Session) error {
	s.V = 1
	if s.issue().Task != "" {
		s.V = 2
	}
	return d.session(name).Write(s)
}

// Sessions lists the names of all sessions.
func (d Dir) Sessions() ([]string, error) {
	files, err := spool.List(d.sessions())
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range files {
		if name, ok := strings.CutSuffix(f, ".json"); ok && isSession(name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// NewestSessions lists the n sessions that were written last, the newest first, and says how many there are.
func (d Dir) NewestSessions(n int) (names []string, all int, err error) {
	files, all, err := spool.Newest(d.sessions(), n, func(file string) bool {
		name, ok := strings.CutSuffix(file, ".json")
		return ok && isSession(name)
	})
	for _, f := range files {
		names = append(names, strings.TrimSuffix(f, ".json"))
	}
	return names, all, err
}
