package pgtest

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Person is somebody who can sign in at a Provider, with the password login + "-password".
type Person struct {
	Subject  string `json:"subject"`
	Login    string `json:"login"`
	Name     string `json:"name"` // claim preferred_username
	Email    string `json:"email"`
	Verified bool   `json:"verified"`
}

// Provider is an OpenID Connect provider, a process of its own; see integration/provider. Its clients are "page", with the secret
// "page-secret", and "public", without one.
type Provider struct {
	Issuer string
	t      testing.TB
	stop   func()
}

// StartProvider starts a provider, stopped after the test. lifetime of access tokens is a Go duration, such as "5m".
func StartProvider(t testing.TB, lifetime string, people ...Person) *Provider {
	t.Helper()
	who, err := json.Marshal(people)
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "provider")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", binary, "github.com/tinydevcrm/tinydevcrm/integration/provider")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the identity provider of the tests: %v\n%s", err, out)
	}
	process := exec.Command(binary, "-lifetime", lifetime, "-people", string(who))
	process.Stderr = os.Stderr
	input, err := process.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	p := &Provider{t: t, stop: func() {
		if stopped {
			return
		}
		stopped = true
		input.Close()
		_ = process.Wait() // it may have been killed
	}}
	t.Cleanup(p.stop)
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatalf("start the identity provider of the tests: %v", err)
	}
	p.Issuer = strings.TrimSpace(line)
	return p
}

// Rotate makes the provider sign with a new key; the one before stays in its key set.
func (p *Provider) Rotate() {
	p.t.Helper()
	p.post("/test/rotate")
}

func (p *Provider) post(path string) {
	p.t.Helper()
	answer, err := http.Post(p.Issuer+path, "", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		p.t.Fatalf("%s: %s", path, answer.Status)
	}
}

// Live sets how long access tokens live from now on, as a Go duration.
func (p *Provider) Live(lifetime string) {
	p.t.Helper()
	p.post("/test/lifetime?is=" + lifetime)
}

// Stop ends the provider.
func (p *Provider) Stop() { p.stop() }

// SignIn does at the provider what a person does who was sent to place and signs in, and gives the address to which the provider sends
// the browser back.
func (p *Provider) SignIn(place, login string) *url.URL {
	p.t.Helper()
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	next := func(answer *http.Response, err error) *url.URL {
		p.t.Helper()
		if err != nil {
			p.t.Fatal(err)
		}
		defer answer.Body.Close()
		to, err := answer.Location()
		if err != nil {
			text, _ := io.ReadAll(answer.Body)
			p.t.Fatalf("%s leads nowhere: %s\n%s", answer.Request.URL, answer.Status, text)
		}
		return to
	}
	form := next(client.Get(place))
	id := form.Query().Get("authRequestID")
	back := next(client.PostForm(p.Issuer+"/login/username", url.Values{"id": {id}, "username": {login}, "password": {login + "-password"}}))
	return next(client.Get(back.String()))
}

// AccessToken gives a JWT whose audience is a client, "page" or "public", as a program of somebody's gets it.
func (p *Provider) AccessToken(client, login string) string {
	p.t.Helper()
	ctx := context.Background()
	description, err := oidc.NewProvider(ctx, p.Issuer)
	if err != nil {
		p.t.Fatal(err)
	}
	c := oauth2.Config{ClientID: client, Endpoint: description.Endpoint(), RedirectURL: "http://127.0.0.1:1/login/oidc/callback", Scopes: []string{"openid", "profile"}}
	c.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	if client == "page" {
		c.ClientSecret = "page-secret"
	}
	verifier := oauth2.GenerateVerifier()
	code := p.SignIn(c.AuthCodeURL("state", oauth2.S256ChallengeOption(verifier)), login).Query().Get("code")
	token, err := c.Exchange(ctx, code, oauth2.VerifierOption(verifier))
	if err != nil {
		p.t.Fatal(err)
	}
	return token.AccessToken
}
