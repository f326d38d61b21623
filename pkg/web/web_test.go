package web_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// TestForms goes the whole way without JavaScript: file, table, query, view, schedule, events, and back again.
func TestForms(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Ann)
	s.get("/", "From a file to an event", `href="/load"`)
	s.get("/load", `type="file"`)

	place := s.follow(s.upload("", "My Friends.csv", friends),
		`value="my_friends"`, ">Score</th>", "numeric", "ann", "create table &#34;Ann&#34;.my_friends", "copy &#34;Ann&#34;.my_friends", "Line 2 holds <code>3.5</code>")
	query, _ := url.Parse(place)
	fields := query.Query()
	fields.Set("table", "friends")
	fields.Set("type:Score", "text")
	s.get("/load/draft?"+fields.Encode(), "You chose it.", "<option selected>text</option>")
	s.follow(s.post("/load/draft", fields), "Loaded 3 rows.", "Write a query on it", "1815-12-10", `href="/download?name=%22Ann%22.friends"`)
	if got := pgtest.Value[string](t, s.db.Conn(pgtest.Ann), `select pg_catalog.format_type(atttypid, atttypmod) from pg_catalog.pg_attribute where attrelid = 'friends'::regclass and attname = 'Score'`); got != "text" {
		t.Errorf("Score has the type %s, want the chosen text", got)
	}
	s.want(s.post("/load/draft", fields), http.StatusNotFound, "load a draft twice", "draft_not_found")

	s.get("/", "Next: write a query")
	s.get("/views/new?table="+url.QueryEscape(`"Ann".friends`), "select *\nfrom &#34;Ann&#34;.friends", `value="friends_view"`, "create materialized view", "eve")
	view := url.Values{"name": {"oldest"}, "query": {"select min(\"Date\") as born from friends"}, "do": {"try"}}
	s.want(s.post("/views/new", view), http.StatusOK, "try", "1815-12-10", "create materialized view &#34;Ann&#34;.oldest as")
	view.Set("do", "check")
	checked := s.post("/views/new", view, "Tinydev-Fragment", "plan")
	s.want(checked, http.StatusOK, "check", "create materialized view")
	if strings.Contains(checked.body, "<html") {
		t.Errorf("a fragment is a whole page:\n%s", checked.body)
	}
	view.Set("do", "save")
	s.follow(s.post("/views/new", view), "The view is made and filled: 1 row.", "Choose a schedule", "create unique index on &#34;Ann&#34;.oldest (born);", "Readers wait")

	s.get("/", "Next: choose a schedule")
	s.get("/schedule?view=oldest", "Refreshed every minute", "Next five runs", "cron.schedule_in_database")
	schedule := url.Values{"view": {`"Ann".oldest`}, "preset": {"weekdays"}, "at": {"07:05"}, "do": {"check"}}
	s.want(s.post("/schedule", schedule), http.StatusOK, "preview a schedule", "at 07:05 from Monday to Friday")
	schedule.Set("do", "save")
	job := s.follow(s.post("/schedule", schedule), "The schedule is saved", "5 7 * * 1-5", "It has not run yet.", "Pause")
	s.get("/schedule?view=oldest", `value="weekdays" checked`, `value="07:05"`)
	id := url.Values{"id": {regexp.MustCompile(`id=(\d+)`).FindStringSubmatch(job)[1]}, "active": {"false"}}
	s.follow(s.post("/job/active", id), "The job is paused.", "Resume", "None while it is paused")
	id.Set("active", "true")
	s.follow(s.post("/job/active", id), "The job runs again.")
	s.get("/jobs", "at 07:05 from Monday to Friday", "active")

	once := url.Values{"view": {`"Ann".oldest`}, "preset": {"custom"}, "custom": {"at 2099-12-05 14:30"}, "do": {"check"}}
	s.want(s.post("/schedule", once), http.StatusOK, "preview a time", "Refreshed once, on 2099-12-05 at 14:30", "cron.schedule_in_database")
	once.Set("do", "save")
	if page := s.follow(s.post("/schedule", once), "The schedule is saved", "at 2099-12-05 14:30", "It has not run yet."); strings.Contains(page, "Reschedule") {
		t.Error("the page of a job that runs once leads to the schedule of the view")
	}
	s.get("/view?name=oldest", "at 07:05 from Monday to Friday", "once, on 2099-12-05 at 14:30")
	s.get("/schedule?view=oldest", `value="weekdays" checked`, `<code>H 3 * * *</code>`)
	once.Set("custom", "H 3 * * *")
	once.Set("do", "check")
	s.want(s.post("/schedule", once), http.StatusOK, "preview a free minute", "H is chosen when the view is scheduled")

	name := url.Values{"name": {`"Ann".oldest`}}
	s.follow(s.post("/view/refresh", name), "Refreshed: 1 row.")
	s.get("/view/replace?name=oldest", "min(", "Give the view this query")
	replace := url.Values{"name": {`"Ann".oldest`}, "query": {`select max("Date") as born from friends`}, "do": {"save"}}
	s.follow(s.post("/view/replace", replace), "The view has its new query: 1 row.", "1912-06-23")
	rows := s.get("/download?name=oldest", "born\n1912-06-23\n")
	if got := rows.header.Get("Content-Disposition"); got != "attachment; filename=oldest.csv" {
		t.Errorf("Content-Disposition is %q", got)
	}

	pgtest.Eventually(t, 10*time.Second, "the events are placed", func() bool {
		return strings.Contains(s.get("/events").body, "view.replaced")
	})
	s.get("/events", "view.refreshed", "table.loaded", "Data of event", "&#34;duration_ms&#34;")
	if body := s.get("/events?type=table.*").body; strings.Contains(body, `class="type">view.`) || !strings.Contains(body, `class="type">table.loaded`) {
		t.Errorf("the filter table.* lets through:\n%s", body)
	}

	s.want(s.send(http.MethodGet, "/table/drop?name=friends", "", nil), http.StatusConflict, "drop a table in use", "Used by", "oldest")
	s.get("/job/remove?"+id.Encode(), "Remove the job?", "cron.unschedule")
	s.follow(s.post("/job/remove", id), "The job is removed")
	s.get("/view/drop?name=oldest", "drop materialized view")
	s.follow(s.post("/view/drop", name), "It is dropped.", "No views yet")
	s.get("/table/drop?name=friends", "drop table")
	s.follow(s.post("/table/drop", url.Values{"name": {"friends"}}), "It is dropped.")
}

// TestMistakes shows where a person went wrong, and keeps what was typed.
func TestMistakes(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Ann)
	s.want(s.upload("", "", ""), http.StatusUnprocessableEntity, "no file", "file_missing", "Choose a CSV file first.")
	s.follow(s.upload("", "ragged.csv", "a,b\n1,2\n3\n4,5,6\n"), "Mistakes in the file", `<td class="num">3</td>`, `<td class="num">4</td>`)
	s.follow(s.upload("", "table.xlsx", "PK\x03\x04 and so on"), "an Excel workbook, not CSV", "Export the data as CSV first.")

	s.load("people", "people.csv", "id,born\n1,2000-01-01\n")
	// Rows that do not fit the table that is there: said before the load.
	s.follow(s.upload("people", "more.csv", "id,height\n2,180\n"), "exists. The rows are added to it", "Only in the file", "height", "no such column")
	// A cell that does not fit: said by the load, with its place.
	draft := s.upload("people", "bad.csv", "id,born\n2,2001-01-01\nthree,2001-01-01\n")
	place, _ := url.Parse(draft.header.Get("Location"))
	s.want(s.post("/load/draft", place.Query()), http.StatusUnprocessableEntity, "load a bad cell", "three", `<td class="num">3</td>`, ">id</td>")
	// The same content again.
	draft = s.upload("people", "again.csv", "id,born\n1,2000-01-01\n")
	place, _ = url.Parse(draft.header.Get("Location"))
	again := place.Query()
	s.want(s.post("/load/draft", again), http.StatusConflict, "load the same again", "already_loaded", `name="force"`)
	again.Set("force", "1")
	s.follow(s.post("/load/draft", again), "Loaded 1 row.")

	wrong := url.Values{"name": {"v"}, "query": {"select id,\r\n\tborm\r\nfrom people"}, "do": {"try"}}
	s.want(s.post("/views/new", wrong), http.StatusOK, "a wrong column", "Line 2, column 2", "<mark>borm</mark>", "\t^", "query_invalid")
	wrong.Set("do", "save")
	s.want(s.post("/views/new", wrong), http.StatusUnprocessableEntity, "save a wrong query", "<mark>borm</mark>", "borm\nfrom people</textarea>")
	wrong.Set("query", "drop table people")
	s.want(s.post("/views/new", wrong), http.StatusUnprocessableEntity, "no query")
	wrong.Set("query", "select 1/(id - 1) from people")
	wrong.Set("do", "try")
	s.want(s.post("/views/new", wrong), http.StatusOK, "a query that fails", "Division by zero.")
	wrong.Set("name", "people")
	wrong.Set("query", "select 1 as one")
	wrong.Set("do", "save")
	s.want(s.post("/views/new", wrong), http.StatusConflict, "a taken name", "name_taken", `value="people"`)

	s.want(s.send(http.MethodGet, "/job?id=x", "", nil), http.StatusNotFound, "no job", "job_not_found")
	s.want(s.send(http.MethodGet, "/table?name=nothing", "", nil), http.StatusNotFound, "no table", "table_not_found", "Back to the start")
	if n := pgtest.Value[int](t, s.db.Conn(pgtest.Ann), "select count(*)::int from people"); n != 2 {
		t.Errorf("people has %d rows, want 2", n)
	}

	// A view whose refresh fails: the page says why, and the failure is an event.
	s.follow(s.post("/views/new", url.Values{"name": {"risky"}, "query": {"select 1 / (2 - count(*)) as x from people where born > '2000-01-02'"}, "do": {"save"}}))
	schedule := url.Values{"view": {"risky"}, "preset": {"custom"}, "custom": {"99 * * * *"}, "do": {"save"}}
	s.want(s.post("/schedule", schedule), http.StatusUnprocessableEntity, "a bad schedule", "99 * * * *", `role="alert"`)
	s.load("people", "later.csv", "id,born\n7,2020-01-01\n8,2020-01-01\n")
	s.want(s.post("/view/refresh", url.Values{"name": {"risky"}}), http.StatusUnprocessableEntity, "a failing refresh", "Division by zero.", "Refresh now")
	pgtest.Eventually(t, 10*time.Second, "the failure is an event", func() bool {
		return strings.Contains(s.get("/events").body, `<li data-position`) && strings.Contains(s.get("/events?type=view.failed").body, `class="message">division by zero`)
	})
}

// hostile is text that would run if it ever became markup.
const hostile = `"><img src=x onerror=attack()><script>attack()</script>`

// TestHostileText puts markup everywhere that a user can put text, and finds it nowhere as markup.
func TestHostileText(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Ann)
	places := hostilePlaces(s)
	pgtest.Eventually(t, 10*time.Second, "the events are placed", func() bool {
		return strings.Contains(s.get("/events").body, "test.failed")
	})
	s.harmless(places...)
}

// hostilePlaces makes a table, a view, a job and events of hostile names and values, and gives the pages that show them.
func hostilePlaces(s *site) []string {
	s.t.Helper()
	quoted := `"` + strings.ReplaceAll(hostile, `"`, `""`) + `"`
	s.load(quoted, hostile+".csv", `"`+strings.ReplaceAll(hostile, `"`, `""`)+`",b`+"\n"+`"`+strings.ReplaceAll(hostile, `"`, `""`)+`",1`+"\n")
	name := `"Ann".` + quoted
	viewName := strings.ReplaceAll(quoted, "x onerror", "v onerror")
	s.want(s.post("/views/new", url.Values{"name": {viewName}, "query": {"select *, '</script>" + hostile + "' as " + quoted[:len(quoted)-1] + `2" from ` + name}, "do": {"save"}}), http.StatusSeeOther, "make the view")
	view := `"Ann".` + viewName
	job := s.post("/schedule", url.Values{"view": {view}, "preset": {"1h"}, "do": {"save"}})
	s.want(job, http.StatusSeeOther, "schedule the view")
	conn := s.db.Conn(pgtest.Ann)
	if _, err := conn.Exec(s.t.Context(), "select tinydev.record_event('test.failed', null, $1, pg_catalog.jsonb_build_object('message', $2::text, $2::text, $2::text))", name, hostile); err != nil {
		s.t.Fatal(err)
	}
	if _, err := conn.Exec(s.t.Context(), "comment on table "+name+" is '"+hostile+"'"); err != nil {
		s.t.Fatal(err)
	}
	draft := s.upload(hostile, hostile+".csv", "a,"+`"`+strings.ReplaceAll(hostile, `"`, `""`)+`"`+"\n"+`1,"`+strings.ReplaceAll(hostile, `"`, `""`)+`"`+"\n")
	q := url.QueryEscape
	return []string{
		"/", "/tables", "/views", "/jobs", "/events", "/events?type=" + q(hostile) + "&subject=" + q(hostile),
		"/table?name=" + q(name), "/table?name=" + q(hostile), "/table/drop?name=" + q(name), "/load?table=" + q(name), draft.header.Get("Location"),
		"/view?name=" + q(view), "/view/replace?name=" + q(view), "/view/drop?name=" + q(view), "/views/new?table=" + q(name), "/views/new?query=" + q("select "+hostile),
		"/schedule?view=" + q(view), job.header.Get("Location"),
	}
}

// TestDoor covers who gets in: nobody without a token or cookie, no other site, no other user's file.
func TestDoor(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Ann)
	a := s.get("/")
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
		"X-Content-Type-Options":  "nosniff", "Referrer-Policy": "same-origin", "Cache-Control": "no-store", "Content-Type": "text/html; charset=UTF-8",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	draft := s.upload("", "friends.csv", friends).header.Get("Location")
	s.want(s.post("/view/refresh", url.Values{"name": {"v"}}, "Sec-Fetch-Site", "cross-site"), http.StatusForbidden, "another site's form", "cross_origin")

	bob := open(t, s.db, pgtest.Bob)
	bob.want(bob.send(http.MethodGet, draft, "", nil), http.StatusNotFound, "another user's file", "draft_not_found")

	token := s.token
	s.token = ""
	s.want(s.send(http.MethodGet, "/tables?after=x", "", nil), http.StatusUnauthorized, "a stranger", `action="/login"`, `value="/tables?after=x"`)
	s.want(s.post("/table/drop", url.Values{"name": {"x"}}), http.StatusUnauthorized, "a stranger's change")
	s.want(s.send(http.MethodGet, "/login?reason=code_spent", "", nil), http.StatusOK, "who opens the printed address again", `role="alert"`, "opened before")
	s.want(s.post("/login", url.Values{"token": {"td_wrong"}, "next": {"/jobs"}}), http.StatusUnauthorized, "a wrong token", `role="alert"`, `value="/jobs"`)
	for next, want := range map[string]string{"/jobs": "/jobs", "//evil.example": "/", "https://evil.example": "/", `/\evil.example`: "/", "": "/"} {
		in := s.post("/login", url.Values{"token": {token}, "next": {next}})
		s.want(in, http.StatusSeeOther, "sign in")
		if got := in.header.Get("Location"); got != want {
			t.Errorf("after signing in, %q leads to %q, want %q", next, got, want)
		}
		if cookie := in.header.Get("Set-Cookie"); !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Strict") {
			t.Errorf("the cookie is %q", cookie)
		}
		page := s.send(http.MethodGet, "/", "", nil, "Cookie", strings.SplitN(in.header.Get("Set-Cookie"), ";", 2)[0])
		s.want(page, http.StatusOK, "with the cookie", "Sign out")
	}
	asset := s.send(http.MethodGet, "/assets/app.js", "", nil)
	s.want(asset, http.StatusOK, "an asset", "import")
	s.want(s.send(http.MethodGet, "/assets/app.js", "", nil, "If-None-Match", asset.header.Get("ETag")), http.StatusNotModified, "the asset again")
	s.want(s.send(http.MethodGet, "/assets/none.js", "", nil), http.StatusNotFound, "no asset")
}
