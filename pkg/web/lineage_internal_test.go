package web

import (
	"fmt"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

// TestLayOut holds that edges lead to the right, that nothing lies on anything else, and that circles end.
func TestLayOut(t *testing.T) {
	node := func(kind, name string) control.LineageNode {
		return control.LineageNode{ID: kind + ":" + name, Kind: kind, Name: name}
	}
	var l control.Lineage
	join := func(from, to, kind string) {
		l.Edges = append(l.Edges, control.LineageEdge{From: from, To: to, Kind: kind})
	}
	for i := range 9 {
		l.Nodes = append(l.Nodes, node("table", fmt.Sprint(i)))
	}
	for i := range 8 {
		l.Nodes = append(l.Nodes, node("view", fmt.Sprint(i)), node("job", fmt.Sprint(i)))
		join(fmt.Sprintf("table:%d", i), fmt.Sprintf("view:%d", i), "reads")
		join("table:8", fmt.Sprintf("view:%d", i), "reads")
		join(fmt.Sprintf("job:%d", i), fmt.Sprintf("view:%d", i), "refreshes")
		if i > 0 {
			join(fmt.Sprintf("view:%d", i-1), fmt.Sprintf("view:%d", i), "reads")
		}
	}
	l.Nodes = append(l.Nodes, node("subscription", "s"))
	join("table:0", "subscription:s", "delivers")
	join("view:7", "subscription:s", "delivers")
	check := func(circle bool) {
		t.Helper()
		d := layOut(l)
		at := map[string]box{}
		for i, b := range d.Boxes {
			at[b.ID] = b
			if b.X < 0 || b.Y < 0 || b.X+boxWidth > d.Width || b.Y+boxHeight > d.Height {
				t.Errorf("%s lies outside: %d %d in %d %d", b.ID, b.X, b.Y, d.Width, d.Height)
			}
			for _, o := range d.Boxes[:i] {
				if b.X == o.X && b.Y < o.Y+boxHeight && o.Y < b.Y+boxHeight {
					t.Errorf("%s lies on %s", b.ID, o.ID)
				}
			}
		}
		for _, e := range d.Lines {
			if at[e.From].X >= at[e.To].X && !circle {
				t.Errorf("%s to %s leads to the left", e.From, e.To)
			}
		}
		if len(d.Boxes) != len(l.Nodes) || len(d.Lines) != len(l.Edges) {
			t.Errorf("%d boxes and %d lines of %d nodes and %d edges", len(d.Boxes), len(d.Lines), len(l.Nodes), len(l.Edges))
		}
	}
	check(false)
	join("view:7", "view:0", "reads")
	check(true)
}
