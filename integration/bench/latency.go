package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	latencyExtra = 1.0 // ms that p50 may be above a bare LISTEN
	latencyPause = 20 * time.Millisecond
	warmUp       = 20 // events that are not counted
)

// arrival is one event as it came to one reader.
type arrival struct {
	number int
	at     time.Time
}

// measureLatency commits events one by one and compares when they reach a stream of the server and a bare LISTEN.
func measureLatency(ctx context.Context, s *stage, o options) (section, error) {
	out := section{title: fmt.Sprintf("from COMMIT to one SSE subscriber beside a bare pgx LISTEN, the same %d commits", o.latencyEvents)}
	commits, err := newCommitter(ctx, s)
	if err != nil {
		return out, err
	}
	defer commits.close(ctx)
	listener, err := s.connect(ctx, user)
	if err != nil {
		return out, err
	}
	defer listener.Close(context.WithoutCancel(ctx))
	if err := simple(ctx, listener, "listen "+channel); err != nil {
		return out, err
	}
	events, err := openStream(ctx, s.url, "/v1/events/stream", s.token)
	if err != nil {
		return out, err
	}
	defer events.close()

	ctx, cancel := context.WithTimeout(ctx, time.Duration(o.latencyEvents)*latencyPause+time.Minute)
	defer cancel()
	defer context.AfterFunc(ctx, events.close)() // ends the reader
	streamed, heard := make(chan arrival, 1), make(chan arrival, 1)
	failed := make(chan error, 2)
	go func() {
		for {
			number, at, err := events.next()
			if err != nil {
				failed <- fmt.Errorf("read the stream: %w", err)
				return
			}
			streamed <- arrival{number, at}
		}
	}()
	waiting, stop := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		failed <- hear(waiting, listener, heard)
	}()
	defer func() { stop(); <-ended }() // before the listener is closed

	var sse, bare, extra sample
	for number := range warmUp + o.latencyEvents {
		time.Sleep(latencyPause)
		at, err := commits.commit(ctx, number)
		if err != nil {
			return out, err
		}
		var toStream, toListener time.Duration
		for range 2 {
			select {
			case err := <-failed:
				return out, err
			case <-ctx.Done():
				return out, fmt.Errorf("event %d did not arrive: %w", number, ctx.Err())
			case a := <-streamed:
				toStream, err = since(at, a, number)
			case a := <-heard:
				toListener, err = since(at, a, number)
			}
			if err != nil {
				return out, err
			}
		}
		if number >= warmUp {
			sse.add(toStream)
			bare.add(toListener)
			extra.add(toStream - toListener)
		}
	}
	difference := sse.median() - bare.median()
	out.aim(difference <= latencyExtra, "p50 of SSE above p50 of LISTEN", fmt.Sprintf("%+.2f ms", difference), fmt.Sprintf("≤ %.0f ms", latencyExtra))
	out.say("SSE          %s", sse.spread())
	out.say("bare LISTEN  %s", bare.spread())
	out.say("each event   %s  SSE after LISTEN", extra.spread())
	return out, nil
}

// since checks that a is the event that was committed last; each comes once to each reader.
func since(committed time.Time, a arrival, number int) (time.Duration, error) {
	if a.number != number {
		return 0, fmt.Errorf("event %d arrived where %d was due", a.number, number)
	}
	return a.at.Sub(committed), nil
}

// hear passes on notifications until ctx ends.
func hear(ctx context.Context, conn *pgx.Conn, to chan<- arrival) error {
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return fmt.Errorf("wait for a notification: %w", err)
		}
		at := time.Now()
		number, err := strconv.Atoi(n.Payload)
		if err != nil {
			return fmt.Errorf("read a notification: %w", err)
		}
		select {
		case to <- arrival{number, at}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
