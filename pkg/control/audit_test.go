package control_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

// run runs statements one by one.
func run(t testing.TB, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		if _, err := conn.Exec(context.Background(), sql); err != nil {
			t.Fatalf("%s: %v", sql, postgres.Fault(err, ""))
		}
	}
}

// unaudited gives a database whose audit is empty: making the test users left entries.
func unaudited(t testing.TB) *pgtest.Database {
	t.Helper()
	db := pgtest.DB(t)
	run(t, db.Superuser(), "truncate tinydev_impl.audit")
	return db
}

// audited gives what the audit holds, oldest first, as "actor door action subject".
func audited(t testing.TB, db *pgtest.Database) []string {
	t.Helper()
	return pgtest.Value[[]string](t, db.Superuser(), `
select coalesce(array_agg(concat_ws(' ', actor, door, action, subject) order by audit_id), '{}') from tinydev_impl.audit where actor <> 'tinydev_server'`)
}

// wantAudit compares what was audited since the last call with want.
func wantAudit(t testing.TB, db *pgtest.Database, want ...string) {
	t.Helper()
	got := audited(t, db)
	if !slices.Equal(got, want) {
		t.Errorf("audited:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	run(t, db.Superuser(), "truncate tinydev_impl.audit")
}

func sha(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func TestAuditOfDefinitions(t *testing.T) {
	t.Parallel()
	db := unaudited(t)
	bob, super := db.Conn(pgtest.Bob), db.Superuser()
	create := `create table "T 1" (id serial primary key, a text)`
	run(t, bob, create)
	if got := pgtest.Value[string](t, super, `select sql_sha256 from tinydev_impl.audit where action = 'create table'`); got != sha(create) {
		t.Errorf("the statement's hash is %s", got)
	}
	wantAudit(t, db, `bob sql create sequence bob."T 1_id_seq"`, `bob sql create table bob."T 1"`, `bob sql create index bob."T 1_pkey"`, `bob sql alter sequence bob."T 1_id_seq"`)

	run(t, bob, `create materialized view v as select 1 as a`, `create unique index on v (a)`, `create function f() returns int language sql as 'select 1'`, `comment on function f() is 'one'`)
	for action, query := range map[string]string{
		"create materialized view": "select pg_get_viewdef('bob.v'::regclass)",
		"create function":          "select pg_get_functiondef('bob.f'::regproc)",
		"create index":             "select pg_get_indexdef('bob.v_a_idx'::regclass)",
	} {
		want := sha(pgtest.Value[string](t, super, query))
		if got := pgtest.Value[string](t, super, "select sql_sha256 from tinydev_impl.audit where action = $1", action); got != want {
			t.Errorf("%s: the hash is not of what came out", action)
		}
	}
	wantAudit(t, db, "bob sql create materialized view bob.v", "bob sql create index bob.v_a_idx", "bob sql create function bob.f()", "bob sql comment bob.f()")

	// What is refreshed, temporary or rolled back leaves nothing; a user cannot make subjects look otherwise.
	run(t, bob, "refresh materialized view concurrently v", "create temporary table t (a int)", "create index on t (a)", "drop table t",
		"begin", "create table gone ()", "rollback", "set quote_all_identifiers = on", "create table quoted ()", "reset quote_all_identifiers")
	wantAudit(t, db, "bob sql create table bob.quoted")

	run(t, bob, "drop table quoted", "alter table \"T 1\" drop column a", "drop function f()", "drop materialized view v")
	wantAudit(t, db, "bob sql drop table bob.quoted", `bob sql drop table column bob."T 1".a`, `bob sql alter table bob."T 1"`, "bob sql drop function bob.f()", "bob sql drop materialized view bob.v")

	// Nobody else's: superusers' in an adopted database are not ours.
	run(t, super, "create table public.mine (a int)", "drop table public.mine")
	wantAudit(t, db)
}

func TestAuditOfGrants(t *testing.T) {
	t.Parallel()
	db := unaudited(t)
	bob := db.Conn(pgtest.Bob)
	run(t, bob, "create table a (x int)", "create table b (x int)", "create function f() returns int language sql as 'select 1'")
	run(t, db.Superuser(), "truncate tinydev_impl.audit")
	run(t, bob, "grant select on a to eve", "grant usage on schema bob to eve", "revoke execute on function f() from public", "grant update (x) on b to eve")
	wantAudit(t, db, "bob sql grant bob.a", "bob sql grant bob", "bob sql revoke bob.f()", "bob sql grant bob.b.x")

	// In subtransactions, several at once, and none twice.
	run(t, bob, `do $$ begin begin execute 'grant insert on all tables in schema bob to eve'; exception when others then raise; end; execute 'grant select on b to eve'; end $$`)
	wantAudit(t, db, "bob sql grant bob.a", "bob sql grant bob.b", "bob sql grant bob.b")

	run(t, bob, "revoke select on a from eve")
	if acl := pgtest.Value[string](t, db.Superuser(), "select detail ->> 'acl' from tinydev_impl.audit"); acl != `["bob=arwdDxt/bob", "eve=a/bob"]` && acl != `["bob=arwdDxtm/bob", "eve=a/bob"]` {
		t.Errorf("the access list is %s", acl)
	}
	wantAudit(t, db, "bob sql revoke bob.a")

	// Who got and who lost, once it is known what was before.
	run(t, bob, "grant select on b to eve", "revoke all on b from eve")
	if changed := pgtest.Value[string](t, db.Superuser(), "select string_agg(format('%s %s %s', action, detail -> 'added', detail -> 'removed'), '; ' order by audit_id) from tinydev_impl.audit where action = 'revoke'"); changed != `revoke  ["eve=ar/bob"]` {
		t.Errorf("it changed %s", changed)
	}
	run(t, db.Superuser(), "truncate tinydev_impl.audit")
	run(t, bob, "alter default privileges grant select on tables to eve")
	wantAudit(t, db, "bob sql alter default privileges ")
}

func TestAuditOfOurTables(t *testing.T) {
	t.Parallel()
	db := unaudited(t)
	server, super, bob := db.Conn("tinydev_server"), db.Superuser(), db.Conn(pgtest.Bob)
	secret := strings.Repeat("ab", 32)
	run(t, server, fmt.Sprintf("select tinydev_impl.register_token('bob', 'laptop', '%s', 'td_')", secret), fmt.Sprintf("select tinydev_impl.register_token('bob', 'laptop', '%s', 'td_')", strings.Repeat("cd", 32)))
	run(t, super, "update tinydev_impl.token set last_used_at = now()", // nobody did this
		"insert into tinydev_impl.trust (role_name, owner_name) values ('bob', 'eve')",
		"insert into tinydev_impl.user_limit (role_name, page_rows) values ('bob', 7)",
		"update tinydev_impl.instance set page_rows = 8",
		"update tinydev_impl.instance set sql_sha256 = 'x'",
		"insert into tinydev_impl.identity (issuer, subject, role_name) values ('i', 's', 'bob')",
		"delete from tinydev_impl.token")
	got := pgtest.Value[[]string](t, super, "select array_agg(concat_ws(' ', actor, door, action, subject, detail - array['token_id', 'created_at', 'trusted_at', 'linked_at', 'read_only', 'prefix', 'kind', 'scopes', 'parent_id', 'expires_at', 'last_used_at', 'created_by', 'name'])::text order by audit_id) from tinydev_impl.audit")
	want := []string{
		`tinydev_server server token.created bob/laptop {"role_name": "bob"}`,
		`tinydev_server server token.removed bob/laptop {"role_name": "bob"}`,
		`tinydev_server server token.created bob/laptop {"role_name": "bob"}`,
		`tinydev_superuser sql trust.created eve {"role_name": "bob", "owner_name": "eve"}`,
		`tinydev_superuser sql user_limit.created bob {"page_rows": 7, "role_name": "bob", "running_jobs": null, "statement_seconds": null, "idle_transaction_seconds": null}`,
		`tinydev_superuser sql settings.changed {"page_rows": 8}`,
		`tinydev_superuser sql identity.created bob {"issuer": "i", "subject": "s", "role_name": "bob"}`,
		`tinydev_superuser sql token.removed bob/laptop {"role_name": "bob"}`,
	}
	for i := range got {
		got[i] = strings.ReplaceAll(got[i], "settings.changed  ", "settings.changed ")
	}
	if !slices.Equal(got, want) {
		t.Errorf("audited:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if n := pgtest.Value[int](t, super, "select count(*)::int from tinydev_impl.audit a where a::text like '%' || $1 || '%'", secret); n != 0 {
		t.Error("the audit holds a token's hash")
	}
	run(t, super, "truncate tinydev_impl.audit")

	run(t, bob, "create table friends (a int)",
		`select tinydev.record_upload('friends', jsonb_build_object('is_new', true, 'row_count', 2, 'body_bytes', 3, 'sha256', repeat('a', 64), 'encoding', 'UTF8', 'delimiter', ',', 'columns', '[]'::jsonb, 'duration_ms', 1))`)
	wantAudit(t, db, "bob sql create table bob.friends", "bob sql table.load bob.friends")
}

func TestAuditOfJobs(t *testing.T) {
	t.Parallel()
	db := unaudited(t)
	bob, super, server := db.Conn(pgtest.Bob), db.Superuser(), db.Conn("tinydev_server")
	// pg_cron's functions work where it runs; here its table is what a user's call leads to.
	run(t, super, `
insert into cron.job (schedule, command, nodename, nodeport, database, username, jobname) values ('* * * * *', 'select 1', 'localhost', 5432, current_database(), 'bob', 'mine');
update cron.job set schedule = '0 0 * * *' where jobname = 'mine'; delete from cron.job where jobname = 'mine'`)
	got := pgtest.Value[[]string](t, super, "select array_agg(concat_ws(' ', actor, action, detail ->> 'owner', sql_sha256) order by audit_id) from tinydev_impl.audit")
	want := []string{"tinydev_superuser job.scheduled bob " + sha("* * * * *\nselect 1"), "tinydev_superuser job.altered bob " + sha("0 0 * * *\nselect 1"),
		"tinydev_superuser job.unscheduled bob " + sha("0 0 * * *\nselect 1")}
	if !slices.Equal(got, want) {
		t.Errorf("audited %q, want %q", got, want)
	}
	run(t, super, "truncate tinydev_impl.audit")

	run(t, bob, "create materialized view v as select 1 as a")
	first := pgtest.Value[int64](t, bob, "select (tinydev.schedule('v', '* * * * *') ->> 'job_id')::bigint")
	run(t, bob, fmt.Sprintf("select tinydev.alter_job(%d, active => false)", first), "select tinydev.unschedule('v')")
	second := pgtest.Value[int64](t, bob, "select cron.schedule_in_database('plain', '* * * * *', 'select 2', current_database())")
	wantAudit(t, db, "bob sql create materialized view bob.v", fmt.Sprintf("bob sql job.scheduled job %d", first), fmt.Sprintf("bob sql job.altered job %d", first),
		fmt.Sprintf("bob sql job.unscheduled job %d", first), fmt.Sprintf("bob sql job.scheduled job %d", second))
	// pg_cron deletes below the reach of triggers, so psql's is found later; nobody can keep the upkeep from finding it.
	run(t, bob, "select cron.unschedule('plain')")
	wantAudit(t, db)
	run(t, bob, "begin", "select tinydev_lib.audit_unscheduled()")
	run(t, server, "select tinydev_impl.upkeep()")
	run(t, bob, "rollback")
	run(t, server, "select tinydev_impl.upkeep()")
	wantAudit(t, db, fmt.Sprintf("bob sql job.unscheduled job %d", second))

	// The system's own are not told of, and the trigger never stands in the way of a job.
	run(t, super, `insert into cron.job (schedule, command, nodename, nodeport, database, username) values ('* * * * *', 'select 1', 'localhost', 5432, current_database(), 'tinydev_server')`)
	wantAudit(t, db)
	run(t, super, "alter table tinydev_impl.audit rename to audit_away")
	run(t, bob, "select cron.schedule_in_database('still', '* * * * *', 'select 3', current_database())")
	run(t, super, "alter table tinydev_impl.audit_away rename to audit")
	if n := pgtest.Value[int](t, super, "select count(*)::int from cron.job where jobname = 'still'"); n != 1 {
		t.Error("without an audit there is no job")
	}
}

func TestAuditDoors(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	run(t, db.Superuser(), "truncate tinydev_impl.audit")
	ctx := context.Background()
	must[control.Change[control.Relation]](t)(c.As(pgtest.Ann).CreateTable(ctx, "t", friends, false))
	wantAudit(t, db, `Ann http create table "Ann".t`)

	// Nothing that a session says of itself counts.
	bob := db.Conn(pgtest.Bob)
	run(t, bob, "set application_name = 'pg_cron'", "set session characteristics as transaction isolation level serializable", "create table t ()", "set role tinydev_user", "reset role")
	wantAudit(t, db, "bob sql create table bob.t")
	for _, sql := range []string{
		"select tinydev_impl.claim_session(pg_backend_pid(), 'bob')", "select tinydev_impl.door()", "select tinydev_impl.audit('x', 'y')",
		"select tinydev_impl.audit_sign_in('eve', 'token')", "insert into tinydev_impl.server_session values (pg_backend_pid(), now())",
		"insert into cron.job_run_details (jobid, runid, job_pid, database, username, command, status) values (1, 1, pg_backend_pid(), current_database(), 'bob', '', 'running')",
		"delete from cron.job_run_details",
	} {
		refused(t, bob, sql)
	}

	// A claim holds for the session that it was made for: neither for another role's nor for a later one of the same process id.
	pid := pgtest.Value[int](t, bob, "select pg_backend_pid()")
	server := db.Conn("tinydev_server")
	run(t, server, fmt.Sprintf("select tinydev_impl.claim_session(%d, 'eve')", pid))
	run(t, bob, "create table other ()")
	wantAudit(t, db, "bob sql create table bob.other")
	run(t, server, fmt.Sprintf("select tinydev_impl.claim_session(%d, 'bob')", pid))
	run(t, bob, "create table mine ()")
	wantAudit(t, db, "bob http create table bob.mine")
	run(t, db.Superuser(), fmt.Sprintf("update tinydev_impl.server_session set backend_start = backend_start - interval '1 second' where pid = %d", pid))
	run(t, bob, "create table later ()")
	wantAudit(t, db, "bob sql create table bob.later")
	run(t, server, "select tinydev_impl.upkeep()")
	if n := pgtest.Value[int](t, db.Superuser(), "select count(*)::int from tinydev_impl.server_session where pid = $1", pid); n != 0 {
		t.Error("the claim of a session that is gone is kept")
	}

	run(t, server, "select tinydev_impl.audit_sign_in('bob', 'code')", `select tinydev_impl.audit_sign_in('bob', 'token', 'token_expired', '{"token_id": 7}')`)
	wantAudit(t, db, "bob http sign_in bob", "bob http sign_in.refused bob")
}

func TestAuditDoorOfJobs(t *testing.T) {
	t.Parallel()
	db := pgtest.Live(t)
	bob := db.Conn(pgtest.Bob)
	run(t, bob, "create table source (a int)", "select cron.schedule('build', '* * * * *', 'create table bob.built as select * from bob.source')")
	pgtest.Eventually(t, 90*time.Second, "the job made its table", func() bool {
		return pgtest.Value[bool](t, bob, "select to_regclass('bob.built') is not null")
	})
	got := audited(t, db)
	if len(got) < 3 || !slices.Contains(got, "bob job create table as bob.built") {
		t.Errorf("audited %q", got)
	}
}

// refused holds that PostgreSQL says no to a statement for want of a right.
func refused(t testing.TB, conn *pgx.Conn, sql string) {
	t.Helper()
	_, err := conn.Exec(context.Background(), sql)
	if code := sqlState(err); code != "42501" {
		t.Errorf("as %s: %s: %q %v, want 42501", conn.Config().User, sql, code, err)
	}
}

func TestAuditIsClosed(t *testing.T) {
	t.Parallel()
	db := unaudited(t)
	run(t, db.Conn(pgtest.Bob), "create table t ()")
	for _, role := range []string{pgtest.Bob, pgtest.Admin, "tinydev_server"} {
		conn := db.Conn(role)
		for _, sql := range []string{
			"insert into tinydev_impl.audit (actor, door, action) values ('eve', 'sql', 'x')", "update tinydev_impl.audit set actor = 'eve'", "delete from tinydev_impl.audit",
			"truncate tinydev_impl.audit", "select * from tinydev_impl.audit", "do $$ begin lock table tinydev_impl.audit; end $$", "drop table tinydev_impl.audit",
			"insert into tinydev.audit (actor, door, action) values ('eve', 'sql', 'x')", "update tinydev.audit set actor = 'eve'", "delete from tinydev.audit", "drop view tinydev.audit",
			"alter event trigger tinydev_ddl disable", "drop event trigger tinydev_ddl", "drop event trigger tinydev_drop", "alter table cron.job disable trigger all",
			"drop trigger t80_tinydev_audit on cron.job", "alter table tinydev_impl.token disable trigger all", "drop function tinydev_impl.on_ddl() cascade",
			"set session_replication_role = 'replica'", "alter function tinydev_impl.audit_ddl() set lock_timeout = 1", "set role tinydev_owner", "set session authorization eve",
			"create event trigger x on ddl_command_end execute function tinydev_impl.on_ddl()",
		} {
			refused(t, conn, sql)
		}
	}
	refused(t, db.Conn(pgtest.Bob), "select * from tinydev.audit")
	refused(t, db.Conn("tinydev_server"), "select * from tinydev.audit")
	if n := pgtest.Value[int](t, db.Conn(pgtest.Admin), "select count(*)::int from tinydev.audit where actor = 'bob'"); n != 1 {
		t.Errorf("an administrator sees %d entries", n)
	}
}

// TestDefinitionsGoOnWithoutAudit holds that a broken or locked audit stops nobody's work.
func TestDefinitionsGoOnWithoutAudit(t *testing.T) {
	t.Parallel()
	db := unaudited(t)
	bob, super := db.Conn(pgtest.Bob), db.Superuser()
	run(t, super, "alter function tinydev_impl.audit_ddl() set lock_timeout = '50ms'", "alter function tinydev_impl.audit_drop() set lock_timeout = '50ms'")
	broken := []string{"alter table tinydev_impl.audit rename to audit_away", "alter table tinydev_impl.audit add check (action = '') not valid", "drop function tinydev_impl.door() cascade", "lock table tinydev_impl.audit"}
	for i, sql := range broken {
		run(t, super, "begin", sql)
		if !strings.HasPrefix(sql, "lock") {
			run(t, super, "commit", "begin")
		}
		run(t, bob, fmt.Sprintf("create table t%d (a int)", i), fmt.Sprintf("drop table t%d", i))
		if i == 0 { // but nobody is given a token behind the audit's back
			if _, err := db.Conn(pgtest.Admin).Exec(context.Background(), "select tinydev.create_token('x', for_user => 'bob', sha256 => repeat('a', 64))"); sqlState(err) != "42P01" {
				t.Errorf("a token without an entry: %v", err)
			}
		}
		run(t, super, "rollback")
		if i == 0 {
			run(t, super, "alter table tinydev_impl.audit_away rename to audit")
		}
	}
}

// TestAuditCannotBeSlipped brings a definition to the edge of the stack, where it might just succeed and its audit just fail.
func TestAuditCannotBeSlipped(t *testing.T) {
	t.Parallel()
	db := unaudited(t)
	eve := db.Conn(pgtest.Eve)
	run(t, eve, `
create function deep(n int) returns void language plpgsql as $$
begin
  if n > 0 then perform deep(n - 1); else create table slipped (); end if;
end $$`, `
create function edge() returns int language plpgsql as $$
declare low int := 1; high int := 100000; middle int;
begin
  while high - low > 1 loop
    middle := (low + high) / 2;
    begin
      perform deep(middle);
      drop table slipped;
      low := middle;
    exception when statement_too_complex then
      high := middle;
    end;
  end loop;
  perform deep(low);
  return low;
end $$`)
	run(t, db.Superuser(), "truncate tinydev_impl.audit")
	depth := pgtest.Value[int](t, eve, "select edge()")
	var created, dropped int
	for _, line := range audited(t, db) {
		switch line {
		case "eve sql create table eve.slipped":
			created++
		case "eve sql drop table eve.slipped":
			dropped++
		}
	}
	if created != dropped+1 || dropped == 0 {
		t.Errorf("at depth %d %d were made and %d dropped", depth, created, dropped)
	}
}

func TestAuditRetention(t *testing.T) {
	t.Parallel()
	db := unaudited(t)
	super := db.Superuser()
	run(t, super, "insert into tinydev_impl.audit (at, actor, door, action) select now() - interval '31 days', 'bob', 'sql', 'old' from generate_series(1, 20001)",
		"insert into tinydev_impl.audit (at, actor, door, action) values (now() - interval '29 days', 'bob', 'sql', 'new')", "update tinydev_impl.instance set audit_retention = '30 days'")
	if n := pgtest.Value[int](t, db.Conn("tinydev_server"), "select (tinydev_impl.upkeep() ->> 'pruned_audit')::int"); n != 20001 {
		t.Errorf("%d removed", n)
	}
	if n := pgtest.Value[int](t, super, "select count(*)::int from tinydev_impl.audit where action = 'new'"); n != 1 {
		t.Error("what is younger than the retention is gone")
	}
}

func TestAuditList(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	run(t, db.Superuser(), "truncate tinydev_impl.audit")
	ctx, admin := context.Background(), c.As(pgtest.Admin)
	run(t, db.Conn(pgtest.Bob), "create table a ()", "create table b ()", "drop table a")
	run(t, db.Conn(pgtest.Eve), "create table a ()")
	all := must[[]control.AuditEntry](t)(admin.Audit(ctx, control.AuditFilter{}, 0, 10))
	if len(all) != 4 || all[0].Actor != "eve" || all[3].Subject != "bob.a" || all[0].SQLSHA256 == nil || all[0].Detail["object_type"] != "table" {
		t.Fatalf("%+v", all)
	}
	if page := must[[]control.AuditEntry](t)(admin.Audit(ctx, control.AuditFilter{}, all[1].AuditID, 1)); len(page) != 1 || page[0].AuditID != all[2].AuditID {
		t.Errorf("%+v", page)
	}
	if found := must[[]control.AuditEntry](t)(admin.Audit(ctx, control.AuditFilter{Actor: "bob", Action: "drop table"}, 0, 10)); len(found) != 1 || found[0].Subject != "bob.a" {
		t.Errorf("%+v", found)
	}
	if found := must[[]control.AuditEntry](t)(admin.Audit(ctx, control.AuditFilter{Since: all[1].At}, 0, 10)); len(found) != 2 {
		t.Errorf("%+v", found)
	}
	_, err := c.As(pgtest.Bob).Audit(ctx, control.AuditFilter{}, 0, 10)
	wantFault(t, err, fault.Forbidden, "admin_only")
}
