package deliver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/tinydevcrm/tinydevcrm/pkg/deliver"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// newEmail makes the kind for a server of the tests.
func newEmail(t *testing.T, s *pgtest.SMTPServer) *deliver.Email {
	t.Helper()
	e, err := deliver.NewEmail(deliver.EmailOptions{URL: s.URL(), From: "Tïny <noreply@crm.example>", PublicURL: "https://crm.example/", Hostname: "crm.example", Roots: s.Roots})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// mailSubscription makes a subscription to e-mail.
func mailSubscription(target, options string) deliver.Subscription {
	return deliver.Subscription{ID: 7, Owner: "ann", Name: "bdays", Target: target, Options: json.RawMessage(options),
		Unsubscribe: func(recipient string) string { return "https://crm.example/unsubscribe?to=" + recipient }}
}

// mailEvent makes an event about a subject.
func mailEvent(position int64, kind, subject, data string) deliver.Event {
	text, err := json.Marshal(map[string]any{"specversion": "1.0", "id": fmt.Sprint(position), "source": "urn:uuid:1", "type": "tinydev." + kind, "subject": subject,
		"time": "2027-01-01T09:00:00.012345Z", "workspace": "ann", "actor": "ann", "data": json.RawMessage(data)})
	if err != nil {
		panic(err)
	}
	return deliver.Event{Position: position, Type: kind, Subject: subject, Attempt: 1, JSON: text}
}

const mailRefreshed = `{"rows":3,"duration_ms":12,"cause":"schedule","concurrently":true,"inserted":1,"deleted":0,"changed":true}`

// receivedMail is a message as a mail program reads it.
type receivedMail struct {
	pgtest.Mail
	mail.Header
	subject, plain, html string
}

// findMail waits for nothing: a message that was delivered is there.
func findMail(t *testing.T, s *pgtest.SMTPServer, to string) receivedMail {
	t.Helper()
	all := s.Messages()
	at := slices.IndexFunc(all, func(m pgtest.Mail) bool { return slices.Equal(m.To, []string{to}) })
	if at < 0 {
		t.Fatalf("no message to %s among %d", to, len(all))
	}
	return readMail(t, all[at])
}

func readMail(t *testing.T, raw pgtest.Mail) receivedMail {
	t.Helper()
	message, err := mail.ReadMessage(strings.NewReader(raw.Data))
	if err != nil {
		t.Fatal(err)
	}
	r := receivedMail{Mail: raw, Header: message.Header}
	if r.subject, err = new(mime.WordDecoder).DecodeHeader(message.Header.Get("Subject")); err != nil {
		t.Fatal(err)
	}
	kind, parameters, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("%s %v", kind, err)
	}
	parts := multipart.NewReader(message.Body, parameters["boundary"])
	for _, part := range []struct {
		kind string
		text *string
	}{{"text/plain", &r.plain}, {"text/html", &r.html}} {
		p, err := parts.NextRawPart()
		if err != nil {
			t.Fatal(err)
		}
		kind, parameters, err := mime.ParseMediaType(p.Header.Get("Content-Type"))
		if err != nil || kind != part.kind || !strings.EqualFold(parameters["charset"], "utf-8") || p.Header.Get("Content-Transfer-Encoding") != "quoted-printable" {
			t.Fatalf("%v %v", p.Header, err)
		}
		text, err := io.ReadAll(quotedprintable.NewReader(p))
		if err != nil {
			t.Fatal(err)
		}
		*part.text = strings.ReplaceAll(string(text), "\r\n", "\n")
	}
	if _, err := parts.NextRawPart(); err != io.EOF {
		t.Errorf("there are more parts than two: %v", err)
	}
	return r
}

// sendMail sends and insists.
func sendMail(t *testing.T, e *deliver.Email, s deliver.Subscription, events ...deliver.Event) {
	t.Helper()
	if o := e.Send(t.Context(), s, events); o.State != deliver.Delivered || o.StatusCode != 250 || o.Error != "" || !strings.Contains(o.Response, "queued") {
		t.Fatalf("%+v", o)
	}
}

func mailContains(t *testing.T, what, text string, wanted ...string) {
	t.Helper()
	for _, want := range wanted {
		if !strings.Contains(text, want) {
			t.Errorf("%s misses %q:\n%s", what, want, text)
		}
	}
}

func TestEmailMessage(t *testing.T) {
	t.Parallel()
	s := pgtest.StartSMTP(t, pgtest.SMTPOptions{})
	e := newEmail(t, s)
	if e.Name() != "email" {
		t.Error(e.Name())
	}

	t.Run("one event", func(t *testing.T) {
		sendMail(t, e, mailSubscription("bob@example.org", ""), mailEvent(41, "view.refreshed", "ann.geburtstage_übermorgen", mailRefreshed))
		m := findMail(t, s, "bob@example.org")
		mailContains(t, "the plain text", m.plain, "ann.geburtstage_übermorgen was refreshed.\n", "\nTime         2027-01-01 09:00:00 UTC\n", "\nBy           ann\n", "\nRows         3 (1 new, 0 gone)\n",
			"\nTook         12ms\n", "\nCause        schedule\n", "\nhttps://crm.example/view?name=ann.geburtstage_%C3%BCbermorgen\n",
			"\n-- \nann subscribed bob@example.org to these messages of TinyDevCRM: subscription bdays.\nUnsubscribe: https://crm.example/unsubscribe?to=bob%40example.org\n")
		mailContains(t, "the HTML", m.html, "<strong>ann.geburtstage_übermorgen was refreshed</strong>", ">2027-01-01 09:00:00 UTC<", ">3 (1 new, 0 gone)<", `<a href="https://crm.example/view?name=ann.geburtstage_%C3%BCbermorgen"`,
			`<a href="https://crm.example/unsubscribe?to=bob%40example.org"`)
		if strings.Contains(m.plain+m.html, "Error") {
			t.Error("it tells of an error")
		}
		if m.subject != "ann.geburtstage_übermorgen was refreshed" || m.Mail.From != "noreply@crm.example" || m.Hello != "crm.example" {
			t.Errorf("%s %+v", m.subject, m.Mail)
		}
		if from, err := m.AddressList("From"); err != nil || from[0].Name != "Tïny" || from[0].Address != "noreply@crm.example" {
			t.Errorf("%v %v", from, err)
		}
		if at, err := m.Date(); err != nil || time.Since(at).Abs() > time.Minute {
			t.Errorf("%v %v", at, err)
		}
		for name, want := range map[string]string{"To": "<bob@example.org>", "Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All", "Mime-Version": "1.0", "Cc": "", "User-Agent": "",
			"List-Unsubscribe": "<https://crm.example/unsubscribe?to=bob%40example.org>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"} {
			if got := m.Get(name); got != want {
				t.Errorf("%s: %q", name, got)
			}
		}
	})

	t.Run("an address beyond ASCII", func(t *testing.T) {
		sendMail(t, e, mailSubscription("jörg@bücher.example", ""), mailEvent(43, "view.refreshed", "ann.bdays", "{}"))
		m := findMail(t, s, "jörg@bücher.example")
		if m.Get("To") != "<jörg@bücher.example>" || m.Get("List-Unsubscribe") != "<https://crm.example/unsubscribe?to=j%C3%B6rg%40b%C3%BCcher.example>" {
			t.Errorf("%v", m.Header)
		}
	})

	t.Run("a failure", func(t *testing.T) {
		plain := mailSubscription("fay@example.org", "")
		plain.Unsubscribe = nil
		sendMail(t, e, plain, mailEvent(42, "view.failed", "ann.bdays", `{"sqlstate":"22012","code":null,"message":"division by zero","detail":"row 3\nof 4","cause":"schedule","duration_ms":1500}`))
		m := findMail(t, s, "fay@example.org")
		mailContains(t, "the plain text", m.plain, "ann.bdays could not be refreshed.\n", "\nTook         1.5s\n", "\nSqlstate     22012\n", "\nError:\n  division by zero\n  row 3\n  of 4\n")
		mailContains(t, "the HTML", m.html, "division by zero<br>\nrow 3<br>\nof 4</p>")
		if m.Get("List-Unsubscribe")+m.Get("List-Unsubscribe-Post") != "" || strings.Contains(m.plain+m.html, "nsubscribe:") || strings.Contains(m.plain, "Code") {
			t.Errorf("%v\n%s", m.Header, m.plain)
		}
	})

	t.Run("a recovery", func(t *testing.T) {
		recovery := mailEvent(50, "view.refreshed", "ann.works", mailRefreshed)
		recovery.Recovers = true
		sendMail(t, e, mailSubscription("recovered@example.org", ""), recovery)
		m := findMail(t, s, "recovered@example.org")
		if m.subject != "ann.works works again" {
			t.Error(m.subject)
		}
		for _, text := range []string{m.plain, m.html} {
			mailContains(t, "the message", text, "ann.works works again", "The trouble that you were told of is over: it was refreshed.", "Rows")
		}
	})

	t.Run("a digest", func(t *testing.T) {
		sendMail(t, e, mailSubscription("dee@example.org", ""), mailEvent(50, "view.refreshed", "ann.bdays", mailRefreshed),
			mailEvent(51, "view.failed", "ann.bdays", `{"sqlstate":"22012","message":"division by zero"}`), mailEvent(52, "table.loaded", "ann.friends", `{"upload_id":7,"rows":4,"source":"friends.csv"}`))
		m := findMail(t, s, "dee@example.org")
		if m.subject != "3 events for bdays" {
			t.Error(m.subject)
		}
		mailContains(t, "the plain text", m.plain, "3 events for bdays:\n", "\n2027-01-01 09:00:00 UTC  ann.bdays was refreshed\n  By ann, Rows 3 (1 new, 0 gone), Took 12ms, Cause schedule\n  https://crm.example/view?name=ann.bdays\n",
			"ann.bdays could not be refreshed\n  By ann, Sqlstate 22012\n  division by zero\n", "ann.friends has new rows\n  By ann, Rows 4, Source friends.csv, Upload id 7\n  https://crm.example/table?name=ann.friends\n")
		mailContains(t, "the HTML", m.html, "<strong>3 events for bdays</strong>", ">ann.friends has new rows</a>", "division by zero")

		var many []deliver.Event
		for i := range int64(150) {
			many = append(many, mailEvent(100+i, "view.refreshed", "ann.bdays", fmt.Sprintf(`{"rows":%d}`, 1000+i)))
		}
		sendMail(t, e, mailSubscription("max@example.org", ""), many...)
		m = findMail(t, s, "max@example.org")
		if m.subject != "ann.bdays: 150 events" || strings.Contains(m.plain, "Rows 1049") {
			t.Errorf("%s\n%s", m.subject, m.plain)
		}
		mailContains(t, "the plain text", m.plain, "(50 earlier ones are not listed)", "Rows 1050\n", "Rows 1149\n")
	})

	t.Run("rows", func(t *testing.T) {
		attached := `{"rows":2,"attached":{"relation":"ann.sums","columns":[{"name":"Month","type":"text"},{"name":"Sum","type":"numeric(10,2)"},{"name":"Note","type":"text"}],
			"rows":[["January",12.50,"plus <b>"],["März",-3,null],["long ` + strings.Repeat("x", 100) + `","1000000000000000000000.01","y"]],"truncated":true}}`
		sendMail(t, e, mailSubscription("tab@example.org", ""), mailEvent(60, "view.refreshed", "ann.sums", attached))
		m := findMail(t, s, "tab@example.org")
		mailContains(t, "the plain text", m.plain, "\nann.sums\n\nMonth                                    |                       Sum | Note\n"+strings.Repeat("-", 40)+"-+-"+strings.Repeat("-", 25)+"-+---------\n",
			"\nJanuary                                  |                     12.50 | plus <b>\nMärz                                     |                        -3 |\n", "…", " | 1000000000000000000000.01 | y\nand further rows\n")
		mailContains(t, "the HTML", m.html, ">Month</th>", `<th align="right"`, ">12.50</td>", ">plus &lt;b&gt;</td>", "and further rows", strings.Repeat("x", 100)+"</td>")
		if strings.Contains(m.html, "bgcolor") {
			t.Error("nobody asked for a chart")
		}

		var rows []string
		for i := range 70 {
			rows = append(rows, fmt.Sprintf(`[%d,"name %d"]`, i, i))
		}
		sendMail(t, e, mailSubscription("cut@example.org", ""), mailEvent(61, "view.refreshed", "ann.names",
			`{"attached":{"relation":"ann.names","columns":[{"name":"id","type":"bigint"},{"name":"name","type":"text"}],"rows":[`+strings.Join(rows, ",")+`],"truncated":false}}`))
		m = findMail(t, s, "cut@example.org")
		mailContains(t, "the plain text", m.plain, "\n49 | name 49\nand 20 further rows\n")
		if strings.Contains(m.plain+m.html, "name 50") {
			t.Error("it shows more than 50 rows")
		}

		for to, c := range map[string]struct{ attached, says string }{
			"none@example.org": {`{"relation":"ann.names","columns":[{"name":"id","type":"bigint"}],"rows":[],"truncated":false}`, "ann.names\n\nid\n--\nThere are no rows.\n"},
			"err@example.org":  {`{"relation":"ann.names","truncated":false,"error":"not_readable"}`, "ann.names\n\nThe rows cannot be read: not_readable.\n"},
			"more@example.org": {`{"relation":"ann.names","columns":[{"name":"id","type":"bigint"},{"name":"o","type":"jsonb"}],"rows":[[1,{"a":[1.50,true]}],[2]],"truncated":true}`,
				"id | o\n---+-----------------\n 1 | {\"a\":[1.5,true]}\n 2 |\nand further rows\n"},
		} {
			sendMail(t, e, mailSubscription(to, `{"chart":"bar"}`), mailEvent(64, "view.refreshed", "ann.names", `{"attached":`+c.attached+`}`))
			mailContains(t, "the plain text", findMail(t, s, to).plain, c.says)
		}
	})

	t.Run("a chart", func(t *testing.T) {
		attached := func(kind string) string {
			return `{"attached":{"relation":"ann.sums","columns":[{"name":"id","type":"uuid"},{"name":"sum","type":"` + kind + `"},{"name":"n","type":"integer"}],
				"rows":[["a",200,1],["b",-100,2],["c",null,3],["d","NaN",4]],"truncated":false}}`
		}
		sendMail(t, e, mailSubscription("bar@example.org", `{"chart":"bar"}`), mailEvent(62, "view.refreshed", "ann.sums", attached("double precision")))
		m := findMail(t, s, "bar@example.org")
		mailContains(t, "the HTML", m.html, `>a</td><td width="50%"><table cellpadding="0" cellspacing="0" border="0" width="100%"><tr><td width="100%" height="14" bgcolor="#0b57d0" style="font-size:1px;line-height:14px">&nbsp;</td></tr></table>`,
			`<td width="50%" height="14" bgcolor="#b3261e" style="font-size:1px;line-height:14px">&nbsp;</td><td width="50%" height="14"`, `>NaN</td></tr>`)
		loadsNothing(t, m.html)
		sendMail(t, e, mailSubscription("nobar@example.org", `{"chart":"bar"}`), mailEvent(63, "view.refreshed", "ann.sums",
			`{"attached":{"relation":"ann.sums","columns":[{"name":"id","type":"uuid"}],"rows":[["a"]],"truncated":false}}`))
		mailContains(t, "the HTML", findMail(t, s, "nobar@example.org").html, "There is no chart", ">a</td>")
	})

	t.Run("templates", func(t *testing.T) {
		sendMail(t, e, mailSubscription("tmpl@example.org", `{"subject":"{{.Subject | upper}}: {{with .Data.rows}}{{.}} rows{{end}}{{.Data.none}}",
			"body":"Hello!\n{{range .Events}}{{.What}} at {{.Time}}{{if gt .Data.rows 2}} <many>{{end}} {{.Data.ratio}} {{.Data.list}}\n{{end}}{{truncate 5 .Subscription}} {{default \"nothing\" .Data.none}}"}`),
			mailEvent(70, "view.refreshed", "ann.bdays", `{"rows":3,"ratio":0.25,"list":[1,"a"]}`))
		m := findMail(t, s, "tmpl@example.org")
		if m.subject != "ANN.BDAYS: 3 rows" {
			t.Errorf("%q", m.subject)
		}
		mailContains(t, "the plain text", m.plain, "Hello!\nann.bdays was refreshed at 2027-01-01 09:00:00 UTC <many> 0.25 [1,\"a\"]\nbdays nothing\n", "subscription bdays.\nUnsubscribe:")
		mailContains(t, "the HTML", m.html, "<p>Hello!<br>\nann.bdays was refreshed at 2027-01-01 09:00:00 UTC &lt;many&gt; 0.25 [1,&#34;a&#34;]<br>\nbdays nothing</p>")
		o := e.Send(t.Context(), mailSubscription("tmpl@example.org", `{"body":"{{gt .Data.rows 3}}"}`), []deliver.Event{mailEvent(71, "view.refreshed", "ann.bdays", `{}`)})
		if o.State != deliver.Failed || o.StatusCode != 0 || !strings.Contains(o.Error, "the template of the body cannot be used: body:1:2") {
			t.Errorf("%+v", o)
		}
	})
}

// loadsNothing insists that HTML loads nothing and runs nothing, and gives its elements.
func loadsNothing(t *testing.T, text string) map[string]int {
	t.Helper()
	elements := map[string]int{}
	z := html.NewTokenizer(strings.NewReader(text))
	for z.Next() != html.ErrorToken {
		token := z.Token()
		if token.Type != html.StartTagToken && token.Type != html.SelfClosingTagToken {
			continue
		}
		elements[token.Data]++
		for _, a := range token.Attr {
			if a.Key == "src" || a.Key == "background" || strings.HasPrefix(a.Key, "on") || strings.Contains(a.Val, "url(") ||
				a.Key == "href" && (token.Data != "a" || !strings.HasPrefix(a.Val, "https://crm.example/")) {
				t.Errorf("<%s %s=%q>", token.Data, a.Key, a.Val)
			}
		}
	}
	for _, name := range []string{"script", "img", "link", "iframe", "style", "form", "b", "object", "base"} {
		if elements[name] > 0 {
			t.Errorf("there is <%s>", name)
		}
	}
	return elements
}

func TestEmailHostileTexts(t *testing.T) {
	t.Parallel()
	s := pgtest.StartSMTP(t, pgtest.SMTPOptions{})
	e := newEmail(t, s)
	for i, evil := range []string{
		"x\r\nBcc: eve@example.org\r\n\r\nbody", "x\nX-Evil: yes", "x\rX-Evil: yes", "<script>alert(1)</script><img src=x onerror=alert(1)>", `"><a href="https://evil.example">`,
		"\u202eevil\u202c \u2066\u2069\u200f\u061c", "\x00\x07\x1b[31m", "=?utf-8?q?=0D=0ABcc:_eve@example.org?=", "\u2028Bcc: eve@example.org", "\ufeff\u00ad\U000e0041", "line\r\n.\r\nMAIL FROM:<eve@example.org>\r\n",
		"javascript:alert(1)", "{{.Owner}} ${x} %s %0d%0aBcc:", strings.Repeat("ü", 5000),
	} {
		quoted, err := json.Marshal(evil)
		if err != nil {
			t.Fatal(err)
		}
		data := strings.ReplaceAll(`{"message":Q,"detail":Q,"source":Q,"k":{Q:[Q]},Q:Q,"attached":{"relation":Q,"columns":[{"name":Q,"type":"text"},{"name":"n","type":"integer"}],"rows":[[Q,1],[Q,Q]],"truncated":false}}`, "Q", string(quoted))
		for j, options := range []string{`{"chart":"bar"}`, `{"subject":"{{.Data.message}} {{.Subject}}","body":"{{.Data.message}}\n{{.Data.k}} {{.Attached}} {{.Data}}"}`} {
			to := fmt.Sprintf("hostile-%d-%d@example.org", i, j)
			sub := mailSubscription(to, options)
			sub.Owner, sub.Name = evil, evil
			sub.Unsubscribe = func(string) string { return "https://crm.example/unsubscribe?a=" + evil }
			one := mailEvent(int64(i), "view.failed", evil, data)
			events := []deliver.Event{one}
			if j == 0 && i%2 == 0 {
				events = append(events, mailEvent(int64(i+1000), evil, evil, data))
			}
			sendMail(t, e, sub, events...)
			m := findMail(t, s, to)
			for name, values := range m.Header {
				if !slices.Contains([]string{"From", "To", "Subject", "Date", "Message-Id", "References", "In-Reply-To", "Mime-Version", "Content-Type", "Auto-Submitted", "X-Auto-Response-Suppress",
					"List-Unsubscribe", "List-Unsubscribe-Post"}, name) || len(values) != 1 {
					t.Errorf("%q made the header %s: %q", evil, name, values)
				}
			}
			if n := len([]rune(m.subject)); n == 0 || n > 200+10 {
				t.Errorf("%q gives a subject of %d characters", evil, n)
			}
			for what, text := range map[string]string{"subject": m.subject, "plain text": m.plain, "HTML": m.html} {
				if strings.ContainsAny(text, "\x00\x07\x1b\r\u202e\u202c\u2066\u2069\u200f\u061c\ufeff\u2028\u00ad\U000e0041") {
					t.Errorf("%q shows in the %s: %q", evil, what, text)
				}
			}
			if strings.ContainsAny(m.subject, "\n\t") {
				t.Errorf("%q: %q", evil, m.subject)
			}
			elements := loadsNothing(t, m.html)
			if elements["a"] > 3 {
				t.Errorf("%q makes links: %s", evil, m.html)
			}
		}
	}
	for _, m := range s.Messages() {
		if len(m.To) != 1 || !strings.HasPrefix(m.To[0], "hostile-") || m.From != "noreply@crm.example" {
			t.Errorf("%+v", m)
		}
	}
}

// What is about one subject refers to one message that there is not, and the same attempt again has the same id.
func TestEmailThreads(t *testing.T) {
	t.Parallel()
	s := pgtest.StartSMTP(t, pgtest.SMTPOptions{})
	e := newEmail(t, s)
	ids, threads := map[string]string{}, map[string]string{}
	for _, c := range []struct {
		does, thread string
		id           int64
		to           string
		events       []deliver.Event
	}{
		{"first", "one", 1, "a@example.org", []deliver.Event{mailEvent(1, "view.refreshed", "ann.one", "{}")}},
		{"second", "one", 1, "a@example.org", []deliver.Event{mailEvent(2, "view.refreshed", "ann.one", "{}")}},
		{"other reader", "one", 1, "b@example.org", []deliver.Event{mailEvent(2, "view.refreshed", "ann.one", "{}")}},
		{"other subject", "two", 1, "a@example.org", []deliver.Event{mailEvent(3, "view.refreshed", "ann.two", "{}")}},
		{"other subscription", "other one", 2, "a@example.org", []deliver.Event{mailEvent(1, "view.refreshed", "ann.one", "{}")}},
		{"digest", "one", 1, "a@example.org", []deliver.Event{mailEvent(1, "view.refreshed", "ann.one", "{}"), mailEvent(2, "view.refreshed", "ann.one", "{}")}},
		{"mixed digest", "mixed", 1, "a@example.org", []deliver.Event{mailEvent(1, "view.refreshed", "ann.one", "{}"), mailEvent(3, "view.refreshed", "ann.two", "{}")}},
	} {
		for attempt := range 2 {
			sub := mailSubscription(c.to, "")
			sub.ID = c.id
			c.events[0].Attempt = attempt + 1
			sendMail(t, e, sub, c.events...)
			all := s.Messages()
			m := readMail(t, all[len(all)-1])
			id, thread := m.Get("Message-Id"), m.Get("References")
			if !strings.HasPrefix(id, "<event.") || !strings.HasSuffix(id, "@crm.example>") || thread != m.Get("In-Reply-To") || !strings.HasPrefix(thread, "<thread.") {
				t.Errorf("%s: %s %s", c.does, id, thread)
			}
			if other, seen := ids[id]; seen && other != c.does {
				t.Errorf("%s has the id of %s", c.does, other)
			} else if !seen && attempt > 0 {
				t.Errorf("%s has another id when it is sent again", c.does)
			}
			ids[id] = c.does
			if other, seen := threads[thread]; seen && other != c.thread {
				t.Errorf("%s is in the thread of %s", c.does, other)
			}
			threads[thread] = c.thread
		}
	}
	if len(ids) != 7 || len(threads) != 4 {
		t.Errorf("%v\n%v", ids, threads)
	}
}

func TestEmailTargets(t *testing.T) {
	t.Parallel()
	e, err := deliver.NewEmail(deliver.EmailOptions{URL: "smtp://127.0.0.1:1", From: "noreply@crm.example"})
	if err != nil {
		t.Fatal(err)
	}
	many := make([]string, 21)
	for i := range many {
		many[i] = fmt.Sprintf("ann%d@example.org", i)
	}
	for target, says := range map[string]string{"": "there are 0", " , ": "there are 0", strings.Join(many, ","): "there are 21", "ann": `"ann" is no e-mail address`, "ann@example.org,bob": `"bob"`,
		"ann@example.org\r\nRCPT TO:<eve@example.org>": "no e-mail address", "Ann <ann@example.org>": "no e-mail address", "ann@example.org> NOTIFY=NEVER": "no e-mail address", "a\u202eb@example.org": "no e-mail address",
		"ann@@example.org": "no e-mail address", `"a b"@example.org`: "no e-mail address"} {
		o := e.Send(t.Context(), mailSubscription(target, ""), []deliver.Event{mailEvent(1, "view.refreshed", "ann.x", "{}")})
		if o.State != deliver.Failed || !strings.Contains(o.Error, says) || o.StatusCode != 0 {
			t.Errorf("%q: %+v", target, o)
		}
	}
	for _, options := range []deliver.EmailOptions{{}, {URL: "smtp://127.0.0.1"}, {URL: "https://127.0.0.1", From: "a@b.example"}} {
		if _, err := deliver.NewEmail(options); fault.CodeOf(err) != "config_invalid" {
			t.Errorf("%+v: %v", options, err)
		}
	}
}

func TestEmailRefusals(t *testing.T) {
	t.Parallel()
	s := pgtest.StartSMTP(t, pgtest.SMTPOptions{})
	e := newEmail(t, s)
	one := []deliver.Event{mailEvent(1, "view.refreshed", "ann.x", mailRefreshed)}
	attempt := func(n int, target string) deliver.Outcome {
		one[0].Attempt = n
		return e.Send(t.Context(), mailSubscription(target, ""), one)
	}

	s.Behave(pgtest.SMTPBehaviour{Refuse: map[string]string{"ann@example.org": "550 5.1.1 no such user", "cat@example.org": "452 4.2.2 mailbox full"}})
	const target = "ann@example.org, bob@example.org, cat@example.org, BOB@example.org"
	o := attempt(1, target)
	if o.State != deliver.Failed || o.StatusCode != 452 || o.Error != "cat@example.org: 452 4.2.2 mailbox full; ann@example.org: 550 5.1.1 no such user" || o.Response != "4.2.2 mailbox full" {
		t.Errorf("%+v", o)
	}
	o = attempt(2, target)
	if o.State != deliver.Failed || o.StatusCode != 452 || !strings.Contains(o.Error, "cat@example.org: 452") || strings.Contains(o.Error, "bob") {
		t.Errorf("%+v", o)
	}
	// Who is refused for good keeps the next event from nobody.
	s.Behave(pgtest.SMTPBehaviour{Refuse: map[string]string{"eve@example.org": "550 5.1.1 no such user"}})
	for _, target := range []string{"eve@example.org, fay@example.org", "fay@example.org, eve@example.org"} {
		before := len(s.Messages())
		if o = attempt(1, target); o.State != deliver.Delivered || o.StatusCode != 250 || o.Error != "eve@example.org: 550 5.1.1 no such user" || len(s.Messages()) != before+1 {
			t.Errorf("%+v %d", o, len(s.Messages()))
		}
	}
	if o = attempt(1, "eve@example.org"); o.State != deliver.Failed || o.StatusCode != 550 {
		t.Errorf("%+v", o)
	}
	s.Behave(pgtest.SMTPBehaviour{})
	if o = attempt(3, target); o.State != deliver.Delivered {
		t.Errorf("%+v", o)
	}
	for _, m := range s.Messages() {
		if m.Connection != 1 {
			t.Errorf("to %v by connection %d", m.To, m.Connection)
		}
	}
	if all := s.Messages(); len(all) != 5 || all[0].To[0] != "bob@example.org" {
		t.Errorf("bob got more than one: %d", len(all))
	}
	// Once all have it, the same event again is a replay.
	if o = attempt(1, target); o.State != deliver.Delivered || len(s.Messages()) != 8 {
		t.Errorf("%+v %d", o, len(s.Messages()))
	}

	for _, c := range []struct {
		behaviour pgtest.SMTPBehaviour
		code      int
		says      string
	}{
		{pgtest.SMTPBehaviour{Data: "451 4.3.0 try later"}, 451, "dan@example.org: 451 4.3.0 try later"},
		{pgtest.SMTPBehaviour{Data: "554 5.7.1 looks like spam"}, 554, "dan@example.org: 554 5.7.1 looks like spam"},
		{pgtest.SMTPBehaviour{From: "550 5.7.1 sender refused"}, 550, "dan@example.org: 550 5.7.1 sender refused"},
		{pgtest.SMTPBehaviour{Refuse: map[string]string{"dan@example.org": "421 4.4.5 too busy"}}, 421, "dan@example.org: 421 4.4.5 too busy"},
	} {
		s.Behave(c.behaviour)
		if o := attempt(1, "dan@example.org"); o.State != deliver.Failed || o.StatusCode != c.code || o.Error != c.says {
			t.Errorf("%+v: %+v", c.behaviour, o)
		}
	}
	s.Behave(pgtest.SMTPBehaviour{})
	if o := attempt(1, "dan@example.org"); o.State != deliver.Delivered {
		t.Errorf("%+v", o)
	}
}

// A server that hangs ends with the context; one that drops the connection at the end leaves unclear whether it took the message, so that it is
// sent again, with the same id.
func TestEmailHangAndDrop(t *testing.T) {
	t.Parallel()
	s := pgtest.StartSMTP(t, pgtest.SMTPOptions{})
	e := newEmail(t, s)
	one := []deliver.Event{mailEvent(1, "view.refreshed", "ann.x", mailRefreshed)}
	for _, where := range []string{"hello", "rcpt", "data"} {
		s.Behave(pgtest.SMTPBehaviour{Hang: where})
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		start := time.Now()
		o := e.Send(ctx, mailSubscription("ann@example.org,bob@example.org", ""), one)
		cancel()
		if o.State != deliver.Failed || o.StatusCode != 0 || !strings.Contains(o.Error, s.Address+" did not answer in time; 1 more not tried") || time.Since(start) > 20*time.Second {
			t.Errorf("%s: %+v after %v", where, o, time.Since(start))
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if o := e.Send(ctx, mailSubscription("ann@example.org", ""), one); o.State != deliver.Failed || !strings.Contains(o.Error, "interrupted") {
		t.Errorf("%+v", o)
	}

	// A recipient for whom it hangs keeps the other waiting for one attempt.
	s.Behave(pgtest.SMTPBehaviour{Hang: "rcpt", HangFor: "ann@example.org"})
	for n := 1; n <= 2; n++ {
		one[0].Attempt = n
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		if o := e.Send(ctx, mailSubscription("ann@example.org,bob@example.org", ""), one); o.State != deliver.Failed || !strings.HasPrefix(o.Error, "ann@example.org: ") {
			t.Errorf("attempt %d: %+v", n, o)
		}
		cancel()
	}
	if all := s.Messages(); len(all) != 1 || all[0].To[0] != "bob@example.org" {
		t.Errorf("%+v", all)
	}

	s.Behave(pgtest.SMTPBehaviour{Drop: true})
	if o := e.Send(t.Context(), mailSubscription("dan@example.org", ""), one); o.State != deliver.Failed || o.Error != "dan@example.org: "+s.Address+" closed the connection before it answered" {
		t.Errorf("%+v", o)
	}
	s.Behave(pgtest.SMTPBehaviour{})
	sendMail(t, e, mailSubscription("dan@example.org", ""), one...)
	all := s.Messages()
	if len(all) != 3 || readMail(t, all[1]).Get("Message-Id") != readMail(t, all[2]).Get("Message-Id") {
		t.Errorf("%d messages", len(all))
	}
}

func TestEmailLogin(t *testing.T) {
	t.Parallel()
	one := []deliver.Event{mailEvent(1, "view.refreshed", "ann.x", mailRefreshed)}
	const user, password = "crm@example.org", "p@ss/w:rd%"
	for _, encryption := range []string{"", "starttls", "tls"} {
		t.Run("tls="+encryption, func(t *testing.T) {
			t.Parallel()
			s := pgtest.StartSMTP(t, pgtest.SMTPOptions{User: user, Password: password, TLS: encryption})
			sendMail(t, newEmail(t, s), mailSubscription("ann@example.org", ""), one...)
			if m := findMail(t, s, "ann@example.org"); m.User != user || m.TLS != (encryption != "") {
				t.Errorf("%+v", m.Mail)
			}
			options := deliver.EmailOptions{URL: strings.Replace(s.URL(), "p%40ss", "wrong", 1), From: "noreply@crm.example", Roots: s.Roots}
			refused := func(code int, says string) {
				t.Helper()
				e, err := deliver.NewEmail(options)
				if err != nil {
					t.Fatal(err)
				}
				o := e.Send(t.Context(), mailSubscription("ann@example.org, bob@example.org", ""), one)
				if o.State != deliver.Failed || o.StatusCode != code || !strings.HasPrefix(o.Error, "connect to "+s.Address+": ") || !strings.Contains(o.Error, says) || !strings.HasSuffix(o.Error, "; 1 more not tried") ||
					strings.Contains(o.Error+o.Response, "w:rd") {
					t.Errorf("%+v", o)
				}
			}
			refused(535, "Authentication failed")
			if encryption == "" {
				options.URL = s.URL() + "?tls=starttls"
				refused(0, "STARTTLS")
				return
			}
			options = deliver.EmailOptions{URL: s.URL(), From: "noreply@crm.example"}
			refused(0, "certificate")
			_, port, err := net.SplitHostPort(s.Address)
			if err != nil {
				t.Fatal(err)
			}
			// The name counts, too.
			options.Roots, options.URL = s.Roots, strings.Replace(s.URL(), s.Address, "127.0.0.2:"+port, 1)
			s.Address = "127.0.0.2:" + port
			refused(0, "127.0.0.2")
			if all := s.Messages(); len(all) != 1 {
				t.Errorf("%d messages", len(all))
			}
		})
	}
}

func TestEmailKeepsConnections(t *testing.T) {
	t.Parallel()
	s := pgtest.StartSMTP(t, pgtest.SMTPOptions{})
	e := newEmail(t, s)
	for i := range int64(50) {
		sendMail(t, e, mailSubscription("ann@example.org,bob@example.org", ""), mailEvent(i, "view.refreshed", "ann.x", mailRefreshed))
	}
	for _, m := range s.Messages() {
		if m.Connection != 1 {
			t.Fatalf("a message came by connection %d", m.Connection)
		}
	}
	var wait sync.WaitGroup
	for worker := range int64(8) {
		wait.Go(func() {
			for i := range int64(20) {
				if o := e.Send(t.Context(), mailSubscription(fmt.Sprintf("w%d@example.org", worker), ""), []deliver.Event{mailEvent(100+worker*20+i, "view.refreshed", "ann.x", mailRefreshed)}); o.State != deliver.Delivered {
					t.Errorf("%+v", o)
				}
			}
		})
	}
	wait.Wait()
	if all := s.Messages(); len(all) != 260 {
		t.Errorf("%d messages", len(all))
	}

	// An idle connection whose other end is gone is noticed before anything is sent.
	s.Kill()
	if o := e.Send(t.Context(), mailSubscription("ann@example.org", ""), []deliver.Event{mailEvent(1, "view.refreshed", "ann.x", mailRefreshed)}); o.State != deliver.Failed || !strings.Contains(o.Error, "connect to "+s.Address) || o.StatusCode != 0 {
		t.Errorf("%+v", o)
	}
	again := pgtest.StartSMTP(t, pgtest.SMTPOptions{Listen: s.Address})
	sendMail(t, e, mailSubscription("ann@example.org", ""), mailEvent(2, "view.refreshed", "ann.x", mailRefreshed))
	e.Close()
	sendMail(t, e, mailSubscription("bob@example.org", ""), mailEvent(2, "view.refreshed", "ann.x", mailRefreshed))
	sendMail(t, e, mailSubscription("cat@example.org", ""), mailEvent(2, "view.refreshed", "ann.x", mailRefreshed))
	if all := again.Messages(); len(all) != 3 || all[0].Connection != 1 || all[1].Connection != 2 || all[2].Connection != 3 {
		t.Errorf("%+v", all)
	}
}

func TestCheckEmailOptions(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"", "{}", "null", `{"subject":"","body":"","chart":""}`, `{"chart":"bar"}`, `{"subject":"{{.Subject}} {{.Count}}","body":"{{range $i, $e := .Events}}{{$i}} {{$e.What}}{{else}}none{{end}}"}`,
		`{"body":"{{with .Attached}}{{range .Rows}}{{index . 0}} {{end}}{{(index .Columns 0).Name}} {{len .Rows}}{{end}}{{/* a comment */}}"}`,
		`{"body":"{{if and .Data.rows (gt .Data.rows 2)}}many{{else if eq .Type \"view.failed\"}}{{.Error}}{{end}}{{.Data.rows}}{{.Owner | upper | lower}}{{.}}"}`,
		`{"body":"{{range 3}}x{{if eq 1 2}}{{break}}{{end}}{{end}}{{$x := .Type}}{{$x}}"}`} {
		if err := deliver.CheckEmailOptions(json.RawMessage(good)); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	page, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(page), "are [Go templates]")
	if err := deliver.CheckEmailOptions(json.RawMessage(example[strings.Index(example, "{\""):strings.Index(example, "\n\n`.Type`")])); err != nil {
		t.Errorf("the example of docs/configuration.md: %v", err)
	}
	nested := "{{range .Events}}" + strings.Repeat("{{range 1000000}}", 6) + strings.Repeat("{{end}}", 7)
	for body, says := range map[string]string{
		"{{.Nope}}": "can't evaluate field Nope", "{{": "unclosed action", "{{if}}{{end}}": "missing value", "{{nope}}": `function "nope" not defined`, "{{.Data.a.b}}": "nil", "{{gt .Data.rows 3}}": "for comparison",
		"{{index .Events 5}}": "out of range", `{{printf "%d" 1}}`: "there is no function printf", `{{"a" | print}}`: "no function print", "{{html .Type}}": "no function html", `{{(js .Type).X}}`: "no function js",
		"{{call .Type}}": "no function call", `{{if not (slice .Type 1)}}{{end}}`: "no function slice", `{{tick}}`: "no function tick", `{{.Type | show}}`: "no function show", `{{range .Events}}{{with println 1}}{{end}}{{end}}`: "no function println",
		`{{define "x"}}{{end}}`: "define is not allowed", `{{template "body"}}`: "is not allowed", `{{block "x" .}}{{end}}`: "define is not allowed",
		nested: "longer than a second", "{{range 1000000000}}{{end}}": "longer than a second", "{{range 1000000000}}{{continue}}{{end}}": "longer than a second", "{{range 100000}}" + strings.Repeat("x", 1000) + "{{end}}": "over 256 KiB",
		strings.Repeat("ü", 20_001): "longer than 20000", "{{range .Events}}{{range 1000000000}}{{$x := upper .}}{{end}}{{end}}": "longer than a second",
	} {
		for _, option := range []string{"subject", "body"} {
			if option == "subject" && says == "longer than a second" {
				continue // once is enough
			}
			options, err := json.Marshal(map[string]string{option: body})
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			f := fault.As(deliver.CheckEmailOptions(options))
			if f == nil || f.Code != "template_invalid" || f.Kind != fault.Invalid || !strings.Contains(f.Message, says) || !strings.Contains(f.Message, "template of the "+option) || f.Fields["option"] != option {
				t.Errorf("%.60s: %v", body, f)
			}
			if took := time.Since(start); took > 30*time.Second {
				t.Errorf("%.60s takes %v", body, took)
			}
		}
	}
	for _, bad := range []string{`{"colour":"red"}`, `{"chart":"pie"}`, `{"subject":1}`, `[]`, `{`} {
		if f := fault.As(deliver.CheckEmailOptions(json.RawMessage(bad))); f == nil || f.Code != "subscription_invalid" || f.Fields["field"] != "options" {
			t.Errorf("%s: %v", bad, f)
		}
	}
}

// FuzzEmailTemplate holds templates to their limits: whatever a template is, checking it ends and does not panic.
func FuzzEmailTemplate(f *testing.F) {
	for _, seed := range []string{"{{.Type}}", "{{range .Events}}{{.What}}{{end}}", "{{range 9}}{{truncate 3 $.Type}}{{end}}", "{{with $x := .Attached}}{{index $x.Rows 0}}{{end}}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		options, err := json.Marshal(map[string]string{"body": body})
		if err != nil {
			t.Skip()
		}
		start := time.Now()
		if err := deliver.CheckEmailOptions(bytes.TrimSpace(options)); err != nil && fault.CodeOf(err) != "template_invalid" {
			t.Error(err)
		}
		if time.Since(start) > 20*time.Second {
			t.Error("it takes too long")
		}
	})
}
