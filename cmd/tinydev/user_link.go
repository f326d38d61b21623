package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tinydevcrm/tinydevcrm/cmd/tinydev/internal/console"
	"github.com/tinydevcrm/tinydevcrm/pkg/client"
)

func newUserLink() *cobra.Command {
	cmd := viewCommand(&cobra.Command{
		Use: "link NAME", Short: "Say who a user is at an identity provider",
		Long: `Says who a user is at an identity provider, in place of who it was there; for administrators. Issuer and subject are the claims iss and sub of
the person's tokens; the error of a refused sign-in names them. People are linked by themselves when they first come, by the claim that names
them; who administers, or has another name there, only so.

Example:
  tinydev user link ann --issuer https://login.example.org --subject 00u1a2b3c4

Next: tinydev user identities ann`,
		Args: takes(1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			issuer, err := cmd.Flags().GetString("issuer")
			if err != nil {
				return err
			}
			subject, err := cmd.Flags().GetString("subject")
			if err != nil {
				return err
			}
			linked, err := c.LinkIdentity(ctx, args[0], issuer, subject, on(cmd, "dry-run"))
			if err != nil {
				return err
			}
			return showChange(cmd, linked.Made, linked.SQL, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s is %s at %s\n", linked.Made.Name, console.Printable(linked.Made.Subject), console.Printable(linked.Made.Issuer))
				return err
			})
		}),
	}, true)
	cmd.Flags().String("issuer", "", "claim iss of the person's tokens")
	cmd.Flags().String("subject", "", "claim sub of the person's tokens")
	return cmd
}

func newUserUnlink() *cobra.Command {
	cmd := viewCommand(&cobra.Command{
		Use: "unlink NAME", Short: "Forget who a user is at an identity provider",
		Long: `Forgets who a user is at an identity provider; for administrators. Whoever comes next with a claim that names the user is linked to it, unless
it administers: to keep a person out, block them at the provider, or drop the user.

Example:
  tinydev user unlink bob --issuer https://login.example.org`,
		Args: takes(1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			issuer, err := cmd.Flags().GetString("issuer")
			if err != nil {
				return err
			}
			gone, err := c.UnlinkIdentity(ctx, args[0], issuer, on(cmd, "dry-run"))
			if err != nil {
				return err
			}
			return showChange(cmd, gone.Made, gone.SQL, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s is nobody at %s any more\n", gone.Made.Name, console.Printable(gone.Made.Issuer))
				return err
			})
		}),
	}, true)
	cmd.Flags().String("issuer", "", "claim iss of the person's tokens")
	return cmd
}

func newUserIdentities() *cobra.Command {
	return viewCommand(&cobra.Command{
		Use: "identities NAME", Short: "Tell who a user is at identity providers",
		Long: `Tells who a user is at identity providers: of yourself, and for administrators of everybody.

Example:
  tinydev user identities bob

In SQL: select * from tinydev.identity`,
		Args: takes(1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			list, err := c.Identities(ctx, args[0])
			if err != nil {
				return err
			}
			return show(cmd, list, func(w io.Writer) error {
				var rows [][]string
				for _, one := range list {
					rows = append(rows, []string{console.Printable(one.Issuer), console.Printable(one.Subject), console.Time(one.LinkedAt)})
				}
				return console.Table(w, []string{"issuer", "subject", "linked (UTC)"}, rows)
			})
		}),
	}, false)
}
