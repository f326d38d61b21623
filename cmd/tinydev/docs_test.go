package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tinydevcrm/tinydevcrm/pkg/config"
	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestConfigurationGolden holds the tables of docs/configuration.md to the variables and flags that there are.
func TestConfigurationGolden(t *testing.T) {
	const page = "../../docs/configuration.md"
	old, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	flags := flagsOf(newRoot())
	settings, others := "| variable | flag | default | meaning |\n|---|---|---|---|\n", "| variable | for | meaning |\n|---|---|---|\n"
	for _, v := range config.Describe() {
		if v.Help == "" {
			t.Errorf("%s has no help", v.Name)
		}
		purpose, meaning, found := strings.Cut(v.Help, ": ")
		if found && slices.Contains([]string{"build", "image", "compose", "tests", "commands"}, purpose) {
			others += fmt.Sprintf("| `%s` | %s | %s |\n", v.Name, purpose, cell(meaning))
			continue
		}
		settings += fmt.Sprintf("| `%s` | %s | %s | %s |\n", v.Name, code(flags[v.Name]), code(v.Value), cell(v.Help))
	}
	text := between(t, string(old), "<!-- variables: written by make golden -->\n", settings)
	text = between(t, text, "<!-- variables for building and testing: written by make golden -->\n", others)
	if *update {
		if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if text != string(old) {
		t.Errorf("the variables or flags changed; make golden rewrites %s:\n%s\n%s", page, settings, others)
	}
}

// TestEventTypesGolden holds the tables of docs/events.md to the catalogue of event types.
func TestEventTypesGolden(t *testing.T) {
	const page = "../../docs/events.md"
	old, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	types, fields := "| type | when | seen by |\n|---|---|---|\n", "| type | field | is | meaning |\n|---|---|---|---|\n"
	for _, e := range control.EventTypes() {
		name := strings.TrimPrefix(e.Type, "tinydev.")
		types += fmt.Sprintf("| `%s` | %s | %s |\n", name, cell(e.When), e.SeenBy)
		var data dataSchema
		if err := json.Unmarshal(e.Data, &data); err != nil {
			t.Fatal(err)
		}
		for _, line := range data.lines("", e.Private, e.Rows) {
			fields += "| `" + name + "` " + line + "\n"
		}
	}
	text := between(t, string(old), "<!-- event types: written by make golden -->\n", types)
	text = between(t, text, "<!-- event data: written by make golden -->\n", fields)
	if *update {
		if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if text != string(old) {
		t.Errorf("event_types.json changed; make golden rewrites %s:\n%s\n%s", page, types, fields)
	}
}

// dataSchema is what is used of JSON Schema to describe the data of events.
type dataSchema struct {
	Type        any // a word or several
	Format      string
	Description string
	Enum        []any
	Const       any
	Items       *dataSchema
	Properties  map[string]*dataSchema
}

// lines gives the rows of a table, without their first cell, one for each field, those of objects and of an array's objects too.
func (s *dataSchema) lines(path string, private, rows []string) []string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		field, note := s.Properties[name], ""
		if slices.Contains(private, name) {
			note = "*private*: "
		} else if slices.Contains(rows, name) {
			note = "*rows*: "
		}
		lines = append(lines, fmt.Sprintf("| `%s` | %s | %s |", path+name, field.words(), note+cell(field.Description)))
		lines = append(lines, field.lines(path+name+".", nil, nil)...)
		if field.Items != nil {
			lines = append(lines, field.Items.lines(path+name+"[].", nil, nil)...)
		}
	}
	return lines
}

// words says what a field is.
func (s *dataSchema) words() string {
	list := s.Enum
	if s.Const != nil {
		list = []any{s.Const}
	}
	var words []string
	for _, one := range list {
		words = append(words, fmt.Sprintf("`%v`", one))
	}
	if len(words) > 0 {
		return strings.Join(words, ", ")
	}
	types, several := s.Type.([]any)
	if !several {
		types = []any{s.Type}
	}
	for _, one := range types {
		word := fmt.Sprint(one)
		if word == "string" && s.Format == "date-time" {
			word = "time"
		}
		words = append(words, word)
	}
	return strings.Join(words, " or ")
}

// TestEventExamples holds the code of docs/events.md to the programs that are tested.
func TestEventExamples(t *testing.T) {
	page, err := os.ReadFile("../../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"go": "verify/verify.go", "python": "verify.py", "js": "verify.mjs", "sh": "verify.sh"}
	for _, m := range regexp.MustCompile("(?ms)^```([a-z]+)\n(.*?)^```$").FindAllStringSubmatch(string(page), -1) {
		program, err := os.ReadFile(filepath.Join("../../docs/examples", files[m[1]]))
		if err != nil {
			t.Fatalf("code in %s: %v", m[1], err)
		}
		if !strings.Contains(string(program), m[2]) {
			t.Errorf("docs/examples/%s does not have this, which docs/events.md has of it:\n%s", files[m[1]], m[2])
		}
		delete(files, m[1])
	}
	for _, file := range files {
		t.Errorf("docs/events.md shows nothing of docs/examples/%s", file)
	}
}

// flagsOf gives the flag that stands in for each variable. "tinydev config" takes all of them, so it does not count.
func flagsOf(command *cobra.Command) map[string]string {
	flags := map[string]string{}
	command.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if variable, ok := f.Annotations[variableAnnotation]; ok && command.Name() != "config" {
			flags[variable[0]] = "--" + f.Name
		}
	})
	for _, sub := range command.Commands() {
		for variable, name := range flagsOf(sub) {
			flags[variable] = name
		}
	}
	return flags
}

func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// between puts a new text between a mark and the end mark that follows it.
func between(t *testing.T, page, mark, text string) string {
	t.Helper()
	before, rest, found := strings.Cut(page, mark)
	_, after, ended := strings.Cut(rest, "<!-- end -->")
	if !found || !ended {
		t.Fatalf("the page has no %q with its end", strings.TrimSpace(mark))
	}
	return before + mark + text + "<!-- end -->" + after
}

// TestLinks follows the links from page to page: file and heading, or anchor, have to be there.
func TestLinks(t *testing.T) {
	const root = "../.."
	var pages []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := entry.Name(); entry.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "source" || name == "cache" || name == "testdata") {
			return fs.SkipDir
		}
		if filepath.Ext(path) == ".md" {
			pages = append(pages, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			path, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(path, ":") {
				continue // elsewhere
			}
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
			} else if anchor != "" && !slices.Contains(anchors(t, target), anchor) {
				t.Errorf("%s links to %s, and %s has no such heading", page, m[1], target)
			}
		}
	}
	if len(pages) < 4 {
		t.Errorf("only %d pages were found", len(pages))
	}
}

var (
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
	anchor  = regexp.MustCompile(`<a id="([^"]+)">`)
	noSlug  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors lists what can be linked to in a page: headings, as GitHub names them, and anchors.
func anchors(t *testing.T, page string) []string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range heading.FindAllStringSubmatch(string(text), -1) {
		names = append(names, strings.ReplaceAll(noSlug.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	for _, m := range anchor.FindAllStringSubmatch(string(text), -1) {
		names = append(names, m[1])
	}
	return names
}
