package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/tinydevcrm/tinydevcrm/cmd/tinydev/internal/console"
	"github.com/tinydevcrm/tinydevcrm/cmd/tinydev/internal/subscriber"
	"github.com/tinydevcrm/tinydevcrm/pkg/client"
	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// subscribing is what the flags of subscribe say.
type subscribing struct {
	name, cursor, exec string
	filter             control.EventFilter
	after              int64
	retries            int
	skipFailed         bool
}

func newSubscribe() *cobra.Command {
	var s subscribing
	cmd := &cobra.Command{
		Use:     "subscribe --name NAME [--exec PROGRAM [-- ARGUMENTS]]",
		GroupID: groupData,
		Short:   "Run a program of yours for each event, or print them, missing none",
		Long: `Runs a program on this machine for each event, one after the other in the order of the log, and remembers in a file up to where all is
done. Stopped, killed or restarted, it goes on from there; when the server or the connection is lost it connects again for ever.
Without --exec each event is printed as a CloudEvent, one a line.

The program gets the event as a CloudEvent in one line on its standard input, and in its environment TINYDEV_EVENT_ID (the position),
TINYDEV_EVENT_TYPE (such as tinydev.view.refreshed), TINYDEV_EVENT_SUBJECT (WORKSPACE.NAME), TINYDEV_ATTEMPT and TINYDEV_SUBSCRIPTION. There is
no shell in between. An event is done when its program exits with 0; else the program is run again after 1 s, 2 s, 4 s and so on up to
a minute, until it succeeds. --retries N gives up after N more attempts and stops with the program's exit code, to begin with the same
event the next time; with --skip-failed it says so and goes on with the next event instead.

Each event is handled at least once: one whose program was killed, or had ended when this command was killed, comes again, with the same
TINYDEV_EVENT_ID. Events that are gone from the log before they were handled are told of on the standard error.

The place is kept under --name NAME in $XDG_STATE_HOME/tinydev (~/.local/state/tinydev), or in the file --cursor FILE, by one process at a
time. The first time it begins with what comes next, or behind --after POSITION; --after 0 begins with the oldest event there is.

Example:
  tinydev subscribe --name backup --type table.loaded --exec ./backup.sh
  tinydev subscribe --name mail --type 'view.failed' --exec sh -- -c 'jq -r .subject | mail -s "a view failed" ann@example.org'
  tinydev subscribe --name report --type view.refreshed --subject ann.bdays_today --exec ./report.py --retries 5 --skip-failed
  tinydev subscribe --name archive --after 0 >> events.jsonl

Next: to have the server itself call a webhook, send mail or run a command, see docs/events.md, which also tells of the promise.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && (s.exec == "" || cmd.ArgsLenAtDash() != 0) {
				return usageFault(cmd, fmt.Errorf("%q is too much: the program is named by --exec, and its arguments stand behind --", args[0]))
			}
			return nil
		},
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			if err := s.check(cmd); err != nil {
				return err
			}
			path, err := s.path()
			if err != nil {
				return err
			}
			handle, err := s.handler(cmd, args)
			if err != nil {
				return err
			}
			cursor, err := subscriber.Open(path)
			if err != nil {
				return err
			}
			err = s.follow(ctx, c, cmd, cursor, handle)
			if errors.Is(err, context.Canceled) {
				err = nil // Ctrl-C is how one ends it
			}
			return errors.Join(err, cursor.Close())
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&s.name, "name", "", "name of the subscription, under which its place is kept")
	flags.StringVar(&s.cursor, "cursor", "", "file in which the place is kept instead")
	flags.StringVar(&s.exec, "exec", "", "program to run for each event; its arguments stand behind --")
	flags.StringArrayVar(&s.filter.Types, "type", nil, "only this type; may be repeated")
	flags.StringArrayVar(&s.filter.Subjects, "subject", nil, "only this subject, WORKSPACE.NAME; may be repeated")
	flags.Int64Var(&s.after, "after", 0, "position behind which to begin the first time; default what comes next")
	flags.IntVar(&s.retries, "retries", 0, "how often a program that failed is run again for its event; default until it succeeds")
	flags.BoolVar(&s.skipFailed, "skip-failed", false, "go on with the next event when a program failed and is not run again; without --retries at once")
	settings(cmd, clientSettings...)
	return cmd
}

var subscriptionName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// check holds the flags to each other. Errors: invalid usage.
func (s *subscribing) check(cmd *cobra.Command) error {
	given := cmd.Flags().Changed
	switch {
	case s.name == "" && s.cursor == "":
		return usageFault(cmd, errors.New("a subscription needs a name, under which its place is kept: --name NAME"))
	case s.name != "" && !subscriptionName.MatchString(s.name):
		return usageFault(cmd, fmt.Errorf("--name %q is none: use up to 100 letters, digits, dots, hyphens and underscores", s.name))
	case s.exec == "" && (given("exec") || given("retries") || s.skipFailed):
		return usageFault(cmd, errors.New("--retries and --skip-failed are about a program: name it with --exec"))
	case s.after < 0 || s.retries < 0:
		return usageFault(cmd, errors.New("--after and --retries take numbers from 0 on"))
	}
	if !given("retries") && !s.skipFailed {
		s.retries = subscriber.ForEver
	}
	return nil
}

// path gives the file of the cursor.
func (s *subscribing) path() (string, error) {
	if s.cursor != "" {
		return s.cursor, nil
	}
	dir := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(dir) { // which by its specification does not count then
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fault.New(fault.Invalid, "usage", "there is no folder for what is to be remembered: %v", err).WithHint("name a file with --cursor").Because(err)
		}
		dir = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(dir, "tinydev", "subscriptions", s.name+".json"), nil
}

// handler gives what is done with an event.
func (s *subscribing) handler(cmd *cobra.Command, args []string) (func(context.Context, client.Event) error, error) {
	if s.exec == "" {
		write := printEvent(cmd.OutOrStdout(), true)
		return func(_ context.Context, event client.Event) error { return write(event) }, nil
	}
	path, err := subscriber.Find(s.exec)
	if err != nil {
		return nil, err
	}
	program := &subscriber.Program{Name: s.name, Path: path, Args: args, Retries: s.retries, SkipFailed: s.skipFailed,
		Stdout: cmd.OutOrStdout(), Stderr: cmd.ErrOrStderr()}
	return program.Handle, nil
}

// follow handles events from the cursor on until ctx ends.
func (s *subscribing) follow(ctx context.Context, c *client.Client, cmd *cobra.Command, cursor *subscriber.Cursor, handle func(context.Context, client.Event) error) error {
	if err := s.begin(ctx, c, cmd, cursor); err != nil {
		return err
	}
	keep := cursor.Save // before the next program runs
	if s.exec == "" {
		keep = cursor.Note
	}
	from, _ := cursor.Position()
	how := client.Follow{After: &from, Filter: s.filter, Patient: true, Interrupted: tellInterruption(cmd.ErrOrStderr()), Reset: tellReset(cmd.ErrOrStderr()), Passed: cursor.Save}
	return c.Stream(ctx, how, func(event client.Event) error {
		if err := cursor.Check(event.Source); err != nil {
			return err
		}
		if err := handle(ctx, event); err != nil {
			return err
		}
		return keep(event.Position)
	})
}

// begin finds the place to begin at the first time, and keeps it, so that what comes next is not missed when this ends before. Later it
// holds the cursor to its log, when the server is there.
func (s *subscribing) begin(ctx context.Context, c *client.Client, cmd *cobra.Command, cursor *subscriber.Cursor) error {
	position, known := cursor.Position()
	page, err := c.LatestEvents(ctx, 1, control.EventFilter{})
	switch {
	case err != nil && known && console.ExitCode(err) == console.ExitUnreachable:
		return nil
	case err != nil:
		return err
	}
	source := ""
	err = client.EachEvent(page, func(event client.Event) error { source = event.Source; return nil })
	if err == nil {
		err = cursor.Check(source)
	}
	if err != nil || known {
		if known && cmd.Flags().Changed("after") {
			fmt.Fprintf(cmd.ErrOrStderr(), "going on behind position %d; --after counts the first time only\n", position)
		}
		return err
	}
	position = page.Head
	if cmd.Flags().Changed("after") {
		position = s.after
	}
	return cursor.Save(position)
}
