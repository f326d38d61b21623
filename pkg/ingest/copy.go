package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

const (
	chunksInFlight = 4        // chunks that are filled or sent at the same time
	searchBytes    = 64 << 20 // how far Copy looks for more mistakes behind the first
)

// Copy streams the rest of s into a table with COPY and gives the number of rows stored. Column i of
// the file goes into columns[i], so columns is as long as the header; Match makes it.
//
// conn must be in a transaction, which the caller rolls back on any error: rows may be lost otherwise.
// An unquoted empty cell is NULL, and so is "" where the type has no empty value (numbers, dates,
// uuid, jsonb and so on). Times without a zone are read as UTC, whatever the session says.
//
// Scanning runs beside sending, in about 2 MiB of memory whatever the size of the stream. Copy returns
// only when a read of the stream that is under way has ended: the caller sees to it that reads do
// not hang for ever and fail when ctx ends.
//
// Errors: file_invalid with up to ten mistakes; cell_invalid, null_forbidden, value_duplicate,
// reference_missing, check_failed, row_refused when PostgreSQL refused a row, with the place in the
// file, sqlstate and reason; rows_lost when fewer rows were stored than read. Others are the
// connection's or PostgreSQL's own, wrapped.
func Copy(ctx context.Context, conn *pgx.Conn, table pgx.Identifier, columns []string, s *Scanner) (int64, error) {
	name := strings.Join(table, ".")
	if len(columns) != len(s.dialect.Header) {
		return 0, fmt.Errorf("copy into %s: %d columns given, the file has %d", name, len(columns), len(s.dialect.Header))
	}
	if strings.ContainsRune(name+strings.Join(columns, ""), 0) {
		return 0, fmt.Errorf("copy into %s: a name holds a NUL", name)
	}
	if conn.PgConn().TxStatus() != 'T' {
		return 0, fmt.Errorf("copy into %s: the connection is not in a transaction", name)
	}
	target, err := readTarget(ctx, conn, table)
	if err != nil {
		return 0, fmt.Errorf("copy into %s: %w", name, err)
	}
	widenSocket(conn)
	f := newFeed(s)
	go f.run()
	tag, err := conn.PgConn().CopyFrom(ctx, f, copyStatement(table, columns, target, s.dialect.Delimiter))
	f.end()
	if err != nil {
		if e := copyFault(err, table, columns, target, f.lines); e != nil {
			return 0, e
		}
		if ctx.Err() != nil {
			return 0, fmt.Errorf("copy into %s: %w", name, ctx.Err())
		}
		if f.err != nil {
			return 0, f.err
		}
		return 0, fmt.Errorf("copy into %s: %w", name, err)
	}
	if rows := tag.RowsAffected(); rows != f.records {
		return 0, fault.New(fault.Invalid, "rows_lost", "%s took %d of %d rows", name, rows, f.records).
			WithHint("see whether a trigger on the table drops rows").With("rows", rows).With("records", f.records)
	}
	if _, err := conn.Exec(ctx, "select pg_catalog.set_config('TimeZone', $1, true)", target.timeZone); err != nil {
		return 0, fmt.Errorf("copy into %s: restore the time zone: %w", name, err)
	}
	return f.records, nil
}

// widenSocket gives a Unix socket room for a millisecond or two more of data. Its writer is woken only
// when three quarters of the buffer are free, and with the usual 208 KiB PostgreSQL ran dry on a busy
// machine before that (loads took 6 to 14 % longer). TCP sizes its buffers by itself.
func widenSocket(conn *pgx.Conn) {
	if socket, ok := conn.PgConn().Conn().(*net.UnixConn); ok {
		// Without the right to a larger buffer the load is slower, not wrong.
		_ = socket.SetWriteBuffer(1 << 20)
	}
}

// target is what Copy needs to know about the table.
type target struct {
	timeZone  string            // of the session, to be restored
	emptyNull map[string]bool   // columns whose type has no empty value
	owners    map[string]string // the one column behind a unique index or a constraint, by its name
}

// readTarget looks into the catalogue and sets the time zone to UTC for the rest of the transaction.
func readTarget(ctx context.Context, conn *pgx.Conn, table pgx.Identifier) (*target, error) {
	t := &target{emptyNull: map[string]bool{}, owners: map[string]string{}}
	rows, err := conn.Query(ctx, `
		select 'zone', pg_catalog.current_setting('TimeZone'), ''
		union all
		select 'empty', a.attname::text, ''
		from pg_catalog.pg_attribute a join pg_catalog.pg_type t on t.oid = a.atttypid
		where a.attrelid = $1::text::regclass and a.attnum > 0 and not a.attisdropped
			and (t.typcategory in ('A', 'B', 'D', 'G', 'I', 'N', 'R', 'T')
				or coalesce(nullif(t.typbasetype, 0), t.oid) in ('uuid'::regtype, 'json'::regtype, 'jsonb'::regtype))
		union all
		select 'owner', c.relname::text, a.attname::text
		from pg_catalog.pg_index i
		join pg_catalog.pg_class c on c.oid = i.indexrelid
		join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
		where i.indrelid = $1::text::regclass and i.indisunique and i.indnkeyatts = 1
		union all
		select 'owner', c.conname::text, a.attname::text
		from pg_catalog.pg_constraint c
		join pg_catalog.pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
		where c.conrelid = $1::text::regclass and pg_catalog.array_length(c.conkey, 1) = 1`, table.Sanitize())
	if err != nil {
		return nil, err
	}
	var what, key, value string
	_, err = pgx.ForEachRow(rows, []any{&what, &key, &value}, func() error {
		switch what {
		case "zone":
			t.timeZone = key
		case "empty":
			t.emptyNull[key] = true
		default:
			t.owners[key] = value
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if _, err := conn.Exec(ctx, "select pg_catalog.set_config('TimeZone', 'UTC', true)"); err != nil {
		return nil, fmt.Errorf("set the time zone: %w", err)
	}
	return t, nil
}

// copyStatement asks for a header, so that PostgreSQL learns the line end from a line of ours; the
// line count in its errors would otherwise depend on the first record.
func copyStatement(table pgx.Identifier, columns []string, t *target, delim byte) string {
	var names, nulls []string
	for _, c := range columns {
		quoted := pgx.Identifier{c}.Sanitize()
		names = append(names, quoted)
		if t.emptyNull[c] {
			nulls = append(nulls, quoted)
		}
	}
	delimiter := "'" + string(delim) + "'"
	if delim == '\'' {
		delimiter = `''''`
	}
	sql := fmt.Sprintf(`copy %s (%s) from stdin (format csv, header true, delimiter %s, null '', quote '"', escape '"', encoding 'UTF8'`,
		table.Sanitize(), strings.Join(names, ", "), delimiter)
	if nulls != nil {
		sql += ", force_null (" + strings.Join(nulls, ", ") + ")"
	}
	return sql + ")"
}

// errFeedFailed ends COPY when the file turned out to be bad.
var errFeedFailed = errors.New("the file cannot be loaded")

// feed is the reader that COPY reads from. A goroutine scans records and fills chunks; Read hands
// them on.
type feed struct {
	s       *Scanner
	full    chan []byte
	free    chan []byte
	stop    chan struct{} // nobody reads any more
	done    chan struct{} // run has ended; err, records and lines may be read
	reading []byte        // what is left of the chunk that Read is in
	chunk   []byte        // the one that Read gives back
	filling []byte        // the one that run fills

	err     error
	records int64
	lines   lineMap
}

func newFeed(s *Scanner) *feed {
	f := &feed{
		s:    s,
		full: make(chan []byte, chunksInFlight),
		free: make(chan []byte, chunksInFlight),
		stop: make(chan struct{}),
		done: make(chan struct{}),
	}
	for range chunksInFlight {
		f.free <- make([]byte, 0, chunkBytes)
	}
	return f
}

// end tells run to stop, and waits until it has.
func (f *feed) end() {
	close(f.stop)
	<-f.done
}

// Read implements io.Reader for COPY.
func (f *feed) Read(p []byte) (int, error) {
	for len(f.reading) == 0 {
		if f.chunk != nil {
			f.free <- f.chunk[:0] // there is room for every chunk
			f.chunk = nil
		}
		select {
		case chunk, ok := <-f.full:
			if !ok {
				if f.err != nil {
					return 0, errFeedFailed
				}
				return 0, io.EOF
			}
			f.chunk, f.reading = chunk, chunk
		case <-f.stop:
			return 0, errFeedFailed
		}
	}
	n := copy(p, f.reading)
	f.reading = f.reading[n:]
	return n, nil
}

// put appends b to the chunks and says whether anybody still reads.
func (f *feed) put(b []byte) bool {
	for {
		n := min(len(b), cap(f.filling)-len(f.filling))
		f.filling = append(f.filling, b[:n]...)
		b = b[n:]
		if len(b) == 0 {
			return true
		}
		if !f.flush() {
			return false
		}
	}
}

// flush hands on the chunk being filled and takes a free one.
func (f *feed) flush() bool {
	if len(f.filling) > 0 {
		select {
		case f.full <- f.filling:
		case <-f.stop:
			return false
		}
		f.filling = nil
	}
	if f.filling == nil {
		select {
		case f.filling = <-f.free:
		case <-f.stop:
			return false
		}
	}
	return true
}

// run scans to the end. full is closed only after err was set, so that Read sees it.
func (f *feed) run() {
	defer close(f.done)
	defer close(f.full)
	if f.flush() && f.put([]byte("header\n")) {
		f.err = f.scan()
	}
}

func (f *feed) scan() error {
	copied := int64(1) // lines sent
	for {
		rec, err := f.s.Next()
		if err == io.EOF {
			f.flush()
			return nil
		}
		if err != nil {
			return f.moreMistakes(err)
		}
		copied += int64(rec.newlines) + 1
		f.lines.add(copied, rec.Line)
		raw := rec.raw
		if len(raw) > 0 && raw[0] == '\\' {
			// Before PostgreSQL 18 a line of only \. ends the data. Quoted it is a value.
			first := rec.fields[0].end - rec.fields[0].start
			if !f.put([]byte{'"'}) || !f.put(raw[:first]) || !f.put([]byte{'"'}) {
				return nil
			}
			raw = raw[first:]
		}
		if len(raw) < cap(f.filling)-len(f.filling) {
			f.filling = append(append(f.filling, raw...), '\n')
		} else if !f.put(raw) || !f.put(newline) {
			return nil
		}
		f.records++
	}
}

// moreMistakes looks for further mistakes behind the first one, for a while.
func (f *feed) moreMistakes(err error) error {
	var mistakes ErrorList
	looked := 0
	for err != io.EOF {
		if f.s.readErr != nil {
			return f.s.readErr
		}
		if err != nil && !mistakes.Add(err) {
			break
		}
		select {
		case <-f.stop:
			return mistakes.Err()
		default:
		}
		if looked += len(f.s.record.raw); looked > searchBytes {
			break
		}
		_, err = f.s.Next()
	}
	return mistakes.Err()
}
