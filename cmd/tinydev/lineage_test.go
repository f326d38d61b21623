package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

// TestLineageTree holds how a lineage is written: branches once, jobs with their views, circles too.
func TestLineageTree(t *testing.T) {
	one, no, id := int64(1), false, int64(5)
	yes, schedule, channel, sends := true, "*/15 * * * *", "ann_c", "email"
	l := control.Lineage{
		Nodes: []control.LineageNode{
			{ID: "table:ann.a", Kind: "table", Name: "ann.a"}, {ID: "table:ann.b", Kind: "table", Name: "ann.\x1b[31m\nline"},
			{ID: "function:ann.f()", Kind: "function", Name: "ann.f()", Known: &no},
			{ID: "plain_view:ann.p", Kind: "plain_view", Name: "ann.p", Hidden: &one},
			{ID: "view:ann.v", Kind: "view", Name: "ann.v", Populated: &no, Known: &no}, {ID: "view:ann.x", Kind: "view", Name: "ann.x"}, {ID: "view:ann.y", Kind: "view", Name: "ann.y"},
			{ID: "job:5", Kind: "job", Name: "j", JobID: &id, Schedule: &schedule, Active: &no},
			{ID: "trigger:ann.t", Kind: "trigger", Name: "ann.t", Channel: &channel, Active: &yes},
			{ID: "subscription:ann.s", Kind: "subscription", Name: "ann.s", Sends: &sends, Active: &no},
		},
		Edges: []control.LineageEdge{
			{From: "table:ann.a", To: "plain_view:ann.p", Kind: "reads"}, {From: "table:ann.b", To: "plain_view:ann.p", Kind: "reads"},
			{From: "function:ann.f()", To: "view:ann.v", Kind: "calls"}, {From: "plain_view:ann.p", To: "view:ann.v", Kind: "reads"},
			{From: "job:5", To: "view:ann.v", Kind: "refreshes"}, {From: "view:ann.v", To: "subscription:ann.s", Kind: "delivers"},
			{From: "view:ann.v", To: "trigger:ann.t", Kind: "wakes"}, {From: "view:ann.x", To: "view:ann.y", Kind: "reads"}, {From: "view:ann.y", To: "view:ann.x", Kind: "reads"},
		},
	}
	want := `table ann.a
└─ plain view ann.p (1 source hidden)
   └─ view ann.v (job 5: */15 * * * *, paused; never filled; may read more than is shown)
      ├─ subscription ann.s (email; paused)
      └─ trigger ann.t (notifies ann_c)
table ann.�[31m line
└─ plain view ann.p (1 source hidden) (as above)
function ann.f() (may read more than is shown)
└─ view ann.v (job 5: */15 * * * *, paused; never filled; may read more than is shown) (as above)
view ann.x
└─ view ann.y
   └─ view ann.x (as above)
`
	if got := lineageTree(l); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if got := lineageTree(control.Lineage{}); !strings.Contains(got, "tinydev load") {
		t.Errorf("of nothing: %q", got)
	}
	var out bytes.Buffer
	if err := printDot(&out, l); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"digraph lineage {", `  "view:ann.v" [label="ann.v", shape=box];`, `  "job:5" -> "view:ann.v" [label=refreshes];`} {
		if !strings.Contains(out.String(), line+"\n") {
			t.Errorf("there is no line %s in\n%s", line, out.String())
		}
	}
}
