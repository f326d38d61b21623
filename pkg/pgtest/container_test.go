package pgtest_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// TestContainer runs a job each second (each minute below pg_cron 1.5, which knows no seconds) in a
// container of Dockerfile.postgres, through a power cut and a clean stop. Without a Docker engine it fails, unless the run is for the local server alone.
func TestContainer(t *testing.T) {
	t.Parallel()
	switch server := os.Getenv("TINYDEV_TEST_SERVER"); server {
	case "container", "all":
	default:
		t.Skipf("TINYDEV_TEST_SERVER is %q; container and all run this", server)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	c, err := pgtest.StartContainer(ctx, pgtest.ContainerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})

	run(ctx, t, c.SuperuserDSN(),
		`create role "Ann" login`,
		`create schema "Ann" authorization "Ann"`,
		`grant usage on schema cron to "Ann"`)
	ann := c.DSN("Ann", "tinydev")
	schedule := text(ctx, t, ann, `select case when extversion < '1.5' then '* * * * *' else '1 seconds' end from pg_catalog.pg_extension where extname = 'pg_cron'`)
	run(ctx, t, ann,
		`create table "Ann".tick (ticked_at timestamptz not null default clock_timestamp())`,
		`select cron.schedule('tick', '`+schedule+`', 'insert into "Ann".tick default values')`)
	first := waitForTicks(ctx, t, ann, 1)

	if err := c.Kill(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(ctx); err != nil {
		t.Fatal(err)
	}
	second := waitForTicks(ctx, t, ann, first+1)

	code, err := c.Stop(ctx)
	if err != nil || code != 0 {
		t.Fatalf("stop: exit code %d, %v", code, err)
	}
	if err := c.Start(ctx); err != nil {
		t.Fatal(err)
	}
	waitForTicks(ctx, t, ann, second+1)

	t.Run("processes", func(t *testing.T) {
		_, out, err := c.Exec(ctx, "bash", "-c", "cat /proc/[0-9]*/status | grep ^Uid: | cut -f 2 | sort -u")
		if err != nil {
			t.Fatal(err)
		}
		if users := strings.Fields(out); len(users) != 1 || users[0] == "0" {
			t.Errorf("processes run as the users %q, want one that is not root", users)
		}
	})
	t.Run("row security", func(t *testing.T) {
		// What PostgreSQL takes for its own, by its low oid, has none, and is left out of dumps.
		if active := text(ctx, t, ann, "select (row_security_active('cron.job') and row_security_active('cron.job_run_details'))::text"); active != "true" {
			t.Error("a user reads everybody's jobs")
		}
	})
	t.Run("settings", func(t *testing.T) {
		workers := "on"
		if strings.HasPrefix(schedule, "*") { // below 1.5
			workers = "off"
		}
		for name, want := range map[string]string{
			"cron.use_background_workers": workers,
			"cron.max_running_jobs":       "32",
			"max_worker_processes":        "64",
			"cron.timezone":               "GMT",
			"cron.enable_superuser_jobs":  "off",
			"data_checksums":              "on",
			"server_encoding":             "UTF8",
			"password_encryption":         "scram-sha-256",
		} {
			if got := text(ctx, t, c.SuperuserDSN(), "show "+name); got != want {
				t.Errorf("%s is %s, want %s", name, got, want)
			}
		}
	})
	t.Run("tcp", func(t *testing.T) {
		run(ctx, t, c.SuperuserDSN(), `create role "Bob" login password 'right'`)
		for password, want := range map[string]bool{"right": true, "wrong": false, "": false} {
			code, out, err := c.Exec(ctx, "env", "PGPASSWORD="+password, "psql", "-w", "-h", "127.0.0.1", "-U", "Bob", "-d", "tinydev", "-c", "select 1")
			if err != nil {
				t.Fatal(err)
			}
			if (code == 0) != want {
				t.Errorf("login over TCP with password %q: exit code %d: %s", password, code, out)
			}
		}
	})
}

// waitForTicks waits until Ann's job has run so many times and returns how often it has.
func waitForTicks(ctx context.Context, t *testing.T, dsn string, want int) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for {
		var ticks int
		if err := conn.QueryRow(ctx, `select count(*) from "Ann".tick`).Scan(&ticks); err != nil {
			t.Fatalf("count the job's rows: %v", err)
		}
		if ticks >= want {
			return ticks
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the job wrote %d rows within two minutes, want %d", ticks, want)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func run(ctx context.Context, t *testing.T, dsn string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func text(ctx context.Context, t *testing.T, dsn, query string) string {
	t.Helper()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var answer string
	if err := conn.QueryRow(ctx, query).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return answer
}
