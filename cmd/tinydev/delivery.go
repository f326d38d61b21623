package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tinydevcrm/tinydevcrm/cmd/tinydev/internal/console"
	"github.com/tinydevcrm/tinydevcrm/pkg/client"
	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

func newDeliveries() *cobra.Command {
	var state string
	var limit int
	cmd := viewCommand(&cobra.Command{
		Use: "deliveries NAME", Short: "List what a subscription was sent, newest first",
		Long: `Lists deliveries: pending (not tried yet), failing (will be tried again), delivered, dead (given up). An event that waits behind an
earlier one about the same subject has no next attempt of its own. What was delivered is kept for 30 days, the rest as long as its event.

Example:
  tinydev subscription deliveries hook
  tinydev subscription deliveries hook --state dead --limit 100

Next: tinydev subscription delivery hook ID; tinydev subscription redeliver hook ID`,
		Args: takes(1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			list, err := c.Deliveries(ctx, args[0], state, limit)
			if err != nil {
				return err
			}
			return show(cmd, list, func(w io.Writer) error {
				var rows [][]string
				for _, d := range list {
					rows = append(rows, []string{strconv.FormatInt(d.DeliveryID, 10), strings.TrimPrefix(d.Type, "tinydev."), d.Subject, d.State, strconv.Itoa(d.AttemptCount),
						console.Time(d.LastAttemptAt), numberOf(d.StatusCode), took(d.LatencyMS), console.Time(d.NextAttemptAt), text(d.Error)})
				}
				return console.Table(w, []string{"delivery", "type", "subject", "state", "attempts", "last (UTC)", "status", "took", "next (UTC)", "error"}, rows)
			})
		}),
	}, false)
	cmd.Flags().StringVar(&state, "state", "", "only pending, failing, delivered or dead")
	cmd.Flags().IntVar(&limit, "limit", 20, "deliveries to list, up to 1000")
	return cmd
}

func numberOf(n *int) string {
	if n == nil {
		return ""
	}
	return strconv.Itoa(*n)
}

func took(ms *int) string {
	if ms == nil {
		return ""
	}
	return console.Duration(time.Duration(*ms) * time.Millisecond)
}

func newDelivery() *cobra.Command {
	return viewCommand(&cobra.Command{
		Use: "delivery NAME ID", Short: "Describe a delivery: its attempts and its event",
		Long: `Describes a delivery with its last 50 attempts, what the target answered, and the event. ID is the number that
"tinydev subscription deliveries" shows, the position of the event.

Example:
  tinydev subscription delivery hook 41

Next: tinydev subscription redeliver hook 41`,
		Args: takes(2),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			id, err := deliveryNumber(args[1])
			if err != nil {
				return err
			}
			d, err := c.Delivery(ctx, args[0], id)
			if err != nil {
				return err
			}
			return show(cmd, d, func(w io.Writer) error { return printDelivery(w, d) })
		}),
	}, false)
}

func deliveryNumber(text string) (int64, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 1 {
		return 0, fault.New(fault.Invalid, "usage", "%q is not the number of a delivery", text).WithHint("tinydev subscription deliveries NAME shows the numbers")
	}
	return id, nil
}

func printDelivery(w io.Writer, d control.DeliveryDetail) error {
	if err := console.Fields(w, [2]string{"delivery", strconv.FormatInt(d.DeliveryID, 10)}, [2]string{"type", d.Type}, [2]string{"subject", d.Subject}, [2]string{"state", d.State},
		[2]string{"next attempt (UTC)", console.Time(d.NextAttemptAt)}, [2]string{"error", text(d.Error)}); err != nil {
		return err
	}
	if len(d.Attempts) > 0 {
		var rows [][]string
		for _, a := range d.Attempts {
			ended := "failed"
			if a.Delivered {
				ended = "delivered"
			}
			rows = append(rows, []string{strconv.Itoa(a.Attempt), console.Time(a.AttemptedAt), ended, numberOf(a.StatusCode), took(a.LatencyMS), text(a.Error), text(a.Response)})
		}
		fmt.Fprintln(w)
		if err := console.Table(w, []string{"attempt", "at (UTC)", "ended", "status", "took", "error", "answer"}, rows); err != nil {
			return err
		}
	}
	var event bytes.Buffer
	if len(d.Event) == 0 || string(d.Event) == "null" {
		event.WriteString("The event is gone, or may not be seen any more.")
	} else if err := json.Indent(&event, d.Event, "", "  "); err != nil {
		return fmt.Errorf("read the event: %w", err)
	}
	_, err := fmt.Fprintf(w, "\n%s\n", console.Printable(event.String()))
	return err
}

func newRedeliver() *cobra.Command {
	var from, to int64
	var state string
	cmd := viewCommand(&cobra.Command{
		Use: "redeliver NAME [ID]", Short: "Send once more: one delivery, a range, or all that are dead",
		Long: `Sends deliveries once more, each with its position as ever and the whole plan of attempts before it: the one of ID in whatever state, those
of a range of positions that are dead or in --state, or all that are dead. One call takes 10,000, and says when there are more.

Example:
  tinydev subscription redeliver hook 41
  tinydev subscription redeliver hook --all-dead
  tinydev subscription redeliver hook --from 100 --to 200 --state delivered

Next: tinydev subscription deliveries hook`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				return nil
			}
			return takes(1)(cmd, args)
		},
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			var what control.Redelivery
			given := cmd.Flags().Changed
			isRange := given("from") || given("to") || given("state")
			switch ways := len(args) - 1; {
			case ways == 1 && !isRange && !on(cmd, "all-dead"):
				id, err := deliveryNumber(args[1])
				if err != nil {
					return err
				}
				what.DeliveryID = &id
			case ways == 0 && isRange && !on(cmd, "all-dead"):
				if given("from") {
					what.FromPosition = &from
				}
				if given("to") {
					what.ToPosition = &to
				}
				if given("state") {
					what.State = &state
				}
			case ways == 0 && !isRange && on(cmd, "all-dead"):
			default:
				return usageFault(cmd, fmt.Errorf("say which: the number of one, a range by --from, --to and --state, or --all-dead"))
			}
			sent, err := c.Redeliver(ctx, args[0], what, on(cmd, "dry-run"))
			if err != nil {
				return err
			}
			return showChange(cmd, sent.Made, sent.SQL, func(w io.Writer) error {
				count := console.Number(sent.Made.Redelivered) + " deliveries are"
				if sent.Made.Redelivered == 1 {
					count = "1 delivery is"
				}
				fmt.Fprintf(w, "%s sent once more\n", count)
				if sent.Made.More {
					fmt.Fprintln(w, "There are more: run it again.")
				}
				return printWarnings(w, sent.Made.Warnings)
			})
		}),
	}, true)
	flags := cmd.Flags()
	flags.Int64Var(&from, "from", 0, "from this position")
	flags.Int64Var(&to, "to", 0, "up to this position")
	flags.StringVar(&state, "state", "", "those that are dead, failing or delivered, or all; default dead")
	flags.Bool("all-dead", false, "all that were given up")
	return cmd
}

func newReplay() *cobra.Command {
	var after int64
	cmd := viewCommand(&cobra.Command{
		Use: "replay NAME --after POSITION", Short: "Send all that fits and comes after a position, once more",
		Long: `Puts a subscription's place in the log back, or forward: all that fits and comes after the position is sent, whether it was sent before
or not, each with its position as ever. --after 0 begins with the oldest event there is.

Example:
  tinydev subscription replay hook --after 1200
  tinydev subscription replay hook --after 0 --dry-run

Next: tinydev subscription show hook`,
		Args: takes(1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("after") {
				return usageFault(cmd, fmt.Errorf("say where to begin: --after POSITION"))
			}
			replayed, err := c.Replay(ctx, args[0], after, on(cmd, "dry-run"))
			if err != nil {
				return err
			}
			return showChange(cmd, replayed.Made, replayed.SQL, func(w io.Writer) error {
				fmt.Fprintf(w, "%s goes on after position %d\n", replayed.Made.Name, replayed.Made.Position)
				return printWarnings(w, replayed.Made.Warnings)
			})
		}),
	}, true)
	cmd.Flags().Int64Var(&after, "after", 0, "position after which to begin")
	return cmd
}
