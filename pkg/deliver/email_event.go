package deliver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// occurrence is one event as templates see it. All its texts are clean.
type occurrence struct {
	Position  int64
	Type      string // view.refreshed
	Subject   string
	Workspace string
	Actor     string
	Time      string         // 2027-01-01 09:00:00 UTC
	Data      map[string]any // texts, int64, float64, bool, nil, and lists and maps of these; without attached
	Attached  *table         // nil for nothing
	What      string         // ann.bdays_today was refreshed
	Recovery  string         // what there is to say when trouble is over; empty else
	Error     string         // of a failure; may have several lines
	Link      string         // the page about the subject; empty for none
	Facts     []fact
}

// fact is a line about an event.
type fact struct{ Name, Value string }

// Brief gives the facts but the time in one line.
func (o occurrence) Brief() string {
	var list []string
	for _, f := range o.Facts {
		if f.Name != "Time" {
			list = append(list, f.Name+" "+f.Value)
		}
	}
	return strings.Join(list, ", ")
}

// ErrorLines gives the lines of Error.
func (o occurrence) ErrorLines() []string {
	if o.Error == "" {
		return nil
	}
	return strings.Split(o.Error, "\n")
}

// happened says of each type what happened to its subject.
var happened = map[string]string{
	"view.created": "was created", "view.replaced": "has a new query", "view.refreshed": "was refreshed", "view.failed": "could not be refreshed",
	"view.missed": "missed a refresh", "view.dropped": "was dropped", "view.shared": "was shared", "view.unshared": "is no longer shared",
	"table.created": "was created", "table.loaded": "has new rows", "table.load_failed": "could not be loaded", "table.dropped": "was dropped",
	"table.shared": "was shared", "table.unshared": "is no longer shared",
	"subscription.paused": "stopped delivering", "subscription.resumed": "delivers again", "subscription.tested": "is being tested",
	"subscription.events_lost": "lost events", "delivery.dead_lettered": "gave up on an event",
}

// recovered says of each type that ends trouble what that means for its subject.
var recovered = map[string]string{
	"view.refreshed": "works again", "table.loaded": "can be loaded again", "view.fresh": "is fresh again", "table.fresh": "is fresh again", "subscription.resumed": "delivers again",
}

// readEvents reads CloudEvents. source names the installation; pages is the address to link to, empty for no links.
func readEvents(pages string, events []Event) (list []occurrence, source string, err error) {
	for _, event := range events {
		var cloud struct {
			Source, Workspace, Actor string
			Time                     time.Time
			Data                     map[string]any
		}
		decoder := json.NewDecoder(bytes.NewReader(event.JSON))
		decoder.UseNumber()
		if err := decoder.Decode(&cloud); err != nil {
			return nil, "", fmt.Errorf("read event %d: %w", event.Position, err)
		}
		source = cloud.Source
		o := occurrence{Position: event.Position, Type: oneLine(event.Type), Subject: oneLine(event.Subject), Workspace: oneLine(cloud.Workspace), Actor: oneLine(cloud.Actor),
			Time: cloud.Time.UTC().Format("2006-01-02 15:04:05 UTC"), Attached: readTable(cloud.Data["attached"])}
		delete(cloud.Data, "attached")
		o.Data, _ = plain(cloud.Data).(map[string]any)
		o.What = o.Subject + " " + happened[o.Type]
		if happened[o.Type] == "" {
			o.What = o.Subject + ": " + o.Type
		}
		if event.Recovers && recovered[o.Type] != "" {
			o.What = o.Subject + " " + recovered[o.Type]
			o.Recovery = "The trouble that you were told of is over."
			if words := happened[o.Type]; words != "" && words != recovered[o.Type] {
				o.Recovery = "The trouble that you were told of is over: it " + words + "."
			}
		}
		kind, verb, _ := strings.Cut(o.Type, ".")
		if pages != "" && (kind == "view" || kind == "table") && verb != "dropped" {
			o.Link = pages + "/" + kind + "?" + url.Values{"name": {event.Subject}}.Encode()
		}
		o.Facts, o.Error = facts(o)
		list = append(list, o)
	}
	return list, source, nil
}

// facts tells of an event what its data says, and the texts of an error apart.
func facts(o occurrence) (list []fact, trouble string) {
	add := func(name string, value any) {
		if text := clip(oneLine(show(value)), 200); text != "" {
			list = append(list, fact{name, text})
		}
	}
	add("Time", o.Time)
	if o.Actor != "tinydev_server" {
		add("By", o.Actor)
	}
	data := maps.Clone(o.Data)
	if rows, ok := data["rows"].(int64); ok {
		text := strconv.FormatInt(rows, 10)
		inserted, isNew := data["inserted"].(int64)
		deleted, isGone := data["deleted"].(int64)
		if isNew && isGone {
			text += fmt.Sprintf(" (%d new, %d gone)", inserted, deleted)
		}
		add("Rows", text)
	}
	if ms, ok := data["duration_ms"].(int64); ok {
		add("Took", (time.Duration(ms) * time.Millisecond).String())
	}
	var errors []string
	for _, name := range []string{"message", "error", "detail"} {
		if text, ok := data[name].(string); ok && strings.TrimSpace(text) != "" {
			errors = append(errors, clip(strings.TrimSpace(text), 4000))
		}
	}
	for _, name := range []string{"rows", "inserted", "deleted", "changed", "duration_ms", "concurrently", "message", "error", "detail"} {
		delete(data, name)
	}
	for _, name := range slices.Sorted(maps.Keys(data)) {
		if len(list) == 20 {
			break
		}
		label := strings.ReplaceAll(clip(oneLine(name), 40), "_", " ")
		if first, size := utf8.DecodeRuneInString(label); size > 0 {
			label = string(unicode.ToUpper(first)) + label[size:]
		}
		add(label, data[name])
	}
	return list, strings.Join(errors, "\n")
}

// plain makes clean texts and Go's numbers of what was decoded from JSON.
func plain(v any) any {
	switch v := v.(type) {
	case string:
		return clean(v)
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		n, _ := v.Float64() // too large a number is infinite
		return n
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			list[i] = plain(item)
		}
		return list
	case map[string]any:
		all := make(map[string]any, len(v))
		for name, item := range v {
			all[clean(name)] = plain(item)
		}
		return all
	}
	return v
}

// show writes a value of Data: nothing for null, lists and maps as JSON.
func show(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case float64:
		if math.IsInf(v, 0) {
			return "too large"
		}
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}

// clean takes out of a text what could make it look like another: control characters but line ends and tabs, marks that turn the
// direction of writing, and other characters that nobody sees.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\u200c' || r == '\u200d': // joiners are part of letters
			return r
		case r == '\u2028' || r == '\u2029' || r == '\u0085':
			return '\n'
		case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co):
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
}

// oneLine cleans a text and puts a space for each line end and run of spaces.
func oneLine(text string) string { return strings.Join(strings.Fields(clean(text)), " ") }

// clip cuts a text to a number of characters.
func clip(text string, length int) string {
	if utf8.RuneCountInString(text) <= length {
		return text
	}
	return string([]rune(text)[:length-1]) + "…"
}
