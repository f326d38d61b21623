package integration

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/control"
)

// page asks for a page or a call with a token ("" for none) and a cookie, and gives the status.
func page(t *testing.T, method, address, token string, cookie *http.Cookie, form url.Values) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if cookie != nil {
		r.AddCookie(cookie)
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Timeout: 30 * time.Second}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer
}

// TestTokens makes tokens on the command line, signs in and out of the pages with them, and finds all of it after a restart.
func TestTokens(t *testing.T) {
	onEach(t, func(t *testing.T, s *server) {
		s.must("user", "create", "bob")
		printed := s.must("token", "create", "--user", "bob", "--name", "phone", "--expires", "90d")
		if !regexp.MustCompile(`^td_[A-Za-z0-9_-]{43}\n$`).MatchString(printed) {
			t.Fatalf("token create prints %q", printed)
		}
		phone := strings.TrimSpace(printed)
		asBob := func(args ...string) result {
			cmd := s.prepare(args...)
			cmd.Env = append(cmd.Env, "TINYDEV_TOKEN="+phone)
			return run(t, cmd, "")
		}
		if r := asBob("table", "list"); r.code != 0 {
			t.Errorf("bob's token does not work: %s", r.stderr)
		}
		reader := strings.TrimSpace(s.must("token", "create", "--name", "reader", "--read-only", "--scope", "tables", "--scope", "views:read"))
		s.sql("create table friends (name text)")
		reading := s.prepare("table", "list")
		reading.Env = append(reading.Env, "TINYDEV_TOKEN="+reader)
		if r := run(t, reading, ""); r.code != 0 || !strings.Contains(r.stdout, "friends") {
			t.Errorf("a token that reads tables: %s%s", r.stdout, r.stderr)
		}
		for _, refused := range [][]string{{"table", "drop", "friends"}, {"job", "list"}, {"token", "create", "--name", "wider"}} {
			cmd := s.prepare(refused...)
			cmd.Env = append(cmd.Env, "TINYDEV_TOKEN="+reader)
			if r := run(t, cmd, ""); r.code != 2 || !strings.Contains(r.stderr, "token") {
				t.Errorf("%v with a narrow token: exit code %d, %s", refused, r.code, r.stderr)
			}
		}
		for _, bad := range [][]string{{"token", "create"}, {"token", "create", "--name", "x", "--expires", "soon"}, {"token", "create", "--name", "x", "--scope", "all"}, {"token", "revoke", "x"}} {
			if r := s.command(bad...); r.code != 2 || r.stdout != "" {
				t.Errorf("%v: exit code %d, %s%s", bad, r.code, r.stdout, r.stderr)
			}
		}
		plan := s.must("token", "create", "--name", "planned", "--scope", "views", "--dry-run")
		if answer := s.sql(strings.TrimSpace(plan)); !strings.Contains(answer, `"name": "planned"`) {
			t.Errorf("the dry run's statement, %s, gives %s", plan, answer)
		}
		if list := s.must("token", "list"); !strings.Contains(list, phone[:7]) || strings.Contains(list, phone) || !strings.Contains(list, "tables views:read, read only") {
			t.Errorf("token list:\n%s", list)
		}
		var tokens []control.Token
		if err := json.Unmarshal([]byte(s.must("token", "list", "--user", "bob", "--json")), &tokens); err != nil || len(tokens) != 1 || tokens[0].LastUsedAt == nil {
			t.Fatalf("%+v %v", tokens, err)
		}

		// Two browsers sign in; one signs out; then the server starts again.
		signIn := func() *http.Cookie {
			in := page(t, "POST", shellEnv(t, s)["TINYDEV_URL"]+"/login", "", nil, url.Values{"token": {phone}})
			if in.StatusCode != http.StatusSeeOther || len(in.Cookies()) != 1 {
				t.Fatalf("sign in: %s", in.Status)
			}
			return in.Cookies()[0]
		}
		stays, leaves := signIn(), signIn()
		if sessions := s.must("token", "list", "--sessions", "--user", "bob"); strings.Count(sessions, "phone") != 2 {
			t.Errorf("token list --sessions:\n%s", sessions)
		}
		if out := page(t, "POST", shellEnv(t, s)["TINYDEV_URL"]+"/logout", "", leaves, nil); out.StatusCode != http.StatusSeeOther {
			t.Fatalf("sign out: %s", out.Status)
		}
		s.signal(syscall.SIGTERM)
		s.start()
		at := shellEnv(t, s)["TINYDEV_URL"]
		if got := page(t, "GET", at+"/v1/tables", "", stays, nil); got.StatusCode != http.StatusOK {
			t.Errorf("who was signed in before the restart: %s", got.Status)
		}
		if got := page(t, "GET", at+"/v1/tables", "", leaves, nil); got.StatusCode != http.StatusUnauthorized {
			t.Errorf("who had signed out before the restart: %s", got.Status)
		}

		// A revoked token takes its pages along.
		if r := asBob("token", "revoke", strconv.FormatInt(tokens[0].TokenID, 10)); r.code != 0 || r.stdout != "revoked phone of bob\n" {
			t.Errorf("revoke: exit code %d, %s%s", r.code, r.stdout, r.stderr)
		}
		eventually(t, 10*time.Second, "the token and its page are refused", func() bool {
			return page(t, "GET", at+"/v1/tables", phone, nil, nil).StatusCode == 401 && page(t, "GET", at+"/v1/tables", "", stays, nil).StatusCode == 401
		})

		// Without its file the server makes itself another token, and the one before is good no more.
		before := shellEnv(t, s)["TINYDEV_TOKEN"]
		s.signal(syscall.SIGTERM)
		if err := os.Remove(filepath.Join(s.dataDir, "token")); err != nil {
			t.Fatal(err)
		}
		s.start()
		env := shellEnv(t, s)
		if got := page(t, "GET", env["TINYDEV_URL"]+"/v1/tables", before, nil, nil); got.StatusCode != 401 || env["TINYDEV_TOKEN"] == before {
			t.Errorf("the replaced token: %s", got.Status)
		}
		if got := page(t, "GET", env["TINYDEV_URL"]+"/v1/tables", env["TINYDEV_TOKEN"], nil, nil); got.StatusCode != 200 {
			t.Errorf("the new token: %s", got.Status)
		}
	})
}
