package client

import (
	"context"
	"net/http"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

// Doctor examines pg_cron, the settings, the logs and what is the user's; it may take some seconds.
func (c *Client) Doctor(ctx context.Context) (control.Examination, error) {
	return call[control.Examination](ctx, c, http.MethodGet, "/v1/doctor", nil, nil)
}

// MendSafe mends what the doctor finds and can be mended without a loss.
func (c *Client) MendSafe(ctx context.Context, dryRun bool) (control.Change[control.Mending], error) {
	return change[control.Mending](ctx, c, http.MethodPost, "/v1/doctor/fix", nil, nil, dryRun)
}
