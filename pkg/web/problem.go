package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/tinydevcrm/tinydevcrm/pkg/auth"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// problem is an error as a page shows it.
type problem struct {
	Status   int
	Code     string
	Message  string
	Hint     string
	Mistakes []mistake   // in a file
	Lines    []queryLine // of the user's SQL around the error
	Line     int64       // in the user's SQL, from 1
	Column   int64       // in characters, from 1
	Lists    []namedList // columns that are missing and so on
	UploadID int64       // the load that brought the same content before
	Trust    string      // the owner whose code would run with the visitor's rights
	Here     string      // the page to come back to after trusting
	Field    string      // of the form that was sent; "" for none of them
}

// mistake is one thing wrong in a file. Line is 0 and texts are "" where not known.
type mistake struct {
	Line                        int64
	Column, Value, Reason, Hint string
}

// queryLine is one line of SQL; in the one with the error Marked is what is wrong and Caret points at it.
type queryLine struct {
	Number                       int
	Before, Marked, After, Caret string
}

type namedList struct {
	Name  string
	Items []string
}

// explain turns an error into a problem; nil for nil. query is the user's SQL that the error may be about, or "".
func (v *visit) explain(err error, query string) *problem {
	if err == nil {
		return nil
	}
	e := fault.As(err)
	if e == nil || e.Kind == fault.Internal {
		if !errors.Is(err, context.Canceled) {
			v.internal("a page failed", err)
		}
		return &problem{Status: http.StatusInternalServerError, Code: "internal", Message: "Something went wrong on the server.",
			Hint: "Nothing was changed unless it says so. Try again; the server's log has the details."}
	}
	p := &problem{Status: e.Kind.Status(), Code: e.Code, Message: sentence(e.Message), Hint: sentence(e.Hint)}
	p.Line, p.Column = number(e.Fields["line"]), number(e.Fields["column"])
	if query != "" && p.Line > 0 && p.Column > 0 {
		p.Lines = excerpt(query, int(p.Line), int(p.Column))
	}
	if query == "" {
		p.Mistakes = mistakes(e)
	}
	for _, list := range []struct{ key, name string }{
		{"dependents", "Used by"}, {"extra", "Only in the file"}, {"missing", "Needed by the table, not in the file"},
		{"ambiguous", "Fit more than one column"}, {"generated", "Filled in by PostgreSQL, cannot be loaded"}, {"available", "What there is"},
		{"runs", "Code that would run"}, {"objects", "Owned"}, {"places", "Also in"},
	} {
		if items := texts(e.Fields[list.key]); len(items) > 0 {
			p.Lists = append(p.Lists, namedList{list.name, items})
		}
	}
	p.UploadID = number(e.Fields["upload_id"])
	p.Field, _ = e.Fields["field"].(string)
	switch e.Code {
	case "foreign_code":
		p.Trust, _ = e.Fields["owner"].(string)
		p.Here = v.here()
	case "token_read_only", "read_only": // the latter is PostgreSQL's own, and has other causes too
		if e.Code == "token_read_only" || auth.PrincipalFrom(v.ctx()).ReadOnly {
			p.Message, p.Hint = "You are signed in with a token that only reads.", "Sign out, and in again with another token, to change things."
		}
	}
	return p
}

// here is the page that the visitor sees: the one that was asked for, or the one whose form was sent.
func (v *visit) here() string {
	r := v.Request()
	if r.Method == http.MethodGet {
		return localPath(r.URL.RequestURI())
	}
	from, err := url.Parse(r.Referer())
	if err != nil || from.Host != r.Host {
		return "/"
	}
	return localPath(from.RequestURI())
}

// mistakes reads what ingest says about a file: one place in the fault's own fields, or several in "errors".
func mistakes(e *fault.Error) []mistake {
	read := func(fields map[string]any) mistake {
		text := func(key string) string { s, _ := fields[key].(string); return s }
		return mistake{Line: number(fields["line"]), Column: text("column"), Value: text("value"), Reason: text("reason"), Hint: sentence(text("hint"))}
	}
	if list, ok := e.Fields["errors"].([]map[string]any); ok {
		all := make([]mistake, len(list))
		for i, fields := range list {
			all[i] = read(fields)
		}
		return all
	}
	if m := read(e.Fields); m.Line > 0 {
		return []mistake{m}
	}
	return nil
}

// excerpt gives the line of the error and two on each side. line and column count from 1, column in characters.
func excerpt(query string, line, column int) []queryLine {
	all := strings.Split(query, "\n")
	if line > len(all) {
		return nil
	}
	var lines []queryLine
	for n := max(1, line-2); n <= min(len(all), line+2); n++ {
		text := strings.TrimSuffix(all[n-1], "\r")
		if n != line {
			lines = append(lines, queryLine{Number: n, Before: text})
			continue
		}
		runes := []rune(text)
		from := min(column-1, len(runes))
		to := from
		if to < len(runes) && runes[to] == '"' { // a quoted name, as a whole
			if end := slices.Index(runes[to+1:], '"'); end >= 0 {
				to += end + 2
			}
		}
		for to < len(runes) && isWord(runes[to]) {
			to++
		}
		if to == from && to < len(runes) {
			to++
		}
		pointer := strings.Map(func(r rune) rune {
			if r == '\t' {
				return r
			}
			return ' '
		}, string(runes[:from])) + "^"
		lines = append(lines, queryLine{Number: n, Before: string(runes[:from]), Marked: string(runes[from:to]), After: string(runes[to:]), Caret: pointer})
	}
	return lines
}

func isWord(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }

// number reads an integer of a fault's fields, which come from Go and from JSON; 0 when there is none.
func number(value any) int64 {
	switch n := value.(type) {
	case int:
		return int64(n)
	case int64:
		return n
	case float64:
		return int64(n)
	}
	return 0
}

func texts(value any) []string {
	switch list := value.(type) {
	case []string:
		return list
	case []any:
		var out []string
		for _, item := range list {
			if s, ok := item.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}

// sentence begins with a capital, unless what it begins with is SQL or the name of something, and ends with a full stop.
func sentence(text string) string {
	text = strings.TrimSpace(text)
	if text == "" {
		return ""
	}
	first, rest := text[:1], text[1:]
	second, _, _ := strings.Cut(rest, " ")
	isName := strings.ToLower(second) != second || strings.ContainsAny(strings.TrimRight(second, ".,:;"), "_.(@/:") // an acronym, iPod, ann.hook
	if !isName && first+second != "select" {
		first = strings.ToUpper(first)
	}
	text = first + rest
	if !strings.ContainsRune(".!?);", rune(text[len(text)-1])) {
		text += "."
	}
	return text
}

// problem answers with the error's own page, or its block.
func (v *visit) problem(err error) error {
	if v.Response().Committed {
		v.internal("a page broke off", err)
		return nil
	}
	p := v.explain(err, "")
	return v.show(p.Status, "problem", "", "It did not work", p)
}
