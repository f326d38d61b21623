package main

import (
	"testing"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

func TestSinceTime(t *testing.T) {
	now := time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"": {}, "24h": now.Add(-24 * time.Hour), "90m": now.Add(-90 * time.Minute), "2027-01-30": time.Date(2027, 1, 30, 0, 0, 0, 0, time.UTC),
		"2027-01-31T10:00:00+02:00": time.Date(2027, 1, 31, 8, 0, 0, 0, time.UTC),
	} {
		if got, err := sinceTime(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q is %v %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"yesterday", "-1h", "0s", "2027-13-01"} {
		if _, err := sinceTime(text, now); fault.CodeOf(err) != "usage" {
			t.Errorf("%q: %v", text, err)
		}
	}
}
