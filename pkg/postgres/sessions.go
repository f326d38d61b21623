package postgres

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// Sessions hands out database sessions of users: real logins as the role, never SET ROLE, because SQL that a user wrote can
// leave SET ROLE. A session never passes from one role to another.
type Sessions struct {
	url    string
	server *pgxpool.Pool
	limits Options
	slots  chan struct{}

	mu    sync.Mutex
	pools map[string]*pgxpool.Pool
}

// Options bound the sessions. Zero values mean the defaults.
type Options struct {
	PerUser int           // connections of one role, default 8
	Total   int           // connections in use over all roles, default 32
	Idle    time.Duration // an idle connection is closed after this, default 1 minute
}

// Limits are what an administrator holds a role's requests to.
type Limits struct {
	StatementSeconds int // a longer statement is canceled
	PageRows         int // the most rows that an answer in pages has
}

// NewSessions makes sessions over url, whose user is replaced by the role; that login has to be open to the server (trust on
// a private socket). server is the pool of tinydev_server, which asks PostgreSQL whether a role may have a session.
func NewSessions(url string, server *pgxpool.Pool, limits Options) *Sessions {
	if limits.PerUser == 0 {
		limits.PerUser = 8
	}
	if limits.Total == 0 {
		limits.Total = 32
	}
	if limits.Idle == 0 {
		limits.Idle = time.Minute
	}
	return &Sessions{url: url, server: server, limits: limits, slots: make(chan struct{}, limits.Total), pools: map[string]*pgxpool.Pool{}}
}

// Session is one connection as a user; Release gives it back.
type Session struct {
	*pgx.Conn
	Limits   Limits
	pooled   *pgxpool.Conn
	sessions *Sessions
}

// Release gives the session back to its role's pool, cleaned of settings, locks, cursors and temporary tables.
func (s *Session) Release() {
	s.pooled.Release()
	<-s.sessions.slots
}

// patience is how long a request waits for a session.
const patience = 5 * time.Second

// Acquire gives a session of role, waiting up to 5 s for a free one: first for one of the role's own, so that one user's crowd
// takes nothing from the others.
// Errors: forbidden not_a_user; unavailable sessions_exhausted, database_refused, database_unavailable.
func (s *Sessions) Acquire(ctx context.Context, role string) (*Session, error) {
	var connections *int
	var limits Limits
	err := s.server.QueryRow(ctx, "select max_connections, statement_seconds, page_rows from tinydev_impl.session_limits($1)", role).
		Scan(&connections, &limits.StatementSeconds, &limits.PageRows)
	if err != nil {
		return nil, fmt.Errorf("open a session of %s: %w", role, Fault(err, ""))
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := s.acquire(waiting, role)
	switch {
	case err != nil && waiting.Err() != nil && ctx.Err() == nil:
		return nil, exhausted("all %d sessions of "+role+" are in use", s.limits.PerUser)
	case err != nil:
		return nil, fmt.Errorf("open a session of %s: %w", role, Fault(err, ""))
	}
	select {
	case s.slots <- struct{}{}:
		if readOnly(ctx) {
			if _, err := conn.Exec(ctx, "set default_transaction_read_only = on"); err != nil {
				conn.Release()
				<-s.slots
				return nil, fmt.Errorf("open a session of %s: %w", role, Fault(err, ""))
			}
		}
		return &Session{Conn: conn.Conn(), Limits: limits, pooled: conn, sessions: s}, nil
	case <-waiting.Done():
		conn.Release()
		return nil, exhausted("all %d sessions are in use", s.limits.Total)
	}
}

type readOnlyKey struct{}

// ReadOnly gives a context whose sessions refuse to write.
func ReadOnly(ctx context.Context) context.Context {
	return context.WithValue(ctx, readOnlyKey{}, true)
}

func readOnly(ctx context.Context) bool { return ctx.Value(readOnlyKey{}) != nil }

func exhausted(format string, limit int) error {
	return fault.New(fault.Unavailable, "sessions_exhausted", format, limit).WithHint("try again in a moment")
}

func (s *Sessions) acquire(ctx context.Context, role string) (*pgxpool.Conn, error) {
	pool, err := s.pool(role)
	if err != nil {
		return nil, err
	}
	return pool.Acquire(ctx)
}

func (s *Sessions) pool(role string) (*pgxpool.Pool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if pool, ok := s.pools[role]; ok {
		return pool, nil
	}
	url, err := AsUser(s.url, role)
	if err != nil {
		return nil, err
	}
	cfg, err := parse(url)
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = int32(s.limits.PerUser)
	cfg.MaxConnIdleTime = s.limits.Idle
	cfg.HealthCheckPeriod = s.limits.Idle / 2
	// Users' tables change under us, so nothing is prepared for longer than a statement.
	cfg.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeDescribeExec
	cfg.ConnConfig.StatementCacheCapacity = 0
	cfg.AfterRelease = clean
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		return nil, err
	}
	s.pools[role] = pool
	return pool, nil
}

// clean forgets what the last request left behind, since settings and advisory locks outlive COMMIT. False closes the connection.
func clean(conn *pgx.Conn) bool {
	if conn.IsClosed() || conn.PgConn().TxStatus() != 'I' {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err := conn.PgConn().Exec(ctx, "reset all; select pg_catalog.pg_advisory_unlock_all(); close all; unlisten *; discard temp").ReadAll()
	return err == nil
}

// Close closes all sessions, waiting for those in use.
func (s *Sessions) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for role, pool := range s.pools {
		pool.Close()
		delete(s.pools, role)
	}
}
