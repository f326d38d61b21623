package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/tinydevcrm/tinydevcrm/pkg/cluster"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

const (
	deliverySecret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
	deliverTargets = 12
	takeover       = 17 * time.Second // the lease of docs/events.md, and a moment to begin
)

// sharedDatabase is a PostgreSQL that several servers use.
type sharedDatabase struct {
	t         *testing.T
	local     *cluster.Cluster
	container *pgtest.Container
}

// onEachDatabase runs a test on each kind of server that TINYDEV_TEST_SERVER asks for, in parallel.
func onEachDatabase(t *testing.T, test func(t *testing.T, db *sharedDatabase)) {
	t.Parallel()
	for _, kind := range kinds(t) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			db := &sharedDatabase{t: t}
			if kind == "container" {
				db.container = newServer(t, true).container
			} else {
				db.local = startBare(t)
			}
			test(t, db)
		})
	}
}

func (db *sharedDatabase) url(role string) string {
	if db.container != nil {
		return db.container.DSN(role, "tinydev")
	}
	return db.local.URL(role, cluster.Database)
}

func (db *sharedDatabase) superuserURL() string {
	if db.container != nil {
		return db.container.SuperuserDSN()
	}
	return db.local.URL(cluster.Superuser, cluster.Database)
}

// serve starts a server with a data directory of its own.
func (db *sharedDatabase) serve() *server {
	s := newServer(db.t, false)
	s.process = s.prepare("serve", "--listen", "127.0.0.1:0")
	s.process.Env = append(s.process.Env, "TINYDEV_DATABASE_URL="+db.superuserURL(), "TINYDEV_WEBHOOK_ALLOW=127.0.0.1/32")
	s.launch()
	return s
}

func (db *sharedDatabase) connect(url string) *pgx.Conn {
	db.t.Helper()
	var conn *pgx.Conn
	eventually(db.t, 30*time.Second, "PostgreSQL takes connections", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		var err error
		conn, err = pgx.Connect(ctx, url)
		return err == nil
	})
	db.t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// end stops PostgreSQL by a signal to its postmaster, SIGINT for fast and SIGQUIT for immediate, and has it started again.
func (db *sharedDatabase) end(signal syscall.Signal) {
	db.t.Helper()
	if db.container == nil {
		if err := syscall.Kill(db.local.PID(), signal); err != nil { // who runs it starts it again
			db.t.Fatal(err)
		}
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var err error
	if signal == syscall.SIGINT {
		_, err = db.container.Stop(ctx)
	} else {
		err = db.container.Kill(ctx)
	}
	if err == nil {
		err = db.container.Start(ctx)
	}
	if err != nil {
		db.t.Fatal(err)
	}
}

// reception is what a target got.
type reception struct {
	mu     sync.Mutex
	first  map[int]time.Time // of each event, by its number
	times  map[int]int
	order  map[string][]int // by subject, in the order of first arrivals
	newest time.Time
}

// receivers are the targets of subscriptions s1, s2, …; each takes what is signed.
type receivers struct {
	*httptest.Server
	list []*reception
}

func newReceivers(t *testing.T, n int) *receivers {
	rs := &receivers{}
	for range n {
		rs.list = append(rs.list, &reception{first: map[int]time.Time{}, times: map[int]int{}, order: map[string][]int{}})
	}
	verifier, err := standardwebhooks.NewWebhook(deliverySecret)
	if err != nil {
		t.Fatal(err)
	}
	rs.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // its server was killed
		}
		if err := verifier.Verify(body, r.Header); err != nil {
			t.Errorf("a request that is not signed: %v", err)
		}
		var e struct {
			ID, Subject string
			Data        struct{ N int }
		}
		if err := json.Unmarshal(body, &e); err != nil || e.ID != r.Header.Get("Webhook-Id") {
			t.Errorf("%s: %v", body, err)
		}
		i, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/s"))
		got := rs.list[i-1]
		got.mu.Lock()
		defer got.mu.Unlock()
		got.newest = time.Now()
		if got.times[e.Data.N]++; got.times[e.Data.N] == 1 {
			got.first[e.Data.N] = got.newest
			got.order[e.Subject] = append(got.order[e.Subject], e.Data.N)
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	t.Cleanup(rs.Close)
	return rs
}

// load writes events about five subjects, ten at a time, until stopped, and goes on when PostgreSQL was away.
type load struct {
	stopped chan struct{}
	ended   chan struct{}
	mu      sync.Mutex
	written map[int]time.Time // by number, when it was committed
}

func (db *sharedDatabase) startLoad() *load {
	l := &load{stopped: make(chan struct{}), ended: make(chan struct{}), written: map[int]time.Time{}}
	go func() {
		defer close(l.ended)
		ctx := context.Background()
		var conn *pgx.Conn
		defer func() {
			if conn != nil {
				conn.Close(ctx)
			}
		}()
		for n := 0; ; n += 10 {
			select {
			case <-l.stopped:
				return
			case <-time.After(100 * time.Millisecond):
			}
			var err error
			if conn == nil || conn.IsClosed() {
				if conn, err = pgx.Connect(ctx, db.url(user)); err != nil {
					continue
				}
			}
			// Whether a commit whose answer was lost came about is found out by the log.
			_, err = conn.Exec(ctx, `select tinydev.record_event('test.happened', null, 'ann.v' || i % 5, jsonb_build_object('n', i)) from generate_series($1::int, $2::int) i`, n+1, n+10)
			if err != nil {
				conn.Close(ctx)
			}
			at := time.Now()
			l.mu.Lock()
			for i := n + 1; i <= n+10; i++ {
				l.written[i] = at
			}
			l.mu.Unlock()
		}
	}()
	return l
}

// stop ends it and gives the numbers that are in the log, in order.
func (l *load) stop(t *testing.T, conn *pgx.Conn) (numbers []int) {
	t.Helper()
	close(l.stopped)
	<-l.ended
	eventually(t, 30*time.Second, "all events are placed", func() bool {
		return pgtest.Value[bool](t, conn, "select not exists (select from tinydev_impl.inbox)")
	})
	rows, err := conn.Query(context.Background(), "select (data ->> 'n')::int from tinydev_impl.event where type = 'test.happened' order by position")
	if err == nil {
		numbers, err = pgx.CollectRows(rows, pgx.RowTo[int])
	}
	if err != nil {
		t.Fatal(err)
	}
	return numbers
}

// subscribe makes the subscriptions.
func (db *sharedDatabase) subscribe(s *server, rs *receivers) {
	db.t.Helper()
	s.sql(fmt.Sprintf("select tinydev.create_subscription('s' || i, 'webhook', '%s/s' || i, types => array['test.*'], secret => '%s') from generate_series(1, %d) i",
		rs.URL, deliverySecret, len(rs.list)))
}

// judge waits until all is delivered, and holds that each target got all in order, and that what is written down adds up. It gives how
// many came twice.
func (db *sharedDatabase) judge(conn *pgx.Conn, rs *receivers, numbers []int) (twice int) {
	t := db.t
	t.Helper()
	eventually(t, time.Minute, "all is delivered", func() bool {
		return pgtest.Value[int](t, conn, "select count(*)::int from tinydev_impl.delivery where state = 'delivered'") == len(numbers)*len(rs.list)
	})
	want := map[string][]int{}
	for _, n := range numbers {
		subject := fmt.Sprintf("ann.v%d", n%5)
		want[subject] = append(want[subject], n)
	}
	for i, got := range rs.list {
		got.mu.Lock()
		for subject, list := range want {
			if !slices.Equal(got.order[subject], list) {
				t.Errorf("s%d got of %s %v, want %v", i+1, subject, got.order[subject], list)
			}
		}
		for _, n := range got.times {
			twice += n - 1
		}
		got.mu.Unlock()
	}
	if n := pgtest.Value[int](t, conn, "select count(*)::int from tinydev_impl.delivery where state <> 'delivered'"); n > 0 {
		t.Errorf("%d deliveries are not delivered", n)
	}
	return twice
}

// holders gives the number of subscriptions that each server delivers.
func holders(t *testing.T, conn *pgx.Conn) map[string]int {
	t.Helper()
	rows, err := conn.Query(context.Background(), "select coalesce(server, ''), count(*)::int from tinydev.subscription where kind = 'webhook' group by 1")
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	var name string
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&name, &n}, func() error { counts[name] = n; return nil }); err != nil {
		t.Fatal(err)
	}
	return counts
}

// name is how a server is shown in tinydev.subscription.
func (s *server) name(conn *pgx.Conn) string {
	return pgtest.Value[string](s.t, conn, "select coalesce(max(name), '') from tinydev_impl.server where name like $1", fmt.Sprintf("%%process %d", s.process.Process.Pid))
}

// TestTwoServersDeliver has two servers deliver under load. They share the work; one is killed, and the other takes over in time; one is
// stopped, and the other goes on at once. Nothing is lost, and the counts add up.
func TestTwoServersDeliver(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, db *sharedDatabase) {
		a := db.serve()
		b := db.serve()
		rs := newReceivers(t, deliverTargets)
		conn := db.connect(db.superuserURL())
		db.subscribe(a, rs)
		shared := func() bool {
			counts := holders(t, conn)
			return counts[a.name(conn)] == deliverTargets/2 && counts[b.name(conn)] == deliverTargets/2
		}
		eventually(t, 15*time.Second, "both deliver half", shared)

		load := db.startLoad()
		busy := func() bool { // all targets get something new
			since := time.Now()
			return !slices.ContainsFunc(rs.list, func(got *reception) bool {
				got.mu.Lock()
				defer got.mu.Unlock()
				return since.Sub(got.newest) > time.Second
			})
		}
		eventually(t, 15*time.Second, "all targets are busy", busy)

		b.signal(syscall.SIGKILL)
		killed := time.Now()
		eventually(t, 10*time.Second, "half of the targets wait", func() bool { return time.Since(killed) > 2*time.Second && !busy() })
		eventually(t, takeover-time.Since(killed), "the other server goes on", busy)
		t.Logf("takeover after SIGKILL: all targets are busy %v after it", time.Since(killed).Round(100*time.Millisecond))

		c := db.serve()
		b = c
		eventually(t, 30*time.Second, "both deliver half again", shared)
		eventually(t, 10*time.Second, "all targets are busy", busy)
		stopped := time.Now()
		a.signal(syscall.SIGTERM)
		took := time.Since(stopped)
		eventually(t, 10*time.Second, "the other has all", func() bool { return holders(t, conn)[b.name(conn)] == deliverTargets })
		eventually(t, 10*time.Second, "all targets are busy", busy)
		numbers := load.stop(t, conn)
		twice := db.judge(conn, rs, numbers)

		// What was written around the stop shows how long the work rested.
		var slowest time.Duration
		for n, at := range load.written {
			if d := at.Sub(stopped); d < -time.Second || d > 5*time.Second {
				continue
			}
			for _, got := range rs.list {
				got.mu.Lock()
				if first, ok := got.first[n]; ok {
					slowest = max(slowest, first.Sub(at))
				}
				got.mu.Unlock()
			}
		}
		t.Logf("%d events to %d targets; %d came twice; the stop took %v, and no event was later than %v around it", len(numbers), deliverTargets, twice,
			took.Round(10*time.Millisecond), slowest.Round(10*time.Millisecond))
		if slowest > 10*time.Second { // its leases would expire after 15
			t.Errorf("a server that stops in order hands over in %v", slowest)
		}
		// Of each subscription of the killed server no more than what was under way.
		if limit := deliverTargets / 2 * 60; twice > limit {
			t.Errorf("%d came twice, and no more than %d can have been under way", twice, limit)
		}
	})
}

// TestDeliveriesSurvivePostgreSQL restarts PostgreSQL and ends the server's connections under load: nothing is lost.
func TestDeliveriesSurvivePostgreSQL(t *testing.T) {
	onEachDatabase(t, func(t *testing.T, db *sharedDatabase) {
		a := db.serve()
		rs := newReceivers(t, 4)
		db.subscribe(a, rs)
		load := db.startLoad()
		progress := func(what string) {
			t.Helper()
			began := time.Now()
			eventually(t, takeover, what, func() bool {
				return !slices.ContainsFunc(rs.list, func(got *reception) bool {
					got.mu.Lock()
					defer got.mu.Unlock()
					// Of what was written from then on.
					load.mu.Lock()
					defer load.mu.Unlock()
					for n := range got.first {
						if load.written[n].After(began) {
							return false
						}
					}
					return true
				})
			})
			t.Logf("%s: after %v", what, time.Since(began).Round(10*time.Millisecond))
		}
		progress("deliveries begin")
		for range 3 {
			conn := db.connect(db.superuserURL())
			// Also those that record at this moment.
			if _, err := conn.Exec(context.Background(), "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'tinydev_server'"); err != nil {
				t.Fatal(err)
			}
			progress("deliveries go on when the server's connections were ended")
		}
		db.end(syscall.SIGINT)
		progress("deliveries go on after a fast restart")
		db.end(syscall.SIGQUIT)
		progress("deliveries go on after an immediate restart")
		conn := db.connect(db.superuserURL())
		numbers := load.stop(t, conn)
		t.Logf("%d events to %d targets; %d came twice", len(numbers), len(rs.list), db.judge(conn, rs, numbers))
	})
}

// TestNotices has pg_cron refresh a view that fails. Its owner is told of the first failure, not of the next ones, and of the recovery, by
// the subscription that each user has.
func TestNotices(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds(t) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			smtp := pgtest.StartSMTP(t, pgtest.SMTPOptions{})
			s := startWith(t, kind, "TINYDEV_SMTP_URL="+smtp.URL(), "TINYDEV_SMTP_FROM=noreply@example.org")
			s.sql("create table divisor as select 1 as n")
			s.must("view", "create", "ratio", "select 1 / n as x from divisor")
			s.sql("update divisor set n = 0")
			s.sql("select tinydev.alter_subscription('notices', target => 'ann@example.org')")
			s.must("job", "create", "ratio", "5 seconds")
			subjects := func() (list []string) {
				for _, m := range smtp.Messages() {
					_, after, _ := strings.Cut(m.Data, "\r\nSubject: ")
					subject, _, _ := strings.Cut(after, "\r\n")
					list = append(list, subject)
				}
				return list
			}
			events := func(typ string) string {
				return s.sql("select count(*) from tinydev.event where subject = 'ann.ratio' and data ->> 'cause' = 'schedule' and type = '" + typ + "'")
			}
			eventually(t, patience, "three runs fail", func() bool { return events("view.failed") >= "3" })
			eventually(t, 10*time.Second, "the owner is told", func() bool { return len(subjects()) > 0 })
			s.sql("update divisor set n = 1")
			eventually(t, patience, "two runs succeed", func() bool { return events("view.refreshed") >= "2" })
			eventually(t, 10*time.Second, "the owner is told of the recovery", func() bool { return len(subjects()) > 1 })
			if got, want := subjects(), []string{"ann.ratio could not be refreshed", "ann.ratio works again"}; !slices.Equal(got, want) {
				t.Errorf("the owner was told %q, want %q", got, want)
			}
		})
	}
}
