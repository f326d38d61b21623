package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/tinydevcrm/tinydevcrm/cmd/tinydev/internal/console"
	"github.com/tinydevcrm/tinydevcrm/pkg/client"
	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

func newUser() *cobra.Command {
	cmd := family("user", "Make, change and drop users, their limits and passwords",
		`A user is a role of PostgreSQL with a workspace, a schema of the same name, where only the user makes things. PostgreSQL keeps users apart.
Administrators make and drop users; they see all events and jobs, and no more data than what is shared with them.

Example:
  tinydev user create bob
  tinydev token create --user bob --name laptop      # for the API and the pages
  tinydev user password bob --generate               # for psql over TCP
  tinydev user drop bob --objects reassign --to ann

In SQL: tinydev.create_user, alter_user, drop_user, set_password, and the view tinydev.user.`,
		newUserCreate(), newUserList(), newUserShow(), newUserAlter(), newUserDrop(), newUserPassword(), newUserLink(), newUserUnlink(), newUserIdentities())
	cmd.GroupID = groupUsers
	return cmd
}

// limitFlags are the limits of a user, by the name of the flag.
var limitFlags = []struct{ name, help string }{
	{"connections", "sessions at once"},
	{"statement-seconds", "time of one statement over HTTP"},
	{"work-mem-mb", "memory of one sort or hash, in MB; the user may change it in psql"},
	{"temp-file-mb", "temporary files of one session, in MB; from PostgreSQL 15 on"},
	{"page-rows", "rows of one page of an answer over HTTP"},
	{"running-jobs", "runs of pg_cron at once"},
	{"idle-transaction-seconds", "how long a transaction may be open and idle"},
}

func addLimitFlags(cmd *cobra.Command) {
	for _, limit := range limitFlags {
		cmd.Flags().Int(limit.name, 0, limit.help+"; 0 for the default of tinydev settings")
	}
}

// givenLimits gives the limits whose flags were given.
func givenLimits(cmd *cobra.Command) (client.UserLimits, error) {
	limits := client.UserLimits{}
	for _, limit := range limitFlags {
		if !cmd.Flags().Changed(limit.name) {
			continue
		}
		value, err := cmd.Flags().GetInt(limit.name)
		if err != nil {
			return nil, err
		}
		limits[strings.ReplaceAll(limit.name, "-", "_")] = value
	}
	return limits, nil
}

func newUserCreate() *cobra.Command {
	cmd := viewCommand(&cobra.Command{
		Use: "create NAME", Short: "Make a user and its workspace",
		Long: `Makes a role that may log in, and a schema of the same name; for administrators. NAME is 1 to 63 of a-z, 0-9 and _, beginning with a
letter. The name of a former user is refused, since events and loads are seen by name; --reuse says that it is the same person.

Example:
  tinydev user create bob
  tinydev user create eve --connections 5 --statement-seconds 60
  tinydev user create ann --admin --dry-run

Next: tinydev token create --user bob --name laptop`,
		Args: takes(1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			limits, err := givenLimits(cmd)
			if err != nil {
				return err
			}
			made, err := c.CreateUser(ctx, client.NewUser{Name: args[0], Admin: on(cmd, "admin"), Limits: limits, Reuse: on(cmd, "reuse")}, on(cmd, "dry-run"))
			if err != nil {
				return err
			}
			return showChange(cmd, made.Made, made.SQL, func(w io.Writer) error { return printUser(w, made.Made) })
		}),
	}, true)
	cmd.Flags().Bool("admin", false, "make an administrator, who may make and drop users")
	cmd.Flags().Bool("reuse", false, "allow the name of a former user")
	addLimitFlags(cmd)
	return cmd
}

func newUserAlter() *cobra.Command {
	cmd := viewCommand(&cobra.Command{
		Use: "alter NAME", Short: "Change a user's limits, or make it an administrator",
		Long: `Changes what is given, for administrators; all else stays. --connections, --work-mem-mb and --temp-file-mb hold for new sessions, the
other limits at once. The last administrator stays one.

Example:
  tinydev user alter bob --statement-seconds 60 --running-jobs 4
  tinydev user alter bob --page-rows 0        # back to the default
  tinydev user alter bob --admin=false`,
		Args: takes(1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			limits, err := givenLimits(cmd)
			if err != nil {
				return err
			}
			to := client.UserChange{Limits: limits}
			if cmd.Flags().Changed("admin") {
				admin := on(cmd, "admin")
				to.Admin = &admin
			}
			changed, err := c.AlterUser(ctx, args[0], to, on(cmd, "dry-run"))
			if err != nil {
				return err
			}
			return showChange(cmd, changed.Made, changed.SQL, func(w io.Writer) error { return printUser(w, changed.Made) })
		}),
	}, true)
	cmd.Flags().Bool("admin", false, "make an administrator; --admin=false makes it none")
	addLimitFlags(cmd)
	return cmd
}

func newUserList() *cobra.Command {
	return viewCommand(&cobra.Command{
		Use: "list", Short: "List the users",
		Long: `Lists the users. Names, and who is an administrator, are for all; the rest is about yourself, and for administrators about everybody.

Example:
  tinydev user list --json`,
		Args: takes(0),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, _ []string) error {
			list, err := c.Users(ctx)
			if err != nil {
				return err
			}
			return show(cmd, list, func(w io.Writer) error {
				var rows [][]string
				for _, user := range list {
					rows = append(rows, []string{user.Name, console.YesNo(user.Admin), amount(user.Sessions), amount(user.Jobs), console.Time(user.TokenLastUsedAt)})
				}
				return console.Table(w, []string{"user", "administrator", "sessions", "jobs", "token last used (UTC)"}, rows)
			})
		}),
	}, false)
}

func newUserShow() *cobra.Command {
	return viewCommand(&cobra.Command{
		Use: "show [NAME]", Short: "Describe a user and its limits, yourself by default",
		Long: `Describes a user: its limits, open sessions and jobs. Those of others are for administrators.

Example:
  tinydev user show
  tinydev user show bob`,
		Args: atMostOne,
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			user, err := c.User(ctx, nameOrSelf(args))
			if err != nil {
				return err
			}
			return show(cmd, user, func(w io.Writer) error { return printUser(w, user) })
		}),
	}, false)
}

func newUserDrop() *cobra.Command {
	cmd := viewCommand(&cobra.Command{
		Use: "drop NAME", Short: "Drop a user with its jobs, tokens and sessions",
		Long: `Drops a user, for administrators. What it owns is a reason to refuse, unless --objects says to drop it or to reassign it to another user;
what others made of it is never dropped along. Functions that are reassigned lose SECURITY DEFINER, and a warning names all code that
runs as its new owner from now on. The name stays retired.

Example:
  tinydev user drop bob --dry-run
  tinydev user drop bob --objects drop
  tinydev user drop bob --objects reassign --to ann`,
		Args: takes(1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			objects, err := cmd.Flags().GetString("objects")
			if err != nil {
				return err
			}
			to, err := cmd.Flags().GetString("to")
			if err != nil {
				return err
			}
			dropped, err := c.DropUser(ctx, args[0], objects, to, on(cmd, "dry-run"))
			if err != nil {
				return err
			}
			return showChange(cmd, dropped.Made, dropped.SQL, func(w io.Writer) error { return printDropped(w, dropped.Made) })
		}),
	}, true)
	cmd.Flags().String("objects", control.RefuseObjects, "what to do with what the user owns: refuse, drop or reassign")
	cmd.Flags().String("to", "", "user who gets the objects, with --objects reassign")
	return cmd
}

func printDropped(w io.Writer, dropped control.DroppedUser) error {
	fate := "dropped"
	if dropped.ReassignedTo != nil {
		fate = "now of " + *dropped.ReassignedTo
	}
	fmt.Fprintf(w, "dropped %s, with %s and %s\n", dropped.Dropped, console.Count(int64(len(dropped.Jobs)), "job"), console.Count(int64(dropped.Tokens), "token"))
	for _, object := range dropped.Objects {
		fmt.Fprintf(w, "  %s: %s\n", fate, console.Printable(object))
	}
	return printWarnings(w, dropped.Warnings)
}

func newUserPassword() *cobra.Command {
	cmd := viewCommand(&cobra.Command{
		Use: "password [NAME]", Short: "Set a password for logins over TCP, your own by default",
		Long: `Sets the password with which any client of PostgreSQL logs in over TCP; the API and the pages take tokens instead. It is read from the
terminal, or as one line of the standard input; --generate makes one and prints it this once. It has 12 to 200 characters of
printable ASCII. PostgreSQL keeps what SCRAM-SHA-256 derives from it. Another user's is for administrators.

Example:
  tinydev user password
  tinydev user password bob --generate

Next: psql "host=127.0.0.1 port=PORT user=bob dbname=tinydev"`,
		Args: atMostOne,
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			password := ""
			if !on(cmd, "generate") {
				var err error
				if password, err = readPassword(cmd); err != nil {
					return err
				}
			}
			set, err := c.SetPassword(ctx, nameOrSelf(args), password, on(cmd, "dry-run"))
			if err != nil {
				return err
			}
			return showChange(cmd, set.Made, set.SQL, func(w io.Writer) error {
				var err error
				if set.Made.Password != "" {
					_, err = fmt.Fprintln(w, set.Made.Password)
				} else {
					_, err = fmt.Fprintf(w, "the password of %s is set\n", set.Made.Name)
				}
				return err
			})
		}),
	}, true)
	cmd.Flags().Bool("generate", false, "make a password and print it")
	return cmd
}

// readPassword reads a password: twice and unseen from a terminal, else the first line of the standard input.
func readPassword(cmd *cobra.Command) (string, error) {
	if file, ok := cmd.InOrStdin().(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		var typed [2]string
		for i, prompt := range []string{"Password: ", "Again: "} {
			fmt.Fprint(cmd.ErrOrStderr(), prompt)
			text, err := term.ReadPassword(int(file.Fd()))
			fmt.Fprintln(cmd.ErrOrStderr())
			if err != nil {
				return "", fmt.Errorf("read the password: %w", err)
			}
			typed[i] = string(text)
		}
		if typed[0] != typed[1] {
			return "", fault.New(fault.Invalid, "usage", "the two passwords differ")
		}
		return notEmpty(typed[0])
	}
	line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return notEmpty(strings.TrimRight(line, "\r\n"))
}

// notEmpty refuses no password at all, for which the server would generate one.
func notEmpty(password string) (string, error) {
	if password == "" {
		return "", fault.New(fault.Invalid, "usage", "there is no password").WithHint("type one, or let --generate make one")
	}
	return password, nil
}

func atMostOne(cmd *cobra.Command, args []string) error {
	if len(args) <= 1 {
		return nil
	}
	return usageFault(cmd, fmt.Errorf("%s takes at most one name, not %d", cmd.CommandPath(), len(args)))
}

// nameOrSelf gives the name in args, else what the API calls oneself.
func nameOrSelf(args []string) string {
	if len(args) == 1 {
		return args[0]
	}
	return "-"
}

func printUser(w io.Writer, user control.Account) error {
	fields := [][2]string{{"user", user.Name}, {"administrator", console.YesNo(user.Admin)}}
	if l := user.Limits; l != nil {
		fields = append(fields, [2]string{"sessions", amount(user.Sessions) + " of " + limit(l.Connections, "")}, [2]string{"jobs", amount(user.Jobs)},
			[2]string{"jobs at once", limit(l.RunningJobs, "")}, [2]string{"statement", limit(l.StatementSeconds, " s")},
			[2]string{"idle transaction", limit(l.IdleTransactionSeconds, " s")}, [2]string{"rows of a page", limit(l.PageRows, "")},
			[2]string{"work_mem", limit(l.WorkMemMB, " MB")}, [2]string{"temporary files", limit(l.TempFileMB, " MB")},
			[2]string{"token last used (UTC)", console.Time(user.TokenLastUsedAt)})
	}
	return console.Fields(w, fields...)
}

// limit writes a limit; none is PostgreSQL's own.
func limit(value *int, unit string) string {
	if value == nil {
		return "the server's"
	}
	return strconv.Itoa(*value) + unit
}

func amount(n *int64) string {
	if n == nil {
		return ""
	}
	return strconv.FormatInt(*n, 10)
}
