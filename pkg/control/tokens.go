package control

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

// NewToken describes a token to make.
type NewToken struct {
	Name      string     `json:"name" doc:"where it is used, such as laptop" minLength:"1" maxLength:"100"`
	User      string     `json:"user,omitempty" doc:"whom it speaks for; default you, others for administrators" maxLength:"63"`
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"default never"`
	ReadOnly  bool       `json:"read_only,omitempty" doc:"refuse all that changes something"`
	Scopes    []string   `json:"scopes,omitempty" doc:"groups of calls that it is good for, such as tables or jobs:read; default all. A scope that lets in SQL, such as views, is as good as the user's psql" nullable:"false"`
}

// MadeToken is a token that was made.
type MadeToken struct {
	TokenID   int64      `json:"token_id"`
	Token     string     `json:"token" doc:"the token itself, which is shown this once"`
	User      string     `json:"user" doc:"whom it speaks for"`
	Name      string     `json:"name"`
	Prefix    string     `json:"prefix" doc:"how the token begins"`
	ReadOnly  bool       `json:"read_only"`
	Scopes    []string   `json:"scopes" doc:"null is all"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at" doc:"null is never"`
}

// CreateToken makes a token of which the caller has the secret: the database gets its SHA-256 in hexadecimal and its prefix.
// Errors: forbidden admin_only, not_a_user; conflict token_name_taken, tokens_too_many; invalid token_invalid, scope_unknown.
func (u *User) CreateToken(ctx context.Context, t NewToken, sha256, prefix string, dryRun bool) (Change[MadeToken], error) {
	return change[MadeToken](ctx, u, "", "select tinydev.create_token($1, nullif($2, ''), $3, $4, $5, $6, $7, $8)",
		t.Name, t.User, t.ExpiresAt, t.ReadOnly, t.Scopes, sha256, prefix, dryRun)
}

// RevokedToken names a token that was revoked.
type RevokedToken struct {
	TokenID int64  `json:"revoked" doc:"token_id"`
	User    string `json:"user"`
	Name    string `json:"name"`
}

// RevokeToken revokes a token or ends a page session. Errors: not_found token_not_found.
func (u *User) RevokeToken(ctx context.Context, tokenID int64, dryRun bool) (Change[RevokedToken], error) {
	return change[RevokedToken](ctx, u, "", "select tinydev.revoke_token($1::bigint, $2)", tokenID, dryRun)
}

// Kinds of tokens.
const (
	APIToken    = "token"
	PageSession = "session"
)

// Token is a token or a page session, without its secret.
type Token struct {
	TokenID    int64      `json:"token_id" db:"token_id"`
	User       string     `json:"user" db:"user_name" doc:"whom it speaks for"`
	Kind       string     `json:"kind" db:"kind" enum:"token,session" doc:"session is a browser that is signed in to the pages"`
	Name       string     `json:"name" db:"name" doc:"of a session, what it was opened with"`
	Prefix     string     `json:"prefix" db:"prefix" doc:"how the token begins"`
	ReadOnly   bool       `json:"read_only" db:"read_only"`
	Scopes     []string   `json:"scopes" db:"scopes" doc:"null is all"`
	CreatedAt  time.Time  `json:"created_at" db:"created_at"`
	CreatedBy  *string    `json:"created_by" db:"created_by" doc:"null for the first token of a server, and for sessions"`
	ExpiresAt  *time.Time `json:"expires_at" db:"expires_at" doc:"null is never"`
	LastUsedAt *time.Time `json:"last_used_at" db:"last_used_at" doc:"to the minute; null is never"`
	OpenedWith *int64     `json:"opened_with" db:"opened_with" doc:"token_id of the token that a session ends with"`
	Sessions   int64      `json:"sessions" db:"sessions" doc:"page sessions that are open with it"`
}

// Tokens lists the user's tokens or page sessions, for administrators everybody's, by token_id from the one after after. user ""
// is all of them; limit is 1..1000.
func (u *User) Tokens(ctx context.Context, kind, user string, after int64, limit int) ([]Token, error) {
	session, err := u.sessions.Acquire(ctx, u.Role)
	if err != nil {
		return nil, err
	}
	defer session.Release()
	rows, err := session.Query(ctx, `
select token_id, user_name, kind, name, prefix, read_only, scopes, created_at, created_by, expires_at, last_used_at, opened_with, sessions
  from tinydev.token
 where token_id > $1 and kind = $2 and ($3 = '' or user_name = $3)
 order by token_id limit $4`, after, kind, user, limit)
	if err != nil {
		return nil, postgres.Fault(err, "")
	}
	tokens, err := pgx.CollectRows(rows, pgx.RowToStructByName[Token])
	return tokens, postgres.Fault(err, "")
}
