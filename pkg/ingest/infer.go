package ingest

import (
	"context"
	"io"
	"strings"
)

// Column is what Infer learnt about one column of a file.
type Column struct {
	Name     string `json:"name"`
	Type     string `json:"type"` // as PostgreSQL names it: "bigint", "double precision", "timestamptz"
	Nullable bool   `json:"nullable"`
	// NullCount counts the cells that are stored as NULL: empty ones, and in a column that is not
	// text also those written as "".
	NullCount int64 `json:"null_count"`
	// Because is the first cell that kept the type from being narrower; nil when there is none.
	Because *Cell `json:"because,omitempty"`
	// Note says what a reader should know about the type; "" mostly.
	Note string `json:"note,omitempty"`
	// Given says that the type was asked for, not inferred: its cells were not looked at.
	Given bool `json:"given,omitempty"`
}

// Cell is one value and its place in the file. Value is cut to 100 characters.
type Cell struct {
	Line  int64  `json:"line"`
	Value string `json:"value"`
}

// Profile is what Infer found in a file.
type Profile struct {
	Columns []Column `json:"columns"`
	Rows    int64    `json:"rows"`
	// Sample holds the first rows, a nil pointer for NULL. Long values are cut to 1000 characters.
	Sample [][]*string `json:"sample"`
	// BlankLines is the number of blank lines that were left out.
	BlankLines int64 `json:"blank_lines,omitempty"`
}

// noteUTC is said of a column in which a time has no zone.
const noteUTC = "times without a zone are read as UTC"

// sampleValueBytes limits what the sample keeps of one value, so that memory stays small.
const sampleValueBytes = 1000

// inference is the state of one column.
type inference struct {
	open    kinds // the types that every cell so far fits
	seen    bool
	given   bool
	nulls   int64
	empties int64 // cells written as ""
	naive   bool  // a time without a zone was seen
	because *Cell
}

// Infer reads the rest of s and says for each column the narrowest type that PostgreSQL accepts for
// every one of its cells. See classify for what each type takes. sampleRows (0 or more) is how many
// rows Sample holds at most.
//
// It stops at ten mistakes and then gives file_invalid. ctx is looked at every few thousand rows.
func Infer(ctx context.Context, s *Scanner, sampleRows int) (*Profile, error) {
	columns := make([]inference, len(s.dialect.Header))
	for i, name := range s.dialect.Header {
		_, columns[i].given = s.options.Types[name]
		columns[i].open = allKinds
	}
	profile := &Profile{Sample: [][]*string{}}
	var mistakes ErrorList
	for {
		if s.number&0xfff == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		rec, err := s.Next()
		if err == io.EOF {
			break
		}
		if s.readErr != nil {
			return nil, s.readErr
		}
		if err != nil {
			if mistakes.Add(err) {
				continue
			}
			break
		}
		profile.Rows++
		for i := range columns {
			c := &columns[i]
			f := &rec.fields[i]
			if f.start == f.end {
				if f.quoted {
					c.empties++
				} else {
					c.nulls++
				}
				continue
			}
			if c.given || c.open == 0 && c.seen {
				continue
			}
			c.look(rec, i)
		}
		if len(profile.Sample) < sampleRows {
			profile.Sample = append(profile.Sample, sampleOf(rec))
		}
	}
	if err := mistakes.Err(); err != nil {
		return nil, err
	}
	for i := range columns {
		profile.Columns = append(profile.Columns, columns[i].column(s, i))
	}
	profile.BlankLines = s.Skipped()
	return profile, nil
}

// look narrows what the column can be by one cell that is not empty.
func (c *inference) look(rec *Record, i int) {
	value := rec.Bytes(i)
	before := c.open
	var naive bool
	c.open, naive = classify(value, c.open)
	c.naive = c.naive || naive
	if c.seen && c.open.narrowest() == before.narrowest() {
		return
	}
	c.seen = true
	c.because = nil
	switch c.open.narrowest() {
	case 0, kindNumeric, kindDouble, kindTimestamp:
		c.because = &Cell{Line: rec.Line, Value: cut(value)}
	}
}

// column sums up the column with number i.
func (c *inference) column(s *Scanner, i int) Column {
	out := Column{Name: s.dialect.Header[i], Type: c.open.narrowest().name(), NullCount: c.nulls, Because: c.because}
	if !c.seen {
		out.Type = textType
	}
	if c.given {
		out.Type, out.Given, out.Because = s.options.Types[out.Name], true, nil
	}
	if !keepsEmpty(out.Type) {
		out.NullCount += c.empties
	}
	if out.Type == kindTimestamp.name() && c.naive {
		out.Note = noteUTC
	}
	out.Nullable = out.NullCount > 0
	return out
}

// keepsEmpty says whether the empty string is a value of the type and not a way to write NULL.
func keepsEmpty(typeName string) bool {
	base, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(typeName)), "(")
	switch strings.TrimSpace(strings.TrimPrefix(base, "pg_catalog.")) {
	case textType, "varchar", "character varying", "char", "character", "bpchar", "citext", "name", "bytea":
		return true
	}
	return false
}

// sampleOf copies a record.
func sampleOf(rec *Record) []*string {
	row := make([]*string, rec.Len())
	for i := range row {
		if rec.Null(i) {
			continue
		}
		b := rec.Bytes(i)
		v := string(b)
		if len(v) > sampleValueBytes {
			v = cutBytes(v, sampleValueBytes) + "…"
		}
		row[i] = &v
	}
	return row
}
