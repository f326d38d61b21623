package web_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

var named atomic.Int64

// newName gives a name that no test uses: roles belong to the whole server, which tests share.
func newName() string { return fmt.Sprintf("user_%d_%d", os.Getpid(), named.Add(1)) }

// TestUsers goes through the life of a user without JavaScript: made, limited, an administrator for a while, dropped.
func TestUsers(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Admin)
	newt, passing := newName(), newName()
	s.get("/users", ">admin</a>", "(you)", ">bob</a>", `class="tag warn">administrator`, "New user")
	s.get("/users/new", `placeholder="20"`, "Limits", `name="admin"`)
	form := url.Values{"name": {newt}, "connections": {"7"}, "do": {"check"}}
	plan := s.post("/users/new", form, "Tinydev-Fragment", "plan")
	s.want(plan, http.StatusOK, "plan", "create role "+newt+" login", "connection limit 7", "grant tinydev_user to "+newt)
	if strings.Contains(plan.body, "<html") {
		t.Errorf("a fragment is a whole page:\n%s", plan.body)
	}
	form.Set("do", "save")
	s.follow(s.post("/users/new", form), "The user is made.", newt, "Make an administrator", `value="7"`, "No tokens")
	s.want(s.post("/users/new", form), http.StatusConflict, "the same name again", "name_taken", `value="`+newt+`"`, "<details class=\"fold\" open>")
	form.Set("name", "No Name")
	s.want(s.post("/users/new", form), http.StatusUnprocessableEntity, "a bad name", "user_name_invalid", `value="No Name"`)
	form.Set("name", "newer")
	form.Set("connections", "many")
	s.want(s.post("/users/new", form), http.StatusUnprocessableEntity, "a bad limit", "form_invalid", `value="many"`)

	limits := url.Values{"name": {newt}, "connections": {""}, "page_rows": {"50"}, "do": {"check"}}
	s.want(s.post("/user/limits", limits), http.StatusOK, "plan the limits", "connection limit 20", "page_rows", `value="50"`)
	limits.Set("do", "save")
	saved := s.follow(s.post("/user/limits", limits), "The limits are saved.", `value="50"`, `id="connections" name="connections" value=""`)
	if !strings.HasPrefix(saved, "/user?") {
		t.Errorf("saving leads to %s", saved)
	}
	if got := pgtest.Value[int](t, s.db.Superuser(), "select rolconnlimit from pg_roles where rolname = '"+newt+"'"); got != 20 {
		t.Errorf("%s may have %d connections", newt, got)
	}

	s.get("/user/admin?name="+newt+"&admin=true", "Make "+newt+" an administrator?", "grant tinydev_admin to "+newt)
	s.follow(s.post("/user/admin", url.Values{"name": {newt}, "admin": {"true"}}), "The user is an administrator now.", `class="tag warn">administrator`)
	s.get("/user/admin?name="+newt+"&admin=false", "revoke tinydev_admin from "+newt)
	s.follow(s.post("/user/admin", url.Values{"name": {newt}, "admin": {"false"}}), "no administrator any more")

	s.get("/password?user="+newt, "Set the password of "+newt, "alter role "+newt+" password")
	made := s.post("/password", url.Values{"user": {newt}, "do": {"generate"}})
	s.want(made, http.StatusOK, "a generated password", "It is shown this once", "data-copy")
	password := regexp.MustCompile(`value="([A-Z2-7]{26})"`).FindStringSubmatch(made.body)
	if password == nil {
		t.Fatalf("there is no password in\n%s", content(made.body))
	}
	if kept := pgtest.Value[string](t, s.db.Superuser(), "select rolpassword from pg_authid where rolname = '"+newt+"'"); !strings.HasPrefix(kept, "SCRAM-SHA-256$") {
		t.Errorf("PostgreSQL keeps %.5s…", kept)
	}

	run(t, s.db.Conn(newt), "create table things (a int)", "create function f() returns int language sql security definer as 'select 1'")
	s.get("/user/drop?name="+newt, newt+".things", "The user owns this", `value="refuse" checked`)
	drop := url.Values{"name": {newt}, "objects": {"reassign"}, "do": {"check"}}
	s.want(s.post("/user/drop", drop), http.StatusOK, "nobody chosen yet", "Choose who gets this")
	drop.Set("heir", "bob")
	s.want(s.post("/user/drop", drop), http.StatusOK, "plan to give it away", "This goes to", "reassign owned by "+newt+" to bob")
	drop.Set("objects", "refuse")
	drop.Set("do", "save")
	s.want(s.post("/user/drop", drop), http.StatusConflict, "drop what owns something", "user_has_objects", newt+".things")
	drop.Set("objects", "reassign")
	s.want(s.post("/user/drop", drop), http.StatusOK, "drop", newt+" is dropped", "Given to bob", newt+".things", "security invoker")
	s.want(s.send(http.MethodGet, "/user?name="+newt, "", nil), http.StatusNotFound, "a dropped user", "user_not_found")

	again := url.Values{"name": {passing}, "do": {"save"}}
	s.follow(s.post("/users/new", again), "The user is made.")
	s.want(s.post("/user/drop", url.Values{"name": {passing}, "objects": {"refuse"}, "do": {"save"}}), http.StatusOK, "drop who owns nothing", passing+" is dropped")
	s.want(s.post("/users/new", again), http.StatusConflict, "a former user's name", "name_retired", `name="reuse"`)
	again.Set("reuse", "1")
	s.follow(s.post("/users/new", again), "The user is made.")
	s.want(s.send(http.MethodGet, "/user/drop?name=admin", "", nil), http.StatusOK, "drop oneself", "drop_self")
}

// TestSettingsPage changes what holds for all.
func TestSettingsPage(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Admin)
	page := s.get("/settings", "All users may read new workspaces", `name="page_rows" value="1000"`, `name="event_retention"`)
	form := url.Values{"do": {"check"}}
	for _, m := range regexp.MustCompile(`name="([a-z_]+)" value="([^"]*)"`).FindAllStringSubmatch(page.body, -1) {
		if m[1] != "do" && m[1] != "read_all" {
			form.Set(m[1], m[2])
		}
	}
	unchanged := s.post("/settings", form)
	s.want(unchanged, http.StatusOK, "nothing changed")
	if strings.Contains(unchanged.body, "Show SQL") {
		t.Errorf("there is something to change:\n%s", content(unchanged.body))
	}
	form.Set("read_all", "true")
	form.Set("page_rows", "70")
	form.Set("audit_retention", "2 years")
	s.want(s.post("/settings", form), http.StatusOK, "plan", "read_all = true", "page_rows = 70", "audit_retention = &#39;2 years&#39;")
	form.Set("do", "save")
	s.follow(s.post("/settings", form), "The settings are saved.", `value="70"`, `value="true" checked`, `value="2 years"`)
	form.Set("audit_retention", "for ever")
	form.Set("page_rows", "80")
	s.want(s.post("/settings", form), http.StatusUnprocessableEntity, "no interval", "setting_invalid", `value="for ever"`)
	s.get("/settings", `value="70"`) // all or nothing
}

// administration are the pages that only administrators see, and the changes that only they make.
var (
	administrationPages = []string{"/users", "/users/new", "/user?name=eve", "/user/admin?name=eve&admin=true", "/user/drop?name=eve", "/user/unlink?name=eve&issuer=i", "/settings", "/audit"}
	administrationForms = map[string]url.Values{
		"/users/new": {"name": {"never_made"}, "do": {"save"}}, "/user/limits": {"name": {"eve"}, "page_rows": {"5"}, "do": {"save"}},
		"/user/admin": {"name": {"bob"}, "admin": {"true"}}, "/user/drop": {"name": {"eve"}, "objects": {"drop"}, "do": {"save"}},
		"/user/unlink": {"name": {"eve"}, "issuer": {"i"}}, "/settings": {"page_rows": {"5"}, "read_all": {"true"}, "do": {"save"}},
	}
)

// TestAdministratorsOnly shows nothing of administration to others, does nothing for them, and nothing for another site.
func TestAdministratorsOnly(t *testing.T) {
	t.Parallel()
	bob := open(t, pgtest.DB(t), pgtest.Bob)
	boss := open(t, bob.db, pgtest.Admin)
	for _, place := range administrationPages {
		bob.want(bob.send(http.MethodGet, place, "", nil), http.StatusForbidden, "GET "+place, "For administrators", "admin_only")
	}
	before := everything(t, bob)
	for place, fields := range administrationForms {
		bob.want(bob.post(place, fields), http.StatusForbidden, "POST "+place, "admin_only")
	}
	bob.want(bob.post("/password", url.Values{"user": {"eve"}, "do": {"generate"}}), http.StatusForbidden, "another's password", "admin_only")
	for place, fields := range administrationForms {
		boss.want(boss.post(place, fields, "Sec-Fetch-Site", "cross-site"), http.StatusForbidden, "POST "+place+" from elsewhere", "cross_origin")
	}
	if after := everything(t, bob); after != before {
		t.Errorf("something changed:\n%s\n%s", before, after)
	}
}

// everything is the state that these pages change, as far as other tests leave it alone.
func everything(t *testing.T, s *site) string {
	t.Helper()
	return pgtest.Value[string](t, s.db.Superuser(), `
with r as (select * from pg_authid where rolname in ('admin', 'bob', 'eve', 'never_made'))
select concat_ws(' ', (select array_agg(r::text order by r.oid) from r)::text, (select array_agg(m::text order by m::text) from pg_auth_members m join r on r.oid = m.member)::text,
  (select i::text from tinydev_impl.instance i), (select array_agg(l::text) from tinydev_impl.user_limit l)::text,
  (select array_agg(t.name order by t.token_id) from tinydev_impl.token t)::text, (select array_agg(x::text) from tinydev_impl.trust x)::text,
  (select array_agg(c.relacl::text order by c.oid) from pg_class c where c.oid >= 16384)::text)`)
}
