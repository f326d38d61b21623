package control_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// launched runs the command of a job as pg_cron does: with a row in cron.job_run_details that is open meanwhile. It gives that row's number.
func launched(t *testing.T, db *pgtest.Database, jobID int64) (runID int64, err error) {
	t.Helper()
	super := db.Superuser()
	var command, owner string
	if err := super.QueryRow(t.Context(), `insert into cron.job_run_details (jobid, runid, database, username, command, status, start_time)
		select jobid, nextval('cron.runid_seq'), database, username, command, 'running', clock_timestamp() from cron.job where jobid = $1
		returning runid, command, username`, jobID).Scan(&runID, &command, &owner); err != nil {
		t.Fatal(err)
	}
	_, err = db.Conn(owner).Exec(t.Context(), command)
	status, message := "succeeded", "CALL"
	if err != nil {
		status, message = "failed", "ERROR: "+err.Error()
	}
	exec(t, super, fmt.Sprintf("update cron.job_run_details set status = '%s', return_message = %s, end_time = clock_timestamp() where runid = %d", status, quoted(message), runID))
	return runID, err
}

func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// jobOf makes a view and a job of ann's, and gives the job's number.
func jobOf(t *testing.T, ann *pgx.Conn, view, query, options string) int64 {
	t.Helper()
	exec(t, ann, fmt.Sprintf("select tinydev.create_view('%s', $q$%s$q$)", view, query))
	return pgtest.Value[int64](t, ann, fmt.Sprintf("select (tinydev.schedule('%s', %s) ->> 'job_id')::bigint", view, options))
}

// runsOf lists the runs of a job as "status cause", the oldest first.
func runsOf(t *testing.T, ann *pgx.Conn, jobID int64) string {
	t.Helper()
	return pgtest.Value[string](t, ann, "select coalesce(string_agg(status || ' ' || cause, ', ' order by run_id), '') from tinydev.run where job_id = $1", jobID)
}

// events lists what the inbox has of a type about a view of ann's, as their data.
func inboxOf(t *testing.T, db *pgtest.Database, eventType string) []map[string]any {
	t.Helper()
	return pgtest.Value[[]map[string]any](t, db.Superuser(), "select coalesce(array_agg(data order by event_id), '{}') from tinydev_impl.inbox where type = $1", eventType)
}

func TestRunIsRecorded(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	ann := db.Conn(pgtest.Ann)
	job := jobOf(t, ann, "v", "select g from generate_series(1, 7) g", "'0 0 * * *', timeout_seconds => 60")
	if _, err := launched(t, db, job); err != nil {
		t.Fatal(err)
	}
	// What nothing was due for is no run; what a person calls is.
	if got := runsOf(t, ann, job); got != "" {
		t.Errorf("runs of a job that was not due: %s", got)
	}
	exec(t, db.Superuser(), fmt.Sprintf("update tinydev_impl.job_state set handled_to = now() - interval '25 hours', next_due_at = null where job_id = %d", job))
	runID, err := launched(t, db, job)
	if err != nil {
		t.Fatal(err)
	}
	exec(t, ann, fmt.Sprintf("call tinydev.run_job(%d)", job), "call tinydev.refresh('v')", "begin; call tinydev.refresh('v'); rollback", "begin; call tinydev.refresh('v'); commit")
	if got, want := runsOf(t, ann, job), "succeeded schedule, succeeded manual, succeeded manual, succeeded manual"; got != want {
		t.Errorf("runs: %s, want %s", got, want)
	}
	run := pgtest.Value[map[string]any](t, ann, "select to_jsonb(r) from tinydev.run r where run_id = $1", runID)
	if run["rows"] != 7.0 || run["cron_run_id"] != float64(runID) || run["owner"] != pgtest.Ann || run["actor"] != pgtest.Ann || run["timeout_seconds"] != 60.0 || run["due_at"] == nil || run["event_id"] == nil || run["duration_ms"] == nil {
		t.Errorf("the run is %v", run)
	}
	exec(t, ann, "create materialized view bad as select 1 / g as q from generate_series(1, 3) g")
	exec(t, ann, "create table zero (g int)", "select tinydev.create_view('fails', 'select 1 / g as q from zero')", "insert into zero values (0)")
	if _, err := ann.Exec(t.Context(), "call tinydev.refresh('fails')"); err == nil {
		t.Error("a division by zero went through")
	}
	failed := pgtest.Value[map[string]any](t, ann, `select to_jsonb(r) from tinydev.run r where view = '"Ann".fails'`)
	if failed["status"] != "failed" || failed["sqlstate"] != "22012" || failed["message"] != "division by zero" || failed["job_id"] != nil {
		t.Errorf("the failed run is %v", failed)
	}
	// Others see it only when they may read the view, and then not the message.
	bob := db.Conn(pgtest.Bob)
	if n := pgtest.Value[int](t, bob, "select count(*)::int from tinydev.run"); n != 0 {
		t.Errorf("bob sees %d runs", n)
	}
	exec(t, ann, `grant usage on schema "Ann" to bob`, "grant select on fails to bob")
	if n := pgtest.Value[int](t, bob, "select count(*)::int from tinydev.run where message is null and sqlstate = '22012'"); n != 1 {
		t.Errorf("bob sees %d runs of what he may read", n)
	}
	// Nobody writes runs of another's views, nor other rows than the procedure does.
	for _, sql := range []string{
		`insert into tinydev_lib.own_run (owner, view, cause) values ('Ann', '"Ann".fails', 'manual')`,
		`insert into tinydev_lib.own_run (owner, view, cause) values ('bob', '"Ann".fails', 'manual')`,
		`insert into tinydev_lib.own_run (owner, view, view_id, cause) values ('bob', '"Ann".fails', '"Ann".fails'::regclass, 'manual')`,
		`insert into tinydev_lib.own_run (owner, view, run_id, cause) values ('bob', 'bob.v', 1, 'manual')`,
		`update tinydev_lib.own_run set status = 'failed'`, `delete from tinydev_lib.own_run`, `lock table tinydev_lib.own_run in share mode`,
	} {
		if _, err := bob.Exec(t.Context(), sql); err == nil {
			t.Errorf("bob could: %s", sql)
		}
	}
}

// TestTimeZone holds what a job of another zone than pg_cron's is in cron.job, and that it refreshes only when its own clock says so.
func TestTimeZone(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	ann := db.Conn(pgtest.Ann)
	for _, c := range []struct{ schedule, zone, row string }{
		{"0 9 * * *", "Europe/Berlin", "0 7,8 * * *"},
		{"0 9 * * 1-5", "Asia/Kolkata", "30 3 * * *"},
		{"*/15 * * * *", "Europe/Berlin", "0,15,30,45 * * * *"},
		{"30 2 * * *", "Europe/Berlin", "0,30 0,1 * * *"}, // on the day of the shift at 01:00
		{"0 0 1 * *", "America/St_Johns", "30 2,3 * * *"},
		{"0 12 * * *", "Pacific/Chatham", "15 22,23 * * *"},
		{"0 9 * * *", "UTC", "0 9 * * *"},
		{"0 9 * * *", "gmt", "0 9 * * *"},
	} {
		exec(t, ann, "select tinydev.create_view('v', 'select 1 as a')")
		job := pgtest.Value[map[string]any](t, ann, "select tinydev.schedule('v', $1, time_zone => $2)", c.schedule, c.zone)
		row := pgtest.Value[string](t, ann, "select schedule from cron.job where jobid = $1", int64(job["job_id"].(float64)))
		if row != c.row || job["schedule"] != c.schedule {
			t.Errorf("%s in %s is %q in cron.job, want %q; the job says %v", c.schedule, c.zone, row, c.row, job["schedule"])
		}
		// All that is due within four years is among the minutes of the row.
		missing := pgtest.Value[[]time.Time](t, ann, `select coalesce(array_agg(r), '{}') from generate_series(0, 4) n, tinydev.next_runs($1, $2, 300, now() + n * interval '300 days') r, (select tinydev_lib.parse_schedule($3) offset 0) row(p)
			where not p -> 'minutes' @> to_jsonb(extract(minute from r at time zone 'UTC')::int) or not p -> 'hours' @> to_jsonb(extract(hour from r at time zone 'UTC')::int)`, c.schedule, c.zone, row)
		if len(missing) > 0 {
			t.Errorf("%s in %s is due at %v, which %q does not have", c.schedule, c.zone, missing[0], row)
		}
		exec(t, ann, "select tinydev.unschedule('v')", "drop materialized view v")
	}
	exec(t, ann, "select tinydev.create_view('v', 'select 1 as a')")
	for _, zone := range []string{"Nowhere/Else", "CET", "UTC+2", "x'); select 1; --"} {
		if _, err := ann.Exec(t.Context(), "select tinydev.schedule('v', '0 9 * * *', time_zone => $1)", zone); code(err) != "TD422" {
			t.Errorf("zone %q: %v", zone, err)
		}
	}
	// Each quarter of an hour in a zone, and only when it has come.
	job := pgtest.Value[int64](t, ann, "select (tinydev.schedule('v', '*/15 * * * *', time_zone => 'Asia/Kathmandu') ->> 'job_id')::bigint")
	for range 2 {
		if _, err := launched(t, db, job); err != nil {
			t.Fatal(err)
		}
	}
	if got := runsOf(t, ann, job); got != "" {
		t.Errorf("runs before it was due: %s", got)
	}
	exec(t, db.Superuser(), fmt.Sprintf("update tinydev_impl.job_state set handled_to = now() - interval '15 minutes', next_due_at = null where job_id = %d", job))
	for range 2 {
		if _, err := launched(t, db, job); err != nil {
			t.Fatal(err)
		}
	}
	if got := runsOf(t, ann, job); got != "succeeded schedule" {
		t.Errorf("runs: %s, want one", got)
	}
	// A change in psql is seen, and what passed before it is not due.
	exec(t, ann, fmt.Sprintf("select cron.alter_job(%d, active => false)", job), fmt.Sprintf("select cron.alter_job(%d, active => true)", job))
	if _, err := launched(t, db, job); err != nil {
		t.Fatal(err)
	}
	if got := runsOf(t, ann, job); got != "succeeded schedule" {
		t.Errorf("after it was paused and resumed: %s", got)
	}
}

func code(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return fmt.Sprint(err)
}

// TestOverlap has a run of each minute that lasted from 5.5 minutes ago until just now, so that five times passed meanwhile, which pg_cron makes up for by
// five runs one after the other.
func TestOverlap(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ overlap, want, skipped string }{
		{"skip", "skipped schedule", "5"},
		{"queue_one", "succeeded schedule", "4"},
		{"queue", "succeeded schedule, succeeded schedule, succeeded schedule, succeeded schedule, succeeded schedule", ""},
	} {
		t.Run(c.overlap, func(t *testing.T) {
			t.Parallel()
			db := pgtest.DB(t)
			ann := db.Conn(pgtest.Ann)
			job := jobOf(t, ann, "v", "select 1 as a", fmt.Sprintf("'* * * * *', overlap => '%s'", c.overlap))
			exec(t, db.Superuser(), fmt.Sprintf(`update tinydev_impl.job_state set handled_to = date_trunc('minute', now()) - interval '5 minutes', next_due_at = null,
				last_started_at = date_trunc('minute', now()) - interval '5 minutes', last_ended_at = clock_timestamp() where job_id = %d`, job))
			for range 5 {
				if _, err := launched(t, db, job); err != nil {
					t.Fatal(err)
				}
				// The minute may turn while this runs; what comes due then is no concern here.
				exec(t, db.Superuser(), fmt.Sprintf("update tinydev_impl.job_state set next_due_at = null, last_started_at = least(last_started_at, handled_to) where job_id = %d", job))
			}
			if got := runsOf(t, ann, job); got != c.want && !strings.HasPrefix(got, c.want+", ") {
				t.Errorf("runs: %s, want %s", got, c.want)
			}
			skipped := ""
			if events := inboxOf(t, db, "view.skipped"); len(events) > 0 {
				skipped = fmt.Sprint(events[0]["count"])
			}
			if skipped != c.skipped {
				t.Errorf("skipped %q, want %q", skipped, c.skipped)
			}
			if events := inboxOf(t, db, "view.missed"); len(events) > 0 {
				t.Errorf("missed: %v", events)
			}
		})
	}
}

// TestMissed sets a job back to an hour ago, as if PostgreSQL had been down since.
func TestMissed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		missed string
		runs   int
	}{{"none", 0}, {"once", 1}, {"all", 4}} {
		t.Run(c.missed, func(t *testing.T) {
			t.Parallel()
			db := pgtest.DB(t)
			ann, super := db.Conn(pgtest.Ann), db.Superuser()
			job := jobOf(t, ann, "v", "select 1 as a", fmt.Sprintf("'*/15 * * * *', missed => '%s'", c.missed))
			other := jobOf(t, ann, "fresh", "select 1 as a", "'*/15 * * * *'")
			exec(t, super, "select tinydev_impl.watch_jobs()")
			if events := inboxOf(t, db, "view.missed"); len(events) > 0 {
				t.Errorf("missed at once: %v", events)
			}
			exec(t, super, fmt.Sprintf(`update tinydev_impl.job_state set handled_to = date_trunc('hour', now()) - interval '62 minutes', next_due_at = date_trunc('hour', now()) - interval '1 hour'
				where job_id = %d`, job))
			// Two servers at once tell it once.
			done := make(chan error, 2)
			for range 2 {
				go func() {
					_, err := db.Superuser().Exec(context.Background(), "select tinydev_impl.watch_jobs()")
					done <- err
				}()
			}
			for range 2 {
				if err := <-done; err != nil {
					t.Fatal(err)
				}
			}
			events := inboxOf(t, db, "view.missed")
			if len(events) != 1 || events[0]["count"].(float64) < 4 || events[0]["then"] != c.missed || events[0]["job_id"] != float64(job) {
				t.Fatalf("missed: %v", events)
			}
			runs := 0
			for range 200 {
				var id int64
				var owner, cause string
				err := super.QueryRow(t.Context(), "select job_id, owner, cause from tinydev_impl.claim_runs(1)").Scan(&id, &owner, &cause)
				if errors.Is(err, pgx.ErrNoRows) {
					break
				}
				if err != nil || id != job || owner != pgtest.Ann || cause != "missed" {
					t.Fatalf("claimed %d %s %s: %v", id, owner, cause, err)
				}
				exec(t, ann, fmt.Sprintf("call tinydev.run_job(%d, 'missed')", id))
				runs++
			}
			if runs < c.runs || runs > int(events[0]["count"].(float64)) || c.missed == "once" && runs != 1 || c.missed == "none" && runs != 0 {
				t.Errorf("%d runs were made up for %v missed ones", runs, events[0]["count"])
			}
			if got := runsOf(t, ann, job); !strings.HasPrefix(got, "missed schedule") || strings.Count(got, "succeeded missed") != runs {
				t.Errorf("runs: %s", got)
			}
			if got := runsOf(t, ann, other); got != "" {
				t.Errorf("the other job has runs: %s", got)
			}
			// A pause is none of it.
			exec(t, ann, fmt.Sprintf("select tinydev.alter_job(%d, active => false)", job))
			exec(t, super, fmt.Sprintf("update tinydev_impl.job_state set handled_to = now() - interval '1 day', next_due_at = now() - interval '1 day' where job_id = %d", job))
			exec(t, super, "select tinydev_impl.watch_jobs()")
			exec(t, ann, fmt.Sprintf("select tinydev.alter_job(%d, active => true)", job))
			exec(t, super, "select tinydev_impl.watch_jobs()")
			if events := inboxOf(t, db, "view.missed"); len(events) != 1 {
				t.Errorf("after a pause: %v", events)
			}
		})
	}
}

// TestBusyIsNotMissed has pg_cron start all that it may, so that a job that was due half an hour ago waits for its turn.
func TestBusyIsNotMissed(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	ann, super := db.Conn(pgtest.Ann), db.Superuser()
	job := jobOf(t, ann, "v", "select 1 as a", "'*/15 * * * *'")
	exec(t, super, fmt.Sprintf("update tinydev_impl.job_state set handled_to = now() - interval '31 minutes', next_due_at = now() - interval '30 minutes' where job_id = %d", job),
		`insert into cron.job_run_details (jobid, runid, database, username, command, status, start_time)
			select 0, nextval('cron.runid_seq'), current_database(), 'tinydev_server', 'x', 'running', clock_timestamp() from generate_series(1, current_setting('cron.max_running_jobs')::integer)`,
		"select tinydev_impl.watch_jobs()")
	if events := inboxOf(t, db, "view.missed"); len(events) > 0 {
		t.Errorf("missed while pg_cron is busy: %v", events)
	}
	// Or it is late with fewer, for want of processor time.
	exec(t, super, "update cron.job_run_details set end_time = clock_timestamp() where runid = (select max(runid) from cron.job_run_details)",
		`insert into tinydev_impl.run (run_id, cron_run_id, owner, view, cause, actor, status, due_at, started_at, ended_at)
			select nextval('cron.runid_seq'), n, 'bob', 'bob.v', 'schedule', 'bob', 'succeeded', now() - interval '3 minutes', now(), now() from generate_series(1, 8) n`, "select tinydev_impl.watch_jobs()")
	if events := inboxOf(t, db, "view.missed"); len(events) > 0 {
		t.Errorf("missed while pg_cron is late: %v", events)
	}
	exec(t, super, "delete from tinydev_impl.run where owner = 'bob'", "select tinydev_impl.watch_jobs()")
	if events := inboxOf(t, db, "view.missed"); len(events) != 1 {
		t.Errorf("missed while pg_cron had room: %v", events)
	}
}

func TestRetries(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	ann, super := db.Conn(pgtest.Ann), db.Superuser()
	exec(t, ann, "create table zero (g int)")
	job := jobOf(t, ann, "fails", "select 1 / g as q from zero", "'0 0 * * *', retries => 2")
	exec(t, ann, "insert into zero values (0)")
	exec(t, super, fmt.Sprintf("update tinydev_impl.job_state set handled_to = now() - interval '25 hours', next_due_at = null where job_id = %d", job))
	if _, err := launched(t, db, job); code(err) != "22012" {
		t.Fatalf("%v", err)
	}
	for attempt := 1; ; attempt++ {
		events := inboxOf(t, db, "view.failed")
		last := events[len(events)-1]
		if len(events) != attempt || last["attempt"] != float64(attempt-1) {
			t.Fatalf("attempt %d: %v", attempt, events)
		}
		waits := pgtest.Value[*float64](t, super, "select date_part('epoch', extra_at - clock_timestamp()) from tinydev_impl.job_state where job_id = $1", job)
		if attempt == 3 {
			if waits != nil || last["retry_at"] != nil {
				t.Errorf("after the last retry: in %v s, %v", waits, last)
			}
			break
		}
		if low := 25 * float64(attempt); waits == nil || *waits < low || *waits > 3*low || last["retry_at"] == nil {
			t.Fatalf("attempt %d is in %v s, %v", attempt, waits, last)
		}
		if n := pgtest.Value[int](t, super, "select count(*)::int from tinydev_impl.claim_runs()"); n != 0 {
			t.Errorf("%d runs are claimed before their time", n)
		}
		exec(t, super, "update tinydev_impl.job_state set extra_at = clock_timestamp() where extra_at is not null")
		if n := pgtest.Value[int](t, super, "select count(*)::int from tinydev_impl.claim_runs() where cause = 'retry'"); n != 1 {
			t.Errorf("%d runs are claimed, want 1", n)
		}
		if n := pgtest.Value[int](t, super, "select count(*)::int from tinydev_impl.claim_runs()"); n != 0 {
			t.Errorf("a claimed run is claimed again")
		}
		if _, err := ann.Exec(t.Context(), fmt.Sprintf("call tinydev.run_job(%d, 'retry')", job)); code(err) != "22012" {
			t.Fatalf("%v", err)
		}
	}
	if got, want := runsOf(t, ann, job), "failed schedule, failed retry, failed retry"; got != want {
		t.Errorf("runs: %s, want %s", got, want)
	}
	described := pgtest.Value[map[string]any](t, ann, "select tinydev.describe_job($1)", job)
	if run := described["last_run"].(map[string]any); run["status"] != "failed" || run["failures"] != 3.0 || described["retries"] != 2.0 {
		t.Errorf("the job is %v", described)
	}
	exec(t, ann, "update zero set g = 1", fmt.Sprintf("call tinydev.run_job(%d)", job))
	described = pgtest.Value[map[string]any](t, ann, "select tinydev.describe_job($1)", job)
	if run := described["last_run"].(map[string]any); run["status"] != "succeeded" || run["failures"] != 0.0 {
		t.Errorf("after a success the job is %v", described)
	}
}

// TestRunsEnd has runs that take too long, are cancelled, or lose their session.
func TestRunsEnd(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	ann, bob, super := db.Conn(pgtest.Ann), db.Conn(pgtest.Bob), db.Superuser()
	exec(t, ann, "create table pause (s float)", "insert into pause values (0)", "select tinydev.create_view('slow', 'select pg_sleep(s)::text as a from pause')",
		"update pause set s = 600")
	start := func(call string) (runID int64, pid int, ended chan error) {
		t.Helper()
		ended = make(chan error, 1)
		conn := db.Conn(pgtest.Ann)
		go func() {
			_, err := conn.Exec(context.Background(), call)
			ended <- err
		}()
		pgtest.Eventually(t, 10*time.Second, "the run is seen", func() bool {
			return super.QueryRow(t.Context(), "select run_id, pid from tinydev_impl.run where status = 'running'").Scan(&runID, &pid) == nil
		})
		return runID, pid, ended
	}
	status := func(runID int64) string {
		t.Helper()
		return pgtest.Value[string](t, ann, "select status || ' ' || coalesce(sqlstate, '-') || ' ' || coalesce(message, '-') from tinydev.run where run_id = $1", runID)
	}

	runID, _, ended := start("call tinydev.refresh('slow', timeout_seconds => 1)")
	pgtest.Eventually(t, 10*time.Second, "it is cancelled for its time-out", func() bool {
		return strings.Contains(pgtest.Value[string](t, super, "select tinydev_impl.watch_runs()::text"), fmt.Sprintf(`{"timed_out": [%d]}`, runID))
	})
	if err := <-ended; code(err) != "57014" || !strings.Contains(err.Error(), "timeout_seconds, 1") {
		t.Errorf("the call ended with %v", err)
	}
	if got := status(runID); got != "failed 57014 it took longer than its timeout_seconds, 1" {
		t.Errorf("timed out: %s", got)
	}

	exec(t, ann, `grant usage on schema "Ann" to bob`, "grant select on slow to bob")
	runID, _, ended = start("call tinydev.refresh('slow')")
	if _, err := bob.Exec(t.Context(), "select tinydev.cancel_run($1)", runID); code(err) != "TD403" {
		t.Errorf("bob's cancel: %v", err)
	}
	if answer := pgtest.Value[map[string]any](t, bob, "insert into tinydev_lib.own_request (role_name, verb, arguments) values (current_user, 'cancel_run', jsonb_build_object('run_id', $1::bigint)) returning answer", runID); answer["cancelled"] != false || answer["view"] != nil {
		t.Errorf("bob's request: %v", answer)
	}
	if plan := pgtest.Value[map[string]any](t, ann, "select tinydev.cancel_run($1, dry_run => true)", runID); fmt.Sprint(plan["sql"]) != fmt.Sprintf("[select tinydev.cancel_run(%d);]", runID) {
		t.Errorf("dry run: %v", plan)
	}
	if answer := pgtest.Value[map[string]any](t, ann, "select tinydev.cancel_run($1)", runID); answer["cancelled"] != true {
		t.Errorf("cancelled: %v", answer)
	}
	if err := <-ended; code(err) != "57014" {
		t.Errorf("the call ended with %v", err)
	}
	if got := status(runID); got != "failed 57014 cancelled by Ann" {
		t.Errorf("cancelled: %s", got)
	}
	if _, err := ann.Exec(t.Context(), "select tinydev.cancel_run($1)", runID); code(err) != "TD409" {
		t.Errorf("cancelled twice: %v", err)
	}

	runID, pid, ended := start("call tinydev.refresh('slow')")
	if got := pgtest.Value[string](t, super, "select tinydev_impl.watch_runs()::text"); got != "{}" {
		t.Errorf("a run that is well: %s", got)
	}
	exec(t, super, fmt.Sprintf("select pg_terminate_backend(%d)", pid))
	<-ended
	pgtest.Eventually(t, 10*time.Second, "its end is told", func() bool {
		return strings.Contains(pgtest.Value[string](t, super, "select tinydev_impl.watch_runs()::text"), fmt.Sprintf(`{"lost": [%d]}`, runID))
	})
	events := inboxOf(t, db, "view.failed")
	if last := events[len(events)-1]; len(events) != 3 || last["code"] != "run_lost" || events[0]["code"] != "run_timed_out" || events[1]["code"] != "run_cancelled" {
		t.Errorf("events: %v", events)
	}
	if got := status(runID); !strings.HasPrefix(got, "failed - the session of the run ended") {
		t.Errorf("lost: %s", got)
	}
}

// TestReconcile has runs that pg_cron knows of and we do not.
func TestReconcile(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	ann, super := db.Conn(pgtest.Ann), db.Superuser()
	job := jobOf(t, ann, "v", "select 1 as a", "'* * * * *', retries => 1")
	exec(t, ann, "select cron.schedule_in_database('mine', '* * * * *', 'select 1', current_database())")
	exec(t, super, "update tinydev_impl.instance set runs_since = now() - interval '1 hour'", `
insert into cron.job_run_details (jobid, runid, database, username, command, status, return_message, start_time, end_time)
select j.jobid, nextval('cron.runid_seq'), j.database, j.username, j.command, s.status, s.message, now() - interval '2 minutes', now() - interval '1 minute'
  from cron.job j, (values (1, 'failed', 'job startup timeout'), (2, 'succeeded', 'CALL')) s(n, status, message) where j.username = 'Ann' order by j.jobid, s.n`)
	for _, want := range []int{2, 0} {
		if n := pgtest.Value[int](t, super, "select tinydev_impl.reconcile_runs()"); n != want {
			t.Errorf("%d runs were not recorded, want %d", n, want)
		}
	}
	if got := runsOf(t, ann, job); got != "failed schedule, unrecorded schedule" {
		t.Errorf("runs: %s", got)
	}
	events := inboxOf(t, db, "view.failed")
	if len(events) != 1 || events[0]["code"] != "launch_failed" || events[0]["message"] != "pg_cron could not run it: job startup timeout" || events[0]["retry_at"] == nil {
		t.Errorf("events: %v", events)
	}
	if n := pgtest.Value[int](t, ann, "select count(*)::int from tinydev.run where view is null"); n != 2 {
		t.Errorf("%d runs of what is not ours, want 2", n)
	}
}

func TestJobOptions(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	ann := db.Conn(pgtest.Ann)
	job := jobOf(t, ann, "v", "select 1 as a", "'0 9 * * *', time_zone => 'Europe/Berlin', overlap => 'queue', missed => 'none', timeout_seconds => 90, retries => 3")
	const command = `call tinydev.refresh('"Ann".v', cause => 'schedule', schedule => '0 9 * * *', time_zone => 'Europe/Berlin', overlap => 'queue', missed => 'none', timeout_seconds => 90, retries => 3)`
	if got := pgtest.Value[string](t, ann, "select command from tinydev.job where job_id = $1", job); got != command {
		t.Errorf("the command is %s", got)
	}
	has := func(change, want string) {
		t.Helper()
		got := pgtest.Value[string](t, ann, "select concat_ws(' ', d ->> 'schedule', d ->> 'time_zone', d ->> 'overlap', d ->> 'missed', d ->> 'timeout_seconds', d ->> 'retries', d ->> 'active') from (select "+change+") x(d)")
		if got != want {
			t.Errorf("%s: %s, want %s", change, got, want)
		}
	}
	has("tinydev.schedule('v', '5 9 * * *')", "5 9 * * * Europe/Berlin queue none 90 3 true")
	has(fmt.Sprintf("tinydev.alter_job(%d, active => false, retries => 0)", job), "5 9 * * * Europe/Berlin queue none 90 0 false")
	has(fmt.Sprintf("tinydev.alter_job(%d, time_zone => 'UTC', overlap => 'skip', missed => 'once', timeout_seconds => 0)", job), "5 9 * * * UTC skip once 0 false")
	if got := pgtest.Value[string](t, ann, "select command from tinydev.job where job_id = $1", job); got != `call tinydev.refresh('"Ann".v', cause => 'schedule')` {
		t.Errorf("with all defaults the command is %s", got)
	}
	for field, change := range map[string]string{"overlap": "overlap => 'twice'", "missed": "missed => 'maybe'", "timeout_seconds": "timeout_seconds => -1", "retries": "retries => 21"} {
		if _, err := ann.Exec(t.Context(), fmt.Sprintf("select tinydev.alter_job(%d, %s)", job, change)); code(err) != "TD422" {
			t.Errorf("%s: %v", field, err)
		}
	}
	other := jobOf(t, ann, "w", "select 1 as a", "'0 9 * * *'")
	if got := pgtest.Value[string](t, ann, "select tinydev.pause_jobs(dry_run => true)::text"); got != fmt.Sprintf(`{"sql": ["select cron.alter_job(%d, active => false);"]}`, other) {
		t.Errorf("dry run: %s", got)
	}
	if got := pgtest.Value[string](t, ann, "select tinydev.pause_jobs()::text"); got != fmt.Sprintf(`{"jobs": [%d], "active": false}`, other) {
		t.Errorf("paused: %s", got)
	}
	if got := pgtest.Value[string](t, ann, "select tinydev.pause_jobs(active => true)::text"); got != fmt.Sprintf(`{"jobs": [%d, %d], "active": true}`, job, other) {
		t.Errorf("resumed: %s", got)
	}
}
