package deliver_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/tinydevcrm/tinydevcrm/pkg/deliver"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

const testSecret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"

// hook makes a webhook for events test.*, with more arguments in SQL.
func hook(t testing.TB, conn *pgx.Conn, name, target, more string) {
	t.Helper()
	run(t, conn, fmt.Sprintf("select tinydev.create_subscription('%s', 'webhook', '%s', types => array['test.*'], secret => '%s'%s)", name, target, testSecret, more))
}

// hanging is a target that takes requests and does not answer.
func hanging(t testing.TB) *httptest.Server {
	over := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-over }))
	t.Cleanup(func() {
		close(over)
		s.Close()
	})
	return s
}

// latency emits n events one after the other and gives the longest time until one arrived.
func latency(t testing.TB, conn *pgx.Conn, rc *receiver, n int) (longest time.Duration) {
	t.Helper()
	had := len(rc.got(true))
	for i := range n {
		began := time.Now()
		emit(t, conn, `"Ann".v`, had+i+1, 1)
		pgtest.Eventually(t, 20*time.Second, "the event arrives", func() bool { return len(rc.got(true)) > had+i })
		longest = max(longest, time.Since(began))
	}
	return longest
}

// TestHangingTargetsDelayNobody has more targets hang than there are connections.
func TestHangingTargetsDelayNobody(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	startEngine(t, db, nil)
	ann, bob := db.Conn(pgtest.Ann), db.Conn(pgtest.Bob)
	rc, dead := newReceiver(t), hanging(t)
	hook(t, ann, "well", rc.URL, "")
	for i := range 30 {
		hook(t, bob, fmt.Sprintf("hangs%d", i), dead.URL, "")
	}
	// Each of them has all its attempts under way, and much waits behind.
	run(t, bob, "select tinydev.record_event('test.happened', null, 'bob.v' || i % 20) from generate_series(1, 2000) i")
	if took := latency(t, ann, rc, 20); took > 8*time.Second {
		t.Errorf("an event took %v while 30 targets hang", took)
	}
}

// TestLockedSubscriptionDelaysNobodyElse has a user hold rows of subscriptions in an open transaction, more than there are connections.
func TestLockedSubscriptionDelaysNobodyElse(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	const lease = 2 * time.Second
	e := startEngine(t, db, func(o *deliver.Options) { o.Lease(lease) })
	ann, bob := db.Conn(pgtest.Ann), db.Conn(pgtest.Bob)
	rc, others := newReceiver(t), newReceiver(t)
	hook(t, ann, "mine", rc.URL, "")
	const locked = 30
	for i := range locked {
		hook(t, bob, fmt.Sprintf("locked%d", i), others.URL, "")
	}
	pgtest.Eventually(t, 10*time.Second, "all are held", func() bool { return e.Held() == locked+1 })
	tx, err := bob.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for i := range locked {
		if _, err := tx.Exec(context.Background(), "select tinydev.alter_subscription($1, timeout_seconds => 20)", fmt.Sprintf("locked%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	writer := db.Conn(pgtest.Bob)
	run(t, writer, "select tinydev.record_event('test.happened', null, 'bob.v', jsonb_build_object('n', i)) from generate_series(1, 20) i")
	pgtest.Eventually(t, 10*time.Second, "what is locked is sent", func() bool { return len(others.got(true)) >= locked })
	began := time.Now()
	for time.Since(began) < 2*lease {
		if took := latency(t, ann, rc, 5); took > 5*time.Second {
			t.Fatalf("an event took %v while another user's subscriptions are locked", took)
		}
	}
	if e.Held() != locked+1 {
		t.Errorf("%d subscriptions are held, the lease is lost", e.Held())
	}
	if err := tx.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	pgtest.Eventually(t, 20*time.Second, "all is recorded", func() bool {
		return pgtest.Value[int](t, bob, "select count(*)::int from tinydev.delivery where state = 'delivered' and owner = 'bob'") == locked*20
	})
	if n := len(others.got(true)); n != locked*20 {
		t.Errorf("%d came, want each of %d once", n, locked*20)
	}
	// A server that stops does not wait for what is locked, nor do those that go on.
	if tx, err = bob.Begin(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(context.Background(), "select tinydev.alter_subscription('locked0', timeout_seconds => 20)"); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	e.stop()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the stop took %v", took)
	}
	second := startEngine(t, db, func(o *deliver.Options) { o.Lease(lease) })
	pgtest.Eventually(t, 2*time.Second, "the next server has all others", func() bool { return second.Held() == locked })
	_ = tx.Rollback(context.Background())
	pgtest.Eventually(t, 5*time.Second, "the next server has all", func() bool { return second.Held() == locked+1 })
}

// TestStopsWithoutDatabase stops a server that cannot record what it sent.
func TestStopsWithoutDatabase(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	p := newProxy(t, db)
	short := func(o *deliver.Options) { o.Lease(1500 * time.Millisecond) }
	e := startEngineAt(t, p.URL, short)
	ann := db.Conn(pgtest.Ann)
	var came atomic.Int32
	block := make(chan struct{})
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { came.Add(1); <-block }))
	t.Cleanup(target.Close)
	hook(t, ann, "hook", target.URL, "")
	emit(t, ann, `"Ann".v`, 1, 1)
	pgtest.Eventually(t, 10*time.Second, "the attempt is under way", func() bool { return came.Load() == 1 })
	p.cut()
	close(block)
	began := time.Now()
	e.stop()
	if took := time.Since(began); took > 12*time.Second {
		t.Errorf("the stop took %v", took)
	}
	p.heal()
	startEngineAt(t, p.URL, short)
	pgtest.Eventually(t, 30*time.Second, "it is sent again", func() bool { return state(t, ann, "hook") == "delivered 1" })
}

// TestShares holds that servers share evenly what the same ones can deliver, and that nothing is left to one that cannot.
func TestShares(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	super := db.Superuser()
	run(t, super, `
insert into tinydev_impl.subscription (role_name, name, kind, target)
select 'bob', 'w' || i, 'webhook', '' from generate_series(1, 10) i union all
select 'bob', 'e' || i, 'email', '' from generate_series(1, 10) i union all
select 'bob', 'c' || i, 'command', 'note' from generate_series(1, 4) i union all
select 'eve', 'c' || i, 'command', 'note' from generate_series(1, 4) i;
create function public.hold(n integer, kinds text[], commands jsonb) returns text language sql as $$
  select string_agg(k || case when wanted then '' else ' too many' end || ' ' || c, ', ' order by k, wanted desc)
    from (select s.kind as k, h.wanted, count(*) as c
            from tinydev_impl.hold_subscriptions(('00000000-0000-4000-8000-00000000000' || n)::uuid, 'server', kinds, commands, '{}') h
            join tinydev_impl.subscription s using (subscription_id) group by 1, 2) x
$$`)
	for i, step := range []struct {
		server int
		kinds  []string
		note   string // who may run the command
		want   string
	}{
		{1, []string{"webhook"}, "", "webhook 10"},
		{2, []string{"webhook", "email"}, "", "email 10"}, // all that nobody else can, and of webhooks none are free
		{1, []string{"webhook"}, "", "webhook 5, webhook too many 5"},
		{3, []string{"webhook", "email", "command"}, `["bob"]`, "command 4"},
		{2, []string{"webhook", "email"}, "", "email 5, email too many 5"},
		{4, []string{"command"}, `["everyone"]`, "command 4"}, // eve's; bob's are held
		{3, []string{"webhook", "email", "command"}, `["bob"]`, "command 2, command too many 2"},
	} {
		commands := "{}"
		if step.note != "" {
			commands = `{"note": ` + step.note + `}`
		}
		if got := pgtest.Value[string](t, super, "select public.hold($1, $2, $3)", step.server, step.kinds, commands); got != step.want {
			t.Errorf("step %d, server %d: %s, want %s", i, step.server, got, step.want)
		}
	}
	// What is given back is taken, and then all have a fair share.
	for range 2 {
		run(t, super, `select tinydev_impl.release_subscriptions(h, array(
  select x.subscription_id from tinydev_impl.hold_subscriptions(h, 'server', k, c, '{}') x where not x.wanted))
from (values ('00000000-0000-4000-8000-000000000001'::uuid, array['webhook'], '{}'::jsonb), ('00000000-0000-4000-8000-000000000002', array['webhook','email'], '{}'),
             ('00000000-0000-4000-8000-000000000003', array['webhook','email','command'], '{"note":["bob"]}'), ('00000000-0000-4000-8000-000000000004', array['command'], '{"note":["everyone"]}')) v(h, k, c)`)
	}
	if got := pgtest.Value[string](t, super, `
select string_agg(n || ' ' || kind || ' ' || c, ', ' order by n, kind) from (select right(coalesce(holder::text, 'nobody'), 1) n, kind, count(*) c from tinydev_impl.subscription where active group by 1, 2) x`); got !=
		"1 webhook 4, 2 email 5, 2 webhook 3, 3 command 2, 3 email 5, 3 webhook 3, 4 command 6" && !strings.HasPrefix(got, "1 webhook 3") && !strings.HasPrefix(got, "1 webhook 4") {
		t.Errorf("held are %s", got)
	}
}

// TestHostileConditions has conditions that raise and that take for ever. Their subscriptions suffer, no other does.
func TestHostileConditions(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	e := startEngine(t, db, func(o *deliver.Options) { o.Lease(1500 * time.Millisecond) })
	ann, bob := db.Conn(pgtest.Ann), db.Conn(pgtest.Bob)
	rc, bobs := newReceiver(t), newReceiver(t)
	hook(t, ann, "mine", rc.URL, ", condition => '$.n > 0'")
	hook(t, ann, "raises", rc.URL, ", condition => '$nobody > $.n'")
	for i := range 2 {
		hook(t, bob, fmt.Sprintf("slow%d", i), bobs.URL, ", condition => '$.a[*] == $.b[*]'")
	}
	pgtest.Eventually(t, 10*time.Second, "all are held", func() bool { return e.Held() == 4 })
	run(t, bob, `select tinydev.record_event('test.happened', null, 'bob.v', (select jsonb_build_object('a', jsonb_agg(1), 'b', jsonb_agg(2)) from generate_series(1, 20000)))`)
	for range 4 {
		if took := latency(t, ann, rc, 5); took > 5*time.Second {
			t.Errorf("an event took %v while another user's conditions take for ever", took)
		}
	}
	if e.Held() != 4 {
		t.Errorf("%d subscriptions are held, the lease is lost", e.Held())
	}
	pgtest.Eventually(t, 40*time.Second, "what takes for ever is paused", func() bool {
		return pgtest.Value[int](t, bob, "select count(*)::int from tinydev.subscription where pause_reason = 'failing' and position = 0") == 2
	})
	pgtest.Eventually(t, 20*time.Second, "a condition that raises passes all over", func() bool {
		return pgtest.Value[bool](t, ann, "select position >= 20 from tinydev.subscription where name = 'raises'") && state(t, ann, "raises") == ""
	})
}

// TestRightsAtDelivery holds that what waits, in memory or in the database, is sent by the rights at that time.
func TestRightsAtDelivery(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	startEngine(t, db, nil)
	ann, bob, eve, super := db.Conn(pgtest.Ann), db.Conn(pgtest.Bob), db.Conn(pgtest.Eve), db.Superuser()
	run(t, ann, "create table shared (a int); create table other (a int)")
	for _, user := range []string{"bob", "eve"} {
		run(t, ann, "select tinydev.share('shared', $1), tinydev.share('other', $1)", user)
	}
	// In memory: the target takes one each second, and the rest waits behind it.
	slow := newReceiver(t)
	slow.answers(func(hit) int { time.Sleep(time.Second); return 200 })
	// In the database: the target fails at first.
	failing := newReceiver(t)
	failing.answers(func(hit) int { return 500 })
	// Where the user is none any more.
	login := newReceiver(t)
	login.answers(func(hit) int { time.Sleep(time.Second); return 200 })
	hook(t, bob, "slow", slow.URL, "")
	hook(t, bob, "failing", failing.URL, ", retry_seconds => '{4,4,4,4}'")
	hook(t, eve, "login", login.URL, "")
	run(t, ann, "select tinydev.record_event('test.happened', 'shared'::regclass, null, jsonb_build_object('n', i)) from generate_series(1, 20) i")
	run(t, ann, "select tinydev.record_event('test.happened', 'other'::regclass, null, '{\"n\": 100}')")
	pgtest.Eventually(t, 10*time.Second, "each target is busy", func() bool {
		return len(slow.got(false)) > 1 && len(failing.got(false)) > 1 && len(login.got(false)) > 1
	})
	run(t, ann, "select tinydev.unshare('shared', 'bob')")
	run(t, super, "alter role eve nologin")
	defer run(t, super, "alter role eve login") // the role is everybody's
	unshared := time.Now()
	failing.answers(nil)
	pgtest.Eventually(t, 30*time.Second, "nothing waits any more", func() bool {
		return pgtest.Value[bool](t, super, "select not exists (select from tinydev_impl.delivery d join tinydev_impl.subscription s using (subscription_id) where s.role_name = 'bob' and state in ('pending', 'failing')) and (select position from tinydev.subscription where name = 'slow') >= 21")
	})
	if n := len(failing.got(true)); n != 1 || failing.got(true)[0].n != 100 {
		t.Errorf("what waited in the database was sent: %+v", failing.got(true))
	}
	for name, got := range map[string][]hit{"slow": slow.got(true), "login": login.got(true)} {
		if n := len(got); n < 2 || n > 12 {
			t.Errorf("%s: %d of 21 came; those of the first 5 s may, and no more", name, n)
		}
	}
	if got := state(t, bob, "slow"); !strings.HasPrefix(got, "dead ") {
		t.Errorf("slow: %s", got)
	}
	if why := pgtest.Value[string](t, bob, "select min(error) from tinydev.delivery where subscription = 'failing' and state = 'dead'"); why != "the event is gone, or its owner may no longer see it" {
		t.Errorf("dead, because %q", why)
	}
	// Nothing more comes to who is none.
	had := len(login.got(false))
	pgtest.Eventually(t, 20*time.Second, "the rest of five seconds passes", func() bool { return time.Since(unshared) > 7*time.Second })
	if n := len(login.got(false)); n > had+1 {
		t.Errorf("%d more came to a role that may not log in", n-had)
	}
}

// TestDroppedUser ends what is under way for a user that is dropped.
func TestDroppedUser(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	e := startEngine(t, db, nil)
	admin := db.Conn(pgtest.Admin)
	name := "u" + strings.ReplaceAll(db.Name, "_", "")[5:]
	run(t, admin, "select tinydev.create_user($1)", name)
	user := db.Conn(name)
	rc := newReceiver(t)
	rc.answers(func(hit) int { time.Sleep(300 * time.Millisecond); return 200 })
	hook(t, user, "hook", rc.URL, "")
	run(t, user, "select tinydev.record_event('test.happened', null, $1, jsonb_build_object('n', i)) from generate_series(1, 100) i", name+".v")
	pgtest.Eventually(t, 10*time.Second, "its target is busy", func() bool { return len(rc.got(false)) > 1 })
	user.Close(context.Background())
	run(t, admin, "select tinydev.drop_user($1, objects => 'drop')", name)
	pgtest.Eventually(t, 20*time.Second, "the work ends", func() bool { return e.Held() == 0 })
	if n := len(rc.got(false)); n > 10 {
		t.Errorf("%d came", n)
	}
}

// TestPauses has a target that fails for long: it is paused before anything is given up, though its plan is at its end, and goes on where
// it stopped.
func TestPauses(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	startEngine(t, db, nil)
	ann, super := db.Conn(pgtest.Ann), db.Superuser()
	rc := newReceiver(t)
	rc.answers(func(hit) int { return 503 })
	hook(t, ann, "hook", rc.URL, ", retry_seconds => '{2}', pause_after_seconds => 60")
	// Subjects enough for several records of failures.
	run(t, ann, `select tinydev.record_event('test.happened', null, '"Ann".v' || i, jsonb_build_object('n', i)) from generate_series(1, 40) i`)
	pgtest.Eventually(t, 10*time.Second, "all failed once", func() bool { return state(t, ann, "hook") == "failing 40" })
	run(t, super, "update tinydev_impl.subscription set failing_since = failing_since - interval '2 minutes' where name = 'hook'")
	pgtest.Eventually(t, 10*time.Second, "it is paused", func() bool {
		return pgtest.Value[string](t, ann, "select coalesce(pause_reason, '') from tinydev.subscription where name = 'hook'") == "failing"
	})
	pgtest.Eventually(t, 10*time.Second, "nobody holds it", func() bool {
		return pgtest.Value[bool](t, ann, "select server is null from tinydev.subscription where name = 'hook'")
	})
	if got := state(t, ann, "hook"); got != "failing 40" {
		t.Errorf("paused with %s", got)
	}
	if n := pgtest.Value[int](t, ann, "select count(*)::int from tinydev.event where type = 'subscription.paused' and data ->> 'reason' = 'failing' and (data ->> 'open')::int = 40"); n != 1 {
		t.Errorf("%d events tell of it", n)
	}
	had := len(rc.got(false))
	run(t, ann, `select tinydev.record_event('test.happened', null, '"Ann".v1', '{"n": 41}')`)
	rc.answers(nil)
	run(t, ann, "select tinydev.alter_subscription('hook', active => true)")
	pgtest.Eventually(t, 10*time.Second, "all arrive", func() bool { return state(t, ann, "hook") == "delivered 41" })
	if got := rc.numbers(); len(got) != 41 || slices.Index(got, 41) < slices.Index(got, 1) {
		t.Errorf("came %v", got)
	}
	if n := len(rc.got(false)) - had; n != 41 {
		t.Errorf("%d requests after the pause, want 41", n)
	}
}

// TestEventsLost drops the part of the log in which a paused subscription's cursor and deliveries are.
func TestEventsLost(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	super, ann := db.Superuser(), db.Conn(pgtest.Ann)
	// Small partitions.
	run(t, super, "update tinydev_impl.event_partition set created_at = now() - interval '2 days'")
	rc := newReceiver(t)
	rc.answers(func(h hit) int {
		if h.subject == `"Ann".w` {
			return 500
		}
		return 200
	})
	e := startEngine(t, db, nil)
	hook(t, ann, "behind", rc.URL, "")
	hook(t, ann, "waits", rc.URL, ", subjects => array['w']")
	run(t, ann, "select tinydev.alter_subscription('behind', active => false)")
	pgtest.Eventually(t, 10*time.Second, "nobody delivers the paused one", func() bool {
		return pgtest.Value[bool](t, ann, "select server is null from tinydev.subscription where name = 'behind'")
	})
	emit(t, ann, `"Ann".w`, 1, 3)
	pgtest.Eventually(t, 10*time.Second, "three wait", func() bool { return state(t, ann, "waits") == "failing 1, pending 2" })
	first, last := pgtest.Value[int64](t, ann, "select min(delivery_id) from tinydev.delivery"), pgtest.Value[int64](t, ann, "select max(delivery_id) from tinydev.delivery")
	e.stop()
	// What is there so far becomes old, and the log goes on behind it.
	run(t, super, "update tinydev_impl.event set occurred_at = occurred_at - interval '1 year'")
	run(t, super, "update tinydev_impl.head set position = (select min(position_to) from tinydev_impl.event_partition) + 10")
	run(t, super, "select tinydev_impl.upkeep()")
	oldest := pgtest.Value[int64](t, super, "select oldest from tinydev.event_head()")
	if oldest < 1000 {
		t.Fatalf("the oldest event may be at %d", oldest)
	}
	rc.answers(nil)
	startEngine(t, db, nil)
	run(t, ann, "select tinydev.alter_subscription('behind', active => true)")
	emit(t, ann, `"Ann".v`, 4, 2)
	told, want := "", fmt.Sprintf(`"Ann".behind 1 %d, "Ann".waits %d %d, "Ann".waits %d %d`, oldest-1, first, last, last+1, oldest-1)
	defer func() {
		if told != want {
			t.Errorf("told %s, want %s", told, want)
		}
	}()
	pgtest.Eventually(t, 10*time.Second, "both are told", func() bool {
		told = pgtest.Value[string](t, ann, "select coalesce(string_agg(subject || ' ' || (data ->> 'from') || ' ' || (data ->> 'to'), ', ' order by subject, position), '') from tinydev.event where type = 'subscription.events_lost'")
		return told == want
	})
	pgtest.Eventually(t, 10*time.Second, "what is left arrives", func() bool { return state(t, ann, "behind") == "delivered 2" })
	if got := state(t, ann, "waits"); got != "" {
		t.Errorf("waits: %s", got)
	}
}

// TestNoGoroutineStays stops a server with attempts that hang, fail and succeed.
func TestNoGoroutineStays(t *testing.T) { // not parallel: others' goroutines would be seen
	db := pgtest.DB(t)
	ann := db.Conn(pgtest.Ann)
	targets := map[string]string{"well": newReceiver(t).URL, "hangs": hanging(t).URL, "fails": "http://127.0.0.1:1/"}
	p := newProxy(t, db)
	known := goleak.IgnoreCurrent()
	e := startEngineAt(t, p.URL, nil)
	for name, target := range targets {
		hook(t, ann, name, target, "")
	}
	run(t, ann, `select tinydev.record_event('test.happened', null, '"Ann".v' || i % 30) from generate_series(1, 300) i`)
	pgtest.Eventually(t, 20*time.Second, "all that can is delivered", func() bool { return state(t, ann, "well") == "delivered 300" })
	e.stop()
	e = startEngineAt(t, p.URL, nil)
	pgtest.Eventually(t, 20*time.Second, "the next one has all", func() bool { return e.Held() == 3 })
	p.cut()
	e.kill()
	ignored := []goleak.Option{known, goleak.IgnoreAnyFunction("net/http.(*conn).serve"), goleak.IgnoreAnyFunction("net/http.(*connReader).backgroundRead")} // of the targets
	goleak.VerifyNone(t, ignored...)
}

// TestRearmReplayed holds that what is told once is chosen from the log alone: after a replay, by another server, and read in pieces.
func TestRearmReplayed(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	ann := db.Conn(pgtest.Ann)
	once, every := newReceiver(t), newReceiver(t)
	e := startEngine(t, db, nil)
	hook(t, ann, "once", once.URL, ", condition => '$.n > 10', rearm => 'once'")
	hook(t, ann, "every", every.URL, ", condition => '$.n > 10', rearm => 'every', rearm_seconds => 31536000")
	for i, n := range []int{11, 12, 1, 13, 14, 15, 2, 3, 16, 17} {
		emit(t, ann, `"Ann".v`, n, 1)
		if i == 4 {
			e.stop()
			e = startEngine(t, db, nil)
		}
	}
	emit(t, ann, `"Ann".w`, 100, 1) // the last one, once each round
	var want []int
	for round := range 3 {
		want = append(want, 11, 13, 16)
		for name, rc := range map[string]*receiver{"once": once, "every": every} {
			pgtest.Eventually(t, 20*time.Second, "the round is over", func() bool {
				return state(t, ann, name) == "delivered 4" && len(rc.numbers()) == 4*(round+1)
			})
			if got := slices.DeleteFunc(rc.numbers(), func(n int) bool { return n == 100 }); !slices.Equal(got, want) {
				t.Errorf("%s was told %v, want %v", name, got, want)
			}
			run(t, ann, "select tinydev.replay($1, 0)", name)
		}
		if round == 0 {
			e.stop()
			e = startEngine(t, db, nil)
		}
	}
}
