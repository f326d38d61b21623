package web

import (
	"net/http"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

// homeLimit is how many of each kind the first page lists.
const homeLimit = 10

// homePage is what there is, and what to do next.
type homePage struct {
	Tables, Views         []control.RelationSummary
	Jobs                  []control.Job
	MoreTables, MoreViews bool
	MoreJobs              bool
	Untold                *untold // nil unless nobody is told when the jobs fail
	Events                eventList
}

// Next is the step that the user has not taken yet: load, query, schedule, or "" when all are.
func (p homePage) Next() string {
	switch {
	case len(p.Tables) == 0 && len(p.Views) == 0:
		return "load"
	case len(p.Views) == 0:
		return "query"
	case len(p.Jobs) == 0:
		return "schedule"
	}
	return ""
}

// home answers GET /.
func home(v *visit) error {
	var p homePage
	var err error
	if p.Tables, err = v.user.Relations(v.ctx(), control.Tables, "", homeLimit+1); err != nil {
		return err
	}
	if p.Views, err = v.user.Relations(v.ctx(), control.Views, "", homeLimit+1); err != nil {
		return err
	}
	if p.Jobs, err = v.user.Jobs(v.ctx(), 0, homeLimit+1); err != nil {
		return err
	}
	if p.Untold, err = v.untold(p.Jobs); err != nil {
		return err
	}
	if p.Events, err = v.latest("", "", homeEvents); err != nil {
		return err
	}
	p.Tables, p.MoreTables = cut(p.Tables)
	p.Views, p.MoreViews = cut(p.Views)
	p.Jobs, p.MoreJobs = cut(p.Jobs)
	return v.show(http.StatusOK, "home", "home", "Home", p)
}

func cut[T any](list []T) ([]T, bool) {
	if len(list) > homeLimit {
		return list[:homeLimit], true
	}
	return list, false
}
