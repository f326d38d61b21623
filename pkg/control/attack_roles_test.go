package control_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

// everybody are the roles that people and the server log in as.
var everybody = []string{pgtest.Ann, pgtest.Eve, pgtest.Admin, "tinydev_server"}

// TestNobodyWritesWhatIsOurs tries to write to, lock and change each of our relations and pg_cron's, as found in the catalogue.
func TestNobodyWritesWhatIsOurs(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	relations := pgtest.Value[[]string](t, db.Superuser(), `
select array_agg(c.oid::regclass::text order by 1) from pg_class c
 where c.relnamespace in ('tinydev'::regnamespace, 'tinydev_lib'::regnamespace, 'tinydev_impl'::regnamespace, 'cron'::regnamespace) and c.relkind in ('r', 'p', 'v')
   and c.oid::regclass::text !~ '^tinydev_lib.own_'`) // what those take is tested below
	const rights = "select string_agg(concat_ws(' ', oid::regclass, relacl), E'\n' order by oid) from pg_class"
	before := pgtest.Value[string](t, db.Superuser(), rights)
	for _, role := range everybody {
		conn := db.Conn(role)
		for _, relation := range relations {
			_, _ = conn.Exec(context.Background(), "grant all on "+relation+" to eve, public") // only warns where one may read
			column := pgtest.Value[string](t, db.Superuser(), "select quote_ident(attname) from pg_attribute where attrelid = $1::text::regclass and attnum > 0 and attidentity = '' and attname !~ '_id$' order by attnum limit 1", relation)
			for _, sql := range []string{
				"insert into RELATION default values", "update RELATION set COLUMN = COLUMN", "delete from RELATION", "do $$ begin execute 'lock table RELATION in row exclusive mode'; end $$",
				"do $$ begin execute 'lock table RELATION in access exclusive mode'; end $$", "alter table RELATION owner to current_user",
				"create rule x as on insert to RELATION do instead nothing", "create trigger x before insert on RELATION for each statement execute function tinydev_impl.ring_doorbell()",
				"select 1 from RELATION for update", "drop table RELATION", "comment on column RELATION.COLUMN is 'x'",
			} {
				sql = strings.NewReplacer("RELATION", relation, "COLUMN", column).Replace(sql)
				_, err := conn.Exec(context.Background(), sql)
				// A view that cannot be written at all, and what is no table, are refusals too.
				if code := sqlState(err); code != "42501" && code != "55000" && code != "42809" && code != "0A000" {
					t.Errorf("as %s: %s: %q %v", role, sql, code, err)
				}
			}
		}
	}
	if pgtest.Value[string](t, db.Superuser(), rights) != before {
		t.Error("somebody gave rights away")
	}
}

// TestNobodyBecomesAnother tries each way of PostgreSQL to be another role.
func TestNobodyBecomesAnother(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	for _, role := range everybody {
		conn := db.Conn(role)
		for _, target := range []string{pgtest.Bob, "tinydev_owner", "tinydev_roles", "tinydev_reader", "tinydev_server", "tinydev_superuser", "pg_monitor", "pg_read_all_data", "pg_execute_server_program"} {
			if target == role {
				continue
			}
			for _, sql := range []string{"set role \"TARGET\"", "set local role \"TARGET\"", "set session authorization \"TARGET\"", "select set_config('role', 'TARGET', false)", "select set_config('role', 'TARGET', true)",
				"select set_config('session_authorization', 'TARGET', false)", "grant \"TARGET\" to current_user", "alter role \"TARGET\" password 'x'", "alter role \"TARGET\" rename to x", "drop role \"TARGET\"",
				"grant tinydev_admin to \"TARGET\"", "reassign owned by \"TARGET\" to current_user", "drop owned by \"TARGET\"", "alter default privileges for role \"TARGET\" grant select on tables to public"} {
				sql = strings.ReplaceAll(sql, "TARGET", target)
				_, err := conn.Exec(context.Background(), sql)
				// There is no such role on this version, or its name is reserved.
				if code := sqlState(err); code != "42501" && code != "42704" && code != "22023" && code != "0LP01" && code != "42939" {
					t.Errorf("as %s: %s: %q %v", role, sql, code, err)
				}
			}
		}
		if who := pgtest.Value[string](t, conn, "select concat_ws(' ', session_user, current_user)"); who != role+" "+role {
			t.Errorf("%s is now %s", role, who)
		}
	}
}

// TestNobodyReachesTheHost tries what reads files, runs programs or opens connections on the host of PostgreSQL.
func TestNobodyReachesTheHost(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	for _, role := range everybody {
		conn := db.Conn(role)
		for _, sql := range []string{
			"copy (select 1) to program 'id'", "copy pg_class to '/tmp/x'", "create temp table c (a text); copy c from program 'id'", "create temp table d (a text); copy d from '/etc/passwd'",
			"select pg_read_file('/etc/passwd')", "select pg_read_binary_file('postgresql.conf')", "select pg_ls_dir('.')", "select pg_stat_file('postgresql.conf')", "select pg_ls_logdir()",
			"select lo_import('/etc/passwd')", "select lo_export(1, '/tmp/x')", "create extension dblink", "create extension file_fdw", "drop extension pg_cron", "alter extension pg_cron update",
			"create language plperlu", "create function f() returns int language c as 'x'", "create function f() returns int language internal as 'pg_read_file'", "load '$libdir/auth_delay'",
			"alter system set work_mem = '1GB'", "select pg_reload_conf()", "select pg_rotate_logfile()", "set log_statement = 'all'", "set session_preload_libraries = 'x'", "set event_triggers = off",
			"create role x", "create database x", "create tablespace x location '/tmp'", "create subscription x connection 'host=localhost' publication y", "create foreign data wrapper x",
			"select pg_terminate_backend(pid) from pg_stat_activity where usename = 'tinydev_superuser'", "select * from pg_authid", "select * from pg_shadow", "select * from pg_hba_file_rules", "select * from pg_file_settings",
			"select * from pg_user_mapping", "select pg_create_physical_replication_slot('x')", "select pg_switch_wal()", "select * from pg_show_all_file_settings()", "checkpoint", "vacuum full pg_authid",
			"create publication p for all tables", "create event trigger x on ddl_command_end execute function tinydev_impl.on_ddl()", "create table public.x ()", "create schema x", "select * from pg_statistic",
			"alter database " + db.Name + " set search_path = eve", "create operator class x default for type int using btree as operator 1 <", "create access method x type index handler bthandler", "create cast (text as int) without function",
		} {
			_, err := conn.Exec(context.Background(), sql)
			switch code := sqlState(err); code {
			case "42501":
			case "42704", "58P01", "0A000", "42602", "42P17", "55006", "42883": // no such thing on this server
			case "":
				// VACUUM skips what it may not do, with a warning.
				if err != nil || !strings.HasPrefix(sql, "vacuum") && !strings.HasPrefix(sql, "select pg_terminate_backend") {
					t.Errorf("as %s: %s: %v", role, sql, err)
				}
			default:
				t.Errorf("as %s: %s: %q %v", role, sql, code, err)
			}
		}
	}
}

// TestJobsRunAsTheirOwnerOnly tries to have pg_cron run SQL as somebody else, or in another database.
func TestJobsRunAsTheirOwnerOnly(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	bob := db.Conn(pgtest.Bob)
	job := pgtest.Value[int64](t, bob, "select cron.schedule_in_database('mine', '0 0 1 1 *', 'select 1', current_database())")
	for _, role := range []string{pgtest.Ann, pgtest.Eve, pgtest.Admin} {
		conn := db.Conn(role)
		for _, sql := range []string{
			"select cron.schedule_in_database('x', '* * * * *', 'select 1', current_database(), 'bob')", "select cron.schedule_in_database('x', '* * * * *', 'select 1', current_database(), 'tinydev_superuser')",
			"select cron.schedule_in_database('x', '* * * * *', 'select 1', current_database(), 'tinydev_server')", "select cron.schedule_in_database('x', '* * * * *', 'select 1', 'template1')",
			fmt.Sprintf("select cron.alter_job(%d, command => 'drop table t')", job), fmt.Sprintf("select cron.alter_job(%d, active => false)", job), fmt.Sprintf("select cron.unschedule(%d)", job),
			"insert into cron.job (schedule, command, username) values ('* * * * *', 'select 1', 'bob')", "update cron.job set username = 'bob'", "delete from cron.job", "truncate cron.job",
			"select setval('cron.jobid_seq', 1)", "select nextval('cron.runid_seq')", "select cron.schedule('x', '* * * * *', 'select 1')",
		} {
			_, err := conn.Exec(context.Background(), sql)
			if err == nil {
				t.Errorf("as %s: %s: nothing stands against it", role, sql)
			}
		}
	}
	own := pgtest.Value[int64](t, db.Conn(pgtest.Eve), "select cron.schedule_in_database('own', '0 0 1 1 *', 'select 1', current_database())")
	for _, sql := range []string{"select cron.alter_job(%d, username => 'bob')", "select cron.alter_job(%d, username => 'tinydev_superuser')", "select cron.alter_job(%d, database => 'template1')"} {
		if _, err := db.Conn(pgtest.Eve).Exec(context.Background(), fmt.Sprintf(sql, own)); err == nil {
			t.Errorf("%s: nothing stands against it", sql)
		}
	}
	got := pgtest.Value[string](t, db.Superuser(), "select string_agg(concat_ws(' ', jobname, username, database = current_database(), active), ', ' order by jobid) from cron.job where username <> 'tinydev_server'")
	if got != "mine bob t t, own eve t t" {
		t.Errorf("cron.job holds %s", got)
	}
}

// TestWhoGetsASession holds that no role with rights of PostgreSQL's own gets one, however it came to be a member.
func TestWhoGetsASession(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, super := context.Background(), db.Superuser()
	names := []string{"attack_super", "attack_createrole", "attack_bypass", "attack_replication", "attack_nologin", "attack_indirect", "attack_stranger"}
	t.Cleanup(func() {
		for _, name := range names {
			_, _ = db.Superuser().Exec(ctx, "drop role if exists "+name)
		}
	})
	run(t, super, "create role attack_super login superuser", "create role attack_createrole login createrole", "create role attack_bypass login bypassrls", "create role attack_replication login replication",
		"create role attack_nologin", "create role attack_indirect login", "create role attack_stranger login", "grant bob to attack_indirect")
	for _, name := range names[:5] {
		run(t, super, "grant tinydev_user to "+name)
	}
	for _, name := range append(names, "tinydev_superuser", "tinydev_owner", "tinydev_roles", "tinydev_server", "tinydev_user", "pg_monitor", "nobody", "", "BOB", "ann", "bob ", "bob\x00", `"bob"`) {
		if _, err := c.As(name).Relations(ctx, control.Tables, "", 1); err == nil {
			t.Errorf("%q gets a session", name)
		} else if kind := fault.KindOf(err); kind != fault.Forbidden && kind != fault.Invalid {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range append(names, "tinydev_superuser", "tinydev_owner", "tinydev_server") {
		if _, err := db.Conn("tinydev_server").Exec(ctx, "select tinydev_impl.register_token($1, 'x', repeat('a', 64), 'td_')", name); fault.CodeOf(postgres.Fault(err, "")) != "not_a_user" {
			t.Errorf("%q gets a token: %v", name, err)
		}
	}
}

// TestWhatPsqlLifts holds which limits bind a user in psql, as docs/security.md says: those of the role itself and those that only a superuser may
// set; what is a setting of the session is the user's own.
func TestWhatPsqlLifts(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	bob := db.Conn(pgtest.Bob)
	run(t, bob, "set work_mem = '1GB'", "set statement_timeout = 0", "set idle_in_transaction_session_timeout = 0", "set lock_timeout = 0", "set default_transaction_read_only = off")
	for _, sql := range []string{"set temp_file_limit = -1", "alter role bob connection limit -1", "alter role bob set temp_file_limit = -1", "alter role bob superuser", "alter role bob createrole", "alter role bob bypassrls",
		"alter role bob replication", "select tinydev.alter_user('bob', running_jobs => 1000)", "select tinydev.set_setting('running_jobs', '1000')"} {
		_, err := bob.Exec(context.Background(), sql)
		if code := sqlState(err); code != "42501" && code != "TD403" {
			t.Errorf("%s: %q %v", sql, code, err)
		}
	}
}
