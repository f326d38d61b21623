package web

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/tinydevcrm/tinydevcrm/pkg/deliver"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// unsubscribePage asks a reader of e-mail whether they want no more.
type unsubscribePage struct {
	deliver.Unsubscribed
	Action string // where the form is sent: POST /unsubscribe of the API
	Done   bool   // it was just sent
}

// unsubscribe answers GET /unsubscribe?s=&to=&key=&done=, to which messages link; nobody has to sign in. It changes nothing, since
// programs follow links too. Who has not the key gets the same answer whatever else is in the address.
func (w *Web) unsubscribe(c echo.Context) error {
	secure(c)
	v := &visit{Context: c, web: w, now: time.Now().UTC()}
	id, err := strconv.ParseInt(c.QueryParam("s"), 10, 64)
	if err != nil {
		id = 0 // which is none
	}
	p := unsubscribePage{Done: c.QueryParam("done") != ""}
	if p.Unsubscribed, err = w.options.Deliverer.Unsubscribe(v.ctx(), id, c.QueryParam("to"), c.QueryParam("key"), true); err != nil {
		if fault.KindOf(err) == fault.NotFound {
			return v.show(http.StatusNotFound, "problem", "", "This link ends nothing", v.explain(err, ""))
		}
		return v.problem(err)
	}
	p.Action = "/unsubscribe?" + url.Values{"s": {c.QueryParam("s")}, "to": {c.QueryParam("to")}, "key": {c.QueryParam("key")}}.Encode()
	return v.show(http.StatusOK, "unsubscribe", "", "Unsubscribe", p)
}
