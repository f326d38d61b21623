package api

import (
	"context"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

type auditInput struct {
	After  int64     `query:"after" minimum:"0" doc:"audit_id of the last one of the page before"`
	Actor  string    `query:"actor" maxLength:"63" doc:"only what this role did"`
	Action string    `query:"action" maxLength:"100" doc:"only this action" example:"create table"`
	Since  time.Time `query:"since" doc:"only what happened at this time or later"`
	LimitParam
}

type auditPage struct {
	Audit []control.AuditEntry `json:"audit" doc:"newest first"`
	Next  *int64               `json:"next" doc:"ask again with after=next; null when this is all"`
}

func (s *Service) auditRoutes() {
	get(s, operation("GET", "/v1/audit", "list-audit", "users", "List who did what, newest first; for administrators", 401, 403),
		func(ctx context.Context, user *control.User, in *auditInput) (auditPage, error) {
			list, err := user.Audit(ctx, control.AuditFilter{Actor: in.Actor, Action: in.Action, Since: in.Since}, in.After, in.Limit)
			return auditPage{orEmpty(list), next(list, in.Limit, func(e control.AuditEntry) int64 { return e.AuditID })}, err
		})
}
