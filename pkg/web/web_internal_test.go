package web

import (
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

func TestWords(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct{ got, want string }{
		{ago(now, now), "now"},
		{ago(now, now.Add(-59*time.Second)), "59 s ago"},
		{ago(now, now.Add(90*time.Second)), "in 1 min"},
		{ago(now, now.Add(-47*time.Hour)), "47 h ago"},
		{ago(now, now.Add(49*time.Hour)), "in 2 days"},
		{stamp(now.In(time.FixedZone("x", 7200))), "2026-11-21 12:00:00 UTC"},
		{count(-1234567), "-1,234,567"}, {count(999), "999"}, {rowCount(1), "1 row"}, {rowCount(1000), "1,000 rows"},
		{estimate(-1), "rows not counted yet"},
		{byteSize(999), "999 B"}, {byteSize(8192), "8.19 kB"}, {byteSize(5e15), "5e+03 TB"},
		{cell(strings.Repeat("ä", 301)), strings.Repeat("ä", 300) + "…"}, {cell("ä"), "ä"},
		{plainName(`"Ann"."a""b"`), `Ann.a"b`},
		{tableNameFor("Q3 Sales (final).csv"), "q3_sales_final"}, {tableNameFor("2024.csv"), "t_2024"}, {tableNameFor("…"), "data"},
		{tableNameFor(strings.Repeat("x_", 40) + ".csv"), strings.Repeat("x_", 29) + "x"},
		{viewNameFor(`"Ann"."My Table"`), "my_table_view"}, {viewNameFor("ann.friends"), "friends_view"},
		{span(0), "0 s"}, {span(90), "90 s"}, {span(120), "2 min"}, {span(43200), "12 h"}, {span(86400), "1 day"}, {span(172800), "2 days"}, {spans([]int{5, 60}), "5 s, 1 min"}, {spans(nil), ""},
		{sentence("division by zero"), "Division by zero."}, {sentence("really?"), "Really?"}, {sentence(""), ""}, {sentence("iPod is odd."), "iPod is odd."}, {sentence("select 1 lists them"), "select 1 lists them."},
		{sentence("timeout_seconds is 0"), "timeout_seconds is 0."}, {sentence("gone. Or not"), "Gone. Or not."}, {sentence("choose: a or b"), "Choose: a or b."},
		{notice("loaded", "2"), "Loaded 2 rows."}, {notice("loaded", "<b>"), ""}, {notice("<b>", ""), ""}, {notice("paused", "x"), "The job is paused."},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

// TestSpans: what is written is read, as are other ways to write it.
func TestSpans(t *testing.T) {
	t.Parallel()
	for _, seconds := range []int{0, 1, 59, 60, 90, 3600, 5400, 86400, 604800, 31536000} {
		if got, err := parseSpan("x", span(seconds)); err != nil || got != seconds {
			t.Errorf("%q is read as %d (%v)", span(seconds), got, err)
		}
	}
	for text, want := range map[string]int{"30": 30, " 5 Minutes ": 300, "2h": 7200, "1 d": 86400, "7 days": 604800} {
		if got, err := parseSpan("x", text); err != nil || got != want {
			t.Errorf("%q is read as %d (%v)", text, got, err)
		}
	}
	for _, bad := range []string{"", "soon", "-1 s", "1.5 h", "5 x", "s", "99999999999 s"} {
		if got, err := parseSpan("x", bad); fault.CodeOf(err) != "form_invalid" || fault.As(err).Fields["field"] != "x" {
			t.Errorf("%q is read as %d (%v)", bad, got, err)
		}
	}
	if got, err := parseSpans("x", " 5 s,,1 min, "); err != nil || len(got) != 2 || got[1] != 60 {
		t.Errorf("got %v (%v)", got, err)
	}
	if got, err := parseSpans("x", " "); err != nil || got == nil || len(got) != 0 {
		t.Errorf("got %v (%v)", got, err)
	}
}

// TestPresets: what the form makes of a schedule it gives back for it.
func TestPresets(t *testing.T) {
	t.Parallel()
	for _, p := range presets {
		form := schedulePage{Preset: p.Key, At: "07:05", Custom: "3 4 5 6 *", After: "prices"}
		made, err := form.schedule()
		if err != nil {
			t.Fatal(err)
		}
		var back schedulePage
		back.choose(&made)
		if back.Preset != p.Key {
			t.Errorf("%s gives %q, which is shown as %s", p.Key, made, back.Preset)
		}
		if p.AtTime && back.At != "07:05" {
			t.Errorf("%s gives %q, which is shown at %s", p.Key, made, back.At)
		}
	}
	for _, bad := range []schedulePage{{Preset: "daily", At: "25:00"}, {Preset: "daily"}, {}, {Preset: "yearly"}} {
		if made, err := bad.schedule(); fault.CodeOf(err) != "form_invalid" {
			t.Errorf("%+v gives %q, %v", bad, made, err)
		}
	}
}

func TestExcerpt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		query        string
		line, column int
		marked       string
		caret        string
	}{
		{"select\n\tbörn, x\nfrom t", 2, 2, "börn", "\t^"},
		{"select \"no such\", 1", 1, 8, `"no such"`, "       ^"},
		{"select \"open", 1, 8, `"`, "       ^"},
		{"select 1 +", 1, 11, "", "          ^"},
		{"select 1;; x", 1, 9, ";", "        ^"},
	} {
		lines := excerpt(c.query, c.line, c.column)
		text := ""
		for _, l := range lines {
			if l.Number == c.line && (l.Marked != c.marked || l.Caret != c.caret) {
				t.Errorf("%q: marked %q, caret %q", c.query, l.Marked, l.Caret)
			}
			text += l.Before + l.Marked + l.After + "\n"
		}
		if strings.TrimSuffix(text, "\n") != c.query {
			t.Errorf("%q became %q", c.query, text)
		}
	}
	if lines := excerpt("select 1", 7, 1); lines != nil {
		t.Errorf("a line that is not there gives %v", lines)
	}
}

func TestFacts(t *testing.T) {
	t.Parallel()
	message, list := facts([]byte(`{"rows": 3, "message": "no", "changed": null, "cause": "manual", "columns": [1, 2], "of": {"a": 1}}`))
	if want := []fact{{"rows", "3"}, {"cause", "manual"}, {"columns", "2 entries"}, {"of", "1 entry"}}; message != "no" || len(list) != len(want) {
		t.Errorf("got %q %v", message, list)
	} else {
		for i := range want {
			if list[i] != want[i] {
				t.Errorf("got %v, want %v", list[i], want[i])
			}
		}
	}
	for _, other := range []string{`[1]`, `"x"`, `null`, ``, `{"a"`} {
		if message, list := facts([]byte(other)); message != "" || len(list) != 0 {
			t.Errorf("%s gives %q %v", other, message, list)
		}
	}
}

// TestDrafts: a user's files are bounded in number and age, and gone from disk afterwards.
func TestDrafts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := newDrafts(dir, 10, 30, slog.New(slog.DiscardHandler))
	start := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	add := func(role string, after time.Duration) *draft {
		t.Helper()
		kept, err := d.add(role, "f.csv", strings.NewReader("a\n1\n"), start.Add(after))
		if err != nil {
			t.Fatal(err)
		}
		return kept
	}
	files := func() int {
		t.Helper()
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	first := add("ann", 0)
	others := add("bob", time.Second)
	for i := range draftsPerUser {
		add("ann", time.Duration(i+2)*time.Second)
	}
	if _, err := d.find("ann", first.id); fault.CodeOf(err) != "draft_not_found" {
		t.Errorf("the oldest of too many is still there: %v", err)
	}
	if _, err := d.find("ann", others.id); fault.CodeOf(err) != "draft_not_found" {
		t.Errorf("ann finds bob's file: %v", err)
	}
	if n := files(); n != draftsPerUser+1 {
		t.Errorf("%d files, want %d", n, draftsPerUser+1)
	}
	last := add("eve", 2*draftLife)
	if n := files(); n != 1 {
		t.Errorf("%d files are left of old, want 1", n)
	}
	if _, err := d.add("eve", "big.csv", strings.NewReader("more than ten bytes"), start); fault.CodeOf(err) != "file_too_large" {
		t.Errorf("a file over the limit: %v", err)
	}
	d.remove(last)
	if n := files(); n != 0 {
		t.Errorf("%d files are left after the load", n)
	}
	for _, role := range []string{"a", "b", "c"} {
		if _, err := d.add(role, "f.csv", strings.NewReader("a\n1234567\n"), start); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.add("d", "f.csv", strings.NewReader("a\n1\n"), start); fault.CodeOf(err) != "spool_full" {
		t.Errorf("a file over the limit of all: %v", err)
	}
	if n := files(); n != 3 {
		t.Errorf("%d files, want 3", n)
	}
	if err := d.close(); err != nil || files() != 0 {
		t.Errorf("close: %v, %d files are left", err, files())
	}
}
