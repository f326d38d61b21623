package relay_test

import (
	"context"
	"strings"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/relay"
)

// TestHoldersStopNobody has users hold open all that they can: a transaction that read the log, the locks that they may
// take on its views, advisory keys.
func TestHoldersStopNobody(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	r := start(t, db)
	ctx := context.Background()
	s := subscribe(t, r, pgtest.Ann, -1, relay.Filter{})
	eve := db.Conn(pgtest.Eve)
	for _, sql := range []string{"begin isolation level repeatable read", "select * from tinydev.read_events()", "select count(*) from tinydev.event",
		"lock table tinydev.event in access share mode", "select pg_advisory_lock(k) from generate_series(-200, 2000) k", "select pg_advisory_lock(9628173550095224)",
		"select tinydev.record_event('test.happened', null, 'eve.v')"} {
		if _, err := eve.Exec(ctx, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	for _, sql := range []string{"lock table tinydev.event in share mode", "lock table tinydev_impl.head", "select tinydev_impl.place()", "select * from tinydev_impl.inbox",
		"insert into tinydev.event select * from tinydev.event", "delete from tinydev.event", "select tinydev_impl.read_events_as('Ann', 0, 10)"} {
		if _, err := db.Conn(pgtest.Eve).Exec(ctx, sql); err == nil {
			t.Errorf("eve may: %s", sql)
		}
	}
	emit(t, db.Conn(pgtest.Ann), `"Ann".v`, 1, 20)
	for i := 1; i <= 20; i++ {
		if got := number(t, next(t, s)); got != i {
			t.Fatalf("event %d came as number %d", got, i)
		}
	}
	if _, err := db.Superuser().Exec(ctx, "select tinydev_impl.upkeep()"); err != nil {
		t.Errorf("upkeep waits for eve: %v", err)
	}
}

// TestPartitions fills the log beyond its first partitions and lets the oldest go.
func TestPartitions(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	ctx, super := context.Background(), db.Superuser()
	ahead := func() int64 {
		return pgtest.Value[int64](t, super, "select max(p.position_to) - min(h.position) from tinydev_impl.event_partition p, tinydev_impl.head h")
	}
	if ahead() < 100_000 {
		t.Errorf("a new log has room for %d events", ahead())
	}
	for range 3 {
		if _, err := super.Exec(ctx, "insert into tinydev_impl.inbox (type, subject, workspace, actor) select 'test.happened', 'bob.v', 'bob', 'bob' from generate_series(1, 99999)"); err != nil {
			t.Fatal(err)
		}
		if placed := pgtest.Value[int](t, super, "select placed from tinydev_impl.place(100000)"); placed != 99_999 {
			t.Fatalf("placed %d", placed)
		}
		if ahead() < 100_000 {
			t.Errorf("only %d positions ahead", ahead())
		}
	}
	if n := pgtest.Value[int](t, super, "select count(distinct tableoid)::int from tinydev_impl.event"); n < 3 {
		t.Errorf("the events lie in %d partitions", n)
	}
	if _, err := super.Exec(ctx, "update tinydev_impl.instance set event_retention = '0 s'"); err != nil {
		t.Fatal(err)
	}
	reader, err := db.Conn(pgtest.Bob).Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	pgtest.Value[int](t, reader, "select count(*)::int from tinydev.event")
	dropped := func() int {
		return pgtest.Value[int](t, super, "select jsonb_array_length(tinydev_impl.upkeep() -> 'dropped_partitions')")
	}
	if n := dropped(); n != 0 {
		t.Errorf("%d partitions went from under a reader", n)
	}
	if err := reader.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	if n := dropped(); n == 0 {
		t.Error("old partitions stay")
	}
	bob := db.Conn(pgtest.Bob)
	var upTo, head int64
	var events []any
	if err := bob.QueryRow(ctx, "select events, next, head from tinydev.read_events(0, 10)").Scan(&events, &upTo, &head); err != nil {
		t.Fatal(err)
	}
	oldest := pgtest.Value[int64](t, bob, "select oldest from tinydev.event_head()")
	if len(events) != 10 || upTo != oldest+9 || head != 3*99_999 {
		t.Errorf("from the beginning come %d events up to %d of %d, the oldest is %d", len(events), upTo, head, oldest)
	}
	// A relay starts where the log is now.
	s := subscribe(t, start(t, db), pgtest.Bob, -1, relay.Filter{})
	emit(t, bob, "bob.v", 1, 1)
	if e := next(t, s); e.Position != head+1 {
		t.Errorf("the next event is at %d, want %d", e.Position, head+1)
	}
}

// TestHiddenEventsDoNotLeak reads the log through a cheap function that tells what it is given, which PostgreSQL would run before a view's
// own conditions if they were all that kept rows apart.
func TestHiddenEventsDoNotLeak(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	ctx := context.Background()
	ann, bob, admin := db.Conn(pgtest.Ann), db.Conn(pgtest.Bob), db.Conn(pgtest.Admin)
	for _, sql := range []string{"create table shared (a int)", "grant usage on schema \"Ann\" to bob", "grant select on shared to bob",
		`select tinydev.record_event('view.failed', 'shared'::regclass, null, '{"sqlstate":"22012","message":"secret"}')`,
		`select tinydev.record_event('test.happened', null, '"Ann".private', '{"n":1}')`} {
		if _, err := ann.Exec(ctx, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	pgtest.Value[int](t, db.Superuser(), "select placed from tinydev_impl.place()")
	if _, err := bob.Exec(ctx, `create function leak(text) returns boolean language plpgsql cost 0.0000001 as $$ begin raise exception 'seen: %', $1; end $$`); err != nil {
		t.Fatal(err)
	}
	_, err := bob.Exec(ctx, "select * from tinydev.event where leak(subject || data::text)")
	if err == nil || !strings.Contains(err.Error(), "shared") || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "private") {
		t.Errorf("bob's function saw: %v", err)
	}
	count := "select count(*)::int from tinydev.event"
	if a, b, c := pgtest.Value[int](t, ann, count), pgtest.Value[int](t, bob, count), pgtest.Value[int](t, admin, count); a != 2 || b != 1 || c != 2 {
		t.Errorf("ann sees %d, bob %d, the administrator %d; want 2, 1, 2", a, b, c)
	}
	if secret := pgtest.Value[bool](t, admin, "select data ? 'message' from tinydev.event where type = 'view.failed'"); !secret {
		t.Error("the administrator does not get the message")
	}
	var plan []string
	rows, err := bob.Query(ctx, "explain select * from tinydev.event order by position desc limit 5")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		plan = append(plan, string(rows.RawValues()[0]))
	}
	if text := strings.Join(plan, "\n"); strings.Contains(text, "Sort") || !strings.Contains(text, "Index Scan Backward") {
		t.Errorf("the newest events are found by sorting all:\n%s", text)
	}
}
