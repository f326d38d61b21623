package control_test

import (
	"context"
	"encoding/json"
	"flag"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // for a machine without zones

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

var scheduleZones = flag.Int("schedule.zones", 400, "changes of clocks around which next_runs is compared with Go's zones")

// TestNextRunsInZones compares next_runs with stepping through the minutes around random changes of random zones' clocks, by Go's own zones:
// forth and back, by hours, halves of hours and whole days. Where the machine's zones and PostgreSQL's differ there is nothing to compare.
func TestNextRunsInZones(t *testing.T) {
	t.Parallel()
	ctx, conn := context.Background(), pgtest.DB(t).Superuser()
	names := pgtest.Value[[]string](t, conn, `
select array_agg(name order by name) from pg_catalog.pg_timezone_names where name like '%/%' and name not similar to '(posix|Etc|SystemV)/%'`)
	random := rand.New(rand.NewPCG(*scheduleSeed, 4))
	g := generator{random}
	var back, forth, differ int
	for range *scheduleZones {
		name := names[random.IntN(len(names))]
		zone, err := time.LoadLocation(name)
		if err != nil {
			differ++
			continue
		}
		// Before 1975 some clocks are off by seconds; after 2037 there are rules only, which Go and PostgreSQL read alike.
		_, change := time.Unix(random.Int64N(63*365*24*60*60)+5*365*24*60*60, 0).In(zone).ZoneBounds()
		if change.IsZero() || change.Year() < 1975 {
			change = time.Date(2027, 1, 1, random.IntN(8000), 0, 0, 0, time.UTC)
		}
		start, end := change.Add(-36*time.Hour).UTC().Truncate(time.Minute), change.Add(36*time.Hour).UTC()
		after := start.Add(time.Duration(random.IntN(60*60*60)) * time.Second)
		schedule := strings.Join([]string{
			g.pick("*/15", "*/20", "30", "0", "0,30", "5", "*", "59", "*/7", "1-3"),
			g.pick("*", "*", "0-4", "2", "1,2,3", "*/2", "23,0", "0", "3", "12"),
			g.pick("*", "*", "*", "*/2", "1-15", "28-31"),
			g.pick("*", "*", "*", "3,10", "4-9"),
			g.pick("*", "*", "0", "6,7", "1-5"),
		}, " ")

		var reading string
		var clock []string
		var got []time.Time
		if err := conn.QueryRow(ctx, `
select tinydev_lib.parse_schedule($1)::text,
  array(select to_char(m at time zone $2, 'YYYY-MM-DD HH24:MI:SS') from generate_series($3::timestamptz, $4, '30 minutes') m order by m),
  array(select r from tinydev.next_runs($1, $2, 1000, $5) r where r <= $4 order by r)`,
			schedule, name, start, end, after).Scan(&reading, &clock, &got); err != nil {
			t.Fatalf("%s in %s: %v", schedule, name, err)
		}
		p := &parsed{}
		if err := json.Unmarshal([]byte(reading), p); err != nil {
			t.Fatal(err)
		}
		ours := make([]string, len(clock))
		for i := range ours {
			ours[i] = shown(start.Add(time.Duration(i)*30*time.Minute), zone).Format(time.DateTime)
		}
		if !slices.Equal(ours, clock) {
			differ++
			continue
		}
		_, before := change.Add(-time.Second).In(zone).Zone()
		if _, offset := change.In(zone).Zone(); offset > before {
			forth++
		} else if offset < before {
			back++
		}

		want := []time.Time{}
		latest := shown(start, zone)
		for at := start.Add(-48 * time.Hour); at.Before(start); at = at.Add(time.Minute) {
			if l := shown(at, zone); l.After(latest) {
				latest = l
			}
		}
		for at := start; !at.After(end) && len(want) < 1000; at = at.Add(time.Minute) {
			isDue := false
			for l := shown(at, zone); latest.Before(l); { // what the clock shows, or has skipped
				latest = latest.Add(time.Minute)
				isDue = isDue || p.due(latest)
			}
			if isDue && at.After(after) {
				want = append(want, at)
			}
		}
		if !slices.EqualFunc(got, want, time.Time.Equal) {
			i := 0
			for i < min(len(got), len(want)) && got[i].Equal(want[i]) {
				i++
			}
			t.Errorf("-schedule.seed %d: %q in %s, whose clock changes at %v, after %v: run %d of %d is %v, and next_runs says %v", *scheduleSeed, schedule, name,
				change.UTC(), after, i, len(want), want[i:min(i+3, len(want))], got[i:min(i+3, len(got))])
		}
	}
	t.Logf("%d changes forth, %d back, %d of zones that differ or are not here", forth, back, differ)
	if forth < *scheduleZones/10 || back < *scheduleZones/10 {
		t.Error("that tells little")
	}
}

// shown is what the zone's clock shows, as a time of UTC.
func shown(at time.Time, zone *time.Location) time.Time {
	_, offset := at.In(zone).Zone()
	return at.UTC().Add(time.Duration(offset) * time.Second)
}
