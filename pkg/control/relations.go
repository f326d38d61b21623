package control

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Column is a column of a table or view.
type Column struct {
	Name       string `json:"name" doc:"name, exactly as PostgreSQL has it"`
	Type       string `json:"type" doc:"PostgreSQL type, such as numeric(12,2)"`
	Nullable   bool   `json:"nullable" doc:"whether it may be NULL"`
	HasDefault bool   `json:"has_default" doc:"whether a load may leave it out"`
	Generated  bool   `json:"generated" doc:"whether a load cannot set it"`
}

// Relation is a table or view in full.
type Relation struct {
	Name         string   `json:"name" doc:"workspace.name, quoted as in SQL"`
	Kind         string   `json:"kind" enum:"table,view,materialized view,foreign table"`
	Owner        string   `json:"owner"`
	Columns      []Column `json:"columns"`
	Rows         *int64   `json:"rows,omitempty" doc:"exact number of rows, where it was counted"`
	RowEstimate  int64    `json:"row_estimate" doc:"the planner's estimate; -1 or 0 when never analysed"`
	Bytes        int64    `json:"bytes" doc:"size on disk with indexes"`
	Populated    bool     `json:"populated" doc:"false for a materialized view that was never filled"`
	Concurrently bool     `json:"concurrently" doc:"whether a refresh leaves readers unblocked"`
	Query        string   `json:"query,omitempty" doc:"the query of a view, as PostgreSQL prints it"`
	Indexes      []string `json:"indexes" doc:"the SQL that made each index"`
	Comment      string   `json:"comment,omitempty"`
}

// RelationSummary is a line of a list of tables or views.
type RelationSummary struct {
	Name         string `json:"name" db:"full_name"`
	Kind         string `json:"kind" db:"kind"`
	Owner        string `json:"owner" db:"owner"`
	Populated    bool   `json:"populated" db:"is_populated"`
	RowEstimate  int64  `json:"row_estimate" db:"row_estimate"`
	Bytes        int64  `json:"bytes" db:"total_bytes"`
	Concurrently bool   `json:"concurrently" db:"can_refresh_concurrently"`
	Comment      string `json:"comment,omitempty" db:"comment"`
	Stale        bool   `json:"stale" db:"is_stale" doc:"whether it is older than was promised; false where nothing was"`
}

// Kinds of relations to list.
const (
	Tables = "table"             // tables, partitioned and foreign ones among them
	Views  = "materialized view" // materialized views
)

// Relations lists the tables or the materialized views (kind is Tables or Views) that the user may read, by name, from the one
// after the name after; limit is 1..1000.
func (u *User) Relations(ctx context.Context, kind, after string, limit int) ([]RelationSummary, error) {
	session, err := u.sessions.Acquire(ctx, u.Role)
	if err != nil {
		return nil, err
	}
	defer session.Release()
	rows, err := session.Query(ctx, `
select pg_catalog.format('%I.%I', r.workspace, r.name) as full_name, r.kind, r.owner, r.is_populated, r.row_estimate, r.total_bytes,
       r.can_refresh_concurrently, coalesce(r.comment, '') as comment, coalesce(f.is_stale, false) as is_stale
  from tinydev.relation r left join tinydev.freshness f on f.relation_id = r.relation_id
 where (r.kind = $1 or $1 = 'table' and r.kind = 'foreign table')
   and ($2 = '' or (r.workspace, r.name) > (select p.workspace, p.relation from tinydev_lib.parse_name($2) p))
 order by r.workspace, r.name limit $3`, kind, after, limit)
	if err != nil {
		return nil, session.Fault(err, "")
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[RelationSummary])
	if err != nil {
		return nil, fmt.Errorf("list the relations: %w", session.Fault(err, ""))
	}
	return list, nil
}

// CreateTable makes a table. Errors: conflict name_taken; invalid name_invalid, columns_invalid, type_unknown; forbidden not_your_workspace.
func (u *User) CreateTable(ctx context.Context, name string, columns []Column, dryRun bool) (Change[Relation], error) {
	return change[Relation](ctx, u, "", "select tinydev.create_table($1, $2, $3)", name, columns, dryRun)
}

// DescribeTable gives a table. Errors: not_found table_not_found; invalid not_a_table; forbidden not_readable.
func (u *User) DescribeTable(ctx context.Context, name string) (Relation, error) {
	return decode[Relation](ctx, u, "select tinydev.describe($1, 'table')", name)
}

// DropTable drops a table. Errors: not_found table_not_found; forbidden not_owner; conflict in_use with fields.dependents.
func (u *User) DropTable(ctx context.Context, name string, dryRun bool) (Change[Dropped], error) {
	return change[Dropped](ctx, u, "", "select tinydev.drop_table($1, $2)", name, dryRun)
}

// Dropped names what was dropped.
type Dropped struct {
	Dropped string `json:"dropped"`
}
