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
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
	"github.com/tinydevcrm/tinydevcrm/pkg/relay"
)

const (
	leaseTime = 15 * time.Second       // how long a server holds its subscriptions without renewal; it renews three times as often
	holdEvery = 100 * time.Millisecond // at most, whatever is notified, which anybody can
	askLimit  = 10 * time.Second       // for one statement
	stopLimit = 5 * time.Second        // how long attempts under way may go on when the server stops, and recording them after that
	choosing  = 3                      // batches of events whose conditions are evaluated at the same time, one of each owner

	attachesAtOnce = 16 // rows that go along are read in sessions, of which there are more
	attachesOfOne  = 2  // owner
	commandsAtOnce = 16
	commandsOfOne  = 4 // owner
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

	step  func(step, subscription string) // of tests: after "read", "sent", "recorded"
	lease time.Duration                   // of tests; 0 is leaseTime
}

// Deliverer delivers the events of the subscriptions that this server holds. Several servers share the work.
type Deliverer struct {
	Options
	id    string // of this run of the server, a UUID
	kinds map[string]Kind
	again chan struct{} // has the subscriptions looked at once more
	conn  *pgxpool.Conn // of Run alone, so that leases are renewed however many wait for a connection; nil after trouble
	turns *turns        // to choose events

	otherEnds <-chan time.Time // when the lease of another server does, if it is not renewed; nil when that is later than the next look

	attaching, running *turns // to read the rows that go along, and to run commands

	tests tests
	links chan struct{} // holds a place for each link of an e-mail that is looked at

	mu      sync.Mutex
	runners map[int64]*runner
}

// New makes a Deliverer.
func New(o Options) *Deliverer {
	d := &Deliverer{Options: o, kinds: map[string]Kind{}, again: make(chan struct{}, 1), turns: newTurns(choosing, 1),
		attaching: newTurns(attachesAtOnce, attachesOfOne), running: newTurns(commandsAtOnce, commandsOfOne), links: make(chan struct{}, linksAtOnce), runners: map[int64]*runner{}}
	for _, k := range o.Kinds {
		d.kinds[k.Name()] = k
	}
	var id [16]byte
	rand.Read(id[:]) // never fails
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	d.id = fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
	if d.lease == 0 {
		d.lease = leaseTime
	}
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

// Run delivers until ctx ends, then waits for attempts under way, up to 5 s, records them, for 5 s more where the database is down, and gives
// the subscriptions back. Call it once.
func (d *Deliverer) Run(ctx context.Context) error {
	renew := time.NewTicker(d.lease / 3)
	defer renew.Stop()
	safe := time.Now() // until when no other server delivers what this one holds
	for {
		began := time.Now()
		err := d.hold(ctx, safe)
		switch {
		case err == nil:
			safe = began.Add(d.lease * 4 / 5)
		case ctx.Err() == nil:
			d.Logger.Warn("the lease on subscriptions cannot be renewed", "error", err)
		}
		var unsafe <-chan time.Time
		if left := time.Until(safe); left > 0 {
			unsafe = time.After(left)
		} else {
			d.abandon()
		}
		select {
		case <-ctx.Done():
		case <-unsafe:
			d.abandon()
		case <-renew.C:
		case <-d.otherEnds:
		case <-d.Relay.Changed():
		case <-d.again:
		}
		select {
		case <-ctx.Done():
			return d.finish()
		case <-time.After(time.Until(began.Add(holdEvery))):
		}
	}
}

// hold renews the lease and starts, tells and ends the work on subscriptions accordingly. It ends before safe, when that is to come.
func (d *Deliverer) hold(ctx context.Context, safe time.Time) (err error) {
	limit := time.Now().Add(d.lease / 3)
	if safe.After(time.Now()) && safe.Before(limit) {
		limit = safe
	}
	// Not cut off when the server stops: PostgreSQL could renew the lease after it was given back.
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), limit)
	defer cancel()
	if d.conn == nil {
		if d.conn, err = d.Pool.Acquire(ctx); err != nil {
			return postgres.Fault(err, "")
		}
	}
	defer func() {
		if err != nil {
			d.leave()
		}
	}()
	wanted, unwanted, err := d.ask(ctx)
	if err != nil {
		return err
	}
	d.mu.Lock()
	for id, version := range wanted {
		if r := d.runners[id]; r != nil {
			r.tell(version)
		} else {
			d.start(id, version)
		}
	}
	for id, r := range d.runners {
		if _, held := wanted[id]; !held {
			r.drain()
		}
	}
	unwanted = slices.DeleteFunc(unwanted, func(id int64) bool { return d.runners[id] != nil })
	d.mu.Unlock()
	if len(unwanted) > 0 {
		_, err = d.conn.Exec(ctx, releaseSQL, d.id, unwanted)
	}
	return postgres.Fault(err, "")
}

// ask renews the lease, and gives the subscriptions that this server is to deliver with their versions, and those that it holds otherwise.
func (d *Deliverer) ask(ctx context.Context) (wanted map[int64]int64, unwanted []int64, err error) {
	commands, err := json.Marshal(d.commands())
	if err != nil {
		return nil, nil, err
	}
	kinds := make([]string, 0, len(d.kinds))
	for name := range d.kinds {
		kinds = append(kinds, name)
	}
	rows, err := d.conn.Query(ctx, "select subscription_id, version, wanted from tinydev_impl.hold_subscriptions($1, $2, $3, $4, $5, $6)",
		d.id, d.Server, kinds, commands, d.WebhookAllow, d.lease.Seconds())
	if err != nil {
		return nil, nil, postgres.Fault(err, "")
	}
	defer rows.Close()
	wanted = map[int64]int64{}
	for rows.Next() {
		var id, version int64
		var isWanted bool
		if err := rows.Scan(&id, &version, &isWanted); err != nil {
			return nil, nil, err
		}
		if isWanted {
			wanted[id] = version
		} else {
			unwanted = append(unwanted, id)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, nil, postgres.Fault(err, "")
	}
	var end *float64
	if err := d.conn.QueryRow(ctx, "select tinydev_impl.next_lease_end($1)", d.id).Scan(&end); err != nil {
		return nil, nil, postgres.Fault(err, "")
	}
	d.otherEnds = nil
	if end != nil && *end < (d.lease/3).Seconds() {
		d.otherEnds = time.After(time.Duration(*end * float64(time.Second)))
	}
	return wanted, unwanted, nil
}

// leave gives the connection of Run back.
func (d *Deliverer) leave() {
	if d.conn != nil {
		d.conn.Release()
		d.conn = nil
	}
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
		defer close(r.ended)
		r.run()
		// Before another runner of it may start here; and when the server stops, without waiting for the others.
		if r.lost == nil {
			d.release([]int64{id})
		}
		d.mu.Lock()
		delete(d.runners, id)
		d.mu.Unlock()
		select {
		case d.again <- struct{}{}:
		default:
		}
	}()
}

const releaseSQL = "select tinydev_impl.release_subscriptions($1, $2)"

// release gives subscriptions back, all when ids is nil. When the database cannot be asked the lease runs out.
func (d *Deliverer) release(ids []int64) {
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	if _, err := d.Pool.Exec(ctx, releaseSQL, d.id, ids); err != nil {
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
	d.leave()
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
		"specversion": "1.0", "id": "0", "source": source, "type": "tinydev.subscription.tested", "subject": subject, "time": now.Format("2006-01-02T15:04:05.000000Z07:00"),
		"datacontenttype": "application/json", "workspace": s.Owner, "actor": s.Owner, "data": map[string]any{"sample": true},
	})
	if err != nil {
		return Outcome{}, 0, err
	}
	if kind == "command" {
		defer d.running.take(ctx, s.Owner)()
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
