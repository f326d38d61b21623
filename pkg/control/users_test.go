package control_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

var named atomic.Int64

// newName gives a name that no test uses: roles belong to the whole server, which tests share.
func newName() string { return fmt.Sprintf("user_%d_%d", os.Getpid(), named.Add(1)) }

// makeUser makes a user as the administrator.
func makeUser(t *testing.T, c *control.Control, limits control.Limits) string {
	t.Helper()
	name := newName()
	must[control.Change[control.Account]](t)(c.As(pgtest.Admin).CreateUser(context.Background(), name, false, limits, false, false))
	return name
}

func number(n int) *int { return &n }

func TestUsersAreMadeAndChanged(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, admin, name := context.Background(), c.As(pgtest.Admin), newName()

	plan := must[control.Change[control.Account]](t)(admin.CreateUser(ctx, name, false, control.Limits{}, false, true)).SQL
	if len(plan) < 6 || plan[0] != "create role "+name+" login;" {
		t.Errorf("dry run gives %q", plan)
	}
	if _, err := admin.DescribeUser(ctx, name); fault.CodeOf(err) != "user_not_found" {
		t.Errorf("a dry run made a user: %v", err)
	}
	made := must[control.Change[control.Account]](t)(admin.CreateUser(ctx, name, false, control.Limits{Connections: number(3), PageRows: number(2), StatementSeconds: number(7)}, false, false)).Made
	if made.Name != name || made.Admin || *made.Limits.Connections != 3 || *made.Limits.PageRows != 2 || *made.Limits.StatementSeconds != 7 ||
		*made.Limits.WorkMemMB != 64 || *made.Limits.RunningJobs != 8 || *made.Limits.IdleTransactionSeconds != 600 {
		t.Errorf("made %+v %+v", made, made.Limits)
	}
	conn := db.Conn(name)
	if got := pgtest.Value[string](t, conn, "select current_setting('work_mem') || ' ' || current_setting('idle_in_transaction_session_timeout') || ' ' || current_setting('statement_timeout')"); got != "64MB 10min 0" {
		t.Errorf("a session of its own has %s", got)
	}
	super := db.Superuser()
	if pgtest.Value[bool](t, super, "select current_setting('server_version_num')::int >= 150000") {
		if got := pgtest.Value[string](t, conn, "select current_setting('temp_file_limit')"); got != "4GB" {
			t.Errorf("temporary files: %s", got)
		}
		if _, err := conn.Exec(ctx, "alter role "+name+" reset temp_file_limit"); err == nil {
			t.Error("a user lifts its limit of temporary files")
		}
	} else {
		_, err := admin.AlterUser(ctx, name, nil, control.Limits{TempFileMB: number(9)}, false)
		if e := wantFault(t, err, fault.Invalid, "limit_unsupported"); !strings.Contains(e.Hint, "alter role "+name+" set temp_file_limit = '9MB'") {
			t.Errorf("hint %q", e.Hint)
		}
	}
	if p := must[control.QueryPreview](t)(c.As(name).PreviewQuery(ctx, "select generate_series(1, 9)", 5)); len(p.Rows) != 2 || !p.More {
		t.Errorf("page_rows does not hold: %d rows, more %v", len(p.Rows), p.More)
	}
	changed := must[control.Change[control.Account]](t)(admin.AlterUser(ctx, name, nil, control.Limits{PageRows: number(0), WorkMemMB: number(5), IdleTransactionSeconds: number(9)}, false)).Made
	if *changed.Limits.PageRows != 1000 || *changed.Limits.WorkMemMB != 5 || *changed.Limits.IdleTransactionSeconds != 9 || *changed.Limits.StatementSeconds != 7 || *changed.Limits.Connections != 3 {
		t.Errorf("changed %+v", changed.Limits)
	}
	yes, no := true, false
	if got := must[control.Change[control.Account]](t)(admin.AlterUser(ctx, name, &yes, control.Limits{}, false)).Made; !got.Admin {
		t.Error("no administrator")
	}
	must[control.Settings](t)(c.As(name).Settings(ctx))
	must[control.Change[control.Account]](t)(c.As(name).AlterUser(ctx, name, &no, control.Limits{}, false))
	_, err := c.As(name).AlterUser(ctx, name, &yes, control.Limits{}, false)
	wantFault(t, err, fault.Forbidden, "admin_only")

	for _, bad := range []struct{ name, code string }{
		{"Bad", "user_name_invalid"}, {"pg_x", "user_name_invalid"}, {"tinydev_x", "user_name_invalid"}, {`x"; drop role bob; --`, "user_name_invalid"}, {"x\n", "user_name_invalid"},
		{strings.Repeat("x", 64), "user_name_invalid"}, {"public", "user_name_invalid"}, {name, "name_taken"},
	} {
		if _, err := admin.CreateUser(ctx, bad.name, false, control.Limits{}, false, false); fault.CodeOf(err) != bad.code {
			t.Errorf("%q: %v", bad.name, err)
		}
	}
	_, err = admin.AlterUser(ctx, name, nil, control.Limits{RunningJobs: number(1001)}, false)
	wantFault(t, err, fault.Invalid, "user_limit_invalid")
	_, err = admin.AlterUser(ctx, "tinydev_server", nil, control.Limits{}, false)
	wantFault(t, err, fault.NotFound, "user_not_found")
}

func TestUsersSeeOfOthersTheNameOnly(t *testing.T) {
	t.Parallel()
	c, _ := open(t)
	ctx := context.Background()
	list := must[[]control.Account](t)(c.As(pgtest.Bob).Users(ctx, "", 1000))
	for _, user := range list {
		own := user.Name == pgtest.Bob
		if (user.Limits != nil) != own || (user.Sessions != nil) != own || (user.Jobs != nil) != own || user.TokenLastUsedAt != nil && !own {
			t.Errorf("bob sees %+v", user)
		}
	}
	if i := slices.IndexFunc(list, func(a control.Account) bool { return a.Name == pgtest.Admin }); i < 0 || !list[i].Admin {
		t.Errorf("users %+v", list)
	}
	page := must[[]control.Account](t)(c.As(pgtest.Admin).Users(ctx, pgtest.Ann, 1))
	if len(page) != 1 || page[0].Name != pgtest.Admin || page[0].Limits == nil {
		t.Errorf("the page after Ann: %+v", page)
	}
}

// TestUsersForAdministrators holds that others are refused by name, and that PostgreSQL itself refuses what does the work.
func TestUsersForAdministrators(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, bob := context.Background(), c.As(pgtest.Bob)
	yes := true
	for verb, err := range map[string]error{
		"create":   second(bob.CreateUser(ctx, newName(), true, control.Limits{}, false, false)),
		"alter":    second(bob.AlterUser(ctx, pgtest.Bob, &yes, control.Limits{}, false)),
		"drop":     second(bob.DropUser(ctx, pgtest.Eve, "drop", "", false)),
		"password": second(bob.SetPassword(ctx, pgtest.Eve, "", false)),
		"setting":  second(bob.SetSettings(ctx, map[string]string{"read_all": "true"}, false)),
		"dry run":  second(bob.CreateUser(ctx, newName(), true, control.Limits{}, false, true)),
	} {
		if e := fault.As(err); e == nil || e.Code != "admin_only" || e.Kind != fault.Forbidden || !strings.Contains(e.Message, "administrators") {
			t.Errorf("%s: %v", verb, err)
		}
	}
	conn := db.Conn(pgtest.Bob)
	for _, sql := range []string{
		"select tinydev_lib.put_user('x', true, '{}', true, false)", "select tinydev_lib.change_user('bob', true, '{}', false)",
		"select tinydev_lib.remove_user('eve', 'drop', null, false)", "select tinydev_lib.put_password('eve', 'x')", "select tinydev_lib.put_setting('read_all', 'true', false)",
		"select tinydev_impl.forget_user('eve')", "select tinydev_impl.end_sessions('eve')", "select tinydev_impl.enforce_limits()",
		"update tinydev_impl.instance set read_all = true", "select * from tinydev_impl.dropped_user",
	} {
		if _, err := conn.Exec(ctx, sql); fault.CodeOf(postgres.Fault(err, "")) != "not_allowed" {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestUsersBeyondUsers holds that an administrator cannot get at roles that may do more than users.
func TestUsersBeyondUsers(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, admin, super := context.Background(), c.As(pgtest.Admin), db.Superuser()
	for _, give := range []string{"alter role %s createrole", "alter role %s superuser", "grant pg_execute_server_program to %s", "grant tinydev_owner to %s", "grant tinydev_superuser to %s"} {
		name := makeUser(t, c, control.Limits{})
		run(t, super, fmt.Sprintf(give, name))
		for verb, err := range map[string]error{
			"alter":    second(admin.AlterUser(ctx, name, nil, control.Limits{Connections: number(1)}, false)),
			"drop":     second(admin.DropUser(ctx, name, "drop", "", false)),
			"password": second(admin.SetPassword(ctx, name, "", false)),
			"sql":      second(db.Conn(pgtest.Admin).Exec(ctx, "select tinydev_lib.put_password($1, 'x')", name)),
		} {
			if code := fault.CodeOf(postgres.Fault(err, "")); code != "user_privileged" {
				t.Errorf("%s after %q: %s %v", verb, give, code, err)
			}
		}
		run(t, super, "drop schema "+name+"; drop role "+name)
	}
	if pgtest.Value[bool](t, super, "select current_setting('server_version_num')::int >= 160000") {
		_, err := admin.SetPassword(ctx, pgtest.Ann, "", false)
		if e := wantFault(t, err, fault.Forbidden, "role_not_ours"); !strings.Contains(e.Hint, `grant "Ann" to tinydev_roles with admin option`) {
			t.Errorf("hint %q", e.Hint)
		}
	}
}

func TestUserIsDropped(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, admin, name := context.Background(), c.As(pgtest.Admin), makeUser(t, c, control.Limits{})
	other := makeUser(t, c, control.Limits{})
	super, theirs := db.Superuser(), db.Conn(name)
	run(t, db.Conn(other), "create table given (a int)", "grant select on given to "+name+" with grant option", "grant usage on schema "+other+" to "+name)
	run(t, theirs, "create table t (a int)", "create view plain as select 1", "grant select on "+other+".given to bob", "grant usage on schema "+name+" to bob", "grant select on t to bob",
		"select tinydev.create_view('v', 'select * from t')", "select tinydev.schedule('v', '0 0 1 1 *')", "select cron.schedule_in_database('other', '0 0 1 1 *', 'select 1', current_database())")
	run(t, super, fmt.Sprintf(`insert into tinydev_impl.token (sha256, role_name, name) values (repeat('a', 64), %[1]s, 'laptop');
insert into tinydev_impl.trust (role_name, owner_name) values (%[1]s, 'bob'), ('bob', %[1]s);
insert into tinydev_impl.identity (issuer, subject, role_name) values ('https://id.example.org', '1', %[1]s)`, "'"+name+"'"))

	_, err := admin.DropUser(ctx, name, "", "", false)
	if e := wantFault(t, err, fault.Conflict, "user_has_objects"); len(e.Fields["objects"].([]any)) != 3 {
		t.Errorf("fields %v", e.Fields)
	}
	for _, wrong := range [][2]string{{"burn", ""}, {"reassign", ""}, {"drop", "bob"}, {"reassign", name}} {
		if _, err := admin.DropUser(ctx, name, wrong[0], wrong[1], false); fault.CodeOf(err) != "objects_invalid" {
			t.Errorf("%v: %v", wrong, err)
		}
	}
	run(t, theirs, "select 1") // nothing of that ended its session
	if sql := must[control.Change[control.DroppedUser]](t)(admin.DropUser(ctx, name, "drop", "", true)).SQL; len(sql) < 8 || sql[0] != "delete from cron.job where username = '"+name+"';" {
		t.Errorf("dry run gives %q", sql)
	}
	bob := db.Conn(pgtest.Bob)
	run(t, bob, "create view "+name+"_w as select * from "+name+".t")
	_, err = admin.DropUser(ctx, name, "drop", "", false)
	if e := wantFault(t, err, fault.Conflict, "in_use"); !strings.Contains(fmt.Sprint(e.Fields["dependents"]), "bob."+name+"_w") {
		t.Errorf("fields %v", e.Fields)
	}
	if n := pgtest.Value[int](t, super, "select count(*)::int from cron.job where username = $1", name); n != 2 {
		t.Errorf("a refused drop left %d jobs of 2", n)
	}
	run(t, bob, "drop view "+name+"_w")
	dropped := must[control.Change[control.DroppedUser]](t)(admin.DropUser(ctx, name, "drop", "", false)).Made
	if dropped.Dropped != name || len(dropped.Jobs) != 2 || dropped.Jobs[0].View == nil || *dropped.Jobs[0].View != name+".v" || dropped.Tokens != 1 || len(dropped.Objects) != 3 || dropped.ReassignedTo != nil {
		t.Errorf("%+v", dropped)
	}
	if _, err := theirs.Exec(ctx, "select 1"); err == nil {
		t.Error("its session goes on")
	}
	for what, query := range map[string]string{
		"a role": "select count(*)::int from pg_roles where rolname = $1", "a schema": "select count(*)::int from pg_namespace where nspname = $1",
		"jobs": "select count(*)::int from cron.job where username = $1", "tokens": "select count(*)::int from tinydev_impl.token where role_name = $1",
		"trust":      "select count(*)::int from tinydev_impl.trust where $1 in (role_name, owner_name)",
		"identities": "select count(*)::int from tinydev_impl.identity where role_name = $1", "limits": "select count(*)::int from tinydev_impl.user_limit where role_name = $1",
		"borrowed rights": "select count(*)::int from pg_auth_members where member = 'tinydev_roles'::regrole and $1 <> '' and pg_has_role('tinydev_roles', 'tinydev_roles', 'member') and roleid = (select oid from pg_roles where rolname = '" + other + "') and not admin_option",
	} {
		if n := pgtest.Value[int](t, super, query, name); n != 0 {
			t.Errorf("%s are left: %d", what, n)
		}
	}
	if pgtest.Value[bool](t, super, "select has_table_privilege('bob', '"+other+".given', 'select')") {
		t.Error("a right that it gave is left")
	}
	_, err = admin.CreateUser(ctx, name, false, control.Limits{}, false, false)
	wantFault(t, err, fault.Conflict, "name_retired")
	must[control.Change[control.Account]](t)(admin.CreateUser(ctx, name, false, control.Limits{}, true, false))
	_, err = admin.DropUser(ctx, pgtest.Admin, "drop", "", false)
	wantFault(t, err, fault.Conflict, "drop_self")
	must[control.Change[control.DroppedUser]](t)(admin.DropUser(ctx, name, "", "", false))
	must[control.Change[control.DroppedUser]](t)(admin.DropUser(ctx, other, "drop", "", false))
}

func TestUserIsReassigned(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, admin, name, heir := context.Background(), c.As(pgtest.Admin), makeUser(t, c, control.Limits{}), makeUser(t, c, control.Limits{})
	theirs := db.Conn(name)
	run(t, theirs, "create function spy() returns text language sql security definer as 'select current_user::text'", "create table t (a int, b text default spy())",
		"create function on_t() returns trigger language plpgsql as 'begin return new; end'", "create trigger note before insert on t for each row execute function on_t()",
		"select tinydev.create_view('v', 'select * from t')", "select tinydev.schedule('v', '* * * * *')", "grant usage on schema "+name+" to public")
	third := makeUser(t, c, control.Limits{})
	run(t, db.Conn(third), "grant create, usage on schema "+third+" to "+name)
	run(t, theirs, "create function "+third+".away() returns int language sql as 'select 1'")
	_, err := admin.DropUser(ctx, name, "reassign", heir, false)
	if e := wantFault(t, err, fault.Conflict, "in_use"); !strings.Contains(e.Message, "schema "+third) {
		t.Errorf("%s", e.Message)
	}
	run(t, db.Conn(third), "grant create on schema "+third+" to "+heir)
	dropped := must[control.Change[control.DroppedUser]](t)(admin.DropUser(ctx, name, "reassign", heir, false)).Made
	if dropped.ReassignedTo == nil || *dropped.ReassignedTo != heir || len(dropped.Warnings) != 4 || !strings.Contains(dropped.Warnings[2], "the schema "+name+" now belongs to "+heir) {
		t.Fatalf("%+v", dropped)
	}
	for _, word := range []string{"function " + name + ".spy()", "trigger note on " + name + ".t", "materialized view " + name + ".v", "default of column b"} {
		if !strings.Contains(dropped.Warnings[0], word) {
			t.Errorf("%q does not warn of %s", dropped.Warnings[0], word)
		}
	}
	if who := pgtest.Value[string](t, db.Conn(pgtest.Eve), "select "+name+".spy()"); who != pgtest.Eve {
		t.Errorf("what the former user wrote runs as %s for everybody", who)
	}
	run(t, db.Conn(heir), "insert into "+name+".t (a) values (1)", "call tinydev.refresh('"+name+".v')")
	_, err = admin.CreateUser(ctx, name, false, control.Limits{}, true, false)
	wantFault(t, err, fault.Conflict, "name_taken") // its workspace is the heir's
	must[control.Change[control.DroppedUser]](t)(admin.DropUser(ctx, heir, "drop", "", false))
	must[control.Change[control.DroppedUser]](t)(admin.DropUser(ctx, third, "drop", "", false))
}

// TestUserIsDroppedInSpiteOfLocks holds that a user cannot keep an administrator from dropping or changing it by a transaction that it holds open.
func TestUserIsDroppedInSpiteOfLocks(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, admin, name := context.Background(), c.As(pgtest.Admin), makeUser(t, c, control.Limits{})
	held := db.Conn(name)
	run(t, held, "begin", "alter role "+name+" set work_mem = '1MB'")
	changed := must[control.Change[control.Account]](t)(admin.AlterUser(ctx, name, nil, control.Limits{WorkMemMB: number(7)}, false)).Made
	if *changed.Limits.WorkMemMB != 7 {
		t.Errorf("%+v", changed.Limits)
	}
	held = db.Conn(name)
	run(t, held, "select cron.schedule_in_database('mine', '0 0 1 1 *', 'select 1', current_database())", "create table t (a int)",
		"begin", "select cron.alter_job((select max(jobid) from cron.job where username = current_user), schedule => '1 1 1 1 *')", "lock table t", "alter role "+name+" set work_mem = '2MB'")
	must[control.Change[control.DroppedUser]](t)(admin.DropUser(ctx, name, "drop", "", false))
	if _, err := held.Exec(ctx, "select 1"); err == nil {
		t.Error("the session goes on")
	}
}

// TestUsersDroppedByPlainSQL holds that what is left of a role that was dropped outside of tinydev does not pass to the next of the name.
func TestUsersDroppedByPlainSQL(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, admin, super := context.Background(), c.As(pgtest.Admin), db.Superuser()
	leave := func() string {
		name := makeUser(t, c, control.Limits{PageRows: number(3)})
		run(t, super, fmt.Sprintf(`insert into tinydev_impl.token (sha256, role_name, name) values (md5(%[1]s) || md5('x'), %[1]s, 'laptop');
insert into tinydev_impl.trust (role_name, owner_name) values (%[1]s, 'bob'), ('eve', %[1]s);
insert into tinydev_impl.identity (issuer, subject, role_name) values ('https://id.example.org', %[1]s, %[1]s)`, "'"+name+"'"), "drop schema "+name+"; drop owned by "+name+"; drop role "+name)
		return name
	}
	left := func(name string) int {
		return pgtest.Value[int](t, super, `select ((select count(*) from tinydev_impl.token where role_name = $1) + (select count(*) from tinydev_impl.trust where $1 in (role_name, owner_name))
			+ (select count(*) from tinydev_impl.identity where role_name = $1) + (select count(*) from tinydev_impl.user_limit where role_name = $1 and page_rows = 3))::int`, name)
	}
	again := leave()
	if n := left(again); n != 5 {
		t.Fatalf("%d rows", n)
	}
	_, err := admin.CreateUser(ctx, again, false, control.Limits{}, false, false)
	wantFault(t, err, fault.Conflict, "name_retired")
	must[control.Change[control.Account]](t)(admin.CreateUser(ctx, again, false, control.Limits{}, true, false))
	if n := left(again); n != 0 {
		t.Errorf("%d rows passed to the next of the name", n)
	}
	gone := leave()
	pgtest.Value[string](t, super, "select tinydev_impl.upkeep()::text")
	if n := left(gone); n != 0 {
		t.Errorf("%d rows of a role that is gone", n)
	}
}

// TestLastAdministratorWithSession holds that an administrator who may do too much for a session does not count as another one. Not
// parallel: administrators are the whole server's.
func TestLastAdministratorWithSession(t *testing.T) {
	ctx := context.Background()
	tx := pgtest.Tx(t, "tinydev_superuser")
	name := newName()
	for _, sql := range []string{
		"revoke tinydev_admin from " + pgtest.Bob + ", " + pgtest.Eve, "create role " + name + " login", "grant tinydev_user, tinydev_admin, pg_read_server_files to " + name,
	} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	if n := pgtest.Value[int](t, tx, "select count(*)::int from tinydev.user where name = $1", name); n != 0 {
		t.Errorf("%d users who have no session", n)
	}
	if n := pgtest.Value[int](t, tx, "select count(*)::int from pg_auth_members m join pg_roles r on r.oid = m.member where m.roleid = 'tinydev_admin'::regrole and r.rolname not in ($1, $2) and tinydev_lib.above_user(r.oid) is null", pgtest.Admin, name); n != 0 {
		t.Fatalf("there are %d other administrators", n)
	}
	_, err := tx.Exec(ctx, "select tinydev_lib.require_other_admin($1)", pgtest.Admin)
	if fault.CodeOf(postgres.Fault(err, "")) != "last_admin" {
		t.Errorf("%v", err)
	}
}

func TestUserIsTiedElsewhere(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	name := makeUser(t, c, control.Limits{})
	away := pgtest.DB(t)
	run(t, away.Superuser(), "create table public.theirs (); alter table public.theirs owner to "+name)
	_, err := c.As(pgtest.Admin).DropUser(context.Background(), name, "drop", "", false)
	if e := wantFault(t, err, fault.Conflict, "used_elsewhere"); !strings.Contains(e.Message, "database "+away.Name) {
		t.Errorf("%s", e.Message)
	}
	run(t, away.Superuser(), "drop owned by "+name)
	run(t, db.Superuser(), "create table public.lent (); grant select on public.lent to "+name)
	_, err = c.As(pgtest.Admin).DropUser(context.Background(), name, "drop", "", false)
	if e := wantFault(t, err, fault.Conflict, "in_use"); !strings.Contains(fmt.Sprint(e.Fields["dependents"]), "lent") {
		t.Errorf("%v", e.Fields)
	}
	run(t, db.Superuser(), "drop table public.lent")
	must[control.Change[control.DroppedUser]](t)(c.As(pgtest.Admin).DropUser(context.Background(), name, "drop", "", false))
}

func TestSettings(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, admin := context.Background(), c.As(pgtest.Admin)
	if sql := must[control.Change[control.Settings]](t)(admin.SetSettings(ctx, map[string]string{"event_retention": "3 weeks", "page_rows": "7"}, true)).SQL; !slices.Equal(sql, []string{
		"update tinydev_impl.instance set event_retention = '21 days';", "update tinydev_impl.instance set page_rows = 7;"}) {
		t.Errorf("dry run gives %q", sql)
	}
	set := must[control.Change[control.Settings]](t)(admin.SetSettings(ctx, map[string]string{"event_retention": "36 hours", "page_rows": "7", "read_all": "true", "connections": "4"}, false)).Made
	if set.EventRetention != "36:00:00" || set.PageRows != 7 || !set.ReadAll || set.Connections != 4 || set.RunRetention != "30 days" {
		t.Errorf("%+v", set)
	}
	for name, value := range map[string]string{"event_retention": "soon", "run_retention": "1 minute", "audit_retention": "-1 day", "page_rows": "0", "running_jobs": "1; drop table x", "statement_seconds": "1e3",
		"read_all": "maybe", "work_mem_mb": "", "temp_file_mb": "99999999999"} {
		if _, err := admin.SetSettings(ctx, map[string]string{"page_rows": "9", name: value}, false); fault.CodeOf(err) != "setting_invalid" {
			t.Errorf("%s = %q: %v", name, value, err)
		}
	}
	_, err := admin.SetSettings(ctx, map[string]string{"page_rows": "9", "instance_id": "x"}, false)
	wantFault(t, err, fault.Invalid, "setting_unknown")
	if got := must[control.Settings](t)(c.As(pgtest.Bob).Settings(ctx)); got != set {
		t.Errorf("after faults %+v, want %+v", got, set)
	}
	if n := pgtest.Value[int](t, db.Conn(pgtest.Bob), "select count(*)::int from tinydev.settings where description <> ''"); n != 12 {
		t.Errorf("%d settings", n)
	}

	// With read_all, what a new user makes is for all to read, and for nobody to write.
	name := makeUser(t, c, control.Limits{})
	if user := must[control.Account](t)(admin.DescribeUser(ctx, name)); *user.Limits.Connections != 4 {
		t.Errorf("%+v", user.Limits)
	}
	run(t, db.Conn(name), "create table t as select 1 as a", "select tinydev.create_view('v', 'select * from t')")
	bob := db.Conn(pgtest.Bob)
	run(t, bob, "select * from "+name+".t", "select * from "+name+".v")
	for _, sql := range []string{"insert into " + name + ".t values (2)", "create table " + name + ".mine ()"} {
		if _, err := bob.Exec(ctx, sql); fault.CodeOf(postgres.Fault(err, "")) != "not_allowed" {
			t.Errorf("%s: %v", sql, err)
		}
	}
	must[control.Change[control.DroppedUser]](t)(admin.DropUser(ctx, name, "drop", "", false))
}

// TestPassword logs in over TCP, where PostgreSQL asks for the password.
func TestPassword(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, admin, name := context.Background(), c.As(pgtest.Admin), makeUser(t, c, control.Limits{})
	own := must[control.Change[control.PasswordSet]](t)(c.As(name).SetPassword(ctx, name, `a "long' \pass word`, false)).Made
	if own.Name != name || own.Password != "" {
		t.Errorf("%+v", own)
	}
	login := tcpLogin(t, db, name)
	login(`a "long' \pass word`, true)
	login(`a "long' \pass worD`, false)
	generated := must[control.Change[control.PasswordSet]](t)(admin.SetPassword(ctx, name, "", false)).Made
	if len(generated.Password) < 20 {
		t.Fatalf("%+v", generated)
	}
	login(generated.Password, true)
	login(`a "long' \pass word`, false)
	if kept := pgtest.Value[string](t, db.Superuser(), "select rolpassword from pg_authid where rolname = $1", name); !strings.HasPrefix(kept, "SCRAM-SHA-256$15000:") || strings.Contains(kept, generated.Password) {
		t.Errorf("PostgreSQL keeps %s", kept)
	}
	plan := must[control.Change[control.PasswordSet]](t)(admin.SetPassword(ctx, name, "", true))
	if len(plan.SQL) != 1 || !strings.HasPrefix(plan.SQL[0], "alter role "+name+" password 'SCRAM-SHA-256$") || plan.Made.Password != "" {
		t.Errorf("dry run gives %+v", plan)
	}
	login(generated.Password, true)

	conn, good := db.Conn(name), "SCRAM-SHA-256$4096:"+strings.Repeat("A", 22)+"==$"+strings.Repeat("A", 43)+"=:"+strings.Repeat("A", 43)+"="
	for _, bad := range []string{"hello", "", "md5" + strings.Repeat("a", 32), strings.Replace(good, "4096", "1000", 1), strings.Replace(good, "4096", "x", 1), good + "\n", good + "'", " " + good,
		strings.Replace(good, "=:", ":", 1), strings.Replace(good, "A==$", "==$", 1)} {
		if _, err := conn.Exec(ctx, "select tinydev.set_password($1)", bad); fault.CodeOf(postgres.Fault(err, "")) != "verifier_invalid" {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := conn.Exec(ctx, "select tinydev.set_password(null)"); fault.CodeOf(postgres.Fault(err, "")) != "verifier_invalid" {
		t.Errorf("null: %v", err)
	}
	_, err := admin.SetPassword(ctx, "tinydev_superuser", "", false)
	wantFault(t, err, fault.NotFound, "user_not_found")
	_, err = admin.SetPassword(ctx, name, "short", false)
	wantFault(t, err, fault.Invalid, "password_invalid")
	must[control.Change[control.DroppedUser]](t)(admin.DropUser(ctx, name, "", "", false))
}

// tcpLogin gives a function that logs in as a role by password and tells whether that has to work. Where the server has no network,
// the verifier that it keeps is compared with one that it makes itself.
func tcpLogin(t *testing.T, db *pgtest.Database, role string) func(password string, works bool) {
	super := db.Superuser()
	if pgtest.Value[string](t, super, "select current_setting('listen_addresses')") == "*" {
		t.Skip("the container has no network; the local cluster shows logins")
	}
	port := pgtest.Value[string](t, super, "select current_setting('port')")
	return func(password string, works bool) {
		t.Helper()
		u := url.URL{Scheme: "postgres", User: url.UserPassword(role, password), Host: "127.0.0.1:" + port, Path: db.Name, RawQuery: "sslmode=disable"}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		conn, err := pgx.Connect(ctx, u.String())
		if err == nil {
			who := pgtest.Value[string](t, conn, "select session_user::text")
			if who != role {
				t.Errorf("logged in as %s", who)
			}
			_ = conn.Close(ctx)
		}
		if works != (err == nil) || err != nil && !strings.Contains(err.Error(), "28P01") {
			t.Errorf("the login of %s (works: %v): %v", role, works, err)
		}
	}
}
