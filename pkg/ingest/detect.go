package ingest

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/wlynxg/chardet"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// sampleBytes is how much of the stream detection looks at.
const sampleBytes = 64 << 10

// source is a stream of UTF-8 with its detected properties. A byte order mark is already gone.
type source struct {
	r        io.Reader
	encoding string
	decoded  bool   // the bytes were converted, so U+FFFD stands for bytes that were not valid
	sample   []byte // the first sampleBytes at most, in UTF-8, still to be read from r
	whole    bool   // sample is the whole stream
}

// openSource reads the first 64 KiB of r and finds the encoding: the one asked for, a byte order
// mark, valid UTF-8, else what a detector says.
func openSource(r io.Reader, o Options) (*source, error) {
	raw := make([]byte, sampleBytes)
	n, err := io.ReadFull(r, raw)
	raw = raw[:n]
	whole := err == io.EOF || err == io.ErrUnexpectedEOF
	if err != nil && !whole {
		return nil, readFault(err)
	}
	if n == 0 {
		return nil, fault.New(fault.Invalid, "file_empty", "the file is empty").
			WithHint("send a CSV file whose first line names the columns")
	}
	if what := foreignFormat(raw); what != "" {
		return nil, fault.New(fault.Invalid, "format_unsupported", "this is %s, not CSV", what).
			WithHint("export the data as CSV first").With("format", what)
	}
	enc, name, bom, err := findEncoding(raw, whole, o)
	if err != nil {
		return nil, err
	}
	raw = raw[bom:]
	src := &source{encoding: name, sample: raw, whole: whole}
	rest := r
	if whole {
		rest = bytes.NewReader(nil)
	}
	src.r = io.MultiReader(bytes.NewReader(raw), rest)
	if enc == nil {
		return src, nil
	}
	src.decoded = true
	src.r = transform.NewReader(src.r, enc.NewDecoder())
	sample := make([]byte, sampleBytes)
	n, err = io.ReadFull(src.r, sample)
	src.sample = sample[:n]
	src.whole = err == io.EOF || err == io.ErrUnexpectedEOF
	if err != nil && !src.whole {
		return nil, readFault(err)
	}
	src.r = io.MultiReader(bytes.NewReader(src.sample), src.r)
	return src, nil
}

// readFault wraps a failure of the caller's reader; a fault that it gives (a limit, say) stays as it is.
func readFault(err error) error {
	if fault.As(err) != nil {
		return err
	}
	return fmt.Errorf("read the file: %w", err)
}

// findEncoding gives the decoder (nil for UTF-8), its name, and the length of the byte order mark.
func findEncoding(raw []byte, whole bool, o Options) (encoding.Encoding, string, int, error) {
	mark, bom := "", 0
	switch {
	case bytes.HasPrefix(raw, []byte{0xEF, 0xBB, 0xBF}):
		mark, bom = "utf-8", 3
	case bytes.HasPrefix(raw, []byte{0xFF, 0xFE, 0, 0}), bytes.HasPrefix(raw, []byte{0, 0, 0xFE, 0xFF}):
		return nil, "", 0, fault.New(fault.Invalid, "format_unsupported", "the file is written in UTF-32").
			WithHint("save it as UTF-8").With("format", "UTF-32")
	case bytes.HasPrefix(raw, []byte{0xFF, 0xFE}):
		mark, bom = "utf-16le", 2
	case bytes.HasPrefix(raw, []byte{0xFE, 0xFF}):
		mark, bom = "utf-16be", 2
	}
	if o.Encoding != "" {
		enc, name, err := encodingByLabel(o.Encoding)
		if name != mark {
			bom = 0
		}
		return plainUTF16(enc, name), name, bom, err
	}
	if mark != "" {
		enc, name, err := encodingByLabel(mark)
		return plainUTF16(enc, name), name, bom, err
	}
	body := raw
	if !whole {
		body = wholeRunes(raw)
	}
	if utf8.Valid(body) {
		return nil, "utf-8", 0, nil
	}
	found := chardet.Detect(raw)
	if found.Encoding == "MacRoman" {
		found.Encoding = "macintosh" // its WHATWG name
	}
	if enc, name, err := encodingByLabel(found.Encoding); err == nil && enc != nil && found.Confidence >= 0.2 {
		return plainUTF16(enc, name), name, 0, nil
	}
	// Mostly UTF-8 with a few damaged bytes is a damaged file: reading it as something else would
	// turn every accented letter into two. The scanner then says where the damage is.
	if mostlyUTF8(body) {
		return nil, "utf-8", 0, nil
	}
	return nil, "", 0, fault.New(fault.Invalid, "encoding_unknown", "the encoding of the file cannot be told").
		WithHint("save it as UTF-8, or give its encoding, for example encoding=windows-1252")
}

// plainUTF16 keeps UTF-16 decoders from eating or demanding a byte order mark: it is cut off before.
func plainUTF16(enc encoding.Encoding, name string) encoding.Encoding {
	switch name {
	case "utf-16le":
		return unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
	case "utf-16be":
		return unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
	}
	return enc
}

// wholeRunes cuts an unfinished UTF-8 sequence off the end of b.
func wholeRunes(b []byte) []byte {
	for i := 1; i <= utf8.UTFMax-1 && i <= len(b); i++ {
		if c := b[len(b)-i]; utf8.RuneStart(c) {
			if c >= 0xC0 && !utf8.FullRune(b[len(b)-i:]) {
				return b[:len(b)-i]
			}
			break
		}
	}
	return b
}

// mostlyUTF8 says whether at least nine of ten non-ASCII sequences in b are valid UTF-8.
func mostlyUTF8(b []byte) bool {
	good, bad := 0, 0
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case r == utf8.RuneError && n == 1:
			bad++
		case n > 1:
			good++
		}
		b = b[n:]
	}
	return good >= 9*bad
}

// foreignFormat names a well-known binary format by its first bytes; "" when it is none.
func foreignFormat(b []byte) string {
	for _, f := range []struct{ magic, name string }{
		{"PK\x03\x04", "a ZIP archive or an Excel workbook"},
		{"\x1f\x8b", "a gzip archive"},
		{"PAR1", "a Parquet file"},
		{"\x28\xb5\x2f\xfd", "a zstd archive"},
		{"BZh", "a bzip2 archive"},
		{"\xfd7zXZ\x00", "an xz archive"},
		{"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook"},
		{"%PDF-", "a PDF document"},
		{"SQLite format 3\x00", "a SQLite database"},
	} {
		if strings.HasPrefix(string(b[:min(len(b), 16)]), f.magic) {
			return f.name
		}
	}
	return ""
}

// candidates are tried in this order; the earlier wins a tie.
var candidates = []byte{',', ';', '\t', '|'}

// detectDelimiter picks the candidate whose records, read outside quotes, most often have the
// header's width; the greater width decides between equals. A file in which no candidate gives the
// header two names has one column, and a comma is as good as any.
func detectDelimiter(sample []byte, whole bool) byte {
	best, bestShare, bestWidth := byte(','), -1.0, 1
	for _, d := range candidates {
		widths := recordWidths(sample, d, whole)
		if len(widths) == 0 || widths[0] < 2 {
			continue
		}
		same := 0
		for _, w := range widths {
			if w == widths[0] {
				same++
			}
		}
		share := float64(same) / float64(len(widths))
		if share > bestShare || share == bestShare && widths[0] > bestWidth {
			best, bestShare, bestWidth = d, share, widths[0]
		}
	}
	return best
}

// recordWidths counts the fields of each record that is not blank. An unfinished last record is
// left out unless it is the only one.
func recordWidths(b []byte, delim byte, whole bool) []int {
	var widths []int
	width, start, quoted, blank := 1, true, false, true
	for i := 0; i < len(b); i++ {
		c := b[i]
		switch {
		case quoted:
			quoted = c != '"' // a doubled quote closes and opens again
			start = false
			if !quoted && i+1 < len(b) && b[i+1] == '"' {
				i++
				quoted = true
			}
		case c == '"' && start:
			quoted, blank = true, false
		case c == delim:
			width++
			start, blank = true, false
		case c == '\n' || c == '\r':
			if !blank {
				widths = append(widths, width)
			}
			width, start, blank = 1, true, true
		default:
			start, blank = false, false
		}
	}
	if !blank && (whole || len(widths) == 0) {
		widths = append(widths, width)
	}
	return widths
}

// endsWithCR says whether lines end in a lone carriage return, as on the first Macintoshes: there
// is one outside quotes and no line feed is.
func endsWithCR(sample []byte, delim byte) bool {
	start, quoted, cr := true, false, false
	for i, c := range sample {
		switch {
		case quoted:
			quoted = c != '"'
			start = false
		case c == '"' && (start || i > 0 && sample[i-1] == '"'):
			quoted = true
		case c == '\n':
			return false
		default:
			cr = cr || c == '\r'
			start = c == delim || c == '\r'
		}
	}
	return cr
}
