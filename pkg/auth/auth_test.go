package auth_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tinydevcrm/tinydevcrm/pkg/auth"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestUserName(t *testing.T) {
	for login, want := range map[string]string{
		"ann": "ann", "root": "admin", "postgres": "admin", "Ann": "ann", "ann.smith": "ann_smith", "CORP\\Ann Smith": "ann_smith", "ann@corp.example": "ann",
		"1st": "u_1st", "_x": "x", "": "me", "été": "t", "日本": "me", "pg_ann": "u_pg_ann", "tinydev": "u_tinydev", "public": "u_public", "everyone": "u_everyone",
		strings.Repeat("a", 70): strings.Repeat("a", 63), "o'neil": "o_neil", "ann\"; drop": "ann_drop",
	} {
		name, mapped := auth.UserName(login)
		if name != want || mapped != (name != login) {
			t.Errorf("%q becomes %q (%v), not %q", login, name, mapped, want)
		}
	}
}

func TestKeptToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "token")
	token, err := auth.KeptToken(path)
	if err != nil || !strings.HasPrefix(token, "td_") || len(token) != 46 {
		t.Fatal(token, err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	again, err := auth.KeptToken(path)
	if err != nil || again != token {
		t.Errorf("the token changed: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	if err := os.WriteFile(path, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := auth.KeptToken(path); fault.CodeOf(err) != "token_file_invalid" {
		t.Errorf("%v", err)
	}
}

// installation is a database and the Auth of a server on it.
type installation struct {
	*auth.Auth
	t     *testing.T
	db    *pgtest.Database
	pool  *pgxpool.Pool
	token string // of Ann
	log   *bytes.Buffer
}

func install(t *testing.T) *installation {
	t.Helper()
	db := pgtest.DB(t)
	pool, err := postgres.Open(context.Background(), db.URL("tinydev_server"), "test", 4)
	check(t, err)
	t.Cleanup(pool.Close)
	i := &installation{t: t, db: db, pool: pool, token: auth.NewToken()}
	i.restart()
	check(t, i.Register(context.Background(), pgtest.Ann, "first", i.token))
	return i
}

// restart forgets all that is not in the database.
func (i *installation) restart() {
	i.t.Helper()
	i.log = &bytes.Buffer{}
	a, err := auth.New(auth.Options{Server: i.pool, Token: i.token, Secure: true, Logger: slog.New(slog.NewTextHandler(i.log, nil))})
	check(i.t, err)
	i.Auth = a
}

// who gives the principal of a request, and the code of the fault.
func (i *installation) who(r *http.Request) (auth.Principal, string) {
	p, err := i.Principal(context.Background(), r)
	if err == nil {
		return p, ""
	}
	return p, fault.CodeOf(err)
}

// make makes a token of a user by SQL, and gives it and its id.
func (i *installation) make(user, name, more string) (token string, id int64) {
	i.t.Helper()
	token = auth.NewToken()
	sum, prefix := auth.Stored(token)
	id = pgtest.Value[int64](i.t, i.db.Conn(user), "select (tinydev.create_token($1, sha256 => $2, prefix => $3"+more+") ->> 'token_id')::bigint", name, sum, prefix)
	return token, id
}

func (i *installation) run(sql string, args ...any) {
	i.t.Helper()
	_, err := i.db.Superuser().Exec(context.Background(), sql, args...)
	check(i.t, err)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func bearer(token string) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

// signedIn gives a request with the cookies that w set.
func signedIn(w *httptest.ResponseRecorder) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	for _, c := range w.Result().Cookies() {
		r.AddCookie(c)
	}
	return r
}

func (i *installation) signIn(token string) (*httptest.ResponseRecorder, error) {
	w := httptest.NewRecorder()
	return w, i.SignInWithToken(context.Background(), w, httptest.NewRequest("POST", "/login", nil), token)
}

func TestPageSessions(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	i := install(t)
	w, err := i.signIn(" " + i.token + "\n")
	check(t, err)
	c := w.Result().Cookies()[0]
	if !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || !strings.HasPrefix(c.Name, "__Host-") || time.Until(c.Expires) > 30*24*time.Hour {
		t.Errorf("%+v", c)
	}
	other, err := i.signIn(i.token)
	check(t, err)
	if other.Result().Cookies()[0].Value == c.Value {
		t.Error("two sign-ins have one session")
	}
	i.restart()
	p, code := i.who(signedIn(w))
	if p.Role != pgtest.Ann || p.Kind != auth.KindSession || p.TokenID == 0 || p.TokenName != "first" || p.ReadOnly || p.Scopes != nil || p.Expires.IsZero() {
		t.Errorf("%+v %s", p, code)
	}
	if _, code := i.who(bearer(c.Value)); code != "token_malformed" {
		t.Errorf("a session's secret is taken as a token: %q", code)
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(&http.Cookie{Name: c.Name, Value: i.token})
	if _, code := i.who(r); code != "session_ended" {
		t.Errorf("a token is taken as a cookie: %q", code)
	}

	// Signed out is signed out, for a copy of the cookie and after a restart too.
	out := httptest.NewRecorder()
	check(t, i.SignOut(ctx, out, signedIn(w)))
	if back := out.Result().Cookies()[0]; back.Value != "" || back.Expires.After(time.Now()) {
		t.Errorf("the cookie stays: %+v", back)
	}
	for range 2 {
		if _, code := i.who(signedIn(w)); code != "session_ended" {
			t.Errorf("signed out, and yet %q", code)
		}
		i.restart()
	}
	check(t, i.SignOut(ctx, httptest.NewRecorder(), signedIn(w)))
	if _, code := i.who(signedIn(other)); code != "" {
		t.Errorf("the other browser is signed out too: %s", code)
	}
	if n := pgtest.Value[int](t, i.db.Superuser(), "select count(*)::int from tinydev_impl.token t where t::text like '%' || $1 || '%'", other.Result().Cookies()[0].Value); n != 0 {
		t.Error("the database holds the secret of a session")
	}

	// A server of another token has other cookies.
	foreign, err := auth.New(auth.Options{Server: i.pool, Token: auth.NewToken(), Secure: true})
	check(t, err)
	if _, err := foreign.Principal(ctx, signedIn(other)); fault.CodeOf(err) != "not_signed_in" {
		t.Errorf("%v", err)
	}
	// When the database cannot be asked, the sign-out says so and leaves the cookie.
	i.pool.Close()
	kept := httptest.NewRecorder()
	if err := i.SignOut(ctx, kept, signedIn(other)); err == nil || len(kept.Result().Cookies()) != 0 {
		t.Errorf("%v", err)
	}
}

// A session ends with the token that it was opened with, and may do no more.
func TestSessionsFollowTheirToken(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	i := install(t)
	token, id := i.make(pgtest.Ann, "laptop", ", read_only => true, expires_at => now() + interval '1 hour'")
	w, err := i.signIn(token)
	check(t, err)
	p, code := i.who(signedIn(w))
	if !p.ReadOnly || time.Until(p.Expires) > time.Hour {
		t.Errorf("%+v %s", p, code)
	}
	if n := pgtest.Value[int](t, i.db.Conn(pgtest.Ann), "select sessions from tinydev.token where token_id = $1", id); n != 1 {
		t.Errorf("%d sessions", n)
	}
	check(t, i.Recheck(ctx, p))
	if _, err := i.db.Conn(pgtest.Ann).Exec(ctx, "select tinydev.revoke_token($1::bigint)", id); err != nil {
		t.Fatal(err)
	}
	if err := i.Recheck(ctx, p); fault.CodeOf(err) != "token_unknown" {
		t.Errorf("%v", err)
	}
	i.restart()
	if _, code := i.who(signedIn(w)); code != "session_ended" {
		t.Errorf("the session outlives its token: %q", code)
	}

	scoped, _ := i.make(pgtest.Ann, "scoped", ", scopes => '{views:read}'")
	if w, err := i.signIn(scoped); fault.CodeOf(err) != "token_scoped" || len(w.Result().Cookies()) != 0 {
		t.Errorf("%v", err)
	}
	if got := pgtest.Value[[]string](t, i.db.Superuser(), "select array_agg(concat_ws(' ', actor, action, detail ->> 'refused') order by audit_id) from tinydev_impl.audit where action like 'sign_in%'"); strings.Join(got, "; ") != "Ann sign_in; Ann sign_in.refused token_scoped" {
		t.Errorf("audited: %q", got)
	}

	// The rotation of the first token ends its pages; storing the same again does not.
	first, err := i.signIn(i.token)
	check(t, err)
	check(t, i.Register(ctx, pgtest.Ann, "first", i.token))
	i.restart()
	if _, code := i.who(signedIn(first)); code != "" {
		t.Error(code)
	}
	check(t, i.Register(ctx, pgtest.Ann, "first", auth.NewToken()))
	i.restart()
	for what, r := range map[string]*http.Request{"session_ended": signedIn(first), "token_unknown": bearer(i.token)} {
		if _, code := i.who(r); code != what {
			t.Errorf("%q instead of %s", code, what)
		}
	}
}

func TestSessionsOfOthersKinds(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	i := install(t)
	// As after a sign-on elsewhere: no token stands behind it.
	w := httptest.NewRecorder()
	check(t, i.SignIn(ctx, w, auth.Principal{Role: pgtest.Bob, Kind: auth.KindJWT, Expires: time.Now().Add(time.Minute)}))
	p, code := i.who(signedIn(w))
	if p.Role != pgtest.Bob || time.Until(p.Expires) > time.Minute {
		t.Errorf("%+v %s", p, code)
	}
	for _, role := range []string{"tinydev_superuser", "tinydev_server", "nobody"} {
		w := httptest.NewRecorder()
		if err := i.SignIn(ctx, w, auth.Principal{Role: role, Kind: auth.KindJWT}); fault.CodeOf(err) != "not_a_user" || len(w.Result().Cookies()) != 0 {
			t.Errorf("%s: %v", role, err)
		}
	}
	if err := i.Recheck(ctx, auth.Principal{Role: pgtest.Bob, Kind: auth.KindJWT, Expires: time.Now().Add(-time.Second)}); fault.CodeOf(err) != "token_expired" {
		t.Errorf("%v", err)
	}
	if err := i.Recheck(ctx, auth.Principal{Role: "nobody", Kind: auth.KindJWT}); fault.CodeOf(err) != "not_a_user" {
		t.Errorf("%v", err)
	}

	// A hundred of one role are the most; the oldest ends. Those that have expired go with the upkeep.
	for range 100 {
		check(t, i.SignIn(ctx, httptest.NewRecorder(), auth.Principal{Role: pgtest.Bob, Kind: auth.KindJWT}))
	}
	i.restart()
	if _, code := i.who(signedIn(w)); code != "session_ended" {
		t.Errorf("the oldest session lives on: %q", code)
	}
	i.run("update tinydev_impl.token set expires_at = now() where token_id in (select token_id from tinydev_impl.token where kind = 'session' limit 60)")
	i.run("insert into tinydev_impl.token (role_name, name, sha256) values ('eve', 'x', repeat('0', 64))")
	i.run("update tinydev_impl.token set role_name = 'gone' where role_name = 'eve'")
	i.run("select tinydev_impl.upkeep()")
	if left := pgtest.Value[string](t, i.db.Superuser(), "select string_agg(role_name || ' ' || kind || ' ' || n, ', ' order by role_name) from (select role_name, kind, count(*) as n from tinydev_impl.token group by 1, 2) c"); left != "Ann token 1, bob session 40" {
		t.Errorf("after the upkeep: %s", left)
	}
}

func TestCodesAreGoodOnce(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	i := install(t)
	code := i.NewCode(pgtest.Ann)
	w := httptest.NewRecorder()
	if err := i.SignInWithCode(ctx, w, code); err != nil || len(w.Result().Cookies()) != 1 {
		t.Fatal(err)
	}
	if p, code := i.who(signedIn(w)); p.Role != pgtest.Ann || p.TokenName != "first" {
		t.Errorf("%+v %s", p, code)
	}
	for _, bad := range []string{code, "", "x"} {
		w := httptest.NewRecorder()
		if err := i.SignInWithCode(ctx, w, bad); fault.CodeOf(err) != "code_spent" || len(w.Result().Cookies()) != 0 {
			t.Errorf("%q: %v", bad, err)
		}
	}
	// What the code opened ends with the token of the installation.
	kept := i.NewCode(pgtest.Ann)
	i.run("delete from tinydev_impl.token where name = 'first' and kind = 'token'")
	a := i.Auth
	i.restart()
	if _, code := i.who(signedIn(w)); code != "session_ended" {
		t.Error(code)
	}
	// A code that could not be looked at is not spent.
	i.pool.Close()
	for range 2 {
		if err := a.SignInWithCode(ctx, httptest.NewRecorder(), kept); fault.CodeOf(err) == "code_spent" {
			t.Error(err)
		}
	}
}

func TestTokensInTheDatabase(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	i := install(t)
	super := i.db.Superuser()
	if p, code := i.who(bearer(i.token)); p.Role != pgtest.Ann || p.Kind != auth.KindToken || !p.Expires.IsZero() {
		t.Errorf("%+v %s", p, code)
	}
	if n := pgtest.Value[int](t, super, "select count(*)::int from tinydev_impl.token t where t::text like '%' || $1 || '%'", i.token); n != 0 {
		t.Error("the database holds the token itself")
	}
	for _, role := range []string{"tinydev_superuser", "tinydev_server", "tinydev_user", "nobody"} {
		if err := i.Register(ctx, role, "x", auth.NewToken()); fault.CodeOf(err) != "not_a_user" {
			t.Errorf("%s gets a token: %v", role, err)
		}
	}

	// The use is noted once a minute, and a row that somebody holds is not waited for.
	noted := "select last_used_at from tinydev_impl.token where name = 'first'"
	first := pgtest.Value[time.Time](t, super, noted)
	i.restart()
	i.who(bearer(i.token))
	if again := pgtest.Value[time.Time](t, super, noted); again != first {
		t.Error("each use is written down")
	}
	i.run("update tinydev_impl.token set last_used_at = now() - interval '2 minutes'")
	holder := i.db.Conn(pgtest.Ann)
	if _, err := holder.Exec(ctx, "begin; select tinydev.revoke_token('first')"); err != nil {
		t.Fatal(err)
	}
	i.restart()
	if _, code := i.who(bearer(i.token)); code != "" {
		t.Errorf("a held row: %s", code)
	}
	if _, err := i.signIn(i.token); fault.CodeOf(err) != "token_unknown" {
		t.Errorf("signing in with a token that is being revoked: %v", err)
	}
	if _, err := holder.Exec(ctx, "rollback"); err != nil {
		t.Fatal(err)
	}
	i.restart()
	i.who(bearer(i.token))
	if again := pgtest.Value[time.Time](t, super, noted); !again.After(first.Add(-time.Minute)) {
		t.Error("a later use is not written down")
	}

	short, id := i.make(pgtest.Ann, "short", ", expires_at => now() + interval '1 hour'")
	if p, code := i.who(bearer(short)); p.TokenID != id || p.Expires.IsZero() {
		t.Errorf("%+v %s", p, code)
	}
	i.run("update tinydev_impl.token set expires_at = now() where token_id = $1", id)
	i.restart()
	if _, code := i.who(bearer(short)); code != "token_expired" {
		t.Errorf("%q", code)
	}
	if err := i.Recheck(ctx, auth.Principal{Role: pgtest.Ann, TokenID: id}); fault.CodeOf(err) != "token_expired" {
		t.Errorf("%v", err)
	}

	// An answer is kept for a moment, a refusal is not.
	i.who(bearer(i.token))
	i.pool.Close()
	if p, code := i.who(bearer(i.token)); p.Role != pgtest.Ann {
		t.Errorf("the answer is not kept: %s", code)
	}
}

// jwts is an identity provider that knows one person.
type jwts struct{}

func (jwts) Verify(_ context.Context, jwt string) (auth.Principal, error) {
	if jwt != "a.b.c" {
		return auth.Principal{}, fault.New(fault.Unauthentic, "token_malformed", "no")
	}
	return auth.Principal{Role: pgtest.Bob, Kind: auth.KindJWT}, nil
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	i := install(t)
	w, err := i.signIn(i.token)
	check(t, err)
	bobs, _ := i.make(pgtest.Bob, "phone", "")
	for what, test := range map[string]struct {
		edit func(r *http.Request)
		want string // a role, or the code of a fault
	}{
		"nothing":              {func(*http.Request) {}, "not_signed_in"},
		"a token":              {func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+bobs) }, pgtest.Bob},
		"a scheme in capitals": {func(r *http.Request) { r.Header.Set("Authorization", "BEARER  "+bobs+" ") }, pgtest.Bob},
		"another scheme":       {func(r *http.Request) { r.Header.Set("Authorization", "Basic "+bobs) }, "token_malformed"},
		"no scheme":            {func(r *http.Request) { r.Header.Set("Authorization", bobs) }, "token_malformed"},
		"two headers":          {func(r *http.Request) { r.Header["Authorization"] = []string{"Bearer " + bobs, "Bearer " + bobs} }, "token_malformed"},
		"two in one header":    {func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+bobs+", Bearer "+bobs) }, "token_unknown"},
		"a token and more":     {func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+bobs+"x") }, "token_unknown"},
		"a token in capitals":  {func(r *http.Request) { r.Header.Set("Authorization", "Bearer TD_"+bobs[3:]) }, "token_malformed"},
		"a long token":         {func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+bobs+strings.Repeat("x", 200)) }, "token_malformed"},
		"a JWT":                {func(r *http.Request) { r.Header.Set("Authorization", "Bearer a.b.c") }, "token_malformed"},
		"NUL":                  {func(r *http.Request) { r.Header.Set("Authorization", "Bearer td_\x00") }, "token_unknown"},
		"a query":              {func(r *http.Request) { r.URL.RawQuery = "token=" + bobs }, "token_in_query"},
		"a query beside a header": {func(r *http.Request) {
			r.Header.Set("Authorization", "Bearer "+bobs)
			r.URL.RawQuery = "access_token=x"
		}, "token_in_query"},
		"another query": {func(r *http.Request) {
			r.Header.Set("Authorization", "Bearer "+bobs)
			r.URL.RawQuery = "query=token%3D1"
		}, pgtest.Bob},
		"a cookie": {func(r *http.Request) { r.AddCookie(w.Result().Cookies()[0]) }, pgtest.Ann},
		"a cookie and a token": {func(r *http.Request) {
			r.AddCookie(w.Result().Cookies()[0])
			r.Header.Set("Authorization", "Bearer "+bobs)
		}, pgtest.Bob},
		"a cookie, a bad token": {func(r *http.Request) {
			r.AddCookie(w.Result().Cookies()[0])
			r.Header.Set("Authorization", "Bearer td_x")
		}, "token_unknown"},
		"a bad cookie": {func(r *http.Request) { r.AddCookie(&http.Cookie{Name: w.Result().Cookies()[0].Name, Value: "x"}) }, "session_ended"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		test.edit(r)
		p, code := i.who(r)
		if got := p.Role + code; got != test.want {
			t.Errorf("%s: %q instead of %q", what, got, test.want)
		}
	}
	// Several guesses in a second are one line, with where they came from.
	for range 5 {
		i.who(bearer("td_guess"))
	}
	if log := i.log.String(); strings.Count(log, "nobody has") != 1 || !strings.Contains(log, "192.0.2.1") || strings.Contains(log, "td_") {
		t.Errorf("the log: %s", log)
	}
	with, err := auth.New(auth.Options{Server: i.pool, Token: i.token, JWT: jwts{}})
	check(t, err)
	for token, want := range map[string]string{"a.b.c": pgtest.Bob, "a.b.d": "", "a.b": "", bobs: pgtest.Bob, strings.Repeat("a", 1<<15) + ".b.c": ""} {
		if p, err := with.Principal(context.Background(), bearer(token)); p.Role != want || (err == nil) != (want != "") {
			t.Errorf("%.20s: %q %v", token, p.Role, err)
		}
	}
	if _, err := i.signIn("a.b.c"); fault.CodeOf(err) != "token_malformed" {
		t.Errorf("a JWT signs in by hand: %v", err)
	}
}

func TestPrincipalOfAContext(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	if p := auth.PrincipalFrom(ctx); p.Role != "" || auth.RoleFrom(ctx) != "" {
		t.Errorf("%+v", p)
	}
	if p := auth.PrincipalFrom(auth.WithPrincipal(ctx, auth.Principal{Role: "bob", TokenID: 7})); p.Role != "bob" || p.TokenID != 7 {
		t.Errorf("%+v", p)
	}
}

func TestEnsureUser(t *testing.T) {
	ctx := context.Background()
	db := pgtest.DB(t)
	conn := db.Superuser()
	t.Cleanup(func() {
		_, err := db.Superuser().Exec(ctx, "drop owned by zoe; drop role if exists zoe, stranger")
		if err != nil {
			t.Error(err)
		}
	})
	// A clone has not the rights on the database that an installation gives.
	if _, err := conn.Exec(ctx, "grant create on database "+db.Name+" to tinydev_roles"); err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{true, false} {
		made, err := auth.EnsureUser(ctx, conn, "zoe")
		if made != want || err != nil {
			t.Errorf("call %d: %v %v", i, made, err)
		}
	}
	if !pgtest.Value[bool](t, conn, "select pg_has_role('zoe', 'tinydev_admin', 'member')") {
		t.Error("the first user is no administrator")
	}
	if _, err := conn.Exec(ctx, "create role stranger login"); err != nil {
		t.Fatal(err)
	}
	_, err := auth.EnsureUser(ctx, conn, "stranger")
	if f := fault.As(err); f == nil || f.Code != "user_is_other_role" || !strings.Contains(f.Hint, "grant tinydev_user to") {
		t.Errorf("%v", err)
	}
	if _, err := auth.EnsureUser(ctx, conn, "pg_x"); fault.CodeOf(err) != "user_name_invalid" {
		t.Errorf("%v", err)
	}
}
