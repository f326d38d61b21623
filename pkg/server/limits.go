package server

import (
	"context"
	"sync"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/observe"
)

// limitsEvery is how often users are held to their limits, and limitsPatience how long that may take.
const (
	limitsEvery    = 15 * time.Second
	limitsPatience = 10 * time.Second
)

// every does something at once and then each period, until ctx ends.
func every(ctx context.Context, period time.Duration, do func(context.Context)) {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		do(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// look has the database look after something, on the server's own connections, by a query that answers nothing where all is well.
func (s *server) look(ctx context.Context, patience time.Duration, after, query, nothing string) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var found string
	switch err := s.pool.QueryRow(ctx, query).Scan(&found); {
	case err != nil && ctx.Err() == nil:
		s.log.Warn("not looked after: "+after, observe.KeyError, err)
	case err == nil && found != nothing:
		s.log.Warn("looked after: "+after, "found", found)
	}
}

// enforceLimits ends what users may not go on with: not in sessions of their own, since a user can lift all that holds there. A system job
// does the same each minute where no server runs.
func (s *server) enforceLimits(ctx context.Context) {
	s.look(ctx, limitsPatience, "limits of users, and ends of runs that pg_cron had not seen", "select tinydev_impl.enforce_limits()::text", "{}")
	s.cron.look(ctx, s)
}

// cronGrace is how long pg_cron may take to start its first job after the server began.
const cronGrace = 3 * time.Minute

// cronWatch knows whether pg_cron starts jobs: one that stopped says nothing of it.
type cronWatch struct {
	mu    sync.Mutex
	begun time.Time // when the server began to look
	since time.Time // when pg_cron started its last job; zero while it works
	told  time.Time // when the log was last told
}

func (w *cronWatch) look(ctx context.Context, s *server) {
	ctx, cancel := context.WithTimeout(ctx, limitsPatience)
	defer cancel()
	var since *time.Time
	if err := s.pool.QueryRow(ctx, "select tinydev_impl.cron_stalled()").Scan(&since); err != nil {
		return // a database that does not answer is told of elsewhere
	}
	if w.note(since, time.Now()) {
		s.log.Error("pg_cron starts no jobs; restart PostgreSQL, and see what holds its slots: select * from cron.job_run_details where end_time is null", "since", *since)
	}
}

// note keeps what was seen and tells whether it is time to log it: once a minute.
func (w *cronWatch) note(since *time.Time, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.begun.IsZero() {
		w.begun = now
	}
	if since == nil || now.Sub(w.begun) < cronGrace {
		w.since = time.Time{}
		return false
	}
	w.since = *since
	if now.Sub(w.told) < time.Minute {
		return false
	}
	w.told = now
	return true
}

// fault is nil while pg_cron works. Errors: unavailable cron_stalled.
func (w *cronWatch) fault() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.since.IsZero() {
		return nil
	}
	return fault.New(fault.Unavailable, "cron_stalled", "pg_cron has started nothing since %s", w.since.UTC().Format(time.RFC3339)).
		WithHint("restart PostgreSQL; its log and cron.job_run_details say what pg_cron did last")
}
