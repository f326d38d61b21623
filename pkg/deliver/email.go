package deliver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/mail"
	"net/textproto"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/tinydevcrm/tinydevcrm/pkg/config"
)

// EmailOptions say by which server e-mail leaves, and what it tells of ours.
type EmailOptions struct {
	URL       string         // of the SMTP server, as config.ParseSMTP takes it
	From      string         // TinyDevCRM <noreply@example.org>
	PublicURL string         // of the pages, to which messages link; empty for no links
	Hostname  string         // what the server calls itself; empty for the machine's name
	Roots     *x509.CertPool // by which the SMTP server's certificate is trusted; nil for the machine's
}

// Email is the kind of subscriptions whose target is one or more e-mail addresses, separated by commas; see CheckEmailOptions for its
// options. Each recipient gets a message of its own, which no other address shows in.
//
// An attempt is delivered when the server took the messages to all recipients but those whom it refused for good (5xx to RCPT), of whom
// the outcome's Error tells; refused all, it failed. After other failures the next attempt leaves out those whose message the server
// took, as far as this process remembers them (some 5,000 messages). So nobody misses a message, but somebody may get one twice:
// when the server took it and the connection ended before it could say so, or when another process goes on after this one. Such a
// message has the same Message-ID as the first, which is made of the installation, the subscription, the positions of the events and
// the recipient, and mail programs that look at it show one; so has what is replayed. Whether it arrives where the server passes it
// on to nobody here learns: it says so by mail to the sender.
type Email struct {
	server   config.SMTP
	address  string // host:port
	from     *mail.Address
	pages    string
	hostname string
	tls      *tls.Config

	mu     sync.Mutex
	idle   []*connection // the one used last at the end
	closed bool
	taken  memory
}

// NewEmail makes the kind. It opens no connection before the first message, and keeps up to four for 30 seconds each; Close ends them.
// Errors: invalid config_invalid.
func NewEmail(o EmailOptions) (*Email, error) {
	server, err := config.ParseSMTP(o.URL)
	if err != nil {
		return nil, err
	}
	from, err := config.ParseSender(o.From)
	if err != nil {
		return nil, err
	}
	return &Email{
		server: server, address: net.JoinHostPort(server.Host, strconv.Itoa(server.Port)), from: from, pages: strings.TrimRight(o.PublicURL, "/"), hostname: o.Hostname,
		tls: &tls.Config{ServerName: server.Host, RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
	}, nil
}

// Name implements Kind.
func (e *Email) Name() string { return "email" }

// maxRecipients is how many addresses a target may have.
const maxRecipients = 20

var emailAddress = regexp.MustCompile(`^[^\s\pC@<>()",;:\\\[\]]{1,64}@[^\s\pC@<>()",;:\\\[\]]{1,255}$`)

// recipients reads a target.
func recipients(target string) ([]string, error) {
	var list []string
	for _, address := range strings.Split(target, ",") {
		address = strings.TrimSpace(address)
		switch {
		case address == "" || slices.ContainsFunc(list, func(other string) bool { return strings.EqualFold(other, address) }):
			continue
		case len(address) > 320 || !emailAddress.MatchString(address):
			return nil, fmt.Errorf("%q is no e-mail address", address)
		}
		list = append(list, address)
	}
	if len(list) < 1 || len(list) > maxRecipients {
		return nil, fmt.Errorf("an e-mail goes to 1 to %d addresses, and there are %d", maxRecipients, len(list))
	}
	return list, nil
}

// Send implements Kind. StatusCode is SMTP's: where it failed of the first recipient that is tried again, else of the last message that
// was taken.
func (e *Email) Send(ctx context.Context, s Subscription, events []Event) Outcome {
	to, err := recipients(s.Target)
	if err != nil {
		return failed("%s", err)
	}
	letter, err := e.write(s, events)
	if err != nil {
		return failed("%s", err)
	}
	// A recipient that has the server hang keeps each of the others waiting for one attempt only.
	first := max(events[0].Attempt-1, 0) % len(to)
	to = append(to[first:], to[:first]...)

	outcome := Outcome{State: Delivered, StatusCode: 250}
	var failures, refusals, ids []string
	var refused Outcome // of the first one who is refused for good
	for i, address := range to {
		id := letter.messageID(address)
		ids = append(ids, id)
		if e.taken.has(id) {
			continue
		}
		answer, reached, err := e.post(ctx, letter, address, id)
		if err == nil {
			e.taken.add(id)
			if outcome.State == Delivered {
				outcome.Response = answer
			}
			continue
		}
		code, words := e.explain(ctx, err)
		if reached {
			words = address + ": " + words
		}
		if isRefusal(err) && code != 0 {
			if refusals = append(refusals, words); len(refusals) == 1 {
				refused = Outcome{State: Failed, StatusCode: code, Response: answer}
			}
			continue
		}
		if failures = append(failures, words); len(failures) == 1 {
			outcome = Outcome{State: Failed, StatusCode: code, Response: answer}
		}
		if left := len(to) - i - 1; left > 0 && (!reached || ctx.Err() != nil) {
			failures = append(failures, fmt.Sprintf("%d more not tried", left))
			break
		}
	}
	if len(refusals) == len(to) {
		outcome = refused
	}
	if outcome.State == Delivered {
		e.taken.forget(ids)
	}
	outcome.Error = shorten(strings.Join(append(failures, refusals...), "; "), ResponseBytes)
	outcome.Response = shorten(clean(outcome.Response), ResponseBytes)
	return outcome
}

// isRefusal tells an answer by which a server takes nothing for this recipient, now or later, whatever becomes of the others.
func isRefusal(err error) bool {
	var refused *recipientRefused
	return errors.As(err, &refused) && refused.reply.Code/100 == 5
}

// post sends a letter to one recipient. answer is what the server said; reached tells that it was about this recipient.
func (e *Email) post(ctx context.Context, l *letter, to, id string) (answer string, reached bool, err error) {
	text, err := l.compose(to, id)
	if err != nil {
		return "", true, err
	}
	c, err := e.connect(ctx)
	if err == nil {
		reached = true
		answer, err = c.send(e.from.Address, to, text)
		e.release(c, err)
	}
	if reply := new(textproto.Error); errors.As(err, &reply) {
		answer = reply.Msg
	}
	return answer, reached, err
}

// explain gives SMTP's code of an error, 0 for none, and words for the owner of the subscription.
func (e *Email) explain(ctx context.Context, err error) (int, string) {
	code, words := 0, err.Error()
	if reply := new(textproto.Error); errors.As(err, &reply) {
		code = reply.Code
		words = strings.Replace(words, reply.Error(), fmt.Sprintf("%d %s", reply.Code, reply.Msg), 1) // without quotes
	}
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return 0, e.address + " did not answer in time"
	case ctx.Err() != nil:
		return 0, "interrupted"
	case errors.Is(err, io.EOF):
		return 0, e.address + " closed the connection before it answered"
	}
	return code, oneLine(words)
}

// memory holds which messages the server took though their attempt failed, by Message-ID: the last 2,500 to 5,000.
type memory struct {
	mu            sync.Mutex
	recent, older map[string]bool
}

func (m *memory) has(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.recent[id] || m.older[id]
}

func (m *memory) add(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.recent == nil || len(m.recent) >= 2500 {
		m.recent, m.older = map[string]bool{}, m.recent
	}
	m.recent[id] = true
}

func (m *memory) forget(ids []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		delete(m.recent, id)
		delete(m.older, id)
	}
}
