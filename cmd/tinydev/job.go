package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tinydevcrm/tinydevcrm/cmd/tinydev/internal/console"
	"github.com/tinydevcrm/tinydevcrm/pkg/client"
	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

func newJob() *cobra.Command {
	return family("job", "Schedule the refresh of views",
		`A job is a plain row of pg_cron's cron.job that refreshes one view; PostgreSQL runs it, also while no server does. A schedule is five
cron fields (minute, hour, day of month, month, day of week; $ is the last day of the month), an interval of 1 to 59 seconds, or a time to
run once. H in the minute or hour field is a minute or hour at which few jobs are due.

Example:
  tinydev job preview '0 9 * * 1-5'             # in words, and the next runs
  tinydev job create bdays_today '0 9 * * *' --time-zone Europe/Berlin
  tinydev job run 5
  tinydev job runs 5

Next: tinydev events --follow`,
		newJobCreate(), newJobAlter(), newJobRun(), newJobCancel(), newJobPause(true), newJobPause(false), newJobList(), newJobShow(), newJobRuns(), newJobPreview(), newJobDrop())
}

func newJobCreate() *cobra.Command {
	cmd := viewCommand(&cobra.Command{
		Use: "create VIEW [SCHEDULE]", Short: "Have pg_cron refresh a view",
		Long: `Schedules the refresh of a view. A view has one job: a second call changes that one and keeps its id, and what is not given.
With --after it is refreshed too when a table was loaded or another view refreshed, and the schedule may be left out. What comes of
one such event is a wave: each view is refreshed once, after all that it comes after; where one fails, those after it are skipped.

A time to run once, 'at 2026-12-05 14:30', makes a job beside the regular one, which goes by itself when its run has ended. H stands for a
minute or hour at which few jobs are due, of all users, and H/15 for such an offset; the answer has the numbers that were chosen.

The schedule is read on the clock of --time-zone: a time that the clock skips in spring runs at the shift, one that it shows twice in
autumn runs the first time. Each run is recorded, also one that failed, was skipped or was missed: tinydev job runs JOB.

Example:
  tinydev job create bdays_today '0 0 * * *'    # at midnight
  tinydev job create bdays_today '0 9 * * 1-5' --time-zone Europe/Berlin --retries 3 --timeout-seconds 600
  tinydev job create bdays_today '5 seconds'
  tinydev job create bdays_today 'H 3 * * *'    # in a free minute after three o'clock
  tinydev job create bdays_today 'at 2026-12-05 14:30' --time-zone Europe/Berlin
  tinydev job create daily_prices --after prices
  tinydev job create bdays_today '5 seconds' --dry-run

Next: tinydev events --follow`,
		Args: takesFrom(1, 2),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			job, err := c.CreateJob(ctx, args[0], jobOptions(cmd, args[1:]), on(cmd, "dry-run"))
			if err != nil {
				return err
			}
			return showChange(cmd, job.Made, job.SQL, func(w io.Writer) error { return printJob(w, job.Made) })
		}),
	}, true)
	jobFlags(cmd)
	return cmd
}

// jobFlags are those of jobOptions.
func jobFlags(cmd *cobra.Command) {
	cmd.Flags().String("time-zone", "", "zone on whose clock the schedule is read, such as Europe/Berlin; default pg_cron's own")
	cmd.Flags().String("after", "", "tables and views, separated by commas, after which it runs too, when one was loaded or refreshed; '*' is what the view reads, '' none")
	cmd.Flags().String("overlap", "", "times that pass while a run is under way: skip (default), queue_one, queue")
	cmd.Flags().String("missed", "", "times at which pg_cron did not run it are made up for: none, once (default), all")
	cmd.Flags().Int("timeout-seconds", 0, "how long a run may take; 0 is no limit")
	cmd.Flags().Int("retries", 0, "how often a run that failed is tried again, after 30 s, 1 min, 2 min and so on")
	cmd.Flags().Bool("wave", false, "refresh it together with your other jobs of the same schedule and zone that say so, in a session or a few: faster for many small views; --wave=false takes it out")
	cmd.Flags().String("track-changes", "", "what view.refreshed says of the rows that changed: none (default), counts, keys, rows")
}

// jobOptions are those that were given; schedule is empty when it was not.
func jobOptions(cmd *cobra.Command, schedule []string) control.JobOptions {
	o := control.JobOptions{}
	if len(schedule) > 0 {
		o.Schedule = &schedule[0]
	}
	for name, to := range map[string]**string{"time-zone": &o.TimeZone, "after": &o.After, "track-changes": &o.TrackChanges, "overlap": &o.Overlap, "missed": &o.Missed} {
		if value, err := cmd.Flags().GetString(name); err == nil && cmd.Flags().Changed(name) {
			*to = &value
		}
	}
	if wave, err := cmd.Flags().GetBool("wave"); err == nil && cmd.Flags().Changed("wave") {
		o.Wave = &wave
	}
	for name, to := range map[string]**int{"timeout-seconds": &o.TimeoutSeconds, "retries": &o.Retries} {
		if value, err := cmd.Flags().GetInt(name); err == nil && cmd.Flags().Changed(name) {
			*to = &value
		}
	}
	return o
}

func newJobAlter() *cobra.Command {
	cmd := viewCommand(&cobra.Command{
		Use: "alter JOB [SCHEDULE]", Aliases: []string{"reschedule"}, Short: "Change a job: schedule, what it runs after, time zone, overlap, missed runs, time-out, retries",
		Long: `Changes a job; its id and what is not given stay. JOB is the number that "tinydev job list" shows.

Example:
  tinydev job alter 5 '*/10 * * * *'
  tinydev job alter 5 '0 9 * * 1-5' --time-zone Europe/Berlin
  tinydev job alter 5 '' --after 'prices, bob.rates'    # no schedule any more
  tinydev job alter 5 --timeout-seconds 600 --retries 3`,
		Args: takesFrom(1, 2),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			return alterJob(ctx, c, cmd, args[0], jobOptions(cmd, args[1:]), nil)
		}),
	}, true)
	jobFlags(cmd)
	return cmd
}

func newJobPause(pause bool) *cobra.Command {
	verb, does := "pause", "Stops a job from running until it is resumed; a run that is under way goes on."
	if !pause {
		verb, does = "resume", "Lets a paused job run again. What passed meanwhile is not made up for."
	}
	cmd := viewCommand(&cobra.Command{
		Use: verb + " JOB|--all", Short: strings.ToUpper(verb[:1]) + verb[1:] + " a job, or all of yours",
		Long: does + ` JOB is the number that "tinydev job list" shows.

Example:
  tinydev job ` + verb + ` 5
  tinydev job ` + verb + ` --all`,
		Args: takesFrom(0, 1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			active := !pause
			if on(cmd, "all") == (len(args) == 1) {
				return fault.New(fault.Invalid, "usage", "name one job, or --all").WithHint("tinydev job list shows the numbers")
			}
			if len(args) == 1 {
				return alterJob(ctx, c, cmd, args[0], control.JobOptions{}, &active)
			}
			paused, err := c.PauseJobs(ctx, active, on(cmd, "dry-run"))
			if err != nil {
				return err
			}
			return showChange(cmd, paused.Made, paused.SQL, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%sd %d of your jobs\n", verb, len(paused.Made.Jobs))
				return err
			})
		}),
	}, true)
	cmd.Flags().Bool("all", false, "all jobs of yours that were made here")
	return cmd
}

func newJobRun() *cobra.Command {
	return viewCommand(&cobra.Command{
		Use: "run JOB", Short: "Run a job now",
		Long: `Runs a job now, also while it is paused, and waits for its end; its schedule goes on as before. The run is recorded like any other.
JOB is the number that "tinydev job list" shows.

Example:
  tinydev job run 5

Next: tinydev job runs 5`,
		Args: takes(1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			jobID, err := jobNumber(args[0])
			if err != nil {
				return err
			}
			done, err := c.RunJob(ctx, jobID, on(cmd, "dry-run"))
			if err != nil {
				return err
			}
			return showRefreshed(cmd, done)
		}),
	}, true)
}

func newJobCancel() *cobra.Command {
	return viewCommand(&cobra.Command{
		Use: "cancel RUN", Short: "Cancel a run that is under way",
		Long: `Cancels a run; it fails, and is not tried again. RUN is the number that "tinydev job runs" shows.

Example:
  tinydev job cancel 117`,
		Args: takes(1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			runID, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil || runID < 1 {
				return fault.New(fault.Invalid, "usage", "%q is not the number of a run", args[0]).WithHint("tinydev job runs JOB shows the numbers")
			}
			cancelled, err := c.CancelRun(ctx, runID, on(cmd, "dry-run"))
			if err != nil {
				return err
			}
			return showChange(cmd, cancelled.Made, cancelled.SQL, func(w io.Writer) error {
				did := "cancelled"
				if !cancelled.Made.Cancelled {
					did = "had ended already:"
				}
				_, err := fmt.Fprintf(w, "%s run %d\n", did, runID)
				return err
			})
		}),
	}, true)
}

func alterJob(ctx context.Context, c *client.Client, cmd *cobra.Command, id string, to control.JobOptions, active *bool) error {
	jobID, err := jobNumber(id)
	if err != nil {
		return err
	}
	job, err := c.AlterJob(ctx, jobID, to, active, on(cmd, "dry-run"))
	if err != nil {
		return err
	}
	return showChange(cmd, job.Made, job.SQL, func(w io.Writer) error { return printJob(w, job.Made) })
}

func jobNumber(text string) (int64, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 1 {
		return 0, fault.New(fault.Invalid, "usage", "%q is not the number of a job", text).WithHint("tinydev job list shows the numbers")
	}
	return id, nil
}

func newJobList() *cobra.Command {
	return viewCommand(&cobra.Command{
		Use: "list", Short: "List the jobs that you may see",
		Long: `Lists the rows of cron.job that are yours or refresh a view that you may read. Jobs that were not made here have no view.

Example:
  tinydev job list --json

Next: tinydev job runs JOB`,
		Args: takes(0),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, _ []string) error {
			list, err := c.Jobs(ctx)
			if err != nil {
				return err
			}
			return show(cmd, list, func(w io.Writer) error {
				var rows [][]string
				for _, job := range list {
					state, next := "active", ""
					if !job.Active {
						state = "paused"
					}
					if len(job.NextRuns) > 0 {
						next = console.Time(&job.NextRuns[0])
					}
					rows = append(rows, []string{strconv.FormatInt(job.JobID, 10), text(job.View), text(job.Schedule), text(job.Words), state, next, job.Owner})
				}
				return console.Table(w, []string{"job", "view", "schedule", "in words", "state", "next run (UTC)", "owner"}, rows)
			})
		}),
	}, false)
}

func newJobShow() *cobra.Command {
	return viewCommand(&cobra.Command{
		Use: "show JOB", Short: "Describe a job: schedule in words, next runs, command",
		Long: `Describes a job. JOB is the number that "tinydev job list" shows.

Example:
  tinydev job show 5

Next: tinydev job runs 5`,
		Args: takes(1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			jobID, err := jobNumber(args[0])
			if err != nil {
				return err
			}
			job, err := c.Job(ctx, jobID)
			if err != nil {
				return err
			}
			return show(cmd, job, func(w io.Writer) error { return printJob(w, job) })
		}),
	}, false)
}

func newJobRuns() *cobra.Command {
	cmd := viewCommand(&cobra.Command{
		Use: "runs JOB", Short: "List the last runs of a job",
		Long: `Lists the last runs of a job, newest first: why and when each began, how late, how long it took, and what PostgreSQL answered.

Example:
  tinydev job runs 5 --limit 50`,
		Args: takes(1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			jobID, err := jobNumber(args[0])
			if err != nil {
				return err
			}
			limit, err := cmd.Flags().GetInt("limit")
			if err != nil {
				return err
			}
			list, err := c.Runs(ctx, jobID, limit)
			if err != nil {
				return err
			}
			return show(cmd, list, func(w io.Writer) error {
				var rows [][]string
				for _, run := range list {
					rows = append(rows, []string{strconv.FormatInt(run.RunID, 10), run.Status, run.Cause, console.Time(run.DueAt), console.Time(run.StartedAt), milliseconds(run.WaitMS), milliseconds(run.DurationMS), number(run.Rows), text(run.Message)})
				}
				return console.Table(w, []string{"run", "status", "cause", "due (UTC)", "started (UTC)", "late", "took", "rows", "message"}, rows)
			})
		}),
	}, false)
	cmd.Flags().Int("limit", 20, "runs to list, up to 1000")
	return cmd
}

func newJobPreview() *cobra.Command {
	cmd := viewCommand(&cobra.Command{
		Use: "preview SCHEDULE", Short: "Tell what a schedule means and when it will run",
		Long: `Tells a schedule in words, its next runs, and what pg_cron does with it that one might not expect. Nothing is stored. For H it
tells what would be chosen now.

Example:
  tinydev job preview '0 3 $ * *'
  tinydev job preview 'H/15 * * * *'
  tinydev job preview 'at 2026-12-05 14:30' --time-zone Europe/Berlin

Next: tinydev job create VIEW SCHEDULE`,
		Args: takes(1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			zone, err := cmd.Flags().GetString("time-zone")
			if err != nil {
				return err
			}
			count, err := cmd.Flags().GetInt("count")
			if err != nil {
				return err
			}
			preview, err := c.PreviewSchedule(ctx, args[0], zone, count)
			if err != nil {
				return err
			}
			return show(cmd, preview, func(w io.Writer) error {
				fmt.Fprintf(w, "%s: %s (%s)\n", preview.Schedule, preview.Words, preview.TimeZone)
				for i := range preview.Runs {
					fmt.Fprintf(w, "  %s UTC\n", console.Time(&preview.Runs[i]))
				}
				return printWarnings(w, preview.Warnings)
			})
		}),
	}, false)
	cmd.Flags().String("time-zone", "", "zone in which the schedule is read; default pg_cron's own")
	cmd.Flags().Int("count", 5, "runs to list, up to 1000")
	return cmd
}

func newJobDrop() *cobra.Command {
	return viewCommand(&cobra.Command{
		Use: "drop JOB", Short: "Remove a job; its view stays",
		Long: `Removes a job from cron.job; its view stays, and a run that is under way goes on.

Example:
  tinydev job drop 5 --dry-run`,
		Args: takes(1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			jobID, err := jobNumber(args[0])
			if err != nil {
				return err
			}
			dropped, err := c.DropJob(ctx, jobID, on(cmd, "dry-run"))
			if err != nil {
				return err
			}
			return showChange(cmd, dropped.Made, dropped.SQL, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "removed job %d\n", jobID)
				return err
			})
		}),
	}, true)
}

func printJob(w io.Writer, job control.Job) error {
	state := "active"
	if !job.Active {
		state = "paused"
	}
	timeout, last := "none", "none"
	if job.TimeoutSeconds != nil {
		timeout = console.Duration(time.Duration(*job.TimeoutSeconds) * time.Second)
	}
	if run := job.LastRun; run != nil {
		last = strings.TrimSpace(fmt.Sprintf("%d %s %s", run.RunID, run.Status, console.Time(run.StartedAt)))
		if run.Failures > 1 {
			last += fmt.Sprintf(", the %dth failure one after the other", run.Failures)
		}
	}
	err := console.Fields(w, [2]string{"job", strconv.FormatInt(job.JobID, 10)}, [2]string{"view", text(job.View)}, [2]string{"schedule", text(job.Schedule)}, [2]string{"after", strings.Join(job.After, ", ")},
		[2]string{"in words", text(job.Words)}, [2]string{"time zone", job.TimeZone}, [2]string{"overlap", job.Overlap}, [2]string{"missed", job.Missed}, [2]string{"time-out", timeout}, [2]string{"retries", strconv.Itoa(job.Retries)}, [2]string{"track changes", job.TrackChanges}, [2]string{"wave", map[bool]string{true: "yes", false: "no"}[job.Wave]},
		[2]string{"state", state}, [2]string{"last run", last}, [2]string{"owner", job.Owner},
		[2]string{"next runs (UTC)", console.Times(job.NextRuns)}, [2]string{"command", job.Command})
	if err != nil {
		return err
	}
	return printWarnings(w, job.Warnings)
}

func printWarnings(w io.Writer, warnings []string) error {
	for _, warning := range warnings {
		if _, err := fmt.Fprintf(w, "warning: %s\n", console.Printable(warning)); err != nil {
			return err
		}
	}
	return nil
}

func milliseconds(ms *int64) string {
	if ms == nil {
		return ""
	}
	return console.Duration(time.Duration(*ms) * time.Millisecond)
}

func number(n *int64) string {
	if n == nil {
		return ""
	}
	return strconv.FormatInt(*n, 10)
}

func text(value *string) string {
	if value == nil {
		return ""
	}
	return *value
}
