package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// TestSharing walks through the routes of sharing and trust, each with its faults.
func TestSharing(t *testing.T) {
	t.Parallel()
	h := start(t)
	for _, s := range []struct {
		role, method, path, body string
		status                   int
		has                      string
	}{
		{pgtest.Ann, "POST", "/v1/tables", `{"name":"t","columns":[{"name":"a","type":"int"}]}`, 201, `"owner":"Ann"`},
		{pgtest.Bob, "GET", "/v1/tables/%22Ann%22.t/rows", "", 403, "not_readable"},
		{pgtest.Ann, "POST", "/v1/grants?dry_run=true", `{"relation":"t","to":"bob"}`, 200, `grant select on \"Ann\".t to bob;`},
		{pgtest.Ann, "POST", "/v1/grants", `{"relation":"t","to":"bob"}`, 201, `"to":"bob","privilege":"select"`},
		{pgtest.Ann, "POST", "/v1/grants", `{"relation":"t","to":"everyone","privilege":"insert"}`, 201, `"privilege":"insert"`},
		{pgtest.Ann, "POST", "/v1/grants", `{"relation":"t","to":"bob","privilege":"trigger"}`, 422, "request_invalid"},
		{pgtest.Ann, "POST", "/v1/grants", `{"relation":"t","to":"nobody"}`, 404, "user_not_found"},
		{pgtest.Bob, "POST", "/v1/grants", `{"relation":"\"Ann\".t","to":"eve"}`, 403, "not_owner"},
		{pgtest.Bob, "GET", "/v1/tables/%22Ann%22.t/rows", "", 200, "[]"},
		{pgtest.Bob, "GET", "/v1/tables", "", 200, `"owner":"Ann"`},
		{pgtest.Bob, "GET", "/v1/grants?limit=1", "", 200, `"grantee":"bob","privilege":"select","column":null,"granted_by":"Ann"}],"next":"`},
		{pgtest.Admin, "GET", "/v1/grants?relation=%22Ann%22.t", "", 200, `"grantee":"everyone"`},
		{pgtest.Ann, "DELETE", "/v1/grants?relation=t&from=everyone&dry_run=true", "", 200, "revoke all on"},
		{pgtest.Ann, "DELETE", "/v1/grants?relation=t&from=everyone", "", 200, `"from":"everyone"`},
		{pgtest.Ann, "DELETE", "/v1/grants?relation=t&from=everyone", "", 404, "grant_not_found"},
		{pgtest.Ann, "DELETE", "/v1/grants?relation=t", "", 422, "request_invalid"},
		{pgtest.Ann, "DELETE", "/v1/grants?relation=t&from=bob&privilege=select", "", 200, `"from":"bob"`},
		{pgtest.Bob, "GET", "/v1/tables/%22Ann%22.t/rows", "", 403, "not_readable"},
		{pgtest.Bob, "POST", "/v1/trusts?dry_run=true", `{"owner":"eve"}`, 200, "select tinydev.trust('eve');"},
		{pgtest.Bob, "POST", "/v1/trusts", `{"owner":"eve"}`, 201, `"owner":"eve","trusted_at":"`},
		{pgtest.Bob, "POST", "/v1/trusts", `{"owner":"bob"}`, 422, "trust_invalid"},
		{pgtest.Bob, "GET", "/v1/trusts", "", 200, `{"trusts":[{"owner":"eve"`},
		{pgtest.Admin, "GET", "/v1/trusts", "", 200, `{"trusts":[],"next":null}`},
		{pgtest.Bob, "DELETE", "/v1/trusts/eve?dry_run=true", "", 200, "select tinydev.untrust('eve');"},
		{pgtest.Bob, "DELETE", "/v1/trusts/eve", "", 200, `{"untrusted":"eve"}`},
		{pgtest.Bob, "DELETE", "/v1/trusts/eve", "", 404, "trust_not_found"},
	} {
		got := h.call(s.role, s.method, s.path, s.body)
		if got.status != s.status || !strings.Contains(got.body, s.has) {
			t.Errorf("%s %s %s: %d %s, want %d with %s", s.role, s.method, s.path, got.status, got.body, s.status, s.has)
		}
		if got.status == http.StatusInternalServerError {
			t.FailNow()
		}
	}
}
