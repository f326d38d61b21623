package web

import (
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/tinydevcrm/tinydevcrm/pkg/auth"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// SignOn signs people in by an identity provider; *auth.SignOn is one.
type SignOn interface {
	// Pages names the provider's host; "" when it offers no sign-in to the pages.
	Pages() string
	// Begin gives the address at the provider to which the browser goes.
	Begin(w http.ResponseWriter, r *http.Request, next string) (string, error)
	// Finish takes the browser that the provider sent back, and gives the path that it goes to.
	Finish(w http.ResponseWriter, r *http.Request) (auth.Principal, string, error)
}

// signOnRoutes adds the way to the identity provider and back.
func (w *Web) signOnRoutes(e *echo.Echo) {
	if w.signOnHost() != "" {
		e.GET(auth.SignOnPath, w.beginSignOn)
		e.GET(auth.CallbackPath, w.finishSignOn)
	}
}

func (w *Web) signOnHost() string {
	if w.options.SignOn == nil {
		return ""
	}
	return w.options.SignOn.Pages()
}

// signOnPath is where the sign-in page leads to the identity provider; "" without one.
func (w *Web) signOnPath(next string) string {
	if w.signOnHost() == "" {
		return ""
	}
	return auth.SignOnPath + "?" + url.Values{"next": {next}}.Encode()
}

// beginSignOn answers GET /login/oidc?next=: 303 to the identity provider, or the sign-in page with what is wrong.
func (w *Web) beginSignOn(c echo.Context) error {
	secure(c)
	v := &visit{Context: c, web: w, now: time.Now().UTC()}
	next := localPath(c.QueryParam("next"))
	place, err := w.options.SignOn.Begin(c.Response(), c.Request(), next)
	if err != nil {
		return v.signOnFailed(next, err)
	}
	return c.Redirect(http.StatusSeeOther, place)
}

// finishSignOn answers GET /login/oidc/callback?code=&state=: a page that goes on to where the visitor wanted, or the sign-in page with what
// is wrong. It is no redirect, since the browser comes from another site and would follow one without the session's cookie, which is strict.
func (w *Web) finishSignOn(c echo.Context) error {
	secure(c)
	v := &visit{Context: c, web: w, now: time.Now().UTC()}
	who, next, err := w.options.SignOn.Finish(c.Response(), c.Request())
	next = localPath(next)
	if err == nil {
		err = w.options.Auth.SignIn(v.ctx(), c.Response(), who)
	}
	if err != nil {
		return v.signOnFailed(next, err)
	}
	c.Response().Header().Set("Refresh", "0; url="+next)
	return v.show(http.StatusOK, "signed-in", "", "Signed in", signedInPage{Role: who.Role, Next: next})
}

// signedInPage leads on.
type signedInPage struct{ Role, Next string }

// signOnFailed shows what is wrong above the sign-in form, which works without the provider.
func (v *visit) signOnFailed(next string, err error) error {
	p := v.explain(err, "")
	if kind := fault.KindOf(err); kind == fault.Unavailable {
		v.internal("a sign-in failed", err)
	}
	return v.showLogin(p.Status, loginPage{Next: next, Problem: p})
}
