package postgres

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// authorityYears is how long a certificate authority of ours holds, and with it PostgreSQL's own certificate.
const authorityYears = 10

// skew is how far the clocks of two machines may be apart.
const skew = 5 * time.Minute

// Authority is a certificate authority that PostgreSQL trusts: who shows a certificate that it signed logs in as the role that
// the certificate's CN names, without a password.
type Authority struct {
	cert *x509.Certificate
	key  crypto.PrivateKey
}

// Pair is a certificate and its key, in PEM.
type Pair struct{ Cert, Key []byte }

// MakeAuthority makes ca.crt and ca.key (mode 0600) in a folder, and the folder. What is there is never overwritten: an
// authority that is there already is loaded, and made is false. Errors: invalid ca_invalid.
func MakeAuthority(dir string) (a *Authority, made bool, err error) {
	certFile, keyFile := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key")
	if exists(certFile) || exists(keyFile) {
		a, err = LoadAuthority(certFile, keyFile)
		return a, false, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, false, unwritable(err)
	}
	name := make([]byte, 4)
	rand.Read(name) // never fails
	now := time.Now()
	// A name of its own: PostgreSQL may trust several while one follows another.
	pair, err := sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "TinyDevCRM CA " + hex.EncodeToString(name)}, NotBefore: now.Add(-skew), NotAfter: now.AddDate(authorityYears, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, nil)
	if err != nil {
		return nil, false, err
	}
	if err := pair.write(certFile, keyFile, os.O_EXCL); err != nil {
		return nil, false, err
	}
	a, err = LoadAuthority(certFile, keyFile)
	return a, true, err
}

// LoadAuthority reads an authority and checks it. The first certificate of certFile is the one that signs; further ones may
// follow. Errors: invalid ca_invalid when it cannot sign now, or the key is open to others.
func LoadAuthority(certFile, keyFile string) (*Authority, error) {
	files, err := readPair(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	return files.authority(certFile, keyFile)
}

// readPair reads the files of an authority.
func readPair(certFile, keyFile string) (Pair, error) {
	cert, err := os.ReadFile(certFile)
	if err != nil {
		return Pair{}, caInvalid("%v", err).WithHint("tinydev ca init makes a certificate authority").Because(err)
	}
	key, err := os.Open(keyFile)
	if err != nil {
		return Pair{}, caInvalid("%v", err).WithHint("the key belongs beside the certificate that was made with it; without it nothing can be signed").Because(err)
	}
	defer key.Close()
	info, err := key.Stat()
	if err != nil {
		return Pair{}, caInvalid("%v", err).Because(err)
	}
	// As libpq has it: closed to all but its owner, or root's and open to a group.
	allowed := os.FileMode(0o600)
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid == 0 && os.Getuid() != 0 {
		allowed = 0o640
	}
	if info.Mode().Perm()&0o077&^allowed != 0 {
		return Pair{}, caInvalid("others may read %s, mode %04o", keyFile, info.Mode().Perm()).
			WithHint("who reads it can log in as every user: chmod 0600, and make another authority if somebody may have")
	}
	var text bytes.Buffer
	if _, err := text.ReadFrom(key); err != nil {
		return Pair{}, caInvalid("%v", err).Because(err)
	}
	return Pair{cert, text.Bytes()}, nil
}

func (p Pair) authority(certFile, keyFile string) (*Authority, error) {
	loaded, err := tls.X509KeyPair(p.Cert, p.Key) // checks that they belong together
	if err != nil {
		return nil, caInvalid("%s and %s: %v", certFile, keyFile, err).Because(err)
	}
	cert := loaded.Leaf
	now := time.Now()
	switch {
	case !cert.IsCA || !cert.BasicConstraintsValid || cert.KeyUsage != 0 && cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return nil, caInvalid("the certificate in %s may not sign others", certFile).WithHint("the first one in the file has to be the authority's own")
	case now.After(cert.NotAfter):
		return nil, (&Authority{cert: cert}).ended(certFile)
	case now.Before(cert.NotBefore):
		return nil, caInvalid("the certificate in %s begins on %s", certFile, cert.NotBefore.UTC().Format(time.RFC3339)).WithHint("is the clock right?")
	}
	return &Authority{cert, loaded.PrivateKey}, nil
}

func caInvalid(format string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, "ca_invalid", "the certificate authority cannot be used: "+format, args...)
}

func (a *Authority) ended(certFile string) error {
	return caInvalid("the certificate in %s ended on %s", certFile, a.cert.NotAfter.UTC().Format(time.DateOnly)).
		WithHint("make another authority and have PostgreSQL trust it; docs/configuration.md says how one follows another")
}

// Client makes a certificate with which role logs in, from now on and for as long as is said, but never longer than the
// authority itself. It looks at no name: ask MayHaveCertificate first.
func (a *Authority) Client(role string, lifetime time.Duration) (Pair, error) {
	now := time.Now()
	return sign(&x509.Certificate{Subject: pkix.Name{CommonName: role}, NotBefore: now.Add(-skew), NotAfter: now.Add(lifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true}, a)
}

// Until is when the authority's certificate ends.
func (a *Authority) Until() time.Time { return a.cert.NotAfter }

var hostName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*\.?$`)

// MakeServer makes what PostgreSQL shows to its clients, in a folder: server.crt and server.key for the hosts, which are names
// or addresses, and a copy of ca.crt. What is there is never overwritten; made is false when it serves already.
// Errors: invalid usage; conflict certificate_exists for files that say something else.
func (a *Authority) MakeServer(dir string, hosts []string) (made bool, err error) {
	template := &x509.Certificate{Subject: pkix.Name{CommonName: hosts[0]}, NotBefore: time.Now().Add(-skew), NotAfter: a.cert.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true}
	for _, host := range hosts {
		switch ip := net.ParseIP(host); {
		case ip != nil:
			template.IPAddresses = append(template.IPAddresses, ip)
		case hostName.MatchString(host) && len(host) < 254:
			template.DNSNames = append(template.DNSNames, host)
		default:
			return false, fault.New(fault.Invalid, "usage", "%q is no name of a host", host).WithHint("give names or addresses under which PostgreSQL is reached, such as db.example.org")
		}
	}
	if len(hosts[0]) > 64 { // all that a CN holds; clients look at the other names
		template.Subject.CommonName = "PostgreSQL"
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, unwritable(err)
	}
	copied := filepath.Join(dir, "ca.crt")
	own := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
	if text, err := os.ReadFile(copied); err == nil && !bytes.Contains(text, own) {
		return false, certificateExists(copied, "is of another authority")
	} else if errors.Is(err, fs.ErrNotExist) {
		if err := writeNew(copied, own, 0o644); err != nil {
			return false, err
		}
	}
	certFile, keyFile := filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key")
	if exists(certFile) || exists(keyFile) {
		return false, a.checkServer(certFile, keyFile, hosts)
	}
	pair, err := sign(template, a)
	if err != nil {
		return false, err
	}
	return true, pair.write(certFile, keyFile, os.O_EXCL)
}

// checkServer tells whether a server's certificate that is there serves for the hosts.
func (a *Authority) checkServer(certFile, keyFile string, hosts []string) error {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return certificateExists(certFile, "cannot be used: %v", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	for _, host := range hosts {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots}); err != nil {
			return certificateExists(certFile, "does not serve for %s: %v", host, err)
		}
	}
	return nil
}

func certificateExists(file, format string, args ...any) error {
	return fault.New(fault.Conflict, "certificate_exists", "%s is there already and %s", file, fmt.Sprintf(format, args...)).
		WithHint("move it away, with its key, to have another made")
}

// Keep gives the files of a certificate of role in a folder, ROLE.crt and ROLE.key (mode 0600). One that is there is kept until
// half of its life is over.
func (a *Authority) Keep(dir, role string, lifetime time.Duration) (certFile, keyFile string, err error) {
	certFile, keyFile = filepath.Join(dir, role+".crt"), filepath.Join(dir, role+".key")
	there, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err == nil && time.Until(there.Leaf.NotAfter) > lifetime/2 && there.Leaf.CheckSignatureFrom(a.cert) == nil {
		return certFile, keyFile, nil
	}
	pair, err := a.Client(role, lifetime)
	if err != nil {
		return "", "", err
	}
	return pair.Write(dir, role)
}

// Write stores the pair as NAME.crt and NAME.key (mode 0600) in a folder, over what is there.
func (p Pair) Write(dir, name string) (certFile, keyFile string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", "", unwritable(err)
	}
	certFile, keyFile = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	return certFile, keyFile, p.write(certFile, keyFile, 0)
}

// write stores both files; with O_EXCL only where there are none.
func (p Pair) write(certFile, keyFile string, exclusive int) error {
	write := writeOver
	if exclusive != 0 {
		write = writeNew
	}
	if err := write(keyFile, p.Key, 0o600); err != nil {
		return err
	}
	return write(certFile, p.Cert, 0o644)
}

func writeNew(path string, text []byte, mode fs.FileMode) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return unwritable(err)
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return unwritable(errors.Join(err, os.Remove(path)))
	}
	return nil
}

// writeOver replaces a file as a whole, so that nobody reads half of it.
func writeOver(path string, text []byte, mode fs.FileMode) error {
	next := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return unwritable(err)
	}
	if err := writeNew(next, text, mode); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return unwritable(errors.Join(err, os.Remove(next)))
	}
	return nil
}

func unwritable(err error) error {
	return fault.New(fault.Invalid, "file_unwritable", "the certificate cannot be stored: %v", err).WithHint("choose a folder that may be written to").Because(err)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// sign makes a key and a certificate for it, signed by a; by itself when a is nil.
func sign(template *x509.Certificate, a *Authority) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("make a key: %w", err)
	}
	parent, signer := template, crypto.PrivateKey(key)
	if a != nil {
		parent, signer = a.cert, a.key
		if template.NotAfter.After(a.cert.NotAfter) {
			template.NotAfter = a.cert.NotAfter
		}
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return Pair{}, fmt.Errorf("sign a certificate of %s: %w", template.Subject.CommonName, err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Pair{}, fmt.Errorf("write a key: %w", err)
	}
	pair := Pair{pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})}
	if a != nil && !bytes.Equal(a.cert.RawSubject, a.cert.RawIssuer) { // PostgreSQL may know only who signed the authority
		pair.Cert = append(pair.Cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})...)
	}
	return pair, nil
}

var roleName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_$@.-]{0,62}$`)

// MayHaveCertificate reports whether a person may have a certificate as role, as far as the name tells: none is given for roles
// of ours and of PostgreSQL's own. Whether the role is a user at all PostgreSQL knows. Errors: forbidden role_reserved; invalid
// user_name_invalid.
func MayHaveCertificate(role string) error {
	if !roleName.MatchString(role) {
		return fault.New(fault.Invalid, "user_name_invalid", "%q is no name of a user", role).WithHint("use 1 to 63 letters, digits and _")
	}
	return reserved(role)
}

func reserved(role string) error {
	if name := strings.ToLower(role); strings.HasPrefix(name, "tinydev") || strings.HasPrefix(name, "pg_") || slices.Contains([]string{"postgres", "public", "none"}, name) {
		return fault.New(fault.Forbidden, "role_reserved", "there are no certificates for %s", role).
			WithHint("users have certificates; a superuser logs in on PostgreSQL's own machine")
	}
	return nil
}
