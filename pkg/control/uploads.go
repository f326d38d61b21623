package control

import (
	"context"
	"encoding/json"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

// Upload is one committed load, from the ledger.
type Upload struct {
	UploadID   int64           `json:"upload_id" db:"upload_id"`
	Table      string          `json:"table" db:"table"`
	Created    bool            `json:"created" db:"is_new" doc:"whether this load created the table"`
	Rows       int64           `json:"rows" db:"row_count"`
	Rejected   int64           `json:"rejected" db:"rejected_count"`
	Bytes      int64           `json:"bytes" db:"body_bytes" doc:"size of the file as sent"`
	SHA256     string          `json:"sha256" db:"sha256" doc:"of the file as sent"`
	Source     string          `json:"source" db:"source" doc:"name of the file"`
	Encoding   string          `json:"encoding" db:"encoding"`
	Delimiter  string          `json:"delimiter" db:"delimiter"`
	Columns    json.RawMessage `json:"columns" db:"columns"`
	UploadedBy string          `json:"uploaded_by" db:"uploaded_by"`
	UploadedAt time.Time       `json:"uploaded_at" db:"uploaded_at"`
	DurationMS int64           `json:"duration_ms" db:"duration_ms"`
}

const selectUploads = `
select upload_id, pg_catalog.format('%I.%I', workspace, table_name) as table, is_new, row_count, rejected_count, body_bytes, sha256, source,
       encoding, delimiter, columns, uploaded_by, uploaded_at, duration_ms
  from tinydev.upload`

// Uploads lists loads that the user may see, newest first, from the one before upload_id before (0 for the newest); limit is 1..1000.
func (u *User) Uploads(ctx context.Context, before int64, limit int) ([]Upload, error) {
	return u.uploads(ctx, selectUploads+" where $1 = 0 or upload_id < $1 order by upload_id desc limit $2", before, limit)
}

// DescribeUpload gives one load. Errors: not_found upload_not_found.
func (u *User) DescribeUpload(ctx context.Context, uploadID int64) (Upload, error) {
	list, err := u.uploads(ctx, selectUploads+" where upload_id = $1", uploadID)
	if err != nil {
		return Upload{}, err
	}
	if len(list) == 0 {
		return Upload{}, fault.New(fault.NotFound, "upload_not_found", "there is no upload %d", uploadID).WithHint("GET /v1/uploads lists those you may see")
	}
	return list[0], nil
}

func (u *User) uploads(ctx context.Context, query string, args ...any) ([]Upload, error) {
	session, err := u.sessions.Acquire(ctx, u.Role)
	if err != nil {
		return nil, err
	}
	defer session.Release()
	rows, err := session.Query(ctx, query, args...)
	if err != nil {
		return nil, postgres.Fault(err, "")
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Upload])
	return list, postgres.Fault(err, "")
}
