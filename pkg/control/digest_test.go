package control_test

import (
	"context"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// TestWhatWaitsFollowsTheDigest turns a digest on and off while deliveries wait.
func TestWhatWaitsFollowsTheDigest(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann := context.Background(), c.As(pgtest.Ann)
	serve(t, db)
	id := must[control.Change[control.Subscription]](t)(ann.CreateSubscription(ctx, control.NewSubscription{Name: "mail", Kind: "email", Target: "ann@example.org"}, false)).Made.SubscriptionID
	exec(t, db.Conn(pgtest.Ann), "select tinydev.record_event('test.happened', null, 'x' || i) from generate_series(1, 5) i")
	first := placed(t, db) - 4
	deliverAs(t, db, id, first, "delivered", "failed", "waiting")
	digest := func(seconds int) {
		t.Helper()
		must[control.Change[control.Subscription]](t)(ann.AlterSubscription(ctx, "mail", nil, control.SubscriptionChange{DigestSeconds: &seconds}, nil, false))
	}
	want := func(when, lanes string) {
		t.Helper()
		if got := pgtest.Value[string](t, db.Superuser(), `select string_agg(concat_ws(' ', state, '"' || replace(lane, '"Ann".', '') || '"', case when next_attempt_at is not null then 'later' end), ', ' order by position)
			from tinydev_impl.delivery where subscription_id = $1`, id); got != lanes {
			t.Errorf("%s: %s, want %s", when, got, lanes)
		}
	}
	want("each by itself", `delivered "x1", failing "x2" later, pending "x3"`)
	digest(60)
	want("collected", `delivered "x1", failing "" later, pending ""`)
	// A server that has not heard of the change yet reports by subjects.
	deliverAs(t, db, id, first+3, "waiting")
	want("reported late", `delivered "x1", failing "" later, pending "", pending "" later`)
	digest(30)
	want("more often", `delivered "x1", failing "" later, pending "", pending "" later`)
	digest(0)
	want("each by itself again", `delivered "x1", failing "x2" later, pending "x3", pending "x4"`)
}
