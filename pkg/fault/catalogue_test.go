package fault_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

const catalogue = "../../docs/errors.md"

// Each code that the sources raise has one row in the catalogue, with its status; the catalogue has no other.
func TestCatalogue(t *testing.T) {
	raised := codes{}
	raised.addGo(t, "../../pkg", "../../cmd")
	raised.addSQL(t, "../../sql/functions")
	listed := readCatalogue(t)
	for code, statuses := range raised {
		want := make([]string, 0, len(statuses))
		for status := range statuses {
			want = append(want, words(status))
		}
		slices.Sort(want)
		if got, ok := listed[code]; !ok {
			t.Errorf("%s misses the code %s (%s)", catalogue, code, strings.Join(want, ", "))
		} else if got != strings.Join(want, ", ") {
			t.Errorf("%s gives %s the status %s; it is %s", catalogue, code, got, strings.Join(want, ", "))
		}
	}
	for code := range listed {
		if raised[code] == nil {
			t.Errorf("%s lists %s, which nothing raises", catalogue, code)
		}
	}
	if len(raised) < 100 {
		t.Errorf("only %d codes were found in the sources", len(raised))
	}
}

// row is a code of the catalogue: its anchor, its name, its status, what it means, what to do.
var row = regexp.MustCompile("^\\| <a id=\"([^\"]*)\"></a>`([a-zA-Z0-9_]+)` \\| ([0-9, ]+|any) \\| ([^|]+) \\| ([^|]+) \\|$")

// readCatalogue gives the status of each code.
func readCatalogue(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(catalogue)
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{}
	for number, line := range strings.Split(string(text), "\n") {
		if !strings.Contains(line, "<a id=") {
			continue
		}
		m := row.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("%s:%d is no row of code, status, meaning and remedy: %s", catalogue, number+1, line)
			continue
		}
		if m[1] != m[2] {
			t.Errorf("%s:%d: the anchor of %s is %s", catalogue, number+1, m[2], m[1])
		}
		if listed[m[2]] != "" {
			t.Errorf("%s:%d lists %s again", catalogue, number+1, m[2])
		}
		listed[m[2]] = m[3]
	}
	return listed
}

// words writes a status, 0 for one that somebody else chose.
func words(status int) string {
	if status == 0 {
		return "any"
	}
	return strconv.Itoa(status)
}

// codes maps each code to the statuses that it is raised with.
type codes map[string]map[int]bool

func (c codes) add(code string, status int) {
	if c[code] == nil {
		c[code] = map[int]bool{}
	}
	c[code][status] = true
}

// The codes that are put together at run time, by where that is.
var composed = map[string][]string{
	"../../pkg/client/client.go":            {"http_NNN"},
	"../../sql/functions/find_relation.sql": {"relation_not_found", "table_not_found", "view_not_found"},
}

var sqlFault = regexp.MustCompile(`tinydev_lib\.fault\(([0-9]{3}),\s*(?:'([a-z0-9_]+)'|(\S+))`)

func (c codes) addSQL(t *testing.T, folder string) {
	t.Helper()
	for _, path := range files(t, folder, ".sql") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		found := sqlFault.FindAllStringSubmatch(string(text), -1)
		if calls := strings.Count(string(text), "perform tinydev_lib.fault("); calls != len(found) {
			t.Errorf("%s calls tinydev_lib.fault %d times, and %d calls were understood", path, calls, len(found))
		}
		for _, m := range found {
			status, _ := strconv.Atoi(m[1]) // digits by the expression
			if fault.KindOfStatus(status).Status() != status {
				t.Errorf("%s raises TD%d, which has no kind", path, status)
			}
			list := []string{m[2]}
			if m[2] == "" {
				if list = composed[path]; list == nil {
					t.Errorf("%s raises a code that is not written out: %s", path, m[3])
				}
			}
			for _, code := range list {
				c.add(code, status)
			}
		}
	}
}

func files(t *testing.T, folder, extension string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() && filepath.Ext(path) == extension && !strings.HasSuffix(path, "_test.go") {
			list = append(list, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// addGo reads each package of the folders. A code is written out beside its kind, or comes through a parameter or a result
// of a function of the package, which is followed.
func (c codes) addGo(t *testing.T, folders ...string) {
	t.Helper()
	packages := map[string]*source{}
	for _, folder := range folders {
		for _, path := range files(t, folder, ".go") {
			dir := filepath.Dir(path)
			if dir == "../../pkg/fault" || dir == "../../pkg/pgtest" {
				continue
			}
			if packages[dir] == nil {
				packages[dir] = &source{t: t, codes: c, set: token.NewFileSet(), functions: map[string]*ast.FuncDecl{}, statuses: map[string]int{}}
			}
			packages[dir].parse(path)
		}
	}
	statuses := packages["../../pkg/api"].statuses
	if len(statuses) == 0 {
		t.Error("pkg/api has no table statusByCode")
	}
	for _, p := range packages {
		p.collect()
	}
	for code, status := range statuses {
		if c[code] == nil {
			t.Errorf("statusByCode has %s, which nothing raises", code)
		}
		c[code] = map[int]bool{status: true}
	}
}

// source is one package.
type source struct {
	t         *testing.T
	codes     codes
	set       *token.FileSet
	files     []*ast.File
	functions map[string]*ast.FuncDecl
	statuses  map[string]int // those of the table statusByCode
}

func (s *source) parse(path string) {
	file, err := parser.ParseFile(s.set, path, nil, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	s.files = append(s.files, file)
	for _, decl := range file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok {
			s.functions[f.Name.Name] = f
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if ok && spec.Names[0].Name == "statusByCode" {
			for _, element := range spec.Values[0].(*ast.CompositeLit).Elts {
				pair := element.(*ast.KeyValueExpr)
				s.statuses[text(pair.Key)] = s.httpStatus(pair.Value)
			}
		}
		return true
	})
}

// httpStatus gives the number of a constant such as http.StatusConflict.
func (s *source) httpStatus(e ast.Expr) int {
	name := strings.TrimPrefix(selected(e, "http"), "Status")
	for status := 100; status < 600; status++ {
		if words := strings.NewReplacer(" ", "", "-", "").Replace(http.StatusText(status)); words != "" && words == name {
			return status
		}
	}
	s.t.Errorf("%s: no status", s.set.Position(e.Pos()))
	return 0
}

func (s *source) collect() {
	for _, file := range s.files {
		for _, decl := range file.Decls {
			f, _ := decl.(*ast.FuncDecl)
			ast.Inspect(decl, func(n ast.Node) bool {
				s.look(n, f)
				return true
			})
		}
	}
}

// look takes the codes out of one node, which lies in the function f, or nil.
func (s *source) look(n ast.Node, f *ast.FuncDecl) {
	switch n := n.(type) {
	case *ast.CallExpr: // fault.New(fault.Invalid, "code", …)
		if selected(n.Fun, "fault") == "New" {
			s.code(n.Args[1], s.kind(n.Args[0]), f)
		}
	case *ast.CompositeLit: // fault.Error{…, Code: "code"}, {fault.Invalid, "code"}
		if selected(n.Type, "fault") == "Error" {
			s.literal(n)
		} else if len(n.Elts) == 2 && isKind(n.Elts[0]) {
			s.code(n.Elts[1], s.kind(n.Elts[0]), f)
		}
	case *ast.ReturnStmt: // return fault.Internal, "code"
		if len(n.Results) == 2 && isKind(n.Results[0]) {
			s.code(n.Results[1], s.kind(n.Results[0]), f)
		}
	case *ast.AssignStmt: // f.Kind, f.Code = fault.Invalid, "code"; f.Code = "code" keeps the kind of the one before
		for i, left := range n.Lhs {
			if to, ok := left.(*ast.SelectorExpr); !ok || to.Sel.Name != "Code" || len(n.Rhs) != len(n.Lhs) || text(n.Rhs[i]) == "" {
				continue
			}
			switch {
			case i == 0:
				s.codes.add(text(n.Rhs[i]), s.kindBefore(f, n.Pos()))
			case isKind(n.Rhs[i-1]):
				s.codes.add(text(n.Rhs[i]), s.kind(n.Rhs[i-1]))
			case text(n.Rhs[i]) != "internal": // which stands for a code that PostgreSQL brings
				s.t.Errorf("%s: the kind cannot be told", s.set.Position(n.Pos()))
			}
		}
	}
}

// literal reads a fault.Error that is written out. One without a code gets it by an assignment.
func (s *source) literal(n *ast.CompositeLit) {
	for _, element := range n.Elts {
		if pair := element.(*ast.KeyValueExpr); pair.Key.(*ast.Ident).Name == "Code" {
			path := s.set.Position(n.Pos()).Filename
			if composed[path] == nil {
				s.t.Errorf("%s: use fault.New", s.set.Position(n.Pos()))
			}
			for _, code := range composed[path] {
				s.codes.add(code, 0)
			}
		}
	}
}

// code adds what e, an argument in f, may be.
func (s *source) code(e ast.Expr, status int, f *ast.FuncDecl) {
	if code := text(e); code != "" {
		s.codes.add(code, status)
		return
	}
	name, ok := e.(*ast.Ident)
	if !ok || f == nil {
		s.t.Errorf("%s: the code cannot be told", s.set.Position(e.Pos()))
		return
	}
	found := false
	if at := parameter(f, name.Name); at >= 0 {
		for _, file := range s.files {
			ast.Inspect(file, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok && called(call) == f.Name.Name && len(call.Args) > at && text(call.Args[at]) != "" {
					s.codes.add(text(call.Args[at]), status)
					found = true
				}
				return true
			})
		}
	}
	ast.Inspect(f, func(n ast.Node) bool { // code, … := function(…)
		assign, ok := n.(*ast.AssignStmt)
		if !ok || len(assign.Rhs) != 1 {
			return true
		}
		call, ok := assign.Rhs[0].(*ast.CallExpr)
		at := slices.IndexFunc(assign.Lhs, func(left ast.Expr) bool { id, ok := left.(*ast.Ident); return ok && id.Name == name.Name })
		if !ok || at < 0 || s.functions[called(call)] == nil {
			return true
		}
		ast.Inspect(s.functions[called(call)], func(n ast.Node) bool {
			if back, ok := n.(*ast.ReturnStmt); ok && text(back.Results[at]) != "" {
				s.codes.add(text(back.Results[at]), status)
				found = true
			}
			return true
		})
		return true
	})
	if !found {
		s.t.Errorf("%s: the code %s cannot be followed", s.set.Position(e.Pos()), name.Name)
	}
}

var kinds = map[string]fault.Kind{"Invalid": fault.Invalid, "NotFound": fault.NotFound, "Conflict": fault.Conflict, "Forbidden": fault.Forbidden,
	"Unauthentic": fault.Unauthentic, "TooLarge": fault.TooLarge, "Storage": fault.Storage, "Unavailable": fault.Unavailable, "Internal": fault.Internal}

func isKind(e ast.Expr) bool {
	_, ok := kinds[selected(e, "fault")]
	return ok
}

func (s *source) kind(e ast.Expr) int {
	kind, ok := kinds[selected(e, "fault")]
	if !ok {
		s.t.Errorf("%s: the kind cannot be told", s.set.Position(e.Pos()))
	}
	return kind.Status()
}

// kindBefore gives the status of the last fault.New of f before position at.
func (s *source) kindBefore(f *ast.FuncDecl, at token.Pos) int {
	status := 0
	ast.Inspect(f, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && call.Pos() < at && selected(call.Fun, "fault") == "New" {
			status = s.kind(call.Args[0])
		}
		return true
	})
	if status == 0 {
		s.t.Errorf("%s: the kind cannot be told", s.set.Position(at))
	}
	return status
}

// selected gives Name of the expression pkg.Name, "" for any other.
func selected(e ast.Expr, pkg string) string {
	selector, ok := e.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if id, ok := selector.X.(*ast.Ident); !ok || id.Name != pkg {
		return ""
	}
	return selector.Sel.Name
}

// called gives the name of the function or method that is called.
func called(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

// parameter gives the place of a parameter, -1 when f has none of the name.
func parameter(f *ast.FuncDecl, name string) int {
	at := 0
	for _, field := range f.Type.Params.List {
		for _, id := range field.Names {
			if id.Name == name {
				return at
			}
			at++
		}
	}
	return -1
}

// text gives a string literal, "" for anything else.
func text(e ast.Expr) string {
	literal, ok := e.(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return ""
	}
	s, err := strconv.Unquote(literal.Value)
	if err != nil {
		return fmt.Sprintf("unreadable %s", literal.Value)
	}
	return s
}
