package schedule

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"kugetsu/queue/fault"
)

// cron is one marked block in the user's crontab.
type cron struct{ Job }

func (c cron) beginMark() string { return "# begin " + c.Name + ":" }
func (c cron) endMark() string   { return "# end " + c.Name }

// added is what the first line of a block says when the line before it had no end: that end is of the block.
const added = " (the line before had no end)"

// block is the lines between the marks, and these, for the end of that text. What the tick does is kept in tick.log; only what
// is wrong is printed, and mailed.
func (c cron) block(text string) (string, error) {
	line, err := c.lineBelow(text)
	return c.beginMark() + " kugetsu queue-daemon stop removes this\n" + line + "\n" + c.endMark() + "\n", err
}

// plain is the words that mean the same to cron and to sh without quotes.
var plain = regexp.MustCompile(`^[\w/.,:@+-]+$`)

// quote makes a word of the shell of any path, in a line of a crontab. There a percent sign ends the command unless a
// backslash stands before it. Some crons take that backslash away and some leave it to the shell, so it stands outside
// of the quotes. Some also make one of two backslashes: so no backslash is followed by another, or by a percent sign.
func quote(path string) string {
	if plain.MatchString(path) {
		return path
	}
	return "'" + strings.NewReplacer("'", `'\''`, "%", `'\%'`, `\`, `\''`).Replace(path) + "'"
}

// locate finds the block in a crontab: where it begins and ends, and the line in it. Begin is -1 when there is none. A
// block that is not as it was written is an error: nobody knows which of the lines are whose.
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
			line = strings.TrimRight(l, " \t\n") // a carriage return would be a part of the command
		}
		at += len(l)
	}
	if broken || (begin < 0) != (end < 0) {
		return -1, -1, "", fault.New(fault.Failed, fmt.Sprintf("remove the lines %q… and %q and what kugetsu wrote between them, with crontab -e; nothing was changed", c.beginMark(), c.endMark()),
			"the block of %s in the crontab is not as it was written", c.Name)
	}
	return begin, end, line, nil
}

// with is a crontab with the block in it: where it stood, or at the end.
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

// without is a crontab as it was before the block came into it.
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

// errDenied is returned where the user may not have a crontab.
var errDenied = errors.New("this user may not use crontab")

// read is the user's crontab, "" when there is none. crontab -l fails in the same way when there is none, when it is
// forbidden, and when it is broken: only its words tell. What they do not tell is an error, never an empty crontab.
func (c cron) read(ctx context.Context) (string, error) {
	text, err := call(ctx, "", "crontab", "-l")
	var failed *callError
	switch {
	case err == nil:
		return text, nil
	case missing(err):
		return "", fault.New(fault.Failed, "install cron", "%w", err)
	case errors.As(err, &failed) && (strings.Contains(failed.Said, "no crontab for") || strings.HasSuffix(failed.Said, "No such file or directory")): // the second is busybox's
		return "", nil
	case errors.As(err, &failed) && strings.Contains(failed.Said, "not allowed"):
		return "", fault.New(fault.Failed, "see cron.allow and cron.deny in /etc", "%w: %s", errDenied, failed.Said)
	}
	return "", fault.New(fault.Failed, "crontab -l must work", "the crontab cannot be read: %w", err)
}

// write replaces the crontab. One of nothing is removed, so that there is none where there was none.
func (c cron) write(ctx context.Context, text string) error {
	if text == "" {
		_, err := call(ctx, "", "crontab", "-r")
		return err
	}
	_, err := call(ctx, text, "crontab", "-")
	if err != nil && !strings.HasSuffix(text, "\n") { // many refuse a line without an end
		_, err = call(ctx, text+"\n", "crontab", "-")
	}
	return err
}

// edits is how often a crontab is changed that does not stay as it was written.
const edits = 3

// edit changes the crontab and reads it back: somebody else may have edited it at the same time, and then either change
// may be lost.
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
			return fault.New(fault.Failed, "the crontab is as it was", "the crontab could not be written: %w", err)
		}
	}
	text, err := c.read(ctx)
	if err != nil {
		return err
	}
	if after, err := change(text); err != nil || after == text {
		return err
	}
	return fault.New(fault.Temp, "close every crontab -e and try again", "the crontab does not stay as it was written")
}

func (c cron) works(ctx context.Context) error {
	_, err := c.read(ctx)
	return err
}

func (c cron) install(ctx context.Context) error { return c.edit(ctx, c.with) }

func (c cron) remove(ctx context.Context) error {
	err := c.edit(ctx, c.without)
	if missing(err) || errors.Is(err, errDenied) { // nothing of ours can run there
		return nil
	}
	return err
}

var cronMinutes = regexp.MustCompile(`^\*(?:/(\d+))? \* \* \* \* `)

// cronCommand is the command of the line, but for what kugetsu is to do.
var cronCommand = regexp.MustCompile(`^(?:\S+ ){5}(.*) tick --scheduled$`)

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
	if m := cronCommand.FindStringSubmatch(line); m != nil {
		f.Program = []string{"/bin/sh", "-c", m[1] + ` "$@"`, "sh"}
	}
	if m := cronMinutes.FindStringSubmatch(line); m != nil {
		f.Minutes = 1
		if m[1] != "" {
			f.Minutes, _ = strconv.Atoi(m[1]) // 0 for what is no number of minutes: not known
		}
	}
	return f, nil
}
