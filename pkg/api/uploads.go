package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/ingest"
)

const (
	maxFieldBytes = 64 << 10 // of a field of a form other than the file
	readAhead     = 1 << 20  // a file up to this size is held in memory until the whole form was read
)

// Streamed is an input whose body the handler reads by itself.
type Streamed struct {
	contentType string
	reader      io.Reader
}

// Resolve implements huma.Resolver.
func (b *Streamed) Resolve(ctx huma.Context) []error {
	b.contentType, b.reader = ctx.Header("Content-Type"), ctx.BodyReader()
	return nil
}

type uploadInput struct {
	DryRunParam
	Streamed
}

type previewInput struct{ Streamed }

type appendInput struct {
	NameParam
	DryRunParam
	Source    string `query:"source" maxLength:"255" doc:"name of the file, for the ledger"`
	Encoding  string `query:"encoding" doc:"such as utf-8 or windows-1252; default detected"`
	Delimiter string `query:"delimiter" doc:"one character, or comma, semicolon, tab, pipe; default detected"`
	Names     string `query:"names" enum:"exact,snake_case" doc:"what is done to header names"`
	Force     bool   `query:"force" doc:"load content again that was loaded into this table before"`
	Streamed
}

type uploadsInput struct {
	After int64 `query:"after" minimum:"0" doc:"upload_id of the last one of the page before"`
	LimitParam
}

type uploadPage struct {
	Uploads []control.Upload `json:"uploads" doc:"newest first"`
	Next    *int64           `json:"next" doc:"ask again with after=next; null when this is all"`
}

type uploadParam struct {
	UploadID int64 `path:"id" doc:"upload_id"`
}

func (s *Service) uploadRoutes() {
	for path, id := range map[string]string{"/v1/uploads": "upload", "/upload-file": "upload-file"} {
		op := operation("POST", path, id, "uploads", "Load a file into a table, which is created when it does not exist; all of it or nothing", 401, 403, 404, 408, 409, 413, 415, 422, 507)
		op.Description = "The fields come before the file, which is then streamed. With a file under 1 MiB, or where table comes after it too, they may come in any order."
		op.DefaultStatus = http.StatusCreated
		op.Responses = s.answers(http.StatusCreated, reflect.TypeFor[ingest.Loaded]())
		huma.Register(s.huma, op, s.upload)
		s.takes(path, formBody(true))
	}
	preview := operation("POST", "/v1/uploads/preview", "preview-upload", "uploads", "Show the columns that would be inferred from a file, and its first rows; nothing is stored", 401, 408, 413, 415, 422)
	huma.Register(s.huma, reads(preview), s.previewUpload)
	s.takes(preview.Path, formBody(false))

	get(s, operation("GET", "/v1/uploads", "list-uploads", "uploads", "List the loads that you may see, newest first", 401),
		func(ctx context.Context, user *control.User, in *uploadsInput) (uploadPage, error) {
			list, err := user.Uploads(ctx, in.After, in.Limit)
			return uploadPage{orEmpty(list), next(list, in.Limit, func(u control.Upload) int64 { return u.UploadID })}, err
		})
	get(s, operation("GET", "/v1/uploads/{id}", "describe-upload", "uploads", "Describe a load", 401, 404),
		func(ctx context.Context, user *control.User, in *uploadParam) (control.Upload, error) {
			return user.DescribeUpload(ctx, in.UploadID)
		})

	file := operation("POST", "/v1/tables/{name}/rows", "append-rows", "tables", "Append a file, which is the body, to a table", 401, 403, 404, 408, 409, 413, 422)
	csv := &huma.RequestBody{Required: true, Description: "a CSV file", Content: map[string]*huma.MediaType{
		"text/csv": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}, "application/octet-stream": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}}
	file.DefaultStatus = http.StatusCreated
	file.Responses = s.answers(http.StatusCreated, reflect.TypeFor[ingest.Loaded]())
	huma.Register(s.huma, file, s.appendRows)
	s.takes(file.Path, csv)
}

// takes describes the body of a POST that the handler reads by itself; huma would read one that it knows of.
func (s *Service) takes(path string, body *huma.RequestBody) {
	s.huma.OpenAPI().Paths[path].Post.RequestBody = body
}

// formBody describes the form of an upload.
func formBody(load bool) *huma.RequestBody {
	text := func(doc string) *huma.Schema { return &huma.Schema{Type: huma.TypeString, Description: doc} }
	form := &huma.Schema{Type: huma.TypeObject, Required: []string{"file"}, Properties: map[string]*huma.Schema{
		"file":      {Type: huma.TypeString, Format: "binary", Description: "a CSV file"},
		"encoding":  text("such as utf-8 or windows-1252; default detected"),
		"delimiter": text("one character, or comma, semicolon, tab, pipe; default detected"),
		"names":     {Type: huma.TypeString, Enum: []any{"exact", "snake_case"}, Description: "what is done to header names; default exact"},
		"columns":   text(`types of columns instead of inferred ones, as JSON: [{"name":"Zip","type":"text"}]`),
	}}
	if load {
		form.Required = []string{"table", "file"}
		form.Properties["table"] = text("name, or workspace.name")
		form.Properties["mode"] = &huma.Schema{Type: huma.TypeString, Enum: []any{ingest.ModeCreate, ingest.ModeAppend}, Description: "whether the table must not exist or must; default either"}
		form.Properties["force"] = &huma.Schema{Type: huma.TypeBoolean, Description: "load content again that was loaded into this table before"}
	}
	return &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"multipart/form-data": {Schema: form}}}
}

// upload answers POST /v1/uploads and /upload-file: 201 with the load; 409 already_loaded; 413 file_too_large; 415
// media_type_unsupported; 422 table_missing, field_unknown, field_late and what the loader finds in the file.
func (s *Service) upload(ctx context.Context, in *uploadInput) (*changed, error) {
	form, err := s.readForm(in.Streamed, true)
	if err != nil {
		return nil, err
	}
	defer form.close()
	if form.request.Table == "" {
		return nil, fault.New(fault.Invalid, "table_missing", "the form has no field table").WithHint("send -F table=NAME -F file=@FILE")
	}
	form.request.DryRun = in.DryRun
	return s.load(ctx, form.request, form.file)
}

// appendRows answers POST /v1/tables/{name}/rows: 201 with the load; 404 table_not_found, and as upload.
func (s *Service) appendRows(ctx context.Context, in *appendInput) (*changed, error) {
	return s.load(ctx, ingest.LoadRequest{Table: in.Name, Mode: ingest.ModeAppend, Source: in.Source, Force: in.Force, DryRun: in.DryRun, Options: ingest.Options{
		Encoding: in.Encoding, Delimiter: in.Delimiter, Names: in.Names, MaxCellBytes: s.cell}}, in.reader)
}

func (s *Service) load(ctx context.Context, req ingest.LoadRequest, file io.Reader) (*changed, error) {
	loaded, sql, err := s.loader.Load(ctx, s.user(ctx).Role, req, &counted{file, s})
	if err != nil {
		return nil, fmt.Errorf("load into %s: %w", req.Table, err)
	}
	if req.DryRun {
		return &changed{http.StatusOK, plan{sql}}, nil
	}
	return &changed{http.StatusCreated, loaded}, nil
}

// counted adds what is read to the metrics.
type counted struct {
	io.Reader
	s *Service
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.s.metrics.UploadBytes.Add(float64(n))
	return n, err
}

// previewUpload answers POST /v1/uploads/preview: 200 with columns, rows and a sample.
func (s *Service) previewUpload(ctx context.Context, in *previewInput) (*body[ingest.Preview], error) {
	form, err := s.readForm(in.Streamed, false)
	if err != nil {
		return nil, err
	}
	defer form.close()
	preview, err := s.loader.Preview(ctx, form.request.Options, form.file)
	if err != nil {
		return nil, fmt.Errorf("preview: %w", err)
	}
	return &body[ingest.Preview]{preview}, nil
}

// uploadForm is a form up to its file.
type uploadForm struct {
	request ingest.LoadRequest
	file    io.Reader
	spool   *ingest.Spool
	opened  *os.File
	seen    map[string]bool
	load    bool
}

// readForm reads the fields before the file, which is then file. A small file is read with the rest of the form; so is a large one
// while the table is not known, by way of the spool. close has to be called.
func (s *Service) readForm(in Streamed, load bool) (*uploadForm, error) {
	media, params, err := mime.ParseMediaType(in.contentType)
	if err != nil || media != "multipart/form-data" || params["boundary"] == "" {
		return nil, fault.New(fault.Invalid, "media_type_unsupported", "an upload is a form of type multipart/form-data").
			WithHint("send it as curl -F table=NAME -F file=@FILE does")
	}
	form := &uploadForm{seen: map[string]bool{}, load: load}
	form.request.Options.MaxCellBytes = s.cell
	parts := multipart.NewReader(in.reader, params["boundary"])
	for {
		part, err := parts.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			form.close()
			return nil, formFault(err)
		}
		if part.FormName() != "file" {
			if err := form.field(part); err != nil {
				form.close()
				return nil, err
			}
			continue
		}
		if form.file != nil || form.spool != nil {
			form.close()
			return nil, fault.New(fault.Invalid, "file_repeated", "the form has several files").WithHint("send one file a request")
		}
		form.request.Source = part.FileName()
		head, err := io.ReadAll(io.LimitReader(formReader{part}, readAhead))
		if err != nil {
			return nil, err
		}
		if len(head) < readAhead {
			form.file = bytes.NewReader(head)
			continue
		}
		whole := formReader{io.MultiReader(bytes.NewReader(head), part)}
		if !load || form.request.Table != "" {
			form.file = &lastPart{part: whole, parts: parts}
			return form, nil
		}
		if form.spool, err = ingest.NewSpool(whole, s.loader.SpoolDir, s.spoolLimit()); err != nil {
			return nil, err
		}
	}
	if form.file != nil {
		return form, nil
	}
	if form.spool == nil {
		return nil, fault.New(fault.Invalid, "file_missing", "the form has no file").WithHint("send -F file=@FILE")
	}
	if form.opened, err = form.spool.Open(); err != nil {
		form.close()
		return nil, err
	}
	form.file = form.opened
	return form, nil
}

func (f *uploadForm) close() {
	if f.opened != nil {
		_ = f.opened.Close() // it was only read
	}
	if f.spool != nil {
		_ = f.spool.Remove() // the next start empties the spool
	}
}

// field reads one field into the request.
func (f *uploadForm) field(part *multipart.Part) error {
	name := part.FormName()
	text, err := io.ReadAll(io.LimitReader(part, maxFieldBytes+1))
	if err != nil {
		return formFault(err)
	}
	if len(text) > maxFieldBytes {
		return fault.New(fault.TooLarge, "field_too_large", "the field %s is larger than %d bytes", name, maxFieldBytes).With("field", name)
	}
	if f.seen[name] {
		return fault.New(fault.Invalid, "field_repeated", "the field %s comes twice", name).With("field", name)
	}
	f.seen[name] = true
	value, options := string(text), &f.request.Options
	switch {
	case name == "table" && f.load:
		f.request.Table = value
	case name == "mode" && f.load:
		f.request.Mode = value
	case name == "force" && f.load:
		if f.request.Force, err = strconv.ParseBool(value); err != nil {
			return fault.New(fault.Invalid, "field_invalid", "the field force is %q", value).WithHint("send true or false").With("field", name)
		}
	case name == "encoding":
		options.Encoding = value
	case name == "delimiter":
		options.Delimiter = value
	case name == "names":
		options.Names = value
	case name == "columns":
		var columns []struct{ Name, Type string }
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&columns); err != nil || decoder.More() {
			return fault.New(fault.Invalid, "field_invalid", "the field columns is not a JSON list of names and types").
				WithHint(`send [{"name":"Zip","type":"text"}]`).With("field", name)
		}
		options.Types = map[string]string{}
		for _, c := range columns {
			options.Types[c.Name] = c.Type
		}
	default:
		return fault.New(fault.Invalid, "field_unknown", "an upload has no field %q", name).
			WithHint("fields are table, file, mode, force, encoding, delimiter, names and columns").With("field", name)
	}
	return nil
}

// lastPart is the file of a form that is streamed. Before it tells of its end it reads the rest of the form: a field that comes
// after the file came too late, and must not be passed over in silence.
type lastPart struct {
	part  io.Reader
	parts *multipart.Reader
	err   error
}

func (l *lastPart) Read(p []byte) (int, error) {
	if l.err != nil {
		return 0, l.err
	}
	n, err := l.part.Read(p)
	switch {
	case err == io.EOF:
		l.err = l.rest()
	case err != nil:
		l.err = err
	}
	if n > 0 {
		return n, nil
	}
	return 0, l.err
}

func (l *lastPart) rest() error {
	part, err := l.parts.NextRawPart()
	switch {
	case err == io.EOF:
		return io.EOF
	case err != nil:
		return formFault(err)
	case part.FormName() == "file":
		return fault.New(fault.Invalid, "file_repeated", "the form has several files").WithHint("send one file a request")
	}
	return fault.New(fault.Invalid, "field_late", "the field %s comes after the file, which was streamed already", part.FormName()).
		WithHint("send it before the file; nothing was loaded").With("field", part.FormName())
}

// spoolLimit is the largest file that may wait for the rest of its form.
func (s *Service) spoolLimit() int64 {
	upload, spool := s.loader.MaxUploadBytes, s.loader.MaxSpoolBytes
	if upload == 0 || spool > 0 && spool < upload {
		return spool
	}
	return upload
}

// formReader reads a part of a form; its errors tell of the form.
type formReader struct{ io.Reader }

func (r formReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = formFault(err)
	}
	return n, err
}

// formFault says that a form cannot be read; what the body's reader found stays as it is.
func formFault(err error) error {
	if fault.As(err) != nil || errors.Is(err, context.Canceled) {
		return err
	}
	return fault.New(fault.Invalid, "form_invalid", "the form cannot be read: %v", err).WithHint("send it as curl -F does").Because(err)
}
