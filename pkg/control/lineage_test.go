package control_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// arrows writes edges as "from kind to", less the workspace of Ann, in order.
func arrows(l control.Lineage) []string {
	var lines []string
	for _, e := range l.Edges {
		lines = append(lines, strings.ReplaceAll(fmt.Sprintf("%s %s %s", e.From, e.Kind, e.To), `"Ann".`, ""))
	}
	slices.Sort(lines)
	return lines
}

func nodeIDs(l control.Lineage) []string {
	var ids []string
	for _, n := range l.Nodes {
		ids = append(ids, strings.ReplaceAll(n.ID, `"Ann".`, ""))
	}
	return ids
}

func node(t *testing.T, l control.Lineage, id string) control.LineageNode {
	t.Helper()
	for _, n := range l.Nodes {
		if n.ID == id {
			return n
		}
	}
	t.Fatalf("there is no %s in %v", id, nodeIDs(l))
	return control.LineageNode{}
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestReads holds what PostgreSQL knows of what views read: through plain views, functions with a parsed body and parents of tables.
func TestReads(t *testing.T) {
	t.Parallel()
	_, db := open(t)
	conn := db.Conn(pgtest.Ann)
	run(t, conn,
		"create table a (x int)", "create table b (x int)", "create table parent (x int)", "create table child () inherits (parent)",
		"create table parts (x int) partition by list (x)", "create table part1 partition of parts for values in (1)",
		"create view pa as select x from a", "create view pb as select x from pa join b using (x)",
		"create materialized view m1 as select * from a", "create materialized view m2 as select * from pb join m1 using (x)",
		"create materialized view m3 as select x from parent union all select x from part1",
		"create materialized view alone as select 1 as x",
		"create function hiding() returns bigint language plpgsql as $$begin return (select count(*) from b); end$$",
		"create function text_body() returns bigint language sql as $$select count(*) from b$$",
		"create materialized view hid as select hiding() as n from a", "create materialized view hid2 as select text_body() as n",
		"create view hides as select hiding()", "create materialized view hid3 as select * from hides",
		"create materialized view xml as select query_to_xml('select 1', true, true, '')::text as x",
		"create function plus(int, int) returns int language plpgsql immutable as 'begin return $1; end'",
		"create operator ## (function = plus, leftarg = int, rightarg = int)", "create materialized view op as select x ## 1 as y from a")
	for view, want := range map[string]string{
		"pa": "a |  | t", "pb": "a b |  | t", "m1": "a |  | t", "m2": "a b m1 |  | t", "m3": "child parent parts |  | t", "alone": " |  | t",
		"hid": "a | hiding() | f", "hid2": " | text_body() | f", "hid3": " | hiding() | f", "op": "a | plus(integer,integer) | f", "a": " |  | t",
		"xml": " | query_to_xml(text,boolean,boolean,text) | f",
	} {
		if got := pgtest.Value[string](t, conn, `
select concat_ws(' | ', (select coalesce(string_agg(i::regclass::text, ' ' order by i::regclass::text), '') from unnest(r.relations) i),
                        (select coalesce(string_agg(i::regprocedure::text, ' ' order by i::regprocedure::text), '') from unnest(r.functions) i), left(r.is_known::text, 1))
  from tinydev_lib.reads($1::text::regclass) r`, view); got != want {
			t.Errorf("%s reads %q, want %q", view, got, want)
		}
	}
	if pgtest.Value[int](t, conn, "select current_setting('server_version_num')::int") < 140000 {
		return
	}
	run(t, conn, "create function inner_body() returns bigint begin atomic select count(*) from b; end",
		"create function outer_body() returns bigint begin atomic select inner_body() + (select count(*) from m1); end",
		"create materialized view known as select outer_body() as n from a")
	if got := pgtest.Value[string](t, conn, `
select concat((select string_agg(i::regclass::text, ' ' order by i::regclass::text) from unnest(r.relations) i), ' ', cardinality(r.functions), ' ', r.is_known)
  from tinydev_lib.reads('known'::regclass) r`); got != "a b m1 2 t" {
		t.Errorf("through parsed bodies: %q", got)
	}
}

// upstream gives what a view is made of as "wave:name", in order.
func upstream(t *testing.T, db *pgtest.Database, role, view string) string {
	t.Helper()
	return strings.ReplaceAll(pgtest.Value[string](t, db.Conn(role), `
select coalesce(string_agg(wave || ':' || kind || ':' || name, ' ' order by n), '')
  from rows from (tinydev_lib.upstream_of($1::text::regclass)) with ordinality u(wave, relation_id, name, kind, owner, n)`, view), `"Ann".`, "")
}

// TestUpstream orders what views are made of: chains, diamonds, plain views between, functions, other owners, and circles.
func TestUpstream(t *testing.T) {
	t.Parallel()
	_, db := open(t)
	conn := db.Conn(pgtest.Ann)
	run(t, conn, "create table a (x int)", "create table b (x int)",
		"create materialized view m1 as select * from a", "create materialized view m2 as select * from m1", "create materialized view m3 as select * from m2",
		"create materialized view n1 as select * from b join a using (x)", "create view between as select x from m1 union select x from n1",
		"create materialized view diamond as select * from between join m2 using (x)",
		"create materialized view top as select * from diamond, (select count(*) from m3) n",
		"create materialized view alone as select 1 as x", "create materialized view above as select * from alone")
	for view, want := range map[string]string{
		"m1": "0:table:a", "m3": "0:table:a 1:view:m1 2:view:m2",
		"diamond": "0:table:a 0:table:b 1:view:m1 1:view:n1 2:view:m2",
		"top":     "0:table:a 0:table:b 1:view:m1 1:view:n1 2:view:m2 3:view:diamond 3:view:m3",
		"alone":   "", "above": "1:view:alone",
	} {
		if got := upstream(t, db, pgtest.Ann, view); got != want {
			t.Errorf("%s is made of %q, want %q", view, got, want)
		}
	}

	// Twenty diamonds in a row have a million paths.
	run(t, conn, "create materialized view d0 as select * from a")
	for i := range 20 {
		run(t, conn, fmt.Sprintf("create materialized view l%[2]d as select * from d%[1]d", i, i+1), fmt.Sprintf("create materialized view r%[2]d as select * from d%[1]d", i, i+1),
			fmt.Sprintf("create materialized view d%[1]d as select * from l%[1]d natural join r%[1]d", i+1))
	}
	if got := upstream(t, db, pgtest.Ann, "d20"); !strings.HasPrefix(got, "0:table:a 1:view:d0 2:view:l1 2:view:r1 3:view:d1 ") || !strings.HasSuffix(got, " 39:view:d19 40:view:l20 40:view:r20") {
		t.Errorf("a row of diamonds: %q", got)
	}

	// Another's view of a view of one's own.
	run(t, conn, `grant usage on schema "Ann" to bob`, "grant select on m2 to bob")
	run(t, db.Conn(pgtest.Bob), `create materialized view his as select * from "Ann".m2`)
	if got := upstream(t, db, pgtest.Bob, "his"); got != "0:table:a 1:view:m1 2:view:m2" {
		t.Errorf("another's: %q", got)
	}

	// A plain view that is replaced closes circles.
	run(t, conn, "create or replace view between as select x from m1 union select x from diamond")
	if got := upstream(t, db, pgtest.Ann, "diamond"); got != "0:table:a 1:view:m1 2:view:m2" {
		t.Errorf("of a circle of one: %q", got)
	}
	run(t, conn, "create view c1 as select 1 as x", "create materialized view c2 as select * from c1", "create materialized view c3 as select * from c2",
		"create or replace view c1 as select x from c3", "create materialized view c4 as select * from c3",
		"create view p1 as select 1 as x", "create view p2 as select * from p1", "create or replace view p1 as select * from p2", "create view p3 as select a.x from a, p2")
	if got := upstream(t, db, pgtest.Ann, "c4"); got != "1:view:c2 1:view:c3" {
		t.Errorf("above a circle: %q", got)
	}
	if got := upstream(t, db, pgtest.Ann, "p3"); got != "0:table:a" {
		t.Errorf("above plain views in a circle: %q", got)
	}
	if l := pgtest.Value[string](t, conn, "select tinydev.lineage('c4')::text"); !strings.Contains(l, `.c3"`) {
		t.Errorf("the lineage of a circle: %s", l)
	}
}

// TestLineage goes from tables to subscribers, whole and around one relation.
func TestLineage(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	serve(t, db)
	ctx, ann := context.Background(), c.As(pgtest.Ann)
	empty := must[control.Lineage](t)(ann.Lineage(ctx, ""))
	if empty.Nodes == nil || empty.Edges == nil || len(empty.Nodes) > 0 {
		t.Errorf("of nothing: %+v", empty)
	}
	conn := db.Conn(pgtest.Ann)
	run(t, conn, "create table prices (x int)", "create table rates (x int)", "create table other (x int)", "create view joined as select * from prices natural join rates",
		"create function hiding() returns int language plpgsql as 'begin return 1; end'",
		"create materialized view daily as select * from joined where x > hiding()", "create materialized view report as select * from daily natural join other",
		"create materialized view apart as select * from other with no data")
	job := pgtest.Value[int64](t, conn, "select (tinydev.schedule('daily', '*/15 * * * *') ->> 'job_id')::bigint")
	run(t, conn, "select tinydev.schedule('apart', '*/15 * * * *')")
	makeTrigger(t, db, ann, control.NewTrigger{Name: "loads", View: "prices", Types: []string{"table.loaded"}})
	makeTrigger(t, db, ann, control.NewTrigger{Name: "of_daily", View: "daily", Types: []string{"*.failed"}})
	makeTrigger(t, db, ann, control.NewTrigger{Name: "never", View: "daily", Types: []string{"table.*"}})
	makeTrigger(t, db, ann, control.NewTrigger{Name: "views", Types: []string{"tinydev.view.*"}})
	hook := func(name string, types, subjects []string) {
		t.Helper()
		s := webhook(name)
		s.Types, s.Subjects = &types, &subjects
		must[control.Change[control.Subscription]](t)(ann.CreateSubscription(ctx, s, false))
	}
	hook("failures", []string{"view.failed"}, []string{"report"})
	hook("own", []string{"stock.checked"}, []string{`"Ann".r*`})
	hook("idle", nil, []string{"nothing.*"})

	// What make_notices or the like put there is not of this test.
	all := must[control.Lineage](t)(ann.Lineage(ctx, ""))
	jobNode := fmt.Sprintf("job:%d", job)
	want := []string{
		"table:prices reads plain_view:joined", "table:rates reads plain_view:joined", "plain_view:joined reads view:daily", "function:hiding() calls view:daily",
		"view:daily reads view:report", "table:other reads view:report",
		jobNode + " refreshes view:daily",
		"table:prices wakes trigger:loads", "view:daily wakes trigger:of_daily", "view:daily wakes trigger:views", "view:report wakes trigger:views",
		"view:report delivers subscription:failures", "view:report delivers subscription:own", "table:rates delivers subscription:own",
	}
	apart := []string{"table:other reads view:apart", fmt.Sprintf("job:%d refreshes view:apart", job+1), "view:apart wakes trigger:views"}
	drop := func(list []string) []string {
		return slices.DeleteFunc(list, func(line string) bool { return strings.Contains(line, "subscription:notices") })
	}
	same(t, "all", drop(arrows(all)), append(slices.Clone(want), apart...))
	for _, id := range []string{"subscription:idle", "trigger:never"} {
		if !slices.Contains(nodeIDs(all), id) {
			t.Errorf("what hears of nothing is not told: there is no %s in %v", id, nodeIDs(all))
		}
	}
	kinds := []string{}
	for _, n := range all.Nodes {
		kinds = append(kinds, n.Kind)
	}
	if got := slices.Compact(kinds); !slices.Equal(got, []string{"table", "function", "plain_view", "view", "job", "trigger", "subscription"}) {
		t.Errorf("kinds come as %v", got)
	}

	same(t, "around daily", drop(arrows(must[control.Lineage](t)(ann.Lineage(ctx, "daily")))), []string{
		"table:prices reads plain_view:joined", "table:rates reads plain_view:joined", "plain_view:joined reads view:daily", "function:hiding() calls view:daily",
		"view:daily reads view:report", jobNode + " refreshes view:daily",
		"view:daily wakes trigger:of_daily", "view:daily wakes trigger:views", "view:report wakes trigger:views",
		"view:report delivers subscription:failures", "view:report delivers subscription:own", "table:rates delivers subscription:own",
	})
	same(t, "around other", drop(arrows(must[control.Lineage](t)(ann.Lineage(ctx, `"Ann".other`)))), append([]string{
		"table:other reads view:report", "view:report wakes trigger:views", "view:report delivers subscription:failures", "view:report delivers subscription:own"}, apart...))

	daily := node(t, all, `view:"Ann".daily`)
	if daily.Owner != pgtest.Ann || daily.Known == nil || *daily.Known || daily.Populated == nil || !*daily.Populated || daily.Hidden != nil {
		t.Errorf("daily is %+v", daily)
	}
	if report := node(t, all, `view:"Ann".report`); report.Known == nil || !*report.Known {
		t.Errorf("a function that a stored view calls is its business: %+v", report)
	}
	if n := node(t, all, `view:"Ann".apart`); *n.Populated {
		t.Errorf("apart is %+v", n)
	}
	if j := node(t, all, jobNode); *j.JobID != job || *j.Schedule != "*/15 * * * *" || !*j.Active || j.Owner != pgtest.Ann {
		t.Errorf("the job is %+v", j)
	}
	if n := node(t, all, `trigger:"Ann".loads`); *n.Channel != "Ann_loads" || !slices.Equal(n.Types, []string{"tinydev.table.loaded"}) {
		t.Errorf("the trigger is %+v", n)
	}
	if n := node(t, all, `subscription:"Ann".failures`); *n.Sends != "webhook" || !*n.Active || !slices.Equal(n.Subjects, []string{`"Ann".report`}) {
		t.Errorf("the subscription is %+v", n)
	}

	_, err := ann.Lineage(ctx, "nothing")
	wantFault(t, err, fault.NotFound, "relation_not_found")
	_, err = ann.Lineage(ctx, "tinydev_impl.event")
	wantFault(t, err, fault.Forbidden, "not_readable")
	_, err = ann.Lineage(ctx, "pg_catalog.pg_class")
	wantFault(t, err, fault.Forbidden, "not_readable")
	_, err = ann.Lineage(ctx, "a.b.c")
	wantFault(t, err, fault.Invalid, "name_invalid")
}

// TestLineageHides holds that others' lineage tells nothing of what one may not see, not even the names.
func TestLineageHides(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	serve(t, db)
	ctx, ann, bob, admin := context.Background(), c.As(pgtest.Ann), c.As(pgtest.Bob), c.As(pgtest.Admin)
	conn := db.Conn(pgtest.Ann)
	run(t, conn, "create table secret_table (x int)", "create table open_table (x int)", "create view secret_plain as select * from secret_table",
		"create function secret_function() returns int language plpgsql as 'begin return 1; end'", "revoke execute on function secret_function() from public",
		"create function open_function() returns int language plpgsql as 'begin return 1; end'",
		"create materialized view secret_view as select * from open_table",
		"create materialized view shown as select x, secret_function() as f, open_function() as g from secret_plain natural join open_table natural join secret_view",
		`grant usage on schema "Ann" to bob`, "grant select on shown, open_table to bob")
	run(t, db.Conn(pgtest.Bob), `create materialized view his as select x from "Ann".shown`)
	run(t, conn, "select tinydev.schedule('shown', '*/15 * * * *')")
	run(t, conn, "select tinydev.schedule('secret_view', '*/15 * * * *')")
	run(t, db.Conn(pgtest.Bob), "select tinydev.schedule('his', '*/15 * * * *')")
	makeTrigger(t, db, ann, control.NewTrigger{Name: "secret_trigger"})
	makeTrigger(t, db, bob, control.NewTrigger{Name: "his_trigger", View: `"Ann".shown`})
	s := webhook("secret_hook")
	must[control.Change[control.Subscription]](t)(ann.CreateSubscription(ctx, s, false))
	s.Name = "his_hook"
	must[control.Change[control.Subscription]](t)(bob.CreateSubscription(ctx, s, false))

	seen := must[control.Lineage](t)(bob.Lineage(ctx, ""))
	var lines []string
	for _, line := range arrows(seen) {
		if !strings.Contains(line, "notices") && !strings.HasPrefix(line, "job:") {
			lines = append(lines, line)
		}
	}
	same(t, "what bob sees", lines, []string{
		"table:open_table reads view:shown", "function:open_function() calls view:shown", "view:shown reads view:bob.his",
		"view:shown wakes trigger:bob.his_trigger", "view:shown delivers subscription:bob.his_hook", "table:open_table delivers subscription:bob.his_hook",
		"view:bob.his delivers subscription:bob.his_hook",
	})
	text := pgtest.Value[string](t, db.Conn(pgtest.Bob), "select tinydev.lineage()::text || tinydev.lineage('his')::text || tinydev.lineage('\"Ann\".open_table')::text")
	if strings.Contains(text, "secret") {
		t.Errorf("bob sees secrets: %s", text)
	}
	// The plain view, the function, the stored view.
	if n := node(t, seen, `view:"Ann".shown`); n.Hidden == nil || *n.Hidden != 3 || *n.Known {
		t.Errorf("shown is %+v", n)
	}
	jobs := 0
	for _, n := range seen.Nodes {
		if n.Kind == control.LineageJob {
			jobs++
		}
	}
	if jobs != 2 {
		t.Errorf("bob sees %d jobs, not that of shown and his own", jobs)
	}
	_, err := bob.Lineage(ctx, `"Ann".secret_table`)
	wantFault(t, err, fault.Forbidden, "not_readable")

	// Eve sees nothing; administrators see whose subscriptions and jobs there are, and of relations what they may read.
	if l := must[control.Lineage](t)(c.As(pgtest.Eve).Lineage(ctx, "")); strings.Contains(fmt.Sprint(l), "Ann") || strings.Contains(fmt.Sprint(l), "bob") {
		t.Errorf("eve sees %v", l)
	}
	l := must[control.Lineage](t)(admin.Lineage(ctx, ""))
	if ids := nodeIDs(l); !slices.Contains(ids, "subscription:secret_hook") || !slices.Contains(ids, "trigger:bob.his_trigger") || strings.Contains(strings.Join(ids, " "), "table:") {
		t.Errorf("an administrator sees %v", ids)
	}

	// What is taken back is hidden again.
	run(t, conn, "revoke select on shown, open_table from bob")
	if n := node(t, must[control.Lineage](t)(bob.Lineage(ctx, "his")), "view:bob.his"); n.Hidden == nil || *n.Hidden != 1 {
		t.Errorf("his is %+v", n)
	}
}
