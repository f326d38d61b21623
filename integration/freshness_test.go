package integration

import (
	"strings"
	"testing"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// TestFreshness promises on the command line how old a view may be; the server tells once that it is older, and that it is
// fresh again.
func TestFreshness(t *testing.T) {
	onEach(t, func(t *testing.T, s *server) {
		s.must("view", "create", "sums", "select 1 as n")
		if out := s.must("freshness", "set", "sums", "1h", "--dry-run"); out != "select tinydev.set_freshness('ann.sums', 3600);\n" {
			t.Errorf("a dry run prints %q", out)
		}
		if out := s.must("freshness", "set", "sums", "1s"); !strings.HasPrefix(out, "ann.sums is to be at most 1s old; it is ") {
			t.Errorf("set prints %q", out)
		}
		for _, wrong := range [][]string{{"sums", "soon"}, {"sums", "0s"}, {"sums", "100000d"}, {"nothing", "1h"}, {"sums"}} {
			if r := s.command(append([]string{"freshness", "set"}, wrong...)...); r.code != 2 {
				t.Errorf("%q: %d %s", wrong, r.code, r.stderr)
			}
		}
		events := func(want ...string) {
			t.Helper()
			var got []string
			pgtest.Eventually(t, 30*time.Second, strings.Join(want, ", "), func() bool {
				got = nil
				for line := range strings.Lines(s.must("events", "--json")) {
					for _, kind := range []string{"view.stale", "view.fresh"} {
						if strings.Contains(line, `tinydev.`+kind+`"`) {
							got = append(got, kind)
						}
					}
				}
				return len(got) >= len(want)
			})
			if strings.Join(got, " ") != strings.Join(want, " ") {
				t.Errorf("told %q, want %q", got, want)
			}
		}
		events("view.stale")
		if out := s.must("freshness", "list"); !strings.Contains(out, "ann.sums") || !strings.Contains(out, "stale") {
			t.Errorf("list prints %s", out)
		}
		if out := s.must("view", "list"); !strings.Contains(out, "ann.sums (stale)") {
			t.Errorf("the list of views prints %s", out)
		}
		s.must("freshness", "set", "sums", "1d")
		events("view.stale", "view.fresh")
		if out := s.must("freshness", "drop", "sums"); out != "nothing is promised of ann.sums any more\n" {
			t.Errorf("drop prints %q", out)
		}
		if r := s.command("freshness", "drop", "sums"); r.code != 2 || !strings.Contains(r.stderr, "nothing is promised") {
			t.Errorf("drop again: %d %s", r.code, r.stderr)
		}
		events("view.stale", "view.fresh")
	})
}
