package worktree

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"kugetsu/slots/git"
)

func TestHostThatIsDownIsToldFromWhatIsWrongWithARepository(t *testing.T) {
	for stderr, want := range map[string]bool{
		"fatal: unable to access 'https://git.example/a/b.git/': Could not resolve host: git.example\n":                                      true,
		"fatal: unable to access 'https://git.example/a/b.git/': Failed to connect to git.example port 443 after 3 ms: Connection refused\n": true,
		"fatal: unable to access 'https://git.example/a/b.git/': Failed to connect to git.example port 443 after 130 s: Could not connect\n": true,
		"fatal: unable to access 'https://git.example/a/b.git/': The requested URL returned error: 502\n":                                    true,
		"fatal: unable to access 'https://git.example/a/b.git/': The requested URL returned error: 429\n":                                    true,
		"error: RPC failed; HTTP 503 curl 22 The requested URL returned error: 503\nfatal: expected flush after ref listing\n":               true,
		"fatal: unable to access 'https://git.example/a/b.git/': OpenSSL SSL_connect: SSL_ERROR_SYSCALL in connection to git.example:443\n":  true,
		"fatal: unable to look up git.example (port 9418) (Temporary failure in name resolution)\n":                                          true,
		"fatal: unable to connect to 127.0.0.1:\n127.0.0.1[0: 127.0.0.1]: errno=Connection refused\n\n":                                      true,
		"ssh: Could not resolve hostname git.example: Name or service not known\nfatal: Could not read from remote repository.\n":            true,
		"ssh: connect to host git.example port 22: No route to host\nfatal: Could not read from remote repository.\n":                        true,
		"kex_exchange_identification: Connection closed by remote host\nConnection closed by 10.0.0.1 port 22\nfatal: Could not read from\n": true,
		"remote: Repository not found.\nfatal: repository 'https://git.example/a/b.git/' not found\n":                                        false,
		"fatal: unable to access 'https://git.example/a/b.git/': The requested URL returned error: 403\n":                                    false,
		"fatal: unable to access 'https://git.example/a/b.git/': SSL certificate problem: self-signed certificate\n":                         false,
		"remote: could not connect to the database\nfatal: the remote end hung up unexpectedly\n":                                            false,
		"git@git.example: Permission denied (publickey).\nfatal: Could not read from remote repository.\n":                                   false,
		"fatal: couldn't find remote ref trunk\n":                                                              false,
		"error: unable to write file a.txt: No space left on device\nfatal: unable to checkout working tree\n": false,
	} {
		if got := git.SaysUnreachable(stderr); got != want {
			t.Errorf("%t: %q", got, stderr)
		}
	}
}

// The same from the machine's own git.
func TestGitSaysThatAHostIsDown(t *testing.T) {
	fullOnly(t, "it takes a second or more")
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		url    string
		status int
		want   bool
	}{
		"no such host over http": {"http://host.invalid/a/b.git", 0, true},
		"no such host over git":  {"git://host.invalid/a/b.git", 0, true},
		"nothing listens, http":  {"http://" + address + "/a/b.git", 0, true},
		"nothing listens, git":   {"git://" + address + "/a/b.git", 0, true},
		"a server that is down":  {"", http.StatusServiceUnavailable, true},
		"a gateway":              {"", http.StatusBadGateway, true},
		"no such repository":     {"", http.StatusNotFound, false},
		"no access":              {"", http.StatusForbidden, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := w.fromRemote(1)
			s.Source.URL = c.url
			if c.url == "" {
				srv := w.serve()
				srv.status.Store(int32(c.status))
				srv.refuse.Store(1000)
				s.Source.URL = srv.url
			}
			g, _ := w.waiting(func(time.Duration) error { return nil })
			_, err := g.Prepare(context.Background(), s)
			var e *git.Error
			if !errors.As(err, &e) || e.Unreachable != c.want || g.Answered == c.want {
				t.Errorf("unreachable %t, answered %t: %v", e != nil && e.Unreachable, g.Answered, err)
			}
		})
	}
	w := newWorld(t)
	g, _ := w.waiting(nil)
	if _, err := g.Prepare(context.Background(), w.fromServer(1, w.serve())); err != nil || !g.Answered {
		t.Errorf("a server that answers: %t, %v", g.Answered, err)
	}
}

// A remote that accepts and then says nothing is an outage of its host, and the slot is not occupied until the limit of the
// preparation: git gives up after some minutes, or as soon as the user's own setting says.
func TestHostThatSaysNothingIsDown(t *testing.T) {
	fullOnly(t, "it takes a second or more")
	w := newWorld(t)
	w.git("", "config", "--global", "http.lowSpeedTime", "1")
	var at gate
	at.set(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) { <-r.Context().Done() })
	s := w.fromHost(1, w.host(&at))
	g, pauses := w.waiting(func(time.Duration) error { return nil })
	w.within(func(ctx context.Context) {
		_, err := g.Prepare(ctx, s)
		var e *git.Error
		if !errors.As(err, &e) || !e.Unreachable || e.Permanent || g.Answered || len(*pauses) > 0 {
			t.Errorf("answered %t, tried again %d times: %+v", g.Answered, len(*pauses), err)
		}
	})
}
