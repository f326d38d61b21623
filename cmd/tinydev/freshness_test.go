package main

import "testing"

func TestAge(t *testing.T) {
	for seconds, want := range map[int64]string{0: "0s", 119: "119s", 120: "2m", 7199: "119m", 7200: "2h", 172799: "47h", 172800: "2d", 31536000: "365d"} {
		if got := age(seconds); got != want {
			t.Errorf("%d s is %q, want %q", seconds, got, want)
		}
	}
}
