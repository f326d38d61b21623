package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime/multipart"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/api"
	"github.com/tinydevcrm/tinydevcrm/pkg/auth"
	"github.com/tinydevcrm/tinydevcrm/pkg/config"
	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/deliver"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/ingest"
	"github.com/tinydevcrm/tinydevcrm/pkg/observe"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
	"github.com/tinydevcrm/tinydevcrm/pkg/relay"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// harness is the API on a real database, behind a real HTTP server.
type harness struct {
	t      testing.TB
	db     *pgtest.Database
	url    string
	auth   *auth.Auth
	relay  *relay.Relay
	api    *api.Service
	tokens map[string]string
	log    *record
	down   atomic.Bool // makes /readyz say so
	stop   func()      // the relay, as a server that stops does

	deliverer *deliver.Deliverer // started by deliver
}

// start serves db; with sets further options.
func start(t testing.TB, with ...func(*api.Options)) *harness {
	t.Helper()
	db := pgtest.DB(t)
	ctx, cancel := context.WithCancel(context.Background())
	h := &harness{t: t, db: db, tokens: map[string]string{}, log: &record{}}
	url := db.URL("tinydev_server")
	pool, err := postgres.Open(ctx, url, "test", 8)
	check(t, err)
	sessions := postgres.NewSessions(url, pool, postgres.Options{})
	h.auth, err = auth.New(auth.Options{Server: pool, Token: auth.NewToken(), Logger: slog.New(slog.NewTextHandler(h.log, nil))})
	check(t, err)
	for _, role := range []string{pgtest.Ann, pgtest.Bob, pgtest.Admin} {
		h.tokens[role] = auth.NewToken()
		check(t, h.auth.Register(ctx, role, "test", h.tokens[role]))
	}
	log := slog.New(slog.NewTextHandler(h.log, nil))
	h.relay = relay.New(pool, log)
	relayed := make(chan struct{})
	relaying, stop := context.WithCancel(ctx)
	h.stop = stop
	go func() {
		defer close(relayed)
		if err := h.relay.Run(relaying); err != nil {
			t.Errorf("relay: %v", err)
		}
	}()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	verbs := control.New(sessions)
	verbs.CheckOptions = deliver.CheckOptions
	commands, err := deliver.NewCommands(config.Commands{"count": {Argv: []string{"/usr/bin/wc", "-l"}, Users: []string{config.Everyone}}, "bobs": {Argv: []string{"/bin/false"}, Users: []string{pgtest.Bob}}})
	check(t, err)
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	o := api.Options{Control: verbs, Relay: h.relay,
		Deliverer: deliver.New(deliver.Options{Pool: pool, Relay: h.relay, Control: verbs, Kinds: []deliver.Kind{deliver.NewWebhook(loopback, "test"), commands},
			Commands: map[string][]string{"count": {config.Everyone}, "bobs": {pgtest.Bob}}, WebhookAllow: loopback, Server: "test", Logger: log}),
		Auth: h.auth, Metrics: observe.NewMetrics("test"), Logger: log, Version: "test",
		Loader: &ingest.Loader{Sessions: sessions, SpoolDir: t.TempDir(), Logger: log, MaxUploadBytes: 3 << 19},
		Listen: listener.Addr().String(), Hosts: []string{"crm.example.org"},
		Ready: func(context.Context) error {
			if h.down.Load() {
				return fault.New(fault.Unavailable, "database_unavailable", "the database does not answer").Because(errors.New("cause"))
			}
			return nil
		}}
	for _, set := range with {
		set(&o)
	}
	h.deliverer = o.Deliverer
	h.api, err = api.New(o)
	check(t, err)
	server := &http.Server{Handler: h.api, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(listener) }()
	h.url = "http://" + listener.Addr().String()
	t.Cleanup(func() {
		cancel()
		<-relayed
		_ = server.Close()
		sessions.Close()
		pool.Close()
	})
	pgtest.Eventually(t, 10*time.Second, "the relay is ready", h.relay.Ready)
	return h
}

// deliver has the server deliver until the test ends.
func (h *harness) deliver() {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.deliverer.Run(ctx) }()
	h.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			h.t.Errorf("deliver: %v", err)
		}
	})
	pgtest.Eventually(h.t, 10*time.Second, "the server delivers", func() bool {
		return pgtest.Value[int](h.t, h.db.Superuser(), "select count(*)::int from tinydev_impl.server") == 1
	})
}

// record is a log that may be read while it is written.
type record struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) problem(t testing.TB) api.Problem {
	t.Helper()
	var p api.Problem
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		t.Fatalf("no problem: %d %s", a.status, a.body)
	}
	return p
}

// call sends a request as a role ("" for nobody); edits change it before.
func (h *harness) call(role, method, path, body string, edits ...func(*http.Request)) answer {
	h.t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, h.url+path, reader)
	check(h.t, err)
	if role != "" {
		req.Header.Set("Authorization", "Bearer "+h.tokens[role])
	}
	if strings.HasPrefix(body, "{") {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, edit := range edits {
		edit(req)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Timeout: 30 * time.Second}
	resp, err := client.Do(req)
	check(h.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	check(h.t, err)
	return answer{resp.StatusCode, resp.Header, string(text)}
}

// form writes a multipart form of name and value pairs; the name file is a file.
func form(t testing.TB, fields ...string) (body string, edit func(*http.Request)) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i < len(fields); i += 2 {
		if fields[i] == "file" {
			part, err := w.CreateFormFile("file", "friends.csv")
			check(t, err)
			_, err = io.WriteString(part, fields[i+1])
			check(t, err)
		} else {
			check(t, w.WriteField(fields[i], fields[i+1]))
		}
	}
	check(t, w.Close())
	return b.String(), func(r *http.Request) { r.Header.Set("Content-Type", w.FormDataContentType()) }
}

// load uploads a file as a form.
func (h *harness) load(role, path string, fields ...string) answer {
	h.t.Helper()
	body, edit := form(h.t, fields...)
	return h.call(role, "POST", path, body, edit)
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}
