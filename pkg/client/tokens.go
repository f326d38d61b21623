package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

// CreateToken makes a token; the answer is the only time that it is shown.
func (c *Client) CreateToken(ctx context.Context, t control.NewToken, dryRun bool) (control.Change[control.MadeToken], error) {
	return change[control.MadeToken](ctx, c, http.MethodPost, "/v1/tokens", nil, t, dryRun)
}

// RevokeToken revokes a token or ends a page session.
func (c *Client) RevokeToken(ctx context.Context, tokenID int64, dryRun bool) (control.Change[control.RevokedToken], error) {
	return change[control.RevokedToken](ctx, c, http.MethodDelete, "/v1/tokens/"+strconv.FormatInt(tokenID, 10), nil, nil, dryRun)
}

// Tokens lists tokens (control.APIToken) or page sessions (control.PageSession) that the user may see, by id; user "" is everybody's.
func (c *Client) Tokens(ctx context.Context, kind, user string) ([]control.Token, error) {
	query := url.Values{"kind": {kind}, "limit": {strconv.Itoa(pageSize)}}
	if user != "" {
		query.Set("user", user)
	}
	all := []control.Token{}
	for {
		page, err := call[struct {
			Tokens []control.Token `json:"tokens"`
			Next   *int64          `json:"next"`
		}](ctx, c, http.MethodGet, "/v1/tokens", query, nil)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Tokens...)
		if page.Next == nil {
			return all, nil
		}
		query.Set("after", strconv.FormatInt(*page.Next, 10))
	}
}
