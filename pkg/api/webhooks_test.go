package api_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

func TestEventTypes(t *testing.T) {
	t.Parallel()
	h := start(t)
	got := h.call(pgtest.Ann, "GET", "/v1/event-types", "")
	var list struct {
		EventTypes []control.EventType `json:"event_types"`
	}
	if err := json.Unmarshal([]byte(got.body), &list); err != nil || got.status != 200 {
		t.Fatalf("%d %v: %.500s", got.status, err, got.body)
	}
	want := control.EventTypes()
	if len(list.EventTypes) != len(want) {
		t.Errorf("%d types, want %d", len(list.EventTypes), len(want))
	}
	for i, one := range list.EventTypes {
		if one.Type != want[i].Type || !strings.HasPrefix(string(one.Data), `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object"`) {
			t.Errorf("type %d is %s, %s", i, one.Type, one.Data)
		}
	}
	if got := h.call("", "GET", "/v1/event-types", ""); got.status != 401 {
		t.Errorf("nobody gets %d", got.status)
	}
}

// TestWebhooksAreDescribed holds what the log gives to the schemas of the requests that a webhook gets.
func TestWebhooksAreDescribed(t *testing.T) {
	t.Parallel()
	h := start(t)
	raw := h.call("", "GET", "/openapi.json", "").body
	type reference struct {
		Ref string `json:"$ref"`
	}
	var description struct {
		Components struct {
			Parameters map[string]struct{ Name, In string }
			Responses  map[string]any
		}
		Webhooks map[string]struct {
			Post struct {
				Parameters []reference
				Responses  map[string]reference
				Security   []map[string][]string
			}
		}
	}
	check(t, json.Unmarshal([]byte(raw), &description))
	names := []string{}
	for _, listed := range control.EventTypes() {
		names = append(names, listed.Type)
	}
	if got := slices.Sorted(maps.Keys(description.Webhooks)); !slices.Equal(got, slices.Sorted(slices.Values(names))) {
		t.Errorf("webhooks of %q, want %q", got, names)
	}
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(raw))
	check(t, err)
	compiler := jsonschema.NewCompiler()
	check(t, compiler.AddResource("urn:openapi", document))
	schemas := map[string]*jsonschema.Schema{}
	for name, hook := range description.Webhooks {
		headers := []string{}
		for _, parameter := range hook.Post.Parameters {
			header := description.Components.Parameters[strings.TrimPrefix(parameter.Ref, "#/components/parameters/")]
			headers = append(headers, header.In+" "+header.Name)
		}
		for status, answer := range hook.Post.Responses {
			if description.Components.Responses[strings.TrimPrefix(answer.Ref, "#/components/responses/")] == nil {
				t.Errorf("%s: what %s means is not described", name, status)
			}
		}
		if !slices.Equal(headers, []string{"header webhook-id", "header webhook-timestamp", "header webhook-signature"}) || len(hook.Post.Responses) != 3 ||
			len(hook.Post.Security) != 1 || len(hook.Post.Security[0]) != 0 {
			t.Errorf("%s is described as %+v", name, hook)
		}
		schemas[name], err = compiler.Compile("urn:openapi#/webhooks/" + name + "/post/requestBody/content/application~1cloudevents+json/schema")
		check(t, err)
	}

	h.load(pgtest.Ann, "/v1/uploads", "table", "friends", "file", csv)
	h.call(pgtest.Ann, "POST", "/v1/views", `{"name":"v","query":"select * from friends"}`)
	h.call(pgtest.Ann, "POST", "/v1/views/v/refresh", "")
	var page control.EventPage
	pgtest.Eventually(t, 10e9, "the events are placed", func() bool {
		check(t, json.Unmarshal([]byte(h.call(pgtest.Ann, "GET", "/v1/events", "").body), &page))
		return len(page.Events) == 4
	})
	for _, event := range page.Events {
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(event)))
		check(t, err)
		fields := value.(map[string]any)
		name := fields["type"].(string)
		if err := schemas[name].Validate(value); err != nil {
			t.Errorf("%s: %v", event, err)
		}
		if schemas["tinydev.view.failed"].Validate(value) == nil {
			t.Errorf("it passes for another type: %s", event)
		}
		fields["data"] = map[string]any{}
		if schemas[name].Validate(value) == nil {
			t.Errorf("%s passes without data", name)
		}
		delete(fields, "id")
		if schemas[name].Validate(value) == nil {
			t.Errorf("%s passes without an id", name)
		}
	}
}
