package api

import (
	"context"
	"net/http"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

type doctorInput struct{}

type doctorFixInput struct {
	DryRunParam
}

func (s *Service) doctorRoutes() {
	get(s, operation("GET", "/v1/doctor", "doctor", "doctor",
		"Examine pg_cron, settings, logs, and your jobs, views and subscriptions, for administrators everybody's; may take some seconds", 401),
		func(ctx context.Context, user *control.User, _ *doctorInput) (control.Examination, error) {
			if s.canary != nil {
				s.canary(ctx)
			}
			return user.Doctor(ctx)
		})
	change(s, http.StatusOK, operation("POST", "/v1/doctor/fix", "doctor-fix", "doctor",
		"Mend what the doctor finds and can be mended without a loss; for administrators", 401, 403),
		func(ctx context.Context, user *control.User, in *doctorFixInput) (control.Change[control.Mending], error) {
			return user.MendSafe(ctx, in.DryRun)
		})
}
