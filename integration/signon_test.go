package integration

import (
	"context"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/client"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// TestSignOn goes from the configuration to tables that belong to who an identity provider vouches for.
func TestSignOn(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds(t) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			provider := pgtest.StartProvider(t, "10m", pgtest.Person{Subject: "b1", Login: "bob", Name: "bob"}, pgtest.Person{Subject: "a1", Login: "ann", Name: user})
			env := []string{"TINYDEV_OIDC_ISSUER=" + provider.Issuer, "TINYDEV_OIDC_AUDIENCE=public", "TINYDEV_OIDC_CREATE_USERS=true"}
			testSignOn(t, newServer(t, kind == "container").start(env...), provider, env)
		})
	}
}

func testSignOn(t *testing.T, s *server, provider *pgtest.Provider, env []string) {
	ctx := context.Background()
	// As who holds a JWT.
	as := func(token string) *client.Client {
		own := client.Locate("", "", s.dataDir)
		return client.New(func() (client.Endpoint, error) {
			at, err := own()
			at.Token = token
			return at, err
		})
	}
	bobsToken, annsToken := provider.AccessToken("public", "bob"), provider.AccessToken("public", "ann")
	bob, ann := as(bobsToken), as(annsToken)

	// bob is made at first use, and is nobody's administrator.
	made, err := bob.CreateView(ctx, "friends", "select 'eve' as name", false)
	if err != nil || made.Made.Name != "bob.friends" {
		t.Fatalf("%+v %v", made, err)
	}
	if got := s.sql("select pg_get_userbyid(relowner) || ' ' || pg_has_role('bob', 'tinydev_admin', 'member') from pg_class where relname = 'friends'"); got != "bob false" {
		t.Errorf("%s", got)
	}
	if list := s.must("user", "identities", "bob"); !strings.Contains(list, provider.Issuer) || !strings.Contains(list, "b1") {
		t.Errorf("%s", list)
	}

	// The first user administers: the claim alone is not enough.
	_, err = ann.Identities(ctx, user)
	if f := fault.As(err); f == nil || f.Code != "identity_not_linked" || !strings.Contains(f.Hint, "subject => 'a1'") {
		t.Fatalf("%v", err)
	}
	link := []string{"user", "link", user, "--issuer", provider.Issuer, "--subject", "a1"}
	if plan := s.must(append(link, "--dry-run")...); !strings.Contains(plan, "tinydev.link_identity(") {
		t.Errorf("%s", plan)
	}
	if _, err := ann.Identities(ctx, user); fault.CodeOf(err) != "identity_not_linked" {
		t.Errorf("the dry run links: %v", err)
	}
	s.must(link...)
	if list, err := ann.Identities(ctx, "bob"); err != nil || len(list) != 1 || list[0].Subject != "b1" {
		t.Errorf("%+v %v", list, err)
	}
	if r := s.command("user", "link", "bob", "--issuer", provider.Issuer, "--subject", "a1"); r.code != 2 || !strings.Contains(r.stderr, "unlink") {
		t.Errorf("%+v", r)
	}
	if r := s.command("user", "link", "bob"); r.code != 2 || !strings.Contains(r.stderr, "issuer") {
		t.Errorf("%+v", r)
	}
	if _, err := bob.LinkIdentity(ctx, "bob", provider.Issuer, "a1", false); fault.CodeOf(err) != "admin_only" {
		t.Errorf("bob links: %v", err)
	}
	if gone := s.must("user", "unlink", user, "--issuer", provider.Issuer); !strings.Contains(gone, user+" is nobody at") {
		t.Errorf("%s", gone)
	}
	if r := s.command("user", "unlink", user, "--issuer", provider.Issuer); r.code != 2 || !strings.Contains(r.stderr, "linked to nobody") {
		t.Errorf("%+v", r)
	}

	// A stream ends when its JWT does.
	provider.Live("5s")
	begun := time.Now()
	token := provider.AccessToken("public", "bob")
	at, err := client.Locate("", "", s.dataDir)()
	if err != nil {
		t.Fatal(err)
	}
	limited, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(limited, http.MethodGet, at.URL+"/v1/events/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	stream, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	if stream.StatusCode != http.StatusOK {
		t.Fatalf("stream: %s", stream.Status)
	}
	if _, err := io.Copy(io.Discard, stream.Body); err != nil {
		t.Errorf("the stream did not end by itself: %v", err)
	}
	if took := time.Since(begun); took < 3*time.Second {
		t.Errorf("the stream ended after %v", took)
	}

	// The server starts without the provider, and what does not need it works.
	provider.Stop()
	s.signal(syscall.SIGTERM)
	s.start(env...)
	s.must("table", "list")
	if _, err := bob.Identities(ctx, "bob"); fault.CodeOf(err) != "provider_unavailable" {
		t.Errorf("%v", err)
	}
	eventually(t, 30*time.Second, "the log says so", func() bool {
		return strings.Contains(s.log.String(), "the identity provider does not answer as it should")
	})
	for name, token := range map[string]string{"bob": bobsToken, "ann": annsToken} {
		if strings.Contains(s.log.String(), token) {
			t.Errorf("the log holds the JWT of %s", name)
		}
	}
}
