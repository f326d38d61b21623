package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

// place is a database with the server's pool and sessions over it.
type place struct {
	*postgres.Sessions
	t    *testing.T
	db   *pgtest.Database
	pool *pgxpool.Pool
}

func open(t *testing.T, options postgres.Options) *place {
	t.Helper()
	return openIn(t, pgtest.DB(t), options)
}

func openIn(t *testing.T, db *pgtest.Database, options postgres.Options) *place {
	t.Helper()
	pool, err := postgres.Open(context.Background(), db.URL("tinydev_server"), "tinydev", 4)
	if err != nil {
		t.Fatal(err)
	}
	sessions := postgres.NewSessions(db.URL("tinydev_server"), pool, options)
	t.Cleanup(func() {
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			sessions.Close()
			pool.Close()
		}()
		select {
		case <-closed:
		case <-time.After(30 * time.Second):
			t.Errorf("the test left sessions in use: %+v", sessions.Stat())
		}
	})
	return &place{sessions, t, db, pool}
}

func (p *place) acquire(role string) *postgres.Session {
	p.t.Helper()
	s, err := p.Acquire(context.Background(), role)
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

// settled waits until all sessions that were released are idle or closed.
func (p *place) settled(idle int) {
	p.t.Helper()
	pgtest.Eventually(p.t, 30*time.Second, fmt.Sprintf("%d idle sessions", idle), func() bool {
		stat := p.Stat()
		return stat.Idle == idle && stat.Open == idle
	})
}

func pid(t *testing.T, s *postgres.Session) uint32 {
	t.Helper()
	return pgtest.Value[uint32](t, s, "select pg_backend_pid()")
}

// super runs a statement as the superuser.
func (p *place) super(sql string, args ...any) {
	p.t.Helper()
	if _, err := p.db.Superuser().Exec(context.Background(), sql, args...); err != nil {
		p.t.Fatalf("%s: %v", sql, err)
	}
}

// terminate ends all connections to the database and returns when they are gone.
func (p *place) terminate() {
	p.t.Helper()
	super := p.db.Superuser()
	gone := pgtest.Value[[]int32](p.t, super, "select coalesce(array_agg(pid) filter (where pg_terminate_backend(pid)), '{}') from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")
	pgtest.Eventually(p.t, 30*time.Second, "the sessions are gone", func() bool {
		return pgtest.Value[int](p.t, super, "select count(*)::int from pg_stat_activity where pid = any($1)", gone) == 0
	})
}

// TestASessionLeavesNothingBehind holds that the next request of a user starts afresh, and that no session changes its role.
func TestASessionLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	p := open(t, postgres.Options{PerUser: 1})
	ctx := context.Background()
	p.super(`create role team; grant team to "Ann"; create sequence "Ann".numbers; grant usage on sequence "Ann".numbers to "Ann"`)
	t.Cleanup(func() { p.super("drop role team") }) // roles are the server's, not the database's
	first := p.acquire(pgtest.Ann)
	kept := pid(t, first)
	for _, sql := range []string{"set search_path = pg_temp", "select set_config('x.y', 'z', false)", "select pg_advisory_lock(7)", "create temporary table left_behind (a int)",
		"listen tinydev", "declare c cursor with hold for select 1", "prepare p as select 1", `select nextval('"Ann".numbers')`, "set statement_timeout = 0", "set default_transaction_read_only = on", "set role team"} {
		if _, err := first.Exec(ctx, sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	first.Release()
	second := p.acquire(pgtest.Ann)
	defer second.Release()
	if again := pid(t, second); again != kept {
		t.Errorf("the session was not kept: %d, then %d", kept, again)
	}
	left := pgtest.Value[string](t, second, `select concat_ws(' ', nullif(current_setting('search_path'), '"$user", public'), nullif(current_setting('x.y', true), ''),
		(select 'lock' from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()), (select 'table' from pg_class where relname = 'left_behind'),
		(select 'cursor' from pg_cursors where name = 'c'), (select 'listen' from pg_listening_channels()), (select 'statement' from pg_prepared_statements where name = 'p'),
		nullif(current_setting('statement_timeout'), '5min'), nullif(current_setting('default_transaction_read_only'), 'off'), nullif(current_user, 'Ann'))`)
	if left != "" {
		t.Errorf("the last request left: %s", left)
	}
	if _, err := second.Exec(ctx, `select lastval()`); err == nil {
		t.Error("the last request left the value of a sequence")
	}
	for _, role := range []string{"tinydev_superuser", "tinydev_server", "tinydev_owner", "nobody_at_all", "", "Ann\x00"} {
		if _, err := p.Acquire(ctx, role); err == nil {
			t.Errorf("a session as %q", role)
		}
	}
	if _, err := p.Acquire(ctx, "tinydev_superuser"); fault.CodeOf(err) != "not_a_user" {
		t.Errorf("a session as the superuser: %v", err)
	}
}

func TestASessionInATransactionIsClosed(t *testing.T) {
	t.Parallel()
	p := open(t, postgres.Options{})
	for _, sql := range []string{"begin", "begin; select 1/0"} {
		s := p.acquire(pgtest.Ann)
		before := pid(t, s)
		_, _ = s.PgConn().Exec(context.Background(), sql).ReadAll() // the second fails
		s.Release()
		s.Release() // does nothing
		p.settled(0)
		s = p.acquire(pgtest.Ann)
		if pid(t, s) == before {
			t.Errorf("after %q the session was kept", sql)
		}
		s.Release()
		p.settled(1)
	}
}

// Idle connections count, so many users who came once do not use up what PostgreSQL has.
func TestIdleSessionsMakeRoom(t *testing.T) {
	t.Parallel()
	p := open(t, postgres.Options{Total: 2})
	count := func() int {
		return pgtest.Value[int](t, p.pool, `select count(*)::int from pg_stat_get_activity(null) a join pg_roles r on r.oid = a.usesysid join pg_database d on d.oid = a.datid
			where d.datname = current_database() and pg_has_role(r.oid, 'tinydev_user', 'member') and not r.rolsuper and r.rolname in ('Ann', 'bob', 'eve', 'admin')`)
	}
	for range 3 {
		for _, role := range []string{pgtest.Ann, pgtest.Bob, pgtest.Eve, pgtest.Admin} {
			s := p.acquire(role)
			if who := pgtest.Value[string](t, s, "select session_user::text"); who != role {
				t.Fatalf("a session of %s is of %s", role, who)
			}
			if n := count(); n > 2 {
				t.Fatalf("%d connections are open, the cap is 2", n)
			}
			s.Release()
		}
	}
	p.settled(2)
}

// A crowd waits in turn and nobody has more than a share; a request that can have none in time gets an answer that says so.
func TestACrowdWaits(t *testing.T) {
	t.Parallel()
	p := open(t, postgres.Options{Total: 3, PerUser: 2, Patience: time.Minute})
	roles := []string{pgtest.Ann, pgtest.Bob, pgtest.Eve, pgtest.Admin}
	var mu sync.Mutex
	inUse, most := map[string]int{}, 0
	note := func(role string, by int) {
		mu.Lock()
		defer mu.Unlock()
		inUse[role] += by
		all := 0
		for _, n := range inUse {
			all += n
		}
		most = max(most, all)
		if all > 3 || inUse[role] > 2 {
			t.Errorf("in use: %v", inUse)
		}
	}
	var group sync.WaitGroup
	for i := range 40 {
		role := roles[i%4]
		group.Go(func() {
			for range 3 {
				s, err := p.Acquire(context.Background(), role)
				if err != nil {
					t.Error(err)
					return
				}
				note(role, 1)
				if _, err := s.Exec(context.Background(), "select 1"); err != nil {
					t.Error(err)
				}
				note(role, -1)
				s.Release()
			}
		})
	}
	group.Wait()
	if most < 2 {
		t.Errorf("at most %d were in use together", most)
	}
	if stat := p.Stat(); stat.Waiting != 0 {
		t.Errorf("%d wait after all were served", stat.Waiting)
	}
}

func TestAnExhaustedRequestIsTold(t *testing.T) {
	t.Parallel()
	p := open(t, postgres.Options{Total: 1, Patience: time.Millisecond})
	held := p.acquire(pgtest.Ann)
	for _, role := range []string{pgtest.Ann, pgtest.Bob} {
		if _, err := p.Acquire(context.Background(), role); fault.CodeOf(err) != "sessions_exhausted" || fault.KindOf(err) != fault.Unavailable {
			t.Errorf("%s: %v, want sessions_exhausted", role, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.Acquire(ctx, pgtest.Ann); !errors.Is(err, context.Canceled) {
		t.Errorf("a request that went away: %v", err)
	}
	held.Release()
	p.settled(1)
}

func TestWhoStopsWaitingTakesNothing(t *testing.T) {
	t.Parallel()
	p := open(t, postgres.Options{Total: 1, Patience: time.Minute})
	held := p.acquire(pgtest.Ann)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() {
		_, err := p.Acquire(ctx, pgtest.Bob)
		ended <- err
	}()
	pgtest.Eventually(t, 30*time.Second, "bob waits", func() bool { return p.Stat().Waiting == 1 })
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want canceled", err)
	}
	held.Release()
	p.settled(1)
	p.acquire(pgtest.Eve).Release()
	p.settled(1)
}

// What PostgreSQL ended while it was idle is replaced, without a request that fails.
func TestDeadSessionsAreReplaced(t *testing.T) {
	t.Parallel()
	p := open(t, postgres.Options{})
	for range 5 {
		s := p.acquire(pgtest.Ann)
		s.Release()
		p.settled(1)
		p.terminate()
		s = p.acquire(pgtest.Ann)
		if pgtest.Value[int](t, s, "select 1") != 1 {
			t.Fatal("no answer")
		}
		s.Release()
		p.settled(1)
	}
}

// The server's pool notices it too.
func TestDeadConnectionsOfTheServerAreReplaced(t *testing.T) {
	t.Parallel()
	p := open(t, postgres.Options{})
	for range 5 {
		if _, err := p.pool.Exec(context.Background(), "select 1"); err != nil {
			t.Fatal(err)
		}
		p.terminate()
	}
	conn, err := postgres.Beside(context.Background(), p.pool, "beside")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if name := pgtest.Value[string](t, conn, "select session_user || ' ' || current_setting('application_name')"); name != "tinydev_server beside" {
		t.Errorf("beside the pool: %s", name)
	}
}

func TestDroppedUsersLoseTheirSessions(t *testing.T) {
	t.Parallel()
	p := open(t, postgres.Options{})
	p.super("create role gone_soon login; grant tinydev_user to gone_soon")
	p.acquire("gone_soon").Release()
	p.settled(1)
	p.super("drop role gone_soon")
	p.settled(0) // nobody asked for one
	if _, err := p.Acquire(context.Background(), "gone_soon"); fault.CodeOf(err) != "not_a_user" {
		t.Errorf("%v, want not_a_user", err)
	}
	p.super("create role gone_soon login; grant tinydev_user to gone_soon")
	s := p.acquire("gone_soon")
	p.super("drop role gone_soon")
	// Within the three seconds for which rights are taken for granted PostgreSQL itself refuses.
	if _, err := p.Acquire(context.Background(), "gone_soon"); fault.CodeOf(err) != "not_a_user" {
		t.Errorf("%v, want not_a_user", err)
	}
	s.Release()
	p.settled(0)
}

func TestLimitsOfARole(t *testing.T) {
	t.Parallel()
	p := open(t, postgres.Options{})
	ctx := context.Background()
	p.super(`alter role "Ann" connection limit 3; insert into tinydev_impl.user_limit values ('Ann', 1, 7, null)`)
	t.Cleanup(func() { p.super(`alter role "Ann" connection limit -1`) }) // the role is shared with other tests
	s := p.acquire(pgtest.Ann)
	if s.Limits != (postgres.Limits{StatementSeconds: 1, PageRows: 7}) {
		t.Errorf("limits: %+v", s.Limits)
	}
	_, err := s.Exec(ctx, "select pg_sleep(600)")
	e := fault.As(s.Fault(err, ""))
	if e == nil || e.Code != "statement_timeout" || e.Kind != fault.Unavailable || e.Fields["seconds"] != 1 || e.Hint == "" {
		t.Errorf("a long statement: %v %+v", err, e)
	}
	first := pid(t, s)
	s.Release()
	p.settled(1)
	// A limit that changes replaces what has the old one, once the answer is three seconds old.
	p.super("update tinydev_impl.user_limit set statement_seconds = 60 where role_name = 'Ann'")
	pgtest.Eventually(t, 30*time.Second, "the new limit", func() bool {
		s := p.acquire(pgtest.Ann)
		defer s.Release()
		return s.Limits.StatementSeconds == 60
	})
	s = p.acquire(pgtest.Ann)
	defer s.Release()
	if got := pgtest.Value[string](t, s, "show statement_timeout"); got != "1min" || pid(t, s) == first {
		t.Errorf("statement_timeout is %s", got)
	}
}

// What the user's own psql holds is waited for as what we hold ourselves.
func TestPostgreSQLHasNoConnectionLeft(t *testing.T) {
	t.Parallel()
	p := open(t, postgres.Options{Patience: time.Minute})
	p.super("create role busy login connection limit 1; grant tinydev_user to busy")
	t.Cleanup(func() { p.super("drop role busy") })
	own, err := postgres.Connect(context.Background(), p.db.URL("busy"), "psql")
	if err != nil {
		t.Fatal(err)
	}
	impatient := openIn(t, p.db, postgres.Options{Patience: time.Millisecond})
	if _, err := impatient.Acquire(context.Background(), "busy"); fault.CodeOf(err) != "too_many_connections" {
		t.Errorf("%v, want too_many_connections", err)
	}
	got := make(chan error)
	go func() {
		s, err := p.Acquire(context.Background(), "busy")
		if err == nil {
			s.Release()
		}
		got <- err
	}()
	pgtest.Eventually(t, 30*time.Second, "a refused connection", func() bool { return p.Stat().Open > 0 })
	if err := own.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if err := <-got; err != nil {
		t.Error(err)
	}
	p.Close()
	pgtest.Eventually(t, 30*time.Second, "no session of busy", func() bool {
		return pgtest.Value[int](t, p.pool, "select count(*)::int from pg_stat_get_activity(null) a join pg_roles r on r.oid = a.usesysid where r.rolname = 'busy'") == 0
	})
}

// A function that catches the cancel and goes on is ended all the same, and counts until it is.
func TestWhatCatchesTheCancelEnds(t *testing.T) {
	t.Parallel()
	p := open(t, postgres.Options{Total: 1})
	s := p.acquire(pgtest.Eve)
	if _, err := s.Exec(context.Background(), `create function stay() returns void language plpgsql as $$ begin
		loop begin perform pg_sleep(600); exception when query_canceled then null; end; end loop; end $$`); err != nil {
		t.Fatal(err)
	}
	stays := pid(t, s)
	ctx, cancel := context.WithCancel(context.Background())
	running := make(chan struct{})
	go func() {
		defer close(running)
		if _, err := s.Exec(ctx, "select stay()"); err == nil {
			t.Error("it ended by itself")
		}
	}()
	super := p.db.Superuser()
	active := func() bool {
		return pgtest.Value[int](t, super, "select count(*)::int from pg_stat_get_activity($1) where state = 'active'", stays) == 1
	}
	pgtest.Eventually(t, 30*time.Second, "the function runs", active)
	cancel()
	<-running
	s.Release()
	p.settled(0)
	if active() {
		t.Error("the session goes on after it was given up")
	}
	// Only what the server opened can be ended so.
	own := p.db.Conn(pgtest.Eve)
	if pgtest.Value[bool](t, p.pool, "select tinydev_impl.end_session($1)", own.PgConn().PID()) {
		t.Error("a session of the user's own was ended")
	}
}

func TestCloseWaitsAndSendsAway(t *testing.T) {
	t.Parallel()
	p := open(t, postgres.Options{Total: 1, Patience: time.Minute})
	held := p.acquire(pgtest.Ann)
	away := make(chan error)
	go func() {
		_, err := p.Acquire(context.Background(), pgtest.Bob)
		away <- err
	}()
	pgtest.Eventually(t, 30*time.Second, "bob waits", func() bool { return p.Stat().Waiting == 1 })
	closed := make(chan struct{})
	go func() { p.Close(); close(closed) }()
	if err := <-away; fault.CodeOf(err) != "database_unavailable" {
		t.Errorf("who waits at the end: %v", err)
	}
	if _, err := p.Acquire(context.Background(), pgtest.Bob); fault.CodeOf(err) != "database_unavailable" {
		t.Errorf("who comes after the end: %v", err)
	}
	if pgtest.Value[int](t, held, "select 1") != 1 {
		t.Error("a session in use was closed")
	}
	select {
	case <-closed:
		t.Error("Close did not wait")
	default:
	}
	held.Release()
	<-closed
	if stat := p.Stat(); stat.Open != 0 {
		t.Errorf("after Close: %+v", stat)
	}
}

func TestIdleSessionsEnd(t *testing.T) {
	t.Parallel()
	p := open(t, postgres.Options{Idle: 50 * time.Millisecond})
	p.acquire(pgtest.Ann).Release()
	p.settled(0)
}

// Each connection shows its credential, and the server claims it.
func TestCredentialAndClaim(t *testing.T) {
	t.Parallel()
	var shown []string
	refuse := errors.New("no key")
	p := open(t, postgres.Options{Credential: func(_ context.Context, role string, cfg *pgx.ConnConfig) error {
		shown = append(shown, role+"="+cfg.User)
		if role == pgtest.Bob {
			return refuse
		}
		return nil
	}})
	s := p.acquire(pgtest.Ann)
	claimed := pgtest.Value[bool](t, p.db.Superuser(), `select exists (select from tinydev_impl.server_session s join pg_stat_activity a using (pid, backend_start) where pid = $1)`, s.PgConn().PID())
	if !claimed {
		t.Error("the session was not claimed")
	}
	s.Release()
	if _, err := p.Acquire(context.Background(), pgtest.Bob); !errors.Is(err, refuse) {
		t.Errorf("%v, want the credential's error", err)
	}
	if fmt.Sprint(shown) != "[Ann=Ann bob=bob]" {
		t.Errorf("shown: %v", shown)
	}
	p.settled(1)
}

// Nothing goes on after Close.
func TestNoGoroutineStays(t *testing.T) { // not parallel: others' goroutines would be seen
	db := pgtest.DB(t)
	known := goleak.IgnoreCurrent()
	pool, err := postgres.Open(context.Background(), db.URL("tinydev_server"), "tinydev", 4)
	if err != nil {
		t.Fatal(err)
	}
	sessions := postgres.NewSessions(db.URL("tinydev_server"), pool, postgres.Options{Total: 2})
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			s, err := sessions.Acquire(ctx, []string{pgtest.Ann, pgtest.Bob, pgtest.Eve}[i%3])
			if err != nil {
				t.Error(err)
				return
			}
			if i%4 == 0 {
				cancel()
			}
			_, _ = s.Exec(ctx, "select 1") // some are canceled
			s.Release()
		})
	}
	group.Wait()
	sessions.Close()
	pool.Close()
	goleak.VerifyNone(t, known)
}

// A read-only session stays one, whatever the user's code does in it, and the next session writes again.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	p := open(t, postgres.Options{PerUser: 1})
	ctx := context.Background()
	s := p.acquire(pgtest.Eve)
	for _, sql := range []string{
		"create table notes (a int)",
		"create function setting(name text, value text) returns text language plpgsql as $$ begin return set_config(name, value, false); end $$",
		"create function local_setting(name text, value text) returns text language plpgsql as $$ begin return set_config(name, value, true); end $$",
		"create function run(sql text) returns void language plpgsql as $$ begin execute sql; end $$",
		"create function run_caught(sql text) returns void language plpgsql as $$ begin begin execute sql; exception when others then raise; end; end $$",
		"create procedure leave(sql text) language plpgsql as $$ begin commit; set transaction read write; execute sql; end $$",
		"select cron.schedule_in_database('eve.k', '* * * * *', 'select 1', current_database())",
		"create view lift as select setting('default_transaction_read_only', 'off') as a, setting('transaction_read_only', 'on') as b",
	} {
		if _, err := s.Exec(ctx, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	s.Release()

	const write = "insert into notes values (1)"
	for _, attempt := range [][]string{
		{write},
		{"select run($$" + write + "$$)"},
		{"select setting('transaction_read_only', 'off')", write},
		{"select local_setting('transaction_read_only', 'off')", write},
		{"select setting('default_transaction_read_only', 'off')", write},
		{"select * from lift", write},
		{"select run('set transaction read write')", write},
		{"select run_caught('set transaction read write')", write},
		{"set transaction read write", write},
		{"begin read write", write},
		{"savepoint a; set transaction read write", write},
		{"call leave($$" + write + "$$)"},
		{"do $$ begin commit; set transaction read write; " + write + "; end $$"},
		{"select tinydev.create_view('v', 'select 1 as a')"},
		{"select cron.schedule_in_database('eve.j', '* * * * *', 'select 1', current_database())"},
	} {
		s, err := p.Acquire(postgres.ReadOnly(ctx), pgtest.Eve)
		if err != nil {
			t.Fatal(err)
		}
		for _, sql := range attempt {
			_, err = s.PgConn().Exec(ctx, sql).ReadAll()
		}
		if err == nil {
			t.Errorf("written by %v", attempt)
		}
		s.Release()
	}
	s, err := p.Acquire(postgres.ReadOnly(ctx), pgtest.Eve)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = s.Exec(ctx, "select cron.unschedule('eve.k')") // whether it is refused depends on pg_cron's version
	s.Release()
	if s, err = p.Acquire(postgres.ReadOnly(ctx), pgtest.Eve); err != nil {
		t.Fatal(err)
	}
	tx, err := s.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, write); fault.CodeOf(s.Fault(err, "")) != "read_only" || fault.KindOf(s.Fault(err, "")) != fault.Forbidden {
		t.Errorf("%v, want read_only", err)
	}
	if err := tx.Rollback(ctx); err != nil {
		t.Error(err)
	}
	if n := pgtest.Value[int](t, s, "select count(*)::int from notes"); n != 0 {
		t.Errorf("%d rows after the savepoint", n)
	}
	kept := s.PgConn().PID()
	s.Release()
	if s, err = p.Acquire(postgres.Writable(postgres.ReadOnly(ctx)), pgtest.Eve); err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	if _, err := s.Exec(ctx, write); err != nil {
		t.Errorf("the next session cannot write: %v", err)
	}
	if pid(t, s) != kept {
		t.Error("the session was not kept")
	}
	if n := pgtest.Value[int](t, s, "select (select count(*) from notes)::int + (select count(*) from cron.job where jobname = 'eve.j')::int + (select 1 - count(*) from cron.job where jobname = 'eve.k')::int + (select count(*) from pg_matviews where schemaname = 'eve')::int"); n != 1 {
		t.Errorf("%d things were written, want the one row at last", n)
	}
}
