package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	swaggerfiles "github.com/swaggo/files/v2"
)

// readyLimit is how long the check of readiness may take.
const readyLimit = 3 * time.Second

// docsPolicy lets Swagger UI run: it sets styles inline, and shows icons as data.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; " +
	"frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

// docsPage and docsScript take the place of the ones in swaggo/files, which load another description and inline nothing of ours.
const (
	docsPage = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>TinyDevCRM API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" type="image/png" href="/docs/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
`
	docsScript = `SwaggerUIBundle({url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true, validatorUrl: null,
  persistAuthorization: false, defaultModelsExpandDepth: 0});
`
)

// docsFiles are the only ones served of swaggo/files: no source maps, no redirects.
var docsFiles = map[string]string{
	"swagger-ui.css": "text/css; charset=utf-8", "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
	"favicon-32x32.png": "image/png", "favicon-16x16.png": "image/png",
}

func (s *Service) systemRoutes() error {
	var err error
	if s.openapi, err = json.MarshalIndent(s.huma.OpenAPI(), "", "  "); err != nil {
		return fmt.Errorf("describe the API: %w", err)
	}
	e := s.Echo
	e.GET("/healthz", func(c echo.Context) error { return c.JSON(http.StatusOK, map[string]string{"status": "up"}) })
	e.GET("/readyz", s.readiness)
	e.GET("/metrics", echo.WrapHandler(promhttp.HandlerFor(s.metrics.Registry, promhttp.HandlerOpts{})))
	e.GET("/openapi.json", func(c echo.Context) error { return c.Blob(http.StatusOK, "application/openapi+json", s.openapi) })
	e.GET("/docs", s.docs)
	e.GET("/docs/:file", s.docsFile)
	return nil
}

// readiness answers GET /readyz: 200 when the server can work, with what the doctor said last, whatever that is; 503 with the reason.
func (s *Service) readiness(c echo.Context) error {
	ctx, cancel := context.WithTimeout(c.Request().Context(), readyLimit)
	defer cancel()
	if err := s.ready(ctx); err != nil {
		return err
	}
	answer := struct {
		Status string          `json:"status"`
		Doctor json.RawMessage `json:"doctor,omitempty"`
	}{Status: "ready"}
	if s.health != nil {
		answer.Doctor = s.health()
	}
	return c.JSON(http.StatusOK, answer)
}

func (s *Service) docs(c echo.Context) error {
	c.Response().Header().Set("Content-Security-Policy", docsPolicy)
	return c.HTML(http.StatusOK, docsPage)
}

func (s *Service) docsFile(c echo.Context) error {
	name := path.Base(c.Param("file"))
	if name == "start.js" {
		return c.Blob(http.StatusOK, "text/javascript; charset=utf-8", []byte(docsScript))
	}
	contentType, ok := docsFiles[name]
	if !ok {
		return echo.ErrNotFound
	}
	file, err := fs.ReadFile(swaggerfiles.FS, name)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	c.Response().Header().Set("Cache-Control", "public, max-age=86400")
	return c.Blob(http.StatusOK, contentType, file)
}
