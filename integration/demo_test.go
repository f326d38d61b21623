package integration

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestDemo plays the demo until both views have been refreshed by pg_cron, ends it by Ctrl-C, plays it again, and cleans up.
func TestDemo(t *testing.T) {
	onEach(t, func(t *testing.T, s *server) {
		demo := s.prepare("demo")
		out := &output{}
		demo.Stdout, demo.Stderr = out, out
		if err := demo.Start(); err != nil {
			t.Fatal(err)
		}
		digit := regexp.MustCompile(`view\.refreshed +ann\.demo_current_digit +1 row, .*schedule`)
		birthdays := regexp.MustCompile(`view\.refreshed +ann\.demo_bdays_today +2 rows, .*schedule`)
		eventually(t, patience, "both views are refreshed by pg_cron, the digit twice", func() bool {
			text := out.String()
			return len(digit.FindAllString(text, 2)) == 2 && birthdays.MatchString(text)
		})
		if err := demo.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if err := demo.Wait(); err != nil {
			t.Errorf("the demo ended with %v", err)
		}
		for _, want := range []string{"create table ann.demo_friends", `"Date" date`, `"Postcode" text`, "create materialized view ann.demo_bdays_today",
			"select cron.schedule_in_database(", `"AColumnOfNumbers" bigint`, "Removed job", "demo --clean"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("the demo does not print %q", want)
			}
		}
		if t.Failed() {
			t.Logf("the demo printed:\n%s", out)
		}
		if jobs := s.sql("select count(*) from tinydev.job where is_managed"); jobs != "0" {
			t.Errorf("%s jobs are left", jobs)
		}
		again := s.must("demo", "--seconds", "1")
		if !strings.Contains(again, "Dropped ann.demo_friends, left by an earlier demo") {
			t.Errorf("the second demo printed:\n%s", again)
		}
		s.must("demo", "--clean")
		if left := s.sql("select count(*) from tinydev.relation where workspace = 'ann'"); left != "0" {
			t.Errorf("%s tables and views are left", left)
		}
	})
}

// TestDemoWithoutServer tells how to start one.
func TestDemoWithoutServer(t *testing.T) {
	t.Parallel()
	s := &server{t: t, dataDir: tempDir(t), log: &output{}}
	start := time.Now()
	r := s.command("demo")
	if r.code != 3 || !strings.Contains(r.stderr, "make run") || r.stdout != "" {
		t.Errorf("after %v: exit code %d, %s%s", time.Since(start), r.code, r.stdout, r.stderr)
	}
}
