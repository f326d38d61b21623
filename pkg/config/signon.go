package config

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

var domain = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)+$`)

// checkSignOn checks what is set of an identity provider.
func (c Config) checkSignOn() error {
	if c.PublicURL != "" {
		u, err := url.Parse(c.PublicURL)
		if err != nil || !isSecure(u) || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			return invalid("TINYDEV_PUBLIC_URL", c.PublicURL, "write https:// and a host, such as https://crm.example.org; http only for this machine")
		}
	}
	if c.OIDCIssuer == "" {
		for _, v := range []struct {
			name string
			set  bool
		}{
			{"TINYDEV_OIDC_AUDIENCE", c.OIDCAudience != ""}, {"TINYDEV_OIDC_CLIENT_ID", c.OIDCClientID != ""}, {"TINYDEV_OIDC_CLIENT_SECRET", c.OIDCClientSecret != ""},
			{"TINYDEV_OIDC_DOMAIN", c.OIDCDomain != ""}, {"TINYDEV_OIDC_CREATE_USERS", c.OIDCCreateUsers},
		} {
			if v.set {
				return fault.New(fault.Invalid, "config_invalid", "%s needs TINYDEV_OIDC_ISSUER", v.name).
					WithHint("name the identity provider, such as https://login.example.org").With("variable", "TINYDEV_OIDC_ISSUER")
			}
		}
		return nil
	}
	u, err := url.Parse(c.OIDCIssuer)
	switch {
	case err != nil || !isSecure(u) || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return invalid("TINYDEV_OIDC_ISSUER", c.OIDCIssuer, "write https:// and a host, exactly as the provider calls itself, such as https://login.example.org; http only for this machine")
	case c.OIDCAudience == "" && c.OIDCClientID == "":
		return fault.New(fault.Invalid, "config_invalid", "TINYDEV_OIDC_ISSUER alone lets nobody in").
			WithHint("set TINYDEV_OIDC_AUDIENCE to take JWTs as bearer tokens, TINYDEV_OIDC_CLIENT_ID to sign in to the pages, or both").With("variable", "TINYDEV_OIDC_AUDIENCE")
	case c.OIDCClientSecret != "" && c.OIDCClientID == "":
		return fault.New(fault.Invalid, "config_invalid", "TINYDEV_OIDC_CLIENT_SECRET needs TINYDEV_OIDC_CLIENT_ID").
			WithHint("set both, or neither").With("variable", "TINYDEV_OIDC_CLIENT_ID")
	case c.OIDCClaim == "" || strings.ContainsAny(c.OIDCClaim, " \t\r\n"):
		return invalid("TINYDEV_OIDC_CLAIM", c.OIDCClaim, "name a claim, such as preferred_username or email")
	case c.OIDCDomain != "" && !domain.MatchString(c.OIDCDomain):
		return invalid("TINYDEV_OIDC_DOMAIN", c.OIDCDomain, "write what stands behind the @, such as corp.example")
	}
	return nil
}

// isSecure reports whether a URL names a host by https, or this machine.
func isSecure(u *url.URL) bool {
	return u.Hostname() != "" && (u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname()))
}
