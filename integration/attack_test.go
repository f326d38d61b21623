package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/cluster"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

// hostile is eve's: a function that notes as whom and for what it runs, tries to be bob or a superuser, to read what is bob's and to touch
// what is the superuser's, in the view that runs it.
const hostile = `
create table diary (place text, who name default current_user, login name default session_user, loot text);
create function attack(place text) returns text language plpgsql as $$
declare
  v_way  text;
  v_loot text;
begin
  insert into eve.diary (place) values (attack.place);
  foreach v_way in array array['reset role', 'reset session authorization', 'set role bob', 'set session authorization bob', 'set role tinydev_superuser', $q$select set_config('role', 'bob', true)$q$] loop
    begin execute v_way; exception when others then null; end;
    begin
      execute 'select secret from bob.private' into v_loot;
      insert into eve.diary (place, loot) values (attack.place, v_loot);
    exception when others then
      null;
    end;
    begin perform canary.touch(); exception when others then null; end;
    begin insert into canary.seen default values; exception when others then null; end;
  end loop;
  return current_user;
end $$;
create function on_row() returns trigger language plpgsql as $$ begin perform eve.attack('deferred'); return new; end $$;
create table noted (a text);
create constraint trigger late after insert on noted deferrable initially deferred for each row execute function on_row()`

// TestScheduledCodeStaysItsOwners has eve's code run where pg_cron runs it, beside HTTP and psql: always as eve, never beyond her rights, and the
// audit tells through which door she came.
func TestScheduledCodeStaysItsOwners(t *testing.T) {
	onEach(t, func(t *testing.T, s *server) {
		for _, name := range []string{"bob", "eve"} {
			s.must("user", "create", name)
		}
		as := func(name, sql string) result {
			return s.command("psql", "--user", name, "--", "-X", "-At", "-v", "ON_ERROR_STOP=1", "-c", sql)
		}
		must := func(name, sql string) string {
			t.Helper()
			r := as(name, sql)
			if r.code != 0 {
				t.Fatalf("%s: %s: %s", name, sql, r.stderr)
			}
			return strings.TrimSpace(r.stdout)
		}
		super := superuser(t, s)
		if _, err := super.Exec(context.Background(), `create schema canary; grant usage on schema canary to public; create table canary.seen (who name default current_user, login name default session_user);
create function canary.touch() returns void language sql as 'insert into canary.seen default values'; revoke execute on function canary.touch() from public`); err != nil {
			t.Fatal(err)
		}
		must("bob", "create table private (secret text); insert into private values ('hidden')")
		must("eve", hostile)

		token := strings.TrimSpace(s.must("token", "create", "--user", "eve", "--name", "attack"))
		at := shellEnv(t, s)
		post := func(path, body string, want int) {
			t.Helper()
			req, err := http.NewRequest(http.MethodPost, at["TINYDEV_URL"]+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+token)
			req.Header.Set("Content-Type", "application/json")
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("POST %s: %s", path, resp.Status)
			}
		}
		post("/v1/views", `{"name":"v","query":"select eve.attack('view') as who"}`, http.StatusCreated)
		post("/v1/views/v/refresh", "", http.StatusOK)
		must("eve", "call tinydev.refresh('v')")
		must("eve", "refresh materialized view v")
		must("eve", "truncate diary")
		post("/v1/jobs", `{"view":"v","schedule":"5 seconds"}`, http.StatusCreated)
		must("eve", "select cron.schedule('direct', '* * * * *', 'refresh materialized view eve.v')")
		must("eve", "select cron.schedule('deferred', '* * * * *', 'insert into eve.noted values (1)')")
		must("eve", "select cron.schedule('define', '* * * * *', 'create table if not exists eve.made_by_job (a int)')")
		pgtest.Eventually(t, patience, "the jobs ran, and the trigger at the end of one", func() bool {
			return must("eve", "select count(*) filter (where place = 'view') >= 2 and count(*) filter (where place = 'deferred') >= 1 and to_regclass('eve.made_by_job') is not null from diary") == "t"
		})
		if who := must("eve", "select string_agg(distinct concat_ws(' ', who, login, loot), ', ') from diary"); who != "eve eve" {
			t.Errorf("eve's code ran as %s", who)
		}
		if got := must("eve", "select who from v"); got != "eve" {
			t.Errorf("the view was refreshed as %s", got)
		}
		var seen int
		if err := super.QueryRow(context.Background(), "select count(*) from canary.seen").Scan(&seen); err != nil || seen > 0 {
			t.Errorf("the canary was touched %d times: %v", seen, err)
		}
		// In an adopted PostgreSQL everybody may connect to each database, as PostgreSQL has it; not to this one.
		for _, sql := range []string{"create database closed", "revoke connect on database closed from public"} {
			if _, err := super.Exec(context.Background(), sql); err != nil {
				t.Fatal(err)
			}
		}
		for _, sql := range []string{"select cron.schedule_in_database('x', '* * * * *', 'select 1', current_database(), 'bob')", "select cron.schedule_in_database('x', '* * * * *', 'select 1', 'closed')", "select cron.unschedule(1)"} {
			if r := as("eve", sql); r.code == 0 {
				t.Errorf("%s: nothing stands against it", sql)
			}
		}

		var entries []struct{ Actor, Door, Action, Subject string }
		if err := json.Unmarshal([]byte(s.must("audit", "--actor", "eve", "--since", "1h", "--limit", "1000", "--json")), &entries); err != nil {
			t.Fatal(err)
		}
		var told []string
		for _, e := range entries {
			told = append(told, fmt.Sprintf("%s %s %s", e.Door, e.Action, e.Subject))
		}
		for _, want := range []string{"sql create table eve.diary", "http create materialized view eve.v", "job create table eve.made_by_job"} {
			if !slices.Contains(told, want) {
				t.Errorf("the audit does not tell of %q but of %q", want, told)
			}
		}
		if table := s.must("audit", "--action", "create user"); !strings.Contains(table, "eve") || !strings.Contains(table, user) {
			t.Errorf("the audit of users:\n%s", table)
		}
		r := s.prepare("audit")
		r.Env = append(r.Env, "TINYDEV_TOKEN="+token, "TINYDEV_URL="+at["TINYDEV_URL"])
		if refused := run(t, r, ""); refused.code == 0 || !strings.Contains(refused.stderr, "only administrators") {
			t.Errorf("eve reads the audit: %d %s %s", refused.code, refused.stdout, refused.stderr)
		}
	})
}

// superuser opens a session of the superuser of a server's PostgreSQL.
func superuser(t *testing.T, s *server) *pgx.Conn {
	t.Helper()
	address := shellEnv(t, s)["DATABASE_URL"]
	if s.container != nil {
		address = s.container.SuperuserDSN()
	}
	address, err := postgres.AsUser(address, cluster.Superuser)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}
