package api_test

import (
	"strings"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// TestLineage asks for all, for one relation, and for what there is not.
func TestLineage(t *testing.T) {
	t.Parallel()
	h := start(t)
	for _, s := range []struct {
		role, method, path, body string
		status                   int
		has                      string
	}{
		{pgtest.Ann, "GET", "/v1/lineage", "", 200, `{"nodes":[],"edges":[]}`},
		{pgtest.Ann, "POST", "/v1/tables", `{"name":"t","columns":[{"name":"a","type":"int"}]}`, 201, ""},
		{pgtest.Ann, "POST", "/v1/views", `{"name":"v","query":"select * from t"}`, 201, ""},
		{pgtest.Ann, "POST", "/v1/jobs", `{"view":"v","schedule":"0 9 * * *"}`, 201, ""},
		{pgtest.Ann, "GET", "/v1/lineage", "", 200, `{"id":"view:\"Ann\".v","kind":"view","name":"\"Ann\".v","owner":"Ann","populated":true,"known":true}`},
		{pgtest.Ann, "GET", "/v1/lineage?relation=t", "", 200, `{"from":"table:\"Ann\".t","to":"view:\"Ann\".v","kind":"reads"}`},
		{pgtest.Ann, "GET", "/v1/lineage?relation=%22Ann%22.v", "", 200, `"to":"view:\"Ann\".v","kind":"refreshes"}`},
		{pgtest.Ann, "GET", "/v1/lineage?relation=nothing", "", 404, "relation_not_found"},
		{pgtest.Ann, "GET", "/v1/lineage?relation=a.b.c", "", 422, "name_invalid"},
		{pgtest.Ann, "GET", "/v1/lineage?relation=" + strings.Repeat("x", 301), "", 422, "request_invalid"},
		{pgtest.Bob, "GET", "/v1/lineage", "", 200, `"name":"bob.notices"`},
		{pgtest.Bob, "GET", "/v1/lineage?relation=%22Ann%22.v", "", 403, "not_readable"},
	} {
		if got := h.call(s.role, s.method, s.path, s.body); got.status != s.status || !strings.Contains(got.body, s.has) {
			t.Errorf("%s %s %s %s: %d %s, want %d with %s", s.role, s.method, s.path, s.body, got.status, got.body, s.status, s.has)
		}
	}
}
