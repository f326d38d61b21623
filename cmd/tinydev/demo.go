package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/tinydevcrm/tinydevcrm/cmd/tinydev/internal/demo"
	"github.com/tinydevcrm/tinydevcrm/pkg/client"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

func newDemo() *cobra.Command {
	var seconds int
	var keep, clean bool
	cmd := &cobra.Command{
		Use:     "demo",
		GroupID: groupData,
		Short:   "Play the whole way on sample data, showing each SQL statement",
		Long: `Plays the whole way from a file to an event on sample data, and shows each SQL statement before it runs: friends with their
birthdays become a table, those who have theirs today a view that is refreshed every 5 seconds; a file of the numbers 0 to 9 becomes
a table, and a view of the one that equals the last digit of the current second is refreshed every second. Then it prints the events as
they happen, those of views that are not empty, until Ctrl-C.

All it makes is named demo_…; what an earlier demo made is replaced. At the end its jobs are removed; tables and views stay to
be looked at, until --clean.

Example:
  tinydev demo
  tinydev demo --seconds 30        # ends by itself
  tinydev demo --clean             # removes all that demos made

Next: do the same with a file of your own: tinydev load FILE`,
		Args: takes(0),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, _ []string) error {
			if seconds < 0 {
				return fault.New(fault.Invalid, "usage", "--seconds %d is less than 0", seconds)
			}
			play := demo.Demo{Client: c, Out: cmd.OutOrStdout(), For: time.Duration(seconds) * time.Second, Keep: keep,
				Interrupted: tellInterruption(cmd.ErrOrStderr())}
			if clean {
				return play.Clean(ctx)
			}
			return play.Play(ctx)
		}),
	}
	flags := cmd.Flags()
	flags.IntVar(&seconds, "seconds", 0, "end after so many seconds of events; 0 goes on until Ctrl-C")
	flags.BoolVar(&keep, "keep", false, "leave the jobs running at the end")
	flags.BoolVar(&clean, "clean", false, "remove all that demos made, and do nothing else")
	settings(cmd, clientSettings...)
	return cmd
}
