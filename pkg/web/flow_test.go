package web_test

import (
	"context"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// TestWholeWayInBrowser is a person with a file who has never been here: load, query, view, schedule, and watch the first event
// that pg_cron makes arrive, all by clicks and keys.
func TestWholeWayInBrowser(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.Live(t), pgtest.Ann)
	b := browse(t, s)
	b.see("From a file to an event in three steps")
	b.shoot("01-home-empty")

	b.click("Load a file")
	b.see("A CSV file whose first line")
	b.shoot("02-load")
	b.do("choose a file that is wrong", chromedp.SetUploadFiles(chromedp.CSS("#file"), []string{b.file("broken.csv", "a,b\n1,2\n3\n")}))
	b.click("Look at the file")
	b.see("How to mend it")
	b.shoot("03-load-mistake")

	b.open("/load")
	b.do("choose the file", chromedp.SetUploadFiles(chromedp.CSS("#file"), []string{b.file("Friends of mine.csv", friends)}))
	b.click("Look at the file")
	b.see("Load 3 rows into a new table", "Line 2 holds 3.5")
	b.click("Show SQL")
	b.see("create table \"Ann\".friends_of_mine")
	b.shoot("04-draft")
	b.do("name the table", chromedp.Focus(chromedp.CSS("#table")), chromedp.Evaluate[chromedp.Void](`void document.getElementById("table").select()`))
	b.keys("#table", "friends")
	b.see(`create table "Ann".friends (`) // the SQL is kept current, and stays open
	b.do("choose a type", chromedp.Focus(chromedp.CSS("#type-2")))
	b.keys("#type-2", "text")
	b.see("You chose it.")
	b.is(`document.activeElement.id === "type-2"`) // the choice did not cost the focus
	b.click("Load 3 rows into a new table")
	b.see("Loaded 3 rows.", "1815-12-10")
	b.shoot("05-table")

	b.click("Write a query on it")
	b.see("eve", "All 3 rows.")
	b.do("write a query", chromedp.Evaluate[chromedp.Void](`void document.getElementById("query").select()`))
	b.keys("#query", "select count(*) as friends,\n       min(\"Dat\") as oldest\nfrom friends")
	b.see("Line 2, column 12")
	b.click("Run it")
	b.see("does not exist")
	b.shoot("06-query-mistake")
	b.do("mend it", chromedp.Evaluate[chromedp.Void](`void document.getElementById("query").select()`))
	b.keys("#query", "select count(*) as friends,\n       min(\"Date\") as oldest\nfrom friends")
	b.do("run it by keys", chromedp.KeyEvent("\r", chromedp.KeyModifiers(chromedp.ModifierCtrl)))
	b.see("1815-12-10")
	b.do("name the view", chromedp.Evaluate[chromedp.Void](`void document.getElementById("name").select()`))
	b.keys("#name", "summary")
	b.is(`document.getElementById("plan").textContent.includes('create materialized view "Ann".summary as')`)
	b.shoot("07-query")
	b.click("Make it a view")
	b.see("The view is made and filled: 1 row.", "Readers wait while it refreshes")
	b.shoot("08-view")

	b.click("Choose a schedule")
	b.see("Refreshed every minute", "Next five runs")
	b.click("Custom")
	b.keys("#custom", "61 * * * *")
	b.see("61")
	b.is(`document.querySelector("#plan .problem")`)
	b.shoot("09-schedule-mistake")
	b.click("Every 5 seconds")
	b.is(`document.querySelector("#plan .words")?.textContent.includes("every 5 seconds")`)
	b.shoot("10-schedule")
	b.click("Save the schedule")
	b.see("The schedule is saved", "Next runs")
	b.click("Watch its events")
	b.see("Live")
	before := pgtest.Value[int64](t, s.db.Superuser(), "select head from tinydev.event_head()")
	b.is(`document.querySelectorAll("ol.events li").length > 0`)
	b.do("mark the page, which is not loaded again", chromedp.Evaluate[chromedp.Void](`window.mark = true`))
	b.waitEvent(`li.new[data-position] .facts dd`, before)
	b.is(`window.mark && document.querySelector("li.new").innerText.includes("schedule")`)
	b.click("Data of event " + b.attribute("li.new", "data-position"))
	b.see(`"cause": "schedule"`)
	b.shoot("11-events")
	b.click("Pause")
	b.seeWithin(cronPatience, "Paused, 1 new")
	b.click("Go on")
	b.is(`document.querySelector("[data-pause]").getAttribute("aria-pressed") === "false"`)

	b.open("/jobs")
	b.see("every 5 seconds", "active")
	b.shoot("12-jobs")
	b.do("open the job", chromedp.Click(chromedp.CSS("main tbody a")))
	b.see("call tinydev.refresh")
	b.shoot("13-job")
	b.click("Pause")
	b.see("The job is paused.")
	b.open("/")
	b.see("Ann.summary", "paused")
	b.shoot("14-home")
	for place, name := range map[string]string{"/tables": "15-tables", "/views": "16-views", "/view?name=summary": "17-view", "/schedule?view=summary": "18-schedule-again"} {
		b.open(place)
		b.shoot(name)
	}
	b.open("/view/drop?name=summary")
	b.see("Drop the view?")
	b.shoot("19-drop")
	b.open("/table/drop?name=friends")
	b.see("Used by")
	b.shoot("20-drop-refused")
	b.open("/table?name=nothing")
	b.see("table_not_found")
	b.shoot("21-not-found")
}

// waitEvent waits for an event after a position to arrive in the list.
func (b *browser) waitEvent(selector string, after int64) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, cronPatience)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.WaitVisible(chromedp.CSS(selector))); err != nil {
		b.t.Fatalf("no event arrived after position %d: %v\nthe page shows:\n%s", after, err, b.text())
	}
}

func (b *browser) attribute(selector, name string) string {
	b.t.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.querySelector("`+selector+`").getAttribute("`+name+`")`))
	if err != nil {
		b.t.Fatal(err)
	}
	return value
}

// TestHostileTextInBrowser opens every page that shows hostile names, cells, queries, errors and events: nothing of it runs. An
// attack would call a function that is not there, or break the policy, and the browser would log either.
func TestHostileTextInBrowser(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Ann)
	places := hostilePlaces(s)
	b := browse(t, s)
	b.viewport(360)
	for _, place := range places {
		b.open(place)
		b.is(`document.readyState === "complete" && document.documentElement.classList.contains("js")`)
		b.is(`document.querySelectorAll("img, main script").length === 0`)
		b.is(`document.documentElement.scrollWidth <= innerWidth`)
	}
	// The same in what modules bring: a live event, a plan while one types, a mistake of an upload.
	b.open("/events")
	b.see("Live")
	if _, err := s.db.Conn(pgtest.Ann).Exec(t.Context(), "select tinydev.record_event('test.failed', null, 'late', pg_catalog.jsonb_build_object('message', $1::text, $1::text, $1::text))", hostile); err != nil {
		t.Fatal(err)
	}
	b.is(`document.querySelector("li.new.failed .message")?.textContent.includes("onerror")`)
	b.shoot("30-hostile-event")
	b.open("/views/new")
	b.keys("#query", "select '"+hostile+"' as x, "+hostile)
	b.is(`document.querySelector("#plan .brief")`)
	b.click("Run it")
	b.is(`document.querySelector("#result .problem")`)
	b.shoot("31-hostile-query")
	b.open("/load")
	b.do("choose a hostile file", chromedp.SetUploadFiles(chromedp.CSS("#file"), []string{b.file("img onerror.csv", "a,b\n"+hostile+"\n1,2,3\n")}))
	b.click("Look at the file")
	b.see("How to mend it")
	b.is(`document.querySelectorAll("img, main script").length === 0`)
}

// TestKeyboard reaches everything without a mouse, and shows where the focus is.
func TestKeyboard(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Ann)
	s.load("friends", "friends.csv", friends)
	b := browse(t, s)
	b.open("/tables")
	b.do("press tab", chromedp.KeyEvent("\t"))
	b.is(`document.activeElement.textContent === "Skip to the content" && document.activeElement.getBoundingClientRect().top >= 0`)
	b.do("skip", chromedp.KeyEvent("\r"))
	b.is(`document.activeElement.id === "main"`)
	var seen []string
	for range 12 {
		b.do("press tab", chromedp.KeyEvent("\t"))
		outline, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`(() => { const e = document.activeElement; return e === document.body ? "" : e.textContent.trim() + "|" + getComputedStyle(e).outlineStyle; })()`))
		if err != nil {
			t.Fatal(err)
		}
		if outline == "" {
			break // the end of the page: the focus is not trapped
		}
		if !strings.HasSuffix(outline, "|solid") {
			t.Errorf("the focus cannot be seen: %s", outline)
		}
		seen = append(seen, strings.TrimSuffix(outline, "|solid"))
	}
	if all := strings.Join(seen, "; "); !strings.Contains(all, "Load a file") || !strings.Contains(all, "Ann.friends") {
		t.Errorf("the keyboard reaches only %s", all)
	}
}

// TestLiveConnection shows when the stream is lost and goes on where it was.
func TestLiveConnection(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Ann)
	b := browse(t, s)
	b.open("/events")
	b.see("Live", "No events yet")
	s.cut()
	b.see("Disconnected.")
	b.shoot("40-disconnected")
	conn := s.db.Conn(pgtest.Ann)
	for range 3 {
		if _, err := conn.Exec(t.Context(), "select tinydev.record_event('test.happened', null, 'x', '{}')"); err != nil {
			t.Fatal(err)
		}
	}
	s.mend()
	b.is(`document.querySelectorAll("li.new").length === 3`)
	b.see("Live")
	b.open("/events?type=nothing.*")
	b.see("Live")
	if _, err := conn.Exec(t.Context(), "select tinydev.record_event('test.happened', null, 'x', '{}'), tinydev.record_event('nothing.happened', null, 'x', '{}')"); err != nil {
		t.Fatal(err)
	}
	b.is(`document.querySelectorAll("li.new").length === 1 && document.querySelector("li.new .type").textContent === "nothing.happened"`)
}
