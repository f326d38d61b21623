package api

import (
	"context"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

type lineageInput struct {
	Relation string `query:"relation" maxLength:"300" doc:"only what this table or view is made of, and what comes of it; default all" example:"ann.prices"`
}

func (s *Service) lineageRoutes() {
	get(s, operation("GET", "/v1/lineage", "lineage", "views", "Tell what comes from what: tables, views, functions, jobs, triggers and subscriptions", 401, 403, 404, 422),
		func(ctx context.Context, user *control.User, in *lineageInput) (control.Lineage, error) {
			return user.Lineage(ctx, in.Relation)
		})
}
