package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/lestrrat-go/jwx/v3/jwk"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/observe"
)

const (
	providerFresh   = 5 * time.Minute  // how long what the provider said counts without asking again: a key that it takes back is good for no longer
	providerKept    = time.Hour        // how long it counts while the provider does not answer
	providerPause   = 30 * time.Second // between two questions, whatever keys the tokens of strangers name
	providerRetry   = 5 * time.Second  // the same as long as nothing is known
	providerTimeout = 10 * time.Second // of one question: the description and the keys
	maxProviderBody = 1 << 20
)

// provider is an identity provider as it describes itself under /.well-known/openid-configuration, with its keys.
//
// Both are asked for when first needed, and again every five minutes in the background; a provider that is down fails nobody whose
// key is known, for an hour.
type provider struct {
	issuer string
	client *http.Client
	log    *slog.Logger
	now    func() time.Time

	mu      sync.Mutex
	known   *described
	failure error         // of the last question; nil when it was answered
	asked   time.Time     // when the last question began
	asking  chan struct{} // closed when the question under way is over; nil when there is none
}

// described is what a provider said at a time.
type described struct {
	*oidc.Provider
	keys keys
	at   time.Time
}

func newProvider(issuer string, log *slog.Logger) *provider {
	return &provider{
		issuer: issuer, log: log, now: time.Now,
		client: &http.Client{Transport: guarded{http.DefaultTransport}, Timeout: providerTimeout},
	}
}

// describe gives what is known of the provider, and asks it when nothing is, or only what is old. Errors: unavailable provider_unavailable.
func (p *provider) describe(ctx context.Context) (*described, error) {
	p.mu.Lock()
	now := p.now()
	if p.known != nil && now.Sub(p.known.at) < providerKept {
		known := p.known
		if now.Sub(known.at) >= providerFresh && now.Sub(p.asked) >= providerPause {
			p.ask()
		}
		p.mu.Unlock()
		return known, nil
	}
	if now.Sub(p.asked) >= providerRetry {
		p.ask()
	}
	return p.await(ctx)
}

// renew asks the provider once more, because what it said does not hold the key of a token, and gives what is known then. It does not ask
// when it did so in the last 30 seconds. Errors: as describe, and also when the last question was not answered.
func (p *provider) renew(ctx context.Context, than *described) (*described, error) {
	p.mu.Lock()
	if p.known == than && p.now().Sub(p.asked) >= providerPause {
		p.ask()
	}
	known, err := p.await(ctx)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failure != nil {
		return nil, p.unavailable(p.failure)
	}
	return known, nil
}

// await waits for the question under way, if any, and gives what is known. It is called with mu held, and releases it.
func (p *provider) await(ctx context.Context) (*described, error) {
	asking := p.asking
	p.mu.Unlock()
	if asking != nil {
		select {
		case <-asking:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the identity provider: %w", ctx.Err())
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known != nil && p.now().Sub(p.known.at) < providerKept {
		return p.known, nil
	}
	return nil, p.unavailable(p.failure)
}

func (p *provider) unavailable(cause error) *fault.Error {
	return fault.New(fault.Unavailable, "provider_unavailable", "the identity provider %s does not answer as it should", p.issuer).
		WithHint("try again in a moment; the server's log says why").Because(cause)
}

// ask puts the question, unless one is under way. It is called with mu held. The request that made it necessary may go away meanwhile.
func (p *provider) ask() {
	if p.asking != nil {
		return
	}
	done := make(chan struct{})
	p.asking, p.asked = done, p.now()
	go func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(context.Background(), providerTimeout)
		defer cancel()
		answer, err := p.fetch(ctx)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.asking = nil
		if err != nil {
			p.log.Warn("the identity provider does not answer as it should", "issuer", p.issuer, observe.KeyError, err)
		} else {
			p.known = answer
		}
		p.failure = err
	}()
}

// fetch reads the provider's description and its keys.
func (p *provider) fetch(ctx context.Context) (*described, error) {
	at := p.now()
	description, err := oidc.NewProvider(oidc.ClientContext(ctx, p.client), p.issuer)
	if err != nil {
		return nil, fmt.Errorf("read the description of %s: %w", p.issuer, err)
	}
	var place struct {
		JWKS string `json:"jwks_uri"`
	}
	if err := description.Claims(&place); err != nil || place.JWKS == "" {
		return nil, errors.Join(errors.New("the description has no jwks_uri"), err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, place.JWKS, nil)
	if err != nil {
		return nil, fmt.Errorf("read the keys: %w", err)
	}
	response, err := p.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("read the keys: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("read the keys: %s answers %s", place.JWKS, response.Status), err)
	}
	// One key of a kind that nobody knows yet must not hide the others; a page that is no key set at all is an error.
	if !json.Valid(body) {
		return nil, fmt.Errorf("read the keys: %s is no JSON", place.JWKS)
	}
	set, err := jwk.Parse(body, jwk.WithIgnoreParseError(true))
	if err != nil {
		return nil, fmt.Errorf("read the keys: %w", err)
	}
	usable := usableKeys(set)
	if len(usable) == 0 {
		return nil, fmt.Errorf("none of the %d keys at %s can verify a signature here", set.Len(), place.JWKS)
	}
	return &described{Provider: description, keys: usable, at: at}, nil
}

// guarded lets requests go only where nobody can listen or answer in the provider's name, and cuts answers that are too long.
type guarded struct{ next http.RoundTripper }

func (g guarded) RoundTrip(r *http.Request) (*http.Response, error) {
	if !trustworthy(r.URL) {
		return nil, fmt.Errorf("%s is neither https nor on this machine", r.URL.Redacted())
	}
	response, err := g.next.RoundTrip(r)
	if err == nil {
		response.Body = http.MaxBytesReader(nil, response.Body, maxProviderBody)
	}
	return response, err
}

// trustworthy reports whether a URL is https, or on this machine.
func trustworthy(u *url.URL) bool {
	host := u.Hostname()
	ip := net.ParseIP(host)
	return u.Scheme == "https" || u.Scheme == "http" && (strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback())
}
