package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// TestFreshnessPages promises how old a table and a view may be, sees the promise broken, also as a reader, and takes it back.
func TestFreshnessPages(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Ann)
	s.load("friends", "friends.csv", friends)
	s.follow(s.post("/views/new", url.Values{"name": {"oldest"}, "query": {"select min(\"Date\") as born from friends"}, "do": {"save"}}), "Nothing is promised of how old it may be.")
	run(t, s.db.Conn("tinydev_server"), "call tinydev_impl.place_all()")
	for page, name := range map[string]string{"table": `"Ann".friends`, "view": `"Ann".oldest`} {
		place := "/" + page + "?" + url.Values{"name": {name}}.Encode()
		s.get(place, "Nothing is promised of how old it may be.", "Promise how old it may be")
		form := url.Values{"relation": {name}, "page": {page}, "amount": {"90"}, "unit": {"minutes"}, "do": {"check"}}
		s.want(s.post("/freshness", form, "Tinydev-Fragment", "plan"), http.StatusOK, "plan", "select tinydev.set_freshness(&#39;"+strings.ReplaceAll(name, `"`, "&#34;")+"&#39;, 5400)")
		s.get(place, "Nothing is promised")
		form.Set("do", "save")
		if back := s.follow(s.post("/freshness", form), "The promise is made", `<span class="tag good">fresh</span>`, "at most 90 minutes old", `value="90"`, `<option value="minutes" selected>`); !strings.HasPrefix(back, "/"+page+"?") {
			t.Errorf("the promise leads to %s", back)
		}
		for _, wrong := range []string{"0", "-1", "", "x", "99999999999999999999", "315360001"} {
			form.Set("amount", wrong)
			s.want(s.post("/freshness", form), http.StatusUnprocessableEntity, "age "+wrong, "freshness_invalid")
		}
		bob := open(t, s.db, pgtest.Bob)
		bob.want(bob.post("/freshness", url.Values{"relation": {name}, "page": {page}, "amount": {"1"}, "unit": {"days"}, "do": {"save"}}), http.StatusForbidden, "promise another's", "not_owner")
		bob.want(bob.post("/freshness", url.Values{"relation": {name}, "page": {page}, "do": {"drop"}}), http.StatusForbidden, "drop another's", "not_owner")

		run(t, s.db.Superuser(), "update tinydev_impl.freshness set fresh_at = now() - interval '3 hours'")
		s.get(place, `<span class="tag bad">stale</span>`, "and is 3 h", "too old since")
		s.get("/"+page+"s", `<span class="tag bad">stale</span>`)
		s.follow(s.post("/share", url.Values{"relation": {name}, "page": {page}, "to": {"bob"}, "privilege": {"select"}, "do": {"save"}}), "It is shared.")
		if seen := bob.get(place, `<span class="tag bad">stale</span>`, "at most 90 minutes old").body; strings.Contains(content(seen), "how old it may be</button>") {
			t.Error("a reader is offered to change the promise")
		}
		form.Set("do", "else")
		s.want(s.post("/freshness", form), http.StatusUnprocessableEntity, "an unknown step", "form_invalid")
		form.Set("do", "drop")
		s.follow(s.post("/freshness", form), "Nothing is promised of its age any more.", "Nothing is promised of how old it may be.")
		s.want(s.post("/freshness", form), http.StatusNotFound, "no promise", "freshness_not_found")
	}
}
