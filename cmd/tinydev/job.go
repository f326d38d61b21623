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
cron fields (minute, hour, day of month, month, day of week; $ is the last day of the month) or an interval of 1 to 59 seconds.

Example:
  tinydev job preview '0 9 * * 1-5'             # in words, and the next runs
  tinydev job create bdays_today '0 0 * * *'
  tinydev job runs 5

Next: tinydev events --follow`,
		newJobCreate(), newJobReschedule(), newJobPause(true), newJobPause(false), newJobList(), newJobShow(), newJobRuns(), newJobPreview(), newJobDrop())
}

func newJobCreate() *cobra.Command {
	cmd := viewCommand(&cobra.Command{
		Use: "create VIEW SCHEDULE", Short: "Have pg_cron refresh a view",
		Long: `Schedules the refresh of a view. A view has one job: a second call gives it the new schedule and keeps its id.

Example:
  tinydev job create bdays_today '0 0 * * *'    # at midnight
  tinydev job create bdays_today '5 seconds'
  tinydev job create bdays_today '5 seconds' --dry-run

Next: tinydev events --follow`,
		Args: takes(2),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			zone, err := cmd.Flags().GetString("time-zone")
			if err != nil {
				return err
			}
			job, err := c.CreateJob(ctx, args[0], args[1], zone, on(cmd, "dry-run"))
			if err != nil {
				return err
			}
			return showChange(cmd, job.Made, job.SQL, func(w io.Writer) error { return printJob(w, job.Made) })
		}),
	}, true)
	cmd.Flags().String("time-zone", "", "zone in which the schedule is read; default pg_cron's own")
	return cmd
}

func newJobReschedule() *cobra.Command {
	cmd := viewCommand(&cobra.Command{
		Use: "reschedule JOB SCHEDULE", Short: "Give a job another schedule",
		Long: `Gives a job another schedule; its id stays. JOB is the number that "tinydev job list" shows.

Example:
  tinydev job reschedule 5 '*/10 * * * *'`,
		Args: takes(2),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			to := client.JobChange{Schedule: &args[1]}
			if zone, err := cmd.Flags().GetString("time-zone"); err != nil {
				return err
			} else if zone != "" {
				to.TimeZone = &zone
			}
			return alterJob(ctx, c, cmd, args[0], to)
		}),
	}, true)
	cmd.Flags().String("time-zone", "", "zone in which the schedule is read; default pg_cron's own")
	return cmd
}

func newJobPause(pause bool) *cobra.Command {
	verb, does := "pause", "Stops a job from running until it is resumed; a run that is under way goes on."
	if !pause {
		verb, does = "resume", "Lets a paused job run again. Runs that were missed are not made up for."
	}
	return viewCommand(&cobra.Command{
		Use: verb + " JOB", Short: strings.ToUpper(verb[:1]) + verb[1:] + " a job",
		Long: does + ` JOB is the number that "tinydev job list" shows.

Example:
  tinydev job ` + verb + ` 5`,
		Args: takes(1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			active := !pause
			return alterJob(ctx, c, cmd, args[0], client.JobChange{Active: &active})
		}),
	}, true)
}

func alterJob(ctx context.Context, c *client.Client, cmd *cobra.Command, id string, to client.JobChange) error {
	jobID, err := jobNumber(id)
	if err != nil {
		return err
	}
	job, err := c.AlterJob(ctx, jobID, to, on(cmd, "dry-run"))
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
					rows = append(rows, []string{strconv.FormatInt(job.JobID, 10), text(job.View), job.Schedule, text(job.Words), state, next, job.Owner})
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
		Long: `Lists the last runs of a job as pg_cron recorded them, newest first, with what PostgreSQL answered.

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
					took := ""
					if run.DurationMS != nil {
						took = console.Duration(time.Duration(*run.DurationMS) * time.Millisecond)
					}
					rows = append(rows, []string{strconv.FormatInt(run.RunID, 10), run.Status, console.Time(run.StartedAt), took, text(run.Message)})
				}
				return console.Table(w, []string{"run", "status", "started (UTC)", "took", "message"}, rows)
			})
		}),
	}, false)
	cmd.Flags().Int("limit", 20, "runs to list, up to 1000")
	return cmd
}

func newJobPreview() *cobra.Command {
	cmd := viewCommand(&cobra.Command{
		Use: "preview SCHEDULE", Short: "Tell what a schedule means and when it will run",
		Long: `Tells a schedule in words, its next runs, and what pg_cron does with it that one might not expect. Nothing is stored.

Example:
  tinydev job preview '0 3 $ * *'

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
	err := console.Fields(w, [2]string{"job", strconv.FormatInt(job.JobID, 10)}, [2]string{"view", text(job.View)}, [2]string{"schedule", job.Schedule},
		[2]string{"in words", text(job.Words)}, [2]string{"time zone", job.TimeZone}, [2]string{"state", state}, [2]string{"owner", job.Owner},
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

func text(value *string) string {
	if value == nil {
		return ""
	}
	return *value
}
