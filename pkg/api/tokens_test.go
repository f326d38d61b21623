package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/api"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

// made is what POST /v1/tokens answers.
type made struct {
	TokenID  int64    `json:"token_id"`
	Token    string   `json:"token"`
	User     string   `json:"user"`
	Prefix   string   `json:"prefix"`
	Scopes   []string `json:"scopes"`
	ReadOnly bool     `json:"read_only"`
}

// make has a role make a token, and keeps it under the name of it.
func (h *harness) make(role, body string) made {
	h.t.Helper()
	got := h.call(role, "POST", "/v1/tokens", body)
	if got.status != 201 {
		h.t.Fatalf("%s: %d %s", body, got.status, got.body)
	}
	var m made
	check(h.t, json.Unmarshal([]byte(got.body), &m))
	var in struct{ Name string }
	check(h.t, json.Unmarshal([]byte(body), &in))
	h.tokens[in.Name] = m.Token
	return m
}

func TestTokenRoutes(t *testing.T) {
	t.Parallel()
	h := start(t)
	laptop := h.make(pgtest.Ann, `{"name":"laptop"}`)
	if laptop.User != pgtest.Ann || laptop.Scopes != nil || len(laptop.Token) != 46 || !strings.HasPrefix(laptop.Token, laptop.Prefix) || len(laptop.Prefix) != 7 {
		t.Errorf("%+v", laptop)
	}
	if got := h.call("laptop", "GET", "/v1/tables", ""); got.status != 200 {
		t.Errorf("the token does not work: %s", got.body)
	}
	phone := h.make(pgtest.Admin, `{"name":"phone","user":"bob","read_only":true,"scopes":["views","jobs:read","views"],"expires_at":"2100-01-01T00:00:00Z"}`)
	if phone.User != pgtest.Bob || !slices.Equal(phone.Scopes, []string{"jobs:read", "views"}) || !phone.ReadOnly {
		t.Errorf("%+v", phone)
	}
	for what, test := range map[string]struct {
		role, call, body string
		status           int
		code             string
	}{
		"the name again":        {pgtest.Ann, "POST /v1/tokens", `{"name":"laptop"}`, 409, "token_name_taken"},
		"no name":               {pgtest.Ann, "POST /v1/tokens", `{"name":""}`, 422, "request_invalid"},
		"a line end":            {pgtest.Ann, "POST /v1/tokens", `{"name":"a\nb"}`, 422, "token_invalid"},
		"for another":           {pgtest.Ann, "POST /v1/tokens", `{"name":"x","user":"bob"}`, 403, "admin_only"},
		"for nobody":            {pgtest.Ann, "POST /v1/tokens", `{"name":"x","user":"nobody"}`, 403, "admin_only"},
		"an administrator too":  {pgtest.Admin, "POST /v1/tokens", `{"name":"x","user":"nobody"}`, 403, "not_a_user"},
		"for a superuser":       {pgtest.Admin, "POST /v1/tokens", `{"name":"x","user":"tinydev_superuser"}`, 403, "not_a_user"},
		"for the server":        {pgtest.Admin, "POST /v1/tokens", `{"name":"x","user":"tinydev_server"}`, 403, "not_a_user"},
		"expired":               {pgtest.Ann, "POST /v1/tokens", `{"name":"x","expires_at":"2020-01-01T00:00:00Z"}`, 422, "token_invalid"},
		"an unknown scope":      {pgtest.Ann, "POST /v1/tokens", `{"name":"x","scopes":["everything"]}`, 422, "scope_unknown"},
		"a scope that writes":   {pgtest.Ann, "POST /v1/tokens", `{"name":"x","scopes":["views:write"]}`, 422, "scope_unknown"},
		"no scope":              {pgtest.Ann, "POST /v1/tokens", `{"name":"x","scopes":[]}`, 422, "token_invalid"},
		"a sha256 of one's own": {pgtest.Ann, "POST /v1/tokens", `{"name":"x","sha256":"00"}`, 422, "request_invalid"},
		"another's":             {pgtest.Ann, fmt.Sprintf("DELETE /v1/tokens/%d", phone.TokenID), "", 404, "token_not_found"},
		"one that is not there": {pgtest.Ann, "DELETE /v1/tokens/999999", "", 404, "token_not_found"},
	} {
		method, path, _ := strings.Cut(test.call, " ")
		if got := h.call(test.role, method, path, test.body); got.status != test.status || got.problem(t).Code != test.code {
			t.Errorf("%s: %d %s", what, got.status, got.body)
		}
	}
	if one, two := h.call(pgtest.Ann, "DELETE", fmt.Sprintf("/v1/tokens/%d", phone.TokenID), "").problem(t), h.call(pgtest.Ann, "DELETE", "/v1/tokens/999999", "").problem(t); strings.ReplaceAll(one.Detail, fmt.Sprint(phone.TokenID), "N") != strings.ReplaceAll(two.Detail, "999999", "N") {
		t.Errorf("another's token can be told from none: %s, %s", one.Detail, two.Detail)
	}

	plan := h.call(pgtest.Ann, "POST", "/v1/tokens?dry_run=true", `{"name":"it's","scopes":["views"],"expires_at":"2100-01-01T00:00:00Z"}`)
	var sql struct{ SQL []string }
	check(t, json.Unmarshal([]byte(plan.body), &sql))
	if plan.status != 200 || len(sql.SQL) != 1 || strings.Contains(plan.body, "td_") {
		t.Fatalf("%d %s", plan.status, plan.body)
	}
	answer := pgtest.Value[string](t, h.db.Conn(pgtest.Ann), strings.TrimSuffix(sql.SQL[0], ";"))
	if !strings.Contains(answer, `"token": "td_`) || !strings.Contains(answer, `"scopes": ["views"]`) || !strings.Contains(answer, "2100-01-01") {
		t.Errorf("the statement of the dry run made %s", answer)
	}
	var inSQL made
	check(t, json.Unmarshal([]byte(answer), &inSQL))
	h.tokens["sql"] = inSQL.Token
	if got := h.call("sql", "GET", "/v1/views", ""); got.status != 200 || len(inSQL.Token) != 46 {
		t.Errorf("a token made in SQL: %d %s", got.status, got.body)
	}

	list := h.call(pgtest.Ann, "GET", "/v1/tokens", "")
	for _, has := range []string{`"name":"laptop"`, `"name":"it's"`, `"name":"test"`, `"prefix":"` + laptop.Prefix, `"created_by":"Ann"`, `"last_used_at":"20`, `"next":null`} {
		if !strings.Contains(list.body, has) {
			t.Errorf("no %s in %s", has, list.body)
		}
	}
	if strings.Contains(list.body, "bob") || strings.Contains(list.body, laptop.Token) || strings.Contains(list.body, "sha256") {
		t.Errorf("the list tells too much: %s", list.body)
	}
	if all := h.call(pgtest.Admin, "GET", "/v1/tokens?user=bob&limit=1", "").body; !strings.Contains(all, `"user":"bob"`) || strings.Contains(all, `"next":null`) {
		t.Errorf("%s", all)
	}

	path := fmt.Sprintf("/v1/tokens/%d", laptop.TokenID)
	if got := h.call(pgtest.Ann, "DELETE", path+"?dry_run=true", ""); got.status != 200 || !strings.Contains(got.body, fmt.Sprintf("select tinydev.revoke_token(%d);", laptop.TokenID)) {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := h.call(pgtest.Ann, "DELETE", path, ""); got.status != 200 || !strings.Contains(got.body, `"name":"laptop"`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	pgtest.Eventually(t, 10*time.Second, "the revoked token is refused", func() bool { return h.call("laptop", "GET", "/v1/tables", "").status == 401 })
	if got := h.call(pgtest.Admin, "DELETE", fmt.Sprintf("/v1/tokens/%d", phone.TokenID), ""); got.status != 200 {
		t.Errorf("an administrator cannot revoke: %s", got.body)
	}

	for i := range 100 {
		if got := h.call(pgtest.Bob, "POST", "/v1/tokens", fmt.Sprintf(`{"name":"n%d"}`, i)); got.status == 409 && got.problem(t).Code == "tokens_too_many" {
			return
		}
	}
	t.Error("there is no end of tokens")
}

// operation is a call as /openapi.json tells it.
type operation struct {
	ID          string `json:"operationId"`
	Tags        []string
	Description string
	Security    []map[string][]string
	Method      string `json:"-"`
	Path        string `json:"-"`
}

func (h *harness) operations() []operation {
	h.t.Helper()
	var doc struct {
		Paths map[string]map[string]json.RawMessage
	}
	check(h.t, json.Unmarshal([]byte(h.call("", "GET", "/openapi.json", "").body), &doc))
	var all []operation
	for path, methods := range doc.Paths {
		for method, text := range methods {
			op := operation{Method: strings.ToUpper(method), Path: path}
			check(h.t, json.Unmarshal(text, &op))
			all = append(all, op)
		}
	}
	return all
}

// What reading calls need besides a name; the name and the id of a path are of what the test made.
var readingCalls = map[string]struct{ query, body string }{
	"preview-schedule": {query: "?schedule=5+seconds"},
	"preview-query":    {body: `{"query":"select 1 as one"}`},
}

// TestAccess holds for each operation of the API which tokens it lets in.
func TestAccess(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.happen(pgtest.Admin, "t")
	if got := h.call(pgtest.Admin, "POST", "/v1/views", `{"name":"v","query":"select * from t"}`); got.status != 201 {
		t.Fatal(got.body)
	}
	h.make(pgtest.Admin, `{"name":"reader","read_only":true}`)
	scopes := pgtest.Value[[]string](t, h.db.Superuser(), "select tinydev_lib.scopes()")
	for _, scope := range scopes {
		h.make(pgtest.Admin, fmt.Sprintf(`{"name":%q,"scopes":[%q]}`, scope, scope))
		h.make(pgtest.Admin, fmt.Sprintf(`{"name":%q,"scopes":[%q]}`, scope+":read", scope+":read"))
	}
	h.make(pgtest.Admin, `{"name":"reading views","scopes":["views"],"read_only":true}`)

	upload, multipart := form(t, "file", csv)
	call := func(role string, op operation, reads bool) answer {
		path := strings.NewReplacer("{name}", map[string]string{"tables": "t", "views": "v", "jobs": "v", "users": "bob", "triggers": "t", "subscriptions": "hook"}[op.Tags[0]], "{id}", "1", "{owner}", "bob").Replace(op.Path)
		if !reads {
			return h.call(role, op.Method, path, "") // without a body nothing is changed
		}
		if op.ID == "preview-upload" {
			return h.call(role, op.Method, path, upload, multipart)
		}
		if op.ID == "stream-events" {
			s := h.stream(role, "")
			defer s.close()
			return answer{status: s.resp.StatusCode}
		}
		with := readingCalls[op.ID]
		return h.call(role, op.Method, path+with.query, with.body)
	}
	refused := func(a answer) string {
		if a.status != 403 {
			return ""
		}
		return a.problem(t).Code
	}

	var tags, wholes []string
	for _, op := range h.operations() {
		if len(op.Tags) != 1 {
			t.Errorf("%s has the tags %v", op.ID, op.Tags)
			continue
		}
		tag := op.Tags[0]
		tags = append(tags, tag)
		word := ""
		if len(op.Security) == 1 && len(op.Security[0]["token"]) == 1 {
			word = op.Security[0]["token"][0]
		}
		reads, whole := word == tag+":read", word == ""
		if word != "" && !reads && word != tag || op.Method == http.MethodGet && !reads {
			t.Errorf("%s needs %q", op.ID, word)
		}
		if whole {
			wholes = append(wholes, op.ID)
		}
		if whole != strings.Contains(op.Description, "without scopes") || !whole && !strings.Contains(op.Description, "Scope of the token: "+word+".") {
			t.Errorf("%s says: %s", op.ID, op.Description)
		}

		switch got := call("reader", op, reads); {
		case !reads && refused(got) != "token_read_only":
			t.Errorf("a token that only reads may %s: %d %s", op.ID, got.status, got.body)
		case reads && got.status/100 != 2 && got.status != 404:
			t.Errorf("a token that only reads may not %s: %d %s", op.ID, got.status, got.body)
		}
		for _, scope := range scopes {
			for _, role := range []string{scope, scope + ":read"} {
				may := scope == tag && !whole && (reads || role == scope)
				if op.ID == "stream-events" && !may {
					if got := h.call(role, "GET", op.Path, ""); refused(got) != "token_scope" {
						t.Errorf("the scope %s lets in %s", role, op.ID)
					}
					continue
				}
				if got := call(role, op, reads); (refused(got) != "token_scope") != may {
					t.Errorf("with the scope %s, %s answers %d %s", role, op.ID, got.status, got.body)
				}
			}
		}
		if got := call("reading views", op, reads && op.ID != "stream-events"); refused(got) == "" && !(tag == "views" && reads) {
			t.Errorf("a narrow token that only reads may %s", op.ID)
		}
	}
	slices.Sort(tags)
	if tags = slices.Compact(tags); !slices.Equal(tags, scopes) {
		t.Errorf("the tags are %v, the scopes %v", tags, scopes)
	}
	for _, id := range []string{"create-token", "revoke-token", "create-user", "alter-user", "drop-user", "set-password", "link-identity", "trust"} {
		if !slices.Contains(wholes, id) {
			t.Errorf("a token with scopes may %s", id)
		}
	}
}

// PostgreSQL itself keeps the sessions of a token that only reads from writing.
func TestReadOnlySessions(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.make(pgtest.Ann, `{"name":"reader","read_only":true}`)
	execute := func(sql string) {
		t.Helper()
		_, err := h.db.Conn(pgtest.Ann).Exec(context.Background(), sql)
		check(t, err)
	}
	execute(`create sequence s; create table t as select 1 as a; create table log (line text);
		create function spoil(x int) returns int language plpgsql as $$
		begin
		  perform set_config('transaction_read_only', 'off', false), set_config('default_transaction_read_only', 'off', false);
		  insert into log values ('x');
		  return x;
		end $$`)
	for _, query := range []string{"select spoil(a) from t", "select set_config('transaction_read_only', 'off', false)", "select setval('s', 1)", "with d as (delete from t returning a) select * from d"} {
		for _, role := range []string{"reader", pgtest.Ann} {
			if got := h.call(role, "POST", "/v1/queries/preview", fmt.Sprintf(`{"query":%q}`, query)); got.status == 200 {
				t.Errorf("a preview of %s, %s: %d %s", role, query, got.status, got.body)
			}
		}
	}
	if got := h.call("reader", "POST", "/v1/queries/preview", `{"query":"select current_setting('transaction_read_only') as ro from t"}`); got.status != 200 || !strings.Contains(got.body, `"on"`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	// Row security is what runs a user's code when a table is read; of an export too, where nothing of ours makes it read-only.
	execute(`alter table t enable row level security; alter table t force row level security; create policy p on t using (spoil(a) = 1)`)
	if got := h.call("reader", "GET", "/v1/tables/t/rows", ""); got.status == 200 {
		t.Errorf("a policy wrote for a token that only reads: %s", got.body)
	}
	if n := pgtest.Value[int](t, h.db.Conn(pgtest.Ann), "select count(*)::int from log"); n != 0 {
		t.Errorf("%d rows were written", n)
	}
	// The same session serves a token that writes.
	h.happen(pgtest.Ann, "later")
}

// ended reads a stream to its end and gives its last comment.
func (s *stream) ended() string {
	s.t.Helper()
	comment := ""
	for f := s.frame(); f != nil; f = s.frame() {
		if f[""] != "" {
			comment = f[""]
		}
	}
	return comment
}

func TestStreamsEnd(t *testing.T) {
	t.Parallel()
	h := start(t, func(o *api.Options) { o.RecheckEvery = 200 * time.Millisecond })
	ctx := context.Background()
	super := h.db.Superuser()

	revoked := h.make(pgtest.Ann, `{"name":"revoked"}`)
	s := h.stream("revoked", "")
	h.happen(pgtest.Ann, "t")
	s.event()
	if got := h.call(pgtest.Ann, "DELETE", fmt.Sprintf("/v1/tokens/%d", revoked.TokenID), ""); got.status != 200 {
		t.Fatal(got.body)
	}
	if got := s.ended(); !strings.HasPrefix(got, "ended token_unknown: ") {
		t.Errorf("after the token was revoked: %q", got)
	}

	h.make(pgtest.Ann, fmt.Sprintf(`{"name":"short","expires_at":%q}`, time.Now().Add(3*time.Second).UTC().Format(time.RFC3339Nano)))
	s = h.stream("short", "")
	if got := s.ended(); !strings.HasPrefix(got, "ended token_expired: ") {
		t.Errorf("after the token expired: %q", got)
	}
	if got := h.call("short", "GET", "/v1/events/stream", ""); got.status != 401 || got.problem(t).Code != "token_expired" {
		t.Errorf("reconnecting: %d %s", got.status, got.body)
	}

	opened := h.call("", "GET", "/?code="+h.auth.NewCode(pgtest.Ann), "")
	cookie := header("Cookie", strings.Split(opened.header.Get("Set-Cookie"), ";")[0])
	s = h.stream(pgtest.Ann, "", cookie, func(r *http.Request) { r.Header.Del("Authorization") })
	if out := h.call("", "POST", "/logout", "", cookie); out.status != 303 {
		t.Fatal(out.body)
	}
	if got := s.ended(); !strings.HasPrefix(got, "ended token_unknown: ") {
		t.Errorf("after signing out: %q", got)
	}

	run := func(sql string) {
		t.Helper()
		_, err := super.Exec(ctx, sql)
		check(t, err)
	}
	role := "streams_" + strings.ToLower(h.db.Name)
	run(fmt.Sprintf("create role %[1]s login; grant tinydev_user to %[1]s", role))
	t.Cleanup(func() { h.db.Superuser().Exec(ctx, "drop role if exists "+role) })
	h.make(pgtest.Admin, fmt.Sprintf(`{"name":"member","user":%q}`, role))
	s = h.stream("member", "")
	run("revoke tinydev_user from " + role)
	if got := s.ended(); !strings.HasPrefix(got, "ended not_a_user: ") {
		t.Errorf("after the role is no user any more: %q", got)
	}
	run("grant tinydev_user to " + role)
	pgtest.Eventually(t, 10*time.Second, "the role is let in again", func() bool { return h.call("member", "GET", "/v1/tables", "").status == 200 })
	s = h.stream("member", "")
	run("drop role " + role)
	if got := s.ended(); !strings.HasPrefix(got, "ended not_a_user: ") {
		t.Errorf("after the role was dropped: %q", got)
	}
	pgtest.Eventually(t, 10*time.Second, "nobody follows any more", func() bool { return h.relay.Subscribers() == 0 })
}

func TestStreamsAreLimited(t *testing.T) {
	t.Parallel()
	h := start(t)
	var all []*stream
	for range 100 {
		all = append(all, h.stream(pgtest.Ann, ""))
	}
	got := h.call(pgtest.Ann, "GET", "/v1/events/stream", "")
	if got.status != 429 || got.problem(t).Code != "streams_limit" || got.header.Get("Retry-After") == "" {
		t.Errorf("%d %s %v", got.status, got.body, got.header)
	}
	h.stream(pgtest.Bob, "").close() // another user's are counted apart
	all[0].close()
	pgtest.Eventually(t, 10*time.Second, "there is room again", func() bool {
		s := h.stream(pgtest.Ann, "")
		defer s.close()
		return s.resp.StatusCode == 200
	})
}
