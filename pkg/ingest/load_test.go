package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tinydevcrm/tinydevcrm/pkg/fault"
	"github.com/tinydevcrm/tinydevcrm/pkg/ingest"
	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
	"github.com/tinydevcrm/tinydevcrm/pkg/postgres"
)

// loader gives a Loader over a new database.
func loader(t *testing.T) (*ingest.Loader, *pgtest.Database) {
	t.Helper()
	db := pgtest.DB(t)
	pool, err := postgres.Open(context.Background(), db.URL("tinydev_server"), "tinydev", 2)
	if err != nil {
		t.Fatal(err)
	}
	sessions := postgres.NewSessions(db.URL("tinydev_server"), pool, postgres.Options{})
	t.Cleanup(func() {
		sessions.Close()
		pool.Close()
	})
	return &ingest.Loader{Sessions: sessions, SpoolDir: t.TempDir(), Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}, db
}

func loadFile(t *testing.T, l *ingest.Loader, req ingest.LoadRequest, file string) ingest.Loaded {
	t.Helper()
	loaded, _, err := l.Load(context.Background(), pgtest.Ann, req, strings.NewReader(file))
	if err != nil {
		t.Fatalf("%v %+v", err, fault.As(err))
	}
	return loaded
}

func TestLoadCreatesThenAppends(t *testing.T) {
	t.Parallel()
	l, db := loader(t)
	const file = "Name,Date,Phone\nbob,1990-01-02,007\neve,,\n"
	first := loadFile(t, l, ingest.LoadRequest{Table: "friends", Source: "friends.csv"}, file)
	if first.Table != `"Ann".friends` || !first.Created || first.Rows != 2 || len(first.Columns) != 3 || first.Columns[1].Type != "date" || first.Columns[2].Type != "text" {
		t.Errorf("loaded %+v", first)
	}
	_, _, err := l.Load(context.Background(), pgtest.Ann, ingest.LoadRequest{Table: "friends"}, strings.NewReader(file))
	if e := fault.As(err); e == nil || e.Code != "already_loaded" || e.Fields["upload_id"] != float64(first.UploadID) {
		t.Errorf("the same file again: %v %+v", err, e)
	}
	if again := loadFile(t, l, ingest.LoadRequest{Table: "friends", Force: true}, file); again.Created || again.Rows != 2 {
		t.Errorf("by force %+v", again)
	}
	loadFile(t, l, ingest.LoadRequest{Table: "friends"}, "phone;name;date\n+1;admin;2000-01-01\n")
	if n := pgtest.Value[int](t, db.Conn(pgtest.Ann), `select count(*)::int from friends where "Name" is not null`); n != 5 {
		t.Errorf("%d rows, want 5", n)
	}
	if n := pgtest.Value[int](t, db.Conn(pgtest.Ann), "select count(*)::int from tinydev.upload"); n != 3 {
		t.Errorf("the ledger has %d loads, want 3", n)
	}
	if n := pgtest.Value[int](t, db.Conn(pgtest.Bob), "select count(*)::int from tinydev.upload"); n != 0 {
		t.Errorf("bob sees %d of ann's loads", n)
	}
}

func TestDryRunStoresNothing(t *testing.T) {
	t.Parallel()
	l, db := loader(t)
	_, sql, err := l.Load(context.Background(), pgtest.Ann, ingest.LoadRequest{Table: "t", DryRun: true}, strings.NewReader("a\n1\n"))
	if err != nil || len(sql) != 2 || !strings.HasPrefix(sql[0], `create table "Ann".t`) || !strings.HasPrefix(sql[1], `copy "Ann".t`) {
		t.Errorf("%q %v", sql, err)
	}
	if pgtest.Value[bool](t, db.Conn(pgtest.Ann), "select to_regclass('t') is not null") {
		t.Error("a dry run made a table")
	}
	nothingSpooled(t, l)
}

func nothingSpooled(t *testing.T, l *ingest.Loader) {
	t.Helper()
	if left, err := os.ReadDir(l.SpoolDir); err != nil || len(left) > 0 {
		t.Errorf("the spool holds %v %v", left, err)
	}
}

func TestABadFileLeavesNothingButAnEvent(t *testing.T) {
	t.Parallel()
	l, db := loader(t)
	ann := db.Conn(pgtest.Ann)
	run(t, ann, "create table old (a int)")
	for name, c := range map[string]struct{ table, file, code string }{
		"ragged new":      {"fresh", "a,b\n1,2\n3\n", "file_invalid"},
		"ragged existing": {"old", "a\n1\n2,3\n", "file_invalid"},
		"bad cell":        {"old", "a\n1\nx\n", "cell_invalid"},
		"other columns":   {"old", "a,b\n1,2\n", "columns_mismatch"},
		"type unknown":    {"fresh", "a\n1\n", "type_unknown"},
	} {
		req := ingest.LoadRequest{Table: c.table}
		if c.code == "type_unknown" {
			req.Options.Types = map[string]string{"a": "int); drop table old; --"}
		}
		if _, _, err := l.Load(context.Background(), pgtest.Ann, req, strings.NewReader(c.file)); fault.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	if !pgtest.Value[bool](t, ann, "select to_regclass('fresh') is null and not exists (select from old) and not exists (select from tinydev.upload)") {
		t.Error("a failed load left something")
	}
	pgtest.Value[int](t, db.Superuser(), "select placed from tinydev_impl.place()")
	if n := pgtest.Value[int](t, ann, "select count(*)::int from tinydev.event where type = 'table.load_failed' and data ? 'message'"); n != 5 {
		t.Errorf("%d of 5 failures left an event", n)
	}
	nothingSpooled(t, l)
	_, _, err := l.Load(context.Background(), pgtest.Ann, ingest.LoadRequest{Table: "bob.t"}, strings.NewReader("a\n1\n"))
	if fault.CodeOf(err) != "not_your_workspace" {
		t.Errorf("into another's workspace: %v", err)
	}
}

// neverEnding gives rows until it is closed, and then an error, as a client that goes away does.
type neverEnding struct{ ctx context.Context }

func (e neverEnding) Read(p []byte) (int, error) {
	if err := e.ctx.Err(); err != nil {
		return 0, err
	}
	for i := range p {
		p[i] = "1\n"[i%2]
	}
	return len(p) &^ 1, nil
}

func TestALoadThatIsCutLeavesNothing(t *testing.T) {
	t.Parallel()
	l, db := loader(t)
	ann := db.Conn(pgtest.Ann)
	run(t, ann, "create table t (a int)")
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	if _, _, err := l.Load(ctx, pgtest.Ann, ingest.LoadRequest{Table: "t"}, io.MultiReader(strings.NewReader("a\n"), neverEnding{ctx})); err == nil {
		t.Fatal("an endless load came to an end")
	}
	pgtest.Eventually(t, 20*time.Second, "the load's session is gone", func() bool {
		return pgtest.Value[bool](t, db.Superuser(), "select not exists (select from pg_stat_activity where datname = current_database() and query like 'copy%')")
	})
	if !pgtest.Value[bool](t, ann, "select not exists (select from t)") {
		t.Error("a cut load left rows")
	}
	l.MaxSpoolBytes = 1000
	_, _, err := l.Load(context.Background(), pgtest.Ann, ingest.LoadRequest{Table: "large"}, strings.NewReader("a\n"+strings.Repeat("123456789\n", 1000)))
	if fault.KindOf(err) != fault.Storage {
		t.Errorf("over the spool's limit: %v", err)
	}
	loadFile(t, l, ingest.LoadRequest{Table: "small"}, "a\n1\n")
	l.MaxUploadBytes = 10
	for _, table := range []string{"t", "large"} {
		if _, _, err := l.Load(context.Background(), pgtest.Ann, ingest.LoadRequest{Table: table}, strings.NewReader("a\n"+strings.Repeat("1\n", 100))); fault.KindOf(err) != fault.TooLarge {
			t.Errorf("a large file into %s: %v", table, err)
		}
	}
	nothingSpooled(t, l)
}

// TestLoadsAtOnce has several loads into one new and one existing table.
func TestLoadsAtOnce(t *testing.T) {
	t.Parallel()
	l, db := loader(t)
	ann := db.Conn(pgtest.Ann)
	run(t, ann, "create table old (a int)")
	errs := make(chan error)
	const each = 6
	for i := range each {
		for _, table := range []string{"old", "fresh"} {
			go func() {
				_, _, err := l.Load(context.Background(), pgtest.Ann, ingest.LoadRequest{Table: table}, strings.NewReader(fmt.Sprintf("a\n%d\n", i)))
				errs <- err
			}()
		}
	}
	loaded := 0
	for range 2 * each {
		var e *fault.Error
		switch err := <-errs; {
		case err == nil:
			loaded++
		case errors.As(err, &e) && e.Kind == fault.Conflict:
		default:
			t.Errorf("%v", err)
		}
	}
	if n := pgtest.Value[int](t, ann, "select (select count(*) from old)::int + (select count(*) from fresh)::int"); n != loaded || loaded <= each {
		t.Errorf("%d rows after %d loads", n, loaded)
	}
}

// TestTheSameFileAtOnce holds that a file that is sent several times at once is loaded once.
func TestTheSameFileAtOnce(t *testing.T) {
	t.Parallel()
	l, db := loader(t)
	ann := db.Conn(pgtest.Ann)
	run(t, ann, "create table t (a int)")
	const times = 6
	codes := make(chan string)
	for range times {
		go func() {
			_, _, err := l.Load(context.Background(), pgtest.Ann, ingest.LoadRequest{Table: "t"}, strings.NewReader("a\n1\n"))
			if err == nil {
				codes <- ""
				return
			}
			codes <- fault.CodeOf(err)
		}()
	}
	count := map[string]int{}
	for range times {
		count[<-codes]++
	}
	if n := pgtest.Value[int](t, ann, "select count(*)::int from t"); n != 1 || count[""] != 1 || count["already_loaded"] != times-1 {
		t.Errorf("%d rows, answers %v", n, count)
	}
}

// A load takes as long as it takes, whatever a request of the user may.
func TestALoadIsNotHeldToTheTimeOfAStatement(t *testing.T) {
	t.Parallel()
	l, db := loader(t)
	if _, err := db.Superuser().Exec(context.Background(), `insert into tinydev_impl.user_limit (role_name, statement_seconds) values ('Ann', 1)`); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Conn(pgtest.Ann).Exec(context.Background(), `create table slow (a int);
		create function slowly() returns trigger language plpgsql as $$ begin perform pg_sleep(1.5); return new; end $$;
		create trigger slowly before insert on slow for each row execute function slowly()`); err != nil {
		t.Fatal(err)
	}
	if loaded := loadFile(t, l, ingest.LoadRequest{Table: "slow"}, "a\n1\n"); loaded.Rows != 1 {
		t.Errorf("loaded %+v", loaded)
	}
}
