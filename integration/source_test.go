package integration

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/tinydevcrm/tinydevcrm/"

// ranks of the packages: each imports only from ranks below its own. cmd is above them all, and pgtest is for tests only.
var ranks = map[string]int{
	"sql":       0, // the embedded SQL
	"pkg/fault": 0,

	"pkg/config":  1,
	"pkg/observe": 1,

	"pkg/postgres": 2,

	"pkg/cluster": 3,
	"pkg/schema":  3,

	"pkg/control": 4,
	"pkg/ingest":  4,
	"pkg/relay":   4,

	"pkg/auth":    5,
	"pkg/client":  5,
	"pkg/deliver": 5,

	"pkg/api": 6,
	"pkg/web": 6,

	"pkg/server": 7,

	"cmd/tinydev":                     9,
	"cmd/tinydev/internal/demo":       8,
	"cmd/tinydev/internal/subscriber": 8,
	"cmd/tinydev/internal/console":    7,
}

// unranked packages are imported by tests and measurements only.
var unranked = []string{"pkg/pgtest", "docs/examples/verify", "integration", "integration/bench", "integration/provider", "integration/smtpd"}

// TestRanks holds the packages to their order, and production code away from what is for tests.
func TestRanks(t *testing.T) {
	t.Parallel()
	list := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
	list.Dir = ".."
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		imports := strings.Fields(line)
		name := strings.TrimPrefix(imports[0], module)
		rank, ranked := ranks[name]
		if !ranked {
			if !contains(unranked, name) {
				t.Errorf("package %s has no rank", name)
			}
			continue
		}
		for _, path := range imports[1:] {
			imported, ours := strings.CutPrefix(path, module)
			if !ours {
				continue
			}
			if below, ok := ranks[imported]; !ok {
				t.Errorf("%s imports %s, which is for tests", name, imported)
			} else if below >= rank {
				t.Errorf("%s (rank %d) imports %s (rank %d)", name, rank, imported, below)
			}
		}
	}
}

func contains(list []string, word string) bool {
	for _, one := range list {
		if one == word {
			return true
		}
	}
	return false
}

// TestHelpGolden holds the help of every command to a file, rewritten by "make golden"; its diff is what users will notice. Each help has
// an example.
func TestHelpGolden(t *testing.T) {
	t.Parallel()
	s := &server{t: t, dataDir: tempDir(t)}
	var all bytes.Buffer
	var visit func(path ...string)
	visit = func(path ...string) {
		help := s.must(append(path, "--help")...)
		name := strings.TrimSpace("tinydev " + strings.Join(path, " "))
		all.WriteString("=== " + name + " --help\n" + help + "\n")
		if !strings.Contains(help, "Example:") && len(path) > 0 {
			t.Errorf("the help of %s has no example", name)
		}
		for _, command := range subcommands(help) {
			visit(append(append([]string{}, path...), command)...)
		}
	}
	visit()
	golden(t, "help.txt", all.Bytes())
}

// subcommands reads the names of commands out of a help.
func subcommands(help string) []string {
	var names []string
	listing := false
	for _, line := range strings.Split(help, "\n") {
		switch {
		case line == "The server:", line == "Data, views and events:", line == "Users and their rights:", line == "Tools:", line == "Available Commands:":
			listing = true
		case line == "":
			listing = false
		case listing:
			if name := strings.Fields(line)[0]; name != "help" {
				names = append(names, name)
			}
		}
	}
	return names
}

// golden compares text with testdata/name; with -update it rewrites the file.
func golden(t *testing.T, name string, text []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(want, text) {
		return
	}
	got := strings.Split(string(text), "\n")
	for i, line := range strings.Split(string(want), "\n") {
		if i >= len(got) || got[i] != line {
			t.Fatalf("%s differs in line %d (make golden rewrites it): it has\n%s\nand there is\n%s", path, i+1, line, strings.Join(got[min(i, len(got)):min(i+1, len(got))], ""))
		}
	}
	t.Fatalf("there is more than %s has (make golden rewrites it)", path)
}
