package main

import (
	"github.com/spf13/cobra"

	"github.com/tinydevcrm/tinydevcrm/pkg/server"
)

func newUp() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "up",
		GroupID: groupServer,
		Short:   "Start a private PostgreSQL with pg_cron, and the server on it",
		Long: `Starts all there is, without Docker and without root: a PostgreSQL of its own in the data directory (made at the first
start), the schema, and the HTTP server with its page. It prints the address and stays until Ctrl-C, SIGTERM or "tinydev down";
then the server and PostgreSQL shut down cleanly. Data, token and address stay the same from start to start.

A data directory has one server; a second "up" on it is refused.

Example:
  tinydev up
  tinydev up --data-dir /srv/crm --listen 127.0.0.1:9000

Next, in another terminal:
  tinydev demo                  # see it work on sample data
  eval "$(tinydev env)"         # for curl and psql: TINYDEV_URL, TINYDEV_TOKEN, DATABASE_URL`,
		Args: takes(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(cmd)
			if err != nil {
				return err
			}
			return server.Up(cmd.Context(), cfg, cmd.OutOrStdout())
		},
	}
	settings(cmd, append([]string{"postgres-bin"}, serverSettings...)...)
	return cmd
}
