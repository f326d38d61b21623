package control_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/ingest"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
	"github.com/tinydevcrm/tinydevcrm/sql"
)

// eventType is an entry of the catalogue, to hold events to.
type eventType struct {
	control.EventType
	schema *jsonschema.Schema
	fields map[string]bool // of the data, and whether the owner got one
	shown  map[string]bool // those that others got
}

// catalogue reads the types of events.
func catalogue(t *testing.T) map[string]*eventType {
	t.Helper()
	types := map[string]*eventType{}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	for _, listed := range control.EventTypes() {
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(listed.Data))
		if err != nil {
			t.Fatal(err)
		}
		if err := compiler.AddResource("urn:"+listed.Type, document); err != nil {
			t.Fatal(err)
		}
		entry := &eventType{listed, must[*jsonschema.Schema](t)(compiler.Compile("urn:" + listed.Type)), map[string]bool{}, map[string]bool{}}
		for field, schema := range entry.schema.Properties {
			entry.fields[field] = false
			if schema.Description == "" {
				t.Errorf("%s of %s has no description", field, listed.Type)
			}
		}
		if types[listed.Type] != nil {
			t.Errorf("%s is listed twice", listed.Type)
		}
		types[listed.Type] = entry
	}
	return types
}

// hold compares an event's data with its type, as the owner sees it or another.
func (e *eventType) hold(t *testing.T, reader string, data json.RawMessage, owns bool) {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if err := e.schema.Validate(value); err != nil {
		t.Errorf("%s of %s: %v\n%s", e.Type, reader, err, data)
	}
	fields, _ := value.(map[string]any)
	for field := range fields {
		if _, described := e.fields[field]; !described {
			t.Errorf("%s of %s has %s, which is not in the catalogue", e.Type, reader, field)
		}
		if slices.Contains(e.Rows, field) && reader == pgtest.Admin {
			t.Errorf("an administrator, who may not select, gets %s of %s: %s", field, e.Type, data)
		}
		if owns {
			e.fields[field] = true
			continue
		}
		e.shown[field] = true
		if slices.Contains(e.Private, field) && (field != "to" || !slices.Contains([]any{reader, control.Everyone}, fields[field])) {
			t.Errorf("%s gets %s of %s: %s", reader, field, e.Type, data)
		}
	}
	for _, field := range e.Private {
		if _, got := fields[field]; owns && !got {
			t.Errorf("the owner does not get %s of %s: %s", field, e.Type, data)
		}
	}
}

// typesRead reads all events as a user and holds them to the catalogue; it gives their types.
func typesRead(t *testing.T, types map[string]*eventType, u *control.User, owns bool) map[string]bool {
	t.Helper()
	got := map[string]bool{}
	for after := int64(0); ; {
		page := must[control.EventPage](t)(u.ReadEvents(context.Background(), after, 1000, control.EventFilter{}))
		for _, raw := range page.Events {
			var event struct {
				Type string
				Data json.RawMessage
			}
			if err := json.Unmarshal(raw, &event); err != nil {
				t.Fatal(err)
			}
			if types[event.Type] == nil {
				t.Errorf("%s happened, which is not in the catalogue", event.Type)
				continue
			}
			types[event.Type].hold(t, u.Role, event.Data, owns)
			got[event.Type] = true
		}
		if after = page.Next; after >= page.Head {
			return got
		}
	}
}

// TestEventTypesHappen makes each event happen, and holds what its owner, an administrator and a reader get to the catalogue: the schema
// of the data, no field that is not described, none described that never comes, and who sees what.
func TestEventTypesHappen(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	ctx := context.Background()
	pool := must[*pgxpool.Pool](t)(postgres.Open(ctx, db.URL("tinydev_server"), "tinydev", 2))
	t.Cleanup(pool.Close)
	sessions := postgres.NewSessions(db.URL("tinydev_server"), pool, postgres.Options{})
	t.Cleanup(sessions.Close)
	loader := &ingest.Loader{Sessions: sessions, SpoolDir: t.TempDir(), Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
	c := control.New(sessions)
	ann, conn := c.As(pgtest.Ann), db.Conn(pgtest.Ann)
	load := func(table, file string) error {
		_, _, err := loader.Load(ctx, pgtest.Ann, ingest.LoadRequest{Table: table, Source: "friends.csv"}, strings.NewReader(file))
		return err
	}
	share := func(relation string) {
		for _, to := range []string{"bob", "eve", control.Everyone} {
			must[control.Change[control.Shared]](t)(ann.Share(ctx, relation, to, "select", false))
		}
		must[control.Change[control.Unshared]](t)(ann.Unshare(ctx, relation, "eve", "all", false))
	}
	refreshFails := func(name string) {
		if _, err := ann.Refresh(ctx, name, false); err == nil {
			t.Errorf("the refresh of %s succeeded", name)
		}
	}

	if err := load("friends", "Name,Date\nbob,1990-01-02\n"); err != nil {
		t.Fatal(err)
	}
	for table, file := range map[string]string{"friends": "Name,Date\neve,soon\n", "never": "a,b\n1\n"} {
		if err := load(table, file); err == nil {
			t.Errorf("%s was loaded", table)
		}
	}
	must[control.Change[control.Relation]](t)(ann.CreateTable(ctx, "numbers", []control.Column{{Name: "n", Type: "numeric(12,2)"}}, false))
	must[control.Change[control.Relation]](t)(ann.CreateView(ctx, "w", "select 1 as n", false))
	must[control.Change[control.Relation]](t)(ann.CreateView(ctx, "v", "select 1 as n", false))
	must[control.Change[control.Relation]](t)(ann.ReplaceView(ctx, "v", "select 1 / n as n from numbers", false))
	must[control.Change[control.Refreshed]](t)(ann.Refresh(ctx, "v", false))
	exec(t, conn, "create unique index on v (n)", "insert into numbers values (1)", "call tinydev.refresh('v', cause => 'schedule')",
		"insert into numbers select generate_series(2, 200)", "call tinydev.refresh('v', track_changes => 'keys')", "delete from numbers where n > 1", "call tinydev.refresh('v', track_changes => 'rows')")
	exec(t, conn, "insert into numbers values (1)") // twice the same in the index, which has a detail
	refreshFails("v")
	exec(t, conn, "update numbers set n = 0")
	refreshFails("v")
	refreshFails("gone")
	share("friends")
	share("v")
	must[control.Change[control.Shared]](t)(ann.Share(ctx, "w", "bob", "select", false))

	server, super := db.Conn("tinydev_server"), db.Superuser()
	const id = "00000000-0000-0000-0000-000000000001"
	place := func() { exec(t, super, "call tinydev_impl.place_all()") }
	place()
	exec(t, conn, `select tinydev.create_subscription('hook', 'webhook', 'https://example.org/hook', retry_seconds => '{}', secret => 'whsec_' || encode(decode(repeat('ab', 32), 'hex'), 'base64'))`,
		"select tinydev.test_subscription('hook')")
	hook := pgtest.Value[int64](t, conn, "select subscription_id from tinydev.subscription where name = 'hook'")
	exec(t, server, "select tinydev_impl.hold_subscriptions('"+id+"', 'test', array['webhook'], '{}', '{}')",
		fmt.Sprintf(`select tinydev_impl.record_deliveries(%d, '%s', 1, 1, 2, false, array[2], array[''], array['view.refreshed'], array['"Ann".v'], array['failed'],
			array[now()], array[503], array[12], array['answered 503 Service Unavailable'], array['busy'], array[null]::integer[])`, hook, id))
	exec(t, conn, "select tinydev.alter_subscription('hook', active => false)", "select tinydev.alter_subscription('hook', active => true)")

	// pg_cron could not start a job of ann's, and then it could.
	exec(t, conn, `select cron.schedule_in_database('own', '0 0 1 1 *', 'select 1', current_database())`)
	for _, end := range []string{"'failed', 'connection failed'", "'succeeded', ''"} {
		exec(t, super, `insert into cron.job_run_details (jobid, runid, username, database, command, status, return_message, start_time, end_time)
			select jobid, nextval('cron.runid_seq'), username, database, command, `+end+`, now(), now() from cron.job where jobname = 'own'`, "select tinydev_impl.watch_doctor()")
	}

	for _, relation := range []string{"friends", "v"} {
		must[control.Change[control.Freshness]](t)(ann.SetFreshness(ctx, relation, 60, false))
	}
	place()
	exec(t, super, "update tinydev_impl.freshness set fresh_at = fresh_at - interval '1 hour', next_check_at = now()")
	place()
	exec(t, conn, "truncate numbers", "insert into numbers values (1)")
	must[control.Change[control.Refreshed]](t)(ann.Refresh(ctx, "v", false))
	must[control.Change[control.Dropped]](t)(ann.DropFreshness(ctx, "friends", false))

	// A job that pg_cron could not start, did not start, and started while it was under way.
	job := pgtest.Value[int64](t, conn, "select (tinydev.schedule('w', '* * * * *', retries => 1) ->> 'job_id')::bigint")
	state := func(set string) {
		exec(t, super, fmt.Sprintf("update tinydev_impl.job_state set %s where job_id = %d", set, job))
	}
	exec(t, super, "update tinydev_impl.instance set runs_since = now() - interval '1 hour'", fmt.Sprintf(`
insert into cron.job_run_details (jobid, runid, username, database, command, status, return_message, start_time, end_time)
select jobid, nextval('cron.runid_seq'), username, database, command, 'failed', 'job startup timeout', now() - interval '2 minutes', now() - interval '1 minute' from cron.job where jobid = %d`, job),
		"select tinydev_impl.reconcile_runs()")
	state("handled_to = now() - interval '1 hour', next_due_at = now() - interval '1 hour'")
	exec(t, super, "select tinydev_impl.watch_jobs()")
	state("handled_to = date_trunc('minute', now()) - interval '3 minutes', next_due_at = null, last_started_at = date_trunc('minute', now()) - interval '3 minutes', last_ended_at = clock_timestamp()")
	if _, err := launched(t, db, job); err != nil {
		t.Fatal(err)
	}

	// One view is refreshed after another, and a third after that one, which then fails.
	exec(t, conn, "create table d as select 1 as n")
	for _, each := range [][3]string{{"x", "select 1 / n as n from d", "w"}, {"y", "select n from x", "x"}} {
		jobOf(t, conn, each[0], each[1], fmt.Sprintf("after => '%s'", each[2]))
		must[control.Change[control.Shared]](t)(ann.Share(ctx, each[0], "bob", "select", false))
	}
	for _, set := range []string{"n = 1", "n = 0"} {
		exec(t, conn, "update d set "+set, "call tinydev.refresh('w')")
		settle(t, db)
	}

	types := catalogue(t)
	place()
	place()
	read := typesRead(t, types, c.As(pgtest.Bob), false)
	must[control.Change[control.Dropped]](t)(ann.DropView(ctx, "v", false))
	exec(t, conn, "drop table numbers")
	place()
	happened := typesRead(t, types, ann, true)
	if got := typesRead(t, types, c.As(pgtest.Admin), true); !maps.Equal(got, happened) {
		t.Errorf("an administrator sees %v, the owner %v", got, happened)
	}
	// The log grows older than it is kept.
	exec(t, super, "update tinydev_impl.event set occurred_at = now() - interval '1 year'",
		"update tinydev_impl.head set position = (select max(position_to) from tinydev_impl.event_partition)", "select tinydev_impl.upkeep()")
	exec(t, server, fmt.Sprintf("select tinydev_impl.load_subscription(%d, '%s', 'random')", hook, id))
	place()
	maps.Copy(happened, typesRead(t, types, ann, true))

	for name, listed := range types {
		if !happened[name] {
			t.Errorf("%s never happened", name)
		}
		if read[name] != (listed.SeenBy == "readers") {
			t.Errorf("%s is seen by %s, and it is %t that a reader got it", name, listed.SeenBy, read[name])
		}
		for field, came := range listed.fields {
			if !came {
				t.Errorf("%s has %s in the catalogue, which never came", name, field)
			} else if listed.SeenBy == "readers" && !listed.shown[field] && !slices.Contains(listed.Private, field) {
				t.Errorf("a reader never got %s of %s, and it is not private", field, name)
			}
		}
	}
}

// TestEventTypesOfSQL holds the catalogue to the SQL: what looks like a type of event there is in it, and the other way round.
func TestEventTypesOfSQL(t *testing.T) {
	t.Parallel()
	files := must[[]string](t)(fs.Glob(sql.Functions, "functions/*.sql"))
	words := regexp.MustCompile(`'([a-z_]+\.[a-z_]+)'|noun \|\| '(\.[a-z_]+)'`)
	other := regexp.MustCompile(`^(tinydev|cron|pg_temp)[._]`) // names of settings and objects
	audit := regexp.MustCompile(`audit\('[^']*'`)              // names of actions
	found := map[string]bool{}
	for _, name := range files {
		if strings.HasPrefix(name, "functions/audit_") || name == "functions/event_types.sql" {
			continue // they name actions, and all of them
		}
		text := string(must[[]byte](t)(sql.Functions.ReadFile(name)))
		text, _, _ = strings.Cut(text, "\ncomment on ")
		for _, m := range words.FindAllStringSubmatch(audit.ReplaceAllString(text, ""), -1) {
			switch {
			case m[2] != "":
				found["tinydev.table"+m[2]], found["tinydev.view"+m[2]] = true, true
			case !other.MatchString(m[1]):
				found["tinydev."+m[1]] = true
			}
		}
	}
	listed := map[string]bool{}
	for _, one := range control.EventTypes() {
		listed[one.Type] = true
		if !found[one.Type] {
			t.Errorf("%s is in the catalogue, and no SQL makes it", one.Type)
		}
	}
	for name := range found {
		if !listed[name] {
			t.Errorf("%s is in the SQL and not in event_types.json", name)
		}
	}
}

// TestEventTypeExamples holds each example to its schema, with all fields that are described.
func TestEventTypeExamples(t *testing.T) {
	t.Parallel()
	for _, e := range catalogue(t) {
		e.hold(t, "the owner", e.Example, true)
		for field, shown := range e.fields {
			if !shown {
				t.Errorf("the example of %s has no %s", e.Type, field)
			}
		}
		if !strings.HasSuffix(e.When, ".") || e.SeenBy != "owner" && e.SeenBy != "readers" {
			t.Errorf("%s: when %q, seen by %q", e.Type, e.When, e.SeenBy)
		}
	}
}
