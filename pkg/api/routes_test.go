package api_test

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// scenario is one request and what it has to answer.
type scenario struct {
	does   string
	role   string
	call   string // method and path
	body   string
	form   []string
	status int
	code   string   // of the problem
	has    []string // in the answer
}

const csv = "Name,Date\nAnn,2001-11-21\nBob,1990-01-02\n"

// large takes more than what is held in memory of a file.
var large = strings.Repeat("0123456789a\n", 100_000)

// scenarios run one after another on one database; each route has its good case before the faults that lean on it.
var scenarios = []scenario{
	{does: "upload", form: []string{"table", "friends", "file", csv}, call: "POST /v1/uploads", status: 201,
		has: []string{`"upload_id":1`, `"table":"\"Ann\".friends"`, `"created":true`, `"rows":2`, `"rejected":0`, `{"name":"Date","type":"date"`}},
	{does: "the same again", form: []string{"table", "friends", "file", csv}, call: "POST /v1/uploads", status: 409, code: "already_loaded", has: []string{`"upload_id":1`}},
	{does: "the same by force", form: []string{"force", "true", "table", "friends", "file", csv}, call: "POST /v1/uploads", status: 201, has: []string{`"created":false`}},
	{does: "force after the file", form: []string{"table", "friends", "file", csv, "force", "true"}, call: "POST /v1/uploads", status: 201},
	{does: "fields after the file", form: []string{"file", "A;B\n1;2\n", "delimiter", "semicolon", "table", "late"}, call: "POST /upload-file", status: 201, has: []string{`"rows":1`, `"type":"bigint"`}},
	{does: "a large file before its table", form: []string{"file", "n\n" + large, "table", "numbers"}, call: "POST /v1/uploads", status: 201, has: []string{`"rows":100000`}},
	{does: "a field too late", form: []string{"table", "numbers", "file", "n\n" + large, "force", "true"}, call: "POST /v1/uploads", status: 422, code: "field_late"},
	{does: "two large files", form: []string{"table", "numbers", "file", "n\n" + large, "file", "n\n1\n"}, call: "POST /v1/uploads", status: 422, code: "file_repeated"},
	{does: "a large file without a table", form: []string{"file", "n\n" + large}, call: "POST /v1/uploads", status: 422, code: "table_missing"},
	{does: "ragged", form: []string{"table", "ragged", "file", "a,b\n1,2\n3\n"}, call: "POST /v1/uploads", status: 422, code: "file_invalid", has: []string{`"line":3`}},
	{does: "ragged left nothing", call: "GET /v1/tables/ragged", status: 404, code: "table_not_found"},
	{does: "a bad cell", form: []string{"table", "friends", "file", "Name,Date\nX,soon\n"}, call: "POST /v1/uploads", status: 422, has: []string{`"line":2`, `"column":"Date"`, `"value":"soon"`}},
	{does: "columns that do not match", form: []string{"table", "friends", "file", "Name,Age\nX,1\n"}, call: "POST /v1/uploads", status: 422, code: "columns_mismatch", has: []string{"Age", "Date"}},
	{does: "given types", form: []string{"columns", `[{"name":"Zip","type":"text"}]`, "table", "zips", "file", "Zip\n12345\n"}, call: "POST /v1/uploads", status: 201, has: []string{`"type":"text"`}},
	{does: "a table that must be new", form: []string{"mode", "create", "table", "zips", "file", "Zip\n1\n"}, call: "POST /v1/uploads", status: 409, code: "name_taken"},
	{does: "a table that must be there", form: []string{"mode", "append", "table", "nowhere", "file", "Zip\n1\n"}, call: "POST /v1/uploads", status: 404, code: "table_not_found"},
	{does: "a mode that is none", form: []string{"mode", "upset", "table", "zips", "file", "Zip\n1\n"}, call: "POST /v1/uploads", status: 422, code: "option_invalid"},
	{does: "columns that are none", form: []string{"columns", `[1]`, "table", "x", "file", "a\n1\n"}, call: "POST /v1/uploads", status: 422, code: "field_invalid"},
	{does: "no table", form: []string{"file", csv}, call: "POST /v1/uploads", status: 422, code: "table_missing"},
	{does: "no file", form: []string{"table", "x"}, call: "POST /v1/uploads", status: 422, code: "file_missing"},
	{does: "two files", form: []string{"table", "two", "file", csv, "file", csv}, call: "POST /v1/uploads", status: 422, code: "file_repeated"},
	{does: "unknown field", form: []string{"tabel", "x", "file", csv}, call: "POST /v1/uploads", status: 422, code: "field_unknown"},
	{does: "no form", body: csv, call: "POST /v1/uploads", status: 415, code: "media_type_unsupported"},
	{does: "too large", form: []string{"table", "large", "file", "a\n" + strings.Repeat("0123456789abcde\n", 1<<17)}, call: "POST /v1/uploads", status: 413, code: "file_too_large"},
	{does: "another's workspace", role: pgtest.Bob, form: []string{"table", `"Ann".bobs`, "file", csv}, call: "POST /v1/uploads", status: 403},
	{does: "preview of a file", form: []string{"file", csv}, call: "POST /v1/uploads/preview", status: 200, has: []string{`"rows":2`, `"encoding":"utf-8"`, `"delimiter":","`, `"sample":[["Ann","2001-11-21"]`}},
	{does: "list uploads", call: "GET /v1/uploads?limit=1", status: 200, has: []string{`"next":`, `"sha256":`}},
	{does: "uploads after the last", call: "GET /v1/uploads?after=1", status: 200, has: []string{`{"uploads":[],"next":null}`}},
	{does: "one upload", call: "GET /v1/uploads/1", status: 200, has: []string{`"source":"friends.csv"`}},
	{does: "no such upload", call: "GET /v1/uploads/999", status: 404, code: "upload_not_found"},

	{does: "create a table", call: "POST /v1/tables", body: `{"name":"people","columns":[{"name":"Full Name","type":"text","nullable":false},{"name":"n","type":"numeric(12,2)"}]}`, status: 201,
		has: []string{`"name":"\"Ann\".people"`, `"type":"numeric(12,2)","nullable":true`, `"Full Name","type":"text","nullable":false`}},
	{does: "a name taken", call: "POST /v1/tables", body: `{"name":"people","columns":[{"name":"a","type":"text"}]}`, status: 409, code: "name_taken"},
	{does: "unknown type", call: "POST /v1/tables", body: `{"name":"p2","columns":[{"name":"a","type":"texxt"}]}`, status: 422, code: "type_unknown"},
	{does: "unknown JSON field", call: "POST /v1/tables", body: `{"name":"p2","colums":[]}`, status: 422, code: "request_invalid", has: []string{"body.colums"}},
	{does: "broken JSON", call: "POST /v1/tables", body: `{"name":`, status: 400, code: "json_invalid"},
	{does: "a body that is too large", call: "POST /v1/views", body: `{"name":"v","query":"` + strings.Repeat("x", 1<<20) + `"}`, status: 413, code: "body_too_large"},
	{does: "list tables", call: "GET /v1/tables?limit=2", status: 200, has: []string{`"next":"\"Ann\".late"`, `"kind":"table"`}},
	{does: "the next page", call: "GET /v1/tables?limit=2&after=%22Ann%22.late", status: 200, has: []string{`"\"Ann\".numbers"`, `"\"Ann\".people"`}},
	{does: "a bad limit", call: "GET /v1/tables?limit=0", status: 422, code: "request_invalid", has: []string{"query.limit"}},
	{does: "describe a table by its full name", call: "GET /v1/tables/%22Ann%22.people", status: 200, has: []string{`"owner":"Ann"`}},
	{does: "a name with an escaped slash", call: "GET /v1/tables/%22a%2Fb%22", status: 404, code: "table_not_found", has: []string{`a/b`}},
	{does: "another's table", role: pgtest.Bob, call: "GET /v1/tables/%22Ann%22.people", status: 403, code: "not_readable"},
	{does: "append rows", call: "POST /v1/tables/people/rows?source=p.csv", body: "n,Full Name\n1.5,Zoë\n", status: 201, has: []string{`"rows":1`, `"created":false`}},
	{does: "append to no table", call: "POST /v1/tables/nobody/rows", body: "a\n1\n", status: 404, code: "table_not_found"},
	{does: "rows as JSON", call: "GET /v1/tables/people/rows", status: 200, has: []string{`[{"Full Name":"Zoë","n":1.50}`}},
	{does: "rows as CSV", call: "GET /v1/tables/people/rows?format=csv", status: 200, has: []string{"Full Name,n\nZoë,1.50\n"}},
	{does: "rows as NDJSON", call: "GET /v1/tables/friends/rows?format=ndjson", status: 200, has: []string{"{\"Name\":\"Ann\",\"Date\":\"2001-11-21\"}\n{"}},
	{does: "rows of nothing", call: "GET /v1/tables/nobody/rows", status: 404, code: "relation_not_found"},
	{does: "an unknown format", call: "GET /v1/tables/people/rows?format=xml", status: 422, code: "request_invalid"},

	{does: "create a view", call: "POST /v1/views", body: `{"name":"bdays","query":"select * from friends where \"Date\" < now()"}`, status: 201, has: []string{`"name":"\"Ann\".bdays"`, `"rows":6`, `"populated":true`}},
	{does: "a view of a wrong query", call: "POST /v1/views", body: `{"name":"v2","query":"select\n  nix from friends"}`, status: 422, code: "query_invalid", has: []string{`"line":2`, `"column":3`, `"position":10`, `"sqlstate":"42703"`}},
	{does: "two statements", call: "POST /v1/views", body: `{"name":"v2","query":"select 1; drop table friends"}`, status: 422},
	{does: "list views", call: "GET /v1/views", status: 200, has: []string{`{"views":[{"name":"\"Ann\".bdays"`, `"next":null`}},
	{does: "describe a view", call: "GET /v1/views/bdays", status: 200, has: []string{`"query":`}},
	{does: "a table is no view", call: "GET /v1/views/friends", status: 422},
	{does: "replace a view", call: "PUT /v1/views/bdays", body: `{"query":"select \"Name\" from friends"}`, status: 200, has: []string{`"columns":[{"name":"Name"`}},
	{does: "replace no view", call: "PUT /v1/views/nix", body: `{"query":"select 1"}`, status: 404, code: "view_not_found"},
	{does: "refresh", call: "POST /v1/views/bdays/refresh", status: 200, has: []string{`"rows":6`, `"cause":"manual"`, `"concurrently":false`}},
	{does: "refresh another's", role: pgtest.Bob, call: "POST /v1/views/%22Ann%22.bdays/refresh", status: 403},
	{does: "rows of a view", call: "GET /v1/views/bdays/rows?format=csv", status: 200, has: []string{"Name\nAnn\n"}},
	{does: "drop a table in use", call: "DELETE /v1/tables/friends", status: 409, code: "in_use", has: []string{"bdays"}},
	{does: "try a query", call: "POST /v1/queries/preview", body: `{"query":"select n from generate_series(1,5) n","limit":2}`, status: 200, has: []string{`"rows":[["1"],["2"]]`, `"more":true`, `{"name":"n","type":"integer"`}},
	{does: "try a wrong query", call: "POST /v1/queries/preview", body: `{"query":"selec 1"}`, status: 422, code: "query_invalid", has: []string{`"position":1`}},
	{does: "try a query that writes", call: "POST /v1/queries/preview", body: `{"query":"with x as (insert into friends default values returning 1) select 1"}`, status: 422},

	{does: "schedule", call: "POST /v1/jobs", body: `{"view":"bdays","schedule":"0 9 * * 1-5"}`, status: 201, has: []string{`"job_id":101`, `"view":"\"Ann\".bdays"`, `"active":true`, `"next_runs":["`, `"command":"call tinydev.refresh(`}},
	{does: "a bad schedule", call: "POST /v1/jobs", body: `{"view":"bdays","schedule":"61 * * * *"}`, status: 422, code: "schedule_invalid"},
	{does: "schedule no view", call: "POST /v1/jobs", body: `{"view":"nix","schedule":"* * * * *"}`, status: 404, code: "view_not_found"},
	{does: "list jobs", call: "GET /v1/jobs", status: 200, has: []string{`{"jobs":[{"job_id":101`, `"next":null`}},
	{does: "describe a job", call: "GET /v1/jobs/101", status: 200, has: []string{`"words":"at 09:00 from Monday to Friday"`}},
	{does: "no such job", call: "GET /v1/jobs/999", status: 404, code: "job_not_found"},
	{does: "an id that is none", call: "GET /v1/jobs/x", status: 422, code: "request_invalid"},
	{does: "pause", call: "PATCH /v1/jobs/101", body: `{"active":false}`, status: 200, has: []string{`"active":false`, `"next_runs":[]`}},
	{does: "reschedule", call: "PATCH /v1/jobs/101", body: `{"schedule":"*/5 * * * *","active":true}`, status: 200, has: []string{`"schedule":"*/5 * * * *"`, `"active":true`}},
	{does: "another's job", role: pgtest.Bob, call: "PATCH /v1/jobs/101", body: `{"active":true}`, status: 404, code: "job_not_found"},
	{does: "runs", call: "GET /v1/jobs/101/runs", status: 200, has: []string{`{"runs":[],"next":null}`}},
	{does: "schedule in a free minute", call: "PATCH /v1/jobs/101?dry_run=true", body: `{"schedule":"H/60 3 * * *"}`, status: 422, code: "schedule_invalid"},
	{does: "preview a free minute", call: "GET /v1/schedules/preview?schedule=H+3+*+*+*", status: 200, has: []string{` 3 * * *","words":"at 03:`, `"warnings":["H is chosen when the view is scheduled`}},
	{does: "schedule once, only shown", call: "POST /v1/jobs?dry_run=true", body: `{"view":"bdays","schedule":"at 2099-12-05T14:30"}`, status: 200, has: []string{`select cron.schedule_in_database('\"Ann\".bdays at 2099-12-05 14:30', '30 14 5 12 *'`}},
	{does: "schedule once", call: "POST /v1/jobs", body: `{"view":"bdays","schedule":"at 2099-12-05 14:30"}`, status: 201, has: []string{`"job_id":102`, `"schedule":"at 2099-12-05 14:30"`, `"words":"once, on 2099-12-05 at 14:30"`, `"next_runs":["2099-12-05T14:30:00Z"]`}},
	{does: "schedule once in the past", call: "POST /v1/jobs", body: `{"view":"bdays","schedule":"at 1999-12-05 14:30"}`, status: 422, code: "schedule_past"},
	{does: "make a second regular job", call: "PATCH /v1/jobs/102", body: `{"schedule":"0 9 * * *"}`, status: 409, code: "schedule_taken"},
	{does: "remove what runs once", call: "DELETE /v1/jobs/102", status: 200, has: []string{`"unscheduled":102`}},
	{does: "alter a job", call: "PATCH /v1/jobs/101", body: `{"time_zone":"Europe/Berlin","schedule":"0 9 * * *","overlap":"queue_one","missed":"none","timeout_seconds":60,"retries":2}`, status: 200,
		has: []string{`"schedule":"0 9 * * *"`, `"time_zone":"Europe/Berlin"`, `"overlap":"queue_one"`, `"missed":"none"`, `"timeout_seconds":60`, `"retries":2`, `schedule => '0 9 * * *'`}},
	{does: "alter a job badly", call: "PATCH /v1/jobs/101", body: `{"time_zone":"Nowhere"}`, status: 422, code: "time_zone_unknown"},
	{does: "an overlap that is none", call: "PATCH /v1/jobs/101", body: `{"overlap":"twice"}`, status: 422, code: "request_invalid"},
	{does: "pause all, only shown", call: "PATCH /v1/jobs?dry_run=true", body: `{"active":false}`, status: 200, has: []string{`{"sql":["select cron.alter_job(101, active => false);"]}`}},
	{does: "pause all", call: "PATCH /v1/jobs", body: `{"active":false}`, status: 200, has: []string{`{"jobs":[101],"active":false}`}},
	{does: "run a paused job, only shown", call: "POST /v1/jobs/101/run?dry_run=true", status: 200, has: []string{`{"sql":["call tinydev.run_job(101);"]}`}},
	{does: "run a paused job", call: "POST /v1/jobs/101/run", status: 200, has: []string{`"cause":"manual"`, `"job_id":101`, `"run_id":`}},
	{does: "run no job", call: "POST /v1/jobs/999/run", status: 404, code: "job_not_found"},
	{does: "runs of a job", call: "GET /v1/jobs/101/runs?limit=1", status: 200, has: []string{`"status":"succeeded"`, `"cause":"manual"`, `"timeout_seconds":60`}},
	{does: "runs of a view", call: "GET /v1/views/bdays/runs", status: 200, has: []string{`"status":"succeeded"`}},
	{does: "runs of no view", call: "GET /v1/views/nix/runs", status: 404, code: "view_not_found"},
	{does: "cancel no run", call: "POST /v1/runs/999999/cancel", status: 404, code: "run_not_found"},
	{does: "runs of no job", call: "GET /v1/jobs/999/runs", status: 404, code: "job_not_found"},
	{does: "preview a schedule", call: "GET /v1/schedules/preview?schedule=0+0+1+1+*&count=2&after=2026-06-01T00:00:00Z", status: 200, has: []string{`"runs":["2027-01-01T00:00:00Z","2028-01-01T00:00:00Z"]`, `"warnings":[]`}},
	{does: "preview a bad one", call: "GET /v1/schedules/preview?schedule=x", status: 422, code: "schedule_invalid"},
	{does: "preview none", call: "GET /v1/schedules/preview", status: 422, code: "request_invalid"},
	{does: "remove a job", call: "DELETE /v1/jobs/101", status: 200, has: []string{`"unscheduled":101`}},
	{does: "remove it again", call: "DELETE /v1/jobs/101", status: 404, code: "job_not_found"},
	{does: "drop a view", call: "DELETE /v1/views/bdays", status: 200, has: []string{`{"dropped":"\"Ann\".bdays"}`}},
	{does: "drop a table", call: "DELETE /v1/tables/friends", status: 200, has: []string{`{"dropped":"\"Ann\".friends"}`}},

	{does: "an event page that is too long", call: "GET /v1/events?limit=1001", status: 422, code: "request_invalid"},
	{does: "a position that is none", call: "GET /v1/events/stream?after=x", status: 422, code: "request_invalid"},
	{does: "health", role: "-", call: "GET /healthz", status: 200, has: []string{`{"status":"up"}`}},
	{does: "readiness", role: "-", call: "GET /readyz", status: 200, has: []string{`{"status":"ready"}`}},
	{does: "metrics", role: "-", call: "GET /metrics", status: 200, has: []string{`tinydev_http_request_seconds_count{method="POST",route="/v1/uploads",status="201"}`, "tinydev_upload_bytes_total"}},
	{does: "docs", role: "-", call: "GET /docs", status: 200, has: []string{"/docs/swagger-ui-bundle.js"}},
	{does: "a file of the docs", role: "-", call: "GET /docs/start.js", status: 200, has: []string{"/openapi.json"}},
	{does: "no source map", role: "-", call: "GET /docs/swagger-ui.css.map", status: 404, code: "route_not_found"},
	{does: "nobody", role: "-", call: "GET /v1/tables", status: 401, code: "not_signed_in"},
	{does: "no such route", call: "GET /v1/nothing", status: 404, code: "route_not_found"},
	{does: "no such method", call: "PUT /v1/jobs", body: `{}`, status: 405, code: "method_not_allowed"},
	{does: "an unknown parameter", call: "DELETE /v1/tables/people?dryrun=true", status: 422, code: "request_invalid", has: []string{"query.dryrun"}},
}

func TestScenarios(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.numberJobs()
	for _, s := range scenarios {
		t.Run(s.does, func(t *testing.T) {
			h.scenario(t, s)
		})
	}
	t.Run("the events of all this", func(t *testing.T) {
		pgtest.Eventually(t, 10e9, "all events are placed", func() bool {
			return strings.Contains(h.call(pgtest.Ann, "GET", "/v1/events?limit=1000", "").body, `tinydev.table.dropped`)
		})
		page := h.call(pgtest.Ann, "GET", "/v1/events?type=view.created&type=tinydev.table.load_failed", "").body
		for _, part := range []string{`tinydev.view.created`, `tinydev.table.load_failed`, `"next":`, `"head":`} {
			if !strings.Contains(page, part) {
				t.Errorf("no %s in %s", part, page)
			}
		}
		if strings.Contains(page, "view.refreshed") {
			t.Error("the filter lets others through")
		}
	})
	for _, secret := range h.tokens {
		if strings.Contains(h.log.String(), secret) {
			t.Error("the log holds a token")
		}
	}
}

// scenario makes a request and compares its answer.
func (h *harness) scenario(t *testing.T, s scenario) {
	t.Helper()
	role := s.role
	switch role {
	case "":
		role = pgtest.Ann
	case "-":
		role = ""
	}
	method, path, _ := strings.Cut(s.call, " ")
	var got answer
	if s.form != nil {
		got = h.load(role, path, s.form...)
	} else {
		got = h.call(role, method, path, s.body)
	}
	if got.status != s.status {
		t.Fatalf("%s: %d, not %d: %.2000s", s.call, got.status, s.status, got.body)
	}
	if s.status >= 400 {
		p := got.problem(t)
		if s.code != "" && p.Code != s.code || p.Code == "" || p.Status != s.status || p.Title == "" || p.Detail == "" ||
			p.Type != "urn:tinydev:error:"+p.Code || p.RequestID != got.header.Get("X-Request-Id") || got.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("not the problem %q: %s", s.code, got.body)
		}
	}
	for _, part := range s.has {
		if !strings.Contains(got.body, part) {
			t.Errorf("%s lacks %s: %.2000s", s.call, part, got.body)
		}
	}
	if strings.Contains(got.body, "$schema") {
		t.Error("the body has a $schema")
	}
}

func TestDryRunsChangeNothing(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.numberJobs()
	h.load(pgtest.Ann, "/v1/uploads", "table", "friends", "file", csv)
	h.load(pgtest.Ann, "/v1/uploads", "table", "other", "file", csv)
	h.call(pgtest.Ann, "POST", "/v1/views", `{"name":"v","query":"select * from friends"}`)
	h.call(pgtest.Ann, "POST", "/v1/views", `{"name":"v2","query":"select 1 as one"}`)
	job := h.call(pgtest.Ann, "POST", "/v1/jobs", `{"view":"v","schedule":"* * * * *"}`)
	if job.status != 201 {
		t.Fatal(job.body)
	}
	snapshot := func() string {
		return pgtest.Value[string](t, h.db.Superuser(), `select concat_ws(E'\n',
			(select string_agg(c.oid::text || c.relname || c.relkind::text || c.relfilenode::text, ',' order by c.oid) from pg_class c where c.relnamespace = '"Ann"'::regnamespace),
			(select string_agg(j::text, ',' order by jobid) from cron.job j),
			(select count(*) from tinydev.upload), (select count(*) from "Ann".friends),
			(select count(*) from tinydev_impl.inbox) + (select count(*) from tinydev_impl.event))`)
	}
	before := snapshot()
	for call, body := range map[string]string{
		"POST /v1/tables":            `{"name":"t","columns":[{"name":"a","type":"text"}]}`,
		"DELETE /v1/tables/other":    "",
		"POST /v1/tables/other/rows": "Name,Date\nEve,2000-01-01\n",
		"POST /v1/views":             `{"name":"w","query":"select 1"}`,
		"PUT /v1/views/v":            `{"query":"select 1"}`,
		"DELETE /v1/views/v2":        "",
		"POST /v1/views/v/refresh":   "",
		"POST /v1/jobs":              `{"view":"v2","schedule":"5 * * * *"}`,
		"PATCH /v1/jobs/101":         `{"active":false,"schedule":"1 * * * *"}`,
		"DELETE /v1/jobs/101":        "",
	} {
		method, path, _ := strings.Cut(call, " ")
		got := h.call(pgtest.Ann, method, path+"?dry_run=true", body)
		if got.status != 200 || !strings.HasPrefix(got.body, `{"sql":["`) {
			t.Errorf("%s: %d %s", call, got.status, got.body)
		}
	}
	for _, fields := range [][]string{{"table", "new", "file", csv}, {"table", "other", "file", csv}} {
		got := h.load(pgtest.Ann, "/v1/uploads?dry_run=true", fields...)
		if got.status != 200 || !strings.HasPrefix(got.body, `{"sql":["`) {
			t.Errorf("upload: %d %s", got.status, got.body)
		}
	}
	if after := snapshot(); after != before {
		t.Errorf("a dry run changed something:\n%s\n---\n%s", before, after)
	}
}

// numberJobs has the next job be 101.
func (h *harness) numberJobs() {
	pgtest.Value[int64](h.t, h.db.Superuser(), "select setval('cron.jobid_seq', 100)")
}

func TestOpenAPIGolden(t *testing.T) {
	t.Parallel()
	h := start(t)
	got := h.call("", "GET", "/openapi.json", "")
	golden := filepath.Join("testdata", "openapi.json")
	if *update {
		check(t, os.MkdirAll("testdata", 0o755))
		check(t, os.WriteFile(golden, []byte(got.body), 0o644))
	}
	want, err := os.ReadFile(golden)
	check(t, err)
	if got.body != string(want) {
		t.Error("the description changed: look at it with make golden and git diff")
	}
}

func TestConcurrentRequests(t *testing.T) {
	t.Parallel()
	h := start(t)
	var group sync.WaitGroup
	for i := range 40 {
		group.Go(func() {
			role := []string{pgtest.Ann, pgtest.Bob}[i%2]
			name := fmt.Sprintf("t%d", i)
			if got := h.load(role, "/v1/uploads", "table", name, "file", fmt.Sprintf("n\n%d\n", i)); got.status != 201 {
				t.Errorf("upload: %d %s", got.status, got.body)
			}
			if got := h.call(role, "GET", "/v1/tables/"+name+"/rows?format=csv", ""); got.body != fmt.Sprintf("n\n%d\n", i) {
				t.Errorf("rows: %d %s", got.status, got.body)
			}
			if got := h.call(role, "DELETE", "/v1/tables/"+name, ""); got.status != 200 {
				t.Errorf("drop: %d %s", got.status, got.body)
			}
		})
	}
	group.Wait()
}

func TestNotReady(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.down.Store(true)
	got := h.call("", "GET", "/readyz", "")
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || got.problem(t).Code != "database_unavailable" || strings.Contains(got.body, "cause") {
		t.Errorf("%d %v %s", got.status, got.header, got.body)
	}
	if up := h.call("", "GET", "/healthz", ""); up.status != 200 {
		t.Errorf("healthz: %d", up.status)
	}
}

func TestClientGone(t *testing.T) {
	t.Parallel()
	h := start(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		req, _ := http.NewRequestWithContext(ctx, "POST", h.url+"/v1/queries/preview", strings.NewReader(`{"query":"select pg_sleep(9)"}`))
		req.Header.Set("Authorization", "Bearer "+h.tokens[pgtest.Ann])
		req.Header.Set("Content-Type", "application/json")
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			t.Error("it was answered")
		}
	}()
	running := func() bool {
		return pgtest.Value[int](t, h.db.Superuser(), `select count(*)::int from pg_stat_activity where state = 'active' and usename = 'Ann' and datname = current_database()`) > 0
	}
	pgtest.Eventually(t, 10e9, "the query runs", running)
	cancel()
	<-done
	pgtest.Eventually(t, 5e9, "the query is canceled", func() bool { return !running() })
}
