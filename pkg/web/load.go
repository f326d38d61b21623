package web

import (
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/ingest"
)

// choosePage is the first step of a load. Table is "" or the table to add rows to.
type choosePage struct {
	Table   string
	Problem *problem
}

// chooseFile answers GET /load?table=.
func chooseFile(v *visit) error {
	return v.show(http.StatusOK, "load", "load", "Load a file", choosePage{Table: v.QueryParam("table")})
}

// receiveFile answers POST /load (multipart: table, file): the file is kept and the browser sent to its preview.
func receiveFile(v *visit) error {
	table, kept, err := v.keepFile()
	if err != nil {
		p := v.explain(err, "")
		return v.show(p.Status, "load", "load", "Load a file", choosePage{Table: table, Problem: p})
	}
	if table == "" {
		table = tableNameFor(kept.name)
	}
	return v.back("/load/draft?" + url.Values{"id": {kept.id}, "table": {table}}.Encode())
}

func (v *visit) keepFile() (table string, kept *draft, err error) {
	missing := fault.New(fault.Invalid, "file_missing", "no file was chosen").WithHint("choose a CSV file first")
	parts, err := v.Request().MultipartReader()
	if err != nil {
		return "", nil, missing.Because(err)
	}
	for {
		part, err := parts.NextPart()
		if err == io.EOF {
			return table, nil, missing
		}
		if err != nil {
			return table, nil, brokenUpload(err)
		}
		switch {
		case part.FormName() == "table":
			text, err := io.ReadAll(io.LimitReader(part, 1000))
			if err != nil {
				return table, nil, brokenUpload(err)
			}
			table = strings.TrimSpace(string(text))
		case part.FormName() == "file" && part.FileName() != "":
			kept, err = v.keep(part)
			return table, kept, err
		}
	}
}

func (v *visit) keep(part *multipart.Part) (*draft, error) {
	kept, err := v.web.drafts.add(v.user.Role, part.FileName(), part, v.now)
	if err != nil && fault.As(err) == nil && v.ctx().Err() == nil {
		return nil, brokenUpload(err)
	}
	return kept, err
}

func brokenUpload(err error) error {
	return fault.New(fault.Invalid, "upload_broken", "the file did not arrive whole").WithHint("send it again").Because(err)
}

// tableNameFor suggests a table for a file: "Q3 Sales (final).csv" becomes q3_sales_final.
func tableNameFor(file string) string {
	base := strings.ToLower(strings.TrimSuffix(path.Base(file), path.Ext(file)))
	var b strings.Builder
	for _, r := range base {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			b.WriteRune(r)
		} else if b.Len() > 0 && !strings.HasSuffix(b.String(), "_") {
			b.WriteByte('_')
		}
	}
	name := strings.Trim(b.String(), "_")
	if name == "" {
		return "data"
	}
	if name[0] <= '9' {
		name = "t_" + name
	}
	return strings.TrimRight(name[:min(len(name), 60)], "_")
}

// typeChoices are the types that a column of a new table can be given.
var typeChoices = []string{"bigint", "numeric", "double precision", "boolean", "date", "timestamptz", "uuid", "jsonb", "text"}

// draftPage is the second step of a load: what is in the file and what will become of it.
type draftPage struct {
	ID, File  string
	Bytes     int64
	Table     string
	Names     string
	Delimiter string
	Encoding  string
	Force     bool

	Target      *control.Relation // the table when it exists; then rows are added to it
	Found       *found            // what is in the file; nil when it cannot be read
	SQL         []string
	Problem     *problem // what keeps it from being loaded
	TypeChoices []string
}

// found is what is in a file.
type found struct {
	Columns   []foundColumn
	Rows      int64
	Encoding  string
	Delimiter string
	Sample    grid
}

type foundColumn struct {
	ingest.Column
	Chosen string // the type that was asked for; "" leaves it to the file
	Sample string // its first value that is not NULL
	Target string // the type in the table that exists; "" when it has no such column
}

// draftForm reads the form of the second step. Types are dropped when the way of naming changed, since they go by name.
func (v *visit) draftForm() (*draftPage, *draft, map[string]string, error) {
	kept, err := v.web.drafts.find(v.user.Role, v.FormValue("id"))
	if err != nil {
		return nil, nil, nil, err
	}
	form := &draftPage{
		ID: kept.id, File: kept.name, Bytes: kept.spool.Size, Table: strings.TrimSpace(v.FormValue("table")), Names: v.FormValue("names"),
		Delimiter: v.FormValue("delimiter"), Encoding: strings.TrimSpace(v.FormValue("encoding")), Force: v.FormValue("force") != "", TypeChoices: typeChoices,
	}
	types := map[string]string{}
	values, err := v.FormParams()
	if err != nil {
		return nil, nil, nil, fmt.Errorf("read the form: %w", err)
	}
	if values.Get("named") == form.Names {
		for key := range values {
			if name, ok := strings.CutPrefix(key, "type:"); ok && values.Get(key) != "" {
				types[name] = values.Get(key)
			}
		}
	}
	return form, kept, types, nil
}

func (p *draftPage) options(types map[string]string) ingest.Options {
	return ingest.Options{Encoding: p.Encoding, Delimiter: p.Delimiter, Names: p.Names, Types: types}
}

// showDraft answers GET /load/draft?id=&table=&names=&delimiter=&encoding=&type:NAME=.
func showDraft(v *visit) error {
	form, kept, types, err := v.draftForm()
	if err != nil {
		return err
	}
	v.lookInto(form, kept, types)
	return v.showDraft(http.StatusOK, form)
}

func (v *visit) showDraft(status int, form *draftPage) error {
	return v.show(status, "draft", "load", "Load "+form.File, form)
}

// lookInto fills in what is in the file and the SQL that loading it would run.
func (v *visit) lookInto(form *draftPage, kept *draft, types map[string]string) {
	if target, err := v.user.DescribeTable(v.ctx(), form.Table); err == nil {
		form.Target, types = &target, nil
	}
	if err := v.preview(form, kept, types); err != nil {
		form.Problem = v.explain(err, "")
		return
	}
	_, sql, err := v.load(form, kept, types, true)
	form.SQL, form.Problem = sql, v.explain(err, "")
}

func (v *visit) preview(form *draftPage, kept *draft, types map[string]string) error {
	file, err := kept.spool.Open()
	if err != nil {
		return err
	}
	defer file.Close()
	preview, err := v.web.options.Loader.Preview(v.ctx(), form.options(types), file)
	if err != nil {
		return err
	}
	form.Found = foundIn(preview, types, form.Target)
	return nil
}

func (v *visit) load(form *draftPage, kept *draft, types map[string]string, dryRun bool) (ingest.Loaded, []string, error) {
	file, err := kept.spool.Open()
	if err != nil {
		return ingest.Loaded{}, nil, err
	}
	defer file.Close()
	return v.web.options.Loader.Load(v.ctx(), v.user.Role, ingest.LoadRequest{
		Table: form.Table, Source: kept.name, Options: form.options(types), Force: form.Force, DryRun: dryRun,
	}, file)
}

// loadDraft answers POST /load/draft: the file becomes a table, or rows of one.
func loadDraft(v *visit) error {
	form, kept, types, err := v.draftForm()
	if err != nil {
		return err
	}
	if target, err := v.user.DescribeTable(v.ctx(), form.Table); err == nil {
		form.Target, types = &target, nil
	}
	loaded, _, err := v.load(form, kept, types, false)
	if err != nil {
		v.lookInto(form, kept, types)
		form.Problem = v.explain(err, "")
		return v.showDraft(form.Problem.Status, form)
	}
	v.web.drafts.remove(kept)
	return v.back("/table?" + url.Values{"name": {loaded.Table}, "done": {"loaded"}, "n": {strconv.FormatInt(loaded.Rows, 10)}}.Encode())
}

// foundIn puts a preview into the shape of the page.
func foundIn(preview ingest.Preview, types map[string]string, target *control.Relation) *found {
	f := &found{Rows: preview.Rows, Encoding: preview.Encoding, Delimiter: preview.Delimiter}
	f.Sample = grid{Label: "First rows of the file", Rows: preview.Sample, More: preview.Rows > int64(len(preview.Sample))}
	for i, c := range preview.Columns {
		column := foundColumn{Column: c, Chosen: types[c.Name]}
		for _, row := range preview.Sample {
			if i < len(row) && row[i] != nil && *row[i] != "" {
				column.Sample = *row[i]
				break
			}
		}
		if target != nil {
			column.Target = typeIn(target, c.Name)
		}
		f.Columns = append(f.Columns, column)
		f.Sample.Columns = append(f.Sample.Columns, control.Column{Name: c.Name, Type: c.Type, Nullable: c.Nullable})
	}
	return f
}

// typeIn gives the type of the table's column for a name in the file: the same name, else one that differs only in case.
func typeIn(target *control.Relation, name string) string {
	folded := ""
	for _, c := range target.Columns {
		if c.Name == name {
			return c.Type
		}
		if strings.EqualFold(c.Name, name) {
			folded = c.Type
		}
	}
	return folded
}
