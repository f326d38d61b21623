package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

// Loader loads files into tables, each in a session of the user.
type Loader struct {
	Sessions *postgres.Sessions
	SpoolDir string // where a new table's file waits while its types are inferred
	// MaxUploadBytes limits one file, MaxSpoolBytes what is spooled at the same time; 0 is no limit.
	MaxUploadBytes int64
	MaxSpoolBytes  int64
	Logger         *slog.Logger

	spooled atomic.Int64 // bytes in the spool now
}

// LoadRequest says where a file goes.
type LoadRequest struct {
	Table   string // workspace.name or name
	Mode    string // ModeCreate, ModeAppend; "" appends to a table that exists and makes one that does not
	Source  string // the file's name, for the ledger
	Options Options
	Force   bool // load a file again that was loaded into this table before
	DryRun  bool
}

// Modes that insist on what the table is.
const (
	ModeCreate = "create" // it must not exist
	ModeAppend = "append" // it must exist
)

// Loaded tells of a load that was committed.
type Loaded struct {
	UploadID int64    `json:"upload_id"`
	Table    string   `json:"table" doc:"workspace.name"`
	Created  bool     `json:"created" doc:"whether this load created the table"`
	Rows     int64    `json:"rows"`
	Rejected int64    `json:"rejected"`
	Columns  []Column `json:"columns"`
}

// Preview is what a file holds, as it would be loaded into a new table.
type Preview struct {
	Profile
	Encoding  string `json:"encoding"`
	Delimiter string `json:"delimiter"`
}

// previewRows is how many rows a preview shows.
const previewRows = 20

// Load reads a CSV file from body into a table: all of it or nothing.
//
// Into an existing table it streams with constant memory, matching columns by header. For a new table the file is spooled
// first, because types are inferred from every row. A dry run gives the SQL instead and stores nothing. A failure is recorded
// as table.load_failed. Errors: invalid file_invalid, cell_invalid and the others of Copy, columns_mismatch, name_invalid;
// too_large file_too_large; storage_full; conflict already_loaded with fields.upload_id, name_taken; not_found table_not_found;
// forbidden not_writable, foreign_code.
func (l *Loader) Load(ctx context.Context, role string, req LoadRequest, body io.Reader) (Loaded, []string, error) {
	start := time.Now()
	t := loading{role: role, loader: l, req: req, start: start}
	defer t.rest()
	if err := t.connect(ctx); err != nil {
		return Loaded{}, nil, err
	}
	if err := t.find(ctx); err != nil {
		return Loaded{}, nil, err
	}
	loaded, sql, err := t.load(ctx, body)
	if err != nil && !req.DryRun {
		t.recordFailure(context.WithoutCancel(ctx), err)
	}
	return loaded, sql, err
}

// connect takes a session unless the load has a good one.
func (t *loading) connect(ctx context.Context) error {
	if t.session != nil && !t.conn.IsClosed() {
		return nil
	}
	t.rest()
	session, err := t.loader.Sessions.Acquire(ctx, t.role)
	if err != nil {
		return err
	}
	t.session, t.conn = session, session.Conn
	return nil
}

// rest gives the session back.
func (t *loading) rest() {
	if t.session != nil {
		t.session.Release()
		t.session, t.conn = nil, nil
	}
}

// Preview infers columns and types from every row of a CSV file and stores nothing. Errors: those of Infer and NewScanner;
// too_large file_too_large.
func (l *Loader) Preview(ctx context.Context, options Options, body io.Reader) (Preview, error) {
	s, err := NewScanner(NewMeter(body, l.MaxUploadBytes), options)
	if err != nil {
		return Preview{}, err
	}
	profile, err := Infer(ctx, s, previewRows)
	if err != nil {
		return Preview{}, err
	}
	return Preview{Profile: *profile, Encoding: s.Dialect().Encoding, Delimiter: string(s.Dialect().Delimiter)}, nil
}

// loading is one load under way.
type loading struct {
	session *postgres.Session // nil while the client is waited for
	conn    *pgx.Conn
	role    string
	loader  *Loader
	req     LoadRequest
	start   time.Time

	table  pgx.Identifier
	name   string // table as SQL prints it
	exists bool
	id     uint32
}

func (t *loading) find(ctx context.Context) error {
	var workspace, relation string
	var id *uint32
	err := t.conn.QueryRow(ctx, `
select p.workspace::text, p.relation::text, pg_catalog.format('%I.%I', p.workspace, p.relation),
       (select c.oid from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
         where n.nspname = p.workspace and c.relname = p.relation)
  from tinydev_lib.parse_name($1) p`, t.req.Table).Scan(&workspace, &relation, &t.name, &id)
	if err != nil {
		return postgres.Fault(err, "")
	}
	t.table = pgx.Identifier{workspace, relation}
	switch t.req.Mode {
	case "":
	case ModeAppend:
		_, err = t.conn.Exec(ctx, "select tinydev_lib.find_relation($1, 'table')", t.name)
	case ModeCreate:
		_, err = t.conn.Exec(ctx, "select tinydev_lib.require_free($1, $2, 'choose another name, or append to the table (mode=append)')", workspace, relation)
	default:
		err = optionFault("mode", t.req.Mode, "use create or append, or leave it out")
	}
	if err != nil {
		return postgres.Fault(err, "")
	}
	if t.exists = id != nil; t.exists {
		t.id = *id
		// Not a table, or not one to be read: say so before a byte is taken.
		if _, err := t.conn.Exec(ctx, "select tinydev_lib.find_relation($1, 'table')", t.name); err != nil {
			return postgres.Fault(err, "")
		}
		return nil
	}
	_, err = t.conn.Exec(ctx, "select tinydev_lib.require_own_workspace($1)", workspace)
	return postgres.Fault(err, "")
}

func (t *loading) load(ctx context.Context, body io.Reader) (Loaded, []string, error) {
	if t.exists {
		return t.append(ctx, body)
	}
	return t.create(ctx, body)
}

// append streams into a table that is there.
func (t *loading) append(ctx context.Context, body io.Reader) (Loaded, []string, error) {
	meter := NewMeter(body, t.loader.MaxUploadBytes)
	s, err := NewScanner(meter, t.req.Options)
	if err != nil {
		return Loaded{}, nil, err
	}
	existing, err := TableColumns(ctx, t.conn, t.table)
	if err != nil {
		return Loaded{}, nil, postgres.Fault(err, "")
	}
	names, err := Match(s.Dialect().Header, existing)
	if err != nil {
		return Loaded{}, nil, err
	}
	columns := make([]Column, len(names))
	for i, name := range names {
		for _, c := range existing {
			if c.Name == name {
				columns[i] = Column{Name: c.Name, Type: c.Type, Nullable: c.Nullable}
			}
		}
	}
	if t.req.DryRun {
		return Loaded{}, []string{t.copySQL(names)}, t.requireData(ctx)
	}
	return t.store(ctx, s, columns, func() (int64, string) { return meter.Size(), meter.SHA256() })
}

// create spools the file, infers the columns, makes the table and fills it.
func (t *loading) create(ctx context.Context, body io.Reader) (Loaded, []string, error) {
	t.rest()
	spool, err := t.loader.spool(body)
	if err != nil {
		return Loaded{}, nil, err
	}
	defer func() {
		if err := spool.Remove(); err != nil {
			t.loader.Logger.Warn("a spool file stays until the next start", "error", err)
		}
	}()
	profile, err := t.infer(ctx, spool)
	if err != nil {
		return Loaded{}, nil, err
	}
	if err := t.connect(ctx); err != nil {
		return Loaded{}, nil, err
	}
	if t.req.DryRun {
		var body []byte
		if err := t.conn.QueryRow(ctx, "select tinydev.create_table($1, $2, true) -> 'sql' ->> 0", t.name, profile.Columns).Scan(&body); err != nil {
			return Loaded{}, nil, postgres.Fault(err, "")
		}
		return Loaded{}, []string{string(body), t.copySQL(names(profile.Columns))}, nil
	}
	file, err := spool.Open()
	if err != nil {
		return Loaded{}, nil, err
	}
	defer file.Close()
	s, err := NewScanner(file, t.req.Options)
	if err != nil {
		return Loaded{}, nil, err
	}
	return t.store(ctx, s, profile.Columns, func() (int64, string) { return spool.Size, spool.SHA256 })
}

func (t *loading) infer(ctx context.Context, spool *Spool) (*Profile, error) {
	file, err := spool.Open()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	s, err := NewScanner(file, t.req.Options)
	if err != nil {
		return nil, err
	}
	return Infer(ctx, s, 0)
}

// store runs the load in one transaction; measure gives size and SHA-256 once the file was read to its end.
func (t *loading) store(ctx context.Context, s *Scanner, columns []Column, measure func() (int64, string)) (Loaded, []string, error) {
	tx, err := t.conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if err != nil {
		return Loaded{}, nil, postgres.Fault(err, "")
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	// A file takes as long as it takes; its size is what is limited.
	if _, err := tx.Exec(ctx, "set local statement_timeout = 0"); err != nil {
		return Loaded{}, nil, postgres.Fault(err, "")
	}
	if !t.exists {
		if _, err := tx.Exec(ctx, "select tinydev.create_table($1, $2)", t.name, columns); err != nil {
			return Loaded{}, nil, postgres.Fault(err, "")
		}
	} else if err := t.requireData(ctx); err != nil {
		return Loaded{}, nil, err
	}
	rows, err := Copy(ctx, t.conn, t.table, names(columns), s)
	if err != nil {
		return Loaded{}, nil, postgres.Fault(err, "")
	}
	loaded := Loaded{Table: t.name, Created: !t.exists, Rows: rows, Columns: columns}
	size, sum := measure()
	err = tx.QueryRow(ctx, "select tinydev.record_upload($1, $2, $3)", t.name, map[string]any{
		"is_new": !t.exists, "row_count": rows, "body_bytes": size, "sha256": sum, "source": t.req.Source, "encoding": s.Dialect().Encoding,
		"delimiter": string(s.Dialect().Delimiter), "columns": columns, "duration_ms": time.Since(t.start).Milliseconds(),
	}, t.req.Force).Scan(&loaded.UploadID)
	if err != nil {
		return Loaded{}, nil, postgres.Fault(err, "")
	}
	if err := tx.Commit(ctx); err != nil {
		return Loaded{}, nil, postgres.Fault(err, "")
	}
	return loaded, nil, nil
}

// requireData refuses a table whose triggers, defaults or indexes would run code of its owner's with the caller's rights, and in a
// transaction holds it as it is.
func (t *loading) requireData(ctx context.Context) error {
	_, err := t.conn.Exec(ctx, "select tinydev_lib.require_data($1, 'write')", t.id)
	return postgres.Fault(err, "")
}

// recordFailure tells of a load that came to nothing. It needs the table, or the workspace of a new one, to be the caller's.
func (t *loading) recordFailure(ctx context.Context, failure error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	data := map[string]any{"code": fault.CodeOf(failure), "message": failure.Error(), "source": t.req.Source, "duration_ms": time.Since(t.start).Milliseconds()}
	if e := fault.As(failure); e != nil {
		data["message"] = e.Message
	} else if errors.Is(failure, context.Canceled) {
		data["code"], data["message"] = "canceled", "the client went away before the end of the file"
	}
	var id *uint32
	if t.exists {
		id = &t.id
	}
	if err := t.connect(ctx); err != nil {
		t.loader.Logger.Warn("a failed load left no event", "table", t.name, "error", err)
		return
	}
	if _, err := t.conn.Exec(ctx, "select tinydev.record_event('table.load_failed', $1, $2, $3)", id, t.name, data); err != nil {
		t.loader.Logger.Warn("a failed load left no event", "table", t.name, "error", postgres.Fault(err, ""))
	}
}

func (t *loading) copySQL(columns []string) string {
	quoted := make([]string, len(columns))
	for i, c := range columns {
		quoted[i] = pgx.Identifier{c}.Sanitize()
	}
	return fmt.Sprintf("copy %s (%s) from stdin (format csv);", t.name, strings.Join(quoted, ", "))
}

func names(columns []Column) []string {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = c.Name
	}
	return list
}

// spool writes body to the spool folder as long as all that is spooled stays under the limit.
func (l *Loader) spool(body io.Reader) (*Spool, error) {
	counted := &quota{r: body, loader: l}
	spool, err := NewSpool(counted, l.SpoolDir, l.MaxUploadBytes)
	if err != nil {
		l.spooled.Add(-counted.taken)
		return nil, err
	}
	spool.removed = func() { l.spooled.Add(-counted.taken) }
	return spool, nil
}

// quota takes what is read off the room in the spool.
type quota struct {
	r      io.Reader
	loader *Loader
	taken  int64
}

func (q *quota) Read(p []byte) (int, error) {
	n, err := q.r.Read(p)
	q.taken += int64(n)
	if all := q.loader.spooled.Add(int64(n)); q.loader.MaxSpoolBytes > 0 && all > q.loader.MaxSpoolBytes {
		return 0, fault.New(fault.Storage, "spool_full", "the files that wait to be loaded take more than %d bytes", q.loader.MaxSpoolBytes).
			WithHint("try again when other loads are done, or load into a table that exists, which needs no spool")
	}
	return n, err
}
