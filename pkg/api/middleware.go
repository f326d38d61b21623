package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/observe"
)

// request is what is known about a request while it is answered.
type request struct {
	id   string
	log  *slog.Logger
	user string
	code string // of the problem that was answered
}

type requestKey struct{}

// requestFrom gives the request of a context; one of no consequence outside of a request.
func requestFrom(ctx context.Context) *request {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		return r
	}
	return &request{log: slog.New(slog.DiscardHandler)}
}

// observed names the request, logs and measures its answer, and turns a panic into one. It is the outermost of all.
func (s *Service) observed(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		r := &request{id: rand.Text()[:16], log: s.log}
		c.SetRequest(c.Request().WithContext(context.WithValue(c.Request().Context(), requestKey{}, r)))
		c.Response().Header().Set(echo.HeaderXRequestID, r.id)
		s.metrics.InFlight.Inc()
		defer func() {
			s.metrics.InFlight.Dec()
			panicked, half := recover(), c.Response().Committed
			if panicked != nil && panicked != http.ErrAbortHandler {
				s.log.Error("a request panicked", observe.KeyRequestID, r.id, observe.KeyError, fmt.Sprint(panicked), observe.KeyStack, string(debug.Stack()))
				s.writeProblem(c, fmt.Errorf("panic: %v", panicked))
			}
			s.report(c, r, time.Since(start), panicked != nil)
			if panicked != nil && half {
				panic(http.ErrAbortHandler) // half an answer must not look like a whole one
			}
		}()
		if err := next(c); err != nil {
			s.writeProblem(c, err)
		}
		return nil
	}
}

func (s *Service) report(c echo.Context, r *request, took time.Duration, aborted bool) {
	route := c.Path()
	if route == "" {
		route = "none"
	}
	status, method := c.Response().Status, c.Request().Method
	if aborted && status < 400 {
		status = http.StatusInternalServerError
	}
	if route != streamPath {
		switch method {
		case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		default:
			method = "other"
		}
		s.metrics.Requests.WithLabelValues(method, route, strconv.Itoa(status)).Observe(took.Seconds())
	}
	level := slog.LevelInfo
	if route == "/healthz" || route == "/readyz" || route == "/metrics" || strings.HasPrefix(route, "/assets/") {
		level = slog.LevelDebug
	}
	attrs := []slog.Attr{
		slog.String(observe.KeyRequestID, r.id), slog.String(observe.KeyMethod, c.Request().Method), slog.String(observe.KeyRoute, route),
		slog.Int(observe.KeyStatus, status), slog.Int64(observe.KeyBytes, c.Response().Size), slog.Duration(observe.KeyDuration, took),
		slog.String(observe.KeyRemote, c.Request().RemoteAddr),
	}
	if r.user != "" {
		attrs = append(attrs, slog.String(observe.KeyUser, r.user))
	}
	if r.code != "" {
		attrs = append(attrs, slog.String(observe.KeyCode, r.code))
	}
	s.log.LogAttrs(c.Request().Context(), level, "request", attrs...)
}

// secured refuses unknown hosts, so that a page that points its own name here (DNS rebinding) gets nothing, and sets the headers
// that hold unless a page sets its own.
func (s *Service) secured(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin") // with no-referrer a form would send Origin: null
		h.Set("X-Frame-Options", "DENY")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if !s.knowsHost(c.Request()) {
			return fault.New(fault.Invalid, "host_unknown", "this server is not %s", c.Request().Host).
				WithHint("use the address that the server printed, or name this one in TINYDEV_HOSTS")
		}
		return next(c)
	}
}

func (s *Service) knowsHost(r *http.Request) bool {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
	if _, ok := s.hosts[host]; ok {
		return true
	}
	// The address that the connection came to is the listen address, also where the server listens on all of them.
	ip := net.ParseIP(host)
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ip != nil && ok && ip.Equal(local.IP)
}

// knownHosts gives the names under which the server may be addressed.
func knownHosts(listen string, more []string) map[string]struct{} {
	hosts := map[string]struct{}{"localhost": {}, "127.0.0.1": {}, "::1": {}}
	if host, _, err := net.SplitHostPort(listen); err == nil && host != "" {
		hosts[strings.ToLower(host)] = struct{}{}
	}
	for _, h := range more {
		if name, _, err := net.SplitHostPort(h); err == nil {
			h = name
		}
		hosts[strings.ToLower(strings.Trim(h, "[]"))] = struct{}{}
	}
	return hosts
}

// sameOrigin refuses changes that another site had a browser make: with the page's cookie, or without one, as the answer to a sign-out
// takes the cookie away. A bearer token is never sent by itself. The readers of e-mail end a subscription from wherever they read, by a
// key that stands in the message and no cookie.
func (s *Service) sameOrigin(next echo.HandlerFunc) echo.HandlerFunc {
	protection := http.NewCrossOriginProtection()
	return func(c echo.Context) error {
		if c.Request().Header.Get("Authorization") == "" && c.Path() != unsubscribePath {
			if err := protection.Check(c.Request()); err != nil {
				return fault.New(fault.Forbidden, "cross_origin", "this request comes from another site").
					WithHint("open the page itself and try there").Because(err)
			}
		}
		return next(c)
	}
}

// unescaped decodes path parameters. echo routes by the raw path when it holds an escaped slash, and leaves them raw then.
func unescaped(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if c.Request().URL.RawPath == "" {
			return next(c)
		}
		values := c.ParamValues()
		for i, v := range values {
			text, err := url.PathUnescape(v)
			if err != nil {
				return fault.New(fault.Invalid, "request_invalid", "the path holds %q, which is no escape", v)
			}
			values[i] = text
		}
		return next(c)
	}
}

const (
	defaultStall = 30 * time.Second // for one read or write
	graceBefore  = 20 * time.Second // of waiting for a client before its rate is looked at
	slowestRate  = 1 << 10          // bytes a second of waiting
)

// paced bounds how long a client may keep us waiting: no fixed limit, since a large upload takes its time, but each read and
// each write has one, and a body that trickles is cut.
func (s *Service) paced(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		w := c.Response().Writer
		control := http.NewResponseController(w)
		r := c.Request()
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = &pacedBody{ReadCloser: r.Body, control: control, stall: s.stall}
		}
		c.Response().Writer = &pacedWriter{ResponseWriter: w, control: control, stall: s.stall}
		return next(c)
	}
}

type pacedBody struct {
	io.ReadCloser
	control *http.ResponseController
	stall   time.Duration
	bytes   int64
	waited  time.Duration
	err     error // of the last read, which all later ones repeat
}

func (b *pacedBody) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	start := time.Now()
	if err := b.control.SetReadDeadline(start.Add(b.stall)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, fmt.Errorf("limit the wait for a body: %w", err)
	}
	n, err := b.ReadCloser.Read(p)
	b.bytes += int64(n)
	b.waited += time.Since(start)
	var network net.Error
	switch {
	case err == io.EOF:
		// The deadline would end the wait for the client's next request, and with it this request's context.
		_ = b.control.SetReadDeadline(time.Time{})
	case errors.As(err, &network) && network.Timeout():
		err = stalled(b.stall, err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = fault.New(fault.Invalid, "request_cut", "the body ended too early").WithHint("send the request again").Because(err)
	case err == nil && b.waited > graceBefore && float64(b.bytes) < slowestRate*b.waited.Seconds():
		err = stalled(b.stall, nil)
	}
	b.err = err
	return n, err
}

func stalled(limit time.Duration, cause error) *fault.Error {
	return fault.New(fault.Invalid, "request_stalled", "the body came too slowly").
		WithHint("at least %d bytes a second are expected, and no pause of %s", slowestRate, limit).Because(cause)
}

type pacedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration
	until   time.Time
}

// Unwrap is for http.ResponseController.
func (w *pacedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *pacedWriter) Write(p []byte) (int, error) {
	w.extend()
	return w.ResponseWriter.Write(p)
}

// FlushError is for http.ResponseController.
func (w *pacedWriter) FlushError() error {
	w.extend()
	return w.control.Flush()
}

// extend moves the deadline, but not with every write.
func (w *pacedWriter) extend() {
	if now := time.Now(); w.until.Sub(now) < w.stall*3/4 {
		w.until = now.Add(w.stall)
		_ = w.control.SetWriteDeadline(w.until) // without one a write may only wait longer
	}
}
