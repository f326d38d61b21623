// Command provider is an OpenID Connect provider for tests, a process of its own: the protocol is github.com/zitadel/oidc's, people and
// clients are given here. It prints its issuer and serves until its standard input ends.
//
// Anybody signs in whose password is their name and "-password"; who they are is said by -people. The clients "page" (secret
// "page-secret") and "public" (no secret, PKCE) get access tokens that are JWTs with the client as their audience.
// POST /test/rotate makes a new key and keeps the one before; POST /test/lifetime?is=5s sets the life of the next access tokens.
package main

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// person is somebody who can sign in. Name is the claim preferred_username.
type person struct {
	Subject  string `json:"subject"`
	Login    string `json:"login"`
	Name     string `json:"name"`
	Email    string `json:"email"`
	Verified bool   `json:"verified"`
}

type people []person

func (p people) find(is func(person) bool) *storage.User {
	at := slices.IndexFunc(p, is)
	if at < 0 {
		return nil
	}
	return &storage.User{ID: p[at].Subject, Username: p[at].Name, Password: p[at].Login + "-password", Email: p[at].Email, EmailVerified: p[at].Verified}
}

// GetUserByID and the others implement storage.UserStore.
func (p people) GetUserByID(id string) *storage.User {
	return p.find(func(one person) bool { return one.Subject == id })
}
func (p people) GetUserByUsername(login string) *storage.User {
	return p.find(func(one person) bool { return one.Login == login })
}
func (p people) ExampleClientID() string { return storage.ServiceUserID }

// client is a client of the library's with access tokens that are JWTs, for servers on any port of this machine.
type client struct{ op.Client }

func (client) AccessTokenType() op.AccessTokenType  { return op.AccessTokenTypeJWT }
func (client) DevMode() bool                        { return true }
func (client) IDTokenUserinfoClaimsAssertion() bool { return true }
func (client) RedirectURIGlobs() []string           { return []string{"http://127.0.0.1:*/login/oidc/callback"} }
func (client) PostLogoutRedirectURIGlobs() []string { return nil }

// store is the library's store in memory with keys that can be changed and tokens of a given life.
type store struct {
	*storage.Storage
	people people

	mu       sync.Mutex
	keys     []signingKey // the last one signs
	lifetime time.Duration
}

type signingKey struct {
	id      string
	private *rsa.PrivateKey
}

func (k signingKey) ID() string                                  { return k.id }
func (k signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k signingKey) Key() any                                    { return k.private }

type publicKey struct{ signingKey }

func (k publicKey) Algorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k publicKey) Use() string                        { return "sig" }
func (k publicKey) Key() any                           { return &k.private.PublicKey }

func (s *store) rotate() error {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = append(s.keys, signingKey{rand.Text(), private})
	return nil
}

func (s *store) SigningKey(context.Context) (op.SigningKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys[len(s.keys)-1], nil
}

func (s *store) KeySet(context.Context) ([]op.Key, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []op.Key
	for _, k := range s.keys {
		list = append(list, publicKey{k})
	}
	return list, nil
}

func (s *store) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	known, err := s.Storage.GetClientByClientID(ctx, id)
	if err != nil {
		return nil, err
	}
	return client{known}, nil
}

func (s *store) CreateAccessToken(ctx context.Context, request op.TokenRequest) (string, time.Time, error) {
	id, _, err := s.Storage.CreateAccessToken(ctx, request)
	s.mu.Lock()
	defer s.mu.Unlock()
	return id, time.Now().Add(s.lifetime), err
}

// GetPrivateClaimsFromScopes gives what access tokens say about a person.
func (s *store) GetPrivateClaimsFromScopes(_ context.Context, subject, _ string, _ []string) (map[string]any, error) {
	one := s.people.find(func(p person) bool { return p.Subject == subject })
	if one == nil {
		return nil, fmt.Errorf("nobody is %s", subject)
	}
	return map[string]any{"preferred_username": one.Username, "email": one.Email, "email_verified": one.EmailVerified}, nil
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address")
	lifetime := flag.Duration("lifetime", 5*time.Minute, "of access tokens")
	who := flag.String("people", "[]", `JSON: [{"subject":"1","login":"bob","name":"bob","email":"bob@corp.example","verified":true}]`)
	flag.Parse()
	var list people
	if err := json.Unmarshal([]byte(*who), &list); err != nil {
		log.Fatalf("read -people: %v", err)
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	issuer := "http://" + listener.Addr().String()
	s := &store{people: list, lifetime: *lifetime, Storage: storage.NewStorageWithClients(list, map[string]*storage.Client{
		"page": storage.WebClient("page", "page-secret"), "public": storage.NativeClient("public"),
	})}
	if err := s.rotate(); err != nil {
		log.Fatal(err)
	}
	protocol := exampleop.SetupServer(issuer, s, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})), false)
	http.Handle("/", protocol)
	http.HandleFunc("POST /test/rotate", func(w http.ResponseWriter, _ *http.Request) {
		if err := s.rotate(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	http.HandleFunc("POST /test/lifetime", func(w http.ResponseWriter, r *http.Request) {
		d, err := time.ParseDuration(r.FormValue("is"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.lifetime = d
	})
	go func() {
		log.Fatal(http.Serve(listener, nil))
	}()
	fmt.Println(issuer)
	// Whoever started it holds the other end, and is gone when it closes.
	_, _ = io.Copy(io.Discard, os.Stdin)
}
