package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tinydevcrm/tinydevcrm/cmd/tinydev/internal/console"
	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

func newEventTypes() *cobra.Command {
	cmd := &cobra.Command{
		Use: "types", Short: "List the types of events and their data",
		Long: `Lists the types of events that there are, what they tell of, and the fields of their data; only the owner of the workspace and
administrators see those with a star, and all of what is about a subscription, a delivery or something dropped; only the owner and who
may select from the view those with two. --json has the JSON Schema of the data of each, and an example. No server is needed: these are the types that this program knows.

Example:
  tinydev events types
  tinydev events types --json | jq '.[] | select(.type == "tinydev.view.failed").data'

Next: tinydev events --follow --type view.failed`,
		Args: takes(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			types := control.EventTypes()
			return show(cmd, types, func(w io.Writer) error { return printEventTypes(w, types) })
		},
	}
	asJSON(cmd)
	return cmd
}

func printEventTypes(w io.Writer, types []control.EventType) error {
	rows := make([][]string, len(types))
	for i, t := range types {
		fields, err := fieldsOfData(t)
		if err != nil {
			return err
		}
		for j, field := range fields {
			if slices.Contains(t.Private, field) {
				fields[j] += "*"
			} else if slices.Contains(t.Rows, field) {
				fields[j] += "**"
			}
		}
		rows[i] = []string{strings.TrimPrefix(t.Type, "tinydev."), strings.Join(fields, " "), t.When}
	}
	return console.Table(w, []string{"type", "data", "when"}, rows)
}

// fieldsOfData gives the names of the fields of an event's data, by the alphabet.
func fieldsOfData(t control.EventType) ([]string, error) {
	var schema struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if err := json.Unmarshal(t.Data, &schema); err != nil {
		return nil, fmt.Errorf("schema of %s: %w", t.Type, err)
	}
	return slices.Sorted(maps.Keys(schema.Properties)), nil
}
