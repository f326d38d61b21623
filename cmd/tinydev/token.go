package main

import (
	"context"
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

func newToken() *cobra.Command {
	cmd := family("token", "Make, list and revoke tokens for the API and the pages",
		`A token speaks for one user, over HTTP alone: as "Authorization: Bearer td_…", or to sign in to the pages once. PostgreSQL keeps its SHA-256,
so it is shown once. The token of the server itself is what "tinydev env" prints.

Example:
  tinydev token create --name laptop
  tinydev token create --user bob --name phone --expires 90d
  tinydev token list
  tinydev token revoke 7

In SQL: tinydev.create_token, tinydev.revoke_token, and the view tinydev.token.`,
		newTokenCreate(), newTokenList(), newTokenRevoke())
	cmd.GroupID = groupUsers
	return cmd
}

func newTokenCreate() *cobra.Command {
	cmd := viewCommand(&cobra.Command{
		Use: "create", Short: "Make a token and print it, this once",
		Long: `Makes a token and prints it alone, so that a script can take it. It is a secret, as good as a password.

--read-only makes one that is refused all that changes something; PostgreSQL itself keeps its sessions read-only. --scope narrows it to a
group of calls and may be given several times: tables lets in all calls about tables, tables:read those that only read. The groups are the
tags that /docs shows. A scope that lets in SQL, such as views, is as good as the user's psql: it keeps mistakes out, not malice.
What makes tokens or users never works with a scope.

Example:
  TINYDEV_TOKEN=$(tinydev token create --name laptop)
  tinydev token create --user bob --name phone --expires 90d        # for another user, as an administrator
  tinydev token create --name dashboard --read-only
  tinydev token create --name loader --scope uploads --scope tables:read --expires 2027-12-31

Next: tinydev token list`,
		Args: takes(0),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, _ []string) error {
			t, err := tokenFlags(cmd)
			if err != nil {
				return err
			}
			made, err := c.CreateToken(ctx, t, on(cmd, "dry-run"))
			if err != nil {
				return err
			}
			return showChange(cmd, made.Made, made.SQL, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, made.Made.Token)
				return err
			})
		}),
	}, true)
	cmd.Flags().String("user", "", "whom it speaks for; others than yourself for administrators")
	cmd.Flags().String("name", "", "where it is used, such as laptop (needed)")
	cmd.Flags().String("expires", "", "after how long (90d, 12h), a day (its end in UTC) or a time (2027-01-31T12:00:00Z); default never")
	cmd.Flags().Bool("read-only", false, "refuse all that changes something")
	cmd.Flags().StringSlice("scope", nil, "a group of calls, such as tables or jobs:read; default all")
	return cmd
}

// tokenFlags reads what the flags of create say.
func tokenFlags(cmd *cobra.Command) (t control.NewToken, err error) {
	flags := cmd.Flags()
	if t.Name, err = flags.GetString("name"); err != nil {
		return t, err
	}
	if t.Name == "" {
		return t, fault.New(fault.Invalid, "usage", "a token needs a name").WithHint("say where it is used: tinydev token create --name laptop")
	}
	if t.User, err = flags.GetString("user"); err != nil {
		return t, err
	}
	if t.Scopes, err = flags.GetStringSlice("scope"); err != nil {
		return t, err
	}
	if len(t.Scopes) == 0 {
		t.Scopes = nil
	}
	t.ReadOnly = on(cmd, "read-only")
	text, err := flags.GetString("expires")
	if err != nil || text == "" {
		return t, err
	}
	at, err := expiryTime(text, time.Now())
	t.ExpiresAt = &at
	return t, err
}

// expiryTime reads a duration from now, which may be in days, a day, whose end in UTC is meant, or a time.
func expiryTime(text string, now time.Time) (time.Time, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n > 0 && n <= 36500 {
			return now.AddDate(0, 0, n), nil
		}
	}
	if wait, err := time.ParseDuration(text); err == nil && wait > 0 {
		return now.Add(wait), nil
	}
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day.AddDate(0, 0, 1), nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	return time.Time{}, fault.New(fault.Invalid, "usage", "%q is no expiry", text).WithHint("write 90d, 12h, 2027-01-31 or 2027-01-31T12:00:00Z")
}

func newTokenList() *cobra.Command {
	cmd := viewCommand(&cobra.Command{
		Use: "list", Short: "List your tokens, for administrators everybody's",
		Long: `Lists tokens: how they begin, what they may do, when they were used last and how many browsers are signed in with them. --sessions lists
those browsers instead; a session ends like a token, by its number.

Example:
  tinydev token list
  tinydev token list --user bob --json
  tinydev token list --sessions

Next: tinydev token revoke NUMBER`,
		Args: takes(0),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, _ []string) error {
			user, err := cmd.Flags().GetString("user")
			if err != nil {
				return err
			}
			kind := control.APIToken
			if on(cmd, "sessions") {
				kind = control.PageSession
			}
			list, err := c.Tokens(ctx, kind, user)
			if err != nil {
				return err
			}
			return show(cmd, list, func(w io.Writer) error {
				var rows [][]string
				for _, t := range list {
					rows = append(rows, []string{strconv.FormatInt(t.TokenID, 10), t.User, t.Name, t.Prefix, tokenReach(t), orNever(t.ExpiresAt), orNever(t.LastUsedAt),
						strconv.FormatInt(t.Sessions, 10)})
				}
				return console.Table(w, []string{"token", "user", "name", "begins", "may", "expires (UTC)", "last used (UTC)", "pages"}, rows)
			})
		}),
	}, false)
	cmd.Flags().String("user", "", "only those of this user")
	cmd.Flags().Bool("sessions", false, "list browsers that are signed in to the pages")
	return cmd
}

// tokenReach says what a token may do.
func tokenReach(t control.Token) string {
	words := "all"
	if t.Scopes != nil {
		words = strings.Join(t.Scopes, " ")
	}
	if t.ReadOnly {
		words += ", read only"
	}
	return words
}

func orNever(at *time.Time) string {
	if at == nil {
		return "never"
	}
	return console.Time(at)
}

func newTokenRevoke() *cobra.Command {
	return viewCommand(&cobra.Command{
		Use: "revoke TOKEN", Short: "Revoke a token, and sign out the browsers that use it",
		Long: `Revokes a token, or ends a page session. TOKEN is the number that "tinydev token list" shows. It is refused within 3 seconds; streams of
events that are open with it end within a minute.

Example:
  tinydev token revoke 7`,
		Args: takes(1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil || id < 1 {
				return fault.New(fault.Invalid, "usage", "%q is not the number of a token", args[0]).WithHint("tinydev token list shows the numbers")
			}
			revoked, err := c.RevokeToken(ctx, id, on(cmd, "dry-run"))
			if err != nil {
				return err
			}
			return showChange(cmd, revoked.Made, revoked.SQL, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "revoked %s of %s\n", console.Printable(revoked.Made.Name), revoked.Made.User)
				return err
			})
		}),
	}, true)
}
