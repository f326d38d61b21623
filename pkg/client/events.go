package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/relay"
)

// Event is one event of the log, read from its CloudEvent.
type Event struct {
	Position int64           `json:"-"`
	Type     string          `json:"type"`    // with the prefix "tinydev."
	Subject  string          `json:"subject"` // workspace.name
	Source   string          `json:"source"`  // the installation
	Time     time.Time       `json:"time"`
	Actor    string          `json:"actor"`
	Data     json.RawMessage `json:"data"`
	Raw      json.RawMessage `json:"-"` // the whole CloudEvent as it came
}

// ParseEvent reads a CloudEvent.
func ParseEvent(raw json.RawMessage) (Event, error) {
	var event struct {
		Event
		ID string `json:"id"`
	}
	if err := json.Unmarshal(raw, &event); err != nil {
		return Event{}, fmt.Errorf("read an event: %w", err)
	}
	position, err := strconv.ParseInt(event.ID, 10, 64)
	if err != nil {
		return Event{}, fmt.Errorf("read an event: its id %q is no position", event.ID)
	}
	event.Position, event.Raw = position, raw
	return event.Event, nil
}

// Events reads up to limit (1..1000) events after a position, oldest first.
func (c *Client) Events(ctx context.Context, after int64, limit int, filter control.EventFilter) (control.EventPage, error) {
	query := filterQuery(filter)
	query.Set("after", strconv.FormatInt(after, 10))
	query.Set("limit", strconv.Itoa(limit))
	return call[control.EventPage](ctx, c, http.MethodGet, "/v1/events", query, nil)
}

// LatestEvents reads the newest events, up to limit (1..1000), oldest first.
func (c *Client) LatestEvents(ctx context.Context, limit int, filter control.EventFilter) (control.EventPage, error) {
	query := filterQuery(filter)
	query.Set("latest", "true")
	query.Set("limit", strconv.Itoa(limit))
	return call[control.EventPage](ctx, c, http.MethodGet, "/v1/events", query, nil)
}

// Head gives the position of the newest event; 0 when there is none.
func (c *Client) Head(ctx context.Context) (int64, error) {
	page, err := c.Events(ctx, 0, 1, control.EventFilter{})
	return page.Head, err
}

func filterQuery(filter control.EventFilter) url.Values {
	query := url.Values{}
	if len(filter.Types) > 0 {
		query["type"] = filter.Types
	}
	if len(filter.Subjects) > 0 {
		query["subject"] = filter.Subjects
	}
	return query
}

// Follow says what to stream.
type Follow struct {
	After  *int64 // position to start after; nil starts with what happens from now on
	Filter control.EventFilter
	// Patient tries for ever at the first connection too.
	Patient bool
	// Interrupted, when not nil, is told of each lost connection and how long it will be until the next try.
	Interrupted func(err error, pause time.Duration)
	// Connected, when not nil, is told of each connection that is made, the first one too.
	Connected func()
	// Reset, when not nil, is told when the stream could not go on where it was: events are missing.
	Reset func(relay.Reset)
	// Passed, when not nil, is told of a position up to which there is nothing more for each, so that it may be gone on from; after a
	// reset it may be less than the one before. When it fails the stream ends with its error.
	Passed func(position int64) error
}

// Pauses between attempts to reconnect where the server has not said how long to wait, and the silence after which a connection is
// held for dead; the server sends a sign of life every 15 s.
const (
	shortestPause = 200 * time.Millisecond
	longestPause  = 15 * time.Second
	deadAfter     = 50 * time.Second
)

// Stream calls each with every event that f asks for, in order, each once, until ctx ends or each fails; then it gives that error.
//
// A lost connection is made again for ever, with a growing and scattered pause, from the last position that the server told of, so
// that nothing is missed. Only the first connection's failure, and what will not get better by trying again (a refused token,
// a bad filter), end it: the errors are those of the server.
func (c *Client) Stream(ctx context.Context, f Follow, each func(Event) error) error {
	last, err := c.start(ctx, f)
	if err != nil {
		return err
	}
	r := reader{Follow: f, each: each, last: last}
	pause, first := shortestPause, !f.Patient
	for {
		err := c.streamOnce(ctx, &r, func() {
			pause, first = shortestPause, false
			if f.Connected != nil {
				f.Connected()
			}
		})
		var stop stopped
		switch {
		case errors.As(err, &stop):
			return stop.error
		case ctx.Err() != nil:
			return ctx.Err()
		case first, !worthRetrying(err):
			return err
		}
		wait := pause/2 + rand.N(pause)
		if r.retry > 0 { // scattered by the server
			wait, r.retry = r.retry, 0
		}
		if f.Interrupted != nil {
			f.Interrupted(err, wait)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		pause = min(2*pause, longestPause)
	}
}

// start gives the position to start after.
func (c *Client) start(ctx context.Context, f Follow) (int64, error) {
	if f.After != nil {
		return *f.After, nil
	}
	return c.Head(ctx)
}

// stopped marks the error of one of the caller's functions.
type stopped struct{ error }

func worthRetrying(err error) bool {
	f := fault.As(err)
	return f == nil || f.Kind == fault.Unavailable || f.Kind == fault.Internal || f.Kind == fault.Storage
}

// streamOnce reads one connection until it ends, which is always an error: a nil one when the server ended it.
func (c *Client) streamOnce(ctx context.Context, r *reader, connected func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	alive := time.AfterFunc(deadAfter, cancel)
	defer alive.Stop()
	resp, err := c.open(ctx, request{method: http.MethodGet, path: "/v1/events/stream", query: filterQuery(r.Filter),
		header: http.Header{"Accept": {"text/event-stream"}, "Last-Event-ID": {strconv.FormatInt(r.last, 10)}}})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	connected()
	lines := bufio.NewReaderSize(resp.Body, 64<<10)
	var next frame
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the server closed the stream")
			}
			return fault.New(fault.Unavailable, "stream_ended", "the event stream ended").Because(err)
		}
		line = strings.TrimRight(line, "\r\n")
		if line != "" {
			alive.Reset(deadAfter)
			next.add(line)
			continue
		}
		if ctx.Err() != nil { // much may be waiting in the buffer
			return ctx.Err()
		}
		alive.Stop() // the caller may take its time
		if err := r.take(&next); err != nil {
			return err
		}
		alive.Reset(deadAfter)
		next = frame{}
	}
}

// frame is one block of the stream.
type frame struct {
	id, event, retry string
	data             []byte
}

func (f *frame) add(line string) {
	field, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	switch field {
	case "id":
		f.id = value
	case "event":
		f.event = value
	case "retry":
		f.retry = value
	case "data":
		if f.data != nil {
			f.data = append(f.data, '\n')
		}
		f.data = append(f.data, value...)
	}
}

// reader knows how far a stream was read, over several connections.
type reader struct {
	Follow
	each  func(Event) error
	last  int64
	retry time.Duration // how long the server wants to be left alone after this connection; 0 is not told
}

// take hands a frame on.
func (r *reader) take(f *frame) error {
	if ms, err := strconv.ParseInt(f.retry, 10, 32); err == nil && ms >= 0 {
		r.retry = time.Duration(ms) * time.Millisecond
	}
	switch {
	case f.event == "reset" && f.data != nil:
		var reset relay.Reset
		if err := json.Unmarshal(f.data, &reset); err != nil {
			return fmt.Errorf("read a reset: %w", err)
		}
		if r.Reset != nil {
			r.Reset(reset)
		}
		r.last = -1
		return r.pass(f.id)
	case f.data != nil:
		event, err := ParseEvent(f.data)
		if err != nil {
			return err
		}
		if event.Position <= r.last {
			return nil
		}
		if err := r.each(event); err != nil {
			return stopped{err}
		}
		r.last = event.Position
	case f.id != "":
		return r.pass(f.id)
	}
	return nil
}

// pass goes on to a position that is told without an event.
func (r *reader) pass(id string) error {
	position, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return fmt.Errorf("read a position: %w", err)
	}
	if position <= r.last {
		return nil
	}
	if r.Passed != nil {
		if err := r.Passed(position); err != nil {
			return stopped{err}
		}
	}
	r.last = position
	return nil
}

// EachEvent calls each with the events of a page.
func EachEvent(page control.EventPage, each func(Event) error) error {
	for _, raw := range page.Events {
		event, err := ParseEvent(raw)
		if err != nil {
			return err
		}
		if err := each(event); err != nil {
			return err
		}
	}
	return nil
}

// ReadEvents calls each with up to limit events after a position, oldest first. reset says that there were more that are not kept any
// longer.
func (c *Client) ReadEvents(ctx context.Context, after int64, limit int, filter control.EventFilter, each func(Event) error) (reset bool, err error) {
	for limit > 0 {
		page, err := c.Events(ctx, after, min(limit, pageSize), filter)
		if err != nil {
			return reset, err
		}
		reset = reset || page.Reset
		if err := EachEvent(page, each); err != nil {
			return reset, err
		}
		limit -= len(page.Events)
		if page.Next <= after || page.Next >= page.Head {
			break
		}
		after = page.Next
	}
	return reset, nil
}
