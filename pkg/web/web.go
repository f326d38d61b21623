// Package web serves the pages: HTML made on the server, plain forms, and small ES modules that add live events and previews.
//
// It decides nothing: each page is a few calls of pkg/control or of the loader, in the user's own session. html/template is what
// keeps data from becoming markup, so nothing here makes a template.HTML, and the pages' policy forbids inline script and style.
package web

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/tinydevcrm/tinydevcrm/pkg/auth"
	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/deliver"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/ingest"
)

//go:embed assets templates
var embedded embed.FS

// policy lets pages load what this server embeds and nothing else, and run no inline script or style.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// fragmentHeader is sent by our modules: the answer is then one block of the page, named by its value, instead of all of it.
const fragmentHeader = "Tinydev-Fragment"

// Loader turns files into tables; *ingest.Loader is one.
type Loader interface {
	Load(ctx context.Context, role string, request ingest.LoadRequest, body io.Reader) (ingest.Loaded, []string, error)
	Preview(ctx context.Context, options ingest.Options, body io.Reader) (ingest.Preview, error)
}

// Authenticator says who makes a request. A request without valid credentials gets a fault of kind unauthentic.
type Authenticator interface {
	Principal(ctx context.Context, r *http.Request) (auth.Principal, error)
	// SignInWithToken checks a token and sets the cookie; the fault of a bad token is of kind unauthentic or forbidden.
	SignInWithToken(ctx context.Context, w http.ResponseWriter, r *http.Request, token string) error
	// SignIn sets the cookie for who was found otherwise.
	SignIn(ctx context.Context, w http.ResponseWriter, p auth.Principal) error
}

// Deliverer sends to the targets of subscriptions; *deliver.Deliverer is one.
type Deliverer interface {
	Try(ctx context.Context, s deliver.Subscription, kind string) (deliver.Outcome, time.Duration, error)
	Unsubscribe(ctx context.Context, id int64, recipient, key string, dryRun bool) (deliver.Unsubscribed, error)
}

// Options are what the pages need.
type Options struct {
	Control *control.Control
	Loader  Loader
	Auth    Authenticator
	// Deliverer tries targets out and ends what readers of e-mail want no more.
	Deliverer Deliverer
	// SignOn is another way to sign in; nil is none.
	SignOn SignOn
	// SpoolDir keeps files between their preview and their load; it is made when missing. ingest.CleanSpool empties it.
	SpoolDir string
	// UploadLimit is the most bytes of one file; 0 is no limit.
	UploadLimit int64
	// SpoolLimit is the most bytes of all files that wait for their load; 0 is no limit.
	SpoolLimit int64
	Logger     *slog.Logger
}

// Web serves the pages. Close it after the HTTP server has stopped.
type Web struct {
	options    Options
	pages      pages
	drafts     *drafts
	protection *http.CrossOriginProtection
}

// New parses the templates. An error is a mistake in what is embedded or missing in options.
func New(options Options) (*Web, error) {
	if options.Control == nil || options.Loader == nil || options.Auth == nil || options.Deliverer == nil || options.SpoolDir == "" {
		return nil, errors.New("make the pages: control, loader, auth, deliverer and spool folder are needed")
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	parsed, err := parsePages()
	if err != nil {
		return nil, fmt.Errorf("make the pages: %w", err)
	}
	return &Web{
		options: options, pages: parsed, protection: http.NewCrossOriginProtection(),
		drafts: newDrafts(options.SpoolDir, options.UploadLimit, options.SpoolLimit, options.Logger),
	}, nil
}

// Close removes the files that were previewed and not loaded.
func (w *Web) Close() error { return w.drafts.close() }

// Register adds the pages to e, and takes the place of what answered /login there before. GET /v1/events/stream, POST /logout,
// POST /unsubscribe, /docs and the one-time code in GET /?code= are somebody else's.
func (w *Web) Register(e *echo.Echo) {
	get := func(path string, h handler) { e.GET(path, w.page(h)) }
	post := func(path string, h handler) { e.POST(path, w.page(h)) }

	e.GET("/assets/:name", w.asset)
	e.GET("/login", w.login)
	e.POST("/login", w.signIn)
	w.signOnRoutes(e)
	e.GET("/unsubscribe", w.unsubscribe)

	get("/", home)

	get("/load", chooseFile)
	post("/load", receiveFile)
	get("/load/draft", showDraft)
	post("/load/draft", loadDraft)

	get("/tables", listTables)
	get("/table", showTable)
	get("/table/drop", confirmDropTable)
	post("/table/drop", dropTable)
	get("/download", download)

	get("/views", listViews)
	get("/view", showView)
	get("/views/new", newView)
	post("/views/new", createView)
	get("/view/replace", editView)
	post("/view/replace", replaceView)
	post("/view/refresh", refreshView)
	get("/view/drop", confirmDropView)
	post("/view/drop", dropView)

	get("/jobs", listJobs)
	get("/job", showJob)
	post("/job/active", setActive)
	post("/job/run", runJob)
	post("/jobs/active", pauseJobs)
	post("/run/cancel", cancelRun)
	get("/job/remove", confirmRemoveJob)
	post("/job/remove", removeJob)
	get("/schedule", newSchedule)
	post("/schedule", saveSchedule)

	get("/lineage", showLineage)
	get("/events", listEvents)

	get("/subscriptions", listSubscriptions)
	get("/subscriptions/new", newSubscription)
	post("/subscriptions/new", createSubscription)
	get("/subscription", showSubscription)
	get("/subscription/edit", editSubscription)
	post("/subscription/edit", changeSubscription)
	post("/subscription/active", setSubscriptionActive)
	post("/subscription/address", setAddress)
	post("/subscription/test", testSubscription)
	get("/subscription/secret", newSecret)
	post("/subscription/secret", rotateSecret)
	get("/subscription/replay", newReplay)
	post("/subscription/replay", replay)
	post("/subscription/redeliver", redeliver)
	get("/subscription/drop", confirmDropSubscription)
	post("/subscription/drop", dropSubscription)
	get("/delivery", showDelivery)
	get("/triggers", listTriggers)
	get("/triggers/new", newTrigger)
	post("/triggers/new", createTrigger)
	get("/triggers/drop", confirmDropTrigger)
	post("/triggers/drop", dropTrigger)

	get("/account", showAccount)
	get("/password", newPassword)
	post("/password", setPassword)
	get("/tokens/new", newToken)
	post("/tokens/new", createToken)
	get("/tokens/revoke", confirmRevoke)
	post("/tokens/revoke", revokeToken)
	post("/freshness", setFreshness)
	post("/share", share)
	get("/unshare", confirmUnshare)
	post("/unshare", unshare)
	get("/trust", confirmTrust)
	post("/trust", trust)
	get("/trust/remove", confirmUntrust)
	post("/trust/remove", untrust)

	get("/users", administrators(listUsers))
	get("/users/new", administrators(newUser))
	post("/users/new", administrators(createUser))
	get("/user", administrators(showUser))
	post("/user/limits", administrators(limitUser))
	get("/user/admin", administrators(confirmAdmin))
	post("/user/admin", administrators(setAdmin))
	get("/user/unlink", administrators(confirmUnlink))
	post("/user/unlink", administrators(unlink))
	get("/user/drop", administrators(confirmDropUser))
	post("/user/drop", administrators(dropUser))
	get("/settings", administrators(showSettings))
	post("/settings", administrators(saveSettings))
	get("/audit", administrators(listAudit))

	get("/doctor", showDoctor)
	post("/doctor", administrators(mend))
}

// handler answers one request of a user.
type handler func(*visit) error

// visit is one request, with its user.
type visit struct {
	echo.Context
	web  *Web
	user *control.User
	now  time.Time

	administrator *bool // nil until it was asked
}

func (v *visit) ctx() context.Context { return v.Request().Context() }

// internal logs an error that does not reach the visitor's page.
func (v *visit) internal(message string, err error) {
	v.web.options.Logger.ErrorContext(v.ctx(), message, "path", v.Request().URL.Path, "error", err)
}

// page finds the user, refuses requests that another site made, and shows errors that h did not show itself.
func (w *Web) page(h handler) echo.HandlerFunc {
	return func(c echo.Context) error {
		secure(c)
		v := &visit{Context: c, web: w, now: time.Now().UTC()}
		if err := w.sameOrigin(c.Request()); err != nil {
			return v.problem(err)
		}
		who, err := w.options.Auth.Principal(v.ctx(), c.Request())
		if fault.KindOf(err) == fault.Unauthentic {
			return v.askForToken()
		}
		if err == nil {
			err = who.Permits(auth.Need{Scope: "pages", Reads: c.Request().Method == http.MethodGet, Whole: true})
		}
		if err != nil {
			return v.problem(err)
		}
		c.SetRequest(c.Request().WithContext(auth.WithPrincipal(v.ctx(), who)))
		v.user = w.options.Control.As(who.Role)
		if err := h(v); err != nil {
			return v.problem(err)
		}
		return nil
	}
}

// sameOrigin refuses a change that another site had the browser ask for. Errors: forbidden cross_origin.
func (w *Web) sameOrigin(r *http.Request) error {
	if err := w.protection.Check(r); err != nil {
		return fault.New(fault.Forbidden, "cross_origin", "this form was sent from another site").
			WithHint("open the page itself and try there").Because(err)
	}
	return nil
}

// secure sets the headers of every page.
func secure(c echo.Context) {
	h := c.Response().Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
}

// asset answers GET /assets/:name. Browsers ask again each time, by ETag, so that a new binary is seen at once.
func (w *Web) asset(c echo.Context) error {
	secure(c)
	a, ok := w.pages.assets[c.Param("name")]
	if !ok {
		return echo.ErrNotFound
	}
	h := c.Response().Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", a.etag)
	if c.Request().Header.Get("If-None-Match") == a.etag {
		return c.NoContent(http.StatusNotModified)
	}
	return c.Blob(http.StatusOK, a.contentType, a.body)
}
