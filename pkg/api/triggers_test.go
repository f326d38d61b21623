package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// TestTriggers walks through the routes of triggers, each with its faults.
func TestTriggers(t *testing.T) {
	t.Parallel()
	h := start(t)
	long := strings.Repeat("x", 64)
	for _, s := range []struct {
		role, method, path, body string
		status                   int
		has                      string
	}{
		{pgtest.Ann, "POST", "/v1/tables", `{"name":"t","columns":[{"name":"a","type":"int"}]}`, 201, `"owner":"Ann"`},
		{pgtest.Ann, "GET", "/v1/triggers", "", 200, `{"triggers":[],"next":null}`},
		{pgtest.Ann, "POST", "/v1/triggers?dry_run=true", `{"name":"loads","view":"t","types":["table.loaded"],"condition":"$.rows > 0"}`, 200, `create trigger \"Ann.loads\" after insert on tinydev_impl.event`},
		{pgtest.Ann, "DELETE", "/v1/triggers/loads", "", 404, "trigger_not_found"},
		{pgtest.Ann, "POST", "/v1/triggers", `{"name":"loads","view":"t","types":["table.loaded"],"condition":"$.rows > 0"}`, 201,
			`"owner":"Ann","name":"loads","view":"\"Ann\".t","types":["tinydev.table.loaded"],"condition":"strict ($.\"rows\" > 0)","channel":"Ann_loads","listen":"listen \"Ann_loads\"","state":"pending"`},
		{pgtest.Ann, "POST", "/v1/triggers", `{"name":"loads"}`, 409, "trigger_name_taken"},
		{pgtest.Ann, "POST", "/v1/triggers", `{"name":"all","channel":"all_of_ann"}`, 201, `"view":null,"types":null,"condition":null,"channel":"all_of_ann","listen":"listen all_of_ann"`},
		{pgtest.Ann, "GET", "/v1/triggers?limit=1", "", 200, `"next":"Ann.all"`},
		{pgtest.Ann, "GET", "/v1/triggers?after=Ann.all", "", 200, `"name":"loads"`},
		{pgtest.Admin, "GET", "/v1/triggers", "", 200, `"owner":"Ann"`},
		{pgtest.Bob, "GET", "/v1/triggers", "", 200, `{"triggers":[],"next":null}`},
		{pgtest.Bob, "POST", "/v1/triggers", `{"name":"t","view":"\"Ann\".t"}`, 403, "not_readable"},
		{pgtest.Bob, "POST", "/v1/triggers", `{"name":"t","view":"\"Ann\".nothing"}`, 404, "relation_not_found"},
		{pgtest.Bob, "DELETE", "/v1/triggers/Ann.loads", "", 404, "trigger_not_found"},
		{pgtest.Ann, "POST", "/v1/triggers", `{}`, 422, "request_invalid"},
		{pgtest.Ann, "POST", "/v1/triggers", `{"name":"x","view":"t","where":"true"}`, 422, "request_invalid"},
		{pgtest.Ann, "POST", "/v1/triggers", `{"name":"X"}`, 422, `"field":"name"`},
		{pgtest.Ann, "POST", "/v1/triggers", `{"name":"` + long + `"}`, 422, "request_invalid"},
		{pgtest.Ann, "POST", "/v1/triggers", `{"name":"x","channel":"tinydev"}`, 422, `"field":"channel"`},
		{pgtest.Ann, "POST", "/v1/triggers", `{"name":"x","types":["view.%"]}`, 422, `"field":"types"`},
		{pgtest.Ann, "POST", "/v1/triggers", `{"name":"x","condition":")) execute function pg_sleep(9); --"}`, 422, "condition_invalid"},
		{pgtest.Ann, "POST", "/v1/triggers", `{"name":"x","condition":"$.a ? (@ > 0)"}`, 422, "condition_invalid"},
		{pgtest.Ann, "POST", "/v1/triggers", `{"name":"x","channel":"a\u0000b"}`, 422, ""},
		{pgtest.Ann, "DELETE", "/v1/triggers/loads?dry_run=true", "", 200, `drop trigger \"Ann.loads\" on tinydev_impl.event;`},
		{pgtest.Ann, "DELETE", "/v1/triggers/loads", "", 200, `{"dropped":"loads","owner":"Ann"}`},
		{pgtest.Ann, "DELETE", "/v1/triggers/loads", "", 404, "trigger_not_found"},
		{pgtest.Admin, "DELETE", "/v1/triggers/Ann.all", "", 200, `{"dropped":"all","owner":"Ann"}`},
		{pgtest.Ann, "GET", "/v1/triggers", "", 200, `{"triggers":[],"next":null}`},
	} {
		got := h.call(s.role, s.method, s.path, s.body)
		if got.status != s.status || !strings.Contains(got.body, s.has) {
			t.Errorf("%s %s %s %s: %d %s, want %d with %s", s.role, s.method, s.path, s.body, got.status, got.body, s.status, s.has)
		}
		if got.status == http.StatusInternalServerError {
			t.FailNow()
		}
	}
}
