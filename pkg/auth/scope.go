package auth

import (
	"slices"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// Need is what a call asks of a token.
type Need struct {
	Scope string // the group that the call belongs to, such as views
	Reads bool   // it changes nothing
	Whole bool   // it could widen what a token may do, such as making another, and so needs one without scopes
}

// Word gives the narrowest scope that is enough: views or views:read; "" when none is.
func (n Need) Word() string {
	switch {
	case n.Whole:
		return ""
	case n.Reads:
		return n.Scope + ":read"
	default:
		return n.Scope
	}
}

// Permits gives nil when a principal may make a call, as far as its token goes; what its role may do PostgreSQL decides.
//
// Scopes narrow calls, not SQL: whoever may make a view may put any SQL in it, and so do what the user may do in psql.
// Errors: forbidden token_read_only, token_scope.
func (p Principal) Permits(n Need) error {
	if p.ReadOnly && !n.Reads {
		return fault.New(fault.Forbidden, "token_read_only", "you signed in with a token that only reads").
			WithHint("use one that may change something: tinydev token create, without --read-only")
	}
	switch {
	case p.Scopes == nil, !n.Whole && (slices.Contains(p.Scopes, n.Scope) || slices.Contains(p.Scopes, n.Word())):
		return nil
	case n.Whole:
		return fault.New(fault.Forbidden, "token_scope", "this needs a token without scopes").WithHint("use one that was made without --scope")
	default:
		return fault.New(fault.Forbidden, "token_scope", "the token lacks the scope %s", n.Word()).
			WithHint("make one with it: tinydev token create --scope %s", n.Word()).With("scope", n.Word())
	}
}
