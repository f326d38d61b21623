package control

import (
	_ "embed"
	"encoding/json"
	"fmt"
)

// EventType describes a type of event.
type EventType struct {
	Type    string          `json:"type" doc:"noun.verb, with the prefix tinydev."`
	When    string          `json:"when" doc:"what happened, in a sentence"`
	SeenBy  string          `json:"seen_by" enum:"readers,owner" doc:"who sees it: all who may read its subject, or only the owner of the workspace and administrators"`
	Private []string        `json:"private" doc:"fields of data that only the owner of the workspace and administrators see"`
	Rows    []string        `json:"rows,omitempty" doc:"fields of data that hold rows of the subject: only the owner of the workspace and who may select from it see them, which administrators need not"`
	Data    json.RawMessage `json:"data" doc:"JSON Schema (draft 2020-12) of the event's data"`
	Example json.RawMessage `json:"example" doc:"data of such an event, as the owner sees it"`
}

// eventTypesJSON is the one list of the types that there are; the API, its description, the command line and the documentation
// come from it, and tests hold it to what happens. A new type is one entry, its type without the prefix.
//
//go:embed event_types.json
var eventTypesJSON []byte

// EventTypes lists the types of events, by what they are about. There may be others in the log, as users record their own.
func EventTypes() []EventType {
	var list []EventType
	if err := json.Unmarshal(eventTypesJSON, &list); err != nil {
		panic(fmt.Sprintf("event_types.json: %v", err))
	}
	for i, t := range list {
		list[i].Type = "tinydev." + t.Type
		list[i].Data = append([]byte(`{"$schema": "https://json-schema.org/draft/2020-12/schema", `), t.Data[1:]...)
	}
	return list
}
