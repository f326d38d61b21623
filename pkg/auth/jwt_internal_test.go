package auth

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwe"
	"github.com/lestrrat-go/jwx/v3/jwk"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

func (s *SignOn) wantRole(t *testing.T, what, token, role string) {
	t.Helper()
	if p, err := s.Verify(context.Background(), token); err != nil || p.Role != role || p.Kind != KindJWT {
		t.Errorf("%s: %+v %v, want %s", what, p, err, role)
	}
}

func (s *SignOn) wantCode(t *testing.T, what, token, code string) {
	t.Helper()
	if p, err := s.Verify(context.Background(), token); fault.CodeOf(err) != code || p.Role != "" {
		t.Errorf("%s: %+v %v, want %s", what, p, err, code)
	}
}

func TestGoodJWTs(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	i.publish("curve", curveKey.Public(), map[string]any{"alg": "ES256", "use": "sig"})
	i.publish("ed", edKey.Public(), nil)
	i.publish("rs512", otherKey.Public(), map[string]any{"alg": "RS512"})
	s, _, _ := i.trust(nil)
	head := func(alg, kid string) map[string]any { return map[string]any{"alg": alg, "kid": kid} }
	for what, token := range map[string]string{
		"plain":          i.good(nil),
		"PS256":          compact(head("PS256", "rsa"), i.claims(nil), byPSS(rsaKey)),
		"RS512":          compact(head("RS512", "rs512"), i.claims(nil), byRSA512(otherKey)),
		"ES256":          compact(head("ES256", "curve"), i.claims(nil), byCurve(curveKey)),
		"EdDSA":          compact(head("EdDSA", "ed"), i.claims(nil), byEd(edKey)),
		"no kid":         compact(map[string]any{"alg": "ES256", "typ": "JWT"}, i.claims(nil), byCurve(curveKey)),
		"audiences":      i.good(map[string]any{"aud": []string{"other", "crm"}}),
		"just expired":   i.good(map[string]any{"exp": time.Now().Add(-30 * time.Second).Unix()}),
		"clock is ahead": i.good(map[string]any{"nbf": time.Now().Add(30 * time.Second).Unix(), "iat": time.Now().Add(30 * time.Second).Unix()}),
		"other claims":   i.good(map[string]any{"groups": []string{"tinydev_admin"}, "role": "postgres", "name": map[string]any{"x": 1}}),
	} {
		s.wantRole(t, what, token, "bob")
	}
	expires := time.Now().Add(time.Minute).Truncate(time.Second)
	if p, err := s.Verify(context.Background(), i.good(map[string]any{"exp": expires.Unix()})); err != nil || !p.Expires.Equal(expires) || p.TokenID != 0 || p.ReadOnly || p.Scopes != nil {
		t.Errorf("%+v %v", p, err)
	}
}

func TestBadJWTs(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	i.publish("curve", curveKey.Public(), nil)
	i.publish("rs512", otherKey.Public(), map[string]any{"alg": "RS512"})
	i.publish("encrypts", otherKey.Public(), map[string]any{"use": "enc"})
	i.publish("wraps", otherKey.Public(), map[string]any{"key_ops": []string{"wrapKey"}})
	i.set(func(i *issuer) { // which the library would not write
		i.keys = append(i.keys, map[string]any{"kty": "RSA", "kid": "short", "n": base64.RawURLEncoding.EncodeToString(shortKey.N.Bytes()), "e": "AQAB"})
	})
	i.publish("secret", secretKey, map[string]any{"alg": "HS256"})
	s, _, db := i.trust(nil)
	s.wantRole(t, "the one that the others differ from", i.good(nil), "bob")

	// Whoever follows addresses in a token comes here.
	var followed atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		followed.Add(1)
		fmt.Fprintf(w, `{"keys":[%s]}`, must(must(jwk.Import(otherKey.Public())).(interface{ MarshalJSON() ([]byte, error) }).MarshalJSON()))
	}))
	defer elsewhere.Close()
	head := func(more map[string]any) map[string]any {
		h := map[string]any{"alg": "RS256", "kid": "rsa", "typ": "JWT"}
		for name, value := range more {
			if value == nil {
				delete(h, name)
			} else {
				h[name] = value
			}
		}
		return h
	}
	public := must(x509.MarshalPKIXPublicKey(rsaKey.Public()))
	asPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	parts := strings.Split(i.good(nil), ".")
	tampered := strings.Split(i.good(map[string]any{"preferred_username": "eve"}), ".")[1]
	encrypted := string(must(jwe.Encrypt([]byte(`{"sub":"b1"}`), jwe.WithKey(jwa.RSA_OAEP_256(), rsaKey.Public()))))
	own := must(jwk.Import(otherKey.Public()))
	soon, past := time.Now().Add(10*time.Minute).Unix(), time.Now().Add(-10*time.Minute).Unix()

	for what, token := range map[string]string{
		"nothing":                      "",
		"two dots":                     "..",
		"one part":                     "eyJhbGciOiJub25lIn0",
		"two parts":                    parts[0] + "." + parts[1],
		"no signature":                 parts[0] + "." + parts[1] + ".",
		"four parts":                   i.good(nil) + ".x",
		"no base64":                    "eyJ!." + parts[1] + "." + parts[2],
		"padding":                      parts[0] + "=." + parts[1] + "." + parts[2],
		"a line feed":                  parts[0] + "\n." + parts[1] + "." + parts[2],
		"JSON serialization":           fmt.Sprintf(`{"payload":%q,"protected":%q,"signature":%q}`, parts[1], parts[0], parts[2]),
		"encrypted":                    encrypted,
		"huge":                         i.good(map[string]any{"x": strings.Repeat("x", 20000)}),
		"tampered":                     parts[0] + "." + tampered + "." + parts[2],
		"header of another":            base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","kid":"rsa"}`)) + "." + parts[1] + "." + parts[2],
		"none":                         compact(head(map[string]any{"alg": "none"}), i.claims(nil), fixed(nil)),
		"None":                         compact(head(map[string]any{"alg": "nOnE"}), i.claims(nil), fixed(nil)),
		"none without kid":             compact(map[string]any{"alg": "none"}, i.claims(nil), fixed(nil)),
		"no algorithm":                 compact(head(map[string]any{"alg": nil}), i.claims(nil), byRSA(rsaKey)),
		"unknown algorithm":            compact(head(map[string]any{"alg": "RS257"}), i.claims(nil), byRSA(rsaKey)),
		"algorithm is a number":        compact(head(map[string]any{"alg": 1}), i.claims(nil), byRSA(rsaKey)),
		"HS256 with the key as PEM":    compact(head(map[string]any{"alg": "HS256"}), i.claims(nil), bySecret(asPEM)),
		"HS256 with the key as DER":    compact(head(map[string]any{"alg": "HS256"}), i.claims(nil), bySecret(public)),
		"HS256 with the modulus":       compact(head(map[string]any{"alg": "HS256"}), i.claims(nil), bySecret(rsaKey.N.Bytes())),
		"HS256 with nothing":           compact(head(map[string]any{"alg": "HS256"}), i.claims(nil), bySecret(nil)),
		"a secret that was published":  compact(head(map[string]any{"alg": "HS256", "kid": "secret"}), i.claims(nil), bySecret(secretKey)),
		"another's key":                compact(head(nil), i.claims(nil), byRSA(otherKey)),
		"a key for encryption":         compact(head(map[string]any{"kid": "encrypts"}), i.claims(nil), byRSA(otherKey)),
		"a key for wrapping":           compact(head(map[string]any{"kid": "wraps"}), i.claims(nil), byRSA(otherKey)),
		"a short key":                  compact(head(map[string]any{"kid": "short"}), i.claims(nil), byRSA(shortKey)),
		"not the key's algorithm":      compact(head(map[string]any{"kid": "rs512"}), i.claims(nil), byRSA(otherKey)),
		"another key's algorithm":      compact(head(map[string]any{"alg": "ES256"}), i.claims(nil), byCurve(curveKey)),
		"unknown kid":                  compact(head(map[string]any{"kid": "x"}), i.claims(nil), byRSA(rsaKey)),
		"kid is a path":                compact(head(map[string]any{"kid": "../../../../etc/passwd"}), i.claims(nil), bySecret(nil)),
		"kid is SQL":                   compact(head(map[string]any{"kid": "' union select 'x"}), i.claims(nil), byRSA(otherKey)),
		"kid is a number":              compact(head(map[string]any{"kid": 7}), i.claims(nil), byRSA(rsaKey)),
		"no kid and several that fit":  compact(head(map[string]any{"kid": nil, "alg": "RS512"}), i.claims(nil), byRSA512(otherKey)),
		"jku":                          compact(head(map[string]any{"jku": elsewhere.URL, "kid": "mine"}), i.claims(nil), byRSA(otherKey)),
		"jku with a known kid":         compact(head(map[string]any{"jku": elsewhere.URL}), i.claims(nil), byRSA(otherKey)),
		"x5u":                          compact(head(map[string]any{"x5u": elsewhere.URL, "kid": nil}), i.claims(nil), byRSA(otherKey)),
		"x5c":                          compact(head(map[string]any{"x5c": []string{base64.StdEncoding.EncodeToString(public)}}), i.claims(nil), byRSA(otherKey)),
		"jwk":                          compact(head(map[string]any{"jwk": own, "kid": nil}), i.claims(nil), byRSA(otherKey)),
		"crit":                         compact(head(map[string]any{"crit": []string{"exp"}, "exp": 1}), i.claims(nil), byRSA(rsaKey)),
		"b64":                          compact(head(map[string]any{"b64": false}), i.claims(nil), byRSA(rsaKey)),
		"ES256 of zeros":               compact(head(map[string]any{"alg": "ES256", "kid": "curve"}), i.claims(nil), fixed(make([]byte, 64))),
		"ES256 of nothing":             compact(head(map[string]any{"alg": "ES256", "kid": "curve"}), i.claims(nil), fixed(nil)),
		"RS256 of zeros":               compact(head(nil), i.claims(nil), fixed(make([]byte, 256))),
		"a logout token":               compact(head(map[string]any{"typ": "logout+jwt"}), i.claims(nil), byRSA(rsaKey)),
		"a DPoP proof":                 compact(head(map[string]any{"typ": "dpop+jwt"}), i.claims(nil), byRSA(rsaKey)),
		"another issuer":               i.good(map[string]any{"iss": "https://login.example.org"}),
		"issuer with a slash":          i.good(map[string]any{"iss": i.server.URL + "/"}),
		"no issuer":                    i.good(map[string]any{"iss": nil}),
		"issuer is a list":             i.good(map[string]any{"iss": []string{i.server.URL}}),
		"another audience":             i.good(map[string]any{"aud": "CRM"}),
		"audience begins so":           i.good(map[string]any{"aud": []string{"crm-admin", "crmx"}}),
		"no audience":                  i.good(map[string]any{"aud": nil}),
		"no audiences":                 i.good(map[string]any{"aud": []string{}}),
		"audience is an object":        i.good(map[string]any{"aud": map[string]any{"crm": true}}),
		"no exp":                       i.good(map[string]any{"exp": nil}),
		"exp is a word":                i.good(map[string]any{"exp": "never"}),
		"exp is a list":                i.good(map[string]any{"exp": []int64{soon}}),
		"exp is negative":              i.good(map[string]any{"exp": -1}),
		"nbf in the future":            i.good(map[string]any{"nbf": soon}),
		"made in the future":           i.good(map[string]any{"iat": soon}),
		"no subject":                   i.good(map[string]any{"sub": nil}),
		"empty subject":                i.good(map[string]any{"sub": ""}),
		"subject is a number":          i.good(map[string]any{"sub": 1}),
		"subject is too long":          i.good(map[string]any{"sub": strings.Repeat("s", 256)}),
		"claims are a list":            compact(head(nil), "[]", byRSA(rsaKey)),
		"claims are null":              compact(head(nil), "null", byRSA(rsaKey)),
		"claims are no JSON":           compact(head(nil), "bob", byRSA(rsaKey)),
		"claims are a JWT themselves":  compact(head(nil), i.good(nil), byRSA(rsaKey)),
		"two headers, the first wrong": compact(`{"alg":"none","alg":"HS256","kid":"rsa"}`, i.claims(nil), fixed(nil)),
	} {
		s.wantCode(t, what, token, "jwt_invalid")
	}
	s.wantCode(t, "expired", i.good(map[string]any{"exp": past}), "jwt_expired")
	s.wantCode(t, "expired over a minute ago", i.good(map[string]any{"exp": time.Now().Add(-61 * time.Second).Unix()}), "jwt_expired")
	if n := followed.Load(); n != 0 {
		t.Errorf("an address in a token was followed %d times", n)
	}

	for claim, code := range map[any]string{
		"tinydev_superuser": "not_a_user", "postgres": "", "tinydev_owner": "not_a_user", "tinydev_server": "not_a_user", "tinydev_admin": "not_a_user",
		"pg_read_all_data": "", "pg_monitor": "not_a_user", "pg_signal_backend": "not_a_user", "admin": "identity_not_linked", "bob": "identity_taken",
		"nobody_here": "user_unknown", "public": "user_unknown", "cron": "user_unknown",
		"Bob": "claim_unusable", "BOB": "claim_unusable", " eve": "claim_unusable", "eve ": "claim_unusable", "eve\n": "claim_unusable", "eve\x00": "claim_unusable",
		"eve@corp.example": "claim_unusable", `"eve"`: "claim_unusable", "eve;drop": "claim_unusable", "": "claim_unusable", "1eve": "claim_unusable", "éve": "claim_unusable",
		"ｅve": "claim_unusable", strings.Repeat("e", 64): "claim_unusable", "Ann": "claim_unusable", 7: "claim_unusable", true: "claim_unusable",
		[1]string{"eve"}: "claim_unusable", struct{ Name string }{"eve"}: "claim_unusable",
	} {
		if code == "" { // a role on some servers
			code = "user_unknown"
			if pgtest.Value[bool](t, db.Superuser(), "select exists (select from pg_roles where rolname = $1)", claim) {
				code = "not_a_user"
			}
		}
		s.wantCode(t, fmt.Sprintf("claim %q", claim), i.good(map[string]any{"preferred_username": claim, "sub": "e1"}), code)
	}
	s.wantCode(t, "no claim", i.good(map[string]any{"preferred_username": nil, "sub": "e1"}), "claim_unusable")
	if n := pgtest.Value[int](t, db.Superuser(), "select count(*)::int from tinydev_impl.identity"); n != 1 {
		t.Errorf("%d identities are bound, not bob's alone", n)
	}
}

func TestClaims(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	s, _, _ := i.trust(func(o *SignOnOptions) { o.Claim, o.Domain = "email", "corp.example" })
	mail := func(address any, verified any) string {
		return i.good(map[string]any{"email": address, "email_verified": verified, "sub": fmt.Sprint(address), "preferred_username": "eve"})
	}
	for what, token := range map[string]string{
		"not verified": mail("bob@corp.example", false), "not said": mail("bob@corp.example", nil), "said in words": mail("bob@corp.example", "true"), "one": mail("bob@corp.example", 1),
		"another domain": mail("bob@corp.example.org", true), "sub-domain": mail("bob@x.corp.example", true), "longer": mail("bob@xcorp.example", true),
		"two": mail("bob@x@corp.example", true), "turned": mail("corp.example@bob", true), "none": mail("bob", true), "empty": mail("@corp.example", true),
		"tag": mail("bob+x@corp.example", true), "dots": mail("b.ob@corp.example", true), "capitals": mail("Bob@corp.example", true), "quoted": mail(`"bob"@corp.example`, true),
		"comment": mail("bob(x)@corp.example", true), "look-alike": mail("bob@corp.exampl\u0435", true), "Kelvin": mail("bob@corp.example\u212a", true), "list": mail([]string{"bob@corp.example"}, true),
		"blank": mail("bob@corp.example ", true), "two lines": mail("bob@corp.example\nx@y.example", true),
	} {
		s.wantCode(t, what, token, "claim_unusable")
	}
	s.wantRole(t, "verified", mail("bob@corp.example", true), "bob")
	s.wantRole(t, "domains have no case", mail("eve@Corp.Example", true), "eve")
	other, _, _ := i.trust(func(o *SignOnOptions) { o.Claim, o.Domain = "email", "desk.example" })
	for _, domain := range []string{"de\u017fk.example", "des\u212a.example"} { // letters that have s and k for their small ones
		other.wantCode(t, domain, mail("bob@"+domain, true), "claim_unusable")
	}
}

// Who an administrator linked gets in by that alone, whatever the claims say.
func TestLinkedJWTs(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	s, _, db := i.trust(nil)
	for name, subject := range map[string]string{pgtest.Ann: "a1", pgtest.Admin: "root's"} {
		if _, err := db.Conn(pgtest.Admin).Exec(context.Background(), "select tinydev.link_identity($1, $2, $3)", name, i.server.URL, subject); err != nil {
			t.Fatal(err)
		}
	}
	s.wantRole(t, "a name that no claim can hold", i.good(map[string]any{"sub": "a1", "preferred_username": "Ann Smith"}), pgtest.Ann)
	s.wantRole(t, "without the claim", i.good(map[string]any{"sub": "a1", "preferred_username": nil}), pgtest.Ann)
	s.wantRole(t, "an administrator", i.good(map[string]any{"sub": "root's", "preferred_username": "bob"}), pgtest.Admin)
	_, err := s.Verify(context.Background(), i.good(map[string]any{"sub": "it's; rm -rf", "preferred_username": "x y"}))
	if f := fault.As(err); f == nil || f.Code != "claim_unusable" || !strings.Contains(f.Hint, `--subject 'it'\''s; rm -rf'`) {
		t.Errorf("%v", err)
	}

	// What a JWT has opened goes on as long as who it is stays linked.
	ctx := context.Background()
	p, err := s.Verify(ctx, i.good(map[string]any{"sub": "a1"}))
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(Options{Server: s.options.Server, Token: "td_test"})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Recheck(ctx, p); err != nil {
		t.Error(err)
	}
	for _, sql := range []string{"select tinydev.unlink_identity($1, $2)", "select tinydev.link_identity('bob', $2, 'a1') where $1 <> ''"} {
		if _, err := db.Conn(pgtest.Admin).Exec(ctx, sql, pgtest.Ann, i.server.URL); err != nil {
			t.Fatal(err)
		}
		if err := a.Recheck(ctx, p); fault.CodeOf(err) != "identity_unknown" {
			t.Errorf("after %s: %v", sql, err)
		}
	}
}

func TestJWTsAreRemembered(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	s, c, _ := i.trust(nil)
	long, short := i.good(nil), i.good(map[string]any{"exp": c.now().Add(2 * time.Second).Unix()})
	s.wantRole(t, "long", long, "bob")
	s.wantRole(t, "short", short, "bob")
	s.options.Server.Close() // from here on a question is an error
	s.wantRole(t, "long, remembered", long, "bob")
	c.move(2500 * time.Millisecond)
	s.wantRole(t, "long, remembered", long, "bob")
	s.wantCode(t, "remembered beyond its end", short, "internal")
	c.move(time.Second)
	s.wantCode(t, "remembered for too long", long, "internal")
}

func TestKeysChange(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	s, c, _ := i.trust(nil)
	s.wantRole(t, "the first key", i.good(nil), "bob")
	second := compact(map[string]any{"alg": "ES256", "kid": "second"}, i.claims(nil), byCurve(curveKey))
	i.set(func(i *issuer) { i.keys = nil })
	i.publish("second", curveKey.Public(), nil)
	s.wantCode(t, "asked a moment ago", second, "jwt_invalid")
	c.move(providerPause)
	s.wantRole(t, "a key that is new", second, "bob")
	s.wantCode(t, "the key that was taken back", i.good(map[string]any{"x": 1}), "jwt_invalid")
	if n := i.count(); n != 2 {
		t.Errorf("%d fetches", n)
	}

	// A key that is taken back is good for five minutes at most, though nobody names another one.
	i.set(func(i *issuer) { i.keys = nil })
	i.publish("third", rsaKey.Public(), nil)
	c.move(providerFresh)
	s.wantRole(t, "the last time", compact(map[string]any{"alg": "ES256", "kid": "second"}, i.claims(map[string]any{"exp": c.now().Add(time.Hour).Unix()}), byCurve(curveKey)), "bob")
	late := compact(map[string]any{"alg": "ES256", "kid": "second"}, i.claims(map[string]any{"exp": c.now().Add(time.Hour).Unix(), "x": 1}), byCurve(curveKey))
	pgtest.Eventually(t, 10*time.Second, "the key is not good any more", func() bool {
		s.cacheEmpty()
		_, err := s.Verify(context.Background(), late)
		return fault.CodeOf(err) == "jwt_invalid"
	})
}

func (s *SignOn) cacheEmpty() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.cache)
}

// Whatever keys strangers name, the provider is asked twice a minute at most.
func TestFloodOfUnknownKeys(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	s, c, _ := i.trust(nil)
	s.wantRole(t, "before", i.good(nil), "bob")
	for range 3 {
		c.move(providerPause)
		var all sync.WaitGroup
		for n := range 200 {
			all.Go(func() {
				s.wantCode(t, "flood", compact(map[string]any{"alg": "RS256", "kid": fmt.Sprint("k", n)}, i.claims(nil), fixed(make([]byte, 256))), "jwt_invalid")
			})
		}
		all.Wait()
	}
	if n := i.count(); n != 4 {
		t.Errorf("600 tokens with unknown keys in three half minutes made %d fetches, want 1 and 3", n)
	}
}

func TestProviderIsDown(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	s, c, _ := i.trust(nil)
	lasting := func(n int) string { return i.good(map[string]any{"exp": c.now().Add(3 * time.Hour).Unix(), "n": n}) }
	i.set(func(i *issuer) { i.down = true })
	s.wantCode(t, "never up", lasting(1), "provider_unavailable")
	i.set(func(i *issuer) { i.down = false })
	s.wantCode(t, "asked a moment ago", lasting(1), "provider_unavailable")
	c.move(providerRetry)
	s.wantRole(t, "up", lasting(1), "bob")

	i.set(func(i *issuer) { i.down = true })
	c.move(providerKept - time.Second)
	s.wantRole(t, "down for less than an hour", lasting(2), "bob")
	pgtest.Eventually(t, 10*time.Second, "the question in the background fails", func() bool {
		s.provider.mu.Lock()
		defer s.provider.mu.Unlock()
		return s.provider.failure != nil
	})
	s.wantCode(t, "down, and the key is not known", compact(map[string]any{"alg": "RS256", "kid": "x"}, i.claims(nil), byRSA(rsaKey)), "provider_unavailable")
	c.move(time.Minute)
	s.wantCode(t, "down for an hour", lasting(3), "provider_unavailable")
	i.set(func(i *issuer) { i.down = false })
	c.move(time.Minute)
	s.wantRole(t, "up again", lasting(3), "bob")
}

// What a provider answers must not be taken for more than it is.
func TestProviderAnswersNonsense(t *testing.T) {
	t.Parallel()
	for what, raw := range map[string]string{
		"nothing": " ", "a page": "<html>", "no keys": `{"keys":[]}`, "an error": `{"error":"x"}`, "too much": `{"keys":[` + strings.Repeat(" ", maxProviderBody) + `]}`,
		"secrets": `{"keys":[{"kty":"oct","kid":"rsa","k":"c2VjcmV0"}]}`, "an unknown kind": `{"keys":[{"kty":"XYZ","kid":"rsa"}]}`,
	} {
		i := newIssuer(t)
		i.raw = raw
		s, _, _ := i.trust(nil)
		s.wantCode(t, what, i.good(nil), "provider_unavailable")
	}
	i := newIssuer(t)
	i.set(func(i *issuer) {
		i.keys = append([]map[string]any{{"kty": "XYZ", "kid": "new"}, {"kty": "RSA", "kid": "broken"}}, i.keys...)
	})
	s, _, _ := i.trust(nil)
	s.wantRole(t, "a key beside unknown ones", i.good(nil), "bob")

	// It says it is another one, or sends us to where anybody could listen.
	for what, description := range map[string]string{
		"another issuer": `{"issuer":"https://login.example.org","jwks_uri":"https://login.example.org/keys"}`,
		"keys in clear":  `{"issuer":%q,"jwks_uri":"http://login.example.org/keys"}`,
		"keys in a file": `{"issuer":%q,"jwks_uri":"file:///etc/passwd"}`,
		"no keys":        `{"issuer":%q}`,
	} {
		var server *httptest.Server
		server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if strings.Contains(description, "%q") {
				fmt.Fprintf(w, description, server.URL)
			} else {
				fmt.Fprint(w, description)
			}
		}))
		s, err := NewSignOn(SignOnOptions{Issuer: server.URL, Audience: "crm"})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Check(context.Background()); fault.CodeOf(err) != "provider_unavailable" {
			t.Errorf("%s: %v", what, err)
		}
		server.Close()
	}
}

type passes func(*http.Request) (*http.Response, error)

func (p passes) RoundTrip(r *http.Request) (*http.Response, error) { return p(r) }

// The provider is asked where nobody can listen or answer in its name, whatever its description says.
func TestGuarded(t *testing.T) {
	t.Parallel()
	asked := ""
	client := http.Client{Transport: guarded{passes(func(r *http.Request) (*http.Response, error) {
		asked = r.URL.String()
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	})}}
	for place, allowed := range map[string]bool{
		"https://login.example.org/keys": true, "http://127.0.0.1:9998/keys": true, "http://[::1]:9998/keys": true, "http://localhost/keys": true,
		"http://login.example.org/keys": false, "http://10.0.0.1/keys": false, "http://169.254.169.254/keys": false, "http://0.0.0.0/keys": false,
		"http://localhost.example.org/keys": false, "http://127.0.0.1.example.org/keys": false, "http://127.0.0.1@login.example.org/keys": false, "ftp://127.0.0.1/keys": false,
	} {
		asked = ""
		answer, err := client.Get(place)
		if err == nil {
			answer.Body.Close()
		}
		if (err == nil) != allowed || (asked == place) != allowed {
			t.Errorf("%s: %v", place, err)
		}
	}
}

func TestNoAudienceTakesNoJWTs(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	s, err := NewSignOn(SignOnOptions{Issuer: i.server.URL, ClientID: "page"})
	if err != nil {
		t.Fatal(err)
	}
	s.wantCode(t, "off", i.good(nil), "jwt_off")
	s.wantCode(t, "off", i.good(map[string]any{"aud": ""}), "jwt_off")
	if i.count() != 0 {
		t.Error("the provider was asked")
	}
}
