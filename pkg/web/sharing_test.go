package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// TestSharingPage shares a table, and sees it from the other side.
func TestSharingPage(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Ann)
	bob := open(t, s.db, pgtest.Bob)
	s.load("friends", "friends.csv", friends)
	name := `"Ann".friends`
	place := "/table?" + url.Values{"name": {name}}.Encode()
	s.get(place, "Shared with", "Nobody: only you", `value="everyone"`, `<option value="bob">`)
	bob.want(bob.send(http.MethodGet, place, "", nil), http.StatusForbidden, "what is not shared", "not_readable")

	form := url.Values{"relation": {name}, "page": {"table"}, "to": {"bob"}, "privilege": {"select"}, "do": {"check"}}
	plan := s.post("/share", form, "Tinydev-Fragment", "plan")
	s.want(plan, http.StatusOK, "plan", "grant usage on schema &#34;Ann&#34; to bob", "grant select on &#34;Ann&#34;.friends to bob")
	form.Set("do", "save")
	if back := s.follow(s.post("/share", form), "It is shared.", "<strong>bob</strong> may read"); !strings.HasPrefix(back, "/table?") {
		t.Errorf("sharing leads to %s", back)
	}
	page := bob.get(place, "This belongs to <strong>Ann</strong>; you may read.", "1815-12-10").body
	for _, text := range []string{"Drop…", "Add rows", "Shared with", "Take back"} {
		if strings.Contains(content(page), text) {
			t.Errorf("who reads another's table is offered %q", text)
		}
	}
	bob.get("/tables", "Ann.friends", `Ann <span class="tag">shared</span>`)
	s.get("/tables", `<span class="dim">you</span>`)
	bob.want(bob.post("/share", url.Values{"relation": {name}, "to": {"eve"}, "privilege": {"select"}, "do": {"save"}}), http.StatusForbidden, "share another's", "not_owner")
	bob.want(bob.post("/unshare", url.Values{"relation": {name}, "to": {"bob"}, "privilege": {"all"}}), http.StatusForbidden, "unshare another's", "not_owner")

	form.Set("privilege", "insert")
	s.follow(s.post("/share", form), "may add rows", "not any more")
	bob.get(place, "add rows", "Add rows")
	s.get("/unshare?"+url.Values{"relation": {name}, "page": {"table"}, "to": {"bob"}, "privilege": {"insert"}}.Encode(), "revoke insert on &#34;Ann&#34;.friends from bob", "bob may not add rows any more.")
	s.follow(s.post("/unshare", url.Values{"relation": {name}, "page": {"table"}, "to": {"bob"}, "privilege": {"insert"}}), "<strong>bob</strong> may read")
	s.follow(s.post("/unshare", url.Values{"relation": {name}, "page": {"table"}, "to": {"bob"}, "privilege": {"all"}}), "Nobody: only you")
	bob.want(bob.send(http.MethodGet, place, "", nil), http.StatusForbidden, "what is shared no more", "not_readable")

	s.want(s.post("/share", url.Values{"relation": {name}, "to": {"nobody"}, "privilege": {"select"}, "do": {"save"}}), http.StatusNotFound, "share with nobody", "user_not_found", `value="nobody"`)
	s.follow(s.post("/views/new", url.Values{"name": {"oldest"}, "query": {"select min(\"Date\") as born from friends"}, "do": {"save"}}), "Nobody: only you")
	view := url.Values{"relation": {`"Ann".oldest`}, "page": {"view"}, "to": {"everyone"}, "privilege": {"select"}, "do": {"save"}}
	if back := s.follow(s.post("/share", view), "<strong>everyone</strong> may read"); !strings.HasPrefix(back, "/view?") {
		t.Errorf("sharing leads to %s", back)
	}
	page = bob.get("/view?"+url.Values{"name": {`"Ann".oldest`}}.Encode(), "This belongs to <strong>Ann</strong>; you may read.", "1815-12-10", "only when Ann does it").body
	if strings.Contains(content(page), "Refresh now") || strings.Contains(content(page), "Shared with") {
		t.Errorf("who reads another's view is offered to change it:\n%s", content(page))
	}
	// What psql granted is there at once, to columns and to all roles too.
	run(t, s.db.Conn(pgtest.Ann), `grant select ("Name") on friends to eve`, "grant references on friends to public")
	s.get(place, "<strong>eve</strong> may read (column Name)", "<strong>public</strong> may references", "granted in psql")
}

// TestForeignCode names the code that a page would run, and leads to what trusting its owner means and back.
func TestForeignCode(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Bob)
	run(t, s.db.Conn("eve"), "create table secrets (a int)", "insert into secrets values (42)",
		"create function peek(secrets) returns boolean language sql as 'select true'", "alter table secrets enable row level security",
		"create policy mine on secrets using (peek(secrets))", "grant execute on function peek to public", "select tinydev.share('secrets', 'bob')")
	place := "/table?" + url.Values{"name": {"eve.secrets"}}.Encode()
	refused := s.get(place, "foreign_code", "Code that would run", "row policy mine on eve.secrets", "What trusting eve means").body
	if strings.Contains(content(refused), "42") {
		t.Error("the rows are shown")
	}
	trust := "/trust?" + url.Values{"owner": {"eve"}, "next": {place}}.Encode()
	s.get(trust, "Trust eve?", "with your rights", "select tinydev.trust(&#39;eve&#39;)", `name="next" value="`+strings.ReplaceAll(place, "&", "&amp;")+`"`)
	back := s.follow(s.post("/trust", url.Values{"owner": {"eve"}, "next": {place}}), "Trusted: this owner", ">42<")
	if !strings.HasPrefix(back, "/table?") {
		t.Errorf("trusting leads to %s", back)
	}
	s.get("/account", "eve", "Trust no longer")
	s.get("/trust/remove?owner=eve", "tinydev.untrust(&#39;eve&#39;)")
	s.follow(s.post("/trust/remove", url.Values{"owner": {"eve"}}), "You trust nobody")
	s.get(place, "foreign_code")
	for next, want := range map[string]string{"https://evil.example/": "/?done=trusted", "//evil.example": "/?done=trusted", "": "/?done=trusted", "/view?name=x": "/view?done=trusted&name=x"} {
		if got := s.post("/trust", url.Values{"owner": {"eve"}, "next": {next}}).header.Get("Location"); got != want {
			t.Errorf("trusting with next=%q leads to %s, want %s", next, got, want)
		}
	}
	s.want(s.send(http.MethodGet, "/trust?owner=nobody", "", nil), http.StatusNotFound, "trust nobody", "user_not_found")
}
