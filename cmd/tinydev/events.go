package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/tinydevcrm/tinydevcrm/cmd/tinydev/internal/console"
	"github.com/tinydevcrm/tinydevcrm/pkg/client"
	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/relay"
)

func newEvents() *cobra.Command {
	var filter control.EventFilter
	var after int64
	var follow bool
	var limit int
	cmd := &cobra.Command{
		Use:     "events",
		GroupID: groupData,
		Short:   "Read the events, or follow them as they happen",
		Long: `Prints the last events, one a line: position, time (UTC), type, subject, and what happened. With --follow it goes on with each
event as it happens, until Ctrl-C; when the server or PostgreSQL is restarted meanwhile it connects again and misses nothing.
--json prints each event as a CloudEvent, one a line. The position is all that is needed to go on later: --after POSITION.

Types: view.refreshed, view.failed, table.loaded and more, which "tinydev events types" lists; * stands for any characters.

Example:
  tinydev events --follow
  tinydev events --follow --type 'view.*' --subject '*.bdays_today'
  tinydev events --follow --json | jq 'select(.data.rows > 0)'
  tinydev events --after 42

Next: the same stream over HTTP is GET /v1/events/stream, and in psql: listen tinydev; select * from tinydev.read_events();`,
		Args: takes(0),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, _ []string) error {
			given := cmd.Flags().Changed("after")
			if after < 0 || limit < 1 {
				return fault.New(fault.Invalid, "usage", "--after and --limit take positive numbers")
			}
			write := printEvent(cmd.OutOrStdout(), on(cmd, "json"))
			if follow {
				how := client.Follow{Filter: filter, Interrupted: tellInterruption(cmd.ErrOrStderr()), Reset: tellReset(cmd.ErrOrStderr())}
				if given {
					how.After = &after
				}
				err := c.Stream(ctx, how, write)
				if errors.Is(err, context.Canceled) {
					return nil // Ctrl-C is how one ends it
				}
				return err
			}
			if !given {
				page, err := c.LatestEvents(ctx, limit, filter)
				if err != nil {
					return err
				}
				return client.EachEvent(page, write)
			}
			reset, err := c.ReadEvents(ctx, after, limit, filter, write)
			if reset {
				fmt.Fprintf(cmd.ErrOrStderr(), "events after %d are not kept any more; these are the oldest\n", after)
			}
			return err
		}),
	}
	flags := cmd.Flags()
	flags.BoolVarP(&follow, "follow", "f", false, "go on with each event as it happens")
	flags.Int64Var(&after, "after", 0, "start behind this position; default the last events, or with --follow what comes next")
	flags.IntVar(&limit, "limit", 20, "how many events to print, without --follow; without --after up to 1000")
	flags.StringArrayVar(&filter.Types, "type", nil, "only this type; may be repeated")
	flags.StringArrayVar(&filter.Subjects, "subject", nil, "only this subject, WORKSPACE.NAME; may be repeated")
	flags.Bool("json", false, "print CloudEvents, one a line")
	settings(cmd, clientSettings...)
	cmd.AddCommand(newEventTypes())
	return cmd
}

// printEvent gives a function that writes events as CloudEvents or for people.
func printEvent(w io.Writer, asJSON bool) func(client.Event) error {
	return func(event client.Event) error {
		text := string(event.Raw)
		if !asJSON {
			text = console.Event(event)
		}
		_, err := fmt.Fprintln(w, text)
		return err
	}
}

// tellReset says that events are missing.
func tellReset(w io.Writer) func(relay.Reset) {
	return func(reset relay.Reset) { fmt.Fprintln(w, console.Reset(reset)) }
}

// tellInterruption says once per interruption that the connection is lost.
func tellInterruption(w io.Writer) func(error, time.Duration) {
	var last time.Time
	return func(err error, pause time.Duration) {
		if time.Since(last) > time.Minute {
			fmt.Fprintf(w, "the connection is lost, trying again until it is back: %s\n", console.Printable(err.Error()))
			last = time.Now()
		}
	}
}
