package control_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

// settle places and makes the runs that are asked for, as servers do, until none is, and gives those made as "view cause", in order.
func settle(t *testing.T, db *pgtest.Database) string {
	t.Helper()
	server := db.Conn("tinydev_server")
	var made []string
	for range 100 {
		pgtest.Value[int](t, server, "select placed from tinydev_impl.place()")
		var job int64
		var owner, cause string
		err := server.QueryRow(t.Context(), "select job_id, owner, cause from tinydev_impl.claim_runs(1)").Scan(&job, &owner, &cause)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			t.Fatal(err)
		}
		if err == nil {
			made = append(made, pgtest.Value[string](t, db.Superuser(), "select view from tinydev_impl.job_state where job_id = $1", job)+" "+cause)
			_, _ = db.Conn(owner).Exec(t.Context(), "call tinydev.run_job($1, $2)", job, cause) // a failure is told by events
		} else if pgtest.Value[int](t, db.Superuser(), "select count(*)::int from tinydev_impl.inbox") == 0 {
			return strings.Join(made, ", ")
		}
	}
	t.Fatalf("it never ends: %s", made)
	return ""
}

// TestAfter has views refreshed after tables and views, each once in a wave and after all that it comes after.
func TestAfter(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	ann := db.Conn(pgtest.Ann)
	name := func(view string) string { return `"` + pgtest.Ann + `".` + view }
	exec(t, ann, "create table t as select 1 as n", "select tinydev.create_view('a', 'select n from t')")
	b := jobOf(t, ann, "b", "select n from a", "after => 'a'")
	jobOf(t, ann, "c1", "select n from a", "after => ' a ,t'")
	jobOf(t, ann, "c2", "select 1 / n as n from c1", "after => 'c1'")
	d := jobOf(t, ann, "d", "select c2.n from b, c2", "after => '*'")
	jobOf(t, ann, "e", "select n from d", "after => 'd', schedule => '0 3 * * *'")

	job := pgtest.Value[map[string]any](t, ann, "select to_jsonb(j) || tinydev.describe_job(job_id) from tinydev.job j where view = $1", name("d"))
	if job["schedule"] != nil || fmt.Sprint(job["after"]) != fmt.Sprintf("[%s %s]", name("b"), name("c2")) || job["words"] != "after "+name("b")+" or "+name("c2") ||
		len(job["next_runs"].([]any)) != 0 || job["command"] != fmt.Sprintf(`call tinydev.refresh('%s', cause => 'schedule', after => '%s, %s')`, name("d"), name("b"), name("c2")) {
		t.Errorf("the job is %v", job)
	}
	if got := pgtest.Value[string](t, db.Superuser(), "select schedule from cron.job where jobid = $1", d); got != "0 0 30 2 *" {
		t.Errorf("pg_cron has the schedule %s", got)
	}
	if words := pgtest.Value[string](t, ann, "select tinydev.describe_job(job_id) ->> 'words' from tinydev.job where view = $1", name("e")); !strings.HasSuffix(words, ", and after "+name("d")) {
		t.Errorf("e is refreshed %s", words)
	}

	settle(t, db)
	exec(t, ann, "call tinydev.refresh('a')")
	of := func(views ...string) string {
		for i, view := range views {
			views[i] = name(view) + " upstream"
		}
		return strings.Join(views, ", ")
	}
	if got, want := settle(t, db), of("b", "c1", "c2", "d", "e"); got != want {
		t.Errorf("after a: %s, want %s", got, want)
	}
	wave := pgtest.Value[string](t, ann, `select string_agg(distinct wave || ' ' || status || ' ' || (wave = (select event_id from tinydev.event where subject = $1 and type = 'view.refreshed' order by position desc limit 1)), ', ')
		from tinydev.run where cause = 'upstream'`, name("a"))
	if !strings.HasSuffix(wave, " succeeded true") || strings.Contains(wave, ",") {
		t.Errorf("the wave is %s", wave)
	}
	exec(t, ann, "select tinydev.record_event('table.loaded', 't'::regclass, 't', '{}')")
	if got, want := settle(t, db), of("c1", "c2", "d", "e"); got != want {
		t.Errorf("after t: %s, want %s", got, want)
	}

	// A branch that fails stops, and says so; the other goes on.
	exec(t, ann, "update t set n = 0", "call tinydev.refresh('a')")
	if got, want := settle(t, db), of("b", "c1", "c2"); got != want {
		t.Errorf("after a failure: %s, want %s", got, want)
	}
	skipped := pgtest.Value[string](t, ann, "select string_agg(concat_ws(' ', subject, data ->> 'reason', data ->> 'upstream'), ', ' order by position) from tinydev.event where type = 'view.skipped'")
	if want := fmt.Sprintf("%s upstream_failed %s, %s upstream_failed %s", name("d"), name("c2"), name("e"), name("d")); skipped != want {
		t.Errorf("skipped are %s, want %s", skipped, want)
	}
	if got := runsOf(t, ann, d); got != "succeeded upstream, succeeded upstream, skipped upstream" {
		t.Errorf("runs of d: %s", got)
	}
	exec(t, ann, "update t set n = 1", "call tinydev.refresh('a')")
	if got, want := settle(t, db), of("b", "c1", "c2", "d", "e"); got != want {
		t.Errorf("after it was mended: %s, want %s", got, want)
	}

	// With another attempt to come the branch waits.
	exec(t, ann, "select tinydev.schedule('c2', retries => 1)", "update t set n = 0", "call tinydev.refresh('a')")
	if got, want := settle(t, db), of("b", "c1", "c2"); got != want {
		t.Errorf("before the next attempt: %s, want %s", got, want)
	}
	exec(t, db.Superuser(), "update tinydev_impl.job_state set extra_at = now() where extra_at is not null")
	exec(t, ann, "update t set n = 1", "refresh materialized view a", "refresh materialized view c1")
	if got, want := settle(t, db), name("c2")+" retry, "+of("d", "e"); got != want {
		t.Errorf("after the next attempt: %s, want %s", got, want)
	}

	// What is paused waits for nothing.
	exec(t, ann, fmt.Sprintf("select tinydev.alter_job(%d, active => false)", b), "call tinydev.refresh('a')")
	if got, want := settle(t, db), of("c1", "c2", "d", "e"); got != want {
		t.Errorf("with b paused: %s, want %s", got, want)
	}
	if n := pgtest.Value[int](t, db.Superuser(), "select count(*)::int from tinydev_impl.upstream_mark"); n != 0 {
		t.Errorf("%d marks are left", n)
	}
	if lineage := pgtest.Value[string](t, ann, "select string_agg(concat_ws(' ', e ->> 'from', e ->> 'kind'), ', ' order by e ->> 'from') from jsonb_array_elements(tinydev.lineage() -> 'edges') e where e ->> 'to' = $1", fmt.Sprint("job:", d)); lineage != fmt.Sprintf("view:%s starts, view:%s starts", name("b"), name("c2")) {
		t.Errorf("lineage: %s", lineage)
	}
}

// refusal is the code of an error of ours.
func refusal(err error) string {
	var f *fault.Error
	if errors.As(postgres.Fault(err, ""), &f) {
		return f.Code
	}
	return fmt.Sprint(err)
}

// TestAfterIsRefused has the ways in which a job cannot come after others.
func TestAfterIsRefused(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	ann, bob := db.Conn(pgtest.Ann), db.Conn(pgtest.Bob)
	exec(t, bob, "create table secret as select 1 as n")
	exec(t, ann, "create table t as select 1 as n", "create view plain as select n from t")
	a := jobOf(t, ann, "a", "select 1 as n", "after => 't'")
	jobOf(t, ann, "b", "select n from a", "after => 'a'")
	jobOf(t, ann, "c", "select n from b", "'0 0 * * *', after => 'b'")
	for after, want := range map[string]string{
		"a": "dependency_cycle", "t, c": "dependency_cycle", "plain": "dependency_invalid", "nothing": "relation_not_found", `"` + pgtest.Bob + `".secret`: "not_readable", "a.b.c": "name_invalid", "*": "dependency_invalid",
	} {
		_, err := ann.Exec(t.Context(), "select tinydev.schedule('a', after => $1)", after)
		if got := refusal(err); got != want {
			t.Errorf("a after %s: %v, want %s", after, err, want)
		}
	}
	if _, err := ann.Exec(t.Context(), "select tinydev.schedule('a', after => '')"); refusal(err) != "schedule_invalid" {
		t.Errorf("neither a schedule nor what it comes after: %v", err)
	}
	exec(t, ann, "select tinydev.schedule('c', after => '')", "select tinydev.schedule('b', '5 0 * * *')", "select tinydev.schedule('b', '')")
	if got := pgtest.Value[string](t, ann, "select string_agg(coalesce(schedule, 'none') || coalesce(' after ' || array_to_string(after, ','), ''), '; ' order by job_id) from tinydev.job"); got != fmt.Sprintf(`none after "%s".t; none after "%s".a; 0 0 * * *`, pgtest.Ann, pgtest.Ann) {
		t.Errorf("the jobs are %s", got)
	}

	// A circle of commands that were written in psql ends, and what may not be read is not told of.
	exec(t, ann, fmt.Sprintf(`select cron.alter_job(%d, command => $$call tinydev.refresh('"%s".a', cause => 'schedule', after => '"%s".b, "%s".secret')$$)`, a, pgtest.Ann, pgtest.Ann, pgtest.Bob))
	exec(t, ann, "call tinydev.refresh('a')")
	if got, want := settle(t, db), fmt.Sprintf(`"%s".b upstream, "%s".a upstream`, pgtest.Ann, pgtest.Ann); got != want {
		t.Errorf("a circle: %s, want %s", got, want)
	}
	exec(t, bob, "select tinydev.record_event('table.loaded', 'secret'::regclass, 'secret', '{}')")
	if got := settle(t, db); got != "" {
		t.Errorf("after another's secret: %s", got)
	}
	// A forged wave is no error.
	exec(t, ann, `select tinydev.record_event('view.refreshed', 'a'::regclass, 'a', '{"wave": 1e300}'), tinydev.record_event('view.refreshed', 'a'::regclass, 'a', '{"wave": "x"}')`)
	settle(t, db)
}

// TestAfterAnother has a view refreshed after another user's, while it may be read.
func TestAfterAnother(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	ann, bob := db.Conn(pgtest.Ann), db.Conn(pgtest.Bob)
	exec(t, ann, "select tinydev.create_view('rates', 'select 1 as n')", fmt.Sprintf("select tinydev.share('rates', '%s')", pgtest.Bob))
	jobOf(t, bob, "v", fmt.Sprintf(`select n from "%s".rates`, pgtest.Ann), fmt.Sprintf(`after => '"%s".rates'`, pgtest.Ann))
	settle(t, db)
	exec(t, ann, "call tinydev.refresh('rates')")
	if got, want := settle(t, db), pgtest.Bob+".v upstream"; got != want {
		t.Errorf("after another's view: %q, want %s", got, want)
	}
	// An open transaction of its owner's holds up nobody but that job.
	exec(t, bob, "begin", "select tinydev.schedule('v', retries => 2)")
	exec(t, ann, "call tinydev.refresh('rates')")
	if got := settle(t, db); got != "" {
		t.Errorf("while its owner holds it: %s", got)
	}
	exec(t, bob, "commit")
	if got, want := settle(t, db), pgtest.Bob+".v upstream"; got != want {
		t.Errorf("afterwards: %q, want %s", got, want)
	}
	exec(t, ann, fmt.Sprintf("select tinydev.unshare('rates', '%s')", pgtest.Bob), "call tinydev.refresh('rates')")
	if got := settle(t, db); got != "" {
		t.Errorf("after it was unshared: %s", got)
	}
}
