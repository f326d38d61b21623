package web

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// listJobs answers GET /jobs?after=.
func listJobs(v *visit) error {
	after, _ := strconv.ParseInt(v.QueryParam("after"), 10, 64) // a bad number starts at the front
	jobs, err := v.user.Jobs(v.ctx(), after, listLimit)
	if err != nil {
		return err
	}
	p := listPage[control.Job]{Items: jobs}
	if len(jobs) == listLimit {
		p.Next = strconv.FormatInt(jobs[len(jobs)-1].JobID, 10)
	}
	return v.show(http.StatusOK, "jobs", "jobs", "Jobs", p)
}

// jobPage is one job with its runs.
type jobPage struct {
	Job    control.Job
	Mine   bool
	Runs   []control.Run
	Before int64 // to see older runs; 0 when there are none
	SQL    []string
}

// runsPerPage is how many runs a job's page lists.
const runsPerPage = 50

// showJob answers GET /job?id=&before=.
func showJob(v *visit) error {
	id, err := v.jobID()
	if err != nil {
		return err
	}
	job, err := v.user.DescribeJob(v.ctx(), id)
	if err != nil {
		return err
	}
	before, _ := strconv.ParseInt(v.QueryParam("before"), 10, 64)
	p := jobPage{Job: job, Mine: job.Owner == v.user.Role && job.IsManaged}
	if p.Runs, err = v.user.Runs(v.ctx(), id, before, runsPerPage); err != nil {
		return err
	}
	if len(p.Runs) == runsPerPage {
		p.Before = p.Runs[runsPerPage-1].RunID
	}
	if p.Mine {
		active := !job.Active
		plan, err := v.user.AlterJob(v.ctx(), id, control.JobOptions{}, &active, true)
		if err != nil {
			return err
		}
		p.SQL = plan.SQL
	}
	return v.show(http.StatusOK, "job", "jobs", "Job "+strconv.FormatInt(id, 10), p)
}

func (v *visit) jobID() (int64, error) {
	id, err := strconv.ParseInt(v.FormValue("id"), 10, 64)
	if err != nil {
		return 0, fault.New(fault.NotFound, "job_not_found", "there is no job %q", v.FormValue("id")).WithHint("see the list of jobs")
	}
	return id, nil
}

// setActive answers POST /job/active (id, active=true|false).
func setActive(v *visit) error {
	id, err := v.jobID()
	if err != nil {
		return err
	}
	active := v.FormValue("active") == "true"
	if _, err := v.user.AlterJob(v.ctx(), id, control.JobOptions{}, &active, false); err != nil {
		return err
	}
	done := "paused"
	if active {
		done = "resumed"
	}
	return v.back("/job?" + url.Values{"id": {strconv.FormatInt(id, 10)}, "done": {done}}.Encode())
}

// runJob answers POST /job/run (id): it waits for the end of the run.
func runJob(v *visit) error {
	id, err := v.jobID()
	if err != nil {
		return err
	}
	done := "ran"
	if _, err := v.user.RunJob(v.ctx(), id, false); err != nil {
		// What the view's query raised stands in the list of runs.
		if f := fault.As(err); f == nil || f.Fields["sqlstate"] == nil {
			return err
		}
		done = "run-failed"
	}
	return v.back("/job?" + url.Values{"id": {strconv.FormatInt(id, 10)}, "done": {done}}.Encode())
}

// cancelRun answers POST /run/cancel (run, job).
func cancelRun(v *visit) error {
	run, err := strconv.ParseInt(v.FormValue("run"), 10, 64)
	if err != nil {
		return fault.New(fault.NotFound, "run_not_found", "there is no run %q", v.FormValue("run")).WithHint("see the runs of a job")
	}
	id, err := v.jobID()
	if err != nil {
		return err
	}
	if _, err := v.user.CancelRun(v.ctx(), run, false); err != nil {
		return err
	}
	return v.back("/job?" + url.Values{"id": {strconv.FormatInt(id, 10)}, "done": {"cancelled"}}.Encode())
}

// pauseJobs answers POST /jobs/active (active=true|false).
func pauseJobs(v *visit) error {
	active := v.FormValue("active") == "true"
	if _, err := v.user.PauseJobs(v.ctx(), active, false); err != nil {
		return err
	}
	done := "all-paused"
	if active {
		done = "all-resumed"
	}
	return v.back("/jobs?done=" + done)
}

// confirmRemoveJob answers GET /job/remove?id=.
func confirmRemoveJob(v *visit) error {
	id, err := v.jobID()
	if err != nil {
		return err
	}
	plan, err := v.user.Unschedule(v.ctx(), id, true)
	return v.confirm("jobs", confirmPage{
		Fields: map[string]string{"id": strconv.FormatInt(id, 10)}, What: fmt.Sprintf("job %d", id), Loses: "The view stays and keeps its rows; nothing refreshes it any more.", Verb: "Remove the job",
		Action: "/job/remove", Cancel: "/job?id=" + strconv.FormatInt(id, 10), SQL: plan.SQL,
	}, err)
}

// removeJob answers POST /job/remove (id).
func removeJob(v *visit) error {
	id, err := v.jobID()
	if err != nil {
		return err
	}
	if _, err := v.user.Unschedule(v.ctx(), id, false); err != nil {
		return err
	}
	return v.back("/jobs?done=removed")
}

// schedulePage is the form in which a view gets its schedule.
type schedulePage struct {
	View    string
	Views   []control.RelationSummary // to choose from when View is ""
	Presets []preset
	Preset  string
	At      string // HH:MM, for daily and weekdays
	Custom  string
	Zone    string // "" is pg_cron's
	After   string // names, separated by commas
	Overlap string
	Missed  string
	Timeout string // seconds; "" is none
	Retries string
	Track   string
	Wave    bool
	Job     *control.Job // what the view has now
	Preview *control.SchedulePreview
	SQL     []string
	Problem *problem
}

// preset is a schedule that is offered ready-made. In its schedule %M and %H stand for the time of day.
type preset struct {
	Key, Words, Schedule string
	AtTime               bool
}

const (
	customPreset = "custom"
	afterPreset  = "after" // no schedule of its own
)

var presets = []preset{
	{Key: "5s", Words: "Every 5 seconds", Schedule: "5 seconds"},
	{Key: "1m", Words: "Every minute", Schedule: "* * * * *"},
	{Key: "15m", Words: "Every 15 minutes", Schedule: "*/15 * * * *"},
	{Key: "1h", Words: "Every hour", Schedule: "0 * * * *"},
	{Key: "daily", Words: "Every day at the time below", Schedule: "%M %H * * *", AtTime: true},
	{Key: "weekdays", Words: "Monday to Friday at the time below", Schedule: "%M %H * * 1-5", AtTime: true},
	{Key: customPreset, Words: "Custom"},
	{Key: afterPreset, Words: "Only after the tables and views named below"},
}

var timeOfDay = regexp.MustCompile(`^([01]?\d|2[0-3]):([0-5]\d)`)

// schedule gives the text for pg_cron. Errors: invalid form_invalid.
func (p *schedulePage) schedule() (string, error) {
	for _, each := range presets {
		if each.Key != p.Preset {
			continue
		}
		if each.Key == customPreset {
			return p.Custom, nil
		}
		if each.Key == afterPreset {
			if p.After == "" {
				return "", fault.New(fault.Invalid, "form_invalid", "no table or view is named after which it is refreshed").WithHint("name one, or choose how often it is refreshed")
			}
			return "", nil
		}
		if !each.AtTime {
			return each.Schedule, nil
		}
		at := timeOfDay.FindStringSubmatch(p.At)
		if at == nil {
			return "", fault.New(fault.Invalid, "form_invalid", "%q is not a time of day", p.At).WithHint("write it as 08:30")
		}
		hour, _ := strconv.Atoi(at[1])
		minute, _ := strconv.Atoi(at[2])
		return strings.NewReplacer("%M", strconv.Itoa(minute), "%H", strconv.Itoa(hour)).Replace(each.Schedule), nil
	}
	return "", fault.New(fault.Invalid, "form_invalid", "no schedule was chosen").WithHint("choose how often the view is refreshed")
}

// options gives what the form says. Errors: invalid form_invalid.
func (p *schedulePage) options() (control.JobOptions, error) {
	schedule, err := p.schedule()
	o := control.JobOptions{Schedule: &schedule, After: &p.After, Wave: &p.Wave}
	if err != nil {
		return o, err
	}
	for text, to := range map[*string]**string{&p.Zone: &o.TimeZone, &p.Overlap: &o.Overlap, &p.Missed: &o.Missed, &p.Track: &o.TrackChanges} {
		if *text != "" {
			*to = text
		}
	}
	for _, each := range []struct {
		name, text string
		to         **int
	}{{"time-out", p.Timeout, &o.TimeoutSeconds}, {"number of retries", p.Retries, &o.Retries}} {
		n := 0
		if each.text != "" {
			if n, err = strconv.Atoi(each.text); err != nil {
				return o, fault.New(fault.Invalid, "form_invalid", "the %s %q is not a whole number", each.name, each.text)
			}
		}
		*each.to = &n
	}
	// What the view's job runs after stays when it was left as it was, also beside a job that runs once.
	if p.Job != nil && p.After == strings.Join(p.Job.After, ", ") {
		o.After = nil
	}
	return o, nil
}

// choose sets the form to a schedule that is there already; nil and "" are none.
func (p *schedulePage) choose(given *string) {
	if given == nil || *given == "" {
		p.Preset = afterPreset
		return
	}
	schedule := *given
	p.Preset, p.Custom = customPreset, schedule
	for _, each := range presets {
		if each.Schedule == "" {
			continue
		}
		pattern := "^" + strings.NewReplacer("%M", `(\d+)`, "%H", `(\d+)`).Replace(regexp.QuoteMeta(each.Schedule)) + "$"
		found := regexp.MustCompile(pattern).FindStringSubmatch(schedule)
		if found == nil {
			continue
		}
		p.Preset, p.Custom = each.Key, ""
		if each.AtTime {
			minute, _ := strconv.Atoi(found[1])
			hour, _ := strconv.Atoi(found[2])
			p.At = fmt.Sprintf("%02d:%02d", hour, minute)
		}
		return
	}
}

// newSchedule answers GET /schedule?view=.
func newSchedule(v *visit) error {
	p := &schedulePage{Preset: "1m", At: "08:00", View: v.QueryParam("view")}
	if p.View != "" {
		view, err := v.user.DescribeView(v.ctx(), p.View)
		if err != nil {
			return err
		}
		p.View = view.Name
		if p.Job, err = v.jobOf(view.Name); err != nil {
			return err
		}
		if p.Job != nil {
			p.choose(p.Job.Schedule)
			p.Zone, p.After = p.Job.TimeZone, strings.Join(p.Job.After, ", ")
			p.Overlap, p.Missed, p.Track = p.Job.Overlap, p.Job.Missed, p.Job.TrackChanges
			p.Wave = p.Job.Wave
			if p.Job.TimeoutSeconds != nil {
				p.Timeout = strconv.Itoa(*p.Job.TimeoutSeconds)
			}
			if p.Job.Retries > 0 {
				p.Retries = strconv.Itoa(p.Job.Retries)
			}
		}
	}
	v.planSchedule(p)
	return v.showSchedule(http.StatusOK, p)
}

func (v *visit) showSchedule(status int, p *schedulePage) error {
	p.Presets = presets
	var err error
	if p.Views, err = v.user.Relations(v.ctx(), control.Views, "", listLimit); err != nil {
		return err
	}
	return v.show(status, "schedule", "jobs", "Schedule a view", p)
}

// planSchedule fills in what the schedule means and the SQL that saving it would run.
func (v *visit) planSchedule(p *schedulePage) {
	options, err := p.options()
	if err == nil && *options.Schedule != "" {
		var preview control.SchedulePreview
		if preview, err = v.user.PreviewSchedule(v.ctx(), *options.Schedule, p.Zone, 5, nil); err == nil {
			p.Preview = &preview
		}
	}
	if err == nil && p.View != "" {
		var plan control.Change[control.Job]
		plan, err = v.user.Schedule(v.ctx(), p.View, options, true)
		p.SQL = plan.SQL
	}
	p.Problem = v.explain(err, "")
}

// saveSchedule answers POST /schedule (view, preset, at, custom, zone, after, track, wave, overlap, missed, timeout, retries, do=check|save).
func saveSchedule(v *visit) error {
	p := &schedulePage{View: v.FormValue("view"), Preset: v.FormValue("preset"), At: v.FormValue("at"), Custom: strings.TrimSpace(v.FormValue("custom")),
		Zone: strings.TrimSpace(v.FormValue("zone")), Overlap: v.FormValue("overlap"), Missed: v.FormValue("missed"),
		After: strings.TrimSpace(v.FormValue("after")), Track: v.FormValue("track"), Wave: v.FormValue("wave") != "", Timeout: strings.TrimSpace(v.FormValue("timeout")), Retries: strings.TrimSpace(v.FormValue("retries"))}
	var err error
	if p.Job, err = v.jobOf(p.View); err != nil {
		return err
	}
	switch do := v.FormValue("do"); do {
	case "check":
		v.planSchedule(p)
		return v.showSchedule(http.StatusOK, p)
	case "save":
	default:
		return unknownStep(do)
	}
	options, err := p.options()
	if err == nil {
		var change control.Change[control.Job]
		if change, err = v.user.Schedule(v.ctx(), p.View, options, false); err == nil {
			return v.back("/job?" + url.Values{"id": {strconv.FormatInt(change.Made.JobID, 10)}, "done": {"scheduled"}}.Encode())
		}
	}
	v.planSchedule(p)
	p.Problem = v.explain(err, "")
	return v.showSchedule(p.Problem.Status, p)
}
