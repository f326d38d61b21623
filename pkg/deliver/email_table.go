package deliver

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	shownRows    = 50
	shownColumns = 20
)

// table is rows that a subscription attaches.
type table struct {
	Relation  string
	Columns   []column
	Rows      [][]string // as texts; empty for null
	Truncated bool       // there are more rows than were attached
	Error     string     // code of the reason why the rows could not be read; empty when they could
}

type column struct{ Name, Type string }

// readTable reads data.attached; nil for none.
func readTable(attached any) *table {
	given, ok := attached.(map[string]any)
	if !ok {
		return nil
	}
	t := &table{Relation: oneLine(show(given["relation"])), Truncated: given["truncated"] == true, Error: oneLine(show(given["error"]))}
	columns, _ := given["columns"].([]any)
	for _, c := range columns {
		one, _ := c.(map[string]any)
		t.Columns = append(t.Columns, column{clip(oneLine(show(one["name"])), 63), oneLine(show(one["type"]))})
	}
	rows, _ := given["rows"].([]any)
	for _, r := range rows {
		cells, _ := r.([]any)
		row := make([]string, len(t.Columns))
		for i := range min(len(cells), len(row)) {
			text, isNumber := cells[i].(json.Number) // as it is written
			if !isNumber {
				text = json.Number(show(plain(cells[i])))
			}
			row[i] = clip(oneLine(text.String()), 200)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// shownTable is a table as messages show it.
type shownTable struct {
	Relation string
	Text     string // aligned by spaces
	Columns  []string
	Right    []bool // numbers stand right
	Rows     [][]string
	More     string // what is not shown, or why nothing is; empty for nothing
	Bars     []bar
	NoBars   bool // a chart was asked for, and there is no column of numbers
}

// bar is a bar of a chart: Filled and Left are percents of its width.
type bar struct {
	Label, Value string
	Filled, Left int
	Negative     bool
}

// tables gives what the events attach, of each relation the rows that it had last.
func tables(events []occurrence, chart bool) []shownTable {
	var list []*table
	for _, o := range events {
		if o.Attached == nil {
			continue
		}
		list = slices.DeleteFunc(list, func(t *table) bool { return t.Relation == o.Attached.Relation })
		list = append(list, o.Attached)
	}
	var shown []shownTable
	for _, t := range list[max(0, len(list)-shownTables):] {
		shown = append(shown, t.show(chart))
	}
	return shown
}

func (t *table) show(chart bool) shownTable {
	s := shownTable{Relation: t.Relation}
	rows := t.Rows[:min(len(t.Rows), shownRows)]
	for i, c := range t.Columns[:min(len(t.Columns), shownColumns)] {
		s.Columns = append(s.Columns, c.Name)
		s.Right = append(s.Right, t.isNumeric(i))
	}
	for _, row := range rows {
		s.Rows = append(s.Rows, row[:len(s.Columns)])
	}
	var more []string
	switch extra := len(t.Rows) - len(rows); {
	case t.Truncated && extra > 0:
		more = append(more, fmt.Sprintf("more than %s", count(extra, "further row")))
	case t.Truncated:
		more = append(more, "further rows")
	case extra > 0:
		more = append(more, count(extra, "further row"))
	}
	if extra := len(t.Columns) - len(s.Columns); extra > 0 {
		more = append(more, count(extra, "further column"))
	}
	switch {
	case t.Error != "":
		s.More = "The rows cannot be read: " + t.Error + "."
	case len(more) > 0:
		s.More = "and " + strings.Join(more, ", ")
	case len(rows) == 0:
		s.More = "There are no rows."
	}
	s.Text = s.aligned()
	if chart && len(rows) > 0 {
		s.Bars = t.bars(rows)
		s.NoBars = s.Bars == nil
	}
	return s
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// isNumeric tells whether a column holds numbers, by its type.
func (t *table) isNumeric(i int) bool {
	name, _, _ := strings.Cut(t.Columns[i].Type, "(")
	return slices.Contains([]string{"smallint", "integer", "bigint", "numeric", "real", "double precision", "money"}, name)
}

// bars gives a bar for each row: the first column that is not numeric is its label, the first numeric one its length. nil when there is no
// numeric column.
func (t *table) bars(rows [][]string) []bar {
	label, value := -1, -1
	for i := range t.Columns {
		switch numeric := t.isNumeric(i); {
		case numeric && value < 0:
			value = i
		case !numeric && label < 0:
			label = i
		}
	}
	if value < 0 {
		return nil
	}
	lengths, longest := make([]float64, len(rows)), 0.0
	for i, row := range rows {
		n, err := strconv.ParseFloat(row[value], 64)
		if err == nil && !math.IsNaN(n) && !math.IsInf(n, 0) {
			lengths[i] = n
			longest = max(longest, math.Abs(n))
		}
	}
	bars := make([]bar, 0, len(rows))
	for i, row := range rows {
		b := bar{Label: strconv.Itoa(i + 1), Value: clip(row[value], 30), Negative: lengths[i] < 0}
		if label >= 0 {
			b.Label = clip(row[label], 40)
		}
		if longest > 0 {
			b.Filled = int(math.Round(math.Abs(lengths[i]) / longest * 100))
		}
		b.Left = 100 - b.Filled
		bars = append(bars, b)
	}
	return bars
}

// aligned writes the table for letters of one width.
func (s *shownTable) aligned() string {
	if len(s.Columns) == 0 {
		return ""
	}
	const widest = 40
	widths := make([]int, len(s.Columns))
	lines := append([][]string{s.Columns}, s.Rows...)
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], min(utf8.RuneCountInString(cell), widest))
		}
	}
	var text strings.Builder
	for n, line := range lines {
		cells := make([]string, len(line))
		rule := make([]string, len(line))
		for i, cell := range line {
			cell = clip(cell, widest)
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if s.Right[i] {
				cells[i] = pad + cell
			} else {
				cells[i] = cell + pad
			}
			rule[i] = strings.Repeat("-", widths[i])
		}
		text.WriteString(strings.TrimRight(strings.Join(cells, " | "), " ") + "\n")
		if n == 0 {
			text.WriteString(strings.Join(rule, "-+-") + "\n")
		}
	}
	return text.String()
}
