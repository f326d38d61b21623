package server

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/config"
	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/observe"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
	"github.com/tinydevcrm/tinydevcrm/pkg/schema"
)

// How often the server examines the database, how long that may take, and how often pg_cron is tried for it.
const (
	healthEvery    = time.Minute
	healthPatience = 30 * time.Second
	canaryEvery    = 5 * time.Minute
	canaryOnDemand = time.Minute
)

// healthWatch keeps what the doctor said last.
type healthWatch struct {
	mu   sync.Mutex
	said json.RawMessage // nil before the first time, and while it is not known
}

func (w *healthWatch) note(said json.RawMessage) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = said
}

// health is how many errors and warnings the doctor found last, and in which checks; nil when it is not known.
func (w *healthWatch) health() json.RawMessage {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.said
}

// examine has the doctor examine all, which writes the events of what went bad or well again. The system's job of each hour does the same
// where no server runs.
func (s *server) examine(ctx context.Context) {
	s.canary(ctx, canaryEvery)
	ctx, cancel := context.WithTimeout(ctx, healthPatience)
	defer cancel()
	var free, total *int64
	if f, t, ok := diskSpace(s.cfg.DataDir); ok {
		free, total = &f, &t
	}
	var said []byte
	err := s.pool.QueryRow(ctx, "select tinydev_impl.watch_doctor($1, $2, $3, $4)::text", reportName(s.cfg.DataDir), time.Now(), free, total).Scan(&said)
	if err != nil {
		s.health.note(nil)
		if ctx.Err() == nil {
			s.log.Warn("the doctor could not examine the database", observe.KeyError, err)
		}
		return
	}
	s.health.note(said)
}

// reportName names a server to everybody: its host, and the last word of its data directory, where several run on one.
func reportName(dataDir string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "this host"
	}
	if absolute, err := filepath.Abs(dataDir); err == nil {
		dataDir = absolute
	}
	return host + ":" + filepath.Base(dataDir)
}

// canary tries whether pg_cron starts a job in time, unless that was tried within every; it takes up to 5 s.
func (s *server) canary(ctx context.Context, every time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limitsPatience)
	defer cancel()
	if _, err := s.pool.Exec(ctx, "call tinydev_impl.run_canary($1)", every); err != nil && ctx.Err() == nil {
		s.log.Warn("pg_cron could not be tried", observe.KeyError, err)
	}
}

// Doctor examines the database that the configuration names, without a server: as a superuser where it names one, else as the server,
// who see all. With fix it mends before, or with dryRun too only tells the SQL, what can be mended without a loss; that needs a
// superuser. Errors: those of a start of Serve; forbidden admin_only.
func Doctor(ctx context.Context, cfg config.Config, fix, dryRun bool) (found control.Examination, mended control.Change[control.Mending], err error) {
	log, err := observe.NewLogger(io.Discard, cfg.LogLevel, cfg.LogFormat)
	if err != nil {
		return found, mended, err
	}
	a, err := resolve(ctx, cfg, log)
	if err != nil {
		return found, mended, err
	}
	url, login := a.admin, []postgres.Credential(nil)
	if url == "" {
		url, login = a.server, a.credentials()
	}
	conn, err := postgres.Connect(ctx, url, "tinydev doctor", login...)
	if err != nil {
		return found, mended, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := schema.Check(ctx, conn); err != nil {
		return found, mended, err
	}
	if fix {
		if mended, err = control.Mend(ctx, conn, dryRun); err != nil {
			return found, mended, err
		}
	}
	found, err = control.Examine(ctx, conn)
	return found, mended, err
}
