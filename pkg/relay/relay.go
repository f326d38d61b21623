// Package relay places committed events in the log and fans them out to subscribers.
//
// NOTIFY only wakes it; what it delivers it reads from the log by position, as PostgreSQL lets the subscriber's role see it. A
// subscriber's memory is bounded: one that falls behind reads on from the log by itself until it has caught up.
package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

const (
	pollEvery     = 5 * time.Second  // what a lost NOTIFY may cost
	deafAfter     = 15 * time.Second // a listener that misses three heartbeats is taken for dead
	checkEvery    = 30 * time.Second // how long a revoked role's streams may go on
	placeAtOnce   = 1000
	readAtOnce    = 500
	catchUpsAtOne = 4 // slow subscribers that may read from the log at the same time
	retryAfter    = 500 * time.Millisecond
	heartbeat     = "heartbeat"
)

// Event is one event as it leaves. It is shared between subscribers: read only.
type Event struct {
	Position int64
	Type     string // without the prefix "tinydev."
	Subject  string // workspace.name
	JSON     []byte // CloudEvents 1.0
	SSE      []byte // the frame of a server-sent event, with its empty line
}

// Relay is the bridge from the log to subscribers. One serves a whole process; several processes may have one each.
type Relay struct {
	pool *pgxpool.Pool
	url  string
	log  *slog.Logger

	head     atomic.Int64
	placed   atomic.Int64
	lastGood atomic.Int64  // Unix nanoseconds of the last successful placing
	placer   atomic.Uint32 // process id of the backend that placed last for this relay
	work     chan struct{}
	reads    chan struct{}

	mu    sync.Mutex
	ctx   context.Context // of Run; nil before and after
	feeds map[string]*feed
	count int
	done  sync.WaitGroup
}

// New makes a relay. pool and url log in as tinydev_server; url is for the listening connection, which is the relay's own.
func New(pool *pgxpool.Pool, url string, log *slog.Logger) *Relay {
	return &Relay{pool: pool, url: url, log: log, work: make(chan struct{}, 1), reads: make(chan struct{}, catchUpsAtOne), feeds: map[string]*feed{}}
}

// Head gives the position of the newest event seen.
func (r *Relay) Head() int64 { return r.head.Load() }

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
	return time.Since(time.Unix(0, r.lastGood.Load())) < deafAfter
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
		r.listenForEver(ctx)
	}()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	r.place(ctx)
	for {
		select {
		case <-ctx.Done():
			r.mu.Lock()
			r.ctx = nil
			r.mu.Unlock()
			r.endAll("", streamEnded())
			r.done.Wait()
			return nil
		case <-r.work:
		case <-poll.C:
			r.sendHeartbeat(ctx)
		}
		r.place(ctx)
	}
}

// wake has the events placed and read; calls while it is under way become one.
func (r *Relay) wake() {
	select {
	case r.work <- struct{}{}:
	default:
	}
}

func (r *Relay) place(ctx context.Context) {
	for {
		head, placed, err := r.placeSome(ctx)
		if err != nil {
			if ctx.Err() == nil {
				r.log.Warn("events are not placed, trying again", "error", err, "in", retryAfter)
				time.AfterFunc(retryAfter, r.wake)
			}
			return
		}
		r.lastGood.Store(time.Now().UnixNano())
		r.placed.Add(int64(placed))
		if r.head.Swap(head) != head {
			r.wakeFeeds()
		}
		if placed < placeAtOnce {
			return
		}
	}
}

func (r *Relay) placeSome(ctx context.Context) (head int64, placed int, err error) {
	conn, err := r.pool.Acquire(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer conn.Release()
	r.placer.Store(conn.Conn().PgConn().PID())
	err = conn.QueryRow(ctx, "select head, placed from tinydev_impl.place($1)", placeAtOnce).Scan(&head, &placed)
	return head, placed, err
}

func (r *Relay) wakeFeeds() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.feeds {
		f.wakeUp()
	}
}

// sendHeartbeat gives the listener something to hear, so that a dead connection shows.
func (r *Relay) sendHeartbeat(ctx context.Context) {
	if _, err := r.pool.Exec(ctx, "select pg_catalog.pg_notify('tinydev_inbox', $1)", heartbeat); err != nil && ctx.Err() == nil {
		r.log.Debug("no heartbeat", "error", err)
	}
}

func (r *Relay) listenForEver(ctx context.Context) {
	const shortest, longest = 100 * time.Millisecond, 5 * time.Second
	pause := shortest
	for ctx.Err() == nil {
		began := time.Now()
		err := r.listen(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > longest {
			pause = shortest
		}
		r.log.Warn("the listening connection is lost, reconnecting", "error", err, "in", pause)
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause/2)):
		}
		pause = min(2*pause, longest)
	}
}

func (r *Relay) listen(ctx context.Context) error {
	conn, err := postgres.Connect(ctx, r.url, "tinydev listen")
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, channel := range []string{"tinydev_inbox", "tinydev"} {
		if _, err := conn.Exec(ctx, "listen "+channel); err != nil {
			return fmt.Errorf("listen: %w", err)
		}
	}
	r.wake() // what came while nobody listened
	for {
		waiting, cancel := context.WithTimeout(ctx, deafAfter)
		n, err := conn.WaitForNotification(waiting)
		cancel()
		if err != nil {
			return fmt.Errorf("wait for a notification: %w", err)
		}
		if n.Payload == heartbeat {
			continue
		}
		// What we place is no news, and is heard before the placing has returned: a second one would only delay the reading.
		if n.Channel == "tinydev" && n.PID == r.placer.Load() {
			continue
		}
		// Anybody may send anything here: a position that was seen is no news, all else is worth a look.
		if position, err := strconv.ParseInt(n.Payload, 10, 64); n.Channel == "tinydev" && err == nil && position <= r.Head() {
			continue
		}
		r.wake()
	}
}

// read gives up to readAtOnce events after a position that role may see, and the position up to which all was looked at.
func (r *Relay) read(ctx context.Context, role string, after int64) (events []*Event, upTo int64, err error) {
	const window = 100_000 // of tinydev_impl.read_events_as
	head := r.Head()       // committed before the read, so the read sees all up to it
	rows, err := r.pool.Query(ctx, `select "position", type, subject, event from tinydev_impl.read_events_as($1, $2, $3)`, role, after, readAtOnce)
	if err != nil {
		return nil, after, err
	}
	events, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (*Event, error) {
		e := &Event{}
		if err := row.Scan(&e.Position, &e.Type, &e.Subject, &e.JSON); err != nil {
			return nil, err
		}
		e.SSE = fmt.Appendf(make([]byte, 0, len(e.JSON)+len(e.Type)+64), "id: %d\nevent: tinydev.%s\ndata: %s\n\n", e.Position, e.Type, e.JSON)
		return e, nil
	})
	if err != nil {
		return nil, after, err
	}
	upTo = max(after, min(head, after+window))
	if n := len(events); n > 0 {
		last := events[n-1].Position
		if n == readAtOnce || last > upTo {
			upTo = last
		}
	}
	return events, upTo, nil
}

var errEnded = errors.New("the relay has ended")
