package control

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

// CreateView makes a materialized view and fills it. Errors: conflict name_taken; invalid query_invalid with fields line, column and
// position in query; forbidden not_your_workspace, foreign_code with fields owner and runs.
func (u *User) CreateView(ctx context.Context, name, query string, dryRun bool) (Change[Relation], error) {
	return change[Relation](ctx, u, query, "select tinydev.create_view($1, $2, $3)", name, query, dryRun)
}

// ReplaceView gives a materialized view another query and keeps its indexes, grants, comments and job.
// Errors: as CreateView; not_found view_not_found; forbidden not_owner; conflict in_use; invalid cannot_keep.
func (u *User) ReplaceView(ctx context.Context, name, query string, dryRun bool) (Change[Relation], error) {
	return change[Relation](ctx, u, query, "select tinydev.replace_view($1, $2, $3)", name, query, dryRun)
}

// DescribeView gives a materialized view. Errors: not_found view_not_found; invalid not_a_view; forbidden not_readable.
func (u *User) DescribeView(ctx context.Context, name string) (Relation, error) {
	return decode[Relation](ctx, u, "select tinydev.describe($1, 'view')", name)
}

// DropView drops a materialized view and its job. Errors: not_found view_not_found; forbidden not_owner; conflict in_use.
func (u *User) DropView(ctx context.Context, name string, dryRun bool) (Change[Dropped], error) {
	return change[Dropped](ctx, u, "", "select tinydev.drop_view($1, $2)", name, dryRun)
}

// MissingIndex gives the SQL that makes the unique index without which readers wait for each refresh of a view, by its full name; "" where
// there is one.
func (u *User) MissingIndex(ctx context.Context, view string) (string, error) {
	session, err := u.sessions.Acquire(ctx, u.Role)
	if err != nil {
		return "", err
	}
	defer session.Release()
	var statement string
	err = session.QueryRow(ctx, "select coalesce(m.statement, '') from tinydev_lib.find_relation($1, 'any') f, tinydev_lib.missing_index(f.relation_id) m", view).Scan(&statement)
	return statement, postgres.Fault(err, "")
}

// Refreshed tells of one refresh.
type Refreshed struct {
	View           string `json:"view,omitempty"`
	RunID          int64  `json:"run_id"`
	JobID          *int64 `json:"job_id" doc:"null for a view without a job"`
	Rows           int64  `json:"rows" doc:"rows in the view afterwards"`
	Bytes          int64  `json:"bytes" doc:"size of the view afterwards, without its indexes"`
	DurationMS     int64  `json:"duration_ms"`
	Cause          string `json:"cause" enum:"manual,schedule,upstream,retry,missed"`
	Concurrently   bool   `json:"concurrently" doc:"whether readers were left unblocked"`
	ReadersBlocked bool   `json:"readers_blocked" doc:"whether who reads it had to wait: it held something, and has no unique index"`
	Inserted       *int64 `json:"inserted" doc:"rows inserted; null where not known"`
	Deleted        *int64 `json:"deleted" doc:"rows deleted; null where not known"`
	Changed        *bool  `json:"changed" doc:"whether anything changed; null where not known"`
	Added          *int64 `json:"added,omitempty" doc:"rows whose key is new; of jobs that track changes, where known"`
	Removed        *int64 `json:"removed,omitempty" doc:"rows whose key is gone; of jobs that track changes, where known"`
	Updated        *int64 `json:"updated,omitempty" doc:"rows whose key stayed and whose values did not; of jobs that track changes, where known"`
}

// Refresh refreshes a materialized view now. A failure is recorded as view.failed and returned.
// Errors: not_found view_not_found; forbidden not_owner, foreign_code; invalid not_a_view; whatever the view's query raises.
func (u *User) Refresh(ctx context.Context, name string, dryRun bool) (Change[Refreshed], error) {
	return u.refresh(ctx, dryRun, "select f.full_name, pg_catalog.format('call tinydev.refresh(%L)', f.full_name) from tinydev_lib.find_refreshable($1) f", name)
}

// refresh makes a call that find gives beside the view's name.
func (u *User) refresh(ctx context.Context, dryRun bool, find string, key any) (Change[Refreshed], error) {
	var c Change[Refreshed]
	session, err := u.sessions.Acquire(ctx, u.Role)
	if err != nil {
		return c, err
	}
	defer session.Release()
	var full, call string
	if err := session.QueryRow(ctx, find, key).Scan(&full, &call); err != nil {
		return c, session.Fault(err, "")
	}
	if dryRun {
		c.SQL = []string{call + ";"}
		return c, nil
	}
	// On its own, so that the procedure can commit the record of a failure.
	if _, err := session.Exec(ctx, call); err != nil {
		return c, fmt.Errorf("refresh %s: %w", full, session.Fault(err, ""))
	}
	var body []byte
	if err := session.QueryRow(ctx, "select pg_catalog.current_setting('tinydev.last_refresh')").Scan(&body); err != nil {
		return c, session.Fault(err, "")
	}
	if err := json.Unmarshal(body, &c.Made); err != nil {
		return c, fmt.Errorf("decode the refresh of %s: %w", full, err)
	}
	c.Made.View = full
	return c, nil
}
