package subscriber

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tinydevcrm/tinydevcrm/cmd/tinydev/internal/console"
	"github.com/tinydevcrm/tinydevcrm/pkg/client"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// text is written by programs and by us.
type text struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (t *text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(p)
}

func (t *text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

// shell makes a program of a script, with a short pause between its attempts.
func shell(t *testing.T, script string) (p *Program, out, said *text) {
	t.Helper()
	path, err := Find("sh")
	if err != nil {
		t.Fatal(err)
	}
	out, said = &text{}, &text{}
	return &Program{Name: "mail", Path: path, Args: []string{"-c", script, "sh", "a b", "$(id)"}, Stdout: out, Stderr: said, pause: time.Millisecond}, out, said
}

func event(t *testing.T) client.Event {
	t.Helper()
	e, err := client.ParseEvent([]byte(`{"id": "42", "type": "tinydev.view.refreshed", "subject": "ann.\"a b\"", "data": {"rows": 3}}`))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestProgram(t *testing.T) {
	t.Parallel()
	p, out, said := shell(t, `cat; echo "$TINYDEV_EVENT_ID|$TINYDEV_EVENT_TYPE|$TINYDEV_EVENT_SUBJECT|$TINYDEV_ATTEMPT|$TINYDEV_SUBSCRIPTION|$HOME|$1|$2"`)
	if err := p.Handle(context.Background(), event(t)); err != nil {
		t.Fatal(err)
	}
	want := `{"id": "42", "type": "tinydev.view.refreshed", "subject": "ann.\"a b\"", "data": {"rows": 3}}` + "\n" +
		`42|tinydev.view.refreshed|ann."a b"|1|mail|` + os.Getenv("HOME") + "|a b|$(id)\n"
	if out.String() != want || said.String() != "" {
		t.Errorf("%s%s", out, said)
	}
	// A program that takes nothing of an event that fills a pipe.
	large := event(t)
	large.Raw = []byte(`{"id":"42","data":"` + strings.Repeat("x", 1<<20) + `"}`)
	p, _, _ = shell(t, "exit 0")
	if err := p.Handle(context.Background(), large); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"no-such-program", filepath.Join(t.TempDir(), "x"), t.TempDir()} {
		if _, err := Find(name); fault.CodeOf(err) != "program_not_found" {
			t.Errorf("%s is a program: %v", name, err)
		}
	}
}

func TestFailingProgram(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		script  string
		retries int
		skip    bool
		runs    string
		exit    int
		says    []string
	}{
		{`echo $TINYDEV_ATTEMPT; [ $TINYDEV_ATTEMPT = 4 ]`, ForEver, false, "1\n2\n3\n4\n", 0, []string{`event 42, tinydev.view.refreshed ann."a b": `, "exited with code 1; trying again in 1ms (attempt 2)", "in 4ms (attempt 4)"}},
		{`echo $TINYDEV_ATTEMPT; exit 7`, 2, false, "1\n2\n3\n", 7, []string{"exited with code 7; stopping"}},
		{`echo $TINYDEV_ATTEMPT; exit 7`, 0, false, "1\n", 7, []string{"stopping, and beginning with it the next time"}},
		{`echo $TINYDEV_ATTEMPT; exit 7`, 1, true, "1\n2\n", 0, []string{"exited with code 7; passed over"}},
		{`echo $TINYDEV_ATTEMPT; kill -9 $$`, 0, false, "1\n", 137, []string{"was ended by a signal: killed; stopping"}},
	} {
		p, out, said := shell(t, c.script)
		p.Retries, p.SkipFailed = c.retries, c.skip
		err := p.Handle(context.Background(), event(t))
		if console.ExitCode(err) != c.exit || out.String() != c.runs {
			t.Errorf("%s: %v after %q", c.script, err, out)
		}
		for _, says := range c.says {
			if !strings.Contains(said.String(), says) {
				t.Errorf("%s: said %s", c.script, said)
			}
		}
	}
	p, _, said := shell(t, "")
	p.Path = filepath.Join(t.TempDir(), "gone")
	if err := p.Handle(context.Background(), event(t)); console.ExitCode(err) != 126 || !strings.Contains(said.String(), "did not run") {
		t.Errorf("%v, said %s", err, said)
	}
}

// TestProgramIsLetEnd holds that a program that runs when we are to end may end its work, and then counts, and that one in a pause is not
// waited for.
func TestProgramIsLetEnd(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	gate := filepath.Join(t.TempDir(), "gate")
	if err := syscall.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	p, out, _ := shell(t, `echo begun; read line <`+gate+`; echo ended`)
	done := make(chan error, 1)
	go func() { done <- p.Handle(ctx, event(t)) }()
	pgtest.Eventually(t, 10*time.Second, "the program has begun", func() bool { return out.String() == "begun\n" })
	cancel()
	open, err := os.OpenFile(gate, os.O_RDWR, 0) // does not wait for a reader
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if _, err := open.WriteString("go\n"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil || out.String() != "begun\nended\n" {
		t.Errorf("%v after %q", err, out)
	}

	ctx, cancel = context.WithCancel(context.Background())
	p, _, said := shell(t, "exit 1")
	p.Retries, p.pause = ForEver, time.Hour
	go func() { done <- p.Handle(ctx, event(t)) }()
	pgtest.Eventually(t, 10*time.Second, "the program has failed", func() bool { return strings.Contains(said.String(), "trying again in 1h0m0s") })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
