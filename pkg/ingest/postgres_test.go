package ingest_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tinydevcrm/tinydevcrm/pkg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// connect opens a session in a database of its own, in a time zone that shows when UTC is not meant.
func connect(t testing.TB) *pgx.Conn {
	t.Helper()
	conn := pgtest.DB(t).Superuser()
	run(t, conn, "set timezone = 'America/Caracas'")
	return conn
}

// begin opens a transaction in a session of its own; it is rolled back at the end of the test.
func begin(t testing.TB) *pgx.Conn {
	t.Helper()
	conn := connect(t)
	run(t, conn, "begin")
	return conn
}

func run(t testing.TB, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(context.Background(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// texts reads one column of a query as text, NULL as <null>.
func texts(t testing.TB, conn *pgx.Conn, sql string) []string {
	t.Helper()
	rows, err := conn.Query(context.Background(), sql)
	if err == nil {
		var out []string
		if out, err = pgx.CollectRows(rows, pgx.RowTo[string]); err == nil {
			return out
		}
	}
	t.Fatalf("%s: %v", sql, err)
	return nil
}
