package control_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// shareable gives Ann a table and a view over it.
func shareable(t *testing.T) (*control.Control, *pgtest.Database) {
	t.Helper()
	c, db := open(t)
	exec(t, db.Conn(pgtest.Ann), `create table "My Table" (a integer, b text)`, `insert into "My Table" values (1, 'x')`, `select tinydev.create_view('v', 'select a from "My Table"')`)
	return c, db
}

func grantLines(list []control.Grant) []string {
	lines := []string{}
	for _, g := range list {
		line := g.Relation + " " + g.Kind + " " + g.Grantee + " " + g.Privilege
		if g.Column != nil {
			line += " of " + *g.Column
		}
		lines = append(lines, line)
	}
	return lines
}

func TestShareAndUnshare(t *testing.T) {
	t.Parallel()
	c, db := shareable(t)
	ctx, ann, bob, eve := context.Background(), c.As(pgtest.Ann), c.As(pgtest.Bob), c.As(pgtest.Eve)
	const table = `"Ann"."My Table"`
	plan := must[control.Change[control.Shared]](t)(ann.Share(ctx, `"My Table"`, "bob", "select", true))
	if want := []string{`grant usage on schema "Ann" to bob;`, `grant select on "Ann"."My Table" to bob;`}; !slices.Equal(plan.SQL, want) {
		t.Errorf("dry run gives %q, want %q", plan.SQL, want)
	}
	if list := must[[]control.RelationSummary](t)(bob.Relations(ctx, control.Tables, "", 10)); len(list) != 0 {
		t.Errorf("bob sees %+v before anything is shared", list)
	}
	shared := must[control.Change[control.Shared]](t)(ann.Share(ctx, `"My Table"`, "bob", "select", false)).Made
	if shared != (control.Shared{Relation: table, To: "bob", Privilege: "select"}) {
		t.Errorf("shared %+v", shared)
	}
	if list := must[[]control.RelationSummary](t)(bob.Relations(ctx, control.Tables, "", 10)); len(list) != 1 || list[0].Owner != pgtest.Ann {
		t.Errorf("bob sees %+v", list)
	}
	if list := must[[]control.RelationSummary](t)(eve.Relations(ctx, control.Tables, "", 10)); len(list) != 0 {
		t.Errorf("eve sees %+v", list)
	}
	if p := must[control.QueryPreview](t)(bob.PreviewQuery(ctx, "select a from "+table, 10)); len(p.Rows) != 1 {
		t.Errorf("bob reads %+v", p)
	}
	must[control.Change[control.Shared]](t)(ann.Share(ctx, "v", control.Everyone, "select", false))
	must[control.QueryPreview](t)(eve.PreviewQuery(ctx, `select * from "Ann".v`, 10))
	must[control.Change[control.Shared]](t)(ann.Share(ctx, table, "bob", "insert", false))
	exec(t, db.Conn(pgtest.Bob), "insert into "+table+" values (2, 'y')")

	// What psql granted is there at once, columns too.
	exec(t, db.Conn(pgtest.Ann), "grant select (a) on "+table+" to eve")
	want := []string{`"Ann"."My Table" table bob insert`, `"Ann"."My Table" table bob select`, `"Ann"."My Table" table eve select of a`, `"Ann".v materialized view everyone select`}
	for after, got := "", []string{}; ; {
		page := must[[]control.Grant](t)(ann.Grants(ctx, "", after, 2))
		if got = append(got, grantLines(page)...); len(page) < 2 {
			if !slices.Equal(got, want) {
				t.Errorf("ann's grants %q, want %q", got, want)
			}
			break
		}
		after = page[len(page)-1].Key
	}
	if got := grantLines(must[[]control.Grant](t)(bob.Grants(ctx, table, "", 10))); !slices.Equal(got, want[:2]) {
		t.Errorf("bob's grants on the table %q, want %q", got, want[:2])
	}
	if got := grantLines(must[[]control.Grant](t)(eve.Grants(ctx, "", "", 10))); !slices.Equal(got, want[2:]) {
		t.Errorf("eve's grants %q, want %q", got, want[2:])
	}

	must[control.Change[control.Unshared]](t)(ann.Unshare(ctx, table, "bob", "insert", false))
	if state := sqlstate(t, db.Conn(pgtest.Bob), "insert into "+table+" values (3, 'z')"); state != "42501" {
		t.Errorf("bob's insert raised %s", state)
	}
	sql := must[control.Change[control.Unshared]](t)(ann.Unshare(ctx, table, "bob", "all", true)).SQL
	if want := []string{`revoke all on "Ann"."My Table" from bob;`, `revoke usage on schema "Ann" from bob;`}; !slices.Equal(sql, want) {
		t.Errorf("dry run gives %q, want %q", sql, want)
	}
	must[control.Change[control.Unshared]](t)(ann.Unshare(ctx, table, "bob", "all", false))
	must[control.Change[control.Unshared]](t)(ann.Unshare(ctx, table, "eve", "select", false))
	if pgtest.Value[bool](t, db.Superuser(), `select exists (select from pg_namespace n, aclexplode(n.nspacl) g where n.nspname = 'Ann' and g.grantee in ('bob'::regrole, 'eve'::regrole))`) {
		t.Error("USAGE on the workspace stays behind")
	}
	// Everyone still has the view, and so bob the workspace.
	must[control.QueryPreview](t)(bob.PreviewQuery(ctx, `select * from "Ann".v`, 10))
	_, err := bob.PreviewQuery(ctx, "select * from "+table, 10)
	wantFault(t, err, fault.Forbidden, "not_allowed")

	if got := events(t, db, "table.shared", table); len(got) != 2 || got[0]["to"] != "bob" || got[1]["privilege"] != "insert" {
		t.Errorf("table.shared says %v", got)
	}
	if got := events(t, db, "table.unshared", table); len(got) != 3 {
		t.Errorf("table.unshared says %v", got)
	}
	if got := events(t, db, "view.shared", `"Ann".v`); len(got) != 1 || got[0]["to"] != control.Everyone {
		t.Errorf("view.shared says %v", got)
	}
}

func TestSharingIsTheOwners(t *testing.T) {
	t.Parallel()
	c, db := shareable(t)
	ctx, ann, bob := context.Background(), c.As(pgtest.Ann), c.As(pgtest.Bob)
	_, err := bob.Share(ctx, `"Ann".v`, "eve", "select", false)
	wantFault(t, err, fault.Forbidden, "not_owner")
	_, err = bob.Unshare(ctx, `"Ann".v`, "eve", "all", false)
	wantFault(t, err, fault.Forbidden, "not_owner")
	for what, c := range map[string]struct{ relation, to, privilege, code string }{
		"nobody":              {"v", "nobody", "select", "user_not_found"},
		"a role that is none": {"v", "tinydev_owner", "select", "user_not_found"},
		"a superuser":         {"v", "tinydev_superuser", "select", "user_not_found"},
		"oneself":             {"v", pgtest.Ann, "select", "grantee_invalid"},
		"trigger":             {"v", "bob", "trigger", "privilege_invalid"},
		"SQL as a privilege":  {"v", "bob", "select on v to eve; --", "privilege_invalid"},
		"no relation":         {"nix", "bob", "select", "relation_not_found"},
	} {
		if _, err := ann.Share(ctx, c.relation, c.to, c.privilege, false); fault.CodeOf(err) != c.code {
			t.Errorf("share with %s: %v, want %s", what, err, c.code)
		}
		if _, err := ann.Unshare(ctx, c.relation, c.to, c.privilege, false); fault.CodeOf(err) != c.code {
			t.Errorf("unshare from %s: %v, want %s", what, err, c.code)
		}
	}
	_, err = ann.Unshare(ctx, "v", "bob", "all", false)
	wantFault(t, err, fault.NotFound, "grant_not_found")
	must[control.Change[control.Shared]](t)(ann.Share(ctx, "v", "bob", "all", false))
	if got := strings.Join(grantLines(must[[]control.Grant](t)(bob.Grants(ctx, "", "", 10))), ", "); strings.Contains(got, "trigger") || strings.Count(got, "bob") != 4 {
		t.Errorf("all is %s", got)
	}
	if pgtest.Value[int](t, db.Superuser(), "select count(*)::int from tinydev_impl.trust") != 0 {
		t.Error("sharing made trust")
	}
}

// TestUnshareSaysWhatIsLeft holds that taking back tells of every other way to what was shared.
func TestUnshareSaysWhatIsLeft(t *testing.T) {
	t.Parallel()
	c, db := shareable(t)
	ctx, ann, bob := context.Background(), c.As(pgtest.Ann), c.As(pgtest.Bob)
	owner, eve, super := db.Conn(pgtest.Ann), db.Conn(pgtest.Eve), db.Superuser()
	reads := func(name string) bool {
		return pgtest.Value[bool](t, super, `select has_any_column_privilege($1::text::name, '"Ann".v', 'select')`, name)
	}
	unshare := func(from, privilege string) []string {
		t.Helper()
		return must[control.Change[control.Unshared]](t)(ann.Unshare(ctx, "v", from, privilege, false)).Made.Warnings
	}
	exec(t, super, "select tinydev.create_user('third')")
	exec(t, owner, "grant select on v to eve with grant option", `grant usage on schema "Ann" to eve with grant option`)
	exec(t, eve, `grant select on "Ann".v to bob with grant option`, `grant select (a) on "Ann".v to third`, `grant usage on schema "Ann" to bob`)

	// Eve gave it to bob: it is not Ann's to take back from him alone, with or without a grant of hers.
	for range 2 {
		for _, dryRun := range []bool{true, false} {
			_, err := ann.Unshare(ctx, "v", "bob", "all", dryRun)
			e := fault.As(err)
			if e == nil || e.Code != "still_shared" || e.Kind != fault.Conflict || e.Fields["granted_by"] != "eve" || !strings.Contains(e.Hint, `select tinydev.unshare('"Ann".v', 'eve')`) {
				t.Errorf("unshare from bob: %+v", e)
			}
		}
		must[control.Change[control.Shared]](t)(ann.Share(ctx, "v", "bob", "select", false))
	}
	// Further down it is eve's right that the hint names.
	exec(t, owner, "revoke select on v from bob")
	exec(t, db.Conn(pgtest.Bob), `grant select (a) on "Ann".v to third`)
	_, err := ann.Unshare(ctx, "v", "third", "all", false)
	if e := fault.As(err); e == nil || e.Code != "still_shared" || e.Fields["granted_by"] != "bob" || !strings.Contains(e.Hint, "'eve')") {
		t.Errorf("unshare from third: %+v", e)
	}
	if got := must[control.Change[control.Unshared]](t)(ann.Unshare(ctx, "v", "eve", "all", true)).SQL; !slices.Equal(got, []string{
		`grant select (a) on "Ann".v to bob with grant option;`, `revoke select (a) on "Ann".v from bob cascade;`, `grant select (a) on "Ann".v to eve with grant option;`,
		`revoke select (a) on "Ann".v from eve cascade;`, `revoke all on "Ann".v from eve cascade;`, `revoke usage on schema "Ann" from eve cascade;`}) {
		t.Errorf("dry run gives %q", got)
	}
	if got := unshare("eve", "all"); !slices.Equal(got, []string{"what bob gave on to third is taken back too", "what eve gave on to bob is taken back too", "what eve gave on to third is taken back too"}) {
		t.Errorf("unshare from eve warns %q", got)
	}
	if reads("eve") || reads("bob") || reads("third") {
		t.Error("what eve gave on is left")
	}

	// A plain REVOKE leaves what eve gave on of a column, although she has no right any more.
	exec(t, owner, "grant select on v to eve with grant option", `grant usage on schema "Ann" to eve`)
	exec(t, eve, `grant select (a) on "Ann".v to third`)
	exec(t, owner, "revoke all on v from eve cascade")
	if !reads("third") {
		t.Error("PostgreSQL takes back what was given on of a column: this test and its cause are of no use any more")
	}
	_, err = ann.Unshare(ctx, "v", "third", "all", false)
	wantFault(t, err, fault.Conflict, "still_shared")
	if unshare("eve", "all"); reads("third") {
		t.Error("what eve gave on of a column is left")
	}

	for _, to := range []string{"bob", control.Everyone} {
		must[control.Change[control.Shared]](t)(ann.Share(ctx, "v", to, "all", false))
	}
	if got := unshare("bob", "insert"); !slices.Equal(got, []string{"bob may still insert through everyone"}) {
		t.Errorf("unshare of insert warns %q", got)
	}
	if got := unshare("bob", "all"); !slices.Equal(got, []string{"bob may still delete, insert, select, update through everyone"}) || !reads("bob") {
		t.Errorf("unshare from bob warns %q", got)
	}
	must[control.QueryPreview](t)(bob.PreviewQuery(ctx, `select * from "Ann".v`, 10))
	exec(t, owner, `grant usage on schema "Ann" to public`, "grant select (a) on v to public")
	if got := unshare(control.Everyone, "all"); !slices.Equal(got, []string{"everyone may still select through public"}) {
		t.Errorf("unshare from everyone warns %q", got)
	}
	exec(t, owner, "revoke select (a) on v from public", "grant select on v to bob")
	if got := unshare("bob", "all"); got == nil || len(got) != 0 || reads("bob") {
		t.Errorf("the last unshare warns %q", got)
	}
}

// TestEventsDoNotTellWithWhom holds that those with whom something is shared do not learn with whom else.
func TestEventsDoNotTellWithWhom(t *testing.T) {
	t.Parallel()
	c, db := shareable(t)
	ctx, ann := context.Background(), c.As(pgtest.Ann)
	for _, to := range []string{"bob", "eve", control.Everyone} {
		must[control.Change[control.Shared]](t)(ann.Share(ctx, "v", to, "select", false))
	}
	must[control.Change[control.Unshared]](t)(ann.Unshare(ctx, "v", "eve", "all", false))
	exec(t, db.Superuser(), "call tinydev_impl.place_all()")
	const told = `select array_agg(coalesce(data ->> 'to', '-') || ' ' || (data ->> 'privilege') order by position) from tinydev.event where type ~ 'shared$'`
	exec(t, db.Superuser(), "select tinydev.create_user('root', admin => true)")
	for name, want := range map[string][]string{
		pgtest.Ann: {"bob select", "eve select", "everyone select", "eve all"},
		pgtest.Bob: {"bob select", "- select", "everyone select", "- all"},
		pgtest.Eve: {"- select", "eve select", "everyone select", "eve all"},
	} {
		if got := pgtest.Value[[]string](t, db.Conn(name), told); !slices.Equal(got, want) {
			t.Errorf("%s is told %q, want %q", name, got, want)
		}
		streamed := `select array_agg(coalesce(event::jsonb #>> '{data,to}', '-') || ' ' || (event::jsonb #>> '{data,privilege}') order by position)
			from tinydev_impl.read_events_as($1::text::name, 0, 1000) where type ~ 'shared$'`
		if got := pgtest.Value[[]string](t, db.Superuser(), streamed, name); !slices.Equal(got, want) {
			t.Errorf("%s is streamed %q, want %q", name, got, want)
		}
	}
	if got := pgtest.Value[[]string](t, db.Superuser(), `select array_agg(tinydev_impl.visible_data('root', 'Ann', 0, '{"to":"bob"}') ->> 'to')`); !slices.Equal(got, []string{"bob"}) {
		t.Errorf("an administrator is told %q", got)
	}
}

func TestTrust(t *testing.T) {
	t.Parallel()
	c, db := open(t)
	ctx, bob := context.Background(), c.As(pgtest.Bob)
	if sql := must[control.Change[control.Trusted]](t)(bob.Trust(ctx, "eve", true)).SQL; !slices.Equal(sql, []string{"select tinydev.trust('eve');"}) {
		t.Errorf("dry run gives %q", sql)
	}
	made := must[control.Change[control.Trusted]](t)(bob.Trust(ctx, "eve", false)).Made
	if again := must[control.Change[control.Trusted]](t)(bob.Trust(ctx, "eve", false)).Made; made.Owner != "eve" || made.TrustedAt.IsZero() || again != made {
		t.Errorf("trusted %+v, again %+v", made, again)
	}
	must[control.Change[control.Trusted]](t)(bob.Trust(ctx, pgtest.Ann, false))
	if list := must[[]control.Trusted](t)(bob.Trusts(ctx, "", 10)); len(list) != 2 || list[1].Owner != "eve" {
		t.Errorf("bob trusts %+v", list)
	}
	if list := must[[]control.Trusted](t)(bob.Trusts(ctx, pgtest.Ann, 10)); len(list) != 1 {
		t.Errorf("after Ann come %+v", list)
	}
	if list := must[[]control.Trusted](t)(c.As(pgtest.Eve).Trusts(ctx, "", 10)); len(list) != 0 {
		t.Errorf("eve sees whom bob trusts: %+v", list)
	}
	_, err := bob.Trust(ctx, "bob", false)
	wantFault(t, err, fault.Invalid, "trust_invalid")
	_, err = bob.Trust(ctx, "nobody", false)
	wantFault(t, err, fault.NotFound, "user_not_found")
	must[control.Change[control.Untrusted]](t)(bob.Untrust(ctx, "eve", false))
	_, err = bob.Untrust(ctx, "eve", false)
	wantFault(t, err, fault.NotFound, "trust_not_found")
	if state := sqlstate(t, db.Conn(pgtest.Eve), "insert into tinydev_impl.trust values ('bob', 'eve')"); state != "42501" {
		t.Errorf("eve's own entry raised %s", state)
	}
}
