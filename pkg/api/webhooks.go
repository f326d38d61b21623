package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

// cloudEvent is the envelope of an event, for the description; the database writes it.
type cloudEvent struct {
	_               struct{}       `additionalProperties:"true"`
	SpecVersion     string         `json:"specversion" enum:"1.0"`
	ID              string         `json:"id" pattern:"^[0-9]+$" doc:"position in the log; with source it is unique, and the same however often the event is sent"`
	Source          string         `json:"source" doc:"the installation, as urn:uuid:…"`
	Type            string         `json:"type" doc:"noun.verb, with the prefix tinydev."`
	Subject         string         `json:"subject" doc:"what it happened to, as workspace.name"`
	Time            string         `json:"time" format:"date-time" doc:"when it was written, in UTC"`
	DataContentType string         `json:"datacontenttype" enum:"application/json"`
	Workspace       string         `json:"workspace" doc:"schema of the subject, which is its owner's name"`
	Actor           string         `json:"actor" doc:"role that did it"`
	Data            map[string]any `json:"data" doc:"details by type, and in attached what the subscription attaches"`
}

// webhookParameters are the headers of Standard Webhooks.
var webhookParameters = map[string]*huma.Param{
	"webhook-id": {Required: true, Schema: &huma.Schema{Type: huma.TypeString},
		Description: "The event's id: the same at each attempt, so that what comes twice can be told."},
	"webhook-timestamp": {Required: true, Schema: &huma.Schema{Type: huma.TypeString, Pattern: "^[0-9]+$"},
		Description: "When this attempt was made, in seconds since 1970. Refuse what is more than five minutes away."},
	"webhook-signature": {Required: true, Schema: &huma.Schema{Type: huma.TypeString},
		Description: "Signatures, separated by blanks: two while one secret replaces another. Each is v1, a comma, and the base64 of the HMAC-SHA256 of " +
			"webhook-id.webhook-timestamp.body; its key is what follows whsec_ in the secret, decoded from base64."},
}

// webhookResponses say what an answer means.
var webhookResponses = map[string]*huma.Response{
	"2XX": {Description: "Taken. It is not sent again."},
	"410": {Description: "The target wants no more: the subscription is paused, with the reason gone."},
	"default": {Description: "A failure, as is a redirection, or no answer in time: it is sent again by the subscription's plan, not before Retry-After, " +
		"and after the last attempt it is a dead letter. Later events about the same subject wait for it."},
}

// describeWebhooks puts the requests that the target of a webhook gets into the description, one for each type of event.
func (s *Service) describeWebhooks() error {
	doc := s.huma.OpenAPI()
	envelope := doc.Components.Schemas.Schema(reflect.TypeFor[cloudEvent](), true, "")
	doc.Components.Parameters, doc.Components.Responses = map[string]*huma.Param{}, map[string]*huma.Response{}
	var parameters []*huma.Param
	for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
		parameter := *webhookParameters[name]
		parameter.Name, parameter.In = name, "header"
		doc.Components.Parameters[name] = &parameter
		parameters = append(parameters, &huma.Param{Ref: "#/components/parameters/" + name})
	}
	responses := map[string]*huma.Response{}
	for status, response := range webhookResponses {
		doc.Components.Responses["webhook-"+status] = response
		responses[status] = &huma.Response{Ref: "#/components/responses/webhook-" + status}
	}
	doc.Webhooks = map[string]*huma.PathItem{}
	for _, t := range control.EventTypes() {
		var data map[string]any
		if err := json.Unmarshal(t.Data, &data); err != nil {
			return fmt.Errorf("schema of %s: %w", t.Type, err)
		}
		delete(data, "$schema") // that of the whole description counts
		data["examples"] = []any{t.Example}
		words := ""
		if len(t.Private) > 0 {
			words = "Only the owner of the workspace and administrators get of data: " + strings.Join(t.Private, ", ") + "."
		}
		if len(t.Rows) > 0 {
			words += "Only the owner of the workspace and who may select from the subject get of data: " + strings.Join(t.Rows, ", ") + "."
		}
		doc.Webhooks[t.Type] = &huma.PathItem{Post: &huma.Operation{
			OperationID: "receive-" + strings.NewReplacer(".", "-", "_", "-").Replace(strings.TrimPrefix(t.Type, "tinydev.")),
			Method:      http.MethodPost, Tags: []string{"events"}, Summary: t.When, Description: words, Security: []map[string][]string{{}},
			Parameters: parameters, Responses: responses,
			RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/cloudevents+json": {Schema: &huma.Schema{
				AllOf: []*huma.Schema{envelope, {Properties: map[string]*huma.Schema{"type": {Enum: []any{t.Type}}, "data": {Extensions: data}}}}}}}},
		}}
	}
	return nil
}
