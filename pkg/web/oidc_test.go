package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/tinydevcrm/tinydevcrm/pkg/auth"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

var (
	bobElsewhere = pgtest.Person{Subject: "b1", Login: "bob", Name: "bob"}
	rootThere    = pgtest.Person{Subject: "r1", Login: "root", Name: "admin"}
)

// signOnSite is a site that trusts a real provider.
func signOnSite(t *testing.T) (*site, *pgtest.Provider) {
	provider := pgtest.StartProvider(t, "5m", bobElsewhere, rootThere)
	s := open(t, pgtest.DB(t), pgtest.Ann, auth.SignOnOptions{Issuer: provider.Issuer, Audience: "page", ClientID: "page", ClientSecret: "page-secret"})
	return s, provider
}

// A person goes to a page, is sent to the provider, comes back to the page, and signs out.
func TestSignOnInABrowser(t *testing.T) {
	t.Parallel()
	s, provider := signOnSite(t)
	host := strings.TrimPrefix(provider.Issuer, "http://")
	b := startBrowser(t, s)
	b.open("/tables?x=1")
	b.see("Sign in with " + host)
	b.shoot("01-sign-in-by-provider")
	b.click("Sign in with " + host)
	b.is(`location.host === "` + host + `" && document.querySelector("[name=username]") !== null`)
	b.do("sign in there", chromedp.SendKeys(chromedp.CSS("[name=username]"), "bob"), chromedp.SendKeys(chromedp.CSS("[name=password]"), "bob-password\r"))
	b.is(`location.pathname + location.search === "/tables?x=1"`)
	b.see("bob", "Sign out", "Tables")
	b.open("/views") // the session goes on
	b.see("Sign out")
	b.click("Sign out")
	b.see("Sign in with " + host)
	b.open("/tables")
	b.see("Sign in with " + host)

	// Somebody whom only an administrator can let in is told so, and the token still works.
	b.open("/login")
	b.click("Sign in with " + host)
	b.is(`document.querySelector("[name=username]") !== null`)
	b.do("sign in there", chromedp.SendKeys(chromedp.CSS("[name=username]"), "root"), chromedp.SendKeys(chromedp.CSS("[name=password]"), "root-password\r"))
	b.see("The user admin administers", "tinydev.link_identity(name => 'admin'", "Token")
	b.shoot("02-not-linked")
	b.do("type the token", chromedp.SendKeys(chromedp.CSS("#token"), s.token+"\r"))
	b.see("Sign out")
}

// browserGet reads a page as a browser with cookies does, and gives those that are set.
func (s *site) browserGet(place string, cookies []*http.Cookie, header ...string) (answer, []*http.Cookie) {
	s.t.Helper()
	request, err := http.NewRequest(http.MethodGet, s.url+place, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, c := range cookies {
		request.AddCookie(c)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	return read(s.t, response), response.Cookies()
}

func TestSignOnCallback(t *testing.T) {
	t.Parallel()
	s, provider := signOnSite(t)
	s.token = ""
	begin := func(next string) (*url.URL, []*http.Cookie) {
		t.Helper()
		a, cookies := s.browserGet(auth.SignOnPath+"?next="+url.QueryEscape(next), nil)
		place, err := url.Parse(a.header.Get("Location"))
		if a.status != http.StatusSeeOther || err != nil || len(cookies) != 1 {
			t.Fatalf("%d %v %v", a.status, place, err)
		}
		return place, cookies
	}
	fails := func(what string, place string, cookies []*http.Cookie, text string) {
		t.Helper()
		a, set := s.browserGet(place, cookies, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate")
		s.want(a, http.StatusUnauthorized, what, text, "Token")
		for _, c := range set {
			if c.SameSite == http.SameSiteStrictMode {
				t.Errorf("%s: a session is opened", what)
			}
		}
	}

	place, cookies := begin("/views")
	back := provider.SignIn(place.String(), "bob").RequestURI()
	fails("another browser", back, nil, "was not begun in this browser")
	_, others := begin("/")
	fails("another sign-in's cookie", back, others, "was not begun in this browser")
	fails("without anything", auth.CallbackPath, cookies, "was not begun in this browser")
	fails("what a link says is not shown", auth.CallbackPath+"?state=x&error=x&error_description=call+0123", cookies, "was not begun in this browser")

	a, session := s.browserGet(back, cookies, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate")
	s.want(a, http.StatusOK, "back", "You are signed in as <strong>bob</strong>", `href="/views"`)
	if a.header.Get("Refresh") != "0; url=/views" {
		t.Errorf("%q", a.header.Get("Refresh"))
	}
	if strings.Contains(a.body, "code=") {
		t.Error("the page repeats its address")
	}
	a, _ = s.browserGet("/views", session)
	s.want(a, http.StatusOK, "signed in", ">bob<")
	fails("the same again", back, cookies, "was not begun in this browser")

	place, cookies = begin("/views")
	query := url.Values{"state": {place.Query().Get("state")}, "error": {"access_denied"}, "error_description": {`<script>alert(1)</script>`}}
	fails("denied", auth.CallbackPath+"?"+query.Encode(), cookies, "&lt;script&gt;alert(1)")

	for _, next := range []string{"//evil.example", `/\evil.example`, "https://evil.example/", "javascript:alert(1)", "/a\r\nb", ""} {
		place, cookies := begin(next)
		a, _ := s.browserGet(provider.SignIn(place.String(), "bob").RequestURI(), cookies)
		s.want(a, http.StatusOK, "next "+next, `href="/"`)
		if a.header.Get("Refresh") != "0; url=/" {
			t.Errorf("%q leads to %q", next, a.header.Get("Refresh"))
		}
	}

	provider.Stop()
	a, _ = s.browserGet(auth.SignOnPath, nil)
	if a.status != http.StatusSeeOther { // what the provider said before is known
		t.Errorf("%d", a.status)
	}
}

func TestSignOnWithoutTheProvider(t *testing.T) {
	t.Parallel()
	provider := pgtest.StartProvider(t, "5m")
	provider.Stop()
	s := open(t, pgtest.DB(t), pgtest.Ann, auth.SignOnOptions{Issuer: provider.Issuer, ClientID: "page"})
	a, set := s.browserGet(auth.SignOnPath+"?next=/views", nil)
	s.want(a, http.StatusServiceUnavailable, "down", "does not answer as it should", "Token", `name="next" value="/views"`)
	if len(set) != 0 {
		t.Errorf("%v", set)
	}
	s.get("/views") // a token works all the same

	plain := open(t, pgtest.DB(t), pgtest.Ann)
	plain.token = ""
	a = plain.send(http.MethodGet, "/login", "", nil)
	if strings.Contains(a.body, "Sign in with") {
		t.Error("a provider is offered where there is none")
	}
	if a := plain.send(http.MethodGet, auth.SignOnPath, "", nil); a.status != http.StatusNotFound {
		t.Errorf("%d", a.status)
	}
}
