package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tinydevcrm/tinydevcrm/cmd/tinydev/internal/console"
	"github.com/tinydevcrm/tinydevcrm/pkg/client"
	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

func newTrigger() *cobra.Command {
	return family("trigger", "Wake psql and programs that LISTEN",
		`A trigger is a real SQL trigger on the log of events. It notifies a channel of each event that you chose, so that whatever can LISTEN is
woken, without a server of ours in between. The notification holds the event's position alone: anybody may listen to a channel, or notify
it. Read on with tinydev.read_events; whatever slept through a notification does the same when it starts.

Example:
  tinydev trigger create prices --view prices --condition '$.rows > 0'
  tinydev trigger list
  tinydev trigger drop prices

In psql, which shows notifications behind the answer to the next statement:
  listen ann_prices;
  select events from tinydev.read_events(after_position => 41);

In Go:
  conn, err := pgx.Connect(ctx, os.Getenv("DATABASE_URL"))           // tinydev env prints it
  _, err = conn.Exec(ctx, "listen ann_prices")
  for {
      n, err := conn.WaitForNotification(ctx)                        // n.Payload is the position of the event
      err = conn.QueryRow(ctx, "select events, next from tinydev.read_events($1)", last).Scan(&events, &last)
  }

In SQL: tinydev.create_trigger, tinydev.drop_trigger, and the view tinydev.trigger. To have events sent to a URL or an address instead:
tinydev subscription.`,
		newTriggerCreate(), newTriggerList(), newTriggerDrop())
}

func newTriggerCreate() *cobra.Command {
	var t control.NewTrigger
	cmd := viewCommand(&cobra.Command{
		Use: "create NAME", Short: "Have a channel notified of events",
		Long: `Has a channel notified of each event that fits, from the next one on, and prints the statement that listens to it. Events count that
you may see when they happen; without --view those of your workspace. --condition is an SQL/JSON path over the event's data that
compares single values, or one of the words always, 'not empty' (it left rows) and changed (it changed something, or that is not known).

Example:
  tinydev trigger create all
  tinydev trigger create prices --view prices --type view.refreshed --condition '$.rows > 0 && $.changed == true'
  tinydev trigger create trouble --type '*.failed' --type view.missed --channel trouble
  tinydev trigger create prices --view ann.prices --dry-run         # only prints the SQL

Next: in psql, listen ann_prices`,
		Args: takes(1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			t.Name = args[0]
			made, err := c.CreateTrigger(ctx, t, on(cmd, "dry-run"))
			if err != nil {
				return err
			}
			return showChange(cmd, made.Made, made.SQL, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "made %s: %s;\n", made.Made.Name, console.Printable(made.Made.Listen))
				return err
			})
		}),
	}, true)
	flags := cmd.Flags()
	flags.StringVar(&t.View, "view", "", "table or view that the events are about; default all of your workspace")
	flags.StringArrayVar(&t.Types, "type", nil, "only this type, * for any characters; may be repeated")
	flags.StringVar(&t.Condition, "condition", "", "what has to be true of the event's data, such as '$.rows > 0'; or always, 'not empty', changed")
	flags.StringVar(&t.Channel, "channel", "", "what is notified; default your name, _ and the trigger's")
	return cmd
}

func newTriggerList() *cobra.Command {
	return viewCommand(&cobra.Command{
		Use: "list", Short: "List your triggers, for administrators everybody's",
		Long: `Lists the triggers with what they notify. One is pending until the next events are placed, of which it misses none.

Example:
  tinydev trigger list
  tinydev trigger list --json

Next: tinydev trigger drop NAME`,
		Args: takes(0),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, _ []string) error {
			list, err := c.Triggers(ctx)
			if err != nil {
				return err
			}
			return show(cmd, list, func(w io.Writer) error {
				var rows [][]string
				for _, t := range list {
					state := t.State
					if t.Error != nil {
						state += ": " + *t.Error
					}
					rows = append(rows, []string{t.Owner, t.Name, textOr(t.View, "all"), typesOf(t), textOr(t.Condition, ""), t.Channel, state})
				}
				return console.Table(w, []string{"owner", "trigger", "about", "types", "condition", "channel", "state"}, rows)
			})
		}),
	}, false)
}

// typesOf are a trigger's types as one types them.
func typesOf(t control.Trigger) string {
	if t.Types == nil {
		return "all"
	}
	return strings.ReplaceAll(strings.Join(t.Types, " "), "tinydev.", "")
}

// textOr gives a text, or what stands for none.
func textOr(text *string, missing string) string {
	if text == nil {
		return missing
	}
	return *text
}

func newTriggerDrop() *cobra.Command {
	return viewCommand(&cobra.Command{
		Use: "drop NAME", Short: "Drop a trigger",
		Long: `Drops a trigger; its channel is notified of no event that comes later. Administrators name another user's as OWNER.NAME.

Example:
  tinydev trigger drop prices
  tinydev trigger drop prices --dry-run`,
		Args: takes(1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			gone, err := c.DropTrigger(ctx, args[0], on(cmd, "dry-run"))
			if err != nil {
				return err
			}
			return showChange(cmd, gone.Made, gone.SQL, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "dropped %s\n", gone.Made.Dropped)
				return err
			})
		}),
	}, true)
}
