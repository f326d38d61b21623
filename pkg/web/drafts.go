package web

import (
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
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
	limit int64 // bytes of one file; 0 is none
	total int64 // bytes of all; 0 is no limit
	log   *slog.Logger

	mu   sync.Mutex
	byID map[string]*draft
}

func newDrafts(dir string, limit, total int64, log *slog.Logger) *drafts {
	return &drafts{dir: dir, limit: limit, total: total, log: log, byID: map[string]*draft{}}
}

// add writes the file to disk, where it stays for draftLife. Errors: those of ingest.NewSpool; storage_full spool_full.
func (d *drafts) add(role, name string, body io.Reader, now time.Time) (*draft, error) {
	spool, err := ingest.NewSpool(body, d.dir, d.limit)
	if err != nil {
		return nil, err
	}
	added := &draft{id: rand.Text(), role: role, name: name, spool: spool, at: now}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.byID[added.id] = added
	d.sweep(role, now)
	if d.total > 0 && d.bytes() > d.total {
		d.delete(added)
		return nil, fault.New(fault.Storage, "spool_full", "the files that wait to be loaded take more than %d bytes", d.total).
			WithHint("load those that were sent before, or try again in an hour")
	}
	time.AfterFunc(draftLife+time.Second, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.sweep("", time.Now())
	})
	return added, nil
}

func (d *drafts) bytes() (sum int64) {
	for _, each := range d.byID {
		sum += each.spool.Size
	}
	return sum
}

// sweep removes what is too old, and the role's oldest when there are too many.
func (d *drafts) sweep(role string, now time.Time) {
	for {
		var oldest *draft
		held := 0
		for _, each := range d.byID {
			if now.Sub(each.at) > draftLife {
				d.delete(each)
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
			return
		}
		d.delete(oldest)
	}
}

// delete forgets a draft. A file that cannot be removed is gone with the next start.
func (d *drafts) delete(gone *draft) {
	delete(d.byID, gone.id)
	if err := gone.spool.Remove(); err != nil {
		d.log.Warn("a file that was not loaded stays until the next start", "error", err)
	}
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
func (d *drafts) remove(gone *draft) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.delete(gone)
}

func (d *drafts) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for _, each := range d.byID {
		errs = append(errs, each.spool.Remove())
	}
	clear(d.byID)
	return errors.Join(errs...)
}
