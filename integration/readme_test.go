package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A block of a page is run when a comment stands on the line before its fence:
//
//	<!-- run -->                       the block has to succeed
//	<!-- run until view.refreshed -->  each line of the block by itself, which need not end: it is stopped
//	                                   once its output holds the text
//
// after which comes a fence of sh, or of sql for psql. The blocks of a page run in order in one bash, so that what one exports the
// next one has, in a folder that holds bin/tinydev, with a server running and with TINYDEV_DATA_DIR set.
var runnable = regexp.MustCompile("(?m)^<!-- run(?: until (.+?))? -->\n```(sh|sql)\n((?s:.*?))^```$")

// block is one that is to be run.
type block struct {
	line     int // of the fence in the page
	until    string
	language string
	text     string
}

func blocksOf(page string) []block {
	var blocks []block
	for _, at := range runnable.FindAllStringSubmatchIndex(page, -1) {
		b := block{line: strings.Count(page[:at[0]], "\n") + 2, language: page[at[4]:at[5]], text: page[at[6]:at[7]]}
		if at[2] >= 0 {
			b.until = page[at[2]:at[3]]
		}
		blocks = append(blocks, b)
	}
	return blocks
}

// script is a bash script that runs blocks and says on fd 3 which one it is at.
func script(blocks []block) string {
	var s strings.Builder
	s.WriteString("set -euo pipefail\n")
	for _, b := range blocks {
		fmt.Fprintf(&s, "echo %d >&3\n", b.line)
		switch {
		case b.until != "":
			for _, line := range strings.Split(strings.TrimSpace(b.text), "\n") {
				fmt.Fprintf(&s, untilFormat, line, quote(b.until), quote(line), quote(b.until), int(patience.Seconds())*10)
			}
		case b.language == "sql":
			fmt.Fprintf(&s, "psql -X -v ON_ERROR_STOP=1 \"$DATABASE_URL\" <<'END OF BLOCK'\n%sEND OF BLOCK\n", b.text)
		default:
			s.WriteString(b.text)
		}
	}
	return s.String()
}

// untilFormat runs a command in the background until its output holds a text.
const untilFormat = `out=$(mktemp)
set -m # a process group of its own, to be ended as one
{ %s
} >"$out" 2>&1 & command=$!
set +m
for ((i = 0; ; i++)); do
    if grep -qF -- %s "$out"; then break; fi
    if ! kill -0 $command 2>/dev/null; then cat "$out"; echo "the command ended:" %s; exit 1; fi
    if ((i > %[5]d)); then cat "$out"; echo "did not print:" %[4]s; exit 1; fi
    sleep 0.1
done
kill -- -$command 2>/dev/null || true
wait $command || true
cat "$out"
rm -f "$out"
`

func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// runPage runs the blocks of a page against a new server.
func runPage(t *testing.T, page string) string {
	t.Helper()
	blocks := blocksOf(page)
	s := newServer(t, kinds(t)[0] == "container").start()
	folder := filepath.Dir(s.dataDir)
	if err := os.Mkdir(filepath.Join(folder, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(binary, filepath.Join(folder, "bin", "tinydev")); err != nil {
		t.Fatal(err)
	}
	at, err := os.Create(filepath.Join(folder, "at"))
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	bash := exec.Command("bash", "-c", script(blocks))
	bash.Dir = folder
	bash.Env = environment("TINYDEV_DATA_DIR="+s.dataDir, "PATH="+filepath.Dir(psqlPath(t))+":"+os.Getenv("PATH"))
	bash.ExtraFiles = []*os.File{at}
	var out output
	bash.Stdout, bash.Stderr = &out, &out
	bash.WaitDelay = 5 * time.Second
	if err := bash.Run(); err != nil {
		reached, _ := os.ReadFile(at.Name()) // without it the message says less
		lines := strings.Fields(string(reached))
		t.Fatalf("the block at line %s does not work (%v):\n%s", lines[len(lines)-1], err, out.String())
	}
	return out.String()
}

// TestReadme runs the marked blocks of the README and of the pages in docs.
func TestReadme(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(pages, "../README.md") {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(blocksOf(string(text))) != strings.Count(string(text), "<!-- run") {
			t.Errorf("%s has marks that no block of sh or sql follows", path)
		}
		if len(blocksOf(string(text))) == 0 {
			if strings.HasSuffix(path, "README.md") {
				t.Error("the README has no block that is run")
			}
			continue
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			runPage(t, string(text))
		})
	}
}

// TestReadmeRunner runs a page that uses all that there is for pages.
func TestReadmeRunner(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/page.md")
	if err != nil {
		t.Fatal(err)
	}
	if n := len(blocksOf(string(text))); n != 4 {
		t.Fatalf("the page has %d blocks to run, want 4", n)
	}
	out := runPage(t, string(text))
	for _, want := range []string{"exported by the first block", "from psql", `"type":"tinydev.view.created"`, "view.created"} {
		if !strings.Contains(strings.ReplaceAll(out, `": "`, `":"`), want) {
			t.Errorf("the page did not print %q but\n%s", want, out)
		}
	}
}
