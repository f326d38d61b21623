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
)

// Event is one event of the log, read from its CloudEvent.
type Event struct {
	Position int64           `json:"-"`
	Type     string          `json:"type"`    // with the prefix "tinydev."
	Subject  string          `json:"subject"` // workspace.name
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
	// Interrupted, when not nil, is told of each lost connection and how long it will be until the next try.
	Interrupted func(err error, pause time.Duration)
	// Connected, when not nil, is told of each connection that is made, the first one too.
	Connected func()
}

// Pauses between attempts to reconnect, and the silence after which a connection is held for dead; the server sends a sign
// of life every 15 s.
const (
	shortestPause = 200 * time.Millisecond
	longestPause  = 15 * time.Second
	deadAfter     = 50 * time.Second
)

// Stream calls each with every event that f asks for, in order, each once, until ctx ends or each fails; then it gives that error.
//
// A lost connection is made again for ever, with a growing and scattered pause, from the last event that each took, so
// that nothing is missed. Only the first connection's failure, and what will not get better by trying again (a refused token,
// a bad filter), end it: the errors are those of the server.
func (c *Client) Stream(ctx context.Context, f Follow, each func(Event) error) error {
	var last int64
	if f.After != nil {
		last = *f.After
	} else {
		head, err := c.Head(ctx)
		if err != nil {
			return err
		}
		last = head
	}
	pause, first := shortestPause, true
	for {
		connected := func() {
			pause, first = shortestPause, false
			if f.Connected != nil {
				f.Connected()
			}
		}
		err := c.streamOnce(ctx, last, f.Filter, connected, func(event Event) error {
			if event.Position <= last {
				return nil
			}
			if err := each(event); err != nil {
				return stopped{err}
			}
			last = event.Position
			return nil
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

// stopped marks the error of the caller's function.
type stopped struct{ error }

func worthRetrying(err error) bool {
	f := fault.As(err)
	return f == nil || f.Kind == fault.Unavailable || f.Kind == fault.Internal || f.Kind == fault.Storage
}

// streamOnce reads one connection until it ends, which is always an error: a nil one when the server ended it.
func (c *Client) streamOnce(ctx context.Context, after int64, filter control.EventFilter, connected func(), each func(Event) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	alive := time.AfterFunc(deadAfter, cancel)
	defer alive.Stop()
	resp, err := c.open(ctx, request{method: http.MethodGet, path: "/v1/events/stream", query: filterQuery(filter),
		header: http.Header{"Accept": {"text/event-stream"}, "Last-Event-ID": {strconv.FormatInt(after, 10)}}})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	connected()
	lines := bufio.NewReaderSize(resp.Body, 64<<10)
	var data strings.Builder
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the server closed the stream")
			}
			return fault.New(fault.Unavailable, "stream_ended", "the event stream ended").Because(err)
		}
		alive.Reset(deadAfter)
		line = strings.TrimRight(line, "\r\n")
		field, value, _ := strings.Cut(line, ":")
		switch {
		case line == "" && data.Len() > 0:
			event, err := ParseEvent(json.RawMessage(data.String()))
			if err != nil {
				return err
			}
			data.Reset()
			if err := each(event); err != nil {
				return err
			}
		case field == "data":
			if data.Len() > 0 {
				data.WriteByte('\n')
			}
			data.WriteString(strings.TrimPrefix(value, " "))
		}
	}
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

// ReadEvents calls each with up to limit events after a position, oldest first.
func (c *Client) ReadEvents(ctx context.Context, after int64, limit int, filter control.EventFilter, each func(Event) error) error {
	for limit > 0 {
		page, err := c.Events(ctx, after, min(limit, pageSize), filter)
		if err != nil {
			return err
		}
		if err := EachEvent(page, each); err != nil {
			return err
		}
		limit -= len(page.Events)
		if page.Next <= after || page.Next >= page.Head {
			return nil
		}
		after = page.Next
	}
	return nil
}
