package client

import (
	"context"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

// Load says what a file is and where it goes. Empty fields are detected by the server.
type Load struct {
	Table     string
	FileName  string            // shown in the ledger of uploads
	Delimiter string            // one character, or comma, semicolon, tab, pipe
	Encoding  string            // "utf-8", "windows-1252", …
	Names     string            // "exact" or "snake_case"
	Types     map[string]string // types of columns, by name
	Mode      string            // "create" or "append"; "" is either
	Force     bool              // load the same content into the same table once more
}

// Loaded is what a load did.
type Loaded struct {
	UploadID int64    `json:"upload_id"`
	Table    string   `json:"table"`
	Created  bool     `json:"created"`
	Rows     int64    `json:"rows"`
	Rejected int64    `json:"rejected"`
	Columns  []Column `json:"columns"`
}

// Column is a column of a file.
type Column struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Nullable bool   `json:"nullable"`
	Note     string `json:"note"`
	Because  *struct {
		Line  int64  `json:"line"`
		Value string `json:"value"`
	} `json:"because"` // the first cell that kept the type from being narrower
}

// Preview is what the server sees in a file; nothing is stored.
type Preview struct {
	Columns   []Column    `json:"columns"`
	Rows      int64       `json:"rows"`
	Sample    [][]*string `json:"sample"` // nil is NULL
	Encoding  string      `json:"encoding"`
	Delimiter string      `json:"delimiter"`
}

// Load sends a file of any size with constant memory; the server creates the table when it does not exist, else appends to it.
// It is all or nothing.
func (c *Client) Load(ctx context.Context, load Load, file io.Reader, dryRun bool) (control.Change[Loaded], error) {
	var made control.Change[Loaded]
	var query url.Values
	if dryRun {
		query = url.Values{"dry_run": {"true"}}
		plan, err := upload[dryRunAnswer](ctx, c, "/v1/uploads", query, load, file)
		made.SQL = plan.SQL
		return made, err
	}
	var err error
	made.Made, err = upload[Loaded](ctx, c, "/v1/uploads", query, load, file)
	return made, err
}

// PreviewLoad sends a file and gives the columns that the server infers from every row, and the first rows.
func (c *Client) PreviewLoad(ctx context.Context, load Load, file io.Reader) (Preview, error) {
	load.Table, load.Mode, load.Force = "", "", false // a preview has no use for them and refuses them
	return upload[Preview](ctx, c, "/v1/uploads/preview", nil, load, file)
}

func upload[T any](ctx context.Context, c *Client, path string, query url.Values, load Load, file io.Reader) (T, error) {
	var answer T
	reader, writer := io.Pipe()
	defer reader.Close() // ends the sender when the server has answered early
	form := multipart.NewWriter(writer)
	go func() { writer.CloseWithError(send(form, load, file)) }()
	resp, err := c.open(ctx, request{method: http.MethodPost, path: path, query: query, body: reader, header: http.Header{
		"Accept": {"application/json"}, "Content-Type": {form.FormDataContentType()}}})
	if err != nil {
		return answer, err
	}
	defer resp.Body.Close()
	return answer, decode(resp.Body, &answer)
}

// send writes the form: the fields first, so that the server can stream the file.
func send(form *multipart.Writer, load Load, file io.Reader) error {
	fields := [][2]string{{"table", load.Table}, {"delimiter", load.Delimiter}, {"encoding", load.Encoding}, {"names", load.Names}, {"mode", load.Mode}}
	if len(load.Types) > 0 {
		columns := []map[string]string{}
		for name, kind := range load.Types {
			columns = append(columns, map[string]string{"name": name, "type": kind})
		}
		text, err := json.Marshal(columns)
		if err != nil {
			return err
		}
		fields = append(fields, [2]string{"columns", string(text)})
	}
	if load.Force {
		fields = append(fields, [2]string{"force", strconv.FormatBool(true)})
	}
	for _, field := range fields {
		if field[1] == "" {
			continue
		}
		if err := form.WriteField(field[0], field[1]); err != nil {
			return err
		}
	}
	part, err := form.CreateFormFile("file", filepath.Base(load.FileName))
	if err != nil {
		return err
	}
	if _, err := io.Copy(part, file); err != nil {
		return err
	}
	return form.Close()
}
