package ingest_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// server is the PostgreSQL of these tests: TINYDEV_TEST_DATABASE_URL, else a throw-away cluster on a
// socket of its own, started by the first test that wants it.
var server struct {
	once sync.Once
	url  string
	err  error
	stop func()
}

func TestMain(m *testing.M) {
	code := m.Run()
	if server.stop != nil {
		server.stop()
	}
	os.Exit(code)
}

// connect opens a session that ends with the test. Its database is shared: tables are temporary or
// made in a transaction that is rolled back.
func connect(t testing.TB) *pgx.Conn {
	t.Helper()
	server.once.Do(startServer)
	if server.err != nil {
		t.Fatalf("start PostgreSQL: %v", server.err)
	}
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, server.url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return conn
}

func startServer() {
	if server.url = os.Getenv("TINYDEV_TEST_DATABASE_URL"); server.url != "" {
		return
	}
	server.err = func() error {
		bin, err := binaries()
		if err != nil {
			return err
		}
		dir, err := os.MkdirTemp("", "ingest")
		if err != nil {
			return err
		}
		server.stop = func() { os.RemoveAll(dir) }
		run := func(name string, args ...string) *exec.Cmd {
			cmd := exec.Command(filepath.Join(bin, name), args...)
			cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stderr, os.Stderr
			return cmd
		}
		if os.Getuid() == 0 {
			// PostgreSQL refuses to run as root.
			account, err := user.Lookup("postgres")
			if err != nil {
				return err
			}
			uid, _ := strconv.Atoi(account.Uid)
			gid, _ := strconv.Atoi(account.Gid)
			if err := os.Chown(dir, uid, gid); err != nil {
				return err
			}
			plain := run
			run = func(name string, args ...string) *exec.Cmd {
				cmd := plain(name, args...)
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
				return cmd
			}
		}
		initdb := run("initdb", "-D", dir+"/data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
		initdb.Stdout = nil
		if err := initdb.Run(); err != nil {
			return fmt.Errorf("initdb: %w", err)
		}
		postgres := run("postgres", "-D", dir+"/data", "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off",
			"-c", "max_wal_size=4GB", "-c", "log_min_messages=panic", "-c", "TimeZone=America/Caracas")
		if err := postgres.Start(); err != nil {
			return err
		}
		server.stop = func() {
			if err := postgres.Process.Signal(syscall.SIGINT); err == nil {
				err = postgres.Wait()
			}
			os.RemoveAll(dir)
		}
		server.url = "host=" + dir + " user=postgres dbname=postgres"
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		for {
			conn, err := pgx.Connect(ctx, server.url)
			if err == nil {
				return conn.Close(ctx)
			}
			select {
			case <-ctx.Done():
				return err
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
}

// binaries finds the folder of initdb: on PATH, or the newest of the distribution's.
func binaries() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("initdb is neither on PATH nor in /usr/lib/postgresql")
	}
	return filepath.Dir(slices.Max(found)), nil
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
