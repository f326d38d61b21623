package control_test

import (
	"context"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

// unsubscribes follows the link that messages of a subscription have for a recipient.
func unsubscribes(t *testing.T, db *pgtest.Database, id int64, recipient string) {
	t.Helper()
	super := db.Superuser()
	if _, err := super.Exec(context.Background(), "update tinydev_impl.subscription set link_secret = 'random' where subscription_id = $1", id); err != nil {
		t.Fatal(err)
	}
	key := pgtest.Value[string](t, super, "select tinydev_lib.sha256_hex('random:' || tinydev_lib.sha256_hex('random:' || $1))", recipient)
	if _, err := db.Conn("tinydev_server").Exec(context.Background(), "select tinydev_impl.unsubscribe($1, $2, $3, false)", id, recipient, key); err != nil {
		t.Fatal(postgres.Fault(err, ""))
	}
}

// TestUnsubscriptionStays holds that who wants no more e-mail of a user gets none by another subscription, nor by the same one again.
func TestUnsubscriptionStays(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, name, on := context.Background(), makeUser(t, c, control.Limits{}), true
	user, admin, bob := c.As(name), c.As(pgtest.Admin), c.As(pgtest.Bob)
	mail := func(u *control.User, name, target string) (control.Subscription, error) {
		made, err := u.CreateSubscription(ctx, control.NewSubscription{Name: name, Kind: "email", Target: target}, false)
		return made.Made, err
	}
	alter := func(u *control.User, subscription, target string, active *bool) (control.Subscription, error) {
		to := &target
		if target == "" {
			to = nil
		}
		changed, err := u.AlterSubscription(ctx, subscription, to, control.SubscriptionChange{TimeoutSeconds: number(9)}, active, false)
		return changed.Made, err
	}
	first := must[control.Subscription](t)(mail(user, "first", "ann@example.org, Bob@example.org"))
	must[control.Subscription](t)(mail(user, "second", "bob@example.org"))

	unsubscribes(t, db, first.SubscriptionID, "bob@example.org")
	if got := must[control.Subscription](t)(user.DescribeSubscription(ctx, "first")); got.Target != "ann@example.org" || !got.Active {
		t.Errorf("without bob: %+v", got)
	}
	refused := func(what string, err error) {
		t.Helper()
		if f := wantFault(t, err, fault.Invalid, "subscription_invalid"); f.Fields["field"] != "target" || f.Message != "BOB@example.org does not want your e-mail any more" {
			t.Errorf("%s: %+v", what, f)
		}
	}
	_, err := mail(user, "third", "x@example.org, BOB@example.org")
	refused("another", err)
	_, err = alter(user, "first", "BOB@example.org", nil)
	refused("the same", err)
	_, err = alter(admin, name+".first", "BOB@example.org", nil)
	refused("by an administrator", err)
	if _, err := db.Conn(name).Exec(ctx, `insert into tinydev_lib.own_request (role_name, verb, arguments)
		select current_user, 'create_subscription', to_jsonb(s) || '{"name": "fourth", "target": "BOB@example.org"}' from tinydev.subscription s where name = 'second'`); err == nil {
		t.Error("a request past the checks is taken")
	} else {
		refused("past the checks", postgres.Fault(err, ""))
	}
	// What bob did not end goes on, and so do other users.
	if got := must[control.Subscription](t)(alter(user, "second", "bob@example.org, x@example.org", nil)); got.Target != "bob@example.org, x@example.org" {
		t.Errorf("the second: %+v", got)
	}
	must[control.Subscription](t)(mail(bob, "theirs", "bob@example.org"))

	// The last reader leaves nobody, and it goes on with somebody else alone.
	unsubscribes(t, db, first.SubscriptionID, "ann@example.org")
	if got := must[control.Subscription](t)(user.DescribeSubscription(ctx, "first")); got.Target != "" || got.Active || *got.PauseReason != "unsubscribed" {
		t.Errorf("without readers: %+v", got)
	}
	_, err = alter(user, "first", "", &on)
	if f := wantFault(t, err, fault.Invalid, "subscription_invalid"); f.Fields["field"] != "active" {
		t.Errorf("%+v", f)
	}
	if got := must[control.Subscription](t)(alter(user, "first", "", nil)); got.TimeoutSeconds != 9 || got.Target != "" || got.Active {
		t.Errorf("with another timeout: %+v", got)
	}
	if got := must[control.Subscription](t)(alter(user, "first", "zoe@example.org", &on)); got.Target != "zoe@example.org" || !got.Active {
		t.Errorf("with another reader: %+v", got)
	}

	must[control.Change[control.DroppedUser]](t)(admin.DropUser(ctx, name, "", "", false))
	if n := pgtest.Value[int](t, db.Superuser(), "select count(*)::int from tinydev_impl.opted_out"); n != 0 {
		t.Errorf("%d addresses are left", n)
	}
}
