package control_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// TestWave has jobs of one schedule refreshed in one session, after what they read, each with its own run.
func TestWave(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	ann, super := db.Conn(pgtest.Ann), db.Superuser()
	name := func(view string) string { return `"` + pgtest.Ann + `".` + view }
	exec(t, ann, "create table t as select 1 as n")
	// They are scheduled in the opposite order of what they read.
	exec(t, ann, "select tinydev.create_view('a', 'select 1 / n as n from t')", "create view through as select n from a", "select tinydev.create_view('c', 'select n from through')",
		"select tinydev.create_view('d', 'select n from c')", "select tinydev.create_view('other', 'select 1 as n')")
	for _, view := range []string{"d", "c", "a", "other"} {
		exec(t, ann, fmt.Sprintf("select tinydev.schedule('%s', '*/5 * * * *', time_zone => 'Asia/Kolkata', wave => true)", view))
	}
	exec(t, ann, "select tinydev.schedule('other', timeout_seconds => 77)")
	jobs := pgtest.Value[string](t, ann, "select string_agg(concat_ws(' ', schedule, time_zone, wave, is_managed), ', ' order by job_id) from tinydev.job where view is not null")
	if want := strings.TrimSuffix(strings.Repeat("*/5 * * * * Asia/Kolkata t t, ", 4), ", "); jobs != want {
		t.Errorf("the jobs are %s", jobs)
	}
	if got := pgtest.Value[string](t, super, "select string_agg(concat_ws(' | ', jobname, schedule, command, username), '; ') from cron.job where command like '%refresh_wave%'"); got !=
		"tinydev wave */5 * * * * Asia/Kolkata 1 | 0,5,10,15,20,25,30,35,40,45,50,55 * * * * | call tinydev.refresh_wave('*/5 * * * *', 'Asia/Kolkata') | "+pgtest.Ann {
		t.Errorf("the wave's row is %s", got)
	}
	if got := pgtest.Value[string](t, super, "select string_agg(distinct schedule, ', ') from cron.job where command like '%wave => true%'"); got != "0 0 30 2 *" {
		t.Errorf("pg_cron would run its members at %s", got)
	}

	wave := func() string {
		t.Helper()
		exec(t, super, "update tinydev_impl.job_state set handled_to = now() - interval '5 minutes', next_due_at = null", "update tinydev_impl.wave set due_at = '2000-01-01'")
		_, err := ann.Exec(t.Context(), "call tinydev.refresh_wave('*/5 * * * *', 'Asia/Kolkata')")
		return code(err)
	}
	runs := func(n int) string {
		return pgtest.Value[string](t, ann, "select string_agg(concat_ws(' ', view, status, cause), ', ' order by run_id) from (select * from tinydev.run order by run_id desc limit $1) r", n)
	}
	of := func(states string) string {
		var all []string
		for each := range strings.SplitSeq(states, ", ") {
			all = append(all, name(each))
		}
		return strings.Join(all, ", ")
	}
	if got := wave(); got != "<nil>" {
		t.Fatal(got)
	}
	if got, want := runs(4), of("a succeeded schedule, c succeeded schedule, d succeeded schedule, other succeeded schedule"); got != want {
		t.Errorf("runs: %s, want %s", got, want)
	}
	if got := pgtest.Value[int](t, ann, "select count(distinct wave)::int + count(*) filter (where timeout_seconds = 77)::int * 10 + count(*) filter (where due_at is null or wait_ms is null or event_id is null)::int * 100 from tinydev.run where wave is not null"); got != 11 {
		t.Errorf("runs of the wave: %d", got)
	}
	if got, err := ann.Exec(t.Context(), "call tinydev.refresh_wave('*/5 * * * *', 'Asia/Kolkata')"); err != nil {
		t.Errorf("at once again: %v %v", got, err)
	}
	if got := pgtest.Value[int](t, ann, "select count(*)::int from tinydev.run"); got != 4 {
		t.Errorf("%d runs after the same time again", got)
	}

	// What reads what failed is skipped, the others go on, and pg_cron hears of the failure.
	exec(t, ann, "update t set n = 0")
	if got := wave(); got != "22012" {
		t.Errorf("a wave with a failure: %s", got)
	}
	if got, want := runs(4), of("other succeeded schedule, a failed schedule, c skipped schedule, d skipped schedule"); got != want && got != of("a failed schedule, c skipped schedule, d skipped schedule, other succeeded schedule") {
		t.Errorf("runs: %s, want %s", got, want)
	}
	skipped := inboxOf(t, db, "view.skipped")
	if len(skipped) != 2 || skipped[0]["upstream"] != name("a") || skipped[1]["upstream"] != name("c") || skipped[0]["reason"] != "upstream_failed" || skipped[0]["cause"] != "schedule" || skipped[0]["due_at"] == nil {
		t.Errorf("skipped: %v", skipped)
	}

	// Paused, dropped and moved ones are none of it, and what is no view of theirs holds up nobody.
	exec(t, ann, "update t set n = 1", "select tinydev.alter_job(job_id, active => false) from tinydev.job where view like '%.a'", "select tinydev.drop_view('d')",
		fmt.Sprintf(`select cron.alter_job(job_id, command => $$call tinydev.refresh('"%s".t', cause => 'schedule', schedule => '*/5 * * * *', time_zone => 'Asia/Kolkata', wave => true)$$) from tinydev.job where view like '%%.c'`, pgtest.Ann))
	if got := wave(); got != "TD422" { // raised once all had their turn
		t.Errorf("a wave of what is left: %s", got)
	}
	if got, want := runs(1), of("other succeeded schedule"); got != want {
		t.Errorf("runs: %s, want %s", got, want)
	}
	if n := pgtest.Value[int](t, ann, "select count(*)::int from tinydev.run"); n != 9 {
		t.Errorf("%d runs, want 9", n)
	}
	if _, err := ann.Exec(t.Context(), "begin; call tinydev.refresh_wave('*/5 * * * *', 'Asia/Kolkata'); commit"); refusal(err) != "transaction_open" {
		t.Errorf("in a transaction: %v", err)
	}
	exec(t, ann, "rollback")
	for _, options := range []string{"'5 seconds', wave => true", "after => 't', wave => true"} {
		if _, err := ann.Exec(t.Context(), fmt.Sprintf("select tinydev.schedule('a', %s)", strings.Replace(options, "after", "'', after", 1))); refusal(err) != "wave_invalid" {
			t.Errorf("%s: %v", options, err)
		}
	}

	// A wave that nobody is in is run no more.
	exec(t, ann, "select tinydev.schedule('other', wave => false)", "select tinydev.unschedule(job_id) from tinydev.job where view is not null and wave")
	if got := pgtest.Value[string](t, super, "select string_agg(command, ', ') from cron.job where username = $1 and command like '%other%'", pgtest.Ann); !strings.Contains(got, "time_zone") || strings.Contains(got, "wave") {
		t.Errorf("outside of the wave it is %s", got)
	}
	exec(t, super, "select tinydev_impl.upkeep()")
	if n := pgtest.Value[int](t, super, "select count(*)::int from cron.job where command like '%refresh_wave%'"); n != 0 {
		t.Errorf("%d rows run a wave of nobody", n)
	}
}

// TestWaveIsShared has two sessions take from one wave, with one view that reads another.
func TestWaveIsShared(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	ann := db.Conn(pgtest.Ann)
	exec(t, ann, "select count(tinydev.create_view('v' || n, 'select pg_sleep(0.02)::text as s')) from generate_series(1, 20) n", "select tinydev.create_view('last', 'select count(*) from v1, v2, v20')",
		"select tinydev.schedule('last', '*/5 * * * *', wave => true)", "select count(tinydev.schedule('v' || n, '*/5 * * * *', wave => true)) from generate_series(1, 20) n")
	if n := pgtest.Value[int](t, db.Superuser(), "select count(*)::int from cron.job where command like '%refresh_wave%'"); n != 2 {
		t.Errorf("%d rows run a wave of 21", n)
	}
	exec(t, db.Superuser(), "update tinydev_impl.job_state set handled_to = now() - interval '5 minutes'")
	// Who works out when jobs are due locks them for a while, before and after they are planned, and none of them is left out for that.
	watcher := db.Superuser()
	exec(t, watcher, "begin", `select from tinydev_impl.job_state where view like '%.v7' for update`)
	refreshed := func() int {
		return pgtest.Value[int](t, ann, "select count(*)::int from tinydev.run where status = 'succeeded'")
	}
	done := make(chan error, 2)
	for range 2 {
		conn := db.Conn(pgtest.Ann)
		go func() {
			_, err := conn.Exec(t.Context(), "call tinydev.refresh_wave('*/5 * * * *', 'UTC')")
			done <- err
		}()
	}
	pgtest.Eventually(t, 20*time.Second, "the sessions wait", func() bool {
		return pgtest.Value[int](t, ann, "select count(*)::int from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'") == 2
	})
	exec(t, watcher, "commit")
	pgtest.Eventually(t, 20*time.Second, "the wave begins", func() bool { return refreshed() > 0 })
	exec(t, watcher, "begin", `select from tinydev_impl.job_state where view like '%.v20' for update`)
	pgtest.Eventually(t, 20*time.Second, "all others but one are refreshed", func() bool { return refreshed() >= 19 })
	exec(t, watcher, "commit")
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	got := pgtest.Value[string](t, ann, `select concat_ws(' ', count(*), count(distinct view), count(distinct wave), max(run_id) filter (where view like '%.last') > max(run_id) filter (where view like any ('{%.v1,%.v2,%.v20}'))) from tinydev.run where status = 'succeeded'`)
	if got != "21 21 1 t" {
		t.Errorf("runs, views, waves: %s", got)
	}
	if n := pgtest.Value[int](t, db.Superuser(), "select count(distinct pid)::int from tinydev_impl.run"); n != 2 {
		t.Errorf("%d sessions", n)
	}
}
