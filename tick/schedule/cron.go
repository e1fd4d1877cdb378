package schedule

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"kugetsu/queue/fault"
	"kugetsu/queue/pattern"
)

// cron is one marked block in the user's crontab.
type cron struct{ Job }

func (c cron) beginMark() string { return "# begin " + c.Name + ":" }
func (c cron) endMark() string   { return "# end " + c.Name }

// added marks the first line of a block where the line before it had no newline. That newline then belongs to the block.
const added = " (the line before had no end)"

// block returns the two marks and the line between them, for the end of a crontab. A scheduled tick prints errors only, and
// cron mails them; tick.log has all that it did.
func (c cron) block(text string) (string, error) {
	line, err := c.lineBelow(text)
	return c.beginMark() + " kugetsu queue-daemon stop removes this\n" + line + "\n" + c.endMark() + "\n", err
}

// plain matches the words that need no quotes, in cron and in sh.
var plain = pattern.Lazy(`^[\w/.,:@+-]+$`)

// quote returns a path as one word of the shell, for a line of a crontab. In a crontab a percent sign ends the command unless a
// backslash precedes it. Some crons remove that backslash and others leave it to the shell, so it stands outside of the
// quotes. Some crons also turn two backslashes into one, so no backslash is followed by another one or by a percent sign.
func quote(path string) string {
	if plain().MatchString(path) {
		return path
	}
	return "'" + strings.NewReplacer("'", `'\''`, "%", `'\%'`, `\`, `\''`).Replace(path) + "'"
}

// locate finds the block in a crontab: its begin, its end, and the line in it. Begin is -1 where there is no block. An edited
// block is an error: kugetsu cannot know which of the lines are its own.
func (c cron) locate(text string) (begin, end int, line string, err error) {
	begin, end = -1, -1
	lines, at := 0, 0
	broken := false
	for l := range strings.SplitAfterSeq(text, "\n") {
		switch bare := strings.TrimRight(l, " \t\r\n"); {
		case strings.HasPrefix(bare, c.beginMark()):
			broken = broken || begin >= 0
			begin = at
		case bare == c.endMark():
			broken = broken || begin < 0 || end >= 0 || lines != 1
			end = at + len(l)
		case begin >= 0 && end < 0:
			lines++
			line = strings.TrimRight(l, " \t\n") // not \r: cron takes it for a part of the command
		}
		at += len(l)
	}
	if broken || (begin < 0) != (end < 0) {
		return -1, -1, "", fault.New(fault.Failed, fmt.Sprintf("remove the lines %q… and %q and what kugetsu wrote between them, with crontab -e; nothing was changed", c.beginMark(), c.endMark()),
			"the block of %s in the crontab was edited", c.Name)
	}
	return begin, end, line, nil
}

// with returns a crontab with the block in it, in its old place or at the end.
func (c cron) with(text string) (string, error) {
	begin, end, line, err := c.locate(text)
	if err != nil {
		return "", err
	}
	head := text
	if begin >= 0 {
		head = text[:begin]
	}
	block, err := c.block(head)
	if err != nil {
		return "", err
	}
	mine, rest, _ := strings.Cut(block, "\n")
	switch {
	case begin < 0 && text != "" && !strings.HasSuffix(text, "\n"):
		return text + "\n" + mine + added + "\n" + rest, nil
	case begin < 0:
		return text + block, nil
	case strings.HasPrefix(rest, line+"\n"):
		return text, nil
	}
	first, _, _ := strings.Cut(text[begin:], "\n")
	return head + first + "\n" + rest + text[end:], nil
}

// without returns a crontab as it was before the block was added.
func (c cron) without(text string) (string, error) {
	begin, end, _, err := c.locate(text)
	if err != nil || begin < 0 {
		return text, err
	}
	first, _, _ := strings.Cut(text[begin:], "\n")
	before := text[:begin]
	if end == len(text) && strings.Contains(first, added) {
		before = strings.TrimSuffix(before, "\n")
	}
	return before + text[end:], nil
}

// errDenied is returned where the user is not allowed to have a crontab.
var errDenied = errors.New("this user may not use crontab")

// read returns the user's crontab, "" where there is none. crontab -l exits with 1 for "no crontab", for "not allowed" and for
// every failure, so only its message tells them apart. A message that read does not know is an error, never an empty
// crontab: write would otherwise replace lines that it has not seen.
func (c cron) read(ctx context.Context) (string, error) {
	text, err := call(ctx, "", "crontab", "-l")
	var failed *callError
	switch {
	case err == nil:
		return text, nil
	case missing(err):
		return "", fault.New(fault.Failed, "install cron", "%w", err)
	case errors.As(err, &failed) && (strings.Contains(failed.Said, "no crontab for") || strings.HasSuffix(failed.Said, "No such file or directory")): // busybox says the second
		return "", nil
	case errors.As(err, &failed) && strings.Contains(failed.Said, "not allowed"):
		return "", fault.New(fault.Failed, "see cron.allow and cron.deny in /etc", "%w: %s", errDenied, failed.Said)
	}
	return "", fault.New(fault.Failed, "make crontab -l work for this user", "the crontab cannot be read: %w", err)
}

// write replaces the crontab. An empty one is removed, so that a user who had no crontab has none again.
func (c cron) write(ctx context.Context, text string) error {
	if text == "" {
		_, err := call(ctx, "", "crontab", "-r")
		return err
	}
	_, err := call(ctx, text, "crontab", "-")
	if err != nil && !strings.HasSuffix(text, "\n") { // many crons refuse a last line without a newline
		_, err = call(ctx, text+"\n", "crontab", "-")
	}
	return err
}

// edits is how many times edit writes a crontab before it gives up.
const edits = 3

// edit changes the crontab and reads it back. Another program may write it at the same time, and then one of the two changes is
// lost.
func (c cron) edit(ctx context.Context, change func(string) (string, error)) error {
	for range edits {
		before, err := c.read(ctx)
		if err != nil {
			return err
		}
		after, err := change(before)
		if err != nil || after == before {
			return err
		}
		if err := c.write(ctx, after); err != nil {
			return fault.New(fault.Failed, "the crontab is unchanged", "the crontab could not be written: %w", err)
		}
	}
	text, err := c.read(ctx)
	if err != nil {
		return err
	}
	if after, err := change(text); err != nil || after == text {
		return err
	}
	return fault.New(fault.Temp, "close every crontab -e and try again", "another program changes the crontab at the same time")
}

func (c cron) works(ctx context.Context) error {
	_, err := c.read(ctx)
	return err
}

func (c cron) install(ctx context.Context) error { return c.edit(ctx, c.with) }

func (c cron) remove(ctx context.Context) error {
	err := c.edit(ctx, c.without)
	if missing(err) || errors.Is(err, errDenied) { // without a crontab there is no block to remove
		return nil
	}
	return err
}

var cronMinutes = pattern.Lazy(`^\*(?:/(\d+))? \* \* \* \* `)

// cronCommand matches the line; its group is the command without the arguments of kugetsu.
var cronCommand = pattern.Lazy(`^(?:\S+ ){5}(.*) tick --scheduled$`)

func (c cron) find(ctx context.Context) (*Found, error) {
	text, err := c.read(ctx)
	if missing(err) || errors.Is(err, errDenied) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	begin, _, line, err := c.locate(text)
	if err != nil || begin < 0 {
		return nil, err
	}
	f := &Found{Kind: Cron}
	mine, err := c.lineBelow(text[:begin])
	if err != nil {
		f.Problem = err.Error()
	} else {
		f.Current = line == mine
	}
	if f.Problem == "" {
		f.Problem = noCron()
	}
	if m := cronCommand().FindStringSubmatch(line); m != nil {
		f.Program = []string{"/bin/sh", "-c", m[1] + ` "$@"`, "sh"}
	}
	if m := cronMinutes().FindStringSubmatch(line); m != nil {
		f.Minutes = 1
		if m[1] != "" {
			f.Minutes, _ = strconv.Atoi(m[1]) // 0, not known, where the number is too large
		}
	}
	return f, nil
}
