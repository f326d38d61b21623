package control_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
	"github.com/tinydevcrm/tinydevcrm/pkg/schema"
)

// TestHeldOpen holds that a user who keeps transactions, locks and rows open stops nobody else: neither others' work nor the server's own.
func TestHeldOpen(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, super, server := context.Background(), db.Superuser(), db.Conn("tinydev_server")
	eve, bob := db.Conn(pgtest.Eve), c.As(pgtest.Bob)
	run(t, eve, "create table t (a int)", "select tinydev.create_view('v', 'select * from t')", "select tinydev.schedule('v', '* * * * *')", "select tinydev.create_view('gone', 'select 1 as a')", "select tinydev.schedule('gone', '* * * * *')",
		"call tinydev.refresh('v')")
	run(t, server, "select tinydev_impl.place()")
	// An old event log, old runs and audit entries, so that upkeep has something to remove.
	run(t, super, "update tinydev_impl.event set occurred_at = now() - interval '1 year'", "update tinydev_impl.audit set at = now() - interval '9 years'",
		"insert into cron.job_run_details (jobid, runid, database, username, command, status, start_time, end_time) select jobid, 2000000, database, username, command, 'succeeded', now() - interval '1 year', now() - interval '1 year' from cron.job where username = 'eve' limit 1")

	hold := [][]string{
		{"select * from tinydev.event", "select * from tinydev.job", "select * from tinydev.run", "select * from tinydev.upload", "select * from tinydev.relation", "select * from cron.job_run_details", "select * from cron.job"},
		{"lock table t in access exclusive mode"},
		{"select tinydev.record_event('view.refreshed', 'eve.v'::regclass, null)"},
		{"select tinydev.alter_job((select job_id from tinydev.job where view = 'eve.v'), schedule => '0 0 * * *')"},
		{"select tinydev.drop_view('gone')"},
		{"create table held (a int)", "grant select on held to bob"},
		{`select tinydev.record_upload('held2', jsonb_build_object('is_new', true, 'row_count', 2, 'body_bytes', 3, 'sha256', repeat('a', 64), 'encoding', 'UTF8', 'delimiter', ',', 'columns', '[]'::jsonb, 'duration_ms', 1))`},
		{"listen tinydev", "listen tinydev_inbox", "notify tinydev, '1'", "notify tinydev_inbox"},
		{fmt.Sprintf("select pg_advisory_lock(%d), pg_advisory_lock(0), pg_advisory_lock(1), pg_advisory_lock(%d)", schema.LockKey, int64(1)<<62)},
		{"select pg_advisory_lock(k) from generate_series(2, 500) k", "select pg_advisory_lock(1, k) from generate_series(1, 500) k"},
		{"select tinydev_lib.audit_unscheduled()"},
		{"select tinydev.create_trigger('held')", "select tinydev.create_trigger('not_held')", "select tinydev.drop_trigger('not_held')", "select * from tinydev.trigger"},
	}
	run(t, eve, "create table held2 ()")
	for i, statements := range hold {
		conn := db.Conn(pgtest.Eve)
		if i%2 == 0 {
			run(t, conn, "begin isolation level serializable")
		} else {
			run(t, conn, "begin")
		}
		run(t, conn, statements...)
	}

	patient, cancel := context.WithTimeout(ctx, 20*time.Second) // what waits for eve waits for ever
	defer cancel()
	must[control.Change[control.Relation]](t)(bob.CreateTable(patient, "friends", friends, false))
	must[control.Change[control.Relation]](t)(bob.CreateView(patient, "v", "select * from friends", false))
	job := must[control.Change[control.Job]](t)(bob.Schedule(patient, "v", control.JobOptions{Schedule: new("* * * * *")}, false)).Made
	must[control.Change[control.Refreshed]](t)(bob.Refresh(patient, "v", false))
	must[[]control.RelationSummary](t)(bob.Relations(patient, control.Tables, "", 10))
	must[[]control.Run](t)(bob.Runs(patient, job.JobID, 0, 10))
	must[control.Change[control.Unscheduled]](t)(bob.Unschedule(patient, job.JobID, false))
	must[control.Change[control.Dropped]](t)(bob.DropView(patient, "v", false))
	must[[]control.RelationSummary](t)(c.As(pgtest.Admin).Relations(patient, control.Tables, "", 100))
	must[[]control.AuditEntry](t)(c.As(pgtest.Admin).Audit(patient, control.AuditFilter{Actor: pgtest.Bob}, 0, 100))
	must[[]control.RelationSummary](t)(c.As(pgtest.Eve).Relations(patient, control.Tables, "", 100))

	run(t, server, "set statement_timeout = '20s'")
	run(t, server, "select tinydev_impl.place()", "call tinydev_impl.place_all()", "select tinydev_impl.upkeep()", "select tinydev_impl.register_token('bob', 'laptop', repeat('c', 64), 'td_')", "select tinydev_impl.session_limits('bob')")
	if n := pgtest.Value[int](t, db.Conn(pgtest.Bob), "select count(*)::int from tinydev.event where type = 'view.refreshed' and subject = 'bob.v'"); n != 1 {
		t.Errorf("bob sees %d of his refreshes while eve holds hers open", n)
	}
	if n := pgtest.Value[int](t, super, "select count(*)::int from cron.job_run_details where runid = 2000000"); n != 0 {
		t.Error("old runs are kept while eve reads them")
	}
	if n := pgtest.Value[int](t, super, "select count(*)::int from tinydev_impl.audit where at < now() - interval '1 year'"); n != 0 {
		t.Error("old entries of the audit are kept")
	}
	// A second installation that finds the lock taken says who has it.
	conn, err := postgres.Connect(ctx, db.URL("tinydev_superuser"), "test")
	if err != nil {
		t.Fatal(err)
	}
	run(t, super, "update tinydev_impl.instance set sql_sha256 = 'old'")
	err = schema.Install(ctx, conn, schema.Options{LockTimeout: 100 * time.Millisecond})
	if e := wantFault(t, err, fault.Unavailable, "migration_locked"); !strings.Contains(e.Message, "eve") {
		t.Errorf("%s", e.Message)
	}
}

// TestQueuesStayShort holds that no lock that eve can take makes others wait behind somebody who waits for it.
func TestQueuesStayShort(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	run(t, db.Conn(pgtest.Bob), "select tinydev.create_view('v', 'select 1 as a')", "call tinydev.refresh('v')")
	run(t, db.Conn("tinydev_server"), "select tinydev_impl.place()")
	run(t, db.Superuser(), "update tinydev_impl.event set occurred_at = now() - interval '1 year'", "update tinydev_impl.head set position = (select max(position_to) from tinydev_impl.event_partition)")
	reader := db.Conn(pgtest.Eve)
	run(t, reader, "begin", "select * from tinydev.event")
	// Upkeep wants to drop the partition that eve reads; it gives up soon, and who reads and writes meanwhile is not held up by its waiting.
	run(t, db.Conn("tinydev_server"), "select tinydev_impl.upkeep()")
	bob := db.Conn(pgtest.Bob)
	run(t, bob, "set statement_timeout = '20s'", "select * from tinydev.event", "call tinydev.refresh('v')")
	run(t, reader, "rollback")
	if n := pgtest.Value[int](t, db.Conn("tinydev_server"), "select jsonb_array_length(tinydev_impl.upkeep() -> 'dropped_partitions')"); n == 0 {
		t.Error("once eve lets go the old partition is not dropped")
	}
}

// TestHeldTokenIsRevoked has a user hold a token in an open transaction, which keeps no administrator from revoking it.
func TestHeldTokenIsRevoked(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := pgtest.DB(t)
	eve, admin := db.Conn(pgtest.Eve), db.Conn(pgtest.Admin)
	run(t, eve, "select tinydev.create_token('held', sha256 => repeat('e', 64))", "begin", "select tinydev.revoke_token('held')")
	if _, err := db.Conn(pgtest.Eve).Exec(ctx, "select tinydev.revoke_token('held')"); fault.CodeOf(postgres.Fault(err, "")) != "locked" {
		t.Errorf("eve's other session: %v", err)
	}
	run(t, admin, "select tinydev.revoke_token('held', for_user => 'eve')")
	if n := pgtest.Value[int](t, db.Superuser(), "select count(*)::int from tinydev_impl.token where role_name = 'eve'"); n != 0 {
		t.Errorf("%d tokens are left", n)
	}
	if _, err := eve.Exec(ctx, "select 1"); err == nil {
		t.Error("eve's transaction goes on")
	}
}
