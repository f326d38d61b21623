// Package subscriber is what "tinydev subscribe" does with events: it keeps the place of a subscription in a file and runs a program for
// each event.
package subscriber

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/auth"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// saveEvery is how much of what was noted may be forgotten when the process is killed.
const saveEvery = 200 * time.Millisecond

// Cursor is the place of a subscription, kept in a file that one process holds at a time. Its methods may be called by several goroutines.
type Cursor struct {
	path string
	lock *os.File

	mu    sync.Mutex
	place place
	known bool        // there is a place
	timer *time.Timer // saves what was noted; nil when there is nothing
	saved time.Time
	err   error // of a save that nobody waited for
}

// place is what the file holds.
type place struct {
	Position int64  `json:"position"`         // all events up to here are done
	Source   string `json:"source,omitempty"` // the installation whose log it is; "" is not known yet
}

// Open takes the cursor of a file, which need not be there, and holds it until Close or the end of the process.
// Errors: conflict cursor_in_use (field pid); invalid cursor_invalid.
func Open(path string) (*Cursor, error) {
	c := &Cursor{path: path}
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		c.lock, err = os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	}
	if err != nil {
		return nil, unusable(path, err)
	}
	if err := c.take(); err != nil {
		return nil, errors.Join(err, c.lock.Close())
	}
	return c, nil
}

func unusable(path string, err error) *fault.Error {
	return fault.New(fault.Invalid, "cursor_invalid", "the cursor %s cannot be used: %v", path, err).WithHint("name another file with --cursor").Because(err)
}

// take locks the cursor and reads it.
func (c *Cursor) take() error {
	err := syscall.Flock(int(c.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		text, _ := os.ReadFile(c.lock.Name()) // who holds it is only told
		pid := strings.TrimSpace(string(text))
		return fault.New(fault.Conflict, "cursor_in_use", "the cursor %s is in use by process %s", c.path, pid).
			With("pid", pid).WithHint("stop that one, or choose another --name")
	}
	if err == nil {
		err = c.lock.Truncate(0)
	}
	if err == nil {
		_, err = c.lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err == nil {
		err = c.removeHalves()
	}
	if err != nil {
		return unusable(c.path, err)
	}
	text, err := os.ReadFile(c.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return unusable(c.path, err)
	}
	if err := json.Unmarshal(text, &c.place); err != nil || c.place.Position < 0 {
		return fault.New(fault.Invalid, "cursor_invalid", "%s is not the cursor of a subscription", c.path).
			WithHint("name another file with --cursor, or remove this one to begin anew").Because(err)
	}
	c.known = true
	return nil
}

// removeHalves removes what a process that was killed while it saved left behind.
func (c *Cursor) removeHalves() error {
	entries, err := os.ReadDir(filepath.Dir(c.path))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "."+filepath.Base(c.path)+"-") {
			if err := os.Remove(filepath.Join(filepath.Dir(c.path), e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// Position gives the position up to which all is done; ok is false when nothing was saved yet.
func (c *Cursor) Position() (position int64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.place.Position, c.known
}

// Check holds the cursor to the log of one installation; source may be "" where it is not known. Errors: conflict cursor_foreign.
func (c *Cursor) Check(source string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case source == "", source == c.place.Source:
		return nil
	case c.place.Source == "":
		c.place.Source = source
		return nil
	}
	return fault.New(fault.Conflict, "cursor_foreign", "the cursor %s is of another installation: %s, and this is %s", c.path, c.place.Source, source).
		WithHint("choose another --name for this one, or remove the file to begin anew")
}

// Save keeps a position; it survives a loss of power when Save has returned.
func (c *Cursor) Save(position int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.place.Position = position
	return c.save()
}

// Note keeps a position within 200 ms, at once when nothing was saved for so long. An error of an earlier position is given too.
func (c *Cursor) Note(position int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.place.Position = position
	switch {
	case c.err != nil:
		return c.err
	case c.timer != nil:
		return nil
	case time.Since(c.saved) >= saveEvery:
		return c.save()
	}
	c.timer = time.AfterFunc(saveEvery, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.timer != nil {
			c.err = c.save()
		}
	})
	return nil
}

// save writes the place. c.mu is held.
func (c *Cursor) save() error {
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	text, err := json.Marshal(c.place)
	if err == nil {
		err = auth.WriteFile(c.path, append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("save the cursor %s: %w", c.path, err)
	}
	c.known, c.saved = true, time.Now()
	return nil
}

// Close saves what was noted and lets go of the cursor.
func (c *Cursor) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	err := c.err
	if c.timer != nil {
		err = errors.Join(err, c.save())
	}
	return errors.Join(err, c.lock.Close())
}
