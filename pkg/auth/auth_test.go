package auth_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tinydevcrm/tinydevcrm/pkg/auth"
	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestUserName(t *testing.T) {
	for login, want := range map[string]string{
		"ann": "ann", "root": "admin", "postgres": "admin", "Ann": "ann", "ann.smith": "ann_smith", "CORP\\Ann Smith": "ann_smith", "ann@corp.example": "ann",
		"1st": "u_1st", "_x": "x", "": "me", "été": "t", "日本": "me", "pg_ann": "u_pg_ann", "tinydev": "u_tinydev", "public": "u_public",
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

// signedIn gives a request with the cookies that w set.
func signedIn(w *httptest.ResponseRecorder) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	for _, c := range w.Result().Cookies() {
		r.AddCookie(c)
	}
	return r
}

func TestSessionsSurviveARestart(t *testing.T) {
	ctx := context.Background()
	token := auth.NewToken()
	first, err := auth.New(nil, token, true)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	first.SignIn(w, "Ann")
	if c := w.Result().Cookies()[0]; !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || !strings.HasPrefix(c.Name, "__Host-") {
		t.Errorf("%+v", c)
	}
	second, err := auth.New(nil, token, true)
	if err != nil {
		t.Fatal(err)
	}
	if role, err := second.Role(ctx, signedIn(w)); role != "Ann" || err != nil {
		t.Errorf("%q %v", role, err)
	}
	other, err := auth.New(nil, auth.NewToken(), true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Role(ctx, signedIn(w)); fault.KindOf(err) != fault.Unauthentic {
		t.Errorf("another installation takes the cookie: %v", err)
	}
	out := httptest.NewRecorder()
	second.SignOut(out, signedIn(w))
	if _, err := second.Role(ctx, signedIn(w)); fault.CodeOf(err) != "session_ended" {
		t.Errorf("%v", err)
	}
}

func TestCodesAreGoodOnce(t *testing.T) {
	a, err := auth.New(nil, auth.NewToken(), false)
	if err != nil {
		t.Fatal(err)
	}
	code := a.NewCode("Ann")
	w := httptest.NewRecorder()
	if err := a.SignInWithCode(w, code); err != nil || len(w.Result().Cookies()) != 1 {
		t.Fatal(err)
	}
	for _, bad := range []string{code, "", "x"} {
		w := httptest.NewRecorder()
		if err := a.SignInWithCode(w, bad); fault.CodeOf(err) != "code_spent" || len(w.Result().Cookies()) != 0 {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestTokensInTheDatabase(t *testing.T) {
	ctx := context.Background()
	db := pgtest.DB(t)
	pool, err := postgres.Open(ctx, db.URL("tinydev_server"), "test", 2)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	a, err := auth.New(pool, auth.NewToken(), false)
	if err != nil {
		t.Fatal(err)
	}
	token := auth.NewToken()
	for range 2 { // storing it again is no error
		if err := a.Register(ctx, pgtest.Ann, "laptop", token); err != nil {
			t.Fatal(err)
		}
	}
	if role, err := a.TokenRole(ctx, token); role != pgtest.Ann || err != nil {
		t.Errorf("%q %v", role, err)
	}
	if n := pgtest.Value[int](t, db.Superuser(), "select count(*)::int from tinydev_impl.token t where t::text like '%' || $1 || '%'", token); n != 0 {
		t.Error("the database holds the token itself")
	}
	if err := a.Register(ctx, "tinydev_superuser", "x", auth.NewToken()); fault.CodeOf(err) != "not_a_user" {
		t.Errorf("a superuser gets a token: %v", err)
	}
	pool.Close()
	if role, err := a.TokenRole(ctx, token); role != pgtest.Ann || err != nil {
		t.Errorf("the answer is not kept: %q %v", role, err)
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
