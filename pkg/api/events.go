package api

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

type FilterParam struct {
	Types    []string `query:"type,explode" doc:"such as view.refreshed or view.*; may be given several times"`
	Subjects []string `query:"subject,explode" doc:"workspace.name, with * for any characters; may be given several times"`
}

type eventsInput struct {
	After  int64 `query:"after" minimum:"0" doc:"position after which to read; 0 reads from the beginning"`
	Latest bool  `query:"latest" doc:"read the newest that fit instead, among the last 100,000 positions; after does not count"`
	LimitParam
	FilterParam
}

type streamInput struct {
	After       int64  `query:"after" minimum:"-1" default:"-1" doc:"position after which to start; without it the stream starts with what comes next"`
	LastEventID string `header:"Last-Event-ID" doc:"position of the last event that was seen; wins over after"`
	FilterParam
}

// eventTypes lists what an event can be.
type eventTypes struct {
	EventTypes []control.EventType `json:"event_types" doc:"users may record others about what is theirs"`
}

func (s *Service) eventRoutes() {
	get(s, operation("GET", "/v1/events", "read-events", "events", "Read the log of events that you may see, oldest first", 401, 422),
		func(ctx context.Context, user *control.User, in *eventsInput) (control.EventPage, error) {
			filter := control.EventFilter{Types: in.Types, Subjects: in.Subjects}
			if in.Latest {
				return user.LatestEvents(ctx, in.Limit, filter)
			}
			return user.ReadEvents(ctx, in.After, in.Limit, filter)
		})
	get(s, operation("GET", "/v1/event-types", "list-event-types", "events", "List the types of events, with the schema of their data", 401),
		func(context.Context, *control.User, *struct{}) (eventTypes, error) {
			return eventTypes{control.EventTypes()}, nil
		})
	op := operation("GET", streamPath, "stream-events", "events", "Follow the events that you may see, as server-sent events", 401, 422, 429, 503)
	op.Description = "Each event has its position as id and a CloudEvent as data. A reconnection with Last-Event-ID misses nothing. " +
		"Every 15 seconds come a comment with the position of the newest event and, as an id alone, the position up to which all was looked at. " +
		"Where the position that was asked for is older than the log, or a Last-Event-ID is beyond it, the stream begins with an event named reset, " +
		"whose data has the positions oldest, head and asked. Within a minute after your token or your rights end the stream ends too, with a comment that says why."
	op.Responses = map[string]*huma.Response{"200": {Description: "An endless stream",
		Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}}}}
	huma.Register(s.huma, op, s.streamEvents)
}
