package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/tinydevcrm/tinydevcrm/pkg/client"
	"github.com/tinydevcrm/tinydevcrm/pkg/cluster"
)

func newDown() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "down",
		GroupID: groupServer,
		Short:   "Stop the server and the PostgreSQL of a data directory",
		Long: `Tells the server that "tinydev up" started on the data directory to stop, and waits until it and its PostgreSQL have shut down
cleanly. A PostgreSQL that a killed server left behind is stopped too. Data stays; "tinydev up" goes on where it was.
When nothing runs it says so, and that is no error.

Example:
  tinydev down
  tinydev down --data-dir /srv/crm --timeout 2m`,
		Args: takes(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load(cmd)
			if err != nil {
				return err
			}
			patience, err := cmd.Flags().GetDuration("timeout")
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), patience)
			defer cancel()
			running, runningErr := client.ReadRunning(cfg.DataDir)
			stopped, err := cluster.Down(ctx, cfg.DataDir)
			if err != nil {
				return err
			}
			answer := struct {
				Stopped bool   `json:"stopped"`
				DataDir string `json:"data_dir"`
				URL     string `json:"url,omitempty"`
			}{stopped, cfg.DataDir, running.URL}
			also := "; its PostgreSQL is another's and goes on"
			if _, err := os.Stat(filepath.Join(cfg.DataDir, "postgres")); err == nil {
				also = ", and its PostgreSQL"
			}
			return show(cmd, answer, func(w io.Writer) error {
				switch {
				case !stopped:
					_, err = fmt.Fprintf(w, "nothing runs on %s\n", cfg.DataDir)
				case runningErr != nil:
					_, err = fmt.Fprintf(w, "stopped what ran on %s\n", cfg.DataDir)
				default:
					_, err = fmt.Fprintf(w, "stopped the server at %s (process %d) on %s%s\n", running.URL, running.PID, cfg.DataDir, also)
				}
				return err
			})
		},
	}
	settings(cmd, "data-dir")
	cmd.Flags().Duration("timeout", time.Minute, "how long to wait")
	asJSON(cmd)
	return cmd
}
