// Package client calls the HTTP API of a tinydev server from Go: typed calls, streamed uploads, and an event stream that
// reconnects by itself. The command line and the integration tests use it.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
)

// Client calls one server. Its methods may be used by several goroutines.
//
// Errors are *fault.Error with the code, hint and fields of the server's problem document; a server that cannot be reached is
// unavailable server_unreachable.
type Client struct {
	locate func() (Endpoint, error)
	http   *http.Client
}

// Endpoint is where a server listens and what it wants to be shown.
type Endpoint struct {
	URL   string // "http://127.0.0.1:8484"
	Token string
}

// New makes a Client of the server at url. locate is asked before each call and each reconnection, so that it may follow a server
// that came back on another port.
func New(locate func() (Endpoint, error)) *Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	dialer := net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return patientConn{conn}, nil
	}
	return &Client{locate: locate, http: &http.Client{Transport: transport}}
}

// patientConn is a connection whose failed writes take a moment. A server that refuses an upload answers and closes while we are
// still sending; net/http gives up at the first failed write, although the answer is about to be read.
type patientConn struct{ net.Conn }

func (c patientConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err != nil {
		time.Sleep(250 * time.Millisecond)
	}
	return n, err
}

// request is one call.
type request struct {
	method string
	path   string
	query  url.Values
	body   io.Reader
	header http.Header
}

// open sends a request and gives the response when it is a success; the caller closes its body.
func (c *Client) open(ctx context.Context, r request) (*http.Response, error) {
	at, err := c.locate()
	if err != nil {
		return nil, err
	}
	target := strings.TrimRight(at.URL, "/") + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, r.body)
	if err != nil {
		return nil, fault.New(fault.Invalid, "url_invalid", "%s is not the address of a server", at.URL).
			WithHint("write http://127.0.0.1:8484, in TINYDEV_URL or --url").Because(err)
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	if at.Token != "" {
		req.Header.Set("Authorization", "Bearer "+at.Token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, unreachable(ctx, at.URL, err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, problem(resp)
}

func unreachable(ctx context.Context, url string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("call %s: %w", url, ctx.Err())
	}
	// What a body's own reader says comes first: it is the cause.
	if f := fault.As(err); f != nil {
		return f
	}
	return fault.New(fault.Unavailable, "server_unreachable", "no server answers at %s", url).
		WithHint("start one with: make run").Because(err)
}

// problem reads an RFC 9457 document, or makes the best of an answer that is none.
func problem(resp *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20)) // what was read is all there is to show
	var doc struct {
		Title  string         `json:"title"`
		Code   string         `json:"code"`
		Detail string         `json:"detail"`
		Hint   string         `json:"hint"`
		Fields map[string]any `json:"fields"`
		Errors []struct {
			Message  string `json:"message"`
			Location string `json:"location"`
		} `json:"errors"`
	}
	e := &fault.Error{Kind: kindOfStatus(resp.StatusCode), Code: "http_" + fmt.Sprint(resp.StatusCode)}
	if json.Unmarshal(body, &doc) != nil || doc.Title == "" && doc.Detail == "" {
		e.Message = fmt.Sprintf("%s answered %s", resp.Request.URL.Host, resp.Status)
		if text := strings.TrimSpace(string(body)); text != "" && len(text) < 300 {
			e.Message += ": " + text
		}
		return e
	}
	e.Message, e.Hint, e.Fields = doc.Detail, doc.Hint, doc.Fields
	if doc.Code != "" {
		e.Code = doc.Code
	}
	if e.Message == "" {
		e.Message = doc.Title
	}
	for _, detail := range doc.Errors {
		e.Message += "; " + strings.TrimSpace(strings.TrimPrefix(detail.Location, "body.")+" "+detail.Message)
	}
	return e
}

func kindOfStatus(status int) fault.Kind {
	kind := fault.KindOfStatus(status)
	switch {
	case kind != fault.Internal:
		return kind
	case status == http.StatusBadGateway, status == http.StatusGatewayTimeout, status == http.StatusTooManyRequests:
		return fault.Unavailable
	case status >= 400 && status < 500:
		return fault.Invalid
	}
	return kind
}

// call sends a JSON body (nil for none) and decodes the answer into T.
func call[T any](ctx context.Context, c *Client, method, path string, query url.Values, body any) (T, error) {
	var answer T
	r := request{method: method, path: path, query: query, header: http.Header{"Accept": {"application/json"}}}
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return answer, fmt.Errorf("encode the request: %w", err)
		}
		r.body = bytes.NewReader(text)
		r.header.Set("Content-Type", "application/json")
	}
	resp, err := c.open(ctx, r)
	if err != nil {
		return answer, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNoContent {
		return answer, nil
	}
	return answer, decode(resp.Body, &answer)
}

func decode(body io.Reader, answer any) error {
	if err := json.NewDecoder(body).Decode(answer); err != nil && !errors.Is(err, io.EOF) {
		return fault.New(fault.Internal, "answer_unreadable", "the server's answer cannot be read: %v", err).
			WithHint("is it a tinydev server, and of this version?").Because(err)
	}
	return nil
}

// change is call for what changes something: a dry run answers with the SQL instead.
func change[T any](ctx context.Context, c *Client, method, path string, query url.Values, body any, dryRun bool) (control.Change[T], error) {
	var made control.Change[T]
	if !dryRun {
		var err error
		made.Made, err = call[T](ctx, c, method, path, query, body)
		return made, err
	}
	if query == nil {
		query = url.Values{}
	}
	query.Set("dry_run", "true")
	plan, err := call[dryRunAnswer](ctx, c, method, path, query, body)
	made.SQL = plan.SQL
	return made, err
}

// dryRunAnswer is what a changing call answers to ?dry_run=true.
type dryRunAnswer struct {
	SQL []string `json:"sql"`
}

// segment writes a name as one segment of a path.
func segment(name string) string { return url.PathEscape(name) }
