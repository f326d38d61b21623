package control

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

// Formats in which rows leave.
const (
	JSON   = "json"   // one array of objects
	NDJSON = "ndjson" // one object a line
	CSV    = "csv"    // with a header; NULL is empty, an empty string is ""
)

// WriteRows streams all rows of a table or view to w in a format, with constant memory, and gives their number.
// before is called once all is known to be well, before the first byte is written.
// Errors: not_found relation_not_found; forbidden not_readable, foreign_code; invalid format_unknown.
func (u *User) WriteRows(ctx context.Context, name, format string, w io.Writer, before func()) (int64, error) {
	session, err := u.sessions.Acquire(ctx, u.Role)
	if err != nil {
		return 0, err
	}
	defer session.Release()
	tx, err := session.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if err != nil {
		return 0, session.Fault(err, "")
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	var full string
	if err := tx.QueryRow(ctx, "select d ->> 'name' from tinydev.describe($1) d", name).Scan(&full); err != nil {
		return 0, session.Fault(err, "")
	}
	if _, err := tx.Exec(ctx, "select tinydev_lib.require_data($1::text::regclass)", full); err != nil {
		return 0, session.Fault(err, "")
	}
	// Nothing leaves before there are 64 KiB or all, so that most failures are still answered as such.
	first := &onFirst{w: w, do: before}
	out := bufio.NewWriterSize(first, 64<<10)
	var n int64
	if format == CSV {
		tag, err := session.Conn.PgConn().CopyTo(ctx, out, "copy (select * from "+full+") to stdout (format csv, header)")
		if err != nil {
			return 0, fmt.Errorf("read %s: %w", full, session.Fault(err, ""))
		}
		n = tag.RowsAffected()
	} else if n, err = writeJSON(ctx, session.Conn, full, format == JSON, out); err != nil {
		return n, fmt.Errorf("read %s: %w", full, session.Fault(err, ""))
	}
	if err := tx.Commit(ctx); err != nil {
		return n, fmt.Errorf("read %s: %w", full, postgres.Fault(err, ""))
	}
	if err := out.Flush(); err != nil {
		return n, err
	}
	first.begin()
	return n, nil
}

// onFirst calls do before the first byte is written.
type onFirst struct {
	w    io.Writer
	do   func()
	once sync.Once
}

func (o *onFirst) begin() { o.once.Do(o.do) }

func (o *onFirst) Write(p []byte) (int, error) {
	o.begin()
	return o.w.Write(p)
}

func writeJSON(ctx context.Context, conn *pgx.Conn, full string, array bool, out *bufio.Writer) (int64, error) {
	rows, err := conn.Query(ctx, "select pg_catalog.row_to_json(t)::text from "+full+" t")
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	if array {
		out.WriteByte('[')
	}
	var n int64
	for ; rows.Next(); n++ {
		if array && n > 0 {
			out.WriteByte(',')
		}
		out.Write(rows.RawValues()[0])
		if err := out.WriteByte('\n'); err != nil {
			return n, err // the reader is gone
		}
	}
	if array && rows.Err() == nil {
		out.WriteByte(']')
	}
	return n, rows.Err()
}

// QueryPreview is the result of a query that was tried.
type QueryPreview struct {
	Columns []Column    `json:"columns"`
	Rows    [][]*string `json:"rows" doc:"cells as PostgreSQL prints them; null is NULL"`
	More    bool        `json:"more" doc:"whether there are more rows"`
}

// previewCell is how much of a cell a preview shows, in bytes.
const previewCell = 10_000

func cut(cell []byte) string {
	if len(cell) <= previewCell {
		return string(cell)
	}
	return strings.ToValidUTF8(string(cell[:previewCell]), "") + "…"
}

// previewSeconds is how long a query that is tried may run, where the user's own limit is not shorter.
const previewSeconds = 10

// PreviewQuery runs one query, read-only and for at most 10 s, and gives its first limit rows (1..1000, and no more than the user's
// page_rows), each cell cut at 10 kB.
// Errors: invalid query_invalid with fields line, column and position; forbidden read_only, foreign_code; unavailable statement_timeout.
func (u *User) PreviewQuery(ctx context.Context, query string, limit int) (QueryPreview, error) {
	p := QueryPreview{Columns: []Column{}, Rows: [][]*string{}}
	// To see what a query uses takes a temporary view, which a read-only transaction cannot make, be it one of a read-only token. None
	// of the user's code runs before the transaction is read-only, and then it cannot be made to write again.
	session, err := u.sessions.Acquire(postgres.Writable(ctx), u.Role)
	if err != nil {
		return p, err
	}
	defer session.Release()
	limit = min(limit, session.Limits.PageRows)
	tx, err := session.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite})
	if err != nil {
		return p, postgres.Fault(err, "")
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	seconds := min(previewSeconds, session.Limits.StatementSeconds)
	if _, err := tx.Exec(ctx, fmt.Sprintf("set local statement_timeout = '%ds'", seconds)); err != nil {
		return p, postgres.Fault(err, "")
	}
	if _, err := tx.Exec(ctx, "select tinydev_lib.require_query($1)", query); err != nil {
		return p, tooLong(postgres.Fault(err, query), seconds)
	}
	if _, err := tx.Exec(ctx, "set transaction read only"); err != nil {
		return p, postgres.Fault(err, "")
	}
	// The extended protocol takes one statement only, and a cursor only a query.
	if _, err := tx.Exec(ctx, "declare tinydev_preview no scroll cursor for "+query, pgx.QueryExecModeExec); err != nil {
		return p, tooLong(postgres.Fault(err, query), seconds)
	}
	rows, err := tx.Query(ctx, fmt.Sprintf("fetch %d from tinydev_preview", limit+1), pgx.QueryResultFormats{pgx.TextFormatCode})
	if err != nil {
		return p, tooLong(postgres.Fault(err, query), seconds)
	}
	defer rows.Close()
	var types []uint32
	for _, f := range rows.FieldDescriptions() {
		p.Columns = append(p.Columns, Column{Name: f.Name, Nullable: true})
		types = append(types, f.DataTypeOID)
	}
	for rows.Next() {
		if len(p.Rows) == limit {
			p.More = true
			continue
		}
		cells := make([]*string, len(p.Columns))
		for i, raw := range rows.RawValues() {
			if raw != nil {
				text := cut(raw)
				cells[i] = &text
			}
		}
		p.Rows = append(p.Rows, cells)
	}
	if err := rows.Err(); err != nil {
		return p, tooLong(postgres.Fault(err, query), seconds)
	}
	for i, oid := range types {
		if err := tx.QueryRow(ctx, "select pg_catalog.format_type($1, null)", oid).Scan(&p.Columns[i].Type); err != nil {
			return p, postgres.Fault(err, "")
		}
	}
	return p, nil
}

// tooLong says in a time-out's fault how long the statement could take.
func tooLong(err error, seconds int) error {
	if e := fault.As(err); e != nil && e.Code == "statement_timeout" {
		e.Message = fmt.Sprintf("the query took longer than the %d s for which one can be tried", seconds)
		return e.With("seconds", seconds)
	}
	return err
}
