package control

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

// Job is a schedule in cron.job.
type Job struct {
	JobID          int64       `json:"job_id" doc:"cron.job.jobid; stays when the job is rescheduled"`
	Name           *string     `json:"name" doc:"cron.job.jobname; workspace.name of the view for a job that tinydev made"`
	View           *string     `json:"view" doc:"what it refreshes, as workspace.name; null for a job that tinydev did not make"`
	Owner          string      `json:"owner" doc:"role that it runs as"`
	Schedule       *string     `json:"schedule" doc:"five cron fields, an interval such as 5 seconds, or a time to run once such as at 2026-12-05 14:30; null for a job that only runs after others"`
	After          []string    `json:"after" doc:"tables and views after which it runs too: when one was loaded or refreshed"`
	TimeZone       string      `json:"time_zone" doc:"zone in which the schedule is read"`
	Words          *string     `json:"words" doc:"the schedule in plain English"`
	Active         bool        `json:"active" doc:"false while paused"`
	IsManaged      bool        `json:"is_managed" doc:"whether tinydev made it"`
	Command        string      `json:"command" doc:"the SQL that pg_cron runs"`
	Overlap        string      `json:"overlap,omitempty" doc:"what becomes of a time that passes while a run is under way: skip, queue_one, queue"`
	Missed         string      `json:"missed,omitempty" doc:"what becomes of times at which pg_cron did not run it: none, once, all"`
	TimeoutSeconds *int        `json:"timeout_seconds" doc:"how long a run may take; null for no limit"`
	Retries        int         `json:"retries,omitempty" doc:"how often a run that failed is tried again"`
	TrackChanges   string      `json:"track_changes,omitempty" doc:"what its events say of the rows that changed: none, counts, keys, rows"`
	Wave           bool        `json:"wave,omitempty" doc:"whether it is refreshed in a wave: one session after the other for all jobs of its owner, schedule and zone that are"`
	LastRun        *LastRun    `json:"last_run" doc:"null when it has not run"`
	NextRuns       []time.Time `json:"next_runs" doc:"the next five runs; empty while paused"`
	Warnings       []string    `json:"warnings,omitempty" doc:"what pg_cron does with this schedule that one might not expect; in answers to a change also a minute that is crowded"`
}

// RunsOnce tells whether it is a job beside the view's regular one, which runs once and then goes.
func (j Job) RunsOnce() bool {
	return j.IsManaged && j.Schedule != nil && strings.HasPrefix(*j.Schedule, "at ")
}

// LastRun is how a job went last.
type LastRun struct {
	RunID     int64      `json:"run_id"`
	Status    string     `json:"status" doc:"running, succeeded or failed"`
	StartedAt *time.Time `json:"started_at"`
	EndedAt   *time.Time `json:"ended_at"`
	Failures  int        `json:"failures" doc:"how many runs failed one after the other"`
	RetryAt   *time.Time `json:"retry_at" doc:"when it is tried again"`
}

// JobOptions is how a job runs; nil is the default for a new job, and what it has for one that is there.
type JobOptions struct {
	Schedule       *string `json:"schedule,omitempty" doc:"five cron fields, an interval such as 5 seconds (1 to 59), or a time to run once such as at 2026-12-05 14:30, for which a job is made beside the view's regular one; H and H/15 in the minute or hour field stand for a minute or hour at which few jobs are due" example:"0 9 * * 1-5"`
	TimeZone       *string `json:"time_zone,omitempty" doc:"zone on whose clock the schedule is read, such as Europe/Berlin; default pg_cron's"`
	After          *string `json:"after,omitempty" doc:"names of tables and views, separated by commas: it runs too when one was loaded or refreshed, and the schedule may be left out; * is what the view reads now, an empty text nothing" example:"prices, bob.rates"`
	Overlap        *string `json:"overlap,omitempty" enum:"skip,queue_one,queue" doc:"times that pass while a run is under way are left out (skip, the default), made up for by one run, or by one each"`
	Missed         *string `json:"missed,omitempty" enum:"none,once,all" doc:"times at which pg_cron did not run it are made up for by no run, by one (the default), or by one each; view.missed tells of them either way"`
	TimeoutSeconds *int    `json:"timeout_seconds,omitempty" minimum:"0" maximum:"604800" doc:"how long a run may take; 0 is no limit, the default"`
	Retries        *int    `json:"retries,omitempty" minimum:"0" maximum:"20" doc:"how often a run that failed is tried again, after 30 s, 1 min, 2 min and so on; default 0"`
	TrackChanges   *string `json:"track_changes,omitempty" enum:"none,counts,keys,rows" doc:"what view.refreshed says of the rows that were added, removed and changed: nothing (the default), how many, their keys, or the rows"`
	Wave           *bool   `json:"wave,omitempty" doc:"whether all jobs of the same owner, schedule and zone that say so are refreshed by one job of pg_cron, in a session or a few: several times as fast for many small views"`
}

// Schedule has pg_cron refresh a view; of a view that has a job it changes that, under the same job_id, and resumes it. A time to run once makes a job beside it.
// Errors: not_found view_not_found; forbidden not_owner; invalid schedule_invalid, schedule_past, time_zone_unknown, overlap_invalid, missed_invalid, timeout_invalid,
// retries_invalid, too_many_repeating, dependency_invalid, dependency_cycle, track_changes_invalid, wave_invalid; not_found relation_not_found and forbidden not_readable of After.
func (u *User) Schedule(ctx context.Context, view string, o JobOptions, dryRun bool) (Change[Job], error) {
	return change[Job](ctx, u, "", "select tinydev.schedule($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
		view, o.Schedule, o.TimeZone, o.After, o.Overlap, o.Missed, o.TimeoutSeconds, o.Retries, o.TrackChanges, o.Wave, dryRun)
}

// AlterJob changes a job; active pauses (false) and resumes it. What is nil stays. Errors: not_found job_not_found; forbidden not_owner;
// invalid job_unmanaged; conflict schedule_taken; those of Schedule.
func (u *User) AlterJob(ctx context.Context, jobID int64, o JobOptions, active *bool, dryRun bool) (Change[Job], error) {
	return change[Job](ctx, u, "", "select tinydev.alter_job($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
		jobID, o.Schedule, o.TimeZone, active, o.After, o.Overlap, o.Missed, o.TimeoutSeconds, o.Retries, o.TrackChanges, o.Wave, dryRun)
}

// PausedJobs names the jobs that were paused or resumed.
type PausedJobs struct {
	Jobs   []int64 `json:"jobs"`
	Active bool    `json:"active"`
}

// PauseJobs pauses all jobs of the user, or resumes all of them.
func (u *User) PauseJobs(ctx context.Context, active, dryRun bool) (Change[PausedJobs], error) {
	return change[PausedJobs](ctx, u, "", "select tinydev.pause_jobs($1, $2)", active, dryRun)
}

// RunJob runs a job now and waits for its end. A failure is recorded as view.failed and returned.
// Errors: not_found job_not_found; forbidden not_owner; invalid job_unmanaged; those of Refresh.
func (u *User) RunJob(ctx context.Context, jobID int64, dryRun bool) (Change[Refreshed], error) {
	return u.refresh(ctx, dryRun, "select j.view, pg_catalog.format('call tinydev.run_job(%s)', j.job_id) from tinydev_lib.find_own_job($1) j", jobID)
}

// MakeUp makes a run of a job besides its schedule, which tinydev_impl.claim_runs asked for, and waits for its end. Errors: as RunJob.
func (u *User) MakeUp(ctx context.Context, jobID int64, cause string) error {
	session, err := u.sessions.Acquire(ctx, u.Role)
	if err != nil {
		return err
	}
	defer session.Release()
	// It may take as long as a run that pg_cron starts, not as a request may. Release takes this back.
	if _, err := session.Exec(ctx, "set statement_timeout = 0"); err != nil {
		return session.Fault(err, "")
	}
	_, err = session.Exec(ctx, "call tinydev.run_job($1, $2)", jobID, cause)
	return session.Fault(err, "")
}

// CancelledRun is a run that was asked to end.
type CancelledRun struct {
	RunID     int64   `json:"run_id"`
	View      *string `json:"view"`
	Cancelled bool    `json:"cancelled" doc:"false when it ended meanwhile"`
}

// CancelRun cancels a run that is under way. Errors: not_found run_not_found; forbidden not_owner; conflict run_ended.
func (u *User) CancelRun(ctx context.Context, runID int64, dryRun bool) (Change[CancelledRun], error) {
	return change[CancelledRun](ctx, u, "", "select tinydev.cancel_run($1, $2)", runID, dryRun)
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

// JobOf gives the regular job of a view, by its full name. Errors: not_found job_not_found.
func (u *User) JobOf(ctx context.Context, view string) (Job, error) {
	return decode[Job](ctx, u, "select tinydev.describe_job((select j.job_id from tinydev.job j where j.job_id = any (tinydev_lib.jobs_of($1)) and j.view = $1 and not tinydev_lib.is_once(j.command) order by j.job_id limit 1))", view)
}

// OnceJobs lists the jobs that refresh a view once, at a time, beside its regular one, by the view's full name.
func (u *User) OnceJobs(ctx context.Context, view string) ([]Job, error) {
	return decode[[]Job](ctx, u, `
select coalesce(pg_catalog.jsonb_agg(tinydev.describe_job(j.job_id) order by tinydev_lib.once_at(j.schedule, j.time_zone), j.job_id), '[]')
  from tinydev.job j where j.job_id = any (tinydev_lib.jobs_of($1)) and j.view = $1 and tinydev_lib.is_once(j.command)`, view)
}

// Jobs lists the jobs that the user may see, by job_id from the one after after; limit is 1..1000.
func (u *User) Jobs(ctx context.Context, after int64, limit int) ([]Job, error) {
	return decode[[]Job](ctx, u, `
select coalesce(pg_catalog.jsonb_agg(tinydev.describe_job(j.job_id) order by j.job_id), '[]')
  from (select job_id from tinydev.job where job_id > $1 order by job_id limit $2) j`, after, limit)
}

// Run is one refresh of a view, or another run of pg_cron.
type Run struct {
	RunID          int64      `json:"run_id" doc:"in the order in which runs began; cron.job_run_details.runid for one that pg_cron started"`
	JobID          *int64     `json:"job_id" doc:"null for the refresh of a view without a job"`
	View           *string    `json:"view"`
	Status         string     `json:"status" doc:"running, succeeded, failed, skipped (by the job's overlap, or in a wave), missed (pg_cron did not run it), unrecorded (pg_cron says that it succeeded, and it left no event)"`
	Cause          string     `json:"cause" doc:"schedule, manual, upstream, retry, missed (to make up for it)"`
	Actor          string     `json:"actor" doc:"login that asked for it"`
	DueAt          *time.Time `json:"due_at" doc:"when its schedule promised it"`
	StartedAt      *time.Time `json:"started_at" doc:"null when it was missed"`
	EndedAt        *time.Time `json:"ended_at"`
	WaitMS         *int64     `json:"wait_ms" doc:"how late it began"`
	DurationMS     *int64     `json:"duration_ms"`
	Attempt        int        `json:"attempt" doc:"0 for the first"`
	TimeoutSeconds *int       `json:"timeout_seconds"`
	Rows           *int64     `json:"rows"`
	Bytes          *int64     `json:"bytes"`
	SQLState       *string    `json:"sqlstate" db:"sqlstate"`
	Message        *string    `json:"message" doc:"what PostgreSQL answered to a run that failed; for the owner and administrators"`
	CancelReason   *string    `json:"cancel_reason" doc:"timeout, user"`
	CancelledBy    *string    `json:"cancelled_by"`
	Wave           *int64     `json:"wave" doc:"the same for all runs that come of one refresh or load; for cause upstream"`
}

const runColumns = "run_id, job_id, view, status, cause, actor, due_at, started_at, ended_at, wait_ms, duration_ms, attempt, timeout_seconds, rows, bytes, sqlstate, message, cancel_reason, cancelled_by, wave"

// Runs lists the runs of a job, newest first, from the one before run_id before (0 for the newest); limit is 1..1000.
// Errors: not_found job_not_found.
func (u *User) Runs(ctx context.Context, jobID, before int64, limit int) ([]Run, error) {
	return u.runs(ctx, "tinydev_lib.find_job($1)", "job_id", jobID, before, limit)
}

// ViewRuns lists the refreshes of a view, as Runs. Errors: not_found view_not_found; invalid not_a_view.
func (u *User) ViewRuns(ctx context.Context, view string, before int64, limit int) ([]Run, error) {
	return u.runs(ctx, "tinydev_lib.find_relation($1, 'view')", "view", view, before, limit)
}

// runs reads runs of what find finds: a job by its id, a view by its full name.
func (u *User) runs(ctx context.Context, find, column string, key any, before int64, limit int) ([]Run, error) {
	session, err := u.sessions.Acquire(ctx, u.Role)
	if err != nil {
		return nil, err
	}
	defer session.Release()
	recorded := ""
	if column == "view" {
		err = session.QueryRow(ctx, "select f.full_name from "+find+" f", key).Scan(&key)
	} else {
		// Of what is not ours pg_cron has no index.
		var isManaged bool
		if err = session.QueryRow(ctx, "select f.is_managed from "+find+" f", key).Scan(&isManaged); isManaged {
			recorded = " and view is not null"
		}
	}
	if err != nil {
		return nil, postgres.Fault(err, "")
	}
	rows, err := session.Query(ctx, "select "+runColumns+" from tinydev.run where "+column+" = $1 and ($2 = 0 or run_id < $2)"+recorded+" order by run_id desc limit $3", key, before, limit)
	if err != nil {
		return nil, postgres.Fault(err, "")
	}
	runs, err := pgx.CollectRows(rows, pgx.RowToStructByName[Run])
	return runs, postgres.Fault(err, "")
}

// SchedulePreview tells what a schedule means.
type SchedulePreview struct {
	Schedule string      `json:"schedule" doc:"with numbers for H"`
	Words    string      `json:"words" doc:"in plain English"`
	TimeZone string      `json:"time_zone"`
	Runs     []time.Time `json:"runs"`
	Warnings []string    `json:"warnings" doc:"what pg_cron does with it that one might not expect; that its time has passed; that its minute is crowded"`
}

// PreviewSchedule gives the next count (1..1000) runs of a schedule after a time (nil for now).
// Errors: invalid schedule_invalid, time_zone_unknown.
func (u *User) PreviewSchedule(ctx context.Context, schedule, timeZone string, count int, after *time.Time) (SchedulePreview, error) {
	return decode[SchedulePreview](ctx, u, "select tinydev.preview_schedule($1, coalesce(nullif($2, ''), tinydev_lib.cron_time_zone()), $3, coalesce($4, pg_catalog.now()))",
		schedule, timeZone, count, after)
}
