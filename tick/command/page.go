package command

import (
	"errors"
	"path/filepath"

	"kugetsu/queue/fault"
	"kugetsu/queue/spool"
	"kugetsu/tick/page"
)

// Page writes the page.
type Page struct {
	File string `arg:"" optional:"" help:"The file; - or nothing is stdout."`
}

// Help is its long help.
func (*Page) Help() string {
	return longHelp(`
The page is one HTML file that needs no server, loads nothing, and is whole without script: what needs you, what runs,
what waits and why, pull requests, what was done, the last 24 hours and 14 days as pictures. Each card has the command to
type. The file is replaced as a whole, keeps its mode, and may be a link.

With STATUS_PAGE=/path/to/file in the config, ticks write it anew, once a minute at most.`,
		codes{0: "written", 75: "the file could not be written", 78: "written, and the configuration is bad"},
		"kugetsu page /var/www/kugetsu.html",
		"kugetsu page -")
}

// Run writes it. A bad configuration is shown, and then is the error.
func (c *Page) Run(a *App) error {
	if c.File == "" && a.Terminal {
		return fault.New(fault.Usage, "kugetsu page status.html; kugetsu page - prints it anyway", "the page is an HTML file, and stdout is a terminal")
	}
	if folder := spool.Within(c.File, a.Tick.Folders()...); c.File != "" && c.File != "-" && folder != "" {
		return fault.New(fault.Usage, "name a file elsewhere", "%s lies in %s, where kugetsu keeps its own files", c.File, folder)
	}
	p, err := page.Read(a.Tick)
	if err != nil {
		return err
	}
	if path, err := filepath.Abs(c.File); err == nil {
		p.Refreshed = path == a.Settings.StatusPage
	}
	html, err := p.HTML()
	if err != nil {
		return err
	}
	if c.File == "" || c.File == "-" {
		_, err = a.Stdout.Write(html)
		return errors.Join(unprinted(err), a.Tick.Config)
	}
	if err := spool.Export(c.File, html, a.Tick.Folders()...); err != nil {
		return err
	}
	return errors.Join(a.did("%s is written\n", clean(c.File)), a.Tick.Config)
}
