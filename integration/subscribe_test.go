package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/client"
)

// subscriber is a running "tinydev subscribe".
type subscriber struct {
	*exec.Cmd
	t              *testing.T
	stdout, stderr output
	exited         chan struct{}
}

// stateDir is where subscriptions keep their places in a test.
func (s *server) stateDir() string { return filepath.Join(filepath.Dir(s.dataDir), "state") }

func (s *server) prepareSubscribe(args ...string) *exec.Cmd {
	cmd := s.prepare(append([]string{"subscribe"}, args...)...)
	cmd.Env = append(cmd.Env, "XDG_STATE_HOME="+s.stateDir())
	return cmd
}

func (s *server) subscribe(args ...string) *subscriber {
	s.t.Helper()
	b := &subscriber{Cmd: s.prepareSubscribe(args...), t: s.t, exited: make(chan struct{})}
	b.Stdout, b.Stderr = &b.stdout, &b.stderr
	b.WaitDelay = 5 * time.Second
	if err := b.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() { b.Wait(); close(b.exited) }()
	s.t.Cleanup(func() { b.Process.Kill(); <-b.exited })
	return b
}

// end sends a signal and gives the exit code; -1 for one that the signal ended.
func (b *subscriber) end(signal syscall.Signal) int {
	b.t.Helper()
	if err := b.Process.Signal(signal); err != nil {
		b.t.Fatal(err)
	}
	select {
	case <-b.exited:
	case <-time.After(30 * time.Second):
		b.t.Fatalf("it goes on after %v: %s", signal, b.stderr.String())
	}
	return b.ProcessState.ExitCode()
}

// place reads a cursor; -1 when there is none.
func (s *server) place(name string) int64 {
	var place struct {
		Position int64 `json:"position"`
	}
	text, err := os.ReadFile(filepath.Join(s.stateDir(), "tinydev", "subscriptions", name+".json"))
	if err != nil || json.Unmarshal(text, &place) != nil {
		return -1
	}
	return place.Position
}

// emit records numbered events.
func (s *server) emit(subject string, from, to int) {
	s.t.Helper()
	s.sql(fmt.Sprintf("select count(tinydev.record_event('test.happened', null, 'ann.%s', jsonb_build_object('n', n))) from generate_series(%d, %d) n", subject, from, to))
}

// numbers reads the numbers of events out of lines.
func numbers(t *testing.T, lines string) []int {
	t.Helper()
	var all []int
	for line := range strings.Lines(lines) {
		event, err := client.ParseEvent(json.RawMessage(line))
		var data struct {
			N int `json:"n"`
		}
		if err == nil {
			err = json.Unmarshal(event.Data, &data)
		}
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		all = append(all, data.N)
	}
	return all
}

// TestSubscribeKilled kills subscribers again and again while events come, and the server too: the program of each event has run, in their
// order, and what ran twice is only what was under way.
func TestSubscribeKilled(t *testing.T) {
	onEach(t, func(t *testing.T, s *server) {
		const events, batch = 401, 20
		out := filepath.Join(filepath.Dir(s.dataDir), "handled")
		handled := func() []int {
			text, err := os.ReadFile(out)
			if err != nil {
				return nil
			}
			return numbers(t, string(text))
		}
		start := func() *subscriber {
			return s.subscribe("--name", "work", "--type", "test.happened", "--subject", "ann.work", "--exec", "sh", "--", "-c", `cat >> "$0"`, out)
		}
		b := start()
		eventually(t, 30*time.Second, "the subscription has its place", func() bool { return s.place("work") >= 0 })
		kills := 0
		for n := 1; n < events; n += batch {
			s.emit("work", n, n+batch-1)
			s.emit("other", n, n)
			enough := len(handled()) + 1 + n%7
			eventually(t, 60*time.Second, "events are handled", func() bool { return len(handled()) >= enough || len(handled()) >= n })
			if n == 10*batch+1 {
				s.signal(syscall.SIGKILL)
				s.start()
			}
			b.end(syscall.SIGKILL)
			kills++
			b = start()
		}
		s.emit("work", events, events) // which the last one handles, so that it runs
		eventually(t, 60*time.Second, "all events are handled", func() bool {
			all := handled()
			return len(all) > 0 && all[len(all)-1] == events
		})
		if code := b.end(syscall.SIGTERM); code != 0 {
			t.Errorf("SIGTERM: exit code %d, %s", code, &b.stderr)
		}
		last, twice := 0, 0
		for i, n := range handled() {
			switch n {
			case last + 1:
			case last:
				twice++
			default:
				t.Fatalf("line %d is event %d after %d", i+1, n, last)
			}
			last = n
		}
		if last != events || twice > kills {
			t.Errorf("the last event is %d of %d; %d came twice in %d kills", last, events, twice, kills)
		}
		t.Logf("%d events, %d kills, %d handled twice", events, kills, twice)
	})
}

// TestSubscribe goes through what a person does with it.
func TestSubscribe(t *testing.T) {
	onEach(t, func(t *testing.T, s *server) {
		// Printed, with a place that is kept.
		s.emit("early", 1, 3)
		b := s.subscribe("--name", "print", "--after", "0", "--subject", "ann.early")
		eventually(t, 30*time.Second, "the events are printed", func() bool { return strings.Count(b.stdout.String(), "\n") == 3 })
		second := run(t, s.prepareSubscribe("--name", "print"), "")
		if second.code != 2 || !strings.Contains(second.stderr, "in use by process "+strconv.Itoa(b.Process.Pid)) {
			t.Errorf("a second one: exit code %d, %s", second.code, second.stderr)
		}
		if code := b.end(syscall.SIGINT); code != 0 || b.stderr.String() != "" {
			t.Errorf("Ctrl-C: exit code %d, %s", code, &b.stderr)
		}
		s.emit("early", 4, 5)
		b = s.subscribe("--name", "print", "--after", "0", "--subject", "ann.early")
		eventually(t, 30*time.Second, "the others are printed", func() bool { return strings.Count(b.stdout.String(), "\n") == 2 })
		if got := fmt.Sprint(numbers(t, b.stdout.String())); got != "[4 5]" || !strings.Contains(b.stderr.String(), "--after counts the first time only") {
			t.Errorf("the second time came %s; said %s", got, &b.stderr)
		}
		b.end(syscall.SIGINT)

		// A program that fails stops it, and its event comes again.
		b = s.subscribe("--name", "fail", "--type", "test.happened", "--retries", "1", "--exec", "sh", "--", "-c", `cat; [ "$TINYDEV_EVENT_SUBJECT" = ann.good ] || exit 7`)
		eventually(t, 30*time.Second, "the subscription has its place", func() bool { return s.place("fail") >= 0 })
		s.emit("good", 1, 1)
		s.emit("bad", 2, 2)
		s.emit("good", 3, 3)
		select {
		case <-b.exited:
		case <-time.After(30 * time.Second):
			t.Fatal("a failing program does not stop it")
		}
		if got := fmt.Sprint(numbers(t, b.stdout.String())); b.ProcessState.ExitCode() != 7 || got != "[1 2 2]" || !strings.Contains(b.stderr.String(), "exited with code 7; trying again in 1s (attempt 2)") {
			t.Errorf("exit code %d after %s: %s", b.ProcessState.ExitCode(), got, &b.stderr)
		}
		b = s.subscribe("--name", "fail", "--type", "test.happened", "--skip-failed", "--exec", "sh", "--", "-c", `cat; [ "$TINYDEV_EVENT_SUBJECT" = ann.good ] || exit 7`)
		eventually(t, 30*time.Second, "it goes on", func() bool { return strings.Count(b.stdout.String(), "\n") == 2 })
		if got := fmt.Sprint(numbers(t, b.stdout.String())); got != "[2 3]" || !strings.Contains(b.stderr.String(), "exited with code 7; passed over") {
			t.Errorf("after the failure came %s: %s", got, &b.stderr)
		}
		b.end(syscall.SIGTERM)

		// The place moves on with the log where the filter lets nothing through, and a program may call tinydev itself.
		idle := s.subscribe("--name", "idle", "--type", "none.happened")
		calls := s.subscribe("--name", "calls", "--subject", "ann.calls", "--exec", binary, "--", "events", "--limit", "1", "--json")
		eventually(t, 30*time.Second, "the subscriptions have their places", func() bool { return s.place("idle") >= 0 && s.place("calls") >= 0 })
		s.emit("calls", 1, 1)
		eventually(t, 30*time.Second, "the program has run", func() bool { return strings.Contains(calls.stdout.String(), `"ann.calls"`) })
		head, err := s.client().Head(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, 40*time.Second, "the idle one has followed the log", func() bool { return s.place("idle") >= head })
		idle.end(syscall.SIGTERM)

		// What is kept no more is told of, and so is a log that was restored.
		super := superuser(t, s)
		_, err = super.Exec(context.Background(), `with gone as (delete from tinydev_impl.event where position < $1)
			update tinydev_impl.event_partition set position_from = $1 where position_from = (select min(position_from) from tinydev_impl.event_partition)`, head)
		if err != nil {
			t.Fatal(err)
		}
		b = s.subscribe("--name", "late", "--after", "1")
		eventually(t, 30*time.Second, "the oldest event is printed", func() bool { return strings.Contains(b.stdout.String(), "\n") })
		if want := fmt.Sprintf("the events from 2 to %d are not kept any more; going on with the oldest, %d\n", head-1, head); b.stderr.String() != want {
			t.Errorf("said %s", &b.stderr)
		}
		b.end(syscall.SIGTERM)
		if r := s.command("events", "--after", "1"); r.code != 0 || !strings.Contains(r.stderr, "events after 1 are not kept any more") || !strings.Contains(r.stdout, "ann.calls") {
			t.Errorf("events: exit code %d, %s%s", r.code, r.stdout, r.stderr)
		}
		file := filepath.Join(s.stateDir(), "ahead")
		if err := os.WriteFile(file, fmt.Appendf(nil, `{"position":%d}`, head+1000), 0o600); err != nil {
			t.Fatal(err)
		}
		b = s.subscribe("--cursor", file)
		eventually(t, 30*time.Second, "the restored log is told of", func() bool {
			return strings.Contains(b.stderr.String(), fmt.Sprintf("the log ends at position %d, before %d", head, head+1000))
		})
		s.emit("restored", 1, 1)
		eventually(t, 30*time.Second, "it goes on", func() bool { return strings.Contains(b.stdout.String(), `"ann.restored"`) })

		for says, args := range map[string][]string{
			"--name NAME":                 {"--exec", "true"},
			"is none":                     {"--name", "../x"},
			"the program no-such-program": {"--name", "x", "--exec", "no-such-program"},
			"stand behind --":             {"--name", "x", "--exec", "true", "x"},
			"name it with --exec":         {"--name", "x", "--skip-failed"},
			"from 0 on":                   {"--name", "x", "--after=-1"},
		} {
			if r := run(t, s.prepareSubscribe(args...), ""); r.code != 2 || !strings.Contains(r.stderr, says) {
				t.Errorf("subscribe %v: exit code %d, %s", args, r.code, r.stderr)
			}
		}
	})
}
