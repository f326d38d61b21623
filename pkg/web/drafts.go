package web

import (
	"crypto/rand"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/ingest"
)

// A draft is kept this long, and a user has this many; the oldest goes first.
const (
	draftLife     = time.Hour
	draftsPerUser = 4
)

// draft is a file that was sent and is looked at before it becomes a table. Only the role that sent it can use it.
type draft struct {
	id, role string
	name     string // as the browser called it, without folders
	spool    *ingest.Spool
	at       time.Time
}

// drafts hold the files between their preview and their load, on this server's disk.
type drafts struct {
	dir   string
	limit int64

	mu   sync.Mutex
	byID map[string]*draft
}

func newDrafts(dir string, limit int64) *drafts {
	return &drafts{dir: dir, limit: limit, byID: map[string]*draft{}}
}

// add writes the file to disk. Errors are those of ingest.NewSpool.
func (d *drafts) add(role, name string, body io.Reader, now time.Time) (*draft, error) {
	spool, err := ingest.NewSpool(body, d.dir, d.limit)
	if err != nil {
		return nil, err
	}
	added := &draft{id: rand.Text(), role: role, name: name, spool: spool, at: now}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.byID[added.id] = added
	return added, d.sweep(role, now)
}

// sweep removes what is too old, and the role's oldest when there are too many.
func (d *drafts) sweep(role string, now time.Time) error {
	var errs []error
	for {
		var oldest *draft
		held := 0
		for _, each := range d.byID {
			if now.Sub(each.at) > draftLife {
				errs = append(errs, d.delete(each))
				continue
			}
			if each.role != role {
				continue
			}
			if held++; oldest == nil || each.at.Before(oldest.at) {
				oldest = each
			}
		}
		if held <= draftsPerUser {
			return errors.Join(errs...)
		}
		errs = append(errs, d.delete(oldest))
	}
}

func (d *drafts) delete(gone *draft) error {
	delete(d.byID, gone.id)
	return gone.spool.Remove()
}

// find gives a draft of role. Errors: not_found draft_not_found.
func (d *drafts) find(role, id string) (*draft, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	found, ok := d.byID[id]
	if !ok || found.role != role {
		return nil, fault.New(fault.NotFound, "draft_not_found", "the file is not kept any more").
			WithHint("files wait for an hour, and only until the server restarts; choose the file again")
	}
	return found, nil
}

// remove forgets a draft and deletes its file.
func (d *drafts) remove(gone *draft) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.delete(gone)
}

func (d *drafts) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for _, each := range d.byID {
		errs = append(errs, d.delete(each))
	}
	return errors.Join(errs...)
}
