package api_test

import (
	"encoding/json"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

func TestAudit(t *testing.T) {
	t.Parallel()
	h := start(t)
	before := time.Now().UTC()
	for _, name := range []string{"a", "b", "c"} {
		if got := h.call(pgtest.Bob, "POST", "/v1/tables", `{"name":"`+name+`","columns":[{"name":"x","type":"text"}]}`); got.status != 201 {
			t.Fatal(got.body)
		}
	}
	type page struct {
		Audit []struct {
			AuditID int64 `json:"audit_id"`
			Actor   string
			Action  string
			Subject string
			Detail  map[string]any
		}
		Next *int64
	}
	list := func(query string) page {
		t.Helper()
		got := h.call(pgtest.Admin, "GET", "/v1/audit?"+query, "")
		var p page
		if got.status != 200 || json.Unmarshal([]byte(got.body), &p) != nil {
			t.Fatalf("%d %s", got.status, got.body)
		}
		return p
	}
	first := list("actor=bob&limit=2&since=" + url.QueryEscape(before.Add(-time.Minute).Format(time.RFC3339)))
	if len(first.Audit) != 2 || first.Audit[0].Subject != "bob.c" || first.Audit[0].Action != "create table" || first.Audit[0].Detail["object_type"] != "table" || first.Next == nil {
		t.Fatalf("%+v", first)
	}
	second := list("actor=bob&limit=2&action=create%20table&after=" + strconv.FormatInt(*first.Next, 10))
	if len(second.Audit) != 1 || second.Audit[0].Subject != "bob.a" || second.Next != nil {
		t.Errorf("%+v", second)
	}
	if later := list("since=" + url.QueryEscape(before.Add(time.Hour).Format(time.RFC3339))); len(later.Audit) != 0 || later.Audit == nil {
		t.Errorf("%+v", later)
	}
	if got := h.call(pgtest.Bob, "GET", "/v1/audit", ""); got.status != 403 || got.problem(t).Code != "admin_only" {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := h.call(pgtest.Admin, "DELETE", "/v1/audit", ""); got.status != 405 {
		t.Errorf("%d", got.status)
	}
	if n := pgtest.Value[int](t, h.db.Superuser(), "select count(*)::int from tinydev_impl.audit where action like 'token.%' and detail::text like '%' || $1 || '%'", h.tokens[pgtest.Bob]); n != 0 {
		t.Error("a token stands in the audit")
	}
}
