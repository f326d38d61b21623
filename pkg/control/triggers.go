package control

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

// NewTrigger describes a trigger to make.
type NewTrigger struct {
	Name      string   `json:"name" doc:"1 to 63 of a-z, 0-9 and _, beginning with a letter" minLength:"1" maxLength:"63"`
	View      string   `json:"view,omitempty" doc:"table or view that you may read; default all of your workspace" maxLength:"300"`
	Types     []string `json:"types,omitempty" doc:"types of events, such as view.refreshed or view.*; default all" maxItems:"20" nullable:"false"`
	Condition string   `json:"condition,omitempty" doc:"SQL/JSON path predicate over the event's data that compares single values, such as $.rows > 0, or one of the words always, not empty and changed" maxLength:"2000"`
	Channel   string   `json:"channel,omitempty" doc:"what is notified; default your name, _ and the trigger's" maxLength:"63"`
}

// States of a trigger.
const (
	TriggerActive  = "active"
	TriggerPending = "pending"
	TriggerFailed  = "failed"
)

// Trigger is a trigger on the log that notifies a channel.
type Trigger struct {
	Owner       string   `json:"owner" db:"owner"`
	Name        string   `json:"name" db:"name"`
	View        *string  `json:"view" db:"view" doc:"null is all of the owner's workspace"`
	Types       []string `json:"types" db:"types" doc:"null is all"`
	Condition   *string  `json:"condition" db:"condition" doc:"as PostgreSQL writes it; null is none"`
	Channel     string   `json:"channel" db:"channel"`
	Listen      string   `json:"listen" db:"listen" doc:"the SQL statement that listens to the channel"`
	State       string   `json:"state" db:"state" enum:"active,pending,failed" doc:"pending until the next events are placed, of which it misses none"`
	Error       *string  `json:"error" db:"error" doc:"why it failed; null when it did not"`
	TriggerName string   `json:"trigger_name" db:"trigger_name" doc:"its name on tinydev_impl.event"`
}

// Key is where the trigger stands in the list of all.
func (t Trigger) Key() string { return t.Owner + "." + t.Name }

// Triggers lists the user's triggers, for administrators everybody's, from the one after the key after; limit is 1..1000.
func (u *User) Triggers(ctx context.Context, after string, limit int) ([]Trigger, error) {
	session, err := u.sessions.Acquire(ctx, u.Role)
	if err != nil {
		return nil, err
	}
	defer session.Release()
	rows, err := session.Query(ctx, `
select owner, name, view, types, condition, channel, listen, state, error, trigger_name
  from tinydev.trigger
 where concat(owner, '.', name) collate "C" > $1
 order by concat(owner, '.', name) collate "C", state limit $2`, after, limit)
	if err != nil {
		return nil, postgres.Fault(err, "")
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Trigger])
	if err != nil {
		return nil, fmt.Errorf("list the triggers: %w", postgres.Fault(err, ""))
	}
	return list, nil
}

// CreateTrigger makes a real SQL trigger on the log, which notifies a channel with the position of each event that fits and that the
// user may see when it is placed. It misses none that is committed after this returns; its State is pending until they are placed.
// Errors: invalid trigger_invalid, condition_invalid, name_invalid; not_found relation_not_found; forbidden not_readable; conflict
// trigger_name_taken, triggers_too_many.
func (u *User) CreateTrigger(ctx context.Context, t NewTrigger, dryRun bool) (Change[Trigger], error) {
	return change[Trigger](ctx, u, "", "select tinydev.create_trigger($1, nullif($2, ''), $3, nullif($4, ''), nullif($5, ''), $6)",
		t.Name, t.View, t.Types, t.Condition, t.Channel, dryRun)
}

// DroppedTrigger names a trigger that was dropped.
type DroppedTrigger struct {
	Dropped string `json:"dropped"`
	Owner   string `json:"owner"`
}

// DropTrigger removes a trigger of the user's, for administrators another's as owner.name. It is silent from then on.
// Errors: not_found trigger_not_found.
func (u *User) DropTrigger(ctx context.Context, name string, dryRun bool) (Change[DroppedTrigger], error) {
	return change[DroppedTrigger](ctx, u, "", "select tinydev.drop_trigger($1, $2)", name, dryRun)
}
