package control_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/cluster"
	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

// complaints are the doctor's errors and warnings as "level check subject", sorted, without those that hold where nothing is wrong: clones
// have no launcher, and PostgreSQL and pg_cron are as old as they are.
func complaints(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	list := []string{}
	for _, f := range must[control.Examination](t)(control.Examine(context.Background(), conn)).Findings {
		if f.Level != control.LevelError && f.Level != control.LevelWarn || f.Check == "versions" || f.Subject == "cron.database_name" {
			continue
		}
		if f.Message == "" || f.Fix == nil {
			t.Errorf("%s %s has the message %q and the fix %v", f.Check, f.Subject, f.Message, f.Fix)
		}
		list = append(list, f.Level+" "+f.Check+" "+f.Subject)
	}
	slices.Sort(list)
	return list
}

// fixOf gives how to mend a finding.
func fixOf(t *testing.T, conn *pgx.Conn, check, subject string) control.Finding {
	t.Helper()
	for _, f := range must[control.Examination](t)(control.Examine(context.Background(), conn)).Findings {
		if f.Check == check && f.Subject == subject && f.Fix != nil {
			return f
		}
	}
	t.Fatalf("%s finds nothing about %s", check, subject)
	return control.Finding{}
}

// run adds a run to pg_cron's history.
const addRun = `insert into cron.job_run_details (jobid, runid, job_pid, database, username, command, status, return_message, start_time, end_time)
	values (%d, nextval('cron.runid_seq'), %d, current_database(), %s, 'select 1', %s, %s, %s, %s)`

// TestDoctorFinds breaks one thing after the other, and each gives exactly its finding, to whom it concerns; what the doctor calls safe
// it mends itself, else its fix or the given statement does.
func TestDoctorFinds(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, super := context.Background(), db.Superuser()
	admin, ann, bob := db.Conn(pgtest.Admin), db.Conn(pgtest.Ann), db.Conn(pgtest.Bob)
	exec(t, super, "update cron.job set database = current_database()") // it says the template's
	if found := complaints(t, admin); len(found) != 0 {
		t.Fatalf("with nothing broken: %s", found)
	}
	exec(t, ann, `create table friends (name text)`, `select tinydev.create_view('v', 'select name from friends')`, `create unique index v_name on v (name)`,
		`select cron.schedule_in_database('own', '0 0 1 1 *', 'select 1', current_database())`)
	job := pgtest.Value[int](t, super, "select jobid::int from cron.job where jobname = 'own'")
	refused := "pg_cron connects to /nowhere, port 1"
	if pgtest.Value[bool](t, super, "select current_setting('cron.use_background_workers')::boolean") {
		refused = "no worker process left"
	}
	const all, own, none = "all", "Ann", "administrators"
	for _, broken := range []struct {
		name   string
		by     []string // as the superuser
		want   string   // level, check, subject
		seenBy string   // all, Ann, or none but administrators
		is     string   // in its message
		fix    string   // "": the safe one; run: what it says, up to --; else this statement
	}{
		{"a job of a role that is gone", []string{`insert into cron.job (nodename, nodeport, jobid, jobname, schedule, command, database, username) values (current_setting('cron.host'), current_setting('port')::int, 9000, 'left', '0 0 1 1 *', 'select 1', 'postgres', 'ghost')`, `select setval('cron.jobid_seq', 9000)`},
			"error job_role job 9000", none, "scheduler stops", ""},
		{"a job in a database that is gone", []string{`insert into cron.job (nodename, nodeport, jobid, jobname, schedule, command, database, username) values (current_setting('cron.host'), current_setting('port')::int, 9001, 'left', '0 0 1 1 *', 'select 1', 'nowhere', 'Ann')`, `select setval('cron.jobid_seq', 9001)`},
			"error job_database job 9001", own, "nowhere", "run"},
		{"a role that may not log in", []string{`create role mute`, `insert into cron.job (nodename, nodeport, jobid, schedule, command, database, username) values (current_setting('cron.host'), current_setting('port')::int, 9002, '0 0 1 1 *', 'select 1', current_database(), 'mute')`, `select setval('cron.jobid_seq', 9002)`},
			"error job_role job 9002", none, "may not log in", "delete from cron.job where jobid = 9002; drop role mute"},
		{"a superuser's job", []string{`insert into cron.job (nodename, nodeport, jobid, schedule, command, database, username) values (current_setting('cron.host'), current_setting('port')::int, 9003, '0 0 1 1 *', 'select 1', current_database(), session_user)`, `select setval('cron.jobid_seq', 9003)`},
			"warn job_role job 9003", none, "is a superuser", "run"},
		{"jobs numbered anew", []string{`select setval('cron.jobid_seq', 1)`}, "error sequences cron.jobid_seq", all, "as after a restore", ""},
		{"runs numbered anew", []string{fmt.Sprintf(addRun, job, 1, "'Ann'", "'succeeded'", "''", "now()", "now()"), fmt.Sprintf(addRun, job, 1, "'Ann'", "'succeeded'", "''", "now()", "now()"), `select setval('cron.runid_seq', 1)`},
			"error sequences cron.runid_seq", all, "as after a restore", ""},
		{"a run whose process is gone", []string{fmt.Sprintf(addRun, job, 4194300, "'Ann'", "'running'", "null", "now() - interval '5 minutes'", "null"), `update cron.job_run_details set start_time = '2020-01-01' where end_time is null`,
			`update tinydev_impl.instance set run_retention = '100 years'`},
			fmt.Sprintf("error stuck_run job %d", job), own, "4194300 is gone", "run"},
		{"a connection that pg_cron does not get", []string{`update cron.job set nodename = '/nowhere', nodeport = 1 where jobid = ` + fmt.Sprint(job), fmt.Sprintf(addRun, job, 1, "'Ann'", "'failed'", "'connection failed'", "now()", "now()")},
			fmt.Sprintf("error job_connection job %d", job), own, refused, fmt.Sprintf(addRun, job, 1, "'Ann'", "'succeeded'", "''", "now()", "now()")},
		{"history that is not pruned", []string{`update tinydev_impl.instance set run_retention = '30 days'`, `insert into cron.job_run_details (jobid, runid, username, database, command, status, start_time, end_time)
			select 1, -g, 'bob', current_database(), 'select 1', 'succeeded', now() - interval '60 days', now() - interval '60 days' from generate_series(1, 20000) g`},
			"warn log_size cron.job_run_details", all, "goes back to", ""},
		{"history that is large", []string{`insert into cron.job_run_details (jobid, runid, username, database, command, status, start_time, end_time)
			select 1, -g, 'bob', current_database(), repeat('x', 1500), 'succeeded', now(), now() from generate_series(1, 80000) g`},
			"warn log_size cron.job_run_details", all, "takes 1", "truncate cron.job_run_details"},
		{"a paused job of the system", []string{`update cron.job set active = false where jobname = 'tinydev: upkeep'`}, "error system_jobs tinydev: upkeep", all, "is paused", ""},
		{"a job of the system that is gone", []string{`delete from cron.job where jobname = 'tinydev: place events'`}, "error system_jobs tinydev: place events", all, "is gone", "run"},
		{"events that wait", []string{`insert into tinydev_impl.inbox (type, subject, workspace, actor, occurred_at) values ('view.refreshed', 'bob.v', 'bob', 'bob', now() - interval '10 minutes')`},
			"error relay inbox", all, "10:0", ""},
		{"a trigger on the history", []string{`create trigger foreign_one before update on cron.job_run_details for each row execute function suppress_redundant_updates_trigger()`},
			"warn settings cron.job_run_details", all, "foreign_one", "run"},
		{"a canary that died", []string{`update tinydev_impl.canary set started_at = now(), ended_at = now()`}, "error canary pg_cron", all, "did not run within 5 s", "update tinydev_impl.canary set ended_at = null"},
		{"a full disk", []string{`select tinydev_impl.watch_doctor('here', now(), 1000000, 1000000000)`}, "error disk here", all, "of the server's data directory", "select tinydev_impl.watch_doctor('here', now(), 900000000000, 1000000000000)"},
		{"a wrong clock", []string{`select tinydev_impl.watch_doctor('here', now() - interval '10 s', 900000000000, 1000000000000)`}, "warn clock here", all, "s behind PostgreSQL's", "delete from tinydev_impl.server_report"},
		{"no unique index", []string{`drop index "Ann".v_name`}, `warn unique_index "Ann".v`, own, "has no unique index", "run"},
		{"a unique index of a part", []string{`drop index "Ann".v_name_idx`, `create unique index part on "Ann".v (name) where name <> 'x'`}, `warn unique_index "Ann".v`, own, "not a plain one", "run"},
		{"a function without search_path", []string{`set role "Ann"`, `create function "Ann".best() returns text language plpgsql stable as 'begin return (select name from friends limit 1); end'`,
			`set search_path = "Ann", public`, `create materialized view "Ann".w as select best() as name`, `create unique index on "Ann".w (name)`, `reset search_path`, `reset role`},
			`warn search_path "Ann".w`, own, "says friends without its schema", "run"},
		{"a subscription that was given up", []string{`insert into tinydev_impl.subscription (role_name, name, kind, target, active, paused_at, pause_reason) values ('Ann', 'hook', 'webhook', 'https://example.org', false, now(), 'failing')`},
			`warn subscriptions "Ann".hook`, own, "it had failed for too long", "delete from tinydev_impl.subscription where name = 'hook'"},
	} {
		exec(t, super, broken.by...)
		if found := complaints(t, admin); !slices.Equal(found, []string{broken.want}) {
			t.Errorf("%s: an administrator finds %q, want %q", broken.name, found, broken.want)
			continue
		}
		for conn, sees := range map[*pgx.Conn]bool{ann: broken.seenBy != none, bob: broken.seenBy == all} {
			if found := complaints(t, conn); sees != slices.Equal(found, []string{broken.want}) || !sees && len(found) != 0 {
				t.Errorf("%s: %s finds %q", broken.name, conn.Config().User, found)
			}
		}
		words := strings.SplitN(broken.want, " ", 3)
		finding := fixOf(t, admin, words[1], words[2])
		if !strings.Contains(finding.Message, broken.is) {
			t.Errorf("%s: %s; want %q in it", broken.name, finding.Message, broken.is)
		}
		if finding.Safe != (broken.fix == "") {
			t.Errorf("%s: it is %t that it can be mended safely", broken.name, finding.Safe)
		}
		switch broken.fix {
		case "":
			plan := must[control.Change[control.Mending]](t)(c.As(pgtest.Admin).MendSafe(ctx, true))
			if !slices.Equal(plan.SQL, []string{*finding.Fix}) || !slices.Equal(complaints(t, admin), []string{broken.want}) {
				t.Errorf("%s: a dry run answers %q", broken.name, plan.SQL)
			}
			made := must[control.Change[control.Mending]](t)(c.As(pgtest.Admin).MendSafe(ctx, false)).Made
			if len(made.Mended) != 1 || made.Mended[0].Check != words[1] || made.Mended[0].Subject != words[2] || made.Mended[0].Error != nil {
				t.Errorf("%s: mended %+v", broken.name, made)
			}
		case "run":
			statement, _, _ := strings.Cut(*finding.Fix, "  --")
			exec(t, super, statement)
		default:
			exec(t, super, broken.fix)
		}
		if found := complaints(t, admin); len(found) != 0 {
			t.Fatalf("%s: mended, and there is still %q", broken.name, found)
		}
	}
	if n := pgtest.Value[int](t, super, "select count(*)::int from tinydev_impl.audit where action = 'doctor.fix' and actor = 'admin'"); n != 6 {
		t.Errorf("%d times mended by the audit, want 6", n)
	}
	_, err := c.As(pgtest.Ann).MendSafe(ctx, false)
	wantFault(t, err, fault.Forbidden, "admin_only")
	if state := sqlstate(t, ann, "select tinydev_lib.put_mend(false)"); state != "42501" {
		t.Errorf("put_mend of a user: %s", state)
	}
}

// TestDoctorJudges asks what cannot be brought about here.
func TestDoctorJudges(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	bob := db.Conn(pgtest.Bob)
	judge := func(call string) string {
		return pgtest.Value[string](t, bob, "select coalesce(string_agg(level || ' ' || subject, ', ' order by level, subject), '') from "+call)
	}
	for call, want := range map[string]string{
		"tinydev_lib.doctor_version(120017, '1.6', '2024-01-01')":   "error PostgreSQL 12.17",
		"tinydev_lib.doctor_version(120022, '1.6', '2026-11-30')":   "warn PostgreSQL 12",
		"tinydev_lib.doctor_version(150005, '1.6', '2026-11-30')":   "error PostgreSQL 15.5",
		"tinydev_lib.doctor_version(160001, '1.5', '2026-11-30')":   "error PostgreSQL 16.1",
		"tinydev_lib.doctor_version(160002, '1.6', '2026-11-30')":   "",
		"tinydev_lib.doctor_version(190000, '1.7', '2029-11-30')":   "",
		"tinydev_lib.doctor_version(170004, '1.4-1', '2026-11-30')": "warn pg_cron 1.4-1",
		"tinydev_lib.doctor_notify(0.1)":                            "",
		"tinydev_lib.doctor_notify(0.3)":                            "warn NOTIFY",
		"tinydev_lib.doctor_notify(0.6)":                            "error NOTIFY",
	} {
		if got := judge(call); got != want {
			t.Errorf("%s: %q, want %q", call, got, want)
		}
	}
}

// TestDoctorTells writes an event when an error comes and one when it is gone, once each, to whose it is.
func TestDoctorTells(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	super, server := db.Superuser(), db.Conn("tinydev_server")
	exec(t, super, "update cron.job set database = current_database()") // it says the template's
	exec(t, db.Conn(pgtest.Ann), `select cron.schedule_in_database('own', '0 0 1 1 *', 'select 1', current_database())`)
	job := pgtest.Value[int](t, super, "select jobid::int from cron.job where jobname = 'own'")
	watch := func() {
		exec(t, server, "select tinydev_impl.watch_doctor()", "select tinydev_impl.watch_doctor()", "call tinydev_impl.place_all()")
	}
	events := func(role string) string {
		return pgtest.Value[string](t, db.Conn(role), `select coalesce(string_agg(type || ' ' || subject || ' ' || (data ->> 'check') || ' ' || (data ? 'message')::text, ', ' order by position), '') from tinydev.event`)
	}
	watch()
	// A clone has no launcher of its own.
	base := "doctor.failed tinydev_server.settings settings true"
	if got := events(pgtest.Admin); got != base {
		t.Fatalf("at first: %s", got)
	}
	exec(t, super, fmt.Sprintf(addRun, job, 1, "'Ann'", "'failed'", "'connection failed'", "now()", "now()"))
	watch()
	failed := fmt.Sprintf(`doctor.failed "Ann".job_%d job_connection true`, job)
	if got := events(pgtest.Ann); got != failed {
		t.Errorf("ann is told %s", got)
	}
	exec(t, super, fmt.Sprintf(addRun, job, 1, "'Ann'", "'succeeded'", "''", "now()", "now()"))
	watch()
	recovered := failed + ", " + strings.Replace(failed, "failed", "recovered", 1)
	for role, want := range map[string]string{pgtest.Ann: recovered, pgtest.Admin: base + ", " + recovered, pgtest.Bob: ""} {
		if got := events(role); got != want {
			t.Errorf("%s is told %s, want %s", role, got, want)
		}
	}
	if n := pgtest.Value[int](t, super, "select count(*)::int from tinydev_impl.doctor_error where workspace = 'Ann'"); n != 0 {
		t.Errorf("%d errors are kept", n)
	}
}

// TestDoctorOfSettings starts a PostgreSQL whose settings are wrong, one after the other, and then one without pg_cron.
func TestDoctorOfSettings(t *testing.T) {
	t.Parallel()
	if os.Getenv("TINYDEV_TEST_SERVER") == "container" {
		t.Skip("it restarts a server of this machine")
	}
	ctx, dir := context.Background(), t.TempDir()
	start := func(settings map[string]string) (*cluster.Cluster, *pgx.Conn) {
		settings["fsync"] = "off"
		pg := must[*cluster.Cluster](t)(cluster.Open(ctx, cluster.Config{DataDir: dir, Settings: settings, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), BinDir: os.Getenv("TINYDEV_POSTGRES_BIN")}))
		t.Cleanup(func() { _ = pg.Stop(ctx) }) // it may be stopped
		if err := pg.Start(ctx); err != nil {
			t.Fatal(err)
		}
		url := pg.URL(cluster.Superuser, cluster.Database)
		if settings["shared_preload_libraries"] == "" {
			if err := pgtest.Install(ctx, url); err != nil && !strings.Contains(err.Error(), "already exists") {
				t.Fatal(err)
			}
		}
		return pg, must[*pgx.Conn](t)(postgres.Connect(ctx, url, "test"))
	}
	pg, conn := start(map[string]string{"cron.log_run": "off", "cron.timezone": "Europe/Berlin", "cron.max_running_jobs": "190", "cron.use_background_workers": "off"})
	found := complaints(t, conn)
	want := []string{"warn settings cron.log_run", "warn settings cron.max_running_jobs", "warn settings cron.timezone"}
	if pgtest.Value[bool](t, conn, "select tinydev_lib.cron_release() >= array[1, 5]") {
		want = []string{"warn settings cron.log_run", "warn settings cron.max_running_jobs", "warn settings cron.use_background_workers"} // a zone is fine
	}
	if !slices.Equal(found, want) {
		t.Errorf("with wrong settings: %q, want %q", found, want)
	}
	conn.Close(ctx)
	if err := pg.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	pg, conn = start(map[string]string{"cron.use_background_workers": "on", "max_worker_processes": "8", "cron.max_running_jobs": "5"})
	found = slices.DeleteFunc(complaints(t, conn), func(f string) bool { return f == "warn settings cron.use_background_workers" }) // below 1.5
	if want := []string{"warn settings cron.max_running_jobs"}; !slices.Equal(found, want) {
		t.Errorf("with too few workers: %q, want %q", found, want)
	}
	conn.Close(ctx)
	if err := pg.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	pg, conn = start(map[string]string{"shared_preload_libraries": "pg_stat_statements"})
	if found, want := complaints(t, conn), []string{"error settings shared_preload_libraries"}; !slices.Equal(found, want) {
		t.Errorf("without pg_cron: %q, want %q", found, want)
	}
	conn.Close(ctx)
	if err := pg.Stop(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestDoctorOfLauncher ends pg_cron's launcher, and has the canary run.
func TestDoctorOfLauncher(t *testing.T) {
	t.Parallel()
	db := pgtest.Live(t)
	super, server := db.Superuser(), db.Conn("tinydev_server")
	exec(t, server, "call tinydev_impl.run_canary()", "call tinydev_impl.run_canary()")
	if pgtest.Value[bool](t, super, "select tinydev_lib.cron_release() >= array[1, 5]") {
		if status := pgtest.Value[string](t, super, "select status || ' ' || (ran_at - started_at < interval '5 s')::text from tinydev_impl.canary"); status != "succeeded true" {
			t.Errorf("the canary %s", status)
		}
	}
	if n := pgtest.Value[int](t, super, "select count(*)::int from cron.job"); n != 2 {
		t.Errorf("%d jobs are left, want the system's two", n)
	}
	if found := complaints(t, super); len(found) != 0 {
		t.Errorf("with nothing broken: %q", found)
	}
	// With a newer pg_cron it comes back after a second.
	found := []string{}
	pgtest.Eventually(t, 20*time.Second, "the launcher is missed", func() bool {
		exec(t, super, "select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'pg_cron launcher'")
		found = complaints(t, super)
		return len(found) > 0
	})
	if want := []string{"error launcher pg_cron launcher"}; !slices.Equal(found, want) {
		t.Errorf("without a launcher: %q, want %q", found, want)
	}
}
