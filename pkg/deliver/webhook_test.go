package deliver_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/tinydevcrm/tinydevcrm/pkg/deliver"
)

const (
	newSecret = "whsec_bmV3IHNlY3JldCBvZiAyNCBieXRlcyE="
	oldSecret = "whsec_b2xkIHNlY3JldCBvZiAyNCBieXRlcyE="
)

func subscription(target string) deliver.Subscription {
	return deliver.Subscription{ID: 1, Owner: "ann", Name: "hook", Target: target, Secrets: []string{newSecret}}
}

func event(position int64) []deliver.Event {
	return []deliver.Event{{Position: position, Type: "view.refreshed", Subject: "ann.friends", Attempt: 1,
		JSON: fmt.Appendf(nil, `{"specversion":"1.0","id":"%d","type":"tinydev.view.refreshed","subject":"ann.friends","data":{"rows":3}}`, position)}}
}

// sender makes a webhook that reaches receivers of the test, and trusts the certificates of httptest.
func sender(t *testing.T, options ...deliver.WebhookOption) *deliver.Webhook {
	t.Helper()
	trusted := httptest.NewTLSServer(http.NotFoundHandler())
	authorities := x509.NewCertPool()
	authorities.AddCert(trusted.Certificate())
	trusted.Close()
	w := deliver.NewWebhook(networks("127.0.0.1/32"), "TinyDevCRM/test", append([]deliver.WebhookOption{deliver.WithAuthorities(authorities)}, options...)...)
	t.Cleanup(w.Close)
	return w
}

// received is a request as a receiver saw it.
type received struct {
	header http.Header
	body   []byte
	proto  string
	remote string
}

func TestWebhookIsSigned(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var all []received
			receiver := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil || r.Method != http.MethodPost || r.URL.String() != "/hook?a=b" {
					t.Errorf("%s %s: %v", r.Method, r.URL, err)
				}
				mu.Lock()
				defer mu.Unlock()
				all = append(all, received{r.Header, body, r.Proto, r.RemoteAddr})
				_, _ = w.Write([]byte("thank you"))
			}))
			receiver.EnableHTTP2 = version == "HTTP/2.0"
			receiver.StartTLS()
			t.Cleanup(receiver.Close)

			w := sender(t)
			s := subscription(receiver.URL + "/hook?a=b#fragment")
			for _, secrets := range [][]string{{oldSecret}, {newSecret, oldSecret}, {newSecret}} {
				s.Secrets = secrets
				e := event(1234567890123)
				e[0].Attempt = 3
				o := w.Send(t.Context(), s, e)
				if o.State != deliver.Delivered || o.StatusCode != 200 || o.Error != "" || o.Response != "thank you" {
					t.Fatalf("%+v", o)
				}
				got := all[len(all)-1]
				if string(got.body) != string(e[0].JSON) || got.proto != version || got.remote != all[0].remote {
					t.Errorf("%+v", got)
				}
				for name, want := range map[string]string{"Content-Type": "application/cloudevents+json; charset=utf-8", "Webhook-Id": "1234567890123", "Tinydev-Attempt": "3",
					"User-Agent": "TinyDevCRM/test", "Idempotency-Key": "", "Accept-Encoding": ""} {
					if got.header.Get(name) != want {
						t.Errorf("%s: %q", name, got.header[name])
					}
				}
				if sent, err := strconv.ParseInt(got.header.Get("Webhook-Timestamp"), 10, 64); err != nil || time.Since(time.Unix(sent, 0)) > time.Minute {
					t.Errorf("timestamp %q", got.header.Get("Webhook-Timestamp"))
				}
				// Both secrets count while one replaces the other, and none but these.
				for _, secret := range []string{newSecret, oldSecret, "whsec_c29tZWJvZHkgZWxzZSdzIHNlY3JldA=="} {
					verifier, err := standardwebhooks.NewWebhook(secret)
					if err != nil {
						t.Fatal(err)
					}
					err = verifier.Verify(got.body, got.header)
					if valid := strings.Contains(strings.Join(secrets, " "), secret); (err == nil) != valid {
						t.Errorf("signed by %d secrets, checked by %s: %v", len(secrets), secret, err)
					}
					if verifier.Verify(append(got.body, ' '), got.header) == nil {
						t.Error("another body is taken")
					}
				}
				signatures := strings.Split(got.header.Get("Webhook-Signature"), " ")
				first, err := standardwebhooks.NewWebhook(secrets[0])
				if err != nil {
					t.Fatal(err)
				}
				got.header.Set("Webhook-Signature", signatures[0])
				if err := first.Verify(got.body, got.header); err != nil || len(signatures) != len(secrets) {
					t.Errorf("%q, first: %v", signatures, err)
				}
			}
		})
	}
}

func TestWebhookOutcomes(t *testing.T) {
	t.Parallel()
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, err := strconv.Atoi(r.URL.Query().Get("status"))
		if err != nil {
			t.Error(err)
		}
		for _, name := range []string{"Retry-After", "Location"} {
			if value := r.URL.Query().Get(name); value != "" {
				w.Header().Set(name, value)
			}
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte("words"))
	}))
	t.Cleanup(receiver.Close)
	w := sender(t)
	for _, c := range []struct {
		query      string
		state      deliver.State
		says       string
		retryAfter time.Duration
	}{
		{"200", deliver.Delivered, "", 0},
		{"202&Retry-After=5", deliver.Delivered, "", 0},
		{"299", deliver.Delivered, "", 0},
		{"301&Location=https://u:p@example.org/new?key=secret", deliver.Failed, "answered 301 Moved Permanently to https://example.org/new, and redirects are not followed: make the last address the target", 0},
		{"307", deliver.Failed, "answered 307 Temporary Redirect, and redirects are not followed: make the last address the target", 0},
		{"400&Retry-After=5", deliver.Failed, "answered 400 Bad Request", 0},
		{"404", deliver.Failed, "answered 404 Not Found", 0},
		{"410", deliver.Gone, "answered 410 Gone: the target wants no more events", 0},
		{"429&Retry-After=7", deliver.Failed, "answered 429 Too Many Requests", 7 * time.Second},
		{"429&Retry-After=-7", deliver.Failed, "answered 429 Too Many Requests", 0},
		{"429&Retry-After=soon", deliver.Failed, "answered 429 Too Many Requests", 0},
		{"429&Retry-After=99999999999999999999", deliver.Failed, "answered 429 Too Many Requests", 0},
		{"503&Retry-After=4000000000", deliver.Failed, "answered 503 Service Unavailable", 24 * time.Hour},
		{"503&Retry-After=Fri, 01 Jan 2100 00:00:00 GMT", deliver.Failed, "answered 503 Service Unavailable", 24 * time.Hour},
		{"503&Retry-After=Fri, 01 Jan 2010 00:00:00 GMT", deliver.Failed, "answered 503 Service Unavailable", 0},
		{"500&Retry-After=5", deliver.Failed, "answered 500 Internal Server Error", 0},
		{"599", deliver.Failed, "answered 599", 0},
	} {
		o := w.Send(t.Context(), subscription(receiver.URL+"/?status="+strings.ReplaceAll(c.query, " ", "%20")), event(1))
		want := deliver.Outcome{State: c.state, Error: c.says, RetryAfter: c.retryAfter, Response: "words"}
		want.StatusCode, _ = strconv.Atoi(c.query[:3])
		if o != want {
			t.Errorf("%s:\n got %+v\nwant %+v", c.query, o, want)
		}
	}
	until := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	if o := w.Send(t.Context(), subscription(receiver.URL+"/?status=429&Retry-After="+strings.ReplaceAll(until, " ", "%20")), event(1)); o.RetryAfter < 59*time.Minute || o.RetryAfter > time.Hour {
		t.Errorf("until %s: %s", until, o.RetryAfter)
	}
}

// What a target answers is kept as text that PostgreSQL takes, and a long answer costs no connection.
func TestWebhookKeepsAnExcerpt(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		"":                          "",
		"plain":                     "plain",
		"a\x00b":                    "ab",
		"\xff\xfe":                  "�",
		strings.Repeat("x", 5000):   strings.Repeat("x", deliver.ResponseBytes),
		strings.Repeat("€", 342):    strings.Repeat("€", 341), // 1026 bytes
		strings.Repeat("ab\x00", 9): strings.Repeat("ab", 9),
	} {
		if got := deliver.Excerpt([]byte(answer)); got != want {
			t.Errorf("%.20q became %q", answer, got)
		}
	}
	for _, hostile := range []string{strings.Repeat("\xff€", 1024), strings.Repeat("x", 1023) + "€", strings.Repeat("x\xff", 700)} {
		if got := deliver.Excerpt([]byte(hostile)); len(got) > deliver.ResponseBytes || len(got) < deliver.ResponseBytes-4 || !utf8.ValidString(got) {
			t.Errorf("%d bytes: %q", len(got), got)
		}
	}

	remotes := map[string]bool{}
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		remotes[r.RemoteAddr] = true
		size, err := strconv.Atoi(r.URL.Path[1:])
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(bytes.Repeat([]byte("z"), size))
	}))
	t.Cleanup(receiver.Close)
	w := sender(t)
	for _, size := range []int{0, 1, 1023, 1024, 1025, 4096, 60_000} {
		o := w.Send(t.Context(), subscription(fmt.Sprintf("%s/%d", receiver.URL, size)), event(1))
		if o.State != deliver.Delivered || len(o.Response) != min(size, deliver.ResponseBytes) {
			t.Errorf("%d bytes: %s, %d kept", size, o.State, len(o.Response))
		}
	}
	if len(remotes) != 1 {
		t.Errorf("%d connections", len(remotes))
	}
	if o := w.Send(t.Context(), subscription(receiver.URL+"/10000000"), event(1)); o.State != deliver.Delivered || len(o.Response) != deliver.ResponseBytes {
		t.Errorf("a large answer: %s, %d kept", o.State, len(o.Response))
	}
}

func TestWebhookFailures(t *testing.T) {
	t.Parallel()
	hanging := make(chan struct{})
	receiver := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hangs":
			<-hanging
		case "/trickles", "/trickles/badly":
			if r.URL.Path == "/trickles/badly" {
				w.WriteHeader(http.StatusInternalServerError)
			}
			_, _ = w.Write([]byte("well"))
			_ = http.NewResponseController(w).Flush()
			<-hanging
		case "/closes":
			panic(http.ErrAbortHandler)
		}
	}))
	receiver.Config.ErrorLog = log.New(io.Discard, "", 0) // of certificates that are not taken
	receiver.StartTLS()
	t.Cleanup(func() { close(hanging); receiver.Close() })
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	garbled := raw(t, "SSH-2.0-OpenSSH\r\n")
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	_, port, _ := net.SplitHostPort(receiver.Listener.Addr().String())

	resolver := nameServer(t, func(name string) []netip.Addr {
		if name == "other.example" {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}
		}
		return nil
	})
	w := sender(t, deliver.WithResolver(resolver))
	strict := deliver.NewWebhook(networks("127.0.0.0/8"), "test")
	t.Cleanup(strict.Close)
	for _, c := range []struct {
		by     *deliver.Webhook
		target string
		says   string
	}{
		{w, "https://unknown.example/?token=hunter2", "the host unknown.example is not known (DNS)"},
		{w, "https://" + closed.Addr().String() + "/hunter2", closed.Addr().String() + " refused the connection"},
		{strict, receiver.URL, "the certificate of " + receiver.Listener.Addr().String() + " is not trusted: certificate signed by unknown authority"},
		{w, "https://other.example:" + port, "the certificate of other.example:" + port + " is not trusted: certificate is valid for example.com, "},
		{w, "https://" + plain.Listener.Addr().String(), plain.Listener.Addr().String() + " does not speak TLS there"},
		{w, "https://" + garbled, garbled + " does not speak TLS there"},
		{w, "http://" + garbled, "no answer of " + garbled + " that could be read: "},
		{w, "http://" + receiver.Listener.Addr().String(), "answered 400 Bad Request"}, // it says that it speaks HTTPS
		{w, receiver.URL + "/closes", receiver.Listener.Addr().String() + " closed the connection without an answer"},
		{w, receiver.URL + "/hangs?token=hunter2", receiver.Listener.Addr().String() + " did not answer within 300 ms"},
		{w, receiver.URL + "/trickles/badly", "answered 500 Internal Server Error"},
		{w, "https://ann:hunter2@[broken/", "the target is no address such as https://example.org/hook"},
		{w, "ftp://example.org/hunter2", "the target does not begin with https://"},
		{w, "mailto:hunter2", "the target is no address such as https://example.org/hook"},
		{w, "https://ann:hunter2@example.org/", "the target is no address such as https://example.org/hook"},
		{w, "hunter2", "the target is no address such as https://example.org/hook"},
		{w, "", "the target is no address such as https://example.org/hook"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if !strings.Contains(c.says, "300 ms") && !strings.Contains(c.target, "trickles") {
			cancel()
			ctx, cancel = context.WithTimeout(t.Context(), 30*time.Second)
		}
		o := c.by.Send(ctx, subscription(c.target), event(1))
		cancel()
		if o.State != deliver.Failed || !strings.HasPrefix(o.Error, c.says) || strings.Contains(o.Error, "hunter2") {
			t.Errorf("%s: %+v", c.target, o)
		}
	}

	// The status came, so it is a delivery whatever becomes of the body.
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if o := w.Send(ctx, subscription(receiver.URL+"/trickles"), event(1)); o.State != deliver.Delivered || o.Response != "well" {
		t.Errorf("a slow body: %+v", o)
	}

	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if o := w.Send(ctx, subscription(receiver.URL), event(1)); o.State != deliver.Failed || !strings.Contains(o.Error, "was stopped") {
		t.Errorf("a stopped attempt: %+v", o)
	}

	s := subscription(receiver.URL)
	for _, secrets := range [][]string{nil, {"whsec_not base64"}} {
		s.Secrets = secrets
		if o := w.Send(t.Context(), s, event(1)); o.State != deliver.Failed || !strings.Contains(o.Error, "rotate it") || strings.Contains(o.Error, "base64") {
			t.Errorf("secrets %q: %+v", secrets, o)
		}
	}
	if o := w.Send(t.Context(), subscription(receiver.URL), append(event(1), event(2)...)); o.State != deliver.Failed {
		t.Errorf("two events: %+v", o)
	}
}

// raw answers every connection with the same bytes and closes it.
func raw(t *testing.T, answer string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close()
				_, _ = connection.Write([]byte(answer))
				_, _ = connection.Read(make([]byte, 4096))
			}()
		}
	}()
	return listener.Addr().String()
}

// A redirect leads nowhere, least of all to where clouds keep their keys.
func TestWebhookFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	elsewhere := counter(t, "127.0.0.1:0")
	for _, to := range []string{"http://169.254.169.254/latest/meta-data/", "http://" + elsewhere.address + "/", "/same"} {
		var requests atomic.Int32
		receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			requests.Add(1)
			http.Redirect(w, r, to, http.StatusFound)
		}))
		t.Cleanup(receiver.Close)
		o := sender(t).Send(t.Context(), subscription(receiver.URL), event(1))
		if o.State != deliver.Failed || o.StatusCode != 302 || !strings.Contains(o.Error, "redirects are not followed") || requests.Load() != 1 {
			t.Errorf("to %s, %d requests: %+v", to, requests.Load(), o)
		}
	}
	if n := elsewhere.requests.Load(); n > 0 {
		t.Errorf("%d requests arrived", n)
	}
}

// Proxies of the environment are read once in a process, so the test is a process of its own.
func TestWebhookUsesNoProxy(t *testing.T) {
	t.Parallel()
	if os.Getenv("DELIVER_TEST_CHILD") == t.Name() {
		w := sender(t, deliver.WithResolver(alwaysIs(t, "127.0.0.1"))) // proxies are never asked for 127.0.0.1 itself
		for scheme, receiver := range map[string]*httptest.Server{"http": httptest.NewServer(http.HandlerFunc(thank)), "https": httptest.NewTLSServer(http.HandlerFunc(thank))} {
			t.Cleanup(receiver.Close)
			_, port, _ := net.SplitHostPort(receiver.Listener.Addr().String())
			if o := w.Send(t.Context(), subscription(scheme+"://example.com:"+port+"/"), event(1)); o.State != deliver.Delivered {
				t.Errorf("%s: %+v", scheme, o)
			}
		}
		return
	}
	proxy := counter(t, "127.0.0.1:0")
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	child.Env = append(os.Environ(), "DELIVER_TEST_CHILD="+t.Name(), "NO_PROXY=", "no_proxy=")
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		child.Env = append(child.Env, name+"=http://"+proxy.address)
	}
	if out, err := child.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Errorf("%v\n%s", err, out)
	}
	if n := proxy.requests.Load(); n > 0 {
		t.Errorf("the proxy was asked %d times", n)
	}
}

func thank(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("thank you")) }

// A receiver that closes connections after an answer, or when it gets the next request, loses nothing.
func TestWebhookSurvivesClosedConnections(t *testing.T) {
	t.Parallel()
	for _, requests := range []int{1, 2} { // of a connection
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { listener.Close() })
		go func() {
			for {
				connection, err := listener.Accept()
				if err != nil {
					return
				}
				go func() {
					defer connection.Close()
					in := bufio.NewReader(connection)
					for i := range requests {
						r, err := http.ReadRequest(in)
						if err != nil {
							return
						}
						_, _ = io.Copy(io.Discard, r.Body)
						if i == 0 {
							_, _ = io.WriteString(connection, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
						}
					}
				}()
			}
		}()
		w := sender(t)
		for i := range int64(100) {
			if o := w.Send(t.Context(), subscription("http://"+listener.Addr().String()), event(i)); o.State != deliver.Delivered {
				t.Fatalf("%d requests a connection: %+v", requests, o)
			}
		}
	}
}

// Many at the same time share connections; more targets than are remembered are no trouble.
func TestWebhookAtTheSameTime(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	receiver := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		verifier, e := standardwebhooks.NewWebhook(newSecret)
		if err := errors.Join(err, e); err != nil {
			t.Error(err)
		} else if err := verifier.Verify(body, r.Header); err != nil {
			t.Error(err)
		}
		requests.Add(1)
	}))
	t.Cleanup(receiver.Close)
	w := sender(t)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			for j := range 100 {
				o := w.Send(t.Context(), subscription(fmt.Sprintf("%s/%d/%d", receiver.URL, i, j)), event(int64(i*100+j)))
				if o.State != deliver.Delivered {
					t.Errorf("%+v", o)
				}
			}
		})
	}
	all.Wait()
	if requests.Load() != 2000 {
		t.Errorf("%d requests", requests.Load())
	}
}
