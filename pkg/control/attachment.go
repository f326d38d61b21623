package control

import (
	"context"
	"encoding/json"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// Attachment is the beginning of a table or view, to go along with an event.
type Attachment struct {
	Relation  string              `json:"relation" doc:"workspace.name"`
	Columns   []AttachedColumn    `json:"columns,omitempty"`
	Rows      [][]json.RawMessage `json:"rows,omitempty" doc:"cells in the order of columns"`
	Truncated bool                `json:"truncated" doc:"whether there are more rows"`
	Error     string              `json:"error,omitempty" doc:"code of the reason why there are none"`
}

// AttachedColumn is one column of an Attachment.
type AttachedColumn struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// attachSeconds is how long the rows of an Attachment may take.
const attachSeconds = 10

// Attachment reads up to maxRows rows of a table or view, and up to maxBytes of their JSON, in PostgreSQL's order,
// within 10 s.
// Errors: not_found relation_not_found; forbidden not_readable, foreign_code; unavailable statement_timeout; those of the query.
func (u *User) Attachment(ctx context.Context, name string, maxRows, maxBytes int) (Attachment, error) {
	var a Attachment
	session, err := u.sessions.Acquire(ctx, u.Role)
	if err != nil {
		return a, err
	}
	defer session.Release()
	tx, err := session.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if err != nil {
		return a, session.Fault(err, "")
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	var columns []byte
	if err := tx.QueryRow(ctx, "select d ->> 'name', d -> 'columns' from tinydev.describe($1) d", name).Scan(&a.Relation, &columns); err != nil {
		return a, session.Fault(err, "")
	}
	if err := json.Unmarshal(columns, &a.Columns); err != nil {
		return a, err
	}
	limit := attachSeconds
	if own := session.Limits.StatementSeconds; own > 0 {
		limit = min(limit, own)
	}
	const check = "select tinydev_lib.require_data($1::text::regclass), pg_catalog.set_config('statement_timeout', $2, true)"
	if _, err := tx.Exec(ctx, check, a.Relation, strconv.Itoa(limit)+"s"); err != nil {
		return a, session.Fault(err, "")
	}
	rows, err := tx.Query(ctx, "select pg_catalog.to_jsonb(t)::text from "+a.Relation+" t limit $1", maxRows+1)
	if err != nil {
		return a, session.Fault(err, "")
	}
	defer rows.Close()
	a.Rows = [][]json.RawMessage{}
	for size := 0; rows.Next(); {
		text := rows.RawValues()[0]
		if size += len(text); len(a.Rows) == maxRows || size > maxBytes {
			a.Truncated = true
			break
		}
		var object map[string]json.RawMessage
		if err := json.Unmarshal(text, &object); err != nil {
			return a, err
		}
		row := make([]json.RawMessage, len(a.Columns))
		for i, c := range a.Columns {
			row[i] = object[c.Name]
		}
		a.Rows = append(a.Rows, row)
	}
	rows.Close()
	return a, session.Fault(rows.Err(), "")
}
