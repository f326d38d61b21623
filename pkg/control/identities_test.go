package control_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

const loginHost = "https://login.example.org"

// resolver asks as the server does: who is this subject, with that claim?
type resolver struct {
	t  *testing.T
	db *pgtest.Database
}

func (r resolver) resolve(subject string, claim *string, create bool) (string, error) {
	var role string
	err := r.db.Conn("tinydev_server").QueryRow(context.Background(), "select tinydev_impl.resolve_identity($1, $2, $3, $4)", loginHost, subject, claim, create).Scan(&role)
	return role, postgres.Fault(err, "")
}

func (r resolver) want(subject, claim, role, code string) {
	r.t.Helper()
	got, err := r.resolve(subject, &claim, false)
	switch {
	case code == "" && (err != nil || got != role):
		r.t.Errorf("%s who claims %s is %q (%v), not %q", subject, claim, got, err, role)
	case code != "" && fault.CodeOf(err) != code:
		r.t.Errorf("%s who claims %s is %q (%v), want %s", subject, claim, got, err, code)
	}
}

func TestIdentitiesAreBoundOnce(t *testing.T) {
	t.Parallel()
	r := resolver{t, pgtest.DB(t)}
	if _, err := r.resolve("s1", nil, false); fault.CodeOf(err) != "identity_unknown" {
		t.Errorf("%v", err)
	}
	r.want("s1", "bob", "bob", "")
	r.want("s1", "eve", "bob", "")            // the claim changed, the person did not
	r.want("s1", "tinydev_owner", "bob", "")  // nor does it help to claim more
	r.want("s2", "bob", "", "identity_taken") // another one with the same name
	r.want("s2", "eve", "eve", "")
	r.want("s3", "nobody_here", "", "user_unknown")
	if role, err := r.resolve("s1", nil, false); role != "bob" || err != nil {
		t.Errorf("%q %v", role, err)
	}
	for claim, code := range map[string]string{
		"admin": "identity_not_linked", "tinydev_superuser": "not_a_user", "tinydev_owner": "not_a_user", "tinydev_server": "not_a_user", "tinydev_user": "not_a_user",
		"tinydev_admin": "not_a_user", "tinydev_roles": "not_a_user", "pg_monitor": "not_a_user", "pg_read_all_stats": "not_a_user", "public": "user_unknown",
	} {
		r.want("s4", claim, "", code)
	}
}

// A role that is an administrator by way of another role is one all the same.
func TestIdentitiesOfIndirectAdministrators(t *testing.T) {
	t.Parallel()
	tx := pgtest.Tx(t, "tinydev_superuser")
	ctx := context.Background()
	for _, sql := range []string{"create role deputies nologin", "grant tinydev_admin to deputies", "grant deputies to eve"} {
		if _, err := tx.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	_, err := tx.Exec(ctx, "select tinydev_impl.resolve_identity('https://login.example.org', 's', 'eve', false)")
	if fault.CodeOf(postgres.Fault(err, "")) != "identity_not_linked" {
		t.Errorf("%v", err)
	}
}

func TestLinkIdentity(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	c, db := open(t)
	r := resolver{t, db}
	admin, bob := c.As(pgtest.Admin), c.As(pgtest.Bob)

	plan, err := admin.LinkIdentity(ctx, "admin", loginHost, "s'1", true)
	if err != nil || len(plan.SQL) != 1 || !strings.Contains(plan.SQL[0], "'s''1'") {
		t.Fatalf("%v %v", plan, err)
	}
	r.want("s'1", "admin", "", "identity_not_linked")
	if _, err := db.Conn(pgtest.Admin).Exec(ctx, plan.SQL[0]); err != nil { // the plan runs as it stands
		t.Fatal(err)
	}
	r.want("s'1", "whatever", "admin", "")
	linked, err := admin.LinkIdentity(ctx, pgtest.Ann, loginHost, "s2", false)
	if err != nil || linked.Made.Name != pgtest.Ann || linked.Made.Subject != "s2" || linked.Made.LinkedAt == nil {
		t.Fatalf("%+v %v", linked, err)
	}
	r.want("s2", "bob", pgtest.Ann, "")
	if _, err := admin.LinkIdentity(ctx, pgtest.Ann, loginHost, "s3", false); err != nil {
		t.Fatal(err)
	}
	r.want("s3", "bob", pgtest.Ann, "")
	r.want("s2", "bob", "bob", "") // was replaced, so it is free for whom it claims to be

	_, err = admin.LinkIdentity(ctx, "eve", loginHost, "s3", false)
	if f := fault.As(err); f == nil || !strings.Contains(f.Hint, "tinydev.unlink_identity(name => 'Ann'") {
		t.Errorf("%v", err)
	}
	for what, call := range map[string]func() (control.Change[control.Identity], error){
		"admin_only": func() (control.Change[control.Identity], error) {
			return bob.LinkIdentity(ctx, "bob", loginHost, "s9", false)
		},
		"identity_in_use": func() (control.Change[control.Identity], error) {
			return admin.LinkIdentity(ctx, "eve", loginHost, "s3", false)
		},
		"identity_not_found": func() (control.Change[control.Identity], error) {
			return admin.UnlinkIdentity(ctx, "eve", loginHost, false)
		},
	} {
		if got, err := call(); fault.CodeOf(err) != what {
			t.Errorf("%s: %+v %v", what, got, err)
		}
	}
	if _, err := bob.UnlinkIdentity(ctx, pgtest.Ann, loginHost, false); fault.CodeOf(err) != "admin_only" {
		t.Errorf("%v", err)
	}
	for _, role := range []string{"tinydev_superuser", "tinydev_owner", "postgres", "nobody_here", ""} {
		if _, err := admin.LinkIdentity(ctx, role, loginHost, "s8", false); fault.CodeOf(err) != "not_a_user" {
			t.Errorf("%q: %v", role, err)
		}
	}
	for _, bad := range []struct{ issuer, subject string }{
		{"", "s"}, {"login.example.org", "s"}, {"https://a@login.example.org", "s"}, {"https://login.example.org?x", "s"}, {"javascript:x", "s"},
		{loginHost, ""}, {loginHost, strings.Repeat("x", 256)},
	} {
		if _, err := admin.LinkIdentity(ctx, "eve", bad.issuer, bad.subject, false); fault.CodeOf(err) != "identity_invalid" {
			t.Errorf("%+v: %v", bad, err)
		}
	}

	if list, err := admin.Identities(ctx, pgtest.Ann); err != nil || len(list) != 1 || list[0].Subject != "s3" {
		t.Errorf("%+v %v", list, err)
	}
	if list, err := bob.Identities(ctx, pgtest.Ann); err != nil || len(list) != 0 {
		t.Errorf("bob sees who Ann is elsewhere: %+v %v", list, err)
	}
	if list, err := bob.Identities(ctx, pgtest.Bob); err != nil || len(list) != 1 {
		t.Errorf("bob does not see who he is: %+v %v", list, err)
	}
	if plan, err := admin.UnlinkIdentity(ctx, pgtest.Ann, loginHost, true); err != nil || len(plan.SQL) != 1 {
		t.Errorf("%+v %v", plan, err)
	}
	if gone, err := admin.UnlinkIdentity(ctx, pgtest.Ann, loginHost, false); err != nil || gone.Made.Subject != "s3" {
		t.Errorf("%+v %v", gone, err)
	}
	r.want("s3", "nobody_here", "", "user_unknown")
}

// Users who are made at their first sign-on are plain ones, made once however many requests they begin with.
func TestIdentitiesMakeUsers(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := pgtest.DB(t)
	r := resolver{t, db}
	const name = "from_outside"
	t.Cleanup(func() {
		if _, err := db.Superuser().Exec(ctx, "drop owned by "+name+"; drop role "+name); err != nil {
			t.Error(err)
		}
	})
	conns := make([]pgtest.Querier, 6)
	for i := range conns {
		conns[i] = db.Conn("tinydev_server")
	}
	var all sync.WaitGroup
	for i, conn := range conns {
		all.Go(func() {
			var role string
			if err := conn.QueryRow(ctx, "select tinydev_impl.resolve_identity($1, 's1', $2, true)", loginHost, name).Scan(&role); err != nil || role != name {
				t.Errorf("call %d: %q %v", i, role, err)
			}
		})
	}
	all.Wait()
	super := db.Superuser()
	if pgtest.Value[bool](t, super, "select pg_has_role($1, 'tinydev_admin', 'member')", name) {
		t.Error("a user from outside administers")
	}
	if !pgtest.Value[bool](t, super, "select tinydev_impl.is_user($1) and exists (select from pg_namespace where nspname = $1 and nspowner = $1::text::regrole)", name) {
		t.Error("the user has no workspace")
	}
	taken := name
	if _, err := r.resolve("s2", &taken, true); fault.CodeOf(err) != "identity_taken" {
		t.Errorf("%v", err)
	}
	for _, claim := range []string{"pg_x", "tinydev_x", "public", "cron", "information_schema"} {
		if _, err := r.resolve("s3", &claim, true); fault.CodeOf(err) != "user_name_invalid" {
			t.Errorf("%s: %v", claim, err)
		}
	}
	if n := pgtest.Value[int](t, super, "select count(*)::int from tinydev_impl.identity"); n != 1 {
		t.Errorf("%d identities are left over", n)
	}
}

// Nobody but the server asks who a subject is, and nobody else can make users by it.
func TestIdentitiesAreTheServersBusiness(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := pgtest.DB(t)
	for _, role := range []string{pgtest.Bob, pgtest.Admin} {
		conn := db.Conn(role)
		for _, sql := range []string{
			"select tinydev_impl.resolve_identity('https://login.example.org', 's', 'bob', true)", "select tinydev_impl.create_user_of_identity('x')",
			"select * from tinydev_impl.identity", "select tinydev_lib.put_identity('bob', 'https://login.example.org', 's', false)",
			"select tinydev_lib.remove_identity('bob', 'https://login.example.org', false)", "insert into tinydev.identity (name, issuer, subject) values ('bob', 'https://login.example.org', 's')",
		} {
			if role == pgtest.Admin && strings.Contains(sql, "tinydev_lib.") {
				continue
			}
			if _, err := conn.Exec(ctx, sql); fault.CodeOf(postgres.Fault(err, "")) != "not_allowed" {
				t.Errorf("%s: %s: %v", role, sql, err)
			}
		}
	}
}
