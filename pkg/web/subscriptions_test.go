package web_test

import (
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/config"
	"github.com/tinydevcrm/tinydevcrm/pkg/deliver"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// target is a receiver of webhooks whose answers a test decides.
type target struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	answer string
	bodies []string
}

func newTarget(t *testing.T) *target {
	r := &target{status: http.StatusOK, answer: "thanks"}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil || req.Header.Get("webhook-signature") == "" {
			t.Errorf("a bad request: %v, %q", err, req.Header)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.bodies = append(r.bodies, string(body))
		w.WriteHeader(r.status)
		io.WriteString(w, r.answer)
	}))
	t.Cleanup(r.Close)
	return r
}

// answers sets how the target answers from now on.
func (r *target) answers(status int, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status, r.answer = status, text
}

// got gives the number of requests.
func (r *target) got() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.bodies)
}

// addNotices gives Ann, whom the tests' template made, what create_user gives.
func (s *site) addNotices() {
	s.t.Helper()
	run(s.t, s.db.Superuser(), "select tinydev_impl.add_notices('Ann')")
}

// hook fills in the form of a webhook.
func hook(name, to string) url.Values {
	return url.Values{
		"name": {name}, "kind": {"webhook"}, "url": {to}, "type": {"view.refreshed"}, "other_types": {"test.*"}, "rearm": {"each"}, "timeout_seconds": {"10 s"},
		"retry_seconds": {"1 s, 2 s"}, "pause_after_seconds": {"12 h"}, "digest_seconds": {"each by itself"}, "attach_rows": {"100"}, "do": {"save"},
	}
}

func with(fields url.Values, pairs ...string) url.Values {
	out := url.Values{}
	for name, values := range fields {
		out[name] = values
	}
	for i := 0; i < len(pairs); i += 2 {
		out.Set(pairs[i], pairs[i+1])
	}
	return out
}

// TestSubscriptions goes through the life of a webhook without JavaScript.
func TestSubscriptions(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Ann)
	s.deliver()
	s.addNotices()
	r := newTarget(t)
	conn := s.db.Conn(pgtest.Ann)
	s.load("friends", "friends.csv", friends)
	s.get("/events", `href="/subscriptions"`)
	s.get("/subscriptions", "notices", "waits for an address", "It waits for your address", "No server sends e-mail", "view.failed, view.missed, view.refreshed, subscription.paused, subscription.resumed, delivery.dead_lettered; of trouble the first and the recovery")
	s.get("/subscriptions/new?type=table.loaded&type=a.b&subject=bob.x", `value="webhook" checked`, `value="table.loaded" checked`, `value="a.b"`, "bob.x</textarea>", "TINYDEV_SMTP_URL", "TINYDEV_COMMANDS",
		"5 s, 30 s, 2 min, 10 min, 30 min, 1 h, 3 h, 6 h, 12 h", `value="&#34;Ann&#34;.friends"`, `placeholder="&#34;Ann&#34;.*"`, "<details class=\"fold\">")

	// A test before anything is saved.
	fields := hook("hook", r.URL+"/in")
	r.answers(500, "no <b>room</b>")
	s.want(s.post("/subscriptions/new", with(fields, "do", "test", "name", "")), http.StatusOK, "a test that fails", "The test did not arrive.", "answered 500 Internal Server Error", "no &lt;b&gt;room&lt;/b&gt;", "<dd>500</dd>", "the secret that the subscription will have", `value="`+r.URL+`/in"`)
	s.want(s.post("/subscriptions/new", with(fields, "do", "test", "name", "No Name")), http.StatusOK, "a test that needs no name", "The test did not arrive.")
	r.answers(204, "")
	tested := s.post("/subscriptions/new", with(fields, "do", "test"), "Tinydev-Fragment", "result")
	s.want(tested, http.StatusOK, "a test", "The test arrived.", "<dd>204</dd>", "ms</dd>")
	if strings.Contains(tested.body, "<html") || r.got() != 3 || !strings.Contains(r.bodies[2], "tinydev.subscription.tested") || !strings.Contains(r.bodies[2], `Ann.hook`) {
		t.Errorf("%d tests came: %q", r.got(), r.bodies)
	}
	s.want(s.post("/subscriptions/new", with(fields, "do", "check")), http.StatusOK, "plan", "tinydev.create_subscription(name =&gt; &#39;hook&#39;, kind =&gt; &#39;webhook&#39;", "types =&gt; array[&#39;test.*&#39;, &#39;view.refreshed&#39;]",
		"retry_seconds =&gt; &#39;{1,2}&#39;", `value="view.refreshed" checked`, `value="test.*"`, "<details class=\"fold\" open>")
	if n := pgtest.Value[int](t, conn, "select count(*)::int from tinydev.subscription where name = 'hook'"); n != 0 {
		t.Error("a test or a check made it")
	}

	// What the test was signed by is what the subscription gets.
	signedBy := regexp.MustCompile(`name="made_secret" value="(whsec_[^"]*)"`).FindStringSubmatch(tested.body)
	if signedBy == nil {
		t.Fatalf("there is no secret in\n%s", tested.body)
	}
	made := s.post("/subscriptions/new", with(fields, "made_secret", html.UnescapeString(signedBy[1])))
	s.want(made, http.StatusCreated, "make it", "The secret is shown this once", "data-copy", "webhook-signature", `href="/subscription?name=hook"`)
	secret := regexp.MustCompile(`value="(whsec_[A-Za-z0-9&#;+/=]{40,})"`).FindStringSubmatch(made.body)
	if secret == nil {
		t.Fatalf("there is no secret in\n%s", content(made.body))
	}
	if secret[1] != signedBy[1] {
		t.Errorf("the secret is %s, and the test was signed by %s", secret[1], signedBy[1])
	}
	page := s.get("/subscription?name=hook", "test.*, view.refreshed", r.URL, "1 s, 2 s", "Nothing was sent yet.", "tinydev.test_subscription(&#39;hook&#39;)", "active =&gt; false", "Send a test", "12 h").body
	if strings.Contains(page, secret[1]) {
		t.Error("the secret is shown again")
	}
	s.want(s.post("/subscriptions/new", fields), http.StatusConflict, "the same name again", "subscription_name_taken", `id="name-mistake" data-mistake="name">
<div class="problem"`)

	// A test of what is saved shows how it ended.
	place := s.follow(s.post("/subscription/test", url.Values{"name": {"hook"}}), "test")
	s.eventually(place, "The test arrived.", "subscription.tested", ">delivered</span>", "<dd>204</dd>")

	// It breaks, is given up, and is sent once more.
	r.answers(500, "broken "+hostile)
	run(t, conn, `select tinydev.record_event('test.happened', 'friends'::regclass, null, '{"n": 1}')`)
	s.eventually("/subscription?name=hook", ">failing</span> <span class=\"dim\">since", "answered 500", "next try", ">test.happened</a>", "Ann.friends")
	s.eventually("/subscription?name=hook&state=dead", ">dead</span>", `<li class="failed">`, "Redeliver all dead (1)", `id="tab-dead" aria-current="page"`)
	if body := s.get("/subscription?name=hook&state=dead").body; strings.Contains(body, "subscription.tested") {
		t.Error("what was delivered is among the dead")
	}
	dead := strconv.FormatInt(pgtest.Value[int64](t, conn, "select delivery_id from tinydev.delivery where state = 'dead'"), 10)
	detail := s.get("/delivery?name=hook&id="+dead, "attempt 3", "attempt 2", "attempt 1", "answered 500 Internal Server Error", "broken &#34;&gt;&lt;img", "&#34;n&#34;: 1", "&#34;type&#34;: &#34;tinydev.test.happened&#34;", "next try at").body
	if strings.Index(detail, "attempt 3") > strings.Index(detail, "attempt 1") {
		t.Error("the newest attempt is not first")
	}
	s.harmless("/delivery?name=hook&id=" + dead)
	s.get("/subscriptions", `href="/subscription?name=hook&amp;state=dead">1</a>`)
	r.answers(200, "thanks")
	s.follow(s.post("/subscription/redeliver", url.Values{"name": {"hook"}, "id": {dead}, "back": {"delivery"}}), "It is sent once more.", "Delivery "+dead)
	s.eventually("/delivery?name=hook&id="+dead, `<span class="tag good">delivered</span>`, "thanks", "attempt 4")
	run(t, conn, "update friends set \"Score\" = 1")
	s.follow(s.post("/subscription/redeliver", url.Values{"name": {"hook"}, "state": {"delivered"}, "tab": {"delivered"}}), "It is sent once more.", `id="tab-delivered" aria-current="page"`)

	// Paused, it collects; resumed, it sends that.
	s.follow(s.post("/subscription/active", url.Values{"name": {"hook"}, "active": {"false"}}), "The subscription is paused", ">paused</span>", "Resume")
	s.want(s.post("/subscription/test", url.Values{"name": {"hook"}}), http.StatusConflict, "test what is paused", "subscription_paused", ">Resume<")
	s.follow(s.post("/subscription/active", url.Values{"name": {"hook"}, "active": {"true"}}), "goes on where it stopped")

	// Changed: only what differs is said.
	edit := s.get("/subscription/edit?name=hook", `value="`+r.URL+`/in"`, `value="view.refreshed" checked`, `value="test.*"`, `value="1 s, 2 s"`).body
	if strings.Contains(edit, "E-mail addresses") || strings.Contains(edit, `name="kind"`) {
		t.Error("what a webhook has not is asked for")
	}
	change := with(fields, "do", "check", "condition", "$.n > 1", "attach", `"Ann".friends`, "attach_rows", "7", "retry_seconds", "1 s, 2 s, 1 min")
	change["subject"] = []string{`"Ann".friends`}
	s.want(s.post("/subscription/edit", change), http.StatusOK, "plan a change", "select tinydev.alter_subscription(&#39;hook&#39;, subjects =&gt; array[&#39;&#34;Ann&#34;.friends&#39;]", "condition =&gt; ", "attach_rows =&gt; 7",
		"retry_seconds =&gt; &#39;{1,2,60}&#39;)", `value="&#34;Ann&#34;.friends" checked`)
	s.follow(s.post("/subscription/edit", with(change, "do", "save")), "The subscription is changed.", "test.*, view.refreshed of Ann.friends where (", "the first 7 rows of Ann.friends", "1 s, 2 s, 1 min")
	same := s.get("/subscription/edit?name=hook", `value="&#34;Ann&#34;.friends" checked`, `selected>Ann.friends</option>`, `value="7"`).body
	condition := regexp.MustCompile(`name="condition" value="([^"]*)"`).FindStringSubmatch(same)
	unchanged := s.post("/subscription/edit", with(change, "condition", strings.ReplaceAll(strings.ReplaceAll(condition[1], "&gt;", ">"), "&#34;", `"`)))
	s.want(unchanged, http.StatusOK, "nothing changed")
	if strings.Contains(unchanged.body, "Show SQL") {
		t.Errorf("there is something to change:\n%s", content(unchanged.body))
	}
	s.follow(s.post("/subscription/edit", with(fields, "do", "save")), "The subscription is changed.")
	if got := pgtest.Value[string](t, conn, "select concat_ws(' ', subjects, condition, attach, array_to_string(retry_seconds, ',')) from tinydev.subscription where name = 'hook'"); got != "1,2" {
		t.Errorf("after all is taken away there is %q", got)
	}

	// Replay and another secret.
	s.get("/subscription/replay?name=hook", "Looks again at", "tinydev.replay(&#39;hook&#39;, 0)", "The log ends at")
	before := r.got()
	s.want(s.post("/subscription/replay", url.Values{"name": {"hook"}, "from": {"after"}, "number": {"1"}, "do": {"check"}}), http.StatusOK, "plan a replay", "tinydev.replay(&#39;hook&#39;, 1)", "after number 1.")
	s.follow(s.post("/subscription/replay", url.Values{"name": {"hook"}, "from": {"last"}, "number": {"1000"}, "do": {"save"}}), "What fits is sent again")
	pgtest.Eventually(t, 20*time.Second, "it is sent again", func() bool { return r.got() > before })
	s.get("/subscription/secret?name=hook", "tinydev.rotate_secret(&#39;hook&#39;)", "for a day")
	rotated := s.post("/subscription/secret", url.Values{"name": {"hook"}, "keep": {"3600"}})
	s.want(rotated, http.StatusCreated, "rotate", "has a new secret", "whsec_", "signed by the old secret too")
	if strings.Contains(rotated.body, secret[1]) {
		t.Error("the secret is the old one")
	}
	s.want(s.post("/subscription/secret", url.Values{"name": {"hook"}, "keep": {"0"}}), http.StatusCreated, "rotate at once", "The old secret signs no more.", "signs no more: only two sign at the same time")

	s.get("/subscription/drop?name=hook", "Drop the subscription?", "tinydev.drop_subscription(&#39;hook&#39;)")
	s.follow(s.post("/subscription/drop", url.Values{"name": {"hook"}}), "It is dropped.")
	s.want(s.send(http.MethodGet, "/subscription?name=hook", "", nil), http.StatusNotFound, "what is dropped", "subscription_not_found")
}

// eventually reads a page until it holds texts.
func (s *site) eventually(place string, texts ...string) {
	s.t.Helper()
	body := ""
	defer func() {
		if s.t.Failed() {
			s.t.Logf("GET %s holds at last\n%s", place, content(body))
		}
	}()
	pgtest.Eventually(s.t, 20*time.Second, place+" holds "+strings.Join(texts, ", "), func() bool {
		body = s.get(place).body
		for _, text := range texts {
			if !strings.Contains(body, text) {
				return false
			}
		}
		return true
	})
}

// TestSubscriptionMistakes says what is wrong next to the field, keeps what was typed, and does not complain while nothing is typed yet.
func TestSubscriptionMistakes(t *testing.T) {
	t.Parallel()
	s := openDelivering(t, pgtest.DB(t), pgtest.Ann, deliver.Options{Commands: map[string][]string{"notify": {"bob"}}})
	s.deliver()
	s.addNotices()
	fields := with(hook("hook", "https://example.org/in"), "do", "save")
	for _, c := range []struct{ field, name, value, code string }{
		{"name", "name", "No Name", "subscription_invalid"}, {"name", "name", "", "subscription_invalid"},
		{"url", "url", "ftp://x", "subscription_invalid"}, {"url", "url", "", "subscription_invalid"}, {"url", "url", "https://10.0.0.1/", "target_forbidden"},
		{"kind", "kind", "pigeon", "subscription_invalid"},
		{"types", "other_types", "View Refreshed", "subscription_invalid"},
		{"subjects", "other_subjects", strings.Repeat("x", 301) + ".y", "subscription_invalid"},
		{"condition", "condition", "$.rows >", "condition_invalid"}, {"condition", "condition", "$.rows ? (@ > 0)", "condition_invalid"},
		{"attach", "attach", `"Ann".nothing`, "relation_not_found"},
		{"rearm", "rearm", "weekly", "subscription_invalid"},
		{"timeout_seconds", "timeout_seconds", "a while", "form_invalid"}, {"timeout_seconds", "timeout_seconds", "10 min", "subscription_invalid"},
		{"retry_seconds", "retry_seconds", "1 s, never", "form_invalid"}, {"retry_seconds", "retry_seconds", "0 s", "subscription_invalid"},
		{"pause_after_seconds", "pause_after_seconds", "1 s", "subscription_invalid"},
		{"secret", "secret", "hush", "secret_invalid"},
	} {
		wrong := with(fields, c.name, c.value)
		a := s.post("/subscriptions/new", wrong)
		if a.status < 400 || a.status > 499 || !strings.Contains(a.body, c.code) || !strings.Contains(a.body, `data-mistake="`+c.field+`">
<div class="problem"`) || strings.Count(a.body, `class="problem"`) != 1 {
			t.Errorf("%s %q: status %d, not told next to %s\n%s", c.name, c.value, a.status, c.field, content(a.body))
		}
		if c.value != "" && c.name != "kind" && c.name != "rearm" && c.name != "attach" && !strings.Contains(a.body, strings.NewReplacer(">", "&gt;", `"`, "&#34;").Replace(c.value)) && c.name != "other_types" {
			t.Errorf("%s %q is not kept", c.name, c.value)
		}
		// The block alone tells for which field it is; nothing typed yet is no mistake there.
		block := s.post("/subscriptions/new", with(wrong, "do", "check"), "Tinydev-Fragment", "plan")
		s.want(block, http.StatusOK, "check "+c.name)
		if told := strings.Contains(block.body, `data-field="`+c.field+`"`); told == (c.value == "") {
			t.Errorf("check %s %q answers\n%s", c.name, c.value, block.body)
		}
	}
	mail := with(fields, "kind", "email", "addresses", "ann@example.org")
	for _, c := range []struct{ field, name, value, code string }{
		{"addresses", "addresses", "ann", "subscription_invalid"}, {"digest_seconds", "digest_seconds", "9 days", "subscription_invalid"}, {"digest_seconds", "digest_seconds", "often", "form_invalid"},
		{"subject_template", "subject_template", "{{.Nothing}}", "template_invalid"}, {"body", "body", "{{if}}", "template_invalid"}, {"attach_rows", "attach_rows", "some", "form_invalid"},
		{"rearm_seconds", "rearm_seconds", "x", "form_invalid"},
	} {
		wrong := with(mail, c.name, c.value)
		switch c.name {
		case "attach_rows":
			s.load("friends", "friends.csv", friends)
			wrong.Set("attach", `"Ann".friends`)
		case "rearm_seconds":
			wrong.Set("rearm", "every")
		}
		s.want(s.post("/subscriptions/new", wrong), http.StatusUnprocessableEntity, c.name+" "+c.value, c.code, `data-mistake="`+c.field+`">
<div class="problem"`)
	}
	s.want(s.post("/subscriptions/new", with(fields, "kind", "command", "command", "notify")), http.StatusUnprocessableEntity, "another's command", "command_unknown", `data-mistake="command">
<div class="problem"`)
	s.want(s.post("/subscriptions/new", with(fields, "kind", "command", "command", "notify", "do", "test")), http.StatusOK, "test another's command", "command_unknown")
	s.want(s.post("/subscriptions/new", with(fields, "do", "perhaps")), http.StatusUnprocessableEntity, "an unknown step", "form_invalid")
	s.want(s.post("/subscriptions/new", with(fields, "do", "test", "url", "http://10.1.2.3/")), http.StatusOK, "test an inner address", "target_forbidden")
	if n := pgtest.Value[int](t, s.db.Conn(pgtest.Ann), "select count(*)::int from tinydev.subscription"); n != 1 {
		t.Errorf("there are %d subscriptions, want notices alone", n)
	}
	s.want(s.post("/subscription/address", url.Values{"name": {"notices"}, "target": {"ann"}}), http.StatusUnprocessableEntity, "no address", "no e-mail address", `value="ann"`)
	for _, place := range []string{"/subscription?name=none", "/subscription", "/subscription/edit?name=none", "/subscription/drop?name=none", "/subscription/replay?name=none", "/subscription/secret?name=none", "/delivery?name=notices&id=1", "/delivery?name=notices&id=x", "/delivery?name=none&id=1"} {
		s.want(s.send(http.MethodGet, place, "", nil), http.StatusNotFound, "GET "+place, "_not_found")
	}
	s.want(s.send(http.MethodGet, "/subscription/secret?name=notices", "", nil), http.StatusUnprocessableEntity, "a secret of e-mail", "secret_invalid")
	for _, number := range []string{"x", "-1", "99999999999999999999", "999999999"} {
		a := s.post("/subscription/replay", url.Values{"name": {"notices"}, "from": {"after"}, "number": {number}, "do": {"save"}})
		if a.status != http.StatusUnprocessableEntity && a.status != http.StatusConflict || !strings.Contains(a.body, `data-mistake="number">
<div class="problem"`) {
			t.Errorf("replay after %s: %d\n%s", number, a.status, content(a.body))
		}
	}
}

// TestNotices is told by the pages that nobody is told, gives an address, and gets a letter, whose link ends it.
func TestNotices(t *testing.T) {
	t.Parallel()
	smtp := pgtest.StartSMTP(t, pgtest.SMTPOptions{})
	email, err := deliver.NewEmail(deliver.EmailOptions{URL: smtp.URL(), From: "noreply@crm.example", PublicURL: "https://crm.example"})
	if err != nil {
		t.Fatal(err)
	}
	s := openDelivering(t, pgtest.DB(t), pgtest.Ann, deliver.Options{Kinds: []deliver.Kind{email}, PublicURL: "https://crm.example"})
	s.deliver()
	s.addNotices()
	if body := s.get("/").body; strings.Contains(body, "Nobody is told") {
		t.Error("who has no jobs is asked for an address")
	}
	run(t, s.db.Conn(pgtest.Ann), "create table knob as select 1 as a", "select tinydev.create_view('risky', 'select 1 / a as b from knob')", "select tinydev.schedule('risky', '0 0 1 1 *')")
	s.get("/", "Nobody is told when your jobs fail.", `action="/subscription/address"`, `name="name" value="notices"`)
	page := s.get("/subscriptions", "It waits for your address").body
	if strings.Contains(page, "No server sends e-mail") {
		t.Error("it is said that no e-mail is sent")
	}
	s.get("/subscription?name=notices", "as soon as it has an address", "waits for an address", "from the beginning")
	s.follow(s.post("/subscription/address", url.Values{"name": {"notices"}, "target": {"ann@example.org, bob@example.org"}}), "you are told from now on", "ann@example.org")
	s.eventually("/subscription?name=notices", ">delivering</span>")
	if body := s.get("/").body; strings.Contains(body, "Nobody is told") {
		t.Error("who gave an address is asked for one")
	}
	s.post("/view/refresh", url.Values{"name": {"risky"}})
	run(t, s.db.Conn(pgtest.Ann), "update knob set a = 0")
	s.want(s.post("/view/refresh", url.Values{"name": {"risky"}}), http.StatusUnprocessableEntity, "a failing refresh")
	pgtest.Eventually(t, 30*time.Second, "both get a letter", func() bool { return len(smtp.Messages()) == 2 })
	s.eventually("/subscription?name=notices", "view.failed", ">delivered</span>", "<dd>250</dd>")

	stranger := s.as("")
	links := map[string]string{}
	for _, m := range smtp.Messages() {
		found := regexp.MustCompile(`List-Unsubscribe:\s+<https://crm.example([^>]+)>`).FindStringSubmatch(m.Data)
		if found == nil {
			t.Fatalf("there is no link in\n%s", m.Data)
		}
		links[m.To[0]] = found[1]
	}
	for _, who := range []string{"ann@example.org", "bob@example.org"} {
		link := links[who]
		asked := stranger.get(link, "No more messages?", who, "<strong>Ann</strong>", "<strong>notices</strong>", `name="page" value="1"`, "Send me no more")
		if strings.Contains(asked.body, "Sign out") || asked.header.Get("Referrer-Policy") != "same-origin" || asked.header.Get("Cache-Control") != "no-store" {
			t.Errorf("the page for strangers: %v", asked.header)
		}
		for _, bad := range []string{strings.Replace(link, "key=", "key=0", 1), strings.Replace(link, "to=", "to=x", 1), strings.Replace(link, "s=", "s=9", 1), strings.Replace(link, "s=", "s=x", 1), "/unsubscribe", "/unsubscribe?s=1&to=%00&key=%00", "/unsubscribe?s=1&to=" + url.QueryEscape(hostile) + "&key=x"} {
			a := stranger.send(http.MethodGet, bad, "", nil)
			if a.status != http.StatusNotFound || !strings.Contains(a.body, "This link ends nothing") || strings.Contains(a.body, "notices") {
				t.Errorf("GET %s: %d\n%s", bad, a.status, content(a.body))
			}
		}
		done := stranger.post(link, url.Values{"page": {"1"}})
		if stranger.want(done, http.StatusSeeOther, "the button"); !strings.HasSuffix(done.header.Get("Location"), "&done=1") && !strings.Contains(done.header.Get("Location"), "done=1&") {
			t.Errorf("it leads to %s", done.header.Get("Location"))
		}
		stranger.get(done.header.Get("Location"), "It is done", who, "gets no more messages")
		stranger.get(link, "It has ended")
	}
	s.get("/subscription?name=notices", "paused: its reader ended it", "followed the link")
}

// TestNobodyDelivers holds that the pages say what a subscription waits for.
func TestNobodyDelivers(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Ann)
	run(t, s.db.Conn(pgtest.Ann), "select tinydev.create_subscription('mail', 'email', 'ann@example.org')")
	s.get("/subscriptions", `<li class="warning">`, "waits for a server", "No server is up to deliver at the moment.", "e-mail to <span")
	s.get("/subscription?name=mail", "waits for a server", "No server is up to deliver at the moment. It goes on when a server can.")
	place := s.follow(s.post("/subscription/test", url.Values{"name": {"mail"}}), "The test waits too.")
	s.deliver() // which sends no e-mail
	s.eventually(place, "No server sends e-mail at the moment: who runs one sets TINYDEV_SMTP_URL", "The test waits too.")
}

// TestOtherKinds makes subscriptions by e-mail and to a command, and changes what these have and webhooks have not.
func TestOtherKinds(t *testing.T) {
	t.Parallel()
	email, err := deliver.NewEmail(deliver.EmailOptions{URL: "smtp://127.0.0.1:1", From: "noreply@crm.example"})
	if err != nil {
		t.Fatal(err)
	}
	cat := config.Commands{"cat": {Argv: []string{"/bin/cat"}, Users: []string{config.Everyone}}, "boss": {Argv: []string{"/bin/cat"}}}
	commands, err := deliver.NewCommands(cat)
	if err != nil {
		t.Fatal(err)
	}
	s := openDelivering(t, pgtest.DB(t), pgtest.Ann, deliver.Options{Kinds: []deliver.Kind{email, commands}, Commands: cat.Users()})
	s.deliver()
	conn := s.db.Conn(pgtest.Ann)
	page := s.get("/subscriptions/new?kind=email", `value="email" checked`, "<option>cat</option>").body
	if strings.Contains(page, "<option>boss</option>") || strings.Contains(page, "TINYDEV_SMTP_URL") || strings.Contains(page, "TINYDEV_COMMANDS") {
		t.Errorf("the form offers what it may not, or says that what is there is missing:\n%s", content(page))
	}
	mail := with(hook("mail", ""), "kind", "email", "addresses", "ann@example.org,bob@example.org", "subject_template", "{{.Subject}}: {{.What}}", "body", "Hello\r\n{{.What}}", "chart", "bar",
		"digest_seconds", "5 min", "rearm", "every", "rearm_seconds", "2 h")
	s.want(s.post("/subscriptions/new", with(mail, "do", "test")), http.StatusOK, "a test of e-mail", "The test did not arrive.", "127.0.0.1:1")
	s.follow(s.post("/subscriptions/new", mail), "The subscription is made", "ann@example.org, bob@example.org", "all that comes within 5 min", "of trouble the first, again every 2 h, and the recovery")
	if got := pgtest.Value[string](t, conn, `select concat_ws(' ', target, digest_seconds, rearm, rearm_seconds, options = '{"subject": "{{.Subject}}: {{.What}}", "body": "Hello\n{{.What}}", "chart": "bar"}') from tinydev.subscription where name = 'mail'`); got != "ann@example.org, bob@example.org 300 every 7200 t" {
		t.Errorf("it is %s", got)
	}
	edit := s.get("/subscription/edit?name=mail", `value="5 min"`, `value="2 h"`, `value="every" checked`, `name="chart" value="bar" checked`, "Hello\n{{.What}}</textarea>", `value="{{.Subject}}: {{.What}}"`).body
	if strings.Contains(edit, `name="url"`) || strings.Contains(edit, `name="secret"`) {
		t.Error("what e-mail has not is asked for")
	}
	unchanged := s.post("/subscription/edit", with(mail, "addresses", "ann@example.org, bob@example.org", "do", "check"))
	s.want(unchanged, http.StatusOK, "nothing changed")
	if strings.Contains(unchanged.body, "Show SQL") {
		t.Errorf("there is something to change:\n%s", content(unchanged.body))
	}
	s.follow(s.post("/subscription/edit", with(mail, "addresses", "ann@example.org", "chart", "", "digest_seconds", "each by itself", "rearm", "once", "subject_template", "", "body", " \r\n")), "The subscription is changed.")
	if got := pgtest.Value[string](t, conn, `select concat_ws(' ', target, digest_seconds, rearm, rearm_seconds, options) from tinydev.subscription where name = 'mail'`); got != "ann@example.org 0 once {}" {
		t.Errorf("it is %s", got)
	}

	run := with(hook("run", ""), "kind", "command", "command", "cat")
	s.want(s.post("/subscriptions/new", with(run, "do", "test")), http.StatusOK, "a test of a command", "The test arrived.", "subscription.tested")
	s.follow(s.post("/subscriptions/new", run), "The subscription is made", "<small>command</small>")
	s.eventually(s.follow(s.post("/subscription/test", url.Values{"name": {"run"}})), "The test arrived.")
	s.get("/subscription/edit?name=run", "<option selected>cat</option>")
	s.want(s.post("/subscriptions/new", with(run, "name", "other", "command", "boss")), http.StatusUnprocessableEntity, "a command for administrators", "command_unknown")
}

// TestUntold asks for an address only where that helps, and points elsewhere only after a failure.
func TestUntold(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Ann)
	s.deliver()
	s.addNotices()
	conn := s.db.Conn(pgtest.Ann)
	run(t, conn, "create table knob as select 1 as a", "select tinydev.create_view('risky', 'select 1 / a as b from knob')", "select tinydev.schedule('risky', '0 0 1 1 *')")
	if body := s.get("/").body; strings.Contains(body, "is told") {
		t.Error("an address is asked for where no e-mail is sent")
	}
	run(t, conn, "update knob set a = 0")
	if _, err := conn.Exec(t.Context(), "call tinydev.refresh('risky')"); err == nil {
		t.Error("a division by zero went through")
	}
	s.get("/", "A job failed, and nobody is told.", "/subscriptions/new?kind=webhook&amp;type=view.failed")
	s.want(s.post("/subscriptions/new", hook("hook", "https://example.org/")), http.StatusCreated, "make one")
	if body := s.get("/").body; strings.Contains(body, "is told") {
		t.Error("who has a subscription is asked for another")
	}
	run(t, conn, "select tinydev.drop_subscription('hook')", "select tinydev.drop_subscription('notices')")
	if body := s.get("/").body; strings.Contains(body, "is told") {
		t.Error("who dropped notices is asked again")
	}
}

// TestSubscriptionsOfOthers: nobody sees another's, but administrators see and change all.
func TestSubscriptionsOfOthers(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Ann)
	bob, boss := open(t, s.db, pgtest.Bob), open(t, s.db, pgtest.Admin)
	s.want(s.post("/subscriptions/new", hook("hook", "https://example.org/secret-path")), http.StatusCreated, "make it")
	for _, name := range []string{"hook", "Ann.hook", `"Ann".hook`} {
		for _, place := range []string{"/subscription?", "/subscription/edit?", "/subscription/drop?", "/subscription/replay?", "/subscription/secret?", "/delivery?id=1&"} {
			a := bob.send(http.MethodGet, place+url.Values{"name": {name}}.Encode(), "", nil)
			bob.want(a, http.StatusNotFound, "GET "+place+name, "subscription_not_found")
		}
		for place, fields := range subscriptionForms {
			if place != "/subscriptions/new" {
				bob.want(bob.post(place, with(fields, "name", name)), http.StatusNotFound, "POST "+place+" for "+name, "subscription_not_found")
			}
		}
	}
	if body := bob.get("/subscriptions").body; strings.Contains(body, "secret-path") || strings.Contains(body, "Ann") {
		t.Error("bob sees Ann's")
	}
	boss.get("/subscriptions", "secret-path", "of Ann</span>", `<span class="dim">yours</span>`, `href="/subscription?name=Ann.hook"`)
	boss.get("/subscription?name=Ann.hook", "This belongs to <strong>Ann</strong>", "secret-path", "tinydev.alter_subscription(&#39;Ann.hook&#39;")
	boss.follow(boss.post("/subscription/active", url.Values{"name": {"Ann.hook"}, "active": {"false"}}), "The subscription is paused", "This belongs to")
	boss.get("/subscription/edit?name=Ann.hook", "you change it as an administrator")
	boss.follow(boss.post("/subscription/edit", with(hook("Ann.hook", "https://example.org/other"), "do", "save")), "The subscription is changed.", "example.org/other")
	s.get("/subscription?name=hook", "example.org/other", ">paused</span>")
	boss.get("/subscription/drop?name=Ann.hook", "subscription Ann.hook")
	boss.follow(boss.post("/subscription/drop", url.Values{"name": {"Ann.hook"}}), "It is dropped.")
}

// subscriptionForms are the forms that change something about a subscription.
var subscriptionForms = map[string]url.Values{
	"/subscriptions/new": hook("forged", "https://example.org/in"), "/subscription/edit": hook("hook", "https://example.org/forged"), "/subscription/active": {"name": {"hook"}, "active": {"false"}},
	"/subscription/address": {"name": {"hook"}, "target": {"https://example.org/forged"}}, "/subscription/test": {"name": {"hook"}}, "/subscription/secret": {"name": {"hook"}, "keep": {"0"}},
	"/subscription/replay": {"name": {"hook"}, "from": {"last"}, "number": {"5"}, "do": {"save"}}, "/subscription/redeliver": {"name": {"hook"}, "state": {"all"}}, "/subscription/drop": {"name": {"hook"}},
}

// TestSubscriptionsFromElsewhere changes nothing for another site, nor for who only reads, nor for a stranger; and a test sends nothing.
func TestSubscriptionsFromElsewhere(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Ann)
	r := newTarget(t)
	s.want(s.post("/subscriptions/new", hook("hook", r.URL)), http.StatusCreated, "make it")
	super := s.db.Superuser()
	state := func() string {
		return pgtest.Value[string](t, super, "select pg_catalog.string_agg(s::text, ' ' order by s.subscription_id) || (select count(*) from tinydev_impl.inbox) + (select count(*) from tinydev_impl.event) from tinydev_impl.subscription s")
	}
	reader, stranger := s.as(s.tokenInSQL(pgtest.Ann, "reader", ", read_only => true")), s.as("")
	before := state()
	forms := map[string]url.Values{"/subscriptions/new?test": with(hook("tried", r.URL), "do", "test"), "/subscription/edit?test": with(hook("hook", r.URL), "do", "test")}
	for place, fields := range subscriptionForms {
		forms[place] = fields
	}
	for place, fields := range forms {
		s.want(s.post(place, fields, "Sec-Fetch-Site", "cross-site"), http.StatusForbidden, "POST "+place+" from elsewhere", "cross_origin")
		reader.want(reader.post(place, fields), http.StatusForbidden, "POST "+place+" with a token that only reads", "token_read_only")
		stranger.want(stranger.post(place, fields), http.StatusUnauthorized, "a stranger's POST "+place)
	}
	if after := state(); after != before || r.got() != 0 {
		t.Errorf("something changed, or was sent (%d):\n%s\n%s", r.got(), before, after)
	}
	for _, place := range []string{"/subscriptions", "/subscriptions/new", "/subscription?name=hook", "/subscription/edit?name=hook", "/subscription/replay?name=hook", "/subscription/secret?name=hook", "/subscription/drop?name=hook"} {
		reader.get(place)
		stranger.want(stranger.send(http.MethodGet, place, "", nil), http.StatusUnauthorized, "a stranger's GET "+place)
	}
}

// TestHostileTextOfSubscriptions puts markup wherever a user, a target or an event can, and finds it as text alone.
func TestHostileTextOfSubscriptions(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Ann)
	s.harmless(hostileSubscription(s)...)
	for place, fields := range map[string]url.Values{
		"/subscriptions/new": with(hook(hostile, hostile), "secret", hostile, "condition", hostile, "other_subjects", hostile, "other_types", hostile),
		"/subscription/edit": with(hook("hook", "https://example.org/"), "condition", hostile, "retry_seconds", hostile),
		"/subscription/test": {"name": {hostile}}, "/subscription/address": {"name": {"notices"}, "target": {hostile}},
		"/subscription/replay": {"name": {"hook"}, "from": {hostile}, "number": {hostile}, "do": {"save"}}, "/subscription/redeliver": {"name": {"hook"}, "state": {hostile}},
	} {
		for _, do := range []string{"save", "check"} {
			a := s.post(place, with(fields, "do", do))
			if strings.Contains(a.body, "<img") || strings.Contains(a.body, "<script>") || !strings.Contains(a.body, "onerror") {
				t.Errorf("POST %s: status %d\n%s", place, a.status, content(a.body))
			}
		}
	}
}

// hostileSubscription makes a subscription with hostile filters, whose target answers with hostile text, and gives the pages that show it.
func hostileSubscription(s *site) []string {
	s.t.Helper()
	s.deliver()
	s.addNotices()
	r := newTarget(s.t)
	r.answers(500, hostile)
	quoted := `"` + strings.ReplaceAll(hostile, `"`, `""`) + `"`
	conn := s.db.Conn(pgtest.Ann)
	run(s.t, conn, "create table "+quoted+" (a int)")
	relation := `"Ann".` + quoted
	fields := with(hook("hook", r.URL+"/"+strings.ReplaceAll(hostile, " ", "")), "condition", `$.message == "`+strings.ReplaceAll(hostile, `"`, `\"`)+`" || $.x != 1`, "retry_seconds", "", "attach", relation,
		"other_subjects", "*"+hostile+"\n*", "type", "test.*")
	s.want(s.post("/subscriptions/new", fields), http.StatusCreated, "make it")
	if _, err := conn.Exec(s.t.Context(), "select tinydev.record_event('test.failed', null, $1, pg_catalog.jsonb_build_object('message', $2::text, $2::text, $2::text))", relation, hostile); err != nil {
		s.t.Fatal(err)
	}
	s.eventually("/subscription?name=hook", ">dead</span>")
	id := strconv.FormatInt(pgtest.Value[int64](s.t, conn, "select max(delivery_id) from tinydev.delivery where state = 'dead'"), 10)
	q := url.QueryEscape
	return []string{"/subscription?name=hook", "/subscription?name=hook&state=dead", "/subscription/edit?name=hook", "/delivery?name=hook&id=" + id, "/subscriptions",
		"/subscription?name=" + q(hostile), "/delivery?name=hook&id=" + q(hostile), "/subscriptions/new?kind=" + q(hostile) + "&type=" + q(hostile) + "&subject=" + q(hostile)}
}

// TestDeliveryPages reads many deliveries page by page.
func TestDeliveryPages(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Ann)
	s.deliver()
	r := newTarget(t)
	s.want(s.post("/subscriptions/new", hook("hook", r.URL)), http.StatusCreated, "make it")
	run(t, s.db.Conn(pgtest.Ann), "select tinydev.record_event('test.happened', null, 'x' || n, '{}') from pg_catalog.generate_series(1, 120) n")
	pgtest.Eventually(t, 20*time.Second, "all arrive", func() bool { return r.got() >= 120 })
	pgtest.Eventually(t, 20*time.Second, "all are recorded", func() bool {
		return pgtest.Value[int](t, s.db.Superuser(), "select count(*)::int from tinydev_impl.delivery where state = 'delivered'") == 120
	})
	place, seen := "/subscription?name=hook&state=delivered", map[string]bool{}
	for pages := 1; ; pages++ {
		body := s.get(place).body
		for _, m := range regexp.MustCompile(`<dt>event</dt><dd>(\d+)</dd>`).FindAllStringSubmatch(body, -1) {
			if seen[m[1]] {
				t.Errorf("%s comes twice", m[1])
			}
			seen[m[1]] = true
		}
		older := regexp.MustCompile(`href="(/subscription\?[^"]*before=[^"]*)"`).FindStringSubmatch(body)
		if older == nil {
			if pages != 3 || len(seen) != 120 {
				t.Errorf("%d pages hold %d deliveries", pages, len(seen))
			}
			break
		}
		place = strings.ReplaceAll(older[1], "&amp;", "&")
	}
	s.get("/subscription?name=hook&state=pending&before=x", "None is pending.")
	s.get("/subscription?name=hook&state=nothing", `id="tab-all" aria-current="page"`)
}
