package control

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

// AuditEntry is one act in the audit.
type AuditEntry struct {
	AuditID   int64          `json:"audit_id" db:"audit_id"`
	At        time.Time      `json:"at" db:"at"`
	Actor     string         `json:"actor" db:"actor" doc:"role that did it"`
	Door      string         `json:"door" db:"door" enum:"http,sql,job,server" doc:"how it came: a session of the server, any other client, pg_cron, the server itself"`
	Action    string         `json:"action" db:"action" doc:"command in lower case, such as create table, or noun.verb, such as token.created"`
	Subject   string         `json:"subject" db:"subject" doc:"what it was done to"`
	SQLSHA256 *string        `json:"sql_sha256" db:"sql_sha256" doc:"SHA-256 of the definition that came out, else of the client's statement; null where there is none"`
	Detail    map[string]any `json:"detail" db:"detail" doc:"more, by action"`
}

// AuditFilter narrows the audit; zero values let all through.
type AuditFilter struct {
	Actor, Action string
	Since         time.Time
}

// Audit lists acts, newest first, from the one before audit_id before (0: from the newest); limit is 1..1000.
// Errors: forbidden admin_only.
func (u *User) Audit(ctx context.Context, filter AuditFilter, before int64, limit int) ([]AuditEntry, error) {
	session, err := u.sessions.Acquire(ctx, u.Role)
	if err != nil {
		return nil, err
	}
	defer session.Release()
	if _, err := session.Exec(ctx, "select tinydev_lib.require_admin()"); err != nil {
		return nil, postgres.Fault(err, "")
	}
	var since *time.Time
	if !filter.Since.IsZero() {
		since = &filter.Since
	}
	rows, err := session.Query(ctx, `
select audit_id, at, actor, door, action, subject, sql_sha256, detail
  from tinydev.audit
 where ($1 = 0 or audit_id < $1) and ($2 = '' or actor = $2) and ($3 = '' or action = $3) and ($4::timestamptz is null or at >= $4)
 order by audit_id desc limit $5`, before, filter.Actor, filter.Action, since, limit)
	if err != nil {
		return nil, postgres.Fault(err, "")
	}
	entries, err := pgx.CollectRows(rows, pgx.RowToStructByName[AuditEntry])
	return entries, postgres.Fault(err, "")
}
