package api_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/api"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// stream is an open stream of events.
type stream struct {
	t      testing.TB
	resp   *http.Response
	lines  *bufio.Scanner
	cancel context.CancelFunc
}

func (h *harness) stream(role, query string, edits ...func(*http.Request)) *stream {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	req, err := http.NewRequestWithContext(ctx, "GET", h.url+"/v1/events/stream"+query, nil)
	check(h.t, err)
	req.Header.Set("Authorization", "Bearer "+h.tokens[role])
	for _, edit := range edits {
		edit(req)
	}
	resp, err := http.DefaultClient.Do(req)
	check(h.t, err)
	s := &stream{h.t, resp, bufio.NewScanner(resp.Body), cancel}
	h.t.Cleanup(s.close)
	return s
}

func (s *stream) close() {
	s.cancel()
	s.resp.Body.Close()
}

// frame gives the fields of the next frame; nil when the stream has ended.
func (s *stream) frame() map[string]string {
	s.t.Helper()
	fields := map[string]string{}
	for s.lines.Scan() {
		if s.lines.Text() == "" {
			return fields
		}
		name, value, _ := strings.Cut(s.lines.Text(), ":")
		fields[name] = strings.TrimPrefix(value, " ")
	}
	return nil
}

// event gives the next frame that has data.
func (s *stream) event() map[string]string {
	s.t.Helper()
	for {
		f := s.frame()
		if f == nil {
			s.t.Fatalf("the stream ended: %v", s.lines.Err())
		}
		if f["data"] != "" {
			return f
		}
	}
}

// happen makes a table, which is an event.
func (h *harness) happen(role, table string) {
	h.t.Helper()
	if got := h.call(role, "POST", "/v1/tables", fmt.Sprintf(`{"name":%q,"columns":[{"name":"a","type":"text"}]}`, table)); got.status != 201 {
		h.t.Fatal(got.body)
	}
}

func TestStreamResumes(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.happen(pgtest.Ann, "before")
	pgtest.Eventually(t, 10*time.Second, "the first event is placed", func() bool { return h.relay.Head() > 0 })

	s := h.stream(pgtest.Ann, "?type=table.created")
	if s.resp.Header.Get("Content-Type") != "text/event-stream; charset=utf-8" {
		t.Errorf("%v", s.resp.Header)
	}
	first := s.frame()
	if first["retry"] != "2000" || first["id"] != strconv.FormatInt(h.relay.Head(), 10) || first["data"] != "" {
		t.Errorf("the stream begins with %v", first)
	}
	h.happen(pgtest.Bob, "hidden")
	h.happen(pgtest.Ann, "one")
	got := s.event()
	if got["event"] != "tinydev.table.created" || !strings.Contains(got["data"], `"subject": "\"Ann\".one"`) || !strings.Contains(got["data"], `"id": "`+got["id"]+`"`) {
		t.Errorf("got %v", got)
	}
	s.close()

	h.happen(pgtest.Ann, "two")
	h.happen(pgtest.Ann, "three")
	again := h.stream(pgtest.Ann, "?type=table.created&after=0", header("Last-Event-ID", got["id"])) // the header wins
	for _, want := range []string{"two", "three"} {
		if e := again.event(); !strings.Contains(e["data"], `\"Ann\".`+want) {
			t.Errorf("not %s: %v", want, e)
		}
	}
	// A client that lost the stream before its first event resumes at its start.
	h.happen(pgtest.Ann, "four")
	if e := h.stream(pgtest.Ann, "?subject=*four&subject=*none", header("Last-Event-ID", first["id"])).event(); !strings.Contains(e["data"], "four") {
		t.Errorf("not four: %v", e)
	}
	if e := h.stream(pgtest.Ann, "?after=0").event(); !strings.Contains(e["data"], "before") {
		t.Errorf("the beginning is not the first event: %v", e)
	}
	bad := h.call(pgtest.Ann, "GET", "/v1/events/stream", "", header("Last-Event-ID", "x"))
	if bad.status != 422 || bad.problem(t).Code != "position_invalid" {
		t.Errorf("%d %s", bad.status, bad.body)
	}
}

func TestManyStreams(t *testing.T) {
	t.Parallel()
	h := start(t)
	const n = 100
	var all []*stream
	for range n {
		all = append(all, h.stream(pgtest.Ann, ""))
	}
	pgtest.Eventually(t, 10*time.Second, "all have subscribed", func() bool { return h.relay.Subscribers() == n })
	for i := range 5 {
		h.happen(pgtest.Ann, fmt.Sprintf("t%d", i))
	}
	for _, s := range all {
		for i := range 5 {
			if e := s.event(); !strings.Contains(e["data"], fmt.Sprintf(`.t%d"`, i)) {
				t.Fatalf("not event %d: %v", i, e)
			}
		}
	}
	for _, s := range all {
		s.close()
	}
	pgtest.Eventually(t, 10*time.Second, "all have left", func() bool { return h.relay.Subscribers() == 0 })
}

func TestStuckStreamIsCut(t *testing.T) {
	t.Parallel()
	h := start(t, func(o *api.Options) { o.StallLimit = time.Second })
	if _, err := h.db.Superuser().Exec(context.Background(), `insert into tinydev_impl.inbox (type, subject, workspace, actor, data)
		select 'table.loaded', '"Ann".big', 'Ann', 'Ann', jsonb_build_object('filling', repeat('x', 20000)) from generate_series(1, 2000)`); err != nil {
		t.Fatal(err)
	}
	pgtest.Eventually(t, 20*time.Second, "the events are placed", func() bool { return h.relay.Head() >= 2000 })
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	check(t, err)
	defer conn.Close()
	check(t, conn.(*net.TCPConn).SetReadBuffer(4096))
	_, err = fmt.Fprintf(conn, "GET /v1/events/stream?after=0 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", h.tokens[pgtest.Ann])
	check(t, err)
	pgtest.Eventually(t, 10*time.Second, "the client has subscribed", func() bool { return h.relay.Subscribers() == 1 })
	pgtest.Eventually(t, 20*time.Second, "the client, which never reads, is cut", func() bool { return h.relay.Subscribers() == 0 })
}

func TestStalledUploadIsCut(t *testing.T) {
	t.Parallel()
	h := start(t, func(o *api.Options) { o.StallLimit = 500 * time.Millisecond })
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	check(t, err)
	defer conn.Close()
	check(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	_, err = fmt.Fprintf(conn, "POST /v1/uploads HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 100000\r\n\r\n"+
		"--b\r\nContent-Disposition: form-data; name=\"table\"\r\n\r\nslow\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\na\n1\n", h.tokens[pgtest.Ann])
	check(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	check(t, err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusRequestTimeout {
		t.Errorf("answered %s", resp.Status)
	}
	if got := h.call(pgtest.Ann, "GET", "/v1/tables/slow", ""); got.status != 404 {
		t.Errorf("something is left: %s", got.body)
	}
}

// A query that takes longer than the limit of a read must not be ended by it: the body was read long before.
func TestSlowAnswerIsNoStall(t *testing.T) {
	t.Parallel()
	h := start(t, func(o *api.Options) { o.StallLimit = 300 * time.Millisecond })
	if got := h.call(pgtest.Ann, "POST", "/v1/queries/preview", `{"query":"select pg_sleep(1), 7 as x"}`); got.status != 200 || !strings.Contains(got.body, `"7"`) {
		t.Errorf("%d %s", got.status, got.body)
	}
}
