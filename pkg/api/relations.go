package api

import (
	"context"
	"mime"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

type relationsInput struct {
	After string `query:"after" maxLength:"300" doc:"name of the last one of the page before"`
	LimitParam
}

type tablePage struct {
	Tables []control.RelationSummary `json:"tables"`
	Next   *string                   `json:"next" doc:"ask again with after=next; null when this is all"`
}

type viewPage struct {
	Views []control.RelationSummary `json:"views"`
	Next  *string                   `json:"next" doc:"ask again with after=next; null when this is all"`
}

// columnInput is a column of a table to make.
type columnInput struct {
	Name     string `json:"name" minLength:"1" maxLength:"63"`
	Type     string `json:"type" doc:"PostgreSQL type, such as numeric(12,2)"`
	Nullable *bool  `json:"nullable,omitempty" doc:"whether it may be NULL; default true"`
}

type createTableInput struct {
	DryRunParam
	Body struct {
		Name    string        `json:"name"`
		Columns []columnInput `json:"columns" nullable:"false"`
	}
}

type nameInput struct{ NameParam }

type changeNameInput struct {
	NameParam
	DryRunParam
}

type createViewInput struct {
	DryRunParam
	Body struct {
		Name  string `json:"name"`
		Query string `json:"query" doc:"one query"`
	}
}

type replaceViewInput struct {
	NameParam
	DryRunParam
	Body struct {
		Query string `json:"query" doc:"one query"`
	}
}

type previewQueryInput struct {
	Body struct {
		Query string `json:"query" doc:"one query; it runs read-only, for at most 10 s"`
		Limit int    `json:"limit,omitempty" default:"100" minimum:"1" maximum:"1000" doc:"how many rows at most"`
	}
}

func (s *Service) relationRoutes() {
	get(s, operation("GET", "/v1/tables", "list-tables", "tables", "List the tables that you may read, by name", 401),
		func(ctx context.Context, user *control.User, in *relationsInput) (tablePage, error) {
			list, err := user.Relations(ctx, control.Tables, in.After, in.Limit)
			return tablePage{list, nextName(list, in.Limit)}, err
		})
	change(s, http.StatusCreated, operation("POST", "/v1/tables", "create-table", "tables", "Create a table", 401, 403, 409, 422),
		func(ctx context.Context, user *control.User, in *createTableInput) (control.Change[control.Relation], error) {
			columns := make([]control.Column, len(in.Body.Columns))
			for i, c := range in.Body.Columns {
				columns[i] = control.Column{Name: c.Name, Type: c.Type, Nullable: c.Nullable == nil || *c.Nullable}
			}
			return user.CreateTable(ctx, in.Body.Name, columns, in.DryRun)
		})
	get(s, operation("GET", "/v1/tables/{name}", "describe-table", "tables", "Describe a table", 401, 403, 404, 422),
		func(ctx context.Context, user *control.User, in *nameInput) (control.Relation, error) {
			return user.DescribeTable(ctx, in.Name)
		})
	change(s, http.StatusOK, operation("DELETE", "/v1/tables/{name}", "drop-table", "tables", "Drop a table that nothing depends on", 401, 403, 404, 409, 422),
		func(ctx context.Context, user *control.User, in *changeNameInput) (control.Change[control.Dropped], error) {
			return user.DropTable(ctx, in.Name, in.DryRun)
		})
	s.rowsRoute("/v1/tables/{name}/rows", "read-table", "tables", "Read all rows of a table")

	get(s, operation("GET", "/v1/views", "list-views", "views", "List the materialized views that you may read, by name", 401),
		func(ctx context.Context, user *control.User, in *relationsInput) (viewPage, error) {
			list, err := user.Relations(ctx, control.Views, in.After, in.Limit)
			return viewPage{list, nextName(list, in.Limit)}, err
		})
	change(s, http.StatusCreated, operation("POST", "/v1/views", "create-view", "views", "Make a materialized view of a query and fill it", 401, 403, 409, 422),
		func(ctx context.Context, user *control.User, in *createViewInput) (control.Change[control.Relation], error) {
			return user.CreateView(ctx, in.Body.Name, in.Body.Query, in.DryRun)
		})
	get(s, operation("GET", "/v1/views/{name}", "describe-view", "views", "Describe a materialized view", 401, 403, 404, 422),
		func(ctx context.Context, user *control.User, in *nameInput) (control.Relation, error) {
			return user.DescribeView(ctx, in.Name)
		})
	change(s, http.StatusOK, operation("PUT", "/v1/views/{name}", "replace-view", "views",
		"Give a view another query; its indexes, grants, comments and job stay", 401, 403, 404, 409, 422),
		func(ctx context.Context, user *control.User, in *replaceViewInput) (control.Change[control.Relation], error) {
			return user.ReplaceView(ctx, in.Name, in.Body.Query, in.DryRun)
		})
	change(s, http.StatusOK, operation("DELETE", "/v1/views/{name}", "drop-view", "views", "Drop a view and its job", 401, 403, 404, 409, 422),
		func(ctx context.Context, user *control.User, in *changeNameInput) (control.Change[control.Dropped], error) {
			return user.DropView(ctx, in.Name, in.DryRun)
		})
	change(s, http.StatusOK, operation("POST", "/v1/views/{name}/refresh", "refresh", "views", "Refresh a view now, and record it as any run", 401, 403, 404, 422),
		func(ctx context.Context, user *control.User, in *changeNameInput) (control.Change[control.Refreshed], error) {
			return user.Refresh(ctx, in.Name, in.DryRun)
		})
	s.rowsRoute("/v1/views/{name}/rows", "read-view", "views", "Read all rows of a view")
	get(s, operation("POST", "/v1/queries/preview", "preview-query", "views", "Try a query: its columns and first rows", 401, 403, 422),
		func(ctx context.Context, user *control.User, in *previewQueryInput) (control.QueryPreview, error) {
			return user.PreviewQuery(ctx, in.Body.Query, in.Body.Limit)
		})
}

func nextName(list []control.RelationSummary, limit int) *string {
	if len(list) < limit {
		return nil
	}
	return &list[len(list)-1].Name
}

type rowsInput struct {
	NameParam
	Format string `query:"format" enum:"json,ndjson,csv" doc:"wins over Accept; json is an array of objects, ndjson an object a line"`
	Accept string `header:"Accept" doc:"application/json, application/x-ndjson or text/csv"`
}

// contentTypes of control's formats.
var contentTypes = map[string]string{
	control.JSON: "application/json", control.NDJSON: "application/x-ndjson", control.CSV: "text/csv; charset=utf-8; header=present",
}

// rowsRoute registers a call that streams all rows. An error after the first byte cuts the connection, since nothing else
// tells a client that what it has is not all.
func (s *Service) rowsRoute(path, id, tag, summary string) {
	op := operation("GET", path, id, tag, summary+", as JSON, NDJSON or CSV", 401, 403, 404, 422)
	array := &huma.Schema{Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeObject}}
	text := &huma.Schema{Type: huma.TypeString}
	op.Responses = map[string]*huma.Response{"200": {Description: "All rows", Content: map[string]*huma.MediaType{
		"application/json": {Schema: array}, "application/x-ndjson": {Schema: text}, "text/csv": {Schema: text}}}}
	huma.Register(s.huma, op, func(ctx context.Context, in *rowsInput) (*huma.StreamResponse, error) {
		format := in.Format
		if format == "" {
			format = formatOf(in.Accept)
		}
		user := s.user(ctx)
		return &huma.StreamResponse{Body: func(hctx huma.Context) {
			started := false
			_, err := user.WriteRows(ctx, in.Name, format, hctx.BodyWriter(), func() {
				started = true
				hctx.SetHeader("Content-Type", contentTypes[format])
				hctx.SetStatus(http.StatusOK)
			})
			if err == nil {
				return
			}
			if !started {
				_ = huma.WriteErr(s.huma, hctx, fault.KindOf(err).Status(), "", err) // nobody is there when it fails
				return
			}
			s.log.WarnContext(ctx, "rows were cut off", "request_id", requestFrom(ctx).id, "error", err)
			panic(http.ErrAbortHandler)
		}}, nil
	})
}

// formatOf gives the first known format in an Accept header; JSON when there is none.
func formatOf(accept string) string {
	for part := range strings.SplitSeq(accept, ",") {
		media, _, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		switch media {
		case "text/csv":
			return control.CSV
		case "application/x-ndjson", "application/ndjson", "application/jsonl":
			return control.NDJSON
		case "application/json":
			return control.JSON
		}
	}
	return control.JSON
}
