package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

// Grants lists what the user shares and what is shared with the user; relation, when it is not empty, is the only one told of.
func (c *Client) Grants(ctx context.Context, relation string) ([]control.Grant, error) {
	type page struct {
		Grants []control.Grant `json:"grants"`
		Next   *string         `json:"next"`
	}
	query := url.Values{"limit": {strconv.Itoa(pageSize)}}
	if relation != "" {
		query.Set("relation", relation)
	}
	for all := []control.Grant{}; ; {
		p, err := call[page](ctx, c, http.MethodGet, "/v1/grants", query, nil)
		if err != nil {
			return nil, err
		}
		if all = append(all, p.Grants...); p.Next == nil {
			return all, nil
		}
		query.Set("after", *p.Next)
	}
}

// Share grants privilege on a table or view of the user's to another user or control.Everyone.
func (c *Client) Share(ctx context.Context, relation, to, privilege string, dryRun bool) (control.Change[control.Shared], error) {
	return change[control.Shared](ctx, c, http.MethodPost, "/v1/grants", nil,
		map[string]string{"relation": relation, "to": to, "privilege": privilege}, dryRun)
}

// Unshare takes a grant back.
func (c *Client) Unshare(ctx context.Context, relation, from, privilege string, dryRun bool) (control.Change[control.Unshared], error) {
	return change[control.Unshared](ctx, c, http.MethodDelete, "/v1/grants",
		url.Values{"relation": {relation}, "from": {from}, "privilege": {privilege}}, nil, dryRun)
}

// Trusts lists the owners whom the user trusts.
func (c *Client) Trusts(ctx context.Context) ([]control.Trusted, error) {
	type page struct {
		Trusts []control.Trusted `json:"trusts"`
		Next   *string           `json:"next"`
	}
	query := url.Values{"limit": {strconv.Itoa(pageSize)}}
	for all := []control.Trusted{}; ; {
		p, err := call[page](ctx, c, http.MethodGet, "/v1/trusts", query, nil)
		if err != nil {
			return nil, err
		}
		if all = append(all, p.Trusts...); p.Next == nil {
			return all, nil
		}
		query.Set("after", *p.Next)
	}
}

// Trust lets code of another owner run with the user's rights.
func (c *Client) Trust(ctx context.Context, owner string, dryRun bool) (control.Change[control.Trusted], error) {
	return change[control.Trusted](ctx, c, http.MethodPost, "/v1/trusts", nil, map[string]string{"owner": owner}, dryRun)
}

// Untrust takes Trust back.
func (c *Client) Untrust(ctx context.Context, owner string, dryRun bool) (control.Change[control.Untrusted], error) {
	return change[control.Untrusted](ctx, c, http.MethodDelete, "/v1/trusts/"+segment(owner), nil, nil, dryRun)
}
