package server

import (
	"testing"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// TestCronWatch holds that a pg_cron that starts nothing makes the server unready, is logged once a minute, has its time to begin,
// and is forgotten when it works again.
func TestCronWatch(t *testing.T) {
	var w cronWatch
	begun := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	last := begun.Add(-time.Hour)
	for _, step := range []struct {
		at      time.Duration
		since   *time.Time
		logged  bool
		unready bool
	}{
		{0, &last, false, false},
		{2 * time.Minute, &last, false, false},
		{3 * time.Minute, &last, true, true},
		{3*time.Minute + 15*time.Second, &last, false, true},
		{4 * time.Minute, &last, true, true},
		{5 * time.Minute, nil, false, false},
		{9 * time.Minute, &last, true, true},
	} {
		if logged := w.note(step.since, begun.Add(step.at)); logged != step.logged {
			t.Errorf("after %v: logged %v", step.at, logged)
		}
		err := w.fault()
		if (err != nil) != step.unready || err != nil && fault.CodeOf(err) != "cron_stalled" {
			t.Errorf("after %v: %v", step.at, err)
		}
	}
}
