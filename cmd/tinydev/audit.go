package main

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tinydevcrm/tinydevcrm/cmd/tinydev/internal/console"
	"github.com/tinydevcrm/tinydevcrm/pkg/client"
	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

func newAudit() *cobra.Command {
	cmd := viewCommand(&cobra.Command{
		Use: "audit", Short: "Show who did what, when and through which door", GroupID: groupUsers,
		Long: `Shows what users defined, granted, scheduled and loaded, their tokens and sign-ins, newest first; for administrators. The door is http,
sql (psql or any other client), job (pg_cron) or server. Refreshes are not in it: "tinydev events" shows those. --json adds the
SHA-256 of the SQL and more detail. In SQL it is the view tinydev.audit.

Example:
  tinydev audit --actor bob --since 24h
  tinydev audit --action grant --json
  tinydev audit --since 2027-01-31T12:00:00Z --limit 1000`,
		Args: takes(0),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, _ []string) error {
			flags := cmd.Flags()
			actor, err := flags.GetString("actor")
			if err != nil {
				return err
			}
			action, err := flags.GetString("action")
			if err != nil {
				return err
			}
			text, err := flags.GetString("since")
			if err != nil {
				return err
			}
			limit, err := flags.GetInt("limit")
			if err != nil {
				return err
			}
			since, err := sinceTime(text, time.Now())
			if err != nil {
				return err
			}
			list, err := c.Audit(ctx, control.AuditFilter{Actor: actor, Action: action, Since: since}, limit)
			if err != nil {
				return err
			}
			return show(cmd, list, func(w io.Writer) error {
				var rows [][]string
				for _, entry := range list {
					rows = append(rows, []string{console.Time(&entry.At), entry.Actor, entry.Door, entry.Action, entry.Subject, auditDetail(entry.Detail)})
				}
				return console.Table(w, []string{"at (UTC)", "actor", "door", "action", "subject", "detail"}, rows)
			})
		}),
	}, false)
	cmd.Flags().String("actor", "", "only what this user did")
	cmd.Flags().String("action", "", "only this action, such as 'create table' or token.created")
	cmd.Flags().String("since", "", "a time (2027-01-31T12:00:00Z), a day, or how long ago (24h)")
	cmd.Flags().Int("limit", 100, "how many at most")
	return cmd
}

// auditDetail writes what an entry says beyond its subject in one line; --json has it whole.
func auditDetail(detail map[string]any) string {
	var words []string
	for _, key := range slices.Sorted(maps.Keys(detail)) {
		switch key {
		case "object_type", "acl", "sha256", "job_id", "owned":
			continue
		}
		text, ok := detail[key].(string)
		if !ok {
			raw, err := json.Marshal(detail[key])
			if err != nil {
				continue
			}
			text = string(raw)
		}
		words = append(words, key+"="+text)
	}
	return strings.Join(words, " ")
}

// sinceTime reads a time, a day (in UTC) or a duration before now; "" is the zero time.
func sinceTime(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	if ago, err := time.ParseDuration(text); err == nil && ago > 0 {
		return now.Add(-ago), nil
	}
	return time.Time{}, fault.New(fault.Invalid, "usage", "%q is not a time", text).WithHint("write 2027-01-31T12:00:00Z, 2027-01-31, or how long ago: 90m, 24h")
}
