package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/auth"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// attacked is a harness with a token of eve's, a secret of bob's, and a canary: a table that nobody but the superuser may write, and
// a function that nobody else may call.
func attacked(t *testing.T) *harness {
	t.Helper()
	h := start(t)
	h.tokens[pgtest.Eve] = auth.NewToken()
	check(t, h.auth.Register(context.Background(), pgtest.Eve, "test", h.tokens[pgtest.Eve]))
	execute(t, h.db.Superuser(), `create schema canary; grant usage on schema canary to public;
create table canary.seen (who name default current_user, login name default session_user);
create sequence canary.touched;
create function canary.touch() returns void language sql as 'insert into canary.seen default values; select nextval(''canary.touched'')'; revoke execute on function canary.touch() from public`)
	execute(t, h.db.Conn(pgtest.Bob), "create table private (secret text); insert into private values ('bob''s secret')")
	execute(t, h.db.Conn(pgtest.Eve), hostile)
	return h
}

func execute(t testing.TB, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.PgConn().Exec(context.Background(), sql).ReadAll(); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// hostile is eve's: eve.attack notes as whom it runs, tries each way to be another, and then to read what is bob's and to touch the canary.
// Sequences keep what it did in a transaction that is rolled back, as reads are.
const hostile = `
create table diary (place text, who name default current_user, login name default session_user, loot text);
grant usage on schema eve to public;
grant insert on diary to public;
create sequence as_other; create sequence stole; create sequence ran_policy; create sequence ran_view; create sequence ran_operator;
grant all on all sequences in schema eve to public;
create function attack(place text) returns boolean language plpgsql as $$
declare
  v_way  text;
  v_loot text;
begin
  insert into eve.diary (place) values (attack.place);
  if to_regclass('eve.ran_' || attack.place) is not null then
    perform nextval('eve.ran_' || attack.place);
  end if;
  foreach v_way in array array['reset role', 'reset session authorization', 'set role none', 'set role bob', 'set role tinydev_owner', 'set role tinydev_superuser', 'set local role bob',
      'set session authorization bob', 'set session authorization tinydev_superuser', 'set session authorization default', $q$select set_config('role', 'bob', true)$q$, $q$select set_config('role', 'bob', false)$q$,
      $q$select set_config('session_authorization', 'bob', false)$q$, $q$select set_config('role', 'tinydev_superuser', false)$q$, 'grant bob to eve', 'alter role eve superuser'] loop
    begin
      execute v_way;
      if current_user <> 'eve' or session_user <> 'eve' then
        perform nextval('eve.as_other');
      end if;
      insert into eve.diary (place) values (attack.place);
    exception when others then
      null;
    end;
    begin
      execute 'select secret from bob.private' into v_loot;
      perform nextval('eve.stole');
      insert into eve.diary (place, loot) values (attack.place, v_loot);
    exception when others then
      null;
    end;
    begin
      perform canary.touch();
    exception when others then
      null;
    end;
    begin
      insert into canary.seen default values;
    exception when others then
      null;
    end;
  end loop;
  return true;
end $$;
-- What must be immutable may say that it is.
create function imm(place text, value text) returns text language plpgsql immutable as $$ begin perform eve.attack(place); return value; end $$;
create function on_row() returns trigger language plpgsql as $$ begin perform eve.attack(tg_argv[0]); return new; end $$;
create domain guarded as text check (eve.imm('domain', value) is not null);
create function same(a text, b text) returns boolean language plpgsql as $$ begin perform eve.attack('operator'); return a = b; end $$;
create operator === (leftarg = text, rightarg = text, function = same);
create table t (a text default eve.imm('default', 'x'), b eve.guarded, c text generated always as (eve.imm('generated', 'c')) stored, d text, check (eve.imm('check', 'x') = 'x'));
create index on t (eve.imm('index', a));
create trigger early before insert on t for each row execute function on_row('trigger');
create constraint trigger late after insert on t deferrable initially deferred for each row execute function on_row('deferred');
create table ruled (a text);
create rule also as on insert to ruled do also select eve.attack('rule');
create table policed (a text); insert into policed values ('x');
alter table policed enable row level security; alter table policed force row level security;
create policy p on policed using (eve.attack('policy'));
create view plain as select eve.attack('view') as a;
create view compared as select 'x' === 'y' as a;
create materialized view filled as select eve.attack('filled') as a;
delete from diary;
alter sequence ran_policy restart; alter sequence ran_view restart; alter sequence ran_operator restart;
grant all on t, ruled, policed, plain, compared, filled to public`

// diary gives in which places eve's code ran, and fails the test when it ever ran as anybody else, or got at anything.
func (h *harness) diary() []string {
	h.t.Helper()
	super := h.db.Superuser()
	for _, query := range []string{
		"select coalesce(array_agg(distinct concat_ws(' ', place, 'as', who, login)), '{}') from eve.diary where who <> 'eve' or login <> 'eve'",
		"select coalesce(array_agg(distinct concat_ws(' ', place, loot)), '{}') from eve.diary where loot is not null",
		"select coalesce(array_agg(distinct concat_ws(' ', who, login)), '{}') from canary.seen",
	} {
		if found := pgtest.Value[[]string](h.t, super, query); len(found) > 0 {
			h.t.Errorf("eve got further than her own: %q", found)
		}
	}
	for _, sequence := range []string{"eve.as_other", "eve.stole", "canary.touched"} {
		if pgtest.Value[bool](h.t, super, "select is_called from "+sequence) {
			h.t.Errorf("eve got further than her own: %s", sequence)
		}
	}
	places := pgtest.Value[[]string](h.t, super, `
select coalesce(array_agg(distinct place order by place), '{}')
  from (select place from eve.diary union all select 'policy' from eve.ran_policy where is_called union all select 'view' from eve.ran_view where is_called
        union all select 'operator' from eve.ran_operator where is_called) p`)
	execute(h.t, super, "delete from eve.diary; select setval('eve.ran_policy', 1, false), setval('eve.ran_view', 1, false), setval('eve.ran_operator', 1, false)")
	return places
}

// TestOwnCodeStaysItsOwners runs eve's code in each place that SQL has for code, by her own requests: it always runs as her.
func TestOwnCodeStaysItsOwners(t *testing.T) {
	t.Parallel()
	h := attacked(t)
	want := func(does string, got answer, status int, places ...string) {
		t.Helper()
		if got.status != status {
			t.Errorf("%s: %d %s", does, got.status, got.body)
		}
		if ran := h.diary(); !slices.Equal(ran, places) {
			t.Errorf("%s ran %q, want %q", does, ran, places)
		}
	}
	want("upload", h.load(pgtest.Eve, "/v1/uploads", "table", "t", "file", "b,d\n1,2\n3,4\n"), 201, "check", "default", "deferred", "domain", "generated", "index", "trigger")
	want("export of a policed table", h.call(pgtest.Eve, "GET", "/v1/tables/policed/rows", ""), 200, "policy")
	want("read of a view", h.call(pgtest.Eve, "GET", "/v1/tables/plain/rows?format=csv", ""), 200, "view")
	want("read of an operator", h.call(pgtest.Eve, "GET", "/v1/tables/compared/rows", ""), 200, "operator")
	want("create", h.call(pgtest.Eve, "POST", "/v1/views", `{"name":"made","query":"select eve.attack('create') as a"}`), 201, "create")
	want("refresh", h.call(pgtest.Eve, "POST", "/v1/views/made/refresh", ""), 200, "create")
	want("replace", h.call(pgtest.Eve, "PUT", "/v1/views/made", `{"query":"select eve.attack('replace') as a"}`), 200, "replace")
	eve := h.db.Conn(pgtest.Eve)
	execute(t, eve, "call tinydev.refresh('made')")
	execute(t, eve, "refresh materialized view made")
	execute(t, eve, "insert into ruled values ('x')")
	want("psql", answer{}, 0, "replace", "rule")

	made := h.call(pgtest.Eve, "POST", "/v1/tokens", `{"name":"reader","read_only":true}`)
	var token struct{ Token string }
	if err := json.Unmarshal([]byte(made.body), &token); made.status != 201 || err != nil {
		t.Fatalf("%d %s", made.status, made.body)
	}
	h.tokens["reader"] = token.Token
	for _, path := range []string{"/v1/tables/plain/rows", "/v1/tables/policed/rows", "/v1/tables/plain/rows?format=csv"} {
		if got := h.call("reader", "GET", path, ""); got.status < 400 {
			t.Errorf("a read-only token writes by reading %s: %d %s", path, got.status, got.body)
		}
	}
	want("a read-only token", answer{}, 0)
}

// TestOthersCodeIsRefused holds that bob runs none of eve's code, whatever he may read and write of hers, by HTTP or by our functions in psql.
func TestOthersCodeIsRefused(t *testing.T) {
	t.Parallel()
	h := attacked(t)
	bob := h.db.Conn(pgtest.Bob)
	execute(t, h.db.Conn(pgtest.Eve), "create table data (a text); insert into data values ('x'); grant all on data to bob")
	if got := h.call(pgtest.Bob, "POST", "/v1/views", `{"name":"over","query":"select * from eve.data"}`); got.status != 201 {
		t.Fatalf("a view over plain data of another: %d %s", got.status, got.body)
	}
	if got := h.load(pgtest.Bob, "/v1/uploads", "table", "eve.data", "file", "a\ny\n"); got.status != 201 {
		t.Fatalf("a load into a plain table of another: %d %s", got.status, got.body)
	}
	if got := h.call(pgtest.Bob, "GET", "/v1/views/eve.filled/rows", ""); got.status != 200 {
		t.Errorf("another's materialized view is data: %d %s", got.status, got.body)
	}
	execute(t, h.db.Superuser(), "delete from eve.diary")
	// Now what bob built on gets code.
	execute(t, h.db.Conn(pgtest.Eve), "alter table data enable row level security; create policy p on data using (eve.attack('late policy'))")
	for does, got := range map[string]answer{
		"read of a view":            h.call(pgtest.Bob, "GET", "/v1/tables/eve.plain/rows", ""),
		"export of a view":          h.call(pgtest.Bob, "GET", "/v1/tables/eve.plain/rows?format=csv", ""),
		"read of an operator":       h.call(pgtest.Bob, "GET", "/v1/tables/eve.compared/rows", ""),
		"read of a policed table":   h.call(pgtest.Bob, "GET", "/v1/tables/eve.policed/rows", ""),
		"upload":                    h.load(pgtest.Bob, "/v1/uploads", "table", "eve.t", "file", "b,d\n1,2\n"),
		"append":                    h.call(pgtest.Bob, "POST", "/v1/tables/eve.t/rows", "b,d\n1,2\n", header("Content-Type", "text/csv")),
		"upload into a rule":        h.load(pgtest.Bob, "/v1/uploads", "table", "eve.ruled", "file", "a\n1\n"),
		"a view of a view":          h.call(pgtest.Bob, "POST", "/v1/views", `{"name":"x","query":"select * from eve.plain"}`),
		"a view of a function":      h.call(pgtest.Bob, "POST", "/v1/views", `{"name":"x","query":"select eve.attack('call')"}`),
		"refresh over a new policy": h.call(pgtest.Bob, "POST", "/v1/views/over/refresh", ""),
		"replace":                   h.call(pgtest.Bob, "PUT", "/v1/views/over", `{"query":"select * from eve.policed"}`),
	} {
		if got.status != 403 || got.problem(t).Code != "foreign_code" {
			t.Errorf("%s: %d %s", does, got.status, got.body)
		}
	}
	for _, sql := range []string{"select tinydev.create_view('y', 'select * from eve.plain')", "call tinydev.refresh('over')", "select tinydev.replace_view('over', 'select * from eve.plain')"} {
		if _, err := bob.Exec(context.Background(), sql); err == nil || !strings.Contains(err.Error(), "eve") {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if ran := h.diary(); len(ran) > 0 {
		t.Errorf("eve's code ran in %q", ran)
	}
	// Administrators are no exception.
	if got := h.call(pgtest.Admin, "GET", "/v1/tables/eve.plain/rows", ""); got.status != 403 {
		t.Errorf("an administrator reads it: %d %s", got.status, got.body)
	}
	h.diary()
	// Plain SQL has no such guard, as docs/security.md says: PostgreSQL runs eve's function with bob's rights.
	execute(t, bob, "select * from eve.plain")
	if stolen := pgtest.Value[string](t, h.db.Superuser(), "select distinct loot from eve.diary where who = 'bob' and loot is not null"); stolen != "bob's secret" {
		t.Errorf("in plain SQL eve's view got %q", stolen)
	}
}

// TestHostileNames gives each route names that break what is put together carelessly.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	h := attacked(t)
	for _, name := range []string{
		`a"b`, `a'b`, `a\b`, `a.b`, "a b", "a;drop table private;--", "a/b", "a%2Fb", "a?b", "a#b", "日本語", "Ünïcode", "a\tb", "a\nb", `$$`, `$a$`, "{}", "<script>alert(1)</script>", "select", "-", "..", ".", strings.Repeat("x", 63),
		strings.Repeat("é", 31), "%s%d", "a--b", "/*", "a\u202eb", "tinydev", "pg_class", "\u0001",
	} {
		quoted := `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
		body, err := json.Marshal(map[string]any{"name": quoted, "columns": []map[string]any{{"name": name, "type": "text"}}})
		check(t, err)
		made := h.call(pgtest.Eve, "POST", "/v1/tables", string(body))
		if made.status != 201 {
			t.Errorf("%q: %d %s", name, made.status, made.body)
			continue
		}
		path := "/v1/tables/" + url.PathEscape(quoted)
		if got := h.call(pgtest.Eve, "GET", path, ""); got.status != 200 {
			t.Errorf("%q: %d %s", name, got.status, got.body)
		}
		if got := h.load(pgtest.Eve, "/v1/uploads", "table", quoted, "columns", mustJSON(t, []map[string]any{{"name": name, "type": "text"}}), "file", "x\nfor "+name[:1]+"\n"); got.status == 500 {
			t.Errorf("%q: %s", name, got.body)
		}
		view := mustJSON(t, map[string]any{"name": `"v ` + strings.ReplaceAll(name, `"`, `""`)[:min(len(name), 50)] + `"`, "query": "select * from " + quoted})
		if got := h.call(pgtest.Eve, "POST", "/v1/views", view); got.status >= 500 {
			t.Errorf("%q: %d %s", name, got.status, got.body)
		}
		if got := h.call(pgtest.Eve, "DELETE", path, ""); got.status >= 500 {
			t.Errorf("%q: %d %s", name, got.status, got.body)
		}
	}
	// What PostgreSQL cannot hold is refused, and no path leads out of its route.
	for _, path := range []string{"/v1/tables/a%00b", "/v1/tables/%22a%00%22", "/v1/tables/" + strings.Repeat("x", 64), "/v1/tables/..%2f..%2fetc%2fpasswd", "/v1/tables/%2e%2e", "/v1/tables/bob%2Eprivate", "/v1/tables/bob.private", "/v1/tables/a.b.c",
		"/v1/tables/%ff", "/v1/tables/x%2Frows", "/v1/views/bob.private", "/v1/tables/bob.private/rows", "/v1/tables/tinydev_impl.token", "/v1/tables/tinydev_impl.token/rows", "/v1/tables/pg_catalog.pg_authid/rows", "/v1/tables/cron.job/rows"} {
		got := h.call(pgtest.Eve, "GET", path, "")
		if got.status < 400 || got.status >= 500 || strings.Contains(got.body, "secret") {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	if n := pgtest.Value[int](t, h.db.Superuser(), "select count(*)::int from bob.private"); n != 1 {
		t.Error("bob's table is changed")
	}
}

func mustJSON(t testing.TB, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	check(t, err)
	return string(text)
}

// TestGuessing holds that ids and names of others' things answer exactly as if there were none.
func TestGuessing(t *testing.T) {
	t.Parallel()
	h := attacked(t)
	bob := h.db.Conn(pgtest.Bob)
	execute(t, bob, "select tinydev.create_view('v', 'select 1 as a')")
	job := pgtest.Value[int64](t, bob, "select (tinydev.schedule('v', '* * * * *') ->> 'job_id')::bigint")
	loaded := h.load(pgtest.Bob, "/v1/uploads", "table", "own", "file", "a\n1\n")
	var upload struct {
		UploadID int64 `json:"upload_id"`
	}
	check(t, json.Unmarshal([]byte(loaded.body), &upload))
	token := pgtest.Value[int64](t, h.db.Superuser(), "select token_id from tinydev_impl.token where role_name = 'bob'")
	for _, route := range []struct {
		method, path string
		id           int64
		body         string
	}{
		{"GET", "/v1/jobs/%d", job, ""}, {"PATCH", "/v1/jobs/%d", job, `{"active":false}`}, {"DELETE", "/v1/jobs/%d", job, ""}, {"GET", "/v1/jobs/%d/runs", job, ""},
		{"GET", "/v1/uploads/%d", upload.UploadID, ""}, {"DELETE", "/v1/tokens/%d", token, ""},
	} {
		theirs := h.call(pgtest.Eve, route.method, fmt.Sprintf(route.path, route.id), route.body)
		none := h.call(pgtest.Eve, route.method, fmt.Sprintf(route.path, 987654), route.body)
		if theirs.status != 404 || none.status != 404 || theirs.problem(t).Code != none.problem(t).Code ||
			strings.ReplaceAll(theirs.problem(t).Detail, fmt.Sprint(route.id), "N") != strings.ReplaceAll(none.problem(t).Detail, "987654", "N") {
			t.Errorf("%s %s: %d %s\nand for none: %d %s", route.method, route.path, theirs.status, theirs.body, none.status, none.body)
		}
		for _, odd := range []string{"-1", "0", "1e3", "99999999999999999999", "1%20or%201=1", "%00", "1;drop"} {
			got := h.call(pgtest.Eve, route.method, strings.ReplaceAll(route.path, "%d", odd), route.body)
			if got.status < 400 || got.status >= 500 {
				t.Errorf("%s %s with %s: %d", route.method, route.path, odd, got.status)
			}
		}
	}
	for _, path := range []string{"/v1/tables/bob.own", "/v1/views/bob.v", "/v1/views/bob.v/rows", "/v1/tables/bob.own/rows"} {
		if got := h.call(pgtest.Eve, "GET", path, ""); got.status != 403 && got.status != 404 {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
}

// TestForgedNotify holds that a NOTIFY of a user's brings nobody anything: streams wake, read the log, and send what is there.
func TestForgedNotify(t *testing.T) {
	t.Parallel()
	h := attacked(t)
	eve, bob := h.db.Conn(pgtest.Eve), h.db.Conn(pgtest.Bob)
	execute(t, bob, "select tinydev.create_view('v', 'select 1 as a')")
	lines := map[string]chan string{}
	for _, role := range []string{pgtest.Bob, pgtest.Eve} {
		ctx, cancel := context.WithCancel(context.Background())
		t.Cleanup(cancel)
		// Eve asks for bob's subject by name.
		req, err := http.NewRequestWithContext(ctx, "GET", h.url+"/v1/events/stream?after=0&subject=bob.v", nil)
		check(t, err)
		req.Header.Set("Authorization", "Bearer "+h.tokens[role])
		resp, err := http.DefaultClient.Do(req)
		check(t, err)
		t.Cleanup(func() { resp.Body.Close() })
		into := make(chan string, 1000)
		lines[role] = into
		go func() {
			for scanner := bufio.NewScanner(resp.Body); scanner.Scan(); {
				if text := scanner.Text(); strings.HasPrefix(text, "data:") || strings.HasPrefix(text, "event:") {
					into <- text
				}
			}
		}()
	}
	for _, payload := range []string{"1", "2", "999999", "-1", "x", "1\nevent: forged", strings.Repeat("9", 7000), `{"type":"view.refreshed"}`, ""} {
		if _, err := eve.Exec(context.Background(), "select pg_notify('tinydev', $1), pg_notify('tinydev_inbox', $1)", payload); err != nil {
			t.Fatal(err)
		}
	}
	// A type that would end its line in the stream.
	for _, set := range []string{"set standard_conforming_strings = on", "set standard_conforming_strings = off"} {
		execute(t, eve, set)
		if _, err := eve.Exec(context.Background(), "select tinydev.record_event($1, 'eve.t'::regclass, null)", "view\nevent: forged"); err == nil {
			t.Error("an event of two lines is taken")
		}
	}
	execute(t, bob, "call tinydev.refresh('v')")
	var got []string
	pgtest.Eventually(t, 20*time.Second, "bob's stream brings his refresh", func() bool {
		for {
			select {
			case line := <-lines[pgtest.Bob]:
				got = append(got, line)
				continue
			default:
			}
			return strings.Contains(strings.Join(got, "\n"), "view.refreshed")
		}
	})
	if text := strings.Join(got, "\n"); strings.Contains(text, "forged") || strings.Count(text, "data:") != 2 {
		t.Errorf("bob's stream brings\n%s", text)
	}
	select {
	case line := <-lines[pgtest.Eve]:
		t.Errorf("eve's stream brings %s", line)
	default:
	}
}

// TestForgedAddresses holds that no header says who or where a client is.
func TestForgedAddresses(t *testing.T) {
	t.Parallel()
	h := attacked(t)
	for _, edit := range []func(*http.Request){
		header("X-Forwarded-For", "127.0.0.1"), header("X-Real-IP", "127.0.0.1"), header("Forwarded", "for=127.0.0.1;host=localhost"), header("X-Forwarded-User", "bob"), header("X-Remote-User", "bob"), header("Remote-User", "bob"),
		header("X-Forwarded-Host", "localhost"), header("X-Original-URL", "/healthz"), header("X-Rewrite-URL", "/healthz"), header("X-HTTP-Method-Override", "DELETE"), header("Cookie", "tinydev=bob"),
	} {
		if got := h.call("", "GET", "/v1/tables", "", edit); got.status != 401 {
			t.Errorf("%d %s", got.status, got.body)
		}
		if got := h.call(pgtest.Eve, "GET", "/v1/tables/bob.private/rows", "", edit); got.status != 403 && got.status != 404 {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
	if got := h.call(pgtest.Eve, "GET", "/v1/tables", "", func(r *http.Request) { r.Host = "evil.example.org" }, header("X-Forwarded-Host", "localhost")); got.status != 421 {
		t.Errorf("%d", got.status)
	}
	if log := h.log.String(); strings.Contains(log, h.tokens[pgtest.Eve]) {
		t.Error("the log holds a token")
	}
}
