package auth

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwt"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// clockSkew is how far the provider's clock and ours may be apart.
const clockSkew = time.Minute

// Verify gives who a bearer JWT speaks for: its signature is by a key of the issuer's, with an algorithm of that key; iss, aud, exp and sub are
// there and right. Answers are kept for three seconds, and never beyond exp.
// Errors: unauthentic jwt_invalid, jwt_expired, jwt_off; forbidden claim_unusable and those of tinydev_impl.resolve_identity; unavailable
// provider_unavailable, database_unavailable.
func (s *SignOn) Verify(ctx context.Context, token string) (Principal, error) {
	if s.options.Audience == "" {
		return Principal{}, fault.New(fault.Unauthentic, "jwt_off", "this server takes no JWTs").WithHint("send a token that begins with td_; tinydev env prints it")
	}
	sum := sha256.Sum256([]byte(token))
	s.mu.Lock()
	hit, ok := s.cache[sum]
	s.mu.Unlock()
	if ok && s.provider.now().Before(hit.until) {
		return hit.principal, nil
	}
	payload, err := s.provider.payload(ctx, token)
	if err != nil {
		return Principal{}, jwtFault(err)
	}
	claims, subject, expires, err := s.readClaims(payload)
	if err != nil {
		return Principal{}, jwtFault(err)
	}
	role, err := s.identify(ctx, subject, claims)
	if err != nil {
		return Principal{}, err
	}
	p := Principal{Role: role, TokenName: subject, Kind: KindJWT, Expires: expires, issuer: s.options.Issuer}
	until := s.provider.now().Add(cacheFor)
	if expires.Before(until) {
		until = expires
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.cache) >= cacheLimit {
		clear(s.cache)
	}
	s.cache[sum] = verified{p, until}
	return p, nil
}

// verified is a JWT that was found good.
type verified struct {
	principal Principal
	until     time.Time
}

// payload gives what a JWT says once its signature is verified. The provider is asked anew for a key that is not known.
func (p *provider) payload(ctx context.Context, token string) ([]byte, error) {
	s, err := readHeader(token)
	if err != nil {
		return nil, err
	}
	known, err := p.describe(ctx)
	if err != nil {
		return nil, err
	}
	payload, err := known.keys.verify(s)
	if !errors.Is(err, errKeyUnknown) {
		return payload, err
	}
	renewed, err := p.renew(ctx, known)
	if err != nil {
		return nil, err
	}
	return renewed.keys.verify(s)
}

// readClaims checks what every JWT has to say, and gives all that it does.
func (s *SignOn) readClaims(payload []byte) (claims map[string]any, subject string, expires time.Time, err error) {
	token := jwt.New()
	if json.Unmarshal(payload, token) != nil || json.Unmarshal(payload, &claims) != nil {
		return nil, "", expires, errors.New("its claims cannot be read")
	}
	err = jwt.Validate(token, jwt.WithClock(jwt.ClockFunc(s.provider.now)), jwt.WithAcceptableSkew(clockSkew),
		jwt.WithRequiredClaim(jwt.ExpirationKey), jwt.WithRequiredClaim(jwt.SubjectKey), jwt.WithIssuer(s.options.Issuer), jwt.WithAudience(s.options.Audience))
	switch {
	case errors.Is(err, jwt.TokenExpiredError()):
		return nil, "", expires, err
	case errors.Is(err, jwt.InvalidIssuerError()):
		return nil, "", expires, errors.New("another issuer made it")
	case errors.Is(err, jwt.InvalidAudienceError()):
		return nil, "", expires, errors.New("it is for another audience")
	case errors.Is(err, jwt.TokenNotYetValidError()), errors.Is(err, jwt.InvalidIssuedAtError()):
		return nil, "", expires, errors.New("it is not good yet")
	case err != nil:
		return nil, "", expires, errors.New("it has to say who it is for and until when: iss, aud, sub and exp")
	}
	expires, _ = token.Expiration()
	if subject, _ = token.Subject(); subject == "" || len(subject) > maxSubject {
		return nil, "", expires, errors.New("its subject is empty or too long")
	}
	return claims, subject, expires, nil
}

// jwtFault says why a JWT is not taken. What it holds is not repeated: it may be a secret of another server's.
func jwtFault(err error) error {
	switch {
	case fault.As(err) != nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, jwt.TokenExpiredError()):
		return fault.New(fault.Unauthentic, "jwt_expired", "this JWT has expired").WithHint("get a new one from the identity provider")
	}
	return fault.New(fault.Unauthentic, "jwt_invalid", "this JWT is not accepted: %v", err).WithHint("get one from the identity provider that this server trusts, for its audience")
}

// VerifySignature implements oidc.KeySet, so that an ID token is held to the same keys and algorithms as a bearer token.
func (p *provider) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, err := p.payload(ctx, token)
	if err != nil {
		return nil, fmt.Errorf("verify the ID token: %w", err)
	}
	return payload, nil
}
