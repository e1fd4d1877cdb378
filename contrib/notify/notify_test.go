package notify_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kugetsu/queue/event"
)

const secret = "s3cr3t-t0ken"

// completed is an event whose texts a stranger wrote.
const completed = `{"v":1,"name":"q_1.1.task_completed","type":"task_completed","item":"q_1","issue_ref":"github.com/acme/shop#3","run":1,"state":"completed",` +
	`"text":"Fixed <b>\"it\"</b> & \\more\u001b[31m\nnext @everyone ` + "\u202e" + `","changes":{"commits":2,"dirty":0,"diff":{"files":3,"insertions":10,"deletions":2}},` +
	`"pr_url":"https://github.com/acme/shop/pull/4","at":"2026-11-29T00:00:00Z"}`

type request struct {
	method, path, auth string
	body               map[string]any
}

// serve answers with a status and hands over what it was asked.
func serve(t *testing.T, status int) (url string, asked chan request) {
	asked = make(chan request, 10)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(r.Body)
		req := request{method: r.Method, path: r.URL.Path, auth: r.Header.Get("Authorization")}
		if err == nil {
			err = json.Unmarshal(data, &req.body)
		}
		if err != nil {
			t.Errorf("%s %s: %v: %q", r.Method, r.URL, err, data)
		}
		asked <- req
		w.WriteHeader(status)
	}))
	t.Cleanup(s.Close)
	return s.URL, asked
}

// notify runs the script on an event, with programs of ours before the machine's.
func notify(t *testing.T, config, event string, env ...string) (out string, code int) {
	t.Helper()
	for _, tool := range []string{"jq", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(tool + " is not installed: the script needs it")
		}
	}
	path := filepath.Join(t.TempDir(), "notify.conf")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("./notify", path)
	cmd.Stdin = strings.NewReader(event + "\n")
	cmd.Env = append(os.Environ(), env...)
	data, err := cmd.CombinedOutput()
	if exit, failed := err.(*exec.ExitError); failed {
		return string(data), exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return string(data), 0
}

// program puts a program of ours into a folder for PATH.
func program(t *testing.T, name, script string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestServicesAreTold(t *testing.T) {
	const title = "kugetsu: github.com/acme/shop#3 completed"
	const body = "Fixed <b>\"it\"</b> & \\more [31m next @everyone  \n2 commits, +10 −2 in 3 files\nhttps://github.com/acme/shop/pull/4"
	for _, test := range []struct {
		service, to, method, path, auth, field, want string
	}{
		{"ntfy", "URL/topic " + secret, "POST", "/", "Bearer " + secret, "message", body},
		{"slack", "URL/services/" + secret, "POST", "/services/" + secret, "", "text",
			"*" + title + "*\n" + strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(body)},
		{"discord", "URL/api/webhooks/" + secret, "POST", "/api/webhooks/" + secret, "", "content", title + "\n" + body},
		{"telegram", secret + " 42 URL", "POST", "/bot" + secret + "/sendMessage", "", "text", title + "\n" + body},
		{"matrix", "URL !room:x " + secret, "PUT", "/_matrix/client/v3/rooms/!room:x/send/m.room.message/q_1.1.task_completed", "Bearer " + secret, "body", title + "\n" + body},
	} {
		t.Run(test.service, func(t *testing.T) {
			url, asked := serve(t, 200)
			arguments := filepath.Join(t.TempDir(), "arguments")
			curl, err := exec.LookPath("curl")
			if err != nil {
				t.Skip("curl is not installed: the script needs it")
			}
			ours := program(t, "curl", `printf '%s\n' "$@" >>`+arguments+"\nexec "+curl+` "$@"`+"\n")
			out, code := notify(t, "TO="+test.service+" "+strings.ReplaceAll(test.to, "URL", url)+"\n", completed, "PATH="+ours+":"+os.Getenv("PATH"))
			if code != 0 || out != "" {
				t.Fatalf("exit %d: %s", code, out)
			}
			got := <-asked
			if got.method != test.method || got.path != test.path || got.auth != test.auth {
				t.Errorf("asked %s %s %q", got.method, got.path, got.auth)
			}
			if got.body[test.field] != test.want {
				t.Errorf("%s:\n%q\nwant\n%q", test.field, got.body[test.field], test.want)
			}
			if strings.Contains(read(t, arguments), secret) {
				t.Errorf("a secret is an argument of curl: %s", read(t, arguments))
			}
		})
	}
}

func TestMailIsSent(t *testing.T) {
	sent := filepath.Join(t.TempDir(), "sent")
	ours := program(t, "sendmail", `{ printf '%s\n' "$@"; cat; } >`+sent+"\n")
	if out, code := notify(t, "TO=mail me@example.com\n", completed, "PATH="+ours+":"+os.Getenv("PATH")); code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	subject := base64.StdEncoding.EncodeToString([]byte("kugetsu: github.com/acme/shop#3 completed"))
	for _, want := range []string{"-t\n", "To: me@example.com\n", "Subject: =?UTF-8?B?" + subject + "?=\n", "\n\nFixed ", "2 commits"} {
		if !strings.Contains(read(t, sent), want) {
			t.Errorf("no %q in\n%s", want, read(t, sent))
		}
	}
}

// A digest has lines, of which a chat gets the most important ones and a mail all.
func TestDigestKeepsItsLines(t *testing.T) {
	digest := `{"v":1,"name":"digest.2026-11-29","type":"digest","run":0,"text":"1 of 2 tasks completed\n! it failed\n  kugetsu show q_1\u001b[31m` + strings.Repeat(`\n- more`, 400) +
		`","markdown":"**1 of 2 tasks completed**\n\n## Done\n\n| a | b |","at":"2026-11-29T00:00:00Z"}`
	url, asked := serve(t, 200)
	if out, code := notify(t, "TO=discord "+url+"\n", digest); code != 0 || out != "" {
		t.Fatalf("exit %d: %s", code, out)
	}
	text, _ := (<-asked).body["content"].(string)
	if !strings.HasPrefix(text, "kugetsu: digest\n1 of 2 tasks completed\n! it failed\n  kugetsu show q_1 [31m\n- more\n") || len(text) > 1900 {
		t.Errorf("%d characters: %q", len(text), text)
	}
	sent := filepath.Join(t.TempDir(), "sent")
	ours := program(t, "sendmail", "cat >"+sent+"\n")
	if out, code := notify(t, "TO=mail me@example.com\n", digest, "PATH="+ours+":"+os.Getenv("PATH")); code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	if text := read(t, sent); !strings.HasSuffix(text, "\n\n**1 of 2 tasks completed**\n\n## Done\n\n| a | b |\n") {
		t.Errorf("%q", text)
	}
}

func TestDesktopIsTold(t *testing.T) {
	said := filepath.Join(t.TempDir(), "said")
	ours := program(t, "notify-send", `printf '%s\n' "$@" >`+said+"\n")
	if out, code := notify(t, "TO=desktop\n", completed, "PATH="+ours+":"+os.Getenv("PATH")); code != 0 {
		t.Fatalf("exit %d: %s", code, out)
	}
	if got := read(t, said); !strings.Contains(got, "kugetsu: github.com/acme/shop#3 completed\nFixed &lt;b>") {
		t.Errorf("said %q", got)
	}
}

func TestServiceThatFailsIsAnError(t *testing.T) {
	url, _ := serve(t, 500)
	out, code := notify(t, "TO=slack "+url+"\n", completed)
	if code == 0 || !strings.Contains(out, "slack could not be told") {
		t.Errorf("exit %d: %s", code, out)
	}
}

func TestEventsThatAreNotWantedAreNotTold(t *testing.T) {
	for _, test := range []struct {
		name, config, now string
		told              bool
	}{
		{"all", "", "12:00", true},
		{"an event of the list", "EVENTS=task_error task_completed", "12:00", true},
		{"another", "EVENTS=task_error", "12:00", false},
		{"a part of a name is none", "EVENTS=task_completed_not", "12:00", false},
		{"before the quiet hours", "QUIET=22:00-07:00", "21:59", true},
		{"as they begin", "QUIET=22:00-07:00", "22:00", false},
		{"after midnight", "QUIET=22:00-07:00", "06:59", false},
		{"as they end", "QUIET=22:00-07:00", "07:00", true},
		{"quiet by day", "QUIET=08:09-09:08", "08:30", false},
		{"quiet, and urgent", "QUIET=22:00-07:00\r\n# so\r\nURGENT=task_completed", "23:00", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			url, asked := serve(t, 200)
			out, code := notify(t, test.config+"\nTO=slack "+url, completed, "NOTIFY_NOW="+test.now)
			if code != 0 || (len(asked) == 1) != test.told {
				t.Errorf("exit %d, told %d times: %s", code, len(asked), out)
			}
		})
	}
}

func TestTestIsToldAlsoInQuietHours(t *testing.T) {
	url, asked := serve(t, 200)
	test := `{"v":1,"name":"test.1","type":"test","run":0,"text":"this is a test: NOTIFY_COMMAND works","at":"2026-11-29T00:00:00Z"}`
	out, code := notify(t, "EVENTS=task_error\nQUIET=00:00-23:59\nTO=slack "+url, test, "NOTIFY_NOW=12:00")
	if code != 0 || len(asked) != 1 {
		t.Errorf("exit %d, told %d times: %s", code, len(asked), out)
	}
}

// Every event has words of its own for a title.
func TestTitleNamesEveryEvent(t *testing.T) {
	script := read(t, "notify")
	for _, kind := range event.All() {
		if !strings.Contains(script, `"`+string(kind)+`":"`) {
			t.Errorf("%s has no words", kind)
		}
	}
}

func TestBadInputIsOneLine(t *testing.T) {
	for _, test := range []struct{ name, config, event, want string }{
		{"a key that is unknown", "TOO=slack x", completed, "unknown key TOO"},
		{"a service that is unknown", "TO=pager x", completed, "TO=pager"},
		{"no service", "# nothing", completed, "has no TO"},
		{"a line that is none", "TO slack", completed, "is not KEY=VALUE"},
		{"hours that are none", "TO=desktop\nQUIET=22-7", completed, "QUIET is HH:MM-HH:MM"},
		{"no event", "TO=desktop", "hello", "no event"},
	} {
		t.Run(test.name, func(t *testing.T) {
			out, code := notify(t, test.config, test.event)
			if code == 0 || !strings.Contains(out, test.want) || strings.Count(out, "\n") != 1 {
				t.Errorf("exit %d: %q", code, out)
			}
		})
	}
}

func TestExampleNamesEveryService(t *testing.T) {
	example := read(t, "notify.conf.example")
	for _, service := range []string{"ntfy", "slack", "discord", "telegram", "matrix", "mail", "desktop"} {
		if !strings.Contains(example, "#TO="+service) {
			t.Errorf("%s is not in the example", service)
		}
	}
}
