package postgres_test

import (
	"context"
	"strings"
	"testing"

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

// TestASessionLeavesNothingBehind holds that the next request of a user starts afresh, and that no session changes its role.
func TestASessionLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	ctx := context.Background()
	pool, err := postgres.Open(ctx, db.URL("tinydev_server"), "tinydev", 2)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	sessions := postgres.NewSessions(db.URL("tinydev_server"), pool, postgres.Options{PerUser: 1})
	defer sessions.Close()
	first, err := sessions.Acquire(ctx, pgtest.Ann)
	if err != nil {
		t.Fatal(err)
	}
	pid := pgtest.Value[int](t, first, "select pg_backend_pid()")
	for _, sql := range []string{"set search_path = pg_temp", "select set_config('x.y', 'z', false)", "select pg_advisory_lock(7)", "create temporary table left_behind (a int)",
		"listen tinydev", "declare c cursor with hold for select 1"} {
		if _, err := first.Exec(ctx, sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	first.Release()
	second, err := sessions.Acquire(ctx, pgtest.Ann)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Release()
	if again := pgtest.Value[int](t, second, "select pg_backend_pid()"); again != pid {
		t.Errorf("the session was not kept: %d, then %d", pid, again)
	}
	left := pgtest.Value[string](t, second, `select concat_ws(' ', nullif(current_setting('search_path'), '"$user", public'), nullif(current_setting('x.y', true), ''),
		(select 'lock' from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()), (select 'table' from pg_class where relname = 'left_behind'),
		(select 'cursor' from pg_cursors where name = 'c'), (select 'listen' from pg_listening_channels()))`)
	if left != "" {
		t.Errorf("the last request left: %s", left)
	}
	for _, role := range []string{"tinydev_superuser", "tinydev_server", "tinydev_owner", "nobody_at_all"} {
		if _, err := sessions.Acquire(ctx, role); fault.CodeOf(err) != "not_a_user" {
			t.Errorf("a session as %s: %v", role, err)
		}
	}
}
