package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// Fault turns an error of PostgreSQL's into a *fault.Error; other errors and nil come back as they are.
//
// query is the text that the user wrote, "" when there is none: the position of an error is given in it (fields position,
// line and column, all from 1), also when PostgreSQL saw the text inside a statement of ours. What tinydev_lib.fault raised
// keeps its code, hint and fields. A lost or refused connection becomes unavailable.
func Fault(err error, query string) error {
	if err == nil || fault.As(err) != nil {
		return err
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return connectionFault(err)
	}
	e := &fault.Error{Message: pg.Message, Hint: pg.Hint, Cause: err, Fields: map[string]any{"sqlstate": pg.Code}}
	if strings.HasPrefix(pg.Code, "TD") {
		raised(e, pg)
		return e
	}
	e.Kind, e.Code = classify(pg)
	explain(e, pg)
	if pg.Detail != "" {
		e.Fields["detail"] = pg.Detail
	}
	if position := positionIn(pg, query); position > 0 {
		line, column := lineAndColumn(query, position)
		e.Fields["position"], e.Fields["line"], e.Fields["column"] = position, line, column
	}
	return e
}

func raised(e *fault.Error, pg *pgconn.PgError) {
	status, _ := strconv.Atoi(strings.TrimPrefix(pg.Code, "TD"))
	e.Kind, e.Code = fault.KindOfStatus(status), "internal"
	var detail map[string]any
	if json.Unmarshal([]byte(pg.Detail), &detail) == nil {
		if code, ok := detail["code"].(string); ok {
			e.Code = code
		}
		delete(detail, "code")
		for k, v := range detail {
			e.Fields[k] = v
		}
	}
}

// classes maps a SQLSTATE, or its first two characters, to what it means to the caller.
// Source: PostgreSQL manual, appendix A.
var classes = map[string]struct {
	kind fault.Kind
	code string
}{
	"08":    {fault.Unavailable, "database_unavailable"},
	"22":    {fault.Invalid, "value_invalid"},
	"23":    {fault.Conflict, "constraint_violated"},
	"23502": {fault.Invalid, "value_missing"},
	"23514": {fault.Invalid, "value_invalid"},
	"25006": {fault.Forbidden, "read_only"},
	"25P03": {fault.Unavailable, "idle_too_long"},
	"25P04": {fault.Unavailable, "statement_timeout"},
	"28":    {fault.Unavailable, "database_refused"},
	"2BP01": {fault.Conflict, "in_use"},
	"3D000": {fault.Unavailable, "database_missing"},
	"40":    {fault.Unavailable, "try_again"},
	"42":    {fault.Invalid, "query_invalid"},
	"42501": {fault.Forbidden, "not_allowed"},
	"42P07": {fault.Conflict, "name_taken"},
	"42710": {fault.Conflict, "name_taken"},
	"0A":    {fault.Invalid, "query_invalid"},
	"53":    {fault.Unavailable, "database_overloaded"},
	"53100": {fault.Storage, "disk_full"},
	"53300": {fault.Unavailable, "too_many_connections"},
	"54":    {fault.Invalid, "query_too_complex"},
	"55000": {fault.Conflict, "not_now"},
	"55P03": {fault.Unavailable, "locked"},
	"57014": {fault.Unavailable, "canceled"},
	"57":    {fault.Unavailable, "database_unavailable"},
	"57P05": {fault.Unavailable, "idle_too_long"},
	"P0":    {fault.Invalid, "raised"},
}

func classify(pg *pgconn.PgError) (fault.Kind, string) {
	for _, key := range []string{pg.Code, pg.Code[:min(2, len(pg.Code))]} {
		if c, ok := classes[key]; ok {
			return c.kind, c.code
		}
	}
	return fault.Internal, "internal"
}

// explain gives the next step where PostgreSQL has no hint.
func explain(e *fault.Error, pg *pgconn.PgError) {
	// A cancel and a time-out have one SQLSTATE; only the message tells them apart, where it is in English.
	if pg.Code == "57014" && strings.Contains(pg.Message, "statement timeout") {
		e.Kind, e.Code = fault.Unavailable, "statement_timeout"
	}
	if e.Hint != "" {
		return
	}
	switch e.Code {
	case "statement_timeout":
		e.Hint = "make it cheaper, or have it run on schedule, where there is no such limit; an administrator can raise the limit"
	case "not_allowed":
		e.Hint = "its owner can share it: tinydev share; tinydev share --list tells what is shared with you"
	case "too_many_connections":
		e.Hint = "close other sessions, such as psql's, or try again in a moment"
	}
}

func connectionFault(err error) error {
	var connect *pgconn.ConnectError
	var network net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &connect), errors.As(err, &network), pgconn.Timeout(err), errors.Is(err, net.ErrClosed), pgconn.SafeToRetry(err),
		strings.Contains(err.Error(), "unexpected EOF"), strings.Contains(err.Error(), "conn closed"):
		return fault.New(fault.Unavailable, "database_unavailable", "the database cannot be reached").
			WithHint("it may be restarting; try again in a few seconds").Because(err)
	default:
		return err
	}
}

// positionIn gives the error's position in query in characters from 1; 0 when it has none there.
func positionIn(pg *pgconn.PgError, query string) int {
	if query == "" {
		return 0
	}
	position, text := int(pg.Position), query
	if pg.InternalPosition > 0 {
		position, text = int(pg.InternalPosition), pg.InternalQuery
	}
	if position == 0 {
		return 0
	}
	// The user's text stands at the end of our statement, perhaps without its last semicolon.
	trimmed := strings.TrimRight(query, "; \n\r\t")
	at := strings.LastIndex(text, trimmed)
	if at < 0 {
		return 0
	}
	position -= utf8.RuneCountInString(text[:at])
	if position < 1 || position > utf8.RuneCountInString(query)+1 {
		return 0
	}
	return position
}

func lineAndColumn(text string, position int) (line, column int) {
	line, column = 1, 1
	for i, r := range []rune(text) {
		if i == position-1 {
			break
		}
		column++
		if r == '\n' {
			line, column = line+1, 1
		}
	}
	return line, column
}
