package auth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// attempt is a sign-in that a browser began.
type attempt struct {
	t       *testing.T
	place   *url.URL // at the provider
	cookies []*http.Cookie
}

func (s *SignOn) attempt(t *testing.T, next string) attempt {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8484"+SignOnPath, nil)
	place, err := s.Begin(w, r, next)
	if err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(place)
	if err != nil {
		t.Fatal(err)
	}
	return attempt{t, at, w.Result().Cookies()}
}

// back sends the browser back.
func (a attempt) back(s *SignOn, query url.Values) (Principal, string, error) {
	a.t.Helper()
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8484"+CallbackPath+"?"+query.Encode(), nil)
	for _, c := range a.cookies {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	p, next, err := s.Finish(w, r)
	if len(a.cookies) > 0 {
		if left := w.Result().Cookies(); len(left) != 1 || left[0].Value != "" || left[0].Expires.After(time.Now()) {
			a.t.Errorf("the cookie is not taken back: %v", left)
		}
	}
	return p, next, err
}

func (a attempt) state() string { return a.place.Query().Get("state") }
func (a attempt) nonce() string { return a.place.Query().Get("nonce") }

func (a attempt) answer(code string) url.Values {
	return url.Values{"state": {a.state()}, "code": {code}}
}

// idToken gives what the provider answers to a code, with some claims changed.
func (i *issuer) idToken(a attempt, changes map[string]any) string {
	all := map[string]any{"aud": "page", "nonce": a.nonce()}
	for name, value := range changes {
		all[name] = value
	}
	return compact(map[string]any{"alg": "RS256", "kid": "rsa", "typ": "JWT"}, i.claims(all), byRSA(rsaKey))
}

func (i *issuer) grant(code, token string) {
	i.set(func(i *issuer) { i.tokens[code] = token })
}

func TestSignInAtAProvider(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	s, c, _ := i.trust(nil)
	a := s.attempt(t, "/tables?x=1")
	query := a.place.Query()
	if a.place.Scheme+"://"+a.place.Host+a.place.Path != i.server.URL+"/authorize" || query.Get("response_type") != "code" || query.Get("client_id") != "page" ||
		query.Get("code_challenge_method") != "S256" || query.Get("redirect_uri") != "http://127.0.0.1:8484/login/oidc/callback" || !strings.Contains(query.Get("scope"), "openid") ||
		len(a.state()) < 30 || len(a.nonce()) < 30 || query.Has("client_secret") {
		t.Errorf("%v", a.place)
	}
	cookie := a.cookies[0]
	if len(a.cookies) != 1 || !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/" || strings.Contains(cookie.Value, a.state()) {
		t.Errorf("%+v", cookie)
	}
	i.grant("c1", i.idToken(a, nil))
	p, next, err := a.back(s, a.answer("c1"))
	if err != nil || p.Role != "bob" || next != "/tables?x=1" || p.Kind != byOIDC || p.TokenID != 0 {
		t.Fatalf("%+v %q %v", p, next, err)
	}
	if left := p.Expires.Sub(c.now()); left > signOnFor || left < signOnFor-time.Minute {
		t.Errorf("signed in for %v", left)
	}
	form := i.forms[0]
	challenge := sha256.Sum256([]byte(form.Get("code_verifier")))
	if base64.RawURLEncoding.EncodeToString(challenge[:]) != query.Get("code_challenge") || form.Get("redirect_uri") != query.Get("redirect_uri") || form.Get("client_id") != "page" {
		t.Errorf("%v", form)
	}
}

func TestSignInsThatAreNotOurs(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	s, c, _ := i.trust(nil)
	other, _, _ := i.trust(func(o *SignOnOptions) { o.Token = "td_other" })
	stale := func(what string, on *SignOn, a attempt, query url.Values) {
		t.Helper()
		if p, _, err := a.back(on, query); fault.CodeOf(err) != "sign_on_stale" || p.Role != "" {
			t.Errorf("%s: %+v %v", what, p, err)
		}
	}
	fresh := func() attempt {
		a := s.attempt(t, "/")
		i.grant("code", i.idToken(a, nil))
		return a
	}
	a := fresh()
	stale("no cookie", s, attempt{t: t}, a.answer("code"))
	stale("another's state", s, a, s.attempt(t, "/").answer("code"))
	stale("no state", s, a, url.Values{"code": {"code"}})
	stale("two states", s, a, url.Values{"code": {"code"}, "state": {"x", a.state()}})
	changed := *a.cookies[0]
	changed.Value = changed.Value[:len(changed.Value)-2] + "AA"
	stale("a changed cookie", s, attempt{t: t, cookies: []*http.Cookie{&changed}}, a.answer("code"))
	changed.Value = "%%%"
	stale("no cookie of ours", s, attempt{t: t, cookies: []*http.Cookie{&changed}}, a.answer("code"))
	renamed := *a.cookies[0]
	renamed.Name = other.cookie
	stale("a cookie of another server", other, attempt{t: t, cookies: []*http.Cookie{&renamed}}, a.answer("code"))
	if len(i.forms) != 0 {
		t.Errorf("the provider was asked: %v", i.forms)
	}
	if _, _, err := a.back(s, a.answer("code")); err != nil {
		t.Fatal(err)
	}
	stale("the same again", s, a, a.answer("code"))
	a = fresh()
	if _, _, err := a.back(s, url.Values{"state": {a.state()}, "error": {"access_denied"}}); fault.CodeOf(err) != "sign_on_refused" {
		t.Errorf("%v", err)
	}
	stale("again after a refusal", s, a, a.answer("code"))
	a = fresh()
	c.move(flowFor)
	stale("too late", s, a, a.answer("code"))
}

func TestSignInsThatTheProviderRefuses(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	i.publish("curve", curveKey.Public(), nil)
	s, _, _ := i.trust(nil)
	refused := func(what string, query func(a attempt) url.Values, words ...string) {
		t.Helper()
		a := s.attempt(t, "/tables")
		p, next, err := a.back(s, query(a))
		f := fault.As(err)
		if f == nil || f.Code != "sign_on_refused" || p.Role != "" || next != "/tables" {
			t.Errorf("%s: %+v %q %v", what, p, next, err)
			return
		}
		for _, word := range words {
			if !strings.Contains(f.Message, word) {
				t.Errorf("%s: %q does not say %q", what, f.Message, word)
			}
		}
	}
	says := func(code, description string) func(a attempt) url.Values {
		return func(a attempt) url.Values {
			return url.Values{"state": {a.state()}, "error": {code}, "error_description": {description}, "code": {"x"}}
		}
	}
	refused("denied", says("access_denied", ""), "went back", strings.TrimPrefix(i.server.URL, "http://"))
	refused("down", says("temporarily_unavailable", "come back\x1b[31m\r\nlater"), "temporarily_unavailable: come back [31m  later")
	refused("long", says("server_error", strings.Repeat("x", 5000)), "…")
	refused("no code", func(a attempt) url.Values { return url.Values{"state": {a.state()}} })
	refused("another provider", func(a attempt) url.Values {
		i.grant("c", i.idToken(a, nil))
		return url.Values{"state": {a.state()}, "code": {"c"}, "iss": {"https://login.example.org"}}
	})
	refused("a code that nobody gave", func(a attempt) url.Values { return a.answer("guessed") }, "used before")
	for what, token := range map[string]func(a attempt) string{
		"no ID token":    func(a attempt) string { return "" },
		"no JWT":         func(a attempt) string { return "x" },
		"another nonce":  func(a attempt) string { return i.idToken(a, map[string]any{"nonce": random(24)}) },
		"no nonce":       func(a attempt) string { return i.idToken(a, map[string]any{"nonce": nil}) },
		"another client": func(a attempt) string { return i.idToken(a, map[string]any{"aud": "crm"}) },
		"another party":  func(a attempt) string { return i.idToken(a, map[string]any{"aud": []string{"page", "x"}, "azp": "x"}) },
		"another issuer": func(a attempt) string { return i.idToken(a, map[string]any{"iss": "https://login.example.org"}) },
		"expired":        func(a attempt) string { return i.idToken(a, map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}) },
		"no exp":         func(a attempt) string { return i.idToken(a, map[string]any{"exp": nil}) },
		"no subject":     func(a attempt) string { return i.idToken(a, map[string]any{"sub": nil}) },
		"long subject":   func(a attempt) string { return i.idToken(a, map[string]any{"sub": strings.Repeat("s", 300)}) },
		"none": func(a attempt) string {
			return compact(map[string]any{"alg": "none"}, i.claims(map[string]any{"aud": "page", "nonce": a.nonce()}), fixed(nil))
		},
		"another's key": func(a attempt) string {
			return compact(map[string]any{"alg": "RS256", "kid": "rsa"}, i.claims(map[string]any{"aud": "page", "nonce": a.nonce()}), byRSA(otherKey))
		},
		"another kind": func(a attempt) string {
			return compact(map[string]any{"alg": "ES256", "kid": "rsa"}, i.claims(map[string]any{"aud": "page", "nonce": a.nonce()}), byCurve(curveKey))
		},
		"claims of nobody": func(a attempt) string {
			return compact(map[string]any{"alg": "RS256", "kid": "rsa"}, "[]", byRSA(rsaKey))
		},
	} {
		refused(what, func(a attempt) url.Values {
			i.grant("c", token(a))
			return a.answer("c")
		})
	}

	// A code that belongs to another sign-in: the nonce in its ID token is the other one's.
	stolen := s.attempt(t, "/")
	refused("another's code", func(a attempt) url.Values {
		i.grant("c", i.idToken(stolen, nil))
		return a.answer("c")
	}, "another sign-in")
}

func TestSignInsThatNobodyMayHave(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	s, _, db := i.trust(nil)
	for claim, code := range map[any]string{"admin": "identity_not_linked", "tinydev_superuser": "not_a_user", "tinydev_server": "not_a_user", "nobody_here": "user_unknown", "Bob": "claim_unusable"} {
		a := s.attempt(t, "/")
		i.grant("c", i.idToken(a, map[string]any{"preferred_username": claim, "sub": fmt.Sprint("s-", claim)}))
		if p, _, err := a.back(s, a.answer("c")); fault.CodeOf(err) != code || p.Role != "" {
			t.Errorf("%v: %+v %v", claim, p, err)
		}
	}
	if n := pgtest.Value[int](t, db.Superuser(), "select count(*)::int from tinydev_impl.identity"); n != 0 {
		t.Errorf("%d identities are bound", n)
	}
}

// Claims that are not in the ID token are asked for, and believed about the same person only.
func TestClaimsThatComeLater(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	s, _, _ := i.trust(nil)
	come := func() (Principal, error) {
		a := s.attempt(t, "/")
		i.grant("c", i.idToken(a, map[string]any{"preferred_username": nil}))
		p, _, err := a.back(s, a.answer("c"))
		return p, err
	}
	i.person = map[string]any{"sub": "somebody else", "preferred_username": "bob"}
	if p, err := come(); fault.CodeOf(err) != "sign_on_refused" {
		t.Errorf("%+v %v", p, err)
	}
	i.person = map[string]any{"sub": "b1"}
	if p, err := come(); fault.CodeOf(err) != "claim_unusable" {
		t.Errorf("%+v %v", p, err)
	}
	i.person = map[string]any{"sub": "b1", "preferred_username": "bob"}
	if p, err := come(); err != nil || p.Role != "bob" {
		t.Errorf("%+v %v", p, err)
	}
}

func TestSignInWhileTheProviderIsDown(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	s, c, _ := i.trust(nil)
	i.set(func(i *issuer) { i.down = true })
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8484"+SignOnPath, nil)
	w := httptest.NewRecorder()
	if place, err := s.Begin(w, r, "/"); fault.CodeOf(err) != "provider_unavailable" || place != "" || len(w.Result().Cookies()) != 0 {
		t.Errorf("%q %v", place, err)
	}
	i.set(func(i *issuer) { i.down = false })
	c.move(providerRetry)
	a := s.attempt(t, "/")
	i.set(func(i *issuer) { i.ill = true })
	if _, _, err := a.back(s, a.answer("c")); fault.CodeOf(err) != "provider_unavailable" {
		t.Errorf("%v", err)
	}
}

func TestAddressesOfSignIns(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	for _, one := range []struct {
		secure      bool
		public      string
		redirect    string
		wantsSecure bool
	}{
		{false, "", "http://127.0.0.1:8484/login/oidc/callback", false},
		{true, "", "https://127.0.0.1:8484/login/oidc/callback", true},
		{false, "https://crm.example.org/", "https://crm.example.org/login/oidc/callback", true},
		{false, "http://localhost:8484", "http://localhost:8484/login/oidc/callback", false},
	} {
		s, _, _ := i.trust(func(o *SignOnOptions) { o.Secure, o.PublicURL = one.secure, one.public })
		a := s.attempt(t, "/")
		if got := a.place.Query().Get("redirect_uri"); got != one.redirect || a.cookies[0].Secure != one.wantsSecure || strings.HasPrefix(a.cookies[0].Name, "__Host-") != one.wantsSecure {
			t.Errorf("%+v: %s %+v", one, got, a.cookies[0])
		}
	}
	if s, _, _ := i.trust(func(o *SignOnOptions) { o.ClientID = "" }); s.Pages() != "" {
		t.Error("pages are offered without a client")
	}
}

// The rest is with a provider that is not ours, in a process of its own.
func TestRealProvider(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	provider := pgtest.StartProvider(t, "5m",
		pgtest.Person{Subject: "b1", Login: "bob", Name: "bob", Email: "bob@corp.example", Verified: true},
		pgtest.Person{Subject: "x1", Login: "mallory", Name: "bob", Email: "bob@evil.example"},
		pgtest.Person{Subject: "r1", Login: "root", Name: "admin"})
	i := &issuer{t: t, server: &httptest.Server{URL: provider.Issuer}}
	for _, secret := range []string{"page-secret", ""} {
		s, c, _ := i.trust(func(o *SignOnOptions) {
			o.Audience, o.ClientSecret = "page", secret
			if secret == "" {
				o.Audience, o.ClientID = "public", "public"
			}
		})
		come := func(login string) (Principal, url.Values, error) {
			a := s.attempt(t, "/")
			query := provider.SignIn(a.place.String(), login).Query()
			p, _, err := a.back(s, query)
			return p, query, err
		}
		p, used, err := come("bob")
		if err != nil || p.Role != "bob" {
			t.Fatalf("%+v %v", p, err)
		}
		// Its code again, in a sign-in of another browser: the provider knows that it is spent, and whose verifier it needs.
		again := s.attempt(t, "/")
		if _, _, err := again.back(s, again.answer(used.Get("code"))); fault.CodeOf(err) != "sign_on_refused" {
			t.Errorf("a code is taken again: %v", err)
		}
		stolen := s.attempt(t, "/")
		code := provider.SignIn(stolen.place.String(), "bob").Query().Get("code")
		victim := s.attempt(t, "/")
		if _, _, err := victim.back(s, victim.answer(code)); fault.CodeOf(err) != "sign_on_refused" {
			t.Errorf("a code of another sign-in is taken: %v", err)
		}
		if _, _, err := come("mallory"); fault.CodeOf(err) != "identity_taken" {
			t.Errorf("%v", err)
		}
		if _, _, err := come("root"); fault.CodeOf(err) != "identity_not_linked" {
			t.Errorf("%v", err)
		}

		first := provider.AccessToken(s.options.Audience, "bob")
		if p, err := s.Verify(ctx, first); err != nil || p.Role != "bob" || p.Expires.Before(time.Now().Add(4*time.Minute)) {
			t.Fatalf("%+v %v", p, err)
		}
		provider.Rotate()
		second := provider.AccessToken(s.options.Audience, "bob")
		c.move(providerPause)
		s.wantRole(t, "signed with the new key", second, "bob")
		s.cacheEmpty()
		s.wantRole(t, "signed with the one before", first, "bob")
		c.move(5 * time.Minute)
		c.move(clockSkew)
		s.wantCode(t, "after its life", first, "jwt_expired")
	}
	s, c, _ := i.trust(func(o *SignOnOptions) { o.Audience = "public" })
	lasting := provider.AccessToken(s.options.Audience, "bob")
	s.wantRole(t, "up", lasting, "bob")
	provider.Stop()
	c.move(2 * time.Minute)
	s.wantRole(t, "the provider is gone, its keys are known", lasting, "bob")
	late, _, _ := i.trust(func(o *SignOnOptions) { o.Audience = "public" })
	late.wantCode(t, "the provider is gone, its keys are not known", lasting, "provider_unavailable")
}
