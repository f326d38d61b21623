package auth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwk"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

// issuer is an identity provider whose keys and answers a test decides on, over real HTTP. Those that are well behaved come from a real
// provider, see pgtest.StartProvider.
type issuer struct {
	t      *testing.T
	server *httptest.Server

	mu      sync.Mutex
	keys    []map[string]any // the key set
	raw     string           // in place of the key set
	down    bool
	ill     bool              // the token endpoint answers 502
	fetches int               // of the key set
	tokens  map[string]string // code to ID token
	forms   []url.Values      // sent to the token endpoint
	person  map[string]any    // what the endpoint for claims says
}

var (
	rsaKey    = must(rsa.GenerateKey(rand.Reader, 2048))
	otherKey  = must(rsa.GenerateKey(rand.Reader, 2048))
	shortKey  = must(rsa.GenerateKey(rand.Reader, 1024))
	curveKey  = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	_, edKey  = must2(ed25519.GenerateKey(rand.Reader))
	secretKey = []byte("a secret of thirty-two bytes!!!!")
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func must2[A, B any](a A, b B, err error) (A, B) {
	if err != nil {
		panic(err)
	}
	return a, b
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{t: t, tokens: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%[2]q,"authorization_endpoint":%[3]q,"token_endpoint":%[4]q,"userinfo_endpoint":%[5]q}`,
			i.server.URL, i.server.URL+"/keys", i.server.URL+"/authorize", i.server.URL+"/token", i.server.URL+"/person")
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.fetches++
		if i.raw != "" {
			fmt.Fprint(w, i.raw)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"keys": i.keys})
	})
	mux.HandleFunc("/person", func(w http.ResponseWriter, _ *http.Request) {
		i.mu.Lock()
		defer i.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(i.person)
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		defer i.mu.Unlock()
		r.ParseForm()
		i.forms = append(i.forms, r.PostForm)
		w.Header().Set("Content-Type", "application/json")
		if i.ill {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		id, ok := i.tokens[r.PostFormValue("code")]
		delete(i.tokens, r.PostFormValue("code"))
		if !ok {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":"invalid_grant"}`)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": id})
	})
	i.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		down := i.down
		i.mu.Unlock()
		if down {
			panic(http.ErrAbortHandler)
		}
		mux.ServeHTTP(w, r)
	}))
	i.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	t.Cleanup(i.server.Close)
	i.publish("rsa", rsaKey.Public(), nil)
	return i
}

// publish adds a key to the key set.
func (i *issuer) publish(id string, public any, more map[string]any) {
	i.t.Helper()
	text := must(json.Marshal(must(jwk.Import(public))))
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		i.t.Fatal(err)
	}
	if id != "" {
		fields["kid"] = id
	}
	maps.Copy(fields, more)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = append(i.keys, fields)
}

func (i *issuer) set(change func(*issuer)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	change(i)
}

func (i *issuer) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

// claims gives good claims of bob with some changed; nil takes one away.
func (i *issuer) claims(changes map[string]any) map[string]any {
	now := time.Now()
	c := map[string]any{"iss": i.server.URL, "aud": "crm", "sub": "b1", "preferred_username": "bob", "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix()}
	for name, value := range changes {
		if value == nil {
			delete(c, name)
		} else {
			c[name] = value
		}
	}
	return c
}

// good gives a JWT that is taken, but for the changes of its claims.
func (i *issuer) good(changes map[string]any) string {
	return compact(map[string]any{"alg": "RS256", "kid": "rsa", "typ": "at+jwt"}, i.claims(changes), byRSA(rsaKey))
}

type signer func(signed []byte) []byte

func byRSA(k *rsa.PrivateKey) signer {
	return func(b []byte) []byte {
		sum := sha256.Sum256(b)
		return must(rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, sum[:]))
	}
}

func byRSA512(k *rsa.PrivateKey) signer {
	return func(b []byte) []byte {
		sum := sha512.Sum512(b)
		return must(rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA512, sum[:]))
	}
}

func byPSS(k *rsa.PrivateKey) signer {
	return func(b []byte) []byte {
		sum := sha256.Sum256(b)
		return must(rsa.SignPSS(rand.Reader, k, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}))
	}
}

func byCurve(k *ecdsa.PrivateKey) signer {
	return func(b []byte) []byte {
		sum := sha256.Sum256(b)
		r, s, err := ecdsa.Sign(rand.Reader, k, sum[:])
		if err != nil {
			panic(err)
		}
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	}
}

func byEd(k ed25519.PrivateKey) signer {
	return func(b []byte) []byte { return ed25519.Sign(k, b) }
}

func bySecret(secret []byte) signer {
	return func(b []byte) []byte {
		h := hmac.New(sha256.New, secret)
		h.Write(b)
		return h.Sum(nil)
	}
}

func fixed(signature []byte) signer { return func([]byte) []byte { return signature } }

// compact makes a JWT of anything: header and claims may be texts, to be taken as they are.
func compact(header, claims any, sign signer) string {
	part := func(v any) string {
		text, ok := v.(string)
		if !ok {
			text = string(must(json.Marshal(v)))
		}
		return base64.RawURLEncoding.EncodeToString([]byte(text))
	}
	signed := part(header) + "." + part(claims)
	return signed + "." + base64.RawURLEncoding.EncodeToString(sign([]byte(signed)))
}

// clock is a time that a test moves.
type clock struct {
	mu sync.Mutex
	at time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.at)
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at += d
}

// trust makes a SignOn that trusts the issuer, over a new database.
func (i *issuer) trust(change func(*SignOnOptions)) (*SignOn, *clock, *pgtest.Database) {
	i.t.Helper()
	db := pgtest.DB(i.t)
	pool, err := postgres.Open(context.Background(), db.URL("tinydev_server"), "test", 2)
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(pool.Close)
	o := SignOnOptions{Issuer: i.server.URL, Audience: "crm", Server: pool, Token: "td_test", ClientID: "page"}
	if change != nil {
		change(&o)
	}
	s, err := NewSignOn(o)
	if err != nil {
		i.t.Fatal(err)
	}
	c := &clock{}
	s.provider.now = c.now
	return s, c, db
}
