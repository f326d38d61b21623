package main

import (
	"testing"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

func TestExpiryTime(t *testing.T) {
	now := time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"90d": now.AddDate(0, 0, 90), "12h": now.Add(12 * time.Hour), "1h30m": now.Add(90 * time.Minute),
		"2027-02-01": time.Date(2027, 2, 2, 0, 0, 0, 0, time.UTC), "2027-02-01T10:00:00+02:00": time.Date(2027, 2, 1, 8, 0, 0, 0, time.UTC),
	} {
		if at, err := expiryTime(text, now); err != nil || !at.Equal(want) {
			t.Errorf("%s is %v (%v), not %v", text, at, err, want)
		}
	}
	for _, bad := range []string{"", "d", "-1d", "0d", "99999999999d", "-5m", "tomorrow", "2027-13-01"} {
		if at, err := expiryTime(bad, now); fault.CodeOf(err) != "usage" {
			t.Errorf("%q is taken for %v", bad, at)
		}
	}
}
