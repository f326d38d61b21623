package ingest

import (
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// lineMap turns the lines that COPY counts into lines of the file. It keeps one entry for each change of the
// difference between the two, which blank lines and line breaks within quotes make.
type lineMap struct{ entries []lineEntry }

type lineEntry struct{ copied, file int64 }

// maxLineEntries bounds the map to 8 MiB. The older half is dropped when it is full: COPY reports
// records that it has just read, so what lies further back than the network buffers is not needed.
const maxLineEntries = 1 << 19

// add notes that the record whose last line is the copied-th of COPY begins on line file.
func (m *lineMap) add(copied, file int64) {
	if n := len(m.entries); n > 0 {
		if last := m.entries[n-1]; copied-last.copied == file-last.file {
			return
		}
		if n == maxLineEntries {
			m.entries = append(m.entries[:0], m.entries[n/2:]...)
		}
	}
	m.entries = append(m.entries, lineEntry{copied, file})
}

// find gives the line of the file on which the record begins; false when it is not known any more.
func (m *lineMap) find(copied int64) (int64, bool) {
	i := sort.Search(len(m.entries), func(i int) bool { return m.entries[i].copied > copied })
	if i == 0 {
		return 0, false
	}
	e := m.entries[i-1]
	return e.file + copied - e.copied, true
}

// copyFault turns PostgreSQL's refusal of a row into a fault; nil when err is something else.
func copyFault(err error, table pgx.Identifier, columns []string, t *target, lines lineMap) error {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return nil
	}
	code, hint := refusal(e.Code)
	if code == "" {
		return nil
	}
	copied, column, value, hasValue := parseContext(e.Where, table[len(table)-1], columns)
	if column == "" {
		column = e.ColumnName
	}
	if column == "" {
		column = t.owners[e.ConstraintName]
		if v, ok := keyValue(e.Detail); ok && column != "" {
			value, hasValue = v, true
		}
	}
	var where []string
	f := fault.New(fault.Invalid, code, "").With("sqlstate", e.Code).With("reason", e.Message).Because(err)
	if line, ok := lines.find(copied); ok && copied > 0 {
		f.With("line", line)
		where = append(where, fmt.Sprintf("line %d", line))
	}
	if column != "" {
		f.With("column", column)
		words := "column " + cut([]byte(column))
		for i, c := range columns {
			if c == column {
				f.With("column_number", i+1)
				words = fmt.Sprintf("column %d (%s)", i+1, cut([]byte(column)))
			}
		}
		where = append(where, words)
	}
	if hasValue {
		f.With("value", cut([]byte(value)))
	}
	if e.ConstraintName != "" {
		f.With("constraint", e.ConstraintName)
	}
	if e.Detail != "" && strings.HasPrefix(e.Code, "23") {
		f.With("detail", cut([]byte(e.Detail)))
	}
	f.Message = e.Message
	if where != nil {
		f.Message = strings.Join(where, ", ") + ": " + e.Message
	}
	if e.Hint != "" && hint == "" {
		hint = e.Hint
	}
	return f.WithHint("%s", hint)
}

// refusal gives the code and the hint for the SQLSTATEs that speak of a row; "" for the rest.
func refusal(sqlstate string) (code, hint string) {
	switch sqlstate {
	case "22P04": // COPY could not read what we sent: not the file's mistake
		return "", ""
	case "23502":
		return "null_forbidden", "fill in the cell, or let the column be null"
	case "23505", "23P01":
		return "value_duplicate", "remove the row, or the row that is there already"
	case "23503":
		return "reference_missing", "load the rows that this one refers to first"
	case "23514", "44000":
		return "check_failed", "change the value to one that the table allows"
	case "P0001":
		return "row_refused", ""
	}
	if strings.HasPrefix(sqlstate, "22") {
		return "cell_invalid", "correct the cell, or load the column as text"
	}
	return "", ""
}

// keyValue takes the value out of a detail such as "Key (id)=(5) already exists.".
func keyValue(detail string) (string, bool) {
	_, rest, ok := strings.Cut(detail, ")=(")
	end := strings.LastIndexByte(rest, ')')
	if !ok || end < 0 {
		return "", false
	}
	return rest[:end], true
}

// parseContext reads the line (as COPY counts; 0 when there is none), the column and the value out
// of the CONTEXT of an error:
//
//	COPY friends, line 3, column Date: "x"
//	COPY friends, line 3, column Date: null input
//	COPY friends, line 3: "1,x"
//
// Names may hold commas, quotes and line breaks, so they are compared with what is known and not
// cut at punctuation, and the longest that fits wins. Functions called for the row stand in lines before. The
// words are translated where lc_messages asks for it; then the number and the name still show.
func parseContext(context, relation string, columns []string) (line int64, column, value string, hasValue bool) {
	at := -1
	for from := 0; at < 0; {
		i := strings.Index(context[from:], "COPY "+relation+", ")
		if i < 0 {
			break
		}
		i += from
		rest := context[i+len("COPY ")+len(relation)+len(", "):]
		if i == 0 || context[i-1] == '\n' {
			if n := strings.IndexAny(rest, "0123456789"); n >= 0 && n < 24 {
				at = len(context) - len(rest) + n
			}
		}
		from = i + 1
	}
	if at < 0 {
		return 0, "", "", false
	}
	rest := context[at:]
	n := 0
	for n < len(rest) && rest[n]-'0' <= 9 {
		n++
	}
	line, err := strconv.ParseInt(rest[:n], 10, 64)
	if err != nil {
		return 0, "", "", false
	}
	rest, ok := strings.CutPrefix(rest[n:], ", ")
	if !ok {
		return line, "", "", false
	}
	if word := strings.IndexByte(rest, ' '); word >= 0 { // "column", in whatever language
		rest = rest[word+1:]
	}
	for _, c := range columns {
		after, ok := strings.CutPrefix(rest, c)
		if !ok || len(c) < len(column) || !strings.HasPrefix(strings.TrimLeft(after, " \u00a0"), ":") {
			continue
		}
		column, value, hasValue = c, "", false
		if v, ok := strings.CutPrefix(after, `: "`); ok && strings.HasSuffix(v, `"`) {
			value, hasValue = v[:len(v)-1], true
		}
	}
	return line, column, value, hasValue
}
