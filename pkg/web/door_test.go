package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/auth"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// tokenInSQL makes a token of a role.
func (s *site) tokenInSQL(role, name, more string) string {
	s.t.Helper()
	token := auth.NewToken()
	sum, prefix := auth.Stored(token)
	if _, err := s.db.Conn(role).Exec(s.t.Context(), "select tinydev.create_token($1, sha256 => $2, prefix => $3"+more+")", name, sum, prefix); err != nil {
		s.t.Fatal(err)
	}
	return token
}

// TestTokensOfPages holds that a page does no more than the token that it was opened with.
func TestTokensOfPages(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Ann)
	s.load("friends", "friends.csv", friends)
	s.follow(s.post("/views/new", url.Values{"name": {"oldest"}, "query": {`select min("Date") as born from friends`}, "do": {"save"}}))
	s.follow(s.post("/schedule", url.Values{"view": {`"Ann".oldest`}, "preset": {"1h"}, "do": {"save"}}))
	job := pgtest.Value[string](t, s.db.Conn(pgtest.Ann), "select job_id::text from tinydev.job")

	reader, scoped := s.tokenInSQL(pgtest.Ann, "reader", ", read_only => true"), s.tokenInSQL(pgtest.Ann, "scoped", ", scopes => '{views,tables}'")
	s.token = ""
	s.want(s.post("/login", url.Values{"token": {scoped}}), http.StatusUnauthorized, "sign in with a scoped token", "token_scoped", `role="alert"`)
	s.want(s.send(http.MethodGet, "/views", "", nil, "Authorization", "Bearer "+scoped), http.StatusForbidden, "a page with a scoped token", "token_scope")

	in := s.post("/login", url.Values{"token": {reader}})
	s.want(in, http.StatusSeeOther, "sign in with a token that only reads")
	cookie := strings.SplitN(in.header.Get("Set-Cookie"), ";", 2)[0]
	for _, place := range []string{"/", "/tables", "/table?name=friends", "/views", "/view?name=oldest", "/view/replace?name=oldest", "/views/new?table=friends", "/jobs",
		"/job?id=" + job, "/schedule?view=oldest", "/events", "/load", "/download?name=friends", "/table/drop?name=friends", "/view/drop?name=oldest", "/job/remove?id=" + job} {
		if a := s.send(http.MethodGet, place, "", nil, "Cookie", cookie); a.status != http.StatusOK && !(place == "/table/drop?name=friends" && a.status == http.StatusConflict) {
			t.Errorf("GET %s with a token that only reads: %d\n%s", place, a.status, content(a.body))
		}
	}
	for place, fields := range map[string]url.Values{"/view/refresh": {"name": {"oldest"}}, "/view/drop": {"name": {"oldest"}}, "/job/remove": {"id": {job}}, "/views/new": {"do": {"save"}}} {
		s.want(s.post(place, fields, "Cookie", cookie), http.StatusForbidden, "POST "+place+" with a token that only reads", "token_read_only", "only reads")
	}

	out := s.post("/logout", nil, "Cookie", cookie)
	s.want(out, http.StatusSeeOther, "sign out")
	s.want(s.send(http.MethodGet, "/", "", nil, "Cookie", cookie), http.StatusUnauthorized, "a copy of the cookie", `action="/login"`)
}
