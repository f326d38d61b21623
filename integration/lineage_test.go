package integration

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

// TestLineage asks on the command line what comes from what: for people, for programs and for Graphviz.
func TestLineage(t *testing.T) {
	onEach(t, func(t *testing.T, s *server) {
		if out := s.must("lineage", "--json"); !strings.Contains(out, `"edges": []`) {
			t.Errorf("of nothing: %s", out)
		}
		s.sql("create table prices (a int); create table other (a int)")
		s.must("view", "create", "sums", "select count(*) as n from prices")
		s.must("view", "create", "apart", "select * from other")
		s.must("job", "create", "sums", "0 9 * * *")
		s.must("trigger", "create", "big", "--view", "sums")

		var l control.Lineage
		if err := json.Unmarshal([]byte(s.must("lineage", "sums", "--json")), &l); err != nil || len(l.Nodes) < 4 || len(l.Edges) < 3 {
			t.Errorf("%+v %v", l, err)
		}
		job := int64(0)
		for _, n := range l.Nodes {
			if n.JobID != nil {
				job = *n.JobID
			}
		}
		out := s.must("lineage", "sums")
		for _, line := range []string{"table ann.prices", fmt.Sprintf("└─ view ann.sums (job %d: 0 9 * * *)", job), "   └─ trigger ann.big (notifies ann_big)"} {
			if !strings.Contains(out, line+"\n") {
				t.Errorf("there is no %q in\n%s", line, out)
			}
		}
		if strings.Contains(out, "other") {
			t.Errorf("around sums is what has nothing to do with it:\n%s", out)
		}
		if out := s.must("lineage"); !strings.Contains(out, "table ann.other\n└─ view ann.apart\n") {
			t.Errorf("all is\n%s", out)
		}
		if out := s.must("lineage", "ann.sums", "--dot"); !strings.Contains(out, `  "table:ann.prices" -> "view:ann.sums" [label=reads];`) {
			t.Errorf("--dot prints\n%s", out)
		}
		if r := s.command("lineage", "nothing"); r.code != 2 || !strings.Contains(r.stderr, "there is no table or view ann.nothing") {
			t.Errorf("of no relation: %d %s", r.code, r.stderr)
		}
		if r := s.command("lineage", "a", "b"); r.code != 2 || !strings.Contains(r.stderr, "not 2") {
			t.Errorf("of two: %d %s", r.code, r.stderr)
		}
	})
}
