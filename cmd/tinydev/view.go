package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/tinydevcrm/tinydevcrm/cmd/tinydev/internal/console"
	"github.com/tinydevcrm/tinydevcrm/pkg/client"
	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

func newView() *cobra.Command {
	return family("view", "Create, refresh and read materialized views",
		`A view is a plain PostgreSQL materialized view: the stored result of a query, computed again by each refresh. A refresh is recorded
as an event, whether it succeeds or fails.

Example:
  tinydev view create adults "select * from friends where age >= 18"
  tinydev view refresh adults
  tinydev view rows adults

Next: tinydev job create NAME SCHEDULE has pg_cron refresh it.`,
		newViewCreate(), newViewReplace(), newViewList(), newViewShow(), newViewRefresh(), newRows("view", "views"), newViewDrop())
}

// viewCommand fills in what the commands on one view have in common.
func viewCommand(cmd *cobra.Command, changes bool) *cobra.Command {
	if changes {
		dryRunFlag(cmd)
	}
	asJSON(cmd)
	settings(cmd, clientSettings...)
	return cmd
}

func newViewCreate() *cobra.Command {
	return viewCommand(&cobra.Command{
		Use: "create NAME QUERY", Short: "Make a view of a query and fill it",
		Long: `Makes a materialized view in your workspace and fills it. QUERY is exactly one query; - is the standard input. An error points at
the place in the query.

Example:
  tinydev view create bdays_today "select * from friends where to_char(\"Date\", 'MM-DD') = to_char(current_date, 'MM-DD')"
  tinydev view create adults - < adults.sql
  tinydev view create adults 'select 1' --dry-run     # only prints the SQL

Next: tinydev job create NAME '5 seconds'`,
		Args: takes(2),
		RunE: defineView((*client.Client).CreateView, "made"),
	}, true)
}

func newViewReplace() *cobra.Command {
	return viewCommand(&cobra.Command{
		Use: "replace NAME QUERY", Short: "Give a view another query",
		Long: `Gives a view another query and fills it, in one transaction; its indexes, grants, comments and job stay. It is refused when other
views depend on it, with the list. QUERY - is the standard input.

Example:
  tinydev view replace adults "select * from friends where age >= 21"`,
		Args: takes(2),
		RunE: defineView((*client.Client).ReplaceView, "replaced"),
	}, true)
}

type viewDefiner func(*client.Client, context.Context, string, string, bool) (control.Change[control.Relation], error)

func defineView(define viewDefiner, did string) func(*cobra.Command, []string) error {
	return withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
		query, err := argument(cmd, args[1])
		if err != nil {
			return err
		}
		view, err := define(c, ctx, args[0], query, on(cmd, "dry-run"))
		if err != nil {
			return console.WithSource(err, query)
		}
		return showChange(cmd, view.Made, view.SQL, func(w io.Writer) error {
			fmt.Fprintf(w, "%s %s", did, view.Made.Name)
			if view.Made.Rows != nil {
				fmt.Fprintf(w, ": %s now", console.Count(*view.Made.Rows, "row"))
			}
			_, err := fmt.Fprintln(w)
			return err
		})
	})
}

func newViewList() *cobra.Command {
	return viewCommand(&cobra.Command{
		Use: "list", Short: "List the views that you may read",
		Long: `Lists the materialized views that you may read. "readers unblocked" says whether a refresh leaves readers alone: it does when the
view has a unique index on plain columns.

Example:
  tinydev view list --json

Next: tinydev view show NAME`,
		Args: takes(0),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, _ []string) error {
			list, err := c.Views(ctx)
			if err != nil {
				return err
			}
			return show(cmd, list, func(w io.Writer) error { return printRelations(w, list, true) })
		}),
	}, false)
}

func newViewShow() *cobra.Command {
	return viewCommand(&cobra.Command{
		Use: "show NAME", Short: "Describe a view: query, columns, indexes",
		Long: `Describes a view. NAME is in your own workspace, or WORKSPACE.NAME.

Example:
  tinydev view show bdays_today

Next: tinydev view rows NAME`,
		Args: takes(1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			view, err := c.View(ctx, args[0])
			if err != nil {
				return err
			}
			return show(cmd, view, func(w io.Writer) error { return printRelation(w, view) })
		}),
	}, false)
}

func newViewRefresh() *cobra.Command {
	return viewCommand(&cobra.Command{
		Use: "refresh NAME", Short: "Refresh a view now",
		Long: `Computes a view again and waits for it. It is recorded as an event like any scheduled run; a failure is recorded and reported.

Example:
  tinydev view refresh bdays_today

Next: tinydev view rows NAME`,
		Args: takes(1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			refreshed, err := c.RefreshView(ctx, args[0], on(cmd, "dry-run"))
			if err != nil {
				return err
			}
			return showRefreshed(cmd, refreshed)
		}),
	}, true)
}

func showRefreshed(cmd *cobra.Command, refreshed control.Change[control.Refreshed]) error {
	return showChange(cmd, refreshed.Made, refreshed.SQL, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "refreshed %s: %s, %s\n", refreshed.Made.View, console.Count(refreshed.Made.Rows, "row"),
			console.Duration(time.Duration(refreshed.Made.DurationMS)*time.Millisecond))
		return err
	})
}

func newViewDrop() *cobra.Command {
	return viewCommand(&cobra.Command{
		Use: "drop NAME", Short: "Drop a view and its job",
		Long: `Drops a view of yours and its job. It is refused when other views depend on it, with the list.

Example:
  tinydev view drop bdays_today --dry-run`,
		Args: takes(1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			dropped, err := c.DropView(ctx, args[0], on(cmd, "dry-run"))
			if err != nil {
				return err
			}
			return showChange(cmd, dropped.Made, dropped.SQL, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "dropped %s\n", dropped.Made.Dropped)
				return err
			})
		}),
	}, true)
}
