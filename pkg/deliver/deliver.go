package deliver

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
	"github.com/tinydevcrm/tinydevcrm/pkg/relay"
)

const (
	renewEvery = 5 * time.Second  // of the lease, which tinydev_impl.hold_subscriptions gives for 15 s
	leaseSafe  = 12 * time.Second // after so long without renewal another server may deliver, so nothing is sent any more
	askLimit   = 10 * time.Second // for one statement
	stopLimit  = 5 * time.Second  // how long attempts under way may go on when the server stops
)

// Options are what a Deliverer needs.
type Options struct {
	Pool    *pgxpool.Pool // as tinydev_server; its size bounds how much is read and written at once
	Relay   *relay.Relay
	Control *control.Control
	Kinds   []Kind
	// Commands are the users of each command of the configuration.
	Commands map[string][]string
	// WebhookAllow are the inner networks that webhooks may go to; the guard of the kind holds, this is for early answers.
	WebhookAllow []netip.Prefix
	// PublicURL is where readers of e-mail find the page that ends a subscription; empty leaves the link out.
	PublicURL string
	// Server names this server to administrators: host and process.
	Server string
	Logger *slog.Logger
	// Attempted is told of each attempt, with the kind and how it ended; it may be nil.
	Attempted func(kind string, state State, took time.Duration)

	step func(step, subscription string) // of tests: after "read", "sent", "recorded"
}

// Deliverer delivers the events of the subscriptions that this server holds. Several servers share the work.
type Deliverer struct {
	Options
	id    string // of this run of the server, a UUID
	kinds map[string]Kind
	tests tests
	links chan struct{} // holds a place for each link of an e-mail that is looked at

	mu      sync.Mutex
	runners map[int64]*runner
}

// New makes a Deliverer.
func New(o Options) *Deliverer {
	d := &Deliverer{Options: o, kinds: map[string]Kind{}, links: make(chan struct{}, linksAtOnce), runners: map[int64]*runner{}}
	for _, k := range o.Kinds {
		d.kinds[k.Name()] = k
	}
	var id [16]byte
	rand.Read(id[:]) // never fails
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	d.id = fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
	if d.step == nil {
		d.step = func(string, string) {}
	}
	if d.Attempted == nil {
		d.Attempted = func(string, State, time.Duration) {}
	}
	return d
}

// Held gives the number of subscriptions that this server delivers.
func (d *Deliverer) Held() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.runners)
}

// Run delivers until ctx ends, then waits for attempts under way, up to 5 s, and gives the subscriptions back. Call it once.
func (d *Deliverer) Run(ctx context.Context) error {
	renew := time.NewTicker(renewEvery)
	defer renew.Stop()
	renewed := time.Now()
	for {
		began := time.Now()
		err := d.hold(ctx)
		switch {
		case ctx.Err() != nil:
		case err == nil:
			renewed = began
		default:
			d.Logger.Warn("the lease on subscriptions cannot be renewed", "error", err)
		}
		if time.Since(renewed) > leaseSafe {
			d.abandon()
		}
		select {
		case <-ctx.Done():
			return d.finish()
		case <-renew.C:
		case <-d.Relay.Changed():
		}
	}
}

// hold renews the lease and starts, tells and ends the work on subscriptions accordingly.
func (d *Deliverer) hold(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, renewEvery)
	defer cancel()
	commands, err := json.Marshal(d.commands())
	if err != nil {
		return err
	}
	kinds := make([]string, 0, len(d.kinds))
	for name := range d.kinds {
		kinds = append(kinds, name)
	}
	rows, err := d.Pool.Query(ctx, "select subscription_id, version, wanted from tinydev_impl.hold_subscriptions($1, $2, $3, $4, $5)",
		d.id, d.Server, kinds, commands, d.WebhookAllow)
	if err != nil {
		return postgres.Fault(err, "")
	}
	defer rows.Close()
	wanted := map[int64]int64{} // subscription to version
	var unwanted []int64
	for rows.Next() {
		var id, version int64
		var isWanted bool
		if err := rows.Scan(&id, &version, &isWanted); err != nil {
			return err
		}
		if isWanted {
			wanted[id] = version
		} else {
			unwanted = append(unwanted, id)
		}
	}
	if err := rows.Err(); err != nil {
		return postgres.Fault(err, "")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, version := range wanted {
		if r := d.runners[id]; r != nil {
			r.tell(version)
		} else {
			d.start(id, version)
		}
	}
	for _, id := range unwanted {
		if r := d.runners[id]; r != nil {
			r.drain()
		} else {
			go d.release([]int64{id})
		}
	}
	for id, r := range d.runners {
		if _, held := wanted[id]; !held {
			r.drain()
		}
	}
	return nil
}

func (d *Deliverer) commands() map[string][]string {
	commands := map[string][]string{}
	for name, users := range d.Commands {
		if users == nil {
			users = []string{}
		}
		commands[name] = users
	}
	return commands
}

// start begins the work on a subscription. d.mu is held.
func (d *Deliverer) start(id, version int64) {
	r := newRunner(d, id, version)
	d.runners[id] = r
	go func() {
		r.run()
		d.mu.Lock()
		delete(d.runners, id)
		d.mu.Unlock()
		close(r.ended)
		if r.lost == nil {
			d.release([]int64{id})
		}
	}()
}

// release gives subscriptions back, all when ids is nil. When the database cannot be asked the lease runs out.
func (d *Deliverer) release(ids []int64) {
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	if _, err := d.Pool.Exec(ctx, "select tinydev_impl.release_subscriptions($1, $2)", d.id, ids); err != nil {
		d.Logger.Warn("subscriptions are given back when the lease ends, not now", "error", err)
	}
}

// abandon ends all work at once, since another server may be doing it by now.
func (d *Deliverer) abandon() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.runners {
		r.abort(errLeaseLost)
	}
}

var errLeaseLost = errors.New("the lease is lost")

// finish ends the work in order and gives all back.
func (d *Deliverer) finish() error {
	d.mu.Lock()
	var all []*runner
	for _, r := range d.runners {
		r.drain()
		all = append(all, r)
	}
	d.mu.Unlock()
	for _, r := range all {
		<-r.ended
	}
	d.release(nil)
	for _, k := range d.kinds {
		if c, ok := k.(interface{ Close() }); ok {
			c.Close()
		}
	}
	return nil
}

// Try makes one attempt with a sample event to a target that no subscription has yet, for owner.
// Errors: invalid subscription_invalid for a kind that this server does not send, command_unknown; unavailable tests_limit.
func (d *Deliverer) Try(ctx context.Context, s Subscription, kind string) (Outcome, time.Duration, error) {
	k := d.kinds[kind]
	if k == nil {
		return Outcome{}, 0, fault.New(fault.Invalid, "subscription_invalid", "this server does not send %s", kind).With("field", "kind")
	}
	if kind == "command" && !d.mayRun(ctx, s.Owner, s.Target) {
		return Outcome{}, 0, fault.New(fault.Invalid, "command_unknown", "there is no command %q for %s", s.Target, s.Owner).With("field", "target")
	}
	end, err := d.tests.begin(s.Owner)
	if err != nil {
		return Outcome{}, 0, err
	}
	defer end()
	var source string
	if err := d.Pool.QueryRow(ctx, "select tinydev_lib.event_source()").Scan(&source); err != nil {
		return Outcome{}, 0, postgres.Fault(err, "")
	}
	now := time.Now().UTC()
	subject := s.Owner + "." + s.Name
	body, err := json.Marshal(map[string]any{
		"specversion": "1.0", "id": "0", "source": source, "type": "tinydev.subscription.tested", "subject": subject, "time": now.Format(time.RFC3339Nano),
		"datacontenttype": "application/json", "workspace": s.Owner, "actor": s.Owner, "data": map[string]any{"sample": true},
	})
	if err != nil {
		return Outcome{}, 0, err
	}
	outcome := k.Send(ctx, s, []Event{{Type: "subscription.tested", Subject: subject, Attempt: 1, JSON: body}})
	return outcome, time.Since(now), nil
}

func (d *Deliverer) mayRun(ctx context.Context, role, command string) bool {
	users, known := d.commands()[command]
	if !known {
		return false
	}
	list, err := json.Marshal(users)
	if err != nil {
		return false
	}
	var may bool
	err = d.Pool.QueryRow(ctx, "select tinydev_lib.may_run($1, $2)", role, list).Scan(&may)
	return err == nil && may
}

func randomHex() string {
	var b [32]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
