package deliver

import (
	"context"
	"encoding/json"
	"time"
)

// Kind sends events to the targets of one kind of subscription. A new one is a file that implements Kind, and its line where the
// server makes its kinds; the database takes every kind that a server says it has.
type Kind interface {
	// Name is what a subscription's kind says: "webhook".
	Name() string
	// Send makes one attempt to deliver events, of which there are several only for a digest. They are about one subject unless
	// it is one. It ends when ctx does, which has the subscription's time-out, and leaves no process or connection in use behind.
	Send(ctx context.Context, s Subscription, events []Event) Outcome
}

// Subscription is what a kind may know of a subscription.
type Subscription struct {
	ID      int64
	Owner   string // role whose events they are
	Name    string
	Target  string          // a URL, e-mail addresses, the name of a command
	Secrets []string        // "whsec_…", newest first; while one replaces the other both count
	Options json.RawMessage // of the kind, an object
	// Unsubscribe is the address of the page on which the reader ends it; empty where the kind has none.
	Unsubscribe func(recipient string) string
}

// Event is one event to deliver, as the subscription's owner may see it at the time of the attempt.
type Event struct {
	Position int64
	Type     string // without the prefix "tinydev."
	Subject  string // workspace.name
	Recovers bool   // it is sent since the trouble is over that the subscription was told of
	Attempt  int    // 1 for the first
	JSON     []byte // CloudEvents 1.0; with what the subscription attaches in data.attached
}

// State is how an attempt ended.
type State string

// The ends of an attempt.
const (
	Delivered State = "delivered"
	Failed    State = "failed" // to be tried again by the subscription's plan
	Gone      State = "gone"   // the target wants no more: the subscription is paused
)

// Outcome is the end of one attempt.
type Outcome struct {
	State      State
	StatusCode int           // of HTTP, SMTP, or a command's exit; 0 when there is none
	Error      string        // why it failed, for the owner; no secret
	Response   string        // the beginning of what the target answered, at most ResponseBytes
	RetryAfter time.Duration // what the target asked for; 0 for nothing
}

// ResponseBytes is how much of an answer is kept.
const ResponseBytes = 1024
