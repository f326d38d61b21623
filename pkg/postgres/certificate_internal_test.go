package postgres

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// authorityIn makes an authority in a folder of its own.
func authorityIn(t *testing.T) (dir string, a *Authority) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "ca")
	a, made, err := MakeAuthority(dir)
	if err != nil || !made {
		t.Fatalf("made %v, %v", made, err)
	}
	return dir, a
}

func TestAuthorityFiles(t *testing.T) {
	t.Parallel()
	dir, _ := authorityIn(t)
	cert, key := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key")
	for path, mode := range map[string]os.FileMode{dir: 0o700, key: 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v %v", path, info.Mode(), err)
		}
	}
	before, err := readPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	if _, made, err := MakeAuthority(dir); err != nil || made {
		t.Errorf("again: made %v, %v", made, err)
	}
	if after, err := readPair(cert, key); err != nil || !bytes.Equal(after.Cert, before.Cert) || !bytes.Equal(after.Key, before.Key) {
		t.Errorf("it was overwritten: %v", err)
	}

	other, otherAuthority := authorityIn(t)
	leaf, err := otherAuthority.Client("ann", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	leafCert, leafKey, err := leaf.Write(t.TempDir(), "ann")
	if err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(t.TempDir(), "open.key")
	if err := os.WriteFile(open, before.Key, 0o644); err != nil {
		t.Fatal(err)
	}
	for what, files := range map[string][2]string{
		"no certificate":      {filepath.Join(dir, "nothing"), key},
		"no key":              {cert, filepath.Join(dir, "nothing")},
		"another's key":       {cert, filepath.Join(other, "ca.key")},
		"no authority":        {leafCert, leafKey},
		"a key open to all":   {cert, open},
		"a key for a cert":    {key, key},
		"an authority's past": past(t),
	} {
		if _, err := LoadAuthority(files[0], files[1]); fault.CodeOf(err) != "ca_invalid" {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	if _, _, err := MakeAuthority(dir); fault.CodeOf(err) != "ca_invalid" {
		t.Errorf("half of one: %v", err)
	}
	if _, err := os.Stat(cert); err == nil {
		t.Error("another certificate was made for the key")
	}
}

// past gives the files of an authority whose time is over.
func past(t *testing.T) [2]string {
	t.Helper()
	pair, err := sign(&x509.Certificate{NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour), IsCA: true, BasicConstraintsValid: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := pair.Write(t.TempDir(), "ca")
	if err != nil {
		t.Fatal(err)
	}
	return [2]string{cert, key}
}

func TestServersCertificate(t *testing.T) {
	t.Parallel()
	_, a := authorityIn(t)
	dir := filepath.Join(t.TempDir(), "postgres")
	hosts := []string{"db.example.org", "10.0.0.7", "::1"}
	if made, err := a.MakeServer(dir, hosts); err != nil || !made {
		t.Fatalf("made %v, %v", made, err)
	}
	if made, err := a.MakeServer(dir, hosts[1:2]); err != nil || made {
		t.Errorf("again: made %v, %v", made, err)
	}
	for _, name := range []string{"ca.crt", "server.crt", "server.key"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "ca.key")); err == nil {
		t.Error("the authority's key goes along to PostgreSQL")
	}
	if _, err := a.MakeServer(dir, []string{"elsewhere.example.org"}); fault.CodeOf(err) != "certificate_exists" {
		t.Errorf("for another host: %v", err)
	}
	_, other := authorityIn(t)
	if _, err := other.MakeServer(dir, hosts); fault.CodeOf(err) != "certificate_exists" {
		t.Errorf("of another authority: %v", err)
	}
	for _, host := range []string{"", "a b", "*", "http://db", "db:5432", strings.Repeat("a.", 130)} {
		if _, err := a.MakeServer(t.TempDir(), []string{host}); fault.CodeOf(err) != "usage" {
			t.Errorf("host %q: %v", host, err)
		}
	}
}

func config(t *testing.T, database string) *pgx.ConnConfig {
	t.Helper()
	cfg, err := pgx.ParseConfig(database)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// codeOf gives "" for no error.
func codeOf(err error) string {
	if err == nil {
		return ""
	}
	return fault.CodeOf(err)
}

// shown gives the certificate that a connection would show.
func shown(t *testing.T, cfg *pgx.ConnConfig) *x509.Certificate {
	t.Helper()
	leaf, err := x509.ParseCertificate(cfg.TLSConfig.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

func TestSigner(t *testing.T) {
	t.Parallel()
	dir, _ := authorityIn(t)
	var log bytes.Buffer
	s, err := NewSigner(filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key"), slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	url := func(role, mode string) string {
		return "postgres://" + role + "@a.example,b.example/crm?sslmode=" + mode + "&sslrootcert=" + filepath.Join(dir, "ca.crt")
	}
	give := func(role string) *x509.Certificate {
		t.Helper()
		cfg := config(t, url(role, "verify-full"))
		before := cfg.TLSConfig
		if err := s.Credential(ctx, role, cfg); err != nil {
			t.Fatal(err)
		}
		if len(before.Certificates) != 0 {
			t.Error("the configuration that others have was changed")
		}
		if len(cfg.Fallbacks) != 1 || len(cfg.Fallbacks[0].TLSConfig.Certificates) != 1 || cfg.Fallbacks[0].TLSConfig.ServerName != "b.example" {
			t.Error("the second host gets no certificate, or is taken for the first")
		}
		return shown(t, cfg)
	}
	first := give("Ann")
	now := time.Now()
	if first.Subject.CommonName != "Ann" || first.IsCA || len(first.ExtKeyUsage) != 1 || first.ExtKeyUsage[0] != x509.ExtKeyUsageClientAuth {
		t.Errorf("signed %+v", first)
	}
	if first.NotBefore.After(now.Add(-4*time.Minute)) || first.NotAfter.After(now.Add(10*time.Minute)) || first.NotAfter.Before(now.Add(9*time.Minute)) {
		t.Errorf("good from %v to %v", first.NotBefore, first.NotAfter)
	}
	if !give("Ann").Equal(first) {
		t.Error("it is signed again for each connection")
	}
	if give("bob").Subject.CommonName != "bob" {
		t.Error("bob gets another's")
	}
	s.now = func() time.Time { return now.Add(4*time.Minute + 50*time.Second) }
	if !give("Ann").Equal(first) {
		t.Error("it is signed again too early")
	}
	s.now = func() time.Time { return now.Add(5*time.Minute + 10*time.Second) }
	if give("Ann").Equal(first) {
		t.Error("it is used to its end")
	}
	if len(s.made) != 1 {
		t.Errorf("%d certificates are kept, want that of Ann alone", len(s.made))
	}
	s.now = time.Now

	for _, role := range []string{"tinydev_superuser", "tinydev_owner", "tinydev_roles", "TinyDev_owner", "postgres", "pg_monitor", "none"} {
		if err := s.Credential(ctx, role, config(t, url(role, "verify-full"))); fault.CodeOf(err) != "role_reserved" {
			t.Errorf("%s: %v", role, err)
		}
	}
	if err := s.Credential(ctx, "ann", config(t, url("bob", "verify-full"))); err == nil {
		t.Error("a certificate for a login as another")
	}
	for database, want := range map[string]string{
		url("ann", "verify-full"): "", url("ann", "verify-ca"): "",
		url("ann", "require"):                                                                      "", // with sslrootcert it is verify-ca
		"postgres://ann@a.example/crm?sslmode=require":                                             "tls_needed",
		"postgres://ann@a.example/crm?sslmode=prefer":                                              "tls_needed",
		"postgres://ann@a.example/crm?sslmode=allow":                                               "tls_needed",
		"postgres://ann@a.example/crm?sslmode=disable":                                             "tls_needed",
		"postgres:///crm?user=ann&host=/run/postgresql&sslmode=verify-full":                        "tls_needed",
		"postgres:///crm?user=ann&host=a.example,/run/postgresql&port=5432,5432&sslmode=verify-ca": "tls_needed",
	} {
		if err := s.Credential(ctx, "ann", config(t, database)); codeOf(err) != want {
			t.Errorf("%s: %v, want %q", database, err, want)
		}
	}

	// One file after the other is replaced.
	next, _ := authorityIn(t)
	replace := func(name string) {
		text, err := os.ReadFile(filepath.Join(next, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	before := give("Ann").Issuer.CommonName
	replace("ca.key")
	for _, role := range []string{"Ann", "eve"} {
		if give(role).Issuer.CommonName != before {
			t.Error("signed by half an authority")
		}
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 {
		t.Errorf("said %d times: %s", n, &log)
	}
	replace("ca.crt")
	if now := give("Ann").Issuer.CommonName; now == before {
		t.Error("the next authority does not sign")
	}
}

func TestUsersCertificate(t *testing.T) {
	t.Parallel()
	caDir, a := authorityIn(t)
	dir := filepath.Join(t.TempDir(), "client")
	cert, key, err := a.Keep(dir, "ann", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	first, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	again := func(a *Authority, lifetime time.Duration) bool {
		t.Helper()
		if _, _, err := a.Keep(dir, "ann", lifetime); err != nil {
			t.Fatal(err)
		}
		now, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			t.Fatal(err)
		}
		return !now.Leaf.Equal(first.Leaf)
	}
	if again(a, time.Hour) {
		t.Error("a fresh one is replaced")
	}
	if !again(a, 3*time.Hour) {
		t.Error("one with a third of its life left is kept")
	}
	_, other := authorityIn(t)
	if first, err = tls.LoadX509KeyPair(cert, key); err != nil {
		t.Fatal(err)
	}
	if !again(other, time.Hour) {
		t.Error("one of another authority is kept")
	}
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if far, err := a.Client("ann", 100*365*24*time.Hour); err != nil {
		t.Error(err)
	} else if pair, err := tls.X509KeyPair(far.Cert, far.Key); err != nil || pair.Leaf.NotAfter.After(a.Until()) {
		t.Errorf("it outlives its authority: %v", err)
	}

	for role, want := range map[string]string{"ann": "", "Ann": "", "ann.smith@example.org": "", "": "user_name_invalid", "a/b": "user_name_invalid", "../a": "user_name_invalid",
		"a b": "user_name_invalid", strings.Repeat("a", 64): "user_name_invalid", "postgres": "role_reserved", "pg_x": "role_reserved", "tinydev_server": "role_reserved"} {
		if err := MayHaveCertificate(role); codeOf(err) != want {
			t.Errorf("%q: %v, want %q", role, err, want)
		}
	}

	root := "&sslrootcert=" + filepath.Join(caDir, "ca.crt")
	for _, database := range []string{"postgres://tinydev_server:secret@db.example.org/crm?sslmode=verify-full" + root,
		"host=db.example.org dbname=crm user=tinydev_server password=secret sslmode=verify-full sslrootcert=" + filepath.Join(caDir, "ca.crt")} {
		url, err := WithCertificate(database, "ann", cert, key)
		if err != nil {
			t.Fatal(err)
		}
		if cfg := config(t, url); cfg.User != "ann" || cfg.Password != "" || cfg.Database != "crm" || shown(t, cfg).Subject.CommonName != "ann" {
			t.Errorf("%s: %+v", url, cfg.Config)
		}
	}
	if _, err := WithCertificate("postgres://db.example.org/crm?sslmode=prefer", "ann", cert, key); fault.CodeOf(err) != "tls_needed" {
		t.Errorf("%v", err)
	}
}

func TestHBA(t *testing.T) {
	t.Parallel()
	lines := func(a Access) string {
		t.Helper()
		text, err := a.HBA()
		if err != nil {
			t.Fatal(err)
		}
		var rows []string
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, "#") {
				rows = append(rows, strings.Join(strings.Fields(line), " "))
			}
		}
		return strings.Join(rows, "\n")
	}
	for _, test := range []struct {
		access Access
		want   string
	}{
		{Access{Database: "crm", ServerAddress: "10.0.0.5", People: "scram", Superuser: "postgres"}, `local all postgres peer
hostssl crm tinydev_server 10.0.0.5/32 cert
hostssl crm +tinydev_user 10.0.0.5/32 cert
hostssl crm +tinydev_user all scram-sha-256
host crm tinydev_server,+tinydev_user all reject`},
		{Access{Database: "all", ServerAddress: "fd00::/8", People: "cert", Superuser: "Me", Map: "us"}, `local all "Me" peer map=us
hostssl "all" tinydev_server fd00::/8 cert
hostssl "all" +tinydev_user fd00::/8 cert
hostssl "all" +tinydev_user all cert
host "all" tinydev_server,+tinydev_user all reject`},
		{Access{Database: `a "b"`, ServerAddress: "all", People: "cert", Superuser: "postgres"}, `local all postgres peer
hostssl "a ""b""" tinydev_server all cert
hostssl "a ""b""" +tinydev_user all cert
host "a ""b""" tinydev_server,+tinydev_user all reject`},
		{Access{Database: "crm", ServerAddress: "samenet", People: "scram"}, `hostssl crm tinydev_server samenet cert
hostssl crm +tinydev_user samenet cert
hostssl crm +tinydev_user all scram-sha-256
host crm tinydev_server,+tinydev_user all reject`},
	} {
		if got := lines(test.access); got != test.want {
			t.Errorf("%+v:\n%s\nwant\n%s", test.access, got, test.want)
		}
	}
	good := Access{Database: "crm", ServerAddress: "samehost", People: "scram", Superuser: "postgres"}
	for what, change := range map[string]func(*Access){
		"a network's host": func(a *Access) { a.ServerAddress = "10.0.0.5/24" },
		"a name":           func(a *Access) { a.ServerAddress = "db.example.org" },
		"nothing":          func(a *Access) { a.ServerAddress = "" },
		"a method":         func(a *Access) { a.People = "trust" },
		"no passwords":     func(a *Access) { a.ServerAddress = "all" },
		"a second line":    func(a *Access) { a.Database = "crm\nhost all all all trust" },
		"no database":      func(a *Access) { a.Database = "" },
	} {
		bad := good
		change(&bad)
		if text, err := bad.HBA(); fault.CodeOf(err) != "usage" {
			t.Errorf("%s: %v\n%s", what, err, text)
		}
	}
}

// TestIntermediateAuthority: PostgreSQL may know only who signed the authority, so that one's certificate goes along.
func TestIntermediateAuthority(t *testing.T) {
	t.Parallel()
	authority := func(name string, by *Authority) *Authority {
		t.Helper()
		pair, err := sign(&x509.Certificate{Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageCertSign}, by)
		if err != nil {
			t.Fatal(err)
		}
		certFile, keyFile, err := pair.Write(t.TempDir(), "ca")
		if err != nil {
			t.Fatal(err)
		}
		a, err := LoadAuthority(certFile, keyFile)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	root := authority("root", nil)
	pair, err := authority("department", root).Client("ann", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	shown, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	options := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	options.Roots.AddCert(root.cert)
	for _, raw := range shown.Certificate[1:] {
		cert, err := x509.ParseCertificate(raw)
		if err != nil {
			t.Fatal(err)
		}
		options.Intermediates.AddCert(cert)
	}
	if _, err := shown.Leaf.Verify(options); err != nil || len(shown.Certificate) != 2 {
		t.Errorf("%d certificates are shown: %v", len(shown.Certificate), err)
	}
}
