package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

func TestEventTypes(t *testing.T) {
	run := func(args ...string) string {
		var out bytes.Buffer
		root := newRoot()
		root.SetArgs(append([]string{"events", "types"}, args...))
		root.SetOut(&out)
		if err := root.Execute(); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	table := run()
	for _, part := range []string{"view.failed ", "attempt cause code detail* due_at duration_ms job_id message* retry_at run_id sqlstate wait_ms", "A refresh of a view failed"} {
		if !strings.Contains(table, part) {
			t.Errorf("no %q in:\n%s", part, table)
		}
	}
	types := control.EventTypes()
	if lines := strings.Count(table, "\n"); lines != len(types)+1 {
		t.Errorf("%d lines for %d types", lines, len(types))
	}
	var list []control.EventType
	if err := json.Unmarshal([]byte(run("--json")), &list); err != nil || len(list) != len(types) || list[0].Type != types[0].Type {
		t.Errorf("%v: %d types, %+v", err, len(list), list)
	}
}
