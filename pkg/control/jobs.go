package control

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

// Job is a schedule in cron.job.
type Job struct {
	JobID     int64       `json:"job_id" doc:"cron.job.jobid; stays when the job is rescheduled"`
	Name      *string     `json:"name" doc:"cron.job.jobname; workspace.name of the view for a job that tinydev made"`
	View      *string     `json:"view" doc:"what it refreshes, as workspace.name; null for a job that tinydev did not make"`
	Owner     string      `json:"owner" doc:"role that it runs as"`
	Schedule  string      `json:"schedule" doc:"five cron fields, or an interval such as 5 seconds"`
	TimeZone  string      `json:"time_zone" doc:"zone in which the schedule is read"`
	Words     *string     `json:"words" doc:"the schedule in plain English"`
	Active    bool        `json:"active" doc:"false while paused"`
	IsManaged bool        `json:"is_managed" doc:"whether tinydev made it"`
	Command   string      `json:"command" doc:"the SQL that pg_cron runs"`
	NextRuns  []time.Time `json:"next_runs" doc:"the next five runs; empty while paused"`
	Warnings  []string    `json:"warnings,omitempty" doc:"what pg_cron does with this schedule that one might not expect"`
}

// Schedule has pg_cron refresh a view; a view that has a job gets the new schedule, under the same job_id.
// timeZone "" means the one that pg_cron reads schedules in. Errors: not_found view_not_found; forbidden not_owner; invalid
// schedule_invalid, time_zone_unsupported, too_many_repeating.
func (u *User) Schedule(ctx context.Context, view, schedule, timeZone string, dryRun bool) (Change[Job], error) {
	return change[Job](ctx, u, "", "select tinydev.schedule($1, $2, nullif($3, ''), $4)", view, schedule, timeZone, dryRun)
}

// AlterJob pauses, resumes or reschedules a job; what is nil stays. Errors: not_found job_not_found; forbidden not_owner;
// invalid job_unmanaged and those of Schedule.
func (u *User) AlterJob(ctx context.Context, jobID int64, schedule, timeZone *string, active *bool, dryRun bool) (Change[Job], error) {
	return change[Job](ctx, u, "", "select tinydev.alter_job($1, $2, $3, $4, $5)", jobID, schedule, timeZone, active, dryRun)
}

// Unschedule removes a job. Errors: not_found job_not_found; forbidden not_owner; invalid job_unmanaged.
func (u *User) Unschedule(ctx context.Context, jobID int64, dryRun bool) (Change[Unscheduled], error) {
	return change[Unscheduled](ctx, u, "", "select tinydev.unschedule($1::bigint, $2)", jobID, dryRun)
}

// Unscheduled names the job that was removed.
type Unscheduled struct {
	JobID int64  `json:"unscheduled"`
	View  string `json:"view"`
}

// DescribeJob gives a job. Errors: not_found job_not_found.
func (u *User) DescribeJob(ctx context.Context, jobID int64) (Job, error) {
	return decode[Job](ctx, u, "select tinydev.describe_job($1)", jobID)
}

// Jobs lists the jobs that the user may see, by job_id from the one after after; limit is 1..1000.
func (u *User) Jobs(ctx context.Context, after int64, limit int) ([]Job, error) {
	return decode[[]Job](ctx, u, `
select coalesce(pg_catalog.jsonb_agg(tinydev.describe_job(j.job_id) order by j.job_id), '[]')
  from (select job_id from tinydev.job where job_id > $1 order by job_id limit $2) j`, after, limit)
}

// Run is one run of a job, as pg_cron recorded it.
type Run struct {
	RunID      int64      `json:"run_id" db:"run_id"`
	JobID      int64      `json:"job_id" db:"job_id"`
	View       *string    `json:"view" db:"view"`
	Status     string     `json:"status" db:"status" doc:"starting, running, succeeded or failed"`
	StartedAt  *time.Time `json:"started_at" db:"started_at"`
	EndedAt    *time.Time `json:"ended_at" db:"ended_at"`
	DurationMS *int64     `json:"duration_ms" db:"duration_ms"`
	Message    *string    `json:"message" db:"message" doc:"what PostgreSQL answered; for the job's owner and administrators"`
}

// Runs lists the runs of a job, newest first, from the one before run_id before (0 for the newest); limit is 1..1000.
// Errors: not_found job_not_found.
func (u *User) Runs(ctx context.Context, jobID, before int64, limit int) ([]Run, error) {
	session, err := u.sessions.Acquire(ctx, u.Role)
	if err != nil {
		return nil, err
	}
	defer session.Release()
	if _, err := session.Exec(ctx, "select tinydev_lib.find_job($1)", jobID); err != nil {
		return nil, postgres.Fault(err, "")
	}
	rows, err := session.Query(ctx, `
select run_id, job_id, view, status, started_at, ended_at, duration_ms, message
  from tinydev.run where job_id = $1 and ($2 = 0 or run_id < $2) order by run_id desc limit $3`, jobID, before, limit)
	if err != nil {
		return nil, postgres.Fault(err, "")
	}
	runs, err := pgx.CollectRows(rows, pgx.RowToStructByName[Run])
	return runs, postgres.Fault(err, "")
}

// SchedulePreview tells what a schedule means.
type SchedulePreview struct {
	Schedule string      `json:"schedule"`
	Words    string      `json:"words" doc:"in plain English"`
	TimeZone string      `json:"time_zone"`
	Runs     []time.Time `json:"runs"`
	Warnings []string    `json:"warnings" doc:"what pg_cron does with it that one might not expect"`
}

// PreviewSchedule gives the next count (1..1000) runs of a schedule after a time (nil for now).
// Errors: invalid schedule_invalid, time_zone_unknown.
func (u *User) PreviewSchedule(ctx context.Context, schedule, timeZone string, count int, after *time.Time) (SchedulePreview, error) {
	return decode[SchedulePreview](ctx, u, "select tinydev.preview_schedule($1, coalesce(nullif($2, ''), tinydev_lib.cron_time_zone()), $3, coalesce($4, pg_catalog.now()))",
		schedule, timeZone, count, after)
}
