package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

// Audit lists up to limit acts, newest first. Errors: forbidden not_allowed for who is no administrator.
func (c *Client) Audit(ctx context.Context, filter control.AuditFilter, limit int) ([]control.AuditEntry, error) {
	query := url.Values{}
	if filter.Actor != "" {
		query.Set("actor", filter.Actor)
	}
	if filter.Action != "" {
		query.Set("action", filter.Action)
	}
	if !filter.Since.IsZero() {
		query.Set("since", filter.Since.UTC().Format(time.RFC3339Nano))
	}
	all := []control.AuditEntry{}
	for len(all) < limit {
		query.Set("limit", strconv.Itoa(min(limit-len(all), pageSize)))
		page, err := call[struct {
			Audit []control.AuditEntry `json:"audit"`
			Next  *int64               `json:"next"`
		}](ctx, c, http.MethodGet, "/v1/audit", query, nil)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Audit...)
		if page.Next == nil {
			break
		}
		query.Set("after", strconv.FormatInt(*page.Next, 10))
	}
	return all, nil
}
