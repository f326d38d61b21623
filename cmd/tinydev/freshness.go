package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tinydevcrm/tinydevcrm/cmd/tinydev/internal/console"
	"github.com/tinydevcrm/tinydevcrm/pkg/client"
)

func newFreshness() *cobra.Command {
	return family("freshness", "Promise how old tables and views may be, and hear when they are older",
		`A promise says that a table or view of yours is never older than so long. A view is as old as its last refresh, a table as its last load.
When the promise is broken, view.stale or table.stale is recorded, once, and view.fresh or table.fresh when it holds again: subscribe to
them as to any event. The promise stays when the table or view is renamed or gets another query, and goes with it.

Example:
  tinydev freshness set bdays_today 1h
  tinydev freshness list
  tinydev subscription create late --email ann@example.org --type '*.stale' --type '*.fresh' --rearm once
  tinydev freshness drop bdays_today

In SQL: tinydev.set_freshness, tinydev.drop_freshness, and the view tinydev.freshness. Who fills a table in another way than by a load
tells so: select tinydev.record_event('table.loaded', 'friends'::regclass, null);`,
		newFreshnessSet(), newFreshnessList(), newFreshnessDrop())
}

func newFreshnessSet() *cobra.Command {
	return viewCommand(&cobra.Command{
		Use: "set RELATION AGE", Short: "Promise that a table or view is at most so old",
		Long: `Promises that a table or view of yours is at most so old, or changes that promise. AGE is whole seconds, written as 90s, 5m, 1h30m or 7d.

Example:
  tinydev freshness set bdays_today 1h
  tinydev freshness set friends 7d
  tinydev freshness set friends 7d --dry-run        # only prints the SQL

Next: tinydev freshness list`,
		Args: takes(2),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			seconds, err := spanSeconds("AGE", args[1])
			if err != nil {
				return usageFault(cmd, fmt.Errorf("%q is no age; write whole seconds as 90s, 5m, 1h30m or 7d", args[1]))
			}
			set, err := c.SetFreshness(ctx, args[0], seconds, on(cmd, "dry-run"))
			if err != nil {
				return err
			}
			return showChange(cmd, set.Made, set.SQL, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s is to be at most %s old; it is %s\n", console.Printable(set.Made.Relation), shortSpan(set.Made.MaxAgeSeconds), age(set.Made.AgeSeconds))
				return err
			})
		}),
	}, true)
}

// age writes how old something is, in the greatest unit of which there are two.
func age(seconds int64) string {
	for _, unit := range []struct {
		seconds int64
		word    string
	}{{24 * 60 * 60, "d"}, {60 * 60, "h"}, {60, "m"}} {
		if seconds >= 2*unit.seconds {
			return fmt.Sprintf("%d%s", seconds/unit.seconds, unit.word)
		}
	}
	return fmt.Sprintf("%ds", seconds)
}

func newFreshnessList() *cobra.Command {
	return viewCommand(&cobra.Command{
		Use: "list", Short: "List how old tables and views may be, and are",
		Long: `Lists what is promised of your tables and views, and of those that you may read, with how old they are.

Example:
  tinydev freshness list
  tinydev freshness list --json

Next: tinydev freshness set RELATION AGE`,
		Args: takes(0),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, _ []string) error {
			list, err := c.Freshness(ctx)
			if err != nil {
				return err
			}
			return show(cmd, list, func(w io.Writer) error {
				var rows [][]string
				for _, f := range list {
					state := "fresh"
					if f.IsStale {
						state = "stale"
					}
					rows = append(rows, []string{f.Relation, f.Kind, f.Owner, shortSpan(f.MaxAgeSeconds), age(f.AgeSeconds), state, console.Time(f.StaleSince)})
				}
				return console.Table(w, []string{"relation", "kind", "owner", "may be", "is", "state", "stale since (UTC)"}, rows)
			})
		}),
	}, false)
}

func newFreshnessDrop() *cobra.Command {
	return viewCommand(&cobra.Command{
		Use: "drop RELATION", Short: "Take such a promise back",
		Long: `Takes the promise back. Where it is broken, that ends with view.fresh or table.fresh.

Example:
  tinydev freshness drop bdays_today
  tinydev freshness drop bdays_today --dry-run`,
		Args: takes(1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			gone, err := c.DropFreshness(ctx, args[0], on(cmd, "dry-run"))
			if err != nil {
				return err
			}
			return showChange(cmd, gone.Made, gone.SQL, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "nothing is promised of %s any more\n", console.Printable(gone.Made.Dropped))
				return err
			})
		}),
	}, true)
}
