package ingest

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/bits"
	"unicode/utf8"
)

const (
	chunkBytes = 256 << 10 // what is read at once, and the size in which Copy sends
	padBytes   = 8         // zeroes behind the data, so that a whole word can be loaded anywhere
)

// Scanner reads a CSV stream record by record without allocating. Make one with NewScanner. It is
// not safe for concurrent use.
//
// A field is NULL when it is empty and not quoted, and the empty string when it is `""`. Quotes
// follow RFC 4180: a field is quoted as a whole, and a quote in it is doubled. Lines end in LF,
// CRLF or, when the file has no LF outside quotes, a lone CR. A lone CR outside quotes is otherwise an
// error, as it is in PostgreSQL.
//
// Blank lines are skipped in a file of several columns. In a file of one column a blank line is a
// NULL, except at the end of the file, where blank lines are skipped too. Skipped counts them.
type Scanner struct {
	dialect Dialect
	options Options
	decoded bool
	crEnds  bool // lines end in a lone CR

	r       io.Reader
	readErr error
	eof     bool
	buf     []byte // data is buf[:end]; at least padBytes zeroes follow
	pos     int    // start of the next record
	end     int
	checked int // buf[:checked] was looked at for NUL and bad encoding
	badAt   int // first bad byte of buf[:checked], or -1

	fields  []field
	record  Record
	scratch []byte
	line    int64 // of the byte at pos
	number  int64 // records given out
	dead    error // what Next gives from now on
	faultAt int   // where in the buffer the last error of parse is

	blankLine  int64 // single column: line of the first blank line not yet given out
	blanks     int64 // single column: how many there are
	blanksReal bool  // a record follows them, so they are NULLs
	skipped    int64

	pattern [4]uint64 // the bytes that parse stops at, eight times each
}

// field is a piece of the buffer; the quotes around it are left out.
type field struct {
	start, end uint32
	quoted     bool
	doubled    bool // holds doubled quotes
}

// Record is one row of the file. It and what it gives out are valid until the next call of Next.
type Record struct {
	Line   int64 // 1-based line on which it begins
	Number int64 // 1-based, the header not counted

	data     []byte // the scanner's buffer
	fields   []field
	raw      []byte // as it stands in the file, without its line end
	newlines int    // LFs within quotes
	scratch  *[]byte
}

// Len gives the number of fields, which is the same for every record of a file.
func (r *Record) Len() int { return len(r.fields) }

// Null says whether field i (0-based) is empty and not quoted.
func (r *Record) Null(i int) bool {
	f := &r.fields[i]
	return f.start == f.end && !f.quoted
}

// Bytes gives the value of field i (0-based), quotes removed; empty for NULL. It is valid until the
// next call of Next, or of Bytes on a field with doubled quotes.
func (r *Record) Bytes(i int) []byte {
	f := &r.fields[i]
	b := r.data[f.start:f.end]
	if !f.doubled {
		return b
	}
	out := (*r.scratch)[:0]
	for {
		i := bytes.IndexByte(b, '"')
		if i < 0 {
			break
		}
		out = append(out, b[:i+1]...)
		b = b[i+2:]
	}
	out = append(out, b...)
	*r.scratch = out
	return out
}

// NewScanner detects how r is written, from its first 64 KiB, and reads the header, which is the
// first record. It reads r in large pieces and never closes it.
//
// Errors are faults of kind invalid (see the package comment), or the error of r, wrapped; a fault
// that r gives is handed on as it is.
func NewScanner(r io.Reader, opts Options) (*Scanner, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	delim, err := opts.delimiter()
	if err != nil {
		return nil, err
	}
	src, err := openSource(r, opts)
	if err != nil {
		return nil, err
	}
	if delim == 0 {
		delim = detectDelimiter(src.sample, src.whole)
	}
	s := &Scanner{
		dialect: Dialect{Encoding: src.encoding, Delimiter: delim},
		options: opts,
		decoded: src.decoded,
		crEnds:  endsWithCR(src.sample, delim),
		r:       src.r,
		buf:     make([]byte, chunkBytes+padBytes),
		badAt:   -1,
		line:    1,
	}
	for i, c := range []byte{delim, '"', '\n', '\r'} {
		s.pattern[i] = uint64(c) * 0x0101010101010101
	}
	s.record.scratch = &s.scratch
	if err := s.readHeader(); err != nil {
		return nil, err
	}
	return s, nil
}

// Dialect gives the encoding, the delimiter and the column names.
func (s *Scanner) Dialect() Dialect { return s.dialect }

// Records gives the number of records read so far, the header not counted.
func (s *Scanner) Records() int64 { return s.number }

// Skipped gives the number of blank lines that were left out so far.
func (s *Scanner) Skipped() int64 { return s.skipped }

// Next gives the next record, io.EOF after the last, or what is wrong with the record.
//
// After row_ragged, nul_byte and encoding_invalid the next call goes on with the next record, so
// that several mistakes can be reported at once; every other error is given again and again. A file
// in which Next failed once is not to be loaded.
func (s *Scanner) Next() (*Record, error) {
	if s.dead != nil {
		return nil, s.dead
	}
	for {
		if s.blanksReal {
			return s.nextBlank(), nil
		}
		next, err := s.parse()
		if err != nil {
			s.dead = err
			if err != io.EOF && s.readErr == nil && s.badAt >= 0 && s.badAt < s.faultAt {
				s.dead = s.badByte()
			}
			return nil, s.dead
		}
		rec := &s.record
		if rec.fields[0].start == rec.fields[0].end && len(rec.fields) == 1 && !rec.fields[0].quoted {
			s.pos, s.line = next, s.line+1
			if len(s.dialect.Header) != 1 {
				s.skipped++
				continue
			}
			if s.blanks == 0 {
				s.blankLine = rec.Line
			}
			s.blanks++
			continue
		}
		if s.blanks > 0 {
			s.blanksReal = true
			continue
		}
		s.number++
		rec.Number = s.number
		var bad error
		if s.badAt >= 0 && s.badAt < next {
			bad = s.badByte()
			s.badAt, s.checked = -1, next
			s.check()
		} else if len(rec.fields) != len(s.dialect.Header) {
			bad = s.ragged(rec)
		}
		s.line += s.lineEnds(s.pos, next, rec.newlines)
		s.pos = next
		if bad != nil {
			return nil, bad
		}
		return rec, nil
	}
}

// nextBlank gives out one of the blank lines of a single-column file, as a NULL.
func (s *Scanner) nextBlank() *Record {
	s.number++
	s.fields = append(s.fields[:0], field{})
	s.record.Line, s.record.Number = s.blankLine, s.number
	s.record.data, s.record.fields, s.record.raw, s.record.newlines = s.buf, s.fields, nil, 0
	s.blankLine++
	s.blanks--
	s.blanksReal = s.blanks > 0
	return &s.record
}

// lineEnds counts the lines from start to next, which is just behind a record.
func (s *Scanner) lineEnds(start, next, newlines int) int64 {
	if !s.crEnds {
		return int64(newlines) + 1
	}
	b := s.buf[start:next]
	lone := bytes.Count(b, []byte{'\r'}) + bytes.Count(b, []byte{'\n'}) - bytes.Count(b, []byte("\r\n"))
	return int64(max(lone, 1))
}

// fill reads more behind what is there, keeping everything from s.pos on, which moves to the front.
// It reads until the buffer is full, doubling it when nothing could be read otherwise.
func (s *Scanner) fill() error {
	if s.pos > 0 {
		copy(s.buf, s.buf[s.pos:s.end])
		s.end -= s.pos
		s.checked = max(s.checked-s.pos, 0)
		if s.badAt >= 0 {
			s.badAt -= s.pos
		}
		s.pos = 0
	}
	room := len(s.buf) - padBytes - s.end
	if room < chunkBytes/2 {
		grown := make([]byte, 2*(len(s.buf)-padBytes)+padBytes)
		copy(grown, s.buf[:s.end])
		s.buf = grown
		room = len(s.buf) - padBytes - s.end
	}
	n, err := io.ReadFull(s.r, s.buf[s.end:s.end+room])
	s.end += n
	clear(s.buf[s.end : s.end+padBytes])
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		s.eof, err = true, nil
	}
	if err != nil {
		s.readErr = readFault(err)
		return s.readErr
	}
	s.check()
	return nil
}

// check looks for NUL and bad encoding in what is new.
func (s *Scanner) check() {
	if s.badAt >= 0 {
		return
	}
	from := s.checked
	b := s.buf[from:s.end]
	if !s.eof {
		b = wholeRunes(b)
	}
	s.checked += len(b)
	s.badAt = -1
	if !utf8.Valid(b) {
		at := from
		for {
			r, n := utf8.DecodeRune(s.buf[at:s.end])
			if r == utf8.RuneError && n <= 1 {
				break
			}
			at += n
		}
		s.badAt = at
	}
	if i := bytes.IndexByte(b, 0); i >= 0 && (s.badAt < 0 || from+i < s.badAt) {
		s.badAt = from + i
	}
	if s.decoded {
		// Decoders put U+FFFD where the bytes mean nothing in the encoding.
		if i := bytes.Index(b, []byte("\uFFFD")); i >= 0 && (s.badAt < 0 || from+i < s.badAt) {
			s.badAt = from + i
		}
	}
}

const (
	low7 = 0x7f7f7f7f7f7f7f7f
	high = 0x8080808080808080
)

// special sets the high bit of each byte of w that is the delimiter, a quote, LF or CR. Unlike the
// shorter trick with a borrow it is exact in every byte, so that all bits of a word can be used.
func special(w uint64, p *[4]uint64) uint64 {
	a, b, c, d := w^p[0], w^p[1], w^p[2], w^p[3]
	a |= (a & low7) + low7
	b |= (b & low7) + low7
	c |= (c & low7) + low7
	d |= (d & low7) + low7
	return ^(a & b & c & d) & high
}

// parse finds the record that begins at s.pos, puts it into s.record, and gives the position behind
// its line end. It changes nothing else but the buffer, which it fills as needed.
func (s *Scanner) parse() (int, error) {
	for {
		next, more, err := s.parseBuffered()
		if err != nil || !more {
			return next, err
		}
		if s.eof && s.pos == s.end {
			s.skipped += s.blanks
			s.blanks = 0
			return 0, io.EOF
		}
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
}

// parseBuffered does the work of parse on what is in the buffer; more says that it does not suffice.
func (s *Scanner) parseBuffered() (next int, more bool, err error) {
	var (
		buf      = s.buf
		end      = s.end
		start    = s.pos
		delim    = s.dialect.Delimiter
		fields   = s.fields[:0]
		from     = start // of the field
		base     = start // of the word
		newlines = 0
		widest   = s.options.MaxColumns + 1 // more fields than that are counted, not kept
		wide     = 0
		stop     int // end of the record
		pattern  = s.pattern
	)
	if start == end {
		return 0, true, nil
	}
	mask := special(binary.LittleEndian.Uint64(buf[base:]), &pattern)
scan:
	for {
		for mask == 0 {
			base += 8
			if base >= end {
				if !s.eof {
					s.fields = fields
					return 0, true, s.tooLarge(from, len(fields)+wide)
				}
				fields = append(fields, field{start: uint32(from), end: uint32(end)})
				stop, next = end, end
				break scan
			}
			mask = special(binary.LittleEndian.Uint64(buf[base:]), &pattern)
		}
		i := base + bits.TrailingZeros64(mask)>>3
		mask &= mask - 1
		switch c := buf[i]; c {
		case delim:
			if len(fields) < widest {
				fields = append(fields, field{start: uint32(from), end: uint32(i)})
			} else {
				wide++
			}
			from = i + 1
			continue
		case '\n':
			fields = append(fields, field{start: uint32(from), end: uint32(i)})
			stop, next = i, i+1
			break scan
		case '\r':
			if i+1 == end && !s.eof {
				s.fields = fields
				return 0, true, nil
			}
			if i+1 < end && buf[i+1] == '\n' {
				next = i + 2
			} else if s.crEnds || i+1 == end {
				next = i + 1
			} else {
				return 0, false, s.strayCR(i, len(fields)+wide)
			}
			fields = append(fields, field{start: uint32(from), end: uint32(i)})
			stop = i
			break scan
		}
		// A quote.
		if i != from {
			return 0, false, s.strayQuote(from, i, len(fields)+wide)
		}
		f := field{start: uint32(i + 1), quoted: true}
		q := i + 1
		for {
			j := bytes.IndexByte(buf[q:end], '"')
			if j < 0 || q+j+1 == end && !s.eof {
				s.fields = fields
				if s.eof {
					return 0, false, s.openQuote(i, len(fields)+wide)
				}
				return 0, true, s.tooLarge(i, len(fields)+wide)
			}
			q += j
			if q+1 < end && buf[q+1] == '"' {
				f.doubled = true
				q += 2
				continue
			}
			break
		}
		f.end = uint32(q)
		newlines += bytes.Count(buf[i+1:q], newline)
		from = q + 1
		if from < end && buf[from] != delim && buf[from] != '\n' && buf[from] != '\r' {
			return 0, false, s.strayQuote(i, q, len(fields)+wide)
		}
		if from < end && buf[from] == '\r' {
			if from+1 == end && !s.eof {
				s.fields = fields
				return 0, true, nil
			}
			if !(from+1 < end && buf[from+1] == '\n') && !s.crEnds && from+1 < end {
				return 0, false, s.strayCR(from, len(fields)+wide)
			}
		}
		if len(fields) < widest {
			fields = append(fields, f)
		} else {
			wide++
		}
		if from >= end || buf[from] != delim {
			if from >= end && !s.eof {
				s.fields = fields
				return 0, true, nil
			}
			stop, next = from, from
			if from < end {
				next++
				if buf[from] == '\r' && next < end && buf[next] == '\n' {
					next++
				}
			}
			break scan
		}
		from++
		base = from
		if base >= end {
			// Nothing follows the delimiter: more is to come, or the last field is NULL.
			if !s.eof {
				s.fields = fields
				return 0, true, nil
			}
			mask = 0
			continue
		}
		mask = special(binary.LittleEndian.Uint64(buf[base:]), &pattern)
	}
	s.fields = fields
	s.faultAt = start
	rec := &s.record
	rec.Line = s.line
	rec.data, rec.fields, rec.raw, rec.newlines = buf, fields, buf[start:stop], newlines
	if wide > 0 {
		return 0, false, s.tooMany()
	}
	if stop-start > s.options.MaxCellBytes {
		for i := range fields {
			if int(fields[i].end-fields[i].start) > s.options.MaxCellBytes {
				return 0, false, s.cellTooLarge(int(fields[i].start), i)
			}
		}
	}
	return next, false, nil
}

var newline = []byte{'\n'}
