package control_test

import (
	"context"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// TestOthersDefinersGetNothingOfTheCaller has bob call eve's function that runs with her rights, and fire her trigger by a foreign
// key's cascade. PostgreSQL runs both as eve; what we offer must not take bob's session for bob. (A trigger that fires after the cascade
// PostgreSQL runs as bob: who grants REFERENCES, or TRIGGER, lets others' code in.)
func TestOthersDefinersGetNothingOfTheCaller(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := pgtest.DB(t)
	bob, eve, admin, super := db.Conn(pgtest.Bob), db.Conn(pgtest.Eve), db.Conn(pgtest.Admin), db.Superuser()
	hostile := map[string]string{
		"a token":              "select tinydev.create_token(md5(random()::text), sha256 => encode(sha256(random()::text::bytea), 'hex'))",
		"a token for bob":      "select tinydev.create_token(md5(random()::text), for_user => session_user, sha256 => encode(sha256(random()::text::bytea), 'hex'))",
		"a token, by the view": "insert into tinydev_lib.own_token (role_name, name, sha256) values (session_user, md5(random()::text), encode(sha256(random()::text::bytea), 'hex'))",
		"trust":                "select tinydev.trust('eve')",
		"trust, by the view":   "insert into tinydev_lib.own_trust (role_name, owner_name) values (session_user, 'eve')",
		"trust in another":     "select tinydev.trust('Ann')",
		"an end of trust":      "select tinydev.untrust('admin')",
		"its end, by the view": "insert into tinydev_lib.own_removal (role_name, owner_name) values (session_user, 'admin')",
		"an end of a token":    "select tinydev.revoke_token('kept', for_user => session_user)",
		"by number":            "select tinydev.revoke_token(t.token_id) from generate_series(1, 50) t(token_id)",
		"by the view":          "insert into tinydev_lib.own_removal (role_name, token_id) select session_user, t from generate_series(1, 50) t",
		"a password":           "select tinydev.set_password('SCRAM-SHA-256$4096:AAAAAAAAAAAAAAAAAAAAAA==$' || repeat('A', 43) || '=:' || repeat('A', 43) || '=', name => session_user)",
		"a user":               "select tinydev.create_user('made_by_eve')",
		"a setting":            "select tinydev.set_setting('read_all', 'true')",
		"a share":              "select tinydev.share('bob.p', 'eve')",
		"a job":                "select cron.schedule('x', '* * * * *', 'select 1')",
		"a subscription":       "select tinydev.create_subscription('x', 'email', 'eve@example.org')",
		"one, by the view":     "insert into tinydev_lib.own_request (role_name, verb, arguments) values (session_user, 'create_subscription', '{\"name\": \"x\", \"kind\": \"email\", \"target\": \"eve@example.org\", \"attach_rows\": 1, \"options\": {}, \"rearm\": \"each\", \"digest_seconds\": 0, \"timeout_seconds\": 30, \"retry_seconds\": [], \"pause_after_seconds\": 60}')",
		"mail of another's":    "select tinydev.alter_subscription(session_user || '.notices', target => 'eve@example.org')",
		"its end":              "select tinydev.drop_subscription(session_user || '.notices')",
	}
	run(t, bob, "select tinydev.trust('admin')", "select tinydev.create_token('kept', sha256 => repeat('c', 64))", "create table p (a int primary key); grant references on p to eve; grant usage on schema bob to eve")
	run(t, admin, "select tinydev.trust('bob')", "select tinydev.create_token('kept', sha256 => repeat('d', 64))")
	state := func() string {
		return pgtest.Value[string](t, super, `select concat_ws(E'\n',
			(select string_agg(concat_ws(' ', role_name, name, sha256), E'\n' order by token_id) from tinydev_impl.token where role_name <> 'eve'),
			(select string_agg(concat_ws(' ', role_name, owner_name), E'\n' order by 1) from tinydev_impl.trust where role_name <> 'eve'),
			(select count(*) from cron.job where username <> 'eve' and username <> 'tinydev_server'), (select relacl from pg_class where oid = 'bob.p'::regclass),
			(select read_all from tinydev_impl.instance), (select count(*) from tinydev_impl.removal),
			(select string_agg(concat_ws(' ', role_name, name, target), E'\n' order by subscription_id) from tinydev_impl.subscription where role_name <> 'eve'), (select count(*) from tinydev_impl.request),
			(select string_agg(rolname || coalesce(rolpassword, ''), ' ' order by 1) from pg_authid where rolname in ('bob', 'eve', 'admin', 'made_by_eve')))`)
	}
	before := state()
	run(t, eve, "create table c (a int references bob.p on delete cascade)", "create function on_c() returns trigger language plpgsql security invoker as 'begin return old; end'",
		"create trigger x before delete on c for each row execute function on_c()", "grant usage on schema eve to bob, admin")
	for what, sql := range hostile {
		body := "$f$ begin execute $q$" + sql + "$q$; return; exception when others then return; end $f$"
		run(t, eve, "create or replace function lookup() returns void language plpgsql security definer as "+body,
			"create or replace function on_c() returns trigger language plpgsql as $f$ begin begin execute $q$"+sql+"$q$; exception when others then null; end; return old; end $f$")
		run(t, bob, "select eve.lookup()")
		run(t, admin, "select eve.lookup()")
		run(t, bob, "insert into p values (1)")
		run(t, eve, "insert into c values (1)")
		if _, err := bob.Exec(ctx, "delete from p"); err != nil {
			t.Errorf("%s: the cascade: %v", what, err)
		}
		if after := state(); after != before {
			t.Errorf("eve got %s:\n%s\n---\n%s", what, before, after)
			before = after
		}
	}
	// The same by bob himself works, so the refusals are not for other reasons.
	run(t, bob, hostile["a token"], hostile["a token for bob"], hostile["trust"], hostile["an end of trust"], hostile["an end of a token"])
	if got := pgtest.Value[string](t, super, "select concat_ws(' ', (select count(*) from tinydev_impl.token where role_name = 'bob'), (select string_agg(owner_name, ',') from tinydev_impl.trust where role_name = 'bob'), (select count(*) from tinydev_impl.removal))"); got != "2 eve 0" {
		t.Errorf("bob has %s", got)
	}
	// Who may write through the views may not lock what is behind them.
	for view, column := range map[string]string{"own_token": "role_name", "own_trust": "role_name", "own_removal": "role_name", "own_request": "role_name", "own_event": "actor"} {
		for _, sql := range []string{"lock table tinydev_lib." + view + " in share mode", "lock table tinydev_lib." + view + " in access exclusive mode", "delete from tinydev_lib." + view, "update tinydev_lib." + view + " set " + column + " = 'eve'"} {
			if _, err := eve.Exec(ctx, sql); sqlState(err) != "42501" && sqlState(err) != "25P01" {
				t.Errorf("%s: %v", sql, err)
			}
			if _, err := eve.Exec(ctx, "begin; "+sql); sqlState(err) != "42501" {
				t.Errorf("in a transaction: %s: %v", sql, err)
			}
			run(t, eve, "rollback")
		}
	}
}
