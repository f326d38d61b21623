package ingest

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// systemColumns are names that no table can give to a column.
var systemColumns = []string{"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}

// readHeader takes the first record that is not blank as the column names.
func (s *Scanner) readHeader() error {
	for {
		next, err := s.parse()
		if err == io.EOF {
			return fault.New(fault.Invalid, "file_empty", "the file holds nothing but blank lines").
				WithHint("send a CSV file whose first line names the columns")
		}
		s.number = 0
		if err != nil && (s.badAt < 0 || s.badAt >= s.faultAt) {
			return err
		}
		if s.badAt >= 0 && (err != nil || s.badAt < next) {
			return s.badByte()
		}
		rec := &s.record
		s.line += s.lineEnds(s.pos, next, rec.newlines)
		s.pos = next
		if len(rec.fields) == 1 && rec.Null(0) {
			s.skipped++
			continue
		}
		names := make([]string, rec.Len())
		for i := range names {
			names[i] = string(rec.Bytes(i))
		}
		if len(names) > s.options.MaxColumns {
			s.line = rec.Line
			return s.tooMany()
		}
		if s.options.Names == NamesSnakeCase {
			names = snakeCaseNames(names)
		}
		if err := checkNames(names, rec.Line); err != nil {
			return err
		}
		s.dialect.Header = names
		return s.checkTypes()
	}
}

// checkNames refuses what cannot name the columns of a table, all at once.
func checkNames(names []string, line int64) error {
	var empty, twice, long, system []string
	first := map[string]int{}
	for i, name := range names {
		number := fmt.Sprint(i + 1)
		switch {
		case strings.TrimSpace(name) == "":
			empty = append(empty, number)
			continue
		case len(name) > maxNameBytes:
			long = append(long, fmt.Sprintf("%s (%s)", number, cut([]byte(name))))
		case slices.Contains(systemColumns, name):
			system = append(system, fmt.Sprintf("%s (%s)", number, name))
		}
		if at, ok := first[name]; ok {
			twice = append(twice, fmt.Sprintf("%d and %s (%s)", at, number, cut([]byte(name))))
			continue
		}
		first[name] = i + 1
	}
	var reasons []string
	e := fault.New(fault.Invalid, "header_invalid", "").With("line", line)
	for _, problem := range []struct {
		key, words string
		columns    []string
	}{
		{"empty", "columns without a name: ", empty},
		{"duplicate", "columns with the same name: ", twice},
		{"too_long", fmt.Sprintf("names over %d bytes: columns ", maxNameBytes), long},
		{"system", "names that PostgreSQL keeps for itself: columns ", system},
	} {
		if len(problem.columns) == 0 {
			continue
		}
		shown := problem.columns[:min(len(problem.columns), MaxErrors)]
		words := problem.words + strings.Join(shown, ", ")
		if more := len(problem.columns) - len(shown); more > 0 {
			words += fmt.Sprintf(" and %d more", more)
		}
		reasons = append(reasons, words)
		e.With(problem.key, shown)
	}
	if reasons == nil {
		return nil
	}
	reason := strings.Join(reasons, "; ")
	e.Message = fmt.Sprintf("line %d, the header: %s", line, reason)
	return e.With("reason", reason).
		WithHint("change the header (a delimiter at the end of the line makes a column too), or ask for names=snake_case")
}

// checkTypes refuses type overrides for columns that are not there.
func (s *Scanner) checkTypes() error {
	var unknown []string
	for name := range s.options.Types {
		if !slices.Contains(s.dialect.Header, name) {
			unknown = append(unknown, name)
		}
	}
	if unknown == nil {
		return nil
	}
	slices.Sort(unknown)
	return optionFault("types", strings.Join(unknown, ", "), "the file has no such column").
		With("extra", unknown).With("available", s.dialect.Header)
}

// snakeCaseNames makes names that need no quotes in SQL where the script has letters PostgreSQL
// folds: lower case, words joined by one underscore, at most 63 bytes, none empty, none twice.
func snakeCaseNames(names []string) []string {
	out := make([]string, len(names))
	taken := map[string]bool{}
	for i, name := range names {
		base := snakeCase(name)
		if base == "" {
			base = fmt.Sprintf("column_%d", i+1)
		}
		if slices.Contains(systemColumns, base) {
			base += "_"
		}
		unique := base
		for n := 2; taken[unique]; n++ {
			suffix := fmt.Sprintf("_%d", n)
			unique = cutBytes(base, maxNameBytes-len(suffix)) + suffix
		}
		taken[unique] = true
		out[i] = unique
	}
	return out
}

// snakeCase gives "order_id" for "OrderID", "Order ID" and "order-id"; "" when nothing is left.
func snakeCase(name string) string {
	var b strings.Builder
	runes := []rune(name)
	gap := false
	for i, r := range runes {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) {
			gap = true
			continue
		}
		if i > 0 && unicode.IsUpper(r) {
			before := runes[i-1]
			endOfWord := i+1 < len(runes) && unicode.IsUpper(before) && unicode.IsLower(runes[i+1])
			gap = gap || unicode.IsLower(before) || unicode.IsDigit(before) || endOfWord
		}
		if b.Len() == 0 && unicode.IsDigit(r) {
			b.WriteByte('_')
		} else if gap && b.Len() > 0 {
			b.WriteByte('_')
		}
		gap = false
		b.WriteRune(unicode.ToLower(r))
	}
	return cutBytes(b.String(), maxNameBytes)
}

// cutBytes gives the longest prefix of s of at most n bytes that does not split a character.
func cutBytes(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
