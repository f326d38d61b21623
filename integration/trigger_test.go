package integration

import (
	"bufio"
	"encoding/json"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

// TestTriggers makes a trigger on the command line: tinydev psql and a plain program that listen hear of what fits, from the first event on.
func TestTriggers(t *testing.T) {
	onEach(t, func(t *testing.T, s *server) {
		s.sql("create table prices (a int)")
		s.must("view", "create", "sums", "select count(*) as n from prices having count(*) > 0")
		if out := s.must("trigger", "create", "big", "--view", "sums", "--type", "view.refreshed", "--condition", "$.rows > 0", "--dry-run"); !strings.Contains(out, `create trigger "ann.big" after insert on tinydev_impl.event`) {
			t.Errorf("a dry run prints %s", out)
		}
		if out := s.must("trigger", "create", "big", "--view", "sums", "--type", "view.refreshed", "--condition", "$.rows > 0"); out != "made big: listen ann_big;\n" {
			t.Errorf("create prints %q", out)
		}
		if r := s.command("trigger", "create", "big"); r.code != 2 || !strings.Contains(r.stderr, "you have a trigger big already") {
			t.Errorf("the same name again: %d %s", r.code, r.stderr)
		}
		if r := s.command("trigger", "create", "bad", "--condition", "$.a ? (@ > 0)"); r.code != 2 || !strings.Contains(r.stderr, "condition") {
			t.Errorf("no condition: %d %s", r.code, r.stderr)
		}

		psql := s.prepare("psql", "--", "-XqAt")
		in, err := psql.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := psql.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := psql.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		say := func(text string) {
			t.Helper()
			if _, err := io.WriteString(in, text+"\n"); err != nil {
				t.Fatal(err)
			}
		}
		say("listen ann_big;\n\\echo listening")
		if !lines.Scan() || lines.Text() != "listening" {
			t.Fatalf("psql says %q", lines.Text())
		}
		program, err := pgx.Connect(t.Context(), shellEnv(t, s)["DATABASE_URL"])
		if err != nil {
			t.Fatal(err)
		}
		defer program.Close(t.Context())
		if _, err := program.Exec(t.Context(), "listen ann_big"); err != nil {
			t.Fatal(err)
		}

		s.must("view", "refresh", "sums") // without rows
		s.sql("insert into prices values (1)")
		s.must("view", "refresh", "sums")
		n, err := program.WaitForNotification(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var rows int
		if err := program.QueryRow(t.Context(), "select (events -> 0 -> 'data' ->> 'rows')::int from tinydev.read_events($1::bigint - 1, 1)", n.Payload).Scan(&rows); err != nil || n.Channel != "ann_big" || rows != 1 {
			t.Errorf("notified %+v of %d rows (%v)", n, rows, err)
		}
		heard := ""
		for heard == "" {
			say("select 'mark';")
			for lines.Scan() && lines.Text() != "mark" {
				if m := regexp.MustCompile(`^Asynchronous notification "ann_big" with payload "(\d+)"`).FindStringSubmatch(lines.Text()); m != nil {
					heard = m[1]
				}
			}
			if lines.Text() != "mark" {
				t.Fatalf("psql ended: %v", lines.Err())
			}
		}
		if heard != n.Payload {
			t.Errorf("psql heard of %s, the program of %s", heard, n.Payload)
		}
		in.Close()
		for lines.Scan() {
			if strings.Contains(lines.Text(), "Asynchronous") && !strings.Contains(lines.Text(), heard) {
				t.Errorf("psql heard too: %s", lines.Text())
			}
		}
		if err := psql.Wait(); err != nil {
			t.Errorf("psql: %v", err)
		}

		var list []control.Trigger
		if err := json.Unmarshal([]byte(s.must("trigger", "list", "--json")), &list); err != nil || len(list) != 1 || list[0].State != control.TriggerActive || list[0].Listen != "listen ann_big" {
			t.Errorf("list prints %+v (%v)", list, err)
		}
		if table := s.must("trigger", "list"); !regexp.MustCompile(`ann +big +ann\.sums +view\.refreshed +strict \(\$\."rows" > 0\) +ann_big +active`).MatchString(table) {
			t.Errorf("list prints\n%s", table)
		}
		s.must("trigger", "drop", "big", "--dry-run")
		if out := s.must("trigger", "drop", "big"); out != "dropped big\n" {
			t.Errorf("drop prints %q", out)
		}
		if r := s.command("trigger", "drop", "big"); r.code != 2 || !strings.Contains(r.stderr, "no trigger big") {
			t.Errorf("drop again: %d %s", r.code, r.stderr)
		}
		eventually(t, patience, "the trigger is gone", func() bool {
			return strings.TrimSpace(s.sql(`select count(*) from pg_trigger where tgname = 'ann.big'`)) == "0"
		})
	})
}
