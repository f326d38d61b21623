package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/cmd/tinydev/internal/console"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// TestDoctor examines a database without a server, and mends it.
func TestDoctor(t *testing.T) {
	db := pgtest.Live(t)
	t.Setenv("TINYDEV_ADMIN_DATABASE_URL", db.URL("tinydev_superuser"))
	doctor := func(arguments ...string) (string, error) {
		var out bytes.Buffer
		root := newRoot()
		root.SetArgs(append([]string{"doctor", "--data-dir", t.TempDir()}, arguments...))
		root.SetOut(&out)
		err := root.Execute()
		return out.String(), err
	}
	if out, err := doctor("--all"); err != nil || !strings.Contains(out, "ok     launcher") || !strings.Contains(out, "0 errors, ") {
		t.Errorf("with nothing wrong: %v\n%s", err, out)
	}
	if _, err := db.Superuser().Exec(t.Context(), "update cron.job set active = false where jobname = 'tinydev: upkeep'"); err != nil {
		t.Fatal(err)
	}
	var exit console.Exit
	out, err := doctor()
	if !errors.As(err, &exit) || exit != 5 || !strings.Contains(out, "error  system_jobs, tinydev: upkeep\n") || !strings.Contains(out, "mend:  update cron.job set active = true") || strings.Contains(out, "ok     launcher") {
		t.Errorf("with an error: %v\n%s", err, out)
	}
	if out, err = doctor("--fix", "--dry-run"); console.ExitCode(err) != 5 || !strings.Contains(out, "would run  update cron.job") {
		t.Errorf("a dry run: %v\n%s", err, out)
	}
	out, err = doctor("--fix", "--json")
	var answer examined
	if err != nil || json.Unmarshal([]byte(out), &answer) != nil || answer.Errors != 0 || len(answer.Mended) != 1 || len(answer.Findings) == 0 {
		t.Errorf("mended: %v\n%s", err, out)
	}
	if _, err := doctor("--dry-run"); fault.CodeOf(err) != "usage" {
		t.Errorf("--dry-run without --fix: %v", err)
	}

	// As the server it sees all and mends nothing.
	t.Setenv("TINYDEV_ADMIN_DATABASE_URL", "")
	t.Setenv("TINYDEV_DATABASE_URL", db.URL("tinydev_server"))
	if out, err = doctor(); err != nil || !strings.Contains(out, "0 errors") {
		t.Errorf("as the server: %v\n%s", err, out)
	}
	if _, err = doctor("--fix"); fault.CodeOf(err) != "admin_only" {
		t.Errorf("mending as the server: %v", err)
	}
}
