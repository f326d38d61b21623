package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

// LinkIdentity says who a user is at an identity provider, in place of who it was there.
func (c *Client) LinkIdentity(ctx context.Context, name, issuer, subject string, dryRun bool) (control.Change[control.Identity], error) {
	body := map[string]string{"issuer": issuer, "subject": subject}
	return change[control.Identity](ctx, c, http.MethodPut, identityPath(name), nil, body, dryRun)
}

// UnlinkIdentity forgets who a user is at an identity provider.
func (c *Client) UnlinkIdentity(ctx context.Context, name, issuer string, dryRun bool) (control.Change[control.Identity], error) {
	return change[control.Identity](ctx, c, http.MethodDelete, identityPath(name), url.Values{"issuer": {issuer}}, nil, dryRun)
}

// Identities lists who a user is at identity providers.
func (c *Client) Identities(ctx context.Context, name string) ([]control.Identity, error) {
	page, err := call[struct {
		Identities []control.Identity `json:"identities"`
	}](ctx, c, http.MethodGet, identityPath(name), nil, nil)
	return page.Identities, err
}

func identityPath(name string) string { return "/v1/users/" + segment(name) + "/identity" }
