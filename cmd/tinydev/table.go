package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/tinydevcrm/tinydevcrm/cmd/tinydev/internal/console"
	"github.com/tinydevcrm/tinydevcrm/pkg/client"
	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

func newTable() *cobra.Command {
	return family("table", "List, describe, read and drop tables",
		`Tables are plain PostgreSQL tables: those that "tinydev load" made and those made in psql alike.

Example:
  tinydev table list
  tinydev table show friends
  tinydev table rows friends --format csv > friends.csv

Next: tinydev view create NAME 'select … from friends'`,
		newTableList(), newTableShow(), newRows("table", "tables"), newTableDrop())
}

func newTableList() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List the tables that you may read",
		Long: `Lists the tables that you may read, with their sizes. The number of rows is PostgreSQL's estimate, empty when it has none yet.

Example:
  tinydev table list --json

Next: tinydev table show NAME`,
		Args: takes(0),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, _ []string) error {
			list, err := c.Tables(ctx)
			if err != nil {
				return err
			}
			return show(cmd, list, func(w io.Writer) error { return printRelations(w, list, false) })
		}),
	}
	asJSON(cmd)
	settings(cmd, clientSettings...)
	return cmd
}

func newTableShow() *cobra.Command {
	cmd := &cobra.Command{
		Use: "show NAME", Short: "Describe a table: columns, indexes, size",
		Long: `Describes a table. NAME is in your own workspace, or WORKSPACE.NAME.

Example:
  tinydev table show friends

Next: tinydev table rows NAME`,
		Args: takes(1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			table, err := c.Table(ctx, args[0])
			if err != nil {
				return err
			}
			return show(cmd, table, func(w io.Writer) error { return printRelation(w, table) })
		}),
	}
	asJSON(cmd)
	settings(cmd, clientSettings...)
	return cmd
}

func newTableDrop() *cobra.Command {
	cmd := &cobra.Command{
		Use: "drop NAME", Short: "Drop a table that nothing depends on",
		Long: `Drops a table of yours and its rows for good. A table that a view uses is refused, with the list.

Example:
  tinydev table drop friends --dry-run`,
		Args: takes(1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			dropped, err := c.DropTable(ctx, args[0], on(cmd, "dry-run"))
			if err != nil {
				return err
			}
			return showChange(cmd, dropped.Made, dropped.SQL, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "dropped %s\n", dropped.Made.Dropped)
				return err
			})
		}),
	}
	dryRunFlag(cmd)
	asJSON(cmd)
	settings(cmd, clientSettings...)
	return cmd
}

// newRows makes the command that prints the rows of a table or view; path is the part of the API.
func newRows(kind, path string) *cobra.Command {
	cmd := &cobra.Command{
		Use: "rows NAME", Short: "Print all rows of a " + kind,
		Long: `Prints all rows as they are now, streamed: csv (with a header; NULL is empty, an empty text is ""), ndjson (one object a line)
or json (one array).

Example:
  tinydev ` + kind + ` rows NAME --format ndjson | head -3`,
		Args: takes(1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			format, err := cmd.Flags().GetString("format")
			if err != nil {
				return err
			}
			if on(cmd, "json") {
				format = control.JSON
			}
			if err := c.Rows(ctx, path, args[0], format, cmd.OutOrStdout()); err != nil {
				return err
			}
			if format == control.JSON {
				_, err = fmt.Fprintln(cmd.OutOrStdout())
			}
			return err
		}),
	}
	cmd.Flags().String("format", control.CSV, "csv, ndjson or json")
	cmd.Flags().Bool("json", false, "the same as --format json")
	settings(cmd, clientSettings...)
	return cmd
}

func newQuery() *cobra.Command {
	cmd := &cobra.Command{
		Use: "query QUERY", GroupID: groupData, Short: "Try a query: its first rows, read-only",
		Long: `Runs one query read-only, for at most 10 seconds, and prints its columns and first rows: the way to try what is to become a
view. QUERY - is the standard input. An error points at the place in the query.

Example:
  tinydev query 'select * from friends'

Next: tinydev view create NAME QUERY`,
		Args: takes(1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			query, err := argument(cmd, args[0])
			if err != nil {
				return err
			}
			limit, err := cmd.Flags().GetInt("limit")
			if err != nil {
				return err
			}
			if limit < 1 || limit > 1000 {
				return fault.New(fault.Invalid, "limit_invalid", "--limit %d is not in 1..1000", limit)
			}
			preview, err := c.PreviewQuery(ctx, query, limit)
			if err != nil {
				return console.WithSource(err, query)
			}
			return show(cmd, preview, func(w io.Writer) error {
				var heading []string
				for _, column := range preview.Columns {
					heading = append(heading, column.Name)
				}
				if err := console.Table(w, heading, texts(preview.Rows)); err != nil {
					return err
				}
				words := console.Count(int64(len(preview.Rows)), "row")
				if preview.More {
					words = "the first " + words + "; there are more"
				}
				_, err := fmt.Fprintf(w, "(%s)\n", words)
				return err
			})
		}),
	}
	cmd.Flags().Int("limit", 20, "rows to print, up to 1000")
	asJSON(cmd)
	settings(cmd, clientSettings...)
	return cmd
}

func printRelations(w io.Writer, list []control.RelationSummary, views bool) error {
	var rows [][]string
	for _, r := range list {
		estimate := ""
		if r.RowEstimate > 0 {
			estimate = "about " + console.Number(r.RowEstimate)
		}
		name := r.Name
		if r.Stale {
			name += " (stale)"
		}
		row := []string{name, r.Owner, estimate, console.Bytes(r.Bytes)}
		if views {
			row = append(row, console.YesNo(r.Populated), console.YesNo(r.Concurrently))
		}
		rows = append(rows, append(row, r.Comment))
	}
	heading := []string{"name", "owner", "rows", "size"}
	if views {
		heading = append(heading, "filled", "readers unblocked")
	}
	return console.Table(w, append(heading, "comment"), rows)
}

func printRelation(w io.Writer, r control.Relation) error {
	rows := ""
	switch {
	case r.Rows != nil:
		rows = console.Number(*r.Rows)
	case r.RowEstimate > 0:
		rows = "about " + console.Number(r.RowEstimate)
	}
	size := ""
	if r.Bytes > 0 {
		size = console.Bytes(r.Bytes)
	}
	fields := [][2]string{{"name", r.Name}, {"kind", r.Kind}, {"owner", r.Owner}, {"rows", rows}, {"size", size}, {"comment", r.Comment}, {"query", r.Query}}
	for i, index := range r.Indexes {
		fields = append(fields, [2]string{"index " + strconv.Itoa(i+1), index})
	}
	if err := console.Fields(w, fields...); err != nil {
		return err
	}
	if len(r.Columns) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	var columns [][]string
	for _, column := range r.Columns {
		columns = append(columns, []string{column.Name, column.Type, console.YesNo(column.Nullable)})
	}
	return console.Table(w, []string{"column", "type", "may be null"}, columns)
}
