package control

import (
	"context"
	"encoding/json"

	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

// EventFilter chooses events. Missing types and subjects mean all; * in them stands for any characters.
type EventFilter struct {
	Types    []string // with or without the prefix "tinydev."
	Subjects []string // workspace.name
}

// EventPage is a stretch of the log.
type EventPage struct {
	Events []json.RawMessage `json:"events" doc:"CloudEvents 1.0, oldest first"`
	Next   int64             `json:"next" doc:"ask again with after=next; nothing is lost and nothing comes twice"`
	Head   int64             `json:"head" doc:"position of the newest event; while next is less there may be more"`
	Reset  bool              `json:"reset,omitempty" doc:"events after the position that was asked for are not kept any more"`
}

// LatestEvents gives the newest events, up to limit (1..1000), that the user may see and that fit, oldest first, from the last 100,000
// positions; Next is the head. Errors: invalid limit_invalid.
func (u *User) LatestEvents(ctx context.Context, limit int, filter EventFilter) (EventPage, error) {
	var page EventPage
	session, err := u.sessions.Acquire(ctx, u.Role)
	if err != nil {
		return page, err
	}
	defer session.Release()
	err = session.QueryRow(ctx, "select events, head, head from tinydev.latest_events($1, $2, $3)", limit, filter.Types, filter.Subjects).
		Scan(&page.Events, &page.Next, &page.Head)
	return page, postgres.Fault(err, "")
}

// ReadEvents gives up to limit (1..1000) events after a position that the user may see. Errors: invalid limit_invalid.
func (u *User) ReadEvents(ctx context.Context, after int64, limit int, filter EventFilter) (EventPage, error) {
	var page EventPage
	session, err := u.sessions.Acquire(ctx, u.Role)
	if err != nil {
		return page, err
	}
	defer session.Release()
	err = session.QueryRow(ctx, "select r.events, r.next, r.head, $1 < h.oldest - 1 from tinydev.read_events($1, $2, $3, $4) r, tinydev.event_head() h",
		after, limit, filter.Types, filter.Subjects).Scan(&page.Events, &page.Next, &page.Head, &page.Reset)
	return page, postgres.Fault(err, "")
}
