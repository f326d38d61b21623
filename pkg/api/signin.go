package api

import (
	"html/template"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

const loginPath = "/login"

// loginPage says why the printed address does not let in, and leads on to the pages' way of signing in.
var loginPage = template.Must(template.New("login").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Sign in to TinyDevCRM</title></head>
<body>
<main>
<h1>TinyDevCRM</h1>
<p role="alert">{{.}}</p>
<form method="post" action="/login">
<label>Token (tinydev env prints it) <input name="token" type="password" autocomplete="current-password" required autofocus></label>
<button>Sign in</button>
</form>
</main>
</body>
</html>
`))

// signInRoutes adds what turns a one-time code into the page's cookie, GET /?code=, and what takes it back, POST /logout. Signing
// in with a token, at /login, is the pages' own.
func (s *Service) signInRoutes() {
	s.Echo.Use(s.openPrintedAddress)
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
				return s.showLogin(c, fault.As(err).Error())
			}
		}
		return c.Redirect(http.StatusSeeOther, "/")
	}
}

func (s *Service) showLogin(c echo.Context, alert string) error {
	h := c.Response().Header()
	h.Set("Content-Security-Policy", "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set(echo.HeaderContentType, echo.MIMETextHTMLCharsetUTF8)
	c.Response().WriteHeader(http.StatusUnauthorized)
	return loginPage.Execute(c.Response(), alert)
}
