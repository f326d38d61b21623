package api

import (
	"context"
	"net/http"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

type grantsInput struct {
	Relation string `query:"relation" maxLength:"300" doc:"only this table or view"`
	After    string `query:"after" maxLength:"1000" doc:"next of the page before"`
	LimitParam
}

type grantPage struct {
	Grants []control.Grant `json:"grants"`
	Next   *string         `json:"next" doc:"ask again with after=next; null when this is all"`
}

type shareInput struct {
	DryRunParam
	Body struct {
		Relation  string `json:"relation" doc:"table or view of yours"`
		To        string `json:"to" doc:"a user, or everyone"`
		Privilege string `json:"privilege,omitempty" default:"select" enum:"select,insert,update,delete,all" doc:"the writing ones let read too"`
	}
}

type unshareInput struct {
	DryRunParam
	Relation  string `query:"relation" required:"true" maxLength:"300" doc:"table or view of yours"`
	From      string `query:"from" required:"true" maxLength:"63" doc:"a user, or everyone"`
	Privilege string `query:"privilege" default:"all" enum:"select,insert,update,delete,all" doc:"select takes all back"`
}

type trustsInput struct {
	After string `query:"after" maxLength:"63" doc:"owner of the last one of the page before"`
	LimitParam
}

type trustPage struct {
	Trusts []control.Trusted `json:"trusts"`
	Next   *string           `json:"next" doc:"ask again with after=next; null when this is all"`
}

type trustInput struct {
	DryRunParam
	Body struct {
		Owner string `json:"owner" doc:"role whose functions, policies, triggers and views may run as you"`
	}
}

type untrustInput struct {
	DryRunParam
	Owner string `path:"owner" maxLength:"63"`
}

func (s *Service) sharingRoutes() {
	get(s, operation("GET", "/v1/grants", "list-grants", "sharing", "List what you share, and what is shared with you", 401, 422),
		func(ctx context.Context, user *control.User, in *grantsInput) (grantPage, error) {
			list, err := user.Grants(ctx, in.Relation, in.After, in.Limit)
			return grantPage{orEmpty(list), next(list, in.Limit, func(g control.Grant) string { return g.Key })}, err
		})
	change(s, http.StatusCreated, operation("POST", "/v1/grants", "share", "sharing", "Share a table or view of yours with a user or everyone", 401, 403, 404, 422),
		func(ctx context.Context, user *control.User, in *shareInput) (control.Change[control.Shared], error) {
			return user.Share(ctx, in.Body.Relation, in.Body.To, in.Body.Privilege, in.DryRun)
		})
	change(s, http.StatusOK, operation("DELETE", "/v1/grants", "unshare", "sharing", "Take back what you shared", 401, 403, 404, 409, 422),
		func(ctx context.Context, user *control.User, in *unshareInput) (control.Change[control.Unshared], error) {
			return user.Unshare(ctx, in.Relation, in.From, in.Privilege, in.DryRun)
		})

	get(s, operation("GET", "/v1/trusts", "list-trusts", "sharing", "List the owners whose code may run with your rights", 401),
		func(ctx context.Context, user *control.User, in *trustsInput) (trustPage, error) {
			list, err := user.Trusts(ctx, in.After, in.Limit)
			return trustPage{orEmpty(list), next(list, in.Limit, func(t control.Trusted) string { return t.Owner })}, err
		})
	change(s, http.StatusCreated, whole(operation("POST", "/v1/trusts", "trust", "sharing", "Let the code of another owner run with your rights", 401, 404, 422)),
		func(ctx context.Context, user *control.User, in *trustInput) (control.Change[control.Trusted], error) {
			return user.Trust(ctx, in.Body.Owner, in.DryRun)
		})
	change(s, http.StatusOK, operation("DELETE", "/v1/trusts/{owner}", "untrust", "sharing", "Let the code of an owner no longer run with your rights", 401, 404),
		func(ctx context.Context, user *control.User, in *untrustInput) (control.Change[control.Untrusted], error) {
			return user.Untrust(ctx, in.Owner, in.DryRun)
		})
}
