package web

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

// Sizes in the drawing of a lineage, in pixels.
const (
	boxWidth, boxHeight = 192, 46
	boxGapX, boxGapY    = 44, 14
	passHeight          = 4 // of the place in a column where a line passes
	drawingMargin       = 10
)

// drawing is a lineage laid out in columns, from left to right.
type drawing struct {
	Width, Height int
	Boxes         []box
	Lines         []line
}

// box is a node in a drawing; X and Y are of its upper left corner.
type box struct {
	control.LineageNode
	X, Y int
	Root bool // what the lineage is about

}

// spot is a place in a column, of a box or of a line that passes to a farther column.
type spot struct {
	column, height, y int
	before, after     []int // spots in other columns
	hears             bool  // a trigger or subscription
}

// Where corners and texts stand.
func (b box) W() int     { return boxWidth }
func (b box) H() int     { return boxHeight }
func (b box) TextX() int { return b.X + 12 }
func (b box) NameY() int { return b.Y + 19 }
func (b box) MoreY() int { return b.Y + 36 }

// line is an edge in a drawing, as the path of an SVG.
type line struct {
	control.LineageEdge
	Path string
}

// layOut puts nodes in columns, so that edges lead to the right as far as that goes (plain views can close circles), and orders columns so
// that few edges cross. Triggers and subscriptions share the last column.
func layOut(l control.Lineage) drawing {
	spots := make([]spot, len(l.Nodes))
	index := make(map[string]int, len(l.Nodes))
	for i, n := range l.Nodes {
		spots[i] = spot{height: boxHeight, hears: n.Kind == control.LineageTrigger || n.Kind == control.LineageSubscription}
		index[n.ID] = i
	}
	join := func(from, to int) {
		spots[from].after, spots[to].before = append(spots[from].after, to), append(spots[to].before, from)
	}
	for _, e := range l.Edges {
		join(index[e.From], index[e.To])
	}
	columns := assignColumns(spots)
	// From here on a line leads from column to column, so that it passes between boxes and not behind them.
	for i := range spots {
		spots[i].before, spots[i].after = nil, nil
	}
	ways := make([][]int, len(l.Edges))
	for e, edge := range l.Edges {
		from, to := index[edge.From], index[edge.To]
		ways[e] = []int{from}
		for c := spots[from].column + 1; c < spots[to].column; c++ {
			spots = append(spots, spot{column: c, height: passHeight})
			pass := len(spots) - 1
			columns[c] = append(columns[c], pass)
			join(ways[e][len(ways[e])-1], pass)
			ways[e] = append(ways[e], pass)
		}
		join(ways[e][len(ways[e])-1], to)
		ways[e] = append(ways[e], to)
	}
	orderColumns(spots, columns)

	d := drawing{Width: len(columns)*(boxWidth+boxGapX) - boxGapX + 2*drawingMargin}
	heights := make([]int, len(columns))
	for c, column := range columns {
		for _, i := range column {
			heights[c] += spots[i].height + boxGapY
		}
		d.Height = max(d.Height, heights[c]-boxGapY+2*drawingMargin)
	}
	for c, column := range columns {
		y := (d.Height - heights[c] + boxGapY) / 2
		for _, i := range column {
			spots[i].y = y
			y += spots[i].height + boxGapY
		}
	}
	x := func(i int) int { return drawingMargin + spots[i].column*(boxWidth+boxGapX) }
	for i, n := range l.Nodes {
		d.Boxes = append(d.Boxes, box{LineageNode: n, X: x(i), Y: spots[i].y})
	}
	for e, edge := range l.Edges {
		var path strings.Builder
		for step, to := range ways[e][1:] {
			from := ways[e][step]
			x1, y1, x2, y2 := x(from)+boxWidth, spots[from].y+spots[from].height/2, x(to), spots[to].y+spots[to].height/2
			if step == 0 {
				fmt.Fprintf(&path, "M%d %d", x1, y1)
			} else {
				fmt.Fprintf(&path, "H%d", x1) // along the place where it passes
			}
			if to == index[edge.To] {
				x2 -= 4 // for the head of the arrow
			}
			bend := max((x2-x1)/2, boxGapX/2)
			fmt.Fprintf(&path, "C%d %d %d %d %d %d", x1+bend, y1, x2-bend, y2, x2, y2)
		}
		d.Lines = append(d.Lines, line{edge, path.String()})
	}
	return d
}

// assignColumns gives each spot the first column behind all that lead to it; what nothing leads to stands right before what it leads to.
func assignColumns(spots []spot) [][]int {
	const fresh, open, done = 0, 1, 2
	state := make([]int, len(spots))
	last := 0
	var visit func(i int)
	visit = func(i int) {
		state[i] = open
		for _, from := range spots[i].before {
			if state[from] == fresh {
				visit(from)
			}
			if state[from] == done { // an open one closes a circle
				spots[i].column = max(spots[i].column, spots[from].column+1)
			}
		}
		state[i] = done
		if !spots[i].hears {
			last = max(last, spots[i].column)
		}
	}
	for i := range spots {
		if state[i] == fresh {
			visit(i)
		}
	}
	for i := range spots {
		switch s := &spots[i]; {
		case s.hears:
			s.column = last + 1
		case len(s.before) == 0:
			nearest := 0
			for _, to := range s.after {
				if !spots[to].hears && (nearest == 0 || spots[to].column < nearest) {
					nearest = spots[to].column
				}
			}
			s.column = max(nearest-1, 0)
		}
	}
	columns := make([][]int, last+2)
	for i, s := range spots {
		columns[s.column] = append(columns[s.column], i)
	}
	if len(columns[last+1]) == 0 {
		columns = columns[:last+1]
	}
	return columns
}

// orderColumns moves each spot to about the middle of those that it is connected with, from left to right and back, a few times.
func orderColumns(spots []spot, columns [][]int) {
	order := make([]float64, len(spots)) // from the middle of the column, where columns are centred
	number := func(column []int) {
		for row, i := range column {
			order[i] = float64(row) - float64(len(column)-1)/2
		}
	}
	for _, column := range columns {
		number(column)
	}
	settle := func(column []int, near func(i int) []int) {
		middle := make(map[int]float64, len(column))
		for _, i := range column {
			middle[i] = order[i]
			if others := near(i); len(others) > 0 {
				sum := 0.0
				for _, other := range others {
					sum += order[other]
				}
				middle[i] = sum / float64(len(others))
			}
		}
		slices.SortStableFunc(column, func(a, b int) int { return cmp.Compare(middle[a], middle[b]) })
		number(column)
	}
	for range 8 {
		for _, column := range columns {
			settle(column, func(i int) []int { return spots[i].before })
		}
		for _, column := range slices.Backward(columns) {
			settle(column, func(i int) []int { return spots[i].after })
		}
	}
}
