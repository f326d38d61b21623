package api

import (
	"html/template"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

const loginPath = "/login"

// loginPage is the plain form for where no pages are mounted, and for a token that was refused.
var loginPage = template.Must(template.New("login").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Sign in to TinyDevCRM</title></head>
<body>
<main>
<h1>TinyDevCRM</h1>
{{with .}}<p role="alert">{{.}}</p>{{end}}
<form method="post" action="/login">
<label>Token (tinydev env prints it) <input name="token" type="password" autocomplete="current-password" required autofocus></label>
<button>Sign in</button>
</form>
</main>
</body>
</html>
`))

// signInRoutes adds what turns a one-time code or a token into the page's cookie: GET /?code=, POST /login, POST /logout. A page
// that is mounted later on GET /login takes the place of ours.
func (s *Service) signInRoutes() {
	s.Echo.Use(s.openPrintedAddress)
	s.Echo.GET(loginPath, func(c echo.Context) error { return s.showLogin(c, http.StatusOK, "") })
	s.Echo.POST(loginPath, s.signIn)
	s.Echo.POST("/logout", func(c echo.Context) error {
		s.auth.SignOut(c.Response(), c.Request())
		return c.Redirect(http.StatusSeeOther, loginPath)
	})
}

// openPrintedAddress takes the one-time code of the printed address and goes on to the page without it, so that it does not stay
// in the browser's history.
func (s *Service) openPrintedAddress(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		code := c.QueryParam("code")
		if code == "" || c.Request().URL.Path != "/" || c.Request().Method != http.MethodGet {
			return next(c)
		}
		if err := s.auth.SignInWithCode(c.Response(), code); err != nil {
			if _, signedIn := s.auth.Role(c.Request().Context(), c.Request()); signedIn != nil {
				return s.showLogin(c, http.StatusUnauthorized, fault.As(err).Error())
			}
		}
		return c.Redirect(http.StatusSeeOther, "/")
	}
}

// signIn answers POST /login with the field token: 303 to the page; the form again with 401 for a token that is no good.
func (s *Service) signIn(c echo.Context) error {
	r := c.Request()
	r.Body = http.MaxBytesReader(c.Response(), r.Body, maxFieldBytes)
	if err := r.ParseForm(); err != nil {
		return formFault(err)
	}
	err := s.auth.SignInWithToken(r.Context(), c.Response(), r.PostFormValue("token"))
	switch fault.KindOf(err) {
	case fault.Unauthentic, fault.Forbidden:
		return s.showLogin(c, http.StatusUnauthorized, fault.As(err).Error())
	}
	if err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, "/")
}

func (s *Service) showLogin(c echo.Context, status int, alert string) error {
	h := c.Response().Header()
	h.Set("Content-Security-Policy", "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set(echo.HeaderContentType, echo.MIMETextHTMLCharsetUTF8)
	c.Response().WriteHeader(status)
	return loginPage.Execute(c.Response(), alert)
}
