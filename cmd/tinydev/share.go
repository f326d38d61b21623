package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tinydevcrm/tinydevcrm/cmd/tinydev/internal/console"
	"github.com/tinydevcrm/tinydevcrm/pkg/client"
)

// privilegeFlag adds --privilege.
func privilegeFlag(cmd *cobra.Command, standard string) {
	cmd.Flags().String("privilege", standard, "select, insert, update, delete or all")
}

func newShare() *cobra.Command {
	cmd := viewCommand(&cobra.Command{
		Use: "share RELATION USER", Short: "Let others read a table or view of yours", GroupID: groupUsers,
		Long: `Shares a table or view of yours with another user, or with everyone, by a plain GRANT. The privileges that write (insert, update,
delete, all) let read too. --list shows what you share and what is shared with you, grants made in psql among it.

Example:
  tinydev share friends bob
  tinydev share bdays_today everyone
  tinydev share friends bob --privilege insert      # bob may load into it
  tinydev share friends bob --dry-run               # only prints the SQL
  tinydev share --list

Others read data, they do not run code: a plain view or a table of yours with functions of yours in it, row policies or triggers is
refused to them until they trust you (tinydev trust).

Next: tinydev unshare friends bob`,
		Args: takesOrLists(2),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			if on(cmd, "list") {
				return listGrants(ctx, c, cmd)
			}
			privilege, err := cmd.Flags().GetString("privilege")
			if err != nil {
				return err
			}
			shared, err := c.Share(ctx, args[0], args[1], privilege, on(cmd, "dry-run"))
			if err != nil {
				return err
			}
			return showChange(cmd, shared.Made, shared.SQL, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "shared %s with %s: %s\n", shared.Made.Relation, shared.Made.To, shared.Made.Privilege)
				return err
			})
		}),
	}, true)
	privilegeFlag(cmd, "select")
	cmd.Flags().Bool("list", false, "show what is shared")
	return cmd
}

func listGrants(ctx context.Context, c *client.Client, cmd *cobra.Command) error {
	list, err := c.Grants(ctx, "")
	if err != nil {
		return err
	}
	return show(cmd, list, func(w io.Writer) error {
		var rows [][]string
		for _, g := range list {
			privilege := g.Privilege
			if g.Column != nil {
				privilege += " of " + *g.Column
			}
			rows = append(rows, []string{g.Relation, g.Kind, g.Owner, g.Grantee, privilege})
		}
		return console.Table(w, []string{"relation", "kind", "owner", "shared with", "privilege"}, rows)
	})
}

func newUnshare() *cobra.Command {
	cmd := viewCommand(&cobra.Command{
		Use: "unshare RELATION USER", Short: "Take back what you shared", GroupID: groupUsers,
		Long: `Takes back what "tinydev share" or a GRANT gave on a table or view of yours; all of it, or one privilege that writes. Open event
streams of that user lose sight of it within a minute. Warns of what the user may still do in another way, as one of everyone.

Example:
  tinydev unshare friends bob
  tinydev unshare friends bob --privilege insert    # bob may still read it`,
		Args: takes(2),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			privilege, err := cmd.Flags().GetString("privilege")
			if err != nil {
				return err
			}
			unshared, err := c.Unshare(ctx, args[0], args[1], privilege, on(cmd, "dry-run"))
			if err != nil {
				return err
			}
			return showChange(cmd, unshared.Made, unshared.SQL, func(w io.Writer) error {
				if _, err := fmt.Fprintf(w, "%s is no longer shared with %s: %s\n", unshared.Made.Relation, unshared.Made.From, unshared.Made.Privilege); err != nil {
					return err
				}
				return printWarnings(w, unshared.Made.Warnings)
			})
		}),
	}, true)
	privilegeFlag(cmd, "all")
	return cmd
}

func newTrust() *cobra.Command {
	cmd := viewCommand(&cobra.Command{
		Use: "trust OWNER", Short: "Let the code of another owner run with your rights", GroupID: groupUsers,
		Long: `What others share with you is read as data. A plain view with functions of its owner's, a table with row policies, triggers, or
functions in defaults and indexes would run the owner's code with your rights: it could read what you may read and change what you
may change. Such a relation is refused with foreign_code until you trust its owner. The owner may change the code at any time.

Example:
  tinydev trust eve
  tinydev trust --list
  tinydev trust eve --remove`,
		Args: takesOrLists(1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			switch {
			case on(cmd, "list"):
				return listTrusts(ctx, c, cmd)
			case on(cmd, "remove"):
				gone, err := c.Untrust(ctx, args[0], on(cmd, "dry-run"))
				if err != nil {
					return err
				}
				return showChange(cmd, gone.Made, gone.SQL, func(w io.Writer) error {
					_, err := fmt.Fprintf(w, "code of %s no longer runs with your rights\n", gone.Made.Untrusted)
					return err
				})
			}
			trusted, err := c.Trust(ctx, args[0], on(cmd, "dry-run"))
			if err != nil {
				return err
			}
			return showChange(cmd, trusted.Made, trusted.SQL, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "code of %s may run with your rights\n", trusted.Made.Owner)
				return err
			})
		}),
	}, true)
	cmd.Flags().Bool("list", false, "show whom you trust")
	cmd.Flags().Bool("remove", false, "trust OWNER no longer")
	return cmd
}

func listTrusts(ctx context.Context, c *client.Client, cmd *cobra.Command) error {
	list, err := c.Trusts(ctx)
	if err != nil {
		return err
	}
	return show(cmd, list, func(w io.Writer) error {
		var rows [][]string
		for _, t := range list {
			rows = append(rows, []string{t.Owner, console.Time(&t.TrustedAt)})
		}
		return console.Table(w, []string{"owner", "since (UTC)"}, rows)
	})
}

// takesOrLists takes n arguments, or none with --list.
func takesOrLists(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if on(cmd, "list") {
			return takes(0)(cmd, args)
		}
		return takes(n)(cmd, args)
	}
}
