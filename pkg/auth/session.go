package auth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

const codeFor = time.Hour // how long the printed address can be opened

// How a page session was opened, for the audit.
const (
	byToken = "token"
	byCode  = "code"
	byOIDC  = "oidc"
)

type code struct {
	principal Principal
	until     time.Time
}

// NewCode makes a one-time code that signs in as role; it is good once and for an hour. What it opens ends with the token that
// Register put in for the role.
func (a *Auth) NewCode(role string) string {
	text := random(24)
	a.mu.Lock()
	defer a.mu.Unlock()
	for sum, c := range a.codes {
		if a.now().After(c.until) {
			delete(a.codes, sum)
		}
	}
	p := Principal{Role: role, TokenID: a.own[role], TokenName: "printed address", Kind: byCode}
	a.codes[sha256.Sum256([]byte(text))] = code{p, a.now().Add(codeFor)}
	return text
}

// SignInWithCode takes a one-time code and opens a page session. Errors: unauthentic code_spent, and those of SignIn.
func (a *Auth) SignInWithCode(ctx context.Context, w http.ResponseWriter, text string) error {
	sum := sha256.Sum256([]byte(text))
	a.mu.Lock()
	c, ok := a.codes[sum]
	delete(a.codes, sum)
	a.mu.Unlock()
	if !ok || a.now().After(c.until) {
		return CodeSpent()
	}
	err := a.SignIn(ctx, w, c.principal)
	if kind := fault.KindOf(err); err != nil && kind != fault.Unauthentic && kind != fault.Forbidden { // PostgreSQL did not answer
		a.mu.Lock()
		a.codes[sum] = c
		a.mu.Unlock()
	}
	return err
}

// CodeSpent is the fault of a one-time code that does not let in any more.
func CodeSpent() *fault.Error {
	return fault.New(fault.Unauthentic, "code_spent", "this address was opened before, or is older than an hour").
		WithHint("sign in with the token that tinydev env prints")
}

// SignInWithToken opens a page session for who shows a token in a request. Errors: unauthentic token_malformed, token_unknown,
// token_expired; those of SignIn.
func (a *Auth) SignInWithToken(ctx context.Context, w http.ResponseWriter, r *http.Request, token string) error {
	p, err := a.ownToken(ctx, strings.TrimSpace(token))
	if err != nil {
		a.warnOfUnknown(err, r)
		return err
	}
	return a.SignIn(ctx, w, p)
}

// SignIn opens a new page session and sets its cookie. It lasts for 30 days at most, ends with the token that p was let in by, and
// may do no more than it. Errors: unauthentic token_unknown; forbidden not_a_user, token_scoped; unavailable database_unavailable.
func (a *Auth) SignIn(ctx context.Context, w http.ResponseWriter, p Principal) error {
	method := map[string]string{KindToken: byToken, byCode: byCode}[p.Kind]
	if method == "" {
		method = byOIDC
	}
	var parent *int64
	if p.TokenID != 0 {
		parent = &p.TokenID
	}
	var until *time.Time
	if !p.Expires.IsZero() {
		until = &p.Expires
	}
	secret := random(32)
	sum := sha256.Sum256([]byte(secret))
	var expires time.Time
	err := a.server.QueryRow(ctx, "select expires_at from tinydev_impl.open_session($1, $2, $3, $4, $5, $6, $7)",
		hex.EncodeToString(sum[:]), p.Role, parent, p.TokenName, p.ReadOnly, until, method).Scan(&expires)
	if err := postgres.Fault(err, ""); err != nil {
		if f := fault.As(err); f != nil && f.Kind == fault.Forbidden {
			// Who it is was known; when the audit cannot be written, the refusal itself is all that matters.
			_, _ = a.server.Exec(ctx, "select tinydev_impl.audit_sign_in($1, $2, $3)", p.Role, method, f.Code)
		}
		return fmt.Errorf("sign in: %w", err)
	}
	a.setCookie(w, secret, expires)
	return nil
}

// SignOut ends the page session of a request, for whoever copied its cookie too, and takes the cookie back.
// Errors: unavailable database_unavailable; then the session lives on, and so does the cookie.
func (a *Auth) SignOut(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	if secret, ok := a.cookieOf(r); ok {
		sum := sha256.Sum256([]byte(secret))
		if _, err := a.server.Exec(ctx, "select tinydev_impl.close_session($1)", hex.EncodeToString(sum[:])); err != nil {
			return fmt.Errorf("sign out: %w", postgres.Fault(err, ""))
		}
		a.mu.Lock()
		delete(a.cache, sum)
		a.mu.Unlock()
	}
	a.setCookie(w, "", time.Unix(1, 0))
	return nil
}

func (a *Auth) cookieOf(r *http.Request) (string, bool) {
	cookie, err := r.Cookie(a.cookie)
	if err != nil {
		return "", false
	}
	return cookie.Value, true
}

func (a *Auth) setCookie(w http.ResponseWriter, value string, expires time.Time) {
	http.SetCookie(w, &http.Cookie{Name: a.cookie, Value: value, Path: "/", Expires: expires, HttpOnly: true, Secure: a.secure, SameSite: http.SameSiteStrictMode})
}

var secretPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)

// session gives the principal of a cookie.
func (a *Auth) session(ctx context.Context, secret string) (Principal, error) {
	if !secretPattern.MatchString(secret) {
		return Principal{}, sessionEnded()
	}
	p, err := a.authenticate(ctx, secret)
	if fault.KindOf(err) == fault.Unauthentic || err == nil && p.Kind != KindSession {
		return Principal{}, sessionEnded()
	}
	return p, err
}

func sessionEnded() *fault.Error {
	return fault.New(fault.Unauthentic, "session_ended", "the page's session has ended").WithHint("sign in again with the token that tinydev env prints")
}
