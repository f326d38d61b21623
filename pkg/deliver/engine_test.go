package deliver_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/deliver"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
	"github.com/tinydevcrm/tinydevcrm/pkg/relay"
)

func testLogger(t testing.TB) *slog.Logger {
	level := slog.LevelWarn
	if os.Getenv("DELIVER_LOG") != "" {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: level}))
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	if os.Getenv("DELIVER_LOG") != "" {
		fmt.Fprintf(os.Stderr, "%s: %s", w.t.Name(), p)
	}
	return len(p), nil
}

// engine is one server's deliverer with its relay.
type engine struct {
	*deliver.Deliverer
	stop func() // in order, and waits
}

// kill ends it as SIGKILL does, when the way to the database is cut: nothing is recorded or given back, attempts are broken off.
func (e *engine) kill() {
	e.Abandon()
	e.stop()
}

// startEngine runs a deliverer on db until stopped or the test ends.
func startEngine(t testing.TB, db *pgtest.Database, change func(*deliver.Options)) *engine {
	t.Helper()
	return startEngineAt(t, db.URL("tinydev_server"), change)
}

// startEngineAt is startEngine for a database by its URL.
func startEngineAt(t testing.TB, url string, change func(*deliver.Options)) *engine {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	pool, err := postgres.Open(ctx, url, "tinydev", 12)
	if err != nil {
		t.Fatal(err)
	}
	log := testLogger(t)
	r := relay.New(pool, log)
	sessions := postgres.NewSessions(url, pool, postgres.Options{Total: 16, PerUser: 8})
	loopback := netip.MustParsePrefix("127.0.0.0/8")
	o := deliver.Options{Pool: pool, Relay: r, Control: control.New(sessions), Kinds: []deliver.Kind{deliver.NewWebhook([]netip.Prefix{loopback}, "test")},
		WebhookAllow: []netip.Prefix{loopback}, Server: "test", Logger: log}
	if change != nil {
		change(&o)
	}
	d := deliver.New(o)
	var done sync.WaitGroup
	done.Go(func() {
		if err := r.Run(ctx); err != nil {
			t.Errorf("relay: %v", err)
		}
	})
	pgtest.Eventually(t, 10*time.Second, "the relay is ready", r.Ready)
	delivering, stopDelivering := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := d.Run(delivering); err != nil {
			t.Errorf("deliver: %v", err)
		}
	}()
	e := &engine{Deliverer: d, stop: sync.OnceFunc(func() {
		stopDelivering()
		<-ended
		cancel()
		done.Wait()
		sessions.Close()
		pool.Close()
	})}
	t.Cleanup(e.stop)
	return e
}

// hit is one request that a receiver got.
type hit struct {
	position int64
	attempt  int
	n        int // data.n
	typ      string
	subject  string
	answer   int
	data     map[string]json.RawMessage
}

// receiver is a target whose answers a test decides.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	hits   []hit
	answer func(hit) int // 0 hangs up
}

func newReceiver(t testing.TB) *receiver {
	rc := &receiver{}
	rc.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var e struct {
			ID, Type, Subject string
			Data              map[string]json.RawMessage
		}
		if err == nil {
			err = json.Unmarshal(body, &e)
		}
		if err != nil || r.Header.Get("webhook-id") != e.ID {
			t.Errorf("a bad request: %v, %q, %s", err, r.Header, body)
		}
		h := hit{typ: e.Type, subject: e.Subject, answer: 204, data: e.Data}
		h.position, _ = strconv.ParseInt(e.ID, 10, 64)
		h.attempt, _ = strconv.Atoi(r.Header.Get("Tinydev-Attempt"))
		_ = json.Unmarshal(e.Data["n"], &h.n)
		rc.mu.Lock()
		if rc.answer != nil {
			h.answer = rc.answer(h)
		}
		rc.hits = append(rc.hits, h)
		rc.mu.Unlock()
		if h.answer == 0 {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(h.answer)
		fmt.Fprintf(w, "answer to %d", h.n)
	}))
	t.Cleanup(rc.Close)
	return rc
}

// answers sets how the receiver answers from now on.
func (rc *receiver) answers(f func(hit) int) {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	rc.answer = f
}

// got gives what has come so far; accepted only what was answered with 2xx.
func (rc *receiver) got(accepted bool) []hit {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	var list []hit
	for _, h := range rc.hits {
		if !accepted || h.answer/100 == 2 {
			list = append(list, h)
		}
	}
	return list
}

// numbers gives data.n of what was accepted, in order.
func (rc *receiver) numbers() []int {
	var list []int
	for _, h := range rc.got(true) {
		list = append(list, h.n)
	}
	return list
}

func run(t testing.TB, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(context.Background(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, postgres.Fault(err, ""))
	}
}

// emit writes n events about Ann's view, numbered from first.
func emit(t testing.TB, conn *pgx.Conn, subject string, first, n int) {
	t.Helper()
	run(t, conn, `select tinydev.record_event('test.happened', null, $1, pg_catalog.jsonb_build_object('n', i)) from generate_series($2::int, $3::int) i`, subject, first, first+n-1)
}

func upTo(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i + 1
	}
	return list
}

func state(t testing.TB, conn *pgx.Conn, subscription string) string {
	t.Helper()
	return pgtest.Value[string](t, conn, `
select coalesce(string_agg(state || ' ' || n, ', ' order by state), '') from (select state, count(*) n from tinydev.delivery where subscription = $1 group by state) s`, subscription)
}
