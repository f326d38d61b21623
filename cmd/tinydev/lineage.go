package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tinydevcrm/tinydevcrm/cmd/tinydev/internal/console"
	"github.com/tinydevcrm/tinydevcrm/pkg/client"
	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

func newLineage() *cobra.Command {
	cmd := viewCommand(&cobra.Command{
		Use: "lineage [RELATION]", Short: "Show what comes from what: tables, views, jobs, triggers, subscriptions", GroupID: groupData,
		Long: `Shows which tables each view is made of, through other views and functions, the job that refreshes it, and the triggers and
subscriptions that hear of it. PostgreSQL keeps what reads what; nothing has to be declared. With RELATION, a table or view, only what it
is made of and what comes of it. What you may not read is counted, not named. A view has "may read more" where it calls a function whose
body is text, such as one in PL/pgSQL: what that reads nobody knows before it runs.

--dot prints it for Graphviz. In SQL: tinydev.lineage.

Example:
  tinydev lineage
  tinydev lineage prices
  tinydev lineage ann.daily --json
  tinydev lineage --dot | dot -Tsvg > lineage.svg

Next: tinydev view show NAME, or the page Lineage.`,
		Args: takesFrom(0, 1),
		RunE: withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			l, err := c.Lineage(ctx, strings.Join(args, ""))
			if err != nil {
				return err
			}
			if on(cmd, "dot") {
				return printDot(cmd.OutOrStdout(), l)
			}
			return show(cmd, l, func(w io.Writer) error {
				_, err := io.WriteString(w, lineageTree(l))
				return err
			})
		}),
	}, false)
	cmd.Flags().Bool("dot", false, "print it in the language of Graphviz")
	return cmd
}

// lineageTree writes a lineage as trees, one for each node that nothing leads to. A node that several lead to has its branches once. Jobs
// stand behind the views that they refresh.
func lineageTree(l control.Lineage) string {
	if len(l.Nodes) == 0 {
		return "nothing yet: tinydev load FILE makes a table\n"
	}
	t := tree{nodes: map[string]control.LineageNode{}, next: map[string][]string{}, jobs: map[string][]control.LineageNode{}, shown: map[string]bool{}}
	for _, n := range l.Nodes {
		t.nodes[n.ID] = n
	}
	led := map[string]bool{}
	busy := map[string]bool{}
	for _, e := range l.Edges {
		if e.Kind == "refreshes" {
			t.jobs[e.To] = append(t.jobs[e.To], t.nodes[e.From])
			busy[e.From] = true
			continue
		}
		if e.Kind == "starts" { // what the job refreshes reads it, as a rule
			continue
		}
		t.next[e.From] = append(t.next[e.From], e.To)
		led[e.To] = true
	}
	for _, n := range l.Nodes {
		if !led[n.ID] && !busy[n.ID] {
			t.write(n.ID, "", "")
		}
	}
	for _, n := range l.Nodes { // a circle, which plain views can close, has no first one
		if !t.shown[n.ID] && !busy[n.ID] {
			t.write(n.ID, "", "")
		}
	}
	return t.out.String()
}

type tree struct {
	nodes map[string]control.LineageNode
	next  map[string][]string
	jobs  map[string][]control.LineageNode
	shown map[string]bool
	out   strings.Builder
}

func (t *tree) write(id, first, rest string) {
	t.out.WriteString(first + console.Printable(strings.ReplaceAll(t.words(t.nodes[id]), "\n", " ")))
	if t.shown[id] && len(t.next[id]) > 0 {
		t.out.WriteString(" (as above)\n")
		return
	}
	t.out.WriteString("\n")
	t.shown[id] = true
	for i, to := range t.next[id] {
		if i == len(t.next[id])-1 {
			t.write(to, rest+"└─ ", rest+"   ")
		} else {
			t.write(to, rest+"├─ ", rest+"│  ")
		}
	}
}

// words tells what a node is.
func (t *tree) words(n control.LineageNode) string {
	var more []string
	add := func(format string, args ...any) { more = append(more, fmt.Sprintf(format, args...)) }
	switch n.Kind {
	case control.LineageTrigger:
		add("notifies %s", *n.Channel)
	case control.LineageSubscription:
		add("%s", *n.Sends)
	}
	for _, job := range t.jobs[n.ID] {
		words := fmt.Sprintf("job %d: after others", *job.JobID)
		if job.Schedule != nil {
			words = fmt.Sprintf("job %d: %s", *job.JobID, *job.Schedule)
		}
		if !*job.Active {
			words += ", paused"
		}
		add("%s", words)
	}
	if n.Populated != nil && !*n.Populated {
		add("never filled")
	}
	if n.Active != nil && !*n.Active {
		if n.Kind == control.LineageTrigger {
			add("failed")
		} else {
			add("paused")
		}
	}
	if n.Known != nil && !*n.Known {
		add("may read more than is shown")
	}
	if n.Hidden != nil {
		add("%s hidden", console.Count(*n.Hidden, "source"))
	}
	words := strings.ReplaceAll(n.Kind, "_", " ") + " " + n.Name
	if len(more) > 0 {
		words += " (" + strings.Join(more, "; ") + ")"
	}
	return words
}

var dotShapes = map[string]string{
	control.LineageTable: "cylinder", control.LineageView: "box", control.LineagePlainView: "note", control.LineageFunction: "cds",
	control.LineageJob: "oval", control.LineageTrigger: "hexagon", control.LineageSubscription: "house",
}

func printDot(w io.Writer, l control.Lineage) error {
	quote := func(text string) string {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(console.Printable(text)) + `"`
	}
	var out strings.Builder
	out.WriteString("digraph lineage {\n  rankdir=LR;\n")
	for _, n := range l.Nodes {
		fmt.Fprintf(&out, "  %s [label=%s, shape=%s];\n", quote(n.ID), quote(n.Name), dotShapes[n.Kind])
	}
	for _, e := range l.Edges {
		fmt.Fprintf(&out, "  %s -> %s [label=%s];\n", quote(e.From), quote(e.To), e.Kind)
	}
	out.WriteString("}\n")
	_, err := io.WriteString(w, out.String())
	return err
}
