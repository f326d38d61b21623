package main

import (
	"github.com/spf13/cobra"

	"github.com/tinydevcrm/tinydevcrm/pkg/server"
)

func newMigrate() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "migrate",
		GroupID: groupServer,
		Short:   "Install or upgrade the schema in a PostgreSQL that is there already",
		Long: `Brings the schemas tinydev and tinydev_impl of a database to this program's version, in one transaction: a failure leaves all
as it was. It needs a superuser, and a database in which pg_cron can be created. Running it again changes nothing, several may
run at once, and a database of a newer version is refused (exit code 4). With --user it also makes that user, as an administrator,
unless there is one.

Example:
  TINYDEV_ADMIN_DATABASE_URL='postgres:///crm?host=/var/run/postgresql' tinydev migrate --user ann

Next: tinydev serve. ("tinydev up" does this by itself.)`,
		Args: takes(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(cmd)
			if err != nil {
				return err
			}
			return server.Migrate(cmd.Context(), cfg, cmd.OutOrStdout())
		},
	}
	settings(cmd, "admin-database-url", "database-url", "user", "log-level", "log-format")
	return cmd
}
