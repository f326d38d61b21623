package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/labstack/echo/v4"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/observe"
)

// Problem is the body of every error, RFC 9457.
type Problem struct {
	Type      string         `json:"type" doc:"urn:tinydev:error: and the code" example:"urn:tinydev:error:view_not_found"`
	Title     string         `json:"title" doc:"the status in words"`
	Status    int            `json:"status"`
	Code      string         `json:"code" doc:"stable word, listed in the error catalogue" example:"view_not_found"`
	Detail    string         `json:"detail" doc:"what is wrong, and where"`
	Hint      string         `json:"hint,omitempty" doc:"what to do next"`
	Fields    map[string]any `json:"fields,omitempty" doc:"the offending input: line and column of a file, position in SQL, sqlstate"`
	RequestID string         `json:"request_id,omitempty" doc:"the same as in the server's log and in X-Request-Id"`
}

// Error implements error.
func (p *Problem) Error() string { return p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return problemType }

const problemType = "application/problem+json"

// statusByCode has the answers that HTTP has words for and fault has no kind; all others go by kind.
var statusByCode = map[string]int{
	"request_invalid":        http.StatusUnprocessableEntity,
	"json_invalid":           http.StatusBadRequest,
	"form_invalid":           http.StatusBadRequest,
	"route_not_found":        http.StatusNotFound,
	"method_not_allowed":     http.StatusMethodNotAllowed,
	"not_acceptable":         http.StatusNotAcceptable,
	"request_stalled":        http.StatusRequestTimeout,
	"body_too_large":         http.StatusRequestEntityTooLarge,
	"media_type_unsupported": http.StatusUnsupportedMediaType,
	"host_unknown":           http.StatusMisdirectedRequest,
	"streams_limit":          http.StatusTooManyRequests,
	"tests_limit":            http.StatusTooManyRequests,
}

// statusClientGone is logged when nobody is there to read the answer.
const statusClientGone = 499

// problemOf is the one place that turns an error into an answer. What is no fault is internal: its text is logged, not shown.
func problemOf(ctx context.Context, log *slog.Logger, err error) *Problem {
	p := &Problem{RequestID: requestFrom(ctx).id}
	f := fault.As(err)
	var reading *http.MaxBytesError
	switch {
	case f != nil:
	case errors.As(err, &reading):
		f = fault.New(fault.TooLarge, "body_too_large", "the body is larger than %d bytes", reading.Limit)
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		f = fault.New(fault.Unavailable, "canceled", "the client went away")
		p.Status = statusClientGone
	case errors.Is(err, context.DeadlineExceeded):
		f = fault.New(fault.Unavailable, "timed_out", "the database took too long").Because(err)
	default:
		f = fault.New(fault.Internal, "internal", "something went wrong inside the server").
			WithHint("the server's log tells more about the request %s", p.RequestID)
	}
	if p.Status == 0 {
		p.Status = f.Kind.Status()
	}
	if status, ok := statusByCode[f.Code]; ok {
		p.Status = status
	}
	p.Code, p.Detail, p.Hint, p.Fields = f.Code, f.Message, f.Hint, f.Fields
	p.Type = "urn:tinydev:error:" + p.Code
	if p.Title = http.StatusText(p.Status); p.Title == "" {
		p.Title = "Client Closed Request"
	}
	requestFrom(ctx).code = p.Code
	if p.Status >= 500 {
		log.LogAttrs(ctx, levelOf(p.Status), "request failed", slog.String(observe.KeyRequestID, p.RequestID), slog.String(observe.KeyCode, p.Code),
			slog.String(observe.KeyError, fullText(err)))
	}
	return p
}

func levelOf(status int) slog.Level {
	if status == http.StatusInternalServerError {
		return slog.LevelError
	}
	return slog.LevelWarn
}

// fullText gives an error's text with the cause that a fault keeps from the client.
func fullText(err error) string {
	if f := fault.As(err); f != nil && f.Cause != nil {
		return fmt.Sprintf("%v: %v", err, f.Cause)
	}
	return err.Error()
}

// headers sets what belongs to a problem beside its body.
func (p *Problem) headers(set func(name, value string)) {
	switch p.Status {
	case http.StatusUnauthorized:
		set("WWW-Authenticate", `Bearer realm="TinyDevCRM"`)
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		set("Retry-After", "2")
	}
}

// init makes huma answer with problems. huma has one such hook for the whole program; it holds no state of ours.
func init() {
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		return &Problem{Status: status, Title: http.StatusText(status), Detail: message}
	}
	huma.NewErrorWithContext = func(ctx huma.Context, status int, message string, errs ...error) huma.StatusError {
		p := problemOf(ctx.Context(), requestFrom(ctx.Context()).log, humaFault(status, message, errs))
		p.headers(ctx.SetHeader)
		return p
	}
}

// humaFault turns what huma found wrong with a request into a fault; a fault that a handler returned stays as it is.
func humaFault(status int, message string, errs []error) error {
	for _, err := range errs {
		if fault.As(err) != nil {
			return err
		}
	}
	switch {
	case status == http.StatusInternalServerError && len(errs) > 0:
		return errs[0]
	case status == http.StatusRequestTimeout:
		return stalled(defaultStall, nil)
	case status == http.StatusRequestEntityTooLarge:
		return fault.New(fault.TooLarge, "body_too_large", "%s", message)
	case status == http.StatusNotAcceptable:
		return fault.New(fault.Invalid, "not_acceptable", "this is answered in application/json only")
	case status == http.StatusUnsupportedMediaType:
		return fault.New(fault.Invalid, "media_type_unsupported", "the body has to be JSON").WithHint("send Content-Type: application/json")
	}
	f := fault.New(fault.Invalid, "request_invalid", "%s", message)
	if status == http.StatusBadRequest {
		f.Code = "json_invalid"
	}
	type mistake struct {
		Location string `json:"location"`
		Message  string `json:"message"`
	}
	var mistakes []mistake
	var words []string
	for _, err := range errs {
		var detail huma.ErrorDetailer
		m := mistake{Message: err.Error()}
		if errors.As(err, &detail) {
			m = mistake{detail.ErrorDetail().Location, detail.ErrorDetail().Message}
		}
		mistakes = append(mistakes, m)
		words = append(words, strings.TrimSpace(m.Location+": "+m.Message))
	}
	if len(mistakes) > 0 {
		f.Message = strings.Join(words, "; ")
		f.With("errors", mistakes)
	}
	return f.WithHint("GET /docs shows what each call takes")
}

// writeProblem answers a request of echo's with an error.
func (s *Service) writeProblem(c echo.Context, err error) {
	if c.Response().Committed {
		return
	}
	p := problemOf(c.Request().Context(), s.log, echoFault(c, err))
	p.headers(c.Response().Header().Set)
	body, err := json.Marshal(p)
	if err != nil {
		body = []byte(`{"status":500,"code":"internal"}`)
	}
	if c.Request().Method == http.MethodHead {
		body = nil
	}
	// Nobody is left to tell when this fails: the client is gone.
	_ = c.Blob(p.Status, problemType, append(body, '\n'))
}

// echoFault gives echo's own errors a code.
func echoFault(c echo.Context, err error) error {
	var e *echo.HTTPError
	if !errors.As(err, &e) || fault.As(err) != nil {
		return err
	}
	switch e.Code {
	case http.StatusNotFound:
		return fault.New(fault.NotFound, "route_not_found", "there is no %s", c.Request().URL.Path).WithHint("GET /docs shows what there is")
	case http.StatusMethodNotAllowed:
		return fault.New(fault.Invalid, "method_not_allowed", "%s cannot be used with %s", c.Request().Method, c.Request().URL.Path).
			WithHint("use one of %s", c.Response().Header().Get(echo.HeaderAllow))
	case http.StatusRequestEntityTooLarge:
		return fault.New(fault.TooLarge, "body_too_large", "the body is too large")
	case http.StatusUnsupportedMediaType:
		return fault.New(fault.Invalid, "media_type_unsupported", "%v", e.Message)
	}
	if e.Code < 500 {
		return fault.New(fault.Invalid, "request_invalid", "%v", e.Message).Because(err)
	}
	return err
}
