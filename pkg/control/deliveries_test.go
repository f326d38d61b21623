package control_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

// deliverAs writes down deliveries of a subscription as a server does, one for each outcome, about the events from a position on.
func deliverAs(t *testing.T, db *pgtest.Database, id, from int64, outcomes ...string) {
	t.Helper()
	super := db.Superuser()
	exec(t, super, fmt.Sprintf("update tinydev_impl.subscription set holder = '%s' where subscription_id = %d", testServer, id))
	now := pgtest.Value[[]int64](t, super, "select array[round, version] from tinydev_impl.subscription where subscription_id = $1", id)
	server := db.Conn("tinydev_server")
	for i, outcome := range outcomes {
		position := from + int64(i)
		status, problem := 500, "the target answers 500"
		if outcome == "delivered" {
			status, problem = 200, ""
		}
		about := pgtest.Value[[]string](t, super, "select array[subject, type] from tinydev_impl.event where position = $1", position)
		if _, err := server.Exec(context.Background(), `
select * from tinydev_impl.record_deliveries($1, $2, $3, $4, $5, true, array[$5::bigint], array[$6], array[$7], array[$6], array[$8], array[clock_timestamp()],
  array[$9::integer], array[12], array[nullif($10, '')], array['body'], array[null::integer])`, id, testServer, now[0], now[1], position, about[0], about[1], outcome, status, problem); err != nil {
			t.Fatal(postgres.Fault(err, ""))
		}
	}
}

func TestDeliveriesAndTheirRepair(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann, bob := context.Background(), c.As(pgtest.Ann), c.As(pgtest.Bob)
	serve(t, db)
	s := webhook("hook")
	s.RetrySeconds = &[]int{3600}
	id := must[control.Change[control.Subscription]](t)(ann.CreateSubscription(ctx, s, false)).Made.SubscriptionID
	exec(t, db.Conn(pgtest.Ann), `select tinydev.record_event('test.happened', null, 'x' || i, jsonb_build_object('n', i)) from generate_series(1, 5) i`)
	first := placed(t, db) - 4
	deliverAs(t, db, id, first, "delivered", "failed", "withheld", "failed", "waiting")
	deliverAs(t, db, id, first+3, "failed") // the second time, and so dead

	// When nobody tries it there is no time for the next attempt.
	next := func() *time.Time {
		return must[control.DeliveryDetail](t)(ann.DescribeDelivery(ctx, "hook", first+1)).NextAttemptAt
	}
	for what, sql := range map[string]string{
		"paused": "update tinydev_impl.subscription set active = false, pause_reason = 'user'", "without a server": "update tinydev_impl.subscription set holder = null where name = 'hook'"} {
		exec(t, db.Superuser(), sql)
		if at := next(); at != nil {
			t.Errorf("%s it is tried again at %s", what, at)
		}
		exec(t, db.Superuser(), "update tinydev_impl.subscription set active = true, pause_reason = null, holder = '"+testServer+"' where name = 'hook'")
	}

	states := func(list []control.Delivery) string {
		text := ""
		for _, d := range list {
			text += fmt.Sprintf("%d %s %d, ", d.DeliveryID-first, d.State, d.AttemptCount)
		}
		return text
	}
	all := must[[]control.Delivery](t)(ann.Deliveries(ctx, "hook", "", 0, 10))
	if got := states(all); got != "4 pending 0, 3 dead 2, 2 dead 0, 1 failing 1, 0 delivered 1, " {
		t.Errorf("deliveries %s", got)
	}
	if d := all[4]; d.Type != "tinydev.test.happened" || d.Subject != `"Ann".x1` || *d.StatusCode != 200 || *d.LatencyMS != 12 || d.Error != nil || *d.Response != "body" || d.LastAttemptAt == nil || d.NextAttemptAt != nil {
		t.Errorf("delivered %+v", d)
	}
	if d := all[3]; d.NextAttemptAt == nil || time.Until(*d.NextAttemptAt) < 50*time.Minute || *d.Error != "the target answers 500" {
		t.Errorf("failing %+v", d)
	}
	if got := states(must[[]control.Delivery](t)(ann.Deliveries(ctx, "hook", "", first+3, 2))); got != "2 dead 0, 1 failing 1, " {
		t.Errorf("the page before: %s", got)
	}
	for state, want := range map[string]string{"dead": "3 dead 2, 2 dead 0, ", "failing": "1 failing 1, ", "pending": "4 pending 0, ", "delivered": "0 delivered 1, ", "x' or true --": ""} {
		if got := states(must[[]control.Delivery](t)(ann.Deliveries(ctx, "hook", state, 0, 10))); got != want {
			t.Errorf("%s: %s", state, got)
		}
	}
	if got := must[control.Subscription](t)(ann.DescribeSubscription(ctx, "hook")); got.Pending != 1 || got.Failing != 1 || got.Dead != 2 || got.LastDeliveredAt == nil {
		t.Errorf("counted %+v", got)
	}
	detail := must[control.DeliveryDetail](t)(ann.DescribeDelivery(ctx, "hook", first+3))
	if len(detail.Attempts) != 2 || detail.Attempts[0].Attempt != 1 || *detail.Attempts[0].StatusCode != 500 || detail.Attempts[0].NextAttemptAt == nil || detail.Attempts[1].NextAttemptAt != nil ||
		detail.Type != "tinydev.test.happened" || !strings.Contains(string(detail.Event), `"n": 4`) {
		t.Errorf("detail %+v %s", detail, detail.Event)
	}
	// What the owner may no longer see is not told.
	if got := events(t, db, "delivery.dead_lettered", `"Ann".hook`); len(got) != 1 {
		t.Errorf("delivery.dead_lettered says %v", got)
	}
	if page := must[control.EventPage](t)(bob.ReadEvents(ctx, 0, 100, control.EventFilter{Types: []string{"delivery.*", "subscription.*"}})); len(page.Events) != 0 {
		t.Errorf("bob reads %s", page.Events)
	}

	one := first
	got := must[control.Change[control.Redelivered]](t)(ann.Redeliver(ctx, "hook", control.Redelivery{DeliveryID: &one}, false)).Made
	if got.Redelivered != 1 || got.More || got.Name != "hook" || got.Owner != pgtest.Ann || len(got.Warnings) != 0 {
		t.Errorf("redelivered %+v", got)
	}
	if d := must[control.DeliveryDetail](t)(ann.DescribeDelivery(ctx, "hook", first)); d.State != "pending" || d.AttemptCount != 0 || d.NextAttemptAt == nil || len(d.Attempts) != 1 || !d.Attempts[0].Delivered {
		t.Errorf("once more: %+v", d)
	}
	if got := must[control.Change[control.Redelivered]](t)(ann.Redeliver(ctx, "hook", control.Redelivery{}, false)).Made; got.Redelivered != 2 {
		t.Errorf("all dead: %+v", got)
	}
	from, to, failing := first+1, first+1, "failing"
	if got := must[control.Change[control.Redelivered]](t)(ann.Redeliver(ctx, "hook", control.Redelivery{FromPosition: &from, ToPosition: &to, State: &failing}, false)).Made; got.Redelivered != 1 {
		t.Errorf("a range: %+v", got)
	}
	if got := states(must[[]control.Delivery](t)(ann.Deliveries(ctx, "hook", "", 0, 10))); strings.Count(got, "pending 0") != 5 {
		t.Errorf("deliveries %s", got)
	}
	off := false
	must[control.Change[control.Subscription]](t)(ann.AlterSubscription(ctx, "hook", nil, control.SubscriptionChange{}, &off, false))
	if got := must[control.Change[control.Redelivered]](t)(ann.Redeliver(ctx, "hook", control.Redelivery{}, false)).Made; got.Redelivered != 0 || len(got.Warnings) != 1 {
		t.Errorf("while it is paused: %+v", got)
	}
	replayed := must[control.Change[control.Replayed]](t)(ann.Replay(ctx, "hook", first, false)).Made
	if replayed.Position != first || len(replayed.Warnings) != 1 {
		t.Errorf("replayed %+v", replayed)
	}
	if at := must[control.Subscription](t)(ann.DescribeSubscription(ctx, "hook")); at.Position != first || at.Behind < 4 {
		t.Errorf("after the replay: %+v", at)
	}

	// 10,000 a call.
	exec(t, db.Superuser(), fmt.Sprintf(`insert into tinydev_impl.delivery (subscription_id, position, round, lane, type, subject, state, attempt_count)
		select %d, i, 1, 'x', 'a.b', 'x', 'dead', 1 from generate_series(%d, %d) i`, id, first+100, first+10_100))
	if got := must[control.Change[control.Redelivered]](t)(ann.Redeliver(ctx, "hook", control.Redelivery{}, false)).Made; got.Redelivered != 10_000 || !got.More {
		t.Errorf("many: %+v", got)
	}
	if got := must[control.Change[control.Redelivered]](t)(ann.Redeliver(ctx, "hook", control.Redelivery{}, false)).Made; got.Redelivered != 1 || got.More {
		t.Errorf("the rest: %+v", got)
	}
	if got := must[control.Subscription](t)(ann.DescribeSubscription(ctx, "hook")); got.Pending != 1000 {
		t.Errorf("counted %d pending, want 1000 for more", got.Pending)
	}
}

// TestReplayOfWhatIsGone asks for positions that the log no longer has.
func TestReplayOfWhatIsGone(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann, super := context.Background(), c.As(pgtest.Ann), db.Superuser()
	must[control.Change[control.Subscription]](t)(ann.CreateSubscription(ctx, webhook("hook"), false))
	exec(t, db.Conn(pgtest.Ann), `select tinydev.record_event('test.happened', null, 'x') from generate_series(1, 10)`)
	placed(t, db)
	// As if older partitions had been dropped.
	exec(t, super, "update tinydev_impl.event_partition set position_from = 6 where position_from = (select min(position_from) from tinydev_impl.event_partition)")
	_, err := ann.Replay(ctx, "hook", 3, false)
	if f := wantFault(t, err, fault.Conflict, "position_gone"); f.Fields["oldest"] != 6.0 {
		t.Errorf("fields %v", f.Fields)
	}
	if got := must[control.Change[control.Replayed]](t)(ann.Replay(ctx, "hook", 0, false)).Made; got.Position != 5 {
		t.Errorf("replayed %+v", got)
	}
}

func TestUpkeepOfDeliveries(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann, super, server := context.Background(), c.As(pgtest.Ann), db.Superuser(), db.Conn("tinydev_server")
	serve(t, db)
	id := must[control.Change[control.Subscription]](t)(ann.CreateSubscription(ctx, webhook("hook"), false)).Made.SubscriptionID
	gone := must[control.Change[control.Subscription]](t)(ann.CreateSubscription(ctx, webhook("gone"), false)).Made.SubscriptionID
	exec(t, db.Conn(pgtest.Ann), `select tinydev.record_event('test.happened', null, 'x' || i) from generate_series(1, 6) i`)
	first := placed(t, db) - 5
	for _, s := range []int64{id, gone} {
		deliverAs(t, db, s, first, "delivered", "failed", "withheld", "delivered", "waiting", "delivered")
	}
	exec(t, super, fmt.Sprintf("update tinydev_impl.event set occurred_at = occurred_at - interval '10 days' where position < %d", first+5))
	pruned := func() int {
		exec(t, server, "select tinydev_impl.upkeep()")
		return pgtest.Value[int](t, server, "select tinydev_impl.prune_deliveries()")
	}
	if n := pruned(); n != 0 {
		t.Errorf("%d deliveries are pruned that arrived 10 days ago", n)
	}
	must[control.Settings](t)(c.As(pgtest.Admin).Settings(ctx))
	exec(t, db.Conn(pgtest.Admin), "select tinydev.set_setting('delivery_retention', '7 days')")
	exec(t, db.Conn(pgtest.Ann), "select tinydev.drop_subscription('gone')")
	if n := pruned(); n != 2+6 {
		t.Errorf("%d deliveries are pruned", n)
	}
	left := ""
	for _, d := range must[[]control.Delivery](t)(ann.Deliveries(ctx, "hook", "", 0, 10)) {
		left += fmt.Sprintf("%d %s, ", d.DeliveryID-first, d.State)
	}
	if left != "5 delivered, 4 pending, 2 dead, 1 failing, " {
		t.Errorf("left are %s", left)
	}
	// Of a role that went without our help.
	role := newName()
	exec(t, super, "create role "+role+" login", "grant tinydev_user to "+role, fmt.Sprintf(`insert into tinydev_impl.subscription (role_name, name, kind, target) values ('%s', 'x', 'email', 'a@b.c')`, role), "drop role "+role)
	pruned()
	if n := pgtest.Value[int](t, super, "select count(*)::int from tinydev_impl.subscription where role_name = $1", role); n != 0 {
		t.Error("the subscription of a role that is gone is left")
	}
}

// TestUpkeepHoldsUpNobody holds that events are placed and read while very many deliveries are removed.
func TestUpkeepHoldsUpNobody(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	super, ann := db.Superuser(), db.Conn(pgtest.Ann)
	run(t, super, `
insert into tinydev_impl.delivery (subscription_id, position, round, lane, type, subject, state, attempt_count)
select -1, i, 1, 'x', 'test.happened', 'x', 'delivered', 1 from generate_series(1, 60000) i`)
	done := make(chan error, 1)
	upkeep := db.Conn("tinydev_server")
	go func() {
		_, err := upkeep.Exec(context.Background(), "call tinydev_impl.upkeep_all()")
		done <- err
	}()
	for n := 0; ; n++ {
		run(t, ann, "set statement_timeout = '10s'", `select tinydev.record_event('test.happened', null, '"Ann".v')`, "select * from tinydev.read_events()")
		run(t, super, "set statement_timeout = '10s'", "select tinydev_impl.place()")
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			if left := pgtest.Value[int](t, super, "select count(*)::int from tinydev_impl.delivery"); left != 0 {
				t.Errorf("%d deliveries of a subscription that is gone are left", left)
			}
			return
		default:
		}
	}
}
