package control_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

// openShared gives a database in which eve shares with bob what testdata/shared.sql makes.
func openShared(t *testing.T) (*control.Control, *pgtest.Database) {
	t.Helper()
	c, db := open(t)
	exec(t, db.Conn(pgtest.Ann), `create table data (a integer, b text)`, `insert into data values (1, 'x')`, `grant usage on schema "Ann" to bob, eve`, `grant select on data to bob, eve`)
	text, err := os.ReadFile("testdata/shared.sql")
	if err != nil {
		t.Fatal(err)
	}
	eve := db.Conn(pgtest.Eve)
	if _, err := eve.PgConn().Exec(context.Background(), string(text)).ReadAll(); err != nil {
		t.Fatal(err)
	}
	if pgtest.Value[int](t, eve, "select current_setting('server_version_num')::int") >= 140000 {
		exec(t, eve, "create table refused_statistics (a integer, b integer)", "insert into refused_statistics values (1, 2)",
			"create statistics on_expression on (a + eve.f('statistics')), b from refused_statistics", "grant select, insert on refused_statistics to bob", "truncate seen", "alter sequence runs restart")
	}
	return c, db
}

// seen empties the record of where eve's code ran and gives it.
func seen(t *testing.T, super *pgx.Conn) []string {
	t.Helper()
	found := pgtest.Value[[]string](t, super, "select coalesce(array_agg(distinct what || ': ' || who || '/' || session), '{}') from eve.seen")
	if len(found) == 0 && pgtest.Value[bool](t, super, "select is_called from eve.runs") {
		found = []string{"rolled back: bob/bob"}
	}
	exec(t, super, "truncate eve.seen", "alter sequence eve.runs restart")
	return found
}

// relations gives the relations of eve's whose name begins with prefix.
func relations(t *testing.T, db *pgtest.Database, prefix, kinds string) []string {
	t.Helper()
	list := pgtest.Value[[]string](t, db.Superuser(), `select array_agg(relname::text order by relname) from pg_class
		where relnamespace = 'eve'::regnamespace and not relispartition and relname like $1 || '%' and relkind = any (string_to_array($2, null)::"char"[])`, prefix, kinds)
	if len(list) == 0 {
		t.Fatalf("eve has nothing that begins with %s", prefix)
	}
	return list
}

// doors are the ways in which bob reads a relation.
func doors(bob *control.User) map[string]func(ctx context.Context, relation string) error {
	rows := func(format string) func(context.Context, string) error {
		return func(ctx context.Context, relation string) error {
			_, err := bob.WriteRows(ctx, relation, format, &bytes.Buffer{}, func() {})
			return err
		}
	}
	preview := func(query string) func(context.Context, string) error {
		return func(ctx context.Context, relation string) error {
			_, err := bob.PreviewQuery(ctx, fmt.Sprintf(query, relation), 10)
			return err
		}
	}
	view := func(query string) func(context.Context, string) error {
		return func(ctx context.Context, relation string) error {
			if _, err := bob.CreateView(ctx, "made", fmt.Sprintf(query, relation), false); err != nil {
				return err
			}
			if _, err := bob.Refresh(ctx, "made", false); err != nil {
				return err
			}
			if _, err := bob.ReplaceView(ctx, "made", fmt.Sprintf(query+" limit 1", relation), false); err != nil {
				return err
			}
			_, err := bob.DropView(ctx, "made", false)
			return err
		}
	}
	return map[string]func(context.Context, string) error{
		"rows as CSV": rows(control.CSV), "rows as JSON": rows(control.JSON),
		"preview": preview("select * from %s"), "preview of JSON": preview("select to_jsonb(t) from %s t"), "preview of a join": preview(`select 1 from "Ann".data d, %s t`),
		"preview of a subquery": preview("with w as (select * from %s) select (select count(*) from w)"),
		"view":                  view("select t.* from %s t"), "view of a count": view("select count(*) as n from (select 1 from %s) t"),
	}
}

// TestForeignCodeIsRefused has bob read by every door what would run eve's code with his rights: it is refused and does not run. Once
// he trusts her it does, which shows that it would have.
func TestForeignCodeIsRefused(t *testing.T) {
	t.Parallel()
	c, db := openShared(t)
	ctx, bob := context.Background(), c.As(pgtest.Bob)
	super, conn := db.Superuser(), db.Conn(pgtest.Bob)
	all := relations(t, db, "refused_", "rpvm")
	for _, name := range all {
		for door, read := range doors(bob) {
			e := fault.As(read(ctx, "eve."+name))
			if e == nil || e.Code != "foreign_code" || e.Kind != fault.Forbidden || e.Fields["owner"] != "eve" || e.Hint == "" || len(e.Fields["runs"].([]any)) == 0 {
				t.Errorf("%s of %s: %+v, want foreign_code", door, name, e)
			}
		}
		// What tells of a relation without reading it.
		if _, err := bob.Relations(ctx, control.Tables, "", 1000); err != nil {
			t.Error(err)
		}
		if _, err := conn.Exec(ctx, "select tinydev.describe($1)", "eve."+name); err != nil {
			t.Errorf("describe %s: %v", name, err)
		}
		if _, err := bob.CreateView(ctx, "made", "select * from eve."+name, true); err != nil && fault.CodeOf(err) != "foreign_code" {
			t.Errorf("a dry run with %s: %v", name, err)
		}
		if found := seen(t, super); len(found) > 0 {
			t.Fatalf("with %s eve's code ran: %q", name, found)
		}
	}

	must[control.Change[control.Trusted]](t)(bob.Trust(ctx, "eve", false))
	ran := map[string]bool{}
	for _, name := range all {
		for door, read := range doors(bob) {
			if err := read(ctx, "eve."+name); err != nil && fault.CodeOf(err) != "read_only" && !strings.Contains(err.Error(), "security-restricted") {
				t.Errorf("%s of %s by one who trusts eve: %v", door, name, err)
			}
		}
		for _, found := range seen(t, super) {
			what, who, _ := strings.Cut(found, ": ")
			ran[what] = true
			if who != "bob/bob" {
				t.Errorf("with %s eve's code ran as %s", name, who)
			}
		}
	}
	for _, what := range []string{"index", "predicate", "partition", "heir", "policy", "view index", "cast", "function", "where", "subquery", "join", "operator", "aggregate", "domain",
		"query_to_xml", "ts_stat", "negator", "commutator"} {
		if !ran[what] {
			t.Errorf("%s does not show that its code would have run; it did in %v", what, ran)
		}
	}

	must[control.Change[control.Untrusted]](t)(bob.Untrust(ctx, "eve", false))
	for door, read := range doors(bob) {
		if err := read(ctx, "eve.refused_function"); fault.CodeOf(err) != "foreign_code" {
			t.Errorf("%s by one who trusts eve no more: %v", door, err)
		}
	}
}

// TestDataOfOthersIsUsed has bob read by every door what runs no code of eve's.
func TestDataOfOthersIsUsed(t *testing.T) {
	t.Parallel()
	c, db := openShared(t)
	ctx, bob := context.Background(), c.As(pgtest.Bob)
	super := db.Superuser()
	all := relations(t, db, "good_", "rpvm")
	for _, name := range all {
		for door, read := range doors(bob) {
			if err := read(ctx, "eve."+name); err != nil {
				t.Errorf("%s of %s: %v %+v", door, name, err, fault.As(err))
			}
		}
	}
	conn := db.Conn(pgtest.Bob)
	exec(t, conn, "create function twice(a integer) returns integer language sql as 'select 2 * a'", "create view mine as select twice(a) as a from eve.good_base",
		"create table heads (a integer)", "create table parts (a integer) partition by range (a)", "create table parts_1 partition of parts for values from (0) to (9)")
	for _, query := range []string{
		"select * from mine", "select twice(a) from eve.good_join", "select b.a, d.b from eve.good_base b join \"Ann\".data d using (a) join eve.good_serial s on s.base = b.id",
		"select m, to_jsonb(e) from eve.good_enum e", "select count(*) from heads, parts", "select * from eve.good_enum where m = 'fine' -- fine\n;",
		"select position, type from tinydev.event", "select extract(year from now()), generate_series(1, 3)", "select relname from pg_class limit 1", "select 1 as a, 2 as a",
	} {
		if _, err := bob.PreviewQuery(ctx, query, 10); err != nil {
			t.Errorf("preview %s: %v", query, err)
		}
	}
	if found := seen(t, super); len(found) > 0 {
		t.Errorf("eve's code ran: %q", found)
	}
}

// TestOwnQueriesWithForeignCode has bob write himself what calls eve's functions.
func TestOwnQueriesWithForeignCode(t *testing.T) {
	t.Parallel()
	c, db := openShared(t)
	ctx, bob := context.Background(), c.As(pgtest.Bob)
	super, conn := db.Superuser(), db.Conn(pgtest.Bob)
	exec(t, conn, "create view through as select eve.f('own view') as a", "create table kinds (k eve.kind)", "insert into kinds values ('x')",
		"create aggregate total(integer) (sfunc = eve.step, stype = integer)")
	for _, query := range []string{
		"select eve.f('direct')", "select * from eve.f('from')", "select 1 operator(eve.===) 2", "select a from \"Ann\".data where not (a operator(eve.=!=) 1)",
		"select a from \"Ann\".data where 5 operator(eve.<!) a", "select a operator(eve.~!~) 1 from \"Ann\".data", "select eve.total(1)", "select total(1)", "select * from through", "select '1'::eve.checked",
		"select 1::eve.checked", "select to_json('x'::eve.kind)", "select to_jsonb(k) from kinds", "select 'x'::eve.kind::json", "select jsonb_populate_record(null::eve.pair, '{}')",
		"select 1 where exists (select from pg_class where relname = 'x' or eve.fb('where', 1))", "with w as (select eve.f('with') as a) select * from w", "values (eve.f('values'))",
		"select 1 order by eve.f('order')", "select 1 limit eve.f('limit')",
	} {
		if _, err := bob.PreviewQuery(ctx, query, 10); fault.CodeOf(err) != "foreign_code" {
			t.Errorf("preview %s: %v, want foreign_code", query, err)
		}
		_, err := bob.CreateView(ctx, "made", "select 1 as one from ("+query+") q", false)
		if e := fault.As(err); fault.CodeOf(err) != "foreign_code" || e.Fields["relation"] != "bob.made" {
			t.Errorf("view of %s: %v %+v, want foreign_code", query, err, e)
		}
	}
	if _, err := bob.WriteRows(ctx, "kinds", control.JSON, &bytes.Buffer{}, func() {}); fault.CodeOf(err) != "foreign_code" {
		t.Errorf("rows of a table of bob's with a type of eve's: %v", err)
	}
	if found := seen(t, super); len(found) > 0 {
		t.Errorf("eve's code ran: %q", found)
	}
}

// TestCalledUnasked holds that users cannot make what PostgreSQL calls without its name in a query, which nothing looks at therefore.
func TestCalledUnasked(t *testing.T) {
	t.Parallel()
	_, db := openShared(t)
	for statement, want := range map[string]string{
		"create operator class mine for type integer using btree as operator 1 <, operator 3 =, function 1 btint4cmp(integer, integer)": "42501",
		"create operator family mine using btree":                                                                                 "42501",
		"alter operator family integer_ops using btree add operator 1 < (integer, kind)":                                          "42501",
		"create text search template mine (lexize = dsimple_lexize)":                                                              "42501",
		"create text search parser mine (start = prsd_start, gettoken = prsd_nexttoken, end = prsd_end, lextypes = prsd_lextype)": "42501",
		"create type mine (input = int4in, output = int4out)":                                                                     "42501",
		"create function mine(internal) returns internal language plpgsql as 'begin return null; end'":                            "0A000",
		"create function mine(internal) returns internal language sql as 'select null'":                                           "42P13",
		"alter function step(integer, integer) support generate_series_int4_support":                                              "42501",
		"create operator !~~! (leftarg = integer, rightarg = integer, procedure = same, negator = operator(pg_catalog.=))":        "42501",
		"create operator !~~! (leftarg = integer, rightarg = integer, procedure = same, commutator = operator(pg_catalog.-))":     "42501",
		"create access method mine type index handler bthandler":                                                                  "42501",
		"create cast (integer as json) with function kind_json(kind)":                                                             "42501",
	} {
		if state := sqlstate(t, db.Conn(pgtest.Eve), statement); state != want {
			t.Errorf("%s raised %s, want %s", statement, state, want)
		}
	}
}

// TestCodeThatComesLater has eve add code to what bob's view reads already: the next refresh fails, by hand and as a job, and says why.
func TestCodeThatComesLater(t *testing.T) {
	t.Parallel()
	c, db := openShared(t)
	ctx, bob := context.Background(), c.As(pgtest.Bob)
	eve, conn, super := db.Conn(pgtest.Eve), db.Conn(pgtest.Bob), db.Superuser()
	must[control.Change[control.Relation]](t)(bob.CreateView(ctx, "v", "select a from eve.good_base", false))
	must[control.Change[control.Refreshed]](t)(bob.Refresh(ctx, "v", false))
	exec(t, eve, "create index later on good_base ((a + f('later')))", "truncate seen", "alter sequence runs restart")

	_, err := bob.Refresh(ctx, "v", false)
	wantFault(t, err, fault.Forbidden, "foreign_code")
	job := pgtest.Value[int64](t, conn, "select (tinydev.schedule('v', '* * * * *') ->> 'job_id')::bigint")
	exec(t, super, "update tinydev_impl.job_state set handled_to = now() - interval '1 hour'")
	if _, err := launched(t, db, job); code(err) != "TD403" {
		t.Errorf("the job's command raised %v", err)
	}
	failed := events(t, db, "view.failed", "bob.v")
	if len(failed) != 2 || failed[0]["code"] != "foreign_code" || failed[1]["cause"] != "schedule" || failed[1]["sqlstate"] != "TD403" {
		t.Errorf("view.failed says %v", failed)
	}
	if found := seen(t, super); len(found) > 0 {
		t.Errorf("eve's code ran: %q", found)
	}
	must[control.Change[control.Trusted]](t)(bob.Trust(ctx, "eve", false))
	must[control.Change[control.Refreshed]](t)(bob.Refresh(ctx, "v", false))
	if found := seen(t, super); len(found) != 1 || found[0] != "later: bob/bob" {
		t.Errorf("trusted, the code ran as %q", found)
	}
	must[control.Change[control.Untrusted]](t)(bob.Untrust(ctx, "eve", false))
	_, err = bob.Refresh(ctx, "v", false)
	wantFault(t, err, fault.Forbidden, "foreign_code")
	exec(t, eve, "drop index later")
	must[control.Change[control.Refreshed]](t)(bob.Refresh(ctx, "v", false))
}

// TestWhatIsCheckedIsHeld has eve change a view while bob begins to read it: he waits, and sees what she made of it.
func TestWhatIsCheckedIsHeld(t *testing.T) {
	t.Parallel()
	c, db := openShared(t)
	ctx, bob := context.Background(), c.As(pgtest.Bob)
	eve, super := db.Conn(pgtest.Eve), db.Superuser()
	exec(t, eve, "create view turns as select a from good_base", "create view over_turns as select a from turns", "grant select on over_turns to bob")
	for door, read := range doors(bob) {
		exec(t, eve, "begin", "create or replace view turns as select f('turned') as a")
		done := make(chan error, 1)
		go func() { done <- read(ctx, "eve.over_turns") }()
		pgtest.Eventually(t, 10*time.Second, "bob waits for eve", func() bool {
			return pgtest.Value[bool](t, super, "select exists (select from pg_stat_activity where usename = 'bob' and wait_event_type = 'Lock')")
		})
		exec(t, eve, "commit")
		if err := <-done; fault.CodeOf(err) != "foreign_code" {
			t.Errorf("%s: %v, want foreign_code", door, err)
		}
		exec(t, eve, "create or replace view turns as select a from good_base")
	}
	if found := seen(t, super); len(found) > 0 {
		t.Errorf("eve's code ran: %q", found)
	}

	conn := db.Conn(pgtest.Bob)
	exec(t, eve, "set lock_timeout = '100ms'")
	for access, changes := range map[string][]string{
		"'eve.over_turns'::regclass": {"create or replace view turns as select f('x') as a", "alter view turns rename to others", "alter table good_base enable row level security",
			"alter table good_base alter a type bigint using f('x')", "alter table good_base add check (a > f('x'))"},
		"'eve.good_partitioned'::regclass, 'write'": {"create trigger t before insert on good_partitioned for each row execute function suppress_redundant_updates_trigger()",
			"create trigger t before insert on good_partitioned_x for each row execute function suppress_redundant_updates_trigger()",
			"alter table good_partitioned_x alter a set default f('x')", "create index on good_partitioned_x ((a + f('x')))"},
	} {
		exec(t, conn, "begin", "select tinydev_lib.require_data("+access+")")
		for _, change := range changes {
			if state := sqlstate(t, eve, change); state != "55P03" {
				t.Errorf("while %s is held, %s raised %s, want a lock that is not available", access, change, state)
			}
		}
		exec(t, conn, "rollback")
	}
}

// TestPreviewStaysReadOnly holds that a preview, which makes a temporary view before it runs, writes nothing and leaves nothing.
func TestPreviewStaysReadOnly(t *testing.T) {
	t.Parallel()
	c, db := openShared(t)
	bob := c.As(pgtest.Bob)
	exec(t, db.Conn(pgtest.Bob), "create table log (a text)",
		"create function writes() returns integer language sql as $$ insert into bob.log values ('x'); select 1 $$",
		"create function loosens() returns integer language plpgsql as $$ begin set transaction read write; insert into bob.log values ('y'); return 1; end $$",
		"create function configures() returns integer language plpgsql as $$ begin perform set_config('transaction_read_only', 'off', true); insert into bob.log values ('z'); return 1; end $$")
	for _, ctx := range []context.Context{context.Background(), postgres.ReadOnly(context.Background())} {
		if p := must[control.QueryPreview](t)(bob.PreviewQuery(ctx, "select a from eve.good_base", 10)); len(p.Rows) != 1 {
			t.Errorf("preview %+v", p)
		}
		for _, query := range []string{"select writes()", "select loosens()", "select configures()", "select nextval('eve.counter')"} {
			if _, err := bob.PreviewQuery(ctx, query, 10); fault.As(err) == nil {
				t.Errorf("%s: %v, want a refusal", query, err)
			}
		}
		if _, err := bob.PreviewQuery(ctx, "select * from tinydev_query", 10); fault.KindOf(err) != fault.Invalid {
			t.Errorf("a preview sees our view: %v", err)
		}
	}
	if pgtest.Value[bool](t, db.Conn(pgtest.Bob), "select exists (select from log)") {
		t.Error("a preview wrote")
	}
}

// TestIsolationIsReadCommitted holds that nobody is fooled by a snapshot that is older than the locks.
func TestIsolationIsReadCommitted(t *testing.T) {
	t.Parallel()
	c, db := openShared(t)
	ctx, bob := context.Background(), c.As(pgtest.Bob)
	exec(t, db.Superuser(), "alter role bob in database "+db.Name+" set default_transaction_isolation = 'repeatable read'")
	_, err := bob.CreateView(ctx, "v", "select a from eve.good_base", false)
	wantFault(t, err, fault.Invalid, "isolation_unsupported")
	for door, read := range doors(bob) {
		if strings.HasPrefix(door, "view") {
			continue
		}
		if err := read(ctx, "eve.good_base"); err != nil {
			t.Errorf("%s: %v", door, err)
		}
	}
}

// TestCodeIsNotSlippedIn has eve add code, and take it away, as fast as she can, by commands that readers do not hold up, while bob
// reads: he reads or is refused, and her code never runs.
func TestCodeIsNotSlippedIn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ table, add, remove string }{
		"an index":              {"target", "create index slipped on eve.target ((a + eve.f('index')))", "drop index eve.slipped"},
		"an index concurrently": {"target", "create index concurrently slipped on eve.target ((a + eve.f('index')))", "drop index eve.slipped"},
		"an index of a view":    {"target_view", "create index slipped on eve.target_view ((a + eve.f('index')))", "drop index eve.slipped"},
		"statistics":            {"target", "create statistics eve.slipped on (a + eve.f('statistics')), b from eve.target", "drop statistics eve.slipped"},
		"a cast":                {"target", "create cast (eve.fresh as json) with function eve.fresh_json(eve.fresh)", "drop cast (eve.fresh as json)"},
		"a partition":           {"target_parts", "alter table eve.target_parts attach partition eve.hostile_part for values in (7)", "alter table eve.target_parts detach partition eve.hostile_part"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, db := openShared(t)
			ctx, eve, conn, super := context.Background(), db.Conn(pgtest.Eve), db.Conn(pgtest.Bob), db.Superuser()
			if name == "statistics" && pgtest.Value[int](t, eve, "select current_setting('server_version_num')::int") < 140000 {
				return // there are none on expressions
			}
			exec(t, eve, "create type fresh as enum ('x')", "create function fresh_json(fresh) returns json language sql immutable as $$ select to_json(eve.f('cast')) $$",
				"create table target (a integer, b integer, k fresh)", "insert into target values (1, 2, 'x')", "create materialized view target_view as select * from target",
				"create table target_parts (a integer) partition by list (a)", "create table target_part partition of target_parts for values in (1)",
				"create table hostile_part (a integer)", "create index on hostile_part ((a + eve.f('part')))",
				"grant select on target, target_view, target_parts to bob", "truncate seen", "alter sequence runs restart")
			stop, toggled := make(chan bool), make(chan int)
			go func() {
				n := 0
				for ; ; n++ {
					select {
					case <-stop:
						toggled <- n
						return
					default:
					}
					eve.Exec(ctx, c.add)    //nolint:errcheck // she may have to wait, or find the other done
					eve.Exec(ctx, c.remove) //nolint:errcheck // as above
				}
			}()
			read, refused := 0, 0
			for i := 0; i < 150 || read < 3 && i < 3000; i++ {
				exec(t, conn, "begin")
				_, err := conn.Exec(ctx, "select tinydev_lib.require_data($1::text::regclass)", "eve."+c.table)
				if err == nil {
					exec(t, conn, "select row_to_json(t) from eve."+c.table+" t", "commit")
					read++
					continue
				}
				refused++
				exec(t, conn, "rollback")
			}
			close(stop)
			t.Logf("%d toggles, %d reads, %d refusals", <-toggled, read, refused)
			if pgtest.Value[bool](t, super, "select exists (select from eve.seen where who = 'bob')") {
				t.Error("eve's code ran")
			}
		})
	}
}
