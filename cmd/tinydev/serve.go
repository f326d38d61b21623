package main

import (
	"github.com/spf13/cobra"

	"github.com/tinydevcrm/tinydevcrm/pkg/server"
)

func newServe() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "serve",
		GroupID: groupServer,
		Short:   "Start the server on a PostgreSQL that is there already",
		Long: `Starts the HTTP server with its page on an existing database, which needs pg_cron. Tables and roles that are there stay as
they are; tables of yours show up at once. The schema is installed or upgraded first when TINYDEV_ADMIN_DATABASE_URL names a
superuser, else it has to be there ("tinydev migrate"). Over a network it logs in, as itself and as its users, by certificates that
it signs ("tinydev ca --help"; deploy/prepare-database prepares PostgreSQL for it).

Example:
  # on PostgreSQL's own machine, as a superuser
  TINYDEV_ADMIN_DATABASE_URL='postgres:///crm?host=/var/run/postgresql' tinydev migrate --user ann
  # and then anywhere
  export TINYDEV_CA_CERT=/etc/tinydev/ca.crt TINYDEV_CA_KEY=/etc/tinydev/ca.key
  export TINYDEV_DATABASE_URL='postgres://tinydev_server@db.example.org/crm?sslmode=verify-full&sslrootcert=/etc/tinydev/ca.crt'
  tinydev serve --user ann

Next: tinydev env, in another terminal with the same --data-dir, prints the address and the token.`,
		Args: takes(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(cmd)
			if err != nil {
				return err
			}
			return server.Serve(cmd.Context(), cfg, cmd.OutOrStdout())
		},
	}
	settings(cmd, append([]string{"database-url", "admin-database-url", "ca-cert", "ca-key"}, serverSettings...)...)
	return cmd
}
