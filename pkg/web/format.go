package web

import (
	"fmt"
	"html/template"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// functions are what templates call.
var functions = template.FuncMap{
	"ago": ago, "stamp": stamp, "iso": iso, "bytes": byteSize, "count": count, "estimate": estimate, "cell": cell, "rows": rowCount, "sentence": sentence,
	"join": func(list []string) string { return strings.Join(list, "\n") }, "numeric": isNumeric, "dict": dict,
	"first": func(list []time.Time) *time.Time {
		if len(list) == 0 {
			return nil
		}
		return &list[0]
	},
	"plain": plainName, "span": span, "spans": spans, "atMost": atMost,
}

// dict makes a map of pairs, so that a template can hand several values to another.
func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("dict needs pairs, got %d values", len(pairs))
	}
	m := make(map[string]any, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		key, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("dict needs text as key, got %v", pairs[i])
		}
		m[key] = pairs[i+1]
	}
	return m, nil
}

// iso is a time for machines; stamp is the same for people, in UTC and saying so.
func iso(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + " UTC" }

// ago tells how far t is from now: "12 s ago", "in 3 min".
func ago(now, t time.Time) string {
	d := now.Sub(t)
	if d < 0 {
		if d > -time.Second {
			return "now"
		}
		return "in " + waitFor(-d)
	}
	if d < time.Second {
		return "now"
	}
	return waitFor(d) + " ago"
}

// waitFor writes a length of time in one unit.
func waitFor(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
}

func byteSize(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	size := float64(n)
	for _, unit := range []string{"kB", "MB", "GB"} {
		if size /= 1000; size < 1000 {
			return fmt.Sprintf("%.3g %s", size, unit)
		}
	}
	return fmt.Sprintf("%.3g TB", size/1000)
}

// count writes a number with a comma between thousands.
func count(n int64) string {
	text := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, text = "-", text[1:]
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return sign + text
}

// rowCount writes "1 row" or "3 rows".
func rowCount(n int64) string {
	if n == 1 {
		return "1 row"
	}
	return count(n) + " rows"
}

// estimate writes the planner's number of rows, which is -1 where it was never counted.
func estimate(n int64) string {
	if n < 0 {
		return "rows not counted yet"
	}
	return "about " + rowCount(n)
}

// cellRunes is how much of a value a page shows.
const cellRunes = 300

func cell(s string) string {
	runes := 0
	for i := range s {
		if runes++; runes > cellRunes {
			return s[:i] + "…"
		}
	}
	return s
}

// isNumeric says whether values of a PostgreSQL type are set flush right.
func isNumeric(typeName string) bool {
	base, _, _ := strings.Cut(typeName, "(")
	switch base {
	case "bigint", "integer", "smallint", "numeric", "double precision", "real", "oid", "money":
		return true
	}
	return false
}

// plainName is a relation's name for reading: SQL's quotes are left out.
func plainName(full string) string {
	return strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(full, `""`, "\x00"), `"`, ""), "\x00", `"`)
}

// quote writes one identifier as SQL does.
func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

var plainIdentifier = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// quoteWhereNeeded writes an identifier as SQL shows it, but for words that are reserved.
func quoteWhereNeeded(name string) string {
	if plainIdentifier.MatchString(name) {
		return name
	}
	return quote(name)
}
