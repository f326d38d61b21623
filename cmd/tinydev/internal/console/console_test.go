package console_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tinydevcrm/tinydevcrm/cmd/tinydev/internal/console"
	"github.com/tinydevcrm/tinydevcrm/pkg/client"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

func TestExitCode(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("broken"), 1},
		{fault.New(fault.Storage, "disk_full", "full"), 1},
		{fmt.Errorf("load: %w", fault.New(fault.Invalid, "usage", "wrong")), 2},
		{fault.New(fault.Conflict, "data_dir_in_use", "in use"), 2},
		{fault.New(fault.Unavailable, "server_unreachable", "gone"), 3},
		{fault.New(fault.Conflict, "schema_newer", "newer"), 4},
		{fault.New(fault.Conflict, "schema_older", "older"), 4},
		{fmt.Errorf("call: %w", context.Canceled), 130},
	} {
		if got := console.ExitCode(c.err); got != c.want {
			t.Errorf("%v: exit code %d, want %d", c.err, got, c.want)
		}
	}
}

func TestError(t *testing.T) {
	query := "select *,\n\tnäme, \x1b[31m oops from t"
	for _, c := range []struct {
		err  error
		want string
	}{
		{errors.New("broken\x1b]0;title\a"), "error: broken\uFFFD]0;title\uFFFD\n"},
		{fault.New(fault.NotFound, "view_not_found", "there is no view v").WithHint("tinydev view list"), "error: there is no view v\nhint: tinydev view list\n"},
		// The caret counts characters, a tab as one, and what could drive the terminal is not shown.
		{console.WithSource(fault.New(fault.Invalid, "query_invalid", "no such column").With("line", 2.0).With("column", 8.0), query),
			"error: no such column\nline 2:  näme, \uFFFD[31m oops from t\n               ^\n"},
		{console.WithSource(fault.New(fault.Invalid, "query_invalid", "at the end").With("line", 1).With("column", 99), "select"),
			"error: at the end\nline 1: select\n              ^\n"},
		{fault.New(fault.Invalid, "file_invalid", "line 2, column 1 (a): bad; and one more mistake").With("errors", []any{
			map[string]any{"line": 2.0, "column": "a", "reason": "bad"}, map[string]any{"line": 7.0, "column_number": 3.0, "reason": "ragged"}}),
			"error: line 2, column 1 (a): bad; and one more mistake\n  line 7, column 3: ragged\n"},
	} {
		var out strings.Builder
		console.Error(&out, c.err)
		if out.String() != c.want {
			t.Errorf("got\n%q, want\n%q", out.String(), c.want)
		}
	}
	if console.WithSource(nil, query) != nil {
		t.Error("no error became one")
	}
}

func TestWords(t *testing.T) {
	for got, want := range map[string]string{
		console.Duration(12 * time.Millisecond): "12 ms", console.Duration(3400 * time.Millisecond): "3.4 s", console.Duration(12 * time.Second): "12 s",
		console.Duration(125 * time.Second): "2 min 5 s", console.Duration(64 * time.Minute): "1 h 4 min", console.Duration(50 * time.Hour): "2 days",
		console.Bytes(812): "812 B", console.Bytes(4_100_000): "4.1 MB", console.Bytes(999_999): "1.0 MB",
		console.Number(0): "0", console.Number(1234567): "1,234,567", console.Number(-123): "-123", console.Number(-1234): "-1,234",
		console.Count(1, "row"): "1 row", console.Count(2000, "row"): "2,000 rows",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestEvent(t *testing.T) {
	for raw, want := range map[string]string{
		`{"id":"42","type":"tinydev.view.refreshed","subject":"ann.v","time":"2026-11-21T04:30:58.178999Z","data":{"rows":2,"duration_ms":12,"cause":"schedule","inserted":1,"deleted":0}}`: `    42  2026-11-21 04:30:58.178  view.refreshed   ann.v  2 rows, +1 -0, 12 ms, schedule`,
		`{"id":"7","type":"tinydev.view.failed","subject":"ann.v","time":"2026-11-21T04:30:58Z","data":{"sqlstate":"22012","message":"division\nby zero"}}`:                                 `     7  2026-11-21 04:30:58.000  view.failed      ann.v  division by zero, SQLSTATE 22012`,
		`{"id":"8","type":"tinydev.view.dropped","subject":"ann.v","time":"2026-11-21T04:30:58Z","data":{}}`:                                                                                `     8  2026-11-21 04:30:58.000  view.dropped     ann.v`,
	} {
		event, err := client.ParseEvent([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		if got := console.Event(event); got != want {
			t.Errorf("got  %q\nwant %q", got, want)
		}
	}
	if _, err := client.ParseEvent([]byte(`{"id":"x"}`)); err == nil {
		t.Error("an id that is no position was taken")
	}
}
