package api

import (
	"context"
	"net/http"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

type freshnessInput struct {
	Relation string `query:"relation" maxLength:"300" doc:"only this table or view"`
	After    string `query:"after" maxLength:"300" doc:"next of the page before"`
	LimitParam
}

type freshnessPage struct {
	Freshness []control.Freshness `json:"freshness"`
	Next      *string             `json:"next" doc:"ask again with after=next; null when this is all"`
}

type setFreshnessInput struct {
	DryRunParam
	Relation string `path:"relation" maxLength:"300" doc:"table or materialized view of yours"`
	Body     struct {
		MaxAgeSeconds int `json:"max_age_seconds" minimum:"1" maximum:"315360000" doc:"how old it may be"`
	}
}

type dropFreshnessInput struct {
	DryRunParam
	Relation string `path:"relation" maxLength:"300" doc:"table or materialized view of yours"`
}

func (s *Service) freshnessRoutes() {
	get(s, operation("GET", "/v1/freshness", "list-freshness", "freshness",
		"List how old tables and views may be, and are: yours and those you may read", 401, 422),
		func(ctx context.Context, user *control.User, in *freshnessInput) (freshnessPage, error) {
			list, err := user.Freshnesses(ctx, in.Relation, in.After, in.Limit)
			return freshnessPage{orEmpty(list), next(list, in.Limit, func(f control.Freshness) string { return f.Relation })}, err
		})
	change(s, http.StatusOK, operation("PUT", "/v1/freshness/{relation}", "set-freshness", "freshness",
		"Promise that a table or view is at most so old; breach and recovery are events", 401, 403, 404, 422),
		func(ctx context.Context, user *control.User, in *setFreshnessInput) (control.Change[control.Freshness], error) {
			return user.SetFreshness(ctx, in.Relation, in.Body.MaxAgeSeconds, in.DryRun)
		})
	change(s, http.StatusOK, operation("DELETE", "/v1/freshness/{relation}", "drop-freshness", "freshness", "Take such a promise back", 401, 403, 404, 422),
		func(ctx context.Context, user *control.User, in *dropFreshnessInput) (control.Change[control.Dropped], error) {
			return user.DropFreshness(ctx, in.Relation, in.DryRun)
		})
}
