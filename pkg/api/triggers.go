package api

import (
	"context"
	"net/http"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

type createTriggerInput struct {
	DryRunParam
	Body control.NewTrigger
}

type triggersInput struct {
	After string `query:"after" maxLength:"200" doc:"next of the page before"`
	LimitParam
}

type triggerPage struct {
	Triggers []control.Trigger `json:"triggers"`
	Next     *string           `json:"next" doc:"ask again with after=next; null when this is all"`
}

type dropTriggerInput struct {
	DryRunParam
	Name string `path:"name" maxLength:"200" doc:"name; for administrators also owner.name"`
}

func (s *Service) triggerRoutes() {
	change(s, http.StatusCreated, operation("POST", "/v1/triggers", "create-trigger", "triggers",
		"Have a channel notified of events, for LISTEN in psql and other programs", 401, 403, 404, 409, 422),
		func(ctx context.Context, user *control.User, in *createTriggerInput) (control.Change[control.Trigger], error) {
			return user.CreateTrigger(ctx, in.Body, in.DryRun)
		})
	get(s, operation("GET", "/v1/triggers", "list-triggers", "triggers", "List your triggers, for administrators everybody's", 401),
		func(ctx context.Context, user *control.User, in *triggersInput) (triggerPage, error) {
			list, err := user.Triggers(ctx, in.After, in.Limit)
			return triggerPage{orEmpty(list), next(list, in.Limit, control.Trigger.Key)}, err
		})
	change(s, http.StatusOK, operation("DELETE", "/v1/triggers/{name}", "drop-trigger", "triggers", "Drop a trigger", 401, 404),
		func(ctx context.Context, user *control.User, in *dropTriggerInput) (control.Change[control.DroppedTrigger], error) {
			return user.DropTrigger(ctx, in.Name, in.DryRun)
		})
}
