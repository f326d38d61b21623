// Command tinydev is the server of TinyDevCRM, its private PostgreSQL, and the command line to both.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tinydevcrm/tinydevcrm/cmd/tinydev/internal/console"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/server"
)

// version is set by the linker: -X main.version=…
var version = "unknown"

func main() {
	server.Version = version
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	root := newRoot()
	err := root.ExecuteContext(ctx)
	stop()
	if err != nil && console.ExitCode(err) != console.ExitInterrupted {
		console.Error(os.Stderr, err)
	}
	os.Exit(console.ExitCode(err))
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "tinydev",
		Short: "From a file to an event: tables, views and schedules in PostgreSQL",
		Long: `TinyDevCRM turns a file into a table, a query on it into a materialized view, and has pg_cron refresh the view;
each refresh is an event that you can follow. PostgreSQL does the scheduling and keeps all state.

A first walk:
  tinydev up                                   # in one terminal: a private PostgreSQL and the server
  tinydev demo                                 # in another: the whole way, with every SQL statement shown

With a file of your own:
  tinydev load friends.csv
  tinydev view create bdays_today "select * from friends where to_char(\"Date\", 'MM-DD') = to_char(current_date, 'MM-DD')"
  tinydev job create bdays_today '5 seconds'
  tinydev events --follow

Exit codes: 0 done, 1 internal error, 2 wrong usage, input or configuration, 3 database or server unreachable,
4 wrong schema version of the database, 5 errors found by the doctor, 130 interrupted.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noSuchCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageFault(cmd, err) })
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddGroup(&cobra.Group{ID: groupServer, Title: "The server:"}, &cobra.Group{ID: groupData, Title: "Data, views and events:"},
		&cobra.Group{ID: groupUsers, Title: "Users and their rights:"},
		&cobra.Group{ID: groupTools, Title: "Tools:"})
	root.SetHelpCommandGroupID(groupTools)
	root.AddCommand(
		newUp(), newDown(), newServe(), newMigrate(), newCA(),
		newDemo(), newLoad(), newTable(), newView(), newQuery(), newJob(), newEvents(), newSubscribe(), newSubscription(), newTrigger(), newFreshness(), newLineage(), newShare(), newUnshare(), newTrust(),
		newUser(), newToken(), newSettings(), newAudit(), newDoctor(), newEnv(), newPsql(), newConfig(), newVersion(),
	)
	return root
}

// Groups of commands in the help.
const (
	groupServer = "server"
	groupData   = "data"
	groupUsers  = "users"
	groupTools  = "tools"
)

// takes makes a wrong number of arguments a usage error that names the help.
func takes(n int) cobra.PositionalArgs { return takesFrom(n, n) }

// takesFrom refuses fewer than least and more than most arguments.
func takesFrom(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if least <= len(args) && len(args) <= most {
			return nil
		}
		count := console.Count(int64(most), "argument")
		if least < most {
			count = fmt.Sprintf("%d to %s", least, count)
		}
		return usageFault(cmd, fmt.Errorf("%s takes %s, not %d", cmd.CommandPath(), count, len(args)))
	}
}

func usageFault(cmd *cobra.Command, err error) error {
	return fault.New(fault.Invalid, "usage", "%v", err).WithHint("%s --help shows how", cmd.CommandPath()).Because(err)
}

// family is a command that only holds sub-commands.
func family(use, short, long string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Long: long, GroupID: groupData, Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(commands...)
	return cmd
}

func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageFault(cmd, fmt.Errorf("%s has no command %q", cmd.CommandPath(), args[0]))
	}
	return nil
}
