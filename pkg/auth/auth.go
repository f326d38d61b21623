// Package auth finds the role that a request runs as: from a bearer token, or from the cookie of a page session.
package auth

import (
	"context"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

const (
	cacheFor    = 3 * time.Second     // what a revoked token may still do
	cacheLimit  = 1000                // tokens remembered
	codeFor     = time.Hour           // how long the printed address can be opened
	sessionFor  = 30 * 24 * time.Hour // how long a browser stays signed in
	tokenPrefix = "td_"
)

// Auth knows tokens, one-time codes and page sessions. Its methods may be called from several goroutines.
type Auth struct {
	server *pgxpool.Pool
	key    []byte // signs cookies
	cookie string
	secure bool
	now    func() time.Time

	mu    sync.Mutex
	cache map[[32]byte]cached
	codes map[[32]byte]code
	ended map[string]time.Time // sessions signed out, until they would have expired
}

type cached struct {
	role  string
	until time.Time
}

type code = cached

// New makes an Auth. server is the pool of tinydev_server. token is the installation's first token: what signs the cookies is
// derived from it, so that page sessions survive a restart and end when the token is replaced. secure is set under TLS.
func New(server *pgxpool.Pool, token string, secure bool) (*Auth, error) {
	key, err := hkdf.Key(sha256.New, []byte(token), nil, "tinydev page sessions", 32)
	if err != nil {
		return nil, fmt.Errorf("derive the key of page sessions: %w", err)
	}
	id, err := hkdf.Key(sha256.New, []byte(token), nil, "tinydev cookie name", 4)
	if err != nil {
		return nil, fmt.Errorf("derive the name of the cookie: %w", err)
	}
	// Browsers send cookies to every port of a host, so each installation has its own name.
	name := "tinydev_" + hex.EncodeToString(id)
	if secure {
		name = "__Host-" + name
	}
	return &Auth{server: server, key: key, cookie: name, secure: secure, now: time.Now,
		cache: map[[32]byte]cached{}, codes: map[[32]byte]code{}, ended: map[string]time.Time{}}, nil
}

type roleKey struct{}

// WithRole gives ctx with the role of its request.
func WithRole(ctx context.Context, role string) context.Context {
	return context.WithValue(ctx, roleKey{}, role)
}

// RoleFrom gives the role of a request's context; "" when nobody is signed in.
func RoleFrom(ctx context.Context) string {
	role, _ := ctx.Value(roleKey{}).(string)
	return role
}

// Role gives the role that a request speaks for: that of its bearer token, else that of its page cookie.
// Errors: unauthentic not_signed_in, token_malformed, token_unknown, session_ended; forbidden not_a_user; unavailable database_unavailable.
func (a *Auth) Role(ctx context.Context, r *http.Request) (string, error) {
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, token, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return "", fault.New(fault.Unauthentic, "token_malformed", "the Authorization header is not a bearer token").
				WithHint("send Authorization: Bearer td_…; tinydev env prints the token")
		}
		return a.TokenRole(ctx, strings.TrimSpace(token))
	}
	if cookie, err := r.Cookie(a.cookie); err == nil {
		role, _, _, ok := a.readSession(cookie.Value)
		if !ok {
			return "", fault.New(fault.Unauthentic, "session_ended", "the page's session has ended").WithHint("sign in again with the token that tinydev env prints")
		}
		return role, nil
	}
	return "", fault.New(fault.Unauthentic, "not_signed_in", "who you are is not known").
		WithHint("send Authorization: Bearer td_…; tinydev env prints the token")
}

// FromCookie reports whether a request would be signed in by a cookie, which a foreign page can make a browser send.
func (a *Auth) FromCookie(r *http.Request) bool {
	if r.Header.Get("Authorization") != "" {
		return false
	}
	_, err := r.Cookie(a.cookie)
	return err == nil
}

// TokenRole gives the role that a token speaks for; answers are kept for three seconds.
// Errors: unauthentic token_malformed, token_unknown; forbidden not_a_user; unavailable database_unavailable.
func (a *Auth) TokenRole(ctx context.Context, token string) (string, error) {
	if !strings.HasPrefix(token, tokenPrefix) || len(token) > 200 {
		return "", fault.New(fault.Unauthentic, "token_malformed", "this is not a token of TinyDevCRM").WithHint("a token begins with td_; tinydev env prints it")
	}
	sum := sha256.Sum256([]byte(token))
	a.mu.Lock()
	hit, ok := a.cache[sum]
	a.mu.Unlock()
	if ok && a.now().Before(hit.until) {
		return hit.role, nil
	}
	var role string
	if err := a.server.QueryRow(ctx, "select tinydev_impl.token_role($1)", hex.EncodeToString(sum[:])).Scan(&role); err != nil {
		return "", postgres.Fault(err, "")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.cache) >= cacheLimit {
		clear(a.cache)
	}
	a.cache[sum] = cached{role, a.now().Add(cacheFor)}
	return role, nil
}

// Register puts a token's SHA-256 into the database under a name; the token of that name before it is good no more.
// Errors: forbidden not_a_user; unavailable database_unavailable.
func (a *Auth) Register(ctx context.Context, role, name, token string) error {
	sum := sha256.Sum256([]byte(token))
	if _, err := a.server.Exec(ctx, "select tinydev_impl.put_token($1, $2, $3)", role, name, hex.EncodeToString(sum[:])); err != nil {
		return fmt.Errorf("store the token: %w", postgres.Fault(err, ""))
	}
	return nil
}

// NewCode makes a one-time code that signs in as role; it is good once and for an hour.
func (a *Auth) NewCode(role string) string {
	text := random(24)
	a.mu.Lock()
	defer a.mu.Unlock()
	for sum, c := range a.codes {
		if a.now().After(c.until) {
			delete(a.codes, sum)
		}
	}
	a.codes[sha256.Sum256([]byte(text))] = code{role, a.now().Add(codeFor)}
	return text
}

// SignInWithCode takes a one-time code and sets the cookie. Errors: unauthentic code_spent.
func (a *Auth) SignInWithCode(w http.ResponseWriter, text string) error {
	sum := sha256.Sum256([]byte(text))
	a.mu.Lock()
	c, ok := a.codes[sum]
	delete(a.codes, sum)
	a.mu.Unlock()
	if !ok || a.now().After(c.until) {
		return CodeSpent()
	}
	a.SignIn(w, c.role)
	return nil
}

// CodeSpent is the fault of a one-time code that does not let in any more.
func CodeSpent() *fault.Error {
	return fault.New(fault.Unauthentic, "code_spent", "this address was opened before, or is older than an hour").
		WithHint("sign in with the token that tinydev env prints")
}

// SignInWithToken checks a token and sets the cookie. Errors: as TokenRole.
func (a *Auth) SignInWithToken(ctx context.Context, w http.ResponseWriter, token string) error {
	role, err := a.TokenRole(ctx, strings.TrimSpace(token))
	if err != nil {
		return err
	}
	a.SignIn(w, role)
	return nil
}

// SignIn sets the cookie of a new page session of role.
func (a *Auth) SignIn(w http.ResponseWriter, role string) {
	expires := a.now().Add(sessionFor)
	a.setCookie(w, a.sign(role, random(12), expires), expires)
}

// SignOut ends the page session of a request, for whoever copied its cookie too, and takes the cookie back.
func (a *Auth) SignOut(w http.ResponseWriter, r *http.Request) {
	if cookie, err := r.Cookie(a.cookie); err == nil {
		if _, id, expires, ok := a.readSession(cookie.Value); ok {
			a.mu.Lock()
			for old, until := range a.ended {
				if a.now().After(until) {
					delete(a.ended, old)
				}
			}
			a.ended[id] = expires
			a.mu.Unlock()
		}
	}
	a.setCookie(w, "", time.Unix(1, 0))
}

func (a *Auth) setCookie(w http.ResponseWriter, value string, expires time.Time) {
	http.SetCookie(w, &http.Cookie{Name: a.cookie, Value: value, Path: "/", Expires: expires, HttpOnly: true, Secure: a.secure, SameSite: http.SameSiteStrictMode})
}

// A cookie is role, session id and expiry, each without a dot, and their HMAC.
func (a *Auth) sign(role, id string, expires time.Time) string {
	body := base64.RawURLEncoding.EncodeToString([]byte(role)) + "." + id + "." + strconv.FormatInt(expires.Unix(), 36)
	return body + "." + a.mac(body)
}

func (a *Auth) mac(body string) string {
	h := hmac.New(sha256.New, a.key)
	h.Write([]byte(body))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

func (a *Auth) readSession(value string) (role, id string, expires time.Time, ok bool) {
	at := strings.LastIndexByte(value, '.')
	if at < 0 || subtle.ConstantTimeCompare([]byte(a.mac(value[:at])), []byte(value[at+1:])) != 1 {
		return "", "", expires, false
	}
	parts := strings.Split(value[:at], ".")
	if len(parts) != 3 {
		return "", "", expires, false
	}
	name, err1 := base64.RawURLEncoding.DecodeString(parts[0])
	seconds, err2 := strconv.ParseInt(parts[2], 36, 64)
	expires = time.Unix(seconds, 0)
	a.mu.Lock()
	_, ended := a.ended[parts[1]]
	a.mu.Unlock()
	if err1 != nil || err2 != nil || ended || !a.now().Before(expires) {
		return "", "", expires, false
	}
	return string(name), parts[1], expires, true
}

// random gives n random bytes as text that needs no escaping in a URL.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}
