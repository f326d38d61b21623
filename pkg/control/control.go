// Package control has one method for each SQL verb, with the verb's name: it opens a session of the user, calls the function
// in schema tinydev, and decodes the answer. It decides nothing.
package control

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

// Control opens users' sessions.
type Control struct {
	sessions *postgres.Sessions
	// CheckOptions looks at the options of a kind of subscription before they are stored, for what PostgreSQL cannot check, such as the
	// templates of e-mail; nil checks nothing. Set it before the first use.
	CheckOptions func(kind string, options json.RawMessage) error
}

// New makes a Control over sessions.
func New(sessions *postgres.Sessions) *Control { return &Control{sessions: sessions} }

// User is a Control that acts as one user, in sessions of that role.
type User struct {
	sessions     *postgres.Sessions
	checkOptions func(kind string, options json.RawMessage) error
	Role         string
}

// As gives a Control that acts as role.
func (c *Control) As(role string) *User {
	return &User{sessions: c.sessions, checkOptions: c.CheckOptions, Role: role}
}

// Change is the answer to a changing call: what it made, or for a dry run the SQL that it would have run.
type Change[T any] struct {
	Made T
	SQL  []string // set by a dry run only
}

// ask runs a query that gives one value and scans it. userText is the user's own SQL in it, for the position of errors.
func ask[T any](ctx context.Context, u *User, userText, query string, args ...any) (T, error) {
	var v T
	session, err := u.sessions.Acquire(ctx, u.Role)
	if err != nil {
		return v, err
	}
	defer session.Release()
	if err := session.QueryRow(ctx, query, args...).Scan(&v); err != nil {
		return v, session.Fault(err, userText)
	}
	return v, nil
}

// change runs a verb that answers with jsonb, and decodes it.
func change[T any](ctx context.Context, u *User, userText, query string, args ...any) (Change[T], error) {
	var c Change[T]
	body, err := ask[[]byte](ctx, u, userText, query, args...)
	if err != nil {
		return c, err
	}
	var plan struct {
		SQL []string `json:"sql"`
	}
	if err := json.Unmarshal(body, &plan); err != nil {
		return c, fmt.Errorf("decode the answer: %w", err)
	}
	if plan.SQL != nil {
		c.SQL = plan.SQL
		return c, nil
	}
	if err := json.Unmarshal(body, &c.Made); err != nil {
		return c, fmt.Errorf("decode the answer: %w", err)
	}
	return c, nil
}

// decode runs a query that answers with jsonb, and decodes it.
func decode[T any](ctx context.Context, u *User, query string, args ...any) (T, error) {
	var v T
	body, err := ask[[]byte](ctx, u, "", query, args...)
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(body, &v); err != nil {
		return v, fmt.Errorf("decode the answer: %w", err)
	}
	return v, nil
}
