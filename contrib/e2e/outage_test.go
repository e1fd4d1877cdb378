package e2e

import (
	"net"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"kugetsu/contrib/internal/rig"
)

// down ends the server, so that nothing listens at its address; the func starts it there again.
func (s *stub) down(t *testing.T) (up func()) {
	t.Helper()
	address, handler := s.server.Listener.Addr().String(), s.server.Config.Handler
	s.server.CloseClientConnections()
	s.server.Close()
	return func() {
		t.Helper()
		var listener net.Listener
		rig.Until(t, "the port is free: another test's connection may have had it", func() bool {
			var err error
			listener, err = net.Listen("tcp", address)
			return err == nil
		})
		s.server = httptest.NewUnstartedServer(handler)
		s.server.Listener.Close()
		s.server.Listener = listener
		s.server.Start()
		t.Cleanup(s.server.Close)
	}
}

// TestModelServerThatIsDownIsSatOut: real agents find nothing that listens. They would try for minutes, codex for ever;
// each is ended as its time is up, which costs no attempt and holds the agent. When the server is back one run tries, and
// all go on in their conversations. The agents wait beside each other: they do little else for minutes.
func TestModelServerThatIsDownIsSatOut(t *testing.T) {
	t.Parallel()
	for _, c := range clis {
		t.Run(c.preset, func(t *testing.T) {
			if isSlow(c.preset) {
				needFull(t, "claude and codex find no server, too")
			}
			t.Parallel()
			program, stub := binary(t, c.preset), newStub(t)
			var env []string
			for _, kv := range c.home(t, stub) { // with as many tries as they make by themselves
				if !strings.HasPrefix(kv, "CLAUDE_CODE_MAX_RETRIES=") {
					env = append(env, kv)
				}
			}
			w := newWorldOf(t, rig.Kugetsu(t), stub, c.preset, program, env).with("RETRY_DELAY=15s")
			config := string(w.read(filepath.Join(w.state, "config")))
			writeFile(t, filepath.Join(w.state, "config"), []byte(config+"\nMAX_CONCURRENT_AGENTS=2\nMAX_ATTEMPTS=1\nAGENT_ARGS='"+c.args("ok")+"'\n"))
			first := w.delegate("you/project#1", "<<say begun>>")
			w.kugetsu(0, "tick", "--drain")
			before := w.session(1)

			up := stub.down(t)
			second := strings.TrimSpace(w.kugetsu(0, "delegate", "--timeout", "90s", "you/project#1", "<<bash git commit -q --allow-empty -m went_on>><<say went on>>"))
			third := strings.TrimSpace(w.kugetsu(0, "delegate", "--timeout", "90s", "you/project#2", "<<say me too>>"))
			w.tick()
			w.until("status says that it waits", func() bool {
				return strings.Contains(w.kugetsu(0, "status"), " waits, "+c.preset+": ")
			})
			for _, id := range []string{second, third} {
				w.until("its run is an outage", func() bool { return len(w.item(id).History) > 0 })
				if it := w.item(id); it.State != "pending" || it.Attempts != 0 || it.History[0].Outcome != "outage" {
					t.Fatalf("want it pending, with no attempt counted: %s\n%s", it, w.logs())
				}
			}
			if events := w.kugetsu(0, "notify", "list", "--json"); strings.Count(events, `"agent_held"`) != 1 {
				t.Errorf("not told once: %s", events)
			}

			up() // one pass after another finds the hold over, the probe at work, and then the rest free to go
			w.until("all are done", func() bool {
				w.tick()
				return w.item(second).State == "completed" && w.item(third).State == "completed"
			})
			w.absent("holds", "*.json")
			for _, id := range []string{first, second, third} {
				if it := w.item(id); it.Attempts != 1 || it.History[len(it.History)-1].Outcome != "ok" {
					t.Errorf("want one attempt counted: %s\n%s", it, w.logs())
				}
			}
			after := w.session(1)
			if before.Conversation == "" || after.Conversation != before.Conversation {
				t.Errorf("issue 1 was not continued: %+v, then %+v", before, after)
			}
			if got := w.git(after.Worktree, "log", "-1", "--format=%s"); got != "went_on" {
				t.Errorf("the last commit is %q", got)
			}
		})
	}
}
