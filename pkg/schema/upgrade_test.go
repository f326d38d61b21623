package schema_test

import (
	"context"
	"io/fs"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/schema"
)

// released gives the SQL of a schema version that was released.
func released(t *testing.T, file string) *schema.Source {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	files, err := txtar.FS(archive)
	if err != nil {
		t.Fatal(err)
	}
	migrations, err := fs.Sub(files, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	functions, err := fs.Sub(files, "functions")
	if err != nil {
		t.Fatal(err)
	}
	grants, err := fs.ReadFile(files, "grants.sql")
	if err != nil {
		t.Fatal(err)
	}
	return &schema.Source{Migrations: migrations, Functions: functions, Grants: string(grants)}
}

// TestUpgrade brings a database that the first release made, with a user, data and a job in it, to this version: all stays, and the
// catalogue is that of a new installation. It runs alone: two that install at once, in two databases, alter the same roles.
func TestUpgrade(t *testing.T) {
	ctx := context.Background()
	fresh := pgtest.DB(t)
	want := catalogue(t, fresh.Superuser())

	db := pgtest.DB(t)
	super := db.Superuser()
	if _, err := super.Exec(ctx, `
drop event trigger if exists tinydev_drop, tinydev_ddl;
drop schema tinydev, tinydev_lib, tinydev_impl cascade;
delete from cron.job`); err != nil {
		t.Fatal(err)
	}
	if err := install(db, schema.Options{Source: released(t, "testdata/version3.txtar")}); err != nil {
		t.Fatalf("install the first release: %v", err)
	}
	// One who has no limits, and one who has one.
	if _, err := super.Exec(ctx, `create role old_plain login; create role old_set login connection limit 3; grant tinydev_user to old_plain, old_set;
alter role old_set set work_mem = '9MB'`); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if _, err := super.Exec(context.Background(), "drop role old_plain, old_set"); err != nil {
			t.Error(err)
		}
	}()
	bob := db.Conn(pgtest.Bob)
	for _, sql := range []string{
		"create table t as select 1 as a",
		"select tinydev.create_view('v', 'select * from t')",
		"select tinydev.schedule('v', '* * * * *')",
		"call tinydev.refresh('v')",
	} {
		if _, err := bob.Exec(ctx, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	if _, err := super.Exec(ctx, `select tinydev_impl.place(); select tinydev_impl.put_token('bob', 'laptop', repeat('a', 64)); create view public.mine as select * from tinydev.event`); err != nil {
		t.Fatal(err)
	}
	before := pgtest.Value[string](t, bob, "select jsonb_agg(to_jsonb(e) order by position)::text from tinydev.event e")

	if err := install(db, schema.Options{}); err != nil {
		t.Fatalf("upgrade: %v", err)
	}
	for name, want := range map[string]string{"old_plain": "20 64 4096", "old_set": "3 9 4096"} {
		if got := pgtest.Value[string](t, super, "select concat_ws(' ', connections, work_mem_mb, temp_file_mb) from tinydev.user where name = $1", name); got != want {
			t.Errorf("%s has the limits %s", name, got)
		}
	}
	if after := pgtest.Value[string](t, bob, "select jsonb_agg(to_jsonb(e) order by position)::text from tinydev.event e"); after != before {
		t.Errorf("the events changed:\n%s\n%s", before, after)
	}
	if n := pgtest.Value[int](t, bob, "select count(*)::int from tinydev.job where view = 'bob.v' and active"); n != 1 {
		t.Errorf("%d jobs", n)
	}
	if n := pgtest.Value[int](t, super, "select count(*)::int from public.mine"); n == 0 {
		t.Error("a view over ours is empty")
	}
	if _, err := bob.Exec(ctx, "call tinydev.refresh('v')"); err != nil {
		t.Error(err)
	}
	if _, err := super.Exec(ctx, "drop view public.mine; drop schema bob cascade; create schema bob authorization bob"); err != nil {
		t.Fatal(err)
	}
	if got := catalogue(t, super); got != want {
		t.Errorf("an upgraded catalogue is another than a new one:\n%s\n---\n%s", got, want)
	}
}
