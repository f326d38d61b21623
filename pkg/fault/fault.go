// Package fault holds the one error type that crosses packages.
//
// An Error says what went wrong, where, and what to do next, in words that may be shown to a
// person. Ask an error by function (KindOf, CodeOf, As), never by its text.
package fault

import (
	"errors"
	"fmt"
)

// Kind is what an error means to the caller; api maps it to an HTTP status and cmd to an exit code.
type Kind string

// The kinds, with the HTTP status that each becomes.
const (
	Invalid     Kind = "invalid"      // 422: the input cannot be used as it is
	NotFound    Kind = "not_found"    // 404
	Conflict    Kind = "conflict"     // 409: it clashes with what is there
	Forbidden   Kind = "forbidden"    // 403
	Unauthentic Kind = "unauthentic"  // 401: no or bad credentials
	TooLarge    Kind = "too_large"    // 413: over a configured limit
	Storage     Kind = "storage_full" // 507
	Unavailable Kind = "unavailable"  // 503: try again later
	Internal    Kind = "internal"     // 500
)

// Status gives the HTTP status of kind k; 500 for a kind that is not known.
func (k Kind) Status() int {
	switch k {
	case Invalid:
		return 422
	case NotFound:
		return 404
	case Conflict:
		return 409
	case Forbidden:
		return 403
	case Unauthentic:
		return 401
	case TooLarge:
		return 413
	case Storage:
		return 507
	case Unavailable:
		return 503
	default:
		return 500
	}
}

// KindOfStatus is the inverse of Status; Internal for a status that has no kind.
func KindOfStatus(status int) Kind {
	for _, k := range []Kind{Invalid, NotFound, Conflict, Forbidden, Unauthentic, TooLarge, Storage, Unavailable} {
		if k.Status() == status {
			return k
		}
	}
	return Internal
}

// Error is what a caller may show to a person.
type Error struct {
	Kind    Kind
	Code    string         // stable word, listed in docs/errors.md: "view_not_found"
	Message string         // what and where; holds no secret
	Hint    string         // what to do next; may be empty
	Fields  map[string]any // the offending input: file line and column, SQL position, sqlstate
	Cause   error          // logged, never shown
}

// Error gives the message and, when there is one, the hint.
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + " (" + e.Hint + ")"
}

// Unwrap gives the cause, which may be nil.
func (e *Error) Unwrap() error { return e.Cause }

// New makes an Error; the message is formatted as fmt.Sprintf does.
func New(kind Kind, code, format string, args ...any) *Error {
	return &Error{Kind: kind, Code: code, Message: fmt.Sprintf(format, args...)}
}

// WithHint sets the next step and returns e.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// With sets one field of the offending input and returns e.
func (e *Error) With(key string, value any) *Error {
	if e.Fields == nil {
		e.Fields = map[string]any{}
	}
	e.Fields[key] = value
	return e
}

// Because sets the cause and returns e.
func (e *Error) Because(cause error) *Error {
	e.Cause = cause
	return e
}

// As finds the Error in err's chain; nil when there is none.
func As(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

// KindOf gives the kind of the Error in err's chain; Internal when there is none.
func KindOf(err error) Kind {
	if e := As(err); e != nil {
		return e.Kind
	}
	return Internal
}

// CodeOf gives the code of the Error in err's chain; "internal" when there is none.
func CodeOf(err error) string {
	if e := As(err); e != nil {
		return e.Code
	}
	return "internal"
}
