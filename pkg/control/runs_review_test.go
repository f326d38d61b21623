package control_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// written puts a job into cron.job as psql does, and gives its number. pg_cron itself would start it once a year.
func written(t *testing.T, conn *pgx.Conn, name, view, arguments string) int64 {
	t.Helper()
	return pgtest.Value[int64](t, conn, "select cron.schedule_in_database($1, '0 0 1 1 *', pg_catalog.format('call tinydev.refresh(%L, cause => ''schedule''%s)', $2::text, $3::text), current_database())", name, view, arguments)
}

// TestJobsThatNobodyCanRead has commands written in psql whose schedule or zone is none: they stop nobody else's jobs from being looked at, nor lists of jobs.
func TestJobsThatNobodyCanRead(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann, bob, super := t.Context(), db.Conn(pgtest.Ann), db.Conn(pgtest.Bob), db.Superuser()
	exec(t, ann, "select tinydev.create_view('v', 'select 1 as a')")
	var jobs []int64
	for i, arguments := range []string{
		", schedule => 'garbage', time_zone => 'Europe/Berlin'", ", schedule => '* * * * *', time_zone => 'No/Where'", ", schedule => '99999999999 seconds', time_zone => 'UTC'",
	} {
		jobs = append(jobs, written(t, ann, fmt.Sprint("odd ", i), `"Ann".v`, arguments))
	}
	exec(t, bob, "select tinydev.create_view('v', 'select 1 as a')", "select tinydev.schedule('v', '0 0 * * *')")
	if n := pgtest.Value[int](t, super, "select tinydev_impl.watch_jobs()"); n != 4 {
		t.Errorf("%d jobs were looked at, want 4", n)
	}
	if n := pgtest.Value[int](t, super, "select tinydev_impl.watch_jobs()"); n != 0 {
		t.Errorf("%d jobs are looked at again", n)
	}
	if due := pgtest.Value[bool](t, super, "select next_due_at < 'infinity' from tinydev_impl.job_state where owner = 'bob'"); !due {
		t.Error("bob's job is never due")
	}
	listed := must[[]control.Job](t)(c.As(pgtest.Admin).Jobs(ctx, 0, 10))
	if len(listed) != 4 || len(listed[0].Warnings) != 1 || !strings.Contains(listed[0].Warnings[0], "garbage") {
		t.Errorf("the administrator sees %+v", listed)
	}
	// A change makes it a job as any other.
	exec(t, ann, fmt.Sprintf("select cron.alter_job(%d, command => $$call tinydev.refresh('\"Ann\".v', cause => 'schedule')$$)", jobs[0]))
	if n := pgtest.Value[int](t, super, "select tinydev_impl.watch_jobs()"); n != 1 {
		t.Errorf("%d jobs were looked at after the change, want 1", n)
	}
}

// TestMissedRunsOfOthersViews has a command that names another's view: nothing is told about it, and no run is made.
func TestMissedRunsOfOthersViews(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	ann, bob, super := db.Conn(pgtest.Ann), db.Conn(pgtest.Bob), db.Superuser()
	exec(t, bob, "select tinydev.create_view('v', 'select 1 as a')")
	written(t, ann, "odd", "bob.v", ", schedule => '* * * * *', time_zone => 'Asia/Tokyo'")
	exec(t, super, "update tinydev_impl.job_state set handled_to = now() - interval '1 hour', next_due_at = now() - interval '1 hour'", "select tinydev_impl.watch_jobs()")
	if events := inboxOf(t, db, "view.missed"); len(events) > 0 {
		t.Errorf("told about bob's view: %v", events)
	}
	if n := pgtest.Value[int](t, super, "select (select count(*) from tinydev_impl.run)::int + (select count(*) from tinydev_impl.claim_runs())::int"); n != 0 {
		t.Errorf("%d runs are recorded or asked for", n)
	}
}

// TestRunsInOthersSessions has code of ann's, which others call, begin a run that is then cancelled for its time-out; and a superuser, whom the server may not cancel.
func TestRunsInOthersSessions(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	ann, bob, super := db.Conn(pgtest.Ann), db.Conn(pgtest.Bob), db.Superuser()
	exec(t, ann, "select tinydev.create_view('v', 'select 1 as a')", `grant usage on schema "Ann" to public`,
		`create function begin_run() returns void language sql security definer as $$
			insert into tinydev_lib.own_run (owner, view, view_id, cause, timeout_seconds) values ('Ann', '"Ann".v', '"Ann".v'::regclass, 'manual', 1) $$`)
	for who, conn := range map[string]*pgx.Conn{"bob": bob, "a superuser": super} {
		if _, err := conn.Exec(t.Context(), `select "Ann".begin_run()`); code(err) != "TD403" {
			t.Errorf("a run of ann's in a session of %s: %v", who, err)
		}
	}
	// Nor does one session fill the list of what is under way.
	if _, err := ann.Exec(t.Context(), `insert into tinydev_lib.own_run (owner, view, view_id, cause) select 'Ann', '"Ann".v', '"Ann".v'::regclass, 'manual' from generate_series(1, 9)`); code(err) != "TD409" {
		t.Errorf("nine runs at once: %v", err)
	}

	exec(t, ann, "select begin_run()")
	exec(t, super, `insert into tinydev_impl.run (run_id, owner, view, cause, actor, status, started_at, timeout_seconds, pid, backend_start)
		select 1, 'tinydev_superuser', 'public.v', 'manual', 'tinydev_superuser', 'running', now(), 1, a.pid, a.backend_start from pg_stat_activity a where a.pid = pg_backend_pid()`,
		"update tinydev_impl.run set started_at = now() - interval '1 hour'")
	server := db.Conn("tinydev_server")
	if got := pgtest.Value[string](t, server, "select tinydev_impl.watch_runs()::text"); strings.Count(got, "timed_out") != 1 || strings.Contains(got, "[1") {
		t.Errorf("watched: %s", got)
	}
	// A session that goes on has ended its run, which is told.
	exec(t, ann, "call tinydev.refresh('v')")
	if got := pgtest.Value[string](t, ann, "select string_agg(status, ' ' order by run_id) from tinydev.run"); got != "failed succeeded" {
		t.Errorf("runs: %s", got)
	}
}

// TestJobHeldOpen has a user hold jobs in open transactions: others' runs are looked after all the same, and the user's own once the transactions end.
func TestJobHeldOpen(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	ann, server := db.Conn(pgtest.Ann), db.Conn("tinydev_server")
	held := jobOf(t, ann, "held", "select 1 as a", "'0 0 * * *'")
	free := jobOf(t, ann, "free", "select 1 as a", "'0 0 * * *'")
	exec(t, db.Superuser(), fmt.Sprintf("update cron.job set active = false where jobid = %d", held), fmt.Sprintf("insert into tinydev_impl.held_job (job_id, held_until) values (%d, now())", held))
	exec(t, ann, "begin", "call tinydev.refresh('held')")
	exec(t, db.Superuser(), fmt.Sprintf(`insert into tinydev_impl.run (run_id, job_id, owner, view, cause, actor, status, started_at, pid, backend_start)
		values (77, %d, 'Ann', '"Ann".held', 'manual', 'Ann', 'running', now(), 1, now()), (78, %d, 'Ann', '"Ann".free', 'manual', 'Ann', 'running', now(), 1, now())`, held, free),
		fmt.Sprintf(`insert into cron.job_run_details (jobid, runid, database, username, command, status, return_message, start_time, end_time)
			select jobid, jobid + 1000, database, username, command, 'failed', 'job startup timeout', now() - interval '1 minute', now() - interval '30 seconds' from cron.job where jobid in (%d, %d)`, held, free),
		"update tinydev_impl.instance set runs_since = now() - interval '1 hour'",
		"update tinydev_impl.job_state set next_due_at = now() - interval '1 hour' where view like '%free'")
	exec(t, server, "set statement_timeout = '20s'", "select tinydev_impl.enforce_limits()")
	if active := pgtest.Value[bool](t, ann, "select active from cron.job where jobid = $1", held); !active {
		t.Error("a job that was held goes on being held")
	}
	for _, want := range []string{"[78] 1 1", "[77] 1 0"} {
		got := pgtest.Value[string](t, server, "select concat_ws(' ', tinydev_impl.watch_runs() ->> 'lost', tinydev_impl.reconcile_runs(), tinydev_impl.watch_jobs(1))")
		if got != want {
			t.Errorf("looked after %s, want %s", got, want)
		}
		if want == "[78] 1 1" {
			exec(t, ann, "rollback")
			exec(t, db.Superuser(), "update tinydev_impl.job_state set next_due_at = 'infinity'")
		}
	}
	exec(t, server, "select tinydev_impl.upkeep()")
	if n := pgtest.Value[int](t, db.Superuser(), "select count(*)::int from tinydev_impl.job_state where active"); n != 2 {
		t.Errorf("%d jobs are known to be active, want 2", n)
	}
}

// TestHeldJobsMiss has a job that the system paused for its owner's limits and lets go on: what passed meanwhile is told, unlike after a pause of the owner's.
func TestHeldJobsMiss(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	super, server := db.Superuser(), db.Conn("tinydev_server")
	job := jobOf(t, db.Conn(pgtest.Ann), "v", "select 1 as a", "'*/10 * * * *', retries => 1")
	exec(t, super, fmt.Sprintf("update cron.job set active = false where jobid = %d", job), fmt.Sprintf("insert into tinydev_impl.held_job (job_id, held_until) values (%d, now())", job),
		"update tinydev_impl.job_state set handled_to = now() - interval '1 hour', next_due_at = now() - interval '50 minutes', extra_at = now() + interval '1 minute', extra_cause = 'retry', extra_count = 1")
	exec(t, server, "select tinydev_impl.enforce_limits()")
	if kept := pgtest.Value[bool](t, super, "select active and extra_cause = 'retry' from tinydev_impl.job_state"); !kept {
		t.Error("the job is not active, or its retry is forgotten")
	}
	exec(t, server, "select tinydev_impl.watch_jobs()")
	if events := inboxOf(t, db, "view.missed"); len(events) != 1 || events[0]["count"].(float64) < 5 {
		t.Errorf("missed: %v", events)
	}
}

// TestJobsOfOneView has two jobs of one view, the second made in psql: each run is that of the job that pg_cron started, and made up for once.
func TestJobsOfOneView(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	ann, super := db.Conn(pgtest.Ann), db.Superuser()
	first := jobOf(t, ann, "v", "select 1 as a", "'0 0 * * *'")
	second := written(t, ann, "second", `"Ann".v`, "")
	exec(t, super, "update tinydev_impl.job_state set handled_to = now() - interval '400 days', next_due_at = null")
	for _, job := range []int64{second, first} {
		if _, err := launched(t, db, job); err != nil {
			t.Fatal(err)
		}
		if got := runsOf(t, ann, job); !strings.HasPrefix(got, "succeeded schedule") {
			t.Errorf("runs of job %d: %s", job, got)
		}
	}
	exec(t, super, fmt.Sprintf("update tinydev_impl.job_state set extra_at = now(), extra_cause = 'missed', extra_count = 1 where job_id = %d", second))
	exec(t, ann, fmt.Sprintf("call tinydev.run_job(%d, 'missed')", second))
	if n := pgtest.Value[int](t, super, "select count(*)::int from tinydev_impl.job_state where extra_at is not null"); n != 0 {
		t.Error("the run that was missed is asked for again")
	}
}

// TestClock sets jobs back and forth: a clock that was put back, days without PostgreSQL, and the words for a day in another zone.
func TestClock(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	ann, super := db.Conn(pgtest.Ann), db.Superuser()
	daily := jobOf(t, ann, "daily", "select 1 as a", "'@daily', time_zone => 'Europe/Berlin'")
	if _, err := launched(t, db, daily); err != nil {
		t.Fatal(err)
	}
	if got := runsOf(t, ann, daily); got != "" {
		t.Errorf("runs of a day that has not come: %s", got)
	}

	back := jobOf(t, ann, "back", "select 1 as a", "'* * * * *'")
	ahead := func(job int64, by string) {
		t.Helper()
		exec(t, super, fmt.Sprintf("update tinydev_impl.job_state set handled_to = now() + interval '%[1]s', next_due_at = now() + interval '%[1]s' where job_id = %[2]d", by, job))
	}
	ahead(back, "1 hour")
	if _, err := launched(t, db, back); err != nil {
		t.Fatal(err)
	}
	if got := runsOf(t, ann, back); got != "succeeded schedule" {
		t.Errorf("runs after the clock was put back: %s", got)
	}
	ahead(back, "1 year")
	exec(t, super, "select tinydev_impl.watch_jobs()")
	if soon := pgtest.Value[bool](t, super, "select next_due_at < now() + interval '2 minutes' from tinydev_impl.job_state where job_id = $1", back); !soon {
		t.Error("the job is due in a year")
	}

	for range 2 {
		ahead(back, "-3 days")
		exec(t, super, "select tinydev_impl.watch_jobs()", "select tinydev_impl.watch_jobs()")
	}
	events := inboxOf(t, db, "view.missed")
	if len(events) != 2 || events[1]["count"].(float64) < 1990 {
		t.Errorf("told of three days twice: %v", events)
	}
	ahead(back, "-3 days")
	if _, err := launched(t, db, back); err != nil {
		t.Fatal(err)
	}
	if now := pgtest.Value[bool](t, ann, "select due_at > now() - interval '2 minutes' from tinydev.run where job_id = $1 and status = 'succeeded' order by run_id desc limit 1", back); !now {
		t.Error("a run after three days is one of three days ago")
	}
}

// TestMakeUp holds that a run besides the schedule may take as long as one that pg_cron starts, and that one user's leave places to others'.
func TestMakeUp(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ann, bob, super := db.Conn(pgtest.Ann), db.Conn(pgtest.Bob), db.Superuser()
	exec(t, ann, "create table pause (s float)", "insert into pause values (0)")
	slow := jobOf(t, ann, "slow", "select pg_sleep(s)::text as a from pause", "'0 0 * * *'")
	for i := range 3 {
		jobOf(t, ann, fmt.Sprint("v", i), "select 1 as a", "'0 0 * * *'")
	}
	jobOf(t, bob, "v", "select 1 as a", "'0 0 * * *'")
	ask := "update tinydev_impl.job_state set extra_at = now() - interval '1 minute' * case owner when 'bob' then 1 else 2 end, extra_cause = 'missed', extra_count = 1, claimed_until = null"
	claimed := func() string {
		t.Helper()
		return pgtest.Value[string](t, super, "select coalesce(string_agg(owner, ' ' order by owner), '') from tinydev_impl.claim_runs(2)")
	}
	exec(t, super, ask)
	if got := claimed() + ", " + claimed(); got != "Ann bob, Ann" {
		t.Errorf("claimed: %s", got)
	}
	exec(t, super, ask, `insert into tinydev_impl.run (run_id, owner, view, cause, actor, status) select n, 'Ann', '"Ann".v0', 'retry', 'Ann', 'running' from generate_series(-2, -1) n`)
	if got := claimed() + ", " + claimed(); got != "bob, " {
		t.Errorf("claimed while two of ann's are under way: %s", got)
	}

	exec(t, ann, "update pause set s = 1.2")
	one := 1
	must[control.Change[control.Account]](t)(c.As(pgtest.Admin).AlterUser(t.Context(), pgtest.Ann, nil, control.Limits{StatementSeconds: &one}, false))
	if err := c.As(pgtest.Ann).MakeUp(context.Background(), slow, "missed"); err != nil {
		t.Errorf("a run that takes longer than a request may: %v", err)
	}
	if err := c.As(pgtest.Ann).MakeUp(context.Background(), slow, "manual"); err != nil {
		t.Errorf("another one: %v", err)
	}
	if _, err := c.As(pgtest.Ann).RunJob(context.Background(), slow, false); err == nil {
		t.Error("a request took longer than it may")
	}
}

// TestPagesOfRuns holds that who asks for the runs of a view does not look through all that pg_cron ran, and what a page has of runs of each kind.
func TestPagesOfRuns(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann, super := t.Context(), db.Conn(pgtest.Ann), db.Superuser()
	job := jobOf(t, ann, "v", "select 1 as a", "'0 0 * * *'")
	other := pgtest.Value[int64](t, ann, "select cron.schedule_in_database('mine', '* * * * *', 'select 1', current_database())")
	exec(t, super, `insert into cron.job_run_details (jobid, runid, database, username, command, status, start_time, end_time)
		select jobid, nextval('cron.runid_seq'), database, username, command, 'succeeded', now() - interval '2 days', now() - interval '2 days' from cron.job where username = 'Ann' order by jobid`)
	exec(t, ann, "call tinydev.refresh('v')")
	exec(t, super, `insert into cron.job_run_details (jobid, runid, database, username, command, status, start_time, end_time)
		select jobid, nextval('cron.runid_seq'), database, username, command, 'succeeded', now(), now() from cron.job where username = 'Ann' order by jobid`)
	for id, want := range map[int64]int{job: 2, other: 2} {
		if runs := must[[]control.Run](t)(c.As(pgtest.Ann).Runs(ctx, id, 0, 10)); len(runs) != want {
			t.Errorf("job %d has %d runs, want %d: %+v", id, len(runs), want, runs)
		}
	}
	if runs := must[[]control.Run](t)(c.As(pgtest.Ann).ViewRuns(ctx, "v", 0, 10)); len(runs) != 2 || runs[0].Cause != "manual" || runs[1].Cause != "schedule" {
		t.Errorf("the view has the runs %+v", runs)
	}
	for _, where := range []string{`view = '"Ann".v'`, fmt.Sprintf("job_id = %d and view is not null", job)} {
		plan := pgtest.Value[[]any](t, ann, "explain (format json) select * from tinydev.run where "+where+" order by run_id desc limit 10")
		if n := strings.Count(fmt.Sprint(plan), "Relation Name:job_run_details"); n != 1 {
			t.Errorf("with %s, cron.job_run_details is read %d times, want once, for what is older than the records: %v", where, n, plan)
		}
	}
}
