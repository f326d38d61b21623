package control_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/cluster"
	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

// ended is what enforce_limits answers.
type ended struct {
	Sessions []struct {
		PID  int    `json:"pid"`
		User string `json:"user"`
		Why  string `json:"why"`
	} `json:"sessions"`
	Jobs []struct {
		JobID int64  `json:"job_id"`
		User  string `json:"user"`
	} `json:"jobs"`
}

func enforce(t *testing.T, server pgtest.Querier) ended {
	t.Helper()
	var e ended
	if err := json.Unmarshal(pgtest.Value[[]byte](t, server, "select tinydev_impl.enforce_limits()"), &e); err != nil {
		t.Fatal(err)
	}
	return e
}

// TestLimitsOfIdleTransactions holds that a transaction ends although its user lifted PostgreSQL's own time-out.
func TestLimitsOfIdleTransactions(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx := context.Background()
	server := db.Conn("tinydev_server")
	name := makeUser(t, c, control.Limits{IdleTransactionSeconds: number(1)})
	idle, busy, free := db.Conn(name), db.Conn(name), db.Conn(pgtest.Bob)
	run(t, idle, "alter role "+name+" reset all", "set idle_in_transaction_session_timeout = 0", "begin", "select 1")
	run(t, free, "begin", "select 1")
	run(t, busy, "select 1")
	var first ended
	pgtest.Eventually(t, 30*time.Second, "the idle transaction ends", func() bool {
		first = enforce(t, server)
		return len(first.Sessions) > 0
	})
	if len(first.Sessions) != 1 || first.Sessions[0].User != name || first.Sessions[0].Why != "idle" {
		t.Errorf("%+v", first)
	}
	if _, err := idle.Exec(ctx, "select 1"); err == nil {
		t.Error("the session goes on")
	}
	run(t, busy, "select 1")
	run(t, free, "commit")
}

// TestLimitsOfRolesThatAreGone holds that neither the sessions nor the jobs of a role that a superuser dropped stay.
func TestLimitsOfRolesThatAreGone(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	name := makeUser(t, c, control.Limits{})
	left := db.Conn(name)
	run(t, left, "select cron.schedule_in_database('left', '0 0 1 1 *', 'select 1', current_database())")
	run(t, db.Superuser(), "drop schema "+name+"; drop role "+name)
	run(t, left, "select 1")
	got := enforce(t, db.Conn("tinydev_server"))
	if len(got.Sessions) != 1 || got.Sessions[0].Why != "gone" || len(got.Jobs) != 1 || got.Jobs[0].User != name {
		t.Errorf("%+v", got)
	}
	if _, err := left.Exec(context.Background(), "select 1"); err == nil {
		t.Error("the session goes on")
	}
	if again := enforce(t, db.Conn("tinydev_server")); len(again.Sessions)+len(again.Jobs) != 0 {
		t.Errorf("again: %+v", again)
	}
}

// TestLimitsOfRunningJobs has eve keep pg_cron busy with 20 jobs that hide themselves as well as they can; bob's job still runs.
func TestLimitsOfRunningJobs(t *testing.T) {
	t.Parallel()
	db := pgtest.Live(t)
	ctx := context.Background()
	eve, bob, server, super := db.Conn(pgtest.Eve), db.Conn(pgtest.Bob), db.Conn("tinydev_server"), db.Superuser()
	run(t, db.Conn(pgtest.Admin), "select tinydev.alter_user('eve', running_jobs => 3)")
	for i := range 20 {
		command := "select pg_sleep(300)"
		switch i % 4 {
		case 1:
			command = "set application_name = 'psql'; select pg_sleep(300)"
		case 2: // does not stop when it is cancelled
			command = "do $$ begin loop begin perform pg_sleep(300); exception when query_canceled then null; end; end loop; end $$"
		}
		run(t, eve, fmt.Sprintf("select cron.schedule('busy %d', '* * * * *', $c$%s$c$)", i, command))
	}
	run(t, bob, "create table ran (at timestamptz)", "select cron.schedule('mine', '* * * * *', 'insert into bob.ran values (clock_timestamp())')")
	running := func() int {
		return pgtest.Value[int](t, super, `select count(*)::int from pg_stat_activity a where a.usename = 'eve' and a.pid <> $1`, int(eve.PgConn().PID()))
	}
	pgtest.Eventually(t, 90*time.Second, "eve's jobs run", func() bool { return running() > 3 })
	var all ended
	pgtest.Eventually(t, 90*time.Second, "no more than 3 of eve's jobs run, and bob's did", func() bool {
		all.Sessions = append(all.Sessions, enforce(t, server).Sessions...)
		return running() <= 3 && pgtest.Value[int](t, bob, "select count(*)::int from ran") > 0
	})
	for _, s := range all.Sessions {
		if s.User != pgtest.Eve || s.Why != "running_jobs" {
			t.Errorf("ended %+v", s)
		}
	}
	if n := running(); n < 1 {
		t.Errorf("%d run", n)
	}
	// By the test or by the system's own job, which looks each minute.
	pgtest.Eventually(t, 30*time.Second, "the others are told to have failed", func() bool {
		return pgtest.Value[int](t, super, "select count(*)::int from cron.job_run_details where username = 'eve' and status = 'failed'") >= 10
	})
	if n := pgtest.Value[int](t, super, "select count(*)::int from cron.job where username = 'eve' and not active"); n < 10 {
		t.Errorf("%d of eve's jobs are paused", n)
	}
	// They go on later, except one that eve decides about.
	run(t, eve, "select cron.alter_job((select min(jobid) from cron.job where not active), active => false)")
	run(t, super, "update tinydev_impl.held_job set held_until = clock_timestamp() where held_until is not null")
	enforce(t, server)
	if n := pgtest.Value[int](t, super, "select count(*)::int from tinydev_impl.held_job h join cron.job j on j.jobid = h.job_id where h.held_until is null and not j.active"); n != 0 {
		t.Errorf("%d jobs stay paused", n)
	}
	if n := pgtest.Value[int](t, super, "select count(*)::int from cron.job where username = 'bob' and not active"); n != 0 {
		t.Errorf("%d of bob's jobs are paused", n)
	}
	for at, want := range map[string]bool{"clock_timestamp()": false, "clock_timestamp() + interval '10 minutes'": true} {
		if got := pgtest.Value[bool](t, server, "select tinydev_impl.cron_stalled("+at+") is not null"); got != want {
			t.Errorf("pg_cron is stalled at %s: %v", at, got)
		}
	}
	if _, err := eve.Exec(ctx, "select 1"); err != nil {
		t.Errorf("eve's own session: %v", err)
	}
	var name string
	if err := bob.QueryRow(ctx, "select cron.unschedule('mine')::text").Scan(&name); err != nil {
		t.Error(err)
	}
}

// TestLimitOfActiveJobs holds that a user's active jobs end at 50 times running_jobs, however they are made, and that paused ones and others' do not count.
func TestLimitOfActiveJobs(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, name := context.Background(), makeUser(t, c, control.Limits{RunningJobs: number(1)})
	conn := db.Conn(name)
	const schedule = "select cron.schedule_in_database('j' || i, '0 0 1 1 *', 'select 1', current_database()) from generate_series(%d, %d) i"
	run(t, conn, fmt.Sprintf(schedule, 1, 50), fmt.Sprintf(schedule, 50, 50)) // the last replaces itself
	if _, err := conn.Exec(ctx, fmt.Sprintf(schedule, 51, 51)); fault.CodeOf(postgres.Fault(err, "")) != "jobs_too_many" {
		t.Errorf("one more: %v", err)
	}
	run(t, conn, "select cron.alter_job((select min(jobid) from cron.job), active => false)", fmt.Sprintf(schedule, 51, 51))
	if _, err := conn.Exec(ctx, "select cron.alter_job((select min(jobid) from cron.job), active => true)"); fault.CodeOf(postgres.Fault(err, "")) != "jobs_too_many" {
		t.Errorf("resume one more: %v", err)
	}
	run(t, db.Conn(pgtest.Bob), "select cron.schedule_in_database('mine', '0 0 1 1 *', 'select 1', current_database())")
}

// TestSlotsOfPgCron has pg_cron's history say that a run goes on whose process is gone: behind a backlog pg_cron does not see that it
// ended. Its job is paused, so that pg_cron gives the slot back, and goes on with the next look.
func TestSlotsOfPgCron(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	eve, server, super := db.Conn(pgtest.Eve), db.Conn("tinydev_server"), db.Superuser()
	ids := pgtest.Value[[]int64](t, eve, "select array_agg(cron.schedule_in_database('j' || i, '* * * * *', 'select 1', current_database()) order by i) from generate_series(1, 3) i")
	// The first is over, the second runs, the third began only now.
	run(t, super, fmt.Sprintf(`insert into cron.job_run_details (jobid, runid, job_pid, database, username, command, status, start_time) values
		(%d, 1, 2147483647, current_database(), 'eve', 'select 1', 'running', greatest(clock_timestamp() - interval '20 s', pg_postmaster_start_time())),
		(%d, 2, %d, current_database(), 'eve', 'select 1', 'running', clock_timestamp()),
		(%d, 3, 2147483647, current_database(), 'eve', 'select 1', 'running', clock_timestamp())`, ids[0], ids[1], server.PgConn().PID(), ids[2]))
	active := func() string {
		return pgtest.Value[string](t, super, "select string_agg(active::text, ' ' order by jobid) from cron.job where username = 'eve'")
	}
	pgtest.Eventually(t, time.Minute, "the run that is over is taken for it", func() bool {
		run(t, super, "update cron.job_run_details set start_time = clock_timestamp() where runid = 3")
		enforce(t, server)
		return active() == "false true true"
	})
	enforce(t, server)
	if got := active(); got != "false true true" && got != "true true true" {
		t.Errorf("after another look: %s", got)
	}
	run(t, super, "update tinydev_impl.held_job set held_until = clock_timestamp()")
	enforce(t, server)
	if got := active(); got != "true true true" {
		t.Errorf("it does not go on: %s", got)
	}
}

// TestDroppedUserAndScheduler drops a user who has jobs, one of them running, and restarts PostgreSQL: a row of cron.job of a role
// that is gone would stop pg_cron's scheduler then.
func TestDroppedUserAndScheduler(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pg := privateCluster(t)
	if err := pgtest.Install(ctx, pg.URL(cluster.Superuser, cluster.Database)); err != nil {
		t.Fatal(err)
	}
	as := func(role string) *pgx.Conn {
		conn, err := postgres.Connect(ctx, pg.URL(role, cluster.Database), "test")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(ctx) })
		return conn
	}
	eve, admin := as(pgtest.Eve), as(pgtest.Admin)
	run(t, eve, "create table t as select 1 as a", "select tinydev.create_view('v', 'select * from t')", "select tinydev.schedule('v', '* * * * *')",
		"select cron.schedule('long', '* * * * *', 'select pg_sleep(300)')")
	pgtest.Eventually(t, 90*time.Second, "eve's long job runs", func() bool {
		return pgtest.Value[int](t, admin, "select count(*)::int from pg_stat_activity where usename = 'eve'") > 1
	})
	run(t, admin, "select tinydev.drop_user('eve', objects => 'drop')")
	if n := pgtest.Value[int](t, admin, "select count(*)::int from pg_stat_activity where usesysid is not null and usename is null"); n != 0 {
		t.Errorf("%d sessions of a role that is gone", n)
	}

	// The last administrator stays one.
	_, err := admin.Exec(ctx, "select tinydev.alter_user('admin', admin => false)")
	if fault.CodeOf(postgres.Fault(err, "")) != "last_admin" {
		t.Errorf("unmake the last administrator: %v", err)
	}
	_, err = as(cluster.Superuser).Exec(ctx, "select tinydev.drop_user('admin')")
	if fault.CodeOf(postgres.Fault(err, "")) != "last_admin" {
		t.Errorf("drop the last administrator: %v", err)
	}
	run(t, admin, "select tinydev.alter_user('bob', admin => true)", "select tinydev.alter_user('admin', admin => false)")
	run(t, as(pgtest.Bob), "select tinydev.drop_user('admin')")

	if err := pg.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if err := pg.Start(ctx); err != nil {
		t.Fatal(err)
	}
	bob := as(pgtest.Bob)
	run(t, bob, "create table ran (at timestamptz)", "select cron.schedule('mine', '* * * * *', 'insert into bob.ran values (clock_timestamp())')")
	pgtest.Eventually(t, 90*time.Second, "a job runs after the restart", func() bool { return pgtest.Value[int](t, bob, "select count(*)::int from ran") > 0 })
}

// privateCluster starts a server of its own that can be restarted.
func privateCluster(t *testing.T) *cluster.Cluster {
	t.Helper()
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "tinydev-test-")
	if err != nil {
		t.Fatal(err)
	}
	pg, err := cluster.Open(ctx, cluster.Config{DataDir: dir, Settings: map[string]string{"fsync": "off"}, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), BinDir: os.Getenv("TINYDEV_POSTGRES_BIN")})
	if err == nil {
		err = pg.Start(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Stop(ctx); err != nil {
			t.Error(err)
		}
		if err := pg.Destroy(ctx); err != nil {
			t.Error(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return pg
}

// TestWhoHasSessions holds that nobody who can be more than a user, by SET ROLE too, is let in.
func TestWhoHasSessions(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	super := pgtest.DB(t).Superuser()
	for what, sql := range map[string]string{
		"a superuser":                    "alter role %[1]s superuser",
		"who makes roles":                "alter role %[1]s createrole",
		"a member of a superuser":        "create role %[1]s_over superuser; grant %[1]s_over to %[1]s",
		"a member of a member":           "create role %[1]s_over bypassrls; create role %[1]s_between; grant %[1]s_over to %[1]s_between; grant %[1]s_between to %[1]s",
		"a member of the owner":          "grant tinydev_owner to %[1]s",
		"who runs programs on the host":  "grant pg_execute_server_program to %[1]s",
		"who may not log in":             "alter role %[1]s nologin",
		"who is not a user any more":     "revoke tinydev_user from %[1]s",
		"who replicates, by a member":    "create role %[1]s_over replication; grant %[1]s_over to %[1]s",
		"who may write files by a group": "create role %[1]s_over; grant pg_write_server_files to %[1]s_over; grant %[1]s_over to %[1]s",
	} {
		tx, err := super.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		name := newName()
		if _, err := tx.Exec(ctx, fmt.Sprintf("create role %[1]s login; grant tinydev_user to %[1]s; select tinydev_impl.require_session('%[1]s')", name), pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s, before: %v", what, err)
		}
		if _, err := tx.Exec(ctx, fmt.Sprintf(sql, name), pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if _, err := tx.Exec(ctx, "select tinydev_impl.require_session($1)", name); fault.CodeOf(postgres.Fault(err, "")) != "not_a_user" {
			t.Errorf("%s has a session: %v", what, err)
		}
		if err := tx.Rollback(ctx); err != nil {
			t.Fatal(err)
		}
	}
}
