package web_test

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// as gives the same site seen with another token.
func (s *site) as(token string) *site {
	other := &site{t: s.t, db: s.db, auth: s.auth, url: s.url, token: token, server: s.server}
	return other
}

// makeToken makes a token by its form, and reads it where it is shown.
func (s *site) makeToken(fields url.Values) string {
	s.t.Helper()
	fields.Set("do", "save")
	if !fields.Has("expires") {
		fields.Set("expires", "30")
	}
	made := s.post("/tokens/new", fields)
	s.want(made, http.StatusCreated, "make a token", "It is shown this once", "data-copy", "curl -H &#39;Authorization: Bearer td_")
	token := regexp.MustCompile(`value="(td_[A-Za-z0-9_-]+)"`).FindStringSubmatch(made.body)
	if token == nil {
		s.t.Fatalf("there is no token in\n%s", content(made.body))
	}
	return token[1]
}

func TestAccount(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Ann)
	s.get("/account", "tinydev psql --user Ann", "your account", "Memory of a sort", "You trust nobody", ">test<", `list="owners"`, `<option value="bob">`)
	s.get("/", `href="/account"`)

	s.get("/password", "Set your password", "alter role &#34;Ann&#34; password &#39;SCRAM-SHA-256$")
	s.want(s.post("/password", url.Values{"password": {"short"}, "do": {"save"}}), http.StatusUnprocessableEntity, "a short password", "password_invalid")
	s.want(s.post("/password", url.Values{"password": {""}, "do": {"save"}}), http.StatusUnprocessableEntity, "no password", "password_invalid")
	s.follow(s.post("/password", url.Values{"password": {"correct horse battery"}, "do": {"save"}}), "The password is set.")
	kept := pgtest.Value[string](t, s.db.Superuser(), "select rolpassword from pg_authid where rolname = 'Ann'")
	made := s.post("/password", url.Values{"do": {"generate"}})
	s.want(made, http.StatusOK, "a generated password", "The password is set", "data-copy")
	if again := pgtest.Value[string](t, s.db.Superuser(), "select rolpassword from pg_authid where rolname = 'Ann'"); again == kept || !strings.HasPrefix(kept, "SCRAM-SHA-256$") {
		t.Errorf("PostgreSQL keeps %.14s and then %.14s", kept, again)
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Ann)
	s.get("/tokens/new", "in 30 days", "Read only", `value="views"`)
	form := url.Values{"name": {"laptop"}, "expires": {"30"}, "scope": {"tables", "jobs"}, "read_only": {"1"}, "do": {"check"}}
	s.want(s.post("/tokens/new", form), http.StatusOK, "plan", "tinydev.create_token(name =&gt; &#39;laptop&#39;", `value="tables" checked`, `name="read_only" value="1" checked`)
	token := s.makeToken(form)
	form.Set("do", "save")
	s.want(s.post("/tokens/new", form), http.StatusConflict, "the same name again", "token_name_taken", `value="laptop"`)
	page := s.get("/account", ">laptop<", token[:7], "jobs, tables", "read only").body
	if strings.Contains(page, token) {
		t.Error("the token is shown again")
	}
	if got := pgtest.Value[int](t, s.db.Superuser(), "select round(extract(epoch from expires_at - now()) / 86400)::int from tinydev_impl.token where name = 'laptop'"); got != 30 {
		t.Errorf("it expires in %d days", got)
	}
	scoped := s.as(token)
	scoped.want(scoped.send(http.MethodGet, "/v1/tables", "", nil), http.StatusOK, "what its scope has")
	scoped.want(scoped.send(http.MethodGet, "/account", "", nil), http.StatusForbidden, "the pages with a scoped token", "token_scope")

	for _, wrong := range []url.Values{
		{"name": {"x"}, "expires": {"date"}, "date": {"soon"}, "do": {"save"}}, {"name": {"x"}, "expires": {"date"}, "date": {"2001-02-03"}, "do": {"save"}},
		{"name": {"x"}, "expires": {"7"}, "do": {"save"}}, {"name": {"x"}, "expires": {"30"}, "scope": {"all"}, "do": {"save"}}, {"name": {""}, "expires": {"30"}, "do": {"save"}},
	} {
		s.want(s.post("/tokens/new", wrong), http.StatusUnprocessableEntity, "a token that cannot be "+wrong.Encode(), `role="alert"`)
	}
	whole := s.as(s.makeToken(url.Values{"name": {"whole"}, "expires": {"never"}}))
	whole.get("/account", ">whole<")

	ids := regexp.MustCompile(`/tokens/revoke\?id=(\d+)&amp;user=Ann&amp;name=whole"`).FindStringSubmatch(s.get("/account").body)
	if ids == nil {
		t.Fatal("there is no way to revoke it")
	}
	revoke := url.Values{"id": {ids[1]}}
	bob := open(t, s.db, pgtest.Bob)
	bob.want(bob.post("/tokens/revoke", revoke), http.StatusNotFound, "another's token", "token_not_found")
	bob.want(bob.post("/tokens/new", url.Values{"user": {"eve"}, "name": {"x"}, "expires": {"30"}, "do": {"save"}}), http.StatusForbidden, "a token for another", "admin_only")
	whole.get("/account")
	s.get("/tokens/revoke?id="+ids[1]+"&name=whole", "Revoke the token?", "tinydev.revoke_token(")
	s.follow(s.post("/tokens/revoke", revoke), "The token is revoked")
	pgtest.Eventually(t, 20*time.Second, "the token is refused", func() bool {
		return whole.send(http.MethodGet, "/account", "", nil).status == http.StatusUnauthorized
	})
	s.want(s.post("/tokens/revoke", url.Values{"id": {"x"}}), http.StatusNotFound, "no token", "token_not_found")
}

// TestScopesAreAll compares what the form offers with what there is.
func TestScopesAreAll(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Ann)
	var offered []string
	for _, m := range regexp.MustCompile(`name="scope" value="([^"]+)"`).FindAllStringSubmatch(s.get("/tokens/new").body, -1) {
		offered = append(offered, m[1])
	}
	slices.Sort(offered)
	if all := pgtest.Value[[]string](t, s.db.Superuser(), "select pg_catalog.array_agg(s order by s) from unnest(tinydev_lib.scopes()) s"); !slices.Equal(offered, all) {
		t.Errorf("the form offers %v, there are %v", offered, all)
	}
}

// TestAdministratorGivesTokens makes and revokes a token of another user, and signs out a browser.
func TestAdministratorGivesTokens(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Admin)
	s.get("/tokens/new?user=bob", "New token for bob")
	bob := s.as(s.makeToken(url.Values{"user": {"bob"}, "name": {"laptop"}}))
	bob.get("/account", "your account", "tinydev psql --user bob", ">laptop<")
	in := bob.post("/login", url.Values{"token": {bob.token}})
	bob.want(in, http.StatusSeeOther, "sign in")
	cookie := strings.SplitN(in.header.Get("Set-Cookie"), ";", 2)[0]
	page := bob.get("/account", "Browsers that are signed in")
	session := regexp.MustCompile(`id=(\d+)&amp;kind=session`).FindStringSubmatch(page.body)
	if session == nil {
		t.Fatalf("no browser is listed:\n%s", content(page.body))
	}
	browser := s.as("")
	browser.want(browser.send(http.MethodGet, "/account", "", nil, "Cookie", cookie), http.StatusOK, "the browser", "this one")
	bob.get("/tokens/revoke?id="+session[1]+"&kind=session&name=laptop", "Sign the browser out?")
	bob.follow(bob.post("/tokens/revoke", url.Values{"id": {session[1]}}))
	pgtest.Eventually(t, 20*time.Second, "the browser is signed out", func() bool {
		return browser.send(http.MethodGet, "/account", "", nil, "Cookie", cookie).status == http.StatusUnauthorized
	})

	id := regexp.MustCompile(`/tokens/revoke\?id=(\d+)&amp;user=bob&amp;name=laptop`).FindStringSubmatch(s.get("/user?name=bob", ">laptop<").body)
	if id == nil {
		t.Fatal("the administrator cannot revoke it")
	}
	if place := s.follow(s.post("/tokens/revoke", url.Values{"id": {id[1]}, "user": {"bob"}}), "The token is revoked", "No tokens"); !strings.HasPrefix(place, "/user?") {
		t.Errorf("revoking leads to %s", place)
	}
	pgtest.Eventually(t, 20*time.Second, "the token is refused", func() bool {
		return bob.send(http.MethodGet, "/account", "", nil).status == http.StatusUnauthorized
	})
}

// changingForms are the forms that change something, for somebody who may do all of them.
func changingForms() map[string]url.Values {
	all := map[string]url.Values{
		"/password": {"do": {"generate"}}, "/tokens/new": {"name": {"x"}, "expires": {"30"}, "do": {"save"}}, "/trust": {"owner": {"eve"}}, "/trust/remove": {"owner": {"bob"}},
		"/share": {"relation": {"friends"}, "to": {"eve"}, "privilege": {"select"}, "do": {"save"}}, "/unshare": {"relation": {"friends"}, "to": {"bob"}, "privilege": {"all"}},
	}
	for place, fields := range administrationForms {
		all[place] = fields
	}
	return all
}

// TestReadOnlySession sees all pages and changes nothing, and is told why.
func TestReadOnlySession(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Admin)
	run(t, s.db.Conn(pgtest.Admin), "create table friends (a int)", "select tinydev.share('friends', 'bob')", "select tinydev.trust('bob')")
	reader := s.as(s.makeToken(url.Values{"name": {"reader"}, "read_only": {"1"}}))
	in := reader.post("/login", url.Values{"token": {reader.token}})
	reader.want(in, http.StatusSeeOther, "sign in")
	reader.token = ""
	cookie := strings.SplitN(in.header.Get("Set-Cookie"), ";", 2)[0]
	for _, place := range append([]string{"/account", "/tokens/new", "/table?name=friends", "/tables", "/"}, "/users", "/user?name=bob", "/settings", "/audit") {
		reader.want(reader.send(http.MethodGet, place, "", nil, "Cookie", cookie), http.StatusOK, "GET "+place)
	}
	before := everything(t, s)
	for place, fields := range changingForms() {
		reader.want(reader.post(place, fields, "Cookie", cookie), http.StatusForbidden, "POST "+place, "You are signed in with a token that only reads.", "Sign out")
	}
	if after := everything(t, s); after != before {
		t.Errorf("something changed:\n%s\n%s", before, after)
	}
	// The same forms from elsewhere, by who may.
	for place, fields := range changingForms() {
		s.want(s.post(place, fields, "Sec-Fetch-Site", "cross-site"), http.StatusForbidden, "POST "+place+" from elsewhere", "cross_origin")
	}
	if after := everything(t, s); after != before {
		t.Errorf("something changed from elsewhere:\n%s\n%s", before, after)
	}
}

// TestHostileTextOfUsers puts markup, quotes and the longest names into every field, and finds them as text.
func TestHostileTextOfUsers(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Admin)
	name := hostile + "'äää"                                                                                       // 63 bytes, as long as a role's name can be
	if !pgtest.Value[bool](t, s.db.Superuser(), "select exists (select from pg_roles where rolname = $1)", name) { // a run before this one made it
		run(t, s.db.Superuser(), `create role "`+strings.ReplaceAll(name, `"`, `""`)+`" login in role tinydev_user`)
	}
	run(t, s.db.Superuser(),
		`insert into tinydev_impl.identity (issuer, subject, role_name) values ('`+strings.ReplaceAll(hostile, "'", "''")+`', '`+strings.ReplaceAll(hostile, "'", "''")+`', 'bob')`)
	s.makeToken(url.Values{"user": {"bob"}, "name": {hostile}})
	s.makeToken(url.Values{"name": {hostile}})
	s.makeToken(url.Values{"user": {name}, "name": {strings.Repeat("ö", 50)}})
	run(t, s.db.Conn(pgtest.Admin), `create table "`+strings.ReplaceAll(hostile, `"`, `""`)+`" (a int)`)
	relation := `admin."` + strings.ReplaceAll(hostile, `"`, `""`) + `"`
	s.follow(s.post("/share", url.Values{"relation": {relation}, "to": {name}, "privilege": {"all"}, "do": {"save"}}), "onerror")
	s.follow(s.post("/trust", url.Values{"owner": {name}, "next": {"/account"}}), "onerror")
	q := url.QueryEscape
	s.harmless("/users", "/user?name=bob", "/user?name="+q(name), "/user/drop?name="+q(name), "/user/admin?admin=true&name="+q(name), "/password?user="+q(name), "/tokens/new?user="+q(name),
		"/account", "/trust?owner="+q(name), "/trust?owner="+q(hostile), "/trust/remove?owner="+q(name), "/tables", "/table?name="+q(relation), "/tokens/revoke?id=1&name="+q(hostile),
		"/user/unlink?name=bob&issuer="+q(hostile), "/unshare?relation="+q(relation)+"&to="+q(name)+"&privilege=all", "/audit")
	for place, fields := range map[string]url.Values{
		"/users/new":   {"name": {hostile}, "connections": {hostile}, "do": {"save"}},
		"/user/limits": {"name": {"bob"}, "page_rows": {hostile}, "do": {"save"}},
		"/settings":    {"page_rows": {hostile}, "event_retention": {hostile}, "do": {"save"}},
		"/tokens/new":  {"name": {hostile}, "expires": {"date"}, "date": {hostile}, "do": {"save"}},
		"/share":       {"relation": {relation}, "to": {hostile}, "do": {"save"}, "privilege": {hostile}},
		"/trust":       {"owner": {hostile}, "next": {hostile}},
		"/user/drop":   {"name": {name}, "objects": {hostile}, "do": {"save"}},
	} {
		a := s.post(place, fields)
		if a.status < 400 || strings.Contains(a.body, "<img") || strings.Contains(a.body, "<script>") || !strings.Contains(a.body, "onerror") {
			t.Errorf("POST %s: status %d\n%s", place, a.status, content(a.body))
		}
	}
	made := s.post("/tokens/new", url.Values{"user": {name}, "name": {hostile}, "expires": {"30"}, "do": {"save"}})
	s.want(made, http.StatusCreated, "a token of a hostile name", "onerror")
	if strings.Contains(made.body, "<img") {
		t.Errorf("the page of the token holds markup:\n%s", content(made.body))
	}
}
