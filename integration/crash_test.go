package integration

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/client"
	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

// follower is a subscriber that reconnects with Last-Event-ID.
type follower struct {
	mu        sync.Mutex
	events    []client.Event
	connected int
}

func (f *follower) count(wanted func(client.Event) bool) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, event := range f.events {
		if wanted(event) {
			n++
		}
	}
	return n
}

func (f *follower) connections() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.connected
}

func (f *follower) positions() []int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []int64
	for _, event := range f.events {
		all = append(all, event.Position)
	}
	return all
}

func follow(t *testing.T, s *server) *follower {
	f := &follower{}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	var start int64
	go func() {
		ended <- s.client().Stream(ctx, client.Follow{After: &start, Connected: func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.connected++
		}}, func(event client.Event) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.events = append(f.events, event)
			return nil
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the subscriber ended: %v", err)
		}
	})
	return f
}

func byPgCron(event client.Event) bool {
	var data struct {
		Cause string `json:"cause"`
	}
	return event.Type == "tinydev.view.refreshed" && json.Unmarshal(event.Data, &data) == nil && data.Cause == "schedule"
}

// TestKilled kills the server and PostgreSQL by SIGKILL while a job runs every second. A subscriber sees every event once and in
// order, and the command line follows too.
func TestKilled(t *testing.T) {
	onEach(t, func(t *testing.T, s *server) {
		f := follow(t, s)
		tail := s.prepare("events", "--follow", "--after", "0", "--json")
		printed := &output{}
		tail.Stdout = printed
		if err := tail.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { tail.Process.Kill(); tail.Wait() })

		s.must("view", "create", "ticking", "select clock_timestamp() as at")
		s.must("job", "create", "ticking", "1 seconds")
		eventually(t, patience, "pg_cron refreshes", func() bool { return f.count(byPgCron) >= 2 })

		s.signal(syscall.SIGKILL)
		connections := f.connections()
		s.start()
		eventually(t, 30*time.Second, "the subscriber is back", func() bool { return f.connections() > connections })
		s.must("view", "refresh", "ticking")

		if s.container != nil {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			if err := s.container.Kill(ctx); err != nil {
				t.Fatal(err)
			}
			if err := s.container.Start(ctx); err != nil {
				t.Fatal(err)
			}
		} else if err := syscall.Kill(s.postmaster(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, time.Minute, "the server answers again", func() bool { return s.command("view", "refresh", "ticking").code == 0 })
		before := f.count(byPgCron)
		eventually(t, patience, "pg_cron refreshes again", func() bool { return f.count(byPgCron) >= before+2 })
		s.must("job", "drop", s.sql("select job_id from tinydev.job where view = 'ann.ticking'"))
		s.must("view", "drop", "ticking")

		dropped := func(event client.Event) bool { return event.Type == "tinydev.view.dropped" }
		eventually(t, 30*time.Second, "the subscriber has the last event", func() bool { return f.count(dropped) == 1 })
		// Runs that were under way may still end; the drop waited for them, so it is the last of the view.
		for i, position := range f.positions() {
			if position != int64(i)+1 {
				t.Fatalf("event %d has the position %d: %v", i+1, position, f.positions())
			}
		}
		head := f.positions()[len(f.positions())-1]
		var stored []int64
		var start int64
		for start < head {
			page, err := s.client().Events(context.Background(), start, 1000, control.EventFilter{})
			if err != nil {
				t.Fatal(err)
			}
			for _, raw := range page.Events {
				event, err := client.ParseEvent(raw)
				if err != nil {
					t.Fatal(err)
				}
				stored = append(stored, event.Position)
			}
			start = page.Next
		}
		if got := f.positions(); !slices.Equal(got, stored[:len(got)]) {
			t.Errorf("the log holds %v, the subscriber saw %v", stored, got)
		}
		eventually(t, 30*time.Second, "the command line has followed", func() bool { return strings.Count(printed.String(), "\n") >= len(stored) })
		for i, line := range strings.Split(strings.TrimSpace(printed.String()), "\n") {
			event, err := client.ParseEvent(json.RawMessage(line))
			if err != nil || event.Position != int64(i)+1 {
				t.Fatalf("line %d of events --follow is %s: %v", i+1, line, err)
			}
		}
	})
}
