package web_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// TestLineagePage sees what is connected and what is not, whole and around one relation, and nothing of others'.
func TestLineagePage(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Ann)
	s.get("/lineage", "Nothing yet.", `<a href="/lineage" aria-current="page">Lineage</a>`)
	s.load("friends", "friends.csv", friends)
	conn := s.db.Conn(pgtest.Ann)
	run(t, conn, `create table "<b>&" (x int)`, `create view named as select "Name" from friends`,
		"create function slow(text) returns text language plpgsql as 'begin return $1; end'",
		`create materialized view initials as select slow(left("Name", 1)) as i from named`, `create materialized view "of ""<i>" as select * from initials with no data`,
		"select tinydev.schedule('initials', '0 9 * * *')")
	s.get("/table?name=friends", `<a href="/lineage?relation=%22Ann%22.friends">lineage</a>`)
	s.get("/view?name=initials", `<a href="/lineage?relation=%22Ann%22.initials">lineage</a>`)

	all := s.get("/lineage", "<svg ", `<a href="/table?name=%22Ann%22.friends">`, `<a href="/view?name=%22Ann%22.initials">`, `<a href="/job?id=`, `<a href="/lineage?relation=%22Ann%22.named">`,
		"never filled", "may read more", "Ann.slow(text)", "0 9 * * *", `Connected with nothing`, `table Ann.&lt;b&gt;&amp;`, "view Ann.initials reads plain view Ann.named", "refreshes view Ann.initials", "calls function Ann.slow(text)")
	if strings.Contains(all.body, "<b>&") || strings.Contains(all.body, `"<i>`) {
		t.Error("names become markup")
	}
	around := s.get("/lineage?relation=named", "Lineage of Ann.named", `class="node kind-plain_view root"`, `<option value="&#34;Ann&#34;.named" selected>`, "Ann.initials")
	if strings.Contains(around.body, "&lt;b&gt;&amp;</a>") {
		t.Error("what has nothing to do with it is shown")
	}
	s.get("/lineage?"+url.Values{"relation": {`"Ann"."<b>&"`}}.Encode(), `class="node kind-table root"`)
	s.want(s.send(http.MethodGet, "/lineage?relation=nothing", "", nil), http.StatusNotFound, "no relation", "relation_not_found")

	bob := open(t, s.db, pgtest.Bob)
	if page := bob.get("/lineage"); strings.Contains(content(page.body), "Ann") {
		t.Errorf("bob sees %s", content(page.body))
	}
	bob.want(bob.send(http.MethodGet, "/lineage?relation=%22Ann%22.friends", "", nil), http.StatusForbidden, "another's table", "not_readable")

	for i := range 80 {
		run(t, conn, fmt.Sprintf("create table t%d (x int)", i), fmt.Sprintf("create view p%[1]d as select * from t%[1]d", i))
	}
	if page := s.get("/lineage", "too many for one picture"); strings.Contains(page.body, "<svg viewBox=\"0 0 1") && strings.Contains(page.body, `class="node`) {
		t.Error("too many are drawn")
	}
	s.get("/lineage?relation=t7", "Ann.p7", `class="node kind-table root"`)
}

// TestLineageInBrowser looks at the drawing, narrow and wide, and follows a link in it.
func TestLineageInBrowser(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Ann)
	s.load("friends", "friends.csv", friends)
	s.load("orders", "orders.csv", "Name,Amount,Day\nann,3,2026-01-02\n")
	s.load("rates", "rates.csv", "Day,Rate\n2026-01-02,1.1\n")
	s.load("lonely", "lonely.csv", "a\n1\n")
	conn := s.db.Conn(pgtest.Ann)
	run(t, conn, `create view converted as select o."Name", o."Amount" * r."Rate" as amount, o."Day" from orders o join rates r using ("Day")`,
		"create function rounded(numeric) returns numeric language plpgsql as 'begin return round($1); end'",
		`create materialized view daily_sales as select "Day", sum(rounded(amount::numeric)) as total from converted group by 1`,
		`create materialized view best_friends as select f."Name", sum(c.amount) as total from friends f join converted c using ("Name") group by 1`,
		`create materialized view report_of_everything_that_is_long as select d.*, b."Name" from daily_sales d cross join best_friends b`,
		`create materialized view birthdays as select * from friends with no data`,
		"select tinydev.schedule('daily_sales', '*/15 * * * *'), tinydev.schedule('best_friends', '0 9 * * 1-5'), tinydev.schedule('report_of_everything_that_is_long', '5 seconds')",
		"select tinydev.create_trigger('reports', view => 'report_of_everything_that_is_long')", "select tinydev.create_trigger('loads', view => 'orders', types => array['table.loaded'])",
		"select tinydev.create_subscription('hook', 'webhook', 'https://example.org/hook', subjects => array['daily_sales', 'best_friends'])")
	b := browse(t, s)
	b.open("/")
	b.click("Lineage")
	b.see("Connected with nothing", "Ann.daily_sales", "*/15 * * * *")
	b.shoot("95-lineage")
	b.open("/lineage?relation=daily_sales")
	b.click("In words")
	b.see("view Ann.daily_sales calls function Ann.rounded(numeric)")
	b.shoot("96-lineage-of")
	b.do("follow a link in the drawing", chromedp.Click(chromedp.CSS(`svg a[href^="/view?"]`)))
	b.see("Download CSV", "reschedule")
}
