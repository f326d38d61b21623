package ingest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/ingest"
	"pgregory.net/rapid"
)

// oneColumn writes a column of quoted cells and one of NULLs; a cell of <null> is an empty one.
func oneColumn(cells []string) string {
	var b strings.Builder
	b.WriteString("a,end\n")
	for _, c := range cells {
		if c != "<null>" {
			b.WriteString(`"` + strings.ReplaceAll(c, `"`, `""`) + `"`)
		}
		b.WriteString(",\n")
	}
	return b.String()
}

func infer(in string, o ingest.Options, rows int) (*ingest.Profile, error) {
	s, err := ingest.NewScanner(strings.NewReader(in), o)
	if err != nil {
		return nil, err
	}
	return ingest.Infer(context.Background(), s, rows)
}

func TestInfer(t *testing.T) {
	uuid := "123e4567-e89b-12d3-a456-426614174000"
	cases := []struct {
		cells []string
		want  string // type, null count, the cell that widened it
	}{
		{[]string{"1", "-2", "0", "9223372036854775807", "-9223372036854775808"}, "bigint 0"},
		{[]string{"1", "<null>", "", "3"}, "bigint 2"},
		{[]string{"<null>", "<null>"}, "text 2"},
		{[]string{"", ""}, "text 0"},
		{[]string{"x", "<null>", ""}, "text 1 because 2:x"},
		{nil, "text 0"},
		{[]string{"1", "9223372036854775808"}, "numeric 0 because 3:9223372036854775808"},
		{[]string{"1", "2.50", "3"}, "numeric 0 because 3:2.50"},
		{[]string{"-.5", "0.5"}, "numeric 0 because 2:-.5"},
		{[]string{"1", "2.5", "1e-7"}, "double precision 0 because 4:1e-7"},
		{[]string{"1.5E3", "-2.0e+10"}, "double precision 0 because 2:1.5E3"},
		{[]string{"1", "1e5"}, "text 0 because 3:1e5"},
		{[]string{"1.5e3", "12345678901234567890"}, "text 0 because 3:12345678901234567890"},
		{[]string{"1.5e3", "1e-400"}, "text 0 because 3:1e-400"},
		{[]string{"1.5e3", "1e+309"}, "text 0 because 3:1e+309"},
		{[]string{"1", "NaN"}, "text 0 because 3:NaN"},
		{[]string{"Infinity"}, "text 0 because 2:Infinity"},
		{[]string{"7", "007"}, "text 0 because 3:007"},
		{[]string{"12345", "01234"}, "text 0 because 3:01234"},
		{[]string{"+1"}, "text 0 because 2:+1"},
		{[]string{"1", " 2"}, "text 0 because 3: 2"},
		{[]string{"1", "1_000"}, "text 0 because 3:1_000"},
		{[]string{"0x1F"}, "text 0 because 2:0x1F"},
		{[]string{"1,5"}, "text 0 because 2:1,5"},
		{[]string{"5."}, "text 0 because 2:5."},
		{[]string{"-"}, "text 0 because 2:-"},
		{[]string{"."}, "text 0 because 2:."},
		{[]string{"00.5"}, "text 0 because 2:00.5"},
		{[]string{"true", "F", "Yes", "no", "t"}, "boolean 0"},
		{[]string{"true", "1"}, "text 0 because 3:1"},
		{[]string{"0", "1"}, "bigint 0"},
		{[]string{"y", "n"}, "text 0 because 2:y"},
		{[]string{"2024-02-29", "0001-01-01", "9999-12-31"}, "date 0"},
		{[]string{"2024/02/29", "2024-03-01"}, "date 0"},
		{[]string{"29-Feb-2024", "Feb 29, 2024", "29 February 2024"}, "date 0"},
		{[]string{"2023-02-29"}, "text 0 because 2:2023-02-29"},
		{[]string{"01/02/2024"}, "text 0 because 2:01/02/2024"},
		{[]string{"2024-1-2"}, "text 0 because 2:2024-1-2"},
		{[]string{"today"}, "text 0 because 2:today"},
		{[]string{"2024-01-01", "2024-01-01T10:00"}, "timestamptz 0 because 3:2024-01-01T10:00 (times without a zone are read as UTC)"},
		{[]string{"2024-01-01T10:00:00Z", "2024-01-01 10:00:00.123456+02:00"}, "timestamptz 0 because 2:2024-01-01T10:00:00Z"},
		{[]string{"2024-01-01 10:00:00 UTC", "2024-01-01 10:00:00-0330"}, "timestamptz 0 because 2:2024-01-01 10:00:00 UTC"},
		{[]string{"2024-01-01T24:00"}, "text 0 because 2:2024-01-01T24:00"},
		{[]string{"2024-01-01T10:00:60Z"}, "text 0 because 2:2024-01-01T10:00:60Z"},
		{[]string{"2024-01-01T10:00 CET"}, "text 0 because 2:2024-01-01T10:00 CET"},
		{[]string{"10:00"}, "text 0 because 2:10:00"},
		{[]string{uuid, strings.ToUpper(uuid)}, "uuid 0"},
		{[]string{uuid, uuid + "0"}, "text 0 because 3:" + uuid + "0"},
		{[]string{`{"a":[1,2,{"b":null}]}`, `[]`, `{}`}, "jsonb 0"},
		{[]string{`["\ud83d\ude00"]`}, "jsonb 0"},
		{[]string{`["\u0000"]`}, `text 0 because 2:["\u0000"]`},
		{[]string{`["\ud83d"]`}, `text 0 because 2:["\ud83d"]`},
		{[]string{`["\ude00"]`}, `text 0 because 2:["\ude00"]`},
		{[]string{`[1e999999]`}, `text 0 because 2:[1e999999]`},
		{[]string{`{1,2}`}, `text 0 because 2:{1,2}`},
		{[]string{`{"a":1}`, `"a"`}, `text 0 because 3:"a"`},
		{[]string{strings.Repeat("[", 300) + strings.Repeat("]", 300)}, "text 0 because 2:" + strings.Repeat("[", 100) + "…"},
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%.40q", c.cells), func(t *testing.T) {
			t.Parallel()
			p, err := infer(oneColumn(c.cells), ingest.Options{}, 0)
			if err != nil {
				t.Fatal(err)
			}
			col := p.Columns[0]
			got := fmt.Sprintf("%s %d", col.Type, col.NullCount)
			if col.Because != nil {
				got += fmt.Sprintf(" because %d:%s", col.Because.Line, col.Because.Value)
			}
			if col.Note != "" {
				got += " (" + col.Note + ")"
			}
			if got != c.want || p.Rows != int64(len(c.cells)) || col.Nullable != (col.NullCount > 0) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestProfileJSON(t *testing.T) {
	p, err := infer("Name,Date,x\nann,2024-01-01,1\n\nbob,,\n", ingest.Options{Types: map[string]string{"x": "smallint"}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(p)
	want := `{"columns":[{"name":"Name","type":"text","nullable":false,"null_count":0,"because":{"line":2,"value":"ann"}},` +
		`{"name":"Date","type":"date","nullable":true,"null_count":1},` +
		`{"name":"x","type":"smallint","nullable":true,"null_count":1,"given":true}],` +
		`"rows":2,"sample":[["ann","2024-01-01","1"]],"blank_lines":1}`
	if err != nil || string(got) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
}

func TestInferReportsMistakes(t *testing.T) {
	_, err := infer("a,b\n1,2\n3\n4,5,6\n7,8\n", ingest.Options{}, 5)
	e := fault.As(err)
	if e == nil || e.Code != "file_invalid" || len(e.Fields["errors"].([]map[string]any)) != 2 {
		t.Errorf("%v", err)
	}
}

// almost draws values that are near the borders of what the types take.
func almost() *rapid.Generator[string] {
	two := rapid.StringMatching(`[0-6][0-9]`)
	return rapid.OneOf(
		rapid.StringMatching(`-?[0-9]{1,20}`),
		rapid.StringMatching(`-?[1-9][0-9]{16,19}`),
		rapid.StringMatching(`-?[0-9]{0,20}\.[0-9]{0,20}`),
		rapid.StringMatching(`-?[0-9]{0,17}\.?[0-9]{0,3}[eE][+-]?[0-9]{0,3}`),
		rapid.StringMatching(`-?[1-9]\.[0-9]{0,16}e[+-]3[0-4][0-9]`),
		rapid.StringMatching(`(true|false|t|f|yes|no|y|n|on|off|TRUE|False|YES|nO|0|1|tru)`),
		rapid.StringMatching(`[0-9]{4}-(0[0-9]|1[0-3])-[0-3][0-9]`),
		rapid.StringMatching(`[0-9]{4}/(0[0-9]|1[0-3])/[0-3][0-9]`),
		rapid.StringMatching(`[0-3]?[0-9][ -](Jan|feb|MAR|April|may|Sept|Dec)[ -][0-9]{4}`),
		rapid.StringMatching(`(January|Feb|mar|May|Jun) ? ?[0-3]?[0-9],? ?[0-9]{3,4}`),
		rapid.Custom(func(t *rapid.T) string {
			s := rapid.StringMatching(`[0-9]{4}-(0[1-9]|1[0-2])-[0-2][0-9]`).Draw(t, "date")
			s += rapid.SampledFrom([]string{"T", " ", "t"}).Draw(t, "sep") + rapid.StringMatching(`[0-2][0-9]`).Draw(t, "hour") + ":" + two.Draw(t, "minute")
			if rapid.Bool().Draw(t, "seconds") {
				s += ":" + two.Draw(t, "second") + rapid.StringMatching(`(\.[0-9]{0,10})?`).Draw(t, "fraction")
			}
			return s + rapid.StringMatching(`(Z|z| UTC|[+-][01][0-9]|[+-][01][0-9]:?[0-6][0-9]|)`).Draw(t, "zone")
		}),
		rapid.StringMatching(`[0-9a-fA-F]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-fA-Fg]{12}`),
		rapid.StringMatching(`[\[{]("(\\u(0000|d83d|de00|00e9)|\\n|x|\\)*"|[0-9]{1,3}(\.[0-9]+)?(e[+-]?[0-9]{1,6})?|null|:|,|\[\]|\{\}){0,6}[\]}]`),
		rapid.Custom(func(t *rapid.T) string {
			v, _ := json.Marshal(rapid.MapOf(rapid.String(), rapid.SliceOf(rapid.Float64())).Draw(t, "object"))
			return string(v)
		}),
		rapid.StringMatching(`[a-z0-9 .+-]{1,8}`),
	)
}

// TestPostgreSQLTakesWhatIsInferred casts every cell to the inferred type, under every DateStyle, where dates
// must also mean the same.
func TestPostgreSQLTakesWhatIsInferred(t *testing.T) {
	conn := begin(t)
	run(t, conn, "savepoint before")
	one := almost()
	styles := []string{"ISO, MDY", "ISO, DMY", "ISO, YMD", "SQL, DMY", "German, YMD", "Postgres, MDY"}
	types := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		// Most columns hold one value alone, since mixed ones are nearly always text.
		cells := rapid.SliceOfN(one, 40, 40).Draw(rt, "cells")
		columns := [][]string{}
		for i := range cells {
			columns = append(columns, cells[i:i+1])
		}
		columns = append(columns, rapid.SliceOfN(rapid.SampledFrom(cells), 2, 4).Draw(rt, "mixed"))
		for _, cells := range columns {
			if slices.ContainsFunc(cells, func(c string) bool { return strings.ContainsAny(c, "\x00") || c == "" }) {
				continue
			}
			p, err := infer(oneColumn(cells), ingest.Options{Encoding: "utf-8"}, 0)
			if err != nil {
				rt.Fatalf("%q: %v", cells, err)
			}
			typ := p.Columns[0].Type
			types[typ]++
			if typ == "text" {
				continue
			}
			var meanings []string
			for _, style := range styles {
				if typ != "date" && typ != "timestamptz" && style != styles[0] {
					continue
				}
				run(t, conn, "set local datestyle = '"+style+"'")
				for _, c := range cells {
					var text string
					sql := "select to_jsonb($1::text::" + typ + ")::text"
					if err := conn.QueryRow(context.Background(), sql, c).Scan(&text); err != nil {
						run(t, conn, "rollback to before")
						rt.Fatalf("%q as %s with %s: %v", c, typ, style, err)
					}
					meanings = append(meanings, text)
				}
			}
			for i, m := range meanings {
				if m != meanings[i%len(cells)] {
					rt.Fatalf("%q as %s means %q", cells, typ, meanings)
				}
			}
		}
	})
	for _, typ := range []string{"bigint", "numeric", "double precision", "boolean", "date", "timestamptz", "uuid", "jsonb", "text"} {
		if types[typ] == 0 {
			t.Errorf("no column was %s: %v", typ, types)
		}
	}
}

// TestInferredFileLoads makes a table of the inferred types and loads the file into it.
func TestInferredFileLoads(t *testing.T) {
	conn := begin(t)
	run(t, conn, "savepoint before")
	one := almost()
	rapid.Check(t, func(rt *rapid.T) {
		run(t, conn, "rollback to before")
		cells := rapid.SliceOfN(rapid.OneOf(one, rapid.SampledFrom([]string{"<null>", "", "1", "2.5"})), 1, 3).Draw(rt, "cells")
		if strings.ContainsRune(strings.Join(cells, ""), 0) {
			return
		}
		in := oneColumn(cells)
		p, err := infer(in, ingest.Options{Encoding: "utf-8"}, 0)
		if err != nil {
			rt.Fatal(err)
		}
		null := map[bool]string{true: "", false: " not null"}
		run(t, conn, fmt.Sprintf("create temporary table t (a %s%s, \"end\" text)", p.Columns[0].Type, null[p.Columns[0].Nullable]))
		rows, err := load(conn, strings.NewReader(in), ingest.Options{Encoding: "utf-8"})
		if err != nil || rows != int64(len(cells)) {
			rt.Fatalf("%q as %s: %d, %v", cells, p.Columns[0].Type, rows, err)
		}
		if got := texts(t, conn, "select count(*)::text from t where a is null")[0]; got != fmt.Sprint(p.Columns[0].NullCount) {
			rt.Fatalf("%q as %s: %s NULLs, inferred %d", cells, p.Columns[0].Type, got, p.Columns[0].NullCount)
		}
	})
}
