package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tinydevcrm/tinydevcrm/pkg/auth"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/relay"
)

const (
	streamPath       = "/v1/events/stream"
	defaultHeartbeat = 15 * time.Second
	defaultRecheck   = 25 * time.Second
	recheckLimit     = 10 * time.Second // for one answer

	defaultStreams         = 20_000
	defaultStreamsPerToken = 100

	// What a client whose stream is lost is told to wait is drawn for each stream, so that they do not all come back at once. One
	// that ends because the server stops is told to wait longer, and the more there are the more they are spread.
	retryLeast     = time.Second
	retrySpread    = 4 * time.Second
	stoppingLeast  = 3 * time.Second
	stoppingSpread = 2 * time.Millisecond // for each stream, beside retrySpread

	writeAtOnce = 32 << 10 // bytes of waiting events
)

// streams knows the open streams, by the token or page session that opened them.
type streams struct {
	recheck, heartbeat time.Duration
	most, mostPerToken int

	mu      sync.Mutex
	count   int
	peak    int // the most that were ever open
	holders map[holderKey]*holder
}

// holderKey tells tokens, page sessions and JWTs apart.
type holderKey struct {
	id         int64 // of a token or a page session
	role, name string
	expires    int64
}

// holder is a token with open streams. One watch looks after all of them.
type holder struct {
	ctx   context.Context // ends, for the reason that is its cause, when the token is good no more
	end   context.CancelCauseFunc
	count int
}

func newStreams(o Options) *streams {
	return &streams{recheck: cmp.Or(o.RecheckEvery, defaultRecheck), heartbeat: cmp.Or(o.HeartbeatEvery, defaultHeartbeat),
		most: cmp.Or(o.MaxStreams, defaultStreams), mostPerToken: cmp.Or(o.MaxStreamsPerToken, defaultStreamsPerToken),
		holders: map[holderKey]*holder{}}
}

// enter counts a stream of a principal; leave is called when it ends. watch runs as long as there are any of the same token.
// Errors: unavailable streams_limit.
func (s *streams) enter(p auth.Principal, watch func(*holder)) (h *holder, leave func(), err error) {
	key := holderKey{id: p.TokenID}
	if p.TokenID == 0 { // a JWT
		key = holderKey{role: p.Role, name: p.TokenName, expires: p.Expires.UnixNano()}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	h = s.holders[key]
	switch {
	case s.count >= s.most:
		return nil, nil, fault.New(fault.Unavailable, "streams_limit", "%d streams of events are open, which is all that the server takes", s.count).
			WithHint("try again later; TINYDEV_MAX_STREAMS raises the limit")
	case h != nil && h.count >= s.mostPerToken:
		return nil, nil, fault.New(fault.Unavailable, "streams_limit", "this token follows %d streams of events already", h.count).
			WithHint("close some, try again later, or use another token; TINYDEV_MAX_STREAMS_PER_TOKEN raises the limit")
	case h == nil:
		h = &holder{}
		h.ctx, h.end = context.WithCancelCause(context.Background())
		s.holders[key] = h
		go func() {
			watch(h)
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.holders[key] == h { // who comes now is asked anew
				delete(s.holders, key)
			}
		}()
	}
	h.count++
	s.count++
	s.peak = max(s.peak, s.count)
	return h, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.count--
		if h.count--; h.count == 0 {
			h.end(nil)
			if s.holders[key] == h {
				delete(s.holders, key)
			}
		}
	}, nil
}

// retry gives how long a client whose stream is lost is to wait.
func (s *streams) retry(stopping bool) time.Duration {
	if !stopping {
		return retryLeast + rand.N(retrySpread)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return stoppingLeast + rand.N(retrySpread+time.Duration(s.peak)*stoppingSpread)
}

// streamEvents answers GET /v1/events/stream; 409 position_ahead, 422 position_invalid, 429 streams_limit, 503 stream_ended.
//
// A position beyond the log is refused where a person or a program wrote it, in after. In Last-Event-ID, which clients send by themselves,
// it means that the log was restored: an EventSource would give up for ever when refused, so it is told by a reset and goes on with
// what comes next.
func (s *Service) streamEvents(ctx context.Context, in *streamInput) (*huma.StreamResponse, error) {
	after, subscribe := in.After, s.relay.Subscribe
	if in.LastEventID != "" {
		position, err := strconv.ParseInt(in.LastEventID, 10, 64)
		if err != nil || position < 0 {
			return nil, fault.New(fault.Invalid, "position_invalid", "Last-Event-ID %q is no position", in.LastEventID).
				WithHint("send the id of the last event that was seen")
		}
		after, subscribe = position, s.relay.Resume
	}
	principal := auth.PrincipalFrom(ctx)
	h, leave, err := s.streams.enter(principal, func(h *holder) { s.watch(h, principal) })
	if err != nil {
		return nil, err
	}
	var sub *relay.Subscription
	apart(func() {
		sub, err = subscribe(ctx, principal.Role, after, relay.Filter{Types: in.Types, Subjects: in.Subjects})
	})
	if err != nil {
		leave()
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		defer leave()
		defer sub.Close()
		hctx.SetHeader("Content-Type", "text/event-stream; charset=utf-8")
		hctx.SetHeader("X-Accel-Buffering", "no") // nginx would keep events back
		hctx.SetStatus(http.StatusOK)
		_, response := unwrap(hctx)
		st := &stream{Service: s, sub: sub, w: response, flush: http.NewResponseController(response.Writer).Flush}
		if err := st.send(ctx, h); err != nil {
			s.log.DebugContext(ctx, "a stream ended", "request_id", requestFrom(ctx).id, "error", err)
		}
	}}, nil
}

// apart runs f on a stack of its own. A stream would keep what f made its stack grow by for as long as it is open: 8 kB.
func apart(f func()) {
	panicked := make(chan any)
	go func() {
		defer func() { panicked <- recover() }()
		f()
	}()
	if p := <-panicked; p != nil {
		panic(p)
	}
}

// watch ends the streams of a token as soon as who follows them may not any more: at its expiry, and at the next check after it was
// revoked, the page signed out, or the role is no user. When that cannot be told for two checks they end too.
func (s *Service) watch(h *holder, p auth.Principal) {
	ticker := time.NewTicker(s.streams.recheck)
	defer ticker.Stop()
	var expiry <-chan time.Time
	if !p.Expires.IsZero() {
		timer := time.NewTimer(time.Until(p.Expires))
		defer timer.Stop()
		expiry = timer.C
	}
	for missed := 0; ; {
		select {
		case <-h.ctx.Done():
			return
		case <-expiry:
		case <-ticker.C:
		}
		asked, cancel := context.WithTimeout(h.ctx, recheckLimit)
		err := s.auth.Recheck(asked, p)
		cancel()
		switch kind := fault.KindOf(err); {
		case err == nil:
			missed = 0
		case kind == fault.Unauthentic, kind == fault.Forbidden, missed > 0:
			h.end(err)
			return
		default:
			missed++
		}
	}
}

// stream is one client that follows the events.
type stream struct {
	*Service
	sub   *relay.Subscription
	w     http.ResponseWriter
	flush func() error
	last  int64 // position of the last event that was written
}

// send writes events until the client is gone, may not follow any more, or the subscription ends.
func (st *stream) send(ctx context.Context, h *holder) error {
	var err error
	if apart(func() { err = st.begin() }); err != nil {
		return err
	}
	heartbeat := time.NewTicker(st.streams.heartbeat)
	defer heartbeat.Stop()
	gone, ended, events := ctx.Done(), h.ctx.Done(), st.sub.Events() // not to be looked for with every event
	for open := true; open; {
		select {
		case <-gone:
			return context.Cause(ctx)
		case <-ended:
			return st.end(context.Cause(h.ctx))
		case <-heartbeat.C:
			open, err = st.beat()
		case event, ok := <-events:
			if open = ok; ok {
				open, err = st.write(event)
			}
		}
		if err == nil {
			err = st.flush()
		}
		if err != nil {
			return err
		}
	}
	return st.end(st.sub.Err())
}

// begin tells the start, so that a client who loses the stream before its first event resumes there, and whether it is where the client
// asked for.
func (st *stream) begin() error {
	st.last = st.sub.Start()
	text := fmt.Appendf(nil, "retry: %d\nid: %d\n", st.streams.retry(false).Milliseconds(), st.last)
	if reset := st.sub.Reset(); reset != nil {
		data, err := json.Marshal(reset)
		if err != nil {
			return fmt.Errorf("encode a reset: %w", err)
		}
		text = fmt.Appendf(text, "event: reset\ndata: %s\n", data)
	}
	if _, err := st.w.Write(append(text, '\n')); err != nil {
		return err
	}
	return st.flush()
}

// beat is a sign of life that tells the head of the log, and as the id from which to resume the position up to which all was looked at:
// a client whose filter lets little through does not stay behind. What waits is written before, so nothing that was not is below that.
func (st *stream) beat() (open bool, err error) {
	lookedAt := st.sub.LookedAt()
	open = true
	select {
	case event, ok := <-st.sub.Events():
		if !ok {
			return false, nil
		}
		if open, err = st.write(event); err != nil {
			return open, err
		}
	default:
	}
	st.last = max(st.last, lookedAt)
	_, err = fmt.Fprintf(st.w, ": head %d\nid: %d\n\n", max(st.relay.Head(), st.last), st.last)
	return open, err
}

var batches = sync.Pool{New: func() any { return &[writeAtOnce]byte{} }}

// write writes an event and all that wait behind it, in as few pieces as may be; open is false when the subscription has ended.
func (st *stream) write(event *relay.Event) (open bool, err error) {
	var batch *[writeAtOnce]byte // taken when there are several
	frames, sent := event.SSE(), 1
	for more := true; more; {
		st.last = event.Position
		select {
		case event, open = <-st.sub.Events():
			if more = open; !open {
				break
			}
			sent++
			if batch == nil {
				batch = batches.Get().(*[writeAtOnce]byte)
				defer batches.Put(batch)
				frames = append(batch[:0], frames...)
			}
			if len(frames)+len(event.SSE()) > writeAtOnce {
				if _, err := st.w.Write(frames); err != nil {
					return true, err
				}
				frames = batch[:0]
			}
			frames = append(frames, event.SSE()...)
		default:
			more, open = false, true
		}
	}
	st.metrics.StreamEvents.Add(float64(sent))
	_, err = st.w.Write(frames)
	return open, err
}

// end tells a client why its stream ends, in a comment, which an EventSource passes over: it reconnects and gets the same as a
// problem, or, when the server stopped, is told how long to wait. It returns the reason.
func (st *stream) end(reason error) error {
	f := fault.As(reason)
	if f == nil {
		return reason
	}
	text := ""
	if f.Code == "stream_ended" {
		text = fmt.Sprintf("retry: %d\n", st.streams.retry(true).Milliseconds())
	}
	text += fmt.Sprintf(": ended %s: %s\n\n", f.Code, strings.ReplaceAll(f.Message, "\n", " "))
	// Nobody is there when it fails.
	_, _ = st.w.Write([]byte(text))
	_ = st.flush()
	return reason
}
