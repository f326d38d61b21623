package deliver_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/tinydevcrm/tinydevcrm/pkg/deliver"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/relay"
)

var (
	modelSteps = flag.Int("model.steps", 1200, "random steps of each model test")
	modelSeed  = flag.Uint64("model.seed", 0, "seed of the model tests; 0 takes one by the clock")
)

const (
	modelServers = 3
	modelLease   = 1500 * time.Millisecond
	modelMoment  = 2*time.Second + modelLease // in which a change comes into force, on a busy machine that is cut off
	modelPatient = "{1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1}"
)

// filter is what a subscription asks for.
type filter struct {
	types, subjects []string
	atLeast         int // of data.k; 0 for no condition
}

func (f filter) fits(e *modelEvent) bool {
	any := func(patterns []string, s string) bool {
		return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool { return relay.Match(p, s) })
	}
	return any(f.types, e.typ) && any(f.subjects, e.subject) && e.k >= f.atLeast
}

func (f filter) condition() string {
	if f.atLeast == 0 {
		return ""
	}
	return fmt.Sprintf("$.k >= %d", f.atLeast)
}

// modelEvent is an event that was written.
type modelEvent struct {
	n, k                int
	owner, typ, subject string
	committed           time.Time       // just before
	versions            map[*target]int // the filter in force when it was committed, of each subscription that was there
	position            int64           // 0 until all is over
}

// arrival is one request.
type arrival struct {
	n, attempt int
	position   int64
	accepted   bool
	at         time.Time
}

// target is a subscription and where it goes to.
type target struct {
	name, owner string
	born        int64 // position after which it began
	from        int64 // lowest position after which it was sent anything
	filters     []filter
	changes     []time.Time // when each came into force
	secrets     []string    // all it had
	plan        string
	untouched   bool // a healthy one that nobody changes
	repeated    bool // by redeliver or replay
	replayed    bool

	history []string // of what was done with it

	mu       sync.Mutex
	mood     string
	arrivals []arrival
}

// model is the world and what is known of it.
type model struct {
	t       *testing.T
	random  *rand.Rand
	calm    bool // nothing is killed, cut off or slower than its time-out: then nothing comes twice
	db      *pgtest.Database
	conns   map[string]*pgx.Conn
	super   *pgx.Conn
	proxies []*proxy
	servers []*engine
	server  *httptest.Server
	open    []*transaction

	mu      sync.Mutex // of targets, for receive
	targets []*target

	next   int
	events []*modelEvent // committed
	never  map[int]bool  // n of those that were rolled back
	counts map[string]int
	began  time.Time

	failures atomic.Int64
}

// transaction is one that is not over.
type transaction struct {
	conn   *pgx.Conn
	tx     pgx.Tx
	events []*modelEvent
}

// quoted gives a user's name as subjects have it.
func quoted(user string) string {
	if user == pgtest.Ann {
		return `"Ann"`
	}
	return user
}

var modelUsers = []string{pgtest.Ann, pgtest.Bob, pgtest.Eve}

// TestModel does at random what may happen to deliveries, and holds them to their promise:
//   - Each committed event that fits a subscription, by each filter that it has had since, is accepted at least once.
//   - What fits none of them comes only in the moment in which a filter is replaced; what was rolled back, or may not be seen, never.
//   - Of one subject an event is accepted for the first time when all before it were, or were given up; but for what only a filter lets
//     through that has just come into force.
//   - What is written down agrees with what came. In the calm, where nobody is killed, cut off, or slower than the time-out, nothing
//     comes twice that nobody asked for twice, and a healthy target waits for nothing.
//   - In the end no cursor is behind, nothing waits, and nobody holds a lease.
func TestModel(t *testing.T) {
	t.Parallel()
	for _, profile := range []string{"calm", "storm"} {
		t.Run(profile, func(t *testing.T) {
			t.Parallel()
			seed := *modelSeed
			if seed == 0 {
				seed = uint64(time.Now().UnixNano())
			}
			t.Logf("-model.seed=%d -model.steps=%d", seed, *modelSteps)
			m := newModel(t, profile == "calm", seed)
			for range *modelSteps {
				m.step()
			}
			m.settle()
			m.judge()
		})
	}
}

func newModel(t *testing.T, calm bool, seed uint64) *model {
	m := &model{t: t, random: rand.New(rand.NewPCG(seed, 1)), calm: calm, db: pgtest.DB(t), conns: map[string]*pgx.Conn{}, never: map[int]bool{}, counts: map[string]int{},
		servers: make([]*engine, modelServers), began: time.Now()}
	m.server = httptest.NewServer(http.HandlerFunc(m.receive))
	t.Cleanup(m.server.Close)
	for _, user := range modelUsers {
		m.conns[user] = m.db.Conn(user)
	}
	m.super = m.db.Superuser()
	run(t, m.conns[pgtest.Ann], "create table shared (a int); select tinydev.share('shared', 'bob')")
	for range modelServers {
		m.proxies = append(m.proxies, newProxy(t, m.db))
	}
	m.start(0)
	m.create(pgtest.Ann, true)
	for range 6 {
		m.create(m.user(), false)
	}
	return m
}

func (m *model) user() string { return modelUsers[m.random.IntN(len(modelUsers))] }

func (m *model) chance(percent int) bool { return m.random.IntN(100) < percent }

// one gives a random target that may be changed.
func (m *model) one() *target { return m.targets[1+m.random.IntN(len(m.targets)-1)] }

// errorf is of the test, with what else is to be known.
func (m *model) errorf(format string, args ...any) {
	m.failures.Add(1)
	m.t.Errorf(format, args...)
}

// note keeps what is done with a subscription, for when it went wrong.
func (m *model) note(s *target, format string, args ...any) {
	s.history = append(s.history, fmt.Sprintf("%v ", time.Since(m.began).Round(time.Millisecond))+fmt.Sprintf(format, args...))
}

func (m *model) step() {
	type action struct {
		weight int
		name   string
		do     func()
	}
	actions := []action{
		{60, "publish", m.publish}, {8, "begin", m.begin}, {8, "end", m.end}, {6, "mood", m.mood}, {3, "alter", m.alter}, {2, "rotate", m.rotate}, {2, "pause", m.pause},
		{4, "resume", m.resume}, {2, "redeliver", m.redeliver}, {2, "replay", m.replay}, {1, "create", func() { m.create(m.user(), false) }}, {1, "stop", m.stop},
		{2, "start", func() { m.start(m.random.IntN(modelServers)) }}, {20, "wait", func() { time.Sleep(time.Duration(m.random.IntN(20)) * time.Millisecond) }},
		{1, "lock", m.lock},
	}
	if !m.calm {
		actions = append(actions, action{1, "kill", m.kill}, action{1, "partition", m.partition}, action{2, "heal", m.heal}, action{1, "terminate", m.terminate})
	}
	total := 0
	for _, a := range actions {
		total += a.weight
	}
	n := m.random.IntN(total)
	for _, a := range actions {
		if n -= a.weight; n < 0 {
			m.counts[a.name]++
			a.do()
			return
		}
	}
}

// write makes up to ten events of one user, mostly one.
func (m *model) write(user string, exec func(sql string, args ...any)) []*modelEvent {
	var list []*modelEvent
	n := 1
	if m.chance(15) {
		n = 1 + m.random.IntN(10)
	}
	for range n {
		m.next++
		e := &modelEvent{n: m.next, k: m.random.IntN(10), owner: user, typ: "test." + string("abc"[m.random.IntN(3)])}
		e.subject = fmt.Sprintf("%s.v%d", quoted(user), m.random.IntN(4))
		if user == pgtest.Ann && m.chance(20) {
			e.subject = `"Ann".shared`
			exec(`select tinydev.record_event($1, 'shared'::regclass, null, jsonb_build_object('n', $2::int, 'k', $3::int))`, e.typ, e.n, e.k)
		} else {
			exec(`select tinydev.record_event($1, null, $2, jsonb_build_object('n', $3::int, 'k', $4::int))`, e.typ, e.subject, e.n, e.k)
		}
		list = append(list, e)
	}
	return list
}

// committed notes what every subscription owes.
func (m *model) committed(list []*modelEvent, at time.Time) {
	for _, e := range list {
		e.committed, e.versions = at, map[*target]int{}
		for _, s := range m.targets {
			e.versions[s] = len(s.filters) - 1
		}
	}
	m.events = append(m.events, list...)
}

func (m *model) publish() {
	user, at := m.user(), time.Now()
	m.committed(m.write(user, func(sql string, args ...any) { run(m.t, m.conns[user], sql, args...) }), at)
}

// begin writes in a transaction that stays open.
func (m *model) begin() {
	if len(m.open) >= 8 {
		return
	}
	user := m.user()
	conn, err := pgx.Connect(context.Background(), m.db.URL(user))
	if err != nil {
		m.t.Fatal(err)
	}
	tx, err := conn.Begin(context.Background())
	if err != nil {
		m.t.Fatal(err)
	}
	o := &transaction{conn: conn, tx: tx}
	o.events = m.write(user, func(sql string, args ...any) {
		if _, err := tx.Exec(context.Background(), sql, args...); err != nil {
			m.t.Fatal(err)
		}
	})
	m.open = append(m.open, o)
}

// end commits or rolls back one of them.
func (m *model) end() {
	if len(m.open) == 0 {
		return
	}
	i := m.random.IntN(len(m.open))
	o := m.open[i]
	m.open = slices.Delete(m.open, i, i+1)
	defer o.conn.Close(context.Background())
	if m.chance(30) {
		if m.chance(50) {
			_ = o.tx.Rollback(context.Background())
		}
		for _, e := range o.events { // a lost connection rolls back too
			m.never[e.n] = true
		}
		return
	}
	at := time.Now()
	if err := o.tx.Commit(context.Background()); err != nil {
		m.t.Fatal(err)
	}
	m.committed(o.events, at)
}

func (m *model) filter(owner string) filter {
	f := filter{}
	if m.chance(50) {
		f.types = [][]string{{"test.a"}, {"test.*"}, {"test.b", "test.c"}}[m.random.IntN(3)]
	}
	if m.chance(50) || f.types == nil {
		own := quoted(owner)
		f.subjects = [][]string{{own + ".v1"}, {own + ".*"}, {own + ".v0", own + ".v2", own + ".v3"}, {"*.shared", own + ".v*"}}[m.random.IntN(4)]
	}
	if f.types == nil {
		f.types = []string{"test.*"}
	}
	if m.chance(25) {
		f.atLeast = 1 + m.random.IntN(4)
	}
	return f
}

func (m *model) create(owner string, untouched bool) {
	if len(m.targets) >= 14 {
		return
	}
	s := &target{name: fmt.Sprintf("s%d", len(m.targets)), owner: owner, untouched: untouched, mood: "well", plan: modelPatient,
		secrets: []string{newSecretOf(m.random)}}
	f := filter{types: []string{"test.*"}}
	if !untouched {
		f = m.filter(owner)
		if m.chance(25) {
			s.plan = "{1}"
		}
	}
	s.filters, s.changes = []filter{f}, []time.Time{time.Now()}
	m.mu.Lock()
	m.targets = append(m.targets, s) // before anything can arrive
	m.mu.Unlock()
	answer := pgtest.Value[[]byte](m.t, m.conns[owner], `select tinydev.create_subscription($1, 'webhook', $2, types => $3, subjects => $4, condition => $5, timeout_seconds => 1,
  retry_seconds => $6, secret => $7)`, s.name, m.server.URL+"/"+s.name, f.types, f.subjects, f.condition(), s.plan, s.secrets[0])
	var made struct{ Position int64 }
	if err := json.Unmarshal(answer, &made); err != nil {
		m.t.Fatal(err)
	}
	s.born, s.from = made.Position, made.Position
	m.note(s, "made for %s at %d: %+v, plan %s", owner, s.born, f, s.plan)
}

// alter gives other filters.
func (m *model) alter() {
	s := m.one()
	f := m.filter(s.owner)
	if f.subjects == nil {
		f.subjects = []string{}
	}
	s.filters, s.changes = append(s.filters, f), append(s.changes, time.Now())
	run(m.t, m.conns[s.owner], "select tinydev.alter_subscription($1, types => $2, subjects => $3, condition => $4)", s.name, f.types, f.subjects, f.condition())
	m.note(s, "filter %d is %+v", len(s.filters)-1, f)
}

func (m *model) rotate() {
	s := m.one()
	secret := newSecretOf(m.random)
	s.mu.Lock()
	s.secrets = append(s.secrets, secret)
	s.mu.Unlock()
	run(m.t, m.conns[s.owner], "select tinydev.rotate_secret($1, $2)", s.name, secret)
}

func (m *model) pause() {
	s := m.one()
	run(m.t, m.conns[s.owner], "select tinydev.alter_subscription($1, active => false)", s.name)
	m.note(s, "paused")
}

func (m *model) resume() {
	s := m.one()
	run(m.t, m.conns[s.owner], "select tinydev.alter_subscription($1, active => true)", s.name)
	m.note(s, "resumed")
}

func (m *model) redeliver() {
	s := m.one()
	s.repeated = true
	state := []string{"dead", "failing", "delivered", "all"}[m.random.IntN(4)]
	from := m.random.IntN(m.next + 1)
	run(m.t, m.conns[s.owner], "select tinydev.redeliver($1, from_position => $2, state => $3)", s.name, from, state)
	m.note(s, "redeliver %s from %d", state, from)
}

// replay goes back to a random position.
func (m *model) replay() {
	s := m.one()
	s.repeated, s.replayed = true, true
	to := pgtest.Value[int64](m.t, m.conns[s.owner], `
select (tinydev.replay($1, (select (position * $2::float8)::bigint from tinydev.subscription where name = $1)) ->> 'position')::bigint`, s.name, 1-m.random.Float64()/4)
	s.from = min(s.from, to)
	m.note(s, "replay from %d", to)
}

func (m *model) mood() {
	s := m.one()
	moods := []string{"well", "well", "failing", "flaky", "slow", "busy"}
	if !m.calm {
		moods = append(moods, "hang", "close", "late", "mad")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mood = moods[m.random.IntN(len(moods))]
}

// lock holds a subscription's row in a transaction for a moment, as a user may.
func (m *model) lock() {
	s := m.one()
	conn := m.conns[s.owner]
	tx, err := conn.Begin(context.Background())
	if err != nil {
		m.t.Fatal(err)
	}
	if _, err := tx.Exec(context.Background(), "select tinydev.alter_subscription($1, timeout_seconds => 1)", s.name); err != nil {
		m.t.Fatal(err)
	}
	time.Sleep(time.Duration(m.random.IntN(200)) * time.Millisecond)
	_ = tx.Rollback(context.Background())
}

func (m *model) start(i int) {
	if m.servers[i] != nil {
		return
	}
	m.proxies[i].heal()
	m.servers[i] = startEngineAt(m.t, m.proxies[i].URL, func(o *deliver.Options) {
		o.Lease(modelLease)
		o.Server = fmt.Sprintf("server %d", i)
	})
}

// stop ends a server in order, but not the last one in the calm.
func (m *model) stop() {
	i := m.random.IntN(modelServers)
	if m.servers[i] == nil || m.calm && m.running() == 1 {
		return
	}
	m.proxies[i].heal()
	m.servers[i].stop()
	m.servers[i] = nil
}

func (m *model) running() (n int) {
	for _, e := range m.servers {
		if e != nil {
			n++
		}
	}
	return n
}

func (m *model) kill() {
	i := m.random.IntN(modelServers)
	if m.servers[i] == nil {
		return
	}
	m.proxies[i].heal() // what is held up has to end
	m.proxies[i].cut()
	m.servers[i].kill()
	m.servers[i] = nil
}

func (m *model) partition() { m.proxies[m.random.IntN(modelServers)].block() }

func (m *model) heal() {
	for _, p := range m.proxies {
		p.heal()
	}
}

// terminate ends some of the servers' connections.
func (m *model) terminate() {
	run(m.t, m.super, "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and usename = 'tinydev_server' and random() < 0.3")
}

func newSecretOf(random *rand.Rand) string {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	var b strings.Builder
	for range 32 {
		b.WriteByte(digits[random.IntN(len(digits))])
	}
	return "whsec_" + b.String()
}

// receive is the server that all subscriptions go to.
func (m *model) receive(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // broken off before it was whole
	}
	var s *target
	if i, err := strconv.Atoi(r.URL.Path[2:]); err == nil {
		m.mu.Lock()
		s = m.targets[i]
		m.mu.Unlock()
	}
	var e struct {
		ID   string
		Data struct{ N int }
	}
	if err := json.Unmarshal(body, &e); err != nil {
		m.errorf("%s: %v", body, err)
	}
	a := arrival{n: e.Data.N, at: time.Now()}
	a.position, _ = strconv.ParseInt(e.ID, 10, 64)
	a.attempt, _ = strconv.Atoi(r.Header.Get("Tinydev-Attempt"))
	s.mu.Lock()
	if err := verify(s.secrets, r.Header, body); err != nil {
		m.errorf("%s: %v", s.name, err)
	}
	mood := s.mood
	if mood == "mad" {
		mood = []string{"well", "failing", "slow", "busy", "hang", "close", "late"}[rand.IntN(7)]
	}
	status := http.StatusNoContent
	var wait time.Duration
	switch mood {
	case "failing":
		status = 500
	case "flaky":
		status = []int{200, 404, 201, 503}[rand.IntN(4)]
	case "slow":
		wait = time.Duration(rand.IntN(300)) * time.Millisecond
	case "busy":
		status = http.StatusTooManyRequests
		w.Header().Set("Retry-After", "1")
		if rand.IntN(3) == 0 {
			status = http.StatusOK
		}
	case "close":
		status = 0
	case "late": // about when its time is up, so that it is accepted and nobody knows
		wait = 900*time.Millisecond + time.Duration(rand.IntN(200))*time.Millisecond
	case "hang":
		status, wait = 0, time.Minute
	}
	a.accepted = status/100 == 2
	if wait == 0 {
		s.arrivals = append(s.arrivals, a)
	}
	s.mu.Unlock()
	if wait > 0 {
		select {
		case <-time.After(wait):
		case <-r.Context().Done():
		}
		s.mu.Lock()
		s.arrivals = append(s.arrivals, a)
		s.mu.Unlock()
	}
	if status == 0 {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(status)
}

// verify holds that a request is signed by one of the last two secrets, or the one before while it is being rotated.
func verify(secrets []string, header http.Header, body []byte) error {
	for _, secret := range secrets[max(0, len(secrets)-3):] {
		verifier, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			return err
		}
		if verifier.Verify(body, header) == nil {
			return nil
		}
	}
	return errors.New("the signature is by none of the secrets")
}

// settle ends all trouble and waits until nothing is left to do.
func (m *model) settle() {
	m.heal()
	for len(m.open) > 0 {
		m.end()
	}
	for _, s := range m.targets {
		s.mu.Lock()
		s.mood = "well"
		s.mu.Unlock()
		run(m.t, m.conns[s.owner], "select tinydev.alter_subscription($1, active => true)", s.name)
	}
	m.start(0)
	m.start(1)
	began := time.Now()
	m.t.Cleanup(m.dump)
	pgtest.Eventually(m.t, time.Minute, "all is delivered", func() bool {
		for _, s := range m.targets {
			run(m.t, m.conns[s.owner], "select tinydev.redeliver($1) where exists (select from tinydev.delivery where subscription = $1 and state = 'dead')", s.name)
		}
		return pgtest.Value[bool](m.t, m.super, `select not exists (select from tinydev.delivery where state <> 'delivered') and not exists (select from tinydev_impl.inbox)
  and not exists (select from tinydev.subscription where behind > 0 and name <> 'notices')`)
	})
	m.t.Logf("%d events, %d rolled back, steps %v, settled after %v", len(m.events), len(m.never), m.counts, time.Since(began).Round(time.Millisecond))
	for i, e := range m.servers {
		if e != nil {
			e.stop()
			m.servers[i] = nil
		}
	}
	if held := pgtest.Value[int](m.t, m.super, `select count(*)::int from tinydev_impl.subscription s join tinydev_impl.server v on v.server_id = s.holder where v.lease_until > clock_timestamp()`); held > 0 {
		m.errorf("%d subscriptions are held when all servers have stopped", held)
	}
}

// dump tells of what is unfinished when the test failed.
func (m *model) dump() {
	if !m.t.Failed() {
		return
	}
	rows, err := m.super.Query(context.Background(), `
select format('%s of %s: active %s, %s behind, held by %s, %s', s.name, s.owner, s.active, s.behind, s.server,
         (select jsonb_object_agg(d.state, d.n) from (select d.state, count(*) n from tinydev.delivery d where d.subscription_id = s.subscription_id group by 1) d))
  from tinydev.subscription s where s.name <> 'notices' order by subscription_id`)
	if err == nil {
		var list []string
		list, err = pgx.CollectRows(rows, pgx.RowTo[string])
		m.t.Logf("steps %v\n%s", m.counts, strings.Join(list, "\n"))
	}
	if err != nil {
		m.t.Log(err)
	}
}
