package deliver_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/config"
	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/deliver"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

// sent is one attempt that a kind of a test was asked for.
type sent struct {
	s      deliver.Subscription
	events []deliver.Event
}

// noting is a kind that notes attempts, and holds those to the target "hang" until told.
type noting struct {
	name string
	free chan struct{}

	mu      sync.Mutex
	all     []sent
	hanging map[string]int // by subscription
}

func newNoting(name string) *noting {
	return &noting{name: name, free: make(chan struct{}), hanging: map[string]int{}}
}

func (k *noting) Name() string { return k.name }

func (k *noting) Send(ctx context.Context, s deliver.Subscription, events []deliver.Event) deliver.Outcome {
	k.mu.Lock()
	k.all = append(k.all, sent{s, events})
	k.mu.Unlock()
	if s.Target == "hang" {
		k.count(s.Name, 1)
		defer k.count(s.Name, -1)
		select {
		case <-k.free:
		case <-ctx.Done():
			return deliver.Outcome{State: deliver.Failed, Error: "hung"}
		}
	}
	return deliver.Outcome{State: deliver.Delivered}
}

func (k *noting) count(name string, n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.hanging[name] += n
}

// hangs gives how many attempts hang, in all and at most of one subscription.
func (k *noting) hangs() (all, most int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, n := range k.hanging {
		all, most = all+n, max(most, n)
	}
	return all, most
}

func (k *noting) got() []sent {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.all)
}

// A view that is slow takes no time from the target, and one that cannot be read keeps no event back.
func TestAttachedRowsTakeNoTimeOfTheTarget(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	startEngine(t, db, nil)
	ann := db.Conn(pgtest.Ann)
	run(t, ann, "create function fails(code text) returns int language plpgsql as $$ begin raise using errcode = code, message = 'no'; end $$")
	views := map[string]struct{ query, want string }{
		"slow":     {"select 7 as a from pg_sleep(1.5)", `"rows":[[7]]`},
		"faulty":   {"select 1 / (random() * 0)::int as a", `"error":"value_invalid"`},
		"canceled": {"select fails('57014') as a", `"error":"canceled"`},
		"memory":   {"select fails('53200') as a", `"error":"database_overloaded"`},
	}
	receivers := map[string]*receiver{}
	for name, v := range views {
		receivers[name] = newReceiver(t)
		run(t, ann, fmt.Sprintf("create view %s as %s", name, v.query))
		hook(t, ann, name, receivers[name].URL, fmt.Sprintf(", attach => '%s', timeout_seconds => 1", name))
	}
	emit(t, ann, `"Ann".v`, 1, 1)
	for name, v := range views {
		pgtest.Eventually(t, 20*time.Second, name+" arrives", func() bool { return len(receivers[name].got(true)) == 1 })
		if h := receivers[name].got(false)[0]; h.attempt != 1 || !strings.Contains(string(h.data["attached"]), v.want) {
			t.Errorf("%s: attempt %d with %s", name, h.attempt, h.data["attached"])
		}
	}
}

// While the owner has no session left no attempt is made, and the rows come with the first.
func TestAttachedRowsWaitForASession(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	pool, err := postgres.Open(t.Context(), db.URL("tinydev_server"), "tinydev", 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	sessions := postgres.NewSessions(db.URL("tinydev_server"), pool, postgres.Options{PerUser: 1, Patience: 50 * time.Millisecond})
	t.Cleanup(sessions.Close)
	session, err := sessions.Acquire(t.Context(), pgtest.Ann)
	if err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{}, 100)
	startEngine(t, db, func(o *deliver.Options) {
		o.Control = control.New(sessions)
		o.OnStep(func(step, _ string) {
			if step == "read" {
				read <- struct{}{}
			}
		})
	})
	rc := newReceiver(t)
	ann := db.Conn(pgtest.Ann)
	run(t, ann, "create view v as select 7 as a")
	hook(t, ann, "hook", rc.URL, ", attach => 'v'")
	emit(t, ann, `"Ann".v`, 1, 1)
	for range 3 { // each time the attempt before was not made
		select {
		case <-read:
		case <-time.After(20 * time.Second):
			t.Fatal("it is not read again")
		}
	}
	if got := rc.got(false); len(got) != 0 {
		t.Errorf("came %+v", got)
	}
	session.Release()
	pgtest.Eventually(t, 20*time.Second, "it arrives", func() bool { return len(rc.got(true)) == 1 })
	if h := rc.got(false)[0]; h.attempt != 1 || !strings.Contains(string(h.data["attached"]), `"rows":[[7]]`) {
		t.Errorf("attempt %d with %s", h.attempt, h.data["attached"])
	}
}

// One message of a digest tells of all that waits, with the rows once.
func TestDigestHasAll(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	k := newNoting("email")
	startEngine(t, db, func(o *deliver.Options) { o.Kinds = append(o.Kinds, k) })
	ann := db.Conn(pgtest.Ann)
	run(t, ann, "create view v as select 7 as a")
	run(t, ann, "select tinydev.create_subscription('mail', 'email', 'ann@example.org', types => array['test.*'], attach => 'v', digest_seconds => 3)")
	emit(t, ann, `"Ann".v`, 1, 250)
	pgtest.Eventually(t, 30*time.Second, "the digest is sent", func() bool { return len(k.got()) > 0 })
	events := k.got()[0].events
	if len(events) != 250 {
		t.Fatalf("it has %d events", len(events))
	}
	for i, e := range events {
		if has := strings.Contains(string(e.JSON), `"attached":{"relation"`); has != (i == 249) {
			t.Errorf("event %d: %s", i, e.JSON)
		}
	}
}

// A command that hangs holds few places, and who waits for one is not at an attempt.
func TestCommandsWaitForPlaces(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	k := newNoting("command")
	startEngine(t, db, func(o *deliver.Options) {
		o.Kinds = append(o.Kinds, k)
		o.Commands = map[string][]string{"hang": {config.Everyone}, "note": {config.Everyone}}
	})
	ann, bob := db.Conn(pgtest.Ann), db.Conn(pgtest.Bob)
	pgtest.Eventually(t, 10*time.Second, "the commands are known", func() bool {
		return pgtest.Value[bool](t, db.Superuser(), "select exists (select from tinydev_impl.server)")
	})
	create := "select tinydev.create_subscription($1, 'command', $2, types => array['test.*'], timeout_seconds => 300)"
	run(t, ann, create, "one", "hang")
	for i := range 6 {
		emit(t, ann, fmt.Sprintf(`"Ann".v%d`, i), 1, 1)
	}
	pgtest.Eventually(t, 20*time.Second, "two hang", func() bool { all, _ := k.hangs(); return all == 2 })
	// Another of hers goes on beside it.
	run(t, ann, create, "good", "note")
	emit(t, ann, `"Ann".w`, 1, 1)
	pgtest.Eventually(t, 20*time.Second, "another goes on", func() bool { return state(t, ann, "good") == "delivered 1" })
	for _, name := range []string{"two", "three"} {
		run(t, ann, create, name, "hang")
	}
	for i := range 6 {
		emit(t, ann, fmt.Sprintf(`"Ann".x%d`, i), 1, 1)
	}
	pgtest.Eventually(t, 20*time.Second, "four hang", func() bool { all, _ := k.hangs(); return all == 4 })
	run(t, bob, create, "bobs", "note")
	emit(t, bob, `bob.v`, 1, 1)
	pgtest.Eventually(t, 20*time.Second, "another user's goes on", func() bool { return state(t, bob, "bobs") == "delivered 1" })
	if all, most := k.hangs(); all != 4 || most > 2 {
		t.Errorf("%d hang, %d of one", all, most)
	}
	close(k.free)
	pgtest.Eventually(t, 20*time.Second, "all run", func() bool {
		return state(t, ann, "one") == "delivered 13" && state(t, ann, "two") == "delivered 6" && state(t, ann, "three") == "delivered 6"
	})
	for _, s := range k.got() {
		if s.events[0].Attempt != 1 {
			t.Errorf("%s: attempt %d", s.s.Name, s.events[0].Attempt)
		}
	}
}
