package pgtest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// SMTPOptions say what a server of StartSMTP is like.
type SMTPOptions struct {
	User, Password string // who has to log in; empty for nobody
	TLS            string // "starttls" offers it, "tls" speaks it from the first byte; empty for none
	Listen         string // empty for a free port of this machine
}

// SMTPBehaviour is how the server answers; answers are written as "550 5.1.1 no such user". The zero one takes all.
type SMTPBehaviour struct {
	From    string            `json:"from"`    // answer to MAIL
	Refuse  map[string]string `json:"refuse"`  // answer to RCPT, by address
	Data    string            `json:"data"`    // answer to a message, which is not kept
	Hang    string            `json:"hang"`    // where it says nothing any more: "hello", "rcpt" or "data"
	HangFor string            `json:"hangFor"` // the recipient for whom it hangs; empty for all
	Drop    bool              `json:"drop"`    // keep a message and close the connection instead of answering
}

// Mail is a message that the server took.
type Mail struct {
	From       string   `json:"from"` // of the envelope, as is To
	To         []string `json:"to"`
	Data       string   `json:"data"`       // headers and body
	Connection int      `json:"connection"` // number of the connection that it came by
	Hello      string   `json:"hello"`      // what the client called itself
	User       string   `json:"user"`       // who logged in
	TLS        bool     `json:"tls"`
}

// SMTPServer is an SMTP server, a process of its own; see integration/smtpd.
type SMTPServer struct {
	Address string         // host:port
	Roots   *x509.CertPool // what its certificate is trusted by, in which it is called localhost and 127.0.0.1
	t       testing.TB
	options SMTPOptions
	control string
	process *exec.Cmd
}

// StartSMTP starts an SMTP server, stopped after the test.
func StartSMTP(t testing.TB, o SMTPOptions) *SMTPServer {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "smtpd")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", binary, "github.com/tinydevcrm/tinydevcrm/integration/smtpd")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the SMTP server of the tests: %v\n%s", err, out)
	}
	s := &SMTPServer{t: t, options: o, Roots: x509.NewCertPool()}
	s.process = exec.Command(binary, "-user", o.User, "-password", o.Password)
	if o.Listen != "" {
		s.process.Args = append(s.process.Args, "-listen", o.Listen)
	}
	if o.TLS != "" {
		cert, key := s.certificate(dir)
		s.process.Args = append(s.process.Args, "-cert", cert, "-key", key)
		if o.TLS == "tls" {
			s.process.Args = append(s.process.Args, "-tls")
		}
	}
	s.process.Stderr = os.Stderr
	input, err := s.process.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := s.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		input.Close()
		s.Kill()
	})
	var addresses struct{ SMTP, HTTP string }
	if err := json.NewDecoder(output).Decode(&addresses); err != nil {
		t.Fatalf("start the SMTP server of the tests: %v", err)
	}
	s.Address, s.control = addresses.SMTP, "http://"+addresses.HTTP
	return s
}

// certificate makes a certificate that signs itself.
func (s *SMTPServer) certificate(dir string) (certFile, keyFile string) {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		s.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	s.Roots.AppendCertsFromPEM(cert)
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, text := range map[string][]byte{certFile: cert, keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// URL gives the server's address as TINYDEV_SMTP_URL takes it, with user and password, and STARTTLS where it is offered.
func (s *SMTPServer) URL() string {
	u := url.URL{Scheme: "smtp", Host: s.Address}
	if s.options.User != "" {
		u.User = url.UserPassword(s.options.User, s.options.Password)
	}
	switch s.options.TLS {
	case "tls":
		u.Scheme = "smtps"
	case "starttls":
		u.RawQuery = "tls=starttls"
	}
	return u.String()
}

// Behave changes how the server answers from now on.
func (s *SMTPServer) Behave(b SMTPBehaviour) {
	s.t.Helper()
	body, err := json.Marshal(b)
	if err != nil {
		s.t.Fatal(err)
	}
	answer, err := http.Post(s.control+"/behave", "application/json", bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		s.t.Fatalf("POST /behave: %s", answer.Status)
	}
}

// Messages gives what the server took, in order.
func (s *SMTPServer) Messages() []Mail {
	s.t.Helper()
	answer, err := http.Get(s.control + "/messages")
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	var list []Mail
	if err := json.NewDecoder(answer.Body).Decode(&list); err != nil {
		s.t.Fatal(err)
	}
	return list
}

// Kill ends the server at once, and what it took is gone.
func (s *SMTPServer) Kill() {
	_ = s.process.Process.Kill() // it may have ended
	_ = s.process.Wait()
}
