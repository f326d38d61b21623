package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

// event is a CloudEvent as a page shows it. assets/events.js makes the same of one that arrives live.
type event struct {
	Position string
	Type     string // without "tinydev."
	Subject  string
	Actor    string
	Time     time.Time
	Failed   bool
	Warning  bool
	Message  string // of a failure
	Facts    []fact
	JSON     string // data, indented
}

// fact is one entry of an event's data that is neither null nor the message.
type fact struct{ Key, Value string }

// Kind is the part of the type before the dot: view, table.
func (e event) Kind() string { kind, _, _ := strings.Cut(e.Type, "."); return kind }

// Page is where the subject of the event is shown.
func (e event) Page() string {
	switch e.Kind() {
	case "table":
		return "/table"
	case "subscription", "delivery":
		return "/subscription"
	}
	return "/view"
}

// eventTypes are offered in the filter; others can be typed.
func eventTypes() []string {
	var types []string
	groups, _ := groupTypes(nil)
	for _, group := range groups {
		for _, t := range group.Types {
			types = append(types, t.Value)
		}
	}
	return types
}

// warnings are the ends of types that tell of trouble short of a failure; assets/events.js has the same.
var warnings = []string{".missed", ".skipped", ".paused", ".events_lost", ".dead_lettered"}

// Numbers of events: on the page of events, which keeps as many when more arrive, and on the first page.
const (
	eventsShown = 200
	homeEvents  = 8
)

// eventList is the list that assets/events.js goes on with: from position After, at most Cap entries.
type eventList struct {
	Events        []event
	After         int64
	Cap           int
	Type, Subject string
}

// eventsPage is the list with its filter.
type eventsPage struct {
	List     eventList
	Types    []string
	Subjects []string
}

// listEvents answers GET /events?type=&subject=.
func listEvents(v *visit) error {
	p := eventsPage{Types: eventTypes()}
	var err error
	if p.List, err = v.latest(strings.TrimSpace(v.QueryParam("type")), strings.TrimSpace(v.QueryParam("subject")), eventsShown); err != nil {
		return err
	}
	for _, kind := range []string{control.Tables, control.Views} {
		relations, err := v.user.Relations(v.ctx(), kind, "", listLimit)
		if err != nil {
			return err
		}
		for _, r := range relations {
			p.Subjects = append(p.Subjects, r.Name)
		}
	}
	return v.show(http.StatusOK, "events", "events", "Events", p)
}

// latest gives the newest limit events that fit, newest first.
func (v *visit) latest(typeFilter, subject string, limit int) (eventList, error) {
	list := eventList{Cap: limit, Type: typeFilter, Subject: subject}
	var filter control.EventFilter
	if typeFilter != "" {
		filter.Types = []string{typeFilter}
	}
	if subject != "" {
		filter.Subjects = []string{subject}
	}
	page, err := v.user.LatestEvents(v.ctx(), limit, filter)
	if err != nil {
		return list, err
	}
	list.After = page.Head
	for _, raw := range slices.Backward(page.Events) {
		e, err := readEvent(raw)
		if err != nil {
			return list, err
		}
		list.Events = append(list.Events, e)
	}
	return list, nil
}

// readEvent decodes a CloudEvent.
func readEvent(raw []byte) (event, error) {
	var c struct {
		ID, Type, Subject, Actor string
		Time                     time.Time
		Data                     json.RawMessage
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return event{}, fmt.Errorf("read an event: %w", err)
	}
	e := event{Position: c.ID, Type: strings.TrimPrefix(c.Type, "tinydev."), Subject: c.Subject, Actor: c.Actor, Time: c.Time.UTC()}
	e.Failed = strings.HasSuffix(e.Type, "failed")
	e.Warning = slices.ContainsFunc(warnings, func(end string) bool { return strings.HasSuffix(e.Type, end) })
	var pretty bytes.Buffer
	if len(c.Data) == 0 || json.Indent(&pretty, c.Data, "", "  ") != nil {
		return e, nil
	}
	e.JSON = pretty.String()
	e.Message, e.Facts = facts(c.Data)
	return e, nil
}

// facts lists the entries of a JSON object in its order, without nulls; message stands for itself. Other JSON has none.
func facts(data []byte) (message string, list []fact) {
	d := json.NewDecoder(bytes.NewReader(data))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return "", nil
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return message, list
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return message, list
		}
		text := factText(value)
		switch name := fmt.Sprint(key); {
		case string(value) == "null":
		case name == "message":
			message = text
		default:
			list = append(list, fact{name, cell(text)})
		}
	}
	return message, list
}

// factText is a JSON value in a line; of an array or object it is the number of its entries.
func factText(value json.RawMessage) string {
	var text string
	var array []json.RawMessage
	var object map[string]json.RawMessage
	inside := 0
	switch {
	case json.Unmarshal(value, &text) == nil:
		return text
	case json.Unmarshal(value, &array) == nil:
		inside = len(array)
	case json.Unmarshal(value, &object) == nil:
		inside = len(object)
	default:
		return string(value)
	}
	if inside == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", inside)
}
