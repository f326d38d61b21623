package control_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// TestSpread schedules views with H, which becomes a minute or hour at which few jobs are due.
func TestSpread(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	ann, bob, super := db.Conn(pgtest.Ann), db.Conn(pgtest.Bob), db.Superuser()
	// What others have counts: each minute of the hour at three but 41, each quarter but that from minute 7 on.
	exec(t, super, "delete from cron.job where username <> 'tinydev_server'")
	crowd := func(schedule string) {
		t.Helper()
		exec(t, bob, fmt.Sprintf("select cron.schedule_in_database('%s', '%[1]s', 'select 1', current_database())", schedule))
	}
	crowd("0-40,42-59 3 * * *")
	for _, c := range []struct{ schedule, zone, want string }{
		{"H 3 * * *", "UTC", "41 3 * * *"},
		{"H 3 * * 1-5", "UTC", "41 3 * * 1-5"},
		{"  H   3 * *  * ", "UTC", "41 3 * * *"},
		{"H * * * *", "UTC", "41 * * * *"},
		{"H 6 * * *", "Asia/Riyadh", "41 6 * * *"}, // three hours ahead, all year
		{"H 3 1 1 *", "UTC", "41 3 1 1 *"},
	} {
		exec(t, ann, "select tinydev.create_view('v', 'select 1 as a')")
		job := pgtest.Value[map[string]any](t, ann, "select tinydev.schedule('v', $1, time_zone => $2)", c.schedule, c.zone)
		if job["schedule"] != c.want || strings.Contains(fmt.Sprint(job["warnings"]), "jobs are due") {
			t.Errorf("%s in %s became %v, want %s; %v", c.schedule, c.zone, job["schedule"], c.want, job["warnings"])
		}
		// Its own job is none that it has to avoid.
		if again := pgtest.Value[map[string]any](t, ann, "select tinydev.alter_job($1, schedule => $2)", int64(job["job_id"].(float64)), c.schedule); again["schedule"] != c.want {
			t.Errorf("%s again became %v", c.schedule, again["schedule"])
		}
		preview := pgtest.Value[map[string]any](t, bob, "select tinydev.preview_schedule($1, $2)", c.schedule, c.zone)
		if schedule := fmt.Sprint(preview["schedule"]); strings.Contains(schedule, "H") || strings.HasPrefix(schedule, "41 ") || !strings.Contains(fmt.Sprint(preview["warnings"]), "H is chosen when the view is scheduled") ||
			len(preview["runs"].([]any)) != 5 {
			t.Errorf("%s as another previews it: %v", c.schedule, preview)
		}
		exec(t, ann, "drop materialized view v")
	}
	plan := func(schedule string) string {
		t.Helper()
		exec(t, ann, "select tinydev.create_view('v', 'select 1 as a')")
		defer exec(t, ann, "drop materialized view v")
		return pgtest.Value[string](t, ann, "select (regexp_match(tinydev.schedule('v', $1, dry_run => true) #>> '{sql,0}', 'current_database|''([^'']* [*])'', ''call'))[1]", schedule)
	}
	crowd("0,15,30,45 * * * *")
	crowd("1-6,8-14,16-21,23-29,31-36,38-44,46-51,53-59 * * * *")
	if got := plan("H/15 * * * *"); got != "7-59/15 * * * *" {
		t.Errorf("H/15 became %s", got)
	}
	if minutes := pgtest.Value[string](t, super, "select tinydev_lib.parse_schedule('7-59/15 * * * *') ->> 'minutes'"); minutes != "[7, 22, 37, 52]" {
		t.Errorf("which is %s", minutes)
	}
	if got := plan("H/40 * * * *"); !slices.Contains([]string{"22 * * * *", "37 * * * *"}, got) && got != "7-59/40 * * * *" {
		t.Errorf("H/40 became %s", got)
	}
	crowd("* 0-16,18-23 * * *")
	if got := plan("H H * * *"); !slices.Contains([]string{"7 17 * * *", "22 17 * * *", "37 17 * * *", "52 17 * * *"}, got) {
		t.Errorf("H H became %s", got)
	}
	if got := plan("5 H/6 * * *"); got != "5 */6 * * *" && !strings.HasSuffix(got, "-23/6 * * *") {
		t.Errorf("5 H/6 became %s", got)
	}
	for _, bad := range []string{"* * H * *", "H,30 * * * *", "H/0 * * * *", "H/60 * * * *", "* H/24 * * *", "H(0-29) * * * *", "H-5 * * * *", "H 3 * *", "H 25 * * *", "h 3 * * *"} {
		exec(t, ann, "select tinydev.create_view('w', 'select 1 as a')")
		if _, err := ann.Exec(t.Context(), "select tinydev.schedule('w', $1)", bad); faultCode(err) != "schedule_invalid" || hintOf(err) == "" {
			t.Errorf("%s: %v", bad, err)
		}
		exec(t, ann, "drop materialized view w")
	}
	if _, err := ann.Exec(t.Context(), "select tinydev.next_runs('H 3 * * *')"); faultCode(err) != "schedule_invalid" || !strings.Contains(hintOf(err), "tinydev.schedule") {
		t.Errorf("next_runs with H: %v", err)
	}
	// Of others' jobs only numbers are told.
	if n := pgtest.Value[int](t, ann, "select (tinydev_lib.jobs_by_minute())[1]"); n < 2 {
		t.Errorf("%d jobs at midnight", n)
	}
	if _, err := ann.Exec(t.Context(), "select * from tinydev_impl.cron_times(null)"); code(err) != "42501" {
		t.Errorf("all jobs: %v", err)
	}
}

// TestSpreadEvenly schedules 120 views by H at one hour: each minute gets two.
func TestSpreadEvenly(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	ann := db.Conn(pgtest.Ann)
	exec(t, db.Superuser(), "delete from cron.job") // the system's, of which one has a minute of its own
	exec(t, ann, `do $$ begin for i in 1..120 loop execute format('create materialized view v%s as select 1 as a', i); perform tinydev.schedule('v' || i, 'H 3 * * *'); end loop; end $$`)
	if got := pgtest.Value[string](t, ann, `select string_agg(distinct n::text, ',') || ' of ' || count(*) from (select count(*) as n from tinydev.job group by schedule) s`); got != "2 of 60" {
		t.Errorf("jobs a minute: %s", got)
	}
	first := pgtest.Value[[]string](t, ann, "select array_agg(schedule order by job_id) from tinydev.job where job_id in (select job_id from tinydev.job order by job_id limit 10)")
	if slices.IsSortedFunc(first, func(a, b string) int {
		x, _ := strconv.Atoi(strings.Fields(a)[0])
		y, _ := strconv.Atoi(strings.Fields(b)[0])
		return x - y
	}) {
		t.Errorf("free minutes are taken in order: %v", first)
	}
}

// TestCrowd fills a minute with more jobs than pg_cron runs at a time.
func TestCrowd(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	ann, bob := db.Conn(pgtest.Ann), db.Conn(pgtest.Bob)
	most := pgtest.Value[int](t, db.Superuser(), "select current_setting('cron.max_running_jobs')::int")
	exec(t, db.Superuser(), fmt.Sprintf("select tinydev.set_setting('running_jobs', '%d')", most))
	fill := func(from, to int) {
		t.Helper()
		exec(t, bob, fmt.Sprintf("select cron.schedule_in_database('job' || n, '0 3 * * *', 'select 1', current_database()) from generate_series(%d, %d) n", from, to))
	}
	exec(t, ann, "select tinydev.create_view('v', 'select 1 as a')", "select tinydev.create_view('w', 'select 1 as a')", "create unique index on v (a)", "create unique index on w (a)")
	warnings := func(sql string) string {
		t.Helper()
		return pgtest.Value[string](t, ann, "select "+sql+" ->> 'warnings'")
	}
	// The job of each minute that the system has is one of them.
	fill(1, most-2)
	for _, sql := range []string{"tinydev.schedule('v', '0 3 * * *')", "tinydev.schedule('v', '0 3 * * *')"} {
		if got := warnings(sql); got != "[]" {
			t.Errorf("%s with room for one more: %s", sql, got)
		}
	}
	if got := warnings("tinydev.schedule('w', '0 3 * * *')"); !strings.Contains(got, fmt.Sprintf("%d jobs are due at ", most+1)) || !strings.Contains(got, " 03:00 in UTC, more than the ") || !strings.Contains(got, "H as the minute (H 3 * * *)") {
		t.Errorf("one too many: %s", got)
	}
	for _, c := range []struct{ sql, want string }{
		{"tinydev.preview_schedule('0 3 * * *')", fmt.Sprintf("%d jobs are due at ", most+2)},
		{"tinydev.preview_schedule('*/30 3 * * *')", "H in the minute field would spread them"},
		{"tinydev.preview_schedule('0 6 * * *', 'Asia/Riyadh')", " 06:00 in Asia/Riyadh, more than the "},
		{"tinydev.preview_schedule('1 3 * * *')", ""},
		{"tinydev.preview_schedule('5 seconds')", ""},
		{"tinydev.preview_schedule('H 3 * * *')", ""},
		{"tinydev.schedule('w', to_char(now() + interval '2 days', '\"at \"YYYY-MM-DD') || ' 03:00', time_zone => 'UTC')", "another minute may be free"},
		{"tinydev.schedule('w', '1 3 * * *')", ""},
	} {
		if got := warnings(c.sql); c.want == "" && strings.Contains(got, "jobs are due") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %q", c.sql, got, c.want)
		}
	}
	// A job tells it when it is scheduled; lists do not look.
	job := pgtest.Value[int64](t, ann, `select job_id from tinydev.job where view = '"Ann".v'`)
	if got := warnings(fmt.Sprintf("tinydev.describe_job(%d)", job)); got != "[]" {
		t.Errorf("as a list shows it: %s", got)
	}
	// On Sundays there is room for one, which another day's job does not take.
	for _, each := range []struct {
		schedule  string
		isCrowded bool
	}{{"0 3 * * 1", false}, {"0 3 * 1-12 sun", true}} {
		exec(t, bob, fmt.Sprintf("select cron.schedule_in_database('%s', '%[1]s', 'select 1', current_database())", each.schedule))
		if got := warnings(fmt.Sprintf("tinydev.alter_job(%d, schedule => '0 3 * * 0')", job)); strings.Contains(got, "jobs are due") != each.isCrowded {
			t.Errorf("on Sundays, with %s: %s", each.schedule, got)
		}
	}
	exec(t, bob, "select cron.alter_job(jobid, active => false) from cron.job")
	if got := warnings(fmt.Sprintf("tinydev.alter_job(%d, schedule => '0 3 * * *')", job)); got != "[]" {
		t.Errorf("with the others paused: %s", got)
	}
}
