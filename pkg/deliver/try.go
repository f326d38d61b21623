package deliver

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/relay"
)

const (
	testsAtOnce = 3 // of one user, as each holds a request for as long as its target takes
	linksAtOnce = 2 // of all readers of e-mail, who are not signed in
)

// CheckOptions checks options of a subscription before they are stored, as control.Control.CheckOptions.
// Errors: those of CheckEmailOptions.
func CheckOptions(kind string, options json.RawMessage) error {
	if kind != "email" {
		return nil // PostgreSQL knows them all
	}
	return CheckEmailOptions(options)
}

// tests counts the tests of each user that are under way.
type tests struct {
	mu    sync.Mutex
	count map[string]int
}

// begin counts a test; end is called when it has ended. Errors: unavailable tests_limit.
func (t *tests) begin(user string) (end func(), err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.count[user] >= testsAtOnce {
		return nil, fault.New(fault.Unavailable, "tests_limit", "%s tests %d targets already", user, t.count[user]).WithHint("try again when one of them has answered")
	}
	if t.count == nil {
		t.count = map[string]int{}
	}
	t.count[user]++
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.count[user]--; t.count[user] == 0 {
			delete(t.count, user)
		}
	}, nil
}

// TryNew makes one attempt with a sample event to the target of a subscription that is not saved, within its time-out. Nothing is
// stored, and no rows are attached. What has no name is called test. A dry run gives the SQL that would save it, and sends nothing.
// Errors: those of control.User.CreateSubscription but for a taken name; those of Try.
func (d *Deliverer) TryNew(ctx context.Context, user *control.User, s control.NewSubscription, dryRun bool) (control.Change[control.TriedSubscription], error) {
	var c control.Change[control.TriedSubscription]
	if s.Name == "" {
		s.Name = "test"
	}
	plan, err := user.CreateSubscription(ctx, s, true)
	if fault.CodeOf(err) == "subscription_name_taken" { // it may be the one that is to be changed
		other := s
		other.Name = "test-" + randomHex()[:16]
		plan, err = user.CreateSubscription(ctx, other, true)
	}
	if err != nil || dryRun {
		c.SQL = plan.SQL
		return c, err
	}
	candidate := Subscription{Owner: user.Role, Name: s.Name, Target: s.Target, Options: s.Options}
	if s.Kind == "webhook" {
		if s.Secret == "" {
			s.Secret = control.NewWebhookSecret()
			c.Made.Secret = s.Secret
		}
		candidate.Secrets = []string{s.Secret}
	}
	limit := 30 * time.Second // the default of tinydev.create_subscription
	if s.TimeoutSeconds != nil {
		limit = time.Duration(*s.TimeoutSeconds) * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	outcome, took, err := d.Try(ctx, candidate, s.Kind)
	if err != nil {
		return c, err
	}
	c.Made.State, c.Made.LatencyMS = string(outcome.State), int(took.Milliseconds())
	if outcome.StatusCode != 0 {
		c.Made.StatusCode = &outcome.StatusCode
	}
	if outcome.Error != "" {
		c.Made.Error = &outcome.Error
	}
	if outcome.Response != "" {
		c.Made.Response = &outcome.Response
	}
	return c, nil
}

// Test writes subscription.tested for a subscription and waits until it was attempted once, up to a time; 0 does not wait, nor does a
// test that no server can send. It ends early when the server stops. Errors: those of control.User.TestSubscription; unavailable tests_limit.
func (d *Deliverer) Test(ctx context.Context, user *control.User, name string, wait time.Duration, dryRun bool) (control.Change[control.TestedSubscription], error) {
	after := d.Relay.Head()
	if !dryRun && wait > 0 {
		end, err := d.tests.begin(user.Role)
		if err != nil {
			return control.Change[control.TestedSubscription]{}, err
		}
		defer end()
	}
	c, err := user.TestSubscription(ctx, name, dryRun)
	if err != nil || dryRun || wait <= 0 || len(c.Made.Warnings) > 0 {
		return c, err
	}
	c.Made.Delivery, err = d.await(ctx, user, name, c.Made.EventID, after, wait)
	return c, err
}

// await gives the delivery of a test once it was attempted, or is to be attempted too late; after a time what there is of it.
func (d *Deliverer) await(ctx context.Context, user *control.User, name string, eventID, after int64, wait time.Duration) (*control.Delivery, error) {
	// It ends when the server stops, and wakes when the test is in the log.
	stream, err := d.Relay.Subscribe(ctx, user.Role, -1, relay.Filter{Types: []string{"subscription.tested"}})
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	until := time.Now().Add(wait)
	limit := time.NewTimer(wait)
	defer limit.Stop()
	for pause, open := 25*time.Millisecond, true; ; pause = min(2*pause, 500*time.Millisecond) {
		delivery, err := user.TestedDelivery(ctx, name, eventID, after)
		if err != nil || !open || delivery != nil && (delivery.LastAttemptAt != nil || delivery.State == "dead" || delivery.NextAttemptAt != nil && delivery.NextAttemptAt.After(until)) {
			return delivery, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-limit.C:
			open = false
		case <-time.After(pause):
		case _, open = <-stream.Events():
		}
	}
}
