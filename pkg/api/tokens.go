package api

import (
	"context"
	"net/http"

	"github.com/tinydevcrm/tinydevcrm/pkg/auth"
	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

type createTokenInput struct {
	DryRunParam
	Body control.NewToken
}

type tokensInput struct {
	After int64  `query:"after" minimum:"0" doc:"token_id of the last one of the page before"`
	Kind  string `query:"kind" enum:"token,session" default:"token" doc:"session lists the browsers that are signed in to the pages"`
	User  string `query:"user" maxLength:"63" doc:"only those of this user"`
	LimitParam
}

type tokenPage struct {
	Tokens []control.Token `json:"tokens"`
	Next   *int64          `json:"next" doc:"ask again with after=next; null when this is all"`
}

type revokeTokenInput struct {
	TokenID int64 `path:"id" doc:"token_id"`
	DryRunParam
}

func (s *Service) tokenRoutes() {
	change(s, http.StatusCreated, operation("POST", "/v1/tokens", "create-token", "tokens", "Make a token; the answer shows it, once", 401, 403, 409, 422),
		func(ctx context.Context, user *control.User, in *createTokenInput) (control.Change[control.MadeToken], error) {
			token := auth.NewToken()
			sum, prefix := auth.Stored(token)
			c, err := user.CreateToken(ctx, in.Body, sum, prefix, in.DryRun)
			c.Made.Token = token
			return c, err
		})
	get(s, operation("GET", "/v1/tokens", "list-tokens", "tokens", "List your tokens, for administrators everybody's, without their secrets", 401),
		func(ctx context.Context, user *control.User, in *tokensInput) (tokenPage, error) {
			list, err := user.Tokens(ctx, in.Kind, in.User, in.After, in.Limit)
			return tokenPage{orEmpty(list), next(list, in.Limit, func(t control.Token) int64 { return t.TokenID })}, err
		})
	change(s, http.StatusOK, operation("DELETE", "/v1/tokens/{id}", "revoke-token", "tokens", "Revoke a token, and end the page sessions that were opened with it", 401, 403, 404),
		func(ctx context.Context, user *control.User, in *revokeTokenInput) (control.Change[control.RevokedToken], error) {
			return user.RevokeToken(ctx, in.TokenID, in.DryRun)
		})
}
