package control_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// TestLeakyFunctions holds that no view of ours shows a row, or part of one, to a function that a planner would rather call first: eve calls one
// that tells what it is given, on each column of each view that she may read, while all of bob's things are named after what must not be told.
func TestLeakyFunctions(t *testing.T) {
	t.Parallel()
	const marker = "hidden7"
	db := pgtest.DB(t)
	super, bob := db.Superuser(), db.Conn(pgtest.Bob)
	run(t, bob, "create table hidden7 (hidden7 text)", "comment on table hidden7 is 'hidden7'", "select tinydev.create_view('hidden7_view', 'select 1 as hidden7')", "select tinydev.schedule('hidden7_view', '* * * * *')",
		"select cron.schedule_in_database('hidden7', '* * * * *', 'select ''hidden7''', current_database())", "call tinydev.refresh('hidden7_view')",
		`select tinydev.record_upload('hidden7', jsonb_build_object('is_new', true, 'row_count', 2, 'body_bytes', 3, 'sha256', repeat('a', 64), 'source', 'hidden7.csv', 'encoding', 'UTF8', 'delimiter', ',', 'columns', '[]'::jsonb, 'duration_ms', 1))`)
	run(t, super, `insert into cron.job_run_details (jobid, runid, database, username, command, status, return_message, start_time)
		select jobid, 1000000 + jobid, database, username, command, 'failed', 'hidden7', now() from cron.job where username = 'bob'`,
		"insert into tinydev_impl.token (sha256, role_name, name) values (repeat('b', 64), 'bob', 'hidden7')",
		"insert into tinydev_impl.trust (role_name, owner_name) values ('bob', 'Ann')",
		"insert into tinydev_impl.identity (issuer, subject, role_name) values ('hidden7', 'hidden7', 'bob')",
		"select tinydev_impl.place()")
	names := pgtest.Value[[]string](t, super, `
select array_agg(c.relname || '.' || a.attname order by c.relname, a.attnum) from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
 where c.relnamespace = 'tinydev'::regnamespace and c.relkind in ('r', 'v') and has_table_privilege('eve', c.oid, 'select')`)
	tells := watched(t, db.URL(pgtest.Eve))
	run(t, tells.conn, `create function leak(value anyelement) returns boolean language plpgsql cost 0.0000001 as $$ begin raise notice '%', value; return true; end $$`,
		"set enable_hashjoin = off", "set enable_mergejoin = off")
	for _, place := range names {
		relation, column, _ := strings.Cut(place, ".")
		for _, sql := range []string{
			"select count(*) from tinydev.%s v where leak(v.%s)", "select count(*) from tinydev.%s v where leak(v) and leak(v.%s)", "select 1 from tinydev.%s v order by leak(v.%s)",
			"select count(*) from (select * from tinydev.%s) v where case when leak(v.%s) then true end", "select count(*) from tinydev.%s v join (select 1) x on leak(v.%s)", "select leak(v.%[2]s) from tinydev.%[1]s v limit 1000",
		} {
			sql = fmt.Sprintf(sql, relation, column)
			if _, err := tells.conn.Exec(context.Background(), sql); err != nil && sqlState(err) != "42883" { // a pseudo-type
				t.Errorf("%s: %v", sql, err)
			}
			for _, notice := range tells.take() {
				if strings.Contains(notice, marker) || strings.Contains(notice, strings.Repeat("b", 64)) {
					t.Errorf("%s tells %q", sql, notice)
				}
			}
		}
	}
	// The same attack does work where one may read.
	found := watched(t, db.URL(pgtest.Bob))
	run(t, found.conn, `create function leak(value anyelement) returns boolean language plpgsql as $$ begin raise notice '%', value; return true; end $$`)
	for _, relation := range []string{"relation", "job", "run", "upload", "event"} {
		run(t, found.conn, "select count(*) from tinydev."+relation+" v where leak(v)")
		if !strings.Contains(strings.Join(found.take(), "\n"), marker) {
			t.Errorf("bob does not see his own in tinydev.%s", relation)
		}
	}
}

// TestStatisticsTellNothing holds that neither statistics nor error texts of constraints show what row security hides.
func TestStatisticsTellNothing(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	run(t, db.Conn(pgtest.Bob), `create table hidden7 (a text); insert into hidden7 select 'hidden7' from generate_series(1, 1000)`,
		`select tinydev.record_upload('hidden7', jsonb_build_object('is_new', true, 'row_count', 2, 'body_bytes', 3, 'sha256', repeat('a', 64), 'source', 'hidden7.csv', 'encoding', 'UTF8', 'delimiter', ',', 'columns', '[]'::jsonb, 'duration_ms', 1))`)
	run(t, db.Superuser(), "analyze")
	eve := db.Conn(pgtest.Eve)
	if n := pgtest.Value[int](t, eve, "select count(*)::int from pg_stats where most_common_vals::text like '%hidden7%' and schemaname not in ('pg_catalog')"); n != 0 {
		t.Errorf("pg_stats shows %d columns of bob's", n)
	}
	bob := db.Conn(pgtest.Bob)
	run(t, bob, "select cron.schedule_in_database('hidden7', '0 0 1 1 *', 'select ''hidden7''', current_database())", "select 'hidden7'") // the last query of an idle session shows
	for _, query := range []string{"select count(*)::int from cron.job j where j::text like '%hidden7%'", "select count(*)::int from cron.job_run_details d where d::text like '%hidden7%'",
		"select count(*)::int from pg_stat_activity a where a.query like '%hidden7%' and a.usename <> 'eve'"} {
		if n := pgtest.Value[int](t, eve, query); n != 0 {
			t.Errorf("%s: %d", query, n)
		}
	}
	_, err := eve.Exec(context.Background(), `select tinydev.record_upload('bob.hidden7', jsonb_build_object('sha256', repeat('a', 64)))`)
	if err == nil || strings.Contains(err.Error(), "upload 1") {
		t.Errorf("a load into bob's table: %v", err)
	}
}

// watcher is a session whose notices are kept.
type watcher struct {
	conn    *pgx.Conn
	notices []string
}

func watched(t testing.TB, url string) *watcher {
	t.Helper()
	w := &watcher{}
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { w.notices = append(w.notices, n.Message+n.Detail) }
	if w.conn, err = pgx.ConnectConfig(context.Background(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.conn.Close(context.Background()) })
	return w
}

func (w *watcher) take() []string {
	all := w.notices
	w.notices = nil
	return all
}
