package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/tinydevcrm/tinydevcrm/cmd/tinydev/internal/console"
)

func newConfig() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config",
		GroupID: groupTools,
		Short:   "Print the configuration: each value and where it came from",
		Long: `Prints every TINYDEV_* variable with the value that holds and where it came from: a flag, the environment, or the default; a
flag wins over the environment, and that over the default. Secrets are redacted. A misspelt variable or a value that cannot be
used is an error (exit code 2), so this also checks a configuration. All settings may be given as flags to try them.

Example:
  TINYDEV_LISTEN=127.0.0.1:9000 tinydev config
  tinydev config --json

Next: tinydev up --help tells what the settings of the server do.`,
		Args: takes(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(cmd)
			if err != nil {
				return err
			}
			entries := cfg.Entries()
			return show(cmd, entries, func(w io.Writer) error {
				var rows [][]string
				for _, entry := range entries {
					rows = append(rows, []string{entry.Name, entry.Value, entry.Source, entry.Help})
				}
				return console.Table(w, []string{"variable", "value", "from", "what it is"}, rows)
			})
		},
	}
	settings(cmd, append([]string{"postgres-bin", "database-url", "admin-database-url", "ca-cert", "ca-key", "url", "token"}, serverSettings...)...)
	asJSON(cmd)
	return cmd
}
