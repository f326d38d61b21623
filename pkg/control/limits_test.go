package control_test

import (
	"context"
	"io"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

// A refresh that takes longer than a request may is cut, says how long that is, and is on record as any other failure.
func TestLongRefreshIsCut(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann := context.Background(), c.As(pgtest.Ann)
	exec(t, db.Superuser(), `insert into tinydev_impl.user_limit (role_name, statement_seconds) values ('Ann', 1)`)
	exec(t, db.Conn(pgtest.Ann), "create table knob as select 0 as seconds")
	must[control.Change[control.Relation]](t)(ann.CreateView(ctx, "slow", "select pg_sleep(seconds)::text as a from knob", false))
	exec(t, db.Conn(pgtest.Ann), "update knob set seconds = 600")

	_, err := ann.Refresh(ctx, "slow", false)
	e := wantFault(t, err, fault.Unavailable, "statement_timeout")
	if e.Fields["seconds"] != 1 || e.Hint == "" {
		t.Errorf("%+v", e)
	}
	if n := pgtest.Value[int](t, db.Superuser(), "select count(*)::int from tinydev_impl.inbox where type = 'view.failed'"); n != 1 {
		t.Errorf("%d records of the failure, want 1", n)
	}
	exec(t, db.Conn(pgtest.Ann), "create view endless as select pg_sleep(600)::text as a")
	_, err = ann.WriteRows(ctx, "endless", control.CSV, io.Discard, func() {})
	wantFault(t, err, fault.Unavailable, "statement_timeout")
}

// With a token that only reads nothing is changed by any verb, and what reads still does.
func TestReadOnlyVerbs(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann := context.Background(), c.As(pgtest.Ann)
	reading := postgres.ReadOnly(ctx)
	must[control.Change[control.Relation]](t)(ann.CreateTable(ctx, "friends", friends, false))
	must[control.Change[control.Relation]](t)(ann.CreateView(ctx, "v", "select 1 as a", false))
	job := must[control.Change[control.Job]](t)(ann.Schedule(ctx, "v", control.JobOptions{Schedule: new("0 0 * * *")}, false)).Made
	before := pgtest.Value[string](t, db.Superuser(), everything)

	for name, act := range map[string]func() error{
		"create a table": func() error { _, err := ann.CreateTable(reading, "t", friends, false); return err },
		"drop a table":   func() error { _, err := ann.DropTable(reading, "friends", false); return err },
		"create a view":  func() error { _, err := ann.CreateView(reading, "w", "select 1 as a", false); return err },
		"replace a view": func() error { _, err := ann.ReplaceView(reading, "v", "select 2 as a", false); return err },
		"drop a view":    func() error { _, err := ann.DropView(reading, "v", false); return err },
		"refresh":        func() error { _, err := ann.Refresh(reading, "v", false); return err },
		"schedule": func() error {
			_, err := ann.Schedule(reading, "v", control.JobOptions{Schedule: new("0 1 * * *")}, false)
			return err
		},
		"alter a job": func() error {
			_, err := ann.AlterJob(reading, job.JobID, control.JobOptions{}, new(bool), false)
			return err
		},
		"unschedule": func() error { _, err := ann.Unschedule(reading, job.JobID, false); return err },
	} {
		if err := act(); fault.CodeOf(err) != "read_only" {
			t.Errorf("%s: %v, want read_only", name, err)
		}
	}
	for name, read := range map[string]func() error{
		"relations":    func() error { _, err := ann.Relations(reading, control.Tables, "", 10); return err },
		"a table":      func() error { _, err := ann.DescribeTable(reading, "friends"); return err },
		"a view":       func() error { _, err := ann.DescribeView(reading, "v"); return err },
		"jobs":         func() error { _, err := ann.Jobs(reading, 0, 10); return err },
		"a job":        func() error { _, err := ann.DescribeJob(reading, job.JobID); return err },
		"runs":         func() error { _, err := ann.Runs(reading, job.JobID, 0, 10); return err },
		"a schedule":   func() error { _, err := ann.PreviewSchedule(reading, "0 0 * * *", "", 3, nil); return err },
		"events":       func() error { _, err := ann.ReadEvents(reading, 0, 10, control.EventFilter{}); return err },
		"uploads":      func() error { _, err := ann.Uploads(reading, 0, 10); return err },
		"rows as CSV":  func() error { _, err := ann.WriteRows(reading, "v", control.CSV, io.Discard, func() {}); return err },
		"rows as JSON": func() error { _, err := ann.WriteRows(reading, "v", control.JSON, io.Discard, func() {}); return err },
		"a query":      func() error { _, err := ann.PreviewQuery(reading, "select * from v", 10); return err },
		"a dry run":    func() error { _, err := ann.DropView(reading, "v", true); return err },
	} {
		if err := read(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := ann.PreviewQuery(reading, "select set_config('transaction_read_only', 'off', true), pg_catalog.nextval('s')", 10)
	if err == nil {
		t.Error("a query got out of it")
	}
	if after := pgtest.Value[string](t, db.Superuser(), everything); after != before {
		t.Errorf("changed from %s to %s", before, after)
	}
	must[control.Change[control.Refreshed]](t)(ann.Refresh(ctx, "v", false))
}

// everything is what the verbs change.
const everything = `select concat_ws(' ', (select count(*) from pg_class where relnamespace = '"Ann"'::regnamespace), (select md5(string_agg(pg_get_viewdef(oid), '' order by oid)) from pg_class where relkind = 'm'),
  (select md5(string_agg(j::text, '' order by jobid)) from cron.job j), (select count(*) from tinydev_impl.inbox))`
