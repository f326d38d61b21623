package main

import (
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

func newSubscription() *cobra.Command {
	return family("subscription", "Have the server send events: webhooks, e-mail, commands",
		`A subscription has the server send events to a URL, to e-mail addresses or to a program that its configuration names, from the moment
it is made: each at least once, in order for each subject, tried again by a plan when the target fails. It keeps its place in
PostgreSQL, so nothing is lost while the server or the target is down. (To run a program on this machine instead: tinydev subscribe.)

Example:
  tinydev subscription create hook --webhook https://example.org/hook --type 'view.*' --test
  tinydev subscription create mail --email ann@example.org --type view.refreshed --subject prices --attach prices
  tinydev subscription create mirror --command mirror --type table.loaded
  tinydev subscription list
  tinydev subscription deliveries hook --state dead
  tinydev subscription redeliver hook --all-dead

You have one from the beginning: notices mails you the first failure of each view's refresh and its recovery, and what keeps your
subscriptions from delivering, once it has an address:
  tinydev subscription alter notices --email ann@example.org

In SQL: tinydev.create_subscription and its neighbours, and the views tinydev.subscription, delivery and attempt; docs/events.md has the promise.`,
		newSubscriptionCreate(), newSubscriptionAlter(), newSubscriptionPause(true), newSubscriptionPause(false), newSubscriptionTest(), newSubscriptionRotate(),
		newSubscriptionList(), newSubscriptionShow(), newSubscriptionDrop(), newDeliveries(), newDelivery(), newRedeliver(), newReplay())
}

// subscriptionFlags are what a subscription is made of.
type subscriptionFlags struct {
	webhook, command string
	emails           []string
	types, subjects  []string
	condition        string
	attach           string
	attachRows       int
	rearm, digest    string
	timeout          string
	retry            string
	pauseAfter       string
	mail             map[string]*string // the options of e-mail, by their names
}

func (f *subscriptionFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.webhook, "webhook", "", "URL that events are posted to")
	flags.StringArrayVar(&f.emails, "email", nil, "address that events are mailed to; may be repeated")
	flags.StringVar(&f.command, "command", "", "program to run, by its name in the server's TINYDEV_COMMANDS")
	flags.StringArrayVar(&f.types, "type", nil, "only this type, * for any characters; may be repeated")
	flags.StringArrayVar(&f.subjects, "subject", nil, "only about this, such as prices or 'ann.*'; may be repeated")
	flags.StringVar(&f.condition, "condition", "", "what has to be true of the event's data, such as '$.rows > 0'; or always, 'not empty', changed")
	flags.StringVar(&f.attach, "attach", "", "table or view whose rows go along")
	flags.IntVar(&f.attachRows, "attach-rows", 0, "how many of them at most, up to 1000; default 100")
	flags.StringVar(&f.rearm, "rearm", "", "each event; once: of trouble the first and the recovery; a time such as 30m: again after that; default each")
	flags.StringVar(&f.digest, "digest", "", "e-mail: one message for all that comes within this time, such as 5m, up to 7d")
	flags.StringVar(&f.timeout, "timeout", "", "how long one attempt may take, up to 5m; default 30s")
	flags.StringVar(&f.retry, "retry", "", "waits before the next attempts, such as 5s,30s,2m, up to 20 of up to 7d, or none; default 5s,30s,2m,10m,30m,1h,3h,6h,12h")
	flags.StringVar(&f.pauseAfter, "pause-after", "", "failing for so long without a success pauses it, 1m to 365d; default 12h")
	f.mail = map[string]*string{"subject": new(string), "body": new(string), "chart": new(string)}
	flags.StringVar(f.mail["subject"], "mail-subject", "", "e-mail: template of the subject, such as '{{.Subject}}: {{.What}}'")
	flags.StringVar(f.mail["body"], "mail-body", "", "e-mail: template of what stands above the facts; - is the standard input")
	flags.StringVar(f.mail["chart"], "chart", "", "e-mail: bar draws the attached rows")
}

// target gives the kind and the target that the flags name; both "" for none.
func (f *subscriptionFlags) target(cmd *cobra.Command) (kind, target string, err error) {
	given := 0
	for _, t := range []struct{ kind, flag, target string }{{"webhook", "webhook", f.webhook}, {"email", "email", strings.Join(f.emails, ", ")}, {"command", "command", f.command}} {
		if cmd.Flags().Changed(t.flag) {
			kind, target = t.kind, t.target
			given++
		}
	}
	if given > 1 {
		return "", "", usageFault(cmd, fmt.Errorf("a subscription has one of --webhook, --email and --command"))
	}
	return kind, target, nil
}

// change gives what the flags say beside the target; options are those that there are already.
func (f *subscriptionFlags) change(cmd *cobra.Command, options json.RawMessage) (c control.SubscriptionChange, err error) {
	given := cmd.Flags().Changed
	list := func(values []string) *[]string {
		kept := []string{}
		for _, v := range values {
			if v != "" {
				kept = append(kept, v)
			}
		}
		return &kept
	}
	if given("type") {
		c.Types = list(f.types)
	}
	if given("subject") {
		c.Subjects = list(f.subjects)
	}
	if given("condition") {
		c.Condition = &f.condition
	}
	if given("attach") {
		c.Attach = &f.attach
	}
	if given("attach-rows") {
		c.AttachRows = &f.attachRows
	}
	for _, s := range []struct {
		flag, text string
		into       **int
	}{{"digest", f.digest, &c.DigestSeconds}, {"timeout", f.timeout, &c.TimeoutSeconds}, {"pause-after", f.pauseAfter, &c.PauseAfterSeconds}} {
		if given(s.flag) {
			seconds, err := spanSeconds(s.flag, s.text)
			if err != nil {
				return c, err
			}
			*s.into = &seconds
		}
	}
	if given("rearm") {
		if f.rearm != "each" && f.rearm != "once" {
			seconds, err := spanSeconds("rearm", f.rearm)
			if err != nil {
				return c, fault.As(err).WithHint("write each, once, or a time such as 30m")
			}
			f.rearm, c.RearmSeconds = "every", &seconds
		}
		c.Rearm = &f.rearm
	}
	if given("retry") {
		waits := []int{}
		for _, text := range strings.Split(f.retry, ",") {
			if f.retry == "none" {
				break
			}
			seconds, err := spanSeconds("retry", text)
			if err != nil {
				return c, err
			}
			waits = append(waits, seconds)
		}
		c.RetrySeconds = &waits
	}
	return c, f.options(cmd, options, &c)
}

// options puts what the flags say of a message into the options that there are; an empty text takes one away.
func (f *subscriptionFlags) options(cmd *cobra.Command, there json.RawMessage, c *control.SubscriptionChange) error {
	all := map[string]string{}
	changed := false
	if len(there) > 0 {
		if err := json.Unmarshal(there, &all); err != nil {
			return fmt.Errorf("read the options: %w", err)
		}
	}
	for flag, name := range map[string]string{"mail-subject": "subject", "mail-body": "body", "chart": "chart"} {
		if !cmd.Flags().Changed(flag) {
			continue
		}
		text, err := argument(cmd, *f.mail[name])
		if err != nil {
			return err
		}
		changed = true
		if all[name] = text; text == "" {
			delete(all, name)
		}
	}
	if !changed {
		return nil
	}
	text, err := json.Marshal(all)
	c.Options = text
	return err
}

// spanSeconds reads a length of time as people write it: 90s, 5m, 1h30m, 7d; a number alone is seconds.
func spanSeconds(flag, text string) (int, error) {
	text = strings.TrimSpace(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 0 && n <= 36500 {
			return n * 24 * 60 * 60, nil
		}
	}
	if n, err := strconv.Atoi(text); err == nil && n >= 0 && n < 1<<31 {
		return n, nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 && d%time.Second == 0 && d < 1<<31*time.Second {
		return int(d / time.Second), nil
	}
	return 0, fault.New(fault.Invalid, "usage", "--%s %q is no time", flag, text).WithHint("write whole seconds as 30s, 5m, 1h30m or 7d")
}

func newSubscriptionCreate() *cobra.Command {
	var f subscriptionFlags
	var secret string
	cmd := viewCommand(&cobra.Command{
		Use: "create NAME", Short: "Have events sent to a URL, to e-mail addresses or to a program",
		Long: `Makes a subscription, which begins with the next event. It is sent what you may see when it is sent; without --type and --subject that
is everything. --condition takes an SQL/JSON path, or one of the words always, 'not empty' (it left rows) and changed (it changed something, or
that is not known). --attach puts the first rows of a table or view into data.attached of each event, read as you at that time.

A webhook gets CloudEvents, signed as Standard Webhooks say, with a secret that is printed this once. --test first sends a sample,
subscription.tested, and makes nothing unless it arrives.

Example:
  tinydev subscription create hook --webhook https://example.org/hook --type 'view.*' --subject 'ann.*' --test
  tinydev subscription create prices --webhook https://example.org/prices --type view.refreshed --subject prices \
      --condition changed --attach prices --attach-rows 20
  tinydev subscription create trouble --email ann@example.org --email bob@example.org --type '*.failed' --rearm once
  tinydev subscription create weekly --email ann@example.org --type table.loaded --digest 7d --mail-subject '{{.Count}} files were loaded'
  tinydev subscription create mirror --command mirror --type table.loaded --timeout 2m --retry 5s,30s,2m
  tinydev subscription create hook --webhook https://example.org/hook --dry-run        # only prints the SQL

Next: tinydev subscription deliveries NAME`,
		Args: takes(1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			s := control.NewSubscription{Name: args[0]}
			var err error
			if s.Kind, s.Target, err = f.target(cmd); err != nil {
				return err
			}
			if s.Kind == "" {
				return usageFault(cmd, fmt.Errorf("say where to: --webhook URL, --email ADDRESS or --command NAME"))
			}
			if s.Secret, err = argument(cmd, secret); err != nil {
				return err
			}
			if s.SubscriptionChange, err = f.change(cmd, nil); err != nil {
				return err
			}
			dryRun := on(cmd, "dry-run")
			if on(cmd, "test") && !dryRun {
				made := s.Kind == "webhook" && s.Secret == ""
				if made {
					s.Secret = control.NewWebhookSecret() // the test is signed as all that follows will be
				}
				tried, err := c.TrySubscription(ctx, s)
				if err != nil {
					return err
				}
				outcome := attemptWords(tried.State, tried.StatusCode, tried.LatencyMS, tried.Error, tried.Response)
				if tried.State != "delivered" {
					if made {
						return targetFailed(outcome).WithHint("nothing was made; mend the target, or leave --test out. It was signed by %s: where the receiver is to verify that, give it the secret, and try again with --secret", s.Secret)
					}
					return targetFailed(outcome).WithHint("nothing was made; mend the target, or leave --test out")
				}
				if _, err := fmt.Fprintln(cmd.ErrOrStderr(), "test: "+outcome); err != nil {
					return err
				}
			}
			made, err := c.CreateSubscription(ctx, s, dryRun)
			if err != nil {
				return err
			}
			return showChange(cmd, made.Made, made.SQL, func(w io.Writer) error { return printMade(w, made.Made) })
		}),
	}, true)
	f.add(cmd)
	cmd.Flags().StringVar(&secret, "secret", "", "webhook: whsec_ and 24 to 64 bytes in base64, - is the standard input; one is made when it is missing")
	cmd.Flags().Bool("test", false, "send a sample first, signed by the secret that it will have, and make nothing unless it arrives")
	return cmd
}

// targetFailed is the end of a test that did not arrive.
func targetFailed(outcome string) *fault.Error {
	return fault.New(fault.Invalid, "target_failed", "the test did not arrive: %s", outcome)
}

// attemptWords tells how an attempt ended.
func attemptWords(state string, status *int, latencyMS int, problem, response *string) string {
	words := []string{state}
	if status != nil {
		words = append(words, strconv.Itoa(*status))
	}
	words = append(words, console.Duration(time.Duration(latencyMS)*time.Millisecond))
	if problem != nil {
		words = append(words, *problem)
	}
	if line, _, _ := strings.Cut(strings.TrimSpace(text(response)), "\n"); line != "" {
		words = append(words, strconv.Quote(line))
	}
	return console.Printable(strings.Join(words, ", "))
}

func printMade(w io.Writer, s control.Subscription) error {
	if _, err := fmt.Fprintf(w, "made %s: %s to %s, from the next event on\n", s.Name, s.Kind, console.Printable(s.Target)); err != nil {
		return err
	}
	if s.Secret != "" {
		if err := printSecret(w, s.Secret); err != nil {
			return err
		}
	}
	return printWarnings(w, s.Warnings)
}

func printSecret(w io.Writer, secret string) error {
	_, err := fmt.Fprintf(w, `secret: %s

It is shown this once. By it the receiver knows who sends: the header webhook-signature holds v1, and the base64 of the HMAC-SHA256 of
webhook-id.webhook-timestamp.body, with what follows whsec_, decoded from base64, as the key. docs/events.md does it in Go, Python,
JavaScript and shell; the libraries of Standard Webhooks do it too.
`, secret)
	return err
}

func newSubscriptionAlter() *cobra.Command {
	var f subscriptionFlags
	cmd := viewCommand(&cobra.Command{
		Use: "alter NAME", Short: "Change a subscription; what is not named stays",
		Long: `Changes a subscription. An empty text takes away what there was: --condition '', --attach '', --type '' (all types). With a new target what
failed is tried again at once.

Example:
  tinydev subscription alter notices --email ann@example.org
  tinydev subscription alter hook --type 'view.*' --type table.loaded --retry 10s,1m
  tinydev subscription alter mail --rearm 30m --mail-subject ''
  tinydev subscription alter hook --condition '' --dry-run

Next: tinydev subscription test NAME`,
		Args: takes(1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			kind, target, err := f.target(cmd)
			if err != nil {
				return err
			}
			var to client.AlteredSubscription
			if kind != "" {
				to.Target = &target
			}
			old, err := c.Subscription(ctx, args[0])
			if err != nil {
				return err
			}
			if kind != "" && kind != old.Kind {
				return usageFault(cmd, fmt.Errorf("%s is of the kind %s, which cannot be changed", args[0], old.Kind))
			}
			if to.SubscriptionChange, err = f.change(cmd, old.Options); err != nil {
				return err
			}
			return alterSubscription(ctx, c, cmd, args[0], to)
		}),
	}, true)
	f.add(cmd)
	return cmd
}

func alterSubscription(ctx context.Context, c *client.Client, cmd *cobra.Command, name string, to client.AlteredSubscription) error {
	changed, err := c.AlterSubscription(ctx, name, to, on(cmd, "dry-run"))
	if err != nil {
		return err
	}
	return showChange(cmd, changed.Made, changed.SQL, func(w io.Writer) error { return printSubscription(w, changed.Made) })
}

func newSubscriptionPause(pause bool) *cobra.Command {
	verb, does := "pause", "Stops a subscription where it is. What comes meanwhile is sent when it is resumed, as long as the log keeps it."
	if !pause {
		verb, does = "resume", "Lets a paused subscription go on where it stopped. What failed is tried at once, with all attempts before it."
	}
	return viewCommand(&cobra.Command{
		Use: verb + " NAME", Short: strings.ToUpper(verb[:1]) + verb[1:] + " a subscription",
		Long: does + `

Example:
  tinydev subscription ` + verb + ` hook`,
		Args: takes(1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			active := !pause
			return alterSubscription(ctx, c, cmd, args[0], client.AlteredSubscription{Active: &active})
		}),
	}, true)
}

func newSubscriptionTest() *cobra.Command {
	return viewCommand(&cobra.Command{
		Use: "test NAME", Short: "Send a sample event to a subscription's target",
		Long: `Writes the event subscription.tested, which goes to this subscription alone whatever it filters, and waits for the first attempt to
deliver it. The exit code is 2 when that fails; it is tried again by the subscription's plan, as any other event. When no server that is
up can send it, that is said at once, with the exit code 2 too.

Example:
  tinydev subscription test hook

Next: tinydev subscription deliveries hook`,
		Args: takes(1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			tested, err := c.TestSubscription(ctx, args[0], on(cmd, "dry-run"))
			if err != nil {
				return err
			}
			if tested.SQL != nil {
				return showChange(cmd, tested.Made, tested.SQL, nil)
			}
			outcome := "not tried yet; tinydev subscription deliveries " + args[0] + " tells later"
			if warnings := tested.Made.Warnings; len(warnings) > 0 {
				if on(cmd, "json") {
					if err := console.JSON(cmd.OutOrStdout(), tested.Made); err != nil {
						return err
					}
				}
				return targetFailed(strings.Join(warnings, "; ")).WithHint("it is sent as soon as a server can")
			}
			d := tested.Made.Delivery
			if d != nil && d.LatencyMS != nil {
				outcome = attemptWords(d.State, d.StatusCode, *d.LatencyMS, d.Error, d.Response)
			}
			if d != nil && d.State != "delivered" && d.LastAttemptAt != nil {
				if on(cmd, "json") {
					if err := console.JSON(cmd.OutOrStdout(), tested.Made); err != nil {
						return err
					}
				}
				return targetFailed(outcome).WithHint("tinydev subscription delivery %s %d tells more", args[0], d.DeliveryID)
			}
			return show(cmd, tested.Made, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, "test: "+outcome)
				return err
			})
		}),
	}, true)
}

func newSubscriptionRotate() *cobra.Command {
	var secret, keep string
	cmd := viewCommand(&cobra.Command{
		Use: "rotate NAME", Short: "Give a webhook another secret and print it, this once",
		Long: `Gives a webhook another secret. Until --keep has passed each request carries a signature by the secret before too, so that the receiver
can change over at any time in between. --keep 0 when the one before has leaked. Two secrets sign at most: rotated again before --keep has passed,
the oldest of three signs no more.

Example:
  tinydev subscription rotate hook
  tinydev subscription rotate hook --keep 7d
  openssl rand -base64 32 | sed 's/^/whsec_/' | tinydev subscription rotate hook --secret -

Next: tinydev subscription test hook`,
		Args: takes(1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			seconds, err := spanSeconds("keep", keep)
			if err != nil {
				return err
			}
			given, err := argument(cmd, secret)
			if err != nil {
				return err
			}
			rotated, err := c.RotateSecret(ctx, args[0], given, seconds, on(cmd, "dry-run"))
			if err != nil {
				return err
			}
			return showChange(cmd, rotated.Made, rotated.SQL, func(w io.Writer) error {
				if err := printSecret(w, rotated.Made.Secret); err != nil {
					return err
				}
				if seconds == 0 {
					_, err = fmt.Fprintln(w, "The one before signs no more.")
				} else {
					_, err = fmt.Fprintf(w, "The one before signs too until %s UTC.\n", console.Time(&rotated.Made.OldSecretUntil))
				}
				if err != nil {
					return err
				}
				return printWarnings(w, rotated.Made.Warnings)
			})
		}),
	}, true)
	cmd.Flags().StringVar(&secret, "secret", "", "whsec_ and 24 to 64 bytes in base64, - is the standard input; one is made when it is missing")
	cmd.Flags().StringVar(&keep, "keep", "1d", "how long the secret before signs too, up to 30d")
	return cmd
}

func newSubscriptionList() *cobra.Command {
	return viewCommand(&cobra.Command{
		Use: "list", Short: "List your subscriptions, for administrators everybody's",
		Long: `Lists subscriptions with what they are sent, how they are, and how many of their deliveries wait, are failing and are dead.

Example:
  tinydev subscription list
  tinydev subscription list --json

Next: tinydev subscription show NAME`,
		Args: takes(0),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, _ []string) error {
			list, err := c.Subscriptions(ctx)
			if err != nil {
				return err
			}
			return show(cmd, list, func(w io.Writer) error {
				var rows [][]string
				for _, s := range list {
					rows = append(rows, []string{s.Owner, s.Name, s.Kind, s.Target, sentTypes(s), subscriptionState(s), atMost(s.Pending), atMost(s.Failing), atMost(s.Dead), console.Time(s.LastDeliveredAt)})
				}
				return console.Table(w, []string{"owner", "subscription", "kind", "target", "types", "state", "pending", "failing", "dead", "last delivered (UTC)"}, rows)
			})
		}),
	}, false)
}

// atMost gives a count of which 1000 stands for more.
func atMost(n int) string {
	if n >= 1000 {
		return "1000+"
	}
	return strconv.Itoa(n)
}

func sentTypes(s control.Subscription) string {
	if s.Types == nil {
		return "all"
	}
	return strings.ReplaceAll(strings.Join(s.Types, " "), "tinydev.", "")
}

func subscriptionState(s control.Subscription) string {
	switch {
	case !s.Active:
		return map[string]string{"user": "paused", "failing": "paused: failed for too long", "gone": "paused: the target wants no more", "unsubscribed": "paused: its reader ended it",
			"no_target": "waits for an address"}[text(s.PauseReason)]
	case s.FailingSince != nil:
		return "failing since " + console.Time(s.FailingSince)
	case s.Server == nil:
		return "waits for a server"
	}
	return "delivering"
}

func newSubscriptionShow() *cobra.Command {
	return viewCommand(&cobra.Command{
		Use: "show NAME", Short: "Describe a subscription: what it is sent, and how it is",
		Long: `Describes a subscription. Administrators name another user's as OWNER.NAME, here and in the commands beside.

Example:
  tinydev subscription show hook

Next: tinydev subscription deliveries hook`,
		Args: takes(1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			s, err := c.Subscription(ctx, args[0])
			if err != nil {
				return err
			}
			return show(cmd, s, func(w io.Writer) error { return printSubscription(w, s) })
		}),
	}, false)
}

func printSubscription(w io.Writer, s control.Subscription) error {
	retries := "none"
	if len(s.RetrySeconds) > 0 {
		words := make([]string, len(s.RetrySeconds))
		for i, seconds := range s.RetrySeconds {
			words[i] = shortSpan(seconds)
		}
		retries = strings.Join(words, ", ")
	}
	rearm := s.Rearm
	if s.RearmSeconds != nil {
		rearm = "every " + shortSpan(*s.RearmSeconds)
	}
	subjects, attach, digest, options := "all", "", "", ""
	if s.Subjects != nil {
		subjects = strings.Join(s.Subjects, ", ")
	}
	if s.Attach != nil {
		attach = fmt.Sprintf("%s, up to %s", *s.Attach, console.Count(int64(s.AttachRows), "row"))
	}
	if s.DigestSeconds > 0 {
		digest = shortSpan(s.DigestSeconds)
	}
	if string(s.Options) != "{}" {
		options = string(s.Options)
	}
	state := subscriptionState(s)
	if s.Unserved != nil {
		state += ": " + *s.Unserved
	}
	err := console.Fields(w, [2]string{"subscription", s.Name}, [2]string{"owner", s.Owner}, [2]string{"kind", s.Kind}, [2]string{"target", s.Target},
		[2]string{"types", sentTypes(s)}, [2]string{"subjects", subjects}, [2]string{"condition", text(s.Condition)}, [2]string{"attached", attach}, [2]string{"options", options},
		[2]string{"rearm", rearm}, [2]string{"digest", digest}, [2]string{"time-out", shortSpan(s.TimeoutSeconds)}, [2]string{"retries after", retries}, [2]string{"paused after", shortSpan(s.PauseAfterSeconds)},
		[2]string{"state", state}, [2]string{"position", place(s)},
		[2]string{"deliveries", fmt.Sprintf("%s pending, %s failing, %s dead", atMost(s.Pending), atMost(s.Failing), atMost(s.Dead))}, [2]string{"last delivered (UTC)", console.Time(s.LastDeliveredAt)},
		[2]string{"server", text(s.Server)}, [2]string{"old secret until (UTC)", console.Time(s.OldSecretUntil)})
	if err != nil {
		return err
	}
	return printWarnings(w, s.Warnings)
}

// place tells how far a subscription is in the log.
func place(s control.Subscription) string {
	if s.Behind == 0 {
		return fmt.Sprintf("%d, no event waits", s.Position)
	}
	return fmt.Sprintf("%d, %s behind it", s.Position, console.Count(s.Behind, "event"))
}

// shortSpan writes seconds as a flag takes them: 90s, 5m, 12h, 7d.
func shortSpan(seconds int) string {
	for _, unit := range []struct {
		seconds int
		word    string
	}{{24 * 60 * 60, "d"}, {60 * 60, "h"}, {60, "m"}} {
		if seconds > 0 && seconds%unit.seconds == 0 {
			return strconv.Itoa(seconds/unit.seconds) + unit.word
		}
	}
	return strconv.Itoa(seconds) + "s"
}

func newSubscriptionDrop() *cobra.Command {
	return viewCommand(&cobra.Command{
		Use: "drop NAME", Short: "End a subscription, with its log of deliveries",
		Long: `Ends a subscription. What waits is not sent, and its log of deliveries is gone; to keep it, pause the subscription instead.

Example:
  tinydev subscription drop hook
  tinydev subscription drop hook --dry-run`,
		Args: takes(1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			dropped, err := c.DropSubscription(ctx, args[0], on(cmd, "dry-run"))
			if err != nil {
				return err
			}
			return showChange(cmd, dropped.Made, dropped.SQL, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "dropped %s of %s\n", dropped.Made.Dropped, dropped.Made.Owner)
				return err
			})
		}),
	}, true)
}
