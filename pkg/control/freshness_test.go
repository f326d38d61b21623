package control_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// ages makes a promise older, as if the clock had gone on.
func ages(t *testing.T, db *pgtest.Database, relation string, seconds int) {
	t.Helper()
	run(t, db.Superuser(), fmt.Sprintf(`update tinydev_impl.freshness set fresh_at = fresh_at - make_interval(secs => %d),
		stale_since = stale_since - make_interval(secs => %[1]d), next_check_at = next_check_at - make_interval(secs => %[1]d) where relation_id = %s::regclass`,
		seconds, literal(relation)))
}

// told are the types and subjects of the events of freshness, in their order.
func told(t *testing.T, db *pgtest.Database) []string {
	t.Helper()
	place(t, db)
	place(t, db)
	rows, err := db.Superuser().Query(context.Background(), `select type || ' ' || subject from tinydev_impl.event where type ~ '[.](stale|fresh)$' order by position`)
	if err != nil {
		t.Fatal(err)
	}
	return must[[]string](t)(pgx.CollectRows(rows, pgx.RowTo[string]))
}

func wantTold(t *testing.T, db *pgtest.Database, what string, want ...string) {
	t.Helper()
	if got := told(t, db); !slices.Equal(got, want) {
		t.Errorf("%s: told %q, want %q", what, got, want)
	}
}

// freshnessOf is the promise of one relation.
func freshnessOf(t *testing.T, u *control.User, relation string) control.Freshness {
	t.Helper()
	list := must[[]control.Freshness](t)(u.Freshnesses(context.Background(), relation, "", 10))
	if len(list) != 1 {
		t.Fatalf("%s sees %d promises of %s", u.Role, len(list), relation)
	}
	return list[0]
}

const loadFriends = `select tinydev.record_event('table.loaded', 'friends'::regclass, null, '{"rows": 1}')`

// TestFreshness takes a table and a view through promise, breach and recovery: each is told once, however often it is checked.
func TestFreshness(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann, conn := context.Background(), c.As(pgtest.Ann), db.Conn(pgtest.Ann)
	run(t, conn, "create table friends (a int)")
	must[control.Change[control.Relation]](t)(ann.CreateView(ctx, "v", "select * from friends", false))
	run(t, db.Superuser(), "update tinydev_impl.inbox set occurred_at = occurred_at - interval '10 minutes'")
	place(t, db)

	made := must[control.Change[control.Freshness]](t)(ann.SetFreshness(ctx, "v", 3600, false)).Made
	if made.Relation != `"Ann".v` || made.Kind != "materialized view" || made.Owner != pgtest.Ann || made.MaxAgeSeconds != 3600 ||
		made.AgeSeconds < 600 || made.AgeSeconds > 1200 || made.IsStale || made.StaleSince != nil {
		t.Errorf("made %+v: a view is as old as its last refresh", made)
	}
	made = must[control.Change[control.Freshness]](t)(ann.SetFreshness(ctx, "friends", 60, false)).Made
	if made.Kind != "table" || made.AgeSeconds > 30 {
		t.Errorf("made %+v: a table that was never loaded is as old as its promise", made)
	}
	wantTold(t, db, "all is fresh")

	ages(t, db, `"Ann".v`, 3000)
	ages(t, db, `"Ann".friends`, 100)
	if f := freshnessOf(t, ann, "friends"); !f.IsStale || f.AgeSeconds < 100 || f.StaleSince == nil || f.StaleSince.Sub(f.FreshAt) != time.Minute {
		t.Errorf("before it is checked the table is %+v", f)
	}
	stale := []string{`table.stale "Ann".friends`, `view.stale "Ann".v`} // as they fell due
	wantTold(t, db, "both are stale", stale...)
	ages(t, db, `"Ann".v`, 3600)
	ages(t, db, `"Ann".friends`, 3600)
	wantTold(t, db, "they are still", stale...)
	var data struct {
		MaxAgeSeconds int       `json:"max_age_seconds"`
		AgeSeconds    int       `json:"age_seconds"`
		FreshAt       time.Time `json:"fresh_at"`
		StaleSince    time.Time `json:"stale_since"`
	}
	text := pgtest.Value[string](t, db.Superuser(), "select data::text from tinydev_impl.event where type = 'view.stale'")
	if err := json.Unmarshal([]byte(text), &data); err != nil || data.MaxAgeSeconds != 3600 || data.AgeSeconds < 3600 || data.StaleSince.Sub(data.FreshAt) != time.Hour {
		t.Errorf("view.stale has %s: %v", text, err)
	}

	since := *freshnessOf(t, ann, "v").StaleSince
	must[control.Change[control.Refreshed]](t)(ann.Refresh(ctx, "v", false))
	run(t, conn, loadFriends)
	wantTold(t, db, "both recover", append(stale, `table.fresh "Ann".friends`, `view.fresh "Ann".v`)...)
	if f := freshnessOf(t, ann, "v"); f.IsStale || f.StaleSince != nil || f.AgeSeconds > 30 {
		t.Errorf("the view is %+v", f)
	}
	text = pgtest.Value[string](t, db.Superuser(), "select data::text from tinydev_impl.event where type = 'view.fresh'")
	if err := json.Unmarshal([]byte(text), &data); err != nil || data.AgeSeconds > 30 || !data.StaleSince.Equal(since) {
		t.Errorf("view.fresh has %s, stale since %v: %v", text, since, err)
	}
	run(t, db.Superuser(), "truncate tinydev_impl.event")

	// What is promised may change, and be taken back, while it is broken.
	ages(t, db, `"Ann".v`, 4000)
	wantTold(t, db, "stale again", stale[1])
	must[control.Change[control.Freshness]](t)(ann.SetFreshness(ctx, "v", 86400, false))
	wantTold(t, db, "more is allowed", stale[1], `view.fresh "Ann".v`)
	must[control.Change[control.Freshness]](t)(ann.SetFreshness(ctx, "v", 60, false))
	wantTold(t, db, "less is allowed", stale[1], `view.fresh "Ann".v`, stale[1])
	if gone := must[control.Change[control.Dropped]](t)(ann.DropFreshness(ctx, "v", false)).Made; gone.Dropped != `"Ann".v` {
		t.Errorf("dropped %+v", gone)
	}
	wantTold(t, db, "no promise, no breach", stale[1], `view.fresh "Ann".v`, stale[1], `view.fresh "Ann".v`)
	if got := pgtest.Value[bool](t, db.Superuser(), "select data -> 'max_age_seconds' = 'null' from tinydev_impl.event where type = 'view.fresh' order by position desc limit 1"); !got {
		t.Error("the end of the promise still names an age")
	}
	must[control.Change[control.Dropped]](t)(ann.DropFreshness(ctx, "friends", false))
	_, err := ann.DropFreshness(ctx, "friends", false)
	wantFault(t, err, fault.NotFound, "freshness_not_found")
}

// TestFreshnessDryRuns holds that a dry run changes nothing, and that its SQL is what makes it.
func TestFreshnessDryRuns(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann, conn := context.Background(), c.As(pgtest.Ann), db.Conn(pgtest.Ann)
	run(t, conn, "create table friends (a int)")
	_, err := ann.DropFreshness(ctx, "friends", true)
	wantFault(t, err, fault.NotFound, "freshness_not_found")
	plan := must[control.Change[control.Freshness]](t)(ann.SetFreshness(ctx, "friends", 60, true)).SQL
	if !slices.Equal(plan, []string{`select tinydev.set_freshness('"Ann".friends', 60);`}) {
		t.Errorf("planned %q", plan)
	}
	if list := must[[]control.Freshness](t)(ann.Freshnesses(ctx, "", "", 10)); len(list) != 0 {
		t.Errorf("a dry run made %+v", list)
	}
	run(t, conn, plan...)
	plan = must[control.Change[control.Dropped]](t)(ann.DropFreshness(ctx, "friends", true)).SQL
	if !slices.Equal(plan, []string{`select tinydev.drop_freshness('"Ann".friends');`}) {
		t.Errorf("planned %q", plan)
	}
	freshnessOf(t, ann, "friends")
	run(t, conn, plan...)
}

// TestFreshnessFollowsTheRelation holds that a promise survives what the relation survives: another name, another query, and goes with it.
func TestFreshnessFollowsTheRelation(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann, conn := context.Background(), c.As(pgtest.Ann), db.Conn(pgtest.Ann)
	run(t, conn, "create table friends (a int)")
	for _, view := range []string{"v", "w"} {
		must[control.Change[control.Relation]](t)(ann.CreateView(ctx, view, "select 1 as n", false))
		must[control.Change[control.Freshness]](t)(ann.SetFreshness(ctx, view, 60, false))
	}
	must[control.Change[control.Freshness]](t)(ann.SetFreshness(ctx, "friends", 60, false))
	place(t, db)
	ages(t, db, `"Ann".v`, 100)
	wantTold(t, db, "stale", `view.stale "Ann".v`)

	run(t, conn, "alter materialized view v rename to renamed", "alter table friends rename to people")
	freshnessOf(t, ann, "people")
	must[control.Change[control.Refreshed]](t)(ann.Refresh(ctx, "renamed", false))
	wantTold(t, db, "under another name", `view.stale "Ann".v`, `view.fresh "Ann".renamed`)
	run(t, db.Superuser(), "truncate tinydev_impl.event")

	ages(t, db, `"Ann".w`, 100)
	wantTold(t, db, "stale", `view.stale "Ann".w`)
	plan := must[control.Change[control.Relation]](t)(ann.ReplaceView(ctx, "w", "select 2 as n", true)).SQL
	if !strings.Contains(strings.Join(plan, "\n"), "move_freshness") {
		t.Errorf("the plan of another query is %q", plan)
	}
	must[control.Change[control.Relation]](t)(ann.ReplaceView(ctx, "w", "select 2 as n", false))
	wantTold(t, db, "another query", `view.stale "Ann".w`, `view.fresh "Ann".w`)
	if f := freshnessOf(t, ann, "w"); f.MaxAgeSeconds != 60 {
		t.Errorf("the promise of the replaced view is %+v", f)
	}
	// In a transaction that is taken back nothing goes.
	run(t, conn, "begin", "drop table people", "rollback")
	if n := len(must[[]control.Freshness](t)(ann.Freshnesses(ctx, "", "", 10))); n != 3 {
		t.Errorf("there are %d promises", n)
	}
	run(t, conn, "drop table people", "drop materialized view renamed")
	must[control.Change[control.Dropped]](t)(ann.DropView(ctx, "w", false))
	if n := pgtest.Value[int](t, db.Superuser(), "select count(*)::int from tinydev_impl.freshness"); n != 0 {
		t.Errorf("%d promises are left of what is gone", n)
	}

	// One that is made anew under the name is another.
	run(t, conn, "create table people (a int)")
	if n := len(must[[]control.Freshness](t)(ann.Freshnesses(ctx, "", "", 10))); n != 0 {
		t.Errorf("%d promises of a new table", n)
	}
	// Another owner has promised nothing.
	must[control.Change[control.Freshness]](t)(ann.SetFreshness(ctx, "people", 60, false))
	run(t, db.Superuser(), `alter table "Ann".people owner to bob`)
	if n := len(must[[]control.Freshness](t)(c.As(pgtest.Admin).Freshnesses(ctx, "", "", 10))); n != 0 {
		t.Errorf("%d promises in another's name", n)
	}
	ages2 := "update tinydev_impl.freshness set fresh_at = now() - interval '1 hour', next_check_at = now()"
	run(t, db.Superuser(), ages2)
	wantTold(t, db, "another owner's", `view.stale "Ann".w`, `view.fresh "Ann".w`)
	if n := pgtest.Value[int](t, db.Superuser(), "select count(*)::int from tinydev_impl.freshness"); n != 0 {
		t.Errorf("%d promises are left of what has another owner", n)
	}
	// Upkeep does so too, of what is not due.
	run(t, db.Superuser(), "insert into tinydev_impl.freshness values (1, 'Ann', 60, now(), now(), null, now() + interval '1 day', 0)", "select tinydev_impl.upkeep()")
	if n := pgtest.Value[int](t, db.Superuser(), "select count(*)::int from tinydev_impl.freshness"); n != 0 {
		t.Errorf("%d promises are left after the upkeep", n)
	}
}

// TestFreshnessOfDroppedUsers holds that promises go with the one who made them, also when another gets the relation.
func TestFreshnessOfDroppedUsers(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx := context.Background()
	for name, how := range map[string]string{"carl": "objects => 'drop'", "dora": "objects => 'reassign', to_user => 'bob'"} {
		run(t, db.Conn(pgtest.Admin), fmt.Sprintf("select tinydev.create_user('%s')", name))
		run(t, db.Superuser(), fmt.Sprintf("create table %s.t (a int)", name), fmt.Sprintf("alter table %s.t owner to %[1]s", name))
		must[control.Change[control.Freshness]](t)(c.As(name).SetFreshness(ctx, "t", 60, false))
		run(t, db.Conn(pgtest.Admin), fmt.Sprintf("select tinydev.drop_user('%s', %s)", name, how))
		if n := pgtest.Value[int](t, db.Superuser(), "select count(*)::int from tinydev_impl.freshness"); n != 0 {
			t.Errorf("%d promises are left of %s", n, name)
		}
	}
}

// TestFreshnessRights holds who may promise and who sees it, and that requests made by hand are checked too.
func TestFreshnessRights(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann, bob, conn := context.Background(), c.As(pgtest.Ann), c.As(pgtest.Bob), db.Conn(pgtest.Ann)
	run(t, conn, "create table friends (a int)", "create table secret (a int)", "create view plain as select 1 as n")
	for _, table := range []string{"friends", "secret"} {
		must[control.Change[control.Freshness]](t)(ann.SetFreshness(ctx, table, 60, false))
	}
	for _, user := range []*control.User{bob, c.As(pgtest.Eve)} {
		if list := must[[]control.Freshness](t)(user.Freshnesses(ctx, "", "", 10)); len(list) != 0 {
			t.Errorf("%s sees %+v", user.Role, list)
		}
	}
	must[control.Change[control.Shared]](t)(ann.Share(ctx, "friends", "bob", "insert", false))
	if f := freshnessOf(t, bob, ""); f.Relation != `"Ann".friends` || f.Owner != pgtest.Ann {
		t.Errorf("bob sees %+v", f)
	}
	if list := must[[]control.Freshness](t)(c.As(pgtest.Admin).Freshnesses(ctx, "", "", 10)); len(list) != 2 {
		t.Errorf("an administrator sees %+v", list)
	}
	if list := must[[]control.Freshness](t)(ann.Freshnesses(ctx, "", `"Ann".friends`, 10)); len(list) != 1 || list[0].Relation != `"Ann".secret` {
		t.Errorf("after the first come %+v", list)
	}

	for _, other := range []*control.User{bob, c.As(pgtest.Admin)} {
		_, err := other.SetFreshness(ctx, `"Ann".friends`, 1, false)
		wantFault(t, err, fault.Forbidden, "not_owner")
		_, err = other.SetFreshness(ctx, `"Ann".friends`, 1, true)
		wantFault(t, err, fault.Forbidden, "not_owner")
		_, err = other.DropFreshness(ctx, `"Ann".friends`, false)
		wantFault(t, err, fault.Forbidden, "not_owner")
	}
	for _, wrong := range []struct {
		relation string
		age      int
		kind     fault.Kind
		code     string
	}{
		{"nothing", 60, fault.NotFound, "relation_not_found"}, {"plain", 60, fault.Invalid, "not_a_view"}, {"friends", 0, fault.Invalid, "freshness_invalid"},
		{"friends", -1, fault.Invalid, "freshness_invalid"}, {"friends", 315360001, fault.Invalid, "freshness_invalid"}, {"a b", 60, fault.Invalid, "name_invalid"},
		{"friends'); drop table friends; --", 60, fault.Invalid, "name_invalid"}, {"tinydev_impl.event", 60, fault.Forbidden, "not_owner"},
	} {
		_, err := ann.SetFreshness(ctx, wrong.relation, wrong.age, false)
		wantFault(t, err, wrong.kind, wrong.code)
	}
	for sql, code := range map[string]string{
		"select tinydev.set_freshness('friends', null)":                      "freshness_invalid",
		"select tinydev.set_freshness(null, 60)":                             "name_invalid",
		"select tinydev.drop_freshness('plain')":                             "not_a_view",
		`select tinydev_lib.move_freshness('"Ann".friends'::regclass, null)`: "name_invalid",
	} {
		if f := faultOf(t, conn, sql); f.Code != code {
			t.Errorf("%s: %v", sql, f)
		}
	}
	// Made by hand, as somebody who is hostile would.
	bobs := db.Conn(pgtest.Bob)
	run(t, bobs, "create table bait (a int)")
	request := func(role, verb, arguments string) string {
		return fmt.Sprintf("insert into tinydev_lib.own_request (role_name, verb, arguments) values (%s, %s, %s)", literal(role), literal(verb), literal(arguments))
	}
	for _, sql := range []string{
		request("bob", "set_freshness", `{"relation": "\"Ann\".friends", "max_age_seconds": 1}`), request("Ann", "set_freshness", `{"relation": "friends", "max_age_seconds": 1}`),
		request("bob", "drop_freshness", `{"relation": "\"Ann\".friends"}`), request("bob", "move_freshness", `{"relation_id": 1, "relation": "\"Ann\".friends"}`),
		"select * from tinydev_impl.freshness", "select tinydev_impl.check_freshness()", "select tinydev_impl.note_fresh(0, 1)", "delete from tinydev.freshness",
	} {
		faultOf(t, bobs, sql)
	}
	// Another's promise does not come along with an oid.
	run(t, bobs, request("bob", "move_freshness", fmt.Sprintf(`{"relation_id": %d, "relation": "bait"}`, pgtest.Value[uint32](t, conn, "select 'friends'::regclass::oid"))))
	if f := freshnessOf(t, ann, "friends"); f.MaxAgeSeconds != 60 {
		t.Errorf("the promise became %+v", f)
	}
	// Nobody's events make another's relation fresh, but a load of who may load does.
	ages(t, db, `"Ann".friends`, 100)
	ages(t, db, `"Ann".secret`, 100)
	wantTold(t, db, "both are stale", `table.stale "Ann".friends`, `table.stale "Ann".secret`)
	for _, table := range []string{"friends", "secret"} {
		err := func() error {
			_, err := bobs.Exec(ctx, "select tinydev.record_event('table.loaded', $1, null)", pgtest.Value[uint32](t, db.Superuser(), fmt.Sprintf(`select '"Ann".%s'::regclass::oid`, table)))
			return err
		}()
		if (err == nil) != (table == "friends") {
			t.Errorf("bob loads into %s: %v", table, err)
		}
	}
	wantTold(t, db, "one was loaded", `table.stale "Ann".friends`, `table.stale "Ann".secret`, `table.fresh "Ann".friends`)
}

// TestFreshnessWaitsForNobody holds that a user who holds promises in an open transaction stops neither the log nor the checks of others, and
// that what passes such a promise by is found later.
func TestFreshnessWaitsForNobody(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, ann, super := context.Background(), c.As(pgtest.Ann), db.Superuser()
	run(t, db.Conn(pgtest.Ann), "create table friends (a int)", "create table other (a int)")
	for _, table := range []string{"friends", "other"} {
		must[control.Change[control.Freshness]](t)(ann.SetFreshness(ctx, table, 60, false))
	}
	place(t, db)
	ages(t, db, `"Ann".friends`, 100)
	ages(t, db, `"Ann".other`, 100)
	stale := []string{`table.stale "Ann".friends`, `table.stale "Ann".other`}
	wantTold(t, db, "both are stale", stale...)

	holder, writer := db.Conn(pgtest.Ann), db.Conn(pgtest.Ann)
	run(t, db.Conn("tinydev_server"), "set statement_timeout = '20s'")
	for i, end := range []string{"rollback", "commit"} {
		run(t, holder, "begin", "select tinydev.set_freshness('friends', 60)")
		run(t, writer, loadFriends, strings.ReplaceAll(loadFriends, "friends", "other"))
		stale = append(stale, `table.fresh "Ann".other`)
		wantTold(t, db, "while one is held", stale...)
		run(t, holder, end)
		if end == "rollback" { // nothing says that it was held, but each minute what is stale is looked at
			run(t, super, "update tinydev_impl.freshness set next_check_at = now() where stale_since is not null")
		}
		stale = append(stale, `table.fresh "Ann".friends`)
		wantTold(t, db, "after "+end, stale...)
		if i == 0 {
			ages(t, db, `"Ann".friends`, 100)
			ages(t, db, `"Ann".other`, 100)
			stale = append(stale, `table.stale "Ann".friends`, `table.stale "Ann".other`)
			wantTold(t, db, "both again", stale...)
		}
	}
	// One that is fresh, whose load passed it by, does not become stale.
	run(t, holder, "begin", "select tinydev.set_freshness('friends', 60)")
	run(t, writer, loadFriends)
	wantTold(t, db, "a load that passes by", stale...)
	run(t, holder, "rollback")
	run(t, super, "update tinydev_impl.freshness set fresh_at = fresh_at - interval '70 s', next_check_at = now()")
	wantTold(t, db, "it was loaded", append(stale, `table.stale "Ann".other`)...)
	// Nor does one whose event is not placed yet.
	run(t, super, "update tinydev_impl.freshness set fresh_at = now() - interval '70 s', next_check_at = now(), read_position = (select position from tinydev_impl.head)")
	run(t, writer, loadFriends)
	run(t, db.Conn("tinydev_server"), "select tinydev_impl.check_freshness()")
	wantTold(t, db, "it waits to be placed", append(stale, `table.stale "Ann".other`)...)
}

// TestFreshnessIsToldOnce checks from several connections at once, some of which are killed before they commit: each breach and each recovery
// is told once.
func TestFreshnessIsToldOnce(t *testing.T) {
	t.Parallel()
	_, db := open(t)
	ctx, super, conn := context.Background(), db.Superuser(), db.Conn(pgtest.Ann)
	const n = 300
	run(t, conn, fmt.Sprintf("do $$ begin for i in 1..%d loop execute format('create table t%%s (a int)', i); perform tinydev.set_freshness('t' || i, 60); end loop; end $$", n))
	place(t, db)
	counts := func() string {
		return pgtest.Value[string](t, super, `select concat_ws(' ', count(*) filter (where type = 'table.stale'), count(distinct subject) filter (where type = 'table.stale'),
			count(*) filter (where type = 'table.fresh'), count(distinct subject) filter (where type = 'table.fresh')) from (
			select type, subject from tinydev_impl.event union all select type, subject from tinydev_impl.inbox) e`)
	}
	check := func() {
		var work sync.WaitGroup
		for i := range 4 {
			server := db.Conn("tinydev_server")
			work.Go(func() {
				for due := 1; due > 0; {
					if i == 3 { // one that is stopped halfway
						if _, err := server.Exec(ctx, "begin"); err != nil {
							t.Error(err)
							return
						}
						if _, err := server.Exec(ctx, "select tinydev_impl.check_freshness(7)"); err != nil {
							t.Error(err)
						}
						server.Close(ctx)
						return
					}
					if err := server.QueryRow(ctx, "select tinydev_impl.check_freshness(7)").Scan(&due); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		work.Go(func() { place(t, db) })
		work.Wait()
		pgtest.Eventually(t, 20*time.Second, "what was stopped has been given back", func() bool {
			place(t, db)
			return pgtest.Value[int](t, super, "select count(*)::int from tinydev_impl.freshness where next_check_at <= now()") == 0
		})
	}
	run(t, super, "update tinydev_impl.freshness set fresh_at = now() - interval '1 hour', next_check_at = now()")
	check()
	if got, want := counts(), fmt.Sprintf("%d %[1]d 0 0", n); got != want {
		t.Errorf("told %s, want %s", got, want)
	}
	run(t, conn, fmt.Sprintf("do $$ begin for i in 1..%d loop perform tinydev.record_event('table.loaded', ('t' || i)::regclass, null); end loop; end $$", n))
	place(t, db)
	run(t, super, "update tinydev_impl.freshness set next_check_at = now()")
	check()
	if got, want := counts(), fmt.Sprintf("%d %[1]d %[1]d %[1]d", n); got != want {
		t.Errorf("told %s, want %s", got, want)
	}
}

// TestFreshnessAlarms holds that a subscription that tells of trouble once tells of a breach, and of its end.
func TestFreshnessAlarms(t *testing.T) {
	t.Parallel()
	_, db := open(t)
	conn, super := db.Conn(pgtest.Ann), db.Superuser()
	run(t, conn, "create table friends (a int)", "select tinydev.set_freshness('friends', 60)",
		"select tinydev.create_subscription('hook', 'webhook', 'https://example.org/hook', types => array['table.stale', 'table.fresh'], rearm => 'once')")
	chosen := func() int {
		place(t, db)
		place(t, db)
		return pgtest.Value[int](t, super, `select cardinality(tinydev_impl.select_events(s.subscription_id, s.version, array(select position from tinydev_impl.event order by 1)))
			from tinydev_impl.subscription s where s.name = 'hook'`)
	}
	place(t, db)
	for i, want := range []int{1, 2, 3, 4} {
		if i%2 == 0 {
			ages(t, db, `"Ann".friends`, 100)
		} else {
			run(t, conn, loadFriends)
		}
		if got := chosen(); got != want {
			t.Errorf("after %d turns %d are told, want %d", i+1, got, want)
		}
	}
}

// TestFreshnessCostsNothingWhileFresh holds that a check reads none of the promises that are not due.
func TestFreshnessCostsNothingWhileFresh(t *testing.T) {
	t.Parallel()
	_, db := open(t)
	super := db.Superuser()
	run(t, super, `insert into tinydev_impl.freshness (relation_id, owner_name, max_age_seconds, fresh_at, next_check_at, read_position)
		select 1000000 + i, 'Ann', 3600, now(), now() + make_interval(secs => 3600 + i), 0 from generate_series(1, 10000) i`, "analyze tinydev_impl.freshness")
	server := db.Conn("tinydev_server")
	read := func() int64 {
		run(t, super, "select pg_stat_clear_snapshot()")
		return pgtest.Value[int64](t, super, "select seq_tup_read + coalesce(idx_tup_fetch, 0) from pg_stat_user_tables where relid = 'tinydev_impl.freshness'::regclass")
	}
	run(t, super, "select pg_stat_reset_single_table_counters('tinydev_impl.freshness'::regclass)")
	if due := pgtest.Value[int](t, server, "select tinydev_impl.check_freshness()"); due != 0 {
		t.Errorf("%d are due", due)
	}
	server.Close(context.Background())
	pgtest.Eventually(t, 20*time.Second, "the check is counted", func() bool {
		run(t, super, "select pg_stat_clear_snapshot()")
		return pgtest.Value[bool](t, super, "select coalesce(sum(idx_scan), 0) > 0 from pg_stat_user_indexes where indexrelname = 'freshness_due'")
	})
	if n := read(); n != 0 {
		t.Errorf("%d promises were read", n)
	}
}
