package forge

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"kugetsu/queue/pattern"
)

const (
	// maxPage bounds one answer, in bytes: a page of check runs holds their outputs, of up to 128 kB each.
	maxPage = 8 << 20
	// inspectPages bounds the pages of a list, each with up to 100 entries (50 on Gitea).
	inspectPages = 5
	// maxPeople bounds how many reviewers' rights are asked for.
	maxPeople = 20
	// maxShort and maxLong bound a name and a text, in bytes; maxComments the remarks of one review.
	maxShort, maxLong, maxComments = 300, 8 << 10, 50
)

// inspectLimit bounds the whole time of Inspect, as limit does that of one question.
var inspectLimit = 30 * time.Second

// inquiry is one Inspect.
type inquiry struct {
	request
	cache *Cache
	used  []Remembered // the answers to the questions of this time
	rep   Report

	answer func(path, etag string) (reply, error) // the forge
}

// Inspect asks for all that a caller wants to know of a request. The env is as for State. A request that is not open is asked for
// nothing more. With an error the report is empty but for NotBefore: the forge did not answer, or the head changed while it was
// asked; a later question may do better. The cache may be nil.
func Inspect(ctx context.Context, url string, env []string, cache *Cache, want Want) (Report, error) {
	nothing := Report{Status: Unknown}
	r, err := parseFor(url, env)
	if err == nil {
		err = r.known(env)
	}
	if err != nil {
		return nothing, err
	}
	ctx, cancel := context.WithTimeout(ctx, inspectLimit)
	defer cancel()
	if cache == nil {
		cache = &Cache{}
	}
	if cache.URL != r.url() {
		*cache = Cache{URL: r.url()}
	}
	q := &inquiry{request: r, cache: cache, answer: func(path, etag string) (reply, error) {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		return r.askAnew(ctx, path, etag, maxPage, env)
	}}
	err = q.look(want)
	q.keep(err != nil)
	if err != nil {
		nothing.NotBefore = q.rep.NotBefore
		return nothing, r.wrap(err)
	}
	return q.rep, nil
}

// look fills the report. If another head was pushed meanwhile, the answers about the old head do not count: its runs are cancelled then,
// and look as if they had failed. So look asks for the head again if a check failed.
func (q *inquiry) look(want Want) error {
	if err := q.ask(want); err != nil {
		return err
	}
	slices.SortStableFunc(q.rep.Checks, func(a, b Check) int { return strings.Compare(a.Name, b.Name) })
	slices.SortStableFunc(q.rep.Reviews, func(a, b Review) int { return a.At.Compare(b.At) })
	if q.rep.CI() != Failed {
		return nil
	}
	again := inquiry{request: q.request, answer: q.answer, cache: &Cache{Answers: q.used}}
	again.rep.NotBefore = q.rep.NotBefore
	if err := again.ask(Want{}); err != nil {
		return err
	}
	if again.rep.Head != q.rep.Head {
		return errors.New("its head changed while it was asked")
	}
	return nil
}

// ask fills the report with what its kind of forge says.
func (q *inquiry) ask(want Want) error {
	switch q.forge {
	case github:
		return q.askGitHub(want)
	case gitlab:
		return q.askGitLab(want)
	}
	return q.askGitea(want)
}

// get asks for a path, and reads the answer into an empty value. An answer in the cache is asked for with its ETag. Last-Modified is not
// used: that of a request stays the same when the request's mergeability changes.
func (q *inquiry) get(path string, into any) error {
	if !q.rep.NotBefore.IsZero() {
		_, host, _ := strings.Cut(q.origin, "://")
		return &LimitError{Host: host, Until: q.rep.NotBefore}
	}
	var old Remembered
	if i := slices.IndexFunc(q.cache.Answers, func(a Remembered) bool { return a.Path == path }); i >= 0 && json.Unmarshal([]byte(q.cache.Answers[i].Body), into) == nil {
		old = q.cache.Answers[i]
	}
	got, err := q.answer(path, old.ETag)
	q.rep.NotBefore = got.notBefore
	if err != nil {
		if asLimit := (*LimitError)(nil); errors.As(err, &asLimit) {
			q.rep.NotBefore = asLimit.Until
		}
		return err
	}
	if got.same {
		q.used = append(q.used, old)
		return nil
	}
	if err := readFresh(got.body, into); err != nil {
		return err
	}
	if body, err := json.Marshal(into); err == nil && got.etag != "" && len(got.etag) <= maxShort {
		q.used = append(q.used, Remembered{Path: path, ETag: got.etag, Body: string(body)})
	}
	return nil
}

// forget removes an answer from the cache, since it is about to change: the next question asks for it in full.
func (q *inquiry) forget(path string) {
	q.used = slices.DeleteFunc(q.used, func(a Remembered) bool { return a.Path == path })
}

// keep fills the cache with the answers of this Inspect. If Inspect did not ask for everything, earlier answers stay beside them.
func (q *inquiry) keep(others bool) {
	all := q.used
	if others {
		for _, a := range q.cache.Answers {
			if !slices.ContainsFunc(all, func(b Remembered) bool { return b.Path == a.Path }) {
				all = append(all, a)
			}
		}
	}
	q.cache.Answers = nil
	size := 0
	for _, a := range all {
		encoded, err := json.Marshal(a)
		if err != nil || size+len(encoded) > maxCache {
			continue
		}
		size += len(encoded)
		q.cache.Answers = append(q.cache.Answers, a)
	}
}

// unseen records why a part of the report is not known. It returns an error that every further question would meet as well: a limit, or
// no answer at all.
func (q *inquiry) unseen(part string, err error) error {
	var status *statusError
	if !errors.As(err, &status) {
		return err
	}
	of := *status
	of.part = part
	why := part + ": " + status.Error()
	if of.denied() {
		why = of.Error()
		if q.rep.Denied == nil {
			q.rep.Denied = of.denial()
		}
	}
	if !slices.Contains(q.rep.Unseen, why) {
		q.rep.Unseen = append(q.rep.Unseen, why)
	}
	return nil
}

// more records that a list has more entries than are read.
func (q *inquiry) more(part string) {
	q.rep.Unseen = append(q.rep.Unseen, part+": there are more than are read")
}

// pages reads a list page by page, until one is not full. The path ends where the number of the page follows.
func pages[T any](q *inquiry, part, path string, per int, each func(T)) error {
	for page := 1; page <= inspectPages; page++ {
		var list []T
		if err := q.get(fmt.Sprint(path, page), &list); err != nil {
			return err
		}
		for _, one := range list {
			each(one)
		}
		if len(list) < per {
			return nil
		}
	}
	q.more(part)
	return nil
}

var commit = pattern.Lazy(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// head sets the head. It checks the head first, which becomes a part of paths.
func (q *inquiry) head(sha string) error {
	if !commit().MatchString(sha) {
		return errors.New("the answer has no head")
	}
	q.rep.Head = sha
	return nil
}

// opinions collects the newest opinion of each person.
type opinions struct {
	of    map[string]*Review
	order []string
}

// add takes a review that is newer than all before it. A review without an opinion takes the person's earlier opinion back.
func (o *opinions) add(r Review) {
	if o.of == nil {
		o.of = map[string]*Review{}
	}
	key := strings.ToLower(r.Author)
	if o.of[key] == nil {
		o.order = append(o.order, key)
	}
	o.of[key] = &r
}

// all lists the opinions.
func (o *opinions) all() (all []*Review) {
	for _, key := range o.order {
		if r := o.of[key]; r.Opinion != "" {
			all = append(all, r)
		}
	}
	return all
}

// judge takes the reviews into the report, asks who may write, and counts. It says whether a person who may write requests changes.
func (q *inquiry) judge(all []*Review, mayWrite func(*Review) error) (requested bool, err error) {
	if len(all) > maxPeople {
		q.more("reviewers")
		all = all[len(all)-maxPeople:]
	}
	for _, r := range all {
		if err := mayWrite(r); err != nil {
			return false, err
		}
		switch {
		case !r.MayWrite:
		case r.Opinion == ChangesRequested:
			requested = true
		case r.Commit == "" || r.Commit == q.rep.Head:
			q.rep.Approvals++
		}
		q.rep.Reviews = append(q.rep.Reviews, *r)
	}
	return requested, nil
}

// remark adds a comment to a review, within bounds.
func (r *Review) remark(c Comment) {
	if len(r.Comments) < maxComments {
		r.Comments = append(r.Comments, c)
	}
}

// newest adds a check, or replaces the check with the same key. A check that comes later is newer.
func newest(checks []Check, keys map[string]int, key string, c Check) []Check {
	if i, ok := keys[key]; ok {
		checks[i] = c
		return checks
	}
	keys[key] = len(checks)
	return append(checks, c)
}

// short and long are texts of strangers that are cut as they are read.
type (
	short string
	long  string
)

func (s *short) UnmarshalJSON(data []byte) error { return cut(data, maxShort, (*string)(s)) }
func (s *long) UnmarshalJSON(data []byte) error  { return cut(data, maxLong, (*string)(s)) }

func cut(data []byte, most int, into *string) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	if len(s) > most {
		s = s[:most]
		for len(s) > 0 {
			if r, n := utf8.DecodeLastRuneInString(s); r != utf8.RuneError || n != 1 {
				break
			}
			s = s[:len(s)-1]
		}
	}
	*into = s
	return nil
}

// person is a user of any forge. GitLab calls the login username. A forge writes null if the account is gone.
type person struct {
	ID       int64 `json:"id"`
	Login    short `json:"login"`
	Username short `json:"username"`
}

func (p person) name() string { return cmp.Or(string(p.Login), string(p.Username)) }
