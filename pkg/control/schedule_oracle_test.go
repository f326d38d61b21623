package control_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

var (
	scheduleCount   = flag.Int("schedule.count", 10000, "about how many random schedules that pg_cron accepts are compared with it")
	scheduleMinutes = flag.Int("schedule.minutes", 80, "minutes to which pg_cron's clock is set for that")
	scheduleSeed    = flag.Uint64("schedule.seed", 1, "what the random schedules and minutes are drawn from")
)

// parsed is what tinydev_lib.parse_schedule gives.
type parsed struct {
	Kind      string `json:"kind"`
	Schedule  string `json:"schedule"`
	Minutes   []int  `json:"minutes"`
	Hours     []int  `json:"hours"`
	Days      []int  `json:"days"`
	Months    []int  `json:"months"`
	Weekdays  []int  `json:"weekdays"`
	LastDay   bool   `json:"last_day"`
	EitherDay bool   `json:"either_day"`
	Never     bool   `json:"never"`
}

// onDay tells whether the schedule has times on t's day.
func (p *parsed) onDay(t time.Time) bool {
	day := slices.Contains(p.Days, t.Day()) || p.LastDay && t.AddDate(0, 0, 1).Day() == 1
	weekday := slices.Contains(p.Weekdays, int(t.Weekday()))
	return slices.Contains(p.Months, int(t.Month())) && (day && weekday || p.EitherDay && (day || weekday))
}

// due tells whether the schedule has t, by the clock that t shows.
func (p *parsed) due(t time.Time) bool {
	return slices.Contains(p.Minutes, t.Minute()) && slices.Contains(p.Hours, t.Hour()) && p.onDay(t)
}

// next gives the first count times after t, to be found within some years.
func (p *parsed) next(t time.Time, count, years int) []time.Time {
	runs := []time.Time{}
	end := t.AddDate(years, 0, 0)
	for day := t.Truncate(24 * time.Hour); day.Before(end); day = day.AddDate(0, 0, 1) {
		if !p.onDay(day) {
			continue
		}
		for _, hour := range p.Hours {
			for _, minute := range p.Minutes {
				if at := day.Add(time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute); at.After(t) {
					runs = append(runs, at)
					if len(runs) == count {
						return runs
					}
				}
			}
		}
	}
	return runs
}

// TestScheduleEqualsCron compares our reading of random schedules with what the installed pg_cron does: it accepts the same, and over
// minutes that its clock is set to it starts the same jobs. next_runs and explain_schedule are compared with our reading in turn.
//
//	go test ./pkg/control -run TestScheduleEqualsCron -schedule.seed 2 -schedule.count 30000 -schedule.minutes 2000
func TestScheduleEqualsCron(t *testing.T) {
	t.Parallel()
	for _, way := range pgtest.Ways() {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			t.Logf("-schedule.seed %d -schedule.count %d -schedule.minutes %d", *scheduleSeed, *scheduleCount, *scheduleMinutes)
			o := newOracle(t, way)
			o.read(t, randomSchedules(rand.New(rand.NewPCG(*scheduleSeed, 1)), *scheduleCount*31/20))
			t.Run("minutes", func(t *testing.T) {
				t.Parallel()
				o.compareMinutes(t, rand.New(rand.NewPCG(*scheduleSeed, 2)))
			})
			t.Run("next_runs", func(t *testing.T) {
				t.Parallel()
				o.compareNextRuns(t, rand.New(rand.NewPCG(*scheduleSeed, 3)))
			})
			t.Run("explain_schedule", func(t *testing.T) {
				t.Parallel()
				o.compareWords(t)
			})
		})
	}
}

// oracle is a pg_cron with random schedules.
type oracle struct {
	db        *pgtest.Database
	conn      *pgx.Conn // the superuser's
	clock     *pgtest.Clock
	now       time.Time         // of the clock
	jobs      map[int64]*parsed // of pg_cron; nil for a schedule that we refuse
	schedules []*parsed         // that we accept, in the order in which they were drawn
	sentinel  int64             // a job of each minute
	invalid   map[int64]bool    // jobs whose schedule pg_cron refuses, as the log says
	logRead   int64             // bytes of the log
}

// epoch is where pg_cron's clock begins.
var epoch = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)

func newOracle(t *testing.T, way string) *oracle {
	t.Helper()
	o := &oracle{now: epoch, jobs: map[int64]*parsed{}, invalid: map[int64]bool{}}
	o.db, o.clock = pgtest.Clocked(t, way, o.now, map[string]string{
		"cron.enable_superuser_jobs": "on",
		// A job is started, says so in the log, and fails at once, for want of a server at that address: thousands a second.
		"cron.use_background_workers": "off",
		"cron.host":                   "/nowhere",
		"cron.log_statement":          "on",
		"cron.log_run":                "off",
		"cron.max_running_jobs":       "500",
		"max_connections":             "500",
		"log_line_prefix":             "",
		"logging_collector":           "on",
		"log_directory":               "log",
		"log_filename":                "cron.log",
		"log_rotation_age":            "0",
		"log_rotation_size":           "0",
	})
	o.conn = o.db.Superuser()
	mustExec(t, o.conn, "delete from cron.job") // the system's own
	return o
}

func mustExec(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(context.Background(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// read has both parse the schedules, and compares what they accept. Each is a job of pg_cron then: as we give it to pg_cron when we
// accept it, else as it is, with and without the spaces around it.
func (o *oracle) read(t *testing.T, schedules []string) {
	t.Helper()
	mustExec(t, o.conn, `create function pg_temp.read(schedule text) returns jsonb language plpgsql as $$
begin
  return tinydev_lib.parse_schedule(schedule);
exception when sqlstate 'TD422' then
  return null;
end $$`)
	rows, err := o.conn.Query(context.Background(), `
with reading as materialized (
  select n, schedule, pg_temp.read(schedule) as parsed from unnest($1::text[]) with ordinality as u(schedule, n)
), job as (
  insert into cron.job (schedule, command, nodename, nodeport, active)
  select distinct s, 'x', '/nowhere', 1, coalesce(parsed ->> 'kind' = 'cron', true)
  from reading, unnest(case when parsed is null then array[schedule, btrim(schedule, E' \t\n\r\f\x0b')] else array[parsed ->> 'schedule'] end) s
  where parsed ->> 'kind' is distinct from 'interval' or tinydev_lib.cron_release() >= array[1, 5] -- before, they are ours
  returning jobid, schedule
)
select job.jobid, job.schedule, reading.parsed::text
from job left join (select distinct on (parsed ->> 'schedule') * from reading where parsed is not null order by parsed ->> 'schedule', n) as reading
  on job.schedule = reading.parsed ->> 'schedule'
order by reading.n, job.jobid`, schedules)
	if err != nil {
		t.Fatal(err)
	}
	var job int64
	var schedule string
	var reading *string
	refused := map[int64]string{}
	_, err = pgx.ForEachRow(rows, []any{&job, &schedule, &reading}, func() error {
		o.jobs[job] = nil
		if reading == nil {
			refused[job] = schedule
			return nil
		}
		p := &parsed{}
		o.jobs[job] = p
		o.schedules = append(o.schedules, p)
		if schedule == schedules[0] {
			o.sentinel = job
		}
		return json.Unmarshal([]byte(*reading), p)
	})
	if err != nil {
		t.Fatal(err)
	}
	for try := 1; !o.step(t, o.now.Add(4*time.Hour), true); try++ {
		if try == 5 {
			t.Fatal("pg_cron starts no job")
		}
	}
	for job, p := range o.jobs {
		switch {
		case p == nil && !o.invalid[job]:
			t.Errorf("pg_cron accepts %q, and we do not", refused[job])
		case p != nil && o.invalid[job]:
			t.Errorf("we accept %q, and pg_cron does not", p.Schedule)
		}
	}
	t.Logf("%d different schedules are accepted, %d refused", len(o.schedules), len(refused))
	if len(o.schedules) < len(schedules)/2 || len(refused) < len(schedules)/20 {
		t.Error("that tells little")
	}
}

// compareMinutes sets pg_cron's clock to minutes, ever later since it does nothing while time goes backwards, and compares the jobs that
// it starts with our reading.
func (o *oracle) compareMinutes(t *testing.T, random *rand.Rand) {
	t.Helper()
	for _, at := range randomMinutes(random, o.now, *scheduleMinutes, o.schedules) {
		if o.step(t, at, false); t.Failed() {
			return
		}
	}
}

// step sets the clock, waits until pg_cron started as many jobs as it should, and compares which. pg_cron takes the minutes of a step of
// up to five all, and of one of more than three hours the last one alone. first is for the first step after jobs were made: it is false
// when the launcher had not heard of them.
func (o *oracle) step(t *testing.T, to time.Time, first bool) bool {
	t.Helper()
	from := to
	if gap := to.Sub(o.now); gap <= 5*time.Minute {
		from = o.now.Add(time.Minute)
	} else if gap <= 3*time.Hour {
		t.Fatalf("a step from %v to %v is neither short nor long", o.now, to)
	}
	want, left := map[int64]int{}, 0
	for minute := from; !minute.After(to); minute = minute.Add(time.Minute) {
		for job, p := range o.jobs {
			if p != nil && p.due(minute) {
				want[job]++
				left++
			}
		}
	}
	o.clock.Set(to)
	o.now = to
	mustExec(t, o.conn, "select pg_reload_conf()") // wakes the launcher, which else looks once a second
	for deadline := time.Now().Add(20 * time.Second); left > 0 && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		for _, job := range o.starts(t) {
			want[job]--
			left--
		}
	}
	if first && want[o.sentinel] > 0 {
		return false
	}
	told := 0
	for job, missing := range want {
		if missing == 0 || o.jobs[job] == nil {
			continue // a job that we refuse is told of elsewhere
		}
		if told++; told <= 20 {
			t.Errorf("%q: of the minutes from %s to %s, a %s, pg_cron starts %d fewer than we say (below 0: more)", o.jobs[job].Schedule, from.Format(time.DateTime), to.Format(time.DateTime), to.Weekday(), missing)
		}
	}
	return true
}

// starts gives the jobs that the log says were started since the last call, and notes those whose schedule it says is invalid.
func (o *oracle) starts(t *testing.T) []int64 {
	t.Helper()
	// As bytes: the end may lie within a character.
	text := string(pgtest.Value[[]byte](t, o.conn, "select pg_read_binary_file('log/cron.log', $1, 4000000)", o.logRead))
	end := strings.LastIndexByte(text, '\n') + 1
	o.logRead += int64(end)
	var jobs []int64
	for line := range strings.Lines(text[:end]) {
		var job int64
		if n, _ := fmt.Sscanf(line, "LOG:  invalid pg_cron schedule for job %d:", &job); n == 1 {
			o.invalid[job] = true
		} else if number, ok := strings.CutPrefix(line, "LOG:  cron job "); ok {
			number, is, _ := strings.Cut(number, " ")
			if job, err := strconv.ParseInt(number, 10, 64); err == nil && is == "starting: x\n" {
				jobs = append(jobs, job)
			}
		}
	}
	return jobs
}

// compareNextRuns compares what next_runs computes with our reading, from random times on.
func (o *oracle) compareNextRuns(t *testing.T, random *rand.Rand) {
	t.Helper()
	var texts []string
	var afters []time.Time
	for _, p := range o.schedules {
		texts = append(texts, p.Schedule)
		afters = append(afters, epoch.Add(time.Duration(random.IntN(20*365*24*60*60))*time.Second))
	}
	rows, err := o.db.Superuser().Query(context.Background(), `
select array(select r from tinydev.next_runs(schedule, 'UTC', 3, after) r order by r)
from unnest($1::text[], $2::timestamptz[]) with ordinality as u(schedule, after, n) order by n`, texts, afters)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[[]time.Time])
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range o.schedules {
		want := []time.Time{}
		if p.Kind == "cron" {
			want = p.next(afters[i], 3, 41)
			if p.Never != (len(want) == 0) {
				t.Errorf("%q: never is %v, and it runs at %v", p.Schedule, p.Never, want)
			}
		} else if p.Kind == "interval" {
			continue
		}
		if !slices.EqualFunc(all[i], want, time.Time.Equal) {
			t.Errorf("%q after %v runs at %v; next_runs says %v", p.Schedule, afters[i], want, all[i])
		}
	}
}

// compareWords sees to it that two schedules have the same words when they have the same times, and no others have.
func (o *oracle) compareWords(t *testing.T) {
	t.Helper()
	schedules := o.schedules[:min(len(o.schedules), 3000)] // they come in random order, and the same times come often
	var texts []string
	for _, p := range schedules {
		texts = append(texts, p.Schedule)
	}
	rows, err := o.db.Superuser().Query(context.Background(), `
select tinydev.explain_schedule(schedule) from unnest($1::text[]) with ordinality as u(schedule, n) order by n`, texts)
	if err != nil {
		t.Fatal(err)
	}
	words, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	byTimes, byWords := map[string]int{}, map[string]int{}
	for i, p := range schedules {
		if p.Kind != "cron" {
			continue
		}
		times := p.times()
		if j, ok := byTimes[times]; !ok {
			byTimes[times] = i
		} else if words[i] != words[j] {
			t.Errorf("%q and %q have the same times, and not the same words: %s; %s", p.Schedule, schedules[j].Schedule, words[i], words[j])
		}
		if j, ok := byWords[words[i]]; !ok {
			byWords[words[i]] = i
		} else if other := schedules[j]; times != other.times() {
			t.Errorf("%q and %q have the same words, and not the same times: %s", p.Schedule, other.Schedule, words[i])
		}
	}
	t.Logf("%d schedules differ in their times", len(byTimes))
}

// times says when a schedule runs, the same for all that run at the same times.
func (p *parsed) times() string {
	if p.Never {
		return "never"
	}
	days := &strings.Builder{}
	for day := 1; day <= 31; day++ {
		for weekday := range 7 {
			for _, last := range []bool{false, true} {
				isDay := slices.Contains(p.Days, day) || p.LastDay && last && day >= 28
				isWeekday := slices.Contains(p.Weekdays, weekday)
				if isDay && isWeekday || p.EitherDay && (isDay || isWeekday) {
					days.WriteByte('1')
				} else {
					days.WriteByte('0')
				}
			}
		}
	}
	return fmt.Sprint(p.Minutes, p.Hours, p.Months, days)
}

// randomMinutes gives ascending minutes after start for pg_cron's clock: each day of a month, hour and minute as often as any other, ends
// of months more often, times at which one of the schedules is due, and a few minutes after another one.
func randomMinutes(random *rand.Rand, start time.Time, count int, schedules []*parsed) []time.Time {
	var minutes []time.Time
	now := start
	hours := &deck{random: random, size: 24}
	minutesOfHour := &deck{random: random, size: 60}
	timeOfDay := func() time.Duration { // at full hours now and then, as most schedules are
		if random.IntN(3) == 0 {
			return time.Duration(hours.draw()) * time.Hour
		}
		return time.Duration(hours.draw())*time.Hour + time.Duration(minutesOfHour.draw())*time.Minute
	}
	for len(minutes) < count {
		var at time.Time
		day := now.AddDate(0, 0, 1+random.IntN(30)).Truncate(24 * time.Hour)
		switch random.IntN(10) {
		case 0:
			at = now.Add(time.Duration(1+random.IntN(5)) * time.Minute)
		case 1, 2: // the last day of a month, or one of those around it
			at = time.Date(day.Year(), day.Month()+1, random.IntN(4)-2, 0, 0, 0, 0, time.UTC).Add(timeOfDay())
		case 3, 4, 5:
			if next := schedules[random.IntN(len(schedules))].next(day, 1, 1); len(next) == 1 && next[0].Sub(day) < 60*24*time.Hour {
				at = next[0]
			}
		case 6: // 29 February, or 1 March
			if day.Month() > 2 {
				continue
			}
			at = time.Date(day.Year(), 2, 29, 0, 0, 0, 0, time.UTC).Add(timeOfDay())
		default:
			at = day.Add(timeOfDay())
		}
		if gap := at.Sub(now); gap > 181*time.Minute || gap > 0 && gap <= 5*time.Minute {
			minutes = append(minutes, at)
			now = at
		}
	}
	return minutes
}

// deck gives the numbers below size in random order, over and over.
type deck struct {
	random *rand.Rand
	size   int
	left   []int
}

func (d *deck) draw() int {
	if len(d.left) == 0 {
		d.left = d.random.Perm(d.size)
	}
	n := d.left[0]
	d.left = d.left[1:]
	return n
}

// randomSchedules gives schedules of all that pg_cron's grammar knows, and of what it does not.
func randomSchedules(random *rand.Rand, count int) []string {
	g := generator{random}
	schedules := []string{"* * * * *"}
	for len(schedules) < count {
		schedules = append(schedules, g.schedule())
	}
	return schedules
}

type generator struct{ *rand.Rand }

func (g generator) pick(words ...string) string { return words[g.IntN(len(words))] }

// one tells yes once in n times.
func (g generator) one(n int) bool { return g.IntN(n) == 0 }

type field struct {
	low, high int
	names     []string
	rest      []string // what stands in the field when another one is what it is about
}

var fields = []field{
	{0, 59, nil, []string{"*", "0-59", "*/1", "0", "0", "0", "0", "0", "0", "0", "0", "00", "0-4", "*/30"}},
	{0, 23, nil, []string{"*", "*", "0-23", "*/2", "8-17", "*/3", "9", "6,18"}},
	{1, 31, nil, []string{"*", "*", "*", "*/1", "1-31", "*/2"}},
	{1, 12, []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}, []string{"*", "*", "*", "1-12", "*/1", "jan-dec"}},
	{0, 7, []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}, []string{"*", "*", "*", "0-6", "1-7", "*/1", "0-7"}},
}

func (g generator) schedule() string {
	switch {
	case g.one(60):
		return g.pick("", " ") + g.pick("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly", "@reboot", "@restart", "@Daily", "@", "@every 5m", "@hour", "@ daily", "@daily@") +
			g.pick("", "", "", " ", " x", "\t1", "\n", ",")
	case g.one(60):
		return g.pick("", " ", "+", "-", "0") + strconv.Itoa(g.IntN(70)) + g.pick("", " ", "  ", "\t", "\n") + g.pick("second", "seconds", "Seconds", "SECOND", "secondss", "secs", "sec", "s", "minutes") + g.pick("", "", "", " ", " x", "s")
	}
	parts := make([]string, len(fields))
	for i, f := range fields {
		parts[i] = g.pick(f.rest...)
	}
	switch focus := g.IntN(10); {
	case focus < 5: // one field alone
		parts[focus] = g.field(focus)
	case focus < 7: // the two of days
		parts[2], parts[4] = g.field(2), g.field(4)
	default:
		for i := range parts {
			if !g.one(3) {
				parts[i] = g.field(i)
			}
		}
	}
	if g.one(40) {
		parts = parts[:1+g.IntN(4)]
	}
	text := parts[0]
	for _, part := range parts[1:] {
		blank := " "
		if g.one(30) {
			blank = g.pick("\t", "  ", " \t ", "\n", "\r", ",", "\u00a0", "")
		}
		text += blank + part
	}
	if g.one(12) {
		text = g.pick(" ", "\t", "\n", "# a comment\n", " #\n\n", "\n \n\t# x\n", "#", "\r", "\u00a0") + text
	}
	if g.one(12) {
		text += g.pick(" ", "\t", "\n", " *", " # every day", " /bin/true", "\n* * * * *", " \r", ",", " 5-", "\u00a0")
	}
	return text
}

func (g generator) field(i int) string {
	f := fields[i]
	if i == 2 && g.one(8) {
		return g.pick("$", "$", "$", "$", "$", "$,1", "1,$", "$5", "L")
	}
	items := []string{g.item(f)}
	for g.one(3) {
		items = append(items, g.item(f))
	}
	text := strings.Join(items, ",")
	if g.one(50) {
		text += g.pick(";", ";x", "#2", "L", "W", "?", "-", ",", ",,", "/", "/5", "*", "*/5", "é", "٣", "!", ".5", ",;", "x")
	}
	return text
}

func (g generator) item(f field) string {
	switch {
	case g.one(6):
		return "*"
	case g.one(5):
		return "*/" + g.step(f)
	case g.one(60):
		return g.pick("", "-5", "+5", "?", "**", "*5", "*-5", "x", "/5", "L", "#", "é", "٣", "0x1", "1e1", "$")
	}
	first := f.low + g.IntN(f.high-f.low+1)
	if g.one(2) {
		text := g.number(f, first)
		if g.one(60) {
			text += "/" + g.step(f)
		}
		return text
	}
	last := first + g.IntN(f.high-first+1)
	if g.one(8) { // backwards
		first, last = last, first
	}
	text := g.number(f, first) + "-" + g.number(f, last)
	if g.one(2) {
		text += "/" + g.step(f)
	}
	return text
}

// number writes n as itself or as its name, now and then one that is out of range or has zeros before it.
func (g generator) number(f field, n int) string {
	switch {
	case n-f.low < len(f.names) && g.one(2):
		name := f.names[n-f.low]
		switch g.IntN(12) {
		case 0:
			return strings.ToUpper(name)
		case 1:
			return strings.ToUpper(name[:1]) + name[1:]
		case 2:
			return name + g.pick("day", "x", "1", "") + g.pick("", "", "s")
		}
		return name
	case g.one(80):
		return strconv.Itoa(g.IntN(2 * f.high))
	case g.one(40):
		return fmt.Sprintf("%0*d", 1+g.IntN(6), n)
	case g.one(200):
		return strconv.Itoa(n) + "x"
	}
	return strconv.Itoa(n)
}

func (g generator) step(f field) string {
	switch {
	case g.one(40):
		return g.pick("", "0", "00", "x", "*", "-1", "jan", "mon", "+1")
	case g.one(20):
		return strconv.Itoa(f.high + g.IntN(f.high))
	}
	return strconv.Itoa(1 + g.IntN(f.high/2))
}
