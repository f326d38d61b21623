package auth

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/oauth2"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/observe"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

const (
	flowFor    = 10 * time.Minute // between leaving for the provider and coming back
	signOnFor  = 12 * time.Hour   // how long a page stays signed in: who is blocked at the provider is out by then
	maxSubject = 255

	// SignOnPath begins the sign-in to the pages by an identity provider; CallbackPath is where the provider sends the browser back.
	SignOnPath   = "/login/oidc"
	CallbackPath = "/login/oidc/callback"
)

// SignOnOptions say which identity provider is trusted, and for what.
type SignOnOptions struct {
	Issuer       string // as the provider calls itself
	Audience     string // of bearer JWTs; "" takes none
	Claim        string // names the user
	Domain       string // the claim is an e-mail address of this domain; "" takes it as it is
	CreateUsers  bool
	ClientID     string // for the pages; "" offers no sign-in there
	ClientSecret string // "" for a public client
	PublicURL    string // of this server; "" takes the host that is asked for

	Server *pgxpool.Pool // of tinydev_server
	Token  string        // the installation's first token; what seals the cookie of a sign-in is derived from it
	Secure bool          // whether HTTPS is spoken
	Logger *slog.Logger
}

// SignOn finds the role of who an identity provider vouches for: by bearer JWTs, and by sign-in to the pages (the code flow of OpenID Connect
// with PKCE). The provider is asked when first needed, so it may be down at the start. Its methods may be called from several goroutines.
type SignOn struct {
	options  SignOnOptions
	provider *provider
	seal     cipher.AEAD
	cookie   string

	mu    sync.Mutex
	cache map[[32]byte]verified
	spent map[string]time.Time // states of sign-ins that came back, until they would have expired
}

// NewSignOn makes a SignOn; nothing is asked yet.
func NewSignOn(o SignOnOptions) (*SignOn, error) {
	if o.Claim == "" {
		o.Claim = "preferred_username"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	sealing, err := hkdf.Key(sha256.New, []byte(o.Token), nil, "tinydev sign-on", 32)
	if err != nil {
		return nil, fmt.Errorf("derive the key of sign-ons: %w", err)
	}
	block, err := aes.NewCipher(sealing)
	if err != nil {
		return nil, fmt.Errorf("use the key of sign-ons: %w", err)
	}
	seal, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("use the key of sign-ons: %w", err)
	}
	id, err := hkdf.Key(sha256.New, []byte(o.Token), nil, "tinydev cookie name", 4)
	if err != nil {
		return nil, fmt.Errorf("derive the name of the cookie: %w", err)
	}
	s := &SignOn{options: o, provider: newProvider(o.Issuer, o.Logger), seal: seal, cookie: "tinydev_signon_" + hex.EncodeToString(id),
		cache: map[[32]byte]verified{}, spent: map[string]time.Time{}}
	if s.secure() {
		s.cookie = "__Host-" + s.cookie
	}
	return s, nil
}

func (s *SignOn) secure() bool {
	return s.options.Secure || strings.HasPrefix(s.options.PublicURL, "https:")
}

// Check asks the provider whether it is there and as it should be. Errors: unavailable provider_unavailable.
func (s *SignOn) Check(ctx context.Context) error {
	_, err := s.provider.describe(ctx)
	return err
}

// Pages gives the name of the provider's host; "" when it offers no sign-in to the pages.
func (s *SignOn) Pages() string {
	u, err := url.Parse(s.options.Issuer)
	if s.options.ClientID == "" || err != nil {
		return ""
	}
	return u.Host
}

// flow is a sign-in under way; the browser carries it, sealed.
type flow struct {
	State    string    `json:"state"`
	Nonce    string    `json:"nonce"`
	Verifier string    `json:"verifier"` // of PKCE
	Next     string    `json:"next"`
	Redirect string    `json:"redirect"`
	Until    time.Time `json:"until"`
}

// Begin gives the address at the provider to which the browser has to go for signing in, and sets a cookie that the way back needs. next is
// where it goes afterwards, a path here. Errors: unavailable provider_unavailable.
func (s *SignOn) Begin(w http.ResponseWriter, r *http.Request, next string) (string, error) {
	known, err := s.provider.describe(r.Context())
	if err != nil {
		return "", err
	}
	f := flow{State: random(24), Nonce: random(24), Verifier: oauth2.GenerateVerifier(), Next: next, Redirect: s.redirect(r), Until: s.provider.now().Add(flowFor)}
	text, err := json.Marshal(f)
	if err != nil {
		return "", fmt.Errorf("describe the sign-in: %w", err)
	}
	s.setCookie(w, base64.RawURLEncoding.EncodeToString(s.seal.Seal(nil, nil, text, []byte(s.cookie))), f.Until)
	return s.client(known, f).AuthCodeURL(f.State, oidc.Nonce(f.Nonce), oauth2.S256ChallengeOption(f.Verifier)), nil
}

func (s *SignOn) setCookie(w http.ResponseWriter, value string, expires time.Time) {
	// Lax, because the provider sends the browser back.
	http.SetCookie(w, &http.Cookie{Name: s.cookie, Value: value, Path: "/", Expires: expires, HttpOnly: true, Secure: s.secure(), SameSite: http.SameSiteLaxMode})
}

// redirect gives the address to which the provider sends the browser back.
func (s *SignOn) redirect(r *http.Request) string {
	if s.options.PublicURL != "" {
		return strings.TrimRight(s.options.PublicURL, "/") + CallbackPath
	}
	scheme := "http://"
	if s.options.Secure {
		scheme = "https://"
	}
	return scheme + r.Host + CallbackPath
}

func (s *SignOn) client(known *described, f flow) *oauth2.Config {
	endpoint := known.Endpoint()
	var methods struct {
		Supported []string `json:"token_endpoint_auth_methods_supported"`
	}
	// The library would try both ways, and a code is good for one try. Without a list the standard's default holds.
	if err := known.Claims(&methods); err == nil && len(methods.Supported) > 0 && !slices.Contains(methods.Supported, "client_secret_basic") || s.options.ClientSecret == "" {
		endpoint.AuthStyle = oauth2.AuthStyleInParams
	} else {
		endpoint.AuthStyle = oauth2.AuthStyleInHeader
	}
	return &oauth2.Config{ClientID: s.options.ClientID, ClientSecret: s.options.ClientSecret, Endpoint: endpoint, RedirectURL: f.Redirect,
		Scopes: []string{oidc.ScopeOpenID, "profile", "email"}}
}

// Finish takes a browser that the provider sent back, and gives who it is and where it goes now.
// Errors: unauthentic sign_on_stale, sign_on_refused; forbidden claim_unusable and those of tinydev_impl.resolve_identity; unavailable
// provider_unavailable, database_unavailable.
func (s *SignOn) Finish(w http.ResponseWriter, r *http.Request) (p Principal, next string, err error) {
	f, err := s.takeFlow(w, r)
	if err != nil {
		return p, "", err
	}
	query := r.URL.Query()
	if code := query.Get("error"); code != "" {
		return p, f.Next, s.refused(code, query.Get("error_description"), nil)
	}
	// RFC 9207: another provider may not answer for this one.
	if issuer := query.Get("iss"); issuer != "" && issuer != s.options.Issuer || query.Get("code") == "" {
		return p, f.Next, s.refused("the answer is of another provider, or has no code", "", nil)
	}
	known, err := s.provider.describe(r.Context())
	if err != nil {
		return p, f.Next, err
	}
	subject, claims, err := s.exchange(r.Context(), known, f, query.Get("code"))
	if err != nil {
		return p, f.Next, err
	}
	role, err := s.identify(r.Context(), subject, claims)
	if err != nil {
		return p, f.Next, err
	}
	return Principal{Role: role, TokenName: subject, Kind: byOIDC, Expires: s.provider.now().Add(signOnFor)}, f.Next, nil
}

// takeFlow gives the sign-in that a browser began, once. Errors: unauthentic sign_on_stale.
func (s *SignOn) takeFlow(w http.ResponseWriter, r *http.Request) (f flow, err error) {
	stale := fault.New(fault.Unauthentic, "sign_on_stale", "this sign-in was not begun in this browser, or over ten minutes ago").WithHint("begin again")
	if s.options.PublicURL != "" {
		stale.WithHint("begin again at %s", s.options.PublicURL)
	}
	cookie, err := r.Cookie(s.cookie)
	if err != nil {
		return f, stale
	}
	s.setCookie(w, "", time.Unix(1, 0))
	sealed, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil {
		return f, stale
	}
	text, err := s.seal.Open(nil, nil, sealed, []byte(s.cookie))
	if err != nil || json.Unmarshal(text, &f) != nil {
		return f, stale
	}
	now := s.provider.now()
	if subtle.ConstantTimeCompare([]byte(f.State), []byte(r.URL.Query().Get("state"))) != 1 || !now.Before(f.Until) {
		return f, stale
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for state, until := range s.spent {
		if now.After(until) {
			delete(s.spent, state)
		}
	}
	if _, again := s.spent[f.State]; again {
		return f, stale
	}
	s.spent[f.State] = f.Until
	return f, nil
}

// exchange gives the provider the code for an ID token, and what that says. Claims that are not in it are asked for.
func (s *SignOn) exchange(ctx context.Context, known *described, f flow, code string) (subject string, claims map[string]any, err error) {
	ctx = oidc.ClientContext(ctx, s.provider.client)
	client := s.client(known, f)
	token, err := client.Exchange(ctx, code, oauth2.VerifierOption(f.Verifier))
	var answer *oauth2.RetrieveError
	switch {
	case errors.As(err, &answer) && answer.Response.StatusCode < 500:
		return "", nil, s.refused(answer.ErrorCode, answer.ErrorDescription, err)
	case err != nil:
		return "", nil, s.provider.unavailable(fmt.Errorf("exchange the code: %w", err))
	}
	raw, _ := token.Extra("id_token").(string)
	verifier := oidc.NewVerifier(s.options.Issuer, s.provider, &oidc.Config{ClientID: s.options.ClientID, SupportedSigningAlgs: signatureAlgorithms,
		Now: func() time.Time { return s.provider.now().Add(-clockSkew) }})
	id, err := verifier.Verify(ctx, raw)
	if fault.KindOf(err) == fault.Unavailable {
		return "", nil, err
	}
	if err != nil {
		return "", nil, s.refused("its ID token cannot be trusted", "", err)
	}
	if subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(f.Nonce)) != 1 {
		return "", nil, s.refused("its ID token is of another sign-in", "", nil)
	}
	if err := id.Claims(&claims); err != nil || id.Subject == "" || len(id.Subject) > maxSubject {
		return "", nil, s.refused("its ID token cannot be read", "", err)
	}
	if party, ok := claims["azp"]; ok && party != s.options.ClientID {
		return "", nil, s.refused("its ID token is for another client", "", nil)
	}
	if _, ok := claims[s.options.Claim]; !ok && known.UserInfoEndpoint() != "" {
		info, err := known.UserInfo(ctx, oauth2.StaticTokenSource(token))
		if err != nil {
			return "", nil, s.provider.unavailable(fmt.Errorf("ask for the claims: %w", err))
		}
		if info.Subject != id.Subject {
			return "", nil, s.refused("it speaks of another person than its ID token", "", nil)
		}
		if err := info.Claims(&claims); err != nil {
			return "", nil, s.refused("its claims cannot be read", "", err)
		}
	}
	return id.Subject, claims, nil
}

// refused is the fault of a provider that signed nobody in; what it says comes from the other side, so it is cut and printed plainly.
func (s *SignOn) refused(code, description string, cause error) *fault.Error {
	said := code
	switch code {
	case "access_denied":
		said = "you were not let in, or went back"
	case "invalid_grant":
		said = "the code was used before, or has expired"
	case "":
		said = "it gave no reason"
	}
	if description != "" {
		said += ": " + description
	}
	said = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, said)
	if runes := []rune(said); len(runes) > 300 {
		said = string(runes[:300]) + "…"
	}
	s.options.Logger.Warn("the identity provider signed nobody in", "issuer", s.options.Issuer, observe.KeyError, errors.Join(errors.New(said), cause))
	return fault.New(fault.Unauthentic, "sign_on_refused", "%s signed nobody in: %s", s.Pages(), said).WithHint("try again, or sign in with a token").Because(cause)
}

// signatureAlgorithms are those of all keys; which one it is the key says.
var signatureAlgorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}

var userName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// identify gives the role of a person whom the provider vouches for.
func (s *SignOn) identify(ctx context.Context, subject string, claims map[string]any) (string, error) {
	var name *string
	claimed, unusable := s.claimedName(claims)
	if unusable == nil {
		name = &claimed
	}
	var role string
	err := s.options.Server.QueryRow(ctx, "select tinydev_impl.resolve_identity($1, $2, $3, $4)", s.options.Issuer, subject, name, s.options.CreateUsers).Scan(&role)
	if err == nil {
		return role, nil
	}
	err = postgres.Fault(err, "")
	if unusable != nil && fault.CodeOf(err) == "identity_unknown" {
		return "", fault.New(fault.Forbidden, "claim_unusable", "%v", unusable).
			WithHint("an administrator can say who this is: tinydev user link NAME --issuer %s --subject %s", shellWord(s.options.Issuer), shellWord(subject))
	}
	return "", err
}

// shellWord quotes a text for a shell, since people copy hints.
func shellWord(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// claimedName gives the name of a user that claims hold, as it is: what does not fit is refused, not made to fit, so that no two people
// become one.
func (s *SignOn) claimedName(claims map[string]any) (string, error) {
	value, ok := claims[s.options.Claim]
	if !ok {
		return "", fmt.Errorf("the identity provider says no %s", s.options.Claim)
	}
	name, ok := value.(string)
	if !ok {
		return "", fmt.Errorf("the claim %s is no text", s.options.Claim)
	}
	if s.options.Claim == "email" && claims["email_verified"] != true {
		return "", errors.New("the identity provider has not verified the e-mail address")
	}
	if s.options.Domain != "" {
		local, domain, _ := strings.Cut(name, "@")
		if !strings.EqualFold(domain, s.options.Domain) || len(domain) != len(s.options.Domain) {
			return "", fmt.Errorf("the claim %s is no e-mail address of %s", s.options.Claim, s.options.Domain)
		}
		name = local
	}
	if !userName.MatchString(name) {
		return "", fmt.Errorf("the claim %s is not the name of a user: 1 to 63 of a-z, 0-9 and _, beginning with a letter", s.options.Claim)
	}
	return name, nil
}
