package api_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
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

// number reads a field that is one.
func number(t testing.TB, field string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(field, 10, 64)
	if err != nil {
		t.Fatalf("%q is no number", field)
	}
	return n
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
	if retry := number(t, first["retry"]); retry < 1000 || retry > 5000 || first["id"] != strconv.FormatInt(h.relay.Head(), 10) || first["data"] != "" {
		t.Errorf("the stream begins with %v", first)
	}
	h.happen(pgtest.Bob, "hidden")
	h.happen(pgtest.Ann, "one")
	got := s.event()
	if got["event"] != "tinydev.table.created" || !strings.Contains(got["data"], `"subject":"\"Ann\".one"`) || !strings.Contains(got["data"], `"id":"`+got["id"]+`"`) {
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

// TestHeartbeat holds that a stream whose filter lets nothing through is told how far it is, and that what it is told is never beyond an
// event that comes later.
func TestHeartbeat(t *testing.T) {
	t.Parallel()
	h := start(t, func(o *api.Options) { o.HeartbeatEvery = time.Millisecond })
	ctx := context.Background()
	const n = 5000
	idle, all := h.stream(pgtest.Ann, "?after=0&subject=none.*"), h.stream(pgtest.Ann, "?after=0")
	some := h.stream(pgtest.Ann, "?after=0&type=table.loaded")
	conn := h.db.Superuser()
	var writing sync.WaitGroup
	defer writing.Wait()
	writing.Go(func() {
		for i := range 50 { // so that they come beside the heartbeats
			_, err := conn.Exec(ctx, `insert into tinydev_impl.inbox (type, subject, workspace, actor)
				select case when i % 10 = 0 then 'table.loaded' else 'table.shared' end, '"Ann".t', 'Ann', 'Ann' from generate_series($1::int + 1, $1 + $2) i`, i*n/50, n/50)
			if err != nil {
				t.Error(err)
			}
		}
	})
	for name, stream := range map[string]struct {
		*stream
		events int
	}{"idle": {idle, 0}, "all": {all, n}, "some": {some, n / 10}} {
		last, events := int64(0), 0
		for last < n {
			f := stream.frame()
			if f == nil {
				t.Fatalf("%s: the stream ended: %v", name, stream.lines.Err())
			}
			id := number(t, f["id"])
			switch {
			case f["data"] != "" && id <= last && events > 0:
				t.Fatalf("%s: event %d came after %d was told", name, id, last)
			case f["data"] != "":
				events++
			case f[""] != "":
				if head := number(t, strings.TrimPrefix(f[""], "head ")); head < id {
					t.Fatalf("%s: the head %d is before %d", name, head, id)
				}
			}
			last = max(last, id)
		}
		if events != stream.events {
			t.Errorf("%s: %d events came, want %d", name, events, stream.events)
		}
	}
}

// TestStreamResets holds that a stream says when it cannot begin where it was asked to.
func TestStreamResets(t *testing.T) {
	t.Parallel()
	h := start(t)
	for i := range 5 {
		h.happen(pgtest.Ann, fmt.Sprintf("t%d", i))
	}
	pgtest.Eventually(t, 10*time.Second, "the events are placed", func() bool { return h.relay.Head() == 5 })
	_, err := h.db.Superuser().Exec(context.Background(), `with gone as (delete from tinydev_impl.event where position < 4)
		update tinydev_impl.event_partition set position_from = 4 where position_from = 1`)
	check(t, err)

	for _, s := range []*stream{h.stream(pgtest.Ann, "?after=1"), h.stream(pgtest.Ann, "", header("Last-Event-ID", "1"))} {
		if f := s.frame(); f["event"] != "reset" || f["data"] != `{"oldest":4,"head":5,"asked":1}` || f["id"] != "3" || f["retry"] == "" {
			t.Errorf("the stream begins with %v", f)
		}
		for _, want := range []string{"4", "5"} {
			if f := s.event(); f["id"] != want {
				t.Errorf("%s came instead of %s", f["id"], want)
			}
		}
	}
	if f := h.stream(pgtest.Ann, "?after=3").frame(); f["event"] != "" || f["id"] != "3" {
		t.Errorf("nothing is missing after 3, and the stream begins with %v", f)
	}
	for after, want := range map[string]string{"1": `"reset":true`, "3": `"next":5,"head":5}`} {
		if got := h.call(pgtest.Ann, "GET", "/v1/events?after="+after, ""); !strings.Contains(got.body, want) || !strings.Contains(got.body, `"id":"4"`) {
			t.Errorf("after %s: %s", after, got.body)
		}
	}

	// Beyond the log: refused to who wrote it, while a client that goes on by itself is told, and goes on.
	if got := h.call(pgtest.Ann, "GET", "/v1/events/stream?after=9", ""); got.status != 409 || got.problem(t).Code != "position_ahead" {
		t.Errorf("%d %s", got.status, got.body)
	}
	s := h.stream(pgtest.Ann, "", header("Last-Event-ID", "9"))
	if f := s.frame(); f["event"] != "reset" || f["data"] != `{"oldest":4,"head":5,"asked":9}` || f["id"] != "5" {
		t.Errorf("the stream begins with %v", f)
	}
	h.happen(pgtest.Ann, "later")
	if f := s.event(); f["id"] != "6" {
		t.Errorf("after the reset came %v", f)
	}
}

// TestRetries holds that clients are told to come back at different times, and later when the server stops.
func TestRetries(t *testing.T) {
	t.Parallel()
	h := start(t)
	const n = 20
	told, streams := map[string]bool{}, []*stream{}
	for range n {
		s := h.stream(pgtest.Ann, "")
		streams = append(streams, s)
		retry := s.frame()["retry"]
		if ms := number(t, retry); ms < 1000 || ms > 5000 {
			t.Errorf("told to wait %s ms", retry)
		}
		told[retry] = true
	}
	h.stop()
	stopping := map[string]bool{}
	for _, s := range streams {
		f := s.frame()
		if ms := number(t, f["retry"]); ms < 3000 || ms > 3000+4000+2*n || !strings.HasPrefix(f[""], "ended stream_ended: ") {
			t.Errorf("the stream ended with %v", f)
		}
		stopping[f["retry"]] = true
	}
	if len(told) < n/2 || len(stopping) < n/2 {
		t.Errorf("all come back at the same times: %v, and then %v", told, stopping)
	}
}

// TestStreamLimits holds that the limit of streams is of each token and page session, and that there is one for the server.
func TestStreamLimits(t *testing.T) {
	t.Parallel()
	h := start(t, func(o *api.Options) { o.MaxStreamsPerToken, o.MaxStreams = 2, 5 })
	h.make(pgtest.Ann, `{"name":"second"}`)
	opened := h.call("", "GET", "/?code="+h.auth.NewCode(pgtest.Ann), "")
	cookie := strings.Split(opened.header.Get("Set-Cookie"), ";")[0]
	page := func(r *http.Request) {
		r.Header.Del("Authorization")
		r.Header.Set("Cookie", cookie)
	}
	refused := func(says, role string, edits ...func(*http.Request)) {
		t.Helper()
		got := h.call(role, "GET", "/v1/events/stream", "", edits...)
		if got.status != 429 || got.problem(t).Code != "streams_limit" || got.header.Get("Retry-After") == "" || !strings.Contains(got.body, says) {
			t.Errorf("%d %s %v", got.status, got.body, got.header)
		}
	}
	first := h.stream(pgtest.Ann, "")
	h.stream(pgtest.Ann, "")
	refused("this token follows 2 streams", pgtest.Ann)
	h.stream("second", "")
	h.stream(pgtest.Ann, "", page)
	h.stream(pgtest.Ann, "", page)
	refused("5 streams of events are open", "second")
	first.close()
	pgtest.Eventually(t, 10*time.Second, "a stream has ended", func() bool { return h.relay.Subscribers() == 4 })
	refused("this token follows 2 streams", pgtest.Ann, page)
	pgtest.Eventually(t, 10*time.Second, "there is room again", func() bool {
		s := h.stream("second", "")
		defer s.close()
		return s.resp.StatusCode == 200
	})
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
