package api_test

import (
	"strings"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// TestFreshness walks through the routes of freshness, each with its faults.
func TestFreshness(t *testing.T) {
	t.Parallel()
	h := start(t)
	name := "/v1/freshness/%22Ann%22.t"
	for _, s := range []struct {
		role, method, path, body string
		status                   int
		has                      string
	}{
		{pgtest.Ann, "POST", "/v1/tables", `{"name":"t","columns":[{"name":"a","type":"int"}]}`, 201, `"owner":"Ann"`},
		{pgtest.Ann, "GET", "/v1/freshness", "", 200, `{"freshness":[],"next":null}`},
		{pgtest.Ann, "PUT", "/v1/freshness/t?dry_run=true", `{"max_age_seconds":3600}`, 200, `{"sql":["select tinydev.set_freshness('\"Ann\".t', 3600);"]}`},
		{pgtest.Ann, "DELETE", "/v1/freshness/t", "", 404, "freshness_not_found"},
		{pgtest.Ann, "PUT", "/v1/freshness/t", `{"max_age_seconds":3600}`, 200, `"relation":"\"Ann\".t","kind":"table","owner":"Ann","max_age_seconds":3600,"fresh_at":"`},
		{pgtest.Ann, "PUT", name, `{"max_age_seconds":60}`, 200, `"max_age_seconds":60`},
		{pgtest.Ann, "GET", "/v1/freshness?limit=1", "", 200, `"is_stale":false,"stale_since":null`},
		{pgtest.Ann, "GET", "/v1/freshness?relation=t", "", 200, `"max_age_seconds":60`},
		{pgtest.Ann, "GET", "/v1/freshness?relation=other", "", 200, `{"freshness":[],"next":null}`},
		{pgtest.Ann, "GET", "/v1/freshness?after=%22Ann%22.t", "", 200, `{"freshness":[],"next":null}`},
		{pgtest.Ann, "GET", "/v1/freshness?relation=a+b", "", 422, "name_invalid"},
		{pgtest.Bob, "GET", "/v1/freshness", "", 200, `{"freshness":[],"next":null}`},
		{pgtest.Bob, "PUT", name, `{"max_age_seconds":1}`, 403, "not_owner"},
		{pgtest.Admin, "PUT", name, `{"max_age_seconds":1}`, 403, "not_owner"},
		{pgtest.Bob, "DELETE", name, "", 403, "not_owner"},
		{pgtest.Ann, "POST", "/v1/grants", `{"relation":"t","to":"bob"}`, 201, "select"},
		{pgtest.Bob, "GET", "/v1/freshness", "", 200, `"owner":"Ann"`},
		{pgtest.Ann, "PUT", "/v1/freshness/nothing", `{"max_age_seconds":1}`, 404, "relation_not_found"},
		{pgtest.Ann, "PUT", "/v1/freshness/t", `{"max_age_seconds":0}`, 422, "request_invalid"},
		{pgtest.Ann, "PUT", "/v1/freshness/t", `{"max_age_seconds":315360001}`, 422, "request_invalid"},
		{pgtest.Ann, "PUT", "/v1/freshness/t", `{"max_age_seconds":"60"}`, 422, "request_invalid"},
		{pgtest.Ann, "PUT", "/v1/freshness/t", `{}`, 422, "request_invalid"},
		{pgtest.Ann, "GET", "/v1/tables", "", 200, `"stale":false`},
		{pgtest.Ann, "DELETE", "/v1/freshness/t?dry_run=true", "", 200, `{"sql":["select tinydev.drop_freshness('\"Ann\".t');"]}`},
		{pgtest.Ann, "DELETE", "/v1/freshness/t", "", 200, `{"dropped":"\"Ann\".t"}`},
		{pgtest.Ann, "GET", "/v1/freshness", "", 200, `{"freshness":[],"next":null}`},
	} {
		got := h.call(s.role, s.method, s.path, s.body)
		if got.status != s.status || !strings.Contains(got.body, s.has) {
			t.Errorf("%s %s %s %s: %d %s, want %d with %s", s.role, s.method, s.path, s.body, got.status, got.body, s.status, s.has)
		}
	}
}
