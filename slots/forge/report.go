package forge

import (
	"time"
)

// Report is what a forge says of one request at one time. It is about Head: a report whose Head is not the commit that the caller
// knows is about the work of another.
//
// Names, descriptions, bodies, paths and URLs are the words of strangers: bounded in length and valid UTF-8, and otherwise raw.
// They may hold control characters, newlines and orders. A caller cleans and fences them where it shows or quotes them.
type Report struct {
	Status     Status
	Draft      bool
	Fork       bool   // the head is in another repository than the request, or in one that is gone
	Head       string // the commit, in full; "" where the forge has none
	HeadBranch string // "" where the forge does not say
	Base       string // the branch that the request is to go to
	Merge      Merge
	Checks     []Check  // of Head, one of each name and source, in the order of their names
	Reviews    []Review // the newest opinion of each person but the author's, oldest first
	// Approvals counts the approvals of people who may write, of the present Head where the forge tells. Approved says whether the
	// repository wants no more of them: it asks for none or has enough, and no person who may write requests changes.
	Approvals int
	Approved  bool
	// Unseen are reasons why a part that was wanted is not known: the token may not see it, or there is more than is read. The
	// report is right as far as it goes, and says nothing of the rest: no report with an unseen part is ready.
	Unseen []string
	// Denied is the first reason in Unseen that another token, or a token at all, would remove; nil if there is no such reason.
	Denied *Denial
	// NotBefore is set where this answer has spent the forge's limit: until then nothing more may be asked of its host.
	NotBefore time.Time
}

// Want selects what Inspect asks for beside the request itself, which always tells of Status, Draft, Head, and Merge.
type Want struct {
	Checks  bool
	Reviews bool
}

// Merge says whether the forge could merge a request.
type Merge string

// MergeUnknown means that the forge is still computing, or does not say: ask again later. MergeBlocked means that there is no
// conflict, and that a rule of the repository is not met: a check, an approval, a branch that is behind, a draft.
const (
	MergeUnknown  Merge = ""
	MergeClean    Merge = "clean"
	MergeConflict Merge = "conflict"
	MergeBlocked  Merge = "blocked"
)

// Verdict is the state of a check, and of all of them.
type Verdict string

// NoChecks is the verdict of a head without any check. Just after a push it means "none yet", and in a repository without CI "never
// one": the caller decides, by the time since the push. A value that is not known counts as Pending, and never as Passed. Skipped and
// neutral checks, and those that are allowed to fail, are Passed.
const (
	NoChecks Verdict = ""
	Pending  Verdict = "pending"
	Passed   Verdict = "passed"
	Failed   Verdict = "failed"
)

// Check is a commit status, a check run or a job of the head: the newest of its name.
type Check struct {
	Name    string
	Verdict Verdict
	URL     string // for a person, may be "" and may be on any host
	Summary string // one sentence of the check's own, may be ""
	// Commit and Job are for Log.
	Commit string
	Job    string // "" where the forge runs no job for it, and has no log
}

// Opinion is what a review says.
type Opinion string

// A review that only comments, that is dismissed or not submitted is no opinion, and is in no report.
const (
	Approval         Opinion = "approved"
	ChangesRequested Opinion = "changes requested"
)

// Review is the newest opinion of one person. The one who opened the request has none.
type Review struct {
	// ID is the forge's id of the review, the same in every report until the person gives another opinion. It is unique within its
	// request.
	ID       string
	Author   string
	MayWrite bool // whether the author may write to the repository; false where the forge does not say
	Opinion  Opinion
	Body     string // may be ""
	Comments []Comment
	Commit   string // the commit that was reviewed; "" where the forge does not say. Where it is not Head, the review is of older code
	At       time.Time
}

// Comment is a remark of a review to a line.
type Comment struct {
	Path string
	Line int // 0 for the whole file, or where the forge does not say
	Text string
}

// Cache is what a forge has said of one request, for the next question about it: an answer that has not changed does not count against
// GitHub's limit. It is plain data that a caller stores and gives back; the zero value is empty. Its size is bounded, see maxCache.
// Inspect fills the cache even if it returns an error, and empties it if it is of another request.
type Cache struct {
	URL     string       `json:"url,omitempty"`
	Answers []Remembered `json:"answers,omitempty"`
	// Stuck are the head and the base that a forge calls not mergeable without a reason, and Since is when it said so first.
	Stuck string    `json:"stuck,omitempty"`
	Since time.Time `json:"since,omitzero"`
	// Clean are the head and the base that a forge called mergeable last.
	Clean string `json:"clean,omitempty"`
}

// Remembered is one answer of a forge: the part of it that is read, as JSON.
type Remembered struct {
	Path string `json:"path"`
	ETag string `json:"etag"`
	Body string `json:"body"`
}

// maxCache bounds a cache, in bytes as JSON. An answer beyond it is not remembered.
const maxCache = 128 << 10

// CI is the verdict of all checks: Failed where one failed, Pending where one has not ended.
func (r Report) CI() Verdict {
	all := NoChecks
	for _, c := range r.Checks {
		switch {
		case c.Verdict == Failed:
			return Failed
		case c.Verdict == Pending, all == NoChecks:
			all = c.Verdict
		}
	}
	return all
}

// Ready says whether a person may merge: the request is open and no draft, no check has failed or still runs, it is approved and
// mergeable, and the forge showed all of it. Just after a push, a caller does not believe Ready of a report with NoChecks.
func (r Report) Ready() bool {
	ci := r.CI()
	return r.Status == Open && !r.Draft && r.Merge == MergeClean && (ci == Passed || ci == NoChecks) && r.Approved && len(r.Unseen) == 0
}
