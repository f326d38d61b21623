package relay

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

// buffered is how many events a subscriber may be behind before it reads on from the log.
const buffered = 512

// Subscription is one reader of the stream.
//
// Its channel has one owner at a time, who sends and in the end closes: the feed while it is live, else its own catchUp.
type Subscription struct {
	relay  *Relay
	feed   *feed
	match  matcher
	events chan *Event
	closed chan struct{}
	once   sync.Once
	err    error // set before closed is closed
	start  int64
	reset  *Reset
	cursor atomic.Int64 // all up to here was sent or passed over; written by the owner
}

// Reset says that a subscription could not begin where it was asked to.
type Reset struct {
	Oldest int64 `json:"oldest"` // position of the oldest event that may still be there
	Head   int64 `json:"head"`   // position of the newest
	Asked  int64 `json:"asked"`  // position after which to begin
}

// Start gives the position after which the subscription began.
func (s *Subscription) Start() int64 { return s.start }

// Reset is nil when the subscription began where it was asked to. Otherwise events may be missing before Start: those that are not
// kept any more, or, where Asked is beyond Head, those of a log that was restored.
func (s *Subscription) Reset() *Reset { return s.reset }

// LookedAt gives the position up to which every event was looked at and either does not pass the filter or was put into Events. It moves on
// with the log also when nothing passes the filter.
//
// It is a cursor once Events was found empty after it was read, in this order: then all up to it was taken. Before that what is still
// in Events may lie below it.
func (s *Subscription) LookedAt() int64 { return s.cursor.Load() }

// Events gives the events in order, without holes and without repeats; it is closed when the subscription ends.
func (s *Subscription) Events() <-chan *Event { return s.events }

// Err says why Events was closed: nil after Close, else forbidden not_a_user or unavailable stream_ended.
func (s *Subscription) Err() error {
	select {
	case <-s.closed:
		return s.err
	default:
		return nil
	}
}

// Close ends the subscription. It may be called several times.
func (s *Subscription) Close() { s.end(nil) }

func (s *Subscription) end(err error) {
	s.once.Do(func() {
		s.err = err
		close(s.closed)
		s.relay.leave(s)
	})
}

// Subscribe starts a stream for role after a position; -1 starts at the head, that is, with what comes next. A position before what the
// log still holds starts with the oldest, and is a Reset.
// Errors: forbidden not_a_user; conflict position_ahead when the log does not reach so far; unavailable stream_ended when the
// relay does not run.
func (r *Relay) Subscribe(ctx context.Context, role string, after int64, filter Filter) (*Subscription, error) {
	return r.subscribe(ctx, role, after, filter, false)
}

// Resume is Subscribe for who had read the log up to a position: where the log, restored, does not reach so far it starts at the head,
// and is a Reset. Errors: those of Subscribe without position_ahead.
func (r *Relay) Resume(ctx context.Context, role string, after int64, filter Filter) (*Subscription, error) {
	return r.subscribe(ctx, role, after, filter, true)
}

func (r *Relay) subscribe(ctx context.Context, role string, after int64, filter Filter, resume bool) (*Subscription, error) {
	var head, oldest int64
	err := r.pool.QueryRow(ctx, "select h.head, h.oldest from tinydev_impl.require_session($1), tinydev.event_head() h", role).Scan(&head, &oldest)
	if err != nil {
		return nil, postgres.Fault(err, "")
	}
	s := &Subscription{relay: r, match: filter.compile(), events: make(chan *Event, buffered), closed: make(chan struct{}), start: after}
	switch {
	case after < 0:
		s.start = head
	case after > head && !resume:
		return nil, fault.New(fault.Conflict, "position_ahead", "the log ends at %d, before position %d", head, after).
			WithHint("the position is of another log, or of one that was restored: start again without one").With("head", head)
	case after > head:
		s.start, s.reset = head, &Reset{oldest, head, after}
	case after < oldest-1:
		s.start, s.reset = oldest-1, &Reset{oldest, head, after}
	}
	s.cursor.Store(s.start)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx == nil {
		return nil, streamEnded()
	}
	f := r.feeds[role]
	if f == nil {
		f = &feed{relay: r, role: role, cursor: r.Head(), live: map[*Subscription]struct{}{}, all: map[*Subscription]struct{}{}}
		f.ctx, f.stop = context.WithCancel(r.ctx)
		r.feeds[role] = f
		r.wake() // work that is under way does not read for it
	}
	s.feed = f
	f.all[s] = struct{}{}
	r.count++
	r.done.Add(1)
	go s.catchUp(f.ctx)
	return s, nil
}

func streamEnded() error {
	return fault.New(fault.Unavailable, "stream_ended", "the server is stopping").WithHint("reconnect with Last-Event-ID").Because(errEnded)
}

func logRestored() error {
	return fault.New(fault.Unavailable, "stream_ended", "the log was restored to an earlier state").WithHint("reconnect with Last-Event-ID")
}

// leave takes s out of its feed, and the feed out when s was its last.
func (r *Relay) leave(s *Subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := s.feed
	delete(f.all, s)
	r.count--
	f.mu.Lock()
	if _, live := f.live[s]; live {
		delete(f.live, s)
		close(s.events)
	}
	f.mu.Unlock()
	if len(f.all) == 0 {
		f.stop()
		delete(r.feeds, f.role)
	}
}

// endAll ends all subscriptions, or those of one role.
func (r *Relay) endAll(role string, err error) {
	r.mu.Lock()
	var all []*Subscription
	for _, f := range r.feeds {
		if role == "" || f.role == role {
			all = slices.AppendSeq(all, maps.Keys(f.all))
		}
	}
	r.mu.Unlock()
	for _, s := range all {
		s.end(err)
	}
}

// catchUp sends what is in the log after the cursor and then joins the feed. It is the channel's owner until then.
func (s *Subscription) catchUp(ctx context.Context) {
	defer s.relay.done.Done()
	for !s.join() {
		select {
		case <-s.closed:
			close(s.events)
			return
		case s.relay.reads <- struct{}{}:
		}
		events, upTo, err := s.relay.read(ctx, s.feed.role, s.cursor.Load())
		<-s.relay.reads
		if err != nil {
			s.relay.log.Debug("a subscriber cannot read on, trying again", "role", s.feed.role, "error", err)
			select {
			case <-s.closed:
			case <-time.After(time.Second/2 + rand.N(time.Second)):
			}
			continue
		}
		for _, e := range events {
			if !s.match.matches(e) {
				continue
			}
			select {
			case s.events <- e:
			case <-s.closed:
				close(s.events)
				return
			}
		}
		s.cursor.Store(upTo)
	}
}

// join hands the channel to the feed once it has caught up with it.
func (s *Subscription) join() bool {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	select {
	case <-s.closed:
		return false
	default:
	}
	if s.cursor.Load() < s.feed.cursor {
		return false
	}
	s.feed.live[s] = struct{}{}
	return true
}

// feed is what the relay reads of the log for all subscribers of one role.
type feed struct {
	relay *Relay
	role  string
	ctx   context.Context
	stop  context.CancelFunc
	all   map[*Subscription]struct{} // guarded by relay.mu

	mu     sync.Mutex
	cursor int64 // written by the relay's work alone
	live   map[*Subscription]struct{}
}

// give hands what was read up to a position to the live subscribers, and returns that position.
func (f *feed) give(events []*Event, upTo int64) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cursor = upTo
	for s := range f.live {
		f.send(s, events)
	}
	return upTo
}

// send gives events to a live subscriber. One whose buffer is full reads on from the log by itself. f.mu is held.
func (f *feed) send(s *Subscription, events []*Event) {
	cursor := s.cursor.Load()
	for _, e := range events {
		if e.Position <= cursor || !s.match.matches(e) {
			continue
		}
		select {
		case s.events <- e:
		default:
			s.cursor.Store(e.Position - 1)
			delete(f.live, s)
			f.relay.done.Add(1)
			go s.catchUp(f.ctx)
			return
		}
	}
	if f.cursor > cursor {
		s.cursor.Store(f.cursor)
	}
}
