package control_test

import (
	"context"
	"encoding/json"
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

const testServer = "11111111-2222-4333-8444-555555555555"

// serve has a server deliver everything from now on, with commands "backup" for bob and "all" for everyone, to the net of 127.0.0.1.
func serve(t *testing.T, db *pgtest.Database) {
	t.Helper()
	exec(t, db.Conn("tinydev_server"), `select * from tinydev_impl.hold_subscriptions('`+testServer+`', 'test', '{webhook,email,command}', '{"backup": ["bob"], "all": ["everyone"]}', '{127.0.0.1/32}')`)
	exec(t, db.Superuser(), "update tinydev_impl.server set lease_until = 'infinity'")
}

func webhook(name string) control.NewSubscription {
	return control.NewSubscription{Name: name, Kind: "webhook", Target: "https://example.org/hook"}
}

// faultOf runs a statement that has to fail and gives its fault.
func faultOf(t *testing.T, conn *pgx.Conn, sql string, args ...any) *fault.Error {
	t.Helper()
	_, err := conn.Exec(context.Background(), sql, args...)
	f := fault.As(postgres.Fault(err, ""))
	if f == nil {
		t.Fatalf("%s: no fault: %v", sql, err)
	}
	return f
}

// placed moves what happened into the log and gives its end.
func placed(t *testing.T, db *pgtest.Database) int64 {
	t.Helper()
	return pgtest.Value[int64](t, db.Conn("tinydev_server"), "select head from tinydev_impl.place(10000)")
}

func TestSubscriptionsAreMadeAndChanged(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann, bob, admin := context.Background(), c.As(pgtest.Ann), c.As(pgtest.Bob), c.As(pgtest.Admin)
	serve(t, db)
	exec(t, db.Conn(pgtest.Ann), "create table prices as select 1 as price")

	want := webhook("hook")
	want.Types, want.Subjects = &[]string{"tinydev.view.*", "table.loaded", "view.*"}, &[]string{"prices", "bob.*"}
	condition, attach, rows, rearm, timeout := "$.rows > 0", "prices", 5, "each", 7
	want.Condition, want.Attach, want.AttachRows, want.Rearm, want.TimeoutSeconds, want.RetrySeconds = &condition, &attach, &rows, &rearm, &timeout, &[]int{1, 2}
	made := must[control.Change[control.Subscription]](t)(ann.CreateSubscription(ctx, want, false)).Made
	if made.Owner != pgtest.Ann || made.Name != "hook" || made.Kind != "webhook" || !slices.Equal(made.Types, []string{"tinydev.table.loaded", "tinydev.view.*"}) ||
		!slices.Equal(made.Subjects, []string{`"Ann".prices`, "bob.*"}) || *made.Condition != `($."rows" > 0)` || *made.Attach != `"Ann".prices` || made.AttachRows != 5 ||
		made.TimeoutSeconds != 7 || !slices.Equal(made.RetrySeconds, []int{1, 2}) || !made.Active || made.PausedAt != nil || made.DigestSeconds != 0 || len(made.Warnings) != 0 || made.Behind != 0 {
		t.Errorf("made %+v", made)
	}
	if !strings.HasPrefix(made.Secret, "whsec_") || len(made.Secret) != 50 {
		t.Errorf("the secret is %q", made.Secret)
	}
	seen := must[control.Subscription](t)(ann.DescribeSubscription(ctx, "hook"))
	if seen.Secret != "" || seen.SubscriptionID != made.SubscriptionID || seen.Position != made.Position {
		t.Errorf("described as %+v", seen)
	}

	// What is there reads as described by everybody who may see it, and not by others.
	for _, name := range []string{`"Ann".hook`, "Ann.hook"} {
		if got := must[control.Subscription](t)(admin.DescribeSubscription(ctx, name)); got.SubscriptionID != made.SubscriptionID {
			t.Errorf("%s: %+v", name, got)
		}
		_, err := bob.DescribeSubscription(ctx, name)
		wantFault(t, err, fault.NotFound, "subscription_not_found")
	}
	if list := must[[]control.Subscription](t)(bob.Subscriptions(ctx, 0, 10)); slices.ContainsFunc(list, func(s control.Subscription) bool { return s.Owner != pgtest.Bob }) {
		t.Errorf("bob sees %+v", list)
	}
	if list := must[[]control.Subscription](t)(admin.Subscriptions(ctx, made.SubscriptionID-1, 1)); len(list) != 1 || list[0].Name != "hook" {
		t.Errorf("the administrator sees %+v", list)
	}

	// Each part changes by itself, and an empty one goes.
	none, off, on := "", false, true
	change := func(what control.SubscriptionChange) control.Subscription {
		t.Helper()
		return must[control.Change[control.Subscription]](t)(ann.AlterSubscription(ctx, "hook", nil, what, nil, false)).Made
	}
	if got := change(control.SubscriptionChange{Types: &[]string{}, Condition: &none, Attach: &none}); got.Types != nil || got.Condition != nil || got.Attach != nil || len(got.Subjects) != 2 || got.TimeoutSeconds != 7 {
		t.Errorf("emptied to %+v", got)
	}
	every, seconds := "every", 60
	if got := change(control.SubscriptionChange{RearmSeconds: &seconds}); got.Rearm != "every" || *got.RearmSeconds != 60 {
		t.Errorf("rearm is %+v", got)
	}
	once := "once"
	if got := change(control.SubscriptionChange{Rearm: &once}); got.Rearm != "once" || got.RearmSeconds != nil {
		t.Errorf("rearm is %+v", got)
	}
	change(control.SubscriptionChange{Rearm: &every, RearmSeconds: &seconds})
	target := "http://127.0.0.1:9/x"
	if got := must[control.Change[control.Subscription]](t)(ann.AlterSubscription(ctx, "hook", &target, control.SubscriptionChange{}, nil, false)).Made; got.Target != target {
		t.Errorf("the target is %s", got.Target)
	}
	paused := must[control.Change[control.Subscription]](t)(admin.AlterSubscription(ctx, "Ann.hook", nil, control.SubscriptionChange{}, &off, false)).Made
	if paused.Active || *paused.PauseReason != "user" || paused.PausedAt == nil || paused.Owner != pgtest.Ann {
		t.Errorf("paused: %+v", paused)
	}
	_, err := ann.TestSubscription(ctx, "hook", false)
	wantFault(t, err, fault.Conflict, "subscription_paused")
	if got := must[control.Change[control.Subscription]](t)(ann.AlterSubscription(ctx, "hook", nil, control.SubscriptionChange{}, &on, false)).Made; !got.Active || got.PauseReason != nil {
		t.Errorf("resumed: %+v", got)
	}
	if got := events(t, db, "subscription.paused", `"Ann".hook`); len(got) != 1 || got[0]["reason"] != "user" {
		t.Errorf("subscription.paused says %v", got)
	}
	if got := events(t, db, "subscription.resumed", `"Ann".hook`); len(got) != 1 {
		t.Errorf("subscription.resumed says %v", got)
	}

	tested := must[control.Change[control.TestedSubscription]](t)(ann.TestSubscription(ctx, "hook", false)).Made
	placed(t, db)
	if id := pgtest.Value[int64](t, db.Superuser(), `select event_id from tinydev_impl.event where type = 'subscription.tested' and subject = '"Ann".hook'`); tested.EventID != id || tested.Name != "hook" || tested.Owner != pgtest.Ann {
		t.Errorf("tested %+v, event %d", tested, id)
	}
	if d := must[*control.Delivery](t)(ann.TestedDelivery(ctx, "hook", tested.EventID, 0)); d != nil {
		t.Errorf("delivered %+v", d)
	}

	for what, change := range map[string]func(u *control.User) error{
		"alter": func(u *control.User) error {
			_, err := u.AlterSubscription(ctx, "Ann.hook", nil, control.SubscriptionChange{}, &off, false)
			return err
		},
		"drop":   func(u *control.User) error { _, err := u.DropSubscription(ctx, "Ann.hook", false); return err },
		"rotate": func(u *control.User) error { _, err := u.RotateSecret(ctx, "Ann.hook", "", 60, false); return err },
		"test":   func(u *control.User) error { _, err := u.TestSubscription(ctx, "Ann.hook", false); return err },
		"redeliver": func(u *control.User) error {
			_, err := u.Redeliver(ctx, "Ann.hook", control.Redelivery{}, false)
			return err
		},
		"replay":     func(u *control.User) error { _, err := u.Replay(ctx, "Ann.hook", 0, false); return err },
		"deliveries": func(u *control.User) error { _, err := u.Deliveries(ctx, "Ann.hook", "", 0, 10); return err },
		"delivery":   func(u *control.User) error { _, err := u.DescribeDelivery(ctx, "Ann.hook", 1); return err },
		"tested":     func(u *control.User) error { _, err := u.TestedDelivery(ctx, "Ann.hook", 1, 0); return err },
	} {
		if err := change(bob); fault.CodeOf(err) != "subscription_not_found" {
			t.Errorf("%s of another's: %v", what, err)
		}
	}
	if dropped := must[control.Change[control.DroppedSubscription]](t)(admin.DropSubscription(ctx, "Ann.hook", false)).Made; dropped != (control.DroppedSubscription{Dropped: "hook", Owner: pgtest.Ann}) {
		t.Errorf("dropped %+v", dropped)
	}
	_, err = ann.DropSubscription(ctx, "hook", false)
	wantFault(t, err, fault.NotFound, "subscription_not_found")
}

// TestSubscriptionFaults gives each argument what it cannot be, in SQL.
func TestSubscriptionFaults(t *testing.T) {
	t.Parallel()
	_, db := open(t)
	serve(t, db)
	ann := db.Conn(pgtest.Ann)
	exec(t, db.Conn(pgtest.Bob), "create table secret (a int); grant usage on schema bob to public")
	exec(t, db.Conn(pgtest.Eve), "grant usage on schema eve to public; create function f() returns int language sql as 'select 1'; create view code as select eve.f() as a; grant select on code to public")
	exec(t, ann, "select tinydev.create_subscription('taken', 'webhook', 'https://example.org/', secret => 'whsec_' || repeat('A', 32))")
	exec(t, db.Superuser(), "select tinydev_impl.add_notices('Ann')")
	const (
		hook = `name => 'x', kind => 'webhook', target => 'https://example.org/'`
		mail = `name => 'x', kind => 'email', target => 'ann@example.org'`
	)
	for _, f := range []struct{ arguments, code, field string }{
		{`name => '', kind => 'webhook', target => 'https://example.org/'`, "subscription_invalid", "name"},
		{`name => null, kind => 'webhook', target => 'https://example.org/'`, "subscription_invalid", "name"},
		{`name => 'Hook', kind => 'webhook', target => 'https://example.org/'`, "subscription_invalid", "name"},
		{`name => '1a', kind => 'webhook', target => 'https://example.org/'`, "subscription_invalid", "name"},
		{`name => 'a.b', kind => 'webhook', target => 'https://example.org/'`, "subscription_invalid", "name"},
		{`name => e'a\nb', kind => 'webhook', target => 'https://example.org/'`, "subscription_invalid", "name"},
		{`name => repeat('x', 64), kind => 'webhook', target => 'https://example.org/'`, "subscription_invalid", "name"},
		{`name => 'taken', kind => 'email', target => 'ann@example.org'`, "subscription_name_taken", ""},
		{`name => 'x', kind => 'sms', target => '1'`, "subscription_invalid", "kind"},
		{`name => 'x', kind => null, target => '1'`, "subscription_invalid", "kind"},
		{`name => 'x', kind => 'webhook', target => null`, "subscription_invalid", "target"},
		{`name => 'x', kind => 'webhook', target => ''`, "subscription_invalid", "target"},
		{`name => 'x', kind => 'webhook', target => 'example.org'`, "subscription_invalid", "target"},
		{`name => 'x', kind => 'webhook', target => 'ftp://example.org/'`, "subscription_invalid", "target"},
		{`name => 'x', kind => 'webhook', target => 'https://'`, "subscription_invalid", "target"},
		{`name => 'x', kind => 'webhook', target => 'https:///path'`, "subscription_invalid", "target"},
		{`name => 'x', kind => 'webhook', target => 'https://ann:secret@example.org/'`, "subscription_invalid", "target"},
		{`name => 'x', kind => 'webhook', target => 'https://a b/'`, "subscription_invalid", "target"},
		{`name => 'x', kind => 'webhook', target => e'https://example.org/\r\nX: y'`, "subscription_invalid", "target"},
		{`name => 'x', kind => 'webhook', target => 'https://example.org/' || repeat('x', 2048)`, "subscription_invalid", "target"},
		{`name => 'x', kind => 'webhook', target => 'https://10.0.0.1/'`, "target_forbidden", "target"},
		{`name => 'x', kind => 'webhook', target => 'https://127.0.0.2/'`, "target_forbidden", "target"},
		{`name => 'x', kind => 'webhook', target => 'http://169.254.169.254/latest'`, "target_forbidden", "target"},
		{`name => 'x', kind => 'webhook', target => 'https://[::1]:8443/'`, "target_forbidden", "target"},
		{`name => 'x', kind => 'webhook', target => 'https://[::ffff:10.0.0.1]/'`, "target_forbidden", "target"},
		{`name => 'x', kind => 'email', target => ''`, "subscription_invalid", "target"},
		{`name => 'x', kind => 'email', target => ', ,'`, "subscription_invalid", "target"},
		{`name => 'x', kind => 'email', target => 'ann'`, "subscription_invalid", "target"},
		{`name => 'x', kind => 'email', target => 'ann@'`, "subscription_invalid", "target"},
		{`name => 'x', kind => 'email', target => 'Ann <ann@example.org>'`, "subscription_invalid", "target"},
		{`name => 'x', kind => 'email', target => 'ann@example.org; bob@example.org'`, "subscription_invalid", "target"},
		{`name => 'x', kind => 'email', target => e'ann@example.org\nBcc: eve@example.org'`, "subscription_invalid", "target"},
		{`name => 'x', kind => 'email', target => repeat('ann@example.org,', 21)`, "subscription_invalid", "target"},
		{`name => 'x', kind => 'command', target => 'rm'`, "command_unknown", "target"},
		{`name => 'x', kind => 'command', target => 'backup'`, "command_unknown", "target"},
		{`name => 'x', kind => 'command', target => ''`, "command_unknown", "target"},
		{hook + `, types => array['View.*']`, "subscription_invalid", "types"},
		{hook + `, types => array['view failed']`, "subscription_invalid", "types"},
		{hook + `, types => array['']`, "subscription_invalid", "types"},
		{hook + `, types => array['view.failed', null]`, "subscription_invalid", "types"},
		{hook + `, types => array(select repeat('x', g) || '.y' from generate_series(1, 101) g)`, "subscription_invalid", "types"},
		{hook + `, subjects => array[repeat('x', 301)]`, "subscription_invalid", "subjects"},
		{hook + `, subjects => array[e'a\nb']`, "subscription_invalid", "subjects"},
		{hook + `, subjects => array['ann.*', null]`, "subscription_invalid", "subjects"},
		{hook + `, subjects => array(select 's' || g from generate_series(1, 101) g)`, "subscription_invalid", "subjects"},
		{hook + `, condition => 'rows > 0'`, "condition_invalid", "condition"},
		{hook + `, condition => '$.rows >'`, "condition_invalid", "condition"},
		{hook + `, condition => '$.rows ? (@ > 0)'`, "condition_invalid", "condition"},
		{hook + `, condition => '$.a == "' || repeat('x', 2000) || '"'`, "condition_invalid", "condition"},
		{hook + `, condition => '$.a like_regex "("'`, "condition_invalid", "condition"},
		{hook + `, attach => 'nothing'`, "relation_not_found", ""},
		{hook + `, attach => 'a.b.c'`, "name_invalid", ""},
		{hook + `, attach => 'bob.secret'`, "not_readable", "attach"},
		{hook + `, attach => 'tinydev_impl.token'`, "not_readable", "attach"},
		{hook + `, attach => 'pg_catalog.pg_authid'`, "not_readable", "attach"},
		{hook + `, attach => 'eve.code'`, "foreign_code", ""},
		{hook + `, attach_rows => 0`, "subscription_invalid", "attach_rows"},
		{hook + `, attach_rows => 1001`, "subscription_invalid", "attach_rows"},
		{hook + `, options => '{"a": 1}'`, "subscription_invalid", "options"},
		{mail + `, options => '{"subjekt": "x"}'`, "subscription_invalid", "options"},
		{mail + `, options => '{"chart": "pie"}'`, "subscription_invalid", "options"},
		{mail + `, options => '{"subject": 5}'`, "subscription_invalid", "options"},
		{mail + `, options => '["subject"]'`, "subscription_invalid", "options"},
		{mail + `, options => 'null'`, "subscription_invalid", "options"},
		{mail + `, options => jsonb_build_object('body', repeat('x', 20001))`, "subscription_invalid", "options"},
		{hook + `, rearm => 'twice'`, "subscription_invalid", "rearm"},
		{hook + `, rearm => 'every'`, "subscription_invalid", "rearm_seconds"},
		{hook + `, rearm => 'once', rearm_seconds => 60`, "subscription_invalid", "rearm_seconds"},
		{hook + `, rearm => 'every', rearm_seconds => 0`, "subscription_invalid", "rearm_seconds"},
		{hook + `, digest_seconds => 60`, "subscription_invalid", "digest_seconds"},
		{mail + `, digest_seconds => -1`, "subscription_invalid", "digest_seconds"},
		{mail + `, digest_seconds => 604801`, "subscription_invalid", "digest_seconds"},
		{hook + `, timeout_seconds => 0`, "subscription_invalid", "timeout_seconds"},
		{hook + `, timeout_seconds => 301`, "subscription_invalid", "timeout_seconds"},
		{hook + `, retry_seconds => '{0}'`, "subscription_invalid", "retry_seconds"},
		{hook + `, retry_seconds => '{604801}'`, "subscription_invalid", "retry_seconds"},
		{hook + `, retry_seconds => '{5,null}'`, "subscription_invalid", "retry_seconds"},
		{hook + `, retry_seconds => array_fill(1, array[21])`, "subscription_invalid", "retry_seconds"},
		{hook + `, pause_after_seconds => 59`, "subscription_invalid", "pause_after_seconds"},
		{hook + `, pause_after_seconds => 31536001`, "subscription_invalid", "pause_after_seconds"},
		{hook + `, secret => 'secret'`, "secret_invalid", "secret"},
		{hook + `, secret => 'whsec_' || repeat('A', 28)`, "secret_invalid", "secret"},
		{hook + `, secret => 'whsec_' || repeat('A', 88)`, "secret_invalid", "secret"},
		{hook + `, secret => 'whsec_' || repeat('A', 33)`, "secret_invalid", "secret"},
		{mail + `, secret => 'whsec_' || repeat('A', 32)`, "secret_invalid", "secret"},
	} {
		for _, dry := range []string{"false", "true"} {
			got := faultOf(t, ann, "select tinydev.create_subscription("+f.arguments+", dry_run => "+dry+")")
			if field, _ := got.Fields["field"].(string); got.Code != f.code || field != f.field {
				t.Errorf("%.100s: %s %q in %v, want %s in %q", f.arguments, got.Code, got.Message, got.Fields, f.code, f.field)
			}
			if got.Message == "" || got.Code == "subscription_invalid" && got.Hint == "" && !strings.Contains(got.Message, "it has to be") && !strings.Contains(got.Message, "20,000") && !strings.Contains(got.Message, "has no options") {
				t.Errorf("%.100s: no hint beside %q", f.arguments, got.Message)
			}
		}
	}
	for _, f := range []struct{ arguments, code, field string }{
		{`target => 'nowhere'`, "subscription_invalid", "target"},
		{`target => ''`, "subscription_invalid", "target"},
		{`types => array['X']`, "subscription_invalid", "types"},
		{`condition => '$.'`, "condition_invalid", "condition"},
		{`attach => 'bob.secret'`, "not_readable", "attach"},
		{`options => '{"subject": "x"}'`, "subscription_invalid", "options"},
		{`rearm => 'every'`, "subscription_invalid", "rearm_seconds"},
		{`rearm => 'each', rearm_seconds => 5`, "subscription_invalid", "rearm_seconds"},
		{`timeout_seconds => 0`, "subscription_invalid", "timeout_seconds"},
	} {
		got := faultOf(t, ann, "select tinydev.alter_subscription('taken', "+f.arguments+")")
		if field, _ := got.Fields["field"].(string); got.Code != f.code || field != f.field {
			t.Errorf("alter %s: %s %q in %v", f.arguments, got.Code, got.Message, got.Fields)
		}
	}
	for _, f := range []struct{ sql, code string }{
		{"select tinydev.alter_subscription('nothing')", "subscription_not_found"},
		{"select tinydev.alter_subscription(null)", "subscription_not_found"},
		{"select tinydev.alter_subscription('')", "subscription_not_found"},
		{"select tinydev.drop_subscription('bob.taken')", "subscription_not_found"},
		{"select tinydev.drop_subscription(repeat('x', 100000))", "subscription_not_found"},
		{"select tinydev.rotate_secret('taken', 'x')", "secret_invalid"},
		{"select tinydev.rotate_secret('taken', keep_seconds => -1)", "secret_invalid"},
		{"select tinydev.rotate_secret('taken', keep_seconds => null)", "secret_invalid"},
		{"select tinydev.rotate_secret('taken', keep_seconds => 2592001)", "secret_invalid"},
		{"select tinydev.rotate_secret('notices')", "secret_invalid"},
		{"select tinydev.test_subscription('nothing')", "subscription_not_found"},
		{"select tinydev.test_subscription('notices')", "subscription_paused"},
		{"select tinydev.redeliver('nothing')", "subscription_not_found"},
		{"select tinydev.redeliver('taken', delivery_id => 1)", "delivery_not_found"},
		{"select tinydev.redeliver('taken', delivery_id => 1, state => 'dead')", "redelivery_invalid"},
		{"select tinydev.redeliver('taken', delivery_id => 1, from_position => 1)", "redelivery_invalid"},
		{"select tinydev.redeliver('taken', state => 'pending')", "redelivery_invalid"},
		{"select tinydev.replay('nothing', 0)", "subscription_not_found"},
		{"select tinydev.replay('taken', null)", "position_invalid"},
		{"select tinydev.replay('taken', -1)", "position_invalid"},
		{"select tinydev.replay('taken', 1000000)", "position_ahead"},
		{"select tinydev.describe_subscription('nothing')", "subscription_not_found"},
		{"select tinydev.describe_delivery('nothing', 1)", "subscription_not_found"},
		{"select tinydev.describe_delivery('taken', 1)", "delivery_not_found"},
		{"select tinydev.alter_subscription('notices', active => true)", "subscription_invalid"},
	} {
		if got := faultOf(t, ann, f.sql); got.Code != f.code {
			t.Errorf("%s: %s %s", f.sql, got.Code, got.Message)
		}
	}
	if n := pgtest.Value[int](t, ann, "select count(*)::int from tinydev.subscription"); n != 2 {
		t.Errorf("there are %d subscriptions", n)
	}
	if got := faultOf(t, db.Conn(pgtest.Admin), "select tinydev.test_subscription('taken')"); !strings.Contains(got.Hint, `"Ann".taken`) {
		t.Errorf("the administrator is told %q", got.Hint)
	}
	if got := faultOf(t, db.Conn(pgtest.Bob), "select tinydev.test_subscription('taken')"); strings.Contains(got.Hint, "Ann") {
		t.Errorf("bob is told %q", got.Hint)
	}

	// Null is as good as left out.
	exec(t, ann, `select tinydev.create_subscription('nulls', 'email', 'ann@example.org', null, null, null, null, null, null, null, null, null, null, null, null, null, null)`)
	if got := pgtest.Value[string](t, ann, "select concat_ws(' ', attach_rows, options, rearm, digest_seconds, timeout_seconds, retry_seconds, pause_after_seconds) from tinydev.subscription where name = 'nulls'"); got != "100 {} each 0 30 {5,30,120,600,1800,3600,10800,21600,43200} 43200" {
		t.Errorf("nulls give %s", got)
	}
}

// TestSubscriptionWarnings holds what is said where nobody delivers.
func TestSubscriptionWarnings(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann := context.Background(), c.As(pgtest.Ann)
	if got := must[control.Change[control.Subscription]](t)(ann.CreateSubscription(ctx, webhook("early"), false)).Made.Warnings; len(got) != 1 || !strings.Contains(got[0], "no server is up") {
		t.Errorf("warnings %q", got)
	}
	// Without a server nobody can say which networks are allowed: it is the server that refuses.
	inner := webhook("inner")
	inner.Target = "http://10.0.0.1/"
	if got := must[control.Change[control.Subscription]](t)(ann.CreateSubscription(ctx, inner, false)).Made.Warnings; len(got) != 2 || !strings.Contains(got[0], "use https") {
		t.Errorf("warnings %q", got)
	}
	exec(t, db.Conn("tinydev_server"), `select * from tinydev_impl.hold_subscriptions('`+testServer+`', 'test', '{webhook}', '{}', '{}')`)
	if tested := must[control.Change[control.TestedSubscription]](t)(ann.TestSubscription(ctx, "early", false)).Made; len(tested.Warnings) != 0 {
		t.Errorf("a server can send it, and the warnings are %q", tested.Warnings)
	}
	mail := control.NewSubscription{Name: "mail", Kind: "email", Target: "ann@example.org"}
	if got := must[control.Change[control.Subscription]](t)(ann.CreateSubscription(ctx, mail, false)).Made.Warnings; len(got) != 1 || !strings.Contains(got[0], "TINYDEV_SMTP_URL") {
		t.Errorf("warnings %q", got)
	}
	if tested := must[control.Change[control.TestedSubscription]](t)(ann.TestSubscription(ctx, "mail", false)).Made; len(tested.Warnings) != 1 || !strings.Contains(tested.Warnings[0], "TINYDEV_SMTP_URL") {
		t.Errorf("warnings of a test that nobody sends: %q", tested.Warnings)
	}
	if got := must[control.Subscription](t)(ann.DescribeSubscription(ctx, "mail")).Unserved; got == nil || !strings.Contains(*got, "TINYDEV_SMTP_URL") {
		t.Errorf("what no server has: %v", got)
	}
	typed := webhook("typed")
	typed.Types = &[]string{"view.refreshd", "view.refreshed", "tinydev.view.failed", "prices.*"}
	if got := must[control.Change[control.Subscription]](t)(ann.CreateSubscription(ctx, typed, true)); len(got.SQL) != 1 {
		t.Errorf("%+v", got)
	}
	if got := must[control.Change[control.Subscription]](t)(ann.CreateSubscription(ctx, typed, false)).Made.Warnings; len(got) != 1 || !strings.Contains(got[0], "view.refreshd") {
		t.Errorf("warnings of a type that there is not: %q", got)
	}
	// Names are the server's to judge, but for TLS there has to be a network that may go without.
	exec(t, db.Superuser(), "update tinydev_impl.server set webhook_allow = '{127.0.0.0/8}'")
	for target, warned := range map[string]bool{"http://example.org/x": true, "http://127.0.0.1/x": false, "http://[::ffff:127.0.0.1]/x": false, "http://localhost:9/x": false, "https://example.org/x": false} {
		if got := must[control.Change[control.Subscription]](t)(ann.AlterSubscription(ctx, "typed", &target, control.SubscriptionChange{Types: &[]string{"view.*"}}, nil, false)).Made.Warnings; (len(got) == 1) != warned {
			t.Errorf("%s: warnings %q", target, got)
		}
	}
}

// TestKnownTypes holds the types that a subscription is warned about when it asks for others.
func TestKnownTypes(t *testing.T) {
	t.Parallel()
	_, db := open(t)
	known := pgtest.Value[[]string](t, db.Conn(pgtest.Ann), "select tinydev_lib.event_types()")
	for _, one := range control.EventTypes() {
		if name := strings.TrimPrefix(one.Type, "tinydev."); !slices.Contains(known, name) {
			t.Errorf("%s is not in sql/functions/event_types.sql", name)
		}
	}
}

// TestUnservedCommands holds what is said about commands that nobody runs, and that others' are not told of.
func TestUnservedCommands(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann, bob := context.Background(), c.As(pgtest.Ann), c.As(pgtest.Bob)
	serve(t, db)
	command := func(name string) control.NewSubscription {
		return control.NewSubscription{Name: "run", Kind: "command", Target: name}
	}
	_, err := ann.CreateSubscription(ctx, command("backup"), false)
	if f := wantFault(t, err, fault.Invalid, "command_unknown"); strings.Contains(f.Hint, "backup") || !strings.Contains(f.Hint, "there are: all") {
		t.Errorf("hint %q", f.Hint)
	}
	must[control.Change[control.Subscription]](t)(bob.CreateSubscription(ctx, command("backup"), false))
	for commands, says := range map[string]string{`{"all": ["everyone"]}`: "no server has the command backup", `{"backup": ["Ann"]}`: "bob may not use the command backup", `{"backup": ["bob"]}`: ""} {
		exec(t, db.Superuser(), "update tinydev_impl.server set commands = '"+commands+"'")
		got := must[control.Subscription](t)(bob.DescribeSubscription(ctx, "run")).Unserved
		if (got == nil) != (says == "") || got != nil && !strings.Contains(*got, says) {
			t.Errorf("with %s: %v", commands, got)
		}
	}
	exec(t, db.Superuser(), `update tinydev_impl.server set commands = '{"backup": ["bob"]}'`)
	_, err = ann.CreateSubscription(ctx, command("backup"), false)
	if f := wantFault(t, err, fault.Invalid, "command_unknown"); strings.Contains(f.Hint, "there are") {
		t.Errorf("hint %q", f.Hint)
	}
}

// TestBehind holds that a subscription is behind by what it has to deal with, not by what others write.
func TestBehind(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann := context.Background(), c.As(pgtest.Ann)
	serve(t, db)
	s := webhook("hook")
	s.Types, s.Subjects = &[]string{"test.happened"}, &[]string{`"Ann".x*`}
	id := must[control.Change[control.Subscription]](t)(ann.CreateSubscription(ctx, s, false)).Made.SubscriptionID
	behind := func() int64 {
		placed(t, db)
		return must[control.Subscription](t)(ann.DescribeSubscription(ctx, "hook")).Behind
	}
	for _, sql := range []string{"record_event('test.other', null, 'x1')", "record_event('test.happened', null, 'y1')", "create_subscription('other', 'email', 'ann@example.org')", "test_subscription('other')"} {
		exec(t, db.Conn(pgtest.Ann), "select tinydev."+sql)
	}
	exec(t, db.Conn(pgtest.Bob), "select tinydev.record_event('test.happened', null, 'x1')")
	if n := behind(); n != 0 {
		t.Errorf("behind by %d of others", n)
	}
	exec(t, db.Conn(pgtest.Ann), "select tinydev.record_event('test.happened', null, 'x' || i) from generate_series(1, 2) i; select tinydev.test_subscription('hook')")
	if n := behind(); n != 3 {
		t.Errorf("behind by %d, want 3", n)
	}
	deliverAs(t, db, id, placed(t, db)-2, "delivered", "waiting", "delivered")
	if n := behind(); n != 0 {
		t.Errorf("behind by %d when all is delivered or waits", n)
	}
	exec(t, db.Conn(pgtest.Ann), "select tinydev.record_event('test.other', null, 'z') from generate_series(1, 5100) i")
	if n := behind(); n != 100 {
		t.Errorf("behind by %d, want those beyond 5,000", n)
	}
}

// TestSubscriptionDryRuns runs what dry runs show, which has the effect that the call would have had, and nothing before.
func TestSubscriptionDryRuns(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann, conn := context.Background(), c.As(pgtest.Ann), db.Conn(pgtest.Ann)
	serve(t, db)
	exec(t, conn, "create table prices as select 1 as price", "set jit = off") // which takes a second for the query below
	const all = `select string_agg(concat_ws('|', s.name, s.kind, s.target, s.types, s.subjects, s.condition, s.attach, s.attach_rows, s.options, s.rearm, s.rearm_seconds, s.digest_seconds, s.timeout_seconds,
		s.retry_seconds, s.pause_after_seconds, s.active, s.position, s.old_secret_until is not null, (select string_agg(concat_ws(' ', d.delivery_id, d.state), ',' order by d.delivery_id) from tinydev.delivery d where d.subscription_id = s.subscription_id)), E'\n' order by s.name)
		|| (select count(*) from tinydev_impl.inbox) || (select count(*) from tinydev_impl.event) from tinydev.subscription s`
	super := db.Superuser()
	exec(t, super, "set jit = off")
	state := func() string { return pgtest.Value[string](t, super, all) }

	// Each creation and its twin, made by the statement of a dry run.
	condition, attach, subject := `$.what == "it's"`, "prices", "it's {{.Type}}"
	rearm, seconds, digest, timeout, pause := "every", 90, 300, 45, 600
	full := control.SubscriptionChange{Types: &[]string{"view.*", "table.loaded"}, Subjects: &[]string{"it's", `"Ann".*`, `a"b,c\d`}, Condition: &condition, Attach: &attach, AttachRows: &seconds,
		Options: json.RawMessage(`{"subject":"` + subject + `","chart":"bar"}`), Rearm: &rearm, RearmSeconds: &seconds, DigestSeconds: &digest, TimeoutSeconds: &timeout, RetrySeconds: &[]int{7, 8}, PauseAfterSeconds: &pause}
	made := map[string]control.NewSubscription{
		"mail":    {Name: "mail", Kind: "email", Target: " ann@example.org,bob@example.org ", SubscriptionChange: full},
		"plain":   {Name: "plain", Kind: "email", Target: "ann@example.org"},
		"never":   {Name: "never", Kind: "command", Target: "all", SubscriptionChange: control.SubscriptionChange{RetrySeconds: &[]int{}}},
		"usual":   {Name: "usual", Kind: "email", Target: "ann@example.org", SubscriptionChange: control.SubscriptionChange{TimeoutSeconds: number(30), AttachRows: number(100), Types: &[]string{}}},
		"webhook": webhook("webhook"),
	}
	if sql := must[control.Change[control.Subscription]](t)(ann.CreateSubscription(ctx, made["mail"], true)).SQL[0]; !strings.Contains(sql, `types => array['table.loaded', 'view.*'], subjects => array[`) {
		t.Errorf("the dry run gives %s", sql)
	}
	for name, s := range made {
		before := state()
		plan := must[control.Change[control.Subscription]](t)(ann.CreateSubscription(ctx, s, true))
		if len(plan.SQL) != 1 || state() != before || strings.Contains(plan.SQL[0], "whsec_") {
			t.Fatalf("%s: the dry run gives %q", name, plan.SQL)
		}
		if s.Kind == "webhook" && pgtest.Value[bool](t, super, "select to_regprocedure('pg_catalog.gen_random_uuid()') is null") {
			if got := faultOf(t, conn, plan.SQL[0]); got.Code != "secret_invalid" || !strings.Contains(got.Hint, "tinydev subscription create") {
				t.Errorf("before version 13: %+v", got)
			}
			must[control.Change[control.Subscription]](t)(ann.CreateSubscription(ctx, s, false))
			continue
		}
		exec(t, conn, plan.SQL[0])
		byStatement := state()
		exec(t, conn, "select tinydev.drop_subscription('"+name+"')")
		must[control.Change[control.Subscription]](t)(ann.CreateSubscription(ctx, s, false))
		if got := state(); got != byStatement {
			t.Errorf("%s: %s makes\n%s\nthe call\n%s", name, plan.SQL[0], byStatement, got)
		}
	}

	exec(t, conn, "select tinydev.record_event('a.b', null, 'x', '{}') from generate_series(1, 6)")
	head := placed(t, db)
	id := must[control.Subscription](t)(ann.DescribeSubscription(ctx, "webhook")).SubscriptionID
	deliverAs(t, db, id, head-5, "delivered", "withheld", "withheld")
	empty, twice, off, on, target := "", 100, false, true, "https://example.com/"
	defaults := control.SubscriptionChange{TimeoutSeconds: number(30), AttachRows: &twice, RetrySeconds: &[]int{5, 30, 120, 600, 1800, 3600, 10800, 21600, 43200}, PauseAfterSeconds: number(43200), DigestSeconds: number(0)}
	cleared := control.SubscriptionChange{Types: &[]string{}, Subjects: &[]string{}, Condition: &empty, Attach: &empty, Options: json.RawMessage(`{}`)}
	each := "each"
	for _, does := range []struct {
		what string
		call func(dryRun bool) ([]string, error)
	}{
		{"set defaults", func(dry bool) ([]string, error) {
			c, err := ann.AlterSubscription(ctx, "mail", nil, defaults, nil, dry)
			return c.SQL, err
		}},
		{"clear", func(dry bool) ([]string, error) {
			c, err := ann.AlterSubscription(ctx, "mail", nil, cleared, nil, dry)
			return c.SQL, err
		}},
		{"rearm each", func(dry bool) ([]string, error) {
			c, err := ann.AlterSubscription(ctx, "mail", nil, control.SubscriptionChange{Rearm: &each}, nil, dry)
			return c.SQL, err
		}},
		{"set all", func(dry bool) ([]string, error) {
			c, err := ann.AlterSubscription(ctx, "plain", nil, full, nil, dry)
			return c.SQL, err
		}},
		{"rearm every", func(dry bool) ([]string, error) {
			c, err := ann.AlterSubscription(ctx, "usual", nil, control.SubscriptionChange{RearmSeconds: &seconds}, nil, dry)
			return c.SQL, err
		}},
		{"pause", func(dry bool) ([]string, error) {
			c, err := ann.AlterSubscription(ctx, "usual", nil, control.SubscriptionChange{}, &off, dry)
			return c.SQL, err
		}},
		{"resume", func(dry bool) ([]string, error) {
			c, err := ann.AlterSubscription(ctx, "usual", nil, control.SubscriptionChange{}, &on, dry)
			return c.SQL, err
		}},
		{"retarget", func(dry bool) ([]string, error) {
			c, err := ann.AlterSubscription(ctx, "webhook", &target, control.SubscriptionChange{}, nil, dry)
			return c.SQL, err
		}},
		{"test", func(dry bool) ([]string, error) {
			c, err := ann.TestSubscription(ctx, "webhook", dry)
			return c.SQL, err
		}},
		{"redeliver one", func(dry bool) ([]string, error) {
			position := head - 5
			c, err := ann.Redeliver(ctx, "webhook", control.Redelivery{DeliveryID: &position}, dry)
			return c.SQL, err
		}},
		{"redeliver a range", func(dry bool) ([]string, error) {
			from, to, state := head-5, head-4, "all"
			c, err := ann.Redeliver(ctx, "webhook", control.Redelivery{FromPosition: &from, ToPosition: &to, State: &state}, dry)
			return c.SQL, err
		}},
		{"redeliver", func(dry bool) ([]string, error) {
			c, err := ann.Redeliver(ctx, "webhook", control.Redelivery{}, dry)
			return c.SQL, err
		}},
		{"replay", func(dry bool) ([]string, error) {
			c, err := ann.Replay(ctx, "webhook", head-6, dry)
			return c.SQL, err
		}},
		{"drop", func(dry bool) ([]string, error) {
			c, err := ann.DropSubscription(ctx, "mail", dry)
			return c.SQL, err
		}},
	} {
		before := state()
		plan, err := does.call(true)
		if err != nil || len(plan) != 1 || !strings.HasSuffix(plan[0], ";") || state() != before {
			t.Fatalf("%s: the dry run gives %q %v, and changes\n%s\ninto\n%s", does.what, plan, err, before, state())
		}
		exec(t, conn, "begin", plan[0])
		byStatement := pgtest.Value[string](t, conn, strings.ReplaceAll(all, `|| (select count(*) from tinydev_impl.inbox) || (select count(*) from tinydev_impl.event)`, ""))
		exec(t, conn, "rollback")
		if _, err := does.call(false); err != nil {
			t.Fatalf("%s: %v", does.what, err)
		}
		if got := pgtest.Value[string](t, conn, strings.ReplaceAll(all, `|| (select count(*) from tinydev_impl.inbox) || (select count(*) from tinydev_impl.event)`, "")); got != byStatement {
			t.Errorf("%s: %s gives\n%s\nthe call\n%s", does.what, plan[0], byStatement, got)
		}
		if state() == before {
			t.Errorf("%s changed nothing", does.what)
		}
	}
	if sql := must[control.Change[control.RotatedSecret]](t)(ann.RotateSecret(ctx, "webhook", "", 60, true)).SQL; !slices.Equal(sql, []string{"select tinydev.rotate_secret('webhook', keep_seconds => 60);"}) {
		t.Errorf("rotate: %q", sql)
	}
	// A secret that was given has its place in the statement, and is not told.
	own := webhook("other")
	own.Secret = "whsec_" + strings.Repeat("D", 32)
	if sql := must[control.Change[control.Subscription]](t)(ann.CreateSubscription(ctx, own, true)).SQL; !slices.Equal(sql, []string{"select tinydev.create_subscription(name => 'other', kind => 'webhook', target => 'https://example.org/hook', secret => '…');"}) {
		t.Errorf("create with a secret: %q", sql)
	}
	if sql := must[control.Change[control.RotatedSecret]](t)(ann.RotateSecret(ctx, "webhook", own.Secret, 60, true)).SQL; !slices.Equal(sql, []string{"select tinydev.rotate_secret('webhook', secret => '…', keep_seconds => 60);"}) {
		t.Errorf("rotate with a secret: %q", sql)
	}
}

func TestSecretsRotate(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann := context.Background(), c.As(pgtest.Ann)
	first := must[control.Change[control.Subscription]](t)(ann.CreateSubscription(ctx, webhook("hook"), false)).Made
	serve(t, db)
	secrets := func() []string {
		t.Helper()
		exec(t, db.Superuser(), "update tinydev_impl.subscription set holder = '"+testServer+"'")
		return pgtest.Value[[]string](t, db.Conn("tinydev_server"), "select array(select jsonb_array_elements_text(tinydev_impl.load_subscription($1, '"+testServer+"', 'random') -> 'secrets'))", first.SubscriptionID)
	}
	own := "whsec_" + strings.Repeat("B", 32)
	rotated := must[control.Change[control.RotatedSecret]](t)(ann.RotateSecret(ctx, "hook", own, 3600, false)).Made
	if rotated.Secret != own || rotated.Name != "hook" || time.Until(rotated.OldSecretUntil) < 50*time.Minute || !slices.Equal(secrets(), []string{own, first.Secret}) {
		t.Errorf("rotated %+v, secrets %q", rotated, secrets())
	}
	if len(rotated.Warnings) != 0 {
		t.Errorf("warnings %q", rotated.Warnings)
	}
	again := must[control.Change[control.RotatedSecret]](t)(ann.RotateSecret(ctx, "hook", "", 0, false)).Made
	if len(again.Warnings) != 1 || !strings.Contains(again.Warnings[0], "signs no more") {
		t.Errorf("the first secret is cut off, and the warnings are %q", again.Warnings)
	}
	if again.Secret == own || len(again.Secret) != 50 || !slices.Equal(secrets(), []string{again.Secret}) {
		t.Errorf("rotated %+v, secrets %q", again, secrets())
	}
	if got := must[control.Subscription](t)(ann.DescribeSubscription(ctx, "hook")); got.OldSecretUntil != nil {
		t.Errorf("%+v", got)
	}
	if pgtest.Value[bool](t, db.Superuser(), "select to_regprocedure('pg_catalog.gen_random_uuid()') is null") {
		for _, sql := range []string{"select tinydev.rotate_secret('hook')", "select tinydev.create_subscription('other', 'webhook', 'https://example.org/')"} {
			if got := faultOf(t, db.Conn(pgtest.Ann), sql); got.Code != "secret_invalid" {
				t.Errorf("%s: %+v", sql, got)
			}
		}
	} else if made := pgtest.Value[string](t, db.Conn(pgtest.Ann), "select tinydev.rotate_secret('hook') ->> 'secret'"); len(made) != 50 || !strings.HasPrefix(made, "whsec_") {
		t.Errorf("SQL makes %q", made)
	}
	for _, query := range []string{"select s::text from tinydev.subscription s where name = 'hook'", "select tinydev.describe_subscription('hook')::text"} {
		if text := pgtest.Value[string](t, db.Conn(pgtest.Ann), query); strings.Contains(text, "whsec_") || strings.Contains(text, "random") {
			t.Errorf("%s tells a secret: %s", query, text)
		}
	}
	if n := pgtest.Value[int](t, db.Superuser(), "select count(*)::int from tinydev_impl.request"); n != 0 {
		t.Errorf("%d requests are left", n)
	}
}

// TestAttachmentFollowsRights takes rights away after a subscription was made.
func TestAttachmentFollowsRights(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann, bob := context.Background(), c.As(pgtest.Ann), c.As(pgtest.Bob)
	serve(t, db)
	exec(t, db.Conn(pgtest.Ann), "create table prices as select 1 as price", "select tinydev.share('prices', 'bob')")
	attach := `"Ann".prices`
	s := control.NewSubscription{Name: "hook", Kind: "webhook", Target: "https://example.org/", SubscriptionChange: control.SubscriptionChange{Attach: &attach}}
	must[control.Change[control.Subscription]](t)(bob.CreateSubscription(ctx, s, false))
	if a := must[control.Attachment](t)(bob.Attachment(ctx, attach, 10, 1000)); len(a.Rows) != 1 {
		t.Errorf("attached %+v", a)
	}
	must[control.Change[control.Unshared]](t)(ann.Unshare(ctx, "prices", "bob", "all", false))
	_, err := bob.Attachment(ctx, attach, 10, 1000)
	wantFault(t, err, fault.Forbidden, "not_readable")
	// It can be paused, let go on and mended all the same.
	off, on, none := false, true, ""
	must[control.Change[control.Subscription]](t)(bob.AlterSubscription(ctx, "hook", nil, control.SubscriptionChange{}, &off, false))
	must[control.Change[control.Subscription]](t)(bob.AlterSubscription(ctx, "hook", nil, control.SubscriptionChange{}, &on, false))
	_, err = bob.AlterSubscription(ctx, "hook", nil, control.SubscriptionChange{AttachRows: number(3)}, nil, false)
	wantFault(t, err, fault.Forbidden, "not_readable")
	if got := must[control.Change[control.Subscription]](t)(bob.AlterSubscription(ctx, "hook", nil, control.SubscriptionChange{Attach: &none, AttachRows: number(3)}, nil, false)).Made; got.Attach != nil || got.AttachRows != 3 {
		t.Errorf("%+v", got)
	}
	s.Name = "other"
	_, err = bob.CreateSubscription(ctx, s, false)
	wantFault(t, err, fault.Forbidden, "not_readable")
	// An administrator gives nobody what he may not read.
	exec(t, db.Conn(pgtest.Admin), "create table own (a int)")
	own := "own"
	_, err = c.As(pgtest.Admin).AlterSubscription(ctx, "bob.hook", nil, control.SubscriptionChange{Attach: &own}, nil, false)
	wantFault(t, err, fault.Forbidden, "not_readable")
}

func TestSubscriptionLimit(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann := context.Background(), c.As(pgtest.Ann)
	exec(t, db.Conn(pgtest.Ann), "select tinydev.create_subscription('m' || i, 'email', 'ann@example.org') from generate_series(1, 100) i")
	_, err := ann.CreateSubscription(ctx, webhook("hook"), false)
	wantFault(t, err, fault.Conflict, "subscriptions_too_many")
	must[control.Change[control.DroppedSubscription]](t)(ann.DropSubscription(ctx, "m1", false))
	must[control.Change[control.Subscription]](t)(ann.CreateSubscription(ctx, webhook("hook"), false))
	page := must[[]control.Subscription](t)(ann.Subscriptions(ctx, 0, 40))
	rest := must[[]control.Subscription](t)(ann.Subscriptions(ctx, page[39].SubscriptionID, 1000))
	if len(page) != 40 || len(rest) != 60 {
		t.Errorf("%d and %d", len(page), len(rest))
	}
}

// TestNotices holds what a new user is told of, once there is an address.
func TestNotices(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx := context.Background()
	name := makeUser(t, c, control.Limits{})
	user := c.As(name)
	notices := must[control.Subscription](t)(user.DescribeSubscription(ctx, "notices"))
	if notices.Kind != "email" || notices.Target != "" || notices.Active || *notices.PauseReason != "no_target" || notices.Rearm != "once" ||
		!slices.Equal(notices.Types, []string{"tinydev.view.failed", "tinydev.view.missed", "tinydev.view.refreshed", "tinydev.subscription.paused", "tinydev.subscription.resumed", "tinydev.delivery.dead_lettered"}) {
		t.Errorf("notices %+v", notices)
	}
	on := true
	_, err := user.AlterSubscription(ctx, "notices", nil, control.SubscriptionChange{}, &on, false)
	if f := wantFault(t, err, fault.Invalid, "subscription_invalid"); f.Fields["field"] != "active" {
		t.Errorf("%+v", f)
	}
	// Other things may be chosen before.
	digest := 60
	if got := must[control.Change[control.Subscription]](t)(user.AlterSubscription(ctx, "notices", nil, control.SubscriptionChange{DigestSeconds: &digest}, nil, false)).Made; got.Active || got.Target != "" || got.DigestSeconds != 60 {
		t.Errorf("%+v", got)
	}
	exec(t, db.Conn(name), "select tinydev.record_event('view.failed', null, 'v') from generate_series(1, 3)")
	head := placed(t, db)
	address := "someone@example.org"
	got := must[control.Change[control.Subscription]](t)(user.AlterSubscription(ctx, "notices", &address, control.SubscriptionChange{}, nil, false)).Made
	if !got.Active || got.Target != address || got.Position != head || got.PauseReason != nil {
		t.Errorf("with an address: %+v", got)
	}
	must[control.Change[control.DroppedSubscription]](t)(user.DropSubscription(ctx, "notices", false))
	if list := must[[]control.Subscription](t)(user.Subscriptions(ctx, 0, 10)); len(list) != 0 {
		t.Errorf("after the drop: %+v", list)
	}
	// The next user has them again, and a user that is dropped takes its subscriptions along.
	must[control.Change[control.Subscription]](t)(user.CreateSubscription(ctx, webhook("hook"), false))
	must[control.Change[control.DroppedUser]](t)(c.As(pgtest.Admin).DropUser(ctx, name, "", "", false))
	if n := pgtest.Value[int](t, db.Superuser(), "select count(*)::int from tinydev_impl.subscription where role_name = $1", name); n != 0 {
		t.Errorf("%d subscriptions are left", n)
	}
}

func TestAuditOfSubscriptions(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann, super := context.Background(), c.As(pgtest.Ann), db.Superuser()
	serve(t, db)
	exec(t, super, "truncate tinydev_impl.audit")
	made := must[control.Change[control.Subscription]](t)(ann.CreateSubscription(ctx, webhook("hook"), false)).Made
	wantAudit(t, db, `Ann http subscription.created "Ann".hook`)
	rotated := must[control.Change[control.RotatedSecret]](t)(ann.RotateSecret(ctx, "hook", "", 60, false)).Made
	if detail := pgtest.Value[string](t, super, "select detail::text from tinydev_impl.audit"); detail != `{"secret": "replaced"}` {
		t.Errorf("rotation is audited as %s", detail)
	}
	wantAudit(t, db, `Ann http subscription.changed "Ann".hook`)
	target, off := "https://example.com/", false
	must[control.Change[control.Subscription]](t)(ann.AlterSubscription(ctx, "hook", &target, control.SubscriptionChange{}, &off, false))
	if detail := pgtest.Value[string](t, super, "select string_agg(detail::text, ' ' order by audit_id) from tinydev_impl.audit"); detail != `{"target": "https://example.com/"} {"active": false, "pause_reason": "user"}` {
		t.Errorf("the change is audited as %s", detail)
	}
	wantAudit(t, db, `Ann http subscription.changed "Ann".hook`, `Ann http subscription.changed "Ann".hook`)
	must[control.Change[control.Replayed]](t)(ann.Replay(ctx, "hook", 0, false))
	wantAudit(t, db, `Ann http subscription.changed "Ann".hook`)
	exec(t, db.Conn(pgtest.Admin), "select tinydev.drop_subscription('Ann.hook')")
	wantAudit(t, db, `admin sql subscription.removed "Ann".hook`)

	// Neither secrets nor statements that hold some; not what the server moves on its own.
	made = must[control.Change[control.Subscription]](t)(ann.CreateSubscription(ctx, webhook("hook"), false)).Made
	exec(t, db.Conn(pgtest.Ann), "select tinydev.rotate_secret('hook', 'whsec_"+strings.Repeat("C", 32)+"')")
	exec(t, db.Conn(pgtest.Ann), "select tinydev.record_event('test.happened', null, 'x')")
	deliverAs(t, db, made.SubscriptionID, placed(t, db), "delivered")
	text := pgtest.Value[string](t, super, "select string_agg(a::text, ' ') from tinydev_impl.audit a")
	for _, secret := range []string{made.Secret, rotated.Secret, "whsec_", "CCCC", "link_secret", "cursor"} {
		if strings.Contains(text, secret) {
			t.Errorf("the audit holds %s: %s", secret, text)
		}
	}
	if n := pgtest.Value[int](t, super, "select count(*)::int from tinydev_impl.audit where sql_sha256 is not null"); n != 0 {
		t.Errorf("%d statements are hashed", n)
	}
	wantAudit(t, db, `Ann http subscription.created "Ann".hook`, `Ann sql subscription.changed "Ann".hook`)
}

// TestRequestsAreCheckedToo writes to the view behind the verbs, past their checks.
func TestRequestsAreCheckedToo(t *testing.T) {
	t.Parallel()
	_, db := open(t)
	serve(t, db)
	ctx, ann, bob, super := context.Background(), db.Conn(pgtest.Ann), db.Conn(pgtest.Bob), db.Superuser()
	exec(t, db.Conn(pgtest.Bob), "create table secret (a int)")
	exec(t, bob, "select tinydev.create_subscription('theirs', 'email', 'bob@example.org')")
	exec(t, ann, "select tinydev.create_subscription('own', 'email', 'ann@example.org')", "select tinydev.record_event('a.b', null, 'x')")
	placed(t, db)
	id := func(name string) int64 {
		return pgtest.Value[int64](t, super, "select subscription_id from tinydev_impl.subscription where name = $1", name)
	}
	const definition = `"name": "x", "kind": "email", "target": "a@b.c", "attach_rows": 1, "options": {}, "rearm": "each", "digest_seconds": 0, "timeout_seconds": 30, "retry_seconds": [], "pause_after_seconds": 60`
	before := pgtest.Value[string](t, super, "select string_agg(s::text, E'\n' order by subscription_id) from tinydev_impl.subscription s")
	for _, request := range []struct{ role, verb, arguments string }{
		{"bob", "create_subscription", `{` + definition + `}`},
		{"Ann", "create_subscription", `{` + definition + `, "kind": "command", "target": "backup"}`},
		{"Ann", "create_subscription", `{` + definition + `, "kind": "webhook", "target": "https://10.0.0.1/"}`},
		{"Ann", "create_subscription", `{` + definition + `, "kind": "webhook", "target": "https://example.org/", "secret": "short"}`},
		{"Ann", "create_subscription", `{` + definition + `, "attach": "bob.secret"}`},
		{"Ann", "create_subscription", `{` + definition + `, "retry_seconds": [0]}`},
		{"Ann", "create_subscription", `{` + definition + `, "options": {"body": 1}}`},
		{"Ann", "create_subscription", `{` + definition + `, "types": ["A"]}`},
		{"Ann", "create_subscription", `{}`},
		{"Ann", "alter_subscription", fmt.Sprintf(`{"subscription_id": %d, "target": "x@y.z"}`, id("theirs"))},
		{"Ann", "alter_subscription", fmt.Sprintf(`{"subscription_id": %d, "options": []}`, id("own"))},
		{"Ann", "alter_subscription", fmt.Sprintf(`{"subscription_id": %d, "retry_seconds": [-1]}`, id("own"))},
		{"Ann", "alter_subscription", `{}`},
		{"Ann", "drop_subscription", fmt.Sprintf(`{"subscription_id": %d}`, id("theirs"))},
		{"Ann", "rotate_secret", fmt.Sprintf(`{"subscription_id": %d, "secret": "x", "keep_seconds": 1}`, id("own"))},
		{"Ann", "test_subscription", fmt.Sprintf(`{"subscription_id": %d}`, id("theirs"))},
		{"Ann", "redeliver", fmt.Sprintf(`{"subscription_id": %d, "from": 0, "to": 9, "state": "all"}`, id("theirs"))},
		{"Ann", "replay", fmt.Sprintf(`{"subscription_id": %d, "after": 0}`, id("theirs"))},
	} {
		if _, err := ann.Exec(ctx, "insert into tinydev_lib.own_request (role_name, verb, arguments) values ($1, $2, $3)", request.role, request.verb, request.arguments); err == nil {
			t.Errorf("%+v is taken", request)
		}
	}
	// For another nothing is carried out first: who guesses an id learns nothing, and locks nobody's row.
	for _, request := range []struct {
		verb string
		id   int64
	}{{"drop_subscription", id("theirs")}, {"drop_subscription", 1 << 40}, {"anything", 0}} {
		_, err := ann.Exec(ctx, "insert into tinydev_lib.own_request (role_name, verb, arguments) values ('bob', $1, jsonb_build_object('subscription_id', $2::bigint))", request.verb, request.id)
		if sqlState(err) != "42501" || !strings.Contains(err.Error(), "made by yourself") {
			t.Errorf("%+v for bob: %v", request, err)
		}
	}
	if f := faultOf(t, ann, "insert into tinydev_lib.own_request (role_name, verb) values ('Ann', 'anything')"); f.Code != "request_invalid" {
		t.Errorf("an unknown verb: %+v", f)
	}
	if after := pgtest.Value[string](t, super, "select string_agg(s::text, E'\n' order by subscription_id) from tinydev_impl.subscription s"); after != before {
		t.Errorf("changed:\n%s\n---\n%s", before, after)
	}
	// What is no definition is not changed either, and a position stays in the log.
	run(t, ann, fmt.Sprintf(`insert into tinydev_lib.own_request (role_name, verb, arguments) values ('Ann', 'alter_subscription', '{"subscription_id": %d, "role_name": "bob", "name": "other", "kind": "command", "secret": "x", "holder": "%s", "round": 9}')`, id("own"), testServer),
		fmt.Sprintf(`insert into tinydev_lib.own_request (role_name, verb, arguments) values ('Ann', 'replay', '{"subscription_id": %d, "after": 1000000}')`, id("own")))
	if got := pgtest.Value[string](t, super, "select concat_ws(' ', role_name, name, kind, secret, holder, round, cursor_position) from tinydev_impl.subscription where name = 'own'"); got != "Ann own email 2 1" {
		t.Errorf("the subscription is %s", got)
	}
	if _, err := ann.Exec(ctx, "select * from tinydev_lib.own_request"); sqlState(err) != "42501" {
		t.Errorf("requests are readable: %v", err)
	}
}

// TestOptionsAreChecked holds that what PostgreSQL cannot look at is looked at before it is stored.
func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	c, _ := open(t)
	ctx, ann := context.Background(), c.As(pgtest.Ann)
	var asked []string
	c.CheckOptions = func(kind string, options json.RawMessage) error {
		asked = append(asked, kind+" "+string(options))
		return fault.New(fault.Invalid, "template_invalid", "no")
	}
	checked := c.As(pgtest.Ann)
	s := control.NewSubscription{Name: "mail", Kind: "email", Target: "ann@example.org"}
	must[control.Change[control.Subscription]](t)(checked.CreateSubscription(ctx, s, false))
	s.Name, s.Options = "other", json.RawMessage(`{"subject":"x"}`)
	_, err := checked.CreateSubscription(ctx, s, true)
	wantFault(t, err, fault.Invalid, "template_invalid")
	_, err = checked.AlterSubscription(ctx, "mail", nil, s.SubscriptionChange, nil, false)
	wantFault(t, err, fault.Invalid, "template_invalid")
	_, err = checked.AlterSubscription(ctx, "nothing", nil, s.SubscriptionChange, nil, false)
	wantFault(t, err, fault.NotFound, "subscription_not_found")
	if !slices.Equal(asked, []string{`email {"subject":"x"}`, `email {"subject":"x"}`}) {
		t.Errorf("asked %q", asked)
	}
	must[control.Change[control.Subscription]](t)(ann.AlterSubscription(ctx, "mail", nil, s.SubscriptionChange, nil, false))
}

// TestReadOnlySubscriptions holds that with a token that only reads no verb changes a subscription, and what reads still does.
func TestReadOnlySubscriptions(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann := context.Background(), c.As(pgtest.Ann)
	reading, off := postgres.ReadOnly(ctx), false
	must[control.Change[control.Subscription]](t)(ann.CreateSubscription(ctx, webhook("hook"), false))
	const all = "select string_agg(s::text, ' ') || (select count(*) from tinydev_impl.inbox) from tinydev_impl.subscription s"
	before := pgtest.Value[string](t, db.Superuser(), all)
	for what, act := range map[string]func() error{
		"create": func() error { _, err := ann.CreateSubscription(reading, webhook("x"), false); return err },
		"alter": func() error {
			_, err := ann.AlterSubscription(reading, "hook", nil, control.SubscriptionChange{}, &off, false)
			return err
		},
		"drop":      func() error { _, err := ann.DropSubscription(reading, "hook", false); return err },
		"rotate":    func() error { _, err := ann.RotateSecret(reading, "hook", "", 0, false); return err },
		"test":      func() error { _, err := ann.TestSubscription(reading, "hook", false); return err },
		"redeliver": func() error { _, err := ann.Redeliver(reading, "hook", control.Redelivery{}, false); return err },
		"replay":    func() error { _, err := ann.Replay(reading, "hook", 0, false); return err },
	} {
		if err := act(); fault.CodeOf(err) != "read_only" {
			t.Errorf("%s: %v, want read_only", what, err)
		}
	}
	for what, read := range map[string]func() error{
		"describe":   func() error { _, err := ann.DescribeSubscription(reading, "hook"); return err },
		"list":       func() error { _, err := ann.Subscriptions(reading, 0, 10); return err },
		"deliveries": func() error { _, err := ann.Deliveries(reading, "hook", "dead", 0, 10); return err },
		"a dry run":  func() error { _, err := ann.CreateSubscription(reading, webhook("x"), true); return err },
		"another":    func() error { _, err := ann.DropSubscription(reading, "hook", true); return err },
	} {
		if err := read(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if after := pgtest.Value[string](t, db.Superuser(), all); after != before {
		t.Errorf("changed from %s to %s", before, after)
	}
}

// TestChangesDoNotUndoEachOther changes two parts of a subscription at the same time.
func TestChangesDoNotUndoEachOther(t *testing.T) {
	t.Parallel()
	_, db := open(t)
	one, other := db.Conn(pgtest.Ann), db.Conn(pgtest.Ann)
	exec(t, one, "select tinydev.create_subscription('mail', 'email', 'ann@example.org')", "begin", "select tinydev.alter_subscription('mail', target => 'bob@example.org')")
	done := make(chan error, 1)
	go func() {
		_, err := other.Exec(context.Background(), "select tinydev.alter_subscription('mail', timeout_seconds => 9)")
		done <- err
	}()
	pgtest.Eventually(t, 10*time.Second, "the second one waits", func() bool {
		return pgtest.Value[bool](t, db.Superuser(), "select exists (select from pg_stat_activity where datname = current_database() and usename = 'Ann' and wait_event_type = 'Lock')")
	})
	exec(t, one, "commit")
	if err := <-done; err != nil {
		t.Fatal(postgres.Fault(err, ""))
	}
	if got := pgtest.Value[string](t, one, "select concat_ws(' ', target, timeout_seconds) from tinydev.subscription where name = 'mail'"); got != "bob@example.org 9" {
		t.Errorf("the subscription is %s", got)
	}
}
