package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

const (
	manyViews   = 5  // of each user
	activeUsers = 50 // who call the API while the views are refreshed
	sessionCap  = 32
)

// startWith runs a server with further variables.
func startWith(t *testing.T, kind string, variables ...string) *server {
	t.Helper()
	s := newServer(t, kind == "container")
	if s.container != nil {
		s.process = s.prepare("serve", "--listen", "127.0.0.1:0")
		variables = append(variables, "TINYDEV_DATABASE_URL="+s.container.SuperuserDSN())
	} else {
		s.process = s.prepare("up", "--listen", "127.0.0.1:0")
	}
	s.process.Env = append(s.process.Env, variables...)
	s.launch()
	return s
}

// get calls the API with a token and gives the answer with its body read.
func get(ctx context.Context, url, token string) (*http.Response, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, nil, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return answer, body, err
}

// TestManyUsers has many users' views refreshed by pg_cron while a crowd of them calls the API: every view is refreshed by its
// owner, every call is answered, and the connections stay under the cap. One kind after the other, and only the first with the whole crowd:
// it keeps all processors busy for minutes, so that a run may come so late that it counts as missed, and is made up for.
func TestManyUsers(t *testing.T) {
	t.Parallel()
	for i, kind := range kinds(t) {
		manyUsers := []int{200, activeUsers}[min(i, 1)]
		t.Run(kind, func(t *testing.T) {
			s := startWith(t, kind, "TINYDEV_MAX_SESSIONS="+strconv.Itoa(sessionCap))
			ctx, cancel := context.WithTimeout(context.Background(), 6*patience)
			defer cancel()
			super := superuser(t, s)
			t.Cleanup(func() {
				if t.Failed() {
					super := superuser(t, s)
					t.Logf("runs: %s\nevents: %s", told(super, "select status || ' ' || coalesce(return_message, '') as key from cron.job_run_details"),
						told(super, "select type || ' ' || coalesce(data ->> 'code', '') as key from tinydev.event"))
				}
			})
			step := func(what string) { t.Logf("%s: %s", time.Now().UTC().Format("15:04:05"), what) }
			step("started")
			s.sql(fmt.Sprintf("select count(tinydev.create_user('user_' || n)) from generate_series(1, %d) n", manyUsers))
			step("users are made")
			tokens := make([]string, activeUsers)
			for i := range tokens {
				made, err := s.client().CreateToken(ctx, control.NewToken{Name: "test", User: fmt.Sprintf("user_%d", i+1)}, false)
				if err != nil {
					t.Fatal(err)
				}
				tokens[i] = made.Made.Token
			}
			asEach(t, s, manyUsers, fmt.Sprintf(`create table numbers as select n from generate_series(1, 10) n;
				select count(tinydev.create_view('view_' || v, 'select n, session_user::text as refreshed_by from numbers where n > ' || v)) from generate_series(1, %d) v`, manyViews))

			step("views are made")
			watching, stop := context.WithCancel(ctx)
			seen := watchSessions(watching, t, superuser(t, s))
			// Each is due once in this hour, in the first minute that is at least a quarter of one away.
			asEach(t, s, manyUsers, fmt.Sprintf(`select count(tinydev.schedule('view_' || v, to_char(now() + interval '75 seconds', 'FMMI') || ' * * * *')) from generate_series(1, %d) v`, manyViews))
			step("jobs are made")
			refreshed := func() (n int) {
				err := super.QueryRow(ctx, `select count(distinct subject)::int from tinydev.event where type = 'view.refreshed' and data ->> 'cause' in ('schedule', 'missed') and actor = workspace`).Scan(&n)
				if err != nil {
					t.Fatal(err)
				}
				return n
			}
			eventually(t, patience, "the first scheduled refresh", func() bool { return refreshed() > 0 })
			step("refreshes begin")
			callAtOnce(ctx, t, shellEnv(t, s)["TINYDEV_URL"], tokens)
			step("calls are answered")
			eventually(t, 2*patience, "all views are refreshed", func() bool { return refreshed() == manyUsers*manyViews })
			step("views are refreshed")
			stop()

			if most := <-seen; most > sessionCap || most < 2 {
				t.Errorf("the server had up to %d connections for its users, the cap is %d", most, sessionCap)
			}
			var failed, foreign int
			err := super.QueryRow(ctx, `select (select count(*) from tinydev.event where type = 'view.failed')::int,
				(select count(*) from tinydev.event where type = 'view.refreshed' and actor <> workspace)::int`).Scan(&failed, &foreign)
			if err != nil || failed+foreign > 0 {
				t.Errorf("%d refreshes failed, %d were another's: %v", failed, foreign, err)
			}
			var by string
			if err := super.QueryRow(ctx, "select string_agg(distinct refreshed_by, ' ') from user_7.view_3").Scan(&by); err != nil || by != "user_7" {
				t.Errorf("the view of user_7 was refreshed by %q: %v", by, err)
			}
		})
	}
}

// told counts the rows of a query by their key.
func told(conn *pgx.Conn, query string) string {
	var counts string
	err := conn.QueryRow(context.Background(), "select coalesce(string_agg(n || ' × ' || key, ', '), 'none') from (select count(*) as n, key from ("+query+") q group by key) c").Scan(&counts)
	if err != nil {
		return err.Error()
	}
	return counts
}

// asEach runs statements as each of users users, in a few sessions at a time.
func asEach(t *testing.T, s *server, users int, statements string) {
	t.Helper()
	const atOnce = 3
	var group sync.WaitGroup
	for first := range atOnce {
		super := superuser(t, s)
		group.Go(func() {
			for n := first; n < users; n += atOnce {
				sql := fmt.Sprintf("set session authorization user_%d; %s; reset session authorization", n+1, statements)
				if _, err := super.PgConn().Exec(context.Background(), sql).ReadAll(); err != nil {
					t.Errorf("as user_%d: %v", n+1, err)
					return
				}
			}
		})
	}
	group.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// watchSessions counts the server's connections for its users until ctx ends, and then gives the most that there were together.
func watchSessions(ctx context.Context, t *testing.T, super *pgx.Conn) <-chan int {
	most := make(chan int, 1)
	go func() {
		highest := 0
		for ctx.Err() == nil {
			var n int
			err := super.QueryRow(ctx, `select count(*)::int from pg_catalog.pg_stat_activity where application_name = 'tinydev' and backend_type = 'client backend'`).Scan(&n)
			if err != nil && ctx.Err() == nil {
				t.Errorf("count the connections: %v", err)
				break
			}
			highest = max(highest, n)
			time.Sleep(5 * time.Millisecond)
		}
		most <- highest
	}()
	return most
}

// callAtOnce has each user call the API several times beside the others. Each call has to be answered; one that found no session comes
// again when it was told to.
func callAtOnce(ctx context.Context, t *testing.T, url string, tokens []string) {
	t.Helper()
	const rounds = 4
	paths := []string{"/v1/views", "/v1/views/view_1/rows", "/v1/events?limit=5"}
	var answered atomic.Int64
	var group sync.WaitGroup
	for i, token := range tokens {
		group.Go(func() {
			for range rounds {
				for _, path := range paths {
					answer, body, err := get(ctx, url+path, token)
					for tries := 1; err == nil && answer.StatusCode == http.StatusServiceUnavailable && tries < 20; tries++ {
						after, _ := strconv.Atoi(answer.Header.Get("Retry-After"))
						time.Sleep(time.Duration(max(after, 1)) * time.Second)
						answer, body, err = get(ctx, url+path, token)
					}
					if err != nil || answer.StatusCode != http.StatusOK {
						t.Errorf("user_%d: GET %s: %v %s", i+1, path, err, body)
						return
					}
					if path == "/v1/views" && strings.Count(string(body), `"populated":true`) != manyViews {
						t.Errorf("user_%d sees %s", i+1, body)
					}
					answered.Add(1)
				}
			}
		})
	}
	group.Wait()
	if want := int64(len(tokens) * rounds * len(paths)); answered.Load() != want {
		t.Errorf("%d of %d calls were answered", answered.Load(), want)
	}
}

// TestNoSessionLeft has a call wait for the one session that there is, and then say when to come again.
func TestNoSessionLeft(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds(t) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := startWith(t, kind, "TINYDEV_MAX_SESSIONS=1")
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			at := shellEnv(t, s)
			url, token := at["TINYDEV_URL"], at["TINYDEV_TOKEN"]
			s.sql("create view held as select 1 as a from pg_advisory_xact_lock_shared(42)")
			super := superuser(t, s)
			if _, err := super.Exec(ctx, "select pg_advisory_lock(42)"); err != nil {
				t.Fatal(err)
			}
			type result struct {
				status int
				body   string
				err    error
			}
			held := make(chan result, 1)
			go func() {
				answer, body, err := get(ctx, url+"/v1/views/held/rows", token)
				if err != nil {
					held <- result{err: err}
					return
				}
				held <- result{answer.StatusCode, string(body), nil}
			}()
			eventually(t, patience, "a call waits for the lock", func() bool {
				var waits bool
				err := super.QueryRow(ctx, "select exists (select from pg_catalog.pg_locks where locktype = 'advisory' and objid = 42 and not granted)").Scan(&waits)
				return err == nil && waits
			})
			answer, body, err := get(ctx, url+"/v1/views", token)
			if err != nil {
				t.Fatal(err)
			}
			var problem struct{ Code string }
			if err := json.Unmarshal(body, &problem); err != nil {
				t.Errorf("%s: %v", body, err)
			}
			if after, err := strconv.Atoi(answer.Header.Get("Retry-After")); answer.StatusCode != http.StatusServiceUnavailable || problem.Code != "sessions_exhausted" || err != nil || after < 1 {
				t.Errorf("without a session: %d, Retry-After %q, %s", answer.StatusCode, answer.Header.Get("Retry-After"), body)
			}
			if _, err := super.Exec(ctx, "select pg_advisory_unlock(42)"); err != nil {
				t.Fatal(err)
			}
			if r := <-held; r.err != nil || r.status != http.StatusOK || !strings.Contains(r.body, `{"a":1}`) {
				t.Errorf("the call that held the session: %+v", r)
			}
			if answer, body, err := get(ctx, url+"/v1/views", token); err != nil || answer.StatusCode != http.StatusOK {
				t.Errorf("after it: %v %s", err, body)
			}
		})
	}
}
