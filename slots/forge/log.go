package forge

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"kugetsu/queue/pattern"
)

const (
	// logKept is how much of a log's end is returned, in bytes, and logRead how much of it is kept before it is stripped.
	logKept, logRead = 8 << 10, 32 << 10
	// logMost bounds what is read of a log, in bytes. Only the end is wanted, but not every forge can be asked for the end alone.
	logMost = 256 << 20
)

// logLimit bounds the whole time of Log.
var logLimit = 30 * time.Second

// ErrNoLog is returned where a check has no log, or has none any more.
var ErrNoLog = errors.New("the forge has no log of it")

// Log is the end of the log of a check's job, at most 8 KiB from the beginning of a line, without the time stamps and colours of
// the forge. The url is that of the request whose report has the check. Strangers wrote the log: it may hold control characters,
// orders, and bytes that are not UTF-8. Log needs a token of the forge, or the forge's program. The error is ErrNoLog if there is
// no log.
//
// GitHub keeps logs on another host, which wants no token and gets none (docs.github.com/rest/actions/workflow-jobs). So Log follows one
// redirect, over https, with no header of the first question, and not to this machine or its link. The other forges answer themselves.
func Log(ctx context.Context, url string, c Check, env []string) ([]byte, error) {
	r, err := parseFor(url, env)
	if err == nil {
		err = r.known(env)
	}
	if err != nil {
		return nil, err
	}
	if !jobID().MatchString(c.Job) {
		return nil, r.wrap(ErrNoLog)
	}
	if able, err := r.able(env); err != nil || !able {
		return nil, r.wrap(cmp.Or(err, fmt.Errorf("%w: there is no token for it", ErrUnasked)))
	}
	ctx, cancel := context.WithTimeout(ctx, logLimit)
	defer cancel()
	if r.forge == gitea {
		err = r.isJobOf(ctx, c, env)
	}
	var end []byte
	if err == nil {
		end, err = r.askLog(ctx, r.logPath(c.Job), env)
	}
	var status *statusError
	if errors.As(err, &status) && (status.code == http.StatusNotFound || status.code == http.StatusGone) {
		err = ErrNoLog
	}
	if err != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		err = errors.New("its log did not end in time")
	}
	if err != nil {
		return nil, r.wrap(err)
	}
	return strip(end), nil
}

var jobID = pattern.Lazy(`^[1-9][0-9]{0,18}$`)

func (r request) logPath(job string) string {
	if r.forge == gitlab {
		return r.project() + "/jobs/" + job + "/trace"
	}
	return "repos/" + r.repo + "/actions/jobs/" + job + "/logs"
}

// isJobOf makes sure that a job's id, which was read in a URL, is that of a job of the check's commit.
func (r request) isJobOf(ctx context.Context, c Check, env []string) error {
	body, err := r.ask(ctx, "repos/"+r.repo+"/actions/jobs/"+c.Job, env)
	if err != nil {
		return err
	}
	var job struct {
		Head string `json:"head_sha"`
	}
	if json.Unmarshal(body, &job) != nil || job.Head == "" || job.Head != c.Commit {
		return ErrNoLog
	}
	return nil
}

// askLog gets the end of a log, as ask gets an answer.
func (r request) askLog(ctx context.Context, path string, env []string) ([]byte, error) {
	if err := r.plainly(env); err != nil {
		return nil, err
	}
	token, err := r.token(env)
	if err != nil {
		return nil, err
	}
	if token.value == "" {
		program, made, err := r.program(env)
		if err != nil {
			return nil, err
		}
		ask := r.child(program, path, made)
		ask.Last = logRead
		out, err := ask.Output(ctx)
		if err != nil {
			return nil, r.programFailed(ctx, err, logMost)
		}
		return []byte(out), nil
	}
	req, err := r.question(ctx, path, token.value)
	if err != nil {
		return nil, err
	}
	res, err := direct(req, dialer(req.URL.Scheme+"://"+req.URL.Host))
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if r.forge == github && (res.StatusCode == http.StatusFound || res.StatusCode == http.StatusTemporaryRedirect) {
		there, err := elsewhereFor(ctx, req.URL, res.Header.Get("Location"))
		if err != nil {
			return nil, err
		}
		defer there.Body.Close()
		res = there
		if res.StatusCode != http.StatusOK { // this answer is not the forge's, and says nothing of the forge's limit or of the token
			return nil, fmt.Errorf("status %d: the place of the log did not give it", res.StatusCode)
		}
	}
	if res.StatusCode != http.StatusOK {
		return nil, r.refusal(res, token, env)
	}
	return tail(res.Body)
}

// direct asks without following a redirect.
func direct(req *http.Request, d *net.Dialer) (*http.Response, error) {
	client := http.Client{Transport: transport(d), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		return nil, plain(err)
	}
	return res, nil
}

// elsewhereFor asks the place to which a forge redirects, with nothing of the first question. Only a forge on loopback may lead to
// loopback, and to plain http there.
func elsewhereFor(ctx context.Context, from *url.URL, location string) (*http.Response, error) {
	to, err := from.Parse(location)
	local := isLoopback(from.Scheme + "://" + from.Host)
	if err != nil || location == "" || to.User != nil || to.Host == "" || to.Scheme != "https" && !(local && to.Scheme == "http") {
		return nil, errElsewhere
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), nil)
	if err != nil {
		return nil, errElsewhere
	}
	req.Header.Set("User-Agent", "kugetsu")
	return direct(req, &net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil || !reachable(at.Addr().Unmap(), local, to.Scheme) {
			return errElsewhere
		}
		return nil
	}})
}

// reachable says whether a log may be at an address: not on this machine, and not on its link, where clouds keep their machines' keys.
func reachable(a netip.Addr, local bool, scheme string) bool {
	if a.IsLoopback() {
		return local
	}
	return scheme == "https" && !a.IsUnspecified() && !a.IsLinkLocalUnicast() && !a.IsMulticast()
}

// tail reads to the end, and keeps the last bytes.
func tail(from io.Reader) ([]byte, error) {
	var end []byte
	buffer := make([]byte, logRead)
	for read := 0; ; {
		n, err := from.Read(buffer)
		if end = append(end, buffer[:n]...); len(end) > logRead {
			end = append(end[:0], end[len(end)-logRead:]...)
		}
		read += n
		switch {
		case errors.Is(err, io.EOF):
			return end, nil
		case err != nil:
			return nil, plain(err)
		case read > logMost:
			return nil, tooLarge(logMost)
		}
	}
}

var (
	// stamp is the time before each line; GitLab adds the number and the kind of the stream.
	stamp = pattern.Lazy(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z ([0-9a-f]{2}[OE][ +])?`)
	// colour matches what moves the cursor or colours in a terminal, section GitLab's marks of a folded part.
	colour  = pattern.Lazy(`\x1b\[[0-9;?]*[A-Za-z]`)
	section = pattern.Lazy(`section_(start|end):\d+:[^\r\n]*\r`)
)

// strip takes out what means something only to a page of the forge, and cuts to the end that is returned.
func strip(log []byte) []byte {
	log = bytes.TrimPrefix(log, []byte("\ufeff"))
	if len(log) >= logRead { // the part that was kept begins within a line
		if i := bytes.IndexByte(log, '\n'); i >= 0 {
			log = log[i+1:]
		}
	}
	var out []byte
	for line := range strings.Lines(string(log)) {
		line = stamp().ReplaceAllString(line, "")
		line = section().ReplaceAllString(line, "")
		line = colour().ReplaceAllString(line, "")
		if cut, ok := strings.CutSuffix(line, "\r\n"); ok {
			line = cut + "\n"
		}
		out = append(out, line...)
	}
	if len(out) <= logKept {
		return out
	}
	out = out[len(out)-logKept:]
	if i := bytes.IndexByte(out, '\n'); i >= 0 && i+1 < len(out) {
		return out[i+1:]
	}
	for len(out) > 0 && !utf8.RuneStart(out[0]) { // one long line
		out = out[1:]
	}
	return out
}
