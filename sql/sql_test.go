package sql_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

var update = flag.Bool("update", false, "rewrite the golden file")

func TestMain(m *testing.M) { pgtest.Main(m) }

// TestSQL runs each file of tests as Ann, in a transaction that is rolled back; a failed ASSERT fails it.
func TestSQL(t *testing.T) {
	files, err := filepath.Glob("tests/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("no SQL tests: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".sql"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := pgtest.Tx(t, pgtest.Ann).Conn().PgConn().Exec(context.Background(), string(text)).ReadAll(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestEveryFunctionHasAComment holds that \df+ tinydev.* reads like a manual page.
func TestEveryFunctionHasAComment(t *testing.T) {
	t.Parallel()
	missing := pgtest.Value[[]string](t, pgtest.DB(t).Superuser(), `
select coalesce(array_agg(line order by line), '{}') from (
  select 'function ' || p.oid::regprocedure as line from pg_proc p
   where p.pronamespace in ('tinydev'::regnamespace, 'tinydev_lib'::regnamespace, 'tinydev_impl'::regnamespace) and obj_description(p.oid, 'pg_proc') is null and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
  union all select 'relation ' || c.oid::regclass from pg_class c
   where c.relnamespace = 'tinydev'::regnamespace and c.relkind in ('r', 'v') and obj_description(c.oid, 'pg_class') is null
  union all select 'parameter of ' || p.oid::regprocedure from pg_proc p
   where p.pronamespace = 'tinydev'::regnamespace and p.pronargs > 0 and (p.proargnames is null or exists (select from unnest(p.proargnames) a where a = '' or a like 'p\_%'))
) lines`)
	if len(missing) > 0 {
		t.Errorf("without a comment or with a parameter name that people would not type:\n%s", strings.Join(missing, "\n"))
	}
}

// TestRights holds what each role may do, and that every security definer function fixes its search_path.
func TestRights(t *testing.T) {
	t.Parallel()
	super := pgtest.DB(t).Superuser()
	for what, query := range map[string]string{
		"definer functions without a search_path": `select array_agg(p.oid::regprocedure::text) from pg_proc p
			where p.pronamespace in ('tinydev'::regnamespace, 'tinydev_lib'::regnamespace, 'tinydev_impl'::regnamespace) and p.prosecdef
			  and not coalesce(p.proconfig, '{}') @> array['search_path=pg_catalog, pg_temp']`,
		"functions open to the public": `select array_agg(p.oid::regprocedure::text) from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) g
			where p.pronamespace in ('tinydev'::regnamespace, 'tinydev_lib'::regnamespace, 'tinydev_impl'::regnamespace) and g.grantee = 0`,
		"objects that do not belong to us": `select array_agg(c.oid::regclass::text) from pg_class c
			where c.relnamespace in ('tinydev'::regnamespace, 'tinydev_lib'::regnamespace, 'tinydev_impl'::regnamespace) and c.relkind in ('r', 'p', 'v')
			  and pg_get_userbyid(c.relowner) <> case c.oid::regclass::text when 'tinydev.event' then 'tinydev_reader' when 'tinydev.delivery' then 'tinydev_reader' when 'tinydev.run' then 'tinydev_reader' else 'tinydev_owner' end`,
		"private functions that users may call": `select array_agg(p.oid::regprocedure::text) from pg_proc p
			where p.pronamespace = 'tinydev_impl'::regnamespace and has_function_privilege('tinydev_user', p.oid, 'execute')
			  and p.proname not in ('may_see_event', 'visible_data', 'waiting_events')`,
		"private relations that users may read": `select array_agg(c.oid::regclass::text) from pg_class c
			where c.relnamespace = 'tinydev_impl'::regnamespace and c.relkind in ('r', 'p') and has_table_privilege('tinydev_user', c.oid, 'select, insert, update, delete')`,
		"tables in tinydev without row security": `select array_agg(c.oid::regclass::text) from pg_class c
			where c.relnamespace = 'tinydev'::regnamespace and c.relkind in ('r', 'p') and not c.relrowsecurity`,
		"views in tinydev without a barrier": `select array_agg(c.oid::regclass::text) from pg_class c
			where c.relnamespace = 'tinydev'::regnamespace and c.relkind = 'v' and not coalesce(c.reloptions, '{}') @> array['security_barrier=true']
			  and c.oid not in ('tinydev.event'::regclass, 'tinydev.delivery'::regclass, 'tinydev.run'::regclass)`,
		"owners of views without a barrier that row security does not bind": `select array_agg(r.rolname::text) from pg_class c join pg_roles r on r.oid = c.relowner
			where c.oid in ('tinydev.event'::regclass, 'tinydev.delivery'::regclass, 'tinydev.run'::regclass) and (r.rolsuper or r.rolbypassrls or r.rolname <> 'tinydev_reader')`,
		"tables that the owner of those views may read without row security": `select array_agg(c.oid::regclass::text) from pg_class c
			where c.relkind in ('r', 'p') and c.relnamespace in ('tinydev'::regnamespace, 'tinydev_impl'::regnamespace) and not c.relrowsecurity
			  and has_any_column_privilege('tinydev_reader', c.oid, 'select')`,
		"roles that may write to cron.job": `select array_agg(r.rolname::text) from pg_roles r
			where not r.rolsuper and r.rolname not like 'pg\_%' and has_table_privilege(r.oid, 'cron.job', 'insert, update')`,
		"users who may drop others' events or jobs": `select array_agg(r) from unnest(array['tinydev_user', 'tinydev_admin', 'tinydev_server']) r where has_table_privilege(r, 'cron.job', 'delete')`,
		"views made of an option that PostgreSQL 12 lacks": `select array_agg(c.oid::regclass::text) from pg_class c
			where c.relnamespace = 'tinydev'::regnamespace and c.reloptions::text like '%security_invoker%'`,
	} {
		if found := pgtest.Value[[]string](t, super, query); len(found) > 0 {
			t.Errorf("%s: %v", what, found)
		}
	}
}

// TestGoldenAPI compares what people may call and read, with its comments and rights, with the golden file: the diff is the review of
// a change.
func TestGoldenAPI(t *testing.T) {
	t.Parallel()
	lines := pgtest.Value[[]string](t, pgtest.DB(t).Superuser(), `
select array_agg(line order by line) from (
  select format(E'%s %s(%s)%s\n  for %s%s\n  %s\n', case p.prokind when 'p' then 'procedure' else 'function' end, p.oid::regproc, pg_get_function_arguments(p.oid),
           coalesce(' returns ' || pg_get_function_result(p.oid), ''),
           (select string_agg(distinct g.grantee::regrole::text, ', ' order by g.grantee::regrole::text) from aclexplode(p.proacl) g where g.grantee <> p.proowner),
           case when p.prosecdef then ', as ' || pg_get_userbyid(p.proowner) else '' end, replace(obj_description(p.oid, 'pg_proc'), E'\n', E'\n  ')) as line
    from pg_proc p where p.pronamespace = 'tinydev'::regnamespace
  union all
  select format(E'%s %s (%s)\n  for %s\n  %s\n', case c.relkind when 'v' then 'view' else 'table' end, c.oid::regclass,
           (select string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' order by a.attnum) from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
           (select string_agg(distinct g.grantee::regrole || ' ' || lower(g.privilege_type), ', ' order by g.grantee::regrole || ' ' || lower(g.privilege_type)) from aclexplode(c.relacl) g where g.grantee <> c.relowner),
           replace(obj_description(c.oid, 'pg_class'), E'\n', E'\n  '))
    from pg_class c where c.relnamespace = 'tinydev'::regnamespace and c.relkind in ('r', 'v')
) lines`)
	got := strings.Join(lines, "\n")
	if *update {
		if err := os.WriteFile("testdata/api.txt", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/api.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the SQL API differs from testdata/api.txt; see with: make golden, git diff")
	}
}
