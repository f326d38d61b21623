package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tinydevcrm/tinydevcrm/pkg/client"
)

func newEnv() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "env",
		GroupID: groupTools,
		Short:   "Print the address, the token and the database as shell variables",
		Long: `Prints "export NAME='value'" lines for TINYDEV_URL, TINYDEV_TOKEN and DATABASE_URL of the server that runs on the data
directory, for curl, psql and other programs. The token is a secret: it is as good as a password. Where PostgreSQL asks for a
certificate, one for 24 hours is kept in <data-dir>/client, and DATABASE_URL names it; running this again renews it.

Example:
  eval "$(tinydev env)"
  curl -H "Authorization: Bearer $TINYDEV_TOKEN" "$TINYDEV_URL/v1/views"
  psql "$DATABASE_URL" -c 'select * from tinydev.event order by position desc limit 5'`,
		Args: takes(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(cmd)
			if err != nil {
				return err
			}
			running, err := client.ReadRunning(cfg.DataDir)
			if err != nil {
				return err
			}
			token, err := client.ReadToken(cfg.DataDir)
			if err != nil {
				return err
			}
			if running.CACert != "" {
				running.DatabaseURL, err = withCertificate(running, running.User, filepath.Join(cfg.DataDir, "client"))
				if err != nil {
					return err
				}
			}
			answer := struct {
				URL         string `json:"TINYDEV_URL"`
				Token       string `json:"TINYDEV_TOKEN"`
				DatabaseURL string `json:"DATABASE_URL"`
			}{running.URL, token, running.DatabaseURL}
			return show(cmd, answer, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "export TINYDEV_URL=%s\nexport TINYDEV_TOKEN=%s\nexport DATABASE_URL=%s\n",
					quote(answer.URL), quote(answer.Token), quote(answer.DatabaseURL))
				return err
			})
		},
	}
	settings(cmd, "data-dir")
	asJSON(cmd)
	return cmd
}

// quote writes a word for a POSIX shell.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
