package api_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/api"
	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// TestDoctor examines over HTTP, and has an administrator mend.
func TestDoctor(t *testing.T) {
	t.Parallel()
	tried := 0
	h := start(t, func(o *api.Options) {
		o.Health = func() json.RawMessage {
			return json.RawMessage(`{"errors":1,"warnings":2,"checks":{"canary":"error"}}`)
		}
		o.Canary = func(context.Context) { tried++ }
	})
	if ready := h.call("", "GET", "/readyz", ""); ready.status != 200 || strings.TrimSpace(ready.body) != `{"status":"ready","doctor":{"errors":1,"warnings":2,"checks":{"canary":"error"}}}` {
		t.Errorf("readiness: %d %s", ready.status, ready.body)
	}
	if _, err := h.db.Superuser().Exec(context.Background(), "update cron.job set database = current_database(), active = jobname <> 'tinydev: upkeep'"); err != nil {
		t.Fatal(err)
	}
	find := func(role string) (found control.Examination) {
		t.Helper()
		got := h.call(role, "GET", "/v1/doctor", "")
		if got.status != 200 || json.Unmarshal([]byte(got.body), &found) != nil {
			t.Fatalf("%d %s", got.status, got.body)
		}
		return found
	}
	has := func(found control.Examination) bool {
		for _, f := range found.Findings {
			if f.Check == "system_jobs" && f.Level == control.LevelError && f.Safe && f.Fix != nil {
				return true
			}
		}
		return false
	}
	before := find(pgtest.Bob)
	if !has(before) || before.Errors != 2 || tried != 1 { // a clone has no launcher of its own
		t.Errorf("%+v, tried %d times", before, tried)
	}
	if got := h.call(pgtest.Bob, "POST", "/v1/doctor/fix", ""); got.status != 403 || got.problem(t).Code != "admin_only" {
		t.Errorf("bob mends: %d %s", got.status, got.body)
	}
	if got := h.call(pgtest.Admin, "POST", "/v1/doctor/fix?dry_run=true", ""); got.status != 200 || !strings.Contains(got.body, `{"sql":["update cron.job set active = true where jobid = `) || !has(find(pgtest.Bob)) {
		t.Errorf("a dry run: %d %s", got.status, got.body)
	}
	if got := h.call(pgtest.Admin, "POST", "/v1/doctor/fix", ""); got.status != 200 || !strings.Contains(got.body, `"check":"system_jobs","subject":"tinydev: upkeep","sql":"update`) || has(find(pgtest.Bob)) {
		t.Errorf("mended: %d %s", got.status, got.body)
	}
}
