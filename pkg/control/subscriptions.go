package control

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

// Subscription is who is told of events, and how.
type Subscription struct {
	SubscriptionID    int64           `json:"subscription_id"`
	Owner             string          `json:"owner"`
	Name              string          `json:"name"`
	Kind              string          `json:"kind" doc:"webhook, email or command"`
	Target            string          `json:"target" doc:"a URL; e-mail addresses, separated by commas; the name of a command"`
	Types             []string        `json:"types" doc:"types of events; null is all"`
	Subjects          []string        `json:"subjects" doc:"workspace.name; null is all"`
	Condition         *string         `json:"condition" doc:"SQL/JSON path predicate over the event's data"`
	Attach            *string         `json:"attach" doc:"table or view whose rows go along in data.attached"`
	AttachRows        int             `json:"attach_rows" doc:"how many of them at most"`
	Options           json.RawMessage `json:"options" doc:"of the kind; for e-mail subject, body and chart"`
	Rearm             string          `json:"rearm" doc:"each, once until recovery, every rearm_seconds until recovery"`
	RearmSeconds      *int            `json:"rearm_seconds"`
	DigestSeconds     int             `json:"digest_seconds" doc:"how long events are collected for one message"`
	TimeoutSeconds    int             `json:"timeout_seconds" doc:"of one attempt"`
	RetrySeconds      []int           `json:"retry_seconds" doc:"waits before the next attempts; after the last one the delivery is dead"`
	PauseAfterSeconds int             `json:"pause_after_seconds" doc:"failing for so long without a success pauses it"`
	Active            bool            `json:"active"`
	PausedAt          *time.Time      `json:"paused_at"`
	PauseReason       *string         `json:"pause_reason" doc:"user, failing, gone, unsubscribed or no_target"`
	FailingSince      *time.Time      `json:"failing_since" doc:"first failure since the last success"`
	LastDeliveredAt   *time.Time      `json:"last_delivered_at"`
	Position          int64           `json:"position" doc:"cursor: all events up to here were dealt with, or have their delivery; while nothing fits it follows the log now and then"`
	Behind            int64           `json:"behind" doc:"events after the cursor that fit and have no delivery yet, 0 when nothing waits; beyond 5,000 positions all count"`
	Server            *string         `json:"server" doc:"the server that delivers at the moment"`
	Unserved          *string         `json:"unserved" doc:"what no server that is up has for it; null when one can deliver, or it is paused"`
	OldSecretUntil    *time.Time      `json:"old_secret_until" doc:"until when the secret before the last rotation signs too"`
	CreatedAt         time.Time       `json:"created_at"`
	Pending           int             `json:"pending" doc:"deliveries that were not tried yet; 1000 stands for more"`
	Failing           int             `json:"failing" doc:"deliveries that will be tried again"`
	Dead              int             `json:"dead" doc:"deliveries that were given up"`
	Secret            string          `json:"secret,omitempty" doc:"signs what is sent; shown this once"`
	Warnings          []string        `json:"warnings,omitempty"`
}

// NewSubscription is what a subscription is made of; what is missing has the default of tinydev.create_subscription.
type NewSubscription struct {
	Name   string `json:"name" doc:"1 to 63 of a-z, 0-9, _ and -" example:"hook"`
	Kind   string `json:"kind" doc:"webhook, email or command" example:"webhook"`
	Target string `json:"target,omitempty" doc:"a URL; e-mail addresses, separated by commas; the name of a command" example:"https://example.org/hook"`
	Secret string `json:"secret,omitempty" doc:"webhook: whsec_ and 24 to 64 bytes in base64; one is made when it is missing"`
	SubscriptionChange
}

// SubscriptionChange is what of a subscription can be changed; what is nil stays.
type SubscriptionChange struct {
	Types             *[]string       `json:"types,omitempty" doc:"with * for any characters; an empty list is all"`
	Subjects          *[]string       `json:"subjects,omitempty" doc:"workspace.name, with * for any characters; an empty list is all"`
	Condition         *string         `json:"condition,omitempty" doc:"SQL/JSON path predicate over the event's data, or one of the words always, not empty and changed; empty is none" example:"$.rows > 0"`
	Attach            *string         `json:"attach,omitempty" doc:"table or view whose rows go along; empty is none"`
	AttachRows        *int            `json:"attach_rows,omitempty" doc:"how many of them at most"`
	Options           json.RawMessage `json:"options,omitempty" doc:"for e-mail: {\"subject\":\"…\",\"body\":\"…\",\"chart\":\"bar\"}"`
	Rearm             *string         `json:"rearm,omitempty" doc:"each, once or every"`
	RearmSeconds      *int            `json:"rearm_seconds,omitempty"`
	DigestSeconds     *int            `json:"digest_seconds,omitempty"`
	TimeoutSeconds    *int            `json:"timeout_seconds,omitempty"`
	RetrySeconds      *[]int          `json:"retry_seconds,omitempty"`
	PauseAfterSeconds *int            `json:"pause_after_seconds,omitempty"`
}

// arguments gives the call's arguments and their values, from $2 on, for those that are given.
func (c SubscriptionChange) arguments() (names []string, values []any) {
	add := func(name string, value any) { names, values = append(names, name), append(values, value) }
	if c.Types != nil {
		add("types", *c.Types)
	}
	if c.Subjects != nil {
		add("subjects", *c.Subjects)
	}
	if c.Condition != nil {
		add("condition", *c.Condition)
	}
	if c.Attach != nil {
		add("attach", *c.Attach)
	}
	if c.Options != nil {
		add("options", []byte(c.Options))
	}
	if c.Rearm != nil {
		add("rearm", *c.Rearm)
	}
	if c.RetrySeconds != nil {
		waits := make([]int32, len(*c.RetrySeconds))
		for i, seconds := range *c.RetrySeconds {
			waits[i] = int4(seconds)
		}
		add("retry_seconds", waits)
	}
	for _, n := range []struct {
		name  string
		value *int
	}{
		{"attach_rows", c.AttachRows}, {"rearm_seconds", c.RearmSeconds}, {"digest_seconds", c.DigestSeconds},
		{"timeout_seconds", c.TimeoutSeconds}, {"pause_after_seconds", c.PauseAfterSeconds},
	} {
		if n.value != nil {
			add(n.name, int4(*n.value))
		}
	}
	return names, values
}

// int4 fits a number into PostgreSQL's integer, so that PostgreSQL says what is wrong with one that is far too large.
func int4(n int) int32 { return int32(max(math.MinInt32, min(n, math.MaxInt32))) }

// call writes a call of a verb with named arguments.
func call(verb string, names []string) string {
	sql := "select tinydev." + verb + "("
	for i, name := range names {
		if i > 0 {
			sql += ", "
		}
		sql += fmt.Sprintf("%s => $%d", name, i+1)
	}
	return sql + ")"
}

// CreateSubscription makes a subscription that begins with the next event; a webhook's secret is made here when none is given, since
// PostgreSQL 12 cannot. Errors: invalid subscription_invalid (field "field"), template_invalid, target_forbidden, command_unknown,
// condition_invalid, secret_invalid; not_found relation_not_found; forbidden not_readable, foreign_code; conflict
// subscription_name_taken, subscriptions_too_many.
func (u *User) CreateSubscription(ctx context.Context, s NewSubscription, dryRun bool) (Change[Subscription], error) {
	if u.checkOptions != nil && s.Options != nil {
		if err := u.checkOptions(s.Kind, s.Options); err != nil {
			return Change[Subscription]{}, err
		}
	}
	names, values := s.arguments()
	names, values = append(names, "name", "kind", "target", "dry_run"), append(values, s.Name, s.Kind, s.Target, dryRun)
	if s.Secret == "" && s.Kind == "webhook" && !dryRun {
		s.Secret = NewWebhookSecret()
	}
	if s.Secret != "" {
		names, values = append(names, "secret"), append(values, s.Secret)
	}
	return change[Subscription](ctx, u, "", call("create_subscription", names), values...)
}

// NewWebhookSecret gives a random secret as Standard Webhooks writes them: whsec_ and 32 bytes in base64.
func NewWebhookSecret() string {
	var secret [32]byte
	rand.Read(secret[:]) // never fails
	return "whsec_" + base64.StdEncoding.EncodeToString(secret[:])
}

// AlterSubscription changes a subscription; active false pauses it, true lets it go on where it stopped; nil stays.
// Errors: not_found subscription_not_found; those of CreateSubscription.
func (u *User) AlterSubscription(ctx context.Context, name string, target *string, c SubscriptionChange, active *bool, dryRun bool) (Change[Subscription], error) {
	if u.checkOptions != nil && c.Options != nil {
		old, err := u.DescribeSubscription(ctx, name)
		if err == nil {
			err = u.checkOptions(old.Kind, c.Options)
		}
		if err != nil {
			return Change[Subscription]{}, err
		}
	}
	names, values := c.arguments()
	names, values = append(names, "subscription", "dry_run"), append(values, name, dryRun)
	if target != nil {
		names, values = append(names, "target"), append(values, *target)
	}
	if active != nil {
		names, values = append(names, "active"), append(values, *active)
	}
	return change[Subscription](ctx, u, "", call("alter_subscription", names), values...)
}

// DroppedSubscription names the subscription that is gone.
type DroppedSubscription struct {
	Dropped string `json:"dropped"`
	Owner   string `json:"owner"`
}

// DropSubscription ends a subscription and removes its log. Errors: not_found subscription_not_found.
func (u *User) DropSubscription(ctx context.Context, name string, dryRun bool) (Change[DroppedSubscription], error) {
	return change[DroppedSubscription](ctx, u, "", "select tinydev.drop_subscription($1, $2)", name, dryRun)
}

// DescribeSubscription gives a subscription. Errors: not_found subscription_not_found.
func (u *User) DescribeSubscription(ctx context.Context, name string) (Subscription, error) {
	return decode[Subscription](ctx, u, "select tinydev.describe_subscription($1)", name)
}

// Subscriptions lists the subscriptions that the user may see, by subscription_id from the one after after; limit is 1..1000.
func (u *User) Subscriptions(ctx context.Context, after int64, limit int) ([]Subscription, error) {
	return decode[[]Subscription](ctx, u, `
select coalesce(pg_catalog.jsonb_agg(pg_catalog.to_jsonb(s) || tinydev_lib.delivery_counts(s.subscription_id) order by s.subscription_id), '[]')
  from (select * from tinydev.subscription where subscription_id > $1 order by subscription_id limit $2) s`, after, limit)
}

// Reach is what the servers that are up can deliver to.
type Reach struct {
	Servers  int      `json:"servers"`
	Kinds    []string `json:"kinds"`
	Commands []string `json:"commands"` // those that the owner may have run
}

// Reach tells what the servers that are up can deliver to for owner.
func (u *User) Reach(ctx context.Context, owner string) (Reach, error) {
	return decode[Reach](ctx, u, `
select r || pg_catalog.jsonb_build_object('commands', (
         select coalesce(pg_catalog.jsonb_agg(c order by c), '[]') from pg_catalog.jsonb_array_elements_text(r -> 'commands') c
          where tinydev_lib.may_run($1, tinydev_lib.delivery_reach('command', c) -> 'command_users')))
  from tinydev_lib.delivery_reach(null, null) r`, owner)
}

// RotatedSecret is the new secret of a webhook.
type RotatedSecret struct {
	Name           string    `json:"name"`
	Secret         string    `json:"secret" doc:"shown this once"`
	OldSecretUntil time.Time `json:"old_secret_until" doc:"until then the one before signs too"`
	Warnings       []string  `json:"warnings"`
}

// RotateSecret gives a webhook another secret, made here when it is ""; the one before signs too for keepSeconds.
// Errors: not_found subscription_not_found; invalid secret_invalid.
func (u *User) RotateSecret(ctx context.Context, name, secret string, keepSeconds int, dryRun bool) (Change[RotatedSecret], error) {
	if secret == "" && !dryRun {
		secret = NewWebhookSecret()
	}
	return change[RotatedSecret](ctx, u, "", "select tinydev.rotate_secret($1, nullif($2, ''), $3, $4)", name, secret, int4(keepSeconds), dryRun)
}

// TestedSubscription names the event that was written for a subscription alone.
type TestedSubscription struct {
	Name    string `json:"name"`
	Owner   string `json:"owner"`
	EventID int64  `json:"event_id" doc:"tinydev.event.event_id of subscription.tested"`
	// With one nobody can send it at the moment.
	Warnings []string `json:"warnings" doc:"why no server that is up can send it"`
	// Delivery is not set by TestSubscription.
	Delivery *Delivery `json:"delivery" doc:"how it went; null when nothing was tried yet"`
}

// TriedSubscription tells how one attempt for a subscription that is not saved ended.
type TriedSubscription struct {
	State      string  `json:"state" enum:"delivered,failed,gone"`
	StatusCode *int    `json:"status_code" doc:"of HTTP or SMTP, or the exit code of a command"`
	LatencyMS  int     `json:"latency_ms"`
	Error      *string `json:"error"`
	Response   *string `json:"response" doc:"beginning of what the target answered"`
	Secret     string  `json:"secret,omitempty" doc:"of a webhook that was given none: made for this attempt, so that the receiver's check can be tried; create the subscription with it to keep it"`
}

// TestSubscription writes subscription.tested, which goes to this subscription alone; TestedDelivery tells what becomes of it.
// Errors: not_found subscription_not_found; conflict subscription_paused.
func (u *User) TestSubscription(ctx context.Context, name string, dryRun bool) (Change[TestedSubscription], error) {
	return change[TestedSubscription](ctx, u, "", "select tinydev.test_subscription($1, $2)", name, dryRun)
}

// TestedDelivery gives the delivery of an event that TestSubscription wrote, which lies after a position of the log; nil while there
// is none. Errors: not_found subscription_not_found.
func (u *User) TestedDelivery(ctx context.Context, name string, eventID, after int64) (*Delivery, error) {
	list, err := u.deliveries(ctx, name, " and delivery_id = (select e.position from tinydev.event e where e.event_id = $2 and e.position > $3)", eventID, after)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return &list[0], nil
}

// Redelivery says what is to be sent once more: one delivery, or a range in a state.
type Redelivery struct {
	DeliveryID   *int64  `json:"delivery_id,omitempty" doc:"one delivery, in whatever state"`
	FromPosition *int64  `json:"from,omitempty" doc:"of a range, from this position"`
	ToPosition   *int64  `json:"to,omitempty" doc:"of a range, up to this position"`
	State        *string `json:"state,omitempty" doc:"of a range: dead (the default), failing, delivered or all"`
}

// Redelivered tells how many deliveries are sent once more.
type Redelivered struct {
	Name        string   `json:"name"`
	Owner       string   `json:"owner"`
	Redelivered int64    `json:"redelivered"`
	More        bool     `json:"more" doc:"whether there are more than one call takes"`
	Warnings    []string `json:"warnings"`
}

// Redeliver sends deliveries once more. Errors: not_found subscription_not_found, delivery_not_found; invalid redelivery_invalid.
func (u *User) Redeliver(ctx context.Context, name string, what Redelivery, dryRun bool) (Change[Redelivered], error) {
	return change[Redelivered](ctx, u, "", "select tinydev.redeliver($1, $2, $3, $4, $5, $6)", name, what.DeliveryID, what.FromPosition, what.ToPosition, what.State, dryRun)
}

// Replayed tells where a subscription goes on.
type Replayed struct {
	Name     string   `json:"name"`
	Owner    string   `json:"owner"`
	Position int64    `json:"position" doc:"all that fits and comes after it is sent"`
	Warnings []string `json:"warnings"`
}

// Replay puts a subscription's cursor at a position. Errors: not_found subscription_not_found; invalid position_invalid; conflict
// position_ahead, position_gone.
func (u *User) Replay(ctx context.Context, name string, after int64, dryRun bool) (Change[Replayed], error) {
	return change[Replayed](ctx, u, "", "select tinydev.replay($1, $2, $3)", name, after, dryRun)
}

// Delivery is one event for one subscription.
type Delivery struct {
	DeliveryID    int64      `json:"delivery_id" db:"delivery_id" doc:"position of the event"`
	Type          string     `json:"type" db:"type"`
	Subject       string     `json:"subject" db:"subject"`
	State         string     `json:"state" db:"state" enum:"pending,failing,delivered,dead"`
	AttemptCount  int        `json:"attempt_count" db:"attempt_count" doc:"attempts of the plan that were made"`
	NextAttemptAt *time.Time `json:"next_attempt_at" db:"next_attempt_at" doc:"null while an earlier one about the same subject waits, the subscription is paused, or no server delivers it, and when there is no next"`
	LastAttemptAt *time.Time `json:"last_attempt_at" db:"last_attempt_at"`
	StatusCode    *int       `json:"status_code" db:"status_code" doc:"of HTTP or SMTP, or the exit code of a command"`
	LatencyMS     *int       `json:"latency_ms" db:"latency_ms"`
	Error         *string    `json:"error" db:"error"`
	Response      *string    `json:"response" db:"response" doc:"beginning of what the target answered"`
}

// Attempt is one attempt to deliver.
type Attempt struct {
	Attempt       int        `json:"attempt" db:"attempt"`
	AttemptedAt   *time.Time `json:"attempted_at" db:"attempted_at"`
	Delivered     bool       `json:"delivered" db:"delivered"`
	StatusCode    *int       `json:"status_code" db:"status_code"`
	LatencyMS     *int       `json:"latency_ms" db:"latency_ms"`
	Error         *string    `json:"error" db:"error"`
	Response      *string    `json:"response" db:"response"`
	NextAttemptAt *time.Time `json:"next_attempt_at" db:"next_attempt_at"`
}

// DeliveryDetail is a delivery with its attempts and its event.
type DeliveryDetail struct {
	Delivery
	Attempts []Attempt       `json:"attempts" doc:"oldest first, the last 50"`
	Event    json.RawMessage `json:"event" doc:"CloudEvents 1.0, as you may see it now; null when it is gone"`
}

const deliveryColumns = "delivery_id, 'tinydev.' || type as type, subject, state, attempt_count, next_attempt_at, last_attempt_at, status_code, latency_ms, error, response"

// Deliveries lists the deliveries of a subscription, newest event first, from the one before delivery_id before (0 for the newest);
// state "" is all, and of one that there is not there are none. limit is 1..1000. Errors: not_found subscription_not_found.
func (u *User) Deliveries(ctx context.Context, name, state string, before int64, limit int) ([]Delivery, error) {
	filter := " and ($2 = 0 or delivery_id < $2)"
	switch state {
	case "":
	case "pending", "failing", "delivered", "dead":
		filter += " and state = '" + state + "'" // written out, as PostgreSQL asks for to use the index of a state
	default:
		filter += " and false"
	}
	return u.deliveries(ctx, name, filter+" order by delivery_id desc limit $3", before, limit)
}

// deliveries reads deliveries of a subscription; filter is SQL that begins with and, with its arguments from $2 on.
func (u *User) deliveries(ctx context.Context, name, filter string, args ...any) ([]Delivery, error) {
	session, err := u.sessions.Acquire(ctx, u.Role)
	if err != nil {
		return nil, err
	}
	defer session.Release()
	var id int64
	if err := session.QueryRow(ctx, "select s.subscription_id from tinydev_lib.find_subscription($1) s", name).Scan(&id); err != nil {
		return nil, postgres.Fault(err, "")
	}
	rows, err := session.Query(ctx, "select "+deliveryColumns+" from tinydev.delivery where subscription_id = $1"+filter, append([]any{id}, args...)...)
	if err != nil {
		return nil, postgres.Fault(err, "")
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Delivery])
	return list, session.Fault(err, "")
}

// DescribeDelivery gives a delivery with its attempts. Errors: not_found subscription_not_found, delivery_not_found.
func (u *User) DescribeDelivery(ctx context.Context, name string, deliveryID int64) (DeliveryDetail, error) {
	return decode[DeliveryDetail](ctx, u, "select tinydev.describe_delivery($1, $2)", name, deliveryID)
}
