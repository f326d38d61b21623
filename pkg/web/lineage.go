package web

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

// drawnLimit is how many nodes a page draws; more is no picture any more.
const drawnLimit = 150

// lineagePage is what comes from what, all or around one relation.
type lineagePage struct {
	Relation  string // as it was asked for; "" is all
	Relations []pick
	Count     int // nodes
	Drawn     bool
	Drawing   drawing
	Alone     []box  // connected with nothing
	List      []line // edges in words
	Unknown   bool   // something may be read that is not shown
	Hidden    bool
}

// Kinds that the legend explains.
func (p lineagePage) Kinds() []string {
	seen := map[string]bool{}
	var kinds []string
	for _, b := range p.Drawing.Boxes {
		if !seen[b.Kind] {
			seen[b.Kind] = true
			kinds = append(kinds, b.Kind)
		}
	}
	return kinds
}

// KindWords is a kind of nodes in words.
func (p lineagePage) KindWords(kind string) string { return kindWords(kind) }

// showLineage answers GET /lineage?relation=.
func showLineage(v *visit) error {
	p := lineagePage{Relation: strings.TrimSpace(v.QueryParam("relation"))}
	l, err := v.user.Lineage(v.ctx(), p.Relation)
	if err != nil {
		return err
	}
	if p.Relations, err = v.relationPicks(); err != nil {
		return err
	}
	root := ""
	if p.Relation != "" {
		root = rootOf(l, p.Relation, v.user.Role)
		if !choose(p.Relations, root) {
			p.Relations = append(p.Relations, pick{Value: root, Chosen: true})
		}
	}
	connected := map[string]bool{}
	for _, e := range l.Edges {
		connected[e.From], connected[e.To] = true, true
	}
	var together control.Lineage
	together.Edges = l.Edges
	for _, n := range l.Nodes {
		p.Unknown = p.Unknown || n.Known != nil && !*n.Known
		p.Hidden = p.Hidden || n.Hidden != nil
		if connected[n.ID] || root != "" {
			together.Nodes = append(together.Nodes, n)
		} else {
			p.Alone = append(p.Alone, box{LineageNode: n})
		}
	}
	p.Count = len(together.Nodes)
	if p.Count > 0 && p.Count <= drawnLimit {
		p.Drawn, p.Drawing = true, layOut(together)
		for i := range p.Drawing.Boxes {
			p.Drawing.Boxes[i].Root = root != "" && isRelation(p.Drawing.Boxes[i].LineageNode) && p.Drawing.Boxes[i].Name == root
		}
	}
	names := make(map[string]string, len(l.Nodes))
	for _, n := range l.Nodes {
		names[n.ID] = box{LineageNode: n}.Words()
	}
	for _, e := range l.Edges {
		if len(p.List) == 1000 {
			break
		}
		p.List = append(p.List, line{control.LineageEdge{From: names[e.From], To: names[e.To], Kind: e.Kind}, ""})
	}
	title := "Lineage"
	if root != "" {
		title += " of " + plainName(root)
	}
	return v.show(http.StatusOK, "lineage", "lineage", title, p)
}

// rootOf gives the full name of the relation that a lineage is about: as it was asked for, or in the visitor's workspace.
func rootOf(l control.Lineage, asked, role string) string {
	for _, n := range l.Nodes {
		if plain := plainName(n.Name); isRelation(n) && (plain == plainName(asked) || plain == role+"."+plainName(asked)) {
			return n.Name
		}
	}
	return asked
}

func isRelation(n control.LineageNode) bool {
	return n.Kind == control.LineageTable || n.Kind == control.LineageView || n.Kind == control.LineagePlainView
}

// Words is a node in words.
func (b box) Words() string {
	if b.Kind == control.LineageJob {
		return "job " + strconv.FormatInt(*b.JobID, 10)
	}
	return b.KindWords() + " " + plainName(b.Name)
}

// KindWords is what a node is.
func (b box) KindWords() string { return kindWords(b.Kind) }

func kindWords(kind string) string { return strings.ReplaceAll(kind, "_", " ") }

// Short is the name as far as it fits into a box.
func (b box) Short() string {
	name := plainName(b.Name)
	if b.Kind == control.LineageJob {
		name = b.Words()
	}
	return fit(name, 22)
}

// Full is what a pointer that rests on a box is told.
func (b box) Full() string { return b.Words() + ": " + b.More() }

// More is the second line of a box.
func (b box) More() string {
	words := []string{b.KindWords()}
	switch b.Kind {
	case control.LineageJob:
		words = []string{"after others"}
		if b.Schedule != nil {
			words[0] = *b.Schedule
		}
		if !*b.Active {
			words = append(words, "paused")
		}
	case control.LineageTrigger:
		words = append(words, *b.Channel)
	case control.LineageSubscription:
		words = []string{*b.Sends}
		if *b.Sends == "email" {
			words = []string{"e-mail"}
		}
		if !*b.Active {
			words = append(words, "paused")
		}
	}
	if b.Populated != nil && !*b.Populated {
		words = append(words, "never filled")
	}
	if b.Known != nil && !*b.Known {
		words = append(words, "may read more")
	}
	if b.Hidden != nil {
		words = append(words, strconv.FormatInt(*b.Hidden, 10)+" hidden")
	}
	return strings.Join(words, " · ")
}

// MoreShort is More as far as it fits into a box.
func (b box) MoreShort() string { return fit(b.More(), 27) }

func fit(text string, most int) string {
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}

// Place is where a box leads; "" is nowhere.
func (b box) Place() string {
	name := func(path, name string) string { return path + "?" + url.Values{"name": {name}}.Encode() }
	switch b.Kind {
	case control.LineageTable:
		return name("/table", b.Name)
	case control.LineageView:
		return name("/view", b.Name)
	case control.LineagePlainView:
		return "/lineage?" + url.Values{"relation": {b.Name}}.Encode()
	case control.LineageJob:
		return "/job?id=" + strconv.FormatInt(*b.JobID, 10)
	case control.LineageTrigger:
		return "/triggers"
	case control.LineageSubscription:
		return name("/subscription", b.Name)
	}
	return ""
}
