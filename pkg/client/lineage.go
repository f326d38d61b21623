package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

// Lineage tells what comes from what, all or around one relation ("" is none).
func (c *Client) Lineage(ctx context.Context, relation string) (control.Lineage, error) {
	query := url.Values{}
	if relation != "" {
		query.Set("relation", relation)
	}
	return call[control.Lineage](ctx, c, http.MethodGet, "/v1/lineage", query, nil)
}
