package server

import (
	"context"
	"net/url"

	"github.com/tinydevcrm/tinydevcrm/pkg/auth"
)

// newSignOn makes what the identity provider is trusted with; nil when none is configured. The provider is asked in the background: the
// server starts without it, and warns.
func (s *server) newSignOn(ctx context.Context, token string) (*auth.SignOn, error) {
	if s.cfg.OIDCIssuer == "" {
		return nil, nil
	}
	signOn, err := auth.NewSignOn(auth.SignOnOptions{
		Issuer: s.cfg.OIDCIssuer, Audience: s.cfg.OIDCAudience, Claim: s.cfg.OIDCClaim, Domain: s.cfg.OIDCDomain, CreateUsers: s.cfg.OIDCCreateUsers,
		ClientID: s.cfg.OIDCClientID, ClientSecret: s.cfg.OIDCClientSecret.Reveal(), PublicURL: s.cfg.PublicURL,
		Server: s.pool, Token: token, Secure: s.cfg.TLS(), Logger: s.log,
	})
	if err != nil {
		return nil, err
	}
	go func() { _ = signOn.Check(ctx) }() // it logs what is wrong
	return signOn, nil
}

// hosts lists the names under which the server may be addressed.
func (s *server) hosts() []string {
	list := append([]string{s.cfg.Listen}, s.cfg.Hosts...)
	if u, err := url.Parse(s.cfg.PublicURL); err == nil && u.Host != "" {
		list = append(list, u.Host)
	}
	return list
}
