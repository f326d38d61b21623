package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// section is what one part found: targets first, then the numbers behind them.
type section struct {
	title   string
	targets []target
	lines   []string
}

// target is one promise and what was measured.
type target struct {
	what     string
	measured string
	limit    string
	met      bool
}

func (s *section) aim(met bool, what, measured, limit string) {
	s.targets = append(s.targets, target{what, measured, limit, met})
}

func (s *section) say(format string, args ...any) {
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

func (s *section) print(w io.Writer, name string, took time.Duration) {
	fmt.Fprintf(w, "\n%s: %s\n    took %.0f s, load %s at the end\n", name, s.title, took.Seconds(), load())
	for _, t := range s.targets {
		verdict := "MET"
		if !t.met {
			verdict = "NOT MET"
		}
		fmt.Fprintf(w, "  %-7s  %-46s %-14s target %s\n", verdict, t.what, t.measured, t.limit)
	}
	for _, line := range s.lines {
		fmt.Fprintf(w, "    %s\n", line)
	}
}

// sample is a set of measurements of the same thing, in any one unit.
type sample []float64

func (s *sample) add(d time.Duration) { *s = append(*s, milliseconds(d)) }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// percentile gives the smallest value that p percent of the sample do not exceed; NaN of an empty one.
func (s sample) percentile(p float64) float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	return sorted[max(0, int(math.Ceil(p/100*float64(len(sorted))))-1)]
}

func (s sample) median() float64 { return s.percentile(50) }

// spread writes p50, p99 and the largest value of milliseconds.
func (s sample) spread() string {
	return fmt.Sprintf("p50 %7.2f  p99 %7.2f  max %7.2f ms  (%d)", s.median(), s.percentile(99), s.percentile(100), len(s))
}

// scaled gives the sample in another unit.
func (s sample) scaled(factor float64) sample {
	scaled := make(sample, len(s))
	for i, v := range s {
		scaled[i] = v * factor
	}
	return scaled
}

// list writes all values.
func (s sample) list() string {
	words := make([]string, len(s))
	for i, v := range s {
		words[i] = fmt.Sprintf("%.0f", v)
	}
	return strings.Join(words, " ")
}
