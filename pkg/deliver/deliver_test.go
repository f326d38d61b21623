package deliver_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestDelivers(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	startEngine(t, db, nil)
	rc := newReceiver(t)
	ann := db.Conn(pgtest.Ann)
	emit(t, ann, `"Ann".v`, -5, 5) // before there is a subscription
	pgtest.Eventually(t, 10*time.Second, "events are placed", func() bool { return pgtest.Value[int64](t, ann, "select head from tinydev.event_head()") == 5 })
	run(t, ann, "select tinydev.create_subscription('hook', 'webhook', $1, types => array['test.*'], secret => 'whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz')", rc.URL)
	emit(t, ann, `"Ann".v`, 1, 300)
	pgtest.Eventually(t, 20*time.Second, "all arrive", func() bool { return len(rc.got(true)) >= 300 })
	if got := rc.numbers(); !slices.Equal(got, upTo(300)) {
		t.Errorf("came %v", got)
	}
	pgtest.Eventually(t, 10*time.Second, "all are recorded", func() bool { return state(t, ann, "hook") == "delivered 300" })
	if at := pgtest.Value[int64](t, ann, "select position from tinydev.subscription where name = 'hook'"); at != 305 {
		t.Errorf("the cursor stands at %d, want 305", at)
	}
	if response := pgtest.Value[string](t, ann, "select coalesce(response, '') || status_code from tinydev.attempt where subscription = 'hook' and delivery_id = 6"); response != "204" {
		t.Errorf("kept %q", response)
	}
}

func TestRetriesInOrder(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	startEngine(t, db, nil)
	rc := newReceiver(t)
	ann := db.Conn(pgtest.Ann)
	// The third event about v fails twice; what is about w goes on meanwhile.
	rc.answers(func(h hit) int {
		if h.n == 3 && h.attempt <= 2 {
			return 500
		}
		return 200
	})
	run(t, ann, "select tinydev.create_subscription('hook', 'webhook', $1, retry_seconds => '{1,1,1}', secret => 'whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz')", rc.URL)
	emit(t, ann, `"Ann".v`, 1, 10)
	emit(t, ann, `"Ann".w`, 101, 10)
	pgtest.Eventually(t, 20*time.Second, "all arrive", func() bool { return len(rc.got(true)) >= 20 })
	var v, w []int
	late := 0
	for _, h := range rc.got(true) {
		if h.subject == `"Ann".v` {
			v = append(v, h.n)
			late = len(w)
		} else {
			w = append(w, h.n-100)
		}
	}
	if !slices.Equal(v, upTo(10)) || !slices.Equal(w, upTo(10)) || late != 10 {
		t.Errorf("v %v, w %v", v, w)
	}
	pgtest.Eventually(t, 10*time.Second, "all are recorded", func() bool { return state(t, ann, "hook") == "delivered 20" })
	if n := pgtest.Value[int](t, ann, "select count(*)::int from tinydev.attempt where subscription = 'hook' and delivery_id = 3"); n != 3 {
		t.Errorf("%d attempts are kept, want 3", n)
	}
}

func TestDeadLetterRedeliverReplay(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	startEngine(t, db, nil)
	rc := newReceiver(t)
	ann := db.Conn(pgtest.Ann)
	rc.answers(func(h hit) int {
		if h.n%2 == 0 {
			return 503
		}
		return 200
	})
	run(t, ann, "select tinydev.create_subscription('hook', 'webhook', $1, types => array['test.*'], retry_seconds => '{1}', secret => 'whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz')", rc.URL)
	emit(t, ann, `"Ann".v`, 1, 4)
	pgtest.Eventually(t, 20*time.Second, "two are given up", func() bool { return state(t, ann, "hook") == "dead 2, delivered 2" })
	if n := pgtest.Value[int](t, ann, "select count(*)::int from tinydev.event where type = 'delivery.dead_lettered'"); n < 1 {
		t.Error("nobody is told")
	}
	rc.answers(nil)
	run(t, ann, "select tinydev.redeliver('hook')")
	pgtest.Eventually(t, 20*time.Second, "all arrive", func() bool { return state(t, ann, "hook") == "delivered 4" })
	if got := rc.numbers(); !slices.Equal(got, []int{1, 3, 2, 4}) {
		t.Errorf("came %v", got)
	}
	run(t, ann, "select tinydev.replay('hook', 0)")
	pgtest.Eventually(t, 20*time.Second, "all arrive again", func() bool { return len(rc.got(true)) == 8 })
	if got := rc.numbers()[4:]; !slices.Equal(got, upTo(4)) {
		t.Errorf("the replay brought %v", got)
	}
	run(t, ann, "select tinydev.test_subscription('hook')")
	pgtest.Eventually(t, 20*time.Second, "the test arrives", func() bool { all := rc.got(true); return all[len(all)-1].typ == "tinydev.subscription.tested" })
}

// TestTests holds that a test goes to its own subscription alone, and that one is not waited for which nobody can send.
func TestTests(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	e := startEngine(t, db, nil)
	mine, others := newReceiver(t), newReceiver(t)
	conn, ann := db.Conn(pgtest.Ann), e.Control.As(pgtest.Ann)
	for name, rc := range map[string]*receiver{"hook": mine, "other": others} {
		run(t, conn, "select tinydev.create_subscription($1, 'webhook', $2, secret => 'whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz')", name, rc.URL)
	}
	run(t, conn, "select tinydev.create_subscription('mail', 'email', 'ann@example.org', types => array['view.*'])")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	tested, err := e.Test(ctx, ann, "hook", time.Minute, false)
	if err != nil || tested.Made.Delivery == nil || tested.Made.Delivery.State != "delivered" {
		t.Fatalf("%+v %v", tested.Made, err)
	}
	tested, err = e.Test(ctx, ann, "mail", time.Minute, false)
	if err != nil || len(tested.Made.Warnings) != 1 || tested.Made.Delivery != nil {
		t.Fatalf("%+v %v", tested.Made, err)
	}
	emit(t, conn, `"Ann".v`, 1, 1)
	for _, rc := range []*receiver{mine, others} {
		pgtest.Eventually(t, 20*time.Second, "what comes later arrives", func() bool { all := rc.numbers(); return len(all) > 0 && all[len(all)-1] == 1 })
	}
	for _, h := range others.got(true) {
		if h.typ == "tinydev.subscription.tested" {
			t.Errorf("another got the test of %s", h.subject)
		}
	}
	pgtest.Eventually(t, 20*time.Second, "nothing waits", func() bool {
		return pgtest.Value[int64](t, conn, "select sum(behind)::bigint from tinydev.subscription where name <> 'mail'") == 0
	})
}

func TestGonePauses(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	startEngine(t, db, nil)
	rc := newReceiver(t)
	ann := db.Conn(pgtest.Ann)
	rc.answers(func(hit) int { return 410 })
	run(t, ann, "select tinydev.create_subscription('hook', 'webhook', $1, types => array['test.*'], secret => 'whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz')", rc.URL)
	emit(t, ann, `"Ann".v`, 1, 1)
	pgtest.Eventually(t, 20*time.Second, "it is paused", func() bool {
		return pgtest.Value[string](t, ann, "select coalesce(pause_reason, '') from tinydev.subscription where name = 'hook'") == "gone"
	})
	emit(t, ann, `"Ann".v`, 2, 5)
	rc.answers(nil)
	run(t, ann, "select tinydev.alter_subscription('hook', active => true)")
	pgtest.Eventually(t, 20*time.Second, "all arrive", func() bool { return state(t, ann, "hook") == "delivered 6" })
	if got := rc.numbers(); !slices.Equal(got, upTo(6)) {
		t.Errorf("came %v", got)
	}
	for _, want := range []string{"subscription.paused", "subscription.resumed"} {
		if n := pgtest.Value[int](t, ann, "select count(*)::int from tinydev.event where type = $1", want); n != 1 {
			t.Errorf("%d events %s", n, want)
		}
	}
}

// TestConditionsSeeWhatTheirOwnerSees holds that a condition finds out nothing that the event itself would not tell.
func TestConditionsSeeWhatTheirOwnerSees(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	startEngine(t, db, nil)
	ann, bob := db.Conn(pgtest.Ann), db.Conn(pgtest.Bob)
	run(t, ann, "create table shared (a int)")
	run(t, ann, "select tinydev.share('shared', 'bob')")
	type probe struct {
		*receiver
		condition, rearm string
		want             int
	}
	probes := map[string]probe{
		"message": {newReceiver(t), `$.message like_regex "secret"`, "each", 0},
		"to":      {newReceiver(t), `$.to == "eve"`, "each", 0},
		"once":    {newReceiver(t), `$.message like_regex "secret"`, "once", 0},
		"own":     {newReceiver(t), `$.to == "bob"`, "each", 1},
		"public":  {newReceiver(t), `$.n == 7`, "each", 1},
	}
	for name, p := range probes {
		run(t, bob, "select tinydev.create_subscription($1, 'webhook', $2, condition => $3, rearm => $4, secret => 'whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz')", name, p.URL, p.condition, p.rearm)
	}
	run(t, ann, `select tinydev.record_event('test.failed', 'shared'::regclass, null, '{"message":"secret"}')`)
	run(t, ann, "select tinydev.share('shared', 'eve')")
	run(t, ann, "select tinydev.share('shared', 'bob', 'insert')")
	run(t, ann, `select tinydev.record_event('test.passed', 'shared'::regclass, null, '{"n":7}')`)
	pgtest.Eventually(t, 20*time.Second, "what bob may know arrives", func() bool {
		return len(probes["own"].got(true)) == 1 && len(probes["public"].got(true)) == 1
	})
	for name, p := range probes {
		if got := p.got(false); len(got) != p.want {
			t.Errorf("%s: %d events came through, want %d", name, len(got), p.want)
		}
	}
}

// TestRearm holds what is told of a trouble that goes on, also of one that has been going on for long.
func TestRearm(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	super, ann := db.Superuser(), db.Conn(pgtest.Ann)
	run(t, ann, "create table prices (a int)")
	for name, arguments := range map[string]string{
		"once":      "types => array['view.failed', 'view.refreshed'], rearm => 'once'",
		"failed":    "types => array['view.failed'], rearm => 'once'",
		"every":     "types => array['view.failed'], rearm => 'every', rearm_seconds => 60",
		"dead":      "types => array['view.failed', 'delivery.dead_lettered'], rearm => 'once'", // of dead letters each incident is told once anyhow
		"condition": "types => array['test.measured'], condition => '$.level > 10', rearm => 'once'",
	} {
		run(t, ann, "select tinydev.create_subscription('"+name+"', 'email', 'ann@example.org', "+arguments+")")
	}
	// Types, seconds after the first, and levels, about one subject.
	run(t, super, `
insert into tinydev_impl.event (position, event_id, type, subject, subject_id, workspace, actor, occurred_at, data)
select position, position, type, '"Ann".v', null, 'Ann', 'Ann', timestamptz '2027-01-01 00:00:30+00' + make_interval(secs => seconds), jsonb_build_object('level', level)
  from (values (1, 'view.failed', 0, 0), (2, 'view.failed', 5, 0), (3, 'view.refreshed', 10, 0), (4, 'view.refreshed', 11, 0), (5, 'view.failed', 12, 0), (6, 'view.failed', 40, 0),
               (7, 'view.failed', 45, 0), (8, 'view.failed', 100, 0), (9, 'view.refreshed', 101, 0), (10, 'test.measured', 102, 11), (11, 'test.measured', 103, 12),
               (12, 'test.measured', 104, 1), (13, 'test.measured', 105, 20), (14, 'delivery.dead_lettered', 106, 0), (15, 'delivery.dead_lettered', 107, 0)) e(position, type, seconds, level)`)
	choose := func(name string, positions []int64) []int64 {
		return pgtest.Value[[]int64](t, super, "select tinydev_impl.select_events(s.subscription_id, s.version, $2) from tinydev_impl.subscription s where s.name = $1 and s.role_name = 'Ann'", name, positions)
	}
	for name, want := range map[string][]int64{"once": {1, 3, 5, 9}, "failed": {1, 5}, "every": {1, 5, 6, 8}, "condition": {10, 13}, "dead": {1, 5, 14, 15}} {
		filter := map[string][]int64{"once": {1, 2, 3, 4, 5, 6, 7, 8, 9}, "failed": {1, 2, 5, 6, 7, 8}, "every": {1, 2, 5, 6, 7, 8}, "condition": {10, 11, 12, 13}, "dead": {1, 2, 5, 6, 7, 8, 14, 15}}[name]
		if got := choose(name, filter); !slices.Equal(got, want) {
			t.Errorf("%s: chose %v, want %v", name, got, want)
		}
		// Read in pieces, or again, it chooses the same.
		var pieces []int64
		for _, p := range filter {
			pieces = append(pieces, choose(name, []int64{p})...)
		}
		if !slices.Equal(pieces, want) {
			t.Errorf("%s: chose %v one by one, want %v", name, pieces, want)
		}
	}
	run(t, super, `
insert into tinydev_impl.event (position, event_id, type, subject, subject_id, workspace, actor, occurred_at, data)
select i, i, case when i % 2 = 0 then 'view.failed' else 'test.noticed' end, '"Ann".long', null, 'Ann', 'Ann', clock_timestamp(), '{}' from generate_series(100, 20000) i`)
	var last []int64
	for p := int64(20000 - 1022); p <= 20000; p += 2 {
		last = append(last, p)
	}
	for _, name := range []string{"once", "every"} {
		if got := choose(name, last); len(got) > 1 {
			t.Errorf("%s: chose %v of a trouble that goes on", name, got)
		}
	}
}
