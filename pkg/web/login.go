package web

import (
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

// loginPage asks for the token. Its form goes to POST /login (token, next).
type loginPage struct {
	Next   string // path to go to afterwards, on this server
	Failed bool   // a token was given and is not valid
}

// login answers GET /login?next=&failed=1.
func (w *Web) login(c echo.Context) error {
	secure(c)
	v := &visit{Context: c, web: w, now: time.Now().UTC()}
	return v.show(http.StatusOK, "login", "", "Sign in", loginPage{Next: localPath(c.QueryParam("next")), Failed: c.QueryParam("failed") != ""})
}

// showLogin asks for the token in place of a page, and leads back to it.
func (v *visit) showLogin(status int) error {
	p := loginPage{Next: "/"}
	if v.Request().Method == http.MethodGet {
		p.Next = localPath(v.Request().URL.RequestURI())
	}
	return v.show(status, "login", "", "Sign in", p)
}

// localPath lets through only paths on this server, so that nobody is led elsewhere.
func localPath(place string) string {
	if !strings.HasPrefix(place, "/") || strings.HasPrefix(place, "//") || strings.ContainsAny(place, "\\\r\n\t") {
		return "/"
	}
	return place
}
