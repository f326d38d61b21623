package control_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
	"github.com/tinydevcrm/tinydevcrm/pkg/schema"
)

// place places all events, and makes the triggers that were asked for.
func place(t testing.TB, db *pgtest.Database) {
	t.Helper()
	run(t, db.Conn("tinydev_server"), "call tinydev_impl.place_all()")
}

var asynchronous = regexp.MustCompile(`^Asynchronous notification "(.*)" with payload "(.*)" received`)

// makeTrigger makes a trigger and has PostgreSQL's made.
func makeTrigger(t *testing.T, db *pgtest.Database, u *control.User, trigger control.NewTrigger) control.Trigger {
	t.Helper()
	made := must[control.Change[control.Trigger]](t)(u.CreateTrigger(context.Background(), trigger, false)).Made
	if made.State != control.TriggerPending || made.Owner != u.Role || made.Name != trigger.Name {
		t.Errorf("made %+v", made)
	}
	place(t, db)
	return made
}

// TestTriggersNotifyExactly has psql and a plain program listen to many channels: each gets the positions of the events that fit, once
// and in order, and nothing else.
func TestTriggersNotifyExactly(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann, bob, admin := context.Background(), c.As(pgtest.Ann), c.As(pgtest.Bob), c.As(pgtest.Admin)
	annConn, bobConn := db.Conn(pgtest.Ann), db.Conn(pgtest.Bob)
	run(t, annConn, "create table prices (a int)", `create table "Big ""Table""" (a int)`, "create table hidden (a int)", "grant usage on schema \"Ann\" to bob", "grant select on prices to bob")
	run(t, bobConn, "create table own (a int)")

	type event struct {
		conn                *pgx.Conn
		kind, subject, data string
	}
	at := func(conn *pgx.Conn) func(kind, subject, data string) event {
		return func(kind, subject, data string) event { return event{conn, kind, subject, data} }
	}
	a, b := at(annConn), at(bobConn)
	const prices = `"Ann".prices`
	events := []event{
		a("view.refreshed", prices, `{"rows": 0, "changed": false, "cause": "manual"}`),
		a("view.refreshed", prices, `{"rows": 7, "changed": true, "cause": "schedule"}`),
		a("view.failed", prices, `{"sqlstate": "22012", "message": "secret 42"}`),
		a("view.refreshed", `"Ann"."Big ""Table"""`, `{"rows": 7, "changed": true, "cause": "schedule"}`),
		a("table.loaded", prices, `{"rows": [7], "note": "it's \\ \"q\" $1 ☃"}`),
		a("table.load_failed", prices, `{"rows": "7"}`),
		a("table.loadxfailed", prices, `{}`),
		a("view.refreshed", `"Ann".hidden`, `{"rows": 9, "message": "secret 42"}`),
		b("view.refreshed", "bob.own", `{"rows": 7, "changed": true}`),
		b("table.loaded", "bob.prices", `{"rows": 1e3, "a": {"b": {"c": null}}}`),
	}
	sure := func(who *control.User, t control.NewTrigger, fits ...int) (*control.User, control.NewTrigger, []int) {
		return who, t, fits
	}
	type wanted struct {
		trigger control.Trigger
		fits    []int
	}
	var all []wanted
	add := func(who *control.User, trigger control.NewTrigger, fits []int) {
		t.Helper()
		trigger.Name = fmt.Sprintf("t%d", len(all))
		made := must[control.Change[control.Trigger]](t)(who.CreateTrigger(ctx, trigger, false)).Made
		all = append(all, wanted{made, fits})
	}
	type spec = control.NewTrigger
	add(sure(ann, spec{}, 0, 1, 2, 3, 4, 5, 6, 7))
	add(sure(ann, spec{View: "*", Types: []string{"view.*"}}, 0, 1, 2, 3, 7))
	add(sure(ann, spec{View: "prices"}, 0, 1, 2, 4, 5, 6))
	add(sure(ann, spec{View: "prices", Types: []string{"tinydev.view.refreshed", "table.loaded"}}, 0, 1, 4))
	add(sure(ann, spec{Types: []string{"table.load_failed"}}, 5)) // _ is no wildcard
	add(sure(ann, spec{Types: []string{"*.load*"}}, 4, 5, 6))
	add(sure(ann, spec{View: "prices", Condition: "$.rows > 0"}, 1))
	add(sure(ann, spec{Condition: "$.rows > 0 && $.changed == true"}, 1, 3))
	add(sure(ann, spec{Condition: `$.cause == "manual" || $.sqlstate starts with "22"`}, 0, 2))
	add(sure(ann, spec{Condition: "$.changed"}, 1, 3))
	add(sure(ann, spec{Condition: `$.note == "it's \\ \"q\" $1 ☃"`}, 4))
	add(sure(ann, spec{Condition: `$.message == "secret 42"`}, 2, 7))
	add(sure(ann, spec{View: `"Big ""Table"""`, Channel: `Chan "nel" 'x' $$ ☃;--`}, 3))
	add(sure(bob, spec{}, 8, 9))
	add(sure(bob, spec{View: prices}, 0, 1, 2, 4, 5, 6))
	add(sure(bob, spec{View: prices, Types: []string{"view.failed"}, Condition: `$.sqlstate == "22012"`}, 2))
	add(sure(bob, spec{View: prices, Condition: `$.message == "secret 42"`}))       // what the message says is not his to know
	add(sure(bob, spec{View: prices, Condition: `$.message starts with "secret"`})) // nor how it begins
	add(sure(bob, spec{Condition: "$.rows == 1000"}, 9))
	add(sure(bob, spec{Condition: "$.a.b.c == null"}, 9))
	add(sure(admin, spec{}))
	add(sure(admin, spec{View: `"Ann".hidden`}, 7))
	add(sure(admin, spec{View: `"Ann".hidden`, Condition: `$.message == "secret 42"`}, 7))
	add(sure(ann, spec{View: "prices", Condition: "$.rows > 0", Channel: "shared"}, 1))
	add(sure(bob, spec{View: prices, Condition: "$.rows == 0", Channel: "shared"}, 0)) // a channel is nobody's
	if all[0].trigger.Channel != "Ann_t0" || all[0].trigger.Listen != `listen "Ann_t0"` || all[13].trigger.Listen != "listen bob_t13" {
		t.Errorf("channels %+v %+v", all[0].trigger, all[13].trigger)
	}
	place(t, db)
	var listen []string
	for _, w := range all {
		if !slices.Contains(listen, w.trigger.Listen) {
			listen = append(listen, w.trigger.Listen)
		}
	}
	psql, program := psqlListens(t, db, pgtest.Eve, listen...), pgxListens(t, db, pgtest.Ann, listen...)

	head := pgtest.Value[int64](t, db.Superuser(), "select position from tinydev_impl.head")
	for _, e := range events {
		run(t, e.conn, fmt.Sprintf("select tinydev.record_event(%s, coalesce(to_regclass(%[2]s)::oid, 0), %[2]s, %s)", literal(e.kind), literal(e.subject), literal(e.data)))
	}
	place(t, db)
	if n := pgtest.Value[int64](t, db.Superuser(), "select position from tinydev_impl.head"); n != head+int64(len(events)) {
		t.Fatalf("the head went from %d to %d", head, n)
	}
	var want []string
	for i := range events {
		for _, w := range all {
			if line := fmt.Sprintf("%s %d", w.trigger.Channel, head+1+int64(i)); slices.Contains(w.fits, i) && !slices.Contains(want, line) {
				want = append(want, line)
			}
		}
	}
	// What comes after tells that all before it has come.
	last := makeTrigger(t, db, ann, control.NewTrigger{Name: "last", Types: []string{"test.over"}, Channel: "shared"})
	run(t, annConn, `select tinydev.record_event('test.over', null, '"Ann".over')`)
	place(t, db)
	over := fmt.Sprintf("shared %d", head+1+int64(len(events)))
	want = append(want, fmt.Sprintf("Ann_t0 %d", head+1+int64(len(events))), over)
	pgtest.Eventually(t, 20*time.Second, "all has come", func() bool {
		psql.read()
		return slices.Contains(psql.got, over) && slices.Contains(program.all(), over)
	})
	for who, got := range map[string][]string{"psql": psql.got, "pgx": program.all()} {
		if a, b := sorted(got), sorted(want); !slices.Equal(a, b) {
			t.Errorf("%s got\n  %s\nwant\n  %s", who, strings.Join(a, "\n  "), strings.Join(b, "\n  "))
		}
		if !slices.IsSortedFunc(got, func(a, b string) int { return position(t, a) - position(t, b) }) {
			t.Errorf("%s got them out of order: %v", who, got)
		}
	}

	must[control.Change[control.DroppedTrigger]](t)(ann.DropTrigger(ctx, "last", false))
	run(t, annConn, `select tinydev.record_event('test.over', null, '"Ann".over')`)
	place(t, db)
	if pgtest.Value[bool](t, db.Superuser(), "select exists (select from pg_trigger where tgname = $1)", last.TriggerName) {
		t.Error("a dropped trigger is still there")
	}
	pgtest.Eventually(t, 20*time.Second, "the event after the drop has come", func() bool {
		return slices.Contains(program.all(), fmt.Sprintf("Ann_t0 %d", head+2+int64(len(events))))
	})
	if got := program.all(); slices.Contains(got, fmt.Sprintf("shared %d", head+2+int64(len(events)))) {
		t.Errorf("a dropped trigger notifies: %v", got)
	}
}

// position is the one in a line of a listener.
func position(t *testing.T, line string) int {
	t.Helper()
	n, err := strconv.Atoi(line[strings.LastIndex(line, " ")+1:])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}

// literal writes a text as SQL does.
func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// TestTriggerSQLIsShown holds that a dry run makes nothing, and that what it shows is what is made.
func TestTriggerSQLIsShown(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann, bob, super := context.Background(), c.As(pgtest.Ann), c.As(pgtest.Bob), db.Superuser()
	run(t, db.Conn(pgtest.Ann), `create table "It's \ a ""table""" (a int)`, `create table prices (a int)`, `grant usage on schema "Ann" to bob`, "grant select on prices to bob")
	const made = `select coalesce(string_agg(pg_get_triggerdef(t.oid) || obj_description(t.oid, 'pg_trigger'), E'\n'), '') from pg_trigger t where t.tgrelid = 'tinydev_impl.event'::regclass and t.tgfoid = 'tinydev_impl.notify_channel()'::regprocedure`
	plan := must[control.Change[control.Trigger]](t)(ann.CreateTrigger(ctx, control.NewTrigger{Name: "prices", View: "prices", Types: []string{"view.*"}, Condition: "$.rows>0"}, true))
	if want := []string{`create trigger "Ann.prices" after insert on tinydev_impl.event for each row
  when (new.workspace = 'Ann'
    and new.subject = '"Ann".prices'
    and new.type like any (array['view.%'])
    and pg_catalog.jsonb_path_match(new.data, 'strict ($."rows" > 0)', '{}', true) is true)
  execute function tinydev_impl.notify_channel('Ann_prices');`,
		`comment on trigger "Ann.prices" on tinydev_impl.event is E'{"name": "prices", "view": "\\"Ann\\".prices", "owner": "Ann", "types": ["view.*"], "channel": "Ann_prices", "condition": "strict ($.\\"rows\\" > 0)"}';`,
	}; !slices.Equal(plan.SQL, want) {
		t.Errorf("dry run gives\n%s\nwant\n%s", strings.Join(plan.SQL, "\n"), strings.Join(want, "\n"))
	}
	for i, each := range []struct {
		who     *control.User
		trigger control.NewTrigger
	}{
		{ann, control.NewTrigger{}},
		{ann, control.NewTrigger{View: "prices", Types: []string{"view.*", "table.loaded"}, Condition: "$.rows > 0"}},
		{ann, control.NewTrigger{View: `"It's \ a ""table"""`, Condition: `$."it's \\ \"" == "'); drop table x; --" || $.a == "$$"`, Channel: `'); drop table x; -- \ ☃ "`}},
		{bob, control.NewTrigger{View: `"Ann".prices`, Condition: "$.rows > 0"}},
		{bob, control.NewTrigger{View: `"Ann".prices`}},
		{c.As(pgtest.Admin), control.NewTrigger{Name: strings.Repeat("x", 63), View: `"Ann".prices`, Channel: strings.Repeat("☃", 21)}},
	} {
		if each.trigger.Name == "" {
			each.trigger.Name = fmt.Sprintf("t%d", i)
		}
		sql := must[control.Change[control.Trigger]](t)(each.who.CreateTrigger(ctx, each.trigger, true)).SQL
		place(t, db)
		if got := pgtest.Value[string](t, super, made); got != "" {
			t.Fatalf("a dry run made %s", got)
		}
		trigger := makeTrigger(t, db, each.who, each.trigger)
		got := pgtest.Value[string](t, super, made)
		if !strings.Contains(got, pgtest.Value[string](t, super, "select format('CREATE TRIGGER %I AFTER INSERT ON tinydev_impl.event FOR EACH ROW WHEN', $1::text)", trigger.TriggerName)) || len(trigger.TriggerName) > 63 {
			t.Errorf("made %s as %q", got, trigger.TriggerName)
		}
		list := must[[]control.Trigger](t)(each.who.Triggers(ctx, "", 10))
		if len(list) != 1 || list[0].State != control.TriggerActive || list[0].Name != each.trigger.Name || list[0].Channel != trigger.Channel {
			t.Errorf("listed %+v", list)
		}
		drop := must[control.Change[control.DroppedTrigger]](t)(each.who.DropTrigger(ctx, each.trigger.Name, true)).SQL
		run(t, super, "set role tinydev_owner", drop[0])
		run(t, super, sql...)
		run(t, super, "reset role")
		if shown := pgtest.Value[string](t, super, made); shown != got {
			t.Errorf("by the SQL that is shown\n%s\nis made, else\n%s", shown, got)
		}
		if dropped := must[control.Change[control.DroppedTrigger]](t)(each.who.DropTrigger(ctx, each.trigger.Name, false)).Made; dropped != (control.DroppedTrigger{Dropped: each.trigger.Name, Owner: each.who.Role}) {
			t.Errorf("dropped %+v", dropped)
		}
		place(t, db)
	}
	if n := pgtest.Value[int](t, super, "select count(*)::int from tinydev_impl.request"); n != 0 {
		t.Errorf("%d requests are left", n)
	}
	if got := pgtest.Value[string](t, super, made); got != "" {
		t.Errorf("left is %s", got)
	}
}

// TestTriggersAreRefused tries what is no trigger, by the verb and past it.
func TestTriggersAreRefused(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann, super := context.Background(), c.As(pgtest.Ann), db.Superuser()
	run(t, db.Conn(pgtest.Ann), "create table prices (a int)", "create table columns (a int, b int)", `grant usage on schema "Ann" to eve`, "grant select (a) on columns to eve")
	good := control.NewTrigger{Name: "good", View: "prices", Condition: "$.rows > 0"}
	with := func(change func(*control.NewTrigger)) control.NewTrigger {
		trigger := good
		change(&trigger)
		return trigger
	}
	type attempt struct {
		trigger     control.NewTrigger
		code, field string
	}
	attempts := []attempt{
		{with(func(n *control.NewTrigger) { n.View = "nothing" }), "relation_not_found", ""},
		{with(func(n *control.NewTrigger) { n.View = "nobody.nothing" }), "relation_not_found", ""},
		{with(func(n *control.NewTrigger) { n.View = "tinydev_impl.token" }), "not_readable", "view"},
		{with(func(n *control.NewTrigger) { n.View = "a.b.c" }), "name_invalid", ""},
		{with(func(n *control.NewTrigger) { n.View = "prices'; drop table prices; --" }), "name_invalid", ""},
	}
	for _, name := range []string{"", " ", "Good", "1a", "a-b", "a.b", `a"b`, "a'b", "a b", "ü", "a\nb", strings.Repeat("a", 64), `x" on tinydev_impl.token for each row execute function tinydev_impl.remove(); --`} {
		attempts = append(attempts, attempt{with(func(n *control.NewTrigger) { n.Name = name }), "trigger_invalid", "name"})
	}
	for _, channel := range []string{"tinydev", "tinydev_inbox", "TinyDev", "tinydev☃", "a\nb", "\x01", "a\x7f", strings.Repeat("a", 64), strings.Repeat("☃", 22)} {
		attempts = append(attempts, attempt{with(func(n *control.NewTrigger) { n.Channel = channel }), "trigger_invalid", "channel"})
	}
	many := make([]string, 21)
	for i := range many {
		many[i] = "a." + strings.Repeat("b", i+1)
	}
	for _, types := range [][]string{{""}, {"view.%"}, {"View.refreshed"}, {"view.refreshed", "'; select 1"}, {strings.Repeat("a", 101)}, many} {
		attempts = append(attempts, attempt{with(func(n *control.NewTrigger) { n.Types = types }), "trigger_invalid", "types"})
	}
	for _, condition := range []string{
		")) execute function tinydev_impl.forget_request(); --", "true) execute function pg_sleep(9); --", "'", `"`, "$.a ? (@ > 0)", "exists($.a ? (@ > 0))", "$.a > 0; select 1", "$.rows > 0 or true", "rows > 0",
		"$.a == $x", `$.a starts with $"x"`, "$.a.datetime() < $.b.datetime()", `$.a.datetime("nonsense") == 1`, `$.a like_regex "^(a+)+\\1$"`, `$.a like_regex "("`, "$.**.a == 1", "$[0,0][0,0][0,0] == 1", "$.a[0 to last] == 1",
		"$.a[*] == $.b[*]", "$.* == 1", "$.a[$.b] == 1", "$.a[-1] == 1", "$.a.size() > 1", "$.a.double() > 1", "$.a + 1 > 2", "-$.a > 2", "$.a * $.a > 1", "!($.a == 1)", "($.a > 1) is unknown", "@ > 1", "last > 1",
		"$.a == 1 && $.b ? (@ == 1) == 2", "((($.a == 1)))[0] == true", "(1)[0,0] == 1", "$.a == 1e2000", "\\u0000", `$."\u0000" == 1`, "$.a == 1" + strings.Repeat(" && $.a == 1", 50), "$" + strings.Repeat("x", 3000),
	} {
		attempts = append(attempts, attempt{with(func(n *control.NewTrigger) { n.Condition = condition }), "condition_invalid", "condition"})
	}
	for _, a := range attempts {
		for _, dryRun := range []bool{true, false} {
			_, err := ann.CreateTrigger(ctx, a.trigger, dryRun)
			if e := fault.As(err); e == nil || e.Code != a.code || a.field != "" && e.Fields["field"] != a.field {
				t.Errorf("%+v: %v %+v, want %s of %q", a.trigger, err, e, a.code, a.field)
			}
		}
	}
	for _, nul := range []control.NewTrigger{{Name: "a\x00"}, {Name: "a", Channel: "a\x00"}, {Name: "a", Condition: "$.a == \"\x00\""}, {Name: "a", View: "\x00"}, {Name: "a", Types: []string{"\x00"}}} {
		if _, err := ann.CreateTrigger(ctx, nul, false); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%q: %v", nul, err)
		}
	}
	_, err := c.As(pgtest.Eve).CreateTrigger(ctx, control.NewTrigger{Name: "t", View: `"Ann".prices`}, false)
	wantFault(t, err, fault.Forbidden, "not_readable")
	// The event's row is read with the right to the whole relation, as in tinydev.event.
	_, err = c.As(pgtest.Eve).CreateTrigger(ctx, control.NewTrigger{Name: "t", View: `"Ann".columns`}, false)
	wantFault(t, err, fault.Forbidden, "not_readable")
	_, err = ann.DropTrigger(ctx, "good", false)
	wantFault(t, err, fault.NotFound, "trigger_not_found")

	// Past the verb: what it writes to takes nothing else.
	eve := db.Conn(pgtest.Eve)
	for _, arguments := range []string{
		`{"name": "t", "view": "\"Ann\".prices"}`, `{"name": "t", "condition": "true) execute function pg_sleep(9); --"}`, `{"name": "t", "channel": "tinydev"}`, `{"name": "t", "types": "x"}`, `{"name": ["t"]}`, `{}`, `[]`, `null`,
		`{"name": "t", "owner": "Ann", "state": "pending", "definition": {}, "types": [{"a": 1}]}`,
	} {
		if _, err := eve.Exec(ctx, "insert into tinydev_lib.own_request (role_name, verb, arguments) values ('eve', 'create_trigger', $1)", arguments); err == nil {
			t.Errorf("made of %s", arguments)
		}
	}
	for _, sql := range []string{
		`insert into tinydev_lib.own_request (role_name, verb, arguments) values ('Ann', 'create_trigger', '{"name": "t"}')`,
		`insert into tinydev_lib.own_request (role_name, verb, arguments, answer) values ('eve', 'create_trigger', '{"name": "t"}', '{"state": "pending", "trigger_name": "t", "definition": {"owner": "Ann"}}')`,
		`update tinydev_lib.own_request set answer = '{}'`, "delete from tinydev_lib.own_request", "select tinydev_impl.make_triggers()", `select tinydev_impl.put_trigger('Ann', '{"name": "t"}')`,
		"create trigger t after insert on tinydev_impl.event for each row execute function tinydev_impl.notify_channel('x')", `comment on trigger t90_notify on tinydev_impl.event is 'x'`,
		"create table own (a int); create trigger t after insert on own for each row execute function tinydev_impl.notify_channel('tinydev')",
	} {
		if _, err := eve.Exec(ctx, sql); err == nil {
			t.Errorf("eve may: %s", sql)
		}
	}
	place(t, db)
	if n := pgtest.Value[int](t, super, "select count(*)::int from tinydev_impl.made_trigger"); n != 0 {
		t.Errorf("%d triggers were made", n)
	}
	if n := pgtest.Value[int](t, super, "select count(*)::int from pg_trigger where tgrelid = 'tinydev_impl.event'::regclass and tgname <> 't90_notify'"); n != 0 {
		t.Errorf("%d triggers are on the log", n)
	}
}

// TestConditionsRaiseNothing runs what passes for a condition over data that is made to trip it, as each event that is placed does.
func TestConditionsRaiseNothing(t *testing.T) {
	t.Parallel()
	_, db := open(t)
	super := db.Superuser()
	conditions := []string{
		"$.rows > 0", "$.a.b.c == null", "$.a[0].b >= 1 && $.b < 2 || $.c <= 3", `$.a == "x"`, `$.a starts with "x"`, `"a" starts with "a"`, "$.a != $.b", "1 == 1", "$.a", "$", "true", "$.a == -1.5e3", "strict $.a == 1", "lax $.a == 1", "changed", "not empty",
		`$."$x" == "\u2028 \\ ' \""`, `$."a b"."@" > $."c"`, "(($.a == 1) && ($.b == 2)) || ($.c == 3)", "$[0] == 1", "$.a[99999999999999999999] == 1", "$.a == 1" + strings.Repeat(" && $.a == 1", 25),
	}
	data := []string{
		"{}", "[]", "null", "1", `"x"`, "true", `{"a": 1}`, `{"a": {"b": {"c": null}}}`, `{"a": [1, 2, 3], "b": [3, 2, 1]}`, `{"rows": "many", "a": true, "b": "x", "c": []}`, `{"a": "2020-01-01", "b": "2020-01-01 00:00:00+00"}`,
		`{"a": 1e100000, "b": -1e-1000}`, "[[[[1]]]]", `{"a": "` + strings.Repeat("x", 200_000) + `"}`, `{"a": [` + strings.Repeat("1,", 100_000) + `1], "b": [` + strings.Repeat("2,", 100_000) + `2]}`,
		strings.Repeat("[", 3000) + strings.Repeat("]", 3000), `{"a": "\u2028 \\ ☃"}`,
	}
	for _, condition := range conditions {
		path := pgtest.Value[string](t, super, "select tinydev_lib.plain_condition($1)", condition)
		for _, d := range data {
			took := pgtest.Value[float64](t, super, `
select extract(epoch from clock_timestamp() - c.began)::float8
  from (select clock_timestamp() as began, $2::jsonb as data offset 0) c where (jsonb_path_match(c.data, $1::text::jsonpath, '{}', true) is true) is not null`, path, d)
			if took > 0.1 {
				t.Errorf("%s over %.50s took %v s", path, d, took)
			}
		}
	}
}

// TestTriggersOfOthersViews follows what is shared, taken back, replaced, dropped and made anew: a trigger is as good as its owner's right
// to see the event at that moment.
func TestTriggersOfOthersViews(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann, bob, admin, super := context.Background(), c.As(pgtest.Ann), c.As(pgtest.Bob), c.As(pgtest.Admin), db.Superuser()
	const view = `"Ann".prices`
	must[control.Change[control.Relation]](t)(ann.CreateView(ctx, "prices", "select 1 as a", false))
	must[control.Change[control.Shared]](t)(ann.Share(ctx, "prices", "bob", "select", false))
	h := hears(t, db, "bob_t", "admin_t", "Ann_t", "Ann_own")
	for _, who := range []*control.User{bob, admin, ann} {
		makeTrigger(t, db, who, control.NewTrigger{Name: "t", View: view, Types: []string{"view.refreshed", "view.replaced", "view.dropped", "test.*"}})
	}
	refresh := func() {
		t.Helper()
		must[control.Change[control.Refreshed]](t)(ann.Refresh(ctx, "prices", false))
	}
	h.want("sharing")
	refresh()
	h.want("a refresh", "Ann_t", "admin_t", "bob_t")
	must[control.Change[control.Unshared]](t)(ann.Unshare(ctx, "prices", "bob", "all", false))
	refresh()
	h.want("what is not shared any more", "Ann_t", "admin_t")
	must[control.Change[control.Shared]](t)(ann.Share(ctx, "prices", "bob", "select", false))
	must[control.Change[control.Relation]](t)(ann.ReplaceView(ctx, "prices", "select 2 as a", false))
	h.want("a view that is replaced", "Ann_t", "admin_t", "bob_t")
	refresh()
	h.want("a replaced view", "Ann_t", "admin_t", "bob_t")
	must[control.Change[control.Dropped]](t)(ann.DropView(ctx, "prices", false))
	h.want("a drop", "Ann_t", "admin_t")
	must[control.Change[control.Relation]](t)(ann.CreateView(ctx, "prices", "select 3 as a", false))
	refresh()
	h.want("a view made anew, which is not shared", "Ann_t", "admin_t")

	// Who is no administrator any more sees what others do.
	run(t, super, "revoke tinydev_admin from admin")
	refresh()
	h.want("a former administrator", "Ann_t")
	run(t, super, "grant tinydev_admin to admin")

	// bob's is pruned: the view is there, and he may not read it. The owner's own stays, whatever is there.
	must[control.Change[control.Dropped]](t)(ann.DropView(ctx, "prices", false))
	upkeep := func() []string {
		t.Helper()
		run(t, db.Conn("tinydev_server"), "select tinydev_impl.upkeep()")
		place(t, db)
		return pgtest.Value[[]string](t, super, "select coalesce(array_agg(trigger_name order by trigger_name), '{}') from tinydev_impl.made_trigger where name <> 'marks'")
	}
	if left := upkeep(); !slices.Equal(left, []string{"Ann.t", "admin.t", "bob.t"}) {
		t.Errorf("while there is no view upkeep leaves %v", left)
	}
	must[control.Change[control.Relation]](t)(ann.CreateView(ctx, "prices", "select 4 as a", false))
	if left := upkeep(); !slices.Equal(left, []string{"Ann.t", "admin.t"}) {
		t.Errorf("upkeep leaves %v", left)
	}
	if list := must[[]control.Trigger](t)(bob.Triggers(ctx, "", 10)); len(list) != 0 {
		t.Errorf("bob has %+v", list)
	}
	if why := pgtest.Value[string](t, super, "select actor || ' ' || subject || ' ' || detail::text from tinydev_impl.audit where action = 'drop trigger'"); why != `tinydev_server bob.t {"reason": "not_readable"}` {
		t.Errorf("the audit says %s", why)
	}
}

// TestTriggersAreTheirOwners holds what users see of others' triggers, and may do with them.
func TestTriggersAreTheirOwners(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann, bob, admin := context.Background(), c.As(pgtest.Ann), c.As(pgtest.Bob), c.As(pgtest.Admin)
	for _, name := range []string{"b", "a", "c"} {
		makeTrigger(t, db, ann, control.NewTrigger{Name: name})
	}
	makeTrigger(t, db, bob, control.NewTrigger{Name: "a"})
	keys := func(list []control.Trigger) (keys []string) {
		for _, each := range list {
			keys = append(keys, each.Key())
		}
		return keys
	}
	for _, each := range []struct {
		who  *control.User
		want []string
	}{{ann, []string{"Ann.a", "Ann.b", "Ann.c"}}, {bob, []string{"bob.a"}}, {c.As(pgtest.Eve), nil}, {admin, []string{"Ann.a", "Ann.b", "Ann.c", "bob.a"}}} {
		var got []string
		for after := ""; ; {
			page := must[[]control.Trigger](t)(each.who.Triggers(ctx, after, 2))
			got = append(got, keys(page)...)
			if len(page) < 2 {
				break
			}
			after = page[1].Key()
		}
		if !slices.Equal(got, each.want) {
			t.Errorf("%s sees %v, want %v", each.who.Role, got, each.want)
		}
	}
	for _, name := range []string{"b", "Ann.b", `"Ann".b`, "", ".", "Ann.", "nobody.a", "b\x00"} {
		if _, err := bob.DropTrigger(ctx, name, false); err == nil || fault.CodeOf(err) != "trigger_not_found" && fault.KindOf(err) != fault.Invalid {
			t.Errorf("bob drops %q: %v", name, err)
		}
	}
	must[control.Change[control.DroppedTrigger]](t)(bob.DropTrigger(ctx, "bob.a", false))
	must[control.Change[control.DroppedTrigger]](t)(admin.DropTrigger(ctx, "Ann.b", false))
	must[control.Change[control.DroppedTrigger]](t)(admin.DropTrigger(ctx, `"Ann".c`, false))
	_, err := admin.DropTrigger(ctx, "Ann.c", false)
	wantFault(t, err, fault.NotFound, "trigger_not_found")
	// A name is free at once, also while the one before is still on the log.
	must[control.Change[control.Trigger]](t)(ann.CreateTrigger(ctx, control.NewTrigger{Name: "b", Channel: "second"}, false))
	_, err = ann.CreateTrigger(ctx, control.NewTrigger{Name: "b"}, false)
	wantFault(t, err, fault.Conflict, "trigger_name_taken")
	place(t, db)
	if list := must[[]control.Trigger](t)(admin.Triggers(ctx, "", 10)); !slices.Equal(keys(list), []string{"Ann.a", "Ann.b"}) || list[1].Channel != "second" || list[1].State != control.TriggerActive {
		t.Errorf("left are %+v", list)
	}
	// What is taken back before it is made never is.
	must[control.Change[control.Trigger]](t)(ann.CreateTrigger(ctx, control.NewTrigger{Name: "never"}, false))
	must[control.Change[control.DroppedTrigger]](t)(ann.DropTrigger(ctx, "never", false))
	place(t, db)
	got := pgtest.Value[[]string](t, db.Superuser(), "select array_agg(concat_ws(' ', actor, action, subject) order by audit_id) from tinydev_impl.audit where action ~ 'trigger'")
	if want := []string{"Ann create trigger \"Ann\".b", "Ann create trigger \"Ann\".a", "Ann create trigger \"Ann\".c", "bob create trigger bob.a", "bob drop trigger bob.a", "admin drop trigger \"Ann\".b", "admin drop trigger \"Ann\".c",
		"Ann create trigger \"Ann\".b", "Ann create trigger \"Ann\".never", "Ann drop trigger \"Ann\".never"}; !slices.Equal(got, want) {
		t.Errorf("audited:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// TestTriggersOfRolesThatAreGone drops users who have triggers, by the verb and by plain SQL: the log goes on, and nothing of theirs stays.
func TestTriggersOfRolesThatAreGone(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, admin, super := context.Background(), c.As(pgtest.Admin), db.Superuser()
	run(t, db.Conn(pgtest.Ann), "select tinydev.create_view('v', 'select 1 as a')", "select tinydev.share('v', 'everyone')")
	h := hears(t, db)
	for _, how := range []string{"verb", "plain SQL"} {
		name := makeUser(t, c, control.Limits{})
		makeTrigger(t, db, c.As(name), control.NewTrigger{Name: "own"})
		makeTrigger(t, db, c.As(name), control.NewTrigger{Name: "others", View: `"Ann".v`, Condition: "$.rows == 1"})
		must[control.Change[control.Trigger]](t)(c.As(name).CreateTrigger(ctx, control.NewTrigger{Name: "pending"}, false))
		count := func() int {
			return pgtest.Value[int](t, super, "select count(*)::int from (select trigger_name from tinydev_impl.made_trigger where owner = $1 union all select tgname from pg_trigger where tgname like $1 || '.%' union all select 'request' from tinydev_impl.request) x", name)
		}
		if how == "verb" {
			must[control.Change[control.DroppedUser]](t)(admin.DropUser(ctx, name, "drop", "", false))
			h.want("after " + name + " is dropped")
			if n := count(); n != 0 {
				t.Errorf("%d things are left of a user who was dropped", n)
			}
			continue
		}
		run(t, super, "drop owned by "+name, "drop role "+name)
		run(t, db.Conn(pgtest.Ann), "call tinydev.refresh('v')")
		h.want("after " + name + " is gone")
		if n := pgtest.Value[int](t, super, "select count(*)::int from tinydev_impl.made_trigger where owner = $1", name); n != 2 {
			t.Errorf("%d triggers are there before upkeep, want 2: the one that was not made is none any more", n)
		}
		if !pgtest.Value[bool](t, super, "select tinydev_impl.is_remembered($1)", name) {
			t.Error("the name is forgotten, and whoever gets it gets the triggers")
		}
		run(t, db.Conn("tinydev_server"), "select tinydev_impl.upkeep()")
		h.want("upkeep")
		if n := count(); n != 0 {
			t.Errorf("%d things are left of a role that is gone", n)
		}
	}
}

// TestTriggersAreCapped holds the number of a role's triggers, whatever its sessions do at the same time.
func TestTriggersAreCapped(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann, super := context.Background(), c.As(pgtest.Ann), db.Superuser()
	for i := range 50 {
		must[control.Change[control.Trigger]](t)(ann.CreateTrigger(ctx, control.NewTrigger{Name: fmt.Sprintf("t%d", i), Types: []string{"test.happened"}}, false))
	}
	_, err := ann.CreateTrigger(ctx, control.NewTrigger{Name: "more"}, true)
	wantFault(t, err, fault.Conflict, "triggers_too_many")
	server := db.Conn("tinydev_server")
	for range 3 { // twenty at a time
		run(t, server, "select tinydev_impl.place()")
	}
	_, err = ann.CreateTrigger(ctx, control.NewTrigger{Name: "more"}, false)
	wantFault(t, err, fault.Conflict, "triggers_too_many")
	must[control.Change[control.Trigger]](t)(c.As(pgtest.Bob).CreateTrigger(ctx, control.NewTrigger{Name: "more"}, false))
	must[control.Change[control.DroppedTrigger]](t)(ann.DropTrigger(ctx, "t0", false))

	// Two sessions that do not see each other's, of the last one and of one name.
	one, two := db.Conn(pgtest.Ann), db.Conn(pgtest.Ann)
	run(t, one, "begin", "select tinydev.create_trigger('last')")
	run(t, two, "begin", "select tinydev.create_trigger('last', channel => 'other')", "commit")
	run(t, one, "commit")
	place(t, db)
	got := pgtest.Value[[]string](t, db.Conn(pgtest.Ann), "select array_agg(concat_ws(' ', name, state, error) order by 1) from tinydev.trigger where name = 'last'")
	if want := []string{"last active", "last failed there is a trigger of that name"}; !slices.Equal(got, want) {
		t.Errorf("two of one name are %v, want %v", got, want)
	}
	must[control.Change[control.DroppedTrigger]](t)(ann.DropTrigger(ctx, "last", false)) // the failed one first
	must[control.Change[control.DroppedTrigger]](t)(ann.DropTrigger(ctx, "t1", false))
	run(t, one, "begin", "select tinydev.create_trigger('x1')")
	run(t, two, "begin", "select tinydev.create_trigger('x2')", "commit")
	run(t, one, "commit")
	place(t, db)
	if n := pgtest.Value[int](t, super, "select count(*)::int from pg_trigger where tgrelid = 'tinydev_impl.event'::regclass and tgname like 'Ann.%'"); n != 50 {
		t.Errorf("ann has %d triggers", n)
	}
	if n := pgtest.Value[int](t, db.Conn(pgtest.Ann), "select count(*)::int from tinydev.trigger where state = 'failed' and error ~ '50'"); n != 1 {
		t.Errorf("%d triggers failed for their number", n)
	}
}

// TestTriggersHeldOpen has a user keep transactions open that make and drop triggers, and that read the log: others' events are placed, and
// others' triggers made and silenced.
func TestTriggersHeldOpen(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann, super := context.Background(), c.As(pgtest.Ann), db.Superuser()
	makeTrigger(t, db, c.As(pgtest.Eve), control.NewTrigger{Name: "old"})
	makeTrigger(t, db, ann, control.NewTrigger{Name: "old"})
	h := hears(t, db, "Ann_old", "Ann_new")
	place(t, db)
	eve, reader := db.Conn(pgtest.Eve), db.Conn(pgtest.Eve)
	run(t, eve, "begin", "select tinydev.create_trigger('held')", "select tinydev.drop_trigger('old')", "select tinydev.create_trigger('old', condition => '$.rows > 0')", "select * from tinydev.trigger")
	run(t, reader, "begin isolation level serializable", "select * from tinydev.event", "select * from tinydev.trigger", "select * from tinydev.read_events()")

	patient, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	must[control.Change[control.Trigger]](t)(ann.CreateTrigger(patient, control.NewTrigger{Name: "new", Types: []string{"test.happened"}}, false))
	server := db.Conn("tinydev_server")
	run(t, server, "set statement_timeout = '5s'", "select tinydev_impl.place()")
	if state := pgtest.Value[string](t, db.Conn(pgtest.Ann), "select state from tinydev.trigger where name = 'new'"); state != control.TriggerActive {
		t.Errorf("while the log is read and another trigger is asked for, one is %s", state)
	}
	record := fmt.Sprintf("select tinydev.record_event('test.happened', null, %s)", literal(`"Ann".x`))
	run(t, db.Conn(pgtest.Ann), record)
	h.want("an event", "Ann_new", "Ann_old", "Ann_old") // the mark too is in Ann's workspace

	// The reader keeps the trigger from being removed; it is silent all the same, and the log is placed.
	must[control.Change[control.DroppedTrigger]](t)(ann.DropTrigger(patient, "old", false))
	run(t, db.Conn(pgtest.Ann), record)
	h.want("an event after the drop", "Ann_new")
	onLog := func() bool {
		return pgtest.Value[bool](t, super, "select exists (select from pg_trigger where tgname = 'Ann.old')")
	}
	if !onLog() || len(must[[]control.Trigger](t)(ann.Triggers(ctx, "", 10))) != 2 {
		t.Error("the trigger is gone from under a reader, or still listed")
	}
	// Nor does the wait hold up readers or the placing for longer than a blink.
	began := time.Now()
	run(t, super, "update tinydev_impl.request set answer = answer - 'tried_at'")
	run(t, server, "select tinydev_impl.place()")
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("placing waited %v for a reader", took)
	}
	must[control.Change[control.Trigger]](t)(ann.CreateTrigger(patient, control.NewTrigger{Name: "old", Types: []string{"test.happened"}, Channel: "Ann_new"}, false))
	run(t, reader, "rollback")
	run(t, super, "update tinydev_impl.request set answer = answer - 'tried_at'")
	place(t, db)
	run(t, super, "update tinydev_impl.request set answer = answer - 'tried_at'")
	place(t, db)
	if list := must[[]control.Trigger](t)(ann.Triggers(ctx, "", 10)); len(list) != 3 || list[2].State != control.TriggerActive || list[2].Channel != "Ann_new" {
		t.Errorf("once the reader has ended there are %+v", list)
	}
	run(t, eve, "rollback")
	if list := must[[]control.Trigger](t)(c.As(pgtest.Eve).Triggers(ctx, "", 10)); len(list) != 1 || list[0].Condition != nil {
		t.Errorf("eve, who took all back, has %+v", list)
	}
}

// TestTriggersWhileEventsFlow makes and drops triggers while events are written and placed: none is lost, each trigger notifies for all that
// come after it, and nobody waits for long.
func TestTriggersWhileEventsFlow(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann := context.Background(), c.As(pgtest.Ann)
	flowing, stop := context.WithCancel(ctx)
	var work sync.WaitGroup
	var longest [2]time.Duration
	var written int64
	loop := func(conn *pgx.Conn, sql string, longest *time.Duration, each func()) {
		work.Go(func() {
			for flowing.Err() == nil {
				began := time.Now()
				if _, err := conn.Exec(ctx, sql); err != nil {
					t.Errorf("%s: %v", sql, err)
					return
				}
				*longest = max(*longest, time.Since(began))
				each()
			}
		})
	}
	loop(db.Conn(pgtest.Ann), fmt.Sprintf("select tinydev.record_event('test.happened', null, %s)", literal(`"Ann".x`)), &longest[0], func() { written++ })
	loop(db.Conn("tinydev_server"), "select tinydev_impl.place()", &longest[1], func() {})
	loop(db.Conn("tinydev_server"), "select tinydev_impl.place()", new(time.Duration), func() {}) // a second server

	const kept = 10
	listener := pgxListens(t, db, pgtest.Ann, func() (listen []string) {
		for i := range kept {
			listen = append(listen, fmt.Sprintf("listen kept%d", i))
		}
		return listen
	}()...)
	var from [kept]int64 // what is committed after has to come
	for i := range kept {
		must[control.Change[control.Trigger]](t)(ann.CreateTrigger(ctx, control.NewTrigger{Name: fmt.Sprintf("kept%d", i), Channel: fmt.Sprintf("kept%d", i), Types: []string{"test.*"}}, false))
		from[i] = pgtest.Value[int64](t, db.Superuser(), `
with e as (insert into tinydev_impl.inbox (type, subject, workspace, actor) values ('test.happened', '"Ann".x', 'Ann', 'Ann') returning event_id) select event_id from e`)
		name := fmt.Sprintf("short%d", i)
		must[control.Change[control.Trigger]](t)(ann.CreateTrigger(ctx, control.NewTrigger{Name: name}, false))
		must[control.Change[control.DroppedTrigger]](t)(ann.DropTrigger(ctx, name, false))
	}
	stop()
	work.Wait()
	for range 3 {
		place(t, db)
	}
	super := db.Superuser()
	n := pgtest.Value[int64](t, super, "select count(*) from tinydev_impl.event where type = 'test.happened'")
	head := pgtest.Value[int64](t, super, "select position from tinydev_impl.head")
	if n != written+kept || head != pgtest.Value[int64](t, super, "select count(*) from tinydev_impl.event") {
		t.Errorf("of %d events %d are in the log, which ends at %d", written+kept, n, head)
	}
	for i := range kept {
		var want []string
		rows, err := super.Query(ctx, "select format('kept%s %s', $1::int, position) from tinydev_impl.event where position >= (select position from tinydev_impl.event where event_id = $2) and type = 'test.happened' order by position", i, from[i])
		if err == nil {
			want, err = pgx.CollectRows(rows, pgx.RowTo[string])
		}
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		pgtest.Eventually(t, 20*time.Second, fmt.Sprintf("all of kept%d has come", i), func() bool {
			got = slices.DeleteFunc(listener.all(), func(line string) bool {
				return !strings.HasPrefix(line, fmt.Sprintf("kept%d ", i)) || position(t, line) < position(t, want[0])
			})
			return len(got) >= len(want)
		})
		if !slices.Equal(got, want) {
			t.Errorf("of %d events after it kept%d notified %d", len(want), i, len(got))
		}
	}
	for i, who := range []string{"a writer", "the placing"} {
		if longest[i] > 10*time.Second {
			t.Errorf("%s waited %v", who, longest[i])
		}
	}
	t.Logf("%d events; a writer waited up to %v, the placing %v", written, longest[0], longest[1])
}

// TestTriggersSurvive holds that triggers go on through an upgrade, and in new partitions of the log.
func TestTriggersSurvive(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	super := db.Superuser()
	run(t, db.Conn(pgtest.Ann), "create table prices (a int)", `grant usage on schema "Ann" to bob`, "grant select on prices to bob")
	h := hears(t, db, "Ann_t", "bob_t")
	makeTrigger(t, db, c.As(pgtest.Ann), control.NewTrigger{Name: "t", View: "prices", Condition: "$.n >= 1"})
	makeTrigger(t, db, c.As(pgtest.Bob), control.NewTrigger{Name: "t", View: `"Ann".prices`, Condition: "$.n > 1"})
	record := "select tinydev.record_event('test.happened', 'prices'::regclass, null, '{\"n\": %d}')"
	run(t, h.ann, fmt.Sprintf(record, 1), fmt.Sprintf(record, 2))
	h.want("before", "Ann_t", "Ann_t", "bob_t")

	run(t, super, "update tinydev_impl.instance set sql_sha256 = 'old'")
	conn, err := postgres.Connect(context.Background(), db.URL("tinydev_superuser"), "test")
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Install(context.Background(), conn, schema.Options{}); err != nil {
		t.Fatal(err)
	}
	run(t, h.ann, fmt.Sprintf(record, 1), fmt.Sprintf(record, 2))
	h.want("after an upgrade", "Ann_t", "Ann_t", "bob_t")

	partitions := func() int {
		return pgtest.Value[int](t, super, "select count(*)::int from tinydev_impl.event_partition")
	}
	before := partitions()
	run(t, super, "update tinydev_impl.head set position = (select max(position_to) from tinydev_impl.event_partition) - 3")
	run(t, h.ann, fmt.Sprintf(record, 1), fmt.Sprintf(record, 2), fmt.Sprintf(record, 3), fmt.Sprintf(record, 4))
	h.want("in new partitions", "Ann_t", "Ann_t", "bob_t", "Ann_t", "bob_t", "Ann_t", "bob_t")
	if after := partitions(); after <= before {
		t.Errorf("there are %d partitions, as before", after)
	}
}
