// Package page writes the page: one HTML file that shows what package overview derives, in the same order, with the runs of the
// last 24 hours and the days before as pictures. It needs no server and loads nothing.
//
// Any text in the page may be written by a stranger: an agent, an issue, a forge. Three fences keep such a text from doing harm. Package
// terminal turns control characters, and characters that change the direction of text, into escapes. Package html/template escapes each
// text for its place in the page. The policy in the page's head allows only the page's own styles and scripts, by their hashes, and no
// other file.
//
// Nothing in the page grows with the number of items: each list is cut, and says how much it leaves out.
package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"strings"
	"sync"
	"time"

	"kugetsu/queue/ledger"
	"kugetsu/tick/overview"
)

//go:embed page.html page.css page.js
var files embed.FS

// shape is parsed at its first use: few commands make a page.
var shape = sync.OnceValue(func() *template.Template { return template.Must(template.ParseFS(files, "page.html")) })

// Page is what the page shows.
type Page struct {
	*overview.Overview
	Runs      []ledger.Run // of the last Days days
	Shades    []Shade
	Server    string        // DEFAULT_GIT_SERVER: references to it are shown without it
	Interval  time.Duration // between two ticks
	Refreshed bool          // ticks write the file anew
}

// Days is how many days the charts show, today among them.
const Days = 14

// Shade is a time in which something kept runs from starting.
type Shade struct {
	From, Until time.Time
	Says        string
}

// HTML makes the file.
func (p *Page) HTML() ([]byte, error) {
	style, script := asset("page.css"), asset("page.js")
	// Without script, a page that stays open learns its age from an animation that begins after two intervals.
	style = strings.ReplaceAll(style, "LATE", fmt.Sprintf("%ds", int(2*p.Interval.Seconds())))
	v := p.view()
	v.Style, v.Script = template.CSS(style), template.JS(script)
	v.Policy = "default-src 'none'; style-src " + hash(style) + "; script-src " + hash(script) + "; base-uri 'none'; form-action 'none'"
	var b bytes.Buffer
	if err := shape().Execute(&b, v); err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	return b.Bytes(), nil
}

func asset(name string) string {
	data, err := files.ReadFile(name)
	if err != nil {
		panic(err) // it is embedded
	}
	return string(data)
}

// hash is the source expression that allows one inline text.
func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
