package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Promises of schedules over pg_cron's own.
const (
	waveRatio     = 1.0 / 3 // time until all are refreshed, in a wave over as many plain jobs of pg_cron
	idleCoreShare = 0.01    // of one core, for schedules of which none is due
)

// measureSchedules has many views due in one minute: as plain jobs of pg_cron, as jobs of ours, and as jobs of ours in a wave; it compares
// when each begins and when all are done. Then it keeps many schedules of which none is due.
func measureSchedules(ctx context.Context, s *stage, o options) (section, error) {
	out := section{title: fmt.Sprintf("%d views of 10 rows due in one minute: plain jobs of pg_cron, ours, ours in a wave; then %d schedules of which none is due", o.dueViews, o.idleSchedules)}
	err := s.exec(ctx, user, fmt.Sprintf(`
create table due_rows as select n from generate_series(1, 10) n;
select count(tinydev.create_view('due_' || n, 'select n from due_rows')) from generate_series(1, %d) n`, o.dueViews))
	if err != nil {
		return out, err
	}
	// A user may have 50 times as many jobs, and pg_cron opens cron.max_running_jobs sessions at once.
	if err := s.superuser(ctx, fmt.Sprintf("select tinydev.alter_user('%s', running_jobs => %d, connections => 100)", user, max(o.dueViews, o.idleSchedules)/50+10)); err != nil {
		return out, err
	}
	ways := []struct {
		name, make, clean string
	}{
		{"plain pg_cron", "cron.schedule_in_database('plain_' || n, '%d * * * *', 'refresh materialized view " + user + ".due_' || n, current_database())", "select count(cron.unschedule(jobid)) from cron.job where jobname like 'plain%' and username = current_user"},
		{"ours", "tinydev.schedule('due_' || n, '%d * * * *')", "select count(tinydev.unschedule(job_id)) from tinydev.job where view is not null and owner = current_user"},
		{"ours, in a wave", "tinydev.schedule('due_' || n, '%d * * * *', wave => true)", "select count(tinydev.unschedule(job_id)) from tinydev.job where view is not null and owner = current_user"},
	}
	done := make([]float64, len(ways))
	for i, way := range ways {
		d, err := s.dueAtOnce(ctx, way.make, o.dueViews)
		if err != nil {
			return out, fmt.Errorf("%s: %w", way.name, err)
		}
		if err := s.exec(ctx, user, way.clean); err != nil {
			return out, err
		}
		done[i] = d.all
		out.say("%-16s all done after %6.1f s, %4.0f a second   begun after %s", way.name, d.all/1000, float64(o.dueViews)/d.all*1000, d.begun.spread())
	}
	out.aim(done[2]/done[0] <= waveRatio, "in a wave, times plain pg_cron", fmt.Sprintf("%.2f", done[2]/done[0]), fmt.Sprintf("≤ %.2f", waveRatio))
	out.say("ours %.2f times plain pg_cron, in a wave %.2f times", done[1]/done[0], done[2]/done[0])

	bare, err := s.idleCPU(ctx, o.idleSchedules, "select 1")
	if err != nil {
		return out, err
	}
	ours, err := s.idleCPU(ctx, o.idleSchedules, "call tinydev.refresh(''"+user+".due_1'', cause => ''schedule'')")
	if err != nil {
		return out, err
	}
	out.aim(ours-bare <= idleCoreShare, "of a core for idle schedules, more than plain", fmt.Sprintf("%+.2f %%", (ours-bare)*100), fmt.Sprintf("≤ %.0f %%", idleCoreShare*100))
	out.say("%d idle schedules: %.2f %% of a core as plain jobs, %.2f %% as ours, PostgreSQL and the server together", o.idleSchedules, bare*100, ours*100)
	return out, nil
}

// due is how it went with what was due at once: milliseconds after the minute.
type due struct {
	all   float64
	begun sample
}

// dueAtOnce schedules so many for one minute, waits for it and until all ran.
func (s *stage) dueAtOnce(ctx context.Context, make string, count int) (d due, err error) {
	conn, err := s.connect(ctx, "tinydev_superuser")
	if err != nil {
		return d, err
	}
	defer conn.Close(ctx)
	// The jobs are made first for a minute far away, and then put to one that is near.
	far := 1 + (time.Now().UTC().Minute()+54)%59
	if err := s.exec(ctx, user, fmt.Sprintf("select count("+make+") from generate_series(1, %d) n", far, count)); err != nil {
		return d, err
	}
	minute := time.Now().UTC().Truncate(time.Minute).Add(2 * time.Minute)
	near := strconv.Itoa(minute.Minute())
	change := fmt.Sprintf(`update cron.job set schedule = regexp_replace(schedule, '^%[1]d ', '%[2]s '), command = replace(command, '''%[1]d * * * *''', '''%[2]s * * * *''') where username = '%[3]s'`, far, near, user)
	if _, err := conn.Exec(ctx, change); err != nil {
		return d, err
	}
	if time.Now().After(minute) {
		return d, fmt.Errorf("to put %d jobs to another minute took too long", count)
	}
	query := `select count(*)::int, coalesce(extract(epoch from max(ended) - $1) * 1000, 0)::float8, coalesce(array_agg(extract(epoch from began - $1) * 1000), '{}')::float8[]
		from (select start_time as began, end_time as ended from cron.job_run_details where username = $2 and command like 'refresh mat%' and end_time is not null and start_time >= $1
			union all select started_at, ended_at from tinydev_impl.run where owner = $2 and status = 'succeeded' and started_at >= $1) r`
	for deadline := minute.Add(5 * time.Minute); ; {
		var n int
		if err := conn.QueryRow(ctx, query, minute, user).Scan(&n, &d.all, &d.begun); err != nil {
			return d, err
		}
		if n == count {
			return d, nil
		}
		if time.Now().After(deadline) {
			var said string
			err := conn.QueryRow(ctx, "select coalesce(string_agg(n || ' × ' || said, ', '), 'nothing') from (select count(*) as n, concat_ws(' ', status, return_message) as said from cron.job_run_details where username = $1 group by 2) s", user).Scan(&said)
			return d, errors.Join(fmt.Errorf("%d of %d ran within five minutes; pg_cron says: %s", n, count, said), err)
		}
		select {
		case <-ctx.Done():
			return d, ctx.Err()
		case <-time.After(2 * time.Second):
		}
	}
}

// idleCPU gives the share of one core that PostgreSQL and the server use within half a minute with so many active jobs that are never due.
func (s *stage) idleCPU(ctx context.Context, count int, command string) (float64, error) {
	conn, err := s.connect(ctx, "tinydev_superuser")
	if err != nil {
		return 0, err
	}
	defer conn.Close(ctx)
	// Spread over a day that is far away.
	insert := fmt.Sprintf(`insert into cron.job (schedule, command, nodename, nodeport, database, username, jobname)
		select format('%%s %%s 1 %%s *', n %% 60, n %% 24, 1 + (extract(month from now())::int + 5) %% 12), '%s', 'localhost', current_setting('port')::int, current_database(), '%s', 'idle_' || n from generate_series(1, %d) n`, command, user, count)
	if _, err := conn.Exec(ctx, insert); err != nil {
		return 0, err
	}
	defer func() {
		_, _ = conn.Exec(ctx, "delete from cron.job where jobname like 'idle\\_%'; select tinydev_impl.track_jobs()")
	}()
	// Until the server knows when each is due, which it works out once.
	for {
		var left int
		if err := conn.QueryRow(ctx, "select count(*)::int from tinydev_impl.job_state where active and next_due_at is null").Scan(&left); err != nil {
			return 0, err
		}
		if left == 0 {
			break
		}
		time.Sleep(time.Second)
	}
	before, err := s.cpuSeconds(conn)
	if err != nil {
		return 0, err
	}
	const span = 60 * time.Second
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(span):
	}
	after, err := s.cpuSeconds(conn)
	return (after - before) / span.Seconds(), err
}

// cpuSeconds gives the processor time of PostgreSQL, with its processes that ended, and of the server.
func (s *stage) cpuSeconds(conn *pgx.Conn) (float64, error) {
	var postmaster int
	if err := conn.QueryRow(context.Background(), "select split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int").Scan(&postmaster); err != nil {
		return 0, err
	}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	ticks := 0
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it ended
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest) // from the state on; see proc_pid_stat(5)
		pid := filepath.Base(filepath.Dir(name))
		own := pid == strconv.Itoa(postmaster)
		if !own && fields[1] != strconv.Itoa(postmaster) && pid != strconv.Itoa(s.server.Process.Pid) {
			continue
		}
		upTo := 13
		if own {
			upTo = 15 // with those that ended
		}
		for _, field := range fields[11:upTo] {
			n, err := strconv.Atoi(field)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", name, err)
			}
			ticks += n
		}
	}
	return float64(ticks) / 100, nil // USER_HZ
}
