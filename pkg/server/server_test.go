package server_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/cluster"
	"github.com/tinydevcrm/tinydevcrm/pkg/config"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
	"github.com/tinydevcrm/tinydevcrm/pkg/server"
)

// output is what a server prints.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// instance is a server that runs in this process.
type instance struct {
	t      *testing.T
	dir    string
	out    *output
	stop   context.CancelFunc
	ended  chan error
	client *http.Client
}

type entry func(context.Context, config.Config, io.Writer) error

// run starts a server and waits until it has printed its address.
func run(t *testing.T, entry entry, flags map[string]string) *instance {
	t.Helper()
	i := begin(t, entry, flags)
	i.ready()
	return i
}

func begin(t *testing.T, entry entry, flags map[string]string) *instance {
	t.Helper()
	if flags["TINYDEV_USER"] == "" {
		flags["TINYDEV_USER"] = "ann"
	}
	if flags["TINYDEV_LISTEN"] == "" {
		flags["TINYDEV_LISTEN"] = "127.0.0.1:0"
	}
	cfg, err := config.LoadWith(flags)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	i := &instance{t: t, dir: cfg.DataDir, out: &output{}, stop: cancel, ended: make(chan error, 1), client: &http.Client{Timeout: 20 * time.Second}}
	go func() { i.ended <- entry(ctx, cfg, i.out) }()
	t.Cleanup(func() { i.end() })
	return i
}

func (i *instance) ready() {
	i.t.Helper()
	for deadline := time.Now().Add(time.Minute); !strings.Contains(i.out.String(), "is ready: "); time.Sleep(20 * time.Millisecond) {
		select {
		case err := <-i.ended:
			i.ended <- err
			i.t.Fatalf("the server ended: %v", err)
		default:
		}
		if time.Now().After(deadline) {
			i.t.Fatal("the server is not ready within a minute")
		}
	}
}

// end stops the server and gives its error.
func (i *instance) end() error {
	i.stop()
	select {
	case err := <-i.ended:
		i.ended <- err
		return err
	case <-time.After(time.Minute):
		return errors.New("the server does not stop")
	}
}

var address = regexp.MustCompile(`is ready: (https?://[^/]+)/\?code=(\S+)`)

func (i *instance) url() string { return address.FindStringSubmatch(i.out.String())[1] }

func (i *instance) token() string {
	i.t.Helper()
	text, err := os.ReadFile(filepath.Join(i.dir, "token"))
	if err != nil {
		i.t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func (i *instance) call(method, path, body string) (int, string) {
	i.t.Helper()
	req, err := http.NewRequest(method, i.url()+path, strings.NewReader(body))
	if err != nil {
		i.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+i.token())
	req.Header.Set("Content-Type", "application/json")
	resp, err := i.client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(text)
}

const aTable = `{"name":"t","columns":[{"name":"a","type":"text"}]}`

func TestUp(t *testing.T) {
	t.Parallel()
	needsLocal(t)
	dir := filepath.Join(t.TempDir(), "data")
	t.Cleanup(func() { // last, when no server has it any more
		c, err := cluster.Open(context.Background(), cluster.Config{DataDir: dir})
		if err == nil {
			err = c.Destroy(context.Background())
		}
		if err != nil {
			t.Error(err)
		}
	})
	first := run(t, server.Up, map[string]string{"TINYDEV_DATA_DIR": dir})
	if status, body := first.call("POST", "/v1/tables", aTable); status != 201 || !strings.Contains(body, `"ann.t"`) {
		t.Fatal(status, body)
	}
	pgtest.Eventually(t, 20*time.Second, "the server is ready", func() bool { status, _ := first.call("GET", "/readyz", ""); return status == 200 })
	for _, metric := range []string{"tinydev_relay_ready 1", "tinydev_pool_connections{state=\"max\"} 12", "tinydev_stream_subscribers"} {
		if _, body := first.call("GET", "/metrics", ""); !strings.Contains(body, metric) {
			t.Errorf("no metric %s", metric)
		}
	}

	var told struct {
		URL         string `json:"url"`
		DatabaseURL string `json:"database_url"`
		PID         int    `json:"pid"`
		User        string `json:"user"`
	}
	file := filepath.Join(dir, "server.json")
	text, err := os.ReadFile(file)
	if err != nil || json.Unmarshal(text, &told) != nil || told.URL != first.url() || told.PID != os.Getpid() || told.User != "ann" || !strings.Contains(told.DatabaseURL, "user=ann") {
		t.Errorf("%s %v", text, err)
	}
	for _, name := range []string{"server.json", "token"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, info.Mode(), err)
		}
	}

	second := begin(t, server.Up, map[string]string{"TINYDEV_DATA_DIR": dir})
	if err := <-second.ended; fault.CodeOf(err) != "data_dir_in_use" {
		t.Errorf("a second one on the same directory: %v", err)
	} else {
		second.ended <- err
	}

	// A page that is open, and a stream, are ended properly by the stop.
	req, err := http.NewRequest("GET", first.url()+"/v1/events/stream?after=0", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+first.token())
	stream, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	lines := bufio.NewReader(stream.Body)
	for line := ""; !strings.HasPrefix(line, "event: tinydev.table.created"); {
		if line, err = lines.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	token, began := first.token(), time.Now()
	first.stop()
	if rest, err := io.ReadAll(lines); err != nil {
		t.Errorf("the stream was cut: %v after %s", err, rest)
	}
	if err := first.end(); err != nil {
		t.Errorf("the stop: %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the stop took %v", took)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("server.json is still there: %v", err)
	}

	again := run(t, server.Up, map[string]string{"TINYDEV_DATA_DIR": dir})
	if again.token() != token {
		t.Error("the token changed")
	}
	if status, body := again.call("GET", "/v1/tables/t", ""); status != 200 {
		t.Error(status, body)
	}
}

// needsLocal skips a test of the private cluster where only containers are to be used.
func needsLocal(t *testing.T) {
	t.Helper()
	if os.Getenv("TINYDEV_TEST_SERVER") == "container" {
		t.Skip("TINYDEV_TEST_SERVER is container: this tests the private cluster")
	}
}

// private gives an empty PostgreSQL with pg_cron.
func private(t *testing.T) *cluster.Cluster {
	t.Helper()
	needsLocal(t)
	c, err := cluster.Open(context.Background(), cluster.Config{DataDir: filepath.Join(t.TempDir(), "pg"), Settings: map[string]string{"fsync": "off"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Destroy(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := c.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestServeOutlivesItsDatabase(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pg := private(t)
	url := pg.URL(cluster.Superuser, cluster.Database)
	if err := pg.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s := begin(t, server.Serve, map[string]string{"TINYDEV_DATA_DIR": dir, "TINYDEV_DATABASE_URL": url}) // before its database is up
	if err := pg.Start(ctx); err != nil {
		t.Fatal(err)
	}
	s.ready()
	if status, body := s.call("POST", "/v1/tables", aTable); status != 201 {
		t.Fatal(status, body)
	}
	if n := pgtest.Value[int](t, connect(t, url), "select count(*)::int from pg_stat_activity where usename = 'tinydev_superuser' and application_name like 'tinydev%' and datname = 'tinydev' and pid <> pg_backend_pid()"); n != 0 {
		t.Errorf("the server keeps %d connections as a superuser", n)
	}

	if err := pg.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	resp, err := func() (*http.Response, error) {
		req, err := http.NewRequest("GET", s.url()+"/v1/tables", nil)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+s.token())
		return s.client.Do(req)
	}()
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" || !strings.Contains(string(body), `"database_unavailable"`) {
		t.Errorf("without its database: %d %s", resp.StatusCode, body)
	}
	if status, _ := s.call("GET", "/healthz", ""); status != 200 {
		t.Error("the process is not up")
	}
	if status, body := s.call("GET", "/readyz", ""); status != 503 {
		t.Errorf("ready without its database: %d %s", status, body)
	}
	if err := pg.Start(ctx); err != nil {
		t.Fatal(err)
	}
	pgtest.Eventually(t, 30*time.Second, "the server is back", func() bool {
		status, _ := s.call("GET", "/v1/tables/t", "")
		ready, _ := s.call("GET", "/readyz", "")
		return status == 200 && ready == 200
	})

	other := begin(t, server.Serve, map[string]string{"TINYDEV_DATA_DIR": dir, "TINYDEV_DATABASE_URL": url})
	if err := <-other.ended; fault.CodeOf(err) != "data_dir_in_use" {
		t.Errorf("a second one on the same directory: %v", err)
	} else {
		other.ended <- err
	}
	if stopped, err := cluster.Down(ctx, filepath.Join(dir, "nowhere")); err == nil || stopped {
		t.Errorf("down on nothing: %v %v", stopped, err)
	}
	if err := s.end(); err != nil {
		t.Error(err)
	}

	// Without a superuser's URL the version is checked and the user has to be there.
	plain := pg.URL("tinydev_server", cluster.Database)
	again := run(t, server.Serve, map[string]string{"TINYDEV_DATA_DIR": dir, "TINYDEV_DATABASE_URL": plain})
	if err := again.end(); err != nil {
		t.Error(err)
	}
	super := begin(t, server.Serve, map[string]string{"TINYDEV_DATA_DIR": dir, "TINYDEV_DATABASE_URL": url, "TINYDEV_ADMIN_DATABASE_URL": url})
	err = <-super.ended
	super.ended <- err
	if fault.CodeOf(err) != "server_role_wrong" {
		t.Errorf("a server as a superuser: %v", err)
	}
	stranger := begin(t, server.Serve, map[string]string{"TINYDEV_DATA_DIR": dir, "TINYDEV_DATABASE_URL": plain, "TINYDEV_USER": "nobody"})
	err = <-stranger.ended
	stranger.ended <- err
	if f := fault.As(err); f == nil || f.Code != "not_a_user" || !strings.Contains(f.Hint, "create_user('nobody'") {
		t.Errorf("%v", err)
	}
}

func TestServeNeedsADatabase(t *testing.T) {
	t.Parallel()
	for _, entry := range []entry{server.Serve, server.Migrate} {
		s := begin(t, entry, map[string]string{"TINYDEV_DATA_DIR": t.TempDir()})
		err := <-s.ended
		s.ended <- err
		if fault.CodeOf(err) != "database_url_missing" {
			t.Errorf("%v", err)
		}
	}
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	pg := private(t)
	for range 2 {
		s := begin(t, server.Migrate, map[string]string{"TINYDEV_DATA_DIR": t.TempDir(), "TINYDEV_ADMIN_DATABASE_URL": pg.URL(cluster.Superuser, cluster.Database), "TINYDEV_EVENT_RETENTION": "7d"})
		err := <-s.ended
		s.ended <- err
		if err != nil || !strings.Contains(s.out.String(), "up to date") {
			t.Fatalf("%v %s", err, s.out)
		}
	}
	conn := connect(t, pg.URL(cluster.Superuser, cluster.Database))
	if kept := pgtest.Value[string](t, conn, "select event_retention::text from tinydev_impl.instance"); kept != "7 days" && kept != "168:00:00" && kept != "P7D" && kept != "PT168H" {
		t.Errorf("events are kept for %s", kept)
	}
	s := begin(t, server.Migrate, map[string]string{"TINYDEV_DATA_DIR": t.TempDir(), "TINYDEV_DATABASE_URL": pg.URL("tinydev_server", cluster.Database)})
	err := <-s.ended
	s.ended <- err
	if fault.CodeOf(err) != "not_superuser" {
		t.Errorf("%v", err)
	}
}

func TestAddressInUse(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s := begin(t, server.Up, map[string]string{"TINYDEV_DATA_DIR": t.TempDir(), "TINYDEV_LISTEN": taken.Addr().String()})
	err = <-s.ended
	s.ended <- err
	if f := fault.As(err); f == nil || f.Code != "address_in_use" || !strings.Contains(f.Message, taken.Addr().String()) {
		t.Errorf("%v", err)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	pg := private(t)
	cert, key, pool := certificate(t)
	s := begin(t, server.Serve, map[string]string{"TINYDEV_DATA_DIR": t.TempDir(), "TINYDEV_DATABASE_URL": pg.URL(cluster.Superuser, cluster.Database),
		"TINYDEV_TLS_CERT": cert, "TINYDEV_TLS_KEY": key, "TINYDEV_LISTEN": "0.0.0.0:0", "TINYDEV_HOSTS": "localhost"})
	s.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s.ready()
	if !strings.HasPrefix(s.url(), "https://localhost:") {
		t.Errorf("the address is %s", s.url())
	}
	if status, body := s.call("POST", "/v1/tables", aTable); status != 201 {
		t.Error(status, body)
	}
	resp, err := s.client.Get(s.url() + "/?code=" + address.FindStringSubmatch(s.out.String())[2])
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if cookie := resp.Header.Get("Set-Cookie"); !strings.HasPrefix(cookie, "__Host-") || !strings.Contains(cookie, "Secure") || resp.ProtoMajor != 2 {
		t.Errorf("HTTP/%d %s", resp.ProtoMajor, cookie)
	}
	if err := s.end(); err != nil {
		t.Error(err)
	}
}

// certificate makes a certificate of localhost that signs itself.
func certificate(t *testing.T) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	for path, text := range map[string][]byte{certFile: certPEM, keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return certFile, keyFile, pool
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := postgres.Connect(context.Background(), url, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}
