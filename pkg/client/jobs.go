package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

// CreateJob has pg_cron refresh a view; of a view that has a job it changes that.
func (c *Client) CreateJob(ctx context.Context, view string, options control.JobOptions, dryRun bool) (control.Change[control.Job], error) {
	return change[control.Job](ctx, c, http.MethodPost, "/v1/jobs", nil, struct {
		View string `json:"view"`
		control.JobOptions
	}{view, options}, dryRun)
}

// AlterJob changes a job, and pauses or resumes it; what is nil stays.
func (c *Client) AlterJob(ctx context.Context, jobID int64, to control.JobOptions, active *bool, dryRun bool) (control.Change[control.Job], error) {
	return change[control.Job](ctx, c, http.MethodPatch, jobPath(jobID), nil, struct {
		control.JobOptions
		Active *bool `json:"active,omitempty"`
	}{to, active}, dryRun)
}

// PauseJobs pauses all jobs of the user, or resumes all of them.
func (c *Client) PauseJobs(ctx context.Context, active, dryRun bool) (control.Change[control.PausedJobs], error) {
	return change[control.PausedJobs](ctx, c, http.MethodPatch, "/v1/jobs", nil, map[string]bool{"active": active}, dryRun)
}

// RunJob runs a job now and waits for its end.
func (c *Client) RunJob(ctx context.Context, jobID int64, dryRun bool) (control.Change[control.Refreshed], error) {
	return change[control.Refreshed](ctx, c, http.MethodPost, jobPath(jobID)+"/run", nil, nil, dryRun)
}

// CancelRun cancels a run that is under way.
func (c *Client) CancelRun(ctx context.Context, runID int64, dryRun bool) (control.Change[control.CancelledRun], error) {
	return change[control.CancelledRun](ctx, c, http.MethodPost, "/v1/runs/"+strconv.FormatInt(runID, 10)+"/cancel", nil, nil, dryRun)
}

// DropJob removes a job; a run that is under way goes on.
func (c *Client) DropJob(ctx context.Context, jobID int64, dryRun bool) (control.Change[control.Unscheduled], error) {
	return change[control.Unscheduled](ctx, c, http.MethodDelete, jobPath(jobID), nil, nil, dryRun)
}

// Job gives a job.
func (c *Client) Job(ctx context.Context, jobID int64) (control.Job, error) {
	return call[control.Job](ctx, c, http.MethodGet, jobPath(jobID), nil, nil)
}

func jobPath(jobID int64) string { return "/v1/jobs/" + strconv.FormatInt(jobID, 10) }

// Jobs lists the jobs that the user may see, by id.
func (c *Client) Jobs(ctx context.Context) ([]control.Job, error) {
	all := []control.Job{}
	for after := int64(0); ; after = all[len(all)-1].JobID {
		page, err := call[struct {
			Jobs []control.Job `json:"jobs"`
		}](ctx, c, http.MethodGet, "/v1/jobs", url.Values{"after": {strconv.FormatInt(after, 10)}, "limit": {strconv.Itoa(pageSize)}}, nil)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Jobs...)
		if len(page.Jobs) < pageSize {
			return all, nil
		}
	}
}

// Runs gives the last limit (1..1000) runs of a job, newest first.
func (c *Client) Runs(ctx context.Context, jobID int64, limit int) ([]control.Run, error) {
	page, err := call[struct {
		Runs []control.Run `json:"runs"`
	}](ctx, c, http.MethodGet, jobPath(jobID)+"/runs", url.Values{"limit": {strconv.Itoa(limit)}}, nil)
	return page.Runs, err
}

// PreviewSchedule tells what a schedule means and its next count (1..1000) runs.
func (c *Client) PreviewSchedule(ctx context.Context, schedule, timeZone string, count int) (control.SchedulePreview, error) {
	query := url.Values{"schedule": {schedule}, "count": {strconv.Itoa(count)}}
	if timeZone != "" {
		query.Set("time_zone", timeZone)
	}
	return call[control.SchedulePreview](ctx, c, http.MethodGet, "/v1/schedules/preview", query, nil)
}
