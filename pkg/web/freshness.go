package web

import (
	"math"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

// freshness is what a page of a table or view says of how old it may be.
type freshness struct {
	Promise *control.Freshness // nil where nothing is promised
	Mine    bool
	Form    freshnessForm
}

// MaxAge and Age are how old it may be and is, in words.
func (f freshness) MaxAge() string { return exactSpan(f.Promise.MaxAgeSeconds) }

func (f freshness) Age() string { return waitFor(time.Duration(f.Promise.AgeSeconds) * time.Second) }

// ageUnits are the units that an age is given in, the greatest first.
var ageUnits = []struct {
	Word    string
	Seconds int
}{{"days", 24 * 60 * 60}, {"hours", 60 * 60}, {"minutes", 60}, {"seconds", 1}}

// splitAge writes an age in the greatest unit that it is a multiple of.
func splitAge(seconds int) (amount int, unit string) {
	for _, u := range ageUnits {
		if seconds%u.Seconds == 0 {
			return seconds / u.Seconds, u.Word
		}
	}
	return seconds, "seconds"
}

func exactSpan(seconds int) string {
	amount, unit := splitAge(seconds)
	if amount == 1 {
		unit = unit[:len(unit)-1]
	}
	return count(int64(amount)) + " " + unit
}

// freshness finds out what is promised of a relation. page is table or view.
func (v *visit) freshness(relation control.Relation, page string) (freshness, error) {
	f := freshness{Mine: relation.Owner == v.user.Role, Form: freshnessForm{Relation: relation.Name, Page: page, Amount: "1", Unit: "hours"}}
	list, err := v.user.Freshnesses(v.ctx(), relation.Name, "", 1)
	if err != nil || len(list) == 0 {
		return f, err
	}
	f.Promise = &list[0]
	amount, unit := splitAge(f.Promise.MaxAgeSeconds)
	f.Form.Amount, f.Form.Unit, f.Form.Promised = strconv.Itoa(amount), unit, true
	return f, nil
}

// freshnessForm is the form in which an age is promised.
type freshnessForm struct {
	Relation, Page, Amount, Unit string
	Promised                     bool // something is promised already
	SQL                          []string
	Problem                      *problem
}

// Units are the units to choose from.
func (p freshnessForm) Units() []string {
	var words []string
	for _, u := range ageUnits {
		words = append(words, u.Word)
	}
	return words
}

// Plain is the relation for reading.
func (p freshnessForm) Plain() string { return plainName(p.Relation) }

// Back is the relation's own page.
func (p freshnessForm) Back() string {
	return "/" + p.Page + "?" + url.Values{"name": {p.Relation}}.Encode()
}

// seconds is the age that was typed; 0, which is refused, where that is no number.
func (p freshnessForm) seconds() int {
	amount, err := strconv.Atoi(p.Amount)
	if err != nil {
		return 0
	}
	for _, u := range ageUnits {
		if u.Word == p.Unit && amount > 0 && amount <= math.MaxInt32/u.Seconds {
			return amount * u.Seconds
		}
	}
	return 0
}

// setFreshness answers POST /freshness (relation, page, amount, unit, do=check|save|drop).
func setFreshness(v *visit) error {
	p := freshnessForm{Relation: v.FormValue("relation"), Page: "table", Amount: v.FormValue("amount"), Unit: v.FormValue("unit")}
	if v.FormValue("page") == "view" {
		p.Page = "view"
	}
	do := v.FormValue("do")
	switch do {
	case "drop":
		if _, err := v.user.DropFreshness(v.ctx(), p.Relation, false); err != nil {
			return err
		}
		return v.backTo(p.Back(), "unpromised")
	case "check", "save":
	default:
		return unknownStep(do)
	}
	set, err := v.user.SetFreshness(v.ctx(), p.Relation, p.seconds(), do == "check")
	if err == nil && do == "save" {
		return v.backTo(p.Back(), "promised")
	}
	p.SQL = set.SQL
	status := http.StatusOK
	if p.Problem = v.explain(err, ""); p.Problem != nil && do == "save" {
		status = p.Problem.Status
	}
	return v.show(status, "freshness", p.Page+"s", "How old "+p.Plain()+" may be", p)
}
