package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tinydevcrm/tinydevcrm/pkg/client"
	"github.com/tinydevcrm/tinydevcrm/pkg/cluster"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

func newPsql() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "psql [--user NAME] [-- PSQL-ARGUMENTS]",
		GroupID: groupTools,
		Short:   "Open psql on the database of the running server",
		Long: `Runs psql on the database of the server that runs on the data directory, as the first user or as --user NAME. What stands after
-- goes to psql. psql is taken from PATH, else from beside the PostgreSQL server.

Example:
  tinydev psql
  tinydev psql -- -c 'select * from tinydev.job'

The whole way in SQL:
  create table friends ("Name" text, "Date" date);
  \copy friends from friends.csv with (format csv, header)
  select tinydev.create_view('bdays_today', 'select * from friends where …');
  select tinydev.schedule('bdays_today', '5 seconds');
  listen tinydev;
  select * from tinydev.read_events();
\df+ tinydev.* is the manual.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := load(cmd)
			if err != nil {
				return err
			}
			running, err := client.ReadRunning(cfg.DataDir)
			if err != nil {
				return err
			}
			url := running.DatabaseURL
			user, err := cmd.Flags().GetString("user")
			if err != nil {
				return err
			}
			if user != "" {
				if url, err = postgres.AsUser(url, user); err != nil {
					return err
				}
			}
			program, err := findPsql(cfg.PostgresBin)
			if err != nil {
				return err
			}
			if err := syscall.Exec(program, append([]string{"psql", url}, args...), os.Environ()); err != nil {
				return fmt.Errorf("run %s: %w", program, err)
			}
			return nil
		},
	}
	settings(cmd, "data-dir", "postgres-bin")
	cmd.Flags().String("user", "", "open it as this user instead of the first one")
	return cmd
}

// findPsql gives the path of psql.
func findPsql(bin string) (string, error) {
	if program, err := exec.LookPath("psql"); err == nil {
		return program, nil
	}
	inst, err := cluster.Find(bin)
	if err == nil {
		return exec.LookPath(filepath.Join(inst.BinDir, "psql"))
	}
	return "", fault.New(fault.NotFound, "psql_not_found", "psql is neither in PATH nor beside a PostgreSQL server").
		WithHint("install PostgreSQL's client, or connect another one to: tinydev env").Because(err)
}
