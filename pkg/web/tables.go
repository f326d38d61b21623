package web

import (
	"mime"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

// pageRows is how many rows a page shows of a table, a view or a query's result.
const pageRows = 100

// listLimit is how many tables, views or jobs one page lists.
const listLimit = 200

// listPage is a stretch of a list; Next is the name or number to go on after, "" at the end.
type listPage[T any] struct {
	Items []T
	Next  string
}

func listTables(v *visit) error { return v.listRelations(control.Tables, "tables", "Tables") }

// listRelations answers GET /tables?after= and GET /views?after=.
func (v *visit) listRelations(kind, template, title string) error {
	list, err := v.user.Relations(v.ctx(), kind, v.QueryParam("after"), listLimit)
	if err != nil {
		return err
	}
	p := listPage[control.RelationSummary]{Items: list}
	if len(list) == listLimit {
		p.Next = list[len(list)-1].Name
	}
	return v.show(http.StatusOK, template, template, title, p)
}

// tablePage is one table with its first rows.
type tablePage struct {
	Table   control.Relation
	Rows    grid
	Problem *problem // why there are no rows to show
	Fresh   bool     // it was just loaded, so the next step is a query
	Sharing sharing
	Age     freshness
}

// showTable answers GET /table?name=.
func showTable(v *visit) error {
	table, err := v.user.DescribeTable(v.ctx(), v.QueryParam("name"))
	if err != nil {
		return err
	}
	p := tablePage{Table: table, Fresh: v.QueryParam("done") == "loaded"}
	p.Rows, p.Problem = v.firstRows(table)
	if p.Sharing, err = v.sharing(table, "table"); err != nil {
		return err
	}
	if p.Age, err = v.freshness(table, "table"); err != nil {
		return err
	}
	return v.show(http.StatusOK, "table", "tables", plainName(table.Name), p)
}

func (v *visit) firstRows(relation control.Relation) (grid, *problem) {
	// Its own name, as PostgreSQL quotes it.
	rows, err := v.user.PreviewQuery(v.ctx(), "select * from "+relation.Name, pageRows)
	return grid{Label: "Rows of " + plainName(relation.Name), Columns: rows.Columns, Rows: rows.Rows, More: rows.More}, v.explain(err, "")
}

// confirmPage asks before something is done that cannot be undone, or is dangerous.
type confirmPage struct {
	What    string
	Loses   string // what is gone afterwards, in a sentence
	Verb    string
	Action  string
	Fields  map[string]string // what the form sends
	Cancel  string            // where the way back leads
	Keep    string            // what the way back is called; "" is Keep it
	SQL     []string
	Problem *problem
}

// confirmDropTable answers GET /table/drop?name=.
func confirmDropTable(v *visit) error {
	name := v.QueryParam("name")
	plan, err := v.user.DropTable(v.ctx(), name, true)
	return v.confirm("tables", confirmPage{
		Fields: map[string]string{"name": name}, What: "table " + plainName(name), Loses: "All of its rows are lost; this cannot be undone.", Verb: "Drop the table",
		Action: "/table/drop", Cancel: "/table?" + url.Values{"name": {name}}.Encode(), SQL: plan.SQL,
	}, err)
}

func (v *visit) confirm(section string, p confirmPage, err error) error {
	status := http.StatusOK
	if p.Problem = v.explain(err, ""); p.Problem != nil {
		status = p.Problem.Status
	}
	return v.show(status, "confirm", section, p.Verb, p)
}

// dropTable answers POST /table/drop (name).
func dropTable(v *visit) error {
	if _, err := v.user.DropTable(v.ctx(), v.FormValue("name"), false); err != nil {
		return err
	}
	return v.back("/tables?done=dropped")
}

// download answers GET /download?name= with all rows as CSV, streamed.
func download(v *visit) error {
	name := v.QueryParam("name")
	out := v.Response()
	_, err := v.user.WriteRows(v.ctx(), name, control.CSV, out, func() {
		out.Header().Set(echo.HeaderContentType, "text/csv; charset=utf-8")
		out.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": plainName(name) + ".csv"}))
		out.WriteHeader(http.StatusOK)
	})
	if err != nil && out.Committed {
		// The rest cannot come; cutting the connection off keeps half a file from looking whole.
		v.internal("a download broke off", err)
		panic(http.ErrAbortHandler)
	}
	return err
}
