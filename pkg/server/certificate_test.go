package server_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"log/slog"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
	"github.com/tinydevcrm/tinydevcrm/pkg/server"
)

// TestCertificates runs the server against a PostgreSQL that knows it and its users by certificates only, and tries to get in by
// others.
func TestCertificates(t *testing.T) {
	t.Parallel()
	for _, way := range pgtest.Ways() {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			remote := pgtest.NewRemote(t, way, postgres.Access{ServerAddress: "samehost", People: "scram"})
			migrate(t, remote)
			// Files of its own, to be replaced later.
			ca := t.TempDir()
			copyFiles(t, remote.Dir, ca)
			s := run(t, server.Serve, map[string]string{"TINYDEV_DATA_DIR": t.TempDir(), "TINYDEV_DATABASE_URL": remote.URL(postgres.ServerRole),
				"TINYDEV_CA_CERT": filepath.Join(ca, "ca.crt"), "TINYDEV_CA_KEY": filepath.Join(ca, "ca.key")})
			work(t, s)
			superuser := connect(t, remote.SuperuserURL)
			if n := pgtest.Value[int](t, superuser, `select count(*)::int from pg_stat_activity a join pg_stat_ssl using (pid)
				where a.application_name like 'tinydev%' and a.usename <> 'tinydev_superuser' and client_dn = '/CN=' || a.usename`); n < 3 {
				t.Errorf("%d connections are by certificates of their roles", n)
			}
			if odd := pgtest.Value[string](t, superuser, `select coalesce(string_agg(a.usename || ' ' || a.application_name, ', '), '') from pg_stat_activity a left join pg_stat_ssl using (pid)
				where a.backend_type = 'client backend' and a.pid <> pg_backend_pid() and client_dn is distinct from '/CN=' || a.usename`); odd != "" {
				t.Errorf("other connections: %s", odd)
			}
			refused(t, remote)
			replaced(t, remote, s, ca)
		})
	}
}

// migrate installs the schema as the superuser and makes the first user.
func migrate(t *testing.T, remote *pgtest.Remote) {
	t.Helper()
	m := begin(t, server.Migrate, map[string]string{"TINYDEV_DATA_DIR": t.TempDir(), "TINYDEV_ADMIN_DATABASE_URL": remote.SuperuserURL})
	err := <-m.ended
	m.ended <- err
	if err != nil {
		t.Fatal(err)
	}
}

func copyFiles(t *testing.T, from, to string) {
	t.Helper()
	for _, name := range []string{"ca.crt", "ca.key"} {
		text, err := os.ReadFile(filepath.Join(from, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// work goes the whole way as two users: load, view, schedule, event, share, read.
func work(t *testing.T, s *instance) {
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	form.WriteField("table", "friends")
	file, err := form.CreateFormFile("file", "friends.csv")
	if err == nil {
		_, err = file.Write([]byte("name,born\nbob,1990-01-01\neve,1991-02-02\n"))
	}
	if err == nil {
		err = form.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest("POST", s.url()+"/v1/uploads", &body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.token())
	req.Header.Set("Content-Type", form.FormDataContentType())
	resp, err := s.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 201 {
		t.Fatalf("load: %s", resp.Status)
	}
	must := func(status int, method, path, body string) string {
		t.Helper()
		got, answer := s.call(method, path, body)
		if got != status {
			t.Fatalf("%s %s: %d %s", method, path, got, answer)
		}
		return answer
	}
	must(201, "POST", "/v1/views", `{"name":"old","query":"select name from friends where born < '1991-01-01'"}`)
	must(201, "POST", "/v1/jobs", `{"view":"old","schedule":"5 seconds"}`)
	must(201, "POST", "/v1/users", `{"name":"bob"}`)
	var made struct{ Token string }
	if err := json.Unmarshal([]byte(must(201, "POST", "/v1/tokens", `{"user":"bob","name":"test"}`)), &made); err != nil {
		t.Fatal(err)
	}
	asBob := func() (int, string) {
		t.Helper()
		req, err := http.NewRequest("GET", s.url()+"/v1/views/ann.old/rows", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+made.Token)
		resp, err := s.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var text bytes.Buffer
		if _, err := text.ReadFrom(resp.Body); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, text.String()
	}
	if status, answer := asBob(); status < 400 {
		t.Errorf("bob reads what is not shared: %d %s", status, answer)
	}
	must(201, "POST", "/v1/grants", `{"relation":"ann.old","to":"bob","privilege":"select"}`)
	if status, answer := asBob(); status != 200 || !strings.Contains(answer, "bob") {
		t.Errorf("bob reads what is shared: %d %s", status, answer)
	}
	// Below pg_cron 1.5 the first run may be a minute away.
	pgtest.Eventually(t, 130*time.Second, "the view is refreshed on schedule", func() bool {
		return strings.Contains(must(200, "GET", "/v1/events?type=view.refreshed", ""), `"cause":"schedule"`)
	})
}

// login tries to log in with a certificate, or with none.
func login(database string, pair *postgres.Pair) error {
	cfg, err := pgx.ParseConfig(database)
	if err != nil {
		return err
	}
	if pair != nil {
		certificate, err := tls.X509KeyPair(pair.Cert, pair.Key)
		if err != nil {
			return err
		}
		// Whatever PostgreSQL asks for: Go would keep one of another authority back.
		show := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil }
		cfg.TLSConfig.GetClientCertificate = show
		for _, fallback := range cfg.Fallbacks {
			fallback.TLSConfig.GetClientCertificate = show
		}
	}
	conn, err := pgx.ConnectConfig(context.Background(), cfg)
	if err != nil {
		return err
	}
	defer conn.Close(context.Background())
	_, err = conn.Exec(context.Background(), "select 1") // in TLS 1.3 a certificate may be refused after the handshake
	return err
}

// refused tries certificates that PostgreSQL has to refuse, and roles that the server must not sign for.
func refused(t *testing.T, remote *pgtest.Remote) {
	t.Helper()
	ctx := context.Background()
	superuser := connect(t, remote.SuperuserURL)
	authority, err := postgres.LoadAuthority(remote.CA("ca.crt"), remote.CA("ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := postgres.MakeAuthority(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	sign := func(a *postgres.Authority, role string, lifetime time.Duration) *postgres.Pair {
		pair, err := a.Client(role, lifetime)
		if err != nil {
			t.Fatal(err)
		}
		return &pair
	}
	servers, err := os.ReadFile(remote.CA("postgres/server.crt"))
	if err != nil {
		t.Fatal(err)
	}
	serversKey, err := os.ReadFile(remote.CA("postgres/server.key"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := superuser.Exec(ctx, `create role boss superuser login; grant tinydev_user to boss; create role "localhost" login; grant tinydev_user to "localhost"; create role stranger login`); err != nil {
		t.Fatal(err)
	}
	for _, role := range []string{"ann", postgres.ServerRole, "localhost"} {
		if err := login(remote.URL(role), sign(authority, role, time.Minute)); err != nil {
			t.Errorf("%s does not get in: %v", role, err)
		}
	}
	noTLS := strings.Replace(remote.URL("ann"), "sslmode=verify-full", "sslmode=disable", 1)
	for what, try := range map[string]struct {
		url  string
		pair *postgres.Pair
		want string
	}{
		"another authority's":      {remote.URL("ann"), sign(other, "ann", time.Minute), "unknown certificate authority"},
		"one that has ended":       {remote.URL("ann"), sign(authority, "ann", -time.Minute), "expired certificate"},
		"bob's for ann":            {remote.URL("ann"), sign(authority, "bob", time.Minute), `certificate authentication failed for user "ann"`},
		"the superuser's":          {remote.URL("tinydev_superuser"), sign(authority, "tinydev_superuser", time.Minute), "no pg_hba.conf entry"},
		"the owner's":              {remote.URL("tinydev_owner"), sign(authority, "tinydev_owner", time.Minute), "no pg_hba.conf entry"},
		"a role's that is no user": {remote.URL("stranger"), sign(authority, "stranger", time.Minute), "no pg_hba.conf entry"},
		"PostgreSQL's own":         {remote.URL("localhost"), &postgres.Pair{Cert: servers, Key: serversKey}, "unsupported certificate"},
		"none":                     {remote.URL("ann"), nil, "certificate"},
		"none, the server":         {remote.URL(postgres.ServerRole), nil, "certificate"},
		"none, no TLS":             {noTLS, nil, "pg_hba.conf rejects connection"},
	} {
		// PostgreSQL may close the connection before its reason is read.
		err := login(try.url, try.pair)
		for i := 0; err != nil && errors.Is(err, syscall.ECONNRESET) && i < 20; i++ {
			err = login(try.url, try.pair)
		}
		if err == nil || !strings.Contains(err.Error(), try.want) {
			t.Errorf("%s: %v, want %s", what, err, try.want)
		}
	}

	signer, err := postgres.NewSigner(remote.CA("ca.crt"), remote.CA("ca.key"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	pool, err := postgres.Open(ctx, remote.URL(postgres.ServerRole), "test", 2, signer.Credential)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	asked := 0
	sessions := postgres.NewSessions(remote.URL(postgres.ServerRole), pool, postgres.Options{Credential: func(ctx context.Context, role string, cfg *pgx.ConnConfig) error {
		asked++
		return signer.Credential(ctx, role, cfg)
	}})
	defer sessions.Close()
	for _, role := range []string{"boss", "stranger", "nobody", "tinydev_superuser", "tinydev_owner", "tinydev_roles", postgres.ServerRole} {
		if _, err := sessions.Acquire(ctx, role); fault.CodeOf(err) != "not_a_user" {
			t.Errorf("a session of %s: %v", role, err)
		}
	}
	if asked != 0 {
		t.Errorf("%d certificates were signed before PostgreSQL said who is a user", asked)
	}
	session, err := sessions.Acquire(ctx, "ann")
	if err != nil {
		t.Fatal(err)
	}
	defer session.Release()
	if asked != 1 || pgtest.Value[string](t, session.Conn, "select session_user::text") != "ann" {
		t.Errorf("ann has no session of hers; %d were signed", asked)
	}
	if _, err := superuser.Exec(ctx, "drop role boss, localhost, stranger"); err != nil {
		t.Fatal(err)
	}
}

// replaced lets another authority follow while the server runs.
func replaced(t *testing.T, remote *pgtest.Remote, s *instance, ca string) {
	t.Helper()
	ctx := context.Background()
	next := t.TempDir()
	if _, _, err := postgres.MakeAuthority(next); err != nil {
		t.Fatal(err)
	}
	read := func(path string) []byte {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	before, after := read(remote.CA("ca.crt")), read(filepath.Join(next, "ca.crt"))
	both := append(bytes.Clone(after), before...)
	write := func(name string, text []byte) {
		if err := os.WriteFile(filepath.Join(ca, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	afresh := func(what string) {
		t.Helper()
		superuser := connect(t, remote.SuperuserURL)
		if _, err := superuser.Exec(ctx, "select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"); err != nil {
			t.Fatal(err)
		}
		pgtest.Eventually(t, 30*time.Second, what, func() bool {
			status, _ := s.call("GET", "/v1/views/old", "")
			ready, _ := s.call("GET", "/readyz", "")
			return status == 200 && ready == 200
		})
	}
	remote.Trust(t, both)
	write("ca.crt", both) // and not yet its key
	afresh("the server logs in while the files do not fit")
	write("ca.key", read(filepath.Join(next, "ca.key")))
	afresh("the server logs in by the next authority")
	remote.Trust(t, after)
	afresh("the server logs in by the next authority alone")

	old, err := postgres.LoadAuthority(remote.CA("ca.crt"), remote.CA("ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	pair, err := old.Client("ann", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	err = login(remote.URL("ann"), &pair)
	for tries := 1; tries < 20 && err != nil && strings.Contains(err.Error(), "connection reset"); tries++ {
		err = login(remote.URL("ann"), &pair) // it was sent away before it could read why
	}
	if err == nil || !strings.Contains(err.Error(), "unknown certificate authority") {
		t.Errorf("the authority before still lets in: %v", err)
	}
}

// TestPasswordsOfPeople: where pg_hba.conf has it so, people come by password over TLS, from where the server does not.
func TestPasswordsOfPeople(t *testing.T) {
	t.Parallel()
	remote := pgtest.NewRemote(t, pgtest.Ways()[0], postgres.Access{ServerAddress: "203.0.113.5/32", People: "scram"})
	migrate(t, remote)
	if _, err := connect(t, remote.SuperuserURL).Exec(context.Background(), "alter role ann password 'right'; alter role tinydev_server password 'right'"); err != nil {
		t.Fatal(err)
	}
	with := func(role, password string) string {
		return strings.Replace(remote.URL(role), "://"+role+"@", "://"+role+":"+password+"@", 1)
	}
	if err := login(with("ann", "right"), nil); err != nil {
		t.Error(err)
	}
	for what, url := range map[string]string{
		"a wrong password":   with("ann", "wrong"),
		"without TLS":        strings.Replace(with("ann", "right"), "sslmode=verify-full", "sslmode=disable", 1),
		"the server's login": with(postgres.ServerRole, "right"),
	} {
		if err := login(url, nil); err == nil {
			t.Errorf("%s gets in", what)
		}
	}
}

// TestServeWithoutProof refuses to sign where anybody may pose as PostgreSQL.
func TestServeWithoutProof(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, _, err := postgres.MakeAuthority(dir); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{"postgres://tinydev_server@127.0.0.1/tinydev", "postgres://tinydev_server@127.0.0.1/tinydev?sslmode=disable", "postgres://tinydev_server@127.0.0.1/tinydev?sslmode=require",
		"postgres:///tinydev?host=/var/run/postgresql&user=tinydev_server&sslmode=verify-full"} {
		s := begin(t, server.Serve, map[string]string{"TINYDEV_DATA_DIR": t.TempDir(), "TINYDEV_DATABASE_URL": url,
			"TINYDEV_CA_CERT": filepath.Join(dir, "ca.crt"), "TINYDEV_CA_KEY": filepath.Join(dir, "ca.key")})
		err := <-s.ended
		s.ended <- err
		if fault.CodeOf(err) != "tls_needed" {
			t.Errorf("%s: %v", url, err)
		}
	}
	s := begin(t, server.Serve, map[string]string{"TINYDEV_DATA_DIR": t.TempDir(), "TINYDEV_DATABASE_URL": "postgres://tinydev_server@127.0.0.1/tinydev",
		"TINYDEV_CA_CERT": filepath.Join(dir, "nothing.crt"), "TINYDEV_CA_KEY": filepath.Join(dir, "ca.key")})
	err := <-s.ended
	s.ended <- err
	if fault.CodeOf(err) != "ca_invalid" {
		t.Errorf("without a certificate: %v", err)
	}
}
