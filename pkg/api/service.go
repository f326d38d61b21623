// Package api answers the HTTP API: routes, problem+json, OpenAPI, server-sent events, sign-on and health.
//
// A handler decodes, makes one call of pkg/control as the request's role, and encodes; writeProblem and huma's hook are the only
// places that write an error.
package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"
	"github.com/labstack/echo/v4"

	"github.com/tinydevcrm/tinydevcrm/pkg/auth"
	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/deliver"
	"github.com/tinydevcrm/tinydevcrm/pkg/ingest"
	"github.com/tinydevcrm/tinydevcrm/pkg/observe"
	"github.com/tinydevcrm/tinydevcrm/pkg/relay"
)

// Options are what the API needs; all of them.
type Options struct {
	Control   *control.Control
	Loader    *ingest.Loader
	Relay     *relay.Relay
	Deliverer *deliver.Deliverer
	Auth      *auth.Auth
	Metrics   *observe.Metrics
	Logger    *slog.Logger
	Version   string
	Listen    string   // the address listened on
	Hosts     []string // further names under which the server may be addressed
	// MaxCellBytes limits one cell of an upload; 0 is the default.
	MaxCellBytes int
	// StallLimit is how long one read or write may wait for a client; 0 is 30 s.
	StallLimit time.Duration
	// RecheckEvery is how often it is asked of an open stream whether its token is still good; 0 is 25 s.
	RecheckEvery time.Duration
	// HeartbeatEvery is how often a stream tells that it lives and where the log is; 0 is 15 s.
	HeartbeatEvery time.Duration
	// MaxStreams limits the open streams, and MaxStreamsPerToken those of one token or page session; 0 is 20,000 and 100.
	MaxStreams, MaxStreamsPerToken int
	// TestWait is how long a test of a subscription waits for its first attempt; 0 is 35 s.
	TestWait time.Duration
	// Ready says why the server is not ready; nil when it is.
	Ready func(context.Context) error
	// Health is what the doctor said last, for /readyz; nil, or a nil answer, where it is not known.
	Health func() json.RawMessage
	// Canary tries whether pg_cron starts jobs, before the doctor is asked; nil where there is no way.
	Canary func(context.Context)
}

// Service is the API.
type Service struct {
	// Echo is the router; pages are mounted on it too. It is the handler of the HTTP server.
	Echo *echo.Echo

	control   *control.Control
	loader    *ingest.Loader
	relay     *relay.Relay
	deliverer *deliver.Deliverer
	auth      *auth.Auth
	metrics   *observe.Metrics
	log       *slog.Logger
	hosts     map[string]struct{}
	cell      int
	stall     time.Duration
	testWait  time.Duration
	ready     func(context.Context) error
	health    func() json.RawMessage
	canary    func(context.Context)
	streams   *streams
	huma      huma.API
	openapi   []byte
}

// New makes the API with all its routes.
func New(o Options) (*Service, error) {
	s := &Service{Echo: echo.New(), control: o.Control, loader: o.Loader, relay: o.Relay, deliverer: o.Deliverer, auth: o.Auth, metrics: o.Metrics, log: o.Logger,
		hosts: knownHosts(o.Listen, o.Hosts), cell: o.MaxCellBytes, ready: o.Ready, health: o.Health, canary: o.Canary, stall: o.StallLimit, testWait: cmp.Or(o.TestWait, defaultTestWait), streams: newStreams(o)}
	if s.stall == 0 {
		s.stall = defaultStall
	}
	e := s.Echo
	e.HideBanner, e.HidePort = true, true
	e.IPExtractor = echo.ExtractIPDirect()
	e.HTTPErrorHandler = func(err error, c echo.Context) { s.writeProblem(c, err) }
	e.Pre(s.observed, s.secured, s.paced)
	e.Use(s.sameOrigin, unescaped)

	cfg := huma.DefaultConfig("TinyDevCRM", o.Version)
	cfg.Info.Description = "From a file to an event: tables, materialized views, schedules in pg_cron, and what happened. " +
		"Every changing call takes ?dry_run=true and then answers with the SQL that it would run. " +
		"A name is view (in your workspace) or workspace.view, written as in SQL."
	cfg.CreateHooks = nil // they add $schema to bodies
	cfg.OpenAPIPath, cfg.DocsPath, cfg.SchemasPath = "", "", ""
	cfg.RejectUnknownQueryParameters = true // a misspelt dry_run must not change anything
	cfg.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	cfg.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer", Description: "tinydev env prints it, tinydev token create makes others. " +
		"A call names the scope that a token needs to have, if it has any: views lets in all calls of the tag views, views:read those that only read. " +
		"A scope that lets in SQL, such as views, is as good as the user's psql; subscriptions lets out all that the user may read."}}
	cfg.Security = []map[string][]string{{"token": {}}}
	s.huma = humaecho.New(e, cfg)
	s.huma.UseMiddleware(s.authenticate)

	s.uploadRoutes()
	s.relationRoutes()
	s.jobRoutes()
	s.eventRoutes()
	s.subscriptionRoutes()
	s.triggerRoutes()
	s.lineageRoutes()
	s.freshnessRoutes()
	s.auditRoutes()
	s.doctorRoutes()
	s.sharingRoutes()
	s.userRoutes()
	s.identityRoutes()
	s.tokenRoutes()
	s.describeAccess()
	if err := s.describeWebhooks(); err != nil {
		return nil, err
	}
	if err := s.systemRoutes(); err != nil {
		return nil, err
	}
	s.signInRoutes()
	return s, nil
}

// schemaName names a type in the OpenAPI document; a column of a file is another thing than one of a table.
func schemaName(t reflect.Type, hint string) string {
	if t == reflect.TypeFor[ingest.Column]() {
		return "FileColumn"
	}
	return huma.DefaultSchemaNamer(t, hint)
}

// ServeHTTP implements http.Handler.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.Echo.ServeHTTP(w, r) }

// user is who makes the request.
func (s *Service) user(ctx context.Context) *control.User { return s.control.As(auth.RoleFrom(ctx)) }

// unwrap gives the HTTP request and response behind a huma context.
func unwrap(ctx huma.Context) (*http.Request, *echo.Response) {
	c := humaecho.Unwrap(ctx)
	return c.Request(), c.Response()
}

// Limits of JSON bodies. The pace of a body is watched by paced; a deadline of huma's would end the request's context.
const maxJSONBytes = 1 << 20

// operation fills in what all operations share.
func operation(method, path, id, tag, summary string, errors ...int) huma.Operation {
	return huma.Operation{
		OperationID: id, Method: method, Path: path, Summary: summary, Tags: []string{tag}, Errors: errors,
		BodyReadTimeout: -1, MaxBodyBytes: maxJSONBytes,
	}
}

// body wraps what is answered.
type body[T any] struct{ Body T }

// get registers a call that reads, a GET or a POST.
func get[I, T any](s *Service, op huma.Operation, read func(ctx context.Context, user *control.User, in *I) (T, error)) {
	huma.Register(s.huma, reads(op), func(ctx context.Context, in *I) (*body[T], error) {
		answer, err := read(ctx, s.user(ctx), in)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", op.OperationID, err)
		}
		return &body[T]{answer}, nil
	})
}

// The parameters that inputs share are exported, as huma sets no field of an embedded type that is not.

// DryRunParam is the parameter of every changing call.
type DryRunParam struct {
	DryRun bool `query:"dry_run" doc:"change nothing and answer with the SQL"`
}

// plan is the answer to a dry run.
type plan struct {
	SQL []string `json:"sql" doc:"the statements that the call would run"`
}

// changed is the answer to a changing call: status and what was made, or 200 and the plan.
type changed struct {
	Status int
	Body   any
}

// change registers a call that changes something and answers with status, or with 200 and the SQL for a dry run.
func change[I, T any](s *Service, status int, op huma.Operation, act func(ctx context.Context, user *control.User, in *I) (control.Change[T], error)) {
	op.DefaultStatus = status
	op.Responses = s.answers(status, reflect.TypeFor[T]())
	huma.Register(s.huma, op, func(ctx context.Context, in *I) (*changed, error) {
		c, err := act(ctx, s.user(ctx), in)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", op.OperationID, err)
		}
		if c.SQL != nil {
			return &changed{http.StatusOK, plan{c.SQL}}, nil
		}
		return &changed{status, c.Made}, nil
	})
}

// answers describes what a changing call gives.
func (s *Service) answers(status int, made reflect.Type) map[string]*huma.Response {
	registry := s.huma.OpenAPI().Components.Schemas
	schema := registry.Schema(made, true, "")
	sql := registry.Schema(reflect.TypeFor[plan](), true, "")
	if status == http.StatusOK {
		schema = &huma.Schema{OneOf: []*huma.Schema{schema, sql}, Description: "with dry_run the SQL"}
	}
	answer := func(description string, schema *huma.Schema) *huma.Response {
		return &huma.Response{Description: description, Content: map[string]*huma.MediaType{"application/json": {Schema: schema}}}
	}
	all := map[string]*huma.Response{strconv.Itoa(status): answer(http.StatusText(status), schema)}
	if status != http.StatusOK {
		all["200"] = answer("the SQL of a dry run", sql)
	}
	return all
}

// NameParam is a table or view in the path.
type NameParam struct {
	Name string `path:"name" doc:"name, or workspace.name" maxLength:"300"`
}

// LimitParam is what lists take.
type LimitParam struct {
	Limit int `query:"limit" default:"100" minimum:"1" maximum:"1000" doc:"how many at most"`
}
