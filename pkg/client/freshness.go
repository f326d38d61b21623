package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

// SetFreshness promises that a table or view is never older than so many seconds.
func (c *Client) SetFreshness(ctx context.Context, relation string, maxAgeSeconds int, dryRun bool) (control.Change[control.Freshness], error) {
	body := struct {
		MaxAgeSeconds int `json:"max_age_seconds"`
	}{maxAgeSeconds}
	return change[control.Freshness](ctx, c, http.MethodPut, "/v1/freshness/"+segment(relation), nil, body, dryRun)
}

// Freshness lists what is promised of the user's tables and views, and of those the user may read.
func (c *Client) Freshness(ctx context.Context) ([]control.Freshness, error) {
	type page struct {
		Freshness []control.Freshness `json:"freshness"`
		Next      *string             `json:"next"`
	}
	query := url.Values{"limit": {strconv.Itoa(pageSize)}}
	for all := []control.Freshness{}; ; {
		p, err := call[page](ctx, c, http.MethodGet, "/v1/freshness", query, nil)
		if err != nil {
			return nil, err
		}
		if all = append(all, p.Freshness...); p.Next == nil {
			return all, nil
		}
		query.Set("after", *p.Next)
	}
}

// DropFreshness takes such a promise back.
func (c *Client) DropFreshness(ctx context.Context, relation string, dryRun bool) (control.Change[control.Dropped], error) {
	return change[control.Dropped](ctx, c, http.MethodDelete, "/v1/freshness/"+segment(relation), nil, nil, dryRun)
}
