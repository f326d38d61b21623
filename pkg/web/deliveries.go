package web

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// deliveriesPerPage is how many deliveries a page lists.
const deliveriesPerPage = 50

// countLimit stands for this many deliveries and more.
const countLimit = 1000

// atMost writes a number of deliveries that is counted up to countLimit.
func atMost(n int) string {
	if n >= countLimit {
		return "1,000 or more"
	}
	return strconv.Itoa(n)
}

// deliveryStates are the states that a list can be narrowed to; "" is all.
var deliveryStates = []string{"", "pending", "failing", "delivered", "dead"}

// deliveryList is a page of what a subscription was sent, newest first. assets/refresh.js asks for it again.
type deliveryList struct {
	State  string
	Tabs   []deliveryTab
	Items  []deliveryLine
	Older  string        // where the next page is; "" at the end
	Tested bool          // a test was asked for
	Test   *deliveryLine // what became of it; nil while that is not known
}

// deliveryTab leads to the deliveries of a state. Count is "" where there are none, or it is not known.
type deliveryTab struct{ State, Words, Count, Place string }

// deliveryLine is a delivery as pages show it.
type deliveryLine struct {
	control.Delivery
	Subscription string // by which it is found
	Tab          string // the state that the list is narrowed to
	Held         bool   // a server delivers, so that what has no next attempt waits for its turn
}

// Short is the event's type as it is in SQL.
func (d deliveryLine) Short() string { return strings.TrimPrefix(d.Type, "tinydev.") }

// Place is the page of the delivery.
func (d deliveryLine) Place() string {
	return "/delivery?" + url.Values{"name": {d.Subscription}, "id": {strconv.FormatInt(d.DeliveryID, 10)}}.Encode()
}

// deliveries reads ?state=, ?before=, ?test= and ?since=.
func (v *visit) deliveries(s subscribed) (deliveryList, error) {
	list := deliveryList{State: v.QueryParam("state")}
	if !slices.Contains(deliveryStates, list.State) {
		list.State = ""
	}
	counts := map[string]int{"pending": s.Pending, "failing": s.Failing, "dead": s.Dead}
	for _, state := range deliveryStates {
		tab := deliveryTab{State: state, Words: "All", Place: s.Place()}
		if state != "" {
			tab.Words, tab.Place = strings.ToUpper(state[:1])+state[1:], s.Place("state", state)
		}
		if n := counts[state]; n > 0 {
			tab.Count = atMost(n)
		}
		list.Tabs = append(list.Tabs, tab)
	}
	before, _ := strconv.ParseInt(v.QueryParam("before"), 10, 64) // a bad number starts at the newest
	rows, err := v.user.Deliveries(v.ctx(), s.Full, list.State, max(before, 0), deliveriesPerPage)
	if err != nil {
		return list, err
	}
	for _, row := range rows {
		list.Items = append(list.Items, deliveryLine{row, s.Full, list.State, s.Held()})
	}
	if len(rows) == deliveriesPerPage {
		list.Older = s.Place("state", list.State, "before", strconv.FormatInt(rows[deliveriesPerPage-1].DeliveryID, 10))
	}
	event, err := strconv.ParseInt(v.QueryParam("test"), 10, 64)
	if err != nil { // none was asked for
		return list, nil
	}
	list.Tested = true
	since, _ := strconv.ParseInt(v.QueryParam("since"), 10, 64)
	test, err := v.user.TestedDelivery(v.ctx(), s.Full, event, since)
	if err != nil || test == nil {
		return list, err
	}
	list.Test = &deliveryLine{*test, s.Full, "", s.Held()}
	return list, nil
}

// deliveryPage is one delivery with its attempts, newest first, and its event.
type deliveryPage struct {
	S        subscribed
	D        deliveryLine
	Attempts []control.Attempt
	Event    string // indented; "" when it is gone, or not to be seen
}

// Open says whether the page soon shows the past.
func (p deliveryPage) Open() bool {
	return p.S.Active && (p.D.State == "pending" || p.D.State == "failing")
}

// showDelivery answers GET /delivery?name=&id=.
func showDelivery(v *visit) error {
	id, err := v.deliveryID()
	if err != nil {
		return err
	}
	found, err := v.user.DescribeSubscription(v.ctx(), v.QueryParam("name"))
	if err != nil {
		return err
	}
	p := deliveryPage{S: v.subscribed(found)}
	detail, err := v.user.DescribeDelivery(v.ctx(), p.S.Full, id)
	if err != nil {
		return err
	}
	p.D = deliveryLine{detail.Delivery, p.S.Full, "", p.S.Held()}
	p.Attempts = detail.Attempts
	slices.Reverse(p.Attempts)
	var pretty bytes.Buffer
	if len(detail.Event) > 0 && string(detail.Event) != "null" && json.Indent(&pretty, detail.Event, "", "  ") == nil {
		p.Event = pretty.String()
	}
	return v.show(http.StatusOK, "delivery", "events", "Delivery "+strconv.FormatInt(id, 10), p)
}

func (v *visit) deliveryID() (int64, error) {
	id, err := strconv.ParseInt(v.FormValue("id"), 10, 64)
	if err != nil {
		return 0, fault.New(fault.NotFound, "delivery_not_found", "there is no delivery %q", v.FormValue("id")).WithHint("see the list of the subscription's deliveries")
	}
	return id, nil
}

// redeliver answers POST /subscription/redeliver (name, and id of one, or state of all that are in it; tab, or back=delivery, is where it was asked).
func redeliver(v *visit) error {
	name, state := v.FormValue("name"), v.FormValue("state")
	what := control.Redelivery{State: &state}
	if v.FormValue("id") != "" {
		id, err := v.deliveryID()
		if err != nil {
			return err
		}
		what = control.Redelivery{DeliveryID: &id}
	}
	made, err := v.user.Redeliver(v.ctx(), name, what, false)
	if err != nil {
		return v.failSubscription(name, err)
	}
	done := "redelivered"
	if made.Made.More {
		done = "redelivered-more"
	}
	s := v.subscribed(control.Subscription{Owner: made.Made.Owner, Name: made.Made.Name})
	if what.DeliveryID != nil && v.FormValue("back") == "delivery" {
		return v.back("/delivery?" + url.Values{"name": {s.Full}, "id": {v.FormValue("id")}, "done": {done}}.Encode())
	}
	return v.back(s.Place("state", v.FormValue("tab"), "done", done))
}
