package forge

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"kugetsu/slots/proc"
)

const (
	// maxBody bounds an answer, in bytes.
	maxBody = 1 << 20
	// maxHops bounds the redirects that are followed, all within one host: a repository that was renamed.
	maxHops = 3
)

var (
	errElsewhere = errors.New("it redirects to another place")
	errLoopback  = errors.New("it is not on loopback")
)

func tooLarge(most int) error { return fmt.Errorf("the answer is larger than %d bytes", most) }

// reply is an answer with status 200, or 304 to a question with an ETag: then it is the same as before, and has no body.
type reply struct {
	body      []byte
	same      bool
	etag      string
	notBefore time.Time // where the forge's limit is spent: when it is whole again
}

// ask gets a path of the forge's API. It uses the token for the forge. Without a token it uses the forge's own program, which has a
// login of its own. Without such a program it asks without a token.
func (r request) ask(ctx context.Context, path string, env []string) ([]byte, error) {
	got, err := r.askAnew(ctx, path, "", maxBody, env)
	return got.body, err
}

// askAnew is ask for an answer of at most so many bytes. etag is that of the answer that is remembered; if the answer is still the
// same, the reply says so. A program is asked without the ETag.
func (r request) askAnew(ctx context.Context, path, etag string, most int, env []string) (got reply, err error) {
	if err := r.plainly(env); err != nil {
		return got, err
	}
	token, err := r.token(env)
	if err != nil {
		return got, err
	}
	var programErr error
	if token.value == "" {
		body, err := r.askProgram(ctx, path, most, env)
		if err == nil {
			return reply{body: body}, nil
		}
		if !errors.Is(err, errNoProgram) {
			programErr = err
		}
	}
	got, err = r.get(ctx, path, token, etag, most, env)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.New("it did not answer in time")
	}
	var status *statusError
	switch {
	case err == nil, programErr == nil:
	case errors.As(err, &status):
		status.program = programErr.Error()
	default:
		err = fmt.Errorf("%w (%w)", err, programErr)
	}
	return got, err
}

// question is the request to the API.
func (r request) question(ctx context.Context, path, token string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.base()+path, nil)
	if err != nil {
		return nil, errors.New("its address is bad")
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "kugetsu")
	if r.forge == github {
		req.Header.Set("X-GitHub-Api-Version", "2022-11-28") // later ones leave out fields
	}
	if token != "" {
		req.Header.Set("Authorization", r.forge.scheme+" "+token)
	}
	return req, nil
}

func (r request) get(ctx context.Context, path string, token credential, etag string, most int, env []string) (got reply, err error) {
	req, err := r.question(ctx, path, token.value)
	if err != nil {
		return got, err
	}
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	client := http.Client{Transport: transport(dialer(req.URL.Scheme + "://" + req.URL.Host)), CheckRedirect: func(next *http.Request, before []*http.Request) error {
		if !stays(req.URL, next.URL) || len(before) > maxHops {
			return errElsewhere
		}
		return nil
	}}
	res, err := client.Do(req)
	if err != nil {
		return got, plain(err)
	}
	defer res.Body.Close()
	got = reply{etag: res.Header.Get("ETag"), notBefore: spent(res)}
	switch {
	case res.StatusCode == http.StatusNotModified && etag != "":
		got.same = true
		return got, nil
	case res.StatusCode != http.StatusOK:
		return got, r.refusal(res, token, env)
	}
	got.body, err = read(res.Body, most)
	return got, err
}

// transport is for one question.
func transport(d *net.Dialer) *http.Transport {
	return &http.Transport{DialContext: d.DialContext, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10}
}

// stays says whether a redirect leads to the same origin. Origins are compared as text: any other spelling counts as another
// origin.
func stays(from, to *url.URL) bool {
	return to.Scheme == from.Scheme && to.Host == from.Host && to.User == nil
}

// dialer connects. An origin that is allowed since it is on loopback is only reached on loopback, whatever "localhost" resolves
// to.
func dialer(origin string) *net.Dialer {
	d := &net.Dialer{}
	if strings.HasPrefix(origin, "http://") && isLoopback(origin) {
		d.Control = func(_, address string, _ syscall.RawConn) error {
			if to, err := netip.ParseAddrPort(address); err != nil || !to.Addr().IsLoopback() {
				return errLoopback
			}
			return nil
		}
	}
	return d
}

// plain is an error without the text of a server. Package http quotes a malformed answer, and the address, which after a redirect
// is the server's text, too.
func plain(err error) error {
	var op *net.OpError
	var dns *net.DNSError
	for _, known := range []error{errElsewhere, errLoopback, context.DeadlineExceeded, context.Canceled} {
		if errors.Is(err, known) {
			return known
		}
	}
	var cert *tls.CertificateVerificationError
	switch {
	case errors.As(err, &cert):
		return errors.New("its certificate is not trusted")
	case errors.As(err, &dns):
		return dns
	case errors.As(err, &op):
		return op
	}
	return errors.New("the connection or the answer is bad")
}

// refusal is the error for a status other than 200: a *LimitError or a *statusError.
func (r request) refusal(res *http.Response, token credential, env []string) error {
	code := res.StatusCode
	body, _ := io.ReadAll(io.LimitReader(res.Body, maxRefusal)) // what cannot be read says nothing
	if code == http.StatusTooManyRequests || code == http.StatusForbidden && r.limited(res.Header, body) {
		_, host, _ := strings.Cut(r.origin, "://")
		return &LimitError{Host: host, Code: code, Until: until(res.Header)}
	}
	e := &statusError{code: code, forge: r.forge, token: token.name, said: said(body, token.value)}
	if token.name == "" {
		e.lack = r.lack(env)
	}
	return e
}

func read(from io.Reader, most int) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(from, int64(most)+1))
	switch {
	case err != nil:
		return nil, plain(err)
	case len(body) > most:
		return nil, tooLarge(most)
	}
	return body, nil
}

// errNoProgram is returned where the forge has no program on PATH, or none that may be asked.
var errNoProgram = errors.New("no program")

// programEnv are the variables that the forges' programs get, to find their files and the network. They get no token: a token that
// is set is for another host, and a program may send it to any host.
var programEnv = []string{"HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "TMPDIR", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR",
	"DBUS_SESSION_BUS_ADDRESS", "GH_CONFIG_DIR", "GLAB_CONFIG_DIR", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"}

// program finds gh or glab, and makes its environment. The error is errNoProgram.
func (r request) program(env []string) (path string, made []string, err error) {
	host, https := strings.CutPrefix(r.origin, "https://")
	if r.forge.cli == "" || r.api != "" || !https || strings.Contains(host, ":") { // the programs know a host only by its name
		return "", nil, errNoProgram
	}
	for _, kv := range env {
		if name, _, _ := strings.Cut(kv, "="); slices.Contains(programEnv, name) {
			made = append(made, kv)
		}
	}
	made = append(made, "GH_PROMPT_DISABLED=1", "GH_NO_UPDATE_NOTIFIER=1", "NO_PROMPT=1", "GLAB_CHECK_UPDATE=false", "NO_COLOR=1")
	if path, err = proc.LookPath(r.forge.cli, made, "/"); err != nil {
		return "", nil, errNoProgram
	}
	return path, made, nil
}

// askProgram asks gh or glab for the same path. Both print what the API answered.
func (r request) askProgram(ctx context.Context, path string, most int, env []string) ([]byte, error) {
	program, made, err := r.program(env)
	if err != nil {
		return nil, err
	}
	ask := r.child(program, path, made)
	ask.Most = most
	out, err := ask.Output(ctx)
	if err == nil {
		return []byte(out), nil
	}
	return nil, r.programFailed(ctx, err, most)
}

// child asks gh or glab for a path.
func (r request) child(program, path string, made []string) proc.Child {
	return proc.Child{
		Path: program, Args: []string{r.forge.cli, "api", "--hostname", strings.TrimPrefix(r.origin, "https://"), path},
		Env: made, Dir: "/", // not in a repository, whose remotes they would read
	}
}

// programFailed is the error of a forge's program, without what it printed.
func (r request) programFailed(ctx context.Context, err error, most int) error {
	var failure *proc.Failure
	switch {
	case errors.Is(err, proc.ErrOutput):
		err = tooLarge(most)
	case ctx.Err() != nil:
		err = errors.New("it did not answer in time")
	case errors.As(err, &failure):
		err = failure.Err // its stderr is for people, and may hold anything
	}
	return fmt.Errorf("%s: %w", r.forge.cli, err)
}
