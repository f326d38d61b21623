package relay

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
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
	cursor int64 // all up to here was sent or passed over; the owner's
}

// Start gives the position after which the subscription began.
func (s *Subscription) Start() int64 { return s.start }

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

// Subscribe starts a stream for role after a position; -1 starts at the head, that is, with what comes next.
// Errors: forbidden not_a_user; conflict position_ahead when the log does not reach so far; unavailable stream_ended when the
// relay does not run.
func (r *Relay) Subscribe(ctx context.Context, role string, after int64, filter Filter) (*Subscription, error) {
	if _, err := r.pool.Exec(ctx, "select tinydev_impl.require_session($1)", role); err != nil {
		return nil, postgres.Fault(err, "")
	}
	var head int64
	if err := r.pool.QueryRow(ctx, "select head from tinydev.event_head()").Scan(&head); err != nil {
		return nil, postgres.Fault(err, "")
	}
	if after > head {
		return nil, fault.New(fault.Conflict, "position_ahead", "the log ends at %d, before position %d", head, after).
			WithHint("the position is of another log, or of one that was restored: start again without one").With("head", head)
	}
	if after < 0 {
		after = head
	}
	s := &Subscription{relay: r, match: filter.compile(), events: make(chan *Event, buffered), closed: make(chan struct{}), start: after, cursor: after}
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
		events, upTo, err := s.relay.read(ctx, s.feed.role, s.cursor)
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
		s.cursor = upTo
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
	if s.cursor < s.feed.cursor {
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
	for _, e := range events {
		if e.Position <= s.cursor || !s.match.matches(e) {
			continue
		}
		select {
		case s.events <- e:
			s.cursor = e.Position
		default:
			s.cursor = e.Position - 1
			delete(f.live, s)
			f.relay.done.Add(1)
			go s.catchUp(f.ctx)
			return
		}
	}
	s.cursor = max(s.cursor, f.cursor)
}
