package control_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// open gives a Control over a new database.
func open(t *testing.T) (*control.Control, *pgtest.Database) {
	t.Helper()
	db := pgtest.DB(t)
	pool, err := postgres.Open(context.Background(), db.URL("tinydev_server"), "tinydev", 2)
	if err != nil {
		t.Fatal(err)
	}
	sessions := postgres.NewSessions(db.URL("tinydev_server"), pool, postgres.Options{})
	t.Cleanup(func() {
		sessions.Close()
		pool.Close()
	})
	return control.New(sessions), db
}

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatalf("%v %+v", err, fault.As(err))
		}
		return v
	}
}

func wantFault(t *testing.T, err error, kind fault.Kind, code string) *fault.Error {
	t.Helper()
	e := fault.As(err)
	if e == nil || e.Kind != kind || e.Code != code {
		t.Fatalf("got %v (%+v), want %s %s", err, e, kind, code)
	}
	return e
}

var friends = []control.Column{{Name: "Name", Type: "text", Nullable: true}, {Name: "Date", Type: "date"}}

func TestTableViewAndJob(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann := context.Background(), c.As(pgtest.Ann)

	plan := must[control.Change[control.Relation]](t)(ann.CreateTable(ctx, "friends", friends, true))
	if want := "create table \"Ann\".friends (\n  \"Name\" text,\n  \"Date\" date not null\n);"; !slices.Equal(plan.SQL, []string{want}) {
		t.Errorf("dry run gives %q, want %q", plan.SQL, want)
	}
	if _, err := ann.DescribeTable(ctx, "friends"); fault.CodeOf(err) != "table_not_found" {
		t.Errorf("a dry run made a table: %v", err)
	}
	made := must[control.Change[control.Relation]](t)(ann.CreateTable(ctx, "friends", friends, false)).Made
	if made.Name != `"Ann".friends` || len(made.Columns) != 2 || made.Columns[1].Type != "date" || made.Columns[1].Nullable {
		t.Errorf("made %+v", made)
	}
	_, err := ann.CreateTable(ctx, "friends", friends, false)
	wantFault(t, err, fault.Conflict, "name_taken")

	conn := db.Conn(pgtest.Ann)
	if _, err := conn.Exec(ctx, `insert into friends values ('bob', '1990-01-02'), ('eve', '1991-03-04')`); err != nil {
		t.Fatal(err)
	}
	query := "select * from friends -- all of them\n;"
	if sql := must[control.Change[control.Relation]](t)(ann.CreateView(ctx, "v", query, true)).SQL; len(sql) != 1 || !strings.HasPrefix(sql[0], `create materialized view "Ann".v as`) {
		t.Errorf("dry run gives %q", sql)
	}
	view := must[control.Change[control.Relation]](t)(ann.CreateView(ctx, "v", query, false)).Made
	if view.Name != `"Ann".v` || view.Rows == nil || *view.Rows != 2 || !view.Populated || len(view.Columns) != 2 {
		t.Errorf("made %+v", view)
	}
	if views := must[[]control.RelationSummary](t)(ann.Relations(ctx, control.Views, "", 10)); len(views) != 1 || views[0].Name != `"Ann".v` {
		t.Errorf("views %+v", views)
	}
	if more := must[[]control.RelationSummary](t)(ann.Relations(ctx, control.Views, `"Ann".v`, 10)); len(more) != 0 {
		t.Errorf("after the last view come %+v", more)
	}

	job := must[control.Change[control.Job]](t)(ann.Schedule(ctx, "v", control.JobOptions{Schedule: new("*/15 * * * *")}, false)).Made
	if job.View == nil || *job.View != `"Ann".v` || *job.Schedule != "*/15 * * * *" || !job.Active || len(job.NextRuns) != 5 || job.TimeZone != "UTC" ||
		job.Command != `call tinydev.refresh('"Ann".v', cause => 'schedule')` {
		t.Errorf("job %+v", job)
	}
	again := must[control.Change[control.Job]](t)(ann.Schedule(ctx, "v", control.JobOptions{Schedule: new("5 seconds")}, false)).Made
	if again.JobID != job.JobID || *again.Schedule != "5 seconds" {
		t.Errorf("scheduled again: %+v, want job %d", again, job.JobID)
	}
	off := false
	if paused := must[control.Change[control.Job]](t)(ann.AlterJob(ctx, job.JobID, control.JobOptions{}, &off, false)).Made; paused.Active || len(paused.NextRuns) != 0 || *paused.Schedule != "5 seconds" {
		t.Errorf("paused: %+v", paused)
	}
	daily := "0 9 * * *"
	if moved := must[control.Change[control.Job]](t)(ann.AlterJob(ctx, job.JobID, control.JobOptions{Schedule: &daily}, nil, false)).Made; moved.Active || *moved.Schedule != daily {
		t.Errorf("a paused job that is rescheduled: %+v, want it paused still", moved)
	}
	if jobs := must[[]control.Job](t)(ann.Jobs(ctx, 0, 10)); len(jobs) != 1 {
		t.Errorf("jobs %+v", jobs)
	}
	must[[]control.Run](t)(ann.Runs(ctx, job.JobID, 0, 10))

	refreshed := must[control.Change[control.Refreshed]](t)(ann.Refresh(ctx, "v", false)).Made
	if refreshed.Rows != 2 || refreshed.Cause != "manual" || refreshed.Concurrently || refreshed.Changed != nil {
		t.Errorf("refreshed %+v", refreshed)
	}
	_, err = ann.DropTable(ctx, "friends", false)
	if e := wantFault(t, err, fault.Conflict, "in_use"); len(e.Fields["dependents"].([]any)) != 1 {
		t.Errorf("fields %v", e.Fields)
	}
	must[control.Change[control.Dropped]](t)(ann.DropView(ctx, "v", false))
	if jobs := must[[]control.Job](t)(ann.Jobs(ctx, 0, 10)); len(jobs) != 0 {
		t.Errorf("a dropped view left its job: %+v", jobs)
	}
	must[control.Change[control.Dropped]](t)(ann.DropTable(ctx, "friends", false))
}

func TestReplaceViewKeepsWhatHangsOnIt(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann := context.Background(), c.As(pgtest.Ann)
	must[control.Change[control.Relation]](t)(ann.CreateView(ctx, `"My View"`, "select g as id, 'x' as name from generate_series(1, 3) g", false))
	conn := db.Conn(pgtest.Ann)
	for _, sql := range []string{`create unique index on "My View" (id)`, `grant select on "My View" to bob`, `grant usage on schema "Ann" to bob`, `comment on materialized view "My View" is 'it''s'`,
		`comment on column "My View".name is 'a name'`} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	job := must[control.Change[control.Job]](t)(ann.Schedule(ctx, `"My View"`, control.JobOptions{Schedule: new("0 0 * * *")}, false)).Made
	sql := must[control.Change[control.Relation]](t)(ann.ReplaceView(ctx, `"My View"`, "select 1 as id, 'y' as name", true)).SQL
	if len(sql) != 7 {
		t.Errorf("dry run gives %q", sql)
	}
	replaced := must[control.Change[control.Relation]](t)(ann.ReplaceView(ctx, `"My View"`, "select 7 as id, 'y' as name, true as new", false)).Made
	if *replaced.Rows != 1 || len(replaced.Columns) != 3 || len(replaced.Indexes) != 1 || replaced.Comment != "it's" || !replaced.Concurrently {
		t.Errorf("replaced %+v", replaced)
	}
	if kept := must[control.Job](t)(ann.DescribeJob(ctx, job.JobID)); kept.Command != job.Command {
		t.Errorf("the job is now %+v", kept)
	}
	if n := pgtest.Value[int](t, db.Conn(pgtest.Bob), `select id from "Ann"."My View"`); n != 7 {
		t.Errorf("bob reads %d, want 7", n)
	}
	if got := pgtest.Value[string](t, conn, `select col_description('"My View"'::regclass, 2)`); got != "a name" {
		t.Errorf("the column's comment is %q", got)
	}
	_, err := ann.ReplaceView(ctx, `"My View"`, "select 1 as other", false)
	wantFault(t, err, fault.Invalid, "cannot_keep")
	must[control.Change[control.Relation]](t)(ann.CreateView(ctx, "above", `select * from "My View"`, false))
	_, err = ann.ReplaceView(ctx, `"My View"`, "select 1 as id", false)
	wantFault(t, err, fault.Conflict, "in_use")
	if n := pgtest.Value[int](t, conn, `select id from "My View"`); n != 7 {
		t.Errorf("a refused replacement left %d, want 7", n)
	}
}

func TestHostileQueries(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann := context.Background(), c.As(pgtest.Ann)
	conn := db.Conn(pgtest.Ann)
	if _, err := conn.Exec(ctx, "create table t (a int)"); err != nil {
		t.Fatal(err)
	}
	for _, query := range []string{
		"", "   ", ";", "-- nothing", "select 1; select 2", "select 1; create table evil ()", "insert into t values (1)", "delete from t returning *",
		"with d as (delete from t returning *) select * from d", "create table evil as select 1", "select 1 into evil", "explain select 1", "show all",
		"drop table t", "begin", "commit", "copy t to stdout", "vacuum", "do $$ begin end $$", "call tinydev.refresh('t')", "execute p", "select $1",
		"select 1) union (select 2", "select 1 as a, 2 as a", "select * from t t1, t t2", "fetch all from c",
	} {
		_, err := ann.CreateView(ctx, "evil", query, false)
		if kind := fault.KindOf(err); kind != fault.Invalid && kind != fault.Conflict {
			t.Errorf("%q: %v, want a clear refusal", query, err)
		}
		if pgtest.Value[bool](t, conn, "select to_regclass('evil') is not null") {
			t.Fatalf("%q made something", query)
		}
		if pgtest.Value[bool](t, conn, "select to_regclass('t') is null") {
			t.Fatalf("%q dropped the table", query)
		}
	}
	for _, query := range []string{"values (1), (2)", "table t", "(select 1) union (select 2)", "with x as (select 1 as a) select * from x", "select 1 -- done", "select 1;;", "select ';' as a"} {
		if _, err := ann.CreateView(ctx, "good", query, false); err != nil {
			t.Errorf("%q: %v", query, err)
		}
		must[control.Change[control.Dropped]](t)(ann.DropView(ctx, "good", false))
	}
}

func TestErrorsHaveTheirPlace(t *testing.T) {
	t.Parallel()
	c, _ := open(t)
	ctx, ann := context.Background(), c.As(pgtest.Ann)
	query := "select 1,\n       'é' || nope from\n  pg_class"
	check := func(what string, err error) {
		e := wantFault(t, err, fault.Invalid, "query_invalid")
		if e.Fields["line"] != 2 || e.Fields["column"] != 15 || e.Fields["position"] != 25 || e.Fields["sqlstate"] != "42703" {
			t.Errorf("%s: the error is at %v, want line 2 column 15", what, e.Fields)
		}
	}
	_, err := ann.CreateView(ctx, "v", query, false)
	check("create", err)
	_, err = ann.CreateView(ctx, "v", query, true)
	check("dry run", err)
	_, err = ann.PreviewQuery(ctx, query, 10)
	check("preview", err)
	// What only CREATE MATERIALIZED VIEW refuses has its place in the user's text too.
	_, err = ann.CreateView(ctx, "v", "select 1 as a;\n show all", false)
	wantFault(t, err, fault.Invalid, "query_invalid")
	_, err = ann.CreateView(ctx, "a.b.c", "select 1", false)
	wantFault(t, err, fault.Invalid, "name_invalid")
	_, err = ann.CreateView(ctx, strings.Repeat("x", 64), "select 1", false)
	wantFault(t, err, fault.Invalid, "name_invalid")
	_, err = ann.CreateView(ctx, "bob.v", "select 1", false)
	wantFault(t, err, fault.Forbidden, "not_your_workspace")
	_, err = ann.CreateTable(ctx, "t", []control.Column{{Name: "a", Type: "int); drop table x; --"}}, false)
	wantFault(t, err, fault.Invalid, "type_unknown")
	_, err = ann.CreateTable(ctx, "t", []control.Column{{Name: "a", Type: "text not null"}}, false)
	wantFault(t, err, fault.Invalid, "type_unknown")
	_, err = ann.Schedule(ctx, "nope", control.JobOptions{Schedule: new("* * * * *")}, false)
	wantFault(t, err, fault.NotFound, "view_not_found")
}

func TestOthersCannotChange(t *testing.T) {
	t.Parallel()
	c, _ := open(t)
	ctx, ann, bob := context.Background(), c.As(pgtest.Ann), c.As(pgtest.Bob)
	must[control.Change[control.Relation]](t)(ann.CreateView(ctx, "v", "select 1 as a", false))
	job := must[control.Change[control.Job]](t)(ann.Schedule(ctx, "v", control.JobOptions{Schedule: new("0 0 * * *")}, false)).Made
	const v = `"Ann".v`
	for what, call := range map[string]func() error{
		"refresh": func() error { _, err := bob.Refresh(ctx, v, false); return err },
		"drop":    func() error { _, err := bob.DropView(ctx, v, false); return err },
		"replace": func() error { _, err := bob.ReplaceView(ctx, v, "select 2 as a", false); return err },
		"schedule": func() error {
			_, err := bob.Schedule(ctx, v, control.JobOptions{Schedule: new("* * * * *")}, false)
			return err
		},
	} {
		if err := call(); fault.CodeOf(err) != "not_owner" {
			t.Errorf("%s: %v, want not_owner", what, err)
		}
	}
	_, err := bob.Unschedule(ctx, job.JobID, false)
	wantFault(t, err, fault.NotFound, "job_not_found")
	_, err = bob.DescribeView(ctx, v)
	wantFault(t, err, fault.Forbidden, "not_readable")
	_, err = c.As("tinydev_superuser").DescribeView(ctx, v)
	wantFault(t, err, fault.Forbidden, "not_a_user")
}

func TestRowsAndPreview(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann := context.Background(), c.As(pgtest.Ann)
	if _, err := db.Conn(pgtest.Ann).Exec(ctx, `create table t (a int, "B c" text); insert into t values (1, 'x"y'), (null, ''), (3, null)`); err != nil {
		t.Fatal(err)
	}
	for format, want := range map[string]string{
		control.CSV:    "a,B c\n1,\"x\"\"y\"\n,\"\"\n3,\n",
		control.NDJSON: "{\"a\":1,\"B c\":\"x\\\"y\"}\n{\"a\":null,\"B c\":\"\"}\n{\"a\":3,\"B c\":null}\n",
		control.JSON:   "[{\"a\":1,\"B c\":\"x\\\"y\"}\n,{\"a\":null,\"B c\":\"\"}\n,{\"a\":3,\"B c\":null}\n]",
	} {
		var out bytes.Buffer
		n, err := ann.WriteRows(ctx, "t", format, &out, func() {})
		if err != nil || n != 3 || out.String() != want {
			t.Errorf("%s: %d rows %q %v, want %q", format, n, out.String(), err, want)
		}
	}
	p := must[control.QueryPreview](t)(ann.PreviewQuery(ctx, "select a, \"B c\" from t order by a", 2))
	if len(p.Rows) != 2 || !p.More || *p.Rows[0][0] != "1" || p.Columns[0].Type != "integer" {
		t.Errorf("preview %+v", p)
	}
	_, err := ann.PreviewQuery(ctx, "select set_config('x.y', 'z', false); drop table t", 2)
	wantFault(t, err, fault.Invalid, "query_invalid")
	if _, err = ann.PreviewQuery(ctx, "select nextval('s') from (select 1) x", 2); err == nil {
		t.Error("a preview wrote")
	}
}

func TestEventsTellTheStory(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann := context.Background(), c.As(pgtest.Ann)
	must[control.Change[control.Relation]](t)(ann.CreateTable(ctx, "t", []control.Column{{Name: "n", Type: "int", Nullable: true}}, false))
	must[control.Change[control.Relation]](t)(ann.CreateView(ctx, "v", "select 1/n as q from t", false))
	must[control.Change[control.Refreshed]](t)(ann.Refresh(ctx, "v", false))
	conn := db.Conn(pgtest.Ann)
	if _, err := conn.Exec(ctx, "insert into t values (0)"); err != nil {
		t.Fatal(err)
	}
	_, err := ann.Refresh(ctx, "v", false)
	if e := fault.As(err); e == nil || e.Fields["sqlstate"] != "22012" {
		t.Fatalf("the refresh says %v, want division by zero", err)
	}
	if _, err := conn.Exec(ctx, "truncate t; grant select on v to bob"); err != nil {
		t.Fatal(err)
	}
	must[control.Change[control.Dropped]](t)(c.As(pgtest.Ann).DropView(ctx, "v", false))
	pgtest.Value[int](t, db.Superuser(), "select placed from tinydev_impl.place()")
	page := must[control.EventPage](t)(ann.ReadEvents(ctx, 0, 100, control.EventFilter{}))
	var types []string
	for _, raw := range page.Events {
		var e struct {
			Type string
			Data map[string]any
		}
		if err := json.Unmarshal(raw, &e); err != nil {
			t.Fatal(err)
		}
		types = append(types, e.Type)
		if e.Type == "tinydev.view.failed" && (e.Data["sqlstate"] != "22012" || e.Data["message"] != "division by zero") {
			t.Errorf("failed with %v", e.Data)
		}
	}
	want := []string{"tinydev.table.created", "tinydev.view.created", "tinydev.view.refreshed", "tinydev.view.failed", "tinydev.view.dropped"}
	if !slices.Equal(types, want) || page.Next != 5 || page.Head != 5 {
		t.Errorf("events %v next %d head %d, want %v", types, page.Next, page.Head, want)
	}
	some := must[control.EventPage](t)(ann.ReadEvents(ctx, 1, 2, control.EventFilter{Types: []string{"tinydev.view.*"}, Subjects: []string{`"Ann".*`}}))
	if len(some.Events) != 2 || some.Next != 3 {
		t.Errorf("filtered page %s next %d", some.Events, some.Next)
	}
	_, err = ann.ReadEvents(ctx, 9223372036854775807, 10, control.EventFilter{})
	wantFault(t, err, fault.Conflict, "position_ahead")
	_, err = ann.ReadEvents(ctx, 0, 5000, control.EventFilter{})
	wantFault(t, err, fault.Invalid, "limit_invalid")
}

// TestHostileJobs has eve write into cron.job what looks like ours.
func TestHostileJobs(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann := context.Background(), c.As(pgtest.Ann)
	must[control.Change[control.Relation]](t)(ann.CreateView(ctx, "v", "select 1 as a", false))
	eve := db.Conn(pgtest.Eve)
	for i, command := range []string{`call tinydev.refresh('a b c')`, `call tinydev.refresh('"Ann".v', cause => 'schedule', every_seconds => 99999999999)`,
		`call tinydev.refresh('"Ann".v', cause => 'schedule')`, `call tinydev.refresh('"Ann".v', cause => 'schedule', every_seconds => 5)`, `call tinydev.refresh('".', cause => 'schedule')`,
		`call tinydev.refresh('..', cause => 'schedule')`, `call tinydev.refresh('x.y.z', cause => 'schedule')`} {
		if _, err := eve.Exec(ctx, "select cron.schedule_in_database($1, '* * * * *', $2, current_database())", fmt.Sprint("job", i), command); err != nil {
			t.Fatalf("%s: %v", command, err)
		}
	}
	job := must[control.Change[control.Job]](t)(ann.Schedule(ctx, "v", control.JobOptions{Schedule: new("5 seconds")}, false)).Made
	if jobs := must[[]control.Job](t)(ann.Jobs(ctx, 0, 100)); len(jobs) != 1 || jobs[0].JobID != job.JobID {
		t.Errorf("ann sees %+v", jobs)
	}
	for _, u := range []string{pgtest.Bob, pgtest.Eve, pgtest.Admin} {
		for _, j := range must[[]control.Job](t)(c.As(u).Jobs(ctx, 0, 100)) {
			if j.IsManaged != (j.JobID == job.JobID) {
				t.Errorf("%s sees %+v", u, j)
			}
		}
	}
	if _, err := db.Conn(pgtest.Ann).Exec(ctx, "select tinydev.unschedule('v')"); err != nil {
		t.Errorf("ann's own job: %v", err)
	}
}

func TestLongNamesHaveJobsOfTheirOwn(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann := context.Background(), c.As(pgtest.Ann)
	seen := map[int64]bool{}
	for _, end := range []string{"1", "2"} {
		name := strings.Repeat("a", 61) + "_" + end
		must[control.Change[control.Relation]](t)(ann.CreateView(ctx, name, "select 1 as a", false))
		job := must[control.Change[control.Job]](t)(ann.Schedule(ctx, name, control.JobOptions{Schedule: new("0 0 * * *")}, false)).Made
		if again := must[control.Change[control.Job]](t)(ann.Schedule(ctx, name, control.JobOptions{Schedule: new("0 1 * * *")}, false)).Made; again.JobID != job.JobID {
			t.Errorf("scheduled again as job %d, was %d", again.JobID, job.JobID)
		}
		seen[job.JobID] = true
	}
	must[control.Change[control.Relation]](t)(ann.CreateView(ctx, "w", "select 1 as a", false))
	if _, err := db.Conn(pgtest.Ann).Exec(ctx, `select cron.schedule_in_database('"Ann".w', '* * * * *', 'select 1', current_database())`); err != nil {
		t.Fatal(err)
	}
	seen[must[control.Change[control.Job]](t)(ann.Schedule(ctx, "w", control.JobOptions{Schedule: new("0 0 * * *")}, false)).Made.JobID] = true
	if n := pgtest.Value[int](t, db.Conn(pgtest.Ann), "select count(*)::int from cron.job"); n != 4 || len(seen) != 3 {
		t.Errorf("%d jobs, %d of them views', want 4 and 3", n, len(seen))
	}
}

func TestAFailingReadIsAnError(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx := context.Background()
	if _, err := db.Conn(pgtest.Ann).Exec(ctx, "create view bad as select 1/(3 - g) as a from generate_series(1, 5) g"); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{control.CSV, control.JSON, control.NDJSON} {
		var out bytes.Buffer
		began := false
		if _, err := c.As(pgtest.Ann).WriteRows(ctx, "bad", format, &out, func() { began = true }); err == nil || began || out.Len() > 0 {
			t.Errorf("%s: %v after %q", format, err, out.String())
		}
	}
}

func TestListsDoNotWaitForLocks(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann := context.Background(), c.As(pgtest.Ann)
	must[control.Change[control.Relation]](t)(ann.CreateTable(ctx, "t", friends, false))
	tx, err := db.Conn(pgtest.Ann).Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(ctx)
	if _, err := tx.Exec(ctx, "lock table t"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if list := must[[]control.RelationSummary](t)(ann.Relations(ctx, control.Tables, "", 10)); len(list) != 1 || list[0].Bytes != -1 {
		t.Errorf("%+v", list)
	}
}
