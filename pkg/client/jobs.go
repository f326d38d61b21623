package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

// CreateJob has pg_cron refresh a view; a view that has a job gets the new schedule. timeZone "" is pg_cron's own.
func (c *Client) CreateJob(ctx context.Context, view, schedule, timeZone string, dryRun bool) (control.Change[control.Job], error) {
	body := map[string]string{"view": view, "schedule": schedule}
	if timeZone != "" {
		body["time_zone"] = timeZone
	}
	return change[control.Job](ctx, c, http.MethodPost, "/v1/jobs", nil, body, dryRun)
}

// JobChange is what to change of a job; what is nil stays.
type JobChange struct {
	Schedule *string `json:"schedule,omitempty"`
	TimeZone *string `json:"time_zone,omitempty"`
	Active   *bool   `json:"active,omitempty"`
}

// AlterJob pauses, resumes or reschedules a job.
func (c *Client) AlterJob(ctx context.Context, jobID int64, to JobChange, dryRun bool) (control.Change[control.Job], error) {
	return change[control.Job](ctx, c, http.MethodPatch, jobPath(jobID), nil, to, dryRun)
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
