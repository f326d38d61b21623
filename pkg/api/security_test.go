package api_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

func TestHosts(t *testing.T) {
	t.Parallel()
	h := start(t)
	for host, want := range map[string]int{
		"": 200, "localhost": 200, "LOCALHOST:8484": 200, "127.0.0.1:1": 200, "[::1]:8484": 200, "crm.example.org": 200, "crm.example.org:443": 200,
		"evil.example.org": 421, "127.0.0.1.evil.org": 421, "localhost.evil.org": 421, "10.1.2.3": 421, "crm.example.org.evil.org": 421,
	} {
		for _, path := range []string{"/healthz", "/v1/tables", "/docs"} {
			got := h.call(pgtest.Ann, "GET", path, "", func(r *http.Request) { r.Host = host })
			if got.status != want {
				t.Errorf("%s at %q: %d", path, host, got.status)
			}
			if want == 421 && got.problem(t).Code != "host_unknown" {
				t.Errorf("%s", got.body)
			}
		}
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	h := start(t)
	for value, code := range map[string]string{
		"":                                "not_signed_in",
		"Basic YTpi":                      "token_malformed",
		"Bearer":                          "token_malformed",
		"Bearer xyz":                      "token_malformed",
		"Bearer td_" + "0123456789":       "token_unknown",
		"bearer  " + h.tokens["bob"]:      "",
		"Bearer " + h.tokens["bob"] + "x": "token_unknown",
	} {
		got := h.call("", "GET", "/v1/tables", "", header("Authorization", value))
		if code == "" {
			if got.status != 200 {
				t.Errorf("%q: %d", value, got.status)
			}
			continue
		}
		if got.status != 401 || got.problem(t).Code != code || !strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Bearer ") {
			t.Errorf("%q: %d %s", value, got.status, got.body)
		}
	}
	// A role that is no user any more is refused, though its token is known and its answer was kept.
	admin := h.db.Superuser()
	if _, err := admin.Exec(context.Background(), "create role gone login; grant tinydev_user to gone"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := h.db.Superuser().Exec(context.Background(), "drop role gone")
		check(t, err)
	})
	h.tokens["gone"] = "td_gone"
	check(t, h.auth.Register(context.Background(), "gone", "test", "td_gone"))
	if got := h.call("gone", "GET", "/v1/tables", ""); got.status != 200 {
		t.Fatal(got.body)
	}
	if _, err := admin.Exec(context.Background(), "revoke tinydev_user from gone"); err != nil {
		t.Fatal(err)
	}
	// At first by PostgreSQL, which grants it nothing, then by us too.
	pgtest.Eventually(t, 10*time.Second, "the role is no user any more", func() bool {
		got := h.call("gone", "GET", "/v1/tables", "")
		if got.status != 403 {
			t.Fatalf("%d %s", got.status, got.body)
		}
		return got.problem(t).Code == "not_a_user"
	})
}

func TestPageSessions(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.api.Echo.GET("/", func(c echo.Context) error { return c.String(200, "home") })
	code := h.auth.NewCode(pgtest.Ann)
	opened := h.call("", "GET", "/?code="+url.QueryEscape(code), "")
	cookie := opened.header.Get("Set-Cookie")
	if opened.status != 303 || opened.header.Get("Location") != "/" || !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Strict") || strings.Contains(cookie, "Secure") {
		t.Fatalf("%d %v", opened.status, opened.header)
	}
	signedIn := header("Cookie", strings.Split(cookie, ";")[0])
	if got := h.call("", "GET", "/v1/tables", "", signedIn); got.status != 200 {
		t.Errorf("the cookie is not taken: %s", got.body)
	}
	if got := h.call("", "GET", "/?code="+code, ""); got.status != 303 || got.header.Get("Location") != "/login?reason=code_spent" || got.header.Get("Set-Cookie") != "" {
		t.Errorf("a code is good twice: %d %v", got.status, got.header)
	}
	if got := h.call("", "GET", "/?code="+code, "", signedIn); got.status != 303 {
		t.Errorf("who is signed in already is let on: %d", got.status)
	}

	body := `{"name":"t","columns":[{"name":"a","type":"text"}]}`
	for _, foreign := range []func(*http.Request){header("Sec-Fetch-Site", "cross-site"), header("Sec-Fetch-Site", "same-site"), header("Origin", "http://evil.example.org")} {
		if got := h.call("", "POST", "/v1/tables", body, signedIn, foreign); got.status != 403 || got.problem(t).Code != "cross_origin" {
			t.Errorf("another site may change: %d %s", got.status, got.body)
		}
	}
	if got := h.call("", "POST", "/v1/tables", body, signedIn, header("Sec-Fetch-Site", "same-origin")); got.status != 201 {
		t.Errorf("%d %s", got.status, got.body)
	}

	// What another site gives a browser as a cookie is not kept at sign-in: each has a secret of its own.
	again := h.call("", "GET", "/?code="+url.QueryEscape(h.auth.NewCode(pgtest.Ann)), "", signedIn).header.Get("Set-Cookie")
	if again == "" || strings.Split(again, ";")[0] == strings.Split(cookie, ";")[0] {
		t.Errorf("signing in goes on with the session that is there: %q", again)
	}

	forged := header("Cookie", strings.Split(cookie, ";")[0]+"x")
	if got := h.call("", "GET", "/v1/tables", "", forged); got.status != 401 || got.problem(t).Code != "session_ended" {
		t.Errorf("%d %s", got.status, got.body)
	}
	out := h.call("", "POST", "/logout", "", signedIn)
	if out.status != 303 || !strings.Contains(out.header.Get("Set-Cookie"), "=;") {
		t.Errorf("%d %v", out.status, out.header)
	}
	if got := h.call("", "GET", "/v1/tables", "", signedIn); got.status != 401 {
		t.Errorf("a copy of the cookie lives on: %d", got.status)
	}
	if strings.Contains(h.log.String(), code) {
		t.Error("the log holds the one-time code")
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	h := start(t)
	for _, path := range []string{"/v1/tables", "/nothing", "/docs", "/docs/swagger-ui-bundle.js", "/metrics"} {
		got := h.call(pgtest.Ann, "GET", path, "").header
		if got.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(got.Get("Content-Security-Policy"), "default-src 'none'") ||
			!strings.Contains(got.Get("Content-Security-Policy"), "frame-ancestors 'none'") || got.Get("X-Request-Id") == "" {
			t.Errorf("%s: %v", path, got)
		}
	}
	docs := h.call("", "GET", "/docs", "").body
	if strings.Contains(docs, "http://") || strings.Contains(docs, "https://") || strings.Contains(docs, "<script>") {
		t.Error("the docs load something from elsewhere or run inline script")
	}
	bearer := h.call("", "POST", "/v1/tables", `{"name":"x","columns":[]}`, header("Sec-Fetch-Site", "cross-site"), header("Authorization", "Bearer "+h.tokens[pgtest.Ann]))
	if bearer.status == 403 {
		t.Error("a bearer token is no cookie: no page can make a browser send it")
	}
}

func TestPanics(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.api.Echo.GET("/panic", func(echo.Context) error { panic("ouch") })
	h.api.Echo.GET("/half", func(c echo.Context) error {
		_, err := c.Response().Write(bytes.Repeat([]byte("x"), 100_000))
		check(t, err)
		panic("ouch")
	})
	got := h.call("", "GET", "/panic", "")
	p := got.problem(t)
	if got.status != 500 || p.Code != "internal" || strings.Contains(got.body, "ouch") || !strings.Contains(p.Hint, p.RequestID) {
		t.Errorf("%d %s", got.status, got.body)
	}
	if log := h.log.String(); !strings.Contains(log, "ouch") || !strings.Contains(log, p.RequestID) {
		t.Error("the log does not tell of it")
	}
	resp, err := http.Get(h.url + "/half")
	if err == nil {
		_, err = resp.Body.Read(make([]byte, 200_000))
		for err == nil {
			_, err = resp.Body.Read(make([]byte, 200_000))
		}
		resp.Body.Close()
	}
	if err == nil || err.Error() == "EOF" {
		t.Errorf("half an answer looks like a whole one: %v", err)
	}
	if got := h.call("", "GET", "/healthz", ""); got.status != 200 {
		t.Error("the server did not live on")
	}
}

func TestForwardedForIsIgnored(t *testing.T) {
	t.Parallel()
	h := start(t)
	req := httptest.NewRequest("GET", "/", nil)
	req.Header.Set("X-Forwarded-For", "6.6.6.6")
	req.RemoteAddr = "127.0.0.1:1"
	if ip := h.api.Echo.NewContext(req, httptest.NewRecorder()).RealIP(); ip != "127.0.0.1" {
		t.Errorf("the client is taken to be %s", ip)
	}
}
