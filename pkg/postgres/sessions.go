package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// Sessions hands out database sessions of users: real logins as the role, never SET ROLE, because SQL that a user wrote can
// leave SET ROLE. A session never passes from one role to another.
//
// The connections of all roles together stay under a cap, those that are idle among them, so that many users with one each do
// not use up what PostgreSQL has. Its methods may be called from several goroutines.
type Sessions struct {
	options Options
	server  *pgxpool.Pool
	config  func() (*pgx.ConnConfig, error) // of a user's connection, but for the role

	mu     sync.Mutex
	ledger ledger
	ended  chan struct{}  // closed by Close
	work   sync.WaitGroup // sessions in use, and what goes on beside them
}

// Options bound the sessions. Zero values mean the defaults.
type Options struct {
	PerUser    int           // connections of one role, default 8; the role's own limit holds too
	Total      int           // connections over all roles, idle ones among them, default 32
	Idle       time.Duration // an idle connection is closed after this, default 1 minute
	Patience   time.Duration // how long a request waits for a session, default 5 s
	Credential Credential    // nil: the role's name alone opens the way, as on a private socket
}

// Limits are what an administrator holds a role's requests to.
type Limits struct {
	StatementSeconds int // a longer statement is canceled
	PageRows         int // the most rows that an answer in pages has
}

const (
	// limitsFor is how long the limits of a role are taken for granted, and with them that it may have sessions at all.
	limitsFor = 3 * time.Second
	// refusedPause is how long a request waits before it asks PostgreSQL again, which had no connection left.
	refusedPause = 100 * time.Millisecond
)

// NewSessions makes sessions over url, whose user is replaced by the role. server is the pool of tinydev_server, which asks
// PostgreSQL what a role may have.
func NewSessions(url string, server *pgxpool.Pool, options Options) *Sessions {
	if options.PerUser == 0 {
		options.PerUser = 8
	}
	if options.Total == 0 {
		options.Total = 32
	}
	if options.Idle == 0 {
		options.Idle = time.Minute
	}
	if options.Patience == 0 {
		options.Patience = 5 * time.Second
	}
	s := &Sessions{options: options, server: server, ledger: newLedger(options), ended: make(chan struct{})}
	s.config = sync.OnceValues(func() (*pgx.ConnConfig, error) {
		cfg, err := parse(url)
		if err != nil {
			return nil, err
		}
		c := cfg.ConnConfig
		c.Password = ""
		// Statements are described once for each connection, which saves a round trip, and nothing is prepared in PostgreSQL: users'
		// tables change under us.
		c.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
		c.StatementCacheCapacity, c.DescriptionCacheCapacity = 0, 128
		return c, nil
	})
	s.work.Go(s.sweep)
	return s
}

// Acquire gives a session of role, waiting up to 5 s for one. Of those who wait, the role that has the fewest sessions in use
// comes first, then who came first, so that one user's crowd takes nothing from the others. The caller releases it.
// Errors: forbidden not_a_user; unavailable sessions_exhausted, too_many_connections, database_refused, database_unavailable.
func (s *Sessions) Acquire(ctx context.Context, role string) (*Session, error) {
	session, err := s.acquire(ctx, role)
	if err != nil {
		return nil, fmt.Errorf("open a session of %s: %w", role, Fault(err, ""))
	}
	return session, nil
}

func (s *Sessions) acquire(ctx context.Context, role string) (session *Session, err error) {
	if !s.begin() {
		return nil, stopping()
	}
	c, r, err := s.take(ctx, role)
	if err != nil {
		s.work.Done()
		return nil, err
	}
	session = &Session{Conn: c.Conn, Limits: r.Limits, c: c, sessions: s}
	if readOnly(ctx) {
		if err := session.readOnly(ctx); err != nil {
			session.Release()
			return nil, err
		}
	}
	return session, nil
}

// begin has Close wait for one more. False: it does so already.
func (s *Sessions) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ledger.closed {
		return false
	}
	s.work.Add(1)
	return true
}

// take gives a connection of role with what the role may have.
func (s *Sessions) take(ctx context.Context, role string) (*connection, rights, error) {
	r, err := s.ask(ctx, role)
	if err != nil {
		return nil, r, err
	}
	for deadline := time.Now().Add(s.options.Patience); ; {
		c, err := s.connection(ctx, role, r, deadline)
		if !refused(err) || time.Now().After(deadline) {
			return c, r, err
		}
		// Others, such as the user's own psql, have all that PostgreSQL allows.
		select {
		case <-ctx.Done():
			return nil, r, ctx.Err()
		case <-time.After(refusedPause):
		}
	}
}

// refused reports whether PostgreSQL had no connection left, for the role or at all.
func refused(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "53300"
}

// connection waits for its turn and gives an idle connection of the role or opens one.
func (s *Sessions) connection(ctx context.Context, role string, r rights, deadline time.Time) (*connection, error) {
	u, c, err := s.wait(ctx, role, r, deadline)
	if err != nil {
		return nil, err
	}
	if c != nil {
		if c.seconds == r.StatementSeconds && alive(ctx, c.Conn) {
			return c, nil
		}
		s.end(c.Conn)
	}
	if c, err = s.open(ctx, role, r.StatementSeconds); err != nil {
		s.gone(u)
		return nil, err
	}
	c.user = u
	return c, nil
}

// wait stands in the queue until there is an idle connection of the role, or leave to open one (nil).
func (s *Sessions) wait(ctx context.Context, role string, r rights, deadline time.Time) (*user, *connection, error) {
	s.mu.Lock()
	u := s.ledger.learn(role, r, time.Time{})
	w := s.ledger.enqueue(u)
	s.dispatch()
	s.mu.Unlock()
	limit := time.NewTimer(time.Until(deadline))
	defer limit.Stop()
	var err error
	select {
	case c := <-w.granted:
		return u, c, nil
	case <-s.ended:
		err = stopping()
	case <-ctx.Done():
		err = ctx.Err()
	case <-limit.C:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ledger.leave(w) {
		return u, <-w.granted, nil // its turn came in the same moment
	}
	if err == nil {
		err = s.exhausted(u)
	}
	s.dispatch()
	return nil, nil, err
}

// exhausted says what a request waited for in vain. mu is held.
func (s *Sessions) exhausted(u *user) error {
	e := fault.New(fault.Unavailable, "sessions_exhausted", "all %d sessions are in use", s.ledger.total)
	if u.open >= u.limit {
		e.Message = fmt.Sprintf("all %d sessions of %s are in use", u.limit, u.role)
	}
	return e.WithHint("try again in a moment")
}

func stopping() error {
	return fault.New(fault.Unavailable, "database_unavailable", "the server is stopping").WithHint("try again in a few seconds")
}

// ask gives what a role may have; answers are kept for three seconds.
func (s *Sessions) ask(ctx context.Context, role string) (rights, error) {
	s.mu.Lock()
	if u := s.ledger.users[role]; u != nil && time.Since(u.asked) < limitsFor {
		defer s.mu.Unlock()
		return u.rights, nil
	}
	s.mu.Unlock()
	return s.askAfresh(ctx, role)
}

// askAfresh asks PostgreSQL. Who is no user any more loses the idle sessions.
func (s *Sessions) askAfresh(ctx context.Context, role string) (rights, error) {
	asked := time.Now()
	var r rights
	err := s.server.QueryRow(ctx, "select coalesce(max_connections, 2147483647), statement_seconds, page_rows from tinydev_impl.session_limits($1)", role).
		Scan(&r.connections, &r.StatementSeconds, &r.PageRows)
	err = Fault(err, "")
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.ledger.learn(role, r, asked)
		s.dispatch()
	} else if fault.CodeOf(err) == "not_a_user" {
		s.close(s.ledger.dismiss(role))
	}
	return r, err
}

// SessionStat counts connections that are open, those of them that are idle, and requests that wait for one.
type SessionStat struct{ Open, Idle, Waiting, Max int }

// Stat gives the state of the sessions.
func (s *Sessions) Stat() SessionStat {
	s.mu.Lock()
	defer s.mu.Unlock()
	stat := SessionStat{Open: s.ledger.open, Waiting: s.ledger.waiting, Max: s.ledger.total}
	for _, u := range s.ledger.users {
		stat.Idle += len(u.idle)
	}
	return stat
}

// Close closes all sessions. It waits for those in use; who waits for one is sent away.
func (s *Sessions) Close() {
	s.mu.Lock()
	if !s.ledger.closed {
		s.ledger.closed = true
		close(s.ended)
		for role := range s.ledger.users {
			s.close(s.ledger.dismiss(role))
		}
	}
	s.mu.Unlock()
	s.work.Wait()
}

// sweep closes what was idle for long or is dead, and the idle sessions of those who are users no more.
func (s *Sessions) sweep() {
	ticker := time.NewTicker(min(limitsFor, s.options.Idle/2))
	defer ticker.Stop()
	for {
		select {
		case <-s.ended:
			return
		case now := <-ticker.C:
			s.mu.Lock()
			s.close(s.ledger.expired(now.Add(-s.options.Idle), func(c *pgx.Conn) bool { return !quiet(c) }))
			stale := s.ledger.stale(now.Add(-limitsFor))
			s.mu.Unlock()
			for _, role := range stale {
				ctx, cancel := context.WithTimeout(context.Background(), s.options.Patience)
				_, _ = s.askAfresh(ctx, role) // without an answer nothing is known, and Acquire asks again
				cancel()
			}
		}
	}
}

// dispatch serves all who can be, and makes room for those who wait. mu is held.
func (s *Sessions) dispatch() { s.close(s.ledger.dispatch()) }

// close ends connections that were idle, beside the caller, and then serves who waits for the room. mu is held.
func (s *Sessions) close(taken []*connection) {
	for _, c := range taken {
		s.work.Go(func() {
			s.end(c.Conn)
			s.mu.Lock()
			defer s.mu.Unlock()
			s.ledger.ended(c.user)
			s.dispatch()
		})
	}
}
