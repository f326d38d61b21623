// Package console is how the command line talks to people: aligned tables, times in UTC, durations in words, errors with a hint
// and a caret, and a progress bar.
package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
)

// IsTerminal tells whether w is a terminal.
func IsTerminal(w any) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Table writes rows in aligned columns under a heading.
func Table(w io.Writer, heading []string, rows [][]string) error {
	var text bytes.Buffer
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{heading}, rows...) {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = oneLine(cell)
		}
		fmt.Fprintln(table, strings.Join(cells, "\t"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for line := range strings.Lines(text.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// Fields writes one value a line, the names aligned; empty values are left out.
func Fields(w io.Writer, fields ...[2]string) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, field := range fields {
		if field[1] != "" {
			fmt.Fprintf(table, "%s:\t%s\n", field[0], strings.ReplaceAll(Printable(field[1]), "\n", "\n\t"))
		}
	}
	return table.Flush()
}

// JSON writes a value for machines, indented.
func JSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// Printable takes what would drive a terminal (escapes, bells, and so on) out of text that comes from data.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 {
			return '\uFFFD'
		}
		return r
	}, text)
}

var breaks = strings.NewReplacer("\n", " ", "\r", " ", "\t", " ")

// oneLine fits text into a cell of a table.
func oneLine(text string) string { return Printable(breaks.Replace(text)) }

// Time gives a time in UTC to the second; "" for nil.
func Time(at *time.Time) string {
	if at == nil || at.IsZero() {
		return ""
	}
	return at.UTC().Format("2006-01-02 15:04:05")
}

// Times gives times in UTC, separated by commas.
func Times(list []time.Time) string {
	words := make([]string, len(list))
	for i := range list {
		words[i] = Time(&list[i])
	}
	return strings.Join(words, ", ")
}

// Duration gives a length of time in words: "12 ms", "3.4 s", "2 min 5 s", "1 h 4 min".
func Duration(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", d.Seconds()), ".0") + " s"
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(d.Hours())/24)
}

// Bytes gives a size: "812 B", "4.1 MB".
func Bytes(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n), 0
	units := []string{"B", "kB", "MB", "GB", "TB", "PB"}
	for value >= 999.95 && unit < len(units)-1 {
		value, unit = value/1000, unit+1
	}
	return fmt.Sprintf("%.1f %s", value, units[unit])
}

// Count gives a number with its noun: "1 row", "2,000 rows".
func Count(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return Number(n) + " " + noun + "s"
}

// Number groups the digits: 1,234,567.
func Number(n int64) string {
	text := fmt.Sprint(n)
	start := 0
	if n < 0 {
		start = 1
	}
	for i := len(text) - 3; i > start; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// YesNo gives a truth in a word.
func YesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}
