package session

import (
	"maps"
	"path/filepath"
	"time"

	"kugetsu/queue/spool"
	"kugetsu/slots"
	"kugetsu/slots/forge"
)

// limits is the file reviews/limits: until when each host refuses answers, because it was asked too often. All passes read the file.
type limits map[string]time.Time

func limitsFile(home slots.Dir) spool.File[limits] {
	return spool.File[limits]{Path: filepath.Join(home.Reviews(), "limits"), Layout: spool.Line}
}

// longestLimit is how far in the future a limit may lie. A later one is not believed: the clock was set back, or the forge is wrong.
const longestLimit = 25 * time.Hour

func readLimits(home slots.Dir) (limits, error) {
	l, err := limitsFile(home).ReadGood()
	if l == nil || *l == nil {
		return limits{}, err
	}
	return *l, err
}

// refuses says whether nothing may be asked of a host now.
func (l limits) refuses(host string, now time.Time) bool {
	left := l[host].Sub(now)
	return left > 0 && left < longestLimit
}

// note records until when a host refuses answers.
func (l limits) note(home slots.Dir, host string, until time.Time) error {
	maps.DeleteFunc(l, func(_ string, at time.Time) bool { return at.Before(until.Add(-longestLimit)) })
	l[host] = until.UTC()
	return limitsFile(home).Write(&l)
}

// cacheFile is reviews/<session>~cache.json: earlier answers of a forge. The forge does not count a question whose answer has not
// changed against its limit. If the file is lost, a few questions count.
func cacheFile(home slots.Dir, session string) spool.File[forge.Cache] {
	return spool.File[forge.Cache]{Path: filepath.Join(home.Reviews(), session+"~cache.json"), Layout: spool.Line}
}

func readCache(home slots.Dir, session string) (*forge.Cache, error) {
	c, err := cacheFile(home, session).ReadGood()
	if c == nil {
		c = &forge.Cache{}
	}
	return c, err
}
