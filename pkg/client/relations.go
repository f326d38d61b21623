package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// pageSize is how many items a list asks for at a time.
const pageSize = 1000

// Tables lists the tables that the user may read, by name.
func (c *Client) Tables(ctx context.Context) ([]control.RelationSummary, error) {
	return c.relations(ctx, "/v1/tables", func(p relationPage) []control.RelationSummary { return p.Tables })
}

// Views lists the materialized views that the user may read, by name.
func (c *Client) Views(ctx context.Context) ([]control.RelationSummary, error) {
	return c.relations(ctx, "/v1/views", func(p relationPage) []control.RelationSummary { return p.Views })
}

type relationPage struct {
	Tables []control.RelationSummary `json:"tables"`
	Views  []control.RelationSummary `json:"views"`
}

func (c *Client) relations(ctx context.Context, path string, items func(relationPage) []control.RelationSummary) ([]control.RelationSummary, error) {
	all := []control.RelationSummary{}
	for after := ""; ; after = all[len(all)-1].Name {
		page, err := call[relationPage](ctx, c, http.MethodGet, path, url.Values{"after": {after}, "limit": {strconv.Itoa(pageSize)}}, nil)
		if err != nil {
			return nil, err
		}
		all = append(all, items(page)...)
		if len(items(page)) < pageSize {
			return all, nil
		}
	}
}

// Table gives a table with its columns.
func (c *Client) Table(ctx context.Context, name string) (control.Relation, error) {
	return call[control.Relation](ctx, c, http.MethodGet, "/v1/tables/"+segment(name), nil, nil)
}

// View gives a materialized view with its columns and its query.
func (c *Client) View(ctx context.Context, name string) (control.Relation, error) {
	return call[control.Relation](ctx, c, http.MethodGet, "/v1/views/"+segment(name), nil, nil)
}

// DropTable drops a table that nothing depends on.
func (c *Client) DropTable(ctx context.Context, name string, dryRun bool) (control.Change[control.Dropped], error) {
	return change[control.Dropped](ctx, c, http.MethodDelete, "/v1/tables/"+segment(name), nil, nil, dryRun)
}

// CreateView makes a materialized view and fills it.
func (c *Client) CreateView(ctx context.Context, name, query string, dryRun bool) (control.Change[control.Relation], error) {
	return change[control.Relation](ctx, c, http.MethodPost, "/v1/views", nil, map[string]string{"name": name, "query": query}, dryRun)
}

// ReplaceView gives a view another query and keeps its indexes, grants and job.
func (c *Client) ReplaceView(ctx context.Context, name, query string, dryRun bool) (control.Change[control.Relation], error) {
	return change[control.Relation](ctx, c, http.MethodPut, "/v1/views/"+segment(name), nil, map[string]string{"query": query}, dryRun)
}

// DropView drops a view and its job.
func (c *Client) DropView(ctx context.Context, name string, dryRun bool) (control.Change[control.Dropped], error) {
	return change[control.Dropped](ctx, c, http.MethodDelete, "/v1/views/"+segment(name), nil, nil, dryRun)
}

// RefreshView refreshes a view now; it returns when that is done.
func (c *Client) RefreshView(ctx context.Context, name string, dryRun bool) (control.Change[control.Refreshed], error) {
	return change[control.Refreshed](ctx, c, http.MethodPost, "/v1/views/"+segment(name)+"/refresh", nil, nil, dryRun)
}

// Rows streams all rows of a table (kind "tables") or view ("views") in a format of control: JSON, NDJSON or CSV.
// What was written before a failure is not a whole answer.
func (c *Client) Rows(ctx context.Context, kind, name, format string, w io.Writer) error {
	resp, err := c.open(ctx, request{method: http.MethodGet, path: "/v1/" + kind + "/" + segment(name) + "/rows", query: url.Values{"format": {format}}})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fault.New(fault.Unavailable, "rows_cut", "the rows of %s were cut off", name).WithHint("try again; the server's log says why").Because(err)
	}
	return nil
}

// PreviewQuery runs a query read-only and gives its first limit (1..1000) rows.
func (c *Client) PreviewQuery(ctx context.Context, query string, limit int) (control.QueryPreview, error) {
	return call[control.QueryPreview](ctx, c, http.MethodPost, "/v1/queries/preview", nil, map[string]any{"query": query, "limit": limit})
}
