package control_test

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// lastRefresh gives the data of the session's last refresh.
func lastRefresh(t *testing.T, conn *pgx.Conn) map[string]any {
	t.Helper()
	return pgtest.Value[map[string]any](t, conn, "select current_setting('tinydev.last_refresh')::jsonb")
}

// tracked refreshes a view and compares what its event says of changes with JSON; the fields that are not in it have to be missing.
func tracked(t *testing.T, conn *pgx.Conn, view, track, want string) {
	t.Helper()
	exec(t, conn, fmt.Sprintf("call tinydev.refresh('%s', track_changes => '%s')", view, track))
	compareChanges(t, conn, view+" "+track, want)
}

func compareChanges(t *testing.T, conn *pgx.Conn, what, want string) {
	t.Helper()
	got, all, wanted := map[string]any{}, lastRefresh(t, conn), map[string]any{}
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"added", "removed", "updated", "keys", "rows_changed", "truncated"} {
		if value, there := all[field]; there {
			got[field] = value
		}
	}
	if !reflect.DeepEqual(got, wanted) {
		t.Errorf("%s:\ngot  %v\nwant %v", what, got, wanted)
	}
}

func TestChangesAreTracked(t *testing.T) {
	t.Parallel()
	_, db := open(t)
	ann := db.Conn(pgtest.Ann)
	exec(t, ann, "create table t (id int primary key, a numeric, at timestamptz)", "insert into t select n, n, '2026-01-02 03:04:05+00' from generate_series(1, 5) n",
		"select tinydev.create_view('v', 'select id, a, at from t')", "create unique index on v (id)", "set timezone = 'Asia/Tokyo'")
	tracked(t, ann, "v", "none", `{}`)
	tracked(t, ann, "v", "counts", `{"added": 0, "removed": 0, "updated": 0}`)
	tracked(t, ann, "v", "rows", `{"added": 0, "removed": 0, "updated": 0, "rows_changed": {"added": [], "removed": [], "updated": []}}`)
	change := func() {
		t.Helper()
		exec(t, ann, "delete from t where id = (select min(id) from t)", "update t set a = a + 0.5 where id in (select id from t order by id limit 2)", "insert into t select max(id) + 1, 9, '2026-01-02 03:04:05+00' from t")
	}
	change()
	tracked(t, ann, "v", "counts", `{"added": 1, "removed": 1, "updated": 2}`)
	if all := lastRefresh(t, ann); all["inserted"] != 3.0 || all["deleted"] != 3.0 || all["changed"] != true || all["readers_blocked"] != false {
		t.Errorf("the refresh says %v", all)
	}
	change()
	tracked(t, ann, "v", "keys", `{"added": 1, "removed": 1, "updated": 2, "keys": {"added": [{"id": 7}], "removed": [{"id": 2}], "updated": [{"id": 3}, {"id": 4}]}}`)
	change()
	row := func(id int, a string) string {
		return fmt.Sprintf(`{"id": %d, "a": %s, "at": "2026-01-02T03:04:05+00:00"}`, id, a)
	}
	tracked(t, ann, "v", "rows", fmt.Sprintf(`{"added": 1, "removed": 1, "updated": 2, "rows_changed": {"added": [%s], "removed": [%s], "updated": [{"before": %s, "after": %s}, {"before": %s, "after": %s}]}}`,
		row(8, "9"), row(3, "4"), row(4, "4.5"), row(4, "5"), row(5, "5"), row(5, "5.5")))

	exec(t, ann, "update t set a = a * 1.00 where id = 4") // another text, the same number
	tracked(t, ann, "v", "keys", `{"added": 0, "removed": 0, "updated": 1, "keys": {"added": [], "removed": [], "updated": [{"id": 4}]}}`)
	exec(t, ann, "delete from t where id = 4")
	tracked(t, ann, "v", "keys", `{"added": 0, "removed": 1, "updated": 0, "keys": {"added": [], "removed": [{"id": 4}], "updated": []}}`)
	exec(t, ann, "truncate t")
	tracked(t, ann, "v", "counts", `{"added": 0, "removed": 4, "updated": 0}`)
	if got := sqlstate(t, ann, "call tinydev.refresh('v', track_changes => 'all')"); got != "TD422" {
		t.Errorf("an unknown way to track raised %s", got)
	}
	if got := sqlstate(t, ann, "call tinydev.refresh('v', track_changes => null)"); got != "TD422" {
		t.Errorf("null as a way to track raised %s", got)
	}
	if n := pgtest.Value[int](t, ann, "select count(*)::int from pg_class where relname like 'tinydev_gone%'"); n != 0 {
		t.Errorf("%d tables stayed", n)
	}
}

// TestChangesInTransactions has several refreshes of a view in one transaction, in subtransactions that are rolled back, and in functions.
func TestChangesInTransactions(t *testing.T) {
	t.Parallel()
	_, db := open(t)
	ann := db.Conn(pgtest.Ann)
	exec(t, ann, "create table t (id int primary key, a int)", "insert into t select n, n from generate_series(1, 9) n", "select tinydev.create_view('v', 'select id, a from t')", "create unique index on v (id)",
		"create function f() returns void language plpgsql as $$ begin call tinydev.refresh('v', track_changes => 'keys'); exception when division_by_zero then null; end $$")
	exec(t, ann, "begin", "select pg_catalog.age('3'::xid)", "insert into t values (10, 10)")
	tracked(t, ann, "v", "keys", `{"added": 1, "removed": 0, "updated": 0, "keys": {"added": [{"id": 10}], "removed": [], "updated": []}}`)
	exec(t, ann, "update t set a = 11 where id = 10") // made by this transaction, changed and deleted by it
	tracked(t, ann, "v", "keys", `{"added": 0, "removed": 0, "updated": 1, "keys": {"added": [], "removed": [], "updated": [{"id": 10}]}}`)
	tracked(t, ann, "v", "keys", `{"added": 0, "removed": 0, "updated": 0, "keys": {"added": [], "removed": [], "updated": []}}`)
	exec(t, ann, "savepoint s", "delete from t where id = 10")
	tracked(t, ann, "v", "keys", `{"added": 0, "removed": 1, "updated": 0, "keys": {"added": [], "removed": [{"id": 10}], "updated": []}}`)
	exec(t, ann, "rollback to s", "delete from t where id = 1", "select f()")
	compareChanges(t, ann, "after a subtransaction that was undone, in a function", `{"added": 0, "removed": 1, "updated": 0, "keys": {"added": [], "removed": [{"id": 1}], "updated": []}}`)
	exec(t, ann, "commit", "begin isolation level repeatable read", "delete from t where id = 2")
	tracked(t, ann, "v", "counts", `{"added": 0, "removed": 1, "updated": 0}`)
	exec(t, ann, "commit", "insert into t values (2, 2)", "do $$ begin call tinydev.refresh('v', track_changes => 'counts'); end $$")
	compareChanges(t, ann, "in DO", `{"added": 1, "removed": 0, "updated": 0}`)
}

func TestChangesOfKeysThatLackValues(t *testing.T) {
	t.Parallel()
	_, db := open(t)
	ann := db.Conn(pgtest.Ann)
	exec(t, ann, "create table t (k int, l text, a int)", "insert into t values (null, 'x', 1), (null, 'x', 1), (null, 'x', 2), (1, null, 1), (1, 'y', 1), (2, 'z', 2)",
		"select tinydev.create_view('v', 'select k, l, a from t')", "create unique index on v (k, l)")
	tracked(t, ann, "v", "counts", `{"added": 0, "removed": 0, "updated": 0}`)
	if all := lastRefresh(t, ann); all["inserted"] != 4.0 || all["deleted"] != 4.0 {
		t.Errorf("PostgreSQL does not write rows without a whole key anew any more: %v", all)
	}
	// One of two that are the same goes, one without a whole key changes, one of another key does.
	exec(t, ann, "delete from t where ctid = (select min(ctid) from t where k is null and a = 1)", "update t set a = 7 where l is null", "update t set a = 8 where l = 'y'")
	tracked(t, ann, "v", "keys", `{"added": 1, "removed": 2, "updated": 1,
		"keys": {"added": [{"k": 1, "l": null}], "removed": [{"k": null, "l": "x"}, {"k": 1, "l": null}], "updated": [{"k": 1, "l": "y"}]}}`)
	// Another index whose columns lack values has rows written anew that the key tells apart: they did not change.
	exec(t, ann, "create table u (id int, m int)", "insert into u values (1, null), (2, null), (3, 3)", "select tinydev.create_view('w', 'select id, m from u')", "create unique index on w (m)", "create unique index on w (id)",
		"drop index w_m_idx", "create unique index on w (m)", "update u set m = 5 where id = 2")
	tracked(t, ann, "w", "keys", `{"added": 0, "removed": 0, "updated": 1, "keys": {"added": [], "removed": [], "updated": [{"id": 2}]}}`)
	if pgtest.Value[int](t, ann, "select current_setting('server_version_num')::int") < 150000 {
		return
	}
	exec(t, ann, "create table n (k int, a int)", "insert into n values (null, 1), (2, 2)", "select tinydev.create_view('x', 'select k, a from n')", "create unique index on x (k) nulls not distinct", "update n set a = 3 where k is null")
	tracked(t, ann, "x", "keys", `{"added": 0, "removed": 0, "updated": 1, "keys": {"added": [], "removed": [], "updated": [{"k": null}]}}`)
}

// TestKeyOfChanges chooses the index with the fewest columns, the oldest of several, and none that a concurrent refresh cannot use.
func TestKeyOfChanges(t *testing.T) {
	t.Parallel()
	_, db := open(t)
	ann := db.Conn(pgtest.Ann)
	exec(t, ann, "create table t (a int, b int, c int)", "insert into t values (1, 1, 1)", "select tinydev.create_view('v', 'select a, b, c from t')",
		"create unique index on v (c) where c > 0", "create unique index on v ((c + 1))", "create unique index on v (a, b)", "create unique index on v (b) include (a)", "create unique index on v (a)", "insert into t values (2, 2, 2)")
	tracked(t, ann, "v", "keys", `{"added": 1, "removed": 0, "updated": 0, "keys": {"added": [{"b": 2}], "removed": [], "updated": []}}`)
}

func TestChangesAreLimited(t *testing.T) {
	t.Parallel()
	_, db := open(t)
	ann := db.Conn(pgtest.Ann)
	exec(t, ann, "create table t (id int primary key, a text)", "insert into t select n, '' from generate_series(1, 300) n", "select tinydev.create_view('v', 'select id, a from t')", "create unique index on v (id)",
		"delete from t where id <= 120", "update t set a = 'x' where id between 121 and 240", "insert into t select n, '' from generate_series(301, 420) n", "call tinydev.refresh('v', track_changes => 'keys')")
	all := lastRefresh(t, ann)
	keys := all["keys"].(map[string]any)
	for kind, first := range map[string]float64{"added": 301, "removed": 1, "updated": 121} {
		list := keys[kind].([]any)
		if all[kind] != 120.0 || len(list) != 100 || list[0].(map[string]any)["id"] != first || list[99].(map[string]any)["id"] != first+99 {
			t.Errorf("%s: %v, %d of them told: %v", kind, all[kind], len(list), list)
		}
	}
	if all["truncated"] != true {
		t.Error("nothing says that keys were left out")
	}
	// 2 KB each: what there is room for is of all three. One row alone is larger than that.
	exec(t, ann, "update t set a = repeat('y', 2000)", "delete from t where id between 241 and 250", "insert into t select n, repeat('z', 2000) from generate_series(500, 520) n", "insert into t select 499, string_agg(md5(n::text), '') from generate_series(1, 6000) n",
		"call tinydev.refresh('v', track_changes => 'rows')")
	all = lastRefresh(t, ann)
	rows := all["rows_changed"].(map[string]any)
	added, removed, updated := rows["added"].([]any), rows["removed"].([]any), rows["updated"].([]any)
	if all["added"] != 22.0 || all["removed"] != 10.0 || all["updated"] != 290.0 || all["truncated"] != true || len(added) < 10 || len(removed) != 10 || len(updated) < 10 || added[0].(map[string]any)["id"] != 500.0 {
		t.Errorf("%v, %v and %v changed, truncated %v, told are %d, %d and %d", all["added"], all["removed"], all["updated"], all["truncated"], len(added), len(removed), len(updated))
	}
	if size := pgtest.Value[int](t, ann, "select octet_length((current_setting('tinydev.last_refresh')::jsonb -> 'rows_changed')::text)"); size > 65536 || size < 50000 {
		t.Errorf("the rows take %d bytes", size)
	}
}

// TestChangesThatAreNotKnown has numbers null, and nothing else fails.
func TestChangesThatAreNotKnown(t *testing.T) {
	t.Parallel()
	_, db := open(t)
	ctx := context.Background()
	ann, other := db.Conn(pgtest.Ann), db.Conn(pgtest.Ann)
	const unknown = `{"added": null, "removed": null, "updated": null}`
	blocked := func(want bool) {
		t.Helper()
		if all := lastRefresh(t, ann); all["readers_blocked"] != want || all["concurrently"] == true && want {
			t.Errorf("readers_blocked is %v, want %t", all["readers_blocked"], want)
		}
	}
	exec(t, ann, "create table t (id int primary key, a int)", "insert into t values (1, 1)", "select tinydev.create_view('v', 'select id, a from t')")
	tracked(t, ann, "v", "rows", unknown)
	blocked(true)
	tracked(t, ann, "v", "none", `{}`)
	blocked(true)
	exec(t, ann, "create unique index on v (id)")
	tracked(t, ann, "v", "counts", `{"added": 0, "removed": 0, "updated": 0}`)
	blocked(false)
	exec(t, ann, "refresh materialized view v with no data")
	tracked(t, ann, "v", "keys", unknown)
	blocked(false)
	tracked(t, ann, "v", "keys", `{"added": 0, "removed": 0, "updated": 0, "keys": {"added": [], "removed": [], "updated": []}}`)

	// Another refresh, of what came after this one began and looked, is committed while this one waits, and undone by it.
	exec(t, other, "begin", "refresh materialized view concurrently v")
	waits := make(chan error, 1)
	go func() {
		_, err := ann.Exec(ctx, "call tinydev.refresh('v', track_changes => 'counts')")
		waits <- err
	}()
	pgtest.Eventually(t, 20*time.Second, "the refresh waits", func() bool {
		return pgtest.Value[bool](t, db.Superuser(), "select exists (select from pg_locks where relation = '\"Ann\".v'::regclass and not granted)")
	})
	exec(t, db.Superuser(), `insert into "Ann".t values (2, 2)`)
	exec(t, other, "refresh materialized view concurrently v", "commit")
	if err := <-waits; err != nil {
		t.Fatal(err)
	}
	if all := lastRefresh(t, ann); all["deleted"] != 1.0 {
		t.Fatalf("the refresh undid nothing: %v", all)
	}
	compareChanges(t, ann, "after another", unknown)

	// What cannot be written as JSON is not told, and the refresh goes on.
	exec(t, ann, "create type odd as enum ('a', 'b')", "create function odd_json(odd) returns json language plpgsql as $$ begin raise 'never'; end $$", "create cast (odd as json) with function odd_json(odd)",
		"create table o (id int primary key, a odd default 'a')", "insert into o values (1)", "select tinydev.create_view('w', 'select id, a from o')", "create unique index on w (id)", "insert into o values (2)")
	tracked(t, ann, "w", "rows", unknown)
	exec(t, ann, "delete from o where id = 2")
	tracked(t, ann, "w", "rows", unknown)
	if n := pgtest.Value[int](t, ann, "select count(*)::int from w"); n != 1 {
		t.Errorf("the view has %d rows, want 1", n)
	}
}

// TestChangesAmongHostileNames refreshes where search_path, temporary objects and columns have the names that are used.
func TestChangesAmongHostileNames(t *testing.T) {
	t.Parallel()
	_, db := open(t)
	ann := db.Conn(pgtest.Ann)
	exec(t, ann, `create table t ("t" int, "key" int, "r" int, "image ""x""" text, "g" jsonb)`, `insert into t values (1, 1, 1, 'a', '{}')`, "create table names (name text)", "insert into names values ('found')",
		// Before 17 such a function finds its table by the session's search_path, also while changes are tracked.
		"create function best() returns text language plpgsql as $$ begin return (select name from names); end $$",
		`select tinydev.create_view('"V t"', 'select *, case when current_setting(''server_version_num'')::int < 170000 then best() end as best from t')`, `create unique index on "V t" ("t", "image ""x""")`)
	for name, body := range map[string]string{"jsonb_build_object": "'{}'::jsonb", "md5": "'x'", "count": "1"} {
		exec(t, ann, fmt.Sprintf(`create function "Ann".%s(text) returns %s language sql as 'select %s'`, name, map[string]string{"jsonb_build_object": "jsonb", "md5": "text", "count": "bigint"}[name], strings.ReplaceAll(body, "'", "''")))
	}
	exec(t, ann, `create function "Ann".never(bigint, bigint) returns boolean language plpgsql as $$ begin raise 'captured'; end $$`, `create operator "Ann".= (leftarg = bigint, rightarg = bigint, procedure = "Ann".never)`,
		`create operator "Ann".+ (leftarg = bigint, rightarg = bigint, procedure = "Ann".never)`, `set search_path = "Ann", pg_temp, pg_catalog`,
		"create temp table pg_class (oid oid)", "create temp table pg_index (a int)", "create temp table gone (a int)", `insert into "Ann".t values (2, 2, 2, 'b', '[1]')`)
	exec(t, ann, `call tinydev.refresh('"Ann"."V t"', track_changes => 'keys')`)
	compareChanges(t, ann, "hostile names", `{"added": 1, "removed": 0, "updated": 0, "keys": {"added": [{"t": 2, "image \"x\"": "b"}], "removed": [], "updated": []}}`)
}

// TestChangesRunNobodysCode has a view with a column of a type whose owner wrote its cast to JSON.
func TestChangesRunNobodysCode(t *testing.T) {
	t.Parallel()
	_, db := open(t)
	ann, bob := db.Conn(pgtest.Ann), db.Conn(pgtest.Bob)
	exec(t, bob, `grant usage on schema bob to "Ann"`, "create type fresh as enum ('x')",
		"create function fresh_json(bob.fresh) returns json language plpgsql as $$ begin perform set_config('bob.ran_as', current_user, false); return '1'; end $$",
		"create cast (bob.fresh as json) with function bob.fresh_json(bob.fresh)")
	exec(t, ann, "create table t (id int primary key, a bob.fresh)", "insert into t values (1, 'x')", "create materialized view v as select id, a from t", "create unique index on v (id)")
	exec(t, ann, "insert into t values (2, 'x')")
	if got := sqlstate(t, ann, "call tinydev.refresh('v', track_changes => 'rows')"); got != "TD403" {
		t.Errorf("a refresh that tracks changes raised %s", got)
	}
	if who := pgtest.Value[string](t, ann, "select coalesce(current_setting('bob.ran_as', true), 'nobody')"); who != "nobody" {
		t.Errorf("bob's function ran as %s", who)
	}
	exec(t, ann, "select tinydev.trust('bob')")
	tracked(t, ann, "v", "rows", `{"added": 1, "removed": 0, "updated": 0, "rows_changed": {"added": [{"id": 2, "a": 1}], "removed": [], "updated": []}}`)
}

func TestWhoSeesChanges(t *testing.T) {
	t.Parallel()
	_, db := open(t)
	ann, bob, admin, super := db.Conn(pgtest.Ann), db.Conn(pgtest.Bob), db.Conn(pgtest.Admin), db.Superuser()
	exec(t, ann, "create table t (id int primary key, a int)", "select tinydev.create_view('v', 'select id, a from t')", "create unique index on v (id)")
	exec(t, super, "call tinydev_impl.place_all()")
	exec(t, ann, "insert into t values (1, 1)", "call tinydev.refresh('v', track_changes => 'rows')", "insert into t values (2, 2)", "call tinydev.refresh('v', track_changes => 'keys')")
	exec(t, super, "call tinydev_impl.place_all()")
	// By the table, by the verb and as the relay reads: how many events, and how many of them with rows.
	sees := func(who string, conn *pgx.Conn, role string, events, rows int) {
		t.Helper()
		const fields = "count(*)::int, count(*) filter (where data ?| array['keys', 'rows_changed'])::int"
		for what, query := range map[string]string{
			"tinydev.event":       "select array[" + fields + "] from tinydev.event where type = 'view.refreshed'",
			"tinydev.read_events": "select array[" + fields + "] from (select e -> 'data' as data from tinydev.read_events() r, jsonb_array_elements(r.events) e where e ->> 'type' = 'tinydev.view.refreshed') e",
		} {
			if got := pgtest.Value[[]int](t, conn, query); !reflect.DeepEqual(got, []int{events, rows}) {
				t.Errorf("%s sees by %s %v events and rows, want %d and %d", who, what, got, events, rows)
			}
		}
		if got := pgtest.Value[[]int](t, super, "select array["+fields+"] from (select event::jsonb -> 'data' as data from tinydev_impl.read_events_as($1, 0, 1000) where type = 'view.refreshed') e", role); !reflect.DeepEqual(got, []int{events, rows}) {
			t.Errorf("the relay reads for %s %v, want %d and %d", who, got, events, rows)
		}
	}
	sees("the owner", ann, pgtest.Ann, 2, 2)
	sees("an administrator", admin, pgtest.Admin, 2, 0)
	sees("bob", bob, pgtest.Bob, 0, 0)
	if got := pgtest.Value[map[string]any](t, admin, "select data from tinydev.event where type = 'view.refreshed' order by position limit 1"); got["added"] != 1.0 {
		t.Errorf("an administrator does not get the numbers: %v", got)
	}
	exec(t, ann, `grant usage on schema "Ann" to bob`, "grant select (id) on v to bob", fmt.Sprintf("grant select (id) on v to %s", pgtest.Admin))
	sees("bob, who may read a column", bob, pgtest.Bob, 0, 0)
	sees("an administrator, who may read a column", admin, pgtest.Admin, 2, 0)
	exec(t, ann, "grant select on v to bob")
	sees("a reader", bob, pgtest.Bob, 2, 2)
	exec(t, ann, "revoke select on v from bob")
	sees("who was a reader", bob, pgtest.Bob, 0, 0)
	exec(t, ann, fmt.Sprintf("grant select on v to %s", pgtest.Admin))
	sees("an administrator who may select", admin, pgtest.Admin, 2, 2)
	// What a condition or a trigger looks at tells as much as what is read.
	const seen = `select tinydev_impl.seen_data($1, e.workspace, e.subject_id, e.data) ?| array['keys', 'rows_changed'] from tinydev_impl.event e where type = 'view.refreshed' limit 1`
	if !pgtest.Value[bool](t, super, seen, pgtest.Admin) {
		t.Error("a trigger of an administrator who may select does not see the rows")
	}
	exec(t, ann, fmt.Sprintf("revoke select on v from %s", pgtest.Admin))
	if pgtest.Value[bool](t, super, seen, pgtest.Admin) {
		t.Error("a trigger of an administrator who may not select sees the rows")
	}
	exec(t, ann, "drop materialized view v")
	sees("an administrator, of a view that is gone", admin, pgtest.Admin, 2, 0)
	sees("the owner, of a view that is gone", ann, pgtest.Ann, 2, 2)
}

// TestMissingIndexIsOffered has the answer of scheduling say what a view without a unique index suffers, with a statement that can be run as it is.
func TestMissingIndexIsOffered(t *testing.T) {
	t.Parallel()
	_, db := open(t)
	ann := db.Conn(pgtest.Ann)
	warnings := func(call string) string {
		return strings.Join(pgtest.Value[[]string](t, ann, "select array(select jsonb_array_elements_text(("+call+") -> 'warnings'))"), "\n")
	}
	exec(t, ann, "create table t (id int, part int, name text, primary key (part, id))", "insert into t values (1, 1, 'a'), (2, 1, 'a'), (3, 1, 'b')")
	for _, one := range []struct{ name, query, columns string }{
		{"its_key", "select name, id, part from t", "part, id"},
		{"small", "select name, id from t", "id"},
		{"grouped", "select name, count(*) * 0 as n from t group by name", "name"},
		{"empty", "select name from t where false", ""},
		{"twice", "select name, 1 as n from t", ""},
		{"without", "select null::json as j from t", "?"},
	} {
		exec(t, ann, fmt.Sprintf("select tinydev.create_view('%s', '%s')", one.name, one.query))
		got := warnings(fmt.Sprintf("tinydev.schedule('%s', '0 9 * * *', track_changes => 'counts')", one.name))
		start := fmt.Sprintf(`"Ann".%s has no unique index, so each refresh locks it, and its readers wait, and what changed in it is not known: create unique index on "Ann".%s (`, one.name, one.name)
		if one.columns == "?" {
			if !strings.Contains(got, "has no unique index") || strings.Contains(got, "create unique index") {
				t.Errorf("%s: %q", one.name, got)
			}
			continue
		}
		if !strings.HasPrefix(got, start) || one.columns != "" && got != start+one.columns+");" || one.columns == "" && !strings.HasSuffix(got, "-- the columns that tell its rows apart") {
			t.Errorf("%s: %q, want %q", one.name, got, start+one.columns)
		}
		if one.columns == "" {
			continue
		}
		if got := warnings(fmt.Sprintf("tinydev.schedule('%s', '0 9 * * *', track_changes => 'none')", one.name)); !strings.HasPrefix(got, fmt.Sprintf(`"Ann".%s has no unique index, so each refresh locks it, and its readers wait: create`, one.name)) {
			t.Errorf("%s without tracking: %q", one.name, got)
		}
		_, statement, _ := strings.Cut(got, ": ")
		exec(t, ann, statement)
		if got := warnings(fmt.Sprintf("tinydev.describe_job((select job_id from tinydev.job where view = '\"Ann\".%s'))", one.name)); got != "" {
			t.Errorf("%s with its index: %q", one.name, got)
		}
	}
	exec(t, ann, "create materialized view unfilled as select 1 as a with no data")
	if got := warnings("tinydev.schedule('unfilled', '0 9 * * *')"); got != "" {
		t.Errorf("a view that was never filled, which nobody can read: %q", got)
	}
	// Who lists jobs does not wait for a view that is being refreshed.
	exec(t, db.Conn(pgtest.Ann), "begin", "refresh materialized view twice")
	began := time.Now()
	if got := warnings("tinydev.describe_job((select job_id from tinydev.job where view = '\"Ann\".twice'))"); !strings.Contains(got, "has no unique index") || time.Since(began) > 5*time.Second {
		t.Errorf("while it is refreshed, after %s: %q", time.Since(began), got)
	}
}

// TestJobsTrackChanges runs a job as pg_cron does, and by hand.
func TestJobsTrackChanges(t *testing.T) {
	t.Parallel()
	_, db := open(t)
	ann := db.Conn(pgtest.Ann)
	exec(t, ann, "create table t (id int primary key)", "select tinydev.create_view('v', 'select id from t')", "create unique index on v (id)")
	job := pgtest.Value[int64](t, ann, "select (tinydev.schedule('v', '0 9 * * *', track_changes => 'keys') ->> 'job_id')::bigint")
	command := pgtest.Value[string](t, ann, "select command from cron.job where jobid = $1", job)
	exec(t, ann, "insert into t values (1)", command)
	compareChanges(t, ann, command, `{"added": 1, "removed": 0, "updated": 0, "keys": {"added": [{"id": 1}], "removed": [], "updated": []}}`)
	exec(t, ann, "insert into t values (2)", fmt.Sprintf("call tinydev.run_job(%d)", job))
	compareChanges(t, ann, "run_job", `{"added": 1, "removed": 0, "updated": 0, "keys": {"added": [{"id": 2}], "removed": [], "updated": []}}`)
}

// TestConditionWords has words stand for paths, in triggers and subscriptions, and holds them to data.
func TestConditionWords(t *testing.T) {
	t.Parallel()
	_, db := open(t)
	ann, super := db.Conn(pgtest.Ann), db.Superuser()
	for _, one := range []struct {
		word, check, plain string
		holds, not         []string
	}{
		{"always", "", "", nil, nil},
		{" Not  Empty ", `($."rows" > 0)`, `strict ($."rows" > 0)`, []string{`{"rows": 1}`}, []string{`{"rows": 0}`, `{"rows": null}`, `{}`}},
		{"changed", `!($."changed" == false)`, `!($."changed" == false)`, []string{`{"changed": true}`, `{"changed": null}`, `{}`}, []string{`{"changed": false}`}},
	} {
		for function, want := range map[string]string{"check_condition": one.check, "plain_condition": one.plain} {
			path := pgtest.Value[string](t, super, "select coalesce(tinydev_lib."+function+"($1), '')", one.word)
			if path != want {
				t.Errorf("%s of %q gives %q, want %q", function, one.word, path, want)
			}
			if again := pgtest.Value[string](t, super, "select coalesce(tinydev_lib."+function+"($1), '')", path); again != path {
				t.Errorf("%s of %q gives %q", function, path, again)
			}
			for data, holds := range lets(one.holds, one.not) {
				if got := pgtest.Value[bool](t, super, "select jsonb_path_match($1, $2::text::jsonpath, '{}', true) is true", data, path); got != holds {
					t.Errorf("%s over %s is %t", path, data, got)
				}
			}
		}
	}
	if got := sqlstate(t, ann, "select tinydev_lib.check_condition('never')"); got != "TD422" {
		t.Errorf("another word raised %s", got)
	}
	condition := func(call string) string {
		t.Helper()
		return pgtest.Value[string](t, ann, "select coalesce("+call+" ->> 'condition', 'none')")
	}
	if got := condition("tinydev.create_trigger('c', condition => 'changed')"); got != `!($."changed" == false)` {
		t.Errorf("a trigger has %s", got)
	}
	if got := condition("tinydev.create_trigger('a', condition => 'always')"); got != "none" {
		t.Errorf("a trigger has %s", got)
	}
	if got := condition("tinydev.create_subscription('s', 'webhook', 'https://example.org/', condition => 'not empty')"); got != `($."rows" > 0)` {
		t.Errorf("a subscription has %s", got)
	}
	if got := condition("tinydev.alter_subscription('s', condition => 'changed')"); got != `!($."changed" == false)` {
		t.Errorf("a subscription has %s", got)
	}
	if got := condition("tinydev.alter_subscription('s', condition => 'always')"); got != "none" {
		t.Errorf("a subscription has %s", got)
	}
}

// lets gives each text with whether it is let through.
func lets(through, not []string) map[string]bool {
	all := map[string]bool{}
	for _, one := range through {
		all[one] = true
	}
	for _, one := range not {
		all[one] = false
	}
	return all
}
