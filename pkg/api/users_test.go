package api_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// TestUserRoutes goes the whole way of a user; the role's name is of this test alone, as roles belong to the whole server.
func TestUserRoutes(t *testing.T) {
	t.Parallel()
	h := start(t)
	name := fmt.Sprintf("api_user_%d", os.Getpid())
	heir := name + "_heir"
	path := "/v1/users/" + name
	for _, s := range []scenario{
		{does: "a dry run", role: pgtest.Admin, call: "POST /v1/users?dry_run=true", body: `{"name":"` + name + `"}`, status: 200, has: []string{`"sql":["create role ` + name + ` login;"`}},
		{does: "nothing of it", role: pgtest.Admin, call: "GET " + path, status: 404, code: "user_not_found"},
		{does: "create", role: pgtest.Admin, call: "POST /v1/users", body: `{"name":"` + name + `","limits":{"connections":3,"page_rows":2}}`, status: 201,
			has: []string{`"name":"` + name + `","admin":false`, `"connections":3`, `"page_rows":2`, `"statement_seconds":300`, `"sessions":0`}},
		{does: "create the heir", role: pgtest.Admin, call: "POST /v1/users", body: `{"name":"` + heir + `","admin":true}`, status: 201, has: []string{`"admin":true`}},
		{does: "the same again", role: pgtest.Admin, call: "POST /v1/users", body: `{"name":"` + name + `"}`, status: 409, code: "name_taken"},
		{does: "a bad name", role: pgtest.Admin, call: "POST /v1/users", body: `{"name":"Robert"}`, status: 422, code: "user_name_invalid"},
		{does: "an unknown limit", role: pgtest.Admin, call: "POST /v1/users", body: `{"name":"x","limits":{"pages":1}}`, status: 422, code: "request_invalid"},
		{does: "a limit out of range", role: pgtest.Admin, call: "PATCH " + path, body: `{"limits":{"page_rows":10001}}`, status: 422, code: "request_invalid"},
		{does: "alter", role: pgtest.Admin, call: "PATCH " + path, body: `{"limits":{"page_rows":0,"running_jobs":4}}`, status: 200, has: []string{`"page_rows":1000`, `"running_jobs":4`, `"connections":3`}},
		{does: "alter dryly", role: pgtest.Admin, call: "PATCH " + path + "?dry_run=true", body: `{"admin":true}`, status: 200, has: []string{`{"sql":["grant tinydev_admin to ` + name + `;"]}`}},
		{does: "describe oneself", call: "GET /v1/users/-", status: 200, has: []string{`"name":"Ann"`, `"limits":{`}},
		{does: "describe another", role: pgtest.Bob, call: "GET " + path, status: 200, has: []string{`"limits":null,"sessions":null,"jobs":null`}},
		{does: "list", role: pgtest.Bob, call: "GET /v1/users?limit=1", status: 200, has: []string{`"users":[{"name":"Ann"`, `"next":"Ann"`}},
		{does: "the next page", role: pgtest.Bob, call: "GET /v1/users?limit=1&after=Ann", status: 200, has: []string{`"name":"admin"`}},
		{does: "a password of one's own", role: pgtest.Bob, call: "PUT /v1/users/-/password?dry_run=true", body: `{}`, status: 200, has: []string{`alter role bob password 'SCRAM-SHA-256$`}},
		{does: "a password", role: pgtest.Admin, call: "PUT " + path + "/password", body: `{}`, status: 200, has: []string{`{"name":"` + name + `","password":"`}},
		{does: "a given password", role: pgtest.Admin, call: "PUT " + path + "/password", body: `{"password":"twelve letters"}`, status: 200, has: []string{`{"name":"` + name + `"}`}},
		{does: "a password that is too short", role: pgtest.Admin, call: "PUT " + path + "/password", body: `{"password":"short"}`, status: 422, code: "password_invalid"},

		{does: "create as a user", role: pgtest.Bob, call: "POST /v1/users", body: `{"name":"x"}`, status: 403, code: "admin_only", has: []string{"administrators", "tinydev.user"}},
		{does: "alter as a user", role: pgtest.Bob, call: "PATCH " + path, body: `{"admin":true}`, status: 403, code: "admin_only"},
		{does: "drop as a user", role: pgtest.Bob, call: "DELETE " + path, status: 403, code: "admin_only"},
		{does: "another's password as a user", role: pgtest.Bob, call: "PUT " + path + "/password", body: `{}`, status: 403, code: "admin_only"},
		{does: "settings as a user", role: pgtest.Bob, call: "PATCH /v1/settings", body: `{"read_all":true}`, status: 403, code: "admin_only"},
		{does: "nobody", role: "-", call: "GET /v1/users", status: 401, code: "not_signed_in"},

		{does: "read the settings", role: pgtest.Bob, call: "GET /v1/settings", status: 200, has: []string{`"read_all":false`, `"event_retention":"90 days"`, `"page_rows":1000`}},
		{does: "settings dryly", role: pgtest.Admin, call: "PATCH /v1/settings?dry_run=true", body: `{"page_rows":"9"}`, status: 200, has: []string{`{"sql":["update tinydev_impl.instance set page_rows = 9;"]}`}},
		{does: "set settings", role: pgtest.Admin, call: "PATCH /v1/settings", body: `{"read_all":true,"page_rows":9,"run_retention":"7 days"}`, status: 200,
			has: []string{`"read_all":true`, `"page_rows":9`, `"run_retention":"7 days"`, `"event_retention":"90 days"`}},
		{does: "a setting that is none", role: pgtest.Admin, call: "PATCH /v1/settings", body: `{"sql_sha256":"x","page_rows":8}`, status: 422, code: "setting_unknown"},
		{does: "a bad value", role: pgtest.Admin, call: "PATCH /v1/settings", body: `{"page_rows":null}`, status: 422, code: "setting_invalid"},
		{does: "faults changed nothing", role: pgtest.Admin, call: "GET /v1/settings", status: 200, has: []string{`"page_rows":9`}},

		{does: "drop oneself", role: pgtest.Admin, call: "DELETE /v1/users/-", status: 409, code: "drop_self"},
		{does: "drop dryly", role: pgtest.Admin, call: "DELETE " + path + "?dry_run=true", status: 200, has: []string{`drop role ` + name}},
		{does: "an unknown fate", role: pgtest.Admin, call: "DELETE " + path + "?objects=burn", status: 422, code: "request_invalid"},
		{does: "no heir", role: pgtest.Admin, call: "DELETE " + path + "?objects=reassign", status: 422, code: "objects_invalid"},
	} {
		t.Run(s.does, func(t *testing.T) { h.scenario(t, s) })
	}
	if _, err := h.db.Conn(name).Exec(t.Context(), "create table t (a int)"); err != nil {
		t.Fatal(err)
	}
	for _, s := range []scenario{
		{does: "drop who owns", role: pgtest.Admin, call: "DELETE " + path, status: 409, code: "user_has_objects", has: []string{`"objects":["table ` + name + `.t"]`}},
		{does: "reassign", role: pgtest.Admin, call: "DELETE " + path + "?objects=reassign&to=" + heir, status: 200, has: []string{`"dropped":"` + name + `","jobs":[],"tokens":0`, `"reassigned_to":"` + heir + `"`}},
		{does: "gone", role: pgtest.Admin, call: "GET " + path, status: 404, code: "user_not_found"},
		{does: "drop the heir", role: pgtest.Admin, call: "DELETE /v1/users/" + heir + "?objects=drop", status: 200, has: []string{`"objects":["schema ` + name}},
		{does: "the name of a former user", role: pgtest.Admin, call: "POST /v1/users", body: `{"name":"` + name + `"}`, status: 409, code: "name_retired"},
		{does: "the same person", role: pgtest.Admin, call: "POST /v1/users", body: `{"name":"` + name + `","reuse":true}`, status: 201},
		{does: "drop", role: pgtest.Admin, call: "DELETE " + path, status: 200},
	} {
		t.Run(s.does, func(t *testing.T) { h.scenario(t, s) })
	}
}
