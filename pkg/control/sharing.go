package control

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

// Everyone stands for all users where a grantee is named.
const Everyone = "everyone"

// Grant is one privilege on one table or view.
type Grant struct {
	Relation  string  `json:"relation" db:"relation" doc:"workspace.name, quoted as in SQL"`
	Kind      string  `json:"kind" db:"kind" enum:"table,view,materialized view,foreign table"`
	Owner     string  `json:"owner" db:"owner"`
	Grantee   string  `json:"grantee" db:"grantee" doc:"a role, everyone (all users) or public (all roles of PostgreSQL)"`
	Privilege string  `json:"privilege" db:"privilege" enum:"select,insert,update,delete,truncate,references,trigger,maintain"`
	Column    *string `json:"column" db:"column" doc:"the column that it is about; null for all"`
	GrantedBy string  `json:"granted_by" db:"granted_by"`
	Key       string  `json:"-" db:"key"` // its place in the list
}

// Grants lists what the user shares and what is shared with the user or everyone, in the order of Key, from the one after the key
// after; relation, when it is not empty, is the only one told of. limit is 1..1000. A grant made in psql is there at once.
// Errors: invalid name_invalid.
func (u *User) Grants(ctx context.Context, relation, after string, limit int) ([]Grant, error) {
	session, err := u.sessions.Acquire(ctx, u.Role)
	if err != nil {
		return nil, err
	}
	defer session.Release()
	rows, err := session.Query(ctx, `
select * from (
  select g.relation, g.kind, g.owner::text, g.grantee, g.privilege, g."column"::text, g.granted_by::text,
         pg_catalog.concat_ws('/', g.relation, g.grantee, g.privilege, coalesce(g."column", ''), g.granted_by) collate "C" as key
    from tinydev.grant g
   where $1 = '' or (g.workspace, g.name) = (select p.workspace, p.relation from tinydev_lib.parse_name($1) p)
) g where g.key > $2 order by g.key limit $3`, relation, after, limit)
	if err != nil {
		return nil, postgres.Fault(err, "")
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Grant])
	if err != nil {
		return nil, fmt.Errorf("list the grants: %w", postgres.Fault(err, ""))
	}
	return list, nil
}

// Shared tells of what was granted.
type Shared struct {
	Relation  string `json:"relation"`
	To        string `json:"to"`
	Privilege string `json:"privilege"`
}

// Share grants privilege (select, insert, update, delete, all) on a table or view of the user's to another user or Everyone.
// Errors: not_found relation_not_found, user_not_found; forbidden not_owner; invalid privilege_invalid, grantee_invalid.
func (u *User) Share(ctx context.Context, relation, to, privilege string, dryRun bool) (Change[Shared], error) {
	return change[Shared](ctx, u, "", "select tinydev.share($1, $2, $3, $4)", relation, to, privilege, dryRun)
}

// Unshared tells of what was revoked.
type Unshared struct {
	Relation  string   `json:"relation"`
	From      string   `json:"from"`
	Privilege string   `json:"privilege"`
	Warnings  []string `json:"warnings" doc:"what they may still do in another way, and who else loses it"`
}

// Unshare takes a grant back; with the privilege all or select all of them. Errors: as Share; not_found
// grant_not_found; conflict still_shared when it came from another than the owner.
func (u *User) Unshare(ctx context.Context, relation, from, privilege string, dryRun bool) (Change[Unshared], error) {
	return change[Unshared](ctx, u, "", "select tinydev.unshare($1, $2, $3, $4)", relation, from, privilege, dryRun)
}

// Trusted is an owner whose code may run with the user's rights.
type Trusted struct {
	Owner     string    `json:"owner" db:"owner"`
	TrustedAt time.Time `json:"trusted_at" db:"trusted_at"`
}

// Trusts lists whom the user trusts, by name, from the one after the name after; limit is 1..1000.
func (u *User) Trusts(ctx context.Context, after string, limit int) ([]Trusted, error) {
	session, err := u.sessions.Acquire(ctx, u.Role)
	if err != nil {
		return nil, err
	}
	defer session.Release()
	rows, err := session.Query(ctx, `
select t.owner::text, t.trusted_at from tinydev.trusted t where t.owner > $1 order by t.owner limit $2`, after, limit)
	if err != nil {
		return nil, postgres.Fault(err, "")
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Trusted])
	if err != nil {
		return nil, fmt.Errorf("list whom %s trusts: %w", u.Role, postgres.Fault(err, ""))
	}
	return list, nil
}

// Trust lets code of another owner run with the user's rights when the user reads or writes what is the owner's.
// Errors: not_found user_not_found; invalid trust_invalid.
func (u *User) Trust(ctx context.Context, owner string, dryRun bool) (Change[Trusted], error) {
	return change[Trusted](ctx, u, "", "select tinydev.trust($1, $2)", owner, dryRun)
}

// Untrusted names the owner who is trusted no more.
type Untrusted struct {
	Untrusted string `json:"untrusted"`
}

// Untrust takes Trust back. Errors: not_found trust_not_found.
func (u *User) Untrust(ctx context.Context, owner string, dryRun bool) (Change[Untrusted], error) {
	return change[Untrusted](ctx, u, "", "select tinydev.untrust($1, $2)", owner, dryRun)
}
