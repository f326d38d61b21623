package control_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

func exec(t *testing.T, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := conn.Exec(context.Background(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// sqlstate runs a statement that has to fail and gives its SQLSTATE.
func sqlstate(t *testing.T, conn *pgx.Conn, statement string) string {
	t.Helper()
	_, err := conn.Exec(context.Background(), statement)
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		t.Fatalf("%s: %v, want an error of PostgreSQL's", statement, err)
	}
	return pg.Code
}

// events gives the data of all events of a type about a subject, in order, as {"rows":…} texts.
func events(t *testing.T, db *pgtest.Database, kind, subject string) []map[string]any {
	t.Helper()
	super := db.Superuser()
	pgtest.Value[int](t, super, "select placed from tinydev_impl.place(10000)")
	return pgtest.Value[[]map[string]any](t, super, "select coalesce(jsonb_agg(data order by position), '[]') from tinydev_impl.event where type = $1 and subject = $2", kind, subject)
}

func TestRefreshFromEverywhere(t *testing.T) {
	t.Parallel()
	_, db := open(t)
	ann := db.Conn(pgtest.Ann)
	exec(t, ann, "create table t (a int)", "select tinydev.create_view('v', 'select a from t')",
		"call tinydev.refresh('v')",
		"begin", "call tinydev.refresh('v')", "commit",
		"do $$ begin call tinydev.refresh('v'); end $$",
		"create function f() returns void language plpgsql as $$ begin call tinydev.refresh('v', cause => 'upstream'); end $$", "select f()")
	if got := events(t, db, "view.refreshed", `"Ann".v`); len(got) != 4 || got[0]["cause"] != "manual" || got[3]["cause"] != "upstream" {
		t.Errorf("events %v, want 4", got)
	}
	exec(t, ann, "begin", "call tinydev.refresh('v')", "rollback")
	if got := events(t, db, "view.refreshed", `"Ann".v`); len(got) != 4 {
		t.Errorf("a refresh that was rolled back left an event: %v", got)
	}
}

func TestRefreshCountsChanges(t *testing.T) {
	t.Parallel()
	_, db := open(t)
	ann := db.Conn(pgtest.Ann)
	exec(t, ann, "create table t (a int)", "insert into t select generate_series(1, 10)", "select tinydev.create_view('v', 'select a from t')",
		"create unique index on v (a)", "call tinydev.refresh('v')", "delete from t where a <= 2", "insert into t values (11), (12), (13)", "call tinydev.refresh('v')")
	got := events(t, db, "view.refreshed", `"Ann".v`)
	if len(got) != 2 || got[0]["changed"] != false || got[0]["concurrently"] != true || got[1]["changed"] != true ||
		got[1]["inserted"] != 3.0 || got[1]["deleted"] != 2.0 || got[1]["rows"] != 11.0 {
		t.Errorf("events %v", got)
	}
}

func TestFailuresAreRecordedAndRaised(t *testing.T) {
	t.Parallel()
	_, db := open(t)
	ann := db.Conn(pgtest.Ann)
	exec(t, ann, "create table t (a int)", "create function slow() returns int language sql volatile as 'select pg_sleep(20); select 1'",
		"create function sure(a int) returns int language plpgsql as $$ begin assert a is null, 'not so'; return a; end $$",
		"select tinydev.create_view('divides', 'select 1/a as q from t')", "select tinydev.create_view('sleeps', 'select \"Ann\".slow() from t')",
		"select tinydev.create_view('asserts', 'select \"Ann\".sure(a) from t')", "insert into t values (0)")
	for view, want := range map[string]string{"divides": "22012", "asserts": "P0004"} {
		if got := sqlstate(t, ann, "call tinydev.refresh('"+view+"')"); got != want {
			t.Errorf("%s raised %s, want %s", view, got, want)
		}
	}
	exec(t, ann, "set statement_timeout = '300ms'")
	if got := sqlstate(t, ann, "call tinydev.refresh('sleeps')"); got != "57014" {
		t.Errorf("a canceled refresh raised %s", got)
	}
	exec(t, ann, "set statement_timeout = 0")
	if got := sqlstate(t, ann, "call tinydev.refresh('gone')"); got != "TD404" {
		t.Errorf("a view that is gone raised %s", got)
	}
	for view, want := range map[string]string{"divides": "22012", "asserts": "P0004", "sleeps": "57014", "gone": "TD404"} {
		if got := events(t, db, "view.failed", `"Ann".`+view); len(got) != 1 || got[0]["sqlstate"] != want {
			t.Errorf("%s left %v, want one view.failed with %s", view, got, want)
		}
	}
	exec(t, ann, "begin")
	if got := sqlstate(t, ann, "call tinydev.refresh('divides')"); got != "22012" {
		t.Errorf("inside a transaction it raised %s", got)
	}
	exec(t, ann, "rollback")
}

func TestOnlyTheOwnersOwnSessionRefreshes(t *testing.T) {
	t.Parallel()
	_, db := open(t)
	ann, super := db.Conn(pgtest.Ann), db.Superuser()
	exec(t, ann, "create table seen (who text)", "create function who() returns text language plpgsql as $$ begin insert into \"Ann\".seen values (current_user || '/' || session_user); return 'x'; end $$",
		"select tinydev.create_view('v', 'select \"Ann\".who()')")
	if got := sqlstate(t, super, `call tinydev.refresh('"Ann".v')`); got != "TD403" {
		t.Errorf("the superuser's refresh raised %s", got)
	}
	exec(t, super, `set role "Ann"`)
	if got := sqlstate(t, super, `call tinydev.refresh('"Ann".v')`); got != "TD403" {
		t.Errorf("a refresh under SET ROLE raised %s", got)
	}
	exec(t, ann, "call tinydev.refresh('v')")
	if who := pgtest.Value[string](t, ann, "select string_agg(distinct who, ',') from seen"); who != "Ann/Ann" {
		t.Errorf("the view's function ran as %s", who)
	}
}

// TestPgCronRefreshes has pg_cron itself run jobs for two minutes, without a server: schedules, a failing view, a job that is
// removed while it repeats, and the placing of events where no relay runs.
func TestPgCronRefreshes(t *testing.T) {
	t.Parallel()
	db := pgtest.Live(t)
	ann := db.Conn(pgtest.Ann)
	const patience = 150 * time.Second
	// What runs for minutes must not keep the others waiting.
	exec(t, db.Conn(pgtest.Bob), "select cron.schedule_in_database('sleeper', '* * * * *', 'select pg_sleep(600)', current_database())")
	exec(t, ann, "create table t (a int)", `create table "odd ""name" (a int)`,
		"select tinydev.create_view('each_second', 'select clock_timestamp() as t')",
		`select tinydev.create_view('"Odd ''View"', 'select * from "odd ""name"')`,
		"select tinydev.create_view('fails', 'select 1/a as q from t')",
		"select tinydev.create_view('stops', 'select 1 as a')",
		"insert into t values (0)",
		"select tinydev.schedule('each_second', '1 second')", `select tinydev.schedule('"Odd ''View"', '2 seconds')`,
		"select tinydev.schedule('fails', '10 seconds')", "select tinydev.schedule('stops', '1 second')")
	count := func(kind, subject string) int {
		return pgtest.Value[int](t, ann, "select count(*)::int from tinydev.event where type = $1 and subject = $2 and data ->> 'cause' = 'schedule'", kind, subject)
	}
	inbox := db.Superuser()
	pgtest.Eventually(t, patience, "a job that repeats begins", func() bool {
		return pgtest.Value[bool](t, inbox, `select exists (select from tinydev_impl.inbox where subject = '"Ann".stops') or exists (select from tinydev_impl.event where subject = '"Ann".stops' and type = 'view.refreshed')`)
	})
	exec(t, ann, "select tinydev.unschedule('stops')")
	time.Sleep(1500 * time.Millisecond) // a turn that was under way ends
	const total = `select (select count(*)::int from tinydev_impl.inbox where subject = '"Ann".stops') + (select count(*)::int from tinydev_impl.event where subject = '"Ann".stops')`
	before := pgtest.Value[int](t, inbox, total)

	pgtest.Eventually(t, patience, "events are placed without a relay", func() bool {
		return count("view.refreshed", `"Ann".each_second`) >= 10 && count("view.refreshed", `"Ann"."Odd 'View"`) >= 5 && count("view.failed", `"Ann".fails`) >= 2
	})
	if after := pgtest.Value[int](t, inbox, total); after != before {
		t.Errorf("%d more turns after the job was removed", after-before)
	}
	failed := pgtest.Value[map[string]any](t, ann, `select data from tinydev.event where type = 'view.failed' limit 1`)
	if failed["sqlstate"] != "22012" || failed["message"] != "division by zero" {
		t.Errorf("view.failed says %v", failed)
	}
	pgtest.Eventually(t, patience, "pg_cron calls the failing run failed, and others succeeded", func() bool {
		return pgtest.Value[bool](t, ann, `select exists (select from tinydev.run where view = '"Ann".fails' and status = 'failed' and message like '%division by zero%')
			and exists (select from tinydev.run where view = '"Ann".each_second' and status = 'succeeded')`)
	})
	if n := pgtest.Value[int](t, db.Conn(pgtest.Bob), "select (select count(*) from tinydev.run where view is not null)::int + (select count(*) from tinydev.job where is_managed)::int"); n != 0 {
		t.Errorf("bob sees %d of ann's jobs and runs", n)
	}
}
