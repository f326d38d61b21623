package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/tinydevcrm/tinydevcrm/pkg/api"
	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/deliver"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// target is a receiver of webhooks whose status a test decides; 0 never answers.
type target struct {
	*httptest.Server
	status atomic.Int64

	mu     sync.Mutex
	header http.Header
	body   []byte
}

func newTarget(t *testing.T) *target {
	tg := &target{}
	tg.status.Store(204)
	ended := make(chan struct{})
	tg.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("the receiver reads: %v", err)
		}
		tg.mu.Lock()
		tg.header, tg.body = r.Header, body
		tg.mu.Unlock()
		status := int(tg.status.Load())
		if status == 0 {
			select {
			case <-r.Context().Done():
			case <-ended:
			}
			return
		}
		w.WriteHeader(status)
		if status != 204 {
			fmt.Fprintf(w, "status %d", status)
		}
	}))
	t.Cleanup(func() {
		close(ended)
		tg.Close()
	})
	return tg
}

// verify holds the last request to a secret, with the official library.
func (tg *target) verify(t *testing.T, secret string) string {
	t.Helper()
	tg.mu.Lock()
	defer tg.mu.Unlock()
	hook, err := standardwebhooks.NewWebhook(secret)
	check(t, err)
	if err := hook.Verify(tg.body, tg.header); err != nil {
		t.Errorf("the signature: %v, %s", err, tg.body)
	}
	return string(tg.body)
}

func decoded[T any](t testing.TB, got answer, status int) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(got.body), &v); err != nil || got.status != status {
		t.Fatalf("%d, not %d: %v %s", got.status, status, err, got.body)
	}
	return v
}

// TestSubscriptionRoutes goes through the routes, each with its faults.
func TestSubscriptionRoutes(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.deliver()
	to := newTarget(t)
	execute(t, h.db.Conn(pgtest.Ann), "create table prices as select 7 as price")
	execute(t, h.db.Conn(pgtest.Bob), "create table private (a int)")
	hook := fmt.Sprintf(`{"name":"hook","kind":"webhook","target":%q,"types":["table.*"],"subjects":["prices"],"condition":"$.rows > 0","attach":"prices","attach_rows":3,"retry_seconds":[3600]}`, to.URL)
	for _, s := range []scenario{
		{does: "none yet", call: "GET /v1/subscriptions", status: 200, has: []string{`{"subscriptions":[],"next":null}`}},
		{does: "dry run", call: "POST /v1/subscriptions?dry_run=true", body: hook, status: 200,
			has: []string{`{"sql":["select tinydev.create_subscription(name => 'hook', kind => 'webhook'`, `attach_rows => 3`}},
		{does: "it made nothing", call: "GET /v1/subscriptions/hook", status: 404, code: "subscription_not_found"},
		{does: "create", call: "POST /v1/subscriptions", body: hook, status: 201, has: []string{`"name":"hook"`, `"owner":"Ann"`, `"types":["tinydev.table.*"]`, `"subjects":["\"Ann\".prices"]`,
			`"condition":"($.\"rows\" > 0)"`, `"attach":"\"Ann\".prices"`, `"secret":"whsec_`, `"active":true`, `"retry_seconds":[3600]`}},
		{does: "create with the defaults", call: "POST /v1/subscriptions", body: `{"name":"all","kind":"command","target":"count"}`, status: 201,
			has: []string{`"types":null`, `"subjects":null`, `"rearm":"each"`, `"timeout_seconds":30`, `"retry_seconds":[5,30,120,600,1800,3600,10800,21600,43200]`, `"pause_after_seconds":43200`}},
		{does: "the name again", call: "POST /v1/subscriptions", body: hook, status: 409, code: "subscription_name_taken"},
		{does: "a bad name", call: "POST /v1/subscriptions", body: `{"name":"A B","kind":"command","target":"count"}`, status: 422, code: "subscription_invalid", has: []string{`"field":"name"`}},
		{does: "no name", call: "POST /v1/subscriptions", body: `{"kind":"command","target":"count"}`, status: 422, code: "request_invalid"},
		{does: "no kind", call: "POST /v1/subscriptions", body: `{"name":"x","target":"count"}`, status: 422, code: "request_invalid"},
		{does: "a kind that is none", call: "POST /v1/subscriptions", body: `{"name":"x","kind":"sms","target":"1"}`, status: 422, code: "subscription_invalid", has: []string{`"field":"kind"`}},
		{does: "a URL that is none", call: "POST /v1/subscriptions", body: `{"name":"x","kind":"webhook","target":"example.org"}`, status: 422, code: "subscription_invalid", has: []string{`"field":"target"`}},
		{does: "an inner network", call: "POST /v1/subscriptions", body: `{"name":"x","kind":"webhook","target":"https://192.168.0.1/"}`, status: 422, code: "target_forbidden", has: []string{"TINYDEV_WEBHOOK_ALLOW"}},
		{does: "a command of another's", call: "POST /v1/subscriptions", body: `{"name":"x","kind":"command","target":"bobs"}`, status: 422, code: "command_unknown"},
		{does: "a bad condition", call: "POST /v1/subscriptions", body: `{"name":"x","kind":"command","target":"count","condition":"rows > 0"}`, status: 422, code: "condition_invalid"},
		{does: "another's rows", call: "POST /v1/subscriptions", body: `{"name":"x","kind":"command","target":"count","attach":"bob.private"}`, status: 403, code: "not_readable"},
		{does: "rows of nothing", call: "POST /v1/subscriptions", body: `{"name":"x","kind":"command","target":"count","attach":"nothing"}`, status: 404, code: "relation_not_found"},
		{does: "a bad secret", call: "POST /v1/subscriptions", body: `{"name":"x","kind":"webhook","target":"https://example.org/","secret":"abc"}`, status: 422, code: "secret_invalid"},
		{does: "a bad template", call: "POST /v1/subscriptions", body: `{"name":"x","kind":"email","target":"ann@example.org","options":{"subject":"{{.Nope}}"}}`, status: 422, code: "template_invalid", has: []string{`"option":"subject"`}},
		{does: "options of another kind", call: "POST /v1/subscriptions", body: `{"name":"x","kind":"command","target":"count","options":{"subject":"x"}}`, status: 422, code: "subscription_invalid", has: []string{`"field":"options"`}},
		{does: "options that are no object", call: "POST /v1/subscriptions", body: `{"name":"x","kind":"command","target":"count","options":7}`, status: 422, code: "subscription_invalid"},
		{does: "a wrong type of JSON", call: "POST /v1/subscriptions", body: `{"name":"x","kind":"command","target":"count","types":"view.*"}`, status: 422, code: "request_invalid"},
		{does: "null among the types", call: "POST /v1/subscriptions", body: `{"name":"x","kind":"command","target":"count","types":[null]}`, status: 422, code: "request_invalid"},
		{does: "a field that is none", call: "POST /v1/subscriptions", body: `{"name":"x","kind":"command","target":"count","owner":"bob"}`, status: 422, code: "request_invalid"},
		{does: "a time-out that is too long", call: "POST /v1/subscriptions", body: `{"name":"x","kind":"command","target":"count","timeout_seconds":301}`, status: 422, code: "subscription_invalid", has: []string{`"field":"timeout_seconds"`}},
		{does: "numbers beyond PostgreSQL's", call: "POST /v1/subscriptions", body: `{"name":"x","kind":"command","target":"count","attach_rows":99999999999}`, status: 422, code: "subscription_invalid", has: []string{`"field":"attach_rows"`}},
		{does: "waits beyond PostgreSQL's", call: "POST /v1/subscriptions", body: `{"name":"x","kind":"command","target":"count","retry_seconds":[-99999999999]}`, status: 422, code: "subscription_invalid", has: []string{`"field":"retry_seconds"`}},
		{does: "NUL in a name", call: "POST /v1/subscriptions", body: `{"name":"a\u0000","kind":"command","target":"count"}`, status: 422},
		{does: "NUL in a template", call: "POST /v1/subscriptions", body: `{"name":"x","kind":"email","target":"ann@example.org","options":{"body":"a\u0000"}}`, status: 422},
		{does: "a name that is too long", call: "GET /v1/subscriptions/" + strings.Repeat("x", 201), status: 422, code: "request_invalid"},
		{does: "an odd name", call: "GET /v1/subscriptions/%22%27;--", status: 404, code: "subscription_not_found"},
		{does: "a name of dots", call: "GET /v1/subscriptions/...", status: 404, code: "subscription_not_found"},
		{does: "keep beyond PostgreSQL's", call: "POST /v1/subscriptions/hook/rotate", body: `{"keep_seconds":99999999999}`, status: 422, code: "secret_invalid"},
		{does: "e-mail while nobody sends any", call: "POST /v1/subscriptions", body: `{"name":"mail","kind":"email","target":"ann@example.org"}`, status: 201, has: []string{`"warnings":["no server sends e-mail`}},
		{does: "nobody", role: "-", call: "POST /v1/subscriptions", body: hook, status: 401, code: "not_signed_in"},

		{does: "list", call: "GET /v1/subscriptions?limit=1", status: 200, has: []string{`{"subscriptions":[{"subscription_id":`, `"name":"hook"`, `"pending":0,"failing":0,"dead":0}],"next":`}},
		{does: "list another's", role: pgtest.Bob, call: "GET /v1/subscriptions", status: 200, has: []string{`"name":"notices"`, `"next":null`}},
		{does: "list as an administrator", role: pgtest.Admin, call: "GET /v1/subscriptions", status: 200, has: []string{`"owner":"Ann","name":"hook"`, `"owner":"bob","name":"notices"`}},
		{does: "a bad limit", call: "GET /v1/subscriptions?limit=0", status: 422, code: "request_invalid"},
		{does: "describe", call: "GET /v1/subscriptions/hook", status: 200, has: []string{`"name":"hook"`, `"server":`, `"behind":0`}},
		{does: "describe another's", role: pgtest.Bob, call: "GET /v1/subscriptions/Ann.hook", status: 404, code: "subscription_not_found"},
		{does: "describe as an administrator", role: pgtest.Admin, call: "GET /v1/subscriptions/Ann.hook", status: 200, has: []string{`"owner":"Ann"`}},
		{does: "describe by the quoted owner", role: pgtest.Admin, call: "GET /v1/subscriptions/%22Ann%22.hook", status: 200, has: []string{`"owner":"Ann"`}},
		{does: "describe one's own by the whole name", call: "GET /v1/subscriptions/Ann.hook", status: 200, has: []string{`"owner":"Ann"`}},

		{does: "alter dryly", call: "PATCH /v1/subscriptions/hook?dry_run=true", body: `{"timeout_seconds":30,"active":false}`, status: 200, has: []string{`tinydev.alter_subscription('hook', timeout_seconds => 30, active => false);`}},
		{does: "alter", call: "PATCH /v1/subscriptions/hook", body: `{"condition":"","types":[],"timeout_seconds":5}`, status: 200, has: []string{`"condition":null`, `"types":null`, `"timeout_seconds":5`, `"attach":"\"Ann\".prices"`}},
		{does: "what is null stays", call: "PATCH /v1/subscriptions/hook", body: `{"subjects":null,"attach":null}`, status: 200, has: []string{`"subjects":["\"Ann\".prices"]`, `"attach":"\"Ann\".prices"`}},
		{does: "alter nothing", call: "PATCH /v1/subscriptions/hook", body: `{}`, status: 200},
		{does: "alter what cannot be", call: "PATCH /v1/subscriptions/hook", body: `{"kind":"email"}`, status: 422, code: "request_invalid"},
		{does: "a bad template later", call: "PATCH /v1/subscriptions/mail", body: `{"options":{"body":"{{"}}`, status: 422, code: "template_invalid"},
		{does: "a good one", call: "PATCH /v1/subscriptions/mail", body: `{"options":{"body":"{{.What}}"},"digest_seconds":60}`, status: 200, has: []string{`"options":{"body":"{{.What}}"}`, `"digest_seconds":60`}},
		{does: "pause", role: pgtest.Admin, call: "PATCH /v1/subscriptions/Ann.hook", body: `{"active":false}`, status: 200, has: []string{`"active":false`, `"pause_reason":"user"`}},
		{does: "test while it is paused", call: "POST /v1/subscriptions/hook/test", status: 409, code: "subscription_paused"},
		{does: "resume", call: "PATCH /v1/subscriptions/hook", body: `{"active":true}`, status: 200, has: []string{`"active":true`, `"pause_reason":null`}},
		{does: "alter another's", role: pgtest.Bob, call: "PATCH /v1/subscriptions/Ann.hook", body: `{"active":false}`, status: 404, code: "subscription_not_found"},
		{does: "a target that is forbidden", call: "PATCH /v1/subscriptions/hook", body: `{"target":"https://10.0.0.1/"}`, status: 422, code: "target_forbidden"},

		{does: "rotate dryly", call: "POST /v1/subscriptions/hook/rotate?dry_run=true", status: 200, has: []string{`{"sql":["select tinydev.rotate_secret('hook');"]}`}},
		{does: "rotate", call: "POST /v1/subscriptions/hook/rotate", status: 200, has: []string{`"name":"hook","secret":"whsec_`, `"old_secret_until":"20`}},
		{does: "rotate to one", call: "POST /v1/subscriptions/hook/rotate", body: `{"secret":"whsec_` + strings.Repeat("A", 32) + `","keep_seconds":0}`, status: 200, has: []string{`"secret":"whsec_AAAA`}},
		{does: "rotate to a bad one", call: "POST /v1/subscriptions/hook/rotate", body: `{"secret":"x"}`, status: 422, code: "secret_invalid"},
		{does: "keep too long", call: "POST /v1/subscriptions/hook/rotate", body: `{"keep_seconds":99999999}`, status: 422, code: "secret_invalid", has: []string{`"field":"keep_seconds"`}},
		{does: "rotate what signs nothing", call: "POST /v1/subscriptions/all/rotate", status: 422, code: "secret_invalid"},
		{does: "rotate another's", role: pgtest.Bob, call: "POST /v1/subscriptions/Ann.hook/rotate", status: 404, code: "subscription_not_found"},

		{does: "no deliveries yet", call: "GET /v1/subscriptions/hook/deliveries", status: 200, has: []string{`{"deliveries":[],"next":null}`}},
		{does: "of a state that is none", call: "GET /v1/subscriptions/hook/deliveries?state=lost", status: 422, code: "request_invalid"},
		{does: "another's", role: pgtest.Bob, call: "GET /v1/subscriptions/Ann.hook/deliveries", status: 404, code: "subscription_not_found"},
		{does: "one that is not there", call: "GET /v1/subscriptions/hook/deliveries/1", status: 404, code: "delivery_not_found"},
		{does: "an id that is none", call: "GET /v1/subscriptions/hook/deliveries/x", status: 422, code: "request_invalid"},
		{does: "redeliver none", call: "POST /v1/subscriptions/hook/deliveries/1/redeliver", status: 404, code: "delivery_not_found"},
		{does: "redeliver dryly", call: "POST /v1/subscriptions/hook/redeliver?dry_run=true", body: `{"from":1,"to":2,"state":"all"}`, status: 200, has: []string{`from_position => 1, to_position => 2, state => 'all'`}},
		{does: "redeliver all that are dead", call: "POST /v1/subscriptions/hook/redeliver", status: 200, has: []string{`"redelivered":0,"more":false,"warnings":[]`}},
		{does: "redeliver what is no state", call: "POST /v1/subscriptions/hook/redeliver", body: `{"state":"pending"}`, status: 422, code: "request_invalid"},
		{does: "redeliver another's", role: pgtest.Bob, call: "POST /v1/subscriptions/Ann.hook/redeliver", status: 404, code: "subscription_not_found"},
		{does: "replay dryly", call: "POST /v1/subscriptions/hook/replay?dry_run=true", body: `{"after":0}`, status: 200, has: []string{`{"sql":["select tinydev.replay('hook', 0);"]}`}},
		{does: "replay from beyond the log", call: "POST /v1/subscriptions/hook/replay", body: `{"after":1000000}`, status: 409, code: "position_ahead", has: []string{`"head":`}},
		{does: "replay from before it", call: "POST /v1/subscriptions/hook/replay", body: `{"after":-1}`, status: 422, code: "position_invalid"},
		{does: "replay from nowhere", call: "POST /v1/subscriptions/hook/replay", body: `{}`, status: 422, code: "request_invalid"},
		{does: "replay another's", role: pgtest.Bob, call: "POST /v1/subscriptions/Ann.hook/replay", body: `{"after":0}`, status: 404, code: "subscription_not_found"},
		{does: "test another's", role: pgtest.Bob, call: "POST /v1/subscriptions/Ann.hook/test", status: 404, code: "subscription_not_found"},
		{does: "test dryly", call: "POST /v1/subscriptions/hook/test?dry_run=true", status: 200, has: []string{`{"sql":["select tinydev.test_subscription('hook');"]}`}},

		{does: "drop another's", role: pgtest.Bob, call: "DELETE /v1/subscriptions/Ann.hook", status: 404, code: "subscription_not_found"},
		{does: "drop dryly", call: "DELETE /v1/subscriptions/all?dry_run=true", status: 200, has: []string{`{"sql":["select tinydev.drop_subscription('all');"]}`}},
		{does: "drop", call: "DELETE /v1/subscriptions/all", status: 200, has: []string{`{"dropped":"all","owner":"Ann"}`}},
		{does: "drop it again", call: "DELETE /v1/subscriptions/all", status: 404, code: "subscription_not_found"},
		{does: "drop as an administrator", role: pgtest.Admin, call: "DELETE /v1/subscriptions/Ann.mail", status: 200, has: []string{`{"dropped":"mail","owner":"Ann"}`}},
	} {
		t.Run(s.does, func(t *testing.T) { h.scenario(t, s) })
	}
	if n := strings.Count(h.log.String(), "whsec_"); n > 0 {
		t.Errorf("the log holds a secret")
	}
}

// TestDeliveryRoutes follows an event through failure, repair and replay.
func TestDeliveryRoutes(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.deliver()
	to := newTarget(t)
	to.status.Store(503)
	execute(t, h.db.Conn(pgtest.Ann), "create table prices as select 7 as price")
	made := decoded[control.Subscription](t, h.call(pgtest.Ann, "POST", "/v1/subscriptions", fmt.Sprintf(`{"name":"hook","kind":"webhook","target":%q,"types":["a.b"],"attach":"prices","retry_seconds":[]}`, to.URL)), 201)
	type page struct {
		Deliveries []control.Delivery
		Next       *int64
	}
	list := func(query string) page {
		return decoded[page](t, h.call(pgtest.Ann, "GET", "/v1/subscriptions/hook/deliveries"+query, ""), 200)
	}
	execute(t, h.db.Conn(pgtest.Ann), `select tinydev.record_event('a.b', null, 'x' || i, jsonb_build_object('n', i)) from generate_series(1, 3) i`)
	pgtest.Eventually(t, 20*time.Second, "three deliveries are dead", func() bool { return len(list("?state=dead").Deliveries) == 3 })
	first := list("?limit=2")
	if len(first.Deliveries) != 2 || first.Next == nil || first.Deliveries[0].DeliveryID <= first.Deliveries[1].DeliveryID || *first.Deliveries[0].StatusCode != 503 || *first.Deliveries[0].Response != "status 503" {
		t.Errorf("%+v", first)
	}
	if second := list(fmt.Sprintf("?limit=2&after=%d", *first.Next)); len(second.Deliveries) != 1 || second.Next != nil || second.Deliveries[0].DeliveryID >= *first.Next {
		t.Errorf("%+v", second)
	}
	if list("?state=delivered").Deliveries == nil || len(list("?state=pending").Deliveries) != 0 {
		t.Error("nothing is delivered or waits")
	}
	id := first.Deliveries[0].DeliveryID
	path := fmt.Sprintf("/v1/subscriptions/hook/deliveries/%d", id)
	detail := decoded[control.DeliveryDetail](t, h.call(pgtest.Ann, "GET", path, ""), 200)
	if len(detail.Attempts) != 1 || detail.State != "dead" || !strings.Contains(string(detail.Event), `"tinydev.a.b"`) || detail.Attempts[0].Delivered {
		t.Errorf("%+v", detail)
	}

	to.status.Store(204)
	if got := decoded[control.Redelivered](t, h.call(pgtest.Ann, "POST", path+"/redeliver", ""), 200); got.Redelivered != 1 {
		t.Errorf("%+v", got)
	}
	pgtest.Eventually(t, 20*time.Second, "it is delivered", func() bool { return len(list("?state=delivered").Deliveries) == 1 })
	if body := to.verify(t, made.Secret); !strings.Contains(body, `"attached":{"relation":"\"Ann\".prices"`) || !strings.Contains(body, `[[7]]`) {
		t.Errorf("sent was %s", body)
	}
	if got := decoded[control.DeliveryDetail](t, h.call(pgtest.Ann, "GET", path, ""), 200); len(got.Attempts) != 2 || !got.Attempts[1].Delivered {
		t.Errorf("%+v", got)
	}
	if got := decoded[control.Redelivered](t, h.call(pgtest.Ann, "POST", "/v1/subscriptions/hook/redeliver", fmt.Sprintf(`{"to":%d}`, id-2)), 200); got.Redelivered != 1 {
		t.Errorf("%+v", got)
	}
	if got := decoded[control.Redelivered](t, h.call(pgtest.Admin, "POST", "/v1/subscriptions/Ann.hook/redeliver", "{}"), 200); got.Redelivered != 1 {
		t.Errorf("%+v", got)
	}
	pgtest.Eventually(t, 20*time.Second, "all are delivered", func() bool { return len(list("?state=delivered").Deliveries) == 3 })
	if got := decoded[control.Replayed](t, h.call(pgtest.Ann, "POST", "/v1/subscriptions/hook/replay", fmt.Sprintf(`{"after":%d}`, id-1)), 200); got.Position != id-1 {
		t.Errorf("%+v", got)
	}
	pgtest.Eventually(t, 20*time.Second, "the last one is sent once more", func() bool {
		return len(decoded[control.DeliveryDetail](t, h.call(pgtest.Ann, "GET", path, ""), 200).Attempts) == 3
	})
	if got := decoded[control.Subscription](t, h.call(pgtest.Ann, "GET", "/v1/subscriptions/hook", ""), 200); got.LastDeliveredAt == nil || got.FailingSince != nil || got.Server == nil {
		t.Errorf("%+v", got)
	}
}

func TestSubscriptionTests(t *testing.T) {
	t.Parallel()
	h := start(t, func(o *api.Options) { o.TestWait = 8 * time.Second })
	to := newTarget(t)
	made := decoded[control.Subscription](t, h.call(pgtest.Ann, "POST", "/v1/subscriptions", fmt.Sprintf(`{"name":"hook","kind":"webhook","target":%q,"types":["never.happens"],"retry_seconds":[1]}`, to.URL)), 201)
	test := func(role, path string) control.TestedSubscription {
		t.Helper()
		return decoded[control.TestedSubscription](t, h.call(role, "POST", "/v1/subscriptions/"+path, ""), 200)
	}
	if got := test(pgtest.Ann, "hook/test"); got.Delivery != nil || len(got.Warnings) != 1 || got.EventID == 0 || got.Name != "hook" || got.Owner != pgtest.Ann {
		t.Errorf("while no server delivers: %+v", got)
	}
	h.deliver()
	pgtest.Eventually(t, 20*time.Second, "the subscription is held", func() bool {
		return strings.Contains(h.call(pgtest.Ann, "GET", "/v1/subscriptions/hook/deliveries?state=delivered", "").body, `"status_code":204`)
	})
	if got := test(pgtest.Ann, "hook/test"); got.Delivery == nil || got.Delivery.State != "delivered" || *got.Delivery.StatusCode != 204 || got.Delivery.Type != "tinydev.subscription.tested" {
		t.Errorf("%+v %+v", got, got.Delivery)
	}
	if body := to.verify(t, made.Secret); !strings.Contains(body, `"sample"`) {
		t.Errorf("sent was %s", body)
	}
	if got := test(pgtest.Admin, "Ann.hook/test"); got.Delivery == nil || got.Delivery.State != "delivered" {
		t.Errorf("by an administrator: %+v", got)
	}
	if got := test(pgtest.Ann, "hook/test?wait=false"); got.Delivery != nil || got.EventID == 0 {
		t.Errorf("without waiting: %+v", got)
	}
	to.status.Store(500)
	if got := test(pgtest.Ann, "hook/test"); got.Delivery == nil || got.Delivery.State != "failing" || *got.Delivery.StatusCode != 500 || *got.Delivery.Response != "status 500" || got.Delivery.NextAttemptAt == nil {
		t.Errorf("of a target that fails: %+v %+v", got, got.Delivery)
	}
	// One named test is no other route.
	decoded[control.Subscription](t, h.call(pgtest.Ann, "POST", "/v1/subscriptions", `{"name":"test","kind":"command","target":"count"}`), 201)
	if got := test(pgtest.Ann, "test/test"); got.Name != "test" || got.Delivery == nil || got.Delivery.State != "delivered" || *got.Delivery.Response != "1\n" {
		t.Errorf("%+v %+v", got, got.Delivery)
	}
	if got := h.call(pgtest.Ann, "GET", "/v1/subscriptions/test", ""); got.status != 200 {
		t.Errorf("%d %s", got.status, got.body)
	}
	// When the server stops nobody is kept waiting.
	to.status.Store(0)
	waiting := start(t)
	// A server that could send it, and never does.
	_, err := waiting.db.Superuser().Exec(context.Background(), "select tinydev_impl.hold_subscriptions('11111111-2222-4333-8444-555555555555', 'test', '{webhook}', '{}', '{}', 600)")
	check(t, err)
	decoded[control.Subscription](t, waiting.call(pgtest.Ann, "POST", "/v1/subscriptions", `{"name":"slow","kind":"webhook","target":"https://example.org/"}`), 201)
	answered := make(chan answer, 1)
	go func() { answered <- waiting.call(pgtest.Ann, "POST", "/v1/subscriptions/slow/test", "") }()
	pgtest.Eventually(t, 10*time.Second, "the test waits", func() bool { return waiting.relay.Subscribers() == 1 })
	began := time.Now()
	waiting.stop()
	if got := <-answered; got.status != 200 || time.Since(began) > 10*time.Second {
		t.Errorf("after %v: %d %s", time.Since(began), got.status, got.body)
	}
}

// TestTry tests what is not saved.
func TestTry(t *testing.T) {
	t.Parallel()
	smtp := pgtest.StartSMTP(t, pgtest.SMTPOptions{})
	h := start(t, func(o *api.Options) {
		mailer, err := deliver.NewEmail(deliver.EmailOptions{URL: smtp.URL(), From: "crm@example.org", PublicURL: "http://" + o.Listen})
		check(t, err)
		with := o.Deliverer.Options
		with.Kinds = append(with.Kinds, mailer)
		o.Deliverer = deliver.New(with)
	})
	h.deliver()
	to := newTarget(t)
	try := func(body string) control.TriedSubscription {
		t.Helper()
		return decoded[control.TriedSubscription](t, h.call(pgtest.Ann, "POST", "/v1/subscriptions/test", body), 200)
	}
	webhook := fmt.Sprintf(`{"kind":"webhook","target":%q}`, to.URL)
	got := try(webhook)
	if got.State != "delivered" || *got.StatusCode != 204 || got.Error != nil || got.Response != nil || !strings.HasPrefix(got.Secret, "whsec_") {
		t.Errorf("%+v", got)
	}
	if body := to.verify(t, got.Secret); !strings.Contains(body, `"type":"tinydev.subscription.tested"`) || !strings.Contains(body, `"subject":"Ann.test"`) {
		t.Errorf("sent was %s", body)
	}
	own := "whsec_" + strings.Repeat("B", 32)
	if got := try(fmt.Sprintf(`{"name":"hook","kind":"webhook","target":%q,"secret":%q}`, to.URL, own)); got.Secret != "" {
		t.Errorf("a secret that was given is shown: %+v", got)
	}
	to.verify(t, own)
	to.status.Store(410)
	if got := try(webhook); got.State != "gone" || *got.StatusCode != 410 || *got.Response != "status 410" {
		t.Errorf("%+v", got)
	}
	to.status.Store(0)
	if got := try(fmt.Sprintf(`{"kind":"webhook","target":%q,"timeout_seconds":1}`, to.URL)); got.State != "failed" || got.StatusCode != nil || got.Error == nil || got.LatencyMS < 900 || got.LatencyMS > 20_000 {
		t.Errorf("%+v", got)
	}
	if got := try(`{"kind":"webhook","target":"https://nowhere.invalid/"}`); got.State != "failed" || got.Error == nil {
		t.Errorf("%+v", got)
	}
	if got := try(`{"kind":"command","target":"count"}`); got.State != "delivered" || *got.Response != "1\n" || got.Secret != "" {
		t.Errorf("%+v", got)
	}
	if got := try(`{"name":"mail","kind":"email","target":"ann@example.org","options":{"subject":"Try {{.Type}}"}}`); got.State != "delivered" {
		t.Errorf("%+v", got)
	}
	if all := smtp.Messages(); len(all) != 1 || !strings.Contains(all[0].Data, "Subject: Try tinydev.subscription.tested") && !strings.Contains(all[0].Data, "Subject: Try subscription.tested") {
		t.Errorf("%d messages: %+v", len(all), all)
	}

	decoded[control.Subscription](t, h.call(pgtest.Ann, "POST", "/v1/subscriptions", `{"name":"taken","kind":"command","target":"count"}`), 201)
	for _, s := range []scenario{
		{does: "a taken name", call: "POST /v1/subscriptions/test", body: `{"name":"taken","kind":"command","target":"count"}`, status: 200, has: []string{`"state":"delivered"`}},
		{does: "a taken name and a bad secret", call: "POST /v1/subscriptions/test", body: `{"name":"taken","kind":"command","target":"count","secret":"x"}`, status: 422, code: "secret_invalid"},
		{does: "a bad name", call: "POST /v1/subscriptions/test", body: `{"name":"a\nb","kind":"command","target":"count"}`, status: 422, code: "subscription_invalid"},
		{does: "a dry run", call: "POST /v1/subscriptions/test?dry_run=true", body: `{"name":"new","kind":"command","target":"count"}`, status: 200, has: []string{`{"sql":["select tinydev.create_subscription(name => 'new'`}},
		{does: "another's command", call: "POST /v1/subscriptions/test", body: `{"kind":"command","target":"bobs"}`, status: 422, code: "command_unknown"},
		{does: "an inner network", call: "POST /v1/subscriptions/test", body: `{"kind":"webhook","target":"http://127.0.0.2:80/"}`, status: 422, code: "target_forbidden"},
		{does: "a bad template", call: "POST /v1/subscriptions/test", body: `{"kind":"email","target":"ann@example.org","options":{"body":"{{.Nope}}"}}`, status: 422, code: "template_invalid"},
		{does: "another's rows", call: "POST /v1/subscriptions/test", body: `{"kind":"command","target":"count","attach":"tinydev_impl.token"}`, status: 403, code: "not_readable"},
		{does: "nothing", call: "POST /v1/subscriptions/test", status: 400},
		{does: "nobody", role: "-", call: "POST /v1/subscriptions/test", body: `{"kind":"command","target":"count"}`, status: 401, code: "not_signed_in"},
	} {
		t.Run(s.does, func(t *testing.T) { h.scenario(t, s) })
	}
	h.make(pgtest.Ann, `{"name":"reader","read_only":true}`)
	if got := h.call("reader", "POST", "/v1/subscriptions/test", webhook); got.status != 403 || got.problem(t).Code != "token_read_only" {
		t.Errorf("a token that only reads sends: %d %s", got.status, got.body)
	}
	if n := pgtest.Value[int](t, h.db.Superuser(), "select count(*)::int from tinydev.subscription where owner = 'Ann'"); n != 1 {
		t.Errorf("%d subscriptions are there", n)
	}

	// A user may hold so many requests, and no other is kept out by them.
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			req, err := http.NewRequestWithContext(ctx, "POST", h.url+"/v1/subscriptions/test", strings.NewReader(webhook))
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("Authorization", "Bearer "+h.tokens[pgtest.Ann])
			req.Header.Set("Content-Type", "application/json")
			if resp, err := http.DefaultClient.Do(req); err == nil {
				resp.Body.Close()
			}
		})
	}
	pgtest.Eventually(t, 10*time.Second, "no more tests are taken", func() bool {
		got := h.call(pgtest.Ann, "POST", "/v1/subscriptions/test", `{"kind":"command","target":"count"}`)
		return got.status == 429 && got.problem(t).Code == "tests_limit" && got.header.Get("Retry-After") != ""
	})
	if got := h.call(pgtest.Bob, "POST", "/v1/subscriptions/test", `{"kind":"command","target":"count"}`); got.status != 200 {
		t.Errorf("bob: %d %s", got.status, got.body)
	}
	cancel()
	group.Wait()
	pgtest.Eventually(t, 10*time.Second, "tests are taken again", func() bool {
		return h.call(pgtest.Ann, "POST", "/v1/subscriptions/test", `{"kind":"command","target":"count"}`).status == 200
	})
}

// TestUnsubscribe ends e-mail by the links that messages have, as mail programs do.
func TestUnsubscribe(t *testing.T) {
	t.Parallel()
	smtp := pgtest.StartSMTP(t, pgtest.SMTPOptions{})
	h := start(t, func(o *api.Options) {
		mailer, err := deliver.NewEmail(deliver.EmailOptions{URL: smtp.URL(), From: "crm@example.org", PublicURL: "http://" + o.Listen})
		check(t, err)
		with := o.Deliverer.Options
		with.Kinds, with.PublicURL = append(with.Kinds, mailer), "http://"+o.Listen
		o.Deliverer = deliver.New(with)
	})
	h.deliver()
	if got := h.call(pgtest.Ann, "POST", "/v1/subscriptions", `{"name":"mail","kind":"email","target":"ann@example.org, Bob@example.org"}`); got.status != 201 {
		t.Fatal(got.body)
	}
	if got := decoded[control.TestedSubscription](t, h.call(pgtest.Ann, "POST", "/v1/subscriptions/mail/test", ""), 200); got.Delivery == nil || got.Delivery.State != "delivered" {
		t.Fatalf("%+v", got.Delivery)
	}
	links := map[string]string{} // of each recipient: path and query
	for _, m := range smtp.Messages() {
		message, err := mail.ReadMessage(strings.NewReader(m.Data))
		check(t, err)
		link := strings.Trim(message.Header.Get("List-Unsubscribe"), "<>")
		path, ok := strings.CutPrefix(link, h.url)
		if !ok {
			t.Fatalf("the link is %q", link)
		}
		links[strings.Trim(message.Header.Get("To"), "<>")] = path
	}
	ann, bob := links["ann@example.org"], links["Bob@example.org"]
	if ann == "" || bob == "" {
		t.Fatalf("links %v", links)
	}
	// From a mail program, from a page of webmail elsewhere, with a cookie or none.
	const oneClick = "List-Unsubscribe=One-Click"
	urlencoded := header("Content-Type", "application/x-www-form-urlencoded")
	subscription := func() control.Subscription {
		return decoded[control.Subscription](t, h.call(pgtest.Ann, "GET", "/v1/subscriptions/mail", ""), 200)
	}
	part := func(path, name, value string) string {
		u, err := url.Parse(path)
		check(t, err)
		query := u.Query()
		query.Set(name, value)
		return u.Path + "?" + query.Encode()
	}
	for what, path := range map[string]string{
		"another recipient": part(ann, "to", "Bob@example.org"), "no recipient": part(ann, "to", ""), "another subscription": part(ann, "s", "1"), "no number": part(ann, "s", "x"), "a number that is too large": part(ann, "s", "99999999999999999999"),
		"another key": part(ann, "key", strings.Repeat("0", 64)), "no key": part(ann, "key", ""), "nothing": "/unsubscribe", "NUL": part(ann, "to", "ann@example.org\x00"), "no UTF-8": part(ann, "to", "\xff"),
		"half a key": ann[:len(ann)-1],
	} {
		if got := h.call("", "POST", path, oneClick, urlencoded); got.status != 404 || got.problem(t).Code != "subscription_not_found" {
			t.Errorf("%s: %d %s", what, got.status, got.body)
		}
	}
	if got := h.call("", "POST", ann, "x="+strings.Repeat("x", 100_000), header("Content-Type", "multipart/form-data; boundary=x")); got.status != 400 {
		t.Errorf("no form: %d %s", got.status, got.body)
	}
	if got := subscription(); got.Target != "ann@example.org, Bob@example.org" || !got.Active {
		t.Errorf("%+v", got)
	}

	foreign := []func(*http.Request){urlencoded, header("Origin", "https://mail.example.com"), header("Sec-Fetch-Site", "cross-site"), header("Cookie", "tinydev_session=x")}
	for range 2 { // a second time too
		if got := h.call("", "POST", ann, oneClick, foreign...); got.status != 200 || got.body != "ann@example.org gets no more of this.\n" || got.header.Get("Set-Cookie") != "" {
			t.Errorf("%d %s %v", got.status, got.body, got.header)
		}
		if got := subscription(); got.Target != "Bob@example.org" || !got.Active {
			t.Errorf("%+v", got)
		}
	}
	// By the page, in another case of letters than the address has now.
	got := h.call("", "POST", bob, "page=1", urlencoded, header("Sec-Fetch-Site", "same-origin"))
	if at := got.header.Get("Location"); got.status != 303 || !strings.HasPrefix(at, "/unsubscribe?done=1&key=") || !strings.Contains(at, "&to=Bob%40example.org") {
		t.Errorf("%d %s", got.status, at)
	}
	if got := subscription(); got.Active || *got.PauseReason != "unsubscribed" {
		t.Errorf("without readers: %+v", got)
	}
	pgtest.Eventually(t, 10*time.Second, "the owner is told", func() bool {
		return strings.Contains(h.call(pgtest.Ann, "GET", "/v1/events?type=subscription.paused", "").body, `"unsubscribed"`)
	})
	body, multipart := form(t, "List-Unsubscribe", "One-Click")
	if got := h.call("", "POST", bob, body, multipart); got.status != 200 {
		t.Errorf("as a form of parts: %d %s", got.status, got.body)
	}
	if strings.Contains(h.log.String(), "key=") {
		t.Error("the log holds a key")
	}
	// Nothing else is open to others.
	for _, path := range []string{"/logout", "/v1/subscriptions", "/unsubscribe/", "/unsubscribe/x"} {
		if got := h.call("", "POST", path, "{}", foreign[1:]...); got.status != 403 || got.problem(t).Code != "cross_origin" {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	h.call(pgtest.Ann, "DELETE", "/v1/subscriptions/mail", "")
	if got := h.call("", "POST", bob, oneClick, urlencoded); got.status != 404 {
		t.Errorf("of one that is gone: %d %s", got.status, got.body)
	}
}

// TestSubscriptionDryRuns holds that dry runs change nothing.
func TestSubscriptionDryRuns(t *testing.T) {
	t.Parallel()
	h := start(t)
	to := newTarget(t)
	for _, body := range []string{fmt.Sprintf(`{"name":"hook","kind":"webhook","target":%q}`, to.URL), `{"name":"mail","kind":"email","target":"ann@example.org"}`} {
		if got := h.call(pgtest.Ann, "POST", "/v1/subscriptions", body); got.status != 201 {
			t.Fatal(got.body)
		}
	}
	h.happen(pgtest.Ann, "t")
	pgtest.Eventually(t, 10*time.Second, "it is placed", func() bool { return h.relay.Head() > 0 })
	position := pgtest.Value[int64](t, h.db.Superuser(), "select max(position) from tinydev_impl.event")
	id := pgtest.Value[int64](t, h.db.Superuser(), "select subscription_id from tinydev_impl.subscription where name = 'hook'")
	execute(t, h.db.Superuser(), fmt.Sprintf("insert into tinydev_impl.delivery (subscription_id, position, round, lane, type, subject, state, attempt_count) values (%d, %d, 1, 'x', 'a.b', 'x', 'dead', 1)", id, position))
	snapshot := func() string {
		return pgtest.Value[string](t, h.db.Superuser(), `select concat_ws(E'\n', (select string_agg(s::text, ',' order by subscription_id) from tinydev_impl.subscription s), (select string_agg(d::text, ',') from tinydev_impl.delivery d),
			(select count(*) from tinydev_impl.inbox) + (select count(*) from tinydev_impl.event), (select count(*) from tinydev_impl.audit))`)
	}
	before := snapshot()
	for call, body := range map[string]string{
		"POST /v1/subscriptions":           `{"name":"x","kind":"webhook","target":"https://example.org/"}`,
		"PATCH /v1/subscriptions/mail":     `{"target":"bob@example.org","active":false}`,
		"DELETE /v1/subscriptions/mail":    "",
		"POST /v1/subscriptions/test":      `{"kind":"webhook","target":"` + to.URL + `"}`,
		"POST /v1/subscriptions/hook/test": "", "POST /v1/subscriptions/hook/rotate": `{"keep_seconds":5}`,
		fmt.Sprintf("POST /v1/subscriptions/hook/deliveries/%d/redeliver", position): "",
		"POST /v1/subscriptions/hook/redeliver":                                      `{"state":"dead"}`,
		"POST /v1/subscriptions/hook/replay":                                         `{"after":0}`,
	} {
		method, path, _ := strings.Cut(call, " ")
		got := h.call(pgtest.Ann, method, path+"?dry_run=true", body)
		if got.status != 200 || !strings.HasPrefix(got.body, `{"sql":["select tinydev.`) {
			t.Errorf("%s: %d %s", call, got.status, got.body)
		}
	}
	if after := snapshot(); after != before {
		t.Errorf("a dry run changed something:\n%s\n---\n%s", before, after)
	}
	if to.header != nil {
		t.Errorf("a dry run sent something: %s", to.body)
	}
}
