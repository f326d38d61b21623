package control_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// TestShadowing holds that what runs with our rights takes nothing from a caller's search_path, temporary schema or settings: eve shadows
// every function of one or two common arguments, the operators and our tables, sets what changes the meaning of SQL, and calls each function that
// she may call and that runs as somebody else, and reads each view.
func TestShadowing(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	ctx, super, eve := context.Background(), db.Superuser(), db.Conn(pgtest.Eve)
	run(t, super, "create schema canary", "create table canary.seen (at timestamptz default clock_timestamp(), who name default current_user, login name default session_user, place text)",
		"grant usage on schema canary to public")
	run(t, eve, "create table loot (who name default current_user, login name default session_user, place text)", "grant usage on schema eve to public", "grant insert on loot to public",
		// What runs with rights that are not eve's leaves a row in canary.seen, or one of another's name in eve.loot.
		`create function touch(place text) returns void language plpgsql as $$
begin
  if current_user <> 'eve' then
    insert into eve.loot (place) values (touch.place);
  end if;
  begin
    insert into canary.seen (place) values (touch.place);
  exception when insufficient_privilege then
    null;
  end;
end $$`, "grant execute on function touch(text) to public")
	shadows := pgtest.Value[[]string](t, super, `
select array_agg(distinct format('create function %s.%I(%s) returns %s language plpgsql as %L', s.schema, p.proname, pg_get_function_identity_arguments(p.oid),
         format_type(p.prorettype, null), 'begin perform eve.touch(' || quote_literal(p.proname) || '); return null; end'))
  from pg_proc p, unnest(array['eve', 'pg_temp']) as s(schema)
 where p.pronamespace = 'pg_catalog'::regnamespace and p.prokind = 'f' and not p.proretset and p.provariadic = 0
   and p.proname in ('now', 'clock_timestamp', 'current_database', 'current_setting', 'pg_has_role', 'has_table_privilege', 'pg_get_userbyid', 'format_type', 'quote_ident', 'quote_literal',
     'lower', 'upper', 'length', 'octet_length', 'md5', 'replace', 'split_part', 'array_length', 'cardinality', 'to_regclass', 'date_part', 'age', 'jsonb_typeof', 'jsonb_array_length', 'left', 'right', 'btrim',
     'rtrim', 'ltrim', 'to_char', 'to_regtype', 'parse_ident', 'pg_backend_pid', 'txid_current', 'encode', 'sha256', 'convert_to', 'array_to_string', 'obj_description', 'substr', 'strpos', 'position', 'pg_notify',
     'regexp_replace', 'regexp_match', 'version', 'random', 'pg_relation_size', 'pg_total_relation_size', 'text', 'int4', 'name', 'jsonb_strip_nulls', 'to_jsonb')
   and not exists (select from unnest(p.proargtypes) a join pg_type y on y.oid = a where y.typtype = 'p') and p.prorettype not in (select oid from pg_type where typtype = 'p')`)
	if len(shadows) < 100 {
		t.Fatalf("only %d shadows", len(shadows))
	}
	for _, operator := range []string{"=", "<>", "||", "->", "->>", "~", "!~", "<", ">", "+", "-", "@>"} {
		for _, types := range [][3]string{{"text", "text", "textop"}, {"name", "name", "nameop"}, {"bigint", "bigint", "bigop"}, {"integer", "integer", "intop"}, {"oid", "oid", "oidop"}, {"jsonb", "text", "jsonop"}, {"name", "text", "nameop2"}, {"timestamptz", "timestamptz", "timeop"}} {
			function := fmt.Sprintf("%s_%x", types[2], operator)
			shadows = append(shadows, fmt.Sprintf(`create function eve.%q(a %s, b %s) returns boolean language plpgsql as $$ begin perform eve.touch(%s); return true; end $$`, function, types[0], types[1], "'operator "+operator+"'"),
				fmt.Sprintf("create operator eve.%s (leftarg = %s, rightarg = %s, function = eve.%q)", operator, types[0], types[1], function))
		}
	}
	for _, sql := range shadows {
		if _, err := eve.Exec(ctx, sql); err != nil && !strings.Contains(sql, "pg_temp") {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	// Tables and types of ours and of PostgreSQL's, as temporary ones and in the path.
	for _, schema := range []string{"pg_temp", "eve"} {
		for _, name := range pgtest.Value[[]string](t, super, `select array_agg(distinct relname::text) from pg_class where relnamespace in ('tinydev'::regnamespace, 'tinydev_impl'::regnamespace, 'cron'::regnamespace)
			 and relkind in ('r', 'v') or relname in ('pg_class', 'pg_roles', 'pg_auth_members', 'pg_namespace', 'pg_proc', 'pg_stat_activity', 'pg_locks')`) {
			if _, err := eve.Exec(ctx, fmt.Sprintf("create table %s.%q as select 'tinydev_user'::name as rolname, 'x'::text as name, true as rolsuper, 0 as oid, 0 as member", schema, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	run(t, super, "delete from canary.seen", "delete from eve.loot")

	calls := pgtest.Value[[]string](t, super, `
select array_agg(case p.prokind when 'p' then 'call ' else 'select ' end || p.oid::regproc || '(' ||
         (select coalesce(string_agg(case format_type(a.type, null)
             when 'text' then case when a.n = 1 and p.proname not in ('check_query', 'require_query') or p.proname in ('refresh_counted', 'refresh_tracked') then '''eve.friends''' else '''select 1''' end when 'name' then '''eve''' when 'jsonb' then '''{}''' when 'boolean' then 'true' when 'oid' then '''eve.friends''::regclass::oid'
             when 'timestamp with time zone' then 'now()' when 'interval' then '''1 hour''' when 'text[]' then '''{read}''' when 'integer' then '1' when 'bigint' then '1' when 'event_trigger' then '' else 'null' end
             || '::' || format_type(a.type, null), ', ' order by a.n), '')
            from unnest(p.proargtypes) with ordinality a(type, n)) || ')' order by p.oid)
  from pg_proc p
 where p.pronamespace in ('tinydev'::regnamespace, 'tinydev_lib'::regnamespace, 'tinydev_impl'::regnamespace) and has_function_privilege('eve', p.oid, 'execute')
   and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)`)
	calls = append(calls, pgtest.Value[[]string](t, super, `select array_agg(format('select * from %s', c.oid::regclass)) from pg_class c where c.relnamespace = 'tinydev'::regnamespace and c.relkind in ('r', 'v') and has_table_privilege('eve', c.oid, 'select')`)...)
	calls = append(calls, "create table eve.made ()", "create materialized view eve.made_view as select 1 as a", "select cron.schedule_in_database('x', '* * * * *', 'select 1', current_database())", "drop materialized view eve.made_view", "drop table eve.made")
	settings := [][]string{
		{"set search_path = eve, pg_temp, pg_catalog"},
		{"set search_path = pg_temp, eve, pg_catalog", "set standard_conforming_strings = off", "set escape_string_warning = off", "set quote_all_identifiers = on", "set transform_null_equals = on", "set backslash_quote = on",
			"set bytea_output = escape", "set datestyle = 'German'", "set intervalstyle = 'sql_standard'", "set extra_float_digits = 0", "set array_nulls = off", "set row_security = off", "set check_function_bodies = off",
			"set default_transaction_isolation = serializable", "set plpgsql.extra_errors = 'all'", "set lc_numeric = 'C'", "set timezone = 'Asia/Kolkata'", "set xmlbinary = hex"},
	}
	for _, set := range settings {
		run(t, eve, "create table if not exists eve.friends (a integer primary key)")
		run(t, eve, set...)
		for _, sql := range calls {
			_, err := eve.Exec(ctx, sql)
			if code := sqlState(err); code == "42883" || code == "42P01" || code == "XX000" || code == "42601" {
				t.Errorf("under %s: %s: %v", set[0], sql, err) // something was looked up elsewhere, or read otherwise
			}
			if eve.PgConn().TxStatus() != 'I' {
				run(t, eve, "rollback")
			}
		}
		run(t, eve, "reset all")
	}
	if len(calls) < 20 {
		t.Errorf("only %d calls", len(calls))
	}
	for _, table := range []string{"canary.seen", "eve.loot"} {
		if found := pgtest.Value[[]string](t, super, "select coalesce(array_agg(distinct who || ' in ' || place), '{}') from "+table); len(found) > 0 {
			t.Errorf("eve's code ran as %q", found)
		}
	}
}

// TestNoBackslashes holds that no literal of ours reads otherwise with standard_conforming_strings off, which any user may set and
// which binds the bodies of functions too.
func TestNoBackslashes(t *testing.T) {
	t.Parallel()
	for _, found := range pgtest.Value[[]string](t, pgtest.DB(t).Superuser(), `
select coalesce(array_agg(p.oid::regprocedure::text order by 1), '{}') from pg_proc p
 where p.pronamespace in ('tinydev'::regnamespace, 'tinydev_lib'::regnamespace, 'tinydev_impl'::regnamespace)
   and regexp_replace(p.prosrc, $re$\m[eE]'(?:[^']|'')*'$re$, '', 'g') like '%\\%'`) {
		t.Errorf("%s has a backslash in a literal without E", found)
	}
}
