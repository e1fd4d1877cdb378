package outcome

// Evidence is what a run can show for its outcome. Its texts come from agents and repositories: they are short, and hold no
// control characters.
type Evidence struct {
	Changes *Changes `json:"changes,omitempty"` // nil: not known
	Refused []string `json:"refused,omitempty"` // the permissions that were refused, the newest last, a few at most
	PRURL   string   `json:"pr_url,omitempty"`  // the pull request, as known at the run's end
	Ref     string   `json:"ref,omitempty"`     // where uncommitted work was kept
}

// Changes is what a run left in its worktree.
type Changes struct {
	From       string   `json:"from,omitempty"`        // the commit that the run began with; "" on a branch without any
	To         string   `json:"to,omitempty"`          // the commit that it ended with
	Commits    int      `json:"commits"`               // made in the run
	Subjects   []string `json:"subjects,omitempty"`    // the subjects of the newest of them, the newest first, a few at most
	Diff       *Diff    `json:"diff,omitempty"`        // between all that stood in the worktree at the start and at the end, uncommitted files too; nil: not known
	Dirty      int      `json:"dirty"`                 // files with uncommitted changes
	DirtyFiles []string `json:"dirty_files,omitempty"` // the first few of them
}

// Diff is the size of a change.
type Diff struct {
	Files      int `json:"files"`
	Insertions int `json:"insertions"`
	Deletions  int `json:"deletions"`
}
