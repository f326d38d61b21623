package postgres

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// ServerRole is the login of the server itself.
const ServerRole = "tinydev_server"

// A certificate that the server signs for itself holds for ten minutes and is used for the first half of them, so that
// PostgreSQL's clock may be ahead of ours. A connection outlives the certificate that opened it.
const (
	certificateLife = 10 * time.Minute
	certificateUse  = certificateLife - skew
)

// Signer lets the server log in as its users, and as itself, by certificates that it signs in memory. Its files are looked at
// for each connection, so that an authority can be replaced while the server runs. Its methods may be called from several goroutines.
type Signer struct {
	certFile, keyFile string
	log               *slog.Logger
	now               func() time.Time

	mu        sync.Mutex
	read      Pair // the files as they were when last looked at
	authority *Authority
	said      string                     // why they cannot be used, as last logged
	made      map[string]madeCertificate // by role
}

type madeCertificate struct {
	tls.Certificate
	renew time.Time
}

// NewSigner makes a signer of the authority in two files. Errors: invalid ca_invalid.
func NewSigner(certFile, keyFile string, log *slog.Logger) (*Signer, error) {
	s := &Signer{log: log, now: time.Now}
	var err error
	if s.certFile, err = filepath.Abs(certFile); err != nil {
		return nil, fmt.Errorf("find %s: %w", certFile, err)
	}
	if s.keyFile, err = filepath.Abs(keyFile); err != nil {
		return nil, fmt.Errorf("find %s: %w", keyFile, err)
	}
	if s.read, err = readPair(certFile, keyFile); err != nil {
		return nil, err
	}
	if s.authority, err = s.read.authority(certFile, keyFile); err != nil {
		return nil, err
	}
	s.made = map[string]madeCertificate{}
	return s, nil
}

// Files gives the absolute paths of the authority's files.
func (s *Signer) Files() (certFile, keyFile string) { return s.certFile, s.keyFile }

// Credential is a Credential: it gives a connection a certificate of role. Nothing is signed for a superuser's name or another
// role of ours or PostgreSQL's, nor for a connection on which PostgreSQL does not prove who it is. That a role is a user at all
// its caller has to have asked PostgreSQL. Errors: forbidden role_reserved; invalid tls_needed.
func (s *Signer) Credential(_ context.Context, role string, cfg *pgx.ConnConfig) error {
	if role != ServerRole {
		if err := reserved(role); err != nil {
			return err
		}
	}
	if role != cfg.User {
		return fmt.Errorf("a certificate of %s for a login as %s", role, cfg.User)
	}
	if err := requireProof(cfg); err != nil {
		return err
	}
	certificate, err := s.certificate(role)
	if err != nil {
		return err
	}
	show := func(c *tls.Config) *tls.Config {
		c = c.Clone()
		c.Certificates = []tls.Certificate{certificate}
		return c
	}
	cfg.TLSConfig = show(cfg.TLSConfig)
	for i, fallback := range cfg.Fallbacks {
		other := *fallback
		other.TLSConfig = show(fallback.TLSConfig)
		cfg.Fallbacks[i] = &other
	}
	return nil
}

// requireProof refuses connections without TLS, and those on which anybody may pose as PostgreSQL: sslmode=require without
// sslrootcert does not look at who answers.
func requireProof(cfg *pgx.ConnConfig) error {
	configs := []*tls.Config{cfg.TLSConfig}
	for _, fallback := range cfg.Fallbacks {
		configs = append(configs, fallback.TLSConfig)
	}
	for _, c := range configs {
		if c == nil || c.InsecureSkipVerify && c.VerifyPeerCertificate == nil && c.VerifyConnection == nil {
			return fault.New(fault.Invalid, "tls_needed", "logging in by certificate needs TLS on which PostgreSQL proves who it is").
				WithHint("name it by host and add sslmode=verify-full&sslrootcert=/path/to/ca.crt to the database's URL")
		}
	}
	return nil
}

// certificate gives a certificate of role that holds for five minutes at least, by PostgreSQL's clock too.
func (s *Signer) certificate(role string) (tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reload()
	now := s.now()
	if made, ok := s.made[role]; ok && now.Before(made.renew) {
		return made.Certificate, nil
	}
	if now.After(s.authority.Until()) {
		return tls.Certificate{}, s.authority.ended(s.certFile)
	}
	pair, err := s.authority.Client(role, certificateLife)
	if err != nil {
		return tls.Certificate{}, err
	}
	certificate, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("read a certificate of our own: %w", err)
	}
	maps.DeleteFunc(s.made, func(_ string, made madeCertificate) bool { return now.After(made.renew) })
	s.made[role] = madeCertificate{certificate, now.Add(certificateUse)}
	return certificate, nil
}

// reload takes over files that have changed. While they do not fit, such as between the writing of the one and of the other, the
// authority that was there signs on. mu is held.
func (s *Signer) reload() {
	read, err := readPair(s.certFile, s.keyFile)
	if err == nil && bytes.Equal(read.Cert, s.read.Cert) && bytes.Equal(read.Key, s.read.Key) {
		s.said = ""
		return
	}
	var next *Authority
	if err == nil {
		next, err = read.authority(s.certFile, s.keyFile)
	}
	if err != nil {
		if s.said != err.Error() {
			s.said = err.Error()
			s.log.Warn("the certificate authority's files changed and cannot be used, the one before signs on", "error", err)
		}
		return
	}
	s.log.Info("another certificate authority signs from now on", "subject", next.cert.Subject.CommonName)
	s.read, s.authority, s.said = read, next, ""
	clear(s.made)
}

// WithCertificate gives a database URL as user and with the files of a client certificate, for psql and other programs; all else
// in it stays. Errors: invalid database_url_invalid, tls_needed.
func WithCertificate(database, user, certFile, keyFile string) (string, error) {
	cfg, err := parse(database)
	if err != nil {
		return "", err
	}
	if err := requireProof(cfg.ConnConfig); err != nil {
		return "", err
	}
	return change(database, user, map[string]string{"sslcert": certFile, "sslkey": keyFile})
}
