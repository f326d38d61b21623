package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tinydevcrm/tinydevcrm/cmd/tinydev/internal/console"
	"github.com/tinydevcrm/tinydevcrm/pkg/client"
	"github.com/tinydevcrm/tinydevcrm/pkg/config"
	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/server"
)

func newDoctor() *cobra.Command {
	cmd := &cobra.Command{
		Use: "doctor", Short: "Find out what is wrong with pg_cron, settings, jobs and views", GroupID: groupTools,
		Long: `Examines pg_cron and its settings, the logs, PostgreSQL's version, and your jobs, views and subscriptions, for administrators everybody's.
Each finding says what is wrong, why, and the SQL or the command that mends it. --fix, for administrators, first mends what can be
mended without a loss, and --fix --dry-run only shows that SQL. --all shows what is in order, too.

Where no server runs, it examines the database that TINYDEV_ADMIN_DATABASE_URL or TINYDEV_DATABASE_URL names; --fix needs the former.
Exit code: 0 without errors (there may be warnings), 5 with errors.

Example:
  tinydev doctor
  tinydev doctor --fix --dry-run
  TINYDEV_ADMIN_DATABASE_URL='postgres:///crm?host=/var/run/postgresql' tinydev doctor --json

In SQL: select * from tinydev.doctor(); select tinydev.doctor_fix(). docs/doctor.md tells about each check.`,
		Args: takes(0),
		RunE: doctor,
	}
	settings(cmd, append([]string{"database-url", "admin-database-url"}, clientSettings...)...)
	asJSON(cmd)
	dryRunFlag(cmd)
	cmd.Flags().Bool("fix", false, "mend first what can be mended without a loss")
	cmd.Flags().Bool("all", false, "show what is in order, too")
	return cmd
}

// examined is what the doctor prints with --json.
type examined struct {
	control.Examination
	Mended []control.Mended `json:"mended,omitempty"`
	SQL    []string         `json:"sql,omitempty"`
}

func doctor(cmd *cobra.Command, _ []string) error {
	cfg, err := load(cmd)
	if err != nil {
		return err
	}
	fix, dryRun := on(cmd, "fix"), on(cmd, "dry-run")
	if dryRun && !fix {
		return usageFault(cmd, fmt.Errorf("--dry-run is for --fix: without it nothing is changed"))
	}
	found, mended, err := examine(cmd.Context(), cfg, fix, dryRun)
	if err != nil {
		return err
	}
	err = show(cmd, examined{found, mended.Made.Mended, mended.SQL}, func(w io.Writer) error { return printExamination(w, found, mended, on(cmd, "all")) })
	if err == nil && found.Errors > 0 {
		return console.Exit(console.ExitErrors)
	}
	return err
}

// examine asks the server that the configuration names or that runs on the data directory, and else the database itself.
func examine(ctx context.Context, cfg config.Config, fix, dryRun bool) (found control.Examination, mended control.Change[control.Mending], err error) {
	locate := client.Locate(cfg.URL, cfg.Token.Reveal(), cfg.DataDir)
	hasDatabase := cfg.DatabaseURL.Reveal() != "" || cfg.AdminDatabaseURL.Reveal() != ""
	if _, missing := locate(); hasDatabase && cfg.URL == "" && fault.CodeOf(missing) == "server_not_running" {
		return server.Doctor(ctx, cfg, fix, dryRun)
	}
	c := client.New(locate)
	if fix {
		if mended, err = c.MendSafe(ctx, dryRun); err != nil {
			return found, mended, err
		}
	}
	found, err = c.Doctor(ctx)
	return found, mended, err
}

// printExamination writes the findings one below the other: they are too long for a table.
func printExamination(w io.Writer, found control.Examination, mended control.Change[control.Mending], all bool) error {
	var b strings.Builder
	for _, statement := range mended.SQL {
		fmt.Fprintf(&b, "would run  %s\n", statement)
	}
	for _, m := range mended.Made.Mended {
		if m.Error != nil {
			fmt.Fprintf(&b, "not mended %s, %s: %s\n", m.Check, m.Subject, *m.Error)
		} else {
			fmt.Fprintf(&b, "mended     %s, %s\n           %s\n", m.Check, m.Subject, m.SQL)
		}
	}
	for _, f := range found.Findings {
		if f.Level == control.LevelOK && !all {
			continue
		}
		fmt.Fprintf(&b, "%-6s %s", f.Level, f.Check)
		if f.Subject != "" {
			fmt.Fprintf(&b, ", %s", f.Subject)
		}
		fmt.Fprintf(&b, "\n       %s\n", f.Message)
		if f.Fix != nil {
			fmt.Fprintf(&b, "       mend:  %s\n", *f.Fix)
		}
	}
	fmt.Fprintf(&b, "%s, %s\n", console.Count(int64(found.Errors), "error"), console.Count(int64(found.Warnings), "warning"))
	_, err := io.WriteString(w, console.Printable(b.String()))
	return err
}
