package web

import (
	"net/http"
	"strings"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

// triggersPage lists triggers.
type triggersPage struct {
	Items  []listedTrigger
	Owners bool // some are another's
	Next   string
}

// listedTrigger is a trigger as the list shows it.
type listedTrigger struct {
	control.Trigger
	Full string // what it is found by: its name, of another's with the owner before it
	Mine bool
}

// Filter tells in words what it notifies of.
func (t listedTrigger) Filter() string {
	words := "all events"
	if len(t.Types) > 0 {
		words = strings.Join(shortTypes(t.Types), ", ")
	}
	if t.View != nil {
		words += " of " + plainName(*t.View)
	}
	if t.Condition != nil {
		words += " where " + strings.TrimPrefix(*t.Condition, "strict ")
	}
	return words
}

// listTriggers answers GET /triggers?after=.
func listTriggers(v *visit) error {
	list, err := v.user.Triggers(v.ctx(), v.QueryParam("after"), listLimit)
	if err != nil {
		return err
	}
	var p triggersPage
	for _, each := range list {
		t := listedTrigger{Trigger: each, Full: each.Name, Mine: each.Owner == v.user.Role}
		if !t.Mine {
			t.Full = each.Key()
			p.Owners = true
		}
		p.Items = append(p.Items, t)
	}
	if len(list) == listLimit {
		p.Next = list[len(list)-1].Key()
	}
	return v.show(http.StatusOK, "triggers", "events", "Triggers", p)
}

// triggerForm is the form in which a trigger is made.
type triggerForm struct {
	Name, View, Condition, Channel string
	Types                          []typeGroup
	OtherTypes                     string // separated by blanks or commas
	Relations                      []pick

	Partial bool // only a block of the page is asked for, and so says what is wrong with which field
	SQL     []string
	Problem *problem
}

// Conditions are examples of conditions.
func (p triggerForm) Conditions() []pick { return conditionExamples }

// newTrigger answers GET /triggers/new?view=.
func newTrigger(v *visit) error {
	return v.showTriggerForm(http.StatusOK, triggerForm{View: v.QueryParam("view")}, nil)
}

func (v *visit) showTriggerForm(status int, p triggerForm, types []string) (err error) {
	p.Partial = v.partial()
	p.Types, p.OtherTypes = groupTypes(types)
	if p.Relations, err = v.relationPicks(); err != nil {
		return err
	}
	if p.View != "" && !choose(p.Relations, p.View) {
		p.Relations = append(p.Relations, pick{Value: p.View, Chosen: true})
	}
	return v.show(status, "new-trigger", "events", "New trigger", p)
}

// createTrigger answers POST /triggers/new (name, view, type…, other_types, condition, channel, do=check|save).
func createTrigger(v *visit) error {
	text := func(name string) string { return strings.TrimSpace(v.FormValue(name)) }
	p := triggerForm{Name: text("name"), View: text("view"), Condition: text("condition"), Channel: text("channel")}
	types := append(v.Request().Form["type"], splitTypes(v.FormValue("other_types"))...) // FormValue has parsed it
	wanted := control.NewTrigger{Name: p.Name, View: p.View, Types: types, Condition: p.Condition, Channel: p.Channel}
	do := v.FormValue("do")
	if do != "check" && do != "save" {
		return unknownStep(do)
	}
	if do == "check" && wanted.Name == "" {
		wanted.Name = "new" // while none is typed yet
	}
	made, err := v.user.CreateTrigger(v.ctx(), wanted, do == "check")
	if err == nil && do == "save" {
		return v.back("/triggers?done=trigger-made")
	}
	p.SQL = made.SQL
	status := http.StatusOK
	if p.Problem = v.explain(err, ""); p.Problem != nil && do == "save" {
		status = p.Problem.Status
	}
	return v.showTriggerForm(status, p, types)
}

// confirmDropTrigger answers GET /triggers/drop?name=.
func confirmDropTrigger(v *visit) error {
	name := v.QueryParam("name")
	plan, err := v.user.DropTrigger(v.ctx(), name, true)
	return v.confirm("events", confirmPage{
		What: "trigger " + name, Loses: "Its channel is notified of no event that comes later; what listens to it is not told.", Verb: "Drop the trigger",
		Action: "/triggers/drop", Fields: map[string]string{"name": name}, Cancel: "/triggers", SQL: plan.SQL,
	}, err)
}

// dropTrigger answers POST /triggers/drop (name).
func dropTrigger(v *visit) error {
	if _, err := v.user.DropTrigger(v.ctx(), v.FormValue("name"), false); err != nil {
		return err
	}
	return v.back("/triggers?done=dropped")
}
