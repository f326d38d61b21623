package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// TestDoctor shows what is wrong and how to mend it, and has administrators mend by a button.
func TestDoctor(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Admin)
	run(t, s.db.Superuser(), "update cron.job set database = current_database(), active = jobname <> 'tinydev: upkeep'")
	run(t, s.db.Conn(pgtest.Bob), "select tinydev.create_view('odd', 'select ''"+"<b>x"+"'' as \"<i>\"')")
	s.get("/doctor", "2 errors", "a job of the system is paused", "update cron.job set active = true where jobid = ", "Mend it", "bob.odd has no unique index", "What is in order", `href="/doctor" aria-current="page"`)
	bob := open(t, s.db, pgtest.Bob)
	if body := bob.get("/doctor", "a job of the system is paused", "bob.odd has no unique index").body; strings.Contains(body, "Mend it") || strings.Contains(body, "<i>") {
		t.Errorf("bob gets\n%s", content(body))
	}
	bob.want(bob.send(http.MethodPost, "/doctor", "application/x-www-form-urlencoded", strings.NewReader(url.Values{}.Encode())), http.StatusForbidden, "no administrator", "For administrators")
	s.post("/doctor", url.Values{})
	if body := s.get("/doctor?done=mended", "What could be mended without a loss is mended.").body; strings.Contains(body, "a job of the system is paused") || strings.Contains(body, "Mend it") {
		t.Errorf("after mending:\n%s", content(body))
	}
	eve := open(t, s.db, pgtest.Eve)
	if body := eve.get("/doctor").body; strings.Contains(body, "bob.odd") {
		t.Errorf("eve gets\n%s", content(body))
	}
}
