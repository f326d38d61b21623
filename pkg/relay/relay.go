// Package relay places committed events in the log and fans them out to subscribers.
//
// NOTIFY only wakes it; what it delivers it reads from the log by position, as PostgreSQL lets the subscriber's role see it. A
// subscriber's memory is bounded: one that falls behind reads on from the log by itself until it has caught up.
package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

const (
	pollEvery     = 5 * time.Second  // what a lost NOTIFY may cost
	tooLong       = 15 * time.Second // a connection that does not answer for so long is taken for dead
	checkEvery    = 30 * time.Second // how long a revoked role's streams may go on
	placeAtOnce   = 1000
	readAtOnce    = 500
	readWindow    = 100_000 // positions that tinydev_impl.read_events_as looks at
	catchUpsAtOne = 4       // slow subscribers that may read from the log at the same time
)

const (
	placeSQL = "select head, placed from tinydev_impl.place($1)"
	readSQL  = `select "position", type, subject, event from tinydev_impl.read_events_as($1, $2, $3)`
)

// Event is one event as it leaves. It is shared between subscribers: read only.
type Event struct {
	Position int64
	Type     string // without the prefix "tinydev."
	Subject  string // workspace.name
	JSON     []byte // CloudEvents 1.0

	sse atomic.Pointer[[]byte]
}

// SSE gives the frame of a server-sent event, with its empty line; it is made at the first call, for all.
func (e *Event) SSE() []byte {
	if made := e.sse.Load(); made != nil {
		return *made
	}
	frame := fmt.Appendf(make([]byte, 0, len(e.JSON)+len(e.Type)+64), "id: %d\nevent: tinydev.%s\ndata: %s\n\n", e.Position, e.Type, e.JSON)
	e.sse.Store(&frame)
	return frame
}

// Relay is the bridge from the log to subscribers. One serves a whole process; several processes may have one each.
//
// One connection does it all: it listens, and on a wake it places and then reads for each role that has subscribers, sent
// together, because each wait for an answer is time that an event is late.
type Relay struct {
	pool *pgxpool.Pool
	log  *slog.Logger

	head     atomic.Int64
	placed   atomic.Int64
	lastGood atomic.Int64 // Unix nanoseconds of the last successful placing
	changed  chan struct{}
	asked    chan struct{}
	reads    chan struct{} // who may read beside the feeds

	mu        sync.Mutex
	ctx       context.Context // of Run; nil before and after
	feeds     map[string]*feed
	count     int
	woken     bool   // there is work that no notification tells of
	interrupt func() // ends the wait for a notification; nil when nobody waits
	done      sync.WaitGroup
}

// New makes a relay. pool logs in as tinydev_server; the listening connection is made as the pool's are, and beside them.
func New(pool *pgxpool.Pool, log *slog.Logger) *Relay {
	return &Relay{pool: pool, log: log, reads: make(chan struct{}, catchUpsAtOne), changed: make(chan struct{}, 1), asked: make(chan struct{}, 1), feeds: map[string]*feed{}}
}

// Head gives the position of the newest event seen.
func (r *Relay) Head() int64 { return r.head.Load() }

// Changed tells that subscriptions may have changed in the database; it is a hint, and one may be lost.
func (r *Relay) Changed() <-chan struct{} { return r.changed }

// Asked tells that runs besides the schedule may be asked for; it is a hint, and one may be lost.
func (r *Relay) Asked() <-chan struct{} { return r.asked }

// Placed gives the number of events that this relay placed.
func (r *Relay) Placed() int64 { return r.placed.Load() }

// Subscribers gives the number of open subscriptions.
func (r *Relay) Subscribers() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// Ready reports whether events were placed and read within the last 15 seconds.
func (r *Relay) Ready() bool {
	return time.Since(time.Unix(0, r.lastGood.Load())) < tooLong
}

// Run places and relays until ctx ends, reconnecting for ever, and then ends all subscriptions. Call it once.
func (r *Relay) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.mu.Lock()
	r.ctx = ctx
	r.mu.Unlock()
	r.done.Add(1)
	go func() {
		defer r.done.Done()
		r.checkRoles(ctx)
	}()
	r.serveForEver(ctx)
	r.mu.Lock()
	r.ctx = nil
	r.mu.Unlock()
	r.endAll("", streamEnded())
	r.done.Wait()
	return nil
}

// serveForEver serves on one connection after the other until ctx ends.
func (r *Relay) serveForEver(ctx context.Context) {
	const shortest, longest = 100 * time.Millisecond, 5 * time.Second
	pause := shortest
	for ctx.Err() == nil {
		began := time.Now()
		err := r.serve(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > longest {
			pause = shortest
		}
		r.log.Warn("the relay's connection is lost, reconnecting", "error", err, "in", pause)
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
		pause = min(2*pause, longest)
	}
}

// serve connects, listens, and works at each wake, until the connection fails or ctx ends.
func (r *Relay) serve(ctx context.Context) error {
	news := true // what came while nobody listened
	conn, err := postgres.Beside(ctx, r.pool, "tinydev relay")
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	pg := conn.PgConn()
	for _, sql := range []string{"listen tinydev_inbox", "listen tinydev", "listen tinydev_subscription", "listen tinydev_run"} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("listen: %w", err)
		}
	}
	for name, sql := range map[string]string{"place": placeSQL, "read": readSQL} {
		if _, err := pg.Prepare(ctx, name, sql, nil); err != nil {
			return fmt.Errorf("prepare to %s: %w", name, err)
		}
	}
	var poll time.Time // which no notification moves
	for {
		if news || !time.Now().Before(poll) {
			more, err := r.work(ctx, pg)
			if err != nil {
				return err
			}
			if more {
				continue
			}
			poll = time.Now().Add(pollEvery)
		}
		n, woken, err := r.wait(ctx, poll, conn.WaitForNotification)
		if err != nil {
			return fmt.Errorf("wait for a notification: %w", err)
		}
		hint := (chan struct{})(nil)
		if n != nil {
			hint = map[string]chan struct{}{"tinydev_subscription": r.changed, "tinydev_run": r.asked}[n.Channel]
		}
		if hint == nil {
			news = n == nil || woken || r.isNews(n, pg.PID())
			continue
		}
		select {
		case hint <- struct{}{}:
		default:
		}
		news = woken
	}
}

// wait gives the next notification; nil at the time of the next poll, or when woken. woken tells that it was before, whatever was there besides.
func (r *Relay) wait(ctx context.Context, poll time.Time, next func(context.Context) (*pgconn.Notification, error)) (n *pgconn.Notification, woken bool, err error) {
	waiting, cancel := context.WithDeadline(ctx, poll)
	defer cancel()
	r.mu.Lock()
	woken = r.woken
	if woken {
		cancel()
	}
	r.woken, r.interrupt = false, cancel
	r.mu.Unlock()
	n, err = next(waiting)
	r.mu.Lock()
	r.interrupt = nil
	r.mu.Unlock()
	if err != nil && waiting.Err() != nil && ctx.Err() == nil {
		return nil, woken, nil
	}
	return n, woken, err
}

// isNews reports whether a notification is worth a look: not what this connection placed itself, nor a position that was seen.
// Anybody may send anything.
func (r *Relay) isNews(n *pgconn.Notification, self uint32) bool {
	if n.Channel != "tinydev" {
		return true
	}
	position, err := strconv.ParseInt(n.Payload, 10, 64)
	return n.PID != self && (err != nil || position > r.Head())
}

// wake has the log looked at once more. r.mu is held.
func (r *Relay) wake() {
	r.woken = true
	if r.interrupt != nil {
		r.interrupt()
	}
}

// work places what is in the inbox, reads on for each feed, and gives the events out. The statements travel together, each in a
// transaction of its own: what was placed is committed before it is read, and one role's trouble is no other's. more says that
// there is more to do at once. An error means that the connection is lost.
func (r *Relay) work(ctx context.Context, conn *pgconn.PgConn) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, tooLong)
	defer cancel()
	feeds := r.snapshot()
	pipeline := conn.StartPipeline(ctx)
	defer func() {
		if e := pipeline.Close(); err == nil && e != nil && conn.IsClosed() {
			err = e
		}
	}()
	pipeline.SendQueryPrepared("place", [][]byte{strconv.AppendInt(nil, placeAtOnce, 10)}, nil, nil)
	pipeline.SendPipelineSync()
	for _, f := range feeds {
		pipeline.SendQueryPrepared("read", readArguments(f.role, f.cursor), nil, nil)
		pipeline.SendPipelineSync()
	}
	if err := pipeline.Flush(); err != nil {
		return false, fmt.Errorf("send: %w", err)
	}
	before := r.Head()
	var head, placed int64
	err = results(pipeline, func(row [][]byte) (err error) {
		if head, err = strconv.ParseInt(string(row[0]), 10, 64); err == nil {
			placed, err = strconv.ParseInt(string(row[1]), 10, 64)
		}
		return err
	})
	if err != nil {
		// A new connection tries again, after a pause.
		return false, fmt.Errorf("place events: %w", err)
	}
	// Not before: the row comes ahead of the commit, and who reads up to a head that is not committed passes over what comes there.
	r.head.Store(head)
	r.placed.Add(placed)
	more = placed == placeAtOnce
	if r.Head() < before {
		// Subscribers are at positions that the log will reach again; who comes back is told so.
		r.endAll("", logRestored())
		return false, fmt.Errorf("the log was restored: it ends at %d, and ended at %d before", r.Head(), before)
	}
	for _, f := range feeds {
		var events []*Event
		err := results(pipeline, func(row [][]byte) error {
			e, err := newEvent(row)
			events = append(events, e)
			return err
		})
		if conn.IsClosed() {
			return false, fmt.Errorf("read events: %w", err)
		}
		if err != nil {
			r.log.Warn("the log cannot be read, trying again", "role", f.role, "error", err)
			r.checkRole(ctx, f.role)
			continue
		}
		if f.give(events, lookedAt(f.cursor, r.Head(), events)) < r.Head() {
			more = true
		}
	}
	r.lastGood.Store(time.Now().UnixNano())
	return more, nil
}

// results reads the answer to one statement of a pipeline and its synchronization.
func results(pipeline *pgconn.Pipeline, each func(row [][]byte) error) error {
	var failure error
	for {
		answer, err := pipeline.GetResults()
		if err != nil {
			var pg *pgconn.PgError
			if !errors.As(err, &pg) {
				return err
			}
			failure = err
			continue
		}
		switch answer := answer.(type) {
		case *pgconn.ResultReader:
			for answer.NextRow() {
				if err := each(answer.Values()); err != nil && failure == nil {
					failure = err
				}
			}
			if _, err := answer.Close(); err != nil && failure == nil {
				failure = err
			}
		case *pgconn.PipelineSync:
			return failure
		case nil:
			return errors.Join(failure, errors.New("the connection ended within an answer"))
		}
	}
}

func (r *Relay) snapshot() []*feed {
	r.mu.Lock()
	defer r.mu.Unlock()
	feeds := make([]*feed, 0, len(r.feeds))
	for _, f := range r.feeds {
		feeds = append(feeds, f)
	}
	return feeds
}

// checkRoles ends the subscriptions of roles that may have no session any more.
func (r *Relay) checkRoles(ctx context.Context) {
	check := time.NewTicker(checkEvery)
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-check.C:
			for _, f := range r.snapshot() {
				r.checkRole(ctx, f.role)
			}
		}
	}
}

func (r *Relay) checkRole(ctx context.Context, role string) {
	_, err := r.pool.Exec(ctx, "select tinydev_impl.require_session($1)", role)
	if err = postgres.Fault(err, ""); fault.KindOf(err) == fault.Forbidden {
		r.endAll(role, err)
	}
}

// read gives up to readAtOnce events after a position that role may see, and the position up to which all was looked at.
func (r *Relay) read(ctx context.Context, role string, after int64) (events []*Event, upTo int64, err error) {
	head := r.Head() // committed before the read, so the read sees all up to it
	conn, err := r.pool.Acquire(ctx)
	if err != nil {
		return nil, after, err
	}
	defer conn.Release()
	result := conn.Conn().PgConn().ExecParams(ctx, readSQL, readArguments(role, after), nil, nil, nil)
	for result.NextRow() {
		e, err := newEvent(result.Values())
		if err != nil {
			result.Close()
			return nil, after, err
		}
		events = append(events, e)
	}
	if _, err := result.Close(); err != nil {
		return nil, after, err
	}
	return events, lookedAt(after, head, events), nil
}

func readArguments(role string, after int64) [][]byte {
	return [][]byte{[]byte(role), strconv.AppendInt(nil, after, 10), strconv.AppendInt(nil, readAtOnce, 10)}
}

// newEvent reads a row of readSQL in text format.
func newEvent(row [][]byte) (*Event, error) {
	position, err := strconv.ParseInt(string(row[0]), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("read a position: %w", err)
	}
	return &Event{Position: position, Type: string(row[1]), Subject: string(row[2]), JSON: bytes.Clone(row[3])}, nil
}

// lookedAt gives the position up to which a read after after has looked at all, when head was committed before it.
func lookedAt(after, head int64, events []*Event) int64 {
	upTo := max(after, min(head, after+readWindow))
	if n := len(events); n > 0 {
		if last := events[n-1].Position; n == readAtOnce || last > upTo {
			upTo = last
		}
	}
	return upTo
}

var errEnded = errors.New("the relay has ended")
