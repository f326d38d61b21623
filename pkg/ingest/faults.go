package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// valueRunes is how much of a value an error shows.
const valueRunes = 100

// cut makes the beginning of b fit to be shown and stored: valid UTF-8 without NUL, which
// PostgreSQL could not keep.
func cut(b []byte) string {
	if len(b) > valueRunes*utf8.UTFMax {
		b = b[:valueRunes*utf8.UTFMax]
		b = wholeRunes(b)
	}
	s := strings.ReplaceAll(strings.ToValidUTF8(string(b), "\uFFFD"), "\x00", "\u2400")
	for i := range s {
		if utf8.RuneCountInString(s[:i]) == valueRunes {
			return s[:i] + "…"
		}
	}
	return s
}

// lineAt gives the line of buf[at], a place in the record that begins at s.pos.
func (s *Scanner) lineAt(at int) int64 {
	b := s.buf[s.pos:at]
	if !s.crEnds {
		return s.line + int64(bytes.Count(b, newline))
	}
	return s.line + int64(bytes.Count(b, []byte{'\r'})+bytes.Count(b, newline)-bytes.Count(b, []byte("\r\n")))
}

// columnWords describes column i (0-based) and gives its name, which is "" in and beyond the header.
func (s *Scanner) columnWords(i int) (words, name string) {
	if i < len(s.dialect.Header) {
		name = s.dialect.Header[i]
		return fmt.Sprintf("column %d (%s)", i+1, cut([]byte(name))), name
	}
	return fmt.Sprintf("column %d", i+1), ""
}

// cellFault makes an error about column i (0-based) at line. value may be nil.
func (s *Scanner) cellFault(code string, line int64, i int, value []byte, reason string) *fault.Error {
	words, name := s.columnWords(i)
	e := fault.New(fault.Invalid, code, "line %d, %s: %s", line, words, reason).
		With("line", line).With("record", s.number).With("column_number", i+1).With("reason", reason)
	if name != "" {
		e.With("column", name)
	}
	if value != nil {
		e.With("value", cut(value))
	}
	return e
}

// tail is the text from buf[at] to the end of its line, for showing.
func (s *Scanner) tail(at int) []byte {
	b := s.buf[at:s.end]
	b = b[:min(len(b), valueRunes*utf8.UTFMax+1)]
	if i := bytes.IndexAny(b, "\r\n"); i >= 0 {
		b = b[:i]
	}
	return b
}

func (s *Scanner) strayCR(at, column int) error {
	s.faultAt = at
	s.number++
	return s.cellFault("line_end_stray", s.lineAt(at), column, nil, "a carriage return stands alone outside quotes").
		WithHint("quote the cell, or use one kind of line end in the whole file")
}

// strayQuote reports a quote at buf[at] in the field that begins at from.
func (s *Scanner) strayQuote(from, at, column int) error {
	s.faultAt = at
	s.number++
	reason, hint := "a quote stands within a cell that is not quoted", "quote the whole cell and double the quotes in it"
	if from < at && s.buf[from] == '"' {
		reason, hint = "text follows the closing quote", "double the quotes that belong to the value"
	}
	return s.cellFault("quote_stray", s.lineAt(at), column, s.tail(from), reason).WithHint("%s", hint)
}

func (s *Scanner) openQuote(at, column int) error {
	s.faultAt = at
	s.number++
	return s.cellFault("quote_open", s.lineAt(at), column, s.tail(at), "the quote that opens here is never closed").
		WithHint("close the quote, or double it when it belongs to the value")
}

// tooLarge gives an error when the unfinished record, whose field begins at from, is over a limit.
func (s *Scanner) tooLarge(from, column int) error {
	if s.end-from > s.options.MaxCellBytes {
		return s.cellTooLarge(from, column)
	}
	if column >= s.options.MaxColumns {
		s.faultAt = s.pos
		return s.tooMany()
	}
	if limit := rowCells * s.options.MaxCellBytes; s.end-s.pos > limit {
		s.faultAt = s.end
		s.number++
		return s.cellFault("row_too_large", s.line, column, nil, fmt.Sprintf("the row is longer than %d bytes", limit)).
			WithHint("raise the limit for cells (a row may be %d times as long), or see whether a quote is not closed", rowCells)
	}
	return nil
}

func (s *Scanner) cellTooLarge(from, column int) error {
	s.faultAt = from + s.options.MaxCellBytes
	s.number++
	e := s.cellFault("cell_too_large", s.lineAt(from), column, s.tail(from), fmt.Sprintf("the cell is longer than %d bytes", s.options.MaxCellBytes)).
		WithHint("raise the limit for cells").With("limit_bytes", s.options.MaxCellBytes)
	if s.buf[from] == '"' || from > s.pos && s.buf[from-1] == '"' {
		e.WithHint("raise the limit for cells, or see whether the quote that opens here is closed")
	}
	return e
}

func (s *Scanner) tooMany() error {
	s.number++
	reason := fmt.Sprintf("the row has more than %d fields", s.options.MaxColumns)
	return fault.New(fault.Invalid, "columns_too_many", "line %d: %s", s.line, reason).
		WithHint("a table in PostgreSQL has at most %d columns; see whether the delimiter %q is right", MaxTableColumns, string(s.dialect.Delimiter)).
		With("line", s.line).With("record", s.number).With("reason", reason).With("limit", s.options.MaxColumns)
}

// ragged reports a record whose number of fields is not the header's.
func (s *Scanner) ragged(rec *Record) error {
	found, expected := len(rec.fields), len(s.dialect.Header)
	fields := "fields"
	if found == 1 {
		fields = "field"
	}
	reason := fmt.Sprintf("the row has %d %s, the header has %d", found, fields, expected)
	e := s.cellFault("row_ragged", rec.Line, min(found, expected), rec.raw, reason).
		With("found", found).With("expected", expected)
	if found < expected {
		return e.WithHint("add the missing cells, also when they are empty, or see whether the delimiter %q is right", string(s.dialect.Delimiter))
	}
	return e.WithHint("quote cells that hold the delimiter %q, or give the extra column a name in the header", string(s.dialect.Delimiter))
}

// badByte reports the byte at s.badAt, which lies in the record at s.pos.
func (s *Scanner) badByte() error {
	at := s.badAt
	column, from := s.columnAt(at)
	value := s.tail(from)
	if s.buf[at] == 0 {
		e := s.cellFault("nul_byte", s.lineAt(at), column, value, "there is a NUL byte, which PostgreSQL cannot store")
		if looksUTF16(s.buf[s.pos:s.end]) {
			return e.WithHint("the file looks like UTF-16 without a byte order mark: give encoding=utf-16le or utf-16be")
		}
		return e.WithHint("remove the NUL bytes; a file with many of them is not text")
	}
	reason := fmt.Sprintf("byte 0x%02X is not valid %s", s.buf[at], s.dialect.Encoding)
	if s.decoded {
		reason = "the bytes are not valid " + s.dialect.Encoding
	}
	e := s.cellFault("encoding_invalid", s.lineAt(at), column, value, reason)
	if s.dialect.Encoding == "utf-8" {
		return e.WithHint("save the file as UTF-8, or give its encoding, for example encoding=windows-1252")
	}
	return e.WithHint("give the right encoding, or save the file as UTF-8")
}

// columnAt gives the column (0-based) in which buf[at] lies, and where that column begins.
func (s *Scanner) columnAt(at int) (column, from int) {
	from = s.pos
	quoted := false
	for i := s.pos; i < at; i++ {
		switch c := s.buf[i]; {
		case quoted:
			quoted = c != '"'
		case c == '"':
			quoted = true
		case c == s.dialect.Delimiter:
			column, from = column+1, i+1
		}
	}
	return column, from
}

// looksUTF16 says whether every other byte at the beginning of b is mostly zero.
func looksUTF16(b []byte) bool {
	var zeros [2]int
	b = b[:min(len(b), 256)]
	for i, c := range b {
		if c == 0 {
			zeros[i&1]++
		}
	}
	return len(b) > 3 && max(zeros[0], zeros[1])*3 > len(b) && min(zeros[0], zeros[1])*8 < len(b)
}

// MaxErrors is how many mistakes of one file are reported at once.
const MaxErrors = 10

// ErrorList gathers the mistakes of a file that is loaded as a whole or not at all.
type ErrorList struct{ faults []*fault.Error }

// Add keeps err, which Scanner.Next gave and which is a fault of the content, and says whether the next record is worth
// reading: not when the list is full, nor after an error that ends the reading.
func (l *ErrorList) Add(err error) (goOn bool) {
	var e *fault.Error
	if !errors.As(err, &e) {
		return false
	}
	l.faults = append(l.faults, e)
	return len(l.faults) < MaxErrors && recoverable(e)
}

// Err gives nil for an empty list, else one fault of kind invalid and code file_invalid. Its fields
// are those of the first mistake, and "errors": a list of {code, line, record, column,
// column_number, value, reason, hint}, each where known, in the order of the file.
func (l *ErrorList) Err() error {
	if len(l.faults) == 0 {
		return nil
	}
	first := l.faults[0]
	message := first.Message
	if n := len(l.faults) - 1; n == 1 {
		message += "; and one more mistake"
	} else if n > 1 {
		message += fmt.Sprintf("; and %d more mistakes", n)
		if len(l.faults) == MaxErrors {
			message += " at least"
		}
	}
	e := fault.New(fault.Invalid, "file_invalid", "%s", message).WithHint("%s", first.Hint).Because(first)
	for k, v := range first.Fields {
		e.With(k, v)
	}
	list := make([]map[string]any, len(l.faults))
	for i, f := range l.faults {
		entry := map[string]any{"code": f.Code}
		for _, k := range []string{"line", "record", "column", "column_number", "value", "reason"} {
			if v, ok := f.Fields[k]; ok {
				entry[k] = v
			}
		}
		if f.Hint != "" {
			entry["hint"] = f.Hint
		}
		list[i] = entry
	}
	return e.With("errors", list)
}

// recoverable says whether the scanner can go on behind the record that err is about.
func recoverable(err error) bool {
	switch fault.CodeOf(err) {
	case "row_ragged", "nul_byte", "encoding_invalid":
		return true
	}
	return false
}
