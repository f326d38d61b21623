package ingest_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/ingest"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"pgregory.net/rapid"
)

// row is a record with NULL written as <null>.
type row struct {
	line   int64
	values []string
}

func (r row) String() string { return fmt.Sprintf("%d:%s", r.line, strings.Join(r.values, "|")) }

func rowOf(rec *ingest.Record) row {
	r := row{line: rec.Line}
	for i := range rec.Len() {
		if rec.Null(i) {
			r.values = append(r.values, "<null>")
		} else {
			r.values = append(r.values, string(rec.Bytes(i)))
		}
	}
	return r
}

// scan reads all of r; err is the first error other than the end.
func scan(r io.Reader, o ingest.Options) (ingest.Dialect, []row, error) {
	s, err := ingest.NewScanner(r, o)
	if err != nil {
		return ingest.Dialect{}, nil, err
	}
	var rows []row
	for {
		rec, err := s.Next()
		if err == io.EOF {
			return s.Dialect(), rows, nil
		}
		if err != nil {
			return s.Dialect(), rows, err
		}
		if rec.Number != int64(len(rows)+1) {
			return s.Dialect(), rows, fmt.Errorf("record %d is numbered %d", len(rows)+1, rec.Number)
		}
		rows = append(rows, rowOf(rec))
	}
}

func utf16Bytes(s string, big, mark bool) string {
	var b []byte
	if mark {
		s = "\uFEFF" + s
	}
	for _, u := range utf16.Encode([]rune(s)) {
		if big {
			b = append(b, byte(u>>8), byte(u))
		} else {
			b = append(b, byte(u), byte(u>>8))
		}
	}
	return string(b)
}

func TestScanner(t *testing.T) {
	latin, _ := charmap.Windows1252.NewEncoder().String("name;city\nJosé;Köln – Süd\nZoë;Besançon\nRené;Zürich\nFrançois;Genève\n")
	sjis, _ := japanese.ShiftJIS.NewEncoder().String("名前,都市\n山田太郎さんです,東京都渋谷区\nこんにちは,カタカナとひらがな\n")
	cases := []struct {
		name, in, encoding string
		delim              byte
		header             []string
		rows               string // one a line
	}{
		{"plain", "a,b\n1,2\n3,4\n", "utf-8", ',', []string{"a", "b"}, "2:1|2\n3:3|4"},
		{"no newline at the end", "a,b\n1,2", "utf-8", ',', []string{"a", "b"}, "2:1|2"},
		{"ends in a delimiter", "a,b\n1,", "utf-8", ',', []string{"a", "b"}, "2:1|<null>"},
		{"ends in a quoted cell and a delimiter", "a,b\n\"1\",", "utf-8", ',', []string{"a", "b"}, "2:1|<null>"},
		{"ends in a quote", "a,b\n1,\"2\"", "utf-8", ',', []string{"a", "b"}, "2:1|2"},
		{"CRLF", "a,b\r\n1,2\r\n\"3\",\"4\"\r\n", "utf-8", ',', []string{"a", "b"}, "2:1|2\n3:3|4"},
		{"CR", "a,b\r1,2\r\"3\",\"4\"\r", "utf-8", ',', []string{"a", "b"}, "2:1|2\n3:3|4"},
		{"CR counts lines within quotes", "a,b\r1,\"x\ry\"\r3,4", "utf-8", ',', []string{"a", "b"}, "2:1|x\ry\n4:3|4"},
		{"lone CR at the end", "a,b\n1,2\r", "utf-8", ',', []string{"a", "b"}, "2:1|2"},
		{"NULL and empty", "a,b,c\n,\"\",x\n", "utf-8", ',', []string{"a", "b", "c"}, "2:<null>||x"},
		{"doubled quotes", "a,b\n\"x\"\"y\",\"\"\"\"\n", "utf-8", ',', []string{"a", "b"}, "2:x\"y|\""},
		{"newline in quotes", "a,b\n\"x\ny\",2\n3,4\n", "utf-8", ',', []string{"a", "b"}, "2:x\ny|2\n4:3|4"},
		{"blank lines are skipped", "\n\na,b\n1,2\n\n\n3,4\n\n", "utf-8", ',', []string{"a", "b"}, "4:1|2\n7:3|4"},
		{"blank lines of one column are NULL, but not at the end", "a\n1\n\n\n2\n\n\n", "utf-8", ',', []string{"a"}, "2:1\n3:<null>\n4:<null>\n5:2"},
		{"one column, quoted empty", "a\n\"\"\n", "utf-8", ',', []string{"a"}, "2:"},
		{"header only", "a,b\n", "utf-8", ',', []string{"a", "b"}, ""},
		{"UTF-8 mark", "\uFEFFa,b\n1,2\n", "utf-8", ',', []string{"a", "b"}, "2:1|2"},
		{"mark before a quoted name", "\uFEFF\"a\",b\n1,2\n", "utf-8", ',', []string{"a", "b"}, "2:1|2"},
		{"UTF-16LE", utf16Bytes("ä,b\n1,😀\n", false, true), "utf-16le", ',', []string{"ä", "b"}, "2:1|😀"},
		{"UTF-16BE", utf16Bytes("ä;b\n1;😀\n", true, true), "utf-16be", ';', []string{"ä", "b"}, "2:1|😀"},
		{"windows-1252", latin, "windows-1252", ';', []string{"name", "city"}, "2:José|Köln – Süd\n3:Zoë|Besançon\n4:René|Zürich\n5:François|Genève"},
		{"Shift JIS", sjis, "shift_jis", ',', []string{"名前", "都市"}, "2:山田太郎さんです|東京都渋谷区\n3:こんにちは|カタカナとひらがな"},
		{"semicolons with decimal commas", "a;b\n1,5;2,5\n3,5;4,5\n", "utf-8", ';', []string{"a", "b"}, "2:1,5|2,5\n3:3,5|4,5"},
		{"tabs", "a\tb\n1\t2,3\n", "utf-8", '\t', []string{"a", "b"}, "2:1|2,3"},
		{"pipes", "a|b\n1|2\n", "utf-8", '|', []string{"a", "b"}, "2:1|2"},
		{"delimiters in quotes do not count", "a;b\n\"1,2,3\";\"4,5,6\"\n\"1,2,3\";x\n", "utf-8", ';', []string{"a", "b"}, "2:1,2,3|4,5,6\n3:1,2,3|x"},
		{"backslash", "a,b\n\\.,x\\\n", "utf-8", ',', []string{"a", "b"}, "2:\\.|x\\"},
		{"spaces stay", " a ,b\n 1 , x\n", "utf-8", ',', []string{" a ", "b"}, "2: 1 | x"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, r := range []io.Reader{strings.NewReader(c.in), iotest.OneByteReader(strings.NewReader(c.in))} {
				d, rows, err := scan(r, ingest.Options{})
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, r := range rows {
					got = append(got, r.String())
				}
				if d.Encoding != c.encoding || d.Delimiter != c.delim || !slices.Equal(d.Header, c.header) {
					t.Errorf("dialect %q %q %q", d.Encoding, d.Delimiter, d.Header)
				}
				if g := strings.Join(got, "\n"); g != c.rows {
					t.Errorf("rows\n%s\nwant\n%s", g, c.rows)
				}
			}
		})
	}
}

// TestMistakes has the ways in which a file can be bad, with the whole of the error.
func TestMistakes(t *testing.T) {
	small := ingest.Options{MaxCellBytes: 1000}
	cases := []struct {
		name, in string
		o        ingest.Options
		code     string
		want     string // message
		fields   string // selected fields
	}{
		{"empty", "", ingest.Options{}, "file_empty", "the file is empty", ""},
		{"only blank lines", "\n\r\n\n", ingest.Options{}, "file_empty", "the file holds nothing but blank lines", ""},
		{"zip", "PK\x03\x04xxxx", ingest.Options{}, "format_unsupported", "this is a ZIP archive or an Excel workbook, not CSV", ""},
		{"UTF-32", "\xff\xfe\x00\x00a\x00\x00\x00", ingest.Options{}, "format_unsupported", "the file is written in UTF-32", ""},
		{"short row", "a,b,c\n1,2,3\n4,5\n", ingest.Options{}, "row_ragged", "line 3, column 3 (c): the row has 2 fields, the header has 3", "3|2|c|3|4,5"},
		{"long row", "a,b\n\"x\ny\",2\n4,5,6\n", ingest.Options{}, "row_ragged", "line 4, column 3: the row has 3 fields, the header has 2", "4|2|<nil>|3|4,5,6"},
		{"open quote", "a,b\n1,2\n3,\"x\n5,6\n", ingest.Options{}, "quote_open", "line 3, column 2 (b): the quote that opens here is never closed", "3|2|b|2|\"x"},
		{"stray quote", "a,b\n1,x\"y\n", ingest.Options{}, "quote_stray", "line 2, column 2 (b): a quote stands within a cell that is not quoted", "2|1|b|2|x\"y"},
		{"text after a quote", "a,b\n\"l1\nl2\",\"x\"y\n", ingest.Options{}, "quote_stray", "line 3, column 2 (b): text follows the closing quote", "3|1|b|2|\"x\"y"},
		{"space after a quote", "a,b\n\"x\" ,y\n", ingest.Options{}, "quote_stray", "line 2, column 1 (a): text follows the closing quote", "2|1|a|1|\"x\" ,y"},
		{"NUL", "a,b\n1,2\n3,x\x00y\n", ingest.Options{}, "nul_byte", "line 3, column 2 (b): there is a NUL byte, which PostgreSQL cannot store", "3|2|b|2|x␀y"},
		{"bad UTF-8", "a,b\nä,é\n1,2\n3,x\xffy\nü,ö\nè,à\nñ,ß\nŁ,€\n…,–\n", ingest.Options{}, "encoding_invalid", "line 4, column 2 (b): byte 0xFF is not valid utf-8", "4|3|b|2|x\uFFFDy"},
		{"cut short UTF-8", "a,b\n1,x\xc3", ingest.Options{Encoding: "utf-8"}, "encoding_invalid", "line 2, column 2 (b): byte 0xC3 is not valid utf-8", "2|1|b|2|x\uFFFD"},
		{"bad UTF-16", utf16Bytes("a,b\n1,", false, true) + "\x00\xdc" + utf16Bytes("\n", false, false), ingest.Options{}, "encoding_invalid", "line 2, column 2 (b): the bytes are not valid utf-16le", "2|1|b|2|\uFFFD"},
		{"large cell", "a,b\n1," + strings.Repeat("x", 1001) + "\n", small, "cell_too_large", "line 2, column 2 (b): the cell is longer than 1000 bytes", "2|1|b|2|" + strings.Repeat("x", 100) + "…"},
		{"endless cell", "a,b\n1," + strings.Repeat("x", 1<<20), small, "cell_too_large", "line 2, column 2 (b): the cell is longer than 1000 bytes", "2|1|b|2|" + strings.Repeat("x", 100) + "…"},
		{"endless quote", "a,b\n1,\"" + strings.Repeat("x\n", 1<<20), small, "cell_too_large", "line 2, column 2 (b): the cell is longer than 1000 bytes", "2|1|b|2|\"x"},
		{"long row in all", "a,b\n" + strings.Repeat(strings.Repeat("x", 500)+",", 1000), small, "row_too_large", "line 2, column 524: the row is longer than 4000 bytes", "2|1|<nil>|524|<nil>"},
		{"endless row", "a,b\n" + strings.Repeat("x,", 1<<20), small, "columns_too_many", "line 2: the row has more than 1600 fields", ""},
		{"CR in LF file", "a,b\n1,x\ry\n", ingest.Options{}, "line_end_stray", "line 2, column 2 (b): a carriage return stands alone outside quotes", "2|1|b|2|<nil>"},
		{"CR behind a quote in LF file", "a,b\n1,\"x\"\ry\n", ingest.Options{}, "line_end_stray", "line 2, column 2 (b): a carriage return stands alone outside quotes", "2|1|b|2|<nil>"},
		{"too many columns", strings.Repeat("x,", 1600) + "x\n", ingest.Options{}, "columns_too_many", "line 1: the row has more than 1600 fields", ""},
		{"far too many columns", strings.Repeat("x,", 100000) + "x\n", ingest.Options{}, "columns_too_many", "line 1: the row has more than 1600 fields", ""},
		{"no name", "a,,b,\n", ingest.Options{}, "header_invalid", "line 1, the header: columns without a name: 2, 4", ""},
		{"same name", "a,b,a\n", ingest.Options{}, "header_invalid", "line 1, the header: columns with the same name: 1 and 3 (a)", ""},
		{"long name", "a," + strings.Repeat("é", 32) + "\n", ingest.Options{}, "header_invalid", "line 1, the header: names over 63 bytes: columns 2 (" + strings.Repeat("é", 32) + ")", ""},
		{"system name", "a,xmin\n", ingest.Options{}, "header_invalid", "line 1, the header: names that PostgreSQL keeps for itself: columns 2 (xmin)", ""},
		{"NUL in a name", "a,x\x00\n", ingest.Options{}, "nul_byte", "line 1, column 2: there is a NUL byte, which PostgreSQL cannot store", ""},
		{"UTF-16 without a mark", utf16Bytes("a,b\n1,2\n", false, false), ingest.Options{}, "nul_byte", "line 1, column 1: there is a NUL byte, which PostgreSQL cannot store", ""},
		{"unknown encoding", "a\n", ingest.Options{Encoding: "klingon"}, "option_invalid", `encoding: "klingon" cannot be used`, ""},
		{"bad delimiter", "a\n", ingest.Options{Delimiter: "::"}, "option_invalid", `delimiter: "::" cannot be used`, ""},
		{"bad names", "a\n", ingest.Options{Names: "camel"}, "option_invalid", `names: "camel" cannot be used`, ""},
		{"type for nothing", "a\n", ingest.Options{Types: map[string]string{"b": "text"}}, "option_invalid", `types: "b" cannot be used`, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, r := range []io.Reader{strings.NewReader(c.in), iotest.HalfReader(strings.NewReader(c.in))} {
				_, _, err := scan(r, c.o)
				e := fault.As(err)
				if e == nil {
					t.Fatalf("no fault but %v", err)
				}
				if e.Kind != fault.Invalid || e.Code != c.code || e.Message != c.want || e.Hint == "" {
					t.Errorf("%s %s: %s (hint %q)\nwant %s: %s", e.Kind, e.Code, e.Message, e.Hint, c.code, c.want)
				}
				f := e.Fields
				if got := fmt.Sprintf("%v|%v|%v|%v|%v", f["line"], f["record"], f["column"], f["column_number"], f["value"]); c.fields != "" && got != c.fields {
					t.Errorf("fields %s\n  want %s", got, c.fields)
				}
			}
		})
	}
}

func TestSnakeCaseNames(t *testing.T) {
	in := "Order ID,orderId,OrderID,HTTPServer,2024,,  ,Größe (cm),xmin,a__b\n"
	d, _, err := scan(strings.NewReader(in), ingest.Options{Names: "snake_case"})
	want := []string{"order_id", "order_id_2", "order_id_3", "http_server", "_2024", "column_6", "column_7", "größe_cm", "xmin_", "a_b"}
	if err != nil || !slices.Equal(d.Header, want) {
		t.Errorf("%q %v\nwant %q", d.Header, err, want)
	}
}

func TestScannerGoesOn(t *testing.T) {
	s, err := ingest.NewScanner(strings.NewReader("a,b\n1\n2,x\x00\n3,\xff\n4,5\n6,7,8\n9,\"\n"), ingest.Options{Encoding: "utf-8"})
	if err != nil {
		t.Fatal(err)
	}
	var list ingest.ErrorList
	good := 0
	for {
		rec, err := s.Next()
		if err == nil {
			good++
			if got := rowOf(rec).String(); got != "5:4|5" {
				t.Errorf("got %s", got)
			}
		} else if !list.Add(err) {
			break
		}
	}
	e := fault.As(list.Err())
	if e == nil || e.Code != "file_invalid" || good != 1 {
		t.Fatalf("%v, %d good", e, good)
	}
	var got []string
	for _, m := range e.Fields["errors"].([]map[string]any) {
		got = append(got, fmt.Sprintf("%v %v", m["line"], m["code"]))
	}
	if want := "[2 row_ragged 3 nul_byte 4 encoding_invalid 6 row_ragged 7 quote_open]"; fmt.Sprint(got) != want {
		t.Errorf("got %v\nwant %s", got, want)
	}
	if e.Fields["line"] != int64(2) || !strings.HasSuffix(e.Message, "; and 4 more mistakes") {
		t.Errorf("%v %s", e.Fields["line"], e.Message)
	}
}

func TestErrorListIsShort(t *testing.T) {
	s, err := ingest.NewScanner(strings.NewReader("a,b\n"+strings.Repeat("1\n", 50)), ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var list ingest.ErrorList
	calls := 0
	for goOn := true; goOn; calls++ {
		_, err := s.Next()
		goOn = list.Add(err)
	}
	e := fault.As(list.Err())
	if calls != ingest.MaxErrors || len(e.Fields["errors"].([]map[string]any)) != ingest.MaxErrors || !strings.Contains(e.Message, "9 more mistakes at least") {
		t.Errorf("%d calls: %v", calls, e)
	}
}

func TestReaderErrorsAreKept(t *testing.T) {
	broken := errors.New("connection reset")
	for _, size := range []int{0, 10, 100_000, 1_000_000} {
		r := io.MultiReader(strings.NewReader("a,b\n"+strings.Repeat("1,2\n", size/4)), iotest.ErrReader(broken))
		if _, _, err := scan(r, ingest.Options{}); !errors.Is(err, broken) || fault.As(err) != nil {
			t.Errorf("after %d bytes: %v", size, err)
		}
	}
	tooLarge := ingest.NewMeter(strings.NewReader("a,b\n"+strings.Repeat("1,2\n", 1_000_000)), 1_000_000)
	if _, _, err := scan(tooLarge, ingest.Options{}); fault.KindOf(err) != fault.TooLarge {
		t.Errorf("meter: %v", err)
	}
}

// TestLargeRecords lets records cross the buffer's end in every way.
func TestLargeRecords(t *testing.T) {
	for _, size := range []int{262_100, 262_130, 262_139, 262_140, 262_141, 262_144, 400_000, 3_000_000} {
		cell := strings.Repeat("é", size/2)
		in := "a,b\n1," + cell + "\n2,\"" + cell + "\"\"\n\"\n3,z\n"
		_, rows, err := scan(strings.NewReader(in), ingest.Options{})
		if err != nil || len(rows) != 3 || rows[0].values[1] != cell || rows[1].values[1] != cell+"\"\n" || rows[2].String() != "5:3|z" {
			t.Errorf("%d: %d rows, %v", size, len(rows), err)
		}
	}
}

// TestScannerAgainstStandardLibrary compares with encoding/csv on valid input of every kind.
func TestScannerAgainstStandardLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(2, 6).Draw(t, "width")
		delim := rapid.SampledFrom([]string{",", ";", "\t", "|"}).Draw(t, "delim")
		end := rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(t, "end")
		cell := rapid.Custom(func(t *rapid.T) string {
			v := rapid.OneOf(
				rapid.StringMatching(`[a-z0-9 ,;|\t"\n\\.é😀-]{0,20}`),
				rapid.SampledFrom([]string{"", "\"", "\n", "\\.", "x\"\"y", "\x01", "\u00a0", "12345678", "1234567"}),
			).Draw(t, "value")
			if strings.ContainsAny(v, "\"\n\t,;|") || rapid.Bool().Draw(t, "quoted") {
				return `"` + strings.ReplaceAll(v, `"`, `""`) + `"`
			}
			return v
		})
		var b strings.Builder
		for i := range width {
			fmt.Fprintf(&b, "%sh%d", map[bool]string{true: "", false: delim}[i == 0], i)
		}
		b.WriteString(end)
		for range rapid.IntRange(0, 30).Draw(t, "rows") {
			cells := rapid.SliceOfN(cell, width, width).Draw(t, "row")
			b.WriteString(strings.Join(cells, delim) + end)
			if rapid.IntRange(0, 9).Draw(t, "blank") == 0 {
				b.WriteString(end)
			}
		}
		in := b.String()
		if rapid.Bool().Draw(t, "cut") {
			in = strings.TrimRight(in, "\r\n")
		}
		_, rows, err := scan(iotest.HalfReader(strings.NewReader(in)), ingest.Options{Delimiter: delim})
		if err != nil {
			t.Fatalf("%q: %v", in, err)
		}
		oracle := csv.NewReader(strings.NewReader(in))
		oracle.Comma = rune(delim[0])
		if _, err := oracle.Read(); err != nil {
			t.Fatal(err)
		}
		for i := 0; ; i++ {
			want, err := oracle.Read()
			if err == io.EOF {
				if i != len(rows) {
					t.Fatalf("%q: %d rows, want %d", in, len(rows), i)
				}
				return
			}
			if err != nil {
				t.Fatalf("%q: encoding/csv: %v", in, err)
			}
			line, _ := oracle.FieldPos(0)
			for j := range want {
				if rows[i].values[j] == "<null>" {
					rows[i].values[j] = ""
				}
				// encoding/csv turns CRLF within quotes into LF.
				want[j], rows[i].values[j] = strings.ReplaceAll(want[j], "\r\n", "\n"), strings.ReplaceAll(rows[i].values[j], "\r\n", "\n")
			}
			if !slices.Equal(rows[i].values, want) || rows[i].line != int64(line) {
				t.Fatalf("%q: row %d is %v, want %d %q", in, i, rows[i], line, want)
			}
		}
	})
}

// FuzzScanner looks for panics, endless loops and values that are not in the input.
func FuzzScanner(f *testing.F) {
	for _, seed := range []string{"a,b\n1,2\n", "a;b\r\n\"x\ny\";\n", "\xff\xfea\x00", "a\n\n\n1", "a,\"b\"\"\"\n,", "a\r\"b\rc\"\r"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		_, whole, err1 := scan(bytes.NewReader(in), ingest.Options{MaxCellBytes: 1 << 16})
		_, pieces, err2 := scan(iotest.OneByteReader(bytes.NewReader(in)), ingest.Options{MaxCellBytes: 1 << 16})
		if fmt.Sprint(whole, err1) != fmt.Sprint(pieces, err2) {
			t.Errorf("read at once %v %v, in pieces %v %v", whole, err1, pieces, err2)
		}
		for _, r := range whole {
			if len(r.values) == 0 || r.line < 2 {
				t.Errorf("row %v", r)
			}
		}
	})
}
