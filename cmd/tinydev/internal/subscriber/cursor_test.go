package subscriber_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tinydevcrm/tinydevcrm/cmd/tinydev/internal/subscriber"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// open takes a cursor until it is closed or the test ends.
func open(t *testing.T, path string) *subscriber.Cursor {
	t.Helper()
	c, err := subscriber.Open(path)
	check(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestCursor(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state", "tinydev", "mail.json")
	c := open(t, path)
	if at, ok := c.Position(); ok {
		t.Errorf("a new cursor is at %d", at)
	}
	check(t, c.Check(""))
	check(t, c.Save(0))
	if at, ok := c.Position(); !ok || at != 0 {
		t.Errorf("saved 0, and it is %d, %v", at, ok)
	}
	check(t, c.Check("urn:uuid:1"))
	check(t, c.Save(7))

	_, err := subscriber.Open(path)
	if f := fault.As(err); f == nil || f.Code != "cursor_in_use" || f.Fields["pid"] != strconv.Itoa(os.Getpid()) {
		t.Errorf("a second process has it too: %v", err)
	}
	check(t, c.Close())

	// A process that was killed while it saved.
	half := filepath.Join(filepath.Dir(path), ".mail.json-123456")
	check(t, os.WriteFile(half, []byte(`{"position":9`), 0o600))
	other := filepath.Join(filepath.Dir(path), ".mail.json.lock-notes")
	check(t, os.WriteFile(other, nil, 0o600))
	c = open(t, path)
	if at, _ := c.Position(); at != 7 {
		t.Errorf("it is at %d, not 7", at)
	}
	if _, err := os.Stat(half); err == nil {
		t.Error("half a cursor was left")
	}
	if _, err := os.Stat(other); err != nil {
		t.Error("another file was removed")
	}
	if err := c.Check("urn:uuid:2"); fault.CodeOf(err) != "cursor_foreign" {
		t.Errorf("another installation: %v", err)
	}
	check(t, c.Check("urn:uuid:1"))

	// What is noted is saved soon, and when it is closed.
	saved := func() string {
		text, err := os.ReadFile(path)
		check(t, err)
		return strings.TrimSpace(string(text))
	}
	for i := range 100 {
		check(t, c.Note(int64(8+i)))
	}
	pgtest.Eventually(t, 5*time.Second, "what was noted is saved", func() bool { return saved() == `{"position":107,"source":"urn:uuid:1"}` })
	check(t, c.Note(108))
	check(t, c.Close())
	if got := saved(); got != `{"position":108,"source":"urn:uuid:1"}` {
		t.Errorf("saved %s", got)
	}

	for _, text := range []string{"", "42", `{"position":-1}`, "no cursor"} {
		check(t, os.WriteFile(path, []byte(text), 0o600))
		if _, err := subscriber.Open(path); fault.CodeOf(err) != "cursor_invalid" {
			t.Errorf("%q is taken for a cursor: %v", text, err)
		}
	}
	if _, err := subscriber.Open(filepath.Join(path, "x.json")); fault.CodeOf(err) != "cursor_invalid" {
		t.Errorf("a file as a folder: %v", err)
	}
}
