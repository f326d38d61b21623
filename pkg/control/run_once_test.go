package control_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// TestOnceTimes reads what a time to run once is, and when it is due where clocks change.
func TestOnceTimes(t *testing.T) {
	t.Parallel()
	conn := pgtest.Tx(t, pgtest.Ann).Conn()
	for _, c := range []struct{ schedule, zone, due string }{
		{"at 2026-12-05 14:30", "UTC", "2026-12-05 14:30"},
		{"  AT  2026-12-05T14:30:00 ", "Europe/Berlin", "2026-12-05 13:30"},
		{"at 2026-12-05 9:05", "Asia/Kolkata", "2026-12-05 03:35"},
		{"at 2027-03-28 02:30", "Europe/Berlin", "2027-03-28 01:00"},    // skipped: at the shift
		{"at 2027-10-31 02:30", "Europe/Berlin", "2027-10-31 00:30"},    // shown twice: the first time
		{"at 2011-12-30 12:00", "Pacific/Apia", "2011-12-30 10:00"},     // a day that was skipped
		{"at 2028-02-29 00:00", "America/New_York", "2028-02-29 05:00"}, // a day of leap years
	} {
		for after, want := range map[string]string{"1999-01-01 00:00Z": c.due, c.due + "Z": "", "2400-01-01 00:00Z": ""} {
			if got := pgtest.Value[string](t, conn, "select coalesce(string_agg(to_char(r at time zone 'UTC', 'YYYY-MM-DD HH24:MI'), ','), '') from tinydev.next_runs($1, $2, 5, $3::text::timestamptz) r",
				c.schedule, c.zone, after); got != want {
				t.Errorf("%q in %s after %s is due at %q, want %q", c.schedule, c.zone, after, got, want)
			}
		}
	}
	if got := pgtest.Value[string](t, conn, "select tinydev.explain_schedule('at 2026-12-05T14:30')"); got != "once, on 2026-12-05 at 14:30" {
		t.Errorf("in words: %s", got)
	}
	for _, bad := range []string{"at", "at noon", "at 14:30", "at 2026-12-05", "at 2026-02-30 14:30", "at 2026-12-05 24:00", "at 2026-12-05 14:60", "at 2026-12-05 14:30:15", "at 2026-12-05T14:30Z",
		"at 2026-12-05 14:30 UTC", "at 2026-12-05 14:30+01", "at 0000-01-01 00:00", "at 26-12-05 14:30"} {
		exec(t, conn, "savepoint bad")
		var words string
		err := conn.QueryRow(t.Context(), "select tinydev.explain_schedule($1)", bad).Scan(&words)
		if faultCode(err) != "schedule_invalid" || hintOf(err) == "" {
			t.Errorf("%q: %q, %v", bad, words, err)
		}
		exec(t, conn, "rollback to bad")
	}
	preview := pgtest.Value[map[string]any](t, conn, "select tinydev.preview_schedule('at 2027-03-28 02:30', 'Europe/Berlin', 5, '2026-12-01Z')")
	if fmt.Sprint(preview["runs"]) != "[2027-03-28T01:00:00Z]" || fmt.Sprint(preview["warnings"]) != "[the clock in Europe/Berlin skips a time of this schedule on 2027-03-28, so it runs at 03:00 that day]" {
		t.Errorf("preview: %v", preview)
	}
	preview = pgtest.Value[map[string]any](t, conn, "select tinydev.preview_schedule('at 2020-01-01 02:30')")
	if fmt.Sprint(preview["runs"]) != "[]" || !strings.Contains(fmt.Sprint(preview["warnings"]), "has passed: it would never run") {
		t.Errorf("preview of the past: %v", preview)
	}
}

// TestRunOnce makes jobs that run once beside a view's regular one.
func TestRunOnce(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	ann := db.Conn(pgtest.Ann)
	exec(t, ann, "select tinydev.create_view('v', 'select 1 as a')")
	schedule := func(options string) map[string]any {
		t.Helper()
		return pgtest.Value[map[string]any](t, ann, "select tinydev.schedule('v', "+options+")")
	}
	rows := func() string {
		t.Helper()
		return pgtest.Value[string](t, ann, "select coalesce(string_agg(concat_ws(' | ', jobid, jobname, schedule, command), e'\n' order by jobid), '') from cron.job")
	}
	// A time that is to come: 5 December of the year after next.
	year := pgtest.Value[int](t, ann, "select extract(year from now())::int + 2")
	at := func(text string) string { return fmt.Sprintf("at %d-%s", year, text) }

	once := schedule("'" + at("12-05T14:30") + "', time_zone => 'Europe/Berlin', retries => 1")
	id := int64(once["job_id"].(float64))
	want := fmt.Sprintf(`%d | "Ann".v %s | 30 13 5 12 * | call tinydev.refresh('"Ann".v', cause => 'schedule', schedule => '%[2]s', time_zone => 'Europe/Berlin', retries => 1)`, id, at("12-05 14:30"))
	if got := rows(); got != want {
		t.Errorf("cron.job:\n%s\nwant\n%s", got, want)
	}
	if once["schedule"] != at("12-05 14:30") || once["words"] != fmt.Sprintf("once, on %d-12-05 at 14:30", year) || once["time_zone"] != "Europe/Berlin" ||
		fmt.Sprint(once["next_runs"]) != fmt.Sprintf("[%d-12-05T13:30:00Z]", year) || once["missed"] != "once" || once["retries"] != 1.0 {
		t.Errorf("the job is %v", once)
	}
	if code := unscheduleCode(t, db, "v"); code != "TD404" {
		t.Errorf("removing a regular job that there is not: %s", code)
	}
	regular := schedule("'0 9 * * *'")
	if regular["job_id"] == once["job_id"] || regular["time_zone"] != "UTC" || regular["retries"] != 0.0 {
		t.Errorf("the regular job is %v", regular)
	}
	before := rows()
	// The same time, said otherwise, is the same job; another makes one more; the regular one is left alone.
	if again := schedule("'" + at("12-05 13:30") + "', time_zone => 'UTC'"); again["job_id"] != once["job_id"] || again["retries"] != 1.0 || again["time_zone"] != "UTC" {
		t.Errorf("again: %v", again)
	}
	schedule("'" + at("12-05 14:30") + "', time_zone => 'Europe/Berlin'")
	if got := rows(); got != before {
		t.Errorf("after the same time again:\n%s\nwant\n%s", got, before)
	}
	other := schedule("'" + at("12-06 14:30") + "'")
	if n := pgtest.Value[int](t, ann, "select count(*)::int from cron.job"); n != 3 || other["retries"] != 0.0 {
		t.Errorf("%d jobs, %v", n, other)
	}
	if moved := schedule("'5 9 * * *'"); moved["job_id"] != regular["job_id"] {
		t.Errorf("the regular job became %v", moved)
	}

	alter := func(job any, options string) (map[string]any, error) {
		var answer map[string]any
		err := ann.QueryRow(t.Context(), fmt.Sprintf("select tinydev.alter_job(%.0f, %s)", job, options)).Scan(&answer)
		return answer, err
	}
	if got, err := alter(other["job_id"], "schedule => '"+at("12-07 08:00")+"', timeout_seconds => 9"); err != nil || got["job_id"] != other["job_id"] || got["schedule"] != at("12-07 08:00") || got["timeout_seconds"] != 9.0 {
		t.Errorf("rescheduled: %v, %v", got, err)
	}
	// The name of its first time is free to be asked for, and overwrites nothing.
	if third := schedule("'" + at("12-06 14:30") + "'"); third["job_id"] == other["job_id"] || !strings.HasPrefix(third["name"].(string), "tinydev ") {
		t.Errorf("third: %v", third)
	}
	for _, c := range []struct {
		job           any
		options, code string
	}{
		{other["job_id"], "schedule => '" + at("12-06 14:30") + "'", "TD409 schedule_taken"},
		{other["job_id"], "schedule => '0 9 * * *'", "TD409 schedule_taken"},
		{other["job_id"], "schedule => 'at 2020-01-01 00:00'", "TD422 schedule_past"},
		{other["job_id"], "after => 'v'", "TD422 dependency_invalid"},
		{regular["job_id"], "schedule => '" + at("12-08 14:30") + "'", "TD422 schedule_invalid"},
	} {
		if _, err := alter(c.job, c.options); err == nil || code(err)+" "+faultCode(err) != c.code {
			t.Errorf("%s: %v, want %s", c.options, err, c.code)
		}
	}
	if _, err := ann.Exec(t.Context(), "select tinydev.schedule('v', 'at 2020-01-01 00:00')"); code(err) != "TD422" || faultCode(err) != "schedule_past" {
		t.Errorf("in the past: %v", err)
	}
	plan := pgtest.Value[map[string]any](t, ann, "select tinydev.schedule('v', $1, dry_run => true)", at("01-02 03:04"))
	if sql := fmt.Sprint(plan["sql"]); !strings.HasPrefix(sql, fmt.Sprintf(`[select cron.schedule_in_database('"Ann".v %s', '4 3 2 1 *', 'call tinydev.refresh(`, at("01-02 03:04"))) {
		t.Errorf("dry run: %s", sql)
	}

	// "The job" of a view is the regular one.
	if code := unscheduleCode(t, db, "v"); code != "" {
		t.Errorf("removing the regular job: %s", code)
	}
	if n := pgtest.Value[int](t, ann, "select count(*)::int from cron.job"); n != 3 {
		t.Errorf("%d jobs are left, want 3", n)
	}
	if got, err := alter(other["job_id"], "schedule => '0 9 * * *'"); err != nil || got["job_id"] != other["job_id"] || got["schedule"] != "0 9 * * *" {
		t.Errorf("made regular: %v, %v", got, err)
	}
	if again := schedule("'0 10 * * *'"); again["job_id"] != other["job_id"] {
		t.Errorf("the regular job is %v", again)
	}
	// Names have room for 63 bytes.
	long := strings.Repeat("l", 40)
	exec(t, ann, fmt.Sprintf("select tinydev.create_view('%s', 'select 1 as a')", long))
	for _, minute := range []string{"12-05 14:30", "12-05 14:31"} {
		if name := pgtest.Value[string](t, ann, "select tinydev.schedule($1, $2) ->> 'name'", long, at(minute)); len(name) > 63 {
			t.Errorf("the name is %s", name)
		}
	}
	if n := pgtest.Value[int](t, ann, "select count(*)::int from tinydev.job where view = $1", fmt.Sprintf(`"Ann".%s`, long)); n != 2 {
		t.Errorf("%d jobs with long names, want 2", n)
	}
}

// faultCode is the stable word of an error that tinydev_lib.fault raised, and hintOf what it says to do.
func faultCode(err error) string {
	var detail struct{ Code string }
	if e := (*pgconn.PgError)(nil); errors.As(err, &e) && json.Unmarshal([]byte(e.Detail), &detail) == nil {
		return detail.Code
	}
	return ""
}

func hintOf(err error) string {
	if e := (*pgconn.PgError)(nil); errors.As(err, &e) {
		return e.Hint
	}
	return ""
}

func unscheduleCode(t *testing.T, db *pgtest.Database, view string) string {
	t.Helper()
	_, err := db.Conn(pgtest.Ann).Exec(t.Context(), "select tinydev.unschedule($1::text)", view)
	if err == nil {
		return ""
	}
	return code(err)
}

// TestOnceEnds has jobs run once, in time or late, and looks at when they are removed.
func TestOnceEnds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, query, options string
		missed               bool // nobody ran it at its time
		runs                 string
	}{
		{"in time", "select 1 as a", "", false, "succeeded schedule"},
		{"with a retry", "select 1 / g as a from zero", ", retries => 1", false, "failed schedule, failed retry"},
		{"missed", "select 1 as a", "", true, "missed schedule, succeeded missed"},
		{"missed, and left so", "select 1 as a", ", missed => 'none'", true, "missed schedule"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := pgtest.DB(t)
			ann, super, server := db.Conn(pgtest.Ann), db.Superuser(), db.Conn("tinydev_server")
			exec(t, ann, "create table zero (g int)", fmt.Sprintf("select tinydev.create_view('v', '%s')", c.query))
			at := pgtest.Value[string](t, ann, "select to_char(now() at time zone 'Asia/Kolkata' + interval '1 day', '\"at \"YYYY-MM-DD HH24:MI')")
			job := pgtest.Value[int64](t, ann, fmt.Sprintf("select (tinydev.schedule('v', '%s', time_zone => 'Asia/Kolkata'%s) ->> 'job_id')::bigint", at, c.options))
			// Its regular job comes later, with a higher number, and is left alone by all this.
			regular := pgtest.Value[int64](t, ann, "select (tinydev.schedule('v', '0 0 1 1 *') ->> 'job_id')::bigint")
			exec(t, ann, "insert into zero values (0)")
			watch := func(wantJobs int) {
				t.Helper()
				exec(t, server, "select tinydev_impl.watch_jobs()")
				if n := pgtest.Value[int](t, super, "select count(*)::int from cron.job where username = 'Ann'"); n != wantJobs {
					t.Fatalf("%d jobs, want %d", n, wantJobs)
				}
			}
			// Long enough after the last run.
			later := func() {
				t.Helper()
				exec(t, super, fmt.Sprintf("update tinydev_impl.job_state set last_ended_at = last_ended_at - interval '20 s' where job_id = %d", job))
			}
			watch(2)
			if _, err := launched(t, db, job); err != nil {
				t.Fatal(err)
			}
			if got := runsOf(t, ann, job); got != "" {
				t.Fatalf("the date without its year: %s", got)
			}
			later()
			watch(2)

			// The day comes: its time is put to the minute that has begun, or to a while ago, as if it had been said the day before.
			exec(t, super, `alter table cron.job disable trigger t50_tinydev_track`,
				fmt.Sprintf(`update cron.job set command = replace(command, '%s', to_char((now() - interval '%s') at time zone 'Asia/Kolkata', '"at "YYYY-MM-DD HH24:MI')) where jobid = %d`, at, map[bool]string{true: "10 min", false: "0"}[c.missed], job),
				`alter table cron.job enable trigger t50_tinydev_track`,
				fmt.Sprintf("update tinydev_impl.job_state s set schedule = (select j.schedule from tinydev.job j where j.job_id = s.job_id), handled_to = now() - interval '1 day', next_due_at = null where job_id = %d", job))
			if !c.missed {
				_, err := launched(t, db, job)
				if (err != nil) != strings.Contains(c.runs, "failed") {
					t.Fatal(err)
				}
				watch(2) // pg_cron is to note its end first
			}
			exec(t, server, "select tinydev_impl.watch_jobs()")
			if last := c.runs[strings.LastIndex(c.runs, " ")+1:]; last != "schedule" {
				later()
				watch(2)
				exec(t, super, fmt.Sprintf("update tinydev_impl.job_state set extra_at = clock_timestamp() where job_id = %d", job))
				// The regular one has such a run before it too, and each gets its own.
				exec(t, super, fmt.Sprintf("update tinydev_impl.job_state set extra_cause = '%s', extra_count = 1, extra_at = clock_timestamp() + interval '1 hour' where job_id = %d", last, regular))
				if n := pgtest.Value[int](t, super, "select count(*)::int from tinydev_impl.claim_runs() where job_id = $1 and cause = $2", job, last); n != 1 {
					t.Fatalf("%d runs are claimed", n)
				}
				later()
				watch(2)
				if _, err := ann.Exec(t.Context(), fmt.Sprintf("call tinydev.run_job(%d, '%s')", job, last)); (err != nil) != strings.Contains(c.runs, "failed") {
					t.Fatal(err)
				}
			}
			later()
			watch(1)
			if got := runsOf(t, ann, job); got != c.runs {
				t.Errorf("runs: %s, want %s", got, c.runs)
			}
			if got := runsOf(t, ann, regular); got != "" {
				t.Errorf("the regular job has runs: %s", got)
			}
			if got := pgtest.Value[string](t, super, "select string_agg(actor || ' ' || action, ', ' order by audit_id) from tinydev.audit where subject = $1", fmt.Sprintf("job %d", job)); !strings.HasSuffix(got, "tinydev_server job.ended") || strings.Contains(got, "unscheduled") {
				t.Errorf("audit: %s", got)
			}
			exec(t, super, "select tinydev_lib.audit_unscheduled()", "select tinydev_impl.track_jobs()")
			if n := pgtest.Value[int](t, super, "select (select count(*) from tinydev.audit where action = 'job.unscheduled')::int + (select count(*) from tinydev_impl.job_state)::int"); n != 1 {
				t.Errorf("%d, want the state of the regular job alone", n)
			}
		})
	}
}

// TestOncePaused has the time of a job pass while it is paused.
func TestOncePaused(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	ann, super := db.Conn(pgtest.Ann), db.Superuser()
	exec(t, ann, "select tinydev.create_view('v', 'select 1 as a')")
	job := pgtest.Value[int64](t, ann, "select (tinydev.schedule('v', to_char(now() at time zone 'UTC' + interval '1 day', '\"at \"YYYY-MM-DD HH24:MI')) ->> 'job_id')::bigint")
	exec(t, ann, fmt.Sprintf("select tinydev.alter_job(%d, active => false)", job), fmt.Sprintf("select tinydev.alter_job(%d, active => true)", job), fmt.Sprintf("select tinydev.alter_job(%d, active => false)", job))
	exec(t, super, "update cron.job set command = regexp_replace(command, 'at [0-9]{4}', 'at 2020') where username = 'Ann'",
		fmt.Sprintf("update tinydev_impl.job_state set handled_to = now() - interval '1 hour' where job_id = %d", job), "select tinydev_impl.watch_jobs()")
	if got := pgtest.Value[string](t, ann, "select schedule from tinydev.job"); !strings.HasPrefix(got, "at 2020-") {
		t.Errorf("a paused job is %s", got)
	}
	if _, err := ann.Exec(t.Context(), fmt.Sprintf("select tinydev.alter_job(%d, active => true)", job)); faultCode(err) != "schedule_past" {
		t.Errorf("resumed: %v", err)
	}
	if events := inboxOf(t, db, "view.missed"); len(events) > 0 {
		t.Errorf("missed: %v", events)
	}
	// Run by hand it stays as it is, and a refresh of the view is no run of its.
	exec(t, ann, fmt.Sprintf("call tinydev.run_job(%d)", job), "call tinydev.refresh('v')")
	if got := runsOf(t, ann, job); got != "succeeded manual" {
		t.Errorf("runs: %s", got)
	}
}

// TestOnceByCron has pg_cron itself run a view's regular job and its jobs that run once, in the same minute of two years.
func TestOnceByCron(t *testing.T) {
	t.Parallel()
	for _, way := range pgtest.Ways() {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			now := time.Date(2027, 12, 5, 14, 27, 0, 0, time.UTC)
			db, clock := pgtest.Clocked(t, way, now, map[string]string{})
			ann, super, server := db.Conn(pgtest.Ann), db.Superuser(), db.Conn("tinydev_server")
			exec(t, super, "delete from cron.job where username = 'tinydev_server'") // which would look after the jobs too
			regular := jobOf(t, ann, "v", "select 1 as a", "'30 14 5 12 *'")
			once := map[int]int64{}
			for year := range 2 {
				once[year] = pgtest.Value[int64](t, ann, "select (tinydev.schedule('v', $1, time_zone => 'Asia/Kolkata') ->> 'job_id')::bigint", fmt.Sprintf("at %d-12-05 20:00", 2027+year))
			}
			exec(t, ann, "select cron.schedule_in_database('minutes', '* * * * *', 'select 1', current_database())")
			// The launcher hears of the jobs at the first minute, and of a step of more than three hours takes the last minute alone.
			to := func(at time.Time) {
				t.Helper()
				clock.Set(at)
				exec(t, super, "select pg_reload_conf()") // wakes the launcher
				pgtest.Eventually(t, 30*time.Second, "pg_cron has run what is due", func() bool {
					return pgtest.Value[bool](t, super, "select coalesce(bool_or(start_time >= $1 and command = 'select 1') and bool_and(end_time is not null), false) from cron.job_run_details", at)
				})
			}
			jobs := func() string {
				t.Helper()
				exec(t, server, "select tinydev_impl.watch_jobs()")
				return pgtest.Value[string](t, super, "select string_agg(jobid::text, ',' order by jobid) from cron.job where command like 'call %'")
			}
			for year, want := range []string{fmt.Sprintf("%d,%d", regular, once[1]), fmt.Sprint(regular)} {
				for minute := range 3 {
					to(time.Date(2027+year, 12, 5, 14, 28+minute, 0, 0, time.UTC))
					jobs()
				}
				pgtest.Eventually(t, 30*time.Second, "both have run", func() bool {
					return pgtest.Value[int](t, super, "select count(*)::int from tinydev_impl.run where status = 'succeeded'") == 2*(year+1)
				})
				clock.Set(time.Date(2027+year, 12, 5, 14, 30, 20, 0, time.UTC))
				if got := jobs(); got != want {
					t.Errorf("in %d the jobs %s are left, want %s", 2027+year, got, want)
				}
				for job, runs := range map[int64]string{regular: strings.Repeat(", succeeded schedule", year+1)[2:], once[0]: "succeeded schedule", once[1]: map[bool]string{true: "succeeded schedule"}[year == 1]} {
					if got := runsOf(t, ann, job); got != runs {
						t.Errorf("in %d the runs of job %d are %q, want %q", 2027+year, job, got, runs)
					}
				}
			}
			if n := pgtest.Value[int](t, super, "select count(*)::int from tinydev_impl.run where due_at is distinct from date_trunc('day', due_at) + interval '14 hours 30 minutes'"); n != 0 {
				t.Errorf("%d runs were due at another time", n)
			}
			if failed := pgtest.Value[int](t, super, "select count(*)::int from cron.job_run_details where status <> 'succeeded'"); failed != 0 {
				t.Errorf("pg_cron tells of %d runs that failed", failed)
			}
		})
	}
}
