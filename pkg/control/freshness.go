package control

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Freshness is a promise of how old a table or materialized view may be, and how old it is.
type Freshness struct {
	Relation      string     `json:"relation" db:"relation" doc:"workspace.name, quoted as in SQL"`
	Kind          string     `json:"kind" db:"kind" enum:"table,materialized view,foreign table"`
	Owner         string     `json:"owner" db:"owner"`
	MaxAgeSeconds int        `json:"max_age_seconds" db:"max_age_seconds" doc:"how old it may be"`
	FreshAt       time.Time  `json:"fresh_at" db:"fresh_at" doc:"its last refresh or load; of one that never was, when this was promised"`
	AgeSeconds    int64      `json:"age_seconds" db:"age_seconds" doc:"how long that is ago"`
	IsStale       bool       `json:"is_stale" db:"is_stale" doc:"whether it is older than promised"`
	StaleSince    *time.Time `json:"stale_since" db:"stale_since" doc:"since when it is; null while it is fresh"`
	PromisedAt    time.Time  `json:"promised_at" db:"promised_at" doc:"when it was first promised"`
}

// Freshnesses lists what the user's relations, and those the user may read, are promised not to be older than; for administrators
// all. relation, when it is not empty, is the only one told of. They come by name, from the one after the name after; limit is 1..1000.
// Errors: invalid name_invalid.
func (u *User) Freshnesses(ctx context.Context, relation, after string, limit int) ([]Freshness, error) {
	session, err := u.sessions.Acquire(ctx, u.Role)
	if err != nil {
		return nil, err
	}
	defer session.Release()
	rows, err := session.Query(ctx, `
select f.relation, f.kind, f.owner::text, f.max_age_seconds, f.fresh_at, f.age_seconds, f.is_stale, f.stale_since, f.promised_at
  from tinydev.freshness f
 where ($1 = '' or f.relation = (select pg_catalog.format('%I.%I', p.workspace, p.relation) from tinydev_lib.parse_name($1) p)) and f.relation collate "C" > $2
 order by f.relation collate "C" limit $3`, relation, after, limit)
	if err != nil {
		return nil, session.Fault(err, "")
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Freshness])
	if err != nil {
		return nil, fmt.Errorf("list the promises of freshness: %w", session.Fault(err, ""))
	}
	return list, nil
}

// SetFreshness promises that a table or materialized view of the user's is never older than maxAgeSeconds, 1 to 315360000, or changes
// that promise. Breach and recovery are events: view.stale, view.fresh, table.stale, table.fresh.
// Errors: not_found relation_not_found; forbidden not_owner; invalid freshness_invalid, not_a_view, name_invalid.
func (u *User) SetFreshness(ctx context.Context, relation string, maxAgeSeconds int, dryRun bool) (Change[Freshness], error) {
	return change[Freshness](ctx, u, "", "select tinydev.set_freshness($1, $2, $3)", relation, maxAgeSeconds, dryRun)
}

// DropFreshness takes a promise back. Errors: not_found freshness_not_found, relation_not_found; forbidden not_owner.
func (u *User) DropFreshness(ctx context.Context, relation string, dryRun bool) (Change[Dropped], error) {
	return change[Dropped](ctx, u, "", "select tinydev.drop_freshness($1, $2)", relation, dryRun)
}
