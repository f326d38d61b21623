package web

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

func listViews(v *visit) error { return v.listRelations(control.Views, "views", "Views") }

// viewPage is one materialized view.
type viewPage struct {
	View       control.Relation
	Rows       grid
	Problem    *problem // why there are no rows to show, or what a refresh ran into
	Job        *control.Job
	Once       []control.Job // those that run once, beside it
	Runs       []control.Run
	RefreshSQL []string
	IndexSQL   string // what would let a refresh leave readers alone; "" when it does
	Mine       bool   // the user owns it and so may change it
	Fresh      bool   // it was just made, so the next step is a schedule
	Sharing    sharing
	Age        freshness
}

// showView answers GET /view?name=.
func showView(v *visit) error { return v.showView(http.StatusOK, v.QueryParam("name"), nil) }

func (v *visit) showView(status int, name string, failed error) error {
	view, err := v.user.DescribeView(v.ctx(), name)
	if err != nil {
		return err
	}
	view.Query = strings.TrimSpace(view.Query)
	p := viewPage{View: view, Mine: view.Owner == v.user.Role, Fresh: v.QueryParam("done") == "created"}
	p.Rows.Label = "Rows of " + plainName(view.Name)
	if view.Populated {
		p.Rows, p.Problem = v.firstRows(view)
	}
	if !view.Concurrently {
		if p.IndexSQL, err = v.user.MissingIndex(v.ctx(), view.Name); err != nil {
			return err
		}
	}
	if failed != nil {
		p.Problem = v.explain(failed, "")
	}
	if p.Mine {
		plan, err := v.user.Refresh(v.ctx(), view.Name, true)
		if err != nil {
			return err
		}
		p.RefreshSQL = plan.SQL
	}
	if p.Sharing, err = v.sharing(view, "view"); err != nil {
		return err
	}
	if p.Age, err = v.freshness(view, "view"); err != nil {
		return err
	}
	if p.Job, err = v.jobOf(view.Name); err != nil {
		return err
	}
	if p.Once, err = v.user.OnceJobs(v.ctx(), view.Name); err != nil {
		return err
	}
	if p.Runs, err = v.user.ViewRuns(v.ctx(), view.Name, 0, 10); err != nil {
		return err
	}
	return v.show(status, "view", "views", plainName(view.Name), p)
}

// jobOf finds the job that refreshes a view; nil when it has none.
func (v *visit) jobOf(view string) (*control.Job, error) {
	job, err := v.user.JobOf(v.ctx(), view)
	if fault.KindOf(err) == fault.NotFound {
		return nil, nil
	}
	return &job, err
}

// queryPage is the form in which a query is tried and becomes a view.
type queryPage struct {
	Replacing string // the view whose query is replaced; "" for a new view
	Name      string
	Query     string
	Source    *control.Relation         // the table that the query starts from
	Tables    []control.RelationSummary // what there is to query
	Result    *grid
	SQL       []string
	Wrong     *problem // the query itself: where it stands, in full
	Brief     *problem // the same while one types, in a line
	Problem   *problem // what else keeps it from becoming a view
}

// newView answers GET /views/new?table=&query=&name=.
func newView(v *visit) error {
	p := &queryPage{Name: v.QueryParam("name"), Query: v.QueryParam("query")}
	if table := v.QueryParam("table"); table != "" {
		source, err := v.user.DescribeTable(v.ctx(), table)
		if err != nil {
			return err
		}
		p.Source = &source
		if p.Query == "" {
			p.Query = "select *\nfrom " + source.Name
		}
		if p.Name == "" {
			p.Name = viewNameFor(source.Name)
		}
	}
	if p.Query != "" {
		v.plan(p)
		v.try(p)
	}
	return v.showQuery(http.StatusOK, p)
}

// viewNameFor suggests a view over a table: "Ann".friends gives friends_view.
func viewNameFor(table string) string {
	plain := plainName(table)
	return tableNameFor(plain[strings.Index(plain, ".")+1:]+".") + "_view"
}

// editView answers GET /view/replace?name=.
func editView(v *visit) error {
	view, err := v.user.DescribeView(v.ctx(), v.QueryParam("name"))
	if err != nil {
		return err
	}
	p := &queryPage{Replacing: view.Name, Name: view.Name, Query: strings.TrimSpace(view.Query)}
	v.plan(p)
	return v.showQuery(http.StatusOK, p)
}

func (v *visit) showQuery(status int, p *queryPage) error {
	var err error
	if p.Tables, err = v.user.Relations(v.ctx(), control.Tables, "", listLimit); err != nil {
		return err
	}
	title := "New view"
	if p.Replacing != "" {
		title = "Change the query of " + plainName(p.Replacing)
	}
	return v.show(status, "query", "views", title, p)
}

// plan fills in the SQL that making the view would run.
func (v *visit) plan(p *queryPage) {
	if strings.TrimSpace(p.Query) == "" {
		return
	}
	named := *p
	if named.Name == "" {
		named.Name = "new_view" // while none is typed yet
	}
	change, err := v.make(&named, true)
	p.SQL = change.SQL
	p.blame(v.explain(err, p.Query))
}

// blame puts a problem where it belongs: with the query when it points into it.
func (p *queryPage) blame(problem *problem) {
	if problem != nil && problem.Lines != nil {
		p.Wrong = problem
	} else {
		p.Problem = problem
	}
}

func (v *visit) make(p *queryPage, dryRun bool) (control.Change[control.Relation], error) {
	if p.Replacing != "" {
		return v.user.ReplaceView(v.ctx(), p.Replacing, p.Query, dryRun)
	}
	return v.user.CreateView(v.ctx(), p.Name, p.Query, dryRun)
}

// try fills in the first rows of the query.
func (v *visit) try(p *queryPage) {
	result, err := v.user.PreviewQuery(v.ctx(), p.Query, pageRows)
	if err != nil {
		p.Wrong = v.explain(err, p.Query)
		return
	}
	p.Wrong = nil
	p.Result = &grid{Label: "Result of the query", Columns: result.Columns, Rows: result.Rows, More: result.More}
}

// createView answers POST /views/new, and replaceView POST /view/replace. What to do stands in "do": check tells the SQL, try runs
// the query for its first rows, save makes the view.
func createView(v *visit) error {
	return v.query(&queryPage{Name: strings.TrimSpace(v.FormValue("name")), Query: v.FormValue("query")}, "created")
}

func replaceView(v *visit) error {
	name := v.FormValue("name")
	return v.query(&queryPage{Replacing: name, Name: name, Query: v.FormValue("query")}, "replaced")
}

func (v *visit) query(p *queryPage, done string) error {
	p.Query = strings.ReplaceAll(p.Query, "\r\n", "\n") // forms send both, and positions count characters
	if table := v.FormValue("table"); table != "" {
		if source, err := v.user.DescribeTable(v.ctx(), table); err == nil {
			p.Source = &source
		}
	}
	switch do := v.FormValue("do"); do {
	case "check":
		v.plan(p)
		p.Brief, p.Wrong = p.Wrong, nil
	case "try":
		v.plan(p)
		v.try(p)
	case "save":
		change, err := v.make(p, false)
		if err != nil {
			v.plan(p)
			failed := v.explain(err, p.Query)
			p.blame(failed)
			return v.showQuery(failed.Status, p)
		}
		rows := int64(0)
		if change.Made.Rows != nil {
			rows = *change.Made.Rows
		}
		return v.back("/view?" + url.Values{"name": {change.Made.Name}, "done": {done}, "n": {strconv.FormatInt(rows, 10)}}.Encode())
	default:
		return unknownStep(do)
	}
	return v.showQuery(http.StatusOK, p)
}

func unknownStep(do string) error {
	return fault.New(fault.Invalid, "form_invalid", "the form asks for %q, which is unknown", do).WithHint("reload the page and try again")
}

// refreshView answers POST /view/refresh (name).
func refreshView(v *visit) error {
	name := v.FormValue("name")
	change, err := v.user.Refresh(v.ctx(), name, false)
	if err != nil {
		p := v.explain(err, "")
		return v.showView(p.Status, name, err)
	}
	return v.back("/view?" + url.Values{"name": {change.Made.View}, "done": {"refreshed"}, "n": {strconv.FormatInt(change.Made.Rows, 10)}}.Encode())
}

// confirmDropView answers GET /view/drop?name=.
func confirmDropView(v *visit) error {
	name := v.QueryParam("name")
	plan, err := v.user.DropView(v.ctx(), name, true)
	return v.confirm("views", confirmPage{
		Fields: map[string]string{"name": name}, What: "view " + plainName(name), Loses: "Its schedule goes with it. The tables it reads stay.", Verb: "Drop the view",
		Action: "/view/drop", Cancel: "/view?" + url.Values{"name": {name}}.Encode(), SQL: plan.SQL,
	}, err)
}

// dropView answers POST /view/drop (name).
func dropView(v *visit) error {
	if _, err := v.user.DropView(v.ctx(), v.FormValue("name"), false); err != nil {
		return err
	}
	return v.back("/views?done=dropped")
}
