package relay_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
	"github.com/tinydevcrm/tinydevcrm/pkg/relay"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// start runs a relay on db until the test ends.
func start(t *testing.T, db *pgtest.Database) *relay.Relay {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	pool, err := postgres.Open(ctx, db.URL("tinydev_server"), "tinydev", 4)
	if err != nil {
		t.Fatal(err)
	}
	r := relay.New(pool, slog.New(slog.NewTextHandler(io.Discard, nil)))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		pool.Close()
	})
	pgtest.Eventually(t, 10*time.Second, "the relay is ready", r.Ready)
	return r
}

func subscribe(t *testing.T, r *relay.Relay, role string, after int64, f relay.Filter) *relay.Subscription {
	t.Helper()
	s, err := r.Subscribe(context.Background(), role, after, f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// next gives the next event of s.
func next(t *testing.T, s *relay.Subscription) *relay.Event {
	t.Helper()
	select {
	case e, ok := <-s.Events():
		if !ok {
			t.Fatalf("the stream ended: %v", s.Err())
		}
		return e
	case <-time.After(20 * time.Second):
		t.Fatal("no event within 20 s")
	}
	return nil
}

// emit writes n events about role's own workspace, each in a transaction of its own.
func emit(t testing.TB, conn *pgx.Conn, subject string, from, n int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		if _, err := conn.Exec(context.Background(), "select tinydev.record_event('test.happened', null, $1, pg_catalog.jsonb_build_object('n', $2::int))", subject, i); err != nil {
			t.Fatal(postgres.Fault(err, ""))
		}
	}
}

func number(t *testing.T, e *relay.Event) int {
	t.Helper()
	var body struct {
		ID   string `json:"id"`
		Data struct{ N int }
	}
	if err := json.Unmarshal(e.JSON, &body); err != nil {
		t.Fatal(err)
	}
	if body.ID != fmt.Sprint(e.Position) {
		t.Errorf("id %s at position %d", body.ID, e.Position)
	}
	return body.Data.N
}

func TestLiveAndResume(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	r := start(t, db)
	ann := db.Conn(pgtest.Ann)
	s := subscribe(t, r, pgtest.Ann, -1, relay.Filter{})
	emit(t, ann, `"Ann".v`, 1, 3)
	var last *relay.Event
	for i := 1; i <= 3; i++ {
		last = next(t, s)
		if got := number(t, last); got != i || last.Position != int64(i) {
			t.Errorf("event %d at position %d, want %d at %d", got, last.Position, i, i)
		}
	}
	if want := fmt.Sprintf("id: 3\nevent: tinydev.test.happened\ndata: %s\n\n", last.JSON); string(last.SSE()) != want {
		t.Errorf("frame %q, want %q", last.SSE(), want)
	}
	resumed := subscribe(t, r, pgtest.Ann, 1, relay.Filter{})
	emit(t, ann, `"Ann".v`, 4, 1)
	for i := 2; i <= 4; i++ {
		if got := number(t, next(t, resumed)); got != i {
			t.Errorf("after 1 came %d, want %d", got, i)
		}
	}
}

func TestFilterAndRights(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	r := start(t, db)
	eve := subscribe(t, r, pgtest.Eve, 0, relay.Filter{})
	admin := subscribe(t, r, pgtest.Admin, 0, relay.Filter{Types: []string{"tinydev.test.*"}, Subjects: []string{"bob.*"}})
	ann, bob := db.Conn(pgtest.Ann), db.Conn(pgtest.Bob)
	emit(t, ann, `"Ann".v`, 1, 2)
	emit(t, bob, "bob.v", 3, 1)
	emit(t, db.Conn(pgtest.Eve), "eve.v", 4, 1)
	if got := number(t, next(t, eve)); got != 4 {
		t.Errorf("eve got event %d, want her own alone", got)
	}
	if got := number(t, next(t, admin)); got != 3 {
		t.Errorf("the administrator's filter let %d through, want 3", got)
	}
}

func TestForgedNotifyDeliversNothing(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	r := start(t, db)
	s := subscribe(t, r, pgtest.Ann, -1, relay.Filter{})
	eve := db.Conn(pgtest.Eve)
	for _, payload := range []string{"1", "99999", "x", `{"type":"view.refreshed"}`} {
		for _, channel := range []string{"tinydev", "tinydev_inbox"} {
			if _, err := eve.Exec(context.Background(), "select pg_notify($1, $2)", channel, payload); err != nil {
				t.Fatal(err)
			}
		}
	}
	emit(t, db.Conn(pgtest.Ann), `"Ann".v`, 1, 1)
	if e := next(t, s); number(t, e) != 1 || e.Position != 1 {
		t.Errorf("first came %s, want the real event alone", e.JSON)
	}
}

func TestSlowSubscriberLosesNothing(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	r := start(t, db)
	ann := db.Conn(pgtest.Ann)
	s := subscribe(t, r, pgtest.Ann, -1, relay.Filter{})
	fast := subscribe(t, r, pgtest.Ann, -1, relay.Filter{})
	const n = 2000
	if _, err := ann.Exec(context.Background(), `select tinydev.record_event('test.happened', null, '"Ann".v', pg_catalog.jsonb_build_object('n', i)) from generate_series(1, $1) i`, n); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []*relay.Subscription{fast, s} {
		for i := 1; i <= n; i++ {
			if got := number(t, next(t, sub)); got != i {
				t.Fatalf("event %d came as number %d", got, i)
			}
		}
	}
	emit(t, ann, `"Ann".v`, n+1, 1)
	if got := number(t, next(t, s)); got != n+1 {
		t.Errorf("after catching up came %d, want %d", got, n+1)
	}
}

func TestDroppedRoleEndsItsStreams(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	r := start(t, db)
	super := db.Superuser()
	for _, sql := range []string{`create role gone login`, `grant tinydev_user to gone`} {
		if _, err := super.Exec(context.Background(), sql); err != nil {
			t.Fatal(err)
		}
	}
	s := subscribe(t, r, "gone", -1, relay.Filter{})
	if _, err := super.Exec(context.Background(), "drop role gone"); err != nil {
		t.Fatal(err)
	}
	emit(t, db.Conn(pgtest.Ann), `"Ann".v`, 1, 1)
	select {
	case _, ok := <-s.Events():
		if ok {
			t.Error("a dropped role got an event")
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the stream goes on")
	}
	if fault.KindOf(s.Err()) != fault.Forbidden {
		t.Errorf("ended with %v, want forbidden", s.Err())
	}
	if _, err := r.Subscribe(context.Background(), pgtest.Ann, 1_000_000, relay.Filter{}); fault.CodeOf(err) != "position_ahead" {
		t.Errorf("a position of another log is taken: %v", err)
	}
	if _, err := r.Subscribe(context.Background(), "tinydev_superuser", 0, relay.Filter{}); fault.CodeOf(err) != "not_a_user" {
		t.Errorf("the superuser may subscribe: %v", err)
	}
}

func TestLostConnectionsLoseNothing(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	r := start(t, db)
	ann, super := db.Conn(pgtest.Ann), db.Superuser()
	s := subscribe(t, r, pgtest.Ann, -1, relay.Filter{})
	got := 0
	for round := range 5 {
		if _, err := super.Exec(context.Background(), "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'tinydev_server' and datname = $1", db.Name); err != nil {
			t.Fatal(err)
		}
		emit(t, ann, `"Ann".v`, round*10+1, 10)
		for range 10 {
			got++
			if n := number(t, next(t, s)); n != got {
				t.Fatalf("event %d came as number %d", n, got)
			}
		}
	}
}

// TestWriters holds that many writers' events arrive once, in the order of their positions and without holes, at two relays
// at once, while somebody holds a transaction with an event open.
func TestWriters(t *testing.T) {
	t.Parallel()
	const writers, each = 20, 100
	db := pgtest.DB(t)
	relays := []*relay.Relay{start(t, db), start(t, db)}
	var streams []*relay.Subscription
	for _, r := range relays {
		streams = append(streams, subscribe(t, r, pgtest.Admin, 0, relay.Filter{}))
	}
	open, err := db.Conn(pgtest.Ann).Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open.Exec(context.Background(), `select tinydev.record_event('test.happened', null, '"Ann".late', '{"n":-1}')`); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range writers {
		conn := db.Conn([]string{pgtest.Ann, pgtest.Bob, pgtest.Eve}[w%3])
		subject := []string{`"Ann".v`, "bob.v", "eve.v"}[w%3]
		wg.Add(1)
		go func() {
			defer wg.Done()
			emit(t, conn, subject, w*each, each)
		}()
	}
	for i, s := range streams {
		seen := map[int]bool{}
		for p := int64(1); p <= writers*each; p++ {
			e := next(t, s)
			n := number(t, e)
			if e.Position != p || seen[n] {
				t.Fatalf("stream %d: event %d at position %d, want a new one at %d", i, n, e.Position, p)
			}
			seen[n] = true
		}
	}
	wg.Wait()
	if err := open.Commit(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, s := range streams {
		if e := next(t, s); number(t, e) != -1 || e.Position != writers*each+1 {
			t.Errorf("the late commit came as %s", e.JSON)
		}
	}
}

func TestMatchAgreesWithSQL(t *testing.T) {
	t.Parallel()
	conn := pgtest.DB(t).Conn(pgtest.Ann)
	words := []string{"", "*", "ann.*", "ann.v", "*.v", "a*n*v", "**", `a\*`, "a%", "a_n.v", "ann", "ann.v.v", `a\b`, "a%b", "*nn*.*v"}
	for _, pattern := range words {
		for _, s := range words {
			want := pgtest.Value[bool](t, conn, "select $1::text like tinydev_lib.glob($2)", s, pattern)
			if got := relay.Match(pattern, s); got != want {
				t.Errorf("Match(%q, %q) = %v, LIKE says %v", pattern, s, got, want)
			}
		}
	}
}

// rest takes what waits in s and gives the positions.
func rest(s *relay.Subscription) (positions []int64) {
	for {
		select {
		case e, ok := <-s.Events():
			if !ok {
				return positions
			}
			positions = append(positions, e.Position)
		default:
			return positions
		}
	}
}

// TestLookedAt holds that the position up to which all was looked at moves on with the log where nothing passes the filter, and that no
// event comes after it was taken as a cursor.
func TestLookedAt(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	r := start(t, db)
	ann := db.Conn(pgtest.Ann)
	idle := subscribe(t, r, pgtest.Ann, -1, relay.Filter{Subjects: []string{"none.*"}})
	emit(t, ann, `"Ann".v`, 1, 30)
	pgtest.Eventually(t, 20*time.Second, "an idle subscription looks at all", func() bool { return idle.LookedAt() == 30 })
	if got := rest(idle); got != nil {
		t.Errorf("the filter let %v through", got)
	}

	every := subscribe(t, r, pgtest.Ann, 0, relay.Filter{})
	rare := subscribe(t, r, pgtest.Ann, 0, relay.Filter{Subjects: []string{"*.rare"}})
	pgtest.Eventually(t, 20*time.Second, "a late subscription catches up", func() bool { return every.LookedAt() == 30 && rare.LookedAt() == 30 })
	if got := rest(every); len(got) != 30 {
		t.Errorf("%d events came", len(got))
	}
	// More than fits, so that subscriptions go from the feed to the log and back.
	const n = 3000
	_, err := ann.Exec(context.Background(), `select tinydev.record_event('test.happened', null, case when i % 700 = 0 then '"Ann".rare' else '"Ann".v' end,
		pg_catalog.jsonb_build_object('n', i)) from generate_series(1, $1) i`, n)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*relay.Subscription{every, rare} {
		last, count := int64(30), 0
		pgtest.Eventually(t, 20*time.Second, "all is looked at", func() bool {
			cursor := s.LookedAt()
			for _, position := range rest(s) {
				if position <= last {
					t.Fatalf("position %d came after the cursor %d", position, last)
				}
				last, count = position, count+1
			}
			if cursor < s.Start() || cursor > 30+n {
				t.Fatalf("the cursor is %d", cursor)
			}
			last = max(last, cursor)
			return cursor == 30+n
		})
		if want := map[*relay.Subscription]int{every: n, rare: n / 700}[s]; count != want {
			t.Errorf("%d events came, want %d", count, want)
		}
	}
}

// TestTestedPasses holds that a subscription gets its own test whatever it filters, and no other's.
func TestTestedPasses(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	r := start(t, db)
	s := subscribe(t, r, pgtest.Admin, -1, relay.Filter{Types: []string{"view.failed"}, Subjects: []string{"bob.*"}, Tested: `"Ann".hook`})
	all := subscribe(t, r, pgtest.Admin, -1, relay.Filter{Tested: `"Ann".hook`})
	_, err := db.Superuser().Exec(context.Background(), `insert into tinydev_impl.inbox (type, subject, workspace, actor) values
		('subscription.tested', '"Ann".other', 'Ann', 'Ann'), ('subscription.paused', '"Ann".hook', 'Ann', 'Ann'), ('subscription.tested', '"Ann".hook', 'Ann', 'Ann'),
		('view.failed', '"Ann".v', 'Ann', 'Ann'), ('view.failed', 'bob.v', 'bob', 'bob')`)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`subscription.tested "Ann".hook`, "view.failed bob.v"} {
		if e := next(t, s); e.Type+" "+e.Subject != want {
			t.Errorf("%s %s came, want %s", e.Type, e.Subject, want)
		}
	}
	for _, want := range []string{`subscription.paused "Ann".hook`, `subscription.tested "Ann".hook`} {
		if e := next(t, all); e.Type+" "+e.Subject != want {
			t.Errorf("to one without a filter %s %s came, want %s", e.Type, e.Subject, want)
		}
	}
}

// TestReset holds that who asks for what is not kept any more begins with the oldest, and who was ahead of a restored log at its end.
func TestReset(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	r := start(t, db)
	ctx, super := context.Background(), db.Superuser()
	emit(t, db.Conn(pgtest.Ann), `"Ann".v`, 1, 5)
	pgtest.Eventually(t, 20*time.Second, "all is placed", func() bool { return r.Head() == 5 })
	if s := subscribe(t, r, pgtest.Ann, 0, relay.Filter{}); s.Reset() != nil || s.Start() != 0 {
		t.Errorf("from the beginning: %+v, after %d", s.Reset(), s.Start())
	}
	for _, sql := range []string{"delete from tinydev_impl.event where position < 4",
		"update tinydev_impl.event_partition set position_from = 4 where position_from = (select min(position_from) from tinydev_impl.event_partition)"} {
		if _, err := super.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	s := subscribe(t, r, pgtest.Ann, 1, relay.Filter{})
	if got := s.Reset(); got == nil || *got != (relay.Reset{Oldest: 4, Head: 5, Asked: 1}) || s.Start() != 3 {
		t.Errorf("after 1: %+v, after %d", got, s.Start())
	}
	if e := next(t, s); e.Position != 4 {
		t.Errorf("the oldest is %d", e.Position)
	}
	if s := subscribe(t, r, pgtest.Ann, 3, relay.Filter{}); s.Reset() != nil {
		t.Errorf("nothing is missing after 3: %+v", s.Reset())
	}
	s, err := r.Resume(ctx, pgtest.Ann, 99, relay.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := s.Reset(); got == nil || *got != (relay.Reset{Oldest: 4, Head: 5, Asked: 99}) || s.Start() != 5 {
		t.Errorf("after 99: %+v, after %d", got, s.Start())
	}
	emit(t, db.Conn(pgtest.Ann), `"Ann".v`, 6, 1)
	if e := next(t, s); e.Position != 6 {
		t.Errorf("after the reset came %d", e.Position)
	}
}

// TestRestoredLog puts the log back under a running relay: its subscriptions end, for they are at positions that will come again.
func TestRestoredLog(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	r := start(t, db)
	ctx, super, ann := context.Background(), db.Superuser(), db.Conn(pgtest.Ann)
	s := subscribe(t, r, pgtest.Ann, 0, relay.Filter{})
	emit(t, ann, `"Ann".v`, 1, 5)
	for range 5 {
		next(t, s)
	}
	if _, err := super.Exec(ctx, "with gone as (delete from tinydev_impl.event where position > 2) update tinydev_impl.head set position = 2"); err != nil {
		t.Fatal(err)
	}
	emit(t, ann, `"Ann".v`, 6, 1)
	pgtest.Eventually(t, 20*time.Second, "the subscription ends", func() bool {
		select {
		case _, open := <-s.Events():
			return !open
		default:
			return false
		}
	})
	if fault.CodeOf(s.Err()) != "stream_ended" {
		t.Errorf("it ended with %v", s.Err())
	}
	pgtest.Eventually(t, 20*time.Second, "the relay goes on", func() bool { return r.Ready() && r.Head() == 3 })
	again, err := r.Resume(ctx, pgtest.Ann, 5, relay.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	emit(t, ann, `"Ann".v`, 7, 1)
	if e := next(t, again); e.Position != 4 || number(t, e) != 7 {
		t.Errorf("then came %s", e.JSON)
	}
}

// TestBeginsWhilePlacing holds that an event is neither passed over nor late for who begins to read while it is being placed. PostgreSQL
// tells the head before it commits, which takes it as long as its disk does, or comes to nothing.
func TestBeginsWhilePlacing(t *testing.T) {
	t.Parallel()
	for name, commit := range map[string]string{
		"slow":   "perform pg_sleep(0.5)",
		"failed": "if nextval('public.commits') < 3 then perform pg_sleep(0.2); perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(1); end if",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := pgtest.DB(t)
			r := start(t, db)
			super, ann := db.Superuser(), db.Conn(pgtest.Ann)
			for _, sql := range []string{
				"create sequence public.commits",
				"create function public.dawdle() returns trigger language plpgsql security definer as $$ begin " + commit + "; return null; end $$",
				"create constraint trigger dawdle after update on tinydev_impl.head deferrable initially deferred for each row execute function public.dawdle()",
			} {
				if _, err := super.Exec(context.Background(), sql); err != nil {
					t.Fatal(err)
				}
			}
			emit(t, ann, `"Ann".v`, 1, 1)
			began := time.Now()
			var all []*relay.Subscription
			pgtest.Eventually(t, 10*time.Second, "the event is placed", func() bool {
				all = append(all, subscribe(t, r, pgtest.Ann, 0, relay.Filter{}))
				if seen, head := r.Head(), pgtest.Value[int64](t, ann, "select head from tinydev.event_head()"); seen > head {
					t.Errorf("the relay has seen %d, and the log ends at %d", seen, head)
				}
				return pgtest.Value[int64](t, ann, "select head from tinydev.event_head()") == 1
			})
			for _, s := range all {
				if e := next(t, s); e.Position != 1 {
					t.Errorf("the event at %d came", e.Position)
				}
			}
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("all had it after %v, as if nobody had been told but by the poll", took)
			}
		})
	}
}

// TestNotificationsStarveNobody holds that who notifies all the time keeps the relay neither from polling nor from being ready.
func TestNotificationsStarveNobody(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	r := start(t, db)
	eve := db.Conn(pgtest.Eve)
	for began := time.Now(); time.Since(began) < 17*time.Second; time.Sleep(50 * time.Millisecond) { // longer than it may be silent
		if _, err := eve.Exec(context.Background(), "select pg_notify('tinydev_subscription', ''), pg_notify('tinydev', '0')"); err != nil {
			t.Fatal(err)
		}
	}
	if !r.Ready() {
		t.Error("the relay is not ready")
	}
}
