package integration

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/client"
	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

// friends has a birthday today, whatever the time zone; the years are leap years.
func friends() string {
	now := time.Now().UTC()
	text := "Name,Date\n"
	for i, name := range []string{"eve", "ann", "bob"} {
		at := now.AddDate(0, 0, i-1)
		text += fmt.Sprintf("%s,%d-%02d-%02d\n", name, 1988, at.Month(), at.Day())
	}
	return text + "bob junior,1980-06-30\n"
}

const birthdays = `select * from friends where to_char("Date", 'MM-DD') = to_char(current_date, 'MM-DD')`

// TestWalkHTTP goes from a file to an event as the README does with curl: nothing but HTTP.
func TestWalkHTTP(t *testing.T) {
	onEach(t, func(t *testing.T, s *server) {
		at := shellEnv(t, s)
		bearer := "Bearer " + at["TINYDEV_TOKEN"]
		post := func(path, contentType string, body io.Reader, want int) map[string]any {
			t.Helper()
			req, err := http.NewRequest(http.MethodPost, at["TINYDEV_URL"]+path, body)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", bearer)
			req.Header.Set("Content-Type", contentType)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var answer map[string]any
			if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != want {
				t.Fatalf("POST %s: %s, want %d: %v %v", path, resp.Status, want, answer, err)
			}
			return answer
		}
		var form bytes.Buffer
		fields := multipart.NewWriter(&form)
		fields.WriteField("table", "friends")
		part, _ := fields.CreateFormFile("file", "friends.csv")
		io.WriteString(part, friends())
		fields.Close()
		loaded := post("/v1/uploads", fields.FormDataContentType(), &form, http.StatusCreated)
		if loaded["table"] != "ann.friends" || loaded["rows"] != 4.0 || loaded["created"] != true {
			t.Errorf("loaded %v", loaded)
		}

		req, _ := http.NewRequest(http.MethodGet, at["TINYDEV_URL"]+"/v1/events/stream", nil)
		req.Header.Set("Authorization", bearer)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		stream, err := http.DefaultClient.Do(req.WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Body.Close()

		query, _ := json.Marshal(map[string]string{"name": "bdays_today", "query": birthdays})
		view := post("/v1/views", "application/json", bytes.NewReader(query), http.StatusCreated)
		if view["name"] != "ann.bdays_today" || view["rows"] != 1.0 {
			t.Errorf("made the view %v", view)
		}
		job := post("/v1/jobs", "application/json", strings.NewReader(`{"view":"bdays_today","schedule":"5 seconds"}`), http.StatusCreated)
		if job["view"] != "ann.bdays_today" || job["active"] != true {
			t.Errorf("made the job %v", job)
		}
		seen := readSSE(t, stream.Body, func(e sse) bool {
			return e.event == "tinydev.view.refreshed" && strings.Contains(strings.ReplaceAll(e.data, " ", ""), `"cause":"schedule"`)
		})
		last := seen[len(seen)-1]
		event, err := client.ParseEvent(json.RawMessage(last.data))
		if err != nil || event.Subject != "ann.bdays_today" || strconv.FormatInt(event.Position, 10) != last.id || !strings.Contains(last.data, `"rows"`) {
			t.Errorf("the event is %+v, %v", last, err)
		}

		// What the walk looks at in the end.
		if got := s.sql("select count(*) from cron.job where command like '%bdays_today%' and username = 'ann'"); got != "1" {
			t.Errorf("cron.job holds %s rows of the job", got)
		}
		if got := s.sql("select type from tinydev.event order by position desc limit 1"); got != "view.refreshed" {
			t.Errorf("the last event is %s", got)
		}
		s.must("job", "drop", fmt.Sprint(job["job_id"]))
	})
}

type sse struct{ id, event, data string }

// readSSE reads events until one is as wanted.
func readSSE(t *testing.T, body io.Reader, wanted func(sse) bool) []sse {
	t.Helper()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	var all []sse
	var e sse
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "id":
			e.id = value
		case "event":
			e.event = value
		case "data":
			e.data = value
		case "":
			if e.data != "" {
				all = append(all, e)
				if wanted(e) {
					return all
				}
			}
			e = sse{}
		}
	}
	t.Fatalf("the stream ended: %v; it had %v", lines.Err(), all)
	return nil
}

// TestWalkPsql goes the same way in psql alone.
func TestWalkPsql(t *testing.T) {
	onEach(t, func(t *testing.T, s *server) {
		s.write("friends.csv", friends())
		psql := s.prepare("psql", "--", "-X", "-At", "-v", "ON_ERROR_STOP=1")
		in, err := psql.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out := &output{}
		psql.Stdout, psql.Stderr = out, out
		if err := psql.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { in.Close(); psql.Wait() })
		fmt.Fprintf(in, `create table friends ("Name" text, "Date" date);
\copy friends from friends.csv with (format csv, header)
select tinydev.create_view('bdays_today', %s) ->> 'rows';
listen tinydev;
call tinydev.refresh('bdays_today');
select tinydev.schedule('bdays_today', '5 seconds') ->> 'schedule';
`, "$$"+birthdays+"$$")
		// psql tells of a notification after the next command.
		eventually(t, 30*time.Second, "psql is notified", func() bool {
			fmt.Fprintln(in, "select 1;")
			return strings.Contains(out.String(), `Asynchronous notification "tinydev" with payload "`)
		})
		eventually(t, patience, "the scheduled refresh is in the log", func() bool {
			return s.sql("select count(*) > 0 from tinydev.read_events(), jsonb_array_elements(events) e where e ->> 'type' = 'tinydev.view.refreshed' and e -> 'data' ->> 'cause' = 'schedule'") == "t"
		})
		if got := s.sql("select tinydev.unschedule('bdays_today') ->> 'view'"); got != "ann.bdays_today" {
			t.Errorf("unscheduled %s", got)
		}
		if strings.Contains(out.String(), "ERROR") {
			t.Errorf("psql said:\n%s", out)
		}
	})
}

// TestWalkCommandLine goes the way by sub-commands, with their JSON and their dry runs.
func TestWalkCommandLine(t *testing.T) {
	onEach(t, func(t *testing.T, s *server) {
		s.write("My Friends.csv", strings.Replace(friends(), "1980-06-30", "1980-06-31", 1))
		if plan := s.must("load", "My Friends.csv", "--dry-run"); !strings.Contains(plan, "create table ann.my_friends") {
			t.Errorf("a dry run of load printed %s", plan)
		}
		if r := s.command("load", "My Friends.csv", "--types", "Date=date"); r.code != 2 || !strings.Contains(r.stderr, "line 5, column 2 (Date)") {
			t.Errorf("a bad date: exit code %d, %s", r.code, r.stderr)
		}
		s.write("friends.csv", friends())
		loaded := decode[client.Loaded](t, s.must("load", "friends.csv", "--json"))
		if loaded.Table != "ann.friends" || loaded.Rows != 4 || len(loaded.Columns) != 2 || loaded.Columns[1].Type != "date" {
			t.Errorf("loaded %+v", loaded)
		}
		if r := s.command("load", "friends.csv"); r.code != 2 || !strings.Contains(r.stderr, "--force") {
			t.Errorf("the same file again: exit code %d, %s", r.code, r.stderr)
		}
		s.must("load", "friends.csv", "--force")
		// The refusal comes while the file is still being sent.
		s.write("large.csv", "Name\n"+strings.Repeat("a name that is long enough to fill some space\n", 400_000))
		for range 5 {
			if r := s.command("load", "large.csv", "--table", "elsewhere.large"); r.code != 2 || !strings.Contains(r.stderr, "elsewhere is not your workspace") {
				t.Errorf("a load into another's workspace: exit code %d, %s", r.code, r.stderr)
			}
		}
		if r := s.commandWith("Name;Date\nann;2001-02-03\n", "load", "-", "--table", "friends"); r.code != 0 {
			t.Errorf("load from the standard input: %s", r.stderr)
		}
		if rows := s.must("table", "rows", "friends"); strings.Count(rows, "\n") != 10 || !strings.HasPrefix(rows, "Name,Date\n") {
			t.Errorf("the table holds %s", rows)
		}
		if r := s.command("query", "select *\nfrom freinds"); r.code != 2 || !strings.Contains(r.stderr, "line 2: from freinds\n             ^") {
			t.Errorf("a query with a mistake: exit code %d\n%s", r.code, r.stderr)
		}
		if plan := s.must("view", "create", "bdays_today", birthdays, "--dry-run"); !strings.Contains(plan, "create materialized view ann.bdays_today as") {
			t.Errorf("a dry run of view create printed %s", plan)
		}
		view := decode[control.Relation](t, s.must("view", "create", "bdays_today", birthdays, "--json"))
		if view.Name != "ann.bdays_today" || *view.Rows != 2 {
			t.Errorf("made the view %+v", view)
		}
		job := decode[control.Job](t, s.must("job", "create", "bdays_today", "0 0 * * *", "--json"))
		if *job.View != "ann.bdays_today" || len(job.NextRuns) != 5 {
			t.Errorf("made the job %+v", job)
		}
		id := strconv.FormatInt(job.JobID, 10)
		if out := s.must("job", "pause", id); !strings.Contains(out, "paused") {
			t.Errorf("pause printed %s", out)
		}
		if out := s.must("job", "resume", id); !strings.Contains(out, "active") {
			t.Errorf("resume printed %s", out)
		}
		s.must("job", "reschedule", id, "*/5 * * * *")
		if out := s.must("job", "list"); !strings.Contains(out, "*/5 * * * *") || !strings.Contains(out, "ann.bdays_today") {
			t.Errorf("list printed %s", out)
		}
		if out := s.must("job", "preview", "0 9 * * 1-5"); !strings.Contains(out, "Monday to Friday") {
			t.Errorf("preview printed %s", out)
		}
		if out := s.must("job", "alter", id, "0 9 * * *", "--time-zone", "Europe/Berlin", "--retries", "2", "--timeout-seconds", "60", "--overlap", "queue"); !strings.Contains(out, "Europe/Berlin") || !strings.Contains(out, "0 9 * * *") {
			t.Errorf("alter printed %s", out)
		}
		if out := s.must("job", "run", id); !strings.Contains(out, "refreshed ann.bdays_today") {
			t.Errorf("run printed %s", out)
		}
		if out := s.must("job", "runs", id); !strings.Contains(out, "succeeded") || !strings.Contains(out, "manual") {
			t.Errorf("runs printed %s", out)
		}
		if out := s.must("job", "pause", "--all"); !strings.Contains(out, "paused 1 of your jobs") {
			t.Errorf("pause --all printed %s", out)
		}
		s.must("job", "resume", "--all")
		s.must("view", "refresh", "bdays_today")
		s.must("view", "replace", "bdays_today", "select 1 as one")
		if out := s.must("view", "rows", "bdays_today", "--format", "ndjson"); strings.TrimSpace(out) != `{"one":1}` {
			t.Errorf("the view holds %s", out)
		}
		if r := s.command("table", "drop", "nothing"); r.code != 2 || !strings.Contains(r.stderr, "hint:") {
			t.Errorf("drop of what is not there: exit code %d, %s", r.code, r.stderr)
		}
		s.must("job", "drop", id)
		s.must("view", "drop", "bdays_today")
		// Events are placed in the log a moment after their transaction.
		want := "tinydev.view.created tinydev.view.refreshed tinydev.view.refreshed tinydev.view.replaced tinydev.view.dropped"
		eventually(t, 30*time.Second, want, func() bool {
			var types []string
			for _, line := range strings.Split(strings.TrimSpace(s.must("events", "--after", "0", "--limit", "100", "--json", "--subject", "*.bdays_today")), "\n") {
				types = append(types, decode[client.Event](t, line).Type)
			}
			return strings.Join(types, " ") == want
		})
	})
}

func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// shellEnv evaluates what "tinydev env" prints in a shell, as people do.
func shellEnv(t *testing.T, s *server) map[string]string {
	t.Helper()
	names := []string{"TINYDEV_URL", "TINYDEV_TOKEN", "DATABASE_URL"}
	sh := exec.Command("sh", "-euc", `eval "$("$0" env)"; env -0`, binary)
	sh.Env = environment("TINYDEV_DATA_DIR=" + s.dataDir)
	r := run(t, sh, "")
	if r.code != 0 {
		t.Fatalf("eval env: %s", r.stderr)
	}
	values := map[string]string{}
	for _, entry := range strings.Split(r.stdout, "\x00") {
		name, value, _ := strings.Cut(entry, "=")
		values[name] = value
	}
	for _, name := range names {
		if values[name] == "" {
			t.Fatalf("env does not set %s: %s", name, r.stdout)
		}
	}
	return values
}

// TestDryRuns runs in psql what the dry runs print, which has the same effect as the commands.
func TestDryRuns(t *testing.T) {
	onEach(t, func(t *testing.T, s *server) {
		s.sql("create table friends as select 'ann' as name")
		play := func(args ...string) {
			t.Helper()
			plan := strings.TrimSpace(s.must(append(args, "--dry-run")...))
			if !strings.HasSuffix(plan, ";") {
				t.Errorf("%v plans %s", args, plan)
			}
			s.sql(plan)
		}
		play("view", "create", "v", "select * from friends")
		play("view", "refresh", "v")
		play("view", "replace", "v", "select name, 1 as n from friends")
		play("job", "create", "v", "0 0 * * *")
		id := s.sql("select job_id from tinydev.job where view = 'ann.v'")
		play("job", "pause", id)
		if got := s.sql("select active from tinydev.job where view = 'ann.v'"); got != "f" {
			t.Errorf("the job is active: %s", got)
		}
		play("job", "resume", id)
		play("job", "reschedule", id, "1 1 * * *")
		if got := s.sql("select schedule, active from tinydev.job where view = 'ann.v'"); got != "1 1 * * *|t" {
			t.Errorf("the job is %s", got)
		}
		play("job", "drop", id)
		if got := s.sql("select string_agg(n::text, ',') from v"); got != "1" {
			t.Errorf("the view holds %s", got)
		}
		play("view", "drop", "v")
		play("table", "drop", "friends")
		if left := s.sql("select count(*) from tinydev.relation where workspace = 'ann'"); left != "0" {
			t.Errorf("%s tables and views are left", left)
		}
	})
}
