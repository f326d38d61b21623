package integration

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// webhookTarget keeps the events that it gets, and answers as told.
type webhookTarget struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	secret string // checks signatures once it is set
	got    []string
	header http.Header // of the last request, as is body
	body   []byte
}

func newWebhookTarget(t *testing.T) *webhookTarget {
	w := &webhookTarget{status: http.StatusNoContent}
	w.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.header, w.body = r.Header, body
		if err == nil && w.secret != "" {
			var hook *standardwebhooks.Webhook
			if hook, err = standardwebhooks.NewWebhook(w.secret); err == nil {
				err = hook.Verify(body, r.Header)
			}
		}
		var event struct{ Type, Subject string }
		if err == nil {
			err = json.Unmarshal(body, &event)
		}
		if err != nil {
			t.Errorf("the receiver: %v, %s", err, body)
		}
		if w.status < 300 {
			w.got = append(w.got, strings.TrimPrefix(event.Type, "tinydev.")+" "+event.Subject)
		}
		rw.WriteHeader(w.status)
	}))
	t.Cleanup(w.Close)
	return w
}

func (w *webhookTarget) answer(status int, secret string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status, w.secret = status, secret
}

// verify checks the signature of the last request.
func (w *webhookTarget) verify(secret string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	hook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		return err
	}
	return hook.Verify(w.body, w.header)
}

// count gives how often an event was taken.
func (w *webhookTarget) count(event string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, got := range w.got {
		if got == event {
			n++
		}
	}
	return n
}

// TestSubscriptions goes through tinydev subscription, with a receiver, a mail server and a program.
func TestSubscriptions(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds(t) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			smtp := pgtest.StartSMTP(t, pgtest.SMTPOptions{})
			s := newServer(t, kind == "container").start("TINYDEV_WEBHOOK_ALLOW=127.0.0.1/32", `TINYDEV_COMMANDS={"count":{"argv":["/usr/bin/wc","-l"],"users":["everyone"]}}`,
				"TINYDEV_SMTP_URL="+smtp.URL(), "TINYDEV_SMTP_FROM=crm@example.org")
			testSubscriptions(t, s, smtp)
		})
	}
}

func testSubscriptions(t *testing.T, s *server, smtp *pgtest.SMTPServer) {
	to := newWebhookTarget(t)
	refuse := func(says string, args ...string) {
		t.Helper()
		if r := s.command(args...); r.code != 2 || r.stdout != "" || !strings.Contains(r.stderr, says) {
			t.Errorf("tinydev %s: exit code %d, %s%s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
		}
	}
	s.sql("create table prices as select 7 as price")

	hook := []string{"subscription", "create", "hook", "--webhook", to.URL + "/hook", "--type", "view.*", "--subject", "ann.*", "--attach", "prices", "--attach-rows", "3", "--retry", "1s"}
	if plan := s.must(append(hook, "--dry-run")...); !strings.HasPrefix(plan, "select tinydev.create_subscription(name => 'hook', kind => 'webhook'") || !strings.Contains(plan, "retry_seconds => '{1}'") {
		t.Errorf("a dry run prints %s", plan)
	}
	to.answer(500, "")
	refuse("the test did not arrive: failed, 500", append(hook, "--test")...)
	refuse("It was signed by whsec_", append(hook, "--test")...)
	if list := s.must("subscription", "list"); strings.Contains(list, "hook") || !strings.Contains(list, "waits for an address") {
		t.Errorf("after a failed test:\n%s", list)
	}
	to.answer(204, "")
	made := s.must(append(hook, "--test")...)
	_, rest, _ := strings.Cut(made, "\nsecret: ")
	secret, _, _ := strings.Cut(rest, "\n")
	if !strings.HasPrefix(made, "made hook: webhook to http://127.0.0.1:") || len(secret) != 50 || !strings.Contains(made, "webhook-signature") || to.count("subscription.tested ann.hook") != 1 {
		t.Fatalf("create prints %s", made)
	}
	if err := to.verify(secret); err != nil {
		t.Errorf("the test before it was made is not signed by its secret: %v", err)
	}
	to.answer(204, secret)
	if out := s.must("subscription", "test", "hook"); !strings.HasPrefix(out, "test: delivered, 204, ") {
		t.Errorf("test prints %s", out)
	}
	s.must("view", "create", "v", "select * from prices")
	s.must("view", "refresh", "v")
	eventually(t, 30*time.Second, "the refresh arrives", func() bool { return to.count("view.refreshed ann.v") == 1 })

	// A target that fails, and what mends it.
	to.answer(503, secret)
	s.must("view", "refresh", "v")
	dead := func() []control.Delivery {
		return decode[[]control.Delivery](t, s.must("subscription", "deliveries", "hook", "--state", "dead", "--json"))
	}
	eventually(t, 30*time.Second, "it is given up", func() bool { return len(dead()) == 1 })
	id := fmt.Sprint(dead()[0].DeliveryID)
	if out := s.must("subscription", "delivery", "hook", id); !strings.Contains(out, "tinydev.view.refreshed") || strings.Count(out, "503") < 2 || !strings.Contains(out, `"subject": "ann.v"`) {
		t.Errorf("delivery prints %s", out)
	}
	if out := s.must("subscription", "deliveries", "hook"); !strings.Contains(out, "dead") || !strings.Contains(out, "delivered") || !strings.Contains(out, "503") {
		t.Errorf("deliveries prints %s", out)
	}
	if out := s.must("subscription", "show", "hook"); !strings.Contains(out, "failing since") || !strings.Contains(out, "1 dead") || !strings.Contains(out, "ann.prices, up to 3 rows") {
		t.Errorf("show prints %s", out)
	}
	refuse("the test did not arrive: failing, 503", "subscription", "test", "hook")
	to.answer(204, secret)
	if out := s.must("subscription", "redeliver", "hook", id); out != "1 delivery is sent once more\n" {
		t.Errorf("redeliver prints %q", out)
	}
	eventually(t, 30*time.Second, "it arrives after all", func() bool { return to.count("view.refreshed ann.v") == 2 })
	s.must("subscription", "redeliver", "hook", "--all-dead")
	s.must("subscription", "redeliver", "hook", "--from", id, "--to", id, "--state", "delivered")
	eventually(t, 30*time.Second, "and once more", func() bool { return to.count("view.refreshed ann.v") == 3 })
	if out := s.must("subscription", "replay", "hook", "--after", "0"); out != "hook goes on after position 0\n" {
		t.Errorf("replay prints %q", out)
	}
	eventually(t, 30*time.Second, "all comes again", func() bool { return to.count("view.refreshed ann.v") == 5 && to.count("view.created ann.v") == 2 })

	// Secrets and changes.
	own := "whsec_" + strings.Repeat("B", 32)
	r := s.commandWith(own+"\n", "subscription", "rotate", "hook", "--secret", "-", "--keep", "1h")
	if r.code != 0 || !strings.HasPrefix(r.stdout, "secret: "+own+"\n") || !strings.Contains(r.stdout, "The one before signs too until ") {
		t.Errorf("rotate prints %s%s", r.stdout, r.stderr)
	}
	s.must("subscription", "test", "hook") // signed by both
	to.answer(204, own)
	s.must("subscription", "test", "hook")
	if out := s.must("subscription", "rotate", "hook"); !strings.Contains(out, "only two sign at the same time") {
		t.Errorf("rotate prints %s", out)
	}
	if out := s.must("subscription", "alter", "hook", "--condition", "$.rows > 0", "--type", "", "--rearm", "30m", "--timeout", "5s"); !strings.Contains(out, `($."rows" > 0)`) || !strings.Contains(out, "every 30m") || !strings.Contains(out, "types:") {
		t.Errorf("alter prints %s", out)
	}
	if plan := s.must("subscription", "alter", "hook", "--condition", "", "--dry-run"); plan != "select tinydev.alter_subscription('hook', condition => '');\n" {
		t.Errorf("a dry run prints %s", plan)
	}
	if out := s.must("subscription", "pause", "hook"); !strings.Contains(out, "paused") {
		t.Errorf("pause prints %s", out)
	}
	refuse("hook is paused: user", "subscription", "test", "hook")
	s.must("subscription", "resume", "hook")

	// E-mail and a program.
	s.must("subscription", "alter", "notices", "--email", "ann@example.org", "--mail-subject", "Trouble: {{.Subject}}")
	s.must("subscription", "test", "notices")
	if all := smtp.Messages(); len(all) != 1 || !strings.Contains(all[0].Data, "Subject: Trouble: ann.notices") {
		t.Errorf("%d messages came: %+v", len(all), all)
	}
	if out := s.must("subscription", "show", "notices"); !strings.Contains(out, `{"subject": "Trouble: {{.Subject}}"}`) && !strings.Contains(out, `{"subject":"Trouble: {{.Subject}}"}`) {
		t.Errorf("show prints %s", out)
	}
	s.must("subscription", "create", "counted", "--command", "count", "--type", "table.*")
	if out := s.must("subscription", "test", "counted"); !strings.HasSuffix(out, `"1"`+"\n") {
		t.Errorf("test prints %s", out)
	}

	refuse("say where to", "subscription", "create", "x")
	refuse("one of --webhook, --email and --command", "subscription", "create", "x", "--webhook", to.URL, "--email", "ann@example.org")
	refuse("there is no command", "subscription", "create", "x", "--command", "nothing")
	refuse("inner network", "subscription", "create", "x", "--webhook", "https://10.0.0.1/")
	refuse("template of the subject", "subscription", "create", "x", "--email", "ann@example.org", "--mail-subject", "{{.Nope}}")
	refuse("of the kind email", "subscription", "alter", "notices", "--webhook", to.URL)
	refuse("no subscription nothing", "subscription", "show", "nothing")
	refuse("say which", "subscription", "redeliver", "hook")
	refuse("say which", "subscription", "redeliver", "hook", id, "--all-dead")
	refuse("say where to begin", "subscription", "replay", "hook")
	refuse("is not the number of a delivery", "subscription", "delivery", "hook", "x")
	refuse("state", "subscription", "deliveries", "hook", "--state", "lost")

	if out := s.must("subscription", "drop", "counted"); out != "dropped counted of ann\n" {
		t.Errorf("drop prints %q", out)
	}
	list := decode[[]control.Subscription](t, s.must("subscription", "list", "--json"))
	if len(list) != 2 || list[0].Name != "notices" || list[1].Name != "hook" {
		t.Errorf("list gives %+v", list)
	}
	if strings.Contains(s.log.String(), "whsec_") {
		t.Error("the log holds a secret")
	}
}
