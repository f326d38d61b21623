package schema_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
	"github.com/tinydevcrm/tinydevcrm/pkg/schema"
	"github.com/tinydevcrm/tinydevcrm/sql"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// source copies the embedded SQL, so that a test can change it.
func source(t *testing.T) (src *schema.Source, migrations, functions fstest.MapFS) {
	t.Helper()
	read := func(from fs.FS, dir string) fstest.MapFS {
		files := fstest.MapFS{}
		entries, err := fs.ReadDir(from, dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			text, err := fs.ReadFile(from, dir+"/"+e.Name())
			if err != nil {
				t.Fatal(err)
			}
			files[e.Name()] = &fstest.MapFile{Data: text}
		}
		return files
	}
	migrations, functions = read(sql.Migrations, "migrations"), read(sql.Functions, "functions")
	return &schema.Source{Migrations: migrations, Functions: functions, Grants: sql.Grants}, migrations, functions
}

func install(db *pgtest.Database, opts schema.Options) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := postgres.Connect(ctx, db.URL("tinydev_superuser"), "test")
	if err != nil {
		return err
	}
	return schema.Install(ctx, conn, opts)
}

// next adds a migration behind the last one.
func next(migrations fstest.MapFS, text string) {
	migrations[fmt.Sprintf("%03d_next.sql", len(migrations)+1)] = &fstest.MapFile{Data: []byte(text)}
}

// catalogue lists what the schemas hold, with its bodies and grants, to compare before and after.
func catalogue(t *testing.T, conn *pgx.Conn) string {
	t.Helper()
	return pgtest.Value[string](t, conn, `
select string_agg(line, E'\n' order by line) from (
  select format('%s %s %s %s', n.nspname, c.relname, c.relkind, (select array_agg(a order by a::text) from unnest(c.relacl) a)) as line
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname in ('tinydev', 'tinydev_lib', 'tinydev_impl', 'public') or n.nspname !~ '^(pg_|information_schema|cron)'
  union all select format('%s %s %s %s %s', p.oid::regprocedure, md5(p.prosrc), (select array_agg(a order by a::text) from unnest(p.proacl) a), p.prosecdef, pg_get_userbyid(p.proowner))
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname in ('tinydev', 'tinydev_lib', 'tinydev_impl')
  union all select format('version %s', version) from tinydev_impl.schema_version) as lines`)
}

func TestInstallAgainChangesNothing(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	before := catalogue(t, db.Superuser())
	if err := install(db, schema.Options{}); err != nil {
		t.Fatal(err)
	}
	src, _, functions := source(t)
	functions["fault.sql"].Data = append(functions["fault.sql"].Data, "\n-- another digest\n"...)
	if err := install(db, schema.Options{Source: src}); err != nil {
		t.Fatalf("apply all functions again: %v", err)
	}
	if after := catalogue(t, db.Superuser()); after != before {
		t.Errorf("installing again changed the catalogue:\n%s\n---\n%s", before, after)
	}
}

func TestEightAtOnce(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	src, migrations, _ := source(t)
	next(migrations, "set local role tinydev_owner; create table tinydev_impl.later (a int); reset role;")
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Add(1)
		go func() {
			defer wg.Done()
			errs[i] = install(db, schema.Options{Source: src})
		}()
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if !pgtest.Value[bool](t, db.Superuser(), "select to_regclass('tinydev_impl.later') is not null") {
		t.Error("none of eight ran the migration")
	}
}

func TestFailureLeavesAllAsItWas(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	before := catalogue(t, db.Superuser())
	for what, spoil := range map[string]func(migrations, functions fstest.MapFS){
		"migration": func(migrations, _ fstest.MapFS) { next(migrations, "create table public.half_done (); select 1/0;") },
		"function": func(migrations, functions fstest.MapFS) {
			next(migrations, "create table public.half_done ();")
			functions["zz.sql"] = &fstest.MapFile{Data: []byte("create or replace function tinydev.zz() returns nonsense language sql as 'select 1'")}
		},
	} {
		src, migrations, functions := source(t)
		spoil(migrations, functions)
		if err := install(db, schema.Options{Source: src}); err == nil {
			t.Errorf("a failing %s is no error", what)
		}
		if after := catalogue(t, db.Superuser()); after != before {
			t.Errorf("a failing %s changed the catalogue", what)
		}
	}
}

func TestOlderBinaryIsRefused(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	src, migrations, _ := source(t)
	next(migrations, "select 1;")
	if err := install(db, schema.Options{Source: src}); err != nil {
		t.Fatal(err)
	}
	before := catalogue(t, db.Superuser())
	if err := install(db, schema.Options{}); fault.CodeOf(err) != "schema_newer" {
		t.Errorf("install: %v, want schema_newer", err)
	}
	if err := schema.Check(context.Background(), db.Superuser()); fault.CodeOf(err) != "schema_newer" {
		t.Errorf("check: %v, want schema_newer", err)
	}
	if catalogue(t, db.Superuser()) != before {
		t.Error("the refusal changed something")
	}
}

func TestHeldKeyNamesItsHolder(t *testing.T) {
	db := pgtest.DB(t)
	eve := db.Conn(pgtest.Eve)
	if _, err := eve.Exec(context.Background(), "select pg_advisory_lock($1)", schema.LockKey); err != nil {
		t.Fatal(err)
	}
	src, migrations, _ := source(t)
	next(migrations, "select 1;")
	err := install(db, schema.Options{Source: src, LockTimeout: time.Second})
	if e := fault.As(err); e == nil || e.Code != "migration_locked" || !strings.Contains(e.Message, "eve") {
		t.Errorf("%v, want migration_locked that names eve", err)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	server := db.Conn("tinydev_server")
	if err := schema.Check(context.Background(), server); err != nil {
		t.Errorf("the server's login finds %v", err)
	}
	if _, err := db.Superuser().Exec(context.Background(), "drop schema tinydev_impl cascade"); err != nil {
		t.Fatal(err)
	}
	if err := schema.Check(context.Background(), server); fault.CodeOf(err) != "schema_older" {
		t.Errorf("%v, want schema_older", err)
	}
	if err := install(db, schema.Options{}); err == nil {
		t.Error("half a schema was taken for none")
	}
}

func TestNotSuperuser(t *testing.T) {
	t.Parallel()
	conn, err := postgres.Connect(context.Background(), pgtest.DB(t).URL(pgtest.Ann), "test")
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Install(context.Background(), conn, schema.Options{}); fault.CodeOf(err) != "not_superuser" {
		t.Errorf("%v, want not_superuser", err)
	}
}

// TestAdoptsADatabase holds that installing beside somebody's own tables and roles changes nothing of theirs.
func TestAdoptsADatabase(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	ctx, super := context.Background(), db.Superuser()
	// A database as others have it: no trace of ours, an extension, tables, grants to the public.
	for _, text := range []string{
		"drop event trigger tinydev_drop", "drop schema tinydev, tinydev_lib, tinydev_impl cascade", "delete from cron.job",
		"create role shop_app_" + db.Name, "create table public.orders (id int primary key, note text)", "insert into public.orders values (1, 'x')",
		"grant select on public.orders to shop_app_" + db.Name, "create function public.f() returns int language sql as 'select 1'",
		"grant create on schema public to public", "grant connect, temporary on database " + db.Name + " to public",
		"select cron.schedule_in_database('theirs', '0 0 * * *', 'select 1', current_database(), 'tinydev_server')",
	} {
		if _, err := super.Exec(ctx, text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	const theirs = `select jsonb_agg(line order by line)::text from (
  select format('%s %s %s', c.relname, c.relacl, pg_get_userbyid(c.relowner)) as line from pg_class c where c.relnamespace = 'public'::regnamespace
  union all select format('%s %s', oid::regprocedure, proacl) from pg_proc where pronamespace = 'public'::regnamespace
  union all select format('%s %s', nspname, nspacl) from pg_namespace where nspname = 'public'
  union all select format('database %s', array(select a from unnest(datacl) a where a::text !~ '^tinydev_' order by a::text)) from pg_database where datname = current_database()
  union all select format('job %s %s %s', jobname, schedule, command) from cron.job where jobname = 'theirs') lines`
	before := pgtest.Value[string](t, super, theirs)
	if err := install(db, schema.Options{}); err != nil {
		t.Fatal(err)
	}
	if after := pgtest.Value[string](t, super, theirs); after != before {
		t.Errorf("adopting changed\n%s\ninto\n%s", before, after)
	}
	if n := pgtest.Value[int](t, super, "select count(*)::int from public.orders"); n != 1 {
		t.Errorf("%d rows are left of 1", n)
	}
}
