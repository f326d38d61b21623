package deliver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
	"github.com/tinydevcrm/tinydevcrm/pkg/relay"
)

const (
	attemptsAtOnce = 16    // of one subscription
	commandRuns    = 2     // of one subscription, so that one that hangs leaves places to the others of its owner
	aheadLimit     = 2048  // events in memory that are not settled
	openLimit      = 10000 // deliveries that wait in the database before reading stops
	readAtOnce     = 512
	workerIdle     = time.Second
	dueAtOnce      = 1000
	recordAtOnce   = 512
	recordAfter    = 20 * time.Millisecond // how long results are collected
	freshFor       = 5 * time.Second       // an event that waits longer for its attempt is read once more, by the rights of then
	longestPause   = 5 * time.Second       // after trouble with the database
	noUserPause    = 30 * time.Second      // until it is looked again whether its owner may be a user now
	slowLimit      = 3                     // times that a condition takes more than 10 s for one event before its subscription is paused
	idleLooks      = 12                    // thirds of a lease time, after which the cursor of a subscription that nothing fits moves on: a minute
	idlePositions  = 2000                  // or so many positions: from 5,000 on its owner would think that it is behind
)

// definition is what tinydev_impl.load_subscription answers.
type definition struct {
	Owner          string          `json:"owner"`
	Name           string          `json:"name"`
	Kind           string          `json:"kind"`
	Target         string          `json:"target"`
	Types          []string        `json:"types"`
	Subjects       []string        `json:"subjects"`
	Attach         *string         `json:"attach"`
	AttachRows     int             `json:"attach_rows"`
	IsChosen       bool            `json:"is_chosen"` // PostgreSQL chooses among the events that fit
	Options        json.RawMessage `json:"options"`
	Subject        string          `json:"subject"`    // of events about it
	Recoveries     []string        `json:"recoveries"` // types that are sent only to tell the end of trouble
	IsDigest       bool            `json:"is_digest"`
	TimeoutSeconds int             `json:"timeout_seconds"`
	LinkSecret     string          `json:"link_secret"`
	Secrets        []string        `json:"secrets"`
	SecretsUntil   *time.Time      `json:"secrets_until"`
	Round          int             `json:"round"`
	Version        int64           `json:"version"`
	Position       int64           `json:"position"`
	ReadPosition   int64           `json:"read_position"`
	OpenLanes      []string        `json:"open_lanes"`
	OpenCount      int             `json:"open_count"`
}

// runner delivers the events of one subscription. Its goroutine alone touches its state; attempts run in goroutines of their own.
//
// Events come from the relay in the order of positions and go to lanes, one for each subject, in which one attempt is under way at a
// time. A lane with deliveries that wait in the database is open: what comes after them is written down to wait there too.
type runner struct {
	d       *Deliverer
	id      int64
	told    chan int64 // versions
	stop    chan struct{}
	ended   chan struct{}
	context context.Context // ends with the runner
	cancel  context.CancelCauseFunc
	lost    error // why it ended without giving back; set before ended is closed

	def      definition
	kind     Kind
	shown    Subscription
	cursor   int64 // up to here all is settled
	written  int64 // the cursor in the database
	lanes    map[string]*lane
	ready    []*lane
	ahead    []*pending // in the order of positions, from the first that is not settled
	busy     int
	open     int // deliveries that wait in the database
	hasOpen  bool
	nextDue  time.Time // zero when nothing is due by time
	records  []record
	jobs     chan job
	results  chan result
	sending  context.Context // ends attempts, which then count for nothing
	endSends context.CancelFunc
	atOnce   int // events that are read at once
	slow     int // times in a row that it took too long to choose one event
	draining bool
	giveUpAt time.Time // while draining, when what cannot be recorded is left
}

// lane is what is under way about one subject; with a digest one lane has all.
type lane struct {
	name  string
	queue []*pending
	busy  bool
	open  bool // has deliveries in the database that wait
}

// pending is one event on its way.
type pending struct {
	event    Event
	lane     *lane
	readAt   time.Time
	isStored bool // has its row, and waits by it
	settled  bool
}

// job is an attempt to be made.
type job struct {
	lane  *lane
	batch []*pending
}

// result is the end of an attempt.
type result struct {
	lane    *lane
	batch   []*pending
	outcome Outcome
	began   time.Time
	took    time.Duration
	missing bool  // the event may not be seen any more
	ended   bool  // it was cut off, and is made again
	err     error // none was made, since the database gave trouble
}

func newRunner(d *Deliverer, id, version int64) *runner {
	r := &runner{d: d, id: id, atOnce: readAtOnce, told: make(chan int64, 1), stop: make(chan struct{}, 1), ended: make(chan struct{}), jobs: make(chan job), results: make(chan result, attemptsAtOnce)}
	r.def.Version = version
	r.context, r.cancel = context.WithCancelCause(context.Background())
	return r
}

// tell has the runner load the subscription again when its version is another.
func (r *runner) tell(version int64) {
	select {
	case <-r.told:
	default:
	}
	r.told <- version
}

// drain has the runner end once attempts under way have.
func (r *runner) drain() {
	select {
	case r.stop <- struct{}{}:
	default:
	}
}

// abort ends the runner at once, attempts too.
func (r *runner) abort(reason error) { r.cancel(reason) }

// run delivers until drained or aborted, beginning anew after trouble with the database.
func (r *runner) run() {
	defer r.cancel(nil)
	log := r.d.Logger.With("subscription", r.id)
	pause := 100 * time.Millisecond
	for {
		began := time.Now()
		err := r.deliver()
		switch {
		case r.context.Err() != nil:
			r.lost = context.Cause(r.context)
			return
		case r.draining || r.stopping():
			return
		case errors.Is(err, errChanged):
			pause = 0
		case fault.CodeOf(err) == "lease_lost", fault.CodeOf(err) == "locked":
			// Another server has it, it is replayed and then loaded again, or a user's transaction holds it.
			log.Debug("another server delivers now, another round began, or the subscription is locked", "error", err)
		case fault.KindOf(err) == fault.Forbidden:
			log.Info("nothing is delivered, since the owner is no user at the moment", "error", err)
			pause = noUserPause
		case err != nil:
			log.Warn("deliveries are interrupted, going on from the cursor", "error", err, "in", pause)
		default:
			pause = 0
		}
		if time.Since(began) > longestPause && pause < noUserPause {
			pause = 100 * time.Millisecond
		}
		select {
		case <-r.context.Done():
			r.lost = context.Cause(r.context)
			return
		case <-r.stop:
			return
		case <-time.After(pause/2 + rand.N(pause/2+1)):
		}
		pause = min(max(2*pause, 100*time.Millisecond), longestPause)
	}
}

// end notes that the runner is to end.
func (r *runner) end() { r.draining, r.giveUpAt = true, time.Now().Add(2*stopLimit) }

// stopping reports whether the runner was told to end.
func (r *runner) stopping() bool {
	select {
	case <-r.stop:
		return true
	default:
		return false
	}
}

// deliver loads the subscription and works on it until it changes, is to end, or the database gives trouble. It returns with no attempt
// under way and nothing that could still be recorded.
func (r *runner) deliver() (err error) {
	if err := r.load(); err != nil {
		return err
	}
	source, err := r.d.Relay.Subscribe(r.context, r.def.Owner, r.cursor, relay.Filter{Types: r.def.Types, Subjects: r.def.Subjects, Tested: r.def.Subject})
	if err != nil {
		return fmt.Errorf("read events: %w", err)
	}
	defer source.Close()
	r.sending, r.endSends = context.WithCancel(r.context)
	defer func() {
		if e := r.settle(); err == nil {
			err = e
		}
		r.endSends()
	}()
	due := time.NewTimer(0)
	defer due.Stop()
	flush := time.NewTimer(time.Hour)
	defer flush.Stop()
	collecting := false
	idle := time.NewTicker(r.d.lease / 3)
	defer idle.Stop()
	looks := 0
	for !r.draining {
		events := source.Events()
		if len(r.ahead) >= aheadLimit || r.open >= openLimit {
			events = nil
		}
		select {
		case <-r.context.Done():
			return context.Cause(r.context)
		case <-r.stop:
			r.end()
			return nil
		case version := <-r.told:
			if version != r.def.Version {
				return nil
			}
		case first, ok := <-events:
			if !ok {
				return fmt.Errorf("the stream of events ended: %w", source.Err())
			}
			if err := r.take(first, source.Events()); err != nil {
				return err
			}
		case res := <-r.results:
			r.finished(res)
			if res.err != nil {
				return res.err
			}
		case <-due.C:
			if err := r.takeDue(); err != nil {
				return err
			}
			r.armDue(due)
		case <-flush.C:
			collecting = false
			if err := r.record(true); err != nil {
				return err
			}
			r.armDue(due)
		case <-idle.C:
			// In this order: what is not in the channel now was looked at before.
			upTo := source.LookedAt()
			if looks++; len(source.Events()) == 0 && len(r.ahead) == 0 && (looks >= idleLooks || upTo-r.written >= idlePositions) {
				r.cursor, looks = max(r.cursor, upTo), 0
			}
			// What fits its types and was not chosen moves it sooner, since it would seem to wait.
			if len(r.records) == 0 && r.cursor > r.written {
				if err := r.write(nil, false); err != nil {
					return err
				}
			}
		}
		r.begin()
		if len(r.records) >= recordAtOnce {
			collecting = false
			if err := r.record(true); err != nil {
				return err
			}
			r.armDue(due)
		} else if len(r.records) > 0 && !collecting {
			collecting = true
			flush.Reset(recordAfter)
		}
	}
	return nil
}

// load reads the subscription and forgets all else.
func (r *runner) load() error {
	ctx, cancel := context.WithTimeout(r.context, askLimit)
	defer cancel()
	var body []byte
	if err := r.d.Pool.QueryRow(ctx, "select tinydev_impl.load_subscription($1, $2, $3)", r.id, r.d.id, randomHex()).Scan(&body); err != nil {
		return fmt.Errorf("load: %w", postgres.Fault(err, ""))
	}
	r.def = definition{}
	if err := json.Unmarshal(body, &r.def); err != nil {
		return fmt.Errorf("decode the subscription: %w", err)
	}
	r.kind = r.d.kinds[r.def.Kind]
	r.shown = Subscription{ID: r.id, Owner: r.def.Owner, Name: r.def.Name, Target: r.def.Target, Secrets: r.def.Secrets, Options: r.def.Options, Unsubscribe: r.unsubscribe()}
	r.cursor, r.written = r.def.Position, r.def.Position
	r.lanes, r.ready, r.ahead, r.records, r.busy = map[string]*lane{}, nil, nil, nil, 0
	r.open, r.hasOpen, r.nextDue = r.def.OpenCount, r.def.OpenCount > 0, time.Time{}
	for _, name := range r.def.OpenLanes {
		r.lane(name).open = true
	}
	return nil
}

func (r *runner) lane(name string) *lane {
	l := r.lanes[name]
	if l == nil {
		l = &lane{name: name}
		r.lanes[name] = l
	}
	return l
}

// take puts events from the relay, first and those that wait behind it, into their lanes.
func (r *runner) take(first *relay.Event, more <-chan *relay.Event) error {
	batch := []*relay.Event{first}
	for len(batch) < r.atOnce {
		select {
		case e, ok := <-more:
			if ok {
				batch = append(batch, e)
				continue
			}
		default:
		}
		break
	}
	chosen, err := r.choose(batch)
	if err != nil {
		return err
	}
	now := time.Now()
	for _, e := range batch {
		if chosen != nil && !chosen[e.Position] || e.Subject == r.def.Subject && e.Type != "subscription.tested" {
			// What a subscription's own trouble is would be told to nobody but the one that is in trouble.
			r.ahead = append(r.ahead, &pending{event: Event{Position: e.Position}, settled: true})
			continue
		}
		name := e.Subject
		if r.def.IsDigest {
			name = ""
		}
		p := &pending{event: Event{Position: e.Position, Type: e.Type, Subject: e.Subject, Recovers: slices.Contains(r.def.Recoveries, e.Type), Attempt: 1, JSON: e.JSON}, lane: r.lane(name), readAt: now}
		r.ahead = append(r.ahead, p)
		r.d.step("read", r.def.Name)
		if p.lane.open || r.def.IsDigest {
			r.wait(p)
		} else {
			r.enqueue(p)
		}
	}
	r.advance()
	return nil
}

// choose gives the positions that PostgreSQL lets through; nil for all.
func (r *runner) choose(batch []*relay.Event) (map[int64]bool, error) {
	if !r.def.IsChosen && batch[0].Position > r.def.ReadPosition {
		return nil, nil
	}
	if r.def.IsChosen {
		defer r.d.turns.take(r.context, r.def.Owner)()
	}
	positions := make([]int64, len(batch))
	for i, e := range batch {
		positions[i] = e.Position
	}
	began, limit := time.Now(), r.d.lease*2/3
	through, err := r.ask(positions, limit)
	if err != nil {
		if r.def.IsChosen && time.Since(began) >= limit {
			err = r.tooSlow(len(batch), err)
		}
		return nil, err
	}
	r.slow = 0
	if time.Since(began) < time.Second {
		r.atOnce = min(2*r.atOnce, readAtOnce)
	}
	chosen := make(map[int64]bool, len(through))
	for _, p := range through {
		chosen[p] = true
	}
	return chosen, nil
}

// ask gives those of positions that PostgreSQL lets through.
func (r *runner) ask(positions []int64, limit time.Duration) (through []int64, err error) {
	ctx, cancel := context.WithTimeout(r.context, limit)
	defer cancel()
	if err := r.d.Pool.QueryRow(ctx, "select tinydev_impl.select_events($1, $2, $3)", r.id, r.def.Version, positions).Scan(&through); err != nil {
		return nil, fmt.Errorf("choose events: %w", postgres.Fault(err, ""))
	}
	if through == nil {
		return nil, errChanged
	}
	return through, nil
}

// tooSlow has fewer of n events chosen at once when that took too long, since a condition may take for ever, and pauses the subscription
// when one event takes as long again and again: nothing is passed over that might fit. A database that is slow altogether is waited for.
func (r *runner) tooSlow(n int, cause error) error {
	if _, err := r.ask([]int64{}, time.Second); err != nil {
		return err
	}
	r.atOnce = max(1, n/16)
	if n > 1 {
		return cause
	}
	if r.slow++; r.slow < slowLimit {
		return cause
	}
	r.d.Logger.Warn("a subscription is paused, since its condition takes too long", "subscription", r.id)
	ctx, cancel := context.WithTimeout(r.context, askLimit)
	defer cancel()
	if _, err := r.d.Pool.Exec(ctx, "select tinydev_impl.pause_subscription($1, 'failing')", r.id); err != nil {
		return fmt.Errorf("pause: %w", postgres.Fault(err, ""))
	}
	r.slow = 0
	return errChanged
}

func (r *runner) enqueue(p *pending) {
	p.lane.queue = append(p.lane.queue, p)
	if !p.lane.busy && len(p.lane.queue) == 1 {
		r.ready = append(r.ready, p.lane)
	}
}

// wait writes down that an event waits in the database.
func (r *runner) wait(p *pending) {
	p.settled = true
	p.lane.open = true
	r.records = append(r.records, record{pending: p, outcome: waiting})
}

// takeDue puts deliveries whose time has come into their lanes.
func (r *runner) takeDue() error {
	if !r.hasOpen {
		r.nextDue = time.Time{}
		return nil
	}
	// What is not recorded yet is not in the database yet.
	if err := r.record(false); err != nil {
		return err
	}
	busy := []string{}
	for name, l := range r.lanes {
		if l.busy || len(l.queue) > 0 {
			busy = append(busy, name)
		}
	}
	ctx, cancel := context.WithTimeout(r.context, askLimit)
	defer cancel()
	rows, err := r.d.Pool.Query(ctx, `select "position", lane, type, subject, attempt_count, event from tinydev_impl.due_deliveries($1, $2, $3)`, r.id, busy, dueAtOnce)
	if err != nil {
		return fmt.Errorf("read what is due: %w", postgres.Fault(err, ""))
	}
	defer rows.Close()
	now := time.Now()
	for rows.Next() {
		p := &pending{isStored: true, readAt: now}
		var name string
		var event *string
		if err := rows.Scan(&p.event.Position, &name, &p.event.Type, &p.event.Subject, &p.event.Attempt, &event); err != nil {
			return fmt.Errorf("read what is due: %w", err)
		}
		p.event.Attempt++
		p.event.Recovers = slices.Contains(r.def.Recoveries, p.event.Type)
		// After a replay it may be read from the log too.
		r.def.ReadPosition = max(r.def.ReadPosition, p.event.Position)
		p.lane = r.lane(name)
		p.lane.open = true
		if event != nil {
			p.event.JSON = []byte(*event)
		}
		r.enqueue(p)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read what is due: %w", postgres.Fault(err, ""))
	}
	r.nextDue = time.Time{} // the answer to what becomes of these tells the next
	return nil
}

func (r *runner) armDue(timer *time.Timer) {
	wait := time.Hour
	if !r.nextDue.IsZero() {
		wait = max(0, time.Until(r.nextDue))
	} else if r.hasOpen {
		wait = longestPause
	}
	timer.Reset(wait)
}

// begin starts attempts in lanes that are ready, as many as may be under way.
func (r *runner) begin() {
	atOnce := attemptsAtOnce
	if r.def.Kind == "command" {
		atOnce = commandRuns
	}
	for r.busy < atOnce && len(r.ready) > 0 {
		l := r.ready[0]
		r.ready = r.ready[1:]
		n := 1
		if r.def.IsDigest {
			n = len(l.queue)
		}
		batch := l.queue[:n:n]
		l.queue = l.queue[n:]
		l.busy = true
		r.busy++
		next := job{l, batch}
		select {
		case r.jobs <- next:
		default:
			go r.work(next)
		}
	}
}

// work makes attempts until there are none for a while: a goroutine that is used again has grown its stack already.
func (r *runner) work(next job) {
	idle := time.NewTimer(workerIdle)
	defer idle.Stop()
	for {
		r.results <- r.attempt(next.lane, next.batch)
		idle.Reset(workerIdle)
		select {
		case next = <-r.jobs:
		case <-idle.C:
			return
		case <-r.context.Done():
			return
		}
	}
}

// attempt makes one attempt; it runs beside the runner and reads of it only what load set.
func (r *runner) attempt(l *lane, batch []*pending) result {
	res := result{lane: l, batch: batch}
	if r.def.Kind == "command" {
		defer r.d.running.take(r.sending, r.def.Owner)()
	}
	var attached json.RawMessage
	if r.def.Attach != nil {
		if attached, res.err = r.attachment(); res.err != nil {
			res.err = fmt.Errorf("read the rows that go along: %w", res.err)
			return res
		}
	}
	if res.ended = r.sending.Err() != nil; res.ended {
		return res
	}
	events := make([]Event, 0, len(batch))
	for _, p := range batch {
		if res.err = r.refresh(p); res.err != nil {
			res.err = fmt.Errorf("read an event once more: %w", res.err)
			return res
		}
		if p.event.JSON != nil {
			events = append(events, p.event)
		}
	}
	if len(events) == 0 {
		res.missing = true
		return res
	}
	if attached != nil { // of a digest the newest has them for all
		newest := &events[len(events)-1]
		newest.JSON = attach(newest.JSON, attached)
	}
	res.began = time.Now()
	ctx, cancel := context.WithTimeout(r.sending, time.Duration(r.def.TimeoutSeconds)*time.Second)
	defer cancel()
	subscription := r.shown
	if len(subscription.Secrets) > 1 && r.def.SecretsUntil != nil && time.Now().After(*r.def.SecretsUntil) {
		subscription.Secrets = subscription.Secrets[:1]
	}
	res.outcome = r.kind.Send(ctx, subscription, events)
	res.took = time.Since(res.began)
	res.ended = r.sending.Err() != nil && res.outcome.State != Delivered
	r.d.Attempted(r.def.Kind, res.outcome.State, res.took)
	r.d.step("sent", r.def.Name)
	return res
}

// refresh reads an event once more that has waited for long, since rights may have changed.
func (r *runner) refresh(p *pending) error {
	if p.event.JSON == nil || time.Since(p.readAt) < freshFor {
		return nil
	}
	ctx, cancel := context.WithTimeout(r.sending, askLimit)
	defer cancel()
	rows, err := r.d.Pool.Query(ctx, `select e."position", e.event from tinydev_impl.require_session($1), tinydev_impl.read_events_as($1, $2, 1) e`, r.def.Owner, p.event.Position-1)
	if err != nil {
		return postgres.Fault(err, "")
	}
	defer rows.Close()
	p.event.JSON = nil
	for rows.Next() {
		var position int64
		var event string
		if err := rows.Scan(&position, &event); err != nil {
			return err
		}
		if position == p.event.Position {
			p.event.JSON = []byte(event)
		}
	}
	p.readAt = time.Now()
	return postgres.Fault(rows.Err(), "")
}

// finished notes how an attempt ended.
func (r *runner) finished(res result) {
	r.busy--
	l := res.lane
	l.busy = false
	if res.ended || res.err != nil {
		return
	}
	failed := false
	for _, p := range res.batch {
		p.settled = true
		rec := record{pending: p, outcome: string(res.outcome.State), at: res.began, took: res.took, detail: res.outcome}
		if res.missing || p.event.JSON == nil && res.outcome.State == Delivered {
			rec.outcome, rec.detail = withheld, Outcome{Error: "the event is gone, or its owner may no longer see it"}
		}
		r.records = append(r.records, rec)
		failed = failed || rec.outcome == string(Failed) || rec.outcome == string(Gone)
	}
	if failed {
		l.open = true
		for _, p := range l.queue {
			if !p.isStored {
				r.wait(p)
			}
		}
		l.queue = nil
	}
	if len(l.queue) > 0 {
		r.ready = append(r.ready, l)
	} else if !l.open {
		delete(r.lanes, l.name)
	}
}

// advance moves the cursor to before the first event that is not settled.
func (r *runner) advance() {
	for len(r.ahead) > 0 && r.ahead[0].settled {
		r.cursor = r.ahead[0].event.Position
		r.ahead = r.ahead[1:]
	}
}

// settle waits for attempts under way and records them, when the work on a subscription ends.
func (r *runner) settle() error {
	limit := time.NewTimer(stopLimit)
	defer limit.Stop()
	for r.busy > 0 {
		select {
		case res := <-r.results:
			r.finished(res)
		case <-limit.C:
			r.endSends()
		}
	}
	if r.context.Err() != nil {
		return nil
	}
	if r.draining {
		r.giveUpAt = time.Now().Add(stopLimit)
	}
	return r.record(false)
}

func (r *runner) unsubscribe() func(string) string {
	if r.d.PublicURL == "" || r.def.Kind != "email" {
		return nil
	}
	id, secret, base := r.id, r.def.LinkSecret, strings.TrimRight(r.d.PublicURL, "/")
	return func(recipient string) string { return unsubscribeLink(base, id, secret, recipient) }
}
