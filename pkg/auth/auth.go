// Package auth finds who makes a request: from a bearer token, a bearer JWT, or the cookie of a page session.
//
// PostgreSQL knows tokens and page sessions, by the SHA-256 of their secrets alone; what is remembered here is remembered for
// three seconds.
package auth

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/observe"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

const (
	cacheFor   = 3 * time.Second // what a revoked token may still do
	cacheLimit = 1000            // tokens remembered
	warnEvery  = time.Second     // unknown tokens in the log
	maxToken   = 200             // bytes of a token of ours
	maxJWT     = 16 << 10        // bytes of somebody else's
)

// Kinds of principals.
const (
	KindToken   = "token"   // a bearer token of ours
	KindSession = "session" // the cookie of a page session
	KindJWT     = "jwt"     // a bearer token of an outside identity provider
)

// Principal is who makes a request, and what they may do at most.
type Principal struct {
	Role      string
	TokenID   int64 // of the token or the page session; 0 is none, such as for a JWT
	TokenName string
	Kind      string
	ReadOnly  bool
	Scopes    []string  // nil is all; see Permits
	Expires   time.Time // zero is never

	issuer string // of a JWT, whose subject is TokenName
}

// Verifier checks JWTs of outside identity providers and finds the role of who is meant.
type Verifier interface {
	// Verify gives a principal of kind jwt. Errors: unauthentic or forbidden when the JWT does not let in; unavailable when that
	// cannot be told now.
	Verify(ctx context.Context, jwt string) (Principal, error)
}

// Options are what an Auth needs.
type Options struct {
	// Server is the pool of tinydev_server.
	Server *pgxpool.Pool
	// Token is the installation's first token; the name of the cookie is derived from it.
	Token string
	// Secure is set under TLS.
	Secure bool
	// JWT checks bearer tokens that are not ours; nil refuses them.
	JWT Verifier
	// Logger is told of tokens that nobody has; nil discards.
	Logger *slog.Logger
}

// Auth knows tokens, one-time codes and page sessions. Its methods may be called from several goroutines.
type Auth struct {
	server *pgxpool.Pool
	jwt    Verifier
	log    *slog.Logger
	cookie string
	secure bool
	now    func() time.Time

	mu      sync.Mutex
	cache   map[[32]byte]cached
	codes   map[[32]byte]code
	own     map[string]int64 // token_id of what Register put in for a role
	warned  time.Time        // when an unknown token was logged last
	unknown int              // those that were not logged since
}

type cached struct {
	principal Principal
	until     time.Time
}

// New makes an Auth.
func New(o Options) (*Auth, error) {
	id, err := hkdf.Key(sha256.New, []byte(o.Token), nil, "tinydev cookie name", 4)
	if err != nil {
		return nil, fmt.Errorf("derive the name of the cookie: %w", err)
	}
	// Browsers send cookies to every port of a host, so each installation has its own name.
	name := "tinydev_" + hex.EncodeToString(id)
	if o.Secure {
		name = "__Host-" + name
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Auth{server: o.Server, jwt: o.JWT, log: o.Logger, cookie: name, secure: o.Secure, now: time.Now,
		cache: map[[32]byte]cached{}, codes: map[[32]byte]code{}, own: map[string]int64{}}, nil
}

type principalKey struct{}

// WithPrincipal gives ctx with who makes its request. The sessions that are opened with it refuse to write for one who may only read.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	if p.ReadOnly {
		ctx = postgres.ReadOnly(ctx)
	}
	return context.WithValue(ctx, principalKey{}, p)
}

// PrincipalFrom gives who makes the request of a context; a zero one when nobody is signed in.
func PrincipalFrom(ctx context.Context) Principal {
	p, _ := ctx.Value(principalKey{}).(Principal)
	return p
}

// RoleFrom gives the role of a request's context; "" when nobody is signed in.
func RoleFrom(ctx context.Context) string { return PrincipalFrom(ctx).Role }

// Principal gives who makes a request: by its bearer token, else by its page cookie. A revoked token is good for three seconds more.
// Errors: unauthentic not_signed_in, token_malformed, token_in_query, token_unknown, token_expired, session_ended and those of the
// Verifier; forbidden not_a_user; unavailable database_unavailable.
func (a *Auth) Principal(ctx context.Context, r *http.Request) (Principal, error) {
	if err := noTokenInQuery(r); err != nil {
		return Principal{}, err
	}
	if headers := r.Header.Values("Authorization"); len(headers) > 1 {
		return Principal{}, malformed("there are %d Authorization headers", len(headers))
	} else if len(headers) == 1 && headers[0] != "" {
		scheme, token, _ := strings.Cut(headers[0], " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return Principal{}, malformed("the Authorization header is not a bearer token")
		}
		p, err := a.bearer(ctx, strings.TrimSpace(token))
		a.warnOfUnknown(err, r)
		return p, err
	}
	if secret, ok := a.cookieOf(r); ok {
		return a.session(ctx, secret)
	}
	return Principal{}, fault.New(fault.Unauthentic, "not_signed_in", "who you are is not known").
		WithHint("send Authorization: Bearer td_…; tinydev env prints the token")
}

func malformed(format string, args ...any) *fault.Error {
	return fault.New(fault.Unauthentic, "token_malformed", format, args...).WithHint("send Authorization: Bearer td_…, once; tinydev env prints the token")
}

// noTokenInQuery refuses what would stand in logs and in the browser's history.
func noTokenInQuery(r *http.Request) error {
	if !strings.Contains(r.URL.RawQuery, "token=") {
		return nil
	}
	query := r.URL.Query()
	if query.Has("token") || query.Has("access_token") {
		return fault.New(fault.Unauthentic, "token_in_query", "a token in an address ends up in logs").
			WithHint("send it as Authorization: Bearer td_…, and revoke this one: tinydev token revoke")
	}
	return nil
}

// bearer gives the principal of a token of ours or of a JWT.
func (a *Auth) bearer(ctx context.Context, token string) (Principal, error) {
	if a.jwt != nil && !strings.HasPrefix(token, tokenPrefix) && len(token) <= maxJWT && strings.Count(token, ".") == 2 {
		return a.jwt.Verify(ctx, token)
	}
	return a.ownToken(ctx, token)
}

// ownToken gives the principal of a token of ours.
func (a *Auth) ownToken(ctx context.Context, token string) (Principal, error) {
	if !strings.HasPrefix(token, tokenPrefix) || len(token) > maxToken {
		return Principal{}, fault.New(fault.Unauthentic, "token_malformed", "this is not a token of TinyDevCRM").
			WithHint("a token begins with td_; tinydev env prints it")
	}
	p, err := a.authenticate(ctx, token)
	if err == nil && p.Kind != KindToken {
		return Principal{}, fault.New(fault.Unauthentic, "token_unknown", "this token is not known").WithHint("a page's session is no token")
	}
	return p, err
}

// authenticate asks PostgreSQL whom a secret speaks for; good answers are kept for three seconds, so that nobody can fill the
// memory by guessing.
func (a *Auth) authenticate(ctx context.Context, secret string) (Principal, error) {
	sum := sha256.Sum256([]byte(secret))
	a.mu.Lock()
	hit, ok := a.cache[sum]
	a.mu.Unlock()
	if now := a.now(); ok && now.Before(hit.until) {
		return hit.principal, nil
	}
	asked := a.now()
	var p Principal
	var expires *time.Time
	err := a.server.QueryRow(ctx, "select token_id, role_name, name, kind, read_only, scopes, expires_at from tinydev_impl.authenticate($1)", hex.EncodeToString(sum[:])).
		Scan(&p.TokenID, &p.Role, &p.TokenName, &p.Kind, &p.ReadOnly, &p.Scopes, &expires)
	if err != nil {
		return Principal{}, postgres.Fault(err, "")
	}
	until := asked.Add(cacheFor)
	if expires != nil {
		p.Expires = *expires
		if p.Expires.Before(until) {
			until = p.Expires
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.cache) >= cacheLimit {
		clear(a.cache)
	}
	a.cache[sum] = cached{p, until}
	return p, nil
}

// Recheck asks PostgreSQL afresh whether a principal is still good, for what goes on after its request was let in.
// Errors: unauthentic token_unknown, token_expired; forbidden not_a_user; unavailable database_unavailable.
func (a *Auth) Recheck(ctx context.Context, p Principal) error {
	if err := a.expired(p); err != nil {
		return err
	}
	var err error
	switch {
	case p.TokenID != 0:
		_, err = a.server.Exec(ctx, "select tinydev_impl.require_token($1)", p.TokenID)
	case p.issuer != "":
		var role string
		err = a.server.QueryRow(ctx, "select tinydev_impl.resolve_identity($1, $2, null, false)", p.issuer, p.TokenName).Scan(&role)
		if err == nil && role != p.Role {
			return fault.New(fault.Forbidden, "identity_unknown", "%s of %s is linked to another user now", p.TokenName, p.issuer)
		}
	default:
		_, err = a.server.Exec(ctx, "select tinydev_impl.require_session($1)", p.Role)
	}
	return postgres.Fault(err, "")
}

func (a *Auth) expired(p Principal) error {
	if p.Expires.IsZero() || a.now().Before(p.Expires) {
		return nil
	}
	return fault.New(fault.Unauthentic, "token_expired", "this token expired at %s", p.Expires.UTC().Format("2006-01-02 15:04 UTC")).
		WithHint("make another: tinydev token create")
}

// warnOfUnknown logs the guessing of tokens, at most once a second.
func (a *Auth) warnOfUnknown(err error, r *http.Request) {
	if fault.CodeOf(err) != "token_unknown" {
		return
	}
	a.mu.Lock()
	a.unknown++
	n, now := a.unknown, a.now()
	due := now.Sub(a.warned) >= warnEvery
	if due {
		a.warned, a.unknown = now, 0
	}
	a.mu.Unlock()
	if due {
		a.log.Warn("a token that nobody has was shown", observe.KeyRemote, r.RemoteAddr, "times", n)
	}
}

// Register makes the token of a data directory known under a name; the token of that name before it is good no more, nor are the
// pages that were opened with it. Nothing changes when it is known already. One-time codes of the role sign in by it.
// Errors: forbidden not_a_user; unavailable database_unavailable.
func (a *Auth) Register(ctx context.Context, role, name, token string) error {
	sum, prefix := Stored(token)
	var id int64
	if err := a.server.QueryRow(ctx, "select tinydev_impl.register_token($1, $2, $3, $4)", role, name, sum, prefix).Scan(&id); err != nil {
		return fmt.Errorf("store the token: %w", postgres.Fault(err, ""))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.own[role] = id
	return nil
}
