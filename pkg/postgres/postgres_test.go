package postgres_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestAsUserKeepsTheRest(t *testing.T) {
	t.Parallel()
	for _, from := range []string{
		"postgres://tinydev_server:secret@db.example:5433/shop?sslmode=require&connect_timeout=3",
		"postgresql:///shop?host=db.example&port=5433&user=tinydev_server&password=secret&sslmode=require",
		"host=db.example port=5433 user=tinydev_server password=secret dbname=shop sslmode=require",
	} {
		to, err := postgres.AsUser(from, "O'dd \\na me")
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := pgx.ParseConfig(to)
		if err != nil {
			t.Fatalf("%s: %v", to, err)
		}
		if cfg.User != "O'dd \\na me" || cfg.Password != "" || cfg.Host != "db.example" || cfg.Port != 5433 || cfg.Database != "shop" || cfg.TLSConfig == nil || len(cfg.Fallbacks) != 0 {
			t.Errorf("%s became %s: %+v", from, to, cfg.Config)
		}
		if strings.Contains(to, "+") {
			t.Errorf("libpq misreads %s", to)
		}
	}
	_, err := postgres.AsUser("postgres://u:hush@%zz/x", "a")
	if e := fault.As(err); e == nil || e.Code != "database_url_invalid" || strings.Contains(e.Message, "hush") {
		t.Errorf("%v, want database_url_invalid without the password", err)
	}
}

func TestQuiet(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	ctx := context.Background()
	conn := db.Conn(pgtest.Bob)
	// pgx leaves a read behind after a slow write; it must not be waited for.
	reading, read := make(chan struct{}), make(chan error, 1)
	go func() {
		close(reading)
		_, err := conn.PgConn().Conn().Read(make([]byte, 1))
		read <- err
	}()
	<-reading
	for range 100 {
		if !postgres.Quiet(conn) {
			t.Fatal("an idle connection is not quiet")
		}
	}
	if err := conn.PgConn().Conn().SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	<-read
	if err := conn.PgConn().Conn().SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if !postgres.Alive(ctx, conn) {
		t.Error("an idle connection is not alive")
	}
	if _, err := db.Superuser().Exec(ctx, "select pg_terminate_backend($1)", conn.PgConn().PID()); err != nil {
		t.Fatal(err)
	}
	pgtest.Eventually(t, 30*time.Second, "the end is noticed", func() bool { return !postgres.Quiet(conn) })
	if postgres.Alive(ctx, conn) {
		t.Error("a connection that was terminated is alive")
	}
	if postgres.Quiet(conn) || postgres.Alive(ctx, conn) {
		t.Error("a closed connection is quiet or alive")
	}
}
