package web_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// TestCrossOrigin has another site, open in the browser that is signed in, send what changes something: forms, fetches of every sort and
// images. The other port is the same site, so the browser does send the cookie there; the other name is another site.
func TestCrossOrigin(t *testing.T) {
	t.Parallel()
	db := pgtest.DB(t)
	s := open(t, db, pgtest.Bob)
	bob := db.Conn(pgtest.Bob)
	for _, sql := range []string{"create table precious (a text)", "select tinydev.create_view('watched', 'select 1 as a')", "select tinydev.schedule('watched', '0 0 * * *')"} {
		if _, err := bob.Exec(context.Background(), sql); err != nil {
			t.Fatal(err)
		}
	}
	job := pgtest.Value[int64](t, bob, "select job_id from tinydev.job")
	before := pgtest.Value[string](t, db.Superuser(), bobsState)
	b := browse(t, s)

	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, `<!doctype html><title>evil</title><p>evil</p>`)
	}))
	t.Cleanup(evil.Close)
	for _, origin := range []string{evil.URL, strings.Replace(evil.URL, "127.0.0.1", "localhost", 1)} {
		b.do("open the other site", chromedp.Navigate(origin))
		b.see("evil")
		// Each attack answers with what its page got to see.
		attacks := []string{}
		for _, call := range [][3]string{
			{"POST", "/v1/tables", `{"name":"forged","columns":[{"name":"a","type":"text"}]}`}, {"DELETE", "/v1/tables/precious", ""}, {"POST", "/v1/views", `{"name":"forged","query":"select 1"}`},
			{"POST", "/v1/views/watched/refresh", ""}, {"DELETE", fmt.Sprintf("/v1/jobs/%d", job), ""}, {"PATCH", fmt.Sprintf("/v1/jobs/%d", job), `{"active":false}`}, {"POST", "/v1/tokens", `{"name":"forged"}`},
			{"POST", "/v1/grants", `{"relation":"precious","to":"eve","privilege":"select"}`}, {"POST", "/logout", ""}, {"GET", "/v1/tables", ""}, {"GET", "/v1/tables/precious/rows", ""}, {"GET", "/", ""},
		} {
			for _, mode := range []string{"cors", "no-cors"} {
				for _, kind := range []string{"application/json", "text/plain", "application/x-www-form-urlencoded"} {
					body := "undefined"
					if call[2] != "" {
						body = fmt.Sprintf("%q", call[2])
					}
					attacks = append(attacks, fmt.Sprintf(`fetch(%q, {method: %q, mode: %q, credentials: "include", body: %s, headers: {"Content-Type": %q}}).then((r) => r.text()).catch(() => "")`, s.url+call[1], call[0], mode, body, kind))
				}
			}
		}
		seen, err := chromedp.Run(b.ctx, chromedp.Evaluate[string]("Promise.all(["+strings.Join(attacks, ", ")+`]).then((all) => all.join(""))`, chromedp.EvalAwaitPromise))
		if err != nil {
			t.Fatal(err)
		}
		if seen != "" {
			t.Errorf("%s reads %.300s", origin, seen)
		}
		// A form can be sent anywhere, and its body may be made to look like JSON.
		for _, form := range []string{
			`<form method=post enctype=text/plain action="URL/v1/tables"><input name='{"name":"forged","columns":[{"name":"a","type":"text"}],"x":"' value='"}'></form>`,
			`<form method=post enctype=multipart/form-data action="URL/v1/uploads"><input name=table value=forged><textarea name=file>a\n1</textarea></form>`,
			`<form method=post action="URL/v1/views/watched/refresh"></form>`,
			`<form method=post action="URL/login"><input name=token value=td_forged></form>`,
			`<form method=post action="URL/logout"></form>`,
			`<form method=post action="URL/table/drop"><input name=name value=bob.precious></form>`,
			`<form method=post action="URL/view/refresh"><input name=name value=bob.watched></form>`,
			`<form method=post action="URL/job/remove"><input name=id value=1></form>`,
			`<form method=post action="URL/views/new"><input name=name value=forged><input name=query value="select 1"><input name=do value=create></form>`,
			`<form method=post action="URL/tokens/new"><input name=name value=forged></form>`,
			`<form method=post action="URL/share"><input name=relation value=bob.precious><input name=to value=eve><input name=privilege value=select><input name=do value=share></form>`,
			`<form method=post action="URL/trust"><input name=owner value=eve></form>`,
		} {
			b.do("open the other site", chromedp.Navigate(origin))
			b.see("evil")
			if _, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](fmt.Sprintf(`(document.body.innerHTML = %q, document.querySelector("form").submit(), true)`, strings.ReplaceAll(form, "URL", s.url)))); err != nil {
				t.Fatal(err)
			}
			b.is(`location.origin !== "` + origin + `" && document.readyState === "complete"`)
			if text := b.text(); strings.Contains(text, "precious") {
				t.Errorf("%s answers %s", form, text)
			}
		}
		b.do("open the other site", chromedp.Navigate(origin))
		b.see("evil")
		// A frame stays empty, so nobody clicks on what they do not see.
		framed, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](fmt.Sprintf(`new Promise((done) => {
  const frame = document.createElement("iframe");
  frame.onload = () => done(frame.contentWindow.length === 0 && frame.contentDocument === null);
  frame.src = %q;
  document.body.append(frame);
})`, s.url+"/"), chromedp.EvalAwaitPromise))
		if err != nil || !framed {
			t.Errorf("the frame: %v %v", framed, err)
		}
	}
	if after := pgtest.Value[string](t, db.Superuser(), bobsState); after != before {
		t.Errorf("another site changed something:\n%s\n%s", before, after)
	}
	b.open("/")
	b.see("Sign out") // not even that one was signed out
	b.mu.Lock()
	defer b.mu.Unlock()
	b.errors = slices.DeleteFunc(b.errors, func(message string) bool { // the browser tells of each refusal
		return strings.Contains(message, "blocked by CORS policy") || strings.Contains(message, "frame-ancestors")
	})
}

// bobsState is all of bob's that a request might change.
const bobsState = `select concat_ws(' ', (select string_agg(relname, ',' order by relname) from pg_class where relnamespace = 'bob'::regnamespace), (select string_agg(concat(jobid, schedule, active), ',') from cron.job where username = 'bob'),
  (select count(*) from tinydev_impl.inbox) + (select count(*) from tinydev_impl.event), (select count(*) from tinydev_impl.token where kind = 'token'), (select relacl from pg_class where oid = 'bob.precious'::regclass), (select count(*) from tinydev_impl.trust))`

// TestNoFrames holds that no page may stand in another site's frame, nor hold script that is not ours.
func TestNoFrames(t *testing.T) {
	t.Parallel()
	s := open(t, pgtest.DB(t), pgtest.Bob)
	for _, path := range []string{"/", "/login", "/nothing", "/docs", "/assets/app.css", "/v1/tables"} {
		req, err := http.NewRequest("GET", s.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		policy := resp.Header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "frame-ancestors 'none'") || !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe-eval") || strings.Contains(policy, "script-src 'self' 'unsafe") || resp.Header.Get("X-Content-Type-Options") != "nosniff" ||
			resp.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %v", path, resp.Header)
		}
	}
}
