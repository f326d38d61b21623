// Package demo plays the whole way from a file to an event on sample data.
package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tinydevcrm/tinydevcrm/cmd/tinydev/internal/console"
	"github.com/tinydevcrm/tinydevcrm/pkg/client"
	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// Demo is one showing.
type Demo struct {
	Client      *client.Client
	Out         io.Writer
	For         time.Duration // of events; 0 goes on until the context ends
	Keep        bool          // leave the jobs running
	Interrupted func(err error, pause time.Duration)
}

// act is one file on its way to events.
type act struct {
	file     string
	table    string
	view     string
	query    string
	schedule string
	story    string
	csv      func(now time.Time) string
}

var acts = []act{
	{
		file: "friends.csv", table: "demo_friends", view: "demo_bdays_today", schedule: "5 seconds",
		query: `select * from demo_friends where to_char("Date", 'MM-DD') = to_char(current_date, 'MM-DD')`,
		story: "Who has a birthday today? Asked every 5 seconds.", csv: friends,
	},
	{
		file: "numbers.csv", table: "demo_numbers", view: "demo_current_digit", schedule: "1 seconds",
		query: `select * from demo_numbers where "AColumnOfNumbers" = floor(extract(second from now())) % 10`,
		story: "Which number is the last digit of the current second? Asked every second.", csv: numbers,
	},
}

// friends has birthdays on today's date, whatever the time zone of the database. The years are leap years, for 29 February.
func friends(now time.Time) string {
	day := func(year, days int) string {
		at := now.UTC().AddDate(0, 0, days)
		return fmt.Sprintf("%d-%02d-%02d", year, at.Month(), at.Day())
	}
	return "Name,Date,Email,Postcode\n" +
		"ann," + day(1988, 0) + ",ann@example.org,01069\n" +
		"bob," + day(1992, 0) + ",bob@example.org,63000\n" +
		"eve," + day(1984, -1) + ",eve@example.org,91054\n" +
		"\"ann, the elder\"," + day(1996, 1) + ",elder@example.org,10001\n" +
		"bob junior," + day(1980, 100) + ",,04001\n" +
		"eve junior," + day(2000, 200) + ",eve.junior@example.org,11419\n"
}

func numbers(time.Time) string { return "AColumnOfNumbers\n0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n" }

// Play makes tables, views and jobs, prints the events until For has passed or ctx ends, and removes the jobs again. The end of ctx
// is no error.
func (d *Demo) Play(ctx context.Context) error {
	after, err := d.Client.Head(ctx)
	if err != nil {
		return err
	}
	var views []string
	var jobs []int64
	defer func() { d.farewell(context.WithoutCancel(ctx), jobs) }()
	for i, a := range acts {
		fmt.Fprintf(d.Out, "%d. %s\n", i+1, a.story)
		view, job, err := d.stage(ctx, a)
		if job != 0 {
			jobs = append(jobs, job)
		}
		if errors.Is(err, context.Canceled) {
			return nil
		}
		if err != nil {
			return err
		}
		views = append(views, view)
	}
	return d.watch(ctx, after, views)
}

// stage takes one act from its file to its job.
func (d *Demo) stage(ctx context.Context, a act) (view string, job int64, err error) {
	if err := d.remove(ctx, a, "left by an earlier demo"); err != nil {
		return "", 0, err
	}
	text := a.csv(time.Now())
	fmt.Fprintf(d.Out, "\n   The file %s:\n%s\n   becomes a table:\n", a.file, indent(firstLines(text, 4)))
	load := client.Load{Table: a.table, FileName: a.file}
	loaded, err := change(d, func(dryRun bool) (control.Change[client.Loaded], error) {
		return d.Client.Load(ctx, load, strings.NewReader(text), dryRun)
	})
	if err != nil {
		return "", 0, err
	}
	fmt.Fprintf(d.Out, "   %s with %s.\n\n   A query on it becomes a materialized view:\n", loaded.Table, console.Count(loaded.Rows, "row"))
	made, err := change(d, func(dryRun bool) (control.Change[control.Relation], error) {
		return d.Client.CreateView(ctx, a.view, a.query, dryRun)
	})
	if err != nil {
		return "", 0, err
	}
	fmt.Fprintf(d.Out, "   %s is there.\n\n   pg_cron refreshes it:\n", made.Name)
	scheduled, err := change(d, func(dryRun bool) (control.Change[control.Job], error) {
		return d.Client.CreateJob(ctx, a.view, control.JobOptions{Schedule: &a.schedule}, dryRun)
	})
	if err != nil {
		return made.Name, 0, err
	}
	fmt.Fprintf(d.Out, "   Job %d, %s.\n", scheduled.JobID, words(scheduled))
	for _, warning := range scheduled.Warnings {
		fmt.Fprintf(d.Out, "   Note: %s\n", console.Printable(warning))
	}
	fmt.Fprintln(d.Out)
	return made.Name, scheduled.JobID, nil
}

func words(job control.Job) string {
	if job.Words != nil {
		return *job.Words
	}
	return "which has no schedule that says anything"
}

// change shows the SQL of a change by a dry run, and then makes it.
func change[T any](d *Demo, make func(dryRun bool) (control.Change[T], error)) (T, error) {
	plan, err := make(true)
	if err != nil {
		return plan.Made, err
	}
	for _, statement := range plan.SQL {
		fmt.Fprintln(d.Out, indent(statement))
	}
	made, err := make(false)
	return made.Made, err
}

// watch prints what happens to the views, when they are not empty.
func (d *Demo) watch(ctx context.Context, after int64, views []string) error {
	until := "Ctrl-C ends it"
	if d.For > 0 {
		until = "for " + console.Duration(d.For)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d.For)
		defer cancel()
	}
	fmt.Fprintf(d.Out, "3. The events, as they happen (%s). Each line: position, time in UTC, type, view, rows.\n\n", until)
	how := client.Follow{After: &after, Interrupted: d.Interrupted, Filter: control.EventFilter{Subjects: views, Types: []string{"view.*"}}}
	err := d.Client.Stream(ctx, how, func(event client.Event) error {
		var data struct {
			Rows *int64 `json:"rows"`
		}
		if err := json.Unmarshal(event.Data, &data); err != nil {
			return fmt.Errorf("read an event: %w", err)
		}
		if data.Rows != nil && *data.Rows == 0 {
			return nil
		}
		_, err := fmt.Fprintln(d.Out, console.Event(event))
		return err
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// farewell removes the jobs and says what stays.
func (d *Demo) farewell(ctx context.Context, jobs []int64) {
	if len(jobs) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	fmt.Fprintln(d.Out)
	for _, job := range jobs {
		if d.Keep {
			fmt.Fprintf(d.Out, "Job %d goes on; remove it with: tinydev job drop %d\n", job, job)
			continue
		}
		if _, err := d.Client.DropJob(ctx, job, false); err != nil && fault.CodeOf(err) != "job_not_found" {
			fmt.Fprintf(d.Out, "Job %d could not be removed (%s); remove it with: tinydev job drop %d\n", job, console.Printable(err.Error()), job)
			continue
		}
		fmt.Fprintf(d.Out, "Removed job %d.\n", job)
	}
	fmt.Fprint(d.Out, "The tables and views stay: look with tinydev view rows demo_bdays_today, or remove them with tinydev demo --clean.\n"+
		"Next, a file of your own: tinydev load FILE\n")
}

// Clean removes all that demos made.
func (d *Demo) Clean(ctx context.Context) error {
	for _, a := range acts {
		if err := d.remove(ctx, a, "made by a demo"); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(d.Out, "Nothing of the demo is left.")
	return err
}

// remove drops the view with its job, and the table, where they are there.
func (d *Demo) remove(ctx context.Context, a act, which string) error {
	for _, drop := range []func(dryRun bool) (control.Change[control.Dropped], error){
		func(dryRun bool) (control.Change[control.Dropped], error) {
			return d.Client.DropView(ctx, a.view, dryRun)
		},
		func(dryRun bool) (control.Change[control.Dropped], error) {
			return d.Client.DropTable(ctx, a.table, dryRun)
		},
	} {
		dropped, err := change(d, drop)
		if fault.KindOf(err) == fault.NotFound {
			continue
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(d.Out, "   Dropped %s, %s.\n", dropped.Dropped, which)
	}
	return nil
}

func firstLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) > n {
		lines = append(lines[:n], "…")
	}
	return strings.Join(lines, "\n")
}

func indent(text string) string { return "      " + strings.ReplaceAll(text, "\n", "\n      ") }
