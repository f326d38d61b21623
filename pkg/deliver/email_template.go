package deliver

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
	"time"
	"unicode/utf8"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// emailOptions are a subscription's options.
type emailOptions struct {
	Subject string `json:"subject"`
	Body    string `json:"body"`
	Chart   string `json:"chart"`
}

const (
	templateLength = 20_000    // characters
	expandedBytes  = 256 << 10 // a text that a template makes
	expandedTime   = time.Second
)

// CheckEmailOptions checks options of a subscription to e-mail before they are stored: {"subject":…,"body":…,"chart":"bar"}, all of which
// may be missing. Subject and body are templates of text/template with the fields Type, Subject, Workspace, Actor, Time, Position, Data,
// What, Error, Link, Attached of what happened last, Events with these of all that the message tells of, Count, Subscription and Owner,
// and the functions and, or, not, eq, ne, lt, le, gt, ge, len, index, lower, upper, default and truncate. They are tried on samples, and
// have to work for events whose data is empty. Errors: invalid template_invalid, subscription_invalid, with the field.
func CheckEmailOptions(options json.RawMessage) error {
	var o emailOptions
	if len(options) > 0 {
		decoder := json.NewDecoder(bytes.NewReader(options))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&o); err != nil {
			return fault.New(fault.Invalid, "subscription_invalid", "the options of an e-mail cannot be read: %s", strings.TrimPrefix(err.Error(), "json: ")).
				WithHint("e-mail has subject, body and chart, which are texts").With("field", "options")
		}
	}
	if o.Chart != "" && o.Chart != "bar" {
		return fault.New(fault.Invalid, "subscription_invalid", "there is no chart %q", o.Chart).WithHint("bar").With("field", "options")
	}
	for _, sample := range samples {
		all, _, err := readEvents("https://crm.example.org", sample)
		if err != nil {
			return err
		}
		d := newDigest(Subscription{Owner: "ann", Name: "bdays"}, all)
		for _, t := range []struct{ name, text string }{{"subject", o.Subject}, {"body", o.Body}} {
			if _, err := expand(t.name, t.text, d); err != nil {
				return err
			}
		}
	}
	return nil
}

// samples are events that a template has to work for.
var samples = [][]Event{
	{{Position: 1, Type: "view.refreshed", Subject: "ann.bdays", JSON: []byte(`{"time":"2027-01-01T09:00:00Z","data":{"rows":3,"duration_ms":12,"cause":"schedule","inserted":1,"deleted":0,"changed":true,
		"attached":{"relation":"ann.bdays","columns":[{"name":"name","type":"text"},{"name":"age","type":"integer"}],"rows":[["Ann",30],["Bob",null]],"truncated":false}}}`)}},
	{{Position: 2, Type: "view.failed", Subject: "ann.bdays", JSON: []byte(`{"time":"2027-01-01T09:00:00Z","data":{"sqlstate":"22012","code":null,"message":"division by zero"}}`)}},
	{{Position: 3, Type: "subscription.tested", Subject: "ann.mail", JSON: []byte(`{"time":"2027-01-01T09:00:00Z","data":{}}`)},
		{Position: 4, Type: "prices.checked", Subject: "ann.prices", JSON: []byte(`{"time":"2027-01-01T09:00:00Z"}`)}},
}

var (
	errTooLong = errors.New("the text is over 256 KiB")
	errTooSlow = errors.New("it takes longer than a second")
)

// expand fills in a template of a user's. It can neither run for long nor take much memory: there is nothing to join texts with, each
// turn of a loop looks at the time, and what is written is limited. Errors: invalid template_invalid.
func expand(name, text string, data any) (string, error) {
	bad := func(words string) error {
		return fault.New(fault.Invalid, "template_invalid", "the template of the %s cannot be used: %s", name, words).
			WithHint("data that an event may lack belongs into with or if: {{with .Data.rows}}{{.}} rows{{end}}").With("field", "options").With("option", name)
	}
	if utf8.RuneCountInString(text) > templateLength {
		return "", bad(fmt.Sprintf("it is longer than %d characters", templateLength))
	}
	t, err := template.New(name).Option("missingkey=zero").Funcs(functions(time.Now().Add(expandedTime))).Parse(text)
	if err != nil {
		return "", bad(strings.TrimPrefix(err.Error(), "template: "))
	}
	if t.Tree == nil || len(t.Templates()) > 1 {
		return "", bad("define is not allowed")
	}
	checked := templateGuard{tree: t.Tree}
	checked.list(t.Root)
	if checked.err != nil {
		return "", bad(checked.err.Error())
	}
	var out limited
	err = t.Execute(&out, data)
	switch {
	case errors.Is(err, errTooLong):
		return "", bad(errTooLong.Error())
	case errors.Is(err, errTooSlow):
		return "", bad(errTooSlow.Error())
	case err != nil:
		return "", bad(strings.TrimPrefix(err.Error(), "template: "))
	}
	return out.String(), nil
}

// limited keeps what is written, up to expandedBytes.
type limited struct{ bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > expandedBytes {
		return 0, errTooLong
	}
	return l.Buffer.Write(p)
}

// permitted are the functions that a template may call. text/template's printf and its like are not among them: they join texts, and twice as
// much at each step soon takes all memory.
var permitted = []string{"and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "len", "index", "lower", "upper", "default", "truncate"}

// functions gives those that text/template has not, and tick and show, which templateGuard puts into a template.
func functions(deadline time.Time) template.FuncMap {
	tick := func() (string, error) {
		if time.Now().After(deadline) {
			return "", errTooSlow
		}
		return "", nil
	}
	text := func(change func(string) string) func(any) (string, error) {
		return func(v any) (string, error) {
			if _, err := tick(); err != nil {
				return "", err
			}
			return change(show(v)), nil
		}
	}
	return template.FuncMap{
		"tick":  tick,
		"show":  text(func(s string) string { return s }),
		"lower": text(strings.ToLower),
		"upper": text(strings.ToUpper),
		"default": func(other, v any) any {
			if truth, ok := template.IsTrue(v); ok && truth {
				return v
			}
			return other
		},
		"truncate": func(length int, v any) (string, error) {
			return text(func(s string) string { return clip(s, max(length, 1)) })(v)
		},
	}
}

// templateGuard looks at what a template does, refuses what is not permitted, has each turn of a loop call tick, and has each value that is
// written go through show.
type templateGuard struct {
	tree *parse.Tree
	err  error
}

func (g *templateGuard) list(l *parse.ListNode) {
	if l == nil {
		return
	}
	for _, node := range l.Nodes {
		switch n := node.(type) {
		case *parse.ActionNode:
			g.pipe(n.Pipe)
			if len(n.Pipe.Decl) == 0 {
				n.Pipe.Cmds = append(n.Pipe.Cmds, callNode("show", n.Pos))
			}
		case *parse.IfNode:
			g.branch(&n.BranchNode)
		case *parse.WithNode:
			g.branch(&n.BranchNode)
		case *parse.RangeNode:
			g.branch(&n.BranchNode)
			tick := &parse.ActionNode{NodeType: parse.NodeAction, Pos: n.Pos, Line: n.Line,
				Pipe: &parse.PipeNode{NodeType: parse.NodePipe, Pos: n.Pos, Line: n.Line, Cmds: []*parse.CommandNode{callNode("tick", n.Pos)}}}
			n.List.Nodes = slices.Insert(n.List.Nodes, 0, parse.Node(tick))
		case *parse.TextNode, *parse.CommentNode, *parse.BreakNode, *parse.ContinueNode:
		default:
			g.refuse(node, "%s is not allowed", node)
		}
	}
}

func (g *templateGuard) branch(b *parse.BranchNode) {
	g.pipe(b.Pipe)
	g.list(b.List)
	g.list(b.ElseList)
}

func (g *templateGuard) pipe(p *parse.PipeNode) {
	for _, command := range p.Cmds {
		for _, argument := range command.Args {
			g.argument(argument)
		}
	}
}

func (g *templateGuard) argument(node parse.Node) {
	switch n := node.(type) {
	case *parse.PipeNode:
		g.pipe(n)
	case *parse.ChainNode:
		g.argument(n.Node)
	case *parse.IdentifierNode:
		if !slices.Contains(permitted, n.Ident) {
			g.refuse(node, "there is no function %s; there are %s", n.Ident, strings.Join(permitted, ", "))
		}
	}
}

func (g *templateGuard) refuse(node parse.Node, format string, args ...any) {
	if g.err == nil {
		place, _ := g.tree.ErrorContext(node)
		g.err = fmt.Errorf("%s: %s", place, fmt.Sprintf(format, args...))
	}
}

func callNode(function string, pos parse.Pos) *parse.CommandNode {
	return &parse.CommandNode{NodeType: parse.NodeCommand, Pos: pos, Args: []parse.Node{parse.NewIdentifier(function).SetPos(pos)}}
}
