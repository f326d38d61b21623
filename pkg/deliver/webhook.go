package deliver

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const (
	connectTime     = 10 * time.Second // for the name and the connection, and again for TLS
	bodyTime        = 5 * time.Second  // for what follows an answer's headers
	drainBytes      = 64 << 10         // read and forgotten so that the connection can be used again; above it is closed
	headerBytes     = 64 << 10
	keptConnections = 256 // of each scheme, and as many to one host
	keptTime        = 90 * time.Second
	knownTargets    = 1024
	longestWait     = 24 * time.Hour // that a target may ask for by Retry-After
)

// Webhook is the kind "webhook": CloudEvents by POST, with the headers of Standard Webhooks.
//
// An answer of 2xx is a delivery, 410 the end of the subscription, all else a failure; redirects are not followed. Proxies that the environment
// names are not used. The connections are kept and shared by all subscriptions.
type Webhook struct {
	userAgent  []string
	plain, tls *http.Transport

	mu      sync.RWMutex
	targets map[string]*webhookTarget
}

// webhookTarget is what is made of a subscription's target once.
type webhookTarget struct {
	url       *url.URL
	transport *http.Transport
}

// WebhookOption changes what NewWebhook makes.
type WebhookOption func(*webhookOptions)

type webhookOptions struct {
	authorities *x509.CertPool
	resolver    *net.Resolver
}

// WithAuthorities has the certificates of targets checked by other authorities than the system's.
func WithAuthorities(pool *x509.CertPool) WebhookOption {
	return func(o *webhookOptions) { o.authorities = pool }
}

// WithResolver has another one than the system's look up the hosts of targets.
func WithResolver(r *net.Resolver) WebhookOption {
	return func(o *webhookOptions) { o.resolver = r }
}

// NewWebhook makes the kind. allow are the inner networks that targets may be in, and where they need no TLS.
func NewWebhook(allow []netip.Prefix, userAgent string, options ...WebhookOption) *Webhook {
	var o webhookOptions
	for _, option := range options {
		option(&o)
	}
	transport := func(g guard) *http.Transport {
		return &http.Transport{
			DialContext:            g.dialer(o.resolver).DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.authorities},
			TLSHandshakeTimeout:    connectTime,
			ForceAttemptHTTP2:      true,
			HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
			DisableCompression:     true, // an answer is read as it comes
			MaxResponseHeaderBytes: headerBytes,
			MaxIdleConns:           keptConnections,
			MaxIdleConnsPerHost:    keptConnections,
			IdleConnTimeout:        keptTime,
		}
	}
	return &Webhook{
		userAgent: []string{userAgent},
		plain:     transport(guard{allow: allow}),
		tls:       transport(guard{allow: allow, encrypted: true}),
		targets:   map[string]*webhookTarget{},
	}
}

// Name is "webhook".
func (w *Webhook) Name() string { return "webhook" }

// Close closes the connections that are not in use.
func (w *Webhook) Close() {
	w.plain.CloseIdleConnections()
	w.tls.CloseIdleConnections()
}

var webhookContent = []string{"application/cloudevents+json; charset=utf-8"}

// Send implements Kind. The id of the message is the event's position, at each attempt.
func (w *Webhook) Send(ctx context.Context, s Subscription, events []Event) Outcome {
	if len(events) != 1 {
		return failed("a webhook takes one event at a time, and these are %d", len(events))
	}
	target, err := w.target(s.Target)
	if err != nil {
		return failed("%v", err)
	}
	e, start := events[0], time.Now()
	id := strconv.FormatInt(e.Position, 10)
	signatures, err := sign(s.Secrets, id, start, e.JSON)
	if err != nil {
		return failed("%v", err)
	}
	attempt, cancel := context.WithCancel(ctx)
	defer cancel()
	// The address is filled in below: it was parsed before.
	request, err := http.NewRequestWithContext(attempt, http.MethodPost, "", bytes.NewReader(e.JSON))
	if err != nil {
		return failed("%v", err)
	}
	request.URL, request.Host = target.url, target.url.Host
	request.Header = http.Header{
		"Content-Type":      webhookContent,
		"User-Agent":        w.userAgent,
		"Webhook-Id":        {id},
		"Webhook-Timestamp": {strconv.FormatInt(start.Unix(), 10)},
		"Webhook-Signature": {signatures},
		"Tinydev-Attempt":   {strconv.Itoa(e.Attempt)},
		"Idempotency-Key":   nil, // not sent: it lets the transport try again when the connection that it kept was just closed
	}
	answer, err := target.transport.RoundTrip(request)
	if err != nil {
		return failed("%s", sendError(ctx, err, target.url.Host, start))
	}
	defer answer.Body.Close()
	// The status has decided. A body that trickles in holds nobody up.
	defer time.AfterFunc(bodyTime, cancel).Stop()
	return w.outcome(answer)
}

// outcome reads an answer.
func (w *Webhook) outcome(answer *http.Response) Outcome {
	o := Outcome{State: Delivered, StatusCode: answer.StatusCode, Response: readExcerpt(answer.Body)}
	status := strings.TrimSpace(strconv.Itoa(answer.StatusCode) + " " + http.StatusText(answer.StatusCode))
	switch code := answer.StatusCode; {
	case code >= 200 && code <= 299:
		return o
	case code == http.StatusGone:
		o.State, o.Error = Gone, "answered "+status+": the target wants no more events"
	case code >= 300 && code <= 399:
		o.State, o.Error = Failed, "answered "+status+redirect(answer)+", and redirects are not followed: make the last address the target"
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		o.State, o.Error, o.RetryAfter = Failed, "answered "+status, retryAfter(answer.Header.Get("Retry-After"))
	default:
		o.State, o.Error = Failed, "answered "+status
	}
	return o
}

// target parses an address, once.
func (w *Webhook) target(address string) (*webhookTarget, error) {
	w.mu.RLock()
	t := w.targets[address]
	w.mu.RUnlock()
	if t != nil {
		return t, nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.Opaque != "" || u.User != nil { // the error quotes the address, which may hold a secret
		return nil, errors.New("the target is no address such as https://example.org/hook")
	}
	t = &webhookTarget{url: u}
	switch u.Scheme {
	case "https":
		t.transport = w.tls
	case "http":
		t.transport = w.plain
	default:
		return nil, errors.New("the target does not begin with https://")
	}
	u.Fragment, u.RawFragment = "", ""
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.targets) >= knownTargets {
		clear(w.targets)
	}
	w.targets[address] = t
	return t, nil
}

// sign gives a signature by each secret, as the header has them.
func sign(secrets []string, id string, at time.Time, payload []byte) (string, error) {
	if len(secrets) == 0 {
		return "", errors.New("the subscription has no secret to sign with: rotate it")
	}
	var header strings.Builder
	for i, secret := range secrets {
		signer, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			return "", errors.New("the subscription's secret cannot be used to sign: rotate it")
		}
		signature, err := signer.Sign(id, at, payload)
		if err != nil {
			return "", errors.New("the event could not be signed")
		}
		if i > 0 {
			header.WriteByte(' ')
		}
		header.WriteString(signature)
	}
	return header.String(), nil
}

// retryAfter reads the header of that name, a number of seconds or a time; 0 when it is neither, or past.
func retryAfter(header string) time.Duration {
	if seconds, err := strconv.ParseUint(header, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, longestWait)
	}
	at, err := http.ParseTime(header)
	if err != nil {
		return 0
	}
	return max(0, min(time.Until(at), longestWait))
}

// redirect says where an answer points to, without what may be secret in an address.
func redirect(answer *http.Response) string {
	to, err := answer.Location()
	if err != nil || to.Host == "" {
		return ""
	}
	return " to " + shorten((&url.URL{Scheme: to.Scheme, Host: to.Host, Path: to.Path}).String(), 200)
}

// sendError says in words for people why no answer came. It holds nothing of the target but its host.
func sendError(ctx context.Context, err error, host string, start time.Time) string {
	var refused refusal
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	var alert tls.AlertError
	var record tls.RecordHeaderError
	var timeout interface{ Timeout() bool }
	var errno syscall.Errno
	switch {
	case errors.As(err, &refused):
		return refused.Error()
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return host + " did not answer within " + timeGiven(ctx, start)
	case ctx.Err() != nil:
		return "the attempt was stopped before " + host + " answered"
	case errors.As(err, &dns) && dns.IsNotFound:
		return "the host " + hostname(host) + " is not known (DNS)"
	case errors.As(err, &dns):
		return "the host " + hostname(host) + " could not be looked up (DNS): " + shorten(dns.Err, 100)
	case errors.As(err, &certificate):
		return "the certificate of " + host + " is not trusted: " + shorten(strings.TrimPrefix(certificate.Err.Error(), "x509: "), 300)
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		return host + " does not speak TLS there, as https:// needs it"
	case errors.As(err, &alert):
		return host + " and this server found no way to speak TLS: " + shorten(alert.Error(), 100)
	case errors.Is(err, syscall.ECONNREFUSED):
		return host + " refused the connection"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return host + " closed the connection without an answer"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "no connection to " + host + " came about in time"
	case errors.As(err, &errno):
		return host + " cannot be reached: " + errno.Error()
	}
	return "no answer of " + host + " that could be read: " + shorten(err.Error(), 300)
}

// timeGiven is how long an attempt had, in words.
func timeGiven(ctx context.Context, start time.Time) string {
	end, _ := ctx.Deadline()
	given := end.Sub(start).Round(10 * time.Millisecond)
	if given < time.Second {
		return strconv.FormatInt(given.Milliseconds(), 10) + " ms"
	}
	return strconv.FormatFloat(given.Round(time.Second).Seconds(), 'f', -1, 64) + " s"
}

func hostname(host string) string { return (&url.URL{Host: host}).Hostname() }

func failed(format string, args ...any) Outcome {
	return Outcome{State: Failed, Error: fmt.Sprintf(format, args...)}
}

// readExcerpt keeps the beginning of an answer. It reads on a little, so that the connection can be used again.
func readExcerpt(body io.Reader) string {
	begin := make([]byte, ResponseBytes)
	n, err := io.ReadFull(body, begin)
	if err == nil {
		_, _ = io.CopyN(io.Discard, body, drainBytes) // at worst the connection is closed
	}
	return excerpt(begin[:n])
}
