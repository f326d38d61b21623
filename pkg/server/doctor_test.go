package server_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/server"
)

// TestDoctor: a server examines the database, says so in its readiness, tells of its disk and its clock, and of what goes bad and well.
func TestDoctor(t *testing.T) {
	t.Parallel()
	db := pgtest.Live(t)
	ctx, super := context.Background(), db.Superuser()
	if _, err := super.Exec(ctx, "update cron.job set active = false where jobname = 'tinydev: upkeep'"); err != nil {
		t.Fatal(err)
	}
	ready := func(s *instance, want string) {
		t.Helper()
		pgtest.Eventually(t, 30*time.Second, "readiness has "+want, func() bool {
			status, body := s.call("GET", "/readyz", "")
			return status == 200 && strings.Contains(body, want)
		})
	}
	environment := map[string]string{"TINYDEV_DATA_DIR": t.TempDir(), "TINYDEV_DATABASE_URL": db.URL("tinydev_superuser")}
	s := run(t, server.Serve, environment)
	ready(s, `"system_jobs":"error"`)
	status, body := s.call("GET", "/v1/doctor", "")
	for _, want := range []string{`"check":"system_jobs","level":"error","subject":"tinydev: upkeep"`, `"check":"disk","level":"`, `"check":"clock","level":"ok"`, ` free (`} {
		if status != 200 || !strings.Contains(body, want) {
			t.Errorf("no %s in %d %s", want, status, body)
		}
	}
	if err := s.end(); err != nil {
		t.Error(err)
	}
	if _, err := super.Exec(ctx, "update cron.job set active = true"); err != nil {
		t.Fatal(err)
	}
	s = run(t, server.Serve, environment)
	ready(s, `"errors":0`)
	pgtest.Eventually(t, 20*time.Second, "what went bad and well again is told", func() bool {
		rows, err := super.Query(ctx, "select type || ' ' || subject from tinydev_impl.event where type like 'doctor.%' order by position")
		if err != nil {
			t.Fatal(err)
		}
		list, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(list, ", ") == "doctor.failed tinydev_server.system_jobs, doctor.recovered tinydev_server.system_jobs"
	})
}
