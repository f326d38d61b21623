package main

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tinydevcrm/tinydevcrm/pkg/config"
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
		if found && slices.Contains([]string{"build", "image", "compose", "tests"}, purpose) {
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
