package api

import (
	"context"
	"net/http"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

type scheduleInput struct {
	DryRunParam
	Body struct {
		View string `json:"view" doc:"name, or workspace.name"`
		control.JobOptions
	}
}

type jobsInput struct {
	After int64 `query:"after" minimum:"0" doc:"job_id of the last one of the page before"`
	LimitParam
}

type jobPage struct {
	Jobs []control.Job `json:"jobs"`
	Next *int64        `json:"next" doc:"ask again with after=next; null when this is all"`
}

type JobParam struct {
	JobID int64 `path:"id" doc:"job_id"`
}

type alterJobInput struct {
	JobParam
	DryRunParam
	Body struct {
		control.JobOptions
		Active *bool `json:"active,omitempty" doc:"false pauses, true resumes"`
	}
}

type pauseJobsInput struct {
	DryRunParam
	Body struct {
		Active bool `json:"active" doc:"false pauses, true resumes"`
	}
}

type viewRunsInput struct {
	NameParam
	After int64 `query:"after" minimum:"0" doc:"run_id of the last one of the page before"`
	LimitParam
}

type cancelRunInput struct {
	RunID int64 `path:"id" doc:"run_id"`
	DryRunParam
}

type changeJobInput struct {
	JobParam
	DryRunParam
}

type runsInput struct {
	JobParam
	After int64 `query:"after" minimum:"0" doc:"run_id of the last one of the page before"`
	LimitParam
}

type runPage struct {
	Runs []control.Run `json:"runs" doc:"newest first"`
	Next *int64        `json:"next" doc:"ask again with after=next; null when this is all"`
}

type previewScheduleInput struct {
	Schedule string    `query:"schedule" required:"true" doc:"five cron fields, an interval, or a time to run once (at 2026-12-05 14:30); H and H/15 are told as what would be chosen now" example:"0 9 * * 1-5"`
	TimeZone string    `query:"time_zone" doc:"zone in which the schedule is read; default pg_cron's"`
	Count    int       `query:"count" default:"5" minimum:"1" maximum:"1000" doc:"how many runs"`
	After    time.Time `query:"after" doc:"runs after this time; default now"`
}

func (s *Service) jobRoutes() {
	change(s, http.StatusCreated, operation("POST", "/v1/jobs", "schedule", "jobs",
		"Have pg_cron refresh a view; a view that has a job gets the new schedule, and one that runs once beside it", 401, 403, 404, 422),
		func(ctx context.Context, user *control.User, in *scheduleInput) (control.Change[control.Job], error) {
			return user.Schedule(ctx, in.Body.View, in.Body.JobOptions, in.DryRun)
		})
	get(s, operation("GET", "/v1/jobs", "list-jobs", "jobs", "List the jobs that you may see, by job_id", 401),
		func(ctx context.Context, user *control.User, in *jobsInput) (jobPage, error) {
			list, err := user.Jobs(ctx, in.After, in.Limit)
			return jobPage{list, next(list, in.Limit, func(j control.Job) int64 { return j.JobID })}, err
		})
	get(s, operation("GET", "/v1/jobs/{id}", "describe-job", "jobs", "Describe a job", 401, 404),
		func(ctx context.Context, user *control.User, in *JobParam) (control.Job, error) {
			return user.DescribeJob(ctx, in.JobID)
		})
	change(s, http.StatusOK, operation("PATCH", "/v1/jobs/{id}", "alter-job", "jobs", "Pause, resume or reschedule a job", 401, 403, 404, 409, 422),
		func(ctx context.Context, user *control.User, in *alterJobInput) (control.Change[control.Job], error) {
			return user.AlterJob(ctx, in.JobID, in.Body.JobOptions, in.Body.Active, in.DryRun)
		})
	change(s, http.StatusOK, operation("DELETE", "/v1/jobs/{id}", "unschedule", "jobs", "Remove a job; a run under way goes on", 401, 403, 404, 422),
		func(ctx context.Context, user *control.User, in *changeJobInput) (control.Change[control.Unscheduled], error) {
			return user.Unschedule(ctx, in.JobID, in.DryRun)
		})
	change(s, http.StatusOK, operation("PATCH", "/v1/jobs", "pause-jobs", "jobs", "Pause or resume all jobs of yours", 401),
		func(ctx context.Context, user *control.User, in *pauseJobsInput) (control.Change[control.PausedJobs], error) {
			return user.PauseJobs(ctx, in.Body.Active, in.DryRun)
		})
	change(s, http.StatusOK, operation("POST", "/v1/jobs/{id}/run", "run-job", "jobs", "Run a job now and wait for its end", 401, 403, 404, 422),
		func(ctx context.Context, user *control.User, in *changeJobInput) (control.Change[control.Refreshed], error) {
			return user.RunJob(ctx, in.JobID, in.DryRun)
		})
	change(s, http.StatusOK, operation("POST", "/v1/runs/{id}/cancel", "cancel-run", "jobs", "Cancel a run that is under way", 401, 403, 404, 409),
		func(ctx context.Context, user *control.User, in *cancelRunInput) (control.Change[control.CancelledRun], error) {
			return user.CancelRun(ctx, in.RunID, in.DryRun)
		})
	get(s, operation("GET", "/v1/views/{name}/runs", "list-view-runs", "jobs", "List the refreshes of a view, newest first", 401, 404, 422),
		func(ctx context.Context, user *control.User, in *viewRunsInput) (runPage, error) {
			list, err := user.ViewRuns(ctx, in.Name, in.After, in.Limit)
			return runPage{orEmpty(list), next(list, in.Limit, func(r control.Run) int64 { return r.RunID })}, err
		})
	get(s, operation("GET", "/v1/jobs/{id}/runs", "list-runs", "jobs", "List the runs of a job, newest first", 401, 404),
		func(ctx context.Context, user *control.User, in *runsInput) (runPage, error) {
			list, err := user.Runs(ctx, in.JobID, in.After, in.Limit)
			return runPage{orEmpty(list), next(list, in.Limit, func(r control.Run) int64 { return r.RunID })}, err
		})
	get(s, operation("GET", "/v1/schedules/preview", "preview-schedule", "jobs", "Say what a schedule means and when it runs next", 401, 422),
		func(ctx context.Context, user *control.User, in *previewScheduleInput) (control.SchedulePreview, error) {
			var after *time.Time
			if !in.After.IsZero() {
				after = &in.After
			}
			return user.PreviewSchedule(ctx, in.Schedule, in.TimeZone, in.Count, after)
		})
}

// next gives the key of a full page's last item; nil when there is no more.
func next[T, K any](list []T, limit int, key func(T) K) *K {
	if len(list) < limit {
		return nil
	}
	last := key(list[len(list)-1])
	return &last
}

// orEmpty gives an empty list for nil, which JSON would write as null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
