package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// TestTriggerPages makes a trigger by its form, sees its SQL before and itself after, and drops it.
func TestTriggerPages(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Ann)
	s.load("friends", "friends.csv", friends)
	s.get("/triggers", "No triggers yet.", `href="/triggers/new"`)
	s.get("/events", `<a href="/triggers">Triggers</a>`)
	s.get("/triggers/new", "all of your workspace", "Ann.friends", `value="view.refreshed"`)
	s.get("/triggers/new?view=bob.x", `<option value="bob.x" selected>`)

	form := url.Values{"name": {""}, "view": {`"Ann".friends`}, "type": {"table.loaded"}, "other_types": {"prices.checked, import.*"}, "condition": {"$.rows > 0"}, "do": {"check"}}
	plan := s.post("/triggers/new", form, "Tinydev-Fragment", "plan")
	s.want(plan, http.StatusOK, "plan", `create trigger &#34;Ann.new&#34; after insert on tinydev_impl.event`, "import.%")
	form.Set("condition", "$.rows ? (@ > 0)")
	s.want(s.post("/triggers/new", form, "Tinydev-Fragment", "plan"), http.StatusOK, "a bad condition while one types", `data-field="condition"`, "condition_invalid")
	form.Set("do", "save")
	form.Set("name", "loads")
	s.want(s.post("/triggers/new", form), http.StatusUnprocessableEntity, "a bad condition", `data-mistake="condition"`, "condition_invalid", `value="$.rows ? (@ &gt; 0)"`, `value="prices.checked, import.*"`)
	form.Set("condition", "$.rows > 0")
	form.Set("channel", `<img src=x onerror="x">`)
	s.follow(s.post("/triggers/new", form), "The trigger is made", `listen &#34;&lt;img src=x onerror=&#34;&#34;x&#34;&#34;&gt;&#34;;`, "table.loaded of Ann.friends where ($.&#34;rows&#34; &gt; 0)")
	s.want(s.post("/triggers/new", form), http.StatusConflict, "the same again", "trigger_name_taken")
	form.Set("do", "else")
	s.want(s.post("/triggers/new", form), http.StatusUnprocessableEntity, "an unknown step", "form_invalid")
	pgtest.Eventually(t, 20*time.Second, "the relay has made it", func() bool {
		return strings.Contains(s.get("/triggers").body, `<span class="tag good">active</span>`)
	})

	bob := open(t, s.db, pgtest.Bob)
	bob.get("/triggers", "No triggers yet.")
	bob.want(bob.post("/triggers/drop", url.Values{"name": {"Ann.loads"}}), http.StatusNotFound, "another's trigger", "trigger_not_found")
	bob.want(bob.post("/triggers/new", url.Values{"name": {"x"}, "view": {`"Ann".friends`}, "do": {"save"}}), http.StatusForbidden, "another's table", "not_readable")
	admin := open(t, s.db, pgtest.Admin)
	admin.get("/triggers", "<td>Ann</td>", "/triggers/drop?name=Ann.loads")
	admin.get("/triggers/drop?name=Ann.loads", "Drop the trigger?", "drop trigger &#34;Ann.loads&#34; on tinydev_impl.event")
	s.want(s.send(http.MethodGet, "/triggers/drop?name=nothing", "", nil), http.StatusNotFound, "no trigger", "trigger_not_found")
	s.follow(s.post("/triggers/drop", url.Values{"name": {"loads"}}), "It is dropped.", "No triggers yet.")
}

// TestTriggersInBrowser makes a trigger by clicks and keys, on a telephone too narrow for tables.
func TestTriggersInBrowser(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Ann)
	s.load("friends", "friends.csv", friends)
	b := browse(t, s)
	b.viewport(360)
	b.open("/events")
	b.click("Triggers")
	b.see("No triggers yet.")
	b.click("New trigger")
	b.keys("#name", "loads")
	b.click("table.loaded")
	b.keys("#condition", "$.rows ? (@ > 0)")
	b.is(`document.getElementById("condition-mistake").textContent.includes("condition_invalid")`)
	b.is(`document.documentElement.scrollWidth <= innerWidth`)
	b.shoot("92-new-trigger-mistake")
	b.do("mend the condition", chromedp.Evaluate[chromedp.Void](`void document.getElementById("condition").select()`))
	b.keys("#condition", "$.rows > 0")
	b.is(`document.getElementById("plan").textContent.includes('create trigger "Ann.loads" after insert')`)
	b.click("Show SQL")
	b.shoot("93-new-trigger")
	b.click("Make the trigger")
	b.see("The trigger is made", `listen "Ann_loads";`)
	b.is(`document.documentElement.scrollWidth <= innerWidth`)
	b.shoot("94-triggers")
	b.do("drop it", chromedp.Click(chromedp.CSS(`main a[href^="/triggers/drop"]`)))
	b.see("Drop the trigger?")
	b.click("Drop the trigger")
	b.see("It is dropped.", "No triggers yet.")
}
