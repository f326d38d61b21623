package web_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/api"
	"github.com/tinydevcrm/tinydevcrm/pkg/auth"
	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/deliver"
	"github.com/tinydevcrm/tinydevcrm/pkg/ingest"
	"github.com/tinydevcrm/tinydevcrm/pkg/observe"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
	"github.com/tinydevcrm/tinydevcrm/pkg/relay"
	"github.com/tinydevcrm/tinydevcrm/pkg/web"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const friends = "Name,Date,Score\nann,1815-12-10,3.5\nbob,1912-06-23,\neve,1906-12-09,7\n"

// site is the API and the pages over a test database, with the relay running, seen by one user.
type site struct {
	t     *testing.T
	db    *pgtest.Database
	auth  *auth.Auth
	url   string
	token string

	server    *httptest.Server
	down      atomic.Bool
	deliverer *deliver.Deliverer
}

// An identity provider is trusted when one is given.
func open(t *testing.T, db *pgtest.Database, role string, trust ...auth.SignOnOptions) *site {
	t.Helper()
	return openDelivering(t, db, role, deliver.Options{}, trust...)
}

// openDelivering has the site deliver by more kinds than webhooks, which go to 127.0.0.1 only; deliver starts it.
func openDelivering(t *testing.T, db *pgtest.Database, role string, delivering deliver.Options, trust ...auth.SignOnOptions) *site {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	pool, err := postgres.Open(ctx, db.URL("tinydev_server"), "tinydev", 6)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	sessions := postgres.NewSessions(db.URL("tinydev_server"), pool, postgres.Options{})
	loader := &ingest.Loader{Sessions: sessions, SpoolDir: t.TempDir(), Logger: log}
	stream := relay.New(pool, log)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := stream.Run(ctx); err != nil {
			t.Errorf("run the relay: %v", err)
		}
	}()
	s := &site{t: t, db: db, token: auth.NewToken()}
	who := auth.Options{Server: pool, Token: s.token}
	var signOn *auth.SignOn
	for _, o := range trust {
		o.Server, o.Token, o.Logger = pool, s.token, log
		if signOn, err = auth.NewSignOn(o); err != nil {
			t.Fatal(err)
		}
		who.JWT = signOn
	}
	if s.auth, err = auth.New(who); err != nil {
		t.Fatal(err)
	}
	if err := s.auth.Register(ctx, role, "test", s.token); err != nil {
		t.Fatal(err)
	}
	verbs := control.New(sessions)
	verbs.CheckOptions = deliver.CheckOptions
	delivering.Pool, delivering.Relay, delivering.Control, delivering.Server, delivering.Logger = pool, stream, verbs, "test", log
	delivering.WebhookAllow = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	delivering.Kinds = append(delivering.Kinds, deliver.NewWebhook(delivering.WebhookAllow, "test"))
	s.deliverer = deliver.New(delivering)
	service, err := api.New(api.Options{
		Control: verbs, Loader: loader, Relay: stream, Deliverer: s.deliverer, Auth: s.auth, Metrics: observe.NewMetrics("test"), Logger: log,
		Version: "test", Listen: "127.0.0.1:0", Ready: func(context.Context) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	options := web.Options{Control: verbs, Loader: loader, Auth: s.auth, Deliverer: s.deliverer, SpoolDir: loader.SpoolDir, Logger: log}
	if signOn != nil {
		options.SignOn = signOn
	}
	pages, err := web.New(options)
	if err != nil {
		t.Fatal(err)
	}
	pages.Register(service.Echo)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.down.Load() {
			panic(http.ErrAbortHandler)
		}
		service.ServeHTTP(w, r)
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	s.server, s.url = server, server.URL
	t.Cleanup(func() {
		cancel() // ends the streams
		<-ended
		server.CloseClientConnections()
		server.Close()
		if err := pages.Close(); err != nil {
			t.Errorf("close the pages: %v", err)
		}
		sessions.Close()
		pool.Close()
	})
	pgtest.Eventually(t, 10*time.Second, "the relay is ready", stream.Ready)
	return s
}

// deliver has the site deliver until the test ends.
func (s *site) deliver() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.deliverer.Run(ctx) }()
	s.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Errorf("deliver: %v", err)
		}
	})
	super := s.db.Superuser()
	pgtest.Eventually(s.t, 10*time.Second, "the site delivers", func() bool {
		return pgtest.Value[bool](s.t, super, "select exists (select from tinydev_impl.server where lease_until > pg_catalog.clock_timestamp())")
	})
}

// cut breaks all connections and answers nobody until mend.
func (s *site) cut() {
	s.down.Store(true)
	s.server.CloseClientConnections()
}

func (s *site) mend() { s.down.Store(false) }

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("server: %s", bytes.TrimSpace(p))
	return len(p), nil
}

// answer is what a page answered; redirects are not followed.
type answer struct {
	status int
	header http.Header
	body   string
}

func (s *site) send(method, place, contentType string, body io.Reader, header ...string) answer {
	s.t.Helper()
	request, err := http.NewRequest(method, s.url+place, body)
	if err != nil {
		s.t.Fatal(err)
	}
	if s.token != "" {
		request.Header.Set("Authorization", "Bearer "+s.token)
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	return read(s.t, response)
}

func read(t *testing.T, response *http.Response) answer {
	t.Helper()
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(text)}
}

// get reads a page and expects it to hold texts.
func (s *site) get(place string, texts ...string) answer {
	s.t.Helper()
	a := s.send(http.MethodGet, place, "", nil)
	s.want(a, http.StatusOK, "GET "+place, texts...)
	return a
}

func (s *site) post(place string, fields url.Values, header ...string) answer {
	s.t.Helper()
	return s.send(http.MethodPost, place, "application/x-www-form-urlencoded", strings.NewReader(fields.Encode()), header...)
}

// follow expects a change to lead to another page, and reads that.
func (s *site) follow(a answer, texts ...string) (place string) {
	s.t.Helper()
	s.want(a, http.StatusSeeOther, "a change")
	place = a.header.Get("Location")
	s.get(place, texts...)
	return place
}

func (s *site) want(a answer, status int, what string, texts ...string) {
	s.t.Helper()
	if a.status != status {
		s.t.Fatalf("%s: status %d, want %d\n%s", what, a.status, status, content(a.body))
	}
	for _, text := range texts {
		if !strings.Contains(a.body, text) {
			s.t.Errorf("%s: there is no %q in\n%s", what, text, content(a.body))
		}
	}
}

// upload sends a file as the form of /load does.
func (s *site) upload(table, name, content string) answer {
	s.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	form.WriteField("table", table)
	part, err := form.CreateFormFile("file", name)
	if err != nil {
		s.t.Fatal(err)
	}
	io.WriteString(part, content)
	form.Close()
	return s.send(http.MethodPost, "/load", form.FormDataContentType(), &body)
}

// load takes a file through all steps.
func (s *site) load(table, name, content string) {
	s.t.Helper()
	draft := s.upload(table, name, content)
	s.want(draft, http.StatusSeeOther, "upload")
	place, err := url.Parse(draft.header.Get("Location"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.want(s.post("/load/draft", place.Query()), http.StatusSeeOther, "load "+name)
}

// content is the part of a page that differs from page to page.
func content(page string) string {
	if _, rest, ok := strings.Cut(page, "<main"); ok {
		page, _, _ = strings.Cut(rest, "</main>")
	}
	return page
}

// harmless reads pages that show hostile text, and finds it there as text alone.
func (s *site) harmless(places ...string) {
	s.t.Helper()
	for _, place := range places {
		a := s.send(http.MethodGet, place, "", nil)
		if strings.Contains(a.body, "<img") || strings.Contains(a.body, "<script>") || strings.Count(a.body, "<script") != 1 {
			s.t.Errorf("GET %s holds markup of ours:\n%s", place, a.body)
		}
		if !strings.Contains(a.body, "onerror") {
			s.t.Errorf("GET %s does not show the text at all:\n%s", place, content(a.body))
		}
	}
}

// run runs statements one by one.
func run(t testing.TB, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		if _, err := conn.Exec(context.Background(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}
