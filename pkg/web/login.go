package web

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/tinydevcrm/tinydevcrm/pkg/auth"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// maxLoginBytes is more than a token and a path can take.
const maxLoginBytes = 16 << 10

// loginPage asks for the token.
type loginPage struct {
	Next    string // path to go to afterwards, on this server
	Problem *problem

	SignOnHost string // identity provider that signs in as well; "" for none
	SignOnPath string // the way there
}

// login answers GET /login?next=&reason=; reason is the code of what went wrong with the printed address.
func (w *Web) login(c echo.Context) error {
	secure(c)
	v := &visit{Context: c, web: w, now: time.Now().UTC()}
	p := loginPage{Next: localPath(c.QueryParam("next"))}
	if spent := auth.CodeSpent(); c.QueryParam("reason") == spent.Code {
		p.Problem = v.explain(spent, "")
	}
	return v.showLogin(http.StatusOK, p)
}

// signIn answers POST /login (token, next): 303 to the page, or the form again with 401.
func (w *Web) signIn(c echo.Context) error {
	secure(c)
	v := &visit{Context: c, web: w, now: time.Now().UTC()}
	if err := w.sameOrigin(c.Request()); err != nil {
		return v.problem(err)
	}
	c.Request().Body = http.MaxBytesReader(c.Response(), c.Request().Body, maxLoginBytes)
	if err := c.Request().ParseForm(); err != nil {
		return v.problem(fmt.Errorf("read the form: %w", err))
	}
	next := localPath(c.Request().PostFormValue("next"))
	err := w.options.Auth.SignInWithToken(v.ctx(), c.Response(), c.Request(), c.Request().PostFormValue("token"))
	if kind := fault.KindOf(err); kind == fault.Unauthentic || kind == fault.Forbidden {
		return v.showLogin(http.StatusUnauthorized, loginPage{Next: next, Problem: v.explain(err, "")})
	}
	if err != nil {
		return v.problem(err)
	}
	return c.Redirect(http.StatusSeeOther, next)
}

// askForToken shows the form in place of a page, and leads back to it.
func (v *visit) askForToken() error {
	p := loginPage{Next: "/"}
	if v.Request().Method == http.MethodGet {
		p.Next = localPath(v.Request().URL.RequestURI())
	}
	return v.showLogin(http.StatusUnauthorized, p)
}

func (v *visit) showLogin(status int, p loginPage) error {
	p.SignOnHost, p.SignOnPath = v.web.signOnHost(), v.web.signOnPath(p.Next)
	return v.show(status, "login", "", "Sign in", p)
}

// localPath lets through only paths on this server, so that nobody is led elsewhere.
func localPath(place string) string {
	if !strings.HasPrefix(place, "/") || strings.HasPrefix(place, "//") || strings.ContainsAny(place, "\\\r\n\t") {
		return "/"
	}
	return place
}
