package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/config"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

func TestSignOn(t *testing.T) {
	clean(t)
	const issuer = "TINYDEV_OIDC_ISSUER"
	good := map[string]string{issuer: "https://login.example.org/realms/crm", "TINYDEV_OIDC_AUDIENCE": "crm", "TINYDEV_OIDC_CLIENT_ID": "page", "TINYDEV_OIDC_CLIENT_SECRET": "hush-hush",
		"TINYDEV_OIDC_CLAIM": "email", "TINYDEV_OIDC_DOMAIN": "corp.example", "TINYDEV_OIDC_CREATE_USERS": "true", "TINYDEV_PUBLIC_URL": "https://crm.example.org/"}
	c, err := config.LoadWith(good)
	if err != nil {
		t.Fatal(err)
	}
	if c.OIDCIssuer != good[issuer] || c.OIDCClientSecret.Reveal() != "hush-hush" || !c.OIDCCreateUsers || strings.Contains(fmt.Sprintf("%+v %#v", c, c), "hush-hush") {
		t.Errorf("%+v", c)
	}
	if c, err := config.Load(); err != nil || c.OIDCClaim != "preferred_username" || c.OIDCIssuer != "" {
		t.Errorf("%+v %v", c, err)
	}
	for _, bad := range []struct{ variable, value, blamed string }{
		{issuer, "", issuer},
		{issuer, "http://login.example.org", issuer},
		{issuer, "login.example.org", issuer},
		{issuer, "https://ann:x@login.example.org", issuer},
		{issuer, "https://login.example.org?tenant=1", issuer},
		{issuer, "https:///x", issuer},
		{"TINYDEV_OIDC_CLIENT_ID", "", "TINYDEV_OIDC_CLIENT_ID"},
		{"TINYDEV_OIDC_CLAIM", "e mail", "TINYDEV_OIDC_CLAIM"},
		{"TINYDEV_OIDC_DOMAIN", "@corp.example", "TINYDEV_OIDC_DOMAIN"},
		{"TINYDEV_OIDC_DOMAIN", "localhost", "TINYDEV_OIDC_DOMAIN"},
		{"TINYDEV_PUBLIC_URL", "crm.example.org", "TINYDEV_PUBLIC_URL"},
		{"TINYDEV_PUBLIC_URL", "http://crm.example.org", "TINYDEV_PUBLIC_URL"},
		{"TINYDEV_PUBLIC_URL", "https://crm.example.org/tinydev", "TINYDEV_PUBLIC_URL"},
	} {
		changed := map[string]string{}
		for name, value := range good {
			changed[name] = value
		}
		changed[bad.variable] = bad.value
		_, err := config.LoadWith(changed)
		if f := fault.As(err); f == nil || f.Code != "config_invalid" || f.Fields["variable"] != bad.blamed {
			t.Errorf("%s=%q: %v", bad.variable, bad.value, err)
		}
	}
	if _, err := config.LoadWith(map[string]string{issuer: "http://127.0.0.1:9998/"}); fault.CodeOf(err) != "config_invalid" {
		t.Errorf("an issuer alone lets somebody in: %v", err)
	}
	if _, err := config.LoadWith(map[string]string{issuer: "http://localhost:9998", "TINYDEV_OIDC_AUDIENCE": "crm"}); err != nil {
		t.Error(err)
	}
}
