package schedule

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"kugetsu/queue/fault"
	"kugetsu/queue/pattern"
	"kugetsu/queue/spool"
)

// launchd is a user agent of macOS's launchd. It follows launchd.plist(5) and launchctl(1). No machine of this project runs
// macOS: the tests check the text of the property list, and no launchd has run it.
type launchd struct{ Job }

// plist returns the agent's property list.
func (l launchd) plist() File {
	env := ""
	if !l.Default {
		env = "\t<key>EnvironmentVariables</key>\n\t<dict>\n\t\t<key>KUGETSU_DIR</key>\n\t\t" + str(l.Dir) + "\n\t</dict>\n"
	}
	return File{l.Name + ".plist", `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
	<key>Label</key>
	` + str(l.Name) + `
	<key>ProgramArguments</key>
	<array>
		` + str(l.Binary) + `
		<string>tick</string>
		<string>--scheduled</string>
	</array>
` + env + `	<key>StartInterval</key>
	<integer>` + strconv.Itoa(60*l.Minutes) + `</integer>
	<key>RunAtLoad</key>
	<true/>
	<!-- The agents outlive the tick that started them. -->
	<key>AbandonProcessGroup</key>
	<true/>
	<!-- Only what is wrong; what a tick does is in tick.log. -->
	<key>StandardErrorPath</key>
	` + str(filepath.Join(l.Home, "Library", "Logs", l.Name+".log")) + `
</dict>
</plist>
`}
}

func str(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a Builder takes everything
	return "<string>" + b.String() + "</string>"
}

func (l launchd) path() string {
	return filepath.Join(l.Home, "Library", "LaunchAgents", l.plist().Name)
}

func (l launchd) domain() string { return fmt.Sprintf("gui/%d", os.Getuid()) }

func (l launchd) works(ctx context.Context) error {
	if _, err := call(ctx, "", "launchctl", "print", l.domain()); err != nil {
		return fault.New(fault.Failed, "log in at the screen once, or use --with cron", "launchd cannot be used: %w", err)
	}
	return nil
}

func (l launchd) loaded(ctx context.Context) bool {
	_, err := call(ctx, "", "launchctl", "print", l.domain()+"/"+l.Name)
	return err == nil
}

func (l launchd) install(ctx context.Context) error {
	if f, err := l.find(ctx); err == nil && f != nil && f.Current && f.Problem == "" {
		return nil
	}
	if err := l.remove(ctx); err != nil {
		return err
	}
	if err := spool.MakeDirs(filepath.Dir(l.path()), filepath.Join(l.Home, "Library", "Logs")); err != nil {
		return err
	}
	if err := spool.Write(l.path(), []byte(l.plist().Text)); err != nil {
		return err
	}
	_, err := call(ctx, "", "launchctl", "bootstrap", l.domain(), l.path())
	return err
}

func (l launchd) remove(ctx context.Context) error {
	if l.loaded(ctx) {
		if _, err := call(ctx, "", "launchctl", "bootout", l.domain()+"/"+l.Name); err != nil {
			return err
		}
	}
	return spool.Unlink(l.path())
}

var launchdSeconds = pattern.Lazy(`<key>StartInterval</key>\s*<integer>(\d+)</integer>`)

var launchdProgram = pattern.Lazy(`<key>ProgramArguments</key>\s*<array>\s*(<string>[^<]*</string>)`)

func (l launchd) find(ctx context.Context) (*Found, error) {
	text, err := spool.Read(l.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f := &Found{Kind: Launchd, Current: string(text) == l.plist().Text}
	if m := launchdProgram().FindSubmatch(text); m != nil {
		program := ""
		if xml.Unmarshal(m[1], &program) == nil {
			f.Program = []string{program}
		}
	}
	if m := launchdSeconds().FindSubmatch(text); m != nil {
		seconds, _ := strconv.Atoi(string(m[1])) // 0, not known, where the number is too large
		f.Minutes = seconds / 60
	}
	if !l.loaded(ctx) {
		f.Problem = "launchd has not loaded it: kugetsu queue-daemon restart"
	}
	return f, nil
}
