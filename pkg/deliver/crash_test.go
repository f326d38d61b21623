package deliver_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/config"
	"github.com/tinydevcrm/tinydevcrm/pkg/deliver"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// crashing is what a process that is to kill itself is told, in JSON.
var crashing = flag.String("crash", "", "of the test of crashes: run as a server that kills itself, as this says")

// crash says where a server kills itself, and with what it runs.
type crash struct {
	Database string
	Step     string // "" for never
	Time     int32  // at which of them
	SMTP     string
	Command  string // a program
}

// kinds are all there are.
func (c crash) kinds(t testing.TB) []deliver.Kind {
	email, err := deliver.NewEmail(deliver.EmailOptions{URL: c.SMTP, From: "noreply@example.org"})
	if err != nil {
		t.Fatal(err)
	}
	commands, err := deliver.NewCommands(c.commands())
	if err != nil {
		t.Fatal(err)
	}
	return []deliver.Kind{deliver.NewWebhook(networks("127.0.0.1/32"), "test"), email, commands}
}

func (c crash) commands() config.Commands {
	return config.Commands{"note": config.Command{Argv: []string{c.Command}, Users: []string{config.Everyone}}}
}

// start runs the server, which kills its process at its time.
func (c crash) start(t testing.TB) *engine {
	return startEngineAt(t, c.Database, func(o *deliver.Options) {
		o.Kinds, o.Commands = c.kinds(t), c.commands().Users()
		o.Lease(1500 * time.Millisecond)
		var times atomic.Int32
		o.OnStep(func(step, _ string) {
			if step == c.Step && times.Add(1) == c.Time {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		})
	})
}

// run starts a process that does, and gives how it ends and what it says.
func (c crash) run(t *testing.T) (ended chan error, output *bytes.Buffer) {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCrashChild$", "-crash="+string(text))
	output = &bytes.Buffer{}
	child.Stdout, child.Stderr = output, output
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	ended = make(chan error, 1)
	go func() { ended <- child.Wait() }()
	return ended, output
}

// killed reports whether a process was ended by SIGKILL.
func killed(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
}

// TestCrashChild is the process that kills itself; by itself it does nothing.
func TestCrashChild(t *testing.T) {
	if *crashing == "" {
		return
	}
	var c crash
	if err := json.Unmarshal([]byte(*crashing), &c); err != nil {
		t.Fatal(err)
	}
	c.start(t)
	time.Sleep(2 * time.Minute) // it ends before
}

// TestCrashes kills a server after each step of each kind. Another process goes on: each event comes at least once, with the same id when
// it comes twice, in order, and what was recorded does not come again.
func TestCrashes(t *testing.T) {
	t.Parallel()
	smtp := pgtest.StartSMTP(t, pgtest.SMTPOptions{})
	// Several at a time, however few processors there are: they wait more than they work.
	places := make(chan struct{}, 6)
	var group sync.WaitGroup
	for _, kind := range []string{"webhook", "email", "command"} {
		for _, step := range []string{"read", "sent", "recorded"} {
			for _, time := range []int32{1, 4} {
				group.Go(func() {
					places <- struct{}{}
					t.Run(fmt.Sprintf("%s after %s %d", kind, step, time), func(t *testing.T) { testCrash(t, smtp, kind, step, time) })
					<-places
				})
			}
		}
	}
	group.Wait()
}

func testCrash(t *testing.T, smtp *pgtest.SMTPServer, kind, step string, times int32) {
	const events = 12
	db := pgtest.DB(t)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	noted, program := filepath.Join(dir, "noted"), filepath.Join(dir, "note")
	if err := os.WriteFile(program, fmt.Appendf(nil, "#!/bin/sh\nread -r event\necho \"$TINYDEV_EVENT_ID $event\" >> '%s'\n", noted), 0o755); err != nil {
		t.Fatal(err)
	}
	c := crash{Database: db.URL("tinydev_server"), Step: step, Time: times, SMTP: smtp.URL(), Command: program}
	rc := newReceiver(t)
	ann := db.Conn(pgtest.Ann)
	address := fmt.Sprintf("%s@example.org", db.Name)
	target := map[string]string{"webhook": rc.URL, "email": address, "command": "note"}[kind]
	// The command is known, and the network allowed, once a server with them is there.
	never := c
	never.Step = ""
	first := never.start(t)
	pgtest.Eventually(t, 10*time.Second, "a server is up", func() bool {
		return pgtest.Value[bool](t, db.Superuser(), "select exists (select from tinydev_impl.server)")
	})
	run(t, ann, "select tinydev.create_subscription('sub', $1, $2, types => array['test.*'], secret => case $1 when 'webhook' then 'whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz' end)", kind, target)
	first.stop()
	emit(t, ann, `"Ann".v`, 1, events/2)

	ended, output := c.run(t)
	// The others one by one, each after the one before was recorded, so that they are recorded one by one.
	for i := range events / 2 {
		pgtest.Eventually(t, 20*time.Second, "the one before was recorded, or the server is dead", func() bool {
			return len(ended) > 0 || state(t, ann, "sub") == fmt.Sprintf("delivered %d", events/2+i)
		})
		emit(t, ann, `"Ann".v`, events/2+1+i, 1)
	}
	if err := <-ended; !killed(err) {
		t.Fatalf("the server ended otherwise than by SIGKILL: %v\n%s", err, output)
	}
	recorded := state(t, ann, "sub")
	before := ids(t, kind, rc, smtp, address, noted)

	never.start(t)
	pgtest.Eventually(t, 20*time.Second, "all is delivered", func() bool { return state(t, ann, "sub") == fmt.Sprintf("delivered %d", events) })
	all := ids(t, kind, rc, smtp, address, noted)
	var want []int64
	rows, err := ann.Query(t.Context(), "select position from tinydev.event where type = 'test.happened' order by 1")
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		var p int64
		if err := rows.Scan(&p); err != nil {
			t.Fatal(err)
		}
		want = append(want, p)
	}
	firsts := []int64{}
	twice := 0
	for i, id := range all {
		if slices.Contains(all[:i], id) {
			twice++
		} else {
			firsts = append(firsts, id)
		}
	}
	if !slices.Equal(firsts, want) {
		t.Errorf("came for the first time %v, want %v", firsts, want)
	}
	// What came twice is what was sent and not recorded.
	var was int
	_, _ = fmt.Sscanf(recorded, "delivered %d", &was)
	if twice != len(before)-was {
		t.Errorf("%d came before the crash, %d of them recorded (%s), and %d came twice: %v", len(before), was, recorded, twice, all)
	}
	if step == "read" && len(before) != 0 && times == 1 {
		t.Errorf("%v came before anything could", before)
	}
}

// TestDigestAfterCrash kills a server when a digest was sent and is not recorded: the next one sends the same once more, by the same
// Message-ID. What came meanwhile gets its own.
func TestDigestAfterCrash(t *testing.T) {
	t.Parallel()
	smtp := pgtest.StartSMTP(t, pgtest.SMTPOptions{})
	db := pgtest.DB(t)
	ann := db.Conn(pgtest.Ann)
	c := crash{Database: db.URL("tinydev_server"), Step: "sent", Time: 1, SMTP: smtp.URL(), Command: "/bin/true"}
	run(t, ann, "select tinydev.create_subscription('mail', 'email', 'ann@example.org', types => array['test.*'], digest_seconds => 1)")
	emit(t, ann, `"Ann".v`, 1, 5)
	ended, output := c.run(t)
	if err := <-ended; !killed(err) {
		t.Fatalf("the server ended otherwise than by SIGKILL: %v\n%s", err, output)
	}
	if got := state(t, ann, "mail"); got != "pending 5" {
		t.Errorf("after the crash there are %s", got)
	}
	c.Step = ""
	c.start(t)
	pgtest.Eventually(t, 20*time.Second, "the digest is delivered", func() bool { return state(t, ann, "mail") == "delivered 5" })
	emit(t, ann, `"Ann".v`, 6, 2)
	pgtest.Eventually(t, 20*time.Second, "the next digest is delivered", func() bool { return state(t, ann, "mail") == "delivered 7" })
	if got := ids(t, "email", nil, smtp, "ann@example.org", ""); !slices.Equal(got, []int64{1, 1, 2}) {
		t.Errorf("messages by their ids: %v", got)
	}
}

// ids gives the keys by which a receiver knows what it had, as the positions that they stand for.
func ids(t *testing.T, kind string, rc *receiver, smtp *pgtest.SMTPServer, address, noted string) (list []int64) {
	t.Helper()
	switch kind {
	case "webhook":
		for _, h := range rc.got(true) {
			list = append(list, h.position)
		}
	case "command":
		for line := range strings.Lines(string(readFile(t, noted))) {
			var id int64
			var event struct{ ID string }
			key, body, _ := strings.Cut(line, " ")
			if err := json.Unmarshal([]byte(body), &event); err != nil || event.ID != key {
				t.Fatalf("%q: %v", line, err)
			}
			fmt.Sscan(key, &id)
			list = append(list, id)
		}
	case "email":
		seen := map[string]int64{}
		for _, m := range smtp.Messages() {
			if m.To[0] != address {
				continue
			}
			message, err := mail.ReadMessage(strings.NewReader(m.Data))
			if err != nil {
				t.Fatal(err)
			}
			id := message.Header.Get("Message-Id")
			if seen[id] == 0 {
				seen[id] = int64(len(seen) + 1)
			}
			list = append(list, seen[id])
		}
	}
	return list
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return text
}
