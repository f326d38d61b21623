package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

const (
	cleanPatience = 3 * time.Second // for what the last request left behind
	endPatience   = 2 * time.Second // for a connection to end by itself
)

// Session is one connection as a user. It is for one goroutine at a time, and for nobody after Release.
type Session struct {
	*pgx.Conn
	Limits Limits

	c        *connection
	sessions *Sessions
	reading  pgx.Tx // around all of a read-only session
}

type readOnlyKey struct{}

// ReadOnly gives a context whose sessions refuse to write, with forbidden read_only.
func ReadOnly(ctx context.Context) context.Context {
	return context.WithValue(ctx, readOnlyKey{}, true)
}

// Writable takes ReadOnly back, for a caller who has to make something that is rolled back, and makes the transaction read-only
// before any of the user's code runs in it.
func Writable(ctx context.Context) context.Context {
	return context.WithValue(ctx, readOnlyKey{}, false)
}

func readOnly(ctx context.Context) bool {
	asked, _ := ctx.Value(readOnlyKey{}).(bool)
	return asked
}

// readOnly begins a transaction around all that the session does. A setting of the session would not do: a function of the
// user's can set it back for the next statement. Nothing that is called leads out of a transaction, after its first query
// `set transaction read write` is refused, and what writes past the check, as pg_cron does, is rolled back.
func (s *Session) readOnly(ctx context.Context) (err error) {
	s.reading, err = s.Conn.BeginTx(ctx, pgx.TxOptions{BeginQuery: "begin isolation level read committed read only; select"})
	return err
}

// Begin starts a transaction; a savepoint in a read-only session.
func (s *Session) Begin(ctx context.Context) (pgx.Tx, error) { return s.BeginTx(ctx, pgx.TxOptions{}) }

// BeginTx starts a transaction with options. In a read-only session it is a savepoint, read committed, whatever they say.
func (s *Session) BeginTx(ctx context.Context, options pgx.TxOptions) (pgx.Tx, error) {
	if s.reading != nil {
		return s.reading.Begin(ctx)
	}
	return s.Conn.BeginTx(ctx, options)
}

// Fault is postgres.Fault for an error of this session's: a statement that took too long says what the limit is.
func (s *Session) Fault(err error, query string) error {
	err = Fault(err, query)
	if e := fault.As(err); e != nil && e.Code == "statement_timeout" {
		e.Message = fmt.Sprintf("the statement took longer than the %d s that requests of %s may take", s.Limits.StatementSeconds, s.c.user.role)
		return e.With("seconds", s.Limits.StatementSeconds)
	}
	return err
}

// Release gives the session back. It returns at once: what the request left behind is cleaned beside it, and until that is done
// the session counts as in use. One in a transaction, or broken, is closed.
func (s *Session) Release() {
	if s.Conn == nil {
		return
	}
	s.Conn = nil
	s.sessions.release(s.c, s.reading != nil)
}

func (s *Sessions) release(c *connection, reading bool) {
	s.mu.Lock()
	c.user.cleaning++
	s.mu.Unlock()
	go func() {
		defer s.work.Done() // Acquire added it
		kept := clean(c.Conn, reading)
		s.mu.Lock()
		c.user.cleaning--
		if kept = kept && s.ledger.keeps(c); kept {
			s.ledger.put(c)
		}
		s.dispatch()
		s.mu.Unlock()
		if !kept {
			s.end(c.Conn)
			s.gone(c.user)
		}
	}()
}

// gone tells those who wait that there is room.
func (s *Sessions) gone(u *user) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ledger.gone(u)
	s.dispatch()
}

// cleaning is `discard all` without `discard plans`: planning what the next request calls again would double its time.
const cleaning = "reset role; reset all; close all; deallocate all; unlisten *; select pg_catalog.pg_advisory_unlock_all(); discard temp; discard sequences"

// clean forgets what the last request left behind, since settings and advisory locks outlive COMMIT. False: it is not clean.
func clean(conn *pgx.Conn, reading bool) bool {
	if conn.IsClosed() {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanPatience)
	defer cancel()
	if reading && conn.PgConn().TxStatus() != 'I' {
		if _, err := conn.Exec(ctx, "rollback"); err != nil {
			return false
		}
	}
	if conn.PgConn().TxStatus() != 'I' {
		return false
	}
	_, err := conn.PgConn().Exec(ctx, cleaning).ReadAll()
	return err == nil && conn.PgConn().TxStatus() == 'I'
}

// open opens a connection of role, whose statements may take some seconds.
func (s *Sessions) open(ctx context.Context, role string, seconds int) (*connection, error) {
	cfg, err := s.config()
	if err != nil {
		return nil, err
	}
	cfg = cfg.Copy()
	cfg.User = role
	// As a setting of the start `reset all` comes back to it.
	cfg.RuntimeParams["statement_timeout"] = strconv.Itoa(seconds) + "s"
	if s.options.Credential != nil {
		if err := s.options.Credential(ctx, role, cfg); err != nil {
			return nil, fmt.Errorf("log in as %s: %w", role, err)
		}
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		if fault.CodeOf(Fault(err, "")) == "database_refused" {
			// The role may have been dropped since it was asked about.
			if _, gone := s.askAfresh(ctx, role); fault.CodeOf(gone) == "not_a_user" {
				return nil, gone
			}
		}
		return nil, err
	}
	if _, err := s.server.Exec(ctx, "select tinydev_impl.claim_session($1, $2)", conn.PgConn().PID(), role); err != nil {
		s.end(conn)
		return nil, fmt.Errorf("claim the session: %w", err)
	}
	return &connection{Conn: conn, seconds: seconds}, nil
}

// end closes a connection and returns when PostgreSQL has ended it, so that the next one is not one too many. One that does not
// end, such as in a function that catches query_canceled and goes on, is terminated.
func (s *Sessions) end(conn *pgx.Conn) {
	pg := conn.PgConn()
	if conn.IsClosed() { // by pgx, which cancels what runs and waits for the end in the background
		select {
		case <-pg.CleanupDone():
			return
		case <-time.After(endPatience):
		}
		s.terminate(pg.PID())
		<-pg.CleanupDone()
		return
	}
	if !drain(pg) {
		s.terminate(pg.PID())
		drain(pg)
	}
	_ = conn.Close(context.Background()) // the socket; all is said
}

// drain says good-bye and reads until PostgreSQL has gone. False: it stays.
func drain(pg *pgconn.PgConn) bool {
	if err := pg.Conn().SetDeadline(time.Now().Add(endPatience)); err != nil {
		return true
	}
	pg.Frontend().Send(&pgproto3.Terminate{})
	_ = pg.Frontend().Flush() // fails when it has gone
	_, err := io.Copy(io.Discard, pg.Conn())
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

func (s *Sessions) terminate(pid uint32) {
	ctx, cancel := context.WithTimeout(context.Background(), endPatience)
	defer cancel()
	_, _ = s.server.Exec(ctx, "select tinydev_impl.end_session($1)", pid) // without a server's connection PostgreSQL is down
}
