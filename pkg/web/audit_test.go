package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// TestAudit reads who did what, by filter and page by page; only administrators do.
func TestAudit(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Admin)
	run(t, s.db.Conn(pgtest.Bob), "create table seen (a int)", "grant select on seen to eve")
	s.get("/audit", ">create table</a>", "bob.seen", "in psql or another client", `href="/audit?actor=bob"`, "SHA-256", "&#34;object_type&#34;: &#34;table&#34;")
	filtered := s.get("/audit?actor=bob&action=grant&since=2001-02-03T04:05", ">grant</a>", `value="2001-02-03T04:05"`, `value="grant"`).body
	if strings.Contains(filtered, ">create table</a>") {
		t.Errorf("the filter lets through:\n%s", content(filtered))
	}
	s.get("/audit?since=2999-01-01T00:00", "Nothing that fits the filter.")
	s.want(s.send(http.MethodGet, "/audit?since=soon", "", nil), http.StatusUnprocessableEntity, "no time", "form_invalid", `value="soon"`)

	run(t, s.db.Superuser(), "insert into tinydev_impl.audit (actor, door, action, subject) select 'bob', 'sql', 'test.counted', 'n' || n from generate_series(1, 150) n")
	first := s.get("/audit?action=test.counted", ">n150<", ">n51<", "Older").body
	if strings.Contains(first, ">n50<") {
		t.Error("the first page holds more than a hundred")
	}
	_, rest, _ := strings.Cut(first, `class="button" href="/audit?action`)
	older, _, _ := strings.Cut(rest, `"`)
	second := s.get("/audit?action"+strings.ReplaceAll(older, "&amp;", "&"), ">n50<", ">n1<").body
	if strings.Contains(second, ">n51<") || strings.Contains(second, "Older") {
		t.Errorf("the second page holds:\n%s", content(second))
	}

	bob := open(t, s.db, pgtest.Bob)
	bob.want(bob.send(http.MethodGet, "/audit", "", nil), http.StatusForbidden, "no administrator", "For administrators", `href="/account"`)
	if home := bob.get("/").body; strings.Contains(home, `href="/users"`) {
		t.Error("who is no administrator is led to their pages")
	}
	s.get("/", `href="/users"`)
}

// TestAuditOfHostileText finds names and filters nowhere as markup.
func TestAuditOfHostileText(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Admin)
	long := strings.Repeat("ä", 31) + "x" // 63 bytes
	run(t, s.db.Superuser(), "insert into tinydev_impl.audit (actor, door, action, subject, detail) select x, 'sql', x, x, jsonb_build_object(x, x) from (values ('"+
		strings.ReplaceAll(hostile[:min(63, len(hostile))], "'", "''")+"'), ('"+long+"'), ('</script>onerror')) v(x)")
	s.harmless("/audit", "/audit?actor="+url.QueryEscape(hostile)+"&action="+url.QueryEscape(hostile)+"&since="+url.QueryEscape(hostile))
	s.get("/audit", long)
}
