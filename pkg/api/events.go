package api

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tinydevcrm/tinydevcrm/pkg/auth"
	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/relay"
)

const (
	streamPath     = "/v1/events/stream"
	heartbeatEvery = 15 * time.Second
	reconnectAfter = 2 * time.Second // what EventSource is told to wait
	defaultRecheck = 25 * time.Second
	recheckLimit   = 10 * time.Second // for one answer
	mostStreams    = 100              // of one role
)

type FilterParam struct {
	Types    []string `query:"type,explode" doc:"such as view.refreshed or view.*; may be given several times"`
	Subjects []string `query:"subject,explode" doc:"workspace.name, with * for any characters; may be given several times"`
}

type eventsInput struct {
	After  int64 `query:"after" minimum:"0" doc:"position after which to read; 0 reads from the beginning"`
	Latest bool  `query:"latest" doc:"read the newest that fit instead, among the last 100,000 positions; after does not count"`
	LimitParam
	FilterParam
}

type streamInput struct {
	After       int64  `query:"after" minimum:"-1" default:"-1" doc:"position after which to start; without it the stream starts with what comes next"`
	LastEventID string `header:"Last-Event-ID" doc:"position of the last event that was seen; wins over after"`
	FilterParam
}

// eventTypes lists what an event can be.
type eventTypes struct {
	EventTypes []control.EventType `json:"event_types" doc:"users may record others about what is theirs"`
}

func (s *Service) eventRoutes() {
	get(s, operation("GET", "/v1/events", "read-events", "events", "Read the log of events that you may see, oldest first", 401, 422),
		func(ctx context.Context, user *control.User, in *eventsInput) (control.EventPage, error) {
			filter := control.EventFilter{Types: in.Types, Subjects: in.Subjects}
			if in.Latest {
				return user.LatestEvents(ctx, in.Limit, filter)
			}
			return user.ReadEvents(ctx, in.After, in.Limit, filter)
		})
	get(s, operation("GET", "/v1/event-types", "list-event-types", "events", "List the types of events, with the schema of their data", 401),
		func(context.Context, *control.User, *struct{}) (eventTypes, error) {
			return eventTypes{control.EventTypes()}, nil
		})
	op := operation("GET", streamPath, "stream-events", "events", "Follow the events that you may see, as server-sent events", 401, 422, 429, 503)
	op.Description = "Each event has its position as id and a CloudEvent as data. A reconnection with Last-Event-ID misses nothing. " +
		"A comment with the position of the newest event comes every 15 seconds. Within a minute after your token or your rights end the stream ends too, with a comment that says why."
	op.Responses = map[string]*huma.Response{"200": {Description: "An endless stream",
		Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}}}}
	huma.Register(s.huma, op, s.streamEvents)
}

// streams bounds the open streams.
type streams struct {
	recheck time.Duration

	mu   sync.Mutex
	open map[string]int // by role
}

// enter counts a stream of a role; leave is called when it ends. Errors: unavailable streams_limit.
func (s *streams) enter(role string) (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[role] >= mostStreams {
		return nil, fault.New(fault.Unavailable, "streams_limit", "%s follows %d streams already", role, mostStreams).WithHint("close some, or try again later")
	}
	s.open[role]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.open[role]--; s.open[role] == 0 {
			delete(s.open, role)
		}
	}, nil
}

// streamEvents answers GET /v1/events/stream; 409 position_ahead, 422 position_invalid, 429 streams_limit, 503 stream_ended.
func (s *Service) streamEvents(ctx context.Context, in *streamInput) (*huma.StreamResponse, error) {
	after := in.After
	if in.LastEventID != "" {
		position, err := strconv.ParseInt(in.LastEventID, 10, 64)
		if err != nil || position < 0 {
			return nil, fault.New(fault.Invalid, "position_invalid", "Last-Event-ID %q is no position", in.LastEventID).
				WithHint("send the id of the last event that was seen")
		}
		after = position
	}
	leave, err := s.streams.enter(auth.RoleFrom(ctx))
	if err != nil {
		return nil, err
	}
	sub, err := s.relay.Subscribe(ctx, auth.RoleFrom(ctx), after, relay.Filter{Types: in.Types, Subjects: in.Subjects})
	if err != nil {
		leave()
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	return &huma.StreamResponse{Body: func(hctx huma.Context) {
		defer leave()
		defer sub.Close()
		ctx, end := context.WithCancelCause(ctx)
		defer end(nil)
		go s.watch(ctx, auth.PrincipalFrom(ctx), end)
		hctx.SetHeader("Content-Type", "text/event-stream; charset=utf-8")
		hctx.SetHeader("X-Accel-Buffering", "no") // nginx would keep events back
		hctx.SetStatus(http.StatusOK)
		_, response := unwrap(hctx)
		if err := s.send(ctx, response, sub); err != nil {
			s.log.DebugContext(ctx, "a stream ended", "request_id", requestFrom(ctx).id, "error", err)
		}
	}}, nil
}

// watch ends a stream as soon as who follows it may not any more: at the token's expiry, and at the next check after it was revoked,
// the page signed out, or the role is no user. When that cannot be told for two checks it ends too.
func (s *Service) watch(ctx context.Context, p auth.Principal, end context.CancelCauseFunc) {
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
		case <-ctx.Done():
			return
		case <-expiry:
		case <-ticker.C:
		}
		asked, cancel := context.WithTimeout(ctx, recheckLimit)
		err := s.auth.Recheck(asked, p)
		cancel()
		switch kind := fault.KindOf(err); {
		case err == nil:
			missed = 0
		case kind == fault.Unauthentic, kind == fault.Forbidden, missed > 0:
			end(err)
			return
		default:
			missed++
		}
	}
}

// endStream tells a client why its stream ends, in a comment, which an EventSource passes over: it reconnects and gets the same as a
// problem. It returns the reason.
func (s *Service) endStream(w http.ResponseWriter, reason error) error {
	if f := fault.As(reason); f != nil {
		_, _ = fmt.Fprintf(w, ": ended %s: %s\n\n", f.Code, strings.ReplaceAll(f.Message, "\n", " ")) // nobody is there when it fails
		_ = http.NewResponseController(w).Flush()
	}
	return reason
}

// send tells the start, so that a client who loses the stream before its first event resumes there, and writes events until the client
// is gone, may not follow any more, or the subscription ends. What is waiting goes out in one write.
func (s *Service) send(ctx context.Context, w http.ResponseWriter, sub *relay.Subscription) error {
	flush := http.NewResponseController(w).Flush
	if _, err := fmt.Fprintf(w, "retry: %d\nid: %d\n\n", reconnectAfter.Milliseconds(), sub.Start()); err != nil {
		return err
	}
	if err := flush(); err != nil {
		return err
	}
	heartbeat := time.NewTicker(heartbeatEvery)
	defer heartbeat.Stop()
	for {
		select {
		case <-ctx.Done():
			return s.endStream(w, context.Cause(ctx))
		case <-heartbeat.C:
			if _, err := fmt.Fprintf(w, ": head %d\n\n", s.relay.Head()); err != nil {
				return err
			}
		case event, ok := <-sub.Events():
			sent := 0
			for more := true; more; {
				if !ok {
					return s.endStream(w, sub.Err())
				}
				if _, err := w.Write(event.SSE); err != nil {
					return err
				}
				sent++
				select {
				case event, ok = <-sub.Events():
				default:
					more = false
				}
			}
			s.metrics.StreamEvents.Add(float64(sent))
		}
		if err := flush(); err != nil {
			return err
		}
	}
}
