package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tinydevcrm/tinydevcrm/cmd/tinydev/internal/console"
	"github.com/tinydevcrm/tinydevcrm/pkg/client"
	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

func newSettings() *cobra.Command {
	cmd := viewCommand(&cobra.Command{
		Use: "settings", Short: "Show what holds for all users, and change it", GroupID: groupUsers,
		Long: `Shows the settings that are kept in the database: how long things are kept, whether new workspaces are readable by all, and the limits of
users that have none of their own. What an installation takes from its environment is shown by "tinydev config". In SQL it is the
view tinydev.settings.

Example:
  tinydev settings
  tinydev settings set read_all true

Next: tinydev user alter --help`,
		Args: noSuchCommand,
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, _ []string) error {
			all, err := c.Settings(ctx)
			if err != nil {
				return err
			}
			return show(cmd, all, func(w io.Writer) error { return printSettings(w, all) })
		}),
	}, false)
	cmd.AddCommand(newSettingsSet())
	return cmd
}

func newSettingsSet() *cobra.Command {
	return viewCommand(&cobra.Command{
		Use: "set NAME VALUE", Short: "Change a setting",
		Long: `Changes a setting, for administrators. read_all (true or false) holds for the users made from then on, as do connections, work_mem_mb
and temp_file_mb; the other limits hold at once for all users that have none of their own. Retentions are written as 30 days.

Example:
  tinydev settings set event_retention '30 days'
  tinydev settings set statement_seconds 60 --dry-run`,
		Args: takes(2),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			set, err := c.SetSettings(ctx, map[string]string{args[0]: args[1]}, on(cmd, "dry-run"))
			if err != nil {
				return err
			}
			return showChange(cmd, set.Made, set.SQL, func(w io.Writer) error { return printSettings(w, set.Made) })
		}),
	}, true)
}

// printSettings writes the settings by the names under which they are set.
func printSettings(w io.Writer, settings control.Settings) error {
	text, err := json.Marshal(settings)
	if err != nil {
		return fmt.Errorf("encode the settings: %w", err)
	}
	values := map[string]any{}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber() // a large one is not to be written as 1e+07
	if err := decoder.Decode(&values); err != nil {
		return fmt.Errorf("decode the settings: %w", err)
	}
	var fields [][2]string
	for _, name := range []string{"read_all", "event_retention", "run_retention", "audit_retention", "delivery_retention", "connections", "statement_seconds", "work_mem_mb",
		"temp_file_mb", "page_rows", "running_jobs", "idle_transaction_seconds"} {
		fields = append(fields, [2]string{name, fmt.Sprint(values[name])})
	}
	return console.Fields(w, fields...)
}
