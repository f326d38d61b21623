package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// channel is notified by the measured commits themselves, beside what the product does.
const channel = "tinydev_bench"

// marker stands before an event's number in its data.
const marker = `"bench": `

// stream is an open stream of server-sent events: one connection and no goroutines, so that a thousand of them cost the reader
// little.
type stream struct {
	conn  net.Conn
	lines *bufio.Reader
}

// openStream asks for a stream and returns when the server has answered.
func openStream(ctx context.Context, address, path, token string) (*stream, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		if err := tcp.SetLinger(0); err != nil { // ten thousand closed ones would keep their ports for a minute
			return nil, err
		}
	}
	st := &stream{conn: conn}
	if err := st.begin(u.Host, path, token); err != nil {
		conn.Close()
		return nil, fmt.Errorf("open a stream: %w", err)
	}
	return st, nil
}

func (st *stream) begin(host, path, token string) error {
	request, err := http.NewRequest(http.MethodGet, "http://"+host+path, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "text/event-stream")
	request.Header.Set("Authorization", "Bearer "+token)
	if err := request.Write(st.conn); err != nil {
		return err
	}
	answer, err := http.ReadResponse(bufio.NewReaderSize(st.conn, 2048), request)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 1000)) // what there is of it
		return fmt.Errorf("%s: %s", answer.Status, text)
	}
	st.lines = bufio.NewReaderSize(answer.Body, 2048) // an event fits
	return nil
}

// next waits for the next event of ours and gives its number and when it had arrived.
func (st *stream) next() (number int, at time.Time, err error) {
	for {
		line, err := st.lines.ReadSlice('\n')
		if err != nil {
			return 0, time.Time{}, err
		}
		at := time.Now()
		if !bytes.HasPrefix(line, []byte("data:")) {
			continue
		}
		if number, ok := numberIn(line); ok {
			return number, at, nil
		}
	}
}

func (st *stream) close() { st.conn.Close() } // there is nothing to lose in it

// numberIn finds the number of an event of ours in its JSON.
func numberIn(line []byte) (int, bool) {
	_, rest, ok := bytes.Cut(line, []byte(marker))
	if !ok {
		return 0, false
	}
	end := 0
	for end < len(rest) && rest[end] >= '0' && rest[end] <= '9' {
		end++
	}
	number, err := strconv.Atoi(string(rest[:end]))
	return number, err == nil
}

// committer commits numbered events as the user, one at a time.
type committer struct {
	conn    *pgx.Conn
	subject uint32
	name    string
}

// newCommitter makes the view that the events are about.
func newCommitter(ctx context.Context, s *stage) (*committer, error) {
	conn, err := s.connect(ctx, user)
	if err != nil {
		return nil, err
	}
	c := &committer{conn: conn, name: user + ".heard"}
	err = simple(ctx, conn, `drop materialized view if exists heard; select tinydev.create_view('heard', 'select 1 as one')`)
	if err == nil {
		err = conn.QueryRow(ctx, "select 'heard'::regclass::oid").Scan(&c.subject)
	}
	if err != nil {
		c.close(ctx)
		return nil, err
	}
	return c, nil
}

// commit writes one event as a refresh would, notifies the bare listeners in the same transaction, and gives the time at which
// COMMIT had returned.
func (c *committer) commit(ctx context.Context, number int) (time.Time, error) {
	tx, err := c.conn.Begin(ctx)
	if err != nil {
		return time.Time{}, err
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	data := map[string]any{"rows": 3, "duration_ms": 12, "cause": "schedule", "concurrently": true, "inserted": 1, "deleted": 0, "changed": true, "bench": number}
	if _, err := tx.Exec(ctx, "select tinydev.record_event('view.refreshed', $1, $2, $3)", c.subject, c.name, data); err != nil {
		return time.Time{}, err
	}
	if _, err := tx.Exec(ctx, "select pg_notify($1, $2)", channel, strconv.Itoa(number)); err != nil {
		return time.Time{}, err
	}
	if err := tx.Commit(ctx); err != nil {
		return time.Time{}, err
	}
	return time.Now(), nil
}

// commitMany writes events from one number on in one transaction, and gives the time at which COMMIT had returned.
func (c *committer) commitMany(ctx context.Context, from, count int) (time.Time, error) {
	_, err := c.conn.Exec(ctx, `select tinydev.record_event('view.refreshed', $1, $2, jsonb_build_object('rows', 3, 'duration_ms', 12, 'cause', 'schedule', 'concurrently', true,
    'inserted', 1, 'deleted', 0, 'changed', true, 'bench', n)), pg_notify($3, n::text)
  from generate_series($4::int, $4 + $5 - 1) n`, c.subject, c.name, channel, from, count)
	return time.Now(), err
}

// commitEach writes each in a transaction of its own, one after the other, and gives the time at which it began.
func (c *committer) commitEach(ctx context.Context, from, count int) (time.Time, error) {
	began := time.Now()
	for n := from; n < from+count; n++ {
		if _, err := c.commitMany(ctx, n, 1); err != nil {
			return began, err
		}
	}
	return began, nil
}

func (c *committer) close(ctx context.Context) { c.conn.Close(context.WithoutCancel(ctx)) } // there is nothing to lose in it
