package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

// CreateTrigger has a channel notified of events.
func (c *Client) CreateTrigger(ctx context.Context, t control.NewTrigger, dryRun bool) (control.Change[control.Trigger], error) {
	return change[control.Trigger](ctx, c, http.MethodPost, "/v1/triggers", nil, t, dryRun)
}

// Triggers lists the user's triggers, for administrators everybody's.
func (c *Client) Triggers(ctx context.Context) ([]control.Trigger, error) {
	type page struct {
		Triggers []control.Trigger `json:"triggers"`
		Next     *string           `json:"next"`
	}
	query := url.Values{"limit": {strconv.Itoa(pageSize)}}
	for all := []control.Trigger{}; ; {
		p, err := call[page](ctx, c, http.MethodGet, "/v1/triggers", query, nil)
		if err != nil {
			return nil, err
		}
		if all = append(all, p.Triggers...); p.Next == nil {
			return all, nil
		}
		query.Set("after", *p.Next)
	}
}

// DropTrigger drops a trigger.
func (c *Client) DropTrigger(ctx context.Context, name string, dryRun bool) (control.Change[control.DroppedTrigger], error) {
	return change[control.DroppedTrigger](ctx, c, http.MethodDelete, "/v1/triggers/"+segment(name), nil, nil, dryRun)
}
