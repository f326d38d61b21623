package api

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

const loginPath = "/login"

// signInRoutes adds what turns a one-time code into the page's cookie, GET /?code=, and what takes it back, POST /logout. Signing
// in with a token, at /login, is the pages' own.
func (s *Service) signInRoutes() {
	s.Echo.Use(s.openPrintedAddress)
	s.Echo.POST("/logout", func(c echo.Context) error {
		if err := s.auth.SignOut(c.Request().Context(), c.Response(), c.Request()); err != nil {
			return err
		}
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
		if err := s.auth.SignInWithCode(c.Request().Context(), c.Response(), code); err != nil {
			if _, signedIn := s.auth.Principal(c.Request().Context(), c.Request()); signedIn != nil {
				return c.Redirect(http.StatusSeeOther, loginPath+"?reason="+fault.CodeOf(err))
			}
		}
		return c.Redirect(http.StatusSeeOther, "/")
	}
}
